"""People's own data as a source of items and people for a domain file; `instructrec world new` makes both."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from instructrec.catalogue import Catalogue
from instructrec.envs.behaviour import Behaviour
from instructrec.envs.conversational import Tastes
from instructrec.envs.domain import Domain
from instructrec.envs.fit_tastes import FittedTastes, scales_for
from instructrec.envs.held_out import HeldOut, held_out
from instructrec.envs.kept_data import read_kept
from instructrec.envs.movielens import Ratings
from instructrec.splits import Split


class OwnData:
    """Items and tastes that `instructrec.envs.kept_data.write_kept` left in a file beside the domain file."""

    def catalogue(self, domain: Domain) -> Catalogue:
        """Returns the items.

        Raises:
            RunError: If the file is missing or damaged.
        """
        return replace(_kept(domain)[0], nouns=domain.nouns, units=domain.units)

    def behaviour(self, given: Mapping[str, float]) -> Behaviour:
        """Returns the people's constants: the defaults, but for those given."""
        return Behaviour(**given)

    def tastes(self, domain: Domain, users: tuple[Split, ...], past_length: int, behaviour: Behaviour) -> Tastes:
        """Returns the people of some splits, with the tastes that were fitted to their ratings or clicks."""
        catalogue, fitted = _kept(domain)
        return fitted.tastes(
            catalogue, users=users, past_length=past_length, from_popularity=behaviour.allure_from_popularity
        )

    def held_out(self, domain: Domain, ratings: Ratings, num_items: int, seed: int) -> HeldOut:
        """Returns a random fifth of a log's ratings, and what the model of these people's tastes expects of them.

        Rank and priors are those chosen for these people; scales are fitted to the log.
        """
        setting = _kept(domain)[1].setting
        return held_out(ratings, num_items, setting, seed).rescaled(*scales_for(ratings, num_items, setting))


def _kept(domain: Domain) -> tuple[Catalogue, FittedTastes]:
    path = domain.folder / domain.items.settings["file"]
    return _read(path, path.stat().st_mtime_ns if path.is_file() else 0)


@functools.lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> tuple[Catalogue, FittedTastes]:
    return read_kept(path)

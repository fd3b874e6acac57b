"""Real films and people with tastes fitted to real ratings: the items and people of ``domains/Movies-v0.yaml``."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats
from instructrec.catalogue import Catalogue
from instructrec.envs.behaviour import Behaviour
from instructrec.envs.conversational import Tastes
from instructrec.envs.domain import Domain
from instructrec.envs.held_out import HeldOut, Setting, held_out
from instructrec.envs.movielens import Ratings, shipped, shipped_people, visible_past
from instructrec.noise import mix
from instructrec.splits import Split, split_of


class MovieLens:
    """Films of MovieLens and the people who rated them, as a source of items for a domain file."""

    def catalogue(self, domain: Domain) -> Catalogue:
        """Returns the shipped films."""
        return shipped()[0]

    def behaviour(self, given: Mapping[str, float]) -> Behaviour:
        """Returns the people's constants: how genres are perceived is fitted to tags."""
        people = shipped_people()
        fitted = {"perceived_miss": people.genre_misses, "perceived_false_alarm": people.genre_false_alarms}
        return Behaviour(**{**fitted, **given})

    def tastes(self, domain: Domain, users: tuple[Split, ...], past_length: int, behaviour: Behaviour) -> Tastes:
        """Returns the people of some splits: tastes fitted to their ratings, and the ratings that agents may see."""
        return _tastes(users, past_length, behaviour.allure_from_popularity)

    def held_out(self, domain: Domain, ratings: Ratings, num_items: int, seed: int) -> HeldOut:
        """Returns a random fifth of a log's ratings, and what the model of these people's tastes expects of them."""
        people = shipped_people()
        rank = int(people.person_factors.shape[1])
        setting = Setting(rank=rank, taste_variance=people.taste_variance, noise_variance=people.noise_variance)
        return held_out(ratings, num_items, setting, seed).rescaled(0.0, people.quality_scale, people.taste_scale)


@functools.lru_cache(maxsize=8)
def _tastes(users: tuple[Split, ...], past_length: int, from_popularity: float) -> Tastes:
    catalogue, ratings = shipped()
    people = shipped_people()
    past, past_ratings = visible_past(ratings, past_length)
    who = [row for row, name in enumerate(ratings.person_ids) if split_of("users", name) in users]
    return Tastes(
        who=np.array(who, np.int32),
        person_factors=people.person_factors,
        item_factors=people.item_factors,
        quality=people.item_bias,
        allure=allure(catalogue, people.item_bias, from_popularity),
        past=past,
        past_ratings=past_ratings,
    )


def allure(catalogue: Catalogue, quality: Floats, from_popularity: float) -> npt.NDArray[np.float32]:
    """Returns what draws people to a film without pleasing them, in standard deviations [num_items].

    Part of it is popularity beyond what quality explains, the rest is luck that stays with the film.

    Args:
        catalogue: The films.
        quality: Stars, [num_items].
        from_popularity: Correlation of allure with the unexplained popularity, 0 to 1.
    """
    popularity = np.log1p(catalogue.popularity.astype(np.float64))
    slope, intercept = 0.0, float(popularity.mean())
    if np.ptp(quality) > 0:  # Where everybody finds everything as good, quality explains nothing.
        slope, intercept = np.polyfit(quality.astype(np.float64), popularity, 1)
    unexplained = _standardised(popularity - slope * quality - intercept)
    words = mix(np.arange(1, catalogue.num_items + 1, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95))
    luck = _standardised((words >> np.uint64(11)).astype(np.float64))
    drawn = from_popularity * unexplained + np.sqrt(1 - from_popularity**2) * luck
    return np.asarray(drawn, np.float32)


def _standardised(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-9))

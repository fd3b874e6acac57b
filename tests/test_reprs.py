"""What worlds, items and people look like when printed: one short line; and no fingerprint is made of it."""

from __future__ import annotations

from typing import cast

import pytest

from instructrec.catalogue import Catalogue, Column
from instructrec.envs import make_world, population_of
from instructrec.envs.tiny import TinyPopulation
from instructrec.envs.users import ScriptedUser
from instructrec.experiments.recommend import Recommender
from instructrec.protocols import Ranker
from instructrec.runs import RunConfig
from instructrec.sessions import World

NAMES = ("Tiny", "Shop", "Boredom", "ChocKale", "Interest", "Retention")


@pytest.mark.parametrize("name", NAMES)
def test_a_world_its_items_and_its_people_are_a_line_each_with_their_fingerprints(name: str) -> None:
    world = make_world(f"instructrec/{name}-v0")
    for thing in (world, world.catalogue, world.population, *world.catalogue.columns.values()):
        shown = repr(thing)
        assert "\n" not in shown
        assert len(shown) < 400
        assert type(thing).__name__ in shown
        assert " at 0x" not in shown
    assert repr(world) == (
        f"World(instructrec/{name}-v0, {world.catalogue.num_items:,} items, {type(world.population).__name__}, "
        f"{world.turn_limit} slates of {world.slate_size}, fingerprint {world.fingerprint})"
    )
    assert world.catalogue.fingerprint in repr(world.catalogue)


def test_users_of_ones_own_and_an_agent_that_was_loaded_are_a_line() -> None:
    items = make_world("instructrec/Tiny-v0").catalogue
    crowd = population_of(lambda: ScriptedUser("red"), items, slate_size=3)
    assert repr(crowd) == f"UserPopulation(fingerprint {crowd.fingerprint})"

    config = RunConfig(world="instructrec/Tiny-v0", agent="slate_ppo", seed=0, steps=5_000)
    loaded = Recommender(
        ranker=cast(Ranker, None), catalogue=items, slate_size=3, turn_limit=6, past_length=0, config=config
    )
    assert repr(loaded) == (
        f"Recommender(slate_ppo of instructrec/Tiny-v0, 5,000 user-steps, 20 items, fingerprint {items.fingerprint})"
    )


@pytest.mark.parametrize("name", NAMES)
def test_fingerprints_do_not_depend_on_reprs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = make_world(f"instructrec/{name}-v0")
    for kind in (World, Catalogue, Column, TinyPopulation, type(known.population)):
        monkeypatch.setattr(kind, "__repr__", lambda self: f"another {type(self).__name__}")
    again = make_world(f"instructrec/{name}-v0")
    assert repr(again) == "another World"
    assert (again.fingerprint, again.catalogue.fingerprint) == (known.fingerprint, known.catalogue.fingerprint)


def test_the_tiny_worlds_fingerprint_is_what_it_was() -> None:
    assert make_world("instructrec/Tiny-v0").fingerprint == "363c6ec1d7589d8c"

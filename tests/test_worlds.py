"""Worlds have names, and misspelt names are mended."""

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import registry

from instructrec.envs import (
    WORLDS,
    RecEnv,
    RecVectorEnv,
    WorldSpec,
    make_world,
    register_world,
    register_worlds,
    tiny_world,
)


@pytest.fixture
def mine():
    spec = WorldSpec(
        name="tests/Mine-v0",
        domain="tests",
        summary="A world of these tests.",
        builder=lambda leave=0.2: tiny_world(leave=leave),
    )
    register_world(spec)
    yield spec
    del WORLDS[spec.name], registry[spec.name]


def test_the_worlds_that_come_with_the_package_are_there():
    assert {"instructrec/Movies-v0", "instructrec/Tiny-v0"} <= set(WORLDS)
    for name, spec in WORLDS.items():
        assert spec.name == name
        assert name in registry
        about = spec.about()
        assert about.domain
        assert about.population
        assert about.summary.endswith(".")


def test_registering_again_changes_nothing():
    before, known = dict(WORLDS), dict(registry)
    register_worlds()
    assert before == WORLDS
    assert known == dict(registry)


def test_a_world_is_made_with_its_settings():
    world = make_world("instructrec/Tiny-v0", turn_limit=2, leave=0.5)
    assert world.turn_limit == 2
    assert world.population.leave == 0.5


def test_misspelt_names_and_settings_suggest_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'instructrec/Tiny-v0'"):
        make_world("instructrec/Tiny")
    with pytest.raises(
        TypeError, match="unknown setting of instructrec/Tiny-v0 'slate_sise'; did you mean 'slate_size'"
    ):
        make_world("instructrec/Tiny-v0", slate_sise=3)
    with pytest.raises(TypeError, match="did you mean 'turn_limit'"):
        gymnasium.make("instructrec/Tiny-v0", turn_limits=3)
    with pytest.raises(TypeError, match="did you mean 'turn_limit'"):
        gymnasium.make_vec("instructrec/Tiny-v0", 2, turn_limits=3)


@pytest.mark.parametrize(
    ("setting", "value", "wanted"),
    [
        ("slate_size", "many", "a whole number"),
        ("slate_size", 2.5, "a whole number"),
        ("turn_limit", True, "a whole number"),
        ("match", "much", "a number"),
        ("split", 3, "a word"),
    ],
)
def test_settings_of_another_kind_are_refused_in_words(setting, value, wanted):
    with pytest.raises(TypeError, match=f"{setting} of instructrec/Tiny-v0 must be {wanted}, got"):
        make_world("instructrec/Tiny-v0", **{setting: value})
    assert make_world("instructrec/Tiny-v0", turn_limit=np.int64(3), match=1).turn_limit == 3
    with pytest.raises(TypeError, match="candidates must be a whole number or draw items itself"):
        make_world("instructrec/Shop-v0", candidates="many")


def test_anyone_can_add_a_world(mine):
    assert make_world("tests/Mine-v0").population.leave == 0.2
    env = gymnasium.make("tests/Mine-v0", leave=0.3)
    assert env.unwrapped.world.population.leave == 0.3
    assert isinstance(gymnasium.make_vec("tests/Mine-v0", 2).unwrapped, RecVectorEnv)
    register_world(mine)
    other = WorldSpec(name="tests/Mine-v0", domain="tests", summary="Another.", builder=tiny_world)
    with pytest.raises(ValueError, match="there is already a world called 'tests/Mine-v0'"):
        register_world(other)


def test_a_world_that_is_made_takes_no_settings():
    assert RecEnv(tiny_world(turn_limit=3)).world.turn_limit == 3
    with pytest.raises(TypeError, match=r"settings \(turn_limit\) belong to a world made by name"):
        RecEnv(tiny_world(), turn_limit=3)
    with pytest.raises(TypeError, match="expected a World or the name of one, got int"):
        RecEnv(3)


@pytest.mark.parametrize("typed", ["moveis", "Movies", "instructrec/movies-v0", "instructrec/Movis-v0"])
def test_a_misspelt_world_is_told_the_nearest_however_much_of_its_name_was_typed(typed):
    with pytest.raises(ValueError, match="did you mean 'instructrec/Movies-v0'"):
        make_world(typed)

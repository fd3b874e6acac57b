"""One session at a time, through Gymnasium."""

import dataclasses
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence

from instructrec.arrays import arrays_of
from instructrec.candidates import RandomCandidates
from instructrec.envs import RecEnv, tiny_world
from instructrec.envs.tiny import TinyPopulation
from instructrec.sessions import Sessions, observe, start, step


@pytest.fixture
def env():
    return RecEnv(tiny_world())


def few_candidates():
    return dataclasses.replace(tiny_world(), candidates=RandomCandidates(tiny_world().catalogue, 8))


@pytest.mark.parametrize("settings", [{}, {"slate_size": 1, "turn_limit": 2}])
def test_gymnasiums_checker_has_nothing_to_say(settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("instructrec/Tiny-v0", **settings).unwrapped)


def test_gymnasiums_checker_has_nothing_to_say_about_candidates():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = RecEnv(few_candidates())
        check_env(env, skip_render_check=True)


def test_every_observation_of_every_session_is_in_the_space(env):
    env.action_space.seed(0)
    for seed in range(20):
        seen, _ = env.reset(seed=seed)
        assert seen in env.observation_space
        over = False
        while not over:
            seen, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            assert seen in env.observation_space
            assert type(reward) is float
            assert type(terminated) is bool
            assert type(truncated) is bool
            over = terminated or truncated


def test_the_agent_sees_the_words_themselves(env):
    seen, _ = env.reset(seed=4)
    first = seen["instruction"]
    assert isinstance(first, str)
    assert first
    assert seen["said"] == ""
    seen, *_ = env.step([0, 5, 10])
    assert seen["said"] == first
    assert seen["slates"][0].tolist() == [0, 5, 10]
    assert (seen["slates"][1:] == -1).all()
    assert seen["turn"] == 1
    second = seen["instruction"]
    seen, *_ = env.step([1, 6, 11])
    assert seen["said"] == f"{first}\n{second}"


def test_it_is_the_state_machine_and_nothing_else(env):
    world = env.world
    state = start(world, Sessions.first(9, 1))
    seen, _ = env.reset(seed=9)
    env.action_space.seed(0)
    for _ in range(world.turn_limit):
        slate = env.action_space.sample()
        state, outcome = step(world, state, slate[None])
        seen, reward, terminated, truncated, info = env.step(slate)
        assert reward == outcome.reward[0]
        assert (terminated, truncated) == (outcome.terminated[0], outcome.truncated[0])
        assert np.array_equal(seen["clicked"], observe(world, state).clicked[0])
        assert np.array_equal(info["item_rewards"], outcome.item_rewards[0])
        if terminated or truncated:
            break
    assert dict(arrays_of(env.state)).keys() == dict(arrays_of(state)).keys()


def test_leaving_terminates_and_the_turn_limit_truncates():
    ends = {"left": 0, "limit": 0}
    env = RecEnv(tiny_world(turn_limit=3, leave=0.3))
    env.reset(seed=0)
    for _ in range(60):
        env.reset()
        for turn in range(3):
            *_, terminated, truncated, _ = env.step([0, 5, 10])
            assert not (terminated and truncated)
            assert not truncated or turn == 2
            if terminated or truncated:
                ends["left" if terminated else "limit"] += 1
                break
        else:
            pytest.fail("a session outlived the turn limit")
    assert min(ends.values()) > 5


def test_a_seed_fixes_everything(env):
    def play(**reset):
        seen, info = env.reset(**reset)
        got = [seen, info]
        for slate in ([0, 1, 2], [5, 6, 7]):
            *rest, terminated, truncated, info = env.step(slate)
            got += [*rest, terminated, truncated, info]
            if terminated or truncated:
                break
        return got

    first = play(seed=5)
    second = play()
    assert not data_equivalence(first, second, exact=True), "the next session is another person"
    assert data_equivalence(first, play(seed=5), exact=True)
    assert data_equivalence(second, play(), exact=True), "later sessions follow the seed too"
    assert data_equivalence(second, play(seed=5, options={"ordinal": 1}), exact=True)
    assert not data_equivalence(first, play(seed=6), exact=True)
    assert not data_equivalence(first, play(seed=5, options={"lane": 1}), exact=True)


def test_without_a_seed_environments_differ():
    drawn = {tuple(RecEnv(tiny_world()).reset()[1]["session"]) for _ in range(4)}
    assert len(drawn) == 4


def test_lanes_and_ordinals_are_as_asked(env):
    def session(**reset):
        return env.reset(**reset)[1]["session"].tolist()

    assert session(seed=3) == [3, 0, 0]
    assert session() == [3, 0, 1]
    assert session(options={"lane": 4}) == [3, 4, 0]
    assert session() == [3, 4, 1]
    assert session(options={"ordinal": 7}) == [3, 4, 7]
    assert session(seed=5) == [5, 0, 0]
    assert session(seed=5, options={"lane": 2, "ordinal": 3}) == [5, 2, 3]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lanes": 1}, "did you mean 'lane'"),
        ({"lane": -1}, "0 or more, got -1"),
        ({"ordinal": 0.5}, "0 or more, got 0.5"),
    ],
)
def test_options_that_mean_nothing_are_refused(env, options, says):
    with pytest.raises(ValueError, match=says):
        env.reset(seed=0, options=options)


@pytest.mark.parametrize(
    ("slate", "error", "says"),
    [
        ([0, 1, 1], ValueError, "repeats item 1 in position 3"),
        ([0, 1], ValueError, "expected slates of shape"),
        ([0, 1, 20], ValueError, "item 20 in position 3 .* does not exist"),
        ([0, 1, -1], ValueError, "item -1"),
        ([0.0, 1.0, 2.0], TypeError, "integers"),
    ],
)
def test_what_is_not_a_slate_is_refused_and_changes_nothing(env, slate, error, says):
    env.reset(seed=0)
    with pytest.raises(error, match=says):
        env.step(slate)
    assert env.state.turn[0] == 0


def test_nothing_runs_before_reset_or_after_the_end(env):
    with pytest.raises(ResetNeeded):
        env.step([0, 1, 2])
    with pytest.raises(ResetNeeded):
        env.state  # noqa: B018
    env.reset(seed=0)
    over = False
    while not over:
        *_, terminated, truncated, _ = env.step([0, 5, 10])
        over = terminated or truncated
    with pytest.raises(ResetNeeded, match="the session is over"):
        env.step([0, 5, 10])


def _arrays(seen):
    return [value for value in seen.values() if isinstance(value, np.ndarray)]


class People(TinyPopulation):
    """Tiny's users, with a past to know."""

    def past(self, state):
        return np.tile(np.arange(4, dtype=np.int32), (len(state.colour), 1)), np.ones(
            (len(state.colour), 4), np.float32
        )


def test_what_was_returned_never_changes_and_changing_it_changes_nothing():
    world = dataclasses.replace(few_candidates(), population=People())
    env, other = RecEnv(world), RecEnv(world)
    kept, snapshots = [], []
    seen, info = env.reset(seed=2)
    other.reset(seed=2)
    for slate in ([0, 5, 10], [1, 6, 11], [2, 7, 12]):
        kept.append((seen, info))
        snapshots.append([array.copy() for array in _arrays(seen) + _arrays(info)])
        for _, array in arrays_of(env.state):
            assert not any(np.shares_memory(array, mine) for mine in _arrays(seen) + _arrays(info))
        seen, *_, info = env.step(slate)
    for (seen, info), before in zip(kept, snapshots, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(_arrays(seen) + _arrays(info), before, strict=True))
    # Vandalise everything this environment gave away; one that did not must live through the same.
    env.reset(seed=2)
    for slate in ([0, 5, 10], [1, 6, 11], [2, 7, 12]):
        seen, *_, info = env.step(slate)
        expected, *_ = other.step(slate)
        assert data_equivalence(seen, expected, exact=True)
        for array in _arrays(seen) + _arrays(info):
            array.fill(1)


def test_candidates_are_shown_only_where_they_are_fewer_than_all(env):
    assert "candidates" not in env.reset(seed=0)[0]
    seen, _ = RecEnv(few_candidates()).reset(seed=0)
    assert len(set(seen["candidates"].tolist())) == 8


def test_nothing_hidden_is_in_an_observation_or_an_info(env):
    seen, info = env.reset(seed=0)
    assert set(info) == {"session"}
    *_, info = env.step([0, 1, 2])
    assert set(info) == {"consumed", "item_rewards"}
    assert not {"goal", "satisfaction", "trust", "colour"} & set(seen)
    assert env.outcome.reactions.satisfaction is not None, "evaluation finds it here"


def test_render_tells_the_conversation():
    env = gymnasium.make("instructrec/Tiny-v0", render_mode="ansi", lure=1.0, leave=0.0)
    seen, _ = env.reset(seed=1)
    assert seen["instruction"] in env.render()
    env.step(np.array([0, 5, 10]))
    text = env.render()
    assert seen["instruction"] in text
    assert "1. Red thing 1" in text
    assert "reward" in text
    colour = env.unwrapped.state.population.colour[0]
    env.step(np.array([colour * 5 + 4, (colour * 5 + 9) % 20, (colour * 5 + 14) % 20]))
    assert "(clicked, consumed)" in env.render()
    assert "The user left." in env.render()


def test_human_mode_prints_as_it_goes(capsys):
    env = RecEnv("instructrec/Tiny-v0", render_mode="human")
    env.reset(seed=1)
    env.step([0, 1, 2])
    assert env.render() is None
    printed = capsys.readouterr().out
    assert "Session: seed 1, lane 0, ordinal 0" in printed
    assert "Turn 1 of 6" in printed


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match="did you mean 'ansi'"):
        RecEnv("instructrec/Tiny-v0", render_mode="ansy")

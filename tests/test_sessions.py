"""The state machine: what a step does, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from instructrec.candidates import RandomCandidates
from instructrec.envs import tiny_world
from instructrec.rewards import EngagementReward
from instructrec.sessions import Sessions, check_slates, observe, restart, start, step

WORLD = tiny_world()


def slates(batch, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(20)[:3] for _ in range(batch)])


def test_a_session_begins_with_nothing_shown():
    state = start(WORLD, Sessions.first(0, 4))
    seen = observe(WORLD, state)
    assert seen.batch == 4
    assert seen.turn.tolist() == [0] * 4
    assert (seen.slates == -1).all()
    assert (seen.said == -1).all()
    assert not seen.clicked.any()
    assert seen.candidates is None
    assert all(seen.texts.strings(seen.instruction))


def test_a_step_writes_down_what_was_said_shown_and_clicked():
    state = start(WORLD, Sessions.first(0, 50))
    shown = [slates(50, turn) for turn in range(3)]
    said, clicked = [], []
    for slate in shown:
        said.append(state.instructions.texts)
        state, outcome = step(WORLD, state, slate)
        clicked.append(outcome.reactions.clicked)
    seen = observe(WORLD, state)
    assert np.array_equal(seen.said[:, :3], np.stack(said, axis=1))
    assert np.array_equal(seen.slates[:, :3], np.stack(shown, axis=1))
    assert np.array_equal(seen.clicked[:, :3], np.stack(clicked, axis=1))
    assert (seen.said[:, 3:] == -1).all()
    assert (seen.slates[:, 3:] == -1).all()
    assert (seen.turn == 3).all()


def test_the_reward_of_a_turn_is_the_sum_of_its_positions():
    world = replace(WORLD, reward=EngagementReward(click=2.0, consumption=0.5))
    _, outcome = step(world, start(world, Sessions.first(0, 100)), slates(100))
    assert np.array_equal(outcome.item_rewards, outcome.reactions.clicked * np.float32(2.5))
    assert np.array_equal(outcome.reward, outcome.item_rewards.sum(axis=1))
    assert outcome.reward.dtype == outcome.item_rewards.dtype == np.float32


def test_leaving_terminates_the_limit_truncates_and_never_both():
    world = tiny_world(turn_limit=2, leave=0.5)
    state = start(world, Sessions.first(0, 400))
    state, first = step(world, state, slates(400))
    assert not first.truncated.any()
    assert np.array_equal(first.terminated, first.reactions.left)
    state, last = step(world, state, slates(400, 1))
    assert last.done.all()
    assert np.array_equal(last.truncated, ~last.reactions.left)
    assert last.terminated.any()
    assert last.truncated.any()


@pytest.mark.parametrize("batch", [1, 3])
def test_stepping_on_after_the_limit_overwrites_the_last_turn_and_does_no_harm(batch):
    world = tiny_world(turn_limit=2)
    state = start(world, Sessions.first(0, batch))
    for turn in range(4):
        state, outcome = step(world, state, slates(batch, turn))
    assert outcome.done.all()
    assert np.array_equal(state.slates[:, 1], slates(batch, 3))


def test_a_restarted_lane_goes_on_to_its_next_session():
    state = start(WORLD, Sessions.first(5, 4))
    state, _ = step(WORLD, state, slates(4))
    mixed = restart(WORLD, state, np.array([1, 3]))
    assert mixed.sessions.ordinal.tolist() == [0, 1, 0, 1]
    assert mixed.sessions.lane.tolist() == [0, 1, 2, 3]
    assert mixed.turn.tolist() == [1, 0, 1, 0]
    fresh = start(WORLD, Sessions(np.array([5]), np.array([3]), np.array([1])))
    assert mixed.instructions.texts[3] == fresh.instructions.texts[0]
    assert (mixed.slates[1] == -1).all()
    assert np.array_equal(mixed.slates[0], state.slates[0])


def test_sessions_are_named_by_seed_lane_and_ordinal():
    keys = {
        int(key)
        for seed in range(4)
        for ordinal in range(4)
        for key in Sessions(np.full(8, seed), np.arange(8), np.full(8, ordinal)).keys
    }
    assert len(keys) == 4 * 4 * 8
    assert np.array_equal(Sessions.first(3, np.array([7])).keys, Sessions.first(3, 8).keys[7:])
    for seed, lanes in ((-1, 2), (0, np.array([0, -1]))):
        with pytest.raises(ValueError, match="must be 0 or more"):
            Sessions.first(seed, lanes)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    ("slate", "error", "says"),
    [
        ([3, 4, 3], ValueError, "slate 0 repeats item 3 in position 3; a slate holds distinct items"),
        ([3, 20, 4], ValueError, "item 20 in position 2 of slate 0 does not exist; items are numbered 0 to 19"),
        ([-1, 3, 4], ValueError, "item -1 in position 1 of slate 0 does not exist"),
        ([3, 4], ValueError, r"expected slates of shape \(., 3\)"),
        ([[3, 4, 5]], ValueError, "expected slates of shape"),
        ([3.0, 4.0, 5.0], TypeError, "integers"),
        ([True, False, True], TypeError, "integers"),
        (["a", "b", "c"], TypeError, "integers"),
        ([None, 1, 2], TypeError, "integers"),
    ],
)
def test_what_is_not_a_slate_is_refused(batch, slate, error, says):
    state = start(WORLD, Sessions.first(0, batch))
    with pytest.raises(error, match=says):
        step(WORLD, state, [slate] * batch)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, np.uint64])
def test_integers_of_any_width_make_a_slate(kind):
    checked = check_slates(WORLD, np.array([[19, 0, 7]], kind), 1)
    assert checked.dtype == np.int32
    assert checked.tolist() == [[19, 0, 7]]


def test_one_slate_is_checked_as_many_are():
    for slate in ([0, 1, 2], [0, 0, 1], [0, 1, 99], [-5, 1, 2]):
        results = []
        for batch in (1, 2):
            try:
                results.append(check_slates(WORLD, [slate] * batch, batch)[0].tolist())
            except ValueError as error:
                results.append(str(error))
        assert results[0] == results[1]


def test_candidates_are_drawn_anew_each_turn_but_the_same_each_time_they_are_looked_at():
    world = replace(WORLD, candidates=RandomCandidates(WORLD.catalogue, 6))
    state = start(world, Sessions.first(0, 20))
    first = observe(world, state).candidates
    assert np.array_equal(first, observe(world, state).candidates)
    state, _ = step(world, state, slates(20))
    assert not np.array_equal(first, observe(world, state).candidates)


def test_random_candidates_are_drawn_uniformly():
    for size in (3, 12):  # Few are drawn one by one, many by ordering all.
        world = replace(WORLD, candidates=RandomCandidates(WORLD.catalogue, size))
        drawn = observe(world, start(world, Sessions.first(0, 8_000))).candidates
        share = np.bincount(drawn.ravel(), minlength=20) / 8_000
        assert abs(share - size / 20).max() < 5 * np.sqrt(size / 20 * (1 - size / 20) / 8_000)


def test_an_observation_can_be_given_other_words():
    seen = observe(WORLD, start(WORLD, Sessions.first(0, 4)))
    other = seen.saying(np.arange(4))
    assert other.instruction.tolist() == [0, 1, 2, 3]
    assert other.said is seen.said
    assert seen.rows(slice(1, 3)).batch == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"slate_size": 0}, "slate_size must be from 1 to the number of items"),
        ({"slate_size": 21}, "slate_size must be from 1 to the number of items"),
        ({"turn_limit": 0}, "turn_limit must be at least 1"),
    ],
)
def test_impossible_worlds_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        replace(WORLD, **settings)


def test_every_part_of_a_world_is_in_its_fingerprint():
    others = [
        replace(WORLD, name="other/World-v0"),
        replace(WORLD, turn_limit=5),
        replace(WORLD, slate_size=2),
        replace(WORLD, reward=EngagementReward(click=0.5)),
        replace(WORLD, candidates=RandomCandidates(WORLD.catalogue, 6)),
        replace(WORLD, candidates=RandomCandidates(WORLD.catalogue, 7)),
        tiny_world(leave=0.06),
    ]
    assert len({world.fingerprint for world in [WORLD, *others]}) == len(others) + 1

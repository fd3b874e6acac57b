"""Worlds as Stable-Baselines3 sees them are the same sessions, and nothing it keeps changes under its hands."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from gymnasium.error import ResetNeeded
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy

import instructrec.agents
from instructrec.agents.encoder import TextEncoder
from instructrec.agents.hashed_words import HashedWords
from instructrec.agents.inputs import inputs_of
from instructrec.agents.sb3_worlds import filled_slates, sb3_env, sb3_vec_env
from instructrec.arrays import arrays_of
from instructrec.envs.worlds import make_world
from instructrec.noise import Noise, Purpose
from instructrec.sessions import Observation, Sessions, observe, restart, start, step

TINY = "instructrec/Tiny-v0"
ENCODER = TextEncoder(HashedWords(8))


@dataclass(frozen=True)
class SomeItems:
    """Seven of Tiny's twenty items, others each turn."""

    def draw(self, observation: Observation, noise: Noise) -> npt.NDArray[np.int32]:
        return np.argsort(noise.uniform(Purpose.CANDIDATES, 20), axis=1)[:, :7].astype(np.int32)


def slates(batch: int, turn: int) -> npt.NDArray[np.int64]:
    rng = np.random.default_rng(turn)
    return np.stack([rng.permutation(20)[:3] for _ in range(batch)])


def same(one, other) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


@pytest.mark.parametrize("candidates", [None, SomeItems()])
def test_one_session_passes_the_checker_without_a_warning(candidates):
    world = replace(make_world(TINY), candidates=candidates)
    check_env(sb3_env(world, encoder=ENCODER))


def test_the_package_offers_the_environment_by_name():
    env = instructrec.agents.sb3_env(TINY, encoder="hashing", num_colours=3)
    assert env.world.catalogue.num_items == 15
    check_env(env)
    assert instructrec.agents.sb3_env is instructrec.agents.sb3_env
    assert "sb3_env" in dir(instructrec.agents)


def test_a_batch_lives_through_the_sessions_that_the_core_steps():
    world = replace(make_world(TINY), candidates=SomeItems())
    env = sb3_vec_env(world, 6, encoder=ENCODER, seed=3)
    state = start(world, Sessions.first(3, 6))
    same(env.reset(), inputs_of(observe(world, state), ENCODER))
    for turn in range(20):
        state, outcome = step(world, state, slates(6, turn))
        final = inputs_of(observe(world, state), ENCODER)
        observations, rewards, dones, infos = env.step(slates(6, turn))
        np.testing.assert_array_equal(rewards, outcome.reward)
        np.testing.assert_array_equal(dones, outcome.done)
        np.testing.assert_array_equal(env.last_outcome.item_rewards, outcome.item_rewards)
        for row, info in enumerate(infos):
            if outcome.done[row]:
                assert info["TimeLimit.truncated"] == outcome.truncated[row]
                same(info["terminal_observation"], {name: array[row] for name, array in final.items()})
            else:
                assert info == {}
        if outcome.done.any():
            state = restart(world, state, np.flatnonzero(outcome.done))
        same(observations, inputs_of(observe(world, state), ENCODER))
    assert env.episode_statistics.count > 0


def test_a_session_alone_is_the_session_of_its_lane():
    batch, alone = sb3_vec_env(TINY, 4, encoder=ENCODER, seed=5), sb3_env(TINY, encoder=ENCODER)
    together = batch.reset()
    observation, _ = alone.reset(seed=5, options={"lane": 2})
    for turn in range(12):
        same({name: array[2] for name, array in together.items()}, observation)
        together, rewards, dones, _ = batch.step(slates(4, turn))
        observation, reward, terminated, truncated, _ = alone.step(slates(4, turn)[2])
        assert (reward, terminated or truncated) == (rewards[2], dones[2])
        if dones[2]:
            observation, _ = alone.reset()


def test_what_was_observed_does_not_change_when_the_sessions_go_on():
    env = sb3_vec_env(TINY, 8, encoder=ENCODER)
    kept = [env.reset()]
    copies = [copy.deepcopy(kept[0])]
    for turn in range(10):
        observations, rewards, _, infos = env.step(slates(8, turn))
        rewards += 100  # PPO adds to rewards where it bootstraps.
        kept += [observations, *(info["terminal_observation"] for info in infos if info)]
        copies += copy.deepcopy(kept[len(copies) :])
    for one, other in zip(kept, copies, strict=True):
        same(one, other)


def test_what_an_agent_does_to_an_observation_does_not_reach_the_session():
    env, untouched = (sb3_vec_env(TINY, 4, encoder=ENCODER) for _ in range(2))
    observations = env.reset()
    untouched.reset()
    for turn in range(8):
        for array in observations.values():
            array[:] = 0
        observations, rewards, _, _ = env.step(slates(4, turn))
        expected, expected_rewards, _, _ = untouched.step(slates(4, turn))
        same(observations, expected)
        np.testing.assert_array_equal(rewards, expected_rewards)
        rewards[:] = 0
        assert env.last_outcome.reward.sum() == expected_rewards.sum()


def test_a_seed_names_the_sessions_and_a_reset_goes_on_to_the_next():
    env = sb3_vec_env(TINY, 64, encoder=ENCODER, seed=1)
    first = env.reset()
    second = env.reset()
    assert env.state.sessions.ordinal.tolist() == [1] * 64
    assert (first["tokens"] != second["tokens"]).any()
    env.seed(1)
    same(env.reset(), first)
    assert env.state.sessions.ordinal.tolist() == [0] * 64


def test_statistics_add_up_to_the_rewards():
    env = sb3_vec_env(TINY, 16, encoder=ENCODER)
    env.reset()
    total, left, ended = 0.0, 0, 0
    for turn in range(30):
        _, rewards, dones, infos = env.step(slates(16, turn))
        total += rewards.sum()
        ended += dones.sum()
        left += sum(not info["TimeLimit.truncated"] for info in infos if info)
        if turn == 14:
            half = env.episode_statistics
    past = env.episode_statistics
    assert past.count == len(past.returns) == ended
    assert past.left.sum() == left
    assert past.returns.sum() <= total
    assert past.returns.sum() + env._returns.sum() == total
    later = past.since(half.count)
    np.testing.assert_array_equal(np.concatenate([half.returns, later.returns]), past.returns)


def test_a_snapshot_goes_on_exactly_in_another_environment():
    world = replace(make_world(TINY), candidates=SomeItems())
    env = sb3_vec_env(world, 8, encoder=ENCODER, seed=2)
    env.reset()
    for turn in range(7):
        env.step(slates(8, turn))
    snapshot = env.snapshot()
    kept = copy.deepcopy(snapshot)
    other = sb3_vec_env(world, 8, encoder=ENCODER, seed=99)
    same(other.restore(snapshot), inputs_of(env.observation, ENCODER))
    for turn in range(7, 20):
        results, others = env.step(slates(8, turn)), other.step(slates(8, turn))
        same(results[0], others[0])
        np.testing.assert_array_equal(results[1], others[1])
    assert dict(arrays_of(other.state)).keys() == dict(arrays_of(env.state)).keys()
    assert other.episode_statistics.count == env.episode_statistics.count
    np.testing.assert_array_equal(other.episode_statistics.returns, env.episode_statistics.returns)
    same(snapshot, kept)


def test_a_snapshot_of_another_batch_or_world_is_refused():
    env = sb3_vec_env(TINY, 4, encoder=ENCODER)
    env.reset()
    snapshot = env.snapshot()
    with pytest.raises(ValueError, match="the snapshot holds 4 sessions; this environment runs 5"):
        sb3_vec_env(TINY, 5, encoder=ENCODER).restore(snapshot)
    with pytest.raises(ValueError, match="a snapshot of another world"):
        sb3_vec_env(replace(make_world(TINY), turn_limit=3), 4, encoder=ENCODER).restore(snapshot)


@pytest.mark.parametrize("candidates", [None, SomeItems()])
def test_repeats_become_the_most_popular_other_candidates(candidates):
    world = replace(make_world(TINY), candidates=candidates)
    env = sb3_vec_env(world, 5, encoder=ENCODER, fill_repeats=True)
    assert env.action_space.nvec.tolist() == [20 if candidates is None else 7] * 3
    env.reset()
    before = env.observation
    env.step(np.full((5, 3), 6))
    shown = env.state.slates[:, 0] if not env.episode_statistics.count else None
    expected = filled_slates(before, np.full((5, 3), 6), world.catalogue.popularity)
    for row, slate in enumerate(expected):
        rankable = range(20) if candidates is None else before.candidates[row].tolist()
        others = [item for item in rankable if item != rankable[6]]
        others.sort(key=lambda item: -world.catalogue.popularity[item])
        assert slate.tolist() == [rankable[6], *others[:2]]
        if shown is not None:
            assert shown[row].tolist() == slate.tolist()


def test_without_filling_a_repeat_is_an_error():
    env = sb3_vec_env(TINY, 1, encoder=ENCODER)
    env.reset()
    with pytest.raises(ValueError, match="repeats item 2"):
        env.step(np.array([[2, 1, 2]]))


def test_stepping_needs_a_session():
    env = sb3_env(TINY, encoder=ENCODER)
    with pytest.raises(ResetNeeded):
        env.step(np.arange(3))
    with pytest.raises(ResetNeeded):
        sb3_vec_env(TINY, 2, encoder=ENCODER).step(slates(2, 0))
    env.reset(seed=0)
    while not any(env.step(np.arange(3))[2:4]):
        pass
    with pytest.raises(ResetNeeded, match="over"):
        env.step(np.arange(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sb3_vec_env(TINY, 0, encoder=ENCODER), "num_envs must be at least 1, got 0"),
        (lambda: sb3_env("instructrec/Tinny-v0", encoder=ENCODER), "did you mean 'instructrec/Tiny-v0'"),
        (lambda: sb3_env(TINY, encoder="hashin"), "did you mean 'hashing'"),
    ],
)
def test_mistakes_are_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_stock_algorithms_train_and_are_evaluated_as_they_are():
    env = sb3_vec_env(TINY, 4, encoder=ENCODER, fill_repeats=True)
    model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=32, n_epochs=1, seed=0, device="cpu").learn(64)
    mean, _ = evaluate_policy(model, env, n_eval_episodes=4)
    assert 0 <= mean <= 18
    PPO("MultiInputPolicy", sb3_env(TINY, encoder=ENCODER), n_steps=8, batch_size=8, device="cpu")

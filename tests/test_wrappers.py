"""Algorithms of other libraries can play."""

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, MultiDiscrete
from gymnasium.utils.env_checker import check_env

from instructrec.candidates import RandomCandidates
from instructrec.envs import (
    EncodeInstruction,
    FillRepeats,
    RankByQuery,
    RecEnv,
    RecVectorEnv,
    VectorEncodeInstruction,
    VectorFillRepeats,
    VectorRankByQuery,
    tiny_world,
)
from instructrec.testing import HashingEncoder

WORLD = tiny_world()
FEW = replace(WORLD, candidates=RandomCandidates(WORLD.catalogue, 6))
ENCODER = HashingEncoder(16)
COLOURS = WORLD.catalogue.columns["colour"].indicators()
LANES = 5


class Counted(HashingEncoder):
    asked = 0

    def encode(self, texts):
        type(self).asked += len(texts)
        return super().encode(texts)


def singles(world, wrap):
    envs = [wrap(RecEnv(world)) for _ in range(LANES)]
    return envs, [env.reset(seed=3, options={"lane": lane})[0] for lane, env in enumerate(envs)]


@pytest.mark.parametrize("world", [WORLD, FEW])
def test_filling_one_by_one_is_filling_all_at_once(world):
    vector = VectorFillRepeats(RecVectorEnv(world, LANES))
    vector.reset(seed=3)
    envs, _ = singles(world, FillRepeats)
    vector.action_space.seed(0)
    for _ in range(20):
        slates = vector.action_space.sample() % 5  # Few items, many repeats.
        seen, rewards, *_, infos = vector.step(slates)
        for lane, env in enumerate(envs):
            one, reward, left, limit, _ = env.step(slates[lane])
            last = infos["final_obs"][lane] if left or limit else {name: part[lane] for name, part in seen.items()}
            assert np.array_equal(last["slates"], one["slates"])
            assert rewards[lane] == reward
            if left or limit:
                env.reset()


def test_a_repeat_becomes_the_most_popular_item_that_is_not_shown_yet():
    env = FillRepeats(RecEnv(WORLD))
    env.reset(seed=0)
    env.step([7, 7, 7])
    # Baits are the most popular: 4, 9, 14, 19.
    assert env.unwrapped.state.slates[0, 0].tolist() == [7, 4, 9]
    env.reset(seed=0)
    env.step([4, 7, 4])
    assert env.unwrapped.state.slates[0, 0].tolist() == [4, 7, 9]


def test_a_repeat_becomes_a_candidate_where_there_are_candidates():
    env = FillRepeats(RecEnv(FEW))
    seen, _ = env.reset(seed=0)
    candidates = seen["candidates"]
    env.step(candidates[[2, 2, 2]])
    shown = env.unwrapped.state.slates[0, 0]
    others = sorted(
        set(candidates) - {candidates[2]}, key=lambda i: (-WORLD.catalogue.popularity[i], list(candidates).index(i))
    )
    assert shown.tolist() == [candidates[2], *others[:2]]


def test_stock_algorithms_see_a_plain_multidiscrete():
    env = FillRepeats(RecEnv(WORLD))
    assert type(env.action_space) is MultiDiscrete
    assert env.action_space.nvec.tolist() == [20, 20, 20]
    vector = VectorFillRepeats(RecVectorEnv(WORLD, 2))
    assert vector.action_space.shape == (2, 3)


@pytest.mark.parametrize("slate", [[0, 1], [0.0, 1.0, 2.0], [0, 1, 20]])
def test_what_is_no_slate_even_with_repeats_is_still_refused(slate):
    env = FillRepeats(RecEnv(WORLD))
    env.reset(seed=0)
    with pytest.raises((TypeError, ValueError), match="slate"):
        env.step(slate)


def test_words_become_a_vector():
    env = EncodeInstruction(RecEnv(WORLD), ENCODER)
    seen, _ = env.reset(seed=1)
    assert isinstance(env.observation_space, Box)
    assert seen.shape == (33,)
    first = env.unwrapped.world.population.texts.strings(env.unwrapped.state.instructions.texts)
    assert np.array_equal(seen[:16], ENCODER.encode(first)[0])
    assert not seen[16:].any()
    env.step([0, 5, 10])
    seen, *_ = env.step([1, 6, 11])
    said = env.unwrapped.world.population.texts.strings(env.unwrapped.state.said[0, :2])
    assert np.allclose(seen[16:32], ENCODER.encode(said).mean(axis=0))
    assert seen[32] == np.float32(2 / 6)


def test_each_text_is_encoded_once():
    env = VectorEncodeInstruction(RecVectorEnv(WORLD, 64), Counted(16))
    env.reset(seed=0)
    for _ in range(20):
        env.step(env.action_space.sample())
    # 24 texts are heard in training; one more is the empty text, which also tells the width.
    assert Counted.asked <= 26


@pytest.mark.parametrize("world", [WORLD, FEW])
def test_acting_by_query_one_by_one_is_acting_all_at_once(world):
    def wrap(env):
        return RankByQuery(EncodeInstruction(env, ENCODER), COLOURS)

    def wrap_vector(env):
        return VectorRankByQuery(VectorEncodeInstruction(env, ENCODER), COLOURS)

    vector = wrap_vector(RecVectorEnv(world, LANES))
    seen, _ = vector.reset(seed=3)
    envs, alone = singles(world, wrap)
    assert np.array_equal(seen, np.stack(alone))
    vector.action_space.seed(0)
    ended = 0
    for _ in range(20):
        queries = vector.action_space.sample()
        seen, rewards, terminated, truncated, infos = vector.step(queries)
        assert seen in vector.observation_space
        for lane, env in enumerate(envs):
            one, reward, left, limit, _ = env.step(queries[lane])
            assert (reward, left, limit) == (rewards[lane], terminated[lane], truncated[lane])
            if left or limit:
                ended += 1
                assert np.array_equal(infos["final_obs"][lane], one)
                one, _ = env.reset()
            assert np.array_equal(seen[lane], one)
    assert ended > 3


def test_the_slate_is_the_best_matches_of_the_query():
    env = RankByQuery(RecEnv(WORLD), COLOURS)
    env.reset(seed=0)
    env.step(np.array([0.0, 0.5, 0.1, 0.0], np.float32))
    assert env.unwrapped.state.slates[0, 0].tolist() == [5, 6, 7]
    few = RankByQuery(RecEnv(FEW), COLOURS)
    seen, _ = few.reset(seed=0)
    few.step(np.array([0.0, 0.5, 0.1, 0.0], np.float32))
    shown = few.unwrapped.state.slates[0, 0]
    assert set(shown) <= set(seen["candidates"])
    worst = min((COLOURS[shown] @ [0, 0.5, 0.1, 0]).tolist())
    assert worst >= max((COLOURS[list(set(seen["candidates"]) - set(shown))] @ [0, 0.5, 0.1, 0]).tolist())


def test_gymnasiums_checker_has_nothing_to_say_about_the_wrapped():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The checker always warns that it is given a wrapper; what it would say besides is an error.
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version")
        for env in (
            FillRepeats(RecEnv(WORLD)),
            RankByQuery(EncodeInstruction(RecEnv(WORLD), ENCODER), COLOURS),
            EncodeInstruction(FillRepeats(RecEnv(FEW)), ENCODER),
            FillRepeats(EncodeInstruction(RecEnv(FEW), ENCODER)),
        ):
            check_env(env, skip_render_check=True)


def test_stable_baselines_checker_has_nothing_to_say_about_slates():
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(EncodeInstruction(RecEnv(WORLD), ENCODER))
        checker.check_env(RankByQuery(EncodeInstruction(RecEnv(FEW), ENCODER), COLOURS))


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        (np.ones((19, 4)), r"\[20, width\]; got shape \(19, 4\)"),
        (np.full((20, 4), np.nan), "finite"),
        (np.ones(20), "width"),
    ],
)
def test_item_vectors_that_do_not_fit_are_refused(vectors, says):
    with pytest.raises(ValueError, match=says):
        RankByQuery(RecEnv(WORLD), vectors)


@pytest.mark.parametrize("query", [np.zeros(3), np.array([np.nan, 0, 0, 0])])
def test_queries_that_mean_nothing_are_refused(query):
    env = RankByQuery(RecEnv(WORLD), COLOURS)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="a query holds 4 finite numbers"):
        env.step(query)


def test_other_environments_are_refused():
    other = gymnasium.make("CartPole-v1")
    for wrap in (FillRepeats, lambda env: EncodeInstruction(env, ENCODER), lambda env: RankByQuery(env, COLOURS)):
        with pytest.raises(TypeError, match="wraps a RecEnv, got CartPoleEnv"):
            wrap(other)
    with pytest.raises(TypeError, match="wraps a RecVectorEnv, got SyncVectorEnv"):
        VectorFillRepeats(gymnasium.vector.SyncVectorEnv([lambda: RecEnv(WORLD)]))


def test_another_librarys_ppo_learns_the_tiny_world():
    path = Path(__file__).parent.parent / "examples" / "any_library.py"
    spec = importlib.util.spec_from_file_location("any_library", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    before, after = example.main(steps=8_192, episodes=80)
    assert before < 4
    assert after > 8

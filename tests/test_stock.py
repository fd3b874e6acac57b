"""Stock algorithms learn a little, keep to their budget, and end in a policy like any other."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
import torch
from stable_baselines3.common.utils import set_random_seed

from instructrec.agents.encoder import TextEncoder
from instructrec.agents.features import item_features
from instructrec.agents.hashed_words import HashedWords
from instructrec.agents.reading import SessionReader
from instructrec.agents.stock import StockPolicy, StockPPOConfig, train_stock
from instructrec.envs.worlds import make_world
from instructrec.noise import Noise
from instructrec.sessions import Sessions, check_slates, observe, start, step


@pytest.fixture(scope="module")
def world():
    return make_world("instructrec/Tiny-v0")


@pytest.fixture(scope="module")
def reader(world):
    encoder = TextEncoder(HashedWords())
    features = item_features(world.catalogue, encoder.encode(list(world.catalogue.texts)))
    return SessionReader(features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit)


@pytest.fixture(scope="module")
def trained(world, reader):
    config = StockPPOConfig(seconds=120, num_envs=32, num_steps=16, learning_rate=2e-3)
    return train_stock(world, reader, config, steps=8192, seed=0)


def played(world, policy, sessions: int = 256) -> float:
    """Returns the mean return of one session each of people never trained on."""
    state = start(world, Sessions.first(1_000, sessions))
    total, here = np.zeros(sessions), np.ones(sessions, np.bool_)
    for _ in range(world.turn_limit):
        slates = policy.act(observe(world, state), Noise(state.sessions.keys, state.turn))
        state, outcome = step(world, state, slates)
        total += outcome.reward * here
        here &= ~outcome.done
    return float(total.mean())


def test_it_learns(world, trained):
    assert trained.steps == 8192
    steps, returns = zip(*trained.curve, strict=True)
    assert steps == tuple(range(512, 8193, 512))
    assert np.mean(returns[-3:]) > 1.3 * np.mean(returns[:3])
    assert played(world, trained.policy) > 4.0  # Random slates get 2.6, the best slates for a deaf agent 3.8.


def test_its_slates_are_slates_and_repeat_themselves(world, trained):
    state = start(world, Sessions.first(7, 64))
    observation = observe(world, state)
    luck = Noise(state.sessions.keys, state.turn)
    slates = trained.policy.act(observation, luck)
    check_slates(world, slates, 64)
    np.testing.assert_array_equal(slates, trained.policy.act(observation, Noise(luck.keys + np.uint64(1), luck.turn)))
    assert (trained.policy.log_prob(observation, slates) == 0).all()
    assert np.isneginf(trained.policy.log_prob(observation, slates[:, ::-1])).any()


def test_a_saved_policy_shows_the_same(world, reader, trained, tmp_path):
    trained.policy.save(tmp_path / "ppo.safetensors")
    again = StockPolicy.load(tmp_path / "ppo.safetensors", reader, world.slate_size, world.catalogue.popularity)
    state = start(world, Sessions.first(8, 64))
    luck = Noise(state.sessions.keys, state.turn)
    expected = trained.policy.act(observe(world, state), luck)
    np.testing.assert_array_equal(again.act(observe(world, state), luck), expected)


def _global_draws() -> tuple[float, float, float]:
    return torch.rand(1).item(), float(np.random.random()), random.random()  # noqa: NPY002


def test_the_seed_decides_everything_and_nothing_global_changes(world, reader):
    config = StockPPOConfig(num_envs=8)
    set_random_seed(5)
    expected = _global_draws()
    first, other = (train_stock(world, reader, config, steps=128, seed=seed).policy for seed in (1, 2))
    set_random_seed(5)
    second = train_stock(world, reader, config, steps=128, seed=1).policy
    assert _global_draws() == expected
    for name, value in first.actor.state_dict().items():
        torch.testing.assert_close(value, second.actor.state_dict()[name], rtol=0, atol=0)
    assert not torch.equal(first.actor[0].weight, other.actor[0].weight)


def test_training_ends_when_the_time_does(world, reader):
    told: list[float] = []
    began = time.monotonic()
    config = StockPPOConfig(seconds=2)
    training = train_stock(world, reader, config, steps=2**40, progress=lambda share, words: told.append(share))
    assert time.monotonic() - began < 20  # Not a benchmark: a busy machine may take longer over an iteration.
    assert training.steps > 0
    assert training.steps % 512 == 0
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_an_empty_budget_is_refused(world, reader):
    with pytest.raises(ValueError, match="seconds must be > 0"):
        StockPPOConfig(seconds=0)
    with pytest.raises(ValueError, match="at least 1"):
        train_stock(world, reader, StockPPOConfig(), steps=0)

"""Every agent that learns by acting learns the tiny world, whose best return is known to be 12.79 a session.

Random slates earn 2.6, the best slates for a deaf agent 3.8, and taking every bait 2.76.
"""

from __future__ import annotations

import dataclasses
import functools
import random

import numpy as np
import pytest
import torch
from stable_baselines3.common.utils import set_random_seed

from instructrec.agents.encoder import load_encoder
from instructrec.agents.features import item_features
from instructrec.agents.learners import LEARNERS, Ground
from instructrec.agents.reading import SessionReader
from instructrec.candidates import RandomCandidates, TheseItems
from instructrec.envs.tiny import optimal_value, tiny_world
from instructrec.experiments.competitors import WithControls
from instructrec.experiments.evaluation import evaluate, without_words
from instructrec.experiments.trainers import configured
from instructrec.sessions import Sessions, observe, start

SMALL = {"scorer.hidden": 32, "scorer.critic_hidden": 32}
SLATE_PPO = SMALL | {
    "num_envs": 64,
    "learning_rate": 3e-3,
    "final_learning_rate": 3e-4,
    "gamma": 0.98,
    "entropy": 0.003,
    "anchor": 0.0,
    "item_rate": 1.0,
}
SETTINGS = {
    "slate_ppo": SLATE_PPO,
    "ppo": {"num_envs": 32, "num_steps": 16, "learning_rate": 2e-3},
    "a2c": {"num_envs": 32, "learning_rate": 2e-3},
    "reinforce": SMALL
    | {
        "num_sessions": 32,
        "minibatch_size": 64,
        "gamma": 0.95,
        "learning_rate": 3e-3,
        "item_rate": 1.0,
        "entropy": 0.003,
    },
    "slateq": SMALL
    | {
        "num_envs": 32,
        "minibatch_size": 64,
        "updates": 1,
        "settling": 20,
        "gamma": 0.95,
        "learning_rate": 3e-3,
    },
}
STEPS = {"slate_ppo": 14_000, "ppo": 16_000, "a2c": 16_000, "reinforce": 12_000, "slateq": 12_000}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def ground():
    world, encoder = tiny_world(), load_encoder("hashing")
    features = item_features(world.catalogue, encoder.encode(world.catalogue.texts))
    reader = SessionReader(features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit)
    return lambda steps, watch=None: Ground(world, reader, steps, watch=watch)


def learned(ground, name, steps, seed=0, watch=None, **changes):
    kind = LEARNERS[name]
    config = configured(kind.config, SETTINGS[name] | changes)
    return kind.learn(ground(steps, watch), config, seed, lambda done, words: None)


@pytest.fixture(scope="module")
def trained(ground):
    """Returns each agent as it is after all its steps, trained once."""
    return functools.cache(lambda name: learned(ground, name, STEPS[name]))


def mean_return(agent):
    return evaluate(tiny_world(), agent, Sessions.first(99, 400)).mean("return")


def heard_nothing(agent):
    silent = without_words(WithControls(agent) if hasattr(agent, "act") else agent)
    assert silent is not None
    return mean_return(silent[0])


@pytest.mark.parametrize("name", SETTINGS)
def test_it_earns_three_quarters_of_the_optimum_by_listening_and_leaving_the_bait(trained, name):
    found = trained(name)
    earned = mean_return(found.agent)
    assert earned > 0.75 * optimal_value(tiny_world()), f"{name} earns {earned:.2f}"
    assert heard_nothing(found.agent) < optimal_value(tiny_world()) / 3 + 0.5
    assert found.steps >= STEPS[name]
    assert found.curve[-1]["step"] <= found.steps
    assert np.nanmean([point["return"] for point in found.curve[-5:]]) > 2 * found.curve[0]["return"]


@pytest.mark.parametrize("name", ["slate_ppo", "slateq"])
def test_without_looking_ahead_it_takes_the_bait(ground, trained, name):
    observation = observe(tiny_world(), start(tiny_world(), Sessions.first(5, 200)))
    far, near = trained(name).agent, learned(ground, name, 8_000, gamma=0.0).agent
    lured = [
        (np.argsort(-agent.scores(observation), axis=1)[:, :3] % 5 == 4).any(axis=1).mean() for agent in (far, near)
    ]
    assert lured[0] < 0.1
    assert lured[1] > 0.6
    assert mean_return(far) > 2 * mean_return(near)


def _global_draws():
    return torch.rand(1).item(), float(np.random.random()), random.random()  # noqa: NPY002


@pytest.mark.parametrize("name", SETTINGS)
def test_the_seed_decides_everything_and_nothing_global_changes(ground, name):
    def shown(seed):
        agent = learned(ground, name, 256, seed=seed).agent
        if hasattr(agent, "act"):
            return [value.numpy() for value in agent.actor.state_dict().values()]
        return agent.scores(observe(tiny_world(), start(tiny_world(), Sessions.first(5, 20))))

    set_random_seed(5)
    expected = _global_draws()
    one, other = shown(1), shown(2)
    set_random_seed(5)
    same = shown(1)
    assert _global_draws() == expected
    for mine, again in zip(one, same, strict=True):
        np.testing.assert_array_equal(mine, again)
    assert any(not np.array_equal(mine, different) for mine, different in zip(one, other, strict=True))


@pytest.mark.parametrize("name", SETTINGS)
def test_whoever_watches_sees_every_iteration_and_changes_nothing(ground, name):
    seen = []

    def watch(steps, agent):
        seen.append(steps)
        evaluate(tiny_world(), agent, Sessions.first(3, 8))

    alone, watched = (learned(ground, name, 1_024, watch=watching) for watching in (None, watch))
    assert seen == sorted(set(seen))
    assert seen
    assert seen[-1] <= watched.steps
    assert mean_return(alone.agent) == mean_return(watched.agent)


@pytest.mark.parametrize("source", [RandomCandidates(tiny_world().catalogue, 8), TheseItems(np.arange(1, 20, 2))])
@pytest.mark.parametrize("name", SETTINGS)
def test_where_only_some_items_may_be_ranked_it_learns_among_those(ground, name, source):
    shared = ground(512)
    some = dataclasses.replace(shared.world, candidates=source)
    config = configured(LEARNERS[name].config, SETTINGS[name])
    found = LEARNERS[name].learn(dataclasses.replace(shared, world=some), config, 0, lambda done, words: None)
    played = evaluate(some, found.agent, Sessions.first(5, 20))
    observation = observe(some, start(some, Sessions.first(5, 20)))
    assert observation.candidates is not None
    assert (played.first_slates[:, :, None] == observation.candidates[:, None]).any(axis=2).all()


@pytest.mark.parametrize("name", ["slate_ppo", "reinforce", "slateq"])
def test_it_learns_from_a_few_candidates_and_then_ranks_all_items(ground, name):
    agent = learned(ground, name, 512, candidates=10).agent
    assert agent.scores(observe(tiny_world(), start(tiny_world(), Sessions.first(5, 20)))).shape == (20, 20)


def test_settings_of_another_ground_are_refused(ground):
    with pytest.raises(ValueError, match="memory is 2 here and 8 on the common ground"):
        learned(ground, "slate_ppo", 64, memory=2)
    with pytest.raises(ValueError, match="hold a minibatch of 64"):
        learned(ground, "slateq", 64, buffer=50)

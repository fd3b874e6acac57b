import numpy as np
import pytest
import torch

from instructrec.agents.encoder import load_encoder
from instructrec.agents.features import item_features
from instructrec.agents.scorer import ScorerConfig
from instructrec.agents.supervised import Behaviour, SupervisedConfig, collect_log, fit_supervised, train_supervised
from instructrec.envs.tiny import tiny_world
from instructrec.policies import plackett_luce
from instructrec.sessions import Sessions, observe, start

SMALL = SupervisedConfig(
    turns=3_000, epochs=6, minibatch_size=128, scorer=ScorerConfig(text_width=32, hidden=32, critic_hidden=8)
)


@pytest.fixture(scope="module")
def parts():
    torch.set_num_threads(1)
    world, encoder = tiny_world(), load_encoder("hashing")
    return world, encoder, item_features(world.catalogue, encoder.encode(world.catalogue.texts))


def log_of(parts, turns=400, seed=0):
    world, encoder, features = parts
    policy = plackett_luce(Behaviour(features, encoder), world.slate_size)
    return collect_log(world, policy, turns, encoder=encoder, seed=seed, num_envs=64)


def test_a_log_has_exactly_the_turns_asked_for(parts):
    log = log_of(parts)
    assert len(log) == 400
    assert {len(array) for array in log.inputs.values()} == {400}
    assert log.clicked.shape == log.slates.shape == (400, 3)


def test_the_same_seed_gives_the_same_log_and_another_seed_another(parts):
    one, same, other = log_of(parts), log_of(parts), log_of(parts, seed=1)
    np.testing.assert_array_equal(one.slates, same.slates)
    np.testing.assert_array_equal(one.clicked, same.clicked)
    assert not np.array_equal(one.slates, other.slates)


def test_it_learns_to_show_what_is_asked_for(parts):
    world, encoder, features = parts
    ranker = train_supervised(world, features, encoder, SMALL)
    state = start(world, Sessions.first(5, 200))
    best = np.argsort(-ranker.scores(observe(world, state)), axis=1)[:, :3]
    assert (best // 5 == state.population.colour[:, None]).mean() > 0.9


def test_the_same_seed_gives_the_same_ranker(parts):
    world, encoder, features = parts
    log, observation = log_of(parts), observe(world, start(world, Sessions.first(5, 8)))
    config = SupervisedConfig(epochs=1, scorer=SMALL.scorer)
    fits = [
        fit_supervised(features, encoder, log, config, turn_limit=world.turn_limit).scores(observation) for _ in "ab"
    ]
    np.testing.assert_array_equal(fits[0], fits[1])


def test_a_log_without_turns_is_refused(parts):
    with pytest.raises(ValueError, match="at least 1"):
        log_of(parts, turns=0)

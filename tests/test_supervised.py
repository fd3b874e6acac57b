import numpy as np
import pytest
import torch

from instructrec.agents.encoder import load_encoder
from instructrec.agents.features import item_features
from instructrec.agents.reading import SessionReader
from instructrec.agents.recording import behaviour_policy, collect_log
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.agents.supervised import Supervised, SupervisedConfig
from instructrec.envs.tiny import tiny_world
from instructrec.sessions import Sessions, observe, start

SMALL = SupervisedConfig(epochs=6, minibatch_size=128, scorer=ScorerConfig(hidden=32, critic_hidden=8))


@pytest.fixture(scope="module")
def parts():
    torch.set_num_threads(1)
    world, encoder = tiny_world(), load_encoder("hashing")
    features = item_features(world.catalogue, encoder.encode(world.catalogue.texts))
    return world, SessionReader(features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit)


def log_of(parts, turns=400, seed=0):
    world, reader = parts
    policy = behaviour_policy(reader.features, reader.encoder, world.slate_size)
    return collect_log(world, policy, turns, seed=seed, num_envs=64)


def test_a_log_has_exactly_the_turns_asked_for(parts):
    log = log_of(parts)
    assert len(log) == log.observations.batch == len(log.session) == 400
    assert log.clicked.shape == log.slates.shape == log.log_probs.shape == (400, 3)


def test_the_same_seed_gives_the_same_log_and_another_seed_another(parts):
    one, same, other = log_of(parts), log_of(parts), log_of(parts, seed=1)
    np.testing.assert_array_equal(one.slates, same.slates)
    np.testing.assert_array_equal(one.clicked, same.clicked)
    assert not np.array_equal(one.slates, other.slates)


def test_a_log_says_how_likely_each_slate_was(parts):
    world, reader = parts
    log = log_of(parts)
    policy = behaviour_policy(reader.features, reader.encoder, world.slate_size)
    np.testing.assert_allclose(policy.log_prob(log.observations, log.slates), log.log_probs, atol=1e-5)


def test_the_turns_of_a_session_follow_each_other(parts):
    log = log_of(parts)
    for session in np.unique(log.session)[:20]:
        rows = np.flatnonzero(log.session == session)
        np.testing.assert_array_equal(log.observations.turn[rows], np.arange(len(rows)))
        assert not log.ended[rows[:-1]].any()
        np.testing.assert_array_equal(log.observations.slates[rows[-1], : len(rows) - 1], log.slates[rows[:-1]])


def test_it_learns_to_show_what_is_asked_for(parts):
    world, reader = parts
    ranker = Supervised(reader, SMALL).fit(log_of(parts, turns=3_000))
    state = start(world, Sessions.first(5, 200))
    best = np.argsort(-ranker.scores(observe(world, state)), axis=1)[:, :3]
    assert (best // 5 == state.population.colour[:, None]).mean() > 0.9


def test_the_same_seed_gives_the_same_ranker(parts):
    world, reader = parts
    log, observation = log_of(parts), observe(world, start(world, Sessions.first(5, 8)))
    supervised = Supervised(reader, SupervisedConfig(epochs=1, scorer=SMALL.scorer))
    fits = [supervised.fit(log).scores(observation) for _ in "ab"]
    np.testing.assert_array_equal(fits[0], fits[1])


def test_a_log_without_turns_is_refused(parts):
    with pytest.raises(ValueError, match="at least 1"):
        log_of(parts, turns=0)

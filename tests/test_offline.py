"""What policies learned from a log promise, and what each way finds in a world whose optimum is known."""

import dataclasses

import numpy as np
import pytest
import torch

from instructrec.agents.encoder import load_encoder
from instructrec.agents.features import item_features
from instructrec.agents.offline import Offline, OfflineLearner, later_rewards
from instructrec.agents.offline_config import CloneConfig, DRConfig, FittedQConfig, IPSConfig
from instructrec.agents.reading import SessionReader
from instructrec.agents.recording import behaviour_policy, collect_log
from instructrec.agents.sb3_worlds import sb3_vec_env
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.agents.slate_ppo import SlatePPO, SlatePPOConfig
from instructrec.envs.tiny import optimal_value, tiny_world
from instructrec.experiments.evaluation import evaluate
from instructrec.policies import greedy, plackett_luce
from instructrec.sessions import Sessions, observe, start

SIZES = ScorerConfig(hidden=32, critic_hidden=32)
ONLINE = SlatePPOConfig(
    num_envs=64,
    learning_rate=3e-3,
    final_learning_rate=3e-4,
    gamma=0.98,
    entropy=0.003,
    anchor=0.03,
    item_rate=1.0,
    scorer=SIZES,
)
NETWORK = {"learning_rate": 5e-3, "final_learning_rate": 5e-4, "item_rate": 1.0, "scorer": SIZES}
LOOKING = {**NETWORK, "anchor": 0.0, "gamma": 0.98}
CONFIGS = {
    "clone": CloneConfig(epochs=4, **NETWORK),
    "ips": IPSConfig(epochs=8, entropy=0.003, **LOOKING),
    "fitted_q": FittedQConfig(epochs=4, rounds=7, value_rate=5e-3, gamma=0.98, **NETWORK),
    "dr": DRConfig(epochs=4, rounds=4, value_rate=5e-3, entropy=0.003, **LOOKING),
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def reader():
    world, encoder = tiny_world(), load_encoder("hashing")
    features = item_features(world.catalogue, encoder.encode(world.catalogue.texts))
    return SessionReader(features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit)


@pytest.fixture(scope="module")
def logger(reader):
    return behaviour_policy(reader.features, reader.encoder, reader.slate_size)


@pytest.fixture(scope="module")
def log(logger):
    return collect_log(tiny_world(), logger, 3_000)


def mean_return(world, policy):
    return evaluate(world, policy, Sessions.first(99, 400)).mean("return")


def online(reader):
    world = tiny_world()
    return SlatePPO(sb3_vec_env(world, ONLINE.num_envs, encoder=reader.encoder), reader, ONLINE)


def few(name):
    """Settings for tests of what does not depend on learning much."""
    less = {"epochs": 1, "rounds": 1} if name in ("fitted_q", "dr") else {"epochs": 2}
    return dataclasses.replace(CONFIGS[name], **less)


@pytest.mark.parametrize(("name", "share"), [("ips", 0.75), ("fitted_q", 0.6), ("dr", 0.85)])
def test_a_weak_loggers_log_teaches_a_policy_far_better_than_the_logger(reader, logger, log, name, share):
    world = tiny_world()
    logged, shown_best = mean_return(world, logger), mean_return(world, greedy(logger.ranker, 3))
    assert max(logged, shown_best) < 0.2 * optimal_value(tiny_world())
    ranker = Offline(reader, CONFIGS[name]).fit(log)
    found = mean_return(world, greedy(ranker, 3))
    assert found > share * optimal_value(tiny_world()), f"{name} earns {found:.2f} of {optimal_value(tiny_world()):.2f}"


def test_cloning_makes_the_log_likely_and_earns_what_the_logger_earns(reader, logger, log):
    ranker = Offline(reader, CONFIGS["clone"]).fit(log)
    some = log.rows(slice(500))

    def likelihood(policy):
        return policy.log_prob(some.observations, some.slates).mean()

    before = OfflineLearner(reader, CONFIGS["clone"], log).ranker()
    assert likelihood(plackett_luce(ranker, 3)) > likelihood(plackett_luce(before, 3))
    assert likelihood(plackett_luce(ranker, 3)) > some.log_probs.mean() - 0.3
    world = tiny_world()
    assert mean_return(world, plackett_luce(ranker, 3)) == pytest.approx(mean_return(world, logger), abs=0.4)


def test_later_rewards_are_those_of_the_same_session_and_discounted(reader, log):
    learned = OfflineLearner(reader, CONFIGS["ips"], log)
    ordered = learned._log
    later, earned = later_rewards(ordered, 0.5), ordered.item_rewards.sum(axis=1)
    for session in np.unique(ordered.session)[:20]:
        rows = np.flatnonzero(ordered.session == session)
        assert later[rows[-1]] == 0
        expected = [sum(0.5**ahead * earned[row + ahead] for ahead in range(1, rows[-1] - row + 1)) for row in rows]
        np.testing.assert_allclose(later[rows], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["ips", "fitted_q"])
def test_the_order_of_turns_in_the_log_changes_nothing(reader, log, name):
    some = log.rows(slice(400))
    mixed = some.rows(np.random.default_rng(0).permutation(400))
    one, other = (Offline(reader, few(name)).fit(each) for each in (some, mixed))
    for mine, theirs in zip(one.scorer.parameters(), other.scorer.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_heavier_penalty_keeps_the_policy_nearer_to_the_logger(reader, log):
    def apart(behaviour):
        config = dataclasses.replace(few("ips"), behaviour=behaviour)
        ranker = Offline(reader, config).fit(log)
        found = plackett_luce(ranker, 3).log_prob(log.observations, log.slates) - log.log_probs
        return (np.exp(found.clip(max=5)) * found).mean()

    assert apart(1.0) < 0.75 * apart(0.0)


def test_a_heavier_anchor_keeps_the_policy_nearer_to_its_start(reader, log):
    seen = observe(tiny_world(), start(tiny_world(), Sessions.first(5, 100)))

    def moved(anchor):
        learned = OfflineLearner(reader, dataclasses.replace(few("ips"), anchor=anchor), log.rows(slice(1000)))
        before = learned.ranker().scores(seen)
        while learned.done < learned.passes:
            learned.advance()
        return np.abs(learned.ranker().scores(seen) - before).mean()

    assert moved(10.0) < 0.5 * moved(0.0)


@pytest.mark.parametrize("name", CONFIGS)
def test_saved_and_restored_between_passes_it_ends_with_the_same_weights(reader, log, name, tmp_path):
    some = log.rows(slice(300))
    whole = OfflineLearner(reader, few(name), some, seed=3)
    while whole.done < whole.passes:
        whole.advance()
    first = OfflineLearner(reader, few(name), some, seed=3)
    for number in range(whole.passes):
        first.advance()
        first.save(tmp_path / str(number))
        first = OfflineLearner(reader, few(name), some, seed=3)
        first.restore(tmp_path / str(number))
    for mine, theirs in zip(whole.scorer.parameters(), first.scorer.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(ValueError, match="seed 3, this is 4"):
        OfflineLearner(reader, few(name), some, seed=4).restore(tmp_path / "0")


def test_logs_that_nothing_can_be_learned_from_are_refused(reader, log):
    certain = dataclasses.replace(log, log_probs=np.zeros_like(log.log_probs))
    unlikely = dataclasses.replace(log, log_probs=np.full_like(log.log_probs, 0.5))
    longer = dataclasses.replace(log, slates=np.tile(log.slates, (1, 2)))
    elsewhere = dataclasses.replace(log, slates=log.slates + 900)
    for wrong, words in (
        (log.rows(slice(0)), "holds no turns"),
        (certain, "without luck"),
        (unlikely, "logarithm of a probability"),
        (longer, "slates of 6"),
        (elsewhere, "knows 20 items"),
    ):
        with pytest.raises(ValueError, match=words):
            OfflineLearner(reader, CONFIGS["ips"], wrong)
    OfflineLearner(reader, CONFIGS["clone"], certain)
    with pytest.raises(ValueError, match="one for each of 1 units"):
        OfflineLearner(reader, CONFIGS["dr"], log.rows(log.session == log.session[0]))


@pytest.mark.parametrize(
    ("config", "wrong", "words"),
    [
        (IPSConfig, {"cap": 0.5}, "cap must be 1 or more"),
        (IPSConfig, {"ratio": "prefx"}, "prefix"),
        (DRConfig, {"folds": 1}, "folds must be 2 or more"),
        (FittedQConfig, {"temperature": 0.0}, "temperature must be above 0"),
        (CloneConfig, {"epochs": 0}, "epochs must be 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused(config, wrong, words):
    with pytest.raises(ValueError, match=words):
        config(**wrong)


def test_slate_ppo_begins_with_what_was_learned_offline_and_learns_on(reader, log):
    world = tiny_world()
    ranker = Offline(reader, dataclasses.replace(CONFIGS["ips"], epochs=4)).fit(log)
    model = online(reader)
    seen = observe(world, start(world, Sessions.first(5, 200)))
    assert not np.array_equal(model.ranker().scores(seen), ranker.scores(seen))
    model.begin_with(ranker.scorer)
    np.testing.assert_array_equal(model.ranker().scores(seen), ranker.scores(seen))
    before = mean_return(world, greedy(model.ranker(), 3))
    model.learn(1_024)
    soon = mean_return(world, greedy(model.ranker(), 3))
    fresh = online(reader)
    fresh.learn(1_024)
    assert soon > max(0.9 * before, mean_return(world, greedy(fresh.ranker(), 3)) + 1)
    with pytest.raises(ValueError, match="has learned for 1,024"):
        model.begin_with(ranker.scorer)


def test_another_network_is_no_beginning(reader, log):
    wider = dataclasses.replace(few("clone"), scorer=dataclasses.replace(SIZES, hidden=16))
    with pytest.raises(ValueError, match="the same scorer settings"):
        online(reader).begin_with(OfflineLearner(reader, wider, log).scorer)

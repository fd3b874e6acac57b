"""What a policy would have earned with a slate: right where an assumption holds, as wrong as it must be elsewhere."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instructrec.estimates import Assumes, Term, choose, effective_sample_size, summarise
from instructrec.fitted_q import Steps, folds_of, out_of_fold
from instructrec.policies import log_prob_of_places
from instructrec.position_marginals import log_marginals, ordered_slates, position_marginals, slate_gram
from instructrec.slate_estimators import (
    LoggedSlates,
    cascade_dr,
    direct_method,
    independent_ips,
    pseudo_inverse,
    pseudo_inverse_weights,
    reward_interaction_ips,
    slate_dr,
    standard_ips,
)

ITEMS, SIZE = 4, 3
SLATES = ordered_slates(ITEMS, SIZE)
BEHAVIOUR = np.array([0.5, -0.4, 0.9, 0.0])
EVALUATION = np.array([-0.8, 1.1, 0.3, 0.6])
UNIFORM = np.zeros(ITEMS)


def every(scores):
    return np.tile(scores, (len(SLATES), 1))


def chance(scores):
    """The probability of every ordered slate."""
    return np.exp(log_prob_of_places(every(scores), SLATES).sum(axis=1))


def world(rewards, behaviour=BEHAVIOUR, **more):
    """Every slate once, with what it earns on average."""
    return LoggedSlates(
        rewards=rewards,
        behaviour=log_prob_of_places(every(behaviour), SLATES),
        evaluation=log_prob_of_places(every(EVALUATION), SLATES),
        behaviour_marginal=log_marginals(every(behaviour), SLATES),
        evaluation_marginal=log_marginals(every(EVALUATION), SLATES),
        **more,
    )


def table(*shape, seed=0):
    return np.random.default_rng(seed).normal(1, 1, shape)


def independent():
    worth = table(SIZE, ITEMS)
    return np.stack([worth[j, SLATES[:, j]] for j in range(SIZE)], axis=1)


def additive():
    """The slate's total is a sum over items at positions, though all of it is earned at the first position."""
    return np.stack([independent().sum(axis=1), *np.zeros((SIZE - 1, len(SLATES)))], axis=1)


def cascade():
    worth = table(ITEMS, ITEMS, ITEMS)
    first = worth[SLATES[:, 0], 0, 0]
    second = worth[SLATES[:, 0], SLATES[:, 1], 1]
    return np.stack([first, second, worth[SLATES[:, 0], SLATES[:, 1], SLATES[:, 2]]], axis=1)


def anything():
    return table(len(SLATES), SIZE)


STRUCTURES = {"independent": independent, "additive": additive, "cascade": cascade, "anything": anything}


def plain_pseudo_inverse(log, behaviour=BEHAVIOUR, **more):
    weights = pseudo_inverse_weights(
        slate_gram(behaviour[None], SIZE),
        position_marginals(EVALUATION[None], SIZE),
        SLATES,
        np.zeros(len(SLATES), int),
    )
    return pseudo_inverse(log, weights, **more)


def wrong_model():
    """Predictions that are wrong, with the evaluated policy's exact means of them."""
    predicted = table(ITEMS, ITEMS, ITEMS, ITEMS, seed=1)
    values, means = np.empty((len(SLATES), SIZE)), np.empty((len(SLATES), SIZE))
    for row, slate in enumerate(SLATES):
        for j in range(SIZE):
            rest = np.exp(EVALUATION)
            rest[slate[:j]] = 0
            rest /= rest.sum()
            answers = [predicted[:, 0, 0, 0], predicted[slate[0], :, 0, 1], predicted[slate[0], slate[1], :, 2]][j]
            values[row, j], means[row, j] = answers[slate[j]], rest @ answers
    return values, means


def plain_cascade_dr(log, **more):
    return cascade_dr(log, *wrong_model(), **more)


def plain_slate_dr(log, **more):
    predicted = table(len(SLATES), seed=2)
    return slate_dr(log, predicted, np.full(len(SLATES), chance(EVALUATION) @ predicted), **more)


ESTIMATORS = {
    "standard_ips": (standard_ips, {"independent", "additive", "cascade", "anything"}),
    "slate_dr": (plain_slate_dr, {"independent", "additive", "cascade", "anything"}),
    "reward_interaction_ips": (reward_interaction_ips, {"independent", "cascade"}),
    "cascade_dr": (plain_cascade_dr, {"independent", "cascade"}),
    "pseudo_inverse": (plain_pseudo_inverse, {"independent", "additive"}),
    "independent_ips": (independent_ips, {"independent"}),
}


def given(structure, name):
    """What an estimator tends to, by conditional means under the policy that logged, without any weight."""
    rewards, logged, evaluated = STRUCTURES[structure](), chance(BEHAVIOUR), chance(EVALUATION)
    if name in ("standard_ips", "slate_dr"):
        return evaluated @ rewards.sum(axis=1)
    if name == "pseudo_inverse":
        marks = np.zeros((len(SLATES), SIZE * ITEMS))
        np.put_along_axis(marks, SLATES + ITEMS * np.arange(SIZE), 1.0, axis=1)
        root = np.sqrt(logged)
        worth = np.linalg.lstsq(marks * root[:, None], rewards.sum(axis=1) * root, rcond=None)[0]
        return evaluated @ (marks @ worth)
    total = 0.0
    for j in range(SIZE):
        keys = SLATES[:, j : j + 1] if name == "independent_ips" else SLATES[:, : j + 1]
        for key in np.unique(keys, axis=0):
            same = (keys == key).all(axis=1)
            total += evaluated[same].sum() * (logged[same] @ rewards[same, j]) / logged[same].sum()
    return total


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_is_unbiased_where_its_assumption_holds_and_as_wrong_as_it_must_be_elsewhere(name, structure):
    estimator, fair = ESTIMATORS[name]
    rewards = STRUCTURES[structure]()
    truth = chance(EVALUATION) @ rewards.sum(axis=1)
    mean = chance(BEHAVIOUR) @ estimator(world(rewards)).scores
    assert mean == pytest.approx(given(structure, name), abs=1e-9)
    if structure in fair:
        assert mean == pytest.approx(truth, abs=1e-9)
    else:
        assert abs(mean - truth) > 0.01


@pytest.mark.parametrize("name", ESTIMATORS)
def test_self_normalised_on_a_log_that_holds_every_slate_as_often_as_it_should_is_the_plain_one(name):
    estimator, _ = ESTIMATORS[name]
    log = world(anything(), UNIFORM)
    more = {"behaviour": UNIFORM} if name == "pseudo_inverse" else {}
    plain, normalised = estimator(log, **more), estimator(log, self_normalised=True, **more)
    assert normalised.value == pytest.approx(plain.value, abs=1e-9)
    assert normalised.estimator == f"sn_{plain.estimator}"


@pytest.mark.parametrize("name", ["standard_ips", "reward_interaction_ips", "independent_ips", "pseudo_inverse"])
def test_self_normalised_knows_that_a_reward_of_one_is_one(name):
    sure = ESTIMATORS[name][0](world(np.full((len(SLATES), SIZE), 1 / SIZE)), self_normalised=True)
    assert sure.value == pytest.approx(1)
    assert (sure.low, sure.high) == pytest.approx((1, 1))
    assert ESTIMATORS[name][0](world(np.full((len(SLATES), SIZE), 1 / SIZE))).value != pytest.approx(1, abs=1e-3)


def test_the_same_policy_earns_what_the_log_earned():
    log = world(anything())
    same = replace(log, evaluation=log.behaviour, evaluation_marginal=log.behaviour_marginal)
    for estimator in (standard_ips, reward_interaction_ips, independent_ips):
        found = estimator(same)
        assert found.value == pytest.approx(log.rewards.sum(axis=1).mean())
        assert found.ess == pytest.approx(len(log))
        assert (found.max_weight, found.unsupported) == (pytest.approx(1), 0)


def test_two_rows_are_weighted_as_by_hand():
    log = LoggedSlates(
        rewards=np.array([[1.0, 2.0], [3.0, 4.0]]),
        behaviour=np.log([[0.5, 0.5], [0.25, 0.5]]),
        evaluation=np.log([[0.25, 0.5], [0.5, 1.0]]),
    )
    # Weights after the first position ½ and 2, after the second ½ and 4.
    assert standard_ips(log).value == pytest.approx((0.5 * 3 + 4 * 7) / 2)
    assert standard_ips(log, self_normalised=True).value == pytest.approx((0.5 * 3 + 4 * 7) / 4.5)
    assert reward_interaction_ips(log).value == pytest.approx((0.5 + 0.5 * 2 + 2 * 3 + 4 * 4) / 2)
    normalised = reward_interaction_ips(log, self_normalised=True)
    assert normalised.value == pytest.approx((0.5 + 2 * 3) / 2.5 + (0.5 * 2 + 4 * 4) / 4.5)
    assert normalised.ess == pytest.approx(4.5**2 / (0.25 + 16))
    assert normalised.max_weight == pytest.approx(4)


def test_a_model_of_zeros_leaves_the_weights_and_a_perfect_one_leaves_no_variance():
    rewards = cascade()
    log = world(rewards)
    zeros = np.zeros((len(SLATES), SIZE))
    assert np.allclose(cascade_dr(log, zeros, zeros).scores, reward_interaction_ips(log).scores)
    assert np.allclose(slate_dr(log, zeros[:, 0], zeros[:, 0]).scores, standard_ips(log).scores)
    total, evaluated = rewards.sum(axis=1), chance(EVALUATION)
    perfect = slate_dr(log, total, np.full(len(SLATES), evaluated @ total))
    assert perfect.error == pytest.approx(0, abs=1e-12)
    assert perfect.value == pytest.approx(evaluated @ total)
    # What is still to come under the evaluated policy, given what stands above.
    to_come = np.stack([rewards[:, j:].sum(axis=1) for j in range(SIZE)], axis=1)
    predicted, expected = np.empty_like(rewards), np.empty_like(rewards)
    for row, slate in enumerate(SLATES):
        for j in range(SIZE):
            down, above = (SLATES[:, : j + 1] == slate[: j + 1]).all(axis=1), (SLATES[:, :j] == slate[:j]).all(axis=1)
            predicted[row, j] = evaluated[down] @ to_come[down, j] / evaluated[down].sum()
            expected[row, j] = evaluated[above] @ to_come[above, j] / evaluated[above].sum()
    perfect = cascade_dr(log, predicted, expected)
    assert perfect.error == pytest.approx(0, abs=1e-12)
    assert perfect.value == pytest.approx(evaluated @ total)


def test_the_direct_method_says_what_the_model_says_and_is_not_trusted():
    found = direct_method(world(anything()), np.linspace(0, 1, len(SLATES)))
    assert found.value == pytest.approx(0.5)
    assert np.isnan([found.ess, found.max_weight, found.unsupported]).all()
    assert not found.trusted
    assert "model's own error" in found.why


def test_every_estimator_of_open_bandit_pipeline_gives_the_same_number_here():
    kept = json.loads((Path(__file__).parent / "fixtures" / "obp_slate.json").read_text())
    behaviour, evaluation = np.array(kept["behaviour_scores"]), np.array(kept["evaluation_scores"])
    slates, q_hat = np.array(kept["slates"]), np.array(kept["q_hat"])
    log = LoggedSlates(
        rewards=np.array(kept["rewards"], float),
        behaviour=log_prob_of_places(behaviour, slates),
        evaluation=log_prob_of_places(evaluation, slates),
        behaviour_marginal=log_marginals(behaviour, slates),
        evaluation_marginal=log_marginals(evaluation, slates),
    )
    rest = np.repeat(np.exp(evaluation)[:, None], 3, axis=1)
    for j in range(1, 3):
        np.put_along_axis(rest[:, j], slates[:, :j], 0.0, axis=1)
    expected = (rest * q_hat).sum(axis=2) / rest.sum(axis=2)
    predicted = np.take_along_axis(q_hat, slates[:, :, None], axis=2)[:, :, 0]
    found = [cascade_dr(log, predicted, expected)]
    for estimator in (standard_ips, independent_ips, reward_interaction_ips):
        found += [estimator(log), estimator(log, self_normalised=True)]
    assert {one.estimator: one.value for one in found} == pytest.approx(kept["obp"], abs=1e-9)
    assert len(kept["obp"]) == 7


# --- What is said of an estimate -------------------------------------------------------------------------------------


def drawn(rows, seed, behaviour=BEHAVIOUR, evaluation=EVALUATION, rewards=cascade, noise=1.0, people=0):
    """A fresh log of clicks and noise."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(SLATES), rows, p=chance(behaviour))
    means = rewards()[chosen]
    person = rng.integers(people, size=rows) if people else None
    habit = 0 if person is None else rng.normal(0, 1, people)[person][:, None]
    return LoggedSlates(
        rewards=means + noise * rng.normal(size=means.shape) + habit,
        behaviour=log_prob_of_places(every(behaviour), SLATES)[chosen],
        evaluation=log_prob_of_places(every(evaluation), SLATES)[chosen],
        behaviour_marginal=log_marginals(every(behaviour), SLATES)[chosen],
        evaluation_marginal=log_marginals(every(evaluation), SLATES)[chosen],
        unit=person,
    )


@pytest.mark.parametrize("self_normalised", [False, True])
def test_intervals_cover_the_truth_as_often_as_they_say(self_normalised):
    truth = chance(EVALUATION) @ cascade().sum(axis=1)
    logs = [reward_interaction_ips(drawn(600, seed), self_normalised=self_normalised) for seed in range(400)]
    assert 0.92 < np.mean([one.low < truth < one.high for one in logs]) < 0.98
    assert np.mean([one.error for one in logs]) == pytest.approx(np.std([one.value for one in logs]), rel=0.12)


def test_people_who_come_often_widen_the_interval():
    truth = chance(EVALUATION) @ cascade().sum(axis=1)
    logs = [drawn(600, seed, people=30) for seed in range(300)]
    together = [standard_ips(log, self_normalised=True) for log in logs]
    apart = [standard_ips(replace(log, unit=None), self_normalised=True) for log in logs]
    assert np.mean([one.low < truth < one.high for one in together]) > 0.9
    assert np.mean([one.low < truth < one.high for one in apart]) < 0.8
    assert [one.value for one in together] == [one.value for one in apart]
    assert np.mean([one.error for one in together]) == pytest.approx(np.std([one.value for one in together]), rel=0.15)


def test_few_effective_rows_are_never_trusted():
    few, many = drawn(1_500, 0), drawn(20_000, 0)
    assert standard_ips(few).ess < 1_000
    assert not standard_ips(few).trusted
    assert "below 1,000" in standard_ips(few).why
    assert standard_ips(many).ess > 1_000
    assert standard_ips(many).trusted
    assert "effective sample size" in standard_ips(many).why
    assert effective_sample_size(np.array([2.0, 2.0, 0.0, 0.0])) == 2


def test_what_the_log_cannot_contain_is_told_and_not_trusted():
    logged = np.array([0.5, -np.inf, 0.9, 0.0])
    chosen = np.random.default_rng(0).choice(len(SLATES), 20_000, p=np.nan_to_num(chance_of(logged)))
    log = LoggedSlates(
        rewards=np.ones((20_000, SIZE)),
        behaviour=log_prob_of_places(every(logged), SLATES)[chosen],
        evaluation=log_prob_of_places(every(EVALUATION), SLATES)[chosen],
    )
    found = standard_ips(log)
    missing = 1 - chance(EVALUATION)[(SLATES != 1).all(axis=1)].sum()
    assert missing - 0.05 < found.unsupported < missing
    assert not found.trusted
    assert "hardly or never in the log" in found.why
    exact = standard_ips(replace(log, unsupported=np.full(20_000, missing)))
    assert exact.unsupported == pytest.approx(missing)


def chance_of(scores):
    kept = np.isfinite(scores[SLATES]).all(axis=1)
    found = np.zeros(len(SLATES))
    found[kept] = np.exp(log_prob_of_places(np.tile(scores, (kept.sum(), 1)), SLATES[kept]).sum(axis=1))
    return found


def test_propensities_of_another_policy_are_noticed():
    log = drawn(20_000, 0, evaluation=BEHAVIOUR)
    wrong = standard_ips(replace(log, behaviour=log.behaviour - 0.1))
    assert not wrong.trusted
    assert "not those of the policy that logged" in wrong.why


def test_a_policy_that_never_shows_what_was_logged_has_no_normalised_value():
    log = world(anything())
    never = replace(log, evaluation=np.full_like(log.evaluation, -np.inf))
    assert standard_ips(never).value == 0
    found = standard_ips(never, self_normalised=True)
    assert np.isnan(found.value)
    assert found.ess == 0
    assert "no row of the log could have come" in found.why


def test_hopeless_weights_do_not_overflow():
    log = world(anything())
    found = standard_ips(replace(log, behaviour=log.behaviour - 400.0))
    assert np.isfinite([found.value, found.error, found.ess]).all()
    assert not found.trusted


def test_an_interval_of_another_level_is_as_much_wider():
    found = standard_ips(drawn(5_000, 0))
    assert found.interval() == (found.low, found.high)
    low, high = found.interval(0.99)
    assert low < found.low < found.high < high
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        found.interval(95)


def test_estimates_of_one_log_are_compared_in_pairs():
    log = drawn(5_000, 0)
    one, other = standard_ips(log), reward_interaction_ips(log)
    assert one.error_of_difference(one) == 0
    assert one.error_of_difference(other) < np.hypot(one.error, other.error)
    with pytest.raises(ValueError, match="5,000 units and reward_interaction_ips 600"):
        one.error_of_difference(reward_interaction_ips(drawn(600, 0)))


# --- Choosing --------------------------------------------------------------------------------------------------------

FAR = 2.5 * EVALUATION


def family(log):
    return [
        estimator(log, self_normalised=True) for estimator in (standard_ips, reward_interaction_ips, independent_ips)
    ]


def noise_alone(rewards):
    """Rewards around a common level: what the weights of whole slates pay for and those of positions do not."""
    return lambda: 0.1 * rewards()


def test_the_choice_assumes_what_holds_and_pays():
    choice = choose(family(drawn(40_000, 1, evaluation=FAR, rewards=noise_alone(independent), noise=3.0)))
    unbiased, _, alone = choice.estimates
    assert alone.error < 0.5 * unbiased.error
    assert choice.chosen.estimator == "sn_independent_ips"
    assert choice.chosen.trusted
    assert "what it assumes agrees with the log" in choice.why
    assert "standard errors from sn_standard_ips" in choice.chosen.why


def test_the_choice_assumes_nothing_where_it_hardly_pays():
    choice = choose(family(drawn(20_000, 1, rewards=independent)))
    assert choice.estimates[2].error < choice.estimates[0].error
    assert choice.place == 0
    assert "none that assumes as little is clearly more precise" in choice.why


def test_the_choice_leaves_an_assumption_that_the_log_contradicts_and_trusts_it_no_more():
    choice = choose(family(drawn(20_000, 1, rewards=anything, noise=0.1)))
    assert choice.place == 0
    assert choice.estimates[0].trusted
    assert not choice.estimates[2].trusted
    assert "standard errors from sn_standard_ips, which assumes less" in choice.estimates[2].why


def test_the_choice_covers_the_truth_whatever_rewards_are_and_errs_no_more_than_without_assumptions():
    for rewards in (independent, cascade, anything):
        truth = chance(EVALUATION) @ rewards().sum(axis=1)
        pairs = []
        for seed in range(150):
            estimates = family(drawn(8_000, seed, rewards=rewards))
            pairs.append((choose(estimates).chosen, estimates[0]))
        assert np.mean([chosen.low < truth < chosen.high for chosen, _ in pairs]) > 0.9
        errors = np.array([[chosen.value - truth, unbiased.value - truth] for chosen, unbiased in pairs])
        assert (errors[:, 0] ** 2).mean() <= 1.05 * (errors[:, 1] ** 2).mean()


def test_only_the_trusted_are_chosen_while_there_are_any():
    log = drawn(20_000, 1, rewards=independent)
    model = direct_method(log, np.full(len(log), 3.0) + np.linspace(0, 1e-3, len(log)))
    assert choose([model, *family(log)]).chosen.trusted
    few = drawn(300, 1)
    untrusted = choose([*family(few), direct_method(few, np.linspace(-10, 16, 300))])
    assert untrusted.place == 3
    assert "no estimate is trusted; it does not rest on a few rows" in untrusted.why
    assert choose(family(few)).place == np.argmax([one.ess for one in family(few)])
    with pytest.raises(ValueError, match="at least one estimate"):
        choose([])


def test_of_estimates_about_as_precise_the_refined_one_is_taken_whatever_their_luck():
    log = drawn(20_000, 1)
    plain = standard_ips(log)
    for share, place in ((1.05, 1), (1.3, 0), (0.5, 1)):
        robust = replace(plain, estimator="slate_dr", error=share * plain.error)
        choice = choose([plain, robust])
        assert plain.trusted
        assert choice.place == place


def test_an_assumption_that_nothing_can_test_is_not_trusted():
    log = drawn(20_000, 1)
    alone = independent_ips(log)
    assert alone.trusted
    assert "if a position's reward depends on its item alone" in alone.why
    choice = choose([alone, direct_method(log, np.zeros(len(log)))])
    assert choice.place == 0
    assert not choice.chosen.trusted
    assert "nothing that assumes less is trusted" in choice.chosen.why
    assert "its assumption is untested" in choice.why


def test_of_untested_assumptions_the_weakest_is_taken():
    log = drawn(20_000, 1)
    strong = independent_ips(log, self_normalised=True)
    weak = replace(independent_ips(log), assumes=Assumes.ADDITIVE)
    assert strong.error < weak.error
    assert choose([strong, weak]).place == 1


def test_what_a_smaller_sample_plainly_contradicts_is_not_chosen():
    log = drawn(5_000, 0, rewards=anything)
    unbiased, _, alone = family(log)
    assert 100 < unbiased.ess < 1_000 < alone.ess
    choice = choose([alone, direct_method(log, np.full(len(log), -5.0)), unbiased])
    assert choice.chosen.estimator == "sn_standard_ips"
    assert not choice.chosen.trusted


def test_without_a_reference_the_doubly_robust_comes_before_plain_weighting_and_before_a_model():
    log = drawn(1_500, 0)
    plain = standard_ips(log)
    scores = plain.value + (plain.scores - plain.value) / 3
    robust = replace(plain, estimator="slate_dr", error=plain.error / 3, ess=0.9 * plain.ess, scores=scores)
    assert 100 < robust.ess < plain.ess < 1_000
    model = replace(robust, estimator="direct_method", error=plain.error / 9, assumes=Assumes.MODEL, ess=math.nan)
    choice = choose([model, plain, robust])
    assert choice.chosen.estimator == "slate_dr"
    assert not choice.chosen.trusted
    assert "it varies least of those that assume nothing" in choice.why


# --- Cross-fitting ---------------------------------------------------------------------------------------------------


def test_folds_keep_a_unit_together_and_are_of_like_size():
    unit = np.repeat(np.arange(50), 4)[np.random.default_rng(0).permutation(200)]
    folds = folds_of(unit, 5, seed=3)
    assert all(len(np.unique(folds[unit == one])) == 1 for one in range(50))
    assert np.bincount(folds).tolist() == [40] * 5
    assert np.array_equal(folds, folds_of(unit, 5, seed=3))
    assert not np.array_equal(folds, folds_of(unit, 5, seed=4))
    with pytest.raises(ValueError, match="between 2 folds and one for each of 50 units, got 51"):
        folds_of(unit, 51)


def test_positions_are_steps_to_the_cascade_model_which_fitted_out_of_fold_beats_weights():
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(SLATES), 2_000, p=chance(BEHAVIOUR))
    log = LoggedSlates(
        rewards=cascade()[chosen] + 0.3 * rng.normal(size=(2_000, SIZE)),
        behaviour=log_prob_of_places(every(BEHAVIOUR), SLATES)[chosen],
        evaluation=log_prob_of_places(every(EVALUATION), SLATES)[chosen],
    )
    shown, expected = cascade_features(SLATES[chosen])
    steps = Steps(
        rewards=log.rewards.ravel(),
        session=np.repeat(np.arange(2_000), SIZE),
        turn=np.tile(np.arange(SIZE), 2_000),
        shown=shown,
        expected=expected,
    )
    fitted = out_of_fold(steps, folds_of(steps.session, 5), ridge=1e-3)
    found = cascade_dr(log, *(part.reshape(-1, SIZE) for part in fitted))
    truth = chance(EVALUATION) @ cascade().sum(axis=1)
    assert found.low < truth < found.high
    assert found.error < 0.5 * reward_interaction_ips(log, self_normalised=True).error


def cascade_features(slates):
    """One feature for every beginning of a slate, and the evaluated policy's mean of it after what stands above."""
    known = {}
    for slate in SLATES:
        for j in range(SIZE):
            known.setdefault(tuple(slate[: j + 1]), len(known))
    shown = np.zeros((*slates.shape, len(known)))
    expected = np.zeros_like(shown)
    for row, slate in enumerate(slates):
        for j in range(SIZE):
            shown[row, j, known[tuple(slate[: j + 1])]] = 1
            rest = np.exp(EVALUATION)
            rest[slate[:j]] = 0
            for item in np.flatnonzero(rest):
                expected[row, j, known[(*slate[:j], item)]] = rest[item] / rest.sum()
    return shown.reshape(-1, len(known)), expected.reshape(-1, len(known))


# --- What is refused -------------------------------------------------------------------------------------------------


GOOD = world(anything())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"behaviour": np.exp(GOOD.behaviour)},
            r"at most 0; row 0, position 0 has 0\.\d+: of probabilities give np\.log",
        ),
        ({"behaviour": np.full((24, 3), np.nan)}, "behaviour must hold log-probabilities.* has nan"),
        ({"evaluation": np.full((24, 3), np.nan)}, "evaluation must hold log-probabilities.* has nan"),
        ({"behaviour": np.full((24, 3), -np.inf)}, "row 0 shows at position 0 had probability 0"),
        ({"behaviour": np.zeros((24, 3))}, "every slate with probability 1.*plackett_luce"),
        ({"behaviour": np.zeros((24, 3), int)}, "as floats, got int64"),
        ({"behaviour": GOOD.behaviour[:, 0]}, r"shape of rewards, \(24, 3\), got \(24,\)"),
        ({"rewards": GOOD.rewards[0]}, r"must be \[rows, slate_size\]"),
        ({"rewards": np.where(np.eye(24, 3) > 0, np.inf, 0.0)}, "the reward of row 0, position 0 is inf"),
        ({"evaluation_marginal": None}, "marginals are needed of both policies"),
        ({"unit": np.zeros(3, int)}, r"unit must hold one number for each of 24 rows, got \(3,\)"),
    ],
)
def test_a_log_that_cannot_be_used_is_refused_with_what_to_do(change, message):
    with pytest.raises(ValueError, match=message):
        replace(GOOD, **change)


def test_what_does_not_fit_the_log_is_refused():
    with pytest.raises(ValueError, match=r"instructrec\.position_marginals gives them"):
        independent_ips(replace(GOOD, behaviour_marginal=None, evaluation_marginal=None))
    with pytest.raises(ValueError, match=r"expected must hold one finite number for each of 24 rows, got shape \(3,\)"):
        direct_method(GOOD, np.zeros(3))
    with pytest.raises(ValueError, match="with NaN or infinity"):
        slate_dr(GOOD, np.full(24, np.nan), np.zeros(24))
    with pytest.raises(ValueError, match=r"predicted must be finite and of the shape of rewards, \(24, 3\)"):
        cascade_dr(GOOD, np.zeros(24), np.zeros((24, 3)))
    gram, marginals = slate_gram(UNIFORM[None], SIZE), position_marginals(UNIFORM[None], SIZE)
    with pytest.raises(ValueError, match="number of one of 1 contexts"):
        pseudo_inverse_weights(gram, marginals, SLATES)
    with pytest.raises(ValueError, match=r"expected gram \[1, 12, 12\]"):
        pseudo_inverse_weights(gram[:, :3], marginals, SLATES)
    with pytest.raises(ValueError, match="sum of terms"):
        summarise("nothing", iter(()), assumes=Assumes.NOTHING)
    assert summarise("one", [Term(np.arange(3.0))], assumes=Assumes.MODEL).value == 1

"""What another policy would have earned in sessions: every possible session enumerated."""

from dataclasses import replace

import numpy as np
import pytest

from instructrec.fitted_q import Steps, fit_q, folds_of, out_of_fold
from instructrec.policies import log_prob_of_places
from instructrec.position_marginals import ordered_slates
from instructrec.session_estimators import (
    LoggedSessions,
    fitted_q_evaluation,
    fitted_values,
    per_decision_is,
    steps_of,
    trajectory_is,
    weighted_doubly_robust,
)
from instructrec.slate_estimators import LoggedSlates

ITEMS, SIZE = 3, 2
SLATES = ordered_slates(ITEMS, SIZE)
NUM = len(SLATES)
DISCOUNT = 0.9
RNG = np.random.default_rng(0)
# Two turns at most. What is seen at the second turn is which slate came first; after slates 0 and 1 people leave.
LEAVES = np.array([True, True, False, False, False, False])
FIRST, SECOND = RNG.normal(1, 1, NUM), RNG.normal(1, 1, (NUM, NUM))


def policy(seed):
    """log P of each position of each slate, at the first turn and after each first slate."""
    scores = np.random.default_rng(seed).normal(0, 0.7, (1 + NUM, ITEMS))
    logs = [log_prob_of_places(np.tile(score, (NUM, 1)), SLATES) for score in scores]
    return logs[0], np.stack(logs[1:])


BEHAVIOUR, EVALUATION = policy(1), policy(2)


def chances(logs):
    return np.exp(logs[0].sum(axis=1)), np.exp(logs[1].sum(axis=2))


def truth(logs=EVALUATION, discount=DISCOUNT):
    first, second = chances(logs)
    return first @ (FIRST + discount * np.where(LEAVES, 0, (second * SECOND).sum(axis=1)))


PATHS = [(one, other) for one in range(NUM) for other in ([None] if LEAVES[one] else range(NUM))]


def log_of(paths, *, discount=DISCOUNT, noise=0.0, shuffle=0, behaviour=BEHAVIOUR, **more):
    """The turns of these sessions, shuffled."""
    rows = []
    for session, (one, other) in enumerate(paths):
        rows.append((session, 0, FIRST[one], behaviour[0][one], EVALUATION[0][one], one, NUM))
        if other is not None:
            parts = behaviour[1][one, other], EVALUATION[1][one, other]
            rows.append((session, 1, SECOND[one, other], *parts, other, one))
    rng = np.random.default_rng(shuffle)
    rows = [rows[place] for place in rng.permutation(len(rows))]
    session, turn, reward, logged, evaluated, slate, state = (np.array(part) for part in zip(*rows, strict=True))
    reward = reward + noise * rng.normal(size=len(reward))
    slates = LoggedSlates(
        rewards=np.stack([0.25 * reward, 0.75 * reward], axis=1), behaviour=logged, evaluation=evaluated, **more
    )
    return LoggedSessions(slates=slates, session=session * 7 + 3, turn=turn, discount=discount), slate, state


def likelihood(logs=BEHAVIOUR):
    first, second = chances(logs)
    return np.array([first[one] * (1 if other is None else second[one, other]) for one, other in PATHS])


ALL, SHOWN, SEEN = log_of(PATHS)


def drawn(count, seed, noise=0.5):
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(PATHS), count, p=likelihood())
    return log_of([PATHS[place] for place in chosen], noise=noise, shuffle=seed)


def values(slate, state, table):
    """A table's value of what was shown, and the evaluated policy's mean of it."""
    first, second = chances(EVALUATION)
    weights = np.vstack([second, first])  # By state: after each first slate, and before all.
    return table[state, slate], (weights[state] * table[state]).sum(axis=1)


def wrong_values(slate, state):
    return values(slate, state, np.random.default_rng(5).normal(size=(NUM + 1, NUM)))


def perfect_values(slate, state, discount=DISCOUNT):
    _, second = chances(EVALUATION)
    later = np.where(LEAVES, 0, (second * SECOND).sum(axis=1))
    return values(slate, state, np.vstack([SECOND, FIRST + discount * later]))


@pytest.mark.parametrize("discount", [DISCOUNT, 1.0])
def test_over_all_sessions_every_estimator_is_unbiased(discount):
    log, slate, state = log_of(PATHS, discount=discount)
    predictions = wrong_values(slate, state)
    for found in (
        trajectory_is(log),
        per_decision_is(log),
        weighted_doubly_robust(log, *predictions, self_normalised=False),
    ):
        assert likelihood() @ found.scores == pytest.approx(truth(discount=discount), abs=1e-9), found.estimator
    assert abs(truth(discount=discount) - truth(BEHAVIOUR, discount)) > 0.1


def test_turns_weighted_by_the_last_slate_alone_would_be_wrong():
    """What one-turn weighting of sessions would give: the bias that weighting over turns removes."""
    log, _, _ = log_of(PATHS)
    slates = log.slates
    ratio = np.exp((slates.evaluation - slates.behaviour).sum(axis=1))
    naive = np.bincount((log.session - 3) // 7, DISCOUNT**log.turn * ratio * slates.rewards.sum(axis=1))
    first, _ = chances(BEHAVIOUR)
    _, second = chances(EVALUATION)
    expected = chances(EVALUATION)[0] @ FIRST + DISCOUNT * first @ np.where(LEAVES, 0, (second * SECOND).sum(axis=1))
    assert likelihood() @ naive == pytest.approx(expected, abs=1e-9)
    assert abs(expected - truth()) > 0.01


def test_the_order_of_the_turns_does_not_matter():
    for shuffle in (1, 2):
        log, slate, state = log_of(PATHS, shuffle=shuffle)
        assert np.allclose(per_decision_is(log).scores, per_decision_is(ALL).scores)
        other = weighted_doubly_robust(log, *wrong_values(slate, state))
        assert np.allclose(other.scores, weighted_doubly_robust(ALL, *wrong_values(SHOWN, SEEN)).scores)


def test_self_normalised_knows_that_a_reward_of_one_is_one():
    slates = replace(ALL.slates, rewards=np.where(ALL.turn[:, None] == 0, 0.5, 0.0) + np.zeros((1, SIZE)))
    log = replace(ALL, slates=slates)
    for estimator in (trajectory_is, per_decision_is):
        assert estimator(log, self_normalised=True).value == pytest.approx(1)
        assert estimator(log).value != pytest.approx(1, abs=1e-3)


def test_normalised_and_plain_agree_on_a_log_with_the_right_shares():
    uniform = np.log(np.tile([1 / 3, 1 / 2], (NUM, 1)))
    behaviour = uniform, np.tile(uniform, (NUM, 1, 1))
    # Six of each session that ends after the first slate, and one of every other.
    paths = [path for path in PATHS for _ in range(6 if path[1] is None else 1)]
    log, slate, state = log_of(paths, behaviour=behaviour)
    predictions = wrong_values(slate, state)
    for estimator, more in ((trajectory_is, ()), (per_decision_is, ()), (weighted_doubly_robust, predictions)):
        for self_normalised in (False, True):
            found = estimator(log, *more, self_normalised=self_normalised)
            assert found.value == pytest.approx(truth(), abs=1e-9)


def test_two_sessions_are_weighted_as_by_hand():
    half = np.log([[0.5], [0.5], [0.25]])
    slates = LoggedSlates(
        rewards=np.array([[1.0], [2.0], [4.0]]), behaviour=half, evaluation=np.log([[0.25], [1.0], [0.5]])
    )
    # Session 0 has two turns, with ratios ½ and 2; session 1 one turn, with ratio 2, which it keeps.
    log = LoggedSessions(slates=slates, session=np.array([0, 0, 1]), turn=np.array([0, 1, 0]), discount=0.5)
    assert trajectory_is(log).value == pytest.approx((1 * (1 + 0.5 * 2) + 2 * 4) / 2)
    assert per_decision_is(log).value == pytest.approx((0.5 * 1 + 1 * 0.5 * 2 + 2 * 4) / 2)
    found = per_decision_is(log, self_normalised=True)
    assert found.value == pytest.approx((0.5 * 1 + 2 * 4) / 2.5 + 1 * 0.5 * 2 / 3)
    assert found.ess == pytest.approx(2.5**2 / 4.25)
    assert found.max_weight == pytest.approx(2)
    predicted, expected = np.array([3.0, 1.0, 2.0]), np.array([2.0, 1.5, 1.0])
    robust = weighted_doubly_robust(log, predicted, expected, self_normalised=True)
    by_hand = (2 + 1) / 2 + (0.5 * (1 - 3) + 2 * (4 - 2)) / 2.5 + 0.5 * (0.5 * 1.5 / 2.5 + 1 * (2 - 1) / 3)
    assert robust.value == pytest.approx(by_hand)


def test_a_model_of_zeros_leaves_the_weights_and_a_perfect_one_leaves_no_variance():
    zeros = np.zeros(len(ALL.slates))
    for self_normalised in (False, True):
        robust = weighted_doubly_robust(ALL, zeros, zeros, self_normalised=self_normalised)
        assert np.allclose(robust.scores, per_decision_is(ALL, self_normalised=self_normalised).scores)
        perfect = weighted_doubly_robust(ALL, *perfect_values(SHOWN, SEEN), self_normalised=self_normalised)
        assert perfect.value == pytest.approx(truth(), abs=1e-9)
        assert perfect.error == pytest.approx(0, abs=1e-12)


# --- Fitted values ---------------------------------------------------------------------------------------------------


def features(slate, state):
    """One feature for every state and slate: what no model can be wrong about."""
    shown = np.zeros((len(slate), NUM + 1, NUM))
    shown[np.arange(len(slate)), state, slate] = 1
    first, second = chances(EVALUATION)
    expected = np.zeros_like(shown)
    expected[np.arange(len(slate)), state] = np.vstack([second, first])[state]
    return shown.reshape(len(slate), -1), expected.reshape(len(slate), -1)


def test_fitted_q_finds_the_value_where_its_features_can_hold_it():
    found = fitted_q_evaluation(ALL, *features(SHOWN, SEEN), ridge=1e-10)
    assert found.value == pytest.approx(truth(), abs=1e-8)
    steps = steps_of(ALL, *features(SHOWN, SEEN))
    model = fit_q(steps, ridge=1e-10)
    predicted, expected = perfect_values(ALL.in_order(SHOWN), ALL.in_order(SEEN))
    assert np.allclose(steps.shown[:] @ model.stages[-1], predicted)
    assert np.allclose(steps.expected[:] @ model.stages[-1], expected)


def test_fitted_q_is_wrong_where_they_cannot_by_what_the_regression_leaves():
    """A constant alone: the mean reward, and the discounted share of turns that have a next one of it."""
    log, _, _ = log_of(PATHS, discount=0.1)
    ones = np.ones((len(log.slates), 1))
    goes_on = 1 - log.num_sessions / len(log.slates)
    expected = log.rewards().mean() * (1 + 0.1 * goes_on)
    assert fitted_q_evaluation(log, ones, ones, ridge=1e-10).value == pytest.approx(expected)
    assert abs(expected - truth(discount=0.1)) > 0.05


def test_fitted_q_covers_the_truth_and_is_not_trusted_by_itself():
    found = []
    for seed in range(200):
        log, slate, state = drawn(400, seed)
        found.append(fitted_q_evaluation(log, *features(slate, state), ridge=1e-6))
    assert 0.9 < np.mean([one.low < truth() < one.high for one in found]) < 0.99
    assert np.mean([one.error for one in found]) == pytest.approx(np.std([one.value for one in found]), rel=0.15)
    assert not any(one.trusted for one in found)


def test_doubly_robust_out_of_fold_covers_the_truth_with_less_spread_than_weights():
    found, weighed = [], []
    for seed in range(150):
        log, slate, state = drawn(400, seed)
        fitted = fitted_values(log, *features(slate, state), folds=4, ridge=0.1, seed=seed)
        found.append(weighted_doubly_robust(log, *fitted))
        weighed.append(per_decision_is(log, self_normalised=True))
    for one in (found, weighed):
        assert 0.9 < np.mean([each.low < truth() < each.high for each in one]) < 0.99
    assert np.mean([one.error for one in found]) < 0.9 * np.mean([one.error for one in weighed])


def test_fitted_values_stand_where_the_turns_stand():
    predicted, expected = fitted_values(ALL, *features(SHOWN, SEEN), folds=2, ridge=1e-6)
    other, slate, state = log_of(PATHS, shuffle=1)
    again, _ = fitted_values(other, *features(slate, state), folds=2, ridge=1e-6)
    place = {(session, turn): row for row, (session, turn) in enumerate(zip(other.session, other.turn, strict=True))}
    assert np.allclose(predicted, again[[place[key] for key in zip(ALL.session, ALL.turn, strict=True)]])
    assert predicted.shape == expected.shape == (50,)
    # All sessions of one person are held out together.
    paired = replace(ALL, person=ALL.session // 14)
    assert not np.allclose(fitted_values(paired, *features(SHOWN, SEEN), folds=2, ridge=1e-6)[0], predicted)


def test_what_was_held_out_has_no_part_in_its_own_prediction():
    log, slate, state = drawn(40, 0)
    steps = steps_of(log, *features(slate, state))
    folds = folds_of(steps.session, 4)
    before = out_of_fold(steps, folds)[0]
    moved = replace(steps, rewards=steps.rewards + 100.0 * (folds == 2))
    after = out_of_fold(moved, folds)[0]
    assert np.array_equal(before[folds == 2], after[folds == 2])
    assert not np.array_equal(before[folds == 1], after[folds == 1])


# --- Long sessions, people, and what is refused ----------------------------------------------------------------------


def long_sessions(turns, count=5_000):
    rng = np.random.default_rng(0)
    near = rng.normal(-1.5, 0.1, (count * turns, 1))
    slates = LoggedSlates(
        rewards=np.ones((count * turns, 1)), behaviour=near, evaluation=near + 0.4 * rng.choice([-1, 1], near.shape)
    )
    sessions, turn = np.repeat(np.arange(count), turns), np.tile(np.arange(turns), count)
    return LoggedSessions(slates=slates, session=sessions, turn=turn)


def test_weights_of_long_sessions_say_that_they_are_hopeless():
    short, long = per_decision_is(long_sessions(2)), per_decision_is(long_sessions(40))
    assert short.ess > 1_000 > 100 > long.ess
    assert not long.trusted
    assert "below 1,000" in long.why
    assert short.scores.shape == (5_000,)


def test_the_sessions_of_a_person_move_together():
    log = long_sessions(2)
    person = log.session // 10
    found = per_decision_is(replace(log, person=person))
    assert found.scores.shape == (500,)
    assert found.value == pytest.approx(per_decision_is(log).value)
    assert "interval from 5 independent units" in per_decision_is(replace(log, person=log.session // 1_000)).why


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"turn": ALL.turn + 1}, "has turn 1 where turn 0 should stand.*leave out sessions that are not whole"),
        ({"session": np.zeros_like(ALL.session)}, "session 0 has turn 0 where turn 1 should stand"),
        ({"session": ALL.session[:3]}, r"session must hold one whole number for each of 50 turns.*\(3,\)"),
        ({"turn": ALL.turn.astype(float)}, "turn must hold one whole number.*float64"),
        ({"discount": 0.0}, "discount lies above 0 and at most at 1, got 0.0"),
        ({"person": ALL.turn}, "person changes within a session"),
        ({"slates": replace(ALL.slates, unit=ALL.session)}, "give person to LoggedSessions"),
    ],
)
def test_sessions_that_are_none_are_refused_with_what_to_do(change, message):
    with pytest.raises(ValueError, match=message):
        replace(ALL, **change)


def test_one_session_is_too_few():
    slates = LoggedSlates(rewards=np.ones((2, 1)), behaviour=np.full((2, 1), -1.0), evaluation=np.full((2, 1), -1.0))
    with pytest.raises(ValueError, match="one session says nothing about chance"):
        LoggedSessions(slates=slates, session=np.zeros(2, int), turn=np.arange(2))


def test_predictions_and_features_that_do_not_fit_are_refused():
    zeros = np.zeros(len(ALL.slates))
    with pytest.raises(
        ValueError, match=r"expected must hold one finite number for each of 50 turns, got shape \(3,\)"
    ):
        weighted_doubly_robust(ALL, zeros, zeros[:3])
    with pytest.raises(ValueError, match=r"shown must be \[50, num_features\], got \(50,\)"):
        fitted_q_evaluation(ALL, zeros, zeros)
    shown, expected = features(SHOWN, SEEN)
    with pytest.raises(ValueError, match="with the same features"):
        fitted_q_evaluation(ALL, shown, expected[:, :2])
    with pytest.raises(ValueError, match=r"feature 0 of row .* of expected is nan"):
        fitted_q_evaluation(ALL, shown, np.where(np.arange(42) == 0, np.nan, expected))
    with pytest.raises(ValueError, match="ridge must be above 0, got 0"):
        fitted_q_evaluation(ALL, shown, expected, ridge=0)
    steps = steps_of(ALL, shown, expected)
    with pytest.raises(ValueError, match="session by session"):
        replace(steps, turn=steps.turn + 1)
    with pytest.raises(ValueError, match=r"one number for each of 50 rewards, got \(2,\)"):
        replace(steps, session=np.zeros(2, int))
    with pytest.raises(ValueError, match="discount lies above 0"):
        replace(steps, discount=2.0)
    with pytest.raises(ValueError, match=r"folds_of\(session\)"):
        out_of_fold(steps, np.arange(50))
    with pytest.raises(ValueError, match="two folds or more"):
        out_of_fold(steps, np.zeros(50, int))
    assert isinstance(steps, Steps)

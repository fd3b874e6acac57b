"""What another policy would have earned with one slate: weighting, models of rewards, and both together.

All take a `LoggedSlates` and return an `OffPolicyEstimate` of the expected reward of a slate, summed over positions
(for a discounted sum such as DCG, discount the rewards). With r_j the reward at position j, a_j its item, x what was
seen, μ the policy that logged and π the one that is evaluated:

=========================  ===============================================  =======================================
estimator                  weight of position j                             unbiased where r_j depends on
=========================  ===============================================  =======================================
`standard_ips`             π(a_1 … a_K | x) / μ(a_1 … a_K | x)              the whole slate
`reward_interaction_ips`   π(a_1 … a_j | x) / μ(a_1 … a_j | x)              a_1 … a_j (people read downwards)
`independent_ips`          π(a_j at j | x) / μ(a_j at j | x)                a_j alone
=========================  ===============================================  =======================================

The more is assumed, the smaller the weights. ``self_normalised=True`` divides each position by its mean weight: biased
by O(1/n) and consistent, never outside the range of rewards, and mostly less variable.

References:
    Li et al. (2018), Offline evaluation of ranking policies with click models, KDD; McInerney et al. (2020),
    Counterfactual evaluation of slate recommendations with sequential reward interactions, KDD; Swaminathan et al.
    (2017), Off-policy evaluation for slate recommendation, NeurIPS; Kiyohara et al. (2022), Doubly robust off-policy
    evaluation for ranking policies under the cascade behavior model, WSDM; Swaminathan and Joachims (2015), The
    self-normalized estimator for counterfactual learning, NeurIPS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from instructrec.arrays import Floats, Ints
from instructrec.estimates import Assumes, OffPolicyEstimate, Scores, Term, summarise, weights_of

ROUNDING = 1e-6
"""A log-probability may exceed 0 by this much, as sums in single precision do."""


@dataclass(frozen=True, kw_only=True)
class LoggedSlates:
    """What was shown and earned, and how likely both policies were to show it.

    Attributes:
        rewards: What each position earned, [n, slate_size].
        behaviour: log μ(item at j | items above it) of the policy that logged, at most 0, [n, slate_size].
        evaluation: The same of the evaluated policy; -inf for what it never shows.
        behaviour_marginal: log μ(this item stands at j), whatever stands above, [n, slate_size]
            (`position_marginals.log_marginals`); only `independent_ips` needs it.
        evaluation_marginal: The same of the evaluated policy.
        unit: What moves together in the interval, such as the person of each row, [n]; each row by itself when omitted.
        unsupported: The share of what the evaluated policy shows in each row that μ never does, [n], where it is known.
    """

    rewards: Floats
    behaviour: Floats
    evaluation: Floats
    behaviour_marginal: Floats | None = None
    evaluation_marginal: Floats | None = None
    unit: Ints | None = None
    unsupported: Floats | None = None

    def __post_init__(self) -> None:
        if self.rewards.ndim != 2 or self.rewards.shape[0] < 2 or self.rewards.shape[1] < 1:
            raise ValueError(f"rewards must be [rows, slate_size] with two rows or more, got {self.rewards.shape}")
        if not np.isfinite(self.rewards).all():
            row, position = np.argwhere(~np.isfinite(self.rewards))[0]
            raise ValueError(
                f"the reward of row {row}, position {position} is {self.rewards[row, position]}: leave such rows out"
            )
        _check_log_probabilities("behaviour", self.behaviour, self.rewards.shape, shown=True)
        _check_log_probabilities("evaluation", self.evaluation, self.rewards.shape, shown=False)
        if (self.behaviour_marginal is None) != (self.evaluation_marginal is None):
            raise ValueError("marginals are needed of both policies: give behaviour_marginal and evaluation_marginal")
        if self.behaviour_marginal is not None and self.evaluation_marginal is not None:
            _check_log_probabilities("behaviour_marginal", self.behaviour_marginal, self.rewards.shape, shown=True)
            _check_log_probabilities("evaluation_marginal", self.evaluation_marginal, self.rewards.shape, shown=False)
        if not (self.behaviour < -ROUNDING).any():
            raise ValueError(
                "the policy that logged showed every slate with probability 1: nothing can be learned of another one; "
                "log with one that draws, such as plackett_luce(ranker, slate_size, temperature)"
            )
        for name, array in (("unit", self.unit), ("unsupported", self.unsupported)):
            if array is not None and array.shape != (len(self),):
                raise ValueError(f"{name} must hold one number for each of {len(self):,} rows, got {array.shape}")

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def slate_size(self) -> int:
        """How many positions a slate has."""
        return int(self.rewards.shape[1])

    def summarise(
        self, name: str, terms: Iterator[Term], *, assumes: Assumes, self_normalised: bool = False
    ) -> OffPolicyEstimate:
        """Adds terms of these rows up to an estimate, with what is known of units and support."""
        missing = None if self.unsupported is None else float(self.unsupported.mean())
        return summarise(
            name, terms, assumes=assumes, self_normalised=self_normalised, unit=self.unit, unsupported=missing
        )


def _check_log_probabilities(name: str, logs: Floats, shape: tuple[int, ...], *, shown: bool) -> None:
    if logs.shape != shape:
        raise ValueError(f"{name} must have the shape of rewards, {shape}, got {logs.shape}")
    if not np.issubdtype(logs.dtype, np.floating):
        raise ValueError(f"{name} must hold log-probabilities as floats, got {logs.dtype}")
    wrong = ~(logs <= ROUNDING)  # NaN, too.
    if wrong.any():
        row, position = np.argwhere(wrong)[0]
        raise ValueError(
            f"{name} must hold log-probabilities, at most 0; row {row}, position {position} has "
            f"{logs[row, position]}: of probabilities give np.log, and leave rows without one out"
        )
    if shown and np.isneginf(logs).any():
        row, position = np.argwhere(np.isneginf(logs))[0]
        raise ValueError(
            f"{name} says that what row {row} shows at position {position} had probability 0: these are not the "
            "propensities of the policy that logged"
        )


def _log_ratio(log: LoggedSlates, position: int) -> Scores:
    return log.evaluation[:, position].astype(np.float64) - log.behaviour[:, position].astype(np.float64)


def _prefix_weights(log: LoggedSlates) -> Iterator[Scores]:
    """Yields π(a_1 … a_j) / μ(a_1 … a_j) for each position j, [n] at a time."""
    ratio = np.zeros(len(log))
    for position in range(log.slate_size):
        ratio = ratio + _log_ratio(log, position)
        yield weights_of(ratio)


def _slate_weights(log: LoggedSlates) -> Scores:
    ratio = np.zeros(len(log))
    for position in range(log.slate_size):
        ratio += _log_ratio(log, position)
    return weights_of(ratio)


def _per_row(name: str, values: Floats, log: LoggedSlates) -> Floats:
    if values.shape != (len(log),) or not np.isfinite(values).all():
        raise ValueError(
            f"{name} must hold one finite number for each of {len(log):,} rows, got shape {values.shape}"
            + ("" if values.shape != (len(log),) else " with NaN or infinity in it")
        )
    return values


def direct_method(log: LoggedSlates, expected: Floats) -> OffPolicyEstimate:
    """Averages what a model of rewards expects of the evaluated policy's slates.

    V = mean of q̂(x, π), with q̂(x, π) = Σ over slates s of π(s | x) q̂(x, s).

    Assumes that the model is right: its bias is the model's, does not shrink with the log, and is not in the interval.
    The variance is the smallest of all; it never is trusted by itself.

    Args:
        log: The rows; their rewards and propensities are not used.
        expected: q̂(x, π), the slate's reward, [n]; of a model that was not fitted to the same row.

    References:
        Dudík et al. (2014), Doubly robust policy evaluation and optimization.
    """
    terms = iter([Term(_per_row("expected", expected, log))])
    return log.summarise("direct_method", terms, assumes=Assumes.MODEL)


def standard_ips(log: LoggedSlates, *, self_normalised: bool = False) -> OffPolicyEstimate:
    """Weights whole slates: V = mean of w Σ_j r_j, with w = π(a_1 … a_K | x) / μ(a_1 … a_K | x).

    Assumes nothing about rewards but that μ can show whatever π does. Unbiased; the variance grows exponentially with
    the slate size.

    Args:
        log: What was shown and earned.
        self_normalised: Divides by the mean weight: bias O(1/n), less variance.

    References:
        McInerney et al. (2020), eq. 1; Horvitz and Thompson (1952).
    """
    terms = iter([Term(log.rewards.sum(axis=1, dtype=np.float64), _slate_weights(log))])
    return log.summarise("standard_ips", terms, assumes=Assumes.NOTHING, self_normalised=self_normalised)


def reward_interaction_ips(log: LoggedSlates, *, self_normalised: bool = False) -> OffPolicyEstimate:
    """Weights each position by what stands there and above: V = mean of Σ_j w_1:j r_j.

    Assumes that r_j depends on a_1 … a_j and not on what stands below (people read downwards). Unbiased then; its
    variance is `standard_ips`'s at the last position and less above. Where lower items draw clicks from higher ones it
    is biased, however large the log.

    Args:
        log: What was shown and earned.
        self_normalised: Divides every position by its mean weight: bias O(1/n), less variance.

    References:
        McInerney et al. (2020), eq. 5.
    """
    terms = (Term(log.rewards[:, position], weights) for position, weights in enumerate(_prefix_weights(log)))
    return log.summarise("reward_interaction_ips", terms, assumes=Assumes.CASCADE, self_normalised=self_normalised)


def independent_ips(log: LoggedSlates, *, self_normalised: bool = False) -> OffPolicyEstimate:
    """Weights each position by its own item: V = mean of Σ_j r_j π(a_j at j | x) / μ(a_j at j | x).

    Assumes that r_j depends on the item at j alone (the item-position click model). Unbiased then, with a variance that
    does not grow with the slate size; any influence of one item on another's reward is bias, however large the log.

    Args:
        log: What was shown and earned, with both marginals.
        self_normalised: Divides every position by its mean weight: bias O(1/n), less variance.

    Raises:
        ValueError: If the log has no marginals.

    References:
        Li et al. (2018); McInerney et al. (2020), eq. 2.
    """
    behaviour, evaluation = log.behaviour_marginal, log.evaluation_marginal
    if behaviour is None or evaluation is None:
        raise ValueError(
            "independent_ips needs behaviour_marginal and evaluation_marginal: the log-probability of each item at its "
            "position whatever stands above; for Plackett–Luce policies instructrec.position_marginals gives them"
        )
    terms = (
        Term(
            log.rewards[:, position],
            weights_of(evaluation[:, position].astype(np.float64) - behaviour[:, position].astype(np.float64)),
        )
        for position in range(log.slate_size)
    )
    return log.summarise("independent_ips", terms, assumes=Assumes.INDEPENDENT, self_normalised=self_normalised)


def pseudo_inverse_weights(
    gram: Floats, evaluation_marginals: Floats, places: Ints, context: Ints | None = None
) -> Scores:
    """Returns the weights of `pseudo_inverse`: q_π(x)ᵀ Γ_μ(x)⁺ 1_s, [n]; 1 on average, and below 0 for some slates.

    1_s [slate_size × num_candidates] marks which item a slate shows where, Γ_μ = E_μ[1_s 1_sᵀ] and q_π = E_π[1_s].

    Args:
        gram: Γ_μ of each context, [num_contexts, slate_size × num_candidates, the same]
            (`position_marginals.slate_gram`).
        evaluation_marginals: q_π of each context, [num_contexts, slate_size, num_candidates]
            (`position_marginals.position_marginals`).
        places: The places of the shown items among the candidates, [n, slate_size].
        context: Which context each row has, [n]; the row's own number when omitted.

    Raises:
        ValueError: If shapes do not fit.
    """
    if evaluation_marginals.ndim != 3:
        raise ValueError(
            f"evaluation_marginals must be [num_contexts, slate_size, num_candidates], got {evaluation_marginals.shape}"
        )
    contexts, slate_size, candidates = evaluation_marginals.shape
    size = slate_size * candidates
    if gram.shape != (contexts, size, size) or places.ndim != 2 or places.shape[1] != slate_size:
        raise ValueError(
            f"expected gram [{contexts}, {size}, {size}] and places [n, {slate_size}] for these marginals, got "
            f"{gram.shape} and {places.shape}"
        )
    rows = np.arange(len(places)) if context is None else np.asarray(context)
    if rows.shape != (len(places),) or (len(rows) and not 0 <= rows.min() <= rows.max() < contexts):
        raise ValueError(f"each of {len(places):,} rows needs the number of one of {contexts} contexts in context")
    inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    worth = np.einsum("cab,cb->ca", inverse, evaluation_marginals.reshape(contexts, size))
    return np.asarray(worth[rows[:, None], places + candidates * np.arange(slate_size)].sum(axis=1), np.float64)


def pseudo_inverse(log: LoggedSlates, weights: Floats, *, self_normalised: bool = False) -> OffPolicyEstimate:
    """Weights slates by how their items at their positions combine to the evaluated policy's: V = mean of w Σ_j r_j.

    w = q_π(x)ᵀ Γ_μ(x)⁺ 1_s, see `pseudo_inverse_weights`. Assumes that a slate's expected reward is a sum of what each
    item brings at its position, unknown otherwise; only the slate's total reward is used. Unbiased then, where every
    item that π shows at a position is shown there by μ at times; the variance grows with slate_size × num_candidates
    instead of with num_candidates to the power of slate_size. Where items interact it is biased.

    Args:
        log: What was shown and earned.
        weights: From `pseudo_inverse_weights`, [n].
        self_normalised: Divides by the mean weight (the paper's wPI): bias O(1/n), less variance.

    References:
        Swaminathan et al. (2017).
    """
    terms = iter([Term(log.rewards.sum(axis=1, dtype=np.float64), _per_row("weights", weights, log))])
    return log.summarise("pseudo_inverse", terms, assumes=Assumes.ADDITIVE, self_normalised=self_normalised)


def slate_dr(
    log: LoggedSlates, predicted: Floats, expected: Floats, *, self_normalised: bool = False
) -> OffPolicyEstimate:
    """Corrects a model of rewards where the log contradicts it: V = mean of q̂(x, π) + w (Σ_j r_j - q̂(x, s)).

    w weights the whole slate as in `standard_ips`. Assumes nothing about rewards: unbiased whatever the model, if it
    was not fitted to the same row (fit it out of fold: `fitted_q.folds_of`); the better the model, the smaller the
    variance, which is that of w times the residuals. A model of zeros makes it `standard_ips`.

    Args:
        log: What was shown and earned.
        predicted: q̂(x, s) of the slate that was shown, [n].
        expected: q̂(x, π), the model's mean over the evaluated policy's slates, [n].
        self_normalised: Divides the correction by its mean weight: bias O(1/n), less variance.

    References:
        Dudík et al. (2014); Chernozhukov et al. (2018), Double/debiased machine learning (cross-fitting).
    """
    earned = log.rewards.sum(axis=1, dtype=np.float64) - _per_row("predicted", predicted, log)
    terms = iter([Term(_per_row("expected", expected, log)), Term(earned, _slate_weights(log))])
    return log.summarise("slate_dr", terms, assumes=Assumes.NOTHING, self_normalised=self_normalised)


def cascade_dr(
    log: LoggedSlates, predicted: Floats, expected: Floats, *, self_normalised: bool = False
) -> OffPolicyEstimate:
    """Corrects a model of rewards position by position, people reading downwards.

    V = mean of Σ_j w_1:j (r_j - q̂_j(x, a_1 … a_j)) + w_1:j-1 q̂_j(x, a_1 … a_j-1, π), where q̂_j predicts the sum of
    rewards from position j on under π, and q̂_j(…, π) = Σ_a π(a | x, a_1 … a_j-1) q̂_j(x, a_1 … a_j-1, a).

    Assumes that r_j depends on a_1 … a_j. Unbiased then whatever the model, if it was not fitted to the same row; its
    variance is below `reward_interaction_ips`'s for a good model, and equal for one of zeros.

    Args:
        log: What was shown and earned.
        predicted: q̂_j of the items that were shown, [n, slate_size].
        expected: q̂_j(…, π) after the items shown above, [n, slate_size].
        self_normalised: Divides weights of every position by their mean: bias O(1/n), less variance.

    References:
        Kiyohara et al. (2022), section 3.1.
    """
    for name, values in (("predicted", predicted), ("expected", expected)):
        if values.shape != log.rewards.shape or not np.isfinite(values).all():
            raise ValueError(
                f"{name} must be finite and of the shape of rewards, {log.rewards.shape}, got {values.shape}"
            )
    columns = zip(log.rewards.T, predicted.T, expected.T, strict=True)
    terms = doubly_robust_terms(_prefix_weights(log), columns)
    return log.summarise("cascade_dr", terms, assumes=Assumes.CASCADE, self_normalised=self_normalised)


def doubly_robust_terms(weights: Iterator[Scores], columns: Iterator[tuple[Floats, Floats, Floats]]) -> Iterator[Term]:
    """Yields w_j (r_j - q̂_j) and w_j-1 v̂_j, step by step: positions of a slate, or turns of a session.

    Args:
        weights: The cumulative weights of each step, [n].
        columns: Reward, prediction for what was done and expectation under the evaluated policy of each step, [n] each.
    """
    before: Scores | None = None
    for now, (reward, predicted, expected) in zip(weights, columns, strict=True):
        yield Term(np.asarray(expected, np.float64), before)
        yield Term(np.asarray(reward, np.float64) - predicted, now)
        before = now

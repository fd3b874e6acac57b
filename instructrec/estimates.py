"""What an off-policy estimate says of itself: interval, effective sample size, largest weight, support, and trust.

Every estimator of a policy's value is a sum of terms, each the mean over rows of weight × value, or, self-normalised,
that mean over the mean weight. `summarise` turns the terms into one score per row whose mean is the estimate; interval,
paired differences and whatever else needs the spread come from these scores alone.

References:
    Owen (2013), Monte Carlo theory, methods and examples, ch. 9 (importance sampling, self-normalising, effective
    sample size); Su et al. (2020), Adaptive estimator selection for off-policy evaluation, ICML (choosing).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy import stats

from instructrec.arrays import Floats, Ints

Scores = npt.NDArray[np.float64]

MIN_EFFECTIVE = 1_000
"""The effective sample size below which no weighting estimate is trusted."""

MAX_UNSUPPORTED = 0.03
"""The share of what the evaluated policy shows, outside the log's reach, above which nothing is trusted."""

MIN_UNITS = 30
"""Fewer independent rows, sessions or people than this make no interval."""

AGREEMENT = 2.0
"""How many standard errors an estimate that assumes more may stand from one that assumes nothing."""

PAYS = 0.25
"""An assumption must bring the variance below this share of what it is without, or it is not worth the risk."""

CLEARLY = 0.9
"""An estimate is clearly more precise than another where its error is below this share of the other's. The smallest of
many errors that are about as large is too small, and intervals made of it miss the truth more often."""

MIN_WITNESS = 100
"""The effective sample size from which an estimate that assumes nothing may contradict others."""

MAX_LOG_WEIGHT = 300.0
"""Log-weights above count as this: what matters of e^300 is that it is hopeless, not that its square overflows."""


class Assumes(IntEnum):
    """What an estimator takes for granted about rewards, the weaker assumption first; `MEANS` says it in words."""

    NOTHING = 0
    CASCADE = 1
    ADDITIVE = 2
    INDEPENDENT = 3
    MODEL = 4


MEANS = {
    Assumes.NOTHING: "rewards may depend on the whole slate, and on all turns before",
    Assumes.CASCADE: "a position's reward depends on its item and on those above it",
    Assumes.ADDITIVE: "each item adds its share to the slate's reward, whatever the others",
    Assumes.INDEPENDENT: "a position's reward depends on its item alone",
    Assumes.MODEL: "the model of rewards is right",
}
"""What each assumption says of rewards."""


@dataclass(frozen=True)
class Term:
    """One part of an estimate.

    Attributes:
        values: What is averaged, [n].
        weights: The importance weight of each row, [n], 1 on average; None where every row counts once.
    """

    values: Floats
    weights: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class OffPolicyEstimate:
    """What a policy that was not followed would have earned, and how far to believe it. `summarise` makes one.

    Attributes:
        estimator: The estimator's name.
        value: Expected reward of a slate, or of a session; NaN where no weight is above 0 and they are normalised.
        low: Lower end of the 95 % interval: for self-normalised estimators by the delta method, rows, sessions or
            people, whichever is the unit, moving together. It holds what chance does, not what a wrong assumption does.
        high: Upper end.
        error: The standard error that the interval is made of.
        ess: Effective sample size, (Σ weight)² / Σ weight², the smallest over positions or turns; NaN without weights.
        max_weight: The largest weight, where the mean is 1; NaN without weights.
        unsupported: Share of what the evaluated policy shows that the log cannot contain; where that was not given, by
            how much the mean weight falls short of 1, beyond two standard errors. NaN without either.
        trusted: Whether nothing in its own weights speaks against it; `choose` holds it against others. See ``why``.
        why: In words, what speaks against it, or what speaks for it.
        assumes: What must hold for it to be unbiased.
        units: How many independent rows, sessions or people there are.
        scores: One number per unit; their mean is ``value``. Estimates of one log are compared by differences of these.
            Empty where they were not kept; see `Choice.lighter`.
    """

    estimator: str
    value: float
    low: float
    high: float
    error: float
    ess: float
    max_weight: float
    unsupported: float
    trusted: bool
    why: str
    assumes: Assumes
    units: int
    scores: Scores = field(repr=False, compare=False)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Returns lower and upper end of the interval that covers the value in a share ``level`` of logs."""
        if not 0 < level < 1:
            raise ValueError(f"an interval's level lies between 0 and 1, got {level}; 0.95 is usual")
        reach = reach_of(self.error, self.units, level)
        return self.value - reach, self.value + reach

    def error_of_difference(self, other: OffPolicyEstimate) -> float:
        """Returns the standard error of ``value - other.value``, both estimated on the same rows.

        Raises:
            ValueError: If they are of logs of different size, or the scores of one were not kept.
        """
        if self.units == other.units and 0 in (len(self.scores), len(other.scores)):
            raise ValueError("of the estimates of one policy only the chosen one keeps its scores; compare those")
        if self.scores.shape != other.scores.shape:
            raise ValueError(
                f"estimates of one log can be compared: {self.estimator} has {self.units:,} units and "
                f"{other.estimator} {other.units:,}; make both with the same rows and the same unit"
            )
        return _standard_error(self.scores - other.scores)


def reach_of(error: float, units: int, level: float = 0.95) -> float:
    """Returns how far an interval reaches to either side of a mean, by Student's t.

    Args:
        error: The mean's standard error.
        units: Of how many independent numbers it is the mean.
        level: In which share of cases the interval is to hold.
    """
    return float(stats.t.ppf((1 + level) / 2, max(units - 1, 1))) * error


def weights_of(log_ratios: npt.ArrayLike) -> Scores:
    """Returns e^log-ratio, float64, with log-ratios above `MAX_LOG_WEIGHT` taken as that."""
    return np.asarray(np.exp(np.minimum(np.asarray(log_ratios, np.float64), MAX_LOG_WEIGHT)))


def summarise(
    estimator: str,
    terms: Iterable[Term],
    *,
    assumes: Assumes,
    self_normalised: bool = False,
    unit: Ints | None = None,
    unsupported: float | None = None,
) -> OffPolicyEstimate:
    """Adds terms up to an estimate and says what is to be said about it.

    A row's score is Σ over terms of w x; self-normalised, of x̄ + (w x - x̄ w) / w̄ with x̄ = Σ w x / Σ w, whose mean is x̄
    and whose spread is that of the delta method. Rows of one unit add up.

    Args:
        estimator: Its name.
        terms: One per position, turn or correction, all of the same rows; consumed one by one.
        assumes: What must hold for the estimator to be unbiased.
        self_normalised: Whether each term is divided by its mean weight.
        unit: What moves together, such as the session or person of each row, [n]; every row by itself when omitted.
        unsupported: Where it is known, the share of what the evaluated policy shows that the log cannot contain.
    """
    total: Scores | None = None
    ess, largest, shortfall, surplus = np.inf, -np.inf, 0.0, 0.0
    weighed = False
    for term in terms:
        score = np.asarray(term.values, np.float64)
        if term.weights is not None:
            weighed = True
            score = score * term.weights
            mean, error = float(term.weights.mean()), _standard_error(term.weights)
            ess = min(ess, effective_sample_size(term.weights))
            largest = max(largest, float(term.weights.max()))
            shortfall = max(shortfall, 1 - mean - 2 * error)
            surplus = max(surplus, mean - 1 - 4 * error)
            if self_normalised:
                score = _normalised(score, term.weights, mean)
        total = score if total is None else total + score
    if total is None:
        raise ValueError("an estimate is a sum of terms, and none was given")
    value, scores = float(total.mean()), _by_unit(total, unit)
    missing = unsupported if unsupported is not None else float(np.clip(shortfall, 0, 1)) if weighed else np.nan
    error = _standard_error(scores)
    reach = reach_of(error, len(scores))
    if not weighed:
        ess = largest = np.nan
    doubts = list(_doubts(weighed, value, ess, unsupported or 0.0, shortfall, surplus, len(scores)))
    return OffPolicyEstimate(
        estimator=("sn_" if self_normalised else "") + estimator,
        value=value,
        low=value - reach,
        high=value + reach,
        error=error,
        ess=float(ess),
        max_weight=float(largest),
        unsupported=missing,
        trusted=not doubts,
        why="; ".join(doubts) or _praise(ess, len(total), assumes),
        assumes=assumes,
        units=len(scores),
        scores=scores,
    )


def _normalised(earned: Scores, weights: Floats, mean: float) -> Scores:
    if mean <= 0:  # Only pseudo-inverse weights can be below 0; an estimate over nothing is none.
        return np.full(len(earned), np.nan)
    level = earned.mean() / mean
    return np.asarray(level + (earned - level * weights) / mean)


def _by_unit(scores: Scores, unit: Ints | None) -> Scores:
    """Returns one score per unit with the same mean, whose spread is that of sums over units of deviations."""
    if unit is None:
        return scores
    known, place = np.unique(unit, return_inverse=True)
    value = scores.mean()
    return np.asarray(value + np.bincount(place.ravel(), scores - value) * (len(known) / len(scores)))


def _standard_error(scores: Floats) -> float:
    return float(scores.std(ddof=1) / np.sqrt(len(scores))) if len(scores) > 1 else float("nan")


def effective_sample_size(weights: Floats) -> float:
    """Returns (Σ w)² / Σ w²: how many rows of equal weight would be as good; 0 where all weights are 0."""
    scale = float(np.abs(weights).max())
    if not scale:
        return 0.0
    scaled = weights / scale
    return float(scaled.sum() ** 2 / (scaled @ scaled))


def _doubts(
    weighed: bool, value: float, ess: float, missing: float, shortfall: float, surplus: float, units: int
) -> Iterable[str]:
    if not weighed:
        yield "nothing in the log measures the model's own error: see whether a weighting estimate agrees"
    if np.isnan(value):
        yield "no row of the log could have come from the evaluated policy"
    if weighed and ess < MIN_EFFECTIVE:
        yield (
            f"effective sample size {ess:,.0f} is below {MIN_EFFECTIVE:,}: few rows decide; log more, or evaluate a "
            "policy nearer to the one that logged"
        )
    if missing > MAX_UNSUPPORTED:
        yield (
            f"{missing:.0%} of what the policy shows is outside what the log covers: log with a policy that can show "
            "everything"
        )
    elif weighed and shortfall > MAX_UNSUPPORTED:
        yield (
            f"weights fall short of their mean of 1 by {min(shortfall, 1):.0%}: much of what the policy shows is "
            "hardly or never in the log; log with a policy that shows it more often"
        )
    if surplus > MAX_UNSUPPORTED:
        yield (
            f"weights exceed their mean of 1 by at least {surplus:.0%}: the propensities are not those of the policy "
            "that logged"
        )
    if units < MIN_UNITS:
        yield f"an interval from {units} independent units means little; {MIN_UNITS} are the least"


def _praise(ess: float, rows: int, assumes: Assumes) -> str:
    found = f"effective sample size {ess:,.0f} of {rows:,}, and weights that are 1 on average"
    return found if assumes == Assumes.NOTHING else f"{found}; if {MEANS[assumes]}"


@dataclass(frozen=True)
class Choice:
    """Several estimates of one policy, held against each other, and which of them to go by.

    Attributes:
        estimates: Those given, in their order; ``trusted`` and ``why`` now say what the others say of them, too.
        place: The place of the chosen one.
        why: The reason, in words.
    """

    estimates: tuple[OffPolicyEstimate, ...]
    place: int
    why: str

    @property
    def chosen(self) -> OffPolicyEstimate:
        """The estimate to go by."""
        return self.estimates[self.place]

    def distrusted(self, why: str) -> Choice:
        """Returns the same with no estimate trusted, for a reason that is not in the numbers."""
        return replace(self, estimates=tuple(replace(one, trusted=False, why=why) for one in self.estimates))

    def lighter(self) -> Choice:
        """Returns the same without the ``scores`` of what was not chosen: of a large log they take the most memory."""
        nothing = np.empty(0)
        kept = (one if one is self.chosen else replace(one, scores=nothing) for one in self.estimates)
        return replace(self, estimates=tuple(kept))


def choose(estimates: Sequence[OffPolicyEstimate]) -> Choice:
    """Says which of several estimates can be trusted, and picks one, without the truth.

    The *reference* is the most precise trusted estimate that assumes nothing about rewards, or the last given of those
    about as precise (`CLEARLY`). One that assumes more stays trusted only if it agrees with the reference: |V - V_ref|
    within `AGREEMENT` standard errors of the difference, which is measured on the same rows. Where there is no
    reference nothing tells whether an assumption holds, and none is trusted that makes one.

    Of the trusted the smallest estimated mean squared error is chosen: the variance, and for those that assume more
    max(0, (V - V_ref)² - Var(V - V_ref)) as the square of their bias. They come into question only where their variance
    is below `PAYS` times the reference's. A bias smaller than the reference's error cannot be seen, and an interval
    that misses the truth because of it is worse than one that is somewhat wider.

    Without a reference, an estimate that assumes nothing and has an effective sample size of `MIN_WITNESS` can still
    contradict others. Of those that it does not, the choice falls on one whose weights are sound, though its assumption
    is untested, the weakest first; else on the most precise, as above, of those with such an effective sample size that
    assume nothing; else on a model, since weights say nothing; else on the largest effective sample size. It stays
    untrusted.

    Args:
        estimates: Of one policy on one log, with the same unit; of those that assume the same, plain weighting first,
            as `instructrec.off_policy` lists them.

    Raises:
        ValueError: If there is none, or they are of different logs.

    References:
        Su et al. (2020), SLOPE: from the least biased estimator towards the least variable one while intervals overlap.
        Here distances are measured in pairs, and no order of variances is needed.
    """
    if not estimates:
        raise ValueError("expected at least one estimate to choose from")
    unbiased = [place for place, one in enumerate(estimates) if one.trusted and one.assumes == Assumes.NOTHING]
    if not unbiased:
        return _choose_without_reference(estimates)
    best = _most_precise(estimates, unbiased)
    reference, reviewed, errors = estimates[best], [], []
    for place, one in enumerate(estimates):
        noise, apart = one.error_of_difference(reference), abs(one.value - reference.value)
        if one.trusted and one.assumes > Assumes.NOTHING:
            agrees = _agree(one, reference)
            far = apart / noise if noise else np.inf
            why = f"{far:.1f} standard errors from {reference.estimator}, which assumes less"
            one = replace(one, trusted=agrees, why=f"{one.why}; {why}" if agrees else f"it stands {why}")
        pays = one.trusted and one.assumes > Assumes.NOTHING and one.error**2 < PAYS * reference.error**2
        considered = place == best or pays
        bias = max(0.0, apart**2 - noise**2) if one.assumes > Assumes.NOTHING else 0.0
        reviewed.append(one)
        errors.append(one.error**2 + bias if considered else np.inf)
    place = int(np.argmin(errors))
    error = np.sqrt(errors[place])
    if place == best:
        why = f"none that assumes as little is clearly more precise (standard error {error:.3g})"
    else:
        gained = f"{error:.3g} instead of {reference.error:.3g}"
        why = f"what it assumes agrees with the log and makes it more precise ({gained})"
    return Choice(tuple(reviewed), place, why)


def _choose_without_reference(estimates: Sequence[OffPolicyEstimate]) -> Choice:
    untested = "nothing that assumes less is trusted on this log, so that nothing tells whether it holds that "
    reviewed = tuple(
        replace(one, trusted=False, why=untested + MEANS[one.assumes]) if one.trusted else one for one in estimates
    )
    witnesses = [one for one in estimates if one.assumes == Assumes.NOTHING and one.ess >= MIN_WITNESS]
    witness = max(witnesses, key=lambda one: one.ess, default=None)
    kept = [place for place, one in enumerate(estimates) if witness is None or _agree(one, witness)]
    sound = [place for place in kept if estimates[place].trusted]
    models = [place for place in kept if estimates[place].assumes == Assumes.MODEL]
    if sound:
        place = min(sound, key=lambda place: (estimates[place].assumes, estimates[place].error))
        why = "its weights are sound, but its assumption is untested"
    elif heard := [place for place in kept if estimates[place] in witnesses]:
        place = _most_precise(estimates, heard)
        why = "it varies least of those that assume nothing about rewards"
    elif models:
        place, why = min(models, key=lambda place: estimates[place].error), "it does not rest on a few rows"
    else:
        place = max(kept, key=lambda place: estimates[place].ess)
        why = "it has the largest effective sample size of those that nothing contradicts"
    return Choice(reviewed, place, f"no estimate is trusted; {why}")


def _most_precise(estimates: Sequence[OffPolicyEstimate], places: Sequence[int]) -> int:
    """Returns the place of the smallest error, or the last of ``places`` whose error is not clearly larger."""
    smallest = min(estimates[place].error for place in places)
    return [place for place in places if not CLEARLY * estimates[place].error > smallest][-1]


def _agree(one: OffPolicyEstimate, other: OffPolicyEstimate) -> bool:
    return abs(one.value - other.value) <= AGREEMENT * one.error_of_difference(other)

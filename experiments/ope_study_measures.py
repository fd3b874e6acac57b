"""What estimates from many logs say of the estimators, once the truth is known: errors, coverage, ranks, regret.

Errors are in units of V_oracle - V_random. The truth has an error of its own, from a finite number of sessions: it
stands beside every error, and `coverage` counts a second time with intervals widened by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from instructrec.estimates import reach_of
from instructrec.off_policy import LOGGED

CHOSEN = "chosen"
"""The estimate that was chosen of each policy, whichever estimator it is from."""
MEAN_OF_LOG = "mean_of_log"
"""What the log earned, taken for what every policy would earn: what an estimator has to beat."""
FULL_WEIGHTS = ("standard_ips", "trajectory_is")
"""Estimators whose effective sample size is that of the whole slate's or session's weights."""
PICKS = ("select", "largest", LOGGED)
"""Ways to pick a policy: the rule of `instructrec select`, the largest chosen estimate, always the one that logged."""
_NORMAL = float(stats.norm.ppf(0.975))


@dataclass(frozen=True)
class Point:
    """One estimate of one policy from one log.

    Attributes:
        log: The log's number among those of its size.
        policy: The policy.
        estimator: The estimator, or `CHOSEN`, or `MEAN_OF_LOG`.
        value: The estimate.
        low: Lower end of its 95 % interval.
        high: Upper end.
        error: Its standard error, as estimated from the log.
        trusted: Whether it is marked so.
        ess: The effective sample size of the policy's full weights, whatever the estimator.
        truth: What the policy truly earns.
        truth_error: The standard error of that.
    """

    log: int
    policy: str
    estimator: str
    value: float
    low: float
    high: float
    error: float
    trusted: bool
    ess: float
    truth: float
    truth_error: float


def points_of(truth: Mapping[str, Any], logs: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Returns every estimate of logs of one size, those that were chosen twice: once as `CHOSEN`."""
    found = []
    for number, log in enumerate(logs):
        for policy, rows in log["policies"].items():
            real = truth["policies"][policy]
            ess = next((_number(row["ess"]) for row in rows if row["estimator"] in FULL_WEIGHTS), math.nan)
            for row in rows:
                for estimator in (row["estimator"], *([CHOSEN] if row["chosen"] else [])):
                    numbers = {name: _number(row[name]) for name in ("value", "low", "high", "error")}
                    found.append(
                        Point(
                            log=number,
                            policy=policy,
                            estimator=estimator,
                            **numbers,
                            trusted=bool(row["trusted"]),
                            ess=ess,
                            truth=real["value"],
                            truth_error=real["error"],
                        )
                    )
    return found


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def measured(truth: Mapping[str, Any], logs: Mapping[int, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Returns ``sizes``, what was found for each size of log, and ``by_ess``, errors by effective sample size.

    Args:
        truth: ``span``, and ``policies`` with ``value`` and ``error`` each.
        logs: What was found of each log, by size: ``policies`` with their estimates, ``selected``, ``turns``,
            ``people``.
    """
    points = {size: points_of(truth, found) for size, found in logs.items()}
    return {
        "sizes": [_of_size(truth, size, logs[size], points[size]) for size in logs],
        "by_ess": by_ess([point for found in points.values() for point in found], truth["span"]),
    }


def _of_size(
    truth: Mapping[str, Any], size: int, logs: Sequence[Mapping[str, Any]], points: Sequence[Point]
) -> dict[str, Any]:
    names = list(dict.fromkeys([CHOSEN, *(point.estimator for point in points)]))
    return {
        "sessions": size,
        "logs": len(logs),
        "turns": float(np.mean([log["turns"] for log in logs])),
        "people": float(np.mean([log["people"] for log in logs])),
        "estimators": [
            {"estimator": name, **_of_estimator([one for one in points if one.estimator == name], truth["span"])}
            for name in names
        ],
        "picks": {pick: mean_interval([regret(truth, _picked(log, pick)) for log in logs]) for pick in PICKS},
        "selected": {
            name: sum(log["selected"] == name for log in logs) for name in sorted({log["selected"] for log in logs})
        },
    }


def _of_estimator(points: Sequence[Point], span: float) -> dict[str, Any]:
    errors = np.array([abs(one.value - one.truth) for one in points]) / span
    own = float(np.median([one.truth_error for one in points])) / span
    trusted = [one for one in points if one.trusted]
    ranks = _each_log(points, lambda some: rank_correlation([p.value for p in some], [p.truth for p in some]))
    return {
        "median_error": _median(errors),
        "truth_error": own,
        "resolved": bool(_median(errors) > own),
        "trusted": len(trusted) / len(points),
        "median_error_trusted": _median(np.array([abs(one.value - one.truth) for one in trusted]) / span),
        **_calibration(points, span),
        "coverage": coverage(points),
        "coverage_trusted": coverage(trusted),
        "rank_correlation": mean_interval(ranks),
    }


def _median(values: npt.NDArray[np.float64]) -> float:
    """Returns the median; an estimate that could not be made counts as worse than all others."""
    return float(np.median(np.where(np.isnan(values), np.inf, values))) if len(values) else math.nan


def _each_log(points: Sequence[Point], of: Callable[[Sequence[Point]], float]) -> list[float]:
    logs: dict[int, list[Point]] = {}
    for point in points:
        logs.setdefault(point.log, []).append(point)
    return [of(some) for some in logs.values()]


def _calibration(points: Sequence[Point], span: float) -> dict[str, float]:
    """Returns, over policies, the mean |bias|, and ``spread``: how much estimates vary by what they say of it."""
    policies: dict[str, list[Point]] = {}
    for point in points:
        policies.setdefault(point.policy, []).append(point)
    biases, varied, said = [], [], []
    for some in policies.values():
        values = np.array([point.value for point in some])
        biases.append(abs(values.mean() - some[0].truth) / span)
        if len(values) > 1:
            varied.append(values.var(ddof=1))
            said.append(np.mean([point.error**2 for point in some]))
    enough = varied and np.isfinite(said).all() and sum(said) > 0
    return {"bias": float(np.mean(biases)), "spread": math.sqrt(sum(varied) / sum(said)) if enough else math.nan}


def coverage(points: Sequence[Point]) -> dict[str, Any]:
    """Returns how often 95 % intervals hold the truth.

    Returns:
        ``share``; ``low`` and ``high``, its 95 % interval by Wilson, in which all intervals of one log count as one,
        since they rest on the same sessions; ``with_truth_error``, the share if intervals are widened by the truth's
        own error; ``intervals`` and ``logs``, their numbers.
    """
    logs = len({point.log for point in points})
    if not points:
        nothing = dict.fromkeys(("share", "low", "high", "with_truth_error"), math.nan)
        return {**nothing, "intervals": 0, "logs": 0}
    inside = [one.low <= one.truth <= one.high for one in points]
    reach = [math.hypot((one.high - one.low) / 2, _NORMAL * one.truth_error) for one in points]
    wider = [abs(one.value - one.truth) <= most for one, most in zip(points, reach, strict=True)]
    share = sum(inside) / len(points)
    low, high = wilson(share, logs)
    return {
        "share": share,
        "low": low,
        "high": high,
        "with_truth_error": sum(wider) / len(points),
        "intervals": len(points),
        "logs": logs,
    }


def wilson(share: float, count: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share of ``count`` independent trials.

    References:
        Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    z = _NORMAL**2 / count
    middle = (share + z / 2) / (1 + z)
    reach = math.sqrt(z * (share * (1 - share) + z / 4)) / (1 + z)
    return middle - reach, middle + reach


def rank_correlation(estimated: Sequence[float], true: Sequence[float]) -> float:
    """Returns Spearman's rho; NaN where an estimate is missing or all of one side are equal."""
    if not np.isfinite(estimated).all() or len(set(estimated)) < 2 or len(set(true)) < 2:
        return math.nan
    return float(stats.spearmanr(estimated, true).statistic)


def mean_interval(values: Iterable[float]) -> dict[str, Any]:
    """Returns the mean of what is not NaN as ``value``, its 95 % interval as ``low`` and ``high``, and ``logs``."""
    known = np.array([value for value in values if not math.isnan(value)])
    if not len(known):
        return {"value": math.nan, "low": math.nan, "high": math.nan, "logs": 0}
    mean, reach = float(known.mean()), math.nan
    if len(known) > 1:
        reach = reach_of(float(known.std(ddof=1)) / math.sqrt(len(known)), len(known))
    return {"value": mean, "low": mean - reach, "high": mean + reach, "logs": len(known)}


def _picked(log: Mapping[str, Any], pick: str) -> str:
    if pick == "select":
        return str(log["selected"])
    if pick == LOGGED:
        return LOGGED
    chosen: dict[str, float] = {
        name: next(_number(row["value"]) for row in rows if row["chosen"]) for name, rows in log["policies"].items()
    }
    return str(max(chosen, key=lambda name: -math.inf if math.isnan(chosen[name]) else chosen[name]))


def regret(truth: Mapping[str, Any], policy: str) -> float:
    """Returns what the best policy, the one that logged among them, truly earns beyond this one, as a share of span."""
    real = {name: one["value"] for name, one in truth["policies"].items()}
    return float((max(real.values()) - real[policy]) / truth["span"])


def by_ess(points: Sequence[Point], span: float) -> list[dict[str, Any]]:
    """Returns median errors of each estimator where the full weights' effective sample size is in a range.

    Ranges are half powers of ten; one entry for each estimator and range with points: ``estimator``, ``low``, ``high``,
    ``points``, ``median_error``, ``truth_error``.
    """
    known = [point for point in points if point.ess > 0]
    place = [math.floor(2 * math.log10(point.ess)) for point in known]
    found = []
    for name in dict.fromkeys([CHOSEN, *(point.estimator for point in known)]):
        for half in sorted(set(place)):
            some = [one for one, at in zip(known, place, strict=True) if at == half and one.estimator == name]
            if some:
                found.append(
                    {
                        "estimator": name,
                        "low": 10 ** (half / 2),
                        "high": 10 ** ((half + 1) / 2),
                        "points": len(some),
                        "median_error": _median(np.array([abs(one.value - one.truth) for one in some]) / span),
                        "truth_error": float(np.median([one.truth_error for one in some])) / span,
                    }
                )
    return found

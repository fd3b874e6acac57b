"""Click models: who looks where, what attracts, and fitting both to a log by maximum likelihood.

An item is clicked when it is looked at (*examined*) and attracts. Attraction is a logistic function of what is known of
item and person. Examination is one of two:

* by **position**: the k-th place is looked at with a probability of its own, the first always;
* a **cascade**: people look from the top down, and go on after an item they skip, and after one they click, each with a
  probability of its own.

Whether an unclicked item was looked at is not in the log. Its probability given the clicks makes the gradient (the
gradient of a likelihood is that of the completed one, averaged over what is hidden), which L-BFGS follows.

References:
    Craswell et al. (2008), An experimental comparison of click position-bias models, WSDM; Guo, Liu and Wang (2009),
    Efficient multiple-click models in web search, WSDM (the dependent click model); Chuklin, Markov and de Rijke
    (2015), Click models for web search; Cox (1958), Two further applications of the logistic model (calibration).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

EXAMINATIONS = ("position", "cascade")
_WEAK = 0.1
"""Prior precision of the logits of examination: hardly anything beside a log of some hundred slates."""


@dataclass(frozen=True)
class Seen:
    """What a model says of slates with known clicks, each array [num_slates, slate_size], 0 where padded.

    Attributes:
        likely: Probability of a click given the clicks above it.
        attraction_gradient: Derivative of the log-likelihood by the logit of attraction.
        examination_gradient: Derivative by the logits of examination, [num_parameters].
    """

    likely: Doubles
    attraction_gradient: Doubles
    examination_gradient: Doubles


def examination_size(kind: str, slate_size: int) -> int:
    """Returns how many parameters an examination has: one per place below the first, or two."""
    return slate_size - 1 if kind == "position" else 2


def seen(kind: str, examination: Doubles, logits: Doubles, clicked: Bools, shown: Bools) -> Seen:
    """Returns what a click model says of slates.

    Args:
        kind: ``position`` or ``cascade``.
        examination: Logits: of looking at places 2, 3, …; or of going on after a skip and after a click.
        logits: Of attraction, [num_slates, slate_size].
        clicked: What was clicked.
        shown: Where an item stood: False where padded, at the end.
    """
    if kind == "position":
        return _by_position(examination, logits, clicked, shown)
    return _by_cascade(examination, logits, clicked, shown)


def _by_position(examination: Doubles, logits: Doubles, clicked: Bools, shown: Bools) -> Seen:
    looks = np.append(1.0, expit(examination))
    attracts = expit(logits)
    likely = looks * attracts
    # How likely it was looked at, given what was clicked.
    looked = np.where(clicked, 1.0, looks * (1 - attracts) / np.maximum(1 - likely, 1e-300))
    gradient = np.where(shown, looked * (clicked - attracts), 0.0)
    return Seen(np.where(shown, likely, 0.0), gradient, np.where(shown, looked - looks, 0.0).sum(axis=0)[1:])


def _by_cascade(examination: Doubles, logits: Doubles, clicked: Bools, shown: Bools) -> Seen:
    skip, click = expit(examination)
    attracts, size = expit(logits), logits.shape[1]
    goes_on = np.where(clicked, click, skip)
    likely, filtered = np.zeros_like(attracts), np.zeros_like(attracts)
    looks = np.ones(len(logits))
    for place in range(size):
        likely[:, place] = looks * attracts[:, place]
        missed = looks * (1 - attracts[:, place]) / np.maximum(1 - likely[:, place], 1e-300)
        filtered[:, place] = np.where(clicked[:, place], 1.0, missed)
        looks = filtered[:, place] * goes_on[:, place]
    # From the bottom up: how likely the clicks below are, if this place was looked at and if it was not.
    looked = np.zeros_like(attracts)
    below, none_below = np.ones(len(logits)), np.ones(len(logits))
    for place in reversed(range(size)):
        if place + 1 < size:
            here = np.where(clicked[:, place + 1], attracts[:, place + 1], 1 - attracts[:, place + 1])
            none_below = none_below * ~clicked[:, place + 1]
            further = goes_on[:, place] * here * below + (1 - goes_on[:, place]) * none_below
            below = np.where(shown[:, place + 1], further, 1.0)
        both = filtered[:, place] * below
        looked[:, place] = both / np.maximum(both + (1 - filtered[:, place]) * none_below, 1e-300)
    looked = np.where(shown, looked, 0.0)
    # Whoever looked at the next place went on from this one.
    went_on = np.where(shown[:, 1:], looked[:, 1:] - looked[:, :-1] * goes_on[:, :-1], 0.0)
    steps = np.array([went_on[~clicked[:, :-1]].sum(), went_on[clicked[:, :-1]].sum()])
    return Seen(np.where(shown, likely, 0.0), np.where(shown, looked * (clicked - attracts), 0.0), steps)


def log_likelihood(likely: Doubles, clicked: Bools) -> Doubles:
    """Returns the log-likelihood of every click and non-click, in nats, of the shape of both."""
    bounded = np.clip(likely, 1e-12, 1 - 1e-12)
    return np.asarray(np.where(clicked, np.log(bounded), np.log1p(-bounded)))


@dataclass(frozen=True)
class Fit:
    """What was fitted.

    Attributes:
        examination: Logits of examination; see `seen`.
        item_weights: The bias first, then a weight per item feature.
        row_weights: A weight per feature of item and person.
        converged: Whether the optimiser says it arrived.
    """

    examination: Doubles
    item_weights: Doubles
    row_weights: Doubles
    converged: bool


def fit_clicks(
    kind: str,
    items: npt.NDArray[np.int32],
    clicked: Bools,
    features: Doubles,
    row_features: Doubles,
    offset: Doubles,
    penalty: float,
) -> Fit:
    """Fits a click model by penalised maximum likelihood.

    Args:
        kind: ``position`` or ``cascade``.
        items: Item numbers, padded with -1, [num_slates, slate_size].
        clicked: What was clicked of them.
        features: Of items, [num_items, num_features].
        row_features: Of item and person, [num_slates, slate_size, num_row_features].
        offset: Added to the logits of attraction, [num_slates, slate_size].
        penalty: Half of it times the sum of squared weights is taken from the log-likelihood; the bias goes free.
    """
    shown, place = items >= 0, np.maximum(items, 0)
    rows, size = int(shown.sum()), examination_size(kind, items.shape[1])
    width, more = 1 + features.shape[1], row_features.shape[2]
    rate = float(np.clip(clicked[shown].mean(), 1e-6, 1 - 1e-6))
    begin = np.concatenate([np.full(size, 1.0), [logit(min(rate * 1.5, 0.9))], np.zeros(width - 1 + more)])
    strength = np.concatenate([np.full(size, _WEAK), [0.0], np.full(width - 1 + more, penalty)])

    def loss(values: Doubles) -> tuple[float, Doubles]:
        examination, weights, extra = np.split(values, [size, size + width])
        logits = (weights[0] + features @ weights[1:])[place] + row_features @ extra + offset
        found = seen(kind, examination, logits, clicked, shown)
        by_item = np.bincount(place[shown], found.attraction_gradient[shown], len(features))
        gradient = np.concatenate(
            [
                found.examination_gradient,
                [by_item.sum()],
                features.T @ by_item,
                np.tensordot(found.attraction_gradient, row_features, 2),
            ]
        )
        worth = log_likelihood(found.likely, clicked)[shown].sum() - 0.5 * (strength * values**2).sum()
        return -worth / rows, -(gradient - strength * values) / rows

    found = _minimised(loss, begin)
    examination, weights, extra = np.split(found.x, [size, size + width])
    return Fit(examination, weights, extra, bool(found.success))


def recalibrated(kind: str, examination: Doubles, logits: Doubles, clicked: Bools, shown: Bools) -> tuple[float, float]:
    """Returns the intercept and slope on the logits of attraction that fit slates best, examination as it is."""

    def loss(values: Doubles) -> tuple[float, Doubles]:
        found = seen(kind, examination, values[0] + values[1] * logits, clicked, shown)
        gradient = np.array([found.attraction_gradient.sum(), (found.attraction_gradient * logits).sum()])
        return -log_likelihood(found.likely, clicked)[shown].mean(), -gradient / shown.sum()

    intercept, slope = _minimised(loss, np.array([0.0, 1.0])).x
    return float(intercept), float(slope)


def logistic(features: Doubles, happened: Bools, penalty: float) -> Doubles:
    """Fits a logistic regression; returns the bias and a weight per feature.

    Args:
        features: [num_rows, num_features].
        happened: [num_rows].
        penalty: As in `fit_clicks`; the bias is held by a thousandth of it, so that what always or never happens has
            a finite one.
    """
    design = np.column_stack([np.ones(len(features)), features])
    strength = np.append(penalty / 1000, np.full(features.shape[1], penalty))

    def loss(values: Doubles) -> tuple[float, Doubles]:
        logits = design @ values
        worth = np.where(happened, log_expit(logits), log_expit(-logits)).sum() - 0.5 * (strength * values**2).sum()
        gradient = design.T @ (happened - expit(logits)) - strength * values
        return -worth / len(design), -gradient / len(design)

    return np.asarray(_minimised(loss, np.zeros(design.shape[1])).x)


def calibration(likely: Doubles, happened: Bools) -> tuple[float, float]:
    """Returns intercept and slope of what happened on the logit of what was predicted: 0 and 1 at best (Cox)."""
    bounded = np.clip(likely, 1e-9, 1 - 1e-9)
    intercept, slope = logistic(logit(bounded)[:, None], happened, 1e-6)
    return float(intercept), float(slope)


def _minimised(loss: Callable[[Doubles], tuple[float, Doubles]], begin: Doubles) -> Any:
    return minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-11, "gtol": 1e-7})

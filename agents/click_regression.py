"""Logistic regression of clicks on what is known of shown items, where people stop looking somewhere.

The log-odds of a click on an item that is looked at are a sum over its features, what the catalogue says of it, and an
effect of its own that is drawn towards zero. Which items were looked at is inferred from clicks, as
expectation-maximisation does; nothing about positions is left when ranking.

References:
    Guo et al. (2009), Efficient multiple-click models in web search (continuing with the same chance after a skip and a
    click); Dempster, Laird and Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
from scipy.special import expit

from instructrec.arrays import Bools, Floats, Ints
from instructrec.catalogue import Catalogue
from instructrec.sessions import Observation

_LOOSE = 5.0
"""Prior standard deviation of weights that every item shares."""


@dataclass(frozen=True)
class ClickOddsOfItems:
    """What was fitted.

    Attributes:
        weights: Of the features, float64 [num_features].
        item_odds: What an item brings by itself, float32 [num_items].
        looking_on: Chance that a person who looked at a position looks at the next.
    """

    weights: npt.NDArray[np.float64]
    item_odds: npt.NDArray[np.float32]
    looking_on: float


def fit_clicks(
    features: Floats,
    items: Ints,
    clicked: Bools,
    static: Floats,
    *,
    item_effect: float,
    steps: int,
    looking_on: float = 0.8,
    prior: Floats | None = None,
) -> ClickOddsOfItems:
    """Fits weights and item effects to clicks, inferring before each step what was looked at.

    Args:
        features: What depends on session and item, [num_slates, slate_size, num_features].
        items: Which items were shown, [num_slates, slate_size].
        clicked: Which of them were clicked, [num_slates, slate_size].
        static: What depends on the item alone, [num_items, num_columns].
        item_effect: Prior standard deviation of an item's own effect, in log-odds, above 0.
        steps: Newton steps, each after inferring anew what was looked at.
        looking_on: Where the chance of looking on starts.
        prior: What the features' weights are thought to be before any click, [num_features]; None stands for zeros.
    """
    clicks, shape = clicked.ravel().astype(np.float64), clicked.shape
    items, dynamic = items.ravel(), features.reshape(items.size, -1)
    shared = np.concatenate([dynamic, static[items], np.ones((len(items), 1))], axis=1)
    expected, effects = np.zeros(shared.shape[1]), np.zeros(len(static))
    expected[: features.shape[2]] = 0.0 if prior is None else prior
    weights = expected.copy()
    for _ in range(steps):
        chance = expit(shared @ weights + effects[items])
        looked, looking_on = _looked(clicked, chance.reshape(shape), looking_on)
        slope, curvature = looked.ravel() * (clicks - chance), looked.ravel() * chance * (1 - chance)
        step = _newton_step(shared, items, slope, curvature, weights - expected, effects, item_effect)
        weights, effects = weights + step[0], effects + step[1]
    count = features.shape[2]
    item_odds = (static @ weights[count:-1] + effects).astype(np.float32)
    return ClickOddsOfItems(weights[:count], item_odds, looking_on)


def _newton_step(
    shared: Floats, items: Ints, slope: Floats, curvature: Floats, beyond: Floats, effects: Floats, spread: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns one Newton step of a ridge logistic regression with one effect per item.

    The items' block of the Hessian is diagonal, so it is eliminated first: thousands of items cost nothing.

    Args:
        shared: What all items share, [num_rows, num_shared].
        items: Whose effect each row has, [num_rows].
        slope: First derivative of each row's log-likelihood by its log-odds, [num_rows].
        curvature: Minus the second.
        beyond: By how much the weights of ``shared`` exceed what is thought of them before any click, as they are.
        effects: Of the items, as they are.
        spread: Prior standard deviation of the effects.
    """
    size = len(effects)
    common = (shared * curvature[:, None]).T @ shared + np.eye(len(beyond)) / _LOOSE**2
    own = np.bincount(items, curvature, size) + spread**-2
    between = sparse.csr_array((curvature, (items, np.arange(len(items)))), shape=(size, len(items))) @ shared
    pull = shared.T @ slope - beyond / _LOOSE**2
    own_pull = np.bincount(items, slope, size) - effects * spread**-2
    step = np.linalg.solve(common - between.T @ (between / own[:, None]), pull - between.T @ (own_pull / own))
    return step, (own_pull - between @ step) / own


def _looked(clicked: Bools, chance: Floats, looking_on: float) -> tuple[npt.NDArray[np.float64], float]:
    """Infers who looked where: everything down to the last click for certain, below it by Bayes' rule.

    Args:
        clicked: [num_slates, slate_size].
        chance: Chance of a click if looked at, of the same shape.
        looking_on: Chance of looking at the next position.

    Returns:
        The probability that each position was looked at, and the chance of looking on that follows from it.
    """
    size = clicked.shape[1]
    places = np.arange(size)
    last = np.where(clicked.any(axis=1), size - 1 - clicked[:, ::-1].argmax(axis=1), 0)
    below = places > last[:, None]
    # How likely it is to reach each position below the last click without clicking, and to stop there.
    passed = np.cumprod(np.where(below, looking_on * (1 - chance), 1.0), axis=1)
    stop = np.where(places == size - 1, 1.0, 1 - looking_on)
    ends = np.where(places >= last[:, None], passed * stop, 0.0)
    looked = np.where(below, np.cumsum(ends[:, ::-1], axis=1)[:, ::-1] / ends.sum(axis=1, keepdims=True), 1.0)
    went_on, could = looked[:, 1:].sum(), looked[:, :-1].sum()
    return looked, float(np.clip(went_on / could, 0.05, 0.999)) if could > 0 else looking_on


def static_columns(catalogue: Catalogue, quality: Floats | None) -> npt.NDArray[np.float64]:
    """Returns what is known of each item by itself, standardised, float64 [num_items, num_columns].

    Args:
        catalogue: The items: their popularity and attributes.
        quality: What ratings say of them, [num_items]; None where there are none.
    """
    columns = [] if quality is None else [quality]
    columns += [np.log1p(catalogue.popularity.astype(np.float64))]
    for column in catalogue.columns.values():
        if column.is_set:
            columns += list(column.indicators().T.astype(np.float64))
            continue
        missing = np.isnan(column.numbers)
        if not missing.all():
            columns += [np.where(missing, np.nanmean(column.numbers), column.numbers).astype(np.float64)]
            columns += [missing.astype(np.float64)]
    table = np.stack(columns, axis=1)
    return np.asarray((table - table.mean(axis=0)) / np.maximum(table.std(axis=0), 1e-9))


def topic_shares(catalogue: Catalogue) -> npt.NDArray[np.float32]:
    """Returns the share of each value of a set in each item, rows sum to 1 or 0, float32 [num_items, num_topics]."""
    sets = [column.indicators() for column in catalogue.columns.values() if column.is_set]
    if not sets:
        return np.zeros((catalogue.num_items, 1), np.float32)
    shares = np.concatenate(sets, axis=1)
    return np.asarray(shares / np.maximum(shares.sum(axis=1, keepdims=True), 1), np.float32)


def clicked_topics(
    observation: Observation, topics: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Returns the topics of the last slate's and of all the session's clicks, float32 [batch, num_topics] each.

    Args:
        observation: What agents see.
        topics: As `topic_shares` gives them.
    """
    recent, session = (np.zeros((observation.batch, topics.shape[1]), np.float32) for _ in range(2))
    rows, turns, positions = np.nonzero(observation.clicked)
    # Each clicked item counts fully for each of its topics, as boredom does, and per slate position.
    found = (topics[observation.slates[rows, turns, positions]] > 0).astype(np.float32)
    found /= observation.slates.shape[2]
    np.add.at(session, rows, found)
    last = turns == observation.turn[rows] - 1
    np.add.at(recent, rows[last], found[last])
    return recent, session

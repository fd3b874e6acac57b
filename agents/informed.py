"""The honest ceiling: the exact goal, and the best model of everything else that can be fitted on what agents may see.

Nobody who has to read the goal from words can be expected to do better with the same knowledge of taste. It may use
the goal (said or not), the catalogue, and of *training* people what any agent sees: visible pasts, slates and clicks.

The model is logistic: how the item meets the goal, its expected rating by factors that were fitted on visible pasts
(the person's taste is folded in from the visible past), what the catalogue says of it, an effect of the item's own
drawn towards zero, whether it was consumed, and how much of the session's clicks its topics had. It is fitted on clicks
with slates that it drew itself, at several temperatures, in rounds. People stop looking somewhere: which items were
looked at is inferred from clicks, as expectation-maximisation does.

References:
    Guo et al. (2009), Efficient multiple-click models in web search (continuing with the same chance after a skip and a
    click); Dempster, Laird and Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
from scipy.special import expit

from instructrec.agents.baselines import at_candidates, consumed
from instructrec.agents.references import OtherGoals, goal_parts, goals_of
from instructrec.arrays import Bools, Floats, Ints, take
from instructrec.catalogue import Catalogue
from instructrec.factors import Factors, fit_factors, fold_in
from instructrec.goals import Goals, satisfied
from instructrec.noise import Noise, Purpose
from instructrec.policies import best_first, items_at
from instructrec.sessions import Observation, Sessions, SessionState, World, observe, pasts_of, start, step

FEATURES = ("broken", "wished", "taste", "consumed", "recent_topics", "session_topics")
"""What depends on the session: weight of broken hard predicates; met share of the other weight, less a half; predicted
stars; whether it was consumed; how many of the last slate's, and of all the session's, clicks shared its topics."""
_STARTING = np.array([-3.0, 1.0, 1.0, -2.0, 0.0, 0.0])
_LOOSE = 5.0
"""Prior standard deviation of weights that every item shares."""


@dataclass(frozen=True, kw_only=True)
class InformedSettings:
    """How `fit_informed` fits.

    Attributes:
        sessions: Training sessions per round.
        rounds: How often slates are drawn from the model so far and the model is fitted to all of them.
        seed: The seed of the sessions; people who are compared must have another.
        temperatures: Of the draws; sessions take turns.
        rank: Factors of taste.
        item_effect: Prior standard deviation of an item's own effect, in log-odds.
        steps: Newton steps, each after inferring anew what was looked at.
    """

    sessions: int = 1500
    rounds: int = 2
    seed: int = 1_000_003
    temperatures: tuple[float, ...] = (0.25, 0.5, 1.0)
    rank: int = 8
    item_effect: float = 0.3
    steps: int = 12


@dataclass(frozen=True)
class Informed:
    """Ranks by the fitted log-odds of a click: an `instructrec.protocols.PrivilegedRanker` that looks at goals alone.

    Attributes:
        catalogue: The items.
        factors: Taste and quality, fitted on visible pasts.
        topics: Share of each topic in each item, rows sum to 1 or 0, float32 [num_items, num_topics].
        weights: Of `FEATURES`, float64 [num_features].
        item_odds: What an item brings by itself, float32 [num_items].
        looking_on: Fitted chance that a person who looked at a position looks at the next.
    """

    catalogue: Catalogue
    factors: Factors
    topics: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float64]
    item_odds: npt.NDArray[np.float32]
    looking_on: float = 0.8

    def scores(self, observation: Observation, state: SessionState) -> Floats:
        """Returns log-odds of a click up to a constant per session, [batch, num_candidates]."""
        weights = self.weights.astype(np.float32)
        broken, wished = goal_parts(goals_of(state), self.catalogue)
        taste, recent, session = self._person(observation)
        # One product for all that is linear in the item: its factors and its topics.
        of_person = np.concatenate([weights[2] * taste, weights[4] * recent + weights[5] * session], axis=1)
        of_item = np.concatenate([self.factors.item_factors.astype(np.float32), self.topics], axis=1)
        odds = of_person @ of_item.T
        odds += weights[0] * broken
        odds += weights[1] * wished
        odds += self.item_odds
        odds[consumed(observation, self.catalogue.num_items)] += weights[3]
        return at_candidates(observation, odds)

    def features(self, observation: Observation, goals: Goals, items: Ints) -> npt.NDArray[np.float64]:
        """Returns `FEATURES` of the given items, float64 [batch, num_shown, num_features]."""
        met = satisfied(goals, self.catalogue, items)
        hard = np.where(goals.hard & goals.item_level, goals.weight, 0)[:, :, None]
        soft = np.where(goals.hard & goals.item_level, 0, goals.weight)[:, :, None]
        total = soft.sum(axis=1)
        wished = np.where(total > 0, (soft * met).sum(axis=1) / np.where(total > 0, total, 1) - 0.5, 0)
        taste, recent, session = self._person(observation)
        parts = [
            (hard * ~met).sum(axis=1),
            wished,
            np.einsum("nf,nkf->nk", taste, self.factors.item_factors[items]),
            np.take_along_axis(consumed(observation, self.catalogue.num_items), items.astype(np.int64), axis=1),
            np.einsum("nt,nkt->nk", recent, self.topics[items]),
            np.einsum("nt,nkt->nk", session, self.topics[items]),
        ]
        return np.stack([np.asarray(part, np.float64) for part in parts], axis=2)

    def _person(self, observation: Observation) -> tuple[Floats, Floats, Floats]:
        """Returns taste [batch, rank], and the topics of the last slate's and of all clicks, [batch, num_topics]."""
        taste = fold_in(self.factors, observation.past, observation.past_ratings)[1].astype(np.float32)
        recent, session = (np.zeros((observation.batch, self.topics.shape[1]), np.float32) for _ in range(2))
        rows, turns, positions = np.nonzero(observation.clicked)
        # Each clicked item counts fully for each of its topics, as boredom does, and per slate position.
        topics = (self.topics[observation.slates[rows, turns, positions]] > 0).astype(np.float32)
        topics /= observation.slates.shape[2]
        np.add.at(session, rows, topics)
        last = turns == observation.turn[rows] - 1
        np.add.at(recent, rows[last], topics[last])
        return taste, recent, session

    def blank(self) -> OtherGoals:
        """Returns the same, told of no goal."""
        return OtherGoals(self, none=True)

    def swapped(self) -> OtherGoals:
        """Returns the same, told the next person's goal."""
        return OtherGoals(self)


@dataclass(frozen=True)
class _Log:
    """Shown slates with features and clicks: arrays [num_slates, slate_size, ...]."""

    features: npt.NDArray[np.float64]
    items: npt.NDArray[np.int32]
    clicked: Bools


def fit_informed(
    world: World,
    settings: InformedSettings | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Informed:
    """Fits the honest ceiling on training people.

    Args:
        world: The *training* world: its people, its phrasings. The result serves any world of the same catalogue.
        settings: How.
        progress: Called with (rounds done, rounds).

    Raises:
        ValueError: If instructions have no goals, or people have no visible past with ratings.
    """
    chosen = settings if settings is not None else InformedSettings()
    goals_of(start(world, Sessions.first(chosen.seed, 1)))  # Raises here, before hundreds are asked what they want.
    model = _beginning(world, chosen)
    log: list[_Log] = []
    for done in range(chosen.rounds):
        lanes = np.arange(done * chosen.sessions, (done + 1) * chosen.sessions)
        log.append(_collect(world, model, Sessions.first(chosen.seed, lanes), chosen.temperatures))
        model = _fitted(model, _joined(log), chosen)
        if progress is not None:
            progress(done + 1, chosen.rounds)
    return model


def _beginning(world: World, settings: InformedSettings) -> Informed:
    """Fits factors to the visible pasts of training people, and starts from plausible weights."""
    catalogue = world.catalogue
    everybody, ratings = pasts_of(world, Sessions.first(settings.seed, settings.sessions))
    pasts, first = np.unique(everybody, axis=0, return_index=True)
    person, place = np.nonzero(pasts >= 0)
    if not len(person):
        raise ValueError("the honest ceiling needs people with a visible past, and nobody here has one; leave it out")
    factors = fit_factors(
        person,
        pasts[person, place],
        ratings[first][person, place],
        num_persons=len(pasts),
        num_items=catalogue.num_items,
        rank=settings.rank,
    )
    odds = factors.item_bias + 0.3 * np.log1p(catalogue.popularity)
    return Informed(catalogue, factors, _topics(catalogue), _STARTING, odds.astype(np.float32))


def _topics(catalogue: Catalogue) -> npt.NDArray[np.float32]:
    sets = [column.indicators() for column in catalogue.columns.values() if column.is_set]
    if not sets:
        return np.zeros((catalogue.num_items, 1), np.float32)
    shares = np.concatenate(sets, axis=1)
    return np.asarray(shares / np.maximum(shares.sum(axis=1, keepdims=True), 1), np.float32)


def _collect(world: World, model: Informed, sessions: Sessions, temperatures: tuple[float, ...]) -> _Log:
    """Shows slates drawn from the model and keeps what was clicked."""
    parts: list[_Log] = []
    for begin in range(0, len(sessions.lane), 256):
        state = start(world, take(sessions, slice(begin, begin + 256)))
        while len(state.turn):
            observation, goals = observe(world, state), goals_of(state)
            noise = Noise(state.sessions.keys, state.turn)
            odds = model.scores(observation, state)
            heat = np.array(temperatures)[state.sessions.lane % len(temperatures), None]
            drawn = best_first(odds + heat * noise.gumbel(Purpose.POLICY, odds.shape[1]), world.slate_size)
            slates = items_at(observation, drawn)
            features = model.features(observation, goals, slates)
            state, outcome = step(world, state, slates)
            parts.append(_Log(features, slates.astype(np.int32), outcome.reactions.clicked))
            state = take(state, ~outcome.done)
    return _joined(parts)


def _joined(parts: list[_Log]) -> _Log:
    return _Log(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.items for part in parts]),
        np.concatenate([part.clicked for part in parts]),
    )


def _fitted(model: Informed, log: _Log, settings: InformedSettings) -> Informed:
    """Fits weights and item effects to clicks, inferring before each step what was looked at."""
    static = _static(model)
    items, clicks = log.items.ravel(), log.clicked.ravel().astype(np.float64)
    dynamic = log.features.reshape(len(items), -1)
    shared = np.concatenate([dynamic, static[items], np.ones((len(items), 1))], axis=1)
    weights, effects, looking_on = np.zeros(shared.shape[1]), np.zeros(len(static)), model.looking_on
    for _ in range(settings.steps):
        chance = expit(shared @ weights + effects[items])
        looked, looking_on = _looked(log.clicked, chance.reshape(log.clicked.shape), looking_on)
        slope, curvature = looked.ravel() * (clicks - chance), looked.ravel() * chance * (1 - chance)
        step = _newton_step(shared, items, slope, curvature, weights, effects, settings.item_effect)
        weights, effects = weights + step[0], effects + step[1]
    return replace(
        model,
        weights=weights[: len(FEATURES)],
        item_odds=(static @ weights[len(FEATURES) : -1] + effects).astype(np.float32),
        looking_on=looking_on,
    )


def _newton_step(
    shared: Floats, items: Ints, slope: Floats, curvature: Floats, weights: Floats, effects: Floats, spread: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns one Newton step of a ridge logistic regression with one effect per item.

    The items' block of the Hessian is diagonal, so it is eliminated first: thousands of items cost nothing.

    Args:
        shared: What all items share, [num_rows, num_shared].
        items: Whose effect each row has, [num_rows].
        slope: First derivative of each row's log-likelihood by its log-odds, [num_rows].
        curvature: Minus the second.
        weights: Of ``shared``, as they are.
        effects: Of the items, as they are.
        spread: Prior standard deviation of the effects.
    """
    size = len(effects)
    common = (shared * curvature[:, None]).T @ shared + np.eye(len(weights)) / _LOOSE**2
    own = np.bincount(items, curvature, size) + spread**-2
    between = sparse.csr_array((curvature, (items, np.arange(len(items)))), shape=(size, len(items))) @ shared
    pull = shared.T @ slope - weights / _LOOSE**2
    own_pull = np.bincount(items, slope, size) - effects * spread**-2
    step = np.linalg.solve(common - between.T @ (between / own[:, None]), pull - between.T @ (own_pull / own))
    return step, (own_pull - between @ step) / own


def _static(model: Informed) -> npt.NDArray[np.float64]:
    """Returns what the catalogue and the factors say of each item, standardised, float64 [num_items, num_columns]."""
    catalogue = model.catalogue
    columns = [model.factors.item_bias, np.log1p(catalogue.popularity.astype(np.float64))]
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

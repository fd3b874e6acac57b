"""The honest ceiling: the exact goal, and the best model of everything else that can be fitted on what agents may see.

Nobody who has to read the goal from words can be expected to do better with the same knowledge of taste. It may use
the goal (said or not), the catalogue, and of *training* people what any agent sees: visible pasts, slates and clicks.

The model is logistic: how the item meets the goal, its expected rating by factors that were fitted on visible pasts
(the person's taste is folded in from the visible past), what the catalogue says of it, an effect of the item's own
drawn towards zero, whether it was consumed, and how much of the session's clicks its topics had. It is fitted on clicks
with slates that it drew itself, at several temperatures, in rounds. People stop looking somewhere: which items were
looked at is inferred from clicks, as expectation-maximisation does.

References:
    See `instructrec.agents.click_regression`, which fits it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from instructrec.agents.baselines import at_candidates, consumed
from instructrec.agents.click_regression import clicked_topics, fit_clicks, static_columns, topic_shares
from instructrec.agents.references import OtherGoals, goal_parts, goals_of
from instructrec.arrays import Bools, Floats, Ints, row_products, take
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
            row_products(taste, self.factors.item_factors[items]),
            np.take_along_axis(consumed(observation, self.catalogue.num_items), items.astype(np.int64), axis=1),
            row_products(recent, self.topics[items]),
            row_products(session, self.topics[items]),
        ]
        return np.stack([np.asarray(part, np.float64) for part in parts], axis=2)

    def _person(self, observation: Observation) -> tuple[Floats, Floats, Floats]:
        """Returns taste [batch, rank], and the topics of the last slate's and of all clicks, [batch, num_topics]."""
        taste = fold_in(self.factors, observation.past, observation.past_ratings)[1].astype(np.float32)
        return taste, *clicked_topics(observation, self.topics)

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
    return Informed(catalogue, factors, topic_shares(catalogue), _STARTING, odds.astype(np.float32))


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
    found = fit_clicks(
        log.features,
        log.items,
        log.clicked,
        static_columns(model.catalogue, model.factors.item_bias),
        item_effect=settings.item_effect,
        steps=settings.steps,
        looking_on=model.looking_on,
    )
    return replace(model, weights=found.weights, item_odds=found.item_odds, looking_on=found.looking_on)

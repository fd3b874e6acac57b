"""Linear rankers fitted to clicks: steering by similarity, and the parser with the best factor model.

Both are logistic regressions (`instructrec.agents.click_regression`): what is known of a session and an item is
weighed as the clicks of a log tell, examination by position set aside.

References:
    Zhang et al. (2023), Recommendation as instruction following, arXiv 2305.07001 (what such rankers are held against);
    Guo et al. (2009), Efficient multiple-click models in web search (examination).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from instructrec.agents.baselines import Cosine, ParserRanker, SkipConsumed, at_candidates, consumed
from instructrec.agents.click_regression import clicked_topics, fit_clicks, static_columns, topic_shares
from instructrec.agents.encoder import TextEncoder
from instructrec.agents.features import ItemFeatures, Profiles
from instructrec.arrays import Floats, Ints, row_products
from instructrec.catalogue import Catalogue
from instructrec.envs.vocabulary import Vocabulary
from instructrec.goals import Operator, Predicate
from instructrec.logs import Log
from instructrec.sessions import Observation

Progress = Callable[[int, int], None]
_ROWS = 256


class Facts(Protocol):
    """What is known of a session and its items, in numbers."""

    @property
    def static(self) -> Floats:
        """What is known of items alone, [num_items, num_columns]."""
        ...

    def shown(self, observation: Observation, items: Ints) -> Floats:
        """Returns what is known of the given items, [batch, num_shown, num_facts]."""
        ...

    def weighed(self, observation: Observation, weights: Floats) -> Floats:
        """Returns the weighted sum of what is known of every item, [batch, num_items]."""
        ...


@dataclass(frozen=True)
class FactsRanker:
    """Ranks by log-odds of a click: a weighted sum of facts, and what an item brings by itself.

    Attributes:
        facts: What is known.
        weights: Of the facts, float64 [num_facts].
        item_odds: What an item brings by itself, float32 [num_items].
    """

    facts: Facts
    weights: npt.NDArray[np.float64]
    item_odds: npt.NDArray[np.float32]

    def scores(self, observation: Observation) -> Floats:
        """Returns log-odds up to a constant, [batch, num_candidates]."""
        parts = [
            self.facts.weighed(observation.rows(slice(first, first + _ROWS)), self.weights) + self.item_odds
            for first in range(0, observation.batch, _ROWS)
        ]
        return at_candidates(observation, np.concatenate(parts))


def _fit(facts: Facts, log: Log, *, item_effect: float, progress: Progress | None) -> SkipConsumed:
    """Returns a ranker by the weights that a log's clicks tell."""
    parts, num_items = [], len(facts.static)
    for first in range(0, len(log), _ROWS):
        some = log.rows(slice(first, first + _ROWS))
        parts.append(np.concatenate([facts.shown(some.observations, some.slates), _aside(some, num_items)], axis=2))
        if progress is not None:
            progress(min(first + _ROWS, len(log)), len(log))
    found = fit_clicks(np.concatenate(parts), log.slates, log.clicked, facts.static, item_effect=item_effect, steps=12)
    return SkipConsumed(FactsRanker(facts, found.weights[:-_ASIDE], found.item_odds), num_items)


_ASIDE = 4


def _aside(log: Log, num_items: int) -> Floats:
    """Returns what clicks depend on and rankings do not, [num_turns, slate_size, _ASIDE].

    Whether an item was consumed: behaviour policies may show it again, rankers never do. And how far the session is and
    how much was clicked in it, now and of late: who clicks much has clicked more, of any topic.
    """
    seen = log.observations
    again = np.take_along_axis(consumed(seen, num_items), log.slates.astype(np.int64), axis=1)
    size, turn = log.slates.shape[1], np.maximum(seen.turn, 1)
    last = seen.clicked[np.arange(len(log)), turn - 1].mean(axis=1)
    of_session = [seen.turn / seen.clicked.shape[1], seen.clicked.sum(axis=(1, 2)) / (turn * size), last]
    columns = [again, *(np.broadcast_to(one[:, None], again.shape) for one in of_session)]
    return np.stack(columns, axis=2).astype(np.float64)


class _Taste:
    """Stars foreseen from visible pasts, less what is the same for everybody."""

    def __init__(self, features: ItemFeatures) -> None:
        rank = 0 if features.factors is None else features.factors.rank
        self._profiles, self._place = Profiles(features), slice(features.width, features.width + rank)
        self.items = features.table[:, features.blocks["factors"]] if rank else features.table[:, :0]

    def of(self, observation: Observation) -> npt.NDArray[np.float32]:
        """Returns tastes, float32 [batch, rank]."""
        return self._profiles.of(observation.past, observation.past_ratings)[:, self._place]


def _quality(features: ItemFeatures) -> npt.NDArray[np.float64]:
    """Returns what ratings say of items, [num_items, 1]; no column where there are none."""
    if features.factors is None:
        return np.empty((features.num_items, 0))
    return np.asarray(features.table[:, features.blocks["quality"]], np.float64)


@dataclass(frozen=True, kw_only=True)
class SteeringConfig:
    """How `LinearSteering` ranks.

    Attributes:
        base: What it ranks by where nothing is said: "popularity", "stars" (taste and quality from ratings) or "both".
        memory: How much an earlier instruction weighs beside the one after it, 0 to 1.

    Raises:
        ValueError: If a setting is out of range.
    """

    base: str = "both"
    memory: float = 1.0

    def __post_init__(self) -> None:
        if self.base not in ("popularity", "stars", "both"):
            raise ValueError(f"base must be popularity, stars or both, got {self.base!r}")
        if not 0 <= self.memory <= 1:
            raise ValueError(f"memory must be from 0 to 1, got {self.memory}")


class _SteeringFacts:
    """Taste where it counts, and similarity of what was said with the item's text."""

    def __init__(
        self, catalogue: Catalogue, features: ItemFeatures, encoder: TextEncoder, config: SteeringConfig
    ) -> None:
        self._cosine = Cosine(catalogue, encoder, memory=config.memory)
        self._taste = _Taste(features) if config.base != "popularity" else None
        popularity = np.asarray(features.table[:, features.blocks["popularity"]], np.float64)
        columns = {"popularity": [popularity], "stars": [_quality(features)]}
        columns["both"] = columns["popularity"] + columns["stars"]
        self.static = np.concatenate(columns[config.base], axis=1)

    def shown(self, observation: Observation, items: Ints) -> Floats:
        said = np.einsum("bd,dbk->bk", self._cosine.encode(observation), self._cosine.vectors[:, items])
        if self._taste is None:
            return np.asarray(said[:, :, None])
        liked = row_products(self._taste.of(observation), self._taste.items[items])
        return np.stack([said, liked], axis=2)

    def weighed(self, observation: Observation, weights: Floats) -> Floats:
        scores = weights[0].astype(np.float32) * self._cosine.encode(observation) @ self._cosine.vectors
        if self._taste is None:
            return np.asarray(scores)
        liked: Floats = scores + weights[1].astype(np.float32) * self._taste.of(observation) @ self._taste.items.T
        return liked


@dataclass(frozen=True)
class LinearSteering:
    """A base score, and a weight times the zero-shot similarity of instruction and item text.

    Attributes:
        catalogue: The items.
        features: What agents know of them.
        encoder: The language model.
        config: How to rank.
    """

    catalogue: Catalogue
    features: ItemFeatures
    encoder: TextEncoder
    config: SteeringConfig = field(default_factory=SteeringConfig)

    def fit(self, log: Log, *, seed: int = 0, progress: Progress | None = None) -> SkipConsumed:
        """Returns the fitted ranker; ``seed`` decides nothing.

        Args:
            log: What was shown and clicked.
            seed: Not used.
            progress: Called with (turns read, all).
        """
        facts = _SteeringFacts(self.catalogue, self.features, self.encoder, self.config)
        # No item has an effect of its own here: only the base and the weights are fitted.
        return _fit(facts, log, item_effect=1e-3, progress=progress)


@dataclass(frozen=True, kw_only=True)
class ParserFactorsConfig:
    """How `ParserFactors` is fitted.

    Attributes:
        item_effect: Prior standard deviation of an item's own effect, in log-odds, above 0; .1 to 1.
        obedience: How many times the fitted weight of the conditions counts, 0 or more: clicks tell what is clicked
            now, and not that people who are not listened to leave. Of 1, 2, 4 and 8 the second earned most on
            validation people of Movies.

    Raises:
        ValueError: If a setting is out of range.
    """

    item_effect: float = 0.3
    obedience: float = 2.0

    def __post_init__(self) -> None:
        if not self.item_effect > 0 or self.obedience < 0:
            raise ValueError(
                f"item_effect must be above 0 and obedience 0 or more, got {self.item_effect} and {self.obedience}"
            )


PARSED_FACTS = ("broken", "wished", "all_met", "taste", "shown", "recent_topics", "session_topics")
"""How many exclusions an item breaks; met share of the other conditions, less a half; whether it meets all that was
understood; predicted stars; how often it was shown before; how many of the last slate's, and of all the session's,
clicks shared its topics."""


class _ParsedFacts:
    """`PARSED_FACTS`, from what the parser understands of all that was said."""

    def __init__(self, catalogue: Catalogue, features: ItemFeatures, vocabulary: Vocabulary) -> None:
        self._parser, self._taste = ParserRanker(catalogue, vocabulary), _Taste(features)
        self._topics = topic_shares(catalogue)
        quality = _quality(features)
        self.static = static_columns(catalogue, quality[:, 0] if quality.shape[1] else None)

    def shown(self, observation: Observation, items: Ints) -> Floats:
        asked = self._asked(observation)
        met = asked.matches[:, items]  # [num_conditions, batch, num_shown]
        broken, wished, of_all = (np.einsum("bd,dbk->bk", part, met) for part in asked.weights)
        taste, recent, session = self._person(observation)
        before = _shown_before(observation, len(self.static))
        parts = [
            broken - asked.weights[0].sum(axis=1)[:, None],
            wished - 0.5 * asked.weights[1].sum(axis=1)[:, None],
            (of_all > 1 - 1e-4).astype(np.float32),
            row_products(taste, self._taste.items[items]),
            np.take_along_axis(before, items.astype(np.int64), axis=1),
            row_products(recent, self._topics[items]),
            row_products(session, self._topics[items]),
        ]
        return np.stack(parts, axis=2)

    def weighed(self, observation: Observation, weights: Floats) -> Floats:
        weights = weights.astype(np.float32)
        asked = self._asked(observation)
        scores = (weights[0] * asked.weights[0] + weights[1] * asked.weights[1]) @ asked.matches
        scores += weights[2] * (asked.weights[2] @ asked.matches > 1 - 1e-4)
        taste, recent, session = self._person(observation)
        scores += weights[3] * taste @ self._taste.items.T
        scores += weights[4] * _shown_before(observation, len(self.static))
        return np.asarray(scores + (weights[5] * recent + weights[6] * session) @ self._topics.T)

    def _person(self, observation: Observation) -> tuple[Floats, Floats, Floats]:
        return self._taste.of(observation), *clicked_topics(observation, self._topics)

    def _asked(self, observation: Observation) -> _Asked:
        """Returns what the batch asks for, each condition once."""
        heard = [self._parser.understood(observation, row) for row in range(observation.batch)]
        place: dict[Predicate, int] = {}
        for conditions in heard:
            for condition in conditions:
                place.setdefault(condition, len(place))
        weights = np.zeros((3, observation.batch, max(len(place), 1)), np.float32)
        for row, conditions in enumerate(heard):
            excluded = [condition for condition in conditions if condition.operator is Operator.EXCLUDE]
            wished = [condition for condition in conditions if condition.operator is not Operator.EXCLUDE]
            # An exclusion that is not met is broken: minus its weight where it is met, up to a constant.
            for kind, part, unit in ((0, excluded, -1.0), (1, wished, 1.0), (2, conditions, 1.0)):
                total = 1.0 if kind == 0 else sum(condition.weight for condition in part)
                for condition in part:
                    weights[kind, row, place[condition]] += unit * condition.weight / total
        matches = np.zeros((weights.shape[2], len(self.static)), np.float32)
        for condition, row in place.items():
            matches[row] = self._parser.matches(condition)
        return _Asked(weights, matches)


@dataclass(frozen=True)
class _Asked:
    """Conditions of a batch: weights [3, batch, num_conditions] of being broken, wished and met at all, and matches."""

    weights: npt.NDArray[np.float32]
    matches: npt.NDArray[np.float32]


def _shown_before(observation: Observation, num_items: int) -> npt.NDArray[np.float32]:
    """Returns how often each item was shown in this session, float32 [batch, num_items]."""
    counts = np.zeros((observation.batch, num_items), np.float32)
    rows, turns, positions = np.nonzero(observation.slates >= 0)
    np.add.at(counts, (rows, observation.slates[rows, turns, positions]), 1)
    return counts


@dataclass(frozen=True)
class ParserFactors:
    """What the parser understands, taste from ratings, and all that the catalogue says, weighed as clicks tell.

    Attributes:
        catalogue: The items.
        features: What agents know of them: taste and quality.
        vocabulary: The words to know.
        config: How to fit.
    """

    catalogue: Catalogue
    features: ItemFeatures
    vocabulary: Vocabulary
    config: ParserFactorsConfig = field(default_factory=ParserFactorsConfig)

    def fit(self, log: Log, *, seed: int = 0, progress: Progress | None = None) -> SkipConsumed:
        """Returns the fitted ranker; ``seed`` decides nothing.

        Args:
            log: What was shown and clicked.
            seed: Not used.
            progress: Called with (turns read, all).
        """
        facts = _ParsedFacts(self.catalogue, self.features, self.vocabulary)
        fitted = _fit(facts, log, item_effect=self.config.item_effect, progress=progress)
        ranker = fitted.ranker
        assert isinstance(ranker, FactsRanker)
        weights = ranker.weights.copy()
        weights[:3] *= self.config.obedience
        return SkipConsumed(replace(ranker, weights=weights), self.catalogue.num_items)

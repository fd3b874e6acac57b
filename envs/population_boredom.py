"""Boredom with position-based clicks: users whom too much of one topic tires for a while; after SARDINE and GeMS.

Items and users are unit vectors of topics: an item has two or three topics, of which the greatest is its *main topic*,
a user three to five. An item's relevance is

    1 / (1 + exp(-slope · (score - offset))),

the score being the product of the two vectors, and the item at rank r (from 0) is examined with the probability
examination^r and, if so, clicked with its relevance, each on its own.

Boredom: whoever's last ``recent`` clicks, of those in the last ``window`` turns, hold a main topic ``threshold`` times
or more, is bored of it for the next ``window`` turns: this topic's part of the user's vector counts as 0
(``loses="topic"``), or all of it does (``loses="interest"``: such users click next to nothing). Influence: after every
slate with a click the user's vector becomes that of (1 - influence) · itself + influence · the mean of the clicked
items' vectors, made a unit vector again.

Nobody says what they want, and nobody leaves: sessions last as long as the world lets them. Items may be shown again,
while SlatePPO starts out sure that nobody wants an item twice: train it with ``--set scorer.start_marks=[0,0,0]``.

Theirs (SARDINE's published environment SlateTopK-Bored-v0): 1,000 items, 10 topics, slates of 10, 100 turns, every
constant here, and how items' and users' vectors are drawn. It has ``loses="interest"``; GeMS, and SARDINE's other kind
of boredom, have ``loses="topic"``. SlateTopK-BoredInf-v0 has ``influence=0.05``, SlateTopK-Uncertain-v0 that and
``slope=10``; SlateTopK's static cousins are ``threshold=11``. GeMS has vectors of another make, with which go
``offset=0.15``, ``slope=20``, ``influence=0.1`` and ``threshold=4``. Assumed: how a catalogue's topics become vectors;
no random slate is shown before the first; in the mean of clicked items every topic keeps its own place.

References:
    Deffayet et al. (2024), SARDINE: a simulator for automated recommendation in dynamic and interactive environments,
    ACM Transactions on Recommender Systems, arXiv 2311.16586; Deffayet et al. (2023), Generative slate recommendation
    with reinforcement learning, WSDM, arXiv 2301.08632 (GeMS).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import binom

from instructrec.arrays import Bools, Floats, Ints
from instructrec.catalogue import Catalogue
from instructrec.envs.populations import PopulationSpec
from instructrec.envs.ranges import number_from, whole_from
from instructrec.envs.topics import luck_of_items, of_catalogue, of_slates, topic_shares
from instructrec.names import in_a_line, unknown_name
from instructrec.noise import Noise, Purpose
from instructrec.sessions import Instructions, Reactions, Sessions
from instructrec.texts import Texts

SAID = "recommend something"
"""What everybody says, always."""

_LOSES = ("topic", "interest")
_FEWEST, _USUAL, _MOST = 3, 4, 5
_TRAIT = 201


@dataclass(frozen=True)
class BoredomState:
    """Who these users are.

    Attributes:
        taste: Their unit vectors, bored or not, float64 [batch, num_topics].
        bored: How many turns they are bored of each topic yet, int16 [batch, num_topics].
        topics: Main topics of their last clicks, the newest last, padded with -1 in front, int8 [batch, recent].
        ages: How many turns ago each of these clicks was, 1 for the last turn's, int16 [batch, recent].
    """

    taste: npt.NDArray[np.float64]
    bored: npt.NDArray[np.int16]
    topics: npt.NDArray[np.int8]
    ages: npt.NDArray[np.int16]


class BoredomPopulation:
    """Users whom too much of one topic bores; the module says how.

    Args:
        catalogue: The items; one column of topics.
        column: The topics, categorical or multi-valued. An item with one gets one or two lesser ones besides, one with
            several has them all; its number decides how great they are. One without any is relevant to nobody.
        offset: The score at which half of the examined items are clicked, -1 to 1.
        slope: How steeply relevance rises about it, 0 to 1,000.
        examination: Probability to examine a position once the ones above are, 0 to 1.
        recent: How many clicks are remembered, 1 to 100.
        window: How many turns clicks are remembered, and how many boredom lasts, 1 to 1,000.
        threshold: How many of the remembered clicks make a topic boring, 1 or more; none does where it exceeds
            ``recent``.
        influence: How much of their taste users take over from what they click, 0 to 1.
        loses: What the bored lose interest in: ``"topic"``, the boring one alone, or ``"interest"``, everything.

    Raises:
        ValueError: If a setting is out of range, or the column is missing or holds numbers.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        column: str = "topic",
        offset: float = 0.65,
        slope: float = 100.0,
        examination: float = 0.85,
        recent: int = 10,
        window: int = 5,
        threshold: int = 5,
        influence: float = 0.0,
        loses: str = "topic",
    ) -> None:
        if loses not in _LOSES:
            raise ValueError(unknown_name("loss of the bored", str(loses), _LOSES))
        self.loses = loses
        self.offset, self.slope = number_from(-1, 1, offset=offset), number_from(0, 1_000, slope=slope)
        self.examination = number_from(0, 1, examination=examination)
        self.influence = number_from(0, 1, influence=influence)
        self.recent, self.window = whole_from(1, 100, recent=recent), whole_from(1, 1_000, window=window)
        self.threshold = whole_from(1, 1_000, threshold=threshold)
        self.vectors = _vectors(topic_shares(catalogue, column))
        """Every item's unit vector, float64 [num_items, num_topics]; zeros where it has no topic."""
        has = self.vectors.any(axis=1)
        self.main_topics = np.where(has, self.vectors.argmax(axis=1), -1).astype(np.int8)
        """Every item's main topic, int8 [num_items]; -1 where it has none."""
        self.texts = Texts([SAID])
        """The one thing they say."""
        clicks = (self.offset, self.slope, self.examination)
        boredom = (self.recent, self.window, self.threshold, self.influence, loses)
        parts = repr(("boredom 1", clicks, boredom)).encode() + self.vectors.tobytes()
        self.fingerprint = hashlib.sha256(parts).hexdigest()[:16]
        """A hash of every setting and of the items' vectors."""

    def __repr__(self) -> str:
        return in_a_line(self, f"fingerprint {self.fingerprint}")

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[BoredomState, Instructions]:
        """Returns users who like three to five topics and are bored of none."""
        num_topics = self.vectors.shape[1]
        luck = noise.uniform(Purpose.PERSON, 2 * num_topics + 1)
        wanted = np.searchsorted(_how_many(num_topics), luck[:, :1]) + _FEWEST
        order = luck[:, 1 : num_topics + 1].argsort(axis=1).argsort(axis=1)
        taste = _unit(np.where(order < wanted, luck[:, num_topics + 1 :], 0.0))
        batch = len(taste)
        state = BoredomState(
            taste,
            np.zeros((batch, num_topics), np.int16),
            np.full((batch, self.recent), -1, np.int8),
            np.zeros((batch, self.recent), np.int16),
        )
        return state, self._say(batch)

    def react(self, state: BoredomState, slates: Ints, noise: Noise) -> tuple[BoredomState, Reactions]:
        """Returns what everybody examined and clicked, and what that made of them."""
        batch, size = slates.shape
        examined = noise.uniform(Purpose.EXAMINATION, size) < self.examination ** np.arange(size)
        relevance = self._relevance(of_slates(self._now(state), self.vectors, slates))
        clicked = examined & (noise.uniform(Purpose.CLICK, size) < relevance)
        topics, ages = self._remembered(state, slates, clicked)
        bored = np.maximum(state.bored - 1, 0).astype(np.int16)
        bored[(bored == 0) & (self._counts(topics) >= self.threshold)] = self.window
        after = BoredomState(self._influenced(state.taste, slates, clicked), bored, topics, ages)
        left = np.zeros(batch, np.bool_)
        return after, Reactions(clicked, clicked.copy(), self._say(batch), left, examined=examined)

    def past(self, state: BoredomState) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns nothing: these users have no past, shape [batch, 0]."""
        shape = (len(state.taste), 0)
        return np.zeros(shape, np.int32), np.zeros(shape, np.float32)

    def expected_utility(self, state: BoredomState) -> npt.NDArray[np.float64]:
        """Returns every item's relevance now, bored as they are, [batch, num_items]."""
        return self._relevance(of_catalogue(self._now(state), self.vectors))

    def _relevance(self, scores: Floats) -> npt.NDArray[np.float64]:
        return np.asarray(expit(self.slope * (scores - self.offset)))

    def _now(self, state: BoredomState) -> npt.NDArray[np.float64]:
        """Returns what is left of everybody's taste while they are bored, [batch, num_topics]."""
        bored = state.bored > 0
        lost = bored if self.loses == "topic" else np.asarray(bored.any(axis=1))[:, None]
        return np.where(lost, 0.0, state.taste)

    def _remembered(
        self, state: BoredomState, slates: Ints, clicked: Bools
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int16]]:
        """Returns the last clicks that are young enough for the next turn, and how old they are then."""
        topics = np.concatenate([state.topics, np.where(clicked, self.main_topics[slates], -1)], axis=1)
        ages = np.concatenate([state.ages, np.zeros(slates.shape, np.int16)], axis=1) + np.int16(1)
        topics[ages > self.window] = -1
        # The gaps go to the front, the clicks keep their order.
        order = (topics >= 0).argsort(axis=1, kind="stable")[:, -self.recent :]
        topics, ages = np.take_along_axis(topics, order, axis=1), np.take_along_axis(ages, order, axis=1)
        return topics.astype(np.int8), np.where(topics >= 0, ages, 0).astype(np.int16)

    def _counts(self, topics: Ints) -> npt.NDArray[np.int64]:
        """Returns how often each topic occurs, [batch, num_topics]."""
        batch, num_topics = len(topics), self.vectors.shape[1]
        places = np.arange(batch)[:, None] * num_topics + topics
        return np.bincount(places[topics >= 0], minlength=batch * num_topics).reshape(batch, num_topics)

    def _influenced(self, taste: Floats, slates: Ints, clicked: Bools) -> npt.NDArray[np.float64]:
        if self.influence == 0:
            return np.array(taste)
        count = clicked.sum(axis=1, keepdims=True)
        mean = np.where(clicked[:, :, None], self.vectors[slates], 0.0).sum(axis=1) / np.maximum(count, 1)
        return np.where(count > 0, _unit((1 - self.influence) * taste + self.influence * mean), taste)

    def _say(self, batch: int) -> Instructions:
        # Id 0 is the empty text.
        return Instructions(np.ones(batch, np.int64))


def _unit(vectors: Floats) -> npt.NDArray[np.float64]:
    """Returns vectors of length 1 in the same directions; zeros stay zeros."""
    length = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.where(length > 0, length, 1))


def _how_many(num_topics: int) -> npt.NDArray[np.float64]:
    """Returns the cumulative probabilities that a user likes 3 and 4 topics, [2]; the rest like 5.

    Every topic is liked with the same probability, four on average; fewer than 3 and more than 5 do not occur. Of four
    topics or fewer all are liked.
    """
    if num_topics <= _USUAL:
        return np.array([0.0, 1.0])
    likely = binom.pmf(np.arange(_FEWEST, _MOST + 1), num_topics, _USUAL / num_topics)
    return np.cumsum(likely / likely.sum())[:2]


def _vectors(shares: Floats) -> npt.NDArray[np.float64]:
    """Returns the items' unit vectors, [num_items, num_topics]."""
    num_items, num_topics = shares.shape
    luck = luck_of_items(num_items, _TRAIT, 2 * num_topics + 1)
    greatness, own = luck[:, :num_topics], shares > 0
    # Topics in the order in which they would join: the item's own first, then the others by luck.
    order = np.where(own, -1.0, luck[:, num_topics:-1]).argsort(axis=1, kind="stable").argsort(axis=1)
    alone = own.sum(axis=1, keepdims=True) == 1
    vectors = np.where(own | (alone & (order < np.where(luck[:, -1:] < 0.5, 2, 3))), greatness, 0.0)
    # Of an item with one topic, this one is the greatest: it changes places with whichever is.
    rows, main, greatest = np.arange(num_items), own.argmax(axis=1), vectors.argmax(axis=1)
    swap = alone[:, 0]
    vectors[rows[swap], greatest[swap]], vectors[rows[swap], main[swap]] = (
        vectors[rows[swap], main[swap]],
        vectors[rows[swap], greatest[swap]],
    )
    return _unit(vectors)


POPULATION = PopulationSpec(
    name="boredom",
    summary="Mute users who click by position and relevance, and tire of a topic that they click too often.",
    reference="Deffayet et al. (2024), SARDINE, arXiv 2311.16586, and (2023), GeMS, arXiv 2301.08632.",
    maker=BoredomPopulation,
)
"""How it is known."""

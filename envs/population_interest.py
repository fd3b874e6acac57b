"""Interest evolution: users whose interests follow what they watch, and whose time runs out; after RecSim and SlateQ.

A user has an interest of -1 to 1 in every topic, spread evenly at first, and ``budget`` minutes. Of a slate they watch
one item or none. An item's appeal is the mean of their interests in its topics (and of ``allure`` where topics are
trashy); with ``choice="logit"`` the item i is chosen with a probability in proportion to exp(appeal_i), nothing to
exp(no_click); with ``choice="proportional"`` in proportion to appeal_i + 1 and no_click + 1.

What is watched moves the interest I in each of its topics by its share of ``pace`` · (1 - |I|) · (1 - I): up with the
probability (A + 1) / 2, A being the interest in the item, down otherwise. Watching an item of length l and quality q
(-3.4 to 3.4) costs l minutes, or what is left of the budget, and gives ``refund`` · q / 3.4 of them back, which takes
more where q is negative. A slate of which nothing is watched costs ``penalty`` minutes. Those with no time left leave.

Most topics are trashy: the first 70 % of the column's values have mean qualities evenly from -3 to 0, the rest from 0
to 3; an item's quality lies about its topics' mean. So what is clicked now and what keeps a session going differ.

Theirs (published environment): 20 topics, one per item; the budget of 200, the length of 4, ``pace``, ``refund`` and
``penalty``, ``no_click``; qualities; one click per slate; interests spread evenly. It draws with
``choice="proportional"``; the logit is its other choice model. Assumed: ``allure`` (theirs is 0), what becomes of items
with several topics, and how a catalogue's own qualities are read.

References:
    Ie et al. (2019), RecSim: a configurable simulation platform for recommender systems, arXiv 1909.04847 (interest
    evolution); Ie et al. (2019), Reinforcement learning for slate-based recommender systems: a tractable decomposition
    and practical methodology, arXiv 1905.12767 (SlateQ), section 6.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from instructrec.arrays import Floats, Ints
from instructrec.catalogue import Catalogue
from instructrec.envs.populations import PopulationSpec
from instructrec.envs.ranges import number_from
from instructrec.envs.topics import luck_of_items, of_catalogue, of_slates, topic_shares
from instructrec.names import in_a_line, unknown_name
from instructrec.noise import Noise, Purpose
from instructrec.sessions import Instructions, Reactions, Sessions
from instructrec.texts import Texts

SAID = "recommend something"
"""What everybody says, always."""
LENGTH, QUALITY = "length", "quality"
"""The columns that tell minutes and quality, where a catalogue has them."""

_MINUTES, _TRASHY, _SPREAD, _BEST = 4.0, 0.7, 0.1, 3.4
_CHOICES = ("logit", "proportional")
_TRAIT = 101


@dataclass(frozen=True)
class InterestState:
    """Who these users are.

    Attributes:
        interest: In each topic, -1 to 1, float64 [batch, num_topics].
        budget: Minutes left, float64 [batch].
    """

    interest: npt.NDArray[np.float64]
    budget: npt.NDArray[np.float64]


class InterestPopulation:
    """Users whose interests follow what they watch; the module says how.

    Args:
        catalogue: The items; one column of topics, and if it likes columns of lengths and qualities.
        column: The topics, categorical or multi-valued.
        length: The numbers that are minutes, above 0; without a column ``"length"``, and where a number is missing,
            items are 4 minutes long.
        quality: The numbers that are qualities. Where they leave the range from -3.4 to 3.4, their ranks stand for
            them, spread from -3 to 3; without a column ``"quality"``, and where a number is missing, the topic and the
            item's number decide.
        choice: ``"logit"`` or ``"proportional"``.
        no_click: Appeal of watching nothing, -20 to 20; above -1 where the choice is proportional.
        allure: What the trashiest topic adds to an item's appeal, 0 to 20; others in proportion to how trashy they are.
        budget: Minutes that a user has, above 0 to 10,000.
        penalty: Minutes that a slate costs of which nothing is watched, above 0 to 1,000.
        pace: How far interests move, 0 to 1.
        refund: Share of the time that the best item gives back and the worst takes besides, 0 to 0.99.

    Raises:
        ValueError: If a setting is out of range, a column is missing or holds the wrong kind.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        column: str = "topic",
        length: str = LENGTH,
        quality: str = QUALITY,
        choice: str = "logit",
        no_click: float = 1.0,
        allure: float = 0.0,
        budget: float = 200.0,
        penalty: float = 0.5,
        pace: float = 0.3,
        refund: float = 0.9,
    ) -> None:
        if choice not in _CHOICES:
            raise ValueError(unknown_name("choice", str(choice), _CHOICES))
        self.choice, self.no_click = choice, number_from(-20, 20, no_click=no_click)
        if choice == "proportional" and not self.no_click > -1:
            raise ValueError(f"no_click must be above -1 where the choice is proportional, got {no_click!r}")
        self.allure, self.pace = number_from(0, 20, allure=allure), number_from(0, 1, pace=pace)
        self.refund = number_from(0, 0.99, refund=refund)
        self.budget = number_from(0.001, 10_000, budget=budget)
        self.penalty = number_from(0.001, 1_000, penalty=penalty)
        self._shares = topic_shares(catalogue, column)
        typical = _topic_qualities(self._shares.shape[1])
        self.qualities = _qualities(catalogue, quality, self._shares @ typical)
        """Every item's quality, -3.4 to 3.4, float64 [num_items]."""
        self.minutes = _minutes(catalogue, length)
        """Every item's length, minutes, float64 [num_items]."""
        self._allure = self.allure * (self._shares @ np.maximum(-typical / 3, 0))
        self.texts = Texts([SAID])
        """The one thing they say."""
        settings = (choice, self.no_click, self.allure, self.budget, self.penalty, self.pace, self.refund)
        items = self._shares.tobytes() + self.qualities.tobytes() + self.minutes.tobytes()
        self.fingerprint = hashlib.sha256(repr(("interest 1", settings)).encode() + items).hexdigest()[:16]
        """A hash of every setting and of what the items are."""

    def __repr__(self) -> str:
        return in_a_line(self, f"fingerprint {self.fingerprint}")

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[InterestState, Instructions]:
        """Returns users with interests spread evenly and all their time."""
        interest = 2 * noise.uniform(Purpose.PERSON, self._shares.shape[1]) - 1
        return InterestState(interest, np.full(len(interest), self.budget)), self._say(len(interest))

    def react(self, state: InterestState, slates: Ints, noise: Noise) -> tuple[InterestState, Reactions]:
        """Returns what everybody watched, what that did to their interests, and who has no time left."""
        batch, size = slates.shape
        liking = of_slates(state.interest, self._shares, slates)
        place = self._chosen(liking + self._allure[slates], noise)
        clicked = np.arange(size) == place[:, None]
        watched, rows = place < size, np.arange(batch)
        place = np.minimum(place, size - 1)
        item = slates[rows, place]
        minutes = np.where(watched, np.minimum(np.maximum(state.budget, 0), self.minutes[item]), 0.0)
        gained = self.refund * minutes * self.qualities[item] / _BEST
        budget = state.budget - minutes + gained - np.where(watched, 0.0, self.penalty)
        up = noise.uniform(Purpose.DRIFT)[:, 0] < (liking[rows, place] + 1) / 2
        step = np.where(watched, np.where(up, self.pace, -self.pace), 0.0)[:, None] * self._shares[item]
        interest = state.interest + step * (1 - np.abs(state.interest)) * (1 - state.interest)
        engagement = np.where(clicked, minutes[:, None], 0).astype(np.float32)
        reactions = Reactions(clicked, clicked.copy(), self._say(batch), budget <= 0, engagement=engagement)
        return InterestState(np.clip(interest, -1, 1), budget), reactions

    def past(self, state: InterestState) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns nothing: these users have no past, shape [batch, 0]."""
        shape = (len(state.budget), 0)
        return np.zeros(shape, np.int32), np.zeros(shape, np.float32)

    def expected_utility(self, state: InterestState) -> npt.NDArray[np.float64]:
        """Returns the probability that each item is watched if it is all there is, [batch, num_items]."""
        appeal = of_catalogue(state.interest, self._shares) + self._allure
        if self.choice == "logit":
            return np.asarray(1 / (1 + np.exp(self.no_click - appeal)))
        return np.asarray((appeal + 1) / (appeal + self.no_click + 2))

    def expected_enjoyment(self, state: InterestState) -> npt.NDArray[np.float64]:
        """Returns how good each item is, 0 to 1, the same for everybody, [batch, num_items]."""
        return np.tile((self.qualities + _BEST) / (2 * _BEST), (len(state.budget), 1))

    def _chosen(self, appeal: Floats, noise: Noise) -> npt.NDArray[np.int64]:
        """Returns the position each user watches, or the slate's size for none, int64 [batch]."""
        mass = np.full((len(appeal), appeal.shape[1] + 1), self.no_click)
        mass[:, :-1] = appeal
        mass = np.exp(mass) if self.choice == "logit" else mass + 1
        reached = np.cumsum(mass, axis=1)
        luck = noise.uniform(Purpose.CLICK) * reached[:, -1:]
        return np.asarray(np.minimum((reached <= luck).sum(axis=1), appeal.shape[1]))

    def _say(self, batch: int) -> Instructions:
        # Id 0 is the empty text.
        return Instructions(np.ones(batch, np.int64))


def _topic_qualities(num_topics: int) -> npt.NDArray[np.float64]:
    """Returns each topic's mean quality, ascending, [num_topics]."""
    trashy = round(_TRASHY * num_topics)
    return np.concatenate([np.linspace(-3, 0, trashy), np.linspace(0, 3, num_topics - trashy)])


def _numbers(catalogue: Catalogue, column: str, usual: str) -> npt.NDArray[np.float64]:
    """Returns a column of numbers, all NaN where the catalogue has none of the usual name, [num_items]."""
    if column not in catalogue.columns:
        if column == usual:
            return np.full(catalogue.num_items, np.nan)
        raise ValueError(unknown_name(f"column of {usual}", column, catalogue.columns))
    if catalogue.column(column).is_set:
        raise ValueError(f"the column {column!r} holds words; {usual} is a number per item")
    return catalogue.column(column).numbers.astype(np.float64)


def _minutes(catalogue: Catalogue, column: str) -> npt.NDArray[np.float64]:
    numbers = _numbers(catalogue, column, LENGTH)
    if (numbers <= 0).any():
        item = int(np.flatnonzero(numbers <= 0)[0])
        raise ValueError(f"item {item} has the length {numbers[item]:g} in {column!r}; lengths are minutes above 0")
    return np.where(np.isnan(numbers), _MINUTES, numbers)


def _qualities(catalogue: Catalogue, column: str, typical: Floats) -> npt.NDArray[np.float64]:
    numbers = _numbers(catalogue, column, QUALITY)
    known = ~np.isnan(numbers)
    # Columns hold 32 bits, in which 3.4 is a little more.
    if (np.abs(numbers[known]) > float(np.float32(_BEST))).any():
        ranks = np.unique(numbers[known], return_inverse=True)[1]
        numbers[known] = 6 * ranks / max(int(ranks.max()), 1) - 3
    drawn = typical + _SPREAD * ndtri(luck_of_items(len(numbers), _TRAIT)[:, 0])
    return np.clip(np.where(known, numbers, drawn), -_BEST, _BEST)


POPULATION = PopulationSpec(
    name="interest",
    summary="Mute users whose interests follow what they watch and whose time runs out sooner on trashy topics.",
    reference="Ie et al. (2019), RecSim, arXiv 1909.04847 (interest evolution), and SlateQ, arXiv 1905.12767.",
    maker=InterestPopulation,
)
"""How it is known."""

"""Several behaviours and the day of return: users who visit again, sooner the better it was; after KuaiSim.

A session is a series of visits. In a visit users are shown slates until their temper is spent; then they stay away for
some days and come back, ``visits`` times in all.

*What they do.* With an item of the appeal a (``taste`` times the mean of the user's tastes in its topics, each from -1
to 1) they do the following, each with a probability of its own:

| behaviour | probability |
|---|---|
| click | sigmoid(logit(rate) + a + allure) - ``likeness`` · (share of the slate with a topic of the item) |
| long view, like, comment, follow, forward: clicked items only | sigmoid(logit(rate) + a + quality + mood) |
| hate: clicked or not | sigmoid(logit(rate) - a - quality - mood) |

Allure and quality are hidden, normal, spread by ``allure`` and ``quality``, and hang on the item's number; the mood is
logistic of scale ``mood`` and drawn anew for every item shown. So all that follows a click goes together, beyond what
taste explains, hates go the other way, and what draws clicks need not please. A long view counts as consumption, and
engagement is the sum of the behaviours' ``weights`` over a clicked item, at least 0.

*When they stop.* Every visit begins with ``temper``; a slate takes 2 - (share of it clicked), a hate ``hate_cost``
besides; below 1 the visit is over.

*When they return.* After d days, 1 to ``most_days``, with a probability in proportion to p · (1 - p)^(d - 1), where

    p = return_bias + influence · pleased + diversity · (share of topics shown in the visit) + lean, .001 to .999;

pleased' = memory · pleased + (1 - memory) · (weighted behaviours per item shown) after every slate, and the lean is the
user's own, -``personality`` to ``personality``. With the last visit's end they leave; its days count too. The days
stand in ``Reactions.days_away`` (`instructrec.rewards.RetentionReward`), and the returning say them, unless ``speaks``
is false: "I am back after 3 days".

Theirs (KuaiSim's published environments and scripts): the seven behaviours, the three kinds of model, slates of 6, six
visits, ``temper`` and what a slate takes, ``likeness``, ``most_days``, ``return_bias``, ``influence`` and the reward;
``memory`` is that of their later GFN4Retention. Their behaviours come from networks trained on KuaiRand, which are not
shipped here. Assumed, therefore, and fitted to nothing: the table above, how alike items are, tastes, rates, weights,
``hate_cost``, ``diversity``, ``personality``, and that visits with days between them end by temper (theirs have five
slates each).

References:
    Zhao et al. (2023), KuaiSim: a comprehensive simulator for recommender systems, arXiv 2309.12645; Gao et al. (2022),
    KuaiRand, arXiv 2208.08696 (the behaviours); Liu et al. (2024), Modeling user retention through generative flow
    networks, arXiv 2406.06043 (GFN4Retention).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtri

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
"""What everybody says, but for those who have just come back."""
RATES = {
    "click": 0.4,
    "long_view": 0.6,
    "like": 0.08,
    "comment": 0.03,
    "follow": 0.02,
    "forward": 0.02,
    "hate": 0.01,
}
"""How often each is done where nothing speaks for or against it: of items shown, but long views to forwards of those
clicked. Assumed."""
WEIGHTS = {name: -1.0 if name == "hate" else 1.0 for name in RATES}
"""What each is worth. Assumed."""
BEHAVIOURS = tuple(RATES)
"""The behaviours, in the order of `RetentionPopulation.behaviours`."""

_CLICK, _LONG_VIEW, _HATE = (BEHAVIOURS.index(name) for name in ("click", "long_view", "hate"))
_PATIENCE, _SPENT = 2.0, 1.0
_TRAIT = 301


@dataclass(frozen=True)
class RetentionState:
    """Who these users are.

    Attributes:
        taste: In each topic, -1 to 1, float64 [batch, num_topics].
        lean: What they add to their return probability, float64 [batch].
        temper: What is left of it in this visit, float64 [batch].
        pleased: Moving average of weighted behaviours per item shown, float64 [batch].
        shown: Topics shown in this visit as bits, uint64 [batch].
        visit: How many visits came to an end, int16 [batch].
    """

    taste: npt.NDArray[np.float64]
    lean: npt.NDArray[np.float64]
    temper: npt.NDArray[np.float64]
    pleased: npt.NDArray[np.float64]
    shown: npt.NDArray[np.uint64]
    visit: npt.NDArray[np.int16]


class RetentionPopulation:
    """Users of many behaviours who come back, sooner the better it was; the module says how.

    Args:
        catalogue: The items; one column of topics.
        column: The topics, categorical or multi-valued.
        rates: Other `RATES`, by behaviour, above 0 and below 1.
        weights: Other `WEIGHTS`, by behaviour, -100 to 100.
        taste: How strongly taste speaks, log-odds, 0 to 20.
        allure: Spread of what draws clicks, log-odds, 0 to 20.
        quality: Spread of what pleases after the click, log-odds, 0 to 20.
        mood: Scale of what the behaviours on one item shown have in common, log-odds, 0 to 20.
        likeness: What a slate all about one topic takes from its click probabilities, 0 to 1.
        visits: How many visits a session has, 1 to 1,000.
        temper: With how much a visit begins, 1 to 1,000: without hates it lasts from half as many slates to as many.
        hate_cost: Temper that a hate takes, 0 to 100.
        most_days: Days after which everybody is back, 1 to 365.
        return_bias: Probability of coming back the next day where nothing else speaks, 0 to 1.
        influence: What it gains by a weighted behaviour per item shown, 0 to 1.
        diversity: What it gains where a visit showed every topic, 0 to 1.
        personality: How far users differ in it, 0 to 1.
        memory: How much of being pleased outlasts a slate, 0 to 1.
        speaks: Whether those who come back say after how many days.

    Raises:
        ValueError: If a setting is out of range or names no behaviour, or the column is missing or holds numbers.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        column: str = "topic",
        rates: Mapping[str, float] | None = None,
        weights: Mapping[str, float] | None = None,
        taste: float = 2.0,
        allure: float = 0.5,
        quality: float = 1.0,
        mood: float = 0.5,
        likeness: float = 0.2,
        visits: int = 6,
        temper: float = 10.0,
        hate_cost: float = 1.0,
        most_days: int = 10,
        return_bias: float = 0.4,
        influence: float = 0.1,
        diversity: float = 0.1,
        personality: float = 0.1,
        memory: float = 0.5,
        speaks: bool = True,
    ) -> None:
        self.rates = _by_behaviour("rates", rates, RATES, 1e-9, 1 - 1e-9)
        self.weights = _by_behaviour("weights", weights, WEIGHTS, -100, 100)
        self.taste, self.mood = number_from(0, 20, taste=taste), number_from(0, 20, mood=mood)
        self.allure, self.quality = number_from(0, 20, allure=allure), number_from(0, 20, quality=quality)
        self.likeness, self.memory = number_from(0, 1, likeness=likeness), number_from(0, 1, memory=memory)
        self.visits, self.most_days = whole_from(1, 1_000, visits=visits), whole_from(1, 365, most_days=most_days)
        self.temper, self.hate_cost = number_from(1, 1_000, temper=temper), number_from(0, 100, hate_cost=hate_cost)
        self.return_bias = number_from(0, 1, return_bias=return_bias)
        self.influence, self.diversity = number_from(0, 1, influence=influence), number_from(0, 1, diversity=diversity)
        self.personality = number_from(0, 1, personality=personality)
        if not isinstance(speaks, bool):
            raise ValueError(f"speaks must be true or false, got {speaks!r}")
        self.speaks = speaks
        self._shares = topic_shares(catalogue, column)
        self._topics = catalogue.column(column).masks
        hidden = ndtri(luck_of_items(catalogue.num_items, _TRAIT, 2))
        self.allures = self.allure * hidden[:, 0]
        """What draws clicks to every item, log-odds, float64 [num_items]."""
        self.qualities = self.quality * hidden[:, 1]
        """How every item pleases after the click, log-odds, float64 [num_items]."""
        self._usual = logit(np.array(list(self.rates.values())))
        self._worth = np.array(list(self.weights.values()))
        days = ["a day", *(f"{day} days" for day in range(2, self.most_days + 1))]
        self.texts = Texts([SAID, *(f"I am back after {day}" for day in days)])
        """What they may say: the usual, then that they are back after 1, 2, … days."""
        does = (self.rates, self.weights, self.taste, self.allure, self.quality, self.mood, self.likeness)
        stays = (self.visits, self.temper, self.hate_cost, self.most_days, self.memory, speaks)
        returns = (self.return_bias, self.influence, self.diversity, self.personality)
        parts = repr(("retention 1", does, stays, returns)).encode() + self._topics.tobytes()
        self.fingerprint = hashlib.sha256(parts).hexdigest()[:16]
        """A hash of every setting and of the items' topics."""

    def __repr__(self) -> str:
        return in_a_line(self, f"fingerprint {self.fingerprint}")

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[RetentionState, Instructions]:
        """Returns users with tastes of their own at the beginning of their first visit."""
        luck = 2 * noise.uniform(Purpose.PERSON, self._shares.shape[1] + 1) - 1
        batch = len(luck)
        state = RetentionState(
            taste=luck[:, 1:],
            lean=self.personality * luck[:, 0],
            temper=np.full(batch, self.temper),
            pleased=np.zeros(batch),
            shown=np.zeros(batch, np.uint64),
            visit=np.zeros(batch, np.int16),
        )
        return state, self._say(np.zeros(batch))

    def react(self, state: RetentionState, slates: Ints, noise: Noise) -> tuple[RetentionState, Reactions]:
        """Returns what everybody did, whose visit is over, and after how many days they are back."""
        did = self.behaviours(state, slates, noise)
        clicked, hated = did[:, :, _CLICK], did[:, :, _HATE]
        worth = (did * self._worth).sum(axis=2)
        pleased = self.memory * state.pleased + (1 - self.memory) * worth.mean(axis=1)
        temper = state.temper - (_PATIENCE - clicked.mean(axis=1)) - self.hate_cost * hated.sum(axis=1)
        shown = state.shown | np.bitwise_or.reduce(self._topics[slates], axis=1)
        over = temper < _SPENT
        days = np.where(over, self._days(state.lean, pleased, shown, noise), 0)
        after = RetentionState(
            taste=state.taste.copy(),
            lean=state.lean.copy(),
            temper=np.where(over, self.temper, temper),
            pleased=pleased,
            shown=np.where(over, np.uint64(0), shown),
            visit=state.visit + over.astype(np.int16),
        )
        reactions = Reactions(
            clicked.copy(),
            did[:, :, _LONG_VIEW].copy(),
            self._say(days),
            after.visit >= self.visits,
            satisfaction=(1 - np.exp(-np.maximum(pleased, 0))).astype(np.float32),
            engagement=np.where(clicked, np.maximum(worth, 0), 0).astype(np.float32),
            days_away=days.astype(np.float32),
        )
        return after, reactions

    def behaviours(self, state: RetentionState, slates: Ints, noise: Noise) -> npt.NDArray[np.bool_]:
        """Returns what everybody does with each item, [batch, slate_size, 7] in the order of `BEHAVIOURS`.

        It is what `react` goes by, given the same: for those who want to know more than clicks and engagement.
        """
        batch, size = slates.shape
        appeal = self.taste * of_slates(state.taste, self._shares, slates)
        did = np.zeros((batch, size, len(BEHAVIOURS)), np.bool_)
        likely = expit(self._usual[_CLICK] + appeal + self.allures[slates]) - self.likeness * self._alike(slates)
        clicked = noise.uniform(Purpose.CLICK, size) < likely
        did[:, :, _CLICK] = clicked
        pleasing = appeal + self.qualities[slates] + self.mood * logit(noise.uniform(Purpose.PERCEPTION, size))
        later = noise.uniform(Purpose.CONSUMPTION, size * (len(BEHAVIOURS) - 1)).reshape(batch, size, -1)
        did[:, :, 1:_HATE] = clicked[:, :, None] & (
            later[:, :, :-1] < expit(self._usual[1:_HATE] + pleasing[:, :, None])
        )
        did[:, :, _HATE] = later[:, :, -1] < expit(self._usual[_HATE] - pleasing)
        return did

    def past(self, state: RetentionState) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns nothing: these users have no past, shape [batch, 0]."""
        shape = (len(state.lean), 0)
        return np.zeros(shape, np.int32), np.zeros(shape, np.float32)

    def expected_utility(self, state: RetentionState) -> npt.NDArray[np.float64]:
        """Returns the probability that each item is clicked, whatever is beside it, [batch, num_items]."""
        appeal = self.taste * of_catalogue(state.taste, self._shares)
        return np.asarray(expit(self._usual[_CLICK] + appeal + self.allures))

    def expected_enjoyment(self, state: RetentionState) -> npt.NDArray[np.float64]:
        """Returns the probability that each item is viewed long once clicked, in a usual mood, [batch, num_items]."""
        appeal = self.taste * of_catalogue(state.taste, self._shares)
        return np.asarray(expit(self._usual[_LONG_VIEW] + appeal + self.qualities))

    def _alike(self, slates: Ints) -> npt.NDArray[np.float64]:
        """Returns the share of the slate with a topic of each item, itself counted, [batch, slate_size]."""
        topics = self._topics[slates]
        common: Bools = (topics[:, :, None] & topics[:, None, :]) != 0
        return np.asarray(common.mean(axis=2))

    def _days(
        self, lean: Floats, pleased: Floats, shown: npt.NDArray[np.uint64], noise: Noise
    ) -> npt.NDArray[np.float64]:
        """Draws after how many days they would be back if this were the visit's end, 1 to ``most_days``, [batch]."""
        varied = np.bitwise_count(shown) / self._shares.shape[1]
        chance = self.return_bias + self.influence * pleased + self.diversity * varied + lean
        stays = np.log1p(-np.clip(chance, 0.001, 0.999))
        within = -np.expm1(self.most_days * stays)
        luck = noise.uniform(Purpose.LEAVING)[:, 0]
        return np.asarray(np.clip(np.ceil(np.log1p(-luck * within) / stays), 1, self.most_days))

    def _say(self, days: Floats) -> Instructions:
        # Id 0 is the empty text, 1 the usual one.
        return Instructions(1 + (days.astype(np.int64) if self.speaks else np.zeros(len(days), np.int64)))


def _by_behaviour(
    name: str, given: Mapping[str, float] | None, usual: Mapping[str, float], low: float, high: float
) -> dict[str, float]:
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"{name} are behaviours and numbers, such as {{'hate': 0.02}}, got {given!r}")
    for behaviour, number in (given or {}).items():
        if behaviour not in usual:
            raise ValueError(unknown_name(f"behaviour in {name}", str(behaviour), usual))
        number_from(low, high, **{f"{behaviour} in {name}": number})
    return {behaviour: float((given or {}).get(behaviour, number)) for behaviour, number in usual.items()}


POPULATION = PopulationSpec(
    name="retention",
    summary="Users of seven behaviours, click to hate, who visit again after days, sooner the better it was.",
    reference="Zhao et al. (2023), KuaiSim, arXiv 2309.12645.",
    maker=RetentionPopulation,
)
"""How it is known."""

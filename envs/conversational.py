"""The default users: they say what they want, read slates from the top, click, tire, lose trust, critique and leave.

Taste and quality are fitted to real ratings, perceived attributes to real tags, the mix of requests to real queries.
Position, fatigue, trust and leaving are assumed, within the ranges published for such models, and are not called
calibrated.

References:
    Craswell et al. (2008), An experimental comparison of click position-bias models (cascade); Guo et al. (2009),
    Efficient multiple-click models in web search (continuing after a click); McFadden (1974), Conditional logit
    analysis (choice between an item and moving on); Ie et al. (2019), RecSim, arXiv 1909.04847 (satisfaction and
    clickbait).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Floats, Ints, take
from instructrec.catalogue import MAX_VALUES, Catalogue
from instructrec.envs.bank import Bank
from instructrec.envs.behaviour import Behaviour
from instructrec.envs.conversational_kernels import Constants, GoalArrays, Items, Speech, arrive, react
from instructrec.envs.rules import Rules, may_want, unsuitable_items
from instructrec.envs.sampled import sample_of
from instructrec.envs.speaking_kernels import speak
from instructrec.envs.vocabulary import Vocabulary
from instructrec.goals import Check, Goals, allowed, satisfied
from instructrec.names import in_a_line
from instructrec.noise import Noise
from instructrec.sessions import Instructions, Reactions, Sessions
from instructrec.texts import Texts

_CELLS = 20_000_000
"""Goals times items that are looked at together."""


@dataclass(frozen=True)
class Tastes:
    """The hidden and visible sides of every person and item; hidden from agents except the past.

    Attributes:
        who: The persons who may come, rows of the arrays below, int32 [num_people].
        person_factors: Tastes, float32 [num_persons, rank]. Fitted: to the ratings of these persons.
        item_factors: What tastes weigh, float32 [num_items, rank]; taste is the inner product, in stars. Fitted: to the
            same ratings.
        quality: Stars above the mean that everybody gives an item, float32 [num_items]. Fitted: to the same ratings.
        allure: What draws clicks without pleasing, in standard deviations, float32 [num_items]. Assumed: part of it is
            popularity that quality does not explain.
        past: Visible past, oldest first, padded with -1, int32 [num_persons, past_length].
        past_ratings: Its ratings, 0 where padded, float32 [num_persons, past_length].
    """

    who: npt.NDArray[np.int32]
    person_factors: npt.NDArray[np.float32]
    item_factors: npt.NDArray[np.float32]
    quality: npt.NDArray[np.float32]
    allure: npt.NDArray[np.float32]
    past: npt.NDArray[np.int32]
    past_ratings: npt.NDArray[np.float32]


@dataclass(frozen=True)
class ConversationalState:
    """The hidden state of a batch of users: a record, one row per user.

    Attributes:
        person: Row in `Tastes`, int32 [batch].
        goal: Row in the bank's goals, int32 [batch].
        num_goals: How many goals the session had so far, int32 [batch].
        goals: The goal as it stands, with what was said and, in the last place, what is relative to a shown item.
        pending: Row of the bank's change that the goal underwent unsaid, -1 for none, int32 [batch].
        satiation: Per topic, float32 [batch, num_topics].
        satisfaction: 0 to 1, float32 [batch].
        trust: 0 to 1, float32 [batch].
        consumed: Items clicked this session, padded with -1, int32 [batch, turn_limit * slate_size].
        num_consumed: How many there are, int32 [batch].
    """

    person: npt.NDArray[np.int32]
    goal: npt.NDArray[np.int32]
    num_goals: npt.NDArray[np.int32]
    goals: Goals
    pending: npt.NDArray[np.int32]
    satiation: npt.NDArray[np.float32]
    satisfaction: npt.NDArray[np.float32]
    trust: npt.NDArray[np.float32]
    consumed: npt.NDArray[np.int32]
    num_consumed: npt.NDArray[np.int32]


class ConversationalPopulation:
    """Users who say what they want and react to slates: a `instructrec.protocols.Population` that knows its utility.

    Args:
        catalogue: The items.
        tastes: Who may come, and their hidden sides.
        bank: What they may want and say.
        topic: The set attribute that satiates, such as "genre".
        behaviour: The constants.
        slate_size: Items per slate.
        turn_limit: Slates per session at most.
        vocabulary: The words that the bank was written with, of every split: what a parser may know.
        rules: What must never be shown to whom: per rule its conditions, None for no condition.
        lives_by: Which condition of each rule every person lives by, int32 [num_persons, num_rules].
    """

    def __init__(
        self,
        catalogue: Catalogue,
        tastes: Tastes,
        bank: Bank,
        *,
        topic: str,
        behaviour: Behaviour | None = None,
        slate_size: int = 10,
        turn_limit: int = 10,
        vocabulary: Vocabulary | None = None,
        rules: Rules = (),
        lives_by: npt.NDArray[np.int32] | None = None,
    ) -> None:
        self.vocabulary, self.rules, self.lives_by = vocabulary, rules, lives_by
        self.catalogue, self.tastes, self.bank = catalogue, tastes, bank
        self.behaviour = behaviour if behaviour is not None else Behaviour()
        self._topics = catalogue.column(topic)
        self._capacity = turn_limit * slate_size
        self._turn_limit = turn_limit
        self._texts = Texts(bank.texts)
        settings = asdict(self.behaviour)
        if not bank.critiques:
            settings["critique"] = 0.0
        self._constants = Constants(**{name: float(settings[name]) for name in Constants._fields})
        self._items = _items(catalogue, tastes, self._topics.masks)
        self._speech = _speech(bank)
        self._bank_goals = _goal_arrays(bank.goals)
        wanted = may_want(bank, rules, lives_by) if lives_by is not None else None
        self._chances = goal_chances(catalogue, tastes, bank, self.behaviour.taste_in_goals, wanted)
        self._unsuitable = unsuitable_items(catalogue, rules)

    def behaving(self, behaviour: Behaviour) -> ConversationalPopulation:
        """Returns the same people with other constants."""
        return ConversationalPopulation(
            self.catalogue,
            self.tastes,
            self.bank,
            topic=self._topics.name,
            behaviour=behaviour,
            slate_size=self._capacity // self._turn_limit,
            turn_limit=self._turn_limit,
            vocabulary=self.vocabulary,
            rules=self.rules,
            lives_by=self.lives_by,
        )

    @property
    def texts(self) -> Texts:
        """The bank's texts, and free ones."""
        return self._texts

    @property
    def fingerprint(self) -> str:
        """A hash of people, bank and constants, hex."""
        digest = hashlib.sha256(f"{self.bank.fingerprint} {self.behaviour} {self._capacity}".encode())
        for field in fields(self.tastes):
            digest.update(np.ascontiguousarray(getattr(self.tastes, field.name)).tobytes())
        if self.lives_by is not None:
            digest.update(repr(self.rules).encode() + self.lives_by.tobytes())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        return in_a_line(
            self,
            f"{len(self.tastes.who):,} people",
            f"{self.bank.num_goals:,} requests",
            f"fingerprint {self.fingerprint}",
        )

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[ConversationalState, Instructions]:
        """Returns new users and what they say first."""
        batch = len(noise.keys)
        person, goal = np.empty(batch, np.int32), np.empty(batch, np.int32)
        texts = np.empty(batch, np.int64)
        arrive(noise.keys, self.tastes.who, self._chances, self._speech, person, goal, texts)
        goals = Goals(*(array[goal] for array in self._bank_goals))
        state = ConversationalState(
            person=person,
            goal=goal,
            num_goals=np.ones(batch, np.int32),
            goals=goals,
            pending=np.full(batch, -1, np.int32),
            satiation=np.zeros((batch, len(self._topics.values)), np.float32),
            satisfaction=np.full(batch, 0.5, np.float32),
            trust=np.ones(batch, np.float32),
            consumed=np.full((batch, self._capacity), -1, np.int32),
            num_consumed=np.zeros(batch, np.int32),
        )
        return state, Instructions(texts, goals)

    def react(self, state: ConversationalState, slates: Ints, noise: Noise) -> tuple[ConversationalState, Reactions]:
        """Returns the users after seeing ``slates``, and what they did."""
        goals = Goals(*(array.copy() for array in _goal_arrays(state.goals)))
        after = ConversationalState(
            person=state.person,
            goal=state.goal.copy(),
            num_goals=state.num_goals.copy(),
            goals=goals,
            pending=state.pending.copy(),
            satiation=state.satiation.copy(),
            satisfaction=state.satisfaction.copy(),
            trust=state.trust.copy(),
            consumed=state.consumed.copy(),
            num_consumed=state.num_consumed.copy(),
        )
        examined, clicked, consumed = (np.zeros(slates.shape, np.bool_) for _ in range(3))
        left = np.empty(len(slates), np.bool_)
        texts = np.empty(len(slates), np.int64)
        react(
            noise.keys,
            noise.turn,
            slates,
            self._constants,
            self._items,
            self.tastes.person_factors,
            self.tastes.past,
            self._turn_limit,
            after.person,
            _goal_arrays(goals),
            after.satiation,
            after.satisfaction,
            after.trust,
            after.consumed,
            after.num_consumed,
            examined,
            clicked,
            consumed,
            left,
        )
        speak(
            noise.keys,
            noise.turn,
            slates,
            self._constants,
            self._items,
            self._speech,
            self._chances,
            self._bank_goals,
            examined,
            clicked,
            after.person,
            after.goal,
            after.num_goals,
            after.pending,
            _goal_arrays(goals),
            texts,
        )
        reactions = Reactions(
            clicked,
            consumed,
            Instructions(texts, goals),
            left,
            examined,
            after.satisfaction,
            after.trust,
            unsuitable=self._breaking(state.person, slates),
        )
        return after, reactions

    def _breaking(self, person: npt.NDArray[np.int32], slates: Ints) -> Bools | None:
        """Returns which positions break a rule of the person's, [batch, slate_size]; None without rules."""
        if self.lives_by is None:
            return None
        broken = np.zeros(slates.shape, np.bool_)
        for rule, unsuitable in enumerate(self._unsuitable):
            broken |= unsuitable[self.lives_by[person, rule, None], slates]
        return broken

    def past(self, state: ConversationalState) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns the visible past, newest last: items padded with -1 and their ratings, [batch, past_length]."""
        return self.tastes.past[state.person], self.tastes.past_ratings[state.person]

    def persons(self, state: ConversationalState) -> npt.NDArray[np.int32]:
        """Returns who each user is, [batch]: sessions of one person belong together when people are resampled."""
        return state.person

    def expected_utility(self, state: ConversationalState) -> Floats:
        """Returns the probability that an examined item is clicked, perceptions at their mean, [batch, num_items]."""
        likes, noise = self._probability(state, enjoyed=False), np.float32(self.behaviour.click_noise)
        return likes + noise * (np.float32(0.5) - likes)

    def expected_enjoyment(self, state: ConversationalState) -> Floats:
        """Returns how much each item would be enjoyed, perceptions at their mean, 0 to 1, [batch, num_items]."""
        return self._probability(state, enjoyed=True)

    def _probability(self, state: ConversationalState, *, enjoyed: bool) -> Floats:
        behaviour, goals = self.behaviour, state.goals
        stars = self.tastes.quality + self.tastes.person_factors[state.person] @ self.tastes.item_factors.T
        odds = (behaviour.enjoyment_per_star if enjoyed else behaviour.click_per_star) * stars
        odds += behaviour.enjoyment_bias if enjoyed else behaviour.click_bias + behaviour.allure * self.tastes.allure
        soft_met = np.zeros_like(odds)
        soft_total = np.zeros((len(odds), 1), np.float32)
        met = satisfied(goals, self.catalogue, np.arange(self.catalogue.num_items))
        for place in range(goals.num_predicates):
            check, mask = goals.check[:, place], goals.mask[:, place]
            chance = np.where(
                met[:, place] != goals.negate[:, place, None],
                1 - behaviour.perceived_miss,
                behaviour.perceived_false_alarm,
            )
            chance = np.where(goals.negate[:, place, None], 1 - chance, chance)
            exact = (check == Check.RANGE) | (check == Check.NOTHING) | ((check == Check.COUNT) & (mask == 0))
            chance = np.where(exact[:, None], met[:, place], chance).astype(np.float32)
            depends = np.flatnonzero(check == Check.GIVEN)
            if len(depends):
                chance[depends] = self._chance_given(take(goals, depends), place)
            weight = goals.weight[:, place, None]
            hard = (goals.hard[:, place] & ~goals.slate_level[:, place])[:, None]
            odds -= np.where(hard, behaviour.hard_violation * weight * (1 - chance), 0)
            soft_met += np.where(hard, 0, weight * chance)
            soft_total += np.where(hard, 0, weight)
        odds += np.where(soft_total > 0, behaviour.soft_match * (soft_met / np.maximum(soft_total, 1e-9) - 0.5), 0)
        topics = self._topics.indicators()
        odds -= behaviour.boredom * (state.satiation @ topics.T) / np.maximum(topics.sum(axis=1), 1)
        for seen in (state.consumed, self.tastes.past[state.person]):
            rows, places = np.nonzero(seen >= 0)
            before = np.zeros(odds.shape, np.bool_)
            before[rows, seen[rows, places]] = True
            odds -= np.where(before, behaviour.seen, 0)
        return np.asarray(1 / (1 + np.exp(-odds)), np.float32)

    def _chance_given(self, goals: Goals, place: int) -> npt.NDArray[np.float32]:
        """Returns how likely each item is perceived to meet the condition at ``place``, or not to be asked by it."""

        def chance(column: Ints, mask: npt.NDArray[np.uint64], low: Floats, high: Floats) -> Floats:
            has = (self.catalogue.masks.T[column] & mask[:, None]) != 0
            perceived = np.where(has, 1 - self.behaviour.perceived_miss, self.behaviour.perceived_false_alarm)
            number = self.catalogue.numbers.T[column]
            return np.where(mask[:, None] == 0, (number >= low[:, None]) & (number <= high[:, None]), perceived)

        of = {name: array[:, place] for name, array in vars(goals).items()}
        asked = chance(of["given_column"], of["given_mask"], of["given_low"], of["given_high"])
        meets = chance(of["column"], of["mask"], of["low"], of["high"])
        meets = np.where(of["negate"][:, None], 1 - meets, meets)
        return np.asarray(1 - asked * (1 - meets), np.float32)


def _items(catalogue: Catalogue, tastes: Tastes, topics: npt.NDArray[np.uint64]) -> Items:
    columns = np.ascontiguousarray(np.sort(catalogue.numbers.T, axis=1))
    return Items(
        masks=catalogue.masks,
        numbers=catalogue.numbers,
        factors=np.ascontiguousarray(tastes.item_factors),
        quality=tastes.quality,
        allure=tastes.allure,
        topics=topics,
        sorted_numbers=columns,
        present=(~np.isnan(columns)).sum(axis=1).astype(np.int32),
        value_counts=_value_counts(catalogue),
    )


def _value_counts(catalogue: Catalogue) -> npt.NDArray[np.int32]:
    """Returns how many items have each value of each attribute, int32 [num_columns, MAX_VALUES]."""
    counts = np.zeros((len(catalogue.columns), MAX_VALUES), np.int32)
    for place, column in enumerate(catalogue.columns.values()):
        for value in range(len(column.values) if column.is_set else 0):
            counts[place, value] = np.count_nonzero(column.masks >> np.uint64(value) & np.uint64(1))
    return counts


def _speech(bank: Bank) -> Speech:
    return Speech(
        bank.opening.start,
        bank.opening.ids,
        bank.restated.start,
        bank.restated.ids,
        bank.reveal.start,
        bank.reveal.ids,
        bank.critique.start,
        bank.critique.ids,
        np.array([critique.column for critique in bank.critiques], np.int8),
        np.array([critique.direction for critique in bank.critiques], np.int8),
        bank.more.ids,
        bank.like.start,
        bank.like.ids,
        np.array([likeness.column for likeness in bank.likenesses], np.int8),
        np.array([likeness.is_set for likeness in bank.likenesses], np.bool_),
        np.array([likeness.unlike for likeness in bank.likenesses], np.bool_),
        bank.reset.start,
        bank.reset.ids,
        bank.changes.first if bank.changes.num else np.zeros(bank.num_goals + 1, np.int32),
        bank.changes.place,
        bank.changes.target,
        bank.changes.relaxes,
        bank.changes.phrases.start,
        bank.changes.phrases.ids,
    )


def _goal_arrays(goals: Goals) -> GoalArrays:
    return GoalArrays(*(getattr(goals, name) for name in GoalArrays._fields))


def goal_chances(
    catalogue: Catalogue, tastes: Tastes, bank: Bank, strength: float, wanted: Bools | None = None
) -> npt.NDArray[np.float32]:
    """Returns how likely each person is to want each goal, cumulated over goals, float32 [num_persons, num_goals].

    A goal's prior is its frequency in the bank; a person's affinity is the mean of what they would give the matching
    items, standardised over persons, so that people ask for what they like. ``wanted`` [num_persons, num_goals] says
    which goals a person may have at all.
    """
    sample = sample_of(catalogue)
    everything, factors = np.arange(len(sample.items)), tastes.item_factors
    if sample.scale > 1:
        factors = factors[sample.items]
    block = max(1, _CELLS // len(sample.items))
    meant = []
    for first in range(0, bank.num_goals, block):
        matching: Bools = allowed(take(bank.goals, slice(first, first + block)), sample.catalogue, everything)
        share = matching / np.maximum(matching.sum(axis=1, keepdims=True), 1)
        meant.append(share.astype(np.float32) @ factors)
    affinity = tastes.person_factors @ np.concatenate(meant).T
    affinity -= affinity.mean(axis=0)
    spread = affinity.std(axis=0)
    affinity = np.where(spread > 0, affinity / np.maximum(spread, 1e-9), 0)
    chances = bank.frequency * np.exp(strength * affinity.astype(np.float64))
    if wanted is not None:
        chances = np.where(wanted, chances, 0)
    cumulative = np.cumsum(chances, axis=1)
    # Exactly 1 from the last goal that is possible on.
    cumulative /= cumulative[:, -1:]
    return np.ascontiguousarray(cumulative, np.float32)

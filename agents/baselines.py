"""Rankers that learn nothing: chance, popularity, retrieval by words and by meaning, and a parser.

Two rules are everybody's. *What was consumed goes last*: `SkipConsumed` puts the visible past and what was clicked in
this session below all else. *Earlier instructions can count*: retrieval adds them to the present one, each weighing
``memory`` times the one after it. The defaults of ``memory`` had the highest return on validation people (of 0, .5, 1):
for similarity all that was said, for BM25 the present instruction alone, since a request that names nothing then falls
back on popularity.

References:
    Robertson and Zaragoza (2009), The probabilistic relevance framework: BM25 and beyond; Lù (2024), BM25S, arXiv
    2407.03618.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from instructrec.agents.stemming import singular
from instructrec.arrays import Bools, Floats, Ints
from instructrec.catalogue import Catalogue
from instructrec.envs.parser import parse
from instructrec.envs.vocabulary import Vocabulary
from instructrec.envs.worlds import spoken_in
from instructrec.goals import RELATIVE, Operator, Predicate, compile_goals, resolved, satisfied
from instructrec.noise import Noise, Purpose
from instructrec.policies import places_of
from instructrec.protocols import InstructionEncoder, Ranker
from instructrec.sessions import Observation, World
from instructrec.texts import Texts

TIE = 1e-3
"""How much the most popular item's popularity may add to a score: it orders what is otherwise equal."""
Number = TypeVar("Number", bound=np.generic)
_HAN = re.compile("[\u3400-\u9fff]")
_WORD = re.compile("[\u3400-\u9fff]+|[^\\W_\u3400-\u9fff]+")


def consumed(observation: Observation, num_items: int) -> Bools:
    """Returns which items each person has consumed as far as agents know, [batch, num_items].

    Those are the visible past and everything clicked in this session.
    """
    known = np.zeros((observation.batch, num_items), np.bool_)
    rows, places = np.nonzero(observation.past >= 0)
    known[rows, observation.past[rows, places]] = True
    rows, turns, positions = np.nonzero(observation.clicked)
    known[rows, observation.slates[rows, turns, positions]] = True
    return known


def at_candidates(observation: Observation, scores: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Returns values of all items, [batch, num_items], as values of the candidates, [batch, num_candidates]."""
    if observation.candidates is None:
        return scores
    return np.take_along_axis(scores, observation.candidates, axis=1)


@dataclass(frozen=True)
class SkipConsumed:
    """Any ranker, with what was consumed below all else: the rule that is the same for every agent.

    Attributes:
        ranker: Whose scores.
        num_items: Items in the catalogue.
    """

    ranker: Ranker
    num_items: int

    def scores(self, observation: Observation) -> Floats:
        """Returns the ranker's scores, minus infinity where consumed, [batch, num_candidates]."""
        scores = np.array(self.ranker.scores(observation), copy=True)
        scores[at_candidates(observation, consumed(observation, self.num_items))] = -np.inf
        return scores


@dataclass(frozen=True)
class Random:
    """Shows any slate with the same probability: the floor of normalised returns. It skips nothing.

    Attributes:
        num_items: Items in the catalogue.
        slate_size: Items per slate.
    """

    num_items: int
    slate_size: int

    def act(self, observation: Observation, noise: Noise) -> Ints:
        """Returns distinct items, uniform over ordered slates, [batch, slate_size]."""
        size = self.num_items if observation.candidates is None else observation.candidates.shape[1]
        luck = noise.uniform(Purpose.POLICY, self.slate_size)
        places = np.empty(luck.shape, np.int64)
        for position in range(self.slate_size):
            # The n-th of those not drawn yet: step over the drawn ones, lowest first.
            place = (luck[:, position] * (size - position)).astype(np.int64)
            for earlier in np.sort(places[:, :position], axis=1).T:
                place += place >= earlier
            places[:, position] = place
        if observation.candidates is None:
            return places
        return np.take_along_axis(observation.candidates, places, axis=1)

    def log_prob(self, observation: Observation, slates: Ints) -> Floats:
        """Returns the log-probability of each position given the ones above it, [batch, slate_size]."""
        places_of(observation, slates)  # Says which item is not a candidate.
        size = self.num_items if observation.candidates is None else observation.candidates.shape[1]
        return np.broadcast_to(-np.log(size - np.arange(self.slate_size)), slates.shape)


@dataclass(frozen=True)
class Popularity:
    """Ranks by how often items were consumed in the data that agents may see; hears nothing."""

    catalogue: Catalogue

    def scores(self, observation: Observation) -> Floats:
        """Returns log(1 + popularity), [batch, num_candidates]."""
        scores = np.log1p(self.catalogue.popularity)
        return at_candidates(observation, np.broadcast_to(scores, (observation.batch, len(scores))))


def popularity_tie(catalogue: Catalogue) -> npt.NDArray[np.float32]:
    """Returns each item's log popularity from 0 to `TIE`, float32 [num_items]: for breaking ties."""
    scores = np.log1p(catalogue.popularity.astype(np.float64))
    return (TIE * scores / max(float(scores.max()), 1e-12)).astype(np.float32)


def instructions_of(observation: Observation) -> Ints:
    """Returns all that each session said, newest first, int64 [batch, turn_limit + 1], padded with -1."""
    batch, limit = observation.said.shape
    heard = np.full((batch, limit + 1), -1, np.int64)
    heard[:, 0] = observation.instruction
    for back in range(1, limit + 1):
        at = observation.turn - back
        heard[:, back] = np.where(at >= 0, observation.said[np.arange(batch), np.maximum(at, 0)], -1)
    return heard


class TextMemory:
    """One vector per text id, made when a text is first met; the least recently used go first.

    Where ids are of another table, all go: the same ranker may meet training people and others.

    Args:
        make: From texts to their vectors, [num_texts, width].
        capacity: How many to keep.
    """

    def __init__(self, make: Callable[[list[str]], npt.NDArray[np.float32]], capacity: int = 4096) -> None:
        self._make, self._capacity = make, capacity
        self._known: OrderedDict[int, npt.NDArray[np.float32]] = OrderedDict()
        self._texts: Texts | None = None

    def of(self, observation: Observation, ids: Ints) -> npt.NDArray[np.float32]:
        """Returns the vectors of distinct text ids, float32 [num_ids, width]."""
        if observation.texts is not self._texts:
            self._known.clear()
            self._texts = observation.texts
        new = [int(text) for text in ids if int(text) not in self._known]
        if new:
            for text, vector in zip(new, self._make(observation.texts.strings(np.array(new))), strict=True):
                self._known[text] = vector
        vectors = np.stack([self._known[int(text)] for text in ids])
        for text in ids:
            self._known.move_to_end(int(text))
        while len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return vectors


def remembered(observation: Observation, memory: float, vectors: TextMemory) -> npt.NDArray[np.float32]:
    """Returns the weighted sum of the vectors of all that was said, float32 [batch, width].

    The newest instruction weighs 1, each earlier one ``memory`` times the one after it; silence adds nothing.
    """
    heard = instructions_of(observation)
    weights = np.where(heard > 0, np.float32(memory) ** np.arange(heard.shape[1], dtype=np.float32), 0).astype(
        np.float32
    )
    ids, places = np.unique(np.where(weights > 0, heard, 0), return_inverse=True)
    mixed = np.zeros((observation.batch, len(ids)), np.float32)
    np.add.at(mixed, (np.arange(observation.batch)[:, None], places.reshape(heard.shape)), weights)
    mixed[:, ids == 0] = 0.0
    return mixed @ vectors.of(observation, ids)


class BM25:
    """Ranks by the words that an item's text shares with what was said; ties go to the more popular.

    Words are lower case, without plural endings; English function words do not count.

    Args:
        catalogue: The items; their texts are searched.
        memory: How much an earlier instruction weighs beside the one after it, 0 to 1.
    """

    def __init__(self, catalogue: Catalogue, *, memory: float = 0.0) -> None:
        self.catalogue, self.memory = catalogue, memory
        self._tie = popularity_tie(catalogue)
        self._texts = TextMemory(self._search, capacity=2048)

    @cached_property
    def _index(self) -> Any:
        # Imported when first needed: it brings scipy and a progress bar along.
        import bm25s

        index = bm25s.BM25()
        index.index([words(text) or [""] for text in self.catalogue.texts], show_progress=False)
        return index

    def _search(self, texts: list[str]) -> npt.NDArray[np.float32]:
        found = np.zeros((len(texts), self.catalogue.num_items), np.float32)
        for row, text in enumerate(texts):
            known = [word for word in words(text) if word in self._index.vocab_dict]
            if known:
                found[row] = self._index.get_scores(known)
        return found

    def scores(self, observation: Observation) -> Floats:
        """Returns BM25 scores, [batch, num_candidates]."""
        return at_candidates(observation, remembered(observation, self.memory, self._texts) + self._tie)


def words(text: str) -> list[str]:
    """Returns the words of a text as `BM25` compares them; of Chinese, which has no blanks, every two signs."""
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        if _HAN.match(word):
            found += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        elif word not in _SKIPPED:
            found.append(singular(word))
    return found


_FUNCTION_WORDS = (
    "a about all an and any are as at be been but by can could did do does don for from get give got had has "
    "have he her him his how i if in into is it its just let like ll m me more my need no nor not of on one "
    "ones or our out please re s see she should show so some something such t that the their them then there "
    "these they things this to tonight us ve want was watch we were what when where which while who will with "
    "would you your film films movie movies"
)
_SKIPPED = frozenset(_FUNCTION_WORDS.split())


class Cosine:
    """Ranks by similarity of meaning: the language model's cosine of what was said with each item's text.

    Args:
        catalogue: The items; their texts are encoded once.
        encoder: The language model.
        memory: How much an earlier instruction weighs beside the one after it, 0 to 1.
    """

    def __init__(self, catalogue: Catalogue, encoder: InstructionEncoder, *, memory: float = 1.0) -> None:
        self.catalogue, self.encoder, self.memory = catalogue, encoder, memory
        self._tie = popularity_tie(catalogue)
        self._texts = TextMemory(lambda texts: _unit(encoder.encode(texts)))

    @cached_property
    def vectors(self) -> npt.NDArray[np.float32]:
        """Vectors of the items, float32 [width, num_items]."""
        return np.ascontiguousarray(_unit(self.encoder.encode(list(self.catalogue.texts))).T)

    def encode(self, observation: Observation) -> npt.NDArray[np.float32]:
        """Returns the direction of all that was said, of length 1 or, in silence, 0, float32 [batch, width]."""
        return _unit(remembered(observation, self.memory, self._texts))

    def scores(self, observation: Observation) -> Floats:
        """Returns cosines, [batch, num_candidates]; ties go to the more popular."""
        return at_candidates(observation, self.encode(observation) @ self.vectors + self._tie)


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)


class ParserRanker:
    """Ranks by the share of the parsed conditions that an item meets, then by popularity.

    What it remembers of a session: conditions stay until the same attribute is asked for anew (exclusions until their
    values are), and a critique, which speaks of the item at a position of the slate before it, until the next. A text
    that begins as changes of mind do ("actually, ...", "forget what I said, ...") starts over.

    Args:
        catalogue: The items.
        vocabulary: The words to know.
    """

    def __init__(self, catalogue: Catalogue, vocabulary: Vocabulary) -> None:
        self.catalogue, self.vocabulary = catalogue, vocabulary.within(catalogue)
        self._tie = popularity_tie(catalogue)
        self._parsed: OrderedDict[int, tuple[tuple[Predicate, ...], bool]] = OrderedDict()
        self._texts: Texts | None = None
        self._begun: OrderedDict[int, list[tuple[np.float32, Bools]]] = OrderedDict()
        self._met: OrderedDict[Predicate, Bools] = OrderedDict()
        self._resets = tuple(cue.strip().lower() for cue in self.vocabulary.resets)

    def scores(self, observation: Observation) -> Floats:
        """Returns the met share of the weight of what was understood, [batch, num_candidates]; 0 if nothing was."""
        candidates = observation.candidates
        scores = np.repeat(self._tie[None], observation.batch, axis=0) if candidates is None else self._tie[candidates]
        weighed = [self._weighed(observation, row) for row in range(observation.batch)]
        masks = {id(met): met for conditions in weighed for _, met in conditions}
        place_of = {key: place for place, key in enumerate(masks)}
        met = np.stack([*masks.values()]) if masks else np.empty((0, self.catalogue.num_items), np.bool_)
        # All first conditions at once, then all second ones: each row's shares are added in their own order.
        for nth in range(max(map(len, weighed), default=0)):
            rows = np.array([row for row, conditions in enumerate(weighed) if len(conditions) > nth])
            shares = np.array([weighed[row][nth][0] for row in rows], np.float32)
            places = np.array([place_of[id(weighed[row][nth][1])] for row in rows])
            scores[rows] += shares[:, None] * (
                met[places] if candidates is None else met[places[:, None], candidates[rows]]
            )
        return scores

    def _weighed(self, observation: Observation, row: int) -> list[tuple[np.float32, Bools]]:
        """Returns the conditions of one session: the share of the weight that each has, and which items meet it."""
        first = int(observation.instruction[row]) if observation.turn[row] == 0 else -1
        self._forget_other_tables(observation)
        if first in self._begun:
            return self._begun[first]
        conditions = self.understood(observation, row)
        total = sum(condition.weight for condition in conditions)
        weighed = [(np.float32(one.weight / total), self.matches(one)) for one in conditions]
        if first >= 0:  # One text alone: it says the same whoever begins with it.
            self._begun[first] = weighed
            if len(self._begun) > _TEXTS:
                self._begun.popitem(last=False)
        return weighed

    def understood(self, observation: Observation, row: int) -> list[Predicate]:
        """Returns the conditions that one session's words add up to, critiques resolved to bounds."""
        turn = int(observation.turn[row])
        heard = [*observation.said[row, :turn], observation.instruction[row]]
        conditions: list[Predicate] = []
        for at, text in enumerate(heard):
            predicates, fresh = self._parse(observation, int(text))
            if fresh:
                conditions = []
            slate = observation.slates[row, at - 1] if at else np.empty(0, np.int32)
            asked = [plain for p in predicates if (plain := self._resolved(p, slate, conditions)) is not None]
            conditions = [old for old in conditions if not any(_replaces(new, old) for new in asked)] + asked
        return conditions

    def _forget_other_tables(self, observation: Observation) -> None:
        if observation.texts is not self._texts:
            # Ids of another table are other texts: the same ranker may meet training people and others.
            self._parsed.clear()
            self._begun.clear()
            self._texts = observation.texts

    def _parse(self, observation: Observation, text: int) -> tuple[tuple[Predicate, ...], bool]:
        self._forget_other_tables(observation)
        if text not in self._parsed:
            words_said = observation.texts.strings(np.array([text]))[0]
            understood = parse(words_said, self.vocabulary)
            fresh = understood.fresh or (bool(self._resets) and words_said.lower().startswith(self._resets))
            self._parsed[text] = (understood.predicates, fresh)
            if len(self._parsed) > _TEXTS:
                self._parsed.popitem(last=False)
        return self._parsed[text]

    def _resolved(self, predicate: Predicate, slate: Ints, known: Sequence[Predicate]) -> Predicate | None:
        """Returns what is relative to a shown item as a plain condition, None if there is no item; others unchanged."""
        if predicate.operator not in RELATIVE:
            return predicate
        if predicate.position > len(slate):
            return None
        return resolved(predicate, self.catalogue, int(slate[predicate.position - 1]), known)

    def matches(self, condition: Predicate) -> Bools:
        """Returns which items meet a condition, [num_items]."""
        if condition not in self._met:
            goals = compile_goals([[condition]], self.catalogue)
            met = satisfied(goals, self.catalogue, np.arange(self.catalogue.num_items))
            self._met[condition] = met[0, 0]
            if len(self._met) > _CONDITIONS:
                self._met.popitem(last=False)
        return self._met[condition]


_TEXTS, _CONDITIONS = 16_384, 4_096  # How many are remembered.


def _replaces(new: Predicate, old: Predicate) -> bool:
    """Whether a condition takes the place of an earlier one: the same attribute, asked for anew."""
    if new.field != old.field or new.given != old.given or bool(new.least) != bool(old.least):
        return False
    if Operator.EXCLUDE in (new.operator, old.operator):
        # Exclusions add up; saying that one wants what was excluded (or the reverse) takes it back.
        return new == old or (new.operator != old.operator and bool(set(new.values) & set(old.values)))
    return True


def baselines(world: World, encoder: InstructionEncoder | None = None) -> dict[str, Any]:
    """Returns the competitors that learn nothing, by name; ``cosine`` only where there is an encoder."""
    catalogue = world.catalogue
    rankers: dict[str, Ranker] = {
        "popularity": Popularity(catalogue),
        "bm25": BM25(catalogue),
        "parser": ParserRanker(catalogue, spoken_in(world)),
    }
    if encoder is not None:
        rankers["cosine"] = Cosine(catalogue, encoder)
    return {
        "random": Random(catalogue.num_items, world.slate_size),
        **{name: SkipConsumed(ranker, catalogue.num_items) for name, ranker in rankers.items()},
    }

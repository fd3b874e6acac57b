"""Edited instructions: what an agent is given to hear instead of what a person said. The person's goal stays.

``removed``: nothing. ``paraphrased``: other words for the same. ``contradicted``: the opposite of what was asked, "no
horror" for "horror". ``swapped``: what another person said in the same turn of their own session. Each edit speaks of
one utterance, and earlier utterances are heard as they were edited then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Ints, take
from instructrec.catalogue import Catalogue
from instructrec.envs.bank import Bank, Critique
from instructrec.envs.grammar import clause, criticise, realise
from instructrec.envs.lexicon import words_of
from instructrec.envs.vocabulary import Sense, Speech, Term, Vocabulary
from instructrec.envs.worlds import spoken_in
from instructrec.experiments.evaluation import Episodes
from instructrec.goals import Check, Goals, Operator, Predicate, Reveal
from instructrec.names import unknown_name
from instructrec.sessions import Instructions, Observation, Sessions, SessionState, World, start
from instructrec.splits import Splits
from instructrec.texts import free_text_id

EDITS = {
    "removed": "the agent hears nothing",
    "paraphrased": "the agent hears other words for the same",
    "contradicted": "the agent hears the opposite of what was asked",
    "swapped": "the agent hears what another person said in that turn",
}
"""The edits, and what each does."""

Words = Callable[[SessionState], npt.NDArray[np.int64]]
"""Says which text ids agents hear instead of those just said, [batch]."""

_DRAWS = 24
"""How many sentences are tried for one that differs from what was said."""
_CORPUS, _CORPUS_SEED = 1000, 7_919
"""How many other people are listened to for paraphrases where there is no bank of instructions."""


class Hearing:
    """Gives an agent edited words, now and for what was said before; built anew for every evaluation.

    Args:
        words: The edit.
        sessions: Every session that will be played.
        turn_limit: Slates per session at most.
    """

    def __init__(self, words: Words, sessions: Sessions, turn_limit: int) -> None:
        self._words = words
        self._order = np.argsort(sessions.keys)
        self._keys = sessions.keys[self._order]
        self._heard = np.full((len(sessions.keys), turn_limit), -1, np.int64)
        self.examples: dict[int, int] = {}
        """What was heard instead, by what was said: text ids of first instructions."""
        self.turns = self.edited = 0

    def __call__(self, observation: Observation, state: SessionState) -> Observation:
        """Returns the observation with edited words."""
        rows = self._order[np.searchsorted(self._keys, state.sessions.keys)]
        heard = self._words(state)
        self.turns += len(rows)
        self.edited += int((heard != observation.instruction).sum())
        if int(state.turn[0]) == 0:
            self.examples |= dict(zip(observation.instruction.tolist(), heard.tolist(), strict=True))
        said = np.where(observation.said >= 0, self._heard[rows], -1)
        self._heard[rows, state.turn] = heard
        return observation.saying(heard, said)


def check_edit(name: str, world: World, sessions: Sessions) -> None:
    """Raises a ValueError where an edit makes no sense.

    That is: it is none of `EDITS`, nobody says anything, the goals that it needs are not known, or there is nobody to
    swap words with.
    """
    if name not in EDITS:
        raise ValueError(unknown_name("edit", name, EDITS))
    said = start(world, sessions).instructions
    if not any(world.population.texts.strings(np.unique(said.texts))):
        raise ValueError(f"nobody in {world.name} says anything, so there is nothing to edit; compare with --against")
    if name in ("paraphrased", "contradicted") and said.goals is None:
        raise ValueError(
            f"an instruction can be {name} only where its goal is known, and those of {world.name} have none; "
            "use --edit removed or --edit swapped"
        )
    if name == "swapped" and len(said.texts) < 2:
        raise ValueError("words are swapped between people, and only one comes; give more with --people")


def words_of_edit(name: str, world: World, original: Episodes, splits: Splits) -> Words:
    """Returns an edit that `check_edit` allows.

    Args:
        name: One of `EDITS`.
        world: Where it is heard.
        original: What the same people did and said with the agent hearing them.
        splits: Whose sentences new words are written in.
    """
    if name == "removed":
        return lambda state: np.zeros_like(state.instructions.texts)
    if name == "swapped":
        return _swapped(original)
    writer = Writer(world, splits, opposite=name == "contradicted")
    bank = getattr(world.population, "bank", None)
    return _by_text(world, writer, bank) if isinstance(bank, Bank) else _by_goal(world, writer)


def _swapped(original: Episodes) -> Words:
    """Everybody is heard as the next different person of the batch, who at the end repeats their last words."""
    size, person = len(original.person), original.person
    partner = (np.arange(size) + 1) % size
    # Where all sessions are one person's, the next session has to do.
    while (person != person[0]).any() and (same := person[partner] == person).any():
        partner[same] = (partner[same] + 1) % size
    order = np.argsort(original.sessions.keys)
    keys = original.sessions.keys[order]

    def words(state: SessionState) -> npt.NDArray[np.int64]:
        other = partner[order[np.searchsorted(keys, state.sessions.keys)]]
        return original.instruction[other, np.minimum(state.turn, original.length[other] - 1)]

    return words


# --- Other words for a meaning, and the opposite of a meaning --------------------------------------------------------


@dataclass(frozen=True)
class _Meaning:
    """What one utterance says: predicates, or a critique of the item shown at a position, or nothing of its own."""

    family: str
    predicates: tuple[Predicate, ...] = ()
    critique: Critique | None = None
    position: int = 0


def opposites(predicate: Predicate, words: Vocabulary) -> Iterator[Predicate]:
    """Yields predicates that ask for the opposite, the plainest first; none where no words may say it.

    What is asked for is excluded and the reverse; a bound turns round; a range gives way to what lies before or after
    it; of a superlative or wish ("popular") the vocabulary may know the other end ("obscure").
    """
    p, turned = predicate, replace(predicate, reveal=Reveal.VOLUNTEERED)
    measure = words.measure_of.get(p.field)
    if p.operator in (Operator.INCLUDE, Operator.SHARE):
        yield Predicate(field=p.field, operator=Operator.EXCLUDE, values=p.values)
    elif p.operator is Operator.EXCLUDE:
        yield replace(turned, operator=Operator.INCLUDE)
    elif p.operator in (Operator.HIGHEST, Operator.LOWEST):
        other = Operator.LOWEST if p.operator is Operator.HIGHEST else Operator.HIGHEST
        known = [sense.predicate for sense in words.senses if sense.predicate.field == p.field]
        # "the newest" has its own opposite, "the oldest"; a share of its own ("popular", "obscure") comes second.
        yield from sorted((k for k in known if k.operator is other), key=lambda k: abs(k.share - p.share))
    elif measure is not None:
        if p.operator is not Operator.AT_MOST:
            yield Predicate(field=p.field, operator=Operator.AT_MOST, high=p.low - measure.step)
        if p.operator is not Operator.AT_LEAST:
            yield Predicate(field=p.field, operator=Operator.AT_LEAST, low=p.high + measure.step)


def words_in(world: World) -> Vocabulary:
    """Returns words for a world: those of its people, or of films as far as they fit; values without any by name."""
    catalogue = world.catalogue
    words = spoken_in(world).within(catalogue)
    own = [
        Sense(predicate, (Term(value.lower(), Speech.MASS),))
        for column in catalogue.columns.values()
        if column.is_set
        for value in column.values
        if words.sense_of(predicate := Predicate(field=column.name, operator=Operator.INCLUDE, values=(value,))) is None
    ]
    things = (("thing", "things"), ("one", "ones"))
    return replace(words, senses=(*words.senses, *own), heads=things if own else words.heads)


class Writer:
    """Writes what agents hear instead of an utterance: the same in other words, or its opposite."""

    def __init__(self, world: World, splits: Splits, *, opposite: bool = False) -> None:
        self._opposite = opposite
        self._words = words_in(world).restricted(splits.templates, splits.synonyms)

    def write(self, meaning: _Meaning, said: str, known: Sequence[str] = ()) -> str:
        """Returns other words for a meaning, or for its opposite; ``said`` itself where there are none.

        Args:
            meaning: What was said.
            said: How it was said; new sentences are drawn from it, so that they do not hang on the order of calls.
            known: Other ways of saying it that the world has; where there are any, none is made up.
        """
        rng = np.random.default_rng([free_text_id(said), self._opposite])
        if self._opposite:
            written = (self._contradict(meaning, rng) for _ in range(_DRAWS))
            return next((text for text in written if text), said)
        others = [text for text in known if text != said]
        others = others or [text for _ in range(_DRAWS) if (text := self._repeat(meaning, rng)) not in ("", said)]
        return min(others, key=lambda text: _shared(text, said), default=said)

    def _repeat(self, meaning: _Meaning, rng: np.random.Generator) -> str:
        if meaning.critique is not None:
            return self._criticise(meaning.critique, meaning.critique.direction, meaning.position, rng)
        return self.realise(meaning.predicates, meaning.family, rng)

    def _contradict(self, meaning: _Meaning, rng: np.random.Generator) -> str:
        if meaning.critique is not None:
            return self._criticise(meaning.critique, -meaning.critique.direction, meaning.position, rng)
        turned = [self.turned(predicate, rng) for predicate in meaning.predicates]
        if all(opposite is None for opposite in turned):
            return ""
        asked = [other or predicate for other, predicate in zip(turned, meaning.predicates, strict=True)]
        return self.realise(asked, "opening" if meaning.family == "vague" else meaning.family, rng)

    def _criticise(self, critique: Critique, direction: int, position: int, rng: np.random.Generator) -> str:
        for more in self._words.comparatives:
            if (more.field, more.direction) == (critique.field, direction):
                return criticise(more, position, self._words, rng)
        return ""

    def turned(self, predicate: Predicate, rng: np.random.Generator) -> Predicate | None:
        """Returns the first opposite that the vocabulary can say."""
        for other in opposites(predicate, self._words):
            try:
                clause(self._words, rng, other)
            except ValueError:
                continue
            return other
        return None

    def realise(self, predicates: Sequence[Predicate], family: str, rng: np.random.Generator) -> str:
        """Returns a sentence of a family that says predicates; nothing where there are no words for them."""
        try:
            return realise(predicates, self._words, rng, family=family)
        except ValueError:  # The vocabulary has no words for it.
            return ""


def _shared(text: str, other: str) -> float:
    """Returns the share of their different words that two texts have in common, 0 to 1."""
    one, two = set(words_of(text)), set(words_of(other))
    return len(one & two) / max(len(one | two), 1)


# --- What was said: by its text where a bank tells, else by the goal -------------------------------------------------


def _by_text(world: World, writer: Writer, bank: Bank) -> Words:
    """Every text of a bank stands in a group of texts that mean the same, and is edited once."""
    meant: dict[int, tuple[_Meaning, Ints]] = {}
    for meaning, group in _meanings(bank, world.slate_size):
        for text in group.tolist():
            meant.setdefault(text, (meaning, group))
    table: dict[int, int] = {}

    def edited(text: int) -> int:
        if text not in table:
            said = world.population.texts.strings(np.array([text]))[0]
            meaning, group = meant.get(text, (_Meaning("more"), np.empty(0, np.int32)))
            heard = writer.write(meaning, said, bank.texts_of(group)) if text in meant else said
            table[text] = int(world.population.texts.ids([heard])[0])
        return table[text]

    return lambda state: np.array([edited(text) for text in state.instructions.texts.tolist()], np.int64)


def _meanings(bank: Bank, slate_size: int) -> Iterator[tuple[_Meaning, Ints]]:
    """Yields every group of texts with what its texts say."""
    places = bank.goals.num_predicates
    for goal, predicates in enumerate(bank.predicates):
        volunteered = tuple(p for p in predicates if p.reveal is Reveal.VOLUNTEERED)
        spoken = tuple(p for p in predicates if p.reveal is not Reveal.NEVER)
        vague = "vague" if bank.intention[goal] == "vague" else "opening"
        yield _Meaning(vague if volunteered else "implicit", volunteered), bank.opening.group(goal)
        yield _Meaning("restated" if spoken else "implicit", spoken), bank.restated.group(goal)
        for place, predicate in enumerate(predicates):
            yield _Meaning("reveal", (predicate,)), bank.reveal.group(goal * places + place)
    for kind, critique in enumerate(bank.critiques):
        for position in range(slate_size):
            yield _Meaning("critique", (), critique, position + 1), bank.critique.group(kind * slate_size + position)
    yield _Meaning("more"), bank.more.group(0)


def _by_goal(world: World, writer: Writer) -> Words:
    """Without a bank an utterance is taken to say all that its goal holds and has been said so far."""
    corpus: dict[tuple[Predicate, ...], list[str]] = defaultdict(list)
    strings = world.population.texts.strings
    others = start(world, Sessions.first(_CORPUS_SEED, _CORPUS)).instructions
    for meaning, text in zip(_said(others, world.catalogue), strings(others.texts), strict=True):
        if text not in corpus[meaning]:
            corpus[meaning].append(text)
    table: dict[tuple[tuple[Predicate, ...], str], int] = {}

    def edited(meaning: tuple[Predicate, ...], said: str) -> int:
        if (meaning, said) not in table:
            family = "opening" if meaning else "implicit"
            heard = writer.write(_Meaning(family, meaning), said, corpus.get(meaning, ()))
            table[meaning, said] = int(world.population.texts.ids([heard])[0])
        return table[meaning, said]

    def words(state: SessionState) -> npt.NDArray[np.int64]:
        meanings = _said(state.instructions, world.catalogue)
        told = zip(meanings, strings(state.instructions.texts), strict=True)
        return np.array([edited(meaning, text) for meaning, text in told], np.int64)

    return words


def _said(instructions: Instructions, catalogue: Catalogue) -> list[tuple[Predicate, ...]]:
    """Returns what was said, as predicates, per person."""
    if instructions.goals is None:
        return [()] * len(instructions.texts)
    goals = instructions.goals
    return [predicates_of(take(goals, np.array([row])), catalogue) for row in range(len(goals.check))]


def predicates_of(goals: Goals, catalogue: Catalogue) -> tuple[Predicate, ...]:
    """Returns the said predicates of one compiled goal, [1, num_predicates]: `compile_goals` turned round.

    Superlatives and critiques were compiled into bounds and stay bounds.
    """
    names = list(catalogue.columns)
    found = []
    for place in np.flatnonzero((goals.check[0] != Check.NOTHING) & goals.said[0]):
        field, check = names[int(goals.column[0, place])], Check(int(goals.check[0, place]))
        hard, weight = bool(goals.hard[0, place]), float(goals.weight[0, place])
        if check is Check.RANGE:
            low, high = float(goals.low[0, place]), float(goals.high[0, place])
            operator = Operator.BETWEEN if np.isfinite(low) and np.isfinite(high) else Operator.AT_LEAST
            operator = operator if np.isfinite(low) else Operator.AT_MOST
            found.append(Predicate(field=field, operator=operator, low=low, high=high, hard=hard, weight=weight))
            continue
        mask = int(goals.mask[0, place])
        values = tuple(value for bit, value in enumerate(catalogue.column(field).values) if mask >> bit & 1)
        operator = Operator.EXCLUDE if goals.negate[0, place] else Operator.INCLUDE
        operator = Operator.SHARE if check is Check.SHARE else operator
        share = float(goals.share[0, place])
        found.append(Predicate(field=field, operator=operator, values=values, share=share, hard=hard, weight=weight))
    return tuple(found)

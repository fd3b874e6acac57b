"""How a language's words for a catalogue are written down: terms, senses, frames and templates, as data.

A *sense* is one meaning (a predicate) with its *terms*, the words for it. A *frame* is a phrase with slots, such as
"released before {before}" or "no {stuff}", that turns a predicate into words. A *template* is a sentence with slots for
what is asked. The grammar reads them forwards, the parser backwards, so that neither knows a word the other does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from instructrec.catalogue import Catalogue
from instructrec.goals import Operator, Predicate
from instructrec.splits import Split, split_group

if TYPE_CHECKING:
    from instructrec.envs.tongue import Tongue

_LARGE_GROUP = 5
SLOT = re.compile(r"\{(\w+)\}")


class Speech(StrEnum):
    """How a term behaves in a sentence."""

    ADJECTIVE = "adjective"
    """Before the head, or after "something": "scary"."""
    NOUN = "noun"
    """Can be the head and has a plural: "thriller"."""
    MASS = "mass"
    """Before the head, or alone after "no": "horror"."""
    KIND = "kind"
    """Before the head only: "kids"."""
    AFTER = "after"
    """After the head: "for the little ones"."""
    PERIOD = "period"
    """Before the head, or in "from the ...": "90s"."""
    SUPERLATIVE = "superlative"
    """Before the head, with "the": "best rated"."""


PLAIN = (Speech.ADJECTIVE, Speech.NOUN, Speech.MASS, Speech.KIND)
"""Terms that stand before the head or are it: those that "no", "or" and "mostly" go with."""


class Role(StrEnum):
    """Where a frame stands."""

    BEFORE = "before"
    AFTER = "after"
    CLAUSE = "clause"


@dataclass(frozen=True)
class Term:
    """One word, or a few, for a meaning."""

    text: str
    speech: Speech
    plural: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """Every form of it."""
        return (self.text, self.plural) if self.plural else (self.text,)


@dataclass(frozen=True)
class Sense:
    """A meaning and its terms."""

    predicate: Predicate
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Frame:
    """A phrase with slots that says a predicate.

    Slots: ``stuff`` (a term and what it applies to: "scary movies"), ``adjective``, ``one`` ("a scary movie"),
    ``after``, ``period``, ``superlative`` take terms; ``low``, ``high``, ``exact`` take the predicate's bounds,
    ``beyond`` the number below an at_least bound ("after 1999" is 2000 on), ``before`` the number above an at_most
    bound, ``span`` and ``decades`` the time from an at_least bound until now. A frame without an operator asks for
    what its term means; one without a field fits every attribute.
    """

    text: str
    role: Role
    operator: Operator | None = None
    field: str = ""

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of its slots, in order."""
        return tuple(SLOT.findall(self.text))


@dataclass(frozen=True)
class Measure:
    """What numbers of an attribute look like in sentences.

    Attributes:
        field: The attribute.
        step: The distance between neighbouring values: "before 1980" is 1979 or less.
        round_to: Bounds are said only where the number said is a multiple of this.
        lowest: The smallest number that is understood as one.
        highest: The largest.
        now: Where "the last ten years" ends, for attributes that are times.
    """

    field: str
    step: float
    round_to: float
    lowest: float
    highest: float
    now: float | None = None


@dataclass(frozen=True)
class Portion:
    """A share of the slate and its frames, each with the slot ``stuff``."""

    share: float
    frames: tuple[str, ...]


@dataclass(frozen=True)
class Comparative:
    """A direction of critique and its words: newer, less known."""

    name: str
    field: str
    direction: int
    terms: tuple[str, ...]


@dataclass(frozen=True)
class Pool:
    """Predicates that answer one part of a request, drawn with probability ``share`` of the part.

    Attributes:
        share: How often, beside the part's other pools.
        predicates: Any of them, evenly; none where the part asks for nothing then.
        held_back: How often they are said only when broken; as for other predicates when None.
    """

    share: float
    predicates: tuple[Predicate, ...]
    held_back: float | None = None


@dataclass(frozen=True)
class RequestKind:
    """A kind of request: which parts it has, and how often people make it."""

    name: str
    share: float
    parts: tuple[str, ...]
    intention: str = "specific"


def key_of(predicate: Predicate) -> tuple[object, ...]:
    """Returns what a predicate means, without how much it matters or when it is said."""
    p = predicate
    return (p.field, str(p.operator), tuple(sorted(p.values)), float(p.low), float(p.high), float(p.share), p.position)


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """Everything a language has to say about a catalogue; compared by identity, so that what is compiled from it keeps.

    Attributes:
        name: Its name.
        tongue: How the language puts words together.
        senses: Meanings with their terms.
        frames: Phrases for bounds, exclusions and clauses.
        measures: The number attributes.
        portions: Shares of a slate.
        comparatives: Directions of critique.
        heads: Words for an item itself, (singular, plural).
        measure_words: What nouns are counted with, by noun, in languages that have such words.
        templates: Sentences by family: opening, vague, implicit, restated, reveal, critique, more.
        polite: (before, after) courtesies.
        resets: Cues that a new request starts.
        pools: Where the predicates of each part of a request come from, besides set attributes' own values.
        requests: The kinds of request.
        rules: Parts that every request has, whatever its kind: what must never be shown to the person.
    """

    name: str
    tongue: Tongue
    senses: tuple[Sense, ...]
    frames: tuple[Frame, ...]
    measures: tuple[Measure, ...]
    portions: tuple[Portion, ...]
    comparatives: tuple[Comparative, ...]
    heads: tuple[tuple[str, str], ...]
    templates: Mapping[str, tuple[str, ...]] = field(repr=False)
    polite: tuple[tuple[str, ...], tuple[str, ...]]
    resets: tuple[str, ...]
    pools: Mapping[str, tuple[Pool, ...]] = field(repr=False)
    requests: tuple[RequestKind, ...] = field(repr=False)
    rules: tuple[str, ...] = ()
    measure_words: Mapping[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def by_key(self) -> Mapping[tuple[object, ...], Sense]:
        """The senses by what they mean."""
        return {key_of(sense.predicate): sense for sense in self.senses}

    def measure_word(self, noun: str) -> str:
        """Returns what a noun is counted with; the first head's measure word if it has none of its own."""
        return self.measure_words.get(noun, self.measure_words.get(self.heads[0][0], ""))

    @cached_property
    def measure_of(self) -> Mapping[str, Measure]:
        """The measures by attribute."""
        return {measure.field: measure for measure in self.measures}

    def sense_of(self, predicate: Predicate) -> Sense | None:
        """Returns the sense that means exactly this predicate, if there is one."""
        return self.by_key.get(key_of(predicate))

    def sense_of_value(self, attribute: str, value: str) -> Sense:
        """Returns the sense of a set attribute's value.

        Raises:
            ValueError: If the vocabulary has no word for it.
        """
        sense = self.sense_of(Predicate(field=attribute, operator=Operator.INCLUDE, values=(value,)))
        if sense is None:
            raise ValueError(f"vocabulary {self.name!r} has no word for {attribute} {value!r}; add a Sense for it")
        return sense

    def within(self, catalogue: Catalogue) -> Vocabulary:
        """Returns the part of the vocabulary that speaks of this catalogue's attributes and values."""

        def spoken(predicate: Predicate) -> bool:
            column = catalogue.columns.get(predicate.field)
            return column is not None and set(predicate.values) <= set(column.values)

        pools = {
            part: kept
            for part, all_pools in self.pools.items()
            if (kept := tuple(pool for pool in all_pools if all(spoken(p) for p in pool.predicates)))
        }
        return replace(
            self,
            senses=tuple(sense for sense in self.senses if spoken(sense.predicate)),
            measures=tuple(measure for measure in self.measures if measure.field in catalogue.columns),
            frames=tuple(frame for frame in self.frames if not frame.field or frame.field in catalogue.columns),
            comparatives=tuple(more for more in self.comparatives if more.field in catalogue.columns),
            pools=pools,
        )

    def restricted(self, templates: Iterable[Split], synonyms: Iterable[Split]) -> Vocabulary:
        """Returns the vocabulary with only the templates and frames, and the terms, of these splits.

        Alternatives are split within their group (the terms of one sense, the frames that say one thing in one place),
        so every meaning can be said in every split, and the most ordinary one (two of a large group), which stands
        first, in training. Heads, courtesies and cues are everybody's, and so are the words of a meaning that has too
        few to go round.
        """
        shapes, words = set(templates), set(synonyms)

        def kept(
            axis: str, names: Iterable[str], wanted: set[Split], *, ordinary: tuple[int, int] = (1, 2)
        ) -> tuple[str, ...]:
            alternatives = list(names)
            first = ordinary[len(alternatives) >= _LARGE_GROUP]
            splits = split_group(axis, alternatives, for_training=first)
            return tuple(name for name, split in splits.items() if split in wanted)

        groups: dict[tuple[object, ...], list[Frame]] = {}
        for frame in self.frames:
            groups.setdefault((frame.operator, frame.field, frame.role, frame.slots), []).append(frame)
        frames: list[Frame] = []
        for group in groups.values():
            texts = kept("templates", (frame.text for frame in group), shapes)
            frames += [frame for frame in group if frame.text in texts]
        senses: list[Sense] = []
        for sense in self.senses:
            # Terms after the head cannot stand in every phrase, so they are split apart from those that can.
            plain = kept("synonyms", (t.text for t in sense.terms if t.speech is not Speech.AFTER), words)
            after = kept("synonyms", (t.text for t in sense.terms if t.speech is Speech.AFTER), words)
            terms = tuple(term for term in sense.terms if term.text in plain + after)
            if not any(term.speech in PLAIN for term in terms):
                terms += tuple(term for term in sense.terms if term.speech in PLAIN)
            senses.append(replace(sense, terms=terms or sense.terms))
        return replace(
            self,
            frames=tuple(frames),
            senses=tuple(senses),
            portions=tuple(replace(p, frames=kept("templates", p.frames, shapes)) for p in self.portions),
            comparatives=tuple(
                replace(c, terms=kept("synonyms", c.terms, words) or c.terms) for c in self.comparatives
            ),
            templates={
                family: kept("templates", texts, shapes, ordinary=(0, 0)) for family, texts in self.templates.items()
            },
        )

"""What a domain file holds: items, people, what they ask for, and the words for it, as records.

`instructrec.envs.domain_file` reads a file into a `Domain`; `instructrec.envs.domain_world` makes a world of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from instructrec.catalogue import Kind
from instructrec.envs.vocabulary import NO_EXTRAS, Comparative, Extras, Frame, Measure, Pool, RequestKind, Term
from instructrec.goals import Predicate

DRAWS = {
    "uniform": ("low", "high"),
    "normal": ("mean", "spread"),
    "lognormal": ("median", "spread"),
    "exponential": ("mean",),
    "even": ("low", "high"),
    "counts": ("mean", "exponent"),
    "until": ("last", "mean_before"),
}
"""How numbers may be spread over items, and what each takes: ``even`` is a ladder from low to high, ``counts`` a
Zipf-like curve of how often items were consumed, ``until`` times that crowd towards the last one."""


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """One attribute of every item.

    Attributes:
        name: Its name.
        kind: Which of the four sorts it is.
        values: Names of values or levels and how frequent they are; empty for numbers.
        more: Further values per item on average, for multi-valued attributes.
        draw: One of `DRAWS` and its numbers, for numbers; None where the items come with the attribute.
        low: The smallest number; smaller draws become it.
        high: The largest.
        round: Numbers are multiples of this; 0 for any number.
        missing: The share of items without it, 0 to 1.
        only: Which items can have it at all: those with one of these values, by attribute (a cuisine: restaurants).
        by: What a number, or the share of each of its values, is multiplied with for items that have a value of
            another attribute, by (attribute, value): sofas cost 20 times as much; most laptops are of two brands.
        half_life: After how many units half of a number's worth to people is gone: what they feel of an article's age
            is 1 when it is new and halves every so many hours, so that a positive taste is one for what is new. 0 for
            numbers that are felt as they are (prices and counts: their logarithms).
        measure: How its numbers look in sentences, or None where they are not said.
        says: Which of the language's sorts of number phrases fit: year, stars, money, ...
        unit: What its numbers count, by language; empty where nothing is said.
    """

    name: str
    kind: Kind
    values: Mapping[str, float] = field(default_factory=dict)
    more: float = 0.0
    draw: tuple[str, tuple[float, ...]] | None = None
    low: float = float("-inf")
    high: float = float("inf")
    round: float = 0.0
    missing: float = 0.0
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    by: Mapping[tuple[str, str], float | Mapping[str, float]] = field(default_factory=dict)
    half_life: float = 0.0
    measure: Measure | None = None
    says: str = ""


@dataclass(frozen=True, kw_only=True)
class Items:
    """Where the items come from.

    Attributes:
        source: "made" for items drawn from the attributes' distributions, or the name of a source of real ones.
        settings: What a source of real items takes.
        count: How many are made.
        title: Their titles, with ``{attribute}``, ``{number}`` and the lists of ``pieces`` filled in. A part in square
            brackets is left out for items without an attribute that it names.
        text: A sentence about each, likewise, with ``{title}``.
        pieces: Lists of words for titles.
    """

    source: str = "made"
    settings: Mapping[str, str] = field(default_factory=dict)
    count: int = 5000
    title: str = "Item {number}"
    text: str = "{title}"
    pieces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class People:
    """Who comes: made-up people whose tastes hang on attributes. A star is one point of a rating from 0.5 to 5.

    Attributes:
        population: Which population; "conversational" for people who say what they want.
        settings: What a population by another name takes.
        count: How many there are.
        tastes: Per attribute mean and spread over people of the stars that one standard deviation of a number, or a
            value of a set, is worth.
        quality: Stars for everybody per standard deviation of a number attribute.
        luck: Spread, in stars, of what everybody thinks of an item for no reason that shows.
        allure: What draws without pleasing: weights of standardised number attributes; what is left to 1 is luck.
        past: How many items of a person's past agents may see.
        topic: The set attribute that people tire of.
        behaviour: Constants that differ from `instructrec.envs.behaviour.Behaviour`'s defaults.
    """

    population: str = "conversational"
    settings: Mapping[str, object] = field(default_factory=dict)
    count: int = 600
    tastes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)
    luck: float = 0.2
    allure: Mapping[str, float] = field(default_factory=dict)
    past: int = 20
    topic: str = ""
    behaviour: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What must never be shown to some people: every person lives by one of the conditions, in every request.

    Attributes:
        name: Its name.
        shares: Each condition (None for none at all) and the share of people who live by it.
        said: The share of requests that say it; in the others it comes out when it is broken.
        reward: What showing an item that breaks it costs, in points.
    """

    name: str
    shares: tuple[tuple[Predicate | None, float], ...]
    said: float = 0.5
    reward: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Asks:
    """What people ask for, whatever the language.

    Attributes:
        about: The set attributes that people name, the first most.
        pools: Where the predicates of each part of a request come from, besides set attributes' own values.
        kinds: The kinds of request.
        extras: What requests may hold, and people reply, besides.
    """

    about: tuple[str, ...]
    pools: Mapping[str, tuple[Pool, ...]]
    kinds: tuple[RequestKind, ...]
    extras: Extras = NO_EXTRAS


@dataclass(frozen=True, kw_only=True)
class Words:
    """What one language says in this domain.

    Attributes:
        heads: Words for an item, (singular, plural).
        use: What people do with one: "watch".
        values: Terms for the values of set attributes, by (attribute, value).
        says: Conditions with words of their own, and their terms.
        units: What the numbers of an attribute count.
        numbers: Phrases for the numbers of an attribute, where the language's for their sort would sound wrong.
        critiques: Directions of critique.
        templates: Families of sentences that replace the language's.
        also: Sentences that are said beside the language's, by family.
        text: A sentence about each item, as in `Items`, with ``{text}`` for the items' own; empty to keep that.
        contexts: Terms for the contexts that people name.
        names: What attributes are called; their own names where none is given.
    """

    heads: tuple[tuple[str, str], ...]
    use: str
    values: Mapping[tuple[str, str], tuple[Term, ...]]
    says: tuple[tuple[Predicate, tuple[Term, ...]], ...]
    units: Mapping[str, str]
    critiques: tuple[Comparative, ...]
    templates: Mapping[str, tuple[str, ...]] = field(repr=False)
    also: Mapping[str, tuple[str, ...]] = field(repr=False, default_factory=dict)
    numbers: Mapping[str, tuple[Frame, ...]] = field(repr=False, default_factory=dict)
    text: str = ""
    contexts: Mapping[str, tuple[Term, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Domain:
    """One domain file, read and checked; compared by identity, so that what is made of it keeps.

    Attributes:
        name: The world's full name.
        domain: What is recommended.
        summary: One sentence on it.
        items: Where the items come from.
        attributes: Their attributes, by name.
        people: Who comes.
        rules: What must never be shown to whom.
        asks: What they ask for; None for mute people.
        words: The words, by language.
        slate_size: Items per slate.
        turn_limit: Slates per session at most.
        folder: Where the file lies; what it names is looked for there.
        reward: "clicks", "engagement" (how much people took in), or "retention" (clicks less days away).
        candidates: How many items, drawn by chance each turn, may be ranked; 0 for all of them.
    """

    name: str
    domain: str
    summary: str
    items: Items
    attributes: Mapping[str, Attribute]
    people: People
    rules: tuple[Rule, ...]
    asks: Asks | None
    words: Mapping[str, Words]
    slate_size: int = 10
    turn_limit: int = 10
    reward: str = "clicks"
    candidates: int = 0
    folder: Path = Path()

    @property
    def nouns(self) -> tuple[str, ...]:
        """What people call an item, one and many, in English where they speak it."""
        words = self.words.get("en") or next(iter(self.words.values()), None)
        return tuple(dict.fromkeys(noun for pair in words.heads for noun in pair)) if words is not None else ()

    @property
    def units(self) -> Mapping[str, str]:
        """What the numbers of attributes count, in English where people speak it."""
        words = self.words.get("en") or next(iter(self.words.values()), None)
        return words.units if words is not None else {}

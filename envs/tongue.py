"""What a language does with words: the few things that grammar and parser leave to each language.

Words and sentence shapes are data (`instructrec.envs.vocabulary`); how they are put together, and how a text is taken
apart again, is a `Tongue`: `instructrec.envs.english`, `instructrec.envs.chinese`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from instructrec.envs.vocabulary import Speech, Term


@dataclass(frozen=True)
class Token:
    """A word of a text, or a sign where words have no blanks between them.

    Attributes:
        text: As the parser compares it.
        written: As it was written.
        number: What it counts, if it is a number.
    """

    text: str
    written: str
    number: float | None = None


@dataclass(frozen=True)
class Piece:
    """A part of a noun phrase beside its head.

    Attributes:
        text: What is said.
        rank: Lower ones stand farther from the head where they precede it, and nearer where they follow it.
        speech: What sort of word it is; `Speech.AFTER` for everything that follows the head in English.
    """

    text: str
    rank: int
    speech: Speech


@dataclass
class NounPhrase:
    """A noun phrase under construction.

    Attributes:
        something: Whether it names no item at all: "something scary".
        heads: What it is about, (singular, plural) each; all but the last describe the last.
        before: Adjectives, times and kinds; wishes first, kinds nearest the head.
        after: What follows the head in English; exclusions last, so that nothing after them is negated.
        superlative: "best rated", or empty.
        measure: The measure word of the last head, in languages that count with one.
    """

    something: bool
    heads: list[tuple[str, str]] = field(default_factory=list)
    before: list[Piece] = field(default_factory=list)
    after: list[Piece] = field(default_factory=list)
    superlative: str = ""
    measure: str = ""

    def add(self, term: Term, rank: int) -> None:
        """Puts one term where its sort of word stands."""
        match term.speech:
            case Speech.ADJECTIVE | Speech.PERIOD:
                self.before.append(Piece(term.text, rank, term.speech))
            case Speech.MASS | Speech.KIND:
                self.before.append(Piece(term.text, 3, term.speech))
            case Speech.NOUN:
                self.heads.append((term.text, term.plural or term.text))
            case Speech.AFTER:
                self.after.append(Piece(term.text, 0, term.speech))
            case Speech.SUPERLATIVE:
                self.superlative = term.text


class Tongue(Protocol):
    """How one language puts words together and takes them apart. It holds no state.

    Attributes:
        comma: Between a sentence and what is added to it.
        question: The mark at the end of a question.
        unknown: What a missing number is called.
        alternative: What joins two values of which either will do.
        please: A text with this in it gets no second one.
        measures: Whether nouns are counted with measure words.
        phrasal: Whether words have no blanks between them, so that small words are found as phrases, the longest first.
        function_words: What carries no condition and so is never "not understood".
        negations: What turns round what follows.
        through: What may stand between "no" and what it negates, or between two negated things.
        leading: What may lead from "nothing" to what it negates, but not from one negated thing to the next.
        place: How a place in a slate is written, its number left open as ``{}``, where what is said of it may stand
            around it or behind it ("跟第三部差不多的"); empty where that always stands before it ("like the third").
        closing: What ends a negation inside a noun phrase once it has met what it negates; empty where nothing does.
        alternatives: Words that join values of which any will do.
        additions: Words that join things that are all wanted, or all not.
        articles: Words before a noun that change nothing.
        openers: How a number frame may begin before what it says.
        boundaries: Marks that end whatever was begun.
        punctuation: Marks that mean nothing.
    """

    comma: str
    question: str
    unknown: str
    alternative: str
    please: str
    measures: bool
    phrasal: bool
    function_words: frozenset[str]
    negations: frozenset[str]
    through: frozenset[str]
    leading: frozenset[str]
    place: str
    closing: str
    alternatives: frozenset[str]
    additions: frozenset[str]
    articles: frozenset[str]
    openers: frozenset[str]
    boundaries: frozenset[str]
    punctuation: frozenset[str]

    def noun_phrase(self, phrase: NounPhrase, shape: str) -> str:
        """Returns what stands in a slot, ``one``, ``a``, ``some``, ``any``, ``many``, ``those`` or ``bare``."""
        ...

    def one(self, phrase: str, measure: str) -> str:
        """Returns ``phrase`` as one of its kind: "a scary movie"; ``measure`` is its head's measure word, if any."""
        ...

    def joined(self, term: Term, head: str) -> str:
        """Returns a term that stands before a head, and the head."""
        ...

    def series(self, names: Sequence[str]) -> str:
        """Returns names of things that all hold, and a word for none of them."""
        ...

    def listed(self, tags: Sequence[str], rng: np.random.Generator) -> str:
        """Returns fragments as a list: "thriller, 90s, no horror"."""
        ...

    def ordinal(self, position: int) -> str:
        """Returns the word for a place counted from 1."""
        ...

    def figure(self, position: int) -> str:
        """Returns a place counted from 1 in figures, as templates say it."""
        ...

    def count(self, number: int, measure: str) -> str:
        """Returns how many there are, in words where people use words: "three"; with the measure word, if any."""
        ...

    def of_them(self, text: str) -> str:
        """Returns what counts, where it is said by what describes the head alone: "of them from the 90s"."""
        ...

    def places(self, position: int) -> tuple[str, ...]:
        """Returns every way to name a place counted from 1, the ordinal first."""
        ...

    def written(self, text: str, rng: np.random.Generator, casual: float) -> str:
        """Returns a sentence as people write it, carelessly with probability ``casual``: capitals, final marks."""
        ...

    def misspell(self, text: str, rng: np.random.Generator) -> str:
        """Returns the text with one slip, or as it is where nothing in it invites one."""
        ...

    def tokens(self, text: str) -> list[Token]:
        """Returns the words and marks of any text."""
        ...

    def forms(self, text: str) -> tuple[str, ...]:
        """Returns every form in which a term may be met, itself first."""
        ...

    def alike(self, token: str) -> str:
        """Returns the signs that may have been meant by a sign; none where words are compared whole."""
        ...

"""Asking a language model and reading what it answers: strictly, with every failure counted by kind.

An answer that cannot be used is asked for again with another prompt, and after the last try that turn has failed: what
then happens to the user is a setting of the population. Nothing is repaired and nothing passes unseen: every completion
is either used or counted under one `Failure`.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from instructrec.envs.generators import Completion, Generator

_LONGEST = 2_000
_WORD = re.compile(r"[\w']+")
_BRACKETS = re.compile(r"\s*\([^()]*\)$")
BETWEEN, NOTHING = "; ", "none"
"""What stands between the titles of a choice, and for no title."""
# How models decline, or speak of themselves rather than as the person; matched at the beginning of what is said.
_REFUSALS = re.compile(
    r"""\W*(
        (i'm|i\ am)\ (so\ |very\ |really\ )?sorry,?\ (but|for|i|to)
        | sorry,?\ (but\ )?(i'm|i\ am|i\ can)
        | i\ apologi[sz]e
        | i\ (can't|cannot|can\ not|won't|am\ unable|am\ not\ able)\ (to|help|assist|provide|answer|comply|fulfil)
        | i'm\ (unable|not\ able|not\ allowed|here)\ to\ (help|assist|provide|answer|comply|fulfil|use)
        | (i'm|i\ am)\ (just\ |only\ |not\ )?(an?\ )?([\w-]+\ )?(ai|language\ model|assistant)
        | as\ an?\ (ai|language\ model|assistant)
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)

Answer = TypeVar("Answer")


class Failure(StrEnum):
    """Why a completion cannot be used."""

    EMPTY = "empty"
    """Nothing was written."""
    TOO_LONG = "too_long"
    """More words than allowed, or cut off at the limit of tokens."""
    SEVERAL_LINES = "several_lines"
    """More than one line where a sentence was asked for."""
    UNPRINTABLE = "unprintable"
    """Characters that cannot be shown."""
    NOT_OFFERED = "not_offered"
    """Something that was not offered, that could be several offers, or one offer twice."""
    REFUSED = "refused"
    """The model declines, or speaks of itself."""
    ECHO = "echo"
    """What was said before, or a part of the prompt."""
    REPETITION = "repetition"
    """The same words over and over."""
    OTHER_MEANING = "other_meaning"
    """It asks for something else than the request does."""


class UnusableError(ValueError):
    """A completion cannot be used; ``kind`` says why."""

    def __init__(self, kind: Failure) -> None:
        super().__init__(kind.value)
        self.kind = kind


@dataclass
class Tally:
    """What a population's language model was asked, what it cost, and what could not be used.

    Attributes:
        price_in: What a million tokens of prompts cost, in any currency.
        price_out: What a million written tokens cost.
        completions: Completions read, whether written now or recorded before.
        live: Those of them that were written now; tokens and seconds are theirs alone.
        failures: Completions that could not be used, by kind; their sum and `used` make up all `completions`.
        failed_turns: Times a user had nothing to say, or do, because every try had failed.
        tokens_in: Tokens of prompts.
        tokens_out: Tokens written.
        seconds: Time waited for completions.
    """

    price_in: float = 0.0
    price_out: float = 0.0
    completions: int = 0
    live: int = 0
    failures: Counter[Failure] = field(default_factory=Counter)
    failed_turns: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """How many completions could not be used."""
        return self.failures.total()

    @property
    def used(self) -> int:
        """How many completions were used."""
        return self.completions - self.failed

    @property
    def cost(self) -> float:
        """What the live completions cost, in the currency of the prices."""
        return (self.tokens_in * self.price_in + self.tokens_out * self.price_out) / 1e6

    def scalars(self) -> dict[str, float]:
        """Returns every number by name, each kind of failure among them; shares and means only where there are any."""
        counts = {
            "completions": self.completions,
            "live_completions": self.live,
            "failures": self.failed,
            "failed_turns": self.failed_turns,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "cost": self.cost,
            "seconds": self.seconds,
        }
        numbers = {name: float(count) for name, count in counts.items()}
        numbers |= {f"failures_{kind.value}": float(self.failures[kind]) for kind in Failure if self.failures[kind]}
        if self.completions:
            numbers["failure_share"] = self.failed / self.completions
        if self.live:
            numbers["seconds_per_completion"] = self.seconds / self.live
        return numbers

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind.value} {count:,}" for kind, count in self.failures.most_common())
        cost = f", costing {self.cost:.4g}" if self.price_in or self.price_out else ""
        return (
            f"Language model: {self.completions:,} completions, {self.live:,} of them live "
            f"({self.tokens_in:,} tokens in, {self.tokens_out:,} out, {self.seconds:.1f} s{cost}); "
            f"{self.failed:,} could not be used{f' ({kinds})' if kinds else ''}; "
            f"{self.failed_turns:,} turns of users failed."
        )


@dataclass(frozen=True)
class Ask(Generic[Answer]):
    """One thing to ask.

    Attributes:
        prompts: The prompt of each try.
        read: Reads a completion's text; raises `UnusableError` where it cannot be used.
        among: What ``read`` goes by that the first prompt does not tell, such as where one title ends and the next
            begins; asks with the same first prompt and the same of this have the same answer.
    """

    prompts: tuple[str, ...]
    read: Callable[[str], Answer]
    among: Hashable = None

    @property
    def key(self) -> tuple[str, Hashable]:
        """What tells that the same was asked before."""
        return self.prompts[0], self.among


class Speaker(Generic[Answer]):
    """Asks a generator, each prompt once, until its answer can be used or the tries are over.

    Args:
        generator: Who writes.
        tally: What counts.
        keep: How many answers to keep in memory; beyond it the least recently used are asked for again.
    """

    def __init__(self, generator: Generator, tally: Tally, keep: int = 500_000) -> None:
        self._generator, self._tally, self._keep = generator, tally, keep
        self._known: OrderedDict[tuple[str, Hashable], Answer | None] = OrderedDict()

    def answers(self, asks: Sequence[Ask[Answer]]) -> list[Answer | None]:
        """Returns the answer to each, None where every try has failed; what is asked twice is answered once.

        A prompt that several asks share is sent once; its completion is a failure where none of them can use it.
        """
        pending = {ask.key: ask for ask in asks if ask.key not in self._known}
        found: dict[tuple[str, Hashable], Answer | None] = {}
        attempt = 0
        while pending:
            sharing: dict[str, list[Ask[Answer]]] = {}
            for ask in pending.values():
                sharing.setdefault(ask.prompts[attempt], []).append(ask)
            completions = self._generator.generate(list(sharing))
            pending = {}
            for together, completion in zip(sharing.values(), completions, strict=True):
                self._count(completion)
                failures = []
                for ask in together:
                    try:
                        if not completion.finished and completion.text.strip():
                            raise UnusableError(Failure.TOO_LONG)
                        found[ask.key] = ask.read(completion.text)
                    except UnusableError as error:
                        failures.append(error.kind)
                        if attempt + 1 < len(ask.prompts):
                            pending[ask.key] = ask
                        else:
                            found[ask.key] = None
                if len(failures) == len(together):
                    self._tally.failures[failures[0]] += 1
            attempt += 1
        answered = []
        for ask in asks:
            if ask.key in found:
                self._known[ask.key] = found[ask.key]
            self._known.move_to_end(ask.key)
            answered.append(self._known[ask.key])
        while len(self._known) > self._keep:
            self._known.popitem(last=False)
        return answered

    def _count(self, completion: Completion) -> None:
        tally = self._tally
        tally.completions += 1
        if completion.live:
            tally.live += 1
            tally.tokens_in += completion.tokens_in
            tally.tokens_out += completion.tokens_out
            tally.seconds += completion.seconds


def read_sentence(text: str, *, max_words: int, echoes: Sequence[str] = ()) -> str:
    """Returns the one sentence that a text is, without spaces around it or the quotation marks it stands in.

    Args:
        text: What was written.
        max_words: How many words it may have.
        echoes: What it must not be: alike but for capitals and punctuation.

    Raises:
        UnusableError: If it is empty, too long, of several lines, unprintable, a refusal, an echo or repeats itself.
    """
    said = text.strip()
    for mark in ('"', "“”"):
        if len(said) > 1 and said[0] == mark[0] and said[-1] == mark[-1] and said[1:-1].find(mark[-1]) < 0:
            said = said[1:-1].strip()
    words = _words(said)
    if not words:
        raise UnusableError(Failure.EMPTY)
    if len(said.splitlines()) > 1:
        raise UnusableError(Failure.SEVERAL_LINES)
    if not said.isprintable() or "\ufffd" in said:
        raise UnusableError(Failure.UNPRINTABLE)
    if len(words) > max_words or len(said) > _LONGEST:
        raise UnusableError(Failure.TOO_LONG)
    if _REFUSALS.match(said.replace("’", "'")):
        raise UnusableError(Failure.REFUSED)
    if any(words == _words(echo) for echo in echoes):
        raise UnusableError(Failure.ECHO)
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    if max(triples.values(), default=0) > 2:
        raise UnusableError(Failure.REPETITION)
    return said


def read_choice(text: str, offers: Sequence[str]) -> tuple[int, ...]:
    """Returns which offers a text names, as ascending places from 0: `NOTHING`, or titles with `BETWEEN` between.

    A title is named as it is written, or without what stands in brackets at its end (the year of a film) where that is
    still one offer's alone. Among offers of the same title the first that is not named yet is meant.

    Args:
        text: What was written.
        offers: The titles of the slate.

    Raises:
        UnusableError: If it is anything else.
    """
    rest = text.strip()
    if not rest:
        raise UnusableError(Failure.EMPTY)
    if len(rest.splitlines()) > 1:
        raise UnusableError(Failure.SEVERAL_LINES)
    if _REFUSALS.match(rest.replace("’", "'")):
        raise UnusableError(Failure.REFUSED)
    if rest.lower() in (NOTHING, f"{NOTHING}."):
        return ()
    places: dict[str, list[int]] = {}
    for place, offer in enumerate(offers):
        places.setdefault(offer.strip(), []).append(place)
    short = Counter(_BRACKETS.sub("", title) for title in places)
    names = {title: title for title in places}
    for title in places:
        without = _BRACKETS.sub("", title)
        if short[without] == 1:
            names.setdefault(without, title)
    # Titles may hold what stands between titles: the longest that fits is meant.
    longest = sorted(filter(None, names), key=len, reverse=True)
    chosen = []
    while rest:
        name = next((name for name in longest if rest == name or rest.startswith(name + BETWEEN)), None)
        if name is None or not places[names[name]]:
            raise UnusableError(Failure.NOT_OFFERED)
        chosen.append(places[names[name]].pop(0))
        rest = rest[len(name) + len(BETWEEN) :]
    return tuple(sorted(chosen))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("’", "'"))

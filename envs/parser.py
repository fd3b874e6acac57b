"""Text into predicates: the grammar's words read backwards.

It knows the words of every split, forgives one slip in a long word or phrase, follows negation to where it ends, and
says which words it did not understand. It is a baseline and serves display; no learner reads it. What differs from
language to language is the vocabulary's `instructrec.envs.tongue.Tongue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from instructrec.envs.lexicon import Lexicon, Meaning, lexicon_of
from instructrec.envs.tongue import Token
from instructrec.envs.vocabulary import CONTEXT, Comparative, Frame, Measure, Vocabulary, key_of
from instructrec.goals import Operator, Predicate


@dataclass(frozen=True)
class Parse:
    """What was understood of a text.

    Attributes:
        predicates: In the order said, each once.
        unknown: Words that mean nothing to the vocabulary and are not function words, as they were written, each once.
        fresh: Whether it says that what was asked before counts no longer.
    """

    predicates: tuple[Predicate, ...]
    unknown: tuple[str, ...]
    fresh: bool = False


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, lexicon: Lexicon, tokens: list[Token]) -> None:
        self.lexicon, self.tokens, self.tongue = lexicon, tokens, lexicon.tongue
        self.found: list[Predicate] = []
        self.unknown: list[str] = []
        self.negated = False
        self.denied = False  # Whether the negation has met what it negates.
        self.brief = False  # Whether it ends with the attribute that it stands in.
        self.last_unknown = -1  # Where the last word that was not understood stood.
        self.share = 0.0
        self.alternative = -1  # The place in `found` that an "or" just after would widen.
        self.joining = False
        self.after_and = False
        self.comparison: tuple[Comparative, str] | None = None
        self.compares: tuple[Operator, str] | None = None
        self.count: tuple[str, int] | None = None  # How many of what comes next there should be.
        self.depends = False  # Whether what comes next is what a condition depends on.
        self.given: Predicate | None = None  # What the condition that comes next depends on.
        self.begun = 0  # How much had been found before the last pause.
        self.fresh = False
        self.position = 0

    def read(self) -> Parse:
        """Returns what the text says."""
        at = 0
        while at < len(self.tokens):
            match = self.lexicon.best(self.tokens, at)
            if match is None:
                self._plain(self.tokens[at], at)
                at += 1
            else:
                end, means, numbers = match
                said = ("" if self.tongue.phrasal else " ").join(token.written for token in self.tokens[at:end])
                if means.small:
                    self._plain(Token(means.small, said), at)
                else:
                    self._phrase(means, numbers, said, end)
                at = end
        if self.comparison is not None:
            more, said = self.comparison
            if self.position:
                operator = Operator.MORE_THAN if more.direction > 0 else Operator.LESS_THAN
                self._add(Predicate(field=more.field, operator=operator, position=self.position))
            else:
                # Newer than what? Without an item to compare with, nothing can be checked.
                self.unknown.append(said)
        if self.compares is not None and self.position:
            self._add(Predicate(field=self.compares[1], operator=self.compares[0], position=self.position))
        return Parse(tuple(self.found), tuple(dict.fromkeys(self.unknown)), self.fresh)

    def _plain(self, token: Token, at: int) -> None:
        """Reads a word, or a small phrase, that starts nothing."""
        word, tongue = token.text, self.tongue
        boundary = word in tongue.boundaries
        if word in self.lexicon.heads or (word in tongue.punctuation and not boundary):
            return
        stop = word in self.lexicon.stop
        # "no horror and an action movie": an article after "and" starts something that is wanted again.
        goes_on = not stop or word in tongue.through or (word in tongue.leading and not self.denied)
        closed = word == tongue.closing and self.brief and self.denied
        if boundary or not goes_on or closed or (self.after_and and word in self.lexicon.articles):
            self.negated = False
        self.after_and = word in tongue.additions
        if word in tongue.alternatives:
            self.joining = self.alternative >= 0
        elif word not in self.lexicon.articles:
            self.alternative, self.joining = -1, False
        if boundary:
            self.share, self.begun = 0.0, len(self.found)
        elif not stop:
            if self.tongue.phrasal and self.last_unknown == at - 1 >= 0:
                self.unknown[-1] += token.written
            else:
                self.unknown.append(token.written)
            self.last_unknown = at

    def _deny(self, said: str) -> None:
        """Turns round what was said just before: "horror, no thanks"."""
        opposite = _opposite(self.found[-1], self.lexicon.vocabulary) if self.found else None
        if opposite is None:
            self.unknown.append(said)
        else:
            self.found[-1] = opposite

    def _phrase(self, means: Meaning, numbers: list[float], said: str, end: int) -> None:
        self.after_and, ends = False, self.lexicon.ends(self.tokens, end)
        if means.denies and (ends or not means.negates):
            self._deny(said)
        elif means.negates:
            self.negated, self.denied, self.alternative, self.joining = True, False, -1, False
            self.brief = means.brief
        elif means.share:
            self.share, self.negated, self.alternative = means.share, False, -1
        elif means.comparative is not None:
            self.comparison = (means.comparative, said)
        elif means.counts:
            self.count, self.negated, self.alternative = (means.counts, int(numbers[0])), False, -1
            if (ends or self.tokens[end].text in self.tongue.punctuation) and self._just_said():
                # "喜剧片至少要三部": a number with nothing after it counts what stands before it.
                self._add(self.found.pop())
        elif means.behind and means.depends:
            if self.given is None and self._just_said():
                self.given, self.alternative = self.found.pop(), -1
        elif means.depends:
            self.depends, self.negated, self.alternative = True, False, -1
        elif means.compares is not None:
            self.compares = means.compares
            self.position = int(numbers[0]) if numbers else self.position
        elif means.fresh:
            self.fresh = True
        elif means.position:
            self.position = means.position
        elif means.frame is not None:
            # "nothing made before 1990" turns the bound round; "no horror made before 1990" describes what is wanted.
            self.negated = self.negated and not self.denied
            measure = self.lexicon.vocabulary.measure_of[means.frame.field]
            self._sense(_from_frame(means.frame, numbers, measure), said)
            self.negated, self.alternative = False, -1
        elif means.predicate is not None:
            if means.after and self.denied:
                # "no horror from the last few years": what follows the negated thing describes what is wanted.
                self.negated = False
            self._sense(means.predicate, said)

    def _just_said(self) -> bool:
        """Returns whether the last thing found can be counted or depended on, and no pause stands after it."""
        last = self.found[-1] if len(self.found) > self.begun else None
        return last is not None and last.plain and last.operator is not Operator.EXCLUDE

    def _sense(self, predicate: Predicate, said: str) -> None:
        on_sets = predicate.operator is Operator.INCLUDE
        if on_sets and self.joining and self.found[self.alternative].field == predicate.field:
            old = self.found[self.alternative]
            values = tuple(dict.fromkeys((*old.values, *predicate.values)))
            self.found[self.alternative] = replace(old, values=values)
        else:
            meant: Predicate | None = predicate
            if on_sets and self.share:
                values, share = predicate.values, self.share
                meant = Predicate(
                    field=predicate.field, operator=Operator.SHARE, values=values, share=share, hard=False
                )
                self.share = 0.0
            elif self.negated:
                meant = _opposite(predicate, self.lexicon.vocabulary)
                self.denied = self.denied or meant is not None
            if meant is None:
                self.unknown.append(said)
            else:
                self._add(meant)
                self.alternative = len(self.found) - 1 if on_sets else -1
        self.joining = False

    def _add(self, predicate: Predicate) -> None:
        if predicate.field == CONTEXT:
            if predicate.operator is Operator.INCLUDE:
                for part in self.lexicon.vocabulary.extras.contexts[predicate.values[0]]:
                    self._add(part)
            return
        if self.depends and predicate.plain and predicate.operator is not Operator.EXCLUDE:
            self.given, self.depends = predicate, False
            return
        if self.given is not None and predicate.plain:
            predicate, self.given = replace(predicate, given=self.given), None
        if self.count is not None and predicate.plain:
            (family, number), self.count = self.count, None
            predicate = replace(predicate, least=number, most=number if family == "exactly" else 0, hard=False)
        if key_of(predicate) not in {key_of(known) for known in self.found}:
            self.found.append(predicate)


def _from_frame(frame: Frame, numbers: Sequence[float], measure: Measure) -> Predicate:
    """Returns the predicate that a number frame says with these numbers."""
    said = dict(zip(frame.slots, numbers, strict=True))
    if measure.now is not None and ("span" in said or "decades" in said):
        said["low"] = measure.now + measure.step - said.get("span", 10 * said.get("decades", 0.0))
    low = said.get("low", said.get("exact", said["beyond"] + measure.step if "beyond" in said else 0.0))
    high = said.get("high", said.get("exact", said["before"] - measure.step if "before" in said else 0.0))
    match frame.operator:
        case Operator.AT_LEAST:
            return Predicate(field=frame.field, operator=Operator.AT_LEAST, low=low)
        case Operator.AT_MOST:
            return Predicate(field=frame.field, operator=Operator.AT_MOST, high=high)
        case _:
            return Predicate(field=frame.field, operator=Operator.BETWEEN, low=min(low, high), high=max(low, high))


def _opposite(predicate: Predicate, vocabulary: Vocabulary) -> Predicate | None:
    """Returns what "no" makes of a predicate, or None where no operator says it ("not from the 90s")."""
    p = predicate
    measure = vocabulary.measure_of.get(p.field)
    match p.operator:
        case Operator.INCLUDE:
            return Predicate(field=p.field, operator=Operator.EXCLUDE, values=p.values)
        case Operator.AT_LEAST if measure is not None:
            return Predicate(field=p.field, operator=Operator.AT_MOST, high=p.low - measure.step)
        case Operator.AT_MOST if measure is not None:
            return Predicate(field=p.field, operator=Operator.AT_LEAST, low=p.high + measure.step)
        case Operator.HIGHEST | Operator.LOWEST if p.share < 1:
            turned = Operator.LOWEST if p.operator is Operator.HIGHEST else Operator.HIGHEST
            return Predicate(field=p.field, operator=turned, share=1 - p.share, hard=p.hard, weight=p.weight)
        case _:
            return None


def parse(text: str, vocabulary: Vocabulary) -> Parse:
    """Understands what it can of any text; never raises.

    Args:
        text: What was said; of any length, in time linear in it.
        vocabulary: The words to know, of every split: an unrestricted vocabulary.
    """
    lexicon = lexicon_of(vocabulary)
    tokens = [
        Token(lexicon.forgive(token.text), token.written, None) if token.number is None else token
        for token in vocabulary.tongue.tokens(text)
    ]
    return _Reader(lexicon, tokens).read()

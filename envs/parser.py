"""Text into predicates: the grammar's words read backwards.

It knows the words of every split, forgives one slip in a long word or phrase, follows negation to where it ends, and
says which words it did not understand. It is a baseline and serves display; no learner reads it. What differs from
language to language is the vocabulary's `instructrec.envs.tongue.Tongue`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from instructrec.envs.english import SHORTEST_MISSPELT, English
from instructrec.envs.tongue import Token, Tongue
from instructrec.envs.vocabulary import CONTEXT, SLOT, Comparative, Frame, Measure, Role, Speech, Vocabulary, key_of
from instructrec.goals import Operator, Predicate

_LONGEST_FORGIVEN = 24
_MOST_ORDINALS = 50
_LONGEST_SPAN = 150
_COUNT = "xcountx"
"""Stands for a number while a phrase is taken apart."""


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


@dataclass(frozen=True)
class _Means:
    """What a phrase of the lexicon does.

    ``brief`` negations end with the attribute that they stand in, ``denies`` is said of what stands just before it,
    ``behind`` one that stands behind what it is about, and ``small`` a phrase that means nothing by itself.
    """

    predicate: Predicate | None = None
    frame: Frame | None = None
    comparative: Comparative | None = None
    share: float = 0.0
    position: int = 0
    negates: bool = False
    brief: bool = False
    denies: bool = False
    small: str = ""
    behind: bool = False
    after: bool = False
    counts: str = ""
    depends: bool = False
    compares: tuple[Operator, str] | None = None
    fresh: bool = False


@dataclass
class _Node:
    """A node of the phrase tree: words lead to children; ``<field>`` stands for a number of that measure."""

    children: dict[str, _Node] = field(default_factory=dict)
    means: _Means | None = None


def words_of(text: str, tongue: Tongue | None = None) -> tuple[str, ...]:
    """Returns the words of a text, as the parser compares them; English ones if no tongue is given."""
    tongue = tongue or English()
    return tuple(token.text for token in tongue.tokens(text) if token.text not in tongue.punctuation)


class _Lexicon:
    """A vocabulary's phrases as a tree, its stop words, and its words by what is left of them with a letter missing."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.tongue = vocabulary.tongue
        self.root = _Node()
        self.measures: tuple[Measure, ...] = vocabulary.measures
        self.heads = frozenset(word for pair in vocabulary.heads for word in pair)
        self.articles = self.tongue.articles | {self.tongue.one("", word) for word in vocabulary.measure_words.values()}
        self.stop = self.tongue.function_words | self._small_words()
        for negation in self.tongue.negations:
            self._learn(self._words(negation), _Means(negates=True, brief=True))
        for frame in vocabulary.frames:
            self._learn_frame(frame)
        for frame in vocabulary.frames:
            if frame.operator is Operator.EXCLUDE and frame.text.startswith("{"):
                self._learn(self._words(frame.text.partition("}")[2]), _Means(denies=True))
        for portion in vocabulary.portions:
            for text in portion.frames:
                self._learn(self._words(text.split("{")[0]), _Means(share=portion.share))
        for position in range(1, _MOST_ORDINALS + 1):
            for place in self.tongue.places(position):
                self._learn(self._words(place), _Means(position=position))
        for more in vocabulary.comparatives:
            for comparison in more.terms:
                self._learn(self._words(comparison), _Means(comparative=more))
        self._learn_operators()
        terms = [(sense.predicate, term) for sense in vocabulary.senses for term in sense.terms]
        for predicate, term in terms:
            for text in term.texts:
                self._learn(self._words(text), _Means(predicate=predicate, after=term.speech is Speech.AFTER))
        for predicate, term in terms:
            for form in self.tongue.forms(term.text)[1:]:
                self._learn(self._words(form), _Means(predicate=predicate))
        if self.tongue.phrasal:
            for small in sorted(self.stop):
                self._learn(self._words(small), _Means(small=small))
        self.known = self._known()
        self._near = self._misspellings()

    def _words(self, text: str) -> tuple[str, ...]:
        return words_of(text, self.tongue)

    def _small_words(self) -> frozenset[str]:
        """Returns what stands in sentences beside their slots: words, or whole phrases where words have no blanks."""
        v = self.vocabulary
        texts: list[str] = [text for family in v.templates.values() for text in family]
        texts += [frame.text for frame in v.frames] + [text for portion in v.portions for text in portion.frames]
        texts += [*v.polite[0], *v.polite[1], *v.resets, *(word for pair in v.heads for word in pair)]
        if not self.tongue.phrasal:
            return frozenset(word for text in texts for word in self._words(SLOT.sub(" ", text)))
        texts += [*v.measure_words.values(), *self.articles]
        texts += [*self.tongue.through, *self.tongue.alternatives, *self.tongue.additions]
        marks = re.compile(f"[{re.escape(''.join(self.tongue.punctuation))}]")
        pieces = (piece for text in texts for piece in marks.split(SLOT.sub(self.tongue.comma, text)))
        return frozenset(stripped for piece in pieces if (stripped := piece.strip()))

    def _learn(self, phrase: Sequence[str], means: _Means) -> None:
        node = self.root
        for word in phrase:
            node = node.children.setdefault(word, _Node())
        if phrase and node.means is None:
            node.means = means
        elif phrase and means.denies and node.means is not None and node.means.negates:
            node.means = replace(node.means, denies=True)

    def _learn_frame(self, frame: Frame) -> None:
        if frame.operator is Operator.EXCLUDE:
            # Without its "but": "but nothing after 1995" is a bound, and the longer phrase would win.
            first = frame.text.partition("{")[0].removeprefix("but ")
            self._learn(self._words(first), _Means(negates=True, brief=frame.role is Role.AFTER))
        elif frame.field:
            spoken = self._words(SLOT.sub(" xslotx ", frame.text))
            slots = iter("<span>" if slot in ("span", "decades") else f"<{frame.field}>" for slot in frame.slots)
            phrase = [next(slots) if word == "xslotx" else word for word in spoken]
            self._learn(phrase, _Means(frame=frame))
            # "it should be rated 4 or higher" is understood without its first words too.
            while phrase[0] in self.tongue.openers and phrase[1] in self.stop:
                phrase = phrase[1:]
                self._learn(phrase, _Means(frame=frame))

    def _learn_operators(self) -> None:
        """Learns the cues in the sentences of operators."""
        v = self.vocabulary
        for family in ("at_least", "exactly"):
            for measure in sorted({v.measure_word(head) for head, _ in v.heads} | {*v.measure_words.values()}):
                for phrase, _ in self._cues(family, count=f"{_COUNT}{measure}"):
                    self._learn(phrase, _Means(counts=family))
        for phrase, behind in self._cues("conditional"):
            self._learn(phrase, _Means(depends=True, behind=behind))
        for field_ in v.extras.alike[:1]:
            for family, operator in (("like", Operator.LIKE), ("unlike", Operator.UNLIKE)):
                for phrase, _ in self._cues(family):
                    self._learn(phrase, _Means(compares=(operator, field_)))
        for field_ in v.extras.alike[1:]:
            for phrase, _ in self._cues("same", name=v.names[field_]):
                self._learn(phrase, _Means(compares=(Operator.LIKE, field_)))
        for family in ("reset", "relax"):
            for phrase, behind in self._cues(family):
                self._learn(phrase, _Means(fresh=True, behind=behind))

    def _cues(self, family: str, **slots: str) -> Iterable[tuple[tuple[str, ...], bool]]:
        """Yields (phrase, whether it stands behind what it is about) for the sentences of an operator.

        That is what stands before the first slot, place or pause; behind the first slot, where nothing but a small word
        stands before it ("是恐怖片的话"); and all around a place, where the language puts cues there.
        """
        tongue = self.tongue
        pauses = "|".join(map(re.escape, sorted(tongue.boundaries)))
        open_place = tongue.place.format(_COUNT)
        places = {"ordinal": open_place or tongue.ordinal(1), "number": open_place or tongue.figure(1)}
        for text in self.vocabulary.templates.get(family, ()):
            for slot, word in (slots | places).items():
                text = text.replace(f"{{{slot}}}", word)
            pieces = re.split(pauses, text)
            if open_place and open_place in text:
                before, behind = next(piece for piece in pieces if open_place in piece), False
            else:
                before, *after = re.split("|".join(map(re.escape, ("{", *tongue.places(1)))), pieces[0])
                behind = bool(after) and (not before.strip() or before in tongue.function_words)
                before = after[0].partition("}")[2] if behind else before
            spoken = self._words(before)
            if spoken:
                yield tuple("<count>" if word == _COUNT else word for word in spoken), behind

    def _misspellings(self) -> Mapping[str, tuple[str, ...]]:
        near: dict[str, list[str]] = {}
        for word in sorted(self.known):
            if len(word) >= SHORTEST_MISSPELT and word.isascii() and word.isalpha():
                for shorter in {word, *_shortened(word)}:
                    near.setdefault(shorter, []).append(word)
        return {shorter: tuple(words) for shorter, words in near.items()}

    def _known(self) -> frozenset[str]:
        known, pending = set(self.stop), [self.root]
        while pending:
            children = pending.pop().children
            known |= set(children)
            pending += children.values()
        return frozenset(known)

    def forgive(self, word: str) -> str:
        """Returns the known word that ``word`` misspells by one letter, or ``word``."""
        if word in self.known or not SHORTEST_MISSPELT - 1 <= len(word) <= _LONGEST_FORGIVEN or not word.isascii():
            return word
        candidates = {near for shorter in (word, *_shortened(word)) for near in self._near.get(shorter, ())}
        fitting = sorted(near for near in candidates if near[0] == word[0] and _one_apart(word, near))
        return fitting[0] if fitting else word

    def best(self, tokens: Sequence[Token], at: int) -> tuple[int, _Means, list[float]] | None:
        """Returns (end, meaning, numbers) of the phrase to read at ``at``, or None.

        It is the longest one, unless that means nothing and its end is the beginning of one that does, or it has a
        slip in it and its end is the beginning of any.
        """
        found = self.longest(tokens, at)
        if found is not None and found[1].small:
            slip = found[1].small != "".join(token.text for token in tokens[at : found[0]])
            for middle in range(at + 1, found[0]):
                other = self.longest(tokens, middle)
                if other is not None and other[0] > found[0] and (slip or not other[1].small):
                    return self.longest(tokens[:middle], at)
        return found

    def longest(self, tokens: Sequence[Token], at: int) -> tuple[int, _Means, list[float]] | None:
        """Returns (end, meaning, numbers) of the longest phrase that starts at ``at``.

        A phrase with a sign that only sounds alike counts where none without is as long.
        """
        best: tuple[int, _Means, list[float]] | None = None
        exact = False
        # A number can be a word ("2 decades") or stand for itself, so a few branches are followed.
        pending: list[tuple[int, _Node, list[float], bool]] = [(at, self.root, [], True)]
        while pending:
            place, node, numbers, as_said = pending.pop()
            if node.means is not None and place > at and self._fits(node.means, tokens, at, place, as_said=as_said):
                longer = best is None or place > best[0] or (place == best[0] and as_said and not exact)
                if longer:
                    best, exact = (place, node.means, numbers), as_said
            here = place
            while place > at and here < len(tokens) and tokens[here].text in ("-", "–", "'", "’"):
                here += 1
            if here == len(tokens):
                continue
            token = tokens[here]
            if token.text in node.children:
                pending.append((here + 1, node.children[token.text], numbers, as_said))
            if as_said:
                for sign in self.tongue.alike(token.text):
                    if sign in node.children:
                        pending.append((here + 1, node.children[sign], numbers, False))
            if token.number is not None:
                if "<count>" in node.children and 1 <= token.number <= _MOST_ORDINALS and token.number.is_integer():
                    pending.append((here + 1, node.children["<count>"], [*numbers, token.number], as_said))
                if "<span>" in node.children and 1 <= token.number <= _LONGEST_SPAN:
                    pending.append((here + 1, node.children["<span>"], [*numbers, token.number], as_said))
                for measure in self.measures:
                    child = node.children.get(f"<{measure.field}>")
                    if child is not None and measure.lowest <= token.number <= measure.highest:
                        pending.append((here + 1, child, [*numbers, token.number], as_said))
        return best

    def _fits(self, means: _Means, tokens: Sequence[Token], at: int, end: int, *, as_said: bool) -> bool:
        """Returns whether a phrase may stand there.

        What denies, or is about, what was said before it has nothing after it, and a single sign is not taken for
        another.
        """
        if not as_said and (end - at < 2 or (means.small and tokens[at].text == self.tongue.closing)):
            return False
        return not (means.denies or means.behind) or means.negates or self.ends(tokens, end)

    def ends(self, tokens: Sequence[Token], at: int) -> bool:
        """Returns whether a text, or a part of it, ends before ``at``."""
        return at == len(tokens) or tokens[at].text in self.tongue.boundaries


def _shortened(word: str) -> Iterable[str]:
    return (word[:at] + word[at + 1 :] for at in range(len(word)))


def _one_apart(one: str, other: str) -> bool:
    """Returns whether one letter added, dropped, changed or swapped turns one word into the other."""
    if len(one) > len(other):
        one, other = other, one
    start = next((at for at, letter in enumerate(one) if letter != other[at]), len(one))
    if len(one) < len(other):
        return one[start:] == other[start + 1 :]
    if one[start + 1 :] == other[start + 1 :]:
        return True
    return one[start : start + 2] == other[start : start + 2][::-1] and one[start + 2 :] == other[start + 2 :]


@lru_cache(maxsize=8)
def _lexicon(vocabulary: Vocabulary) -> _Lexicon:
    return _Lexicon(vocabulary)


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, lexicon: _Lexicon, tokens: list[Token]) -> None:
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

    def _phrase(self, means: _Means, numbers: list[float], said: str, end: int) -> None:
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
        elif on_sets and self.share:
            share, self.share = self.share, 0.0
            self._add(
                Predicate(
                    field=predicate.field,
                    operator=Operator.SHARE,
                    values=predicate.values,
                    share=share,
                    hard=False,
                )
            )
            self.alternative = len(self.found) - 1
        elif self.negated:
            opposite = _opposite(predicate, self.lexicon.vocabulary)
            if opposite is None:
                self.unknown.append(said)
            else:
                self.denied = True
                self._add(opposite)
                self.alternative = len(self.found) - 1 if on_sets else -1
        else:
            self._add(predicate)
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
    lexicon = _lexicon(vocabulary)
    tokens = [
        Token(lexicon.forgive(token.text), token.written, None) if token.number is None else token
        for token in vocabulary.tongue.tokens(text)
    ]
    return _Reader(lexicon, tokens).read()

"""The phrases of a vocabulary as the parser looks them up: a tree of words, and the words near to misspelt ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from instructrec.envs.english import SHORTEST_MISSPELT, English
from instructrec.envs.tongue import Token, Tongue
from instructrec.envs.vocabulary import SLOT, Comparative, Frame, Role, Speech, Vocabulary
from instructrec.goals import Operator, Predicate

_LONGEST_FORGIVEN = 24
_MOST_ORDINALS = 50
_LONGEST_SPAN = 150
_JOINS = ("-", "–", "'", "’")
_COUNT = "xcountx"
"""Stands for a number while a phrase is taken apart."""


@dataclass(frozen=True)
class Meaning:
    """What a phrase does.

    Attributes:
        predicate: What it asks for.
        frame: The numbers in it say what it asks for.
        comparative: It asks for more or less than an item shown has.
        share: It asks for this share of what follows.
        position: It is a place in the slate, counted from 1.
        negates: It turns round what follows.
        brief: A negation ends with the attribute that it stands in.
        denies: It turns round what stands just before it.
        small: The phrase itself, where it means nothing.
        behind: It stands behind what it is about.
        after: Its predicate describes what stands before it.
        counts: "at_least" or "exactly": the number in it counts what follows.
        depends: The condition that comes next depends on what follows.
        compares: It asks for what is like, or unlike, an item shown in this attribute.
        fresh: What was asked before counts no longer.
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
    means: Meaning | None = None


def words_of(text: str, tongue: Tongue | None = None) -> tuple[str, ...]:
    """Returns the words of a text, as the parser compares them; English ones if no tongue is given."""
    tongue = tongue or English()
    return tuple(token.text for token in tongue.tokens(text) if token.text not in tongue.punctuation)


class Lexicon:
    """A vocabulary's phrases as a tree, its stop words, and its words by what is left of them with a letter missing."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.tongue = vocabulary.tongue
        self.root = _Node()
        self.heads = frozenset(word for pair in vocabulary.heads for word in pair)
        self.articles = self.tongue.articles | {self.tongue.one("", word) for word in vocabulary.measure_words.values()}
        self.stop = self.tongue.function_words | self._small_words()
        for negation in self.tongue.negations:
            self._learn(self._words(negation), Meaning(negates=True, brief=True))
        for frame in vocabulary.frames:
            self._learn_frame(frame)
        for frame in vocabulary.frames:
            if frame.operator is Operator.EXCLUDE and frame.text.startswith("{"):
                self._learn(self._words(frame.text.partition("}")[2]), Meaning(denies=True))
        for portion in vocabulary.portions:
            for text in portion.frames:
                self._learn(self._words(text.split("{")[0]), Meaning(share=portion.share))
        for position in range(1, _MOST_ORDINALS + 1):
            for place in self.tongue.places(position):
                self._learn(self._words(place), Meaning(position=position))
        for more in vocabulary.comparatives:
            for comparison in more.terms:
                self._learn(self._words(comparison), Meaning(comparative=more))
        self._learn_operators()
        terms = [(sense.predicate, term) for sense in vocabulary.senses for term in sense.terms]
        for predicate, term in terms:
            for text in term.texts:
                self._learn(self._words(text), Meaning(predicate=predicate, after=term.speech is Speech.AFTER))
        for predicate, term in terms:
            for form in self.tongue.forms(term.text)[1:]:
                self._learn(self._words(form), Meaning(predicate=predicate))
        if self.tongue.phrasal:
            for small in sorted(self.stop):
                self._learn(self._words(small), Meaning(small=small))
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

    def _learn(self, phrase: Sequence[str], means: Meaning) -> None:
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
            self._learn(self._words(first), Meaning(negates=True, brief=frame.role is Role.AFTER))
        elif frame.field:
            spoken = self._words(SLOT.sub(" xslotx ", frame.text))
            slots = iter("<span>" if slot in ("span", "decades") else f"<{frame.field}>" for slot in frame.slots)
            phrase = [next(slots) if word == "xslotx" else word for word in spoken]
            self._learn(phrase, Meaning(frame=frame))
            # "it should be rated 4 or higher" is understood without its first words too.
            while phrase[0] in self.tongue.openers and phrase[1] in self.stop:
                phrase = phrase[1:]
                self._learn(phrase, Meaning(frame=frame))

    def _learn_operators(self) -> None:
        """Learns the cues in the sentences of operators."""
        v = self.vocabulary
        for family in ("at_least", "exactly"):
            for measure in sorted({v.measure_word(head) for head, _ in v.heads} | {*v.measure_words.values()}):
                for phrase, _ in self._cues(family, count=f"{_COUNT}{measure}"):
                    self._learn(phrase, Meaning(counts=family))
        for phrase, behind in self._cues("conditional"):
            self._learn(phrase, Meaning(depends=True, behind=behind))
        for field_ in v.extras.alike[:1]:
            for family, operator in (("like", Operator.LIKE), ("unlike", Operator.UNLIKE)):
                for phrase, _ in self._cues(family):
                    self._learn(phrase, Meaning(compares=(operator, field_)))
        for field_ in v.extras.alike[1:]:
            for phrase, _ in self._cues("same", name=v.names[field_]):
                self._learn(phrase, Meaning(compares=(Operator.LIKE, field_)))
        for family in ("reset", "relax"):
            for phrase, behind in self._cues(family):
                self._learn(phrase, Meaning(fresh=True, behind=behind))

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

    def best(self, tokens: Sequence[Token], at: int) -> tuple[int, Meaning, list[float]] | None:
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

    def longest(self, tokens: Sequence[Token], at: int) -> tuple[int, Meaning, list[float]] | None:
        """Returns (end, meaning, numbers) of the longest phrase that starts at ``at``.

        A phrase with a sign that only sounds alike counts where none without is as long.
        """
        best: tuple[int, Meaning, list[float]] | None = None
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
            while place > at and here < len(tokens) and (tokens[here].text in _JOINS or _initial(tokens, here)):
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
                for measure in self.vocabulary.measures:
                    child = node.children.get(f"<{measure.field}>")
                    if child is not None and measure.lowest <= token.number <= measure.highest:
                        pending.append((here + 1, child, [*numbers, token.number], as_said))
        return best

    def _fits(self, means: Meaning, tokens: Sequence[Token], at: int, end: int, *, as_said: bool) -> bool:
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


def _initial(tokens: Sequence[Token], at: int) -> bool:
    """Returns whether a token is the full stop of an initial: "C. Dale"."""
    return tokens[at].text == "." and at > 0 and len(tokens[at - 1].text) == 1 and tokens[at - 1].text.isalpha()


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
def lexicon_of(vocabulary: Vocabulary) -> Lexicon:
    """Returns the phrases of a vocabulary; made once."""
    return Lexicon(vocabulary)

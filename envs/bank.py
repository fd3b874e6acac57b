"""A finite bank of instructions, compiled before a world's first step.

Every text has an id, every goal its texts, so that the hot loop moves ids and an encoder embeds each text once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from instructrec.arrays import Bools, Floats, Ints, arrays_of
from instructrec.catalogue import Catalogue
from instructrec.envs.grammar import Style, criticise, realise
from instructrec.envs.requests import Asking, Request, choose_requests, count_hard
from instructrec.envs.vocabulary import Vocabulary
from instructrec.goals import Goals, Predicate, Reveal, compile_goals
from instructrec.splits import Splits

_LARGE = 2000
_TEXTS_PER_GOAL, _TEXTS_PER_GOAL_SMALL = 5.2, 4.2
"""Texts a goal gets on average in a bank of `_LARGE` texts or more, and in a smaller one."""
_ATTEMPTS = 12
_MOST_OPENINGS = 30


@dataclass(frozen=True)
class Phrases:
    """Groups of text ids; group g's are ``ids[start[g]:start[g + 1]]``.

    Attributes:
        start: int32 [num_groups + 1].
        ids: int32 [num_ids].
    """

    start: Ints
    ids: Ints

    @property
    def num_groups(self) -> int:
        """How many groups there are."""
        return len(self.start) - 1

    def group(self, group: int) -> Ints:
        """Returns the text ids of one group."""
        return self.ids[self.start[group] : self.start[group + 1]]

    @classmethod
    def of(cls, groups: Iterable[Sequence[int]]) -> Phrases:
        """Builds phrases from one list of ids per group."""
        lists = [list(group) for group in groups]
        start = np.concatenate([[0], np.cumsum([len(group) for group in lists])]).astype(np.int32)
        return cls(start, np.array([text for group in lists for text in group], np.int32))


@dataclass(frozen=True)
class Critique:
    """A kind of critique: which attribute should be larger (+1) or smaller (-1) than the shown item's.

    Attributes:
        name: How people call it: newer, less known.
        field: The attribute.
        column: Its place in the catalogue.
        direction: +1 or -1.
    """

    name: str
    field: str
    column: int
    direction: int


@dataclass(frozen=True)
class Bank:
    """Everything that can be said in a world, and what it means.

    Attributes:
        texts: All distinct; ``texts[0]`` is empty: nobody says it, the blank control does.
        predicates: Per goal, at most ``num_predicates - 1``: the last place is kept for a critique at run time.
        goals: The same compiled, [num_goals, num_predicates]; ``said`` where volunteered.
        kinds: Per goal, the kind of request.
        intention: Per goal: none, vague or specific.
        narrow: Whether fewer than slate_size × turn_limit items meet the hard conditions, [num_goals].
        matching: How many items meet every hard item-level predicate, [num_goals]; of very many items, an estimate.
        frequency: How often people ask for it: the documented mix over kinds, evenly within a kind; sums to 1,
            [num_goals].
        opening: Group per goal: says what is volunteered.
        restated: Group per goal: says what is volunteered and what is revealed on a violation.
        reveal: Group goal × num_predicates + place: says that one held-back predicate; empty elsewhere.
        critique: Group kind × slate_size + position - 1.
        critiques: The kinds of critique.
        more: One group: asks for more and says nothing new.
    """

    texts: tuple[str, ...]
    predicates: tuple[tuple[Predicate, ...], ...]
    goals: Goals
    kinds: tuple[str, ...]
    intention: tuple[str, ...]
    narrow: Bools
    matching: Ints
    frequency: Floats
    opening: Phrases
    restated: Phrases
    reveal: Phrases
    critique: Phrases
    critiques: tuple[Critique, ...]
    more: Phrases

    @property
    def num_goals(self) -> int:
        """How many goals there are."""
        return len(self.predicates)

    def texts_of(self, ids: Ints | Sequence[int]) -> tuple[str, ...]:
        """Returns the texts with these ids."""
        return tuple(self.texts[int(text)] for text in np.asarray(ids).ravel())

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything in the bank, hex; equal exactly when the content is."""
        digest = hashlib.sha256()
        for part in (self.texts, self.predicates, self.kinds, self.intention, self.critiques):
            digest.update(repr(part).encode(errors="surrogatepass"))
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            for label, array in [(name, value)] if isinstance(value, np.ndarray) else _arrays(name, value):
                digest.update(label.encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def _arrays(name: str, value: object) -> list[tuple[str, np.ndarray]]:
    return list(arrays_of(value, f"{name}.")) if isinstance(value, Goals | Phrases) else []


class _Writer:
    """Collects distinct texts up to a number of them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.ids: dict[str, int] = {"": 0}

    @property
    def left(self) -> int:
        """How many more texts there is room for."""
        return self.size - len(self.ids)

    def add(self, text: str) -> int:
        """Returns the id of a text, giving it one if it is new."""
        return self.ids.setdefault(text, len(self.ids))


@dataclass
class _Group:
    """The ids that a goal's phrases have so far."""

    opening: list[int]
    restated: list[int]
    reveal: dict[int, list[int]]


def compile_bank(
    catalogue: Catalogue,
    vocabulary: Vocabulary,
    about: Sequence[str],
    *,
    splits: Splits | None = None,
    size: int = 6000,
    slate_size: int = 10,
    turn_limit: int = 10,
    num_predicates: int = 5,
    seed: int = 0,
    style: Style | None = None,
) -> Bank:
    """Compiles the bank of a world; the same arguments give the same bank anywhere.

    Args:
        catalogue: The items that goals speak of.
        vocabulary: The language.
        about: The set attributes that people name; exclusions and shares are of the first.
        splits: From which splits sentences, words and combinations come; train's by default.
        size: How many texts, the empty one included.
        slate_size: Places that a critique can name.
        turn_limit: With ``slate_size``, how many items a goal must match not to be narrow.
        num_predicates: Places per compiled goal; one is kept free.
        seed: Which goals and sentences.
        style: Politeness, capitals and typos; `Style`'s defaults if omitted.

    Raises:
        ValueError: If ``size`` has no room for a goal, or the catalogue has nothing that the vocabulary can ask for.
    """
    splits, style = splits or Splits(), style or Style()
    everything = vocabulary.within(catalogue)
    words = everything.restricted(splits.templates, splits.synonyms)
    rng = np.random.default_rng(_seed_words(seed, splits))
    writer = _Writer(size)
    critiques = tuple(
        Critique(more.name, more.field, catalogue.place(more.field), more.direction) for more in words.comparatives
    )
    variants = 3 if size >= _LARGE else 1
    said = [
        [criticise(more, position, words, rng, style=style) for _ in range(variants)]
        for more in words.comparatives
        for position in range(1, slate_size + 1)
    ]
    critique = [sorted({writer.add(text) for text in texts}) for texts in said]
    more = sorted({writer.add(realise((), words, rng, family="more", style=style)) for _ in range(4 * variants)})
    if writer.left < 8:
        raise ValueError(
            f"a bank of {size} texts has no room for goals beside {len(writer.ids)} critiques and continuations; "
            f"give size >= {len(writer.ids) + 8}"
        )
    wanted = max(1, int(writer.left / (_TEXTS_PER_GOAL if size >= _LARGE else _TEXTS_PER_GOAL_SMALL)))
    asking = Asking(catalogue, words, tuple(about))
    requests = choose_requests(asking, splits, rng, wanted, slate_size, turn_limit, num_predicates - 1)
    groups = _write(requests, words, rng, style, writer)
    requests = requests[: len(groups)]
    return _assemble(
        requests, groups, catalogue, asking, writer, critique, critiques, more, slate_size * turn_limit, num_predicates
    )


def _seed_words(seed: int, splits: Splits) -> list[int]:
    digest = hashlib.blake2b(repr(("bank", seed, splits)).encode(), digest_size=16).digest()
    return [int.from_bytes(digest[at : at + 4], "big") for at in range(0, 16, 4)]


def _family(request: Request, predicates: Sequence[Predicate]) -> str:
    if not predicates:
        return "implicit"
    return "vague" if request.kind.intention == "vague" else "opening"


def _write(
    requests: Sequence[Request], words: Vocabulary, rng: np.random.Generator, style: Style, writer: _Writer
) -> list[_Group]:
    """Writes what every goal needs once, then more openings in turn until the bank is full."""
    groups: list[_Group] = []
    volunteered = [tuple(p for p in r.predicates if p.reveal is Reveal.VOLUNTEERED) for r in requests]
    for request, said in zip(requests, volunteered, strict=True):
        held = [place for place, p in enumerate(request.predicates) if p.reveal is Reveal.ON_VIOLATION]
        if writer.left < 3 + 2 * len(held):
            break
        revealed = [p for p in request.predicates if p.reveal is not Reveal.NEVER]
        group = _Group([], [], {place: [] for place in held})
        _extend(group.opening, writer, said, words, rng, _family(request, said), style)
        if revealed:
            _extend(group.restated, writer, revealed, words, rng, "restated", style)
        else:
            group.restated += group.opening
        for place in held:
            for _ in range(2):
                _extend(group.reveal[place], writer, request.predicates[place : place + 1], words, rng, "reveal", style)
        groups.append(group)
    # A request that very many make, such as "surprise me", needs more phrasings than one among hundreds of its kind.
    common = [max(1, min(_MOST_OPENINGS, round(chance * writer.size / 10))) for chance in _frequencies(requests)]
    idle = 0
    while writer.left and idle < 3:
        before = writer.left
        for request, said, group, share in zip(requests, volunteered, groups, common, strict=False):
            for _ in range(1 if idle or len(group.opening) >= share else share):
                if writer.left:
                    _extend(group.opening, writer, said, words, rng, _family(request, said), style)
        idle = idle + 1 if writer.left == before else 0
    return groups


def _extend(
    ids: list[int],
    writer: _Writer,
    predicates: Sequence[Predicate],
    words: Vocabulary,
    rng: np.random.Generator,
    family: str,
    style: Style,
) -> None:
    """Adds one phrasing that the group lacks; short requests can run out of new ones."""
    for _ in range(_ATTEMPTS):
        text = writer.add(realise(predicates, words, rng, family=family, style=style))
        if text not in ids:
            ids.append(text)
            return


def _frequencies(requests: Sequence[Request]) -> Floats:
    """Returns how often people make each request: a kind's share evenly among its requests, sums to 1."""
    counts = Counter(request.kind.name for request in requests)
    shares: Floats = np.array([request.kind.share / counts[request.kind.name] for request in requests])
    return np.asarray(shares / shares.sum())


def _assemble(
    requests: Sequence[Request],
    groups: Sequence[_Group],
    catalogue: Catalogue,
    asking: Asking,
    writer: _Writer,
    critique: list[list[int]],
    critiques: tuple[Critique, ...],
    more: list[int],
    enough: int,
    num_predicates: int,
) -> Bank:
    predicates = tuple(request.predicates for request in requests)
    kinds = tuple(request.kind.name for request in requests)
    matching = np.array([count_hard(asking.matcher, goal) for goal in predicates], np.int32)
    return Bank(
        texts=tuple(writer.ids),
        predicates=predicates,
        goals=compile_goals(predicates, catalogue, num_predicates),
        kinds=kinds,
        intention=tuple(request.kind.intention for request in requests),
        narrow=matching < enough,
        matching=matching,
        frequency=_frequencies(requests),
        opening=Phrases.of(group.opening for group in groups),
        restated=Phrases.of(group.restated for group in groups),
        reveal=Phrases.of(group.reveal.get(place, []) for group in groups for place in range(num_predicates)),
        critique=Phrases.of(critique),
        critiques=critiques,
        more=Phrases.of([more]),
    )

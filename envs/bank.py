"""A finite bank of instructions, compiled before a world's first step.

Every text has an id, every goal its texts, so that the hot loop moves ids and an encoder embeds each text once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np

from instructrec.arrays import Bools, Floats, Ints, arrays_of
from instructrec.catalogue import Catalogue
from instructrec.envs.grammar import Style, compare, criticise, realise
from instructrec.envs.requests import Asking, Change, Request, choose_requests, count_hard
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
class Likeness:
    """A way in which items are like or unlike a shown one.

    Attributes:
        field: The attribute that is compared.
        column: Its place in the catalogue.
        is_set: Whether it holds values rather than numbers.
        unlike: Whether people ask for what is unlike.
    """

    field: str
    column: int
    is_set: bool
    unlike: bool


@dataclass(frozen=True)
class Changes:
    """What may become of goals: another goal of the bank, which differs from it in one place.

    Attributes:
        first: Goal g's changes are ``first[g]`` to ``first[g + 1] - 1``, int32 [num_goals + 1].
        place: Where the goals differ, int8 [num_changes].
        target: The goal that it becomes, int32 [num_changes].
        relaxes: Whether a condition is given up rather than replaced, [num_changes].
        phrases: Group per change: says what is new; of a condition given up, what remains.
    """

    first: Ints
    place: Ints
    target: Ints
    relaxes: Bools
    phrases: Phrases

    @property
    def num(self) -> int:
        """How many changes there are."""
        return len(self.place)

    @classmethod
    def none(cls) -> Changes:
        """Returns no change of any goal."""
        return cls(np.zeros(1, np.int32), np.zeros(0, np.int8), np.zeros(0, np.int32), np.zeros(0, np.bool_), NOTHING)


NOTHING = Phrases.of([])
"""No group at all."""


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
        reveal: Group goal × num_predicates + place: says that one held-back predicate, or corrects what was believed in
            its stead; empty elsewhere.
        critique: Group kind × slate_size + position - 1.
        critiques: The kinds of critique.
        more: One group: asks for more and says nothing new.
        likenesses: In which ways people ask for what is like or unlike a shown item.
        like: Group likeness × slate_size + position - 1.
        reset: Group per goal: an opening that says that what came before counts no longer; no group where nobody does.
        changes: What may become of goals.
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
    likenesses: tuple[Likeness, ...] = ()
    like: Phrases = NOTHING
    reset: Phrases = NOTHING
    changes: Changes = field(default_factory=Changes.none)

    @property
    def infeasible(self) -> Bools:
        """Which goals nothing meets, on purpose, [num_goals]."""
        return np.asarray(~self.goals.feasible.all(axis=1))

    @property
    def num_goals(self) -> int:
        """How many goals there are."""
        return len(self.predicates)

    def texts_of(self, ids: Ints | Sequence[int]) -> tuple[str, ...]:
        """Returns the texts with these ids."""
        return tuple(self.texts[int(text)] for text in np.asarray(ids).ravel())

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything in the bank, hex; equal exactly when the content is.

        What came later and is not used leaves no trace in it: see `instructrec.names.ADDED`.
        """
        digest = hashlib.sha256()
        for part in (self.texts, self.predicates, self.kinds, self.intention, self.critiques):
            digest.update(repr(part).encode(errors="surrogatepass"))
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            for label, array in [(name, value)] if isinstance(value, np.ndarray) else _arrays(name, value):
                digest.update(label.encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        if self.likenesses:
            digest.update(repr(self.likenesses).encode())
        return digest.hexdigest()[:16]


_LATER = ("least", "most", "given_column", "given_mask", "given_low", "given_high", "feasible")
"""Arrays of goals that older banks lack."""


def _arrays(name: str, value: object) -> list[tuple[str, np.ndarray]]:
    if isinstance(value, Goals):
        unused = Goals.empty(*value.check.shape)
        found = list(arrays_of(value))
        return [
            (f"{name}.{label}", array)
            for label, array in found
            if label not in _LATER or not np.array_equal(array, getattr(unused, label))
        ]
    if isinstance(value, Phrases | Changes) and not (name in ("like", "reset", "changes") and _is_nothing(value)):
        return list(arrays_of(value, f"{name}."))
    return []


def _is_nothing(value: Phrases | Changes) -> bool:
    return value.num == 0 if isinstance(value, Changes) else value.num_groups == 0


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
    reset: list[int]


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
    likenesses = _likenesses(catalogue, words)
    like = [
        sorted(
            {
                writer.add(compare(each.field, position, words, rng, unlike=each.unlike, style=style))
                for _ in range(variants)
            }
        )
        for each in likenesses
        for position in range(1, slate_size + 1)
    ]
    if writer.left < 8:
        enough = len(writer.ids) + 8
        enough *= 3 if variants == 1 and enough >= _LARGE else 1  # So large a bank says everything in three ways.
        raise ValueError(
            f"a bank of {size:,} texts has no room for goals beside {len(writer.ids):,} critiques and continuations, "
            f"which slates of {slate_size:,} items need; make slate_size smaller, or the bank larger: {enough:,} texts "
            "or more (bank_size of a world)"
        )
    per_goal = (_TEXTS_PER_GOAL if size >= _LARGE else _TEXTS_PER_GOAL_SMALL) + ("reset" in words.templates)
    wanted = max(1, int(writer.left / per_goal))
    asking = Asking(catalogue, words, tuple(about), style.cooperation)
    requests, changes = choose_requests(asking, splits, rng, wanted, slate_size, turn_limit, num_predicates - 1)
    groups, spoken = _write(requests, changes, words, rng, style, writer)
    requests = requests[: len(groups)]
    bank = _assemble(
        requests, groups, catalogue, asking, writer, critique, critiques, more, slate_size * turn_limit, num_predicates
    )
    if not (likenesses or spoken or "reset" in words.templates or any(r.kind.name == "infeasible" for r in requests)):
        return bank
    return replace(
        bank,
        goals=_tagged(bank.goals, requests),
        likenesses=likenesses,
        like=Phrases.of(like),
        reset=Phrases.of(group.reset for group in groups) if "reset" in words.templates else NOTHING,
        changes=_changes(requests, spoken),
    )


def _seed_words(seed: int, splits: Splits) -> list[int]:
    digest = hashlib.blake2b(repr(("bank", seed, splits)).encode(), digest_size=16).digest()
    return [int.from_bytes(digest[at : at + 4], "big") for at in range(0, 16, 4)]


def _family(request: Request, predicates: Sequence[Predicate]) -> str:
    if not predicates:
        return "implicit"
    return "vague" if request.kind.intention == "vague" else "opening"


def _write(
    requests: Sequence[Request],
    changes: Sequence[Change],
    words: Vocabulary,
    rng: np.random.Generator,
    style: Style,
    writer: _Writer,
) -> tuple[list[_Group], list[tuple[Change, list[int]]]]:
    """Writes what every goal and change needs once, then more openings in turn until the bank is full."""
    groups: list[_Group] = []
    volunteered = [_at_first(request.predicates) for request in requests]
    of_changes = Counter(change.origin for change in changes)
    kept_free = 0
    for request, said in zip(requests, volunteered, strict=True):
        held = [place for place, p in enumerate(request.predicates) if p.reveal is Reveal.ON_VIOLATION]
        needed = 3 + 2 * len(held) + 2 * of_changes[request] + ("reset" in words.templates)
        if writer.left - kept_free < needed:
            break
        kept_free += 2 * of_changes[request]
        revealed = [p for p in request.predicates if p.reveal is not Reveal.NEVER]
        group = _Group([], [], {place: [] for place in held}, [])
        _extend(group.opening, writer, said, words, rng, _family(request, said), style)
        if revealed:
            _extend(group.restated, writer, revealed, words, rng, "restated", style)
        else:
            group.restated += group.opening
        for place in held:
            of_place = request.predicates[place : place + 1]
            family = "reveal" if of_place[0].believed is None else "correction"
            for _ in range(2):
                _extend(group.reveal[place], writer, of_place, words, rng, family, style)
        if "reset" in words.templates:
            _extend(group.reset, writer, said, words, rng, "reset" if said else "implicit", style)
        groups.append(group)
    spoken = _write_changes(requests[: len(groups)], changes, words, rng, style, writer)
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
    return groups, spoken


def _at_first(predicates: Sequence[Predicate]) -> tuple[Predicate, ...]:
    """Returns what is said in an opening: what is volunteered, and what a mistaken user believes."""
    said = (p if p.reveal is Reveal.VOLUNTEERED else p.believed for p in predicates)
    return tuple(p for p in said if p is not None)


def _write_changes(
    requests: Sequence[Request],
    changes: Sequence[Change],
    words: Vocabulary,
    rng: np.random.Generator,
    style: Style,
    writer: _Writer,
) -> list[tuple[Change, list[int]]]:
    """Writes what is said when a request becomes another; of changes both ends of which are in the bank."""
    known = set(requests)
    spoken: list[tuple[Change, list[int]]] = []
    for change in changes:
        if change.origin not in known or change.target not in known:
            continue
        ids: list[int] = []
        new = change.target.predicates
        said = _at_first(new) if change.relaxes else new[change.place : change.place + 1]
        for _ in range(2):
            _extend(ids, writer, said, words, rng, "relax" if change.relaxes else "override", style)
        spoken.append((change, ids))
    return spoken


def _likenesses(catalogue: Catalogue, words: Vocabulary) -> tuple[Likeness, ...]:
    """Returns in which ways these people, in this language, compare with a shown item."""
    alike, replies, templates = words.extras.alike, words.extras.replies, words.templates
    found = []
    for field_ in alike:
        family = "like" if field_ == alike[0] else "same"
        if "like" in replies and templates.get(family):
            found.append(Likeness(field_, catalogue.place(field_), catalogue.column(field_).is_set, unlike=False))
    if alike and "unlike" in replies and templates.get("unlike") and catalogue.column(alike[0]).is_set:
        found.append(Likeness(alike[0], catalogue.place(alike[0]), True, unlike=True))
    return tuple(found)


def _tagged(goals: Goals, requests: Sequence[Request]) -> Goals:
    """Returns the goals with those tagged that nothing meets on purpose."""
    nothing_meets = np.array([request.kind.name == "infeasible" for request in requests], np.bool_)
    return replace(goals, feasible=np.repeat(~nothing_meets[:, None], goals.num_predicates, axis=1))


def _changes(requests: Sequence[Request], spoken: Sequence[tuple[Change, list[int]]]) -> Changes:
    rows = {request: row for row, request in enumerate(requests)}
    ordered = sorted(spoken, key=lambda each: rows[each[0].origin])
    origins = [rows[change.origin] for change, _ in ordered]
    return Changes(
        first=np.searchsorted(origins, np.arange(len(requests) + 1)).astype(np.int32),
        place=np.array([change.place for change, _ in ordered], np.int8),
        target=np.array([rows[change.target] for change, _ in ordered], np.int32),
        relaxes=np.array([change.relaxes for change, _ in ordered], np.bool_),
        phrases=Phrases.of(ids for _, ids in ordered),
    )


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

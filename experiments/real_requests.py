"""What real people asked for, with what they mean by the genres and times they name.

The MIT movie corpus tags every word of a query (``word:TAG word:TAG … <=> …``). Spans of GENRE and YEAR become
predicates (`instructrec.experiments.request_meanings`); other tags (an actor, a plot, an age rating, praise) cannot be
checked in a catalogue of genres, years and ratings, so their words stay in the text and nobody is judged by them.
Queries that name a film's title ask about that film, and are left out.

References:
    Liu, Pasupat, Cyphers and Glass (2013), Asgard: a portable architecture for multilingual dialogue systems.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from instructrec.catalogue import Catalogue
from instructrec.envs.parser import parse
from instructrec.envs.vocabulary import Vocabulary, key_of
from instructrec.experiments.request_meanings import NEGATIONS, NOTHING, THROUGH, Meaning, genre_meaning, time_meaning
from instructrec.goals import Operator, Predicate, allowed, compile_goals

GENRE, TIME, TITLE = "GENRE", "YEAR", "TITLE"
_FEWEST_GENRES = ("Comedy", "Drama")
_NEAR = 4
"""How many words before a span may change what it means."""
_JOINS = {TIME: frozenset(["to", "and", "or", "through", "until", "thru", "the"]), GENRE: frozenset(["or"])}
"""What may stand between two spans that mean one thing."""


@dataclass(frozen=True)
class Part:
    """One genre or time that a query names.

    Attributes:
        said: Its words, as in the query.
        meaning: What they mean.
        inside: Whether the grammar's parser reads the same in them, and nothing else.
    """

    said: str
    meaning: Meaning
    inside: bool = False

    @property
    def predicates(self) -> tuple[Predicate, ...]:
        """What is asked for."""
        return self.meaning.predicates


@dataclass(frozen=True)
class Request:
    """A query that asks for films of a genre or a time.

    Attributes:
        text: Its words.
        parts: The genres and times it names, in order.
        others: Whether it also names something that cannot be checked.
    """

    text: str
    parts: tuple[Part, ...]
    others: bool = False

    @property
    def predicates(self) -> tuple[Predicate, ...]:
        """What is asked for and can be checked, each once."""
        return tuple({key_of(p): p for part in self.parts for p in part.predicates}.values())

    @property
    def inside(self) -> bool:
        """Whether the grammar knows the words of every genre and time."""
        return all(part.inside for part in self.parts)

    @property
    def whole(self) -> bool:
        """Whether all that it names can be checked."""
        return not self.others and all(part.predicates and not part.meaning.unread for part in self.parts)

    @property
    def kind(self) -> str:
        """``genre``, ``time`` or ``genre + time``; ``exclusion`` where something is not wanted."""
        if any(predicate.operator is Operator.EXCLUDE for predicate in self.predicates):
            return "exclusion"
        fields = {predicate.field for predicate in self.predicates}
        return " + ".join(name for field, name in (("genre", "genre"), ("year", "time")) if field in fields)


@dataclass(frozen=True)
class Requests:
    """The queries of a corpus that can be measured on, and what became of the others.

    Attributes:
        kept: Those with enough matching films.
        matches: How many films of the catalogue match each of them, [num_kept].
        counts: ``queries`` in the corpus; of them those that ``name`` a genre or a time; of these ``titles`` speak of
            one film, ``unmapped`` name none that means anything here, ``few`` have too few matching films, and
            ``kept`` are left.
        unmapped: The genres and times that mean nothing here, with how often they are named.
        partly: Those of which only some words mean something.
    """

    kept: tuple[Request, ...]
    matches: tuple[int, ...]
    counts: dict[str, int]
    unmapped: Counter[str]
    partly: Counter[str]


def read_requests(path: Path, catalogue: Catalogue, vocabulary: Vocabulary, *, fewest: int = 10) -> Requests:
    """Reads a corpus of tagged queries.

    Args:
        path: A file of it, or a folder with its file ``valid``.
        catalogue: The films, with the attributes genre and year.
        vocabulary: The grammar's words, of every split.
        fewest: How many films have to match a request at least.

    Raises:
        ValueError: If the file is missing or malformed, or the catalogue has no genres or years of films.
    """
    _check_films(catalogue)
    spoken = _queries(path)
    unmapped: Counter[str] = Counter()
    partly: Counter[str] = Counter()
    found: list[Request] = []
    counts = Counter(queries=len(spoken))
    for words, spans in spoken:
        tags = {tag for tag, _, _ in spans}
        if not tags & {GENRE, TIME}:
            continue
        counts["name"] += 1
        if TITLE in tags:
            counts["titles"] += 1
            continue
        parts = tuple(_known(part, words, at, vocabulary) for part, at in _parts(words, spans))
        unmapped.update(part.said for part in parts if not part.predicates)
        partly.update(part.said for part in parts if part.predicates and part.meaning.unread)
        if any(part.predicates for part in parts):
            found.append(Request(" ".join(words), parts, others=bool(tags - {GENRE, TIME})))
        else:
            counts["unmapped"] += 1
    matches = _matching(found, catalogue)
    kept = [(request, many) for request, many in zip(found, matches, strict=True) if many >= fewest]
    counts |= Counter(few=len(found) - len(kept), kept=len(kept))
    return Requests(
        kept=tuple(request for request, _ in kept),
        matches=tuple(many for _, many in kept),
        counts={name: counts[name] for name in ("queries", "name", "titles", "unmapped", "few", "kept")},
        unmapped=unmapped,
        partly=partly,
    )


def _check_films(catalogue: Catalogue) -> None:
    columns = catalogue.columns
    if "genre" not in columns or "year" not in columns or not set(_FEWEST_GENRES) <= set(columns["genre"].values):
        raise ValueError(
            f"these requests are for films by genre and year; the catalogue has {', '.join(columns)}: measure in movies"
        )


def _matching(requests: Sequence[Request], catalogue: Catalogue) -> list[int]:
    """Returns how many films match each request."""
    every = np.arange(catalogue.num_items)
    goals: dict[tuple[object, ...], int] = {}
    found = []
    for request in requests:
        key = tuple(sorted(map(key_of, request.predicates), key=repr))
        if key not in goals:
            goals[key] = int(allowed(compile_goals([request.predicates], catalogue), catalogue, every).sum())
        found.append(goals[key])
    return found


# --- Reading the file ------------------------------------------------------------------------------------------------

Span = tuple[str, int, int]
"""A tag, and the places of its first word and after its last."""


def _queries(path: Path) -> list[tuple[list[str], list[Span]]]:
    """Returns the words and the tagged spans of each query."""
    file = path / "valid" if path.is_dir() else path
    if not file.is_file():
        raise ValueError(
            f"there is no corpus {file}; give a file of the MIT movie corpus (word:TAG word:TAG … a line), or a folder "
            "with its file valid"
        )
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as problem:
        raise ValueError(
            f"{file} is not UTF-8 text ({problem.reason} at byte {problem.start}); save it as UTF-8"
        ) from None
    found = []
    for number, line in enumerate(lines, 1):
        cells = [cell.rpartition(":") for cell in line.split("<=>")[0].split()]
        if wrong := next((cell for cell in cells if not cell[0] or not _is_tag(cell[2])), None):
            raise ValueError(
                f"{file}, line {number}: {''.join(wrong)!r} is no word:TAG, where TAG is O, B-NAME or I-NAME; expected "
                "a query of the MIT movie corpus on every line"
            )
        if cells:
            found.append(([word.lower() for word, _, _ in cells], _spans([tag for _, _, tag in cells])))
    if not found:
        raise ValueError(f"{file} holds no query")
    return found


def _is_tag(tag: str) -> bool:
    return tag == "O" or (tag[:2] in ("B-", "I-") and len(tag) > 2)


def _spans(tags: Sequence[str]) -> list[Span]:
    spans: list[Span] = []
    for at, tag in enumerate(tags):
        if tag == "O":
            continue
        name = tag[2:]
        if tag.startswith("I-") and spans and spans[-1][0] == name and spans[-1][2] == at:
            spans[-1] = (name, spans[-1][1], at + 1)
        else:
            spans.append((name, at, at + 1))
    return spans


# --- What they mean --------------------------------------------------------------------------------------------------


def _parts(words: Sequence[str], spans: Sequence[Span]) -> list[tuple[Part, Span]]:
    """Returns the genres and times that a query names, with their places; spans that mean one thing are joined."""
    joined: list[Span] = []
    for tag, first, end in spans:
        before = joined[-1] if joined else ("", 0, 0)
        between = words[before[2] : first]
        if tag in _JOINS and before[0] == tag and between and set(between) <= _JOINS[tag]:
            joined[-1] = (tag, before[1], end)
        else:
            joined.append((tag, first, end))
    return [
        (Part(" ".join(words[span[1] : span[2]]), _meaning(words, span)), span)
        for span in joined
        if span[0] in (GENRE, TIME)
    ]


def _meaning(words: Sequence[str], span: Span) -> Meaning:
    tag, first, end = span
    said, lead = words[first:end], words[max(first - _NEAR, 0) : first]
    if tag == TIME:
        found = time_meaning(said, lead, words[end : end + 2])
        # "not from the 90s" is no single bound.
        return NOTHING if _negated(lead) else found
    if "or" in said:
        at = said.index("or")
        either = [genre_meaning(said[:at]), genre_meaning(said[at + 1 :])]
        found = _either(either)
    else:
        found = genre_meaning(said)
    if not _negated(lead):
        return found
    turned = tuple(replace(predicate, operator=Operator.EXCLUDE) for predicate in found.predicates)
    return replace(found, predicates=turned)


def _either(meanings: Sequence[Meaning]) -> Meaning:
    """Returns what "comedy or drama" means: one inclusion of both where each is one genre."""
    unread = tuple(word for meaning in meanings for word in meaning.unread)
    if not all(len(meaning.predicates) == 1 for meaning in meanings):
        return Meaning((), "", unread)
    values = tuple(dict.fromkeys(value for meaning in meanings for value in meaning.predicates[0].values))
    wanted = replace(meanings[0].predicates[0], values=values)
    return Meaning((wanted,), " or ".join(values), unread)


def _negated(lead: Sequence[str]) -> bool:
    """Returns whether the words before a span end with a negation, small words apart."""
    for word in reversed(lead):
        if word in NEGATIONS:
            return True
        if word not in THROUGH:
            return False
    return False


def _known(part: Part, words: Sequence[str], span: Span, vocabulary: Vocabulary) -> Part:
    """Returns a part that says whether the grammar knows its words, with up to four of those before it."""
    wanted = {key_of(predicate) for predicate in part.predicates}
    _, first, end = span
    for begin in range(first, max(first - _NEAR, 0) - 1, -1):
        read = parse(" ".join(words[begin:end]), vocabulary)
        if wanted and not read.unknown and {key_of(predicate) for predicate in read.predicates} == wanted:
            return replace(part, inside=not part.meaning.unread)
    return part

"""Reading the logs that a world is compared with: ratings, queries, dialogues, and tables of shown and clicked items.

| kind | what it is |
|---|---|
| ratings | any format of `instructrec.envs.read_data`: a row for each person and item that they rated or clicked |
| queries | the MIT movie corpus: a query a line, ``word:TAG word:TAG …``, or the folder with its file ``train`` |
| dialogues | IARD: JSON, a list of conversations whose turns carry ``dialogue_acts``, or the folder with it |
| clicks | a CSV or Parquet table, a row per shown item: session, position, clicked and, if known, turn and item |
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from instructrec.catalogue import Catalogue
from instructrec.envs.click_logs import TABLES, log_table, open_log, truth_cells
from instructrec.envs.english import English
from instructrec.envs.files import Files
from instructrec.envs.fit_tastes import chosen_ratings
from instructrec.envs.infer_catalogue import infer_catalogue
from instructrec.envs.interactions import Feedback
from instructrec.envs.lexicon import words_of
from instructrec.envs.movielens import Ratings, load_movielens
from instructrec.envs.read_data import format_of, read_data

NAMED = {"GENRE": "genre", "YEAR": "year", "RATINGS_AVERAGE": "quality"}
"""What the world's people can name too, by the corpus's tags; "quality" is how good or popular something is."""
OTHER, TITLE = "something else", "TITLE"
RECOMMENDED, ACCEPTED, REJECTED, CRITICISED = "REC-", "ACC", "REJ", "CRI-"
"""How the dialogue acts begin that count."""
_SHOWN = ("session", "position", "clicked")


@dataclass(frozen=True)
class RatingLog:
    """Who rated, or clicked, what.

    Attributes:
        source: The log's name.
        catalogue: The items.
        ratings: In stars; of clicks those of which there was one.
        clicks: Whether it holds clicks, so that the stars say nothing.
    """

    source: str
    catalogue: Catalogue
    ratings: Ratings
    clicks: bool = False


@dataclass(frozen=True)
class QueryLog:
    """What people asked a machine for, a row per query.

    Attributes:
        source: The log's name.
        length: Words, int64 [num_queries].
        kinds: What each names, such as "genre + year"; "something else" where it names that too (an actor, a plot).
        mix: The same without looking at anything else that it names.
        covered: Whether the world's people ask for such things: a genre, a year or quality is named and no title.
        excludes: Whether it holds a word of negation.
    """

    source: str
    length: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.str_]
    mix: npt.NDArray[np.str_]
    covered: npt.NDArray[np.bool_]
    excludes: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DialogueLog:
    """How people answered recommendations, a row per dialogue.

    Attributes:
        source: The log's name.
        answers: Of the answers to recommendations how many accept, reject and criticise (one answer may do several),
            and how many there are, int64 [num_dialogues, 4].
        rounds: Turns in which something was recommended, int64 [num_dialogues].
    """

    source: str
    answers: npt.NDArray[np.int64]
    rounds: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClickLog:
    """What was shown and clicked, a row per session.

    Attributes:
        source: The log's name.
        positions: Clicks and shown items by position, int64 [num_sessions, 2, num_positions].
        turns: Slates per session, int64 [num_sessions]; None where the log does not count turns.
        items: The items clicked in each session, as whole numbers that name them; None where it does not name items.
        num_items: How many different items were shown; 0 where it does not name them.
    """

    source: str
    positions: npt.NDArray[np.int64]
    turns: npt.NDArray[np.int64] | None
    items: tuple[npt.NDArray[np.int64], ...] | None
    num_items: int


Log: TypeAlias = RatingLog | QueryLog | DialogueLog | ClickLog


def read_log(path: Path, reading: Mapping[str, Any] | None = None) -> Log:
    """Reads a log of any kind, told by its content.

    Args:
        path: A file, a folder or an archive.
        reading: How ratings and clicks are read: what `instructrec.envs.read_data.read_data` takes, as ``columns``.

    Raises:
        ValueError: If it does not exist, is of no kind, or is malformed; the message names the place and the cure.
    """
    if not path.exists():
        raise ValueError(f"there is no log {path}; give a folder or a file")
    name = path.name or str(path)
    files = Files.at(path)
    kind = format_of(files)
    if kind == "movielens":
        return RatingLog(name, *load_movielens(path))
    file = _only_file(path) if path.is_dir() else path
    if file is not None and file.suffix == ".json":
        return _dialogues(file, name)
    if file is not None and not reading and file.name.endswith(TABLES) and _shows_slates(file):
        return _clicks(file, name)
    if kind is not None:
        return _ratings(path, name, reading or {})
    if file is None:
        raise ValueError(
            f"{path} holds no log, or several ({files.listed()}): expected ratings in a format of `instructrec world "
            "new`, or one table of shown items (.csv or .parquet), file of dialogues (.json) or file train of the MIT "
            "movie corpus; name the file"
        )
    return _queries(file, name)


def _only_file(folder: Path) -> Path | None:
    """Returns the one log that a folder holds; None where it is not one file."""
    found = (sorted(folder.glob(pattern)) for pattern in ("*.json", *(f"*{end}" for end in TABLES), "train"))
    first = next(filter(None, found), [])
    return first[0] if len(first) == 1 else None


def _shows_slates(file: Path) -> bool:
    """Returns whether a table is of shown items: a column may be misspelt, which is then told."""
    return len(set(_SHOWN) & set(open_log(file).header)) > 1


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ValueError(
            f"{file} is not UTF-8 text ({problem.reason} at byte {problem.start}); save it as UTF-8"
        ) from None


# --- Ratings ---------------------------------------------------------------------------------------------------------


def _ratings(path: Path, name: str, reading: Mapping[str, Any]) -> RatingLog:
    record = read_data(path, **reading)
    clicks = record.feedback is Feedback.CLICKS
    if clicks:
        record = replace(record, ratings=record.ratings.some(record.ratings.rating > 0))
        if not len(record.ratings.item):
            raise ValueError(
                f"{record.source}: nothing in it was clicked, so that it says nothing about what people like; give a "
                "log in which something was"
            )
    catalogue = infer_catalogue(record, max_items=record.num_items)
    ratings = chosen_ratings(record, catalogue, max_persons=record.num_persons, min_person_ratings=1)
    return RatingLog(name, catalogue, ratings, clicks)


# --- Queries ---------------------------------------------------------------------------------------------------------


def _queries(file: Path, name: str) -> QueryLog:
    length, kinds, mix, covered, excludes = [], [], [], [], []
    for number, line in enumerate(_text(file).splitlines(), 1):
        cells = [cell.rpartition(":") for cell in line.split("<=>")[0].split()]
        if not cells:
            continue
        if not all(word and mark for word, mark, _ in cells):
            raise ValueError(
                f"{file}, line {number}: expected a query as word:TAG word:TAG … (the MIT movie corpus); a table of "
                "clicks ends in .csv and dialogues in .json"
            )
        tags = {tag.split("-", 1)[-1] for _, _, tag in cells} - {"O"}
        said = words_of(" ".join(word for word, _, _ in cells))
        length.append(len(said))
        named = {NAMED.get(tag, OTHER) for tag in tags}
        kinds.append(kind_of(named))
        mix.append(kind_of(named - {OTHER}))
        covered.append(bool(tags & set(NAMED)) and TITLE not in tags)
        excludes.append(bool(set(said) & English.negations))
    if not length:
        raise ValueError(f"{file} holds no query")
    return QueryLog(name, np.array(length), np.array(kinds), np.array(mix), np.array(covered), np.array(excludes))


def kind_of(named: set[str]) -> str:
    """Returns the kind of a request by what it names: "genre + year", "nothing", or "something else" besides."""
    if OTHER in named:
        return OTHER
    return " + ".join(sorted(named)) or "nothing"


# --- Dialogues -------------------------------------------------------------------------------------------------------


def _dialogues(file: Path, name: str) -> DialogueLog:
    try:
        talks = json.loads(_text(file))
    except json.JSONDecodeError as problem:
        raise ValueError(f"{file}, line {problem.lineno}: not JSON ({problem.msg})") from None
    try:
        found = [_answers(talk["conversation"]) for talk in talks]
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(
            f"{file}: expected a list of dialogues, each with a conversation of turns that have a participant and "
            f"dialogue_acts with an intent, as IARD has them; {type(problem).__name__}: {problem}"
        ) from None
    if not found:
        raise ValueError(f"{file} holds no dialogue")
    return DialogueLog(name, np.array([answers for answers, _ in found]), np.array([rounds for _, rounds in found]))


def _answers(turns: Sequence[Any]) -> tuple[list[int], int]:
    """Returns how recommendations were answered (see `DialogueLog`), and how many turns held one."""
    counts, rounds, waiting = [0, 0, 0, 0], 0, False
    for turn in turns:
        acts = [str(act["intent"]) for act in turn["dialogue_acts"]]
        if turn["participant"] == "AGENT":
            recommends = any(act.startswith(RECOMMENDED) for act in acts)
            rounds += recommends
            waiting = waiting or recommends
        elif waiting:
            for place, wanted in enumerate((ACCEPTED, REJECTED, CRITICISED)):
                counts[place] += any(act.startswith(wanted) for act in acts)
            counts[3] += 1
            waiting = False
    return counts, rounds


# --- Clicks ----------------------------------------------------------------------------------------------------------


def _clicks(file: Path, name: str) -> ClickLog:
    table = log_table(file, _SHOWN, ("turn", "item"))
    names, position, clicked = table.filled("session"), table.integers("position"), truth_cells(table, "clicked")
    if position.min() < 0:
        raise ValueError(f"{table.at(int(position.argmin()))}: positions are counted from 1, or all from 0")
    position = position - min(int(position.min()), 1)  # Counted from 1; where one is 0, from 0.
    places = {session: place for place, session in enumerate(dict.fromkeys(names))}
    at = np.array([places[session] for session in names])
    shape = (len(places), int(position.max()) + 1)
    cells = at * shape[1] + position
    counts = [np.bincount(some, minlength=shape[0] * shape[1]).reshape(shape) for some in (cells[clicked], cells)]
    turns = items = None
    num_items = 0
    if "turn" in table.columns:
        pairs = set(zip(at.tolist(), table.filled("turn"), strict=True))
        turns = np.bincount([place for place, _ in pairs])
    if "item" in table.columns:
        known, item = np.unique(np.array(table.filled("item")), return_inverse=True)
        num_items = len(known)
        rows = np.argsort(at, kind="stable")
        rows = rows[clicked[rows]]
        ends = np.cumsum(np.bincount(at[rows], minlength=len(places)))[:-1]
        items = tuple(np.split(item[rows].astype(np.int64), ends))
    return ClickLog(name, np.stack(counts, axis=1), turns, items, num_items)

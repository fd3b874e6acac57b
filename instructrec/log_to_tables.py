"""A log as RecBole's atomic files, and as a plain table.

``NAME.inter`` has a row for every shown item: user_id, item_id, timestamp, label (1 where it was clicked), session_id,
turn, position (from 0), propensity (given the items above) and reward; ``NAME.item`` has item_id and title. A log has
no clock: the timestamp counts its turns.

The plain table has a row for every shown item too, in the columns that `instructrec.envs.log_rows` reads, so that it
can be imported again.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from instructrec import runs
from instructrec.log_files import DiskLog
from instructrec.runs import RunError
from instructrec.turns import Turns

INTER = (
    "user_id:token", "item_id:token", "timestamp:float", "label:float", "session_id:token", "turn:float",
    "position:float", "propensity:float", "reward:float",
)  # fmt: skip
TABLE = (
    "session", "turn", "position", "item", "log_propensity", "reward", "clicked", "person", "instruction", "truncated",
    "next_instruction",
)  # fmt: skip


def recbole_files(out: Path) -> tuple[Path, ...]:
    """Returns which files are written into a folder, that of interactions last: without it there is no data set."""
    return out / f"{out.name}.item", out / f"{out.name}.inter"


def write_recbole(log: DiskLog, files: tuple[Path, ...]) -> None:
    """Writes a log as RecBole's atomic files, shard by shard.

    Raises:
        RunError: If the log is damaged or the folder cannot be written.
    """
    ids, titles = log.items()
    _write(
        files[0], "\t", ("item_id:token", "title:token_seq"), zip(map(_word, ids), map(_phrase, titles), strict=True)
    )
    tokens = list(map(_word, ids))
    _write(files[1], "\t", INTER, _interactions(log, tokens))


def write_table(log: DiskLog, files: tuple[Path, ...]) -> None:
    """Writes a log as a CSV file, shard by shard.

    Raises:
        RunError: If the log offers some items each turn: a row for an item has no place for them.
    """
    if log.plan.world.num_candidates is not None:
        raise RunError(
            f"{log.folder} has candidates, for which a table of shown items has no place; its own files, "
            "turns-*.parquet, are a table of slates"
        )
    _write(files[0], ",", TABLE, _rows(log))


def _write(path: Path, separator: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with runs.whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        # Atomic files know no quotes; their cells hold nothing that would need them.
        writer = csv.writer(file) if separator == "," else csv.writer(file, "excel-tab", quoting=3, quotechar=None)
        writer.writerow(header)
        writer.writerows(rows)


def _interactions(log: DiskLog, tokens: Sequence[str]) -> Iterator[Sequence[object]]:
    before = 0
    for turns, sessions in _named(log):
        chances = np.exp(turns.log_probs).tolist()
        for row, slate in enumerate(turns.slates.tolist()):
            for position, item in enumerate(slate):
                yield (
                    int(turns.person[row]), tokens[item], before + row, int(turns.clicked[row, position]),
                    _word(sessions[row]), int(turns.turn[row]), position, chances[row][position],
                    float(turns.item_rewards[row, position]),
                )  # fmt: skip
        before += len(turns)


def _rows(log: DiskLog) -> Iterator[Sequence[object]]:
    ids = log.items()[0]
    for turns, sessions in _named(log):
        for row, slate in enumerate(turns.slates.tolist()):
            cut = bool(turns.truncated[row])
            following = turns.texts[int(turns.next_instruction[row])] if cut else ""
            for position, item in enumerate(slate):
                yield (
                    sessions[row], int(turns.turn[row]), position, ids[item], float(turns.log_probs[row, position]),
                    float(turns.item_rewards[row, position]), int(turns.clicked[row, position]),
                    int(turns.person[row]), turns.texts[int(turns.instruction[row])], int(cut), following,
                )  # fmt: skip


def _named(log: DiskLog) -> Iterator[tuple[Turns, list[str]]]:
    """Yields the turns of each shard, and what the session of each turn is called."""
    names, before = log.session_ids(), 0
    for turns in log.shards():
        session = turns.session + before
        yield turns, [names[number] for number in session.tolist()]
        before = int(session[-1]) + 1


def _word(text: str) -> str:
    """Returns a text without what would end a cell, or divide it."""
    return "_".join(text.split()) or "_"


def _phrase(text: str) -> str:
    return " ".join(text.split())

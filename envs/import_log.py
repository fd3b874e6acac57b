"""Logs that others recorded, made logs that `instructrec.log_files.open_log` reads.

Two formats: ``table``, whose columns `instructrec.envs.log_rows` lists, and ``open-bandit``, one campaign of the Open
Bandit Dataset. That shop showed three items side by side and logged each by itself, with the probability of the item at
its position and no word of which ones stood together: so each row becomes a session of one turn with a slate of one
item, and ``position 1`` to ``position 3`` is what is known of the situation, the instruction. A person is everybody
with the same four features.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from instructrec import runs
from instructrec.envs.files import Files
from instructrec.envs.log_rows import LogRows, log_roles
from instructrec.envs.read_openbandit import LOG, one_campaign, with_person
from instructrec.envs.read_tables import Reader, open_table
from instructrec.envs.tables import Table, TableReader
from instructrec.log_files import ITEMS, DiskLog, LogWriter, open_log, writing
from instructrec.log_manifest import LoggedPolicy, LoggedWorld, LogPlan
from instructrec.log_shards import arrow, encode_items
from instructrec.names import unknown_name

FORMATS = ("table", "open-bandit")
TURNS_PER_SHARD = 65_536
_ID, _TITLE = ("item_id", "item", "id"), ("title", "name")
_BANDIT = {
    "item": "item_id",
    "propensity": "propensity_score",
    "clicked": "click",
    "person": "person",
    "instruction": "where",
}


def import_log(
    files: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    data_format: str = "table",
    columns: Mapping[str, str] | None = None,
    items: str | os.PathLike[str] | None = None,
    policy: str = "logged",
    notes: Mapping[str, Any] | None = None,
    begun: Callable[[LogWriter, LogPlan], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DiskLog:
    """Reads what somebody logged and writes it as a log.

    Files are read block by block; the numbers of all rows are held at once, and each text once. A killed import that is
    run again writes what is missing.

    Args:
        files: The tables, parts of one log; for ``open-bandit`` the one folder or archive of a campaign.
        out: The log's folder.
        data_format: One of `FORMATS`.
        columns: Column by role, for tables, where it is not called like the role.
        items: A table of all items that might have been shown: ``item_id``, and ``title`` if you like. Those that
            occur when omitted. Open Bandit brings its own.
        policy: What the policy that showed the slates is called.
        notes: The command and versions, kept in the manifest.
        begun: Called once the folder is held, with the writer and the plan.
        progress: Called with (sessions written, sessions in all).

    Raises:
        ImportError: If pyarrow is not installed.
        FileNotFoundError: If a file is not there.
        ValueError: If there is no such format, or a file is malformed; the message names the line and the cure.
        RunError: If the folder holds another log, is in use, or cannot be written.
    """
    arrow()
    if data_format not in FORMATS:
        raise ValueError(unknown_name("format of logs", data_format, FORMATS))
    if not files:
        raise ValueError("expected at least one file to import")
    if data_format == "open-bandit" and (columns or items is not None or len(files) != 1):
        raise ValueError("the Open Bandit Dataset says its columns and items itself; give one campaign's folder alone")
    read = _open_bandit if data_format == "open-bandit" else _tables
    rows, ids, titles, hashed = read(files, dict(columns or {}), items)
    turns, names = rows.turns(), rows.session_ids
    sessions = int(turns.lane[-1]) + 1
    mark = hashlib.sha256(json.dumps([data_format, columns or {}, hashed]).encode()).hexdigest()[:16]
    plan = LogPlan(
        world=LoggedWorld(
            id=", ".join(Path(each).name for each in files),
            settings={"columns": dict(columns)} if columns else {},
            fingerprint=mark,
            catalogue=hashlib.sha256(json.dumps([ids, titles]).encode()).hexdigest()[:16],
            num_items=len(ids),
            num_candidates=None if turns.candidates is None else turns.candidates.shape[1],
            slate_size=turns.slates.shape[1],
            turn_limit=int(turns.turn.max()) + 1,
            imported=data_format,
        ),
        policy=LoggedPolicy(
            name=policy, draws="imported", deterministic=bool((turns.log_probs == 0).all()), fingerprint=mark
        ),
        sessions=sessions,
        sessions_per_shard=max(1, TURNS_PER_SHARD * sessions // len(turns)),
    )
    starts = np.append(np.flatnonzero(turns.begins), len(turns))
    with writing(out, plan, notes) as writer:
        if begun is not None:
            begun(writer, plan)
        if not (Path(out) / ITEMS).exists():
            runs.write_bytes(Path(out) / ITEMS, encode_items(ids, titles))
        for number in writer.missing:
            lanes = plan.lanes(number)
            part = turns.rows(slice(starts[lanes[0]], starts[lanes[-1] + 1]))
            writer.add(number, part, session_ids=[names[lane] for lane in part.lane.tolist()] if names else ())
            if progress is not None:
                progress(writer.num_sessions, sessions)
    return open_log(out)


_Found = tuple[LogRows, tuple[str, ...], tuple[str, ...], list[str]]
"""The rows, the items' ids and titles, and a hash of every file."""


def _tables(files: Sequence[str | os.PathLike[str]], columns: Mapping[str, str], items: Any) -> _Found:
    given = None if items is None else _items(Path(items))
    rows, hashed = LogRows(None if given is None else given[0]), []
    for path in files:
        place, name = _file(Path(path))
        reader = open_table(place, name)
        roles = log_roles(reader.source, reader.header, columns)
        for block in reader.blocks(list(dict.fromkeys(roles.values()))):
            rows.add(block, roles)
        hashed.append(_hash(place, name))
    ids = rows.item_ids
    return rows, ids, ids if given is None else given[1], hashed


def _open_bandit(files: Sequence[str | os.PathLike[str]], columns: Mapping[str, str], items: Any) -> _Found:
    place = Files.at(Path(files[0]), "a campaign of the Open Bandit Dataset")
    log, context = one_campaign(place)
    table = next(TableReader(place, context, wanted=("item_id",)).blocks(["item_id"], rows=None))
    table.check_unique("item_id")
    ids = tuple(table.filled("item_id"))
    rows = LogRows(ids)
    for block in TableReader(place, log, wanted=LOG).blocks(LOG):
        rows.add(_with_place(with_person(block, {})), _BANDIT)
    return rows, ids, ids, [_hash(place, name) for name in (log, context)]


def _with_place(block: Table) -> Table:
    """Returns a block with a column that says in words where an item stood."""
    places = block.within("position", 1, 1e6).astype(int).tolist()
    return replace(block, columns={**block.columns, "where": [f"position {place}" for place in places]})


def _items(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the ids and the titles of a table of items."""
    place, name = _file(path)
    reader: Reader = open_table(place, name)
    known = {column.lower(): column for column in reader.header}
    id_column = next((known[each] for each in _ID if each in known), None)
    if id_column is None:
        raise ValueError(
            f"{reader.source}: no column holds the items' ids (found: {', '.join(reader.header)}); call it item_id"
        )
    title = next((known[each] for each in _TITLE if each in known), id_column)
    table = next(reader.blocks(list(dict.fromkeys([id_column, title])), rows=None))
    table.check_unique(id_column)
    return tuple(table.filled(id_column)), tuple(table.columns[title])


def _file(path: Path) -> tuple[Files, str]:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the tables in it, such as {path / 'log.csv'}")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; a log is a table: .csv, .csv.gz, .tsv or .parquet")
    place = Files.at(path)
    if not place.only:
        raise ValueError(f"{path} is an archive; unpack it, and name the tables in it")
    return place, place.only


def _hash(place: Files, name: str) -> str:
    hashed = hashlib.sha256()
    with place.open(name) as stream:
        for block in _blocks(stream):
            hashed.update(block)
    return hashed.hexdigest()


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    while block := stream.read(1 << 20):
        yield block

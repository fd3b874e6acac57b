"""One shard of a log as Parquet: its columns, and the way from arrays to bytes and back.

Columns of a turns shard, one row per turn, none of them null but what is said next:

    seed, lane, ordinal      int64            which session, as in `instructrec.sessions.Sessions`
    person                   int64            whose session
    turn                     int32            how many slates were shown before
    instruction_id           int64            what was said, as the world numbers it
    instruction              text             what was said
    candidates               int32 [C]        what might be ranked; only where a world has its own
    slate                    int32 [K]        what was shown, best first
    log_propensity           float64 [K]      log P(item at position k | items above it)
    item_reward              float32 [K]      what each position earned
    reward                   float32          what the turn earned
    clicked                  bool [K]         what was clicked
    next_instruction_id      int64 or null    what was said next; null where the user left
    next_instruction         text or null     the same
    terminated, truncated    bool             the user left; the turn limit came first
    session_id               text             what the session is called in the table that the log was imported from

Log-propensities are double precision: estimators multiply those of a whole session, and are held to 1e-9. Texts are
dictionary-encoded, lists of fixed size, everything is compressed by zstd.

A truth shard, beside it and row by row the same turns, holds what no agent may see; what a world's people do not have
is null:

    seed, lane, ordinal, turn  as above
    satisfaction, trust      float32          after the slate, 0 to 1
    goal_met                 float32          the share of what was said that the slate meets; null where nothing was
    expected_utility         float32 [K]      P(clicked | examined) of each shown item, before the slate
    examined                 bool [K]         which positions were looked at

``items.parquet`` says what item numbers mean: item (int32), item_id and title (text).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.runs import RunError
from instructrec.turns import Turns

Truth = Mapping[str, npt.NDArray[Any]]
"""Hidden columns by name, each [num_turns] or [num_turns, slate_size]."""

INSTALL = "pip install 'instructrec[parquet]'"
NEXT = ("next_instruction_id", "next_instruction")
TRUTH_KEYS = ("seed", "lane", "ordinal", "turn")
HIDDEN = {"satisfaction": False, "trust": False, "goal_met": False, "expected_utility": True, "examined": True}
"""The hidden columns, and whether they have one value per position."""
_PLAIN = {
    "seed": "seed",
    "lane": "lane",
    "ordinal": "ordinal",
    "person": "person",
    "turn": "turn",
    "instruction_id": "instruction",
    "reward": "rewards",
    "terminated": "terminated",
    "truncated": "truncated",
}
_LISTS = {
    "candidates": "candidates",
    "slate": "slates",
    "log_propensity": "log_probs",
    "item_reward": "item_rewards",
    "clicked": "clicked",
}
_ORDER = (
    "seed", "lane", "ordinal", "person", "turn", "instruction_id", "instruction", "candidates", "slate",
    "log_propensity", "item_reward", "reward", "clicked", *NEXT, "terminated", "truncated", "session_id",
)  # fmt: skip
_TYPES = {
    **dict.fromkeys(("seed", "lane", "ordinal", "person", "instruction_id", "next_instruction_id"), "int64"),
    **dict.fromkeys(("turn", "candidates", "slate"), "int32"),
    **dict.fromkeys(("item_reward", "reward", "satisfaction", "trust", "goal_met", "expected_utility"), "float32"),
    **dict.fromkeys(("clicked", "terminated", "truncated", "examined"), "bool_"),
    "log_propensity": "float64",
}


def arrow() -> Any:
    """Returns pyarrow.

    Raises:
        ImportError: If it is not installed; the message names the command.
    """
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ImportError(f"logs are Parquet files, read and written by pyarrow; install it with: {INSTALL}") from None
    return importlib.import_module("pyarrow")


# --- From arrays to bytes ----------------------------------------------------------------------------------------


def encode_turns(turns: Turns, session_ids: Sequence[str] = ()) -> bytes:
    """Returns a turns shard; equal turns give equal bytes.

    Args:
        turns: The turns.
        session_ids: What each one's session is called, [num_turns], where it is not called by its lane.

    Raises:
        ValueError: If an instruction has no text.
    """
    pa = arrow()
    columns: dict[str, Any] = {name: _plain(name, getattr(turns, own)) for name, own in _PLAIN.items()}
    columns |= {name: _list(name, found) for name, own in _LISTS.items() if (found := getattr(turns, own)) is not None}
    left = turns.next_instruction < 0
    columns["next_instruction_id"] = pa.array(turns.next_instruction, pa.int64(), mask=left)
    columns["instruction"] = _words(turns.instruction, turns.texts, np.zeros_like(left))
    columns["next_instruction"] = _words(turns.next_instruction, turns.texts, left)
    if session_ids:
        columns["session_id"] = pa.array(session_ids, pa.string())
    return _written({name: columns[name] for name in _ORDER if name in columns}, nullable=NEXT)


def encode_truth(turns: Turns, truth: Truth) -> bytes:
    """Returns a truth shard of the same turns.

    Raises:
        ValueError: If there is no such column, or one has another number of rows or positions.
    """
    pa, (size, width) = arrow(), turns.slates.shape
    columns = {name: _plain(name, getattr(turns, name)) for name in TRUTH_KEYS}
    for name in truth:
        if name not in HIDDEN:
            raise ValueError(f"there is no hidden column {name!r}; those of a log are {', '.join(HIDDEN)}")
    for name, by_position in HIDDEN.items():
        expected = (size, width) if by_position else (size,)
        found, kind = truth.get(name), getattr(pa, _TYPES[name])()
        if found is None:
            columns[name] = pa.nulls(size, _list_type(kind, width) if by_position else kind)
        elif found.shape != expected:
            raise ValueError(f"{name} has the shape {found.shape}; these turns need {expected}")
        elif by_position:
            columns[name] = _list(name, found)
        else:
            columns[name] = pa.array(np.asarray(found, np.float32), kind, from_pandas=True)
    return _written(columns, nullable=HIDDEN)


def encode_items(item_ids: Sequence[str], titles: Sequence[str]) -> bytes:
    """Returns what the numbers of items mean: the id and the title of each."""
    pa = arrow()
    columns = {"item": pa.array(np.arange(len(item_ids), dtype=np.int32))}
    columns |= {"item_id": pa.array(list(item_ids), pa.string()), "title": pa.array(list(titles), pa.string())}
    return _written(columns, nullable=())


def decode_items(content: bytes, source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the ids and the titles of items, by number.

    Raises:
        RunError: If it is not Parquet, or has other columns.
    """
    table = _table(content, source, read_dictionary=[])
    if not {"item_id", "title"} <= set(table.column_names):
        raise RunError(f"{source} should say the item_id and the title of every item; write the log again")
    return tuple(table["item_id"].to_pylist()), tuple(table["title"].to_pylist())


def _plain(name: str, array: npt.NDArray[Any]) -> Any:
    pa = arrow()
    return pa.array(np.asarray(array, _numpy(name)), getattr(pa, _TYPES[name])())


def _numpy(name: str) -> Any:
    return np.dtype(_TYPES[name].rstrip("_"))


def _list_type(kind: Any, width: int) -> Any:
    pa = arrow()
    return pa.list_(pa.field("element", kind, nullable=False), width)


def _list(name: str, array: npt.NDArray[Any]) -> Any:
    pa = arrow()
    kind = _list_type(getattr(pa, _TYPES[name])(), array.shape[1])
    return pa.FixedSizeListArray.from_arrays(_plain(name, np.ascontiguousarray(array).reshape(-1)), type=kind)


def _words(ids: npt.NDArray[np.int64], texts: Mapping[int, str], absent: npt.NDArray[np.bool_]) -> Any:
    pa = arrow()
    # Sorted by id, so that the dictionary depends on nothing else.
    known, codes = np.unique(ids[~absent], return_inverse=True)
    indices = np.zeros(len(ids), np.int32)
    indices[~absent] = codes
    if unknown := [number for number in known.tolist() if number not in texts]:
        raise ValueError(f"no text is given for the instruction id {unknown[0]}; `texts` has one for every id")
    words = pa.array([texts[number] for number in known.tolist()], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=absent), words)


def _written(columns: Mapping[str, Any], nullable: Any) -> bytes:
    pa = arrow()
    schema = pa.schema([pa.field(name, found.type, nullable=name in nullable) for name, found in columns.items()])
    table, stream = pa.Table.from_arrays(list(columns.values()), schema=schema), pa.BufferOutputStream()
    # Doubles barely repeat: their bytes compress by place, not by value.
    doubles = {"log_propensity", "expected_utility"} & set(columns)
    whole = {
        name: f"{name}.list.element" if pa.types.is_fixed_size_list(schema.field(name).type) else name
        for name in columns
    }
    pa.parquet.write_table(
        table,
        stream,
        compression="zstd",
        row_group_size=max(len(table), 1),
        use_dictionary=[path for name, path in whole.items() if name not in doubles],
        use_byte_stream_split=[path for name, path in whole.items() if name in doubles],
    )
    return bytes(stream.getvalue())


# --- From bytes to arrays ----------------------------------------------------------------------------------------


def decode_turns(content: bytes, source: str, *, slate_size: int, num_candidates: int | None) -> Turns:
    """Returns the turns of a shard, their columns and types checked; what they say is not.

    Args:
        content: The file's bytes.
        source: Its name, for messages.
        slate_size: Items per slate.
        num_candidates: Items that might be ranked each turn; None for all of them.

    Raises:
        RunError: If it is not Parquet, lacks a column, or a column has another type or an empty cell.
    """
    table = _table(content, source, read_dictionary=["instruction", "next_instruction"])
    widths = dict.fromkeys(_LISTS, slate_size) | {"candidates": num_candidates}
    expected = [name for name in _ORDER if widths.get(name, 0) is not None and name != "session_id"]
    _check_columns(table, source, {name: widths.get(name) for name in expected}, nullable=NEXT)
    arrays: dict[str, Any] = {own: _flat(table, name) for name, own in _PLAIN.items()}
    arrays |= {
        own: _flat(table, name).reshape(-1, int(widths[name] or 0)) for name, own in _LISTS.items() if name in expected
    }
    arrays["next_instruction"] = table["next_instruction_id"].combine_chunks().fill_null(-1).to_numpy()
    texts: dict[int, str] = {}
    for ids, column in ((arrays["instruction"], "instruction"), (arrays["next_instruction"], "next_instruction")):
        for number, text in _pairs(table, source, ids, column):
            if texts.setdefault(number, text) != text:
                raise RunError(f"{source}: the instruction id {number} means “{texts[number]}” and “{text}”; log one")
    return Turns(**arrays, texts=texts)


def decode_session_ids(content: bytes, source: str) -> list[str] | None:
    """Returns what the session of each turn is called; None where it is called by its lane.

    Raises:
        RunError: If it is not Parquet, or the names are no texts.
    """
    pa, table = arrow(), _table(content, source, read_dictionary=[])
    if "session_id" not in table.column_names:
        return None
    if not table.schema.field("session_id").type.equals(pa.string()) or table["session_id"].null_count:
        raise RunError(f"{source}: session_id should hold a text in every row; import the log again")
    return list(table["session_id"].to_pylist())


def decode_truth(content: bytes, source: str, *, slate_size: int) -> dict[str, npt.NDArray[Any]]:
    """Returns the columns of a truth shard by name, without those that these people do not have.

    Raises:
        RunError: As `decode_turns` does.
    """
    table = _table(content, source, read_dictionary=[])
    widths = dict.fromkeys(TRUTH_KEYS) | {name: slate_size if wide else None for name, wide in HIDDEN.items()}
    _check_columns(table, source, widths, nullable=HIDDEN)
    found: dict[str, npt.NDArray[Any]] = {}
    for name, width in widths.items():
        if table[name].null_count < len(table) or name in TRUTH_KEYS:
            array = _flat(table, name)
            found[name] = array if width is None else array.reshape(-1, width)
    return found


def _table(content: bytes, source: str, read_dictionary: list[str]) -> Any:
    pa = arrow()
    try:
        return pa.parquet.ParquetFile(pa.BufferReader(content), read_dictionary=read_dictionary).read()
    except (pa.ArrowException, OSError) as problem:
        first = str(problem).splitlines()[0]
        raise RunError(f"{source} is damaged: it does not read as Parquet ({first})") from problem


def _check_columns(table: Any, source: str, widths: Mapping[str, int | None], nullable: Any) -> None:
    pa = arrow()
    why = {
        "log_propensity": "without the probability of what was shown nothing can be evaluated off-policy",
        "candidates": "this log's world offers some items each turn, and a probability is one among those",
    }
    for name, width in widths.items():
        if name in ("instruction", "next_instruction"):
            kind, words = pa.dictionary(pa.int32(), pa.string()), "text"
        else:
            kind, words = getattr(pa, _TYPES[name])(), _TYPES[name].rstrip("_")
        if width is not None:
            kind, words = _list_type(kind, width), f"lists of {width} {words}"
        if name not in table.column_names:
            said = f": {why[name]}" if name in why else ""
            raise RunError(f"{source} lacks the column {name} ({words}){said}; write it with every column of a log")
        found = table.schema.field(name).type
        if not found.equals(kind):
            raise RunError(f"{source}: the column {name} holds {found}, where a log has {words}; write it as that")
        if name not in nullable and table[name].null_count:
            row = int(np.argmax(table[name].is_null().to_numpy()))
            raise RunError(f"{source}, row {row}: {name} is empty; every turn has one")


def _flat(table: Any, name: str) -> npt.NDArray[Any]:
    pa, column = arrow(), table[name].combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_fixed_size_list(column.type):
        column = column.flatten()
    return np.asarray(column.to_numpy(zero_copy_only=False), _numpy(name))


def _pairs(table: Any, source: str, ids: npt.NDArray[np.int64], name: str) -> Iterator[tuple[int, str]]:
    """Yields every id of a column and its text, after checking that an id has one text throughout."""
    column = table[name].combine_chunks()
    column = column.chunk(0) if hasattr(column, "chunk") else column
    codes = column.indices.fill_null(-1).to_numpy()
    known, first, places = np.unique(ids, return_index=True, return_inverse=True)
    wrong = (codes != codes[first][places]) | ((codes < 0) != (ids < 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise RunError(f"{source}, row {row}: {name} is not the text that its id {ids[row]} has elsewhere; log one")
    words = column.dictionary.to_pylist()
    for number, code in zip(known.tolist(), codes[first].tolist(), strict=True):
        if number >= 0:
            yield number, words[code]

"""Rows of a table in which somebody logged what was shown, with its probability, made the turns of a log.

A row is one shown item, or one whole slate whose cells are lists. What a column means is said by roles:

=====================  ===============================================================================================
``session``            the visit, any text; without it every row is a visit of one slate
``turn``               which slate of the visit, a whole number that grows within it
``position``           the place in the slate, best first, from 0 or from 1; without it a row is a slate of one item
``item``               the item's id
``slate``              instead of ``item`` and ``position``: all items of a slate, best first
``propensity``         the probability with which the item was shown, given those above it: above 0, at most 1
``log_propensity``     instead: its natural logarithm
``reward``             what the position earned; what was clicked earned 1 where there is no such column
``clicked``            1 or 0; what earned more than 0 was clicked where there is no such column
``person``             optional: whose visit, any text; without it every visit is a person of its own
``instruction``        optional: what was said before the slate, or any other words about the situation
``truncated``          optional: 1 where the system ended the visit after this turn, though the person might have stayed
``next_instruction``   optional: what was said after a truncated turn
``candidates``         optional, beside ``slate``: the items that might have been shown; all items where it is missing
=====================  ===============================================================================================

A list is written [a, b] or a|b in a CSV file, and is a list in Parquet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.envs.click_logs import check_distinct, check_positions, truth_cells
from instructrec.envs.reading_settings import by_columns
from instructrec.envs.tables import Table
from instructrec.names import unknown_name
from instructrec.turns import Turns

ROLES = (
    "session", "turn", "position", "item", "slate", "propensity", "log_propensity", "reward", "clicked", "person",
    "instruction", "truncated", "next_instruction", "candidates",
)  # fmt: skip
_LISTS = ("slate", "propensity", "log_propensity", "reward", "clicked")
_BETWEEN = re.compile(r"\s*[|;,\s]\s*")


def log_roles(source: str, header: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Returns the column of each role: as said, else the one that is called like the role.

    Args:
        source: The file's name for messages.
        header: Its column names.
        columns: Column by role, as far as they are said.

    Raises:
        ValueError: If there is no such role or column, or one that is needed is missing.
    """
    where = f"{source}, line 1"
    for role, column in columns.items():
        if role not in ROLES:
            raise ValueError("columns: " + unknown_name("role", role, ROLES))
        if column not in header:
            raise ValueError(f"{where}: " + unknown_name(f"column for {role!r}", column, header))
    said = set(columns.values())
    found = {role: role for role in ROLES if role in header and role not in said} | dict(columns)
    found = {role: found[role] for role in ROLES if role in found}
    for one, other in (("item", "slate"), ("propensity", "log_propensity")):
        both = [role for role in (one, other) if role in found]
        named = [role for role in both if role in columns]
        if len(both) == 2 and len(named) == 1:
            del found[one if named == [other] else other]
        elif len(both) == 2:
            raise ValueError(f"{where}: there are columns for {one!r} and for {other!r}; say one of them by --columns")
        elif not both:
            raise ValueError(
                f"{where}: no column for {one!r}, nor for {other!r} (found: {', '.join(header)}); say which it is by "
                f"{by_columns(**{one: 'NAME'})}"
            )
    if "reward" not in found and "clicked" not in found:
        raise ValueError(
            f"{where}: no column for 'reward', nor for 'clicked' (found: {', '.join(header)}); say which it is by "
            f"{by_columns(reward='NAME')}"
        )
    if "slate" in found:
        found.pop("position", None)
    elif "candidates" in found:
        raise ValueError(f"{where}: candidates are lists and belong to whole slates; give the items as slate=COLUMN")
    for role in ("position", "turn"):
        if role in found and "session" not in found:
            raise ValueError(
                f"{where}: no column for 'session' (found: {', '.join(header)}), so that rows of one {role} cannot be "
                f"told apart; say which it is by {by_columns(session='NAME')}"
            )
    return found


class Numbered:
    """Texts by number, in order of first appearance."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.numbers = {text: number for number, text in enumerate(known)}

    def of(self, cells: Sequence[str]) -> npt.NDArray[np.int64]:
        """Returns the cells' numbers, int64 [num_cells]; new texts get new ones."""
        numbers = self.numbers
        return np.fromiter((numbers.setdefault(cell, len(numbers)) for cell in cells), np.int64, len(cells))


class LogRows:
    """Shown items as they come in, as numbers: about 70 bytes each, and every text once.

    Args:
        items: The ids of all items there are; those that occur, when omitted.

    Attributes:
        unit: What ``lines`` count: "line" or "row".
    """

    def __init__(self, items: Sequence[str] | None = None) -> None:
        self._items, self._closed = Numbered(items or ()), items is not None
        self._sessions, self._persons, self._texts = Numbered(), Numbered(), Numbered([""])
        self._sources: list[str] = []
        self._candidates: list[npt.NDArray[np.int32]] = []
        self._parts: dict[str, list[npt.NDArray[Any]]] = {}
        self._joined: dict[str, npt.NDArray[Any]] = {}
        self._slates, self.unit = 0, "line"

    def add(self, table: Table, roles: Mapping[str, str]) -> None:
        """Takes up a block of a table.

        Args:
            table: The block.
            roles: Column by role, from `log_roles`.

        Raises:
            ValueError: If a cell makes no sense; the message names its line and the cure.
        """
        if table.source not in self._sources:
            self._sources.append(table.source)
        self.unit, slate = table.unit, np.arange(len(table))
        if "slate" in roles:
            if "candidates" in roles:
                self._add_candidates(table, roles["candidates"])
            table, slate = _unrolled(table, roles)
            roles = {**roles, "item": roles["slate"], "position": "position"}
        slate, size = slate + self._slates, len(table)
        self._slates = int(slate[-1]) + 1
        nothing = np.zeros(size, np.int64)
        clicked = truth_cells(table, roles["clicked"]) if "clicked" in roles else None
        reward = table.floats(roles["reward"]) if "reward" in roles else np.asarray(clicked, np.float64)
        session = self._sessions.of(table.filled(roles["session"])) if "session" in roles else slate
        found: dict[str, Any] = {
            "session": session,
            "turn": table.integers(roles["turn"]) if "turn" in roles else slate if "slate" in roles else nothing,
            "position": table.integers(roles["position"]) if "position" in roles else nothing,
            "item": self._known(table, roles["item"]),
            "log_prob": _log_chances(table, roles),
            "reward": reward.astype(np.float32),
            "clicked": reward > 0 if clicked is None else clicked,
            "person": self._persons.of(table.filled(roles["person"])) if "person" in roles else session,
            "instruction": self._texts.of(table.columns[roles["instruction"]]) if "instruction" in roles else nothing,
            "next": self._texts.of(table.columns[roles["next_instruction"]])
            if "next_instruction" in roles
            else nothing,
            "truncated": truth_cells(table, roles["truncated"]) if "truncated" in roles else np.zeros(size, np.bool_),
            "line": np.asarray(table.lines, np.int64),
            "source": np.full(size, self._sources.index(table.source)),
        }
        for name, small in (("item", np.int32), ("instruction", np.int32), ("next", np.int32), ("source", np.int16)):
            found[name] = found[name].astype(small)
        for name, values in found.items():
            self._parts.setdefault(name, []).append(values)

    def __len__(self) -> int:
        return len(self._column("line"))

    @property
    def lines(self) -> npt.NDArray[np.int64]:
        """The line in its file of each row, int64 [num_rows]."""
        return self._column("line")

    def at(self, row: int) -> str:
        """Returns where a row stands, for the beginning of a message."""
        return f"{self._sources[self._column('source')[row]]}, {self.unit} {self.lines[row]}"

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The items' ids: as they were given, else those that occur, in order."""
        known = list(self._items.numbers)
        return tuple(known if self._closed else sorted(known, key=in_order))

    @property
    def session_ids(self) -> tuple[str, ...]:
        """What the sessions are called, by lane; nothing where they have no names but their numbers."""
        names = tuple(self._sessions.numbers)
        return () if names == tuple(map(str, range(len(names)))) else names

    def turns(self) -> Turns:
        """Returns the rows as turns: session by session in order of first appearance, each a lane of its own.

        Raises:
            ValueError: If rows do not fit together: a position twice or missing, slates of several sizes, an item
                twice, a session of two people. The message names the line and the cure.
        """
        column = self._column
        order = np.lexsort((column("position"), column("turn"), column("session")))
        session, turn, position = (column(name)[order] for name in ("session", "turn", "position"))
        fresh = np.append(True, (session[1:] != session[:-1]) | (turn[1:] != turn[:-1]))
        first = np.flatnonzero(fresh)
        slate = np.cumsum(fresh) - 1
        place = np.arange(len(order)) - first[slate]
        check_positions(self, order, fresh, position, place)
        size = self._size(order, first)
        slates = self._renumbered(column("item")[order]).reshape(-1, size)
        check_distinct(self, order, fresh, slates, self.item_ids)
        begins = np.append(True, session[first][1:] != session[first][:-1])
        for name, what, whole in (
            ("person", "a session belongs to one person", begins[slate] & fresh),
            ("instruction", "all rows of a slate answer one instruction", fresh),
        ):
            self._check_same(name, what, order, whole)
        number = np.arange(len(first)) - np.flatnonzero(begins)[np.cumsum(begins) - 1]
        last = np.append(begins[1:], True)
        truncated = column("truncated")[order][first]
        early = np.flatnonzero(truncated & ~last)
        if len(early):
            raise ValueError(
                f"{self.at(int(order[first[early[0]]]))}: the session was truncated here, but more turns of it follow; "
                "mark its last turn alone"
            )
        said = column("instruction")[order][first].astype(np.int64)
        following = np.where(last, column("next")[order][first], np.append(said[1:], 0)).astype(np.int64)
        wide = {name: column(name)[order].reshape(-1, size) for name in ("log_prob", "reward", "clicked")}
        return Turns(
            seed=np.zeros(len(first), np.int64),
            lane=session[first],
            ordinal=np.zeros(len(first), np.int64),
            person=column("person")[order][first],
            turn=number.astype(np.int32),
            instruction=said,
            slates=slates,
            log_probs=wide["log_prob"],
            item_rewards=wide["reward"],
            rewards=wide["reward"].sum(axis=1),
            clicked=wide["clicked"],
            next_instruction=np.where(last & ~truncated, -1, following),
            terminated=last & ~truncated,
            truncated=truncated,
            texts={number: text for text, number in self._texts.numbers.items()},
            candidates=self._offered(order[first]),
        )

    def _column(self, name: str) -> npt.NDArray[Any]:
        """Returns all that came in of a column; its parts are let go."""
        if name in self._parts:
            self._joined[name] = np.concatenate(self._parts.pop(name))
        return self._joined.get(name, np.zeros(0, np.int64))

    def _known(self, table: Table, name: str) -> npt.NDArray[np.int64]:
        before = len(self._items.numbers)
        found = self._items.of(table.filled(name))
        if self._closed and len(self._items.numbers) > before:
            row = int(np.argmax(found >= before))
            raise ValueError(
                f"{table.at(row)}: {name} is {table.columns[name][row]!r}, which the table of items lacks; add it "
                "there, or remove the session"
            )
        return found

    def _renumbered(self, items: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        places = {name: place for place, name in enumerate(self.item_ids)}
        numbers = np.fromiter((places[name] for name in self._items.numbers), np.int32, len(places))
        return np.asarray(numbers[items], np.int32)

    def _size(self, order: npt.NDArray[np.int64], first: npt.NDArray[np.int64]) -> int:
        sizes = np.diff(np.append(first, len(order)))
        usual = int(np.bincount(sizes).argmax())
        other = np.flatnonzero(sizes != usual)
        if len(other):
            raise ValueError(
                f"{self.at(int(order[first[other[0]]]))}: this slate has {sizes[other[0]]} items, and most have "
                f"{usual}; the slates of a log are of one size: make a log of each size"
            )
        return usual

    def _check_same(self, name: str, what: str, order: npt.NDArray[np.int64], begins: npt.NDArray[np.bool_]) -> None:
        """Requires that a column is the same from each row that ``begins`` to the next."""
        values = self._column(name)[order]
        other = np.flatnonzero(values != values[np.flatnonzero(begins)[np.cumsum(begins) - 1]])
        if len(other):
            raise ValueError(
                f"{self.at(int(order[other[0]]))}: the {name} is another than on the row before; {what}, so give each "
                "its own"
            )

    def _add_candidates(self, table: Table, name: str) -> None:
        ids = [_list(table, row, name) for row in range(len(table))]
        width = len(ids[0]) if not self._candidates else self._candidates[0].shape[1]
        for row, each in enumerate(ids):
            if len(each) != width:
                raise ValueError(
                    f"{table.at(row)}: {name} has {len(each)} items, and those before {width}; a log offers "
                    "equally many each turn"
                )
        flat = Table(
            table.source, {name: [item for each in ids for item in each]}, np.repeat(table.lines, width).tolist()
        )
        self._candidates.append(self._known(flat, name).reshape(-1, width).astype(np.int32))

    def _offered(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int32] | None:
        """Returns the candidates of the slates whose first rows these are."""
        if not self._candidates:
            return None
        # Whole slates came in one after the other, all their items together.
        every = np.concatenate(self._candidates)
        return self._renumbered(every)[rows // (len(self) // len(every))]


def in_order(name: str) -> tuple[bool, int, str]:
    """Returns by what ids are ordered: numbers by their size, before all others by their letters."""
    number = name.isdecimal() and name.isascii()
    return not number, int(name) if number else 0, name


def _unrolled(table: Table, roles: Mapping[str, str]) -> tuple[Table, npt.NDArray[np.int64]]:
    """Returns a table with a row for every item of its slates, and the slate of each."""
    wide = list(dict.fromkeys(roles[role] for role in _LISTS if role in roles))
    lists = {name: [_list(table, row, name) for row in range(len(table))] for name in wide}
    sizes = np.array([len(each) for each in lists[roles["slate"]]])
    for name, cells in lists.items():
        for row, each in enumerate(cells):
            if len(each) != sizes[row] or not each:
                raise ValueError(
                    f"{table.at(row)}: {name} has {len(each)} parts and {roles['slate']} {sizes[row]}; a slate has one "
                    "or more items, and as many numbers"
                )
    slate = np.repeat(np.arange(len(table)), sizes)
    columns = {name: [part for each in cells for part in each] for name, cells in lists.items()}
    for role, name in roles.items():
        if role not in _LISTS and role != "candidates":
            columns[name] = [table.columns[name][row] for row in slate.tolist()]
    columns["position"] = [str(place) for size in sizes.tolist() for place in range(size)]
    return Table(table.source, columns, np.asarray(table.lines)[slate].tolist(), table.unit), slate


def _list(table: Table, row: int, name: str) -> list[str]:
    cell = table.columns[name][row]
    if not cell.startswith("["):
        return [part for part in _BETWEEN.split(cell) if part]
    try:
        found = json.loads(cell)
    except (json.JSONDecodeError, RecursionError):
        found = [part.strip("\"'") for part in _BETWEEN.split(cell.strip("[] ")) if part]
    return [part if isinstance(part, str) else json.dumps(part) for part in found]


def _log_chances(table: Table, roles: Mapping[str, str]) -> npt.NDArray[np.float64]:
    """Returns log-probabilities, at most 0 and finite, float64 [num_rows]."""
    as_log = "log_propensity" in roles
    name = roles["log_propensity" if as_log else "propensity"]
    return log_chances(table, name, as_log=as_log)


def log_chances(table: Table, name: str, *, as_log: bool, shown: bool = True) -> npt.NDArray[np.float64]:
    """Returns a column of probabilities as logarithms, float64 [num_rows].

    Args:
        table: The table.
        name: Its column.
        as_log: Whether it holds natural logarithms.
        shown: Whether 0 is refused, as for what was shown.

    Raises:
        ValueError: If a cell is empty or no probability; the message names its line and the cure.
    """
    cells = table.columns[name]
    chances = np.array([_number(cell) for cell in cells], np.float64)
    with np.errstate(all="ignore"):
        logs = chances if as_log else np.log(chances)
    wrong = ~(logs <= 0) | (np.isneginf(logs) & shown)
    if not wrong.any():
        return logs
    row = int(np.argmax(wrong))
    value, least = chances[row], "above 0" if shown else "0 or more"
    expected = (
        f"the natural logarithm of a probability, {'' if shown else '-inf or '}at most 0"
        if as_log
        else f"a probability, {least} and at most 1"
    )
    if not cells[row] or np.isnan(value):
        cure = "without it nothing can be evaluated: fill it in, or remove the session"
    elif as_log and value > 0:
        cure = f"if it is a probability, say propensity={name}"
    elif not as_log and value < 0:
        cure = f"if it is a logarithm, say log_propensity={name}"
    elif value > 1:
        cure = "divide percentages by 100"
    else:
        cure = "what was shown had a chance above 0: correct it, or remove the session"
    raise ValueError(f"{table.at(row)}: {name} is {cells[row]!r}, expected {expected}; {cure}")


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan

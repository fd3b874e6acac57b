"""Reading RecBole's atomic files: tab-separated, each column named ``name:type`` with its type.

Types are token, token_seq (separated by blanks), float and float_seq; files are ``NAME.inter`` (who did what),
``.item``, ``.user``, and for a knowledge graph ``.kg`` (triples of entities) and ``.link`` (which entity an item is).

References:
    Zhao et al. (2021), RecBole: Towards a Unified, Comprehensive and Efficient Framework for Recommendation Algorithms,
    CIKM.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from instructrec.envs.column_roles import find_roles
from instructrec.envs.files import Files
from instructrec.envs.gathering import MAX_RATINGS, Repeats, Rows, Unknown, gather
from instructrec.envs.interactions import Attribute, Feedback, Interactions
from instructrec.envs.tables import Layout, Table, TableReader

_TYPES = ("token", "token_seq", "float", "float_seq")
_FEWEST_LINKED = 0.1


class _Atomic:
    """One atomic file: its reader, and each column's type and full header by its bare name."""

    def __init__(self, files: Files, name: str, encoding: str | None) -> None:
        code = encoding if encoding is not None else "utf-8-sig"
        self.reader = TableReader(files, name, Layout("\t", quoted=False, encoding=code), ("user_id:token", "…"))
        self.types: dict[str, str] = {}
        self.full: dict[str, str] = {}
        for column in self.reader.header:
            bare, _, kind = column.rpartition(":")
            if not bare or kind not in _TYPES:
                raise ValueError(
                    f"{self.reader.source}, line 1: the column {column!r} has no type; write name:type with one of "
                    f"{', '.join(_TYPES)}, such as item_id:token"
                )
            self.types[bare], self.full[bare] = kind, column

    def attribute(self, table: Table, bare: str) -> Attribute | None:
        """Returns a column as what its header says it is; None for vectors of numbers."""
        kind, cells = self.types[bare], table.columns[self.full[bare]]
        if kind == "float":
            return Attribute.floats(bare, _numbers(table, self.full[bare]))
        if kind == "token_seq":
            return Attribute.token_seq(bare, [cell.split() for cell in cells])
        return Attribute.token(bare, cells) if kind == "token" else None


def read_recbole(
    files: Files,
    *,
    columns: Mapping[str, str] | None = None,
    scale: tuple[float, float] | None = None,
    repeats: Repeats | None = None,
    unknown: Unknown | None = None,
    max_ratings: int = MAX_RATINGS,
    encoding: str | None = None,
) -> Interactions:
    """Reads ``NAME.inter`` and what lies beside it.

    Of a knowledge graph, every relation that leads from at least a tenth of the items becomes a column of the item
    table, named after the relation.

    Args:
        files: Where they lie.
        columns: Column by role, without types, where the names are not RecBole's usual ones.
        scale: The lowest and highest rating there can be; those that occur if None.
        repeats: What becomes of a person and item that occur twice: refused for ratings, added up for clicks if None.
        unknown: What becomes of items without metadata: kept without attributes if None, as RecBole does.
        max_ratings: How many interactions are held at most.
        encoding: The files' encoding, UTF-8 if None.

    Raises:
        FileNotFoundError: If there is no ``.inter`` file.
        ValueError: If there are several, or a file is malformed; the message names the file, the line and the cure.
    """
    found = [files.only] if files.only else list(files.find("*.inter"))
    if not found:
        raise FileNotFoundError(f"{files.place} holds no NAME.inter; expected one there (found: {files.listed()})")
    if len(found) > 1:
        raise ValueError(f"{files.place} holds {', '.join(found)}; give the one to read itself as the path")
    stem = found[0].removesuffix(".gz").removesuffix(".inter")
    inter = _Atomic(files, found[0], encoding)
    roles = find_roles(inter.reader.source, list(inter.types), columns)
    full = {role: inter.full[bare] for role, bare in roles.items()}
    named = "rating" in (columns or {})
    gathering, feedback, notes = gather(inter.reader, full, named=named, scale=scale, max_ratings=max_ratings)
    items = _about(files, f"{stem}.item", roles["item"], encoding, notes)
    if items is not None:
        items = replace(items, attributes={**items.attributes, **_graph(files, stem, items.ids, encoding)})
    return gathering.finished(
        "recbole",
        feedback=feedback,
        items=items,
        persons=_about(files, f"{stem}.user", roles["person"], encoding, notes),
        scale=scale if feedback is Feedback.RATINGS else None,
        repeats=repeats,
        unknown=unknown if unknown is not None else "keep",
        notes=notes,
    )


def _beside(files: Files, name: str) -> str | None:
    return next((each for each in (name, f"{name}.gz") if each in files.names), None)


def _about(files: Files, name: str, id_column: str, encoding: str | None, notes: list[str]) -> Rows | None:
    """Returns what a file says about items or people, or None where it is not there."""
    present = _beside(files, name)
    if present is None:
        return None
    atomic = _Atomic(files, present, encoding)
    if id_column not in atomic.full:
        raise ValueError(
            f"{atomic.reader.source}, line 1: the column {id_column!r} is missing; call the ids what the .inter file "
            f"calls them (found: {', '.join(atomic.types)})"
        )
    table = next(atomic.reader.blocks(list(atomic.full.values()), rows=None))
    table.check_unique(atomic.full[id_column])
    attributes = {}
    for bare in atomic.types:
        if bare == id_column:
            continue
        attribute = atomic.attribute(table, bare)
        if attribute is None:
            notes.append(f"left out {bare} of {name}: a vector of numbers is no attribute")
        else:
            attributes[bare] = attribute
    return Rows(atomic.reader.source, tuple(table.filled(atomic.full[id_column])), attributes, table.lines)


def _graph(files: Files, stem: str, item_ids: tuple[str, ...], encoding: str | None) -> dict[str, Attribute]:
    """Returns the relations of a knowledge graph that lead from a tenth of the items or more, as columns."""
    link, graph = _beside(files, f"{stem}.link"), _beside(files, f"{stem}.kg")
    if link is None or graph is None:
        return {}
    entities = _Atomic(files, link, encoding)
    entities.reader.require(["item_id:token", "entity_id:token"])
    linked = next(entities.reader.blocks(["item_id:token", "entity_id:token"], rows=None))
    entity_of = dict(zip(linked.columns["item_id:token"], linked.columns["entity_id:token"], strict=True))
    wanted = set(entity_of.values())
    triples = ["head_id:token", "relation_id:token", "tail_id:token"]
    tails: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for block in _Atomic(files, graph, encoding).reader.blocks(triples):
        for head, relation, tail in zip(*(block.columns[name] for name in triples), strict=True):
            if head in wanted:
                tails[relation][head].append(tail)
    return {
        relation: Attribute.token_seq(relation, [of.get(entity_of.get(item, ""), ()) for item in item_ids])
        for relation, of in sorted(tails.items())
        if len(of) >= _FEWEST_LINKED * len(item_ids)
    }


def _numbers(table: Table, name: str) -> npt.NDArray[np.float64]:
    """Returns a column of numbers, NaN where the cell is empty."""
    filled = [row for row, cell in enumerate(table.columns[name]) if cell]
    numbers = np.full(len(table), np.nan)
    cells, lines = [table.columns[name][row] for row in filled], [table.lines[row] for row in filled]
    part = Table(table.source, {name: cells}, lines)
    numbers[filled] = part.floats(name)
    return numbers

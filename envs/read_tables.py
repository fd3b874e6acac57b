"""Reading plain tables, CSV, TSV or Parquet: interactions, and beside them tables of the items and of the people."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from instructrec.envs.column_roles import find_roles, guess_attribute
from instructrec.envs.files import Files
from instructrec.envs.gathering import MAX_RATINGS, Repeats, Rows, Unknown, gather
from instructrec.envs.interactions import Feedback, Interactions
from instructrec.envs.reading_settings import by_columns, by_setting
from instructrec.envs.tables import Layout, Table, TableReader, require

TEXT, PARQUET = ("*.csv", "*.tsv"), ("*.parquet",)
_BLOCK, _SHOWN = 50_000, 8


class ParquetReader:
    """A Parquet file read block by block, with the same face as `instructrec.envs.tables.TableReader`.

    Cells become text as CSV would hold them, lists become JSON.

    Args:
        files: Where it lies.
        name: Which file.

    Attributes:
        source: Its name for messages.
        header: The column names.

    Raises:
        ImportError: If pyarrow is not installed; the message names the command.
        ValueError: If it is not a Parquet file.
    """

    def __init__(self, files: Files, name: str) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise ImportError(
                f"{files.source(name)}: Parquet is read by pyarrow; install it with: pip install 'instructrec[parquet]'"
            ) from None
        self.source = files.source(name)
        with ExitStack() as opened:
            stream = opened.enter_context(files.open(name))
            whole = pa.BufferReader(stream.read()) if not stream.seekable() else pa.PythonFile(stream)
            try:
                self._file = parquet.ParquetFile(whole)
            except (pa.ArrowException, OSError) as problem:
                raise ValueError(f"{self.source} is not a sound Parquet file ({problem}); write it again") from None
            self._opened = opened.pop_all()
        self.header = tuple(self._file.schema_arrow.names)

    def blocks(self, columns: Sequence[str], rows: int | None = _BLOCK) -> Iterator[Table]:
        """Yields the wanted columns of ``rows`` rows at a time, or of all at once when None.

        Raises:
            ValueError: If a column is missing or it has no rows.
        """
        require(self.source, self.header, columns)
        count = self._file.metadata.num_rows
        if not count:
            raise ValueError(f"{self.source} has no rows; it needs at least one of {', '.join(columns)}")
        before = 0
        with self._opened:
            for batch in self._file.iter_batches(rows if rows is not None else count, columns=list(columns)):
                cells = {name: [_cell(value) for value in batch.column(name).to_pylist()] for name in columns}
                yield Table(self.source, cells, range(before + 1, before + 1 + batch.num_rows), unit="row")
                before += batch.num_rows


Reader = TableReader | ParquetReader


def open_table(files: Files, name: str, encoding: str | None = None) -> Reader:
    """Opens a ``.csv``, ``.tsv`` or ``.parquet`` file, by its name; a CSV may be separated by semicolons.

    Raises:
        ImportError: If it is Parquet and pyarrow is not installed.
        ValueError: If it has no header.
    """
    if name.lower().removesuffix(".gz").endswith(".parquet"):
        return ParquetReader(files, name)
    code = encoding if encoding is not None else "utf-8-sig"
    first = next(files.lines(name, code), "")
    separator = max(",\t;|", key=lambda mark: (first.count(mark), mark == ","))
    return TableReader(files, name, Layout(separator=separator, encoding=code))


def read_tables(
    files: Files,
    *,
    columns: Mapping[str, str] | None = None,
    items: Path | str | None = None,
    persons: Path | str | None = None,
    scale: tuple[float, float] | None = None,
    repeats: Repeats | None = None,
    unknown: Unknown | None = None,
    max_ratings: int = MAX_RATINGS,
    encoding: str | None = None,
) -> Interactions:
    """Reads a table of interactions, and those of items and people where there are any.

    In a folder or archive, the interactions are the one table with a column for people and one for items; the item
    table has a column for items only, the people table one for people only. Beside a single file nothing is looked for.

    Args:
        files: Where they lie.
        columns: Column by role ("person", "item", "rating", "clicks", "time"); `USUAL` names are recognised. Without a
            rating or clicks every row is one click.
        items: The item table's file, if it lies elsewhere.
        persons: The people table's file, if it lies elsewhere.
        scale: The lowest and highest rating there can be; numbers outside are refused.
        repeats: What becomes of a person and item that occur twice: refused for ratings, added up for clicks if None.
        unknown: What becomes of items that the item table lacks; refused if None.
        max_ratings: How many interactions are held at most.
        encoding: The text files' encoding, UTF-8 if None.

    Raises:
        FileNotFoundError: If a file is missing.
        ImportError: If a table is Parquet and pyarrow is not installed.
        ValueError: If a file is malformed; the message names the file, the line, the column and the cure.
    """
    main, item_file, person_file, aside = _told_apart(files, columns, encoding)
    reader = open_table(files, main, encoding)
    roles = find_roles(reader.source, reader.header, columns)
    named = "rating" in (columns or {})
    gathering, feedback, notes = gather(reader, roles, named=named, scale=scale, max_ratings=max_ratings)
    notes += [
        f"{files.source(name)} was left aside: it names neither people nor items; if it is the table of the items, "
        f"call their ids {roles['item']!r} there too, or give it by {by_setting('items', files.source(name))}"
        for name in aside
    ]
    return gathering.finished(
        "tables",
        feedback=feedback,
        items=_about(items, files, item_file, "item", roles["item"], encoding),
        persons=_about(persons, files, person_file, "person", roles["person"], encoding),
        scale=scale if feedback is Feedback.RATINGS else None,
        repeats=repeats,
        unknown=unknown if unknown is not None else "refuse",
        notes=notes,
    )


def read_rows(reader: Reader, id_column: str) -> Rows:
    """Reads a whole table about items or people, guessing what each column is.

    Raises:
        ValueError: If an id is empty or occurs twice.
    """
    table = next(reader.blocks(list(dict.fromkeys(reader.header)), rows=None))
    table.check_unique(id_column)
    ids = tuple(table.filled(id_column))
    named = {name: cells for name, cells in table.columns.items() if name != id_column}
    attributes = {name: guess_attribute(name, cells) for name, cells in named.items()}
    return Rows(reader.source, ids, attributes, table.lines, table.unit)


def _told_apart(
    files: Files, columns: Mapping[str, str] | None, encoding: str | None
) -> tuple[str, str, str, tuple[str, ...]]:
    """Returns the names of the tables of interactions, of items, of people ("" for what is not there), and the rest."""
    if files.only:
        return files.only, "", "", ()
    named: dict[tuple[bool, ...], list[str]] = {}
    headers: list[str] = []
    for name in files.find(*TEXT, *PARQUET):
        reader = open_table(files, name, encoding)
        headers.append(f"{', '.join(reader.header[:_SHOWN])} in {name}")
        here = {role: column for role, column in (columns or {}).items() if column in reader.header}
        roles = find_roles(reader.source, reader.header, here, needed=())
        named.setdefault(("person" in roles, "item" in roles), []).append(name)
    both, persons, items, aside = (named.get(key, []) for key in itertools.product((True, False), repeat=2))
    if len(both) != 1:
        found = ", ".join(both) or f"none among {files.listed()}; the columns are {'; '.join(headers[:_SHOWN])}"
        raise ValueError(
            f"{files.place}: expected one table with a column for people and one for items, found {found}; "
            f"give that file itself as the path and say its columns, such as {by_columns(person='uid', item='sku')}; "
            f"the item table is then given by {by_setting('items', 'FILE')}"
        )
    for role, names in (("item", items), ("person", persons)):
        if len(names) > 1:
            raise ValueError(
                f"{files.place}: {len(names)} tables could hold the {role}s ({', '.join(names)}); "
                f"leave one, or give {both[0]} itself as the path and the other by {by_setting(f'{role}s', names[0])}"
            )
    return both[0], (items or [""])[0], (persons or [""])[0], tuple(aside)


def _about(
    given: Path | str | None, files: Files, name: str, role: str, column: str, encoding: str | None
) -> Rows | None:
    if given is not None:
        files = Files.at(given, f"the {role}s")
        name = files.only
        if not name:
            raise ValueError(f"{given}: the table of {role}s must be one file; give the file itself")
    if not name:
        return None
    reader = open_table(files, name, encoding)
    here = {role: column} if column in reader.header else {}
    needed = find_roles(reader.source, reader.header, here, needed=()).get(role)
    if needed is None:
        # A table about items alone often calls their id no more than "id".
        needed = next((each for each in reader.header if each.lower() == "id"), None)
    if needed is None:
        raise ValueError(
            f"{reader.source}, line 1: no column holds the {role}s' ids (found: {', '.join(reader.header)}); "
            f"call it {column!r}, as in the interactions"
        )
    return read_rows(reader, needed)


def _cell(value: object) -> str:
    if value is None or value != value:  # NaN alone is not itself.
        return ""
    if isinstance(value, list):
        return json.dumps([str(part) for part in value if part is not None], ensure_ascii=False)
    return value.isoformat() if hasattr(value, "isoformat") else str(value).strip()

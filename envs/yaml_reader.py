"""YAML that remembers its lines: every mistake in a file is told with its place and its cure.

Nothing in a file is ever executed: the text is parsed into nodes, and words stay the words they are (``no``, ``on`` and
``1990`` are text where text is asked for).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn, TypeVar

import yaml

from instructrec.envs.yaml_mistakes import mistake_in
from instructrec.names import unknown_name

_LARGEST = 4_000_000
T = TypeVar("T")


class Entry:
    """One value of a YAML file: where it stands, and what it should be.

    Args:
        node: The value.
        source: The file's name, for messages.
        path: Where in the file it stands, for messages: ``people.count``.
        name: Its name, where it has one: a list or a mapping is looked for where its name stands.
    """

    def __init__(self, node: yaml.Node, source: str, path: str = "", name: yaml.Node | None = None) -> None:
        self._node, self._source, self.path = node, source, path
        self._place = node if name is None or isinstance(node, yaml.ScalarNode) else name

    @property
    def line(self) -> int:
        """Its line in the file, counted from 1."""
        return int(self._place.start_mark.line) + 1

    @property
    def where(self) -> str:
        """The file and the line; the file may be one that is extended."""
        return f"{getattr(self._place, 'file', self._source)}, line {self.line}"

    def over(self, base: Entry) -> Entry:
        """Returns what ``base`` holds, with this on top of it.

        What both hold is joined likewise where it is names and values itself; otherwise this one's stands.
        """
        return Entry(_joined(self._node, base._node), self._source, self.path)

    def fail(self, problem: str) -> NoReturn:
        """Raises a ValueError that names file, line and entry."""
        name = f"{self.path}: " if self.path else ""
        raise ValueError(f"{self.where}: {name}{problem}")

    def made(self, make: Callable[..., T], *given: object) -> T:
        """Returns what a function makes of it.

        Raises:
            ValueError: If the function raises one; with the entry's place before it.
        """
        try:
            return make(*given)
        except ValueError as problem:
            self.fail(str(problem))

    def pairs(self) -> dict[str, Entry]:
        """Returns a mapping's entries by name, in their order.

        Raises:
            ValueError: If it is no mapping, or a name stands twice.
        """
        if not isinstance(self._node, yaml.MappingNode):
            self.fail(f"expected names and values (name: value), got {self._kind()}")
        found: dict[str, Entry] = {}
        for key, value in self._node.value:
            if not isinstance(key, yaml.ScalarNode):
                Entry(key, self._source, self.path).fail("a name must be a word, not a list or a mapping")
            name = str(key.value)
            at = f"{self.path}.{name}" if self.path else name
            if name in found:
                Entry(key, self._source, at).fail("stands twice; keep one")
            found[name] = Entry(value, self._source, at, key)
        return found

    def fields(self, known: Iterable[str], required: Iterable[str] = ()) -> dict[str, Entry]:
        """Returns a mapping's entries, all of them known.

        Raises:
            ValueError: If one is unknown (the message suggests the nearest name) or a required one is missing.
        """
        found, known = self.pairs(), list(known)
        for name, entry in found.items():
            if name not in known:
                entry.fail(unknown_name("entry", name, known))
        for name in required:
            if name not in found:
                self.fail(f"{name!r} is missing; add a line {name}: ...")
        return found

    def entries(self) -> list[Entry]:
        """Returns the entries of a list; a single value is a list of one."""
        if not isinstance(self._node, yaml.SequenceNode):
            return [self]
        return [Entry(node, self._source, f"{self.path}[{place}]") for place, node in enumerate(self._node.value)]

    @property
    def is_mapping(self) -> bool:
        """Whether it holds names and values."""
        return isinstance(self._node, yaml.MappingNode)

    def text(self) -> str:
        """Returns a text, just as it is written."""
        if not isinstance(self._node, yaml.ScalarNode):
            self.fail(f"expected a text, got {self._kind()}")
        return str(self._node.value)

    def texts(self) -> tuple[str, ...]:
        """Returns a list of distinct, non-empty texts; a single text is a list of one."""
        found = tuple(entry.text() for entry in self.entries())
        for entry, text in zip(self.entries(), found, strict=True):
            if not text.strip():
                entry.fail("is empty; write a text or remove it")
            if found.count(text) > 1:
                entry.fail(f"{text!r} stands twice in one list; keep one")
        return found

    def number(self, low: float = -math.inf, high: float = math.inf) -> float:
        """Returns a finite number from ``low`` to ``high``."""
        try:
            value = float(self.text())
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not low <= value <= high:
            self.fail(f"expected a number{_span(low, high)}, got {self.text()!r}")
        return value

    def whole(self, low: int, high: int) -> int:
        """Returns a whole number from ``low`` to ``high``; ``10_000`` is one."""
        try:
            value = int(self.text())
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            self.fail(f"expected a whole number{_span(low, high)}, got {self.text()!r}")
        return value

    def flag(self) -> bool:
        """Returns whether it says true."""
        said = self.text().lower()
        if said not in ("true", "false", "yes", "no"):
            self.fail(f"expected true or false, got {self.text()!r}")
        return said in ("true", "yes")

    def one_of(self, names: Iterable[str], what: str) -> str:
        """Returns one of ``names``; a misspelt one is told the nearest."""
        said, names = self.text(), list(names)
        if said not in names:
            self.fail(unknown_name(what, said, names))
        return said

    def _kind(self) -> str:
        if isinstance(self._node, yaml.ScalarNode):
            return f"the text {self._node.value!r}" if self._node.value else "nothing"
        return "a list" if isinstance(self._node, yaml.SequenceNode) else "names and values"


def read_yaml(path: Path) -> Entry:
    """Reads one YAML file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not UTF-8 text, not sound YAML, empty, or larger than 4 MB.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; a domain file has at most {_LARGEST:,}")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as problem:
        raise ValueError(f"{path} is not UTF-8 text (byte {problem.start}); save it as UTF-8") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply to be a domain file") from None
    except yaml.YAMLError as problem:
        raise ValueError(f"{path}, {mistake_in(text, problem)}") from None
    if node is None:
        raise ValueError(f"{path} is empty; `instructrec worlds` names worlds whose files show what one holds")
    _signed(node, str(path))
    return Entry(node, str(path))


def _signed(node: yaml.Node, file: str) -> None:
    """Notes in every part of a document which file it stands in, once each, however often an alias names it."""
    pending = [node]
    while pending:
        part = pending.pop()
        if not hasattr(part, "file"):
            part.file = file  # type: ignore[attr-defined]
            if isinstance(part, yaml.MappingNode):
                pending += [each for pair in part.value for each in pair]
            elif isinstance(part, yaml.SequenceNode):
                pending += part.value


def _joined(own: yaml.Node, base: yaml.Node) -> yaml.Node:
    if not (isinstance(own, yaml.MappingNode) and isinstance(base, yaml.MappingNode)):
        return own
    given = {key.value: (key, value) for key, value in own.value if isinstance(key, yaml.ScalarNode)}
    inherited = {key.value for key, _ in base.value if isinstance(key, yaml.ScalarNode)}
    pairs = []
    for key, value in base.value:
        over = given.get(key.value)
        pairs.append((over[0], _joined(over[1], value)) if over is not None else (key, value))
    pairs += [(key, value) for key, value in own.value if key.value not in inherited]
    joined = yaml.MappingNode(own.tag, pairs, own.start_mark, own.end_mark)
    joined.file = own.file  # type: ignore[attr-defined]
    return joined


def _span(low: float, high: float) -> str:
    if low == -math.inf and high == math.inf:
        return ""
    if high == math.inf:
        return f" of {low:.9g} or more"
    return f" of at most {high:.9g}" if low == -math.inf else f" from {low:.9g} to {high:.9g}"

"""Where a world's constants come from: read where they are defined, so that there is one list.

In the code, and in the comments of a domain file, a constant's sentence ends in "Fitted: to what." or "Assumed: the
published range."; "Assumed." alone means that no published range is known. What carries no such mark counts as assumed.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from instructrec.envs import grammar, requests
from instructrec.envs.bank import Bank
from instructrec.envs.domain_file import domain_at
from instructrec.envs.grammar import Style
from instructrec.envs.worlds import WORLDS, world_spec
from instructrec.sessions import World

NO_RANGE = "no published range"
_MARK = re.compile(r"(?:^|(?<=[.;:] ))(Fitted|Assumed)\b[:.]?\s*(.*)$", re.DOTALL)
_ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*)(?: \([^)]*\))?: ?(.*)$")
_LANGUAGE = (requests, grammar)
_FILE_ENTRY = re.compile(r"^\s*(\w+):\s*(.*)$")
_NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
_IN_WORDS = (bool, int, float, str)


@dataclass(frozen=True)
class Constant:
    """One constant of a world's users.

    Attributes:
        name: Where it stands: ``behaviour.allure``, ``words.excluding``.
        value: Its value; None where it is an array or an object.
        about: What it is.
        fitted: Whether it was fitted to data, rather than assumed.
        source: What it was fitted to, or the published range; "" where none is known.
    """

    name: str
    value: Any
    about: str
    fitted: bool
    source: str

    def as_dict(self) -> dict[str, Any]:
        """Returns it for JSON: ``name``, ``value``, ``about``, and ``from``."""
        source = self.source or ("" if self.fitted else NO_RANGE)
        return {"name": self.name, "value": self.value, "about": self.about, "from": source}


def documented(kind: type) -> dict[str, str]:
    """Returns what a class's docstring says of each attribute or argument, by name."""
    found: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        if line and not line.startswith(" "):
            inside, names = line in ("Attributes:", "Args:"), []
        elif inside and (entry := _ENTRY.match(line)):
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif inside and line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def marked(text: str) -> tuple[str, str, str] | None:
    """Splits a sentence into what it is about, Fitted or Assumed, and the source; None where it carries no mark."""
    text = " ".join(text.split())
    match = _MARK.search(text)
    return None if match is None else (text[: match.start()].strip(), match[1], match[2].strip().rstrip("."))


def constants_of(world: World, name: str = "") -> list[Constant]:
    """Returns every documented constant of a world's people: those of their behaviour, or else their own settings.

    Of what is data rather than constants (tastes) only what carries a mark is listed. People who speak from a bank also
    have the constants of the language that it was written with, and those of their domain file. In a world of made-up
    items nothing was fitted.

    Args:
        world: The world.
        name: What it was made by, where that is not its own name: the path of a domain file.
    """
    population = world.population
    behaviour, tastes = getattr(population, "behaviour", None), getattr(population, "tastes", None)
    if dataclasses.is_dataclass(behaviour):
        found = list(_settings("behaviour", behaviour))
    else:
        found = list(_settings(type(population).__name__, population))
    found += _marked_parts("tastes", tastes)
    if isinstance(getattr(population, "bank", None), Bank):
        found += _settings("style", Style())
        found += [constant for module in _LANGUAGE for constant in _of_module(module)]
        spec = WORLDS.get(world.name) or (world_spec(name) if name else None)
        if spec is not None and spec.file is not None:
            if domain_at(spec.file, spec.name).items.source == "made":
                found = [_made_up(constant) for constant in found]
            found += _of_file(spec.file)
    return found


def _made_up(constant: Constant) -> Constant:
    if not constant.fitted:
        return constant
    source = "made up with the items" if constant.value is None else f"as in Movies, where it {constant.source}"
    return dataclasses.replace(constant, fitted=False, source=source)


def _of_file(file: Path) -> Iterator[Constant]:
    """Yields the entries of a domain file whose comment, just above, carries a mark."""
    comment: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip().lstrip("# "))
            continue
        entry, text = _FILE_ENTRY.match(line), " ".join(comment)
        comment = []
        if entry and marked(text):
            value = float(entry[2]) if _NUMBER.match(entry[2]) else None
            yield _constant(f"{file.stem}.{entry[1]}", value, text)


def _settings(where: str, owner: Any) -> Iterator[Constant]:
    """Yields every documented setting that the owner keeps under its own name."""
    for name, text in documented(type(owner)).items():
        value = getattr(owner, name, None)
        if isinstance(value, _IN_WORDS) or marked(text):
            yield _constant(f"{where}.{name}", value, text)


def _constant(name: str, value: Any, text: str) -> Constant:
    about, mark, source = marked(text) or (" ".join(text.split()), "Assumed", "")
    return Constant(name, value if isinstance(value, _IN_WORDS) else None, about, mark == "Fitted", source)


def _marked_parts(where: str, owner: Any) -> Iterator[Constant]:
    for name, text in documented(type(owner)).items():
        if marked(text):
            yield _constant(f"{where}.{name}", getattr(owner, name, None), text)


def _of_module(module: ModuleType) -> Iterator[Constant]:
    """Yields a module's constants that are followed by a string with a mark."""
    where, body = module.__name__.rpartition(".")[2], ast.parse(inspect.getsource(module)).body
    for assignment, after in itertools.pairwise(body):
        text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
        if not isinstance(assignment, ast.Assign) or not isinstance(text, str) or not marked(text):
            continue
        for target in ast.walk(assignment.targets[0]):
            if isinstance(target, ast.Name):
                yield _constant(f"{where}.{target.id.strip('_').lower()}", getattr(module, target.id), text)

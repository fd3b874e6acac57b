"""Where a world's constants come from: read from the docstrings that define them, so that there is one list.

In the code a constant's sentence ends in "Fitted: from what." or "Assumed: from which published range."; "Assumed."
alone means that no published range is known. What carries no such mark counts as assumed.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from instructrec.envs import grammar, requests, words
from instructrec.envs.bank import Bank
from instructrec.envs.grammar import Style

NO_RANGE = "no published range"
_MARK = re.compile(r"(?:^|(?<=[.;:] ))(Fitted|Assumed)\b[:.]?\s*(.*)$", re.DOTALL)
_ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*)(?: \([^)]*\))?: ?(.*)$")
_LANGUAGE = (words, requests, grammar)
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


def constants_of(population: Any) -> list[Constant]:
    """Returns every documented constant of a population: those of its behaviour, or else its own settings.

    Of what is data rather than constants (tastes, the bank of instructions) only what carries a mark is listed. People
    who speak from a bank also have the constants of the language that it was written with.
    """
    behaviour, tastes = getattr(population, "behaviour", None), getattr(population, "tastes", None)
    bank = getattr(population, "bank", None)
    if dataclasses.is_dataclass(behaviour):
        found = list(_settings("behaviour", behaviour))
    else:
        found = list(_settings(type(population).__name__, population))
    found += _marked_parts("tastes", tastes)
    if isinstance(bank, Bank):
        found += _settings("style", Style())
        found += [constant for module in _LANGUAGE for constant in _of_module(module)]
    return found


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

"""What every command of the command line shares: its shape, its answer, and reading what was typed.

Nothing heavy is imported at the top of this file, nor where commands are defined: `instructrec --help` answers at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from instructrec.names import unknown_name

if TYPE_CHECKING:
    from instructrec.experiments.progress import Narrator


def metavar(name: str) -> Any:
    """Returns how an argument is shown in help: what it takes, and its default only where it has one."""
    return arg(metavar=name, help_behavior_hint=default_told)


def default_told(written: str) -> str:
    """Returns how a default is told behind a help text: not at all where there is none."""
    return "" if written in ("", "''", "None") else f"(default: {written})"


Settings = Annotated[tuple[str, ...], metavar("NAME=VALUE")]


class UserError(Exception):
    """Something the person at the keyboard can mend; the message says what and how."""


class GateError(Exception):
    """The flagship failed a gate; the message says which, with its figures."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What all commands share."""

    json: bool = False
    """Print one JSON document on standard output, and nothing else there."""
    debug: bool = False
    """Show the traceback of an error."""

    def run(self, narrator: Narrator) -> Answer:
        """Does the work and returns what to print."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class InWorld(Command):
    """What commands share that happen in a world."""

    world: Annotated[Positional[str], metavar("WORLD")]
    """The world; `instructrec worlds` lists them."""
    world_set: Settings = ()
    """Settings of the world, such as slate_size=5."""


@dataclass(frozen=True, kw_only=True)
class AmongPeople(InWorld):
    """What commands share that happen in a world to which others may come."""

    population: Annotated[str, metavar("MODULE:NAME")] = ""
    """Who comes instead of the world's own people: a name of `instructrec populations`, or package.module:Name."""
    population_set: Settings = ()
    """Settings of the population."""

    def world_settings(self) -> dict[str, Any]:
        """Returns the world's settings, and who comes there; raises a `UserError` as `world_settings` does."""
        return world_settings(self.world_set, self.population, self.population_set)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command found: a document for programs, the same as text for people."""

    document: Any
    text: str


def comparison(results: Mapping[str, Any]) -> Answer:
    """Returns a comparison as a document, a table and its headline."""
    from instructrec.experiments.headline import headline, scope, to_text

    said = [part for sentence in (*headline(results), scope(results)) for part in textwrap.wrap(sentence, 80)]
    return Answer(document=results, text="\n".join([to_text(results), "", *said]))


def listing(rows: Sequence[tuple[str, str]]) -> str:
    """Returns names and sentences in two columns, at most 80 characters wide."""
    width = max(len(name) for name, _ in rows) + 2
    lines = []
    for name, words in rows:
        first, *rest = textwrap.wrap(words, 80 - width) or [""]
        lines += [f"{name:<{width}}{first}", *(" " * width + line for line in rest)]
    return "\n".join(lines)


def world_name(name: str) -> str:
    """Returns the full id of a world; ``movies``, ``Movies-v0`` and ``instructrec/Movies-v0`` are the same.

    Raises:
        UserError: If there is none; the message suggests the nearest.
    """
    from instructrec.envs.worlds import WORLDS

    if name.endswith((".yaml", ".yml")):
        return name
    spoken: dict[str, str] = {}
    for full in WORLDS:
        short = full.rpartition("/")[2]
        spoken |= {full.lower(): full, short.lower(): full, short.rpartition("-v")[0].lower(): full}
    found = spoken.get(name.lower())
    if found is None:
        own = "; a domain file of your own is given by its path, ending in .yaml"
        raise UserError(unknown_name("world", name, WORLDS) + own)
    return found


def listed(given: str) -> list[str]:
    """Returns names that were typed with commas between them."""
    return [name.strip() for name in given.split(",") if name.strip()]


def settings(given: Sequence[str]) -> dict[str, Any]:
    """Reads settings given as ``NAME=VALUE``, values as in YAML; ``none`` stands for None.

    Raises:
        UserError: If one has no ``=`` or its value is not YAML.
    """
    import yaml

    found: dict[str, Any] = {}
    for entry in given:
        name, mark, value = entry.partition("=")
        if not mark or not name:
            raise UserError(f"a setting is NAME=VALUE, such as learning_rate=3e-4; got {entry!r}")
        try:
            read = None if value.strip().lower() == "none" else yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"the value of {name} is not a number, a word or a list: {value!r}") from error
        # YAML takes 3e-4 for a word, since it lacks a point; people mean the number.
        with contextlib.suppress(ValueError, TypeError):
            read = float(read) if isinstance(read, str) else read
        found[name] = read
    return found


def texts(given: Sequence[str]) -> dict[str, str]:
    """Reads names given as ``NAME=TEXT``, the texts just as they were typed.

    Raises:
        UserError: If one has no ``=``.
    """
    found = {}
    for entry in given:
        name, mark, value = entry.partition("=")
        if not mark or not name or not value:
            raise UserError(f"it takes NAME=VALUE, such as item=sku; got {entry!r}")
        found[name] = value
    return found


def nested(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings in which ``behaviour.boredom`` is the ``boredom`` of a mapping called ``behaviour``."""
    whole: dict[str, Any] = {}
    for name, value in found.items():
        first, dot, rest = name.partition(".")
        if not dot:
            whole[first] = value
            continue
        inner = whole.setdefault(first, {})
        if not isinstance(inner, dict):
            raise UserError(f"{first} is given as a whole and by its parts; give either {first}=... or {name}=...")
        inner[rest] = value
    return whole


def variants(given: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Reads variants given as ``NAME:SETTING=VALUE,SETTING=VALUE``; the settings of each by its name.

    Raises:
        UserError: If one is not written so, or a name is given twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in given:
        name, _, rest = entry.partition(":")
        if not name.replace("_", "").replace("-", "").isalnum():
            raise UserError(f"a variant is NAME:SETTING=VALUE,SETTING=VALUE (plain: for none), got {entry!r}")
        if name in found:
            raise UserError(f"two variants are called {name}; give each a name of its own")
        found[name] = nested(settings([part for part in rest.split(",") if part]))
    return found


def world_settings(world_set: Sequence[str], population: str, population_set: Sequence[str]) -> dict[str, Any]:
    """Returns a world's settings, and who comes there, as `instructrec.envs.make_world` takes them.

    Raises:
        UserError: If settings are given for no population.
    """
    found, others = nested(settings(world_set)), settings(population_set)
    if {"population", "population_settings"} & set(found):
        raise UserError("who comes to a world is set by --population and --population-set")
    if others and not population:
        raise UserError("--population-set is for the population that --population names; none is named")
    if population:
        allow_imports(population)
        found |= {"population": population}
    return found | ({"population_settings": others} if others else {})


def allow_imports(place: str) -> None:
    """Lets ``package.module:Name`` be found from the folder where the command was called, as Python itself does."""
    if ":" in place and "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def at_least(lowest: int, name: str, value: int) -> int:
    """Returns ``value`` after checking that it is not below ``lowest``."""
    if value < lowest:
        raise UserError(f"--{name} must be {lowest} or more, got {value}")
    return value


_WORDS = ("items", "persons", "repeats", "unknown", "encoding")
_SPAN = re.compile(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)")


def reading(given: Sequence[str], columns: Sequence[str] = (), numbers: Sequence[str] = ()) -> dict[str, Any]:
    """Returns how data are to be read, as `instructrec.envs.read_data.read_data` takes it.

    Args:
        given: Settings as ``NAME=VALUE``.
        columns: Which column means what, as ``ROLE=COLUMN``.
        numbers: What else may be set, whole numbers all.

    Raises:
        UserError: If there is no such setting, or it is no number where it should be one.
    """
    numbers = ("max_ratings", *numbers)
    known = (*_WORDS, *numbers, "scale")
    found: dict[str, Any] = {"columns": texts(columns)} if columns else {}
    for name, value in texts(given).items():
        if name not in known:
            raise UserError(unknown_name("setting of reading", name, known))
        if name == "scale":
            ends = _SPAN.fullmatch(value)
            if ends is None:
                raise UserError(f"scale is the lowest and the highest rating, such as scale=1..5; got {value!r}")
            found[name] = (float(ends[1]), float(ends[2]))
        elif name in numbers and not value.isdecimal():
            raise UserError(f"{name} is a whole number, such as {name}=2; got {value!r}")
        else:
            found[name] = int(value) if name in numbers else value
    return found


def whole_numbers(name: str, given: str) -> tuple[int, ...]:
    """Returns whole numbers that were typed with commas between them."""
    if wrong := [part for part in listed(given) if not part.isdecimal()]:
        raise UserError(f"--{name} takes whole numbers with commas between them, such as 500,2000; got {wrong[0]!r}")
    return tuple(map(int, listed(given)))

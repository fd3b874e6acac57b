"""The worlds there are, by name.

A world is a domain file, or a function that builds it. A third party adds its own with `register_world`; from then on
it can be made here, by ``gymnasium.make`` and on the command line. A domain file needs no registration: its path is the
name of a world too.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
from gymnasium.envs.registration import register, registry

from instructrec.envs.domain_file import FOLDER, domain_at
from instructrec.envs.domain_words import vocabulary_of
from instructrec.envs.populations import with_population
from instructrec.envs.vocabulary import Vocabulary
from instructrec.names import unknown_name
from instructrec.sessions import World


@dataclass(frozen=True, kw_only=True)
class WorldSpec:
    """How a world is known and made.

    Attributes:
        name: Its id, as in ``gymnasium.make``: ``namespace/Name-v0``. A change of dynamics raises the version.
        domain: What is recommended there.
        summary: One sentence on it.
        builder: A function of keyword settings that returns the `World`, or its place as ``"module:function"``, which
            is imported when the world is first made; None where the world is a domain file.
        file: Its domain file, where it has one.
        languages: What its people speak, by ISO 639-1 code; a domain file says it itself.
        population: Who comes; a domain file says it itself.
    """

    name: str
    domain: str = ""
    summary: str = ""
    languages: tuple[str, ...] = ()
    population: str = ""
    builder: Callable[..., World] | str | None = None
    file: Path | None = None

    def function(self) -> Callable[..., World]:
        """Returns the builder, imported if it was given by its place."""
        if self.file is not None:
            domain_world: Callable[..., World] = _at("instructrec.envs.domain_world:domain_world")
            return partial(domain_world, self.file, self.name)
        if not isinstance(self.builder, str):
            if self.builder is None:
                raise ValueError(f"the world {self.name} has neither a builder nor a domain file; give it one")
            return self.builder
        builder: Callable[..., World] = _at(self.builder)
        return builder

    def settings(self) -> dict[str, Any]:
        """Returns the settings the builder takes and their defaults (``inspect.Parameter.empty`` where required)."""
        return {
            name: given.default
            for name, given in inspect.signature(self.function()).parameters.items()
            if name not in _OF_THE_FILE
        }

    def about(self) -> WorldAbout:
        """Returns what there is to know about it before it is made; a domain file is read for it."""
        if self.file is None:
            return WorldAbout(self.domain, self.summary, self.languages, self.population)
        domain = domain_at(self.file, self.name)
        languages = tuple(domain.words) if domain.asks is not None else ()
        return WorldAbout(domain.domain, domain.summary, languages, domain.people.population)

    def num_items(self) -> int:
        """Returns how many items it has when nothing else is asked for."""
        if self.file is not None:
            domain = domain_at(self.file, self.name)
            if domain.items.source == "made":
                return domain.items.count
        return self.function()().catalogue.num_items


def _at(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class WorldAbout:
    """What there is to know about a world before it is made.

    Attributes:
        domain: What is recommended there.
        summary: One sentence on it.
        languages: What its people speak, by ISO 639-1 code; none where they are mute or it is not known.
        population: Who comes; empty where it is not known.
    """

    domain: str
    summary: str
    languages: tuple[str, ...]
    population: str


WORLDS: dict[str, WorldSpec] = {}
"""Every world, by name."""

_OF_EVERY_WORLD = ("population", "population_settings")
_OF_THE_FILE = ("path", "name")
_FIRST = "Movies-v0"

_BUILT_IN = (
    WorldSpec(
        name="instructrec/Tiny-v0",
        domain="coloured things",
        summary="Users name a colour and must not be baited; the best possible return is known exactly.",
        languages=("en",),
        population="tiny",
        builder="instructrec.envs.tiny:tiny_world",
    ),
)


def register_world(spec: WorldSpec) -> None:
    """Adds a world, here and in Gymnasium's registry; registering the same one again changes nothing.

    Raises:
        ValueError: If another world has the name.
    """
    if spec.name in WORLDS and WORLDS[spec.name] != spec:
        raise ValueError(f"there is already a world called {spec.name!r}; give yours another name or version")
    WORLDS[spec.name] = spec
    if spec.name not in registry:
        register(
            spec.name,
            entry_point="instructrec.envs.rec_env:RecEnv",
            vector_entry_point="instructrec.envs.vector_env:RecVectorEnv",
            kwargs={"world": spec.name},
        )


def register_file(path: str | Path, name: str = "") -> str:
    """Adds the world of a domain file under a name of its own, so that ``gymnasium.make(name)`` makes it.

    Args:
        path: The file.
        name: The world's name; ``local/STEM-v0`` when omitted.

    Returns:
        The name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If another world has the name, or it is no name for Gymnasium.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise FileNotFoundError(f"there is no domain file {path}")
    known = name or f"local/{file.stem}-v0"
    register_world(WorldSpec(name=known, file=file))
    return known


def register_worlds() -> None:
    """Registers the worlds that come with the package; importing `instructrec.envs` does it.

    Every file in the folder ``domains`` is a world: ``News-v0.yaml`` is ``instructrec/News-v0``. None is read yet.
    """
    for file in sorted(FOLDER.glob("*.yaml"), key=lambda file: (file.stem != _FIRST, file.stem)):
        register_world(WorldSpec(name=f"instructrec/{file.stem}", file=file))
    for spec in _BUILT_IN:
        register_world(spec)


def world_spec(name: str) -> WorldSpec:
    """Returns how the world called ``name`` is made: one of `WORLDS`, or the path of a domain file.

    Raises:
        ValueError: If there is no such world; the message suggests the nearest name.
        FileNotFoundError: If it names a domain file that does not exist.
    """
    if name in WORLDS:
        return WORLDS[name]
    if name.endswith((".yaml", ".yml")):
        file = Path(name)
        if not file.is_file():
            raise FileNotFoundError(f"there is no domain file {name}; `instructrec worlds` lists the worlds by name")
        return WorldSpec(name=f"local/{file.stem}-v0", file=file)
    raise ValueError(
        unknown_name("world", name, WORLDS) + "; a domain file of your own is given by its path, ending in .yaml"
    )


def speech_of(name: str, language: str = "en") -> Vocabulary:
    """Returns the words that a world's people may use, of every split; those of films where the world has none.

    Args:
        name: The world's name, or the path of its domain file.
        language: What they speak.
    """
    spec = WORLDS.get(name) if name in WORLDS or not name.endswith((".yaml", ".yml")) else world_spec(name)
    domain = domain_at(spec.file, spec.name) if spec is not None and spec.file is not None else None
    if domain is None or language not in domain.words:
        domain = domain_at(FOLDER / f"{_FIRST}.yaml", f"instructrec/{_FIRST}")
        language = "en"
    return vocabulary_of(domain, language)


def spoken_in(world: World) -> Vocabulary:
    """Returns the words that a parser may know in a world: its people's, or those of its own people or its name."""
    for spoken in (getattr(world.population, "vocabulary", None), world.words):
        if isinstance(spoken, Vocabulary):
            return spoken
    return speech_of(world.name).within(world.catalogue)


def make_world(
    name: str, *, population: Any = None, population_settings: Mapping[str, Any] | None = None, **settings: Any
) -> World:
    """Makes the world called ``name``.

    Args:
        name: One of `WORLDS`, or the path of a domain file (``shop.yaml``).
        population: Who comes there instead of the world's own people; see `instructrec.envs.populations`.
        population_settings: What its maker takes besides.
        settings: What the world's builder takes.

    Raises:
        ValueError: If there is no such world; the message suggests the nearest name.
        TypeError: If the builder takes no such setting (the message suggests the nearest), or takes another kind of it;
            if the population is none.
    """
    spec = world_spec(name)
    known = spec.settings()
    for setting in settings:
        if setting not in known:
            raise TypeError(unknown_name(f"setting of {name}", setting, [*known, *_OF_EVERY_WORLD]))
    builder = spec.function()
    _check_kinds(name, builder, settings)
    world = builder(**settings)
    if population is None:
        if population_settings:
            raise TypeError("population_settings are of a population given by name, place or class; none is given")
        return world
    return with_population(world, population, population_settings, split=str(settings.get("split", "train")))


_PLAIN: dict[Any, tuple[Any, str]] = {
    bool: (bool | np.bool_, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a word"),
    type(None): (type(None), "None"),
}


def _check_kinds(name: str, builder: Callable[..., World], settings: Mapping[str, Any]) -> None:
    """Checks settings whose annotation is of plain kinds alone, such as ``int | None``; the builder checks the rest."""
    try:
        hints = get_type_hints(builder.func if isinstance(builder, partial) else builder)
    except (NameError, TypeError):  # Annotations of a builder of one's own need not resolve.
        return
    for setting, value in settings.items():
        kinds = get_args(hints.get(setting)) or (hints.get(setting),)
        if any(kind not in _PLAIN for kind in kinds):
            continue
        true_or_false = isinstance(value, _PLAIN[bool][0])  # In Python also a number.
        fits = bool in kinds if true_or_false else any(isinstance(value, _PLAIN[kind][0]) for kind in kinds)
        if not fits:
            wanted = " or ".join(_PLAIN[kind][1] for kind in kinds)
            raise TypeError(f"{setting} of {name} must be {wanted}, got {value!r}")


def as_world(world: World | str, settings: dict[str, Any]) -> World:
    """Returns ``world`` itself, or makes the one of that name with ``settings``.

    Raises:
        TypeError: If settings come with a world that is already made, or ``world`` is neither.
    """
    if isinstance(world, str):
        return make_world(world, **settings)
    if not isinstance(world, World):
        raise TypeError(f"expected a World or the name of one, got {type(world).__name__}")
    if settings:
        raise TypeError(
            f"settings ({', '.join(settings)}) belong to a world made by name; this one is already made: "
            "set them where it is made, or use dataclasses.replace(world, ...)"
        )
    return world

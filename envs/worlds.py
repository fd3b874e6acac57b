"""The worlds there are, by name.

A third party adds its own with `register_world`; from then on it can be made here, by ``gymnasium.make`` and on the
command line.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gymnasium.envs.registration import register, registry

from instructrec.envs.populations import PopulationSpec, register_population, with_population
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
            is imported when the world is first made.
    """

    name: str
    domain: str
    summary: str
    builder: Callable[..., World] | str

    def function(self) -> Callable[..., World]:
        """Returns the builder, imported if it was given by its place."""
        if not isinstance(self.builder, str):
            return self.builder
        module, _, name = self.builder.partition(":")
        builder: Callable[..., World] = getattr(importlib.import_module(module), name)
        return builder

    def settings(self) -> dict[str, Any]:
        """Returns the settings the builder takes and their defaults (``inspect.Parameter.empty`` where required)."""
        return {name: given.default for name, given in inspect.signature(self.function()).parameters.items()}


WORLDS: dict[str, WorldSpec] = {}
"""Every world, by name."""

_OF_EVERY_WORLD = ("population", "population_settings")

_BUILT_IN = (
    WorldSpec(
        name="instructrec/Movies-v0",
        domain="films",
        summary="People with the tastes of real MovieLens raters ask for films, criticise slates, stay or leave.",
        builder="instructrec.envs.movies:movies_world",
    ),
    WorldSpec(
        name="instructrec/Tiny-v0",
        domain="coloured things",
        summary="Users name a colour and must not be baited; the best possible return is known exactly.",
        builder="instructrec.envs.tiny:tiny_world",
    ),
    WorldSpec(
        name="instructrec/ChocKale-v0",
        domain="stories",
        summary="Mute users whom clickbait engages now and wears out later, as in RecSim; the optimum is known.",
        builder="instructrec.envs.clickbait:clickbait_world",
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


def register_worlds() -> None:
    """Registers the worlds and populations that come with the package; importing `instructrec.envs` does it."""
    for spec in _BUILT_IN:
        register_world(spec)
    register_population(
        PopulationSpec(
            name="clickbait",
            summary="Clickbait engages them now and wears them out later.",
            reference="Ie et al. (2019), RecSim, arXiv 1909.04847: long-term satisfaction (chocolate and kale).",
            maker="instructrec.envs.clickbait:ClickbaitPopulation",
        )
    )


def make_world(
    name: str, *, population: Any = None, population_settings: Mapping[str, Any] | None = None, **settings: Any
) -> World:
    """Makes the world called ``name``.

    Args:
        name: One of `WORLDS`.
        population: Who comes there instead of the world's own people; see `instructrec.envs.populations`.
        population_settings: What its maker takes besides.
        settings: What the world's builder takes.

    Raises:
        ValueError: If there is no such world; the message suggests the nearest name.
        TypeError: If the builder takes no such setting; the message suggests the nearest. If the population is none.
    """
    if name not in WORLDS:
        raise ValueError(unknown_name("world", name, WORLDS))
    spec = WORLDS[name]
    known = spec.settings()
    for setting in settings:
        if setting not in known:
            raise TypeError(unknown_name(f"setting of {name}", setting, [*known, *_OF_EVERY_WORLD]))
    world = spec.function()(**settings)
    if population is None:
        if population_settings:
            raise TypeError("population_settings are of a population given by name, place or class; none is given")
        return world
    return with_population(world, population, population_settings, split=str(settings.get("split", "train")))


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

"""Populations by name: who may come to a world instead of its own people.

Those that come with the package lie in a file each, ``population_NAME.py``, whose ``POPULATION`` says what it is. A
population is given as a name (one that comes with the package, or one that an installed package brings under the
entry point group ``instructrec.populations``), as a place ``"module:attribute"``, or as a Python object. What stands
there is a `Population`, or a class or function that makes one, or one that makes a `User`; a maker is handed what it
asks for by parameter name, of the catalogue, slate_size, turn_limit and split of the world, and of its own people
(``base``).
"""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from instructrec.envs.users import fingerprint_of, lacking_of, population_of
from instructrec.names import unknown_name
from instructrec.sessions import PlugInError, World

GROUP = "instructrec.populations"
"""The entry point group under which packages bring populations."""

_OF_POPULATIONS = ("past", "texts", "fingerprint")
_OFFERED = ("catalogue", "slate_size", "turn_limit", "split", "base")


@dataclass(frozen=True, kw_only=True)
class PopulationSpec:
    """How a population is known and made.

    Attributes:
        name: Its name.
        summary: One sentence on it.
        reference: Where it is described: a paper or a simulator.
        maker: What makes it, or its place as ``"module:attribute"``, which is imported when it is first made.
    """

    name: str
    summary: str
    reference: str = ""
    maker: Callable[..., Any] | str

    def made_by(self) -> Any:
        """Returns what makes it, imported if it was given by its place."""
        return _at(self.maker) if isinstance(self.maker, str) else self.maker

    def parameters(self) -> dict[str, Any]:
        """Returns its settings and their defaults (``inspect.Parameter.empty`` where required)."""
        made_by = self.made_by()
        return _settings(made_by) if callable(made_by) else {}


POPULATIONS: dict[str, PopulationSpec] = {}
"""Populations registered by name; `known_populations` adds the package's own and those of installed packages."""
_FILE = "population_"


def register_population(spec: PopulationSpec) -> None:
    """Adds a population; registering the same one again changes nothing.

    Raises:
        ValueError: If another population has the name, or it would be taken for a place.
    """
    if ":" in spec.name:
        raise ValueError(f"the name of a population has no colon, got {spec.name!r}: it would be taken for a place")
    if POPULATIONS.get(spec.name, spec) != spec or spec.name in _built_in():
        raise ValueError(f"there is already a population called {spec.name!r}; give yours another name")
    POPULATIONS[spec.name] = spec


def _built_in() -> dict[str, str]:
    """Returns the modules of the populations that come with the package, by name: ``population_NAME.py`` is NAME."""
    files = sorted(Path(__file__).parent.glob(f"{_FILE}*.py"))
    return {file.stem.removeprefix(_FILE): f"instructrec.envs.{file.stem}" for file in files}


def _spec_in(module: str) -> PopulationSpec:
    spec: PopulationSpec = importlib.import_module(module).POPULATION
    return spec


def known_populations() -> dict[str, PopulationSpec]:
    """Returns every population by name: those that come with the package, registered ones, and installed packages'."""
    built_in = {name: _spec_in(module) for name, module in _built_in().items()}
    brought = {
        point.name: PopulationSpec(
            name=point.name,
            summary=f"Brought by {point.dist.name if point.dist else 'an installed package'}.",
            maker=point.value,
        )
        for point in entry_points(group=GROUP)
    }
    return {**brought, **POPULATIONS, **built_in}


def with_population(
    world: World,
    population: Any,
    settings: Mapping[str, Any] | None = None,
    *,
    split: str = "train",
) -> World:
    """Returns ``world`` with other people in it.

    Args:
        world: Where they come to.
        population: A name, a place ``"module:attribute"``, a `Population`, or what makes one or a `User`.
        settings: What its maker takes besides.
        split: Whose people and phrasings, for makers that ask.

    Raises:
        ValueError: If there is no such name or place; the message suggests the nearest.
        TypeError: If it is nothing of the kind, or its maker takes no such setting.
    """
    if settings is not None and not isinstance(settings, Mapping):
        raise TypeError(f"population_settings are names and values, such as {{'patience': 3}}, got {settings!r}")
    given = dict(settings or {})
    found, said = _found(population)
    if _is_population(found):
        if given:
            raise TypeError(f"{said} is made already and takes no settings, got {', '.join(given)}")
        return replace(world, population=found)
    if not callable(found):
        kind = type(found).__name__
        one = " (give its class: every session has a user of its own)" if _is_user(found) else ""
        raise TypeError(f"{said} is of type {kind}, expected a Population, or what makes one or a User{one}")
    known = _settings(found)
    for name in given:
        if name not in known and not _takes_any(found):
            raise TypeError(unknown_name(f"setting of {said}", name, known))
    if missing := [name for name, default in known.items() if default is inspect.Parameter.empty and name not in given]:
        raise TypeError(
            f"{said} needs {', '.join(missing)}: population_settings={{'{missing[0]}': ...}}, or on the command line "
            f"--population-set {missing[0]}=... (a world itself offers {', '.join(_OFFERED)})"
        )
    offer = {
        "catalogue": world.catalogue,
        "slate_size": world.slate_size,
        "turn_limit": world.turn_limit,
        "split": split,
        "base": world.population,
    }
    asked = [name for name in _OFFERED if name in inspect.signature(found).parameters and name not in given]

    def make() -> Any:
        # Copied, so that no user changes what the next one is made with.
        return found(**{name: offer[name] for name in asked}, **copy.deepcopy(given))

    try:
        made = make()
    except (TypeError, ValueError):
        raise
    except (Exception, SystemExit) as error:
        raise PlugInError(f"making {said} raised {type(error).__name__}: {error}") from error
    if _is_population(made):
        return replace(world, population=made)
    lacking = [name for name in _OF_POPULATIONS if not hasattr(made, name)]
    if _is_user(made) and 0 < len(lacking) < len(_OF_POPULATIONS):
        raise TypeError(f"{said} made a {type(made).__name__}, a Population that lacks {', '.join(lacking)}")
    if not _is_user(made):
        raise TypeError(
            f"{said} made an object of type {type(made).__name__}, which is neither a User (arrive, react) nor a "
            f"Population (arrive, react, past, texts, fingerprint): {lacking_of(made)}"
        )
    crowd = population_of(
        make,
        world.catalogue,
        slate_size=world.slate_size,
        turn_limit=world.turn_limit,
        fingerprint=fingerprint_of(
            partial(found, **{**known, **given}, **({"split": split} if "split" in asked else {})), type(made)
        ),
    )
    return replace(world, population=crowd)


def _found(population: Any) -> tuple[Any, str]:
    """Returns what is meant, and what to call it in messages."""
    if not isinstance(population, str):
        return population, getattr(population, "__name__", f"the population {type(population).__name__}")
    if ":" in population:
        return _at(population), population
    if population in _built_in():
        return _spec_in(_built_in()[population]).made_by(), population
    known = known_populations()
    if population not in known:
        module, _, name = population.rpartition(".")
        place = f"; one of your own is given as {module or 'package.module'}:{name if module else 'Name'}"
        raise ValueError(unknown_name("population", population, known) + place)
    return known[population].made_by(), population


def _at(place: str) -> Any:
    """Returns what stands at ``module:attribute``.

    Raises:
        ValueError: If there is no such module or attribute, or the module cannot be imported.
    """
    module_name, _, attribute = place.partition(":")
    if not module_name or not attribute:
        raise ValueError(f"a place is package.module:Name, got {place!r}")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(error.name + ".")):
            raise ValueError(f"{place}: {module_name} needs a module that is not installed: {error.name}") from error
        raise ValueError(
            f"{place}: there is no module {error.name!r} here; is its folder on PYTHONPATH, its package installed?"
        ) from error
    except (Exception, SystemExit) as error:
        raise ValueError(f"{place}: importing {module_name} raised {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            here = getattr(found, "__name__", None)
            public = [
                name
                for name in dir(found)
                if not name.startswith("_") and getattr(getattr(found, name, None), "__module__", here) == here
            ]
            raise ValueError(f"{place}: {unknown_name(f'name in {module_name}', part, public)}")
        found = getattr(found, part)
    return found


def _is_user(thing: Any) -> bool:
    return not inspect.isclass(thing) and all(callable(getattr(thing, name, None)) for name in ("arrive", "react"))


def _is_population(thing: Any) -> bool:
    return _is_user(thing) and all(hasattr(thing, name) for name in _OF_POPULATIONS)


def _settings(maker: Callable[..., Any]) -> dict[str, Any]:
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        name: given.default
        for name, given in inspect.signature(maker).parameters.items()
        if name not in _OFFERED and given.kind not in kinds
    }


def _takes_any(maker: Callable[..., Any]) -> bool:
    return any(given.kind is inspect.Parameter.VAR_KEYWORD for given in inspect.signature(maker).parameters.values())


__all__ = [
    "GROUP",
    "POPULATIONS",
    "PopulationSpec",
    "known_populations",
    "register_population",
    "with_population",
]

"""Commands about worlds, populations and agents by name, and worlds of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from instructrec.experiments.commands import (
    Answer,
    Command,
    Settings,
    UserError,
    at_least,
    default_told,
    listing,
    metavar,
    reading,
    world_name,
)

if TYPE_CHECKING:
    from instructrec.experiments.progress import Narrator


@dataclass(frozen=True, kw_only=True)
class Worlds(Command):
    """List the worlds there are."""

    def run(self, narrator: Narrator) -> Answer:
        """Lists them."""
        from instructrec.envs.worlds import WORLDS

        if not self.json:
            return Answer(document=None, text=listing([(spec.name, spec.about().summary) for spec in WORLDS.values()]))
        worlds = []
        for spec in WORLDS.values():
            about = spec.about()
            worlds.append(
                {
                    "id": spec.name,
                    "domain": about.domain,
                    "summary": about.summary,
                    "items": spec.num_items(),
                    "languages": list(about.languages),
                    "population": about.population,
                }
            )
        return Answer(document={"worlds": worlds}, text="")


@dataclass(frozen=True, kw_only=True)
class WorldFile(Command):
    """Make a world from your own data, or look through a domain file."""

    action: Annotated[Positional[Literal["new", "check"]], metavar("new|check")]
    """new: read data, infer items, fit tastes, write a domain file. check: read one, and show what people say there."""
    file: Annotated[Positional[str], metavar("FILE.yaml")]
    """The domain file; for check also a world by name."""
    source: Annotated[str, arg(name="from", metavar="SOURCE", help_behavior_hint=default_told)] = ""
    """For new: a file, folder or archive of MovieLens, RecBole, Amazon Reviews, Open Bandit, CSV or Parquet."""
    noun: str = "item"
    """For new: what one item is called, such as film."""
    data_format: Annotated[str, metavar("NAME")] = ""
    """For new: the data's format, where it cannot be seen from the files."""
    columns: Settings = ()
    """For new, plain tables: which column means what, such as person=uid item=sku rating=stars time=ts."""
    set: Settings = ()
    """For new: how data are read and fitted, such as unknown=drop repeats=last scale=1..10 items=FILE encoding=latin-1
    min_person_ratings=2."""
    max_items: int = 20_000
    """For new: how many items at most; the most popular are kept."""

    def run(self, narrator: Narrator) -> Answer:
        """Makes or checks."""
        if self.action == "check":
            from instructrec.experiments.check_world_file import check_world_file

            document = check_world_file(world_name(self.file))
            return Answer(document=document, text=document["text"])
        from instructrec.experiments.new_world import FITTING, new_world

        if not self.source:
            raise UserError("a new world is made from data: --from PATH")
        made = new_world(
            self.source,
            self.file,
            noun=self.noun,
            data_format=self.data_format or None,
            max_items=at_least(2, "max-items", self.max_items),
            settings=reading(self.set, self.columns, FITTING),
            narrator=narrator,
        )
        return Answer(document=made, text=made["text"])


@dataclass(frozen=True, kw_only=True)
class Populations(Command):
    """List the populations that may come to a world."""

    def run(self, narrator: Narrator) -> Answer:
        """Lists them."""
        from instructrec.envs.populations import known_populations

        specs = list(known_populations().values())
        rows = [(spec.name, f"{spec.summary} {_source(spec.reference)}{_needs(spec.parameters())}") for spec in specs]
        document = [
            {
                "name": s.name,
                "reference": s.reference,
                "parameters": {n: _default(d) for n, d in s.parameters().items()},
            }
            for s in specs
        ]
        text = listing(rows) if rows else "None but the worlds' own people."
        return Answer(document={"populations": document}, text=text + "\nYours: --population package.module:Name.")


@dataclass(frozen=True, kw_only=True)
class Agents(Command):
    """List the agents there are."""

    def run(self, narrator: Narrator) -> Answer:
        """Lists them."""
        from instructrec.experiments.headline import ABOUT, kind_of

        rows = [(name, f"{words} ({kind_of(name)})") for name, words in ABOUT.items()]
        document = [{"name": name, "kind": kind_of(name), "summary": words} for name, words in ABOUT.items()]
        return Answer(document=document, text=listing(rows))


def _source(reference: str) -> str:
    return f"After {reference.rstrip('.')}. " if reference else ""


def _needs(parameters: Mapping[str, Any]) -> str:
    """Returns a population's settings in a sentence: first what it must be given."""
    must = [name for name, default in parameters.items() if default is inspect.Parameter.empty]
    may = [name for name in parameters if name not in must]
    said = f"Needs {', '.join(f'{name}=...' for name in must)}. " if must else ""
    shown = ", ".join(may[:6]) + (f" and {len(may) - 6} more" if len(may) > 6 else "")
    return said + (f"Settings: {shown}." if may else "")


def _default(value: Any) -> Any:
    """Returns a parameter's default as JSON knows it: null where there is none, its ``repr`` where it is an object."""
    if value is inspect.Parameter.empty:
        return None
    return value if isinstance(value, str | int | float | bool) else repr(value)

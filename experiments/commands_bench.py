"""The command that says how fast it is here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional

from instructrec.experiments.commands import (
    Answer,
    Command,
    Settings,
    UserError,
    at_least,
    metavar,
    settings,
    whole_numbers,
    world_name,
)

if TYPE_CHECKING:
    from instructrec.experiments.progress import Narrator


_Part = Literal["env", "train", "encode", "recommend", "ope"]


@dataclass(frozen=True, kw_only=True)
class Bench(Command):
    """Measure how fast it is on this machine: simulated people, training, the language model, answers, logs.

    Nothing else should run meanwhile; the load before and after is told.
    """

    parts: Annotated[Positional[tuple[_Part, ...]], metavar("[env|train|encode|recommend|ope ...]")] = ()
    """What is measured; all of it when omitted."""
    world: str = "movies"
    """The world; `instructrec worlds` lists them."""
    world_set: Settings = ()
    """Settings of the world, such as slate_size=5."""
    users: str = "1024,8192"
    """How many simulated people step together, numbers separated by commas."""
    agent: Annotated[str, metavar("RUN")] = ""
    """The folder of a trained run: recommend needs it, train takes what it read."""
    encoder: str = "minilm"
    """The language model, as for compare."""
    repeats: int = 5
    """How often a rate is measured."""

    def run(self, narrator: Narrator) -> Answer:
        """Measures."""
        from instructrec.experiments.bench import PARTS, BenchPlan, bench, to_text

        users = whole_numbers("users", self.users)
        if not users or min(users) < 1 or len(set(users)) < len(users):
            raise UserError(f"--users takes numbers of 1 or more, each once, such as 1024,8192; got {self.users}")
        plan = BenchPlan(
            parts=tuple(dict.fromkeys(self.parts)) or PARTS,
            world=world_name(self.world),
            world_settings=settings(self.world_set),
            users=users,
            run=self.agent,
            encoder=self.encoder,
            repeats=at_least(1, "repeats", self.repeats),
        )
        document = bench(plan, narrator)
        return Answer(document=document, text=to_text(document))

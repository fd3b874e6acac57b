"""Commands about logs: recorded turns with the probability of all that was shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from instructrec.experiments.commands import AmongPeople, Answer, UserError, at_least, world_name

if TYPE_CHECKING:
    from instructrec.experiments.progress import Narrator


@dataclass(frozen=True, kw_only=True)
class Log(AmongPeople):
    """Record sessions as Parquet files, with the probability of every item shown: for policy experiments offline.

    A killed recording goes on where it stood when it is run again.
    """

    policy: Annotated[str, arg(metavar="NAME")]
    """Who shows the slates: random, popularity, bm25, cosine or parser, or NAME=RUN from a run folder. Slates are drawn
    from its scores, position by position (Plackett-Luce)."""
    sessions: int
    """How many sessions."""
    out: Path
    """Folder for manifest.json and the files of turns."""
    temperature: float = 1.0
    """What scores are divided by before slates are drawn: lower shows the best items more often."""
    deterministic: bool = False
    """Show the best items, always; such a log says nothing about other policies."""
    truth: bool = False
    """Keep what is hidden from agents too, in files apart: satisfaction, trust, how far goals are met, true utility."""
    split: Literal["train", "validation"] = "train"
    """Whose people and phrasings."""
    final: bool = False
    """Record the test people and phrasings instead."""
    seed: int = 0
    """The sessions' seed."""
    sessions_per_shard: int = 2048
    """How many sessions a file holds."""

    def run(self, narrator: Narrator) -> Answer:
        """Records."""
        if not self.temperature > 0:
            raise UserError(f"--temperature must be above 0, got {self.temperature:g}; --deterministic is without luck")
        from instructrec.experiments.log_sessions import log_sessions, to_text

        document = log_sessions(
            world_name(self.world),
            self.policy,
            out=self.out,
            sessions=at_least(1, "sessions", self.sessions),
            temperature=self.temperature,
            deterministic=self.deterministic,
            truth=self.truth,
            world_settings=self.world_settings(),
            split="test" if self.final else self.split,
            seed=at_least(0, "seed", self.seed),
            sessions_per_shard=at_least(1, "sessions-per-shard", self.sessions_per_shard),
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))

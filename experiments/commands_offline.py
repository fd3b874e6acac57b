"""Commands that learn policies from logs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from instructrec.experiments.commands import Answer, Command, Settings, allow_imports, at_least, settings

if TYPE_CHECKING:
    from instructrec.experiments.progress import Narrator


@dataclass(frozen=True, kw_only=True)
class Learn(Command):
    """Learn a policy from a log alone, into a run folder like that of `train`.

    clone shows what was shown; ips weighs what was logged by how likely the policy shows it; fitted_q learns what items
    are worth, later turns included; dr foresees rewards and puts them right by weights. `train --start RUN` goes on
    from there among people.
    """

    log: Annotated[Positional[str], arg(metavar="LOG")]
    """The log's folder, as `instructrec log` makes it, of training people."""
    agent: str = "dr"
    """How to learn: clone, ips, dr or fitted_q."""
    out: Path
    """The run folder."""
    seed: int = 0
    """The seed: the same seed and log give the same weights."""
    resume: bool = False
    """Go on where the run in the folder stopped; with none there, begin."""
    set: Settings = ()
    """Settings of the agent, such as cap=5, behaviour=0.1 or epochs=4."""
    reading: Annotated[str, arg(metavar="RUN")] = ""
    """Take what was learned to read from a run of the same items, instead of learning to read anew."""
    population: str = ""
    """The log's people, where they are code of yours (package.module:Name): no log may choose what is run."""
    any_language: bool = False
    """Learn even where the language model does not read what people speak."""

    def run(self, narrator: Narrator) -> Answer:
        """Learns."""
        from instructrec.experiments.learn_offline import LearnPlan, learn_offline

        allow_imports(self.population)
        plan = LearnPlan(
            log=self.log,
            agent=self.agent,
            agent_settings=settings(self.set),
            seed=at_least(0, "seed", self.seed),
            reading=self.reading,
            population=self.population,
            any_language=self.any_language,
        )
        found = learn_offline(plan, self.out, resume=self.resume, narrator=narrator)
        run = shlex.quote(str(self.out))
        lines = [f"{self.agent} learned from {found['turns']:,} turns; it lies in {self.out}."]
        last = found["last"]
        if "policy/effective_share" in last:
            lines += [
                f"Its weights leave {last['policy/effective_share']:.0%} of the logged positions to learn from "
                f"(mean weight {last['policy/weight']:.2f})."
            ]
        lines += [f"Measure it:  instructrec evaluate {run}"]
        lines += [f"Go on among people:  instructrec train WORLD --start {run} --out RUN"]
        return Answer(document=found, text="\n".join(lines))

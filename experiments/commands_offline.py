"""Commands that learn policies from logs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from instructrec.experiments.commands import (
    AmongPeople,
    Answer,
    Command,
    Settings,
    UserError,
    allow_imports,
    at_least,
    listed,
    metavar,
    settings,
    whole_numbers,
    world_name,
)

if TYPE_CHECKING:
    from instructrec.experiments.progress import Narrator


@dataclass(frozen=True, kw_only=True)
class Learn(Command):
    """Learn a policy from a log alone, into a run folder like that of `train`.

    clone shows what was shown; ips weighs what was logged by how likely the policy shows it; fitted_q learns what items
    are worth, later turns included; dr foresees rewards and puts them right by weights. `train --start RUN` goes on
    from there among people.
    """

    log: Annotated[Positional[str], metavar("LOG")]
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
    reading: Annotated[str, metavar("RUN")] = ""
    """Take what was learned to read from a run of the same items, instead of learning to read anew."""
    population: Annotated[str, metavar("MODULE:NAME")] = ""
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


@dataclass(frozen=True, kw_only=True)
class LearnStudy(AmongPeople):
    """Ask what can be learned from a log alone: as logs grow, and as their feedback gets worse.

    Beside those that learn from the log stand SlatePPO, trained among people for as many turns, and who logged. A
    killed study goes on where it stood.
    """

    policy: Annotated[str, metavar("NAME")]
    """Who logs: an agent by name, or NAME=RUN from a run folder."""
    out: Path
    """Folder for results.json, learn_study.md and a picture."""
    temperature: float = 1.0
    """The temperature of the policy that logs."""
    agents: str = "clone,ips,dr,fitted_q,supervised"
    """Who learns from the log, separated by commas."""
    sessions: str = "1000,3000,10000"
    """How many sessions the logs hold, sizes separated by commas."""
    noise: Annotated[str, metavar("SHARES")] = ""
    """Shares of shown items whose feedback is that of another item, separated by commas, such as 0.2,0.5."""
    sparsity: Annotated[str, metavar("SHARES")] = ""
    """Shares of shown items whose feedback never arrived, separated by commas."""
    spoiled_sessions: int = 0
    """How many sessions the log holds whose feedback is spoiled, one of --sessions; the largest when 0."""
    offline_only: bool = False
    """Train nobody among people."""
    prompts: int = 0
    """From how many prompts of its own the network has learned to read before; 0 for none."""
    encoder: str = "minilm"
    """The language model."""
    seeds: int = 1
    """How many agents of each kind are trained."""
    people: int = 300
    """How many sessions each is measured on."""
    seed: int = 0
    """The seed of the log's sessions."""
    final: bool = False
    """Measure on the test people and phrasings; without it, on the validation ones."""

    def run(self, narrator: Narrator) -> Answer:
        """Studies."""
        if not 0 < self.temperature < float("inf"):
            raise UserError(f"--temperature must be above 0 and finite, got {self.temperature:g}")
        from instructrec.experiments.learn_study import LearnStudy as Study
        from instructrec.experiments.learn_study import learn_study
        from instructrec.experiments.learn_study_page import to_text

        study = Study(
            world=world_name(self.world),
            policy=self.policy,
            temperature=self.temperature,
            agents=tuple(listed(self.agents)),
            sizes=whole_numbers("sessions", self.sessions),
            noise=_shares("noise", self.noise),
            sparsity=_shares("sparsity", self.sparsity),
            spoiled_size=self.spoiled_sessions,
            online=not self.offline_only,
            prompts=at_least(0, "prompts", self.prompts),
            world_settings=self.world_settings(),
            encoder=self.encoder,
            seeds=at_least(1, "seeds", self.seeds),
            people=at_least(2, "people", self.people),
            seed=at_least(0, "seed", self.seed),
            final=self.final,
        )
        document = learn_study(study, out=self.out, narrator=narrator)
        return Answer(document=document, text=f"{to_text(document)}\n\nPage and picture: {self.out}")


def _shares(name: str, given: str) -> tuple[float, ...]:
    """Returns shares that were typed with commas between them."""
    found = []
    for part in listed(given):
        try:
            found.append(float(part))
        except ValueError:
            raise UserError(f"--{name} takes shares with commas between them, such as 0.2,0.5; got {part!r}") from None
    return tuple(found)

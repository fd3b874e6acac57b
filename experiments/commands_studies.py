"""Commands that ask questions of agents, users and worlds: ablate, twins, fidelity, transfer, requests and others."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from instructrec.experiments.commands import (
    AmongPeople,
    Answer,
    Command,
    InWorld,
    Settings,
    UserError,
    at_least,
    listed,
    metavar,
    nested,
    reading,
    settings,
    variants,
    world_name,
    world_settings,
)

if TYPE_CHECKING:
    from instructrec.experiments.progress import Narrator


@dataclass(frozen=True, kw_only=True)
class Robustness(InWorld):
    """Ask whether the order of agents survives other users: draws of the assumed constants."""

    agents: str = "random,popularity,bm25,parser,goal_oracle,oracle"
    """Agents by name, separated by commas; AGENT=RUN takes a trained one from its run folder."""
    out: Path
    """Folder for robustness.json and robustness.md; a killed check goes on where it stood."""
    draws: int = 50
    """How many sets of constants."""
    people: int = 200
    """How many people each agent meets in each draw."""
    seed: int = 1
    """The seed of constants and people."""
    final: bool = False
    """Read the test people and phrasings; without it, the validation ones."""

    def run(self, narrator: Narrator) -> Answer:
        """Checks."""
        from instructrec.experiments.robustness import robustness, to_text

        document = robustness(
            world_name(self.world),
            listed(self.agents),
            out=self.out,
            draws=at_least(2, "draws", self.draws),
            sessions=at_least(1, "people", self.people),
            seed=at_least(0, "seed", self.seed),
            final=self.final,
            world_settings=nested(settings(self.world_set)),
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))


@dataclass(frozen=True, kw_only=True)
class Ablate(AmongPeople):
    """Ask what each part of SlatePPO gives: train it without, and other algorithms, on the same budget."""

    out: Path
    """Folder for ablation.json, ablation.md and curves.png; a killed ablation goes on where it stood."""
    variants: Annotated[str | None, metavar("STR")] = None
    """Which, separated by commas: myopic, whole_slate, plain_ppo, reward_to_go, no_attribution, shared_future,
    no_anchor, no_entropy, no_warm_up, no_item_scores, full_softmax, no_prompts, stemmed, attention, text_only,
    attributes_only, history_only, ppo, a2c, reinforce, slateq; all when omitted."""
    set: Settings = ()
    """Settings of SlatePPO, such as candidates=500; those of another agent by its name: slateq.updates=2."""
    steps: int = 50_000
    """User-steps of training, the same for all."""
    people: int = 300
    """How many sessions each is measured on."""
    seeds: int = 1
    """How many agents of each variant to train."""
    seed: int = 0
    """The first one's seed; the others follow."""
    final: bool = False
    """Measure on the test people and phrasings; without it, on the validation ones."""

    def run(self, narrator: Narrator) -> Answer:
        """Trains and measures."""
        from instructrec.experiments.ablation_tables import to_text
        from instructrec.experiments.ablations import ablate

        chosen = listed(self.variants or "")
        if self.variants is not None and not chosen:
            raise UserError("--variants names none; leave it out to train them all")
        document = ablate(
            world_name(self.world),
            out=self.out,
            variants=chosen,
            world_settings=self.world_settings(),
            agent_settings=settings(self.set),
            steps=at_least(1, "steps", self.steps),
            sessions=at_least(1, "people", self.people),
            seeds=at_least(1, "seeds", self.seeds),
            seed=at_least(0, "seed", self.seed),
            final=self.final,
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))


@dataclass(frozen=True, kw_only=True)
class Transfer(Command):
    """Train among these people, test among those: one agent per variant of a world, all in all."""

    world: Annotated[Positional[str], metavar("WORLD")]
    """The world; `instructrec worlds` lists them."""
    variant: Annotated[tuple[str, ...], metavar("NAME:SETTING=VALUE,...")]
    """What differs, one per variant: plain: hasty:turn_limit=5 crowd:population=clickbait talk:world=MoviesTalk."""
    out: Path
    """Folder for the runs, transfer.json and transfer.md; a killed one goes on where it stood."""
    agent: str = "slate_ppo"
    """The agent that is trained."""
    set: Settings = ()
    """Settings of the agent, such as candidates=1000."""
    steps: int = 50_000
    """User-steps of training, the same for all."""
    people: int = 300
    """How many people each agent meets in each variant."""
    seeds: int = 1
    """How many agents to train in each variant."""
    seed: int = 0
    """The first one's seed; the others follow."""
    final: bool = False
    """Read the test people and phrasings; without it, the validation ones."""

    def run(self, narrator: Narrator) -> Answer:
        """Trains and tests."""
        from instructrec.experiments.transfer import to_text, transfer

        document = transfer(
            world_name(self.world),
            {name: _in_world(given) for name, given in variants(self.variant).items()},
            out=self.out,
            agent=self.agent,
            agent_settings=settings(self.set),
            steps=at_least(1, "steps", self.steps),
            sessions=at_least(1, "people", self.people),
            seeds=at_least(1, "seeds", self.seeds),
            seed=at_least(0, "seed", self.seed),
            final=self.final,
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))


def _in_world(given: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a variant of a world, with the full name of another world."""
    return given | ({"world": world_name(str(given["world"]))} if "world" in given else {})


@dataclass(frozen=True, kw_only=True)
class Twins(AmongPeople):
    """Replay the same people with the same luck under edited instructions, or with another agent."""

    edit: Annotated[str, metavar("NAME")] = ""
    """What the agent hears instead: removed (nothing), paraphrased, contradicted or swapped; removed if nothing else
    is changed."""
    agent: str = "parser"
    """Who is played: an agent by name, or a run folder."""
    against: Annotated[str, metavar("NAME")] = ""
    """Who is played the second time, instead of an edit: an agent by name, or a run folder."""
    people: int = 500
    """How many people to meet, one session each; real tastes may come more than once."""
    seed: int = 1
    """The seed of the people met."""
    final: bool = False
    """Read the test people and phrasings; without it, the validation ones."""

    def run(self, narrator: Narrator) -> Answer:
        """Plays twice."""
        from instructrec.experiments.twins import to_text, twins

        document = twins(
            world_name(self.world),
            agent=self.agent,
            edit=self.edit,
            against=self.against,
            world_settings=self.world_settings(),
            people=at_least(1, "people", self.people),
            seed=at_least(0, "seed", self.seed),
            final=self.final,
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))


@dataclass(frozen=True, kw_only=True)
class Fidelity(AmongPeople):
    """Compare what a world produces with logs of real people, and list where its constants come from."""

    log: Annotated[tuple[Path, ...], UseAppendAction, arg(metavar="LOG")] = ()
    """A log, as often as you like: ratings or clicks in any format of `instructrec world new`, the MIT movie corpus,
    IARD's JSON, or a table of shown items (session, turn, position, item, clicked)."""
    columns: Settings = ()
    """For plain tables of ratings: which column means what, such as person=uid item=sku rating=stars."""
    set: Settings = ()
    """For ratings: how they are read, as in `instructrec world new`."""
    out: Path = Path("runs/fidelity")
    """Folder for fidelity.md, fidelity.json and the pictures."""
    agent: str = "parser"
    """Who recommends in the world: an agent by name, or a run folder. What people click depends on it."""
    people: int = 1000
    """How many sessions to simulate."""
    seed: int = 1
    """Their seed."""

    def run(self, narrator: Narrator) -> Answer:
        """Compares."""
        from instructrec.experiments.fidelity import fidelity, to_text

        document = fidelity(
            world_name(self.world),
            self.log,
            out=self.out,
            reading=reading(self.set, self.columns),
            agent=self.agent,
            world_settings=self.world_settings(),
            people=at_least(1, "people", self.people),
            seed=at_least(0, "seed", self.seed),
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))


@dataclass(frozen=True, kw_only=True)
class Requests(Command):
    """Measure agents on what real people asked for: the queries of the MIT movie corpus by genre and time."""

    world: Annotated[Positional[str], metavar("WORLD")]
    """The world: movies, or another one with its films."""
    corpus: Path
    """A file of the MIT movie corpus (word:TAG word:TAG, a query a line), or a folder with its file valid."""
    agents: str = "random,cosine,bm25,parser"
    """Agents by name, separated by commas; AGENT=RUN takes a trained one from its run folder."""
    out: Path
    """Folder for requests.json and requests.md."""
    encoder: str = "minilm"
    """The language model of cosine."""
    seed: int = 1
    """The seed of the people who ask."""
    final: bool = False
    """Let test people ask; without it, validation ones."""
    world_set: Settings = ()
    """Settings of the world, such as slate_size=5."""

    def run(self, narrator: Narrator) -> Answer:
        """Measures."""
        from instructrec.experiments.answering import answering, to_text
        from instructrec.experiments.outputs import check_place

        check_place(self.out / "requests.json")
        document = answering(
            world_name(self.world),
            listed(self.agents),
            corpus=self.corpus,
            out=self.out,
            encoder=self.encoder,
            seed=at_least(0, "seed", self.seed),
            final=self.final,
            world_settings=nested(settings(self.world_set)),
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))


@dataclass(frozen=True, kw_only=True)
class FitLog(Command):
    """Fit users to a log of clicks, and say how well they foretell people they were not fitted to."""

    world: Annotated[Positional[str], metavar("WORLD")]
    """The world whose items were shown; the log names them by their item ids."""
    log: Annotated[Positional[Path], metavar("LOG")]
    """A table of shown items: session, turn, position, item, clicked."""
    out: Path = Path("users.npz")
    """The file of fitted users, NAME.npz."""
    session_limit: int = 0
    """After how many slates the system that made the log ended sessions, which were not left then; 0: none."""
    world_set: Settings = ()
    """Settings of the world, such as num_items=1000."""

    def run(self, narrator: Narrator) -> Answer:
        """Fits, and keeps what was fitted."""
        from instructrec.envs.log_fitting import fit_log
        from instructrec.experiments.competitors import world_of
        from instructrec.experiments.outputs import check_place

        if self.out.suffix != ".npz":
            raise UserError(f"--out is the file of fitted users and ends in .npz, got {self.out}")
        check_place(self.out)
        limit = at_least(0, "session-limit", self.session_limit) or None
        world = world_name(self.world)
        catalogue = world_of(world, world_settings(self.world_set, "", ()), "train").catalogue
        with narrator.task(f"Fitting users to {self.log}"):
            users = fit_log(self.log, catalogue, session_limit=limit)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        users.save(self.out)
        come = f"instructrec compare {shlex.quote(self.world)} --population logfitted --population-set "
        lines = [users.report(), "", f"Let them come:  {come}{shlex.quote(f'log={self.out}')} --out RUN"]
        document = {
            "file": str(self.out),
            "world": world,
            "catalogue": catalogue.fingerprint,
            "examination": users.examination,
            "figures": dict(users.figures),
        }
        return Answer(document=document, text="\n".join(lines))

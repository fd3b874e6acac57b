"""Commands that train, measure and use agents."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from instructrec.experiments.commands import (
    AmongPeople,
    Answer,
    Command,
    InWorld,
    Settings,
    UserError,
    allow_imports,
    at_least,
    comparison,
    listed,
    metavar,
    nested,
    settings,
    variants,
    world_name,
)

if TYPE_CHECKING:
    from instructrec.experiments.progress import Narrator


@dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """Train a recommender that follows instructions, compare it with baselines, and write a report."""

    out: Path = Path("runs/demo")
    """Folder for events, results.json, report.html and the trained agent."""
    final: bool = False
    """Report on the held-out test people and phrasings; without it, on the validation ones."""
    quick: bool = False
    """A size of two or three minutes, to see whether everything works; the numbers mean little."""
    world: str = "instructrec/Movies-v0"
    """The world; `instructrec worlds` lists them."""
    seed: int = 0
    """The seed of training."""

    def run(self, narrator: Narrator) -> Answer:
        """Runs the demo."""
        from instructrec.experiments.demo import demo

        results = demo(
            world_name(self.world), out=self.out, seed=self.seed, final=self.final, quick=self.quick, narrator=narrator
        )
        return comparison(results)


@dataclass(frozen=True, kw_only=True)
class Train(AmongPeople):
    """Train an agent in a world, with checkpoints that survive a kill."""

    agent: str = "slate_ppo"
    """The agent; `instructrec agents` lists them, and `compare` trains the baselines that learn."""
    out: Path
    """The run folder."""
    steps: int = 200_000
    """User-steps of training."""
    seed: int = 0
    """The seed: the same seed gives the same weights."""
    resume: bool = False
    """Go on where the run in the folder stopped; with none there, begin."""
    set: Settings = ()
    """Settings of the agent, such as learning_rate=3e-4 or scorer.width=64."""
    any_language: bool = False
    """Train even where the language model does not read what people speak."""
    keep_log: bool = False
    """Keep what is shown while it learns, a kilobyte a turn: what is fitted to a log can learn from it."""
    start: Annotated[str, metavar("RUN")] = ""
    """Begin with what a run learned, actor, critic and reading, such as one of `learn`, and stay near it."""

    def run(self, narrator: Narrator) -> Answer:
        """Trains."""
        from instructrec.experiments.train import TrainPlan, train

        plan = TrainPlan(
            world=world_name(self.world),
            world_settings=self.world_settings(),
            agent=self.agent,
            agent_settings=settings(self.set),
            seed=at_least(0, "seed", self.seed),
            steps=at_least(1, "steps", self.steps),
            any_language=self.any_language,
            keep_log=self.keep_log,
            start=self.start,
        )
        summary = train(plan, self.out, resume=self.resume, narrator=narrator)
        lines = [f"{self.agent} trained for {summary['steps']:,} user-steps; it lies in {self.out}."]
        lines += [f"Look at it:  tensorboard --logdir {shlex.quote(str(self.out))}"]
        lines += [f"Measure it:  instructrec evaluate {shlex.quote(str(self.out))}"]
        return Answer(document=summary, text="\n".join(lines))


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Measure a trained run on people it has not met."""

    folder: Annotated[Positional[str], metavar("RUN")]
    """The run folder."""
    people: int = 500
    """How many people to meet, one session each; real tastes may come more than once."""
    seed: int = 1
    """The seed of the people met."""
    final: bool = False
    """Read the test people and phrasings; without it, the validation ones."""
    population: Annotated[str, metavar("MODULE:NAME")] = ""
    """The run's population, where it is code of yours (package.module:Name): no run folder may choose what is run."""
    world_set: Settings = ()
    """What the people met speak, as language=zh: the rest of the world is what it was trained in."""

    def run(self, narrator: Narrator) -> Answer:
        """Evaluates."""
        from instructrec.experiments.compare import evaluate_run

        allow_imports(self.population)
        count = at_least(1, "people", self.people)
        others = settings(self.world_set)
        if set(others) - {"language"}:
            raise UserError("evaluate sets nothing of the world but language=CODE: the rest is what was trained in")
        return comparison(
            evaluate_run(
                self.folder,
                sessions=count,
                seed=at_least(0, "seed", self.seed),
                final=self.final,
                population=self.population,
                language=str(others.get("language", "")),
                narrator=narrator,
            )
        )


@dataclass(frozen=True, kw_only=True)
class Compare(AmongPeople):
    """Compare agents on the same people with the same luck; those that learn are trained first.

    What was finished in the folder before is not done again.
    """

    agents: str = "random,popularity,bm25,cosine,parser,informed,goal_oracle,oracle"
    """Agents by name, separated by commas; AGENT=RUN takes a trained one from its run folder. AGENT@rounds and
    AGENT@own say where those that are fitted have their log from: their own slates in five rounds, or SlatePPO's
    training."""
    variant: Annotated[tuple[str, ...], metavar("NAME:SETTING=VALUE,...")] = ()
    """Agents with other settings, one each: myopic:gamma=0 narrow:agent=supervised,regime=rounds."""
    out: Path
    """Folder for results.json, tables.md, tables.tex, report.html, events, cells; a killed comparison goes on there."""
    protocol: Literal["quick", "full"] = "quick"
    """quick: held-out people and sentences. full: also every split, unseen items, cold starts, rankings, edited words
    and real later ratings."""
    aspects: Annotated[tuple[str, ...], metavar("NAME ...")] = ()
    """What is measured beside held-out people, instead of a protocol: generalisation unseen_items cold_start
    ranking edits held_out_ratings."""
    other: Annotated[str, metavar("WORLD")] = ""
    """Another world of the same items, where agents are played too, such as MoviesTalk."""
    seeds: Annotated[int | None, metavar("INT")] = None
    """How many agents to train of each kind, 1 or more, with the seeds 0, 1, ...; one, with --seed, when omitted."""
    steps: int = 50_000
    """User-steps of training, the same for each agent that learns."""
    encoder: str = "minilm"
    """The language model: minilm (English), multilingual, hashing (none), a folder, or a Hugging Face name."""
    people: int = 500
    """How many people to meet, one session each; real tastes may come more than once."""
    seed: int = 1
    """The seed of the people met."""
    final: bool = False
    """Read the test people and phrasings; without it, the validation ones."""
    any_language: bool = False
    """Compare even where the language model does not read what people speak."""
    jobs: int = 1
    """How many agents to train and measure at a time: each in a process of its own, on one thread, from 2 on."""

    def run(self, narrator: Narrator) -> Answer:
        """Compares."""
        from instructrec.experiments.protocol import PROTOCOLS, compare

        results = compare(
            world_name(self.world),
            listed(self.agents),
            out=self.out,
            world_settings=self.world_settings(),
            variants=variants(self.variant),
            aspects=self.aspects or PROTOCOLS[self.protocol],
            other=world_name(self.other) if self.other else "",
            seeds=None if self.seeds is None else at_least(1, "seeds", self.seeds),
            steps=at_least(1, "steps", self.steps),
            encoder=self.encoder,
            sessions=at_least(1, "people", self.people),
            seed=at_least(0, "seed", self.seed),
            final=self.final,
            any_language=self.any_language,
            jobs=at_least(1, "jobs", self.jobs),
            narrator=narrator,
        )
        return comparison(results)


@dataclass(frozen=True, kw_only=True)
class Recommend(Command):
    """Ask a trained run for items in your own words."""

    folder: Annotated[Positional[str], metavar("RUN")]
    """The run folder."""
    text: Annotated[Positional[str], metavar("TEXT")]
    """What you want, for example "a tense thriller from the 90s, no horror"."""
    k: Annotated[int, arg(aliases=["-k"])] = 10
    """How many items."""
    explain: bool = False
    """Say of each item what its score is made of: words, popularity, attributes."""

    def run(self, narrator: Narrator) -> Answer:
        """Recommends."""
        from instructrec.experiments.recommend import answer

        document, text = answer(self.folder, self.text, self.k, explained=self.explain)
        return Answer(document=document, text=text)


@dataclass(frozen=True, kw_only=True)
class Play(InWorld):
    """Be the user yourself: say what you want, click, and say what is wrong with what you are shown."""

    agent: str = "parser"
    """Who shows slates: random, popularity, bm25, cosine or parser, or the folder of a trained run."""
    seed: int = 0
    """The seed of the agent's luck."""

    def run(self, narrator: Narrator) -> Answer:
        """Plays."""
        from instructrec.experiments.play import play

        given, seed = nested(settings(self.world_set)), at_least(0, "seed", self.seed)
        document, text = play(world_name(self.world), self.agent, world_settings=given, seed=seed)
        return Answer(document=document, text=text)


@dataclass(frozen=True, kw_only=True)
class Replay(AmongPeople):
    """Write a page that shows sessions turn by turn: words, hidden goals, slates, reactions, and why each item."""

    agents: str = "parser,popularity"
    """One to three agents by name, separated by commas, set side by side; NAME=RUN takes one from its run folder."""
    out: Path
    """The page: one HTML file."""
    people: int = 4
    """How many people to show, one session each."""
    person: Annotated[tuple[int, ...], metavar("INT ...")] = ()
    """Which people to show instead, by number."""
    seed: int = 1
    """The seed of the people met."""
    final: bool = False
    """Read the test people and phrasings; without it, the validation ones."""

    def run(self, narrator: Narrator) -> Answer:
        """Plays and writes."""
        from instructrec.experiments.replay import replay, to_text

        document = replay(
            world_name(self.world),
            listed(self.agents),
            out=self.out,
            people=at_least(1, "people", self.people),
            lanes=[at_least(0, "person", lane) for lane in self.person],
            world_settings=self.world_settings(),
            seed=at_least(0, "seed", self.seed),
            final=self.final,
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))


@dataclass(frozen=True, kw_only=True)
class Tune(AmongPeople):
    """Choose an agent's settings on validation people: seeded, counted, and going on after a kill."""

    agent: str = "slate_ppo"
    """The agent: slate_ppo, or any other that learns."""
    out: Path
    """Folder for tuning.json and the trials; with the same study in it, it goes on."""
    trials: int = 20
    """How many settings to try, the defaults first; give every agent the same number."""
    steps: int = 50_000
    """User-steps of each trial: of acting, or of the log that is learned from."""
    people: int = 300
    """How many validation people each trial meets."""
    seed: int = 0
    """The seed of training, of the people met and of what is tried."""
    regime: str = "fixed"
    """Where logs come from: fixed, rounds, or own (SlatePPO's, by --log)."""
    log: Annotated[str, metavar("LOG")] = ""
    """The run folder of SlatePPO with the log to learn from (train --keep-log)."""
    encoder: str = "minilm"
    """The language model, as for compare."""

    def run(self, narrator: Narrator) -> Answer:
        """Tunes."""
        from instructrec.experiments.tuning import to_text, tune

        document = tune(
            world_name(self.world),
            self.agent,
            trials=at_least(1, "trials", self.trials),
            steps=at_least(1, "steps", self.steps),
            out=self.out,
            sessions=at_least(1, "people", self.people),
            seed=at_least(0, "seed", self.seed),
            world_settings=self.world_settings(),
            encoder=self.encoder,
            regime=self.regime,
            own_log=self.log,
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))

"""The command line: ``instructrec demo``, ``train``, ``evaluate``, ``compare``, ``recommend``, and lists.

Results go to standard output, everything else to the error stream. A mistake of the person who types is one or two
sentences and exit code 2; a bug is one sentence, exit code 1 and, with ``--debug``, its traceback.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import shlex
import sys
import textwrap
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, UseAppendAction, arg, subcommand

from instructrec.names import unknown_name

if TYPE_CHECKING:
    from instructrec.experiments.progress import Narrator

# Nothing heavy is imported above: `instructrec --help` answers at once, and so do `worlds` and `agents`.

DESCRIPTION = """Simulated users who say what they want, and a place to train, test and compare
recommenders that listen.

A first look, in two or three minutes:  instructrec demo --quick

Then ask it for something:  instructrec recommend runs/demo "a tense thriller"
"""

Settings = Annotated[tuple[str, ...], arg(metavar="NAME=VALUE")]


class UserError(Exception):
    """Something the person at the keyboard can mend; the message says what and how."""


class GateError(Exception):
    """The flagship failed a gate; the message says which, with its figures."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What all commands share."""

    json: bool = False
    """Print one JSON document on standard output, and nothing else there."""
    debug: bool = False
    """Show the traceback of an error."""

    def run(self, narrator: Narrator) -> Answer:
        """Does the work and returns what to print."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command found: a document for programs, the same as text for people."""

    document: Any
    text: str


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
        return _comparison(results)


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train an agent in a world, with checkpoints that survive a kill."""

    world: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world; `instructrec worlds` lists them."""
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
    world_set: Settings = ()
    """Settings of the world, such as slate_size=5."""
    population: str = ""
    """Who comes instead of the world's own people: a name of `instructrec populations`, or package.module:Name."""
    population_set: Settings = ()
    """Settings of the population."""

    def run(self, narrator: Narrator) -> Answer:
        """Trains."""
        from instructrec.experiments.train import TrainPlan, train

        plan = TrainPlan(
            world=world_name(self.world),
            world_settings=world_settings(self.world_set, self.population, self.population_set),
            agent=self.agent,
            agent_settings=settings(self.set),
            seed=at_least(0, "seed", self.seed),
            steps=at_least(1, "steps", self.steps),
        )
        summary = train(plan, self.out, resume=self.resume, narrator=narrator)
        lines = [f"{self.agent} trained for {summary['steps']:,} user-steps; it lies in {self.out}."]
        lines += [f"Look at it:  tensorboard --logdir {shlex.quote(str(self.out))}"]
        lines += [f"Measure it:  instructrec evaluate {shlex.quote(str(self.out))}"]
        return Answer(document=summary, text="\n".join(lines))


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Measure a trained run on people it has not met."""

    folder: Annotated[Positional[str], arg(metavar="RUN")]
    """The run folder."""
    people: int = 500
    """How many people to meet, one session each; real tastes may come more than once."""
    seed: int = 1
    """The seed of the people met."""
    final: bool = False
    """Read the test people and phrasings; without it, the validation ones."""
    population: str = ""
    """The run's population, where it is code of yours (package.module:Name): no run folder may choose what is run."""

    def run(self, narrator: Narrator) -> Answer:
        """Evaluates."""
        from instructrec.experiments.compare import evaluate_run

        allow_imports(self.population)
        count = at_least(1, "people", self.people)
        return _comparison(
            evaluate_run(
                self.folder,
                sessions=count,
                seed=at_least(0, "seed", self.seed),
                final=self.final,
                population=self.population,
                narrator=narrator,
            )
        )


@dataclass(frozen=True, kw_only=True)
class Compare(Command):
    """Compare agents on the same people with the same luck; those that learn are trained first."""

    world: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world; `instructrec worlds` lists them."""
    agents: str = "random,popularity,bm25,cosine,parser,informed,goal_oracle,oracle"
    """Agents by name, separated by commas; AGENT=RUN takes a trained one from its run folder."""
    out: Path
    """Folder for results.json and report.html."""
    steps: int = 50_000
    """User-steps of training, the same for each agent that learns."""
    encoder: str = "minilm"
    """The language model: minilm, hashing (none), a folder, or a Hugging Face name."""
    people: int = 500
    """How many people to meet, one session each; real tastes may come more than once."""
    seed: int = 1
    """The seed of the people met."""
    final: bool = False
    """Read the test people and phrasings; without it, the validation ones."""
    world_set: Settings = ()
    """Settings of the world, such as slate_size=5."""
    population: str = ""
    """Who comes instead of the world's own people: a name of `instructrec populations`, or package.module:Name."""
    population_set: Settings = ()
    """Settings of the population."""

    def run(self, narrator: Narrator) -> Answer:
        """Compares."""
        from instructrec.experiments.compare import compare

        results = compare(
            world_name(self.world),
            [name.strip() for name in self.agents.split(",") if name.strip()],
            out=self.out,
            world_settings=world_settings(self.world_set, self.population, self.population_set),
            steps=at_least(1, "steps", self.steps),
            encoder=self.encoder,
            sessions=at_least(1, "people", self.people),
            seed=at_least(0, "seed", self.seed),
            final=self.final,
            narrator=narrator,
        )
        return _comparison(results)


@dataclass(frozen=True, kw_only=True)
class Robustness(Command):
    """Ask whether the order of agents survives other users: draws of the assumed constants."""

    world: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world; `instructrec worlds` lists them."""
    agents: str = "random,popularity,bm25,parser,goal_oracle,oracle"
    """Agents by name, separated by commas; AGENT=RUN takes a trained one from its run folder."""
    out: Path
    """Folder for robustness.json; a killed check goes on where it stood."""
    draws: int = 50
    """How many sets of constants."""
    people: int = 200
    """How many people each agent meets in each draw."""
    seed: int = 1
    """The seed of constants and people."""
    final: bool = False
    """Read the test people and phrasings; without it, the validation ones."""
    world_set: Settings = ()
    """Settings of the world, such as slate_size=5."""

    def run(self, narrator: Narrator) -> Answer:
        """Checks."""
        from instructrec.experiments.robustness import robustness, to_text

        document = robustness(
            world_name(self.world),
            [name.strip() for name in self.agents.split(",") if name.strip()],
            out=self.out,
            draws=at_least(2, "draws", self.draws),
            sessions=at_least(1, "people", self.people),
            seed=at_least(0, "seed", self.seed),
            final=self.final,
            world_settings=settings(self.world_set),
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))


@dataclass(frozen=True, kw_only=True)
class Transfer(Command):
    """Train among these people, test among those: one agent per variant of a world, all in all."""

    world: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world; `instructrec worlds` lists them."""
    variant: Annotated[tuple[str, ...], arg(metavar="NAME:SETTING=VALUE,...")]
    """What differs, one per variant: plain: hasty:turn_limit=5 crowd:population=clickbait."""
    out: Path
    """Folder for the runs and transfer.json; a killed one goes on where it stood."""
    agent: str = "slate_ppo"
    """The agent that is trained."""
    set: Settings = ()
    """Settings of the agent, such as candidates=1000."""
    steps: int = 50_000
    """User-steps of training, the same for all."""
    people: int = 300
    """How many people each agent meets in each variant."""
    seed: int = 0
    """The seed of training."""
    final: bool = False
    """Read the test people and phrasings; without it, the validation ones."""

    def run(self, narrator: Narrator) -> Answer:
        """Trains and tests."""
        from instructrec.experiments.transfer import to_text, transfer

        document = transfer(
            world_name(self.world),
            dict(_variant(given) for given in self.variant),
            out=self.out,
            agent=self.agent,
            agent_settings=settings(self.set),
            steps=at_least(1, "steps", self.steps),
            sessions=at_least(1, "people", self.people),
            seed=at_least(0, "seed", self.seed),
            final=self.final,
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))


def _variant(given: str) -> tuple[str, dict[str, Any]]:
    """Reads one variant of a world, ``NAME:SETTING=VALUE,SETTING=VALUE``; the settings of a population by its name."""
    name, _, rest = given.partition(":")
    if not name.replace("_", "").replace("-", "").isalnum():
        raise UserError(f"a variant is NAME:SETTING=VALUE,SETTING=VALUE (plain: for none), got {given!r}")
    return name, settings([part for part in rest.split(",") if part])


@dataclass(frozen=True, kw_only=True)
class Twins(Command):
    """Replay the same people with the same luck under edited instructions, or with another agent."""

    world: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world; `instructrec worlds` lists them."""
    edit: str = ""
    """What the agent hears instead: removed (nothing), paraphrased, contradicted or swapped; removed if nothing else
    is changed."""
    agent: str = "parser"
    """Who is played: an agent by name, or a run folder."""
    against: str = ""
    """Who is played the second time, instead of an edit: an agent by name, or a run folder."""
    people: int = 500
    """How many people to meet, one session each; real tastes may come more than once."""
    seed: int = 1
    """The seed of the people met."""
    final: bool = False
    """Read the test people and phrasings; without it, the validation ones."""
    world_set: Settings = ()
    """Settings of the world, such as slate_size=5."""
    population: str = ""
    """Who comes instead of the world's own people: a name of `instructrec populations`, or package.module:Name."""
    population_set: Settings = ()
    """Settings of the population."""

    def run(self, narrator: Narrator) -> Answer:
        """Plays twice."""
        from instructrec.experiments.twins import to_text, twins

        document = twins(
            world_name(self.world),
            agent=self.agent,
            edit=self.edit,
            against=self.against,
            world_settings=world_settings(self.world_set, self.population, self.population_set),
            people=at_least(1, "people", self.people),
            seed=at_least(0, "seed", self.seed),
            final=self.final,
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))


@dataclass(frozen=True, kw_only=True)
class Fidelity(Command):
    """Compare what a world produces with logs of real people, and list where its constants come from."""

    world: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world; `instructrec worlds` lists them."""
    log: Annotated[tuple[Path, ...], UseAppendAction, arg(metavar="LOG")] = ()
    """A log, as often as you like: a MovieLens folder, the MIT movie corpus, IARD's JSON, or a table of shown items
    (CSV: session, turn, position, item, clicked)."""
    out: Path = Path("runs/fidelity")
    """Folder for fidelity.md, fidelity.json and the pictures."""
    agent: str = "parser"
    """Who recommends in the world: an agent by name, or a run folder. What people click depends on it."""
    people: int = 1000
    """How many sessions to simulate."""
    seed: int = 1
    """Their seed."""
    world_set: Settings = ()
    """Settings of the world, such as slate_size=5."""
    population: str = ""
    """Who comes instead of the world's own people: a name of `instructrec populations`, or package.module:Name."""
    population_set: Settings = ()
    """Settings of the population."""

    def run(self, narrator: Narrator) -> Answer:
        """Compares."""
        from instructrec.experiments.fidelity import fidelity, to_text

        document = fidelity(
            world_name(self.world),
            self.log,
            out=self.out,
            agent=self.agent,
            world_settings=world_settings(self.world_set, self.population, self.population_set),
            people=at_least(1, "people", self.people),
            seed=at_least(0, "seed", self.seed),
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))


@dataclass(frozen=True, kw_only=True)
class Recommend(Command):
    """Ask a trained run for items in your own words."""

    folder: Annotated[Positional[str], arg(metavar="RUN")]
    """The run folder."""
    text: Annotated[Positional[str], arg(metavar="TEXT")]
    """What you want, for example "a tense thriller from the 90s, no horror"."""
    k: Annotated[int, arg(aliases=["-k"])] = 10
    """How many items."""

    def run(self, narrator: Narrator) -> Answer:
        """Recommends."""
        from instructrec.experiments.recommend import answer

        document, text = answer(self.folder, self.text, self.k)
        return Answer(document=document, text=text)


@dataclass(frozen=True, kw_only=True)
class Play(Command):
    """Be the user yourself: say what you want, click, and say what is wrong with what you are shown."""

    world: Annotated[Positional[str], arg(metavar="WORLD")]
    """The world; `instructrec worlds` lists them."""
    agent: str = "parser"
    """Who shows slates: random, popularity, bm25, cosine or parser, or the folder of a trained run."""
    seed: int = 0
    """The seed of the agent's luck."""
    world_set: Settings = ()
    """Settings of the world, such as slate_size=5."""

    def run(self, narrator: Narrator) -> Answer:
        """Plays."""
        from instructrec.experiments.play import play

        given, seed = settings(self.world_set), at_least(0, "seed", self.seed)
        document, text = play(world_name(self.world), self.agent, world_settings=given, seed=seed)
        return Answer(document=document, text=text)


@dataclass(frozen=True, kw_only=True)
class Worlds(Command):
    """List the worlds there are."""

    def run(self, narrator: Narrator) -> Answer:
        """Lists them."""
        from instructrec.envs.worlds import WORLDS

        if not self.json:
            return Answer(document=None, text=_listing([(spec.name, spec.about().summary) for spec in WORLDS.values()]))
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

    action: Annotated[Positional[Literal["new", "check"]], arg(metavar="new|check")]
    """new: read data, infer items, fit tastes, write a domain file. check: read one, and show what people say there."""
    file: Annotated[Positional[str], arg(metavar="FILE.yaml")]
    """The domain file; for check also a world by name."""
    source: Annotated[str, arg(name="from")] = ""
    """For new: a file, folder or archive of MovieLens, RecBole, Amazon Reviews, Open Bandit, CSV or Parquet."""
    noun: str = "item"
    """For new: what one item is called, such as film."""
    data_format: str = ""
    """For new: the data's format, where it cannot be seen from the files."""
    columns: Settings = ()
    """For new, plain tables: which column means what, such as person=uid item=sku rating=stars time=ts."""
    max_items: int = 20_000
    """For new: how many items at most; the most popular are kept."""

    def run(self, narrator: Narrator) -> Answer:
        """Makes or checks."""
        if self.action == "check":
            from instructrec.experiments.check_world_file import check_world_file

            document = check_world_file(world_name(self.file))
            return Answer(document=document, text=document["text"])
        from instructrec.experiments.new_world import new_world

        if not self.source:
            raise UserError("a new world is made from data: --from PATH")
        made = new_world(
            self.source,
            self.file,
            noun=self.noun,
            data_format=self.data_format or None,
            columns={name: str(value) for name, value in settings(self.columns).items()} or None,
            max_items=at_least(2, "max-items", self.max_items),
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
        rows = [(spec.name, spec.summary) for spec in specs]
        document = [
            {
                "name": s.name,
                "reference": s.reference,
                "parameters": {n: _default(d) for n, d in s.parameters().items()},
            }
            for s in specs
        ]
        text = _listing(rows) if rows else "None but the worlds' own people."
        return Answer(document={"populations": document}, text=text + "\nYours: --population package.module:Name.")


@dataclass(frozen=True, kw_only=True)
class Agents(Command):
    """List the agents there are."""

    def run(self, narrator: Narrator) -> Answer:
        """Lists them."""
        from instructrec.experiments.headline import ABOUT, kind_of

        rows = [(name, f"{words} ({kind_of(name)})") for name, words in ABOUT.items()]
        document = [{"name": name, "kind": kind_of(name), "summary": words} for name, words in ABOUT.items()]
        return Answer(document=document, text=_listing(rows))


COMMANDS = {
    "demo": Demo,
    "train": Train,
    "evaluate": Evaluate,
    "compare": Compare,
    "twins": Twins,
    "fidelity": Fidelity,
    "recommend": Recommend,
    "robustness": Robustness,
    "transfer": Transfer,
    "play": Play,
    "worlds": Worlds,
    "world": WorldFile,
    "populations": Populations,
    "agents": Agents,
}


def _default(value: Any) -> Any:
    """Returns a parameter's default as JSON knows it: null where there is none, its ``repr`` where it is an object."""
    if value is inspect.Parameter.empty:
        return None
    return value if isinstance(value, str | int | float | bool) else repr(value)


def _comparison(results: Mapping[str, Any]) -> Answer:
    from instructrec.experiments.headline import headline, scope, to_text

    lines = [to_text(results), "", *headline(results), scope(results)]
    return Answer(document=results, text="\n".join(lines))


def _listing(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows) + 2
    lines = []
    for name, words in rows:
        first, *rest = textwrap.wrap(words, 80 - width) or [""]
        lines += [f"{name:<{width}}{first}", *(" " * width + line for line in rest)]
    return "\n".join(lines)


def world_name(name: str) -> str:
    """Returns the full id of a world; ``movies``, ``Movies-v0`` and ``instructrec/Movies-v0`` are the same.

    Raises:
        UserError: If there is none; the message suggests the nearest.
    """
    from instructrec.envs.worlds import WORLDS

    if name.endswith((".yaml", ".yml")):
        return name
    spoken: dict[str, str] = {}
    for full in WORLDS:
        short = full.rpartition("/")[2]
        spoken |= {full.lower(): full, short.lower(): full, short.rpartition("-v")[0].lower(): full}
    found = spoken.get(name.lower())
    if found is None:
        own = "; a domain file of your own is given by its path, ending in .yaml"
        raise UserError(unknown_name("world", name, WORLDS) + own)
    return found


def settings(given: Sequence[str]) -> dict[str, Any]:
    """Reads settings given as ``NAME=VALUE``, values as in YAML.

    Raises:
        UserError: If one has no ``=`` or its value is not YAML.
    """
    import yaml

    found: dict[str, Any] = {}
    for entry in given:
        name, mark, value = entry.partition("=")
        if not mark or not name:
            raise UserError(f"a setting is NAME=VALUE, such as learning_rate=3e-4; got {entry!r}")
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"the value of {name} is not a number, a word or a list: {value!r}") from error
        # YAML takes 3e-4 for a word, since it lacks a point; people mean the number.
        with contextlib.suppress(ValueError, TypeError):
            read = float(read) if isinstance(read, str) else read
        found[name] = read
    return found


def world_settings(world_set: Sequence[str], population: str, population_set: Sequence[str]) -> dict[str, Any]:
    """Returns a world's settings, and who comes there, as `instructrec.envs.make_world` takes them.

    Raises:
        UserError: If settings are given for no population.
    """
    found, others = settings(world_set), settings(population_set)
    if {"population", "population_settings"} & set(found):
        raise UserError("who comes to a world is set by --population and --population-set")
    if others and not population:
        raise UserError("--population-set is for the population that --population names; none is named")
    if population:
        allow_imports(population)
        found |= {"population": population}
    return found | ({"population_settings": others} if others else {})


def allow_imports(place: str) -> None:
    """Lets ``package.module:Name`` be found from the folder where the command was called, as Python itself does."""
    if ":" in place and "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def at_least(lowest: int, name: str, value: int) -> int:
    """Returns ``value`` after checking that it is not below ``lowest``."""
    if value < lowest:
        raise UserError(f"--{name} must be {lowest} or more, got {value}")
    return value


def _parse(arguments: Sequence[str]) -> Command:
    named = next((word for word in arguments if not word.startswith("-")), None)
    if named is not None and named not in COMMANDS:
        raise UserError(unknown_name("command", named, COMMANDS))
    union: Any = None
    for name, kind in COMMANDS.items():
        choice = Annotated[kind, subcommand(name)]  # type: ignore[valid-type]
        union = choice if union is None else union | choice
    shown = io.TextIOWrapper(io.BytesIO(), encoding=sys.stdout.encoding, write_through=True)
    try:
        with contextlib.redirect_stdout(shown):
            return tyro.cli(  # type: ignore[no-any-return]
                union,
                prog="instructrec",
                description=DESCRIPTION,
                args=list(arguments),
                config=(OmitArgPrefixes, FlagCreatePairsOff),
            )
    finally:
        # tyro folds what stands in boxes, and not the lines above them.
        shown.seek(0)
        for line in shown.read().splitlines():
            sys.stdout.write(
                "\n".join(textwrap.wrap(line, 80, subsequent_indent="  ")) + "\n" if len(line) > 80 else line + "\n"
            )


def _quiet_libraries() -> None:
    """Keeps libraries from the network and from talking over the results."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code: 0 done, 1 a gate failed or a bug, 2 a mistake in what was typed."""
    from instructrec.experiments.progress import Narrator

    _quiet_libraries()
    debug = "--debug" in arguments
    narrator = Narrator()
    try:
        command = _parse(arguments)
        # Whatever a library prints must not stand in the results.
        with contextlib.redirect_stdout(sys.stderr):
            answer = command.run(narrator)
        _print(answer, as_json=command.json)
        _check_gates(answer.document)
    except KeyboardInterrupt:
        narrator.say("\nStopped. What was finished stays; `train` goes on with --resume.")
        return 130
    except BrokenPipeError:
        # The reader closed the pipe (`| head`): there is nobody left to tell. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except GateError as failure:
        narrator.say(f"Gate failed: {failure}")
        return 1
    except (UserError, ValueError, TypeError, ImportError, MemoryError, OSError) as error:
        if debug:
            traceback.print_exc()
        narrator.say(f"instructrec: {_sentence(error)}")
        return 2
    except Exception as error:
        from instructrec.sessions import PlugInError

        if debug:
            traceback.print_exc()
        if isinstance(error, PlugInError):
            narrator.say(f"instructrec: {_sentence(error)} (--debug shows where)")
            return 2
        narrator.say(f"instructrec: this is a bug: {type(error).__name__}: {_sentence(error)} (--debug shows where)")
        return 1
    return 0


def _sentence(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; use fewer people or a smaller world"
    return " ".join(str(error).split()) or type(error).__name__


def _print(answer: Answer, *, as_json: bool) -> None:
    from instructrec.runs import to_json

    sys.stdout.write(to_json(answer.document) if as_json else answer.text + "\n")
    sys.stdout.flush()


def _check_gates(document: Any) -> None:
    gates = document.get("gates") if isinstance(document, dict) else None
    if gates:
        raise GateError("; ".join(str(gate["sentence"]) for gate in gates))


def main() -> NoReturn:
    """The entry point of the ``instructrec`` command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

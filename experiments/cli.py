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
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, arg, subcommand

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
    any_language: bool = False
    """Train even where the language model does not read what people speak."""

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
            any_language=self.any_language,
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
        return _comparison(
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
    """The language model: minilm (English), multilingual, hashing (none), a folder, or a Hugging Face name."""
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
    any_language: bool = False
    """Compare even where the language model does not read what people speak."""

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
            any_language=self.any_language,
            narrator=narrator,
        )
        return _comparison(results)


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
    "recommend": Recommend,
    "worlds": Worlds,
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
    except (UserError, ValueError, TypeError, ImportError, MemoryError) as error:
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

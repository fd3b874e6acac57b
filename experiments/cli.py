"""The command line: reads what was typed, runs the command, prints its answer.

Results go to standard output, everything else to the error stream. A mistake of the person who types is one or two
sentences and exit code 2; a bug is one sentence, exit code 1 and, with ``--debug``, its traceback.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import textwrap
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, subcommand

from instructrec.experiments.commands import Answer, Command, GateError, UserError
from instructrec.experiments.commands_agents import Compare, Demo, Evaluate, Play, Recommend, Replay, Train, Tune
from instructrec.experiments.commands_bench import Bench
from instructrec.experiments.commands_logs import ExportLog, ImportLog, Log, Ope, OpeStudy, Select
from instructrec.experiments.commands_offline import Learn, LearnStudy
from instructrec.experiments.commands_studies import Ablate, Fidelity, FitLog, Requests, Robustness, Transfer, Twins
from instructrec.experiments.commands_worlds import Agents, Populations, WorldFile, Worlds
from instructrec.experiments.folding import fold, width_of
from instructrec.names import unknown_name

if TYPE_CHECKING:
    from instructrec.experiments.progress import Narrator

DESCRIPTION = """Simulated users who say what they want, and a place to train, test and compare
recommenders that listen.

A first look, in two or three minutes:  instructrec demo --quick

Then ask it for something:  instructrec recommend runs/demo "a tense thriller"
"""

COMMANDS: dict[str, type[Command]] = {
    "demo": Demo,
    "train": Train,
    "evaluate": Evaluate,
    "compare": Compare,
    "tune": Tune,
    "recommend": Recommend,
    "play": Play,
    "replay": Replay,
    "log": Log,
    "ope": Ope,
    "select": Select,
    "learn": Learn,
    "ope-study": OpeStudy,
    "learn-study": LearnStudy,
    "import-log": ImportLog,
    "export-log": ExportLog,
    "twins": Twins,
    "fidelity": Fidelity,
    "ablate": Ablate,
    "robustness": Robustness,
    "transfer": Transfer,
    "requests": Requests,
    "fit-log": FitLog,
    "bench": Bench,
    "worlds": Worlds,
    "world": WorldFile,
    "populations": Populations,
    "agents": Agents,
}

# What to do after Ctrl-C, by commands that do not begin anew.
_GOES_ON = {
    **dict.fromkeys((Train, Learn), "go on with --resume."),
    **dict.fromkeys(
        (Demo, Compare, Tune, Log, ImportLog, OpeStudy, LearnStudy, Ablate, Robustness, Transfer),
        "run it again, and it goes on from there.",
    ),
}


def _parse(arguments: Sequence[str]) -> Command:
    named = next((word for word in arguments if not word.startswith("-")), None)
    if named is not None and named not in COMMANDS:
        raise UserError(unknown_name("command", named, COMMANDS))
    union: Any = None
    for name, kind in COMMANDS.items():
        choice = Annotated[kind, subcommand(name)]  # type: ignore[valid-type]
        union = choice if union is None else union | choice
    shown = io.TextIOWrapper(io.BytesIO(), encoding=sys.stdout.encoding, errors="replace", write_through=True)
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
    narrator, command = Narrator(), None
    try:
        command = _parse(arguments)
        # Whatever a library prints must not stand in the results.
        with contextlib.redirect_stdout(sys.stderr):
            answer = command.run(narrator)
        _print(answer, as_json=command.json)
        _check_failures(answer.document)
        _check_gates(answer.document)
    except KeyboardInterrupt:
        onwards = _GOES_ON.get(type(command)) if command is not None else None
        _tell(narrator, f"\nStopped. What was finished stays; {onwards}" if onwards else "\nStopped.")
        return 130
    except BrokenPipeError:
        # The reader closed the pipe (`| head`): there is nobody left to tell. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except GateError as failure:
        _tell(narrator, f"Gate failed: {failure}")
        return 1
    except (UserError, ValueError, TypeError, ImportError, MemoryError, OSError) as error:
        if debug:
            traceback.print_exc()
        _tell(narrator, f"instructrec: {_sentence(error)}")
        return 2
    except Exception as error:
        from instructrec.sessions import PlugInError

        if debug:
            traceback.print_exc()
        if isinstance(error, PlugInError):
            _tell(narrator, f"instructrec: {_sentence(error)} (--debug shows where)")
            return 2
        _tell(narrator, f"instructrec: this is a bug: {type(error).__name__}: {_sentence(error)} (--debug shows where)")
        return 1
    return 0


def _tell(narrator: Narrator, words: str) -> None:
    narrator.say(fold(words, width_of(narrator.stream)))


def _sentence(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; use fewer people or a smaller world"
    return " ".join(str(error).split()) or type(error).__name__


def _print(answer: Answer, *, as_json: bool) -> None:
    from instructrec.runs import to_json

    # Where a terminal or a pipe lacks letters, JSON can spell them and text cannot: `main` lets it be without them.
    everything = (sys.stdout.encoding or "utf-8").lower().replace("-", "").startswith("utf")
    sys.stdout.write(to_json(answer.document, ascii_only=not everything) if as_json else answer.text + "\n")
    sys.stdout.flush()


def _check_failures(document: Any) -> None:
    failed = document.get("failed") if isinstance(document, dict) else None
    if failed:
        whose = ", ".join(dict.fromkeys(str(each["agent"]) for each in failed))
        raise UserError(f"not everything could be measured: {whose} failed; run it again to try once more")


def _check_gates(document: Any) -> None:
    gates = document.get("gates") if isinstance(document, dict) else None
    if gates:
        raise GateError("; ".join(str(gate["sentence"]) for gate in gates))


def main() -> NoReturn:
    """The entry point of the ``instructrec`` command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An answer with a question mark in it is better than none.
        sys.stdout.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

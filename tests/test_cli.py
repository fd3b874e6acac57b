"""The command line answers at once, keeps results apart from prose, and explains mistakes in a sentence."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from instructrec.agents import features
from instructrec.agents.learners import LEARNERS
from instructrec.experiments import cli, commands, demo
from instructrec.experiments.cli import run
from instructrec.experiments.commands import Answer, UserError, settings, world_name

ROOT = Path(__file__).resolve().parent.parent


def _command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "instructrec.experiments.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
        **options,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["worlds"], ["agents"], ["train", "--help"], ["wrlds"]])
def test_it_answers_without_loading_a_learning_library(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom instructrec.experiments.cli import run\n"
        f"try:\n    run({arguments!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'stable_baselines3', 'matplotlib', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_fits_eighty_columns_and_names_every_command() -> None:
    done = _command("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in cli.COMMANDS)
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_of_every_command_has_a_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run([name, "--help"])
    words = capsys.readouterr().out
    assert cli.COMMANDS[name].__doc__
    assert words.count("--json") >= 1
    told = " ".join(words.replace("│", " ").split())
    for nothing in ("(default: )", "(default: '')", "(default: None)", "{None}"):
        assert nothing not in told, "a default that is none is not told"
    for kind in cli.COMMANDS[name].__mro__[:-1]:
        source = inspect.getsource(kind)
        for field in getattr(kind, "__annotations__", {}):
            assert '\n    """' in source.split(f"\n    {field}:")[1][:160], f"{kind.__name__}.{field} has no sentence"


def test_worlds_as_json_is_one_document_and_nothing_else() -> None:
    done = _command("worlds", "--json")
    worlds = {world["id"]: world for world in json.loads(done.stdout)["worlds"]}
    assert next(iter(worlds)) == "instructrec/Movies-v0"
    films = worlds["instructrec/Movies-v0"]
    assert films["domain"] == "films"
    assert films["items"] == 9742
    assert films["languages"][0] == "en"
    assert films["population"] == "conversational"
    assert done.stderr == ""


def test_agents_names_everyone_who_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agents", "--json"]) == 0
    names = {agent["name"] for agent in json.loads(capsys.readouterr().out)}
    assert names == {
        "random", "popularity", "bm25", "cosine", "parser", "slate_ppo", "slate_ppo_blank", "slate_ppo_start", "deaf",
        "informed", "goal_oracle", "oracle", *LEARNERS,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "did you mean 'train'"),
        (["train", "Mvies-v0", "--out", "x"], "did you mean 'instructrec/Movies-v0'"),
        (["train", "tiny", "--out", "x", "--agent", "slateppo"], "did you mean 'slate_ppo'"),
        (["train", "tiny", "--out", "x", "--set", "gama=1"], "did you mean 'gamma'"),
        (["train", "tiny", "--out", "x", "--set", "scorer.hiden=1"], "did you mean 'scorer.hidden'"),
        (["train", "tiny", "--out", "x", "--set", "scorer.history=atention"], "did you mean 'attention'"),
        (["train", "tiny", "--out", "x", "--set", "epochs=many"], "'epochs' is a whole number"),
        (["train", "tiny", "--out", "x", "--set", "candidates=3"], "candidates must be 10 or more, got 3"),
        (["train", "tiny", "--out", "x", "--set", "gamma=1.5"], "gamma must be from 0 to 1, got 1.5"),
        (["train", "tiny", "--out", "x", "--set", "epochs=0"], "epochs must be 1 or more, got 0"),
        (["train", "tiny", "--out", "x", "--set", "temperature=0"], "temperature must be above 0"),
        (["train", "tiny", "--out", "x", "--set", "candidates=many"], "'candidates' is a whole number"),
        (["train", "tiny", "--out", "x", "--set", "gamma"], "NAME=VALUE"),
        (["train", "tiny", "--out", "x", "--world-set", "slate_siz=3"], "did you mean 'slate_size'"),
        (["train", "tiny", "--out", "x", "--world-set", "split=test"], "is no setting of a run"),
        (["train", "tiny", "--out", "x", "--steps", "0"], "--steps must be 1 or more"),
        (["train", "tiny", "--out", "x", "--set", "encoder=hashng"], "did you mean 'hashing'"),
        (["compare", "tiny", "--out", "x", "--agents", "randm"], "did you mean 'random'"),
        (["compare", "tiny", "--out", "x", "--agents", ","], "nobody to compare"),
        (["compare", "tiny", "--out", "x", "--seeds", "0"], "--seeds must be 1 or more, got 0"),
        (["compare", "tiny", "--out", "x", "--seeds", "-2"], "--seeds must be 1 or more, got -2"),
        (["ablate", "tiny", "--out", "x", "--seeds", "0"], "--seeds must be 1 or more, got 0"),
        (["ablate", "tiny", "--out", "x", "--variants", ","], "--variants names none"),
        (["tune", "tiny", "--out", "x", "--trials", "0"], "--trials must be 1 or more, got 0"),
        (["recommend", "nowhere", "red"], "there is no run folder nowhere"),
        (["recommend", "nowhere", " "], "the text is empty"),
        (["recommend", "nowhere", "red", "-k", "0"], "-k must be 1 or more"),
        (["evaluate", "nowhere"], "there is no run folder nowhere"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_two(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert words in " ".join(shown.err.split())
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert not (tmp_path / "x" / "run.yaml").exists()


def test_a_misspelt_option_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(["train", "tiny", "--out", "x", "--agnet", "y"])
    assert "--agent" in capsys.readouterr().err


def test_debug_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "nowhere", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


class _Command(cli.Worlds):
    error: BaseException

    def run(self, narrator: Any) -> Answer:
        sys.stdout.write("a library talks")
        if self.error is not None:
            raise self.error
        return Answer(document={"gates": [{"name": "deaf", "sentence": "slate_ppo is deaf"}]}, text="table")


def _raising(error: BaseException | None, monkeypatch: pytest.MonkeyPatch) -> None:
    command = _Command()
    object.__setattr__(command, "error", error)
    monkeypatch.setattr(cli, "_parse", lambda arguments: command)


def test_a_bug_is_called_a_bug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _raising(ZeroDivisionError("division by zero"), monkeypatch)
    assert run(["worlds"]) == 1
    assert "this is a bug: ZeroDivisionError" in capsys.readouterr().err


def test_stopping_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _raising(KeyboardInterrupt(), monkeypatch)
    assert run(["worlds"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "Stopped."


@pytest.mark.parametrize(
    ("kind", "words"), [(cli.Train, "go on with --resume"), (cli.Compare, "run it again"), (cli.Transfer, "again")]
)
def test_who_is_stopped_is_told_how_to_go_on_where_the_command_can(
    kind: type[Any], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(self: Any, narrator: Any) -> Answer:
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, "run", stop)
    monkeypatch.setattr(cli, "_parse", lambda arguments: object.__new__(kind))
    assert run(["train"]) == 130
    assert words in capsys.readouterr().err


def _said_in(encoding: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "instructrec.experiments.cli", *arguments],
        cwd=ROOT, capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(encoding)


def test_a_terminal_that_lacks_letters_still_shows_the_answer() -> None:
    world = ("world", "check", str(ROOT / "envs" / "domains" / "Books-v0.yaml"))
    assert all(name in _said_in("ascii", "--help") for name in cli.COMMANDS)
    assert "pages ? 400" in _said_in("ascii", *world)
    assert "pages ≤ 400" in str(json.loads(_said_in("latin-1", *world, "--json")))


def test_a_failed_gate_is_a_sentence_and_a_failing_exit_after_the_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _raising(None, monkeypatch)
    assert run(["worlds"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "table\n"
    assert "a library talks" in shown.err
    assert "Gate failed: slate_ppo is deaf" in shown.err


def test_ctrl_c_while_training_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    arguments = ["train", "tiny", "--out", str(tmp_path / "run"), "--set", "encoder=hashing", "num_envs=16",
                 "prompts=0", "--steps", "100000000"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "instructrec.experiments.cli", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell's background jobs ignore Ctrl-C, and so would theirs.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Training"):
            break
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == ""
    assert "--resume" in err
    assert "Traceback" not in err


def test_worlds_are_known_by_their_short_names() -> None:
    for name in ("tiny", "Tiny-v0", "instructrec/Tiny-v0", "TINY"):
        assert world_name(name) == "instructrec/Tiny-v0"
    with pytest.raises(UserError, match="did you mean"):
        world_name("instructrec/Tny-v0")


def test_settings_are_read_as_people_write_numbers_and_nothing() -> None:
    assert settings(["a=3e-4", "b=2", "c=true", "d=[1, 2]", "e=minilm", "f.g=null", "h=none", "i=None"]) == {
        "a": 3e-4, "b": 2, "c": True, "d": [1, 2], "e": "minilm", "f.g": None, "h": None, "i": None,
    }  # fmt: skip


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "enough_prompts", lambda catalogue: 64)
        code = run(["compare", "tiny", "--agents", "random,popularity,slate_ppo,supervised,ppo,informed,oracle",
                    "--encoder", "hashing", "--steps", "1500", "--people", "24", "--out", str(out)])  # fmt: skip
    assert code in (0, 1)  # So little training may fail a gate.
    return out


def test_compare_trains_who_has_to_learn_and_writes_results_and_report(compared: Path) -> None:
    results = json.loads((compared / "results.json").read_text())
    assert set(results["agents"]) == {
        "random", "popularity", "slate_ppo", "slate_ppo_blank", "supervised", "ppo", "oracle",
    }  # fmt: skip
    assert results["split"] == "validation"
    assert results["notes"]["ppo"].startswith("1,")
    assert set(results["differences"]) == set(results["agents"]) - {"slate_ppo"}
    assert "<h2>Sample conversations</h2>" in (compared / "report.html").read_text()


def test_a_trained_run_is_evaluated_and_asked(compared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(compared / "slate_ppo"), "--people", "12", "--json"]) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    assert set(found["agents"]) == {"slate_ppo", "slate_ppo_blank", "random", "goal_oracle", "oracle"}
    assert found["people"] == 12
    assert run(["recommend", str(compared / "slate_ppo"), "red please", "-k", "3", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == 3


def test_only_final_reads_the_test_split(compared: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from instructrec.experiments import competitors

    seen: list[str] = []
    made = competitors.make_world

    def watched(name: str, **given: Any) -> Any:
        seen.append(given["split"])
        return made(name, **given)

    monkeypatch.setattr(competitors, "make_world", watched)
    arguments = ["evaluate", str(compared / "slate_ppo"), "--people", "4"]
    run(arguments)
    assert "validation" in seen
    assert "test" not in seen
    run([*arguments, "--final"])
    assert "test" in seen


def test_a_trained_agent_is_compared_by_its_run_folder(compared: Path, tmp_path: Path) -> None:
    named = f"random,slate_ppo={compared / 'slate_ppo'}"
    run(["compare", "tiny", "--agents", named, "--people", "6", "--out", str(tmp_path)])
    found = json.loads((tmp_path / "results.json").read_text())
    assert set(found["agents"]) == {"random", "slate_ppo", "slate_ppo_blank"}
    assert not (tmp_path / "slate_ppo").exists()


def test_the_demo_leaves_everything_and_can_be_repeated(tmp_path: Path) -> None:
    from instructrec.experiments.progress import Narrator

    size = demo.DemoSize(
        steps=512, stock_steps=256, stock_seconds=5.0, supervised_steps=256, sessions=16, checkups=1,
        agent_settings={"encoder": "hashing", "prompts": 100, "num_envs": 32, "scorer.hidden": 16},
    )  # fmt: skip
    for _ in range(2):
        results = demo.demo("instructrec/Tiny-v0", out=tmp_path, size=size, narrator=Narrator(quiet=True))
    # Nobody in Tiny has a past, so there is no honest ceiling to fit.
    assert set(results["agents"]) == {
        "random", "popularity", "bm25", "cosine", "parser", "supervised", "ppo", "slate_ppo", "slate_ppo_blank",
        "slate_ppo_start", "goal_oracle", "oracle",
    }  # fmt: skip
    for name in ("run.yaml", "results.json", "report.html", "checkpoint.json", "events/slate_ppo"):
        assert (tmp_path / name).exists(), name
    document = json.loads((tmp_path / "results.json").read_text())
    assert {"world", "fingerprint", "seeds", "people", "sessions", "agents", "differences", "timing"} <= set(document)
    wanted = {"return", "oracle_normalised_return", "csr", "strict", "control_gain", "session_length",
              "latency_p50_ms", "latency_p99_ms"}  # fmt: skip
    assert wanted <= set(document["agents"]["slate_ppo"])
    assert all({"value", "low", "high"} <= set(entry) for entry in document["agents"]["slate_ppo"].values())
    assert document["timing"]["ppo"]["training_steps"] >= 256


def test_settings_with_dots_are_parts_of_one_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.nested({"a.b": 1, "a.c": 2, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}
    sizes = ["--world-set", "bank_size=300", "behaviour=2", "behaviour.boredom=2"]
    assert run(["compare", "movies", "--agents", "random", "--out", "x", *sizes]) == 2
    assert "behaviour is given as a whole and by its parts" in " ".join(capsys.readouterr().err.split())


def test_a_comparison_without_the_flagship_writes_its_report_and_is_not_overwritten_by_another_worlds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "c")
    assert run(["compare", "health", "--agents", "random,parser", "--people", "5", "--out", out]) == 0
    shown = capsys.readouterr().out
    assert "unfit" in shown
    assert "parser earns most" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "unsuitable" in (tmp_path / "c" / "report.html").read_text()
    assert run(["compare", "tiny", "--agents", "random", "--people", "5", "--out", out]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "holds a comparison made in instructrec/Health-v0" in told

"""`instructrec learn` makes a run like any other out of a log, goes on where it was killed, and hands over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from instructrec import runs
from instructrec.experiments.cli import run
from instructrec.experiments.competitors import world_of
from instructrec.experiments.trainers import trained_ranker
from instructrec.sessions import Sessions, observe, start

Said = pytest.CaptureFixture[str]
ROOT = Path(__file__).resolve().parent.parent
NETWORK = ("encoder=hashing", "prompts=0", "scorer.hidden=16", "scorer.critic_hidden=16")


def small(*more: str) -> list[str]:
    """Returns settings for tests, and some more."""
    return ["--any-language", "--set", *NETWORK, *more]


SMALL = small("minibatch_size=32")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    assert run(["log", "tiny", "--policy", "popularity", "--sessions", "60", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def learned(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learned") / "run"
    assert run(["learn", str(log), "--agent", "ips", "--out", str(folder), *SMALL]) == 0
    return folder


def weights(folder: Path) -> dict[str, np.ndarray]:
    found = runs.latest_checkpoint(folder)
    assert found is not None
    return runs.read_arrays(found.folder / "weights.safetensors")


def scores(folder: Path) -> np.ndarray:
    world = world_of("instructrec/Tiny-v0", {}, "validation")
    return np.asarray(trained_ranker(str(folder), world)[0].scores(observe(world, start(world, Sessions.first(0, 20)))))


def test_what_was_learned_from_a_log_is_not_trusted_on_it(
    log: Path, learned: Path, tmp_path: Path, capsys: Said
) -> None:
    other = tmp_path / "other"
    assert run(["log", "tiny", "--policy", "popularity", "--sessions", "60", "--seed", "5", "--out", str(other)]) == 0
    capsys.readouterr()
    for where, here in ((log, True), (other, False)):
        assert run(["ope", str(where), "--policies", f"ips={learned}@2,random", "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)["policies"]
        why = {row["policy"]: row["why"] for row in rows}
        assert ("learned from this very log" in why[f"ips={learned}@2"]) == here
        assert "learned from this very log" not in why["random"]
        assert not here or not next(row["trusted"] for row in rows if row["policy"].startswith("ips"))


def refused(capsys: Said, *arguments: str) -> str:
    assert run(list(arguments)) == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("agent", ["clone", "dr", "fitted_q"])
def test_every_way_makes_a_run_that_others_take(agent: str, log: Path, tmp_path: Path, capsys: Said) -> None:
    out = str(tmp_path / "run")
    few = small(*([] if agent == "clone" else ["rounds=1"]))
    assert run(["learn", str(log), "--agent", agent, "--out", out, *few, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["agent"], document["world"], document["sessions"]) == (agent, "instructrec/Tiny-v0", 60)
    assert run(["evaluate", out, "--people", "20"]) < 2  # A gate may fail: so little is learned.
    assert run(["recommend", out, "something red", "-k", "3"]) == 0
    again = str(tmp_path / "again")
    assert run(["log", "tiny", "--policy", f"{agent}={out}", "--sessions", "20", "--out", again]) == 0
    assert agent in capsys.readouterr().out


def test_the_same_seed_gives_the_same_weights_and_the_reading_of_another_run_can_be_taken(
    log: Path, learned: Path, tmp_path: Path
) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    assert run(["learn", str(log), "--agent", "ips", "--out", str(again), "--reading", str(learned), *SMALL]) == 0
    assert run(["learn", str(log), "--agent", "ips", "--out", str(other), *SMALL, "--seed", "1"]) == 0
    for name, array in weights(learned).items():
        np.testing.assert_array_equal(array, weights(again)[name])
    assert not np.array_equal(scores(learned), scores(other))


def test_killed_between_passes_and_resumed_it_ends_with_the_same_weights(log: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    many = ["learn", str(log), "--agent", "dr", *small("rounds=2", "epochs=6")]
    assert run([*many, "--out", str(whole)]) == 0
    command = [sys.executable, "-m", "instructrec.experiments.cli", *many, "--out", str(killed)]
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while child.poll() is None and not (killed / runs.POINTER).exists():
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert run([*many, "--out", str(killed), "--resume"]) == 0
    for name, array in weights(whole).items():
        np.testing.assert_array_equal(array, weights(killed)[name])
    assert run([*many, "--out", str(killed), "--resume"]) == 0


def test_training_begins_with_what_was_learned_and_goes_on_from_there(
    learned: Path, tmp_path: Path, capsys: Said
) -> None:
    out = tmp_path / "online"
    few = ["num_envs=16", "num_steps=4"]
    train = ["train", "tiny", "--start", str(learned)]
    still = small(*few, "learning_rate=0", "final_learning_rate=0")
    assert run([*train, "--out", str(out), "--steps", "64", *still]) == 0
    np.testing.assert_array_equal(scores(out), scores(learned))
    moved = tmp_path / "moved"
    going = ["--out", str(moved), "--steps", "128", *small(*few)]
    assert run([*train, *going]) == 0
    assert np.abs(scores(moved) - scores(learned)).max() > 0
    found = runs.RunConfig.read(moved).agent_settings
    assert len(found["start"]) == 16
    assert "agent_settings.start" in refused(capsys, *train[:2], *going, "--resume")


def test_what_cannot_be_learned_from_is_refused_with_the_way_out(
    log: Path, learned: Path, tmp_path: Path, capsys: Said
) -> None:
    certain, held_out = str(tmp_path / "certain"), str(tmp_path / "held_out")
    record = ["log", "tiny", "--policy", "popularity", "--sessions", "20"]
    assert run([*record, "--out", certain, "--deterministic"]) == 0
    assert run([*record, "--out", held_out, "--split", "validation"]) == 0
    out = ["--out", str(tmp_path / "run"), *SMALL]
    assert "learn by clone or fitted_q" in refused(capsys, "learn", certain, "--agent", "ips", *out)
    assert "of validation people" in refused(capsys, "learn", held_out, *out)
    assert "did you mean 'fitted_q'" in refused(capsys, "learn", str(log), "--agent", "fited_q", *out)
    assert "manifest.json" in refused(capsys, "learn", str(tmp_path), *out)
    assert "holds a run already" in refused(capsys, "learn", str(log), "--out", str(learned), *SMALL)
    other = ["train", "tiny", "--start", str(learned), "--out", str(tmp_path / "x"), "--set", "encoder=hashing"]
    assert "does not fit" in refused(capsys, *other, "--any-language", "--steps", "64")

"""`instructrec log` records what it is asked for, says what it was, and goes on where it was stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructrec.experiments.cli import run
from instructrec.experiments.competitors import world_of
from instructrec.experiments.log_sessions import behaviour, world_of_log
from instructrec.experiments.progress import Narrator
from instructrec.experiments.train import TrainPlan, train
from instructrec.log_files import open_log
from instructrec.runs import LOCK, RunError

ROOT = Path(__file__).resolve().parent.parent
Said = pytest.CaptureFixture[str]


def _arguments(out: Path, *more: str, policy: str = "bm25", sessions: int = 50) -> list[str]:
    return ["log", "tiny", "--policy", policy, "--sessions", str(sessions), "--out", str(out), *more]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.endswith(".parquet")}


def _whole(folder: Path) -> dict[str, tuple[bytes, int]]:
    found = [path for path in folder.iterdir() if path.name != LOCK]
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def test_it_records_and_says_so_in_a_document(tmp_path: Path, capsys: Said) -> None:
    more = ("--temperature", "0.5", "--seed", "4", "--sessions-per-shard", "20", "--world-set", "slate_size=2")
    assert run(_arguments(tmp_path, *more, "--json")) == 0
    shown = capsys.readouterr()
    document, log = json.loads(shown.out), open_log(tmp_path)
    assert (document["sessions"], document["turns"], document["shards"]) == (50, len(log), 3)
    assert document["policy"] == {
        "name": "bm25", "draws": "plackett_luce", "temperature": 0.5, "deterministic": False,
        "fingerprint": log.plan.policy.fingerprint,
    }  # fmt: skip
    assert document["world"]["settings"] == {"slate_size": 2}
    assert document["world"]["split"] == "train"
    assert (log.plan.seed, log.plan.world.slate_size, log.plan.truth) == (4, 2, False)
    assert "Recording 50 sessions with bm25" in shown.err
    assert "instructrec" in log.manifest.notes["versions"]


def test_it_says_in_words_what_was_recorded(tmp_path: Path, capsys: Said) -> None:
    assert run(_arguments(tmp_path, "--temperature", "0.5")) == 0
    told = capsys.readouterr().out
    assert "instructrec/Tiny-v0, train people, seed 0." in told
    assert "bm25: Plackett–Luce over its scores, temperature 0.5." in told
    assert "50 sessions" in told
    assert "in 1 file," in told
    assert f"'{tmp_path}/turns-*.parquet'" in told


@pytest.mark.parametrize("policy", ["random", "popularity", "bm25", "parser"])
def test_propensities_are_those_of_the_agent_named(policy: str, tmp_path: Path) -> None:
    assert run(_arguments(tmp_path, policy=policy)) == 0
    log, world = open_log(tmp_path), world_of("instructrec/Tiny-v0", {}, "train")
    found = log.log(world)
    again, described = behaviour(policy, world)
    np.testing.assert_allclose(again.log_prob(found.observations, found.slates), found.log_probs, atol=1e-6)
    assert described == log.plan.policy
    assert described.draws == ("uniform" if policy == "random" else "plackett_luce")
    assert np.isfinite(found.log_probs).all()


def test_a_trained_run_is_logged_under_its_weights(tmp_path: Path, capsys: Said) -> None:
    settings = {"encoder": "hashing", "prompts": 0, "num_envs": 16, "num_steps": 4, "scorer.hidden": 16}
    for seed in (0, 1):
        plan = TrainPlan(world="instructrec/Tiny-v0", agent_settings=settings, steps=64, checkups=0, seed=seed)
        train(plan, tmp_path / f"run{seed}", resume=False, narrator=Narrator(quiet=True))
        assert run(_arguments(tmp_path / f"log{seed}", policy=f"slate_ppo={tmp_path / f'run{seed}'}")) == 0
    logs = [open_log(tmp_path / f"log{seed}") for seed in (0, 1)]
    assert logs[0].plan.policy.name == "slate_ppo"
    assert logs[0].plan.policy.fingerprint != logs[1].plan.policy.fingerprint
    found = logs[0].log(world := world_of("instructrec/Tiny-v0", {}, "train"))
    policy, _ = behaviour(f"slate_ppo={tmp_path / 'run0'}", world)
    np.testing.assert_allclose(policy.log_prob(found.observations, found.slates), found.log_probs, atol=1e-5)
    assert run(_arguments(tmp_path / "new", policy=f"two_tower={tmp_path / 'run0'}")) == 2
    assert "holds slate_ppo, not two_tower" in capsys.readouterr().err


def test_a_deterministic_log_is_asked_for_and_says_so(tmp_path: Path, capsys: Said) -> None:
    assert run(_arguments(tmp_path, "--deterministic")) == 0
    assert "no other policy can be evaluated by them" in capsys.readouterr().out
    log = open_log(tmp_path)
    assert log.plan.policy.deterministic
    assert (log.plan.policy.draws, log.plan.policy.temperature) == ("greedy", None)
    assert (log.read().log_probs == 0).all()


@pytest.mark.parametrize(("more", "split"), [((), "train"), (("--split", "validation"), "validation"),
                                             (("--final",), "test")])  # fmt: skip
def test_whose_people_are_met_is_chosen_and_kept(more: tuple[str, ...], split: str, tmp_path: Path) -> None:
    assert run(_arguments(tmp_path, *more)) == 0
    log = open_log(tmp_path)
    assert log.plan.world.split == split
    log.check_world(world_of("instructrec/Tiny-v0", {}, split))


@pytest.mark.parametrize(
    ("policy", "more", "words"),
    [
        ("oracle", (), "oracle sees what is hidden"),
        ("bm52", (), "did you mean 'bm25'? known: bm25, cosine, parser, popularity, random; a trained one by"),
        ("slate_ppo", (), "has to be trained: give its run folder as slate_ppo=RUN"),
        ("slate_ppo_blank", (), "has to be trained"),
        ("two_tower", (), "has to be trained"),
        ("slate_ppo=nowhere", (), "there is no run folder nowhere"),
        ("bm25", ("--temperature", "0"), "--temperature must be above 0"),
        ("bm25", ("--deterministic", "--temperature", "2"), "give one or the other"),
        ("random", ("--deterministic",), "any slate with the same probability"),
        ("random", ("--temperature", "2"), "any slate with the same probability"),
        ("bm25", ("--sessions-per-shard", "0"), "--sessions-per-shard must be 1 or more"),
        ("bm25", ("--sessions", "0"), "--sessions must be 1 or more"),
        ("bm25", ("--world-set", "split=test"), "is no setting of a run"),
    ],
)
def test_a_mistake_is_a_sentence(policy: str, more: tuple[str, ...], words: str, tmp_path: Path, capsys: Said) -> None:
    assert run(_arguments(tmp_path / "log", *more, policy=policy)) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "log").exists()


def test_the_world_of_a_log_is_made_as_it_was(tmp_path: Path) -> None:
    assert run(_arguments(tmp_path, "--world-set", "slate_size=2", "leave=0.2", "--split", "validation")) == 0
    log = open_log(tmp_path)
    world = world_of_log(log)
    assert world.fingerprint == log.plan.world.fingerprint
    assert world.slate_size == 2
    assert len(log.log(world)) == len(log)


def test_no_log_chooses_what_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from instructrec.protocols import Instruction, Reaction\n"
        "class Me:\n"
        "    def arrive(self, rng): return Instruction('red')\n"
        "    def react(self, slate, rng): return Reaction(left=True)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert run(_arguments(tmp_path / "log", "--population", "mine:Me")) == 0
    log = open_log(tmp_path / "log")
    with pytest.raises(RunError, match="are code at 'mine:Me', which a log may not have imported by itself"):
        world_of_log(log)
    assert world_of_log(log, population="mine:Me").fingerprint == log.plan.world.fingerprint


def test_a_file_is_no_place_for_a_log(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "log").write_text("mine")
    assert run(_arguments(tmp_path / "log")) == 2
    assert "is a file, and a log is a folder" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "log").read_text() == "mine"


def test_run_again_it_changes_nothing_and_with_other_settings_it_refuses(tmp_path: Path, capsys: Said) -> None:
    assert run(_arguments(tmp_path)) == 0
    before = _whole(tmp_path)
    assert run(_arguments(tmp_path)) == 0
    assert "holds 50 of 50 sessions already" in capsys.readouterr().err
    assert run(_arguments(tmp_path, "--temperature", "0.5")) == 2
    refused = " ".join(capsys.readouterr().err.split())
    assert "policy.temperature: 1.0, now 0.5" in refused
    assert "already" not in refused
    assert _whole(tmp_path) == before


def test_damaged_files_that_are_made_anew_are_named(tmp_path: Path, capsys: Said) -> None:
    assert run(_arguments(tmp_path, "--sessions-per-shard", "10")) == 0
    before = _files(tmp_path)
    (tmp_path / "turns-00001.parquet").write_bytes(b"torn")
    (tmp_path / "turns-00003.parquet").unlink()
    assert run(_arguments(tmp_path, "--sessions-per-shard", "10")) == 0
    told = capsys.readouterr().err
    assert f"Damaged or gone in {tmp_path}, and made anew: shard 1, 3." in told
    assert "holds 30 of 50 sessions already" in told
    assert _files(tmp_path) == before


def test_killed_in_the_middle_it_goes_on_where_it_stood(tmp_path: Path) -> None:
    killed, whole = (
        _arguments(tmp_path / name, "--sessions-per-shard", "64", "--truth", sessions=3000)
        for name in ("killed", "whole")
    )
    options: dict[str, Any] = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen([sys.executable, "-m", "instructrec.experiments.cli", *killed], **options)
    third, patience = tmp_path / "killed" / "turns-00002.parquet", time.monotonic() + 60
    while not third.exists() and time.monotonic() < patience:
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    log = open_log(tmp_path / "killed")
    assert 0 < log.num_sessions < 3000
    assert len(log.read()) == len(log)
    assert run(killed) == run(whole) == 0
    assert _files(tmp_path / "killed") == _files(tmp_path / "whole")
    assert open_log(tmp_path / "killed").manifest.shards == open_log(tmp_path / "whole").manifest.shards

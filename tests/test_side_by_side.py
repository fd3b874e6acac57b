"""Cells that are trained and measured in several processes give what one process gives, and leave nobody behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from instructrec.experiments.cells import CELLS
from instructrec.experiments.progress import Narrator
from instructrec.experiments.protocol import compare
from instructrec.experiments.workshop import Workshop

NEVER_READ = {"prompts": 0, "num_envs": 16, "num_steps": 4}


def _compare(out: Path, *, jobs: int, **variants: dict[str, Any]) -> dict[str, Any]:
    return compare(
        "instructrec/Tiny-v0", ["random", "item_knn", "oracle"], variants={"slate_ppo": NEVER_READ, **variants},
        out=out, world_settings={"turn_limit": 3}, aspects=("ranking", "held_out_ratings"), encoder="hashing",
        steps=64, sessions=12, seeds=2, jobs=jobs, narrator=Narrator(quiet=True),
    )  # fmt: skip


def _timeless(document: dict[str, Any]) -> str:
    agents = {
        label: {name: value for name, value in row.items() if not name.startswith("latency")}
        for label, row in document["agents"].items()
    }
    kept = {name: part for name, part in document.items() if name not in ("timing", "notes", "cells")}
    return json.dumps(kept | {"agents": agents}, sort_keys=True)


def test_two_processes_find_what_one_finds_and_leave_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    one = _compare(tmp_path / "one", jobs=1)
    monkeypatch.setattr(Workshop, "contestant", lambda *_: pytest.fail("the others did it all"))
    two = _compare(tmp_path / "two", jobs=2)
    assert not two["failed"]
    assert _timeless(two) == _timeless(one)
    assert all(cell["evaluation_seconds"] > 0 for cell in two["cells"])


def test_who_fails_in_another_process_is_reported_and_the_others_stand(tmp_path: Path) -> None:
    results = _compare(tmp_path, jobs=2, broken={"agent": "supervised", "minibatch_size": 0})
    assert set(results["agents"]) >= {"random", "item_knn", "oracle", "slate_ppo"}
    assert {(failed["agent"], failed["kind"]) for failed in results["failed"]} == {("broken", "ZeroDivisionError")}


def test_nobody_outlives_the_process_that_was_killed(tmp_path: Path) -> None:
    endless = ["--steps", "100000000", "--agents", "slate_ppo", "--variant", "other:prompts=0", "--encoder", "hashing"]
    command = [sys.executable, "-m", "instructrec.experiments.cli", "compare", "tiny", "--jobs", "2", *endless]
    with (tmp_path / "said").open("w") as said:
        started = subprocess.Popen([*command, "--out", str(tmp_path / "out")], stderr=said, stdout=said)
    family: set[int] = set()
    deadline = time.monotonic() + 120
    try:
        while not list((tmp_path / "out" / CELLS).glob("*/run.lock")) and time.monotonic() < deadline:
            time.sleep(0.1)
        family = _below(started.pid)
        assert len(family) >= 2, (tmp_path / "said").read_text()
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()
    while any(map(_lives, family)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [process for process in family if _lives(process)]


def _below(process: int) -> set[int]:
    """Returns the processes that a process started."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False)
    return set(map(int, found.stdout.split()))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody waits for is dead all the same.
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]

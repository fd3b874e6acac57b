"""Run folders appear whole or not at all, execute nothing, and say what is wrong with them."""

from __future__ import annotations

import errno
import functools
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructrec import runs
from instructrec.goals import Operator
from instructrec.runs import RunConfig, RunError

CONFIG = RunConfig(
    world="instructrec/Tiny-v0", agent="slate_ppo", agent_settings={"net": {"width": 64}}, seed=1, steps=99
)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    arrays = {
        "weights": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # Not in C order.
        "keys": np.array([2**63 + 5], np.uint64),
        "flag": np.array([True, False]),
        "scalar": np.array(3.5),
        "none": np.zeros((0, 4), np.int32),
    }
    runs.write_arrays(tmp_path / "a.safetensors", arrays)
    found = runs.read_arrays(tmp_path / "a.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


_NAMES = st.from_regex(r"[a-z]{1,5}", fullmatch=True)
_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn", "Zl", "Zp"], exclude_characters="\ufeff")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=40)
@given(document=_PLAIN)
def test_plain_documents_survive_json_and_yaml(document: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    runs.write_json(folder / "d.json", document)
    runs.write_yaml(folder / "d.yaml", document)
    assert runs.read_json(folder / "d.json") == document
    assert runs.read_yaml(folder / "d.yaml") == document


def test_dataclasses_tuples_enums_and_numpy_become_plain() -> None:
    @dataclass(frozen=True)
    class Inner:
        sizes: tuple[int, ...]

    document = {"c": Inner((1, 2)), "o": Operator.INCLUDE, "x": np.float64(0.5), "p": Path("a/b"), "a": np.arange(2)}
    found = runs.plain(document)
    assert found == {"c": {"sizes": [1, 2]}, "o": "include", "x": 0.5, "p": "a/b", "a": [0, 1]}
    assert type(found["x"]) is float
    assert type(found["o"]) is str
    with pytest.raises(TypeError, match="object"):
        runs.plain({"x": object()})


def test_numbers_that_do_not_exist_are_null_in_json() -> None:
    assert json.loads(runs.to_json({"a": float("nan"), "b": [np.inf, 1.0]})) == {"a": None, "b": [None, 1.0]}


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.yaml"
    runs.write_text(path, "old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="disk is full"):
        runs.write_text(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.yaml"]


def test_a_folder_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        runs.write_text(tmp_path / "taken" / "x.json", "")


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("x.json", b'{"a": ', runs.read_json),
        ("x.yaml", b"a: [1, ", runs.read_yaml),
        ("x.safetensors", b"\xff" * 40, runs.read_arrays),
        ("x.safetensors", b"", runs.read_arrays),
        ("x.json", b"\xff\xfe", runs.read_json),
        ("x.json", b"[" * 100_000, runs.read_json),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, read: Any) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match=rf"{name} is damaged"):
        read(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no file .*weights"):
        runs.read_arrays(tmp_path / "weights.safetensors")


class _Boom:
    def __reduce__(self) -> Any:
        return os.system, ("touch boom",)


def test_reading_executes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.safetensors").write_bytes(pickle.dumps(_Boom()))
    (tmp_path / "a.yaml").write_text("!!python/object/apply:os.system ['touch boom']")
    for read, name in ((runs.read_arrays, "a.safetensors"), (runs.read_yaml, "a.yaml")):
        with pytest.raises(RunError, match="damaged"):
            read(tmp_path / name)
    assert not (tmp_path / "boom").exists()


def test_a_config_comes_back(tmp_path: Path) -> None:
    CONFIG.write(tmp_path, notes={"command": "instructrec train"})
    assert RunConfig.read(tmp_path) == CONFIG


def test_differences_are_named_with_both_values() -> None:
    other = replace(CONFIG, seed=2, agent_settings={"net": {"width": 32}, "gamma": 0.5})
    assert CONFIG.differences(other) == [
        "agent_settings.net.width: 64, now 32",
        "seed: 1, now 2",
        "agent_settings.gamma: not set, now 0.5",
    ]
    assert CONFIG.differences(CONFIG) == []


def test_a_misspelt_or_missing_entry_is_named(tmp_path: Path) -> None:
    runs.write_yaml(tmp_path / "run.yaml", {"format": 1, "wrld": "x"})
    with pytest.raises(RunError, match="did you mean 'world'"):
        RunConfig.read(tmp_path)
    runs.write_yaml(tmp_path / "run.yaml", {"format": 1, "world": "x", "agent": "y", "seed": 0})
    with pytest.raises(RunError, match="lacks steps"):
        RunConfig.read(tmp_path)
    runs.write_yaml(tmp_path / "run.yaml", {"format": 7})
    with pytest.raises(RunError, match="format 7"):
        RunConfig.read(tmp_path)
    runs.write_text(tmp_path / "run.yaml", "just words")
    with pytest.raises(RunError, match="damaged"):
        RunConfig.read(tmp_path)


def test_what_is_not_a_run_is_said_and_the_nearest_suggested(tmp_path: Path) -> None:
    CONFIG.write(tmp_path / "demo")
    with pytest.raises(RunError, match=r"did you mean .*demo\?"):
        runs.find_run(tmp_path / "dmeo")
    with pytest.raises(RunError, match="make one"):
        runs.find_run(tmp_path / "nothing_like_it")
    (tmp_path / "photos").mkdir()
    with pytest.raises(RunError, match=r"not a run folder: it has no run\.yaml"):
        runs.find_run(tmp_path / "photos")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="not a run folder"):
        runs.find_run(tmp_path / "file")


# --- Locks -------------------------------------------------------------------------------------------------------

_HOLD = """
import sys, time
from instructrec import runs
with runs.locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_do_not_write_into_one_run_and_a_dead_ones_lock_is_free(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"in use by process {holder.pid}"), runs.locked(tmp_path):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with runs.locked(tmp_path):
        pass
    with runs.locked(tmp_path):  # And once more, after a holder that ended well.
        pass


def test_a_lock_clears_away_what_killed_writers_left_and_nothing_of_those_who_write(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    deep = tmp_path / "slate_ppo"
    deep.mkdir()
    living = deep / f".run.yaml.{os.getppid()}.part"
    for part in (tmp_path / f".run.yaml.{ended.pid}.part", deep / f".run.yaml.{ended.pid}.part", living):
        part.write_text("half")
    with runs.locked(tmp_path):
        assert list(tmp_path.rglob(".*.part")) == [living]


# --- Checkpoints -------------------------------------------------------------------------------------------------


def _save(run: Path, step: int, value: float | None = None, **options: Any) -> None:
    def write(folder: Path) -> None:
        runs.write_arrays(folder / "weights.safetensors", {"w": np.full(1000, step if value is None else value)})
        runs.write_json(folder / "state.json", {"step": step})

    runs.save_checkpoint(run, step, write, **options)


def _weights(run: Path) -> float:
    found = runs.latest_checkpoint(run)
    assert found is not None
    return float(runs.read_arrays(found.folder / "weights.safetensors")["w"][0])


def test_a_run_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert runs.latest_checkpoint(tmp_path) is None


def test_the_newest_checkpoint_counts_and_the_last_two_stay(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        _save(tmp_path, step)
    assert _weights(tmp_path) == 30
    assert sorted(entry.name for entry in (tmp_path / "checkpoints").iterdir()) == [f"{20:012d}", f"{30:012d}"]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    for step in (10, 20):
        _save(tmp_path, step)
    newest = tmp_path / "checkpoints" / f"{20:012d}" / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-8] + b"\0" * 8)
    assert _weights(tmp_path) == 10
    (tmp_path / "checkpoints" / f"{10:012d}" / "state.json").unlink()
    with pytest.raises(RunError, match=r"no checkpoint in .* is whole"):
        runs.latest_checkpoint(tmp_path)


def test_going_back_to_an_earlier_checkpoint_forgets_the_later_one(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        _save(tmp_path, step)
    _save(tmp_path, 20, value=-1.0)
    assert _weights(tmp_path) == -1.0


@pytest.mark.parametrize("folder", ["../outside", "checkpoints/..", "/etc", "checkpoints/a/b", "elsewhere/x"])
def test_a_pointer_cannot_lead_out_of_the_run(tmp_path: Path, folder: str) -> None:
    runs.write_json(tmp_path / "checkpoint.json", {"checkpoints": [{"step": 1, "folder": folder, "files": {}}]})
    with pytest.raises(RunError, match="damaged"):
        runs.latest_checkpoint(tmp_path)


def test_a_kill_at_any_moment_of_saving_leaves_a_whole_checkpoint(
    tmp_path: Path, killed_at: Callable[..., tuple[int, int]]
) -> None:
    # Every system call that changes the folder is a moment; the process dies just before each of them in turn.
    moments = ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "open")
    seen, deadly, begun = set(), 0, time.monotonic()
    while time.monotonic() - begun < 60:
        run = tmp_path / str(deadly)
        for step in (10, 20):
            _save(run, step)
        deadly += 1
        code, _ = killed_at(functools.partial(_save, run, 30), deadly, moments)
        found = runs.latest_checkpoint(run)
        assert found is not None
        assert found.step in (20, 30)
        assert _weights(run) == found.step
        seen.add(found.step)
        _save(run, 30)
        assert _weights(run) == 30
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert code == 0
    assert seen == {20, 30}
    assert deadly > 10

"""Other programs read what a log says, and nobody's files are overwritten."""

from __future__ import annotations

import csv
import errno
import importlib
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instructrec.agents.baselines import baselines
from instructrec.candidates import RandomCandidates
from instructrec.envs.import_log import import_log
from instructrec.envs.read_data import read_data
from instructrec.envs.tiny import tiny_world
from instructrec.experiments.cli import run
from instructrec.log_export import FORMATS, export_log
from instructrec.log_files import DiskLog, open_log, writing
from instructrec.log_manifest import LoggedPolicy, LoggedWorld, LogPlan
from instructrec.log_recording import record_log
from instructrec.log_to_minari import MEMORY
from instructrec.policies import plackett_luce
from instructrec.runs import RunError
from instructrec.sessions import World
from instructrec.turns import joined_turns

NAMES = {"minari": "tiny-v0", "obp": "tiny.npz", "recbole": "tiny", "table": "tiny.csv"}


def recorded(folder: Path, world: World | None = None, name: str = "bm25", turn_limit: int = 6) -> DiskLog:
    world = tiny_world(turn_limit=turn_limit) if world is None else world
    agent = baselines(world)[name]
    policy = agent if hasattr(agent, "act") else plackett_luce(agent, world.slate_size, 0.5)
    described = LoggedPolicy(name=name, draws="uniform" if name == "random" else "plackett_luce", fingerprint="its")
    plan = LogPlan(world=LoggedWorld.of(world), policy=described, sessions=40, sessions_per_shard=15, seed=3)
    return record_log(world, policy, plan, folder)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> DiskLog:
    return recorded(tmp_path_factory.mktemp("log"))


def offering(folder: Path) -> DiskLog:
    world = tiny_world()
    return recorded(folder, replace(world, candidates=RandomCandidates(world.catalogue, 8)), "random")


# --- Tables ------------------------------------------------------------------------------------------------------


def test_a_table_that_is_imported_again_holds_the_same_turns(log: DiskLog, tmp_path: Path) -> None:
    export_log(log, "table", tmp_path / "tiny.csv")
    again = import_log([tmp_path / "tiny.csv"], tmp_path / "again", items=log.folder / "items.parquet")
    mine, theirs = log.read(), again.read()
    assert mine.truncated.any()
    assert mine.terminated.any()
    for name in ("lane", "turn", "person", "slates", "log_probs", "item_rewards", "clicked", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(mine, name), err_msg=name)
    np.testing.assert_allclose(theirs.rewards, mine.rewards, atol=1e-6)
    for name in ("instruction", "next_instruction"):
        said, heard = ([part.texts.get(n) for n in getattr(part, name).tolist()] for part in (mine, theirs))
        assert said == heard
    assert again.items() == log.items()


def test_a_logs_own_files_are_a_table_of_slates(tmp_path: Path) -> None:
    log = offering(tmp_path / "log")
    columns = {"session": "lane", "log_propensity": "log_propensity", "reward": "item_reward"}
    again = import_log(sorted(log.folder.glob("turns-*")), tmp_path / "again", columns=columns)
    mine, theirs = log.read(), again.read()
    ids = np.array(again.items()[0], np.int64)
    np.testing.assert_array_equal(ids[theirs.slates], mine.slates)
    np.testing.assert_array_equal(ids[theirs.candidates], mine.candidates)
    for name in ("turn", "person", "log_probs", "item_rewards", "clicked", "truncated"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(mine, name), err_msg=name)
    with pytest.raises(RunError, match=r"has candidates, .*turns-\*\.parquet, are a table of slates"):
        export_log(log, "table", tmp_path / "tiny.csv")


# --- RecBole -----------------------------------------------------------------------------------------------------


def test_recboles_files_are_read_back_as_the_same_interactions(log: DiskLog, tmp_path: Path) -> None:
    export_log(log, "recbole", tmp_path / "tiny")
    turns, (ids, titles) = log.read(), log.items()
    record = read_data(tmp_path / "tiny")
    assert record.format == "recbole"
    assert record.item_ids == ids
    assert record.items["title"].cells() == titles
    clicks = np.zeros((int(turns.person.max()) + 1, len(ids)))
    np.add.at(clicks, (np.repeat(turns.person, turns.slates.shape[1]), turns.slates.ravel()), turns.clicked.ravel())
    found, shown = np.zeros_like(clicks), np.zeros(clicks.shape, bool)
    shown[np.repeat(turns.person, turns.slates.shape[1]), turns.slates.ravel()] = True
    people = np.array(record.ratings.person_ids, np.int64)[record.ratings.person]
    found[people, record.ratings.item] = record.ratings.rating
    assert len(people) == shown.sum()
    np.testing.assert_array_equal(found, clicks)
    with (tmp_path / "tiny" / "tiny.inter").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    np.testing.assert_allclose([float(row["propensity:float"]) for row in rows], np.exp(turns.log_probs).ravel())
    assert [row["session_id:token"] for row in rows[:: turns.slates.shape[1]]] == [str(n) for n in turns.session]


# --- Open Bandit Pipeline ----------------------------------------------------------------------------------------


def test_bandit_feedback_has_obps_names_and_meanings(log: DiskLog, tmp_path: Path) -> None:
    export_log(log, "obp", tmp_path / "tiny.npz")
    turns = log.read()
    with np.load(tmp_path / "tiny.npz", allow_pickle=False) as found:
        feedback = {name: found[name] for name in found.files}
    count, width = turns.slates.shape
    assert (feedback["n_rounds"], feedback["n_unique_action"]) == (count, tiny_world().catalogue.num_items)
    np.testing.assert_array_equal(feedback["slate_id"].reshape(count, width), np.arange(count)[:, None] + [[0] * width])
    np.testing.assert_array_equal(feedback["position"].reshape(count, width), [list(range(width))] * count)
    np.testing.assert_array_equal(feedback["action"].reshape(count, width), turns.slates)
    np.testing.assert_array_equal(feedback["reward"].reshape(count, width), turns.item_rewards)
    cascade = feedback["pscore_cascade"].reshape(count, width)
    np.testing.assert_allclose(cascade, np.cumprod(np.exp(turns.log_probs), axis=1))
    np.testing.assert_allclose(feedback["pscore"].reshape(count, width), cascade[:, [-1] * width])
    assert "pscore_item_position" not in feedback, "what a log does not tell is not made up"
    words = dict(zip(feedback["text_ids"].tolist(), feedback["texts"].tolist(), strict=True))
    assert words == dict(turns.texts)
    np.testing.assert_array_equal(feedback["context"], np.stack([turns.turn, turns.instruction], axis=1))


def test_where_slates_are_drawn_uniformly_the_chance_at_a_position_is_known(tmp_path: Path) -> None:
    for world, chance in ((None, 1 / 20), (offering, 1 / 8)):
        place = tmp_path / str(chance)
        log = recorded(place, None, "random") if world is None else world(place)
        export_log(log, "obp", place / "tiny.npz")
        with np.load(place / "tiny.npz") as feedback:
            np.testing.assert_allclose(feedback["pscore_item_position"], chance)


# --- Minari ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [recorded, offering])
def test_minaris_episodes_are_the_sessions(make, tmp_path):  # type: ignore[no-untyped-def]
    h5py = pytest.importorskip("h5py")
    log = make(tmp_path / "log")
    export_log(log, "minari", tmp_path / "tiny-v0")
    turns = log.read()
    metadata = json.loads((tmp_path / "tiny-v0" / "data" / "metadata.json").read_text())
    assert (metadata["total_episodes"], metadata["total_steps"]) == (40, len(turns))
    assert metadata["instructrec"]["texts"] == {str(number): text for number, text in turns.texts.items()}
    assert json.loads(metadata["action_space"])["high"] == [19, 19, 19]
    spaces = json.loads(metadata["observation_space"])["subspaces"]
    with h5py.File(tmp_path / "tiny-v0" / "data" / "main_data.hdf5") as file:
        episodes = [file[f"episode_{number}"] for number in range(40)]
        assert len(file) == 40

        def whole(name, skip=None):
            return np.concatenate([episode[name][slice(0, skip)] for episode in episodes])

        for name, own in (("actions", turns.slates), ("rewards", turns.rewards), ("terminations", turns.terminated),
                          ("truncations", turns.truncated), ("infos/log_propensity", turns.log_probs),
                          ("infos/clicked", turns.clicked), ("infos/person", turns.person)):  # fmt: skip
            np.testing.assert_array_equal(whole(name), own, err_msg=name)
        np.testing.assert_array_equal(whole("observations/instruction", -1), turns.instruction)
        np.testing.assert_array_equal(whole("observations/turn", -1), turns.turn)
        if turns.candidates is not None:
            np.testing.assert_array_equal(whole("observations/candidates", -1), turns.candidates)
        for number, episode in enumerate(episodes):
            mine = turns.rows(turns.session == number)
            assert episode["observations/instruction"][-1] == mine.next_instruction[-1]
            last = episode["observations/slates"][-1]
            np.testing.assert_array_equal(last[: len(mine)], mine.slates)
            assert (last[len(mine) :] == -1).all()
            assert (episode["observations/slates"][0] == -1).all()
            np.testing.assert_array_equal(episode["observations/clicked"][-1][: len(mine)], mine.clicked)
            for name, space in spaces.items():
                assert episode[f"observations/{name}"].shape[1:] == tuple(space["shape"])
                assert (episode[f"observations/{name}"][:] >= space["low"]).all()
                assert (episode[f"observations/{name}"][:] <= space["high"]).all()


def test_minaris_memory_is_bounded(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    turns = "".join(f"a,{turn},x{turn},0.5,1\n" for turn in range(MEMORY + 8))
    (tmp_path / "long.csv").write_text("session,turn,slate,propensity,clicked\n" + turns)
    export_log(import_log([tmp_path / "long.csv"], tmp_path / "log"), "minari", tmp_path / "long-v1")
    with h5py.File(tmp_path / "long-v1" / "data" / "main_data.hdf5") as file:
        seen = file["episode_0/observations/slates"][:, :, 0]
    shown = open_log(tmp_path / "log").read().slates[:, 0]
    assert seen.shape == (MEMORY + 9, MEMORY)
    np.testing.assert_array_equal(seen[-1], shown[-MEMORY:])
    np.testing.assert_array_equal(seen[3], [*shown[:3], *[-1] * (MEMORY - 3)])


def test_without_h5py_the_message_names_the_command(log, tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    find = importlib.import_module

    def missing(name):  # type: ignore[no-untyped-def]
        if name == "h5py":
            raise ImportError(name)
        return find(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install 'instructrec\[minari\]'"):
        export_log(log, "minari", tmp_path / "tiny-v0")
    assert not (tmp_path / "tiny-v0").exists()


# --- Files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data_format", FORMATS)
def test_nobodys_files_are_overwritten_unless_asked(data_format: str, log: DiskLog, tmp_path: Path) -> None:
    if data_format == "minari":
        pytest.importorskip("h5py")
    out = tmp_path / NAMES[data_format]
    written = export_log(log, data_format, out)
    for path in written:
        path.write_text("mine")
    (written[0].parent / "another").write_text("mine too")
    with pytest.raises(RunError, match="is there already"):
        export_log(log, data_format, out)
    assert {path.read_text() for path in written} == {"mine"}
    export_log(log, data_format, out, overwrite=True)
    assert all(path.read_bytes() != b"mine" for path in written)
    assert (written[0].parent / "another").read_text() == "mine too"
    written[0].unlink()
    written[0].mkdir()
    with pytest.raises(RunError, match="is a folder, where a file should be"):
        export_log(log, data_format, out, overwrite=True)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_killed_in_the_middle_no_file_is_half_there(data_format, log, tmp_path, killed_at, monkeypatch):  # type: ignore[no-untyped-def]
    if data_format == "minari":
        pytest.importorskip("h5py")
    # Arrow's threads do not live in a fork: what is read is read before.
    parts, items, names = list(log.shards()), log.items(), log.session_ids()
    monkeypatch.setattr(DiskLog, "items", lambda _: items)
    monkeypatch.setattr(DiskLog, "session_ids", lambda _: names)
    monkeypatch.setattr(DiskLog, "shards", lambda _: iter(parts))
    monkeypatch.setattr(DiskLog, "read", lambda _: joined_turns(parts))
    whole = [path.stat().st_size for path in export_log(log, data_format, tmp_path / "whole" / NAMES[data_format])]
    for deadly in (1, 2, 4):
        out = tmp_path / str(deadly) / NAMES[data_format]
        code, calls = killed_at(lambda out=out: export_log(log, data_format, out), deadly)
        assert (code, calls) == (-signal.SIGKILL, deadly) or (code == 0 and deadly > 3)
        files = FORMATS[data_format].files(out)
        # A file takes three calls: to the disk, its name, and the folder to the disk.
        done = [path for path in files if path.exists()]
        assert done == list(files[: (calls if code == 0 else calls - 1) // 2])[: len(done)]
        for path, size in zip(done, whole, strict=False):
            assert path.stat().st_size == pytest.approx(size, rel=0.02)


@pytest.mark.parametrize("data_format", FORMATS)
def test_a_full_disk_is_told_and_leaves_nothing(data_format, log, tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    if data_format == "minari":
        pytest.importorskip("h5py")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="the disk is full"):
        export_log(log, data_format, tmp_path / NAMES[data_format])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_cannot_be_exported_is_told(log: DiskLog, tmp_path: Path) -> None:
    for data_format, out, words in (
        ("minary", "tiny-v0", "unknown format to export to 'minary'; did you mean 'minari'"),
        ("minari", "tiny", "Minari's data sets are called NAME-vN"),
        ("obp", "tiny.csv", r"it becomes one file, NAME\.npz"),
        ("table", "tiny", r"it becomes one file, NAME\.csv"),
    ):
        with pytest.raises(ValueError, match=words):
            export_log(log, data_format, tmp_path / out)
    with writing(tmp_path / "begun", log.plan):
        pass
    with pytest.raises(RunError, match="holds no turns yet"):
        export_log(open_log(tmp_path / "begun"), "obp", tmp_path / "tiny.npz")


def test_the_command_exports_and_says_how_to_read_it(
    log: DiskLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export-log", str(log.folder), "--format", "recbole", "--out", str(tmp_path / "tiny")]
    assert run([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [Path(each["file"]).name for each in document["files"]] == ["tiny.item", "tiny.inter"]
    assert document["turns"] == len(log)
    assert run(command) == 2
    assert "is there already; choose another place, or say that it may be overwritten" in " ".join(
        capsys.readouterr().err.split()
    )
    assert run([*command, "--overwrite"]) == 0
    assert f"dataset: tiny, data_path: {tmp_path}" in capsys.readouterr().out
    assert run(["export-log", str(tmp_path), "--format", "obp", "--out", str(tmp_path / "a.npz")]) == 2
    assert "holds no log" in " ".join(capsys.readouterr().err.split())

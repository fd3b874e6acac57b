"""`instructrec bench`: that it measures what it says, not how fast it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructrec.envs.worlds import make_world
from instructrec.experiments import bench as benches
from instructrec.experiments.bench import PARTS, Row, slates_given
from instructrec.experiments.cli import run
from instructrec.experiments.progress import Narrator
from instructrec.experiments.train import TrainPlan, train

KEYS = {"name", "size", "unit", "median", "low", "high", "repeats", "reference", "ratio"}
FEW = ("--world", "tiny", "--users", "4,8", "--repeats", "2", "--encoder", "hashing")
Said = pytest.CaptureFixture[str]


def _document(capsys: Said, *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["bench", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agent") / "run"
    few = {"encoder": "hashing", "prompts": 0, "num_envs": 8, "num_steps": 8}
    plan = TrainPlan(world="instructrec/Tiny-v0", agent_settings=few, steps=64, checkups=1)
    train(plan, folder, resume=False, narrator=Narrator(quiet=True), describing=False)
    return folder


def test_the_document_says_where_what_and_how_often(agent: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benches, "_ANSWERS", 5)
    monkeypatch.setattr(benches, "_LEARNED", 2_048)
    found = _document(capsys, *FEW, "--agent", str(agent))
    assert {"processor", "cores", "threads", "memory_gb", "load_before", "load_after", "versions"} <= set(
        found["machine"]
    )
    assert found["machine"]["versions"]["instructrec"]
    assert found["world"]["items"] == 20
    rows = {f"{row['name']}, {row['size']:,}": row for row in found["rows"]}
    assert len(rows) == len(found["rows"])
    for row in rows.values():
        assert set(row) == KEYS
        assert 0 < row["low"] <= row["median"] <= row["high"]
        if row["reference"] is None:
            assert row["ratio"] is None
        else:
            against = rows[row["reference"]]
            assert against["unit"] == row["unit"]
            assert row["ratio"] == pytest.approx(row["median"] / against["median"])
    assert {row["unit"] for row in rows.values()} == {
        "user-steps/s",
        "turns learned from/s",
        "sentences/s",
        "ms",
        "turns/s",
    }
    assert rows["SlatePPO, 256"]["reference"] == "stock PPO, MultiDiscrete, 64"
    assert rows["people, slates given, 8"]["repeats"] == 2
    assert rows["recommend, known text, 20"]["repeats"] == 5
    assert found["notes"] == []


def test_parts_are_chosen_and_recommending_needs_a_run(capsys: Said) -> None:
    found = _document(capsys, "recommend", "encode", *FEW)
    assert {row["unit"] for row in found["rows"]} == {"sentences/s"}
    (note,) = found["notes"]
    assert "--agent runs/demo" in note
    assert run(["bench", "env", *FEW]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    assert "gymnasium.make" in told
    assert "sentences/s" not in told
    assert PARTS == ("env", "train", "encode", "recommend", "ope")


def test_new_sentences_are_new_and_no_cache_answers(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    sentences = benches._sentences
    monkeypatch.setattr(benches, "_sentences", lambda *given: asked.extend(made := sentences(*given)) or made)
    _document(capsys, "encode", *FEW)
    new = asked[: 3 * benches._TEXTS]
    assert len(set(new)) == len(new), "one time that is not counted, and two that are"
    assert set(asked) == set(new)


def test_a_rate_leaves_out_the_first_time_and_counts_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0, 10.0, 11.0])
    monkeypatch.setattr(benches, "perf_counter", lambda: next(clock))
    done = iter([1000, 10, 10])
    assert benches._rates(lambda: next(done), 2) == [5.0, 10.0]
    row = Row.of("a", 1, "x/s", [5.0, 10.0], Row.of("b", 2_000, "x/s", [2.5]))
    assert (row.median, row.reference, row.ratio) == (7.5, "b, 2,000", 3.0)
    assert row.low == pytest.approx(5.05)


@pytest.mark.parametrize("slate_size", [1, 3, 4])
def test_slates_that_are_given_are_slates(slate_size: int) -> None:
    world = make_world("instructrec/Tiny-v0", slate_size=slate_size)
    slates = slates_given(world, 50, 3)
    assert slates.shape == (50, slate_size)
    assert slates.min() >= 0
    assert slates.max() < 20
    assert all(len(set(slate)) == slate_size for slate in slates.tolist())
    assert (slates != slates_given(world, 50, 4)).any()
    np.testing.assert_array_equal(slates, slates_given(world, 50, 3))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--users", "0"), "--users takes numbers of 1 or more"),
        (("--users", "8,8"), "each once"),
        (("--users", ""), "--users takes numbers of 1 or more"),
        (("--users", "many"), "--users takes whole numbers"),
        (("--repeats", "0"), "--repeats must be 1 or more"),
        (("--world", "tinny"), "did you mean"),
        (("--world-set", "slate_sise=3"), "did you mean 'slate_size'"),
        (("recommend", "--agent", "nowhere"), "there is no run folder nowhere"),
    ],
)
def test_a_mistake_is_a_sentence(arguments: tuple[str, ...], words: str, capsys: Said) -> None:
    given = ["bench", *arguments] if "--world" in arguments else ["bench", *arguments, "--world", "tiny"]
    assert run(given) == 2
    assert words in " ".join(capsys.readouterr().err.split())

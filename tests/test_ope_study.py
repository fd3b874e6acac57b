"""`instructrec ope-study`: estimates from many logs beside the truth."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from instructrec.experiments import ope_study as studies
from instructrec.experiments.cli import run
from instructrec.experiments.ope_study import Study, ope_study
from instructrec.experiments.ope_study_measures import CHOSEN, MEAN_OF_LOG, measured, rank_correlation, wilson
from instructrec.experiments.ope_study_page import to_text
from instructrec.experiments.progress import Narrator
from instructrec.runs import RunError

QUIET = Narrator(quiet=True)
SMALL = Study(
    world="instructrec/Tiny-v0",
    policy="bm25",
    policies=("bm25@0.7", "bm25@0.5", "random"),
    sizes=(60, 30),
    logs=(2, 3),
    world_settings={"turn_limit": 1},
    truth_sessions=300,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    ope_study(SMALL, out=folder, narrator=QUIET)
    return folder


def _results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def test_the_document_has_what_it_promises_for_every_size_and_estimator(whole: Path) -> None:
    (world,) = _results(whole)["worlds"]
    truth = world["truth"]
    assert set(truth["policies"]) == {*SMALL.policies, "logged"}
    assert all(one["error"] > 0 for one in truth["policies"].values())
    assert truth["span"] == pytest.approx(truth["oracle"] - truth["random"])
    assert [(size["sessions"], size["logs"], size["turns"]) for size in world["sizes"]] == [(30, 3, 30), (60, 2, 60)]
    for size in world["sizes"]:
        names = [row["estimator"] for row in size["estimators"]]
        assert names[0] == CHOSEN
        assert {MEAN_OF_LOG, "standard_ips", "sn_slate_dr", "direct_method"} < set(names)
        assert "independent_ips" not in names
        for row in size["estimators"]:
            assert row["coverage"]["intervals"] == 3 * size["logs"]
            assert row["coverage"]["logs"] == size["logs"]
            assert isinstance(row["resolved"], bool)
            assert row["median_error"] >= 0
        assert set(size["picks"]) == {"select", "largest", "logged"}
        assert all(found["value"] >= 0 for found in size["picks"].values())
        assert sum(size["selected"].values()) == size["logs"]
    assert {row["estimator"] for row in world["by_ess"]} == set(names)


def test_pictures_and_page_are_written_and_the_logs_are_gone(whole: Path) -> None:
    pictures = sorted(path.name for path in whole.glob("*.png"))
    assert pictures == ["coverage.png", "error_by_ess.png", "error_by_size.png", "ranking.png"]
    assert all((whole / name).stat().st_size > 5_000 for name in pictures)
    page = (whole / "ope_study.md").read_text()
    assert all(name in page for name in (*pictures, *SMALL.policies, "**the chosen one**"))
    assert "nan" not in page
    assert not list((whole / "logs").iterdir())
    assert max(len(line) for line in to_text(_results(whole)).splitlines()) <= 80


def test_a_study_goes_on_from_the_logs_it_has_and_ends_the_same(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "parts")
    lost = sorted((tmp_path / "parts" / "cells").glob("log-*"))[0]
    lost.unlink()
    recorded = []
    record = studies.record_log
    monkeypatch.setattr(studies, "record_log", lambda *given: recorded.append(given) or record(*given))
    monkeypatch.setattr(studies, "truth_of", lambda *given: pytest.fail("the truth is played again"))
    ope_study(SMALL, out=tmp_path / "parts", narrator=QUIET)
    assert len(recorded) == 1
    assert lost.read_bytes() == (whole / "cells" / lost.name).read_bytes()
    first, second = _results(whole), _results(tmp_path / "parts")
    assert first["worlds"] == second["worlds"]


@pytest.mark.parametrize("content", ['{"turns": 3', "[]", '{"turns": 3}'])
def test_a_finding_that_is_damaged_is_named_with_what_to_do(whole: Path, tmp_path: Path, content: str) -> None:
    shutil.copytree(whole, tmp_path / "damaged")
    broken = min((tmp_path / "damaged" / "cells").glob("log-*"))
    broken.write_text(content)
    with pytest.raises(RunError, match=f"{broken.name} is damaged.*delete it, and it is made again"):
        ope_study(SMALL, out=tmp_path / "damaged", narrator=QUIET)
    broken.unlink()
    ope_study(SMALL, out=tmp_path / "damaged", narrator=QUIET)
    assert _results(tmp_path / "damaged")["worlds"] == _results(whole)["worlds"]


def _estimate(name: str, value: float, reach: float, *, trusted: bool = False, chosen: bool = False) -> dict[str, Any]:
    return {
        "estimator": name, "value": value, "low": value - reach, "high": value + reach, "error": reach / 1.96,
        "ess": 50.0, "trusted": trusted, "chosen": chosen,
    }  # fmt: skip


def _log(a: float, b: float, c: float, selected: str = "logged") -> dict[str, Any]:
    reach = 0.1
    return {
        "turns": 10, "people": 10, "selected": selected,
        "policies": {
            name: [_estimate("standard_ips", value, reach, trusted=name == "a", chosen=True)]
            for name, value in (("a", a), ("b", b), ("c", c))
        },
    }  # fmt: skip


TRUTH = {
    "span": 2.0,
    "policies": {
        name: {"value": value, "error": 0.1} for name, value in (("a", 0.0), ("b", 1.0), ("c", 2.0), ("logged", 0.5))
    },
}


def test_coverage_counts_and_takes_the_logs_as_trials() -> None:
    logs = [_log(0.05, 1.05, 2.3), _log(0.15, 1.5, 2.5), _log(0.0, 1.0, 2.0), _log(0.3, 1.0, 2.09)]
    (size,) = measured(TRUTH, {10: logs})["sizes"]
    row = next(row for row in size["estimators"] if row["estimator"] == "standard_ips")
    assert row["coverage"]["share"] == pytest.approx(7 / 12)
    # √(0.1² + (1.96 × 0.1)²) = 0.22: one more.
    assert row["coverage"]["with_truth_error"] == pytest.approx(8 / 12)
    assert (row["coverage"]["intervals"], row["coverage"]["logs"]) == (12, 4)
    assert (row["coverage"]["low"], row["coverage"]["high"]) == pytest.approx(wilson(7 / 12, 4))
    assert row["coverage_trusted"]["share"] == pytest.approx(2 / 4)
    assert row["trusted"] == pytest.approx(1 / 3)
    assert row["median_error"] == pytest.approx(0.07 / 2)
    assert not row["resolved"], "it is below the truth's own error"
    assert wilson(0.5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)


def test_ranks_and_regret_are_those_of_the_true_order() -> None:
    assert rank_correlation([0.1, 0.2, 0.9], [1, 2, 3]) == pytest.approx(1)
    assert rank_correlation([3, 2, 1], [1, 2, 3]) == pytest.approx(-1)
    assert rank_correlation([1, 3, 2, 4], [1, 2, 3, 4]) == pytest.approx(0.8)
    assert math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))
    assert math.isnan(rank_correlation([1, math.nan, 2], [1, 2, 3]))
    (size,) = measured(TRUTH, {10: [_log(0, 1, 2, "b"), _log(2, 1, 0, "c")]})["sizes"]
    ranks = {row["estimator"]: row["rank_correlation"]["value"] for row in size["estimators"]}
    assert ranks[CHOSEN] == pytest.approx(0)
    # Of 2 the best policy earns, 2 is what an oracle has over chance.
    picks = {name: found["value"] for name, found in size["picks"].items()}
    assert picks == pytest.approx({"select": (0.5 + 0) / 2, "largest": (0 + 1) / 2, "logged": 0.75})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("--policies", "bm25"), "ranks two policies or more"),
        (("--policies", "bm25@0.5,bm25@0.5"), "each named once"),
        (("--policies", "bm25,bm52"), "did you mean 'bm25'"),
        (("--policies", "bm25,oracle"), "oracle sees what is hidden"),
        (("--policy", "slate_ppo"), "has to be trained"),
        (("--temperature", "0"), "--temperature must be above 0"),
        (("--sessions", "many"), "whole numbers with commas"),
        (("--sessions", "1,50"), "logs hold 2 sessions or more"),
        (("--logs", "1,2,3"), "one for all sizes (30, 60) or one for each"),
        (("--logs", "0"), "the number of logs is 1 or more"),
        (("--truth-sessions", "1"), "the truth needs 2 sessions"),
        (("--grid", "slate_size=2"), "two values or more of slate_size"),
        (("--grid", "turn_limit=1,2"), "turn_limit is a setting of every world and part of the grid"),
        (("--grid", "slate_sise=2,3"), "slate_size"),
    ],
)
def test_a_mistake_is_a_sentence(
    changed: tuple[str, str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--policy": "bm25", "--policies": "bm25@0.5,random", "--sessions": "30,60", "--logs": "1"}
    given |= {"--out": str(tmp_path / "out"), **dict([changed])}
    typed = [part for pair in given.items() for part in pair]
    assert run(["ope-study", "tiny", *typed, "--world-set", "turn_limit=1"]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_grid_has_a_world_for_every_combination_and_a_picture_between_them(tmp_path: Path) -> None:
    arguments = ["ope-study", "tiny", "--policy", "bm25", "--policies", "bm25@0.7,random", "--sessions", "30"]
    arguments += ["--logs", "1", "--truth-sessions", "60", "--grid", "slate_size=1,2", "--out", str(tmp_path)]
    assert run([*arguments, "--world-set", "turn_limit=1"]) == 0
    assert [world["settings"] for world in _results(tmp_path)["worlds"]] == [{"slate_size": 1}, {"slate_size": 2}]
    assert (tmp_path / "error_by_world.png").stat().st_size > 5_000
    assert not (tmp_path / "error_by_size.png").exists()  # Of one size.

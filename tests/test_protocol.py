"""A comparison is a set of cells: each is trained once, measured once, and reported whatever becomes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructrec.agents.baselines import baselines
from instructrec.envs.tiny import tiny_world
from instructrec.experiments import aspects, cli, protocol, train, workshop
from instructrec.experiments.cells import CellFolder, cells_of, hash_of
from instructrec.experiments.evaluation import evaluate
from instructrec.experiments.progress import Narrator
from instructrec.experiments.protocol import compare
from instructrec.experiments.totals import Totals, read_parts, write_parts
from instructrec.experiments.workshop import Workshop, counting, met
from instructrec.sessions import Sessions, start

QUIET = Narrator(quiet=True)
TINY = "instructrec/Tiny-v0"
SMALL: dict[str, Any] = {
    "encoder": "hashing", "steps": 128, "sessions": 12, "seeds": 2, "narrator": QUIET,
    "world_settings": {"turn_limit": 3},
}  # fmt: skip
LEAST = {"prompts": 0, "num_envs": 16, "num_steps": 4}
VARIANTS = {"slate_ppo": LEAST, "deaf": {**LEAST, "agent": "deaf"}}


@pytest.fixture(autouse=True, scope="module")
def _hurried() -> Iterator[None]:
    """Nobody reads much or is examined at length: these tests look at what becomes of cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workshop, "prompts", 0)
        patch.setattr(aspects, "TIMED", 2)
        patch.setattr(train, "_examiner", lambda *_: None)
        yield


def _compare(out: Path, **changes: Any) -> dict[str, Any]:
    given = {"names": ["random", "supervised"], "variants": {}, "aspects": ("ranking",), **SMALL, **changes}
    return compare(TINY, given.pop("names"), out=out, **given)


def _timeless(out: Path) -> Any:
    """What a comparison found, without what the clock says."""
    document = json.loads((out / "results.json").read_text())
    for agent in document["agents"].values():
        for metric in [name for name in agent if name.startswith("latency")]:
            del agent[metric]
    return {name: part for name, part in document.items() if name not in ("timing", "notes", "cells")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    everything = ("generalisation", "unseen_items", "cold_start", "ranking", "edits", "held_out_ratings")
    _compare(out, names=["random", "supervised", "oracle"], variants=VARIANTS, aspects=everything)
    return out


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small")
    _compare(out)
    return out


def _recordings(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """Counts what is recorded by a function of the workshop's."""
    recorded: list[Any] = []
    record = getattr(workshop, name)

    def counted(*given: Any) -> Any:
        recorded.append(given)
        return record(*given)

    monkeypatch.setattr(workshop, name, counted)
    return recorded


def test_all_that_are_fitted_to_a_fixed_log_share_one_recording_per_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = _recordings(monkeypatch, "fixed_log")
    results = _compare(tmp_path, names=["random", "item_knn", "ease"], aspects=())
    assert [seed for *_, seed, _ in recorded] == [0, 1]
    assert results["training_sessions"]["item_knn"] == results["training_sessions"]["ease"] >= 128 / 3
    again = _compare(tmp_path, names=["item_knn", "supervised"], aspects=())
    assert len(recorded) == 2, "a comparison begun anew reads what was recorded"
    assert again["training_sessions"]["supervised"] == results["training_sessions"]["ease"]


def test_a_shared_log_teaches_what_a_log_of_ones_own_does(tmp_path: Path) -> None:
    alone = _compare(tmp_path / "alone", names=["supervised"], aspects=())
    beside = _compare(tmp_path / "beside", names=["item_knn", "supervised"], aspects=())
    assert beside["agents"]["supervised"]["return"] == alone["agents"]["supervised"]["return"]


def test_all_that_learn_from_slate_ppos_own_log_share_one_recording_and_count_its_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = _recordings(monkeypatch, "own_log")
    names = ["random", "item_knn@own", "ease@own", "item_knn@rounds"]
    results = _compare(tmp_path, names=names, variants={"slate_ppo": LEAST}, aspects=())
    assert not results["failed"]
    assert [plan.seed for plan, *_ in recorded] == [0, 1]
    assert "shown by SlatePPO while it learned" in results["notes"]["ease@own"]
    sessions = results["training_sessions"]
    assert sessions["item_knn@own"] == sessions["ease@own"] >= 128 / 3
    assert sessions["item_knn@rounds"] >= 128 / 3


def test_results_have_the_promised_keys(whole: Path) -> None:
    results = json.loads((whole / "results.json").read_text())
    assert results["seeds"] == [0, 1]
    assert results["label"] == "2 seeds"
    assert {"generalisation", "curves", "probability_of_improvement", "pmrr", "phrasing", "recovery", "selectivity",
            "cold_start", "held_out_ratings", "failed", "ranking", "iqm", "training_sessions",
            } <= set(results)  # fmt: skip
    assert results["training_sessions"]["random"] == 0
    assert results["training_sessions"]["slate_ppo"] >= 128 / 3
    assert results["training_sessions"]["supervised"] >= 128 / 3
    assert results["failed"] == []
    assert set(results["generalisation"]) == {"seen", *aspects.AXES, "held_out", "all"}, "Tiny has too few items"
    assert {"value", "low", "high"} <= set(results["generalisation"]["seen"]["oracle"]["return"])
    assert results["probability_of_improvement"]["oracle"]["random"]["value"] > 0.5
    assert {"slate_ppo", "slate_ppo_blank", "deaf"} <= set(results["agents"])


def test_every_cell_tells_how_long_it_took(whole: Path, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = {cell["cell"]: cell for cell in json.loads((whole / "results.json").read_text())["cells"]}
    assert set(cells) == {"random", "supervised, seed 0", "supervised, seed 1", "oracle", "slate_ppo, seed 0",
                          "slate_ppo, seed 1", "deaf, seed 0", "deaf, seed 1"}  # fmt: skip
    assert cells["random"]["training_seconds"] is None
    for cell in cells.values():
        assert cell["evaluation_seconds"] == pytest.approx(sum(cell["aspects"].values()))
        assert {"held_out", "generalisation", "ranking"} <= set(cell["aspects"])
        assert cell["agent"] in ("random", "oracle") or cell["training_seconds"] > 0
    _compare(small, narrator=Narrator())
    told = capsys.readouterr().err
    assert "supervised, seed 1: trained in " in told, "also where it was done before"
    assert "\nrandom: measured in " in told


def test_who_never_heard_anybody_gains_nothing_from_words(whole: Path) -> None:
    results = json.loads((whole / "results.json").read_text())
    assert results["agents"]["deaf"]["control_gain"] == {"value": 0, "low": 0, "high": 0}
    assert results["phrasing"].get("deaf", {}).get("phrasing_share", {"value": 1})["value"] == 1


@pytest.mark.parametrize("cell", [1, 2])
def test_a_comparison_killed_in_a_cell_goes_on_and_finds_the_same(
    cell: int, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, kept = CellFolder.keep, []

    def killed(self: CellFolder, *given: Any) -> Any:
        if len(kept) == 2 * cell + 1:  # Each cell has two aspects; it is killed between those of the next one.
            raise KeyboardInterrupt
        kept.append(self.key)
        return keep(self, *given)

    monkeypatch.setattr(CellFolder, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        _compare(tmp_path)
    assert not (tmp_path / "results.json").exists()
    again: list[str] = []
    monkeypatch.setattr(CellFolder, "keep", lambda self, *given: again.append(self.key) or keep(self, *given))
    _compare(tmp_path)
    assert not set(kept[: 2 * cell]) & set(again), "cells that were whole are not measured again"
    assert _timeless(tmp_path) == _timeless(small)


def test_a_comparison_done_before_trains_and_measures_nothing(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _timeless(small)
    monkeypatch.setattr(Workshop, "contestant", lambda *_: pytest.fail("everything is known"))
    _compare(small)
    assert _timeless(small) == before


def test_an_agent_that_fails_is_reported_and_the_others_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = workshop.learn

    def failing(name: str, *given: Any, seed: int, **more: Any) -> Any:
        if seed == 1:
            raise ZeroDivisionError("a | broken & agent")
        return learn(name, *given, seed=seed, **more)

    monkeypatch.setattr(workshop, "learn", failing)
    results = _compare(tmp_path)
    assert set(results["agents"]) == {"random", "supervised"}
    (failed,) = results["failed"]
    assert (failed["agent"], failed["seed"], failed["error"]) == ("supervised", 1, "a | broken & agent")
    for page in ("tables.md", "tables.tex", "report.html"):
        assert "broken" in (tmp_path / page).read_text(), page
    monkeypatch.setattr(workshop, "learn", learn)
    assert _compare(tmp_path)["failed"] == [], "the next call tries again"


def test_where_every_cell_fails_the_reason_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workshop, "contestant", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        _compare(tmp_path, names=["random"])


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 256}, {"encoder": "minilm"}, {"place": {"turn_limit": 4}},
        {"cells": {"variants": {"one": {"learning_rate": 1e-3}}}}, {"cells": {"seeds": [5]}}, {"unseen": True},
    ],
)  # fmt: skip
def test_changing_anything_that_decides_a_cell_changes_its_folder(change: dict[str, Any], tmp_path: Path) -> None:
    def key(*, steps: int = 128, encoder: str = "hashing", cells: Any = None, **more: Any) -> str:
        place = {"per_colour": 20, **more.pop("place", {})}
        shop = Workshop(TINY, place, steps, encoder, False, tmp_path, True, QUIET)
        given = {"variants": {"one": {}}, "seeds": [0], **(cells or {})}
        (cell,) = cells_of([], given["variants"], seeds=given["seeds"])
        return CellFolder(tmp_path, shop.identity(replace(cell, **more))).key

    assert key() == key()
    assert key(**change) != key()


@pytest.mark.parametrize(("agent", "reads"), [("slate_ppo", True), ("supervised", True), ("ease", False)])
def test_what_reads_is_trained_anew_when_texts_are_read_in_another_way(
    agent: str, reads: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Workshop(TINY, {"per_colour": 20}, 128, "hashing", False, tmp_path, True, QUIET)
    (cell,) = cells_of([agent], {}, seeds=[0])
    before = CellFolder(tmp_path, shop.identity(cell)).key
    monkeypatch.setattr("instructrec.experiments.workshop.READING", -1)
    assert (CellFolder(tmp_path, shop.identity(cell)).key != before) == reads


def test_a_cells_hash_does_not_hang_on_the_order_of_settings() -> None:
    assert hash_of({"a": 1, "b": {"c": 2, "d": 3}}) == hash_of({"b": {"d": 3, "c": 2}, "a": 1})


def test_totals_are_read_as_they_were_written(tmp_path: Path) -> None:
    world = tiny_world()
    played = evaluate(world, baselines(world)["parser"], Sessions.first(3, 9), timed_decisions=4)
    own = Totals.of(played)
    write_parts(tmp_path / "parts", {"own": own, "again": Totals.of(played, shown=False)})
    read = read_parts(tmp_path / "parts")
    for metric in played.metrics:
        for found, expected in zip(read["own"].totals(metric), played.totals(metric), strict=True):
            assert np.array_equal(found, expected)
    assert read["own"].shown is not None
    assert np.array_equal(read["own"].shown, played.shown)
    assert read["again"].shown is None
    assert np.array_equal(read["own"].sessions.keys, played.sessions.keys)


def test_a_counting_world_is_the_same_world_and_counts_who_arrives() -> None:
    world = tiny_world()
    counted = counting(world)
    assert counted.fingerprint == world.fingerprint
    start(counted, Sessions.first(0, 5))
    start(counted, Sessions.first(1, 2))
    start(world, Sessions.first(0, 4))
    assert (met(counted), met(world)) == (7, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--agents", "random,random"], "random is given twice"),
        (["--agents", "popularity@own"], "popularity is not fitted to a log"),
        (["--agents", "supervised@ownn"], "did you mean 'own'"),
        (["--agents", "random", "--variant", "odd:widht=3"], "unknown setting 'widht'"),
        (["--agents", "random", "--variant", "odd:scorer.history=sum"], "did you mean 'sums'"),
        (["--agents", "random", "--variant", "odd:agent=random,width=3"], "random learns nothing and has no settings"),
        (["--agents", "random", "--aspects", "edit"], "did you mean 'edits'"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_trained(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["compare", "tiny", *arguments, "--out", str(tmp_path / "c")]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("seeds", [0, -1, 1.5])
def test_a_number_of_seeds_that_trains_nobody_is_refused(seeds: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"1 or more, got {seeds}"):
        _compare(tmp_path / "c", seeds=seeds)
    assert not (tmp_path / "c").exists()


def test_agents_are_trained_without_the_held_out_items_only_where_that_is_asked_for(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(protocol, "_without_items", lambda cells, shop: asked.append(len(cells)) or [])
    _compare(tmp_path / "axes", names=["random"], aspects=("generalisation",))
    assert not asked
    _compare(tmp_path / "items", names=["random"], aspects=("unseen_items",))
    assert asked == [1]

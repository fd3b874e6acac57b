"""`instructrec learn-study`: what is learned from logs of several sizes, and from spoiled feedback."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructrec.agents.baselines import baselines
from instructrec.agents.recording import collect_log
from instructrec.envs.worlds import make_world
from instructrec.experiments import learn_study as studies
from instructrec.experiments.cli import run
from instructrec.experiments.learn_study import Finding, LearnStudy, document_of, learn_study
from instructrec.experiments.learn_study_page import AT_ITS_BEST, LOGGER, START, to_text
from instructrec.experiments.progress import Narrator
from instructrec.experiments.spoiled_feedback import lost, mistaken
from instructrec.logs import Log
from instructrec.policies import plackett_luce

QUIET = Narrator(quiet=True)
SMALL = LearnStudy(
    world="instructrec/Tiny-v0",
    policy="bm25",
    agents=("clone", "ips"),
    sizes=(40, 20),
    noise=(0.5,),
    sparsity=(0.5,),
    spoiled_size=20,
    people=30,
    seeds=2,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    learn_study(SMALL, out=folder, narrator=QUIET)
    return folder


def _results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def test_everybody_is_measured_at_every_size_and_with_spoiled_feedback(whole: Path) -> None:
    found = _results(whole)
    assert [row["agent"] for row in found["references"]] == [LOGGER, AT_ITS_BEST, START, "random", "oracle"]
    assert [size["sessions"] for size in found["sizes"]] == [20, 40]
    assert found["sizes"][0]["turns"] < found["sizes"][1]["turns"]
    for size in found["sizes"]:
        assert [row["agent"] for row in size["rows"]] == ["slate_ppo", "clone", "ips"]
        assert all(row["seeds"] == 2 for row in size["rows"])
    assert [(one["kind"], one["share"]) for one in found["spoiled"]] == [("noise", 0.5), ("sparsity", 0.5)]
    # What was shown is what it was: feedback is nothing to cloning, and something to those that learn from it.
    (clean,) = (size["rows"] for size in found["sizes"] if size["sessions"] == 20)
    for one in found["spoiled"]:
        rows = {row["agent"]: row["return"] for row in one["rows"]}
        before = {row["agent"]: row["return"] for row in clean}
        assert rows["clone"] == before["clone"]
        assert rows["ips"] != before["ips"]


def test_shares_and_differences_are_those_of_the_returns(whole: Path) -> None:
    found = _results(whole)
    fixed = {row["agent"]: row["return"]["value"] for row in found["references"]}
    for size in found["sizes"]:
        values = {row["agent"]: row["return"]["value"] for row in size["rows"]}
        for row in size["rows"]:
            value = values[row["agent"]]
            assert row["above_logger"]["value"] == pytest.approx(value - fixed[LOGGER])
            assert row["above_best"]["value"] == pytest.approx(value - fixed[AT_ITS_BEST])
            assert row["above_start"]["value"] == pytest.approx(value - fixed[START])
            span = fixed["oracle"] - fixed["random"]
            assert row["normalised"]["value"] == pytest.approx((value - fixed["random"]) / span)
            assert row["return"]["low"] <= value <= row["return"]["high"]
        (ips,) = (row for row in size["rows"] if row["agent"] == "ips")
        assert ips["above_clone"]["value"] == pytest.approx(values["ips"] - values["clone"])


def _earned(name: str, mean: float, sessions: int = 0) -> Finding:
    """Returns an agent of whom 40 people earn a mean, each half a point more or less than the next."""
    person = np.arange(40)
    returns = mean + 0.25 * (-1.0) ** person
    return Finding(name, [{"returns": returns.tolist(), "person": person.tolist()}], sessions, 5 * sessions)


@pytest.mark.parametrize(("online", "shares"), [(6.0, {"slate_ppo": 1.0, "clone": 0.0, "ips": 0.75}), (2.0, {})])
def test_a_share_is_of_the_way_from_the_logger_to_the_agent_among_people(
    online: float, shares: dict[str, float]
) -> None:
    people = [_earned("slate_ppo", online, 20), _earned("clone", 2.0, 20), _earned("ips", 5.0, 20)]
    study = replace(SMALL, sizes=(20,), noise=(), sparsity=())
    (size,) = document_of(study, [_earned(LOGGER, 2.0), _earned(START, 1.0), *people])["sizes"]
    found = {row["agent"]: row["share"] for row in size["rows"] if "share" in row}
    assert {name: share["value"] for name, share in found.items()} == pytest.approx(shares), "no way, no shares"


def test_page_picture_and_text_say_it(whole: Path) -> None:
    page, text = (whole / "learn_study.md").read_text(), to_text(_results(whole))
    assert (whole / "learning.png").stat().st_size > 5_000
    assert all(words in page for words in ("learning.png", "From 40 sessions", "50% of the feedback never arrived"))
    assert max(map(len, text.splitlines())) <= 80
    assert "slate_ppo, online" in text
    assert "trained among people" in text
    assert "norm. is" in text
    assert "normalised is" in page
    assert "gained by learning is V − V_start" in page
    assert "share is" not in to_text({**_results(whole), "study": {"online": False}})


def test_a_study_goes_on_from_what_it_has_and_ends_the_same(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "parts")
    gone = min((tmp_path / "parts" / "cells").glob("measured-*"))
    gone.unlink()
    measured = []
    evaluate = studies.evaluate
    monkeypatch.setattr(studies, "evaluate", lambda *given, **more: measured.append(given) or evaluate(*given, **more))
    learn_study(SMALL, out=tmp_path / "parts", narrator=QUIET)
    assert len(measured) == 1
    assert gone.read_bytes() == (whole / "cells" / gone.name).read_bytes()
    first, second = _results(whole), _results(tmp_path / "parts")
    assert (first["references"], first["sizes"], first["spoiled"]) == (
        second["references"],
        second["sizes"],
        second["spoiled"],
    )


@pytest.fixture(scope="module")
def log() -> Log:
    world = make_world("instructrec/Tiny-v0")
    popular = baselines(world)["popularity"]
    return collect_log(world, plackett_luce(popular, world.slate_size, 5.0), 4_000, seed=0)


def test_mistaken_feedback_keeps_how_much_there_is_and_loses_of_what(log: Log) -> None:
    spoiled = mistaken(log, 0.4, seed=1)
    assert spoiled.slates is log.slates
    assert spoiled.observations is log.observations
    assert spoiled.item_rewards.dtype == log.item_rewards.dtype
    assert spoiled.clicked.mean(axis=0) == pytest.approx(log.clicked.mean(axis=0), abs=0.03)
    kept = (spoiled.item_rewards == log.item_rewards).mean()
    assert 0.6 < kept < 1, "some of what is drawn happens to be the same"
    everything = mistaken(log, 1.0, seed=1)
    clicks = log.clicked - log.clicked.mean(axis=0), everything.clicked - everything.clicked.mean(axis=0)
    assert abs(np.mean(clicks[0] * clicks[1])) < 0.01
    again = mistaken(log, 0.4, seed=1)
    assert (again.clicked == spoiled.clicked).all()
    assert (mistaken(log, 0.4, seed=2).clicked != spoiled.clicked).any()


def test_lost_feedback_is_no_click_and_no_reward(log: Log) -> None:
    spoiled = lost(log, 0.75, seed=1)
    assert spoiled.clicked.sum() == pytest.approx(0.25 * log.clicked.sum(), rel=0.15)
    assert not (spoiled.clicked & ~log.clicked).any()
    changed = spoiled.item_rewards != log.item_rewards
    assert (spoiled.item_rewards[changed] == 0).all()
    assert spoiled.item_rewards.dtype == log.item_rewards.dtype


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_from_0_to_1(log: Log, share: float) -> None:
    for spoil in (mistaken, lost):
        with pytest.raises(ValueError, match=f"from 0 to 1, got {share}"):
            spoil(log, share)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("--agents", "slate_ppo"), "learns among people, not from a log"),
        (("--agents", "clown"), "did you mean 'clone'"),
        (("--agents", "clone,clone"), "each once"),
        (("--policy", "oracle"), "oracle sees what is hidden"),
        (("--policy", "slate_ppo"), "has to be trained"),
        (("--temperature", "0"), "--temperature must be above 0"),
        (("--sessions", "0,5"), "logs hold 1 session or more"),
        (("--noise", "0.5,much"), "--noise takes shares"),
        (("--noise", "1.5"), "noise takes shares between 0 and 1"),
        (("--spoiled-sessions", "7"), "one of the sizes, 20; got 7"),
        (("--seeds", "0"), "--seeds"),
        (("--people", "1"), "--people"),
    ],
)
def test_a_mistake_is_a_sentence(
    changed: tuple[str, str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--policy": "bm25", "--sessions": "20", "--out": str(tmp_path / "out"), **dict([changed])}
    typed = [part for pair in given.items() for part in pair]
    assert run(["learn-study", "tiny", *typed]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()

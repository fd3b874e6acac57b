"""`instructrec ope` and `instructrec select`: documents for programs, words for people, and sentences for mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from instructrec.experiments.cli import run
from instructrec.experiments.log_sessions import world_of_log
from instructrec.experiments.ope import Even, Target
from instructrec.log_files import open_log
from instructrec.runs import read_json, write_json

Said = pytest.CaptureFixture[str]
KEYS = {
    "policy", "estimator", "value", "low", "high", "ess", "max_weight", "unsupported", "trusted", "chosen",
}  # fmt: skip


def _logged(folder: Path, *more: str, sessions: int = 1500) -> Path:
    arguments = ["log", "tiny", "--policy", "bm25", "--sessions", str(sessions), "--out", str(folder), *more]
    assert run([*arguments, "--world-set", "turn_limit=1"]) == 0
    return folder


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _logged(tmp_path_factory.mktemp("log"))


def _document(capsys: Said, *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    return found


def test_the_document_has_the_keys_and_types_it_promises(log: Path, capsys: Said) -> None:
    found = _document(capsys, "ope", str(log), "--policies", "bm25@0.7,random")
    assert {row["policy"] for row in found["estimates"]} == {"logged", "bm25@0.7", "random"}
    for row in found["estimates"]:
        assert set(row) == KEYS
        for name in ("value", "low", "high"):
            assert isinstance(row[name], float)
        for name in ("ess", "max_weight", "unsupported"):
            assert row[name] is None or isinstance(row[name], float)
        assert isinstance(row["trusted"], bool)
    for policy in ("logged", "bm25@0.7", "random"):
        assert sum(row["chosen"] for row in found["estimates"] if row["policy"] == policy) == 1
    direct = [row for row in found["estimates"] if row["estimator"] == "direct_method"]
    assert all(row["ess"] is None for row in direct)
    assert (found["sessions"], found["turns"], found["reading"]) == (1500, 1500, "slates")
    mean = open_log(log).read().rewards.mean()
    assert found["behaviour"]["value"] == pytest.approx(mean, abs=1e-6)


def test_the_truth_stands_beside_the_estimates(log: Path, capsys: Said) -> None:
    arguments = ("ope", str(log), "--policies", "bm25@0.7", "--truth", "--truth-sessions", "400")
    found = _document(capsys, *arguments)
    assert all(set(row) == KEYS | {"truth", "relative_error"} for row in found["estimates"])
    span = found["truth"]["oracle"] - found["truth"]["random"]
    row = next(row for row in found["estimates"] if row["policy"] == "bm25@0.7")
    assert row["relative_error"] == pytest.approx((row["value"] - row["truth"]) / span)
    assert found["truth"]["sessions"] == 400
    assert {"covered", "truth_low", "truth_high"} <= set(found["policies"][1])
    assert run(list(arguments)) == 0
    assert "inside the interval" in (told := capsys.readouterr().out) or "outside the interval" in told


def test_what_is_told_fits_eighty_columns_and_names_every_policy(log: Path, capsys: Said) -> None:
    capsys.readouterr()
    assert run(["ope", str(log), "--policies", "bm25@0.7,popularity@0.02,random", "--all"]) == 0
    told = capsys.readouterr().out
    assert max(len(line) for line in told.splitlines()) <= 80
    assert all(name in told for name in ("logged", "bm25@0.7", "popularity@0.02", "random", "sn_slate_dr", "ESS"))
    said = " ".join(told.split())
    assert "not trusted: it is a model's word alone" in said
    assert "is below 1,000: few rows decide" in said


def test_the_temperature_of_all_is_that_of_those_without_their_own(log: Path, capsys: Said) -> None:
    found = _document(capsys, "ope", str(log), "--policies", "bm25,bm25@0.5,random", "--temperature", "0.5")
    values = {row["policy"]: row["value"] for row in found["estimates"] if row["estimator"] == "standard_ips"}
    assert values["bm25"] == pytest.approx(values["bm25@0.5"], abs=1e-9)
    assert values["random"] != pytest.approx(values["bm25"], abs=1e-3)


def test_intervals_are_of_people_like_these_or_of_these_again(log: Path, capsys: Said) -> None:
    for more, same, words in (((), False, "of people like these"), (("--same-people",), True, "of these people in")):
        found = _document(capsys, "select", str(log), "--policies", "bm25@0.7", *more)
        assert (found["same_people"], found["units"]) == (same, 1500)
        for command in ("select", "ope"):
            assert run([command, str(log), "--policies", "bm25@0.7", *more]) == 0
            told = " ".join(capsys.readouterr().out.split())
            assert words in told
            assert ("session by session" if same else "person by person") in told
            assert ("person by person" if same else "session by session") not in told


def test_one_policy_is_picked_or_the_one_that_logged_stays(log: Path, capsys: Said) -> None:
    found = _document(capsys, "select", str(log), "--policies", "bm25@0.6,random", "--truth", "--truth-sessions", "600")
    assert found["selected"] == "bm25@0.6"
    assert [one["policy"] for one in found["ranking"]] == ["bm25@0.6", "random"]
    gain = found["ranking"][0]["gain"]
    assert 0 < gain["low"] < gain["value"] < gain["high"]
    assert found["regret"] == 0
    assert found["best"] == "bm25@0.6"
    kept = _document(capsys, "select", str(log), "--policies", "random")
    assert kept["selected"] == "logged"
    assert "regret" not in kept
    assert run(["select", str(log), "--policies", "random,popularity@0.01"]) == 0
    told = capsys.readouterr().out
    kept_as = "Keep the policy that logged (bm25): random is the best of those that can be trusted"
    assert " ".join(told.split()).startswith(kept_as)
    assert max(len(line) for line in told.splitlines()) <= 80
    assert run(["select", str(log), "--policies", "popularity@0.01"]) == 0
    assert "no other policy has an estimate that can be trusted" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("policies", "more", "words"),
    [
        ("bm52", (), "did you mean 'bm25'"),
        ("slate_ppo", (), "has to be trained: give its run folder"),
        ("oracle", (), "oracle sees what is hidden"),
        ("bm25@0", (), "a temperature is above 0"),
        ("bm25@-1", (), "a temperature is above 0"),
        ("bm25@nan", (), "a temperature is above 0"),
        ("bm25@warm", (), "behind @ stands a temperature, such as popularity@0.5"),
        ("random@2", (), "any slate with the same probability"),
        ("bm25", ("--temperature", "0"), "--temperature must be above 0"),
        (",", (), "--policies names none"),
        ("bm25", ("--truth", "--truth-sessions", "1"), "--truth-sessions must be 2 or more"),
        ("slate_ppo=nowhere@0.5", (), "there is no run folder nowhere"),
    ],
)
def test_a_mistake_is_a_sentence(policies: str, more: tuple[str, ...], words: str, log: Path, capsys: Said) -> None:
    assert run(["ope", str(log), "--policies", policies, *more]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_what_cannot_be_evaluated_is_refused_with_what_to_do(log: Path, tmp_path: Path, capsys: Said) -> None:
    def refused(folder: Path, *more: str) -> str:
        assert run(["ope", str(folder), "--policies", "bm25@2", *more]) == 2
        return " ".join(capsys.readouterr().err.split())

    assert "holds no log" in refused(tmp_path)
    fixed = _logged(tmp_path / "fixed", "--deterministic", sessions=20)
    assert "record a log with a policy that draws" in refused(fixed)

    other = shutil.copytree(log, tmp_path / "other")
    manifest = read_json(other / "manifest.json")
    manifest["plan"]["world"]["fingerprint"] = "0123456789abcdef"
    write_json(other / "manifest.json", manifest)
    assert "make that world" in refused(other)

    empty = shutil.copytree(log, tmp_path / "empty")
    write_json(empty / "manifest.json", read_json(log / "manifest.json") | {"shards": []})
    assert "holds no turns yet" in refused(empty)

    broken = shutil.copytree(log, tmp_path / "broken")
    shard = broken / "turns-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:100])
    assert "is damaged" in refused(broken)

    turns = ["log", "tiny", "--policy", "bm25", "--sessions", "20", "--out", str(tmp_path / "turns")]
    assert run(turns) == 0
    assert "leave out --slates to compare sessions" in refused(tmp_path / "turns", "--slates", "--truth")


def test_a_run_folder_may_hold_the_sign_of_temperatures() -> None:
    assert Target.read("slate_ppo=runs/me@home") == Target("slate_ppo=runs/me@home", "slate_ppo=runs/me@home", None)
    assert Target.read("slate_ppo=runs/demo@0.3").temperature == 0.3


def test_chance_as_a_ranker_has_the_same_probabilities(log: Path) -> None:
    from instructrec.experiments.competitors import untrained
    from instructrec.policies import plackett_luce

    opened = open_log(log)
    world = world_of_log(opened)
    found = opened.log(world)
    drawn = plackett_luce(Even(world.catalogue.num_items), world.slate_size)
    chance: Any = untrained(["random"], world)["random"]
    mine, theirs = (each.log_prob(found.observations, found.slates) for each in (drawn, chance))
    assert mine == pytest.approx(theirs, abs=1e-12)


def test_an_imported_log_is_asked_by_probabilities_alone(log: Path, tmp_path: Path, capsys: Said) -> None:
    assert run(["export-log", str(log), "--format", "table", "--out", str(tmp_path / "table.csv")]) == 0
    assert run(["import-log", str(tmp_path / "table.csv"), "--out", str(tmp_path / "log")]) == 0
    (mine,) = [path for path in [tmp_path / "mine.csv"] if path.write_text(_chances(log, "bm25", 0.7))]
    imported = _document(capsys, "ope", str(tmp_path / "log"), "--policies", f"mine={mine},random")
    known = _document(capsys, "ope", str(log), "--policies", "bm25@0.7,random")
    for name, other in ((f"mine={mine}", "bm25@0.7"), ("random", "random"), ("logged", "logged")):
        for row in [row for row in imported["estimates"] if row["policy"] == name]:
            (same,) = [
                each for each in known["estimates"] if (each["policy"], each["estimator"]) == (other, row["estimator"])
            ]
            assert row["value"] == pytest.approx(same["value"], abs=1e-5)
            assert row["ess"] == pytest.approx(same["ess"], rel=1e-4)
    assert imported["behaviour"]["value"] == pytest.approx(known["behaviour"]["value"], abs=1e-6)
    assert {row["estimator"] for row in imported["estimates"]} == {
        f"{normalised}{name}" for normalised in ("", "sn_") for name in ("standard_ips", "reward_interaction_ips")
    }
    assert run(["ope", str(tmp_path / "log"), "--policies", "random", "--truth"]) == 2
    assert "there is no world to play policies in" in " ".join(capsys.readouterr().err.split())
    assert run(["ope", str(tmp_path / "log"), "--policies", "bm25"]) == 2
    assert "give random, NAME=FILE" in " ".join(capsys.readouterr().err.split())
    assert run(["select", str(tmp_path / "log"), "--policies", f"random,mine={mine}"]) == 0
    assert "The rule:" in capsys.readouterr().out


def _chances(folder: Path, name: str, temperature: float) -> str:
    """Returns a policy's probabilities of what a log shows, as a table that people would write."""
    from instructrec.experiments.log_sessions import behaviour

    log = open_log(folder)
    world = world_of_log(log)
    policy, _ = behaviour(name, world, temperature=temperature)
    lines = ["session,turn,position,log_propensity"]
    for part, turns in zip(log.logs(world), log.shards(), strict=True):
        chances = policy.log_prob(part.observations, part.slates)
        for row, lane in enumerate(turns.lane.tolist()):
            lines += [f"{lane},0,{place},{chances[row, place]!r}" for place in range(chances.shape[1])]
    return "\n".join(line.replace("np.float64(", "").replace(")", "") for line in lines)

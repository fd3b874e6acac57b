"""What others logged becomes a log with the same promises, and what is wrong with it is said by file and line."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instructrec import runs
from instructrec.envs.import_log import import_log
from instructrec.envs.target_policies import target_log_probs
from instructrec.envs.tiny import tiny_world
from instructrec.experiments.cli import run
from instructrec.experiments.log_sessions import world_of_log
from instructrec.experiments.open_bandit import cross_check, earned, evaluated, to_text
from instructrec.log_files import open_log
from instructrec.runs import RunError

# Two visits, the second one first in places; the first has two turns.
LONG = """session,turn,position,item,propensity,reward,clicked,person,instruction
a,1,1,x,0.5,1.5,1,ann,red
a,1,2,y,0.25,0,0,ann,red
b,1,1,z,0.125,0,0,bob,
b,1,2,x,1,0,0,bob,
a,2,2,x,0.5,2,1,ann,blue
a,2,1,z,0.75,0,0,ann,blue
"""
WIDE = """visit,shown,p,euros,who,said
a,x|y,0.5|0.25,1.5|0,ann,red
b,"[""z"",""x""]","[0.125, 1]","[0, 0]",bob,
a,z|x,0.75|0.5,0|2,ann,blue
"""
NAMES = {"session": "visit", "slate": "shown", "propensity": "p", "reward": "euros", "person": "who",
         "instruction": "said"}  # fmt: skip
BANDIT = ",timestamp,item_id,position,click,propensity_score," + ",".join(f"user_feature_{n}" for n in range(4)) + "\n"
CONTEXT = ",item_id,item_feature_0\n0,0,-0.5\n1,1,0.7\n2,2,0.9\n3,3,0.1\n"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def campaign(folder: Path, chances: list[float], rows: int = 4000, seed: int = 0) -> Path:
    """Writes a campaign whose policy shows four items with fixed chances; item n is clicked with chance n / 10."""
    rng = np.random.default_rng(seed)
    items = rng.choice(4, rows, p=chances)
    clicks = rng.random(rows) < items / 10
    lines = [
        f"{row},2019-11-24,{item},{row % 3 + 1},{int(click)},{chances[item]},u{row % 97},b,c,d\n"
        for row, (item, click) in enumerate(zip(items.tolist(), clicks.tolist(), strict=True))
    ]
    put(folder / "item_context.csv", CONTEXT)
    put(folder / "men.csv", BANDIT + "".join(lines))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != runs.LOCK}


# --- Tables ------------------------------------------------------------------------------------------------------


def test_a_table_of_shown_items_becomes_a_log(tmp_path: Path) -> None:
    log = import_log([put(tmp_path / "log.csv", LONG)], tmp_path / "log", policy="mine")
    turns, (ids, titles) = log.read(), log.items()
    assert ids == titles == ("x", "y", "z")
    assert log.session_ids() == ["a", "b"]
    assert (log.is_whole, log.num_sessions, len(log)) == (True, 2, 3)
    np.testing.assert_array_equal(turns.lane, [0, 0, 1])
    np.testing.assert_array_equal(turns.turn, [0, 1, 0])
    np.testing.assert_array_equal(turns.person, [0, 0, 1])
    np.testing.assert_array_equal(turns.slates, [[0, 1], [2, 0], [2, 0]])
    np.testing.assert_allclose(np.exp(turns.log_probs), [[0.5, 0.25], [0.75, 0.5], [0.125, 1]], rtol=1e-15)
    np.testing.assert_array_equal(turns.item_rewards, [[1.5, 0], [0, 2], [0, 0]])
    np.testing.assert_array_equal(turns.rewards, [1.5, 2, 0])
    np.testing.assert_array_equal(turns.clicked, [[1, 0], [0, 1], [0, 0]])
    assert [turns.texts[number] for number in turns.instruction.tolist()] == ["red", "blue", ""]
    np.testing.assert_array_equal(turns.terminated, [False, True, True])
    assert turns.texts[int(turns.next_instruction[0])] == "blue"
    world = log.plan.world
    assert (world.imported, world.slate_size, world.turn_limit, world.num_items) == ("table", 2, 2, 3)
    assert log.plan.policy.name == "mine"


def same_turns(one: Path, other: Path) -> None:
    mine, theirs = open_log(one), open_log(other)
    turns, others = mine.read(), theirs.read()
    for name in ("turn", "slates", "log_probs", "item_rewards", "rewards", "clicked", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(turns, name), getattr(others, name), err_msg=name)
    for name in ("instruction", "next_instruction"):
        said, heard = ([part.texts.get(n) for n in getattr(part, name).tolist()] for part in (turns, others))
        assert said == heard
    np.testing.assert_array_equal(np.unique(turns.person, return_inverse=True)[1],
                                  np.unique(others.person, return_inverse=True)[1])  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_whole_slates_in_a_row_are_the_same_log(kind: str, tmp_path: Path) -> None:
    import_log([put(tmp_path / "long.csv", LONG)], tmp_path / "long")
    path = put(tmp_path / "wide.csv", WIDE)
    if kind == "parquet":
        path = tmp_path / "wide.parquet"
        columns = {
            "visit": ["a", "b", "a"], "shown": [["x", "y"], ["z", "x"], ["z", "x"]],
            "p": [[0.5, 0.25], [0.125, 1.0], [0.75, 0.5]], "euros": [[1.5, 0.0], [0.0, 0.0], [0.0, 2.0]],
            "who": ["ann", "bob", "ann"], "said": ["red", "", "blue"],
        }  # fmt: skip
        pq.write_table(pa.table(columns), path)
    import_log([path], tmp_path / "wide", columns=NAMES)
    same_turns(tmp_path / "wide", tmp_path / "long")


def test_logarithms_and_several_files_are_the_same_log(tmp_path: Path) -> None:
    import_log([put(tmp_path / "long.csv", LONG)], tmp_path / "long")
    head, *rows = LONG.splitlines(keepends=True)
    logs = [head.replace("propensity", "lp")]
    for row in rows:
        cells = row.split(",")
        cells[4] = repr(math.log(float(cells[4])))
        logs.append(",".join(cells))
    parts = [put(tmp_path / f"{n}.csv", "".join([logs[0], *logs[1:][half]])) for n, half in
             enumerate((slice(0, 3), slice(3, None)))]  # fmt: skip
    import_log(parts, tmp_path / "logs", columns={"log_propensity": "lp"})
    same_turns(tmp_path / "logs", tmp_path / "long")


def test_a_table_of_items_says_what_else_might_have_been_shown(tmp_path: Path) -> None:
    items = put(tmp_path / "items.csv", "item_id,title\nw,A w\nz,A z\ny,A y\nx,An x\n")
    log = import_log([put(tmp_path / "log.csv", LONG)], tmp_path / "log", items=items)
    assert log.items() == (("w", "z", "y", "x"), ("A w", "A z", "A y", "An x"))
    np.testing.assert_array_equal(log.read().slates, [[3, 2], [1, 3], [1, 3]])
    put(items, "item_id\nx\ny\n")
    with pytest.raises(ValueError, match=r"log\.csv, line 4: item is 'z', which the table of items lacks"):
        import_log([tmp_path / "log.csv"], tmp_path / "other", items=items)


def test_candidates_are_kept(tmp_path: Path) -> None:
    text = "slate,propensity,clicked,candidates\nx|y,0.5|0.5,1|0,x|y|z\nz|w,0.5|0.5,0|0,w|x|z\n"
    log = import_log([put(tmp_path / "log.csv", text)], tmp_path / "log")
    assert log.items()[0] == ("w", "x", "y", "z")
    np.testing.assert_array_equal(log.read().candidates, [[1, 2, 3], [0, 1, 3]])
    np.testing.assert_allclose(np.exp(target_log_probs("random", log)), [[1 / 3, 1 / 2]] * 2)


BROKEN = [
    ("propensity,", "chance,", "line 1: no column for 'propensity', nor for 'log_propensity'"),
    ("reward,clicked", "r,c", "line 1: no column for 'reward', nor for 'clicked'"),
    ("session,", "visit,", "no column for 'session'"),
    ("x,0.5,1.5", "x,,1.5", r"line 2: propensity is '', expected a probability, above 0 and at most 1; without it"),
    ("x,0.5,1.5", "x,0,1.5", r"line 2: propensity is '0', .*what was shown had a chance above 0"),
    ("x,0.5,1.5", "x,1.2,1.5", r"line 2: propensity is '1\.2', .*divide percentages by 100"),
    ("x,0.5,1.5", "x,nan,1.5", r"line 2: propensity is 'nan', expected a probability"),
    ("x,0.5,1.5", "x,often,1.5", r"line 2: propensity is 'often', expected a probability"),
    ("x,0.5,1.5", "x,-0.7,1.5", r"line 2: propensity is '-0\.7', .*say log_propensity=propensity"),
    ("x,0.5,1.5", "x,0.5,much", r"line 2: reward is 'much', expected a finite number"),
    ("1.5,1,ann", "1.5,2,ann", r"line 2: clicked is '2', expected 1 or 0"),
    ("a,1,2,y", "a,1,1,y", r"line 3: position 1 of this slate stood on line 2 already"),
    ("a,1,2,y", "a,1,3,y", r"line 3: position is 3, expected 2"),
    ("a,1,2,y", "a,1,2,x", r"line 3: item 'x' stands in this slate twice"),
    ("a,1,2,y,0.25,0,0,ann,red\n", "", r"line 2: this slate has 1 items, and most have 2"),
    ("a,1,2,y,0.25,0,0,ann", "a,1,2,y,0.25,0,0,bob", r"line 3: the person is another"),
    ("ann,red\nb", "ann,blue\nb", r"line 3: the instruction is another"),
    ("a,1,1,x", ",1,1,x", r"line 2: session is empty"),
    ("a,1,1,x", "a,one,1,x", r"line 2: turn is 'one', expected a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words"), BROKEN)
def test_a_mistake_is_told_with_its_line_and_nothing_is_written(old: str, new: str, words: str, tmp_path: Path) -> None:
    assert old in LONG
    path = put(tmp_path / "log.csv", LONG.replace(old, new, 1))
    with pytest.raises(ValueError, match=words) as told:
        import_log([path], tmp_path / "log")
    told.match(r"log\.csv")
    assert not (tmp_path / "log").exists()


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    for place, kind, words in (
        (put(tmp_path / "empty.csv", ""), ValueError, "is empty; expected a first line"),
        (put(tmp_path / "head.csv", LONG.splitlines()[0] + "\n"), ValueError, "has a header but no rows"),
        (tmp_path / "gone.csv", FileNotFoundError, "there is no file"),
        (tmp_path, ValueError, "is a folder; name the tables in it"),
    ):
        with pytest.raises(kind, match=words):
            import_log([place], tmp_path / "log")
    with pytest.raises(ValueError, match="unknown format of logs 'tabel'; did you mean 'table'"):
        import_log([tmp_path / "head.csv"], tmp_path / "log", data_format="tabel")
    with pytest.raises(ValueError, match=r"unknown role 'propensty'; did you mean 'propensity'"):
        import_log([put(tmp_path / "log.csv", LONG)], tmp_path / "log", columns={"propensty": "propensity"})
    with pytest.raises(ValueError, match=r"unknown column for 'item' 'itm'; did you mean 'item'"):
        import_log([tmp_path / "log.csv"], tmp_path / "log", columns={"item": "itm"})
    assert not (tmp_path / "log").exists()


def test_an_imported_log_has_no_world_and_says_so(tmp_path: Path) -> None:
    log = import_log([put(tmp_path / "log.csv", LONG)], tmp_path / "log")
    for use in (lambda: log.check_world(tiny_world()), lambda: world_of_log(log), lambda: log.log(tiny_world())):
        with pytest.raises(RunError, match=r"was imported from log\.csv \(table\): its world cannot be made"):
            use()


# --- Kills, full disks, other files ------------------------------------------------------------------------------


@pytest.mark.parametrize("deadly", [1, 3, 5, 7, 8])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_killed_and_imported_again_it_is_the_log_that_was_never_killed(deadly, tmp_path, killed_at, monkeypatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr("instructrec.envs.import_log.TURNS_PER_SHARD", 2)
    path = put(tmp_path / "log.csv", LONG)
    import_log([path], tmp_path / "whole")
    code, _ = killed_at(lambda: import_log([path], tmp_path / "killed"), deadly)
    assert code == -signal.SIGKILL
    if (tmp_path / "killed" / "manifest.json").exists():
        rest = open_log(tmp_path / "killed")
        assert sum(len(part) for part in rest.shards()) == len(rest) < 3 or rest.is_whole
    import_log([path], tmp_path / "killed")
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert len(open_log(tmp_path / "whole").manifest.shards) == 2


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="the disk is full"):
        import_log([put(tmp_path / "log.csv", LONG)], tmp_path / "log")
    assert not [path for path in (tmp_path / "log").iterdir() if path.name.endswith((".part", ".parquet", ".json"))]


def test_one_folder_holds_one_import(tmp_path: Path) -> None:
    path = put(tmp_path / "log.csv", LONG)
    import_log([path], tmp_path / "log")
    before = files(tmp_path / "log")
    import_log([path], tmp_path / "log")
    put(path, LONG.replace("1.5", "2.5"))
    with pytest.raises(RunError, match="holds a log of another plan"):
        import_log([path], tmp_path / "log")
    assert files(tmp_path / "log") == before


# --- The Open Bandit Dataset -------------------------------------------------------------------------------------


def test_a_campaign_is_sessions_of_one_item_at_a_position(tmp_path: Path) -> None:
    log = import_log([campaign(tmp_path / "men", [0.1, 0.2, 0.3, 0.4])], tmp_path / "log", data_format="open-bandit")
    turns = log.read()
    assert (len(log), log.plan.world.slate_size, log.plan.world.num_items) == (4000, 1, 4)
    assert log.items()[0] == ("0", "1", "2", "3")
    np.testing.assert_allclose(np.exp(turns.log_probs[:, 0]), (turns.slates[:, 0] + 1) / 10)
    np.testing.assert_array_equal(turns.item_rewards, turns.clicked)
    assert [turns.texts[n] for n in turns.instruction[:4].tolist()] == [f"position {p}" for p in (1, 2, 3, 1)]
    assert len(np.unique(turns.person)) == 97
    assert log.session_ids()[:2] == ["0", "1"]
    with pytest.raises(ValueError, match="says its columns and items itself"):
        import_log([tmp_path / "men"], tmp_path / "other", data_format="open-bandit", columns={"item": "item_id"})


@pytest.mark.parametrize(("old", "new", "words"), [
    (",0.4,", ",0,", "propensity_score is '0', expected a probability, above 0"),
    (",0.4,", ",1.5,", r"propensity_score is '1\.5', .*at most 1"),
    ("propensity_score", "pscore", "'propensity_score' is missing"),
])  # fmt: skip
def test_what_is_wrong_with_a_campaign_is_told(old: str, new: str, words: str, tmp_path: Path) -> None:
    place = campaign(tmp_path / "men", [0.1, 0.2, 0.3, 0.4], rows=50) / "men.csv"
    put(place, place.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=words):
        import_log([tmp_path / "men"], tmp_path / "log", data_format="open-bandit")
    with pytest.raises(FileNotFoundError, match=r"holds no CAMPAIGN\.csv"):
        import_log([put(tmp_path / "none" / "a.txt", "").parent], tmp_path / "log", data_format="open-bandit")


def test_each_log_tells_what_the_other_ones_policy_earns(tmp_path: Path) -> None:
    chances = {"random": [0.25] * 4, "bts": [0.1, 0.2, 0.3, 0.4]}
    logs = {
        name: import_log([campaign(tmp_path / name, each, 20_000, seed)], tmp_path / f"{name}-log",
                         data_format="open-bandit", policy=name)
        for seed, (name, each) in enumerate(chances.items())
    }  # fmt: skip
    worth = {name: sum(n / 10 * chance for n, chance in enumerate(each)) for name, each in chances.items()}
    rows = cross_check(logs)
    assert [(row["log"], row["policy"]) for row in rows] == [("bts", "random"), ("random", "bts")]
    for row in rows:
        found = row["choice"].chosen
        assert found.trusted
        assert abs(found.value - worth[row["policy"]]) < 4 * found.error < 0.03
        assert abs(row["truth"].value - worth[row["policy"]]) < 4 * row["truth"].error
    assert all(len(line) <= 80 for line in to_text("men", rows).splitlines())
    # The policy of its own log is worth what the log earned: weights are 1.
    own = evaluated(logs["random"], "random").estimates[0]
    assert own.value == pytest.approx(earned(logs["random"]).value)
    np.testing.assert_allclose(own.ess, 20_000)


# --- Policies ----------------------------------------------------------------------------------------------------

POLICY = """session,turn,position,propensity
b,1,1,0.1
b,1,2,0.2
a,1,1,0.3
a,1,2,0.4
a,2,1,0
a,2,2,1
elsewhere,1,1,0.5
"""


def test_a_policy_of_ones_own_is_laid_beside_the_log(tmp_path: Path) -> None:
    log = import_log([put(tmp_path / "log.csv", LONG)], tmp_path / "log")
    found = target_log_probs(f"mine={put(tmp_path / 'mine.csv', POLICY)}", log)
    np.testing.assert_allclose(np.exp(found), [[0.3, 0.4], [0, 1], [0.1, 0.2]])
    np.testing.assert_allclose(np.exp(target_log_probs("random", log)), [[1 / 3, 1 / 2]] * 3)
    table = {"session": ["a", "a", "a", "a", "b", "b"], "turn": [0, 0, 1, 1, 0, 0], "position": [0, 1] * 3,
             "log_propensity": np.log([0.3, 0.4, 0.5, 1, 0.1, 0.2])}  # fmt: skip
    pq.write_table(pa.table(table), tmp_path / "mine.parquet")
    found = target_log_probs(f"mine={tmp_path / 'mine.parquet'}", log)
    np.testing.assert_array_equal(found.ravel(), table["log_propensity"])


@pytest.mark.parametrize(("old", "new", "words"), [
    ("a,2,2,1\n", "", r"lacks 1 of 6 probabilities, first that of session 'a', turn 1, position 1; give one for each"),
    ("0.3", "nan", r"mine\.csv, line 4: propensity is 'nan', expected a probability, 0 or more and at most 1"),
    ("0.3", "1.3", r"line 4: propensity is '1\.3'"),
    ("0.3", "", r"line 4: propensity is ''"),
    ("a,2,2", "a,2,1", r"line 7: turn 1, position 0 of session 'a' stood there before"),
    ("b,1,2", "b,9,2", r"line 3: session 'b' of .* has no turn 8, position 1"),
    ("session", "visit", "the column 'session' is missing"),
    ("propensity", "p", "the column 'propensity' is missing"),
    ("turn", "t", "the column 'turn' is missing"),
])  # fmt: skip
def test_a_policys_mistakes_are_told(old: str, new: str, words: str, tmp_path: Path) -> None:
    log = import_log([put(tmp_path / "log.csv", LONG)], tmp_path / "log")
    path = put(tmp_path / "mine.csv", POLICY.replace(old, new, 1))
    with pytest.raises(ValueError, match=words):
        target_log_probs(f"mine={path}", log)


def test_what_is_no_policy_is_told(tmp_path: Path) -> None:
    log = import_log([put(tmp_path / "log.csv", LONG)], tmp_path / "log")
    for policy, kind, words in (
        ("bm25", ValueError, "'bm25' is no policy for .*, a log without a world: give random, NAME=FILE"),
        (f"mine={tmp_path / 'gone.csv'}", FileNotFoundError, "does not exist"),
        (f"mine={tmp_path}", ValueError, "is a folder and no log"),
        (f"mine={tmp_path / 'log'}", ValueError, "can be counted only where slates have one item"),
    ):
        with pytest.raises(kind, match=words):
            target_log_probs(policy, log)


# --- The command -------------------------------------------------------------------------------------------------


def test_the_command_imports_and_says_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path / "log.csv", LONG.replace("item", "sku"))
    command = ["import-log", str(path), "--out", str(tmp_path / "log"), "--columns", "item=sku", "--policy", "mine"]
    assert run(command) == 0
    told = capsys.readouterr()
    assert "log.csv (table): 2 sessions, 3 turns," in told.out
    assert "slates of 2 from 3 items, shown by mine." in told.out
    assert run([*command, "--json"]) == 0
    told = capsys.readouterr()
    assert "holds 2 of 2 sessions already" in told.err
    assert json.loads(told.out)["world"]["imported"] == "table"
    assert run([*command[:4], "--columns", "item=skuu"]) == 2
    assert "did you mean 'sku'" in " ".join(capsys.readouterr().err.split())

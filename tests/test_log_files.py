"""A log on disk is exactly what happened, survives a kill, and says what is wrong with it."""

import errno
import hashlib
import importlib
import json
import os
import signal
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instructrec import log_shards, runs
from instructrec.agents.baselines import baselines
from instructrec.agents.recording import collect_log
from instructrec.candidates import RandomCandidates
from instructrec.envs import make_world, world_of
from instructrec.envs.tiny import tiny_world
from instructrec.log_files import open_log, writing
from instructrec.log_manifest import LoggedPolicy, LoggedWorld, LogPlan, Manifest
from instructrec.log_recording import play, record_log
from instructrec.log_shards import decode_turns, encode_turns
from instructrec.policies import Greedy, plackett_luce
from instructrec.protocols import Instruction, Reaction
from instructrec.runs import RunError
from instructrec.sessions import Sessions
from instructrec.turns import Turns

SESSIONS, PER_SHARD = 100, 30


class Talker:
    """Says what is in no bank."""

    def arrive(self, rng):
        return Instruction(f"number {int(rng.integers(1_000))}, please")

    def react(self, slate, rng):
        said = Instruction(f"no, {int(rng.integers(1_000))}") if rng.random() < 0.5 else None
        return Reaction(clicked=(1,), next=said, left=bool(rng.random() < 0.3))


def with_candidates():
    world = tiny_world()
    return replace(world, candidates=RandomCandidates(world.catalogue, 8))


def talking():
    return world_of(Talker, tiny_world().catalogue, slate_size=3, turn_limit=4)


def movies():
    return make_world("instructrec/Movies-v0", bank_size=200)


def policy_of(world, name="bm25"):
    found = baselines(world)[name]
    return found if hasattr(found, "act") else plackett_luce(found, world.slate_size, 0.5)


def plan_of(world, **settings):
    policy = LoggedPolicy(name="bm25", temperature=0.5, fingerprint="of the policy")
    given = {"sessions": SESSIONS, "sessions_per_shard": PER_SHARD, "seed": 3, **settings}
    return LogPlan(world=LoggedWorld.of(world), policy=policy, **given)


def record(folder, world=None, name="bm25", **settings):
    world = tiny_world() if world is None else world
    return record_log(world, policy_of(world, name), plan_of(world, **settings), folder)


def same(one, other):
    assert dict(one.texts) == dict(other.texts)
    arrays = dict(other.arrays())
    assert [name for name, _ in one.arrays()] == list(arrays)
    for name, array in one.arrays():
        assert array.dtype == arrays[name].dtype, name
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != runs.LOCK}


# --- What is read is what happened -------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [tiny_world, with_candidates, talking])
def test_what_is_read_is_what_happened(make, tmp_path):
    world = make()
    log = record(tmp_path, world)
    played, _ = play(world, policy_of(world), Sessions.first(3, SESSIONS))
    same(log.read(), played)
    assert len(log) == len(played)
    assert log.num_sessions == SESSIONS
    assert log.is_whole


def test_shards_one_after_the_other_are_the_whole_log(tmp_path):
    log = record(tmp_path)
    parts = list(log.shards())
    assert [len(np.unique(part.lane)) for part in parts] == [30, 30, 30, 10]
    whole = log.read()
    for name, array in whole.arrays():
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), array)


def test_a_session_alone_equals_the_same_one_in_a_log(tmp_path):
    whole, world = record(tmp_path).read(), tiny_world()
    for lane in (0, 31, 99):
        alone, _ = play(world, policy_of(world), Sessions.first(3, np.array([lane])))
        mine = whole.rows(whole.lane == lane)
        for name, array in alone.arrays():
            np.testing.assert_array_equal(array, getattr(mine, name), err_msg=name)


@pytest.mark.parametrize(("make", "name"), [(tiny_world, "popularity"), (with_candidates, "bm25"), (talking, "random"),
                                            (movies, "parser")])  # fmt: skip
def test_observations_are_rebuilt_as_they_were(make, name, tmp_path):
    world = make()
    log = record(tmp_path, world, name, sessions=40)
    # The world that reads is another object, which heard nobody.
    found = log.log(make())
    lived = collect_log(world, policy_of(world, name), len(log), seed=3, num_envs=40)
    order = np.lexsort((lived.observations.turn, lived.session))
    lived = lived.rows(order)
    np.testing.assert_array_equal(found.session, lived.session)
    for part in ("slates", "clicked", "item_rewards", "ended"):
        np.testing.assert_array_equal(getattr(found, part), getattr(lived, part), err_msg=part)
    seen, saw = found.observations, lived.observations
    for part in ("instruction", "said", "past", "past_ratings", "slates", "clicked", "turn"):
        np.testing.assert_array_equal(getattr(seen, part), getattr(saw, part), err_msg=part)
        assert getattr(seen, part).dtype == getattr(saw, part).dtype, part
    assert seen.texts.strings(seen.instruction) == saw.texts.strings(saw.instruction)
    if saw.candidates is not None:
        np.testing.assert_array_equal(seen.candidates, saw.candidates)


@pytest.mark.parametrize(("make", "name"), [(tiny_world, "bm25"), (with_candidates, "popularity"),
                                            (with_candidates, "random"), (movies, "parser")])  # fmt: skip
def test_propensities_are_those_of_the_policy_recomputed(make, name, tmp_path):
    world = make()
    log = record(tmp_path, world, name, sessions=40)
    for part in log.logs(make()):
        np.testing.assert_allclose(
            part.log_probs, policy_of(world, name).log_prob(part.observations, part.slates), atol=1e-6
        )
        assert part.log_probs.dtype == np.float64


def test_the_manifest_says_what_is_the_same_for_all(tmp_path):
    record(tmp_path, truth=True)
    document = json.loads((tmp_path / "manifest.json").read_text())
    assert document["plan"]["world"]["fingerprint"] == tiny_world().fingerprint
    assert document["plan"]["policy"]["temperature"] == 0.5
    assert (document["plan"]["sessions"], document["plan"]["seed"], document["plan"]["truth"]) == (SESSIONS, 3, True)
    for shard in document["shards"]:
        path = tmp_path / f"turns-{shard['number']:05d}.parquet"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == shard["sha256"]
        assert pq.read_metadata(path).num_rows == shard["rows"]


def test_other_programs_read_fixed_size_lists_and_words(tmp_path):
    record(tmp_path)
    table = pq.read_table(tmp_path / "turns-00000.parquet")
    whole = next(open_log(tmp_path).shards())
    assert table.column_names == [
        "seed", "lane", "ordinal", "person", "turn", "instruction_id", "instruction", "slate", "log_propensity",
        "item_reward", "reward", "clicked", "next_instruction_id", "next_instruction", "terminated", "truncated",
    ]  # fmt: skip
    assert table.schema.field("log_propensity").type.list_size == 3
    assert table["slate"].to_pylist() == whole.slates.tolist()
    assert table["instruction"].to_pylist() == [whole.texts[number] for number in whole.instruction.tolist()]
    left = np.array([text is None for text in table["next_instruction"].to_pylist()])
    np.testing.assert_array_equal(left, whole.terminated)
    items = pq.read_table(tmp_path / "items.parquet")
    assert items["title"].to_pylist() == list(tiny_world().catalogue.titles)


# --- What is hidden ----------------------------------------------------------------------------------------------


def test_what_is_hidden_lies_apart_and_only_where_asked_for(tmp_path):
    log = record(tmp_path / "truth", truth=True)
    turns, truth = log.read(), log.read_truth()
    for name in ("seed", "lane", "ordinal", "turn"):
        np.testing.assert_array_equal(truth[name], getattr(turns, name))
    # A bait that is clicked satisfies nobody; what is of the right colour is liked.
    assert set(truth) - {"seed", "lane", "ordinal", "turn"} == {"satisfaction", "goal_met", "expected_utility"}
    right = truth["expected_utility"] > 0.5
    np.testing.assert_allclose(truth["goal_met"], right.mean(axis=1), atol=1e-6)
    assert (truth["satisfaction"][turns.clicked.any(axis=1) & ~turns.terminated] > 0).all()
    plain = record(tmp_path / "plain")
    assert not list(plain.folder.glob("truth-*"))
    with pytest.raises(RunError, match="keeps nothing hidden"):
        plain.read_truth()
    same(plain.read(), turns)


def test_what_a_worlds_people_do_not_have_is_absent(tmp_path):
    truth = record(tmp_path, talking(), truth=True).read_truth()
    assert set(truth) == {"seed", "lane", "ordinal", "turn"}
    table = pq.read_table(tmp_path / "truth-00000.parquet")
    assert table["trust"].null_count == table["examined"].null_count == table.num_rows > 0


# --- Kills, full disks, other plans ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory, killed_at):
    """A log that was never killed, and how many system calls made it last."""
    folder = tmp_path_factory.mktemp("unharmed")
    code, calls = killed_at(lambda: record(folder, truth=True), 0)
    assert code == 0
    return files(folder), calls


@pytest.mark.parametrize("share", [0.01, 0.2, 0.35, 0.5, 0.65, 0.8, 0.99])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_killed_and_recorded_again_it_is_the_log_that_was_never_killed(unharmed, tmp_path, share, killed_at):
    whole, calls = unharmed
    assert killed_at(lambda: record(tmp_path, truth=True), max(int(calls * share), 1))[0] == -signal.SIGKILL
    if (tmp_path / "manifest.json").exists():
        # What is listed is whole, whatever else lies there.
        rest = open_log(tmp_path)
        assert sum(len(part) for part in rest.shards()) == len(rest)
        assert sum(len(part["turn"]) for part in rest.truth_shards()) == len(rest)
        listed = {name: whole[name] for shard in rest.manifest.shards for name in shard.files}
        kept = {name: (tmp_path / name).stat().st_mtime_ns for name in listed}
        assert {name: (tmp_path / name).read_bytes() for name in listed} == listed
    else:
        kept = {}
    record(tmp_path, truth=True)
    assert files(tmp_path) == whole
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == kept, "a whole shard was written again"


def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path, monkeypatch):
    calls, real = [], os.fsync

    def full(handle):
        calls.append(handle)
        if len(calls) == 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"the disk is full: .*turns-0000\d\.parquet could not be written"):
        record(tmp_path)
    monkeypatch.undo()
    log = open_log(tmp_path)
    assert 0 < len(log.manifest.shards) < 4
    assert not log.is_whole
    assert len(log.read()) == len(log)
    assert not [name for name in files(tmp_path) if name.endswith(".part")]
    record(tmp_path)
    record(tmp_path / "other")
    assert open_log(tmp_path).manifest == open_log(tmp_path / "other").manifest


def test_another_plan_is_refused_with_what_differs(tmp_path):
    record(tmp_path)
    before = files(tmp_path)
    for settings, words in (
        ({"seed": 4}, "seed: 3, now 4"),
        ({"sessions": 200}, "sessions: 100, now 200"),
        ({"truth": True}, "truth: False, now True"),
        ({"world": tiny_world(leave=0.2)}, r"world\.fingerprint: \w+, now \w+"),
    ):
        with pytest.raises(RunError, match=words):
            record(tmp_path, **settings)
    assert files(tmp_path) == before


def test_two_cannot_write_one_log_at_a_time(tmp_path):
    with writing(tmp_path, plan_of(tiny_world())), pytest.raises(RunError, match="in use"):
        record(tmp_path)


def test_a_plan_of_another_world_is_refused(tmp_path):
    world = tiny_world()
    with pytest.raises(ValueError, match="plan is of"):
        record_log(tiny_world(leave=0.2), policy_of(world), plan_of(world), tmp_path)
    assert not list(tmp_path.iterdir())


# --- Damage ------------------------------------------------------------------------------------------------------

HARM = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "flipped": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "flipped inside": lambda path: path.write_bytes(
        (content := path.read_bytes())[:700] + bytes([content[700] ^ 4]) + content[701:]
    ),
    "emptied": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("kind", ["turns", "truth"])
def test_a_damaged_shard_is_told_and_recorded_again(harm, kind, tmp_path):
    log = record(tmp_path, truth=True)
    before, path = files(tmp_path), tmp_path / f"{kind}-00002.parquet"
    HARM[harm](path)
    with pytest.raises(RunError, match=rf"{kind}-00002\.parquet is (damaged|missing).*record the log again"):
        log.read() if kind == "turns" else log.read_truth()
    assert len(next(log.shards())) > 0, "the other shards are read all the same"
    record(tmp_path, truth=True)
    assert files(tmp_path) == before


def test_a_log_of_another_world_is_not_read_with_this_one(tmp_path):
    log = record(tmp_path)
    with pytest.raises(RunError, match=r"is a log of instructrec/Tiny-v0.*and not of this"):
        log.log(tiny_world(leave=0.2))


def test_what_is_no_log_or_of_a_newer_version_is_told(tmp_path):
    with pytest.raises(RunError, match="holds no log"):
        open_log(tmp_path)
    record(tmp_path)
    document = json.loads((tmp_path / "manifest.json").read_text())

    def broken(**parts):
        (tmp_path / "manifest.json").write_text(json.dumps({**document, **parts}))
        return pytest.raises(RunError, match=broken.words)

    for parts, words in (
        ({"format": 2}, "format 2; this version of InstructRec reads format 1"),
        ({"plan": {}}, "is damaged"),
        ({"plan": {**document["plan"], "colour": 1}}, "damaged.*colour"),
        ({"shards": [{**document["shards"][0], "number": 77}]}, "shards that the plan does not have"),
        ({"shards": [{**document["shards"][0], "rows": "many"}]}, "rows of a shard is a whole number"),
        ({"shards": document["shards"][::-1]}, "damaged"),
    ):
        broken.words = words
        with broken(**parts):
            open_log(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        open_log(tmp_path)


def test_a_log_without_a_shard_yet_says_so(tmp_path):
    with writing(tmp_path, plan_of(tiny_world())):
        pass
    with pytest.raises(RunError, match="holds no turns yet"):
        open_log(tmp_path).read()


def test_without_pyarrow_the_message_names_the_command(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    for use in (lambda: open_log(tmp_path), lambda: record(tmp_path / "new")):
        with pytest.raises(ImportError, match=r"pip install 'instructrec\[parquet\]'"):
            use()


# --- What a log promises -----------------------------------------------------------------------------------------


def changed(turns, row, **parts):
    """Returns the turns with one row changed."""
    arrays = {name: array.copy() for name, array in turns.arrays()}
    for name, value in parts.items():
        arrays[name][row] = value
    return Turns(**arrays, texts=turns.texts)


def without(turns, row):
    return turns.rows(np.delete(np.arange(len(turns)), row))


def middle(turns):
    """Returns the first row that is neither the first nor the last of its session."""
    begins = np.append(turns.begins, True)
    return int(np.flatnonzero(~begins[:-1] & ~begins[1:])[0])


def first_of_more(turns):
    """Returns the first row of a session that has others."""
    begins = np.append(turns.begins, True)
    return int(np.flatnonzero(begins[:-1] & ~begins[1:])[1])


FAULTS = {
    "a probability above 1": (lambda t: changed(t, 5, log_probs=0.1), r"row 5: .* in position 1 is 0\.1, which"),
    "a probability of 0": (lambda t: changed(t, 6, log_probs=[-1, -np.inf, -1]), "row 6: .*position 2 is -inf"),
    "no probability": (lambda t: changed(t, 7, log_probs=np.nan), "row 7: .*position 1 is nan"),
    "a turn twice": (lambda t: t.rows(np.sort(np.append(np.arange(len(t)), middle(t)))), "stands here twice"),
    "a gap": (lambda t: without(t, middle(t)), "where turn 1 should"),
    "no first turn": (lambda t: without(t, first_of_more(t)), "turn 1 of session .* stands where turn 0 should"),
    "no last turn": (lambda t: without(t, int(np.flatnonzero(t.begins)[1]) - 1), "session did not end|should be that"),
    "a session missing": (lambda t: t.rows(t.lane != 12), "row .*should be that of lane 12, seed 3"),
    "the last session missing": (lambda t: t.rows(t.lane != 29), "should be that of lane 29, seed 3"),
    "a session apart": (lambda t: t.rows(np.argsort(t.lane == 4, kind="stable")), "should be that of lane 4"),
    "a session in two places": (
        lambda t: t.rows(np.append(np.arange(len(t)), np.flatnonzero(t.lane == 4))), "stands in two places",
    ),
    "more after the end": (lambda t: changed(t, middle(t), truncated=True), "ended the session, but more turns follow"),
    "two ends": (lambda t: changed(t, np.flatnonzero(t.terminated)[0], truncated=True), "both terminated and trunc"),
    "words of one who left": (
        lambda t: changed(t, np.flatnonzero(t.terminated)[0], next_instruction=t.instruction[0]),
        "next instruction exactly where the user stays, and terminated is True",
    ),
    "no such item": (lambda t: changed(t, 8, slates=[1, 20, 3]), "row 8: the slate shows item 20; .*0 to 19"),
    "an item below 0": (lambda t: changed(t, 8, slates=[1, -1, 3]), "row 8: the slate shows item -1"),
    "an item twice": (lambda t: changed(t, 9, slates=[4, 2, 4]), "row 9: the slate shows item 4 twice"),
    "no reward": (lambda t: changed(t, 3, item_rewards=np.nan), "row 3: a reward is not a finite number"),
    "no total": (lambda t: changed(t, 3, rewards=np.inf), "row 3: a reward is not a finite number"),
    "another seed": (lambda t: changed(t, t.lane == 0, seed=9), "row 0: .*should be that of lane 0, seed 3"),
}  # fmt: skip


def put(folder, content, number=0):
    """Puts a file in the place of a shard, listed with its hash, as another program might."""
    (folder / f"turns-{number:05d}.parquet").write_bytes(content)
    document = json.loads((folder / "manifest.json").read_text())
    rows = pq.read_metadata(pa.BufferReader(content)).num_rows
    document["shards"][number] |= {"sha256": hashlib.sha256(content).hexdigest(), "rows": rows, "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The files of a sound log, and its first shard."""
    folder = tmp_path_factory.mktemp("sound")
    log = record(folder)
    return folder, next(log.shards())


def copied(sound, folder):
    for name, content in files(sound[0]).items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("name", FAULTS)
def test_a_row_that_breaks_a_promise_is_named_in_reading_and_refused_in_writing(name, sound, tmp_path):
    break_it, words = FAULTS[name]
    broken = break_it(sound[1])
    copied(sound, tmp_path)
    put(tmp_path, encode_turns(broken))
    with pytest.raises(RunError, match=r"turns-00000\.parquet, row \d+: ") as told:
        open_log(tmp_path).read()
    told.match(words)
    with writing(tmp_path / "new", plan_of(tiny_world())) as writer:
        with pytest.raises(ValueError, match=words):
            writer.add(0, broken)
        assert writer.missing == [0, 1, 2, 3]


def test_what_was_shown_is_among_the_candidates(tmp_path):
    log = record(tmp_path, with_candidates())
    turns = next(log.shards())
    item = np.setdiff1d(np.arange(20), turns.candidates[4])[0]
    put(tmp_path, encode_turns(changed(turns, 4, slates=[item, *turns.slates[4, 1:]])))
    with pytest.raises(RunError, match=f"row 4: the slate shows item {item}, which is not among the turn's candidates"):
        open_log(tmp_path).read()


def test_turns_of_another_shape_are_not_written(sound, tmp_path):
    turns = sound[1]
    narrow = replace(turns, log_probs=turns.log_probs[:, :2])
    offered = replace(turns, candidates=np.tile(np.arange(8, dtype=np.int32), (len(turns), 1)))
    for world, broken, words in (
        (tiny_world(), narrow, r"log_probs have the shape \(\d+, 2\), and by the plan \(\d+, 3\)"),
        (tiny_world(), offered, r"candidates have the shape"),
        (with_candidates(), turns, "there are no candidates, and by the plan 8 a turn"),
    ):
        with writing(tmp_path / world.fingerprint, plan_of(world)) as writer, pytest.raises(ValueError, match=words):
            writer.add(0, broken)


def test_a_turn_past_the_limit_is_refused(tmp_path, sound):
    copied(sound, tmp_path)
    document = json.loads((tmp_path / "manifest.json").read_text())
    document["plan"]["world"]["turn_limit"] = 2
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(RunError, match="past the world's turn limit of 2"):
        open_log(tmp_path).read()


def as_file(table):
    stream = pa.BufferOutputStream()
    pq.write_table(table, stream)
    return stream.getvalue().to_pybytes()


def retyped(table, name, column):
    return table.set_column(table.column_names.index(name), name, column)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.drop_columns(["log_propensity"]), r"lacks the column log_propensity \(lists of 3 float64\): "),
        (lambda t: t.drop_columns(["reward"]), r"lacks the column reward \(float32\); write it with every column"),
        (lambda t: retyped(t, "reward", t["reward"].cast("float64")), "reward holds double, where a log has float32"),
        (lambda t: retyped(t, "slate", pa.array(t["slate"].to_pylist(), pa.list_(pa.int32()))), "lists of 3 int32"),
        (lambda t: retyped(t, "turn", pa.nulls(t.num_rows, pa.int32())), "row 0: turn is empty"),
        (
            lambda t: retyped(t, "instruction", pa.array(["something else", *t["instruction"].to_pylist()[1:]])),
            r"row \d+: instruction is not the text that its id",
        ),
        (lambda t: t.slice(0, 10), "10 rows, and the manifest says"),
    ],
)  # fmt: skip
def test_a_file_with_other_columns_is_told(spoil, words, sound, tmp_path):
    copied(sound, tmp_path)
    table = pq.read_table(tmp_path / "turns-00000.parquet")
    rows = table.num_rows
    put(tmp_path, as_file(spoil(table)))
    document = json.loads((tmp_path / "manifest.json").read_text())
    document["shards"][0]["rows"] = rows
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(RunError, match=r"turns-00000\.parquet") as told:
        open_log(tmp_path).read()
    told.match(words)


def test_what_another_program_wrote_with_the_same_columns_is_read(sound, tmp_path):
    copied(sound, tmp_path)
    table = pq.read_table(tmp_path / "turns-00000.parquet")
    plain = retyped(table, "instruction", pa.array(table["instruction"].to_pylist()))
    put(tmp_path, as_file(plain))
    same(next(open_log(tmp_path).shards()), sound[1])


def test_a_policy_that_shows_what_it_gives_no_probability_to_is_refused(tmp_path):
    world = tiny_world()
    shows, says = baselines(world)["random"], Greedy(baselines(world)["popularity"], 3)

    class Liar:
        act, log_prob = shows.act, says.log_prob

    with pytest.raises(ValueError, match=r"shard 0 of .*, row \d+: the log-propensity in position \d is -inf"):
        record_log(world, Liar(), plan_of(world), tmp_path)


def test_equal_turns_are_equal_bytes_whatever_was_said_before(sound):
    turns = sound[1]
    other = Turns(**dict(turns.arrays()), texts=dict(reversed(turns.texts.items())) | {12_345: "never said"})
    content = encode_turns(turns)
    assert encode_turns(other) == content
    same(decode_turns(content, "it", slate_size=3, num_candidates=None), turns)


def test_plans_make_sense():
    with pytest.raises(ValueError, match="sessions must be 1 or more, got 0"):
        plan_of(tiny_world(), sessions=0)
    plan = plan_of(tiny_world())
    assert plan.num_shards == 4
    np.testing.assert_array_equal(np.concatenate([plan.lanes(shard) for shard in range(4)]), np.arange(SESSIONS))
    assert Manifest(plan=plan) == Manifest(plan=plan_of(tiny_world()))


def test_every_instruction_has_a_text(sound):
    with pytest.raises(ValueError, match="no text is given for the instruction id 77"):
        encode_turns(changed(sound[1], 2, instruction=77))


def test_there_are_no_other_hidden_columns(sound):
    turns = sound[1]
    with pytest.raises(ValueError, match="no hidden column 'mood'"):
        log_shards.encode_truth(turns, {"mood": np.zeros(len(turns))})
    with pytest.raises(ValueError, match="trust has the shape"):
        log_shards.encode_truth(turns, {"trust": np.zeros((len(turns), 2))})

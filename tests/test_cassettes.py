"""What a generator wrote is played back exactly, by any number of readers, after any death of a writer."""

from __future__ import annotations

import errno
import fcntl
import json
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from instructrec.envs.cassettes import Cassette, CassetteError, recording_key
from instructrec.envs.generators import Completion, ScriptedGenerator
from instructrec.runs import RunError

PROMPTS = ["no horror", "ein Film, bitte 🎬\nzwei Zeilen\u2028drei", "", "no horror", "\ud800"]


class Luck(ScriptedGenerator):
    """Writes something else every time, as a live model may."""

    def __init__(self, name="luck"):
        self.count = 0
        super().__init__(self._next, name, deterministic=False)

    def _next(self, prompt):
        self.count += 1
        return f"{prompt} {self.count}\r\n"


def texts(generator, prompts=PROMPTS):
    return [completion.text for completion in generator.generate(list(prompts))]


def test_what_was_recorded_is_played_back_to_the_letter_without_the_model(tmp_path):
    live = Luck()
    first = texts(Cassette(tmp_path / "deep" / "a.jsonl", live))
    assert live.count == 4  # The same prompt is asked once.
    replay = Cassette(tmp_path / "deep" / "a.jsonl", mode="replay")
    assert texts(replay) == first
    assert texts(replay, PROMPTS[::-1]) == first[::-1]
    assert live.count == 4
    assert replay.deterministic
    assert len(replay) == 4


def test_recordings_tell_what_they_cost_and_that_they_are_not_live(tmp_path):
    class Costly(Luck):
        def generate(self, prompts):
            return [Completion("said", 11, 7, 0.12345678, False) for _ in prompts]

    cassette = Cassette(tmp_path / "a.jsonl", Costly())
    assert cassette.generate(["x", "x"])[0] == Completion("said", 11, 7, 0.12345678, False, live=True)
    assert cassette.generate(["x"])[0] == Completion("said", 11, 7, 0.1235, False, live=False)


def test_auto_asks_only_for_what_is_not_there_and_record_asks_for_all_once(tmp_path):
    path = tmp_path / "a.jsonl"
    first = texts(Cassette(path, Luck()), ["a", "b"])
    more = Luck()
    assert texts(Cassette(path, more), ["b", "c", "a"]) == [first[1], "c 1\r\n", first[0]]
    assert more.prompts == ["c"]
    anew = Luck()
    recorder = Cassette(path, anew, mode="record")
    assert texts(recorder, ["b", "a", "b"]) == texts(recorder, ["b", "a", "b"]) == ["b 1\r\n", "a 2\r\n", "b 1\r\n"]
    assert texts(Cassette(path, mode="replay"), ["a", "b", "c"]) == ["a 2\r\n", "b 1\r\n", "c 1\r\n"]
    assert len(path.read_text().splitlines()) == 5  # Only ever appended to.


def test_a_disk_that_is_full_is_told_with_the_file(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match=r"the disk is full: .*a\.jsonl could not be written; make room and run again"):
        texts(Cassette(tmp_path / "a.jsonl", Luck()))


def test_a_prompt_that_is_not_there_is_an_error_that_says_how_to_record_it(tmp_path):
    path = tmp_path / "a.jsonl"
    texts(Cassette(path, Luck()))
    with pytest.raises(CassetteError, match=r"has none of luck for 1 of the prompts.*'another'.*mode='auto'"):
        Cassette(path, mode="replay").generate(["no horror", "another"])
    with pytest.raises(CassetteError, match=r"none of other .*It holds recordings of luck: another model"):
        Cassette(path, Luck("other"), mode="replay").generate(["no horror"])


def test_a_cassette_that_is_not_there_or_has_nobody_to_record_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    with pytest.raises(CassetteError, match=r"there is no cassette .*record one first"):
        Cassette(path, mode="replay")
    with pytest.raises(CassetteError, match=r"mode 'auto' records what a generator writes"):
        Cassette(path)
    with pytest.raises(ValueError, match="mode must be one of auto, record, replay, got 'rec'"):
        Cassette(path, Luck(), mode="rec")
    for name in ("one", "two"):
        texts(Cassette(path, Luck(name)))
    with pytest.raises(CassetteError, match=r"recordings of 2 generators \(one, two\); name the one"):
        Cassette(path, mode="replay")
    assert texts(Cassette(path, Luck("two"), mode="replay"), ["no horror"]) == ["no horror 1\r\n"]


@pytest.mark.parametrize("kept", [1, 25, -1])
def test_a_line_cut_short_by_a_kill_is_ignored_and_mended_by_the_next_writer(tmp_path, kept):
    path = tmp_path / "a.jsonl"
    first = texts(Cassette(path, Luck()), ["a", "b"])
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines(keepends=True)[0].replace(b'"a', b'"z')[:kept])
    torn = path.read_bytes()
    assert texts(Cassette(path, mode="replay"), ["a", "b"]) == first
    assert path.read_bytes() == torn  # Readers change nothing.
    assert texts(Cassette(path, Luck()), ["a", "c"]) == [first[0], "c 1\r\n"]
    assert path.read_bytes().startswith(whole)
    assert texts(Cassette(path, mode="replay"), ["a", "b", "c"]) == [*first, "c 1\r\n"]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_file_that_is_all_torn_begins_anew(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"key": ' + b"x" * 200_000)
    assert texts(Cassette(path, Luck()), ["a"]) == ["a 1\r\n"]
    assert len(path.read_bytes()) < 1_000


@pytest.mark.parametrize(
    "line",
    [
        '{"key": 1}',
        "hello",
        "[]",
        '{"key": "0", "model": "m", "prompt": "p", "text": "t"}',
        '{"key": "0", "model": "m", "prompt": "p", "text": "t", "tokens_in": 1e999}',
    ],
    ids=str,
)
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "a.jsonl"
    texts(Cassette(path, Luck()), ["a"])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(CassetteError, match=r"line 2 of .* is no recording"):
        Cassette(path, mode="replay")


def test_a_recording_whose_prompt_was_altered_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    texts(Cassette(path, Luck()), ["a"])
    path.write_text(path.read_text().replace('"prompt": "a"', '"prompt": "b"'))
    with pytest.raises(CassetteError, match="its key is not that of its prompt"):
        Cassette(path, mode="replay")


def test_a_reader_that_is_open_sees_what_another_appends(tmp_path):
    path = tmp_path / "a.jsonl"
    one, other = Luck(), Luck()
    first, second = Cassette(path, one), Cassette(path, other)
    said = texts(first, ["a", "b"])
    assert texts(second, ["b", "a"]) == said[::-1]
    assert other.count == 0


def test_of_two_who_ask_for_the_same_at_once_the_first_stands_for_both(tmp_path):
    path = tmp_path / "a.jsonl"
    rival = Cassette(path, Luck())

    class Slow(Luck):
        def generate(self, prompts):
            texts(rival, ["z", "a"])  # The other is faster.
            return super().generate(prompts)

    assert texts(Cassette(path, Slow()), ["a"]) == ["a 2\r\n"]
    assert len(path.read_text().splitlines()) == 2


def test_a_writer_waits_until_another_has_written(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = Thread(target=texts, args=(Cassette(path, Luck()), ["a"]))
        waiting.start()
        waiting.join(0.2)
        assert path.read_bytes() == b""
    waiting.join(10)
    assert len(Cassette(path, mode="replay")) == 1


_WRITER = """
import sys
from instructrec.envs.cassettes import Cassette
from instructrec.envs.generators import ScriptedGenerator
for number in range(20):
    me = ScriptedGenerator(lambda prompt: f"{prompt} {sys.argv[2]}", "luck")
    Cassette(sys.argv[1], me).generate([f"{sys.argv[2]} {number}", f"shared {number}"])
"""


def test_many_writers_at_once_lose_nothing_and_agree(tmp_path):
    path = tmp_path / "a.jsonl"
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(path), name], cwd=Path(__file__).parent.parent)
        for name in "abc"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(path.read_text().splitlines()) == 80
    assert len(Cassette(path, mode="replay")) == 80


def test_the_fingerprint_tells_replays_of_other_contents_apart_and_live_from_replayed(tmp_path):
    one, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for path, prompts in ((one, ["a", "b"]), (other, ["b", "a"])):
        cassette = Cassette(path, ScriptedGenerator(str.upper))
        assert cassette.fingerprint == "scripted"
        texts(cassette, prompts)
    assert Cassette(one, mode="replay").fingerprint == Cassette(other, mode="replay").fingerprint
    assert Cassette(one, mode="replay").fingerprint.startswith("scripted-replayed-")
    texts(Cassette(other, ScriptedGenerator(str.upper)), ["c"])
    assert Cassette(one, mode="replay").fingerprint != Cassette(other, mode="replay").fingerprint
    assert not Cassette(one, Luck()).deterministic
    assert Cassette(one, ScriptedGenerator(str.upper)).deterministic


def test_keys_tell_models_and_prompts_apart():
    keys = {recording_key(model, prompt) for model in ("a", "a\0", "") for prompt in ("b", "\0b", "ab")}
    assert len(keys) == 9

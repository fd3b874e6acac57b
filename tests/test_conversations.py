"""Sample conversations show what happened, and what each item met."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest

from instructrec.catalogue import Catalogue, Column
from instructrec.envs import make_world
from instructrec.experiments import progress
from instructrec.experiments.conversations import Conversation, converse, describe, to_markdown
from instructrec.experiments.progress import Narrator, clock
from instructrec.goals import Operator, Predicate, compile_goals
from instructrec.noise import Noise
from instructrec.runs import plain
from instructrec.sessions import Observation

CATALOGUE = Catalogue(
    {
        "genre": Column.multi_valued("genre", [("Comedy",), ("Drama", "Horror"), ()]),
        "year": Column.numeric("year", [1990.0, 1995.0, 2001.0]),
    },
    ("a", "b", "c"),
    ("a", "b", "c"),
    ("1", "2", "3"),
    np.ones(3, np.float32),
)


@pytest.mark.parametrize(
    ("predicate", "words"),
    [
        (Predicate(field="genre", operator=Operator.INCLUDE, values=("Comedy", "Drama")), "genre: Comedy or Drama"),
        (Predicate(field="genre", operator=Operator.EXCLUDE, values=("Horror",)), "genre: not Horror"),
        (Predicate(field="year", operator=Operator.BETWEEN, low=1990, high=1999), "year 1990–1999"),
        (Predicate(field="year", operator=Operator.AT_LEAST, low=1990), "year ≥ 1990"),
        (
            Predicate(field="year", operator=Operator.AT_MOST, high=float(np.nextafter(np.float32(1990), 0))),
            "year < 1990",
        ),
        (
            Predicate(field="year", operator=Operator.AT_LEAST, low=float(np.nextafter(np.float32(3.5), 9))),
            "year > 3.5",
        ),
        (Predicate(field="year", operator=Operator.AT_LEAST, low=3.9123456), "year ≥ 3.91"),
        (Predicate(field="genre", operator=Operator.SHARE, values=("Comedy",), share=0.5), "at least 50% Comedy"),
    ],
)
def test_a_compiled_predicate_is_said_in_words(predicate: Predicate, words: str) -> None:
    assert describe(compile_goals([[predicate]], CATALOGUE), 0, 0, CATALOGUE) == words


class _First:
    def act(self, observation: Observation, noise: Noise) -> np.ndarray:
        return np.tile(np.arange(3), (observation.batch, 1))

    def log_prob(self, observation: Observation, slates: np.ndarray) -> np.ndarray:
        return np.zeros(slates.shape)


def _talks() -> list[Conversation]:
    return converse(make_world("instructrec/Tiny-v0"), "first", _First(), seed=3, lanes=[2, 5, 9], turns=4)


def test_a_conversation_marks_what_the_words_ask_for_and_ends_when_the_person_leaves() -> None:
    world = make_world("instructrec/Tiny-v0")
    talks = _talks()
    assert [talk.lane for talk in talks] == [2, 5, 9]
    for talk in talks:
        assert all(turn.ending == "stayed" for turn in talk.turns[:-1])
        for turn in talk.turns:
            assert len(turn.wishes) == 1
            asked = turn.wishes[0].rpartition(" ")[2]
            assert asked in turn.instruction
            for place, item in enumerate(turn.items):
                colour = world.catalogue.column("colour")
                assert item.met == (bool(colour.masks[place] & np.uint64(colour.mask_of([asked]))),)
            assert turn.reward == sum(item.clicked for item in turn.items)


def test_the_same_people_say_the_same_again_and_conversations_survive_json() -> None:
    assert _talks() == _talks()
    assert [Conversation.from_plain(plain(talk)) for talk in _talks()] == _talks()


def test_markdown_escapes_what_would_be_markup() -> None:
    talk = _talks()[0]
    item = plain(talk)
    item["turns"][0]["items"][0]["title"] = "a|b <script> *x* [l](u)"
    page = to_markdown(Conversation.from_plain(item))
    assert "<script>" not in page
    assert r"a\|b &lt;script&gt; \*x\* \[l\](u)" in page


def test_off_a_terminal_progress_is_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: Iterator[float] = iter(range(0, 10_000, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(ticks)))
    stream = io.StringIO()
    with Narrator(stream=stream).task("Training") as advance:
        advance(0.0, "")
        advance(0.25, "return 3.1")
        advance(0.5, "")
    text = stream.getvalue()
    assert text.splitlines()[0] == "Training ..."
    assert "Training: 25%, about 1 min 00 s left, return 3.1" in text
    assert text.splitlines()[-1].startswith("Training: done in")
    assert "\x1b" not in text
    assert "\r" not in text


def test_a_quiet_narrator_says_nothing() -> None:
    stream = io.StringIO()
    with Narrator(stream=stream, quiet=True).task("Training") as advance:
        advance(0.5, "")
    assert stream.getvalue() == ""


def test_time_is_said_for_people() -> None:
    assert [clock(s) for s in (0.4, 59.4, 60, 125)] == ["0 s", "59 s", "1 min 00 s", "2 min 05 s"]

"""A person at the keyboard is shown a list, asked again where it makes no sense, and may leave at any moment."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checked
from hypothesis import strategies as st
from rich.cells import cell_len

from instructrec.catalogue import Catalogue
from instructrec.envs import make_world, tiny_world
from instructrec.envs.population_human import POPULATION, HumanPopulation, HumanUser
from instructrec.envs.populations import with_population
from instructrec.experiments import cli
from instructrec.experiments.play import play
from instructrec.protocols import Reaction, Slate
from instructrec.runs import RunError
from instructrec.sessions import Sessions, observe, start, step
from instructrec.testing import check_population, check_user, check_world

RNG = np.random.default_rng(0)
SCRIPT = ("something red", "1, 3", "no, green", "", "", "2", "q")
ROOT = Path(__file__).resolve().parent.parent


def slate(*titles: str) -> Slate:
    return Slate(items=np.arange(len(titles), dtype=np.int32), titles=titles, turn=0)


def met(typed: str, *titles: str) -> tuple[str, list[Reaction], str]:
    """Returns what was said first, the reactions to slates until the person left, and what was on the screen."""
    screen = io.StringIO()
    user = HumanUser(read=io.StringIO(typed), write=screen)
    first, reactions = user.arrive(RNG).text, []
    while not reactions or not reactions[-1].left:
        reactions.append(user.react(slate(*titles), RNG))
    return first, reactions, screen.getvalue()


def test_a_person_says_clicks_and_says_again():
    first, reactions, screen = met("a  thing\n1 3\nanother\n\n\n2\nq\n", "A", "B", "C")
    assert first == "a thing"
    assert [reaction.clicked for reaction in reactions] == [(0, 2), (), (1,)]
    assert [reaction.next.text if reaction.next else None for reaction in reactions] == ["another", None, None]
    assert [reaction.left for reaction in reactions] == [False, False, True]
    assert " 1  A\n 2  B\n 3  C\n" in screen
    assert screen.endswith("Goodbye.\n")


@pytest.mark.parametrize("typed", ["", "q\n", "QUIT\n", "\n\nq\n"])
def test_who_leaves_at_the_door_says_nothing_and_sees_nothing(typed):
    first, reactions, screen = met(typed, "A")
    assert first == ""
    assert reactions == [Reaction(left=True)]
    assert " 1  A" not in screen
    assert screen.count("Say it in a few words") == typed.count("\n\n") * 2


def test_the_end_of_the_input_keeps_what_was_clicked():
    assert met("a thing\n1\n", "A", "B")[1] == [Reaction(clicked=(0,), left=True)]
    assert met("a thing\n", "A", "B")[1] == [Reaction(left=True)]


@pytest.mark.parametrize("wrong", ["0", "4", "1 4", "-1", "two", "1.5", "²", "9" * 5000])
def test_what_is_no_number_of_the_list_is_asked_again_with_what_is_expected(wrong):
    _, reactions, screen = met(f"a thing\n{wrong}\n2\nq\n", "A", "B", "C")
    assert reactions == [Reaction(clicked=(1,), left=True)]
    assert "is no number of the list: expected numbers from 1 to 3, such as 1 3" in screen


def test_ctrl_c_and_a_lost_keyboard_leave_politely(monkeypatch):
    class Torn(io.StringIO):
        def readline(self, size: int = -1) -> str:
            raise self.how

    for how in (KeyboardInterrupt(), OSError("gone")):
        Torn.how, screen = how, io.StringIO()
        user = HumanUser(read=Torn(), write=screen)
        assert user.arrive(RNG).text == ""
        assert user.react(slate("A"), RNG).left
        assert screen.getvalue().endswith("\nGoodbye.\n")
    monkeypatch.setattr(sys, "stdin", None)
    assert HumanUser(write=io.StringIO()).arrive(RNG).text == ""


def test_the_list_fits_eighty_columns_in_any_script_and_control_signs_do_nothing():
    titles = ("x" * 200, "长" * 60, "\x1b[2Jbell\x07", "short")
    shown = met("a\n", *titles)[2].splitlines()
    lines = [line for line in shown if line[:2].strip().isdigit()]
    assert len(lines) == 4
    assert max(map(cell_len, lines)) <= 80
    assert lines[0].endswith("x…")
    assert lines[1].endswith("长…")
    assert "\x1b" not in "".join(shown)
    assert "\x07" not in "".join(shown)


def test_a_script_types_in_every_session_and_says_nothing_aloud(capsys):
    world = tiny_world()
    check_user(partial(HumanUser, script=SCRIPT), world.catalogue)
    check_world(with_population(world, HumanPopulation, {"script": list(SCRIPT)}))
    assert capsys.readouterr().out == ""


@checked(max_examples=8)
@given(seed=st.integers(0, 1000), batch=st.integers(2, 9), slate_size=st.integers(3, 5))
def test_with_a_script_it_keeps_the_promises_of_a_population(seed, batch, slate_size):
    catalogue = tiny_world().catalogue
    check_population(
        lambda: HumanPopulation(catalogue, slate_size=slate_size, script=SCRIPT), catalogue, slate_size=slate_size,
        batch=batch, seed=seed,
    )  # fmt: skip


def test_only_a_script_is_deterministic_and_scripts_are_told_apart():
    catalogue = tiny_world().catalogue
    person, script, other = (HumanPopulation(catalogue, script=lines) for lines in (None, SCRIPT, SCRIPT[:2]))
    assert [one.deterministic for one in (person, script, other)] == [False, True, True]
    assert len({one.fingerprint for one in (person, script, other)}) == 3
    assert "nothing measured with a person can be repeated" in POPULATION.summary


def test_nobody_is_asked_before_the_session_begins():
    read = io.StringIO("\n".join(SCRIPT))
    world = make_world("instructrec/Tiny-v0")
    population = HumanPopulation(
        world.catalogue, slate_size=world.slate_size, turn_limit=world.turn_limit, read=read, write=io.StringIO()
    )
    assert read.tell() == 0
    world = with_population(world, population)
    state = start(world, Sessions.first(5, 1))
    assert world.population.texts.strings(observe(world, state).instruction) == ["something red"]
    state, outcome = step(world, state, np.array([[4, 5, 6]]))
    assert outcome.reactions.clicked.tolist() == [[True, False, True]]
    assert world.population.texts.strings(observe(world, state).instruction) == ["no, green"]


@pytest.mark.parametrize("script", ["one line", [1, 2]])
def test_a_script_is_a_list_of_lines(script):
    with pytest.raises(ValueError, match="script is a list of the lines to type"):
        HumanPopulation(tiny_world().catalogue, script=script)
    with pytest.raises(ValueError, match="give one of the two"):
        HumanUser(script=["a"], read=io.StringIO())


def test_play_is_a_session_with_an_agent():
    screen = io.StringIO()
    typed = io.StringIO("something red\n1 2\nno, green\n\nq\n")
    document, text = play("instructrec/Tiny-v0", "popularity", read=typed, write=screen)
    assert [turn["instruction"] for turn in document["turns"]] == ["something red", "no, green"]
    assert (document["clicks"], document["ending"]) == (2, "left")
    assert text == "2 slates by popularity, 2 clicked; then you left."
    assert document["turns"][0]["items"][0]["title"] in screen.getvalue()


def test_play_ends_with_the_turns():
    typed = io.StringIO("something red\n" + "\n" * 10)
    document, text = play(
        "instructrec/Tiny-v0", "random", world_settings={"turn_limit": 2}, read=typed, write=io.StringIO()
    )
    assert len(document["turns"]) == 2
    assert text == "2 slates by random, 0 clicked; then you reached the turn limit."


def test_a_trained_run_can_be_played_where_it_was_trained(tmp_path):
    run = str(tmp_path / "run")
    quick = ["encoder=hashing", "prompts=0", "num_envs=16", "num_steps=4", "minibatch_size=32"]
    assert cli.run(["train", "tiny", "--out", run, "--steps", "64", "--set", *quick]) == 0
    document, _ = play("instructrec/Tiny-v0", run, read=io.StringIO("red\n1\nq\n"), write=io.StringIO())
    assert document["clicks"] == 1
    with pytest.raises(RunError, match="trained on other items"):
        play("instructrec/ChocKale-v0", run, read=io.StringIO(), write=io.StringIO())


def test_an_agent_that_is_none_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown agent 'populrity'; did you mean 'popularity'.* or the folder"):
        play("instructrec/Tiny-v0", "populrity", read=io.StringIO(), write=io.StringIO())


def test_on_the_command_line_the_talk_goes_beside_the_result():
    done = subprocess.run(
        [sys.executable, "-m", "instructrec.experiments.cli", "play", "tiny", "--agent", "popularity", "--json"],
        cwd=ROOT, input="red\n1\nq\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["clicks"] == 1
    assert "Click which?" in done.stderr


@pytest.mark.parametrize("keyboard", [None, "closed", "piped"])
def test_nobody_is_measured_where_there_is_no_keyboard(keyboard, monkeypatch, capsys, tmp_path):
    stream = None if keyboard is None else io.StringIO("a comedy\n")
    if keyboard == "closed":
        stream.close()
    monkeypatch.setattr(sys, "stdin", stream)
    command = ["compare", "tiny", "--agents", "random", "--out", str(tmp_path / "x"), "--people", "3"]
    assert cli.run([*command, "--population", "human"]) == 2
    told = capsys.readouterr()
    assert "`instructrec play instructrec/Tiny-v0 --agent NAME`" in " ".join(told.err.split())
    assert "What would you like?" not in told.err
    assert not (tmp_path / "x").exists()
    script = "script=[something red, 1 3, q]"
    assert cli.run([*command, "--population", "human", "--population-set", script]) == 0


def test_a_title_of_any_catalogue_can_be_shown():
    one = Catalogue(columns={}, titles=("",), texts=("",), item_ids=("x",), popularity=np.ones(1, np.float32))
    check_user(partial(HumanUser, script=["hello", "1", "q"], write=io.StringIO()), one, slate_size=1)

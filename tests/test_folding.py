"""What is said to people is folded into lines, and what they would copy stays whole."""

from __future__ import annotations

import io
import os

import pytest

from instructrec.experiments import cli, folding
from instructrec.experiments.folding import WIDTH, fold, width_of

LONG = "a word " * 30


def test_lines_are_no_wider_than_asked_and_nothing_is_lost():
    folded = fold(LONG, 50)
    assert max(map(len, folded.splitlines())) <= 50
    assert folded.split() == LONG.split()


@pytest.mark.parametrize(
    "whole",
    [
        "/data/of-mine/a-folder/with-hyphens/and/a-very-long-name/clicks-of-2024-and-2025.csv",
        "'my own data/clicks of last year.csv'",
        '"something funny from the eighties"',
        "`instructrec world new books.yaml`",
    ],
)
@pytest.mark.parametrize("before", range(0, 60, 7))
def test_paths_and_what_stands_in_quotes_stay_whole(whole, before):
    assert whole in fold("x" * before + f" {whole} and then {LONG}")


def test_an_apostrophe_is_no_quote():
    folded = fold("the world's people and " + "the people's world " * 10)
    assert max(map(len, folded.splitlines())) <= WIDTH


def test_a_quotation_longer_than_a_line_is_folded_all_the_same():
    assert max(map(len, fold(f"'{LONG.strip()}'").splitlines())) <= WIDTH


def test_the_lines_of_a_text_stay_lines():
    assert fold("one\n\n  two") == "one\n\n  two"


@pytest.mark.parametrize(("columns", "width"), [(100, 100), (20, 40), (300, 120)])
def test_the_width_is_that_of_the_terminal_within_reason(columns, width, monkeypatch):
    class Screen(io.StringIO):
        def fileno(self) -> int:
            return 2

    monkeypatch.setattr(folding.os, "get_terminal_size", lambda number: os.terminal_size((columns, 24)))
    assert width_of(Screen()) == width


def test_without_a_terminal_it_is_eighty():
    assert width_of(io.StringIO()) == WIDTH == 80


def test_an_error_at_the_command_line_is_folded(capsys):
    assert cli.run(["train", "Mvies-v0", "--out", "x"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") > 1
    assert max(map(len, told.splitlines())) <= 80

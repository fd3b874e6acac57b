"""Texts have ids that do not depend on who spoke first."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructrec.texts import Texts, free_text_id

BANK = ("", "no horror", "something new")


@pytest.mark.parametrize("bank", [BANK, BANK[1:]])
def test_a_bank_is_numbered_from_one_and_zero_is_silence(bank):
    texts = Texts(bank)
    assert texts.bank == BANK
    assert texts.ids(BANK).tolist() == [0, 1, 2]
    assert texts.strings(np.array([2, 0, 1])) == ["something new", "", "no horror"]


def test_without_a_bank_there_is_only_silence():
    assert Texts().bank == ("",)
    assert Texts().ids([""]).tolist() == [0]


@given(st.lists(st.text()))
def test_any_text_comes_back_as_it_was(said):
    texts = Texts(BANK)
    assert texts.strings(texts.ids(said)) == said


def test_ids_do_not_depend_on_order_or_table():
    one, other = Texts(BANK), Texts()
    said = ["drôle", "别放恐怖片", "🎬"]
    assert one.ids(said).tolist() == other.ids(said[::-1]).tolist()[::-1]
    assert (one.ids(said) >= 1 << 62).all()


def test_ids_are_the_same_in_every_process():
    code = "from instructrec.texts import free_text_id; print(free_text_id('any thing'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == free_text_id("any thing")


def test_broken_unicode_is_a_text_too():
    texts = Texts()
    assert texts.strings(texts.ids(["half a \ud83c pair"])) == ["half a \ud83c pair"]


def test_padding_is_silence():
    assert Texts(BANK).strings(np.array([-1, 1])) == ["", "no horror"]


def test_the_least_recently_used_free_text_goes_first():
    texts = Texts(BANK, capacity=2)
    first, second = texts.ids(["a", "b"])
    texts.ids(["a"])
    texts.ids(["c"])
    assert texts.strings(np.array([first])) == ["a"]
    with pytest.raises(KeyError, match=r"at most 2 free texts are kept \(raise capacity\)"):
        texts.strings(np.array([second]))
    assert texts.strings(np.array([1])) == ["no horror"], "the bank stays"


def test_an_id_never_given_out_is_an_error():
    with pytest.raises(KeyError, match="no text has the id 77 here"):
        Texts(BANK).strings(np.array([77]))


def test_a_store_must_hold_something():
    with pytest.raises(ValueError, match="capacity must be at least 1"):
        Texts(capacity=0)

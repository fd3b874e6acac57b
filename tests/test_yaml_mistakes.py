"""A mistake in YAML is told on the line where it is, with what stands there and a cure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructrec.envs.yaml_reader import read_yaml

SHOP = (Path(__file__).parent.parent / "envs" / "domains" / "Shop-v0.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nitems:\n\tcount: 3\nb: 2\n", 3, "a tab; indent"),
        ("a: 1\nsummary of teas\nb: 2\nc: 3\n", 2, "neither name: value nor an entry of a list"),
        ("a: 1\nitems\n  count: 3\nb: 2\n", 2, "add the colon"),
        ("a: 1\nb: 2\nsummary\n", 3, "add the colon"),
        ("a: 1\nb:2\nc: 3\n", 2, "no blank after the colon"),
        ("l:\n  - a\n  b\n  - c\n", 3, "or the dash"),
        ('a: 1\nsummary: "People ask\nb: 2\nc: 3\n', 2, 'the quote " is not closed'),
        ("a: 1\nsummary: 'People ask\nb: 2\nc: 3\n", 2, "the quote ' is not closed"),
        ('a: 1\nsummary: "People ask\nb: "2"\nc: 3\n', 2, "a quote is not closed on its line"),
        ('a: "x"\nsummary: "People\n\nb: 2\nc: "3"\n', 2, "a quote is not closed on its line"),
        ("a: 1\nsummary: 'People's tea'\nc: 3\n", 2, "goes on after its closing quote"),
        ("a: 1\nl: [x, y\nb: 2\nc: [3]\n", 2, "the bracket [ is not closed"),
        ("a: 1\nc: 3\nl: {x: 1\n", 3, "the bracket { is not closed"),
        ("a:\n  l: {x: 1, y: 2\n  m: {x: 1}\nb: 2\n", 2, "the bracket { is not closed"),
        ("a: {x: 1,\n  y: 2\n  z: 3}\nb: 1\n", 3, "within {…} a comma"),
        ("a: 1\nl: [x, y]]\nb: 3\n", 2, "the bracket ] closes nothing"),
        ("a:\n  x: 1\n   y: 2\nb: 3\n", 3, "indented otherwise than its neighbours"),
        ("a:\n    x: 1\n  y: 2\nb: 3\n", 3, "indented otherwise than its neighbours"),
        ("a: 1\ntitle: Tea: the best\nb: 3\n", 2, "holds ': ' stands without quotes"),
        ("a: 1\nl: %x\nb: 3\n", 2, "put it in quotes"),
        ("a: 1\nl: *x\nb: 3\n", 2, "put it in quotes"),
        ('a: "x\\d"\nb: 1\n', 1, "a backslash"),
        ("a: 1\n---\nb: 1\n", 2, "a second document begins"),
        ("a: | x\n  y\nb: 1\n", 1, "expected a comment or a line break"),
        ("a: 1\nb: x\0y\n", 2, "a character that no text file holds"),
        ("a: x\u2028b:2\nc: 3\n", 2, "no blank after the colon"),
    ],
)
def test_a_mistake_is_told_on_its_line_with_what_stands_there(text, line, words, tmp_path):
    file = tmp_path / "tea.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=rf"tea\.yaml, line {line}: ") as caught:
        read_yaml(file)
    assert words in str(caught.value)
    stands = re.split("[\n\u2028]", text)[line - 1].strip()
    assert repr(stands) in str(caught.value)


@given(
    place=st.integers(0, 6_000),
    put=st.sampled_from(["", "\t", '"', "'", "[", "]", "{", "}", ":", "- ", "\n", " ", "*"]),
)
def test_whatever_is_mistyped_is_read_or_told_with_a_line(place, put, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "mistyped.yaml"
    head = SHOP[:6_000]
    file.write_text(head[:place] + put + head[place + 1 :], "utf-8")
    told = ""
    try:
        read_yaml(file)
    except ValueError as problem:
        told = str(problem)
    assert not told or re.search(r"mistyped\.yaml, line \d+: ", told)

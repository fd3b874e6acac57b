"""Logs of clicks: read from CSV and Parquet alike, in any order of lines, and refused with the line and the cure."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from instructrec.catalogue import Catalogue
from instructrec.envs.click_logs import ClickLog, read_log

SHOP = Catalogue(
    columns={},
    titles=tuple("abcdef"),
    texts=tuple("abcdef"),
    item_ids=("i0", "i1", "i2", "i3", "i4", "i5"),
    popularity=np.ones(6, np.float32),
)
HEADER = "session,turn,position,item,clicked,person,instruction"
ROWS = (
    "s1,5,1,i0,1,ann,red",
    "s1,5,2,i1,0,ann,red",
    "s1,9,1,i2,0,ann,",
    "s1,9,2,i3,1,ann,",
    "s2,0,1,i4,0,bob,",
    "s3,0,1,i0,1,ann,blue",
    "s3,0,2,i5,0,ann,blue",
)


def log_of(folder: Path, *rows: str, header: str = HEADER, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def same(one: ClickLog, other: ClickLog) -> None:
    for name in ("items", "clicked", "session", "said", "person"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.persons, one.texts) == (other.persons, other.texts)


def test_a_log_is_slates_session_by_session(tmp_path):
    log = read_log(log_of(tmp_path, *ROWS), SHOP)
    assert log.items.tolist() == [[0, 1], [2, 3], [4, -1], [0, 5]]
    assert log.clicked.tolist() == [[True, False], [False, True], [False, False], [True, False]]
    assert log.session.tolist() == [0, 0, 1, 2]
    assert log.turn.tolist() == [0, 1, 0, 0]
    assert log.last.tolist() == [False, True, True, True]
    assert [log.persons[person] for person in log.person] == ["ann", "bob", "ann"]
    # Nothing new said: what was said before still holds; bob never said anything.
    assert [log.texts[text] for text in log.said] == ["red", "red", "", "blue"]


def test_the_past_is_what_was_clicked_in_earlier_sessions_only(tmp_path):
    log = read_log(log_of(tmp_path, *ROWS, "s4,0,1,i1,0,ann,"), SHOP)
    assert log.past(3).tolist() == [[-1, -1, -1], [-1, -1, -1], [0, 3, -1], [3, 0, -1]]
    assert log.past(1).tolist()[3] == [0]


def test_clicked_before_counts_earlier_slates_of_the_same_session_only(tmp_path):
    log = read_log(log_of(tmp_path, *ROWS, "s1,10,1,i0,0,ann,", "s1,10,2,i1,0,ann,"), SHOP)
    assert log.clicked_before().nonzero()[0].tolist() == [2]
    assert log.clicked_before()[2].tolist() == [True, False]


def test_the_order_of_lines_where_counting_begins_and_the_kind_of_file_do_not_matter(tmp_path):
    log = read_log(log_of(tmp_path, *ROWS), SHOP)
    mixed = [ROWS[place] for place in (1, 0, 3, 4, 2, 6, 5)]
    same(read_log(log_of(tmp_path, *mixed, name="mixed.csv"), SHOP), log)
    from_nought = [row.replace(",1,i", ",0,i").replace(",2,i", ",1,i") for row in ROWS]
    same(read_log(log_of(tmp_path, *from_nought, name="nought.csv"), SHOP), log)
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(log_of(tmp_path, *ROWS).read_bytes()))
    same(read_log(tmp_path / "packed.csv.gz", SHOP), log)


def test_parquet_is_read_alike(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = dict(zip(HEADER.split(","), zip(*(row.split(",") for row in ROWS), strict=True), strict=True))
    table = {name: list(cells) for name, cells in columns.items()}
    table |= {name: [int(cell) for cell in table[name]] for name in ("turn", "position")}
    table |= {"clicked": [cell == "1" for cell in table["clicked"]]}
    table |= {"instruction": [cell or None for cell in table["instruction"]], "other": [0.5] * len(ROWS)}
    parquet.write_table(pyarrow.table(table), tmp_path / "log.parquet")
    same(read_log(tmp_path / "log.parquet", SHOP), read_log(log_of(tmp_path, *ROWS), SHOP))
    parquet.write_table(pyarrow.table({**table, "item": ["i9"] * len(ROWS)}), tmp_path / "log.parquet")
    with pytest.raises(ValueError, match=r"row 1: item 'i9' is not in the catalogue \(nor are 6 further rows'\)"):
        read_log(tmp_path / "log.parquet", SHOP)
    parquet.write_table(pyarrow.table({"session": ["a"]}), tmp_path / "log.parquet")
    with pytest.raises(ValueError, match="the column 'turn' is missing"):
        read_log(tmp_path / "log.parquet", SHOP)
    (tmp_path / "log.parquet").write_text("no parquet")
    with pytest.raises(ValueError, match="not a sound Parquet file"):
        read_log(tmp_path / "log.parquet", SHOP)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "log.parquet").write_text("")
    with pytest.raises(ImportError, match=r"pip install 'instructrec\[parquet\]'"):
        read_log(tmp_path / "log.parquet", SHOP)


def test_without_persons_every_session_is_one_and_without_words_nothing_is_said(tmp_path):
    short = [row.rsplit(",", 2)[0] for row in ROWS]
    log = read_log(log_of(tmp_path, *short, header="session,turn,position,item,clicked"), SHOP)
    assert log.persons == ("s1", "s2", "s3")
    assert log.texts == ("",)
    assert not log.said.any()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("s1,0,1,i0,2,a,",), "line 2: clicked is '2', expected 1 or 0"),
        (("s1,0,1,i0,1,a,", "s1,0,2,i7,0,a,"), "line 3: item 'i7' is not in the catalogue; .* such as 'i0'"),
        (("s1,0,first,i0,1,a,",), "line 2: position is 'first', expected a whole number"),
        (("s1,0,2,i0,1,a,",), "line 2: position is 2; positions are counted from 0 or from 1"),
        (("s1,0,1,i0,1,a,", "s1,0,3,i1,0,a,"), "line 3: position is 3, expected 2: this log counts from 1"),
        (("s1,0,0,i0,1,a,", "s2,0,1,i1,0,a,"), "line 3: position is 1, expected 0: this log counts from 0"),
        (("s1,0,1,i0,1,a,", "s1,0,1,i1,0,a,"), "line 3: position 1 of this slate stood on line 2 already"),
        (("s1,0,1,i0,1,a,", "s1,0,2,i0,0,a,"), "line 3: item 'i0' stands in this slate twice"),
        (("s1,0,1,i0,1,a,", "s1,1,1,i1,0,b,"), "line 3: person is 'b', but session 's1' began with 'a'"),
        (("s1,0,1,i0,1,a,x", "s1,0,2,i1,0,a,y"), "line 3: the instruction is 'y', but the slate began with 'x'"),
        (("s1,0,1,i0,0,a,",), "no shown item was clicked"),
        (("s1,0,1,i0,1,a,",), "every shown item was clicked"),
        ((",0,1,i0,1,a,",), "line 2: session is empty"),
        (("s1,0,1,i0,1,,", "s1,0,2,i1,0,,"), "line 2: person is empty; fill it in"),
    ],
)
def test_broken_logs_are_refused_with_the_line_and_the_cure(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        read_log(log_of(tmp_path, *rows), SHOP)


def test_other_files_and_columns_are_refused(tmp_path):
    with pytest.raises(ValueError, match="column 'clicked' is missing; rename 'click' to it"):
        read_log(log_of(tmp_path, "s,0,1,i0,1", header="session,turn,position,item,click"), SHOP)
    # Never a column that is needed itself.
    with pytest.raises(ValueError, match=r"column 'position' is missing; add it \(found"):
        read_log(log_of(tmp_path, "s,0,i0,1", header="session,turn,item,clicked"), SHOP)
    with pytest.raises(ValueError, match=r"is a folder; name the log in it, such as .*log\.csv"):
        read_log(tmp_path, SHOP)
    with pytest.raises(ValueError, match="is no table this reads"):
        read_log(log_of(tmp_path, *ROWS, name="log.tsv"), SHOP)
    with pytest.raises(FileNotFoundError, match="does not exist; give a log"):
        read_log(tmp_path / "none.csv", SHOP)

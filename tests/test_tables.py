"""Tables say the same in Markdown, LaTeX and HTML, and what failed stands in them."""

from __future__ import annotations

from typing import Any

import pytest

from instructrec.experiments.table_formats import latex_escaped, latex_page, page, to_html, to_latex, to_markdown
from instructrec.experiments.tables import Column, Table, tables_of


def _entry(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.5, "high": value + 0.5}


def _results(**more: Any) -> dict[str, Any]:
    agents = {"slate_ppo": {"return": _entry(3)}, "random": {"return": _entry(1)}, "parser": {"return": _entry(4)}}
    return {
        "world": "instructrec/Tiny-v0", "fingerprint": "f00", "seeds": [0, 1], "people": 5, "sessions": 5,
        "split": "validation", "session_seed": 101, "steps": 1000, "agents": agents,
        "differences": {"parser": {"value": -1, "low": -1.5, "high": -0.5}, "random": _entry(2)}, **more,
    }  # fmt: skip


TABLE = Table(
    "one", "A 100 % table", "What_it is.", [Column("x_1"), Column("A & B", "{:.0f}")],
    {"slate_ppo": [_entry(2), {"value": 1, "low": 1, "high": 1}], "my|agent": [None, "words"]},
    {"my|agent": "seed 1: ValueError: 50 % of <b> & more", "gone": "ValueError: no such {thing}"},
)  # fmt: skip


def test_markdown_has_values_with_intervals_and_dashes_where_there_is_nothing() -> None:
    text = to_markdown(TABLE)
    assert "| **slate_ppo** | 2.00 (1.50 to 2.50) | 1 |" in text
    assert "| my\\|agent † | – | words |" in text
    assert "| gone † | failed | |" in text
    assert "† gone: ValueError: no such {thing}" in text


def test_latex_escapes_what_it_would_take_for_a_command() -> None:
    assert latex_escaped("50 % of a_b & {c} #1 $2 ~ ^ \\ <") == (
        r"50 \% of a\_b \& \{c\} \#1 \$2 \textasciitilde{} \textasciicircum{} \textbackslash{} \textless{}"
    )
    text = to_latex(TABLE)
    assert r"\caption{A 100 \% table. What\_it is.}" in text
    assert r"agent & x\_1 & A \& B \\" in text
    assert r"gone$^\dagger$ & \multicolumn{2}{l}{failed: ValueError: no such \{thing\}} \\" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1


def test_html_escapes_and_marks_what_failed() -> None:
    text = to_html(TABLE)
    assert "<b>" not in text
    assert "50 % of &lt;b&gt; &amp; more" in text
    assert text.count("†") == 4


def test_the_page_says_first_where_a_baseline_wins_and_how_it_was_made() -> None:
    text = page(_results(), "instructrec compare tiny")
    assert text.splitlines()[2].startswith("parser beats slate_ppo by 1.00")
    for words in ("`f00`", "training seeds: 0, 1", "instructrec compare tiny", "1,000", "2 training seeds"):
        assert words in text
    assert latex_page(_results(), "instructrec compare tiny").startswith("% instructrec/Tiny-v0 f00")


def test_an_agent_that_failed_stands_in_every_table_that_it_would_stand_in() -> None:
    why = {"seed": None, "cell": "ppo", "kind": "ValueError", "error": "broken", "agent": "ppo"}
    several = _results(
        failed=[{**why, "aspect": "edits"}], pmrr={"parser": {"pmrr": _entry(80)}},
        cold_start={"0": {"parser": {"return": _entry(2)}}},
    )  # fmt: skip
    failed = {table.name: dict(table.failed) for table in tables_of(several)}
    assert failed["pmrr"] == {"ppo": "ValueError: broken"}
    assert failed["return"] == failed["cold_start"] == {}
    untrained = _results(failed=[{**why, "aspect": "training"}])
    assert all(table.failed == {"ppo": "ValueError: broken"} for table in tables_of(untrained))
    assert "ppo, training: ValueError: broken" in page(untrained, "")


@pytest.mark.parametrize("absent", ["ranking", "held_out_ratings", "pmrr"])
def test_what_was_not_measured_makes_no_table(absent: str) -> None:
    assert absent not in {table.name for table in tables_of(_results())}

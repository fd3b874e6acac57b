"""The table of an ablation, for a terminal and as a page."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from instructrec.experiments.statistics import label

_PEOPLE = {"validation": "held-out people in held-out sentences", "test": "the test people"}


def ordered(document: Mapping[str, Any]) -> list[str]:
    """Returns the variants: the full agent, its variants and others by return, then those that failed."""
    rows = document["variants"]
    first, *others = rows
    return [first, *sorted(others, key=lambda name: -rows[name].get("return", {}).get("value", float("-inf")))]


def to_text(document: Mapping[str, Any]) -> str:
    """Returns the table in at most 80 columns."""
    heads = f"{'variant':<15}{'return':>7}{'share':>7}{'CSR':>6}{'to full':>9}{'95 %':>16}{'arrived':>9}{'train s':>8}"
    lines = [heads, "─" * len(heads)]
    for name in ordered(document):
        row = document["variants"][name]
        if "return" not in row:
            lines.append(f"{name:<15}{'failed':>7}")
            continue
        apart = row.get("difference")
        lines.append(
            f"{name:<15}{row['return']['value']:>7.2f}{_number(_share(row)):>7}{_number(row.get('csr')):>6}"
            f"{_number(apart, '+.2f'):>9}{_ends(apart):>16}{_steps(row['steps_to_arrive']):>9}{row['seconds']:>8.0f}"
        )
    said = [part for words in (*_failures(document), _about(document)) for part in textwrap.wrap(words, 80)]
    return "\n".join([*lines, "", *said])


def to_markdown(document: Mapping[str, Any]) -> str:
    """Returns the table as a page: what differs, what it does, the curves and the command."""
    settings = ", ".join(f"`{name}={value}`" for name, value in document["world_settings"].items())
    lines = [
        f"# What each part gives: {document['world']}",
        "",
        f"{_about(document)} {_COLUMNS}",
        "",
        f"World settings: {settings or 'as they come'}; fingerprint `{document['fingerprint']}`.",
        "",
        "| variant | what differs | return | share of informed | share of oracle | difference to full | CSR | arrived "
        "after | training |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ordered(document):
        row = document["variants"][name]
        if "return" not in row:
            lines.append(f"| {name} | {row['about']} | failed | – | – | – | – | – | – |")
            continue
        cells = [
            _interval(row["return"]),
            _interval(row.get("informed_normalised_return")),
            _interval(row.get("oracle_normalised_return")),
            _interval(row.get("difference")),
            _interval(row.get("csr")),
            _steps(row["steps_to_arrive"]),
            f"{row['seconds']:.0f} s",
        ]
        lines.append(f"| {name} | {row['about']} | {' | '.join(cells)} |")
    bounds = [f"{name} {_interval(row['return'])}" for name, row in document["bounds"].items()]
    lines += ["", f"Bounds, in points a session: {'; '.join(bounds)}."]
    lines += [f"\n{failure}" for failure in _failures(document)]
    lines += ["", "![Returns of checkups on the way](curves.png)", "", "Made by:", ""]
    return "\n".join([*lines, "```", document["command"], "```", ""])


_COLUMNS = (
    "In brackets 95 % intervals, resampling people and seeds; differences are of the same people with the same luck. "
    "*Arrived*: user-steps to the first checkup with 80 % of what the agent gains over random in the end."
)


def _about(document: Mapping[str, Any]) -> str:
    return (
        f"{label(document['seeds']).capitalize()}; {document['steps']:,} user-steps each, measured on "
        f"{document['sessions']} sessions of {_PEOPLE[document['split']]}."
    )


def _failures(document: Mapping[str, Any]) -> list[str]:
    rows = document["variants"].items()
    return [f"{name} failed with {row['failed']} seed(s): {row['error']}" for name, row in rows if "error" in row]


def _share(row: Mapping[str, Any]) -> Any:
    return row.get("informed_normalised_return", row.get("oracle_normalised_return"))


def _number(entry: Mapping[str, Any] | None, shape: str = ".2f") -> str:
    return "–" if entry is None or entry["value"] is None else f"{entry['value']:{shape}}"


def _ends(entry: Mapping[str, Any] | None) -> str:
    return "–" if entry is None or entry["low"] is None else f"{entry['low']:.2f} to {entry['high']:.2f}"


def _interval(entry: Mapping[str, Any] | None) -> str:
    return _number(entry) + (f" ({_ends(entry)})" if entry is not None and entry["low"] is not None else "")


def _steps(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"

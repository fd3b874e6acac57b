"""A study of learning from a log as a Markdown page, and as text of at most 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from instructrec.experiments.folding import fold
from instructrec.experiments.headline import FLAGSHIP

LOGGER, AT_ITS_BEST, START = "logger", "logger at its best", "before learning"
"""Who learns nothing from the log, as they are called in documents, tables and pictures."""
SPOILED = {"noise": "feedback is another item's", "sparsity": "feedback never arrived"}
_NO = "–"
_HEAD = f"{'agent':<21}{'return':>8}  {'95 %':<15}{'norm.':>6}{'share':>7}  {'95 %':<14}{'CSR':>5}"


def called(agent: str) -> str:
    """Returns what an agent is called in tables and pictures."""
    return f"{agent}, online" if agent == FLAGSHIP else agent


def to_text(document: Mapping[str, Any]) -> str:
    """Returns what was found as tables of at most 80 columns; ``document`` is from `learn_study`."""
    lines = []
    for title, rows in _tables(document):
        lines += ["", *_folded(title), "", _HEAD, "─" * len(_HEAD), *map(_line, rows)]
    return "\n".join([*lines[1:], "", *_folded(_legend(document, normalised="norm.", gained=False))])


def _line(row: Mapping[str, Any]) -> str:
    value, share = row["return"], row.get("share")
    return (
        f"{called(row['agent']):<21}{_number(value['value']):>8}  {_between(value):<15}"
        f"{_number(_middle(row.get('normalised'))):>6}{_number(_middle(share)):>7}  {_between(share):<14}"
        f"{_number(row.get('csr')):>5}"
    ).rstrip()


def _tables(document: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    yield "Without learning from the log", document["references"]
    for size in document["sizes"]:
        yield f"From {size['sessions']:,} sessions, {size['turns']:,} turns", size["rows"]
    for one in document["spoiled"]:
        where = f"From {document['spoiled_sessions']:,} sessions"
        yield f"{where}, where {one['share']:.0%} of the {SPOILED[one['kind']]}", one["rows"]


def _legend(document: Mapping[str, Any], *, normalised: str, gained: bool) -> str:
    by, said = document["normalised_by"], []
    if by is not None:
        said.append(f"{normalised} is (V − V_random) / (V_{by} − V_random)")
    if document["study"]["online"]:
        said.append(
            f"share is (V − V_logger) / (V_online − V_logger), online being {FLAGSHIP} trained among people for as "
            "many turns as the log holds"
        )
    if gained:
        said.append(f"gained by learning is V − V_start, where learning starts from what is called {START}")
    said.append("CSR is the share of what was asked that the shown items meet")
    seeds = max((row["seeds"] for size in document["sizes"] for row in size["rows"]), default=1)
    said.append(f"{document['people']:,} {document['split']} people, {seeds} seed{'' if seeds == 1 else 's'}")
    return "; ".join([*said, f"intervals are over people{'' if seeds == 1 else ' and seeds'}, at 95 %."])


def _folded(words: str) -> list[str]:
    return fold(words, indent="").splitlines()


def _middle(found: Mapping[str, Any] | None) -> float | None:
    return None if found is None else found["value"]


def _number(value: float | None) -> str:
    return _NO if value is None else f"{value:.2f}"


def _between(found: Mapping[str, Any] | None) -> str:
    if found is None or found["low"] is None:
        return ""
    return f"{found['low']:.2f} to {found['high']:.2f}"


def _ends(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return _NO
    return _number(found["value"]) + (f" ({_between(found)})" if _between(found) else "")


# --- Markdown ---------------------------------------------------------------------------------------------------------


def to_markdown(document: Mapping[str, Any], pictures: Sequence[str]) -> str:
    """Returns the study as a page.

    Args:
        document: From `learn_study`.
        pictures: File names of its pictures, beside the page.
    """
    study = document["study"]
    settings = " ".join(f"{name}={value}" for name, value in study["world_settings"].items())
    read = f"{study['prompts']:,} prompts of its own" if study["prompts"] else "nothing before"
    lines = [
        f"# Learning from a log: {study['world']}",
        "",
        f"Logged by {study['policy'].partition('=')[0]} at temperature {study['temperature']:g} with training people"
        + (f", {settings}" if settings else "")
        + f"; those that learn from it have read {read}. {_legend(document, normalised='normalised', gained=True)}",
        "",
    ]
    for title, rows in _tables(document):
        lines += [f"## {title}", "", *_table(rows), ""]
    lines += [part for name in pictures for part in (f"![{name.removesuffix('.png')}]({name})", "")]
    return "\n".join([*lines, "Made by:", "", "```", document["command"], "```", ""])


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "return": lambda row: _ends(row["return"]),
        "normalised": lambda row: _ends(row.get("normalised")),
        "share": lambda row: _ends(row.get("share")),
        "above the logger": lambda row: _ends(row.get("above_logger")),
        "gained by learning": lambda row: _ends(row.get("above_start")),
        "above the logger's best": lambda row: _ends(row.get("above_best")),
        "above `clone`": lambda row: _ends(row.get("above_clone")),
        "CSR": lambda row: _number(row.get("csr")),
    }
    told = {name: [say(row) for row in rows] for name, say in columns.items() if any(say(row) != _NO for row in rows)}
    lines = [f"| agent | {' | '.join(told)} |", "|---" * (len(told) + 1) + "|"]
    for number, row in enumerate(rows):
        lines.append(f"| {called(row['agent'])} | {' | '.join(column[number] for column in told.values())} |")
    return lines

"""Tables of a comparison as Markdown, LaTeX and HTML, and the page that has all of them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from instructrec.experiments.headline import headline, interval, kind_of, scope
from instructrec.experiments.tables import Entry, Table, tables_of


def _written(entry: Entry, form: str, dash: str = "–") -> tuple[str, str]:
    """Returns a value and its interval as texts; the interval is empty where there is none."""
    if isinstance(entry, str):
        return entry, ""
    found = interval(entry)
    if found is None:
        return dash, ""
    spread = "" if found.low == found.high else f"{form.format(found.low)} to {form.format(found.high)}"
    return form.format(found.value), spread


def to_markdown(table: Table) -> str:
    """Returns a table with its heading as Markdown."""
    lines = [f"## {table.title}", "", table.about, ""]
    lines.append("| agent | " + " | ".join(_cell(column.head) for column in table.columns) + " |")
    lines.append("|---" * (len(table.columns) + 1) + "|")
    for label, row in table.rows.items():
        cells = []
        for column, entry in zip(table.columns, row, strict=True):
            value, spread = _written(entry, column.form)
            cells.append(_cell(f"{value} ({spread})" if spread else value))
        name = f"**{label}**" if kind_of(label) == "flagship" else label
        lines.append(f"| {_cell(name)}{' †' if label in table.failed else ''} | " + " | ".join(cells) + " |")
    for label in table.failed:
        if label not in table.rows:
            lines.append(f"| {_cell(label)} † | failed |" + " |" * (len(table.columns) - 1))
    if table.failed:
        lines += ["", *(f"† {_cell(label)}: {_cell(why)}" for label, why in table.failed.items())]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def page(results: Mapping[str, Any], command: str) -> str:
    """Returns all tables as one page: what was found first, and first of that where a baseline wins."""
    lines = [f"# {results['world']}: who earns what, and who listens", "", *headline(results), "", scope(results), ""]
    facts = {
        "fingerprint": f"`{results['fingerprint']}`",
        "training seeds": ", ".join(map(str, results["seeds"])),
        "people, sessions": f"{results['people']}, {results['sessions']}, {results.get('split', '')}, seed "
        f"{results.get('session_seed', '')}",
        "user-steps of training": f"{results['steps']:,}" if results.get("steps") else "",
    }
    lines += [f"- {name}: {value}" for name, value in facts.items() if value]
    lines += ["", "Made by:", "", "```", command, "```", ""]
    lines += [
        "In brackets 95 % intervals, resampling people and seeds; † some of it failed, with the reason below.",
        "",
    ]
    lines += [to_markdown(table) for table in tables_of(results)]
    for title, told in (("What failed", failures(results)), ("Left out, never zero", left_out(results))):
        if told:
            lines += [f"## {title}", "", *(f"- {_cell(each)}" for each in told), ""]
    return "\n".join(lines)


def left_out(results: Mapping[str, Any]) -> list[str]:
    """Returns what makes no sense and is absent, one sentence per agent and aspect."""
    told = [f"{each['agent']}, {each['aspect'].replace('_', ' ')}: {each['why']}" for each in results.get("absent", ())]
    return list(dict.fromkeys(told))


def failures(results: Mapping[str, Any]) -> list[str]:
    """Returns what could not be finished, one sentence per cell and aspect."""
    return [
        f"{each['cell']}, {each['aspect'].replace('_', ' ')}: {each['kind']}: {each['error']}"
        for each in results.get("failed", ())
    ]


# --- As LaTeX --------------------------------------------------------------------------------------------------------

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "–": "--", "→": r"$\to$", "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$", "−": "$-$",
    "“": "``", "”": "''", "†": r"$\dagger$",
}  # fmt: skip


def latex_escaped(text: str) -> str:
    """Returns a text as LaTeX shows it, on one line."""
    return "".join(_SPECIAL.get(letter, letter) for letter in " ".join(text.split()))


def to_latex(table: Table) -> str:
    """Returns a table for LaTeX, with the package booktabs; its label is ``tab:`` and its name."""
    heads = " & ".join(["agent", *(latex_escaped(column.head) for column in table.columns)])
    lines = [
        r"\begin{table}",
        rf"  \caption{{{latex_escaped(table.title)}. {latex_escaped(table.about)}}}",
        rf"  \label{{tab:{table.name}}}",
        rf"  \begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"    \toprule",
        rf"    {heads} \\",
        r"    \midrule",
    ]
    for label, row in table.rows.items():
        cells = [latex_escaped(label) + (r"$^\dagger$" if label in table.failed else "")]
        for column, entry in zip(table.columns, row, strict=True):
            value, spread = _written(entry, column.form)
            small = rf" {{\scriptsize({latex_escaped(spread)})}}" if spread else ""
            cells.append(latex_escaped(value) + small)
        lines.append(rf"    {' & '.join(cells)} \\")
    for label, why in table.failed.items():
        told = rf"\multicolumn{{{len(table.columns)}}}{{l}}{{failed: {latex_escaped(why)}}}"
        lines.append(rf"    {latex_escaped(label)}$^\dagger$ & {told} \\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def latex_page(results: Mapping[str, Any], command: str) -> str:
    """Returns all tables for LaTeX, under a comment that says how they were made."""
    about = [f"% {results['world']} {results['fingerprint']}, {scope(results)}", f"% {' '.join(command.split())}"]
    about += [r"% \usepackage{booktabs}", ""]
    return "\n".join([*about, *(to_latex(table) for table in tables_of(results))])


# --- As HTML ---------------------------------------------------------------------------------------------------------


def to_html(table: Table) -> str:
    """Returns a table without its heading as HTML."""
    heads = "".join(f'<th scope="col">{escape(column.head)}</th>' for column in table.columns)
    rows = []
    for label, row in table.rows.items():
        cells = []
        for column, entry in zip(table.columns, row, strict=True):
            value, spread = _written(entry, column.form)
            small = f"<small>{escape(spread)}</small>" if spread else ""
            cells.append(f"<td>{escape(value)}{small}</td>".replace(">-", ">−"))
        kind, mark = kind_of(label), " †" if label in table.failed else ""
        name = f'<span class="who-{kind}">{escape(label)}</span>{mark}'
        rows.append(f'<tr class="{kind}"><th scope="row">{name}</th>{"".join(cells)}</tr>')
    rows += [
        f'<tr><th scope="row">{escape(label)} †</th><td class="left" colspan="{len(table.columns)}">failed</td></tr>'
        for label in table.failed
        if label not in table.rows
    ]
    why = "".join(f'<p class="note">† {escape(label)}: {escape(reason)}</p>' for label, reason in table.failed.items())
    label = escape(table.title, quote=True)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table class="results">'
        f'<thead><tr><th scope="col">agent</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>{why}'
    )

"""The report: one HTML page that explains a comparison to people, with everything it needs inside.

No script, no request, no foreign font: it opens from a disk, a mail or an archive. Every text from outside (titles,
instructions, names) is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from instructrec.experiments.conversations import Conversation, Turn
from instructrec.experiments.headline import (
    ABOUT,
    COLUMNS,
    FLAGSHIP,
    headline,
    interval,
    kind_of,
    metric,
    ordered,
    scope,
)
from instructrec.experiments.plots import Line, Spread, lines_chart, rows_chart
from instructrec.experiments.report_style import STYLE
from instructrec.experiments.table_formats import failures, left_out, to_html
from instructrec.experiments.tables import tables_of

GROUPS = {
    "flagship": "The agent of this run",
    "control": "Controls",
    "baseline": "Baselines",
    "reference": "References: they know what no honest agent knows",
}
LIMITS = (
    "The people are simulated. How they look down a slate, tire, trust and leave is assumed, not fitted; so are taste "
    "and quality, but in Movies and in worlds made from data, where they are fitted to ratings or clicks.",
    "Instructions come from a grammar. CSR is adherence inside this world; it does not show that an agent "
    "understands language at large.",
    "A greedy oracle is no upper bound: an agent that plans may pass it.",
    "Latency was measured on the machine that made this page, once, with whatever else it was doing.",
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a page is made of.

    Attributes:
        results: The results document, as in ``results.json``.
        curves: Training curves by agent: rows of ``step``, ``return`` and, where known, ``csr``.
        conversations: Sample sessions; those of the same lane are set side by side.
        command: The command that made it.
        versions: Versions of what it ran on.
        failures: Gates that failed, as sentences.
        limits: What the numbers do not show.
    """

    results: Mapping[str, Any]
    curves: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    conversations: Sequence[Conversation] = ()
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    failures: Sequence[str] = ()
    limits: Sequence[str] = LIMITS


def render(report: Report) -> str:
    """Returns the page as HTML."""
    results = report.results
    first, *rest = headline(results)
    body = [
        f"<h1>InstructRec on {escape(str(results.get('world', '')))}</h1>",
        f'<p class="headline">{escape(first)}</p>',
        '<div class="lead">',
        *(f'<p class="warning"><strong>Gate failed.</strong> {escape(failure)}</p>' for failure in report.failures),
        *(f"<p>{escape(sentence)}</p>" for sentence in rest),
        f'<p class="soft">{escape(scope(results))}</p></div>',
        "<h2>Who earns what, and who listens</h2>",
        f'<div class="grid2">{"".join(_figures(report))}</div>',
        "<h2>All numbers</h2>",
        _table(results),
        _glossary(),
        *_sections(results),
        *_talks(report.conversations),
        "<h2>What this does not show</h2>",
        f"<ul>{''.join(f'<li>{escape(limit)}</li>' for limit in report.limits)}</ul>",
        "<h2>How it was made</h2>",
        _making(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>InstructRec: {escape(str(results.get('world', '')))}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _figure(plot: str, heading: str, caption: str) -> str:
    return f"<figure><h3>{escape(heading)}</h3>{plot}<figcaption>{escape(caption)}</figcaption></figure>"


def _figures(report: Report) -> Iterable[str]:
    results = report.results
    yield from _return_figure(results)
    yield from _listening_figure(results)
    for agent, rows in report.curves.items():
        yield from _curve_figure(agent, rows)
    yield from _band_figures(results)
    yield from _latency_figure(results)


def _return_figure(results: Mapping[str, Any]) -> Iterable[str]:
    rows = []
    for name in results["agents"]:
        found = metric(results, name, "return")
        if found:
            rows.append(Spread(name, found.low, found.value, found.high, kind_of(name), f"{found.value:.2f}"))
    rows.sort(key=lambda row: -row.value)
    if rows:
        summary = "; ".join(f"{row.name} {row.value:.2f} ({row.low:.2f} to {row.high:.2f})" for row in rows)
        plot = rows_chart(rows, title="Return per session by agent", summary=summary, axis="points per session")
        yield _figure(
            plot,
            "Return",
            "Mean points per session, a click one point unless the world says otherwise. "
            "The bar is the 95 % interval over people.",
        )


def _listening_figure(results: Mapping[str, Any]) -> Iterable[str]:
    rows = []
    for name in results["agents"]:
        csr, gain = metric(results, name, "csr"), metric(results, name, "control_gain")
        if csr and gain:
            # The pair runs from deaf to hearing; words can also do harm, and then the hollow dot is on the right.
            rows.append(
                Spread(
                    name, csr.value - gain.value, csr.value, None, kind_of(name), f"{gain.value:+.2f}".replace("-", "−")
                )
            )
        elif csr:
            rows.append(Spread(name, csr.value, csr.value, csr.value, kind_of(name), ""))
    rows.sort(key=lambda row: -row.value)
    if rows:
        summary = "; ".join(f"{row.name} {row.value:.2f}, gain {row.label or 'unknown'}" for row in rows)
        plot = rows_chart(rows, title="Adherence with and without words", summary=summary, axis="CSR@K")
        caption = "Share of what people asked for that slates meet: ● hearing them, ○ the same agent given empty text. "
        yield _figure(plot, "Adherence, and how much of it is listening", caption + "At the right, the control gain.")


def _curve(rows: Sequence[Mapping[str, float]], key: str, name: str, kind: str) -> Line | None:
    known = [row for row in rows if row.get(key) is not None]
    if len(known) < 2:
        return None
    return Line(name, tuple(float(row["step"]) for row in known), tuple(float(row[key]) for row in known), kind)


def _curve_figure(agent: str, rows: Sequence[Mapping[str, float]]) -> Iterable[str]:
    earned = _curve(rows, "return", "return", "flagship")
    if earned:
        title = f"Learning curve of {agent}"
        plot = lines_chart([earned], title=title, summary=_ends(earned), across="user-steps", up="points per session")
        caption = "Return of training sessions, with exploration: not the table's numbers."
        yield _figure(plot, f"How {agent} learned to earn", caption)
    heard = [_curve(rows, "csr", "CSR", "flagship"), _curve(rows, "control_gain", "control gain", "control")]
    lines = [line for line in heard if line]
    if lines:
        summary = "; ".join(_ends(line) for line in lines)
        title = f"Adherence of {agent} while it learned"
        plot = lines_chart(lines, title=title, summary=summary, across="user-steps", up="share of what was asked for")
        yield _figure(plot, f"How {agent} learned to listen", "Checkups on people whom training never meets.")


_BANDS = (
    ("checkup_return", "Learning curves: people whom training never meets", "points per session"),
    ("return", "Learning curves: sessions of training", "points per session"),
    ("csr", "Adherence while learning", "share of what was asked for"),
)


def _band_figures(results: Mapping[str, Any]) -> Iterable[str]:
    """Yields learning curves with their bands over seeds; one seed has none and is shown by itself."""
    for key, title, up in _BANDS:
        lines = []
        for agent, bands in results.get("curves", {}).items():
            points = bands.get(key, ())
            if points and points[0]["seeds"] > 1:
                parts = [tuple(float(point[part]) for point in points) for part in ("step", "value", "low", "high")]
                lines.append(Line(agent, parts[0], parts[1], kind_of(agent), parts[2], parts[3]))
        if lines:
            summary = "; ".join(_ends(line) for line in lines)
            plot = lines_chart(lines, title=title, summary=summary, across="user-steps", up=up)
            yield _figure(plot, title, "The mean over training seeds; the band resamples seeds.")


_SHOWN_ALREADY = ("return", "latency")


def _sections(results: Mapping[str, Any]) -> list[str]:
    """Returns the tables of a whole protocol; those of a plain comparison stand elsewhere on the page."""
    if "aspects" not in results:
        return []
    parts = []
    for table in tables_of(results):
        if table.name not in _SHOWN_ALREADY or table.failed:
            parts += [f"<h2>{escape(table.title)}</h2>", f'<p class="soft">{escape(table.about)}</p>', to_html(table)]
    for title, told in (("What failed", failures(results)), ("What is left out, and why", left_out(results))):
        if told:
            items, shown = (
                "".join(f"<li>{escape(each)}</li>" for each in told),
                " open" * title.startswith("What failed"),
            )
            parts.append(f"<details{shown}><summary>{title}</summary><ul>{items}</ul></details>")
    return parts


def _ends(line: Line) -> str:
    return f"{line.name} from {line.ys[0]:.2f} at step {line.xs[0]:.0f} to {line.ys[-1]:.2f} at step {line.xs[-1]:.0f}"


def _latency_figure(results: Mapping[str, Any]) -> Iterable[str]:
    rows = []
    for name in results["agents"]:
        fast, slow = metric(results, name, "latency_p50_ms"), metric(results, name, "latency_p99_ms")
        if fast and slow and fast.value > 0 and slow.value > 0:
            label = f"{fast.value:.1f} / {slow.value:.1f}"
            rows.append(Spread(name, fast.value, slow.value, None, kind_of(name), label))
    rows.sort(key=lambda row: row.value)
    if rows:
        summary = "; ".join(f"{row.name} {row.label} ms" for row in rows)
        plot = rows_chart(
            rows, title="Latency of a decision", summary=summary, axis="milliseconds, log scale", log=True
        )
        yield _figure(plot, "Latency", "One decision for one person, text known: ○ median, ● the slowest in a hundred.")


def _table(results: Mapping[str, Any]) -> str:
    shown = [column for column in COLUMNS if any(metric(results, name, column[0]) for name in results["agents"])]
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for _, heading, _ in shown)
    rows, last = [], ""
    for name in ordered(results):
        kind = kind_of(name)
        if kind != last:
            rows.append(f'<tr class="group"><th colspan="{len(shown) + 1}" scope="colgroup">{GROUPS[kind]}</th></tr>')
            last = kind
        cells = "".join(_cell(metric(results, name, key), form) for key, _, form in shown)
        about = f"<small>{escape(ABOUT[name])}</small>" if name in ABOUT else ""
        note = results.get("notes", {}).get(name)
        about += f"<small>{escape(str(note))}</small>" if note else ""
        flags = [str(flag) for flag in results.get("flags", {}).get(name, ())]
        about += "".join(
            f'<span class="flag" title="{escape(flag, quote=True)}">{_flag(flag)}</span>' for flag in flags
        )
        rows.append(
            f'<tr class="{kind}"><th scope="row"><span class="who-{kind}">{escape(name)}</span>{about}</th>{cells}</tr>'
        )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="All numbers"><table class="results">'
        f'<thead><tr><th scope="col">agent</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        + _differences(results)
        + _flags(results)
    )


def _flag(sentence: str) -> str:
    """Returns a flag in a word or two; the sentence itself stands below the table."""
    short = {"is deaf": "deaf", "not above random": "not above random", "much the same": "same slate for all"}
    return next((words for sign, words in short.items() if sign in sentence), "flagged")


def _cell(found: Any, form: str) -> str:
    if found is None:
        return "<td>–</td>"
    spread = "" if found.low == found.high else f"<small>{form.format(found.low)} – {form.format(found.high)}</small>"
    return f"<td>{form.format(found.value)}{spread}</td>".replace(">-", ">−")


def _differences(results: Mapping[str, Any]) -> str:
    found = [(name, interval(entry)) for name, entry in results.get("differences", {}).items()]
    parts = [f"{name} {d.value:+.2f} ({d.low:+.2f} to {d.high:+.2f})".replace("-", "−") for name, d in found if d]
    if not parts:
        return ""
    words = f"Paired difference in return of {FLAGSHIP} to each other agent, on the same people with the same luck: "
    return f'<p class="note">{escape(words + "; ".join(parts))}.</p>'


def _flags(results: Mapping[str, Any]) -> str:
    sentences = [str(flag) for flags in results.get("flags", {}).values() for flag in flags]
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<details><summary>Why agents are flagged</summary><ul>{items}</ul></details>"


def _glossary() -> str:
    entries = (
        ("return", "points in a session; a click is one point unless the world says otherwise"),
        ("share of informed", "how far from random (0) to the informed reference (1) the return lies"),
        ("CSR", "share, by weight, of what was asked for that the shown items meet"),
        ("strict", "share of shown items that meet every hard condition that was said"),
        ("violation", "share of shown items that break an exclusion (“no horror”)"),
        ("unsuitable", "share of shown items that a rule says must never be shown to the person"),
        ("control gain", "CSR minus the CSR of the same agent given empty text: what listening brings"),
        ("session length", "slates seen before leaving or the turn limit"),
        ("ms p50, p99", "milliseconds for one decision: the median, and the slowest in a hundred"),
    )
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in entries)
    return f"<details><summary>What the columns mean</summary><dl>{items}</dl></details>"


def _talks(conversations: Sequence[Conversation]) -> list[str]:
    if not conversations:
        return []
    lanes = dict.fromkeys(talk.lane for talk in conversations)
    parts = [
        "<h2>Sample conversations</h2>",
        '<p class="soft">The same people with the same luck, chosen by number and not by outcome. '
        '<span class="yes">✓</span> the item meets that part of the request, <span class="no">✗</span> it does not; '
        '<span class="clicked">●</span> the person clicked it.</p>',
    ]
    for lane in lanes:
        sides = [talk for talk in conversations if talk.lane == lane]
        for number in range(max(len(talk.turns) for talk in sides)):
            cards = "".join(_side(talk, number) for talk in sides if number < len(talk.turns))
            parts.append(f'<div class="talk grid2">{cards}</div>')
    return parts


def _side(talk: Conversation, number: int) -> str:
    turn = talk.turns[number]
    words = f"Person {talk.lane}, turn {number + 1}, {talk.agent}"
    clicks = sum(item.clicked for item in turn.items)
    return (
        f'<section class="card"><h3 class="who-{kind_of(talk.agent)}">{escape(words)}</h3>'
        f'<p class="said">“{escape(turn.instruction) or "…"}”</p>{_slate(turn)}'
        f'<p class="note">{clicks} clicked; the person {escape(turn.ending)}.</p></section>'
    )


def _slate(turn: Turn) -> str:
    heads = "".join(
        f'<th scope="col" class="wish">{escape(wish)}{"" if met else " (slate ✗)"}</th>'
        for wish, met in zip(turn.wishes, turn.slate_met, strict=True)
    )
    rows = []
    for item in turn.items:
        marks = "".join(
            '<td class="mark yes" aria-label="met">✓</td>' if met else '<td class="mark no" aria-label="not met">✗</td>'
            for met in item.met
        )
        click = '<span class="clicked" aria-label="clicked">●</span>' if item.clicked else ""
        rows.append(f'<tr><td class="title">{escape(item.title)}</td>{marks}<td class="mark">{click}</td></tr>')
    return (
        f'<div style="overflow-x:auto"><table class="slate"><thead><tr><th scope="col" class="left">title</th>{heads}'
        f'<th scope="col"><span class="clicked">●</span></th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _making(report: Report) -> str:
    results = report.results
    timing = "; ".join(
        f"{name} {value:.4g}"
        for name, value in dict(results.get("timing", {})).items()
        if isinstance(value, int | float)
    )
    facts = {
        "world": results.get("world"),
        "fingerprint": results.get("fingerprint"),
        "seeds": ", ".join(str(seed) for seed in results.get("seeds") or ()),
        "people, sessions": f"{results.get('people')}, {results.get('sessions')}",
        "timing": timing,
        "versions": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    }
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items() if value)
    command = f"<pre><code>{escape(report.command)}</code></pre>" if report.command else ""
    return f"{command}<dl>{items}</dl>"

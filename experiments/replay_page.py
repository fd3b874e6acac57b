"""The page of a replay: one HTML file with everything inside that shows sessions turn by turn, agents side by side.

As the report, it holds no script, no request and no foreign font, and every text from outside is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import zip_longest
from typing import Any

from instructrec.agents.explanations import ABOUT, Contribution, Explanation
from instructrec.experiments.recommend import signed
from instructrec.experiments.replay import Replay, ReplayTurn, Shown, Wish
from instructrec.experiments.report_style import STYLE

_STYLE = """
main { max-width: calc(320px + var(--agents) * 420px); }
.agent-0 { --agent: var(--flagship); } .agent-1 { --agent: var(--control); } .agent-2 { --agent: var(--reference); }
.people { position: sticky; top: 0; z-index: 1; background: var(--page); border-bottom: 1px solid var(--line);
  margin: 1.2rem 0 0; padding: .5rem 0; display: flex; flex-wrap: wrap; gap: .3rem; align-items: baseline; }
.people a { color: var(--ink); text-decoration: none; border: 1px solid var(--line); border-radius: 99px;
  padding: .05rem .75rem; background: var(--card); font-size: .9rem; }
.people a:hover, .people a:focus-visible { border-color: var(--flagship); color: var(--flagship); }
.person { scroll-margin-top: 3.2rem; } .person > h2 { margin-top: 2.2rem; }
.side { display: grid; gap: 1rem; grid-template-columns: repeat(var(--agents), minmax(0, 1fr)); margin: .8rem 0; }
.side > * { min-width: 0; border-top: 3px solid var(--agent); }
.side > .nobody { border: 1px dashed var(--line); background: none; }
.who { color: var(--agent); font-weight: 650; overflow-wrap: anywhere; }
.line { display: inline-block; width: 1.7rem; border-top: 3px solid var(--agent); vertical-align: .25rem;
  margin-right: .4rem; }
.agent-1 .line { border-top-style: dashed; } .agent-2 .line { border-top-style: dotted; }
.big { font-size: 1.25rem; font-weight: 650; }
.said { font-size: 1.05rem; font-weight: 600; margin: .1rem 0 .5rem; text-wrap: pretty; overflow-wrap: anywhere; }
.silent { color: var(--soft); font-weight: 400; font-style: italic; }
.wishes { list-style: none; padding: 0; margin: .4rem 0; display: flex; flex-wrap: wrap; gap: .3rem .4rem; }
.wishes li { border: 1px solid var(--line); border-radius: 6px; padding: .05rem .5rem; font-size: .84rem;
  overflow-wrap: anywhere; }
.wishes li.unsaid { border-style: dashed; color: var(--soft); }
.wishes b { color: var(--soft); margin-right: .3rem; } .wishes small { color: var(--soft); }
.slate td.title { width: 100%; } .slate .nr { color: var(--soft); padding-right: 0; }
.slate th.wish { color: var(--soft); font-weight: 600; } .slate th.unsaid { font-style: italic; font-weight: 400; }
.slate tr.unseen .title { color: var(--soft); }
.badge { color: var(--bad); border: 1px solid currentColor; border-radius: 99px; font-size: .7rem; padding: 0 .4rem;
  white-space: nowrap; }
.after { border-top: 1px solid var(--line); margin: .6rem 0 0; padding-top: .5rem; font-size: .9rem; max-width: none;
  font-variant-numeric: tabular-nums; }
.after b { font-weight: 650; } .ended { color: var(--bad); font-weight: 650; } .limit { font-weight: 650; }
.why { margin: 0; } .why summary { color: inherit; font-size: inherit; }
.why summary::marker { color: var(--soft); }
.parts { display: grid; grid-template-columns: fit-content(8.5rem) minmax(3rem, 1fr) max-content; gap: .1rem 0;
  align-items: center; font-size: .8rem; margin: .35rem 0 .5rem; max-width: 26rem; }
.parts > :nth-child(3n + 1) { overflow-wrap: anywhere; padding-right: .6rem; }
.parts .rest { color: var(--soft); font-style: italic; }
.parts .sum { border-top: 1px solid var(--line); font-weight: 650; padding-top: .1rem; align-self: stretch; }
.parts .value { text-align: right; padding-left: .5rem; }
.bar { position: relative; height: .6rem; background: linear-gradient(var(--line), var(--line)) 50% 0 / 1px 100%
  no-repeat; }
.bar i { position: absolute; top: 0; bottom: 0; border-radius: 2px; background: var(--good); }
.bar i.less { background: var(--bad); }
.charts { margin: .8rem 0; } .charts h3 { font-size: .9rem; }
.mood { max-width: 620px; }
.mood .course { fill: none; stroke: var(--agent); stroke-width: 2.4; stroke-linejoin: round; }
.mood .agent-1 .course { stroke-dasharray: 7 4; } .mood .agent-2 .course { stroke-dasharray: 2 4; }
.mood .point { fill: var(--agent); } .mood .gone { fill: var(--card); stroke: var(--agent); stroke-width: 2.4; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.3rem; color: var(--soft); font-size: .9rem; padding: 0;
  list-style: none; }
@media (max-width: 760px) { .side { grid-template-columns: minmax(0, 1fr); } .side > .nobody { display: none; }
  .turn-head { margin-bottom: .2rem; } }
@media print { .people { display: none; } .side > * { break-inside: avoid; } }
"""
_DOTS = 30
"""Turns beyond which a line has no dots but its last."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class ReplayPage:
    """What a page is made of.

    Attributes:
        results: Of the document of `instructrec.experiments.replay.replay`: ``world``, ``fingerprint``, ``split``,
            ``seed``, ``agents``.
        replays: The sessions; those of one lane are set side by side.
        command: The command that made it.
        versions: Versions of what it ran on.
    """

    results: Mapping[str, Any]
    replays: Sequence[Replay]
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def render_replay(page: ReplayPage) -> str:
    """Returns the page as HTML."""
    world, agents = str(page.results["world"]), [str(name) for name in page.results["agents"]]
    lanes = list(dict.fromkeys(each.lane for each in page.replays))
    met = [[each for each in page.replays if each.lane == lane] for lane in lanes]
    people = "one person" if len(lanes) == 1 else f"{len(lanes)} people"
    same = "person" if len(lanes) == 1 else "people"
    side = f", the same {same} with the same luck for each" if len(agents) > 1 else ""
    links = "".join(f'<a href="#person-{lane}">{lane}</a>' for lane in lanes)
    body = [
        f"<h1>InstructRec on {escape(world)}</h1>",
        f'<p class="headline">Turn by turn: {people} with {escape(_listed(agents))}{side}</p>',
        _key(page.replays),
        f'<nav class="people" aria-label="People"><span class="soft">Person</span>{links}</nav>',
        *(_person(sides) for sides in met),
        "<h2>How it was made</h2>",
        _making(page),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>InstructRec replay: {escape(world)}</title><style>{STYLE}{_STYLE}"
        f":root {{ --agents: {len(agents)}; }}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _key(replays: Sequence[Replay]) -> str:
    """Returns what the signs mean: those that are on the page."""
    turns = [turn for each in replays for turn in each.turns]
    items = [item for turn in turns for item in turn.items]
    signs = []
    if any(turn.wishes for turn in turns):
        signs.append("<b>a</b>, <b>b</b> … what they have in mind; dashed: not said yet, so no agent can know it")
        signs.append('<span class="yes">✓</span> the item has it, <span class="no">✗</span> it has not')
    signs.append('<span class="clicked">●</span> clicked and consumed, <span class="clicked">○</span> clicked only')
    if any(item.examined is False for item in items):
        signs.append("grey: not looked at")
    if any(turn.satisfaction is not None or turn.trust is not None for turn in turns):
        signs.append("whether somebody leaves is drawn by chance; their mood stands beside it")
    if any(item.why for item in items):
        signs.append("▸ a title opens to why it is shown")
    key = f'<ul class="key">{"".join(f"<li>{sign}</li>" for sign in signs)}</ul>'
    there = {part.name for item in items if item.why for part in item.why.rest}
    if not there:
        return key
    meant = "".join(f"<dt>{name}</dt><dd>{about}</dd>" for name, about in ABOUT.items() if name in there)
    words = "A score is an average item's plus what each word or phrase adds, and the following."
    return f"{key}<details><summary>What a score is made of</summary><p>{words}</p><dl>{meant}</dl></details>"


def _person(sides: Sequence[Replay]) -> str:
    lane, first = sides[0].lane, sides[0].turns[0]
    cards = "".join(_summary(each, place) for place, each in enumerate(sides))
    turns = zip_longest(*(each.turns for each in sides))
    return (
        f'<section class="person" id="person-{lane}"><h2>Person {lane}</h2>{_said(first.instruction)}'
        f'{_wishes(first.wishes)}<div class="side">{cards}</div>{_moods(sides)}'
        f"{''.join(_turn(sides, number, list(each)) for number, each in enumerate(turns))}</section>"
    )


def _said(words: str) -> str:
    if not words:
        return '<p class="said silent">says nothing</p>'
    return f'<p class="said">“{escape(words)}”</p>'


def _wishes(wishes: Sequence[Wish] | None, before: Sequence[Wish] | None = None) -> str:
    """Returns a goal as a list, a letter each; what was not there (or not said) ``before`` is marked."""
    if wishes is None:
        return ""
    if not wishes:
        return '<p class="note">asks for nothing in particular</p>'
    known = None if before is None else {wish.words: wish.said for wish in before}
    parts = []
    for place, wish in enumerate(wishes):
        notes = [] if wish.said else ["not said"]
        if known is not None and wish.words not in known:
            notes.append("new")
        elif known is not None and wish.said and not known[wish.words]:
            notes.append("said now")
        note = f" <small>({', '.join(notes)})</small>" if notes else ""
        letter = f"<b>{_letter(place)}</b>"
        parts.append(f'<li class="{"" if wish.said else "unsaid"}">{letter}{escape(wish.words)}{note}</li>')
    return f'<ul class="wishes" aria-label="What the person has in mind">{"".join(parts)}</ul>'


def _letter(place: int) -> str:
    return _LETTERS[place] if place < len(_LETTERS) else str(place + 1)


def _summary(told: Replay, place: int) -> str:
    slates = f"{len(told.turns)} slate{'' if len(told.turns) == 1 else 's'}"
    clicks = sum(item.clicked for turn in told.turns for item in turn.items)
    return (
        f'<div class="card agent-{place}"><span class="line"></span><span class="who">{escape(told.agent)}</span><br>'
        f'<span class="big">{_points(told.points)}</span> <span class="soft">in {slates}, {clicks} clicked</span><br>'
        f"{_ending(told.turns, moods=True)}</div>"
    )


def _points(points: float) -> str:
    number = f"{round(points, 2) + 0.0:g}".replace("-", "−")
    return f"{number} point{'' if number in ('1', '−1') else 's'}"


def _ending(turns: Sequence[ReplayTurn], *, moods: bool) -> str:
    """Returns what happened after the last of ``turns``; of somebody who left, also in which circumstances."""
    turn = turns[-1]
    if turn.ending == "stayed":
        return "stays"
    if turn.ending != "left":
        return f'<span class="limit">{escape(turn.ending)}</span>'
    facts = []
    idle = next((back for back, each in enumerate(reversed(turns)) if any(i.clicked for i in each.items)), len(turns))
    if idle:
        facts.append("nothing clicked" if idle == 1 else f"nothing clicked in {idle} slates running")
    if any(item.unsuitable for item in turn.items):
        facts.append("shown what must not be shown to them")
    facts += _mood(turn) if moods else []
    return f'<span class="ended">leaves</span>{": " if facts else ""}{", ".join(facts)}'


def _mood(turn: ReplayTurn) -> list[str]:
    known = (("satisfaction", turn.satisfaction), ("trust", turn.trust))
    return [f"{name} {mood:.2f}" for name, mood in known if mood is not None]


def _turn(sides: Sequence[Replay], number: int, turns: Sequence[ReplayTurn | None]) -> str:
    cards = "".join(
        f'<div class="card nobody agent-{place}"><p class="note">{escape(told.agent)}: the session is over</p></div>'
        if turn is None
        else _card(told, number, place)
        for place, (told, turn) in enumerate(zip(sides, turns, strict=True))
    )
    return f'<h3 class="turn-head">Turn {number + 1}</h3><div class="side">{cards}</div>'


def _card(told: Replay, number: int, place: int) -> str:
    turn = told.turns[number]
    before = told.turns[number - 1].wishes if number else None
    facts = [f"<b>{_points(turn.reward)}</b>", *_mood(turn)]
    facts.append(_ending(told.turns[: number + 1], moods=False))
    return (
        f'<section class="card agent-{place}" aria-label="Turn {number + 1}, {escape(told.agent, quote=True)}">'
        f'<div class="who">{escape(told.agent)}</div>{_said(turn.instruction)}{_wishes(turn.wishes, before)}'
        f'{_slate(turn)}<p class="after">{" · ".join(facts)}</p></section>'
    )


def _slate(turn: ReplayTurn) -> str:
    wishes = turn.wishes or ()
    heads = "".join(
        f'<th scope="col" class="wish{"" if wish.said else " unsaid"}" title="{escape(wish.words, quote=True)}">'
        f"{_letter(place)}{'' if wish.whole else '<br><small>slate</small> <span class=no>✗</span>'}</th>"
        for place, wish in enumerate(wishes)
    )
    # One scale for the slate, so that its items can be compared.
    scale = max((abs(p.value) for i in turn.items if i.why for p in (*i.why.words, *i.why.rest)), default=0.0)
    rows = "".join(_row(item, number, scale) for number, item in enumerate(turn.items, 1))
    return (
        f'<table class="slate"><thead><tr><th></th><th scope="col" class="left">title</th>{heads}'
        f'<th scope="col"><span class="clicked" title="clicked">●</span></th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _row(item: Shown, number: int, scale: float) -> str:
    marks = "".join(
        '<td class="mark yes" aria-label="met">✓</td>' if met else '<td class="mark no" aria-label="not met">✗</td>'
        for met in item.met
    )
    sign = "●" if item.consumed else "○" if item.clicked else ""
    known = "consumed" if item.consumed else "clicked"
    click = f'<span class="clicked" aria-label="{known}" title="{known}">{sign}</span>' if sign else ""
    title = escape(item.title) + (' <span class="badge">must not be shown</span>' if item.unsuitable else "")
    if item.why is not None:
        title = f'<details class="why"><summary>{title}</summary>{_parts(item.why, scale)}</details>'
    seen = ' class="unseen"' if item.examined is False else ""
    return (
        f'<tr{seen}><td class="nr">{number}</td><td class="title">{title}</td>{marks}<td class="mark">{click}</td></tr>'
    )


def _parts(why: Explanation, scale: float) -> str:
    """Returns what a score is the sum of: an average item's, a bar for each word or phrase, and for each other part."""
    words = "".join(_part(word, f"“{word.name}”", "", scale) for word in why.words)
    rest = "".join(_part(part, part.name, "rest", scale, ABOUT.get(part.name, "")) for part in why.rest)
    average, total = (signed(score).removeprefix("+") for score in (why.average, why.score))
    return (
        f'<div class="parts"><span class="rest">average item</span><span></span><span class="value">{average}</span>'
        f'{words}{rest}<span class="sum">score</span><span class="sum"></span>'
        f'<span class="sum value">{total}</span></div>'
    )


def _part(part: Contribution, name: str, css: str, scale: float, about: str = "") -> str:
    width = 50 * min(abs(part.value) / max(scale, 1e-9), 1.0)
    left = 50 - width if part.value < 0 else 50.0
    told = f' title="{escape(about, quote=True)}"' if about else ""
    kind = ' class="less"' if part.value < 0 else ""
    return (
        f'<span class="{css}"{told}>{escape(name)}</span>'
        f'<span class="bar"><i{kind} style="left:{left:.1f}%;width:{width:.1f}%"></i></span>'
        f'<span class="value">{signed(part.value)}</span>'
    )


def _moods(sides: Sequence[Replay]) -> str:
    figures = []
    for name in ("satisfaction", "trust"):
        courses = [[mood for turn in told.turns if (mood := getattr(turn, name)) is not None] for told in sides]
        if any(courses):
            summary = "; ".join(
                f"{told.agent}: {', '.join(f'{mood:.2f}' for mood in course)}"
                for told, course in zip(sides, courses, strict=True)
            )
            left = [told.turns[-1].ending == "left" for told in sides]
            figures.append(f"<figure><h3>{name.capitalize()}</h3>{_course(name, courses, left, summary)}</figure>")
    return f'<div class="charts grid2">{"".join(figures)}</div>' if figures else ""


def _course(name: str, courses: Sequence[Sequence[float]], left: Sequence[bool], summary: str) -> str:
    """Draws numbers from 0 to 1 turn by turn, a line per agent; hollow where the person left."""
    width, height, inset, top, bottom = 480, 132, 34, 10, 104
    last = max(2, *(len(course) for course in courses))

    def place(turn: int, mood: float) -> tuple[float, float]:
        return inset + (turn - 1) / (last - 1) * (width - inset - 14), bottom - min(max(mood, 0), 1) * (bottom - top)

    body = []
    for mark in (0.0, 0.5, 1.0):
        y = place(1, mark)[1]
        body.append(f'<line class="grid" x1="{inset}" x2="{width - 14}" y1="{y:.1f}" y2="{y:.1f}"/>')
        body.append(f'<text class="tick" x="{inset - 8}" y="{y + 4:.1f}" text-anchor="end">{mark:g}</text>')
    for turn in range(1, last + 1, -(-last // 12)):
        body.append(
            f'<text class="tick" x="{place(turn, 0)[0]:.1f}" y="{bottom + 18}" text-anchor="middle">{turn}</text>'
        )
    for number, (course, gone) in enumerate(zip(courses, left, strict=True)):
        points = [place(turn, mood) for turn, mood in enumerate(course, 1)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dots = "".join(
            f'<circle class="{"gone" if gone and at == len(points) else "point"}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
            for at, (x, y) in enumerate(points, 1)
            if last <= _DOTS or at == len(points)
        )
        body.append(f'<g class="agent-{number}"><polyline class="course" points="{line}"/>{dots}</g>')
    return (
        f'<svg class="plot mood" viewBox="0 0 {width} {height}" role="img" aria-label="{name} turn by turn">'
        f"<title>{name} after each turn, 0 to 1</title><desc>{escape(summary)}</desc>{''.join(body)}</svg>"
    )


def _making(page: ReplayPage) -> str:
    facts = {name: page.results.get(name) for name in ("world", "fingerprint", "split", "seed")}
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in page.versions.items())
    items = "".join(f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items() if value != "")
    command = f"<pre><code>{escape(page.command)}</code></pre>" if page.command else ""
    return f"{command}<dl>{items}</dl>"

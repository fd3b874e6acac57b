"""The fidelity card: what a world produces beside what logs of real people hold, and where its constants come from."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from instructrec import runs
from instructrec.experiments.competitors import world_of
from instructrec.experiments.evaluation import evaluate
from instructrec.experiments.fidelity_aspects import ASPECTS, Finding, LackingError, Simulated
from instructrec.experiments.fidelity_logs import Log, read_log
from instructrec.experiments.fidelity_measures import comparisons
from instructrec.experiments.fidelity_plots import draw
from instructrec.experiments.outputs import check_place, command_line
from instructrec.experiments.progress import Narrator
from instructrec.experiments.provenance import constants_of
from instructrec.experiments.twins import competitor_named
from instructrec.sessions import Sessions, World

DOCUMENT, CARD = "fidelity.json", "fidelity.md"
NOT_HELD = "not in this log"
_KINDS = {"RatingLog": "ratings", "QueryLog": "requests", "DialogueLog": "dialogues", "ClickLog": "clicks"}


def fidelity(
    world_id: str,
    logs: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    reading: Mapping[str, Any] | None = None,
    agent: str = "parser",
    world_settings: Mapping[str, Any] | None = None,
    people: int = 1000,
    seed: int = 1,
    narrator: Narrator,
) -> dict[str, Any]:
    """Compares a world with logs, and writes the card, its document and its pictures into a folder.

    The world is that of training: its people and its sentences.

    Args:
        world_id: The world.
        logs: What to compare with; see `instructrec.experiments.fidelity_logs.read_log`.
        out: The folder.
        reading: How ratings and clicks are read: what `instructrec.envs.read_data.read_data` takes, as ``columns``.
        agent: Who recommends in the world: a name, or a run folder. What people click depends on it.
        world_settings: The world's settings.
        people: How many sessions are simulated.
        seed: Their seed.
        narrator: Is told what is happening.

    Returns:
        ``distances``: name → value; ``noise_floor``: name → value, None where there is none; ``verdicts``: name →
        level, near or far; ``findings``: name → what else was found; ``missing``: name → why it could not be compared;
        ``fitted`` and ``assumed``: the constants of the world's people; and ``world``, ``fingerprint``, ``agent``,
        ``people``, ``seed``, ``logs``, ``command``.

    Raises:
        ValueError: If a log cannot be read, or the agent is unknown.
    """
    if not logs:
        raise ValueError("there is nothing to compare with: give at least one --log")
    check_place(Path(out) / CARD)
    read = told_apart([Path(log) for log in logs], [read_log(Path(log), reading) for log in logs])
    settings = dict(world_settings or {})
    world = world_of(world_id, settings, "train")
    recommender = competitor_named(agent, world, world_id, settings, narrator)
    with narrator.task(f"Simulating {people} sessions") as advance:
        ended = 0

        def progress(more: int) -> None:
            nonlocal ended
            ended += more
            advance(ended / people, "")

        episodes = evaluate(world, recommender, Sessions.first(seed, people), keep_goals=True, progress=progress)
    texts = world.population.texts.strings(episodes.instruction[:, 0])
    findings, missing = compare_logs(read, Simulated(world, episodes, texts, world_id), narrator)
    about = {"agent": agent, "people": people, "seed": seed, "command": command_line()}
    logs_read = [{"name": log.source, "kind": _KINDS[type(log).__name__]} for log in read]
    document = {**document_of(world, world_id, findings, missing), **about, "logs": logs_read}
    _write(Path(out), document, findings, read)
    narrator.say(f"The card lies in {Path(out) / CARD}.")
    return document


def told_apart(paths: Sequence[Path], logs: Sequence[Log]) -> list[Log]:
    """Returns logs of which no two are called the same: those of one name by their folders too, or else numbered."""
    names = [log.source for log in logs]
    longer = [
        f"{path.absolute().parent.name}/{name}" if names.count(name) > 1 else name
        for path, name in zip(paths, names, strict=True)
    ]
    before = [longer[:place].count(name) for place, name in enumerate(longer)]
    told = [f"{name} ({count + 1})" if count else name for name, count in zip(longer, before, strict=True)]
    return [replace(log, source=name) for log, name in zip(logs, told, strict=True)]


def compare_logs(
    logs: Sequence[Log], simulated: Simulated, narrator: Narrator
) -> tuple[dict[str, Finding], dict[str, str]]:
    """Returns what was found, by name, and why the other aspects could not be compared.

    An aspect that several logs hold is found for each; from the second on its name is ``NAME@LOG``.
    """
    found: dict[str, Finding] = {}
    missing: dict[str, str] = {}
    for log in logs:
        with narrator.task(f"Comparing with {log.source}"):
            for name, compare in comparisons(log, simulated):
                try:
                    finding = compare()
                except LackingError as lack:
                    missing[name] = str(lack)
                    continue
                found[f"{name}@{log.source}" if name in found else name] = finding
    reasons = {name: missing.get(name, NOT_HELD) for name in ASPECTS if name not in found}
    order = list(ASPECTS)
    return dict(sorted(found.items(), key=lambda entry: order.index(entry[1].name))), reasons


def document_of(
    world: World, world_id: str, findings: Mapping[str, Finding], missing: Mapping[str, str]
) -> dict[str, Any]:
    """Returns what `fidelity` returns, without how it was made."""
    constants = constants_of(world, world_id)
    return {
        "world": world.name,
        "fingerprint": world.fingerprint,
        "distances": {name: finding.distance for name, finding in findings.items()},
        "noise_floor": {name: finding.floor for name, finding in findings.items()},
        "verdicts": {name: finding.verdict for name, finding in findings.items()},
        "findings": {
            name: {
                "title": ASPECTS[finding.name].title,
                "measure": ASPECTS[finding.name].distance,
                "far_from": ASPECTS[finding.name].far,
                "log_name": finding.source,
                "log": finding.log,
                "world": finding.world,
                "note": finding.note,
            }
            for name, finding in findings.items()
        },
        "missing": dict(missing),
        "fitted": [constant.as_dict() for constant in constants if constant.fitted],
        "assumed": [constant.as_dict() for constant in constants if not constant.fitted],
    }


def _write(out: Path, document: Mapping[str, Any], findings: Mapping[str, Finding], logs: Sequence[Log]) -> None:
    pictures: dict[str, str] = {}
    for log in logs:
        drawn = draw([finding for finding in findings.values() if finding.source == log.source], log.source)
        if drawn is not None:
            kind = _KINDS[type(log).__name__]
            name = f"{kind}.png" if f"{kind}.png" not in pictures else f"{kind}-{len(pictures)}.png"
            pictures[name] = log.source
            runs.write_bytes(out / name, drawn)
    runs.write_json(out / DOCUMENT, document)
    runs.write_text(out / CARD, card(document, pictures))


# --- For people ------------------------------------------------------------------------------------------------------


def _sentence(name: str, document: Mapping[str, Any]) -> str:
    """Returns one finding as a sentence with its figures."""
    found, floor = document["findings"][name], document["noise_floor"][name]
    figures = f" Log: {found['log']}; world: {found['world']}." if found["log"] or found["world"] else ""
    noise = "" if floor is None else f", noise floor {floor:.2g}"
    title = found["title"][0].upper() + found["title"][1:]
    return f"{title}: distance {document['distances'][name]:.2g}{noise}.{figures}"


def _noted(name: str, document: Mapping[str, Any]) -> str:
    note = document["findings"][name]["note"]
    return f" {note[0].upper()}{note[1:]}." if note else ""


def _by_distance(document: Mapping[str, Any], verdict: str) -> list[str]:
    """Returns the aspects of one verdict, the farthest first, by the distance from which each is called far."""
    names = [name for name, given in document["verdicts"].items() if given == verdict]
    return sorted(names, key=lambda name: -document["distances"][name] / document["findings"][name]["far_from"])


_HEADINGS = {
    "far": "Where the world is far from the logs",
    "near": "Where it differs, but not by much",
    "level": "Where it cannot be told from the logs",
}


def to_text(document: Mapping[str, Any]) -> str:
    """Returns the findings for a terminal, the worst first, at most 80 columns."""
    lines = [f"{document['world']} beside {', '.join(log['name'] for log in document['logs'])}"]
    for verdict, heading in _HEADINGS.items():
        names = _by_distance(document, verdict)
        lines += ["", f"{heading}:" if names else f"{heading}: nowhere"]
        for name in names:
            lines += textwrap.wrap(_sentence(name, document), 80, initial_indent="  ", subsequent_indent="    ")
    if document["missing"]:
        lines += ["", "Not compared:"]
        for name, why in document["missing"].items():
            lines += textwrap.wrap(f"{ASPECTS[name].title}: {why}", 80, initial_indent="  ", subsequent_indent="    ")
    counts = (len(document["fitted"]), len(document["assumed"]))
    lines += ["", f"{counts[0]} constants of its people are fitted, {counts[1]} assumed; the card lists them."]
    return "\n".join(lines)


def card(document: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """Returns the fidelity card as Markdown.

    Args:
        document: What was found.
        pictures: File names with the log that each shows.
    """
    logs = ", ".join(f"{log['name']} ({log['kind']})" for log in document["logs"])
    verdicts, missing = list(document["verdicts"].values()), document["missing"]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in _HEADINGS)
    lines = [
        f"# How faithful is {document['world']}?",
        "",
        f"Of {len(verdicts)} things compared with {logs}: {counts}. {len(missing)} could not be compared.",
        "",
    ]
    for verdict, heading in _HEADINGS.items():
        names = _by_distance(document, verdict)
        lines += [f"**{heading}**" + ("" if names else ": nowhere."), ""]
        lines += [f"- {_sentence(name, document)}{_noted(name, document)}" for name in names] + ([""] if names else [])
    lines += [
        f"{document['people']:,} simulated sessions, `{document['agent']}` recommending, seed {document['seed']}, "
        f"with the world's training people and sentences (fingerprint {document['fingerprint']}). Made by:",
        "",
        f"```\n{document['command']}\n```",
        "",
    ]
    lines += [f"![The world beside {source}]({name})\n" for name, source in pictures.items()]
    lines += _table(document) + _how_to_read() + _constants(document)
    return "\n".join(lines)


def _table(document: Mapping[str, Any]) -> list[str]:
    lines = ["## Everything that was compared", ""]
    lines += ["| what | distance | noise floor | log | world | verdict |", "|---|---|---|---|---|---|"]
    for name, found in document["findings"].items():
        floor = document["noise_floor"][name]
        cells = (
            f"{found['title']} (`{name}`)<br>{found['measure']}",
            f"{document['distances'][name]:.3g}",
            "–" if floor is None else f"{floor:.3g}",
            found["log"] or "–",
            found["world"] or "–",
            document["verdicts"][name],
        )
        lines.append("| " + " | ".join(cells) + " |")
    for name, why in document["missing"].items():
        lines.append(f"| {ASPECTS[name].title} (`{name}`) | {why} | | | | needs {ASPECTS[name].needs} |")
    return [*lines, ""]


def _how_to_read() -> list[str]:
    limits = "; ".join(f"`{name}` {aspect.far:g}" for name, aspect in ASPECTS.items())
    return [
        "**Noise floor**: what two random halves of the same log, or of the same simulation, differ by, whichever is "
        "larger; 95 of 100 halvings lie below it. **Level**: the distance is not above its noise floor. **Far**: it "
        "is, and above what we call far, which is a judgement and no test: "
        + limits
        + ". **Near**: in between. A log of "
        "other people, asked by another recommender, on another screen, differs for reasons that are not the world's "
        "fault; a small distance does not make the untested constants below right.",
        "",
    ]


def _constants(document: Mapping[str, Any]) -> list[str]:
    lines = ["## Where the constants of its people come from", ""]
    for kind, heads in (("fitted", ("constant", "value", "what it is", "fitted")),
                        ("assumed", ("constant", "value", "what it is", "published range"))):  # fmt: skip
        lines += [f"### {kind.capitalize()}: {len(document[kind])}", ""]
        if document[kind]:
            lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
            for one in document[kind]:
                value = (
                    "–"
                    if one["value"] is None
                    else f"{one['value']:.4g}"
                    if isinstance(one["value"], float)
                    else one["value"]
                )
                lines.append(f"| `{one['name']}` | {value} | {one['about']} | {one['from'] or '–'} |")
            lines.append("")
    return lines

"""How well agents do what real people asked for, in words that nobody trained on.

Every query becomes the first thing that somebody says: a person of the held-out split, with their visible past, drawn
by a hash of the query's own words, so that all agents answer the same people. The first slate is judged by the
catalogue against what the query names (`instructrec.experiments.real_requests`), those in the grammar's words apart
from the others. Intervals resample queries; equal ones move together.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec import metrics, runs
from instructrec.agents.encoder import load_encoder
from instructrec.arrays import Floats, take
from instructrec.envs.vocabulary import key_of
from instructrec.envs.worlds import spoken_in
from instructrec.experiments.competitors import TRAINED, UNTRAINED, check_names, split_name, untrained, world_of
from instructrec.experiments.evaluation import Competitor, decider
from instructrec.experiments.outputs import command_line
from instructrec.experiments.progress import Advance, Narrator
from instructrec.experiments.real_requests import Request, Requests, read_requests
from instructrec.experiments.request_meanings import NOW
from instructrec.experiments.statistics import Crossed
from instructrec.experiments.trainers import trained_ranker
from instructrec.goals import Operator, compile_goals, satisfied
from instructrec.noise import Noise
from instructrec.policies import Blank
from instructrec.sessions import Sessions, World, observe, start
from instructrec.texts import free_text_id

PLACES = ("inside", "outside")
KINDS = ("all", "genre", "time", "genre + time", "exclusion", "nothing else named")
METRICS = ("csr", "strict", "violation")
_LANES = 1 << 31
_BATCH = 256
_SHOWN_LOSSES = 15


@dataclass(frozen=True)
class Answers:
    """How one agent's slates did, a value per request.

    Attributes:
        csr: Share of what was named that the slate's films have, float64 [num_requests].
        strict: Share of positions with all of it, float64 [num_requests].
        violation: Share of positions with what was not wanted, float64 [num_requests]; NaN where nothing was excluded.
        parts: For each request the share of positions that meet each of its parts; NaN for a part that means nothing.
    """

    csr: Floats
    strict: Floats
    violation: Floats
    parts: tuple[tuple[float, ...], ...]


def answering(
    world_id: str,
    names: Sequence[str],
    *,
    corpus: Path,
    out: str | os.PathLike[str],
    encoder: str = "minilm",
    seed: int = 1,
    final: bool = False,
    world_settings: Mapping[str, Any] | None = None,
    narrator: Narrator,
) -> dict[str, Any]:
    """Measures agents on real people's requests; writes ``requests.json`` and ``requests.md``.

    Args:
        world_id: The world; its catalogue must hold films with genre and year.
        names: Agents that learn nothing, and trained ones as NAME=RUN.
        corpus: A file of the MIT movie corpus, or a folder with its file ``valid``.
        out: The folder.
        encoder: The language model of ``cosine``.
        seed: Of the people.
        final: Whether the people are those of the test split.
        world_settings: The world's settings.
        narrator: Is told how far it has come.

    Returns:
        The document that is written. ``groups``: a row for each place (inside, outside the grammar's words) and kind
        with ``queries``, ``matching`` (the median share of films that match) and ``agents`` → metric → value, low,
        high. ``forms`` and ``words``: what each sort of phrase and each phrase costs: ``queries``, and for each agent
        ``csr`` and ``lost``, the part that it has in 1 - CSR of its place. ``counts``, ``unmapped`` and ``partly``: see
        `Requests`.

    Raises:
        ValueError: If the corpus or an agent cannot be read, or nobody here asks for films in English.
    """
    settings = dict(world_settings or {})
    trained = dict(entry.split("=", 1) for entry in names if "=" in entry)
    plain = [name for name in names if "=" not in name]
    _check_agents(plain, trained)
    world = world_of(world_id, settings, split_name(final))
    if world.language != "en":
        raise ValueError(f"the requests are English, and people of this world speak {world.language!r}")
    requests = read_requests(corpus, world.catalogue, spoken_in(world), fewest=world.slate_size)
    if not requests.kept:
        raise ValueError(f"no query of {corpus} names a genre or a time that {world.slate_size} films or more have")
    agents: dict[str, Competitor] = {**untrained(plain, world, lambda: load_encoder(encoder))}
    for name, folder in trained.items():
        ranker, _ = trained_ranker(folder, world)
        agents |= {name: ranker, f"{name}_blank": Blank(ranker)}
    answers = {}
    with narrator.task(f"Answering {len(requests.kept):,} requests") as advance:
        for place, (name, agent) in enumerate(agents.items()):
            answers[name] = answer(world, agent, requests.kept, seed=seed, progress=_part(advance, place, agents, name))
    document = {
        "world": world.name,
        "fingerprint": world.fingerprint,
        "split": split_name(final),
        "seed": seed,
        "slate_size": world.slate_size,
        "corpus": str(corpus),
        "now": NOW,
        **summary(requests, answers, world.catalogue.num_items, next(iter(trained), list(agents)[-1])),
        "command": command_line(),
    }
    with runs.locked(out):
        runs.write_json(Path(out) / "requests.json", document)
        runs.write_text(Path(out) / "requests.md", to_markdown(document))
    return document


def _check_agents(plain: Sequence[str], trained: Mapping[str, str]) -> None:
    if not plain and not trained:
        raise ValueError("nobody to answer: name at least one agent, such as --agents random,parser")
    check_names([*plain, *trained])
    for name in plain:
        if name not in UNTRAINED:
            why = "has to be trained first" if name in TRAINED else "does not read what is said by itself"
            raise ValueError(f"{name} {why}; name agents of {', '.join(UNTRAINED)}, and trained ones as slate_ppo=RUN")


def _part(advance: Advance, place: int, agents: Mapping[str, Any], name: str) -> Advance:
    return lambda done, words: advance((place + done) / len(agents), name)


def answer(
    world: World, agent: Competitor, requests: Sequence[Request], *, seed: int, progress: Advance | None = None
) -> Answers:
    """Shows one slate for each request and judges it.

    Args:
        world: Whose people ask, and whose catalogue judges.
        agent: Who answers.
        requests: What is asked.
        seed: Of the people.
        progress: Is told how far it has come.
    """
    decide, catalogue = decider(world, agent), world.catalogue
    lanes = np.array([free_text_id(request.text) % _LANES for request in requests], np.int64)
    sessions = Sessions.first(seed, lanes)
    values: dict[str, list[Floats]] = {name: [] for name in METRICS}
    parts: list[tuple[float, ...]] = []
    for begin in range(0, len(requests), _BATCH):
        asked = requests[begin : begin + _BATCH]
        state = start(world, take(sessions, np.arange(begin, begin + len(asked))))
        observation = observe(world, state)
        observation = observation.saying(observation.texts.ids(request.text for request in asked))
        slates = decide(observation, state, Noise(state.sessions.keys, state.turn))
        goals = compile_goals([request.predicates for request in asked], catalogue)
        met = satisfied(goals, catalogue, slates)
        for name in METRICS:
            values[name].append(getattr(metrics, name)(goals, met))
        parts += [_by_part(request, shares) for request, shares in zip(asked, met.mean(axis=2), strict=True)]
        if progress is not None:
            progress((begin + len(asked)) / len(requests), "")
    csr, strict, violation = (np.concatenate(values[name]) for name in METRICS)
    return Answers(csr, strict, violation, tuple(parts))


def _by_part(request: Request, shares: npt.NDArray[np.float64]) -> tuple[float, ...]:
    met = dict(zip(map(key_of, request.predicates), shares.tolist(), strict=False))
    wanted = [[met[key_of(predicate)] for predicate in part.predicates] for part in request.parts]
    return tuple(float(np.mean(part)) if part else float("nan") for part in wanted)


# --- Summing up ------------------------------------------------------------------------------------------------------


def summary(requests: Requests, answers: Mapping[str, Answers], num_items: int, looked_into: str) -> dict[str, Any]:
    """Returns what the answers come to; keys as in `answering`. What costs ``looked_into`` most stands first."""
    kept = requests.kept
    # Equal queries are one person's for a resampling.
    crossed = Crossed.of([free_text_id(request.text) for request in kept])
    groups = []
    for place in PLACES:
        for kind in KINDS:
            chosen = np.array([_belongs(request, place, kind) for request in kept])
            if not chosen.any():
                continue
            matching = np.array(requests.matches)[chosen] / num_items
            found = {name: _intervals(crossed, chosen, given) for name, given in answers.items()}
            row = {"place": place, "kind": kind, "queries": int(chosen.sum()), "matching": float(np.median(matching))}
            groups.append({**row, "agents": found})
    return {
        "counts": requests.counts,
        "looked_into": looked_into,
        "groups": groups,
        "forms": _losses(kept, answers, looked_into, by_words=False),
        "words": _losses(kept, answers, looked_into, by_words=True),
        "unmapped": dict(requests.unmapped.most_common()),
        "partly": dict(requests.partly.most_common()),
    }


def _belongs(request: Request, place: str, kind: str) -> bool:
    if request.inside != (place == "inside"):
        return False
    if kind == "nothing else named":
        return request.whole
    return kind in ("all", request.kind)


def _intervals(crossed: Crossed, chosen: npt.NDArray[np.bool_], answers: Answers) -> dict[str, Any]:
    found = {}
    for name in METRICS:
        values = getattr(answers, name)
        counted = chosen & ~np.isnan(values)
        if counted.any():
            found[name] = crossed.ratio(np.where(counted, values, 0.0), counted.astype(float)).interval().as_dict()
    return found


def _losses(
    requests: Sequence[Request], answers: Mapping[str, Answers], looked_into: str, *, by_words: bool
) -> list[dict[str, Any]]:
    """Returns what every sort of phrase, or every phrase, costs of the CSR."""
    totals = {place: sum(request.inside == (place == "inside") for request in requests) for place in PLACES}
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row, request in enumerate(requests):
        place = PLACES[not request.inside]
        shares = len(request.predicates)
        for at, part in enumerate(request.parts):
            if not part.predicates:
                continue
            negated = part.predicates[0].operator is Operator.EXCLUDE
            form = f"not {part.meaning.form}" if negated else part.meaning.form
            means = ", ".join(map(str, part.predicates)) if by_words else ""
            entry = rows.setdefault(
                (place, part.said if by_words else form, means),
                {"queries": 0, **{name: [0.0, 0.0] for name in answers}},
            )
            entry["queries"] += 1
            for name, given in answers.items():
                met = given.parts[row][at]
                entry[name][0] += met
                entry[name][1] += (1 - met) * len(part.predicates) / shares / totals[place]
    found = [
        {
            "place": place,
            "said" if by_words else "form": said,
            **({"means": means} if by_words else {}),
            "queries": entry["queries"],
            "agents": {name: {"csr": entry[name][0] / entry["queries"], "lost": entry[name][1]} for name in answers},
        }
        for (place, said, means), entry in rows.items()
    ]
    return sorted(found, key=lambda entry: (PLACES.index(entry["place"]), -entry["agents"][looked_into]["lost"]))


# --- For people ------------------------------------------------------------------------------------------------------


def _group(document: Mapping[str, Any], place: str, kind: str) -> Mapping[str, Any] | None:
    return next((row for row in document["groups"] if (row["place"], row["kind"]) == (place, kind)), None)


def _figure(row: Mapping[str, Any] | None, agent: str, metric: str, *, ends: bool = False) -> str:
    found = (row or {"agents": {}})["agents"].get(agent, {}).get(metric)
    if found is None:
        return "–"
    return f"{found['value']:.2f} ({found['low']:.2f}–{found['high']:.2f})" if ends else f"{found['value']:.2f}"


def _agents(document: Mapping[str, Any]) -> list[str]:
    """Returns the agents, best outside the grammar's words first; inside where nothing is outside."""
    row = _group(document, "outside", "all") or _group(document, "inside", "all") or {"agents": {}}
    return sorted(row["agents"], key=lambda name: -row["agents"][name]["csr"]["value"])


def _scope(document: Mapping[str, Any]) -> list[str]:
    c = document["counts"]
    inside, outside = (_group(document, place, "all") for place in PLACES)
    sizes = [str(row["queries"]) if row else "none" for row in (inside, outside)]
    return [
        f"Of {c['queries']:,} queries {c['name']:,} name a genre or a time: {c['kept']:,} are measured on, "
        f"{c['titles']} speak of one film by its title, in {c['unmapped']} none of it means anything in this "
        f"catalogue, and {c['few']} have fewer than {document['slate_size']} matching films. Years are counted from "
        f"{document['now']}.",
        f"Inside the grammar's words are {sizes[0]} queries, outside {sizes[1]}; what is inside is decided by what the "
        "parser understands, which flatters it there. Judged is the first slate for a person of "
        f"{document['split']}, by genre and year alone; what else a query names cannot be checked here. Intervals: "
        "95 %, resampling queries.",
    ]


def to_text(document: Mapping[str, Any]) -> str:
    """Returns the figures as a table and sentences, at most 80 columns."""
    inside, outside = (_group(document, place, "all") for place in PLACES)
    names = _agents(document)
    width = max(len(name) for name in (*names, "agent"))
    lines = [f"{'agent':<{width}}  {'CSR inside':>16}  {'CSR outside':>16}  strict in, out"]
    lines.append("─" * len(lines[0]))
    for name in names:
        cells = [f"{_figure(row, name, 'csr', ends=True):>16}" for row in (inside, outside)]
        strict = f"{_figure(inside, name, 'strict')}, {_figure(outside, name, 'strict')}"
        lines.append("  ".join([f"{name:<{width}}", *cells, f"{strict:>14}"]))
    return "\n".join([*lines, "", *(part for said in _scope(document) for part in textwrap.wrap(said, 80))])


def to_markdown(document: Mapping[str, Any]) -> str:
    """Returns the figures as a page: by place and kind, what costs most, and what was not mapped."""
    names, looked_into = _agents(document), document["looked_into"]
    lines = [f"# What real people asked for, in {document['world']}", ""]
    lines += [part for said in _scope(document) for part in (said, "")]
    for metric, told in (("csr", "CSR"), ("strict", "Strict"), ("violation", "Violation")):
        kinds = ("exclusion",) if metric == "violation" else KINDS
        rows = [row for row in document["groups"] if row["kind"] in kinds]
        if not rows:
            continue
        lines += [f"| {told}@{document['slate_size']} | queries | films that match | " + " | ".join(names) + " |"]
        lines += ["|---" * (3 + len(names)) + "|"]
        for row in rows:
            figures = " | ".join(_figure(row, name, metric, ends=True) for name in names)
            lines.append(f"| {row['place']}: {row['kind']} | {row['queries']} | {row['matching']:.1%} | {figures} |")
        lines.append("")
    for place in PLACES:
        for key, told in (("forms", "sort of phrase"), ("words", "words")):
            rows = [row for row in document[key] if row["place"] == place][:_SHOWN_LOSSES]
            if not rows:
                continue
            lines += [f"What costs {looked_into} most {place} the grammar's words, by {told}:", ""]
            lines += [f"| {told} | queries | CSR | parser | part of 1 − CSR |", "|---|---|---|---|---|"]
            for row in rows:
                said = row["form"] if key == "forms" else f"{row['said']} ({row['means']})"
                mine, other = row["agents"][looked_into], row["agents"].get("parser", {"csr": float("nan")})
                theirs = "–" if np.isnan(other["csr"]) else f"{other['csr']:.2f}"
                lines.append(f"| {said} | {row['queries']} | {mine['csr']:.2f} | {theirs} | {mine['lost']:.3f} |")
            lines.append("")
    for key, told in (("unmapped", "Not mapped"), ("partly", "Mapped in part")):
        counted = "; ".join(f"{said} {many}" for said, many in document[key].items())
        lines += [f"{told}: {counted or 'nothing'}.", ""]
    return "\n".join([*lines, "Made by:", "", "```", document["command"], "```", ""])

"""Do conclusions survive? The same comparison under many draws of what the world's users only assume.

Each draw takes every assumed constant of the users evenly from its plausible range
(`instructrec.envs.behaviour.ASSUMED`), lets all agents meet the same people with the same luck, and ranks them. Agents
are not trained anew: the question is whether a conclusion drawn in one world holds for users whom nobody measured, not
whether training adapts.

References:
    Kendall (1938), A new measure of rank correlation (tau-b, which bears ties).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from instructrec import __version__, runs
from instructrec.envs.behaviour import ASSUMED
from instructrec.envs.conversational import ConversationalPopulation
from instructrec.experiments.agent_files import FEATURES, WEIGHTS
from instructrec.experiments.competitors import check_names, references, split_name, untrained, world_of
from instructrec.experiments.evaluation import Competitor, evaluate
from instructrec.experiments.headline import REFERENCES
from instructrec.experiments.outputs import command_line
from instructrec.experiments.progress import Narrator
from instructrec.experiments.trainers import trained_ranker
from instructrec.runs import RunError
from instructrec.sessions import Sessions, World

DRAWS = "draws.jsonl"
_RANGES = {name: list(ends) for name, ends in ASSUMED.items()}
_FITTED_ANEW = ("informed",)


def draw_constants(draws: int, seed: int) -> list[dict[str, float]]:
    """Returns constants of users, one set per draw; more draws leave the earlier ones as they are."""
    found = []
    for draw in range(draws):
        luck = np.random.default_rng([seed, draw]).random(len(ASSUMED))
        found.append(
            {name: float(low + u * (high - low)) for u, (name, (low, high)) in zip(luck, ASSUMED.items(), strict=True)}
        )
    return found


def robustness(
    world_id: str,
    names: Sequence[str],
    *,
    out: str | os.PathLike[str],
    draws: int = 50,
    sessions: int = 200,
    seed: int = 1,
    final: bool = False,
    world_settings: Mapping[str, Any] | None = None,
    narrator: Narrator,
) -> dict[str, Any]:
    """Ranks agents under many draws of the assumed constants; goes on where a killed run stood.

    Args:
        world_id: The world; its users must be the conversational ones.
        names: Agents that need no training, and trained ones as NAME=RUN.
        out: The folder for ``robustness.json``, ``robustness.md`` and what every draw gave.
        draws: How many sets of constants, 2 or more.
        sessions: Sessions that each agent plays in each draw.
        seed: Of constants and sessions.
        final: Whether to read the test split.
        world_settings: The world's settings; without ``behaviour``.
        narrator: Is told how far it has come.

    Returns:
        The document that is written: the order with the default constants, the mean return of every agent in every
        draw, Kendall's tau of each draw's order to the default one, and how often each agent leads those that
        know no more than an agent may: references, which see what is hidden, do not compete.

    Raises:
        ValueError: If an agent cannot be compared so, or the world has no such constants.
    """
    settings = dict(world_settings or {})
    if "behaviour" in settings:
        raise ValueError("behaviour is what is drawn here; leave it out of the world's settings")
    if draws < 2:
        raise ValueError(f"a robustness check needs at least 2 draws, got {draws}")
    trained = dict(entry.split("=", 1) for entry in names if "=" in entry)
    plain = [name for name in names if "=" not in name]
    called = [*plain, *(entry.partition("=")[0] for entry in names if "=" in entry)]
    if twice := sorted({name for name in called if called.count(name) > 1}):
        raise ValueError(f"{twice[0]} is given twice; its draws could not be told apart")
    if len(called) < 2:
        raise ValueError(f"an order needs two agents or more, got {', '.join(called) or 'none'}")
    check_names([*plain, *trained])
    if unfit := [name for name in plain if name in _FITTED_ANEW]:
        raise ValueError(f"{unfit[0]} would have to be fitted anew in every draw; leave it out")
    world = world_of(world_id, settings, split_name(final))
    if not isinstance(world.population, ConversationalPopulation):
        raise ValueError(f"the users of {world_id} have no constants with assumed ranges; only conversational ones do")
    rankers: dict[str, Competitor] = {name: trained_ranker(folder, world)[0] for name, folder in trained.items()}
    people = Sessions.first(seed, sessions)

    def returns(world: World) -> dict[str, float]:
        agents = {**untrained(plain, world), **rankers, **references(plain, world, lambda: world, narrator)}
        if missing := [name for name in plain if name not in agents]:
            raise ValueError(f"{missing[0]} has to be trained first; give it as {missing[0]}=RUN")
        return {name: float(evaluate(world, agent, people).returns.mean()) for name, agent in agents.items()}

    constants = draw_constants(draws, seed)
    learned = {name: _learned(folder) for name, folder in sorted(trained.items())}
    key, file = [world.fingerprint, sorted(plain), learned, sessions, seed, __version__, _RANGES], Path(out) / DRAWS
    with runs.locked(out):
        known = _known(file, key)
        if "default" not in known:
            known["default"] = returns(world)
        with narrator.task(f"Comparing {len(known['default'])} agents under {draws} draws of constants") as advance:
            for draw, drawn in enumerate(constants):
                if str(draw) not in known:
                    known[str(draw)] = returns(world_of(world_id, {**settings, "behaviour": drawn}, split_name(final)))
                    _remember(file, known, key)
                advance((draw + 1) / draws, f"{draw + 1} of {draws}")
        document = summary(known["default"], [known[str(draw)] for draw in range(draws)], constants)
        document |= {"world": world.name, "fingerprint": world.fingerprint, "sessions": sessions, "seed": seed}
        usual = {name: float(getattr(world.population.behaviour, name)) for name in ASSUMED}
        document |= {"split": split_name(final), "default_constants": usual, "command": command_line()}
        runs.write_json(Path(out) / "robustness.json", document)
        runs.write_text(Path(out) / "robustness.md", to_markdown(document))
    return document


def summary(
    default: Mapping[str, float], drawn: Sequence[Mapping[str, float]], constants: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """Returns what draws say of an order.

    Args:
        default: Mean return of every agent with the default constants.
        drawn: The same in every draw.
        constants: The constants of every draw.
    """
    names = sorted(default, key=lambda name: -default[name])
    table = np.array([[row[name] for name in names] for row in drawn])  # [num_draws, num_agents]
    taus = [float(stats.kendalltau([default[name] for name in names], row).statistic) for row in table]
    order = np.argsort(-table, axis=1, kind="stable")
    ranks = np.argsort(order, axis=1, kind="stable") + 1
    competing = [at for at, name in enumerate(names) if name not in REFERENCES]
    first = np.array(competing)[table[:, competing].argmax(axis=1)] if competing else np.empty(0)
    # Whose lead is looked into: that of the two best who see nothing hidden, or else of the two best.
    pair = competing[:2] if len(competing) > 1 else list(range(len(names)))[:2]
    leads = {at: float((first == at).mean()) for at in competing}
    pairs = [
        {"better": one, "worse": other, "holds": float((table[:, at] > table[:, at + 1]).mean())}
        for at, (one, other) in enumerate(itertools.pairwise(names))
    ]
    return {
        "draws": len(drawn),
        "order": names,
        "tau": {"mean": float(np.mean(taus)), "low": float(np.min(taus)), "values": taus},
        "agents": {
            name: {
                "default": default[name],
                "median": float(np.median(table[:, at])),
                "low": float(np.quantile(table[:, at], 0.05)),
                "high": float(np.quantile(table[:, at], 0.95)),
                "leads": leads.get(at),
                "worst_rank": int(ranks[:, at].max()),
            }
            for at, name in enumerate(names)
        },
        "neighbours": pairs,
        "lead": [names[at] for at in pair],
        "swayed_by": _swayed_by(table[:, pair], constants),
        "constants": list(constants),
    }


def _swayed_by(table: np.ndarray[Any, Any], constants: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns the constants on which the lead of one of two agents hangs most: Spearman's rho with it."""
    if table.shape[1] < 2 or len(table) < 5:
        return {}
    lead = table[:, 0] - table[:, 1]
    found = {name: float(stats.spearmanr([row[name] for row in constants], lead).statistic) for name in constants[0]}
    best = sorted(found, key=lambda name: -abs(found[name]))[:5]
    return {name: found[name] for name in best}


def _known(path: Path, key: list[Any]) -> dict[str, dict[str, float]]:
    """Returns the draws that an earlier run finished; none where it was another comparison."""
    if not path.is_file():
        return {}
    try:
        first, *draws = map(json.loads, runs.read_text(path).splitlines())
        return {str(draw): dict(returns) for draw, returns in draws} if first == key else {}
    except (ValueError, TypeError) as problem:
        raise RunError(f"{path} is damaged ({problem}); remove it, and the draws are made again") from None


def _learned(folder: str) -> str:
    """Returns a hash of what a run learned: draws of another agent are not its own."""
    found = runs.latest_checkpoint(runs.find_run(folder))
    weights = b"" if found is None else runs.read_bytes(found.folder / WEIGHTS)
    return hashlib.sha256(weights + runs.read_bytes(Path(folder) / FEATURES)).hexdigest()[:16]


def _remember(path: Path, known: Mapping[str, Mapping[str, float]], key: list[Any]) -> None:
    runs.write_text(path, "\n".join([json.dumps(key), *(json.dumps(entry) for entry in known.items())]) + "\n")


def to_text(document: Mapping[str, Any]) -> str:
    """Returns the summary as a table of at most 80 columns."""
    lines = [f"{'agent':<22}{'default':>9}{'median':>9}{'5 %':>8}{'95 %':>8}{'leads':>8}{'worst rank':>12}"]
    for name in document["order"]:
        row = document["agents"][name]
        lines.append(
            f"{name:<22}{row['default']:>9.2f}{row['median']:>9.2f}{row['low']:>8.2f}{row['high']:>8.2f}"
            f"{_percent(row['leads']):>8}{row['worst_rank']:>12}"
        )
    return "\n".join([*lines, "", *_sentences(document)])


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _sentences(document: Mapping[str, Any]) -> list[str]:
    """Returns what the draws say of the order."""
    tau = document["tau"]
    found = [
        f"Order kept under {document['draws']} draws: Kendall's tau {tau['mean']:.2f} on average, "
        f"{tau['low']:.2f} at worst."
    ]
    leading = {name: row["leads"] for name, row in document["agents"].items() if row["leads"] is not None}
    if leading:
        best = max(leading, key=lambda name: leading[name])
        found.append(f"Of those that see nothing hidden {best} leads most often, in {leading[best]:.0%} of draws.")
    found += [f"{p['better']} beats {p['worse']} in {p['holds']:.0%} of draws." for p in document["neighbours"]]
    if document["swayed_by"]:
        swayed = ", ".join(f"{name} ({rho:+.2f})" for name, rho in document["swayed_by"].items())
        found.append(f"The lead of {' over '.join(document['lead'])} hangs most on (Spearman's rho): {swayed}.")
    return found


def to_markdown(document: Mapping[str, Any]) -> str:
    """Returns the summary as a page: the agents, what the draws say, the ranges drawn from, and the command."""
    lines = [f"# Does the order of agents hold? {document['world']}", ""]
    lines += [
        f"{document['draws']} draws of every assumed constant from its range, {document['sessions']} "
        f"{document['split']} sessions each; agents are not trained anew. Fingerprint of the world as it is: "
        f"`{document['fingerprint']}`.",
        "",
        *(f"- {sentence}" for sentence in _sentences(document)),
        "",
        "| agent | return as it is | median of draws | 5 % | 95 % | leads | worst rank |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in document["order"]:
        row = document["agents"][name]
        numbers = " | ".join(f"{row[key]:.2f}" for key in ("default", "median", "low", "high"))
        lines.append(f"| {name} | {numbers} | {_percent(row['leads'])} | {row['worst_rank']} |")
    lines += ["", "| constant | as it is | drawn from | to |", "|---|---|---|---|"]
    usual = document["default_constants"]
    lines += [f"| `{name}` | {usual[name]:g} | {low:g} | {high:g} |" for name, (low, high) in ASSUMED.items()]
    return "\n".join([*lines, "", "Made by:", "", "```", document["command"], "```", ""])

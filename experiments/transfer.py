"""The transfer matrix: trained among these people, tested among those.

Every variant of a world (other people, other constants, another language, another world with the same items) trains
agents of its own, one per seed; each is then tested among the held-out people of every variant, all with the same luck.
The diagonal is at home; what a visitor loses to those at home, on the same people, is what does not transfer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from instructrec import runs
from instructrec.experiments.competitors import references, split_name, untrained, world_of
from instructrec.experiments.evaluation import Competitor, Episodes, evaluate
from instructrec.experiments.outputs import command_line
from instructrec.experiments.progress import Narrator
from instructrec.experiments.statistics import Crossed, Estimate, label
from instructrec.experiments.train import TrainPlan, train
from instructrec.experiments.trainers import trained_ranker
from instructrec.sessions import Sessions, World

Variants = Mapping[str, Mapping[str, Any]]
"""The settings of each variant of a world, by name; ``world`` among them names another world with the same items."""

_TABLES = {
    "oracle_normalised_return": "share of the way from random to the oracle",
    "return": "return, points a session",
    "loss": "what is lost to agents trained at home, points a session",
    "csr": "share of what was asked for that was met",
}


def transfer(
    world_id: str,
    variants: Variants,
    *,
    out: str | os.PathLike[str],
    agent: str = "slate_ppo",
    agent_settings: Mapping[str, Any] | None = None,
    steps: int = 50_000,
    sessions: int = 300,
    seeds: int = 1,
    seed: int = 0,
    final: bool = False,
    narrator: Narrator,
) -> dict[str, Any]:
    """Trains agents per variant and tests each in all of them; goes on where a killed run stood.

    Args:
        world_id: The world.
        variants: What differs, by name; two or more, with the same items.
        out: The folder for the runs, ``transfer.json`` and ``transfer.md``.
        agent: The agent that is trained.
        agent_settings: Its settings.
        steps: User-steps of training, the same for all.
        sessions: Sessions played in every cell.
        seeds: How many agents each variant trains.
        seed: Of the first one's training, the others follow; the sessions have another.
        final: Whether to read the test split.
        narrator: Is told how far it has come.

    Returns:
        The document that is written: per training variant and test variant the mean return with its interval, the
        loss to agents trained there (paired; absent at home) and, where the people have an ``oracle``, the share of
        the way from random to it.

    Raises:
        ValueError: If there are fewer than two variants, or their items differ.
    """
    if len(variants) < 2:
        raise ValueError(f"a transfer matrix needs two variants or more, got {', '.join(variants) or 'none'}")
    places = {name: _place(world_id, given) for name, given in variants.items()}
    worlds = {name: world_of(place, settings, split_name(final)) for name, (place, settings) in places.items()}
    first, *others = worlds
    for name in others:
        if _items(worlds[name]) != _items(worlds[first]):
            raise ValueError(f"{name} has other items than {first}; an agent knows only those it was trained on")
        if worlds[name].slate_size != worlds[first].slate_size:
            raise ValueError(f"{name} has slates of another size than {first}; an agent fills those it was trained on")
    folders = {name: [Path(out) / name / f"seed-{number}" for number in range(seed, seed + seeds)] for name in variants}
    for name, (place, settings) in places.items():
        for number, folder in enumerate(folders[name], seed):
            narrator.say(f"Training among the people of {name}, seed {number}.")
            plan = TrainPlan(
                world=place,
                world_settings=settings,
                agent=agent,
                agent_settings=dict(agent_settings or {}),
                steps=steps,
                seed=number,
            )
            train(plan, folder, resume=True, narrator=narrator)
    with runs.locked(out):
        people = Sessions.first(seed + 100, sessions)
        cells = {name: _column(name, worlds, folders, people, narrator) for name in worlds}
        document = {
            "world": world_id,
            "variants": {name: dict(given) for name, given in variants.items()},
            "agent": agent,
            "steps": steps,
            "sessions": sessions,
            "seeds": seeds,
            "seed": seed,
            "split": split_name(final),
            "fingerprints": {name: world.fingerprint for name, world in worlds.items()},
            "command": command_line(),
            "cells": {trained: {tested: cells[tested][trained] for tested in worlds} for trained in worlds},
        }
        runs.write_json(Path(out) / "transfer.json", document)
        runs.write_text(Path(out) / "transfer.md", to_markdown(document))
    return document


def _place(world_id: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    settings = dict(given)
    return str(settings.pop("world", world_id)), settings


def _items(world: World) -> str:
    """Returns a hash of a world's items, whatever the language of what is written about them."""
    return replace(world.catalogue, texts=world.catalogue.titles, labels={}).fingerprint


def _column(
    home: str, worlds: Mapping[str, World], folders: Mapping[str, Sequence[Path]], people: Sessions, narrator: Narrator
) -> dict[str, dict[str, Any]]:
    """Returns how the agents of every variant do in one."""
    world = worlds[home]
    bounds = {**untrained(["random"], world), **references(["oracle"], world, lambda: world, narrator)}
    played = {name: [evaluate(world, agent, people)] for name, agent in bounds.items()}
    for name, trained in folders.items():
        agents: list[Competitor] = [trained_ranker(str(folder), world, worlds[name].catalogue)[0] for folder in trained]
        played[name] = [evaluate(world, agent, people) for agent in agents]
    crossed = Crossed.of(played["random"][0].person)
    means = {name: crossed.ratio(np.stack([one.returns for one in episodes])) for name, episodes in played.items()}
    return {name: _cell(crossed, means, played[name], name, home) for name in folders}


def _cell(
    crossed: Crossed, means: Mapping[str, Estimate], episodes: Sequence[Episodes], name: str, home: str
) -> dict[str, Any]:
    """Returns how one variant's agents do in another, beside those at home there."""
    cell: dict[str, Any] = {"return": means[name].interval().as_dict()}
    if name != home:
        cell["loss"] = (means[home] - means[name]).interval().as_dict()
    if "oracle" in means:
        share = (means[name] - means["random"]) / (means["oracle"] - means["random"])
        cell["oracle_normalised_return"] = share.interval().as_dict()
    if all("csr" in one.metrics for one in episodes):
        sums, counts = (np.stack(parts) for parts in zip(*(one.totals("csr") for one in episodes), strict=True))
        cell["csr"] = crossed.ratio(sums, counts).interval().as_dict()
    return cell


def _shown(document: Mapping[str, Any]) -> dict[str, str]:
    """Returns the titles of the tables that the document has numbers for; people without goals have none of some."""
    cells, names = document["cells"], list(document["variants"])
    apart = [cells[trained][tested] for trained in names for tested in names if trained != tested]
    return {key: title for key, title in _TABLES.items() if any(key in cell for cell in apart)}


def to_text(document: Mapping[str, Any]) -> str:
    """Returns the matrix as tables of at most 80 columns: rows trained there, columns tested there."""
    names, cells = list(document["variants"]), document["cells"]
    wide = max(9, *(len(name) + 2 for name in names)) if len(names) <= 6 else 9
    lines = ["Rows: trained there; columns: tested there."]
    for key, title in _shown(document).items():
        lines += ["", f"{title.capitalize()}:"]
        lines.append(f"{'':<14}" + "".join(f"{name[: wide - 1]:>{wide}}" for name in names))
        for trained in names:
            values = (cells[trained][tested].get(key) for tested in names)
            shown = (f"{value['value']:.2f}" if value and value["value"] is not None else "–" for value in values)
            lines.append(f"{trained[:13]:<14}" + "".join(f"{value:>{wide}}" for value in shown))
    return "\n".join([*lines, "", _about(document)])


def _about(document: Mapping[str, Any]) -> str:
    people = {"validation": "held-out people in held-out sentences", "test": "the test people"}[document["split"]]
    return f"{label(document['seeds']).capitalize()}, {document['sessions']} sessions a cell, {people}."


def to_markdown(document: Mapping[str, Any]) -> str:
    """Returns the matrix as a page: what differs, the tables with their intervals, and the command."""
    names, cells = list(document["variants"]), document["cells"]
    lines = [f"# Trained here, tested there: {document['world']}", "", f"{_about(document)} {_INTERVALS}", ""]
    lines += ["| variant | what differs | fingerprint |", "|---|---|---|"]
    for name, given in document["variants"].items():
        differs = ", ".join(f"`{key}={value}`" for key, value in given.items()) or "nothing"
        lines.append(f"| {name} | {differs} | `{document['fingerprints'][name]}` |")
    for key, title in _shown(document).items():
        lines += ["", f"## {title.capitalize()}", ""]
        lines.append("| trained \\ tested | " + " | ".join(names) + " |")
        lines.append("|---" * (len(names) + 1) + "|")
        for trained in names:
            values = (cells[trained][tested].get(key) for tested in names)
            lines.append(f"| **{trained}** | " + " | ".join(_with_interval(value) for value in values) + " |")
    how = f"Each agent: {document['agent']}, {document['steps']:,} user-steps. Made by:"
    return "\n".join([*lines, "", how, "", "```", document["command"], "```", ""])


_INTERVALS = (
    "In brackets 95 % intervals, resampling people and seeds; losses are of the same people with the same luck."
)


def _with_interval(value: Mapping[str, Any] | None) -> str:
    if value is None or value["value"] is None:
        return "–"
    low, high = value["low"], value["high"]
    return f"{value['value']:.2f}" + ("" if low is None else f" ({low:.2f} to {high:.2f})")

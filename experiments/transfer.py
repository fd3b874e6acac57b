"""The transfer matrix: trained among these people, tested among those.

Every variant of a world (other people, other constants, another language; the same items) trains an agent of its own;
each is then tested among the held-out people of every variant, all with the same luck. The diagonal is at home.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from instructrec import runs
from instructrec.experiments.compare import trained_ranker
from instructrec.experiments.competitors import references, split_name, untrained, world_of
from instructrec.experiments.evaluation import Competitor, Episodes, evaluate
from instructrec.experiments.progress import Narrator
from instructrec.experiments.statistics import Crossed
from instructrec.experiments.train import TrainPlan, train
from instructrec.sessions import Sessions, World

Variants = Mapping[str, Mapping[str, Any]]
"""The settings of each variant of a world, by name."""


def transfer(
    world_id: str,
    variants: Variants,
    *,
    out: str | os.PathLike[str],
    agent: str = "slate_ppo",
    agent_settings: Mapping[str, Any] | None = None,
    steps: int = 50_000,
    sessions: int = 300,
    seed: int = 0,
    final: bool = False,
    narrator: Narrator,
) -> dict[str, Any]:
    """Trains one agent per variant and tests each in all of them; goes on where a killed run stood.

    Args:
        world_id: The world.
        variants: What differs, by name; two or more, with the same items.
        out: The folder for the runs and ``transfer.json``.
        agent: The agent that is trained.
        agent_settings: Its settings.
        steps: User-steps of training, the same for all.
        sessions: Sessions played in every cell.
        seed: Of training; the sessions have another.
        final: Whether to read the test split.
        narrator: Is told how far it has come.

    Returns:
        The document that is written: per training variant and test variant the mean return with its interval and,
        where the people have an ``oracle``, its share of the way from random to it.

    Raises:
        ValueError: If there are fewer than two variants, or their items differ.
    """
    if len(variants) < 2:
        raise ValueError(f"a transfer matrix needs two variants or more, got {', '.join(variants) or 'none'}")
    worlds = {name: world_of(world_id, dict(given), split_name(final)) for name, given in variants.items()}
    first, *others = worlds
    for name in others:
        if worlds[name].catalogue.fingerprint != worlds[first].catalogue.fingerprint:
            raise ValueError(f"{name} has other items than {first}; an agent knows only those it was trained on")
    folders = {name: Path(out) / name for name in variants}
    for name, given in variants.items():
        narrator.say(f"Training among the people of {name}.")
        plan = TrainPlan(
            world=world_id,
            world_settings=dict(given),
            agent=agent,
            agent_settings=dict(agent_settings or {}),
            steps=steps,
            seed=seed,
        )
        train(plan, folders[name], resume=True, narrator=narrator)
    with runs.locked(out):
        people = Sessions.first(seed + 100, sessions)
        cells = {name: _column(world, folders, people, narrator) for name, world in worlds.items()}
        document = {
            "world": world_id,
            "variants": {name: dict(given) for name, given in variants.items()},
            "agent": agent,
            "steps": steps,
            "sessions": sessions,
            "seed": seed,
            "split": split_name(final),
            "fingerprints": {name: world.fingerprint for name, world in worlds.items()},
            "cells": {trained: {tested: cells[tested][trained] for tested in worlds} for trained in worlds},
        }
        runs.write_json(Path(out) / "transfer.json", document)
    return document


def _column(
    world: World, folders: Mapping[str, Path], people: Sessions, narrator: Narrator
) -> dict[str, dict[str, Any]]:
    """Returns how every agent does in one variant."""
    bounds = {**untrained(["random"], world), **references(["oracle"], world, lambda: world, narrator)}
    agents: dict[str, Competitor] = {name: trained_ranker(str(folder), world)[0] for name, folder in folders.items()}
    played = {name: evaluate(world, agent, people) for name, agent in {**bounds, **agents}.items()}
    crossed = Crossed.of(next(iter(played.values())).person)
    return {name: _cell(crossed, played, name) for name in agents}


def _cell(crossed: Crossed, played: Mapping[str, Episodes], name: str) -> dict[str, Any]:
    """Returns one agent's return in one variant, and the share of the way from random to the oracle that it goes."""
    means = {who: crossed.ratio(one.returns) for who, one in played.items()}
    cell: dict[str, Any] = {"return": means[name].interval().as_dict()}
    if "oracle" in means:
        share = (means[name] - means["random"]) / (means["oracle"] - means["random"])
        cell["oracle_normalised_return"] = share.interval().as_dict()
    if "csr" in played[name].metrics:
        cell["csr"] = crossed.ratio(*played[name].totals("csr")).interval().as_dict()
    return cell


def to_text(document: Mapping[str, Any]) -> str:
    """Returns the matrix as tables of at most 80 columns: rows trained there, columns tested there."""
    names = list(document["variants"])
    cells = document["cells"]
    wide = max(9, *(len(name) + 2 for name in names)) if len(names) <= 6 else 9
    lines = []
    for key, title in (
        ("oracle_normalised_return", "share of the way from random to the oracle"),
        ("return", "return"),
        ("csr", "share of what was asked for that was met"),
    ):
        if any(key not in cells[trained][tested] for trained in names for tested in names):
            continue
        lines += ["", f"{title.capitalize()} (row: trained, column: tested)"]
        lines.append(f"{'':<14}" + "".join(f"{name[: wide - 1]:>{wide}}" for name in names))
        for trained in names:
            values = (cells[trained][tested][key]["value"] for tested in names)
            lines.append(f"{trained[:13]:<14}" + "".join(f"{value:>{wide}.2f}" for value in values))
    return "\n".join(lines[1:])

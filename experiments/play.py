"""Being the user: a person at the keyboard talks with an agent, one session of one world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO, cast

from instructrec import runs
from instructrec.envs.population_human import HumanPopulation
from instructrec.experiments.competitors import UNTRAINED, untrained, world_of
from instructrec.experiments.conversations import converse
from instructrec.names import unknown_name
from instructrec.policies import Greedy
from instructrec.protocols import Policy, Ranker
from instructrec.runs import RunConfig, RunError
from instructrec.sessions import World


def play(
    world_id: str,
    agent: str,
    *,
    world_settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    read: TextIO | None = None,
    write: TextIO | None = None,
) -> tuple[dict[str, Any], str]:
    """Lets a person talk with an agent until it leaves or the turns are used up.

    Args:
        world_id: The world: its items, slates and turns; its people stay away.
        agent: One that learns nothing, by name, or the folder of a trained run.
        world_settings: The world's settings.
        seed: The seed of the agent's luck.
        read: Where the person types; standard input if omitted.
        write: What the person sees; standard output if omitted.

    Returns:
        What happened as a document, and in a sentence.

    Raises:
        ValueError: If there is no such agent.
        RunError: If the run was trained on another catalogue, or is damaged.
    """
    world = world_of(world_id, dict(world_settings or {}), "train")
    person = HumanPopulation(
        world.catalogue, slate_size=world.slate_size, turn_limit=world.turn_limit, read=read, write=write
    )
    world = replace(world, population=person)
    # Loaded before the person is asked anything: nobody likes to wait after saying what they want.
    policy = _policy(agent, world)
    (talk,) = converse(world, agent, policy, seed=seed, lanes=[0], turns=world.turn_limit)
    # Somebody who left at the door said nothing.
    turns = [turn for turn in talk.turns if turn.instruction]
    clicks = sum(item.clicked for turn in turns for item in turn.items)
    ending = talk.turns[-1].ending
    document = {"world": world_id, "agent": agent, "clicks": clicks, "ending": ending, "turns": runs.plain(turns)}
    slates = f"{len(turns)} slate{'' if len(turns) == 1 else 's'}"
    return document, f"{slates} by {agent}, {clicks} clicked; then you {ending}."


def _policy(agent: str, world: World) -> Policy:
    if (Path(agent) / runs.CONFIG).is_file():
        from instructrec.experiments.trainers import load_run

        config = RunConfig.read(agent)
        if config.catalogue and config.catalogue != world.catalogue.fingerprint:
            raise RunError(f"{agent} was trained on other items, those of {config.world}; play it there")
        return Greedy(load_run(agent, config, world.catalogue).ranker, world.slate_size)
    if agent not in UNTRAINED:
        raise ValueError(unknown_name("agent", agent, UNTRAINED) + "; or the folder of a trained run")
    found = untrained([agent], world)[agent]
    return cast(Policy, found) if hasattr(found, "act") else Greedy(cast(Ranker, found), world.slate_size)

"""Recording a log onto the disk: sessions played with a policy, shard by shard, going on where a killed one stood."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats, take
from instructrec.goals import satisfied
from instructrec.log_files import ITEMS, DiskLog, LogWriter, open_log, writing
from instructrec.log_manifest import LogPlan
from instructrec.log_shards import HIDDEN, encode_items
from instructrec.metrics import csr
from instructrec.noise import Noise
from instructrec.protocols import KnowsUtility, Policy
from instructrec.runs import write_bytes
from instructrec.sessions import Outcome, Sessions, SessionState, World, observe, persons_of, start, step
from instructrec.turns import Turns, joined_turns

Progress = Callable[[int, int], None]
BATCH = 256
"""How many sessions are played side by side: bounds the memory for scores."""


def record_log(
    world: World,
    policy: Policy,
    plan: LogPlan,
    out: str | os.PathLike[str],
    *,
    notes: Mapping[str, Any] | None = None,
    begun: Callable[[LogWriter], None] | None = None,
    progress: Progress | None = None,
) -> DiskLog:
    """Plays the sessions of a plan that the folder lacks, writes them, and returns the log.

    Args:
        world: Where.
        policy: Who shows the slates.
        plan: What the log is to hold; of this world and this policy.
        out: The folder; one with a part of the same log in it is completed.
        notes: The command and versions, kept in the manifest.
        begun: Called once the folder is held: the writer says what is there already, and what was damaged.
        progress: Called with (sessions done, sessions asked for).

    Raises:
        ImportError: If pyarrow is not installed.
        RunError: If the folder holds another log, is in use, or cannot be written.
        ValueError: If the plan is of another world, or the policy shows what it gives no probability to.
    """
    if plan.world.fingerprint != world.fingerprint:
        raise ValueError(
            f"the plan is of {plan.world.id} ({plan.world.fingerprint}), and this world is {world.name} "
            f"({world.fingerprint}); describe the world that is played by LoggedWorld.of(world)"
        )
    with writing(out, plan, notes) as writer:
        if not (Path(out) / ITEMS).exists():
            write_bytes(Path(out) / ITEMS, encode_items(world.catalogue.item_ids, world.catalogue.titles))
        if begun is not None:
            begun(writer)
        done = writer.num_sessions
        for number in writer.missing:
            parts: list[tuple[Turns, dict[str, npt.NDArray[Any]]]] = []
            lanes = plan.lanes(number)
            for begin in range(0, len(lanes), BATCH):
                parts.append(play(world, policy, Sessions.first(plan.seed, lanes[begin : begin + BATCH]), plan.truth))
                done += len(lanes[begin : begin + BATCH])
                if progress is not None:
                    progress(done, plan.sessions)
            truth = _joined([hidden for _, hidden in parts]) if plan.truth else None
            writer.add(number, joined_turns([turns for turns, _ in parts]), truth)
    return open_log(out)


def play(
    world: World, policy: Policy, sessions: Sessions, truth: bool = False
) -> tuple[Turns, dict[str, npt.NDArray[Any]]]:
    """Plays sessions to their end with a policy.

    Args:
        world: Where.
        policy: Who shows the slates.
        sessions: Who is met.
        truth: Whether to keep what is hidden from the policy.

    Returns:
        The turns, session by session, and the hidden columns of the same rows by name, empty unless asked for; see
        `instructrec.log_shards`.
    """
    state, rows = start(world, sessions), np.arange(len(sessions.lane))
    person = persons_of(world, state)
    order: list[npt.NDArray[np.int64]] = []
    parts: list[Turns] = []
    hidden: list[dict[str, npt.NDArray[Any]]] = []
    while len(rows):
        observation, noise = observe(world, state), Noise(state.sessions.keys, state.turn)
        shown = np.asarray(policy.act(observation, noise), np.int32)
        log_probs = np.array(policy.log_prob(observation, shown), np.float64)
        after, outcome = step(world, state, shown)
        said = state.instructions.texts
        following = np.where(outcome.terminated, -1, after.instructions.texts)
        spoken = np.unique(np.append(said, following[following >= 0]))
        candidates = observation.candidates
        parts.append(
            Turns(
                seed=state.sessions.seed,
                lane=state.sessions.lane,
                ordinal=state.sessions.ordinal,
                person=person[rows],
                turn=state.turn,
                instruction=said,
                slates=shown,
                log_probs=log_probs,
                item_rewards=outcome.item_rewards,
                rewards=outcome.reward,
                clicked=outcome.reactions.clicked,
                next_instruction=following,
                terminated=outcome.terminated,
                truncated=outcome.truncated,
                candidates=None if candidates is None else np.array(candidates),
                # Now, while the table still holds them: free texts are let go some day.
                texts=dict(zip(spoken.tolist(), world.population.texts.strings(spoken), strict=True)),
            )
        )
        order.append(rows)
        if truth:
            hidden.append(_hidden(world, state, shown, outcome))
        rows, state = rows[~outcome.done], take(after, ~outcome.done)
    # From turn by turn to session by session; within a session the turns are in order already.
    sorting = np.argsort(np.concatenate(order), kind="stable")
    return joined_turns(parts).rows(sorting), {name: column[sorting] for name, column in _joined(hidden).items()}


def _hidden(world: World, state: SessionState, shown: npt.NDArray[np.int32], outcome: Outcome) -> dict[str, Any]:
    reactions, goals = outcome.reactions, state.instructions.goals
    found: dict[str, Floats | npt.NDArray[np.bool_] | None] = {
        "satisfaction": reactions.satisfaction,
        "trust": reactions.trust,
        "goal_met": None if goals is None else csr(goals, satisfied(goals, world.catalogue, shown)),
        "expected_utility": None,
        "examined": reactions.examined,
    }
    if isinstance(world.population, KnowsUtility):
        utility = world.population.expected_utility(state.population)
        found["expected_utility"] = np.take_along_axis(utility, shown, axis=1)
    return {name: column for name, column in found.items() if column is not None}


def _joined(parts: list[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Returns hidden columns one after the other; those that are not in every part are left out."""
    names = [name for name in HIDDEN if parts and all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}

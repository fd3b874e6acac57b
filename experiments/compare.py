"""Playing agents side by side on the same people with the same luck, and measuring a trained run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from instructrec.experiments.competitors import references, split_name, untrained, world_of
from instructrec.experiments.evaluation import Competitor
from instructrec.experiments.progress import Advance, Narrator
from instructrec.experiments.results import FLAGSHIP, compare_agents
from instructrec.experiments.trainers import trained_ranker
from instructrec.policies import Blank
from instructrec.runs import RunConfig, RunError
from instructrec.sessions import Sessions, World


def measure(
    world: World,
    agents: Mapping[str, Competitor],
    *,
    sessions: int,
    seed: int,
    final: bool,
    training_seeds: Sequence[int] = (),
    flagship: str = FLAGSHIP,
    narrator: Narrator,
) -> dict[str, Any]:
    """Plays every agent and returns the results document.

    Args:
        world: Where.
        agents: Competitors by name.
        sessions: How many sessions each plays.
        seed: The sessions' seed.
        final: Whether the world is of the test split, for the record.
        training_seeds: Seeds that the trained ones were trained with.
        flagship: Whom differences and gates are about.
        narrator: Is told how far it has come.
    """
    people = Sessions.first(seed, sessions)
    told = f"{len(agents)} agents" if len(agents) > 1 else next(iter(agents))
    with narrator.task(f"Comparing {told} on {sessions} sessions") as advance:
        results = compare_agents(
            world,
            agents,
            people,
            flagship=flagship,
            seeds=list(training_seeds) or [seed],
            progress=_counted(agents, sessions, advance),
        )
    tally = getattr(world.population, "tally", None)
    if tally is not None:
        narrator.say(str(tally))
    return {**results, "split": split_name(final), "session_seed": seed}


def _counted(agents: Mapping[str, Competitor], sessions: int, advance: Advance) -> Any:
    """Turns 'so many sessions of this agent ended' into a share of all; each may be played up to three times."""
    ended: dict[str, int] = {}

    def progress(name: str, more: int) -> None:
        ended[name] = ended.get(name, 0) + more
        begun = len(ended) - 1
        advance(min((begun + min(ended[name] / (3 * sessions), 1.0)) / len(agents), 1.0), name)

    return progress


def evaluate_run(
    folder: str | os.PathLike[str],
    *,
    sessions: int,
    seed: int,
    final: bool,
    narrator: Narrator,
    population: str = "",
    language: str = "",
) -> dict[str, Any]:
    """Measures a trained run beside random, its own blank text and the references.

    Args:
        folder: The run folder.
        sessions: How many sessions each plays.
        seed: The sessions' seed.
        final: Whether to read the test split.
        narrator: Is told what is happening.
        population: The place of the run's population, where it has one: code is imported only where the caller says so.
        language: What the people met speak, if not what those spoke that it was trained with.

    Raises:
        RunError: If it is not a run, its world's catalogue is no longer what it was trained on, or its population is
            at a place that ``population`` does not name.
    """
    config = RunConfig.read(folder)
    settings = dict(config.world_settings)
    who = str(settings.get("population", ""))
    if population and population != who:
        raise RunError(f"the people of {folder} are {who or 'those of ' + config.world}, not {population}")
    if ":" in who and population != who:
        raise RunError(
            f"the people of {folder} are code at {who!r}, which a run folder may not have imported by itself: if it is "
            f"yours, add --population {who}"
        )
    items = None
    if language and language != settings.get("language", World.language):
        items = world_of(config.world, settings, "train").catalogue
        narrator.say(
            f"Trained with people who speak {settings.get('language', World.language)}; these speak {language}."
        )
        settings |= {"language": language}
    world = world_of(config.world, settings, split_name(final))
    if items is None and config.fingerprint not in ("", world_of(config.world, settings, "train").fingerprint):
        narrator.say(f"The people or rules of {config.world} are no longer those that {folder} was trained in.")
    ranker, _ = trained_ranker(os.fspath(folder), world, items)
    agents: dict[str, Competitor] = {config.agent: ranker, f"{config.agent}_blank": Blank(ranker)}
    agents |= untrained(["random"], world)
    known = ["informed", "goal_oracle", "oracle"]
    agents |= references(known, world, lambda: world_of(config.world, settings, "train"), narrator)
    return measure(
        world,
        agents,
        sessions=sessions,
        seed=seed,
        final=final,
        training_seeds=[config.seed],
        flagship=config.agent,
        narrator=narrator,
    )

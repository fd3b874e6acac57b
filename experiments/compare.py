"""Comparing agents on the same people with the same luck, and measuring a trained run."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instructrec import runs
from instructrec.agents.encoder import check_reads, load_encoder
from instructrec.agents.learners import LEARNERS, Ground
from instructrec.catalogue import Catalogue
from instructrec.experiments.competitors import (
    check_names,
    references,
    split_name,
    untrained,
    world_of,
)
from instructrec.experiments.conversations import Conversation, converse
from instructrec.experiments.evaluation import Competitor
from instructrec.experiments.learners import learn_named, reader_for
from instructrec.experiments.outputs import write_outputs
from instructrec.experiments.progress import Advance, Narrator
from instructrec.experiments.results import FLAGSHIP, compare_agents
from instructrec.experiments.train import TrainPlan, train
from instructrec.experiments.trainers import load_run
from instructrec.experiments.watch import Past
from instructrec.policies import Blank, greedy
from instructrec.protocols import Ranker
from instructrec.runs import RunConfig, RunError
from instructrec.sessions import Sessions, World

_READERS = {FLAGSHIP, f"{FLAGSHIP}_blank", "cosine", *LEARNERS} - {"item_knn", "ease", "als", "bpr", "parser_factors"}
"""Agents that read what people say with the language model."""
SAMPLES = 4
"""How many people's conversations stand in a report."""


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


def sample(world: World, name: str, ranker: Ranker, *, seed: int, count: int = SAMPLES) -> list[Conversation]:
    """Returns conversations of a ranker and of the same one hearing nothing, with the same people."""
    lanes = list(range(count))
    heard = converse(world, name, greedy(ranker, world.slate_size), seed=seed, lanes=lanes)
    deaf = converse(world, f"{name}_blank", greedy(Blank(ranker), world.slate_size), seed=seed, lanes=lanes)
    return [talk for pair in zip(heard, deaf, strict=True) for talk in pair]


def compare(
    world_id: str,
    names: Sequence[str],
    *,
    out: str | os.PathLike[str],
    world_settings: Mapping[str, Any] | None = None,
    steps: int = 50_000,
    encoder: str = "minilm",
    sessions: int = 500,
    seed: int = 1,
    final: bool = False,
    any_language: bool = False,
    narrator: Narrator,
) -> dict[str, Any]:
    """Compares agents, and writes results and report into a folder.

    Args:
        world_id: The world.
        names: Agents by name; those that learn are trained first, unless given as NAME=RUN.
        out: The folder.
        world_settings: The world's settings.
        steps: User-steps that each of those that learn is trained for, the same for all.
        encoder: The language model.
        sessions: How many sessions each plays.
        seed: The sessions' seed.
        final: Whether to read the test split.
        any_language: Whether to use a language model that does not read what people speak.
        narrator: Is told what is happening.

    Raises:
        ValueError: If a name is unknown, the language model does not read what people speak, or a run was trained on
            another catalogue.
    """
    if not names:
        raise ValueError("nobody to compare: name at least one agent, such as --agents random,popularity")
    settings = dict(world_settings or {})
    trained = dict(entry.split("=", 1) for entry in names if "=" in entry)
    plain = [name for name in names if "=" not in name]
    check_names([*plain, *trained])
    world = world_of(world_id, settings, split_name(final))
    _check_free(Path(out), world)
    if not any_language and set(plain) & _READERS:
        check_reads(load_encoder(encoder), encoder, world.language)
    training_world = functools.cache(lambda: world_of(world_id, settings, "train"))
    if FLAGSHIP not in trained and {FLAGSHIP, f"{FLAGSHIP}_blank"} & set(plain):
        plan = TrainPlan(
            world=world_id,
            world_settings=settings,
            steps=steps,
            seed=seed,
            agent_settings={"encoder": encoder},
            any_language=any_language,
        )
        folder = Path(out) / FLAGSHIP
        train(plan, folder, resume=True, narrator=narrator)
        trained[FLAGSHIP] = str(folder)
    agents: dict[str, Competitor] = {**untrained(plain, world, functools.partial(load_encoder, encoder))}
    conversations: list[Conversation] = []
    curves: dict[str, Any] = {}
    seeds, notes = [], {}
    for name, folder_name in trained.items():
        ranker, config = trained_ranker(folder_name, world)
        agents[name] = ranker
        seeds.append(config.seed)
        notes[name] = f"{config.steps:,} user-steps"
        if name == FLAGSHIP:
            agents[f"{name}_blank"] = Blank(ranker)
            conversations = sample(world, name, ranker, seed=seed)
            curves[name] = Past.of(runs.latest_checkpoint(folder_name)).curve

    def ground() -> Ground:
        world = training_world()
        return Ground(world, reader_for(world, load_encoder(encoder), narrator), steps)

    learned = learn_named(plain, ground, seed=seed, narrator=narrator)
    agents |= {name: one.competitor for name, one in learned.items()}
    notes |= {name: one.note for name, one in learned.items()}
    agents |= references(plain, world, training_world, narrator)
    with runs.locked(out):
        results = measure(
            world,
            agents,
            sessions=sessions,
            seed=seed + 100,
            final=final,
            training_seeds=seeds or [seed],
            narrator=narrator,
        )
        results["notes"] = notes
        write_outputs(out, results, conversations=conversations, curves=curves)
    narrator.say(f"Results and report lie in {Path(out)}.")
    return results


def _check_free(out: Path, world: World) -> None:
    """Raises a FileExistsError where a folder holds a comparison made in another world, which would be lost."""
    if (out / runs.RESULTS).is_file():
        before = runs.read_json(out / runs.RESULTS)
        if before.get("fingerprint") != world.fingerprint:
            raise FileExistsError(
                f"{out} holds a comparison made in {before.get('world')} with other people or rules "
                f"({before.get('fingerprint')}; these are {world.fingerprint}); choose another folder, or remove it"
            )


def trained_ranker(folder: str, world: World, items: Catalogue | None = None) -> tuple[Ranker, RunConfig]:
    """Returns what a run learned, and how it was recorded.

    Args:
        folder: The run.
        world: Where it is to play.
        items: The items it was trained on, where their texts are in another language.

    Raises:
        RunError: If it is not a run, or it was trained on another catalogue than the world's or for other slates.
    """
    config = RunConfig.read(folder)
    if config.catalogue and config.catalogue != (items or world.catalogue).fingerprint:
        raise RunError(
            f"{folder} was trained on another catalogue ({config.world}, {config.catalogue}) than {world.name} has "
            f"({world.catalogue.fingerprint}); compare it where it was trained"
        )
    loaded = load_run(folder, config, world.catalogue)
    if loaded.slate_size != world.slate_size:
        raise RunError(
            f"{folder} was trained to fill slates of {loaded.slate_size}, and those of {world.name} have "
            f"{world.slate_size} places here; train it there, or leave slate_size as it was"
        )
    return loaded.ranker, config


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

"""Training into a run folder: checkpoints that survive a kill, and a resumption that changes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from instructrec import runs
from instructrec.agents.encoder import check_reads, load_encoder
from instructrec.agents.own_log import LogRecorder
from instructrec.agents.slate_ppo import SlatePPOConfig
from instructrec.envs.parser import parse
from instructrec.envs.vocabulary import Vocabulary
from instructrec.envs.worlds import spoken_in
from instructrec.experiments.agent_files import FEATURES, read_features, write_features
from instructrec.experiments.beginnings import Beginning
from instructrec.experiments.catalogue_files import write_catalogue
from instructrec.experiments.checkups import Examiner
from instructrec.experiments.competitors import features_for, references, untrained, warm_reader, world_of
from instructrec.experiments.conversations import Conversation, converse, to_markdown
from instructrec.experiments.headline import DEAF, FLAGSHIP
from instructrec.experiments.outputs import command_line, versions
from instructrec.experiments.progress import Narrator
from instructrec.experiments.tensorboard import Events, purge_later
from instructrec.experiments.trainers import SHAPE, SlatePPOTrainer, TimedRanker, configured
from instructrec.experiments.unheard import unheard
from instructrec.experiments.watch import Past, Watch
from instructrec.names import unknown_name
from instructrec.policies import Blank, greedy
from instructrec.protocols import CandidateSource, Ranker
from instructrec.runs import RunConfig, RunError
from instructrec.sessions import Sessions, World, start

RESUMABLE = (FLAGSHIP, DEAF)
SUMMARY = "training.json"
LOG = "log"
"""The folder of a run that holds what was shown in training, as `instructrec.agents.own_log` reads it."""


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """What to train.

    Attributes:
        world: The world's id.
        world_settings: Its settings.
        agent: The agent's name.
        agent_settings: Settings that differ from the agent's defaults; ``encoder`` names the language model.
        seed: The seed.
        steps: User-steps.
        checkups: How many checkups to make on the way.
        checkpoint_seconds: Least time between checkpoints; 0 makes one after every iteration.
        any_language: Whether to train with a language model that does not read what people speak.
        candidates: Which items may be ranked, instead of what the world says; for training without some items.
        keep_log: Whether to keep what is shown while it learns in the run folder's ``log``, for those fitted to a log.
        start: The folder of a run to begin with, actor, critic and reading, such as one that learned from a log; empty
            for none. Its network must have the same sizes.
    """

    world: str
    world_settings: Mapping[str, Any] = field(default_factory=dict)
    agent: str = "slate_ppo"
    agent_settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    steps: int = 200_000
    checkups: int = 8
    checkpoint_seconds: float = 30.0
    any_language: bool = False
    candidates: CandidateSource | None = None
    keep_log: bool = False
    start: str = ""

    def place(self, split: str) -> World:
        """Returns the world of one split's people."""
        world = world_of(self.world, dict(self.world_settings), split)
        return world if self.candidates is None else replace(world, candidates=self.candidates)


def train(
    plan: TrainPlan, out: str | os.PathLike[str], *, resume: bool, narrator: Narrator, describing: bool = True
) -> dict[str, Any]:
    """Trains an agent into a run folder.

    Args:
        plan: What to train.
        out: The run folder.
        resume: Whether to go on with the run in it; with none there, it begins.
        narrator: Is told what is happening.
        describing: Whether to end with `describe`; a caller that measures the agent does so itself.

    Returns:
        What was done: steps, seconds and the last checkup.

    Raises:
        RunError: If the folder holds a run and ``resume`` is off, or that run is another one.
        ValueError: If a name or a setting is unknown, or the language model does not read what people speak.
    """
    if plan.agent not in RESUMABLE:
        raise ValueError(unknown_name("agent to train", plan.agent, RESUMABLE))
    out = Path(out)
    world = plan.place("train")
    settings = dict(plan.agent_settings)
    encoder_name = str(settings.pop("encoder", "minilm"))
    learning = configured(SlatePPOConfig, settings, others=("encoder",))
    begun = Beginning.of(plan.start, world) if plan.start else None
    config = RunConfig(
        world=plan.world,
        world_settings=runs.plain(dict(plan.world_settings)),
        agent=plan.agent,
        agent_settings={
            "encoder": encoder_name,
            **runs.plain(learning),
            **({} if begun is None else {"start": begun.fingerprint}),
        },
        seed=plan.seed,
        steps=plan.steps,
        fingerprint=world.fingerprint,
        catalogue=world.catalogue.fingerprint,
    )
    # Before the folder is made: a model that is missing should not leave a run behind.
    encoder = load_encoder(encoder_name)
    if not plan.any_language:
        check_reads(encoder, encoder_name, world.language)
    with runs.locked(out):
        begin(out, config, world, resume=resume)
        found = runs.latest_checkpoint(out)
        if (out / FEATURES).exists():
            features = read_features(out)
        else:
            known = (
                features_for(world, encoder, narrator, prompts=learning.prompts) if begun is None else begun.features
            )
            write_features(out, known)
            # As a resumed run will find them.
            features = known if begun is None else read_features(out)
        deaf = plan.agent == DEAF
        trainer = SlatePPOTrainer(unheard(world) if deaf else world, encoder, features, learning, plan.seed)
        if not deaf:
            warm_reader(trainer.reader, world, narrator, "Reading what the instructions ask for")
        if begun is not None:
            trainer.begin_with(begun.weights)
        if found is not None:
            trainer.restore(found.folder)
            narrator.say(f"Going on from step {found.step:,}.")
        if trainer.step >= plan.steps and (out / SUMMARY).exists():
            narrator.say(f"{plan.agent} is trained already ({trainer.step:,} user-steps).")
            return dict(runs.read_json(out / SUMMARY))
        summary = _learn(trainer, plan, out, found, narrator)
        if describing:
            validation = plan.place("validation")
            last = {name: value for name, value in summary["last"].items() if name != "step"}
            describe(
                out, plan, config, validation, trainer.ranker(), last, talks_of(plan, validation, trainer.ranker())
            )
        # Last, since it says that nothing is left to do.
        runs.write_json(out / SUMMARY, summary)
    return summary


def begin(out: Path, config: RunConfig, world: World, *, resume: bool) -> None:
    """Makes a run folder, or checks that the run in it is this one.

    Raises:
        RunError: If it holds a run and ``resume`` is off, or that run is another one.
    """
    if (out / runs.CONFIG).exists():
        if not resume:
            raise RunError(f"{out} holds a run already; go on with it by --resume, or choose another --out")
        differences = RunConfig.read(out).differences(config)
        if differences:
            raise RunError(
                f"{out} was begun with other settings, and going on with these would be a third run: "
                f"{'; '.join(differences[:4])}; use the old ones, or choose another --out"
            )
        return
    write_catalogue(out, world.catalogue)
    past = start(world, Sessions.first(config.seed, 1)).past
    shape = {"slate_size": world.slate_size, "turn_limit": world.turn_limit, "past_length": past.shape[1]}
    runs.write_json(out / SHAPE, shape)
    # Last, since it is what makes the folder a run.
    config.write(out, notes={"command": command_line(), "versions": versions()})


def _learn(
    trainer: SlatePPOTrainer, plan: TrainPlan, out: Path, found: runs.Checkpoint | None, narrator: Narrator
) -> dict[str, Any]:
    folder = out / runs.EVENTS / plan.agent
    purge_later(folder, trainer.step)
    with Events(folder) as events, narrator.task(f"Training {plan.agent} for {plan.steps:,} user-steps") as advance:
        watch = Watch(
            events,
            plan.steps,
            ranker_of=lambda model: heard_by(plan, trainer.ranker(model)),
            examiner=_examiner(plan, narrator) if plan.checkups else None,
            checkups=plan.checkups,
            advance=advance,
            save=trainer.save,
            run=out,
            checkpoint_seconds=plan.checkpoint_seconds,
            past=Past.of(found),
        )
        trainer.learn(plan.steps, watch, *([LogRecorder(out / LOG)] if plan.keep_log else []))
    tally = getattr(trainer.env.world.population, "tally", None)
    if tally is not None:
        narrator.say(str(tally))
    return {
        "run": str(out),
        "agent": plan.agent,
        "world": plan.world,
        "steps": trainer.step,
        "sessions": trainer.env.episode_statistics.count,
        "seconds": watch.seconds if trainer.step > (0 if found is None else found.step) else Past.of(found).seconds,
        "last": watch.curve[-1] if watch.curve else {},
    }


def _examiner(plan: TrainPlan, narrator: Narrator) -> Examiner:
    world = plan.place("validation")
    quiet = Narrator(stream=narrator.stream, quiet=True)
    bounds = untrained(["random"], world) | references(["oracle"], world, lambda: world, quiet)
    return Examiner(world, bounds)


def heard_by(plan: TrainPlan, ranker: TimedRanker) -> Ranker:
    """Returns a ranker as it is to be met: one that never heard anybody hears nothing."""
    return Blank(ranker) if plan.agent == DEAF else ranker


def talks_of(plan: TrainPlan, world: World, ranker: TimedRanker) -> list[Conversation]:
    """Returns sample conversations with what was learned."""
    return converse(world, plan.agent, greedy(heard_by(plan, ranker), world.slate_size), seed=7, lanes=range(6))


def describe(
    out: Path,
    plan: TrainPlan,
    config: RunConfig,
    world: World,
    ranker: TimedRanker,
    metrics: Mapping[str, float],
    talks: Sequence[Conversation],
) -> None:
    """Writes what belongs to the end of a run into its events: conversations, hyperparameters, embeddings.

    Args:
        out: The run folder.
        plan: What was trained.
        config: The same as it was recorded.
        world: Where people say what is shown; none that it was trained on.
        ranker: What was learned.
        metrics: Final metrics by name.
        talks: Sample conversations.
    """
    final = {f"results/{name}": value for name, value in metrics.items()}
    settings = {"world": plan.world, "agent": plan.agent, "seed": plan.seed, "steps": plan.steps}
    texts = [text for text in world.population.texts.bank[:1000] if text]
    with Events(out / runs.EVENTS / plan.agent) as events:
        for talk in talks:
            events.text(plan.steps, f"conversations/person_{talk.lane}_{talk.agent}", to_markdown(talk))
        events.scalars(plan.steps, final)
        events.settings({**settings, **config.agent_settings}, final)
        labels = {"instruction": texts, **_meanings(texts, spoken_in(world))}
        events.embeddings("instructions", ranker.reader.encoder.hear(texts), labels)


def _meanings(texts: Sequence[str], vocabulary: Vocabulary) -> dict[str, list[str]]:
    """Returns what the parser makes of texts, for colouring points: the first thing asked for, and all of it."""
    wishes = [[str(wish) for wish in parse(text, vocabulary).predicates] for text in texts]
    return {
        "first_wish": [one[0] if one else "(none understood)" for one in wishes],
        "all_wishes": ["; ".join(one) or "(none understood)" for one in wishes],
    }

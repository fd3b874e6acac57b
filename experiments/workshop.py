"""Where a comparison's competitors are made: worlds, readers and trained agents, what several need only once."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from instructrec import __version__, runs
from instructrec.agents.encoder import TextEncoder, load_encoder
from instructrec.agents.features import ItemFeatures
from instructrec.agents.learners import LEARNERS, Ground, fixed_log
from instructrec.agents.own_log import ABOUT_LOG, read_log, write_log
from instructrec.agents.reading import SessionReader
from instructrec.agents.recording import Regime
from instructrec.agents.slate_ppo import LEARNING, SlatePPOConfig
from instructrec.agents.wishes import READING
from instructrec.candidates import TheseItems
from instructrec.envs.worlds import make_world, world_spec
from instructrec.experiments.agent_files import FEATURES, WEIGHTS, read_features, write_features
from instructrec.experiments.cells import CELLS, LISTENERS, ONCE, RUN, Cell, CellFolder, hash_of
from instructrec.experiments.competitors import UNTRAINED, features_for, references, untrained, warm_reader, world_of
from instructrec.experiments.evaluation import Competitor
from instructrec.experiments.headline import FLAGSHIP
from instructrec.experiments.learners import learn
from instructrec.experiments.own_log import own_log
from instructrec.experiments.progress import Narrator
from instructrec.experiments.train import TrainPlan, train
from instructrec.experiments.trainers import TimedRanker, configured, trained_ranker
from instructrec.experiments.watch import Past
from instructrec.logs import Log
from instructrec.sessions import World
from instructrec.splits import Split, Splits, split_of

Made = TypeVar("Made")


class AbsentError(Exception):
    """A world has no such competitor, or a competitor does not fit a world; no failure."""


@dataclass(frozen=True)
class Contestant:
    """A competitor of one cell.

    Attributes:
        at: Returns it as it competes in a world of the same items; raises `AbsentError` where there is none.
        note: What it learned from, in a few words.
        steps: User-steps that it took.
        sessions: Training sessions that it met; None where that is not known.
        seconds: How long that took.
        curve: Rows of its learning curve.
        bound: Whether it knows only the items that it was made for.
    """

    at: Callable[[World], Competitor]
    note: str = ""
    steps: int = 0
    sessions: int | None = None
    seconds: float = 0.0
    curve: tuple[Mapping[str, float], ...] = ()
    bound: bool = False

    def trained(self) -> dict[str, Any]:
        """Returns what is written of its training."""
        told = {"steps": self.steps, "sessions": self.sessions, "seconds": self.seconds}
        return {"note": self.note, **told, "curve": list(self.curve)}


@dataclass
class Workshop:
    """Makes worlds and competitors.

    Attributes:
        world_id: The world.
        settings: Its settings.
        steps: User-steps that each of those that learn is trained for.
        encoder_name: The language model.
        final: Whether the test split is read.
        out: The folder of the comparison.
        any_language: Whether to use a language model that does not read what people speak.
        narrator: Is told what is happening.
        flagship: SlatePPO's settings: its training log is made with them, and others read as many prompts as it.
    """

    world_id: str
    settings: Mapping[str, Any]
    steps: int
    encoder_name: str
    final: bool
    out: Path
    any_language: bool
    narrator: Narrator
    flagship: Mapping[str, Any] = field(default_factory=dict)
    _once: dict[Any, Any] = field(default_factory=dict)

    @property
    def held_out(self) -> Split:
        """The split that agents are compared on."""
        return Split.TEST if self.final else Split.VALIDATION

    @property
    def prompts(self) -> int:
        """From how many prompts of its own SlatePPO learns to read."""
        return int(self.flagship.get("prompts", SlatePPOConfig().prompts))

    @property
    def train(self) -> Split:
        """The split that agents learn on."""
        return Split.TRAIN

    @property
    def encoder(self) -> TextEncoder:
        """The language model."""
        return self.kept("encoder", lambda: load_encoder(self.encoder_name))

    def world(self, split: str, *, items: Split | None = None) -> World:
        """Returns the world of one split's people; with ``items``, only those of that split can be recommended."""
        return self.kept(
            ("world", split, items), lambda: self._limited(world_of(self.world_id, dict(self.settings), split), items)
        )

    def world_where(self, splits: Splits) -> World | None:
        """Returns the world with its axes drawn from given splits; None where it does not know them."""
        if "splits" not in world_spec(self.world_id).settings() or "population" in self.settings:
            return None
        return self.kept(splits, lambda: make_world(self.world_id, **{**self.settings, "splits": splits}))

    def training_world(self, cell: Cell) -> World:
        """Returns where a cell learns."""
        return self.world("train", items=Split.TRAIN if cell.unseen else None)

    def identity(self, cell: Cell) -> dict[str, Any]:
        """Returns all that decides a cell."""
        decides: dict[str, Any] = {"agent": cell.agent, "settings": dict(cell.settings)}
        if cell.run:
            return {**decides, "run": learned_by(cell.run)}
        if cell.agent == "cosine" or cell.learns:
            decides["encoder"] = self.encoder_name
        if cell.fitted:
            decides["fingerprint"] = self.training_world(cell).fingerprint
        if cell.learns:
            decides |= {"regime": str(cell.regime), "seed": cell.seed, "steps": self.steps}
        if cell.agent in LISTENERS or (cell.learns and LEARNERS[cell.agent].reads):
            decides["reading"] = READING
        if cell.learns and cell.agent in LISTENERS:
            decides["learning"] = LEARNING
        if cell.learns and cell.agent not in LISTENERS:
            decides["prompts"] = self.prompts
        if cell.regime is Regime.OWN:
            decides["flagship"] = dict(self.flagship)
        return decides

    def contestant(self, cell: Cell, run: Path) -> Contestant:
        """Makes the competitor of a cell, trained if it learns.

        Args:
            cell: Which.
            run: The run folder, of those that have one.
        """
        if cell.run:
            return self._of_run(Path(cell.run))
        if cell.agent in LISTENERS:
            return self._listener(cell, run)
        if cell.learns:
            return self._learner(cell)
        if cell.agent in UNTRAINED:
            return Contestant(lambda world: untrained([cell.agent], world, lambda: self.encoder)[cell.agent])
        counted: list[World] = []

        def training() -> World:
            counted.append(counting(self.training_world(cell)))
            return counted[-1]

        def at(world: World) -> Competitor:
            found = references([cell.agent], world, training, self.narrator)
            if cell.agent not in found:
                raise AbsentError(f"{world.name} has no {cell.agent}")
            return found[cell.agent]

        if cell.agent not in ONCE:
            return Contestant(at)
        # Fitted on training people, it serves every world of the same items.
        fitted = at(self.world(str(self.held_out)))
        return Contestant(lambda world: fitted, "fitted on training people", sessions=met(counted[0]), bound=True)

    def _listener(self, cell: Cell, run: Path) -> Contestant:
        settings = {"encoder": self.encoder_name, **cell.settings}
        learning = configured(SlatePPOConfig, dict(cell.settings), others=("encoder",))
        if not (run / FEATURES).exists() and "encoder" not in cell.settings:
            write_features(run, self.features(learning.prompts))
        plan = TrainPlan(
            world=self.world_id,
            world_settings=self.settings,
            agent=cell.agent,
            agent_settings=settings,
            seed=int(cell.seed or 0),
            steps=self.steps,
            any_language=self.any_language,
            candidates=self.training_world(cell).candidates if cell.unseen else None,
        )
        summary = train(plan, run, resume=True, narrator=self.narrator)
        found = self._of_run(run)
        # A run that was trained by an earlier version does not say how many sessions it met.
        return replace(found, sessions=summary.get("sessions"), seconds=float(summary["seconds"]))

    def _of_run(self, run: Path) -> Contestant:
        world = self.world(str(self.held_out))
        ranker, config = trained_ranker(os.fspath(run), world)
        if isinstance(ranker, TimedRanker):
            warm_reader(ranker.reader, world, self.narrator, "Reading held-out phrasings")
        curve = Past.of(runs.latest_checkpoint(run)).curve
        return Contestant(
            lambda world: ranker, f"{config.steps:,} user-steps", config.steps, curve=tuple(curve), bound=True
        )

    def _learner(self, cell: Cell) -> Contestant:
        world = counting(self.training_world(cell))
        log = self.log(cell) if LEARNERS[cell.agent].fits and cell.regime is not Regime.ROUNDS else None
        ground = Ground(world, self.reader, self.steps, cell.regime, log)
        found = learn(cell.agent, ground, settings=cell.settings, seed=int(cell.seed or 0), narrator=self.narrator)
        sessions = met(world) if found.sessions is None else found.sessions
        return Contestant(
            lambda _: found.competitor, found.note, found.steps, sessions, found.seconds, tuple(found.curve), True
        )

    def log(self, cell: Cell) -> Log:
        """Returns the log that a cell is fitted to: recorded once for all of its seed, and kept on the disk."""
        world, seed = self.training_world(cell), int(cell.seed or 0)
        decides = {"regime": str(cell.regime), "seed": seed, "steps": self.steps, "encoder": self.encoder_name}
        decides |= {"fingerprint": world.fingerprint, "prompts": self.prompts, "version": __version__}
        if cell.regime is Regime.OWN:
            decides["flagship"] = dict(self.flagship)
        folder = self.out / CELLS / f"log-{hash_of(decides)}"
        with runs.locked(folder, wait=True):
            if not (folder / ABOUT_LOG).exists():
                write_log(folder, self._recorded(cell), world)
        # Not kept in memory: the logs of all seeds would fill it.
        return read_log(folder, world)

    def _recorded(self, cell: Cell) -> Log:
        if cell.regime is Regime.OWN:
            return own_log(self._plan_of_own_log(cell), self.features(self.prompts), self.encoder, self.narrator)
        world, seed = self.training_world(cell), int(cell.seed or 0)
        with self.narrator.task("Recording a log") as advance:
            return fixed_log(world, self.reader, self.steps, seed, lambda done, total: advance(done / total, ""))

    def _plan_of_own_log(self, cell: Cell) -> TrainPlan:
        return TrainPlan(
            world=self.world_id,
            world_settings=self.settings,
            agent=FLAGSHIP,
            agent_settings={"encoder": self.encoder_name, **self.flagship},
            seed=int(cell.seed or 0),
            steps=self.steps,
            any_language=self.any_language,
            candidates=self.training_world(cell).candidates if cell.unseen else None,
        )

    def features(self, prompts: int) -> ItemFeatures:
        """Returns what those that learn know of the items: fitted once, and kept on the disk.

        Those that are trained without some items know them as the others do, by text and by others' pasts: what they
        lack is ever having shown them.
        """
        world = self.world("train")
        decides = {"fingerprint": world.fingerprint, "encoder": self.encoder_name, "prompts": prompts}
        key = hash_of({**decides, "reading": READING})
        folder = self.out / CELLS / f"features-{key}"

        def make() -> ItemFeatures:
            with runs.locked(folder, wait=True):
                if not (folder / FEATURES).exists():
                    write_features(folder, features_for(world, self.encoder, self.narrator, prompts=prompts))
            return read_features(folder)

        return self.kept(("features", key), make)

    @property
    def reader(self) -> SessionReader:
        """What turns observations into the inputs of networks; it has read as many prompts as SlatePPO."""

        def make() -> SessionReader:
            world, features = self.world("train"), self.features(self.prompts)
            reader = SessionReader(features, self.encoder, slate_size=world.slate_size, turn_limit=world.turn_limit)
            warm_reader(reader, world, self.narrator, "Reading what the instructions ask for")
            return reader

        return self.kept("reader", make)

    def _limited(self, world: World, items: Split | None) -> World:
        if items is None:
            return world
        if world.candidates is not None:
            raise AbsentError(f"{world.name} chooses candidates itself, so that no items can be held out")
        held = [item for item, name in enumerate(world.catalogue.item_ids) if split_of("items", name) is items]
        if len(held) < world.slate_size:
            raise AbsentError(f"{world.name} has {len(held)} items in {items}, and slates of {world.slate_size} places")
        return replace(world, candidates=TheseItems(np.array(held, np.int32)))

    def kept(self, key: Any, make: Callable[[], Made]) -> Made:
        """Returns what was made under a key, made at the first time."""
        if key not in self._once:
            self._once[key] = make()
        found: Made = self._once[key]
        return found


def run_folder(folder: CellFolder) -> Path:
    """Returns where the run of a cell that has one lies."""
    return folder.path / RUN


def learned_by(run: str | os.PathLike[str]) -> str:
    """Returns a hash of what a run learned: what was measured of another agent is not its own."""
    found = runs.latest_checkpoint(runs.find_run(run))
    weights = b"" if found is None else runs.read_bytes(found.folder / WEIGHTS)
    return hashlib.sha256(weights + runs.read_bytes(Path(run) / FEATURES)).hexdigest()[:16]


def counting(world: World) -> World:
    """Returns the same world, which counts who arrives: see `met`."""
    users = copy.copy(world.population)
    try:
        arrive = users.arrive
        counter = {"arrived": 0}

        def counted(sessions: Any, noise: Any) -> Any:
            counter["arrived"] += len(sessions.lane)
            return arrive(sessions, noise)

        # Not a wrapper: what a population is besides, others ask it for by its class.
        object.__setattr__(users, "arrive", counted)
        object.__setattr__(users, "_arrivals", counter)
    except AttributeError:
        return world
    return replace(world, population=users)


def met(world: World) -> int | None:
    """Returns how many sessions began in a `counting` world; None where they could not be counted."""
    counter = getattr(world.population, "_arrivals", None)
    return None if counter is None else int(counter["arrived"])

"""Comparing agents by the whole protocol: every cell is trained once, measured on every aspect, and never twice."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from instructrec import runs
from instructrec.agents.encoder import check_reads, load_encoder
from instructrec.agents.learners import LEARNERS
from instructrec.experiments.aspects import ASPECTS, Aspect, aspects_of
from instructrec.experiments.cells import CELLS, Cell, CellFolder, cells_of
from instructrec.experiments.competitors import split_name, world_of
from instructrec.experiments.conversations import Conversation, sample
from instructrec.experiments.document import Measured, assemble
from instructrec.experiments.headline import FLAGSHIP
from instructrec.experiments.outputs import write_outputs
from instructrec.experiments.progress import Narrator, clock
from instructrec.experiments.results import Document
from instructrec.experiments.side_by_side import side_by_side
from instructrec.experiments.tensorboard import Events
from instructrec.experiments.trainers import trained_ranker
from instructrec.experiments.workshop import AbsentError, Contestant, Workshop, run_folder
from instructrec.names import unknown_name
from instructrec.protocols import Ranker
from instructrec.runs import RunConfig, RunError
from instructrec.sessions import Sessions, World

READERS = frozenset({FLAGSHIP, f"{FLAGSHIP}_blank", "cosine"} | {name for name, one in LEARNERS.items() if one.reads})
"""Agents that read what people say with the language model."""
CONVERSATIONS = "conversations.json"
PROTOCOLS = {"quick": ("held_out",), "full": ASPECTS}
"""What is measured, by name."""


def compare(
    world_id: str,
    names: Sequence[str],
    *,
    out: str | os.PathLike[str],
    world_settings: Mapping[str, Any] | None = None,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    aspects: Sequence[str] = PROTOCOLS["quick"],
    other: str = "",
    seeds: int | None = None,
    steps: int = 50_000,
    encoder: str = "minilm",
    sessions: int = 500,
    seed: int = 1,
    final: bool = False,
    any_language: bool = False,
    jobs: int = 1,
    narrator: Narrator,
) -> Document:
    """Compares agents, and writes results, tables, events and report into a folder.

    What was finished before in the folder is not done again: see `instructrec.experiments.cells`. A cell that fails is
    recorded and told, the others go on; the next call tries it again.

    Args:
        world_id: The world.
        names: Agents by name; those that learn are trained first, unless given as NAME=RUN. NAME@rounds and NAME@own
            say where those that are fitted have their log from; a fixed behaviour's when omitted.
        out: The folder.
        world_settings: The world's settings.
        variants: Agents with other settings, by label: see `cells_of`.
        aspects: What is measured, of `ASPECTS`; ``held_out`` always.
        other: Another world, where agents that fit are played too.
        seeds: How many training seeds, 1 or more: 0, 1, ...; ``seed`` alone when omitted.
        steps: User-steps that each of those that learn is trained for, the same for all.
        encoder: The language model.
        sessions: How many sessions each plays.
        seed: The sessions' seed, less 100, so that nobody is met in training.
        final: Whether to read the test split.
        any_language: Whether to use a language model that does not read what people speak.
        jobs: How many cells are trained and measured at a time: from 2 on each in a process of its own, on one thread.
            What is found is the same, bit for bit, as in one process on one thread.
        narrator: Is told what is happening.

    Raises:
        ValueError: If a name, a setting or an aspect is unknown, ``seeds`` is no whole number from 1 on, the language
            model does not read what people speak, or a run was trained on another catalogue.
        FileExistsError: If the folder holds a comparison made in another world.
    """
    for name in aspects:
        if name not in ASPECTS:
            raise ValueError(unknown_name("aspect", name, ASPECTS))
    if seeds is not None and (not isinstance(seeds, int) or seeds < 1):
        raise ValueError(
            f"seeds is how many agents of each kind are trained, 1 or more, got {seeds!r}; or leave it out"
        )
    wanted = tuple(name for name in ASPECTS if name in {"held_out", *aspects})
    settings, out = dict(world_settings or {}), Path(out)
    numbers = [seed] if seeds is None else list(range(seeds))
    cells = cells_of(names, variants, seeds=numbers, encoder=encoder)
    world = world_of(world_id, settings, split_name(final))
    _check_free(out, world)
    if not any_language and READERS & {cell.agent for cell in cells if not cell.run}:
        check_reads(load_encoder(encoder), encoder, world.language)
    runs_given = {cell.label: cell.run for cell in cells if cell.run}
    for folder in runs_given.values():
        trained_ranker(folder, world)  # A run that does not fit ends the comparison before anything is trained.
    flagship = next((cell.settings for cell in cells if cell.label == FLAGSHIP), {})
    make_shop = partial(Workshop, world_id, settings, steps, encoder, final, out, any_language, flagship=flagship)
    shop = make_shop(narrator=narrator)
    shop.kept(("world", split_name(final), None), lambda: world)
    with runs.locked(out):
        unseen = _without_items(cells, shop) if "unseen_items" in wanted else []
        task = _Task((*cells, *unseen), wanted, other, sessions, seed, alone=len(numbers) == 1)
        task.elsewhere(shop)  # A world that there is not is told before anything is trained.
        if jobs > 1:
            # What they leave undone or could not do, this process tries, and reports.
            side_by_side(jobs, partial(_share, make_shop, task, time.time()))
        measured: list[Measured] = []
        for number, cell in enumerate(task.cells, 1):
            narrator.say(f"{number} of {len(task.cells)}: {cell.named()}")
            measured.append(task.measure(cell, shop))
            if told := _taken(measured[-1]):
                narrator.say(f"{cell.named()}: {told}")
        _tell_tally(world, narrator)
        errors = [one.error for one in measured if one.error is not None]
        if errors and not any(one.parts.get("held_out") for one in measured):
            raise errors[0]
        trained = [RunConfig.read(run).seed for run in runs_given.values()] if seeds is None else []
        results = assemble(measured, seeds=trained or numbers)
        results |= {"split": split_name(final), "session_seed": seed + 100, "aspects": list(wanted), "steps": steps}
        _write(out, results, measured, shop)
    for failed in results["failed"]:
        narrator.say(f"Failed: {failed['cell']}, {failed['aspect']}: {failed['kind']}: {failed['error']}")
    narrator.say(f"Results and report lie in {out}.")
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


def _without_items(cells: Sequence[Cell], shop: Workshop) -> list[Cell]:
    """Returns the same cells trained without the held-out items, of those that are trained here."""
    try:
        shop.world(str(shop.held_out), items=shop.held_out)
        shop.world("train", items=shop.train)
    except AbsentError as why:
        shop.narrator.say(f"No items are held out: {why}")
        return []
    return [replace(cell, unseen=True) for cell in cells if cell.fitted]


@dataclass(frozen=True)
class _Task:
    """What is measured of which cells.

    Attributes:
        cells: The cells.
        wanted: The aspects.
        other: Another world; "" for none.
        sessions: How many sessions each plays.
        seed: As in `compare`.
        alone: Whether there is one cell of each label.
    """

    cells: tuple[Cell, ...]
    wanted: tuple[str, ...]
    other: str
    sessions: int
    seed: int
    alone: bool

    def elsewhere(self, shop: Workshop) -> World | None:
        """Returns the other world; None where there is none."""
        return shop.kept("elsewhere", lambda: world_of(self.other, {}, split_name(shop.final))) if self.other else None

    def measure(self, cell: Cell, shop: Workshop) -> Measured:
        """Returns what a cell gives on every aspect, trained and measured where that is not known yet."""
        people = Sessions.first(self.seed + 100, self.sessions)
        todo = aspects_of(self.wanted, shop, people, self.elsewhere(shop), unseen=cell.unseen)
        return _measure(cell, todo, shop, alone=self.alone and cell.label == FLAGSHIP, seed=self.seed)


def _share(make_shop: Callable[..., Workshop], task: _Task, begun: float) -> None:
    """Trains and measures the cells that no other process is at or has tried since ``begun``."""
    shop = make_shop(narrator=Narrator(bars=False))
    for cell in task.cells:
        folder = CellFolder(shop.out, shop.identity(cell))
        with contextlib.suppress(RunError), runs.locked(folder.path):
            if not folder.failed_since(begun):
                task.measure(cell, shop)
    _tell_tally(shop.world(split_name(shop.final)), shop.narrator)


def _measure(cell: Cell, aspects: Sequence[Aspect], shop: Workshop, *, alone: bool, seed: int) -> Measured:
    """Returns what a cell gives on every aspect: what is known already, and what is measured now."""
    folder = CellFolder(shop.out, shop.identity(cell))
    found = Measured(cell)
    found.parts = {
        aspect.name: known for aspect in aspects if (known := folder.known(aspect.name, aspect.conditions)) is not None
    }
    for aspect in aspects:
        if (why := folder.left_out(aspect.name, aspect.conditions)) is not None:
            found.absent[aspect.name] = why
    missing = [aspect for aspect in aspects if aspect.name not in {*found.parts, *found.absent}]
    try:
        if missing:
            # Alone, a run stands where it is looked for.
            home = shop.out / FLAGSHIP if alone and not cell.unseen else run_folder(folder)
            contestant = shop.contestant(cell, home)
            folder.describe(contestant.trained())
            if cell.label == FLAGSHIP and not cell.unseen and not (folder.path / CONVERSATIONS).exists():
                world = shop.world(str(shop.held_out))
                talks = sample(world, FLAGSHIP, cast("Ranker", contestant.at(world)), seed=seed)
                runs.write_json(folder.path / CONVERSATIONS, talks)
            _finish(missing, contestant, folder, found, shop.narrator)
        if not found.failed:
            folder.succeed()
    except AbsentError as why:
        found.absent["training"] = str(why)
    except RunError:
        raise  # A folder that cannot be used is for the person at the keyboard to mend.
    except Exception as error:
        found.failed.append(folder.fail("training", error))
        found.error = error
    found.trained = folder.trained()
    found.seconds = {
        aspect.name: taken
        for aspect in aspects
        if aspect.name in found.parts and (taken := folder.seconds(aspect.name, aspect.conditions)) is not None
    }
    return found


def _taken(measured: Measured) -> str:
    """Returns how long a cell took, in words; nothing where that is not known."""
    parts = {"trained": measured.training_seconds, "measured": measured.evaluation_seconds}
    return ", ".join(f"{what} in {clock(seconds)}" for what, seconds in parts.items() if seconds is not None)


def _finish(
    missing: Sequence[Aspect], contestant: Contestant, folder: CellFolder, found: Measured, narrator: Narrator
) -> None:
    """Measures what is missing; where one makes no sense or fails, that is recorded and the next one follows."""
    with narrator.task(f"Measuring {found.cell.named()}") as advance:
        for number, aspect in enumerate(missing):
            advance(number / len(missing), aspect.name.replace("_", " "))
            try:
                begun = time.monotonic()
                parts = aspect.measure(contestant)
                taken = time.monotonic() - begun
                found.parts[aspect.name] = folder.keep(aspect.name, aspect.conditions, parts, taken)
            except AbsentError as why:
                found.absent[aspect.name] = str(why)
                folder.leave_out(aspect.name, aspect.conditions, str(why))
            except RunError:
                raise
            except Exception as error:
                found.failed.append(folder.fail(aspect.name, error))
                found.error = error


def _tell_tally(world: World, narrator: Narrator) -> None:
    tally = getattr(world.population, "tally", None)
    if tally is not None:
        narrator.say(str(tally))


def _write(out: Path, results: Document, measured: Sequence[Measured], shop: Workshop) -> None:
    talks: list[Conversation] = []
    events = out / runs.EVENTS / CELLS
    shutil.rmtree(events, ignore_errors=True)  # Written anew each time, so that no cell stands there twice.
    curves: dict[str, Any] = {}
    for one in measured:
        folder = CellFolder(shop.out, shop.identity(one.cell))
        path = folder.path / CONVERSATIONS
        if path.exists() and not talks:
            talks = [Conversation.from_plain(each) for each in runs.read_json(path)]
        if one.cell.label == FLAGSHIP and not one.cell.unseen and one.trained.get("curve"):
            curves.setdefault(FLAGSHIP, one.trained["curve"])
        own = one.parts.get("held_out", {}).get("own")
        if own is not None:
            with Events(events / folder.key) as writer:
                told = {"world": shop.world_id, "label": one.cell.label, **folder.identity}
                final = {f"results/{name}": own.mean(name) for name in own.metrics}
                writer.scalars(shop.steps, final)
                writer.settings(told, final)
    write_outputs(out, results, conversations=talks, curves=curves if len(results["seeds"]) == 1 else {})

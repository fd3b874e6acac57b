"""What can be learned from a log alone? Policies learned from more and more sessions that another one showed.

Beside them stand the same network trained among people for as many turns, supervised rankers of the same log, and who
showed it, drawing as it did and at its best. At one size, the log's feedback is also spoiled on purpose. What was
learned and measured is kept as soon as it is known, so that a killed study goes on where it stood.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from instructrec import __version__, runs
from instructrec.agents.learners import LEARNERS, Ground, learner
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.agents.slate_policy import SlateRanker, seeded_scorer
from instructrec.agents.wishes import READING
from instructrec.experiments.cells import CELLS, Cell, hash_of, kept
from instructrec.experiments.competitors import split_name
from instructrec.experiments.evaluation import Competitor, evaluate
from instructrec.experiments.headline import FLAGSHIP
from instructrec.experiments.learn_study_page import AT_ITS_BEST, LOGGER, START, to_markdown
from instructrec.experiments.log_sessions import agent_of, behaviour
from instructrec.experiments.outputs import check_place, command_line
from instructrec.experiments.progress import Narrator
from instructrec.experiments.spoiled_feedback import lost, mistaken
from instructrec.experiments.statistics import Crossed, Estimate
from instructrec.experiments.trainers import configured
from instructrec.experiments.workshop import AbsentError, Workshop
from instructrec.log_files import DiskLog
from instructrec.log_manifest import LoggedWorld, LogPlan
from instructrec.log_recording import record_log
from instructrec.logs import Log
from instructrec.names import unknown_name
from instructrec.policies import greedy
from instructrec.sessions import Sessions

PAGE = "learn_study.md"
BOUNDS = ("random", "informed", "oracle")
SPOILED = {"noise": mistaken, "sparsity": lost}
"""How feedback is spoiled: the share of it that is another item's, and that never arrived."""
KEPT = 1
"""Raised whenever policies are learned or measured in another way, so that older findings are not taken for these."""


@dataclass(frozen=True, kw_only=True)
class LearnStudy:
    """What is studied.

    Attributes:
        world: The world's id.
        policy: Who logs: an agent by name, or NAME=RUN.
        temperature: What its scores are divided by.
        agents: Who learns from the log: agents that are fitted to one.
        sizes: How many sessions the logs hold; smaller ones are the beginnings of larger ones.
        noise: Shares of shown items whose feedback is another item's.
        sparsity: Shares of shown items whose feedback never arrived.
        spoiled_size: How many sessions the log holds whose feedback is spoiled, one of the sizes; the largest when 0.
        online: Whether SlatePPO is trained among people for as many turns as each log holds.
        prompts: From how many prompts of its own the network has learned to read before; 0 for none.
        world_settings: The world's settings.
        encoder: The language model.
        seeds: How many agents of each kind are trained, with the seeds 0, 1, ...
        people: How many sessions each is measured on.
        seed: Of the log's sessions.
        final: Whether the test people and phrasings are met, instead of the validation ones.
    """

    world: str
    policy: str
    temperature: float = 1.0
    agents: tuple[str, ...] = ("clone", "ips", "dr", "fitted_q", "supervised")
    sizes: tuple[int, ...] = (1_000, 3_000, 10_000)
    noise: tuple[float, ...] = ()
    sparsity: tuple[float, ...] = ()
    spoiled_size: int = 0
    online: bool = True
    prompts: int = 0
    world_settings: Mapping[str, Any] = field(default_factory=dict)
    encoder: str = "minilm"
    seeds: int = 1
    people: int = 300
    seed: int = 0
    final: bool = False

    def __post_init__(self) -> None:
        fitted = [name for name, one in LEARNERS.items() if one.fits]
        for name in self.agents:
            if name not in LEARNERS:
                raise ValueError(unknown_name("agent that learns from a log", name, fitted))
            if name not in fitted:
                raise ValueError(f"{name} learns among people, not from a log; the others are {', '.join(fitted)}")
        if not self.agents or len(set(self.agents)) < len(self.agents):
            raise ValueError(f"name one agent or more, each once; got {', '.join(self.agents) or 'none'}")
        if not self.sizes or min(self.sizes) < 1 or len(set(self.sizes)) < len(self.sizes):
            told = ", ".join(map(str, self.sizes)) or "none"
            raise ValueError(f"logs hold 1 session or more, and each size is given once; got {told}")
        for name in SPOILED:
            if wrong := [share for share in getattr(self, name) if not 0 < share < 1]:
                raise ValueError(f"{name} takes shares between 0 and 1, such as 0.2,0.5; got {wrong[0]:g}")
        if self.spoiled_size and self.spoiled_size not in self.sizes:
            told = ", ".join(map(str, self.sizes))
            raise ValueError(f"the size of the spoiled log is one of the sizes, {told}; got {self.spoiled_size}")

    @property
    def spoiled(self) -> int:
        """How many sessions the log holds whose feedback is spoiled."""
        return self.spoiled_size or max(self.sizes)


def learn_study(study: LearnStudy, *, out: str | os.PathLike[str], narrator: Narrator) -> Any:
    """Records the log, learns what the folder lacks, and measures all of it.

    Args:
        study: What is studied.
        out: The folder for ``results.json``, ``learn_study.md``, a picture, the log, and what was found.
        narrator: Is told how far it has come.

    Returns:
        The document that is written: ``references``, who is there without the log; ``sizes``, what was learned from as
        many sessions; ``spoiled``, what was learned from spoiled feedback. Every row has ``return`` and ``normalised``;
        those that learned also ``share`` of the way from the logger to the agent that was trained among people for as
        many turns, and the differences ``above_logger``, ``above_best`` (the logger at its best), ``above_start`` (the
        network before it learned) and ``above_clone``; all with 95 % intervals over people and seeds.

    Raises:
        ImportError: If pyarrow is not installed.
        RunError: If the folder is in use, holds another log or cannot be written, or a run that is named is none.
        ValueError: If an agent is unknown, has to be trained first or sees what is hidden, or the world refuses a
            setting.
    """
    folder = Path(out)
    check_place(folder / runs.RESULTS)
    school = _School(study, folder, narrator)
    with runs.locked(folder):
        found = school.findings()
        about = {"study": study, "command": command_line(), "version": __version__, "split": split_name(study.final)}
        # As it will be read again: null for what is not known.
        document = json.loads(runs.to_json({**about, **document_of(study, found)}))
        from instructrec.experiments.learn_study_plots import draw  # Matplotlib takes a second.

        pictures = draw(document)
        runs.write_json(folder / runs.RESULTS, document)
        for name, content in pictures.items():
            runs.write_bytes(folder / name, content)
        runs.write_text(folder / PAGE, to_markdown(document, list(pictures)))
    return document


@dataclass(frozen=True)
class Finding:
    """One agent, measured.

    Attributes:
        name: Its name.
        sessions: How many sessions it learned from; 0 for those that learn nothing here.
        turns: How many turns these had.
        spoiled: How their feedback was spoiled, and the share of it; none where it was not.
        measured: Of each seed: ``returns`` and ``person`` of each session, ``csr`` and ``violation``.
    """

    name: str
    measured: Sequence[Mapping[str, Any]]
    sessions: int = 0
    turns: int = 0
    spoiled: tuple[str, float] | None = None


class _School:
    """Where the log is recorded, and agents are trained and measured."""

    def __init__(self, study: LearnStudy, folder: Path, narrator: Narrator) -> None:
        self.study, self.folder, self.narrator = study, folder, narrator
        self.shop = self._workshop(steps=0)
        self.world = self.shop.world("train")
        self.tested = self.shop.world(str(self.shop.held_out))
        # Refuses what no log can hold, in the words of `instructrec log`, before anything is done.
        self.logger, self.described = behaviour(study.policy, self.world, temperature=study.temperature)

    def _workshop(self, *, steps: int) -> Workshop:
        study = self.study
        return Workshop(
            study.world,
            study.world_settings,
            steps,
            study.encoder,
            study.final,
            self.folder,
            False,
            self.narrator,
            flagship={"prompts": study.prompts},
        )

    def findings(self) -> list[Finding]:
        """Returns everybody, measured; what the folder holds is not done again."""
        study = self.study
        found = list(self._references())
        disk = self._recorded()
        whole = disk.log(self.world)
        for size in sorted(study.sizes):
            log = whole.rows(whole.session < size)
            if study.online:
                found.append(self._online(size, len(log)))
            found += [self._fitted(name, log, size, disk) for name in study.agents]
        log = whole.rows(whole.session < study.spoiled)
        for kind in SPOILED:
            for share in getattr(study, kind):
                found += [self._fitted(name, log, study.spoiled, disk, (kind, share)) for name in study.agents]
        return found

    def _references(self) -> list[Finding]:
        agent, found = agent_of(self.study.policy, self.world), []
        logger = {"policy": self.described.fingerprint}
        found.append(Finding(LOGGER, [self._measured(logger, lambda: self.logger)]))
        if agent.ranker is not None:
            best = greedy(agent.ranker, self.world.slate_size)
            found.append(Finding(AT_ITS_BEST, [self._measured({**logger, "greedy": True}, lambda: best)]))
        decides = {"agent": START, "prompts": self.study.prompts, "encoder": self.study.encoder, "reading": READING}
        decides |= {"world": self.world.fingerprint}
        found.append(Finding(START, [self._measured(decides, self._start)]))
        for name in BOUNDS:
            try:
                found.append(Finding(name, [self._measured({"agent": name}, partial(self._bound, name))]))
            except AbsentError as error:
                self.narrator.say(f"{name} is left out: {error}")
        return found

    def _start(self) -> Competitor:
        reader = self.shop.reader
        return SlateRanker(seeded_scorer(reader, reader.slate_size, ScorerConfig(), 0).eval(), reader)

    def _bound(self, name: str) -> Competitor:
        return self.shop.contestant(Cell(label=name, agent=name), self.folder).at(self.tested)

    def _recorded(self) -> DiskLog:
        study = self.study
        plan = LogPlan(
            world=LoggedWorld.of(self.world, name=study.world, settings=dict(study.world_settings), split="train"),
            policy=self.described,
            sessions=max(study.sizes),
            seed=study.seed,
        )
        with self.narrator.task(f"Recording {plan.sessions:,} sessions") as advance:
            place = self.folder / f"log-{plan.sessions}"
            return record_log(
                self.world, self.logger, plan, place, progress=lambda done, total: advance(done / total, "")
            )

    def _online(self, size: int, turns: int) -> Finding:
        shop, found = self._workshop(steps=turns), []
        for seed in range(self.study.seeds):
            cell = Cell(label=FLAGSHIP, agent=FLAGSHIP, settings={"prompts": self.study.prompts}, seed=seed)
            decides = shop.identity(cell)
            run = self.folder / CELLS / f"run-{hash_of({**decides, 'version': __version__})}"
            self.narrator.say(f"{FLAGSHIP} among people, {turns:,} turns, seed {seed}")
            found.append(self._measured(decides, partial(self._trained, shop, cell, run)))
        return Finding(FLAGSHIP, found, size, turns)

    def _fitted(
        self, name: str, log: Log, size: int, disk: DiskLog, spoiled: tuple[str, float] | None = None
    ) -> Finding:
        study, found = self.study, []
        for seed in range(study.seeds):
            decides = {
                "agent": name,
                "settings": runs.plain(LEARNERS[name].config()),
                "log": disk.fingerprint,
                "sessions": size,
                "spoiled": spoiled,
                "seed": seed,
                "prompts": study.prompts,
                "encoder": study.encoder,
                "reading": READING,
                "world": self.world.fingerprint,
            }
            how = "" if spoiled is None else f", {spoiled[0]} {spoiled[1]:g}"
            self.narrator.say(f"{name}, {size:,} sessions{how}, seed {seed}")
            found.append(self._measured(decides, partial(self._learned, name, log, spoiled, seed)))
        return Finding(name, found, size, len(log), spoiled)

    def _trained(self, shop: Workshop, cell: Cell, run: Path) -> Competitor:
        return shop.contestant(cell, run).at(self.tested)

    def _learned(self, name: str, log: Log, spoiled: tuple[str, float] | None, seed: int) -> Competitor:
        one = learner(name)
        if spoiled is not None:
            log = SPOILED[spoiled[0]](log, spoiled[1], seed=seed)
        ground = Ground(self.world, self.shop.reader, len(log), log=log)
        with self.narrator.task(f"Learning {name}") as advance:
            return one.learn(ground, configured(one.config, {}), seed, advance).agent

    def _measured(self, decides: Mapping[str, Any], make: Callable[[], Competitor]) -> dict[str, Any]:
        study = self.study
        who = {"tested": self.tested.fingerprint, "people": study.people, "seed_of_people": study.seed}
        key = hash_of({**who, "kept": KEPT, "version": __version__, "of": dict(decides)})
        path = self.folder / CELLS / f"measured-{key}.json"
        return kept(path, lambda: self._played(make()), "returns", "person")

    def _played(self, competitor: Competitor) -> dict[str, Any]:
        with self.narrator.task("Measuring") as advance:
            ended = 0

            def tell(count: int) -> None:
                nonlocal ended
                ended += count
                advance(ended / self.study.people, "")

            sessions = Sessions.first(self.study.seed + 101, self.study.people)
            episodes = evaluate(self.tested, competitor, sessions, progress=tell)
        asked = [name for name in ("csr", "violation") if name in episodes.metrics]
        known: dict[str, Any] = {name: episodes.mean(name) for name in asked if not math.isnan(episodes.mean(name))}
        return {"returns": episodes.returns.tolist(), "person": episodes.person.tolist(), **known}


# --- From findings to the document -----------------------------------------------------------------------------------


def document_of(study: LearnStudy, found: Sequence[Finding]) -> dict[str, Any]:
    """Returns what `learn_study` says of those that were measured: its three tables, and how returns are normalised."""
    crossed = Crossed.of(found[0].measured[0]["person"])
    values = [crossed.ratio([one["returns"] for one in finding.measured]) for finding in found]
    fixed = {finding.name: value for finding, value in zip(found, values, strict=True) if not finding.sessions}
    online = {finding.sessions: value for finding, value in zip(found, values, strict=True) if finding.name == FLAGSHIP}
    clones = {
        (finding.sessions, finding.spoiled): value
        for finding, value in zip(found, values, strict=True)
        if finding.name == "clone"
    }
    best = fixed.get("informed") or fixed.get("oracle")

    def row(finding: Finding, value: Estimate) -> dict[str, Any]:
        told: dict[str, Any] = {"agent": finding.name, "seeds": len(finding.measured), "return": _ends(value)}
        for name in ("csr", "violation"):
            if name in finding.measured[0]:
                told[name] = float(np.mean([one[name] for one in finding.measured]))
        if best is not None and "random" in fixed:
            told["normalised"] = _ends((value - fixed["random"]) / (best - fixed["random"]))
        if not finding.sessions:
            return told
        told["above_logger"] = _ends(value - fixed[LOGGER])
        told["above_start"] = _ends(value - fixed[START])
        if AT_ITS_BEST in fixed:
            told["above_best"] = _ends(value - fixed[AT_ITS_BEST])
        clone = clones.get((finding.sessions, finding.spoiled))
        if clone is not None and finding.name != "clone":
            told["above_clone"] = _ends(value - clone)
        there = online.get(finding.sessions)
        if there is not None and (there - fixed[LOGGER]).interval().above_zero:
            told["share"] = _ends((value - fixed[LOGGER]) / (there - fixed[LOGGER]))
        return told

    rows = list(zip(found, values, strict=True))
    clean = [(one, value) for one, value in rows if one.sessions and one.spoiled is None]
    hows = list(dict.fromkeys(one.spoiled for one in found if one.spoiled is not None))
    return {
        "normalised_by": "informed" if "informed" in fixed else "oracle" if "oracle" in fixed else None,
        "people": crossed.num_people,
        "references": [row(one, value) for one, value in rows if not one.sessions],
        "sizes": [
            {
                "sessions": size,
                "turns": max(one.turns for one, _ in clean if one.sessions == size),
                "rows": [row(one, value) for one, value in clean if one.sessions == size],
            }
            for size in sorted(study.sizes)
        ],
        "spoiled_sessions": study.spoiled,
        "spoiled": [
            {"kind": how[0], "share": how[1], "rows": [row(one, value) for one, value in rows if one.spoiled == how]}
            for how in hows
        ],
    }


def _ends(value: Estimate) -> dict[str, float | None]:
    return value.interval().as_dict()

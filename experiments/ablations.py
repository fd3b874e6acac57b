"""What each part of SlatePPO gives: trained without it, on the same budget; and what other algorithms give.

Every variant changes one thing. All are trained with the same people, language model and number of user-steps, one
agent per seed, in memory; each is then measured on the same held-out people with the same luck. Every trained and
measured agent is kept in the folder as soon as it is done, so that a killed table goes on where it stood.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from instructrec import runs
from instructrec.agents.encoder import STEMMED, check_reads, load_encoder
from instructrec.agents.learners import LEARNERS, Ground, learner
from instructrec.agents.reading import SessionReader
from instructrec.experiments.ablation_tables import to_markdown
from instructrec.experiments.agent_files import FEATURES, read_features, write_features
from instructrec.experiments.cells import kept
from instructrec.experiments.competitors import features_for, references, split_name, untrained, warm_reader, world_of
from instructrec.experiments.evaluation import Competitor, Episodes, evaluate
from instructrec.experiments.headline import FLAGSHIP
from instructrec.experiments.outputs import command_line
from instructrec.experiments.progress import Narrator
from instructrec.experiments.statistics import Crossed, Estimate
from instructrec.experiments.trainers import configured
from instructrec.names import unknown_name
from instructrec.protocols import Policy, Ranker
from instructrec.runs import RunError
from instructrec.sessions import Sessions, World

FULL = "full"
BOUNDS = ("random", "informed", "oracle")
CHECKUPS = 12
"""How many checkups an agent gets on its way."""
ARRIVED = 0.8
"""The share of its own final gain over random at which an agent counts as arrived."""


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        about: What differs, in a few words.
        agent: Which agent; see `instructrec.agents.learners`.
        settings: What is changed of its settings.
        prompts: Whether it has learned to read from prompts of its own.
        stemmed: Whether it hears what people say, and reads its prompts, in stems and without stop words.
    """

    about: str
    agent: str = FLAGSHIP
    settings: Mapping[str, Any] = field(default_factory=dict)
    prompts: bool = True
    stemmed: bool = False


VARIANTS: dict[str, Variant] = {
    FULL: Variant("SlatePPO as it is"),
    "myopic": Variant("does not look ahead", settings={"gamma": 0.0}),
    "whole_slate": Variant("all positions answer for the whole slate", settings={"credit": "slate"}),
    "plain_ppo": Variant(
        "whole slates answer for all that comes, as in plain PPO",
        settings={"credit": "slate", "attribute_future": False, "shared_future": 1.0},
    ),
    "reward_to_go": Variant("positions answer for those below them too", settings={"credit": "reward_to_go"}),
    "no_attribution": Variant("later rewards are not put down to items", settings={"attribute_future": False}),
    "shared_future": Variant("all answer for what no item explains", settings={"shared_future": 1.0}),
    "no_anchor": Variant("is not held near its start", settings={"anchor": 0.0}),
    "no_entropy": Variant("nothing keeps it trying", settings={"entropy": 0.0}),
    "no_warm_up": Variant("begins without a regression on its first slates", settings={"warm_up": 0}),
    "no_item_scores": Variant("items have no scores of their own", settings={"scorer.item_bias": False}),
    "full_softmax": Variant("ranks all items while training", settings={"candidates": None}),
    "no_prompts": Variant("learns to read from experience alone", prompts=False),
    "stemmed": Variant("stop words taken out, words stemmed", stemmed=True),
    "attention": Variant("attends over earlier turns, beside the sums", settings={"scorer.history": "attention"}),
    "text_only": Variant(
        "the last words' vector and the items' texts alone",
        settings={"scorer.reads_attributes": False, "scorer.reads_history": False},
    ),
    "attributes_only": Variant(
        "the last words' wishes and the items' attributes alone",
        settings={"scorer.reads_text": False, "scorer.reads_history": False},
    ),
    "history_only": Variant(
        "hears nothing: the past, slates and clicks alone",
        settings={"scorer.reads_text": False, "scorer.reads_attributes": False},
    ),
    "ppo": Variant("stock PPO: a choice per position", agent="ppo"),
    "a2c": Variant("stock A2C: a choice per position", agent="a2c"),
    "reinforce": Variant("top-K REINFORCE, the same network", agent="reinforce"),
    "slateq": Variant("SlateQ, the same features", agent="slateq"),
}
"""What can be compared, by name; the first is what the others are compared with."""


def ablate(
    world_id: str,
    *,
    out: str | os.PathLike[str],
    variants: Sequence[str] = (),
    world_settings: Mapping[str, Any] | None = None,
    agent_settings: Mapping[str, Any] | None = None,
    steps: int = 50_000,
    sessions: int = 300,
    seeds: int = 1,
    seed: int = 0,
    final: bool = False,
    narrator: Narrator,
) -> dict[str, Any]:
    """Trains and measures variants of SlatePPO and other agents; goes on where a killed run stood.

    Args:
        world_id: The world.
        out: The folder for what is kept, ``ablation.json``, ``ablation.md`` and ``curves.png``.
        variants: Names among `VARIANTS`, all when omitted; the full SlatePPO always comes along.
        world_settings: The world's settings.
        agent_settings: Settings of SlatePPO, the same for all its variants, and ``encoder``; those of other agents are
            named AGENT.SETTING.
        steps: User-steps of training, the same for all.
        sessions: Sessions on which each is measured.
        seeds: How many agents of each variant are trained.
        seed: Of the first one's training, the others follow; the sessions have another.
        final: Whether to measure on the test split.
        narrator: Is told how far it has come.

    Returns:
        The document that is written. A variant of which no agent could be trained has an ``error`` in place of numbers.

    Raises:
        ValueError: If a variant or setting is unknown, or the language model does not read what people speak.
        RunError: If the folder holds another ablation.
    """
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown:
        raise ValueError(unknown_name("variant", unknown[0], VARIANTS))
    chosen = [name for name in VARIANTS if name == FULL or not variants or name in variants]
    given, settings = dict(agent_settings or {}), dict(world_settings or {})
    encoder_name = str(given.pop("encoder", "minilm"))
    tested = world_of(world_id, settings, split_name(final))
    check_reads(load_encoder(encoder_name), encoder_name, tested.language)
    configs = {name: _config(VARIANTS[name], given) for name in chosen}
    bench = _Bench(
        train=world_of(world_id, settings, "train"),
        tested=tested,
        watched=world_of(world_id, settings, "validation"),
        out=Path(out),
        encoder=encoder_name,
        prompts=configs[FULL].prompts,
        memory=configs[FULL].memory,
        steps=steps,
        people=Sessions.first(seed + 100, sessions),
        narrator=narrator,
    )
    with runs.locked(out):
        _begin(Path(out), bench, given, seed)
        bounds = bench.bounds()
        rows = {
            name: [bench.cell(name, configs[name], number) for number in range(seed, seed + seeds)] for name in chosen
        }
        document = {
            "world": world_id,
            "world_settings": runs.plain(settings),
            "agent_settings": runs.plain({"encoder": encoder_name, **given}),
            "fingerprint": tested.fingerprint,
            "steps": steps,
            "sessions": sessions,
            "seeds": seeds,
            "seed": seed,
            "split": split_name(final),
            "command": command_line(),
            **_measured(bounds, rows),
        }
        runs.write_json(Path(out) / "ablation.json", document)
        runs.write_text(Path(out) / "ablation.md", to_markdown(document))
        runs.write_bytes(Path(out) / "curves.png", _picture(document))
    return document


def _picture(document: Mapping[str, Any]) -> bytes:
    from instructrec.experiments.ablation_plots import draw  # Matplotlib takes a second.

    return draw(document["variants"], document["bounds"])


def _config(variant: Variant, given: Mapping[str, Any]) -> Any:
    """Returns a variant's settings: the common ones of its agent, and its own."""
    own = {name: value for name, value in given.items() if name.partition(".")[0] not in LEARNERS}
    if variant.agent != FLAGSHIP:
        start = f"{variant.agent}."
        own = {name.removeprefix(start): value for name, value in given.items() if name.startswith(start)}
    return configured(learner(variant.agent).config, own | dict(variant.settings))


def _begin(out: Path, bench: _Bench, given: Mapping[str, Any], seed: int) -> None:
    """Writes what is being compared, or checks that the folder holds the same."""
    plan = {
        "worlds": [bench.train.fingerprint, bench.tested.fingerprint],
        "settings": runs.plain({"encoder": bench.encoder, **given}),
        "steps": bench.steps,
        "sessions": len(bench.people.lane),
        "seed": seed,
    }
    path = out / "plan.json"
    if path.exists() and runs.read_json(path) != plan:
        different = [name for name, value in runs.read_json(path).items() if value != plan.get(name)]
        raise RunError(f"{out} holds an ablation with other {', '.join(different)}; choose another --out, or remove it")
    runs.write_json(path, plan)


@dataclass
class _Checkups:
    """Looks at an agent now and then while it learns, on people whom training never meets."""

    world: World
    every: int
    returns: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0

    def __call__(self, steps: int, agent: Policy | Ranker) -> None:
        if steps // self.every > (self.returns[-1][0] // self.every if self.returns else 0):
            self.look(steps, agent)

    def look(self, steps: int, agent: Competitor) -> None:
        """Looks."""
        began = time.monotonic()
        self.returns.append((steps, evaluate(self.world, agent, Sessions.first(7, 96)).mean("return")))
        self.seconds += time.monotonic() - began


@dataclass(frozen=True)
class _Bench:
    """Where all are trained and measured.

    Attributes:
        train: The training world.
        tested: The world they are measured in.
        watched: The world of checkups.
        out: The folder.
        encoder: The language model's name.
        prompts: How many prompts those read that read any.
        memory: How many earlier instructions are read.
        steps: User-steps of training.
        people: Whom they are measured on.
        narrator: Is told how far it has come.
    """

    train: World
    tested: World
    watched: World
    out: Path
    encoder: str
    prompts: int
    memory: int
    steps: int
    people: Sessions
    narrator: Narrator
    _readers: dict[str, SessionReader] = field(default_factory=dict)

    def cell(self, name: str, config: Any, seed: int) -> dict[str, Any]:
        """Returns how one agent did, trained now if it was not before; of one that fails, the ``error``."""
        path = self.out / "agents" / f"{name}-{seed}.json"
        if path.exists():
            return kept(path, dict)
        try:
            found = self._trained(name, config, seed)
        except Exception as error:  # Whatever it is, the others go on, and the table says so.
            why = f"{type(error).__name__}: {error}"
            self.narrator.say(f"{name}, seed {seed}, failed: {why}")
            return {"error": why}
        return kept(path, lambda: found)

    def bounds(self) -> dict[str, dict[str, Any]]:
        """Returns how those did that bound the others, and random's checkup."""
        return kept(self.out / "bounds.json", self._bounds, "random")

    def _bounds(self) -> dict[str, dict[str, Any]]:
        known = untrained(["random"], self.tested)
        known |= references(BOUNDS, self.tested, lambda: self.train, self.narrator)
        found = {name: _played(evaluate(self.tested, agent, self.people)) for name, agent in known.items()}
        floor = _Checkups(self.watched, self.steps)
        floor.look(0, untrained(["random"], self.watched)["random"])
        found["random"]["checkups"] = floor.returns
        return found

    def _trained(self, name: str, config: Any, seed: int) -> dict[str, Any]:
        variant = VARIANTS[name]
        checkups = _Checkups(self.watched, max(self.steps // CHECKUPS, 1))
        ground = Ground(self.train, self._reader(variant), self.steps, watch=checkups)
        with self.narrator.task(f"Training {name}, seed {seed}") as advance:
            began = time.monotonic()
            learned = learner(variant.agent).learn(ground, config, seed, advance)
            seconds = time.monotonic() - began - checkups.seconds
        checkups.look(learned.steps, learned.agent)
        played = evaluate(self.tested, learned.agent, self.people)
        measured = {"steps": learned.steps, "seconds": seconds, "checkups": checkups.returns}
        return _played(played) | measured

    def _reader(self, variant: Variant) -> SessionReader:
        """Returns what networks see of a session; what was read from prompts is kept in the folder."""
        name = "features" + "_no_prompts" * (not variant.prompts) + "_stemmed" * variant.stemmed
        if name not in self._readers:
            chosen = STEMMED + self.encoder.removeprefix(STEMMED) if variant.stemmed else self.encoder
            encoder, folder = load_encoder(chosen), self.out / name
            check_reads(encoder, chosen, self.train.language)
            if not (folder / FEATURES).exists():
                number = self.prompts if variant.prompts else 0
                write_features(folder, features_for(self.train, encoder, self.narrator, prompts=number))
            size, limit = self.train.slate_size, self.train.turn_limit
            reader = SessionReader(
                read_features(folder), encoder, slate_size=size, turn_limit=limit, memory=self.memory
            )
            warm_reader(reader, self.train, self.narrator, "Reading what the instructions ask for")
            self._readers[name] = reader
        return self._readers[name]


def _played(episodes: Episodes) -> dict[str, Any]:
    """Returns what the table needs of a measurement, per session."""
    found = {"person": episodes.person.tolist(), "return": episodes.returns.tolist()}
    if "csr" in episodes.metrics:
        found["csr"], found["csr_count"] = (part.tolist() for part in episodes.totals("csr"))
    return found


def _measured(
    bounds: Mapping[str, Mapping[str, Any]], rows: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """Returns the variants and bounds with their intervals."""
    crossed = Crossed.of(bounds["random"]["person"])

    def returns(cells: Sequence[Mapping[str, Any]]) -> Estimate:
        return crossed.ratio(np.array([cell["return"] for cell in cells]))

    known = {name: returns([cell]) for name, cell in bounds.items()}
    trained = {name: [cell for cell in cells if "error" not in cell] for name, cells in rows.items()}
    full = returns(trained[FULL]) if trained[FULL] else None
    found = {}
    for name, cells in rows.items():
        errors = [cell["error"] for cell in cells if "error" in cell]
        row: dict[str, Any] = {"about": VARIANTS[name].about, "agent": VARIANTS[name].agent}
        row |= {"error": errors[0], "failed": len(errors)} if errors else {}
        if trained[name]:
            row |= _row(crossed, trained[name], returns(trained[name]), known)
            if full is not None and name != FULL:
                row["difference"] = (returns(trained[name]) - full).interval().as_dict()
            row["steps_to_arrive"] = _steps_to_arrive(trained[name], bounds["random"]["checkups"][0][1])
        found[name] = row
    return {
        "variants": found,
        "bounds": {name: {"return": estimate.interval().as_dict()} for name, estimate in known.items()},
    }


def _row(
    crossed: Crossed, cells: Sequence[Mapping[str, Any]], earned: Estimate, known: Mapping[str, Estimate]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "return": earned.interval().as_dict(),
        "trained": len(cells),
        "steps": int(np.mean([cell["steps"] for cell in cells])),
        "seconds": float(np.mean([cell["seconds"] for cell in cells])),
        "checkups": [cell["checkups"] for cell in cells],
    }
    for name in ("informed", "oracle"):
        # A reference that does not beat random, such as a greedy one where greed does not pay, measures nothing.
        if name in known and (known[name] - known["random"]).interval().above_zero:
            share = (earned - known["random"]) / (known[name] - known["random"])
            row[f"{name}_normalised_return"] = share.interval().as_dict()
    if "csr" in cells[0]:
        sums, counts = (np.array([cell[key] for cell in cells]) for key in ("csr", "csr_count"))
        row["csr"] = crossed.ratio(sums, counts).interval().as_dict()
    return row


def _steps_to_arrive(cells: Sequence[Mapping[str, Any]], random: float) -> float | None:
    """Returns after how many user-steps agents had most of what they gained over random in the end, on average.

    None where one of them gained nothing.
    """
    found = []
    for cell in cells:
        steps, returns = np.array(cell["checkups"], np.float64).T
        if returns[-1] <= random:
            return None
        found.append(float(steps[np.argmax(returns - random >= ARRIVED * (returns[-1] - random))]))
    return float(np.mean(found))

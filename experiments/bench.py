"""How fast is it here? The costs that decide how much an experiment can ask for, measured on this machine.

Each part measures one: ``env`` the simulated people, ``train`` SlatePPO beside stock PPO, ``encode`` the language
model, ``recommend`` a trained run's answers, ``ope`` logs. A rate is measured ``repeats`` times over the same amount of
work, after one time that is not counted (first calls compile and fill caches); a latency once for each of many answers.
Nothing here is an assertion: what is fast enough depends on the machine, which the document describes.
"""

from __future__ import annotations

import os
import platform
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from instructrec.arrays import Ints
from instructrec.experiments.competitors import world_of
from instructrec.experiments.folding import fold
from instructrec.experiments.outputs import command_line, versions
from instructrec.experiments.progress import Narrator
from instructrec.runs import RunError
from instructrec.sessions import Sessions, World, restart, start, step

PARTS = ("env", "train", "encode", "recommend", "ope")
_TURNS = 16
"""Turns of each user that a rate of the environment is measured over."""
_ALONE = 1_000
"""Turns of one user, where there is only one."""
_LEARNED, _STOCK_LEARNED, _STOCK_REPEATS = 8_192, 512, 2
"""Turns that SlatePPO and stock PPO learn from each time, and how often stock PPO does at most: it is slow."""
_TEXTS = 256
"""Sentences in a batch that is encoded."""
_LOOKED_UP = 16_384
"""Known sentences that are looked up."""
_LOGGED = 1_024
"""Sessions of the log that is written, read and evaluated."""
_ANSWERS = 300
"""Answers whose latency is measured."""
_HEAD = f"{'':<27}{'size':>9}{'median':>12}  {'from':>11}{'to':>11}{'ratio':>8}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cost.

    Attributes:
        name: What was done.
        size: How many users, sentences or items at once.
        unit: What the figures count: ``user-steps/s``, ``sentences/s``, ``turns/s``, ``ms`` …
        median: Of the repeats.
        low: The 1st percentile of the repeats; the smallest where they are few.
        high: The 99th.
        repeats: How often it was measured.
        reference: The row that it is held against, as NAME, SIZE; None where it is held against none.
        ratio: Its median divided by the reference's.
    """

    name: str
    size: int
    unit: str
    median: float
    low: float
    high: float
    repeats: int
    reference: str | None = None
    ratio: float | None = None

    @classmethod
    def of(cls, name: str, size: int, unit: str, measured: Sequence[float], against: Row | None = None) -> Row:
        """Returns the row of some measurements."""
        low, median, high = (float(value) for value in np.percentile(measured, [1, 50, 99]))
        reference = None if against is None else f"{against.name}, {against.size:,}"
        ratio = None if against is None else median / against.median
        return cls(
            name=name, size=size, unit=unit, median=median, low=low, high=high, repeats=len(measured),
            reference=reference, ratio=ratio,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BenchPlan:
    """What is measured.

    Attributes:
        parts: Of `PARTS`.
        world: The world's id.
        world_settings: Its settings.
        users: How many users step together, each number a row.
        run: The folder of the trained run that recommends; empty where there is none.
        encoder: The language model.
        repeats: How often a rate is measured.
    """

    parts: tuple[str, ...] = PARTS
    world: str
    world_settings: Mapping[str, Any]
    users: tuple[int, ...] = (1_024, 8_192)
    run: str = ""
    encoder: str = "minilm"
    repeats: int = 5


def bench(plan: BenchPlan, narrator: Narrator) -> dict[str, Any]:
    """Measures, and returns ``machine``, ``rows`` and ``notes``; see `Row`.

    Raises:
        ImportError: If pyarrow is not installed and ``ope`` is asked for.
        RunError: If the run cannot be used.
        ValueError: If the world refuses a setting.
    """
    world = world_of(plan.world, dict(plan.world_settings), "train")
    before = machine()
    measure: dict[str, Callable[[], Iterator[Row]]] = {
        "env": lambda: _env(world, plan),
        "train": lambda: _train(world, plan),
        "encode": lambda: _encode(world, plan),
        "recommend": lambda: _recommend(world, plan),
        "ope": lambda: _ope(world, plan),
    }
    rows, notes = list[Row](), list[str]()
    for part in plan.parts:
        if part == "train" and not plan.run:
            notes.append("train is of an agent that has read no prompts: --agent RUN trains one with a run's reading")
        if part == "recommend" and not plan.run:
            notes.append("recommend is left out: it takes a trained run, such as --agent runs/demo")
            continue
        with narrator.task(f"Measuring {part}"):
            rows += measure[part]()
    return {
        "machine": {**before, "load_after": os.getloadavg()[0]},
        "world": {"id": plan.world, "settings": dict(plan.world_settings), "fingerprint": world.fingerprint,
                  "items": world.catalogue.num_items, "slate_size": world.slate_size},
        "rows": [vars(row) for row in rows],
        "notes": notes,
        "command": command_line(),
    }  # fmt: skip


def machine() -> dict[str, Any]:
    """Returns what figures depend on: processor, cores, threads, load, memory, versions."""
    import torch

    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_before": os.getloadavg()[0],
        "versions": versions(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def _rates(work: Callable[[], int], repeats: int) -> list[float]:
    """Returns how much is done a second, each time; ``work`` says how much it did."""
    work()
    found = []
    for _ in range(repeats):
        begun = perf_counter()
        done = work()
        found.append(done / (perf_counter() - begun))
    return found


# --- The parts -------------------------------------------------------------------------------------------------------


def slates_given(world: World, users: int, turn: int) -> Ints:
    """Returns a slate of distinct items for every user, another each turn, made ahead: int32 [users, slate_size]."""
    items, size = world.catalogue.num_items, world.slate_size
    first = np.random.default_rng(turn).integers(items, size=(users, 1))
    return np.asarray((first + np.arange(size) * (items // size)) % items, np.int32)


def _env(world: World, plan: BenchPlan) -> Iterator[Row]:
    import gymnasium

    import instructrec.envs  # noqa: F401  # Registers the worlds with Gymnasium.
    from instructrec.envs.vector_env import RecVectorEnv

    unit, against = "user-steps/s", None
    for users in plan.users:
        given = [slates_given(world, users, turn) for turn in range(_TURNS)]

        def stepped(users: int = users, given: list[Ints] = given) -> int:
            state = start(world, Sessions.first(0, users))
            for slates in given:
                state, outcome = step(world, state, slates)
                if len(rows := np.flatnonzero(outcome.done)):
                    state = restart(world, state, rows)
            return users * len(given)

        def observed(users: int = users, given: list[Ints] = given) -> int:
            env = RecVectorEnv(world, users)
            env.reset(seed=0)
            for slates in given:
                env.step(slates)
            return users * len(given)

        row = Row.of("people, slates given", users, unit, _rates(stepped, plan.repeats), against)
        against = against or row
        yield row
        yield Row.of("vector environment", users, unit, _rates(observed, plan.repeats), row)
    alone = [slates_given(world, 1, turn)[0] for turn in range(_ALONE)]
    env = gymnasium.make(plan.world, **plan.world_settings)

    def played() -> int:
        env.reset(seed=0)
        for slate in alone:
            if any(env.step(slate)[2:4]):
                env.reset()
        return len(alone)

    yield Row.of("gymnasium.make", 1, unit, _rates(played, plan.repeats), against)


def _train(world: World, plan: BenchPlan) -> Iterator[Row]:
    from instructrec.agents.encoder import load_encoder
    from instructrec.agents.features import world_features
    from instructrec.agents.inputs import MEMORY
    from instructrec.agents.reading import SessionReader
    from instructrec.agents.sb3_worlds import sb3_vec_env
    from instructrec.agents.slate_config import SlatePPOConfig
    from instructrec.agents.slate_ppo import SlatePPO
    from instructrec.agents.stock import StockPPOConfig, train_stock
    from instructrec.experiments.trainers import trained_ranker

    if plan.run:
        known = getattr(trained_ranker(plan.run, world)[0], "reader", None)
        if not isinstance(known, SessionReader):
            raise RunError(f"{plan.run} is deaf: it reads nothing to train with; name another run")
        encoder, features = known.encoder, known.features
    else:
        encoder = load_encoder(plan.encoder)
        features = world_features(world, encoder, prompts=0)
    reader = SessionReader(features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit, memory=MEMORY)
    config, stock = SlatePPOConfig(), StockPPOConfig()
    model = SlatePPO(sb3_vec_env(world, config.num_envs, encoder=encoder, seed=0, memory=MEMORY), reader, config)

    def learned() -> int:
        before = model.num_timesteps
        model.learn(_LEARNED, reset_num_timesteps=False)
        return model.num_timesteps - before

    def stock_learned() -> int:
        return train_stock(world, reader, stock, steps=_STOCK_LEARNED).steps

    unit = "turns learned from/s"
    slow = _rates(stock_learned, min(plan.repeats, _STOCK_REPEATS))
    against = Row.of("stock PPO, MultiDiscrete", stock.num_envs, unit, slow)
    yield against
    yield Row.of("SlatePPO", config.num_envs, unit, _rates(learned, plan.repeats), against)


def _sentences(world: World, count: int, begin: int = 0) -> list[str]:
    """Returns sentences of the world's people, each with a number that makes it new."""
    bank = [text for text in world.population.texts.bank if text] or ["something else, please"]
    return [f"{bank[place % len(bank)]} {place}" for place in range(begin, begin + count)]


def _encode(world: World, plan: BenchPlan) -> Iterator[Row]:
    from instructrec.agents.encoder import load_encoder

    with tempfile.TemporaryDirectory() as folder:  # What was encoded before must not answer.
        encoder, begun = load_encoder(plan.encoder, cache_dir=folder), 0

        def new() -> int:
            nonlocal begun
            encoder.encode(_sentences(world, _TEXTS, begun))
            begun += _TEXTS
            return _TEXTS

        row = Row.of("new sentences", _TEXTS, "sentences/s", _rates(new, plan.repeats))
        yield row
        known = encoder.tokenize((_sentences(world, begun) * (_LOOKED_UP // begun + 1))[:_LOOKED_UP])

        def look_up() -> int:
            encoder.encode_tokens(known)
            return len(known)

        yield Row.of("known sentences", _LOOKED_UP, "sentences/s", _rates(look_up, plan.repeats), row)


def _recommend(world: World, plan: BenchPlan) -> Iterator[Row]:
    from instructrec.experiments.recommend import load

    recommender = load(plan.run)
    # Numbers that no earlier call used: what it encoded is still known.
    texts, items = _sentences(world, _ANSWERS, secrets.randbelow(10**6)), recommender.catalogue.num_items

    def times() -> list[float]:
        found = []
        for text in texts:
            begun = perf_counter()
            recommender.recommend(text, k=min(10, items))
            found.append((perf_counter() - begun) * 1e3)
        return found

    new = times()
    known = Row.of("recommend, known text", items, "ms", times())
    yield known
    yield Row.of("recommend, new text", items, "ms", new, known)


def _ope(world: World, plan: BenchPlan) -> Iterator[Row]:
    from instructrec.agents.baselines import baselines
    from instructrec.log_files import writing
    from instructrec.log_manifest import LoggedPolicy, LoggedWorld, LogPlan
    from instructrec.log_recording import record_log
    from instructrec.off_policy import evaluate_policies
    from instructrec.policies import plackett_luce

    popular = baselines(world)["popularity"]
    logger, other = (plackett_luce(popular, world.slate_size, temperature) for temperature in (1.0, 1.25))
    described = LoggedPolicy(name="popularity", fingerprint="bench", draws="plackett_luce", temperature=1.0)
    logged = LoggedWorld.of(world, name=plan.world, settings=dict(plan.world_settings), split="train")
    log_plan = LogPlan(world=logged, policy=described, sessions=_LOGGED, seed=0, sessions_per_shard=_LOGGED)
    with tempfile.TemporaryDirectory() as folder:
        made = 0

        def place() -> Path:
            nonlocal made
            made += 1
            return Path(folder) / str(made)

        def record() -> int:
            return len(record_log(world, logger, log_plan, place()))

        yield Row.of("record a log", _LOGGED, "turns/s", _rates(record, plan.repeats))
        log = record_log(world, logger, log_plan, place())
        shards = list(log.shards())

        def write() -> int:
            with writing(place(), log_plan, None) as writer:
                for number, shard in enumerate(shards):
                    writer.add(number, shard, None)
            return len(log)

        def read() -> int:
            return sum(len(shard) for shard in log.shards())

        def evaluate() -> int:
            evaluate_policies(log, world, {"other": other})
            return len(log)

        yield Row.of("write turns", _LOGGED, "turns/s", _rates(write, plan.repeats))
        yield Row.of("read turns", _LOGGED, "turns/s", _rates(read, plan.repeats))
        yield Row.of("evaluate a policy on it", _LOGGED, "turns/s", _rates(evaluate, plan.repeats))


# --- For people ------------------------------------------------------------------------------------------------------


def to_text(document: Mapping[str, Any]) -> str:
    """Returns what was measured as a table of at most 80 columns."""
    here, world = document["machine"], document["world"]
    lines = [
        fold(
            f"{here['processor']}, {here['cores']} cores, {here['threads']} threads, {here['memory_gb']} GB, load "
            f"{here['load_before']:.1f} before and {here['load_after']:.1f} after. "
            f"{', '.join(f'{name} {version}' for name, version in here['versions'].items())}.",
            indent="",
        ),
        fold(f"{world['id']}: {world['items']:,} items, slates of {world['slate_size']}.", indent=""),
    ]
    unit = None
    for row in document["rows"]:
        if row["unit"] != unit:
            unit = row["unit"]
            lines += ["", f"{unit:<27}" + _HEAD[27:], "─" * len(_HEAD)]
        ratio = "" if row["ratio"] is None else _figure(row["ratio"])
        lines.append(
            f"{row['name']:<27}{row['size']:>9,}{_figure(row['median']):>12}  {_figure(row['low']):>11}"
            f"{_figure(row['high']):>11}{ratio:>8}".rstrip()
        )
    lines += ["", *(fold(note, indent="") for note in document["notes"])]
    legend = "from, to: 1st and 99th percentile of the repeats. ratio: to the first row of its kind, of the same size "
    return "\n".join([*lines, fold(legend + "if there is one.", indent="")])


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

"""Agents that learn, by name: how each is set, what it learns from, and the one way to train any of them.

There are two sorts. Some learn by acting: they meet the training world's people themselves. Others are fitted to a
log; `from_log` trains them like the first sort, in each of the three regimes of `instructrec.agents.recording`.
All are given the same ground: the same people, features, language model and number of user-steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from stable_baselines3.common.callbacks import BaseCallback

from instructrec.agents.boosted_trees import LambdaMART, LambdaMARTConfig
from instructrec.agents.click_models import ClickModel, Loss, NetworkConfig, SequenceConfig, Shape
from instructrec.agents.click_rankers import LinearSteering, ParserFactors, ParserFactorsConfig, SteeringConfig
from instructrec.agents.factor_models import ALSConfig, BPRConfig, FactorModel
from instructrec.agents.global_luck import own_luck
from instructrec.agents.neighbours import EASE, EASEConfig, ItemKNN, ItemKNNConfig
from instructrec.agents.offline import OFFLINE, Offline
from instructrec.agents.reading import SessionReader
from instructrec.agents.recording import ROUNDS, ByRank, Regime, behaviour_policy, collect_log
from instructrec.agents.reinforce import Reinforce, ReinforceConfig
from instructrec.agents.sb3_worlds import sb3_vec_env
from instructrec.agents.slate_config import SPACE, SlatePPOConfig
from instructrec.agents.slate_ppo import SlatePPO
from instructrec.agents.slateq import SlateQ, SlateQConfig
from instructrec.agents.stock import StockA2CConfig, StockConfig, StockPPOConfig, train_stock
from instructrec.agents.supervised import Supervised, SupervisedConfig
from instructrec.envs.worlds import spoken_in
from instructrec.logs import Log, joined
from instructrec.names import unknown_name
from instructrec.policies import plackett_luce
from instructrec.protocols import Policy, Ranker
from instructrec.sessions import World

Advance = Callable[[float, str], None]
"""Is told how much is done, from 0 to 1, and a few words about it."""

Watch = Callable[[int, Policy | Ranker], None]
"""Is given the user-steps so far and what would be shown now, for as long as it looks: training goes on with it."""


@dataclass(frozen=True)
class Ground:
    """What an agent learns on: the same for all that are compared.

    Attributes:
        world: The training world.
        reader: What networks see of a session: item features and language model.
        steps: The budget of user-steps.
        regime: Where logs come from, for those that are fitted to one.
        log: The log to be fitted to, where it is there already: SlatePPO's own, for `Regime.OWN`.
        recorded: The logs recorded so far, by seed: all that are fitted to one of the same seed are fitted to the same.
        watch: Looks at those that learn by acting, after each of their iterations.
    """

    world: World
    reader: SessionReader
    steps: int
    regime: Regime | str = Regime.FIXED
    log: Log | None = None
    recorded: dict[int, Log] = field(default_factory=dict, repr=False, compare=False)
    watch: Watch | None = None


@dataclass(frozen=True)
class Learned:
    """What came of training.

    Attributes:
        agent: What was learned.
        note: What it learned from, in a few words.
        steps: User-steps that it took.
        curve: Mean return of training sessions by step, as rows of ``step`` and ``return``; empty for fits to a log.
        sessions: Sessions of the log that it was fitted to; None where it met people itself, and who counts is the
            world (`instructrec.experiments.workshop.counting`).
    """

    agent: Policy | Ranker
    note: str
    steps: int
    curve: tuple[Mapping[str, float], ...] = ()
    sessions: int | None = None


class Fitter(Protocol):
    """Something that is fitted to a log and then ranks."""

    def fit(self, log: Log, *, seed: int = 0, progress: Callable[[int, int], None] | None = None) -> Ranker:
        """Returns a ranker; the same log and seed give the same."""
        ...


Learn = Callable[[Ground, Any, int, Advance], Learned]


@dataclass(frozen=True)
class Learner:
    """An agent that learns.

    Attributes:
        about: A few words, for tables.
        config: The class of its settings, a dataclass.
        learn: Trains it on a ground, with settings and seed.
        space: What tuning may choose from, by setting: values; or (low, high, "log") or (low, high, "linear") for a
            range, of whole numbers where both ends are.
        fits: Whether it is fitted to a log, so that `Ground.regime` matters.
        reads: Whether it reads what people say with the language model.
    """

    about: str
    config: type[Any]
    learn: Learn
    space: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    fits: bool = False
    reads: bool = True


def from_log(about: str, config: type[Any], make: Callable[[Ground, Any], Fitter], **more: Any) -> Learner:
    """Returns a learner that is fitted to a log.

    Args:
        about: As in `Learner`.
        config: As in `Learner`.
        make: Returns what is to be fitted, with its settings.
        more: As in `Learner`.
    """

    def learn(ground: Ground, settings: Any, seed: int, advance: Advance) -> Learned:
        regime = Regime(ground.regime)
        if regime is Regime.ROUNDS:
            agent, sessions = _in_rounds(ground, make(ground, settings), seed, advance)
            note = f"{ground.steps:,} turns in {ROUNDS} rounds, fitted anew after each"
            return Learned(agent, note, ground.steps, sessions=sessions)
        fitter = make(ground, settings)
        log = log_for(ground, seed, lambda done, total: advance(done / total / 2, "recording a log"))
        agent = fitter.fit(log, seed=seed, progress=lambda done, total: advance(0.5 + done / max(total, 1) / 2, ""))
        shown = "SlatePPO while it learned" if regime is Regime.OWN else "similarity and popularity"
        note = f"a log of {len(log):,} turns, shown by {shown}"
        return Learned(agent, note, len(log), sessions=log.num_sessions)

    return Learner(about, config, learn, fits=True, **more)


def log_for(ground: Ground, seed: int, progress: Callable[[int, int], None] | None = None) -> Log:
    """Returns the log of `Regime.FIXED` or `Regime.OWN`.

    Raises:
        ValueError: If SlatePPO's own log is asked for and there is none.
    """
    if ground.log is not None:
        return ground.log
    if Regime(ground.regime) is Regime.OWN:
        raise ValueError("SlatePPO's own log is needed, and SlatePPO is not among the agents; add slate_ppo")
    if seed not in ground.recorded:
        ground.recorded[seed] = fixed_log(ground.world, ground.reader, ground.steps, seed, progress)
    return ground.recorded[seed]


def fixed_log(
    world: World, reader: SessionReader, steps: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> Log:
    """Records the log of `Regime.FIXED`: what similarity and popularity show, and what is clicked.

    Args:
        world: The training world.
        reader: What behaviour knows of items and words.
        steps: How many turns.
        seed: Whom it meets.
        progress: Called with (done, total).
    """
    policy = behaviour_policy(reader.features, reader.encoder, world.slate_size)
    return collect_log(world, policy, steps, seed=seed, progress=progress)


def _in_rounds(ground: Ground, fitter: Fitter, seed: int, advance: Advance) -> tuple[Ranker, int]:
    """Returns the ranker of the last round, and how many sessions there were in all."""
    world, reader = ground.world, ground.reader
    policy = behaviour_policy(reader.features, reader.encoder, world.slate_size)
    logs: list[Log] = []
    ranker: Ranker | None = None
    for done in range(ROUNDS):
        turns = ground.steps * (done + 1) // ROUNDS - ground.steps * done // ROUNDS
        if turns:
            lane = sum(int(log.session.max()) + 1 for log in logs)
            logs.append(collect_log(world, policy, turns, seed=seed, first_lane=lane))
        ranker = fitter.fit(joined(logs), seed=seed)
        policy = plackett_luce(ByRank(ranker), world.slate_size)
        advance((done + 1) / ROUNDS, f"round {done + 1} of {ROUNDS}")
    assert ranker is not None
    return ranker, sum(log.num_sessions for log in logs)


def _stock(ground: Ground, settings: StockConfig, seed: int, advance: Advance) -> Learned:
    found = train_stock(
        ground.world, ground.reader, settings, steps=ground.steps, seed=seed, progress=advance, watch=ground.watch
    )
    return _acted(found.policy, found.steps, found.curve, "; repeated items replaced by popular ones")


def _acted(agent: Policy | Ranker, steps: int, curve: Iterable[tuple[int, float]], more: str = "") -> Learned:
    points = tuple({"step": float(step), "return": value} for step, value in curve)
    return Learned(agent, f"{steps:,} user-steps{more}", steps, points)


def _after_iteration(ground: Ground, agent: Reinforce | SlateQ, advance: Advance) -> Callable[[], None]:
    def tell() -> None:
        advance(min(agent.steps / ground.steps, 1.0), f"{agent.steps:,} turns")
        if ground.watch is not None:
            ground.watch(agent.steps, agent.ranker())

    return tell


def _reinforce(ground: Ground, settings: ReinforceConfig, seed: int, advance: Advance) -> Learned:
    agent = Reinforce(ground.world, ground.reader, settings, seed=seed)
    agent.learn(ground.steps, _after_iteration(ground, agent, advance))
    return _acted(agent.ranker(), agent.steps, agent.curve)


def _slateq(ground: Ground, settings: SlateQConfig, seed: int, advance: Advance) -> Learned:
    agent = SlateQ(ground.world, ground.reader, settings, seed=seed)
    agent.learn(ground.steps, _after_iteration(ground, agent, advance))
    return _acted(agent.ranker(), agent.steps, agent.curve)


class _Iterations(BaseCallback):
    """Tells how far SlatePPO has come after each iteration, and keeps its curve."""

    def __init__(self, ground: Ground, advance: Advance) -> None:
        super().__init__()
        self._ground, self._advance, self._counted = ground, advance, 0
        self.curve: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._advance(min(self.num_timesteps / self._ground.steps, 1.0), f"{self.num_timesteps:,} turns")
        if self._ground.watch is not None and self.num_timesteps:
            self._ground.watch(self.num_timesteps, cast("SlatePPO", self.model).ranker())

    def _on_rollout_end(self) -> None:
        ended = cast("SlatePPO", self.model).world_env.episode_statistics
        returns = ended.since(self._counted).returns
        self._counted = ended.count
        self.curve.append((self.num_timesteps, float(returns.mean()) if len(returns) else float("nan")))


def _slate_ppo(ground: Ground, settings: SlatePPOConfig, seed: int, advance: Advance) -> Learned:
    reader = ground.reader
    if settings.memory != reader.memory:
        raise ValueError(
            f"memory is {settings.memory} here and {reader.memory} on the common ground; leave it as it is"
        )
    with own_luck():
        env = sb3_vec_env(ground.world, settings.num_envs, encoder=reader.encoder, seed=seed, memory=settings.memory)
        model, watched = SlatePPO(env, reader, settings, seed=seed), _Iterations(ground, advance)
        model.learn(ground.steps, callback=watched)
    return _acted(model.ranker(), model.num_timesteps, watched.curve)


def _network(about: str, shape: Shape, loss: Loss) -> Learner:
    """Returns a learner that fits a network to clicks."""
    attends = shape is Shape.SEQUENCE
    space: dict[str, tuple[Any, ...]] = {
        "width": (32, 64, 128),
        "hidden": (64, 128, 256),
        "epochs": (1, 8, "log"),
        "learning_rate": (3e-4, 1e-2, "log"),
        "weight_decay": (1e-3, 1.0, "log"),
    }
    return from_log(
        about,
        SequenceConfig if attends else NetworkConfig,
        lambda ground, settings: ClickModel(ground.reader, settings, shape, loss),
        space=space | ({"length": (8, 64, "log"), "blocks": (1, 2)} if attends else {}),
    )


def _offline(name: str, about: str, space: Mapping[str, tuple[Any, ...]]) -> Learner:
    """Returns a learner of a policy from a log with exact propensities."""
    common: dict[str, tuple[Any, ...]] = {"epochs": (1, 4, "linear"), "learning_rate": (1e-4, 5e-3, "log")}
    return from_log(
        about, OFFLINE[name], lambda ground, settings: Offline(ground.reader, settings), space={**common, **space}
    )


_WEIGHING: dict[str, tuple[Any, ...]] = {
    "gamma": (0.0, 0.9, "linear"),
    "cap": (2.0, 50.0, "log"),
    "behaviour": (0.001, 0.3, "log"),
    "anchor": (0.003, 0.3, "log"),
}
_ACTING: dict[str, tuple[Any, ...]] = {"learning_rate": (1e-4, 5e-3, "log"), "gamma": (0.0, 0.95, "linear")}

LEARNERS: dict[str, Learner] = {
    # Those that learn by acting.
    "slate_ppo": Learner("PPO over whole slates; its policy reads the instruction", SlatePPOConfig, _slate_ppo, SPACE),
    "ppo": Learner("stock PPO of Stable-Baselines3", StockPPOConfig, _stock, _ACTING),
    "a2c": Learner("stock A2C of Stable-Baselines3", StockA2CConfig, _stock, _ACTING),
    "reinforce": Learner("top-K REINFORCE over SlatePPO's network", ReinforceConfig, _reinforce, _ACTING),
    "slateq": Learner("Q-learning for slates by their items", SlateQConfig, _slateq, _ACTING),
    # Those that are fitted to a log.
    "supervised": from_log(
        "SlatePPO's network, fitted to the clicks of a log",
        SupervisedConfig,
        lambda ground, settings: Supervised(ground.reader, settings),
        space={
            "epochs": (1, 6, "linear"),
            "learning_rate": (1e-4, 1e-2, "log"),
            "weight_decay": (1e-4, 1.0, "log"),
            "scorer.hidden": (64, 128, 256),
        },
    ),
    # Fitted to a log; those of the first four read no words.
    "item_knn": from_log(
        "item-to-item cosine, history alone",
        ItemKNNConfig,
        lambda ground, settings: ItemKNN(ground.world.catalogue, settings),
        reads=False,
        space={"neighbours": (10, 500, "log"), "shrinkage": (0.1, 100.0, "log")},
    ),
    "ease": from_log(
        "EASE, history alone",
        EASEConfig,
        lambda ground, settings: EASE(ground.world.catalogue, settings),
        reads=False,
        space={"regularisation": (10.0, 2000.0, "log")},
    ),
    "als": from_log(
        "implicit ALS, history alone",
        ALSConfig,
        lambda ground, settings: FactorModel(ground.world.catalogue, settings),
        reads=False,
        space={
            "factors": (8, 128, "log"),
            "regularisation": (0.01, 100.0, "log"),
            "confidence": (1.0, 100.0, "log"),
        },
    ),
    "bpr": from_log(
        "BPR, history alone",
        BPRConfig,
        lambda ground, settings: FactorModel(ground.world.catalogue, settings),
        reads=False,
        space={
            "factors": (8, 128, "log"),
            "regularisation": (1e-4, 0.1, "log"),
            "learning_rate": (0.005, 0.2, "log"),
            "sweeps": (20, 300, "log"),
        },
    ),
    "linear_steering": from_log(
        "popularity and stars, and a fitted weight of similarity",
        SteeringConfig,
        lambda ground, settings: LinearSteering(
            ground.world.catalogue, ground.reader.features, ground.reader.encoder, settings
        ),
        space={"base": ("popularity", "stars", "both"), "memory": (0.0, 1.0, "linear")},
    ),
    "parser_factors": from_log(
        "the parser and the best factor model, weighed as clicks tell",
        ParserFactorsConfig,
        lambda ground, settings: ParserFactors(
            ground.world.catalogue, ground.reader.features, spoken_in(ground.world), settings
        ),
        reads=False,
        space={"item_effect": (0.05, 2.0, "log"), "obedience": (0.5, 4.0, "log")},
    ),
    "lambdamart": from_log(
        "LambdaMART over similarity, wishes, taste and attributes",
        LambdaMARTConfig,
        lambda ground, settings: LambdaMART(ground.reader, settings),
        space={
            "trees": (50, 400, "log"),
            "leaves": (7, 63, "log"),
            "learning_rate": (0.02, 0.3, "log"),
            "least_rows": (20, 500, "log"),
            "first_stage": (100, 2000, "log"),
        },
    ),
    "two_tower": _network("two towers, clicks by cross-entropy", Shape.TWO_TOWER, Loss.CROSS_ENTROPY),
    "two_tower_mse": _network("two towers, clicks by squared error", Shape.TWO_TOWER, Loss.SQUARED_ERROR),
    "cross": _network("query and item crossed, clicks by cross-entropy", Shape.CROSS, Loss.CROSS_ENTROPY),
    "cross_mse": _network("query and item crossed, clicks by squared error", Shape.CROSS, Loss.SQUARED_ERROR),
    "like_dislike": _network("two towers, clicked or passed over", Shape.TWO_TOWER, Loss.LIKE_DISLIKE),
    "sasrec": _network("self-attention over what was consumed, led by the words", Shape.SEQUENCE, Loss.CROSS_ENTROPY),
    "two_tower_cloning": _network("two towers, likelihood of what was clicked", Shape.TWO_TOWER, Loss.CLONING),
    # Policies, on SlatePPO's network; `instructrec learn` also fits them to a log on the disk.
    "clone": _offline("clone", "SlatePPO's network, likelihood of what a log shows", {}),
    "ips": _offline("ips", "SlatePPO's network, by weighted rewards of a log", _WEIGHING),
    "fitted_q": _offline(
        "fitted_q",
        "SlatePPO's network, by the fitted worth of items",
        {"gamma": (0.0, 0.9, "linear"), "temperature": (0.01, 0.3, "log"), "conservatism": (0.0, 1.0, "linear")},
    ),
    "dr": _offline("dr", "SlatePPO's network, by foreseen rewards put right by weights", _WEIGHING),
}
"""Every agent that learns. SlatePPO's training can also be resumed: `instructrec.agents.slate_ppo`."""


def learner(name: str) -> Learner:
    """Returns a learner by name.

    Raises:
        ValueError: If there is none of that name; the message suggests the nearest.
    """
    if name not in LEARNERS:
        raise ValueError(unknown_name("agent that learns", name, LEARNERS))
    return LEARNERS[name]

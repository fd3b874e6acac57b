"""A supervised ranker that reads the instruction: SlatePPO's network, fitted to a log of clicks instead of by trial.

What it may learn from is stated: a `Log` of what a behaviour policy showed on training people and what was clicked. It
predicts clicks, position by position; where people look is learned beside it and left out when ranking.

References:
    Richardson, Dominowska and Ragno (2007), Predicting clicks: estimating the click-through rate for new ads, WWW
    (examination by position); Craswell et al. (2008), An experimental comparison of click position-bias models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from instructrec.agents.candidates import Candidates, candidate_scores, marks_of
from instructrec.agents.encoder import TextEncoder
from instructrec.agents.features import ItemFeatures
from instructrec.agents.inputs import Inputs, inputs_of
from instructrec.agents.reading import SessionReader
from instructrec.agents.scorer import ScorerConfig, SlateScorer
from instructrec.agents.slate_policy import SlateRanker
from instructrec.agents.wishes import wish_encoder
from instructrec.arrays import take
from instructrec.noise import Noise
from instructrec.policies import plackett_luce
from instructrec.protocols import Policy
from instructrec.sessions import Observation, Sessions, World, observe, start, step

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Log:
    """Turns as a behaviour policy lived through them.

    Attributes:
        inputs: What was seen before each slate, by the names of `instructrec.agents.inputs`.
        slates: What was shown, int32 [num_turns, slate_size].
        clicked: What was clicked of it, [num_turns, slate_size].
    """

    inputs: Inputs
    slates: npt.NDArray[np.int32]
    clicked: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.slates)


@dataclass(frozen=True)
class Behaviour:
    """Who showed the logged slates unless told otherwise: a `Ranker` of similarity and popularity.

    Attributes:
        features: The items.
        encoder: The language model.
        similarity: Weight of the cosine between instruction and item text.
        popularity: Weight of log popularity, per standard deviation.
        uniform: Share of sessions that are shown items by chance alone.
    """

    features: ItemFeatures
    encoder: TextEncoder
    similarity: float = 15.0
    popularity: float = 2.0
    uniform: float = 0.1

    def scores(self, observation: Observation) -> npt.NDArray[np.float32]:
        """Returns scores [batch, num_candidates]."""
        table, blocks = self.features.table, self.features.blocks
        # The scorer reads the same texts, wishes and all: each goes through the language model once.
        encoder = wish_encoder(self.encoder, self.features.wishes)
        texts = encoder.encode(observation.texts.strings(observation.instruction))[:, : self.encoder.width]
        scores = (self.similarity * (texts @ self.features.projection) @ table[:, blocks["text"]].T).astype(np.float32)
        scores += self.popularity * table[:, blocks["popularity"]].T
        # Whether a session is one of chance depends on its past and first words, which stay the same within it.
        first = np.where(observation.turn > 0, observation.said[:, 0], observation.instruction)
        luck = (first * 2_654_435_761 + observation.past.sum(axis=1, dtype=np.int64) * 40_503) % 1009 / 1009
        scores[luck < self.uniform] = 0
        return scores if observation.candidates is None else np.take_along_axis(scores, observation.candidates, axis=1)


def collect_log(
    world: World,
    policy: Policy,
    turns: int,
    *,
    encoder: TextEncoder,
    memory: int = 4,
    seed: int = 0,
    num_envs: int = 256,
    progress: Progress | None = None,
) -> Log:
    """Records whole sessions until there are at least ``turns`` turns, and returns that many.

    Args:
        world: Where people are; a training world, since they are learned from.
        policy: Who shows the slates.
        turns: How many turns to record, at least 1: the budget of interactions.
        encoder: Whose tokens inputs hold.
        memory: How many earlier instructions inputs hold.
        seed: Of the sessions.
        num_envs: Sessions run side by side.
        progress: Called with (done, total).
    """
    if turns < 1:
        raise ValueError(f"turns must be at least 1, got {turns}")
    seen: list[Inputs] = []
    slates: list[npt.NDArray[np.int32]] = []
    clicked: list[npt.NDArray[np.bool_]] = []
    done, lane = 0, 0
    while done < turns:
        state = start(world, Sessions.first(seed, np.arange(lane, lane + num_envs)))
        lane += num_envs
        while len(state.turn) and done < turns:
            observation = observe(world, state)
            shown = np.asarray(policy.act(observation, Noise(state.sessions.keys, state.turn)), np.int32)
            seen.append(inputs_of(observation, encoder, memory=memory))
            state, outcome = step(world, state, shown)
            slates.append(shown)
            clicked.append(outcome.reactions.clicked)
            state = take(state, ~outcome.done)
            done += len(shown)
        if progress is not None:
            progress(min(done, turns), turns)
    # The order of turns is by sessions' progress; cutting the end would leave out late turns of the last batch only.
    inputs = {name: np.concatenate([one[name] for one in seen])[:turns] for name in seen[0]}
    return Log(inputs, np.concatenate(slates)[:turns], np.concatenate(clicked)[:turns])


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """How the supervised ranker learns.

    Attributes:
        turns: Turns of the log, the budget of interactions; SlatePPO's steps make a fair comparison.
        epochs: Passes over the log.
        minibatch_size: Turns per gradient step.
        learning_rate: Of Adam; falls in a straight line to a tenth.
        weight_decay: Of the network's weights, decoupled.
        temperature: Of the behaviour policy.
        memory: How many earlier instructions are read.
        scorer: The network.
    """

    turns: int = 100_000
    epochs: int = 3
    minibatch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    temperature: float = 1.0
    memory: int = 4
    scorer: ScorerConfig = field(default_factory=ScorerConfig)


def _click_loss(scorer: SlateScorer, reader: SessionReader, log: Log, rows: npt.NDArray[np.int64]) -> Tensor:
    """Returns the mean log-loss of the clicks in some turns."""
    inputs = reader.read({name: array[rows] for name, array in log.inputs.items()})
    items = torch.from_numpy(log.slates[rows].astype(np.int64))
    clicked = torch.from_numpy(log.clicked[rows].astype(np.float32))
    among = Candidates(items, marks_of(inputs, items, len(scorer.table)))
    scores = candidate_scores(scorer, scorer.query(scorer.state(inputs), inputs), inputs, among)
    return nn.functional.binary_cross_entropy_with_logits(scorer.click_odds(scores, clicked), clicked)


def fit_supervised(
    features: ItemFeatures,
    encoder: TextEncoder,
    log: Log,
    config: SupervisedConfig | None = None,
    *,
    turn_limit: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> SlateRanker:
    """Fits the ranker to a log.

    Args:
        features: The items.
        encoder: The language model.
        log: What was shown and clicked.
        config: How to learn.
        turn_limit: Slates per session at most, where the log comes from.
        seed: Of weights and minibatches.
        progress: Called with (done, total).
    """
    settings = config if config is not None else SupervisedConfig()
    slate_size = log.slates.shape[1]
    reader = SessionReader(features, encoder, slate_size=slate_size, turn_limit=turn_limit, memory=settings.memory)
    luck = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scorer = SlateScorer(
            features,
            encoder_width=encoder.width,
            memory=settings.memory,
            slate_size=slate_size,
            config=settings.scorer,
        )
    optimiser = torch.optim.AdamW(
        scorer.actor_parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    batches = -(-len(log) // settings.minibatch_size)
    total = settings.epochs * batches
    for epoch in range(settings.epochs):
        order = torch.randperm(len(log), generator=luck).numpy()
        for batch in range(batches):
            done = epoch * batches + batch
            optimiser.param_groups[0]["lr"] = settings.learning_rate * (1 - 0.9 * done / total)
            rows = order[batch * settings.minibatch_size : (batch + 1) * settings.minibatch_size]
            loss = _click_loss(scorer, reader, log, rows)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        if progress is not None:
            progress((epoch + 1) * batches, total)
    return SlateRanker(scorer.eval(), reader)


def train_supervised(
    world: World,
    features: ItemFeatures,
    encoder: TextEncoder,
    config: SupervisedConfig | None = None,
    *,
    policy: Policy | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SlateRanker:
    """Records a log on a training world and fits the ranker to it.

    Args:
        world: Where people are.
        features: The items.
        encoder: The language model.
        config: How much to record and how to learn.
        policy: Who shows the logged slates; Plackett–Luce over `Behaviour` when omitted.
        seed: Of sessions, weights and minibatches.
        progress: Called with (done, total), first for the log, then for the fit.
    """
    settings = config if config is not None else SupervisedConfig()
    shows = policy
    if shows is None:
        shows = plackett_luce(Behaviour(features, encoder), world.slate_size, settings.temperature)
    log = collect_log(
        world, shows, settings.turns, encoder=encoder, memory=settings.memory, seed=seed, progress=progress
    )
    return fit_supervised(
        features,
        encoder,
        log,
        settings,
        turn_limit=world.turn_limit,
        seed=seed,
        progress=progress,
    )

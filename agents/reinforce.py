"""Top-K REINFORCE over SlatePPO's network: clicked items are made likelier by what came of them.

The policy is a softmax π over single items, of which a slate is drawn without replacement; an item is shown if it is
among K draws, which is likely for α(i) = 1 - (1 - π(i))^K. With R_i the discounted rewards from the click on i on (0
where i was not clicked), the gradient of a turn is the mean over shown items of

    w_i · λ_i · R_i · ∇ log π(i),    λ_i = K (1 - π(i))^(K - 1),

λ being ∂α/∂π: an item that is sure to be shown need not become likelier. Sessions are played to their end, and each
batch of them is learned from once; w = min(π / β, cap) makes up for what the policy has changed since it drew by β.

As in the paper: the softmax over items, the multiplier λ, credit to what was clicked, capped weights, no baseline. A
baseline would have to count for the items that were not clicked too, and under λ its gradient does not vanish on
average: it makes likely items likelier whatever they bring, and spoiled in Movies what the policy began with.

Otherwise than there: β is the policy itself a few steps ago and needs no estimate; a slate may bring several clicks,
each of which answers for its own reward and all later turns; returns are divided by their spread in the batch; a little
entropy is kept; the network is SlatePPO's, which also scores what it did not see. The turn limit ends a session like
leaving does.

References:
    Chen et al. (2019), Top-K off-policy correction for a REINFORCE recommender system, WSDM, arXiv 1812.02353;
    Williams (1992), Simple statistical gradient-following algorithms for connectionist reinforcement learning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from instructrec.agents.candidates import Candidates, draw_for, own_candidates, scores_among
from instructrec.agents.reading import SessionReader, joined
from instructrec.agents.scorer import ScorerInputs
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.agents.slate_distribution import draw_slates
from instructrec.agents.slate_policy import SlateRanker, parameter_groups, seeded_scorer
from instructrec.arrays import take
from instructrec.sessions import Sessions, World, observe, start, step


@dataclass(frozen=True, kw_only=True)
class ReinforceConfig:
    """How top-K REINFORCE learns.

    Attributes:
        num_sessions: Sessions of a batch, played side by side to their end.
        minibatch_size: Turns per gradient step.
        learning_rate: Of Adam.
        final_learning_rate: What it falls to, in a straight line, at the end of training.
        reading_rate: As in `SlatePPOConfig`.
        item_rate: As in `SlatePPOConfig`.
        gamma: Discount per turn.
        multiplier: Whether items count by λ; without it, this is REINFORCE for a single item.
        cap: The largest weight w.
        entropy: Weight of the entropy of π.
        max_grad_norm: Gradients longer than this are shortened to it.
        candidates: How many items are ranked while training, drawn anew for each batch; None ranks them all.
        scorer: The network.
    """

    num_sessions: int = 256
    minibatch_size: int = 128
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-4
    reading_rate: float = 0.1
    item_rate: float = 40.0
    gamma: float = 0.5
    multiplier: bool = True
    cap: float = 2.0
    entropy: float = 0.015
    max_grad_norm: float = 0.5
    candidates: int | None = 1000
    scorer: ScorerConfig = field(default_factory=ScorerConfig)


@dataclass(frozen=True)
class Played:
    """Sessions that were played to their end, one row per turn.

    Attributes:
        inputs: What the network saw.
        among: What could be shown; None for the whole catalogue.
        places: What was shown, as places among that, int64 [num_turns, slate_size].
        log_probs: log β of each of them, [num_turns, slate_size].
        returns: R of each of them, [num_turns, slate_size].
        earned: Of each session, undiscounted, float64 [num_sessions].
    """

    inputs: ScorerInputs
    among: Candidates | None
    places: Tensor
    log_probs: Tensor
    returns: Tensor
    earned: np.ndarray


class Reinforce:
    """Learns a ranker for slates by top-K REINFORCE.

    Args:
        world: Where to learn.
        reader: What the network sees of a session.
        config: How to learn.
        seed: Where people, weights, draws and minibatches come from.
    """

    def __init__(
        self, world: World, reader: SessionReader, config: ReinforceConfig | None = None, *, seed: int = 0
    ) -> None:
        self.config = config if config is not None else ReinforceConfig()
        self._world, self._reader, self._seed = world, reader, seed
        self.scorer = seeded_scorer(reader, world.slate_size, self.config.scorer, seed)
        rates = {"reading_rate": self.config.reading_rate, "item_rate": self.config.item_rate}
        self._optimiser = torch.optim.Adam(parameter_groups(self.scorer, **rates), eps=1e-5)
        self._draw = draw_for(world, reader.features, self.config.candidates)
        self._luck, self._draw_luck = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
        self._lane = 0
        self.steps = 0
        """User-steps so far."""
        self.curve: list[tuple[int, float]] = []
        """User-steps and mean return of each batch of sessions."""

    def ranker(self) -> SlateRanker:
        """Returns what was learned as a ranker; it shares the weights."""
        return SlateRanker(self.scorer, self._reader)

    def learn(self, steps: int, after_batch: Callable[[], None] | None = None) -> None:
        """Plays and learns until there were ``steps`` user-steps; the last sessions are played to their end.

        Args:
            steps: User-steps in all.
            after_batch: Called after each batch of sessions.

        Raises:
            ValueError: If ``steps`` is less than 1.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        first, last = self.config.learning_rate, self.config.final_learning_rate
        while self.steps < steps:
            played = self.play()
            left = max(0.0, 1 - self.steps / steps)
            for group in self._optimiser.param_groups:
                group["lr"] = (last + left * (first - last)) * group["share"]
            self.steps += len(played.places)
            self.curve.append((self.steps, float(played.earned.mean())))
            self._update(played)
            if after_batch is not None:
                after_batch()

    def play(self) -> Played:
        """Plays a batch of new people's sessions to their end, and works out what came of each shown item."""
        world, size = self._world, self.config.num_sessions
        state = start(world, Sessions.first(self._seed, np.arange(self._lane, self._lane + size)))
        self._lane += size
        rows, turns, drawn = np.arange(size), [], None
        while len(rows):
            seen = observe(world, state)
            inputs = self._reader.see(seen)
            if drawn is None and self._draw is not None:
                drawn = self._draw.draw(inputs, self._draw_luck)
            among = drawn
            if drawn is None and seen.candidates is not None:
                among = own_candidates(inputs, seen.candidates, len(self.scorer.table))
            with torch.no_grad():
                scores = self._scores(inputs, among)
                places = draw_slates(scores, world.slate_size, self._luck)
                log_probs = torch.log_softmax(scores, dim=1).gather(1, places)
            slates = places if among is None else among.at(places)
            state, outcome = step(world, state, slates.numpy())
            turns.append((rows, inputs, among, places, log_probs, outcome.item_rewards, outcome.reactions.clicked))
            rows, state = rows[~outcome.done], take(state, ~outcome.done)
        later, earned = np.zeros(size), np.zeros(size)
        returns = []
        for rows, *_, rewards, clicked in reversed(turns):
            # What an item brings unclicked, such as a penalty for what must not be shown, it answers for all the same.
            returns.append(rewards + np.where(clicked, self.config.gamma * later[rows, None], 0))
            later[rows] = rewards.sum(axis=1) + self.config.gamma * later[rows]
            earned[rows] += rewards.sum(axis=1)
        _, inputs_, amongs, places_, log_probs_, _, _ = zip(*turns, strict=True)
        return Played(
            joined(list(inputs_)),
            _joined(amongs),
            torch.cat(places_),
            torch.cat(log_probs_),
            torch.from_numpy(np.concatenate(returns[::-1]).astype(np.float32)),
            earned,
        )

    def _scores(self, inputs: ScorerInputs, among: Candidates | None) -> Tensor:
        return scores_among(self.scorer, self.scorer.query(self.scorer.state(inputs), inputs), inputs, among)

    def _update(self, played: Played) -> None:
        gains = played.returns / (played.returns.std() + 1e-8)
        order = torch.randperm(len(gains), generator=self._luck)
        for rows in torch.split(order, self.config.minibatch_size):
            self._optimiser.zero_grad()
            self._loss(played, gains, rows).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.scorer.parameters(), self.config.max_grad_norm)
            self._optimiser.step()

    def _loss(self, played: Played, gains: Tensor, rows: Tensor) -> Tensor:
        among = None if played.among is None else played.among.rows(rows)
        every = torch.log_softmax(self._scores(played.inputs.rows(rows), among), dim=1)
        log_probs = every.gather(1, played.places[rows])
        now = log_probs.detach()
        weights = torch.exp(now - played.log_probs[rows]).clamp_max(self.config.cap)
        if self.config.multiplier:
            size = now.shape[1]
            weights = weights * size * (1 - now.exp()).clamp_min(0) ** (size - 1)
        entropy = -(every.exp() * every).sum(dim=1).mean()
        return -(weights * gains[rows] * log_probs).mean() - self.config.entropy * entropy


def _joined(amongs: tuple[Candidates | None, ...]) -> Candidates | None:
    """Returns the candidates of several turns' rows; those that all rows share stay as they are."""
    first = amongs[0]
    if first is None or first.marks is None:
        return first
    own = [among for among in amongs if among is not None]
    return Candidates(
        torch.cat([among.items for among in own]),
        torch.cat([among.marks for among in own if among.marks is not None]),
    )

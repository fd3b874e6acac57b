"""SlateQ over SlatePPO's features: a slate is worth what its items are worth if chosen, by how likely each is chosen.

Two things are learned, from a buffer of the latest turns: p_i(s), how likely item i is clicked in session s, a plain
click model; and Q(s, i), the discounted reward from the click on i on. Q is learned by Q-learning with a target
network, and for the turns without a click there is Q(s, ⊥). A slate A is worth

    Q(s, A) = Σ p_i(s) Q(s, i) + Π (1 - p_i(s)) Q(s, ⊥),

sums and products over its items. The slate shown is the top-K heuristic's: the K items with the highest p_i(s) Q(s, i),
best first, which the paper found about as good as solving for the best slate; and so is the one that is foreseen for
the next session state s'. Exploration replaces positions by items at random.

The paper's users choose one item at most; here a slate may bring several clicks, independent ones. So a click answers
for its own reward and for an even share of what comes later,

    target of Q(s, i) = r_i + γ max_A' Q(s', A') / n    for each of the turn's n clicks,
    target of Q(s, ⊥) =       γ max_A' Q(s', A')        if n = 0,

which together are the whole turn's return, and with one click at most are the paper's. Otherwise than there: p is
learned from feedback, not given; the users' choice is not conditional on the other items but for how many clicks were
above; the reward is a world's.

Stable-Baselines3 has no Q-learning for slates (its DQN takes one of a few actions), so the loop here is its own.

References:
    Ie et al. (2019), SlateQ: a tractable decomposition for reinforcement learning with recommendation sets, IJCAI,
    arXiv 1905.12767; Mnih et al. (2015), Human-level control through deep reinforcement learning, Nature (replay buffer
    and target network).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from instructrec.agents.candidates import Candidates, draw_for, own_candidates, scores_among
from instructrec.agents.reading import SessionReader
from instructrec.agents.replay import Turns, columns_of, observation_of
from instructrec.agents.scorer import ClickOdds, ScorerInputs, SlateScorer
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.agents.slate_policy import parameter_groups, seeded_scorer
from instructrec.arrays import Ints
from instructrec.envs.spaces import fill_repeats
from instructrec.sessions import Observation, Sessions, SessionState, World, observe, restart, start, step


@dataclass(frozen=True, kw_only=True)
class SlateQConfig:
    """How SlateQ learns.

    Attributes:
        num_envs: Sessions run side by side.
        minibatch_size: Turns per gradient step.
        updates: Gradient steps after each turn of all sessions.
        buffer: How many turns are kept, at least a minibatch.
        learning_rate: Of Adam.
        final_learning_rate: What it falls to, in a straight line, at the end of training.
        reading_rate: As in `SlatePPOConfig`.
        item_rate: As in `SlatePPOConfig`.
        odds_rate: How many times the learning rate holds for the few numbers that make odds of clicks of scores.
        settling: Gradient steps at the start in which these are learned and the scores are not.
        gamma: Discount per turn.
        target: Share of the target network that each gradient step replaces.
        explore: Share of positions with an item by chance, at the start.
        final_explore: The same at the end of training.
        max_grad_norm: Gradients longer than this are shortened to it.
        value_hidden: Width of the hidden layer of Q.
        candidates: How many items are ranked while training, where there are more; None ranks the whole catalogue.
            They are drawn anew every few turns, as `SlatePPOConfig` says.
        scorer: The network of p.

    Raises:
        ValueError: If the buffer holds less than a minibatch.
    """

    num_envs: int = 256
    minibatch_size: int = 128
    updates: int = 2
    buffer: int = 50_000
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-4
    reading_rate: float = 0.1
    item_rate: float = 10.0
    odds_rate: float = 30.0
    settling: int = 100
    gamma: float = 0.5
    target: float = 0.02
    explore: float = 0.2
    final_explore: float = 0.02
    max_grad_norm: float = 1.0
    value_hidden: int = 128
    candidates: int | None = 10_000
    scorer: ScorerConfig = field(default_factory=ScorerConfig)

    def __post_init__(self) -> None:
        if self.buffer < self.minibatch_size:
            raise ValueError(f"the buffer must hold a minibatch of {self.minibatch_size} turns, got {self.buffer}")


class Worth(NamedTuple):
    """What Q depends on in some sessions.

    Attributes:
        weights: Of the item features, [batch, width].
        base: What any click is worth, [batch].
        nothing: Q(s, ⊥), [batch].
    """

    weights: Tensor
    base: Tensor
    nothing: Tensor

    def of(self, table: Tensor, items: Tensor | None) -> Tensor:
        """Returns Q(s, i) of items, [batch, num_items]; None stands for the whole catalogue.

        Args:
            table: Features of all items, [num_items, width].
            items: Item numbers, [num_items] or [batch, num_items].
        """
        weights = self.weights / table.shape[1] ** 0.5
        if items is None or items.ndim == 1:
            chosen = table if items is None else table.index_select(0, items)
            return torch.addmm(self.base[:, None], weights, chosen.T)
        return self.base[:, None] + torch.einsum("bd,bkd->bk", weights, table[items])


class ClickValues(nn.Module):
    """Q: what a click on an item, or no click, is worth in a session. A click is worth 1 at the start.

    Args:
        state_width: Width of a session's features.
        item_width: Width of an item's.
        hidden: Width of the hidden layer.
    """

    def __init__(self, state_width: int, item_width: int, hidden: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(state_width, hidden), nn.GELU())
        self.head = nn.Linear(hidden, item_width + 2)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias.zero_()[-2] = 1.0

    def forward(self, state: Tensor) -> Worth:
        """Returns what Q depends on, from the features of sessions [batch, state_width]."""
        out = self.head(self.trunk(state))
        return Worth(out[:, :-2], out[:, -2], out[:, -1])


def slate_value(log_odds: Tensor, after_clicks: Tensor, worth: Tensor, nothing: Tensor) -> Tensor:
    """Returns Q(s, A) of slates, [batch].

    Args:
        log_odds: Of a click on each position, none above, [batch, slate_size].
        after_clicks: What each click above adds to them, a number.
        worth: Q(s, i) of each position's item, [batch, slate_size].
        nothing: Q(s, ⊥), [batch].
    """
    above, total = torch.zeros_like(nothing), torch.zeros_like(nothing)
    for position in range(log_odds.shape[1]):
        # As many clicks above as are expected.
        likely = torch.sigmoid(log_odds[:, position] + after_clicks * above)
        total = total + likely * worth[:, position]
        above = above + likely
    none = torch.exp(nn.functional.logsigmoid(-log_odds).sum(dim=1))
    return total + none * nothing


@dataclass(frozen=True)
class SlateQRanker:
    """Ranks by how likely an item is clicked, times what the click is worth: a `Ranker`.

    Attributes:
        scorer: The network of p.
        values: Q.
        reader: What they see of observations.
        rows_at_once: Sessions scored together; bounds memory.
    """

    scorer: SlateScorer
    values: ClickValues
    reader: SessionReader
    rows_at_once: int = 256

    @torch.no_grad()
    def scores(self, observation: Observation) -> npt.NDArray[np.float32]:
        """Returns scores [batch, num_candidates]; candidates are all items when the observation names none."""
        parts = []
        for first in range(0, observation.batch, self.rows_at_once):
            some = observation.rows(slice(first, first + self.rows_at_once))
            inputs = self.reader.see(some)
            state = self.scorer.state(inputs)
            scores = self.scorer.scores(self.scorer.query(state, inputs), inputs)
            scores = attraction(self.scorer.click_odds, scores) * self.values(state[0]).of(self.scorer.table, None)
            found = scores.numpy()
            parts.append(found if some.candidates is None else np.take_along_axis(found, some.candidates, axis=1))
        return np.concatenate(parts)


def attraction(odds: ClickOdds, scores: Tensor) -> Tensor:
    """Returns p: how likely items with ``scores`` are clicked where people look first."""
    return torch.sigmoid(torch.exp(odds.log_scale) * scores + odds.positions[0])


_DRAWN_EVERY = 8


class SlateQ:
    """Learns p and Q by acting.

    Args:
        world: Where to learn.
        reader: What the networks see of a session.
        config: How to learn.
        seed: Where people, weights, exploration and minibatches come from.
    """

    def __init__(
        self, world: World, reader: SessionReader, config: SlateQConfig | None = None, *, seed: int = 0
    ) -> None:
        self.config = config if config is not None else SlateQConfig()
        settings = self.config
        self._world, self._reader, self._texts = world, reader, world.population.texts
        self.scorer = seeded_scorer(reader, world.slate_size, settings.scorer, seed)
        self._rng = np.random.default_rng(seed)
        self._state = start(world, Sessions.first(seed, settings.num_envs))
        self._draw = draw_for(world, reader.features, settings.candidates)
        self._drawn: Candidates | None = None
        example = self._reader.see(observe(world, self._state).rows(slice(1)))
        width = self.scorer.state(example)[0].shape[1]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.values = ClickValues(width, reader.features.width, settings.value_hidden)
        self._target = copy.deepcopy(self.values).requires_grad_(False)
        self._optimiser = torch.optim.Adam(self._groups(), eps=1e-5)
        self._updates = 0
        self._turns = Turns(settings.buffer)
        self._returns = np.zeros(settings.num_envs)
        self.steps = 0
        """User-steps so far."""
        self.curve: list[tuple[int, float]] = []
        """User-steps and mean return of the sessions that ended, at each turn at which some did."""

    def ranker(self) -> SlateQRanker:
        """Returns what was learned as a ranker; it shares the weights."""
        return SlateQRanker(self.scorer, self.values, self._reader)

    def learn(self, steps: int, after_turn: Callable[[], None] | None = None) -> None:
        """Acts and learns until there were ``steps`` user-steps.

        Args:
            steps: User-steps in all, rounded up to whole turns of all sessions.
            after_turn: Called after each turn of all sessions.

        Raises:
            ValueError: If ``steps`` is less than 1.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        settings = self.config
        first, last = settings.learning_rate, settings.final_learning_rate
        while self.steps < steps:
            left = 1 - self.steps / steps
            self._act(settings.final_explore + left * (settings.explore - settings.final_explore))
            for group in self._optimiser.param_groups:
                held = group["settles"] and self._updates < settings.settling
                group["lr"] = 0.0 if held else (last + left * (first - last)) * group["share"]
            if len(self._turns) >= settings.minibatch_size:
                for _ in range(settings.updates):
                    self._update()
            if after_turn is not None:
                after_turn()

    def _groups(self) -> list[dict[str, Any]]:
        """Returns the parameters for the optimiser: those that score items wait until the odds of clicks are settled.

        Scores at the start are those of a policy, far too sure of clicks. Were they learned at once, the quickest way
        to fewer clicks foreseen would be to unlearn what all shown items have in common, which is what is good in them.
        """
        settings, odds = self.config, list(self.scorer.click_odds.parameters())
        rates = {"reading_rate": settings.reading_rate, "item_rate": settings.item_rate}
        groups = parameter_groups(self.scorer, **rates)
        apart = {id(parameter) for parameter in odds}
        for group in groups:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in apart]
            group["settles"] = True
        free = [{"params": odds, "share": settings.odds_rate}, {"params": list(self.values.parameters()), "share": 1.0}]
        return [*groups, *({**group, "settles": False} for group in free)]

    def _observe(self, state: SessionState) -> Observation:
        """Returns what is seen; without candidates where all have the same, since those are drawn."""
        seen = observe(self._world, state)
        return seen if self._draw is None else replace(seen, candidates=None)

    def _among(self, inputs: ScorerInputs, seen: Observation) -> Candidates | None:
        if seen.candidates is not None:
            return own_candidates(inputs, seen.candidates, len(self.scorer.table))
        return self._drawn

    def _best(self, inputs: ScorerInputs, among: Candidates | None, values: ClickValues) -> tuple[Tensor, Tensor]:
        """Returns places of the best items, best first, [batch, 2 × slate_size at most], and the best slates' Q."""
        scorer, size = self.scorer, self._world.slate_size
        state = scorer.state(inputs)
        scores = scores_among(scorer, scorer.query(state, inputs), inputs, among)
        found = values(state[0])
        worth = found.of(scorer.table, None if among is None else among.items)
        odds = scorer.click_odds
        rank = attraction(odds, scores) * worth
        places = torch.topk(rank, min(2 * size, rank.shape[1]), dim=1).indices
        slates = places[:, :size]
        shown = scores.gather(1, slates)
        log_odds = odds(shown, torch.zeros_like(shown))
        return places, slate_value(log_odds, odds.after_clicks, worth.gather(1, slates), found.nothing)

    @torch.no_grad()
    def _act(self, explore: float) -> None:
        world, state = self._world, self._state
        seen = self._observe(state)
        inputs = self._reader.see(seen)
        if self._draw is not None and (self.steps // len(state.turn)) % _DRAWN_EVERY == 0:
            self._drawn = self._draw.draw(inputs, self._rng)
        among = self._among(inputs, seen)
        best, _ = self._best(inputs, among, self.values)
        choices = best if among is None else among.at(best)
        slates = self._explored(choices.numpy(), among, explore)
        after, outcome = step(world, state, slates)
        self._turns.add(
            **columns_of(seen, "seen."),
            **columns_of(self._observe(after), "next."),
            shown=slates,
            clicked=outcome.reactions.clicked,
            rewards=outcome.item_rewards,
            left=outcome.terminated,
        )
        self._returns += outcome.reward
        self.steps += len(slates)
        ended = np.flatnonzero(outcome.done)
        if len(ended):
            self.curve.append((self.steps, float(self._returns[ended].mean())))
            self._returns[ended] = 0
            after = restart(world, after, ended)
        self._state = after

    def _explored(self, best: Ints, among: Candidates | None, explore: float) -> npt.NDArray[np.int64]:
        """Returns slates of the best items in which some positions hold items by chance."""
        shape = (len(best), self._world.slate_size)
        if among is None:
            others = self._rng.integers(0, self._world.catalogue.num_items, shape)
        else:
            places = torch.from_numpy(self._rng.integers(0, among.items.shape[-1], shape))
            others = among.at(places).numpy()
        slates = np.where(self._rng.random(shape) < explore, others, best[:, : shape[1]])
        return np.asarray(fill_repeats(slates, best), np.int64)

    def _update(self) -> None:
        self._optimiser.zero_grad()
        self._loss(self._turns.sample(self.config.minibatch_size, self._rng)).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([*self.scorer.parameters(), *self.values.parameters()], self.config.max_grad_norm)
        self._optimiser.step()
        self._updates += 1
        with torch.no_grad():
            for slow, fast in zip(self._target.parameters(), self.values.parameters(), strict=True):
                slow.lerp_(fast, self.config.target)

    def _loss(self, turns: dict[str, npt.NDArray[Any]]) -> Tensor:
        scorer = self.scorer
        later = self.config.gamma * self._foreseen(turns)
        clicked = torch.from_numpy(turns["clicked"].astype(np.float32))
        items, rewards = torch.from_numpy(turns["shown"].astype(np.int64)), torch.from_numpy(turns["rewards"])
        inputs = self._reader.see(observation_of(turns, "seen.", self._texts))
        state = scorer.state(inputs)
        shown = own_candidates(inputs, turns["shown"], len(scorer.table))
        scores = scores_among(scorer, scorer.query(state, inputs), inputs, shown)
        click_loss = nn.functional.binary_cross_entropy_with_logits(scorer.click_odds(scores, clicked), clicked)
        # Q looks at what the click model reads, and leaves it as it is.
        found = self.values(state[0].detach())
        clicks = clicked.sum(dim=1)
        share = later / clicks.clamp_min(1)
        missed = (found.of(scorer.table, items) - rewards - share[:, None]) * clicked
        missed_nothing = (found.nothing - later) * (clicks == 0)
        value_loss: Tensor = (missed.square().sum() + missed_nothing.square().sum()) / clicked.numel()
        return click_loss + value_loss

    @torch.no_grad()
    def _foreseen(self, turns: dict[str, npt.NDArray[Any]]) -> Tensor:
        """Returns the best Q of where turns led, 0 where the person left, [batch]."""
        after = observation_of(turns, "next.", self._texts)
        inputs = self._reader.see(after)
        return self._best(inputs, self._among(inputs, after), self._target)[1] * torch.from_numpy(~turns["left"])

"""What SlatePPO collects between updates, and which position gets the credit for what.

The critic expects c_j of each position before the slate is known and F of later turns, so that V = Σ c_j + F. Once the
slate was shown and clicked, it puts down u_j of the later turns to each item (0 where nothing is attributed). With

    G     = γ ((1 - λ) V' + λ (Σ r' + G'))                what came later, primes meaning the next turn
    left  = s (G - F - Σ u_j)                             what no item explains, s the share that all answer for
    A_j   = (r_j + u_j - c_j)             + left          "item": a position answers for its own click and effect
    A_j   = Σ_{i ≥ j} (r_i + u_i - c_i)   + left          "reward_to_go": and for those below it
    A     = Σ_i (r_i + u_i - c_i)         + left          "slate": all positions answer for everything

With s = 1 all three are unbiased about the whole slate's advantage where items are clicked independently; then the
chance that a person leaves, which no position causes alone, drowns the clicks. With s = 0 only what the critic has
learned to attribute counts.

References:
    Schulman et al. (2016), High-dimensional continuous control using generalized advantage estimation, arXiv
    1506.02438; Ie et al. (2019), SlateQ, arXiv 1905.12767 (a slate's value as a sum over its items).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from torch import Tensor

from instructrec.agents.scorer import ScorerInputs
from instructrec.agents.slate_critic import Values


class CreditBy(StrEnum):
    """Which rewards a position answers for."""

    SLATE = "slate"
    REWARD_TO_GO = "reward_to_go"
    ITEM = "item"


@dataclass(frozen=True)
class Credit:
    """What the update aims at.

    Attributes:
        advantages: [num_steps, num_envs, slate_size]; the same for all positions under "slate".
        items: Target of the critic's expectation of each position, [num_steps, num_envs, slate_size].
        later: What came later, G: target of its future and effects, [num_steps, num_envs].
    """

    advantages: Tensor
    items: Tensor
    later: Tensor


def credit(
    item_rewards: Tensor,
    expected: Values,
    next_values: Tensor,
    ended: Tensor,
    *,
    gamma: float,
    gae_lambda: float,
    by: CreditBy | str,
    shared: float = 1.0,
) -> Credit:
    """Shares out credit; the module says how.

    Args:
        item_rewards: What each position earned, [num_steps, num_envs, slate_size].
        expected: What the critic expected: items and effects [num_steps, num_envs, slate_size], future [num_steps,
            num_envs].
        next_values: Value after each step, [num_steps, num_envs]: the next observation's, the cut-off one's where a
            session was truncated, 0 where the user left.
        ended: Whether the session ended with the step, either way, [num_steps, num_envs].
        gamma: Discount per turn.
        gae_lambda: 0 trusts the critic, 1 trusts what happened.
        by: Which rewards a position answers for.
        shared: Share of what no item explains that all positions answer for.
    """
    later = torch.zeros_like(expected.future)
    following = next_values[-1]
    for step in reversed(range(len(item_rewards))):
        mixed = (1 - gae_lambda) * next_values[step] + gae_lambda * following
        later[step] = gamma * torch.where(ended[step], next_values[step], mixed)
        following = item_rewards[step].sum(dim=1) + later[step]
    earned = item_rewards + expected.effects
    surplus = earned - expected.items
    match CreditBy(by):
        case CreditBy.ITEM:
            own = surplus
        case CreditBy.REWARD_TO_GO:
            own = surplus.flip(2).cumsum(dim=2).flip(2)
        case CreditBy.SLATE:
            own = surplus.sum(dim=2, keepdim=True).expand_as(surplus)
    unexplained = later - expected.future - expected.effects.sum(dim=2)
    return Credit(own + shared * unexplained[:, :, None], earned, later)


@dataclass(frozen=True)
class Minibatch:
    """Some of the collected turns; every tensor has the same leading axis.

    Attributes:
        inputs: What the network saw.
        slates: What was drawn: places among the candidates, int64 [batch, slate_size].
        candidates: Item numbers of each row's own candidates, int64 [batch, num_own]; none where all rows share them.
        candidate_marks: The marks they bear, int8 [batch, num_own, MARKS].
        start_features: What the policy wanted at the start (see `Query`), [batch, width]; of no width where unneeded.
        start_wishes: The same of wishes, [batch, num_wishes].
        start_marks: The same of marks, [batch, MARKS].
        log_probs: Under the policy that drew, [batch, slate_size].
        shown: The slates' item numbers, int64 [batch, slate_size].
        clicked: What was clicked of them, [batch, slate_size].
        advantages: [batch, slate_size].
        items: As in `Credit`, [batch, slate_size].
        later: As in `Credit`, [batch].
    """

    inputs: ScorerInputs
    slates: Tensor
    candidates: Tensor
    candidate_marks: Tensor
    start_features: Tensor
    start_wishes: Tensor
    start_marks: Tensor
    log_probs: Tensor
    shown: Tensor
    clicked: Tensor
    advantages: Tensor
    items: Tensor
    later: Tensor


class SlateRolloutBuffer(RolloutBuffer):
    """Turns by step and environment, with log-probabilities and rewards for each position.

    Everything added is copied, so that nothing changes when the environments step on.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: torch.device | str = "auto",
        gae_lambda: float = 1,
        gamma: float = 0.99,
        n_envs: int = 1,
        credit_by: CreditBy | str = CreditBy.ITEM,
        shared: float = 1.0,
    ) -> None:
        self.credit_by, self.shared = CreditBy(credit_by), shared
        self._columns: dict[str, Tensor] = {}
        super().__init__(buffer_size, observation_space, action_space, device, gae_lambda, gamma, n_envs)

    def reset(self) -> None:
        """Forgets what was collected; memory is kept for the next time."""
        self.pos, self.full = 0, False

    def store(self, inputs: ScorerInputs, **columns: Tensor) -> None:
        """Adds one step of all environments.

        Args:
            inputs: What the network saw.
            columns: The rest, by name, each [num_envs, …].
        """
        if self.full:
            raise RuntimeError(f"the buffer is full after {self.buffer_size} steps; reset it before storing more")
        seen = {f"inputs.{field.name}": getattr(inputs, field.name) for field in dataclasses.fields(inputs)}
        for name, value in (seen | columns).items():
            small = _SMALL.get(name, value.dtype)
            kept = self._columns.get(name)
            if kept is None or kept.shape[2:] != value.shape[1:]:
                kept = torch.empty(self.buffer_size, *value.shape, dtype=small)
                self._columns[name] = kept
            kept[self.pos].copy_(value)
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def column(self, name: str) -> Tensor:
        """Returns a column, [num_steps, num_envs, …]."""
        return self._columns[name][: self.pos]

    def share_credit(self, next_values: Tensor) -> None:
        """Works out advantages and targets; ``next_values`` as in `credit`."""
        found = credit(
            self.column("item_rewards"),
            Values(self.column("expected_items"), self.column("expected_future"), self.column("effects")),
            next_values,
            self.column("ended"),
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            by=self.credit_by,
            shared=self.shared,
        )
        self._columns |= {"advantages": found.advantages, "items": found.items, "later": found.later}

    def minibatches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Minibatch]:
        """Yields all collected turns once, in random order, at most ``size`` at a time."""
        flat = {name: column[: self.pos].flatten(0, 1) for name, column in self._columns.items()}
        order = torch.randperm(self.pos * self.n_envs, generator=generator)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            chosen = {name: column.index_select(0, rows) for name, column in flat.items()}
            for name in _SMALL:
                if name in chosen:
                    chosen[name] = chosen[name].to(_WIDE[name])
            inputs = {name[7:]: value for name, value in chosen.items() if name.startswith("inputs.")}
            names = [field.name for field in dataclasses.fields(Minibatch) if field.name != "inputs"]
            yield Minibatch(ScorerInputs(**inputs), **{name: chosen[name] for name in names})


# How bulky integers are kept, and what they are when they come out again.
_SMALL = {
    "inputs.marked": torch.int32,
    "inputs.mark_kinds": torch.int8,
    "slates": torch.int32,
    "shown": torch.int32,
    "candidates": torch.int32,
}
_WIDE = {
    "inputs.marked": torch.int64,
    "inputs.mark_kinds": torch.float32,
    "slates": torch.int64,
    "shown": torch.int64,
    "candidates": torch.int64,
}

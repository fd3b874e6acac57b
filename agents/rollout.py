"""What SlatePPO collects between updates, and which position gets the credit for what.

A slate's return is the sum of what its positions earn now and what the session earns later. The critic expects each
position's reward c_j and the future F, so that V = Σ c_j + F. With the same future for all positions,

    later  = γ V' - F + γ λ A'                              (generalised advantage, of the future alone)
    A_j    = (r_j - c_j)              + later               "item": a position answers for its own click
    A_j    = Σ_{i ≥ j} (r_i - c_i)    + later               "reward_to_go": and for those below it
    A      = Σ_i (r_i - c_i)          + later               "slate": all positions answer for everything

where V' and A' belong to the next turn. All three are unbiased about the whole slate's advantage where items are
clicked independently; the first has the least variance.

References:
    Schulman et al. (2016), High-dimensional continuous control using generalized advantage estimation, arXiv 1506.02438;
    Ie et al. (2019), SlateQ, arXiv 1905.12767 (a slate's value as a sum over its items).
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

from instructrec.agents.scorer import ScorerInputs, Values


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
        future: Target of the critic's future, [num_steps, num_envs].
    """

    advantages: Tensor
    future: Tensor


def credit(
    item_rewards: Tensor,
    expected: Values,
    next_values: Tensor,
    ended: Tensor,
    *,
    gamma: float,
    gae_lambda: float,
    by: CreditBy | str,
) -> Credit:
    """Shares out credit; the module says how.

    Args:
        item_rewards: What each position earned, [num_steps, num_envs, slate_size].
        expected: What the critic expected, items [num_steps, num_envs, slate_size], future [num_steps, num_envs].
        next_values: Value after each step, [num_steps, num_envs]: the next observation's, the cut-off one's where a
            session was truncated, 0 where the user left.
        ended: Whether the session ended with the step, either way, [num_steps, num_envs].
        gamma: Discount per turn.
        gae_lambda: 0 trusts the critic, 1 trusts what happened.
        by: Which rewards a position answers for.
    """
    surplus = item_rewards - expected.items
    later = torch.zeros_like(expected.future)
    following = torch.zeros_like(expected.future[0])
    for step in reversed(range(len(item_rewards))):
        goes_on = (~ended[step]).to(following.dtype)
        later[step] = gamma * next_values[step] - expected.future[step] + gamma * gae_lambda * goes_on * following
        following = surplus[step].sum(dim=1) + later[step]
    match CreditBy(by):
        case CreditBy.ITEM:
            own = surplus
        case CreditBy.REWARD_TO_GO:
            own = surplus.flip(2).cumsum(dim=2).flip(2)
        case CreditBy.SLATE:
            own = surplus.sum(dim=2, keepdim=True).expand_as(surplus)
    return Credit(own + later[:, :, None], later + expected.future)


@dataclass(frozen=True)
class Minibatch:
    """Some of the collected turns; every tensor has the same leading axis.

    Attributes:
        inputs: What the network saw.
        slates: What was drawn: places among the candidates, int64 [batch, slate_size].
        candidates: Item numbers of each row's own candidates, int64 [batch, num_own], -1 where there are fewer.
        log_probs: Under the policy that drew, [batch, slate_size].
        item_rewards: [batch, slate_size].
        advantages: [batch, slate_size].
        future: The critic's target, [batch].
    """

    inputs: ScorerInputs
    slates: Tensor
    candidates: Tensor
    log_probs: Tensor
    item_rewards: Tensor
    advantages: Tensor
    future: Tensor


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
    ) -> None:
        self.credit_by = CreditBy(credit_by)
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
            Values(self.column("expected_items"), self.column("expected_future")),
            next_values,
            self.column("ended"),
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            by=self.credit_by,
        )
        self._columns["advantages"], self._columns["future"] = found.advantages, found.future

    def minibatches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Minibatch]:
        """Yields all collected turns once, in random order, at most ``size`` at a time."""
        flat = {name: column[: self.pos].flatten(0, 1) for name, column in self._columns.items()}
        order = torch.randperm(self.pos * self.n_envs, generator=generator)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            chosen = {name: column[rows] for name, column in flat.items()}
            for name in _SMALL:
                if name in chosen:
                    chosen[name] = chosen[name].to(_WIDE[name])
            inputs = {name[7:]: value for name, value in chosen.items() if name.startswith("inputs.")}
            names = [field.name for field in dataclasses.fields(Minibatch) if field.name != "inputs"]
            yield Minibatch(ScorerInputs(**inputs), **{name: chosen[name] for name in names})


# How bulky integers are kept, and what they are when they come out again.
_SMALL = {"inputs.marked": torch.int32, "inputs.mark_kinds": torch.int8, "slates": torch.int32, "candidates": torch.int32}
_WIDE = {
    "inputs.marked": torch.int64,
    "inputs.mark_kinds": torch.float32,
    "slates": torch.int64,
    "candidates": torch.int64,
}

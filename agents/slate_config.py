"""How SlatePPO learns: every setting, and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from instructrec.agents.inputs import MEMORY
from instructrec.agents.scorer_config import ScorerConfig


@dataclass(frozen=True, kw_only=True)
class SlatePPOConfig:
    """How SlatePPO learns.

    Attributes:
        credit: Which rewards a position answers for: "item", "reward_to_go" or "slate".
        num_envs: Sessions run side by side.
        num_steps: Turns of each of them per iteration.
        epochs: Passes over an iteration's turns.
        minibatch_size: Turns per gradient step.
        learning_rate: Of Adam.
        final_learning_rate: What it falls to, in a straight line, at the end of training.
        reading_rate: Share of the learning rate for the parameters that read texts: what was read from prompts holds
            for wordings that nobody has said yet, what is learned from few texts may not.
        item_rate: How many times the learning rate holds for each item's own score: an item is shown seldom, and what
            makes it clicked is its own.
        clip: How far a probability ratio may pay, either way.
        gamma: Discount per turn.
        gae_lambda: 0 trusts the critic, 1 trusts what happened.
        attribute_future: Whether the critic puts down later rewards to the items shown; see `rollout`.
        shared_future: Share of what it cannot put down to an item that all positions answer for; 1 is unbiased and
            noisy.
        entropy: Weight of the entropy, per position.
        anchor: Weight of the divergence from the policy at the start, per position.
        anchor_decay: What is left of that weight after each iteration.
        target_kl: An iteration's update stops when slates diverge by this much on average; None never stops.
        value: Weight of the critic's loss.
        max_grad_norm: Gradients longer than this are shortened to it.
        temperature: Scores are divided by it before drawing.
        memory: How many earlier instructions are read.
        warm_up: How many turns of training at most, and no more than a fifth of it, go by before the policy gradient
            begins: what their slates bring is regressed on what was known of them; see
            `instructrec.agents.first_slates`. 0 begins at once.
        candidates: How many items are ranked while training, drawn anew for each iteration by what is asked for, past,
            popularity and chance; None ranks the whole catalogue. Rankers always rank the whole catalogue.
        prompts: How many prompts about the catalogue's own names and numbers the agent learns to read from before
            anybody speaks; see `instructrec.agents.prompts`. 0 leaves it all to experience.
        scorer: The network.

    Raises:
        ValueError: If a setting is out of range.
    """

    credit: str = "item"
    num_envs: int = 256
    num_steps: int = 8
    epochs: int = 1
    minibatch_size: int = 128
    learning_rate: float = 3e-4
    final_learning_rate: float = 1e-4
    reading_rate: float = 0.1
    item_rate: float = 40.0
    clip: float = 0.2
    gamma: float = 0.5
    gae_lambda: float = 0.9
    attribute_future: bool = True
    shared_future: float = 0.0
    entropy: float = 0.015
    anchor: float = 0.03
    anchor_decay: float = 1.0
    target_kl: float | None = None
    value: float = 0.5
    max_grad_norm: float = 0.5
    temperature: float = 1.0
    memory: int = MEMORY
    warm_up: int = 20_000
    candidates: int | None = 1000
    prompts: int = 48_000
    scorer: ScorerConfig = field(default_factory=ScorerConfig)

    def __post_init__(self) -> None:
        for names, low, high in (
            (("num_envs", "num_steps", "epochs", "minibatch_size"), 1, math.inf),
            (
                ("memory", "warm_up", "prompts", "learning_rate", "final_learning_rate", "reading_rate", "item_rate"),
                0,
                math.inf,
            ),
            (("entropy", "anchor", "value", "max_grad_norm", "clip"), 0, math.inf),
            (("gamma", "gae_lambda", "shared_future", "anchor_decay"), 0, 1),
        ):
            for name in names:
                if not low <= getattr(self, name) <= high:
                    range_ = f"{low} or more" if high == math.inf else f"from {low} to {high}"
                    raise ValueError(f"{name} must be {range_}, got {getattr(self, name)}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self.candidates is not None and self.candidates < 10:
            raise ValueError(f"candidates must be 10 or more, got {self.candidates}; none ranks the whole catalogue")


SPACE: dict[str, tuple[Any, ...]] = {
    "learning_rate": (2e-4, 5e-3, "log"),
    "gamma": (0.0, 0.9, "linear"),
    "entropy": (0.001, 0.1, "log"),
    "anchor": (0.003, 0.3, "log"),
    "reading_rate": (0.01, 1.0, "log"),
    "item_rate": (1.0, 100.0, "log"),
    "epochs": (1, 4, "linear"),
    "clip": (0.1, 0.4, "linear"),
}
"""What tuning may choose from, as `instructrec.agents.learners.Learner.space`."""

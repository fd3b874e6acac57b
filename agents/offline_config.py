"""How policies are learned from a log: every setting, by method, and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from instructrec.agents.inputs import MEMORY
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.names import unknown_name

RATIOS = ("position", "prefix")
"""What a logged position's weight is made of: its own probability ratio, or the product with those above it."""


@dataclass(frozen=True, kw_only=True)
class CloneConfig:
    """How SlatePPO's network learns to show what was shown.

    Attributes:
        epochs: Passes over the log.
        minibatch_size: Turns per gradient step.
        learning_rate: Of Adam.
        final_learning_rate: What it falls to, in a straight line, at the end.
        reading_rate: As in `instructrec.agents.slate_config`.
        item_rate: As there.
        max_grad_norm: Gradients longer than this are shortened to it.
        anchor: Weight of the divergence from the policy at the start, per position.
        entropy: Weight of the entropy, per position.
        memory: How many earlier instructions are read.
        prompts: As in `instructrec.agents.slate_config`.
        scorer: The network.

    Raises:
        ValueError: If a setting is out of range.
    """

    epochs: int = 2
    minibatch_size: int = 128
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-4
    reading_rate: float = 0.1
    item_rate: float = 10.0
    max_grad_norm: float = 0.5
    anchor: float = 0.0
    entropy: float = 0.0
    memory: int = MEMORY
    prompts: int = 48_000
    scorer: ScorerConfig = field(default_factory=ScorerConfig)

    def __post_init__(self) -> None:
        for names, low, high in _RANGES:
            for name in names:
                value = getattr(self, name, None)
                if value is not None and not low <= value <= high:
                    range_ = f"{low} or more" if high == math.inf else f"from {low} to {high}"
                    raise ValueError(f"{name} must be {range_}, got {value}")
        ratio = getattr(self, "ratio", RATIOS[0])
        if ratio not in RATIOS:
            raise ValueError(unknown_name("ratio", ratio, RATIOS))
        if not getattr(self, "temperature", 1) > 0:
            raise ValueError(f"temperature must be above 0, got {getattr(self, 'temperature', 1)}")


@dataclass(frozen=True, kw_only=True)
class IPSConfig(CloneConfig):
    """How a policy is learned by weighting what was logged; see `instructrec.agents.offline_losses`.

    Attributes:
        gamma: Discount per turn.
        cap: The largest weight of a logged position.
        ratio: A position's weight: the ratio of its own probability given what is above it ("position"), or the product
            of those down to it ("prefix"), which is unbiased and has few rows left to learn from.
        baseline: Share of what a position was expected to earn that is taken off what it earned. With 1 what did worse
            than expected is shown less, and what was never shown takes its place; with 0 what earned is shown more, and
            nothing is shown less.
        behaviour: Weight of the divergence from who showed the log, per position.
        anchor: As in `CloneConfig`.
        entropy: As there.
    """

    gamma: float = 0.5
    cap: float = 10.0
    ratio: str = RATIOS[0]
    baseline: float = 1.0
    behaviour: float = 0.01
    anchor: float = 0.3
    entropy: float = 0.015


@dataclass(frozen=True, kw_only=True)
class FittedQConfig(CloneConfig):
    """How the worth of items is learned, and a policy that follows it; see `instructrec.agents.item_values`.

    Attributes:
        gamma: Discount per turn.
        rounds: Rounds of fitting, a pass over the log each: what comes later is foreseen by the round before.
        value_rate: Of Adam, for the worth of items; falls in a straight line to a tenth in every round.
        conservatism: Weight of a penalty on worth where nothing was logged.
        temperature: The policy becomes the softmax of worth over this, in standard deviations of what a position
            earned in the log: lower is surer.
        anchor: As in `CloneConfig`; what was never shown may be foreseen to be worth anything.
    """

    gamma: float = 0.5
    rounds: int = 4
    value_rate: float = 1e-3
    conservatism: float = 0.0
    temperature: float = 0.05
    anchor: float = 0.1


@dataclass(frozen=True, kw_only=True)
class DRConfig(IPSConfig):
    """How a policy is learned by foreseen rewards, put right by what was logged.

    Attributes:
        folds: Parts of the log: each part's rewards are foreseen by a model that was fitted to the others.
        rounds: Passes over the log in fitting each model.
        value_rate: As in `FittedQConfig`.
    """

    folds: int = 2
    rounds: int = 2
    value_rate: float = 1e-3


OfflineConfig = CloneConfig | IPSConfig | FittedQConfig | DRConfig

_RANGES: tuple[tuple[tuple[str, ...], float, float], ...] = (
    (("epochs", "minibatch_size", "memory", "rounds", "cap"), 1, math.inf),
    (("folds",), 2, math.inf),
    (("prompts", "learning_rate", "final_learning_rate", "value_rate", "reading_rate", "item_rate"), 0, math.inf),
    (("anchor", "entropy", "behaviour", "conservatism", "max_grad_norm"), 0, math.inf),
    (("gamma", "baseline"), 0, 1),
)

"""Fitting `instructrec.agents.click_networks` to a log: four losses, one way of learning.

| loss | what it fits |
|---|---|
| ``cross_entropy`` | whether each shown item is clicked; positions and clicks above are learned beside |
| ``squared_error`` | the same, by the squared difference to 0 or 1 |
| ``like_dislike`` | clicked or passed over, pointwise: only positions down to the last click, since those below may not have been looked at |
| ``cloning`` | behaviour cloning weighted by reward: the log-likelihood of each clicked item among the whole catalogue |

References:
    Craswell et al. (2008), An experimental comparison of click position-bias models, WSDM; Joachims et al. (2005),
    Accurately interpreting clickthrough data as implicit feedback, SIGIR (what is passed over on the way to a click);
    Pomerleau (1991), Efficient training of artificial neural networks for autonomous navigation (behaviour cloning).
"""  # noqa: E501 (a table has long rows)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from instructrec.agents.baselines import SkipConsumed
from instructrec.agents.click_networks import (
    ClickNetwork,
    Cross,
    NetworkRanker,
    Product,
    SequenceTower,
    SessionTower,
)
from instructrec.agents.reading import SessionReader
from instructrec.agents.scorer import ScorerInputs
from instructrec.logs import Log

Progress = Callable[[int, int], None]


class Shape(StrEnum):
    """How a network makes queries and compares them with items."""

    TWO_TOWER = "two_tower"
    CROSS = "cross"
    SEQUENCE = "sequence"


class Loss(StrEnum):
    """What a network is fitted to; the module says how each is meant."""

    CROSS_ENTROPY = "cross_entropy"
    SQUARED_ERROR = "squared_error"
    LIKE_DISLIKE = "like_dislike"
    CLONING = "cloning"


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """How large a network is, and how it learns.

    Attributes:
        width: Width of queries and items, 8 or more.
        hidden: Width of hidden layers, 8 or more.
        epochs: Passes over the log, 1 or more.
        minibatch_size: Turns per gradient step, 1 or more.
        learning_rate: Of Adam, above 0; falls in a straight line to a tenth.
        weight_decay: Of the network's weights, decoupled, 0 or more.

    Raises:
        ValueError: If a setting is out of range.
    """

    width: int = 64
    hidden: int = 128
    epochs: int = 3
    minibatch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.1

    def __post_init__(self) -> None:
        for name, low in (("width", 8), ("hidden", 8), ("epochs", 1), ("minibatch_size", 1), ("weight_decay", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be {low} or more, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")


@dataclass(frozen=True, kw_only=True)
class SequenceConfig(NetworkConfig):
    """How a network attends to what was consumed (Kang and McAuley 2018).

    Attributes:
        length: How many consumed items are looked at, 1 or more; the paper takes 50 or 200.
        heads: Attention heads, 1 or more; they divide ``width``.
        blocks: Blocks of attention, 1 or more; the paper takes 2.

    Raises:
        ValueError: If a setting is out of range.
    """

    length: int = 32
    heads: int = 2
    blocks: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.length, self.heads, self.blocks) < 1 or self.width % self.heads:
            raise ValueError(
                "length, heads and blocks must be 1 or more and heads divide width, "
                f"got {self.length}, {self.heads}, {self.blocks} and width {self.width}"
            )


@dataclass(frozen=True)
class ClickModel:
    """A network fitted to the clicks of a log.

    Attributes:
        reader: What the network sees of a session.
        config: Sizes, and how to learn; a `SequenceConfig` where the network attends to a sequence.
        shape: Which network.
        loss: What it is fitted to.
    """

    reader: SessionReader
    config: NetworkConfig = field(default_factory=NetworkConfig)
    shape: Shape = Shape.TWO_TOWER
    loss: Loss = Loss.CROSS_ENTROPY

    def fit(self, log: Log, *, seed: int = 0, progress: Progress | None = None) -> SkipConsumed:
        """Returns the fitted ranker.

        Args:
            log: What was shown and clicked.
            seed: Of weights and minibatches.
            progress: Called with (done, total).
        """
        reader, settings = self.reader, self.config
        luck = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = self._network(log.slates.shape[1])
        # Of the turns without a click some losses learn nothing.
        useful = np.arange(len(log))
        if self.loss in (Loss.LIKE_DISLIKE, Loss.CLONING):
            useful = np.flatnonzero(log.clicked.any(axis=1))
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        batches = -(-len(useful) // settings.minibatch_size)
        total = settings.epochs * batches
        for epoch in range(settings.epochs):
            order = useful[torch.randperm(len(useful), generator=luck).numpy()]
            for batch in range(batches):
                done = epoch * batches + batch
                optimiser.param_groups[0]["lr"] = settings.learning_rate * (1 - 0.9 * done / total)
                rows = order[batch * settings.minibatch_size : (batch + 1) * settings.minibatch_size]
                loss = self._loss(network, log.rows(rows))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            if progress is not None:
                progress((epoch + 1) * batches, total)
        return SkipConsumed(NetworkRanker(network.eval(), reader), reader.features.num_items)

    def _network(self, slate_size: int) -> ClickNetwork:
        features, settings = self.reader.features, self.config
        sizes: dict[str, Any] = {
            "encoder_width": self.reader.encoder.width,
            "hidden": settings.hidden,
            "width": settings.width,
        }
        session: nn.Module
        if self.shape is Shape.SEQUENCE:
            if not isinstance(settings, SequenceConfig):
                raise TypeError(f"a sequence network is set by a SequenceConfig, got {type(settings).__name__}")
            session = SequenceTower(
                features, **sizes, length=settings.length, heads=settings.heads, blocks=settings.blocks
            )
        else:
            session = SessionTower(features, **sizes)
        match = Cross(settings.width, settings.hidden) if self.shape is Shape.CROSS else Product()
        return ClickNetwork(
            features, session, match, hidden=settings.hidden, width=settings.width, slate_size=slate_size
        )

    def _loss(self, network: ClickNetwork, log: Log) -> Tensor:
        reader = self.reader
        inputs = reader.see(log.observations)
        items = torch.from_numpy(log.slates.astype(np.int64))
        clicked = torch.from_numpy(log.clicked.astype(np.float32))
        if self.loss is Loss.CLONING:
            return _cloning(network, inputs, items, clicked)
        scores = network.among(inputs, items)
        if self.loss is Loss.SQUARED_ERROR:
            return nn.functional.mse_loss(network.beside(scores, clicked), clicked)
        if self.loss is Loss.CROSS_ENTROPY:
            return nn.functional.binary_cross_entropy_with_logits(network.beside(scores, clicked), clicked)
        # Down to the last click: from the end, there is still a click to come, or it is here.
        looked = (torch.cumsum(clicked.flip(1), dim=1).flip(1) > 0).to(scores.dtype)
        losses = nn.functional.binary_cross_entropy_with_logits(scores, clicked, reduction="none")
        return (losses * looked).sum() / looked.sum()


def _cloning(network: ClickNetwork, inputs: ScorerInputs, items: Tensor, clicked: Tensor) -> Tensor:
    """Returns minus the mean log-likelihood of the clicked items, each among all items."""
    likely = torch.log_softmax(network(inputs), dim=1).gather(1, items)
    return -(likely * clicked).sum() / clicked.sum()

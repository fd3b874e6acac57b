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
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from instructrec.agents.candidates import Candidates, candidate_scores, marks_of
from instructrec.agents.reading import SessionReader
from instructrec.agents.scorer import SlateScorer
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.agents.slate_policy import SlateRanker, parameter_groups
from instructrec.logs import Log

_SETTLING_RATE = 0.03

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """How the supervised ranker learns.

    Attributes:
        epochs: Passes over the log.
        minibatch_size: Turns per gradient step.
        learning_rate: Of Adam; falls in a straight line to a tenth.
        weight_decay: Of the network's weights, decoupled.
        settling: Gradient steps at the start, at most a tenth of all, in which only the odds of clicks are learned:
            scores at the start are those of a policy, far too sure of clicks, and were they learned at once, what is
            good in them would be unlearned first.
        reading_rate: As in `instructrec.agents.slate_config`.
        item_rate: As there.
        scorer: The network.
    """

    epochs: int = 3
    minibatch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    settling: int = 100
    reading_rate: float = 0.1
    item_rate: float = 10.0
    scorer: ScorerConfig = field(default_factory=ScorerConfig)


def _click_loss(scorer: SlateScorer, reader: SessionReader, log: Log) -> Tensor:
    """Returns the mean log-loss of the clicks in some turns."""
    inputs = reader.see(log.observations)
    items = torch.from_numpy(log.slates.astype(np.int64))
    clicked = torch.from_numpy(log.clicked.astype(np.float32))
    among = Candidates(items, marks_of(inputs, items, len(scorer.table)))
    query = scorer.query(scorer.state(inputs), inputs)
    scores = candidate_scores(scorer, query, inputs, among, among_all=True)
    return nn.functional.binary_cross_entropy_with_logits(scorer.click_odds(scores, clicked), clicked)


@dataclass(frozen=True)
class Supervised:
    """Fits SlatePPO's network to the clicks of a log.

    Attributes:
        reader: What the network sees of a session.
        config: How to learn.
    """

    reader: SessionReader
    config: SupervisedConfig = field(default_factory=SupervisedConfig)

    def fit(self, log: Log, *, seed: int = 0, progress: Progress | None = None) -> SlateRanker:
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
            scorer = SlateScorer(
                reader.features,
                encoder_width=reader.encoder.width,
                memory=reader.memory,
                slate_size=log.slates.shape[1],
                config=settings.scorer,
            )
        batches = -(-len(log) // settings.minibatch_size)
        total = settings.epochs * batches
        settling = min(settings.settling, total // 10)
        odds = list(scorer.click_odds.parameters())
        known = {id(parameter) for parameter in (*odds, *scorer.critic.parameters())}
        groups: list[dict[str, Any]] = [{"params": odds, "share": 1.0, "weight_decay": 0.0}]
        for group in parameter_groups(scorer, reading_rate=settings.reading_rate, item_rate=settings.item_rate):
            rest = [parameter for parameter in group["params"] if id(parameter) not in known]
            groups.append({"params": rest, "share": group["share"]})
        optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        for epoch in range(settings.epochs):
            order = torch.randperm(len(log), generator=luck).numpy()
            for batch in range(batches):
                done = epoch * batches + batch
                rate = settings.learning_rate * (1 - 0.9 * done / total)
                for group in optimiser.param_groups[1:]:
                    group["lr"] = rate * group["share"] if done >= settling else 0.0
                optimiser.param_groups[0]["lr"] = rate if done >= settling else _SETTLING_RATE
                rows = order[batch * settings.minibatch_size : (batch + 1) * settings.minibatch_size]
                loss = _click_loss(scorer, reader, log.rows(rows))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                if progress is not None:
                    progress(done + 1, total)
        return SlateRanker(scorer.eval(), reader)

"""LambdaMART: boosted trees over what is known of a session and an item, fitted by the library *LightGBM*.

Nothing is parsed: of the words it has their similarity with the item's text, and how far the item meets the wishes
that the agent reads from them. Where people look is learned beside the trees, as the library does, and left out when
ranking. Trees are sure of themselves where nothing was ever shown, so that they order only what the policy that showed
the logged slates puts first.

References:
    Burges (2010), From RankNet to LambdaRank to LambdaMART: an overview, Microsoft Research; Ke et al. (2017),
    LightGBM: a highly efficient gradient boosting decision tree, NeurIPS; Hu et al. (2019), Unbiased LambdaMART, WWW,
    arXiv 1809.05818 (positions).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from instructrec.agents.baselines import SkipConsumed
from instructrec.agents.candidates import marks_of
from instructrec.agents.extras import extra_module
from instructrec.agents.features import ItemFeatures
from instructrec.agents.reading import SessionReader
from instructrec.agents.recording import Behaviour
from instructrec.agents.scorer import ScorerInputs
from instructrec.arrays import Floats, Ints
from instructrec.logs import Log
from instructrec.policies import best_first
from instructrec.sessions import Observation

Progress = Callable[[int, int], None]
_ROWS = 256


@dataclass(frozen=True, kw_only=True)
class LambdaMARTConfig:
    """How the trees are grown (Ke et al. 2017).

    Attributes:
        trees: How many trees, 1 or more.
        leaves: Leaves of a tree at most, 2 or more.
        learning_rate: What each tree counts, above 0.
        least_rows: Shown items that a leaf holds at least, 1 or more.
        first_stage: How many items the trees order, those that `instructrec.agents.recording.Behaviour` puts first;
            the others follow in its order. 1 or more.

    Raises:
        ValueError: If a setting is out of range.
    """

    trees: int = 150
    leaves: int = 15
    learning_rate: float = 0.1
    least_rows: int = 100
    first_stage: int = 500

    def __post_init__(self) -> None:
        for name, low in (("trees", 1), ("leaves", 2), ("least_rows", 1), ("first_stage", 1)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be {low} or more, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")


def matches(inputs: ScorerInputs, features: ItemFeatures) -> Tensor:
    """Returns directions in the items' table whose products with an item say how a session meets it.

    They are: similarity of the instruction with the item's text; the instruction's wishes, and those of earlier ones;
    taste from the visible past; what was liked there; what was clicked; what was shown.

    Returns:
        [batch, num_matches, width]; those that nothing is known of are 0.
    """
    table_width, blocks = features.width, features.blocks
    found = torch.zeros(inputs.batch, 7, table_width)
    encoder_width = len(features.projection)
    if "text" in blocks:
        found[:, 0, blocks["text"]] = inputs.text[:, :encoder_width] @ torch.from_numpy(features.projection)
    if features.wishes is not None:
        wishes = features.wishes.num_wishes
        found[:, 1, :wishes] = inputs.text[:, -1 - wishes : -1]
        found[:, 1, : features.num_values] += inputs.text[:, encoder_width : encoder_width + features.num_values]
        found[:, 2, :wishes] = inputs.earlier[:, :, -1 - wishes : -1].sum(dim=1)
    if features.factors is not None:
        found[:, 3, blocks["factors"]] = inputs.profile[:, table_width : table_width + features.factors.rank]
    found[:, 4], found[:, 5], found[:, 6] = inputs.profile[:, :table_width], inputs.clicked, inputs.shown
    return found


@dataclass(frozen=True)
class _FirstStage:
    """Ranks as the first stage does.

    Attributes:
        first: The first stage.
    """

    first: Behaviour

    def scores(self, observation: Observation) -> Floats:
        """Returns scores [batch, num_candidates]."""
        return self.first.ranked(observation)


@dataclass(frozen=True)
class _Trees:
    """Ranks by fitted trees what the first stage puts first."""

    trees: Any
    reader: SessionReader
    first: Behaviour
    size: int

    def scores(self, observation: Observation) -> Floats:
        """Returns scores [batch, num_candidates]."""
        parts = [
            self._scores(observation.rows(slice(first, first + _ROWS))) for first in range(0, observation.batch, _ROWS)
        ]
        return np.concatenate(parts)

    def _scores(self, observation: Observation) -> Floats:
        first = self.first.ranked(observation)
        places = best_first(first, min(self.size, first.shape[1]))
        items = places if observation.candidates is None else np.take_along_axis(observation.candidates, places, axis=1)
        rows = item_rows(self.reader, observation, items)
        found = self.trees.predict(rows, num_threads=1).reshape(places.shape)
        # Below all that the trees order, the others keep their own order.
        scores = first - first.max(axis=1, keepdims=True) + found.min(axis=1, keepdims=True) - 1
        np.put_along_axis(scores, places, found, axis=1)
        return np.asarray(scores)


def item_rows(reader: SessionReader, observation: Observation, items: Ints) -> npt.NDArray[np.float32]:
    """Returns what the trees see of items, float32 [batch × num_shown, num_columns].

    Args:
        reader: What is seen of sessions.
        observation: The sessions.
        items: Item numbers, [batch, num_shown].
    """
    features = reader.features
    inputs = reader.see(observation)
    chosen = torch.from_numpy(items.astype(np.int64))
    own = torch.from_numpy(features.table)[chosen]  # [batch, num_shown, width]
    met = torch.einsum("bqw,bkw->bkq", matches(inputs, features), own)
    marks = marks_of(inputs, chosen, features.num_items).to(torch.float32)
    text = features.blocks.get("text", slice(features.width, features.width))
    facts = inputs.facts[:, None].expand(-1, items.shape[1], -1)
    columns = torch.cat([met, marks, facts, own[:, :, : text.start]], dim=2)
    return columns.reshape(-1, columns.shape[2]).numpy()


@dataclass(frozen=True)
class LambdaMART:
    """Boosted trees that order shown items so that the clicked ones come first.

    Attributes:
        reader: What is seen of sessions.
        config: How the trees are grown.
    """

    reader: SessionReader
    config: LambdaMARTConfig = field(default_factory=LambdaMARTConfig)

    def fit(self, log: Log, *, seed: int = 0, progress: Progress | None = None) -> SkipConsumed:
        """Returns the fitted ranker; one that ranks like the first stage where nothing was clicked.

        Args:
            log: What was shown and clicked.
            seed: Of the trees.
            progress: Called with (trees, all).

        Raises:
            ImportError: If the library *LightGBM* is not installed.
        """
        lightgbm, settings = extra_module("lightgbm", "baselines"), self.config
        num_items, first = self.reader.features.num_items, Behaviour(self.reader.features, self.reader.encoder)
        # Only slates with clicked items and others say what should come before what.
        log = log.rows(np.flatnonzero(log.clicked.any(axis=1) & ~log.clicked.all(axis=1)))
        if not len(log):
            return SkipConsumed(_FirstStage(first), num_items)
        parts = []
        for start in range(0, len(log), _ROWS):
            some = log.rows(slice(start, start + _ROWS))
            parts.append(item_rows(self.reader, some.observations, some.slates))
        slate_size = log.slates.shape[1]
        data = lightgbm.Dataset(
            np.concatenate(parts),
            log.clicked.ravel().astype(np.int32),
            group=np.full(len(log), slate_size),
            position=np.tile(np.arange(slate_size), len(log)),
        )
        grown = {
            "objective": "lambdarank",
            "num_leaves": settings.leaves,
            "learning_rate": settings.learning_rate,
            "min_data_in_leaf": settings.least_rows,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbose": -1,
        }
        told = [] if progress is None else [lambda at: progress(at.iteration + 1, settings.trees)]
        trees = lightgbm.train(grown, data, settings.trees, callbacks=told)
        return SkipConsumed(_Trees(trees, self.reader, first, settings.first_stage), num_items)

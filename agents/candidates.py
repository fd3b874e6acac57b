"""A few candidates instead of the whole catalogue while training: drawn by similarity, past, popularity and chance.

Most of them are shared by all sessions of an iteration, so that scoring them stays one matrix product; the rest are
each session's own. The policy's probabilities are those over the candidates it drew from, and their numbers are kept
beside the slates, so that ratios compare like with like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from instructrec.agents.features import ItemFeatures
from instructrec.agents.row_cache import RowTable, row_keys
from instructrec.agents.scorer import MARKS, Query, ScorerInputs, SlateScorer
from instructrec.agents.slate_distribution import UNREACHABLE


@dataclass(frozen=True)
class Candidates:
    """Which items a batch may be shown: the shared ones first, then each row's own.

    Attributes:
        shared: Item numbers, int64 [num_shared].
        own: Item numbers, int64 [batch, num_own]; -1 where a row has fewer.
        own_marks: How often each mark applies to a row's own items, int8 [batch, num_own, MARKS].
    """

    shared: Tensor
    own: Tensor
    own_marks: Tensor

    def items(self, places: Tensor) -> Tensor:
        """Turns places into item numbers, [batch, slate_size]."""
        num_shared = len(self.shared)
        own = self.own.gather(1, (places - num_shared).clamp_min(0)) if self.own.shape[1] else places
        return (
            torch.where(places < num_shared, self.shared[places.clamp_max(num_shared - 1)], own) if num_shared else own
        )


def candidate_scores(scorer: SlateScorer, query: Query, inputs: ScorerInputs, candidates: Candidates) -> Tensor:
    """Returns the candidates' scores, [batch, num_shared + num_own]; `UNREACHABLE` where a row has fewer."""
    shared, own = candidates.shared, candidates.own
    scores = query.features @ scorer.table[shared].T
    known = own.clamp_min(0)
    own_scores = torch.einsum("bd,bmd->bm", query.features, scorer.table[known])
    own_scores = own_scores + torch.einsum("bmk,bk->bm", candidates.own_marks.to(scores.dtype), query.marks)
    if scorer.item_bias is not None:
        bias = scorer.item_bias
        # Not by indexing: its gradient depends on which thread comes first.
        scores = scores + bias.index_select(0, shared)
        own_scores = own_scores + bias.index_select(0, known.flatten()).view_as(known)
    own_scores = own_scores.masked_fill(own < 0, UNREACHABLE)
    if len(shared):
        place = torch.full((len(scorer.table),), -1, dtype=torch.int64)
        place[shared] = torch.arange(len(shared))
        where = place[inputs.marked]
        bonus = torch.einsum("bmk,bk->bm", inputs.mark_kinds, query.marks) * (where >= 0)
        scores = scores.scatter_add(1, where.clamp_min(0), bonus)
    return torch.cat([scores, own_scores], dim=1)


def marks_of(inputs: ScorerInputs, items: Tensor, num_items: int) -> Tensor:
    """Returns how often each mark applies to each row's ``items`` [batch, num_own], int8 [batch, num_own, MARKS]."""
    found = torch.empty(*items.shape, MARKS, dtype=torch.int8)
    counts = torch.empty(len(items), num_items, dtype=torch.int8)
    for kind in range(MARKS):
        counts.zero_().scatter_add_(1, inputs.marked, inputs.mark_kinds[:, :, kind].to(torch.int8))
        found[:, :, kind] = counts.gather(1, items.clamp_min(0))
    return found


class CandidateDraw:
    """Draws candidates for the sessions of a training run.

    Args:
        features: The items.
        popularity: How often each item was consumed, [num_items].
        num_candidates: How many there are at most: a fifth of them each session's own, half of those by similarity of
            the item texts to the instruction and half by the past; of the shared ones half by popularity, half by
            chance.

    Raises:
        ValueError: If there are too few items for a choice.
    """

    def __init__(self, features: ItemFeatures, popularity: npt.NDArray[np.float32], num_candidates: int) -> None:
        if not 10 <= num_candidates <= features.num_items:
            raise ValueError(
                f"candidates must be from 10 to the number of items ({features.num_items}), got {num_candidates}; "
                "None ranks the whole catalogue"
            )
        self._features = features
        self._num_own = num_candidates // 5
        self._num_shared = num_candidates - self._num_own
        self._popular = np.argsort(-popularity, kind="stable")
        half = max(self._num_own // 2, 1)
        self._by_text, self._by_past = RowTable(half), RowTable(max(self._num_own - half, 1))
        self._in_shared = np.zeros(features.num_items, np.bool_)
        self.shared = torch.empty(0, dtype=torch.int64)
        """This iteration's shared candidates, ascending."""

    def begin(self, rng: np.random.Generator) -> None:
        """Draws the shared candidates of an iteration."""
        popular = self._popular[: self._num_shared // 2]
        rest = np.setdiff1d(np.arange(self._features.num_items), popular)
        chance = rng.choice(rest, self._num_shared - len(popular), replace=False)
        shared = np.sort(np.concatenate([popular, chance]))
        self._in_shared[:] = False
        self._in_shared[shared] = True
        self.shared = torch.from_numpy(shared)

    def draw(self, inputs: ScorerInputs) -> Candidates:
        """Returns the candidates of a batch."""
        own = np.concatenate([self._similar(inputs), self._liked(inputs)], axis=1)
        # An item is a candidate once: the shared ones stay shared, and of two equal own ones the first stays.
        order = np.argsort(own, axis=1, kind="stable")
        ordered = np.take_along_axis(own, order, axis=1)
        twice = np.zeros(own.shape, np.bool_)
        np.put_along_axis(twice[:, :], order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
        items = torch.from_numpy(np.where(twice | self._in_shared[own], -1, own))
        return Candidates(self.shared, items, marks_of(inputs, items, self._features.num_items))

    def _similar(self, inputs: ScorerInputs) -> npt.NDArray[np.int64]:
        features = self._features
        if "text" not in features.blocks:
            return np.empty((inputs.batch, 0), np.int64)

        def nearest(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
            query = inputs.text.numpy()[rows, : len(features.projection)] @ features.projection
            return query @ features.table[:, features.blocks["text"]].T

        return self._remembered(self._by_text, inputs.text.numpy(), nearest)

    def _liked(self, inputs: ScorerInputs) -> npt.NDArray[np.int64]:
        features = self._features
        if features.factors is None:
            return np.empty((inputs.batch, 0), np.int64)
        taste = slice(features.width, features.width + features.factors.rank)

        def nearest(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
            stars = inputs.profile.numpy()[rows][:, taste] @ features.table[:, features.blocks["factors"]].T
            return stars + features.quality_scale * features.table[:, features.blocks["quality"]].T

        return self._remembered(self._by_past, inputs.profile.numpy(), nearest)

    def _remembered(self, known: RowTable, vectors: npt.NDArray[np.float32], nearest: object) -> npt.NDArray[np.int64]:
        """Returns each row's nearest items; rows seen before are not worked out again."""
        keys = row_keys(np.ascontiguousarray(vectors[:, :32]).view(np.uint32))
        places = known.find(keys)
        if (places < 0).any():
            new, first = np.unique(keys[places < 0], return_index=True)
            scores = nearest(np.flatnonzero(places < 0)[first])  # type: ignore[operator]
            # Item numbers below 2^24 are whole in float32, which is what the table keeps.
            best = torch.topk(torch.from_numpy(np.ascontiguousarray(scores)), known.vectors.shape[1], dim=1).indices
            known.add(new, best.numpy().astype(np.float32))
            places = known.find(keys)
        return known.vectors[places].astype(np.int64)

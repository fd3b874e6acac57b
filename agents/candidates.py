"""A few candidates instead of the whole catalogue while training: drawn by request, past, popularity and chance.

An iteration's candidates are the same for all its sessions, so that scoring them is one matrix product: what some of
the sessions ask for, what suits the past of some, what many people know, and chance. The policy's probabilities are
those over the candidates it drew from, so that ratios compare like with like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from instructrec.agents.features import ItemFeatures
from instructrec.agents.scorer import MARKS, Query, ScorerInputs, SlateScorer
from instructrec.arrays import is_shared
from instructrec.candidates import TheseItems
from instructrec.sessions import World


@dataclass(frozen=True)
class Candidates:
    """Which items a batch may be shown.

    Attributes:
        items: Their numbers, int64: [num_candidates] where all rows have the same, else [batch, num_candidates].
        marks: How often each mark applies to a row's own items, int8 [batch, num_candidates, MARKS]; None where all
            rows have the same.
    """

    items: Tensor
    marks: Tensor | None = None

    def at(self, places: Tensor) -> Tensor:
        """Turns places into item numbers, [batch, slate_size]."""
        return self.items[places] if self.marks is None else self.items.gather(1, places)

    def rows(self, rows: Tensor) -> Candidates:
        """Returns those of some of the rows."""
        return self if self.marks is None else Candidates(self.items[rows], self.marks[rows])


def scores_among(scorer: SlateScorer, query: Query, inputs: ScorerInputs, among: Candidates | None) -> Tensor:
    """Returns the scores of what may be ranked, [batch, num_candidates]; None stands for the whole catalogue."""
    return scorer.scores(query, inputs) if among is None else candidate_scores(scorer, query, inputs, among)


def own_candidates(inputs: ScorerInputs, items: npt.NDArray[np.int32], num_items: int) -> Candidates:
    """Returns as candidates what each row's observation names, int32 [batch, num_candidates]."""
    if is_shared(items):
        return Candidates(torch.from_numpy(items[0].astype(np.int64)))
    own = torch.from_numpy(items.astype(np.int64))
    return Candidates(own, marks_of(inputs, own, num_items))


def candidate_scores(
    scorer: SlateScorer, query: Query, inputs: ScorerInputs, candidates: Candidates, *, among_all: bool = False
) -> Tensor:
    """Returns the candidates' scores, [batch, num_candidates].

    Args:
        scorer: The network.
        query: What the actor wants.
        inputs: What it saw.
        candidates: The items to score.
        among_all: Whether they are measured against all items rather than against each other: where they are not what
            there is to choose from.
    """
    items, marks, bias = candidates.items, candidates.marks, scorer.item_bias
    # Not by indexing: its gradient depends on which thread comes first.
    own = None if bias is None else bias.index_select(0, items.flatten()).view_as(items)
    best = scorer.best_of_all(query) if among_all else None
    if marks is not None:
        rows = scorer.table[items]
        fits = scorer.fits(query, rows)
        scores = torch.einsum("bd,bmd->bm", query.features, rows)
        scores = scores + scorer.met(fits, scorer.best(fits) if best is None else best)
        scores = scores + torch.einsum("bmk,bk->bm", marks.to(scores.dtype), query.marks)
        return scores if own is None else scores + own
    table = scorer.table.index_select(0, items)
    fits = scorer.fits(query, table)
    scores = query.features @ table.T if own is None else torch.addmm(own, query.features, table.T)
    scores = scores + scorer.met(fits, scorer.best(fits) if best is None else best)
    place = torch.full((len(scorer.table),), -1, dtype=torch.int64)
    place[items] = torch.arange(len(items))
    where = place[inputs.marked]
    bonus = torch.einsum("bmk,bk->bm", inputs.mark_kinds, query.marks) * (where >= 0)
    return scores.scatter_add_(1, where.clamp_min(0), bonus)


def marks_of(inputs: ScorerInputs, items: Tensor, num_items: int) -> Tensor:
    """Returns how often each mark applies to each row's ``items`` [batch, num_own], int8 [batch, num_own, MARKS]."""
    found = torch.empty(*items.shape, MARKS, dtype=torch.int8)
    counts = torch.empty(len(items), num_items, dtype=torch.int8)
    for kind in range(MARKS):
        counts.zero_().scatter_add_(1, inputs.marked, inputs.mark_kinds[:, :, kind].to(torch.int8))
        found[:, :, kind] = counts.gather(1, items)
    return found


@torch.no_grad()
def candidate_recall(
    scorer: SlateScorer, inputs: ScorerInputs, candidates: Candidates, rankable: Tensor | None = None
) -> float:
    """Returns which share of the slates that would be best of all items stands among shared candidates, 0 to 1.

    Args:
        scorer: The network.
        inputs: What it saw.
        candidates: The shared candidates.
        rankable: The items that may be shown; all when omitted.
    """
    scores = scorer(inputs)
    if rankable is not None:
        scores = torch.full_like(scores, -torch.inf).index_copy_(1, rankable, scores.index_select(1, rankable))
    best = scores.topk(min(scorer.slate_size, len(scorer.table)), dim=1).indices
    return float(torch.isin(best, candidates.items).float().mean())


class CandidateDraw:
    """Draws candidates for the sessions of a training run.

    Args:
        features: The items.
        popularity: How often each item was consumed, [num_items].
        num_candidates: How many: a quarter each by what the sessions ask for, by their past, by popularity and by
            chance, which also makes up for what the others lack; all items where there are no more than that.
        rankable: The items that may be drawn; all when omitted.
    """

    def __init__(
        self,
        features: ItemFeatures,
        popularity: npt.NDArray[np.float32],
        num_candidates: int,
        rankable: npt.NDArray[np.int32] | None = None,
    ) -> None:
        self.rankable = None if rankable is None else torch.from_numpy(rankable.astype(np.int64))
        table = features.table
        if rankable is not None:
            table, popularity = table[rankable], popularity[rankable]
        num_candidates = min(num_candidates, len(table))
        self._features, self._table = features, torch.from_numpy(table)
        self._projection = torch.from_numpy(features.projection)
        self._number, self._share = num_candidates, num_candidates // 4
        self._popular = np.argsort(-popularity, kind="stable")

    def draw(self, inputs: ScorerInputs, rng: np.random.Generator) -> Candidates:
        """Returns candidates for sessions as they are now, in the order of those that may be drawn."""
        asked, liked = self._asked(inputs), self._liked(inputs)
        chosen = np.zeros(len(self._table), np.bool_)
        for ranked in (_in_turns(asked, 2 * self._share), _in_turns(liked, 2 * self._share), self._popular):
            chosen[ranked[~chosen[ranked]][: self._share]] = True
        rest = np.flatnonzero(~chosen)
        chosen[rng.choice(rest, self._number - (len(chosen) - len(rest)), replace=False)] = True
        items = torch.from_numpy(np.flatnonzero(chosen))
        return Candidates(items if self.rankable is None else self.rankable[items])

    def _asked(self, inputs: ScorerInputs) -> Tensor | None:
        """Returns how well items fit the instructions, [batch, num_rankable]; None where nothing tells."""
        features, known = self._features, self._features.wishes
        scores = None
        if "text" in features.blocks:
            query = inputs.text[:, : len(self._projection)] @ self._projection
            scores = query @ self._table[:, features.blocks["text"]].T
        if known is not None:
            wishes = inputs.text[:, -1 - known.num_wishes : -1] @ self._table[:, : known.num_wishes].T
            either = inputs.text[:, -1 - known.num_wishes - known.num_values : -1 - known.num_wishes]
            wishes = wishes + either @ (self._table[:, : known.num_values] > 0).float().T
            scores = wishes if scores is None else scores + wishes
        return scores

    def _liked(self, inputs: ScorerInputs) -> Tensor | None:
        """Returns stars foreseen from the visible past, [batch, num_rankable]; None where nothing tells."""
        features = self._features
        if features.factors is None:
            return None
        taste = inputs.profile[:, features.width : features.width + features.factors.rank]
        stars = taste @ self._table[:, features.blocks["factors"]].T
        return stars + features.quality_scale * self._table[:, features.blocks["quality"]].T


def draw_for(world: World, features: ItemFeatures, num_candidates: int | None) -> CandidateDraw | None:
    """Returns what draws the candidates of all sessions of a training world.

    Args:
        world: Where; it may offer a part of its items, the same every turn.
        features: The items.
        num_candidates: How many; None for all that there are.

    Returns:
        None where there is nothing to draw: all items are ranked, or each session has candidates of its own.
    """
    size = features.num_items if num_candidates is None else num_candidates
    if isinstance(world.candidates, TheseItems):
        return CandidateDraw(features, world.catalogue.popularity, size, world.candidates.items)
    if world.candidates is not None or size >= features.num_items:
        return None
    return CandidateDraw(features, world.catalogue.popularity, size)


def _in_turns(scores: Tensor | None, number: int) -> npt.NDArray[np.int64]:
    """Returns about ``number`` distinct items or more: every row's best first, then every row's second best."""
    if scores is None:
        return np.empty(0, np.int64)
    each = min(-(-2 * number // len(scores)), scores.shape[1])
    ranked = torch.topk(scores, each, dim=1).indices.T.flatten().numpy()
    return ranked[np.sort(np.unique(ranked, return_index=True)[1])]

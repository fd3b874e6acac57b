"""What an agent's first slates teach: a regression in place of thousands of gradient steps.

An agent that has read prompts knows from the start what is asked for, and nothing of what people like. That a film is
a favourite, or that the third comedy in a row bores, is worth a few points of score, and a policy gradient finds it
item by item, from rewards that are mostly about other things. A logistic regression finds it at once. The log-odds
that an item brings a reward are taken to be a multiple of the score that it was shown for, and of what that left out:
parts of the score that deserve more weight, likeness to what the session has seen, and an effect of the item's own.
Before any slate the weights are thought to be those that the network starts with: of what its slates did not try, of
showing an item once more above all, it goes on thinking what it thought.
What was found is written into the network's weights, which the policy gradient then improves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from instructrec.agents.click_regression import fit_clicks
from instructrec.agents.scorer import Query, ScorerInputs, SlateScorer

POINTS = 5.0
"""Points of score per unit of log-odds: the policy is that much surer than a click is."""
_ITEM_EFFECT = 0.3
"""Prior standard deviation of an item's own effect, in log-odds."""
_NEWTON_STEPS = 12
_KNOWN = ("sets", "popularity", "quality")
"""Features that all items share; the steps of numbers would be too many for few slates."""
_PARTS = 5
"""The score but for marks, the slate's mean of it, and three parts of it: wishes, stars and similarity."""
_SUMMARIES = 3
"""What a session has seen, summed up: clicked, shown, and liked before it began."""


class FirstSlates:
    """Slates of a network at its start, and which of their items brought a reward."""

    def __init__(self) -> None:
        self._parts: list[tuple[npt.NDArray[Any], ...]] = []

    @torch.no_grad()
    def add(
        self, scorer: SlateScorer, query: Query, inputs: ScorerInputs, slates: Tensor, scores: Tensor, paid: Tensor
    ) -> None:
        """Notes slates and what they brought.

        Args:
            scorer: The network at its start.
            query: What it wanted.
            inputs: What it saw.
            slates: What was shown, int64 [batch, slate_size].
            scores: The shown items' scores, [batch, slate_size].
            paid: Which of them brought a reward above 0, bool [batch, slate_size].
        """
        features = _features(scorer, query, inputs, slates, scores)
        self._parts.append((features.numpy(), slates.numpy().astype(np.int32), paid.numpy()))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Returns all that was noted: ``features``, ``items`` and ``paid``, each [num_slates, slate_size, ...]."""
        joined = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        return dict(zip(("features", "items", "paid"), joined, strict=True)) if self._parts else {}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Goes on where `arrays` was called."""
        self._parts = [(arrays["features"], arrays["items"], arrays["paid"])] if arrays else []

    @torch.no_grad()
    def teach(self, scorer: SlateScorer) -> None:
        """Writes into the network what its start left out.

        Args:
            scorer: The network whose slates these are, as it was.
        """
        noted = self.arrays()
        prior = torch.cat([torch.eye(_PARTS)[0], scorer.mark_points(), torch.zeros(_SUMMARIES)]) / POINTS
        found = fit_clicks(
            noted["features"].astype(np.float64),
            noted["items"],
            noted["paid"],
            _static(scorer),
            item_effect=_ITEM_EFFECT,
            steps=_NEWTON_STEPS,
            prior=prior.numpy(),
        )
        weights = POINTS * torch.from_numpy(found.weights).float()
        of_score, _, of_wishes, of_stars, of_similarity = weights[:_PARTS]
        of_marks, of_likeness = weights[_PARTS:-_SUMMARIES], weights[-_SUMMARIES:]
        of_score = of_score.clamp_min(0)
        similarity, popularity, stars, wishes, slack = scorer.gains()
        gains = [of_score * similarity + of_similarity, of_score * popularity, of_score * stars + of_stars]
        gains += [(of_score + of_wishes) * wishes, slack]
        scorer.set_weights(torch.stack(gains), of_marks)
        scorer.repeat[:, scorer.blocks["sets"]] += of_likeness[:, None]
        if scorer.item_bias is not None:
            own = POINTS * torch.from_numpy(found.item_odds)
            if "quality" in scorer.blocks:
                # Stars are foreseen from quality too, which was found beside the items' own effects.
                more = scorer.gains()[2] - of_score * stars
                own = own - more * scorer.quality_scale * scorer.table[:, scorer.blocks["quality"]][:, 0]
            scorer.item_bias.copy_(own - own.mean())


def _features(scorer: SlateScorer, query: Query, inputs: ScorerInputs, slates: Tensor, scores: Tensor) -> Tensor:
    """Returns what a reward may follow from, [batch, slate_size, _PARTS + MARKS + _SUMMARIES]."""
    rows, values = scorer.table[slates], scorer.blocks["sets"]
    marks = (inputs.marked[:, None] == slates[:, :, None]).float() @ inputs.mark_kinds
    scores = scores - torch.einsum("bmk,bk->bm", marks, query.marks)
    wishes = scores - torch.einsum("bd,bmd->bm", query.features, rows)
    if scorer.item_bias is not None:
        wishes = wishes - scorer.item_bias[slates]
    stars, similarity = scorer.stars_and_similarity(inputs, slates)
    # Some sessions are harder than others, which is nothing that their items could help.
    level = scores.mean(dim=1, keepdim=True).expand_as(scores)
    seen = scorer.known(inputs)
    summaries = torch.stack([seen.clicked, seen.shown, seen.profile[:, : rows.shape[2]]], dim=2)
    likeness = rows[:, :, values] @ summaries[:, values]
    return torch.cat([torch.stack([scores, level, wishes, stars, similarity], dim=2), marks, likeness], dim=2)


def _static(scorer: SlateScorer) -> npt.NDArray[np.float64]:
    """Returns what is known of items whatever the session, float64 [num_items, num_columns]."""
    columns = [scorer.table[:, scorer.blocks[name]] for name in _KNOWN if name in scorer.blocks]
    return torch.cat(columns, dim=1).double().numpy()

"""The network of SlatePPO: from what was said and done to a query over item features, and to what is expected of it.

The score of an item is ``query · features`` plus what it matters that the item stands in the visible past, was clicked
or was shown this session. The query is any vector: an instruction can push a genre down as well as up, which a
similarity with the item's text cannot (a bi-encoder finds "no horror" close to "horror").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor, nn

from instructrec.agents.features import ItemFeatures

MARKS = 3
"""Kinds of marks an item can bear: in the visible past, clicked this session, shown this session."""


@dataclass(frozen=True, kw_only=True)
class ScorerConfig:
    """The network's sizes and where it starts.

    Attributes:
        text_width: Width of what is kept of a text.
        hidden: Width of the query's hidden layers.
        critic_hidden: Width of the critic's hidden layer.
        start_similarity: Weight of a text's similarity to the item texts at the start, per unit of cosine.
        start_popularity: Weight of log popularity at the start, per standard deviation.
        start_stars: Weight of a predicted star at the start, where ratings are known.
        start_marks: Scores added at the start to items in the visible past, clicked, and shown this session.
        item_bias: Whether each item has a learned score of its own.
    """

    text_width: int = 128
    hidden: int = 256
    critic_hidden: int = 128
    start_similarity: float = 10.0
    start_popularity: float = 1.0
    start_stars: float = 1.0
    start_marks: tuple[float, float, float] = (-1.0, -1.0, -0.5)
    item_bias: bool = True


@dataclass(frozen=True)
class ScorerInputs:
    """What the network sees: float32 tensors with one row per session, except where stated.

    Attributes:
        text: The instruction's vector, [batch, encoder width].
        earlier: Vectors of earlier instructions, newest first, zeros where there are none,
            [batch, memory, encoder width].
        profile: Of the visible past, [batch, profile width].
        clicked: Fading sum of the features of clicked items, [batch, width].
        shown: Fading mean of the features of shown items, [batch, width].
        last: Features of the numbers of the last slate's items, [batch, slate size, numbers width]; zeros at first.
        facts: Turn and click counts, [batch, FACTS].
        marked: Item numbers that bear marks, int64 [batch, num_marked]; 0 where `mark_counts` is 0.
        mark_counts: How often each mark kind applies, [batch, num_marked, MARKS].
    """

    text: Tensor
    earlier: Tensor
    profile: Tensor
    clicked: Tensor
    shown: Tensor
    last: Tensor
    facts: Tensor
    marked: Tensor
    mark_kinds: Tensor

    def rows(self, rows: Tensor | slice) -> ScorerInputs:
        """Returns some of the rows."""
        return ScorerInputs(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @property
    def batch(self) -> int:
        """How many sessions."""
        return len(self.text)


FACTS = 6
"""Width of `ScorerInputs.facts`."""


class Query(NamedTuple):
    """What the actor wants.

    Attributes:
        features: Weights of the item features, [batch, width].
        marks: Scores added per mark kind, [batch, MARKS].
    """

    features: Tensor
    marks: Tensor


class Values(NamedTuple):
    """What the critic expects.

    Attributes:
        items: Reward of each position of this turn's slate, [batch, slate_size].
        future: Discounted reward of later turns, [batch].
    """

    items: Tensor
    future: Tensor

    @property
    def total(self) -> Tensor:
        """Expected return from here, [batch]."""
        return self.items.sum(dim=1) + self.future


class SlateScorer(nn.Module):
    """The actor and the critic over a fixed table of item features.

    Args:
        features: The items.
        encoder_width: Length of a text vector.
        memory: How many earlier instructions are read.
        slate_size: Items per slate.
        config: Sizes and start.
    """

    table: Tensor
    projection: Tensor
    anchor_block: Tensor

    def __init__(
        self,
        features: ItemFeatures,
        *,
        encoder_width: int,
        memory: int,
        slate_size: int,
        config: ScorerConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = config if config is not None else ScorerConfig()
        self.blocks, self.slate_size = dict(features.blocks), slate_size
        width, kept = features.width, self.config.text_width
        numbers = features.blocks["numbers"]
        self._numbers_width = numbers.stop - numbers.start
        # Not saved with the weights: they are rebuilt from the catalogue, and checked by the features' fingerprint.
        self.register_buffer("table", torch.from_numpy(features.table), persistent=False)
        self.register_buffer("projection", torch.from_numpy(features.projection), persistent=False)
        self._encoder_scale, self._rank = math.sqrt(encoder_width), features.profile_width - width - 2
        self.text_tower = nn.Sequential(nn.Linear(encoder_width, kept), nn.GELU())
        self.gate_now, self.gate_then = nn.Linear(kept, kept), nn.Linear(kept, kept, bias=False)
        self.gate_age = nn.Parameter(torch.zeros(memory, kept))
        self.pointer = nn.Linear(kept, slate_size + 1)
        self.direction = nn.Linear(kept, self._numbers_width)
        state_width = 2 * kept + features.profile_width + 2 * width + 2 * self._numbers_width + FACTS
        hidden = self.config.hidden
        self.trunk = nn.Sequential(nn.Linear(state_width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.head = nn.Linear(hidden, width + MARKS)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.repeat = nn.Parameter(torch.zeros(3, width))
        self.start = nn.Parameter(
            torch.tensor([self.config.start_similarity, self.config.start_popularity, self.config.start_stars])
        )
        self.start_marks = nn.Parameter(torch.tensor(self.config.start_marks))
        self.quality_scale = features.quality_scale
        self.item_bias = nn.Parameter(torch.zeros(features.num_items)) if self.config.item_bias else None
        critic = self.config.critic_hidden
        self.critic = nn.Sequential(nn.Linear(state_width, critic), nn.GELU(), nn.Linear(critic, slate_size + 1))
        nn.init.zeros_(self.critic[-1].weight)
        nn.init.zeros_(self.critic[-1].bias)

    def actor_parameters(self) -> list[nn.Parameter]:
        """Returns every parameter but the critic's."""
        critic = set(self.critic.parameters())
        return [parameter for parameter in self.parameters() if parameter not in critic]

    def state(self, inputs: ScorerInputs) -> Tensor:
        """Returns the features of the session, [batch, state width]: what actor and critic read."""
        said = self.text_tower(inputs.text * self._encoder_scale)
        before = self.text_tower(inputs.earlier * self._encoder_scale)  # [batch, memory, text_width]
        # A gate per earlier instruction: constraints persist, a new goal lets them go.
        gates = torch.sigmoid(self.gate_now(said)[:, None] + self.gate_then(before) + self.gate_age)
        spoken = (inputs.earlier != 0).any(dim=2, keepdim=True)
        meaning = said + (gates * before * spoken).sum(dim=1)
        # "newer than the second one": the instruction points at a position, whose numbers then count.
        pointed = torch.softmax(self.pointer(said), dim=1)[:, : self.slate_size]
        anchor = torch.einsum("bk,bkn->bn", pointed, inputs.last)
        directed = anchor * self.direction(said)
        parts = [said, meaning, inputs.profile, inputs.clicked, inputs.shown, anchor, directed, inputs.facts]
        return torch.cat(parts, dim=1)

    def query(self, state: Tensor, inputs: ScorerInputs) -> Query:
        """Returns what the actor wants."""
        head = self.head(self.trunk(state))
        width = self.table.shape[1]
        summaries = torch.stack([inputs.clicked, inputs.shown, inputs.profile[:, :width]], dim=1)
        wanted = head[:, :width] + (summaries * self.repeat).sum(dim=1)
        parts = []
        for name, block in self.blocks.items():
            part = wanted[:, block]
            if name == "popularity":
                part = part + self.start[1]
            elif name == "quality":
                part = part + self.start[2] * self.quality_scale
            elif name == "factors":
                part = part + self.start[2] * inputs.profile[:, width : width + self._rank]
            elif name == "text":
                part = part + self.start[0] * (inputs.text @ self.projection)
            parts.append(part)
        return Query(torch.cat(parts, dim=1), head[:, width:] + self.start_marks)

    def values(self, state: Tensor) -> Values:
        """Returns what the critic expects; its gradient stays out of the actor."""
        out = self.critic(state.detach())
        return Values(out[:, : self.slate_size], out[:, self.slate_size])

    def scores(self, query: Query, inputs: ScorerInputs) -> Tensor:
        """Returns every item's score, [batch, num_items]."""
        if self.item_bias is None:
            scores = query.features @ self.table.T
        else:
            scores = torch.addmm(self.item_bias, query.features, self.table.T)
        bonus = torch.einsum("bmk,bk->bm", inputs.mark_kinds, query.marks)
        return scores.scatter_add_(1, inputs.marked, bonus)

    def forward(self, inputs: ScorerInputs) -> Tensor:
        """Returns every item's score, [batch, num_items]."""
        return self.scores(self.query(self.state(inputs), inputs), inputs)

"""Networks that score items for a session: towers over what SlatePPO reads, compared by a product or crossed.

A *query* is made of the session: by a tower over the words and all that happened (`SessionTower`), or by self-attention
over what was consumed, led by the instruction (`SequenceTower`). Items have a tower of their own. The two meet in a
product (`Product`) or are crossed (`Cross`). What marks an item bears (in the visible past, clicked, shown) is added.

References:
    Covington, Adams and Sargin (2016), Deep neural networks for YouTube recommendations, RecSys; Yi et al. (2019),
    Sampling-bias-corrected neural modeling for large corpus item recommendations, RecSys (two towers); He et al.
    (2017), Neural collaborative filtering, WWW (products and concatenations crossed); Kang and McAuley (2018),
    Self-attentive sequential recommendation, ICDM, arXiv 1808.09781.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from instructrec.agents.candidates import marks_of
from instructrec.agents.features import ItemFeatures
from instructrec.agents.reading import SessionReader
from instructrec.agents.scorer import FACTS, MARKS, ScorerInputs
from instructrec.sessions import Observation

_FADING = 0.7
"""What an earlier instruction counts beside the one after it."""


class _Tower(nn.Module):
    """A hidden layer, and a straight way past it: what is linear need not be learned twice."""

    def __init__(self, inputs: int, hidden: int, width: int) -> None:
        super().__init__()
        self.deep = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.straight = nn.Linear(inputs, width, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.deep(inputs) + self.straight(inputs)
        return out


class SessionTower(nn.Module):
    """Makes a query of words, past, clicks and what was shown.

    Args:
        features: The items.
        encoder_width: Length of a text vector.
        hidden: Width of the hidden layer.
        width: Width of the query.
        words_alone: Whether to read the words and nothing else.
    """

    def __init__(
        self, features: ItemFeatures, *, encoder_width: int, hidden: int, width: int, words_alone: bool = False
    ) -> None:
        super().__init__()
        wishes = 0 if features.wishes is None else features.wishes.num_values + features.wishes.num_wishes
        self._scale, self._encoder_width, self._words_alone = math.sqrt(encoder_width), encoder_width, words_alone
        words = 2 * (encoder_width + wishes)
        rest = 0 if words_alone else features.profile_width + 2 * features.width + FACTS
        self.tower = _Tower(words + rest, hidden, width)

    def forward(self, inputs: ScorerInputs) -> Tensor:
        """Returns queries, [batch, width]."""
        fading = _FADING ** torch.arange(1, inputs.earlier.shape[1] + 1)
        before = torch.einsum("bmw,m->bw", inputs.earlier, fading)
        parts = [self._words(inputs.text), self._words(before)]
        if not self._words_alone:
            parts += [inputs.profile, inputs.clicked, inputs.shown, inputs.facts]
        query: Tensor = self.tower(torch.cat(parts, dim=1))
        return query

    def _words(self, vectors: Tensor) -> Tensor:
        """Scales a text's vector like its wishes, and leaves out the last number there, whether it goes on."""
        sentence, wishes = vectors[:, : self._encoder_width] * self._scale, vectors[:, self._encoder_width : -1]
        return torch.cat([sentence, 4 * wishes], dim=1)


class _Attention(nn.Module):
    """A block of self-attention, normalised before each part."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.parts, self.together = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.deep = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """Returns tokens [batch, length, width] that looked at those that are ``there``, [batch, length]."""
        batch, length, width = tokens.shape
        shape = (batch, length, self._heads, width // self._heads)
        query, key, value = (
            part.reshape(shape).transpose(1, 2) for part in self.parts(self.before(tokens)).chunk(3, dim=2)
        )
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=there[:, None, None, :])
        tokens = tokens + self.together(seen.transpose(1, 2).reshape(batch, length, width))
        out: Tensor = tokens + self.deep(self.between(tokens))
        return out


class SequenceTower(nn.Module):
    """Makes a query of the items last consumed, in order, and of the instruction, which stands behind them.

    Only the instruction's place is read out, so that no later item is there to be hidden from an earlier one.

    Args:
        features: The items.
        encoder_width: Length of a text vector.
        hidden: Width of the hidden layer that reads the words.
        width: Width of the query.
        length: How many consumed items are looked at.
        heads: Attention heads; they divide ``width``.
        blocks: Blocks of attention.
    """

    table: Tensor

    def __init__(
        self,
        features: ItemFeatures,
        *,
        encoder_width: int,
        hidden: int,
        width: int,
        length: int,
        heads: int,
        blocks: int,
    ) -> None:
        super().__init__()
        self._length = length
        self.register_buffer("table", torch.from_numpy(features.table), persistent=False)
        self.words = SessionTower(features, encoder_width=encoder_width, hidden=hidden, width=width, words_alone=True)
        self.item = nn.Linear(features.width, width)
        self.places = nn.Parameter(0.02 * torch.randn(length + 1, width))
        self.blocks = nn.ModuleList(_Attention(width, heads) for _ in range(blocks))

    def forward(self, inputs: ScorerInputs) -> Tensor:
        """Returns queries, [batch, width]."""
        items, there = self._consumed(inputs)
        words = self.words(inputs)
        tokens = torch.cat([self.item(self.table[items]), words[:, None]], dim=1) + self.places
        there = torch.cat([there, torch.ones(len(there), 1, dtype=torch.bool)], dim=1)
        for block in self.blocks:
            tokens = block(tokens, there)
        # The words' own way to the items stays open, whatever attention makes of them.
        query: Tensor = tokens[:, -1] + words
        return query

    def _consumed(self, inputs: ScorerInputs) -> tuple[Tensor, Tensor]:
        """Returns the items last consumed, oldest first, and which places hold one, both [batch, length]."""
        # Marks stand in the order of time: the past, then slate by slate.
        was = (inputs.mark_kinds[:, :, :2] > 0).any(dim=2)
        late = torch.where(was, torch.arange(1, was.shape[1] + 1), 0)
        found, at = torch.topk(late, min(self._length, was.shape[1]), dim=1)
        short = self._length - found.shape[1]
        at, found = (nn.functional.pad(part.flip(1), (short, 0)) for part in (at, found))
        return inputs.marked.gather(1, at), found > 0


class Product(nn.Module):
    """Compares query and item by their product."""

    def forward(self, queries: Tensor, items: Tensor) -> Tensor:
        """Returns how well they match, [batch, num]; items are [num, width] or [batch, num, width]."""
        if items.dim() == 2:
            return queries @ items.T / math.sqrt(items.shape[1])
        return torch.einsum("bw,bnw->bn", queries, items) / math.sqrt(items.shape[2])


class Cross(nn.Module):
    """Crosses query and item: a hidden layer over both and their product, element by element.

    Args:
        width: Width of both.
        hidden: Width of the hidden layer.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.query, self.item = nn.Linear(width, hidden), nn.Linear(width, hidden, bias=False)
        self.both = nn.Parameter(torch.randn(hidden, width) / math.sqrt(width))
        self.out = nn.Linear(hidden, 1)
        self.product = Product()

    def forward(self, queries: Tensor, items: Tensor) -> Tensor:
        """Returns how well they match, [batch, num]; items are [num, width] or [batch, num, width]."""
        weights = self.item.weight + self.both * queries[:, None, :]  # [batch, hidden, width]
        meets = "nw,bhw->bnh" if items.dim() == 2 else "bnw,bhw->bnh"
        hidden = torch.relu(torch.einsum(meets, items, weights) + self.query(queries)[:, None])
        out: Tensor = self.out(hidden)[:, :, 0] + self.product(queries, items)
        return out


class ClickNetwork(nn.Module):
    """Scores items for sessions.

    Args:
        features: The items.
        session: Makes queries.
        match: Compares them with items.
        hidden: Width of the hidden layer of the items' tower.
        width: Width of queries and items.
        slate_size: Items per slate.
    """

    table: Tensor

    def __init__(
        self, features: ItemFeatures, session: nn.Module, match: nn.Module, *, hidden: int, width: int, slate_size: int
    ) -> None:
        super().__init__()
        self.register_buffer("table", torch.from_numpy(features.table), persistent=False)
        self.session, self.match = session, match
        self.item = _Tower(features.width, hidden, width)
        self.item_bias = nn.Parameter(torch.zeros(features.num_items))
        self.marks = nn.Parameter(torch.zeros(MARKS))
        # What a position and clicks above it add; left out when ranking.
        self.positions = nn.Parameter(torch.zeros(slate_size))
        self.after_clicks = nn.Parameter(torch.zeros(()))

    def among(self, inputs: ScorerInputs, items: Tensor) -> Tensor:
        """Returns the scores of each row's ``items``, int64 [batch, num], as [batch, num]."""
        scores = self.match(self.session(inputs), self.item(self.table[items]))
        marks = marks_of(inputs, items, len(self.table)).to(scores.dtype) @ self.marks
        # Not by indexing: its gradient depends on which thread comes first.
        found: Tensor = scores + self.item_bias.index_select(0, items.flatten()).view_as(items) + marks
        return found

    def forward(self, inputs: ScorerInputs, items: Tensor | None = None) -> Tensor:
        """Returns every item's score, [batch, num_items].

        Args:
            inputs: The sessions.
            items: What the items' tower makes of the table, [num_items, width]; made anew when omitted.
        """
        own = self.item(self.table) if items is None else items
        scores: Tensor = self.match(self.session(inputs), own) + self.item_bias
        return scores.scatter_add(1, inputs.marked, inputs.mark_kinds @ self.marks)

    def beside(self, scores: Tensor, clicked: Tensor) -> Tensor:
        """Returns the scores of shown items and what positions and clicks above them add, [batch, slate_size]."""
        return scores + self.positions + self.after_clicks * (torch.cumsum(clicked, dim=1) - clicked)


@dataclass(frozen=True)
class NetworkRanker:
    """Ranks by a fitted network.

    Attributes:
        network: The network.
        reader: What it sees of observations.
        rows_at_once: Sessions scored together; bounds memory.
    """

    network: ClickNetwork
    reader: SessionReader
    rows_at_once: int = 32

    @cached_property
    def _items(self) -> Tensor:
        items: Tensor = self.network.item(self.network.table)
        return items

    @torch.no_grad()
    def scores(self, observation: Observation) -> npt.NDArray[np.float32]:
        """Returns scores [batch, num_candidates]."""
        parts = []
        for first in range(0, observation.batch, self.rows_at_once):
            some = observation.rows(slice(first, first + self.rows_at_once))
            inputs = self.reader.see(some)
            scores = self.network(inputs, self._items).numpy()
            parts.append(scores if some.candidates is None else np.take_along_axis(scores, some.candidates, axis=1))
        return np.concatenate(parts)

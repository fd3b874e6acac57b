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
        start_named: Weight of the attributes that a text names at the start, per standard deviation of naming.
        start_popularity: Weight of log popularity at the start, per standard deviation.
        start_stars: Weight of a predicted star at the start, where ratings are known.
        start_marks: Scores added at the start to items in the visible past, clicked, and shown this session.
        item_bias: Whether each item has a learned score of its own.
    """

    text_width: int = 128
    hidden: int = 256
    critic_hidden: int = 128
    start_similarity: float = 10.0
    start_named: float = 0.5
    start_popularity: float = 2.5
    start_stars: float = 3.0
    start_marks: tuple[float, float, float] = (-1.0, -1.0, -0.5)
    item_bias: bool = True


@dataclass(frozen=True)
class ScorerInputs:
    """What the network sees: float32 tensors with one row per session, except where stated.

    Attributes:
        text: The instruction's vector and its phrases (see `phrases`), [batch, text width].
        earlier: The same of earlier instructions, newest first, zeros where there are none, [batch, memory, text
            width].
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

    The discounted reward of later turns is put down to the items of this turn's slate as far as it depends on them:
    it is ``future`` and the sum of the items' ``effects``, which depend on what was shown and clicked.

    Attributes:
        items: What each position brings before the slate is known, its effect included, [batch, slate_size].
        future: Discounted reward of later turns, effects aside, [batch].
        effects: What each shown item does to it, [batch, slate_size].
    """

    items: Tensor
    future: Tensor
    effects: Tensor

    @property
    def total(self) -> Tensor:
        """Expected return from here, [batch]."""
        return self.items.sum(dim=1) + self.future


class SlateCritic(nn.Module):
    """Expects what positions and later turns bring; see `Values`. Expects nothing at the start.

    Args:
        state_width: Width of the session's features.
        hidden: Width of the hidden layer.
        slate_size: Items per slate.
        item_width: Width of an item's features.
    """

    def __init__(self, state_width: int, hidden: int, slate_size: int, item_width: int) -> None:
        super().__init__()
        self.slate_size, self.item_width = slate_size, item_width
        self.trunk = nn.Sequential(nn.Linear(state_width, hidden), nn.GELU())
        self.expectation = nn.Linear(hidden, slate_size + 1)
        self.effect = nn.Linear(hidden, 2 * item_width + 2)
        for layer in (self.expectation, self.effect):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, state: Tensor, features: Tensor | None, clicked: Tensor | None) -> Values:
        """Returns the values of sessions.

        Args:
            state: Features of the sessions, [batch, state_width].
            features: Of the shown items, [batch, slate_size, item_width]; effects are 0 without them.
            clicked: Which were clicked, [batch, slate_size].
        """
        hidden = self.trunk(state)
        out = self.expectation(hidden)
        items, future = out[:, : self.slate_size], out[:, self.slate_size]
        if features is None or clicked is None:
            return Values(items, future, torch.zeros_like(items))
        weights, width = self.effect(hidden), self.item_width
        showing = torch.einsum("bkd,bd->bk", features, weights[:, :width]) / width**0.5 + weights[:, -2:-1]
        clicking = torch.einsum("bkd,bd->bk", features, weights[:, width:-2]) / width**0.5 + weights[:, -1:]
        return Values(items, future, showing + clicked.to(showing.dtype) * clicking)


class ClickOdds(nn.Module):
    """Log-odds of clicks from scores: scaled, and with what a position and clicks above it add.

    Args:
        slate_size: Items per slate.
    """

    def __init__(self, slate_size: int) -> None:
        super().__init__()
        # Scores at the start are those of a policy, several times too sure for a click.
        self.log_scale = nn.Parameter(torch.tensor(-1.5))
        self.positions = nn.Parameter(torch.linspace(-2, -3, slate_size))
        self.after_clicks = nn.Parameter(torch.zeros(()))

    def forward(self, scores: Tensor, clicked: Tensor) -> Tensor:
        """Returns log-odds [batch, slate_size] of the shown items' ``scores``; ``clicked`` tells what was above."""
        above = torch.cumsum(clicked, dim=1) - clicked
        return torch.exp(self.log_scale) * scores + self.positions + self.after_clicks * above


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
    naming_weights: Tensor
    naming_offset: Tensor

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
        # What a text names, and whether it wants it: above 0 at the start, below where it learns that it does not.
        naming = features.naming
        named = 0 if naming is None else len(naming.offset)
        empty = torch.zeros(encoder_width, 0), torch.zeros(0)
        read = empty if naming is None else (torch.from_numpy(naming.weights), torch.from_numpy(naming.offset))
        self.register_buffer("naming_weights", read[0], persistent=False)
        self.register_buffer("naming_offset", read[1], persistent=False)
        self._num_sets, self._num_named, self._encoder_width = features.blocks["sets"].stop, named, encoder_width
        self._num_phrases = 0 if naming is None else naming.phrases
        # Shared by all attributes: a "no" means the same before each of them.
        mood = nn.Linear(32, 2)
        nn.init.zeros_(mood.weight)
        nn.init.zeros_(mood.bias)
        self.polarity = nn.Sequential(nn.Linear(encoder_width, 32), nn.GELU(), mood)
        self.wanted = nn.Linear(kept, max(named, 1))
        nn.init.zeros_(self.wanted.weight)
        # What item texts do not tell, such as ratings, their reading cannot name; only experience can.
        with torch.no_grad():
            self.wanted.bias.copy_(torch.zeros(1) if naming is None else torch.from_numpy(naming.trust))
        # The shortest way from words to attributes: what a deep network needs long to find, this learns fast.
        self.shortcut = nn.Linear(encoder_width, max(named, 1))
        nn.init.zeros_(self.shortcut.weight)
        nn.init.zeros_(self.shortcut.bias)
        self.threshold = nn.Parameter(torch.ones(self._num_sets))
        self.recall_age = nn.Parameter(torch.zeros(memory, 1))
        # A text that asks for little leaves what was asked for before; above `quiet` it begins to replace it.
        self.recall_loudness = nn.Parameter(torch.tensor(-2.0))
        self.quiet: Tensor
        self.register_buffer("quiet", torch.tensor(1.0))
        self.pointer = nn.Linear(kept, slate_size + 1)
        self.direction = nn.Linear(kept, self._numbers_width)
        state_width = 2 * kept + 2 * named + features.profile_width + 2 * width + 2 * self._numbers_width + FACTS
        hidden = self.config.hidden
        self.trunk = nn.Sequential(nn.Linear(state_width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.head = nn.Linear(hidden, width + MARKS)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.repeat = nn.Parameter(torch.zeros(3, width))
        self.start = nn.Parameter(
            torch.tensor(
                [
                    self.config.start_similarity,
                    self.config.start_popularity,
                    self.config.start_stars,
                    self.config.start_named,
                ]
            )
        )
        self.start_marks = nn.Parameter(torch.tensor(self.config.start_marks))
        self.quality_scale = features.quality_scale
        self.item_bias = nn.Parameter(torch.zeros(features.num_items)) if self.config.item_bias else None
        self.click_odds = ClickOdds(slate_size)
        self.critic = SlateCritic(state_width, self.config.critic_hidden, slate_size, width)

    def actor_parameters(self) -> list[nn.Parameter]:
        """Returns every parameter but the critic's."""
        critic = set(self.critic.parameters())
        return [parameter for parameter in self.parameters() if parameter not in critic]

    def _named(self, vectors: Tensor) -> Tensor:
        """Returns how strongly texts name each attribute, [..., num_named]; weak namings of set values count little."""
        readings = vectors[..., : self._encoder_width] @ self.naming_weights + self.naming_offset
        return torch.cat([self._clear(readings[..., : self._num_sets]), readings[..., self._num_sets :]], dim=-1)

    def _clear(self, readings: Tensor) -> Tensor:
        return nn.functional.softplus(4 * (readings - self.threshold)) / 4

    def _asked(self, vectors: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what texts name, and what they ask for: below 0 where it is not wanted; both [..., num_named].

        Args:
            vectors: Of texts, [..., text width].
            said: What the text tower makes of them, [..., text_width].
        """
        named = self._named(vectors)
        direct = self.shortcut(vectors[..., : self._encoder_width] * (self._encoder_scale / 4))
        asked = (named * self.wanted(said) + direct)[..., : self._num_named] if self._num_named else named
        if self._num_phrases:
            parts = vectors[..., self._encoder_width :].reshape(
                *vectors.shape[:-1], self._num_phrases, self._encoder_width + 2
            )
            where, clarity = parts[..., 0].long(), parts[..., 1]
            mood = self.polarity(parts[..., 2:] * self._encoder_scale)
            clear = nn.functional.softplus(4 * (clarity - self.threshold[where])) / 4
            turned = named.gather(-1, where) * mood[..., 0] + clear * mood[..., 1]
            asked = asked.scatter_add(-1, where, turned)
        return named, asked

    @property
    def reads_phrases(self) -> bool:
        """Whether it reads, besides whole texts, the words that name attributes."""
        return self._num_phrases > 0

    def reading_parameters(self) -> list[nn.Parameter]:
        """Returns the parameters that turn a text into wishes."""
        modules = (self.text_tower, self.wanted, self.shortcut, self.polarity)
        return [*(parameter for module in modules for parameter in module.parameters()), self.threshold]

    def _asked_by(self, vectors: Tensor) -> Tensor:
        said = self.text_tower(vectors[:, : self._encoder_width] * self._encoder_scale)
        return self._asked(vectors, said)[1]

    def wishes(self, vectors: Tensor, items: Tensor) -> Tensor:
        """Returns what texts alone, by the attributes they ask for, give items, [num_texts, num_items].

        Args:
            vectors: Of texts, [num_texts, text width].
            items: Item numbers, int64 [num_items].
        """
        scores: Tensor = self.start[3].detach() * self._asked_by(vectors) @ self.table[items, : self._num_named].T
        return scores

    def loudness(self, vectors: Tensor) -> Tensor:
        """Returns how much texts ask for, 0 or more, [num_texts]."""
        loudness: Tensor = self._asked_by(vectors).square().mean(dim=1).sqrt()
        return loudness

    def state(self, inputs: ScorerInputs) -> tuple[Tensor, Tensor]:
        """Returns what actor and critic read.

        Returns:
            Features of the session, [batch, state width], and the attributes asked for, [batch, num_named].
        """
        sentence = inputs.text[:, : self._encoder_width]
        said = self.text_tower(sentence * self._encoder_scale)
        spoken = (inputs.earlier[:, :, : self._encoder_width] != 0).any(dim=2)  # [batch, memory]
        # Sessions are mostly young: only what was said is worked out, one row per earlier instruction.
        row, ago = torch.nonzero(spoken, as_tuple=True)
        vectors = inputs.earlier[row, ago]
        before = self.text_tower(vectors[:, : self._encoder_width] * self._encoder_scale)
        # A gate per earlier instruction: constraints persist, a new goal lets them go.
        gates = torch.sigmoid(self.gate_now(said)[row] + self.gate_then(before) + self.gate_age[ago])
        meaning = said.index_add(0, row, gates * before)
        named, asked = self._asked(inputs.text, said)
        heard = (sentence != 0).any(dim=1, keepdim=True)
        named, asked = named * heard, asked * heard
        # By how much is asked now, not by how: few wordings ask for more of the same, and most are never heard.
        loudness = asked.detach().square().mean(dim=1, keepdim=True).sqrt() / self.quiet.clamp_min(1e-3)
        kept = torch.sigmoid(self.recall_age[ago] + self.recall_loudness * torch.log(loudness + 0.05)[row])
        asked = asked.index_add(0, row, kept * self._asked(vectors, before)[1])
        # "newer than the second one": the instruction points at a position, whose numbers then count.
        pointed = torch.softmax(self.pointer(said), dim=1)[:, : self.slate_size]
        anchor = torch.einsum("bk,bkn->bn", pointed, inputs.last)
        directed = anchor * self.direction(said)
        parts = [said, meaning, named, asked, inputs.profile, inputs.clicked, inputs.shown, anchor, directed]
        return torch.cat([*parts, inputs.facts], dim=1), asked

    def query(self, state: tuple[Tensor, Tensor], inputs: ScorerInputs) -> Query:
        """Returns what the actor wants."""
        features, asked = state
        head = self.head(self.trunk(features))
        width = self.table.shape[1]
        summaries = torch.stack([inputs.clicked, inputs.shown, inputs.profile[:, :width]], dim=1)
        wanted = head[:, :width] + (summaries * self.repeat).sum(dim=1)
        parts = []
        for name, block in self.blocks.items():
            part = wanted[:, block]
            if name in ("sets", "numbers") and asked.shape[1]:
                part = part + self.start[3] * asked[:, block]
            elif name == "popularity":
                part = part + self.start[1]
            elif name == "quality":
                part = part + self.start[2] * self.quality_scale
            elif name == "factors":
                part = part + self.start[2] * inputs.profile[:, width : width + self._rank]
            elif name == "text":
                part = part + self.start[0] * (inputs.text[:, : self._encoder_width] @ self.projection)
            parts.append(part)
        return Query(torch.cat(parts, dim=1), head[:, width:] + self.start_marks)

    def values(
        self, state: tuple[Tensor, Tensor], items: Tensor | None = None, clicked: Tensor | None = None
    ) -> Values:
        """Returns what the critic expects; its gradient stays out of the actor.

        Args:
            state: What `state` gives.
            items: The slate shown, int64 [batch, slate_size]; effects are 0 without it.
            clicked: What was clicked of it, [batch, slate_size].
        """
        features = None if items is None else self.table[items]
        values: Values = self.critic(state[0].detach(), features, clicked)
        return values

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

"""The network of SlatePPO: from what was said and done to a query over item features, and to what is expected of it.

The score of an item is ``query · features``, plus what it matters that the item stands in the visible past, was clicked
or was shown this session, less what it lacks of what is asked for. The query is any vector: an instruction can push a
genre down as well as up, which a similarity with the item's text cannot (a bi-encoder finds "no horror" close to
"horror").

What an item lacks is measured against the items that fit best. Items that fit nearly as well lack next to nothing:
wishes are read from words with small errors, and among a thousand comedies these must not decide which one is shown.
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

_LEAK = 0.1
"""How much of what an item lacks counts within the slack."""

_FAST = 4.0
"""How many times faster than other parameters `growth` and `marks_growth` move."""


@dataclass(frozen=True, kw_only=True)
class ScorerConfig:
    """The network's sizes and where it starts.

    Attributes:
        text_width: Width of what is kept of a text.
        hidden: Width of the query's hidden layers.
        critic_hidden: Width of the critic's hidden layer.
        start_similarity: Weight of a text's similarity to the item texts at the start, per unit of cosine.
        start_wishes: Score at the start of an item that meets a wish over one that does not, as
            `instructrec.agents.wishes` reads it.
        start_slack: How much less than the best items an item may fit and still lack nothing, in the unit in which one
            thing asked for is 1.
        start_popularity: Weight of log popularity at the start, per standard deviation.
        start_stars: Weight of a predicted star at the start, where ratings are known.
        start_marks: Scores added at the start to items in the visible past, clicked, and shown this session. Training
            makes them larger or smaller but not another sign: set them to 0 where items are wanted again and again.
        item_bias: Whether each item has a learned score of its own.
    """

    text_width: int = 64
    hidden: int = 256
    critic_hidden: int = 128
    start_similarity: float = 10.0
    start_wishes: float = 20.0
    start_slack: float = 0.3
    start_popularity: float = 2.5
    start_stars: float = 3.0
    start_marks: tuple[float, float, float] = (-12.0, -12.0, -0.5)
    item_bias: bool = True


@dataclass(frozen=True)
class ScorerInputs:
    """What the network sees: float32 tensors with one row per session, except where stated.

    Attributes:
        text: The instruction's vector and wishes (see `instructrec.agents.wishes`), [batch, text width].
        earlier: The same of earlier instructions, newest first, zeros where there are none, [batch, memory, text
            width].
        profile: Of the visible past, [batch, profile width].
        clicked: Fading sum of the features of clicked items, [batch, width].
        shown: Fading mean of the features of shown items, [batch, width].
        last: Features of the numbers of the last slate's items, [batch, slate size, numbers width]; zeros at first.
        facts: Turn and click counts, [batch, FACTS].
        marked: Item numbers that bear marks, int64 [batch, num_marked]; 0 where `mark_kinds` is 0.
        mark_kinds: How often each mark kind applies, [batch, num_marked, MARKS].
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
        wishes: What is asked for, [batch, num_values + num_attributes]: values of which any will do, and weights of the
            first of these features.
        marks: Scores added per mark kind, [batch, MARKS].
    """

    features: Tensor
    wishes: Tensor
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
    start: Tensor
    start_marks: Tensor

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
        self._values, self._num_values = tuple(features.values.values()), features.num_values
        self._encoder_width, self._num_attributes = encoder_width, numbers.stop
        self._num_wishes = self._num_values + self._num_attributes
        self._reads_wishes = features.wishes is not None
        self.text_tower = nn.Sequential(nn.Linear(encoder_width, kept), nn.GELU())
        # How much of each wish as it was read counts, and the shortest way from words to wishes that were not.
        self.wish_gain = nn.Parameter(torch.ones(self._num_wishes))
        self.shortcut = nn.Linear(encoder_width, self._num_wishes)
        nn.init.zeros_(self.shortcut.weight)
        nn.init.zeros_(self.shortcut.bias)
        # Whether a text goes on from what was said before it: as it was read, and as experience corrects.
        self.keep_scale, self.keep_age = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(memory))
        self.keep = nn.Linear(kept, 1)
        nn.init.zeros_(self.keep.weight)
        # What was asked holds until a text clearly begins anew.
        nn.init.constant_(self.keep.bias, 1.5)
        self.pointer = nn.Linear(kept, slate_size + 1)
        self.direction = nn.Linear(kept, self._numbers_width)
        state_width = 2 * self._num_wishes + features.profile_width + 2 * width + 2 * self._numbers_width + FACTS
        hidden = self.config.hidden
        self.trunk = nn.Sequential(nn.Linear(state_width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.head = nn.Linear(hidden, width + MARKS)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.repeat = nn.Parameter(torch.zeros(3, width))
        chosen = self.config
        start = [chosen.start_similarity, chosen.start_popularity, chosen.start_stars]
        start += [chosen.start_wishes, chosen.start_slack]
        self.register_buffer("start", torch.tensor(start, dtype=torch.float32), persistent=False)
        self.register_buffer("start_marks", torch.tensor(chosen.start_marks, dtype=torch.float32), persistent=False)
        # By what factor these weights have changed, as a logarithm: a gradient step changes large and small ones alike.
        self.growth, self.marks_growth = nn.Parameter(torch.zeros(5)), nn.Parameter(torch.zeros(MARKS))
        self.quality_scale = features.quality_scale
        self.item_bias = nn.Parameter(torch.zeros(features.num_items)) if self.config.item_bias else None
        self.click_odds = ClickOdds(slate_size)
        self.critic = SlateCritic(state_width, self.config.critic_hidden, slate_size, width)

    def reading_parameters(self) -> list[nn.Parameter]:
        """Returns the parameters that turn texts into wishes and features."""
        modules = (self.text_tower, self.shortcut, self.keep, self.pointer, self.direction)
        parameters = [parameter for module in modules for parameter in module.parameters()]
        return [*parameters, self.wish_gain, self.keep_scale, self.keep_age]

    def actor_parameters(self) -> list[nn.Parameter]:
        """Returns every parameter but the critic's."""
        critic = set(self.critic.parameters())
        return [parameter for parameter in self.parameters() if parameter not in critic]

    def _heard(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns what is made of texts: kept features, wishes [num_texts, num_wishes], and log-odds of going on.

        Args:
            vectors: Of texts, [num_texts, text width].
        """
        sentence = vectors[:, : self._encoder_width]
        said = self.text_tower(sentence * self._encoder_scale)
        wishes, goes_on = self.shortcut(sentence), self.keep(said)[:, 0]
        if self._reads_wishes:
            wishes = wishes + self.wish_gain * vectors[:, self._encoder_width : -1]
            goes_on = goes_on + self.keep_scale * vectors[:, -1]
        return said, wishes, goes_on

    def state(self, inputs: ScorerInputs) -> tuple[Tensor, Tensor]:
        """Returns what actor and critic read.

        Returns:
            Features of the session, [batch, state width], and what is asked for by now, [batch, num_wishes].
        """
        said, wishes, goes_on = self._heard(inputs.text)
        heard = (inputs.text[:, : self._encoder_width] != 0).any(dim=1, keepdim=True)
        now = wishes * heard
        asked = now + self._asked_before(inputs, goes_on)
        # "newer than the second one": the instruction points at a position, whose numbers then count.
        pointed = torch.softmax(self.pointer(said), dim=1)[:, : self.slate_size]
        anchor = torch.einsum("bk,bkn->bn", pointed, inputs.last)
        directed = anchor * self.direction(said)
        # Of the words only the wishes go on to the deep layers, which would learn the training texts by heart.
        parts = [4 * now, 4 * asked, inputs.profile, inputs.clicked, inputs.shown, anchor, directed, inputs.facts]
        return torch.cat(parts, dim=1), asked

    def _asked_before(self, inputs: ScorerInputs, goes_on: Tensor) -> Tensor:
        """Returns what earlier texts asked for, as far as no later one began anew, [batch, num_wishes]."""
        spoken = (inputs.earlier[:, :, : self._encoder_width] != 0).any(dim=2)  # [batch, memory]
        # Sessions are mostly young: only what was said is worked out, one row per earlier instruction.
        row, ago = torch.nonzero(spoken, as_tuple=True)
        _, wishes, before = self._heard(inputs.earlier[row, ago])
        memory = spoken.shape[1]
        # Of each text, whether it goes on from the one before it; the newest is the instruction itself.
        earlier = torch.zeros(spoken.shape).index_put((row, ago), before)
        later = torch.cat([goes_on[:, None], earlier[:, : memory - 1]], dim=1) + self.keep_age
        kept = torch.cumsum(nn.functional.logsigmoid(later), dim=1).exp()
        weighted = kept.flatten().index_select(0, row * memory + ago)[:, None] * wishes
        return torch.zeros(len(spoken), self._num_wishes).index_add(0, row, weighted)

    def query(self, state: tuple[Tensor, Tensor], inputs: ScorerInputs) -> Query:
        """Returns what the actor wants."""
        features, asked = state
        head = self.head(self.trunk(features))
        similarity, popularity, stars, gain, _ = self._gains()
        width = self.table.shape[1]
        summaries = torch.stack([inputs.clicked, inputs.shown, inputs.profile[:, :width]], dim=1)
        wanted = head[:, :width] + (summaries * self.repeat).sum(dim=1)
        parts = []
        for name, block in self.blocks.items():
            part = wanted[:, block]
            if name == "popularity":
                part = part + popularity
            elif name == "quality":
                part = part + stars * self.quality_scale
            elif name == "factors":
                part = part + stars * inputs.profile[:, width : width + self._rank]
            elif name == "text":
                part = part + similarity * (inputs.text[:, : self._encoder_width] @ self.projection)
            parts.append(part)
        marks = self.start_marks * torch.exp(_FAST * self.marks_growth)
        return Query(torch.cat(parts, dim=1), gain * asked, head[:, width:] + marks)

    def _gains(self) -> Tensor:
        return self.start * torch.exp(_FAST * self.growth)

    def fits(self, query: Query, table: Tensor) -> Tensor:
        """Returns how well items fit what is asked for, in points of score, [batch, num_items].

        Args:
            query: What the actor wants.
            table: The items' features: [num_items, width], or of each row's own, [batch, num_items, width].
        """
        weights, attributes = query.wishes[:, self._num_values :], table[..., : self._num_attributes]
        fits = _inner(weights, attributes)
        for column in self._values:
            # Items that have several of the values of which any will do fit no better than those that have one.
            either = query.wishes[:, column].relu()
            has = (attributes[..., column] > 0).to(either.dtype)
            fits = fits + torch.minimum(_inner(either, has), either.amax(dim=1, keepdim=True))
        return fits

    def best(self, fits: Tensor) -> Tensor:
        """Returns how well the worst item of the slate that fits best does, [batch, 1]."""
        return fits.topk(min(self.slate_size, fits.shape[1]), dim=1).values[:, -1:]

    def met(self, fits: Tensor, best: Tensor) -> Tensor:
        """Returns what items score by what is asked for, [batch, num_items]: 0 for the best, less for others.

        Where nothing was read beforehand there are no errors of reading to allow for: then it is how well they fit.
        """
        if not self._reads_wishes:
            return fits
        gains, short = self._gains(), best - fits
        return -torch.relu(short - gains[3] * gains[4]) - _LEAK * short

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
        fits = self.fits(query, self.table)
        scores = scores + self.met(fits, self.best(fits))
        bonus = torch.einsum("bmk,bk->bm", inputs.mark_kinds, query.marks)
        return scores.scatter_add_(1, inputs.marked, bonus)

    def forward(self, inputs: ScorerInputs) -> Tensor:
        """Returns every item's score, [batch, num_items]."""
        return self.scores(self.query(self.state(inputs), inputs), inputs)


def _inner(weights: Tensor, items: Tensor) -> Tensor:
    """Returns ``weights`` [batch, width] times items, [num_items, width] or of each row's own, [batch, num_items]."""
    return weights @ items.T if items.dim() == 2 else torch.einsum("bd,bmd->bm", weights, items)

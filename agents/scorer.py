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
from dataclasses import dataclass, fields, replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from instructrec.agents.features import ItemFeatures
from instructrec.agents.history import EarlierTurns, HistoryAttention
from instructrec.agents.scorer_config import ScorerConfig, known_features
from instructrec.agents.slate_critic import SlateCritic, Values

MARKS = 3
"""Kinds of marks an item can bear: in the visible past, clicked this session, shown this session."""

_LEAK = 0.1
"""How much of what an item lacks counts within the slack."""

_KEEP_WIDTH = 64
"""Width of what is made of a sentence to tell whether it begins anew."""
_FAST = 4.0
"""How many times faster than other parameters `growth` and `marks_growth` move."""


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
        facts: Turn and click counts, [batch, FACTS].
        marked: Item numbers that bear marks, int64 [batch, num_marked]; 0 where `mark_kinds` is 0. The last ones are
            those of the session's slates, turn by turn.
        mark_kinds: How often each mark kind applies, [batch, num_marked, MARKS].
    """

    text: Tensor
    earlier: Tensor
    profile: Tensor
    clicked: Tensor
    shown: Tensor
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

    def turns(self, slate_size: int) -> EarlierTurns:
        """Returns what happened at the earlier turns; some turns before the first may be added, which are empty."""
        number = self.marked.shape[1] // slate_size
        last = slice(self.marked.shape[1] - number * slate_size, None)
        shape = (self.batch, number, slate_size)
        _, clicked, shown = (self.mark_kinds[:, last, kind].reshape(shape) > 0 for kind in range(MARKS))
        return EarlierTurns(self.marked[:, last].reshape(shape), shown, clicked)


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
        config: Sizes, what is read, and start.

    Raises:
        ValueError: If it is to know wishes and no sentence vectors, and wishes are read from nothing else.
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
        reads_text, reads_attributes = self.config.reads_text, self.config.reads_attributes
        if reads_attributes and not reads_text and features.wishes is None:
            raise ValueError(
                "reads_text=false leaves nothing to read wishes from, since no prompts were read; set prompts above 0, "
                "or reads_attributes=false"
            )
        self.blocks, self.slate_size = dict(features.blocks), slate_size
        width, numbers = features.width, features.blocks["numbers"]
        # Not saved with the weights: they are rebuilt from the catalogue, and checked by the features' fingerprint.
        self.register_buffer("table", known_features(features, self.config), persistent=False)
        self.register_buffer("projection", torch.from_numpy(features.projection), persistent=False)
        self._encoder_scale, self._rank = math.sqrt(encoder_width), features.profile_width - width - 2
        self._values, self._num_values = tuple(features.values.values()), features.num_values
        self._encoder_width, self._num_attributes = encoder_width, numbers.stop
        self._num_wishes = self._num_values + self._num_attributes
        self.reads_wishes = features.wishes is not None and reads_attributes
        # How much of each wish as it was read counts, and the shortest way from words to wishes that were not.
        self.wish_gain = nn.Parameter(torch.ones(self._num_wishes))
        self.shortcut = nn.Linear(encoder_width, self._num_wishes)
        nn.init.zeros_(self.shortcut.weight)
        nn.init.zeros_(self.shortcut.bias)
        # Whether a text goes on from what was said before it: as it was read, and as experience corrects.
        self.keep_scale, self.keep_age = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(memory))
        self.keep = nn.Sequential(nn.Linear(encoder_width, _KEEP_WIDTH), nn.GELU(), nn.Linear(_KEEP_WIDTH, 1))
        last = cast("nn.Linear", self.keep[-1])
        nn.init.zeros_(last.weight)
        # Where nothing was read, what was asked mostly holds.
        nn.init.constant_(last.bias, 0.0 if self.reads_wishes else 1.5)
        state_width = 2 * self._num_wishes + features.profile_width + 2 * width + FACTS
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
        # What only some settings have comes last: the others start from the same numbers with it and without.
        self.history: HistoryAttention | None = None
        if self.config.history == "attention":
            self.history = HistoryAttention(
                state_width=state_width, num_wishes=self._num_wishes, item_width=width, memory=memory
            )
        # Without wishes, the shortest way from words to the items' texts.
        self.text_shortcut: nn.Linear | None = None
        if "text" in self.blocks and reads_text and not reads_attributes:
            self.text_shortcut = nn.Linear(encoder_width, features.projection.shape[1])
            nn.init.zeros_(self.text_shortcut.weight)
            nn.init.zeros_(self.text_shortcut.bias)

    def reading_parameters(self) -> list[nn.Parameter]:
        """Returns the parameters that turn texts into wishes and features."""
        modules = (self.shortcut, self.keep, self.text_shortcut)
        parameters = [parameter for module in modules if module is not None for parameter in module.parameters()]
        return [*parameters, self.wish_gain, self.keep_scale, self.keep_age]

    def actor_parameters(self) -> list[nn.Parameter]:
        """Returns every parameter but the critic's."""
        critic = set(self.critic.parameters())
        return [parameter for parameter in self.parameters() if parameter not in critic]

    def known(self, inputs: ScorerInputs) -> ScorerInputs:
        """Returns the inputs with zeros for what this network is not to know."""
        settings, words = self.config, {}
        if not settings.reads_text or not settings.reads_attributes:
            read = torch.zeros(inputs.text.shape[1])
            read[: self._encoder_width] = float(settings.reads_text)
            read[self._encoder_width :] = float(settings.reads_attributes)
            words = {"text": inputs.text * read, "earlier": inputs.earlier * read}
        if not settings.reads_history:
            before = ("earlier", "profile", "clicked", "shown", "facts")
            words |= {name: torch.zeros_like(getattr(inputs, name)) for name in before}
        return replace(inputs, **words) if words else inputs

    def _heard(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what is made of texts: wishes [num_texts, num_wishes], and log-odds of going on, [num_texts].

        Args:
            vectors: Of texts, [num_texts, text width].
        """
        sentence = vectors[:, : self._encoder_width]
        wishes, goes_on = self.shortcut(sentence), self.keep(self._encoder_scale * sentence)[:, 0]
        if self.reads_wishes:
            wishes = wishes + self.wish_gain * vectors[:, self._encoder_width : -1]
            goes_on = goes_on + self.keep_scale * vectors[:, -1]
        return wishes if self.config.reads_attributes else torch.zeros_like(wishes), goes_on

    def state(self, inputs: ScorerInputs) -> tuple[Tensor, Tensor]:
        """Returns what actor and critic read.

        Returns:
            Features of the session, [batch, state width], and what is asked for by now, [batch, num_wishes].
        """
        inputs = self.known(inputs)
        wishes, goes_on = self._heard(inputs.text)
        now = wishes * (inputs.text != 0).any(dim=1, keepdim=True)
        before, each = self._asked_before(inputs, goes_on)
        asked = now + before
        # Of the words only the wishes go on to the deep layers, which would learn the training texts by heart.
        parts = [4 * now, 4 * asked, inputs.profile, inputs.clicked, inputs.shown, inputs.facts]
        features = torch.cat(parts, dim=1)
        if self.history is not None:
            features = features + self.history(features, each, inputs.turns(self.slate_size), self.table)
        return features, asked

    def _asked_before(self, inputs: ScorerInputs, goes_on: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what earlier texts asked for.

        Returns:
            What of it still holds, since no later text began anew, [batch, num_wishes]; and what each asked for, newest
            first, [batch, memory, num_wishes].
        """
        spoken = (inputs.earlier != 0).any(dim=2)  # [batch, memory]
        # Sessions are mostly young: only what was said is worked out, one row per earlier instruction.
        row, ago = torch.nonzero(spoken, as_tuple=True)
        wishes, before = self._heard(inputs.earlier[row, ago])
        memory = spoken.shape[1]
        # Of each text, whether it goes on from the one before it; the newest is the instruction itself.
        earlier = torch.zeros(spoken.shape).index_put((row, ago), before)
        later = torch.cat([goes_on[:, None], earlier[:, : memory - 1]], dim=1) + self.keep_age
        kept = torch.cumsum(nn.functional.logsigmoid(later), dim=1).exp()
        weighted = kept.flatten().index_select(0, row * memory + ago)[:, None] * wishes
        each = torch.zeros(spoken.numel(), self._num_wishes).index_copy(0, row * memory + ago, wishes)
        return torch.zeros(len(spoken), self._num_wishes).index_add(0, row, weighted), each.view(*spoken.shape, -1)

    def query(self, state: tuple[Tensor, Tensor], inputs: ScorerInputs) -> Query:
        """Returns what the actor wants."""
        features, asked = state
        inputs = self.known(inputs)
        head = self.head(self.trunk(features))
        similarity, popularity, stars, gain, _ = self.gains()
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
                sentence = inputs.text[:, : self._encoder_width]
                part = part + similarity * (sentence @ self.projection)
                if self.text_shortcut is not None:
                    part = part + self.text_shortcut(self._encoder_scale * sentence)
            parts.append(part)
        return Query(torch.cat(parts, dim=1), gain * asked, head[:, width:] + self.mark_points())

    def gains(self) -> Tensor:
        """Returns the weights of similarity, popularity, stars and wishes, and the slack, [5]."""
        return self.start * torch.exp(_FAST * self.growth)

    def mark_points(self) -> Tensor:
        """Returns what marks add whatever the session, [MARKS]."""
        return self.start_marks * torch.exp(_FAST * self.marks_growth)

    @torch.no_grad()
    def set_weights(self, gains: Tensor, mark_points: Tensor) -> None:
        """Sets what `gains` and `mark_points` return; what would change its sign becomes a hundredth of what it was.

        Args:
            gains: [5].
            mark_points: [MARKS].
        """
        for growth, wanted, start in (
            (self.growth, gains, self.start),
            (self.marks_growth, mark_points, self.start_marks),
        ):
            ratio = wanted / torch.where(start == 0, 1.0, start)
            growth.copy_(torch.where(start == 0, 0.0, torch.log(ratio.clamp(0.01, 100.0)) / _FAST))

    def stars_and_similarity(self, inputs: ScorerInputs, items: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what the visible past and the text by themselves say for items, in stars and cosines.

        Args:
            inputs: What is seen.
            items: Items of each row's own, int64 [batch, num_items].

        Returns:
            Both [batch, num_items]; zeros where there are no ratings or item texts.
        """
        seen, rows = self.known(inputs), self.table[items]
        width, nothing = self.table.shape[1], torch.zeros(items.shape)
        stars = similarity = nothing
        if "factors" in self.blocks:
            stars = _inner(seen.profile[:, width : width + self._rank], rows[:, :, self.blocks["factors"]])
        if "text" in self.blocks:
            sentence = seen.text[:, : self._encoder_width] @ self.projection
            similarity = _inner(sentence, rows[:, :, self.blocks["text"]])
        return stars, similarity

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

    def best_of_all(self, query: Query) -> Tensor:
        """Returns the same of the whole catalogue, whose gradient costs what that of one item does, [batch, 1]."""
        with torch.no_grad():
            item = self.fits(query, self.table).topk(min(self.slate_size, len(self.table)), dim=1).indices[:, -1:]
        return self.fits(query, self.table[item])

    def met(self, fits: Tensor, best: Tensor) -> Tensor:
        """Returns what items score by what is asked for, [batch, num_items]: 0 for the best, less for others.

        Where nothing was read beforehand there are no errors of reading to allow for: then it is how well they fit.
        """
        if not self.reads_wishes:
            return fits
        gains, short = self.gains(), best - fits
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

"""Why an item has its score: what each word, the past, the session, popularity and attributes add to an average item's.

A score is ``query · features``, what the item lacks of what is asked for, marks, and the item's own learned score; only
the last does not depend on the person. Items that meet every wish lack nothing and score 0 for it, others less: what
such a score says shows beside the other items. So everything is set against the average item: the mean score of all
that there is to choose from. To add 0 is to be an average item; a wish that is met adds, one that is not takes away.

What a person brings does not simply add up: "no" means nothing without "horror". So it is shared out as in a
cooperative game. Its players are the words of the instruction, all that was said before, the visible past, and this
session; the worth of some of them is by how much the item's score exceeds the mean score of all items where only they
are there: the other words are deleted and the text is read anew, what was said before was not, the past is empty,
nothing was shown. Words that mean the opposite apart, as in "no horror", are one player (`instructrec.agents.phrases`).
Shares are Owen values: Shapley values among the four, and of the words within theirs. What nobody brings (an empty
text, no past, the first turn) is linear, and is told by blocks of features: popularity, ratings, attributes and texts,
and the item's own score. All these parts and the average item's score sum to the item's score.

Shapley values are the one division that is complete (nothing is left over), treats equals alike and gives nothing to
what changes nothing. Where there are too many words for all their subsets, orders of the words are drawn, each with its
reverse; in every order the words' shares telescope to the whole, so that the sum stays exact and only the division is
estimated. Gradients along a path would be cheaper, but a text is no point between others: half a word cannot be read.
Orders come from a fixed seed, so the same question has the same answer.

References:
    Shapley (1953), A value for n-person games; Owen (1977), Values of games with a priori unions (the words as one
    union); Štrumbelj and Kononenko (2014), Explaining prediction models and individual predictions with feature
    contributions (drawing orders); Lundberg and Lee (2017), A unified approach to interpreting model predictions;
    Sundararajan et al. (2017), Axiomatic attribution for deep networks (completeness against a baseline); Mitchell et
    al. (2022), Sampling permutations for Shapley value estimation (orders with their reverse).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from instructrec.agents.candidates import Candidates, scores_among
from instructrec.agents.inputs import Inputs, inputs_of
from instructrec.agents.phrases import phrases_of, plain, words_of
from instructrec.agents.scorer import ScorerInputs
from instructrec.agents.slate_policy import SlateRanker
from instructrec.arrays import Bools, Floats, Ints
from instructrec.sessions import Observation

TEXTS = 256
"""How many texts one explanation gives to the language model at most: half to find phrases, half to divide among words
and phrases, which is every subset of up to seven of them."""
ABOUT = {
    "said before": "what was said earlier in this session",
    "past": "what is known from before this session",
    "session": "what was shown and clicked in this session",
    "popularity": "how popular it is, whatever is said",
    "ratings": "how well everybody rates it, whatever is said",
    "attributes": "its attributes and text, whatever is said",
    "item": "a score of its own that the agent has learned",
}
"""The parts of a score besides the words. Those that there are not (no past, a first turn) are absent, never zero."""

_PERSON = ("said before", "past", "session")
_ORDERS = 4
"""How many orders are drawn at least: texts of more words are taken in runs of neighbouring words."""
_LEAST = 8 * _ORDERS
_ITEMS = 2048
"""How many items, evenly spaced, phrases are found by at most."""


@dataclass(frozen=True)
class Contribution:
    """What one part adds to a score: the word or phrase, or a name of `ABOUT`, and how much."""

    name: str
    value: float


@dataclass(frozen=True)
class Explanation:
    """Why an item has its score.

    Attributes:
        score: The ranker's score.
        average: What an average item scores, the same for all that can be chosen.
        words: What each word or phrase of the instruction adds to that, in the order of the text.
        rest: What the other parts add, in the order of `ABOUT`.
    """

    score: float
    average: float
    words: tuple[Contribution, ...]
    rest: tuple[Contribution, ...]

    @property
    def total(self) -> float:
        """What an average item scores and the sum of all contributions: the score, but for rounding."""
        return math.fsum((self.average, *(part.value for part in (*self.words, *self.rest))))


@torch.no_grad()
def explain(
    ranker: SlateRanker, observation: Observation, items: Ints, *, texts: int = TEXTS, seed: int = 0
) -> list[list[Explanation]]:
    """Returns why items have their scores.

    Args:
        ranker: What scores them.
        observation: The sessions.
        items: Which items, distinct in each row, [batch, num_chosen]; where the observation names candidates, of these.
        texts: How many texts the language model reads per session at most, 32 or more.
        seed: Of the orders in which words are added, where there are too many words for all their subsets.

    Returns:
        Per session, one explanation per item.

    Raises:
        ValueError: If ``texts`` is below 32, or ``items`` does not fit the observation or repeats one.
    """
    items = np.asarray(items)
    if items.ndim != 2 or len(items) != observation.batch:
        raise ValueError(f"items must be [batch, num_chosen] with {observation.batch} rows, got shape {items.shape}")
    return [
        _explained(_Situation(ranker, observation.rows(slice(row, row + 1))), chosen, texts, seed)
        for row, chosen in enumerate(items)
    ]


@torch.no_grad()
def parts_of(ranker: SlateRanker, observation: Observation, *, texts: int = TEXTS) -> list[list[str]]:
    """Returns each session's text cut into the words and phrases that `explain` tells of: joined, they are the text.

    Args:
        ranker: Who reads them: what belongs together depends on it.
        observation: The sessions.
        texts: How many texts the language model reads per session at most, 32 or more.

    Raises:
        ValueError: If ``texts`` is below 32.
    """
    rows = (observation.rows(slice(row, row + 1)) for row in range(observation.batch))
    return [_parts(_Situation(ranker, row), texts) for row in rows]


def _parts(situation: _Situation, texts: int) -> list[str]:
    if texts < _LEAST:
        raise ValueError(f"texts must be {_LEAST} or more, got {texts}; fewer tell nothing of single words")
    return phrases_of(words_of(situation.text, texts // (2 * _ORDERS)), situation.among_all, texts // 2)


def _explained(situation: _Situation, items: Ints, texts: int, seed: int) -> list[Explanation]:
    places = situation.places(items)
    words, others = _parts(situation, texts), situation.person
    among_words, word_shares = _division(len(words), texts // 2, seed)
    among_parts, part_shares = _division(1 + len(others), 1 << (1 + len(others)), seed)
    # The parts of the person that are there beside the words: the worth of every subset of words with each.
    beside = among_parts[~among_parts[:, 0], 1:]  # [num_beside, num_others]
    said = ["".join(word for word, kept in zip(words, row, strict=True) if kept) for row in among_words]
    scores, average = situation.scores(said, beside, places)
    worth = scores - average  # [num_subsets, num_beside, num_items]
    # How likely each coalition stands there when the words come, in an order of the parts drawn by chance.
    size, num_parts = beside.sum(axis=1), 1 + len(others)
    chance = np.array([1 / (num_parts * math.comb(num_parts - 1, int(k))) for k in size])
    of_words = np.einsum("ws,t,sti->wi", word_shares, chance, worth)
    # All the words or none of them, with each coalition of the others.
    whole = np.where(among_parts[:, 0], len(among_words) - 1, 0)
    place = {row.tobytes(): number for number, row in enumerate(beside)}
    which = [place[row.tobytes()] for row in among_parts[:, 1:]]
    of_others = (part_shares @ worth[whole, which])[1:]
    blocks = situation.blocks(places)
    everybody = place[np.ones(len(others), np.bool_).tobytes()]
    return [
        Explanation(
            float(scores[-1, everybody, item]),
            float(average[-1, everybody, 0]),
            tuple(Contribution(*pair) for pair in zip(map(plain, words), of_words[:, item].tolist(), strict=True)),
            tuple(Contribution(*pair) for pair in zip(others, of_others[:, item].tolist(), strict=True))
            + tuple(Contribution(name, float(values[item])) for name, values in blocks.items()),
        )
        for item in range(worth.shape[2])
    ]


def _division(players: int, most: int, seed: int) -> tuple[Bools, Floats]:
    """Returns coalitions, [num_coalitions, players], and how their worth makes shares, [players, num_coalitions].

    All coalitions where they are no more than ``most``, else those that grow in orders drawn from ``seed``. The first
    is empty and the last has everybody. A player's share is what it adds, averaged over orders.
    """
    if 1 << players <= most:
        sets = (np.arange(1 << players)[:, None] >> np.arange(players) & 1).astype(np.bool_)
        size = sets.sum(axis=1)
        join = np.array([1 / (players * math.comb(players - 1, k)) if k < players else 0.0 for k in range(players + 1)])
        return sets, np.where(sets, join[size - 1, None], -join[size, None]).T
    rng = np.random.default_rng(seed)
    pairs = max((most - 2) // (players - 1) // 2, 1)
    orders = [order for _ in range(pairs) for drawn in [rng.permutation(players)] for order in (drawn, drawn[::-1])]
    places = {np.zeros(players, np.bool_).tobytes(): 0}
    steps: list[tuple[int, int, int]] = []
    for order in orders:
        held, before = np.zeros(players, np.bool_), 0
        for player in order.tolist():
            held[player] = True
            after = places.setdefault(held.tobytes(), len(places))
            steps.append((player, before, after))
            before = after
    shares = np.zeros((players, len(places)))
    for player, before, after in steps:
        shares[player, after] += 1 / len(orders)
        shares[player, before] -= 1 / len(orders)
    sets = np.frombuffer(b"".join(places), np.bool_).reshape(-1, players)
    # Everybody was reached at the end of the first order; it goes last.
    order = np.argsort(sets.all(axis=1), kind="stable")
    return sets[order], shares[:, order]


class _Situation:
    """One session as the scorer sees it, and what it would see if parts of it were missing.

    Args:
        ranker: What scores.
        observation: One session.
    """

    def __init__(self, ranker: SlateRanker, observation: Observation) -> None:
        self._scorer, self._reader, self._rows = ranker.scorer, ranker.reader, ranker.rows_at_once
        every = np.arange(len(ranker.scorer.table)) if observation.candidates is None else observation.candidates[0]
        self._choice = torch.from_numpy(every.astype(np.int64))
        self._among = None if observation.candidates is None else Candidates(self._choice)
        self.text = observation.texts.strings(observation.instruction)[0]
        self._inputs = inputs_of(observation, self._reader.encoder, memory=self._reader.memory)
        there = {
            "said before": (self._inputs["earlier_tokens"] != self._reader.encoder.pad_id).any(),
            "past": (self._inputs["past"] >= 0).any(),
            "session": bool(self._inputs["turn"].any()),
        }
        self.person = [name for name in _PERSON if there[name]]

    def places(self, items: Ints) -> Ints:
        """Returns where items stand among all that can be chosen, after checking that they do, and once."""
        if len(np.unique(items)) < len(items):
            raise ValueError(f"items repeats one in {items.tolist()}; each is explained once")
        choice = self._choice.numpy()
        if outside := np.setdiff1d(items, choice).tolist():
            raise ValueError(f"items names {outside[0]}, which is none of the {len(choice)} that can be chosen here")
        return np.array([np.flatnonzero(choice == item)[0] for item in items], np.int64)

    def scores(
        self, texts: Sequence[str], beside: Bools, places: Ints
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Returns items' scores for each text and each coalition, [num_texts, num_coalitions, num_items].

        Args:
            texts: What is said.
            beside: Which parts of the person are there, [num_coalitions, len(person)].
            places: Of the items, among all that can be chosen, [num_items].

        Returns:
            Them, and the mean score of all that can be chosen, [num_texts, num_coalitions, 1].
        """
        found = [(some[:, places], some.mean(axis=1, dtype=np.float64)) for some in self._scored(texts, beside)]
        scores = np.concatenate([chosen for chosen, _ in found]).astype(np.float64)
        shape = (len(texts), len(beside), -1)
        return scores.reshape(shape), np.concatenate([mean for _, mean in found]).reshape(shape)

    def among_all(self, texts: Sequence[str]) -> Floats:
        """Returns what texts make of all items or an even sample, less the mean, [num_texts, num_sampled]."""
        everybody, step = np.ones((1, len(self.person)), np.bool_), -(-len(self._choice) // _ITEMS)
        scores = np.concatenate([some[:, ::step] for some in self._scored(texts, everybody)])
        centred: Floats = scores - scores.mean(axis=1, keepdims=True)
        return centred

    def _scored(self, texts: Sequence[str], beside: Bools) -> Iterator[npt.NDArray[np.float32]]:
        """Yields the scores of all that can be chosen, [some rows, num_choice]: of each text, each coalition."""
        tokens = self._reader.encoder.tokenize(texts)
        text, coalition = np.divmod(np.arange(len(texts) * len(beside)), len(beside))
        for first in range(0, len(text), self._rows):
            some = slice(first, first + self._rows)
            inputs = self._read(tokens[text[some]], beside[coalition[some]])
            query = self._scorer.query(self._scorer.state(inputs), inputs)
            yield scores_among(self._scorer, query, inputs, self._among).numpy()

    def _read(self, tokens: Ints, there: Bools) -> ScorerInputs:
        """Returns what the scorer sees of rows in which only some parts of the person are there."""
        missing = {name: ~there[:, place, None] for place, name in enumerate(self.person)}
        arrays: Inputs = {name: np.repeat(array, len(tokens), axis=0) for name, array in self._inputs.items()}
        arrays["tokens"] = tokens
        empty = {"earlier_tokens": self._reader.encoder.pad_id, "past": -1, "slates": -1}
        homes = {"said before": ("earlier_tokens",), "past": ("past", "past_ratings")}
        homes["session"] = ("slates", "clicked", "turn")
        for part, rows in missing.items():
            for name in homes[part]:
                arrays[name] = np.where(rows, arrays[name].dtype.type(empty.get(name, 0)), arrays[name])
        return self._reader.read(arrays)

    def blocks(self, places: Ints) -> dict[str, npt.NDArray[np.float64]]:
        """Returns what items' features add to an average item where nobody says or did anything, each [num_items]."""
        nobody = self._read(self._reader.encoder.tokenize([""]), np.zeros((1, len(self.person)), np.bool_))
        query = self._scorer.query(self._scorer.state(nobody), nobody)
        added = query.features[0].double() * self._against_average(self._scorer.table, places)  # [num_items, width]
        of = {"popularity": "popularity", "quality": "ratings"}
        found = {name: np.zeros(len(added)) for name in ABOUT if name in {*of.values(), "attributes"}}
        for name, block in self._scorer.blocks.items():
            found[of.get(name, "attributes")] += added[:, block].sum(dim=1).numpy()
        # A language model's vector of an empty text is not zero, and something may be read from it.
        fits = self._scorer.fits(query, self._scorer.table)[:, self._choice]
        met = self._scorer.met(fits, self._scorer.best(fits))[0].double()
        found["attributes"] += (met[places] - met.mean()).numpy()
        if "quality" not in self._scorer.blocks:
            del found["ratings"]
        if self._scorer.item_bias is not None:
            found["item"] = self._against_average(self._scorer.item_bias, places).numpy()
        return found

    def _against_average(self, values: Tensor, places: Ints) -> Tensor:
        """Returns items' ``values`` [num_items, ...] less the mean of all that can be chosen."""
        return values[self._choice[places]].double() - values[self._choice].mean(dim=0, dtype=torch.float64)

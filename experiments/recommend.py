"""Recommending outside any environment: a trained run answers people's own words.

It needs the run folder alone (weights, catalogue) and the language model; no world and no simulated people.
"""

from __future__ import annotations

import math
import os
import textwrap
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from instructrec.agents.encoder import UnreadWarning, unread
from instructrec.agents.explanations import ABOUT, Contribution, Explanation, explain
from instructrec.agents.slate_policy import SlateRanker
from instructrec.arrays import Floats, Ints
from instructrec.catalogue import Catalogue
from instructrec.envs.parser import Parse, parse
from instructrec.envs.vocabulary import Vocabulary
from instructrec.envs.worlds import speech_of
from instructrec.experiments.catalogue_files import read_catalogue
from instructrec.goals import RELATIVE, Predicate, compile_goals, satisfied
from instructrec.names import in_a_line
from instructrec.policies import best_first
from instructrec.protocols import Ranker
from instructrec.runs import RunConfig
from instructrec.sessions import Observation
from instructrec.texts import Texts

Past: TypeAlias = Sequence[tuple[str | int, float]]
"""What a person consumed before: pairs of an item id and a rating, oldest first."""


@dataclass(frozen=True)
class Recommendation:
    """One recommended item.

    Attributes:
        title: Its title.
        score: The agent's score, higher is better; comparable within one answer only.
        item_id: Its id in the catalogue.
    """

    title: str
    score: float
    item_id: str


@dataclass(frozen=True)
class Recommender:
    """A trained agent that answers texts; see `load`.

    Attributes:
        ranker: Scores the items.
        catalogue: The items.
        slate_size: Items per slate where it was trained.
        turn_limit: Slates per session where it was trained.
        past_length: How many items of a person's past it reads at most: the latest.
        config: What was run.
    """

    ranker: Ranker = field(repr=False)
    catalogue: Catalogue = field(repr=False)
    slate_size: int
    turn_limit: int
    past_length: int
    config: RunConfig
    _texts: Texts = field(default_factory=lambda: Texts(capacity=100_000), repr=False)
    _places: dict[str, int] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return in_a_line(
            self,
            f"{self.config.agent} of {self.config.world}",
            f"{self.config.steps:,} user-steps",
            f"{self.catalogue.num_items:,} items",
            f"fingerprint {self.catalogue.fingerprint}",
        )

    def __post_init__(self) -> None:
        self._places.update({name: place for place, name in enumerate(self.catalogue.item_ids)})

    @overload
    def recommend(  # type: ignore[overload-overlap]  # To Python, a text is a sequence of texts.
        self, texts: str, k: int = 10, history: Past | None = None
    ) -> list[Recommendation]: ...

    @overload
    def recommend(
        self, texts: Sequence[str], k: int = 10, history: Sequence[Past | None] | None = None
    ) -> list[list[Recommendation]]: ...

    def recommend(self, texts: Any, k: int = 10, history: Any = None) -> Any:
        """Returns the best items for each text, best first.

        Args:
            texts: What people want: several texts, or one.
            k: Items per text, from 1 to the number of items.
            history: For each text (for one text: its own) what that person consumed before, pairs of an item id and a
                rating, oldest first; None where nothing is known.

        Returns:
            A list of items per text; for one text, its list.

        Raises:
            ValueError: If a text is empty, ``k`` is out of range, or ``history`` does not fit texts or catalogue.
        """
        if isinstance(texts, str):
            return self.recommend([texts], k, None if history is None else [history])[0]
        if not len(texts):
            return []
        best, found = self._best(texts, k, history)
        return [self._recommendations(items, row) for items, row in zip(best, found, strict=True)]

    def explain(self, text: str, k: int = 10, history: Past | None = None) -> list[tuple[Recommendation, Explanation]]:
        """Returns the best items for a text, as `recommend` does, each with what its score is made of.

        Args:
            text: What a person wants.
            k: Items, from 1 to the number of items.
            history: What the person consumed before, as in `recommend`.

        Raises:
            TypeError: If the agent is none whose scores can be taken apart.
            ValueError: As `recommend`.
        """
        if not isinstance(self.ranker, SlateRanker):
            raise TypeError(f"only SlatePPO's scores can be explained; this is a {type(self.ranker).__name__}")
        past = None if history is None else [history]
        best, scores = self._best([text], k, past)
        why = explain(self.ranker, self.observation([text], past), best)[0]
        return list(zip(self._recommendations(best[0], scores[0]), why, strict=True))

    def _best(self, texts: Sequence[str], k: int, history: Sequence[Past | None] | None) -> tuple[Ints, Floats]:
        """Returns the best items and their scores, both [num_texts, k], after checking what was asked."""
        if not 1 <= k <= self.catalogue.num_items:
            raise ValueError(f"k must be from 1 to the number of items ({self.catalogue.num_items}), got {k}")
        for place, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"text {place} is empty; say what is wanted, for example 'a comedy from the 90s'")
        if problem := self.unread(texts):
            warnings.warn(problem, UnreadWarning, stacklevel=3)
        scores = np.asarray(self.ranker.scores(self.observation(texts, history)))
        best = best_first(scores, k)
        return best, np.take_along_axis(scores, best, axis=1)

    def _recommendations(self, items: Ints, scores: Floats) -> list[Recommendation]:
        return [
            Recommendation(self.catalogue.titles[item], float(score), self.catalogue.item_ids[item])
            for item, score in zip(items.tolist(), scores.tolist(), strict=True)
        ]

    def unread(self, texts: Sequence[str]) -> str:
        """Returns a sentence for texts that the agent's language model does not read, and nothing for others."""
        reader = getattr(self.ranker, "reader", None)
        return "" if reader is None else unread(reader.encoder, texts)

    def observation(self, texts: Sequence[str], history: Sequence[Past | None] | None = None) -> Observation:
        """Returns what the agent sees when people begin by saying ``texts``; ``history`` as in `recommend`.

        Raises:
            ValueError: If ``history`` does not fit texts or catalogue.
        """
        batch = len(texts)
        past, ratings = self._past([None] * batch if history is None else history, batch)
        return Observation(
            instruction=self._texts.ids(text.strip() for text in texts),
            said=np.full((batch, self.turn_limit), -1, np.int64),
            past=past,
            past_ratings=ratings,
            slates=np.full((batch, self.turn_limit, self.slate_size), -1, np.int32),
            clicked=np.zeros((batch, self.turn_limit, self.slate_size), np.bool_),
            turn=np.zeros(batch, np.int32),
            candidates=None,
            texts=self._texts,
        )

    def _past(
        self, history: Sequence[Past | None], batch: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        if len(history) != batch:
            raise ValueError(f"history needs one entry per text: {batch} texts, but {len(history)} histories")
        past = np.full((batch, self.past_length), -1, np.int32)
        ratings = np.zeros((batch, self.past_length), np.float32)
        for row, entries in enumerate(history):
            for place, entry in enumerate((entries or ())[-self.past_length :] if self.past_length else ()):
                past[row, place], ratings[row, place] = self._consumed(entry)
        return past, ratings

    def _consumed(self, entry: Any) -> tuple[int, float]:
        try:
            name, rating = entry
            rating = float(rating)
        except (TypeError, ValueError) as error:
            raise ValueError(f"a history holds pairs of an item id and a rating, got {entry!r}") from error
        if str(name) not in self._places:
            raise ValueError(f"history names item {name!r}, which is not in the catalogue; give ids as in item_id")
        if not np.isfinite(rating):
            raise ValueError(f"the rating of item {name!r} is {rating}; it must be a finite number")
        return self._places[str(name)], rating


def load(run: str | os.PathLike[str], *, warm: bool = True) -> Recommender:
    """Loads a trained run for recommending; nothing in it is executed.

    Args:
        run: The run folder that ``instructrec train`` or ``demo`` made.
        warm: Whether to load the language model now. Otherwise the first text that no cache knows does, and waits a
            second or more for it.

    Raises:
        RunError: If it is not a run, a file is missing or damaged, or the catalogue is not the one trained on.
    """
    from instructrec.experiments.trainers import load_run

    config = RunConfig.read(run)
    catalogue = read_catalogue(run, config.catalogue)
    loaded = load_run(run, config, catalogue)
    found = Recommender(
        ranker=loaded.ranker,
        catalogue=catalogue,
        slate_size=loaded.slate_size,
        turn_limit=loaded.turn_limit,
        past_length=loaded.past_length,
        config=config,
    )
    if warm:
        # A text that nobody said before, so that no cache answers for the language model.
        found.recommend(uuid.uuid4().hex, k=1)
    return found


_FAINT = 0.1
"""Words that add less than this share of the largest contribution are summed up."""


# --- For people --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Judged:
    """What the parser made of a text, and which items meet it: ``met`` is [num_predicates, num_shown]."""

    understood: Parse
    judged: tuple[Predicate, ...]
    met: npt.NDArray[np.bool_]


def _judge(catalogue: Catalogue, words: Vocabulary, text: str, items: Sequence[int]) -> _Judged:
    understood = parse(text, words)
    # "Newer than the second one" speaks of a slate, and there is none here.
    judged = tuple(wish for wish in understood.predicates if wish.operator not in RELATIVE)
    goals = compile_goals([judged], catalogue)
    return _Judged(understood, judged, satisfied(goals, catalogue, np.asarray(items)[None])[0, : len(judged)])


def answer(run: str | os.PathLike[str], text: str, k: int, *, explained: bool = False) -> tuple[dict[str, Any], str]:
    """Answers one text for the command line: a document, and a table of at most 80 columns.

    Args:
        run: The run folder.
        text: What is wanted.
        k: How many items.
        explained: Whether to say of each item what its score is made of.

    Raises:
        TypeError: As `Recommender.explain`.
        ValueError: As `load` and `Recommender.recommend`.
    """
    if not text.strip():
        raise ValueError('the text is empty; say what you want, for example "a comedy from the 90s"')
    if k < 1:
        raise ValueError(f"-k must be 1 or more, got {k}")
    recommender = load(run, warm=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreadWarning)  # It stands in the answer.
        why: list[Explanation] = []
        if explained:
            pairs = recommender.explain(text, k)
            found, why = [item for item, _ in pairs], [reasons for _, reasons in pairs]
        else:
            found = recommender.recommend(text, k)
    places = {name: place for place, name in enumerate(recommender.catalogue.item_ids)}
    config = recommender.config
    words = speech_of(config.world, str(config.world_settings.get("language", "en"))).within(recommender.catalogue)
    judged = _judge(recommender.catalogue, words, text, [places[item.item_id] for item in found])
    wishes = [str(wish) for wish in judged.judged]
    items: list[dict[str, Any]] = [
        {
            "title": item.title,
            "score": item.score,
            "item_id": item.item_id,
            "meets": {wish: bool(met) for wish, met in zip(wishes, judged.met[:, place], strict=True)},
        }
        for place, item in enumerate(found)
    ]
    for place, reasons in enumerate(why):
        items[place]["why"] = reasons
    document: dict[str, Any] = {
        "text": text,
        "understood": wishes,
        "not_understood": list(judged.understood.unknown),
        "items": items,
    }
    table = _table(found, judged, why)
    if problem := recommender.unread([text]):
        document["warning"] = problem
        table += "\n\n" + textwrap.fill(f"Beware: {problem}.", 80)
    return document, table


def _table(found: Sequence[Recommendation], judged: _Judged, why: Sequence[Explanation] = ()) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"[: len(judged.judged)]
    lines = ["What the parser understood:" if letters else "The parser found no condition in it."]
    lines += [f"  {letter}  {wish}" for letter, wish in zip(letters, judged.judged, strict=False)]
    width = 80 - 14 - 3 * len(letters)
    lines += ["", f" #  {'title':<{width}} {'score':>8}" + "".join(f"  {letter}" for letter in letters)]
    for place, item in enumerate(found):
        marks = "".join("  ✓" if met else "  ✗" for met in judged.met[: len(letters), place])
        title = textwrap.shorten(item.title, width, placeholder="…")
        lines.append(f"{place + 1:>2}  {title:<{width}} {item.score:>8.2f}{marks}")
        if why:
            for line in summed_up(why[place]):
                wrapped = textwrap.wrap(line, 80, initial_indent="      ", subsequent_indent="      ")
                lines += [part.replace("\u00a0", " ") for part in wrapped]
    lines += _legend(why)
    if judged.understood.unknown:
        words = ", ".join(judged.understood.unknown)
        lines += ["", *textwrap.wrap(f"Words the parser did not understand: {words}.", 80)]
        lines += ["The agent reads them all the same; ✓ and ✗ come from the parser alone."]
    relative = [str(wish) for wish in judged.understood.predicates if wish not in judged.judged]
    if relative:
        lines += ["", *textwrap.wrap(f"Not judged, since no slate was shown before: {'; '.join(relative)}.", 80)]
    return "\n".join(lines)


def summed_up(why: Explanation, most: int = 6) -> tuple[str, str]:
    """Returns an explanation in two lines: the words that matter, and the other parts.

    Rounding aside, they sum to by how much the score exceeds an average item's.

    Args:
        why: What a score is made of.
        most: How many words and phrases to name at most, those that add or take most; the others are summed.
    """
    largest = max((abs(part.value) for part in (*why.words, *why.rest)), default=0.0)
    ranked = sorted(range(len(why.words)), key=lambda place: -abs(why.words[place].value))[:most]
    named = sorted(place for place in ranked if abs(why.words[place].value) >= _FAINT * largest)
    other = [word.value for place, word in enumerate(why.words) if place not in named]
    words = [why.words[place] for place in named]
    words += [Contribution("other words" if named else "words", math.fsum(other))] if other else []
    return "  ".join(map(_signed, words)), "| " + " | ".join(map(_signed, why.rest))


def _signed(part: Contribution) -> str:
    # Spaces that do not break keep a name and its number on one line.
    return f"{part.name} {signed(part.value)}".replace(" ", "\u00a0")


def signed(value: float) -> str:
    """Returns a contribution with its sign, one decimal."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def _legend(why: Sequence[Explanation]) -> list[str]:
    if not why:
        return []
    there = dict.fromkeys(part.name for each in why for part in each.rest)
    told = "; ".join(f"{name}: {ABOUT[name]}" for name in there)
    average = f"{round(why[0].average, 2) + 0.0:.2f}".replace("-", "−")
    sentence = f"A score is an average item's ({average}) plus what stands under the title: the words; {told}."
    return ["", *textwrap.wrap(sentence, 80)]

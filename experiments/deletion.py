"""Whether explanations can be trusted: deleting what they call important must hurt more than deleting as much else.

References:
    Samek et al. (2017), Evaluating the visualization of what a deep neural network has learned (deleting what is said
    to matter, against deleting at random); DeYoung et al. (2020), ERASER (comprehensiveness of rationales).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from instructrec.agents.explanations import explain, parts_of
from instructrec.agents.phrases import words_of
from instructrec.agents.slate_policy import SlateRanker
from instructrec.arrays import Floats, Ints
from instructrec.experiments.statistics import Crossed
from instructrec.policies import best_first, items_at
from instructrec.sessions import Observation

_DRAWS = 8
"""How often words are chosen at random, per text."""


def deletion_test(ranker: SlateRanker, observation: Observation, *, k: int = 10, seed: int = 0) -> dict[str, Any]:
    """Deletes a third of each text, what has the highest shares or any words, and looks at what was shown.

    A phrase goes as a whole, as it was explained. Chance deletes as many single words: it may leave "musicals" of "no
    musicals", which hurts more than to lose both, so that chance is rather made too strong a rival than too weak.

    Args:
        ranker: What explains itself.
        observation: What is said by whom, all items being candidates; texts of a single word or phrase are passed over.
        k: How many items are shown.
        seed: Of the words that are chosen at random.

    Returns:
        ``texts``: how many there were; ``score``: by how much what the shown items score above the average item falls,
        in the mean; ``slate``: the share of them that is no longer shown. Both have ``explained`` and ``random``, the
        means, and ``difference``: ``value``, ``low`` and ``high`` (95 %) of the paired difference, resampling texts.

    Raises:
        ValueError: If no text has two words or phrases, or the observation names candidates.
    """
    if observation.candidates is not None:
        raise ValueError("the deletion test ranks all items; give observations of a world without candidates")
    found = []
    for row in range(observation.batch):
        one = observation.rows(slice(row, row + 1))
        parts = parts_of(ranker, one)[0]
        if len(parts) > 1:
            found.append(_deleted(ranker, one, parts, k, np.random.default_rng([seed, row])))
    if not found:
        raise ValueError("no text has two words or phrases; a deletion test needs some to delete and some to keep")
    falls = np.stack(found)  # [num_texts, score or slate, explained or random]
    crossed, names = Crossed.of(np.arange(len(falls))), ("score", "slate")
    return {"texts": len(falls)} | {name: _compared(crossed, falls[:, place]) for place, name in enumerate(names)}


def _deleted(ranker: SlateRanker, one: Observation, parts: list[str], k: int, rng: np.random.Generator) -> Floats:
    """Returns what deleting does to score and slate, by explanation and at random, [2, 2]."""
    scores = ranker.scores(one)
    shown = items_at(one, best_first(scores, k))[0]
    shares = np.array([[part.value for part in each.words] for each in explain(ranker, one, shown[None])[0]])
    sizes = np.array([len(words_of(part)) for part in parts])
    ranked = np.argsort(-shares.mean(axis=0), kind="stable")
    # As many as hold a third of the words at most, but one at least.
    number = int(np.searchsorted(sizes[ranked].cumsum(), sizes.sum() // 3, side="right"))
    gone = ranked[: max(number, 1)]
    words = words_of("".join(parts))
    left = [_without(parts, gone)]
    left += [_without(words, rng.choice(len(words), sizes[gone].sum(), replace=False)) for _ in range(_DRAWS)]
    after = ranker.scores(one.rows(np.zeros(len(left), np.int64)).saying(one.texts.ids(left)))
    before, above = (each[:, shown].mean(axis=1) - each.mean(axis=1) for each in (scores, after))
    lost = 1 - np.array([np.isin(shown, each).mean() for each in best_first(after, k)])
    return np.array([[effect[0], effect[1:].mean()] for effect in (before - above, lost)])


def _without(parts: Sequence[str], gone: Ints) -> str:
    """Returns a text without some of its parts."""
    return "".join(part for place, part in enumerate(parts) if place not in set(gone.tolist()))


def _compared(crossed: Crossed, effects: Floats) -> dict[str, Any]:
    explained, random = crossed.ratio(effects[:, 0]), crossed.ratio(effects[:, 1])
    difference = (explained - random).interval().as_dict()
    return {"explained": explained.value, "random": random.value, "difference": difference}

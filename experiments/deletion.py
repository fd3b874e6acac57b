"""Whether explanations can be trusted: deleting the words that they call important must hurt more than deleting others.

References:
    Samek et al. (2017), Evaluating the visualization of what a deep neural network has learned (deleting what is said
    to matter, against deleting at random); DeYoung et al. (2020), ERASER (comprehensiveness of rationales).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from instructrec.agents.explanations import explain, words_of
from instructrec.agents.slate_policy import SlateRanker
from instructrec.arrays import Floats
from instructrec.experiments.statistics import Crossed
from instructrec.policies import best_first, items_at
from instructrec.sessions import Observation

_DRAWS = 8
"""How often words are chosen at random, per text."""


def deletion_test(ranker: SlateRanker, observation: Observation, *, k: int = 10, seed: int = 0) -> dict[str, Any]:
    """Deletes a third of each text's words, those with the highest shares or any, and looks at what was shown.

    Args:
        ranker: What explains itself.
        observation: What is said by whom, all items being candidates; texts of a single word are passed over.
        k: How many items are shown.
        seed: Of the words that are chosen at random.

    Returns:
        ``texts``: how many there were; ``score``: by how much the mean score of the shown items falls; ``slate``: the
        share of them that is no longer shown. Both have ``explained`` and ``random``, the means, and ``difference``:
        ``value``, ``low`` and ``high`` (95 %) of the paired difference, resampling texts.

    Raises:
        ValueError: If no text has two words, or the observation names candidates.
    """
    if observation.candidates is not None:
        raise ValueError("the deletion test ranks all items; give observations of a world without candidates")
    found = []
    for row in range(observation.batch):
        one = observation.rows(slice(row, row + 1))
        words = words_of(one.texts.strings(one.instruction)[0])
        if len(words) > 1:
            found.append(_deleted(ranker, one, words, k, np.random.default_rng([seed, row])))
    if not found:
        raise ValueError("no text has two words; a deletion test needs some to delete and some to keep")
    falls = np.stack(found)  # [num_texts, score or slate, explained or random]
    crossed, names = Crossed.of(np.arange(len(falls))), ("score", "slate")
    return {"texts": len(falls)} | {name: _compared(crossed, falls[:, place]) for place, name in enumerate(names)}


def _deleted(ranker: SlateRanker, one: Observation, words: list[str], k: int, rng: np.random.Generator) -> Floats:
    """Returns what deleting does to score and slate, by explanation and at random, [2, 2]."""
    scores = ranker.scores(one)
    shown = items_at(one, best_first(scores, k))[0]
    shares = np.array([[word.value for word in each.words] for each in explain(ranker, one, shown[None])[0]])
    count = max(1, len(words) // 3)
    gone = [np.argsort(-shares.mean(axis=0), kind="stable")[:count]]
    gone += [rng.choice(len(words), count, replace=False) for _ in range(_DRAWS)]
    left = ["".join(word for place, word in enumerate(words) if place not in set(each.tolist())) for each in gone]
    after = ranker.scores(one.rows(np.zeros(len(left), np.int64)).saying(one.texts.ids(left)))
    fall = scores[0, shown].mean() - after[:, shown].mean(axis=1)
    lost = 1 - np.array([np.isin(shown, each).mean() for each in best_first(after, k)])
    return np.array([[effect[0], effect[1:].mean()] for effect in (fall, lost)])


def _compared(crossed: Crossed, effects: Floats) -> dict[str, Any]:
    explained, random = crossed.ratio(effects[:, 0]), crossed.ratio(effects[:, 1])
    difference = (explained - random).interval().as_dict()
    return {"explained": explained.value, "random": random.value, "difference": difference}

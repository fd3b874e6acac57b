"""From an observation to what the network sees: texts become vectors, pasts profiles, slates sums of features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from instructrec.agents.comparisons import comparison_width
from instructrec.agents.encoder import TextEncoder
from instructrec.agents.features import ItemFeatures, Profiles
from instructrec.agents.inputs import MEMORY, inputs_of
from instructrec.agents.scorer import FACTS, MARKS, ScorerInputs
from instructrec.agents.wishes import wish_encoder
from instructrec.sessions import Observation

Arrays = Mapping[str, npt.NDArray[Any]]


class SessionReader:
    """Reads observations for `SlateScorer`. Tensors it returns are its own: they share no memory with what it read.

    Args:
        features: The items.
        encoder: The language model.
        slate_size: Items per slate.
        turn_limit: Slates per session at most.
        memory: How many earlier instructions are read.
        fading: Share of a turn's weight that is left one turn later, in the sums over what was clicked and shown.
    """

    def __init__(
        self,
        features: ItemFeatures,
        encoder: TextEncoder,
        *,
        slate_size: int,
        turn_limit: int,
        memory: int = MEMORY,
        fading: float = 0.7,
    ) -> None:
        self.features, self.encoder, self.memory = features, encoder, memory
        self.texts = wish_encoder(encoder, features.wishes)
        self.slate_size, self._turn_limit, self._fading = slate_size, turn_limit, fading
        self._profiles = Profiles(features)
        self._comparisons = None if features.wishes is None else features.wishes.comparisons(features.table)
        self._table = torch.from_numpy(features.table)

    @property
    def text_width(self) -> int:
        """Length of a text's vector, wishes included."""
        return self.texts.width - self._num_compared

    @property
    def _num_compared(self) -> int:
        return 0 if self._comparisons is None else comparison_width(len(self._comparisons.steps))

    def see(self, observation: Observation) -> ScorerInputs:
        """Returns what the network sees of an observation."""
        return self.read(inputs_of(observation, self.encoder, memory=self.memory))

    def read(self, arrays: Arrays) -> ScorerInputs:
        """Returns the inputs of a batch.

        Args:
            arrays: As `instructrec.agents.inputs.inputs_of` gives them.
        """
        batch = len(arrays["tokens"])
        tokens = np.asarray(arrays["tokens"])
        width = tokens.shape[1]
        earlier = np.asarray(arrays["earlier_tokens"]).reshape(batch * self.memory, width)
        turn = np.asarray(arrays["turn"]).reshape(batch).astype(np.int64)
        shape = (batch, -1, self.slate_size)
        slates = np.asarray(arrays["slates"]).reshape(shape).astype(np.int64)
        clicked = np.asarray(arrays["clicked"]).reshape(shape) > 0.5
        if slates.shape[1] != self._turn_limit:
            slates, clicked, turn = self._as_trained(slates, clicked, turn)
        # The instruction first, then what was said before it, the latest first; and what was shown before each.
        spoken = np.concatenate([tokens[:, None], earlier.reshape(batch, self.memory, width)], axis=1)
        before = turn[:, None] - 1 - np.arange(1 + self.memory)
        seen = np.where(before[:, :, None] >= 0, slates[np.arange(batch)[:, None], np.maximum(before, 0)], -1)
        vectors = self._heard(spoken.reshape(-1, width), seen.reshape(-1, self.slate_size))
        vectors = vectors.reshape(batch, 1 + self.memory, -1)
        past = np.asarray(arrays["past"]).astype(np.int64)
        age = turn[:, None] - 1 - np.arange(self._turn_limit)
        weights = np.where(age >= 0, self._fading ** np.maximum(age, 0), 0.0)[:, :, None] * (slates >= 0)
        total = np.maximum(weights.sum(axis=(1, 2), keepdims=True), 1e-9)
        marked = np.concatenate([past, slates.reshape(batch, -1)], axis=1)
        kinds = np.zeros((*marked.shape, MARKS), np.float32)
        kinds[:, : past.shape[1], 0] = past >= 0
        kinds[:, past.shape[1] :, 1] = clicked.reshape(batch, -1)
        kinds[:, past.shape[1] :, 2] = marked[:, past.shape[1] :] >= 0
        flat = torch.from_numpy(np.maximum(slates, 0).reshape(batch, -1))
        return ScorerInputs(
            text=torch.from_numpy(vectors[:, 0].copy()),
            earlier=torch.from_numpy(vectors[:, 1:].copy()),
            profile=torch.from_numpy(self._profiles.of(past, np.asarray(arrays["past_ratings"]))),
            clicked=self._sum(flat, weights * clicked / 3.0),
            shown=self._sum(flat, weights / total),
            facts=torch.from_numpy(self._facts(turn, clicked, weights, total)),
            marked=torch.from_numpy(np.maximum(marked, 0)),
            mark_kinds=torch.from_numpy(kinds),
        )

    def _heard(self, tokens: npt.NDArray[Any], slates: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Returns the vectors of texts, what they compare turned into wishes, float32 [num_texts, text_width].

        Args:
            tokens: Their rows, [num_texts, token_length].
            slates: What was shown before each, -1 where nothing was, [num_texts, slate_size].
        """
        vectors = self.texts.encode_tokens(tokens)
        if self._comparisons is None:
            return vectors
        sentence, compared, rest = np.split(vectors, self.encoder.width + np.array([0, self._num_compared]), axis=1)
        wishes = self._comparisons.wishes(compared, slates)
        heard = np.concatenate([sentence, rest], axis=1)
        heard[:, -1 - wishes.shape[1] : -1] += wishes
        return heard

    def _as_trained(
        self, slates: npt.NDArray[np.int64], clicked: npt.NDArray[np.bool_], turn: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """Returns the history of shorter or longer sessions as one of those that the agent knows: the latest turns."""
        before = np.maximum(turn - (self._turn_limit - 1), 0)
        wanted = before[:, None] + np.arange(self._turn_limit)
        there = wanted < slates.shape[1]
        at = np.arange(len(turn))[:, None], np.minimum(wanted, slates.shape[1] - 1)
        kept = np.where(there[:, :, None], slates[at], -1)
        return kept, clicked[at] & there[:, :, None], turn - before

    def _sum(self, items: torch.Tensor, weights: npt.NDArray[np.float64]) -> torch.Tensor:
        flat = torch.from_numpy(weights.reshape(len(weights), -1).astype(np.float32))
        return functional.embedding_bag(items, self._table, mode="sum", per_sample_weights=flat)

    def _facts(
        self, turn: npt.NDArray[np.int64], clicked: npt.NDArray[np.bool_], weights: Any, total: Any
    ) -> npt.NDArray[np.float32]:
        """Turn, whether it is the first or the last, and click rates: of the last slate, fading, and of all."""
        batch = len(turn)
        last = clicked[np.arange(batch), np.maximum(turn - 1, 0)].mean(axis=1)
        facts = np.stack(
            [
                turn / self._turn_limit,
                turn == 0,
                turn == self._turn_limit - 1,
                last,
                (clicked * weights / total).sum(axis=(1, 2)),
                clicked.mean(axis=(1, 2)) * self._turn_limit / np.maximum(turn, 1),
            ],
            axis=1,
        ).astype(np.float32)
        assert facts.shape[1] == FACTS
        return facts


def joined(parts: list[ScorerInputs]) -> ScorerInputs:
    """Returns several batches as one."""
    names = [field.name for field in dataclasses.fields(ScorerInputs)]
    return ScorerInputs(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

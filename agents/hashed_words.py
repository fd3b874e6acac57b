"""An encoder without a language model: words and word pairs, each hashed to a fixed direction.

It knows no meanings, only which words stand in a text and beside which; it needs no weights and takes microseconds. It
is for tests and for machines too small for a language model.

References:
    Weinberger et al. (2009), Feature hashing for large scale multitask learning; Achlioptas (2003),
    Database-friendly random projections (directions of signs).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from instructrec.agents.frozen_model import Head
from instructrec.arrays import Ints
from instructrec.noise import mix

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+")  # Chinese and Japanese have no spaces: each sign is a word.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@lru_cache(maxsize=100_000)
def _word_id(word: str) -> int:
    return 1 + int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big") % 65_535


class HashedWords:
    """A `TokenModel` (see `instructrec.agents.encoder`) that sums the directions of a text's words and word pairs.

    Args:
        token_length: Words per text; the rest is cut off.
        width: Length of a vector, at most 64.
    """

    def __init__(self, token_length: int = 32, width: int = 64) -> None:
        if not 1 <= width <= 64:
            raise ValueError(f"width must be from 1 to 64, got {width}")
        self.token_length = token_length
        self.width = self.state_width = width
        self.pad_id = 0
        self.vocabulary_size = 65_536
        self.fingerprint = f"hashing-1-{token_length}-{width}"
        self.languages: tuple[str, ...] | None = None
        self.rows_per_call = 4096

    def tokenize(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        """Returns hashed words, int32 [num_texts, token_length], padded with 0."""
        tokens = np.zeros((len(texts), self.token_length), np.int32)
        for row, text in enumerate(texts):
            words = _WORD.findall(text.lower())[: self.token_length]
            tokens[row, : len(words)] = [_word_id(word) for word in words]
        return tokens

    def vectors(self, tokens: Ints, head: Head | None = None) -> npt.NDArray[np.float32]:
        """Returns one unit vector per row (zero for a row of padding) and what ``head`` makes of it, float32."""
        ids = tokens.astype(np.uint64)
        pairs = np.where((ids[:, :-1] > 0) & (ids[:, 1:] > 0), (ids[:, :-1] << np.uint64(16)) + ids[:, 1:], 0)
        total = self._directions(ids) + 0.5 * self._directions(pairs)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        vectors = (total / np.where(length > 0, length, 1)).astype(np.float32)
        if head is None:
            return vectors
        import torch

        made = head(torch.from_numpy(self.states(tokens).astype(np.float32)), torch.from_numpy(tokens > 0))
        return np.concatenate([vectors, made.numpy()], axis=1)

    def states(self, tokens: Ints) -> npt.NDArray[np.float16]:
        """Returns each word's direction, zero at padding, float16 [num_rows, token_length, width]."""
        words = self._directions(tokens.astype(np.uint64).reshape(-1, 1))
        return words.reshape(*tokens.shape, self.width).astype(np.float16)

    def _directions(self, grams: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
        """Sums the signs that each n-gram's hash spells, float64 [num_rows, width]; n-gram 0 is none."""
        bits = np.arange(self.width, dtype=np.uint64)
        hashed = mix(grams * _GOLDEN)
        signs = ((hashed[:, :, None] >> bits) & np.uint64(1)).astype(np.float64) * 2 - 1
        return np.asarray((signs * (grams > 0)[:, :, None]).sum(axis=1))

"""Randomness as a function of who, when and what, never of call order.

Every draw is a hash of (seed, lane, ordinal, turn, purpose, index): the same session has the same luck alone and in a
crowd, before and after a restart, in one process and in many.

References:
    Salmon et al. (2011), Parallel random numbers: as easy as 1, 2, 3 (counter-based generators); Steele et al. (2014),
    Fast splittable pseudorandom number generators (the mixing function).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats, Ints

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_WORD, _WORD_1, _WORD_2 = (1 << 64) - 1, int(_MIX_1), int(_MIX_2)
_S30, _S27, _S31, _S12, _S32 = (np.uint64(bits) for bits in (30, 27, 31, 12, 32))
# 52 bits, not 53: the largest draw is then 1 - 2**-53, which a double holds; with one bit more it would round to 1.
_TO_UNIT = float(2.0**-52)


class Purpose(IntEnum):
    """What a draw is for. Exogenous draws (who comes, what they want) are keyed apart from reactions."""

    PERSON = 1
    GOAL = 2
    PHRASING = 3
    DRIFT = 4
    PERCEPTION = 16
    EXAMINATION = 17
    CLICK = 18
    CONSUMPTION = 19
    LEAVING = 20
    CRITIQUE = 21
    USER = 32
    CANDIDATES = 48
    POLICY = 64


def mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scrambles 64-bit integers, one to one (splitmix64's finaliser)."""
    if values.size == 1:
        # One user: Python's integers are three times as fast as arrays of one.
        word = int(values.item())
        word = (word ^ (word >> 30)) * _WORD_1 & _WORD
        word = (word ^ (word >> 27)) * _WORD_2 & _WORD
        return np.array(word ^ (word >> 31), np.uint64).reshape(values.shape)
    mixed = values >> _S30
    mixed ^= values
    mixed *= _MIX_1
    shifted = mixed >> _S27
    mixed ^= shifted
    mixed *= _MIX_2
    np.right_shift(mixed, _S31, out=shifted)
    mixed ^= shifted
    return mixed


def session_keys(seed: Ints, lane: Ints, ordinal: Ints) -> npt.NDArray[np.uint64]:
    """Returns one 64-bit key per session (seed, lane, ordinal); all three have shape [batch]."""
    key = mix(seed.astype(np.uint64) + _GOLDEN)
    key = mix(key + (lane.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return mix(key + (ordinal.astype(np.uint64) + np.uint64(1)) * _GOLDEN)


@lru_cache(maxsize=256)
def _steps(purpose: int, size: int) -> npt.NDArray[np.uint64]:
    """Returns how far from a turn's key each draw of a purpose lies, [1, size]."""
    index = (np.uint64(purpose) << _S32) + np.arange(1, size + 1, dtype=np.uint64)
    steps = (index * _GOLDEN)[None, :]
    steps.flags.writeable = False
    return steps


@dataclass(frozen=True)
class Noise:
    """The luck of a batch of sessions in one turn.

    Attributes:
        keys: One key per session, uint64 [batch]; see `session_keys`.
        turn: The turn within the session, [batch]; 0 before the first slate.
    """

    keys: npt.NDArray[np.uint64]
    turn: Ints

    def integers(self, purpose: int, size: int) -> npt.NDArray[np.uint64]:
        """Returns ``size`` 64-bit hashes per session for ``purpose``, shape [batch, size]."""
        return mix(self._turn_keys + _steps(int(purpose), size))

    @cached_property
    def _turn_keys(self) -> npt.NDArray[np.uint64]:
        """One key per session and turn, [batch, 1]."""
        return mix(self.keys + (self.turn.astype(np.uint64) + np.uint64(1)) * _GOLDEN)[:, None]

    def uniform(self, purpose: int, size: int = 1) -> npt.NDArray[np.float64]:
        """Returns draws in the open interval (0, 1), shape [batch, size]."""
        return ((self.integers(purpose, size) >> _S12).astype(np.float64) + 0.5) * _TO_UNIT

    def gumbel(self, purpose: int, size: int) -> Floats:
        """Returns standard Gumbel draws, shape [batch, size]."""
        return -np.log(-np.log(self.uniform(purpose, size)))

    def generator(self, row: int, purpose: int = Purpose.USER) -> np.random.Generator:
        """Returns a NumPy generator for one session and turn: for users written one at a time."""
        word = self.integers(purpose, 2)[row]
        return np.random.Generator(np.random.Philox(key=word))

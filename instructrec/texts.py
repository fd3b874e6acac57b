"""Texts and their ids: the hot loop moves ids, people and language models see strings.

A bank's texts have the ids 0, 1, 2, …; any other text has an id that is a hash of it, so ids never depend on who spoke
first. Id 0 is the empty text.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Ints

_FREE = 1 << 62


def free_text_id(text: str) -> int:
    """Returns the id of a text outside any bank: 2^62 or more, the same in every process."""
    return _FREE | (
        int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big") >> 2
    )


class UnknownTextError(KeyError, ValueError):
    """An id was never given out by the table that is asked, or its free text was let go."""

    def __str__(self) -> str:
        return str(self.args[0])


class Texts:
    """A two-way table of texts: a fixed bank and a bounded store of free texts (least recently used go first).

    Args:
        bank: The fixed texts; an empty text is put in front when it is not there.
        capacity: How many free texts to keep.
    """

    def __init__(self, bank: Sequence[str] = (), capacity: int = 1_000_000) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self._bank = tuple(bank) if bank and bank[0] == "" else ("", *bank)
        self._ids = {text: place for place, text in enumerate(self._bank)}
        self._free: OrderedDict[int, str] = OrderedDict()
        self._capacity = capacity

    @property
    def bank(self) -> tuple[str, ...]:
        """The fixed texts; the text with id i stands at place i."""
        return self._bank

    def ids(self, texts: Iterable[str]) -> npt.NDArray[np.int64]:
        """Returns the texts' ids, int64 [num_texts], and remembers the new ones."""
        return np.fromiter((self._id(text) for text in texts), np.int64)

    def _id(self, text: str) -> int:
        known = self._ids.get(text)
        if known is not None:
            return known
        number = free_text_id(text)
        self._free[number] = text
        self._free.move_to_end(number)
        if len(self._free) > self._capacity:
            self._free.popitem(last=False)
        return number

    def strings(self, ids: Ints) -> list[str]:
        """Returns the texts of ``ids``; padding (negative ids) gives empty texts.

        Raises:
            UnknownTextError: If an id was never given out here, or its free text was let go.
        """
        return [self._string(int(number)) for number in ids]

    def _string(self, number: int) -> str:
        if number < len(self._bank):
            return self._bank[max(number, 0)]
        if number not in self._free:
            raise UnknownTextError(
                f"no text has the id {number} here; ids come from the same Texts (`texts.ids([...])`), and at most "
                f"{self._capacity} free texts are kept (raise capacity)"
            )
        return self._free[number]

"""What a policy network sees, as arrays: the one home of turning observations into numbers.

| key | what it holds |
|---|---|
| ``tokens`` | the instruction, int32 [batch, token_length] |
| ``earlier_tokens`` | earlier instructions of the session, the latest first, padding where there are none, int32 [batch, memory × token_length] |
| ``past``, ``past_ratings`` | items from before the session, oldest first, padded with -1, and their ratings, int32 and float32 [batch, past_length]; one place of padding in worlds without pasts |
| ``slates``, ``clicked`` | what was shown this session, padded with -1, and what of it was clicked, int32 and int8 [batch, turn_limit × slate_size] |
| ``turn`` | how many slates were shown, int32 [batch, 1] |
| ``candidates`` | the items that may be ranked, int32 [batch, num_candidates]; only where they are fewer than all |
"""  # noqa: E501 (a table has long rows)

from __future__ import annotations

from collections import OrderedDict
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from instructrec.agents.encoder import TextEncoder
from instructrec.arrays import Ints
from instructrec.sessions import Observation, World
from instructrec.texts import Texts

Inputs = dict[str, npt.NDArray[Any]]

MEMORY = 8
"""How many earlier instructions a network sees unless told otherwise."""

_FREE_ROWS = 65_536


class TokenRows:
    """Token rows by text id, each text tokenised when it is first met.

    Args:
        texts: The table that the ids are of.
        encoder: Whose tokens they are.
        capacity: How many texts outside the bank to keep; the least recently used go first.
    """

    def __init__(self, texts: Texts, encoder: TextEncoder, capacity: int = _FREE_ROWS) -> None:
        # Weak keys lead here: a strong reference back to either would keep both alive for ever.
        self._bank = texts.bank
        self._capacity = capacity
        # Id i stands in row i + 1, so that row 0 serves every padding id (-1).
        self._rows = np.full((len(self._bank) + 1, encoder.token_length), encoder.pad_id, np.int32)
        self._known = np.zeros(len(self._rows), np.bool_)
        self._known[0] = True
        self._free: OrderedDict[int, npt.NDArray[np.int32]] = OrderedDict()

    def of(self, ids: Ints, texts: Texts, encoder: TextEncoder) -> npt.NDArray[np.int32]:
        """Returns token rows, int32 [*ids.shape, token_length]; negative ids give padding alone.

        Raises:
            KeyError: If an id is none of ``texts``.
        """
        places = np.maximum(ids, -1) + 1
        outside = places >= len(self._rows)
        if outside.any():
            return self._with_free(ids, outside, texts, encoder)
        known = self._known[places]
        if not known.all():
            new = np.unique(places[~known])
            self._rows[new] = encoder.tokenize([self._bank[place - 1] for place in new])
            self._known[new] = True
        rows: npt.NDArray[np.int32] = self._rows[places]
        return rows

    def _with_free(
        self, ids: Ints, outside: npt.NDArray[np.bool_], texts: Texts, encoder: TextEncoder
    ) -> npt.NDArray[np.int32]:
        rows = self.of(np.where(outside, -1, ids), texts, encoder)
        distinct, inverse = np.unique(ids[outside], return_inverse=True)
        new = [number for number in distinct.tolist() if number not in self._free]
        if new:
            self._free.update(zip(new, encoder.tokenize(texts.strings(np.array(new))), strict=True))
        rows[outside] = np.stack([self._free[number] for number in distinct.tolist()])[inverse]
        for number in distinct.tolist():
            self._free.move_to_end(number)
        while len(self._free) > self._capacity:
            self._free.popitem(last=False)
        return rows


_TOKEN_ROWS: WeakKeyDictionary[TextEncoder, WeakKeyDictionary[Texts, TokenRows]] = WeakKeyDictionary()


def tokens_of(texts: Texts, ids: Ints, encoder: TextEncoder) -> npt.NDArray[np.int32]:
    """Returns the token rows of text ids, int32 [*ids.shape, token_length]; negative ids give padding alone.

    Raises:
        KeyError: If an id is none of ``texts``.
    """
    tables = _TOKEN_ROWS.setdefault(encoder, WeakKeyDictionary())
    rows = tables.get(texts)
    if rows is None:
        rows = tables[texts] = TokenRows(texts, encoder)
    return rows.of(ids, texts, encoder)


def inputs_of(observation: Observation, encoder: TextEncoder, *, memory: int = MEMORY) -> Inputs:
    """Returns an observation as the arrays that this module names; none of them shares memory with it.

    Args:
        observation: What an agent sees.
        encoder: Whose tokens to give.
        memory: How many earlier instructions to give, 1 or more.

    Raises:
        ValueError: If ``memory`` is less than 1.
    """
    if memory < 1:
        raise ValueError(
            f"memory must be at least 1 earlier instruction, got {memory}; an empty box has no predictions"
        )
    batch = observation.batch
    # The session's own words, latest first; where it has not come so far, padding.
    ago = observation.turn[:, None] - 1 - np.arange(memory)
    earlier = np.take_along_axis(observation.said, np.clip(ago, 0, observation.said.shape[1] - 1), axis=1)
    spoken = np.concatenate([observation.instruction[:, None], np.where(ago >= 0, earlier, -1)], axis=1)
    rows = tokens_of(observation.texts, spoken, encoder)  # [batch, 1 + memory, token_length]
    inputs: Inputs = {
        "tokens": rows[:, 0].copy(),
        "earlier_tokens": rows[:, 1:].reshape(batch, memory * encoder.token_length),
        "past": _padded(observation.past.astype(np.int32), -1),
        "past_ratings": _padded(observation.past_ratings.astype(np.float32), 0),
        "slates": observation.slates.reshape(batch, -1).astype(np.int32),
        "clicked": observation.clicked.reshape(batch, -1).astype(np.int8),
        "turn": observation.turn[:, None].astype(np.int32),
    }
    if observation.candidates is not None:
        inputs["candidates"] = observation.candidates.astype(np.int32)
    return inputs


def _padded(array: npt.NDArray[Any], padding: int) -> npt.NDArray[Any]:
    """Gives an array without columns one column of padding: Stable-Baselines3 cannot predict from an empty box."""
    return array if array.shape[1] else np.full((len(array), 1), padding, array.dtype)


def inputs_space(world: World, example: Observation, encoder: TextEncoder, *, memory: int = MEMORY) -> spaces.Dict:
    """Returns the space of one session's `inputs_of`: one-dimensional boxes only, as Stable-Baselines3 likes them.

    Args:
        world: Where the sessions happen.
        example: Any observation of that world: it tells how long pasts and candidate lists are.
        encoder: Whose tokens are given.
        memory: How many earlier instructions are given.
    """
    last = world.catalogue.num_items - 1
    turns = world.turn_limit * world.slate_size
    past = max(example.past.shape[1], 1)
    token = encoder.vocabulary_size - 1
    anything = float(np.finfo(np.float32).max)
    parts: dict[str, spaces.Space[Any]] = {
        "tokens": spaces.Box(0, token, (encoder.token_length,), np.int32),
        "earlier_tokens": spaces.Box(0, token, (memory * encoder.token_length,), np.int32),
        "past": spaces.Box(-1, last, (past,), np.int32),
        "past_ratings": spaces.Box(-anything, anything, (past,), np.float32),
        "slates": spaces.Box(-1, last, (turns,), np.int32),
        "clicked": spaces.Box(0, 1, (turns,), np.int8),
        "turn": spaces.Box(0, world.turn_limit, (1,), np.int32),
    }
    if example.candidates is not None:
        parts["candidates"] = spaces.Box(0, last, (example.candidates.shape[1],), np.int32)
    return spaces.Dict(parts)

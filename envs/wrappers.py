"""Wrappers through which algorithms of other libraries can play, for one environment and for a vector of them.

`FillRepeats` lets stock algorithms on `MultiDiscrete` act. `EncodeInstruction` turns words into numbers and
`RankByQuery` a vector of numbers into a slate, so that together any algorithm for `Box` spaces can be trained. Those
named ``Vector…`` do the same to a `RecVectorEnv`, all environments at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, MultiDiscrete
from gymnasium.vector import VectorEnv, VectorWrapper

from instructrec.arrays import Floats, Ints
from instructrec.envs.rec_env import RecEnv
from instructrec.envs.spaces import fill_repeats
from instructrec.envs.vector_env import RecVectorEnv
from instructrec.policies import best_first
from instructrec.protocols import InstructionEncoder
from instructrec.sessions import World

_Bare = TypeVar("_Bare", RecEnv, RecVectorEnv)
_Step = tuple[Any, Any, Any, Any, dict[str, Any]]
_LARGE = float(np.finfo(np.float32).max)
# Distinct texts an encoding wrapper remembers before it starts afresh.
_REMEMBERED = 100_000


def _bare(env: Any, wrapper: str, kind: type[_Bare]) -> _Bare:
    bare = getattr(env, "unwrapped", env)
    if not isinstance(bare, kind):
        raise TypeError(f"{wrapper} wraps a {kind.__name__}, got {type(bare).__name__}")
    return bare


def _candidates(bare: RecEnv | RecVectorEnv) -> Ints | None:
    """Returns this turn's candidates, [batch, num_candidates]; None where they are all items."""
    return None if bare.world.candidates is None else bare.observation.candidates


class _Filler:
    """Repairs slates with the most popular candidates; shared by the two `FillRepeats`."""

    def __init__(self, world: World) -> None:
        self._popularity = world.catalogue.popularity
        self._size = world.slate_size
        # That many always suffice: a slate holds at most slate_size - 1 of them, and needs as many.
        self._enough = 2 * world.slate_size - 1
        self._favourites = np.argsort(-self._popularity, kind="stable")[: self._enough]
        self.space = MultiDiscrete(np.full(world.slate_size, world.catalogue.num_items))

    def fill(self, slates: Ints, candidates: Ints | None) -> Ints:
        if slates.ndim != 2 or slates.shape[1] != self._size or slates.dtype.kind not in "iu":
            return slates  # The environment says what is wrong.
        if candidates is None:
            return fill_repeats(slates, self._favourites)
        order = best_first(self._popularity[candidates], min(self._enough, candidates.shape[1]))
        return fill_repeats(slates, np.take_along_axis(candidates, order, axis=1))


class FillRepeats(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Lets an algorithm repeat items: a later repeat becomes the most popular candidate that the slate does not hold.

    The action space is the plain `MultiDiscrete`. A result obtained through this wrapper says so.

    Args:
        env: A `RecEnv`, wrapped or not.

    Raises:
        TypeError: If it is another environment.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._bare = _bare(env, "FillRepeats", RecEnv)
        self._filler = _Filler(self._bare.world)
        self.action_space = self._filler.space

    def step(self, action: Any) -> _Step:
        """Shows the slate, repeats filled."""
        return self.env.step(self._filler.fill(np.asarray(action)[None], _candidates(self._bare))[0])


class VectorFillRepeats(VectorWrapper[Any, Any, Any, Any, Any]):
    """`FillRepeats` for all environments of a `RecVectorEnv` at once.

    Raises:
        TypeError: If it is another vector environment.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self._bare = _bare(env, "VectorFillRepeats", RecVectorEnv)
        self._filler = _Filler(self._bare.world)
        self.single_action_space = self._filler.space
        self.action_space = MultiDiscrete(np.tile(self._filler.space.nvec, (env.num_envs, 1)))

    def step(self, actions: Any) -> _Step:
        """Shows the slates, repeats filled."""
        return self.env.step(self._filler.fill(np.asarray(actions), _candidates(self._bare)))


class _Listener:
    """Turns what was said into vectors, each text once; shared by the two `EncodeInstruction`."""

    def __init__(self, encoder: InstructionEncoder, world: World) -> None:
        self._encoder, self._turns = encoder, world.turn_limit
        self._vectors: dict[str, npt.NDArray[np.float32]] = {}
        self._width = encoder.encode([""]).shape[1]
        self.space = Box(-_LARGE, _LARGE, (2 * self._width + 1,), np.float32)

    def heard(
        self, now: npt.NDArray[np.int64], said: npt.NDArray[np.int64], turn: Ints, strings: Callable[[Ints], list[str]]
    ) -> npt.NDArray[np.float32]:
        """Returns the vectors of what is said now and was said before, and the turn, [batch, 2 × width + 1].

        Args:
            now: Text ids, [batch].
            said: Text ids of what was said before, padded with -1, [batch, turn_limit].
            turn: The turns, [batch].
            strings: Turns text ids into strings.
        """
        ids, places = np.unique(np.concatenate([now[:, None], said], axis=1), return_inverse=True)
        each = self._vectors_of(strings(ids))[places.reshape(len(now), -1)]
        each *= np.concatenate([np.ones((len(now), 1), np.bool_), said >= 0], axis=1)[:, :, None]
        before = each[:, 1:].sum(axis=1) / np.maximum((said >= 0).sum(axis=1), 1)[:, None].astype(np.float32)
        share = (turn / self._turns).astype(np.float32)
        return np.concatenate([each[:, 0], before, share[:, None]], axis=1)

    def _vectors_of(self, texts: list[str]) -> npt.NDArray[np.float32]:
        new = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        if len(self._vectors) + len(new) > _REMEMBERED:
            self._vectors.clear()
            new = list(dict.fromkeys(texts))
        if new:
            self._vectors.update(zip(new, self._encoder.encode(new), strict=True))
        return np.stack([self._vectors[text] for text in texts])


class EncodeInstruction(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Shows the agent a vector of what was said, and nothing else.

    An observation is a `Box`: the vector of the instruction, the mean vector of the earlier ones (zeros in the first
    turn), and the turn as a share of the turn limit; float32 [2 × width + 1].

    Args:
        env: A `RecEnv`, wrapped or not.
        encoder: Turns texts into vectors; each text is encoded once and remembered.

    Raises:
        TypeError: If it is another environment.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], encoder: InstructionEncoder) -> None:
        super().__init__(env)
        self._bare = _bare(env, "EncodeInstruction", RecEnv)
        self._listener = _Listener(encoder, self._bare.world)
        self.observation_space = self._listener.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Begins a session, as the environment does."""
        _, info = self.env.reset(seed=seed, options=options)
        return self._heard(), info

    def step(self, action: Any) -> _Step:
        """Shows the slate."""
        _, reward, terminated, truncated, info = self.env.step(action)
        return self._heard(), reward, terminated, truncated, info

    def _heard(self) -> npt.NDArray[np.float32]:
        state, texts = self._bare.state, self._bare.world.population.texts
        heard: npt.NDArray[np.float32] = self._listener.heard(
            state.instructions.texts, state.said, state.turn, texts.strings
        )[0]
        return heard


class VectorEncodeInstruction(VectorWrapper[Any, Any, Any, Any, Any]):
    """`EncodeInstruction` for all environments of a `RecVectorEnv` at once; float32 [num_envs, 2 × width + 1].

    Raises:
        TypeError: If it is another vector environment.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], encoder: InstructionEncoder) -> None:
        super().__init__(env)
        self._bare = _bare(env, "VectorEncodeInstruction", RecVectorEnv)
        self._listener = _Listener(encoder, self._bare.world)
        space = self._listener.space
        self.single_observation_space = space
        self.observation_space = Box(-_LARGE, _LARGE, (env.num_envs, *space.shape), np.float32)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Begins sessions, as the environment does."""
        seen, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        return self._heard(seen), infos

    def step(self, actions: Any) -> _Step:
        """Shows the slates; final observations are vectors too."""
        seen, rewards, terminated, truncated, infos = self.env.step(actions)
        if "final_obs" in infos:
            rows = np.flatnonzero(infos["_final_obs"])
            last = infos["final_obs"][rows]
            parts = {name: np.stack([one[name] for one in last]) for name in ("instruction", "said", "turn")}
            for row, vector in zip(rows, self._heard(parts), strict=True):
                infos["final_obs"][row] = vector
        return self._heard(seen), rewards, terminated, truncated, infos

    def _heard(self, seen: dict[str, Any]) -> npt.NDArray[np.float32]:
        return self._listener.heard(seen["instruction"], seen["said"], seen["turn"], self._bare.texts)


class _Matcher:
    """Ranks candidates by their inner product with a query; shared by the two `RankByQuery`."""

    def __init__(self, world: World, item_vectors: Floats) -> None:
        items = world.catalogue.num_items
        if item_vectors.ndim != 2 or len(item_vectors) != items or not np.isfinite(item_vectors).all():
            raise ValueError(
                f"item_vectors holds one finite vector per item, [{items}, width]; got shape {item_vectors.shape}"
            )
        self._vectors, self._size = np.asarray(item_vectors, np.float32), world.slate_size
        self.space = Box(-1.0, 1.0, (item_vectors.shape[1],), np.float32)

    def rank(self, queries: Any, candidates: Ints | None) -> Ints:
        queries = np.asarray(queries, np.float32)
        if queries.shape[-1] != self._vectors.shape[1] or not np.isfinite(queries).all():
            raise ValueError(f"a query holds {self._vectors.shape[1]} finite numbers, got {queries.shape}: {queries}")
        scores = queries @ self._vectors.T
        if candidates is None:
            return best_first(scores, self._size)
        return np.take_along_axis(
            candidates, best_first(np.take_along_axis(scores, candidates, axis=1), self._size), axis=1
        )


class RankByQuery(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Lets the agent act by a query: the slate is the candidates whose vectors match it best, by inner product.

    The action space is a `Box` from -1 to 1 of the vectors' width.

    Args:
        env: A `RecEnv`, wrapped or not.
        item_vectors: One vector per item, [num_items, width]: attributes, factors, or the encodings of item texts.

    Raises:
        TypeError: If it is another environment.
        ValueError: If there is not one finite vector per item.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], item_vectors: Floats) -> None:
        super().__init__(env)
        self._bare = _bare(env, "RankByQuery", RecEnv)
        self._matcher = _Matcher(self._bare.world, item_vectors)
        self.action_space = self._matcher.space

    def step(self, action: Any) -> _Step:
        """Shows the best matches of the query ``action``.

        Raises:
            ValueError: If the query has the wrong width or is not finite.
        """
        return self.env.step(self._matcher.rank(np.asarray(action)[None], _candidates(self._bare))[0])


class VectorRankByQuery(VectorWrapper[Any, Any, Any, Any, Any]):
    """`RankByQuery` for all environments of a `RecVectorEnv` at once; queries [num_envs, width].

    Raises:
        TypeError: If it is another vector environment.
        ValueError: If there is not one finite vector per item.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], item_vectors: Floats) -> None:
        super().__init__(env)
        self._bare = _bare(env, "VectorRankByQuery", RecVectorEnv)
        self._matcher = _Matcher(self._bare.world, item_vectors)
        self.single_action_space = self._matcher.space
        self.action_space = Box(-1.0, 1.0, (env.num_envs, *self._matcher.space.shape), np.float32)

    def step(self, actions: Any) -> _Step:
        """Shows every user the best matches of its query.

        Raises:
            ValueError: If the queries have the wrong width or are not finite.
        """
        return self.env.step(self._matcher.rank(actions, _candidates(self._bare)))

"""Worlds as Stable-Baselines3 sees them: one session as a Gymnasium environment, many as a `VecEnv`.

Observations are the dictionaries of `instructrec.agents.inputs`: token ids and everything else as one-dimensional
boxes. Actions are slates.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from instructrec.agents.encoder import TextEncoder, load_encoder
from instructrec.agents.inputs import MEMORY, Inputs, inputs_of, inputs_space
from instructrec.arrays import Floats, Ints, arrays_of, take
from instructrec.envs.spaces import SlateSpace, fill_repeats
from instructrec.envs.worlds import as_world
from instructrec.policies import best_first, items_at
from instructrec.sessions import Observation, Outcome, Sessions, SessionState, World, observe, restart, start, step

Record = TypeVar("Record")
Snapshot = dict[str, npt.NDArray[Any]]

_REMEMBERED = 1000


@dataclasses.dataclass(frozen=True)
class EpisodeStatistics:
    """The latest sessions that ended, oldest first, 1,000 at most.

    Attributes:
        returns: float64 [num_sessions].
        lengths: Turns, int64 [num_sessions].
        left: Whether the user left before the turn limit, [num_sessions].
        count: How many sessions have ended so far, forgotten ones included.
    """

    returns: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.int64]
    left: npt.NDArray[np.bool_]
    count: int

    def since(self, count: int) -> EpisodeStatistics:
        """Returns only the sessions that ended after the first ``count``, as far as they are remembered."""
        first = len(self.returns) - min(self.count - count, len(self.returns))
        return EpisodeStatistics(self.returns[first:], self.lengths[first:], self.left[first:], self.count)

    def and_then(
        self, returns: npt.NDArray[Any], lengths: npt.NDArray[Any], left: npt.NDArray[Any]
    ) -> EpisodeStatistics:
        """Returns the statistics after some more sessions, the oldest forgotten."""
        return EpisodeStatistics(
            np.concatenate([self.returns, returns])[-_REMEMBERED:],
            np.concatenate([self.lengths, lengths])[-_REMEMBERED:],
            np.concatenate([self.left, left])[-_REMEMBERED:],
            self.count + len(returns),
        )


_NO_EPISODES = EpisodeStatistics(np.empty(0), np.empty(0, np.int64), np.empty(0, np.bool_), 0)


def filled_slates(observation: Observation, places: Ints, popularity: Floats) -> Ints:
    """Makes slates of what stock algorithms choose: every later repeat becomes the most popular other candidate.

    Args:
        observation: What was seen; it names the candidates.
        places: Places among the candidates (item numbers, where all items are), repeats allowed, [batch, slate_size].
        popularity: Of every item, [num_items].
    """
    slates, rankable = items_at(observation, places), observation.candidates
    enough = 2 * slates.shape[1]
    if rankable is None:
        return fill_repeats(slates, np.argsort(-popularity, kind="stable")[:enough])
    order = best_first(popularity[rankable], min(enough, rankable.shape[1]))
    return fill_repeats(slates, np.take_along_axis(rankable, order, axis=1))


class WorldVecEnv(VecEnv):
    """A batch of sessions as a Stable-Baselines3 `VecEnv`; see `sb3_vec_env`.

    Attributes:
        world: Where the sessions happen.
        encoder: Whose tokens observations hold.
        last_outcome: What the last step brought, with the rewards of single positions; None before the first step.
        episode_statistics: The latest sessions that ended.
    """

    def __init__(
        self,
        world: World,
        num_envs: int,
        *,
        encoder: TextEncoder,
        seed: int,
        memory: int,
        fill: bool,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        self.world, self.encoder = world, encoder
        self.last_outcome: Outcome | None = None
        self.episode_statistics = _NO_EPISODES
        self._memory, self._fill = memory, fill
        self._sessions = Sessions.first(seed, num_envs)
        self._state: SessionState | None = None
        self._observation = observe(world, start(world, Sessions.first(seed, 1)))
        self._returns, self._lengths = np.zeros(num_envs), np.zeros(num_envs, np.int64)
        self._slates: Ints | None = None
        rankable = self._observation.candidates
        choices = world.catalogue.num_items if rankable is None else rankable.shape[1]
        slates: spaces.Space[Any] = SlateSpace(world.catalogue.num_items, world.slate_size)
        super().__init__(
            num_envs,
            inputs_space(world, self._observation, encoder, memory=memory),
            spaces.MultiDiscrete([choices] * world.slate_size) if fill else slates,
        )

    @property
    def state(self) -> SessionState:
        """The running sessions, hidden parts included: for evaluation, never for agents. Its arrays never change."""
        if self._state is None:
            raise ResetNeeded("there are no sessions yet; call reset()")
        return self._state

    @property
    def observation(self) -> Observation:
        """What agents see now, in the form that rankers and policies read."""
        return self._observation

    def _see(self, observation: Observation) -> Inputs:
        return inputs_of(observation, self.encoder, memory=self._memory)

    def reset(self) -> Inputs:
        """Begins new sessions: each lane's first one at first and after `seed`, and else its next."""
        if self._seeds[0] is not None:
            self._sessions = Sessions.first(int(self._seeds[0]), self.num_envs)
        elif self._state is not None:
            last = self._state.sessions
            self._sessions = dataclasses.replace(last, ordinal=last.ordinal + 1)
        self._reset_seeds()
        self._reset_options()
        self._state = start(self.world, self._sessions)
        self._returns[:], self._lengths[:] = 0, 0
        self.last_outcome = None
        self._observation = observe(self.world, self._state)
        return self._see(self._observation)

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Takes the slates to show: item numbers, integers [num_envs, slate_size]."""
        popularity = self.world.catalogue.popularity
        self._slates = filled_slates(self._observation, actions, popularity) if self._fill else actions

    def step_wait(self) -> tuple[Inputs, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Shows the slates. Sessions that end are followed at once by their lanes' next ones.

        Returns:
            Observations, rewards [num_envs], whether sessions ended [num_envs], and one dictionary per session: empty,
            but where a session ended it holds its ``terminal_observation``, whether the turn limit ended it
            (``TimeLimit.truncated``), and its return and length (``episode``).
        """
        assert self._slates is not None, "step_wait() comes after step_async()"
        state, outcome = step(self.world, self.state, self._slates)
        self._slates, self.last_outcome = None, outcome
        self._returns += outcome.reward
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        ended = np.flatnonzero(outcome.done)
        if len(ended):
            final = self._see(observe(self.world, take(state, ended)))
            for place, row in enumerate(ended):
                infos[row] = {
                    "terminal_observation": {name: array[place] for name, array in final.items()},
                    "TimeLimit.truncated": bool(outcome.truncated[row]),
                    "episode": {"r": float(self._returns[row]), "l": int(self._lengths[row]), "t": 0.0},
                }
            self.episode_statistics = self.episode_statistics.and_then(
                self._returns[ended], self._lengths[ended], outcome.terminated[ended]
            )
            self._returns[ended], self._lengths[ended] = 0, 0
            state = restart(self.world, state, ended)
        self._state = state
        self._observation = observe(self.world, state)
        # A copy of the rewards: PPO adds to them, and the outcome stays what happened.
        return self._see(self._observation), outcome.reward.copy(), outcome.done, infos

    def snapshot(self) -> Snapshot:
        """Returns all that `restore` needs to go on exactly here, as arrays by name."""
        arrays = {f"state.{name}": array.copy() for name, array in arrays_of(self.state)}
        arrays |= {"returns": self._returns.copy(), "lengths": self._lengths.copy()}
        past = self.episode_statistics
        arrays |= {"past.returns": past.returns, "past.lengths": past.lengths, "past.left": past.left}
        arrays["past.count"] = np.array([past.count])
        # Ids of free texts mean nothing in another process; their words do.
        said = np.unique(np.append(self.state.said, self.state.instructions.texts))
        texts = self.world.population.texts
        free = texts.strings(said[said >= len(texts.bank)])
        arrays["texts"] = np.frombuffer(json.dumps(free).encode(), np.uint8)
        return arrays

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> Inputs:
        """Goes on where `snapshot` was taken, in this process or another, and returns the observations there.

        Raises:
            ValueError: If the snapshot is of another world or number of environments.
        """
        names = ("seed", "lane", "ordinal")
        seed, lane, ordinal = (np.asarray(snapshot[f"state.sessions.{name}"], np.int64) for name in names)
        if len(lane) != self.num_envs:
            raise ValueError(f"the snapshot holds {len(lane)} sessions; this environment runs {self.num_envs}")
        self.world.population.texts.ids(json.loads(bytes(snapshot["texts"]).decode()))
        self._sessions = Sessions(seed, lane, ordinal)
        self._state = _refilled(start(self.world, self._sessions), snapshot, "state.")
        self._returns, self._lengths = snapshot["returns"].copy(), snapshot["lengths"].copy()
        returns, lengths, left = (snapshot[f"past.{name}"].copy() for name in ("returns", "lengths", "left"))
        self.episode_statistics = EpisodeStatistics(returns, lengths, left, int(snapshot["past.count"][0]))
        self.last_outcome = None
        self._observation = observe(self.world, self._state)
        return self._see(self._observation)

    def close(self) -> None:
        """Does nothing: there is nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Returns an attribute of this object once per chosen session."""
        value = None if attr_name == "render_mode" else getattr(self, attr_name)
        return [value] * self._num_chosen(indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Is refused: sessions have no attributes of their own."""
        raise AttributeError(f"sessions in a batch have no attributes of their own; {attr_name!r} cannot be set")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Is refused: sessions have no methods of their own."""
        raise AttributeError(f"sessions in a batch have no methods of their own, so no {method_name!r}")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Returns True for `Monitor`, since infos hold what it would record, and False for any other wrapper."""
        return [wrapper_class is Monitor] * self._num_chosen(indices)

    def _num_chosen(self, indices: int | Iterable[int] | None) -> int:
        if indices is None:
            return self.num_envs
        return 1 if isinstance(indices, int) else len(list(indices))


def _refilled(record: Record, arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> Record:
    """Returns a record like ``record`` that holds the arrays of these names."""
    chosen: dict[str, Any] = {}
    for field in dataclasses.fields(record):  # type: ignore[arg-type]
        value, name = getattr(record, field.name), prefix + field.name
        if isinstance(value, np.ndarray):
            found = arrays.get(name)
            if found is None or found.shape != value.shape:
                what = "nothing" if found is None else f"shape {found.shape}"
                raise ValueError(f"expected {name} of shape {value.shape}, found {what}: a snapshot of another world")
            chosen[field.name] = np.array(found, value.dtype)
        else:
            chosen[field.name] = None if value is None else _refilled(value, arrays, f"{name}.")
    return type(record)(**chosen)


class WorldEnv(gymnasium.Env[dict[str, Any], Ints]):
    """One session as a Gymnasium environment whose observations Stable-Baselines3 takes; see `sb3_env`."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, world: World, *, encoder: TextEncoder, memory: int) -> None:
        self.world, self.encoder, self._memory = world, encoder, memory
        self._state: SessionState | None = None
        self._over = False
        example = observe(world, start(world, Sessions.first(0, 1)))
        self.observation_space = inputs_space(world, example, encoder, memory=memory)
        self.action_space = SlateSpace(world.catalogue.num_items, world.slate_size)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins a session: (seed, lane 0, ordinal 0) when a seed is given, the lane's next one otherwise.

        Args:
            seed: The experiment's seed; drawn at random when the first call has none.
            options: ``{"lane": i}`` begins lane i's first session.
        """
        super().reset(seed=seed)
        lane = (options or {}).get("lane")
        if self._state is None or seed is not None:
            first = int(self.np_random.integers(2**31)) if seed is None else seed
            sessions = Sessions.first(first, np.array([lane or 0]))
        elif lane is not None:
            sessions = Sessions.first(int(self._state.sessions.seed[0]), np.array([lane]))
        else:
            last = self._state.sessions
            sessions = dataclasses.replace(last, ordinal=last.ordinal + 1)
        self._state, self._over = start(self.world, sessions), False
        return self._seen(), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Shows the slate ``action``: distinct item numbers, integers [slate_size], best first.

        Raises:
            ResetNeeded: If no session runs.
            TypeError: If the slate does not hold integers.
            ValueError: If it has the wrong length, an unknown item or a repeated one.
        """
        if self._state is None or self._over:
            raise ResetNeeded("the session is over; call reset() to begin the next" if self._over else "call reset()")
        self._state, outcome = step(self.world, self._state, np.asarray(action)[None])
        terminated, truncated = bool(outcome.terminated[0]), bool(outcome.truncated[0])
        self._over = terminated or truncated
        info = {"item_rewards": outcome.item_rewards[0].copy()}
        return self._seen(), float(outcome.reward[0]), terminated, truncated, info

    def _seen(self) -> Inputs:
        assert self._state is not None
        inputs = inputs_of(observe(self.world, self._state), self.encoder, memory=self._memory)
        return {name: array[0] for name, array in inputs.items()}


def sb3_env(
    world: World | str, *, encoder: TextEncoder | str = "minilm", memory: int = MEMORY, **settings: Any
) -> WorldEnv:
    """Returns one session as a Gymnasium environment that Stable-Baselines3 takes as it is.

    Args:
        world: A world, or the name of one.
        encoder: Whose tokens observations hold, or its name; see `load_encoder`.
        memory: How many earlier instructions observations hold.
        settings: What the named world's builder takes.
    """
    chosen = load_encoder(encoder) if isinstance(encoder, str) else encoder
    return WorldEnv(as_world(world, settings), encoder=chosen, memory=memory)


def sb3_vec_env(
    world: World | str,
    num_envs: int,
    *,
    encoder: TextEncoder | str = "minilm",
    seed: int = 0,
    memory: int = MEMORY,
    fill_repeats: bool = False,
    **settings: Any,
) -> WorldVecEnv:
    """Returns a batch of sessions as a Stable-Baselines3 `VecEnv`.

    Environment i is lane i: it lives through what ``sb3_env(world).reset(seed=seed, options={"lane": i})`` and the
    resets after it live through.

    Args:
        world: A world, or the name of one.
        num_envs: How many sessions run at once.
        encoder: Whose tokens observations hold, or its name; see `load_encoder`.
        seed: The experiment's seed; `VecEnv.seed` replaces it.
        memory: How many earlier instructions observations hold.
        fill_repeats: Whether actions may repeat items, as stock algorithms' do: the action space is then a plain
            `MultiDiscrete` of places among the candidates (items, where all are candidates), and every later repeat
            becomes the most popular candidate not yet in the slate, as in the wrapper `FillRepeats`.
        settings: What the named world's builder takes.

    Raises:
        ValueError: If the world or the encoder is unknown, or ``num_envs`` is less than 1.
    """
    chosen = load_encoder(encoder) if isinstance(encoder, str) else encoder
    return WorldVecEnv(as_world(world, settings), num_envs, encoder=chosen, seed=seed, memory=memory, fill=fill_repeats)

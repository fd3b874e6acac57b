"""Many sessions at once, as a Gymnasium vector environment: a face of `instructrec.sessions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from instructrec.arrays import Bools, Ints, put
from instructrec.envs.spaces import SlateSpace, observation_space
from instructrec.envs.worlds import as_world
from instructrec.names import unknown_name
from instructrec.noise import Noise
from instructrec.sessions import Observation, Outcome, Sessions, SessionState, World, observe, restart, start, step

_OPTIONS = ("lanes", "reset_mask")
Infos = dict[str, Any]


class RecVectorEnv(VectorEnv[dict[str, npt.NDArray[Any]], Ints, npt.NDArray[Any]]):
    """A batch of simulated people, stepped together.

    Actions are slates, integers [num_envs, slate_size]. Observations are those of `RecEnv` with a leading axis of
    ``num_envs``, except that texts are ids: ``instruction`` int64 [num_envs], ``said`` int64 [num_envs, turn_limit],
    padded with -1; `texts` turns ids into strings. Environment i is lane i: it lives through what
    ``RecEnv.reset(seed=s, options={"lane": i})`` and that environment's later resets live through, bit for bit.

    A session that ends is followed at once by its lane's next (autoreset mode SAME_STEP): the observation is the new
    session's first, and ``infos["final_obs"]`` and ``infos["final_info"]`` hold the last of the old one, as Gymnasium
    lays them out.

    Args:
        world: A world, or the name of one.
        num_envs: How many sessions run at once.
        render_mode: Only None; `RecEnv` renders.
        settings: What the named world's builder takes.

    Raises:
        ValueError: If the world is unknown or ``num_envs`` is less than 1.
        TypeError: If the world's builder takes no such setting.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self, world: World | str, num_envs: int = 1, *, render_mode: str | None = None, **settings: Any
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if render_mode is not None:
            raise ValueError(f"a batch of users is not rendered (render_mode {render_mode!r}); use gymnasium.make")
        self.world = as_world(world, settings)
        self.num_envs = num_envs
        self.single_observation_space = observation_space(self.world, spoken=False)
        self.single_action_space = SlateSpace(self.world.catalogue.num_items, self.world.slate_size)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._state: SessionState | None = None
        self._outcome: Outcome | None = None

    @property
    def state(self) -> SessionState:
        """The running sessions, hidden parts included: for evaluation, never for agents. Its arrays never change."""
        if self._state is None:
            raise ResetNeeded("there are no sessions yet; call reset()")
        return self._state

    @property
    def outcome(self) -> Outcome | None:
        """What the last step brought, hidden parts included; None before the first."""
        return self._outcome

    @property
    def observation(self) -> Observation:
        """What agents see, in the form that rankers and policies read."""
        return observe(self.world, self.state)

    @property
    def noise(self) -> Noise:
        """The luck of this turn, for policies that draw."""
        return Noise(self.state.sessions.keys, self.state.turn)

    def texts(self, ids: Ints) -> list[str]:
        """Returns the strings of text ids [num_texts]; padding gives empty strings."""
        return self.world.population.texts.strings(ids)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, npt.NDArray[Any]], Infos]:
        """Begins sessions: with a seed at ordinal 0 of each lane, without one at each lane's next.

        Args:
            seed: One seed for all (lanes keep their luck apart), or one per lane; None leaves a lane its seed, and at
                first draws one at random.
            options: ``reset_mask``, booleans [num_envs]: the lanes to begin anew, the others go on. ``lanes``,
                distinct integers [num_envs]: play these lanes from their ordinal 0 instead of 0 … num_envs - 1.

        Raises:
            ValueError: If there are not ``num_envs`` seeds, or an option is unknown or has the wrong shape.
        """
        super().reset(seed=seed if isinstance(seed, int) else None)
        chosen, lanes = self._checked(options)
        seeds = [seed] * self.num_envs if seed is None or isinstance(seed, int | np.integer) else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"expected one seed or {self.num_envs} of them, got {len(seeds)}")
        sessions = self._sessions(seeds, lanes)
        if chosen is None or self._state is None:
            chosen = np.ones(self.num_envs, np.bool_)
            self._state = start(self.world, sessions)
        else:
            rows = np.flatnonzero(chosen)
            picked = Sessions(sessions.seed[rows], sessions.lane[rows], sessions.ordinal[rows])
            self._state = put(self._state, rows, start(self.world, picked))
        self._outcome = None
        return self._columns(self.observation), self._session_info(chosen)

    def _sessions(self, seeds: list[int | None], lanes: npt.NDArray[np.int64] | None) -> Sessions:
        """Returns each lane's next session, or its first where it has a seed or is newly named."""
        if self._state is None:
            drawn = int(self.np_random.integers(2**63)) if None in seeds else 0
            before = Sessions.first(drawn, self.num_envs)
            fresh = np.ones(self.num_envs, np.bool_)
        else:
            before = self._state.sessions
            fresh = np.array([seed is not None for seed in seeds])
        if any(seed is not None and seed < 0 for seed in seeds):
            raise ValueError(f"a seed must be 0 or more, got {min(seed for seed in seeds if seed is not None)}")
        new = np.array([-1 if seed is None else seed for seed in seeds], np.int64)
        if lanes is not None:
            fresh = np.ones(self.num_envs, np.bool_)
        return Sessions(
            np.where(new >= 0, new, before.seed),
            before.lane if lanes is None else lanes,
            np.where(fresh, 0, before.ordinal + 1),
        )

    def step(
        self, actions: Any
    ) -> tuple[
        dict[str, npt.NDArray[Any]], npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], Infos
    ]:
        """Shows every user a slate: distinct item numbers, integers [num_envs, slate_size], best first.

        Raises:
            ResetNeeded: Before the first reset.
            TypeError: If the slates do not hold integers.
            ValueError: If they have the wrong shape, or hold an unknown item or a repeated one.
        """
        state, outcome = step(self.world, self.state, actions)
        self._outcome, done = outcome, outcome.done
        info = {"consumed": outcome.reactions.consumed.copy(), "item_rewards": outcome.item_rewards.copy()}
        if not done.any():
            self._state = state
            infos = _masked(info, ~done)
        else:
            rows = np.flatnonzero(done)
            last = self._columns(observe(self.world, state).rows(rows))
            self._state = restart(self.world, state, rows)
            infos = _masked(info, ~done) | self._session_info(done)
            infos |= {"final_obs": self._apart(last, rows), "_final_obs": done.copy()}
            infos |= {"final_info": _masked(info, done), "_final_info": done.copy()}
        reward = outcome.reward.astype(np.float64)
        return self._columns(self.observation), reward, outcome.terminated.copy(), outcome.truncated.copy(), infos

    def _columns(self, seen: Observation) -> dict[str, npt.NDArray[Any]]:
        # Copies: a rollout keeps observations for long, and what it does to them must not reach the running sessions.
        columns: dict[str, npt.NDArray[Any]] = {
            "instruction": seen.instruction.copy(),
            "said": seen.said.copy(),
            "past": seen.past.copy(),
            "past_ratings": seen.past_ratings.copy(),
            "slates": seen.slates.copy(),
            "clicked": seen.clicked.astype(np.int8),
            "turn": seen.turn.astype(np.int64),
        }
        if seen.candidates is not None:
            columns["candidates"] = seen.candidates.copy()
        return columns

    def _apart(self, columns: dict[str, npt.NDArray[Any]], rows: Ints) -> npt.NDArray[np.object_]:
        """Returns one observation per environment, as Gymnasium wants final ones; None where there is none."""
        apart = np.full(self.num_envs, None, object)
        # A row of each column at a time, straight from C: indexing every array in a loop costs more than the users.
        apart[rows] = [dict(zip(columns, row, strict=True)) for row in zip(*map(list, columns.values()), strict=True)]
        return apart

    def _session_info(self, chosen: Bools) -> Infos:
        sessions = self.state.sessions
        return _masked({"session": np.stack([sessions.seed, sessions.lane, sessions.ordinal], axis=1)}, chosen)

    def _checked(self, options: dict[str, Any] | None) -> tuple[Bools | None, npt.NDArray[np.int64] | None]:
        for name in options or {}:
            if name not in _OPTIONS:
                raise ValueError(unknown_name("option of reset", name, _OPTIONS))
        mask, lanes = ((options or {}).get(name) for name in ("reset_mask", "lanes"))
        if mask is not None:
            mask = np.asarray(mask)
            if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
                raise ValueError(f"reset_mask holds {self.num_envs} booleans, got {mask.dtype} of shape {mask.shape}")
        if lanes is not None:
            lanes = np.asarray(lanes)
            if lanes.shape != (self.num_envs,) or lanes.dtype.kind not in "iu" or (lanes < 0).any():
                raise ValueError(f"lanes holds {self.num_envs} integers of 0 or more, got {lanes.dtype} {lanes.shape}")
            if mask is not None:
                raise ValueError("give either lanes or reset_mask: a lane that goes on cannot become another")
            lanes = lanes.astype(np.int64)
        return mask, lanes


def _masked(info: Infos, present: Bools) -> Infos:
    """Lays out infos as Gymnasium does: zeros where an environment has none, and a mask that tells."""
    infos: Infos = {}
    for name, values in info.items():
        present_here = present.reshape(-1, *[1] * (values.ndim - 1))
        infos[name] = np.where(present_here, values, np.zeros((), values.dtype))
        infos[f"_{name}"] = present.copy()
    return infos

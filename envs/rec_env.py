"""One session at a time, as a Gymnasium environment: a face of `instructrec.sessions`."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from instructrec.arrays import Ints
from instructrec.envs.spaces import SlateSpace, observation_space
from instructrec.envs.worlds import as_world
from instructrec.names import unknown_name
from instructrec.noise import Noise
from instructrec.sessions import Observation, Outcome, Sessions, SessionState, World, observe, start, step

_OPTIONS = ("lane", "ordinal")


class RecEnv(gymnasium.Env[dict[str, Any], Ints]):
    """One simulated person who says what they want.

    An action is a slate: ``slate_size`` distinct item numbers, best first. An observation is a dictionary:

    | key | what it holds |
    |---|---|
    | ``instruction`` | what the person just said, a string |
    | ``said`` | what they said earlier in the session, oldest first, one per line |
    | ``past``, ``past_ratings`` | items from before the session, oldest first, padded with -1, and their ratings |
    | ``slates``, ``clicked`` | what was shown this session, padded with -1, and what of it was clicked |
    | ``turn`` | how many slates were shown |
    | ``candidates`` | the items that may be ranked this turn; only where they are fewer than all |

    The reward is the world's. ``terminated`` means that the person left, ``truncated`` that the turn limit came first.
    ``info`` tells the session ``[seed, lane, ordinal]`` at reset, and what was ``consumed`` and the ``item_rewards``
    after a step. What is hidden from agents (goals, satisfaction, trust) is in none of these; evaluation finds it in
    ``env.unwrapped.state`` and ``env.unwrapped.outcome``. Everything returned is a copy: keep it or change it freely.

    ``reset(seed=s)`` begins session (s, lane 0, ordinal 0); every later ``reset()`` the lane's next one.
    ``options={"lane": i}`` begins at that lane's ordinal 0, and ``{"ordinal": j}`` at ordinal j: lane i here is
    environment i of a `RecVectorEnv` with the same seed.

    Args:
        world: A world, or the name of one.
        render_mode: ``"ansi"``: `render` returns text; ``"human"``: every step prints it.
        settings: What the named world's builder takes.

    Raises:
        ValueError: If the world or the render mode is unknown.
        TypeError: If the world's builder takes no such setting.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "human"], "render_fps": 1}  # noqa: RUF012

    def __init__(self, world: World | str, *, render_mode: str | None = None, **settings: Any) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(unknown_name("render mode", render_mode, self.metadata["render_modes"]))
        self.world = as_world(world, settings)
        self.render_mode = render_mode
        self.observation_space = observation_space(self.world, spoken=True)
        self.action_space = SlateSpace(self.world.catalogue.num_items, self.world.slate_size)
        self._state: SessionState | None = None
        self._outcome: Outcome | None = None
        self._over = False

    @property
    def state(self) -> SessionState:
        """The running session, hidden parts included: for evaluation, never for agents. Its arrays never change."""
        if self._state is None:
            raise ResetNeeded("there is no session yet; call reset()")
        return self._state

    @property
    def outcome(self) -> Outcome | None:
        """What the last step brought, hidden parts included; None before the first."""
        return self._outcome

    @property
    def observation(self) -> Observation:
        """What agents see, in the form that rankers and policies read; a batch of one."""
        return observe(self.world, self.state)

    @property
    def noise(self) -> Noise:
        """The luck of this turn, for policies that draw."""
        return Noise(self.state.sessions.keys, self.state.turn)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins a session; the class says which.

        Args:
            seed: The experiment's seed; without one, the last one's next session, or at first a seed drawn at random.
            options: ``lane`` and ``ordinal``, whole numbers of 0 or more.

        Raises:
            ValueError: If an option is unknown or negative.
        """
        super().reset(seed=seed)
        chosen = _checked(options)
        if self._state is None and seed is None:
            seed = int(self.np_random.integers(2**63))
        if seed is not None or "lane" in chosen:
            first = int(self.state.sessions.seed[0]) if seed is None else seed
            session = (first, chosen.get("lane", 0), chosen.get("ordinal", 0))
        else:
            last = self.state.sessions
            ordinal = chosen.get("ordinal", int(last.ordinal[0]) + 1)
            session = (int(last.seed[0]), int(last.lane[0]), ordinal)
        self._state = start(self.world, Sessions(*(np.array([number], np.int64) for number in session)))
        self._outcome, self._over = None, False
        if self.render_mode == "human":
            self._print()
        return self._seen(), {"session": np.array(session, np.int64)}

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
        self._outcome, self._over = outcome, terminated or truncated
        if self.render_mode == "human":
            self._print()
        info = {"consumed": outcome.reactions.consumed[0].copy(), "item_rewards": outcome.item_rewards[0].copy()}
        return self._seen(), float(outcome.reward[0]), terminated, truncated, info

    def _seen(self) -> dict[str, Any]:
        seen = observe(self.world, self.state)
        turn = int(seen.turn[0])
        said = seen.texts.strings(seen.said[0, :turn])
        # Copies: agents keep observations for long, and what they do to them must not reach the running session.
        parts = {
            "instruction": seen.texts.strings(seen.instruction)[0],
            "said": "\n".join(said),
            "past": seen.past[0].copy(),
            "past_ratings": seen.past_ratings[0].copy(),
            "slates": seen.slates[0].copy(),
            "clicked": seen.clicked[0].astype(np.int8),
            "turn": turn,
        }
        if seen.candidates is not None:
            parts["candidates"] = seen.candidates[0].copy()
        return parts

    def render(self) -> str | None:
        """Returns the last turn as text in mode ``"ansi"``; in mode ``"human"`` steps have printed it."""
        return self._text() if self.render_mode == "ansi" else None

    def _print(self) -> None:
        sys.stdout.write(self._text() + "\n")
        sys.stdout.flush()

    def _text(self) -> str:
        state, outcome = self.state, self._outcome
        now = self.world.population.texts.strings(state.instructions.texts)[0]
        if outcome is None:
            numbers = (int(part[0]) for part in (state.sessions.seed, state.sessions.lane, state.sessions.ordinal))
            return "Session: seed {}, lane {}, ordinal {}\n".format(*numbers) + f"The user says: “{now}”"
        turn = int(state.turn[0])
        clicked, consumed = outcome.reactions.clicked[0], outcome.reactions.consumed[0]
        lines = [f"Turn {turn} of {self.world.turn_limit}, reward {float(outcome.reward[0]):g}"]
        lines += [f"  The user said: “{self.world.population.texts.strings(state.said[0, turn - 1 : turn])[0]}”"]
        for place, item in enumerate(state.slates[0, turn - 1]):
            did = " (clicked, consumed)" if consumed[place] else " (clicked)" if clicked[place] else ""
            lines.append(f"  {place + 1:>3}. {self.world.catalogue.titles[item]}{did}")
        if outcome.terminated[0]:
            return "\n".join([*lines, "  The user left."])
        return "\n".join(
            [*lines, "  The turn limit is reached." if outcome.truncated[0] else f"  The user says: “{now}”"]
        )


def _checked(options: dict[str, Any] | None) -> dict[str, int]:
    chosen: dict[str, int] = {}
    for name, value in (options or {}).items():
        if name not in _OPTIONS:
            raise ValueError(unknown_name("option of reset", name, _OPTIONS))
        if not isinstance(value, int | np.integer) or value < 0:
            raise ValueError(f"option {name!r} is a whole number of 0 or more, got {value!r}")
        chosen[name] = int(value)
    return chosen

"""What looks like learning and is none is caught: deaf agents, one slate for all, buffers that hold views.

An environment that leaks what is hidden is caught by `instructrec.testing.check_world`: see test_testing.py.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from gymnasium import spaces

from instructrec.agents.replay import Turns
from instructrec.agents.rollout import SlateRolloutBuffer
from instructrec.agents.scorer import ScorerInputs
from instructrec.envs.tiny import tiny_world
from instructrec.experiments.competitors import WithControls
from instructrec.experiments.results import compare_agents
from instructrec.noise import Purpose
from instructrec.sessions import Sessions

WORLD = tiny_world()


class Chance:
    def act(self, observation, noise):
        return np.argsort(noise.uniform(Purpose.POLICY, 20), axis=1)[:, :3]

    def log_prob(self, observation, slates):
        raise NotImplementedError


class Deaf(Chance):
    """Earns more than chance, and shows different people different things: the plain ones of any colour."""

    def act(self, observation, noise):
        colour = (noise.uniform(Purpose.POLICY, 1) * 4).astype(int)
        return colour * 5 + np.arange(3)


class OneSlate(Chance):
    def act(self, observation, noise):
        return np.tile(np.arange(3), (observation.batch, 1))


def gates(agent):
    agents = {"slate_ppo": WithControls(agent), "random": Chance()}
    found = compare_agents(WORLD, agents, Sessions.first(7, 1_000), draws=300, timed_decisions=0)
    return [gate["name"] for gate in found["gates"]]


def test_an_agent_that_earns_but_is_deaf_is_caught():
    assert gates(Deaf()) == ["deaf"]


def test_an_agent_with_one_slate_for_everybody_is_caught():
    assert gates(OneSlate()) == ["deaf", "same_for_all"]


class Aliased(SlateRolloutBuffer):
    """Holds what it is given rather than copies of it."""

    def store(self, inputs, **columns):
        seen = {f"inputs.{part.name}": getattr(inputs, part.name) for part in dataclasses.fields(inputs)}
        for name, value in (seen | columns).items():
            self._columns[name] = value[None]
        self.pos = 1


def keeps_what_it_was_given(kind):
    """Stores a step of three sessions, lets their arrays live on, and looks at what the buffer then holds."""
    live = {part.name: np.ones((3, 2), np.float32) for part in dataclasses.fields(ScorerInputs)}
    shown, clicked = np.array([[1, 2], [3, 4], [5, 6]]), np.ones((3, 2), np.bool_)
    buffer = kind(1, spaces.Box(0, 1, (1,)), spaces.MultiDiscrete([9, 9]), "cpu", n_envs=3)
    inputs = ScorerInputs(**{name: torch.from_numpy(array) for name, array in live.items()})
    buffer.store(inputs, shown=torch.from_numpy(shown), clicked=torch.from_numpy(clicked))
    before = {name: column.clone() for name, column in buffer._columns.items()}
    for array in (*live.values(), shown, clicked):
        array[...] = 0
    return all(torch.equal(buffer.column(name), column) for name, column in before.items())


def test_a_rollout_buffer_that_holds_views_of_live_arrays_is_caught():
    assert keeps_what_it_was_given(SlateRolloutBuffer)
    assert not keeps_what_it_was_given(Aliased)


def test_a_replay_buffer_keeps_what_was_and_forgets_the_oldest():
    turns, live = Turns(4), np.arange(3)
    turns.add(number=live)
    live[:] = 9
    assert set(turns.sample(50, np.random.default_rng(0))["number"]) == {0, 1, 2}
    turns.add(number=np.arange(3, 6))
    assert len(turns) == 4
    assert set(turns.sample(50, np.random.default_rng(0))["number"]) == {2, 3, 4, 5}

"""A world whose people cannot be heard: what an agent is trained in that is to be deaf."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Ints
from instructrec.noise import Noise
from instructrec.protocols import Population, State
from instructrec.sessions import Instructions, Reactions, Sessions, World
from instructrec.texts import Texts


@dataclass(frozen=True)
class Unheard:
    """The same users with the same goals, of whose words nothing arrives: every text is the empty one.

    Attributes:
        population: The users.
    """

    population: Population

    @property
    def texts(self) -> Texts:
        """The table of the users' texts; agents meet id 0 alone, the empty text."""
        return self.population.texts

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides how they behave."""
        return hashlib.sha256(f"unheard {self.population.fingerprint}".encode()).hexdigest()[:16]

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[State, Instructions]:
        """Returns new users; what they say is silence."""
        state, said = self.population.arrive(sessions, noise)
        return state, _silence(said)

    def react(self, state: State, slates: Ints, noise: Noise) -> tuple[State, Reactions]:
        """Returns the users after their slates, and what they did; what they say is silence."""
        after, reactions = self.population.react(state, slates, noise)
        return after, replace(reactions, instructions=_silence(reactions.instructions))

    def past(self, state: State) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns what agents may know from before, as it is."""
        return self.population.past(state)


def _silence(said: Instructions) -> Instructions:
    return replace(said, texts=np.zeros_like(said.texts))


def unheard(world: World) -> World:
    """Returns a world in which nobody can be heard, otherwise the same."""
    return replace(world, population=Unheard(world.population))

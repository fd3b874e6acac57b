"""Users of your own in two ways: one person at a time, and a crowd stepped together. Copy what you need.

Compare agents on them: instructrec compare movies --population own_users:Impatient --agents random,popularity --out x
(called from this folder), or `gymnasium.make("instructrec/Movies-v0", population=Impatient)`.
"""

# ruff: noqa: T201

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import gymnasium
import numpy as np

import instructrec.envs  # registers the worlds
from instructrec.catalogue import Catalogue
from instructrec.noise import Noise, Purpose
from instructrec.protocols import Instruction, Reaction, Slate
from instructrec.sessions import Instructions, Reactions, Sessions
from instructrec.testing import check_population, check_user
from instructrec.texts import Texts


class Impatient:
    """Clicks the first film of a decade, and leaves when there is none."""

    def __init__(self, decade: int = 1990) -> None:
        self.decade = decade

    def arrive(self, rng: np.random.Generator) -> Instruction:
        """Says what it wants, in one of two ways."""
        return Instruction(str(rng.choice(["a {}s movie, please", "something from the {}s"])).format(self.decade))

    def react(self, slate: Slate, rng: np.random.Generator) -> Reaction:
        """Clicks, or leaves."""
        wanted = [place for place, title in enumerate(slate.titles) if f"({self.decade // 10}" in title]
        return Reaction(clicked=tuple(wanted[:1]), left=not wanted)


@dataclass(frozen=True)
class CrowdState:
    """The patience that each has left, int32 [batch]."""

    patience: np.ndarray


class Crowd:
    """The same for thousands at once: wants films from a year on, and grows impatient with every slate without any."""

    def __init__(self, catalogue: Catalogue, year: int = 2000, patience: int = 3) -> None:
        self.wanted = catalogue.column("year").numbers >= year
        self.patience, self.texts = patience, Texts([f"something from {year} or later", "anything newer?"])
        self.fingerprint = hashlib.sha256(repr(("crowd 1", year, patience)).encode()).hexdigest()[:16]

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[CrowdState, Instructions]:
        """Returns new users and what they say: text 1 of the table, since text 0 is silence."""
        batch = len(noise.keys)
        return CrowdState(np.full(batch, self.patience, np.int32)), Instructions(np.ones(batch, np.int64))

    def react(self, state: CrowdState, slates: np.ndarray, noise: Noise) -> tuple[CrowdState, Reactions]:
        """Returns the users after a slate, and what they did: every film they want is clicked four times in five."""
        clicked = self.wanted[slates] & (noise.uniform(Purpose.CLICK, slates.shape[1]) < 0.8)
        patience = state.patience - ~clicked.any(axis=1)
        said = Instructions(np.where(clicked.any(axis=1), 1, 2).astype(np.int64))
        return CrowdState(patience.astype(np.int32)), Reactions(clicked, clicked, said, patience <= 0)

    def past(self, state: CrowdState) -> tuple[np.ndarray, np.ndarray]:
        """Returns what agents may know from before: nothing, [batch, 0]."""
        empty = np.zeros((len(state.patience), 0))
        return empty.astype(np.int32), empty.astype(np.float32)


def main(turns: int = 5) -> float:
    """Checks both, shows a crowd of a thousand some random slates, and returns the points of a turn."""
    films = instructrec.envs.make_world("instructrec/Movies-v0").catalogue
    check_user(Impatient, films)
    check_population(lambda: Crowd(films), films)
    env = gymnasium.make_vec(
        "instructrec/Movies-v0", num_envs=1000, vectorization_mode="vector_entry_point", population=Crowd
    )
    env.reset(seed=0)
    return float(np.mean([env.step(env.action_space.sample())[1].mean() for _ in range(turns)]))


if __name__ == "__main__":
    print(f"{main():.2f} points a turn")

"""What an agent is measured against: rankers that see part or all of what is hidden. Only evaluation passes it to them.

From the least to the most knowing: `GoalOracle` knows the goal and not the taste; `instructrec.agents.informed` knows
the goal and has the best model of taste, quality and boredom that can be fitted on what agents see: the honest ceiling;
`Oracle` knows goal and true taste, and shows what is likeliest to be clicked now: a far-sighted policy may pass it, as
`Planner` may.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from instructrec.agents.baselines import at_candidates, consumed, popularity_tie
from instructrec.arrays import Floats, Ints, take
from instructrec.catalogue import Catalogue
from instructrec.goals import Goals
from instructrec.metrics import matching
from instructrec.protocols import KnowsUtility, Population, PrivilegedRanker
from instructrec.sessions import Observation, SessionState


@runtime_checkable
class KnowsEnjoyment(Protocol):
    """A population that can also say how much each item would be enjoyed: what planning ahead needs."""

    def expected_utility(self, state: Any) -> Floats:
        """Returns the probability that an examined item is clicked, [batch, num_items]."""
        ...

    def expected_enjoyment(self, state: Any) -> Floats:
        """Returns how much each item would be enjoyed, 0 to 1, [batch, num_items]."""
        ...


@dataclass(frozen=True)
class Oracle:
    """Shows what is likeliest to be clicked now, by goal and true taste.

    Raises:
        TypeError: If the population does not know its utility: the row is then absent from the table.
    """

    population: Population

    def __post_init__(self) -> None:
        if not isinstance(self.population, KnowsUtility):
            raise TypeError(
                "the oracle needs a population with expected_utility(state); "
                f"{type(self.population).__name__} has none, so leave the oracle out"
            )

    def scores(self, observation: Observation, state: SessionState) -> Floats:
        """Returns click probabilities, [batch, num_candidates]."""
        assert isinstance(self.population, KnowsUtility)
        return at_candidates(observation, self.population.expected_utility(state.population))


@dataclass(frozen=True)
class Planner:
    """Weighs what draws a click with what will please: the simplest look ahead.

    Attributes:
        population: Users who know their utility and enjoyment.
        foresight: How much enjoyment counts beside the click, 0 or more; 0 is the `Oracle`.

    Raises:
        TypeError: If the population does not know them.
        ValueError: If ``foresight`` is negative.
    """

    population: Population
    foresight: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.population, KnowsEnjoyment):
            raise TypeError(
                "the planner needs a population with expected_utility(state) and expected_enjoyment(state); "
                f"{type(self.population).__name__} lacks one of them"
            )
        if not self.foresight >= 0:
            raise ValueError(f"foresight must be 0 or more, got {self.foresight}")

    def scores(self, observation: Observation, state: SessionState) -> Floats:
        """Returns click probability × (1 + foresight × enjoyment), [batch, num_candidates]."""
        assert isinstance(self.population, KnowsEnjoyment)
        users = state.population
        click, enjoyment = self.population.expected_utility(users), self.population.expected_enjoyment(users)
        return at_candidates(observation, click * (1 + np.float32(self.foresight) * enjoyment))


@dataclass(frozen=True)
class OtherGoals:
    """A reference that is told the next person's goal, or none: the controls of those who know goals.

    Attributes:
        reference: Whom to mislead.
        none: Whether it is told that nobody wants anything, rather than what the next person wants.
    """

    reference: PrivilegedRanker
    none: bool = False

    def scores(self, observation: Observation, state: SessionState) -> Floats:
        """Returns the reference's scores under the other goals, [batch, num_candidates]."""
        said = state.instructions
        goals = goals_of(state)
        batch = len(goals.check)
        other = Goals.empty(batch, goals.num_predicates) if self.none else take(goals, np.roll(np.arange(batch), 1))
        return self.reference.scores(observation, replace(state, instructions=replace(said, goals=other)))


def goals_of(state: SessionState) -> Goals:
    """Returns what the users have in mind.

    Raises:
        ValueError: If their instructions have no goals: the row is then absent from the table.
    """
    if state.instructions.goals is None:
        raise ValueError("this reference needs to know goals, and these instructions have none; leave it out")
    return state.instructions.goals


def goal_parts(goals: Goals, catalogue: Catalogue) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Returns how every item of the catalogue meets every goal, said or not, both float32 [batch, num_items].

    Returns:
        The weight of the hard item-level predicates that it breaks, 0 or more; and the met share of the weight of all
        other predicates less one half, -.5 to .5, 0 where there are none. Of a share predicate, an item that counts
        towards it meets it.
    """
    matches, rows = matching(goals, catalogue)
    table = matches.astype(np.float32)
    hard = np.where(goals.hard & goals.item_level, goals.weight, 0).astype(np.float32)
    soft = np.where(goals.hard & goals.item_level, 0, goals.weight).astype(np.float32)
    broken = hard.sum(axis=1, keepdims=True) - _spread(hard, rows, len(table)) @ table
    total = soft.sum(axis=1, keepdims=True)
    met = (_spread(soft, rows, len(table)) @ table) / np.where(total > 0, total, 1)
    # Sums in another order can miss 0 by a rounding error, which would outweigh a tie.
    return np.where(broken < 1e-4, 0, broken), np.where(total > 0, met - np.float32(0.5), np.float32(0))


def _spread(weights: Floats, rows: Ints, size: int) -> npt.NDArray[np.float32]:
    spread = np.zeros((len(weights), size), np.float32)
    np.add.at(spread, (np.arange(len(weights))[:, None], rows), weights)
    return spread


@dataclass(frozen=True)
class GoalOracle:
    """Knows the goal, said or not, and not the taste: fewest violations, then most wishes, then popularity."""

    catalogue: Catalogue

    def scores(self, observation: Observation, state: SessionState) -> Floats:
        """Returns scores, [batch, num_candidates]; what was consumed goes last, as for everybody."""
        broken, wished = goal_parts(goals_of(state), self.catalogue)
        scores = wished - 10 * broken + popularity_tie(self.catalogue)
        scores[consumed(observation, self.catalogue.num_items)] = -np.inf
        return at_candidates(observation, scores)

    def blank(self) -> OtherGoals:
        """Returns the same, told of no goal."""
        return OtherGoals(self, none=True)

    def swapped(self) -> OtherGoals:
        """Returns the same, told the next person's goal."""
        return OtherGoals(self)

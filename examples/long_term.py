"""Looking ahead where it pays: clickbait is clicked now and costs all that comes later (RecSim's chocolate and kale).

SlatePPO learns among such people with several discounts. Greedy shows nothing but chocolate; the optimum is worked out
by dynamic programming. All positions answer for what comes later here (`shared_future`): nobody says or clicks anything
that would tell which item did it.

Run: python examples/long_term.py
"""

# ruff: noqa: T201

from __future__ import annotations

import numpy as np

from instructrec.agents.scorer_config import ScorerConfig
from instructrec.agents.slate_ppo import SlatePPO, SlatePPOConfig
from instructrec.envs import make_world
from instructrec.experiments.evaluation import evaluate
from instructrec.sessions import Observation, Sessions, World

PEOPLE = Sessions.first(100, 400)


class Greedy:
    """Shows the purest clickbait, always."""

    def __init__(self, world: World) -> None:
        self.clickbait = world.catalogue.column("clickbait").numbers

    def scores(self, observation: Observation) -> np.ndarray:
        """Returns the clickbait scores, [batch, num_items]."""
        return np.tile(self.clickbait, (observation.batch, 1))


def main(
    discounts: tuple[float, ...] = (0.0, 0.5, 0.95), steps: int = 300_000, seeds: int = 3
) -> dict[float, list[float]]:
    """Returns for each discount how far agents of several seeds come on the way from greedy (0) to the optimum (1)."""
    world = make_world(
        "instructrec/ChocKale-v0", turn_limit=20, population="clickbait", population_settings={"sensitivity": 0.3}
    )
    floor = evaluate(world, Greedy(world), PEOPLE).mean("return")
    ceiling = world.population.optimum().value
    way: dict[float, list[float]] = {}
    for gamma in discounts:
        config = SlatePPOConfig(
            gamma=gamma,
            shared_future=1.0,
            entropy=0.25,  # Who stops trying early sees clicks and never what they cost.
            prompts=0,  # Nobody says anything here,
            candidates=None,  # there are twenty items,
            scorer=ScorerConfig(start_marks=(0.0, 0.0, 0.0)),  # and they may be shown again.
        )
        way[gamma] = []
        for seed in range(seeds):
            agent = SlatePPO.of(world, config, encoder="hashing", seed=seed)
            agent.learn(steps)
            earned = evaluate(world, agent.ranker(), PEOPLE).mean("return")
            way[gamma].append((earned - floor) / (ceiling - floor))
            print(f"gamma {gamma:g}, seed {seed}: {earned:.0f} points, {way[gamma][-1]:.2f} of the way", flush=True)
    return way


if __name__ == "__main__":
    main()

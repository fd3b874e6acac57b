"""Recording logs for those who learn from them: who showed the slates, and what was clicked.

Three ways of coming by a log, so that supervised agents are compared fairly with those that learn by acting: a *fixed*
log of a behaviour policy; *rounds*, in which an agent is fitted anew to all that was recorded so far and shows the
slates of the next round itself; and SlatePPO's *own* training log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from instructrec.agents.encoder import TextEncoder
from instructrec.agents.features import ItemFeatures
from instructrec.agents.wishes import wish_encoder
from instructrec.arrays import Floats, take
from instructrec.logs import Log, joined
from instructrec.noise import Noise
from instructrec.policies import plackett_luce
from instructrec.protocols import Policy, Ranker
from instructrec.sessions import Observation, Sessions, World, observe, start, step

Progress = Callable[[int, int], None]


class Regime(StrEnum):
    """What supervised agents learn from."""

    FIXED = "fixed"
    ROUNDS = "rounds"
    OWN = "own"


ROUNDS = 5
"""How many rounds there are in `Regime.ROUNDS`."""


@dataclass(frozen=True)
class Behaviour:
    """Who showed the logged slates unless told otherwise: a `Ranker` of similarity and popularity.

    Attributes:
        features: The items.
        encoder: The language model.
        similarity: Weight of the cosine between instruction and item text.
        popularity: Weight of log popularity, per standard deviation.
        uniform: Share of sessions that are shown items by chance alone.
    """

    features: ItemFeatures
    encoder: TextEncoder
    similarity: float = 15.0
    popularity: float = 2.0
    uniform: float = 0.1

    def ranked(self, observation: Observation) -> npt.NDArray[np.float32]:
        """Returns scores by similarity and popularity, whatever the luck of the session, [batch, num_candidates]."""
        table, blocks = self.features.table, self.features.blocks
        # The scorer reads the same texts, wishes and all: each goes through the language model once.
        encoder = wish_encoder(self.encoder, self.features.wishes)
        texts = encoder.hear(observation.texts.strings(observation.instruction))[:, : self.encoder.width]
        scores = (self.similarity * (texts @ self.features.projection) @ table[:, blocks["text"]].T).astype(np.float32)
        scores += self.popularity * table[:, blocks["popularity"]].T
        return scores if observation.candidates is None else np.take_along_axis(scores, observation.candidates, axis=1)

    def scores(self, observation: Observation) -> npt.NDArray[np.float32]:
        """Returns scores [batch, num_candidates]; all 0 in the sessions of chance."""
        scores = self.ranked(observation)
        # Whether a session is one of chance depends on its past and first words, which stay the same within it.
        first = np.where(observation.turn > 0, observation.said[:, 0], observation.instruction)
        luck = (first * 2_654_435_761 + observation.past.sum(axis=1, dtype=np.int64) * 40_503) % 1009 / 1009
        scores[luck < self.uniform] = 0
        return scores


@dataclass(frozen=True)
class ByRank:
    """A ranker's order with scores that fall by the logarithm of the rank: drawn from, whatever its own scale.

    Attributes:
        ranker: Whose order.
        sharpness: An item's odds are 1 / rank to this power.
    """

    ranker: Ranker
    sharpness: float = 1.5

    def scores(self, observation: Observation) -> Floats:
        """Returns minus sharpness × log(rank), [batch, num_candidates]."""
        scores = self.ranker.scores(observation)
        ranks = np.empty(scores.shape, np.int64)
        order = np.argsort(-scores, axis=1, kind="stable")
        np.put_along_axis(ranks, order, np.broadcast_to(np.arange(scores.shape[1]), scores.shape), axis=1)
        return np.asarray(-self.sharpness * np.log1p(ranks))


def collect_log(
    world: World,
    policy: Policy,
    turns: int,
    *,
    seed: int = 0,
    first_lane: int = 0,
    num_envs: int = 256,
    progress: Progress | None = None,
) -> Log:
    """Records whole sessions until there are at least ``turns`` turns, and returns that many.

    Args:
        world: Where people are; a training world, since they are learned from.
        policy: Who shows the slates.
        turns: How many turns to record, at least 1: the budget of interactions.
        seed: Of the sessions.
        first_lane: Whose session comes first.
        num_envs: Sessions run side by side.
        progress: Called with (done, total).
    """
    if turns < 1:
        raise ValueError(f"turns must be at least 1, got {turns}")
    parts: list[Log] = []
    done, lane = 0, first_lane
    while done < turns:
        state = start(world, Sessions.first(seed, np.arange(lane, lane + num_envs)))
        lane += num_envs
        while len(state.turn) and done < turns:
            observation = observe(world, state)
            shown = np.asarray(policy.act(observation, Noise(state.sessions.keys, state.turn)), np.int32)
            log_probs = policy.log_prob(observation, shown).astype(np.float32)
            session = state.sessions.lane - first_lane
            state, outcome = step(world, state, shown)
            clicked, earned = outcome.reactions.clicked, outcome.item_rewards
            parts.append(Log(observation, shown, log_probs, clicked, earned, session, outcome.done))
            state = take(state, ~outcome.done)
            done += len(shown)
        if progress is not None:
            progress(min(done, turns), turns)
    # The order of turns is by sessions' progress; cutting the end leaves out late turns of the last batch only.
    return joined(parts, apart=False).rows(slice(turns))


def behaviour_policy(features: ItemFeatures, encoder: TextEncoder, slate_size: int) -> Policy:
    """Returns the policy that shows the slates of a fixed log: Plackett–Luce over `Behaviour`."""
    return plackett_luce(Behaviour(features, encoder), slate_size)

"""SlatePPO's policy for Stable-Baselines3: the features extractor owns the language model, actions are slates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor

from instructrec.agents.candidates import candidate_scores, own_candidates
from instructrec.agents.reading import SessionReader
from instructrec.agents.scorer import ScorerInputs, SlateScorer
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.agents.slate_distribution import PlackettLuceDistribution
from instructrec.sessions import Observation


class ReadSession(BaseFeaturesExtractor):
    """Embeds the instruction with the language model, and the rest of the session beside it.

    Args:
        observation_space: What the environment shows.
        reader: Does the work; holds the frozen encoder and its cache.
    """

    def __init__(self, observation_space: spaces.Dict, reader: SessionReader) -> None:
        super().__init__(observation_space, features_dim=reader.text_width)
        self.reader = reader

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Returns the instruction's vector, wishes included, [batch, text width]."""
        return self.read(observations).text

    def read(self, observations: dict[str, Tensor]) -> ScorerInputs:
        """Returns all that the network sees."""
        return self.reader.read({name: np.asarray(value.cpu()) for name, value in observations.items()})


@dataclass(frozen=True)
class SlateRanker:
    """An `instructrec.protocols.Ranker` over a scorer's weights: needs no environment.

    Attributes:
        scorer: The network.
        reader: What it sees of observations.
        rows_at_once: Sessions scored together; bounds memory.
    """

    scorer: SlateScorer
    reader: SessionReader
    rows_at_once: int = 256

    @torch.no_grad()
    def scores(self, observation: Observation) -> npt.NDArray[np.float32]:
        """Returns scores [batch, num_candidates]; candidates are all items when the observation names none."""
        parts = []
        for first in range(0, observation.batch, self.rows_at_once):
            some = observation.rows(slice(first, first + self.rows_at_once))
            inputs = self.reader.see(some)
            if some.candidates is None:
                parts.append(self.scorer(inputs).numpy())
                continue
            among = own_candidates(inputs, some.candidates, len(self.scorer.table))
            query = self.scorer.query(self.scorer.state(inputs), inputs)
            parts.append(candidate_scores(self.scorer, query, inputs, among).numpy())
        return np.concatenate(parts)


def seeded_scorer(reader: SessionReader, slate_size: int, config: ScorerConfig, seed: int) -> SlateScorer:
    """Returns a network at its start; the seed alone decides its weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SlateScorer(
            reader.features,
            encoder_width=reader.encoder.width,
            memory=reader.memory,
            slate_size=slate_size,
            config=config,
        )


def parameter_groups(scorer: SlateScorer, *, reading_rate: float, item_rate: float) -> list[dict[str, Any]]:
    """Returns a network's parameters in groups for an optimiser, each with its ``share`` of the learning rate.

    Args:
        scorer: The network.
        reading_rate: Share for the parameters that read texts, where texts were read from prompts.
        item_rate: Share for items' own scores.
    """
    read = scorer.reading_parameters()
    items = [] if scorer.item_bias is None else [scorer.item_bias]
    others = {id(parameter) for parameter in [*read, *items]}
    rest = [parameter for parameter in scorer.parameters() if id(parameter) not in others]
    # Where nothing was read from prompts, there is nothing to hold on to.
    share = reading_rate if scorer.reads_wishes else 1.0
    groups = [{"params": rest, "share": 1.0}, {"params": read, "share": share}]
    return groups + ([{"params": items, "share": item_rate}] if items else [])


class SlatePolicy(ActorCriticPolicy):
    """Scores every item and draws slates from the scores by Plackett–Luce.

    Args:
        observation_space: What the environment shows.
        action_space: Slates: a `MultiDiscrete` of ``slate_size`` item numbers.
        lr_schedule: Learning rate by remaining progress.
        reader: Turns observations into the network's inputs.
        scorer: The network's sizes and start.
        temperature: Scores are divided by it before drawing.
        reading_rate: Share of the learning rate for the parameters that read texts.
        item_rate: Multiple of the learning rate for items' own scores.
        arguments: What `ActorCriticPolicy` takes besides.
    """

    action_dist: PlackettLuceDistribution
    features_extractor: ReadSession

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.MultiDiscrete,
        lr_schedule: Schedule,
        *,
        reader: SessionReader,
        scorer: ScorerConfig,
        temperature: float = 1.0,
        reading_rate: float = 1.0,
        item_rate: float = 1.0,
        **arguments: Any,
    ) -> None:
        self._scorer_config, self.temperature = scorer, temperature
        self._reading_rate, self._item_rate = reading_rate, item_rate
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=ReadSession,
            features_extractor_kwargs={"reader": reader},
            **arguments,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        reader = self.features_extractor.reader
        slate_size = len(cast("spaces.MultiDiscrete", self.action_space).nvec)
        self.action_dist = PlackettLuceDistribution(reader.features.num_items, slate_size)
        self.scorer = SlateScorer(
            reader.features,
            encoder_width=reader.encoder.width,
            memory=reader.memory,
            slate_size=slate_size,
            config=self._scorer_config,
        )
        groups = parameter_groups(self.scorer, reading_rate=self._reading_rate, item_rate=self._item_rate)
        self.optimizer = torch.optim.Adam(groups, lr=lr_schedule(1), eps=1e-5)

    def read(self, observations: PyTorchObs) -> ScorerInputs:
        """Returns what the network sees of ``observations``."""
        return self.features_extractor.read(cast("dict[str, Tensor]", observations))

    def scores(self, inputs: ScorerInputs) -> Tensor:
        """Returns every item's score over the temperature, [batch, num_items]."""
        return cast("Tensor", self.scorer(inputs)) / self.temperature

    def ranker(self) -> SlateRanker:
        """Returns the actor as a ranker; it shares the weights."""
        return SlateRanker(self.scorer, self.features_extractor.reader)

    def get_distribution(self, obs: PyTorchObs) -> PlackettLuceDistribution:
        """Returns the distribution of slates."""
        return self.action_dist.proba_distribution(self.scores(self.read(obs)))

    def forward(self, obs: PyTorchObs, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Returns slates, values and log-probabilities of whole slates."""
        inputs = self.read(obs)
        distribution = self.action_dist.proba_distribution(self.scores(inputs))
        slates = distribution.get_actions(deterministic=deterministic)
        return slates, self._values(inputs), distribution.log_prob(slates)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns values, log-probabilities of whole slates and entropies."""
        inputs = self.read(obs)
        distribution = self.action_dist.proba_distribution(self.scores(inputs))
        log_prob = distribution.log_prob(actions)
        return self._values(inputs), log_prob, distribution.entropy()

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Returns expected returns, [batch, 1]."""
        return self._values(self.read(obs))

    def _values(self, inputs: ScorerInputs) -> Tensor:
        return self.scorer.values(self.scorer.state(inputs)).total[:, None]

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        return self.get_distribution(observation).get_actions(deterministic=deterministic)

"""Policies learned from a log, on SlatePPO's network: cloning, weighting (IPS), fitted Q, and doubly robust (DR).

All four start where SlatePPO does, before it met anybody, and end in an actor and a critic that SlatePPO can go on
with. They differ in what the actor is moved by:

| method | the actor's gain |
|---|---|
| clone | log-likelihood of the logged slates |
| ips | weighted log-likelihood, by what came of each position over what the critic expects |
| fitted_q | likeness to the softmax of what items are worth, by a Q that foresees the best slates later on |
| dr | what its own slates are foreseen to bring, plus the weighted errors of foreseeing on logged positions |

With ips and dr a later turn's reward is what came of it in the log, so that each turn is improved as if the logger went
on; only the immediate reward is put right by weights in dr. How far π may go from the policy at the start (``anchor``)
and from who showed the log (``behaviour``) is held down by divergences.
"""

from __future__ import annotations

import copy
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from instructrec import runs
from instructrec.agents.candidates import Candidates, own_candidates, scores_among
from instructrec.agents.item_values import ItemValues, excess, values_loss
from instructrec.agents.offline_config import CloneConfig, DRConfig, FittedQConfig, IPSConfig, OfflineConfig
from instructrec.agents.offline_losses import behaviour_divergence, foreseen_gain, weighted, weighted_gain
from instructrec.agents.reading import SessionReader
from instructrec.agents.saving import restore_module, restore_moments, save_module, save_moments
from instructrec.agents.scorer import ScorerInputs
from instructrec.agents.slate_distribution import cross_entropies, divergences, draw_slates, slate_terms
from instructrec.agents.slate_policy import SlateRanker, parameter_groups, seeded_scorer
from instructrec.fitted_q import folds_of
from instructrec.logs import Log
from instructrec.policies import places_of

Progress = Callable[[int, int], None]
OFFLINE: dict[str, type[CloneConfig]] = {
    "clone": CloneConfig,
    "ips": IPSConfig,
    "fitted_q": FittedQConfig,
    "dr": DRConfig,
}
"""The settings of each method."""
_VALUE = 0.5
"""Weight of the critic's loss beside the actor's."""
_SETTLING, _SETTLING_RATE = 100, 0.03
"""Gradient steps in which a model of rewards learns the odds alone, at most a tenth of all; see
`instructrec.agents.supervised`."""


def checked(log: Log, config: OfflineConfig, reader: SessionReader) -> Log:
    """Returns a log's turns session by session, after checking that a policy can be learned from them.

    Raises:
        ValueError: If there are none, they show items or slates that the agent does not know, a propensity is not the
            logarithm of a probability, or weighting is asked for and the log holds no luck to weigh by.
    """
    if not len(log):
        raise ValueError("the log holds no turns, and there is nothing to learn from; record some first")
    if log.slates.shape[1] != reader.slate_size:
        raise ValueError(
            f"the log shows slates of {log.slates.shape[1]}, and this agent fills slates of {reader.slate_size}"
        )
    if log.slates.max() >= reader.features.num_items:
        raise ValueError(
            f"the log shows item {log.slates.max()}, and this agent knows {reader.features.num_items:,} items; "
            "learn in the world that it was recorded in"
        )
    wrong = ~(np.isfinite(log.log_probs) & (log.log_probs <= 1e-6))
    if wrong.any():
        row, position = np.argwhere(wrong)[0]
        raise ValueError(
            f"the log-propensity of position {position + 1} in row {row} is {log.log_probs[row, position]}; it is the "
            "logarithm of a probability, 0 or less"
        )
    if isinstance(config, IPSConfig) and (log.log_probs > -1e-9).all():
        raise ValueError(
            "the log was shown by a policy without luck, so it says nothing of other slates and has no weights: "
            "record with drawn slates, or learn by clone or fitted_q"
        )
    return log.rows(np.lexsort((log.observations.turn, log.session)))


def later_rewards(log: Log, gamma: float) -> npt.NDArray[np.float32]:
    """Returns what the log's later turns brought, γ r' + γ² r'' + …, float32 [num_turns].

    Args:
        log: Turns session by session, as `checked` returns them.
        gamma: Discount per turn.
    """
    earned = log.item_rewards.sum(axis=1, dtype=np.float64)
    later = np.zeros(len(log))
    for row in range(len(log) - 2, -1, -1):
        if log.session[row] == log.session[row + 1]:
            later[row] = gamma * (earned[row + 1] + later[row + 1])
    return later.astype(np.float32)


class OfflineLearner:
    """Learns a policy from a log, pass by pass; a pass depends on the seed and its number alone.

    Args:
        reader: What the network sees of a session.
        config: How to learn; its class decides the method.
        log: What was shown and what came of it.
        seed: Where weights, folds, draws and minibatches come from.

    Raises:
        ValueError: If nothing can be learned from the log (`checked`), or the reader remembers another number of
            instructions than the settings say.
    """

    def __init__(self, reader: SessionReader, config: OfflineConfig, log: Log, *, seed: int = 0) -> None:
        if config.memory != reader.memory:
            raise ValueError(f"memory is {config.memory} in the settings and {reader.memory} in the reader")
        self.reader, self.config, self.seed = reader, config, seed
        self._log = checked(log, config, reader)
        self._later = later_rewards(self._log, getattr(config, "gamma", 0.0))
        self._unit = max(float(self._log.item_rewards.std()), 1e-6)
        self.scorer = seeded_scorer(reader, reader.slate_size, config.scorer, seed)
        self._start = copy.deepcopy(self.scorer).requires_grad_(False)
        self._expect_the_mean()
        self.values = [self._new_values(part) for part in range(self._parts)]
        self._fold = np.zeros(len(self._log), np.int64)
        if isinstance(config, DRConfig):
            self._fold = folds_of(self._log.session, config.folds, seed=seed)
        self._optimiser = self._fresh(0)
        self.done = 0
        """Passes over the log so far."""

    @property
    def _parts(self) -> int:
        """How many models of values there are."""
        return self.config.folds if isinstance(self.config, DRConfig) else int(isinstance(self.config, FittedQConfig))

    @property
    def passes(self) -> int:
        """Passes over the log in all: those that fit models of values, then those that move the actor."""
        return self._parts * getattr(self.config, "rounds", 0) + self.config.epochs

    def ranker(self) -> SlateRanker:
        """Returns what was learned so far as a ranker; it shares the weights."""
        return SlateRanker(self.scorer, self.reader)

    def advance(self, progress: Progress | None = None) -> dict[str, float]:
        """Makes the next pass over the log.

        Args:
            progress: Called with (turns done, turns of this pass).

        Returns:
            Means over its gradient steps, by name.
        """
        part, epoch = self._stage(self.done)
        if epoch == 0:
            self._optimiser = self._fresh(self.done)
        seen: dict[str, list[float]] = defaultdict(list)
        words = np.random.SeedSequence([self.seed, self.done]).generate_state(1)
        luck = torch.Generator().manual_seed(int(words[0]))
        step = self._moving_actor(epoch, luck) if part is None else self._fitting(part, epoch)
        rows_of_pass = [np.arange(len(self._log))] if part is None else [np.flatnonzero(self._trains(part))]
        if part is None and self._parts > 1:
            rows_of_pass = [np.flatnonzero(self._fold == fold) for fold in range(self._parts)]
        batches = list(_batches(rows_of_pass, self.config.minibatch_size, luck))
        for number, rows in enumerate(batches):
            for name, value in step(rows, number / len(batches), len(batches)).items():
                seen[name].append(value)
            if progress is not None:
                progress(number + 1, len(batches))
        self.done += 1
        return {name: float(np.mean(values)) for name, values in seen.items()}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes all that the next pass needs into a folder: arrays and JSON, nothing that executes."""
        path = Path(folder)
        save_module(path / "weights.safetensors", self.scorer, {"features": self.reader.features.fingerprint})
        for part, model in enumerate(self.values):
            save_module(path / f"values-{part}.safetensors", model)
        save_moments(path / "optimiser.safetensors", self._optimiser)
        runs.write_json(path / "state.json", {"passes": self.done, **self._mine()})

    def restore(self, folder: str | os.PathLike[str]) -> None:
        """Goes on where `save` was called, in this process or another.

        Raises:
            RunError: If a file is missing or damaged.
            ValueError: If it was saved with another configuration, seed, log or table of features.
        """
        path = Path(folder)
        told = runs.read_json(path / "state.json")
        for name, value in self._mine().items():
            if told.get(name) != value:
                raise ValueError(f"{path} was saved with {name} {told.get(name)}, this is {value}; use the same")
        self.done = int(told["passes"])
        restore_module(path / "weights.safetensors", self.scorer)
        for part, model in enumerate(self.values):
            restore_module(path / f"values-{part}.safetensors", model)
        self._optimiser = self._fresh(max(self.done - 1, 0))
        restore_moments(path / "optimiser.safetensors", self._optimiser)

    def _mine(self) -> dict[str, Any]:
        mine = {"seed": self.seed, "turns": len(self._log), "features": self.reader.features.fingerprint}
        return mine | {"method": type(self.config).__name__, "config": runs.plain(self.config)}

    def _stage(self, number: int) -> tuple[int | None, int]:
        """Returns which model a pass fits, None for the actor, and which pass of it that is."""
        rounds = getattr(self.config, "rounds", 0)
        fitting = self._parts * rounds
        return (number // rounds, number % rounds) if number < fitting else (None, number - fitting)

    def _trains(self, part: int) -> npt.NDArray[np.bool_]:
        """Returns which turns a model of values is fitted to: those whose rewards it does not foresee."""
        return self._fold != part if self._parts > 1 else np.ones(len(self._log), np.bool_)

    def _expect_the_mean(self) -> None:
        """Lets the critic begin with what positions and later turns bring on average, in their unit."""
        critic, rewards = self.scorer.critic, torch.from_numpy(self._log.item_rewards)
        later = torch.from_numpy(self._later)
        critic.measure(rewards, later)
        if type(self.config) is not CloneConfig:
            with torch.no_grad():
                critic.expectation.bias.copy_(torch.cat([rewards.mean(dim=0), later.mean()[None]]) / critic.unit)

    def _new_values(self, part: int) -> ItemValues:
        rewards = self._log.item_rewards
        scorer = seeded_scorer(self.reader, self.reader.slate_size, self.config.scorer, self.seed)
        scorer.critic.measure(torch.from_numpy(rewards), torch.from_numpy(self._later))
        return ItemValues(scorer, low=float(rewards.min()), high=float(rewards.max()))

    def _fresh(self, number: int) -> torch.optim.Optimizer:
        """Returns the optimiser of a pass, remembering nothing."""
        rates = {"reading_rate": self.config.reading_rate, "item_rate": self.config.item_rate}
        part, _ = self._stage(number)
        if part is None:
            groups = parameter_groups(self.scorer, **rates)
        else:
            model = self.values[part]
            groups = parameter_groups(model.scorer, **rates)
            groups.append({"params": model.odds_parameters(), "share": 1.0})
        return torch.optim.Adam(groups, lr=self.config.learning_rate, eps=1e-5)

    def _see(self, rows: npt.NDArray[np.int64]) -> tuple[ScorerInputs, Candidates | None, Tensor]:
        """Returns what was seen, what might have been shown, and what was, as places among that."""
        seen = self._log.observations.rows(rows)
        inputs = self.reader.see(seen)
        among = None
        if seen.candidates is not None:
            among = own_candidates(inputs, seen.candidates, self.reader.features.num_items)
        return inputs, among, torch.from_numpy(places_of(seen, self._log.slates[rows]).astype(np.int64))

    def _logged(self, rows: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns slates, rewards and log-propensities, [batch, slate_size], and later rewards, [batch]."""
        log = self._log
        return (
            torch.from_numpy(log.slates[rows].astype(np.int64)),
            torch.from_numpy(log.item_rewards[rows].astype(np.float32)),
            torch.from_numpy(log.log_probs[rows].astype(np.float32)),
            torch.from_numpy(self._later[rows]),
        )

    def _take(self, loss: Tensor, module: nn.Module) -> None:
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.parameters(), self.config.max_grad_norm)
        self._optimiser.step()

    # --- What items are worth ---

    def _fitting(self, part: int, epoch: int) -> Callable[[npt.NDArray[np.int64], float, int], dict[str, float]]:
        """Returns one gradient step of a model of values."""
        config, model = self.config, self.values[part]
        assert isinstance(config, FittedQConfig | DRConfig)
        bootstraps = isinstance(config, FittedQConfig)
        before = copy.deepcopy(model).requires_grad_(False) if bootstraps and epoch and config.gamma else None
        taken = 0

        def step(rows: npt.NDArray[np.int64], share: float, steps: int) -> dict[str, float]:
            nonlocal taken
            settling = epoch == 0 and taken < min(_SETTLING, steps // 10)
            taken += 1
            *networks, odds = self._optimiser.param_groups
            rate = config.value_rate * (1 - 0.9 * share)
            for group in networks:
                group["lr"] = 0.0 if settling else rate * group["share"]
            odds["lr"] = _SETTLING_RATE if settling else rate
            inputs, among, places = self._see(rows)
            slates, rewards, _, later = self._logged(rows)
            if bootstraps:
                later = torch.zeros_like(later) if before is None else config.gamma * self._foreseen(before, rows)
                # What the best slates bring outgrows what the log's brought.
                model.scorer.critic.measure(rewards, later)
            reward_loss, later_loss = values_loss(model, inputs, slates, rewards, later)
            loss = reward_loss + _VALUE * later_loss
            facts = {"values/reward_loss": float(reward_loss.detach()), "values/later_loss": float(later_loss.detach())}
            if isinstance(config, FittedQConfig) and config.conservatism:
                unit = config.temperature * self._unit
                penalty = excess(model, inputs, among, places, unit) / self._unit
                loss = loss + config.conservatism * penalty
                facts["values/excess"] = float(penalty.detach())
            self._take(loss, model)
            return facts

        return step

    @torch.no_grad()
    def _foreseen(self, model: ItemValues, rows: npt.NDArray[np.int64]) -> Tensor:
        """Returns what the best slates are worth where logged turns led, 0 where the session ended, [batch]."""
        log, found = self._log, torch.zeros(len(rows))
        after = np.minimum(rows + 1, len(log) - 1)
        goes_on = np.flatnonzero((log.session[after] == log.session[rows]) & (after > rows))
        if len(goes_on):
            inputs, among, _ = self._see(after[goes_on])
            found[torch.from_numpy(goes_on)] = model.best(inputs, among)
        return found

    # --- The actor ---

    def _moving_actor(
        self, epoch: int, luck: torch.Generator
    ) -> Callable[[npt.NDArray[np.int64], float, int], dict[str, float]]:
        """Returns one gradient step of the actor, and of its critic."""
        config = self.config

        def step(rows: npt.NDArray[np.int64], share: float, steps: int) -> dict[str, float]:
            left = 1 - (epoch + share) / config.epochs
            rate = config.final_learning_rate + left * (config.learning_rate - config.final_learning_rate)
            for group in self._optimiser.param_groups:
                group["lr"] = rate * group["share"]
            loss, facts = self._actor_loss(rows, luck)
            self._take(loss, self.scorer)
            return facts

        return step

    def _actor_loss(self, rows: npt.NDArray[np.int64], luck: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        config, scorer = self.config, self.scorer
        inputs, among, places = self._see(rows)
        slates, rewards, logged, later = self._logged(rows)
        state = scorer.state(inputs)
        scores = scores_among(scorer, scorer.query(state, inputs), inputs, among)
        terms = slate_terms(scores, places)
        facts = {"policy/log_likelihood": terms.log_probs.mean()}
        draws = config.entropy or config.anchor or isinstance(config, DRConfig)
        # Else nobody reads them.
        drawn = draw_slates(scores, slates.shape[1], luck) if draws else places
        if type(config) is CloneConfig:
            gain, balance = terms.log_probs.mean(), None
        elif isinstance(config, FittedQConfig):
            with torch.no_grad():
                seen, anywhere, _ = self.values[0].worth(inputs, among)
                worth = (seen * self.values[0].looked_at.mean() + anywhere) / (config.temperature * self._unit)
                wanted = draw_slates(worth, slates.shape[1], luck)
            gain, balance = -cross_entropies(worth, scores, wanted).mean(), torch.ones_like(rewards)
        else:
            assert isinstance(config, IPSConfig)
            found = weighted(terms.log_probs, logged, cap=config.cap, ratio=config.ratio)
            balance = found.weights
            if isinstance(config, DRConfig):
                with torch.no_grad():
                    missed = rewards - self.values[int(self._fold[rows[0]])].shown(inputs, slates)
                gain = self._foreseen_gain(scores, inputs, among, drawn, rows)
                gain = gain + weighted_gain(found, missed / self._unit)
            else:
                with torch.no_grad():
                    expected = scorer.values(state, slates, self._share(rewards))
                advantages = (rewards + expected.effects - config.baseline * expected.items) / self._unit
                gain = weighted_gain(found, advantages, self_normalised=True)
            single = weighted(terms.log_probs, logged, cap=config.cap)
            if config.behaviour:
                gain = gain - config.behaviour * behaviour_divergence(single, logged)
            facts["policy/weight"] = balance.mean()
            facts["policy/effective_share"] = balance.sum() ** 2 / (balance**2).sum().clamp_min(1e-9) / balance.numel()
        loss, facts["policy/gain"] = -gain, gain
        if balance is not None:
            loss = loss + _VALUE * self._critic_loss(state, slates, rewards, later, balance)
        if config.entropy:
            loss = loss - config.entropy * slate_terms(scores, drawn).entropies.mean()
        if config.anchor:
            with torch.no_grad():
                there = scores_among(self._start, self._start.query(self._start.state(inputs), inputs), inputs, among)
            divergence = divergences(scores, there, drawn).mean()
            loss, facts["policy/anchor_kl"] = loss + config.anchor * divergence, divergence
        return loss, {name: float(value.detach()) for name, value in facts.items()}

    def _share(self, rewards: Tensor) -> Tensor:
        """Returns rewards scaled to [0, 1]."""
        low, high = float(self._log.item_rewards.min()), float(self._log.item_rewards.max())
        return (rewards - low) / max(high - low, 1e-6)

    def _foreseen_gain(
        self,
        scores: Tensor,
        inputs: ScorerInputs,
        among: Candidates | None,
        drawn: Tensor,
        rows: npt.NDArray[np.int64],
    ) -> Tensor:
        model = self.values[int(self._fold[rows[0]])]
        with torch.no_grad():
            seen, anywhere, _ = model.worth(inputs, among)
            looked_at = model.looked_at
        return foreseen_gain(scores, (seen / self._unit, anywhere / self._unit), drawn, looked_at)

    def _critic_loss(
        self, state: tuple[Tensor, Tensor], slates: Tensor, rewards: Tensor, later: Tensor, balance: Tensor
    ) -> Tensor:
        """Returns what the critic of the actor misses, turns and positions weighed as the actor would show them."""
        values, unit = self.scorer.values(state, slates, self._share(rewards)), self.scorer.critic.unit
        weights = balance / balance.mean().clamp_min(1e-6)
        items = (weights * ((values.items - rewards) / unit) ** 2).mean()
        missed = (values.future + values.effects.sum(dim=1) - later) / unit
        return items + (weights.mean(dim=1) * missed**2).mean()


def _batches(parts: list[npt.NDArray[np.int64]], size: int, luck: torch.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """Yields minibatches of rows, each of one part, in random order."""
    batches = []
    for part in parts:
        order = part[torch.randperm(len(part), generator=luck).numpy()]
        batches += [order[first : first + size] for first in range(0, len(order), size)]
    for number in torch.randperm(len(batches), generator=luck).tolist():
        yield batches[number]


@dataclass(frozen=True)
class Offline:
    """Fits SlatePPO's network to a log by one of the methods; the class of the settings decides which.

    Attributes:
        reader: What the network sees of a session.
        config: How to learn.
    """

    reader: SessionReader
    config: OfflineConfig

    def fit(self, log: Log, *, seed: int = 0, progress: Progress | None = None) -> SlateRanker:
        """Returns the learned policy's ranker: draw from it by `instructrec.policies.plackett_luce`, or show its best.

        Args:
            log: What was shown, with which probability, and what came of it.
            seed: Of weights, folds, draws and minibatches.
            progress: Called with (done, total).

        Raises:
            ValueError: As `OfflineLearner` does.
        """
        learner = OfflineLearner(self.reader, self.config, log, seed=seed)
        while learner.done < learner.passes:
            learner.advance(
                None
                if progress is None
                else lambda done, total: progress(learner.done * total + done, learner.passes * total)
            )
        return SlateRanker(learner.scorer.eval(), self.reader)

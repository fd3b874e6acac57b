"""PPO over slates: Stable-Baselines3's PPO with a Plackett–Luce policy and credit for each position.

References:
    Schulman et al. (2017), Proximal policy optimization algorithms, arXiv 1707.06347; Ye et al. (2020), Mastering
    complex control in MOBA games with deep reinforcement learning, AAAI (dual clipping).
"""

from __future__ import annotations

import copy
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import explained_variance, obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from instructrec import runs
from instructrec.agents.candidates import Candidates, candidate_recall, draw_for, own_candidates, scores_among
from instructrec.agents.encoder import TextEncoder, load_encoder
from instructrec.agents.features import world_features
from instructrec.agents.first_slates import FirstSlates
from instructrec.agents.reading import SessionReader
from instructrec.agents.rollout import CreditBy, Minibatch, SlateRolloutBuffer
from instructrec.agents.saving import restore_module, restore_moments, save_module, save_moments
from instructrec.agents.sb3_worlds import WorldVecEnv, sb3_vec_env
from instructrec.agents.scorer import Query, ScorerInputs, SlateScorer
from instructrec.agents.slate_config import SlatePPOConfig
from instructrec.agents.slate_critic import Values
from instructrec.agents.slate_distribution import divergences, draw_slates, slate_terms
from instructrec.agents.slate_policy import SlatePolicy, SlateRanker
from instructrec.sessions import World

__all__ = ["SlatePPO", "SlatePPOConfig"]

LEARNING = 4
"""Raised whenever the same settings and seed learn something else, so that older results are not taken for the same."""
_WORST_RATIO = 3.0
_WARM_UP_SHARE = 0.2
_LEAST_WARM_UP = 1_000
"""Turns; from fewer, too little is to be learned about thousands of items."""
_WARM_UP_CANDIDATES = 4
"""How many times as many candidates are ranked in the warm-up, and drawn anew at each turn: it has no updates to pay
for, and what was never shown stays unknown."""
_RECALLED = 64
"""Sessions whose best slates are looked for among an iteration's candidates."""


class SlatePPO(PPO):
    """Learns a ranker for slates by PPO.

    Args:
        env: Sessions side by side, of `instructrec.agents.sb3_worlds.sb3_vec_env`.
        reader: What the policy sees of them.
        config: How to learn.
        seed: Where weights, draws and minibatches come from.
        arguments: What `PPO` takes besides, such as ``tensorboard_log`` and ``verbose``.
    """

    policy: SlatePolicy
    rollout_buffer: SlateRolloutBuffer

    def __init__(
        self,
        env: WorldVecEnv,
        reader: SessionReader,
        config: SlatePPOConfig | None = None,
        *,
        seed: int = 0,
        **arguments: Any,
    ) -> None:
        self.config = config if config is not None else SlatePPOConfig()
        settings = self.config
        self.iteration = 0
        self.seconds: dict[str, float] = defaultdict(float)
        """Where the latest iteration's time went: read, score, draw, env, store, update."""
        super().__init__(
            SlatePolicy,
            env,
            # The last iteration may go beyond what was asked for; what is left is then below 0.
            learning_rate=lambda left: (
                settings.final_learning_rate + max(left, 0.0) * (settings.learning_rate - settings.final_learning_rate)
            ),
            n_steps=settings.num_steps,
            batch_size=min(settings.minibatch_size, settings.num_steps * env.num_envs),
            n_epochs=settings.epochs,
            gamma=settings.gamma,
            gae_lambda=settings.gae_lambda,
            clip_range=settings.clip,
            ent_coef=settings.entropy,
            vf_coef=settings.value,
            max_grad_norm=settings.max_grad_norm,
            target_kl=settings.target_kl,
            rollout_buffer_class=SlateRolloutBuffer,
            rollout_buffer_kwargs={"credit_by": settings.credit, "shared": settings.shared_future},
            policy_kwargs={
                "reader": reader,
                "scorer": settings.scorer,
                "temperature": settings.temperature,
                "reading_rate": settings.reading_rate,
                "item_rate": settings.item_rate,
            },
            seed=seed,
            device="cpu",
            **arguments,
        )
        self._features = reader.features
        self._first: FirstSlates | None = FirstSlates()
        self._start: SlateScorer | None = None
        self._begin()
        number = settings.candidates
        self._draw = draw_for(env.world, reader.features, number)
        self._warm_up_draw = draw_for(env.world, reader.features, number and _WARM_UP_CANDIDATES * number)
        self._drawn: Candidates | None = None
        self._recall: float | None = None
        self._luck = torch.Generator()
        if not arguments.get("tensorboard_log") and not arguments.get("verbose"):
            # Stable-Baselines3's own logger would make a folder for what nobody asked to keep.
            self.set_logger(Logger(folder=None, output_formats=[]))

    @classmethod
    def of(
        cls,
        world: World,
        config: SlatePPOConfig | None = None,
        *,
        encoder: TextEncoder | str = "minilm",
        seed: int = 0,
        **arguments: Any,
    ) -> SlatePPO:
        """Returns a learner for a training world: its features, its sessions and the policy.

        Args:
            world: Where to learn.
            config: How.
            encoder: The language model, or its name.
            seed: Where people, weights, draws and minibatches come from.
            arguments: As in the constructor.
        """
        chosen = load_encoder(encoder) if isinstance(encoder, str) else encoder
        settings = config if config is not None else SlatePPOConfig()
        reader = SessionReader(
            world_features(world, chosen, prompts=settings.prompts),
            chosen,
            slate_size=world.slate_size,
            turn_limit=world.turn_limit,
            memory=settings.memory,
        )
        env = sb3_vec_env(world, settings.num_envs, encoder=chosen, seed=seed, memory=settings.memory)
        return cls(env, reader, settings, seed=seed, **arguments)

    def begin_with(self, scorer: SlateScorer) -> None:
        """Begins with what another agent learned, actor and critic, instead of with nothing; call it before `learn`.

        The policy it stays near (``anchor``) is then that agent's, and there is no warm-up.

        Args:
            scorer: The other's network, of the same sizes and features; it is copied.

        Raises:
            ValueError: If its sizes are others, or this has learned already.
        """
        if self.num_timesteps:
            raise ValueError(f"it has learned for {self.num_timesteps:,} user-steps; begin with another one's weights")
        own, other = self.policy.scorer.state_dict(), scorer.state_dict()
        wrong = [name for name in own.keys() | other.keys() if name not in own or name not in other]
        wrong = wrong or [name for name, tensor in own.items() if tensor.shape != other[name].shape]
        if wrong:
            raise ValueError(
                f"the other network differs in {', '.join(sorted(wrong)[:3])}; use the same scorer settings"
            )
        self.policy.scorer.load_state_dict(other)
        self._first = None
        self._begin()

    def _begin(self) -> None:
        """Keeps the policy as it is now as the one to stay near."""
        if self.config.anchor > 0:
            self._start = copy.deepcopy(self.policy.scorer).requires_grad_(False)
            if self._start.history is not None and not self._start.history.found.weight.any():
                self._start.history = None  # It finds nothing; so it need not look.

    @property
    def _warm_up(self) -> int:
        """Turns before the policy gradient begins."""
        turns = min(self.config.warm_up, int(_WARM_UP_SHARE * self._total_timesteps))
        return turns if turns >= _LEAST_WARM_UP else 0

    @property
    def world_env(self) -> WorldVecEnv:
        """The sessions it learns from."""
        return cast("WorldVecEnv", self.env)

    def ranker(self) -> SlateRanker:
        """Returns what was learned as a ranker that works outside any environment; it shares the weights."""
        return self.policy.ranker()

    def save(self, path: str | os.PathLike[str] | Any, *args: Any, **kwargs: Any) -> None:
        """Writes all that the next iteration needs into the folder ``path``: arrays and JSON, nothing that executes.

        Args:
            path: A folder, made when missing.
            args: Not taken.
            kwargs: Not taken.

        Raises:
            ValueError: If ``path`` is a zip file, which would hold pickles, or more is asked for.
        """
        folder = _folder(path)
        if args or kwargs:
            raise ValueError("SlatePPO saves everything, always; it takes a folder and nothing else")
        save_module(folder / "weights.safetensors", self.policy.scorer, {"features": self._features.fingerprint})
        save_moments(folder / "optimiser.safetensors", self.policy.optimizer)
        if self._last_obs is not None:
            runs.write_arrays(folder / "sessions.safetensors", self.world_env.snapshot())
        if self._first is not None:
            runs.write_arrays(folder / "first_slates.safetensors", self._first.arrays())
        if self._start is not None:
            save_module(folder / "start.safetensors", self._start)
        counts = {"steps": self.num_timesteps, "iteration": self.iteration, "updates": self._n_updates}
        counts["warming_up"] = self._first is not None
        mine = {"seed": self.seed, "config": runs.plain(self.config), "features": self._features.fingerprint}
        runs.write_json(folder / "state.json", counts | mine)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Goes on where `save` was called, in this process or another.

        Raises:
            RunError: If a file is missing or damaged.
            ValueError: If it was saved with another configuration, seed or table of features.
        """
        folder = _folder(path)
        counts = runs.read_json(folder / "state.json")
        mine = {"seed": self.seed, "config": runs.plain(self.config), "features": self._features.fingerprint}
        for name, value in mine.items():
            if counts.get(name) != value:
                raise ValueError(f"{folder} was saved with {name} {counts.get(name)}, this is {value}; use the same")
        restore_module(folder / "weights.safetensors", self.policy.scorer)
        restore_moments(folder / "optimiser.safetensors", self.policy.optimizer)
        if self._first is not None and counts["warming_up"]:
            self._first.restore(runs.read_arrays(folder / "first_slates.safetensors"))
        else:
            self._first = None
        if self._start is not None:
            self._begin()
            restore_module(folder / "start.safetensors", self._start)
        self.num_timesteps, self.iteration = counts["steps"], counts["iteration"]
        self._n_updates = counts["updates"]
        if (folder / "sessions.safetensors").exists():
            self._last_obs = cast("Any", self.world_env.restore(runs.read_arrays(folder / "sessions.safetensors")))
            self._last_episode_starts = np.zeros(self.n_envs, np.bool_)

    @classmethod
    def load(cls, path: Any, env: Any = None, *args: Any, **kwargs: Any) -> NoReturn:
        """Is refused: a learner is made for a world and then restored, so that no file decides what is built.

        Raises:
            ValueError: Always; it names the ways that exist.
        """
        raise ValueError(
            "SlatePPO does not load Stable-Baselines3's files, which hold pickles; to go on learning use "
            "SlatePPO.of(world, config, seed=seed).restore(folder), to rank use instructrec.load(run)"
        )

    def _reseed(self) -> None:
        """Makes an iteration's luck depend on the seed and its number alone, so that a resumed run is exact."""
        words = np.random.SeedSequence([self.seed or 0, self.iteration]).generate_state(4)
        torch.manual_seed(int(words[0]))
        np.random.seed(int(words[1]))  # noqa: NPY002 - Stable-Baselines3 draws from the global generator.
        self._luck.manual_seed(int(words[2]))
        self._drawn, self._draw_luck = None, np.random.default_rng(int(words[3]))

    def _timed(self, name: str, since: float) -> float:
        now = time.perf_counter()
        self.seconds[name] += now - since
        return now

    def _candidates(self, inputs: ScorerInputs, observations: dict[str, Any]) -> Candidates | None:
        """Returns what may be ranked: the world's candidates, drawn ones, or None for the whole catalogue."""
        if self._first is not None:
            draw, self._drawn = self._warm_up_draw, None
        else:
            draw = self._draw
        if draw is None and "candidates" in observations:
            return own_candidates(inputs, observations["candidates"], len(self.policy.scorer.table))
        if draw is not None and self._drawn is None:
            self._drawn = draw.draw(inputs, self._draw_luck)
            seen = inputs.rows(slice(_RECALLED))
            self._recall = candidate_recall(self.policy.scorer, seen, self._drawn, draw.rankable)
        return self._drawn

    def _scores(self, scorer: SlateScorer, query: Query, inputs: ScorerInputs, among: Candidates | None) -> Tensor:
        scores = scores_among(scorer, query, inputs, among)
        return scores if self.policy.temperature == 1 else scores / self.policy.temperature

    def _start_query(self, inputs: ScorerInputs) -> Query:
        """Returns what the policy wanted at the start, which never changes; of no width where no anchor asks for it."""
        if self._start is None:
            return Query(*(torch.empty(inputs.batch, 0) for _ in Query._fields))
        return self._start.query(self._start.state(inputs), inputs)

    def _values(self, scorer: SlateScorer, state: tuple[Tensor, Tensor], shown: Tensor, clicked: Tensor) -> Values:
        return scorer.values(state, shown, clicked) if self.config.attribute_future else scorer.values(state)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Steps the sessions and fills the buffer.

        Returns:
            Whether to go on: False where the callback asked to stop.
        """
        buffer, scorer = cast("SlateRolloutBuffer", rollout_buffer), self.policy.scorer
        self.policy.set_training_mode(False)
        buffer.reset()
        callback.on_rollout_start()
        if self.num_timesteps >= self._warm_up:
            self._first = None
        self._reseed()
        self.seconds = defaultdict(float)
        next_values = torch.zeros(n_rollout_steps, env.num_envs)
        ended = torch.ones(env.num_envs)
        for step in range(n_rollout_steps):
            clock = time.perf_counter()
            observations = cast("dict[str, Any]", self._last_obs)
            with torch.no_grad():
                inputs = self.policy.read(obs_as_tensor(observations, self.device))
                clock = self._timed("read", clock)
                among = self._candidates(inputs, observations)
                state = scorer.state(inputs)
                query, expected = scorer.query(state, inputs), scorer.values(state)
                scores = self._scores(scorer, query, inputs, among)
                start = self._start_query(inputs)
                clock = self._timed("score", clock)
                places = draw_slates(scores, self.policy.action_dist.slate_size, self._luck)
                log_probs = slate_terms(scores, places).log_probs
                slates = places if among is None else among.at(places)
                clock = self._timed("draw", clock)
            new_obs, _, dones, infos = env.step(slates.numpy())
            outcome = cast("WorldVecEnv", env).last_outcome
            assert outcome is not None, "a step has an outcome"
            clock = self._timed("env", clock)
            if step > 0:
                # The value of where the last step led, unless its session ended there.
                next_values[step - 1] += expected.total * (1 - ended)
            ended = torch.from_numpy(outcome.done.astype(np.float32))
            next_values[step] = self._cut_off_values(infos, np.flatnonzero(outcome.truncated))
            clicked = torch.from_numpy(outcome.reactions.clicked.copy())
            with torch.no_grad():
                effects = self._values(scorer, state, slates, clicked).effects
            if self._first is not None:
                shown = self.policy.temperature * scores.gather(1, places)
                self._first.add(scorer, query, inputs, slates, shown, torch.from_numpy(outcome.item_rewards > 0))
            own = among if among is not None and among.marks is not None else _nothing(env.num_envs)
            buffer.store(
                inputs,
                slates=places,
                candidates=own.items,
                candidate_marks=cast("Tensor", own.marks),
                start_features=start.features,
                start_wishes=start.wishes,
                start_marks=start.marks,
                log_probs=log_probs,
                item_rewards=torch.from_numpy(outcome.item_rewards),
                expected_items=expected.items,
                expected_future=expected.future,
                effects=effects,
                shown=slates,
                clicked=clicked,
                ended=torch.from_numpy(outcome.done),
            )
            self._timed("store", clock)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
            self._last_obs, self._last_episode_starts = cast("Any", new_obs), dones
        with torch.no_grad():
            values = self.policy.predict_values(obs_as_tensor(cast("Any", self._last_obs), self.device))[:, 0]
        next_values[-1] += values * (1 - ended)
        buffer.share_credit(next_values)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _cut_off_values(self, infos: list[dict[str, Any]], truncated: Any) -> Tensor:
        """Returns the value of where truncated sessions stood, 0 for the others, [num_envs]: in one call for all."""
        values = torch.zeros(len(infos))
        if len(truncated):
            last = [infos[row]["terminal_observation"] for row in truncated]
            stacked = {name: np.stack([one[name] for one in last]) for name in last[0]}
            with torch.no_grad():
                values[truncated] = self.policy.predict_values(obs_as_tensor(stacked, self.device))[:, 0]
        return values

    def train(self) -> None:
        """Updates the policy from what was collected; in the warm-up only at its end, from all of it."""
        clock = time.perf_counter()
        if self._first is not None:
            if self.num_timesteps >= self._warm_up:
                self._first.teach(self.policy.scorer)
                self._first = None
                self._begin()
            self.iteration += 1
            self._timed("update", clock)
            self._log({})
            return
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        for group in self.policy.optimizer.param_groups:
            group["lr"] *= group["share"]
        self.policy.scorer.critic.measure(self.rollout_buffer.column("items"), self.rollout_buffer.column("later"))
        advantages = self.rollout_buffer.column("advantages")
        advantages.sub_(advantages.mean()).div_(advantages.std() + 1e-8)
        seen: dict[str, list[float]] = defaultdict(list)
        anchor = self.config.anchor * self.config.anchor_decay**self.iteration
        for _ in range(self.n_epochs):
            stopped = False
            for batch in self.rollout_buffer.minibatches(self.batch_size, self._luck):
                loss, facts = self._loss(batch, anchor)
                for name, value in facts.items():
                    seen[name].append(float(value))
                if self.target_kl is not None and float(facts["approx_kl"]) > 1.5 * self.target_kl:
                    stopped = True
                    break
                self._step(loss)
            self._n_updates += 1
            if stopped:
                break
        self.iteration += 1
        self._timed("update", clock)
        self._log(seen)

    def _step(self, loss: Tensor) -> None:
        self.policy.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.policy.scorer.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()

    def _loss(self, batch: Minibatch, anchor: float) -> tuple[Tensor, dict[str, Tensor]]:
        scorer, inputs = self.policy.scorer, batch.inputs
        state = scorer.state(inputs)
        among = Candidates(batch.candidates, batch.candidate_marks) if batch.candidates.shape[1] else self._drawn
        scores = self._scores(scorer, scorer.query(state, inputs), inputs, among)
        terms = slate_terms(scores, batch.slates)
        log_ratio, advantages = terms.log_probs - batch.log_probs, batch.advantages
        if self.config.credit == CreditBy.SLATE:
            log_ratio, advantages = log_ratio.sum(dim=1, keepdim=True), advantages[:, :1]
        ratio = torch.exp(log_ratio)
        clip = self.config.clip
        gain = torch.min(advantages * ratio, advantages * ratio.clamp(1 - clip, 1 + clip))
        # A bad item that has become many times likelier must not outweigh all else (dual clipping).
        gain = torch.max(gain, _WORST_RATIO * advantages.clamp_max(0)).mean()
        values = self._values(scorer, state, batch.shown, batch.clicked)
        # What a position brings and what comes later differ in size; both losses are means over their own entries.
        unit, later = scorer.critic.unit, values.future + values.effects.sum(dim=1)
        value_loss = nn.functional.mse_loss(values.items / unit, batch.items / unit) + nn.functional.mse_loss(
            later / unit, batch.later / unit
        )
        entropy = terms.entropies.mean()
        loss = -gain + self.config.value * value_loss - self.config.entropy * entropy
        facts = {
            "policy_gradient_loss": -gain,
            "value_loss": value_loss,
            "entropy": entropy,
            "approx_kl": ((ratio - 1) - log_ratio).sum(dim=1).mean(),
            "clip_fraction": ((ratio - 1).abs() > clip).float().mean(),
        }
        if anchor > 0 and self._start is not None:
            with torch.no_grad():
                start = Query(batch.start_features, batch.start_wishes, batch.start_marks)
                there = self._scores(self._start, start, inputs, among)
            divergence = divergences(scores, there, batch.slates).mean()
            loss = loss + anchor * divergence
            facts["anchor_kl"] = divergence
        return loss, {name: value.detach() for name, value in facts.items()}

    def _log(self, seen: dict[str, list[float]]) -> None:
        for name, values in seen.items():
            self.logger.record(f"train/{name}", float(np.mean(values)))
        buffer = self.rollout_buffer
        for name, expected, target in (
            ("explained_variance", "expected_future", "later"),
            ("explained_variance_items", "expected_items", "items"),
            ("explained_variance_effects", "effects", "later"),
        ):
            found, wanted = buffer.column(expected), buffer.column(target)
            if expected == "effects":
                found = found.sum(dim=2) + buffer.column("expected_future")
            explained = explained_variance(found.flatten().numpy(), wanted.flatten().numpy())
            self.logger.record(f"train/{name}", float(explained))
        for name, seconds in self.seconds.items():
            self.logger.record(f"time/{name}_seconds", seconds)
        if self._recall is not None:
            self.logger.record("train/candidate_recall", self._recall)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")


def _nothing(rows: int) -> Candidates:
    return Candidates(torch.empty(rows, 0, dtype=torch.int64), torch.empty(rows, 0, 0, dtype=torch.int8))


def _folder(path: str | os.PathLike[str] | Any) -> Path:
    if not isinstance(path, str | os.PathLike) or str(path).endswith(".zip") or Path(path).is_file():
        raise ValueError(
            f"expected a folder, got {path!r}: SlatePPO keeps safetensors and JSON in a folder, never a zip"
        )
    return Path(path)

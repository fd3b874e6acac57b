"""SlatePPO's own training log for a comparison: every turn that it lived through while it learned."""

from __future__ import annotations

from stable_baselines3.common.callbacks import CallbackList, ConvertCallback

from instructrec.agents.encoder import TextEncoder
from instructrec.agents.features import ItemFeatures
from instructrec.agents.own_log import LogRecorder
from instructrec.agents.slate_ppo import SlatePPOConfig
from instructrec.experiments.competitors import warm_reader
from instructrec.experiments.progress import Narrator
from instructrec.experiments.train import TrainPlan
from instructrec.experiments.trainers import SlatePPOTrainer, configured
from instructrec.logs import Log


def own_log(plan: TrainPlan, features: ItemFeatures, encoder: TextEncoder, narrator: Narrator) -> Log:
    """Trains SlatePPO once more, exactly as it is trained for the comparison, and returns what it lived through.

    Args:
        plan: How it is trained.
        features: The items, as it knows them.
        encoder: Its language model.
        narrator: Is told how far it has come.
    """
    world, settings = plan.place("train"), dict(plan.agent_settings)
    settings.pop("encoder", None)
    trainer = SlatePPOTrainer(world, encoder, features, configured(SlatePPOConfig, settings), plan.seed)
    warm_reader(trainer.reader, world, narrator, "Reading what the instructions ask for")
    with narrator.task("Recording SlatePPO while it learns") as advance:
        recorder = LogRecorder()

        def told(local: object, _: object) -> bool:
            advance(min(trainer.step / plan.steps, 1.0), "")
            return True

        callbacks = CallbackList([recorder, ConvertCallback(told)])
        trainer.model.learn(plan.steps, callback=callbacks, log_interval=plan.steps)
    return recorder.log.rows(slice(plan.steps))

"""Train with an algorithm of another library: here Stable-Baselines3's PPO on numbers, nothing of ours but the world.

Run: python examples/any_library.py
"""

# ruff: noqa: T201

import gymnasium
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from instructrec.envs import EncodeInstruction, RankByQuery
from instructrec.testing import HashingEncoder


def make() -> gymnasium.Env:
    """Returns the tiny world as boxes: the words as a vector, the slate as the best matches of a query."""
    env = gymnasium.make("instructrec/Tiny-v0")
    encoder = HashingEncoder(64)  # Any InstructionEncoder will do.
    return RankByQuery(EncodeInstruction(env, encoder), encoder.encode(list(env.unwrapped.world.catalogue.texts)))


def main(steps: int = 30_000, episodes: int = 400) -> tuple[float, float]:
    """Trains for ``steps``, and returns the mean return of ``episodes`` before and after."""
    model = PPO("MlpPolicy", make_vec_env(make, 8), n_steps=128, batch_size=256, learning_rate=1e-3, seed=0)
    test = make_vec_env(make, 8, seed=1)
    before, _ = evaluate_policy(model, test, n_eval_episodes=episodes)
    model.learn(steps)
    after, _ = evaluate_policy(model, test, n_eval_episodes=episodes)
    return float(before), float(after)


if __name__ == "__main__":
    print("mean return before {:.2f}, after {:.2f}; the best possible is 12.79".format(*main()))

"""SlatePPO trains for a moment in every world whose people speak, and then ranks its items."""

import numpy as np
import pytest

from instructrec.agents import SlatePPO, SlatePPOConfig
from instructrec.envs.worlds import WORLDS, make_world
from instructrec.sessions import Sessions, observe, start

SPEAKING = [name for name, spec in WORLDS.items() if spec.file is not None and spec.about().languages]
SMALL = {"num_items": 200, "bank_size": 400, "slate_size": 3, "turn_limit": 3}


@pytest.mark.parametrize("name", [name for name in SPEAKING if "Movies" not in name])
def test_an_agent_trains_for_a_moment_and_hears_what_is_said(name):
    world = make_world(name, **SMALL)
    config = SlatePPOConfig(prompts=0, num_envs=8, num_steps=8)
    agent = SlatePPO.of(world, config, encoder="hashing", seed=0)
    before = {key: value.clone() for key, value in agent.policy.state_dict().items()}
    agent.learn(128)
    after = agent.policy.state_dict()
    assert any(not np.array_equal(before[key].numpy(), after[key].numpy()) for key in before)
    observation = observe(world, start(world, Sessions.first(0, 4)))
    scores = agent.ranker().scores(observation)
    blank = agent.ranker().scores(observation.saying(np.zeros(4, np.int64)))
    assert scores.shape == (4, 200)
    assert np.isfinite(scores).all()
    assert not np.allclose(scores, blank)

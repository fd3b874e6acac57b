"""Many sessions at once, through Gymnasium."""

import dataclasses

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList

from instructrec.arrays import arrays_of
from instructrec.candidates import RandomCandidates
from instructrec.envs import RecEnv, RecVectorEnv, SlateSpace, tiny_world
from instructrec.envs.tiny import TinyPopulation

STEPS = 25


def few_candidates():
    return dataclasses.replace(tiny_world(), candidates=RandomCandidates(tiny_world().catalogue, 8))


def same(batch_row, seen, texts):
    """Whether a row of a vector observation is the observation of a single environment."""
    turn = seen["turn"]
    return (
        texts(batch_row["instruction"].reshape(1)) == [seen["instruction"]]
        and "\n".join(texts(batch_row["said"][:turn])) == seen["said"]
        and (batch_row["said"][turn:] == -1).all()
        and all(np.array_equal(batch_row[k], seen[k]) for k in seen if k not in ("instruction", "said"))
    )


def row_of(seen, lane):
    return {name: values[lane] for name, values in seen.items()}


@pytest.mark.parametrize("world", [tiny_world(), tiny_world(turn_limit=2, leave=0.4), few_candidates()])
def test_each_lane_is_what_a_single_environment_lives_through_across_autoresets(world):
    vector = RecVectorEnv(world, 4)
    singles = [RecEnv(world) for _ in range(4)]
    seen, infos = vector.reset(seed=11)
    for lane, env in enumerate(singles):
        alone, info = env.reset(seed=11, options={"lane": lane})
        assert same(row_of(seen, lane), alone, vector.texts)
        assert np.array_equal(infos["session"][lane], info["session"])
    actions = SlateSpace(20, 3, batch=4, seed=0)
    ended = 0
    for _ in range(STEPS):
        slates = actions.sample()
        seen, rewards, terminated, truncated, infos = vector.step(slates)
        for lane, env in enumerate(singles):
            alone, reward, left, limit, info = env.step(slates[lane])
            assert (rewards[lane], terminated[lane], truncated[lane]) == (reward, left, limit)
            if left or limit:
                ended += 1
                assert infos["_final_obs"][lane]
                assert same(infos["final_obs"][lane], alone, vector.texts)
                assert infos["_final_info"][lane]
                assert np.array_equal(infos["final_info"]["consumed"][lane], info["consumed"])
                assert not infos["_consumed"][lane]
                alone, info = env.reset()
                assert infos["_session"][lane]
                assert np.array_equal(infos["session"][lane], info["session"])
            else:
                assert "final_obs" not in infos or infos["final_obs"][lane] is None
                assert infos["_item_rewards"][lane]
                assert np.array_equal(infos["item_rewards"][lane], info["item_rewards"])
            assert same(row_of(seen, lane), alone, vector.texts)
    assert ended > 5


def test_it_lays_out_what_gymnasiums_own_vector_environment_lays_out():
    world = tiny_world()
    ours = RecVectorEnv(world, 3)
    theirs = SyncVectorEnv([lambda: RecEnv(world)] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    ours.reset(seed=[4, 4, 9], options={"lanes": np.array([0, 0, 0])})
    theirs.reset(seed=[4, 4, 9])
    actions = SlateSpace(20, 3, batch=3, seed=0)
    for _ in range(STEPS):
        slates = actions.sample()
        seen, rewards, terminated, truncated, infos = ours.step(slates)
        expected, their_rewards, their_terminated, their_truncated, their_infos = theirs.step(slates)
        assert ours.texts(seen["instruction"]) == list(expected["instruction"])
        assert np.array_equal(rewards, their_rewards)
        assert rewards.dtype == their_rewards.dtype
        assert np.array_equal(terminated, their_terminated)
        assert np.array_equal(truncated, their_truncated)
        for name in ("slates", "clicked", "turn", "past", "past_ratings"):
            assert np.array_equal(seen[name], expected[name])
            assert seen[name].dtype == expected[name].dtype
        # A mask that is all False says the same as no entry at all.
        said = {name for name, value in infos.items() if not name.startswith("_") and infos[f"_{name}"].any()}
        assert said == {name for name in their_infos if not name.startswith("_")}
        for name in said - {"final_obs", "final_info"}:
            assert np.array_equal(infos[name], their_infos[name])
            assert np.array_equal(infos[f"_{name}"], their_infos[f"_{name}"])


def test_everything_is_in_its_space():
    env = RecVectorEnv(few_candidates(), 6)
    seen, _ = env.reset(seed=0)
    assert env.action_space == SlateSpace(20, 3, batch=6)
    env.action_space.seed(0)
    for _ in range(STEPS):
        assert seen in env.observation_space
        seen, *_, infos = env.step(env.action_space.sample())
        for last in infos.get("final_obs", []):
            assert last is None or last in env.single_observation_space


def test_gymnasium_makes_it():
    env = gymnasium.make_vec("instructrec/Tiny-v0", 3, vectorization_mode="vector_entry_point", turn_limit=2)
    assert isinstance(env.unwrapped, RecVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.unwrapped.world.turn_limit == 2
    env.reset(seed=0)
    env.action_space.seed(0)
    ended = np.zeros(3, np.int64)
    for _ in range(4):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        ended += terminated | truncated
    assert ended.min() >= 2, "sessions of two turns at most"


def test_gymnasiums_info_tools_understand_it():
    env = DictInfoToList(RecVectorEnv(tiny_world(turn_limit=1), 3))
    _, infos = env.reset(seed=0)
    assert [info["session"].tolist() for info in infos] == [[0, 0, 0], [0, 1, 0], [0, 2, 0]]
    *_, infos = env.step(np.tile([0, 1, 2], (3, 1)))
    assert all(set(info) == {"session", "final_obs", "final_info"} for info in infos)
    assert all(set(info["final_info"]) == {"consumed", "item_rewards"} for info in infos)


def test_gymnasiums_parallel_environments_hear_the_words_or_refuse():
    kinds = [lambda: RecEnv(tiny_world())] * 2
    with pytest.raises(ValueError, match="shared_memory=False"):
        AsyncVectorEnv(kinds)
    env = AsyncVectorEnv(kinds, shared_memory=False)
    seen, _ = env.reset(seed=[0, 0])
    env.close()
    assert list(seen["instruction"]) == [RecEnv(tiny_world()).reset(seed=0)[0]["instruction"]] * 2


def sessions(infos):
    return infos["session"].tolist()


def test_seeds_may_be_one_or_many():
    env = RecVectorEnv(tiny_world(), 3)
    assert sessions(env.reset(seed=7)[1]) == [[7, 0, 0], [7, 1, 0], [7, 2, 0]]
    assert sessions(env.reset()[1]) == [[7, 0, 1], [7, 1, 1], [7, 2, 1]]
    assert sessions(env.reset(seed=[5, None, 6])[1]) == [[5, 0, 0], [7, 1, 2], [6, 2, 0]]
    assert sessions(env.reset(options={"lanes": [8, 9, 4]})[1]) == [[5, 8, 0], [7, 9, 0], [6, 4, 0]]
    with pytest.raises(ValueError, match="one seed or 3 of them, got 2"):
        env.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="0 or more"):
        env.reset(seed=[1, 2, -3])


def test_without_a_seed_batches_differ():
    drawn = {tuple(RecVectorEnv(tiny_world(), 2).reset()[1]["session"][0]) for _ in range(3)}
    assert len(drawn) == 3


def test_some_lanes_can_be_reset_while_others_go_on():
    env = RecVectorEnv(tiny_world(leave=0.0, lure=0.0, stray=0.0, match=0.5), 3)
    env.reset(seed=0)
    env.step(np.tile([0, 1, 2], (3, 1)))
    seen, infos = env.reset(options={"reset_mask": np.array([False, True, False])})
    assert seen["turn"].tolist() == [1, 0, 1]
    assert infos["_session"].tolist() == [False, True, False]
    assert infos["session"][1].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reset_mask": np.ones(2, bool)}, "holds 3 booleans"),
        ({"reset_mask": np.ones(3)}, "holds 3 booleans"),
        ({"lanes": np.array([0, 1])}, "holds 3 integers"),
        ({"lanes": np.array([0, 1, -1])}, "holds 3 integers"),
        ({"lanes": np.arange(3), "reset_mask": np.ones(3, bool)}, "either lanes or reset_mask"),
        ({"lane": 1}, "did you mean 'lanes'"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, says):
    env = RecVectorEnv(tiny_world(), 3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=says):
        env.reset(options=options)


def arrays_in(value):
    if isinstance(value, dict):
        return [array for part in value.values() for array in arrays_in(part)]
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [array for part in value for array in arrays_in(part)]
    return [value] if isinstance(value, np.ndarray) else []


class People(TinyPopulation):
    """Tiny's users, with a past to know."""

    def past(self, state):
        return np.tile(np.arange(4, dtype=np.int32), (len(state.colour), 1)), np.ones(
            (len(state.colour), 4), np.float32
        )


def test_what_was_returned_never_changes_and_changing_it_changes_nothing():
    world = dataclasses.replace(few_candidates(), population=People())
    env, other = RecVectorEnv(world, 5), RecVectorEnv(world, 5)
    actions = SlateSpace(20, 3, batch=5, seed=0)
    given, _ = env.reset(seed=1), other.reset(seed=1)
    for _ in range(STEPS):
        for array in arrays_in(given[0]) + arrays_in(given[-1]):
            assert not any(np.shares_memory(array, live) for _, live in arrays_of(env.state))
            array.fill(1)
        slates = actions.sample()
        given, expected = env.step(slates), other.step(slates)
        mine, theirs = (arrays_in(part[0]) + list(part[1:4]) for part in (given, expected))
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_wrong_calls_say_what_to_do():
    env = RecVectorEnv(tiny_world(), 2)
    with pytest.raises(ResetNeeded):
        env.step(np.tile([0, 1, 2], (2, 1)))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="slate 1 repeats item 4"):
        env.step(np.array([[0, 1, 2], [4, 4, 2]]))
    with pytest.raises(ValueError, match="num_envs must be at least 1"):
        RecVectorEnv(tiny_world(), 0)
    with pytest.raises(ValueError, match="a batch of users is not rendered"):
        RecVectorEnv(tiny_world(), 2, render_mode="human")

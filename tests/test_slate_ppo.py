import dataclasses

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from instructrec.agents.candidates import Candidates, candidate_recall
from instructrec.agents.encoder import load_encoder
from instructrec.agents.features import item_features
from instructrec.agents.inputs import inputs_of
from instructrec.agents.reading import SessionReader
from instructrec.agents.rollout import credit
from instructrec.agents.sb3_worlds import sb3_vec_env
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.agents.slate_critic import Values
from instructrec.agents.slate_ppo import SlatePPO, SlatePPOConfig
from instructrec.candidates import RandomCandidates, TheseItems
from instructrec.envs.tiny import myopic_value, optimal_value, tiny_world
from instructrec.envs.worlds import make_world
from instructrec.experiments.trainers import configured
from instructrec.noise import Noise
from instructrec.policies import Blank, greedy, log_prob_of_places
from instructrec.sessions import Sessions, observe, start, step

SMALL = SlatePPOConfig(
    num_envs=64,
    num_steps=8,
    minibatch_size=128,
    learning_rate=3e-3,
    final_learning_rate=3e-4,
    gamma=0.98,
    entropy=0.003,
    anchor=0.0,
    item_rate=1.0,
    scorer=ScorerConfig(hidden=32, critic_hidden=32),
)


class SaveAt(BaseCallback):
    """Saves at the end of an iteration and stops, as a kill would."""

    def __init__(self, folder, steps):
        super().__init__()
        self.folder, self.steps = folder, steps

    def _on_rollout_start(self):
        if self.num_timesteps == self.steps:
            self.model.save(self.folder)
            raise StopIteration

    def _on_step(self):
        return True


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def learner(config=SMALL, seed=0, world=None):
    world, encoder = world if world is not None else tiny_world(), load_encoder("hashing")
    features = item_features(world.catalogue, encoder.encode(world.catalogue.texts))
    reader = SessionReader(
        features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit, memory=config.memory
    )
    env = sb3_vec_env(world, config.num_envs, encoder=encoder, seed=seed, memory=config.memory)
    return SlatePPO(env, reader, config, seed=seed)


def mean_return(world, policy, people=400, seed=99):
    state = start(world, Sessions.first(seed, people))
    total, running = np.zeros(people), np.ones(people, np.bool_)
    for _ in range(world.turn_limit):
        slates = policy.act(observe(world, state), Noise(state.sessions.keys, state.turn))
        state, outcome = step(world, state, slates)
        total += outcome.reward * running
        running &= ~outcome.done
    return total.mean()


def test_shorter_and_longer_sessions_than_in_training_are_read_as_those_that_are_known():
    model, world = learner(), tiny_world()
    reader, limit, size = model.ranker().reader, world.turn_limit, world.slate_size
    state = start(world, Sessions.first(3, 40))
    for _ in range(2):
        slates = greedy(model.ranker(), size).act(observe(world, state), Noise(state.sessions.keys, state.turn))
        state, _ = step(world, state, slates)
    known = inputs_of(observe(world, state), load_encoder("hashing"))
    read = reader.read(known)

    def with_turns(turns, turn):
        history = {}
        for name, empty in (("slates", -1), ("clicked", 0)):
            given = np.asarray(known[name]).reshape(40, limit, size)
            changed = np.full((40, turns, size), empty, given.dtype)
            changed[:, turn - 2 : turn] = given[:, :2]
            history[name] = changed.reshape(40, -1)
        return reader.read({**known, **history, "turn": np.full_like(known["turn"], turn)})

    shorter = with_turns(2, 2)
    for part in dataclasses.fields(read):
        assert torch.equal(getattr(read, part.name), getattr(shorter, part.name)), part.name
    longer = with_turns(limit + 20, limit + 10)
    assert longer.marked.shape == read.marked.shape
    assert torch.equal(longer.text, read.text)
    assert torch.equal(longer.earlier, read.earlier)


@pytest.mark.parametrize("by", ["item", "reward_to_go", "slate"])
def test_it_learns_tiny_by_listening_whoever_gets_the_credit(by):
    # Whole slates are credited by what happened: attribution to items would defeat the comparison.
    shared = {"attribute_future": False, "shared_future": 1.0} if by == "slate" else {}
    model, world = learner(dataclasses.replace(SMALL, credit=by, warm_up=0, **shared)), tiny_world()
    before = mean_return(world, greedy(model.ranker(), 3))
    model.learn(14_000)
    after = mean_return(world, greedy(model.ranker(), 3))
    assert after > max(before, 8.0), f"{before:.2f} before, {after:.2f} after"
    assert mean_return(world, greedy(Blank(model.ranker()), 3)) < 0.6 * after


def test_looking_ahead_beats_the_best_short_sighted_policy():
    world = tiny_world()
    model = learner()
    model.learn(25_000)
    found = mean_return(world, greedy(model.ranker(), 3))
    assert found > 3 * myopic_value(world)
    assert found < optimal_value(world) + 0.5


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    def weights(seed):
        model = learner(seed=seed)
        model.learn(1_024)
        return model.policy.scorer.state_dict()

    one, same, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("candidates", [None, 500])
def test_two_threads_repeat_themselves_on_movies(candidates):
    """Threads that add up gradients in whatever order they come differ in the last bits, and soon in the first."""
    world = make_world("instructrec/Movies-v0", bank_size=400)
    config = SlatePPOConfig(prompts=0, candidates=candidates, num_envs=128)

    def weights():
        model = SlatePPO.of(world, config, encoder="hashing", seed=0)
        model.learn(1_024)
        return model.policy.scorer.state_dict()

    torch.set_num_threads(2)
    one, same = weights(), weights()
    assert all(torch.equal(one[name], same[name]) for name in one)


def test_an_iteration_beyond_what_was_asked_for_learns_at_the_final_rate():
    model = learner()
    model.learn(SMALL.num_envs * SMALL.num_steps // 4)  # What is left falls far below 0.
    rates = [group["lr"] / group["share"] for group in model.policy.optimizer.param_groups]
    np.testing.assert_allclose(rates, SMALL.final_learning_rate)
    assert model.lr_schedule(1.0) == SMALL.learning_rate


def test_luck_in_between_does_not_change_what_is_learned():
    def weights(disturb):
        model = learner()
        for _ in range(2):
            if disturb:
                torch.rand(7)
                np.random.rand(7)  # noqa: NPY002 - the generator that Stable-Baselines3 draws from.
            model.learn(512, reset_num_timesteps=False)
        return model.policy.scorer.state_dict()

    calm, disturbed = weights(False), weights(True)
    assert all(torch.equal(calm[name], disturbed[name]) for name in calm)


def test_what_was_collected_does_not_change_when_the_sessions_step_on():
    model = learner()
    model.learn(512)
    kept = {name: column.clone() for name, column in model.rollout_buffer._columns.items()}
    before = {name: np.copy(array) for name, array in model._last_obs.items()}
    for _ in range(3):
        model.env.step(np.tile(np.arange(3), (SMALL.num_envs, 1)))
    for array in model._last_obs.values():
        array[...] = 0
    for name, column in kept.items():
        assert torch.equal(
            column,
            model.rollout_buffer._columns[name],
        ), f"{name} is a view of a live array"
    assert any(array.any() for array in before.values())


def test_kept_log_probs_are_those_of_the_policy_that_drew():
    model = learner()
    model.learn(512)
    fresh = learner()
    buffer = model.rollout_buffer
    for batch in buffer.minibatches(64, torch.Generator().manual_seed(0)):
        with torch.no_grad():
            scores = fresh.policy.scorer(batch.inputs).numpy()
        wanted = log_prob_of_places(scores.astype(np.float64), batch.slates.numpy())
        np.testing.assert_allclose(batch.log_probs.numpy(), wanted, atol=1e-4)


def test_as_many_candidates_as_items_are_the_whole_catalogue():
    many, whole = (learner(dataclasses.replace(SMALL, candidates=candidates)).learn(512) for candidates in (1000, None))
    for one, other in zip(many.policy.scorer.parameters(), whole.policy.scorer.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_setting_that_may_be_none_can_be_set_so():
    assert configured(SlatePPOConfig, {"candidates": None}).candidates is None


@pytest.mark.parametrize("candidates", [10, 16])
def test_it_learns_from_a_few_candidates_and_then_ranks_all_items(candidates):
    model = learner(dataclasses.replace(SMALL, candidates=candidates, gamma=0.0))
    model.learn(6_000)
    world = tiny_world()
    state = start(world, Sessions.first(5, 200))
    scores = model.ranker().scores(observe(world, state))
    assert scores.shape == (200, 20)
    assert scores.dtype == np.float32
    best = np.argsort(-scores, axis=1)[:, :3]
    assert (best // 5 == state.population.colour[:, None]).mean() > 0.7


def test_training_tells_how_much_of_the_best_slates_stands_among_the_candidates():
    few = learner(dataclasses.replace(SMALL, candidates=12)).learn(512)
    recall = few.logger.name_to_value["train/candidate_recall"]
    assert 0.1 < recall <= 1
    inputs = next(few.rollout_buffer.minibatches(32, torch.Generator().manual_seed(0))).inputs
    everything, nothing = (Candidates(torch.arange(size)) for size in (20, 0))
    assert candidate_recall(few.policy.scorer, inputs, everything) == 1
    assert candidate_recall(few.policy.scorer, inputs, nothing) == 0
    whole = learner(dataclasses.replace(SMALL, candidates=None)).learn(512)
    assert "train/candidate_recall" not in whole.logger.name_to_value


def test_the_worlds_own_candidates_are_kept_to():
    world = dataclasses.replace(tiny_world(), candidates=RandomCandidates(tiny_world().catalogue, 8))
    model = learner(world=world)
    model.learn(512)
    buffer = model.rollout_buffer
    assert torch.equal(buffer.column("shown"), buffer.column("candidates").gather(2, buffer.column("slates").long()))
    observation = observe(world, start(world, Sessions.first(0, 4)))
    assert model.ranker().scores(observation).shape == (4, 8)


def test_a_part_of_the_catalogue_that_is_the_same_for_all_is_drawn_from_like_the_whole():
    world = dataclasses.replace(tiny_world(), candidates=TheseItems(np.arange(1, 20, 2, dtype=np.int32)))
    model = learner(dataclasses.replace(SMALL, candidates=None), world=world).learn(512)
    assert set(model.rollout_buffer.column("shown").unique().tolist()) <= set(range(1, 20, 2))
    assert model.rollout_buffer.column("candidates").shape[2] == 0, "no row has candidates of its own to score"
    assert model.logger.name_to_value["train/candidate_recall"] == 1, "nothing that may be shown is missing"


def test_candidates_that_all_share_are_scored_like_a_row_of_ones_own():
    world = dataclasses.replace(tiny_world(), candidates=TheseItems(np.arange(1, 20, 2, dtype=np.int32)))
    observation = observe(world, start(world, Sessions.first(0, 6)))
    ranker = learner(world=world).learn(256).ranker()
    own = ranker.scores(dataclasses.replace(observation, candidates=observation.candidates.copy()))
    np.testing.assert_allclose(ranker.scores(observation), own, atol=1e-4)


def test_an_anchor_keeps_the_policy_near_its_start():
    def moved(anchor):
        model = learner(dataclasses.replace(SMALL, anchor=anchor, gamma=0.0))
        observation = observe(tiny_world(), start(tiny_world(), Sessions.first(0, 64)))
        before = torch.log_softmax(torch.from_numpy(model.ranker().scores(observation)), 1)
        model.learn(2_048)
        after = torch.log_softmax(torch.from_numpy(model.ranker().scores(observation)), 1)
        return (after.exp() * (after - before)).sum(1).mean().item()

    assert moved(5.0) < 0.5 * moved(0.0)


def test_it_is_an_sb3_ppo_whose_predictions_are_slates():
    model = learner()
    assert isinstance(model, PPO)
    slates, _ = model.predict(model.env.reset(), deterministic=True)
    assert slates.shape == (SMALL.num_envs, 3)
    assert all(len(set(slate)) == 3 for slate in slates.tolist())
    log_prob = model.policy.get_distribution(model.policy.obs_to_tensor(model.env.reset())[0]).log_prob(
        torch.from_numpy(slates)
    )
    assert (log_prob < 0).all()


@pytest.mark.parametrize("stop", [0, 512, 1_024, 1_536])
def test_saved_and_restored_elsewhere_it_goes_on_to_the_same_weights(tmp_path, stop):
    steps = 5_120  # Of which 1,024 are the warm-up.
    config = dataclasses.replace(SMALL, anchor=0.1)
    whole = learner(config)
    whole.learn(steps)
    stopped = learner(config)
    with pytest.raises(StopIteration):
        stopped.learn(steps, callback=SaveAt(tmp_path, stop))
    second = learner(config)
    second.restore(tmp_path)
    second.learn(steps - second.num_timesteps, reset_num_timesteps=False)
    ours, theirs = whole.policy.scorer.state_dict(), second.policy.scorer.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_first_fifth_is_regressed_on_and_what_is_found_is_the_policy_to_stay_near():
    def learned(**changes):
        model = learner(dataclasses.replace(SMALL, anchor=0.1, learning_rate=0.0, final_learning_rate=0.0, **changes))
        model.learn(5_120)
        return model

    warmed, cold, another = learned(), learned(warm_up=0), learned(warm_up=1_100)
    assert warmed.policy.scorer.item_bias.std() > 0.5
    torch.testing.assert_close(warmed._start.item_bias, warmed.policy.scorer.item_bias)
    assert not cold.policy.scorer.item_bias.any()
    assert torch.equal(another.policy.scorer.item_bias, warmed.policy.scorer.item_bias)


def test_a_training_too_short_for_a_warm_up_has_none():
    model = learner(dataclasses.replace(SMALL, learning_rate=0.0, final_learning_rate=0.0)).learn(4_096)
    assert not model.policy.scorer.item_bias.any()


def test_zips_and_other_configurations_are_refused(tmp_path):
    model = learner()
    with pytest.raises(ValueError, match="never a zip"):
        model.save(tmp_path / "model.zip")
    with pytest.raises(ValueError, match="pickles"):
        SlatePPO.load(tmp_path)
    model.save(tmp_path)
    with pytest.raises(ValueError, match="gamma"):
        learner(dataclasses.replace(SMALL, gamma=0.1)).restore(tmp_path)
    with pytest.raises(ValueError, match="seed"):
        learner(seed=3).restore(tmp_path)


def two_steps(**changes):
    """Two turns of one session; the person leaves after the second."""
    values = {
        "item_rewards": torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]),
        "expected": Values(
            torch.tensor([[[0.4, 0.2]], [[0.3, 0.1]]]), torch.tensor([[2.0], [1.0]]), torch.zeros(2, 1, 2)
        ),
        "next_values": torch.tensor([[1.4], [0.0]]),
        "ended": torch.tensor([[False], [True]]),
        "gamma": 0.9,
        "gae_lambda": 0.5,
        "by": "item",
    }
    return credit(**(values | changes))


def test_credit_by_item_is_its_own_surplus_and_the_shared_future():
    # Turn 2: nothing follows. Turn 1: 0.9 × (half the critic's 1.4, half the 1.0 that turn 2 brought).
    later = 0.9 * (0.5 * 1.4 + 0.5 * 1.0)
    found = two_steps()
    torch.testing.assert_close(found.later, torch.tensor([[later], [0.0]]))
    torch.testing.assert_close(found.advantages[0, 0], torch.tensor([0.6, -0.2]) + later - 2.0)
    torch.testing.assert_close(found.advantages[1, 0], torch.tensor([-0.3, 0.9]) - 1.0)


def test_reward_to_go_adds_what_is_below_and_slate_everything():
    item, to_go, slate = (two_steps(by=by, shared=0.0).advantages[0, 0] for by in ("item", "reward_to_go", "slate"))
    torch.testing.assert_close(item, torch.tensor([0.6, -0.2]))
    torch.testing.assert_close(to_go, torch.tensor([0.4, -0.2]))
    torch.testing.assert_close(slate, torch.tensor([0.4, 0.4]))


def test_effects_move_credit_between_items_but_never_its_sum():
    effects = torch.tensor([[[0.5, -0.3]], [[0.0, 0.0]]])
    plain = two_steps()
    expected = Values(torch.tensor([[[0.4, 0.2]], [[0.3, 0.1]]]), torch.tensor([[2.0], [1.0]]), effects)
    moved = two_steps(expected=expected, by="slate")
    torch.testing.assert_close(moved.advantages[0, 0, 0], two_steps(by="slate").advantages[0, 0, 0])
    torch.testing.assert_close(moved.items[0, 0], torch.tensor([1.5, -0.3]))
    torch.testing.assert_close(moved.later, plain.later)


def test_a_cut_off_session_is_worth_what_the_critic_says_and_one_that_left_nothing():
    cut = two_steps(next_values=torch.tensor([[1.4], [3.0]]))
    torch.testing.assert_close(cut.later[1], torch.tensor([0.9 * 3.0]))

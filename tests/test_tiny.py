"""The tiny world is worth exactly what its docstring says."""

import numpy as np
import pytest

from instructrec.arrays import take
from instructrec.envs.spaces import SlateSpace
from instructrec.envs.tiny import PHRASINGS, TinyPopulation, myopic_value, optimal_policy, optimal_value, tiny_world
from instructrec.goals import satisfied
from instructrec.noise import Noise
from instructrec.policies import Blank, greedy
from instructrec.sessions import Sessions, observe, start, step

PEOPLE = 20_000


def returns(world, act):
    """Plays one session each and gives everyone's return."""
    state = start(world, Sessions.first(0, PEOPLE))
    total, here = np.zeros(PEOPLE), np.ones(PEOPLE, np.bool_)
    for _ in range(world.turn_limit):
        state, outcome = step(world, state, act(state))
        total += np.where(here, outcome.reward, 0)
        here &= ~outcome.done
    return total


def close_to(value, total):
    return abs(total.mean() - value) < 4 * total.std() / np.sqrt(PEOPLE)


WORLDS = [{}, {"slate_size": 1, "turn_limit": 3, "num_colours": 2}, {"lure": 1.0, "match": 0.3, "leave": 0.5}]


@pytest.mark.parametrize("settings", WORLDS)
def test_the_optimal_policy_earns_the_optimal_value(settings):
    world = tiny_world(**settings)
    policy = optimal_policy(world)
    total = returns(world, lambda state: policy.act(observe(world, state), Noise(state.sessions.keys, state.turn)))
    assert close_to(optimal_value(world), total)


def test_showing_the_likeliest_clicks_earns_the_myopic_value():
    world = tiny_world()

    def likeliest(state):
        return np.argsort(-world.population.expected_utility(state.population), axis=1, kind="stable")[:, :3]

    total = returns(world, likeliest)
    assert close_to(myopic_value(world), total)
    assert myopic_value(world) < 0.25 * optimal_value(world), "the future must matter"


def test_the_values_in_the_docstring_are_the_worlds():
    world = tiny_world()
    assert optimal_value(world) == pytest.approx(12.79, abs=0.005)
    assert myopic_value(world) == pytest.approx(2.76, abs=0.005)
    # By hand: plain things for six turns, but bait in the last.
    stays = 0.95 ** np.arange(6)
    assert optimal_value(world) == pytest.approx(2.4 * stays[:5].sum() + 2.5 * stays[5])
    assert optimal_value(world, discount=0.0) == pytest.approx(2.5)


class _Colour:
    """Ranks the plain items of the colour that is heard, by the text's id."""

    def scores(self, observation):
        heard = np.maximum(observation.instruction - 1, 0) // len(PHRASINGS)
        items = np.arange(20)
        return ((items // 5 == heard[:, None]) & (items % 5 < 4)).astype(float)


def test_who_hears_nothing_earns_a_third_at_most():
    world = tiny_world()

    def play(ranker):
        policy = greedy(ranker, 3)
        return returns(world, lambda state: policy.act(observe(world, state), Noise(state.sessions.keys, state.turn)))

    assert play(_Colour()).mean() > 0.98 * optimal_value(world)
    assert play(Blank(_Colour())).mean() < optimal_value(world) / 3


def test_the_goal_is_the_colour_that_is_said():
    world = tiny_world()
    state = start(world, Sessions.first(3, 200))
    said = world.population.texts.strings(state.instructions.texts)
    colour_of = world.catalogue.columns["colour"].values
    met = satisfied(state.instructions.goals, world.catalogue, np.arange(20))[:, 0]
    for row, text in enumerate(said):
        titles = {world.catalogue.texts[item].split()[-2] for item in np.flatnonzero(met[row])}
        assert len(titles) == 1
        assert titles.pop() in text
    assert {colour_of[c] for c in state.population.colour} == set(colour_of[:4])


def test_held_out_phrasings_are_heard_only_where_they_are_held_out():
    heard = {}
    for split in ("train", "validation", "test"):
        world = tiny_world(split=split)
        heard[split] = set(start(world, Sessions.first(0, 2_000)).instructions.texts.tolist())
    assert [len(texts) for texts in heard.values()] == [24, 8, 8]
    assert not heard["train"] & heard["validation"]
    assert not heard["train"] & heard["test"]
    assert not heard["validation"] & heard["test"]


def test_a_bait_that_is_clicked_ends_the_session():
    world = tiny_world(lure=1.0, leave=0.0)
    state = start(world, Sessions.first(0, 100))
    bait = state.population.colour[:, None] * 5 + np.array([4, 0, 1])
    _, outcome = step(world, state, bait)
    assert outcome.terminated.all()
    _, outcome = step(world, state, bait - np.array([1, 0, 0]) + np.array([0, 0, 1]))
    assert not outcome.terminated.any()


def test_what_people_ask_for_next_does_not_depend_on_the_slate():
    world = tiny_world()
    state = start(world, Sessions.first(0, 64))
    space = SlateSpace(20, 3, batch=64, seed=0)
    one, _ = step(world, state, space.sample())
    other, _ = step(world, state, space.sample())
    assert np.array_equal(one.instructions.texts, other.instructions.texts)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"slate_size": 5}, "needs as many plain items of each colour"),
        ({"num_colours": 1}, "num_colours must be from 2 to 8"),
        ({"match": 1.2}, "match is a probability"),
        ({"stray": 0.85}, "stray must not exceed"),
        ({"split": "tset"}, "did you mean 'test'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        tiny_world(**settings)


def test_other_settings_are_another_world():
    prints = {tiny_world(**settings).fingerprint for settings in ({}, {"leave": 0.1}, {"split": "test"})}
    assert len(prints) == 3
    assert tiny_world().fingerprint == tiny_world().fingerprint


def test_only_the_tiny_world_has_a_known_optimum():
    world = tiny_world()
    state = start(world, Sessions.first(0, 4))
    log_prob = optimal_policy(world).log_prob(observe(world, state), np.tile([0, 1, 2], (4, 1)))
    assert set(np.unique(log_prob)) <= {0.0, -np.inf}
    assert take(state.population, slice(0, 2)).colour.shape == (2,)
    assert TinyPopulation().past(state.population)[0].shape == (4, 0)

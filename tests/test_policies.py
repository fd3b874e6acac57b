"""A ranker scores, a policy draws."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructrec.candidates import RandomCandidates
from instructrec.envs import tiny_world
from instructrec.noise import Noise
from instructrec.policies import (
    Blank,
    Remembering,
    Swapped,
    best_first,
    greedy,
    items_at,
    log_prob_of_places,
    places_of,
    plackett_luce,
)
from instructrec.sessions import Sessions, observe, start, step

WORLD = tiny_world()


def seen(batch, world=WORLD, turns=0):
    state = start(world, Sessions.first(0, batch))
    for _ in range(turns):
        state, _ = step(world, state, np.tile([0, 5, 10], (batch, 1)))
    return observe(world, state)


def luck(batch, turn=0):
    return Noise(Sessions.first(1, batch).keys, np.full(batch, turn))


class Fixed:
    """The same scores for everyone; -inf for what a test forbids."""

    def __init__(self, scores):
        self.row = np.asarray(scores, float)

    def scores(self, observation):
        row = np.tile(self.row, (observation.batch, 1))
        return row if observation.candidates is None else np.take_along_axis(row, observation.candidates, axis=1)


class Words:
    """Scores that tell which texts were heard."""

    def scores(self, observation):
        heard = observation.instruction + 1_000 * np.where(observation.said >= 0, observation.said, 0).sum(axis=1)
        return heard[:, None] + np.zeros(20)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.data())
def test_the_best_come_first_and_ties_go_to_the_lower_place(row, data):
    size = data.draw(st.integers(1, len(row)))
    expected = sorted(range(len(row)), key=lambda place: (-row[place], place))[:size]
    assert best_first(np.array([row, row], float), size).tolist() == [expected, expected]


def test_forbidden_items_come_last_and_nan_is_refused():
    assert best_first(np.array([[-np.inf, 1.0, -np.inf, 2.0]]), 3).tolist() == [[3, 1, 0]]
    with pytest.raises(ValueError, match="NaN as the score of candidate 1"):
        best_first(np.array([[0.0, np.nan]]), 1)
    with pytest.raises(ValueError, match="a slate of 3 needs as many candidates, got 2"):
        best_first(np.zeros((1, 2)), 3)


def test_propensities_over_all_ordered_slates_sum_to_one():
    scores = np.array([0.3, -1.0, 2.0, 0.0, 0.5])
    slates = np.array(list(itertools.permutations(range(5), 3)))
    log_prob = log_prob_of_places(np.tile(scores, (len(slates), 1)), slates)
    assert np.exp(log_prob.sum(axis=1)).sum() == pytest.approx(1)
    whole = np.array(list(itertools.permutations(range(5))))
    assert np.exp(log_prob_of_places(np.tile(scores, (120, 1)), whole).sum(axis=1)).sum() == pytest.approx(1)


def test_propensities_are_what_the_definition_says():
    scores = np.array([0.3, -1.0, 2.0, 0.0])
    log_prob = log_prob_of_places(scores[None], np.array([[2, 0]]))[0]
    weights = np.exp(scores)
    expected = [weights[2] / weights.sum(), weights[0] / (weights.sum() - weights[2])]
    assert np.exp(log_prob) == pytest.approx(expected)


def test_slates_are_drawn_with_their_propensities():
    draws = 40_000
    world = tiny_world(num_colours=2, per_colour=1, slate_size=1)
    observation = seen(draws, world)
    policy = plackett_luce(Fixed([0.0, 1.0, -0.5, 0.7]), 2, temperature=0.8)
    slates = policy.act(observation, luck(draws))
    kinds, counts = np.unique(slates, axis=0, return_counts=True)
    assert len(kinds) == 12
    expected = np.exp(policy.log_prob(observation.rows(np.zeros(12, int)), kinds).sum(axis=1))
    assert (abs(counts / draws - expected) < 5 * np.sqrt(expected * (1 - expected) / draws)).all()


def test_a_low_temperature_is_greedy_and_a_high_one_is_uniform():
    ranker = Fixed(np.arange(20.0))
    observation = seen(2_000)
    assert np.array_equal(
        plackett_luce(ranker, 3, 1e-3).act(observation, luck(2_000)), greedy(ranker, 3).act(observation, luck(2_000))
    )
    first = plackett_luce(ranker, 3, 1e4).act(observation, luck(2_000))[:, 0]
    assert np.bincount(first, minlength=20).std() < 3 * np.sqrt(100)
    with pytest.raises(ValueError, match="for no randomness use greedy"):
        plackett_luce(ranker, 3, 0.0)


def test_the_same_luck_draws_the_same_slate_alone_and_in_a_crowd():
    policy = plackett_luce(Fixed(np.zeros(20)), 3)
    crowd = policy.act(seen(64), luck(64))
    for row in (0, 31, 63):
        noise = Noise(luck(64).keys[row : row + 1], np.zeros(1, int))
        assert np.array_equal(policy.act(seen(64).rows([row]), noise)[0], crowd[row])
    assert not np.array_equal(crowd, policy.act(seen(64), luck(64, turn=1)))


def test_greedy_is_certain():
    policy = greedy(Fixed(np.arange(20.0)), 3)
    slates = np.array([[19, 18, 17], [19, 17, 18]])
    assert policy.log_prob(seen(2), slates).tolist() == [[0, 0, 0], [0, -np.inf, -np.inf]]


def test_policies_show_item_numbers_and_only_candidates():
    world = replace(WORLD, candidates=RandomCandidates(WORLD.catalogue, 6))
    observation = seen(50, world)
    ranker = Fixed(np.arange(20.0))
    slates = greedy(ranker, 3).act(observation, luck(50))
    assert np.array_equal(slates, -np.sort(-observation.candidates, axis=1)[:, :3])
    assert np.array_equal(items_at(observation, places_of(observation, slates)), slates)
    drawn = plackett_luce(ranker, 3).act(observation, luck(50))
    assert np.isfinite(plackett_luce(ranker, 3).log_prob(observation, drawn)).all()
    absent = np.array([sorted(set(range(20)) - set(row))[:3] for row in observation.candidates])
    with pytest.raises(ValueError, match="in slate 0 is not among the candidates"):
        plackett_luce(ranker, 3).log_prob(observation, absent)


def test_a_ranker_that_remembers_is_asked_once_for_what_it_sees():
    asked = []

    class Counting(Words):
        def scores(self, observation):
            asked.append(observation)
            return super().scores(observation)

    first, second = seen(8), seen(8, turns=1)
    ranker = Remembering(Counting())
    policies = [plackett_luce(ranker, 3, temperature) for temperature in (1.0, 2.0)]
    for observation in (first, second, first):
        for policy in policies:
            plain = replace(policy, ranker=Words())
            slates = policy.act(observation, luck(8))
            assert np.array_equal(slates, plain.act(observation, luck(8)))
            assert np.array_equal(policy.log_prob(observation, slates), plain.log_prob(observation, slates))
    assert [each is one for each, one in zip(asked, (first, second, first), strict=True)] == [True] * 3
    with pytest.raises(ValueError, match="read-only"):
        ranker.scores(first)[0] = 0.0


def test_blank_hears_nothing_now_or_before():
    observation = seen(8, turns=2)
    assert Words().scores(observation).any()
    assert not Blank(Words()).scores(observation).any()


def test_swapped_hears_the_next_persons_words():
    observation = seen(8, turns=2)
    assert np.array_equal(Swapped(Words()).scores(observation), np.roll(Words().scores(observation), 1, axis=0))

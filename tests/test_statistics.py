"""Intervals cover what they say they cover, and pairing is kept."""

from __future__ import annotations

import time

import numpy as np
import pytest

from instructrec.experiments.statistics import (
    Crossed,
    Estimate,
    Interval,
    interquartile_mean,
    label,
    probability_of_improvement,
    quantile_interval,
    variance_saved,
)


def _clustered(rng: np.random.Generator, people: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Sessions whose true mean is 0 and of which half the variance is the person's."""
    person = np.repeat(np.arange(people), each)
    return person, rng.normal(size=people)[person] + rng.normal(size=people * each)


def test_intervals_by_person_cover_the_truth_and_intervals_by_session_do_not() -> None:
    rng = np.random.default_rng(3)
    covered, naive, repetitions = 0, 0, 300
    for repetition in range(repetitions):
        person, values = _clustered(rng, 60, 8)
        by_person = Crossed.of(person, draws=400, seed=repetition).ratio(values).interval()
        by_session = Crossed.of(np.arange(len(person)), draws=400, seed=repetition).ratio(values).interval()
        covered += by_person.low < 0 < by_person.high
        naive += by_session.low < 0 < by_session.high
    assert 0.91 <= covered / repetitions <= 0.98
    assert naive / repetitions < 0.75


def test_intervals_carry_the_luck_of_seeds_too() -> None:
    rng = np.random.default_rng(4)
    covered, fixed, repetitions = 0, 0, 200
    for repetition in range(repetitions):
        person, values = _clustered(rng, 40, 3)
        table = values + rng.normal(scale=0.7, size=(12, 1))  # each seed shifts all its sessions
        crossed = Crossed.of(person, draws=400, seed=repetition)
        both, people_only = crossed.ratio(table).interval(), crossed.ratio(table.mean(axis=0)).interval()
        covered += both.low < 0 < both.high
        fixed += people_only.low < 0 < people_only.high
    assert 0.89 <= covered / repetitions <= 0.99
    assert fixed < covered


def test_the_vectorised_bootstrap_equals_taking_people_one_by_one() -> None:
    rng = np.random.default_rng(5)
    person = rng.integers(0, 9, 31)
    sums, counts = rng.normal(size=(3, 31)), rng.integers(0, 4, (3, 31))
    crossed = Crossed.of(person, draws=40, seed=1)
    estimate, known = crossed.ratio(sums, counts), np.unique(person)
    for draw in range(40):
        top = bottom = 0.0
        for seed, times in enumerate(crossed.seeds(3)[draw].astype(int)):
            for who, often in zip(known, crossed.people[draw].astype(int), strict=True):
                for session in np.flatnonzero(person == who):
                    if counts[seed, session]:
                        top += times * often * sums[seed, session]
                        bottom += times * often * counts[seed, session]
        assert estimate.draws[draw] == pytest.approx(top / bottom)
    assert estimate.value == pytest.approx(sums[counts > 0].sum() / counts.sum())


def test_every_resampling_takes_as_many_people_and_seeds_as_there_are() -> None:
    crossed = Crossed.of([4, 4, 7, 9], draws=50)
    assert crossed.num_people == 3
    assert (crossed.people.sum(axis=1) == 3).all()
    assert (crossed.seeds(5).sum(axis=1) == 5).all()
    np.testing.assert_array_equal(Crossed.of([4, 4, 7, 9], draws=50).people, crossed.people)


def test_differences_are_paired_and_common_luck_is_told() -> None:
    rng = np.random.default_rng(6)
    person, values = _clustered(rng, 50, 4)
    crossed = Crossed.of(person)
    values -= values.mean()
    worse, better = crossed.ratio(values), crossed.ratio(values + 0.1 + 0.01 * rng.normal(size=len(values)))
    assert (better - worse).interval().above_zero
    assert not better.interval().above_zero
    assert variance_saved(better, worse) > 0.99
    assert abs(variance_saved(crossed.ratio(rng.normal(size=200)), crossed.ratio(rng.normal(size=200)))) < 0.5


def test_a_normalised_return_of_the_reference_is_exactly_one() -> None:
    crossed = Crossed.of(np.arange(30))
    rng = np.random.default_rng(7)
    floor, reference = crossed.ratio(rng.normal(size=30)), crossed.ratio(rng.normal(size=30) + 5)
    assert ((reference - floor) / (reference - floor)).interval() == Interval(1.0, 1.0, 1.0)
    assert ((floor - floor) / (reference - floor)).interval() == Interval(0.0, 0.0, 0.0)


def test_an_undefined_value_is_nan_and_none_in_json() -> None:
    never = Crossed.of([0, 1]).ratio([1.0, 2.0], [0, 0])
    assert np.isnan(never.value)
    assert never.interval().as_dict() == {"value": None, "low": None, "high": None}
    nothing = Estimate(1.0, np.ones(3)) / Estimate(0.0, np.zeros(3))
    assert np.isnan(nothing.value)


def test_values_that_grow_with_the_number_of_people_are_centred() -> None:
    shown = np.eye(40, dtype=bool)  # every person sees an item of their own: coverage is 1
    crossed = Crossed.of(np.arange(40))
    interval = crossed.centred(1.0, lambda taken: (taken @ shown > 0).mean(axis=1)).interval()
    assert interval.value == 1.0
    assert 0.8 < interval.low < 1.0 < interval.high < 1.2


def test_two_thousand_draws_of_twelve_agents_take_less_than_a_second() -> None:
    rng = np.random.default_rng(8)
    table = rng.normal(size=(12, 10, 1, 500))
    began = time.process_time()
    crossed = Crossed.of(np.arange(500))
    intervals = [crossed.ratio(values).interval() for agent in table for values in agent]
    assert len(intervals) == 120
    # A generous bound: the claim is about the order of magnitude, and machines differ.
    assert time.process_time() - began < 4.0


def test_a_quantile_lies_inside_its_interval() -> None:
    times = np.random.default_rng(9).exponential(size=200)
    middle = quantile_interval(times, 0.5)
    assert middle.low < middle.value < middle.high
    assert quantile_interval(np.full(5, 2.0), 0.99) == Interval(2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="at least one measurement"):
        quantile_interval(np.array([]), 0.5)


def test_one_seed_says_so() -> None:
    assert label(1) == "this run only"
    assert label(5) == "5 seeds"


def test_wrong_shapes_are_named() -> None:
    crossed = Crossed.of([0, 1, 1])
    with pytest.raises(ValueError, match="each of 3 sessions"):
        crossed.ratio([1.0, 2.0])
    with pytest.raises(ValueError, match="one shape"):
        crossed.ratio([1.0, 2.0, 3.0], [[1, 1, 1], [1, 1, 1]])
    with pytest.raises(ValueError, match="at least one session"):
        Crossed.of([])


def test_the_probability_of_improvement_is_counted_by_hand_over_people_and_pairs_of_seeds() -> None:
    crossed = Crossed.of([0, 1])
    found = probability_of_improvement(crossed, [[3, 1], [1, 1]], [[2, 1]])
    # Person 0: 3 > 2, 1 < 2. Person 1: two ties.
    assert found.value == pytest.approx((1 + 0 + 0.5 + 0.5) / 4)
    turned = probability_of_improvement(crossed, [[2, 1]], [[3, 1], [1, 1]])
    assert turned.value == pytest.approx(1 - found.value)


def test_who_always_earns_more_improves_for_certain_and_whoever_is_the_same_does_by_half() -> None:
    people, rng = np.arange(30), np.random.default_rng(0)
    earned = rng.random((3, 30))
    assert probability_of_improvement(Crossed.of(people), earned + 2, earned).interval() == Interval(1, 1, 1)
    same = probability_of_improvement(Crossed.of(people), earned[:1], earned[:1]).interval()
    assert (same.value, same.low, same.high) == (0.5, 0.5, 0.5)


def test_sessions_of_a_person_count_together_in_the_probability_of_improvement() -> None:
    crossed = Crossed.of([0, 0, 0, 1])
    found = probability_of_improvement(crossed, [[1, 1, 1, 0]], [[0, 0, 0, 1]])
    assert found.value == pytest.approx(0.75)
    assert set(np.round(found.draws, 6)) == {0.0, 0.75, 1.0}


def test_the_interquartile_mean_leaves_out_the_outer_quarters() -> None:
    found = interquartile_mean([100.0, 1.0, 2.0, -50.0])
    assert found.value == pytest.approx(1.5)
    assert found.low <= found.value <= found.high
    with pytest.raises(ValueError, match="at least one run"):
        interquartile_mean([])

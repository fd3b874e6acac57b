"""Luck is a function of who, when and what; and it looks like luck."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from instructrec.noise import Noise, Purpose, mix, session_keys


def keys_of(seed=0, lanes=4, ordinal=0):
    return session_keys(np.full(lanes, seed), np.arange(lanes), np.full(lanes, ordinal))


def noise_of(seed=0, lanes=4, ordinal=0, turn=0):
    return Noise(keys_of(seed, lanes, ordinal), np.full(lanes, turn))


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 1000))
def test_one_session_alone_equals_the_same_in_a_batch(seed, lane, ordinal, turn):
    batch = [np.array([7, seed, 11]), np.array([3, lane, 0]), np.array([0, ordinal, 5])]
    together = Noise(session_keys(*batch), np.array([2, turn, 9]))
    alone = Noise(session_keys(*(part[1:2] for part in batch)), np.array([turn]))
    for purpose in (Purpose.CLICK, Purpose.POLICY):
        for size in (1, 5):
            np.testing.assert_array_equal(together.integers(purpose, size)[1], alone.integers(purpose, size)[0])
    assert together.generator(1).random() == alone.generator(0).random()


def test_draws_do_not_depend_on_what_was_drawn_before():
    used, fresh = noise_of(), noise_of()
    used.uniform(Purpose.GOAL, 100)
    used.gumbel(Purpose.CLICK, 3)
    np.testing.assert_array_equal(used.uniform(Purpose.LEAVING, 4), fresh.uniform(Purpose.LEAVING, 4))


def test_more_draws_begin_with_the_same_ones():
    np.testing.assert_array_equal(noise_of().uniform(Purpose.CLICK, 50)[:, :7], noise_of().uniform(Purpose.CLICK, 7))


@pytest.mark.parametrize("change", [{"seed": 1}, {"ordinal": 1}, {"turn": 1}])
def test_seed_ordinal_and_turn_each_change_every_draw(change):
    assert not np.any(noise_of().integers(Purpose.CLICK, 64) == noise_of(**change).integers(Purpose.CLICK, 64))


def test_lanes_and_purposes_share_no_draw():
    draws = np.concatenate([noise_of(lanes=200).integers(purpose, 50).ravel() for purpose in Purpose])
    assert len(np.unique(draws)) == len(draws)


def test_sessions_of_small_numbers_have_distinct_keys():
    grid = np.stack(np.meshgrid(np.arange(20), np.arange(100), np.arange(20), indexing="ij"), -1).reshape(-1, 3)
    assert len(np.unique(session_keys(*grid.T))) == len(grid)


def test_mixing_is_the_published_function_and_one_to_one():
    # First outputs of splitmix64 with seed 0 (Steele et al. 2014, as in the reference C code).
    golden = 0x9E3779B97F4A7C15
    states = np.array([golden, 2 * golden % 2**64, 3 * golden % 2**64], np.uint64)
    expected = np.array([0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F], np.uint64)
    np.testing.assert_array_equal(mix(states), expected)
    np.testing.assert_array_equal(mix(states[:1]), expected[:1])
    assert len(np.unique(mix(np.arange(100_000, dtype=np.uint64)))) == 100_000


def test_draws_lie_strictly_between_0_and_1_even_at_the_ends():
    class Ends(Noise):
        def integers(self, purpose, size):
            return np.array([[0, 2**64 - 1]], np.uint64)

    ends = Ends(keys_of(lanes=1), np.zeros(1))
    low, high = ends.uniform(Purpose.CLICK, 2)[0]
    assert 0 < low < high < 1
    assert np.isfinite(ends.gumbel(Purpose.CLICK, 2)).all()


# Each sweep varies one of the things that a draw depends on, the rest fixed: neighbours must be as good as strangers.
SWEEPS = {
    "lane": lambda n: noise_of(lanes=n).uniform(Purpose.CLICK)[:, 0],
    "seed": lambda n: Noise(session_keys(np.arange(n), np.zeros(n, int), np.zeros(n, int)), np.zeros(n, int)).uniform(
        Purpose.CLICK
    )[:, 0],
    "ordinal": lambda n: Noise(
        session_keys(np.zeros(n, int), np.zeros(n, int), np.arange(n)), np.zeros(n, int)
    ).uniform(Purpose.CLICK)[:, 0],
    "turn": lambda n: Noise(np.repeat(keys_of(lanes=1), n), np.arange(n)).uniform(Purpose.CLICK)[:, 0],
    "index": lambda n: noise_of(lanes=1).uniform(Purpose.CLICK, n)[0],
    "purpose": lambda n: np.concatenate([noise_of(lanes=1).uniform(purpose)[0] for purpose in range(n)]),
}


@pytest.mark.parametrize("sweep", SWEEPS)
def test_draws_are_uniform_and_unrelated_to_their_neighbours(sweep):
    draws = SWEEPS[sweep](20_000)
    # Fixed draws, so the test always passes or always fails; one in a thousand good generators would fail it.
    assert stats.kstest(draws, "uniform").pvalue > 1e-3
    for lag in (1, 2, 3, 16):
        correlation = np.corrcoef(draws[:-lag], draws[lag:])[0, 1]
        assert abs(correlation) < 3.5 / np.sqrt(len(draws))
    pairs, _, _ = np.histogram2d(draws[::2], draws[1::2], bins=10)
    assert stats.chisquare(pairs.ravel()).pvalue > 1e-3


def test_purposes_are_independent_of_each_other():
    noise = noise_of(lanes=20_000)
    draws = np.stack([noise.uniform(purpose)[:, 0] for purpose in Purpose])
    correlations = np.corrcoef(draws)[np.triu_indices(len(Purpose), 1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(20_000)


def test_gumbel_draws_have_the_gumbel_distribution():
    draws = noise_of(lanes=100).gumbel(Purpose.POLICY, 200).ravel()
    assert stats.kstest(draws, "gumbel_r").pvalue > 1e-3


def test_generators_differ_by_session_turn_and_purpose():
    noise, later = noise_of(lanes=3), noise_of(lanes=3, turn=1)
    first = [noise.generator(row).random() for row in range(3)]
    others = [later.generator(0).random(), noise.generator(0, Purpose.CLICK).random()]
    assert len({*first, *others}) == 5
    assert first[0] == noise.generator(0).random()

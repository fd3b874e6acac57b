"""Slates as a Gymnasium space, texts as one, and the repair of slates that repeat items."""

import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import MultiDiscrete, flatten
from gymnasium.vector.utils import batch_space
from hypothesis import given
from hypothesis import strategies as st

from instructrec.envs.spaces import SlateSpace, SpokenText, fill_repeats, observation_space, repeats
from instructrec.envs.tiny import tiny_world


@pytest.mark.parametrize(("num_items", "size"), [(1, 1), (5, 5), (6, 3), (50, 10), (10_000, 10)])
def test_a_sampled_slate_holds_distinct_items_and_is_contained(num_items, size):
    space = SlateSpace(num_items, size, seed=0)
    for _ in range(50):
        slate = space.sample()
        assert slate.shape == (size,)
        assert slate.dtype == np.int64
        assert len(set(slate.tolist())) == size
        assert slate in space


@pytest.mark.parametrize(("num_items", "size"), [(4, 2), (4, 3)])
def test_every_ordered_slate_is_equally_likely(num_items, size):
    slates = SlateSpace(num_items, size, batch=24_000, seed=1).sample()
    codes, counts = np.unique(slates @ 10 ** np.arange(size), return_counts=True)
    orders = 12 if size == 2 else 24
    assert len(codes) == orders
    # Five standard deviations of a binomial count.
    assert abs(counts - 24_000 / orders).max() < 5 * np.sqrt(24_000 / orders)


def test_sampling_follows_its_seed():
    space = SlateSpace(100, 10)
    space.seed(7)
    first = [space.sample() for _ in range(5)]
    space.seed(7)
    assert np.array_equal(first, [space.sample() for _ in range(5)])
    space.seed(8)
    assert not np.array_equal(first, [space.sample() for _ in range(5)])


@pytest.mark.parametrize(
    "slate",
    [
        [0, 0, 1],
        [0, 1, 5],
        [-1, 0, 1],
        [0, 1],
        [[0, 1, 2]],
        [0.0, 1.0, 2.0],
        np.array([True, False, True]),
        "abc",
        None,
    ],
)
def test_what_is_not_a_slate_is_not_contained(slate):
    assert slate not in SlateSpace(5, 3)


def test_a_slate_in_any_integer_type_is_contained():
    for kind in (np.int8, np.uint8, np.int32, np.int64):
        assert np.array([4, 0, 2], kind) in SlateSpace(5, 3)
    assert [4, 0, 2] in SlateSpace(5, 3)


def test_a_mask_says_which_items_may_be_shown():
    space = SlateSpace(6, 2, seed=0)
    mask = np.array([0, 1, 0, 1, 1, 0], np.int8)
    shown = {item for _ in range(60) for item in space.sample(mask).tolist()}
    assert shown == {1, 3, 4}
    batched = SlateSpace(6, 2, batch=2, seed=0)
    per_slate = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]], np.bool_)
    slates = batched.sample(per_slate)
    assert set(slates[0]) == {0, 1}
    assert set(slates[1]) == {4, 5}


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        ((np.ones(6, np.int8),) * 2, "not a tuple with a mask per position"),
        (np.ones(5, np.int8), "mask of 0 and 1 over the 6 items, got shape"),
        (np.full(6, 2), "mask of 0 and 1"),
        (np.array([1, 0, 0, 0, 0, 0], np.int8), "allows 1 items; a slate holds 2"),
    ],
)
def test_a_mask_that_makes_no_sense_is_refused(mask, says):
    with pytest.raises(ValueError, match=says):
        SlateSpace(6, 2).sample(mask)
    with pytest.raises(ValueError, match="takes no `probability`"):
        SlateSpace(6, 2).sample(probability=np.full(6, 1 / 6))


def test_batched_slates_are_slates_too():
    space = batch_space(SlateSpace(20, 4, seed=0), 5)
    assert space == SlateSpace(20, 4, batch=5)
    slates = space.sample()
    assert slates.shape == (5, 4)
    assert slates in space
    assert not repeats(slates).any()
    slates[3, 1] = slates[3, 0]
    assert slates not in space
    with pytest.raises(ValueError, match="already batched"):
        batch_space(space, 2)


def test_to_other_libraries_it_is_a_multidiscrete():
    space = SlateSpace(7, 3)
    assert isinstance(space, MultiDiscrete)
    assert space.nvec.tolist() == [7, 7, 7]
    assert space.shape == (3,)


def test_equal_spaces_survive_copying_and_pickling():
    space = SlateSpace(7, 3, seed=3)
    for other in (copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
        assert other == space
        assert np.array_equal(other.sample(), copy.deepcopy(space).sample())
    assert space != SlateSpace(7, 2)
    assert space != MultiDiscrete([7, 7, 7])


@pytest.mark.parametrize(("num_items", "size"), [(3, 4), (3, 0)])
def test_an_impossible_slate_size_is_refused(num_items, size):
    with pytest.raises(ValueError, match="slate_size must be from 1 to the number of items"):
        SlateSpace(num_items, size)


@pytest.mark.parametrize("text", ["", "no horror please", "别放恐怖片", "naïve — ½ £", "🎬", "two\nlines"])
def test_people_may_say_anything(text):
    assert text in SpokenText()


def test_only_strings_that_are_not_too_long_are_texts():
    assert "abc" in SpokenText(3)
    assert "abcd" not in SpokenText(3)
    assert 7 not in SpokenText()
    assert SpokenText(20, seed=0).sample() in SpokenText(20)


def test_a_text_outside_the_known_characters_cannot_be_flattened_silently():
    assert flatten(SpokenText(4, texts=["恐怖"]), "恐怖").shape == (4,)
    with pytest.raises(ValueError, match="not in the character set"):
        flatten(SpokenText(4), "恐怖")


@pytest.mark.parametrize("spoken", [True, False])
def test_observations_name_what_is_seen_and_nothing_hidden(spoken):
    space = observation_space(tiny_world(), spoken=spoken)
    assert isinstance(space, gymnasium.spaces.Dict)
    assert set(space) == {"instruction", "said", "past", "past_ratings", "slates", "clicked", "turn"}


slates_with_repeats = st.integers(1, 8).flatmap(
    lambda size: st.lists(st.lists(st.integers(0, 9), min_size=size, max_size=size), min_size=1, max_size=5)
)


@given(slates_with_repeats, st.permutations(range(10)))
def test_filling_does_what_a_loop_would_do(rows, popular):
    expected = []
    for row in rows:
        filled, held = [], set(row)
        spare = iter([item for item in popular if item not in held])
        for place, item in enumerate(row):
            filled.append(item if item not in row[:place] else next(spare))
        expected.append(filled)
    assert fill_repeats(np.array(rows), np.array(popular)).tolist() == expected


def test_substitutes_may_differ_by_slate():
    slates = np.array([[5, 5, 5], [1, 2, 3], [4, 4, 9]])
    substitutes = np.array([[5, 7, 8], [9, 9, 9], [9, 4, 0]])
    assert fill_repeats(slates, substitutes).tolist() == [[5, 7, 8], [1, 2, 3], [4, 0, 9]]
    assert slates.tolist() == [[5, 5, 5], [1, 2, 3], [4, 4, 9]], "the slates given were changed"


def test_too_few_substitutes_are_an_error():
    with pytest.raises(ValueError, match="slate 1 repeats items, and there are not enough other candidates"):
        fill_repeats(np.array([[0, 1], [2, 2]]), np.array([2]))

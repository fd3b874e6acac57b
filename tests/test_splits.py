import subprocess
import sys

import pytest

from instructrec.splits import AXES, EVERY_SPLIT, Split, Splits, split_group, split_of


def test_six_in_ten_entries_are_for_training_and_two_each_are_held_out():
    for axis in AXES:
        drawn = [split_of(axis, f"entry {number}") for number in range(5000)]
        assert abs(drawn.count(Split.TRAIN) / 5000 - 0.6) < 0.03
        assert abs(drawn.count(Split.TEST) / 5000 - 0.2) < 0.03


def test_a_split_never_moves():
    # The figures of the day the axes were declared: a change here moves test people into training.
    keys = [f"{number}" for number in range(12)]
    assert "".join(split_of("users", key)[1] for key in keys) == "raerrrarraea"
    assert "".join(split_of("items", key)[1] for key in keys) == "rrerrarerrrr"


def test_a_split_is_the_same_in_another_process():
    code = "from instructrec.splits import split_of; print([str(split_of('users', str(n))) for n in range(40)])"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == str([str(split_of("users", str(number))) for number in range(40)])


def test_axes_are_split_independently():
    keys = [f"{number}" for number in range(2000)]
    both = sum(split_of("users", key) is split_of("items", key) for key in keys) / 2000
    assert abs(both - (0.36 + 0.04 + 0.04)) < 0.04


@pytest.mark.parametrize("size", [3, 4, 5, 9, 40])
def test_every_group_of_three_or_more_has_some_in_each_split(size):
    splits = list(split_group("synonyms", [f"word {number}" for number in range(size)]).values())
    assert set(splits) == set(EVERY_SPLIT)
    assert splits.count(Split.TRAIN) >= size * 0.33


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_group_too_small_to_split_is_for_training(size):
    assert set(split_group("synonyms", ["a", "b"][:size]).values()) <= {Split.TRAIN}


def test_a_group_is_split_by_its_members_not_their_order():
    names = [f"word {number}" for number in range(10)]
    assert split_group("templates", names) == split_group("templates", names[::-1])


def test_the_ordinary_words_are_for_training_and_the_others_still_have_theirs():
    names = [f"word {number}" for number in range(5)]
    for first in names:
        group = [first, *(name for name in names if name != first)]
        splits = split_group("synonyms", group, for_training=1)
        assert splits[first] is Split.TRAIN
        assert set(splits.values()) == set(EVERY_SPLIT)
    assert set(split_group("synonyms", names, for_training=9).values()) == set(EVERY_SPLIT)


def test_a_repeated_alternative_is_refused():
    with pytest.raises(ValueError, match="'b' stands twice"):
        split_group("synonyms", ["a", "b", "b"])


def test_an_unknown_axis_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'users'"):
        split_of("user", "1")


def test_a_held_out_world_has_its_own_people_and_sentences_but_known_words():
    test = Splits.of("test")
    assert test.users == test.templates == test.combinations == (Split.TEST,)
    assert test.synonyms == (Split.TRAIN,)
    assert test.items == EVERY_SPLIT


def test_axes_take_any_mix_in_any_order():
    mixed = Splits(users="validation", synonyms=["test", "train"], templates={Split.TRAIN})
    assert mixed.users == (Split.VALIDATION,)
    assert mixed == Splits(users=Split.VALIDATION, synonyms=("train", Split.TEST))
    assert mixed.has("synonyms", Split.TEST)
    assert not mixed.has("users", Split.TRAIN)


@pytest.mark.parametrize(("given", "message"), [("tset", "did you mean 'test'"), ((), "users names no split")])
def test_a_wrong_split_is_an_error_that_helps(given, message):
    with pytest.raises(ValueError, match=message):
        Splits(users=given)

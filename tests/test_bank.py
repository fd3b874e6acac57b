import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from instructrec.catalogue import Catalogue
from instructrec.envs.bank import Bank, Phrases, compile_bank
from instructrec.envs.movielens import shipped
from instructrec.envs.requests import combination_of
from instructrec.envs.worlds import speech_of
from instructrec.goals import Operator, Reveal, allowed
from instructrec.splits import EVERY_SPLIT, Split, Splits, split_of

MOVIES = speech_of("instructrec/Movies-v0")
GENRES = [sense for sense in MOVIES.senses if sense.predicate.field == "genre"]


@cache
def bank_of(split: Split = Split.TRAIN, size: int | None = None) -> Bank:
    return compile_bank(
        shipped()[0], MOVIES, ["genre"], splits=Splits.of(split), size=size or (6000 if split is Split.TRAIN else 500)
    )


every_split = pytest.mark.parametrize("split", EVERY_SPLIT)


@every_split
def test_it_has_as_many_texts_as_asked_all_distinct_the_first_empty(split):
    bank = bank_of(split)
    assert len(bank.texts) == len(set(bank.texts)) == (6000 if split is Split.TRAIN else 500)
    assert bank.texts[0] == ""
    used = {
        int(text) for part in (bank.opening, bank.restated, bank.reveal, bank.critique, bank.more) for text in part.ids
    }
    assert used == set(range(1, len(bank.texts)))


def test_a_training_bank_is_compiled_in_seconds():
    began = time.perf_counter()
    compile_bank(shipped()[0], MOVIES, ["genre"], seed=3)
    assert time.perf_counter() - began < 10  # 1.5 s on a quiet core; the bound allows for a busy one.


@every_split
def test_there_are_enough_goals_with_several_openings_each(split):
    bank = bank_of(split)
    assert bank.num_goals >= (800 if split is Split.TRAIN else 100)
    openings = np.diff(bank.opening.start)
    assert openings.min() >= 2
    assert openings.mean() >= 2.8
    assert np.all(np.diff(bank.restated.start) >= 1)
    assert bank.opening.num_groups == bank.restated.num_groups == bank.num_goals


@every_split
def test_every_genre_can_be_asked_for_and_excluded_and_every_attribute_is_spoken_of(split):
    bank = bank_of(split)
    named = {(p.operator, value) for goal in bank.predicates for p in goal for value in p.values}
    for sense in GENRES:
        (genre,) = sense.predicate.values
        assert (Operator.INCLUDE, genre) in named
        assert (Operator.EXCLUDE, genre) in named
    fields = Counter((p.field, p.operator) for goal in bank.predicates for p in goal)
    for wanted in [
        ("year", Operator.BETWEEN), ("year", Operator.AT_LEAST), ("year", Operator.AT_MOST), ("year", Operator.HIGHEST),
        ("rating", Operator.AT_LEAST), ("rating", Operator.HIGHEST), ("popularity", Operator.HIGHEST),
        ("popularity", Operator.LOWEST), ("genre", Operator.SHARE),
    ]:  # fmt: skip
        assert fields[wanted], wanted


@every_split
def test_a_goal_leaves_a_place_for_a_critique(split):
    bank = bank_of(split)
    assert max(len(goal) for goal in bank.predicates) <= 4
    assert bank.goals.check.shape == (bank.num_goals, 5)
    assert not bank.goals.check[:, 4].any()


@every_split
def test_goals_are_distinct_and_speak_of_each_thing_once(split):
    bank = bank_of(split)
    keys = [
        (combination_of(goal), tuple(str(p.reveal) for p in goal), bank.intention[at])
        for at, goal in enumerate(bank.predicates)
    ]
    assert len(set(keys)) == len(keys)


@every_split
def test_every_goal_is_feasible_and_few_are_narrow(split):
    bank = bank_of(split)
    catalogue = shipped()[0]
    meets = allowed(bank.goals, catalogue, np.arange(catalogue.num_items)).sum(axis=1)
    assert np.array_equal(meets, bank.matching)
    assert bank.matching.min() >= 10
    assert np.array_equal(bank.narrow, bank.matching < 100)
    assert bank.narrow.mean() <= 0.1


@every_split
def test_frequencies_are_the_documented_mix(split):
    bank = bank_of(split)
    assert bank.frequency.sum() == pytest.approx(1)
    shares = Counter()
    for kind, share in zip(bank.kinds, bank.frequency, strict=True):
        shares[kind] += float(share)
    for kind in MOVIES.requests:
        assert shares[kind.name] == pytest.approx(kind.share, abs=0.01)


def test_said_is_what_is_volunteered_and_the_rest_is_revealed():
    bank = bank_of()
    width = bank.goals.num_predicates
    held = 0
    for row, goal in enumerate(bank.predicates):
        for place, predicate in enumerate(goal):
            volunteered = predicate.reveal is Reveal.VOLUNTEERED
            assert bank.goals.said[row, place] == volunteered
            assert (len(bank.reveal.group(row * width + place)) > 0) == (predicate.reveal is Reveal.ON_VIOLATION)
            held += predicate.reveal is Reveal.ON_VIOLATION
            # A broken wish is no violation, so nothing would ever bring it out.
            assert volunteered or predicate.hard
        assert all(len(bank.reveal.group(row * width + place)) == 0 for place in range(len(goal), width))
    assert held > 100


def test_what_is_asked_for_is_hard_and_wishes_are_soft():
    for goal in bank_of().predicates:
        for p in goal:
            assert p.hard == (p.operator not in (Operator.HIGHEST, Operator.LOWEST, Operator.SHARE)), p


def test_held_out_combinations_never_occur_in_training_except_single_predicates():
    seen = {combination_of(goal) for goal in bank_of().predicates if len(goal) > 1}
    for split in (Split.VALIDATION, Split.TEST):
        combinations = {combination_of(goal) for goal in bank_of(split).predicates if len(goal) > 1}
        assert len(combinations) >= 40
        assert not combinations & seen
        assert all(split_of("combinations", combination) is split for combination in combinations)


def test_held_out_openings_are_not_training_texts():
    train, test = bank_of(), bank_of(Split.TEST)
    openings = set(test.texts_of(test.opening.ids))
    # A bare word ("horror") or a tag list needs no template, so a few coincide.
    assert len(openings & set(train.texts)) / len(openings) < 0.03


def test_critiques_cover_every_direction_and_position():
    bank = bank_of()
    assert [critique.name for critique in bank.critiques] == [
        "newer",
        "older",
        "better rated",
        "more popular",
        "less known",
    ]
    assert bank.critique.num_groups == 50
    assert np.all(np.diff(bank.critique.start) >= 1)
    for critique in bank.critiques:
        assert list(shipped()[0].columns)[critique.column] == critique.field
    ids = [set(bank.critique.group(group).tolist()) for group in range(50)]
    assert sum(len(group) for group in ids) == len(set().union(*ids))


def test_each_intention_has_texts_and_an_implicit_goal_asks_for_nothing():
    bank = bank_of()
    assert set(bank.intention) == {"none", "vague", "specific"}
    for goal, intention in zip(bank.predicates, bank.intention, strict=True):
        assert (intention == "none") == (not goal)
    assert len(bank.opening.group(bank.intention.index("none"))) >= 10


def test_the_same_arguments_give_the_same_bank_and_others_another():
    small = {"size": 400, "splits": Splits.of("test")}
    first = compile_bank(shipped()[0], MOVIES, ["genre"], **small)
    assert compile_bank(shipped()[0], MOVIES, ["genre"], **small).fingerprint == first.fingerprint
    others = [
        compile_bank(shipped()[0], MOVIES, ["genre"], seed=1, **small),
        compile_bank(shipped()[0], MOVIES, ["genre"], size=400, splits=replace(small["splits"], synonyms=EVERY_SPLIT)),
    ]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 3


def test_another_process_with_another_hash_seed_compiles_the_same_bank():
    code = (
        "from instructrec.envs.bank import compile_bank; from instructrec.envs.movielens import shipped;"
        "from instructrec.envs.worlds import speech_of; words = speech_of('instructrec/Movies-v0');"
        "print(compile_bank(shipped()[0], words, ['genre'], size=300).fingerprint)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert ran.stdout.strip() == compile_bank(shipped()[0], MOVIES, ["genre"], size=300).fingerprint


def test_held_out_words_can_be_heard_alone():
    splits = Splits(templates="validation", synonyms="test", combinations=("validation", "test"))
    bank = compile_bank(shipped()[0], MOVIES, ["genre"], splits=splits, size=500)
    assert bank.num_goals >= 100


def test_a_catalogue_without_some_attributes_is_not_asked_about_them():
    catalogue = shipped()[0]
    columns = {name: column for name, column in catalogue.columns.items() if name in ("genre", "year")}
    bank = compile_bank(replace(catalogue, columns=columns), MOVIES, ["genre"], size=400)
    assert {p.field for goal in bank.predicates for p in goal} == {"genre", "year"}
    assert {critique.field for critique in bank.critiques} == {"year"}


def test_a_small_catalogue_and_slate_work():
    catalogue = shipped()[0]
    few = 300
    columns = {
        name: replace(column, masks=column.masks[:few], numbers=column.numbers[:few])
        for name, column in catalogue.columns.items()
    }
    small = Catalogue(
        columns, catalogue.titles[:few], catalogue.texts[:few], catalogue.item_ids[:few], catalogue.popularity[:few]
    )
    bank = compile_bank(small, MOVIES, ["genre"], size=200, slate_size=3, turn_limit=5)
    assert bank.num_goals >= 10
    assert bank.critique.num_groups == 15
    assert bank.matching.min() >= 3


def test_a_size_without_room_is_an_error_that_says_what_to_give():
    told = r"which slates of (\d+) items need; make slate_size smaller, or the bank larger: ([\d,]+) texts.*bank_size"
    for slate_size, size in ((10, 50), (500, 1_000)):
        with pytest.raises(ValueError, match=told) as caught:
            compile_bank(shipped()[0], MOVIES, ["genre"], size=size, slate_size=slate_size)
        found = re.search(told, str(caught.value))
        assert found
        assert int(found[1]) == slate_size
        enough = int(found[2].replace(",", ""))
        assert compile_bank(shipped()[0], MOVIES, ["genre"], size=enough, slate_size=slate_size).num_goals


def test_phrases_are_groups_of_ids():
    phrases = Phrases.of([[3, 4], [], [7]])
    assert phrases.num_groups == 3
    assert [phrases.group(group).tolist() for group in range(3)] == [[3, 4], [], [7]]

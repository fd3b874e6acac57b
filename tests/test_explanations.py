"""What an explanation says adds up to the score, is the division it claims to be, and names the words that matter."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from instructrec.agents import SlatePPO, SlatePPOConfig
from instructrec.agents.explanations import ABOUT, TEXTS, Contribution, explain, words_of
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.agents.slate_policy import SlateRanker
from instructrec.candidates import RandomCandidates
from instructrec.envs.tiny import tiny_world
from instructrec.experiments import deletion
from instructrec.experiments.deletion import deletion_test
from instructrec.policies import Blank
from instructrec.sessions import Sessions, observe, start, step

ITEMS = np.array([[7, 0, 12, 3]])
LONG = "I would rather like to see something red today, shiny things please, but nothing that is blue or white"
WORLD = tiny_world()


@pytest.fixture(scope="module")
def reads():
    """An agent that read prompts of its own and met nobody."""
    small = ScorerConfig(hidden=16, critic_hidden=16, text_width=16)
    return SlatePPO.of(WORLD, SlatePPOConfig(num_envs=16, prompts=600, scorer=small), encoder="hashing", seed=0)


@pytest.fixture(scope="module")
def ranker(reads):
    """The same with weights as if it had learned: every part of a session matters, and with every other."""
    scorer = copy.deepcopy(reads.ranker().scorer)
    generator = torch.Generator().manual_seed(1)
    for weights in (scorer.head.weight, scorer.repeat, scorer.item_bias, scorer.keep.weight, scorer.pointer.weight):
        weights.data = torch.randn(weights.shape, generator=generator) * 0.3
    return SlateRanker(scorer, reads.ranker().reader)


def first_turn(text):
    observation = observe(WORLD, start(WORLD, Sessions.first(3, 1)))
    return observation.saying(observation.texts.ids([text]))


def later(text, said="only blue will do"):
    """The second turn of somebody with a past."""
    state = start(WORLD, Sessions.first(3, 1))
    state = replace(state, instructions=replace(state.instructions, texts=WORLD.population.texts.ids([said])))
    state, _ = step(WORLD, state, np.array([[7, 1, 12]]))
    seen = replace(observe(WORLD, state), past=np.array([[4, 3, -1]]), past_ratings=np.array([[5.0, 1.0, 0.0]]))
    return seen.saying(seen.texts.ids([text]))


def values(found):
    """Returns contributions by name, [num_items] each; a repeated word's are one after the other."""
    return {
        (place, part.name): np.array([(*each.words, *each.rest)[place].value for each in found])
        for place, part in enumerate((*found[0].words, *found[0].rest))
    }


@pytest.mark.parametrize("text", ["red please", "something shiny, red or blue", LONG, ""])
@pytest.mark.parametrize("turn", [first_turn, later])
def test_contributions_sum_to_the_score(ranker, turn, text):
    observation = turn(text)
    scores = ranker.scores(observation)[0, ITEMS[0]]
    found = explain(ranker, observation, ITEMS)[0]
    np.testing.assert_allclose([each.total for each in found], scores, atol=1e-4)
    np.testing.assert_allclose([each.score for each in found], scores, atol=1e-4)


def test_what_there_is_not_is_absent_and_what_nobody_brings_is_the_score_of_silence(ranker):
    observation = first_turn("red please")
    found = explain(ranker, observation, ITEMS)[0]
    assert [word.name for word in found[0].words] == ["red", "please"]
    assert [part.name for part in found[0].rest] == ["popularity", "attributes", "item"]  # Nobody in Tiny rates.
    silent = Blank(ranker).scores(observation)[0, ITEMS[0]]
    np.testing.assert_allclose([sum(part.value for part in each.rest) for each in found], silent, atol=1e-4)
    second = explain(ranker, later("red please"), ITEMS)[0][0]
    assert [part.name for part in second.rest] == [name for name in ABOUT if name != "ratings"]
    assert explain(ranker, first_turn(""), ITEMS)[0][0].words == ()


def test_words_have_their_shapley_values(ranker):
    words = ["shiny ", "red ", "things"]

    def worth(kept):
        text = "".join(word for place, word in enumerate(words) if place in kept)
        return ranker.scores(first_turn(text))[0, ITEMS[0]].astype(np.float64)

    orders = list(itertools.permutations(range(3)))
    wanted = np.zeros((3, ITEMS.shape[1]))
    for order in orders:
        for reached, word in enumerate(order):
            wanted[word] += (worth(order[: reached + 1]) - worth(order[:reached])) / len(orders)
    found = explain(ranker, first_turn("shiny red things"), ITEMS)[0]
    np.testing.assert_allclose([[word.value for word in each.words] for each in found], wanted.T, atol=1e-4)


def test_words_share_what_all_of_them_add_beside_the_rest_of_the_session(ranker):
    """Among two parts, each adds the mean of what it adds first and what it adds last."""
    spoken = replace(first_turn("something red"), past=np.array([[4, 3, -1]]), past_ratings=np.array([[5.0, 1, 0]]))
    silent = spoken.saying(np.zeros(1, np.int64))

    def scores(observation, *, past):
        seen = observation if past else replace(observation, past=np.full((1, 3), -1), past_ratings=np.zeros((1, 3)))
        return ranker.scores(seen)[0, ITEMS[0]].astype(np.float64)

    alone = scores(spoken, past=False) - scores(silent, past=False)
    last = scores(spoken, past=True) - scores(silent, past=True)
    assert np.abs(alone - last).max() > 1e-3
    found = explain(ranker, spoken, ITEMS)[0]
    words = [sum(word.value for word in each.words) for each in found]
    np.testing.assert_allclose(words, (alone + last) / 2, atol=1e-4)
    past = values(found)[2, "past"]
    whole = scores(spoken, past=True) - scores(silent, past=False)
    np.testing.assert_allclose(past, whole - (alone + last) / 2, atol=1e-4)


def test_drawn_orders_come_near_all_orders_and_are_the_same_again(ranker):
    observation = first_turn("something red but not shiny")
    exact = explain(ranker, observation, ITEMS)[0]
    drawn = explain(ranker, observation, ITEMS, texts=20)[0]
    assert drawn != exact
    assert drawn == explain(ranker, observation, ITEMS, texts=20)[0]
    assert drawn != explain(ranker, observation, ITEMS, texts=20, seed=1)[0]
    for place, (one, other) in enumerate(zip(exact[0].words, drawn[0].words, strict=True)):
        spread = max(abs(word.value) for word in exact[0].words)
        assert abs(one.value - other.value) < 0.75 * spread, place


def test_the_language_model_reads_no_more_texts_than_allowed(ranker):
    for text, texts in ((LONG + " nor black", TEXTS), ("six words that nobody ever said", TEXTS), ("well " + LONG, 40)):
        before = ranker.reader.texts.encoded
        explain(ranker, first_turn(text), ITEMS, texts=texts)
        assert 0 < ranker.reader.texts.encoded - before <= texts


@given(st.text(alphabet="ab, .'90二喜剧。\n-", max_size=40), st.integers(1, 8))
def test_words_joined_are_the_text(text, most):
    found = words_of(text, most)
    assert "".join(found) == (text if text.strip() else "")
    assert len(found) <= most


def test_words_are_what_people_take_for_words():
    assert words_of("sci-fi, from the 90s!") == ["sci-fi, ", "from ", "the ", "90s!"]
    assert words_of("喜剧，新") == ["喜", "剧，", "新"]
    assert words_of("a , b c d", most=2) == ["a , b ", "c d"]


@pytest.mark.parametrize(
    ("items", "texts", "words"),
    [([[1, 2, 1]], 128, "repeats one"), ([1, 2], 128, r"\[batch, num_chosen\]"), ([[1]], 8, "texts must be 16")],
)
def test_a_question_that_makes_no_sense_is_explained(ranker, items, texts, words):
    with pytest.raises(ValueError, match=words):
        explain(ranker, first_turn("red"), np.array(items), texts=texts)


def asked(people=24):
    return observe(WORLD, start(WORLD, Sessions.first(1, people)))


def test_deleting_the_words_that_matter_hurts_more_than_deleting_any(reads):
    found = deletion_test(reads.ranker(), asked(), k=3)
    assert found["texts"] == 24
    for effect in ("score", "slate"):
        assert found[effect]["explained"] > found[effect]["random"] > 0
        assert found[effect]["difference"]["low"] > 0


def test_the_deletion_test_fails_explanations_that_are_wrong(reads, monkeypatch):
    def upside_down(ranker, observation, items):
        return [
            [replace(each, words=tuple(Contribution(word.name, -word.value) for word in each.words)) for each in row]
            for row in explain(ranker, observation, items)
        ]

    monkeypatch.setattr(deletion, "explain", upside_down)
    found = deletion_test(reads.ranker(), asked(), k=3)
    assert found["score"]["difference"]["high"] < 0


def test_a_deletion_test_without_words_to_delete_says_so(reads):
    with pytest.raises(ValueError, match="no text has two words"):
        deletion_test(reads.ranker(), first_turn("red"))
    few = replace(WORLD, candidates=RandomCandidates(WORLD.catalogue, 8))
    with pytest.raises(ValueError, match="ranks all items"):
        deletion_test(reads.ranker(), observe(few, start(few, Sessions.first(1, 1))), k=3)

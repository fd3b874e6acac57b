"""What an explanation says adds up to the score, is the division it claims to be, and names the words that matter.

Contributions stand against the average item: what they are compared with here is a score less the mean of all scores.
"""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from instructrec.agents import SlatePPO, SlatePPOConfig
from instructrec.agents.encoder import TextEncoder
from instructrec.agents.explanations import ABOUT, TEXTS, Contribution, explain, parts_of
from instructrec.agents.hashed_words import HashedWords
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
    small = ScorerConfig(hidden=16, critic_hidden=16)
    return SlatePPO.of(WORLD, SlatePPOConfig(num_envs=16, prompts=600, scorer=small), encoder="hashing", seed=0)


@pytest.fixture(scope="module")
def ranker(reads):
    """The same with weights as if it had learned: every part of a session matters, and with every other."""
    scorer = copy.deepcopy(reads.ranker().scorer)
    generator = torch.Generator().manual_seed(1)
    for weights in (scorer.head.weight, scorer.repeat, scorer.item_bias, scorer.keep[-1].weight):
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


def above_average(ranker, observation):
    """Returns by how much the scores of ITEMS exceed the mean of all."""
    scores = ranker.scores(observation)[0].astype(np.float64)
    return scores[ITEMS[0]] - scores.mean()


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
    np.testing.assert_allclose([each.average for each in found], ranker.scores(observation).mean(), atol=1e-4)


def test_a_wish_that_is_met_adds_and_one_that_is_not_takes_away(reads):
    colours, everything = WORLD.catalogue.column("colour"), np.arange(WORLD.catalogue.num_items)[None]
    red = np.array([each.words[0].value for each in explain(reads.ranker(), first_turn("red"), everything)[0]])
    meets = (colours.masks & colours.mask_of(["red"])) != 0
    assert red[meets].min() > max(2, red[~meets].max())
    assert red[~meets].mean() < 0
    assert red.sum() == pytest.approx(0, abs=1e-3)


def test_where_only_some_items_can_be_chosen_the_average_is_theirs(ranker):
    named = np.array([[12, 3, 0, 9, 7]], np.int32)
    observation = replace(later("something red"), candidates=named)
    scores = ranker.scores(observation)[0]
    found = explain(ranker, observation, ITEMS)[0]
    np.testing.assert_allclose([each.total for each in found], scores[[4, 2, 0, 1]], atol=1e-4)
    np.testing.assert_allclose([each.average for each in found], scores.mean(), atol=1e-4)
    with pytest.raises(ValueError, match="items names 5, which is none of the 5 that can be chosen"):
        explain(ranker, observation, np.array([[7, 5]]))


class _Begins(HashedWords):
    """Begins every text with a sign of its own, as language models do: an empty one, too, is no row of padding."""

    def tokenize(self, texts):
        return super().tokenize([f"begin {text}" for text in texts])


def test_what_is_read_from_silence_is_not_lost():
    small = SlatePPOConfig(num_envs=16, prompts=600, scorer=ScorerConfig(hidden=16, critic_hidden=16))
    ranker = SlatePPO.of(WORLD, small, encoder=TextEncoder(_Begins()), seed=0).ranker()
    ranker.scorer.shortcut.weight.data.normal_(generator=torch.Generator().manual_seed(1))
    for observation in (first_turn("red please"), replace(first_turn("red"), candidates=np.array([[7, 0, 12, 3, 1]]))):
        for each in explain(ranker, observation, ITEMS)[0]:
            assert each.total == pytest.approx(each.score, abs=1e-4)


def test_what_there_is_not_is_absent_and_what_nobody_brings_is_the_score_of_silence(ranker):
    observation = first_turn("red please")
    found = explain(ranker, observation, ITEMS)[0]
    assert [word.name for word in found[0].words] == ["red", "please"]
    assert [part.name for part in found[0].rest] == ["popularity", "attributes", "item"]  # Nobody in Tiny rates.
    silent = Blank(ranker).scores(observation)[0]
    silent = silent[ITEMS[0]] - silent.mean()
    np.testing.assert_allclose([sum(part.value for part in each.rest) for each in found], silent, atol=1e-4)
    second = explain(ranker, later("red please"), ITEMS)[0][0]
    assert [part.name for part in second.rest] == [name for name in ABOUT if name != "ratings"]
    assert explain(ranker, first_turn(""), ITEMS)[0][0].words == ()


@pytest.mark.parametrize("text", ["shiny red things", "something red or blue please", "something red but not shiny"])
def test_words_and_phrases_have_their_shapley_values(ranker, text):
    (parts,) = parts_of(ranker, first_turn(text))
    assert "".join(parts) == text
    every = range(len(parts))

    def worth(kept):
        return above_average(ranker, first_turn("".join(parts[place] for place in every if place in kept)))

    orders = list(itertools.permutations(every))
    wanted = np.zeros((len(parts), ITEMS.shape[1]))
    for order in orders:
        for reached, part in enumerate(order):
            wanted[part] += (worth(order[: reached + 1]) - worth(order[:reached])) / len(orders)
    found = explain(ranker, first_turn(text), ITEMS)[0]
    np.testing.assert_allclose([[part.value for part in each.words] for each in found], wanted.T, atol=1e-4)
    assert [part.name for part in found[0].words] == [part.strip() for part in parts]


def test_words_share_what_all_of_them_add_beside_the_rest_of_the_session(ranker):
    """Among two parts, each adds the mean of what it adds first and what it adds last."""
    spoken = replace(first_turn("something red"), past=np.array([[4, 3, -1]]), past_ratings=np.array([[5.0, 1, 0]]))
    silent = spoken.saying(np.zeros(1, np.int64))

    def scores(observation, *, past):
        seen = observation if past else replace(observation, past=np.full((1, 3), -1), past_ratings=np.zeros((1, 3)))
        return above_average(ranker, seen)

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
    observation = first_turn("show me red things please")
    exact = explain(ranker, observation, ITEMS)[0]
    drawn = explain(ranker, observation, ITEMS, texts=40)[0]
    assert drawn != exact
    assert drawn == explain(ranker, observation, ITEMS, texts=40)[0]
    assert drawn != explain(ranker, observation, ITEMS, texts=40, seed=1)[0]
    for place, (one, other) in enumerate(zip(exact[0].words, drawn[0].words, strict=True)):
        spread = max(abs(word.value) for word in exact[0].words)
        assert abs(one.value - other.value) < 0.75 * spread, place


def test_the_language_model_reads_no_more_texts_than_allowed(ranker):
    for text, texts in ((LONG + " nor black", TEXTS), ("six words that nobody ever said", TEXTS), ("well " + LONG, 80)):
        before = ranker.reader.texts.encoded
        explain(ranker, first_turn(text), ITEMS, texts=texts)
        assert 0 < ranker.reader.texts.encoded - before <= texts


@pytest.mark.parametrize(
    ("items", "texts", "words"),
    [([[1, 2, 1]], TEXTS, "repeats one"), ([1, 2], TEXTS, r"\[batch, num_chosen\]"), ([[1]], 8, "texts must be 32")],
)
def test_a_question_that_makes_no_sense_is_explained(ranker, items, texts, words):
    with pytest.raises(ValueError, match=words):
        explain(ranker, first_turn("red"), np.array(items), texts=texts)


def asked(people=24):
    return observe(WORLD, start(WORLD, Sessions.first(1, people)))


def test_deleting_the_words_that_matter_hurts_more_than_deleting_any(reads):
    found = deletion_test(reads.ranker(), asked(), k=3)
    assert found["texts"] == sum(len(parts) > 1 for parts in parts_of(reads.ranker(), asked())) > 12
    for effect in ("score", "slate"):
        assert found[effect]["explained"] > found[effect]["random"] > 0
        assert found[effect]["difference"]["low"] > 0


class _Louder(SlateRanker):
    """Scores everything higher the longer the text."""

    def scores(self, observation):
        texts = observation.texts.strings(observation.instruction)
        return super().scores(observation) + np.array([[len(text)] for text in texts], np.float32)


def test_the_deletion_test_does_not_mind_what_happens_to_all_items_alike(reads):
    ranker = reads.ranker()
    found, louder = (deletion_test(each, asked(), k=3) for each in (ranker, _Louder(ranker.scorer, ranker.reader)))
    assert louder["score"]["explained"] == pytest.approx(found["score"]["explained"], abs=1e-3)
    assert louder["score"]["random"] == pytest.approx(found["score"]["random"], abs=1e-3)


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

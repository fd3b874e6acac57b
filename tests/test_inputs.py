"""What a policy network sees: everything an agent may see, as arrays of its own."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from instructrec.agents.encoder import TextEncoder
from instructrec.agents.hashed_words import HashedWords
from instructrec.agents.inputs import TokenRows, inputs_of, inputs_space, tokens_of
from instructrec.envs.worlds import make_world
from instructrec.sessions import Observation, Sessions, observe, start, step
from instructrec.texts import Texts

BANK = ("", "a red thing", "something blue", "green please", "no red", "yellow then")


@pytest.fixture
def encoder() -> TextEncoder:
    return TextEncoder(HashedWords(8))


def seen(texts: Texts, *, turn: int = 2) -> Observation:
    """Two sessions after ``turn`` slates of two items, turn limit 4."""
    said = np.array([[1, 2, 3, 4], [4, 3, 2, 1]])
    said[:, turn:] = -1
    return Observation(
        instruction=np.array([5, 1]),
        said=said,
        past=np.array([[-1, 7, 8], [-1, -1, -1]], np.int32),
        past_ratings=np.array([[0, 4, 5], [0, 0, 0]], np.float32),
        slates=np.arange(16, dtype=np.int32).reshape(2, 4, 2),
        clicked=np.arange(16).reshape(2, 4, 2) % 3 == 0,
        turn=np.full(2, turn, np.int32),
        candidates=None,
        texts=texts,
    )


def test_inputs_hold_the_observation(encoder):
    observation = seen(Texts(BANK))
    inputs = inputs_of(observation, encoder)
    np.testing.assert_array_equal(inputs["tokens"], encoder.tokenize([BANK[5], BANK[1]]))
    np.testing.assert_array_equal(inputs["past"], observation.past)
    np.testing.assert_array_equal(inputs["past_ratings"], observation.past_ratings)
    np.testing.assert_array_equal(inputs["slates"], observation.slates.reshape(2, 8))
    np.testing.assert_array_equal(inputs["clicked"], observation.clicked.reshape(2, 8))
    assert inputs["turn"].tolist() == [[2], [2]]
    assert "candidates" not in inputs


def test_earlier_instructions_come_latest_first(encoder):
    earlier = inputs_of(seen(Texts(BANK), turn=3), encoder, memory=2)["earlier_tokens"]
    np.testing.assert_array_equal(earlier[0], encoder.tokenize([BANK[3], BANK[2]]).ravel())
    np.testing.assert_array_equal(earlier[1], encoder.tokenize([BANK[2], BANK[3]]).ravel())


@pytest.mark.parametrize("memory", [1, 4, 7])
def test_where_nothing_was_said_there_is_padding(encoder, memory):
    earlier = inputs_of(seen(Texts(BANK), turn=1), encoder, memory=memory)["earlier_tokens"]
    assert earlier.shape == (2, memory * 8)
    assert (earlier[:, 8:] == encoder.pad_id).all()
    assert (earlier[:, :8] != encoder.pad_id).any(axis=1).all()
    assert (inputs_of(seen(Texts(BANK), turn=0), encoder, memory=memory)["earlier_tokens"] == encoder.pad_id).all()


def test_a_network_that_hears_nothing_of_before_is_refused(encoder):
    with pytest.raises(ValueError, match="memory must be at least 1"):
        inputs_of(seen(Texts(BANK)), encoder, memory=0)


def test_the_first_instruction_is_not_lost_at_the_turn_limit(encoder):
    earlier = inputs_of(seen(Texts(BANK), turn=4), encoder, memory=4)["earlier_tokens"]
    np.testing.assert_array_equal(earlier[0], encoder.tokenize([BANK[4], BANK[3], BANK[2], BANK[1]]).ravel())


def test_inputs_share_no_memory_with_the_observation_or_each_other(encoder):
    observation = replace(seen(Texts(BANK)), candidates=np.array([[1, 2], [3, 4]], np.int32))
    inputs, again = inputs_of(observation, encoder), inputs_of(observation, encoder)
    kept = {name: array.copy() for name, array in inputs.items()}
    arrays = (*vars(observation).values(), *again.values())
    for array in arrays:
        if isinstance(array, np.ndarray):
            assert not any(np.shares_memory(array, own) for own in inputs.values())
            array[:] = 0
    inputs_of(observation, encoder)
    for name, array in kept.items():
        np.testing.assert_array_equal(inputs[name], array)
    inputs["tokens"][:] = 3
    fresh = inputs_of(seen(Texts(BANK)), encoder)
    np.testing.assert_array_equal(fresh["tokens"], encoder.tokenize([BANK[5], BANK[1]]))


def test_free_texts_and_the_bank_can_be_mixed(encoder):
    texts = Texts(BANK)
    ids = np.append(texts.ids(["typed by a person", "another"]), [2, -1])
    rows = tokens_of(texts, ids.reshape(2, 2), encoder)
    expected = encoder.tokenize(["typed by a person", "another", BANK[2]])
    np.testing.assert_array_equal(rows.reshape(4, 8)[:3], expected)
    assert (rows[1, 1] == encoder.pad_id).all()


def test_only_so_many_free_texts_are_kept_and_none_is_mistaken(encoder):
    texts = Texts(BANK)
    rows = TokenRows(texts, encoder, capacity=3)
    words = [f"word{number}" for number in range(9)]
    for wanted in (words[:5], words[3:], words):
        np.testing.assert_array_equal(rows.of(texts.ids(wanted), texts, encoder), encoder.tokenize(wanted))


def test_an_id_of_another_table_is_an_error(encoder):
    foreign = Texts().ids(["said elsewhere"])
    with pytest.raises(KeyError, match="no text has the id"):
        tokens_of(Texts(BANK), foreign, encoder)


def test_tables_of_tokens_do_not_outlive_their_texts(encoder):
    texts = Texts(BANK)
    tokens_of(texts, np.array([1]), encoder)
    gone = weakref.ref(texts)
    del texts
    gc.collect()
    assert gone() is None


def test_inputs_lie_in_their_space_all_through_a_session(encoder):
    world = make_world("instructrec/Tiny-v0")
    state = start(world, Sessions.first(0, 5))
    space = inputs_space(world, observe(world, state), encoder)
    slates = np.tile(np.arange(world.slate_size), (5, 1))
    for _ in range(world.turn_limit + 1):
        inputs = inputs_of(observe(world, state), encoder)
        assert list(inputs) == list(dict.fromkeys(inputs))
        assert inputs.keys() == space.spaces.keys()
        for row in range(5):
            assert space.contains({name: array[row] for name, array in inputs.items()})
        state, _ = step(world, state, slates)


def test_one_session_alone_has_the_inputs_it_has_in_a_batch(encoder):
    observation = seen(Texts(BANK))
    together, alone = inputs_of(observation, encoder), inputs_of(observation.rows(np.array([1])), encoder)
    for name, array in together.items():
        np.testing.assert_array_equal(array[1:], alone[name])

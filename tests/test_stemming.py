"""Stop words and endings are taken from what people say, from nothing else, and in one place."""

from __future__ import annotations

import numpy as np
import pytest

from instructrec.agents.encoder import check_reads, load_encoder
from instructrec.agents.features import world_features
from instructrec.agents.inputs import inputs_of
from instructrec.agents.reading import SessionReader
from instructrec.agents.stemming import stemmed
from instructrec.envs.tiny import tiny_world
from instructrec.sessions import Sessions, observe, start


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("no comedies", "comedy"),
        ("A comedy, please!", "comedy please"),
        ("I don't want musicals", "want musical"),
        ("I’d like films before 1994", "like film 1994"),
        ("rated above 7.5, from the 1990s", "rated 7.5 1990s"),
        ("glass, bus and trees", "glass bus tree"),
        ("not that one", "one"),
        ("", ""),
    ],
)
def test_what_is_left_are_stems_without_stop_words(said: str, heard: str) -> None:
    assert stemmed(said) == heard


def test_words_that_turn_a_sentence_round_are_lost() -> None:
    assert stemmed("no comedies") == stemmed("a comedy") == stemmed("Comedy")
    assert stemmed("after 1994") == stemmed("before 1994")
    encoder = load_encoder("stemmed:hashing")
    one, other = encoder.hear(["no comedies", "comedy"])
    assert np.array_equal(one, other)
    one, other = load_encoder("hashing").hear(["no comedies", "comedy"])
    assert not np.array_equal(one, other)


def test_people_are_heard_in_stems_and_items_are_read_as_they_stand() -> None:
    plain, encoder = load_encoder("hashing"), load_encoder("stemmed:hashing")
    texts = ["no comedies", "The Red Shoes"]
    assert np.array_equal(encoder.encode(texts), plain.encode(texts))
    assert np.array_equal(encoder.hear(texts), plain.encode([stemmed(text) for text in texts]))
    world = tiny_world()
    observation = observe(world, start(world, Sessions.first(0, 30)))
    tokens = inputs_of(observation, encoder)["tokens"]
    said = observation.texts.strings(observation.instruction)
    assert np.array_equal(tokens, plain.tokenize([stemmed(text) for text in said]))
    assert not np.array_equal(tokens, plain.tokenize(said))


def test_the_reading_of_wishes_is_learned_from_stems_and_the_items_stay_the_same() -> None:
    plain, encoder, world = load_encoder("hashing"), load_encoder("stemmed:hashing"), tiny_world()
    ours, theirs = (world_features(world, one, sessions=64, prompts=60) for one in (encoder, plain))
    assert np.array_equal(ours.table, theirs.table)
    assert ours.wishes.fingerprint != theirs.wishes.fingerprint
    reader = SessionReader(ours, encoder, slate_size=3, turn_limit=world.turn_limit)
    one, other, third = reader.texts.hear(["no red things", "a red thing", "blue"])
    assert np.array_equal(one, other)
    assert not np.array_equal(one, third)
    assert one.any()


def test_only_english_is_stemmed() -> None:
    encoder = load_encoder("stemmed:hashing")
    assert encoder.reads("en")
    assert not encoder.reads("zh")
    assert load_encoder("hashing").reads("zh")
    with pytest.raises(ValueError, match="English, and people speak zh here; choose encoder=hashing"):
        check_reads(encoder, "stemmed:hashing", "zh")


def test_it_is_chosen_by_name() -> None:
    assert load_encoder("stemmed:hashing") is load_encoder("stemmed:hashing")
    assert load_encoder("stemmed:hashing").fingerprint != load_encoder("hashing").fingerprint
    with pytest.raises(ValueError, match="did you mean 'stemmed:minilm'"):
        load_encoder("stemed:minilm")
    with pytest.raises(ValueError, match="did you mean 'hashing'"):
        load_encoder("stemmed:hashng")

"""Reading wishes from token vectors: learned from prompts, true for texts that no prompt has."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from instructrec.agents.attributes import attributes_of
from instructrec.agents.comparisons import comparison_width
from instructrec.agents.encoder import TextEncoder, load_encoder
from instructrec.agents.features import ItemFeatures, item_features
from instructrec.agents.prompts import Prompt, prompts_of
from instructrec.agents.reading import SessionReader
from instructrec.agents.scorer import ScorerInputs
from instructrec.agents.similar_words import similar_words
from instructrec.agents.wishes import Wishes, _thinned, fit_wishes, wish_encoder
from instructrec.catalogue import Catalogue, Column
from instructrec.envs import make_world

GENRES = ("Comedy", "Horror", "Western", "Drama")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def films() -> Catalogue:
    rng = np.random.default_rng(0)
    genres = [tuple(rng.choice(GENRES, 1 + i % 2, replace=False)) for i in range(300)]
    extra = {"Comedy": "funny", "Horror": "scary", "Western": "cowboy", "Drama": "tragic"}
    return Catalogue(
        columns={
            "genre": Column.multi_valued("genre", genres),
            "year": Column.numeric("year", rng.integers(1950, 2015, 300).astype(np.float32)),
        },
        titles=tuple(f"film {i}" for i in range(300)),
        texts=tuple(f"film {i}, {', '.join(named)}: {extra[named[0]]}" for i, named in enumerate(genres)),
        item_ids=tuple(str(i) for i in range(300)),
        popularity=np.ones(300, np.float32),
    )


def fitted(films: Catalogue, name: str, number: int, steps: int) -> tuple[TextEncoder, ItemFeatures]:
    encoder = load_encoder(name)
    features = item_features(films)
    prompts = prompts_of(films, number, names=similar_words(films, encoder))
    wishes = fit_wishes(encoder, attributes_of(films), prompts, steps=steps)
    return encoder, dataclasses.replace(features, wishes=wishes)


@pytest.fixture(scope="module")
def read(films: Catalogue) -> tuple[TextEncoder, ItemFeatures]:
    return fitted(films, "minilm", 2500, 600)


def wanted(read: tuple[TextEncoder, ItemFeatures], films: Catalogue, text: str, genre: str) -> float:
    """How much higher items of a genre score for a text than the others."""
    encoder, features = read
    assert features.wishes is not None
    number = features.wishes.num_wishes
    wishes = wish_encoder(encoder, features.wishes).encode([text])[0, -1 - number : -1]
    scores = features.table[:, :number] @ wishes
    has = films.column("genre").indicators()[:, films.column("genre").values.index(genre)] > 0
    return float(scores[has].mean() - scores[~has].mean())


def test_what_is_unwanted_is_told_from_what_is_wanted(read, films) -> None:
    one, other = "a comedy but no horror, if possible", "horror if possible, but no comedy"
    assert wanted(read, films, one, "Comedy") > 0.1 > -0.1 > wanted(read, films, one, "Horror")
    assert wanted(read, films, other, "Horror") > 0.1 > -0.1 > wanted(read, films, other, "Comedy")


def test_either_of_two_is_told_from_both_and_from_neither(read, films) -> None:
    encoder, features = read
    places = [sorted(GENRES).index(genre) for genre in ("Horror", "Western")]
    reading = wish_encoder(encoder, features.wishes)
    vector = reading.encode(["horror or western", "no horror and no western"])
    vector = vector[:, encoder.width + comparison_width(1) :]
    assert vector[0, places].min() > 0.5 > vector[1, places].max()
    both = vector[:, [features.num_values + place for place in places]]
    assert both[1].max() < -0.2


def heard(read: tuple[TextEncoder, ItemFeatures], texts: list[str], slates: list[list[int]]) -> ScorerInputs:
    """What a network sees of one session: texts, oldest first, and the slates shown between them."""
    encoder, features = read
    memory, limit, size = 3, 5, len(slates[0]) if slates else 3
    tokens = encoder.tokenize(texts)[::-1]
    earlier = np.full((memory, encoder.token_length), encoder.pad_id)
    earlier[: len(texts) - 1] = tokens[1:]
    shown = np.full((limit, size), -1)
    shown[: len(slates)] = np.array(slates).reshape(-1, size)
    reader = SessionReader(features, encoder, slate_size=size, turn_limit=limit, memory=memory)
    return reader.read(
        {
            "tokens": tokens[:1],
            "earlier_tokens": earlier.reshape(1, -1),
            "past": np.full((1, 1), -1),
            "past_ratings": np.zeros((1, 1)),
            "slates": shown.reshape(1, -1),
            "clicked": np.zeros((1, limit * size), np.int8),
            "turn": np.array([[len(slates)]]),
        }
    )


def lifted(read: tuple[TextEncoder, ItemFeatures], vector: torch.Tensor, items: np.ndarray) -> float:
    """How much higher the wishes of a text's vector score some items than the others."""
    number = read[1].wishes.num_wishes
    scores = read[1].table[:, :number] @ vector[-1 - number : -1].numpy()
    return float(scores[items].mean() - scores[~items].mean())


def test_a_comparison_asks_for_a_bound_at_the_number_of_the_item_that_stood_there(read, films) -> None:
    years = films.column("year").numbers
    slate = np.argsort(years)[[250, 100, 40]].tolist()
    for text, place, newer in (
        ("newer than the second one", 1, True),
        ("older than the first one", 0, False),
        ("a western newer than number 3", 2, True),
        ("older than the last one", 2, False),
        ("like the 2nd one but older", 1, False),
    ):
        asked = years > years[slate[place]] if newer else years < years[slate[place]]
        vector = heard(read, ["a film", text], [slate]).text[0]
        assert lifted(read, vector, asked) > 0.5, text
        # The same words after another slate ask for another bound; after none, for nothing.
        moved = [slate[1], slate[2], slate[0]]
        other = years > years[moved[place]] if newer else years < years[moved[place]]
        again = heard(read, ["a film", text], [moved]).text[0]
        assert lifted(read, again, other) > lifted(read, vector, other) + 0.1, text
        assert abs(lifted(read, heard(read, [text], []).text[0], asked)) < 0.2, text


def test_an_earlier_comparison_stays_with_the_slate_that_it_was_about(read, films) -> None:
    order = np.argsort(films.column("year").numbers)
    first, second = order[[250, 100, 40]].tolist(), order[[10, 200, 120]].tolist()
    words = "newer than the second one"
    then = heard(read, ["a film", words], [first]).text[0]
    later = heard(read, ["a film", words, "show me more"], [first, second])
    np.testing.assert_array_equal(later.earlier[0, 0], then)
    number = read[1].wishes.num_wishes
    assert float(later.text[0, -1 - number : -1].abs().max()) < 0.2


def test_what_compares_nothing_is_read_as_it_stands(read) -> None:
    encoder, features = read
    text, slate = "a western from the 60s", [5, 6, 7]
    raw = torch.from_numpy(wish_encoder(encoder, features.wishes).encode([text])[0])
    seen = heard(read, ["a film", text], [slate]).text[0]
    torch.testing.assert_close(seen[encoder.width :], raw[encoder.width + comparison_width(1) :], atol=0.05, rtol=0)
    assert len(seen) == SessionReader(features, encoder, slate_size=3, turn_limit=5).text_width


def test_a_fifth_of_all_numbers_is_left_out_while_learning_and_the_rest_makes_up_for_it() -> None:
    torch.manual_seed(0)
    tokens = torch.ones(7, 13, 101)  # Not a multiple of eight.
    thinned = _thinned(tokens)
    assert 0.19 < float((thinned == 0).float().mean()) < 0.21
    assert 0.99 < float(thinned.mean()) < 1.01
    torch.manual_seed(0)
    assert torch.equal(_thinned(tokens), thinned)


def test_words_that_no_prompt_has_are_understood_by_the_language_model(read, films) -> None:
    text = "a spooky movie"
    scores = {genre: wanted(read, films, text, genre) for genre in GENRES}
    assert max(scores, key=scores.__getitem__) == "Horror"


def test_going_on_is_told_from_beginning_anew(read) -> None:
    encoder, features = read
    goes_on = wish_encoder(encoder, features.wishes).encode(["some more please", "show me a western from the 90s"])[
        :, -1
    ]
    assert goes_on[0] > 1 + goes_on[1]


def test_the_hashing_encoder_learns_the_words_it_has_seen(films) -> None:
    read = fitted(films, "hashing", 1500, 400)
    assert wanted(read, films, "I want a western film", "Western") > 0.3
    assert wanted(read, films, "I want a western film", "Western") > 0.3 + wanted(read, films, "no western", "Western")


def test_the_same_prompts_give_the_same_weights_whatever_was_drawn_before(films) -> None:
    encoder, attributes = load_encoder("hashing"), attributes_of(films)
    prompts = prompts_of(films, 100)
    one = fit_wishes(encoder, attributes, prompts, steps=5)
    torch.rand(3)
    same = fit_wishes(encoder, attributes, prompts, steps=5)
    other = fit_wishes(encoder, attributes, prompts, steps=5, seed=1)
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert Wishes({name: array.copy() for name, array in one.weights.items()}).fingerprint == one.fingerprint


def test_nothing_is_fitted_without_prompts_and_a_prompt_may_ask_for_nothing(films) -> None:
    encoder, attributes = load_encoder("hashing"), attributes_of(films)
    assert fit_wishes(encoder, attributes, []) is None
    assert wish_encoder(encoder, None) is encoder
    wishes = fit_wishes(encoder, attributes, [Prompt("more", (), True)] * 3, steps=3)
    assert wishes is not None
    assert np.isfinite(wish_encoder(encoder, wishes).encode(["more"])).all()


def test_sentences_keep_their_vectors_and_silence_wishes_for_nothing(read) -> None:
    encoder, features = read
    both = wish_encoder(encoder, features.wishes)
    assert wish_encoder(encoder, features.wishes) is both
    np.testing.assert_array_equal(both.encode(["no horror"])[:, : encoder.width], encoder.encode(["no horror"]))
    assert not both.encode_tokens(np.full((1, encoder.token_length), encoder.pad_id)).any()


def test_a_text_has_the_same_wishes_alone_and_beside_others(read) -> None:
    encoder, features = read
    texts = ["no horror", "a western from the 60s with a lot of riding", "more", "before 1980"] * 3
    texts = [f"{text} {number}" for number, text in enumerate(texts)]
    fresh = [TextEncoder(encoder._model, head=wish_encoder(encoder, features.wishes)._head) for _ in range(2)]
    np.testing.assert_array_equal(fresh[0].encode(texts), np.concatenate([fresh[1].encode([text]) for text in texts]))


def test_similar_words_are_those_that_the_items_confirm(films) -> None:
    words = similar_words(films, load_encoder("minilm"))
    assert "scary" in words["genre", "Horror"]
    assert "funny" in words["genre", "Comedy"]
    assert "scary" not in words["genre", "Comedy"]


def test_a_word_that_names_a_value_of_another_attribute_stands_for_that_one() -> None:
    shop = make_world("instructrec/Shop-v0", num_items=500).catalogue
    words = similar_words(shop, load_encoder("minilm"))
    assert "shipping" in words["offer", "free shipping"]
    assert "desk" not in words["occasion", "office"]
    assert "office" not in words["category", "Desk"]

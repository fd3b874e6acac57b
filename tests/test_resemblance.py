"""What texts resemble: measured against prompts about something else, found where it stands, and not where named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from instructrec.agents.attributes import attributes_of
from instructrec.agents.encoder import TextEncoder, load_encoder
from instructrec.agents.prompts import prompts_of
from instructrec.agents.resemblance import Resemblance, meant
from instructrec.agents.wishes import Wishes, fit_wishes, wish_encoder
from instructrec.catalogue import Catalogue, Column

THINGS = ("Backpack", "Book", "Camera", "Lamp", "Pan", "Sofa")
COLOURS = ("Blue", "Green", "Red")


def measured(texts: list[torch.Tensor]) -> Resemblance:
    torch.manual_seed(0)
    resemblance = Resemblance(8, 3)
    about = torch.zeros(len(texts), 3, dtype=torch.bool)
    there = torch.ones(3, 1, dtype=torch.bool)
    resemblance.calibrate(torch.eye(8)[:3, None], there, there, texts, about)
    return resemblance


@pytest.fixture(scope="module")
def noise() -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(length, 8) for length in range(1, 10) for _ in range(60)]


def padded(texts: list[torch.Tensor], length: int) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.zeros(len(texts), length, 8)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = text
    return tokens, torch.arange(length) < torch.tensor([len(text) for text in texts])[:, None]


def test_a_name_is_found_where_it_stands_among_other_words(noise) -> None:
    resemblance = measured(noise)
    text = 0.05 * torch.randn(7, 8, generator=torch.Generator().manual_seed(2))
    text[3, 1] += 5
    alike, places = resemblance(*padded([text], 9))
    assert int(alike[0].argmax()) == 1
    assert places[0, 1, 3]
    assert places.any(dim=2).all()
    assert not places[:, :, 7:].any()


def test_of_prompts_about_something_else_one_in_fifty_resembles_by_one(noise) -> None:
    resemblance = measured(noise)
    alike, _ = resemblance(*padded(noise, 9))
    assert torch.allclose((alike > 1).float().mean(dim=0), torch.tensor(0.02), atol=0.01)
    assert torch.allclose((alike > 0).float().mean(dim=0), torch.tensor(0.1), atol=0.01)


def test_neither_padding_nor_the_other_texts_change_it(noise) -> None:
    resemblance = measured(noise)
    together, _ = resemblance(*padded(noise[::60], 9))
    for row, text in enumerate(noise[::60]):
        alone, _ = resemblance(text[None], torch.ones(1, len(text), dtype=torch.bool))
        torch.testing.assert_close(alone[0], together[row])


def test_a_text_without_tokens_resembles_nothing(noise) -> None:
    alike, places = measured(noise)(torch.zeros(2, 4, 8), torch.zeros(2, 4, dtype=torch.bool))
    assert torch.isfinite(alike).all()
    assert not places.any()
    assert meant(alike).max() < 0.05


def test_chances_of_a_column_sum_to_one_at_most_and_follow_the_resemblance() -> None:
    chances = meant(torch.tensor([[6.0, 5.9, 0.0], [9.0, 0.0, 0.0], [1.0, 0.9, 0.8]]))
    assert bool((chances.sum(dim=1) <= 1).all())
    assert chances[0, 0] > chances[0, 1] > 0.4 > 0.1 > chances[0, 2]
    assert chances[1, 0] > 0.99
    assert chances[2].max() < 0.05


def fitted() -> tuple[TextEncoder, Wishes]:
    rng = np.random.default_rng(0)
    goods = Catalogue(
        columns={
            "thing": Column.multi_valued("thing", [(THINGS[i % len(THINGS)],) for i in range(240)]),
            "colour": Column.multi_valued("colour", [(COLOURS[int(rng.integers(3))],) for _ in range(240)]),
        },
        titles=tuple(f"Item {i}" for i in range(240)),
        texts=tuple(f"Item {i}" for i in range(240)),
        item_ids=tuple(str(i) for i in range(240)),
        popularity=np.ones(240, np.float32),
        nouns=("item", "items"),
    )
    encoder = load_encoder("minilm")
    wishes = fit_wishes(encoder, attributes_of(goods), prompts_of(goods, 3000), steps=800)
    assert wishes is not None
    return encoder, wishes


@pytest.fixture(scope="module")
def shop() -> tuple[TextEncoder, Wishes]:
    return fitted()


def read(shop: tuple[TextEncoder, Wishes], text: str) -> dict[str, float]:
    """Wishes for values by name, 1 for what is wanted in full."""
    encoder, wishes = shop
    heard = wish_encoder(encoder, wishes).encode([text])[0, -1 - wishes.num_wishes : -1]
    values = heard[: len(THINGS) + len(COLOURS)] / wishes.weights["spread"][: len(THINGS) + len(COLOURS)]
    return dict(zip(THINGS + COLOURS, values.tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("something to take pictures with", "Camera"),
        ("I want a couch", "Sofa"),
        ("a novel to read in bed", "Book"),
    ],
)
def test_what_no_prompt_has_is_understood_by_what_it_resembles(shop, text: str, thing: str) -> None:
    wished = read(shop, text)
    assert max(THINGS, key=wished.__getitem__) == thing
    assert wished[thing] > 0.1


def test_what_is_refused_in_other_words_is_not_wanted(shop) -> None:
    assert read(shop, "no couches")["Sofa"] < 0 < read(shop, "a couch")["Sofa"]


def test_where_something_is_named_nothing_is_guessed(shop) -> None:
    wished = read(shop, "a red lamp")
    assert wished["Lamp"] > 0.8
    assert wished["Red"] > 0.8
    assert max(wished[name] for name in wished if name not in ("Lamp", "Red")) < 0.1


def test_what_names_one_thing_is_no_word_for_another(shop) -> None:
    """Grass is green, and a couch is nothing but a sofa: no tokens speak of two columns."""
    for text in ("a couch", "something to take pictures with"):
        wished = read(shop, text)
        assert max(wished[colour] for colour in COLOURS) < 0.2 < max(wished[thing] for thing in THINGS)


def test_what_asks_for_nothing_resembles_nothing(shop) -> None:
    for text in ("next", "what else do you have", "more along those lines"):
        assert max(map(abs, read(shop, text).values())) < 0.2

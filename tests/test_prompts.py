"""The scorer's start from prompts: they are about the right items, and teach what they say."""

from __future__ import annotations

import numpy as np
import pytest

from instructrec.agents.prompts import NEUTRAL, prompts_of
from instructrec.catalogue import Catalogue, Column
from instructrec.envs.movies import movies_world


@pytest.fixture(scope="module")
def films() -> Catalogue:
    years = np.tile(np.arange(1960, 2010, dtype=np.float32), 8)
    return Catalogue(
        columns={
            "genre": Column.multi_valued("genre", [["Comedy"] if i % 2 else ["Horror"] for i in range(400)]),
            "year": Column.numeric("year", years),
            "rating": Column.numeric("rating", np.linspace(1, 5, 400)),
        },
        titles=tuple(f"film {i}" for i in range(400)),
        texts=tuple(f"film {i}" for i in range(400)),
        item_ids=tuple(str(i) for i in range(400)),
        popularity=np.ones(400, np.float32),
    )


def test_prompts_are_about_the_items_they_name(films: Catalogue) -> None:
    about = {prompt.text: prompt.items for prompt in prompts_of(films, joined=0)}
    comedy = films.column("genre").indicators()[:, films.column("genre").values.index("Comedy")] > 0
    year = films.column("year").numbers
    np.testing.assert_array_equal(about["something comedy"], comedy)
    np.testing.assert_array_equal(about["no comedy"], ~comedy)
    np.testing.assert_array_equal(about["after 1990"], year > 1990)
    np.testing.assert_array_equal(about["not after 1990"], year <= 1990)
    np.testing.assert_array_equal(about["the 80s"], (year >= 1980) & (year < 1990))
    assert all(about[text] is None for text in NEUTRAL)


def test_a_number_that_is_no_year_is_only_high_or_low(films: Catalogue) -> None:
    texts = [prompt.text for prompt in prompts_of(films, joined=0) if "rating" in prompt.text]
    assert sorted(texts) == [
        "a high rating",
        "a low rating",
        "high rating",
        "low rating",
        "very high rating",
        "very low rating",
    ]


def test_pairs_are_about_the_items_that_meet_both(films: Catalogue) -> None:
    single = {prompt.text: prompt.items for prompt in prompts_of(films, joined=0)}
    pairs = [prompt for prompt in prompts_of(films, joined=300) if ". " in prompt.text]
    assert pairs
    for prompt in pairs:
        one, other = prompt.text.split(". ")
        assert prompt.items is not None
        assert single[one] is not None
        assert single[other] is not None
        np.testing.assert_array_equal(prompt.items, single[one] & single[other])
        assert prompt.items.sum() >= 20


def test_hardly_any_instruction_of_the_world_is_a_prompt() -> None:
    world = movies_world(split="test")
    prompts = {prompt.text.lower() for prompt in prompts_of(world.catalogue)}
    said = [text for text in world.population.texts.bank if text]
    assert sum(text.lower().strip(".!?") in prompts for text in said) <= 0.02 * len(said)

"""The agent's own prompts are about the right items, and are not what people say."""

from __future__ import annotations

import dataclasses
import hashlib
import re

import numpy as np
import pytest

from instructrec.agents.comparisons import PLACES
from instructrec.agents.prompts import prompts_of
from instructrec.agents.wordings import IDLE, NEUTRAL
from instructrec.catalogue import Catalogue, Column
from instructrec.envs.movielens import shipped
from instructrec.envs.worlds import make_world


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


def plain(text: str) -> str:
    return text.lower().removesuffix(" please").rstrip(".?!").removesuffix(" please")


@pytest.fixture(scope="module")
def about(films: Catalogue) -> dict[str, np.ndarray]:
    """What is asked for by prompts of a single part."""
    return {plain(prompt.text): prompt.parts[0] for prompt in prompts_of(films, 40_000) if len(prompt.parts) == 1}


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        (r"(?:a|some|any|the) comedy(?: \w+)?", lambda comedy, years, year: comedy),
        (r"(?:no|not|without) comedy", lambda comedy, years, year: ~comedy),
        (r"(?:made )?after (\d{4})", lambda comedy, years, year: years > year),
        (r"(?:since|not before) (\d{4})", lambda comedy, years, year: years >= year),
        (
            r"(?:until|not after|up to|no later than|not newer than|till|by|nothing after|through) (\d{4})",
            lambda comedy, years, year: years <= year,
        ),
        (r"(?:made )?before (\d{4})", lambda comedy, years, year: years < year),
        (r"(?:from |of |in )?the (\d{4}) ?s", lambda comedy, years, year: (years >= year) & (years < year + 10)),
        (r"(?:from|in|of|made in|released in) (\d{4})", lambda comedy, years, year: years == year),
        (r"(?:made |out )?this year", lambda comedy, years, year: years == 2009),
        (r"(?:made |out |of |from )?last year", lambda comedy, years, year: years == 2008),
        (r"(?:released )?(?:from|in|of|over)(?: the)? (?:last|past) (\d+) years", lambda c, y, n: y > 2009 - n),
        (r"(?:released )?(?:from|in|of|over|within)(?: the)? (?:last|past) decade", lambda c, y, n: y > 1999),
    ],
)
def test_prompts_are_about_the_items_they_name(films, about, pattern, meant) -> None:
    comedy = films.column("genre").indicators()[:, films.column("genre").values.index("Comedy")] > 0
    found = 0
    for text, items in about.items():
        noun = r"(?:(?:an?|some|any|the) )?(?:something|anything|ones?|stuff|films?|movies?|titles?|thing),? "
        carrier = r"(?:[a-z]+[,:]|show me|give me|find me|looking for|recommend|suggest|list|got|put on|also|and|but"
        carrier += "|the same,|i want|name|what is|is there|to sum up,|i said|once more:) "
        match = re.fullmatch(rf"(?:{carrier})?(?:{noun})?{pattern}", text)
        if match:
            year = int(match.group(1)) if match.groups() else 0
            np.testing.assert_array_equal(items, meant(comedy, films.column("year").numbers, year), err_msg=text)
            found += 1
    assert found


def test_a_number_that_is_no_year_is_high_or_low(films: Catalogue, about: dict[str, np.ndarray]) -> None:
    rating = films.column("rating").numbers
    high = next(items for text, items in about.items() if "the best rating" in text)
    low = next(items for text, items in about.items() if "very low rating" in text)
    assert rating[high].min() > rating[~high].max() - 1e-6
    assert rating[low].max() < rating[~low].min() + 1e-6


def test_whoever_asks_for_nothing_new_goes_on(films: Catalogue) -> None:
    empty = [prompt for prompt in prompts_of(films, 3000) if not prompt.parts]
    assert empty
    for prompt in empty:
        if plain(prompt.text) in NEUTRAL:
            assert prompt.follows
        if plain(prompt.text) in IDLE:
            assert not prompt.follows


def test_other_words_stand_for_a_value(films: Catalogue) -> None:
    prompts = prompts_of(films, 2000, names={("genre", "Horror"): ("spooky",)})
    horror = films.column("genre").indicators()[:, films.column("genre").values.index("Horror")] > 0
    spooky = [prompt for prompt in prompts if "spooky" in prompt.text.lower() and len(prompt.parts) == 1]
    assert len(spooky) > 20
    assert all(meant(p.parts[0], horror) for p in spooky)


def meant(items: np.ndarray, genre: np.ndarray) -> bool:
    """Whether items are those of a genre, all others, or those of either genre that there is."""
    return any(np.array_equal(items, some) for some in (genre, ~genre, np.ones_like(genre)))


def test_what_people_say_besides_asks_for_nothing(films: Catalogue) -> None:
    people = "(?:starring|directed by|by the director|produced by|written by|with the actress) [a-z]+ [a-z]+"
    besides = (
        rf"(?:[a-z' ]+ )?(?:an?|some|any|the) (?:film|movie|title|picture|one)s? (?:set in \d{{4}}|rated r|{people})"
    )
    begun = "show me|find me|any|list|what is|name|i want|a|some"
    found = [prompt for prompt in prompts_of(films, 20_000) if re.fullmatch(besides, plain(prompt.text))]
    found = [prompt for prompt in found if re.match(begun, plain(prompt.text))]
    assert found
    assert not any(prompt.parts for prompt in found)


def test_a_genre_is_called_what_people_call_it_and_other_values_are_not(films: Catalogue) -> None:
    comedy = films.column("genre").indicators()[:, films.column("genre").values.index("Comedy")] > 0
    said = [p for p in prompts_of(films, 8000) if re.search("hilarious|makes me laugh", p.text) and len(p.parts) == 1]
    assert len(said) > 5
    assert all(meant(p.parts[0], comedy) for p in said)
    times = [["War"] if i % 2 else ["Peace"] if i % 3 else ["Truce"] for i in range(400)]
    history = dataclasses.replace(films, columns={"time": Column.multi_valued("time", times)})
    assert not any("soldier" in prompt.text for prompt in prompts_of(history, 4000))


def test_the_same_seed_gives_the_same_prompts(films: Catalogue) -> None:
    one, same, other = (prompts_of(films, 200, seed=seed) for seed in (0, 0, 1))
    assert [prompt.text for prompt in one] == [prompt.text for prompt in same]
    assert [prompt.text for prompt in one] != [prompt.text for prompt in other]
    assert prompts_of(films, 0) == []


def test_english_prompts_about_films_are_what_they_were_to_the_bit() -> None:
    # What published agents learned to read from.
    names = {("genre", "Horror"): ("scary", "creepy")}
    digest = hashlib.sha256()
    for prompt in prompts_of(shipped()[0], 4000, names=names, seed=3):
        digest.update(prompt.text.encode() + bytes([prompt.follows]) + b"".join(p.tobytes() for p in prompt.parts))
        digest.update(repr(prompt.comparison).encode())
    assert digest.hexdigest()[:16] == "ae3ae8b2b89676fb"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_comparisons_name_a_number_a_way_and_a_place(language: str) -> None:
    catalogue = shipped()[0]
    found = [prompt for prompt in prompts_of(catalogue, 2000, language=language) if prompt.comparison is not None]
    numbers = {column.name for column in catalogue.columns.values() if not column.is_set}
    assert len(found) > 100
    assert all(prompt.follows and prompt.parts == () for prompt in found)
    kinds = [prompt.comparison for prompt in found]
    assert {(one.column, one.up) for one in kinds} == {(name, up) for name in numbers for up in (True, False)}
    assert {one.place for one in kinds} >= set(range(PLACES))
    if language == "en":
        second = [prompt.text.lower() for prompt in found if prompt.comparison.place == 1]
        named = [text for text in second if re.search(r"second|2nd|number 2|#2|no\. 2", text)]
        assert len(named) > 0.7 * len(second)  # Slips of the keyboard hit ordinals, too.


def test_hardly_any_instruction_of_the_world_is_a_prompt() -> None:
    worlds = [make_world("instructrec/Movies-v0", split=split) for split in ("train", "test")]
    prompts = {plain(prompt.text) for prompt in prompts_of(worlds[0].catalogue)}
    for world in worlds:
        assert world.catalogue.fingerprint == worlds[0].catalogue.fingerprint
        said = [text for text in world.population.texts.bank if text]
        assert sum(plain(text) in prompts for text in said) <= 0.02 * len(said)

"""The agent's own Chinese prompts are about the right items, and are not what people say."""

from __future__ import annotations

import re

import numpy as np
import pytest

from instructrec.agents.prompts import prompts_of
from instructrec.agents.wordings_zh import IDLE, NEUTRAL, REFUSING_TOO, WISHING_TOO
from instructrec.catalogue import Catalogue, Column
from instructrec.envs.worlds import make_world

HAN = re.compile("[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def films() -> Catalogue:
    return Catalogue(
        columns={
            "genre": Column.multi_valued("genre", [["Comedy"] if i % 2 else ["Horror"] for i in range(400)]),
            "year": Column.numeric("year", np.tile(np.arange(1960, 2010, dtype=np.float32), 8)),
            "rating": Column.numeric("rating", np.linspace(1, 5, 400)),
        },
        titles=tuple(f"film {i}" for i in range(400)),
        texts=tuple(f"film {i}" for i in range(400)),
        item_ids=tuple(str(i) for i in range(400)),
        popularity=np.ones(400, np.float32),
        labels={("genre", "Comedy"): "喜剧片", ("genre", "Horror"): "恐怖片"},
    )


@pytest.fixture(scope="module")
def about(films: Catalogue) -> dict[str, np.ndarray]:
    """What is asked for by prompts of a single part."""
    prompts = prompts_of(films, 12_000, language="zh")
    return {prompt.text: prompt.parts[0] for prompt in prompts if len(prompt.parts) == 1}


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("^(?:推荐|来|求)(?:一部|几部)?喜剧", lambda comedy, years, year: comedy),
        ("(?:不要|我不喜欢|讨厌|拒绝)喜剧|喜剧片?(?:不要|就算了|除外)", lambda comedy, years, year: ~comedy),
        ("不是恐怖", lambda comedy, years, year: comedy),
        (r"(\d{4})年(?:以后|以来|及以后)", lambda comedy, years, year: years >= year),
        (r"(?:晚于|迟于)(\d{4})年", lambda comedy, years, year: years > year),
        (r"(\d{4})年(?:以前|之前)", lambda comedy, years, year: years < year),
        (r"(\d{4})年代", lambda comedy, years, year: (years >= year) & (years < year + 10)),
    ],
)
def test_prompts_are_about_the_items_they_name(films, about, pattern, meant) -> None:
    comedy = films.column("genre").indicators()[:, films.column("genre").values.index("Comedy")] > 0
    years, found = films.column("year").numbers, 0
    for text, items in about.items():
        match = re.search(pattern, text)
        if match and not re.search("不(早|晚|迟)于|或者|或|还是|和|、", text):
            year = int(match.group(1)) if match.groups() else 0
            np.testing.assert_array_equal(items, meant(comedy, years, year), err_msg=text)
            found += 1
    assert found >= 5


def test_the_same_sentences_stand_with_and_without_a_no() -> None:
    assert len(WISHING_TOO) == len(REFUSING_TOO)
    for wishing, refusing in zip(WISHING_TOO, REFUSING_TOO, strict=True):
        assert wishing != refusing
        assert re.search("[不没别非]", refusing)
        assert not re.search("[不没别非]", wishing)


def test_whoever_asks_for_nothing_new_goes_on(films: Catalogue) -> None:
    empty = [prompt for prompt in prompts_of(films, 3000, language="zh") if not prompt.parts]
    assert empty
    for prompt in empty:
        text = prompt.text.removesuffix("，谢谢").rstrip("。？！")
        if text in NEUTRAL and text not in IDLE:
            assert prompt.follows
        if text in IDLE and text not in NEUTRAL:
            assert not prompt.follows


def test_they_are_chinese_and_english_ones_are_not(films: Catalogue) -> None:
    assert all(HAN.search(prompt.text) for prompt in prompts_of(films, 300, language="zh"))
    assert not any(HAN.search(prompt.text) for prompt in prompts_of(films, 300))
    # A language without wordings of the agent's own.
    french, english = prompts_of(films, 50, language="fr"), prompts_of(films, 50)
    assert [prompt.text for prompt in french] == [prompt.text for prompt in english]


def test_hardly_any_instruction_of_the_world_is_a_prompt() -> None:
    worlds = [
        make_world("instructrec/Movies-v0", split=split, language="zh", bank_size=1000) for split in ("train", "test")
    ]
    own = prompts_of(worlds[0].catalogue, 8000, language="zh")
    prompts = {prompt.text.rstrip("。？！") for prompt in own}
    for world in worlds:
        said = [text for text in world.population.texts.bank if text]
        assert sum(text.rstrip("。？！") in prompts for text in said) <= 0.03 * len(said)

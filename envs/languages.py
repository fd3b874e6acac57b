"""The languages that people may speak: sentence shapes and small words that any domain shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from instructrec.envs import chinese_sentences as chinese
from instructrec.envs import english_sentences as english
from instructrec.envs.chinese import Chinese
from instructrec.envs.english import English
from instructrec.envs.tongue import Tongue
from instructrec.envs.vocabulary import Frame, Portion


@dataclass(frozen=True, kw_only=True)
class Language:
    """What a language brings to every domain: how it works, and sentences as data.

    Attributes:
        code: Its ISO 639-1 code.
        name: What it is called in English.
        tongue: How words are put together and taken apart.
        frames: Phrases for exclusions and clauses.
        measures: Phrases for numbers, by what they measure; fields are filled in by the domain.
        portions: Shares of a slate.
        templates: Sentences by family.
        polite: (before, after) courtesies.
        resets: Cues that a new request starts.
    """

    code: str
    name: str
    tongue: Tongue = field(repr=False)
    frames: tuple[Frame, ...] = field(repr=False)
    measures: Mapping[str, tuple[Frame, ...]] = field(repr=False)
    portions: tuple[Portion, ...] = field(repr=False)
    templates: Mapping[str, tuple[str, ...]] = field(repr=False)
    polite: tuple[tuple[str, ...], tuple[str, ...]] = field(repr=False)
    resets: tuple[str, ...] = field(repr=False)


LANGUAGES = {
    "en": Language(
        code="en",
        name="English",
        tongue=English(),
        frames=english.FRAMES,
        measures=english.MEASURES,
        portions=english.PORTIONS,
        templates=english.TEMPLATES,
        polite=english.POLITE,
        resets=english.RESETS,
    ),
    "zh": Language(
        code="zh",
        name="Chinese",
        tongue=Chinese(),
        frames=chinese.FRAMES,
        measures=chinese.MEASURES,
        portions=chinese.PORTIONS,
        templates=chinese.TEMPLATES,
        polite=chinese.POLITE,
        resets=chinese.RESETS,
    ),
}
"""Every language, by code."""

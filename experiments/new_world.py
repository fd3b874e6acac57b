"""A world from people's own data: what the items are, who likes what, and the words to ask for it.

What is written is an ordinary domain file, for its owner to read and better, and one file of items and tastes beside
it. The words are the data's own ("horror", "under 20"): better words make better worlds.
"""

from __future__ import annotations

import itertools
import math
import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from instructrec import runs
from instructrec.catalogue import Catalogue, Column, Kind
from instructrec.envs.domain_world import domain_world
from instructrec.envs.fit_tastes import FittedTastes, fit_tastes
from instructrec.envs.infer_attributes import ANSWERS, MADE, OTHER, Finding, Use, infer_attributes, reading_losses
from instructrec.envs.infer_catalogue import infer_catalogue
from instructrec.envs.kept_data import write_kept
from instructrec.envs.lexicon import words_of
from instructrec.envs.read_data import read_data
from instructrec.envs.reading_settings import by_setting
from instructrec.experiments.folding import fold
from instructrec.experiments.outputs import check_place, command_line
from instructrec.experiments.progress import Narrator

FITTING = ("min_person_ratings", "max_persons")
"""The settings of `fit_tastes`; all others are those of `read_data`."""
_MOST_ABOUT, _FEWEST_ITEMS = 4, 0.005
_QUANTILES = (0.15, 0.3, 0.5, 0.7, 0.85)
_SLATE, _TRIAL = 10, 500


def new_world(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    noun: str = "item",
    data_format: str | None = None,
    max_items: int = 20_000,
    settings: Mapping[str, Any] | None = None,
    narrator: Narrator,
) -> dict[str, Any]:
    """Reads data, infers a catalogue, fits tastes, and writes a domain file with its items beside it.

    Args:
        source: A file, folder or archive in a format of `instructrec.envs.read_data`.
        out: The domain file, ``NAME.yaml``; items and tastes go to ``NAME.safetensors`` beside it.
        noun: What an item is called: "film", "product".
        data_format: The data's format, where it cannot be seen from the files.
        max_items: How many items at most; the most popular are kept.
        settings: What else `read_data` takes, such as ``columns``, and ``min_person_ratings`` and ``max_persons`` of
            `fit_tastes`.
        narrator: Is told what was read, inferred and fitted.

    Returns:
        What was made: people, items, attributes, what was left out and why, what could not be read, how well the tastes
        hold, and all of it as ``text``.

    Raises:
        FileExistsError: If one of the two files is there already.
        ValueError: If the files cannot lie there, the data cannot be read, nothing in them can be asked for, or no
            world can be built from them; then nothing is left behind.
    """
    fitting = {name: value for name, value in (settings or {}).items() if name in FITTING}
    reading = {name: value for name, value in (settings or {}).items() if name not in FITTING}
    out = Path(out)
    kept = out.with_suffix(".safetensors")
    if not noun.strip() or set("/\n") & set(noun):
        raise ValueError(f"noun is what one item is called, such as film or travel guide; got {noun!r}")
    if out.suffix not in (".yaml", ".yml"):
        raise ValueError(f"a domain file ends in .yaml, got {out}")
    check_place(out)
    for file in (out, kept):
        if file.exists():
            raise FileExistsError(f"{file} is there already; choose another name, or remove it")
    with narrator.task(f"Reading {source}") as advance:
        record = read_data(Path(source), format=data_format, **reading)
        advance(1.0, f"{len(record.ratings.item):,} {record.feedback} of {record.ratings.num_persons:,} people")
    findings = infer_attributes(record)
    catalogue = infer_catalogue(record, findings, noun=noun, max_items=max_items)
    try:
        if not record.items:
            raise ValueError(
                f"{record.source}: no table says what the items are like, so that there is nothing to ask for; lay one "
                f"beside it and give the folder of both, or give it by {by_setting('items', 'FILE')}"
            )
        document = domain_document(catalogue, findings, noun=noun, file=kept.name)
    except ValueError as problem:
        raise ValueError(". Note: ".join([str(problem), *record.notes])) from None
    with narrator.task("Fitting tastes") as advance:
        fitted = fit_tastes(record, catalogue, **fitting)
        advance(1.0, f"{fitted.rank} factors")
    text = _heading(source) + yaml.safe_dump(
        document, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
    )
    with narrator.task("Building the world"):
        _put(out, kept, text, catalogue, fitted)
    made = {
        "file": str(out),
        "items": catalogue.num_items,
        "people": len(fitted.person_ids),
        "attributes": {name: str(column.kind) for name, column in catalogue.columns.items()},
        "left_out": {f.column: f.why for f in findings if f.use is Use.LEFT_OUT},
        "unread": reading_losses(record, findings),
        "notes": [*record.notes, *_unasked(catalogue)],
        "figures": fitted.figures,
        "tastes": fitted.summary(),
    }
    return {**made, "text": _text(made)}


def _put(out: Path, kept: Path, text: str, catalogue: Catalogue, fitted: FittedTastes) -> None:
    """Puts both files in place once a world could be built from them; until then they lie in a folder of their own."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-world-", dir=out.parent) as place:
        trial = Path(place) / out.name
        write_kept(trial.with_name(kept.name), catalogue, fitted)
        runs.write_text(trial, text)
        try:
            domain_world(trial, bank_size=_TRIAL)
        except ValueError as problem:
            said = str(problem).replace(str(trial), out.name)
            raise ValueError(f"no world can be built from these data, and nothing was written: {said}") from None
        os.replace(trial.with_name(kept.name), kept)
        os.replace(trial, out)


def _text(made: Mapping[str, Any]) -> str:
    attributes = ", ".join(f"{name} ({kind})" for name, kind in made["attributes"].items())
    lines = [f"{made['file']}: {made['items']:,} items, {made['people']:,} people.", f"Attributes: {attributes}."]
    lines += [f"Left out: {name}: {why}." for name, why in made["left_out"].items()]
    lines += [f"{name}: {loss}." for name, loss in made["unread"].items()]
    lines += [*made["notes"], *made["tastes"].splitlines(), ""]
    file = shlex.quote(made["file"])
    lines += [f"Look at it:   instructrec world check {file}", f"Train there:  instructrec train {file} --out RUN"]
    return fold("\n".join(lines))


def _heading(source: str | os.PathLike[str]) -> str:
    return (
        f"# Made from {Path(source).resolve().name} by: {command_line()}\n"
        "# The words below are the data's own. Better ones make a better world: add synonyms, plurals and ways to say\n"
        "# what people of yours ask for, then look at it with: instructrec world check FILE\n\n"
    )


def domain_document(catalogue: Catalogue, findings: Sequence[Finding], *, noun: str, file: str) -> dict[str, Any]:
    """Returns the content of a domain file for a catalogue that was inferred.

    Raises:
        ValueError: If no attribute has two values or more that people could ask for; what was left out is named.
    """
    like = {finding.name: finding.like for finding in findings}
    about = _about(catalogue)
    if not about:
        raise ValueError(
            "no attribute of these items has two values or more that several items share, so there is nothing to ask "
            "for by name; bring a column such as genre or category"
            + "".join(f". {said}" for said in (*_not_named(findings), *_unasked(catalogue)))
        )
    numbers = {name: column for name, column in catalogue.columns.items() if not column.is_set}
    parts = {name: pools for name, column in numbers.items() if (pools := _bounds(name, column, like.get(name, "")))}
    wishes = _wishes(catalogue)
    quality = [{"share": share, "of": [said]} for said, share in wishes]
    # Half of the items at most, so that there is something to choose.
    slate = max(1, min(_SLATE, catalogue.num_items // 2))
    return {
        "domain": f"{noun}s",
        "summary": f"People with tastes fitted to your data ask for {noun}s.",
        **({"slate_size": slate} if slate < _SLATE else {}),
        "items": {"source": "data", "settings": {"file": file}},
        "attributes": {name: _attribute(column, like.get(name, "")) for name, column in catalogue.columns.items()},
        "people": {"topic": about[0]},
        "asks": {
            "about": about,
            "parts": {**parts, "quality": quality, "vague": [wishes[0][0]]},
            "named": _named(about, list(parts)),
            "specific": 0.8,
            "excluding": 0.2,
            "others": {"exclusion": 0.04, "share": 0.04, "vague": 0.06, "implicit": 0.06},
        },
        "languages": {"en": _english(catalogue, about, numbers, like, noun)},
    }


def _about(catalogue: Catalogue) -> list[str]:
    """Returns the set attributes that people name, the one that tells the items apart best first."""
    worth: dict[str, float] = {}
    for name, column in catalogue.columns.items():
        if not column.is_set or set(column.values) == ANSWERS:
            continue
        share = column.indicators().mean(axis=0)
        asked = [s for s, v in zip(share, column.values, strict=True) if v != OTHER and s >= _FEWEST_ITEMS]
        if len(asked) >= 2:
            known = np.array(asked)
            worth[name] = float(-(known * np.log(known)).sum())
    return sorted(worth, key=lambda name: -worth[name])[:_MOST_ABOUT]


def _not_named(findings: Sequence[Finding]) -> list[str]:
    """Returns a sentence for every column that holds no words to ask by."""
    left = [f"Left out: {each.column}: {each.why}" for each in findings if each.use is Use.LEFT_OUT]
    numbers = (Kind.NUMERIC, Kind.ORDINAL)
    return left + [f"Taken for levels or numbers: {e.column}: {e.why}" for e in findings if e.kind in numbers]


def _unasked(catalogue: Catalogue) -> list[str]:
    """Returns a sentence for every attribute of yes and no, which no sentence can ask for by name."""
    return [
        f"Nobody asks for {name}, since yes and no name nothing; write words for them in the data, such as vegan and "
        "vegetarian, and people will"
        for name, column in catalogue.columns.items()
        if set(column.values) == ANSWERS
    ]


def _attribute(column: Column, like: str) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": str(column.kind)}
    if column.kind is not Kind.NUMERIC:
        found["values"] = [value for value in column.values if value != OTHER]
        return found
    if column.name != "popularity" and (said := _said(column, like)):
        found["said"] = said
    return found


def _said(column: Column, like: str) -> dict[str, Any]:
    """Returns how the numbers of a column look in sentences."""
    known = _known(column)
    if not len(known) or known.max() <= 0:  # Nobody says numbers below 0.
        return {}
    low, high = float(known.min()), float(known.max())
    if like == "year":
        return {"as": "year", "step": 1, "round_to": 5, "low": 1800, "high": 2100, "now": int(high)}
    step = _step(known)
    if column.name == "rating" and high <= 5.5:
        return {"as": "stars", "step": 0.5, "round_to": 0.5, "low": 0.5, "high": 5}
    sort = "money" if like == "price" else "amount"
    ends = {"low": max(0.0, math.floor(low)), "high": float(math.ceil(high))}
    return {"as": sort, "step": step, "round_to": step, **ends}


def _known(column: Column) -> npt.NDArray[np.float64]:
    return column.numbers[~np.isnan(column.numbers)].astype(np.float64)


def _step(known: npt.NDArray[np.float64]) -> float:
    """Returns a round distance between numbers that people say: a hundredth of the usual span or more."""
    span = float(np.quantile(known, 0.9) - np.quantile(known, 0.1)) or float(abs(known).max()) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 10))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= span / 20)
    return int(step) if step >= 1 else step


def _bounds(name: str, column: Column, like: str) -> list[dict[str, Any]]:
    """Returns the conditions that people ask of a number: bounds at round numbers where the items divide."""
    known = _known(column)
    if name in MADE or column.kind is not Kind.NUMERIC or len(np.unique(known)) < 5:
        return []
    if like == "year":
        first, last = int(np.quantile(known, 0.05)) // 10 * 10, int(known.max())
        recent = int(np.quantile(known, 0.85))
        return [
            {"share": 0.4, "of": [{f"{name} n..n+9": f"{first}..{max(first, last // 10 * 10)} by 10"}]},
            {"share": 0.3, "of": [{f"{name} >= n": f"{first + 10}..{max(first + 10, recent)} by 5"}]},
            {"share": 0.3, "of": [{f"{name} <= n": f"{first + 10}..{max(first + 10, recent)} by 5"}]},
        ]
    step = _step(known)
    at = sorted({round(round(float(np.quantile(known, q)) / step) * step, 6) for q in _QUANTILES})
    at = [number for number in at if max(0.0, known.min()) < number < known.max()]
    if not at:
        return []
    shown = [f"{number:g}" for number in at]
    return [
        {"share": 0.6, "of": [f"{name} <= {number}" for number in shown]},
        {"share": 0.4, "of": [f"{name} >= {number}" for number in shown]},
    ]


def _wishes(catalogue: Catalogue) -> list[tuple[str, float]]:
    wishes = [("popularity highest 20%, wish", 0.4), ("popularity lowest 50%, wish", 0.2)]
    if "rating" in catalogue.columns:
        wishes = [("rating highest 50%, wish", 0.3), ("rating highest 20%, wish", 0.3), *wishes]
    return wishes


def _named(about: Sequence[str], parts: Sequence[str]) -> dict[str, float]:
    """Returns kinds of request: the first attribute most, by itself and with another, and numbers."""
    named = {about[0]: 0.3, f"{about[0]}+quality": 0.15, "quality": 0.05}
    for other in about[1:]:
        named |= {f"{about[0]}+{other}": 0.2 / len(about), other: 0.1 / len(about)}
    for part in parts:
        named |= {f"{about[0]}+{part}": 0.25 / len(parts), part: 0.1 / len(parts)}
    return named


def _english(
    catalogue: Catalogue, about: Sequence[str], numbers: Mapping[str, Column], like: Mapping[str, str], noun: str
) -> dict[str, Any]:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else f"{noun}s"
    heads = [f"{noun}/{plural}"] + (["item/items"] if noun != "item" else [])
    values: dict[str, Any] = {}
    taken: set[tuple[str, ...]] = {()}
    for name in about:
        values[name] = {}
        for value in catalogue.columns[name].values:
            if value != OTHER and words_of(value):
                word = _unlike(_lower(value), name.replace("_", " "), taken)
                values[name][value] = [{"mass": [word]}]
                taken.add(words_of(word))
    says: dict[str, Any] = {
        "popularity highest 20%, wish": [
            {"adjective": ["popular", "well known", "widely liked"]},
            {"after": ["that everybody likes", "that many people chose", "that most people know"]},
        ],
        "popularity lowest 50%, wish": [
            {"adjective": ["little known", "obscure", "unusual"]},
            {"after": ["that hardly anybody knows", "off the beaten track", "that few people chose"]},
        ],
    }
    for name, column in numbers.items():
        if like.get(name) == "year":
            says |= _decades(name, column)
    critiques: dict[str, Any] = {
        "more popular": {"more": "popularity", "words": ["more popular", "better known", "more widely liked"]},
        "less known": {"less": "popularity", "words": ["less well known", "less popular", "more obscure"]},
    }
    if "rating" in catalogue.columns:
        says |= {
            "rating highest 50%, wish": [{"adjective": ["good", "decent", "solid", "enjoyable"]}],
            "rating highest 20%, wish": [
                {"adjective": ["highly rated", "well rated", "excellent", "well reviewed"]},
                {"after": ["with great reviews", "with excellent ratings", "that people praise"]},
            ],
        }
        critiques["better rated"] = {"more": "rating", "words": ["better rated", "higher rated", "better reviewed"]}
    units = {}
    for name, column in numbers.items():
        if name in MADE or column.kind is not Kind.NUMERIC or np.isnan(column.numbers).all():
            continue
        spoken = name.replace("_", " ")
        more, less = _COMPARED.get(like.get(name, ""), (f"higher in {spoken}", f"lower in {spoken}"))
        critiques[more] = {"more": name, "words": [more]}
        critiques[less] = {"less": name, "words": [less]}
        if like.get(name) != "year" and _said(column, like.get(name, "")):
            units[name] = "dollars" if like.get(name) == "price" else spoken
    says = {said: free for said, senses in says.items() if (free := _free(senses, taken))}
    return {"heads": heads, "use": "choose", "units": units, "values": values, "says": says, "critiques": critiques}


def _unlike(word: str, name: str, taken: Set[tuple[str, ...]]) -> str:
    """Returns a word, said with its attribute's name where it means something else already: a word means one thing."""
    said = itertools.chain(
        (word, f"{word} {name}", f"{name} {word}"), (f"{word} {name} {number}" for number in itertools.count(2))
    )
    return next(one for one in said if words_of(one) not in taken)


def _free(senses: Sequence[Mapping[str, Sequence[str]]], taken: Set[tuple[str, ...]]) -> list[dict[str, list[str]]]:
    """Returns words without those that the data use for something else."""
    left = [
        {kind: [word for word in words if words_of(word) not in taken] for kind, words in sense.items()}
        for sense in senses
    ]
    return [sense for sense in left if all(sense.values())]


def _decades(name: str, column: Column) -> dict[str, Any]:
    """Returns the names of the decades that a column of years spans."""
    known = _known(column)
    first = int(np.quantile(known, 0.05)) // 10 * 10
    found = {}
    for year in range(first, int(known.max()) // 10 * 10 + 1, 10):
        short = f"{year % 100:02d}"
        names = [f"{year}s", f"{year}'s"] if year >= 2000 else [f"{short}s", f"{year}s", f"{short}'s"]
        found[f"{name} {year}..{year + 9}"] = [{"period": names}]
    return found


_COMPARED = {"year": ("newer", "older"), "price": ("more expensive", "cheaper")}


def _lower(value: str) -> str:
    """Returns a value as it stands inside a sentence; abbreviations of several capitals stay."""
    return value if value.isupper() and sum(letter.isupper() for letter in value) > 1 else value.lower()

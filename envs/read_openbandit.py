"""Reading the Open Bandit Dataset: what a fashion shop showed, with which probability, and what was clicked.

A campaign's folder holds ``CAMPAIGN.csv`` and ``item_context.csv``. The data name no people: a person here is everybody
with the same four user features. All features are hashed; the values of each become the letters A, B, … by
frequency, so that they can be spoken of.

References:
    Saito, Aihara, Matsutani and Narita (2021), Open Bandit Dataset and Pipeline, NeurIPS Datasets and Benchmarks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.envs.files import Files
from instructrec.envs.gathering import MAX_RATINGS, Gathering, Rows
from instructrec.envs.interactions import Attribute, Exposures, Feedback, Interactions
from instructrec.envs.tables import Table, TableReader

CONTEXT = "item_context.csv"
_USER = tuple(f"user_feature_{number}" for number in range(4))
LOG = ("timestamp", "item_id", "position", "click", "propensity_score", *_USER)
_SHOWN = 8


@dataclass
class _Log:
    """The exposures as they come in: the people's and items' names by number, and a list of arrays for each field."""

    persons: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    parts: dict[str, list[npt.NDArray[Any]]] = field(default_factory=dict)

    def add(self, who: Sequence[str], what: Sequence[str], **arrays: npt.NDArray[Any]) -> None:
        arrays["person"] = np.array([self.persons.setdefault(name, len(self.persons)) for name in who], np.int32)
        arrays["item"] = np.array([self.items.setdefault(name, len(self.items)) for name in what], np.int32)
        for name, values in arrays.items():
            self.parts.setdefault(name, []).append(values)

    def joined(self) -> dict[str, npt.NDArray[Any]]:
        return {name: np.concatenate(arrays) for name, arrays in self.parts.items()}

    def thinned(self, gathering: Gathering) -> None:
        """Lets go of people whom ``gathering`` let go, so that both are bounded."""
        joined = self.joined()
        stays = np.array([gathering.holds(name) for name in self.persons])[joined["person"]]
        self.parts = {name: [array[stays]] for name, array in joined.items()}


def campaigns(files: Files) -> tuple[tuple[str, str], ...]:
    """Returns the campaigns in a place: the names of each one's log and item context."""
    found = []
    for context in files.find(CONTEXT):
        folder = context.rpartition("/")[0]
        beside = [
            name
            for name in files.find("*.csv")
            if name.rpartition("/")[0] == folder and name not in files.find(CONTEXT)
        ]
        if files.only:
            beside = [files.only] if files.only in beside else []
        found += [(name, context) for name in beside]
    return tuple(found)


def one_campaign(files: Files) -> tuple[str, str]:
    """Returns the names of the log and the item context of the one campaign in a place.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If there are several.
    """
    found = campaigns(files)
    if not found:
        raise FileNotFoundError(
            f"{files.place} holds no CAMPAIGN.csv with {CONTEXT} beside it; expected both (found: {files.listed()})"
        )
    if len(found) > 1:
        names = ", ".join(name for name, _ in found)
        raise ValueError(f"{files.place} holds {len(found)} logs: {names}; give the folder of one of them as the path")
    return found[0]


def read_openbandit(files: Files, *, max_ratings: int = MAX_RATINGS) -> Interactions:
    """Reads one campaign; its ``exposures`` hold every position shown, with its propensity.

    Items have ``item_feature_0`` (a number) and the others as letters; people have their four features as letters.

    Args:
        files: Where it lies.
        max_ratings: How many exposures are held at most.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If there are several campaigns or a file is malformed; the message names the cure.
    """
    name, context = one_campaign(files)
    items = _items(TableReader(files, context, wanted=("item_id",)))
    reader = TableReader(files, name, wanted=LOG)
    gathering, log = Gathering(reader.source, max_ratings), _Log()
    features: dict[str, tuple[str, ...]] = {}
    for block in reader.blocks(LOG):
        block = with_person(block, features)
        clicks, times = _clicks(block), block.times("timestamp")
        gathering.add(block, "person", "item_id", clicks, times)
        log.add(
            block.columns["person"],
            block.columns["item_id"],
            click=clicks > 0,
            time=times,
            position=block.within("position", 1, 1e6).astype(np.int32),
            propensity=_propensities(block),
        )
        if sum(map(len, log.parts["click"])) > max_ratings:
            log.thinned(gathering)
    record = gathering.finished("open-bandit", feedback=Feedback.CLICKS, items=items)
    return replace(
        record,
        persons=_persons([features[name] for name in record.ratings.person_ids]),
        exposures=_exposures(record, log),
    )


def with_person(block: Table, features: dict[str, tuple[str, ...]]) -> Table:
    """Returns a block with a column ``person``: their features, a few digits of each. Notes new people's features."""
    rows = list(zip(*(block.columns[name] for name in _USER), strict=True))
    who = ["-".join(value[:_SHOWN] for value in row) for row in rows]
    for name, row in zip(who, rows, strict=True):
        features.setdefault(name, row)
    return replace(block, columns={**block.columns, "person": who})


def _clicks(block: Table) -> npt.NDArray[np.float64]:
    clicks = block.within("click", 0, 1)
    halves = np.flatnonzero((clicks != 0) & (clicks != 1))
    if len(halves):
        row = int(halves[0])
        raise ValueError(f"{block.at(row)}: click is {block.columns['click'][row]}, expected 0 or 1; correct it")
    return clicks


def _propensities(block: Table) -> npt.NDArray[np.float64]:
    chances = block.within("propensity_score", 0, 1)
    nothing = np.flatnonzero(chances == 0)
    if len(nothing):
        raise ValueError(
            f"{block.at(int(nothing[0]))}: propensity_score is 0, but what was shown had a chance above 0; "
            "correct it or remove the line"
        )
    return chances


def _items(reader: TableReader) -> Rows:
    reader.require(["item_id"])
    features = [name for name in reader.header if name.startswith("item_feature")]
    table = next(reader.blocks(["item_id", *features], rows=None))
    table.check_unique("item_id")
    attributes = {}
    for name in features:
        try:
            attributes[name] = Attribute.floats(name, table.floats(name))
        except ValueError:
            attributes[name] = Attribute.token(name, letters(table.columns[name]))
    return Rows(reader.source, tuple(table.filled("item_id")), attributes)


def _persons(rows: Sequence[tuple[str, ...]]) -> dict[str, Attribute]:
    columns = zip(*rows, strict=True)
    return {name: Attribute.token(name, letters(cells)) for name, cells in zip(_USER, columns, strict=True)}


def _exposures(record: Interactions, log: _Log) -> Exposures:
    numbers = {name: number for number, name in enumerate(record.ratings.person_ids)}
    places = {name: place for place, name in enumerate(record.item_ids)}
    parts = log.joined()
    person = np.array([numbers.get(name, -1) for name in log.persons], np.int32)[parts["person"]]
    item = np.array([places[name] for name in log.items], np.int32)[parts["item"]]
    order = np.argsort(parts["time"], kind="stable")
    order = order[person[order] >= 0]
    named = {name: parts[name][order] for name in ("position", "click", "propensity")}
    return Exposures(person=person[order], item=item[order], timestamp=parts["time"][order], **named)


def letters(cells: Sequence[str]) -> list[str]:
    """Returns a letter for every value, A for the most frequent; after Z follow AA, AB, …; "" stays."""
    counts = Counter(cell for cell in cells if cell)
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    names = {value: _letter(place) for place, value in enumerate(ranked)}
    return [names.get(cell, "") for cell in cells]


def _letter(place: int) -> str:
    head = _letter(place // 26 - 1) if place >= 26 else ""
    return head + chr(ord("A") + place % 26)

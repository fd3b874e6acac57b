"""A catalogue and the tastes fitted to it in one file, so that a world need not read and fit the data again."""

from __future__ import annotations

import json
from dataclasses import asdict
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.catalogue import Catalogue, Column, Kind
from instructrec.envs.fit_tastes import FittedTastes
from instructrec.envs.held_out import Setting
from instructrec.envs.movielens import Ratings
from instructrec.runs import RunError, read_arrays, write_arrays

_VERSION = 1


def write_kept(path: str | PathLike[str], catalogue: Catalogue, fitted: FittedTastes) -> None:
    """Writes both to a safetensors file, whole or not at all; the same content always gives the same bytes."""
    document = {
        "version": _VERSION,
        "columns": [[column.name, str(column.kind), column.values] for column in catalogue.columns.values()],
        "titles": catalogue.titles,
        "texts": catalogue.texts,
        "item_ids": catalogue.item_ids,
        "person_ids": fitted.person_ids,
        "mean": fitted.mean,
        "setting": asdict(fitted.setting),
        "figures": fitted.figures,
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "document": np.frombuffer(json.dumps(document, sort_keys=True).encode(), np.uint8),
        "masks": np.stack([column.masks for column in catalogue.columns.values()]),
        "numbers": np.stack([column.numbers for column in catalogue.columns.values()]),
        "popularity": catalogue.popularity,
        "person_bias": fitted.person_bias,
        "quality": fitted.quality,
        "person_factors": fitted.person_factors,
        "item_factors": fitted.item_factors,
        "past_person": fitted.past.person,
        "past_item": fitted.past.item,
        "past_rating": fitted.past.rating,
        "past_timestamp": fitted.past.timestamp,
    }
    write_arrays(path, arrays)


def read_kept(path: str | PathLike[str]) -> tuple[Catalogue, FittedTastes]:
    """Reads what `write_kept` wrote.

    Raises:
        RunError: If the file is missing, damaged, or of another version.
    """
    arrays = read_arrays(path)
    try:
        document: dict[str, Any] = json.loads(arrays["document"].tobytes())
        if document["version"] != _VERSION:
            raise RunError(f"{path} is of version {document['version']}, expected {_VERSION}; make it again")
        columns = {
            name: Column(name, Kind(kind), tuple(values), masks, numbers)
            for (name, kind, values), masks, numbers in zip(
                document["columns"], arrays["masks"], arrays["numbers"], strict=True
            )
        }
        catalogue = Catalogue(
            columns,
            tuple(document["titles"]),
            tuple(document["texts"]),
            tuple(document["item_ids"]),
            arrays["popularity"],
        )
        person_ids = tuple(document["person_ids"])
        fitted = FittedTastes(
            person_ids=person_ids,
            item_ids=catalogue.item_ids,
            mean=document["mean"],
            person_bias=arrays["person_bias"],
            quality=arrays["quality"],
            person_factors=arrays["person_factors"],
            item_factors=arrays["item_factors"],
            past=Ratings(
                arrays["past_person"], arrays["past_item"], arrays["past_rating"], arrays["past_timestamp"], person_ids
            ),
            setting=Setting(**document["setting"]),
            figures=document["figures"],
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise RunError(f"{path} does not hold a catalogue and tastes ({problem!r}); make it again") from None
    return catalogue, fitted

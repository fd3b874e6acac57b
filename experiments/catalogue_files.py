"""A run's own copy of its catalogue, so that a trained agent answers without the world it was trained in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from instructrec import runs
from instructrec.catalogue import Catalogue, Column, Kind
from instructrec.runs import RunError

WORDS, NUMBERS = "catalogue.json", "catalogue.safetensors"


def write_catalogue(run: str | os.PathLike[str], catalogue: Catalogue) -> None:
    """Writes a catalogue into a run folder: words as JSON, numbers as safetensors."""
    columns = list(catalogue.columns.values())
    words = {
        "columns": [{"name": c.name, "kind": c.kind, "values": c.values} for c in columns],
        "titles": catalogue.titles,
        "texts": catalogue.texts,
        "item_ids": catalogue.item_ids,
        "labels": [[*of, label] for of, label in catalogue.labels.items()],
    }
    runs.write_arrays(
        Path(run) / NUMBERS,
        {"masks": catalogue.masks, "numbers": catalogue.numbers, "popularity": catalogue.popularity},
    )
    runs.write_json(Path(run) / WORDS, words)


def read_catalogue(run: str | os.PathLike[str], fingerprint: str = "") -> Catalogue:
    """Reads a run's catalogue.

    Args:
        run: The run folder.
        fingerprint: What the catalogue's fingerprint must be; any when empty.

    Raises:
        RunError: If a file is missing or damaged, or the fingerprint is another.
    """
    words, arrays = runs.read_json(Path(run) / WORDS), runs.read_arrays(Path(run) / NUMBERS)
    try:
        columns = {
            entry["name"]: Column(
                entry["name"],
                Kind(entry["kind"]),
                tuple(entry["values"]),
                np.ascontiguousarray(arrays["masks"][:, place]),
                np.ascontiguousarray(arrays["numbers"][:, place]),
            )
            for place, entry in enumerate(words["columns"])
        }
        catalogue = Catalogue(
            columns,
            tuple(words["titles"]),
            tuple(words["texts"]),
            tuple(words["item_ids"]),
            arrays["popularity"],
            labels={(column, value): label for column, value, label in words.get("labels", ())},
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RunError(f"the catalogue in {run} is damaged: {error}; train again into another folder") from error
    if fingerprint and catalogue.fingerprint != fingerprint:
        raise RunError(
            f"the catalogue in {run} is not the one it was trained on: its fingerprint is {catalogue.fingerprint}, "
            f"{runs.CONFIG} says {fingerprint}; weights learned over one catalogue mean nothing over another"
        )
    return catalogue

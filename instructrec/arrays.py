"""Array types, and moving rows in and out of dataclasses of arrays.

A *record* is a dataclass whose fields are arrays with the batch as their leading axis, other records, or ``None``.
Session states are records, so keeping, restoring and mixing them is row selection and nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Ints: TypeAlias = npt.NDArray[np.integer[Any]]
Bools: TypeAlias = npt.NDArray[np.bool_]

Record = TypeVar("Record")
Scalar = TypeVar("Scalar", bound=np.generic)


def _fields(record: object) -> tuple[dataclasses.Field[Any], ...]:
    if not dataclasses.is_dataclass(record) or isinstance(record, type):
        raise TypeError(
            f"expected a dataclass of arrays (a record), got {type(record).__name__}; "
            "give a state as a dataclass whose fields are NumPy arrays with one row per user"
        )
    return dataclasses.fields(record)


def is_shared(array: npt.NDArray[Any]) -> bool:
    """Returns whether all rows are one and the same in memory, as `numpy.broadcast_to` makes them."""
    return array.ndim > 1 and len(array) > 0 and array.strides[0] == 0


def some_rows(array: npt.NDArray[Scalar], rows: Ints | Bools | slice) -> npt.NDArray[Scalar]:
    """Returns some of an array's rows; rows that are shared stay so."""
    if not is_shared(array):
        return array[rows]
    return np.broadcast_to(array[0], (len(np.empty(len(array))[rows]), *array.shape[1:]))


def stacked(arrays: Sequence[npt.NDArray[Scalar]]) -> npt.NDArray[Scalar]:
    """Returns all rows of several arrays; where all share the same one, so do they."""
    first = next((array[0] for array in arrays if len(array)), None)
    if first is None or not all(is_shared(array) and np.array_equal(array[0], first) for array in arrays if len(array)):
        return np.concatenate(arrays)
    return np.broadcast_to(first, (sum(len(array) for array in arrays), *first.shape))


def row_products(rows: Floats, blocks: Floats) -> Floats:
    """Returns each row's products with the vectors of its block, [batch, num_vectors]; zeros where they have no width.

    `numpy.einsum` reads, where there is nothing to sum, memory that nobody wrote, and may answer NaN.

    Args:
        rows: [batch, width].
        blocks: [batch, num_vectors, width].
    """
    products: Floats = np.matmul(blocks, rows[:, :, None])[:, :, 0]
    return products


def take(record: Record, rows: Ints | Bools | slice) -> Record:
    """Returns a copy of ``record`` that holds only ``rows``, in that order.

    Args:
        record: A dataclass of arrays, each with the batch as its leading axis.
        rows: Row numbers, a mask over the batch, or a slice.
    """
    chosen: dict[str, Any] = {}
    for field in _fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            chosen[field.name] = value[rows].copy() if isinstance(rows, slice) else value[rows]
        elif value is None:
            chosen[field.name] = None
        else:
            chosen[field.name] = take(value, rows)
    return type(record)(**chosen)


def put(record: Record, rows: Ints | Bools, values: Record) -> Record:
    """Returns a copy of ``record`` whose ``rows`` are replaced by the rows of ``values``."""
    mixed: dict[str, Any] = {}
    for field in _fields(record):
        old, new = getattr(record, field.name), getattr(values, field.name)
        if isinstance(old, np.ndarray):
            old = old.copy()
            old[rows] = new
            mixed[field.name] = old
        elif old is None:
            mixed[field.name] = None
        else:
            mixed[field.name] = put(old, rows, new)
    return type(record)(**mixed)


def arrays_of(record: object, prefix: str = "") -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yields ``(dotted name, array)`` for every array in ``record``, nested records included."""
    for field in _fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            yield prefix + field.name, value
        elif value is not None:
            yield from arrays_of(value, f"{prefix}{field.name}.")


def rows_of(record: object) -> int:
    """Returns the batch size of ``record``: the common length of its arrays' leading axes."""
    sizes = {name: len(array) for name, array in arrays_of(record)}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"the arrays of one record must have one row per user; {type(record).__name__} has {sizes}")
    return next(iter(sizes.values()))

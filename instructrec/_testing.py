"""What the checks of `instructrec.testing` are made of."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats, Ints, arrays_of, rows_of, take
from instructrec.catalogue import Catalogue
from instructrec.noise import Noise
from instructrec.protocols import KnowsUtility, Population
from instructrec.sessions import (
    Instructions,
    Observation,
    Reactions,
    Sessions,
    SessionState,
    World,
    observe,
    restart,
    start,
    step,
)
from instructrec.texts import UnknownTextError

Record = TypeVar("Record")
TOLERANCE = 1e-5


class BrokenPromiseError(AssertionError):
    """A plug-in does not keep what its protocol promises."""


AGAIN = "{} gave something else when called again with the same arguments; luck must come from the noise it is handed"


def require(kept: bool | np.bool_, broken: str) -> None:
    """Raises `BrokenPromiseError` unless ``kept``."""
    if not kept:
        raise BrokenPromiseError(broken)


def kind(value: object) -> str:
    """Returns what sort of thing came, for messages."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def arrays(thing: Any, name: str = "") -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yields every array in nested dictionaries and records, with its dotted name."""
    if isinstance(thing, np.ndarray):
        yield name or "the result", thing
    elif isinstance(thing, dict) or is_dataclass(thing):
        parts = (
            thing if isinstance(thing, dict) else {field.name: getattr(thing, field.name) for field in fields(thing)}
        )
        for part, value in parts.items():
            yield from arrays(value, f"{name}.{part}" if name else part)


def equal(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Returns whether two arrays are the same, NaN included."""
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def same(broken: str, one: Any, other: Any) -> None:
    """Requires that two nested records hold the same arrays."""
    mine, theirs = dict(arrays(one)), dict(arrays(other))
    require(mine.keys() == theirs.keys(), f"{broken} (one has {sorted(mine.keys() ^ theirs.keys())}, the other not)")
    for name, array in mine.items():
        require(equal(array, theirs[name]), f"{broken} ({name} differs)")


def near(broken: str, one: Floats, other: Floats) -> None:
    """Requires that two arrays agree to `TOLERANCE`."""
    close = one.shape == other.shape and np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    require(close, broken)


def untouched(name: str, method: Callable[..., Any], *given: Any) -> Any:
    """Calls ``method`` and sees that it leaves its arguments alone and NumPy's global generator unused."""
    before = [{part: array.copy() for part, array in arrays(thing)} for thing in given]
    np.random.seed(0)  # noqa: NPY002
    untouched: Any = np.random.get_state()  # noqa: NPY002
    result = method(*given)
    now: Any = np.random.get_state()  # noqa: NPY002
    drawn = now[2] != untouched[2] or not np.array_equal(now[1], untouched[1])
    require(not drawn, f"{name} draws from NumPy's global generator; luck must come from the noise it is handed")
    for place, (thing, copies) in enumerate(zip(given, before, strict=True), start=1):
        for part, array in arrays(thing):
            whole = f"argument {place}, an array of {kind(array)}"
            what = whole if isinstance(thing, np.ndarray) else f"argument's {part}"
            require(part not in copies or equal(array, copies[part]), f"{name} changed its {what}; copy it")
    return result


_ARGUMENTS = {"arrive": "(sessions, noise)", "react": "(state, slates, noise)"}


def asked(users: Population | KnowsUtility, method: str, *given: Any, batch: int) -> Any:
    """Returns what a population's method gives, and sees that it leaves its arguments alone, as `untouched` does.

    Raises:
        BrokenPromiseError: If it raises, changes what it was handed or draws global luck.
    """

    def call(*given: Any) -> Any:
        try:
            return getattr(users, method)(*given)
        except (Exception, SystemExit) as error:
            called = f"{type(users).__name__}.{method}, called as {method}{_ARGUMENTS.get(method, '(state)')}"
            number = "1 user" if batch == 1 else f"{batch} users"
            raise BrokenPromiseError(f"{called} for {number}, raised {type(error).__name__}: {error}") from error

    return untouched(method, call, *given)


def asked_for_two(users: Population, method: str, what: str, *given: Any, batch: int) -> tuple[Any, Any]:
    """Returns what `asked` does after seeing that it is a pair, described by ``what``."""
    found = asked(users, method, *given, batch=batch)
    got = f"{len(found)} parts" if isinstance(found, tuple) else kind(found)
    fits = isinstance(found, tuple) and len(found) == 2
    require(fits, f"{type(users).__name__}.{method} must return {what}, got {got}; is a `return` missing?")
    return found[0], found[1]


def check_rowwise(name: str, whole: dict[str, Any], alone: Callable[[Ints], dict[str, Any]], batch: int) -> None:
    """Compares a batch with its users one by one, and with the batch turned round."""
    for rows in [*np.arange(batch)[:, None], np.arange(batch)[::-1]]:
        mine = {part: array[rows] for part, array in arrays(whole)}
        broken = "depends on the others in the batch" if len(rows) == 1 else "depends on the place in the batch"
        same(f"{name}: what a user does {broken}", mine, dict(arrays(alone(rows))))


def check_record(state: Any, batch: int, what: str) -> None:
    """Requires a record of ``batch`` rows that can be saved."""
    try:
        rows = rows_of(state)
    except (TypeError, ValueError) as error:
        raise BrokenPromiseError(f"{what} is no record: {error}") from error
    except StopIteration:
        raise BrokenPromiseError(f"{what} holds no array; it needs at least one, with a row per user") from None
    require(rows == batch, f"{what} has {rows} rows for {batch} users")
    objects = [name for name, array in arrays_of(state) if array.dtype.hasobject]
    require(not objects, f"{what} holds Python objects in {objects}; arrays of numbers can be saved, objects cannot")


def loaded(state: Record) -> Record:
    """Returns ``state`` after a journey through a file."""
    file = io.BytesIO()
    arrays: dict[str, Any] = dict(arrays_of(state))
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as saved:
        return rebuilt(state, {name: saved[name] for name in saved.files}, "")


def rebuilt(record: Record, arrays: dict[str, npt.NDArray[Any]], prefix: str) -> Record:
    """Returns a record like ``record`` with other arrays."""
    parts: dict[str, Any] = {}
    for field in fields(record):  # type: ignore[arg-type]
        value = getattr(record, field.name)
        name = prefix + field.name
        parts[field.name] = (
            None if value is None else arrays[name] if name in arrays else rebuilt(value, arrays, f"{name}.")
        )
    return type(record)(**parts)


def check_fingerprint(one: object, again: object) -> None:
    """Requires a string that stays the same."""
    require(isinstance(one, str) and bool(one), f"fingerprint must be a string that is not empty, got {one!r}")
    require(one == again, f"the fingerprint must depend on behaviour alone; it was {one!r}, then {again!r}")


def check_repr(plugin: object) -> None:
    """Requires a ``repr`` that names settings, not an address."""
    place = re.search(r" at 0x[0-9a-fA-F]+", repr(plugin))
    require(
        place is None,
        f"repr gives {plugin!r}: it enters the world's fingerprint, so it must name the settings (a dataclass does)",
    )


def check_said(said: Any, users: Population, catalogue: Catalogue, batch: int, name: str) -> None:
    """Requires well-formed instructions, whose texts are known."""
    require(isinstance(said, Instructions), f"{name} must return Instructions, got {type(said).__name__}")
    texts = said.texts
    require(
        isinstance(texts, np.ndarray) and texts.dtype == np.int64 and texts.shape == (batch,),
        f"the texts that {name} returns must be ids, int64 [batch] with {batch} rows, got {kind(texts)}",
    )
    try:
        users.texts.strings(texts)
    except UnknownTextError as error:
        raise BrokenPromiseError(f"{name} returned the id of a text that its own `texts` does not know") from error
    require(not batch or texts.min() >= 0, f"{name} returned the text id {texts.min()}; silence is 0, none is negative")
    if said.goals is not None:
        require(rows_of(said.goals) == batch, f"the goals that {name} returns need a row for each of {batch} users")
        require(
            bool((said.goals.weight >= 0).all()), f"the goals that {name} returns hold a weight that is negative or NaN"
        )
        columns = len(catalogue.columns)
        inside = (said.goals.column >= 0) & (said.goals.column < columns)
        require(bool(inside.all()), f"the goals that {name} returns name a column that is not one of {columns}")


def check_past(users: Population, state: Any, catalogue: Catalogue, batch: int) -> None:
    """Requires a well-formed past."""
    past, ratings = asked_for_two(users, "past", "items and their ratings", state, batch=batch)
    require(
        isinstance(past, np.ndarray)
        and isinstance(ratings, np.ndarray)
        and past.ndim == 2
        and len(past) == batch
        and past.dtype == np.int32
        and ratings.shape == past.shape,
        f"past must return items int32 [batch, past_length] and as many ratings, got {kind(past)}, {kind(ratings)}",
    )
    inside = (past >= -1) & (past < catalogue.num_items)
    require(bool(inside.all()), f"past names an item that is none of {catalogue.num_items}, nor -1 for padding")
    require(bool(np.isfinite(ratings).all()), "past holds a rating that is not finite")
    require(bool((ratings[past < 0] == 0).all()), "past holds a rating other than 0 where the item is padding")


def check_reactions(reactions: Any, slate_size: int, batch: int) -> None:
    """Requires well-formed reactions."""
    require(isinstance(reactions, Reactions), f"react must return Reactions, got {type(reactions).__name__}")
    shape = (batch, slate_size)
    shapes = {"clicked": shape, "consumed": shape, "left": (batch,), "examined": shape, "unsuitable": shape}
    for name, expected in shapes.items():
        value = getattr(reactions, name)
        if name in ("examined", "unsuitable") and value is None:
            continue
        fits = isinstance(value, np.ndarray) and value.dtype == np.bool_ and value.shape == expected
        require(fits, f"{name} must be booleans of shape {expected}, got {kind(value)}")
    require(not (reactions.consumed & ~reactions.clicked).any(), "something was consumed that was not clicked")
    if reactions.examined is not None:
        require(not (reactions.clicked & ~reactions.examined).any(), "something was clicked that was not examined")
    amount = reactions.engagement
    if amount is not None:
        check_matrix("engagement", amount, shape, "[batch, slate_size]")
        require(bool((amount >= 0).all() and np.isfinite(amount).all()), "engagement must be 0 or more and finite")
        require(not amount[~reactions.clicked].any(), "something engaged that was not clicked")
    away = reactions.days_away
    if away is not None:
        fits = isinstance(away, np.ndarray) and away.shape == (batch,) and away.dtype.kind == "f"
        require(fits, f"days_away must be floats of shape {(batch,)}, got {kind(away)}")
        require(bool((away >= 0).all() and np.isfinite(away).all()), "days_away must be 0 or more and finite")
    for name in ("satisfaction", "trust"):
        value = getattr(reactions, name)
        if value is not None:
            fits = isinstance(value, np.ndarray) and value.shape == (batch,)
            inside = fits and bool(((value >= 0) & (value <= 1)).all())
            got = f"{kind(value)} with {value.min()}" if fits else kind(value)
            require(inside, f"{name} must be one number from 0 to 1 per user, got {got}")


def check_utility(users: KnowsUtility, state: Any, catalogue: Catalogue, batch: int) -> None:
    """Requires probabilities per item, user by user."""
    utility = asked(users, "expected_utility", state, batch=batch)
    check_matrix("expected_utility", utility, (batch, catalogue.num_items), "[batch, num_items]")
    inside = ((utility >= 0) & (utility <= 1)).all()
    require(inside, "expected_utility must give probabilities, from 0 to 1")
    alone = [users.expected_utility(take(state, np.array([row]))) for row in range(batch)]
    near("expected_utility of one user depends on the others in the batch", utility, np.concatenate(alone))


def check_matrix(name: str, value: Any, shape: tuple[int, ...], words: str) -> None:
    """Requires floats of a shape, without NaN."""
    fits = isinstance(value, np.ndarray) and value.shape == shape and value.dtype.kind == "f"
    require(fits, f"{name} must return floats {words} = {shape}, got {kind(value)}")
    require(not np.isnan(value).any(), f"{name} gave NaN")


def check_slates(slates: Any, observation: Observation, world: World, batch: int) -> None:
    """Requires slates of distinct candidates."""
    expected = (batch, world.slate_size)
    fits = isinstance(slates, np.ndarray) and slates.shape == expected and slates.dtype.kind in "iu"
    require(fits, f"act must return item numbers, integers of shape {expected}, got {kind(slates)}")
    items = np.arange(world.catalogue.num_items)[None] if observation.candidates is None else observation.candidates
    for row, slate in enumerate(slates.tolist()):
        require(len(set(slate)) == len(slate), f"act repeats an item in slate {slate}; a slate holds distinct items")
        require(
            set(slate) <= set(items[row % len(items)].tolist()), f"act shows an item in {slate} that is no candidate"
        )


def random_slates(catalogue: Catalogue, slate_size: int, batch: int, turns: int, seed: int) -> Iterator[Ints]:
    """Yields slates for a batch of users, turn by turn."""
    rng = np.random.default_rng(seed)
    for _ in range(turns):
        yield np.stack([rng.permutation(catalogue.num_items)[:slate_size] for _ in range(batch)])


def moments(world: World, batch: int, seed: int) -> Iterator[tuple[SessionState, Observation, Noise]]:
    """Yields some moments of a batch of sessions in which random slates are shown."""
    state = start(world, Sessions.first(seed, batch))
    for slates in random_slates(world.catalogue, world.slate_size, batch, 4, seed):
        yield state, observe(world, state), Noise(state.sessions.keys, state.turn)
        state, outcome = step(world, state, slates)
        if outcome.done.any():
            state = restart(world, state, np.flatnonzero(outcome.done))


def luck_of(noise: Noise, row: int) -> Noise:
    """Returns one user's noise."""
    return Noise(noise.keys[row : row + 1], noise.turn[row : row + 1])


def repeated(one: Observation, count: int) -> Observation:
    """Returns a batch that sees the same, ``count`` times."""
    return one.rows(np.zeros(count, np.int64))

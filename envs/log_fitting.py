"""Fitting users to a log of clicks, and measuring how well they fit people they were not fitted on.

People are split by the hash of their name. On the training people the weights are fitted; on the validation people an
intercept and a slope put the log-odds of attraction right; on the test people the figures of `FittedUsers.report` are
measured. Nothing of the log tells what it never varied: what the recommender of the log showed to whom for reasons that
are in no column here, the weights will take for taste.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from instructrec.arrays import Floats
from instructrec.catalogue import Catalogue
from instructrec.envs.click_logs import ClickLog, read_log
from instructrec.envs.click_models import (
    EXAMINATIONS,
    Bools,
    Doubles,
    calibration,
    fit_clicks,
    log_likelihood,
    logistic,
    recalibrated,
    seen,
)
from instructrec.envs.fitted_users import PAST_LENGTH, FittedUsers, Visits
from instructrec.envs.item_likeness import Attributes, Overlap
from instructrec.names import unknown_name
from instructrec.splits import Split, split_of

NEVER_AGAIN = -4.0
"""The weight of *clicked before* where a log shows too few such items to fit it: assumed."""
_FEWEST_REPEATS = 30
# No column of a catalogue is called so.
_WORDS, _AGAIN = "(words)", "(clicked before)"


def fit_log(
    log: str | os.PathLike[str] | ClickLog,
    catalogue: Catalogue,
    *,
    examination: str = "best",
    penalty: float = 1.0,
    session_limit: int | None = None,
) -> FittedUsers:
    """Fits users to a log of clicks.

    Args:
        log: A table as `instructrec.envs.click_logs` describes it, or one that was read.
        catalogue: Whose items were shown.
        examination: ``position``, ``cascade``, or ``best``: whichever makes the validation people's clicks likelier.
        penalty: Half of it times the sum of squared weights is taken from the log-likelihood, 0 or more.
        session_limit: After how many slates the system that made the log ended sessions; those were not left.

    Raises:
        ValueError: If a setting is out of range, the log is broken, or one of the three splits is without a click.
    """
    if examination not in (*EXAMINATIONS, "best"):
        raise ValueError(unknown_name("examination", str(examination), (*EXAMINATIONS, "best")))
    if isinstance(penalty, bool) or not isinstance(penalty, int | float) or not 0 <= penalty < np.inf:
        raise ValueError(f"penalty must be 0 or more, and finite; got {penalty!r}")
    if session_limit is not None and (isinstance(session_limit, bool) or session_limit < 1):
        raise ValueError(
            f"session_limit must be at least 1 slate, or None where sessions had none; got {session_limit}"
        )
    recorded = log if isinstance(log, ClickLog) else read_log(log, catalogue)
    parts = _parts(recorded)
    visits = _visits(recorded, catalogue)
    attributes = Attributes.of(catalogue)
    names, rows, offset = _row_features(recorded, catalogue, visits, attributes)
    features, shown = attributes.matrix(catalogue), recorded.items >= 0
    kinds = EXAMINATIONS if examination == "best" else (examination,)
    train, validation, test = (parts[split] for split in Split)
    found: list[tuple[float, str, Any, Doubles, Doubles, tuple[float, float]]] = []
    for kind in kinds:
        fit = fit_clicks(
            kind, recorded.items[train], recorded.clicked[train], features, rows[train], offset[train], float(penalty)
        )
        logits = (fit.item_weights[0] + features @ fit.item_weights[1:])[np.maximum(recorded.items, 0)]
        logits = logits + rows @ fit.row_weights + offset
        line = recalibrated(kind, fit.examination, logits[validation], recorded.clicked[validation], shown[validation])
        raw = seen(kind, fit.examination, logits, recorded.clicked, shown).likely
        right = seen(kind, fit.examination, line[0] + line[1] * logits, recorded.clicked, shown).likely
        worth = float(log_likelihood(right, recorded.clicked)[validation][shown[validation]].mean())
        found.append((worth, kind, fit, raw, right, line))
    _, kind, fit, raw, right, (intercept, slope) = max(found, key=lambda one: one[0])
    leaving, of_leaving = _leaving(recorded, train, test, session_limit)
    fitted = dict(zip(names, (slope * fit.row_weights).tolist(), strict=True))
    looks = expit(fit.examination)
    return FittedUsers(
        attributes=attributes,
        examination=kind,
        looks=np.append(1.0, looks) if kind == "position" else looks,
        bias=float(intercept + slope * fit.item_weights[0]),
        weights=slope * fit.item_weights[1:],
        affinity=np.array([fitted.get(name, 0.0) for name in attributes.tastes]),
        match=fitted.get(_WORDS, 0.0),
        again=fitted.get(_AGAIN, slope * NEVER_AGAIN),
        leaving=leaving,
        visits=visits,
        figures={
            "people": {str(split): len(np.unique(recorded.person[recorded.session[parts[split]]])) for split in Split},
            "sessions": len(recorded.person),
            "slates": len(recorded.items),
            "items": int(shown.sum()),
            "clicks": int(recorded.clicked.sum()),
            "converged": bool(fit.converged),
            "assumed": _AGAIN not in fitted,
            "held_out": _held_out(recorded, catalogue, train, test, raw, right) | of_leaving,
        },
    )


def _parts(log: ClickLog) -> dict[Split, npt.NDArray[np.int64]]:
    """Returns the slates of each split's people."""
    splits = np.array([split_of("users", name) for name in log.persons])
    parts = {split: log.of(splits == split) for split in Split}
    for split, rows in parts.items():
        if not log.clicked[rows].any():
            raise ValueError(
                f"of the {len(log.persons)} people in the log, the {int((splits == split).sum())} of the {split} split "
                "clicked nothing; a log needs people who click in each of the three splits, some dozens at least"
            )
    return parts


def _visits(log: ClickLog, catalogue: Catalogue) -> Visits:
    past = log.past(PAST_LENGTH)
    used, places = np.unique(past[past >= 0], return_inverse=True)
    numbers = np.full(past.shape, -1, np.int32)
    numbers[past >= 0] = places
    item_ids = tuple(catalogue.item_ids[item] for item in used)
    return Visits(numbers, log.starts, log.said, log.person, item_ids, log.texts, log.persons)


def _row_features(
    log: ClickLog, catalogue: Catalogue, visits: Visits, attributes: Attributes
) -> tuple[list[str], Doubles, Doubles]:
    """Returns the names of what the log tells of item and person together, its values, and what is added as assumed."""
    place, found = np.maximum(log.items, 0), dict[str, Doubles]()
    if (visits.past >= 0).any():
        directions, taste = attributes.directions(catalogue), attributes.taste
        profiles = attributes.profiles(directions, visits.past_in(catalogue))
        for number, name in enumerate(attributes.tastes):
            items, persons = directions[:, taste == number], profiles[:, taste == number]
            found[name] = _in_parts(
                lambda rows, i=items, p=persons: (i[place[rows]] * p[log.session[rows], None]).sum(axis=-1), log
            )
    if len(log.texts) > 1:
        overlap = Overlap.of(catalogue, log.texts)
        found[_WORDS] = _in_parts(lambda rows: overlap.share(place[rows], log.said[rows]), log)
    again, offset = log.clicked_before(), np.zeros(log.items.shape)
    if again.sum() >= _FEWEST_REPEATS:
        found[_AGAIN] = again.astype(np.float64)
    else:
        offset += NEVER_AGAIN * again
    values = np.stack(list(found.values()), axis=-1) if found else np.zeros((*log.items.shape, 0))
    return list(found), values, offset


def _in_parts(feature: Callable[..., Floats], log: ClickLog, size: int = 4096) -> Doubles:
    """Returns a feature of every shown item, worked out some slates at a time."""
    rows = [np.arange(start, min(start + size, len(log.items))) for start in range(0, len(log.items), size)]
    return np.concatenate([feature(part) for part in rows]).astype(np.float64)


def _held_out(
    log: ClickLog,
    catalogue: Catalogue,
    train: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
    raw: Doubles,
    right: Doubles,
) -> dict[str, Any]:
    """Returns the test people's log-likelihoods by the users and by what they must beat, and the calibration."""
    shown, clicked = log.items >= 0, log.clicked
    popular = np.log1p(catalogue.popularity.astype(np.float64))
    popular = ((popular - popular.mean()) / max(float(popular.std()), 1e-9))[np.maximum(log.items, 0)]
    some = shown[train]
    bias, weight = logistic(popular[train][some][:, None], clicked[train][some], 1.0)
    rivals = {
        "rate": np.full(shown.shape, clicked[train][some].mean()),
        "position": np.broadcast_to((clicked[train].sum(0) + 0.5) / (some.sum(0) + 1), shown.shape),
        "popularity": expit(bias + weight * popular),
    }
    found: dict[str, Any] = {}
    here = shown[test]
    worth = {name: log_likelihood(likely, clicked)[test] for name, likely in {"users": right, **rivals}.items()}
    found |= {name: float(values[here].mean()) for name, values in worth.items()}
    person = np.broadcast_to(log.person[log.session[test]][:, None], here.shape)[here]
    found["better_than"] = {name: _better(worth["users"][here] - worth[name][here], person) for name in rivals}
    found["intercept"], found["slope"] = calibration(right[test][here], clicked[test][here])
    found["intercept_before"], found["slope_before"] = calibration(raw[test][here], clicked[test][here])
    return found


def _better(difference: Doubles, person: npt.NDArray[np.int32]) -> tuple[float, float]:
    """Returns the mean difference of a shown item, and half the width of its 95 % interval over people."""
    totals, counts = np.bincount(person, difference), np.bincount(person)
    mean = float(difference.mean())
    spread = np.sqrt((((totals - mean * counts)[counts > 0]) ** 2).sum()) / len(difference)
    return mean, float(1.96 * spread)


def _leaving(
    log: ClickLog, train: npt.NDArray[np.int64], test: npt.NDArray[np.int64], limit: int | None
) -> tuple[Doubles, dict[str, float]]:
    """Returns the weights of leaving, and how well they hold for the test people."""
    design: Doubles = np.stack([log.turn.astype(np.float64), log.clicked.any(axis=1).astype(np.float64)], axis=1)
    chosen = np.ones(len(design), np.bool_) if limit is None else log.turn + 1 < limit
    train, test = train[chosen[train]], test[chosen[test]]
    last: Bools = log.last
    if not len(train) or not len(test):
        return np.array([-20.0, 0.0, 0.0]), {"leaving": 0.0, "leaving_rate": 0.0, "leaving_slope": float("nan")}
    weights = logistic(design[train], last[train], 1.0)
    likely: Doubles = expit(weights[0] + design[test] @ weights[1:])
    rate = np.full(len(test), last[train].mean())
    return weights, {
        "leaving": float(log_likelihood(likely, last[test]).mean()),
        "leaving_rate": float(log_likelihood(rate, last[test]).mean()),
        "leaving_slope": calibration(likely, last[test])[1],
    }

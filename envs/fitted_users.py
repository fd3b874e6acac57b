"""Users whose behaviour was learned from a log of clicks: what attracts them, where they look, when they leave.

The log-odds that an item attracts a person are

    bias + weights · (attributes, popularity) + affinity · likeness + match · overlap + again · (clicked before),

where the *likeness*, one number per attribute, is that of the item to what the person clicked in earlier visits, the
*overlap* is the share of the instruction's words that stand in the item's text, rare words counting more, and *clicked
before* says that the person clicked the item earlier in the visit. Who looks where is `instructrec.envs.click_models`.
After every slate a user leaves with a probability whose log-odds are ``bias + turn · (slates before) + click · (clicked
anything)``. `instructrec.envs.log_fitting` fits all of it.
"""

from __future__ import annotations

import io
import json
import os
import textwrap
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.catalogue import Catalogue
from instructrec.envs.click_models import Doubles
from instructrec.envs.item_likeness import Attributes
from instructrec.runs import plain, write_bytes

PAST_LENGTH = 20
"""How many of a person's latest clicks make the profile."""
_FORMAT = "instructrec fitted users 1"


@dataclass(frozen=True)
class Visits:
    """Who may come: every session of the log, without its clicks.

    Attributes:
        past: What the person clicked in earlier sessions, oldest first: places in ``item_ids``, padded with -1, int32
            [num_sessions, PAST_LENGTH].
        starts: The first turn of each session in ``said``, and the number of turns, int64 [num_sessions + 1].
        said: What was said at every turn, a place in ``texts``, int32 [num_turns].
        person: Whose each session is, a place in ``persons``, int32 [num_sessions].
        item_ids: The items in ``past``.
        texts: What was said, the empty text first.
        persons: The people's names.
    """

    past: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    said: npt.NDArray[np.int32]
    person: npt.NDArray[np.int32]
    item_ids: tuple[str, ...]
    texts: tuple[str, ...]
    persons: tuple[str, ...]

    def past_in(self, catalogue: Catalogue) -> npt.NDArray[np.int32]:
        """Returns ``past`` as item numbers of a catalogue, those it lacks left out, padded with -1 at the end."""
        places = {name: place for place, name in enumerate(catalogue.item_ids)}
        number = np.array([places.get(name, -1) for name in self.item_ids] + [-1], np.int32)
        past = number[self.past]
        return np.take_along_axis(past, np.argsort(past < 0, axis=1, kind="stable"), axis=1)


@dataclass(frozen=True, kw_only=True)
class FittedUsers:
    """Users whose behaviour was learned from a log; made by `instructrec.envs.log_fitting.fit_log`.

    A saved file holds the people's names, clicks and words: treat it like the log.

    Attributes:
        attributes: Which features of items there are.
        examination: ``position`` or ``cascade``.
        looks: How likely each place is looked at, from the first; or how likely people go on after a skip and a click.
        bias: Log-odds that an average item attracts.
        weights: A weight per attribute, [num_attributes].
        affinity: The weight of the likeness in each of ``attributes.tastes``, [num_tastes].
        match: The weight of the instruction's words.
        again: The weight of having clicked the item earlier in the visit.
        leaving: Bias, weight per slate before, weight of a click.
        visits: Who may come, and what they say.
        figures: What `report` tells: counts, held-out log-likelihoods, calibration.
    """

    attributes: Attributes
    examination: str
    looks: Doubles
    bias: float
    weights: Doubles
    affinity: Doubles
    match: float
    again: float
    leaving: Doubles
    visits: Visits = field(repr=False)
    figures: Mapping[str, Any] = field(repr=False)

    def looks_at(self, slate_size: int) -> Doubles:
        """Returns how likely each of ``slate_size`` places is looked at, for users who look by position.

        Below the lowest place of the log it falls by the same factor per place as it did on average in the log.
        """
        known = len(self.looks)
        falls = min(1.0, float(self.looks[-1] / self.looks[0]) ** (1 / max(known - 1, 1)))
        below = self.looks[-1] * falls ** np.arange(1, max(slate_size - known, 0) + 1)
        return np.concatenate([self.looks, below])[:slate_size]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one ``.npz`` file of arrays and a JSON text, whole or not at all; nothing in it is executed.

        Raises:
            ValueError: If the name does not end in .npz.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"fitted users are saved as .npz, got {path.name!r}")
        arrays: dict[str, npt.NDArray[Any]] = {}
        header: dict[str, Any] = {"format": _FORMAT}
        for prefix, record in (("", self), ("visits.", self.visits), ("attributes.", self.attributes)):
            for part in fields(record):
                value = getattr(record, part.name)
                if isinstance(value, np.ndarray):
                    arrays[prefix + part.name] = value
                elif part.name not in ("visits", "attributes"):
                    header[prefix + part.name] = plain(value)
        arrays["header"] = np.frombuffer(
            json.dumps(header, ensure_ascii=False).encode(errors="surrogatepass"), np.uint8
        )
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)  # type: ignore[arg-type]  # Its one keyword of another type is no name here.
        write_bytes(path, content.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FittedUsers:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is something else, or damaged.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; FittedUsers.save writes it")
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as content:
                parts: dict[str, Any] = {name: content[name] for name in content.files}
            header = json.loads(parts.pop("header").tobytes().decode(errors="surrogatepass"))
            if header.pop("format") != _FORMAT:
                raise ValueError("of another format")
            parts |= {name: tuple(value) if isinstance(value, list) else value for name, value in header.items()}
            for name, kind in (("visits", Visits), ("attributes", Attributes)):
                parts[name] = kind(**{part.name: parts.pop(f"{name}.{part.name}") for part in fields(kind)})
            return cls(**parts)
        except (OSError, LookupError, TypeError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as problem:
            raise ValueError(f"{path} holds no fitted users ({problem}); write it with FittedUsers.save") from None

    def report(self) -> str:
        """Returns how well the users fit people they were not fitted on, at most 80 columns wide."""
        known, held = self.figures, self.figures["held_out"]
        people, places = known["people"], " ".join(f"{look:.2f}" for look in self.looks[:10])
        if self.examination == "position":
            looks = f"Looked at, by position from the top: {places}{' …' if len(self.looks) > 10 else ''}"
        else:
            looks = f"Looks from the top down; goes on after a skip {places.replace(' ', ', after a click ')}"
        lines = [
            f"Fitted on {people['train']:,} people, calibrated on {people['validation']:,}; figures of "
            f"{people['test']:,} others.",
            f"{known['sessions']:,} sessions, {known['slates']:,} slates, {known['items']:,} shown items, "
            f"{known['clicks']:,} clicks in all.",
            looks,
            "",
            f"{'Log-likelihood of a shown item (nats)':<42}{'held out':>9}   users better by",
        ]
        lines.append(f"{'  fitted users':<42}{held['users']:>9.4f}")
        for name, words in (
            ("position", "position alone"),
            ("popularity", "popularity alone"),
            ("rate", "constant rate"),
        ):
            better, margin = held["better_than"][name]
            lines.append(f"{'  ' + words:<42}{held[name]:>9.4f}   {better:+.4f} ± {margin:.4f}")
        lines.append("(± spans the 95 % interval over people.)")
        better, margin = held["better_than"]["rate"]
        if better <= margin:
            lines.append(
                "It cannot be told that these users foretell people they never met better than a constant rate does: "
                "bring a log of more people before anything is concluded from them."
            )
        lines += [
            "",
            f"Calibration of clicks: slope {held['slope']:.2f}, intercept {held['intercept']:+.2f}; before calibrating "
            f"{held['slope_before']:.2f}, {held['intercept_before']:+.2f}.",
            f"Leaving: log-likelihood of a turn {held['leaving']:.4f}, constant rate {held['leaving_rate']:.4f}; "
            f"slope {held['leaving_slope']:.2f}.",
            "",
            f"Log-odds: the instruction's words {self.match:+.2f}, clicked before in the visit {self.again:+.2f}"
            f"{' (assumed)' if known['assumed'] else ''}.",
            "Strongest attributes: " + _strongest(self.attributes.named, self.weights),
            "Likeness to what was clicked before: " + _strongest(self.attributes.tastes, self.affinity),
        ]
        return "\n".join("\n".join(textwrap.wrap(line, 80)) if len(line) > 80 else line for line in lines)


def _strongest(names: tuple[str, ...], weights: Doubles) -> str:
    order = np.argsort(-abs(weights), kind="stable")[:5]
    return (", ".join(f"{names[place]} {weights[place]:+.2f}" for place in order) or "none") + "."

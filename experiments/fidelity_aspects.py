"""What a world is compared in: aspects, how each is measured, and what one comparison finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from instructrec.experiments.distances import Distance, Units, noise_floor
from instructrec.experiments.evaluation import Episodes
from instructrec.sessions import World

PER_PERSON = 10
"""Items of each person that a genre entropy counts; people with fewer are left out, since entropy grows with them."""
FEWEST = 8
"""Units that a sample needs before it is compared."""


@dataclass(frozen=True)
class Aspect:
    """One thing that is compared.

    Attributes:
        title: What it is.
        distance: How it is compared, and in which unit or range.
        far: The distance from which on the world is called far from the log; a judgement, not a test.
        needs: Which logs can hold it.
    """

    title: str
    distance: str
    far: float
    needs: str


_JS = "Jensen–Shannon divergence, 0 (equal) to 1 (nothing in common)"
_KS = "Kolmogorov–Smirnov, the largest gap between the two cumulative shares, 0 to 1"
_GAP = "difference of the two shares, 0 to 1"
ASPECTS = {
    "popularity_curve": Aspect(
        "how far attention concentrates on few items",
        "largest gap between the shares that the same top share of items gets, 0 to 1",
        0.1,
        "ratings, or clicks with an item column",
    ),
    "genre_entropy": Aspect(
        f"how varied one person's {PER_PERSON} items are in genre",
        "Wasserstein distance, bits, 0 or more",
        0.3,
        "ratings",
    ),
    "rating_error": Aspect(
        "held-out ratings, predicted by the world's model of taste",
        "root mean squared error, stars, 0 or more",
        1.0,
        "ratings",
    ),
    "rating_calibration": Aspect(
        "whether predicted ratings are right on average",
        "mean difference of predicted and given over tenths of the predictions, stars, 0 or more",
        0.1,
        "ratings",
    ),
    "rating_distribution": Aspect("which ratings are given", _JS, 0.1, "ratings"),
    "instruction_length": Aspect("words in a request", "Wasserstein distance, words, 0 or more", 2.0, "queries"),
    "request_kinds": Aspect("what requests name", _JS, 0.1, "queries"),
    "covered_request_kinds": Aspect(
        "what requests name, of those that name a genre, a year or quality and no title", _JS, 0.1, "queries"
    ),
    "exclusions": Aspect("the share of requests that exclude something", _GAP, 0.1, "queries"),
    "accept_rate": Aspect("recommendations that are taken up", _GAP, 0.1, "dialogues"),
    "reject_rate": Aspect("recommendations that are turned down", _GAP, 0.1, "dialogues"),
    "critique_rate": Aspect("recommendations that are answered with a change", _GAP, 0.1, "dialogues"),
    "rounds": Aspect("how often something is recommended in one session", _KS, 0.2, "dialogues"),
    "click_rate_by_position": Aspect(
        "clicks per shown item, by position", "mean difference over the positions of both, 0 to 1", 0.05, "clicks"
    ),
    "clicks_by_position": Aspect("where in the slate clicks fall", _JS, 0.1, "clicks"),
    "session_length": Aspect("slates per session", _KS, 0.2, "clicks with a turn column"),
}
"""Everything that is compared, by name."""


@dataclass(frozen=True)
class Finding:
    """How far the world is from one log in one aspect.

    Attributes:
        name: One of `ASPECTS`.
        source: The log's name.
        distance: The distance.
        floor: Its noise floor; None where halves say nothing.
        world: A figure of the world in words; "" where there is none.
        log: The same of the log.
        note: What to bear in mind.
        drawing: Arrays for the plot, by name.
    """

    name: str
    source: str
    distance: float
    floor: float | None
    world: str = ""
    log: str = ""
    note: str = ""
    drawing: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def verdict(self) -> str:
        """Level (not told apart from noise), near (told apart, but close) or far."""
        if self.floor is not None and self.distance <= self.floor:
            return "level"
        return "far" if self.distance > ASPECTS[self.name].far else "near"


class LackingError(Exception):
    """The log, or the world, has nothing to compare in one aspect; says which and why."""


@dataclass(frozen=True)
class Simulated:
    """What the world produced: sessions, and the texts of their first instructions.

    Attributes:
        world: The world.
        episodes: The sessions.
        texts: What each began with.
        world_id: What the world was made by, where that is not its own name: the path of a domain file.
    """

    world: World
    episodes: Episodes
    texts: Sequence[str]
    world_id: str = ""


def compared(
    name: str,
    source: str,
    samples: tuple[Units, Units],
    distance: Distance,
    told: tuple[str, str],
    *,
    note: str = "",
    drawing: tuple[Any, Any] | None = None,
) -> Finding:
    """Measures one aspect.

    Args:
        name: One of `ASPECTS`.
        source: The log's name.
        samples: The log's units and the world's.
        distance: From two samples to a number.
        told: A figure of the log and one of the world, in words.
        note: What to bear in mind.
        drawing: What to plot of the log and of the world; the samples when omitted.

    Raises:
        LackingError: If a sample is too small.
    """
    for whose, sample in zip(("log", "world"), samples, strict=True):
        if len(sample) < FEWEST:
            raise LackingError(f"too little in this {whose}: {len(sample)} of at least {FEWEST}")
    drawn = dict(zip(("log", "world"), samples if drawing is None else drawing, strict=True))
    floor = noise_floor(samples, distance)
    return Finding(name, source, distance(*samples), floor, log=told[0], world=told[1], note=note, drawing=drawn)

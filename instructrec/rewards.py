"""What a reaction is worth, position by position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from instructrec.sessions import Reactions


@dataclass(frozen=True, kw_only=True)
class EngagementReward:
    """Points for clicks and for consumption.

    Attributes:
        click: Points for a click.
        consumption: Points for consuming a clicked item.
    """

    click: float = 1.0
    consumption: float = 0.0

    def __call__(self, reactions: Reactions) -> npt.NDArray[np.float32]:
        """Returns what each position earned, [batch, slate_size]."""
        points = self.click * reactions.clicked + self.consumption * reactions.consumed
        return points.astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class AmountReward:
    """Points for how much people took in, where the population tells: ``Reactions.engagement``.

    Attributes:
        unit: Points for a unit of it.
    """

    unit: float = 1.0

    def __call__(self, reactions: Reactions) -> npt.NDArray[np.float32]:
        """Returns what each position earned, [batch, slate_size].

        Raises:
            ValueError: If the population does not tell.
        """
        if reactions.engagement is None:
            raise ValueError(
                "AmountReward counts how much people took in, and these tell only of clicks; use EngagementReward"
            )
        return np.asarray(self.unit * reactions.engagement, np.float32)


@dataclass(frozen=True, kw_only=True)
class RuledReward:
    """Points for clicks, less a penalty for everything shown that the person must never be shown.

    Attributes:
        click: Points for a click.
        broken: Points, 0 or less, for an item that breaks a rule of the person's: ``Reactions.unsuitable``.

    Raises:
        ValueError: If ``broken`` is above 0.
    """

    click: float = 1.0
    broken: float = -1.0

    def __post_init__(self) -> None:
        if self.broken > 0:
            raise ValueError(f"broken is a penalty of 0 or less, got {self.broken}")

    def __call__(self, reactions: Reactions) -> npt.NDArray[np.float32]:
        """Returns what each position earned, [batch, slate_size].

        Nothing is unsuitable for people who live by no rule.
        """
        points = self.click * reactions.clicked
        broken = 0.0 if reactions.unsuitable is None else self.broken * reactions.unsuitable
        return np.asarray(points + broken, np.float32)


@dataclass(frozen=True, kw_only=True)
class RetentionReward:
    """Points off for the days people stay away, where the population tells: ``Reactions.days_away``; more if wanted.

    What a visit's end costs is shared evenly by the positions of the slate that ended it.

    Attributes:
        day: Points lost per day away; KuaiSim's is a tenth.
        unit: Points for a unit of ``Reactions.engagement``, beside it; KuaiSim's is none.
    """

    day: float = 0.1
    unit: float = 0.0

    def __call__(self, reactions: Reactions) -> npt.NDArray[np.float32]:
        """Returns what each position earned, [batch, slate_size].

        Raises:
            ValueError: If the population does not tell what is counted.
        """
        if reactions.days_away is None:
            raise ValueError(
                "RetentionReward counts the days between visits, and these people come only once; "
                "use EngagementReward, or AmountReward"
            )
        size = reactions.clicked.shape[1]
        points = np.repeat(-self.day / size * reactions.days_away[:, None], size, axis=1)
        if self.unit:
            points = points + AmountReward(unit=self.unit)(reactions)
        return points.astype(np.float32)

"""Every constant of the conversational users, with what it is and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from instructrec.names import ADDED, written

_SHARES = frozenset(
    {
        "satiation_memory",
        "continue_after_skip",
        "continue_after_click",
        "perceived_miss",
        "perceived_false_alarm",
        "satisfaction_rate",
        "no_click_satisfaction",
        "trust_recovery",
        "leave_most",
        "reveal",
        "new_goal",
        "critique",
        "restate",
        "like",
        "unlike",
        "override",
        "reset",
        "relax",
        "drift",
        "click_noise",
        "allure_from_popularity",
    }
)


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Every constant of the users. Utilities are log-odds; a star is one point of a rating from 0.5 to 5.

    Each sentence ends in where the value comes from: "Fitted: to what", or "Assumed: the published range"; "Assumed."
    alone where none is known. The fidelity card reads it there. Sources: Craswell et al. (2008), Guo et al. (2009) and
    Ie et al. (2019), see `instructrec.envs.conversational`, the last for the constants of its long-term satisfaction
    environment; Moffat and Zobel (2008), Rank-biased precision for measurement of retrieval effectiveness.

    Attributes:
        click_bias: Log-odds of clicking an average item that breaks nothing. Assumed.
        click_per_star: Log-odds of a click per predicted star (taste and quality, weighted by the ratings). Assumed.
        allure: Log-odds of a click per standard deviation of allure, which satisfies nobody. Assumed.
        enjoyment_bias: Log-odds of enjoying an average clicked item. Assumed.
        enjoyment_per_star: Log-odds of enjoyment per predicted star. Assumed.
        soft_match: Log-odds between meeting none and all of the soft wishes. Assumed.
        hard_violation: Log-odds lost per hard condition that an item is perceived to break. Assumed.
        boredom: Log-odds lost at full satiation with an item's topics. Assumed.
        satiation_memory: Share of satiation kept from turn to turn, 0 to 1. Assumed.
        seen: Log-odds lost for an item consumed before. Assumed.
        continue_after_skip: Probability of looking at the next position after passing one over. Assumed: 1 in the
            cascade model (Craswell et al. 2008), .5 to .95 in rank-biased precision (Moffat and Zobel 2008).
        continue_after_click: Probability of looking at the next position after a click. Assumed: 0 in the cascade model
            (Craswell et al. 2008); above 0, and below going on after a skip, in the dependent click model (Guo et al.
            2009).
        perceived_miss: Probability that an attribute the catalogue names is not perceived. Assumed.
        perceived_false_alarm: Probability that an attribute it does not name is perceived. Fitted: follows from the
            miss rate and the share of MovieLens tags naming a genre that agree with the catalogue.
        satisfaction_rate: Weight of the newest turn in satisfaction, a moving average. Assumed: RecSim's users keep .7
            of their memory per slate, which is .3 for the newest (Ie et al. 2019).
        no_click_satisfaction: What a turn without a click feels like, 0 to 1. Assumed.
        trust_recovery: Share of lost trust regained per turn. Assumed.
        trust_loss_violation: Trust lost when every position looked at breaks a condition. Assumed.
        trust_loss_clickbait: Trust lost per point by which the mean clicked item drew more than it pleased. Assumed.
        leave_most: Probability of leaving after the worst of turns: the displeased may give another chance. Assumed.
        leave_bias: Log-odds, of that, of leaving after a turn when fresh, half satisfied and trusting. Assumed.
        leave_fatigue: Log-odds added over the session. Assumed.
        leave_dissatisfaction: Log-odds added per point of satisfaction below one half. Assumed.
        leave_distrust: Log-odds added when all trust is lost. Assumed.
        reveal: Probability of saying a held-back condition once a shown item breaks it. Assumed.
        new_goal: Probability of wanting something else next turn. Assumed.
        critique: Probability of asking for a change relative to a shown item. Assumed.
        restate: Otherwise, probability of saying it all again rather than asking for more. Assumed.
        taste_in_goals: How strongly people ask for what they like: weight of standardised affinity. Assumed.
        allure_from_popularity: Correlation of allure with popularity beyond quality, 0 to 1. Assumed.
        reveal_turn: From this turn on, counted from 1, held-back conditions are said one a turn whether anything breaks
            them or not; 0 for never. With ``reveal`` it sets the schedule: on violation (0), by turn (3, say), or never
            (``reveal`` 0). Assumed.
        like: Probability of asking for something like an item just clicked. This and what follows happen only where
            the world's people have words for it: what a domain file lists under ``asks.replies``. Assumed.
        unlike: Probability of asking for something unlike an item just passed over. Assumed.
        override: Probability of replacing one condition by another, of a goal for which the bank knows one. Assumed.
        reset: Share of new goals that are announced: "forget what I said". Assumed.
        relax: Probability of giving up, after a slate, the condition without which a request can be met, where nothing
            meets the whole. Assumed.
        drift: Probability that one condition changes unsaid; it is said once a shown item breaks it. Assumed.
        weight_drift: Standard deviation, per turn, of the logarithm of each weight of a goal. Assumed.
        click_noise: Share of looked-at positions at which a coin decides about the click. Assumed.
    """

    click_bias: float = -3.7
    click_per_star: float = 1.2
    allure: float = 1.5
    enjoyment_bias: float = -2.1
    enjoyment_per_star: float = 4.5
    soft_match: float = 3.0
    hard_violation: float = 6.0
    boredom: float = 1.2
    satiation_memory: float = 0.7
    seen: float = 3.0
    continue_after_skip: float = 0.74
    continue_after_click: float = 0.58
    perceived_miss: float = 0.05
    perceived_false_alarm: float = 0.027
    satisfaction_rate: float = 0.3
    no_click_satisfaction: float = 0.1
    trust_recovery: float = 0.1
    trust_loss_violation: float = 0.3
    trust_loss_clickbait: float = 0.9
    leave_most: float = 0.2
    leave_bias: float = -1.8
    leave_fatigue: float = 1.0
    leave_dissatisfaction: float = 9.0
    leave_distrust: float = 4.0
    reveal: float = 0.9
    new_goal: float = 0.15
    critique: float = 0.2
    restate: float = 0.6
    taste_in_goals: float = 1.0
    allure_from_popularity: float = 0.7
    reveal_turn: float = field(default=0.0, metadata=ADDED)
    like: float = field(default=0.0, metadata=ADDED)
    unlike: float = field(default=0.0, metadata=ADDED)
    override: float = field(default=0.0, metadata=ADDED)
    reset: float = field(default=0.0, metadata=ADDED)
    relax: float = field(default=0.0, metadata=ADDED)
    drift: float = field(default=0.0, metadata=ADDED)
    weight_drift: float = field(default=0.0, metadata=ADDED)
    click_noise: float = field(default=0.0, metadata=ADDED)

    def __repr__(self) -> str:
        return written(self)

    def __post_init__(self) -> None:
        for constant in fields(self):
            value = getattr(self, constant.name)
            if not np.isfinite(value):
                raise ValueError(f"behaviour {constant.name} must be a finite number, got {value}")
            if constant.name in _SHARES and not 0 <= value <= 1:
                raise ValueError(f"behaviour {constant.name} is a probability or share from 0 to 1, got {value}")
        if self.new_goal + self.critique > 1:
            raise ValueError(
                f"new_goal + critique must not exceed 1, got {self.new_goal} + {self.critique}: they exclude each other"
            )
        replies = self.new_goal + self.critique + self.like + self.unlike + self.override
        if replies > 1:
            raise ValueError(
                f"new_goal + critique + like + unlike + override must not exceed 1, got {replies:g}: they exclude each "
                "other"
            )
        for name in ("reveal_turn", "weight_drift"):
            if getattr(self, name) < 0:
                raise ValueError(f"behaviour {name} must be 0 or more, got {getattr(self, name)}")


ASSUMED: dict[str, tuple[float, float]] = {
    "click_bias": (-4.4, -3.0),
    "click_per_star": (0.6, 2.0),
    "allure": (0.8, 2.2),
    "enjoyment_bias": (-3.0, -1.2),
    "enjoyment_per_star": (3.0, 6.0),
    "soft_match": (1.5, 4.5),
    "hard_violation": (3.0, 9.0),
    "boredom": (0.5, 2.5),
    "satiation_memory": (0.4, 0.9),
    "seen": (1.0, 5.0),
    "continue_after_skip": (0.6, 0.9),
    "continue_after_click": (0.3, 0.8),
    "perceived_miss": (0.02, 0.17),
    "satisfaction_rate": (0.15, 0.5),
    "no_click_satisfaction": (0.0, 0.3),
    "trust_recovery": (0.05, 0.2),
    "trust_loss_violation": (0.1, 0.6),
    "trust_loss_clickbait": (0.4, 1.4),
    "leave_most": (0.1, 0.4),
    "leave_bias": (-2.6, -1.0),
    "leave_fatigue": (0.3, 2.0),
    "leave_dissatisfaction": (5.0, 13.0),
    "leave_distrust": (2.0, 6.0),
    "reveal": (0.6, 1.0),
    "new_goal": (0.05, 0.3),
    "critique": (0.1, 0.35),
    "restate": (0.3, 0.9),
    "taste_in_goals": (0.5, 1.5),
    "allure_from_popularity": (0.4, 0.9),
}
"""From where to where each assumed constant may plausibly lie, save those of operators, which most people do not use:
what `instructrec robustness` draws from, evenly.

The ends are ours. Published values that lie inside: examination falls by 0.85 a rank in GeMS (Deffayet et al. 2023) and
cascade models continue after a skip with 0.6 to 0.9 (Guo et al. 2009); 83 % of genre tags agree with the catalogue.
"""

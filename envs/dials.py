"""Realism dials: how cooperative, vague, careless, patient and steady a world's people are, whatever the domain."""

from __future__ import annotations

from dataclasses import dataclass, replace

from instructrec.envs.behaviour import Behaviour
from instructrec.envs.grammar import Style
from instructrec.envs.vocabulary import Vocabulary

_SHARES = ("cooperation", "vagueness", "reveal", "typos", "click_noise", "drift")


@dataclass(frozen=True, kw_only=True)
class Dials:
    """Turns of the dials; the defaults leave a world as it is. All of them are assumptions, not measurements.

    Attributes:
        cooperation: How willing people are to say what they want, 0 to 1: what they hold back, and how seldom they
            reveal, criticise and repeat, grows as it falls. At 0 they say one condition, and nothing more after it.
        vagueness: The share of specific requests that are made vaguely instead ("something good"), 0 to 1.
        reveal: Probability of saying a held-back condition once a shown item breaks it, 0 to 1; the world's if None.
        typos: Probability that a text has a misspelt letter, 0 to 1; the language's if None.
        click_noise: Share of looked-at positions at which a coin decides about the click, 0 to 1.
        patience: How many times as long people put up with what they get, above 0: the highest chance of leaving after
            a slate is divided by it.
        drift: Probability, per turn, of wanting something else, 0 to 1, less the chance that people ask for a change of
            what they were shown instead; the world's if None.

    Raises:
        ValueError: If a dial is out of range.
    """

    cooperation: float = 1.0
    vagueness: float = 0.0
    reveal: float | None = None
    typos: float | None = None
    click_noise: float = 0.0
    patience: float = 1.0
    drift: float | None = None

    def __post_init__(self) -> None:
        for name in (*_SHARES, "patience"):
            value = getattr(self, name)
            if value is None and name in ("reveal", "typos", "drift"):
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if name == "patience":
                if not number or not 0.01 <= value <= 100:
                    raise ValueError(f"patience is a number from 0.01 to 100 (1 leaves it), got {value!r}")
            elif not number or not 0 <= value <= 1:
                raise ValueError(f"{name} is a share or probability from 0 to 1, got {value!r}")

    def behaviour(self, usual: Behaviour) -> Behaviour:
        """Returns how people behave with the dials turned.

        Raises:
            ValueError: If what they say instead of wanting something else leaves no room for so much drift.
        """
        critique = usual.critique * self.cooperation
        otherwise = critique + usual.like + usual.unlike + usual.override
        if self.drift is not None and self.drift > 1 - otherwise:
            raise ValueError(
                f"drift is at most {1 - otherwise:.4g} here, got {self.drift:g}: in {otherwise:.4g} of the turns these "
                "people ask for a change of what they were shown instead; give less, or lower cooperation"
            )
        return replace(
            usual,
            reveal=(usual.reveal if self.reveal is None else self.reveal) * self.cooperation,
            critique=critique,
            restate=usual.restate * self.cooperation,
            leave_most=min(1.0, usual.leave_most / self.patience),
            new_goal=usual.new_goal if self.drift is None else self.drift,
            click_noise=self.click_noise,
        )

    def style(self) -> Style:
        """Returns how people write with the dials turned."""
        usual = Style()
        return replace(
            usual, typos=usual.typos if self.typos is None else self.typos, cooperation=float(self.cooperation)
        )

    def vocabulary(self, usual: Vocabulary) -> Vocabulary:
        """Returns what people ask for with the dials turned.

        Raises:
            ValueError: If people are to be vague who have no vague requests.
        """
        if not self.vagueness:
            return usual
        vague = sum(kind.share for kind in usual.requests if kind.intention == "vague")
        if not vague:
            raise ValueError(
                "vagueness needs vague requests, and these people have none; add asks: others: {vague: 0.05}"
            )
        specific = sum(kind.share for kind in usual.requests if kind.intention == "specific")
        more = 1 + self.vagueness * specific / vague
        scales = {"specific": 1 - self.vagueness, "vague": more}
        kinds = (replace(kind, share=kind.share * scales.get(kind.intention, 1.0)) for kind in usual.requests)
        return replace(usual, requests=tuple(kind for kind in kinds if kind.share > 0))

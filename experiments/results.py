"""From played sessions to the document that everything reads: values with intervals, differences, gates and flags.

References:
    Agarwal et al. (2021), Deep reinforcement learning at the edge of the statistical precipice, arXiv 2108.13264.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from instructrec import metrics
from instructrec.arrays import Floats
from instructrec.experiments.evaluation import Competitor, Episodes, evaluate, without_words
from instructrec.experiments.headline import DEAF
from instructrec.experiments.statistics import (
    Crossed,
    Estimate,
    Interval,
    as_json,
    label,
    quantile_interval,
    variance_saved,
)
from instructrec.experiments.totals import Totals
from instructrec.sessions import Sessions, World

FLAGSHIP, FLOOR, HONEST, KNOWING = "slate_ppo", "random", "informed", "oracle"
REFERENCES = frozenset({HONEST, "goal_oracle", KNOWING, "planner"})
SAME_FOR_ALL = 0.5
"""Two users whose first slates have this share of items in common, on average, are shown the same."""

Document = dict[str, Any]
Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Played:
    """What one agent did: `Episodes` or their `Totals`, one per training seed, all of the same sessions.

    Attributes:
        episodes: As it is.
        blank: The same weights hearing nothing; None where that was not played.
        swapped: The same weights hearing another person; None where that was not played.
    """

    episodes: tuple[Episodes | Totals, ...]
    blank: tuple[Episodes | Totals, ...] | None = None
    swapped: tuple[Episodes | Totals, ...] | None = None

    @property
    def all(self) -> tuple[Episodes | Totals, ...]:
        """Everything that was played."""
        return (*self.episodes, *(self.blank or ()), *(self.swapped or ()))


def play(
    world: World,
    agents: Mapping[str, Competitor | Sequence[Competitor]],
    sessions: Sessions,
    *,
    controls: Collection[str] | None = None,
    batch_size: int = 256,
    timed_decisions: int = 200,
    progress: Progress | None = None,
) -> dict[str, Played]:
    """Lets every agent meet the same people with the same luck.

    Args:
        world: Where.
        agents: Competitors by name; a sequence holds one per training seed.
        sessions: Whom they meet.
        controls: Whose words are also taken away and swapped; everybody's that can be, when omitted. An agent named
            NAME_blank or NAME_swapped serves as the control of NAME, and is not played twice.
        batch_size: As in `evaluate`.
        timed_decisions: As in `evaluate`; controls are not timed.
        progress: Called with an agent's name and how many sessions ended.
    """
    played: dict[str, Played] = {}
    # Controls that stand in the table themselves come first, so that they are there when they are needed.
    for name in sorted(agents, key=lambda name: not name.endswith(("_blank", "_swapped"))):
        given = agents[name]
        seeds: Sequence[Competitor] = given if isinstance(given, Sequence) else (given,)

        def run(competitors: Sequence[Competitor], timed: int, name: str = name) -> tuple[Episodes, ...]:
            told = None if progress is None else (lambda ended: progress(name, ended))
            return tuple(
                evaluate(world, one, sessions, batch_size=batch_size, timed_decisions=timed, progress=told)
                for one in competitors
            )

        played[name] = Played(run(seeds, timed_decisions))
        kinds = {"blank": 0, "swapped": 1}
        silent = [without_words(one) for one in seeds]
        for kind, place in kinds.items():
            standing = played.get(f"{name}_{kind}")
            if standing is not None:
                played[name] = replace(played[name], **{kind: standing.episodes})
            elif controls is None or name in controls:
                deprived = [pair[place] for pair in silent if pair is not None]
                if len(deprived) == len(seeds) and not name.endswith(tuple(f"_{other}" for other in kinds)):
                    played[name] = replace(played[name], **{kind: run(deprived, 0)})
    return {name: played[name] for name in agents}


def compare_agents(
    world: World,
    agents: Mapping[str, Competitor | Sequence[Competitor]],
    sessions: Sessions,
    *,
    flagship: str = FLAGSHIP,
    seeds: Sequence[int] = (0,),
    draws: int = 2000,
    controls: Collection[str] | None = None,
    batch_size: int = 256,
    timed_decisions: int = 200,
    progress: Progress | None = None,
) -> Document:
    """Plays every agent and assembles the results; see `play` and `results_of` for the arguments."""
    played = play(
        world,
        agents,
        sessions,
        controls=controls,
        batch_size=batch_size,
        timed_decisions=timed_decisions,
        progress=progress,
    )
    return results_of(played, flagship=flagship, seeds=seeds, draws=draws)


def results_of(
    played: Mapping[str, Played], *, flagship: str = FLAGSHIP, seeds: Sequence[int] = (0,), draws: int = 2000
) -> Document:
    """Assembles the results document: a dictionary that JSON can hold.

    Metrics that do not arise are absent, never zero: those of goals where instructions have none, those of controls
    that were not played, normalised returns without their reference.

    Args:
        played: What each agent did.
        flagship: Whom differences and gates are about; both are empty when it is not among the agents.
        seeds: The training seeds, for the record and the label.
        draws: Resamplings of people and seeds.

    Returns:
        ``world``, ``fingerprint``, ``seeds``, ``label``, ``people``, ``sessions``; ``agents``: name → metric → value,
        low, high; ``differences``: the flagship's return minus each other's, paired, with the share of variance that
        common luck saved; ``timing``: name → stage → percentiles, and seconds of evaluation; ``gates``: what the
        flagship failed, as name and sentence; ``flags``: the same sentences about others.

    Raises:
        ValueError: If nothing was played, or agents met different worlds or sessions.
    """
    first = _common(played)
    crossed = Crossed.of(first.person, draws=draws)
    table = {name: _Row(crossed, name, one) for name, one in played.items()}
    for row in table.values():
        row.compare_with(table)
    document: Document = {
        "world": first.world,
        "fingerprint": first.fingerprint,
        "seeds": [int(seed) for seed in seeds],
        "label": label(len(seeds)),
        "people": crossed.num_people,
        "sessions": len(first.person),
        "agents": {name: row.line for name, row in table.items()},
        "differences": {},
        "timing": {name: _timing(one) for name, one in played.items()},
        "gates": [],
        "flags": {},
    }
    if flagship in table:
        own = table[flagship].of("return")
        for name, row in table.items():
            if name != flagship:
                other = row.of("return")
                document["differences"][name] = as_json(
                    (own - other).interval(), variance_saved=variance_saved(own, other)
                )
        document["gates"] = [{"name": name, "sentence": why} for name, why in failed_gates(table[flagship], table)]
    for name, row in table.items():
        # A floor that is not above itself and controls that are deaf are what they should be.
        if name not in {flagship, FLOOR, DEAF} | REFERENCES and not name.endswith(("_blank", "_swapped")):
            sentences = [why for _, why in failed_gates(row, table)]
            if sentences:
                document["flags"][name] = sentences
    return document


def _common(played: Mapping[str, Played]) -> Episodes | Totals:
    """Returns one of the episodes after checking that all are of one world and the same sessions."""
    if not played:
        raise ValueError("nothing was played; give at least one agent")
    everything = [(name, episodes) for name, one in played.items() for episodes in one.all]
    first_name, first = everything[0]
    for name, episodes in everything:
        if episodes.fingerprint != first.fingerprint:
            raise ValueError(
                f"{name!r} played in {episodes.world} {episodes.fingerprint} and {first_name!r} in {first.world} "
                f"{first.fingerprint}; only results of one world can be compared: play all of them in the same"
            )
        if not np.array_equal(episodes.sessions.keys, first.sessions.keys):
            raise ValueError(f"{name!r} and {first_name!r} met different sessions; give all of them the same")
    return first


@dataclass
class _Row:
    """One agent's line: estimates that share one draw, and what goes into the document."""

    crossed: Crossed
    name: str
    played: Played
    estimates: dict[str, Estimate] = field(default_factory=dict)
    line: dict[str, dict[str, float | None]] = field(default_factory=dict)
    overlap: float = float("nan")

    def __post_init__(self) -> None:
        firsts = [(e.first_slates, e.num_items) for e in self.played.episodes]
        self.overlap = float(np.mean([metrics.slate_overlap(s, size) for s, size in firsts if s is not None] or np.nan))
        for metric in self.played.episodes[0].metrics:
            self._put(metric, self.of(metric))
        for metric, estimate in _exposure(self.crossed, self.played.episodes).items():
            self._put(metric, estimate)
        self._put("slate_overlap", Estimate(self.overlap, np.array([np.nan])))
        times = [e.latency.milliseconds["decision"] for e in self.played.episodes if e.latency is not None]
        if times:
            for rank in (50, 95, 99):
                interval = quantile_interval(np.concatenate(times), rank / 100)
                self.line[f"latency_p{rank}_ms"] = interval.as_dict()

    def of(self, metric: str, control: str = "") -> Estimate:
        """Returns a metric's estimate, of the agent as it is or of a control; NaN where it was not played."""
        key = f"{metric} {control}"
        if key not in self.estimates:
            episodes = getattr(self.played, control) if control else self.played.episodes
            if not episodes or metric not in episodes[0].metrics:
                self.estimates[key] = Estimate(float("nan"), np.full(len(self.crossed.people), np.nan))
            else:
                totals = [one.totals(metric) for one in episodes]
                self.estimates[key] = self.crossed.ratio([sums for sums, _ in totals], [count for _, count in totals])
        return self.estimates[key]

    def compare_with(self, table: Mapping[str, _Row]) -> None:
        """Fills in what needs controls, the floor or a reference."""
        for metric, control in (("control_gain", "blank"), ("control_gain_swapped", "swapped")):
            self._put(metric, self.of("csr") - self.of("csr", control))
        for metric, name in (("oracle_normalised_return", KNOWING), ("informed_normalised_return", HONEST)):
            if name in table and FLOOR in table:
                floor = table[FLOOR].of("return")
                self._put(metric, (self.of("return") - floor) / (table[name].of("return") - floor))
        if HONEST in table:
            honest, blank = table[HONEST], self.of("csr", "blank")
            self._put("headline_adherence", (self.of("csr") - blank) / (honest.of("csr") - blank))
            self._put(
                "swap_test",
                (self.of("return") - self.of("return", "swapped"))
                / (honest.of("return") - honest.of("return", "swapped")),
            )

    def _put(self, metric: str, estimate: Estimate) -> None:
        if np.isfinite(estimate.value):
            self.line[metric] = estimate.interval().as_dict()


def _exposure(crossed: Crossed, episodes: Sequence[Episodes | Totals]) -> dict[str, Estimate]:
    """Estimates coverage and the Gini index of exposure, the mean over seeds."""
    by_seed = []
    for one in episodes:
        if one.shown is None:
            return {}
        counts = np.zeros((crossed.num_people, one.num_items), np.float32)
        shown = one.shown.reshape(len(one.shown), -1)
        real = shown >= 0
        np.add.at(counts, (np.broadcast_to(crossed.person[:, None], shown.shape)[real], shown[real]), 1.0)
        by_seed.append(counts)

    def estimate(measure: Callable[[Floats], Floats]) -> Estimate:
        def of(people: Floats) -> Floats:
            taken = people.astype(np.float32)
            return np.asarray(np.mean([measure(taken @ counts) for counts in by_seed], axis=0))

        return crossed.centred(float(of(np.ones((1, crossed.num_people)))[0]), of)

    return {
        "coverage": estimate(lambda exposure: np.asarray((exposure > 0).mean(axis=1))),
        "exposure_gini": estimate(lambda exposure: np.array([metrics.exposure_gini(row) for row in exposure])),
    }


def failed_gates(row: _Row, table: Mapping[str, _Row]) -> list[tuple[str, str]]:
    """Returns the gates that an agent fails, each as a name and a sentence with its figures.

    ``above_random``: its return is not above random's. ``deaf``: taking its words away does not lower CSR (where goals
    are not known: does not lower return). ``same_for_all``: everybody's first slate is much the same.
    """
    failed = []
    if FLOOR in table and row.name != FLOOR:
        gain = (row.of("return") - table[FLOOR].of("return")).interval()
        if not gain.above_zero:
            why = f"{row.name} is not above random: its return differs by {_words(gain)}, which is not above 0"
            failed.append(("above_random", why))
    for metric in ("csr", "return"):
        gain = (row.of(metric) - row.of(metric, "blank")).interval()
        if np.isfinite(gain.value):
            if not gain.above_zero:
                why = (
                    f"{row.name} is deaf: over silence, words gain it {_words(gain)} in {metric}, which is not above 0"
                )
                failed.append(("deaf", why))
            break
    if row.overlap >= SAME_FOR_ALL:
        why = (
            f"{row.name} shows everybody much the same: two users' first slates share {row.overlap:.0%} of their items"
        )
        failed.append(("same_for_all", why))
    return failed


def _words(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _timing(played: Played) -> dict[str, Any]:
    timing: dict[str, Any] = {"evaluation_seconds": float(np.mean([one.seconds for one in played.episodes]))}
    latency = played.episodes[0].latency
    return timing if latency is None else {**timing, **latency.summary()}


def check_comparable(*documents: Document) -> None:
    """Raises a ValueError unless all results documents are of one world."""
    prints = {(document["world"], document["fingerprint"]) for document in documents}
    if len(prints) > 1:
        found = ", ".join(f"{world} {fingerprint}" for world, fingerprint in sorted(prints))
        raise ValueError(f"results of different worlds cannot be compared: {found}; run both in the same world")

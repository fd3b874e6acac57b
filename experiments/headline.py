"""What a comparison says, in plain words and in a table: the same for the terminal and for the report.

Where a baseline wins, that comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FLAGSHIP, DEAF = "slate_ppo", "deaf"
ABOUT = {
    "slate_ppo": "PPO over whole slates; its policy reads the instruction",
    "slate_ppo_blank": "the same weights, given empty text",
    "deaf": "SlatePPO trained among the same people without ever hearing them",
    "slate_ppo_start": "the same before it met anybody: what it read from prompts of its own",
    "random": "any items",
    "popularity": "the most watched items",
    "bm25": "keyword search over item texts",
    "cosine": "language-model similarity, untrained",
    "parser": "the grammar turned round, then popularity",
    "supervised": "learned from a fixed log of clicks",
    "ppo": "stock PPO of Stable-Baselines3",
    "a2c": "stock A2C of Stable-Baselines3",
    "reinforce": "top-K REINFORCE over SlatePPO's network",
    "slateq": "Q-learning for slates by their items",
    "item_knn": "neighbours of what was consumed; hears nothing",
    "ease": "EASE on what was consumed; hears nothing",
    "als": "implicit ALS on what was consumed; hears nothing",
    "bpr": "BPR on what was consumed; hears nothing",
    "linear_steering": "popularity and stars, steered by similarity",
    "parser_factors": "parser and factors, weighed by a log of clicks",
    "lambdamart": "boosted trees, learned from a log of clicks",
    "two_tower": "two towers, learned from a log of clicks",
    "two_tower_mse": "the same by squared error",
    "cross": "query and item crossed, learned from a log",
    "cross_mse": "the same by squared error",
    "like_dislike": "clicked or passed over, learned from a log",
    "sasrec": "self-attention over what was consumed, and words",
    "two_tower_cloning": "imitates the clicks of a log",
    "clone": "SlatePPO's network, imitates a log's slates",
    "ips": "SlatePPO's network, learned from a log by weights",
    "fitted_q": "SlatePPO's network, by what a log says items are worth",
    "dr": "SlatePPO's network, from a log, doubly robust",
    "informed": "knows the exact goal; estimates taste from the visible past",
    "goal_oracle": "knows the exact goal, not the taste",
    "oracle": "knows goal and taste; greedy",
}
"""A few words about each agent of the demo."""
REFERENCES = ("informed", "goal_oracle", "oracle")


def kind_of(name: str) -> str:
    """Returns flagship, control, reference or baseline."""
    if name == FLAGSHIP:
        return "flagship"
    if name in REFERENCES:
        return "reference"
    return "control" if name == DEAF or name.endswith(("_blank", "_start", "_swapped")) else "baseline"


@dataclass(frozen=True)
class Interval:
    """A measured value and where it may lie; the ends equal the value where no interval was computed."""

    value: float
    low: float
    high: float


def interval(entry: Any) -> Interval | None:
    """Reads one ``{"value", "low", "high"}`` of a results document; None where it is absent."""
    if not isinstance(entry, Mapping):
        return None
    if "value" not in entry:
        return interval(entry.get("return"))
    value = entry["value"]
    if value is None:
        return None
    low, high = entry.get("low"), entry.get("high")
    return Interval(float(value), float(value if low is None else low), float(value if high is None else high))


def metric(results: Mapping[str, Any], agent: str, name: str) -> Interval | None:
    """Returns one metric of one agent, or None where it is absent."""
    return interval(results["agents"].get(agent, {}).get(name))


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def verdicts(results: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """Returns the baselines that beat the flagship, those level with it, and those it beats, by paired intervals."""
    won: list[str] = []
    level: list[str] = []
    lost: list[str] = []
    for name, entry in results.get("differences", {}).items():
        found = interval(entry)
        if found is None or kind_of(name) == "reference":
            continue
        (won if found.high < 0 else lost if found.low > 0 else level).append(name)
    return won, level, lost


def headline(results: Mapping[str, Any]) -> list[str]:
    """Returns what the comparison found as sentences, the most important first."""
    earned = metric(results, FLAGSHIP, "return")
    if earned is None:
        honest = [name for name in results["agents"] if kind_of(name) != "reference"] or list(results["agents"])
        best = [(found.value, name) for name in honest if (found := metric(results, name, "return"))]
        earned_most, name = max(best)
        return [f"{name} earns most, {earned_most:.2f} points a session; {FLAGSHIP} was not compared."]
    sentences = []
    won, level, lost = verdicts(results)
    ahead = {name: found for name in won if (found := interval(results["differences"][name]))}
    if ahead:
        far = sorted(ahead, key=lambda name: ahead[name].value)
        parts = [
            f"{name} by {-ahead[name].value:.2f} ({-ahead[name].high:.2f} to {-ahead[name].low:.2f})" for name in far
        ]
        who = far[0] if len(far) == 1 else f"{len(far)} baselines"
        by = (parts[0].removeprefix(far[0]).strip() if len(far) == 1 else _names(parts)) + " points a session"
        sentences.append(f"{who} beat{'s' if len(far) == 1 else ''} {FLAGSHIP}{' ' if len(far) == 1 else ': '}{by}.")
    share = metric(results, FLAGSHIP, "informed_normalised_return")
    reach = f", {share.value:.0%} of the way from random to the informed reference" if share else ""
    sentences.append(
        f"{FLAGSHIP} earns {earned.value:.2f} points a session ({earned.low:.2f} to {earned.high:.2f}){reach}."
    )
    if lost:
        sentences.append(f"It beats {_names(lost)}.")
    if level:
        sentences.append(f"No difference to {_names(level)} can be told from this many people.")
    csr, blank = metric(results, FLAGSHIP, "csr"), metric(results, f"{FLAGSHIP}_blank", "csr")
    if csr:
        without = f"; the same agent without the words, {blank.value:.0%}" if blank else ""
        sentences.append(f"Its slates meet {csr.value:.0%} of what people asked for{without}.")
    return sentences


def scope(results: Mapping[str, Any]) -> str:
    """Returns one sentence on how many people and seeds stand behind the numbers, and what that allows to say."""
    seeds = results.get("seeds") or []
    count = len(seeds) if isinstance(seeds, Sequence) else int(seeds)
    trained = "one training seed: this run only" if count == 1 else f"{count} training seeds"
    people, sessions = results.get("people"), results.get("sessions")
    held = {"test": "held-out ", "validation": "validation "}.get(str(results.get("split", "")), "")
    return (
        f"{people} {held}{'person' if people == 1 else 'people'} in {sessions} "
        f"{'session' if sessions == 1 else 'sessions'}; {trained}. "
        "Intervals are 95 %, resampling people."
    )


COLUMNS = (
    ("return", "return", "{:.2f}"),
    ("informed_normalised_return", "share of informed", "{:.2f}"),
    ("csr", "CSR", "{:.2f}"),
    ("strict", "strict", "{:.2f}"),
    ("violation", "violation", "{:.2f}"),
    ("unsuitable", "unsuitable", "{:.3f}"),
    ("control_gain", "control gain", "{:.2f}"),
    ("session_length", "session length", "{:.1f}"),
    ("latency_p50_ms", "ms p50", "{:.1f}"),
    ("latency_p99_ms", "ms p99", "{:.1f}"),
)
"""What tables show: metric, heading, format."""


def ordered(results: Mapping[str, Any]) -> list[str]:
    """Returns the agents: the flagship, its controls, baselines by return, references."""
    place = {"flagship": 0, "control": 1, "baseline": 2, "reference": 3}

    def key(name: str) -> tuple[int, float]:
        found = metric(results, name, "return")
        return place[kind_of(name)], -found.value if found else 0.0

    return sorted(results["agents"], key=key)


def to_text(results: Mapping[str, Any]) -> str:
    """Returns the comparison as a table of at most 80 columns: an agent a line, returns with their intervals."""
    columns = [
        ("return", "return"),
        ("95 %", ""),
        ("share", "informed_normalised_return"),
        ("CSR", "csr"),
        ("viol.", "violation"),
        ("gain", "control_gain"),
        ("turns", "session_length"),
        ("p99 ms", "latency_p99_ms"),
    ]
    if any(metric(results, agent, "unsuitable") for agent in results["agents"]):
        # In the place of the latency, which the report has too.
        columns = [*columns[:5], ("unfit", "unsuitable"), *columns[5:-1]]
    returns = [found for agent in results["agents"] if (found := metric(results, agent, "return"))]
    to = " to " if any(found.low < 0 for found in returns) else "–"
    rows = [["agent", *(head for head, _ in columns)]]
    for agent in ordered(results):
        cells = [agent]
        for _, name in columns:
            found = metric(results, agent, name or "return")
            if found is None:
                cells.append("–")
            elif not name:
                cells.append(f"{found.low:.1f}{to}{found.high:.1f}")
            else:
                cells.append(f"{found.value:.{1 if name in ('session_length', 'latency_p99_ms') else 2}f}")
        rows.append(cells)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) if not place else cell.rjust(width)
                  for place, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]  # fmt: skip
    return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:]])

"""Tables of a comparison: which there are, and what stands in them; `table_formats` writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instructrec.experiments.headline import interval, kind_of, ordered

Entry = Mapping[str, Any] | str | None


@dataclass(frozen=True)
class Column:
    """A column: its heading, and how its numbers are written."""

    head: str
    form: str = "{:.2f}"


@dataclass(frozen=True)
class Table:
    """A table of agents.

    Attributes:
        name: A short name, for links.
        title: What it shows.
        about: What the columns mean, in sentences.
        columns: Its columns.
        rows: Agents with one entry per column: an interval as results hold it, a text, or None where there is none.
        failed: Why agents have no row, by agent.
    """

    name: str
    title: str
    about: str
    columns: Sequence[Column]
    rows: Mapping[str, Sequence[Entry]]
    failed: Mapping[str, str]


_MAIN = {
    "return": Column("return"),
    "informed_normalised_return": Column("share of informed"),
    "oracle_normalised_return": Column("share of oracle"),
    "csr": Column("CSR"),
    "strict": Column("strict"),
    "violation": Column("violation"),
    "unsuitable": Column("unsuitable", "{:.3f}"),
    "session_length": Column("turns", "{:.1f}"),
    "leave_rate": Column("leave"),
}
_HEARING = {
    "headline_adherence": Column("headline adherence"),
    "control_gain": Column("gain over silence"),
    "control_gain_swapped": Column("gain over another's words"),
    "swap_test": Column("swap test"),
    "csr_include": Column("CSR include"),
    "csr_exclude": Column("CSR exclude"),
    "csr_range": Column("CSR range"),
    "csr_hidden": Column("CSR unsaid"),
    "strict_slate": Column("strict slates"),
}
_EXPOSURE = {
    "diversity": Column("diversity"),
    "novelty": Column("novelty, bits", "{:.1f}"),
    "coverage": Column("coverage"),
    "exposure_gini": Column("exposure Gini"),
    "slate_overlap": Column("overlap of first slates"),
}
_LATENCY = {f"latency_p{rank}_ms": Column(f"p{rank}, ms") for rank in (50, 95, 99)}
_PMRR = {
    "pmrr": Column("p-MRR", "{:.1f}"),
    "pmrr_include_turned": Column("asked → excluded", "{:.1f}"),
    "pmrr_exclude_turned": Column("excluded → asked", "{:.1f}"),
    "pmrr_bound_turned": Column("bound turned", "{:.1f}"),
    "pmrr_exclusion_added": Column("exclusion added", "{:.1f}"),
}
_PHRASING = {
    "phrasing_min": Column("worst NDCG@K"),
    "phrasing_mean": Column("mean NDCG@K"),
    "phrasing_share": Column("worst / mean"),
}
_RECOVERY = {
    "rises_1": Column("rises, 1 turn"),
    "rises_anyway_1": Column("anyway"),
    "recovery_gap_1": Column("gap, 1 turn"),
    "rises_2": Column("rises, 2 turns"),
    "recovery_gap_2": Column("gap, 2 turns"),
    "retention": Column("retention"),
}
_SELECTIVITY = {
    "below_1": Column("< 1 % of items"),
    "1_to_10": Column("1–10 %"),
    "10_to_50": Column("10–50 %"),
    "above_50": Column("> 50 %"),
}
_RANKING = {f"ndcg_{k}": Column(f"NDCG@{k}", "{:.3f}") for k in (1, 5, 10)} | {
    f"{name}_{k}": Column(f"{head}@{k}", "{:.3f}")
    for name, head in (("precision", "P"), ("recall", "R"), ("hit_rate", "HR"), ("mrr", "MRR"))
    for k in (1, 5, 10)
    if k == 10 or name in ("precision", "hit_rate")
}
_LATER = {f"{name}_10": Column(f"{head}@10", "{:.3f}") for name, head in
          (("ndcg", "NDCG"), ("precision", "P"), ("recall", "R"), ("hit_rate", "HR"), ("mrr", "MRR"))}  # fmt: skip
SPLITS = {
    "seen": "seen",
    "users": "people",
    "templates": "sentences",
    "synonyms": "words",
    "combinations": "combinations",
    "held_out": "held out",
    "all": "all four",
    "items": "held-out items",
    "unseen_items": "unseen items",
    "other_world": "other world",
}
"""What splits are called in tables."""


@dataclass(frozen=True)
class _Plain:
    """A table whose rows stand in the results as they are.

    Attributes:
        name: As in `Table`.
        aspect: What has to be measured for it.
        source: Where its rows stand in the results.
        title: As in `Table`.
        about: As in `Table`.
        columns: By metric.
    """

    name: str
    aspect: str
    source: str
    title: str
    about: str
    columns: Mapping[str, Column]

    def of(self, results: Mapping[str, Any]) -> Table:
        """Returns the table."""
        return _of(results, self.aspect, self.name, self.title, self.about, self.columns, results.get(self.source, {}))


_RETURN = _Plain(
    "return",
    "held_out",
    "agents",
    "Held-out people",
    "Everybody meets the same people with the same luck. CSR: share, by weight, of what was asked for that shown items "
    "meet, by the catalogue; strict: share of items that meet every hard condition; violation: share that break an "
    "exclusion.",
    _MAIN,
)
_LISTENING = _Plain(
    "listening",
    "held_out",
    "agents",
    "Listening",
    "Headline adherence: how far CSR lies from the same weights in silence (0) to the informed reference (1). "
    "Gain: CSR minus that of the same weights in silence, or with another person's words. Swap test: return lost to "
    "another person's words, as a share of what informed loses.",
    _HEARING,
)
_BY_SELECTIVITY = _Plain(
    "selectivity",
    "held_out",
    "selectivity",
    "CSR by how many items meet the request",
    "By the share of items that meet all its hard conditions together.",
    _SELECTIVITY,
)
_WORDS = (
    _Plain(
        "pmrr",
        "edits",
        "pmrr",
        "One predicate edited (p-MRR)",
        "100: every item that became irrelevant sank to the end; 0: nothing moved. A perfect follower does not reach "
        "100: compare with the references, which are told of the edited goal. First requests; the sentences are "
        "otherwise alike.",
        _PMRR,
    ),
    _Plain(
        "phrasing",
        "edits",
        "phrasing",
        "One request in five sentences",
        "NDCG@K of the share of the request that items meet, K the slate.",
        _PHRASING,
    ),
    _Plain(
        "recovery",
        "edits",
        "recovery",
        "After a critique",
        "How often what was criticised is met better within 1 and 2 turns than in the slate before; anyway: had the "
        "person only asked for more. Retention: CSR of what was said before, after the critique as a share of before. "
        "Each agent is criticised on its own slates.",
        _RECOVERY,
    ),
)
_RANKINGS = (
    _Plain(
        "ranking",
        "ranking",
        "ranking",
        "The whole catalogue at arrival",
        "Graded gain: share of the goal met × true probability of a click. Relevant: what meets the whole goal, said "
        "or not.",
        _RANKING,
    ),
    _Plain(
        "held_out_ratings",
        "held_out_ratings",
        "held_out_ratings",
        "Real later ratings, nobody speaks",
        "No simulation: films that real people rated 4 stars or more in the later half of their ratings, found from "
        "the earlier half among all others. The words are taken away from those that listen. The catalogue's "
        "popularity counts all ratings, those to be found among them, which favours whoever goes by it.",
        _LATER,
    ),
    _Plain(
        "exposure",
        "held_out",
        "agents",
        "Diversity and exposure",
        "Diversity: mean distance in a slate; novelty: minus log2 of popularity; coverage: share of items shown; "
        "Gini: 0 all alike, 1 one item gets it all.",
        _EXPOSURE,
    ),
)
_SPEED = _Plain(
    "latency",
    "held_out",
    "agents",
    "Latency of a decision",
    "One person, text known, on the machine that made this page.",
    _LATENCY,
)


def tables_of(results: Mapping[str, Any]) -> list[Table]:
    """Returns every table that results have numbers for, the most important first."""
    found = [
        _RETURN.of(results),
        _LISTENING.of(results),
        _BY_SELECTIVITY.of(results),
        *_generalisation(results),
        _improvement(results),
        *(table.of(results) for table in _WORDS),
        _cold_start(results),
        *(table.of(results) for table in _RANKINGS),
        _iqm(results),
        _SPEED.of(results),
        _training(results),
    ]
    return [table for table in found if table.columns and table.rows]


def _iqm(results: Mapping[str, Any]) -> Table:
    rows = {name: {"share": entry} for name, entry in results.get("iqm", {}).items()}
    about = "Of the share of the way from random to the oracle; the lowest and highest quarter of runs are left out."
    title = "Interquartile mean over seeds × worlds"
    return _of(results, "held_out", "iqm", title, about, {"share": Column("share of oracle")}, rows)


def _of(
    results: Mapping[str, Any],
    aspect: str,
    name: str,
    title: str,
    about: str,
    columns: Mapping[str, Column],
    rows: Mapping[str, Mapping[str, Any]],
) -> Table:
    shown = {key: column for key, column in columns.items() if any(interval(row.get(key)) for row in rows.values())}
    kept = {
        label: [rows[label].get(key) for key in shown]
        for label in _order(results, rows)
        if any(rows[label].get(key) for key in shown)
    }
    return Table(name, title, about, list(shown.values()), kept, _failed(results, aspect, kept) if shown else {})


def _order(results: Mapping[str, Any], rows: Iterable[str]) -> list[str]:
    known = [name for name in ordered(results) if name in set(rows)]
    return [*known, *(name for name in rows if name not in known)]


def _failed(results: Mapping[str, Any], aspect: str, rows: Iterable[str]) -> dict[str, str]:
    """Returns why agents, or some of their seeds, are missing in a table."""
    why: dict[str, list[str]] = {}
    for each in results.get("failed", ()):
        if each["aspect"] in (aspect, "training"):
            which = "" if each["seed"] is None else f"seed {each['seed']}: "
            why.setdefault(str(each["agent"]), []).append(f"{which}{each['kind']}: {each['error']}")
    return {name: "; ".join(dict.fromkeys(reasons)) for name, reasons in why.items()}


def _generalisation(results: Mapping[str, Any]) -> list[Table]:
    splits = results.get("generalisation", {})
    tables = []
    for key, title, form in (
        ("return", "return", "{:.2f}"),
        ("informed_normalised_return", "share of the way from random to informed", "{:.2f}"),
        ("csr", "CSR", "{:.2f}"),
    ):
        labels = dict.fromkeys(label for rows in splits.values() for label in rows)
        rows = {
            label: {split: splits[split].get(label, {}).get(key) for split in splits}
            for label in _order(results, labels)
        }
        columns = {split: Column(SPLITS.get(split, split), form) for split in splits}
        about = (
            "Seen: the people and the wording of training. Then each axis held out by itself; held out: people, "
            "sentences and combinations together; all four: new words besides. Held-out items: only a fifth of the "
            "items may be shown; unseen items: the same, to agents trained without them."
        )
        tables.append(
            _of(results, "generalisation", f"generalisation_{key}", f"Generalisation: {title}", about, columns, rows)
        )
    return tables


def _improvement(results: Mapping[str, Any]) -> Table:
    pairs = results.get("probability_of_improvement", {})
    about = "How likely the agent of the row earns more than the agent of the column with the same person."
    chosen = [name for name in _order(results, pairs) if kind_of(name) != "control"]
    rows = {one: {other: pairs[one].get(other) for other in chosen} for one in chosen}
    columns = {name: Column(name) for name in chosen}
    return _of(results, "held_out", "improvement", "Probability of improvement", about, columns, rows)


def _cold_start(results: Mapping[str, Any]) -> Table:
    parts = results.get("cold_start", {})
    labels = dict.fromkeys(label for rows in parts.values() for label in rows)
    rows = {
        label: {
            **{count: parts[count].get(label, {}).get("return") for count in parts},
            "all": results["agents"].get(label, {}).get("return"),
        }
        for label in labels
    }
    columns = {count: Column(f"{count} ratings") for count in parts} | ({"all": Column("all visible")} if parts else {})
    about = "Return when agents see only the latest so many ratings of a person's past."
    return _of(results, "cold_start", "cold_start", "Cold start", about, columns, rows)


def _training(results: Mapping[str, Any]) -> Table:
    rows: dict[str, Sequence[Entry]] = {}
    for label in _order(results, results["agents"]):
        timing = results.get("timing", {}).get(label, {})
        sessions = results.get("training_sessions", {}).get(label)
        if timing.get("training_steps") or sessions:
            steps, seconds = timing.get("training_steps"), timing.get("training_seconds")
            rows[label] = [
                f"{steps:,}" if steps else None,
                f"{sessions:,}" if sessions else None,
                f"{seconds:,.0f}" if seconds else None,
                str(results.get("notes", {}).get(label, "")),
            ]
    heads = ("user-steps", "sessions", "seconds", "learned from")
    return Table("training", "Training", "Of one seed, on average.", [Column(head) for head in heads], rows, {})

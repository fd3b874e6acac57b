"""A study of off-policy evaluation as a Markdown page, and as text of at most 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from instructrec.experiments.folding import fold
from instructrec.experiments.ope_study_measures import CHOSEN, MEAN_OF_LOG
from instructrec.off_policy import LOGGED

SAID = {CHOSEN: "the chosen one", MEAN_OF_LOG: "the log's mean for all"}
PICKED = {"select": "the rule of `select`", "largest": "the largest estimate", LOGGED: "keeping the logger"}
_NO = "–"
_HEAD = f"{'estimator':<25}{'|error|':>9}{'trusted':>9}  {'95 % intervals hold':<22}{'ranks':>7}"


def to_text(document: Mapping[str, Any]) -> str:
    """Returns what was found as tables of at most 80 columns; ``document`` is from `ope_study`."""
    lines = []
    for world in document["worlds"]:
        for size in world["sizes"]:
            lines += [
                "",
                *_folded(f"{_title(document, world)}: {_about(size)}."),
                "",
                _HEAD,
                "─" * len(_HEAD),
            ]
            for row in size["estimators"]:
                lines.append(
                    f"{named(row['estimator']):<25}{_error(row):>9}{_share(row['trusted']):>9}  "
                    f"{_covered(row['coverage']):<22}{_number(row['rank_correlation']['value']):>7}"
                )
            lines += ["", *_folded(" ".join(_sentences(world, size)))]
    return "\n".join([*lines[1:], "", *_folded(_LEGEND)])


_LEGEND = (
    "|error| is the median over logs and policies, as a share of V_oracle − V_random; ≤ stands where it is below the "
    "error of the truth itself. In brackets, at 95 %: behind shares, a binomial with as many trials as logs; behind "
    "ranks and regrets, a mean over logs. Ranks: Spearman's rho of estimated and true values, mean over logs."
)


def named(estimator: str) -> str:
    """Returns what an estimator is called in tables and pictures."""
    return SAID.get(estimator, estimator)


def where(world: Mapping[str, Any]) -> str:
    """Returns what sets a world of the grid apart, in words; empty where there is only one."""
    return ", ".join(f"{name} {value}" for name, value in world["settings"].items())


def _folded(words: str) -> list[str]:
    return fold(words, indent="").splitlines()


def _title(document: Mapping[str, Any], world: Mapping[str, Any]) -> str:
    return where(world) or str(document["study"]["world"])


def _about(size: Mapping[str, Any]) -> str:
    logs = f"{size['logs']:,} log{'' if size['logs'] == 1 else 's'}"
    return f"{logs} of {size['sessions']:,} sessions, {size['turns']:,.0f} turns, {size['people']:,.0f} people"


def _error(row: Mapping[str, Any]) -> str:
    if row["median_error"] is None:
        return _NO
    return f"{row['median_error']:.3f}" if row["resolved"] else f"≤ {row['truth_error']:.3f}"


def _share(share: float | None) -> str:
    return _NO if share is None else f"{share:.0%}"


def _number(value: float | None) -> str:
    return _NO if value is None else f"{value:.2f}"


def _covered(found: Mapping[str, Any]) -> str:
    return f"{found['share']:.1%} ({found['low']:.1%}–{found['high']:.1%})" if found["intervals"] else _NO


def _sentences(world: Mapping[str, Any], size: Mapping[str, Any]) -> Iterator[str]:
    chosen = size["estimators"][0]
    held = chosen["coverage_trusted"]
    if held["intervals"]:
        wider = f"{held['with_truth_error']:.1%} if the truth's own error is added"
        yield (
            f"Of the chosen estimates {_share(chosen['trusted'])} are marked trusted; of their {held['intervals']:,} "
            f"intervals {_covered(held)} hold the truth, and {wider}."
        )
    else:
        yield "None of the chosen estimates is marked trusted."
    yield (
        f"The truth's own error is {chosen['truth_error']:.4f}; chosen estimates vary {_number(chosen['spread'])} "
        "times as much as they say."
    )
    regrets = ", ".join(f"{PICKED[pick]} {_mean(found, 3)}" for pick, found in size["picks"].items())
    yield f"Regret: {regrets}."
    if world["truth"]["alike"]:
        pairs = "; ".join(" and ".join(pair) for pair in world["truth"]["alike"])
        yield f"Truly hard to tell apart: {pairs}."


def _mean(found: Mapping[str, Any], digits: int) -> str:
    value, low, high = (found[name] for name in ("value", "low", "high"))
    if value is None:
        return _NO
    return f"{value:.{digits}f}" + ("" if low is None else f" ({low:.{digits}f} to {high:.{digits}f})")


# --- Markdown ---------------------------------------------------------------------------------------------------------


def to_markdown(document: Mapping[str, Any], pictures: Sequence[str]) -> str:
    """Returns the study as a page.

    Args:
        document: From `ope_study`.
        pictures: File names of its pictures, beside the page.
    """
    study = document["study"]
    settings = " ".join(f"{name}={value}" for name, value in study["world_settings"].items())
    lines = [
        f"# Off-policy evaluation against the truth: {study['world']}",
        "",
        f"Logged by {study['policy']} at temperature {study['temperature']:g}, {study['split']} people"
        + (f", {settings}" if settings else "")
        + f". Evaluated: {', '.join(study['policies'])}. The truth was measured on {study['truth_sessions']:,} fresh "
        "sessions of the same people, of whom the intervals are, too (`--same-people`).",
        "",
        _LEGEND + " Intervals of one log count as one trial. *Spread*: how much estimates of one policy vary between "
        "logs, divided by what they say of it; *bias*: how far their mean is from the truth, mean over policies.",
        "",
    ]
    for world in document["worlds"]:
        lines += [f"## {_title(document, world)}", "", *_truth(world), ""]
        for size in world["sizes"]:
            lines += [
                f"### {_about(size)}",
                "",
                *_table(size),
                "",
                *(f"- {said}" for said in _sentences(world, size)),
                "",
            ]
    lines += [part for name in pictures for part in (f"![{name.removesuffix('.png')}]({name})", "")]
    return "\n".join([*lines, "Made by:", "", "```", document["command"], "```", ""])


def _truth(world: Mapping[str, Any]) -> list[str]:
    truth = world["truth"]
    rows = [
        f"| {name} | {one['value']:.4f} | {one['error']:.4f} | {(one['value'] - truth['random']) / truth['span']:.3f} |"
        for name, one in sorted(truth["policies"].items(), key=lambda pair: -pair[1]["value"])
    ]
    ends = [f"| oracle | {truth['oracle']:.4f} | | 1 |", f"| random | {truth['random']:.4f} | | 0 |"]
    return ["| policy | true value | its error | normalised |", "|---|---|---|---|", ends[0], *rows, ends[1]]


def _table(size: Mapping[str, Any]) -> list[str]:
    lines = [
        "| estimator | median \\|error\\| | bias | spread | trusted | 95 % intervals hold | of those trusted | rank "
        "correlation |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in size["estimators"]:
        name = row["estimator"]
        called = f"**{SAID[name]}**" if name == CHOSEN else SAID.get(name, f"`{name}`")
        parts = [
            called,
            _error(row),
            _NO if row["bias"] is None else f"{row['bias']:.3f}",
            _number(row["spread"]),
            _share(row["trusted"]),
            _covered(row["coverage"]),
            _covered(row["coverage_trusted"]),
            _mean(row["rank_correlation"], 2),
        ]
        lines.append(f"| {' | '.join(parts)} |")
    return lines


def checked(value: float | None) -> float:
    """Returns a number of a document that was read again, NaN where it says null."""
    return math.nan if value is None else value

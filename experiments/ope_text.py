"""What was found about policies offline, as text of at most 80 columns but for long names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from instructrec.experiments.folding import fold
from instructrec.off_policy import LOGGED

_HEAD = f"{'policy':<22}{'value':>9}  {'95 %':^21}{'ESS':>9}{'largest':>9}{'trusted':>8}"
_NO = "–"


def to_text(document: Mapping[str, Any], *, every: bool = False) -> str:
    """Returns estimates as a table with a sentence for each policy.

    Args:
        document: From `ope.ope`.
        every: Whether to show every estimator.
    """
    lines = [*_about(document), "", _HEAD, "─" * len(_HEAD)]
    for one in document["policies"]:
        lines += [_row(one["policy"], one), *_said(one, document)]
    if every:
        for one in document["policies"]:
            lines += ["", *_every(document, one["policy"])]
    return "\n".join([*lines, "", *_legend(document)])


def select_text(document: Mapping[str, Any]) -> str:
    """Returns the decision, and the ranking that it rests on, as text; ``document`` is from `ope.select`."""
    if document["selected"] == LOGGED:
        name = document["behaviour"]["name"]
        decision = f"Keep the policy that logged ({name}): {document['why']}."
    else:
        decision = f"Deploy {document['selected']}: {document['why']}."
    known = document["truth"] is not None
    head = f"{'policy':<22}{'gain':>9}  {'interval':^21}{'value':>9}{'truth' if known else '':>9}{'trusted':>8}"
    lines = [fold(decision), "", *_about(document), "", head, "─" * len(head)]
    for one in document["ranking"]:
        gain = one["gain"]
        lines.append(
            f"{_name(one['policy'])}{_figure(gain['value']):>9}  {_span(gain):^21}{_figure(one['value']):>9}"
            f"{_figure(one.get('truth')) if known else '':>9}{'yes' if one['trusted'] else 'no':>8}"
        )
        if not one["trusted"]:
            lines += _indented(f"not trusted: {one['why']}")
    unit = _unit(document)
    rule = (
        f"The rule: {document['rule']}. Gains are over the policy that logged, {unit} by {unit}; their intervals hold "
        f"at {document['level']:.1%} each, so at 95 % all together."
    )
    lines += ["", *_folded(rule)]
    if document.get("regret") is not None:
        share = document["relative_regret"]
        of = "" if share is None else f", {share:.1%} of the way from random to the oracle"
        said = (
            "the best of them in truth, too"
            if not document["regret"]
            else f"{document['best']} truly earns {document['regret']:.3g} more{of}"
        )
        lines.append(fold(f"Regret: {said}."))
    return "\n".join(lines)


def _about(document: Mapping[str, Any]) -> Iterator[str]:
    behaviour, world = document["behaviour"], document["world"]
    at = "" if behaviour["temperature"] is None else f", temperature {behaviour['temperature']:g}"
    reading = "the reward of a session" if document["reading"] == "sessions" else "the reward of a slate"
    yield from _folded(
        f"{world['id']}, {world['split'] or 'all'} people: {document['sessions']:,} sessions, {document['turns']:,} "
        f"turns of {document['people']:,} people, logged by {behaviour['name']}{at}. Values are {reading}. "
        f"Intervals are of {'these people in fresh sessions' if document['same_people'] else 'people like these'}."
    )
    for note in document["notes"]:
        yield from _folded(note)
    truth = document["truth"]
    if truth:
        bounds = f"Random slates earn {truth['random']:.4g}"
        bounds += "" if truth["oracle"] is None else f", the oracle {truth['oracle']:.4g}"
        yield from _folded(f"{bounds}; the truth is of {truth['sessions']:,} fresh sessions of the same people.")


def _folded(sentence: str) -> list[str]:
    return fold(sentence).split("\n")


def _name(name: str) -> str:
    return f"{name:<22}" if len(name) < 22 else f"{name}\n{'':<22}"


def _figure(value: float | None) -> str:
    if value is None or math.isnan(value):
        return _NO
    return f"{value:.3g}" if abs(value) >= 1e6 or 0 < abs(value) < 1e-3 else f"{value:.3f}"


def _count(value: float) -> str:
    if math.isnan(value):
        return _NO
    return f"{value:,.0f}" if value < 1e7 else f"{value:.1e}"


def _span(one: Mapping[str, Any]) -> str:
    low, high = _figure(one["low"]), _figure(one["high"])
    return _NO if _NO in (low, high) else f"{low} to {high}"


def _row(name: str, one: Mapping[str, Any]) -> str:
    largest = _NO if math.isnan(one["max_weight"]) else f"{one['max_weight']:.3g}"
    return (
        f"{_name(name)}{_figure(one['value']):>9}  {_span(one):^21}{_count(one['ess']):>9}{largest:>9}"
        f"{'yes' if one['trusted'] else 'no':>8}"
    )


def _said(one: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    if one["policy"] == LOGGED:
        mean = document["behaviour"]["value"]
        yield from _indented(f"the policy that logged, as a check: it earned {_figure(mean)}")
    else:
        yield from _indented(f"{one['estimator']}: {one['choice']}")
    if not one["trusted"]:
        yield from _indented(f"not trusted: {one['why']}")
    if one["unsupported"] > 0.005:
        yield from _indented(f"{one['unsupported']:.1%} of what it shows is hardly or never in the log")
    if one.get("truth") is not None:
        ends = {"low": one["truth_low"], "high": one["truth_high"]}
        share = one["relative_error"]
        error = "" if share is None else f"; error {share:+.1%} of oracle – random"
        inside = "inside" if one["covered"] else "outside"
        yield from _indented(f"truth {_figure(one['truth'])} ({_span(ends)}), {inside} the interval{error}")


def _indented(sentence: str) -> list[str]:
    return [f"  {line}" for line in fold(sentence, 78, indent="").split("\n")]


def _every(document: Mapping[str, Any], policy: str) -> Iterator[str]:
    real = any("truth" in row for row in document["estimates"])
    yield f"{policy}, every estimator (* chosen)"
    yield f"{'':<28}{'value':>9}  {'95 %':^21}{'ESS':>9}{'error' if real else '':>6}{'':>5}"
    for row in document["estimates"]:
        if row["policy"] == policy:
            error = row.get("relative_error")
            shown = "" if error is None or math.isnan(error) else f"{error:+.0%}" if abs(error) < 10 else ">10"
            yield (
                f"{'*' if row['chosen'] else ' '} {row['estimator']:<26}{_figure(row['value']):>9}  {_span(row):^21}"
                f"{_count(row['ess']):>9}{shown:>6}{'' if row['trusted'] else '  no'}"
            )


def _unit(document: Mapping[str, Any]) -> str:
    """Returns what chance draws one by one, of which intervals are made."""
    return "session" if document["same_people"] else "person"


def _legend(document: Mapping[str, Any]) -> list[str]:
    return _folded(
        "ESS: effective sample size, how many rows of equal weight would say as much; largest: the largest weight, "
        "where the mean is 1. Intervals hold what chance does, "
        f"{_unit(document)} by {_unit(document)}."
    )

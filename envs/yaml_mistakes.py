"""Saying where a YAML file is wrong and how to mend it: the line where the mistake is, which PyYAML often passes.

PyYAML stops where it cannot go on, which after a forgotten colon, quote or bracket is a line later or the end of the
file. What it began with there (its context), and the tokens before, lead back to the mistake.
"""

from __future__ import annotations

import re

import yaml

_SHOWN = 60
_BREAKS = re.compile("[\n\x85\u2028\u2029]")  # What PyYAML counts as the end of a line.
_OPEN = {"while parsing a flow sequence": ("[", "]"), "while parsing a flow mapping": ("{", "}")}


def mistake_in(text: str, problem: yaml.YAMLError) -> str:
    """Returns what is wrong with a text that PyYAML refused.

    Args:
        text: The file's content.
        problem: What PyYAML raised.

    Returns:
        ``line 3: 'b:2': …; …``: the line, what stands there, what is wrong and the cure.
    """
    if isinstance(problem, yaml.reader.ReaderError):
        line = len(_BREAKS.findall(text[: problem.position]))
        return _said(text, line, "a character that no text file holds; remove it")
    if not isinstance(problem, yaml.MarkedYAMLError) or problem.problem_mark is None:
        return f"{problem}; write names and values as name: value"
    return _said(text, *_mistake(text, problem, problem.context_mark or problem.problem_mark, problem.problem_mark))


def _mistake(text: str, problem: yaml.MarkedYAMLError, start: yaml.Mark, stop: yaml.Mark) -> tuple[int, str]:
    """Returns the line, counted from 0, and what is wrong there."""
    began, line, column = start.line, stop.line, stop.column
    context, what = problem.context or "", problem.problem or ""
    lines = _BREAKS.split(text)
    if "'\\t'" in what:
        return line, "a tab; indent and divide with blanks alone"
    if context == "while scanning a simple key":
        if re.match(r"\s*(- +)?[\w.]+:\S", lines[began]):
            return began, "no blank after the colon; write name: value"
        return began, "neither name: value nor an entry of a list (- value); add the colon, or the dash"
    if context.startswith("while scanning a") and "quoted" in context and "unexpected" in what:
        return began, f"the quote {lines[began][start.column : start.column + 1]} is not closed; close it"
    if context in _OPEN:
        opening, closing = _OPEN[context]
        if line > began and (len(lines) <= line or _indent(lines[line]) <= _indent(lines[began])):
            return began, f"the bracket {opening} is not closed; close it by {closing}"
        return line, f"within {opening}…{closing} a comma or the {closing} is missing or misplaced; put it right"
    if what.endswith(("']'", "'}'")):
        return line, f"the bracket {what[-2]} closes nothing; remove it, or open it"
    if what.endswith("'<scalar>'"):
        quoted = _quoted_before(text, line, column)
        if quoted is not None and quoted < line:
            return quoted, "a quote is not closed on its line; close it"
        if quoted is not None:
            return line, 'the text goes on after its closing quote; write a \' inside a text twice, or put it in "…"'
    if what.startswith("mapping values") and _has_value(lines[line][:column]):
        return line, "a text that holds ': ' stands without quotes; put it in quotes"
    if what.startswith(("mapping values", "expected <block end>")):
        return line, "it is indented otherwise than its neighbours; indent what belongs together alike"
    if "cannot start any token" in what or "undefined alias" in what:
        return line, "a text that begins with a sign of YAML's own stands without quotes; put it in quotes"
    if "escape" in what:
        return line, 'a backslash in "…" has a meaning of its own; write it twice, or use single quotes'
    if "another document" in what:
        return line, "a second document begins; one file holds one world: remove the ---"
    return line, f"{what or context}; indent with blanks alone, close brackets and quotes"


def _said(text: str, line: int, what: str) -> str:
    lines = _BREAKS.split(text)
    shown = lines[line].strip()[:_SHOWN] if line < len(lines) else ""
    return f"line {line + 1}: {shown!r}: {what}" if shown else f"line {line + 1}: {what}"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _has_value(before: str) -> bool:
    """Returns whether the beginning of a line holds a name and a value already."""
    return bool(re.search(r":\s", before))


def _quoted_before(text: str, line: int, column: int) -> int | None:
    """Returns the line on which the last quoted text before a place begins, where it ends on that place's line."""
    began = None
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if (token.start_mark.line, token.start_mark.column) >= (line, column):
                break
            if isinstance(token, yaml.ScalarToken) and not token.plain and token.end_mark.line == line:
                began = token.start_mark.line
    except yaml.YAMLError:
        pass
    return began

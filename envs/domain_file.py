"""Reads a domain file: every mistake is told with its line and its cure."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path

from instructrec.catalogue import MAX_VALUES, Kind
from instructrec.envs.behaviour import Behaviour
from instructrec.envs.conditions import Levels, Ranked, condition, conditions_of
from instructrec.envs.domain import DRAWS, Asks, Attribute, Domain, Items, People, Rule, Words
from instructrec.envs.domain_file_words import check_words, read_words
from instructrec.envs.languages import LANGUAGES
from instructrec.envs.made_items import pattern_names
from instructrec.envs.patterns import read_pattern
from instructrec.envs.vocabulary import Extras, Measure, Pool, RequestKind
from instructrec.envs.yaml_reader import Entry, read_yaml
from instructrec.goals import Predicate
from instructrec.names import unknown_name

MOST_ITEMS = 1_000_000
_SPECIAL = ("exclusion", "share", "vague")
_OF_NUMBERS = ("draw", "low", "high", "round", "half_life")
_EXTRA = ("context", "count", "conditional", "misinformed", "infeasible")
_DATA_OF = {"context": "contexts", "count": "counts"}
_REPLIES = ("like", "unlike", "override", "reset", "relax", "drift", "weight_drift")
_MOST_IN_CONTEXT, _MOST_COUNTED = 3, 100
RESERVED = (*_SPECIAL, *_EXTRA, "number", "title")
"""What means something in a domain file by itself, so that no attribute that people ask for is called so."""
_EXTENDS = re.compile(r"^extends:\s*(\S+)", re.MULTILINE)

FOLDER = Path(__file__).parent / "domains"
"""The domain files that come with the package; ``Movies-v0.yaml`` is ``instructrec/Movies-v0``."""


def domain_at(path: Path, name: str = "") -> Domain:
    """Returns the domain of a file as it stands now, the same object while the file stays the same.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: As `read_domain`.
    """
    changed = tuple((file, file.stat().st_mtime_ns) for file in _chain(path.resolve()))
    return _read(path.resolve(), name, changed)


@functools.lru_cache(maxsize=64)
def _read(path: Path, name: str, changed: tuple[tuple[Path, int], ...]) -> Domain:
    return read_domain(path, name)


def _chain(path: Path) -> list[Path]:
    """Returns a file and those that it extends, as far as they exist."""
    files: list[Path] = []
    while path.is_file() and path not in files:
        files.append(path)
        named = _EXTENDS.search(path.read_text("utf-8", "replace"))
        if named is None:
            break
        path = _extended(path, named[1].strip("\"'"))
    return files


def _extended(path: Path, name: str) -> Path:
    """Returns the file that ``path`` extends: one of the package, by its name, or another by its relative path."""
    own = FOLDER / f"{name.removeprefix('instructrec/')}.yaml"
    return (own if own.is_file() else path.parent / name).resolve()


def _whole(path: Path, below: tuple[Path, ...] = ()) -> Entry:
    """Returns a file's entries over those of the file that it extends."""
    entry = read_yaml(path)
    named = entry.pairs().get("extends") if entry.is_mapping else None
    if named is None:
        return entry
    base = _extended(path, named.text())
    if base in (path, *below):
        named.fail(f"{base.name} extends this file, in turn; a file cannot extend itself")
    if not base.is_file():
        worlds = [file.stem for file in FOLDER.glob("*.yaml")]
        named.fail(unknown_name("domain file", named.text(), worlds) + "; another file is given by its relative path")
    return entry.over(_whole(base, (*below, path)))


def read_domain(path: Path, name: str = "") -> Domain:
    """Reads and checks one domain file.

    Args:
        path: The file.
        name: The world's full name; made of the file's name if omitted: ``shop.yaml`` is ``local/shop-v0``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If anything in it is wrong; the message names the line and the cure.
    """
    whole = _whole(path.resolve())
    top = whole.fields(
        (
            *(
                "extends",
                "domain",
                "summary",
                "slate_size",
                "turn_limit",
                "reward",
                "candidates",
                "items",
                "attributes",
                "people",
                "rules",
            ),
            *("asks", "languages"),
        ),
        ("domain", "attributes"),
    )
    attributes = {n: _attribute(n, e) for n, e in top["attributes"].pairs().items()}
    if not attributes:
        top["attributes"].fail("names no attribute; an item has at least one")
    levels: Levels = {n: Ranked(a.values) if a.kind is Kind.ORDINAL else tuple(a.values) for n, a in attributes.items()}
    for attribute, entry in zip(attributes.values(), top["attributes"].pairs().values(), strict=True):
        _check_above(attribute, attributes, entry)
    items = _items(top["items"], attributes) if "items" in top else Items()
    if items.source == "made":
        for attribute, entry in zip(attributes.values(), top["attributes"].pairs().values(), strict=True):
            if attribute.kind is Kind.NUMERIC and attribute.draw is None:
                entry.fail("says not how its numbers are spread; add a line such as draw: {uniform: [1, 10]}")
            if attribute.kind is not Kind.NUMERIC and not attribute.values:
                entry.fail(f"a {attribute.kind} attribute has values; add a line such as values: [one, another]")
    people = _people(top["people"], attributes) if "people" in top else People()
    asks = _asks(top["asks"], attributes, levels) if "asks" in top else None
    taken = (*attributes, *_SPECIAL, *_EXTRA, *(asks.pools if asks is not None else ()))
    rules = tuple(_rule(n, e, levels, taken) for n, e in top["rules"].pairs().items()) if "rules" in top else ()
    if len({rule.reward for rule in rules}) > 1:
        told = ", ".join(f"{rule.name} {-rule.reward:g}" for rule in rules)
        top["rules"].fail(f"an item is unsuitable or not, whichever rule says so: give all one penalty, not {told}")
    if asks is not None and asks.extras.replies:
        replies = asks.extras.replies
        top["asks"].pairs()["replies"].made(lambda: Behaviour(**{**replies, **people.behaviour}))
    contexts = asks.extras.contexts if asks is not None else {}
    words: dict[str, Words] = {}
    if "languages" in top:
        for code, entry in top["languages"].fields(LANGUAGES).items():
            words[code] = read_words(entry, attributes, levels, LANGUAGES[code].tongue, contexts)
    if asks is not None and not words:
        top["asks"].fail("people ask in words: add languages: with an entry such as en:")
    domain = Domain(
        name=name or f"local/{path.stem}-v0",
        domain=top["domain"].text(),
        summary=top["summary"].text() if "summary" in top else "",
        items=items,
        attributes=attributes,
        people=people,
        rules=rules,
        asks=asks,
        words=words,
        slate_size=top["slate_size"].whole(1, 1000) if "slate_size" in top else 10,
        turn_limit=top["turn_limit"].whole(1, 100_000) if "turn_limit" in top else 10,
        reward=top["reward"].one_of(("clicks", "engagement", "retention"), "reward") if "reward" in top else "clicks",
        folder=path.resolve().parent,
        candidates=top["candidates"].whole(0, MOST_ITEMS) if "candidates" in top else 0,
    )
    for language in words:
        check_words(whole, domain, language, levels)
    return domain


# Attributes.


def _attribute(name: str, entry: Entry) -> Attribute:
    known = ("kind", "values", "more", "draw", "low", "high", "round", "missing", "only", "by", "half_life", "said")
    found = entry.fields(known, ("kind",))
    if not name.isidentifier() or name in ("number", "title"):
        entry.fail("an attribute is named by letters, digits and underscores, and not number or title")
    kind = Kind(found["kind"].one_of([str(kind) for kind in Kind], "kind of attribute"))
    without = {
        Kind.NUMERIC: ("values", "more"),
        Kind.ORDINAL: ("more", *_OF_NUMBERS),
        Kind.CATEGORICAL: ("more", "said", *_OF_NUMBERS),
        Kind.MULTI_VALUED: ("said", *_OF_NUMBERS),
    }
    for given in found:
        if given in without[kind]:
            found[given].fail(f"has no meaning for a {kind} attribute; remove it")
    values = _values(found["values"], kind) if "values" in found else {}
    low = found["low"].number() if "low" in found else float("-inf")
    high = found["high"].number(low) if "high" in found else float("inf")
    measure, says = _measure(name, found["said"], low, high) if "said" in found else (None, "")
    return Attribute(
        name=name,
        kind=kind,
        values=values,
        more=found["more"].number(0, 20) if "more" in found else 0.0,
        draw=_draw(found["draw"]) if "draw" in found else None,
        low=low,
        high=high,
        round=found["round"].number(0) if "round" in found else 0.0,
        missing=found["missing"].number(0, 1) if "missing" in found else 0.0,
        only={n: e.texts() for n, e in found["only"].pairs().items()} if "only" in found else {},
        by=_by(found["by"], tuple(values)) if "by" in found else {},
        half_life=found["half_life"].number(1e-9) if "half_life" in found else 0.0,
        measure=measure,
        says=says,
    )


def _values(entry: Entry, kind: Kind) -> dict[str, float]:
    if entry.is_mapping:
        values = {name: share.number(0) for name, share in entry.pairs().items()}
    else:
        values = dict.fromkeys(entry.texts(), 1.0)
    if not values or (kind is not Kind.ORDINAL and len(values) > MAX_VALUES):
        entry.fail(f"holds {len(values)} values; a set attribute has 1 to {MAX_VALUES}")
    if sum(values.values()) <= 0:
        entry.fail("every value has the share 0; give at least one a share above 0")
    return values


def _draw(entry: Entry) -> tuple[str, tuple[float, ...]]:
    found = entry.fields(DRAWS)
    if len(found) != 1:
        entry.fail(f"names {len(found)} ways to draw; give one of {', '.join(DRAWS)}")
    name, given = next(iter(found.items()))
    numbers = tuple(part.number() for part in given.entries())
    if len(numbers) != len(DRAWS[name]):
        given.fail(f"takes {len(DRAWS[name])} numbers ({', '.join(DRAWS[name])}), got {len(numbers)}")
    wrong = (name in ("uniform", "even") and numbers[0] > numbers[1]) or (
        name in ("lognormal", "exponential", "counts") and numbers[0] <= 0
    )
    if wrong or (name in ("normal", "lognormal", "counts", "until") and numbers[1] < 0):
        shown = ", ".join(f"{n}={v:g}" for n, v in zip(DRAWS[name], numbers, strict=True))
        given.fail(f"cannot be drawn from ({shown}): low is at most high, spreads are 0 or more, means above 0")
    return name, numbers


def _by(entry: Entry, values: tuple[str, ...]) -> dict[tuple[str, str], float | dict[str, float]]:
    return {
        (attribute, value): {n: e.number(0, 1e6) for n, e in factor.fields(values).items()}
        if values
        else factor.number(1e-6, 1e6)
        for attribute, others in entry.pairs().items()
        for value, factor in others.pairs().items()
    }


def _check_above(attribute: Attribute, attributes: Mapping[str, Attribute], entry: Entry) -> None:
    """Fails where an attribute hangs on one that does not stand above it, or on a value that it does not have."""
    above = {n: attributes[n] for n in list(attributes)[: list(attributes).index(attribute.name)]}
    found = entry.pairs()
    for part in ("only", "by"):
        for other, values in found[part].pairs().items() if part in found else ():
            known = [n for n, a in above.items() if a.values]
            if other not in known:
                values.fail(unknown_name("attribute with values above this one", other, known))
            named = values.pairs() if values.is_mapping else {e.text(): e for e in values.entries()}
            for value, place in named.items():
                if value not in above[other].values:
                    place.fail(unknown_name(f"value of {other}", value, above[other].values))


def _measure(name: str, entry: Entry, low: float, high: float) -> tuple[Measure, str]:
    sorts = sorted({sort for language in LANGUAGES.values() for sort in language.measures})
    found = entry.fields(("as", "step", "round_to", "low", "high", "now"), ("as",))
    sort = found["as"].one_of(sorts, "sort of number")
    step = found["step"].number(1e-9) if "step" in found else 1.0
    measure = Measure(
        field=name,
        step=step,
        round_to=found["round_to"].number(1e-9) if "round_to" in found else step,
        lowest=found["low"].number() if "low" in found else max(low, 0.0),
        highest=found["high"].number() if "high" in found else min(high, 1e9),
        now=found["now"].number() if "now" in found else None,
    )
    return measure, sort


# Items and people.


def _items(entry: Entry, attributes: Mapping[str, Attribute]) -> Items:
    found = entry.fields(("source", "settings", "count", "title", "text", "pieces"))
    lists = found["pieces"].pairs() if "pieces" in found else {}
    pieces = {n: e.texts() for n, e in lists.items()}
    for name, entry_of in lists.items():
        if not pieces[name]:
            entry_of.fail("is an empty list; give it a word, or remove it")
        if name in attributes or name in ("number", "title"):
            entry_of.fail(f"{name} already means something in titles; rename the list")
    items = Items(
        source=found["source"].one_of(("made", "movielens", "data"), "source of items")
        if "source" in found
        else "made",
        settings={n: e.text() for n, e in found["settings"].pairs().items()} if "settings" in found else {},
        count=found["count"].whole(1, MOST_ITEMS) if "count" in found else Items.count,
        title=found["title"].text() if "title" in found else Items.title,
        text=found["text"].text() if "text" in found else Items.text,
        pieces=pieces,
    )
    if items.source == "data" and set(items.settings) != {"file"}:
        entry.fail("items of people's own data name their file: settings: {file: NAME.safetensors}")
    known = pattern_names(attributes, pieces)
    for name, more in (("title", {}), ("text", {"title": ""})):
        found.get(name, entry).made(read_pattern, getattr(items, name), {**known, **more})
    return items


def _people(entry: Entry, attributes: Mapping[str, Attribute]) -> People:
    known = ("population", "settings", "count", "tastes", "quality", "luck", "allure", "past", "topic", "behaviour")
    found = entry.fields(known)
    numbers = [name for name, attribute in attributes.items() if not attribute.values or attribute.kind is Kind.ORDINAL]
    sets = [name for name in attributes if name not in numbers]

    def weights(name: str, names: list[str]) -> dict[str, float]:
        return {n: e.number(-10, 10) for n, e in found[name].fields(names).items()} if name in found else {}

    allure = weights("allure", numbers)
    if sum(weight**2 for weight in allure.values()) > 1:
        found["allure"].fail("the squares of the weights must not exceed 1 together")
    constants = [constant.name for constant in fields(Behaviour)]
    behaviour = {}
    if "behaviour" in found:
        behaviour = {n: e.number() for n, e in found["behaviour"].fields(constants).items()}
        found["behaviour"].made(lambda: Behaviour(**behaviour))
    return People(
        population=found["population"].text() if "population" in found else "conversational",
        settings={n: _scalar(e) for n, e in found["settings"].pairs().items()} if "settings" in found else {},
        count=found["count"].whole(5, 1_000_000) if "count" in found else People.count,
        tastes={n: _taste(e) for n, e in found["tastes"].fields(attributes).items()} if "tastes" in found else {},
        quality=weights("quality", numbers),
        luck=found["luck"].number(0, 5) if "luck" in found else People.luck,
        allure=allure,
        past=found["past"].whole(0, 1000) if "past" in found else People.past,
        topic=found["topic"].one_of(sets, "set attribute") if "topic" in found else "",
        behaviour=behaviour,
    )


def _scalar(entry: Entry) -> object:
    text = entry.text()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)


def _taste(entry: Entry) -> tuple[float, float]:
    if not entry.is_mapping:
        return 0.0, entry.number(0, 10)
    found = entry.fields(("mean", "spread"), ("spread",))
    return found["mean"].number(-10, 10) if "mean" in found else 0.0, found["spread"].number(0, 10)


def _rule(name: str, entry: Entry, levels: Levels, taken: Collection[str]) -> Rule:
    found = entry.fields(("people", "said", "penalty"), ("people",))
    if name in taken:
        entry.fail(f"people already ask for what is called {name}; rename the rule")
    shares: list[tuple[Predicate | None, float]] = []
    for said, share in found["people"].pairs().items():
        stated = None if said == "anything" else share.made(condition, said, levels)
        if stated is not None and not stated.hard:
            share.fail("a rule is no wish; remove ', wish'")
        shares.append((stated, share.number(0, 1)))
    if abs(sum(share for _, share in shares) - 1) > 1e-6:
        found["people"].fail(f"the shares of people must sum to 1, got {sum(share for _, share in shares):g}")
    return Rule(
        name=name,
        shares=tuple(shares),
        said=found["said"].number(0, 1) if "said" in found else 0.5,
        reward=-found["penalty"].number(0, 100) if "penalty" in found else 0.0,
    )


# What people ask for.


def _asks(entry: Entry, attributes: Mapping[str, Attribute], levels: Levels) -> Asks:
    known = ("about", "parts", "named", "specific", "excluding", "others", "contexts", "counts", "conditional")
    found = entry.fields((*known, "misinformed", "infeasible", "alike", "replies"), ("about", "named"))
    sets = [name for name, attribute in attributes.items() if attribute.kind in (Kind.CATEGORICAL, Kind.MULTI_VALUED)]
    about = tuple(part.one_of(sets, "set attribute") for part in found["about"].entries())
    if not about:
        found["about"].fail(f"names nothing; give at least one of {', '.join(sets)}")
    for part, name in zip(found["about"].entries(), about, strict=True):
        if len(attributes[name].values) == 1:
            part.fail(f"{name} has a single value; people name what has two or more")
    pools = {n: _pools(e, levels) for n, e in found["parts"].pairs().items()} if "parts" in found else {}
    for name in pools:
        if name in sets or name in ("exclusion", "share", *_EXTRA):
            found["parts"].pairs()[name].fail("is asked for by itself and needs no part; rename the part")
    extras = _extras(found, attributes, levels, [*about, *pools])
    parts = [*about, *pools, *_SPECIAL, *_EXTRA]
    specific = found["specific"].number(0, 1) if "specific" in found else 0.8
    excluding = found["excluding"].number(0, 1) if "excluding" in found else 0.25
    named = {_parts(n, e, parts): e.number(0) for n, e in found["named"].pairs().items()}
    if not named or sum(named.values()) <= 0:
        found["named"].fail("names no request with a share above 0; add one such as genre: 1")
    kinds = [RequestKind("+".join(p), specific * (1 - excluding) * share, p) for p, share in named.items()]
    kinds += [
        RequestKind("+".join((*p, "exclusion")), specific * excluding * share, (*p, "exclusion"))
        for p, share in named.items()
        if excluding
    ]
    for name, share in found["others"].pairs().items() if "others" in found else ():
        if name == "implicit":
            kinds.append(RequestKind(name, share.number(0), (), "none"))
            continue
        of = _parts(name, share, parts)
        if "vague" in of and "vague" not in pools:
            share.fail("people ask vaguely for what `parts` calls vague; add parts: vague: ...")
        for extra in _EXTRA:
            data = _DATA_OF.get(extra, extra)
            if extra in of and data not in found:
                share.fail(f"says how often people ask so, and nothing what they ask; add asks: {data}: ...")
        if "infeasible" in of and len(of) > 1:
            share.fail("what nothing meets is a kind by itself: write infeasible, and its parts under asks: infeasible")
        kinds.append(RequestKind(name, share.number(0), of, "vague" if "vague" in of else "specific"))
    return Asks(about=about, pools=pools, kinds=tuple(kinds), extras=extras)


def _extras(
    found: Mapping[str, Entry], attributes: Mapping[str, Attribute], levels: Levels, parts: list[str]
) -> Extras:
    """Reads the data of the operators."""

    def named(name: str) -> tuple[str, ...]:
        return tuple(part.one_of(parts, "part") for part in found[name].entries()) if name in found else ()

    contexts = {n: _context(e, levels) for n, e in found["contexts"].pairs().items()} if "contexts" in found else {}
    counts = found["counts"].fields(("of", "at_least", "exactly")) if "counts" in found else {}
    if counts and not {"at_least", "exactly"} & set(counts):
        found["counts"].fail("counts nothing; add at_least: [3] or exactly: [2]")
    replies = found["replies"].fields(_REPLIES) if "replies" in found else {}
    return Extras(
        contexts=contexts,
        counted=tuple(e.one_of(parts, "part") for e in counts["of"].entries()) if "of" in counts else (parts[0],),
        at_least=_counts(counts.get("at_least")),
        exactly=_counts(counts.get("exactly")),
        conditional=named("conditional"),
        misinformed=named("misinformed"),
        infeasible=_infeasible(found["infeasible"], parts) if "infeasible" in found else (),
        alike=tuple(e.one_of(attributes, "attribute") for e in found["alike"].entries())
        if "alike" in found
        else (parts[0],)
        if {"like", "unlike"} & set(replies)
        else (),
        replies={n: e.number(0, 10 if n == "weight_drift" else 1) for n, e in replies.items()},
    )


def _context(entry: Entry, levels: Levels) -> tuple[Predicate, ...]:
    parts = tuple(part.made(condition, part.text(), levels) for part in entry.entries())
    if not 1 <= len(parts) <= _MOST_IN_CONTEXT:
        entry.fail(f"means {len(parts)} conditions; a context means 1 to {_MOST_IN_CONTEXT}")
    return parts


def _counts(entry: Entry | None) -> tuple[int, ...]:
    return tuple(part.whole(1, _MOST_COUNTED) for part in entry.entries()) if entry is not None else ()


def _infeasible(entry: Entry, known: list[str]) -> tuple[tuple[str, ...], ...]:
    found = tuple(_parts(part.text(), part, known) for part in entry.entries())
    for part, of in zip(entry.entries(), found, strict=True):
        if len(of) < 2:
            part.fail("one condition alone can be met; join two or more with +, such as genre+year")
    return found


def _parts(name: str, entry: Entry, known: list[str]) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in name.split("+"))
    for part in parts:
        if part not in known:
            entry.fail(f"there is no part {part!r}; a kind of request joins {', '.join(known)} with +")
    return parts


def _pools(entry: Entry, levels: Levels) -> tuple[Pool, ...]:
    pools = []
    for part in entry.entries():
        if not part.is_mapping:
            pools.append(Pool(1.0, conditions_of(part, levels)))
            continue
        found = part.fields(("share", "of"), ("of",))
        share = found["share"].number(1e-9) if "share" in found else 1.0
        pools.append(Pool(share, tuple(p for e in found["of"].entries() for p in conditions_of(e, levels))))
    return tuple(pools)

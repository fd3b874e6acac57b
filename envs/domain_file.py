"""Reads a domain file: every mistake is told with its line and its cure."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from instructrec.catalogue import MAX_VALUES, Kind
from instructrec.envs.behaviour import Behaviour
from instructrec.envs.conditions import Levels, condition, series
from instructrec.envs.domain import DRAWS, Asks, Attribute, Domain, Items, People, Rule, Words
from instructrec.envs.domain_words import OF_EVERYBODY, OF_PARTS, OF_REPLIES
from instructrec.envs.languages import LANGUAGES
from instructrec.envs.vocabulary import Comparative, Extras, Measure, Pool, RequestKind, Speech, Term
from instructrec.envs.yaml_reader import Entry, read_yaml
from instructrec.goals import Predicate
from instructrec.names import unknown_name

MOST_ITEMS = 1_000_000
_SPECIAL = ("exclusion", "share", "vague")
_EXTRA = ("context", "count", "conditional", "misinformed", "infeasible")
_DATA_OF = {"context": "contexts", "count": "counts"}
_REPLIES = ("like", "unlike", "override", "reset", "relax", "drift", "weight_drift")
_MOST_IN_CONTEXT, _MOST_COUNTED = 3, 100
_FAMILIES = tuple(
    dict.fromkeys([*OF_EVERYBODY, *(f for of in (OF_PARTS, OF_REPLIES) for names in of.values() for f in names)])
)
_SLOTS_OF_ALL = ("number",)
_EXTENDS = re.compile(r"^extends:\s*(\S+)", re.MULTILINE)
T = TypeVar("T")


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
    top = _whole(path.resolve()).fields(
        (
            *(
                "extends",
                "domain",
                "summary",
                "slate_size",
                "turn_limit",
                "reward",
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
    levels = {attribute.name: tuple(attribute.values) for attribute in attributes.values()}
    for attribute, entry in zip(attributes.values(), top["attributes"].pairs().values(), strict=True):
        _check_by(attribute, attributes, entry)
    items = _items(top["items"], attributes) if "items" in top else Items()
    if items.source == "made":
        for attribute, entry in zip(attributes.values(), top["attributes"].pairs().values(), strict=True):
            if not attribute.values and attribute.draw is None:
                entry.fail("says not how its numbers are spread; add a line such as draw: {uniform: [1, 10]}")
    people = _people(top["people"], attributes) if "people" in top else People()
    rules = tuple(_rule(n, e, levels) for n, e in top["rules"].pairs().items()) if "rules" in top else ()
    asks = _asks(top["asks"], attributes, levels) if "asks" in top else None
    if asks is not None and asks.extras.replies:
        _said(top["asks"].pairs()["replies"], lambda: Behaviour(**{**asks.extras.replies, **people.behaviour}))
    words: dict[str, Words] = {}
    if "languages" in top:
        for code, entry in top["languages"].fields(LANGUAGES).items():
            words[code] = _words(entry, attributes, levels, asks.extras.contexts if asks is not None else {})
    if asks is not None and not words:
        top["asks"].fail("people ask in words: add languages: with an entry such as en:")
    return Domain(
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
        reward=top["reward"].one_of(("clicks", "engagement"), "reward") if "reward" in top else "clicks",
    )


def _said(entry: Entry, make: Callable[..., T], *given: object) -> T:
    """Returns what a function makes of an entry, its error told with the entry's place."""
    try:
        return make(*given)
    except ValueError as problem:
        entry.fail(str(problem))


# Attributes.


def _attribute(name: str, entry: Entry) -> Attribute:
    known = ("kind", "values", "more", "draw", "low", "high", "round", "missing", "by", "said")
    found = entry.fields(known, ("kind",))
    if not name.isidentifier():
        entry.fail("an attribute is named by letters, digits and underscores")
    kind = Kind(found["kind"].one_of([str(kind) for kind in Kind], "kind of attribute"))
    number = kind is Kind.NUMERIC
    for given in found:
        if (number and given in ("values", "more")) or (not number and given in ("draw", "low", "high", "round", "by")):
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
        by=_by(found["by"]) if "by" in found else {},
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


def _by(entry: Entry) -> dict[tuple[str, str], float]:
    return {
        (attribute, value): factor.number(1e-6, 1e6)
        for attribute, values in entry.pairs().items()
        for value, factor in values.pairs().items()
    }


def _check_by(attribute: Attribute, attributes: Mapping[str, Attribute], entry: Entry) -> None:
    names = list(attributes)
    for other, value in attribute.by:
        above = names[: names.index(attribute.name)]
        known = attributes[other].values if other in above and attributes[other].kind is not Kind.ORDINAL else {}
        if value not in known:
            entry.fail(f"by: there is no {other} {value!r}; it must be a value of a set attribute that stands above")


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
    pieces = {n: e.texts() for n, e in found["pieces"].pairs().items()} if "pieces" in found else {}
    items = Items(
        source=found["source"].one_of(("made", "movielens", "folder"), "source of items")
        if "source" in found
        else "made",
        settings={n: e.text() for n, e in found["settings"].pairs().items()} if "settings" in found else {},
        count=found["count"].whole(1, MOST_ITEMS) if "count" in found else Items.count,
        title=found["title"].text() if "title" in found else Items.title,
        text=found["text"].text() if "text" in found else Items.text,
        pieces=pieces,
    )
    known = {name: 1.0 if attribute.kind is Kind.NUMERIC else "a" for name, attribute in attributes.items()}
    for name, slots in (("title", {}), ("text", {"title": "a"})):
        try:
            getattr(items, name).format(**known, **dict.fromkeys(pieces, "a"), number=1, **slots)
        except (KeyError, IndexError) as problem:
            found.get(name, entry).fail(
                f"names {problem}, which is no attribute, no list of pieces and not number; known: {', '.join(known)}"
            )
        except ValueError as problem:
            found.get(name, entry).fail(f"is no sound pattern ({problem}); write it as in '{{brand}} no. {{number}}'")
    return items


def _people(entry: Entry, attributes: Mapping[str, Attribute]) -> People:
    known = ("population", "settings", "count", "tastes", "quality", "luck", "allure", "past", "topic", "behaviour")
    found = entry.fields(known)
    numbers = [name for name, attribute in attributes.items() if not attribute.values or attribute.kind is Kind.ORDINAL]
    sets = [name for name in attributes if name not in numbers or attributes[name].values]

    def weights(name: str, names: list[str]) -> dict[str, float]:
        return {n: e.number(-10, 10) for n, e in found[name].fields(names).items()} if name in found else {}

    allure = weights("allure", numbers)
    if sum(weight**2 for weight in allure.values()) > 1:
        found["allure"].fail("the squares of the weights must not exceed 1 together")
    constants = [constant.name for constant in fields(Behaviour)]
    behaviour = {}
    if "behaviour" in found:
        behaviour = {n: e.number() for n, e in found["behaviour"].fields(constants).items()}
        _said(found["behaviour"], lambda: Behaviour(**behaviour))
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


def _rule(name: str, entry: Entry, levels: Levels) -> Rule:
    found = entry.fields(("people", "said", "penalty"), ("people",))
    shares: list[tuple[Predicate | None, float]] = []
    for said, share in found["people"].pairs().items():
        stated = None if said == "anything" else _said(share, condition, said, levels)
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
        for part in _EXTRA:
            if part in of and _DATA_OF.get(part, part) not in found:
                data = _DATA_OF.get(part, part)
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
    parts = tuple(_said(part, condition, part.text(), levels) for part in entry.entries())
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
            pools.append(Pool(1.0, _conditions(part, levels)))
            continue
        found = part.fields(("share", "of"), ("of",))
        share = found["share"].number(1e-9) if "share" in found else 1.0
        pools.append(Pool(share, tuple(p for e in found["of"].entries() for p in _conditions(e, levels))))
    return tuple(pools)


def _conditions(entry: Entry, levels: Levels) -> tuple[Predicate, ...]:
    if entry.is_mapping:
        return tuple(p for text, span in entry.pairs().items() for p in _said(span, series, text, span.text(), levels))
    return (_said(entry, condition, entry.text(), levels),)


# Words.


def _words(entry: Entry, attributes: Mapping[str, Attribute], levels: Levels, contexts: Mapping[str, object]) -> Words:
    known = ("heads", "use", "values", "says", "units", "names", "critiques", "templates")
    found = entry.fields(known, ("heads",))
    values: dict[tuple[str, str], tuple[Term, ...]] = {}
    for name, of in found["values"].fields([n for n in attributes if levels[n]]).items() if "values" in found else ():
        for value, terms in of.fields(levels[name]).items():
            values[name, value] = _terms(terms)
    numbers = [name for name, attribute in attributes.items() if attribute.measure is not None]
    said = found["says"].pairs() if "says" in found else {}
    says = tuple(
        (_said(terms, condition, text, levels), _terms(terms)) for text, terms in said.items() if text not in contexts
    )
    return Words(
        heads=tuple(_pair(head) for head in found["heads"].entries()),
        use=found["use"].text() if "use" in found else "choose",
        values=values,
        says=says,
        units={n: e.text() for n, e in found["units"].fields(numbers).items()} if "units" in found else {},
        critiques=tuple(_critique(n, e, attributes) for n, e in found["critiques"].pairs().items())
        if "critiques" in found
        else (),
        templates={n: e.texts() for n, e in found["templates"].fields(_FAMILIES).items()}
        if "templates" in found
        else {},
        contexts={name: _terms(terms) for name, terms in said.items() if name in contexts},
        names={n: e.text() for n, e in found["names"].fields(attributes).items()} if "names" in found else {},
    )


def _pair(entry: Entry) -> tuple[str, str]:
    one, slash, many = entry.text().partition("/")
    if not one.strip() or (slash and not many.strip()):
        entry.fail("a noun is written as ONE/MANY, such as comedy/comedies")
    return one.strip(), (many or one).strip()


def _terms(entry: Entry) -> tuple[Term, ...]:
    terms: list[Term] = []
    for part in entry.entries():
        for speech, texts in part.fields([str(speech) for speech in Speech]).items():
            if Speech(speech) is Speech.NOUN:
                terms += [Term(one, Speech.NOUN, many) for one, many in map(_pair, texts.entries())]
            else:
                terms += [Term(text, Speech(speech)) for text in texts.texts()]
    if not terms:
        entry.fail("has no word; give at least one, such as adjective: [scary]")
    return tuple(terms)


def _critique(name: str, entry: Entry, attributes: Mapping[str, Attribute]) -> Comparative:
    found = entry.fields(("more", "less", "words"), ("words",))
    if ("more" in found) == ("less" in found):
        entry.fail("says either more: ATTRIBUTE or less: ATTRIBUTE")
    side = "more" if "more" in found else "less"
    numbers = [n for n, attribute in attributes.items() if attribute.kind in (Kind.NUMERIC, Kind.ORDINAL)]
    field = found[side].one_of(numbers, "number attribute")
    return Comparative(name, field, 1 if side == "more" else -1, found["words"].texts())

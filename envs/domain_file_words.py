"""Reads the words of a domain file: what one language says in a domain, checked against what people ask for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from instructrec.catalogue import Kind
from instructrec.envs.conditions import Levels, condition, conditions_of
from instructrec.envs.domain import Attribute, Domain, Words
from instructrec.envs.domain_words import OF_EVERYBODY, OF_PARTS, OF_REPLIES, vocabulary_of
from instructrec.envs.grammar import can_say
from instructrec.envs.item_texts import text_names
from instructrec.envs.lexicon import words_of
from instructrec.envs.patterns import read_pattern
from instructrec.envs.tongue import Tongue
from instructrec.envs.vocabulary import PLAIN, SLOT, Comparative, Frame, Role, Speech, Term
from instructrec.envs.yaml_reader import Entry
from instructrec.goals import Operator
from instructrec.names import unknown_name

_FAMILIES = tuple(
    dict.fromkeys([*OF_EVERYBODY, *(f for of in (OF_PARTS, OF_REPLIES) for names in of.values() for f in names)])
)
_SLOTS: Mapping[str, tuple[str, ...]] = {
    "opening": ("one", "some", "any", "many", "those", "a", "bare", "list", "clauses"),
    "implicit": (),
    "more": (),
    "reveal": ("clause",),
    "critique": ("more", "ordinal", "number"),
    "at_least": ("count", "stuff"),
    "exactly": ("count", "stuff"),
    "conditional": ("one", "bare", "clause"),
    "correction": ("clause",),
    "override": ("clause",),
    "like": ("ordinal", "number"),
    "unlike": ("ordinal", "number"),
    "same": ("name", "ordinal", "number"),
}
"""The slots that each family of sentences may have; the others have those of openings."""
_BOUNDS: Mapping[str, tuple[Operator, tuple[str, ...]]] = {
    "at_least": (Operator.AT_LEAST, ("low", "beyond", "span", "decades")),
    "at_most": (Operator.AT_MOST, ("high", "before")),
    "between": (Operator.BETWEEN, ("low", "high", "exact")),
}
"""What phrases for numbers may say, and the numbers that stand in them."""
_NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "reveal": (("clause",),),
    "critique": (("more",), ("ordinal", "number")),
    "at_least": (("count",), ("stuff",)),
    "exactly": (("count",), ("stuff",)),
    "conditional": (("one", "bare"), ("clause",)),
    "correction": (("clause",),),
    "override": (("clause",),),
    "like": (("ordinal", "number"),),
    "unlike": (("ordinal", "number"),),
    "same": (("name",), ("ordinal", "number")),
}
"""Of which slots each sentence of a family has at least one."""
_FEWEST_TO_SPLIT = 3


def read_words(
    entry: Entry,
    attributes: Mapping[str, Attribute],
    levels: Levels,
    tongue: Tongue,
    contexts: Collection[str] = (),
) -> Words:
    """Returns what one language says in a domain.

    Args:
        entry: Its words.
        attributes: The items' attributes.
        levels: Their values and levels.
        tongue: How the language works.
        contexts: The situations that people may name.

    Raises:
        ValueError: If anything is wrong; the message names the line and the cure.
    """
    known = ("heads", "use", "text", "values", "says", "units", "names", "numbers", "critiques")
    found = entry.fields((*known, "templates", "also"), ("heads",))
    values: dict[tuple[str, str], tuple[Term, ...]] = {}
    taken: dict[tuple[str, ...], tuple[str, Entry]] = {}
    for name, of in found["values"].fields([n for n in attributes if levels[n]]).items() if "values" in found else ():
        for value, terms in of.fields(levels[name]).items():
            values[name, value] = _terms(terms, f"{name} {value}", taken, tongue)
    numbers = [name for name, attribute in attributes.items() if attribute.measure is not None]
    said = {
        text: (terms, _terms(terms, text, taken, tongue))
        for text, terms in (found["says"].pairs().items() if "says" in found else ())
    }
    if not found["heads"].entries():
        found["heads"].fail("has no word for an item; give at least one, such as film/films")
    return Words(
        heads=tuple(_pair(head) for head in found["heads"].entries()),
        use=found["use"].text() if "use" in found else "choose",
        values=values,
        says=tuple((e.made(condition, text, levels), of) for text, (e, of) in said.items() if text not in contexts),
        units={n: e.text() for n, e in found["units"].fields(numbers).items()} if "units" in found else {},
        critiques=tuple(_critique(n, e, attributes) for n, e in found["critiques"].pairs().items())
        if "critiques" in found
        else (),
        templates=_sentences(found["templates"], _FEWEST_TO_SPLIT) if "templates" in found else {},
        also=_sentences(found["also"]) if "also" in found else {},
        numbers={n: _number_phrases(e) for n, e in found["numbers"].fields(numbers).items()}
        if "numbers" in found
        else {},
        text=_text(found["text"], attributes) if "text" in found else "",
        contexts={name: of for name, (_, of) in said.items() if name in contexts},
        names={n: e.text() for n, e in found["names"].fields(attributes).items()} if "names" in found else {},
    )


def _text(entry: Entry, attributes: Mapping[str, Attribute]) -> str:
    entry.made(read_pattern, entry.text(), text_names(attributes))
    return entry.text()


def _number_phrases(entry: Entry) -> tuple[Frame, ...]:
    frames = []
    for name, roles in entry.fields(_BOUNDS).items():
        operator, known = _BOUNDS[name]
        for role, phrases in roles.fields([str(role) for role in Role]).items():
            for place in phrases.entries():
                slots = SLOT.findall(place.text())
                for slot in slots:
                    if slot not in known:
                        place.fail(unknown_name(f"number in a phrase for {name}", slot, known))
                if not slots or (operator is Operator.BETWEEN and set(slots) not in ({"low", "high"}, {"exact"})):
                    place.fail(f"says no number; write a phrase such as 'of {{{known[0]}}} <unit>'")
                frames.append(Frame(place.text(), Role(role), operator))
    return tuple(frames)


def _sentences(entry: Entry, fewest: int = 1) -> dict[str, tuple[str, ...]]:
    families = entry.fields(_FAMILIES)
    for family, of in families.items():
        slots = _SLOTS.get(family, _SLOTS["opening"])
        if len(of.entries()) < fewest:
            of.fail(f"has {len(of.entries())} sentences; give {fewest} or more, so that every split has its own")
        for place in of.entries():
            named = SLOT.findall(place.text())
            if place.text().count("{") != len(named) or place.text().count("}") != len(named):
                place.fail("has a brace that is no slot; write slots as {one}")
            for slot in named:
                if slot not in slots:
                    place.fail(unknown_name(f"slot of {family} sentences", slot, slots))
            for needed in _NEEDED.get(family, ()):
                if not set(needed) & set(named):
                    place.fail(f"lacks {{{needed[0]}}}; a {family} sentence says it")
            if family in ("opening", "vague", "restated", "reset", "relax") and not named:
                place.fail("has no slot for what is asked; write one such as {one}")
    return {family: of.texts() for family, of in families.items()}


def _pair(entry: Entry) -> tuple[str, str]:
    one, slash, many = entry.text().partition("/")
    if not one.strip() or (slash and not many.strip()):
        entry.fail("a noun is written as ONE/MANY, such as comedy/comedies")
    return one.strip(), (many or one).strip()


def _terms(
    entry: Entry, meaning: str, taken: dict[tuple[str, ...], tuple[str, Entry]], tongue: Tongue
) -> tuple[Term, ...]:
    """Returns the terms of one meaning; ``taken`` says which words already mean what, and is added to."""
    terms: list[Term] = []
    for part in entry.entries():
        for speech, texts in part.fields([str(speech) for speech in Speech]).items():
            for place in texts.entries():
                one, many = _pair(place) if Speech(speech) is Speech.NOUN else (place.text().strip(), "")
                if not words_of(one, tongue):
                    place.fail(f"{one!r} holds no word; write a word or a few")
                if one in (term.text for term in terms):
                    place.fail(f"{one!r} stands twice for {meaning}; keep one")
                terms.append(Term(one, Speech(speech), many))
                # What follows the slash is another form of the word, or what it is counted with.
                for text in terms[-1].texts[: 1 if tongue.measures else 2]:
                    means, first = taken.setdefault(words_of(text, tongue), (meaning, place))
                    if means != meaning:
                        place.fail(
                            f"{text!r} already means {means} (line {first.line}), and a word means one thing; "
                            "give another word, or a few words"
                        )
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


def check_words(whole: Entry, domain: Domain, language: str, levels: Levels) -> None:
    """Checks that a language has words for everything that people ask for.

    Args:
        whole: The file.
        domain: What was read of it.
        language: The language's code.
        levels: The attributes there are.

    Raises:
        ValueError: If it has not; the message names the line and the cure.
    """
    if domain.asks is None:
        return
    words = vocabulary_of(domain, language)
    entries = whole.pairs()
    asked = [
        (entry, predicate)
        for of in (entries["asks"].pairs()["parts"].pairs().values() if "parts" in entries["asks"].pairs() else ())
        for part in of.entries()
        for entry in (part.pairs()["of"].entries() if part.is_mapping and "of" in part.pairs() else [part])
        for predicate in conditions_of(entry, levels)
    ]
    rules = entries["rules"].pairs().values() if "rules" in entries else ()
    for entry, rule in zip(rules, domain.rules, strict=bool(rules)):
        asked += [(entry, predicate) for predicate, _ in rule.shares if predicate is not None]
    for entry, predicate in asked:
        if not can_say(words, predicate):
            entry.fail(
                f"{language} has no way to say {str(predicate)!r}; add it under languages: {language}: says:, "
                "or say what its numbers are like with said: {as: ...} under its attribute"
            )
    first = domain.asks.about[0]
    if any({"exclusion", "share"} & set(kind.parts) for kind in domain.asks.kinds):
        for value in domain.attributes[first].values:
            if not any(term.speech in PLAIN for term in words.sense_of_value(first, value).terms):
                entries["languages"].pairs()[language].fail(
                    f"{first} {value!r} has no word that stands before an item or is one, and people exclude it; "
                    f"add a term of the sort {', '.join(PLAIN)}"
                )

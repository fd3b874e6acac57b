"""Predicates into text: template × synonym × politeness × order × noise.

The words and sentence shapes are data (`Vocabulary`), and how they are put together is the language's
(`instructrec.envs.tongue`); here is what is chosen. Every function is pure given its generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from instructrec.envs.tongue import NounPhrase, Piece
from instructrec.envs.vocabulary import (
    CONTEXT,
    PLAIN,
    SLOT,
    Comparative,
    Frame,
    Measure,
    Role,
    Sense,
    Speech,
    Term,
    Vocabulary,
)
from instructrec.goals import Operator, Predicate

T = TypeVar("T")

_SOMETHING = 0.4
"""How often "something scary" is said where "a scary movie" could be. Assumed."""
_AFTER_HEAD = 0.4
"""How often an exclusion stands after the head ("with no horror") rather than in a clause. Assumed."""
_AS_CLAUSE = 0.12
"""How often a wish or a year stands in a clause of its own. Assumed."""
_ATTEMPTS = 1000
_PLURALS = frozenset({"some", "any", "many", "those", "list", "clause"})


@dataclass(frozen=True, kw_only=True)
class Style:
    """How people write; each a probability per text.

    Attributes:
        polite: A courtesy before or after. Assumed: above the 1 % of the MIT movie queries, which were said to a
            machine.
        casual: All lower case and no final full stop. Assumed.
        typos: One misspelt letter in a word of five letters or more, never the first letter. Assumed.
        reset: A cue such as "actually," before an opening. Assumed.
        cooperation: What of a condition's chance to be said at once is left; at 0 all but one are held back. Assumed.
    """

    polite: float = 0.15
    casual: float = 0.5
    typos: float = 0.04
    reset: float = 0.08
    cooperation: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is a probability in [0, 1], got {value}")


CLEAN = Style(typos=0.0)
"""The default style without typos."""


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def _fill(text: str, slots: dict[str, str]) -> str:
    return SLOT.sub(lambda match: slots[match[1]], text)


def frame_numbers(frame: Frame, predicate: Predicate, measure: Measure) -> dict[str, str] | None:
    """Returns the numbers that ``frame`` says for ``predicate``, or None where it cannot say it naturally."""
    p, said = predicate, {}
    known = {
        "low": p.low,
        "high": p.high,
        "beyond": p.low - measure.step,
        "before": p.high + measure.step,
        "exact": p.low,
    }
    if measure.now is not None:
        span = measure.now + measure.step - p.low
        known |= {"span": span, "decades": span / 10}
    if ("exact" in frame.slots) != (p.low == p.high):
        return None
    for slot in frame.slots:
        if slot not in known:
            return None
        number = known[slot]
        # "the last decades" is no number of them, and "the last 49 years" is nobody's.
        # Multiples up to a hair: 0.15 is three times 0.05, whatever they are in binary.
        steps = number / measure.round_to
        even = abs(steps - round(steps)) < 1e-6
        natural = 2 <= number == int(number) if slot == "decades" else slot == "exact" or even
        if not natural or number <= 0:
            return None
        said[slot] = f"{number:g}"
    return said


def _head(words: Vocabulary, rng: np.random.Generator) -> tuple[str, str]:
    # The first two words for an item, "movie" and "film", are said twice as often as the others. Assumed.
    return _pick(rng, words.heads[:2] + words.heads)


def _term_for(rng: np.random.Generator, sense: Sense, speeches: Sequence[Speech]) -> Term | None:
    fitting = [term for term in sense.terms if term.speech in speeches]
    # The most ordinary word, which stands first, is said twice as often as another. Assumed.
    return _pick(rng, fitting[:1] + fitting) if fitting else None


_ANY_SPEECH = tuple(Speech)
_AFTER_SOMETHING = (Speech.ADJECTIVE, Speech.AFTER)


def _value_term(words: Vocabulary, rng: np.random.Generator, predicate: Predicate, value: str) -> Term:
    term = _term_for(rng, words.sense_of_value(predicate.field, value), PLAIN)
    if term is None:
        raise ValueError(f"no word left for {predicate.field} {value!r}; give more synonyms or more splits")
    return term


def _stuff(words: Vocabulary, rng: np.random.Generator, predicate: Predicate) -> str:
    """Returns what an exclusion or a share speaks of: "horror", "scary movies or westerns"."""
    return words.tongue.alternative.join(_things(words, rng, predicate, value)[0] for value in predicate.values)


def _things(
    words: Vocabulary, rng: np.random.Generator, predicate: Predicate, value: str, *, counted: bool = False
) -> tuple[str, str]:
    """Returns the items of one value, "horror" or "scary movies", and their measure word."""
    term = _value_term(words, rng, predicate, value)
    if term.speech is Speech.NOUN:
        return term.plural or term.text, words.measure_word(term.text)
    # What takes a measure word is a noun: 三部恐怖电影, never 三部恐怖.
    if term.speech is Speech.MASS and rng.random() < 0.5 and not (counted and words.tongue.measures):
        return term.text, ""
    head = _head(words, rng)[1]
    return words.tongue.joined(term, head), words.measure_word(head)


def _either(words: Vocabulary, rng: np.random.Generator, predicate: Predicate) -> tuple[str, str, str]:
    """Returns the head that offers several values, (singular, plural, measure word): "comedy or scary movie"."""
    units: list[tuple[str, str]] = []
    measure = ""
    for value in predicate.values:
        term = _value_term(words, rng, predicate, value)
        if term.speech is Speech.NOUN:
            head = (term.text, term.plural or term.text)
            units.append(head)
        else:
            head = _head(words, rng)
            units.append((words.tongue.joined(term, head[0]), words.tongue.joined(term, head[1])))
        measure = measure or words.measure_word(head[0])
    either = words.tongue.alternative
    return either.join(one for one, _ in units), either.join(many for _, many in units), measure


def _number_frames(
    words: Vocabulary, predicate: Predicate, roles: Sequence[Role]
) -> list[tuple[Frame, dict[str, str]]]:
    measure = words.measure_of.get(predicate.field)
    if predicate.least or predicate.given is not None:
        return []
    if measure is None or predicate.operator not in (Operator.AT_LEAST, Operator.AT_MOST, Operator.BETWEEN):
        return []
    return [
        (frame, said)
        for frame in words.frames
        if frame.field == predicate.field
        and frame.operator is predicate.operator
        and frame.role in roles
        and (said := frame_numbers(frame, predicate, measure)) is not None
    ]


def _frames(words: Vocabulary, operator: Operator | None, role: Role, slot: str) -> list[Frame]:
    return [f for f in words.frames if f.operator is operator and not f.field and f.role is role and slot in f.slots]


def can_say(words: Vocabulary, predicate: Predicate) -> bool:
    """Returns whether the vocabulary, whole, has a phrase for a predicate that stands alone."""
    on_sets = predicate.operator in (Operator.INCLUDE, Operator.EXCLUDE, Operator.SHARE)
    if words.sense_of(predicate) is not None or _number_frames(words, predicate, (Role.CLAUSE,)):
        return True
    named = [
        sense
        for value in predicate.values
        if (sense := words.sense_of(replace(predicate, operator=Operator.INCLUDE, values=(value,)))) is not None
    ]
    plain = all(any(term.speech in PLAIN for term in sense.terms) for sense in named)
    return on_sets and plain and len(named) == len(predicate.values)


def clause(words: Vocabulary, rng: np.random.Generator, predicate: Predicate, measure: str = "") -> str:
    """Returns a phrase that says one predicate and stands alone: "no horror", "nothing before 1990".

    Args:
        words: The vocabulary.
        rng: Where every choice comes from.
        predicate: What to say.
        measure: What the items that the sentence is about are counted with, if it names any.

    Raises:
        ValueError: If the vocabulary has no way to say it.
    """
    if predicate.least or predicate.given is not None:
        return _counted(words, rng, predicate, measure) if predicate.least else _conditional(words, rng, predicate)
    if predicate.operator is Operator.SHARE:
        portions = [p for p in words.portions if p.share == predicate.share]
        if not portions:
            shares = ", ".join(f"{p.share:g}" for p in words.portions)
            raise ValueError(f"vocabulary {words.name!r} cannot say a share of {predicate.share:g}; it knows {shares}")
        return _fill(_pick(rng, _pick(rng, portions).frames), {"stuff": _stuff(words, rng, predicate)})
    sense = words.sense_of(predicate)
    if predicate.operator is Operator.EXCLUDE and sense is None:
        return _exclusion(words, rng, predicate, Role.CLAUSE)
    numbers = _number_frames(words, predicate, (Role.CLAUSE,))
    if sense is None and len(predicate.values) > 1:
        frame = _pick(rng, _frames(words, None, Role.CLAUSE, "one"))
        either, _, counted_with = _either(words, rng, predicate)
        return _fill(frame.text, {"one": words.tongue.one(either, counted_with)})
    if numbers and (sense is None or rng.random() < 0.2):
        frame, said = _pick(rng, numbers)
        return _fill(frame.text, said)
    term = _term_for(rng, sense, _ANY_SPEECH) if sense is not None else None
    if term is None:
        raise ValueError(f"vocabulary {words.name!r} cannot say {predicate}; add a Sense or a Frame for it")
    slot = {
        Speech.ADJECTIVE: "adjective",
        Speech.PERIOD: "period",
        Speech.AFTER: "after",
        Speech.SUPERLATIVE: "superlative",
    }.get(term.speech, "one")
    said = {slot: term.text}
    if slot == "one":
        noun = term.text if term.speech is Speech.NOUN else _head(words, rng)[0]
        one = noun if term.speech is Speech.NOUN else words.tongue.joined(term, noun)
        said = {"one": words.tongue.one(one, words.measure_word(noun))}
    return _fill(_pick(rng, _frames(words, None, Role.CLAUSE, slot)).text, said)


def _counted(words: Vocabulary, rng: np.random.Generator, predicate: Predicate, measure: str) -> str:
    """Returns a count as a clause: "at least three comedies", "exactly two of them from the 90s"."""
    template = _pick(rng, words.templates["exactly" if predicate.most else "at_least"])
    stuff, own_measure = _what_counts(words, rng, predicate)
    measure = own_measure or measure or words.measure_word(words.heads[0][0])
    return _fill(template, {"count": words.tongue.count(predicate.least, measure), "stuff": stuff})


def countable(words: Vocabulary, predicate: Predicate) -> bool:
    """Returns whether there are words for "three of them ..." in which a plain predicate can stand."""
    if predicate.values:
        return any(term.speech in PLAIN for term in words.sense_of_value(predicate.field, predicate.values[0]).terms)
    sense = words.sense_of(predicate)
    after = sense is not None and any(term.speech in (Speech.PERIOD, Speech.AFTER) for term in sense.terms)
    return after or bool(_number_frames(words, predicate, (Role.AFTER,)))


def _what_counts(words: Vocabulary, rng: np.random.Generator, predicate: Predicate) -> tuple[str, str]:
    """Returns what is counted, and the measure word of its noun, if it has one."""
    test = replace(predicate, least=0, most=0)
    if test.values:
        things = [_things(words, rng, test, value, counted=True) for value in test.values]
        return words.tongue.alternative.join(text for text, _ in things), things[0][1]
    return words.tongue.of_them(_what_describes(words, rng, test)), ""


def _what_describes(words: Vocabulary, rng: np.random.Generator, test: Predicate) -> str:
    """Returns a number or a time as it describes items that are not named: "from the 90s"."""
    numbers, sense = _number_frames(words, test, (Role.AFTER,)), words.sense_of(test)
    term = _term_for(rng, sense, (Speech.PERIOD, Speech.AFTER)) if sense is not None else None
    if term is None or (numbers and rng.random() < 0.2):
        frame, said = _pick(rng, numbers)
        return _fill(frame.text, said)
    if term.speech is Speech.AFTER:
        return term.text
    frame = _pick(rng, _frames(words, None, Role.AFTER, "period"))
    return _fill(frame.text, {"period": term.text})


def _conditional(words: Vocabulary, rng: np.random.Generator, predicate: Predicate) -> str:
    """Returns a condition on some items as a clause: "if it is a horror film, nothing after 1979"."""
    given, then = predicate.given, replace(predicate, given=None)
    assert given is not None
    one, _, measure = _either(words, rng, given)
    said = {"one": words.tongue.one(one, measure), "bare": one, "clause": clause(words, rng, then)}
    return _fill(_pick(rng, words.templates["conditional"]), said)


def _exclusion(words: Vocabulary, rng: np.random.Generator, predicate: Predicate, role: Role) -> str:
    adjective = None
    if len(predicate.values) == 1 and rng.random() < 0.3:
        adjective = _term_for(rng, words.sense_of_value(predicate.field, predicate.values[0]), (Speech.ADJECTIVE,))
    slot = "stuff" if adjective is None else "adjective"
    frame = _pick(rng, _frames(words, Operator.EXCLUDE, role, slot))
    return _fill(frame.text, {slot: _stuff(words, rng, predicate) if adjective is None else adjective.text})


def _rank(predicate: Predicate) -> int:
    # "a popular recent scary war movie": how good or known, then when, then what.
    return 2 if predicate.operator is Operator.INCLUDE else 1 if predicate.operator is not Operator.HIGHEST else 0


def _place_in_phrase(phrase: NounPhrase, words: Vocabulary, rng: np.random.Generator, predicate: Predicate) -> bool:
    """Adds one predicate to the noun phrase; returns False where the vocabulary has no way to."""
    if predicate.operator is Operator.EXCLUDE and words.sense_of(predicate) is None:
        phrase.after.append(Piece(_exclusion(words, rng, predicate, Role.AFTER), 2, Speech.AFTER))
        return True
    if predicate.operator is Operator.INCLUDE and len(predicate.values) > 1:
        one, many, phrase.measure = _either(words, rng, predicate)
        phrase.heads.append((one, many))
        return True
    roles = (Role.AFTER,) if phrase.something else (Role.BEFORE, Role.AFTER)
    numbers = _number_frames(words, predicate, roles)
    sense = words.sense_of(predicate)
    if numbers and (sense is None or rng.random() < 0.2):
        frame, said = _pick(rng, numbers)
        text = _fill(frame.text, said)
        if frame.role is Role.BEFORE:
            phrase.before.append(Piece(text, 1, Speech.ADJECTIVE))
        else:
            phrase.after.append(Piece(text, 1, Speech.AFTER))
        return True
    allowed = (*_AFTER_SOMETHING, Speech.PERIOD) if phrase.something else _ANY_SPEECH
    term = _term_for(rng, sense, allowed) if sense is not None else None
    if term is None:
        return False
    if term.speech is Speech.PERIOD and (phrase.something or rng.random() < 0.5):
        frame = _pick(rng, _frames(words, None, Role.AFTER, "period"))
        phrase.after.append(Piece(_fill(frame.text, {"period": term.text}), 1, Speech.AFTER))
    else:
        phrase.add(term, _rank(predicate))
    return True


def _tags(words: Vocabulary, rng: np.random.Generator, predicates: Sequence[Predicate]) -> str:
    """Returns the predicates as a list of fragments in any order: "thriller, 90s, no horror"."""
    tags = []
    for predicate in predicates:
        sense = words.sense_of(predicate)
        numbers = _number_frames(words, predicate, (Role.AFTER,))
        if numbers and (sense is None or rng.random() < 0.2):
            frame, said = _pick(rng, numbers)
            tags.append(_fill(frame.text, said))
        elif sense is not None:
            term = _pick(rng, sense.terms)
            tags.append(term.text)
        else:
            tags.append(clause(words, rng, predicate))
    return words.tongue.listed([tags[int(place)] for place in rng.permutation(len(tags))], rng)


def _sentence(words: Vocabulary, rng: np.random.Generator, predicates: Sequence[Predicate], template: str) -> str:
    """Fills a template with everything in ``predicates``."""
    slots = SLOT.findall(template)
    if "list" in slots:
        return _fill(template, {"list": _tags(words, rng, predicates)})
    shape = next((slot for slot in slots if slot not in ("clauses", "clause")), "")
    phrase = NounPhrase(something=shape in ("one", "a") and rng.random() < _SOMETHING)
    if any(p.operator is Operator.INCLUDE and len(p.values) > 1 for p in predicates):
        phrase.something = False
    apart: list[Predicate] = []
    excluded = False
    for predicate in predicates:
        if predicate.least or predicate.given is not None:
            apart.append(predicate)
            continue
        alone = predicate.operator is Operator.SHARE
        if predicate.operator is Operator.EXCLUDE and words.sense_of(predicate) is None:
            # Two exclusions after one head would run into each other.
            alone = excluded or "clauses" in slots or rng.random() >= _AFTER_HEAD
            excluded = True
        elif predicate.operator is not Operator.INCLUDE:
            alone = rng.random() < _AS_CLAUSE
        if alone or not _place_in_phrase(phrase, words, rng, predicate):
            apart.append(predicate)
    if ("clauses" in slots and not apart) or (phrase.superlative and shape in ("many", "a")):
        return ""
    tongue = words.tongue
    if phrase.heads:
        phrase.measure = phrase.measure or words.measure_word(phrase.heads[-1][0])
    clauses = tongue.comma.join(clause(words, rng, predicate, phrase.measure) for predicate in apart)
    if not phrase.heads:
        phrase.heads = [words.heads[0] if phrase.something else _head(words, rng)]
        phrase.measure = words.measure_word(phrase.heads[0][0])
    filled = _fill(template, {shape: tongue.noun_phrase(phrase, shape), "clauses": clauses})
    if not clauses or "clauses" in slots:
        return filled
    stem = filled.rstrip(tongue.question)
    return f"{stem}{tongue.comma}{clauses}{filled[len(stem) :]}"


def finish(text: str, words: Vocabulary, rng: np.random.Generator, style: Style) -> str:
    """Adds courtesies, capitals, a final mark and typos to a sentence, as ``style`` says."""
    before, after = words.polite
    tongue = words.tongue
    if rng.random() < style.polite:
        mark = tongue.question if text.endswith(tongue.question) else ""
        if rng.random() < 0.5 or tongue.please in text:
            text = _pick(rng, before if tongue.please not in text else before[1:]) + text
        else:
            text = text.removesuffix(tongue.question) + _pick(rng, after) + mark
    text = tongue.written(text, rng, style.casual)
    return tongue.misspell(text, rng) if rng.random() < style.typos else text


def realise(
    predicates: Sequence[Predicate],
    words: Vocabulary,
    rng: np.random.Generator,
    *,
    family: str = "opening",
    style: Style = CLEAN,
) -> str:
    """Says predicates in one sentence.

    Args:
        predicates: What to say, all of it; empty for families that say nothing.
        words: The vocabulary, restricted to the splits that may speak.
        rng: Where every choice comes from.
        family: Which templates: "opening", "vague", "implicit", "restated", "reveal" (one predicate), "more", and those
            of operators: "reset", "relax", and of one predicate "override" and "correction".
        style: Politeness, capitals, typos.

    Raises:
        ValueError: If the vocabulary has no way to say a predicate.
    """
    templates = words.templates[family]
    if not predicates:
        templates = tuple(t for t in templates if not {"list", "clauses", "clause"} & set(SLOT.findall(t)))
    predicates = _as_said(predicates)
    if any(predicate.slate_level for predicate in predicates):
        plural = tuple(t for t in templates if _PLURALS & set(SLOT.findall(t)))
        if not plural and words.tongue.measures and any(predicate.least for predicate in predicates):
            # Nouns are the same for one and for several.
            plural = tuple(t.replace("{one}", "{some}") for t in templates)
        templates = plural or templates
    text = ""
    for _ in range(_ATTEMPTS):
        template = _pick(rng, templates)
        if "{clause}" in template:
            text = _fill(template, {"clause": clause(words, rng, predicates[0])})
        else:
            text = _sentence(words, rng, predicates, template)
        if text:
            break
    else:
        raise ValueError(f"no {family} template of {words.name!r} fits {', '.join(map(str, predicates))}; add one")
    if family in ("opening", "vague", "implicit") and rng.random() < style.reset:
        text = _pick(rng, words.resets) + text
    return finish(text, words, rng, style)


def _as_said(predicates: Sequence[Predicate]) -> list[Predicate]:
    """Returns the predicates with one that stands for a context in the place of all that it means."""
    said: list[Predicate] = []
    for predicate in predicates:
        if predicate.context:
            predicate = Predicate(field=CONTEXT, operator=Operator.INCLUDE, values=(predicate.context,))
        if predicate not in said:
            said.append(predicate)
    return said


def compare(
    field: str,
    position: int,
    words: Vocabulary,
    rng: np.random.Generator,
    *,
    unlike: bool = False,
    style: Style = CLEAN,
) -> str:
    """Asks for what is like, or unlike, the item shown at ``position``: "more like the third one"."""
    family = "unlike" if unlike else "like" if field == words.extras.alike[0] else "same"
    tongue = words.tongue
    said = {"ordinal": tongue.ordinal(position), "number": tongue.figure(position), "name": words.names[field]}
    return finish(_fill(_pick(rng, words.templates[family]), said), words, rng, style)


def criticise(
    comparative: Comparative,
    position: int,
    words: Vocabulary,
    rng: np.random.Generator,
    *,
    style: Style = CLEAN,
) -> str:
    """Says a critique of the item shown at ``position``, counted from 1: "newer than the second one"."""
    template = _pick(rng, words.templates["critique"])
    said = {
        "more": _pick(rng, comparative.terms),
        "ordinal": words.tongue.ordinal(position),
        "number": words.tongue.figure(position),
    }
    return finish(_fill(template, said), words, rng, style)

"""A domain's words and a language's sentences, put together into a vocabulary."""

from __future__ import annotations

import functools
from dataclasses import replace

from instructrec.catalogue import Kind
from instructrec.envs.domain import Domain
from instructrec.envs.languages import LANGUAGES
from instructrec.envs.vocabulary import Frame, Pool, Sense, Speech, Term, Vocabulary
from instructrec.goals import Operator, Predicate
from instructrec.names import unknown_name


@functools.lru_cache(maxsize=32)
def vocabulary_of(domain: Domain, language: str = "en") -> Vocabulary:
    """Returns everything people may say about a domain in one language: the same object every time.

    Values that the domain has no word for are called by their own name.

    Raises:
        ValueError: If the domain has no words in that language, or its people do not speak.
    """
    if domain.asks is None:
        raise ValueError(f"the people of {domain.name} do not say what they want; give it `asks` and `languages`")
    if language not in domain.words:
        raise ValueError(unknown_name(f"language of {domain.name}", language, domain.words))
    words, shapes, asks = domain.words[language], LANGUAGES[language], domain.asks
    senses = []
    for name, attribute in domain.attributes.items():
        named = any(key[0] == name for key in words.values)
        if not (named or name in asks.about):
            continue
        for rank, value in enumerate(attribute.values):
            if attribute.kind is Kind.ORDINAL:
                if (name, value) in words.values:
                    level = Predicate(field=name, operator=Operator.BETWEEN, low=rank, high=rank)
                    senses.append(Sense(level, words.values[name, value]))
                continue
            terms = words.values.get((name, value), (Term(value, Speech.MASS),))
            senses.append(Sense(Predicate(field=name, operator=Operator.INCLUDE, values=(value,)), terms))
    senses += [Sense(predicate, terms) for predicate, terms in words.says]
    heads, measure_words = words.heads, {}
    if shapes.tongue.measures:
        nouns = [(term.text, term.plural) for sense in senses for term in sense.terms if term.plural]
        measure_words = {noun: measure for noun, measure in (*nouns, *heads) if measure != noun}
        heads = tuple((noun, noun) for noun, _ in heads)
        senses = [replace(s, terms=tuple(replace(term, plural="") for term in s.terms)) for s in senses]

    def filled(text: str) -> str:
        measure = measure_words.get(heads[0][0], "")
        return text.replace("<use>", words.use).replace("<measure>", measure)

    frames = [replace(frame, text=filled(frame.text)) for frame in shapes.frames]
    for name, attribute in domain.attributes.items():
        if attribute.measure is not None:
            unit = words.units.get(name, name)
            frames += [_about(frame, name, unit) for frame in words.numbers.get(name, shapes.measures[attribute.says])]
    templates = {
        family: (*words.templates.get(family, texts), *words.also.get(family, ()))
        for family, texts in shapes.templates.items()
    }
    return Vocabulary(
        name=f"{domain.domain}-{language}",
        tongue=shapes.tongue,
        senses=tuple(senses),
        frames=tuple(frames),
        measures=tuple(a.measure for a in domain.attributes.values() if a.measure is not None),
        portions=tuple(replace(p, frames=tuple(map(filled, p.frames))) for p in shapes.portions),
        comparatives=words.critiques,
        heads=heads,
        measure_words=measure_words,
        templates={family: tuple(dict.fromkeys(map(filled, texts))) for family, texts in templates.items()},
        polite=shapes.polite,
        resets=shapes.resets,
        pools={**asks.pools, **{rule.name: _rule_pools(rule.shares, rule.said) for rule in domain.rules}},
        requests=asks.kinds,
        rules=tuple(rule.name for rule in domain.rules),
    )


def _about(frame: Frame, name: str, unit: str) -> Frame:
    return replace(frame, field=name, text=frame.text.replace("<unit>", unit).replace("<name>", name))


def _rule_pools(shares: tuple[tuple[Predicate | None, float], ...], said: float) -> tuple[Pool, ...]:
    return tuple(Pool(share, (p,) if p is not None else (), 1 - said) for p, share in shares if share > 0)

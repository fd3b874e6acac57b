"""A world's own people with other constants: how patient, how exacting, how talkative they are.

What they are made of lies in `instructrec.envs.conversational`; every constant in `instructrec.envs.behaviour`.
"""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from typing import Any

from instructrec.envs.behaviour import Behaviour
from instructrec.envs.conversational import ConversationalPopulation
from instructrec.envs.populations import PopulationSpec
from instructrec.names import unknown_name


def conversational(base: Any, **constants: float) -> ConversationalPopulation:
    """Returns a world's people with some of their constants changed.

    Args:
        base: The world's own people.
        constants: Constants of `instructrec.envs.behaviour.Behaviour` by name; the others stay as they are.

    Raises:
        ValueError: If the world's people do not say what they want, or a constant is out of range.
        TypeError: If there is no such constant; the message suggests the nearest.
    """
    if not isinstance(base, ConversationalPopulation):
        raise ValueError(
            f"the people of this world are {type(base).__name__}: they have no words for what they want; worlds of "
            "domain files with `asks` have them"
        )
    known = [constant.name for constant in fields(Behaviour)]
    for name in constants:
        if name not in known:
            raise TypeError(unknown_name("constant of conversational people", name, known))
    return base.behaving(replace(base.behaviour, **constants))


# The settings are listed one by one, so that `instructrec populations` shows them with their defaults.
conversational.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [inspect.Parameter("base", inspect.Parameter.KEYWORD_ONLY)]
    + [
        inspect.Parameter(constant.name, inspect.Parameter.KEYWORD_ONLY, default=constant.default)
        for constant in fields(Behaviour)
    ]
)

POPULATION = PopulationSpec(
    name="conversational",
    summary="They say what they want, read slates from the top, click, tire, lose trust, criticise and leave.",
    reference="this project; Craswell et al. (2008) and Guo et al. (2009) on reading, McFadden (1974) on choice.",
    maker=conversational,
)
"""How it is known."""

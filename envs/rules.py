"""Rules: what must never be shown to a person, such as a risky fund to the cautious.

Every person lives by one condition of each rule, in all their requests: said at once, or when something shown
breaks it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools
from instructrec.catalogue import Catalogue
from instructrec.envs.bank import Bank
from instructrec.envs.vocabulary import key_of
from instructrec.goals import Predicate, allowed, compile_goals

Rules = tuple[tuple[Predicate | None, ...], ...]
"""Per rule the conditions that people live by, None for none."""


def unsuitable_items(catalogue: Catalogue, rules: Rules) -> list[Bools]:
    """Returns per rule which items break each of its conditions, [num_conditions, num_items]."""
    everything = np.arange(catalogue.num_items)
    return [
        np.stack(
            [
                np.zeros(catalogue.num_items, np.bool_)
                if predicate is None
                else ~allowed(compile_goals([[predicate]], catalogue), catalogue, everything)[0]
                for predicate in rule
            ]
        )
        for rule in rules
    ]


def may_want(bank: Bank, rules: Rules, lives_by: npt.NDArray[np.int32]) -> Bools:
    """Returns which goals hold just what each person lives by, [num_persons, num_goals].

    Raises:
        ValueError: If the bank has no goal for somebody.
    """
    may = np.ones((len(lives_by), bank.num_goals), np.bool_)
    for place, rule in enumerate(rules):
        keys = [key_of(predicate) if predicate is not None else None for predicate in rule]
        found = np.full(bank.num_goals, keys.index(None) if None in keys else -1)
        for goal, predicates in enumerate(bank.predicates):
            for predicate in predicates:
                if key_of(predicate) in keys:
                    found[goal] = keys.index(key_of(predicate))
        may &= found == lives_by[:, place, None]
    if not may.any(axis=1).all():
        person = int(np.flatnonzero(~may.any(axis=1))[0])
        conditions = [rule[choice] for rule, choice in zip(rules, lives_by[person], strict=True)]
        raise ValueError(
            f"no request in the bank is for people who live by {', '.join(map(str, conditions))}; give a larger "
            "bank_size, or conditions that more items meet"
        )
    return may

"""What people ask for: goals drawn from a documented mix of kinds of request, and how many items meet them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from instructrec.arrays import Bools, Floats
from instructrec.catalogue import Catalogue, Kind
from instructrec.envs.sampled import sample_of
from instructrec.envs.vocabulary import PLAIN, RequestKind, Vocabulary, key_of
from instructrec.goals import Operator, Predicate, Reveal, compile_goals, satisfied
from instructrec.splits import Splits, split_of

_EITHER = 0.06
"""The share of named values that are alternatives ("comedies or dramas"). Assumed."""
_BOTH = 0.08
"""The share that name two values at once ("romantic comedy"). Measured: 3 %; raised so that it is learned."""
_EXCLUDE_TWO = 0.1
_HELD_BACK_EXCLUSION, _HELD_BACK_OTHER = 0.4, 0.12
"""How often an exclusion, and another condition, is said only when it is broken. Assumed."""
_FIRST_ROUND = 0.8
"""The share of goals that is dealt out among the kinds of request before gaps are filled."""
_NARROW_AT_MOST = 0.05
"""The largest share of narrow goals, where the catalogue allows it."""
_CANDIDATES_PER_GOAL = 12
_WHOLE_POOL = 9
"""Pools of at most this many predicates are in every bank whole; of larger ones (single years) a draw."""


@dataclass(frozen=True)
class Request:
    """One goal and the kind of request it is."""

    predicates: tuple[Predicate, ...]
    kind: RequestKind


def combination_of(predicates: Sequence[Predicate]) -> str:
    """Returns the canonical form of a set of predicates: equal for equal sets in any order."""
    return " & ".join(sorted(repr(key_of(predicate)) for predicate in predicates))


def may_use(predicates: Sequence[Predicate], splits: Splits) -> bool:
    """Returns whether a combination may be asked for in these splits; single predicates and none always may."""
    if len(predicates) < 2:
        return True
    return splits.has("combinations", split_of("combinations", combination_of(predicates)))


class Matcher:
    """Finds the items that meet predicates, remembering each predicate's answer.

    Attributes:
        catalogue: The items.
        sample: Those that are looked at: all of them, or a sample of very many.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue, self.sample = catalogue, sample_of(catalogue)
        self._met: dict[tuple[object, ...], Bools] = {}
        self._all = np.arange(self.sample.catalogue.num_items)

    def met(self, predicate: Predicate) -> Bools:
        """Returns which sampled items have what ``predicate`` speaks of, [num_sampled]."""
        key = key_of(predicate)
        if key not in self._met:
            goals = compile_goals([[predicate]], self.catalogue)
            self._met[key] = satisfied(goals, self.sample.catalogue, self._all)[0, 0]
        return self._met[key]

    def jointly(self, predicates: Sequence[Predicate], *, hard_only: bool) -> Bools:
        """Returns which sampled items meet every item-level predicate, or every hard one, [num_sampled]."""
        met = np.ones(len(self._all), np.bool_)
        for predicate in predicates:
            if predicate.operator is not Operator.SHARE and (predicate.hard or not hard_only):
                met &= self.met(predicate)
        return met


class Asking:
    """Draws goals for one catalogue and vocabulary.

    Args:
        catalogue: The items.
        words: The vocabulary, already within the catalogue.
        about: The set attributes that people name, for Movies the genre; exclusions and shares are of the first.

    Raises:
        ValueError: If an attribute has fewer than two values that an item has.
    """

    def __init__(self, catalogue: Catalogue, words: Vocabulary, about: tuple[str, ...]) -> None:
        self.words, self.about, self.matcher = words, about, Matcher(catalogue)
        self._named = {attribute: _Named.of(catalogue, words, attribute) for attribute in about}
        of_rules = (pool for rule in words.rules for pool in words.pools.get(rule, ()))
        self._of_rules = {key_of(predicate) for pool in of_rules for predicate in pool.predicates}

    def _value(self, rng: np.random.Generator, attribute: str, besides: Sequence[str] = ()) -> str:
        named = self._named[attribute]
        while True:
            value = named.values[int(rng.choice(len(named.values), p=named.chance))]
            if value not in besides:
                return value

    def _part(self, part: str, rng: np.random.Generator, named: Sequence[Predicate]) -> list[Predicate]:
        taken = [value for predicate in named for value in predicate.values]
        if part in self.about:
            first = self._value(rng, part)
            draw = rng.random()
            if draw < _EITHER and self._named[part].plain:
                return [_include(part, first, self._value(rng, part, (first,)))]
            if draw < _EITHER + _BOTH and self._named[part].several:
                return [_include(part, first), _include(part, self._value(rng, part, (first,)))]
            return [_include(part, first)]
        main = self.about[0]
        if part in ("exclusion", "share") and len(set(self._named[main].values) - set(taken)) < 2:
            return []
        if part == "exclusion":
            first = self._value(rng, main, taken)
            values = (first, self._value(rng, main, (*taken, first))) if rng.random() < _EXCLUDE_TWO else (first,)
            return [Predicate(field=main, operator=Operator.EXCLUDE, values=values)]
        if part == "share":
            portion = self.words.portions[int(rng.integers(len(self.words.portions)))]
            value = self._value(rng, main, taken)
            return [Predicate(field=main, operator=Operator.SHARE, values=(value,), share=portion.share, hard=False)]
        pools = self.words.pools.get(part, ())
        if not pools:
            return []
        shares = np.array([pool.share for pool in pools])
        pool = pools[int(rng.choice(len(pools), p=shares / shares.sum()))]
        return [pool.predicates[int(rng.integers(len(pool.predicates)))]] if pool.predicates else []

    def draw(self, kind: RequestKind, rng: np.random.Generator) -> Request:
        """Returns one request of a kind, with some conditions held back until they are broken."""
        predicates: list[Predicate] = []
        for part in kind.parts:
            predicates += self._part(part, rng, predicates)
        if len(predicates) > 1 or kind.intention == "vague":
            predicates = [self._held_back(predicate, rng) for predicate in predicates]
        if kind.intention == "specific" and predicates and all(p.reveal is not Reveal.VOLUNTEERED for p in predicates):
            predicates[0] = replace(predicates[0], reveal=Reveal.VOLUNTEERED)
        return Request(tuple(predicates) + self._rules(rng), kind)

    def _rules(self, rng: np.random.Generator) -> tuple[Predicate, ...]:
        """Returns what the person who makes a request lives by, whatever it is."""
        found: list[Predicate] = []
        for rule in self.words.rules:
            pools = self.words.pools.get(rule, ())
            shares = np.array([pool.share for pool in pools])
            pool = pools[int(rng.choice(len(pools), p=shares / shares.sum()))]
            held_back = rng.random() < (pool.held_back or 0)
            reveal = Reveal.ON_VIOLATION if held_back else Reveal.VOLUNTEERED
            found += [replace(predicate, reveal=reveal) for predicate in pool.predicates]
        return tuple(found)

    def _held_back(self, predicate: Predicate, rng: np.random.Generator) -> Predicate:
        chance = _HELD_BACK_EXCLUSION if predicate.operator is Operator.EXCLUDE else _HELD_BACK_OTHER
        # A wish or a share that is broken is no violation, so nothing would ever bring it out.
        if predicate.hard and rng.random() < chance:
            return replace(predicate, reveal=Reveal.ON_VIOLATION)
        return predicate

    def sensible(self, predicates: Sequence[Predicate], slate_size: int) -> bool:
        """Returns whether a slate can meet everything, wishes too, and no condition is idle beside the others.

        What people live by may be idle: the cautious ask for government bonds too.
        """
        together = self.matcher.jointly(predicates, hard_only=False)
        if np.count_nonzero(together) < slate_size:
            return False
        for place, predicate in enumerate(predicates):
            if predicate.operator is Operator.SHARE:
                share = np.mean(self.matcher.met(predicate)[together])
                if np.count_nonzero(together & self.matcher.met(predicate)) < slate_size or share > predicate.share:
                    return False
            elif len(predicates) > 1 and key_of(predicate) not in self._of_rules:
                others = self.matcher.jointly([*predicates[:place], *predicates[place + 1 :]], hard_only=False)
                # An exclusion that removes under 1 % of what is left would never be noticed.
                if np.count_nonzero(together) > 0.99 * np.count_nonzero(others):
                    return False
        return True

    def covered(self, request: Request, chosen: Sequence[Request]) -> bool:
        """Returns whether what a single-predicate request asks for occurs in another request."""
        wanted = request.predicates[0]
        for predicate in (p for other in chosen for p in other.predicates):
            same = predicate.field == wanted.field and predicate.operator is wanted.operator
            if same and (key_of(predicate) == key_of(wanted) or set(wanted.values) & set(predicate.values)):
                return True
        return False

    def essentials(self, rng: np.random.Generator) -> list[Request]:
        """Returns one request for every single value, both asked for and excluded, and every pooled predicate."""
        kinds = {kind.parts: kind for kind in self.words.requests}
        found: list[Request] = []
        for parts, kind in kinds.items():
            if len(parts) != 1:
                continue
            part, main = parts[0], self.about[0]
            singles: list[Predicate] = []
            if part in self.about:
                singles = [_include(part, value) for value in self._named[part].values]
            elif part == "exclusion":
                values = self._named[main].values
                singles = [Predicate(field=main, operator=Operator.EXCLUDE, values=(value,)) for value in values]
            elif part in self.words.pools:
                pools = (pool for pool in self.words.pools[part] if len(pool.predicates) <= _WHOLE_POOL)
                singles = [predicate for pool in pools for predicate in pool.predicates]
            found += [Request((predicate, *self._rules(rng)), kind) for predicate in singles]
        return found


@dataclass(frozen=True)
class _Named:
    """The values of a set attribute that people name, and how often.

    ``several`` says whether an item may have more than one of them, ``plain`` whether each has a word that "or" joins.
    """

    values: tuple[str, ...]
    chance: Floats
    several: bool
    plain: bool

    @classmethod
    def of(cls, catalogue: Catalogue, words: Vocabulary, attribute: str) -> _Named:
        column = catalogue.column(attribute)
        senses = [sense for sense in words.senses if sense.predicate.field == attribute]
        senses = [s for s in senses if s.predicate.operator is Operator.INCLUDE and len(s.predicate.values) == 1]
        named = [sense.predicate.values[0] for sense in senses]
        plain = all(any(term.speech in PLAIN for term in sense.terms) for sense in senses)
        counts = column.indicators().sum(axis=0)[[column.values.index(value) for value in named]]
        if np.count_nonzero(counts) < 2:
            raise ValueError(
                f"people name {attribute}, but {np.count_nonzero(counts)} of its values are both in the vocabulary and "
                "in the catalogue; two or more are needed"
            )
        present = counts > 0
        named, counts = [value for value, there in zip(named, present, strict=True) if there], counts[present]
        # Square roots: common kinds are asked for more, and rare ones often enough to be learned.
        return cls(tuple(named), np.sqrt(counts) / np.sqrt(counts).sum(), column.kind is Kind.MULTI_VALUED, plain)


def _include(attribute: str, *values: str) -> Predicate:
    return Predicate(field=attribute, operator=Operator.INCLUDE, values=values)


def count_hard(matcher: Matcher, predicates: Sequence[Predicate]) -> int:
    """Returns how many items meet every hard item-level predicate: of very many items, as the sample has it."""
    return round(matcher.sample.scale * np.count_nonzero(matcher.jointly(predicates, hard_only=True)))


class _Chooser:
    """Collects distinct requests that the splits allow, few of them narrow."""

    def __init__(
        self, asking: Asking, splits: Splits, wanted: int, slate_size: int, turn_limit: int, longest: int
    ) -> None:
        self.asking, self.splits, self.wanted = asking, splits, wanted
        self.slate_size, self.enough, self.longest = slate_size, slate_size * turn_limit, longest
        self.chosen: list[Request] = []
        self.reserve: dict[tuple[str, ...], Request] = {}
        self._seen: set[tuple[str, ...]] = set()
        self._narrow = 0

    @property
    def left(self) -> int:
        """How many more requests are wanted."""
        return self.wanted - len(self.chosen)

    def consider(self, request: Request, *, essential: bool = False) -> bool:
        """Takes a request if it is new, allowed, sensible and, unless essential, not one narrow request too many."""
        key = (
            combination_of(request.predicates),
            *sorted(str(p.reveal) for p in request.predicates),
            request.kind.intention,
        )
        if (key in self._seen and not essential) or len(request.predicates) > self.longest:
            return False
        if not may_use(request.predicates, self.splits):
            return False
        self._seen.add(key)
        if not self.asking.sensible(request.predicates, self.slate_size):
            return False
        if count_hard(self.asking.matcher, request.predicates) < self.enough:
            if self._narrow >= _NARROW_AT_MOST * self.wanted and not essential:
                self.reserve[key] = request
                return False
            self._narrow += 1
        self.reserve.pop(key, None)
        self.chosen.append(request)
        return True


def choose_requests(
    asking: Asking,
    splits: Splits,
    rng: np.random.Generator,
    wanted: int,
    slate_size: int,
    turn_limit: int,
    longest: int,
) -> list[Request]:
    """Returns up to ``wanted`` distinct requests of every kind, in which every value that can be asked for occurs."""
    chooser = _Chooser(asking, splits, wanted, slate_size, turn_limit, longest)
    essentials = asking.essentials(rng)
    essentials = [essentials[int(place)] for place in rng.permutation(len(essentials))]
    if wanted > 3 * len(essentials):
        for request in essentials:
            chooser.consider(request, essential=True)
    # Square roots: kinds that are rare among people still get enough goals to be learned; `frequency` tells the truth.
    kinds = asking.words.requests
    chance = np.sqrt([kind.share for kind in kinds])
    quotas = np.ceil(_FIRST_ROUND * wanted * chance / chance.sum()).astype(int)
    for kind, quota in zip(kinds, quotas, strict=True):
        got = sum(request.kind is kind for request in chooser.chosen)
        for _ in range(_CANDIDATES_PER_GOAL * int(quota)):
            if got >= quota or not chooser.left:
                break
            got += chooser.consider(asking.draw(kind, rng))
    for request in essentials:
        if chooser.left and not asking.covered(request, chooser.chosen):
            chooser.consider(request, essential=True)
    for _ in range(_CANDIDATES_PER_GOAL * wanted):
        if not chooser.left:
            break
        chooser.consider(asking.draw(kinds[int(rng.choice(len(kinds), p=chance / chance.sum()))], rng))
    kept = chooser.chosen + list(chooser.reserve.values())[: chooser.left]
    if not kept:
        raise ValueError(
            f"nothing that vocabulary {asking.words.name!r} can ask for is met by {slate_size} items of this "
            "catalogue; give more items or a smaller slate"
        )
    return [kept[int(place)] for place in rng.permutation(len(kept))]

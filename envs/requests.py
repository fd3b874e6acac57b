"""What people ask for: goals drawn from a documented mix of kinds of request, and how many items meet them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from instructrec.arrays import Bools, Floats
from instructrec.catalogue import Catalogue, Kind
from instructrec.envs.sampled import sample_of
from instructrec.envs.special_requests import SPECIAL, infeasible, of_context, revised
from instructrec.envs.vocabulary import PLAIN, RequestKind, Vocabulary, key_of
from instructrec.goals import Operator, Predicate, Reveal, compile_goals, satisfied
from instructrec.splits import Splits, split_of

_EITHER = 0.06
"""The share of named values that are alternatives ("comedies or dramas"). Assumed."""
_BOTH = 0.08
"""The share that name two values at once ("romantic comedy"). Assumed: raised from the 3 % of the
MIT movie queries, so that it is learned."""
_EXCLUDE_TWO = 0.1
_HELD_BACK_EXCLUSION, _HELD_BACK_OTHER = 0.4, 0.12
"""How often an exclusion, and another condition, is said only when it is broken. Assumed."""
_FIRST_ROUND = 0.8
"""The share of goals that is dealt out among the kinds of request before gaps are filled."""
_NARROW_AT_MOST = 0.05
"""The largest share of narrow goals, where the catalogue allows it."""
_CANDIDATES_PER_GOAL = 12
_REVISED = 0.25
"""The share of goals that is kept for what others become, where people replace a condition by another."""
_NOTHING_MEETS = ("infeasible",)
_RELAXED = RequestKind("relaxed", 0.0, ())
"""What is left of a request that nothing met: nobody begins with it."""
_WHOLE_POOL = 9
"""Pools of at most this many predicates are in every bank whole; of larger ones (single years) a draw."""


@dataclass(frozen=True)
class Request:
    """One goal and the kind of request it is."""

    predicates: tuple[Predicate, ...]
    kind: RequestKind


@dataclass(frozen=True)
class Change:
    """What may become of a request.

    Attributes:
        origin: The request.
        place: Where ``target`` differs from it.
        target: The request that it becomes.
        relaxes: Whether the condition at ``place`` is given up rather than replaced.
    """

    origin: Request
    place: int
    target: Request
    relaxes: bool


def combination_of(predicates: Sequence[Predicate]) -> str:
    """Returns the canonical form of a set of predicates: equal for equal sets in any order."""
    return " & ".join(sorted(repr(key_of(predicate)) for predicate in predicates))


def may_use(predicates: Sequence[Predicate], splits: Splits) -> bool:
    """Returns whether a combination may be asked for in these splits; one thing, a context too, and none always may."""
    if len({predicate.context or key_of(predicate) for predicate in predicates}) < 2:
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
            if not predicate.slate_level and (predicate.hard or not hard_only):
                met &= self.met(predicate)
        return met

    def met_by_any(self, predicates: Sequence[Predicate]) -> bool:
        """Returns whether any item, sampled or not, meets every hard item-level predicate."""
        if self.jointly(predicates, hard_only=True).any() or self.sample.scale == 1:
            return bool(self.jointly(predicates, hard_only=True).any())
        hard = [predicate for predicate in predicates if predicate.hard and not predicate.slate_level]
        everything = np.arange(self.catalogue.num_items)
        return bool(satisfied(compile_goals([hard], self.catalogue), self.catalogue, everything)[0].all(axis=0).any())


class Asking:
    """Draws goals for one catalogue and vocabulary.

    Args:
        catalogue: The items.
        words: The vocabulary, already within the catalogue.
        about: The set attributes that people name, for Movies the genre; exclusions and shares are of the first.
        cooperation: How willing they are to say their conditions at once, 0 to 1; see `instructrec.envs.dials`.

    Raises:
        ValueError: If an attribute has fewer than two values that an item has.
    """

    def __init__(
        self, catalogue: Catalogue, words: Vocabulary, about: tuple[str, ...], cooperation: float = 1.0
    ) -> None:
        self._cooperation = cooperation
        self.words, self.about, self.matcher = words, about, Matcher(catalogue)
        self._named = {attribute: _Named.of(catalogue, words, attribute) for attribute in about}
        of_rules = (pool for rule in words.rules for pool in words.pools.get(rule, ()))
        self._of_rules = {key_of(predicate) for pool in of_rules for predicate in pool.predicates}
        self.plainly_named = [attribute for attribute, named in self._named.items() if named.plain]

    def _value(self, rng: np.random.Generator, attribute: str, besides: Sequence[str] = ()) -> str:
        named = self._named[attribute]
        while True:
            value = named.values[int(rng.choice(len(named.values), p=named.chance))]
            if value not in besides:
                return value

    def part(self, part: str, rng: np.random.Generator, named: Sequence[Predicate]) -> list[Predicate]:
        """Returns the conditions that one part adds to those ``named`` already; none where it finds none."""
        if part in SPECIAL:
            return SPECIAL[part](self, rng, named)
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
        if kind.parts == _NOTHING_MEETS:
            return Request((*infeasible(self, rng), *self._rules(rng)), kind)
        predicates: list[Predicate] = []
        for part in kind.parts:
            predicates += self.part(part, rng, predicates)
        if len(predicates) > 1 or kind.intention == "vague":
            predicates = [self._held_back(predicate, rng) for predicate in predicates]
        unsaid = all(p.reveal is not Reveal.VOLUNTEERED and p.believed is None for p in predicates)
        if kind.intention == "specific" and predicates and unsaid:
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
        if predicate.context or predicate.believed is not None or predicate.slate_level:
            return predicate
        chance = _HELD_BACK_EXCLUSION if predicate.operator is Operator.EXCLUDE else _HELD_BACK_OTHER
        # A wish or a share that is broken is no violation, so nothing would ever bring it out.
        if predicate.hard and rng.random() < 1 - self._cooperation * (1 - chance):
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
            elif predicate.slate_level:
                counts = self.matcher.met(predicate)[together]
                enough = np.count_nonzero(counts) >= 2 * predicate.least and predicate.least <= slate_size
                besides = not predicate.most or np.count_nonzero(~counts) >= slate_size - predicate.most
                if not (enough and besides) or counts.mean() * slate_size > predicate.least:
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
            elif part == "context":
                every = [of_context(self, name) for name in self.words.extras.contexts]
                found += [Request((*predicates, *self._rules(rng)), kind) for predicates in every]
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
        self.changes: list[Change] = []
        self.by_predicates: dict[tuple[Predicate, ...], Request] = {}
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
            *sorted({p.context for p in request.predicates if p.context}),
            request.kind.intention,
        )
        if (key in self._seen and not essential) or len(request.predicates) > self.longest:
            return False
        if not may_use(request.predicates, self.splits):
            return False
        self._seen.add(key)
        if request.kind.parts == _NOTHING_MEETS:
            return self._take_infeasible(request)
        if set(request.kind.parts) & set(SPECIAL) and not _has_special(request):
            return False
        if not self.asking.sensible(request.predicates, self.slate_size):
            return False
        if count_hard(self.asking.matcher, request.predicates) < self.enough:
            if self._narrow >= _NARROW_AT_MOST * self.wanted and not essential:
                self.reserve[key] = request
                return False
            self._narrow += 1
        self.reserve.pop(key, None)
        self._take(request)
        return True

    def _take(self, request: Request) -> None:
        self.chosen.append(request)
        self.by_predicates.setdefault(request.predicates, request)

    def _take_infeasible(self, request: Request) -> bool:
        """Takes what nothing meets, with what is left of it once the last condition that can be spared is given up."""
        predicates, matcher = request.predicates, self.asking.matcher
        if len(predicates) < 2 or matcher.met_by_any(predicates):
            return False
        if any(np.count_nonzero(matcher.met(predicate)) < self.slate_size for predicate in predicates):
            return False
        for place in reversed(range(len(predicates))):
            rest = (*predicates[:place], *predicates[place + 1 :])
            known = self.by_predicates.get(rest)
            if known is None and self.left > 1 and self.consider(Request(rest, _RELAXED), essential=True):
                known = self.chosen[-1]
            if known is not None and known.kind.parts != _NOTHING_MEETS:
                # What is given up stands last, so that everything else stays in its place.
                whole = Request((*rest, predicates[place]), request.kind)
                self._take(whole)
                self.changes.append(Change(whole, len(rest), known, relaxes=True))
                return True
        return False

    def revise(self, request: Request, rng: np.random.Generator) -> None:
        """Finds a request that differs in one condition, and takes it if it is new."""
        other = revised(self.asking, request.predicates, request.kind.parts, rng)
        if other is None:
            return
        place, predicates = other
        if predicates not in self.by_predicates and not (
            self.left and self.consider(Request(predicates, request.kind))
        ):
            return
        self.changes.append(Change(request, place, self.by_predicates[predicates], relaxes=False))


def _has_special(request: Request) -> bool:
    """Returns whether every special part of the request's kind found something to ask for."""
    marks = {
        "context": any(p.context for p in request.predicates),
        "count": any(p.least for p in request.predicates),
        "conditional": any(p.given is not None for p in request.predicates),
        "misinformed": any(p.believed is not None for p in request.predicates),
    }
    return all(marks.get(part, True) for part in request.kind.parts)


def choose_requests(
    asking: Asking,
    splits: Splits,
    rng: np.random.Generator,
    wanted: int,
    slate_size: int,
    turn_limit: int,
    longest: int,
) -> tuple[list[Request], list[Change]]:
    """Returns up to ``wanted`` distinct requests of every kind, in which every value that can be asked for occurs.

    Returns:
        The requests, and what may become of some of them: others among them.
    """
    changing = bool({"override", "drift"} & set(asking.words.extras.replies)) and "override" in asking.words.templates
    everything, wanted = wanted, int(wanted * (1 - _REVISED)) if changing else wanted
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
    chooser.wanted = everything
    for request in list(chooser.chosen) if changing else ():
        chooser.revise(request, rng)
    kept = chooser.chosen + list(chooser.reserve.values())[: chooser.left]
    if not kept:
        raise ValueError(
            f"nothing that vocabulary {asking.words.name!r} can ask for is met by {slate_size} items of this "
            "catalogue; give more items or a smaller slate"
        )
    return [kept[int(place)] for place in rng.permutation(len(kept))], chooser.changes

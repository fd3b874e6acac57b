"""Tastes for a world made from people's own data: fitted to their ratings or clicks, and said how well they hold.

Clicks become stars (see `instructrec.envs.interactions.Interactions.stars`): 4.5 and more where clicked, 2.5 where
passed over. Where the data do not say what was passed over it is drawn: as many items a person as they clicked, among
those they did not, by the square root of popularity, since what many click is shown more often. So the most popular
items gain quality, but less than their popularity.

References:
    Lim and Teh (2007), Variational Bayesian approach to movie rating prediction, KDD Cup and Workshop; Hu, Koren and
    Volinsky (2008), Collaborative filtering for implicit feedback datasets, ICDM (what was not clicked as weak
    dislike); Rendle et al. (2009), BPR, UAI (drawing it).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from instructrec.catalogue import Catalogue
from instructrec.envs.conversational import Tastes
from instructrec.envs.gathering import luck_of
from instructrec.envs.held_out import HeldOut, Setting, fit, held_out, log_likelihood
from instructrec.envs.interactions import CLICKED, PASSED_OVER, Feedback, Interactions
from instructrec.envs.movielens import Ratings, visible_past
from instructrec.envs.movies import allure
from instructrec.envs.reading_settings import by_setting
from instructrec.splits import EVERY_SPLIT, Split, split_of

FEWEST = 100
"""Ratings below which nothing can be held out, and nothing is fitted."""
_CHOOSING, _REPORTING = (0, 1), (10, 11)
# Shares of the ratings' variance, around what was chosen for MovieLens.
_BIASES, _TASTES, _NOISES = (0.1, 0.2, 0.4), (0.05, 0.1, 0.2, 0.4), (0.6, 0.75)
_LIKED = (CLICKED + PASSED_OVER) / 2
_MOST_SCALE, _STEEPEST, _LEAST = 2.0, 10.0, 2


@dataclass(frozen=True)
class FittedTastes:
    """What a record's people like, in stars: a world's own knowledge, none of which may reach an agent but the past.

    The expected stars of item i from person u are ``mean + person_bias[u] + quality[i] + person_factors[u] @
    item_factors[i]``; on held-out ratings quality and taste have a regression slope of about 1.

    Attributes:
        person_ids: The people that were fitted.
        item_ids: The catalogue's items.
        mean: The mean stars.
        person_bias: How generous each person is, float32 [num_persons].
        quality: Each item's stars around the mean for everybody, float32 [num_items].
        person_factors: Taste, float32 [num_persons, rank]; rank 0 where no taste could be learned.
        item_factors: What the taste is for, float32 [num_items, rank].
        past: What the people rated or clicked, in stars, without what they passed over.
        setting: What was chosen by held-out likelihood.
        figures: What was measured on fresh held-out ratings, by name: ``rmse_mean`` (of the best constant),
            ``rmse_biases``, ``rmse`` (each at its best setting and scale), ``nats_mean``, ``nats_biases``, ``nats``
            (log-likelihood a rating), ``quality_slope``, ``taste_slope``; for clicks ``auc_biases`` and ``auc``, of
            clicked against passed over. ``num_ratings`` counts what was fitted, and for clicks ``num_drawn`` what of
            it was drawn as passed over.
    """

    person_ids: tuple[str, ...] = field(repr=False)
    item_ids: tuple[str, ...] = field(repr=False)
    mean: float
    person_bias: npt.NDArray[np.float32] = field(repr=False)
    quality: npt.NDArray[np.float32] = field(repr=False)
    person_factors: npt.NDArray[np.float32] = field(repr=False)
    item_factors: npt.NDArray[np.float32] = field(repr=False)
    past: Ratings = field(repr=False)
    setting: Setting
    figures: dict[str, float]

    @property
    def rank(self) -> int:
        """How many factors there are; 0 where no taste could be learned."""
        return int(self.item_factors.shape[1])

    def tastes(
        self,
        catalogue: Catalogue,
        *,
        users: Sequence[Split] = EVERY_SPLIT,
        past_length: int = 64,
        from_popularity: float = 0.7,
    ) -> Tastes:
        """Returns what `instructrec.envs.conversational.ConversationalPopulation` is made of.

        Args:
            catalogue: The catalogue that they were fitted with.
            users: Whose people may come.
            past_length: How many items of a person's visible past agents see at most.
            from_popularity: Correlation of allure with popularity beyond quality, 0 to 1.

        Raises:
            ValueError: If the catalogue has other items, or no person is of these splits.
        """
        if catalogue.item_ids != self.item_ids:
            raise ValueError("the catalogue has other items than the one these tastes were fitted with; fit them again")
        who = [row for row, name in enumerate(self.person_ids) if split_of("users", name) in users]
        if not who:
            raise ValueError(
                f"none of the {len(self.person_ids)} people is of the splits {', '.join(users)}; it takes more people"
            )
        items, stars = visible_past(self.past, past_length)
        return Tastes(
            who=np.array(who, np.int32),
            person_factors=self.person_factors,
            item_factors=self.item_factors,
            quality=self.quality,
            allure=allure(catalogue, self.quality, from_popularity),
            past=items,
            past_ratings=stars,
        )

    def summary(self) -> str:
        """Returns a few lines about what was fitted and how well it holds, for people to read."""
        found = self.figures
        if "auc" in found:
            lines = [
                f"{len(self.past.item):,} clicks of {len(self.person_ids):,} people on {len(self.item_ids):,} items, "
                f"{self.rank} factors",
                "held-out pairs of a clicked item and one passed over: the clicked one comes first in "
                f"{found['auc']:.1%} with taste, {found['auc_biases']:.1%} by what everybody likes, 50% by chance",
            ]
            if found.get("num_drawn"):
                lines.append(
                    "what was passed over is not in the data: it was drawn among other items, popular ones more often"
                )
        else:
            lines = [
                f"{found['num_ratings']:,.0f} ratings of {len(self.person_ids):,} people and {len(self.item_ids):,} "
                f"items, {self.rank} factors",
                f"held-out RMSE in stars: mean {found['rmse_mean']:.4f}, biases {found['rmse_biases']:.4f}, "
                f"with taste {found['rmse']:.4f}",
                f"held-out log-likelihood in nats a rating: mean {found['nats_mean']:.4f}, "
                f"biases {found['nats_biases']:.4f}, with taste {found['nats']:.4f}",
                f"slopes of held-out ratings: quality {found['quality_slope']:.3f}, taste {found['taste_slope']:.3f}",
            ]
        if not self.rank:
            lines.append("no taste beyond what everybody shares could be learned: these people differ by luck alone")
        return "\n".join(lines)


def fit_tastes(
    record: Interactions,
    catalogue: Catalogue,
    *,
    max_persons: int = 5_000,
    min_person_ratings: int = 5,
    ranks: Sequence[int] = (4, 8, 16),
    seed: int = 0,
) -> FittedTastes:
    """Fits tastes to a record. Rank and priors are chosen by held-out likelihood; biases alone win where they do.

    Time and memory are bounded by ``max_persons`` and the catalogue's items: on one core 100,000 ratings take some 15
    seconds, and 800,000 with 20,000 items under three minutes.

    Args:
        record: What was read.
        catalogue: The items that count, by their ids; the record's or some of them.
        max_persons: How many people at most; beyond it they are drawn by a hash of their id.
        min_person_ratings: Ratings that a person needs to be fitted, at least 1; clicked and passed over alike.
        ranks: Numbers of factors to choose from, beside none.
        seed: For what is drawn as passed over.

    Raises:
        ValueError: If a setting is out of range, or there is too little to fit: fewer than `FEWEST` ratings, or all
            the same.
    """
    if max_persons < 1 or min_person_ratings < 1 or min(ranks, default=1) < 1:
        raise ValueError(
            f"max_persons, min_person_ratings and ranks must be 1 or more, got {max_persons}, {min_person_ratings} and "
            f"{tuple(ranks)}"
        )
    ratings = chosen_ratings(record, catalogue, max_persons=max_persons, min_person_ratings=min_person_ratings)
    clicks, num_given = record.feedback is Feedback.CLICKS, len(ratings.item)
    past = ratings.some(ratings.rating > _LIKED) if clicks else ratings
    if clicks and not record.knows_passed_over:
        ratings = with_passed_over(ratings, catalogue.num_items, seed)
    if len(ratings.item) < FEWEST or ratings.rating.std() < 1e-6:
        if ratings.rating.std() < 1e-6 and len(ratings.item) >= FEWEST:
            cure = "bring both clicks and what was passed over" if clicks else "bring ratings that differ"
        elif max_persons < record.num_persons and ratings.num_persons == max_persons:
            cure = f"take more people by {by_setting('max_persons', 5_000)}"
        else:
            cure = _more_data(min_person_ratings > _LEAST and ratings.num_persons < record.num_persons)
        span = "" if clicks else f", all from {ratings.rating.min():g} to {ratings.rating.max():g} stars,"
        raise ValueError(
            f"{record.source}: {num_given:,} {record.feedback} of {ratings.num_persons:,} people with "
            f"{min_person_ratings} or more{span} are too little to fit tastes: it takes {FEWEST} that differ; {cure}"
        )
    biases, chosen = _choose(ratings, catalogue.num_items, ranks)
    scales, figures = _measured(ratings, catalogue.num_items, biases, chosen, clicks=clicks)
    # Taste that loses on fresh ratings was chosen by luck; a slope of 0 or less says the same, and so does one so steep
    # that the taste it multiplies is nothing.
    right = scales[2] > 0 and 0 < figures["taste_slope"] <= _STEEPEST
    lost = figures["rmse"] >= figures["rmse_biases"] or not right
    if chosen.rank and lost:
        chosen = biases
        scales, figures = _measured(ratings, catalogue.num_items, biases, chosen, clicks=clicks)
    if clicks:
        figures["num_drawn"] = float(len(ratings.item) - num_given)
    factors = fit(ratings, catalogue.num_items, chosen, np.ones(len(ratings.item), np.bool_))
    shift, quality, taste = scales
    return FittedTastes(
        person_ids=ratings.person_ids,
        item_ids=catalogue.item_ids,
        mean=factors.mean + shift,
        person_bias=factors.person_bias.astype(np.float32),
        quality=(quality * factors.item_bias).astype(np.float32),
        person_factors=(taste * factors.person_factors).astype(np.float32),
        item_factors=factors.item_factors.astype(np.float32),
        past=past,
        setting=chosen,
        figures=figures,
    )


def chosen_ratings(record: Interactions, catalogue: Catalogue, *, max_persons: int, min_person_ratings: int) -> Ratings:
    """Returns the record's entries in stars, of the catalogue's items and of the people who are fitted.

    Raises:
        ValueError: If the catalogue has none of the record's items, or nobody has enough ratings.
    """
    places = {name: place for place, name in enumerate(catalogue.item_ids)}
    numbers = np.array([places.get(name, -1) for name in record.item_ids], np.int32)
    whole = record.ratings
    known = numbers[whole.item] >= 0
    if not known.any():
        raise ValueError(f"{record.source}: the catalogue has none of its items; make it by infer_catalogue(record)")
    ratings = replace(whole, item=numbers[whole.item].clip(0), rating=record.stars())
    counts = np.bincount(whole.person[known], minlength=whole.num_persons)
    enough = np.flatnonzero(counts >= min_person_ratings)
    if not len(enough):
        raise ValueError(
            f"{record.source}: nobody has {min_person_ratings} {record.feedback} of the catalogue's items (the most is "
            f"{counts.max()}); {_more_data(counts.max() >= _LEAST)}"
        )
    drawn = sorted(enough, key=lambda person: luck_of(whole.person_ids[person]))[:max_persons]
    return _of_persons(ratings.some(known), np.sort(np.array(drawn, np.int64)))


def _more_data(less_would_do: bool) -> str:
    fewer = f", or ask less of each by {by_setting('min_person_ratings', _LEAST)}" if less_would_do else ""
    return f"bring more data{fewer}"


def with_passed_over(clicks: Ratings, num_items: int, seed: int) -> Ratings:
    """Returns clicks with as many items a person that they did not click, drawn by the root of popularity.

    Somebody who clicked most of the items gets fewer.
    """
    rng = np.random.default_rng([20180926, seed])
    chances = np.sqrt(np.bincount(clicks.item, minlength=num_items))
    item = rng.choice(num_items, len(clicks.item), p=chances / chances.sum()).astype(np.int32)
    key = clicks.person.astype(np.int64) * num_items + item
    fresh = np.zeros(len(key), np.bool_)
    fresh[np.unique(key, return_index=True)[1]] = True
    fresh &= ~np.isin(key, clicks.person.astype(np.int64) * num_items + clicks.item)
    person = np.r_[clicks.person, clicks.person[fresh]]
    order = np.argsort(person, kind="stable")
    return Ratings(
        person[order],
        np.r_[clicks.item, item[fresh]][order],
        np.r_[clicks.rating, np.full(int(fresh.sum()), PASSED_OVER, np.float32)][order],
        np.r_[clicks.timestamp, clicks.timestamp[fresh]][order],
        clicks.person_ids,
    )


def _of_persons(ratings: Ratings, persons: npt.NDArray[np.int64]) -> Ratings:
    """Returns the ratings of some people, numbered anew in their order."""
    numbers = np.full(ratings.num_persons, -1, np.int32)
    numbers[persons] = np.arange(len(persons))
    rows = numbers[ratings.person] >= 0
    names = tuple(ratings.person_ids[person] for person in persons)
    return replace(ratings.some(rows), person=numbers[ratings.person[rows]], person_ids=names)


def _choose(ratings: Ratings, num_items: int, ranks: Sequence[int]) -> tuple[Setting, Setting]:
    """Returns the best setting without taste, and the best of all, by held-out likelihood over the choosing splits."""
    variance = float(ratings.rating.astype(np.float64).var())

    def best(settings: Iterable[Setting]) -> tuple[float, Setting]:
        tried = [
            (log_likelihood([held_out(ratings, num_items, setting, seed) for seed in _CHOOSING]), setting)
            for setting in settings
        ]
        return max(tried, key=lambda entry: entry[0])

    without = best(
        Setting(
            rank=0,
            noise_variance=_NOISES[0] * variance,
            person_bias_variance=person * variance,
            item_bias_variance=item * variance,
        )
        for person, item in itertools.product(_BIASES, _BIASES)
    )
    if not ranks:
        return without[1], without[1]
    # The priors at the middle rank, then the rank: a grid of both takes ranks times as long and chooses the same.
    middle = sorted(ranks)[len(ranks) // 2]
    start = replace(without[1], rank=middle)
    grid = itertools.product(_TASTES, _NOISES)
    found = best(replace(start, taste_variance=t * variance, noise_variance=n * variance) for t, n in grid)
    others = [best([replace(found[1], rank=rank)]) for rank in ranks if rank != middle]
    return without[1], max([without, found, *others], key=lambda entry: entry[0])[1]


def scales_for(ratings: Ratings, num_items: int, chosen: Setting) -> tuple[float, float, float]:
    """Returns what to add to the mean, and what to multiply quality and taste with, for slopes of 1."""
    trial = [held_out(ratings, num_items, chosen, seed) for seed in _CHOOSING]
    intercepts, qualities, tastes = np.transpose([result.slopes() for result in trial])
    quality, taste = np.clip([qualities.mean(), tastes.mean()], 0, _MOST_SCALE)
    return float(np.mean(intercepts - [result.mean for result in trial])), float(quality), float(taste)


def _measured(
    ratings: Ratings, num_items: int, biases: Setting, chosen: Setting, *, clicks: bool
) -> tuple[tuple[float, float, float], dict[str, float]]:
    """Returns the scales of the chosen setting, and what was measured on splits that nothing was chosen on."""
    scales, fair = (scales_for(ratings, num_items, setting) for setting in (chosen, biases))
    plain = [held_out(ratings, num_items, biases, seed).rescaled(*fair) for seed in _REPORTING]
    whole = [held_out(ratings, num_items, chosen, seed).rescaled(*scales) for seed in _REPORTING]
    figures = {"num_ratings": float(len(ratings.item))}
    nothing = np.zeros(1)
    # The best constant there is: the held-out ratings' own mean.
    mean = [HeldOut(each.rating, float(each.rating.mean()), nothing, nothing, nothing) for each in whole]
    for name, results in (("_mean", mean), ("_biases", plain), ("", whole)):
        figures[f"rmse{name}"] = float(np.mean([result.rmse for result in results]))
        figures[f"nats{name}"] = log_likelihood(results)
        if clicks and name != "_mean":
            figures[f"auc{name}"] = float(np.mean([result.auc(_LIKED) for result in results]))
    slopes = np.mean([result.slopes()[1:] for result in whole], axis=0)
    return scales, figures | {"quality_slope": float(slopes[0]), "taste_slope": float(slopes[1])}

"""Tastes from people's own data: what is really there is found, what is not is not made up."""

from __future__ import annotations

import math
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from instructrec.envs import fit_tastes as module
from instructrec.envs.fit_tastes import chosen_ratings, fit_tastes, with_passed_over
from instructrec.envs.held_out import HeldOut
from instructrec.envs.infer_catalogue import infer_catalogue
from instructrec.envs.interactions import Feedback, Interactions
from instructrec.envs.kept_data import read_kept, write_kept
from instructrec.envs.movielens import Ratings
from instructrec.envs.read_data import read_data
from instructrec.runs import RunError
from instructrec.splits import Split, split_of

PERSONS, ITEMS = 150, 60


def made(*, taste=1.0, feedback=Feedback.RATINGS, passed_over=True, scale=1.0, seed=0):
    """Returns a record of people of two tastes, and the true stars [persons, items]."""
    rng = np.random.default_rng(seed)
    likes, sort = rng.choice([-1, 1], PERSONS), rng.choice([-1, 1], ITEMS)
    quality = 0.4 * rng.standard_normal(ITEMS)
    truth = 3 + quality + taste * np.outer(likes, sort)
    person, item = np.nonzero(rng.random((PERSONS, ITEMS)) < 0.5)
    stars = np.clip(truth[person, item] + 0.4 * rng.standard_normal(len(person)), 0.5, 5)
    if feedback is Feedback.CLICKS:
        clicked = stars > 3
        stars = clicked.astype(np.float64)
        if not passed_over:
            person, item, stars = person[clicked], item[clicked], stars[clicked]
    ratings = Ratings(
        person.astype(np.int32),
        item.astype(np.int32),
        (scale * stars).astype(np.float32),
        np.zeros(len(person), np.int64),
        tuple(f"p{n}" for n in range(PERSONS)),
    )
    ends = (0.5 * scale, 5 * scale) if feedback is Feedback.RATINGS else (0, 1)
    return Interactions("here", "tables", ratings, feedback, ends, tuple(f"i{n}" for n in range(ITEMS)), {}), truth


def correlation(fitted, truth):
    """Returns how well fitted tastes agree with the true ones, quality apart."""
    taste = truth - truth.mean(axis=0)
    return np.corrcoef((fitted.person_factors @ fitted.item_factors.T).ravel(), taste.ravel())[0, 1]


@pytest.fixture(scope="module")
def fitted():
    record, truth = made()
    catalogue = infer_catalogue(record)
    return catalogue, fit_tastes(record, catalogue, ranks=(2, 4)), truth


def test_taste_that_is_there_is_found_and_beats_biases_on_held_out_ratings(fitted):
    catalogue, found, truth = fitted
    assert found.rank in (2, 4)
    assert correlation(found, truth) > 0.97
    assert np.corrcoef(found.quality, truth.mean(axis=0))[0, 1] > 0.9
    figures = found.figures
    assert figures["rmse"] < 0.6 * figures["rmse_biases"]
    assert figures["rmse_biases"] < figures["rmse_mean"] + 1e-3
    assert figures["nats"] > figures["nats_biases"] + 0.4
    assert figures["rmse"] == pytest.approx(0.4, abs=0.1)  # The noise that was put in.
    assert 0.9 < figures["taste_slope"] < 1.1
    assert "with taste" in found.summary()
    assert found.item_factors.shape == (catalogue.num_items, found.rank)


@pytest.mark.parametrize("passed_over", [True, False])
def test_taste_is_found_in_clicks_whether_or_not_what_was_passed_over_is_known(passed_over):
    record, truth = made(feedback=Feedback.CLICKS, passed_over=passed_over)
    found = fit_tastes(record, infer_catalogue(record), ranks=(2,))
    assert record.knows_passed_over is passed_over
    assert correlation(found, truth) > 0.9
    assert found.figures["auc"] > found.figures["auc_biases"] + 0.15
    assert (found.past.rating >= 4.5).all()
    said = found.summary()
    assert f"{len(found.past.item):,} clicks of" in said
    assert f"the clicked one comes first in {found.figures['auc']:.1%} with taste" in said
    assert ("it was drawn among other items" in said) is not passed_over
    assert not {"ratings", "stars", "RMSE"} & set(re.findall(r"\w+", said))


def test_where_there_is_no_taste_none_is_made_up():
    record, truth = made(taste=0.0)
    found = fit_tastes(record, infer_catalogue(record), ranks=(2, 4))
    assert found.rank == 0
    assert found.person_factors.shape == (PERSONS, 0)
    assert np.corrcoef(found.quality, truth[0])[0, 1] > 0.9
    assert "no taste beyond what everybody shares" in found.summary()
    assert found.figures["rmse"] == pytest.approx(found.figures["rmse_biases"])


def test_tastes_are_in_stars_whatever_the_scale_of_the_data():
    found = [fit_tastes(record, infer_catalogue(record), ranks=(2,))
             for record in (made(scale=scale)[0] for scale in (1.0, 20.0))]  # fmt: skip
    spread = [(each.person_factors @ each.item_factors.T).std() for each in found]
    # Half a star to five is stretched to one to five.
    assert spread[1] == pytest.approx(spread[0] * 4 / 4.5, rel=0.05)
    assert found[1].figures["rmse"] < 1


def test_the_result_depends_on_nothing_but_the_arguments(fitted):
    record, _ = made()
    again = fit_tastes(record, infer_catalogue(record), ranks=(2, 4))
    np.testing.assert_array_equal(again.person_factors, fitted[1].person_factors)
    assert again.figures == fitted[1].figures


def test_a_worlds_tastes_have_a_row_per_person_and_only_the_splits_people_come(fitted):
    catalogue, found, _ = fitted
    tastes = found.tastes(catalogue, users=(Split.TEST,), past_length=5)
    assert [found.person_ids[row] for row in tastes.who] == [
        name for name in found.person_ids if split_of("users", name) is Split.TEST
    ]
    assert tastes.past.shape == tastes.past_ratings.shape == (PERSONS, 5)
    for array in (tastes.person_factors, tastes.item_factors, tastes.quality, tastes.allure, tastes.past_ratings):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert tastes.quality.shape == tastes.allure.shape == (ITEMS,)
    # The past is what the person rated: the same stars.
    rated = {
        (person, item): stars
        for person, item, stars in zip(found.past.person, found.past.item, found.past.rating, strict=True)
    }
    for person, row in enumerate(tastes.past):
        for item, stars in zip(row, tastes.past_ratings[person], strict=True):
            assert item < 0 or rated[person, item] == stars


def test_a_catalogue_of_other_items_is_refused(fitted):
    catalogue, found, _ = fitted
    other = replace(catalogue, item_ids=tuple(f"o{n}" for n in range(ITEMS)))
    with pytest.raises(ValueError, match="the catalogue has other items than the one these tastes were fitted with"):
        found.tastes(other)
    with pytest.raises(ValueError, match="the catalogue has none of its items; make it by infer_catalogue"):
        fit_tastes(made()[0], other)


def test_people_and_items_are_bounded_as_stated_and_people_are_drawn_whole():
    record, _ = made()
    catalogue = infer_catalogue(record, max_items=40)
    ratings = chosen_ratings(record, catalogue, max_persons=50, min_person_ratings=5)
    assert ratings.num_persons == 50
    assert ratings.item.max() == 39
    names = {name: number for number, name in enumerate(record.ratings.person_ids)}
    kept = np.isin([f"i{item}" for item in record.ratings.item], catalogue.item_ids)
    for number, name in enumerate(ratings.person_ids):
        before = record.ratings.rating[kept & (record.ratings.person == names[name])]
        np.testing.assert_array_equal(ratings.rating[ratings.person == number], before)
    more = chosen_ratings(record, catalogue, max_persons=60, min_person_ratings=5)
    assert set(ratings.person_ids) < set(more.person_ids)


def test_what_is_drawn_as_passed_over_was_not_clicked_and_is_popular():
    record, _ = made(feedback=Feedback.CLICKS, passed_over=False)
    clicks = replace(record.ratings, rating=record.stars())
    both = with_passed_over(clicks, ITEMS, seed=3)
    drawn = both.rating == 2.5
    pairs = list(zip(both.person.tolist(), both.item.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert 0.3 < drawn.sum() / (~drawn).sum() <= 1
    np.testing.assert_array_equal(np.sort(both.item[~drawn]), np.sort(clicks.item))
    assert (np.diff(both.person) >= 0).all()
    skewed = replace(clicks, item=(clicks.item**2 // ITEMS).astype(np.int32))
    again = with_passed_over(skewed, ITEMS, seed=3)
    counts = np.bincount(skewed.item, minlength=ITEMS)
    never = counts == 0
    assert not np.isin(again.item[again.rating == 2.5], np.flatnonzero(never)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_persons": 0}, "max_persons, min_person_ratings and ranks must be 1 or more"),
        ({"ranks": (0, 4)}, "max_persons, min_person_ratings and ranks must be 1 or more"),
        ({"min_person_ratings": 1000}, r"nobody has 1000 ratings of the catalogue's items \(the most is \d+\); bring"),
        (
            {"max_persons": 2},
            r"are too little to fit tastes: it takes 100 that differ; take more people by max_persons=",
        ),
    ],
)
def test_too_little_to_fit_and_settings_out_of_range_are_explained(options, message):
    record, _ = made()
    with pytest.raises(ValueError, match=message):
        fit_tastes(record, infer_catalogue(record), **options)


def test_ratings_that_are_all_the_same_are_too_little():
    record, _ = made()
    same = replace(record, ratings=replace(record.ratings, rating=np.full_like(record.ratings.rating, 4)))
    with pytest.raises(
        ValueError, match=r"all from 4 to 4 stars, are too little .* that differ; bring ratings that differ$"
    ):
        fit_tastes(same, infer_catalogue(same))


def test_few_ratings_of_each_are_asked_for_only_where_that_would_help():
    record, _ = made()
    once = np.unique(record.ratings.person, return_index=True)[1]
    sparse = replace(record, ratings=record.ratings.some(np.isin(np.arange(len(record.ratings.item)), once)))
    with pytest.raises(ValueError, match=r"\(the most is 1\); bring more data$"):
        fit_tastes(sparse, infer_catalogue(sparse))
    with pytest.raises(ValueError, match=r"bring more data, or ask less of each by min_person_ratings=2"):
        fit_tastes(record, infer_catalogue(record), min_person_ratings=1000)


def test_taste_that_points_the_wrong_way_on_fresh_ratings_is_none(monkeypatch):
    record, _ = made()
    whole = module._measured

    def wrong(*args, **options):
        scales, figures = whole(*args, **options)
        return scales, figures | {"taste_slope": -0.6}

    monkeypatch.setattr(module, "_measured", wrong)
    assert fit_tastes(record, infer_catalogue(record), ranks=(2,)).rank == 0


def test_what_is_kept_in_a_file_comes_back_whole_and_gives_the_same_bytes(fitted, tmp_path):
    catalogue, found, _ = fitted
    write_kept(tmp_path / "one.safetensors", catalogue, found)
    films, tastes = read_kept(tmp_path / "one.safetensors")
    assert films.fingerprint == catalogue.fingerprint
    write_kept(tmp_path / "two.safetensors", films, tastes)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert (tastes.setting, tastes.figures, tastes.person_ids) == (found.setting, found.figures, found.person_ids)
    np.testing.assert_array_equal(tastes.tastes(films).past, found.tastes(catalogue).past)
    (tmp_path / "torn").write_bytes((tmp_path / "one.safetensors").read_bytes()[:500])
    with pytest.raises(RunError, match="torn is damaged"):
        read_kept(tmp_path / "torn")


def test_auc_is_the_share_of_pairs_in_the_right_order_and_ties_count_half():
    nothing = np.zeros(4)
    result = HeldOut(np.array([4.5, 4.5, 2.5, 2.5]), 0.0, nothing, np.array([3.0, 1.0, 1.0, 0.0]), nothing)
    assert result.auc(3.5) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert math.isnan(result.auc(5))


@pytest.mark.skipif("INSTRUCTREC_ML100K" not in os.environ, reason="INSTRUCTREC_ML100K names no MovieLens 100K")
def test_tastes_of_movielens_100k_beat_biases():
    record = read_data(os.environ["INSTRUCTREC_ML100K"])
    figures = fit_tastes(record, infer_catalogue(record)).figures
    assert figures["rmse"] < figures["rmse_biases"] - 0.03
    assert figures["rmse"] < 0.91
    assert 0.9 < figures["taste_slope"] < 1.1

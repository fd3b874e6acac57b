import numpy as np
import pytest

from instructrec.agents.features import Profiles, item_features, past_factors
from instructrec.catalogue import Catalogue, Column


@pytest.fixture
def catalogue():
    rng = np.random.default_rng(0)
    size = 60
    years = rng.integers(1950, 2020, size).astype(np.float32)
    years[3] = np.nan
    return Catalogue(
        columns={
            "genre": Column.multi_valued("genre", [("a",) if item % 3 else ("a", "b") for item in range(size)]),
            "year": Column.numeric("year", years),
        },
        titles=tuple(f"t{item}" for item in range(size)),
        texts=tuple(f"text {item}" for item in range(size)),
        item_ids=tuple(str(item) for item in range(size)),
        popularity=rng.integers(0, 100, size).astype(np.float32),
    )


@pytest.fixture
def people():
    rng = np.random.default_rng(1)
    past = np.stack([rng.permutation(60)[:12] for _ in range(40)]).astype(np.int32)
    ratings = np.clip(3 + 0.8 * (past % 2 == 0) * np.where(np.arange(40) < 20, 1, -1)[:, None], 0.5, 5)
    past[0, 8:], ratings[0, 8:] = -1, 0
    return past, ratings.astype(np.float32)


def test_features_are_finite_centred_and_in_named_blocks(catalogue, people):
    vectors = np.random.default_rng(2).normal(size=(60, 16))
    features = item_features(catalogue, vectors, factors=past_factors(*people, 60, rank=2), text_width=8)
    assert np.isfinite(features.table).all()
    assert np.abs(features.table.mean(axis=0)).max() < 1e-5
    assert list(features.blocks) == ["sets", "numbers", "popularity", "quality", "factors", "text"]
    assert sum(block.stop - block.start for block in features.blocks.values()) == features.width


def test_the_text_block_times_a_projected_text_is_the_inner_product_of_the_texts(catalogue):
    vectors = np.random.default_rng(2).normal(size=(60, 16))
    features = item_features(catalogue, vectors, text_width=16)
    text = np.random.default_rng(3).normal(size=16)
    found = features.table[:, features.blocks["text"]] @ (text @ features.projection)
    wanted = vectors @ text
    np.testing.assert_allclose(found - found.mean(), wanted - wanted.mean(), atol=1e-4)


def test_a_profile_is_the_same_alone_in_a_crowd_and_when_met_again(catalogue, people):
    features = item_features(catalogue, factors=past_factors(*people, 60, rank=2))
    crowd = Profiles(features)
    together = crowd.of(*people)
    np.testing.assert_array_equal(together, crowd.of(*people))
    alone = np.concatenate(
        [Profiles(features).of(people[0][row : row + 1], people[1][row : row + 1]) for row in range(40)]
    )
    np.testing.assert_array_equal(together, alone)
    assert together.shape == (40, features.profile_width)


def test_profiles_tell_opposite_tastes_apart(catalogue, people):
    features = item_features(catalogue, factors=past_factors(*people, 60, rank=1))
    block = features.blocks["factors"]
    taste = Profiles(features).of(*people)[:, features.width : features.width + 1]
    stars = taste @ features.table[:, block].T
    likes_even = stars[:, ::2].mean(axis=1) - stars[:, 1::2].mean(axis=1)
    assert likes_even[:20].mean() > 0.3 > -0.3 > likes_even[20:].mean()


def test_people_without_a_past_have_a_blank_profile(catalogue, people):
    features = item_features(catalogue, factors=past_factors(*people, 60, rank=2))
    nobody = Profiles(features).of(np.full((2, 5), -1, np.int32), np.zeros((2, 5), np.float32))
    assert not nobody.any()
    assert Profiles(features).of(np.zeros((3, 0), np.int32), np.zeros((3, 0), np.float32)).shape == (
        3,
        features.profile_width,
    )
    assert past_factors(np.full((2, 5), -1), np.zeros((2, 5)), 60) is None


def test_vectors_of_another_catalogue_are_refused(catalogue):
    with pytest.raises(ValueError, match="one row per item"):
        item_features(catalogue, np.zeros((59, 4)))

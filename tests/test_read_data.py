"""People's own data: every format ends in the same record, and whatever is wrong is named with its line and cure.

Real data may not be redistributed, so the tests that read some are skipped unless told where it lies:
``INSTRUCTREC_ML100K`` names MovieLens 100K as RecBole files (a folder, or the wheel of recbole 1.2.1), and
``INSTRUCTREC_OBD`` a campaign of the Open Bandit sample (a folder, or in the wheel of obp 0.4.1
``WHEEL/obp/dataset/obd/random/men``).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instructrec.envs.gathering import Gathering
from instructrec.envs.infer_catalogue import infer_catalogue
from instructrec.envs.interactions import AttributeKind, Feedback
from instructrec.envs.read_amazon import clean_price
from instructrec.envs.read_data import FORMATS, read_data
from instructrec.envs.read_openbandit import letters
from instructrec.envs.tables import Table

ROOT = Path(__file__).resolve().parent.parent

ML_100K = {
    "u.data": "2\t10\t4\t881250949\n1\t20\t3\t881250950\n2\t20\t1\t881250940\n",
    "u.item": (
        "10|Café Noir (1994)|01-Jan-1994||http://x|0|0|0|0|0|1|0|0|1|0|0|0|0|0|0|0|0|0|0\n"
        "20|Kite, The (1985)|01-Jan-1985||http://y|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
    ),
    "u.genre": "unknown|0\n",
    "u.user": "1|24|M|technician|85711\n2|53|F|other|94043\n",
}
ML_1M = {
    "ratings.dat": "2::10::4::978309760\n1::20::3::978302109\n2::20::1::978301968\n",
    "movies.dat": "10::Café Noir (1994)::Comedy|Drama\n20::Kite, The (1985)::(no genres listed)\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
}
ML_LATEST = {
    "ratings.csv": "userId,movieId,rating,timestamp\n2,10,4.0,7\n1,20,3.0,8\n2,20,0.5,6\n",
    "movies.csv": 'movieId,title,genres\n10,Café Noir (1994),Comedy|Drama\n20,"Kite, The (1985)",(no genres listed)\n',
    "tags.csv": "userId,movieId,tag,timestamp\n1,10,Rainy,1\n",
}
RECBOLE = {
    "shop.inter": (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\nb\tx\t4\t7.0\na\ty\t3\t8.0\nb\ty\t1\t6.0\n"
    ),
    "shop.item": (
        "item_id:token\tname:token_seq\tkinds:token_seq\tweight:float\tshape:float_seq\n"
        "x\tRed kettle\tkitchen steel\t1.5\t0.1 0.2\ny\tSmall lamp\tlight\t\t0.3 0.4\n"
    ),
    "shop.user": "user_id:token\tage:float\na\t30\nb\t41\n",
    "shop.link": "item_id:token\tentity_id:token\nx\te1\ny\te2\n",
    "shop.kg": (
        "head_id:token\trelation_id:token\ttail_id:token\ne1\tmade.in\tPortugal\ne9\tmade.in\tPeru\ne2\tmade.in\tOslo\n"
    ),
}
REVIEWS = [
    {"user_id": "B", "parent_asin": "P1", "rating": 4.0, "timestamp": 1588687728923, "text": "fine\u2028really"},
    {"user_id": "A", "parent_asin": "P2", "rating": 3.0, "timestamp": 1588687728924},
    {"user_id": "B", "parent_asin": "P2", "rating": 1.0, "timestamp": 1488687728923},
    {"user_id": "B", "parent_asin": "P2", "rating": 5.0, "timestamp": 1588687729999},
    {"user_id": "A", "parent_asin": "P9", "rating": 2.0, "timestamp": 1588687728924},
]
METADATA = [
    {"parent_asin": "P0", "title": "Never reviewed", "price": 3},
    {
        "parent_asin": "P1", "title": "Steel kettle", "main_category": "Home", "store": "Kettler",
        "price": "from $1,299.50", "categories": ["Home", "Kitchen"],
        "features": ["Boils water.", "Whistles."], "details": {"Color": "Red"},
    },
    {
        "parent_asin": "P2", "title": "Lamp", "main_category": "Light", "store": None, "price": None, "categories": [],
        "features": [], "description": ["Shines."], "details": '{"Color": "Blue"}',
    },
]  # fmt: skip
BANDIT_HEADER = ",timestamp,item_id,position,click,propensity_score," + ",".join(f"user_feature_{n}" for n in range(4))
BANDIT = {
    "men.csv": BANDIT_HEADER + ",user-item_affinity_0\n"
    "0,2019-11-24 00:00:02+00:00,1,3,0,0.5,aaaaaaaa11,b,c,d,0.0\n"
    "1,2019-11-24 00:00:01+00:00,0,1,1,0.25,aaaaaaaa11,b,c,d,0.0\n"
    "2,2019-11-24 00:00:03+00:00,0,2,1,0.5,aaaaaaaa11,b,c,d,0.0\n"
    "3,2019-11-24 00:00:04+00:00,1,1,0,0.125,zzzzzzzz99,b,c,e,0.0\n",
    "item_context.csv": ",item_id,item_feature_0,item_feature_1\n0,0,-0.5,f00d\n1,1,0.7,beef\n",
}
TABLES = {
    "stars.csv": "uid,sku,stars,ts\nb,x,4,2024-03-02\na,y,3,2024-03-03T10:00:00+02:00\nb,y,1,2024-03-01\n",
    "goods.csv": 'sku,name,tags,price,blurb\nx,"Kettle, red",kitchen|steel,$12.50,\ny,Lamp,kitchen|light,$3,\n',
    "people.csv": "uid,age\na,30\nb,41\n",
}
COLUMNS = {"person": "uid", "item": "sku", "rating": "stars", "time": "ts"}


def json_lines(entries):
    return "".join(json.dumps(entry) + "\n" for entry in entries)


AMAZON = {"Home.jsonl": json_lines(REVIEWS), "meta_Home.jsonl": json_lines(METADATA)}


@pytest.fixture
def write(tmp_path):
    def written(files, folder="data", encoding="utf-8", **changes):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for name, content in {**files, **changes}.items():
            if content is not None:
                (place / name).write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return place

    return written


def triples(record):
    """Returns (person, item, number) by the ids of the data."""
    ratings = record.ratings
    return [
        (ratings.person_ids[person], record.item_ids[item], float(number))
        for person, item, number in zip(ratings.person, ratings.item, ratings.rating, strict=True)
    ]


@pytest.mark.parametrize(
    ("files", "encoding", "name", "people", "items", "lowest"),
    [
        (ML_100K, "latin-1", "movielens-100k", "12", ["10", "20"], 1),
        (ML_1M, "latin-1", "movielens-1m", "12", ["10", "20"], 1),
        (ML_LATEST, "utf-8", "movielens", "12", ["10", "20"], 0.5),
        (RECBOLE, "utf-8", "recbole", "ab", ["x", "y"], 1),
        (TABLES, "utf-8", "tables", "ab", ["x", "y"], 1),
    ],
)
def test_every_format_is_recognised_and_ends_in_the_same_record(write, files, encoding, name, people, items, lowest):
    record = read_data(write(files, encoding=encoding), columns=COLUMNS if name == "tables" else None)
    first, second = people
    assert record.format == name
    assert record.feedback is Feedback.RATINGS
    # By person, then time: the second person's later line came first in the file.
    assert triples(record) == [(first, items[1], 3), (second, items[1], lowest), (second, items[0], 4)]
    assert record.has_times
    assert (record.ratings.person.dtype, record.ratings.item.dtype, record.ratings.rating.dtype) == (
        np.int32,
        np.int32,
        np.float32,
    )
    assert all(len(column) == 2 for column in record.items.values())
    assert f"2 people, 2 items, 3 ratings from {record.scale[0]:g} to" in record.summary()


@pytest.mark.parametrize(("files", "encoding"), [(ML_100K, "latin-1"), (ML_1M, "latin-1"), (ML_LATEST, "utf-8")])
def test_the_three_ages_of_movielens_say_the_same_of_a_film(write, files, encoding):
    record = read_data(write(files, encoding=encoding))
    assert record.items["title"].cells() == ("Café Noir", "The Kite")
    assert record.items["genre"].values == (("Comedy", "Drama"), ())
    np.testing.assert_array_equal(record.items["year"].numbers, [1994, 1985])
    if "tags.csv" in files:
        assert record.items["tags"].values == (("rainy",), ())
    else:
        assert record.persons["gender"].cells() in {("M", "F"), ("F", "M")}


def test_recbole_types_are_kept_and_a_graph_becomes_columns(write):
    record = read_data(write(RECBOLE))
    kinds = {name: column.kind for name, column in record.items.items()}
    assert kinds == {
        "name": AttributeKind.TOKEN_SEQ,
        "kinds": AttributeKind.TOKEN_SEQ,
        "weight": AttributeKind.FLOAT,
        "made.in": AttributeKind.TOKEN_SEQ,
    }
    assert record.items["name"].cells() == ("Red kettle", "Small lamp")
    np.testing.assert_array_equal(record.items["weight"].numbers, [1.5, np.nan])
    assert record.items["made.in"].values == (("Portugal",), ("Oslo",))
    np.testing.assert_array_equal(record.persons["age"].numbers, [30, 41])
    assert any("shape" in note and "vector" in note for note in record.notes)


def test_recbole_keeps_items_without_metadata_and_takes_other_names_for_its_columns(write):
    inter = RECBOLE["shop.inter"].replace("user_id", "who").replace("rating", "liking") + "a\tz\t5\t9\n"
    user = RECBOLE["shop.user"].replace("user_id", "who")
    record = read_data(
        write(RECBOLE, **{"shop.inter": inter, "shop.user": user}), columns={"person": "who", "rating": "liking"}
    )
    assert record.item_ids == ("x", "y", "z")
    assert record.items["kinds"].values[2] == ()
    assert np.isnan(record.items["weight"].numbers[2])
    assert any("1 items are not in the item table" in note for note in record.notes)


def test_amazon_reviews_are_joined_with_their_metadata(write):
    record = read_data(write(AMAZON))
    assert record.format == "amazon"
    # The latest of two reviews counts, an item without metadata is left out, one never reviewed is not there.
    assert triples(record) == [("A", "P2", 3), ("B", "P1", 4), ("B", "P2", 5)]
    assert record.item_ids == ("P1", "P2")
    assert record.ratings.timestamp[0] == 1588687728
    np.testing.assert_array_equal(record.items["price"].numbers, [1299.5, np.nan])
    assert record.items["categories"].values == (("Home", "Kitchen"), ())
    assert record.items["color"].cells() == ("Red", "Blue")
    assert record.items["description"].cells() == ("Boils water. Whistles.", "Shines.")
    assert record.items["store"].cells() == ("Kettler", "")
    assert len(record.notes) == 2


def test_prices_of_amazon_that_are_no_numbers_are_counted_with_the_first_line(write):
    metadata = [dict(METADATA[1], price="call us"), dict(METADATA[2], price="—")]
    notes = read_data(write(AMAZON, **{"meta_Home.jsonl": json_lines(metadata)})).notes
    assert any(re.search(r"price of 1 items .* 'call us' \(.*meta_Home.jsonl, line 1\)", note) for note in notes)


@pytest.mark.parametrize(
    ("raw", "price"),
    [(12.5, 12.5), ("$1,299.00", 1299), ("from 9.99", 9.99), ("$5 - $8", 5), ("—", None), (None, None), ("", None),
     (-1.0, None), (float("nan"), None), (True, None), ({"x": 1}, 1), ("12,50", None), ("from €12,50", None),
     ("12,500", 12500)],
)  # fmt: skip
def test_prices_are_cleaned(raw, price):
    np.testing.assert_equal(clean_price(raw), np.nan if price is None else price)


def test_open_bandit_keeps_every_exposure_with_its_propensity(write):
    record = read_data(write(BANDIT))
    assert record.format == "open-bandit"
    assert record.feedback is Feedback.CLICKS
    assert record.knows_passed_over
    assert record.ratings.person_ids == ("aaaaaaaa-b-c-d", "zzzzzzzz-b-c-e")
    assert triples(record) == [
        ("aaaaaaaa-b-c-d", "1", 0),
        ("aaaaaaaa-b-c-d", "0", 2),
        ("zzzzzzzz-b-c-e", "1", 0),
    ]
    shown = record.exposures
    np.testing.assert_array_equal(shown.position, [1, 3, 2, 1])
    np.testing.assert_array_equal(shown.click, [True, False, True, False])
    np.testing.assert_array_equal(shown.propensity, [0.25, 0.5, 0.5, 0.125])
    np.testing.assert_array_equal(shown.item, [0, 1, 0, 1])
    np.testing.assert_array_equal(shown.person, [0, 0, 0, 1])
    np.testing.assert_array_equal(record.items["item_feature_0"].numbers, [-0.5, 0.7])
    assert record.items["item_feature_1"].cells() == ("B", "A")
    assert record.persons["user_feature_3"].cells() == ("A", "B")
    np.testing.assert_allclose(record.stars(), [2.5, 4.75, 2.5])


def test_hashed_values_become_letters_by_frequency():
    assert letters(["q", "p", "q", "", "r"]) == ["A", "B", "A", "", "C"]
    assert letters([f"{n:03d}" for n in range(30)])[25:28] == ["Z", "AA", "AB"]


def test_several_campaigns_are_listed_and_one_is_read_from_inside_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "obd.zip", "w") as archive:
        for folder in ("random/men", "random/women"):
            for name, content in BANDIT.items():
                archive.writestr(f"obd/{folder}/{name}", content)
    with pytest.raises(ValueError, match=r"holds 2 logs: obd/random/men/men\.csv, .*give the folder of one"):
        read_data(tmp_path / "obd.zip")
    assert len(read_data(tmp_path / "obd.zip" / "obd" / "random" / "men").exposures.item) == 4
    with pytest.raises(FileNotFoundError, match=r"holds no folder 'obd/kids'; name one that it holds"):
        read_data(tmp_path / "obd.zip" / "obd" / "kids")


def test_tables_are_told_apart_by_their_columns_and_cells_by_what_they_look_like(write):
    record = read_data(write(TABLES), columns=COLUMNS)
    assert record.items["name"].cells() == ("Kettle, red", "Lamp")
    assert record.items["tags"].values == (("kitchen", "steel"), ("kitchen", "light"))
    assert record.persons["age"].kind is AttributeKind.FLOAT
    # Noon at UTC+2 is ten; a date alone is its midnight.
    assert record.ratings.timestamp[0] == 1709452800


def test_usual_column_names_need_no_map_and_an_item_table_may_lie_elsewhere(write, tmp_path):
    write({"log.csv": "user_id;item_id;rating\n7;1;3,5\n".replace("3,5", "3.5") + "7;2;4\n"})
    (tmp_path / "things.tsv").write_text("id\tTitle\n1\tOne\n2\tTwo\n")
    record = read_data(tmp_path / "data" / "log.csv", items=tmp_path / "things.tsv")
    assert triples(record) == [("7", "1", 3.5), ("7", "2", 4)]
    assert record.items["Title"].cells() == ("One", "Two")
    assert not record.has_times


def test_without_times_the_order_of_the_file_stands_for_time(write):
    place = write({"log.csv": "user,item,rating\na,9,1\na,3,2\na,5,3\n"})
    assert [item for _, item, _ in triples(read_data(place))] == ["9", "3", "5"]


@pytest.mark.parametrize(
    ("text", "expected", "passed_over"),
    [
        ("user,item\na,x\na,x\na,y\nb,y\n", [2, 1, 1], False),
        ("user,item,clicks\na,x,1\na,x,2\na,y,0\nb,y,700\n", [3, 0, 700], True),
        ("user,item,rating\na,x,1\na,y,0\nb,y,1\n", [1, 0, 1], True),
    ],
)
def test_rows_without_a_rating_counts_and_zeros_and_ones_are_clicks(write, text, expected, passed_over):
    record = read_data(write({"log.csv": text}))
    assert record.feedback is Feedback.CLICKS
    assert [number for _, _, number in triples(record)] == expected
    assert record.knows_passed_over is passed_over


def test_stars_are_left_alone_and_other_scales_and_clicks_are_mapped(write):
    def stars(text, **options):
        return read_data(write({"log.csv": text}), **options).stars().tolist()

    assert stars("user,item,rating\na,x,0\na,y,4.5\nb,y,1\n", scale=(0, 5)) == [0.5, 4.5, 1]
    assert stars("user,item,rating\na,x,0\na,y,50\nb,y,100\n", scale=(0, 100)) == [1, 3, 5]
    assert stars("user,item,clicks\na,x,0\na,y,1\nb,y,2\nb,x,9\n") == [2.5, 4.5, 4.75, 5]


def test_the_scale_that_ratings_are_taken_for_is_said_and_a_mark_that_is_no_rating_is_noticed(write):
    def note(*odd):
        rows = [f"u{person},i{item},{1 + (person + item) % 5}" for person in range(20) for item in range(20)]
        text = "\n".join(["user,item,rating", *rows[len(odd) :], *(f"v,i{n},{mark}" for n, mark in enumerate(odd))])
        return " ".join(read_data(write({"log.csv": text + "\n"})).notes)

    assert "ratings lie from 1 to 5, which is taken for their scale" in note()
    assert "far from the others" not in note()
    assert "1 of them is -1, far from the others" in note("-1")
    assert "2 of them are 99, far from the others" in note("99", "99")
    assert "--set scale=1..99" in note("99")


def test_repeats_are_refused_or_the_latest_counts_or_they_add_up(write):
    place = write({"log.csv": "user,item,rating,time\na,x,5,20\nb,x,3,1\na,x,2,10\n"})
    with pytest.raises(ValueError, match=r"line 4: person 'a' and item 'x' stood on line 2 already; keep one"):
        read_data(place)
    assert triples(read_data(place, repeats="last")) == [("a", "x", 5), ("b", "x", 3)]
    assert triples(read_data(place, repeats="sum")) == [("a", "x", 7), ("b", "x", 3)]


def test_items_without_metadata_are_refused_left_out_or_kept(write):
    place = write({"log.csv": "user,item,rating\na,x,5\na,new,3\n", "items.csv": "item,title\nx,Ex\nz,Zed\n"})
    with pytest.raises(
        ValueError, match=r"log\.csv, line 3: item 'new' is not in .*items\.csv \(1 such items\); add it"
    ):
        read_data(place)
    dropped = read_data(place, unknown="drop")
    assert (dropped.item_ids, len(dropped.ratings.item)) == (("x", "z"), 1)
    assert read_data(place, unknown="keep").item_ids == ("x", "z", "new")


def packed(kind, files):
    content = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(f"deep/er/{name}", text)
    else:
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for name, text in files.items():
                entry = tarfile.TarInfo(f"./deep/{name}")
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()


def test_folders_gzip_zip_and_tar_read_alike(write, tmp_path):
    expected = triples(read_data(write(RECBOLE)))
    gz = write({f"{name}.gz": gzip.compress(text.encode()) for name, text in RECBOLE.items()}, folder="gz")
    assert triples(read_data(gz)) == expected
    for kind in ("zip", "tar.gz"):
        (tmp_path / f"shop.{kind}").write_bytes(packed(kind, RECBOLE))
        record = read_data(tmp_path / f"shop.{kind}")
        assert triples(record) == expected
        assert record.items["made.in"].values[0] == ("Portugal",)


def test_parquet_reads_as_csv_does(write):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    csv_record = read_data(write(TABLES), columns=COLUMNS)
    place = write({}, folder="parquet")
    log = {
        "uid": ["b", "a", "b"],
        "sku": ["x", "y", "y"],
        "stars": [4, 3, 1],
        "ts": pa.array([1709337600, 1709452800, 1709251200], pa.timestamp("s")),
    }
    parquet.write_table(pa.table(log), place / "stars.parquet")
    goods = {
        "sku": ["x", "y"], "name": ["Kettle, red", None], "tags": [["kitchen", "steel"], None], "weight": [1.5, None]
    }  # fmt: skip
    parquet.write_table(pa.table(goods), place / "goods.parquet")
    record = read_data(place, columns=COLUMNS)
    assert triples(record) == triples(csv_record)
    np.testing.assert_array_equal(record.ratings.timestamp, csv_record.ratings.timestamp)
    assert record.items["tags"].values == (("kitchen", "steel"), ())
    assert record.items["name"].cells() == ("Kettle, red", "")
    np.testing.assert_array_equal(record.items["weight"].numbers, [1.5, np.nan])
    log["stars"] = [4, None, 1]
    parquet.write_table(pa.table(log), place / "stars.parquet")
    with pytest.raises(ValueError, match=r"stars\.parquet, row 2: stars is '', expected a finite number"):
        read_data(place, columns=COLUMNS)
    (place / "stars.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(ValueError, match=r"stars\.parquet is not a sound Parquet file"):
        read_data(place, columns=COLUMNS)


def test_parquet_without_pyarrow_names_the_command_and_csv_needs_none(write):
    place = write(TABLES)
    (place / "stars.parquet").write_bytes(b"")
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from instructrec.envs.read_data import read_data\n"
        f"read_data({str(place / 'stars.csv')!r}, columns={COLUMNS!r})\n"
        f"try: read_data({str(place / 'stars.parquet')!r}, columns={COLUMNS!r})\n"
        "except ImportError as problem: print(problem)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "pip install 'instructrec[parquet]'" in done.stdout


@pytest.mark.parametrize(
    ("files", "changes", "message"),
    [
        (ML_100K, {"u.data": ""}, r"u\.data is empty; it needs at least one row"),
        (ML_100K, {"u.data": "1\t10\t6\t7\n"}, r"u\.data, line 1: rating is 6, expected 1 to 5; correct it"),
        (ML_100K, {"u.data": "1\t10\t5\n"}, r"u\.data, line 1: 3 cells, but the format has 4; .*separated by '\\t'"),
        (ML_100K, {"u.data": "1\t99\t5\t7\n"}, r"line 1: item '99' is not in .*u\.item"),
        (ML_1M, {"ratings.dat": "1::10::nan::7\n"}, r"ratings\.dat, line 1: rating is 'nan', expected a finite number"),
        (ML_1M, {"ratings.dat": "1::10::4::7\n1::10::4::8\n"}, r"line 2: person '1' and item '10' stood on line 1"),
        (ML_LATEST, {"ratings.csv": "userId,movieId,rating\n1,10,4\n"}, r"line 1: the column 'timestamp' is missing"),
        (ML_LATEST, {"ratings.csv": ML_LATEST["ratings.csv"] + "2,10,4,soon\n"}, r"line 5: .*expected a time"),
        (RECBOLE, {"shop.inter": "user_id\titem_id\n1\t2\n"}, r"shop\.inter, line 1: the column 'user_id' has no type"),
        (RECBOLE, {"shop.inter": "a:token\tb:token\n1\t2\n"}, r"line 1: no column for 'person' \(found: a, b\); say"),
        (RECBOLE, {"shop.inter": "user_id:token\titem_id:token\n"}, r"shop\.inter has a header but no rows"),
        (RECBOLE, {"shop.inter": RECBOLE["shop.inter"] + "\tx\t1\t2\n"}, r"line 5: user_id:token is empty"),
        (RECBOLE, {"shop.item": "item_id:token\tw:float\nx\theavy\n"}, r"shop\.item, line 2: w:float is 'heavy'"),
        (RECBOLE, {"shop.item": "id:token\nx\n"}, r"shop\.item, line 1: the column 'item_id' is missing; call the ids"),
        (RECBOLE, {"more.inter": RECBOLE["shop.inter"]}, r"holds more\.inter, shop\.inter; give the one to read"),
        (AMAZON, {"Home.jsonl": '{"user_id": "A"\n'}, r"Home\.jsonl, line 1: not JSON .*complete or remove"),
        (AMAZON, {"Home.jsonl": '\n{"user_id": "A"}\n'}, r"line 2: the review has no 'parent_asin' \(found: user_id\)"),
        (AMAZON, {"Home.jsonl": "[1]\n"}, r"line 1: expected an object"),
        (AMAZON, {"Home.jsonl": "\n"}, r"Home\.jsonl is empty"),
        (AMAZON, {"Home.jsonl": json_lines([{**REVIEWS[0], "rating": 7}])}, r"line 1: rating is 7, expected 1 to 5"),
        (AMAZON, {"meta_Home.jsonl": json_lines(METADATA[:1])}, r"describes none of the 3 reviewed items"),
        (AMAZON, {"meta_Home.jsonl": '{"asin": 1}\n'}, r"line 1: the item has no 'parent_asin' \(found: asin\)"),
        (AMAZON, {"Toys.jsonl": "{}"}, r"expected one \.jsonl file of reviews .*found Home\.jsonl, Toys\.jsonl"),
        (BANDIT, {"men.csv": BANDIT["men.csv"].replace("0.25", "0")}, r"men\.csv, line 3: propensity_score is 0"),
        (BANDIT, {"men.csv": BANDIT["men.csv"].replace("0.25", "1.5")}, r"propensity_score is 1\.5, expected 0 to 1"),
        (BANDIT, {"men.csv": BANDIT["men.csv"].replace(",3,0,0.5", ",3,0.5,0.5")}, r"line 2: click is 0\.5, expected"),
        (BANDIT, {"men.csv": BANDIT["men.csv"].replace("click", "klick")}, r"'click' is missing; rename 'klick'"),
        (TABLES, {"stars.csv": "uid,sku,stars,ts\na,x,,1\n"}, r"stars\.csv, line 2: stars is '', expected a finite"),
        (TABLES, {"stars.csv": "uid,sku,stars,ts\na,x,7,1\n"}, r"line 2: stars is 7, expected 1 to 5; .*mend the"),
        (TABLES, {"goods.csv": TABLES["goods.csv"] + "x,Again,a,$1,\n"}, r"goods\.csv, line 4: sku 'x' stood on"),
        (TABLES, {"stars.csv": b"uid,sku,stars,ts\na,\xe9,1,1\n"}, r"stars\.csv, line 2: not UTF-8 \(byte 0xe9\)"),
        (TABLES, {"more.csv": TABLES["stars.csv"]}, r"expected one table .* found more\.csv, stars\.csv; give"),
        (TABLES, {"more.csv": TABLES["goods.csv"]}, r"2 tables could hold the items \(goods\.csv, more\.csv\)"),
        (TABLES, {"stars.csv": None, "goods.csv": None}, r"expected one table .* none among people\.csv"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line_and_cure(write, files, changes, message):
    files = {name: text for name, text in {**files, **changes}.items() if text is not None}
    encoding = "latin-1" if "u.item" in files or "movies.dat" in files else "utf-8"
    options = {"columns": COLUMNS, "scale": (1, 5)} if "people.csv" in files else {}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_data(write(files, encoding=encoding), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "movielenz"}, r"unknown format 'movielenz'; did you mean 'movielens'\?"),
        ({"columns": {"persona": "uid"}}, r"columns: unknown role 'persona'; did you mean 'person'\?"),
        ({"repeats": "first"}, r"repeats is one of refuse, last, sum"),
        ({"scale": (5, 1)}, r"scale is the lowest and the highest rating"),
        ({"max_ratings": 0, "columns": COLUMNS}, r"max_ratings must be at least 1"),
        ({"encoding": "utf-9", "columns": COLUMNS}, r"unknown encoding 'utf-9'"),
    ],
)
def test_options_out_of_range_are_explained(write, options, message):
    with pytest.raises(ValueError, match=message):
        read_data(write(TABLES), **options)


def test_an_option_that_a_format_lacks_is_an_error(write):
    with pytest.raises(ValueError, match=r"read as movielens, which has no setting 'columns' \(it has: none\)"):
        read_data(write(ML_LATEST), columns=COLUMNS)


def test_counts_are_not_taken_for_ratings(write):
    place = write({"log.csv": "user,item,score\na,x,900\nb,x,3\n"})
    with pytest.raises(
        ValueError, match=r"score goes up to 900: are these ratings or counts\? For counts say columns="
    ):
        read_data(place)
    assert read_data(place, columns={"clicks": "score"}).feedback is Feedback.CLICKS
    assert read_data(place, columns={"rating": "score"}).feedback is Feedback.RATINGS


def test_a_format_that_cannot_be_told_lists_what_was_looked_for(write, tmp_path):
    with pytest.raises(ValueError, match=r"cannot tell the format from notes\.txt\. Looked for") as problem:
        read_data(write({"notes.txt": "hello"}))
    for name in FORMATS:
        assert f"{name}: " in str(problem.value)
    with pytest.raises(FileNotFoundError, match=r"does not exist; give a folder or a \.zip archive"):
        read_data(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["ratings.csv.gz", "Home.jsonl.gz", "shop.inter.gz"])
def test_a_torn_gzip_is_named(write, name):
    files = {"ratings.csv.gz": ML_LATEST, "Home.jsonl.gz": AMAZON, "shop.inter.gz": RECBOLE}[name]
    whole = files[name.removesuffix(".gz")]
    rest = {other: text for other, text in files.items() if other != name.removesuffix(".gz")}
    place = write(rest, **{name: gzip.compress(whole.encode() * 50)[:-12]})
    with pytest.raises(ValueError, match=rf"{name} is not a sound gzip file .*download or compress it again"):
        read_data(place)


def test_torn_and_locked_archives_are_named(tmp_path):
    for kind in ("zip", "tar.gz"):
        (tmp_path / f"torn.{kind}").write_bytes(packed(kind, RECBOLE)[:300])
        with pytest.raises(ValueError, match=r"torn\..* is not a sound \.(zip|tar) archive .*again"):
            read_data(tmp_path / f"torn.{kind}")


def test_beyond_max_ratings_whole_people_are_drawn_whatever_the_order(write):
    rows = [(f"p{person}", f"i{item}", 1 + (person + item) % 5) for item in range(10) for person in range(60)]
    header = "user,item,rating\n"
    one = read_data(write({"log.csv": header + "".join(f"{a},{b},{c}\n" for a, b, c in rows)}), max_ratings=200)
    back = header + "".join(f"{a},{b},{c}\n" for a, b, c in reversed(rows))
    other = read_data(write({"log.csv": back}), max_ratings=200)
    assert 20 <= len(one.ratings.item) <= 200
    assert (np.bincount(one.ratings.person) == 10).all()
    assert sorted(triples(one)) == sorted(triples(other))
    assert set(triples(one)) <= set(rows)
    assert any("drawn by a hash" in note for note in one.notes)
    with pytest.raises(ValueError, match=r"'p\d+' alone has more than max_ratings = 9"):
        read_data(write({"log.csv": back}), max_ratings=9)


def test_people_who_were_let_go_do_not_come_back_in_a_later_block():
    def gathered(block):
        gathering = Gathering("log", max_ratings=200)
        rows = [(f"p{person}", f"i{item}") for item in range(10) for person in range(60)]
        for start in range(0, len(rows), block):
            people, items = zip(*rows[start : start + block], strict=True)
            lines = range(start + 2, start + 2 + len(people))
            table = Table("log", {"user": people, "item": items}, lines)
            gathering.add(table, "user", "item", np.ones(len(people)), None)
        return gathering.finished("tables", feedback=Feedback.RATINGS, items=None)

    assert (np.bincount(gathered(50).ratings.person) == 10).all()
    assert set(triples(gathered(50))) == set(triples(gathered(7))) == set(triples(gathered(600)))


def test_memory_is_bounded_by_max_ratings_and_not_by_the_file(write):
    def peak(count):
        entries = ({**REVIEWS[n % 2], "user_id": f"U{n // 3}", "text": "x" * 300} for n in range(count))
        place = write({"meta_Home.jsonl": AMAZON["meta_Home.jsonl"]}, folder=f"n{count}")
        (place / "Home.jsonl").write_text(json_lines(entries))
        tracemalloc.start()
        record = read_data(place, max_ratings=2_000)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(record.ratings.item) <= 2_000
        return size

    peak(3_000)
    small, large = peak(11_000), peak(33_000)
    assert large < 1.3 * small


words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).map(str.strip).filter(bool)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.dictionaries(st.tuples(words, words), st.floats(0.5, 5, width=16), min_size=1, max_size=12),
    separator=st.sampled_from([",", ";", "\t"]),
)
def test_whatever_the_ids_are_what_was_written_as_csv_is_read(pairs, separator, tmp_path):
    with (tmp_path / "log.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=separator)
        writer.writerows([["user", "item", "rating"], *([a, b, repr(c)] for (a, b), c in pairs.items())])
    record = read_data(tmp_path / "log.csv", scale=(0.5, 5))
    assert sorted(triples(record)) == sorted((a, b, float(np.float32(c))) for (a, b), c in pairs.items())
    assert (np.diff(record.ratings.person) >= 0).all()


SAMPLES = [ML_100K, ML_1M, ML_LATEST, RECBOLE, AMAZON, BANDIT, TABLES]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_read_or_refused_by_name_and_nothing_else(data, tmp_path):
    files = dict(data.draw(st.sampled_from(SAMPLES)))
    name = data.draw(st.sampled_from(sorted(files)))
    content = files[name].encode()
    at = data.draw(st.integers(0, len(content)))
    odd = st.sampled_from(
        [
            b"",
            b"\x00",
            b"\xff\xfe",
            b'"',
            b"\n",
            b"\r",
            b",",
            b"\t",
            b"::",
            b"|",
            b"nan",
            b"1e999",
            b"-",
            b"[",
            b"{}",
            b"\xc3\xa9",
        ]
    )
    cut = data.draw(st.integers(0, 6))
    content = content[:at] + data.draw(odd) + content[at + cut :]
    place = tmp_path / "fuzz"
    place.mkdir(exist_ok=True)
    for old in place.iterdir():
        old.unlink()
    for other, text in files.items():
        (place / other).write_bytes(content if other == name else text.encode())
    record, refusal = None, ""
    try:
        record = read_data(place, columns=COLUMNS if files.keys() == TABLES.keys() else None)
    except (ValueError, FileNotFoundError) as problem:
        refusal = str(problem)
    if record is None:
        assert str(place) in refusal
        assert ";" in refusal or "Give" in refusal, refusal
    else:
        assert ((record.stars() >= 0.5) & (record.stars() <= 5)).all()
        infer_catalogue(record)


@pytest.mark.skipif("INSTRUCTREC_ML100K" not in os.environ, reason="INSTRUCTREC_ML100K names no MovieLens 100K")
def test_movielens_100k_as_recbole_gives_it_out_is_read_whole():
    record = read_data(os.environ["INSTRUCTREC_ML100K"])
    assert (record.num_persons, record.num_items, len(record.ratings.item)) == (943, 1682, 100_000)
    assert record.ratings.rating.mean() == pytest.approx(3.52986)
    assert record.items["movie_title"].cells()[0] == "Toy Story"


@pytest.mark.skipif("INSTRUCTREC_OBD" not in os.environ, reason="INSTRUCTREC_OBD names no campaign of Open Bandit")
def test_a_campaign_of_open_bandit_is_read_whole():
    record = read_data(os.environ["INSTRUCTREC_OBD"])
    assert len(record.exposures.item) == 10_000
    assert record.ratings.rating.sum() == record.exposures.click.sum()

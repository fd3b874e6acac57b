"""Recorded dialogues: three formats read into one record, titles found as people say them, and exact errors."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from instructrec.catalogue import Catalogue
from instructrec.envs.crosswoz import crosswoz_catalogue
from instructrec.envs.dialogues import (
    Dialogue,
    TitleIndex,
    Utterance,
    read_dialogues,
    summary_of,
    write_dialogues,
)
from instructrec.envs.movielens import shipped

DATA = next(
    (up / "shared" / "data" for up in Path(__file__).resolve().parents if (up / "shared" / "data").is_dir()), None
)


def films(*titles: str, popularity: tuple[float, ...] = ()) -> Catalogue:
    return Catalogue(
        columns={},
        titles=titles,
        texts=titles,
        item_ids=tuple(f"f{place}" for place in range(len(titles))),
        popularity=np.array(popularity or np.ones(len(titles)), np.float32),
    )


def act(intent: str, *titles: str) -> dict:
    return {"intent": intent, "slot_values": [["TITLE", title, None, None] for title in titles]}


def spoken(who: str, utterance: str, *acts: dict) -> dict:
    return {"participant": who, "utterance": utterance, "dialogue_acts": list(acts)}


IARD = [
    {
        "conversation_id": "7",
        "conversation": [
            spoken("AGENT", "Hello! Heat (1995) or Ronin?", act("REC-S", "Heat", "Ronin")),
            spoken("USER", "Not Ronin. Anything with trains?", act("REJ", "Ronin"), act("CRI-A")),
            spoken("AGENT", "Snowpiercer (2013) or Unstoppable (2010)", act("REC-E", "Snowpiercer", "Unstoppable")),
            spoken("AGENT", "Both are loud.", act("EXP-I")),
            spoken("USER", "Great, that one", act("ACC")),
            spoken("USER", "and heat too", act("ACC", "heat")),
        ],
        "agent": {"id": 1},
        "user": {"id": 2},
        "metadata": {"accepted_recommendations": ["Unstoppable "]},
    }
]

CROSSWOZ = {
    "12": {
        "messages": [
            {
                "role": "usr",
                "content": "想找个公园",
                "dialog_act": [["Request", "景点", "名称", ""]],
                "user_state": [[1, "景点", "名称", "", True], [2, "酒店", "名称", "出现在id=1的周边酒店里", False]],
            },
            {
                "role": "sys",
                "content": "甲公园或者乙公园",
                "dialog_act": [["Recommend", "景点", "名称", "甲公园"], ["Recommend", "景点", "名称", "乙公园"]],
            },
            {
                "role": "usr",
                "content": "去乙公园，附近有酒店吗",
                "dialog_act": [["Inform", "景点", "名称", "乙公园"], ["Request", "景点", "周边酒店", ""]],
                "user_state": [
                    [1, "景点", "名称", "乙公园", True],
                    [2, "酒店", "名称", "出现在id=1的周边酒店里", True],
                ],
            },
            {
                "role": "sys",
                "content": "有丙酒店",
                "dialog_act": [["Inform", "景点", "周边酒店", "丙酒店"]],
            },
            {
                "role": "usr",
                "content": "就丙酒店",
                "dialog_act": [["Inform", "酒店", "名称", "丙酒店"]],
                "user_state": [[1, "景点", "名称", "乙公园", True], [2, "酒店", "名称", "丙酒店", True]],
            },
        ]
    }
}


def written(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document, ensure_ascii=False), "utf-8")
    return path


def test_an_acceptance_without_a_title_takes_what_was_offered_last_and_listed(tmp_path):
    (dialogue,) = read_dialogues(written(tmp_path / "iard.json", IARD))
    critique, accepted, named = dialogue.utterances
    assert dialogue.name == "7"
    assert critique.text == "Not Ronin. Anything with trains?"
    assert critique.offered == ("Heat (1995)", "Ronin")
    assert (critique.rejected, critique.accepted, critique.marks) == (("Ronin",), (), ("REJ", "CRI-A"))
    assert accepted.accepted == ("Unstoppable (2010)",)
    assert accepted.offered == ("Snowpiercer (2013)", "Unstoppable (2010)")
    assert named.accepted == ("Heat (1995)",), "the year comes from where the title was said first"


def test_what_the_record_lists_as_accepted_is_never_lost(tmp_path):
    listed = [{**IARD[0], "metadata": {"accepted_recommendations": ["Why Him%3F", "Heat"]}}]
    utterances = read_dialogues(written(tmp_path / "iard.json", listed))[0].utterances
    assert utterances[1].accepted == ("Snowpiercer (2013)", "Unstoppable (2010)")
    assert utterances[2].accepted == ("Heat (1995)", "Why Him?")


def test_a_place_is_accepted_when_it_enters_the_users_state_after_it_was_named(tmp_path):
    path = tmp_path / "val.json.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("val.json", json.dumps(CROSSWOZ))
    (dialogue,) = read_dialogues(path)
    assert [one.accepted for one in dialogue.utterances] == [(), ("乙公园",), ("丙酒店",)]
    assert [one.offered for one in dialogue.utterances] == [(), ("甲公园", "乙公园"), ("丙酒店",)]
    assert dialogue.utterances[1].marks == ("Inform", "Request")


def test_dialogues_written_are_dialogues_read(tmp_path):
    dialogues = (
        *read_dialogues(written(tmp_path / "iard.json", IARD)),
        Dialogue(name="ü", utterances=(Utterance(text="", marks=("x",)), Utterance(text="a\u2028b"))),
    )
    write_dialogues(tmp_path / "own.jsonl", dialogues)
    assert read_dialogues(tmp_path / "own.jsonl") == dialogues


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("The Matrix (1999)", 0),
        ("matrix, the", 0),
        ("the   MATRIX", 0),
        ("The Matrix (2000)", 0),
        ("The Matrix (2003)", None),
        ("Jumanji (1995)", 1),
        ("Jumanji (2017)", 2),
        ("jumanji", 2),
        ("Se7en", 3),
        ("Seven (1995)", 3),
        ("Leon", 4),
        ("Tom & Jerry", 5),
        ("北京全聚德（王府井店）", 6),
        ("id:f1", 1),
        ("id:1995", None),
        ("A", 7),
        ("", None),
        ("Alien", None),
    ],
)
def test_titles_are_found_as_people_say_them(said, meant):
    catalogue = films(
        "The Matrix (1999)", "Jumanji (1995)", "Jumanji (2017)", "Seven (a.k.a. Se7en) (1995)", "Léon (1994)",
        "Tom and Jerry", "北京全聚德(王府井店)", "A",
        popularity=(1, 1, 5, 1, 1, 1, 1, 1),
    )  # fmt: skip
    assert TitleIndex(catalogue).find(said) == meant


def test_a_whole_title_wins_over_an_alternative_that_is_more_popular():
    assert TitleIndex(films("Twelve (a.k.a. Dozen)", "Dozen", popularity=(9, 1))).find("dozen") == 1


def test_the_summary_counts_what_the_catalogue_knows(tmp_path):
    dialogues = read_dialogues(written(tmp_path / "iard.json", IARD))
    found = summary_of(dialogues, films("Heat (1995)", "Snowpiercer (2013)"))
    assert (found["dialogues"], found["utterances"]) == (1, 3)
    assert (found["accepted"], found["accepted_found"], found["with_target"]) == (2, 1, 1)
    assert (found["items"], found["items_found"]) == (4, 2)
    assert set(found["not_found"]) == {"Ronin", "Unstoppable (2010)"}
    assert found["marks"] == {"REJ": 1, "CRI-A": 1, "ACC": 2}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", '{"name": "a", "utterances": [{"text": "b"}]}\n{', r"x.jsonl, line 2: not JSON"),
        ("x.jsonl", '\n["a"]', r"line 2: expected an object such as"),
        ("x.jsonl", '{"utterances": ["a"]}', r"line 1, utterance 1: expected an object with a \"text\", got 'a'"),
        ("x.jsonl", '{"utterances": [{"text": "", "acepted": 1}]}', r"unknown key 'acepted'; did you mean 'accepted'"),
        ("x.jsonl", '{"utterances": [{"text": "a", "accepted": "b"}]}', r"accepted is a list of texts, got 'b'"),
        ("x.jsonl", '{"name": "a", "utterances": []}', r"holds no dialogue in which a user says something"),
        ("x.jsonl", '{"name": "a", "utterances": [{"text": "b"}]}\n' * 2, r"two dialogues are called 'a'"),
        ("x.json", "[1,", r"x.json, line 1: not JSON .*named .jsonl"),
        ("x.json", '{"a": 1}', r"neither IARD .* nor CrossWOZ"),
        ("x.json", '[{"conversation_id": 4, "conversation": [{}]}]', r"conversation 4: KeyError: 'utterance'"),
        ("x.json", '{"9": {"messages": [{"role": "usr"}]}}', r"dialogue 9: KeyError"),
        ("x.zip", "no zip", r"not a sound .zip archive"),
    ],
)  # fmt: skip
def test_broken_files_are_named_with_the_place_and_the_cure(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(ValueError, match=message):
        read_dialogues(tmp_path / name)


def test_other_bytes_and_missing_files_are_told_apart(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"name": "a"}\n\xff')
    with pytest.raises(ValueError, match="line 2: not UTF-8"):
        read_dialogues(tmp_path / "x.jsonl")
    with pytest.raises(FileNotFoundError, match=re.escape("name the file in it: x.jsonl")):
        read_dialogues(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_dialogues(tmp_path / "y.jsonl")
    with pytest.raises(FileNotFoundError, match=r"hotel_db.json does not exist"):
        crosswoz_catalogue(tmp_path)


def test_a_catalogue_is_made_of_the_places(tmp_path):
    written(tmp_path / "hotel_db.json", [["丙酒店", {"领域": "酒店", "酒店类型": "舒适型", "价格": 300, "评分": 4.5}]])
    written(tmp_path / "restaurant_db.json", [["丁饭馆", {"领域": "餐馆", "人均消费": 60, "评分": None}]])
    written(tmp_path / "attraction_db.json", [["乙公园", {"领域": "景点", "门票": None, "评分": 4.0}]])
    places = crosswoz_catalogue(tmp_path)
    assert places.titles == ("丙酒店", "丁饭馆", "乙公园")
    np.testing.assert_array_equal(places.column("price").numbers, np.array([300, 60, np.nan], np.float32))
    assert TitleIndex(places).find("乙公园") == 2
    written(tmp_path / "hotel_db.json", [["丙酒店"]])
    with pytest.raises(ValueError, match="is not a list of"):
        crosswoz_catalogue(tmp_path)


@pytest.mark.skipif(DATA is None, reason="needs the data sets beside the project")
def test_the_real_dialogues_are_read_and_most_of_their_items_found():
    films_found = summary_of(read_dialogues(DATA / "iard" / "formatted_IARD_annotated_gold.json"), shipped()[0])
    assert films_found["dialogues"] == 77
    assert films_found["accepted_found"] >= 0.8 * films_found["accepted"] > 80
    assert sum(films_found["marks"][mark] for mark in ("CRI-F", "CRI-A", "CRI-C")) == 71
    places = crosswoz_catalogue(DATA / "crosswoz" / "database")
    places_found = summary_of(read_dialogues(DATA / "crosswoz" / "val.json.zip"), places)
    assert places_found["dialogues"] == 500
    assert places_found["accepted_found"] == places_found["accepted"] > 1000

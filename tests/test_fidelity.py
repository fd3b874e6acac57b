"""The fidelity card tells a world from logs that are not like it, and admits what it does not know."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructrec.agents.baselines import baselines
from instructrec.envs.conversational import Behaviour
from instructrec.envs.worlds import make_world
from instructrec.experiments import distances
from instructrec.experiments.cli import run
from instructrec.experiments.evaluation import evaluate
from instructrec.experiments.fidelity import compare_logs, fidelity, to_text, told_apart
from instructrec.experiments.fidelity_aspects import ASPECTS, Finding, Simulated
from instructrec.experiments.fidelity_logs import ClickLog, DialogueLog, QueryLog, RatingLog, read_log
from instructrec.experiments.progress import Narrator
from instructrec.experiments.provenance import NO_RANGE, constants_of, documented, marked
from instructrec.goals import Check
from instructrec.sessions import Sessions

QUIET = Narrator(quiet=True)


@functools.cache
def _simulated(seed: int, world: str = "Movies", people: int = 200) -> Simulated:
    made = make_world(f"instructrec/{world}-v0")
    agent = baselines(made)["parser" if world == "Movies" else "random"]
    episodes = evaluate(made, agent, Sessions.first(seed, people), keep_goals=True)
    return Simulated(made, episodes, made.population.texts.strings(episodes.instruction[:, 0]))


def _table(path: Path, header: str, rows: Iterable[Iterable[Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return path


def _clicks(path: Path, simulated: Simulated, clicks: Callable[[int, bool], bool] = lambda place, was: was) -> Path:
    """The world's own sessions as a table of shown items; ``clicks`` may distort what was clicked at a position."""
    episodes, rows = simulated.episodes, []
    for session, length in enumerate(episodes.length.tolist()):
        for turn in range(length):
            for place, item in enumerate(episodes.shown[session, turn].tolist()):
                was = clicks(place, bool(episodes.clicked[session, turn, place]))
                rows.append((f"s{session}", turn, place + 1, item, int(was)))
    return _table(path, "session,turn,position,item,clicked", rows)


def _queries(path: Path, simulated: Simulated, longer: int = 0) -> Path:
    """The world's own first instructions, tagged as the MIT movie corpus is; ``longer`` adds words to each."""
    goals, lines = simulated.episodes.goals, []
    assert goals is not None
    names = ["GENRE", "YEAR", "RATINGS_AVERAGE", "RATINGS_AVERAGE"]
    for row, text in enumerate(simulated.texts):
        asked = (goals[0].check[row] != Check.NOTHING) & goals[0].said[row]
        tags = [f"B-{names[column]}" for column in goals[0].column[row][asked]]
        words = [word.replace(":", "") for word in text.split()] + ["please"] * longer
        words += ["so"] * (len(tags) - len(words))
        marks = tags + ["O"] * (len(words) - len(tags))
        lines.append(" ".join(f"{word}:{tag}" for word, tag in zip(words, marks, strict=True)) + " <=> <NULL>")
    path.write_text("\n".join(lines))
    return path


def _talk(*answers: str) -> dict[str, Any]:
    """A dialogue in which something is recommended before each answer, which is an act or none."""
    turns: list[dict[str, Any]] = [{"participant": "USER", "utterance": "", "dialogue_acts": [{"intent": "IQU"}]}]
    for act in answers:
        turns.append({"participant": "AGENT", "utterance": "", "dialogue_acts": [{"intent": "REC-E"}]})
        turns.append({"participant": "USER", "utterance": "", "dialogue_acts": [{"intent": act or "SEE"}]})
    return {"conversation_id": "1", "conversation": turns}


def _dialogues(path: Path, simulated: Simulated) -> Path:
    """The world's own sessions as dialogues: a click accepts, none rejects."""
    taken = simulated.episodes.clicked.any(axis=2)
    talks = [
        _talk(*("ACC" if did else "REJ" for did in mine[:length]))
        for mine, length in zip(taken, simulated.episodes.length, strict=True)
    ]
    path.write_text(json.dumps(talks))
    return path


def _ratings(folder: Path, people: int = 40, *, shuffled: bool = False) -> Path:
    """A made-up MovieLens folder: people of two tastes who rate films of two genres."""
    folder.mkdir()
    rng, rows = np.random.default_rng(1), []
    for person in range(people):
        films = rng.choice(60, 30, replace=False)
        liked = np.where((films % 2) == (person % 2), 4.5, 1.5) + rng.choice([-0.5, 0, 0.5], 30)
        stars = rng.permutation(liked) if shuffled else liked
        rows += [(person, film, star, 1) for film, star in zip(films, stars, strict=True)]
    _table(folder / "ratings.csv", "userId,movieId,rating,timestamp", rows)
    kinds = ("Drama|War", "Comedy|Romance")
    _table(
        folder / "movies.csv",
        "movieId,title,genres",
        [(film, f"Film {film} (1999)", kinds[film % 2]) for film in range(60)],
    )
    return folder


def _found(log: Path, simulated: Simulated) -> dict[str, Finding]:
    return compare_logs([read_log(log)], simulated, QUIET)[0]


# --- Equal worlds are near, distorted ones far -----------------------------------------------------------------------


@pytest.mark.parametrize("world", ["Movies", "Tiny"])
def test_a_world_is_level_with_the_clicks_of_its_own_people(world: str, tmp_path: Path) -> None:
    found = _found(_clicks(tmp_path / "log.csv", _simulated(5, world)), _simulated(6, world))
    assert set(found) == {"click_rate_by_position", "clicks_by_position", "session_length", "popularity_curve"}
    for finding in found.values():
        assert finding.floor is not None
        assert finding.distance <= 1.5 * finding.floor, finding


def test_clicks_that_fall_elsewhere_are_farther(tmp_path: Path) -> None:
    same = _found(_clicks(tmp_path / "same.csv", _simulated(5)), _simulated(6))
    late = _found(_clicks(tmp_path / "late.csv", _simulated(5), lambda place, was: was and place > 4), _simulated(6))
    for name in ("click_rate_by_position", "clicks_by_position"):
        assert late[name].distance > 3 * same[name].distance
        assert late[name].verdict == "far"


def test_a_world_is_level_with_its_own_requests_and_not_with_longer_ones(tmp_path: Path) -> None:
    same = _found(_queries(tmp_path / "train", _simulated(5)), _simulated(6))
    longer = _found(_queries(tmp_path / "longer", _simulated(5), longer=4), _simulated(6))
    assert set(same) == {"instruction_length", "request_kinds", "covered_request_kinds", "exclusions"}
    for finding in same.values():
        assert finding.floor is not None
        assert finding.distance <= 1.5 * finding.floor, finding
    assert longer["instruction_length"].distance == pytest.approx(4, abs=0.8)
    assert longer["instruction_length"].verdict == "far"


def test_a_world_is_level_with_its_own_answers_and_not_with_people_who_take_everything(tmp_path: Path) -> None:
    same = _found(_dialogues(tmp_path / "same.json", _simulated(5)), _simulated(6))
    (tmp_path / "easy.json").write_text(json.dumps([_talk("ACC", "ACC")] * 30))
    easy = _found(tmp_path / "easy.json", _simulated(6))
    for name in ("accept_rate", "reject_rate", "rounds"):
        assert same[name].distance <= 1.5 * (same[name].floor or 0.0), same[name]
    assert easy["accept_rate"].distance > 0.2
    assert easy["rounds"].verdict == "far"
    # These dialogues never criticise; the world's people do.
    assert same["critique_rate"].distance > (same["critique_rate"].floor or 1.0)


def test_ratings_with_taste_in_them_are_predicted_and_shuffled_ones_are_not(tmp_path: Path) -> None:
    taste = _found(_ratings(tmp_path / "taste"), _simulated(6))
    luck = _found(_ratings(tmp_path / "luck", shuffled=True), _simulated(6))
    assert set(taste) == {
        "popularity_curve", "genre_entropy", "rating_error", "rating_calibration", "rating_distribution",
    }  # fmt: skip
    assert taste["rating_error"].distance < 0.7 * luck["rating_error"].distance
    assert taste["rating_error"].floor is None
    # Their films have two genres each and the world's have more kinds, so they are less varied.
    assert taste["genre_entropy"].verdict == "far"


def test_distances_are_nought_for_equals_and_one_for_strangers() -> None:
    one, other = np.array(["a", "b", "b"]), np.array(["c", "c"])
    assert distances.category_divergence(one, one) == pytest.approx(0)
    assert distances.category_divergence(one, other) == pytest.approx(1)
    assert distances.largest_gap(np.arange(5), np.arange(5) + 10) == pytest.approx(1)
    assert distances.earth_mover(np.arange(5), np.arange(5) + 10) == pytest.approx(10)
    assert distances.earth_mover(np.array([0.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])) == pytest.approx(0)


def test_the_noise_floor_falls_with_the_size_of_the_sample_and_is_that_of_the_noisier() -> None:
    rng = np.random.default_rng(0)
    small, large = rng.normal(size=100), rng.normal(size=10_000)
    floors = [distances.noise_floor([sample], distances.largest_gap) for sample in (small, large)]
    assert floors[0] > 5 * floors[1]
    assert distances.noise_floor([small, large], distances.largest_gap) == floors[0]


def test_nineteen_of_twenty_samples_like_the_halves_differ_by_less_than_the_noise_floor() -> None:
    rng = np.random.default_rng(0)
    floor = np.mean([distances.noise_floor([rng.normal(size=400)], distances.largest_gap) for _ in range(10)])
    others = [distances.largest_gap(rng.normal(size=200), rng.normal(size=200)) for _ in range(400)]
    assert 0.9 <= np.mean(np.array(others) < floor) <= 0.985


# --- Several logs ---------------------------------------------------------------------------------------------------


def test_logs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = []
    for folder in ("shop", "app", "other/app"):
        (tmp_path / folder).mkdir(parents=True)
        paths.append(_clicks(tmp_path / folder / "log.csv", _simulated(5, "Tiny")))
    paths.append(_clicks(tmp_path / "single.csv", _simulated(5, "Tiny")))
    logs = told_apart(paths, [read_log(path) for path in paths])
    assert [log.source for log in logs] == ["shop/log.csv", "app/log.csv", "app/log.csv (2)", "single.csv"]
    found, _ = compare_logs(logs, _simulated(6, "Tiny"), QUIET)
    assert sum(finding.name == "session_length" for finding in found.values()) == 4


def test_a_card_of_two_logs_of_one_name_has_both_and_a_picture_of_each(tmp_path: Path) -> None:
    for folder in ("shop", "app"):
        (tmp_path / folder).mkdir()
        _clicks(tmp_path / folder / "log.csv", _simulated(5, "Tiny"))
    logs = [tmp_path / folder / "log.csv" for folder in ("shop", "app")]
    world = "instructrec/Tiny-v0"
    card = fidelity(world, logs, out=tmp_path / "out", agent="random", people=50, narrator=QUIET)
    assert [log["name"] for log in card["logs"]] == ["shop/log.csv", "app/log.csv"]
    assert {"session_length", "session_length@app/log.csv"} <= set(card["distances"])
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


def test_clicks_of_which_none_was_one_are_told(tmp_path: Path) -> None:
    log = _table(tmp_path / "log.csv", "person,item,clicked", [(f"p{n}", f"i{n % 5}", 0) for n in range(20)])
    with pytest.raises(ValueError, match="nothing in it was clicked"):
        read_log(log)


# --- What logs hold --------------------------------------------------------------------------------------------------


def test_logs_are_told_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "mit").mkdir()
    (tmp_path / "mit" / "train").write_text(
        "a:O scary:B-GENRE movie:O without:O war:B-GENRE <=> <NULL>\n\nit:B-TITLE <=> x"
    )
    queries = read_log(tmp_path / "mit")
    assert isinstance(queries, QueryLog)
    assert queries.length.tolist() == [5, 1]
    assert queries.kinds.tolist() == ["genre", "something else"]
    assert queries.covered.tolist() == [True, False]
    assert queries.excludes.tolist() == [True, False]
    (tmp_path / "talks.json").write_text(json.dumps([_talk("ACC", "CRI-F", ""), _talk()]))
    talks = read_log(tmp_path / "talks.json")
    assert isinstance(talks, DialogueLog)
    assert talks.answers.tolist() == [[1, 0, 1, 3], [0, 0, 0, 0]]
    assert talks.rounds.tolist() == [3, 0]
    clicks = read_log(_table(tmp_path / "log.csv", "session,position,clicked", [("x", 0, 1), ("x", 1, 0), ("y", 0, 1)]))
    assert isinstance(clicks, ClickLog)
    assert clicks.positions.tolist() == [[[1, 0], [1, 1]], [[1, 0], [1, 0]]]
    assert clicks.turns is None
    assert clicks.items is None
    assert isinstance(read_log(_ratings(tmp_path / "ml")), RatingLog)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none", None, "there is no log"),
        ("text", "I want a film", "line 1: expected a query as word:TAG"),
        ("log.json", "{", "not JSON"),
        ("log.json", '[{"turns": []}]', "expected a list of dialogues"),
        ("log.csv", "session,position\na,1\n", "'clicked' is missing"),
        ("log.csv", "session,position,clicked\na,1,maybe\n", "line 2: clicked is 'maybe', expected 1 or 0"),
        ("log.csv", "session,position,clicked\na,-1,1\n", "positions are counted from 1"),
    ],
)
def test_a_log_that_cannot_be_read_is_a_sentence(
    name: str, content: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    assert run(["fidelity", "tiny", "--log", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_what_a_log_lacks_is_said_and_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"s{row // 4}", row % 4 + 1, row % 3 == 0) for row in range(80)]
    log = _table(tmp_path / "log.csv", "session,position,clicked", rows)
    arguments = ["--agent", "random", "--people", "40", "--log", str(log)]
    assert run(["fidelity", "tiny", *arguments, "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "slates per session: not in this log" in text
    assert "words in a request: not in this log" in text
    assert max(map(len, text.splitlines())) <= 80
    found = json.loads((tmp_path / "out" / "fidelity.json").read_text())
    assert set(found["distances"]) == {"click_rate_by_position", "clicks_by_position"}
    assert set(found["distances"]) | set(found["missing"]) == set(ASPECTS)
    assert "not in this log" in (tmp_path / "out" / "fidelity.md").read_text()


def test_what_the_world_lacks_is_said_too(tmp_path: Path) -> None:
    logs = [read_log(_ratings(tmp_path / "ml"))]
    (tmp_path / "talks.json").write_text(json.dumps([_talk("ACC")] * 20))
    missing = compare_logs([*logs, read_log(tmp_path / "talks.json")], _simulated(6, "Tiny"), QUIET)[1]
    assert missing["genre_entropy"] == "not in this world: its items have no genre"
    assert missing["rating_error"] == "not in this world: its people have no model of ratings"
    assert missing["critique_rate"] == "not in this world: its people do not criticise"
    missing = compare_logs(logs, _simulated(6, "Books", 20), QUIET)[1]
    assert missing["rating_error"].startswith("not in this world: its people and their tastes are made up")


def test_two_logs_of_one_kind_are_both_compared(tmp_path: Path) -> None:
    logs = [read_log(_clicks(tmp_path / f"{name}.csv", _simulated(5, "Tiny"))) for name in ("one", "two")]
    found = compare_logs(logs, _simulated(6, "Tiny"), QUIET)[0]
    assert found["session_length"].source == "one.csv"
    assert found["session_length@two.csv"].distance == found["session_length"].distance


# --- The card --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("fidelity")
    logs = [
        _ratings(folder / "ml"),
        _queries(folder / "train", _simulated(5), longer=5),
        _dialogues(folder / "talks.json", _simulated(5)),
        _clicks(folder / "log.csv", _simulated(5)),
    ]
    document = fidelity("instructrec/Movies-v0", logs, out=folder / "out", people=200, seed=6, narrator=QUIET)
    return folder / "out", document


def test_the_card_is_written_with_a_picture_per_log(made: tuple[Path, dict[str, Any]]) -> None:
    out, document = made
    pictures = ["ratings.png", "requests.png", "dialogues.png", "clicks.png"]
    assert sorted(path.name for path in out.iterdir()) == sorted(["fidelity.json", "fidelity.md", *pictures])
    for name in pictures:
        content = (out / name).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) < 150_000
        assert f"]({name})" in (out / "fidelity.md").read_text()
    assert set(document["distances"]) >= {name for name in ASPECTS if name != "popularity_curve"}


def test_the_card_says_first_where_the_world_is_far(made: tuple[Path, dict[str, Any]]) -> None:
    out, document = made
    text = (out / "fidelity.md").read_text()
    far = [name for name, verdict in document["verdicts"].items() if verdict == "far"]
    assert "instruction_length" in far
    first = text.index("Where the world is far")
    assert text.index("- Words in a request: distance") > first
    assert first < text.index("Where it cannot be told") < text.index("## Where the constants")
    assert to_text(document).index("is far from the logs") < to_text(document).index("cannot be told")


def test_every_constant_stands_on_the_card_once(made: tuple[Path, dict[str, Any]]) -> None:
    document = made[1]
    fitted, assumed = ([one["name"] for one in document[kind]] for kind in ("fitted", "assumed"))
    names = [*fitted, *assumed]
    assert len(names) == len(set(names))
    assert {f"behaviour.{field.name}" for field in dataclasses.fields(Behaviour)} <= set(names)
    assert {"behaviour.perceived_false_alarm", "tastes.person_factors", "Movies-v0.named"} <= set(fitted)
    assert "behaviour.allure" in assumed
    assert all(one["from"] for one in document["fitted"])
    assert {one["from"] for one in document["assumed"] if one["name"] == "behaviour.click_bias"} == {NO_RANGE}


def test_every_constant_of_behaviour_says_in_its_docstring_where_it_comes_from() -> None:
    sentences = documented(Behaviour)
    assert list(sentences) == [field.name for field in dataclasses.fields(Behaviour)]
    assert all(marked(text) is not None for text in sentences.values())


def test_marks_are_read_from_sentences() -> None:
    assert marked("A rate. Assumed.") == ("A rate.", "Assumed", "")
    assert marked("A rate. Assumed: .5 to .9 (Somebody 2001).") == ("A rate.", "Assumed", ".5 to .9 (Somebody 2001)")
    assert marked("A rate, as\n  assumed. Fitted: to logs.") == ("A rate, as assumed.", "Fitted", "to logs")
    assert marked("How often it is assumed.") is None


def test_constants_of_other_people_are_their_settings() -> None:
    tiny = {constant.name: constant for constant in constants_of(make_world("instructrec/Tiny-v0", lure=0.7))}
    assert tiny["TinyPopulation.lure"].value == 0.7
    assert not tiny["TinyPopulation.lure"].fitted
    assert tiny["TinyPopulation.lure"].as_dict()["from"] == NO_RANGE


def test_the_same_command_gives_the_same_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = _clicks(tmp_path / "log.csv", _simulated(5, "Tiny", 40))
    told = []
    for name in ("one", "two"):
        arguments = ["fidelity", "tiny", "--agent", "random", "--people", "40", "--log", str(log), "--json"]
        assert run([*arguments, "--out", str(tmp_path / name)]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0]["distances"] == told[1]["distances"]
    assert (tmp_path / "one" / "clicks.png").read_bytes() == (tmp_path / "two" / "clicks.png").read_bytes()


def test_nothing_to_compare_with_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fidelity", "tiny"]) == 2
    assert "give at least one --log" in " ".join(capsys.readouterr().err.split())


def test_in_a_world_of_made_up_items_nothing_is_called_fitted() -> None:
    constants = constants_of(make_world("instructrec/Shop-v0", num_items=2000, bank_size=300))
    assert {"tastes.person_factors", "behaviour.perceived_false_alarm"} <= {constant.name for constant in constants}
    assert not [constant for constant in constants if constant.fitted]

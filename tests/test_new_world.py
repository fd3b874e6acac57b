import json
import re

import gymnasium
import numpy as np
import pytest

from instructrec.envs import register_file
from instructrec.envs.parser import parse
from instructrec.envs.worlds import WORLDS, make_world, spoken_in
from instructrec.experiments import cli
from instructrec.experiments.fidelity import fidelity
from instructrec.experiments.new_world import new_world
from instructrec.experiments.progress import Narrator
from instructrec.splits import Split, split_of
from instructrec.testing import check_world

QUIET = Narrator(quiet=True)
WRITERS = ("A. Berg", "C. Dale", "E. Frost", "G. Hale")
KINDS = ("Novel", "Poetry", "Cookbook", "Travel guide")
COLUMNS = {"person": "uid", "item": "sku", "rating": "stars"}


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    """A shop's own tables: 120 books of four kinds, 60 people who like one kind each."""
    place, rng = tmp_path_factory.mktemp("books"), np.random.default_rng(0)
    rows = ["sku,title,kind,price,published"]
    for book in range(120):
        rows.append(f"b{book},Book {book},{KINDS[book % 4]},{5 + 2 * (book % 17)}.50,{1960 + book % 60}")
    (place / "items.csv").write_text("\n".join(rows) + "\n")
    rows = ["uid,sku,stars"]
    for person in range(60):
        for book in rng.choice(120, 25, replace=False):
            liked = book % 4 == person % 4
            stars = int(np.clip(round((4.4 if liked else 2.6) + rng.normal(0, 0.6)), 1, 5))
            rows.append(f"u{person},b{book},{stars}")
    (place / "interactions.csv").write_text("\n".join(rows) + "\n")
    made = new_world(place, place / "books.yaml", noun="book", settings={"columns": COLUMNS}, narrator=QUIET)
    return place, made


def test_what_was_made_is_told(books):
    place, made = books
    assert (made["items"], made["people"]) == (120, 60)
    assert made["attributes"]["kind"] == "categorical"
    assert made["attributes"]["price"] == made["attributes"]["published"] == "numeric"
    assert made["figures"]["rmse"] < made["figures"]["rmse_biases"]
    assert max(len(line) for line in made["text"].splitlines()) <= 80 or str(place) in made["text"]


def test_values_that_could_not_be_read_are_told_with_their_line(books, tmp_path, capsys):
    place, _ = books
    (tmp_path / "interactions.csv").write_text((place / "interactions.csv").read_text())
    items = (place / "items.csv").read_text().replace("9.50,", "cheap,", 1)
    (tmp_path / "items.csv").write_text(items)
    columns = ["--columns", "person=uid", "item=sku", "rating=stars"]
    assert cli.run(["world", "new", str(tmp_path / "x.yaml"), "--from", str(tmp_path), *columns]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"price: 1 of its values is no prices, left out: 'cheap' ({tmp_path}/items.csv, line 4)" in said


def test_its_people_ask_for_what_the_data_hold(books):
    place, _ = books
    world = make_world(str(place / "books.yaml"), bank_size=400, slate_size=4)
    assert world.name == "local/books-v0"
    check_world(world, batch=4)
    asked = {p.field for goal in world.population.bank.predicates for p in goal}
    assert {"kind", "price", "published"} <= asked
    said = " ".join(world.population.bank.texts).lower()
    assert "cookbook" in said
    assert "book" in said
    held_out = make_world(str(place / "books.yaml"), split="validation", bank_size=200, slate_size=4)
    assert not set(held_out.population.tastes.who) & set(world.population.tastes.who)


def test_its_card_beside_the_data_it_came_from_says_how_well_its_people_rate(books, tmp_path):
    place, made = books
    reading = {"columns": COLUMNS}
    card = fidelity(str(place / "books.yaml"), [place], out=tmp_path, reading=reading, people=60, narrator=QUIET)
    assert card["distances"]["rating_error"] == pytest.approx(made["figures"]["rmse"], abs=0.1)
    assert card["distances"]["rating_calibration"] < 0.3
    assert "popularity_curve" in card["distances"]
    assert card["missing"]["genre_entropy"] == "not in this world: its items have no genre"


def test_it_is_an_environment_like_any_other(books):
    place, _ = books
    name = register_file(place / "books.yaml", "own/Books-v0")
    env = gymnasium.make(name, slate_size=4, bank_size=300)
    observation, _ = env.reset(seed=0)
    assert observation["instruction"]
    env.step(env.action_space.sample())
    del WORLDS[name], gymnasium.registry[name]


def test_an_agent_trains_there_at_once_and_is_measured(books, tmp_path, capsys):
    place, _ = books
    file, run = str(place / "books.yaml"), str(tmp_path / "run")
    sizes = ["--world-set", "slate_size=4", "turn_limit=4", "bank_size=300"]
    small = ["--set", "encoder=hashing", "prompts=0", "num_envs=8", "num_steps=16"]
    assert cli.run(["train", file, "--out", run, "--steps", "256", *small, *sizes]) == 0
    capsys.readouterr()
    cli.run(["evaluate", run, "--people", "20", "--json"])  # So little training may fail a gate.
    agents = json.loads(capsys.readouterr().out)["agents"]
    assert agents["random"]["return"]["value"] < agents["oracle"]["return"]["value"]


def test_a_look_through_the_file_shows_words_and_what_may_be_mended(books, capsys):
    place, _ = books
    assert cli.run(["world", "check", str(place / "books.yaml")]) == 0
    shown = capsys.readouterr().out
    assert "It keeps its promises." in shown
    assert "fewer than 3 words" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["new", "x.yaml"], "--from PATH"),
        (["new", "x.txt", "--from", "{place}"], "ends in .yaml"),
        (["new", "{place}/books.yaml", "--from", "{place}"], "is there already"),
        (["new", "x.yaml", "--from", "{place}/nothing"], "nothing"),
        (["check", "x.yaml"], "there is no domain file x.yaml"),
        (["check", "shpo"], "did you mean"),
    ],
)
def test_mistakes_are_told_with_their_cure(books, arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    filled = [argument.replace("{place}", str(books[0])) for argument in arguments]
    assert cli.run(["world", *filled]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("file", "change", "columns"),
    [
        ("items.csv", lambda text: "\n".join(text.splitlines()[:100]), COLUMNS),
        ("interactions.csv", lambda text: text + text.splitlines()[1] + "\n", COLUMNS),
        ("interactions.csv", lambda text: text.replace(",5", ",500").replace("stars", "rating"), {"person": "uid"}),
    ],
    ids=["an item that is not listed", "a pair that stands twice", "numbers too large for stars"],
)
def test_the_cure_that_an_error_names_is_one_that_can_be_typed(books, file, change, columns, tmp_path, capsys):
    place, _ = books
    for name in ("items.csv", "interactions.csv"):
        text = (place / name).read_text()
        (tmp_path / name).write_text(change(text) if name == file else text)
    given = [f"{role}={column}" for role, column in columns.items()]
    command = ["world", "new", str(tmp_path / "x.yaml"), "--from", str(tmp_path)]
    assert cli.run([*command, "--columns", *given]) == 2
    told = " ".join(capsys.readouterr().err.split())
    option, cure = re.findall(r"on the command line `(--\w+) (\S+)`", told)[-1]
    again = ["--columns", *given, cure] if option == "--columns" else ["--columns", *given, option, cure]
    assert cli.run([*command, *again]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["unkown=drop"], "did you mean 'unknown'"),
        (["scale=5"], "such as scale=1..5; got '5'"),
        (["min_person_ratings=few"], "is a whole number"),
        (["max_persons"], "it takes NAME=VALUE"),
    ],
)
def test_a_setting_of_reading_that_makes_no_sense_is_told(books, given, words, capsys, tmp_path):
    assert cli.run(["world", "new", str(tmp_path / "x.yaml"), "--from", str(books[0]), "--set", *given]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_table_of_items_that_is_not_recognised_is_named(books, capsys, tmp_path):
    place, _ = books
    (tmp_path / "interactions.csv").write_text((place / "interactions.csv").read_text())
    (tmp_path / "items.csv").write_text((place / "items.csv").read_text().replace("sku", "code"))
    command = ["world", "new", str(tmp_path / "x.yaml"), "--from", str(tmp_path), "--columns", "person=uid", "item=sku"]
    assert cli.run(command) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "no table says what the items are like" in told
    assert "items.csv was left aside" in told


def test_columns_and_values_called_like_the_worlds_own_words_make_a_world(books, tmp_path):
    place, _ = books
    (tmp_path / "interactions.csv").write_text((place / "interactions.csv").read_text())
    rows = ["sku,quality,vague,grade,read"]
    rows += [f"b{n},{('good', 'popular', 'no')[n % 3]},{('or', 'good')[n % 2]},{n % 7}.5,{n % 2}" for n in range(120)]
    (tmp_path / "items.csv").write_text("\n".join(rows) + "\n")
    new_world(tmp_path, tmp_path / "x.yaml", settings={"columns": COLUMNS}, narrator=QUIET)
    assert {"listed_quality", "listed_vague"} <= set(make_world(str(tmp_path / "x.yaml")).catalogue.columns)


@pytest.mark.parametrize("noun", ["", " ", "a/b"])
def test_a_noun_that_is_none_is_refused_before_anything_is_read(noun, tmp_path):
    with pytest.raises(ValueError, match="noun is what one item is called"):
        new_world(tmp_path, tmp_path / "x.yaml", noun=noun, narrator=QUIET)


def test_items_that_are_gone_or_damaged_are_named(books, tmp_path):
    place, _ = books
    (tmp_path / "books.yaml").write_text((place / "books.yaml").read_text())
    with pytest.raises(ValueError, match=r"books\.safetensors"):
        make_world(str(tmp_path / "books.yaml"))
    (tmp_path / "books.safetensors").write_bytes((place / "books.safetensors").read_bytes()[:999])
    with pytest.raises(ValueError, match=r"books\.safetensors"):
        make_world(str(tmp_path / "books.yaml"))


RATINGS = [(f"u{n}", f"i{n * 7 % 60 + place}", 1 + (n * place) % 5) for n in range(40) for place in range(0, 60, 3)]


@pytest.fixture
def made(tmp_path):
    """Returns a function that makes a world of 60 films with the columns given, and says what was made."""

    def make(*, num_items=60, ratings=None, **columns):
        columns = {"genre": [("horror", "comedy", "drama")[n % 3] for n in range(num_items)], **columns}
        rows = [",".join(["item", *columns])]
        rows += [",".join([f"i{n}", *(str(cells[n]) for cells in columns.values())]) for n in range(num_items)]
        (tmp_path / "items.csv").write_text("\n".join(rows) + "\n")
        rows = [
            ("person", "item", "rating"),
            *(ratings or [(p, f"i{int(i[1:]) % num_items}", r) for p, i, r in RATINGS]),
        ]
        (tmp_path / "ratings.csv").write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
        return new_world(tmp_path, tmp_path / "x.yaml", noun="film", settings={"repeats": "last"}, narrator=QUIET)

    return make


def asked_of(file):
    """Returns the columns that the people of a world ask for."""
    bank = make_world(str(file), bank_size=400).population.bank
    return {predicate.field for goal in bank.predicates for predicate in goal}


@pytest.mark.parametrize("low", [-5.0, -100.0])
def test_numbers_below_nought_are_no_bounds_that_people_ask_for(made, tmp_path, low):
    made(temperature=[round(low + 0.3 * n, 1) for n in range(60)])
    text = (tmp_path / "x.yaml").read_text()
    assert "temperature <= -" not in text
    assert ("temperature" in asked_of(tmp_path / "x.yaml")) == (low > -15)


NAMES = ("share", "exclusion", "count", "context", "infeasible", "number", "1990", "3d", "n", "x²")


@pytest.mark.parametrize("names", [NAMES[:3], NAMES[5:8], NAMES[7:]])
def test_a_column_of_words_may_be_called_anything(made, tmp_path, names):
    colours = [("red", "blue", "green")[n // 7 % 3] for n in range(60)]
    attributes = made(**{name: [f"{colour} {name}" for colour in colours] for name in names})["attributes"]
    assert len(attributes) == 6
    assert asked_of(tmp_path / "x.yaml") >= set(attributes) - {"rating", "popularity"}


def test_a_column_of_numbers_may_be_called_anything(made, tmp_path):
    attributes = made(**{name: [1.5 + 1.4 * n for n in range(60)] for name in NAMES})["attributes"]
    assert len(attributes) == 3 + len(NAMES)
    assert asked_of(tmp_path / "x.yaml") >= set(attributes) - {"rating", "popularity"}


def test_a_value_that_another_column_has_too_is_said_with_a_name_that_is_free(made, tmp_path):
    tags = ["horror", "horror genre", "comedy", "x"]
    made(genre=[("horror", "comedy", "zz")[n % 3] for n in range(60)], tag=[tags[n % 4] for n in range(60)])
    assert asked_of(tmp_path / "x.yaml") >= {"genre", "tag"}


def test_values_that_differ_in_capitals_alone_are_one_spelt_as_most_often(made, tmp_path):
    made(genre=[("Horror", "horror", "comedy", "HORROR", "Horror")[n % 5] for n in range(60)])
    assert make_world(str(tmp_path / "x.yaml")).catalogue.column("genre").values == ("Horror", "comedy")


@pytest.mark.parametrize("cells", [("0", "1"), ("yes", "No"), ("True", "False"), ("Y", "N")])
def test_nobody_asks_for_a_yes_and_the_cure_is_told(made, tmp_path, cells):
    told = made(vegan=[cells[n % 2] for n in range(60)])
    assert "vegan" not in asked_of(tmp_path / "x.yaml")
    assert make_world(str(tmp_path / "x.yaml")).catalogue.column("vegan").values == ("no", "yes")
    assert "Nobody asks for vegan, since yes and no name nothing; write words for them" in told["text"].replace(
        "\n  ", " "
    )
    (tmp_path / "x.yaml").unlink()
    (tmp_path / "x.safetensors").unlink()
    made(vegan=[("vegan", "vegetarian")[n % 2] for n in range(60)])
    assert "vegan" in asked_of(tmp_path / "x.yaml")


@pytest.mark.parametrize(("count", "size"), [(5, 2), (19, 9), (20, 10), (60, 10)])
def test_slates_of_few_items_are_small_enough_to_choose_from(made, tmp_path, count, size):
    made(num_items=count, price=[3.5 + n for n in range(count)])
    world = make_world(str(tmp_path / "x.yaml"), bank_size=100)
    assert world.slate_size == size
    check_world(world, batch=4)


def test_where_no_world_can_be_built_nothing_is_left_behind(made, tmp_path):
    persons = [f"u{n}" for n in range(40) if split_of("users", f"u{n}") is Split.TEST]
    before = {"items.csv", "ratings.csv"}
    with pytest.raises(ValueError, match=r"nothing was written: none of the .* is of the splits train"):
        made(ratings=[(person, f"i{n}", 1 + n % 5) for person in persons for n in range(60)])
    assert {file.name for file in tmp_path.iterdir()} == before


def test_items_that_lie_there_already_are_not_written_over(made, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"x\.safetensors is there already"):
        made()
    assert (tmp_path / "x.safetensors").read_bytes() == b"mine"
    assert not (tmp_path / "x.yaml").exists()


def test_data_in_which_nothing_can_be_asked_for_name_what_was_left_out_and_why(made):
    told = "Left out: genre: the same for every item.*Taken for levels or numbers: sort: .*Nobody asks for vegan"
    with pytest.raises(ValueError, match=told):
        made(genre=["horror"] * 60, vegan=[n % 2 for n in range(60)], sort=[n % 4 for n in range(60)])


@pytest.mark.parametrize(
    "command",
    [
        ["world", "new", "{file}/x.yaml", "--from", "{file}"],
        ["fit-log", "tiny", "{file}", "--out", "{file}/x.npz"],
        ["fidelity", "tiny", "--log", "{file}", "--out", "{file}"],
    ],
)
def test_a_place_where_nothing_can_be_written_is_told_before_anything_is_read(command, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("no data")
    assert cli.run([word.replace("{file}", str(file)) for word in command]) == 2
    assert f"{file} is a file and no folder; choose another place" in " ".join(capsys.readouterr().err.split())


def test_names_with_initials_are_asked_for_and_understood(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["sku,title,author"] + [f"b{book},Book {book},{WRITERS[book % 4]}" for book in range(80)]
    (tmp_path / "items.csv").write_text("\n".join(rows) + "\n")
    rows = ["uid,sku,stars"]
    rows += [f"u{person},b{book},{rng.integers(1, 6)}" for person in range(40) for book in rng.permutation(80)[:12]]
    (tmp_path / "ratings.csv").write_text("\n".join(rows) + "\n")
    new_world(tmp_path, tmp_path / "x.yaml", noun="book", settings={"columns": COLUMNS}, narrator=QUIET)
    words = make_world(str(tmp_path / "x.yaml"), bank_size=300).population.vocabulary
    read = parse("list some c. dale books, no A. Berg", words)
    assert [(str(p.operator), p.values) for p in read.predicates] == [
        ("include", ("C. Dale",)),
        ("exclude", ("A. Berg",)),
    ]
    assert not read.unknown


def test_a_world_from_a_file_is_understood_in_its_own_words_whoever_comes(books):
    place, _ = books
    world = make_world(str(place / "books.yaml"), population="boredom", population_settings={"column": "kind"})
    found = parse("a cookbook", spoken_in(world))
    assert [p.values for p in found.predicates] == [("Cookbook",)]

"""What a domain file may say does what it says, and every mistake in one is told with its line and its cure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructrec.catalogue import Catalogue, Column
from instructrec.envs.domain import Domain
from instructrec.envs.domain_file import read_domain
from instructrec.envs.domain_words import vocabulary_of
from instructrec.envs.domain_world import domain_world
from instructrec.envs.grammar import can_say, clause
from instructrec.envs.made_items import made_catalogue
from instructrec.envs.parser import parse
from instructrec.envs.requests import Matcher, count_hard
from instructrec.envs.sampled import SAMPLE, sample_of
from instructrec.envs.speaking_kernels import speak
from instructrec.envs.worlds import make_world
from instructrec.experiments.check_world_file import warnings
from instructrec.goals import Operator, Predicate, compile_goals, satisfied
from instructrec.sessions import Sessions, start, step

TOYS = """\
domain: toys
summary: People ask for toys.
slate_size: 5
turn_limit: 4
items:
  count: 600
  title: "{make} {colour} {shape} {number}"
  text: "{title}: {shape} of {colour}[, for {age}][, {price:.0f} coins]."
  pieces:
    make: [Ajax, Brio]
attributes:
  shape:
    kind: categorical
    values: {ball: 5, cube: 3, doll: 2}
  colour:
    kind: multi_valued
    values: {red: 4, green: 3, blue: 2}
    more: 0.3
    by:
      shape: {ball: {red: 0}, cube: {green: 0, blue: 5}}
  age:
    kind: ordinal
    values: {toddlers: 3, children: 5, teens: 2}
    only: {shape: [cube, doll]}
    said: {as: level}
  price:
    kind: numeric
    draw: {lognormal: [20, 0.4]}
    by:
      shape: {doll: 3}
      age: {teens: 2}
    round: 1
    missing: 0.1
    said: {as: money, step: 1, round_to: 5}
  days:
    kind: numeric
    draw: {exponential: [20]}
    half_life: 10
    low: 0
    said: {as: age, step: 1, round_to: 1}
people:
  count: 60
  tastes: {shape: 0.4, colour: 0.3, days: {mean: 0.3, spread: 0.1}}
  allure: {price: -0.5}
  topic: shape
rules:
  safety:
    people: {age <= children: 0.5, anything: 0.5}
    penalty: 1
asks:
  about: [shape, colour]
  parts:
    cost:
      - {share: 0.5, of: [price <= n: 10..40 by 10]}
      - {share: 0.5, of: ["price lowest 30%, wish"]}
    vague:
      - "days lowest 50%, wish"
  named: {shape: 0.4, colour: 0.2, shape+cost: 0.4}
  others: {vague: 0.05, implicit: 0.05}
languages:
  en:
    heads: [toy/toys]
    use: play with
    units: {price: coins, days: days}
    numbers:
      days:
        at_most:
          clause: ["it may be {high} <unit> old", "at most {high} <unit> in the shop", "in by {high} <unit>"]
    values:
      shape:
        ball: {noun: [ball/balls], after: [to throw]}
        cube: {noun: [cube/cubes, block/blocks]}
        doll: {noun: [doll/dolls, puppet/puppets]}
      colour:
        red: {adjective: [red, crimson]}
        green: {adjective: [green]}
        blue: {adjective: [blue]}
    says:
      age <= children: {after: [safe for children]}
      "price lowest 30%, wish": {adjective: [cheap]}
      "days lowest 50%, wish": {adjective: [nice]}
    critiques:
      cheaper: {less: price, words: [cheaper, less dear]}
    also:
      opening: ["wrap up {one}"]
"""


@pytest.fixture
def toys(tmp_path: Path) -> Domain:
    file = tmp_path / "toys.yaml"
    file.write_text(TOYS)
    return read_domain(file)


def having(column: Column, value: str) -> np.ndarray:
    return (column.masks & np.uint64(column.mask_of([value]))) != 0


BROKEN = {
    "a misspelt entry": ("slate_size: 5", "@slate_sise: 5", "did you mean 'slate_size'"),
    "a misspelt entry within": ("    kind: ordinal", "@    knd: ordinal", "did you mean 'kind'"),
    "a wrong sort of attribute": ("kind: ordinal", "@kind: ordinale", "did you mean 'ordinal'"),
    "a negative share": ("values: {ball: 5,", "@values: {ball: -5,", "expected a number of 0 or more, got '-5'"),
    "a word for a number": (
        "turn_limit: 4",
        "@turn_limit: four",
        "expected a whole number from 1 to 100000, got 'four'",
    ),
    "an infinite number": ("half_life: 10", "@half_life: .inf", "expected a number of"),
    "a number out of range": ("missing: 0.1", "@missing: 1.1", "from 0 to 1, got '1.1'"),
    "two rules that cost differently": (
        "    penalty: 1\n",
        "    penalty: 1\n  modesty:\n    people: {price <= 20: 0.5, anything: 0.5}\n    penalty: 2\n",
        "give all one penalty, not safety 1, modesty 2",
    ),
    "shares that do not sum to 1": (
        "people: {age <= children: 0.5,",
        "@people: {age <= children: 0.4,",
        "must sum to 1, got 0.9",
    ),
    "a value without a share above 0": (
        "values: {ball: 5, cube: 3, doll: 2}",
        "@values: {ball: 0, cube: 0}",
        "give at least one a share above 0",
    ),
    "a name twice": ("summary: People ask for toys.", "summary: x\n@domain: again", "stands twice; keep one"),
    "a text twice": ("make: [Ajax, Brio]", "@make: [Ajax, Ajax]", "'Ajax' stands twice in one list; keep one"),
    "a tab": ("  count: 600", "@\tcount: 600", "a tab; indent and divide with blanks alone"),
    "an open bracket": ("make: [Ajax, Brio]\n", "make: [Ajax, Brio@\n", "the bracket [ is not closed; close it by ]"),
    "a list for names": ("pieces:\n    make: [Ajax, Brio]", "@pieces:\n    - Ajax", "expected names and values"),
    "an unknown name in a pattern": ("{make} {colour}", "@{maker} {colour}", "names 'maker', which is no attribute"),
    "a format that does not fit": ("{price:.0f}", "@{price:d}", "Unknown format code 'd'"),
    "an open bracket in a pattern": ("[, for {age}]", "@[, for {age}", "without its other half"),
    "code in a pattern": ("{make} {colour}", "@{make.__class__}", "names 'make.__class__'"),
    "a way to draw that is none": (
        "draw: {exponential: [20]}",
        "@draw: {exponental: [20]}",
        "did you mean 'exponential'",
    ),
    "too few numbers to draw from": (
        "lognormal: [20, 0.4]",
        "@lognormal: [20]",
        "takes 2 numbers (median, spread), got 1",
    ),
    "no way to draw": ("    draw: {exponential: [20]}\n", "", "days: says not how its numbers are spread"),
    "an attribute above that stands below": (
        "      shape: {ball: {red: 0}, cube",
        "@      days: {ball: {red: 0}, cube",
        "unknown attribute with values above this one 'days'",
    ),
    "a value it does not have": ("only: {shape: [cube,", "@only: {shape: [cubes,", "did you mean 'cube'"),
    "a factor of a value it does not have": ("{ball: {red: 0}", "@{ball: {pink: 0}", "unknown entry 'pink'"),
    "what numbers alone have": ("    more: 0.3", "@    round: 0.3", "has no meaning for a multi_valued attribute"),
    "an unknown taste": ("tastes: {shape: 0.4,", "@tastes: {shapes: 0.4,", "did you mean 'shape'"),
    "a topic that is no set": ("topic: shape", "@topic: age", "unknown set attribute 'age'"),
    "allure beyond everything": ("allure: {price: -0.5}", "@allure: {price: -1.5}", "must not exceed 1 together"),
    "an unknown attribute in a condition": ("price <= n: 10", "@prize <= n: 10", "did you mean 'price'"),
    "no condition": ('- "days lowest 50%, wish"', '@- "days"', "states nothing about days"),
    "a quoted series": ("[price <= n: 10..40 by 10]", '@["price <= n: 10..40 by 10"]', "stands without quotes"),
    "an unknown level": ("age <= children: 0.5,", "@age <= babies: 0.5,", "expected a number or one of toddlers"),
    "an order that is none": ("[price <= n: 10..40 by 10]", "@[shape >= ball]", "holds values without an order"),
    "a rule that is a wish": ("age <= children: 0.5,", '@"age <= children, wish": 0.5,', "a rule is no wish"),
    "a rule called as a part": ("  safety:", "@  cost:", "rename the rule"),
    "a part that is none": ("shape+cost: 0.4}", "@shape+size: 0.4}", "there is no part 'size'"),
    "a condition without words": ('price lowest 30%, wish"]}', '@price lowest 20%, wish"]}', "en has no way to say"),
    "a bound that no phrase says": ("10..40 by 10", "@12..42 by 10", "en has no way to say 'price ≤ 12'"),
    "a word with two meanings": ("[red, crimson]", "@[red, ball]", "'ball' already means shape ball (line 71)"),
    "a word twice": ("[red, crimson]", "@[red, red]", "'red' stands twice for colour red"),
    "no word": ("green: {adjective: [green]}", "@green: {adjective: []}", "has no word; give at least one"),
    "a noun without its plural": ("noun: [ball/balls]", "@noun: [ball/]", "written as ONE/MANY"),
    "a sort of word that is none": ("green: {adjective:", "@green: {adjectiv:", "did you mean 'adjective'"),
    "no word for an item": ("heads: [toy/toys]", "@heads: []", "give at least one, such as film/films"),
    "a critique of two sides": ("{less: price,", "@{less: price, more: price,", "either more: ATTRIBUTE or less"),
    "a critique of a set": ("{less: price,", "@{less: shape,", "unknown number attribute 'shape'"),
    "a slot that is none": ('"wrap up {one}"', '@"wrap up {won}"', "did you mean 'one'"),
    "a sentence that asks for nothing": ('"wrap up {one}"', '@"wrap up"', "has no slot for what is asked"),
    "a phrase without its number": ('"in by {high} <unit>"', '@"in by {low} <unit>"', "known: before, high"),
    "a language there is none of": ("  en:\n    heads", "@  xx:\n    heads", "unknown entry 'xx'"),
    "no words at all": (TOYS[TOYS.index("languages:") :], "", "people ask in words: add languages:"),
    "a unit of nothing": ("units: {price: coins,", "@units: {prize: coins,", "did you mean 'price'"),
    "too large a world": ("count: 600", "@count: 2_000_000", "from 1 to 1000000, got '2_000_000'"),
    "no attributes": (
        TOYS[TOYS.index("attributes:") : TOYS.index("people:")],
        "",
        "'attributes' is missing; add a line",
    ),
}
"""What is replaced, by what (the line that is told begins with @ or holds it), and what the message says."""


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_mistake_is_told_with_its_line_and_its_cure(mistake: str, tmp_path: Path) -> None:
    old, new, message = BROKEN[mistake]
    assert TOYS.count(old) == 1, "the passage stands once in the sound file"
    broken = TOYS.replace(old, new)
    file = tmp_path / "broken.yaml"
    file.write_text(broken.replace("@", ""))
    with pytest.raises(ValueError, match=r"broken\.yaml, line \d+") as caught:
        read_domain(file)
    assert message in str(caught.value)
    if "@" in broken:
        line = broken[: broken.index("@")].count("\n") + 1
        assert f"broken.yaml, line {line}:" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"# only a remark\n", "is empty"),
        (b"just words", "expected names and values (name: value), got the text 'just words'"),
        (b"- a\n- b\n", "expected names and values (name: value), got a list"),
        (b"domain: caf\xe9\n", "is not UTF-8 text (byte 11); save it as UTF-8"),
        (b"domain: !!python/object/apply:os.getcwd []\n", "expected a text, got a list"),
        (b"# " + b"x" * 4_000_001, "has 4,000,003 bytes; a domain file has at most 4,000,000"),
        (b"[" * 5_000, "nested too deeply"),
        (b"? [a, b]\n: c\n", "a name must be a word, not a list"),
        (b"domain: x\x00y\n", "a character that no text file holds"),
    ],
)
def test_what_is_no_domain_file_at_all_is_told(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    if message == "expected a text, got a list":
        content += b"attributes: {x: {kind: numeric, draw: {uniform: [0, 1]}}}\n"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.yaml") as caught:
        read_domain(file)
    assert message in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_domain(tmp_path / "none.yaml")


def test_shares_of_values_hang_on_other_attributes(toys: Domain) -> None:
    made = made_catalogue(toys, 4000)
    shape, colour = made.column("shape"), made.column("colour")
    balls, cubes = having(shape, "ball"), having(shape, "cube")
    assert not having(colour, "red")[balls].any()
    assert not having(colour, "green")[cubes].any()
    # Of cubes 10 : 4 are blue rather than red; further colours come by the same shares.
    assert 0.70 < having(colour, "blue")[cubes].mean() < 0.82
    assert np.isclose(balls.mean(), 0.5, atol=0.03)


def test_an_attribute_is_for_some_items_only_and_numbers_hang_on_levels(toys: Domain) -> None:
    made = made_catalogue(toys, 4000)
    shape, age, price = made.column("shape"), made.column("age").numbers, made.column("price").numbers
    balls, dolls = having(shape, "ball"), having(shape, "doll")
    assert np.isnan(age[balls]).all()
    assert not np.isnan(age[~balls]).any()
    teens, others = np.nanmedian(price[dolls & (age == 2)]), np.nanmedian(price[dolls & (age < 2)])
    assert np.isclose(teens / others, 2, atol=0.3)
    assert np.isclose(np.nanmedian(price[dolls & (age < 2)]) / np.nanmedian(price[balls]), 3, atol=0.3)


def test_what_an_item_lacks_is_left_out_of_its_text(toys: Domain) -> None:
    made = made_catalogue(toys, 200)
    age, price = made.column("age").numbers, made.column("price").numbers
    for item in range(200):
        assert (", for " in made.texts[item]) == (not np.isnan(age[item]))
        assert ("coins" in made.texts[item]) == (not np.isnan(price[item]))
    assert made.titles[6].endswith(" 7")
    assert {title.split()[0] for title in made.titles} == {"Ajax", "Brio"}


def test_brackets_and_braces_can_be_shown(tmp_path: Path) -> None:
    file = tmp_path / "toys.yaml"
    file.write_text(TOYS.replace('"{make} {colour}', '"[[{{x}}]] {make} {colour}'))
    assert made_catalogue(read_domain(file), 5).titles[0].startswith("[{x}] ")


def test_a_level_has_words_of_its_own_and_can_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "toys.yaml"
    levelled = TOYS.replace("  named:", "    years: [age children, age teens]\n  named:").replace(
        "    says:\n", "      age:\n        children: {kind: [kids]}\n        teens: {kind: [teenage]}\n    says:\n"
    )
    file.write_text(levelled)
    vocabulary = vocabulary_of(read_domain(file))
    assert [str(p) for p in parse("a kids cube", vocabulary).predicates] == ["age 1–1", "shape: cube"]
    teens = Predicate(field="age", operator=Operator.BETWEEN, low=2, high=2)
    assert "teenage" in clause(vocabulary, np.random.default_rng(0), teens)


def test_a_domain_may_word_numbers_and_add_sentences(toys: Domain) -> None:
    vocabulary = vocabulary_of(toys)
    at_most = Predicate(field="days", operator=Operator.AT_MOST, high=7)
    said = {clause(vocabulary, np.random.default_rng(seed), at_most) for seed in range(20)}
    assert said == {"it may be 7 days old", "at most 7 days in the shop", "in by 7 days"}
    assert [str(p) for p in parse("a ball, at most 7 days in the shop", vocabulary).predicates][1] == "days ≤ 7"
    assert not can_say(vocabulary, Predicate(field="days", operator=Operator.AT_LEAST, low=7))
    assert "wrap up {one}" in vocabulary.templates["opening"]
    assert "I want {one}" in vocabulary.templates["opening"]


def test_a_domain_file_is_a_world_even_of_people_who_never_criticise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "toys.yaml"

    def watched(*given: Any) -> None:
        constants, speech = given[3], given[5]
        # Compiled code reads beyond the end of an empty list without saying so.
        assert constants.critique == 0 or len(speech.critique_column)
        speak(*given)

    monkeypatch.setattr("instructrec.envs.conversational.speak", watched)
    for text in (TOYS, TOYS.replace("    critiques:\n      cheaper: {less: price, words: [cheaper, less dear]}\n", "")):
        file.write_text(text)
        world = domain_world(file, bank_size=200)
        assert world.name == "local/toys-v0"
        state = start(world, Sessions.first(0, 60))
        for turn in range(4):
            state, _ = step(world, state, np.tile(np.arange(5) + 5 * turn, (60, 1)))
        assert (state.instructions.texts > 0).all()


def test_a_large_catalogue_is_looked_at_through_a_sample(toys: Domain) -> None:
    made = made_catalogue(toys, 120_000)
    sample = sample_of(made)
    assert len(sample.items) == sample.catalogue.num_items == SAMPLE
    assert len(set(sample.items.tolist())) == SAMPLE
    assert sample.catalogue.titles[5] == made.titles[sample.items[5]]
    matcher = Matcher(made)
    goal = [
        Predicate(field="shape", operator=Operator.INCLUDE, values=("doll",)),
        Predicate(field="price", operator=Operator.HIGHEST, share=0.1),
    ]
    met = satisfied(compile_goals([goal], made), made, np.arange(made.num_items)).all(axis=1)
    assert count_hard(matcher, goal) == pytest.approx(np.count_nonzero(met), rel=0.05)


def test_a_small_catalogue_is_looked_at_whole(toys: Domain) -> None:
    made: Catalogue = made_catalogue(toys, 300)
    assert sample_of(made).catalogue is made
    assert sample_of(made).scale == 1


def _narrow(file: Path) -> list[str]:
    return [said for said in warnings(make_world(str(file))) if "items that a session may show" in said]


def test_as_many_items_as_a_small_catalogue_is_told_to_have_would_do_and_so_would_shorter_sessions(
    tmp_path: Path,
) -> None:
    page = (Path(__file__).parent.parent / "docs" / "domain_files.md").read_text()
    tea = page.split("```yaml\n")[1].split("```")[0]
    file = tmp_path / "tea.yaml"
    file.write_text(tea.replace("count: 300", "count: 150"))
    (told,) = _narrow(file)
    assert "fewer than the 100 items that a session may show (10 slates of 10)" in told
    enough = re.search(r"about ([\d,]+) such items instead of 150 would do, or (.+)$", told)
    assert enough is not None
    file.write_text(tea.replace("count: 300", f"count: {enough[1].replace(',', '')}"))
    assert _narrow(file) == []
    shorter = "\n".join(enough[2].split(" and "))
    file.write_text(f"{shorter}\n" + tea.replace("count: 300", "count: 150"))
    assert _narrow(file) == []

"""Chinese: every meaning can be said in every split, and the parser reads it back."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructrec.envs.bank import Bank, compile_bank
from instructrec.envs.chinese import Chinese, chinese_number, numeral
from instructrec.envs.domain_file import FOLDER, domain_at
from instructrec.envs.grammar import Style, clause, criticise, realise
from instructrec.envs.languages import LANGUAGES
from instructrec.envs.parser import Parse, parse
from instructrec.envs.tongue import NounPhrase
from instructrec.envs.vocabulary import SLOT, Speech, Term, Vocabulary, key_of
from instructrec.envs.worlds import WORLDS, make_world, speech_of
from instructrec.goals import Operator, Predicate, Reveal
from instructrec.splits import EVERY_SPLIT, Split, Splits

TONGUE = Chinese()
SPOKEN = [name for name, spec in WORLDS.items() if "zh" in spec.about().languages]
MOVIES = speech_of("instructrec/Movies-v0", "zh")
THRILLER = Predicate(field="genre", operator=Operator.INCLUDE, values=("Thriller",))
NO_HORROR = Predicate(field="genre", operator=Operator.EXCLUDE, values=("Horror",))
NINETIES = Predicate(field="year", operator=Operator.BETWEEN, low=1990, high=1999)
LATIN = re.compile(r"[A-Za-z]+")
TRAVEL_TALK = """
extends: Travel-v0
asks:
  others: {count: 0.1, conditional: 0.1, kind+misinformed: 0.05, infeasible: 0.05}
  counts: {of: [kind, district, price], at_least: [2, 3], exactly: [2]}
  conditional: [price, near]
  misinformed: [price]
  infeasible: [kind+cuisine+price, kind+class+price]
  alike: [kind, district, price]
  replies: {like: 0.06, unlike: 0.03, override: 0.12, reset: 0.3, relax: 0.6}
"""


@cache
def words(world: str, template: Split | None = None, synonym: Split | None = None) -> Vocabulary:
    everything = EVERY_SPLIT
    return speech_of(world, "zh").restricted(
        everything if template is None else (template,), everything if synonym is None else (synonym,)
    )


def about(world: str) -> tuple[str, ...]:
    asks = domain_at(FOLDER / f"{world.rpartition('/')[2]}.yaml", world).asks
    assert asks is not None
    return asks.about


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def understood(text: str) -> list[str]:
    return [str(predicate) for predicate in parse(text, MOVIES).predicates]


# --- Saying ------------------------------------------------------------------------------------------------------


def test_films_the_shop_and_travel_speak_chinese():
    assert set(SPOKEN) >= {"instructrec/Movies-v0", "instructrec/Shop-v0", "instructrec/Travel-v0"}
    assert WORLDS["instructrec/Movies-v0"].about().languages == ("en", "zh")


@pytest.mark.parametrize("world", SPOKEN)
@pytest.mark.parametrize("split", EVERY_SPLIT)
def test_every_meaning_can_be_said_in_every_split_of_sentences_and_words(world, split):
    every = words(world)
    asked = [predicate for pools in every.pools.values() for pool in pools for predicate in pool.predicates]
    main = about(world)[0]
    named = [s.predicate for s in every.senses if s.predicate.field == main]
    asked += [Predicate(field=main, operator=Operator.EXCLUDE, values=p.values) for p in named]
    asked += [
        Predicate(field=main, operator=Operator.SHARE, values=named[0].values, share=portion.share)
        for portion in every.portions
    ]
    generator = rng()
    for some in (words(world, split), words(world, None, split)):
        # Names that have no words of their own, such as brands, are training's alone.
        fields = {s.predicate.field for s in every.senses if len(s.terms) > 1}
        senses = [s.predicate for s in every.senses if s.predicate.field in fields]
        for predicate in [*senses, *asked]:
            for text in (clause(some, generator, predicate), realise([predicate], some, generator)):
                assert text
                assert "{" not in text
                assert "<" not in text


@pytest.mark.parametrize("family", LANGUAGES["zh"].templates)
def test_there_are_as_many_kinds_of_sentences_as_in_english_and_none_twice(family):
    templates = LANGUAGES["zh"].templates[family]
    assert len(set(templates)) == len(templates)
    assert len(templates) >= 0.8 * len(LANGUAGES["en"].templates[family])


def test_held_out_sentences_and_words_differ_from_those_of_training():
    train, test = words("instructrec/Movies-v0", Split.TRAIN), words("instructrec/Movies-v0", Split.TEST)
    for family in MOVIES.templates:
        assert train.templates[family]
        assert not set(train.templates[family]) & set(test.templates[family])
    assert not {frame.text for frame in train.frames} & {frame.text for frame in test.frames}
    said = [
        {term.text for sense in words("instructrec/Movies-v0", None, split).senses for term in sense.terms}
        for split in EVERY_SPLIT
    ]
    assert not said[0] & said[1]
    assert not said[0] & said[2]


@pytest.mark.parametrize("world", SPOKEN)
def test_no_word_means_two_things(world):
    meaning: dict[str, object] = {}
    for sense in speech_of(world, "zh").senses:
        for text in (text for term in sense.terms for text in term.texts):
            assert meaning.setdefault(text, key_of(sense.predicate)) == key_of(sense.predicate), text


def test_sentences_of_films_hold_no_latin_letter_but_imax():
    texts = bank_of("instructrec/Movies-v0", "train", 0.1).texts
    assert {word for text in texts for word in LATIN.findall(text)} <= {"IMAX"}
    assert not any(re.search(r"[.,?!]$|, ", text) for text in texts)


def test_what_describes_a_film_stands_before_it():
    generator = rng()
    texts = [realise([THRILLER, NINETIES, NO_HORROR], words("instructrec/Movies-v0"), generator) for _ in range(300)]
    assert len(set(texts)) > 250
    for text in texts:
        assert not re.search(r"(电影|片子|影片|作品)(90|1990|九十)", text), text
    assert any(re.search(r"年代(的)?[^，]*(惊悚|紧张|刺激)", text) for text in texts)


def test_everything_is_counted_with_its_measure_word():
    shop = words("instructrec/Shop-v0")
    generator = rng()
    shoe = Predicate(field="category", operator=Operator.INCLUDE, values=("Shoe",))
    book = Predicate(field="category", operator=Operator.INCLUDE, values=("Book",))
    texts = [realise([wish], shop, generator) for wish in (shoe, book) for _ in range(200)]
    assert any("一双鞋" in text for text in texts)
    assert any("一本书" in text for text in texts)
    assert not any(re.search(r"一(件|个|本)(鞋|运动鞋|靴子)|一(件|个|双)(书|小说)", text) for text in texts)
    assert shop.measure_word("鞋") == "双"
    assert shop.measure_word("Borealis") == "件"


def test_critiques_name_the_place_and_the_direction():
    generator = rng()
    for more in MOVIES.comparatives:
        for position in (1, 2, 10):
            text = criticise(more, position, words("instructrec/Movies-v0"), generator)
            assert any(f"{place}部" in text for place in TONGUE.places(position)), text
            assert any(term in text for term in more.terms)


@pytest.mark.parametrize("value", ["Book", "Shoe", "Bicycle", "Lamp"])
def test_a_count_takes_the_measure_word_of_what_is_counted(value):
    shop = words("instructrec/Shop-v0")
    wish = Predicate(field="category", operator=Operator.INCLUDE, values=(value,), least=2, most=2, hard=False)
    (measure,) = {shop.measure_word(term.text) for term in shop.sense_of_value("category", value).terms}
    generator = rng()
    assert all(f"两{measure}" in clause(shop, generator, wish) for _ in range(50))


def test_numbers_are_counted_with_the_measure_word_of_the_noun_before_them():
    shop, generator = words("instructrec/Shop-v0"), rng()
    bicycle = Predicate(field="category", operator=Operator.INCLUDE, values=("Bicycle",))
    cheap = Predicate(field="price", operator=Operator.AT_MOST, high=100, least=3, hard=False)
    texts = [realise([bicycle, cheap], shop, generator, family="restated") for _ in range(200)]
    assert any("三辆" in text for text in texts)
    assert not any("三件" in text for text in texts if re.search("几辆", text))


@pytest.mark.parametrize("split", EVERY_SPLIT)
def test_nobody_asks_for_one_and_then_for_three_of_them(split):
    talk, generator = words("instructrec/MoviesTalk-v0", split), rng()
    comedies = Predicate(field="genre", operator=Operator.INCLUDE, values=("Comedy",), least=3, hard=False)
    for family in ("opening", "restated", "reset"):
        for _ in range(100):
            assert "一部" not in realise([NINETIES, comedies], talk, generator, family=family)


def test_what_is_counted_is_a_noun_and_numbers_need_none():
    talk, generator = words("instructrec/MoviesTalk-v0"), rng()
    horror = Predicate(field="genre", operator=Operator.INCLUDE, values=("Horror",), least=3, hard=False)
    said = {clause(talk, generator, horror) for _ in range(300)}
    assert not any(re.search(r"恐怖(?!片|电影|影片|作品)", text) for text in said)
    old = Predicate(field="year", operator=Operator.BETWEEN, low=1980, high=1989, least=3, hard=False)
    assert {"至少三部80年代的", "80年代的至少要三部"} <= {clause(talk, generator, old) for _ in range(2000)}


@pytest.mark.parametrize("noun", ["东西", "地方", "去处"])
def test_nothing_describes_a_vague_noun_without_a_link(noun):
    term = Term("户外", Speech.KIND)
    assert TONGUE.joined(term, noun) == f"户外的{noun}"
    assert TONGUE.joined(term, "商品") == "户外商品"
    phrase = NounPhrase(something=False, heads=[(noun, noun)], measure="个")
    phrase.add(term, 2)
    assert TONGUE.noun_phrase(phrase, "one") == f"一个户外的{noun}"


def test_in_a_list_what_has_a_pause_inside_comes_last():
    for seed in range(20):
        assert TONGUE.listed(["如果是恐怖片，要新的", "喜剧", "战争"], rng(seed)) == "喜剧，战争，如果是恐怖片，要新的"


@pytest.mark.parametrize(
    ("number", "text"), [(1, "一"), (2, "二"), (10, "十"), (11, "十一"), (20, "二十"), (35, "三十五"), (120, "120")]
)
def test_numbers_are_written_in_numerals(number, text):
    assert numeral(number) == text
    assert TONGUE.ordinal(number) == f"第{text}"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("十", 10), ("十五", 15), ("二十", 20), ("九十", 90), ("两", 2), ("一百", 100), ("一百零五", 105)),
        *(("三百五", 350), ("两千", 2000), ("一千五百", 1500), ("一九九零", 1990), ("二〇一五", 2015)),
        *(("一万二", 12_000), ("三万零五十", 30_050)),
        *(("万", None), ("百千", None), ("二三四", None), ("", None), ("片", None)),
    ],
)  # fmt: skip
def test_numerals_are_read(text, number):
    assert chinese_number(text) == number


def test_slips_are_signs_of_the_same_sound_and_never_a_no_or_a_number():
    original = "不要恐怖片，要90年代的惊悚片"
    changed = {TONGUE.misspell(original, rng(seed)) for seed in range(200)}
    assert len(changed) > 10
    for text in changed:
        assert len(text) == len(original)
        (place,) = [at for at, sign in enumerate(text) if sign != original[at]]
        assert original[place] not in "不没九一二"
        assert text[place] in TONGUE.alike(original[place])
    assert TONGUE.misspell("嗯", rng()) == "嗯"


# --- Reading back ------------------------------------------------------------------------------------------------


def meaning(predicates) -> set:
    """What predicates mean: excluding two values is excluding the one and the other."""
    found = set()
    for predicate in predicates:
        if predicate.operator is Operator.EXCLUDE and predicate.given is None:
            found |= {("exclude", predicate.field, value) for value in predicate.values}
        else:
            found.add((*key_of(predicate), predicate.hard, predicate.weight))
    return found


def said_in(bank: Bank):
    """Yields (text, what it says) for every text of a bank."""
    width = bank.goals.num_predicates
    for goal, predicates in enumerate(bank.predicates):
        said = [p if p.reveal is Reveal.VOLUNTEERED else p.believed for p in predicates]
        volunteered = [p for p in said if p is not None]
        yield from ((text, volunteered) for text in bank.texts_of(bank.opening.group(goal)))
        yield from ((text, predicates) for text in bank.texts_of(bank.restated.group(goal)))
        for place, predicate in enumerate(predicates):
            yield from ((text, [predicate]) for text in bank.texts_of(bank.reveal.group(goal * width + place)))
    size = bank.critique.num_groups // len(bank.critiques)
    for kind, critique in enumerate(bank.critiques):
        operator = Operator.MORE_THAN if critique.direction > 0 else Operator.LESS_THAN
        for place in range(size):
            wanted = [Predicate(field=critique.field, operator=operator, position=place + 1)]
            yield from ((text, wanted) for text in bank.texts_of(bank.critique.group(kind * size + place)))
    yield from ((text, []) for text in bank.texts_of(bank.more.ids))


@cache
def bank_of(world: str, name: str, typos: float) -> Bank:
    every = Splits(templates=EVERY_SPLIT, synonyms=EVERY_SPLIT, combinations=EVERY_SPLIT)
    splits = every if name == "every" else Splits.of(name)
    return compile_bank(
        make_world(world, bank_size=300).catalogue,
        speech_of(world, "zh"),
        about(world),
        splits=splits,
        size=1000 if name in ("train", "every") else 400,
        style=Style(typos=typos),
    )


def accuracy(world: str, bank: Bank) -> float:
    vocabulary = speech_of(world, "zh")
    right = [meaning(parse(text, vocabulary).predicates) == meaning(wanted) for text, wanted in said_in(bank)]
    return sum(right) / len(right)


@pytest.mark.parametrize("world", SPOKEN)
@pytest.mark.parametrize("name", ["train", "validation", "test", "every"])
def test_clean_text_of_every_split_is_understood(world, name):
    bank = bank_of(world, name, 0.0)
    assert accuracy(world, bank) >= 0.98
    unknown = [text for text in bank.texts if parse(text, speech_of(world, "zh")).unknown]
    assert len(unknown) <= 0.01 * len(bank.texts), unknown[:5]


@pytest.mark.parametrize("world", SPOKEN)
def test_a_slip_in_every_sentence_is_forgiven_or_said_to_be_unknown(world):
    bank = bank_of(world, "every", 1.0)
    assert accuracy(world, bank) >= 0.96
    vocabulary = speech_of(world, "zh")
    silent = [
        text
        for text, wanted in said_in(bank)
        if meaning((read := parse(text, vocabulary)).predicates) != meaning(wanted) and not read.unknown
    ]
    assert len(silent) <= 0.01 * len(bank.texts), silent[:5]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("不要恐怖片", ["genre: not Horror"]),
        ("不要恐怖片或者西部片", ["genre: not Horror or Western"]),
        ("不要恐怖片、西部片", ["genre: not Horror", "genre: not Western"]),
        ("不要恐怖片，要战争片", ["genre: not Horror", "genre: War"]),
        ("恐怖片就算了，来部西部片", ["genre: not Horror", "genre: Western"]),
        ("西部片我不感兴趣", ["genre: not Western"]),
        ("恐怖片不要", ["genre: not Horror"]),
        ("我不喜欢吓人的电影", ["genre: not Horror"]),
        ("不吓人的喜剧片", ["genre: not Horror", "genre: Comedy"]),
        ("不是恐怖片的90年代电影", ["genre: not Horror", "year 1990–1999"]),
        ("除了恐怖片以外的惊悚片", ["genre: not Horror", "genre: Thriller"]),
        ("喜剧片或者剧情片，不要西部片", ["genre: Comedy or Drama", "genre: not Western"]),
        ("爱情喜剧片", ["genre: Romance", "genre: Comedy"]),
        ("九十年代的惊悚片", ["year 1990–1999", "genre: Thriller"]),
        ("近十年的科幻片", ["year ≥ 2009", "genre: Sci-Fi"]),
        ("1994年的片子", ["year 1994–1994"]),
        ("一九九四年的片子", ["year 1994–1994"]),
        ("1990年以前的", ["year ≤ 1989"]),
        ("1985到1995年之间的电影", ["year 1985–1995"]),
        ("评分四分以上的纪录片", ["rating ≥ 4", "genre: Documentary"]),
        ("评分 4.5 以上", ["rating ≥ 4.5"]),
        ("评分最高的恐怖片", ["rating: highest 5%", "genre: Horror"]),
        ("至少一半是喜剧片", ["at least 50% Comedy"]),
        ("比第二部更新的", ["year above that of no. 2"]),
        ("类似第3部，但没那么有名", ["popularity below that of no. 3"]),
        ("第十一部还行，不过我想要更早的", ["year below that of no. 11"]),
        ("有没有恐怖片？", ["genre: Horror"]),
        ("没有恐怖片", ["genre: not Horror"]),
        ("科换片", ["genre: Sci-Fi"]),
        ("IMAX 电影", ["genre: IMAX"]),
        ("换一批", []),
        ("随便，你定吧", []),
    ],
)
def test_phrases_mean_what_people_mean(text, wanted):
    assert understood(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("至少三部喜剧片", ["at least 3 of genre: Comedy"]),
        ("喜剧片至少要三部", ["at least 3 of genre: Comedy"]),
        ("喜剧片至少要三部、90年代", ["at least 3 of genre: Comedy", "year 1990–1999"]),
        ("90年代，喜剧片不能少于3部，多谢", ["year 1990–1999", "at least 3 of genre: Comedy"]),
        ("推荐几部惊悚片，其中恰好两部是90年代的", ["genre: Thriller", "2 of year 1990–1999"]),
        ("喜剧片一共两部，不能多也不能少", ["2 of genre: Comedy"]),
        ("至少四分", ["rating ≥ 4"]),
        ("至少三分之一是喜剧片", ["at least 30% Comedy"]),
        ("只要一部喜剧片就好", ["genre: Comedy"]),
        ("如果是恐怖片，只要1980年以前的", ["if genre: Horror: year ≤ 1979"]),
        ("恐怖片的话，只要1980年以前的", ["if genre: Horror: year ≤ 1979"]),
        ("是恐怖片或者西部片的话，评分要4分以上", ["if genre: Horror or Western: rating ≥ 4"]),
        ("要90年代的，如果是西部片的话，评分要4分以上", ["year 1990–1999", "if genre: Western: rating ≥ 4"]),
        ("要90年代的，可以的话", ["year 1990–1999"]),
        ("90年代的如果是西部片的话，评分要4分以上", ["year 1990–1999", "if genre: Western: rating ≥ 4"]),
        ("90年代的，正好两部，喜剧片", ["year 1990–1999", "2 of genre: Comedy"]),
        ("不要恐怖片的话，来一部西部片", ["genre: not Horror", "genre: Western"]),
        ("多来点像第三部那样的", ["genre like that of no. 3"]),
        ("再来几部跟第3部差不多的", ["genre like that of no. 3"]),
        ("第十一部那样的再来一些", ["genre like that of no. 11"]),
        ("不要像第二部那样的", ["genre unlike that of no. 2"]),
        ("第2部那样的就别来了", ["genre unlike that of no. 2"]),
        ("年代要和第一部一样的", ["year like that of no. 1"]),
        ("我喜欢第4部的年代", ["year like that of no. 4"]),
        ("跟第三部差不多，只是要更老", ["year below that of no. 3"]),
        ("我喜欢这些，继续吧", []),
        ("就看80年代的吧，这样更合适", ["year 1980–1989"]),
        ("约会看的", ["genre: Romance", "genre: not Horror", "rating: highest 50%"]),
    ],
)
def test_phrases_of_operators_mean_what_people_mean(text, wanted):
    talk = speech_of("instructrec/MoviesTalk-v0", "zh")
    assert [str(predicate) for predicate in parse(text, talk).predicates] == wanted


@pytest.mark.parametrize(
    "text", ["重新开始：一部喜剧片", "没有的话就给我一部喜剧片", "一部喜剧片我也能接受，多谢", "一部喜剧片也可以凑合。"]
)
def test_cues_behind_what_is_asked_and_before_it_say_that_what_came_before_is_over(text):
    read = parse(text, speech_of("instructrec/MoviesTalk-v0", "zh"))
    assert read.fresh
    assert [str(predicate) for predicate in read.predicates] == ["genre: Comedy"]


@pytest.mark.parametrize("world", SPOKEN)
def test_people_ask_for_the_same_in_chinese_as_in_english(world):
    chinese, english = speech_of(world, "zh"), speech_of(world, "en")
    assert chinese.requests == english.requests
    assert chinese.extras == english.extras
    assert set(chinese.templates) == set(english.templates)
    assert not set(chinese.names.values()) & set(chinese.names)


def test_in_travel_too_every_operator_has_words_once_a_file_switches_it_on(tmp_path):
    path = tmp_path / "talk.yaml"
    path.write_text(TRAVEL_TALK, "utf-8")
    place = make_world(str(path), language="zh")
    bank, vocabulary = place.population.bank, place.population.vocabulary
    assert {"count", "conditional", "kind+misinformed", "infeasible", "relaxed"} <= set(bank.kinds)
    right = [meaning(parse(text, vocabulary).predicates) == meaning(wanted) for text, wanted in said_in(bank)]
    assert np.mean(right) >= 0.98
    for position, likeness in enumerate(bank.likenesses):
        operator = Operator.UNLIKE if likeness.unlike else Operator.LIKE
        for text in bank.texts_of(bank.like.group(position * 10 + 2)):
            wanted = Predicate(field=likeness.field, operator=operator, position=3)
            assert parse(text, vocabulary).predicates == (wanted,), text


@pytest.mark.parametrize("family", ["opening", "vague", "implicit", "restated", "reveal", "more", "critique"])
def test_templates_hold_no_word_that_means_something(family):
    for template in MOVIES.templates[family]:
        read = parse(SLOT.sub("，", template), MOVIES)
        assert read == Parse((), ()), template


def test_what_is_not_understood_is_said_in_one_piece():
    assert parse("想看一部有氛围感的恐怖片", MOVIES).unknown == ("氛围感",)
    assert parse("tense 惊悚片", MOVIES).unknown == ("tense",)
    assert parse("\ud800", MOVIES).unknown == ("\ud800",)


@given(
    st.text(
        alphabet=st.sampled_from("不要的或者和恐怖片九十年代以前第二部更新评分最高1990，、。？ 没有除了IMAXab"),
        max_size=60,
    )
)
@settings(max_examples=200, deadline=None)
def test_it_never_raises_on_its_own_signs_in_any_order(text):
    assert isinstance(parse(text, MOVIES), Parse)


# --- Worlds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", SPOKEN)
def test_a_world_speaks_chinese_and_its_items_are_the_same(world):
    chinese, english = make_world(world, language="zh", bank_size=300), make_world(world, bank_size=300)
    assert (chinese.language, english.language) == ("zh", "en")
    assert chinese.fingerprint != english.fingerprint
    assert chinese.catalogue.titles == english.catalogue.titles
    assert chinese.catalogue.texts != english.catalogue.texts
    for name, column in english.catalogue.columns.items():
        np.testing.assert_array_equal(column.masks, chinese.catalogue.column(name).masks)
        np.testing.assert_array_equal(column.numbers, chinese.catalogue.column(name).numbers)


def test_item_texts_call_values_by_their_most_ordinary_word():
    catalogue = make_world("instructrec/Movies-v0", language="zh", bank_size=300).catalogue
    place = catalogue.titles.index("Heat (1995)")
    own = make_world("instructrec/Movies-v0", bank_size=300).catalogue.texts[place]
    assert catalogue.texts[place] == f"动作片、犯罪片、惊悚片，1995年：{own}"
    shop = make_world("instructrec/Shop-v0", language="zh", num_items=50, bank_size=300).catalogue
    assert all(re.search("：.+，[0-9]+欧元", text) for text in shop.texts)
    assert catalogue.labels["genre", "Sci-Fi"] == "科幻片"
    assert make_world("instructrec/Movies-v0", bank_size=300).catalogue.labels == {}


def test_a_language_that_a_world_does_not_speak_is_told():
    with pytest.raises(ValueError, match=r"unknown language of instructrec/Movies-v0 'fr'; .*known: en, zh"):
        make_world("instructrec/Movies-v0", language="fr")
    with pytest.raises(TypeError, match="did you mean 'language'"):
        make_world("instructrec/Movies-v0", langauge="zh")

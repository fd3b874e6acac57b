"""How Chinese is put together and taken apart.

What describes a noun stands before it, nouns are counted with measure words, words have no blanks between them, and
people who type by sound may pick a wrong sign of the same sound.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from instructrec.envs.english import number_of
from instructrec.envs.tongue import NounPhrase, Piece, Token
from instructrec.envs.vocabulary import Speech, Term

_DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "○": 0}
_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
_NUMERAL = "".join((*_DIGITS, *_UNITS))
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_NUMERAL}]+|[{_HAN}]|\d+\.\d+|\d+|[^\W\d_{_HAN}]+|[^\w\s]|_|\s+")
_SOUNDS_ALIKE = (
    *("在再载", "做作坐座", "像象相项向", "步布怖簿", "片骗偏", "喜洗", "剧据具聚句", "动懂洞冻"),
    *("科棵颗", "幻换患"),
    *("恐孔", "战站占", "争征睁", "爱艾", "情晴", "惊京精经", "悚耸", "悬旋玄", "疑宜移", "推退", "力丽利"),
    *("侦真珍针", "探叹碳"),
    *("犯范饭", "罪最醉", "警景井", "匪非飞", "音因阴", "乐月越", "歌哥", "舞午武", "奇其棋", "冒帽貌", "险显"),
    *("纪记际", "录路"),
    *("画话化华", "儿而", "童同", "庭停", "西希吸", "年念", "代带戴", "评平瓶", "份分纷", "高糕", "心新欣"),
    *("门们闷", "名明"),
    *("便遍变", "质治志", "量亮", "包宝保", "鞋协斜", "书输舒", "机鸡", "手首", "电店点", "脑恼", "酒久"),
    *("馆管官", "看砍", "友有"),
    *("想响", "找照", "要药", "给个各", "推堆", "荐见件", "几己", "星兴行", "热惹", "冷愣", "便编"),
    *("老佬", "近进尽", "拍排"),
)  # fmt: skip
_TURNS_DOWN = re.compile("[不没别非无]|讨厌|排除|避开|除外|算了|免了|受够了")
_VAGUE_NOUNS = frozenset({"东西", "地方", "去处"})
"""Nouns that nothing stands before without a 的: 户外用品, but 户外的东西."""
# What turns a sentence round, and the numbers, are never taken for one another.
_NEVER = frozenset("不没别非无") | frozenset(_NUMERAL)


def _alike() -> dict[str, str]:
    """Returns which signs may be meant by each: a relation that goes both ways."""
    pairs = {(one, other) for group in _SOUNDS_ALIKE for one in group for other in group if one != other}
    table: dict[str, str] = {}
    for one, other in sorted(pairs):
        if one not in _NEVER and other not in _NEVER:
            table[one] = table.get(one, "") + other
    return table


_ALIKE = _alike()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def chinese_number(text: str) -> float | None:
    """Returns what Chinese numerals say: 二十五, 一九九零, 三百五 (350); None where they say no number."""
    if not text or any(sign not in _NUMERAL for sign in text):
        return None
    if not any(sign in _UNITS for sign in text):
        return float("".join(str(_DIGITS[sign]) for sign in text)) if len(text) in (1, 2, 4) else None
    total, section, digit, last_unit = 0, 0, -1, 1
    for sign in text:
        if sign in _DIGITS:
            if digit > 0:
                return None
            digit, last_unit = _DIGITS[sign], 1 if sign in "零〇" else last_unit
            continue
        unit = _UNITS[sign]
        if digit < 0 and unit != 10 and not section:
            return None
        if unit == 10_000:
            total, section = (total + section + max(digit, 0)) * unit, 0
        else:
            section += (1 if digit < 0 else digit) * unit
        digit, last_unit = -1, unit
    # 三百五 is 350, 三百零五 305.
    return float(total + section + max(digit, 0) * max(last_unit // 10, 1))


def numeral(number: int) -> str:
    """Returns a number from 1 to 99 in Chinese numerals: 二, 十一, 二十."""
    if not 1 <= number <= 99:
        return str(number)
    signs = "零一二三四五六七八九"
    tens, ones = divmod(number, 10)
    return ("" if not tens else "十" if tens == 1 else f"{signs[tens]}十") + (signs[ones] if ones else "")


class Chinese:
    """Chinese in simplified signs: a `Tongue`."""

    comma = "，"
    question = "？"
    unknown = "未知"
    alternative = "或者"
    please = "请"
    measures = True
    phrasal = True
    function_words = _words(
        "的 了 吗 呢 吧 啊 呀 哦 嘛 啦 地 得 着 过 我 我们 咱们 你 您 你们 他 她 它 他们 大家 想 想要 要 看 看看 "
        "找 找找 给 给我 帮 帮我 "
        "帮忙 请 请问 有 有没有 有什么 有啥 是 是不是 能 能不能 可以 可不可以 会 应该 必须 得是 在 从 到 和 跟 "
        "与 以及 还有 还 也 都 就 "
        "又 再 或 或者 或是 还是 而且 但 但是 不过 可是 只 只要 只是 只想 最好 最好是 希望 比较 特别 非常 很 太 "
        "更 最 真 挺 有点 有点儿 一点 "
        "一点儿 点 点儿 些 一些 几 个 一个 这 这个 这些 这样 那 那个 那些 那种 那样 这种 什么 啥 哪 哪些 哪个 "
        "怎么 怎么样 为什么 多 少 "
        "一下 推荐 介绍 来 来点 来个 去 说 知道 觉得 喜欢 爱 需要 打算 准备 差不多 好 好的 行 行不行 可 吧 今天 "
        "今晚 明天 现在 晚上 周末 "
        "这次 平时 一起 适合 合适 类似 那么 所以 因为 如果 的话 时候 东西 种 类 类型 方面 之类 以外 之外 以上 "
        "以下 以内 左右 大概 大约 "
        "谢谢 多谢 麻烦 麻烦了 拜托 你好 您好 对了 对不起 不好意思 不如 不知道 好不好 可能 也许 随便 任何 别的 "
        "其他 其它 同样 一样 "
        "另外 然后 最后 其实 等 等等 等一下 之 于 把 被 让 用 出 当 而 则 若 呗 喔 嗯 恩 哈 亲 部 家 件 款 本 台 "
        "位 份 次 里 上 下 中 内 "
        "年 分 星 级 评分 电影 片子"
    )
    negations = _words("不 不是 不太 不会 没 没有 非 无 不含 不带 除 除了 不属于 不算 不够")
    through = _words(
        "太 那么 那种 这种 这么 很 特别 非常 过于 什么 任何 啥 再 给我 推荐 看 看到 来 有 是 要 想 想要 想看 "
        "一个 一部 一些 一家 一件 个 些 点 "
        "了 和 跟 与 以及 或 或者 或是 还有 也 都 于 在 的 那些 这些 属于 那类 这类 类型 会 让我 我"
    )
    leading: frozenset[str] = frozenset()
    place = "第{}"
    closing = "的"
    alternatives = _words("或 或者 或是 还是")
    additions = _words("和 跟 与 以及 还有 并且")
    articles = _words("一个 一部 一家 一件 一些 几部 几个 个 些 的")
    openers: frozenset[str] = frozenset()
    boundaries = frozenset(",.;:!?()，。；：！？（） \n")
    punctuation = frozenset(".,;:!?()[]{}-–—\"'`*/_…，。；：！？（）、【】《》“”‘’·～~ \n")

    def noun_phrase(self, phrase: NounPhrase, shape: str) -> str:
        """Returns the phrase counted as its slot asks for: 一部恐怖片, 几部恐怖片, 恐怖片."""
        text = self._bare(phrase)
        if shape in ("one", "a") and not phrase.superlative:
            return self.one(text, phrase.measure)
        if shape == "some" and not phrase.superlative:
            return f"几{phrase.measure}{text}"
        return text

    def _bare(self, phrase: NounPhrase) -> str:
        after = sorted(phrase.after, key=lambda piece: -piece.rank)
        said = ""
        for piece, following in zip(after, [*after[1:], None], strict=False):
            # 1990年以后评分4分以上的: numbers in a row share one 的.
            together = following is not None and piece.rank == following.rank == 1
            said += piece.text if together else f"{piece.text}的"
        if phrase.superlative:
            said += f"{phrase.superlative}的"
        said += self._before(sorted(phrase.before, key=lambda piece: piece.rank))
        if phrase.something and said:
            return said if said.endswith("的") else f"{said}的"
        *attributes, (head, _) = phrase.heads
        for text, _ in attributes:
            said = _beside(said, _without_kind(text))
        return f"{said}的{head}" if said and head in _VAGUE_NOUNS and not said.endswith("的") else _beside(said, head)

    def _before(self, pieces: Sequence[Piece]) -> str:
        said = ""
        for place, piece in enumerate(pieces):
            following = pieces[place + 1].speech if place + 1 < len(pieces) else None
            if piece.speech is not Speech.ADJECTIVE:
                said = _beside(said, piece.text)
            else:
                said += f"{piece.text}、" if following is Speech.ADJECTIVE else f"{piece.text}的"
        return said

    def one(self, phrase: str, measure: str) -> str:
        """Returns the phrase with 一 and its measure word."""
        return f"一{measure}{phrase}"

    def joined(self, term: Term, head: str) -> str:
        """Returns both, 的 between them where the term is an adjective or the head says next to nothing."""
        linked = term.speech is Speech.ADJECTIVE or head in _VAGUE_NOUNS
        return f"{term.text}的{head}" if linked else _beside(term.text, head)

    def series(self, names: Sequence[str]) -> str:
        """Returns 动作、科幻; 无 for none."""
        return "、".join(names) or "无"

    def listed(self, tags: Sequence[str], rng: np.random.Generator) -> str:
        """Returns fragments with commas or blanks between them; 、 only where nothing is turned down.

        Those with a pause inside come last, so that it is plain where they end.
        """
        tags = sorted(tags, key=lambda tag: "，" in tag)
        marks = ["，"]
        whole = not any("，" in tag for tag in tags)
        if whole and not any(tag[:1].isdigit() or tag[-1:].isdigit() for tag in tags):
            marks.append(" ")
        if whole and not any(map(_TURNS_DOWN.search, tags)):
            marks.append("、")
        return marks[int(rng.integers(len(marks)))].join(tags)

    def ordinal(self, position: int) -> str:
        """Returns 第二, 第十一."""
        return f"第{numeral(position)}"

    def figure(self, position: int) -> str:
        """Returns 第2."""
        return f"第{position}"

    def count(self, number: int, measure: str) -> str:
        """Returns 三部, 两双."""
        return ("两" if number == 2 else numeral(number)) + measure

    def of_them(self, text: str) -> str:
        """Returns 90年代的: it follows the number and its measure word, without a noun."""
        return f"{text}的"

    def places(self, position: int) -> tuple[str, ...]:
        """Returns 第二, 第2."""
        return self.ordinal(position), self.figure(position)

    def written(self, text: str, rng: np.random.Generator, casual: float) -> str:
        """Returns a sentence with a full stop, or carelessly without any mark at its end."""
        if rng.random() < casual:
            return text.removesuffix("？" if rng.random() < 0.5 else "")
        return text + ("" if text.endswith("？") or rng.random() < 0.4 else "。")

    def misspell(self, text: str, rng: np.random.Generator) -> str:
        """Puts another sign of the same sound in the place of one; texts without such a sign stay as they are."""
        places = [at for at, sign in enumerate(text) if sign in _ALIKE]
        if not places:
            return text
        at = places[int(rng.integers(len(places)))]
        others = _ALIKE[text[at]]
        return text[:at] + others[int(rng.integers(len(others)))] + text[at + 1 :]

    def tokens(self, text: str) -> list[Token]:
        """Returns signs, numbers whole, Latin words in lower case, and marks; a blank between signs is a mark too."""
        plain = unicodedata.normalize("NFKC", text)
        found: list[str] = _TOKEN.findall(plain)
        tokens: list[Token] = []
        for before, word, after in zip(["", *found], found, [*found[1:], ""], strict=False):
            if word.isspace():
                # Beside figures and between Latin words a blank is only tidy.
                latin = before[-1:].isascii() and after[:1].isascii()
                if not latin and not before[-1:].isdigit() and not after[:1].isdigit():
                    tokens.append(Token(" ", " "))
            elif word[0] in _NUMERAL and len(word) > 1 and chinese_number(word) is None:
                tokens += [Token(sign, sign, chinese_number(sign)) for sign in word]
            else:
                number = chinese_number(word) if word[0] in _NUMERAL else number_of(word)
                tokens.append(Token(word.lower(), word, number))
        return tokens

    def forms(self, text: str) -> tuple[str, ...]:
        """Returns 恐怖片, 恐怖 (before another kind of film a film is only its kind) and 恐怖片子."""
        return (text, _without_kind(text), f"{text}子") if text.endswith("片") and len(text) > 2 else (text,)

    def alike(self, token: str) -> str:
        """Returns the signs that sound the same."""
        return _ALIKE.get(token, "")


def _without_kind(text: str) -> str:
    return text[:-1] if text.endswith("片") and len(text) > 2 else text


def _beside(before: str, after: str) -> str:
    """Returns two words, with a blank between them where both are Latin."""
    latin = before[-1:].isalpha() and before[-1:].isascii() and after[:1].isalpha() and after[:1].isascii()
    return f"{before} {after}" if latin else before + after

"""Sentence shapes of Chinese: templates, frames, portions and courtesies, as data, for any domain.

Slots are those of `instructrec.envs.english_sentences`: ``{one}`` 一部恐怖片, ``{some}`` 几部恐怖片, ``{any}``,
``{many}``, ``{those}`` and ``{bare}`` 恐怖片; ``{count}`` is 三部. What tells the parser which operator is meant stands
before the first slot, behind it where nothing but a small word stands before it, or around a place in the slate.
Frames with the role AFTER stand before the noun and get a 的.
``<use>`` is what people do with an item (看), ``<measure>`` the measure word of items (部), ``<unit>`` what a number
counts (元).
"""

from __future__ import annotations

from instructrec.envs.vocabulary import Frame, Portion, Role
from instructrec.goals import Operator

_POSITIVE = (
    *(
        Frame(text, Role.CLAUSE)
        for text in (
            "要{adjective}的", "最好是{adjective}的", "希望是{adjective}的", "得是{adjective}的", "来点{adjective}的",
            "要{one}", "最好是{one}", "必须是{one}", "我想要{one}", "还是来{one}吧",
            "要{period}的", "只要{period}的", "最好是{period}的", "必须是{period}的", "就<use>{period}的吧",
            "要{after}的", "最好是{after}的", "希望是{after}的", "得是{after}的",
            "要{superlative}的", "只要{superlative}的", "给我{superlative}的", "必须是{superlative}的那种",
        )
    ),
    *(
        Frame(text, Role.AFTER)
        for text in ("{period}", "{period}出", "{period}推出", "{period}问世", "{period}上映")
    ),
)  # fmt: skip

_EXCLUDING = (
    *(
        Frame(text, Role.CLAUSE, Operator.EXCLUDE)
        for text in (
            "不要{stuff}", "不想<use>{stuff}", "我不喜欢{stuff}", "别给我{stuff}", "不考虑{stuff}",
            "千万别推荐{stuff}",
            "我讨厌{stuff}", "受不了{stuff}", "排除{stuff}", "别来{stuff}", "我不想要{stuff}", "请避开{stuff}",
            "{stuff}就算了", "{stuff}不要", "{stuff}除外", "{stuff}就免了", "{stuff}我不感兴趣", "{stuff}我受够了",
            "不要{adjective}的", "别太{adjective}", "不要太{adjective}的", "不能太{adjective}",
            "我不想要{adjective}的",
        )
    ),
    *(
        Frame(text, Role.AFTER, Operator.EXCLUDE)
        for text in (
            "不是{stuff}", "除了{stuff}以外", "不属于{stuff}", "除{stuff}之外", "不算{stuff}",
            "不{adjective}", "不太{adjective}", "不会太{adjective}", "一点也不{adjective}",
        )
    ),
)  # fmt: skip


def _numbers(operator: Operator, role: Role, *texts: str) -> tuple[Frame, ...]:
    return tuple(Frame(text, role, operator) for text in texts)


_YEARS = (
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "{low}年以后", "{low}年以来", "{low}年及以后", "{low}年以后上映", "不早于{low}年", "{low}年起",
        "晚于{beyond}年", "迟于{beyond}年", "晚于{beyond}年上映",
        "最近{span}年", "近{span}年", "过去{span}年", "最近{span}年上映", "这{span}年出",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE,
        "只要{low}年以后的", "要{low}年以后的", "得是{low}年及以后的", "别早于{low}年",
        "要晚于{beyond}年的", "只要晚于{beyond}年的", "必须晚于{beyond}年",
    ),
    *_numbers(
        Operator.AT_MOST, Role.AFTER,
        "{high}年及以前", "不晚于{high}年", "{high}年或更早", "截至{high}年", "到{high}年为止",
        "{before}年以前", "{before}年之前", "早于{before}年", "{before}年以前上映", "{before}年前",
    ),
    *_numbers(
        Operator.AT_MOST, Role.CLAUSE,
        "只要{high}年及以前的", "别晚于{high}年", "要{high}年或更早的",
        "要{before}年以前的", "只要{before}年之前的", "必须早于{before}年", "得是{before}年以前的",
    ),
    *_numbers(
        Operator.BETWEEN, Role.AFTER,
        "{low}年到{high}年", "{low}到{high}年之间", "{low}年至{high}年之间", "{low}-{high}年", "从{low}年到{high}年",
        "{exact}年", "{exact}年上映", "{exact}年出", "{exact}年推出", "{exact}年问世",
    ),
    *_numbers(
        Operator.BETWEEN, Role.CLAUSE,
        "要{low}到{high}年之间的", "只要{low}年到{high}年的", "得在{low}年和{high}年之间",
        "要{exact}年的", "只要{exact}年的", "必须是{exact}年的", "得是{exact}年的",
    ),
)  # fmt: skip

_RATINGS = (
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "评分{low}以上", "评分{low}分以上", "评分不低于{low}分", "评分至少{low}分", "{low}分以上", "{low}星以上",
        "评分在{low}分及以上", "打分{low}以上",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE,
        "评分要{low}分以上", "评分不能低于{low}分", "至少{low}分", "至少要{low}星", "评分得有{low}分",
        "低于{low}分的不要",
    ),
)  # fmt: skip

_MONEY = (
    *_numbers(
        Operator.AT_MOST, Role.AFTER,
        "{high}<unit>以内", "不超过{high}<unit>", "{high}<unit>以下", "最多{high}<unit>", "价格在{high}<unit>以内",
        "预算{high}<unit>",
    ),
    *_numbers(
        Operator.AT_MOST, Role.CLAUSE,
        "预算{high}<unit>", "别超过{high}<unit>", "预算不超过{high}<unit>", "价格不能高于{high}<unit>",
        "最多花{high}<unit>", "价格要在{high}<unit>以内", "超过{high}<unit>的不要",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "{low}<unit>以上", "不低于{low}<unit>", "价格在{low}<unit>以上", "{low}<unit>起", "至少{low}<unit>",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE,
        "价格要{low}<unit>以上", "不能低于{low}<unit>", "至少要{low}<unit>", "低于{low}<unit>的不要",
    ),
    *_numbers(
        Operator.BETWEEN, Role.AFTER,
        "{low}到{high}<unit>", "{low}至{high}<unit>之间", "{low}-{high}<unit>", "价格在{low}到{high}<unit>之间",
        "{low}<unit>到{high}<unit>之间",
    ),
    *_numbers(
        Operator.BETWEEN, Role.CLAUSE,
        "预算{low}到{high}<unit>", "价格要在{low}到{high}<unit>之间", "只要{low}到{high}<unit>的",
        "价位{low}-{high}<unit>",
    ),
)  # fmt: skip

_LENGTH = (
    *_numbers(
        Operator.AT_MOST, Role.AFTER,
        "{high}<unit>以内", "不超过{high}<unit>", "最多{high}<unit>", "时长在{high}<unit>以内", "{high}<unit>之内",
    ),
    *_numbers(
        Operator.AT_MOST, Role.CLAUSE,
        "我只有{high}<unit>", "别超过{high}<unit>", "时长不能超过{high}<unit>", "最多只能{high}<unit>",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "{low}<unit>以上", "至少{low}<unit>", "不少于{low}<unit>", "不短于{low}<unit>",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE, "至少要{low}<unit>", "不能少于{low}<unit>", "时长要{low}<unit>以上",
    ),
    *_numbers(
        Operator.BETWEEN, Role.AFTER, "{low}到{high}<unit>", "{low}-{high}<unit>", "{low}至{high}<unit>之间",
    ),
    *_numbers(
        Operator.BETWEEN, Role.CLAUSE,
        "只要{low}到{high}<unit>的", "时长要{low}到{high}<unit>", "要在{low}至{high}<unit>之间",
    ),
)  # fmt: skip

_AGE = (
    *_numbers(
        Operator.AT_MOST, Role.AFTER,
        "最近{high}<unit>", "近{high}<unit>", "过去{high}<unit>", "{high}<unit>以内", "不超过{high}<unit>",
    ),
    *_numbers(
        Operator.AT_MOST, Role.CLAUSE,
        "只要最近{high}<unit>的", "别超过{high}<unit>", "要{high}<unit>以内的", "超过{high}<unit>的不要",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.AFTER, "{low}<unit>以前", "至少{low}<unit>前", "{low}<unit>或更久以前",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE, "要{low}<unit>以前的", "只要{low}<unit>前的", "得是{low}<unit>以前的",
    ),
)  # fmt: skip

_DISTANCE = (
    *_numbers(
        Operator.AT_MOST, Role.AFTER,
        "{high}<unit>以内", "{high}<unit>之内", "不超过{high}<unit>", "距离{high}<unit>以内",
        "离这儿{high}<unit>以内",
    ),
    *_numbers(
        Operator.AT_MOST, Role.CLAUSE,
        "别超过{high}<unit>", "最远{high}<unit>", "距离不能超过{high}<unit>", "要在{high}<unit>以内",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.AFTER, "{low}<unit>以外", "至少{low}<unit>远", "距离{low}<unit>以上",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE, "至少要离{low}<unit>", "要在{low}<unit>以外", "距离不能少于{low}<unit>",
    ),
)  # fmt: skip

_AMOUNT = (
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "至少有{low}<unit>", "{low}<unit>以上", "不少于{low}<unit>", "有{low}<unit>以上", "{low}<unit>或更多",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE,
        "至少要有{low}<unit>", "不能少于{low}<unit>", "要有{low}<unit>以上", "少于{low}<unit>的不要",
    ),
    *_numbers(
        Operator.AT_MOST, Role.AFTER,
        "最多{high}<unit>", "{high}<unit>以下", "不超过{high}<unit>", "不多于{high}<unit>",
    ),
    *_numbers(
        Operator.AT_MOST, Role.CLAUSE,
        "别超过{high}<unit>", "最多只能有{high}<unit>", "不能多于{high}<unit>", "超过{high}<unit>的不要",
    ),
    *_numbers(
        Operator.BETWEEN, Role.AFTER, "{low}到{high}<unit>", "有{low}到{high}<unit>", "{low}-{high}<unit>",
    ),
    *_numbers(
        Operator.BETWEEN, Role.CLAUSE,
        "只要{low}到{high}<unit>的", "要有{low}到{high}<unit>", "要在{low}至{high}<unit>之间",
    ),
)  # fmt: skip

FRAMES = (*_POSITIVE, *_EXCLUDING)
"""What fits every attribute."""

MEASURES = {
    "year": _YEARS,
    "stars": _RATINGS,
    "money": _MONEY,
    "length": _LENGTH,
    "age": _AGE,
    "distance": _DISTANCE,
    "amount": _AMOUNT,
    "level": (),
}
"""How numbers are said, by what they measure; levels only have names."""

PORTIONS = (
    Portion(0.5, ("至少一半是{stuff}", "一半要{stuff}", "起码一半得是{stuff}", "其中一半是{stuff}")),
    Portion(0.6, ("大部分是{stuff}", "主要是{stuff}", "大多要{stuff}", "多数得是{stuff}")),
    Portion(
        0.3,
        ("三分之一是{stuff}", "大约三分之一要{stuff}", "至少三分之一是{stuff}", "每三<measure>里有一<measure>{stuff}"),
    ),
)  # fmt: skip

_OPENING = (
    # Statements.
    "我想<use>{one}", "我想<use>{those}", "我想要{one}", "我想找{one}", "我想找{those}", "我在找{one}", "我要{one}",
    "我需要{one}", "我们想<use>{one}", "今天想<use>{one}", "今天就要{one}", "朋友想要{one}", "我打算<use>{one}",
    "{one}最合适了", "{one}就是我要的",
    # Commands.
    "给我推荐{one}", "给我推荐{some}", "帮我找{one}", "帮我找{some}", "推荐{some}", "来{one}", "给我{one}",
    "给我看看{those}", "列出{those}", "找{some}让我选", "搜一下{those}", "介绍{some}", "请给我推荐{one}",
    "请帮我找{those}",
    "帮我挑{one}",
    # Questions.
    "有没有{any}？", "有什么{any}推荐？", "有{any}吗？", "能推荐{one}吗？", "能帮我找{one}吗？",
    "可以给我推荐{some}吗？",
    "你知道什么{many}？", "你们有哪些{many}？", "有什么{many}可以<use>？", "哪里能找到{one}？", "来{one}怎么样？",
    "请问有{any}吗？", "想<use>{many}，有什么推荐？", "有{a}可以<use>吗？",
    # Fragments.
    "{one}", "{bare}", "{many}", "{list}", "{list}，就这些", "求{one}", "求推荐{many}", "想<use>{one}", "找{those}",
    # What is not wanted, first.
    "{clauses}，就要{one}", "{clauses}，其他的就来{one}", "{clauses}，给我看看{some}", "{clauses}，不过想<use>{one}",
    "{clauses}。能找到{one}吗？", "{clauses}；给我{one}",
)  # fmt: skip
_VAGUE = (
    "随便来{one}就行", "有什么{any}吗？", "我们想要{one}", "就想<use>{one}", "想得到什么{many}吗？", "帮我选{one}",
    "我拿不定主意，给我{one}吧", "{one}就可以", "有{one}我就满意了", "到底有没有{any}？", "打发时间，来{one}",
    "只要{one}就好",
)  # fmt: skip
_IMPLICIT = (
    "给我个惊喜", "来点我会喜欢的", "你懂我的口味", "看着推荐吧", "我该<use>什么？", "你帮我选吧",
    "按我的口味来", "跟平时差不多的就行",
    "有什么适合我的？", "我也不知道，你定吧", "猜猜我喜欢什么", "老样子", "我会喜欢什么呢？", "我相信你的眼光",
    "推荐点什么吧",
    "根据我以前的喜好推荐吧", "今天有什么可以推荐的？", "随便，什么都行", "有什么建议吗？",
)  # fmt: skip
_RESTATED = (
    "也就是说要{one}", "总结一下，我想要{one}", "再说一遍：{one}", "还是那句话，{one}", "我刚才说了，要{one}",
    "我说的是{one}",
    "就像我说的，我在找{one}", "重复一下，{one}", "我要的是{one}", "一起说：{list}", "说清楚点，{one}",
    "我再说一次，给我看{some}",
    "换句话说，{one}", "我还是在找{one}",
)  # fmt: skip
_REVEAL = (
    "还有，{clause}", "哦对，{clause}", "我应该早说的，{clause}", "还有一点：{clause}", "忘了说了，{clause}",
    "不好意思，{clause}",
    "{clause}，顺便说一下", "不太对，{clause}", "嗯，{clause}", "等等，{clause}", "{clause}",
    "我之前没说，{clause}", "另外{clause}",
    "差一点，{clause}", "补充一下：{clause}",
)  # fmt: skip
_CRITIQUE = (
    "要比{ordinal}<measure>{more}的", "类似{ordinal}<measure>，但要{more}的",
    "跟{ordinal}<measure>差不多，只是要{more}",
    "有没有比{number}<measure>{more}的？", "{number}<measure>还行，不过我想要{more}的",
    "{ordinal}<measure>挺合适，就是想要{more}的",
    "能换一<measure>比{ordinal}<measure>{more}的吗？", "给我看看比{number}<measure>{more}的",
    "比{ordinal}<measure>{more}的有吗？",
    "{ordinal}<measure>要是{more}就好了", "和{number}<measure>一样，但是{more}", "请推荐比{ordinal}<measure>{more}的",
)  # fmt: skip
_MORE = (
    "再来几<measure>", "再给我看一些", "继续", "还有别的吗？", "再来点一样的", "下一页", "这些可以，还有吗？",
    "请再来一些", "还有其他的吗？",
    "接着来", "就这样继续", "一样的再来一批", "往后翻", "你还有什么？", "多给我点这样的", "我喜欢这些，继续吧",
    "然后呢？", "就按这个思路再来",
    "再让我看几<measure>", "换一批",
)  # fmt: skip
_AT_LEAST = (
    "至少{count}{stuff}", "至少要有{count}{stuff}", "起码要{count}{stuff}", "不少于{count}{stuff}",
    "其中至少{count}是{stuff}", "{stuff}至少要{count}", "{stuff}不能少于{count}", "{stuff}最少来{count}",
)  # fmt: skip
_EXACTLY = (
    "正好{count}{stuff}", "刚好要{count}{stuff}", "不多不少{count}{stuff}", "总共要{count}{stuff}",
    "其中恰好{count}是{stuff}", "{stuff}要正好{count}", "{stuff}一共{count}，不能多也不能少",
    "{stuff}得是{count}，多了少了都不行",
)  # fmt: skip
_CONDITIONAL = (
    "如果是{bare}，{clause}", "如果是{bare}的话，{clause}", "{bare}的话，{clause}", "是{bare}的话，{clause}",
    "假如是{bare}，{clause}", "要是推荐{bare}，{clause}", "若是{one}，{clause}", "遇到{bare}的话，{clause}",
)  # fmt: skip
_LIKE = (
    "多来点像{ordinal}<measure>那样的", "再来几<measure>跟{number}<measure>差不多的", "要和{ordinal}<measure>类似的",
    "有没有跟{ordinal}<measure>同一类的？", "照着{number}<measure>再找几<measure>", "{ordinal}<measure>那样的再来一些",
    "我喜欢{number}<measure>这一类的", "有更接近{ordinal}<measure>的吗？",
)  # fmt: skip
_UNLIKE = (
    "不要像{ordinal}<measure>那样的", "别再给我{number}<measure>那种的了", "要跟{ordinal}<measure>完全不一样的",
    "换点和{number}<measure>不同的", "跟{number}<measure>差别越大越好", "{ordinal}<measure>那样的就别来了",
    "有没有跟{ordinal}<measure>正相反的？", "不想再<use>{number}<measure>那一类的了",
)  # fmt: skip
_SAME = (
    "{name}要和{ordinal}<measure>一样的", "{name}跟{number}<measure>相同的", "{name}就照{ordinal}<measure>的来",
    "我喜欢{number}<measure>的{name}", "要跟{ordinal}<measure>同样{name}的", "{name}保持{number}<measure>那样",
    "有没有和{ordinal}<measure>{name}一样的？",
)  # fmt: skip
_OVERRIDE = (
    "我改主意了，{clause}", "想了想，{clause}", "考虑了一下，{clause}", "刚才那条改一下，{clause}",
    "前面那条作废，{clause}", "前面那条换成这样：{clause}", "{clause}，这样更合适", "{clause}，还是按这个来",
)  # fmt: skip
_RESET = (
    "刚才说的都别管了，给我{one}", "前面的要求都不算了，我想<use>{one}", "我们从头来，给我看{some}", "重新开始：{one}",
    "之前说的统统作废，我要{one}", "当我没说过，来{one}", "重新搜：{list}", "把刚才的全忘掉，帮我找{one}",
)  # fmt: skip
_RELAX = (
    "那我退一步，{one}就行", "那就将就一下，{one}吧", "实在没有的话，{one}也行", "要是找不到，就来{one}",
    "{one}我也能接受", "{one}也可以凑合", "没有的话就给我{one}", "那样的话，{one}也可以",
)  # fmt: skip
_CORRECTION = (
    "我记错了，{clause}", "我弄错了，{clause}", "不好意思，我说错了，{clause}", "我搞混了，{clause}",
    "原来是我想错了，{clause}", "刚才是我糊涂了，{clause}", "抱歉，是我记岔了，{clause}",
)  # fmt: skip
TEMPLATES = {
    "opening": _OPENING,
    "vague": _VAGUE,
    "implicit": _IMPLICIT,
    "restated": _RESTATED,
    "reveal": _REVEAL,
    "critique": _CRITIQUE,
    "more": _MORE,
    "at_least": _AT_LEAST,
    "exactly": _EXACTLY,
    "conditional": _CONDITIONAL,
    "like": _LIKE,
    "unlike": _UNLIKE,
    "same": _SAME,
    "override": _OVERRIDE,
    "reset": _RESET,
    "relax": _RELAX,
    "correction": _CORRECTION,
}

POLITE = (
    ("拜托，", "你好，", "您好，", "嗨，", "麻烦问一下，", "打扰一下，"),
    ("，谢谢", "，谢谢啦", "，麻烦了", "，多谢", "，可以的话", "，拜托了"),
)
RESETS = ("对了，", "现在", "这次", "换个口味：", "改主意了，", "好，现在", "算了，", "我们换一下，")

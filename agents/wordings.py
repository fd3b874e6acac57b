"""The English that the agent puts its own prompts together from; see `instructrec.agents.prompts`.

Common ways to ask for something and to turn something down, the more the better: a reader that has met many of them
guesses the next one right more often. ``{}`` stands for what is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

NOUNS = ("film", "films", "movie", "movies", "one", "ones", "title", "titles", "flick", "pictures", "stuff", "thing")
PRONOUNS = ("one", "ones", "stuff", "thing", "things", "something")
CARRIERS = (
    *("{}", "{}", "{}", "{}", "I want {}", "I'd like {}", "show me {}", "can you find {}", "looking for {}"),
    *("{} please", "recommend {}", "something like {}", "how about {}", "give me {}", "do you have {}", "any {}"),
    *("I feel like {}", "let's watch {}", "find me {}", "in the mood for {}", "what about {}", "we want to see {}"),
    *("suggest {}", "{} would be great", "{}, thanks", "maybe {}", "hello, {}", "tonight I need {}", "what are {}"),
    *("list {}", "which {} do you know", "put on {}", "I'm after {}", "got {}", "search for {}", "it should be {}"),
    *("only {}", "are there {}", "tell me {}", "I said {}", "what is {}", "what's {}", "is there {}", "name {}"),
    *("what are some {}", "can you show me {}", "could you recommend {}", "I am looking for {}", "do you know {}"),
    *(
        "I would love to see {}",
        "help me find {}",
        "please find {}",
        "have you got {}",
        "who can name {}",
        "did you see {}",
    ),
    *(
        "tell me about {}",
        "what was {}",
        "where can I find {}",
        "get me {}",
        "I am trying to think of {}",
        "how many {}",
    ),
    *("bring up {}", "pull up {}", "let me have {}", "my wish is {}", "we are searching for {}", "I could watch {}"),
    *("hi there, {}", "good evening, {}", "excuse me, {}", "um, {}", "well, {}", "ok, {}", "so, {}", "hey, {}"),
)
AGAIN = (
    *("again: {}", "to sum up, {}", "to sum up, I want {}", "as I said, {}", "like I said, {}", "once more: {}"),
    *("I repeat: {}", "in short, {}", "all in all, {}", "what I want is {}", "remember, {}", "to be clear, {}"),
    *("let me say it again: {}", "in other words, {}", "to repeat, {}", "in total, {}", "all I want is {}"),
    *("to put it together: {}", "summing up: {}", "I asked for {}", "I'm still after {}", "still looking for {}"),
    *("let me start over: {}", "what I meant is {}", "once again, {}", "everything in one: {}", "overall, {}"),
)
WITH = (
    *("with {}", "with some {}", "full of {}", "with lots of {}", "about {}", "that is {}", "which are {}"),
    *("in the {} genre", "of the {} kind", "for {}", "with plenty of {}", "with a lot of {}", "set in {}", "to {}"),
    *("that makes me {}", "with a {}", "about a {}", "like {}", "where there is {}", "having {}"),
)
# How names stand that are no kinds of things: places, makers, purposes.
NAMED = (
    *("from {}", "by {}", "in {}", "on {}", "at {}", "of {}", "out of {}", "from the {}", "by the {}", "in the {}"),
    *("about the {}", "for the {}", "for {}", "made by {}", "made in {}", "made of {}", "that comes from {}", "via {}"),
    *("on the {}", "at the {}", "concerning {}", "regarding {}", "related to {}", "based in {}", "around {}"),
    *(
        "{}-style",
        "from the people of {}",
        "published by {}",
        "coming from {}",
        "that has {}",
        "as {}",
        "to do with {}",
    ),
)
NOT_NAMED = (
    *("not from {}", "nothing from {}", "nothing by {}", "nothing in {}", "not by {}", "not in {}", "not for {}"),
    *("nothing from the {}", "except from {}", "but not from the {}", "anything but from {}", "nothing to do with {}"),
    *("not made by {}", "nothing made in {}", "nothing for {}", "that isn't from {}", "not on {}", "nothing about {}"),
)
OF_ITS_COLUMN = ("{name} {column}", "{column} {name}", "{column}: {name}", "of the {name} {column}", "{name}-{column}")
SOME_OF_THEM = (
    *(
        "mainly {}",
        "mostly {}",
        "at least {number} {}",
        "{number} of them {}",
        "half of them {}",
        "a few {}",
        "some {}",
    ),
    *(
        "just {number} {}",
        "one in {number} should be {}",
        "the majority {}",
        "at least half {}",
        "{} mostly",
    ),
    *("{number} or more {}", "several {}", "plenty of {}", "a couple of {}", "lots of {}", "many {}", "primarily {}"),
    *(
        "every other one {}",
        "a good many {}",
        "above all {}",
        "{number} {}",
        "one {} among them",
        "for the most part {}",
    ),
    *("at least one {}", "at least a third {}", "predominantly {}", "{} in the main", "most of them {}", "largely {}"),
    *(
        "the bulk {}",
        "a handful of {}",
        "{number} should be {}",
        "as many {} as possible",
        "{number} at least {}",
    ),
)
"""What is said where only some of what is shown need be so."""
FEW = ("two", "three", "four", "five", "six", "2", "3", "4", "5", "6")
WITH_TOO = (
    *("nothing but {}", "only {}", "{} only", "I love {}", "I like {}", "I'm into {}", "a fan of {}"),
    *("I'm a fan of {}", "keen on {}", "fond of {}", "in the mood for {}", "up for {}", "I feel like {}"),
    *("I want {}", "I need {}", "interested in {}", "can't get enough of {}", "as long as it's {}"),
    *("provided it's {}", "if it is {}", "it must be {}", "it has to be {}", "it should be {}", "make it {}"),
    *("preferably {}", "ideally {}", "definitely {}", "strictly {}", "{} is a must", "{} is what I want"),
    *("{} is my thing", "include {}", "including {}", "keep the {}", "more {}", "not without {}", "heavy on the {}"),
    *("show me {}", "bring on {}", "bring me {}", "back to {}", "nothing else than {}"),
)
# The common ways, and after them less common ones.
WITHOUT = (
    *("no {}", "not {}", "without {}", "without any {}", "but not {}", "but no {}", "and no {}", "nothing {}"),
    *("no more {}", "except {}", "other than {}", "anything but {}", "apart from {}", "excluding {}", "avoid {}"),
    *("skip {}", "that isn't {}", "that are not {}", "I hate {}", "I don't like {}", "I don't want {}"),
    *("instead of {}", "please no {}", "never {}"),
)
WITHOUT_TOO = (
    *("with no {}", "none of the {}", "non {}", "{}-free", "free of {}", "devoid of {}", "lacking {}", "minus {}"),
    *("minus the {}", "sans {}", "zero {}", "except for {}", "excepting {}", "exclude {}", "bar {}", "barring {}"),
    *("save for {}", "aside from {}", "outside of {}", "everything but {}", "all but {}", "anything except {}"),
    *("everything except {}", "anything other than {}", "whatever but {}", "rather than {}", "as opposed to {}"),
    *("far from {}", "the opposite of {}", "nothing like {}", "but nothing {}", "just not {}", "just no {}"),
    *("only no {}", "not too {}", "nothing with {}", "nothing about {}", "nothing too {}", "nothing that is {}"),
    *("none with {}", "not another {}", "not one more {}", "enough {}", "enough of {}", "enough with the {}"),
    *("neither {}", "hardly any {}", "not even a little {}", "not a single {}", "no {} whatsoever", "no {} at all"),
    *("that's not {}", "which is not {}", "that doesn't have {}", "that has no {}", "that lacks {}"),
    *("that doesn't contain {}", "that won't be {}", "which aren't {}", "that avoids {}", "as long as it isn't {}"),
    *("as long as it's not {}", "so long as it has no {}", "provided it isn't {}", "if it isn't {}"),
    *("unless it's {}", "it can't be {}", "it must not be {}", "it shouldn't be {}", "don't make it {}"),
    *("avoiding {}", "skip the {}", "skipping {}", "drop {}", "drop the {}", "leave out {}", "leave the {} out"),
    *("leaving out {}", "leave {} aside", "omit {}", "hold the {}", "hold {}", "remove {}", "ditch {}"),
    *("ditch the {}", "lose the {}", "cut {}", "cut out the {}", "cut the {}", "rule out {}", "filter out {}"),
    *("weed out {}", "throw out {}", "take out {}", "take away the {}", "get rid of {}", "do away with {}"),
    *("scrap {}", "forget {}", "forget about {}", "never mind {}", "spare me {}", "spare me the {}"),
    *("save me from {}", "ban {}", "block {}", "hide {}", "hide all {}", "dismiss {}", "ignore {}", "reject {}"),
    *("refuse {}", "eliminate {}", "keep away from {}", "stay away from {}", "steer clear of {}", "stay clear of {}"),
    *("keep {} out of it", "keep {} away", "keep out {}", "pass on {}", "easy on the {}", "go without {}"),
    *("stop showing me {}", "stop with {}", "stop the {}", "quit showing {}", "please not {}", "don't show me {}"),
    *("don't give me {}", "don't include {}", "don't suggest {}", "don't bring {}", "do not recommend {}"),
    *("do not want {}", "I dislike {}", "I detest {}", "I loathe {}", "I do not like {}", "I don't enjoy {}"),
    *("I never liked {}", "I don't care for {}", "I don't need {}", "I don't watch {}", "I can't stand {}"),
    *("I can't bear {}", "I cannot take {}", "I can't handle {}", "I can do without {}", "I could do without {}"),
    *("I'd rather not see {}", "I'd rather skip {}", "rather not {}", "preferably not {}", "ideally not {}"),
    *("I won't watch {}", "I refuse to watch {}", "I'm not into {}", "not into {}", "not a fan of {}"),
    *("no fan of {}", "not keen on {}", "not fond of {}", "not crazy about {}", "not interested in {}"),
    *("no interest in {}", "not in the mood for {}", "not up for {}", "don't feel like {}", "no desire for {}"),
    *("no need for {}", "no time for {}", "no thanks to {}", "{}, no thanks", "{}? no", "no to {}", "tired of {}"),
    *("I'm tired of {}", "sick of {}", "sick and tired of {}", "fed up with {}", "bored with {}", "bored of {}"),
    *("weary of {}", "had enough of {}", "had my fill of {}", "seen enough {}", "seen too much {}", "too much {}"),
    *("too many {}", "done with {}", "over {}", "afraid of {}", "allergic to {}", "{} is out", "{} is off the table"),
    *("{} is not for me", "{} isn't my thing", "{} is a no", "{} is a no-go", "{} puts me off", "{} bores me"),
    *("{} won't do", "{} doesn't interest me", "{} is not what I want", "{} not wanted", "{} not allowed"),
    *("none of that {}", "none of this {}", "against {}"),
)
_WHO = ("I", "we")
_WANT = ("want", "would like", "need", "like", "prefer", "wish for", "asked for", "love", "enjoy", "care for")
_DO_NOT_WANT = (
    *("don't want", "do not want", "wouldn't like", "don't need", "don't like", "would rather not have", "hate"),
    *("didn't ask for", "never want", "no longer want", "can't stand", "don't enjoy", "don't care for", "dislike"),
)
_WHAT = (
    *("{}", "it to be {}", "them to be {}", "it to have {}", "it being {}", "to see {}", "to watch {}", "watching {}"),
    *("anything {}", "something {}", "films that are {}", "a film with {}", "one that is {}", "to get {}"),
)
_IT = ("is {}", "are {}", "has {}", "feels {}", "contains {}", "shows {}", "has anything {} in it", "is about {}")
# The same sentences with and without a "not", so that nothing else in them tells the two apart.
WISHING = (
    *(f"{who} {want} {what}" for who in _WHO for want in _WANT for what in _WHAT),
    *(f"{which} {it}" for which in ("that", "which", "if it", "provided that it", "as long as it") for it in _IT),
    *(f"{let} {{}}" for let in ("make it", "let it be", "it should be", "it must be", "it can be", "it better be")),
)
REFUSING = (
    *(f"{who} {want} {what}" for who in _WHO for want in _DO_NOT_WANT for what in _WHAT),
    *(f"{which} {it}" for which in ("unless it", "except if it", "but not if it", "not one that") for it in _IT),
    *(f"{which} {it}" for which in ("that never", "not anything that", "nothing that", "none that") for it in _IT),
    *(
        f"{let} {{}}"
        for let in ("don't make it", "don't let it be", "it shouldn't be", "it must not be", "it can't be")
    ),
    *(
        f"{let} {{}}"
        for let in ("it should not be", "it better not be", "it cannot be", "it won't be", "may it not be")
    ),
)
HIGH = ("high {}", "a high {}", "very high {}", "great {}", "more {}", "good {}", "with a lot of {}", "much {}")
HIGHEST = ("highest {}", "the best {}", "top {}", "the highest {}", "the most {}", "maximum {}", "the greatest {}")
LOW = ("low {}", "a low {}", "very low {}", "little {}", "less {}", "not much {}", "poor {}", "with a small {}")
LOWEST = ("lowest {}", "the least {}", "the smallest {}", "the lowest {}", "minimum {}", "the worst {}")
# What much and little of common columns is called, by the column's name: the share of items meant, and words.
_WELL_KNOWN = (
    *("popular", "well-known", "well known", "famous", "mainstream", "widely seen", "very popular", "big", "hit"),
    *("widely watched", "much seen", "blockbuster", "celebrated", "familiar", "successful", "commonly seen"),
    *("that everybody knows", "that everyone has seen", "that many people watch", "that most people have heard of"),
    *("liked by many", "a lot of people know", "with a big audience", "a crowd-pleaser", "a household name", "hits"),
    *("crowd favorite", "trending", "talked-about", "big-name", "a hit with audiences", "watched by millions"),
)
_BEST_KNOWN = (
    *(
        "most popular",
        "most famous",
        "best known",
        "best-known",
        "most watched",
        "most seen",
        "biggest",
        "the biggest hit",
    ),
    *(
        "the most popular",
        "the most famous",
        "the most watched",
        "the best known",
        "extremely popular",
        "hugely popular",
    ),
    *("that everyone on earth has seen", "the most widely seen", "most viewed", "all-time favorite", "super famous"),
    *("the biggest blockbuster", "most talked-about", "number one", "chart-topping", "the most mainstream"),
)
_OBSCURE = (
    *("obscure", "little-known", "little known", "unknown", "unpopular", "overlooked", "niche", "rare", "forgotten"),
    *(
        "lesser-known",
        "lesser known",
        "rarely seen",
        "hidden",
        "not so popular",
        "underground",
        "unfamiliar",
        "hidden gem",
    ),
    *("that nobody knows", "that hardly anyone has seen", "few people have seen", "off the beaten path", "underrated"),
    *("that flew under the radar", "not well known", "not famous", "not mainstream", "unheard-of", "under-the-radar"),
    *(
        "nobody talks about",
        "I have never heard of",
        "not many people know",
        "that most people missed",
        "unseen",
        "cult",
    ),
    *("not a blockbuster", "that isn't popular", "out of the way", "not too well known", "less popular", "no hit"),
)
_MOST_OBSCURE = ("most obscure", "least known", "least popular", "the most obscure", "the least known", "least famous")
_LOVED = (
    *(
        "highly rated",
        "well rated",
        "well-rated",
        "acclaimed",
        "praised",
        "great",
        "critically acclaimed",
        "well-liked",
    ),
    *("well reviewed", "high-rated", "well received", "well-received", "high quality", "well-reviewed", "beloved"),
    *("really good", "very good", "recommended", "that people rate highly", "with good reviews", "with high ratings"),
    *("with great reviews", "with a high rating", "that critics like", "that got good ratings", "highly acclaimed"),
    *("that viewers love", "with good ratings", "quality", "much loved", "highly regarded", "highly recommended"),
)
_MOST_LOVED = (
    *("best rated", "best-rated", "top rated", "top-rated", "highest rated", "highest-rated", "outstanding", "best"),
    *("excellent", "the best", "the very best", "the greatest", "masterpiece", "brilliant", "superb", "top notch"),
    *("the highest rated", "the top rated", "best reviewed", "top", "most acclaimed", "most praised", "greatest"),
    *("with the best ratings", "with the highest ratings", "with excellent reviews", "best of the best", "must-see"),
    *("most loved", "best ever", "finest", "amazing", "perfect", "all-time best", "with outstanding reviews"),
)
_LIKED = (
    *("good", "decent", "fairly good", "not bad", "above average", "okay or better", "solid", "pretty good", "fine"),
    *("reasonably good", "well made", "with decent ratings", "with decent reviews", "that isn't bad", "worth watching"),
)
_DISLIKED = (
    *("badly rated", "poorly rated", "low-rated", "bad", "terrible", "awful", "panned", "badly reviewed", "lousy"),
    *("low rated", "with bad reviews", "with low ratings", "so bad it's good", "that critics hated", "mediocre"),
)
_WORST = ("worst", "the worst", "worst rated", "lowest rated", "the lowest rated", "worst reviewed", "the very worst")
CALLED: Mapping[str, tuple[Mapping[float, Sequence[str]], Mapping[float, Sequence[str]]]] = {
    "popularity": ({0.15: _WELL_KNOWN, 0.03: _BEST_KNOWN}, {0.3: _OBSCURE, 0.1: _MOST_OBSCURE}),
    "rating": ({0.2: _LOVED, 0.05: _MOST_LOVED, 0.35: _LIKED}, {0.3: _DISLIKED, 0.05: _WORST}),
    "reliability": (
        {
            0.2: (
                *(
                    "reliable",
                    "trustworthy",
                    "dependable",
                    "credible",
                    "solid",
                    "that I can trust",
                    "that can be trusted",
                ),
                *("that I can rely on", "well checked", "accurate", "serious", "reputable"),
            ),
            0.05: ("most reliable", "the most reliable", "most trustworthy", "the most dependable"),
        },
        {
            0.3: ("unreliable", "dubious", "not to be trusted", "untrustworthy", "doubtful", "shaky"),
            0.05: ("least reliable", "the least reliable", "the most dubious"),
        },
    ),
    "size": ({0.15: ("big", "large", "huge"), 0.05: ("biggest",)}, {0.3: ("small", "little", "tiny")}),
}
MORE_OF = {
    "popularity": (("popular", "famous", "mainstream", "well known"), ("obscure", "unknown", "niche", "underground")),
    "rating": (("acclaimed", "praised", "highly rated"), ("poorly rated", "badly rated", "low-rated")),
    "reliability": (("reliable", "trustworthy", "credible"), ("dubious", "doubtful")),
    "size": (("spacious", "bulky"), ("compact", "tiny")),
}
"""What follows "more" and "less" for much and for little of a column."""
THAN = (
    *("{words} than the {place} one", "like the {place} one but {words}", "the {place} one, only {words}"),
    *("{words} than the {place}", "like the {place}, just {words}", "the {place} but {words}"),
    *("the {place} is almost it, could it be {words}", "{words} compared with the {place} one"),
    *("I liked the {place}, now {words} ones", "the {place} would do if only it was {words}"),
    *("similar to the {place} one, {words} though", "one that's {words} than the {place}"),
    *("the {place} one is nice, but give me {words}", "in the style of the {place} one, yet {words}"),
)
THAN_NUMBER = (
    *("{words} than number {place}", "like number {place} but {words}", "number {place}, only {words}"),
    *("{words} than #{place}", "like no. {place}, just {words}", "number {place} is good, can it be {words}"),
    *("I liked number {place}, now {words} ones", "number {place} would do if only it was {words}"),
    *("similar to number {place}, {words} though", "{words} compared with number {place}"),
)
MORE_AND_LESS = (("higher {}", "more {}", "better {}"), ("lower {}", "less {}", "worse {}"))
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "last")
ORDINALS_IN_DIGITS = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th", "last")
ADDING = (
    *("also {}", "and {}", "but {}", "{} too", "one more thing: {}", "{}, otherwise fine", "the same but {}", "oh, {}"),
    *("I forgot: {}", "the same, {}", "fine, but {}", "these, but {}", "almost, but {}", "besides, {}", "only {}"),
    *("by the way, {}", "oh and {}", "what's more, {}", "nice, now {}", "plus {}", "{} as well", "keep those, but {}"),
    *("I'd add {}", "one thing: {}", "better {}", "could they be {}", "those, just {}", "not quite: {}", "rather {}"),
    *(
        "ok, and {}",
        "I should add: {}",
        "closer, but {}",
        "good, though {}",
        "on top of that {}",
        "then {}",
        "except {}",
    ),
    *(
        "wait, {}",
        "actually, {}",
        "sorry, {}",
        "hold on, {}",
        "I meant {}",
        "let me add {}",
        "in addition {}",
        "no, {}",
    ),
)
OF_IT = (
    *("make it {}", "let it be {}", "it should be {}", "it must be {}", "it has to be {}", "I want it {}", "{}", "{}"),
    *(
        "make them {}",
        "let them be {}",
        "they should be {}",
        "they have to be {}",
        "I'd like it to be {}",
        "{}, please",
    ),
    *("it needs to be {}", "can it be {}", "I want it to be {}", "as long as it is {}", "give me {}", "I want {}"),
)
NEUTRAL = (
    *("more", "more please", "go on", "next", "another one", "anything", "show me more", "more like these", "again"),
    *("what else", "keep going", "continue", "some more", "other ones", "what do you have", "next page", "a few more"),
    *("anything else", "ok", "hmm", "something else", "more of the same", "any others", "and then", "other options"),
    *("further suggestions", "a different one", "keep them coming", "what else do you have", "what else is there"),
    *("got more", "let me see others", "can I see more", "I've seen those", "the next ones", "do you have others"),
    *("not these", "none of these", "I know these already", "try again", "others please", "more ideas", "carry on"),
    *("what other ones are there", "show me the rest", "is that all", "any more", "not quite", "go ahead", "yes"),
    *("no", "nice", "thanks", "that's good", "like that", "great, more", "fine, go on", "I'm still looking", "hm, no"),
    *("not really what I meant", "you can do better", "keep looking", "seen it", "seen them all", "more of those"),
    *("bring me more", "give me some others", "different ones please", "and what else", "the same again", "refresh"),
)
IDLE = (
    *("a film", "a movie", "something good", "surprise me", "what do you suggest", "hello", "you choose", "whatever"),
    *(
        "hi",
        "good evening",
        "I'm bored",
        "help me choose",
        "what should we watch",
        "pick one for me",
        "any film will do",
    ),
    *("I don't know what to watch", "what's on", "anything you like", "recommend something", "I have two hours"),
    *("what can you recommend", "entertain me", "I'm open to anything", "no preference", "what do you have for me"),
)

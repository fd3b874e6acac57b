"""Recorded dialogues of people and recommenders, read from the formats they come in, and titles found in a catalogue.

`read_dialogues` tells by a file's content which of three formats it has:

* **IARD** (JSON, a list of conversations whose utterances carry dialogue acts). A user's act ``ACC`` accepts the titles
  it names; where it names none, those that the recommender offered last (``REC-S``, ``REC-E``), of these the ones that
  the conversation's ``accepted_recommendations`` list, if any. ``REJ`` rejects likewise. Every act of the user is kept
  as a mark, the critiques among them: ``CRI-F`` (of a feature), ``CRI-A`` (adds a wish), ``CRI-C`` (compares).
* **CrossWOZ** (JSON, or a ``.zip`` of it: a mapping of dialogues to messages). A user accepts a place when its name
  enters the user's state after the system named it. Marks are the intents of the user's acts.
* **JSON Lines** of our own (``.jsonl``), one dialogue a line:

      {"name": "d1", "utterances": [{"text": "a heist film"},
                                    {"text": "that one!", "accepted": ["Heat (1995)"], "marks": ["ACC"]}]}

  An utterance has a ``text`` and, where known, lists of items that the user ``mentioned``, ``accepted`` or
  ``rejected`` in it, that the recommender ``offered`` just before it, and ``marks``. An item is a title as people say
  it, with or without its year, or ``id:`` and its id in the catalogue.

References:
    Cai and Chen (2020), Predicting user intents and satisfaction with dialogue-based conversational recommendations,
    UMAP (IARD); Zhu et al. (2020), CrossWOZ: a large-scale Chinese cross-domain task-oriented dialogue dataset, TACL 8.
"""

from __future__ import annotations

import json
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from instructrec.catalogue import Catalogue
from instructrec.names import unknown_name
from instructrec.runs import write_text

_LISTS = ("mentioned", "accepted", "rejected", "offered", "marks")
_YEAR = re.compile(r"\s*\((\d{4})\)\s*$")
_ARTICLE = re.compile(r"^(.*), (the|a|an)$")
_FIRST = re.compile(r"^(?:the|an?)\s+(?=\S)")
_PLACES = ("景点", "餐馆", "酒店")
_PLACEHOLDER, _NONE = "出现在", "无"


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One thing a user said, and which items it concerned, as titles or ``id:`` and an id.

    Attributes:
        text: The words.
        mentioned: Items it names.
        accepted: Items it takes up.
        rejected: Items it turns down.
        offered: Items the recommender offered since the user last spoke.
        marks: The annotators' names for what it does, such as ``CRI-F`` for a critique.
    """

    text: str
    mentioned: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """What one user said in one recorded dialogue.

    Attributes:
        name: Its name, unique among those read together.
        utterances: What the user said, in order; at least one.
    """

    name: str
    utterances: tuple[Utterance, ...]


# --- Reading -----------------------------------------------------------------------------------------------------


def read_dialogues(path: str | Path) -> tuple[Dialogue, ...]:
    """Reads recorded dialogues of any of the three formats; those in which the user says nothing are left out.

    Args:
        path: A ``.jsonl`` file, a ``.json`` file, or a ``.zip`` archive of one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is none of the formats or broken; the message names the line or the dialogue, and the cure.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(file.name for file in path.iterdir() if file.suffix in (".json", ".jsonl", ".zip"))
        raise FileNotFoundError(f"{path} is a folder; name the file in it: {', '.join(files) or 'it holds none'}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give recorded dialogues as .jsonl, .json or .zip")
    source, text = _text(path)
    if path.suffix == ".jsonl":
        found = [_our_own(source, number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    else:
        try:
            document = json.loads(text)
        except json.JSONDecodeError as problem:
            raise ValueError(
                f"{source}, line {problem.lineno}: not JSON ({problem.msg}); one document per line is named .jsonl"
            ) from None
        found = _documents(source, document)
    spoken = tuple(dialogue for dialogue in found if dialogue.utterances)
    if not spoken:
        raise ValueError(f"{source} holds no dialogue in which a user says something; it needs at least one")
    names: set[str] = set()
    for dialogue in spoken:
        if dialogue.name in names:
            raise ValueError(f"{source}: two dialogues are called {dialogue.name!r}; give each a name of its own")
        names.add(dialogue.name)
    return spoken


def write_dialogues(path: str | Path, dialogues: Iterable[Dialogue]) -> None:
    """Writes dialogues as JSON Lines of our own, which `read_dialogues` reads back the same."""
    lines = []
    for dialogue in dialogues:
        said = [
            {name: value for name, value in asdict(one).items() if value or name == "text"}
            for one in dialogue.utterances
        ]
        lines.append(json.dumps({"name": dialogue.name, "utterances": said}, ensure_ascii=False))
    write_text(path, "\n".join(lines) + "\n")


def _text(path: Path) -> tuple[str, str]:
    source, content = str(path), path.read_bytes()
    if path.suffix == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                members = [name for name in archive.namelist() if name.endswith(".json")]
                if len(members) != 1:
                    raise ValueError(f"{path} holds {len(members)} .json files, expected one; unpack it and name one")
                source, content = f"{path}:{members[0]}", archive.read(members[0])
        except zipfile.BadZipFile as problem:
            raise ValueError(f"{path} is not a sound .zip archive ({problem}); download or pack it again") from None
    try:
        return source, content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise ValueError(f"{source}, line {line}: not UTF-8; save it as UTF-8") from None


def _documents(source: str, document: Any) -> list[Dialogue]:
    if isinstance(document, list) and all(isinstance(one, dict) and "conversation" in one for one in document):
        read, entries = _iard, [(f"conversation {one.get('conversation_id')}", one) for one in document]
    elif isinstance(document, dict) and all(isinstance(one, dict) and "messages" in one for one in document.values()):
        read, entries = _crosswoz, [(f"dialogue {name}", {**one, "name": name}) for name, one in document.items()]
    else:
        raise ValueError(
            f"{source} is neither IARD (a list of objects with 'conversation') nor CrossWOZ (an object of objects with "
            "'messages'); write dialogues of your own as .jsonl: see instructrec.envs.dialogues"
        )
    found = []
    for where, entry in entries:
        try:
            found.append(read(entry))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as problem:
            raise ValueError(
                f"{source}, {where}: {type(problem).__name__}: {problem}; correct it or remove the dialogue"
            ) from None
    return found


def _our_own(source: str, number: int, line: str) -> Dialogue:
    where = f"{source}, line {number}"
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as problem:
        raise ValueError(f"{where}: not JSON ({problem.msg}, column {problem.colno}); one dialogue a line") from None
    if not isinstance(entry, dict) or not isinstance(entry.get("utterances"), list):
        raise ValueError(f'{where}: expected an object such as {{"name": "d1", "utterances": [{{"text": "..."}}]}}')
    said = []
    for place, one in enumerate(entry["utterances"], 1):
        if not isinstance(one, dict) or not isinstance(one.get("text"), str):
            raise ValueError(f'{where}, utterance {place}: expected an object with a "text", got {one!r}')
        for key, value in one.items():
            if key not in ("text", *_LISTS):
                raise ValueError(f"{where}, utterance {place}: " + unknown_name("key", key, ("text", *_LISTS)))
            if key != "text" and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
                raise ValueError(f"{where}, utterance {place}: {key} is a list of texts, got {value!r}")
        said.append(Utterance(text=one["text"], **{key: tuple(one.get(key, ())) for key in _LISTS}))
    return Dialogue(name=str(entry.get("name", number)), utterances=tuple(said))


def _iard(entry: Mapping[str, Any]) -> Dialogue:
    # The list comes from a web address.
    left = [unquote(name).strip() for name in entry.get("metadata", {}).get("accepted_recommendations", ())]
    listed = {_bare(name) for name in left}
    said: list[Utterance] = []
    years: dict[str, str] = {}
    last: tuple[str, ...] = ()
    since: tuple[str, ...] = ()
    for one in entry["conversation"]:
        text, acts = one["utterance"], one["dialogue_acts"]
        titles = {act["intent"]: _titles(act, text, years) for act in acts}
        if one["participant"] == "AGENT":
            offered = _distinct(titles.get("REC-S", ()), titles.get("REC-E", ()))
            last, since = offered or last, _distinct(since, offered)
            continue
        accepted, rejected = titles.get("ACC", ()), titles.get("REJ", ())
        if "ACC" in titles and not accepted:
            open_to = tuple(name for name in last if name not in rejected)
            accepted = tuple(name for name in open_to if _bare(name) in listed) or open_to
        elif "REJ" in titles and not rejected and "ACC" not in titles:
            rejected = last
        taken = {_bare(name) for name in accepted}
        left = [name for name in left if _bare(name) not in taken]
        marks = tuple(act["intent"] for act in acts)
        said.append(
            Utterance(
                text=text, mentioned=_distinct(*titles.values()), accepted=accepted, rejected=rejected,
                offered=since, marks=marks,
            )
        )  # fmt: skip
        since = ()
    if left and said:
        # Accepted somewhere, by the record as a whole: on the last utterance that accepts, or else the last of all.
        place = max((place for place, one in enumerate(said) if one.accepted), default=len(said) - 1)
        kept = {**vars(said[place]), "accepted": _distinct(said[place].accepted, left)}
        said[place] = Utterance(**kept)
    return Dialogue(name=str(entry["conversation_id"]), utterances=tuple(said))


def _titles(act: Mapping[str, Any], text: str, years: dict[str, str]) -> tuple[str, ...]:
    """Returns the titles an act names, with their years where the utterance or an earlier one gives them."""
    found = []
    for slot, title, *_ in act["slot_values"]:
        if slot == "TITLE" and title:
            year = re.search(re.escape(title.strip()) + r"\s*\((\d{4})\)", text, re.IGNORECASE)
            name = f"{title.strip()} ({year[1]})" if year else years.get(_bare(title), title.strip())
            years[_bare(title)] = name
            found.append(name)
    return _distinct(found)


def _crosswoz(entry: Mapping[str, Any]) -> Dialogue:
    said: list[Utterance] = []
    offered: tuple[str, ...] = ()
    since: tuple[str, ...] = ()
    before: set[tuple[Any, ...]] = set()
    for one in entry["messages"]:
        acts = one["dialog_act"]
        names = [act[3] for act in acts if act[1] in _PLACES and act[2] in ("名称", *(f"周边{p}" for p in _PLACES))]
        named = _distinct(name for name in names if name not in ("", _NONE) and not name.startswith(_PLACEHOLDER))
        if one["role"] == "sys":
            offered, since = _distinct(offered, named), _distinct(since, named)
            continue
        state = {(goal[0], goal[3]) for goal in one["user_state"] if goal[1] in _PLACES and goal[2] == "名称"}
        taken = sorted(state - before, key=str)
        accepted = _distinct(name for _, name in taken if name in offered)
        before = state
        marks = _distinct(act[0] for act in acts)
        said.append(Utterance(text=one["content"], mentioned=named, accepted=accepted, offered=since, marks=marks))
        since = ()
    return Dialogue(name=str(entry["name"]), utterances=tuple(said))


def _distinct(*names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for some in names for name in some))


# --- Titles ------------------------------------------------------------------------------------------------------


class TitleIndex:
    """Finds a catalogue's items by what people call them.

    Case, accents, punctuation, blanks and articles do not count, and a title's alternatives in brackets count as titles
    too. A year must agree to within one, where both give one. Of several items the nearest year wins, then a whole
    title over an alternative, then the more popular.

    Args:
        catalogue: The items.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._ids = {name: item for item, name in enumerate(catalogue.item_ids)}
        self._popularity = catalogue.popularity
        self._entries: dict[str, list[tuple[int, int | None, int]]] = {}
        for item, title in enumerate(catalogue.titles):
            whole, *others, year = _parts(title)
            for rank, name in enumerate((whole, *others)):
                if key := _plain(name):
                    self._entries.setdefault(key, []).append((min(rank, 1), year, item))

    def find(self, name: str) -> int | None:
        """Returns the item that ``name`` means, a title or ``id:`` and an id; None where the catalogue has none."""
        if name.startswith("id:"):
            return self._ids.get(name.removeprefix("id:").strip())
        whole, *others, year = _parts(name)
        for said in (whole, *others):
            near = [
                (0 if year is None or its is None else abs(year - its), rank, -float(self._popularity[item]), item)
                for rank, its, item in self._entries.get(_plain(said), ())
                if year is None or its is None or abs(year - its) <= 1
            ]
            if near:
                return min(near)[-1]
        return None


def _parts(title: str) -> tuple[Any, ...]:
    """Returns a title without its year, its parts where it has alternatives in brackets, and last the year or None."""
    match = _YEAR.search(title)
    whole = title[: match.start()] if match else title
    main, *others = re.split(r" (?=\()", whole)
    parts = [main, *(re.sub(r"^\((?:a\.k\.a\. )?|\)$", "", other) for other in others)] if others else []
    return (whole, *parts, int(match[1]) if match else None)


def _bare(name: str) -> str:
    """Returns what two mentions of one title have in common, whether or not they give its year."""
    return _plain(_YEAR.sub("", name))


def _plain(name: str) -> str:
    """Returns a name without what people leave out or vary: case, accents, articles, punctuation, blanks."""
    lower = "".join(c for c in unicodedata.normalize("NFKD", name).casefold() if not unicodedata.combining(c)).strip()
    moved = _ARTICLE.match(lower)
    bare = _FIRST.sub("", lower if moved is None else moved[1]).replace("&", "and")
    return "".join(re.findall(r"\w+", bare))


def summary_of(dialogues: Sequence[Dialogue], catalogue: Catalogue) -> Mapping[str, Any]:
    """Returns how many dialogues, utterances, accepted items and marks there are, and how many items were found.

    Returns:
        ``dialogues``, ``utterances``; ``items`` and ``items_found`` of all the items named in any way; ``accepted`` and
        ``accepted_found`` of the accepted ones, per dialogue; ``with_target``, the dialogues of which an accepted item
        was found; ``not_found``, up to ten names that were not, the most frequent first; ``marks``, counts by name.
    """
    index, marks = TitleIndex(catalogue), dict[str, int]()
    missing, accepted, found, with_target = dict[str, int](), 0, 0, 0
    named: set[str] = set()
    for dialogue in dialogues:
        taken = _distinct(*(one.accepted for one in dialogue.utterances))
        known = sum(index.find(name) is not None for name in taken)
        accepted, found, with_target = accepted + len(taken), found + known, with_target + bool(known)
        for one in dialogue.utterances:
            here = _distinct(one.mentioned, one.accepted, one.rejected, one.offered)
            named.update(here)
            for name in here:
                if index.find(name) is None:
                    missing[name] = missing.get(name, 0) + 1
            for mark in one.marks:
                marks[mark] = marks.get(mark, 0) + 1
    return {
        "dialogues": len(dialogues),
        "utterances": sum(len(dialogue.utterances) for dialogue in dialogues),
        "items": len(named),
        "items_found": sum(index.find(name) is not None for name in named),
        "accepted": accepted,
        "accepted_found": found,
        "with_target": with_target,
        "not_found": tuple(sorted(missing, key=lambda name: (-missing[name], name))[:10]),
        "marks": marks,
    }

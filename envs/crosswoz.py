"""The places of CrossWOZ as a catalogue: hotels, restaurants and sights of Beijing, named in Chinese.

References:
    Zhu et al. (2020), CrossWOZ: a large-scale Chinese cross-domain task-oriented dialogue dataset, TACL 8; its data are
    published under the Apache licence 2.0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from instructrec.catalogue import Catalogue, Column

_TABLES = {"hotel": "价格", "restaurant": "人均消费", "attraction": "门票"}


def crosswoz_catalogue(folder: str | Path) -> Catalogue:
    """Reads the places from the dataset's ``database`` folder.

    The catalogue has the attributes ``domain`` (hotel, restaurant or attraction), ``kind`` (of a hotel), ``rating`` (0
    to 5) and ``price`` (yuan: a night, a head, or a ticket), missing where the dataset has none. Nobody counted who
    went where: everything is equally popular.

    Args:
        folder: Holds ``hotel_db.json``, ``restaurant_db.json`` and ``attraction_db.json``.

    Raises:
        FileNotFoundError: If one of the three is missing.
        ValueError: If one is broken.
    """
    places: list[tuple[str, str, dict[str, Any]]] = []
    for domain in _TABLES:
        path = Path(folder) / f"{domain}_db.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; give CrossWOZ's database folder, with its three _db.json")
        try:
            places += [(domain, str(name), dict(about)) for name, about in json.loads(path.read_text("utf-8"))]
        except (ValueError, TypeError) as problem:
            raise ValueError(
                f"{path} is not a list of [name, attributes] pairs ({problem}); download it again"
            ) from None
    prices = [_number(about.get(_TABLES[domain])) for domain, _, about in places]
    ratings = [_number(about.get("评分")) for _, _, about in places]
    columns = (
        Column.categorical("domain", [domain for domain, _, _ in places], tuple(_TABLES)),
        Column.categorical("kind", [about.get("酒店类型") for _, _, about in places]),
        Column.numeric("rating", ratings),
        Column.numeric("price", prices),
    )
    return Catalogue(
        columns={column.name: column for column in columns},
        titles=tuple(name for _, name, _ in places),
        texts=tuple(_text(name, about, _TABLES[domain]) for domain, name, about in places),
        item_ids=tuple(f"{domain}:{name}" for domain, name, _ in places),
        popularity=np.ones(len(places), np.float32),
    )


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _text(name: str, about: dict[str, Any], price: str) -> str:
    """Returns one sentence about a place in its own language."""
    said = [f"{key}{about[key]}" for key in ("酒店类型", price, "评分", "地址") if about.get(key) is not None]
    offers = [*about.get("推荐菜", ()), *about.get("酒店设施", ())][:8]
    return "，".join([f"{name}（{about.get('领域', '')}）", *said, *offers])

"""What SlatePPO's network is: its sizes, what it reads and knows, and where it starts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instructrec.agents.features import ItemFeatures
from instructrec.names import unknown_name

HISTORIES = ("sums", "attention")
"""Ways to read earlier turns."""


@dataclass(frozen=True, kw_only=True)
class ScorerConfig:
    """The network's sizes, what it reads and where it starts.

    Attributes:
        hidden: Width of the query's hidden layers.
        critic_hidden: Width of the critic's hidden layer.
        start_similarity: Weight of a text's similarity to the item texts at the start, per unit of cosine.
        start_wishes: Score at the start of an item that meets a wish over one that does not, as
            `instructrec.agents.wishes` reads it.
        start_slack: How much less than the best items an item may fit and still lack nothing, in the unit in which one
            thing asked for is 1.
        start_popularity: Weight of log popularity at the start, per standard deviation.
        start_stars: Weight of a predicted star at the start, where ratings are known.
        start_marks: Scores added at the start to items in the visible past, clicked, and shown this session. Training
            makes them larger or smaller but not another sign: set them to 0 where items are wanted again and again.
        item_bias: Whether each item has a learned score of its own.
        history: How earlier turns are read: by "sums" that fade, or by "attention" beside them, which finds what
            matters now; see `instructrec.agents.history`.
        reads_text: Whether it knows sentence vectors of what is said, and the items' texts.
        reads_attributes: Whether it knows wishes, and the items' attributes.
        reads_history: Whether it knows what was before: earlier instructions, the visible past, slates and clicks, and
            in them all that there is to know of an item. Marks stay without it: no agent shows the same again and
            again. Popularity and quality, and an item's own score, are everybody's.

    Raises:
        ValueError: If there is no such way to read the history, or attention has none to read.
    """

    hidden: int = 256
    critic_hidden: int = 128
    start_similarity: float = 10.0
    start_wishes: float = 20.0
    start_slack: float = 0.3
    start_popularity: float = 2.5
    start_stars: float = 3.0
    start_marks: tuple[float, float, float] = (-12.0, -12.0, -0.5)
    item_bias: bool = True
    history: str = "sums"
    reads_text: bool = True
    reads_attributes: bool = True
    reads_history: bool = True

    def __post_init__(self) -> None:
        if self.history not in HISTORIES:
            raise ValueError(unknown_name("way to read the history", self.history, HISTORIES))
        if self.history == "attention" and not self.reads_history:
            raise ValueError(
                "history=attention has nothing to attend to with reads_history=false; leave one of them out"
            )


def known_features(features: ItemFeatures, config: ScorerConfig) -> Tensor:
    """Returns the items' features, [num_items, width], with zeros for what is not to be known of them."""
    table = torch.from_numpy(features.table)
    known = {"sets": config.reads_attributes, "numbers": config.reads_attributes, "text": config.reads_text}
    known["factors"] = False  # Found in people's pasts: they are history.
    hidden = [block for name, block in features.blocks.items() if not (config.reads_history or known.get(name, True))]
    table = table.clone() if hidden else table
    for block in hidden:
        table[:, block] = 0
    return table

"""What a run takes over from another: how to read, and what was learned."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from instructrec import runs
from instructrec.agents.features import ItemFeatures
from instructrec.experiments.agent_files import WEIGHTS, read_features
from instructrec.experiments.headline import DEAF
from instructrec.experiments.trainers import SHAPE
from instructrec.runs import RunConfig, RunError
from instructrec.sessions import World


@dataclass(frozen=True)
class Beginning:
    """A trained network of another run.

    Attributes:
        features: What it knows of items, and how it reads.
        weights: The file of its weights.
        fingerprint: A hash of the weights.
    """

    features: ItemFeatures
    weights: Path
    fingerprint: str

    @classmethod
    def of(cls, run: str, world: World) -> Self:
        """Finds it in a run folder.

        Raises:
            RunError: If it is no run, was never saved, hears nobody, or knows other items or other slates than the
                world's.
        """
        config = RunConfig.read(run)
        if config.agent == DEAF:
            raise RunError(f"{run} never heard anybody; begin with a run that did")
        if config.catalogue and config.catalogue != world.catalogue.fingerprint:
            raise RunError(
                f"{run} knows the items of {config.world} ({config.catalogue}), and those of {world.name} are others "
                f"({world.catalogue.fingerprint}); take a run of the same items"
            )
        shape = runs.read_json(Path(run) / SHAPE)
        if shape["slate_size"] != world.slate_size:
            raise RunError(
                f"{run} fills slates of {shape['slate_size']}, and those of {world.name} have {world.slate_size} places"
            )
        found = runs.latest_checkpoint(run)
        if found is None:
            raise RunError(f"{run} holds no checkpoint yet: it was stopped before the first; resume it")
        weights = found.folder / WEIGHTS
        return cls(read_features(run), weights, hashlib.sha256(runs.read_bytes(weights)).hexdigest()[:16])

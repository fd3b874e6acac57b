"""Commands about logs: recorded turns with the probability of all that was shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional

from instructrec.experiments.commands import (
    AmongPeople,
    Answer,
    Command,
    Settings,
    UserError,
    allow_imports,
    at_least,
    listed,
    metavar,
    settings,
    texts,
    whole_numbers,
    world_name,
)

if TYPE_CHECKING:
    from instructrec.experiments.ope import Question
    from instructrec.experiments.progress import Narrator


@dataclass(frozen=True, kw_only=True)
class Log(AmongPeople):
    """Record sessions as Parquet files, with the probability of every item shown: for policy experiments offline.

    A killed recording goes on where it stood when it is run again.
    """

    policy: Annotated[str, metavar("NAME")]
    """Who shows the slates: random, popularity, bm25, cosine or parser, or NAME=RUN from a run folder. Slates are drawn
    from its scores, position by position (Plackett-Luce)."""
    sessions: int
    """How many sessions."""
    out: Path
    """Folder for manifest.json and the files of turns."""
    temperature: float = 1.0
    """What scores are divided by before slates are drawn: lower shows the best items more often."""
    deterministic: bool = False
    """Show the best items, always; such a log says nothing about other policies."""
    truth: bool = False
    """Keep what is hidden from agents too, in files apart: satisfaction, trust, how far goals are met, true utility."""
    split: Literal["train", "validation"] = "train"
    """Whose people and phrasings."""
    final: bool = False
    """Record the test people and phrasings instead."""
    seed: int = 0
    """The sessions' seed."""
    sessions_per_shard: int = 2048
    """How many sessions a file holds."""

    def run(self, narrator: Narrator) -> Answer:
        """Records."""
        if not self.temperature > 0:
            raise UserError(f"--temperature must be above 0, got {self.temperature:g}; --deterministic is without luck")
        from instructrec.experiments.log_sessions import log_sessions, to_text

        document = log_sessions(
            world_name(self.world),
            self.policy,
            out=self.out,
            sessions=at_least(1, "sessions", self.sessions),
            temperature=self.temperature,
            deterministic=self.deterministic,
            truth=self.truth,
            world_settings=self.world_settings(),
            split="test" if self.final else self.split,
            seed=at_least(0, "seed", self.seed),
            sessions_per_shard=at_least(1, "sessions-per-shard", self.sessions_per_shard),
            narrator=narrator,
        )
        return Answer(document=document, text=to_text(document))


@dataclass(frozen=True, kw_only=True)
class ImportLog(Command):
    """Import what a system of yours logged, or the Open Bandit Dataset, as a log.

    A table has a row for every shown item, or one for every slate with lists in its cells; CSV or Parquet.
    """

    files: Annotated[Positional[tuple[Path, ...]], metavar("FILES")]
    """Tables, parts of one log; for open-bandit the folder of one campaign."""
    out: Path
    """Folder for manifest.json and the files of turns."""
    format: Literal["table", "open-bandit"] = "table"
    """What the files are."""
    columns: Settings = ()
    """Which column means what, where it is not called so: session=visit turn=n item=sku position=rank
    propensity=p (or log_propensity=lp) reward=euros clicked=c person=uid instruction=query; for slates in one row
    slate=skus instead of item and position."""
    items: Annotated[Path | None, metavar("FILE")] = None
    """A table of all items that might have been shown (item_id, title); those that occur when omitted."""
    policy: str = "logged"
    """What the policy that showed the items is called."""

    def run(self, narrator: Narrator) -> Answer:
        """Imports."""
        from instructrec.experiments.exchange import import_files, imported_text

        document = import_files(
            self.files,
            self.out,
            data_format=self.format,
            columns=texts(self.columns),
            items=self.items,
            policy=self.policy,
            narrator=narrator,
        )
        return Answer(document=document, text=imported_text(document))


@dataclass(frozen=True, kw_only=True)
class ExportLog(Command):
    """Write a log for other programs: Minari, Open Bandit Pipeline, RecBole, or a plain table."""

    log: Annotated[Positional[Path], metavar("LOG")]
    """The log's folder."""
    format: Literal["minari", "obp", "recbole", "table"]
    """minari: HDF5, in a folder NAME-vN. obp: bandit feedback, NAME.npz. recbole: atomic files, in a folder. table:
    a row for every shown item, NAME.csv."""
    out: Path
    """The file or folder."""
    overwrite: bool = False
    """Replace the files if they are there."""

    def run(self, narrator: Narrator) -> Answer:
        """Exports."""
        from instructrec.experiments.exchange import export_files, exported_text

        document = export_files(self.log, self.format, self.out, overwrite=self.overwrite, narrator=narrator)
        return Answer(document=document, text=exported_text(document))


@dataclass(frozen=True, kw_only=True)
class AboutLog(Command):
    """What commands share that ask a log about policies."""

    log: Annotated[Positional[Path], metavar("LOG")]
    """A folder that `instructrec log` recorded."""
    policies: Annotated[str, metavar("NAMES")]
    """Policies, separated by commas: NAME, or NAME=RUN from a run folder; with @T behind it for a temperature of its
    own, such as popularity@0.5. Each draws slates from its scores, as in `instructrec log`. On an imported log: random,
    NAME=FILE with the probabilities of a policy of yours, or NAME=LOG."""
    temperature: float = 1.0
    """What scores are divided by, of policies without @T; lower shows the best items more often."""
    slates: bool = False
    """Take each slate by itself, in the states that the log visited; so it always is where sessions have one turn."""
    same_people: bool = False
    """Make intervals of these people again, in fresh sessions, instead of others like them; they are shorter."""
    truth: bool = False
    """Play the policies in the world, too: the truth beside the estimates, in fresh sessions of the same people."""
    truth_sessions: int = 2000
    """How many sessions the truth is measured on."""
    population: Annotated[str, metavar("MODULE:NAME")] = ""
    """The place of the log's people where they are code of yours, package.module:Name."""

    def question(self) -> Question:
        """Returns what is asked."""
        from instructrec.experiments.ope import Question

        if not 0 < self.temperature < float("inf"):
            raise UserError(f"--temperature must be above 0 and finite, got {self.temperature:g}")
        if not listed(self.policies):
            raise UserError("--policies names none; give some, such as --policies popularity,bm25@0.5")
        allow_imports(self.population)
        return Question(
            policies=tuple(listed(self.policies)),
            temperature=self.temperature,
            slates=True if self.slates else None,
            same_people=self.same_people,
            truth=self.truth,
            truth_sessions=at_least(2, "truth-sessions", self.truth_sessions),
            population=self.population,
        )


@dataclass(frozen=True, kw_only=True)
class Ope(AboutLog):
    """Evaluate policies on a log of another one (off-policy evaluation), and say which estimates to trust.

    Estimates come with intervals, and one is chosen for each policy without the truth.
    """

    all: bool = False
    """Show every estimator."""

    def run(self, narrator: Narrator) -> Answer:
        """Evaluates."""
        from instructrec.experiments.ope import ope
        from instructrec.experiments.ope_text import to_text

        document = ope(self.log, self.question(), narrator)
        return Answer(document=document, text=to_text(document, every=self.all))


@dataclass(frozen=True, kw_only=True)
class Select(AboutLog):
    """Pick the policy to deploy from a log: the largest gain in the worst case, or the one that logged."""

    def run(self, narrator: Narrator) -> Answer:
        """Picks."""
        from instructrec.experiments.ope import select
        from instructrec.experiments.ope_text import select_text

        document = select(self.log, self.question(), narrator)
        return Answer(document=document, text=select_text(document))


@dataclass(frozen=True, kw_only=True)
class OpeStudy(AmongPeople):
    """Ask how good off-policy evaluation is: estimates from many fresh logs beside what policies truly earn.

    A killed study goes on where it stood; one with more logs keeps those it has.
    """

    policy: Annotated[str, metavar("NAME")]
    """Who logs: an agent by name, or NAME=RUN from a run folder."""
    policies: Annotated[str, metavar("NAMES")]
    """Who is evaluated, separated by commas: NAME or NAME=RUN, with @T behind it for a temperature other than 1."""
    out: Path
    """Folder for results.json, ope_study.md and pictures."""
    temperature: float = 1.0
    """The temperature of the policy that logs."""
    sessions: str = "500,2000,8000"
    """How many sessions the logs hold, sizes separated by commas."""
    logs: str = "20"
    """How many logs of each size: one number, or one for each size."""
    grid: Annotated[Settings, metavar("NAME=VALUE,...")] = ()
    """Settings of the world with several values, such as slate_size=3,5 candidates=50,100; each combination is a world
    of its own."""
    truth_sessions: int = 20_000
    """On how many fresh sessions the truth is measured."""
    independent: bool = False
    """Use the estimator independent_ips on small logs, too; it takes most of the time then."""
    keep_logs: bool = False
    """Keep the logs, in the folder logs."""
    split: Literal["train", "validation"] = "train"
    """Whose people and phrasings."""
    final: bool = False
    """Use the test people and phrasings instead."""
    seed: int = 0
    """The seed of the truth's sessions; logs have those that follow."""

    def run(self, narrator: Narrator) -> Answer:
        """Studies."""
        if not 0 < self.temperature < float("inf"):
            raise UserError(f"--temperature must be above 0 and finite, got {self.temperature:g}")
        from instructrec.experiments.ope_study import Study, ope_study
        from instructrec.experiments.ope_study_page import to_text

        study = Study(
            world=world_name(self.world),
            policy=self.policy,
            temperature=self.temperature,
            policies=tuple(listed(self.policies)),
            sizes=whole_numbers("sessions", self.sessions),
            logs=whole_numbers("logs", self.logs),
            world_settings=self.world_settings(),
            grid={name: _several(name, text) for name, text in texts(self.grid).items()},
            truth_sessions=self.truth_sessions,
            marginals=self.independent,
            split="test" if self.final else self.split,
            seed=at_least(0, "seed", self.seed),
        )
        document = ope_study(study, out=self.out, keep_logs=self.keep_logs, narrator=narrator)
        return Answer(document=document, text=f"{to_text(document)}\n\nPage and pictures: {self.out}")


def _several(name: str, given: str) -> list[Any]:
    return [settings([f"{name}={value}"])[name] for value in listed(given)]

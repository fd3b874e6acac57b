"""Choosing an agent's settings on validation people: seeded, with its budget recorded, and going on after a kill.

Settings are drawn by Optuna's tree-structured Parzen estimator; the defaults are tried first. Each trial trains the
agent with the same seed on the same people and measures its mean return in the same validation sessions. Those are not
the ones that a comparison plays by default, and the test split is never read.

References:
    Bergstra et al. (2011), Algorithms for hyper-parameter optimization, NeurIPS; Akiba et al. (2019), Optuna: a
    next-generation hyperparameter optimization framework, KDD, arXiv 1907.10902.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from instructrec import runs
from instructrec.agents.encoder import check_reads, load_encoder
from instructrec.agents.extras import extra_module
from instructrec.agents.learners import Ground, Learner, learner
from instructrec.agents.own_log import read_log
from instructrec.agents.recording import Regime
from instructrec.experiments.competitors import world_of
from instructrec.experiments.evaluation import evaluate
from instructrec.experiments.learners import reader_for
from instructrec.experiments.outputs import command_line, versions
from instructrec.experiments.progress import Narrator, clock
from instructrec.experiments.train import LOG
from instructrec.experiments.trainers import configured
from instructrec.runs import RunError
from instructrec.sessions import Sessions

RESULT, JOURNAL = "tuning.json", "trials.journal"
SESSION_SEED = 50_000
"""Added to the seed for the validation sessions of trials."""


def tuned_learner(name: str) -> Learner:
    """Returns what can be tuned, by name.

    Raises:
        ValueError: If there is none of that name (the nearest is suggested), or nothing about it can be tuned.
    """
    kind = learner(name)
    if not kind.space:
        raise ValueError(f"{name} names no settings that tuning may choose")
    return kind


def tune(
    world_id: str,
    agent: str,
    *,
    trials: int,
    steps: int,
    out: str | os.PathLike[str],
    sessions: int = 300,
    seed: int = 0,
    world_settings: Mapping[str, Any] | None = None,
    encoder: str = "minilm",
    regime: str = Regime.FIXED,
    own_log: str = "",
    narrator: Narrator,
) -> dict[str, Any]:
    """Tunes an agent, and writes what came of it into a folder; a folder that holds the same study goes on.

    Args:
        world_id: The world.
        agent: What to tune: one of `instructrec.agents.learners.LEARNERS`.
        trials: How many settings to try, those that the folder holds included.
        steps: User-steps of each trial.
        out: The folder.
        sessions: Validation sessions that each trial is measured in.
        seed: Of training, of the sessions and of what is drawn.
        world_settings: The world's settings.
        encoder: The language model.
        regime: Where logs come from: "fixed", "rounds" or "own".
        own_log: The run folder with SlatePPO's log, for "own".
        narrator: Is told what is happening.

    Returns:
        The document in ``tuning.json``: what was tuned and how, every trial, the best, the budget spent.

    Raises:
        ImportError: If Optuna is not installed.
        RunError: If the folder holds another study, or the run has no log.
        ValueError: If a name or number is wrong, or no trial ended well.
    """
    optuna = extra_module("optuna", "tune")
    kind, settings = tuned_learner(agent), dict(world_settings or {})
    if (Regime(regime) is Regime.OWN) != bool(own_log):
        raise ValueError("regime own needs the run folder whose log to learn from, and no other regime takes one")
    training, validation = (world_of(world_id, settings, split) for split in ("train", "validation"))
    model = load_encoder(encoder)
    check_reads(model, encoder, training.language)
    about = runs.plain(
        {
            "world": world_id,
            "world_settings": settings,
            "fingerprint": validation.fingerprint,
            "agent": agent,
            "space": kind.space,
            "regime": str(regime) if kind.fits else "acting",
            "steps": steps,
            "seed": seed,
            "encoder": encoder,
            "sessions": sessions,
            "session_seed": seed + SESSION_SEED,
            "split": "validation",
        }
    )
    folder = Path(out)
    with runs.locked(folder):
        _begin(folder, about)
        study = _study(optuna, folder, kind, seed)
        left = trials - len(_ended(study))
        if left > 0:
            ground = Ground(
                training,
                reader_for(training, model, narrator),
                steps,
                regime,
                read_log(Path(own_log) / LOG, training) if own_log else None,
            )
            people = Sessions.first(seed + SESSION_SEED, sessions)

            def objective(trial: Any) -> float:
                chosen = {name: _suggested(trial, name, choices) for name, choices in kind.space.items()}
                with narrator.task(f"Trial {len(_ended(study)) + 1} of {trials}") as advance:
                    try:
                        found = kind.learn(ground, configured(kind.config, chosen), seed, advance)
                        return float(evaluate(validation, found.agent, people).returns.mean())
                    except _FAILURES as error:
                        trial.set_user_attr("error", str(error))
                        raise

            def told(study: Any, trial: Any) -> None:
                runs.write_json(folder / RESULT, _document(about, study))
                earned = "failed" if trial.value is None else f"return {trial.value:.2f}"
                narrator.say(f"{earned} with {set_line(trial.params)}")

            study.optimize(objective, n_trials=left, callbacks=[told], catch=_FAILURES)
        document = _document(about, study)
        if document["best"] is None:
            raise ValueError(f"none of {trials} trials ended well; the first says: {document['trials'][0]['error']}")
        runs.write_json(folder / RESULT, document)
    return document


_FAILURES = (ValueError, ArithmeticError, np.linalg.LinAlgError)


def set_line(settings: Mapping[str, Any]) -> str:
    """Returns settings as they are typed: ``--set name=value name=value``."""
    return " ".join(["--set", *(f"{name}={value}" for name, value in settings.items())])


def _begin(folder: Path, about: Mapping[str, Any]) -> None:
    """Checks that a folder holds this study or none."""
    if not (folder / RESULT).exists():
        runs.write_json(folder / RESULT, about)
        return
    before = runs.read_json(folder / RESULT)
    differing = [name for name in about if before.get(name) != about[name]]
    if differing:
        name = differing[0]
        raise RunError(
            f"{folder} holds a study with {name} {before.get(name)}, this one has {about[name]}; go on with the same, "
            "or choose another --out"
        )


def _study(optuna: Any, folder: Path, kind: Learner, seed: int) -> Any:
    """Returns the folder's study; a new one begins with the defaults."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storages = optuna.storages
    storage = storages.JournalStorage(storages.journal.JournalFileBackend(str(folder / JOURNAL)))
    study = optuna.create_study(storage=storage, study_name="tuning", direction="maximize", load_if_exists=True)
    # What is drawn next depends on the seed and on how much was tried, so that a study that goes on repeats nothing.
    words = np.random.SeedSequence([seed, len(_ended(study))]).generate_state(1)
    study.sampler = optuna.samplers.TPESampler(seed=int(words[0]))
    if not study.trials:
        default = kind.config()
        study.enqueue_trial({name: functools.reduce(getattr, name.split("."), default) for name in kind.space})
    return study


def _ended(study: Any) -> list[Any]:
    """Returns the trials that were measured or failed by themselves; those that were stopped count for nothing."""
    return [trial for trial in study.trials if trial.value is not None or "error" in trial.user_attrs]


def _suggested(trial: Any, name: str, choices: tuple[Any, ...]) -> Any:
    """Returns what a trial takes for a setting; see `instructrec.agents.learners.Learner.space`."""
    if choices[-1] not in ("log", "linear"):
        return trial.suggest_categorical(name, choices)
    low, high, scale = choices
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=scale == "log")
    return trial.suggest_float(name, low, high, log=scale == "log")


def _document(about: Mapping[str, Any], study: Any) -> dict[str, Any]:
    trials = [
        {
            "settings": trial.params,
            "return": trial.value,
            "error": trial.user_attrs.get("error"),
            "seconds": None if trial.duration is None else trial.duration.total_seconds(),
        }
        for trial in _ended(study)
    ]
    good = [trial for trial in trials if trial["return"] is not None]
    best = max(good, key=lambda trial: trial["return"]) if good else None
    return {
        **about,
        "trials": trials,
        "best": best,
        "set": None if best is None else set_line(best["settings"]),
        "budget": {
            "trials": len(trials),
            "user_steps": len(trials) * about["steps"],
            "seconds": sum(trial["seconds"] or 0.0 for trial in trials),
        },
        "command": command_line(),
        "versions": versions(),
    }


def to_text(document: Mapping[str, Any]) -> str:
    """Returns what a study found, for people."""
    best, first, spent = document["best"], document["trials"][0], document["budget"]
    default = "" if first["return"] is None else f" (its defaults: {first['return']:.2f})"
    return "\n".join(
        [
            f"{document['agent']} earns {best['return']:.2f} points a session{default}, on {document['sessions']} "
            f"validation sessions.",
            f"{spent['trials']} trials of {document['steps']:,} user-steps in {clock(spent['seconds'])}. "
            "The best of many trials is flattered: report it on other people.",
            "",
            document["set"],
        ]
    )

"""The Open Bandit Dataset's own experiment: what one policy's log says of the other, and what that one really earned.

A shop showed items at random for a week, and beside it by Thompson sampling (``bts``). Each log is used to evaluate the
other's policy, and the other's log has the truth. Thompson sampling changed as it learned: what is evaluated is how
often it showed each item at each position on average.

    python -m instructrec.experiments.open_bandit obp-0.4.1-py3-none-any.whl/obp/dataset/obd

References:
    Saito, Aihara, Matsutani and Narita (2021), Open Bandit Dataset and Pipeline, NeurIPS Datasets and Benchmarks.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from instructrec.envs.import_log import import_log
from instructrec.envs.target_policies import RANDOM, target_log_probs
from instructrec.estimates import Assumes, Choice, OffPolicyEstimate, Term, choose, summarise
from instructrec.log_files import DiskLog
from instructrec.slate_estimators import LoggedSlates, standard_ips

POLICIES, CAMPAIGNS = ("random", "bts"), ("all", "men", "women")


def evaluated(log: DiskLog, policy: str) -> Choice:
    """Returns what a log of slates of one says of a policy, as `target_log_probs` takes it: clicks per item shown."""
    turns = log.read()
    shown = LoggedSlates(
        rewards=turns.item_rewards,
        behaviour=turns.log_probs,
        evaluation=target_log_probs(policy, log, turns),
        unit=turns.person,
    )
    return choose([standard_ips(shown, self_normalised=normalised) for normalised in (False, True)])


def earned(log: DiskLog) -> OffPolicyEstimate:
    """Returns what a log's own policy earned: the mean, with its interval over people."""
    turns = log.read()
    terms = [Term(turns.rewards.astype(np.float64), np.ones(len(turns)))]
    return summarise("mean", terms, assumes=Assumes.NOTHING, unit=turns.person)


def cross_check(logs: Mapping[str, DiskLog]) -> list[dict[str, Any]]:
    """Evaluates each of two policies on the other one's log.

    Args:
        logs: The logs of ``random`` and ``bts`` over the same items.

    Returns:
        For each direction ``log``, ``policy``, the ``choice`` and the ``truth``.
    """
    found = []
    for behaviour, target in (("bts", "random"), ("random", "bts")):
        policy = RANDOM if target == RANDOM else f"{target}={logs[target].folder}"
        choice = evaluated(logs[behaviour], policy)
        found.append({"log": behaviour, "policy": target, "choice": choice, "truth": earned(logs[target])})
    return found


def to_text(campaign: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a campaign's rows as lines of 80 columns at most; clicks are per 1,000 items shown."""
    lines = []
    for row in rows:
        choice, truth = row["choice"], row["truth"]
        lines.append(f"{campaign}: the log of {row['log']} about {row['policy']}, clicks per 1,000 items shown")
        for one in choice.estimates:
            trusted = ("trusted" if one.trusted else "not trusted") + (", chosen" if one is choice.chosen else "")
            lines.append(f"  {one.estimator:<16}{_span(one)}  ESS {one.ess:>6,.0f}  {trusted}")
        lines.append(f"  {'truth':<16}{_span(truth)}")
    return "\n".join(lines)


def _span(one: OffPolicyEstimate) -> str:
    return f"{1000 * one.value:5.2f} ({1000 * one.low:5.2f} to {1000 * one.high:5.2f})"


def main(place: str) -> None:
    """Runs it on all campaigns below a folder or archive that holds ``random/all``, ``bts/all`` and so on."""
    with tempfile.TemporaryDirectory() as folder:
        for campaign in CAMPAIGNS:
            logs = {
                policy: import_log(
                    [Path(place) / policy / campaign],
                    Path(folder) / f"{policy}-{campaign}",
                    data_format="open-bandit",
                    policy=policy,
                )
                for policy in POLICIES
            }
            print(to_text(campaign, cross_check(logs)))


if __name__ == "__main__":
    main(sys.argv[1])

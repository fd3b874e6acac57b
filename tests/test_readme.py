"""What the README shows is what there is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("instructrec ")
]


def test_the_readme_shows_examples_and_commands() -> None:
    assert EXAMPLES
    assert COMMANDS


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.splitlines()[0])
def test_every_example_runs(example: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))  # As Python does where the README lies.
    code = compile(example, "README.md", "exec")
    if "runs/" in example:
        pytest.skip("needs a trained run; what it calls is tested beside its module")
    exec(code, {"__name__": "readme"})


def test_the_user_in_the_readme_is_a_user() -> None:
    import numpy as np

    names: dict[str, Any] = {"__name__": "readme"}
    (example,) = [example for example in EXAMPLES if "class NinetiesFan" in example]
    exec(compile(example, "README.md", "exec"), names)
    user, rng = names["NinetiesFan"](), np.random.default_rng(0)
    assert user.arrive(rng).text
    unwanted = names["Slate"](items=np.array([4, 2], np.int32), titles=("Heat (1986)", "Big (1988)"), turn=0)
    assert [user.react(unwanted, rng).left for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_exists_with_its_options(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "instructrec.experiments.cli", command[1], "--help"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    options = [word for word in command[2:] if re.match(r"--?[a-z]", word)]
    assert not [option for option in options if not re.search(rf"(?<!\S){re.escape(option)}\b", done.stdout)]

"""What the documents show is what there is."""

import re
from pathlib import Path

import pytest

from instructrec.envs.domain_file import read_domain
from instructrec.envs.worlds import make_world
from instructrec.experiments.check_world_file import warnings
from instructrec.testing import check_world

DOCS = Path(__file__).resolve().parent.parent / "docs"


def test_the_domain_file_that_is_shown_is_a_whole_one(tmp_path):
    whole, rules, *more = re.findall(r"^```yaml\n(.*?)^```", (DOCS / "domain_files.md").read_text(), re.M | re.S)
    assert not more
    (tmp_path / "tea.yaml").write_text(whole)
    world = make_world(str(tmp_path / "tea.yaml"), slate_size=3, bank_size=400)
    check_world(world, batch=4)
    assert not [warning for warning in warnings(world) if "misreads" in warning]
    (tmp_path / "ruled.yaml").write_text(whole.replace("asks:\n", rules + "\nasks:\n", 1))
    ruled = make_world(str(tmp_path / "ruled.yaml"), slate_size=3, bank_size=400)
    check_world(ruled, batch=4)
    assert ruled.reward.broken == -1
    (tmp_path / "tea.yaml").write_text(whole.replace("lognormal", "lognormle"))
    line = 1 + whole[: whole.index("lognormal")].count("\n")
    with pytest.raises(ValueError, match=rf"tea\.yaml, line {line}: .*did you mean 'lognormal'"):
        read_domain(tmp_path / "tea.yaml")

"""What a build puts into people's hands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def _build(tree: Path, kind: str, out: Path) -> Path:
    out.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, f"build_{kind}", str(out)], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A copy, so that the build leaves nothing in the tree; links stay links, as in a checkout.
    place = tmp_path_factory.mktemp("build")
    tree = place / "tree"
    ignored = shutil.ignore_patterns(".git", ".*cache", ".venv", "__pycache__", "*.egg-info", "runs", "build", "dist")
    shutil.copytree(ROOT, tree, symlinks=True, ignore=ignored)
    return _build(tree, "sdist", place / "out")


@pytest.fixture(scope="module")
def wheel_names(sdist: Path) -> list[str]:
    """The files in a wheel made from the unpacked sdist: what it lacks, the wheel lacks too."""
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent, filter="data")
    with zipfile.ZipFile(_build(sdist.parent / sdist.name.removesuffix(".tar.gz"), "wheel", sdist.parent)) as archive:
        return archive.namelist()


@pytest.mark.parametrize("folder", ["instructrec", "envs", "agents", "experiments"])
def test_a_wheel_holds_every_module(wheel_names: list[str], folder: str) -> None:
    prefix = "" if folder == "instructrec" else "instructrec/"
    wanted = {f"{prefix}{folder}/{path.name}" for path in (ROOT / folder).glob("*.py")}
    assert wanted
    assert not wanted - set(wheel_names)


def test_a_wheel_holds_the_data_and_the_type_marker(wheel_names: list[str]) -> None:
    data = {f"instructrec/envs/data/{path.name}" for path in (ROOT / "envs" / "data").glob("*") if path.is_file()}
    assert not (data | {"instructrec/py.typed"}) - set(wheel_names)


def test_a_wheel_holds_nothing_twice_and_nothing_else(wheel_names: list[str]) -> None:
    assert len(wheel_names) == len(set(wheel_names))
    strange = [name for name in wheel_names if not name.startswith(("instructrec/", "instructrec-"))]
    assert not strange, "a bare envs/ or tests/ in site-packages would shadow other people's"


def test_an_sdist_carries_the_licence(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/LICENSE") for name in archive.getnames())


def test_an_installed_wheel_imports_without_the_tree(wheel_names: list[str], sdist: Path, tmp_path: Path) -> None:
    (wheel,) = sdist.parent.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "import instructrec.envs, instructrec.agents, instructrec.experiments as last; print(last.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path.parent,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)

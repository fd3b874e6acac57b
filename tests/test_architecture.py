"""The promises about how the project is laid out, and which way it leans."""

from __future__ import annotations

import ast
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {name: ROOT / name.removeprefix("instructrec.") for name in
           ("instructrec", "instructrec.envs", "instructrec.agents", "instructrec.experiments")}  # fmt: skip
HEAVY = ("gymnasium", "stable_baselines3", "torch", "transformers")
SOURCES = [path for folder in FOLDERS.values() for path in sorted(folder.glob("*.py"))]
TEXTS = {".cff", ".md", ".py", ".toml", ".txt", ".yaml", ".yml", ""}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _configuration() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _committed() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in names.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def test_the_packages_in_pyproject_are_the_packages_in_the_tree() -> None:
    setuptools = _configuration()["tool"]["setuptools"]
    assert setuptools["package-dir"] == {name: _name(folder) for name, folder in FOLDERS.items()}
    assert sorted(setuptools["packages"]) == sorted(FOLDERS)
    nested = [_name(path) for folder in FOLDERS.values() for path in folder.glob("*/**/__init__.py")
              if not path.parent.is_symlink()]  # fmt: skip
    assert not nested, f"packages are flat; move these into their package: {nested}"


@pytest.mark.parametrize("name", ["envs", "agents", "experiments"])
def test_links_are_relative_and_lead_to_the_folders(name: str) -> None:
    link = ROOT / "instructrec" / name
    if not link.is_symlink():
        assert not (ROOT / ".git").exists(), f"instructrec/{name} must be a committed link to ../{name}"
        pytest.skip("an unpacked archive has no links")
    assert link.readlink() == Path("..") / name


def _modules_loaded_by(imports: str) -> set[str]:
    code = f"import sys; {imports}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_core_loads_neither_gymnasium_nor_a_learning_library() -> None:
    core = [f"instructrec.{path.stem}" for path in FOLDERS["instructrec"].glob("*.py") if path.stem != "__init__"]
    assert not _modules_loaded_by(f"import instructrec, {', '.join(core)}") & set(HEAVY)


def test_worlds_load_no_learning_library() -> None:
    assert not _modules_loaded_by("import instructrec.envs") & (set(HEAVY) - {"gymnasium"})


def test_load_is_the_only_lazy_name() -> None:
    import instructrec
    from instructrec.experiments.recommend import load

    assert instructrec.load is load
    assert instructrec.__all__ == ["__version__", "load"]
    assert "load" in dir(instructrec)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        instructrec.lod  # noqa: B018


def test_a_test_cannot_reach_the_network() -> None:
    with socket.socket() as outward, pytest.raises(AssertionError, match="reached for the network"):
        outward.connect(("192.0.2.1", 80))


def _public(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yields public classes and functions of a module, and public methods of its public classes."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def _typed(node: ast.AST) -> bool:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return True
    given = node.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return node.returns is not None and all(a.annotation is not None for a in named if a.arg not in ("self", "cls"))


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_every_public_name_is_typed_and_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{_name(path)} needs a docstring that says what it holds"
    overrides = {"typing.override", "override"}
    untyped = [name for name, node in _public(tree) if not _typed(node)]
    undocumented = [
        name
        for name, node in _public(tree)
        if not ast.get_docstring(node)
        and not any(ast.unparse(mark) in overrides or "overload" in ast.unparse(mark) for mark in node.decorator_list)
        and not any(ast.unparse(mark).endswith(".setter") for mark in node.decorator_list)
    ]
    assert not untyped, f"{_name(path)}: give every argument and result a type: {untyped}"
    assert not undocumented, f"{_name(path)}: a docstring states the contract: {undocumented}"


def test_no_module_is_without_a_home() -> None:
    homeless = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert not [_name(path) for path in SOURCES if path.stem.strip("_") in homeless]


def test_nothing_committed_names_a_place_on_somebodys_machine() -> None:
    place = re.compile(r"(?<![\w.:/])/(?:home|Users|root|work|tmp|opt|mnt)/\w")
    found = []
    for path in _committed():
        if path.suffix in TEXTS and path.parent.name != "data":
            lines = enumerate(path.read_text(errors="replace").splitlines(), 1)
            found += [f"{_name(path)}:{number}" for number, line in lines if place.search(line)]
    assert not found


def test_make_targets_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for document in ("README.md", "CONTRIBUTING.md")
        for name in re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / document).read_text(), re.MULTILINE)
    }
    assert {"demo", "test"} <= named <= targets


def test_the_constraints_pin_exactly_and_portably() -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    wrong = [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)]
    assert not wrong, f"a pin is name==version, without a URL, a path or a local build: {wrong}"
    assert "torch==2.13.0" in pins


def test_every_dependency_is_pinned() -> None:
    project = _configuration()["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    assert not {re.split(r"[<>=!~\[ ]", name)[0].lower().replace("_", "-") for name in wanted} - pinned

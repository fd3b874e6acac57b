"""What every test stands on: one thread a worker, no network, no screen, the same examples every time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import settings

# Before NumPy or torch is first imported: workers share the cores, and bit equality is promised for one thread count.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", MPLBACKEND="Agg")

settings.register_profile("tests", derandomize=True, deadline=None)
settings.load_profile("tests")

_connect = socket.socket.connect


def _connect_at_home(self: socket.socket, address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else "localhost"
    if host not in ("localhost", "127.0.0.1", "::1"):
        raise AssertionError(f"a test reached for the network ({host}); tests run without one")
    _connect(self, address)


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _connect_at_home)
        yield


@pytest.fixture
def interpret_kernels(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, the kernels of conversational people run as plain Python."""
    from instructrec.envs import conversational, conversational_kernels, speaking_kernels

    def interpret() -> None:
        places = [vars(module) for module in (conversational_kernels, speaking_kernels, conversational)]
        compiled = [(place, name) for place in places for name in place if hasattr(place[name], "py_func")]
        assert compiled, "no kernel is compiled, so that there is nothing to compare with"
        for place, name in compiled:
            monkeypatch.setitem(place, name, place[name].py_func)

    return interpret


LASTING = ("fsync", "replace", "rename")
"""The system calls that make something last."""


def _work_and_die(work: Callable[[], object], deadly: int, calls: Sequence[str], counted: Any) -> None:
    for name in calls:
        original = getattr(os, name)

        def call(*args: Any, original: Any = original, **kwargs: Any) -> Any:
            counted.value += 1
            if counted.value == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        setattr(os, name, call)
    work()
    os._exit(0)


@pytest.fixture(scope="session")
def killed_at() -> Callable[..., tuple[int, int]]:
    """Works in a process that is killed just before its ``deadly``-th system call of some; never where that is 0.

    Returns:
        ``killed_at(work, deadly, calls=LASTING)`` gives the process's exit code and the number of such calls.
    """

    def killed(work: Callable[[], object], deadly: int, calls: Sequence[str] = LASTING) -> tuple[int, int]:
        # A fork has everything loaded already; one thread runs here, so nothing is lost in it.
        fork = multiprocessing.get_context("fork")
        counted = fork.Value("i", 0)
        child = fork.Process(target=_work_and_die, args=(work, deadly, calls, counted))
        child.start()
        child.join(120)
        assert child.exitcode is not None, "it still runs after two minutes"
        return child.exitcode, counted.value

    return killed

"""Several processes at the same work, each on one thread; none of them outlives the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable

import torch

_LOOKS_EVERY = 0.5


def side_by_side(jobs: int, work: Callable[[], None]) -> None:
    """Has processes do the same work, and waits for them. They share it among themselves, by what lies on the disk.

    What one that fails or is killed leaves undone is for the caller to find.

    Args:
        jobs: How many processes, 1 or more.
        work: What each does; it can be pickled, since processes are spawned.
    """
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(work, os.getpid()), daemon=True) for _ in range(jobs)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
                worker.join()


def _work(work: Callable[[], None], parent: int) -> None:
    # Ctrl-C reaches all processes of a terminal: the one that waits ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    work()


def _end_with(parent: int) -> None:
    """Ends this process once its parent is gone, however that came; files appear by rename, so none is half there."""
    while os.getppid() == parent:
        time.sleep(_LOOKS_EVERY)
    os._exit(1)

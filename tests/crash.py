"""`kill -9` at random moments: a child works and acknowledges, the parent kills it, then what is left is checked.

The child is forked, so that hundreds of kills cost seconds: call this only from a process that has loaded neither
TensorFlow nor JAX (`benchmarks/crashes.py` is one; the tests start it).
"""

import os
import random
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

Acknowledge = Callable[[str], None]


@dataclass(frozen=True)
class Toll:
    """How many children were killed, how many of them while they worked on something, and what they acknowledged."""

    kills: int
    acknowledged: int


def survive(
    work: Callable[[Acknowledge], None],
    check: Callable[[list[str]], None],
    kills: int,
    within_s: float = 0.3,
    seed: int = 0,
) -> Toll:
    """Kill a worker again and again, and check after each kill that nothing acknowledged was lost.

    Args:
        work: does an operation over and over, each time handing what is done for good to its argument, in words
            without a line break. It runs in a child.
        check: is given the acknowledgements of the child just killed, in order, and raises if one is lost or what
            is left is not whole. It runs in the parent.
        within_s: each child is killed at a random moment between its start and this many seconds later.

    Raises:
        RuntimeError: a child ended by itself: its traceback is on stderr.
    """
    moments, told = random.Random(seed), 0
    for _ in range(kills):
        acknowledged = _killed(work, moments.uniform(0, within_s))
        check(acknowledged)
        told += len(acknowledged)
    return Toll(kills, told)


def _killed(work: Callable[[Acknowledge], None], after_s: float) -> list[str]:
    """The acknowledgements of a child that was killed after a while."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _run(work, writer)
    os.close(writer)
    heard, until = b"", time.monotonic() + after_s
    try:
        while (left := until - time.monotonic()) > 0:
            if select.select([reader], [], [], left)[0]:
                part = os.read(reader, 65_536)
                if not part:
                    raise RuntimeError("the child ended before it was killed; see its traceback above")
                heard += part
        os.kill(child, signal.SIGKILL)
        while part := os.read(reader, 65_536):
            heard += part
    finally:
        os.waitpid(child, 0)
        os.close(reader)
    return heard.decode().split("\n")[:-1]


def _run(work: Callable[[Acknowledge], None], writer: int) -> None:
    """What the child does; it never returns to the caller's code."""
    try:
        work(lambda text: os.write(writer, f"{text}\n".encode()) and None)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)

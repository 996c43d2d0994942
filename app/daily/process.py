"""A job in a process of its own: bounded in time and memory, and gone when its parent is."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import errors
from app.errors import AppError, TrainingError
from app.home import PROJECT

log = logging.getLogger(__name__)

FAILED = "failed.json"
"""Where a job that was refused leaves the reason: the error's name and text."""

POLL_S = 0.2


@dataclass(frozen=True)
class Bounds:
    """What a job may take: wall-clock seconds, and bytes of memory in use (where the system has /proc)."""

    seconds: float
    bytes: float


def in_own_process(module: str, job: Mapping[str, Any], folder: Path, bounds: Bounds) -> None:
    """Run `python -m MODULE FOLDER` with the job in FOLDER/job.json, and wait for it.

    Keras leaks some 9 MB a training and TensorFlow some hundreds once: they go with the process.

    Raises:
        AppError: what the job itself raised, as it did.
        TrainingError: it took too long or too much memory, was killed, or ended without a word.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / "job.json").write_text(json.dumps(job), encoding="utf-8")
    began = time.monotonic()
    command = [sys.executable, "-m", module, str(folder)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=PROJECT
    )
    said = threading.Thread(target=_log_lines, args=(child.stderr,), daemon=True)
    said.start()
    try:
        _watch(child, began, bounds)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        said.join(POLL_S)
        if child.stdin:
            child.stdin.close()
    if child.returncode != 0:
        raise _reason(Path(folder), child.returncode)
    log.info("%s: done in %.1f s", job.get("kind", module), time.monotonic() - began)


def _log_lines(lines: Iterable[bytes]) -> None:
    """What the process says on stderr, into this one's log."""
    for line in lines:
        log.info("%s", line.decode(errors="replace").rstrip())


def die_with_parent() -> None:
    """End this process when the parent's end of its stdin closes: killed, no parent can do it."""

    def watch() -> None:
        while os.read(0, 1024):
            continue
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _watch(child: subprocess.Popen, began: float, bounds: Bounds) -> None:
    """Until the child has ended.

    Raises:
        TrainingError: it went over its bounds.
    """
    while True:
        try:
            child.wait(POLL_S)
            return
        except subprocess.TimeoutExpired:
            if time.monotonic() - began > bounds.seconds:
                raise TrainingError(
                    f"training: stopped after {bounds.seconds:g} s (daily.timeout_min). The champion stays in service."
                ) from None
        if (used := _memory(child.pid)) > bounds.bytes:
            raise TrainingError(
                f"training: stopped, as it used {used / 1e9:.1f} GB; daily.memory_gb allows "
                f"{bounds.bytes / 1e9:g}. The champion stays in service."
            )


def _memory(pid: int) -> int:
    """Bytes of memory a process uses; 0 where that cannot be known."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _reason(folder: Path, code: int) -> AppError:
    """The error that the job left, as it raised it."""
    try:
        left = json.loads((folder / FAILED).read_text(encoding="utf-8"))
        kind = getattr(errors, left["kind"], TrainingError)
        return kind(left["text"])
    except (OSError, ValueError, KeyError):
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code} and without a word"
        return TrainingError(f"training: its process {how}. The champion stays in service; the log may tell more.")

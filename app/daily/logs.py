"""The log of the daily run: one JSON object a line in data/logs/DAY.jsonl, with nothing of the user's in it."""

import datetime as dt
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType

from app.atomic import storage_error

ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\",;]+", re.IGNORECASE)
"""Addresses may hold keys, so none is logged."""

_AT_WORK: ContextVar[Mapping[str, object]] = ContextVar("at_work", default=MappingProxyType({}))


def at_work_on(**facts: object) -> None:
    """Put facts on every line from here on: session, run, stage. What was said before of the same name gives way."""
    _AT_WORK.set({**_AT_WORK.get(), **facts})


@contextmanager
def logged(data: Path, about: Mapping[str, object]) -> Iterator[Callable[[BaseException], None]]:
    """Write what the application says in the block to today's log file, beside what it prints.

    An error that ends the block is written, too; one that does not can be given to what the block is handed.

    Args:
        about: put on every line, as the run's process.

    Raises:
        StorageError: the folder cannot be written.
    """
    path = Path(data) / "logs" / f"{dt.datetime.now(dt.UTC):%Y-%m-%d}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise storage_error(path, error) from error
    handler.setFormatter(_Line(about))

    def note(error: BaseException) -> None:
        text = f"{type(error).__name__}: {error}"
        handler.emit(logging.LogRecord("app.daily", logging.ERROR, __file__, 0, "%s", (text,), None))

    ours = logging.getLogger("app")
    ours.addHandler(handler)
    before = _AT_WORK.set({})
    try:
        yield note
    except BaseException as error:
        note(error)
        raise
    finally:
        _AT_WORK.reset(before)
        ours.removeHandler(handler)
        handler.close()


class _Line(logging.Formatter):
    """A record as one JSON object."""

    def __init__(self, about: Mapping[str, object]):
        super().__init__()
        self._about = dict(about)

    def format(self, record: logging.LogRecord) -> str:
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        says = without_secrets(record.getMessage())
        line = {
            "at": at,
            "level": record.levelname.lower(),
            "from": record.name,
            "says": says,
            **self._about,
            **_AT_WORK.get(),
        }
        return json.dumps(line, ensure_ascii=False)


def without_secrets(text: str) -> str:
    """A text without addresses and without the name of the user's home folder."""
    home = os.path.expanduser("~")
    text = ADDRESS.sub("<address>", text)
    return text.replace(home, "~") if len(home) > 1 else text

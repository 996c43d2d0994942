"""The command line: the only place that prints, and that turns an error into an exit code."""

import argparse
import contextlib
import errno
import importlib
import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from app.atomic import storage_error
from app.errors import AppError, DataError, SettingsError, StaleError
from app.grammar import build_parser
from app.home import find_home
from app.prices.providers import USUAL


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    debug = "--debug" in (sys.argv if arguments is None else arguments)
    try:
        options = build_parser().parse_args(arguments)
        _prepare(options)
        return _answer(options)
    except AppError as error:
        return _failed(error, error.exit_code, debug)
    except KeyboardInterrupt:
        return _failed("interrupted; what was stored before is unchanged.", 130, debug)
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            return _failed(storage_error(Path(str(error.filename or "disk")), error), 9, debug)
        return _failed(f"{type(error).__name__}: {error}. Run again with --debug for the traceback.", 1, debug)
    except Exception as error:
        first = str(error).strip().splitlines()[:1]
        return _failed(f"unexpected {type(error).__name__}: {' '.join(first)[:200]}. Run again with --debug.", 1, debug)


def settings_of(options: argparse.Namespace):
    """Settings from the flags given, under those of the environment and the file."""
    from app.config import load_settings

    return load_settings(_given(options))


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that the flags stand for, by section."""
    flags = by_section(options.set)
    for place, value in _flags(options).items():
        section, _, name = place.rpartition(".")
        if value not in (None, False):
            (flags.setdefault(section, {}) if section else flags)[name] = value
    return flags


def by_section(assignments: Iterable[str]) -> dict[str, Any]:
    """The settings that KEY=VALUE texts stand for, by section.

    Raises:
        SettingsError: a text is no assignment.
    """
    given: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        section, _, name = key.strip().rpartition(".")
        if not equals or not name:
            raise SettingsError(f"--set takes KEY=VALUE such as network.epochs=3, got {text!r}.")
        (given.setdefault(section, {}) if section else given)[name] = value.strip()
    return given


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    """The setting that each flag stands for."""
    given = vars(options)
    path = given.get("prices") or given.get("place")
    if path and given.get("source"):
        raise SettingsError(f"--prices {path} and --source {given['source']} exclude each other; give one.")
    if path and given.get("prices") and given.get("place"):
        raise SettingsError(f"--prices {given['prices']} and {given['place']} say the same; give one.")
    named = path or any(text.strip().startswith(("prices.source", "prices.path")) for text in options.set)
    source = given.get("source") or (USUAL if given.get("symbols") and not named else None)
    return {
        "prices.source": source, "prices.path": path, "prices.symbols": given.get("symbols"),
        "prices.start": given.get("start"), "prices.stop": given.get("end"), "prices.offline": given.get("offline"),
        "prices.as_of": given.get("as_of"),
        "models": given.get("models"), "seed": given.get("seed"), "reproduce.seeds": given.get("seeds"),
        "window.target": given.get("target"), "backtest.conformal": given.get("conformal"),
        "window.horizons": given.get("horizons"), "window.lookback": given.get("lookback"),
        "backtest.test_start": given.get("test_start"), "backtest.test_stop": given.get("test_end"),
    }  # fmt: skip


def _answer(options: argparse.Namespace) -> int:
    """Run the command and print its answer, for a program or for a person."""
    module, _, function = options.command.partition(":")
    with _alone(options):
        command = getattr(importlib.import_module(f"app.commands.{module}"), function)
        answer = command(settings_of(options), options)
    _print(json.dumps(answer.result, indent=1, allow_nan=False) if options.json else answer.text)
    if answer.stale:
        return _failed(answer.stale, StaleError.exit_code, debug=False)
    if answer.refused:
        return _failed(answer.refused, DataError.exit_code, debug=False)
    return _failed(answer.failure, answer.failure.exit_code, debug=False) if answer.failure else 0


def _alone(options: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    """The lock of a command that must run alone, taken before anything slow is loaded."""
    if not getattr(options, "alone", False):
        return contextlib.nullcontext()
    from app.daily.lock import locked  # not every system that can forecast has flock

    return locked(find_home(_given(options).get("home")))


def _print(text: str) -> None:
    """The whole answer to stdout; what it cannot take is not tried again when Python ends."""
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        error.filename = error.filename or "stdout"
        raise


def _prepare(options: argparse.Namespace) -> None:
    """Progress to stderr, and no chatter from the libraries underneath."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    ours = logging.getLogger("app")
    ours.handlers = [handler]
    ours.propagate = False
    ours.setLevel(logging.INFO)  # what --quiet does not show is for the log of the daily run still
    handler.setLevel(logging.WARNING if options.quiet else logging.INFO)


def _failed(error: Any, code: int, debug: bool) -> int:
    """One line on stderr."""
    if debug:
        logging.getLogger("app").exception("traceback of the error below", stack_info=False)
    text = " ".join(str(error).split())
    print(text if text.startswith("STALE") else f"error: {text}", file=sys.stderr, flush=True)
    return code

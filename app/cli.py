"""The command line: the only place that prints, and that turns an error into an exit code."""

import argparse
import errno
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.atomic import storage_error
from app.errors import AppError, DataError, SettingsError, StaleError
from app.forecasters import MODELS
from app.reproduce.settings import STUDIES

DESCRIPTION = "Forecast stock prices with recurrent networks, beside the naive model and GARCH."
EPILOG = """examples:
  python -m app run                          the embedded sample, offline
  python -m app run --symbols AAPL MSFT      prices from Yahoo
  python -m app run --prices prices.parquet  your own files
  python -m app backtest --models ewma lstm --test-start 2014-01-01 --out results

settings: a flag wins over a STOCK_* variable, that over settings.toml in STOCK_HOME, that over the default.
exit codes: 0 done, 2 wrong usage or settings, 3 source unavailable, 4 data refused, 5 another run at work,
6 training failed, 7 forecast is stale, 8 ledger or model damaged, 9 disk full or not writable, 130 interrupted."""


class Parser(argparse.ArgumentParser):
    """argparse that reports a mistake as every other error: one line, exit code 2."""

    def error(self, message: str):
        """Raise instead of printing the usage."""
        raise SettingsError(f"{message} (see `{self.prog} --help`)")


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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            return _failed(storage_error(Path(str(error.filename or "disk")), error), 9, debug)
        return _failed(f"{type(error).__name__}: {error}. Run again with --debug for the traceback.", 1, debug)
    except Exception as error:
        first = str(error).strip().splitlines()[:1]
        return _failed(f"unexpected {type(error).__name__}: {' '.join(first)[:200]}. Run again with --debug.", 1, debug)


def build_parser() -> Parser:
    """The whole grammar of the command line."""
    parser = Parser(
        prog="python -m app",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    shared, chosen, models = _shared_options(), _price_options(), _model_options()
    everything = [shared, chosen, models]

    _add(commands, "run", "prices, back test, training, forecast and report in one go", everything)
    _add(commands, "fetch", "ask the source for prices the ledger lacks, and append them", [shared, chosen])
    _add(commands, "backtest", "walk forward with every model, score and judge", everything)
    audited = _add(commands, "audit", "prove on these prices that no forecast knows the future", everything)
    audited.add_argument("--full", action="store_true", help="train networks in full, not for two epochs")
    _add(commands, "train", "fit the models on all that is known and save them", everything)
    _add(commands, "forecast", "the newest forecast of every symbol by the saved models", everything)
    again = _add(commands, "report", "write the report again from the folder of an earlier run", [shared])
    again.add_argument("folder", nargs="?", help="folder of a run (default: the newest)")
    _add_prices(commands, [shared, chosen])
    study = _add(commands, "reproduce", "run a published study again, beside rules without training", [shared, chosen])
    study.add_argument("study", choices=STUDIES, help="which; --prices names the folder of its data")
    study.add_argument("--seeds", metavar="N", help="networks trained (default: as many as the study)")
    _add(commands, "doctor", "versions, devices, whether cuDNN will be used, where data live", [shared])
    return parser


def _add(commands, name: str, meaning: str, parents: list, command: str = "") -> Parser:
    """A command whose work is the function `command` (default: its own name) of `app.commands`."""
    made = commands.add_parser(name, help=meaning, description=meaning, parents=parents)
    made.set_defaults(command=command or name)
    return made


def _add_prices(commands: argparse._SubParsersAction, parents: list[Parser]) -> None:
    """The commands about prices alone."""
    prices = commands.add_parser(
        "prices", help="import, check or show prices", description="import, check or show prices"
    )
    actions = prices.add_subparsers(metavar="ACTION", required=True)
    for name, meaning in (
        ("import", "store the prices of files in the ledger"),
        ("check", "list what is wrong with prices, by rule"),
    ):
        action = _add(actions, name, meaning, parents, command=f"prices_{name}")
        action.add_argument("place", nargs="?", metavar="PATH", help="the same as --prices PATH")
    show = _add(actions, "show", "print stored prices", parents, command="prices_show")
    show.add_argument("--adjusted", action="store_true", help="in today's shares, dividends reinvested")
    show.add_argument("--as-of", default="", metavar="DAY", help="as known on this day")


def _shared_options() -> Parser:
    options = Parser(add_help=False)
    group = options.add_argument_group("general")
    group.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    group.add_argument("--quiet", action="store_true", help="no progress on stderr")
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")
    group.add_argument("--out", help="folder for the results")
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any setting, as in network.epochs=3"
    )
    return options


def _price_options() -> Parser:
    options = Parser(add_help=False)
    group = options.add_argument_group("prices")
    group.add_argument(
        "--symbols", nargs="+", metavar="SYMBOL", help="which symbols; without --prices they are asked from Yahoo"
    )
    group.add_argument("--prices", metavar="PATH", help="read a CSV or Parquet file, or a folder of them, instead")
    group.add_argument(
        "--source",
        choices=["sample", "yahoo", "import"],
        help="sample (default), yahoo, or import: what `prices import` stored",
    )
    group.add_argument("--start", help="first day of prices used, as 1995-01-01")
    group.add_argument("--end", help="last day of prices used")
    group.add_argument("--offline", action="store_true", help="use what the ledger holds, ask nobody")
    return options


def _model_options() -> Parser:
    options = Parser(add_help=False)
    group = options.add_argument_group("models")
    group.add_argument("--models", nargs="+", metavar="MODEL", help=f"of {', '.join(MODELS)}")
    group.add_argument("--horizons", nargs="+", metavar="H", help="sessions ahead (default 1 5 20)")
    group.add_argument("--lookback", metavar="L", help="sessions a model sees (default 60)")
    group.add_argument("--test-start", help="first origin tested (default: the last four years)")
    group.add_argument("--test-end", help="last origin tested")
    group.add_argument("--seed", help="seed of everything random (default 0)")
    return options


def settings_of(options: argparse.Namespace):
    """Settings from the flags given, under those of the environment and the file."""
    from app.config import load_settings

    flags: dict[str, Any] = {}
    for text in options.set:
        key, equals, value = text.partition("=")
        section, _, name = key.strip().rpartition(".")
        if not equals or not name:
            raise SettingsError(f"--set takes KEY=VALUE such as network.epochs=3, got {text!r}.")
        (flags.setdefault(section, {}) if section else flags)[name] = value.strip()
    for place, value in _flags(options).items():
        section, _, name = place.rpartition(".")
        if value not in (None, False):
            (flags.setdefault(section, {}) if section else flags)[name] = value
    return load_settings(flags)


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    """The setting that each flag stands for."""
    given = vars(options)
    path = given.get("prices") or given.get("place")
    source = "files" if path else given.get("source") or ("yahoo" if given.get("symbols") else None)
    if path and given.get("source"):
        raise SettingsError(f"--prices {path} and --source {given['source']} exclude each other; give one.")
    return {
        "prices.source": source, "prices.path": path, "prices.symbols": given.get("symbols"),
        "prices.start": given.get("start"), "prices.stop": given.get("end"), "prices.offline": given.get("offline"),
        "models": given.get("models"), "seed": given.get("seed"), "reproduce.seeds": given.get("seeds"),
        "window.horizons": given.get("horizons"), "window.lookback": given.get("lookback"),
        "backtest.test_start": given.get("test_start"), "backtest.test_stop": given.get("test_end"),
    }  # fmt: skip


def _answer(options: argparse.Namespace) -> int:
    """Run the command and print its answer, for a program or for a person."""
    from app import commands  # loads pandas and the models' libraries: not for --help

    answer = getattr(commands, options.command)(settings_of(options), options)
    print(json.dumps(answer.result, indent=1, allow_nan=False) if options.json else answer.text, flush=True)
    if answer.stale:
        return _failed(answer.stale, StaleError.exit_code, debug=False)
    if answer.refused:
        return _failed(answer.refused, DataError.exit_code, debug=False)
    return 0


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
    ours.setLevel(logging.WARNING if options.quiet else logging.INFO)


def _failed(error: Any, code: int, debug: bool) -> int:
    """One line on stderr."""
    if debug:
        logging.getLogger("app").exception("traceback of the error below", stack_info=False)
    text = " ".join(str(error).split())
    print(text if text.startswith("STALE") else f"error: {text}", file=sys.stderr, flush=True)
    return code

"""The grammar of the command line: every command and flag, with its help."""

import argparse
import re

from app.allowed import known_names
from app.errors import SettingsError
from app.forecasters import MODELS, TARGET_NAMES, USUAL
from app.forecasters.shapes import SHAPES
from app.prices.providers import PROVIDERS
from app.reproduce.settings import STUDIES
from app.routine import SCHEDULES

CHOICES = re.compile(r"(?P<shown>'(?P<given>.*)') \(choose from (?P<names>.*)\)$")
"""How argparse refuses what is not among some names."""

DESCRIPTION = "Forecast stock prices with recurrent networks, beside the naive model and GARCH."
EPILOG = """examples:
  python -m app run                          the embedded sample, offline
  python -m app run --symbols AAPL MSFT      prices from Yahoo
  python -m app run --prices prices.parquet  your own files
  python -m app backtest --models ewma lstm --test-start 2014-01-01 --out results

settings: a flag wins over a STOCK_* variable, that over settings.toml in STOCK_HOME, that over the default.
exit codes: 0 done, 2 wrong usage or settings, 3 source unavailable, 4 data refused, 5 another run at work,
6 training failed, 7 forecast is stale, 8 ledger or model damaged, 9 disk full or not writable, 130 interrupted."""


STUDY = "folder for the results: new, empty, or of an earlier run, whose results are replaced"


class Parser(argparse.ArgumentParser):
    """argparse that reports a mistake as every other error: one line, exit code 2."""

    def error(self, message: str):
        """Raise instead of printing the usage; of many choices name only those that are near."""
        if wrong := CHOICES.search(message):
            names = [name.strip(" '") for name in wrong["names"].split(",")]
            raise SettingsError(
                f"{message[: wrong.end('shown')]}{known_names(wrong['given'], names, f'{self.prog} --help')}"
            )
        raise SettingsError(f"{message} (see `{self.prog} --help`)")


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
    _add_forecasting(commands, [shared, chosen, models])
    _add(commands, "fetch", "ask the source for prices the ledger lacks, and append them", [shared, chosen])
    _add_prices(commands, [shared, chosen])
    _add_versions(commands, [shared, chosen])
    _add_daily(commands, [shared, chosen])
    _add_report(commands, [shared])
    _add_study(commands, [shared, chosen])
    _add(commands, "settings", "every setting with the value it has here", [shared, chosen, models], "work:settings_")
    _add(commands, "doctor", "versions, devices, whether cuDNN will be used, where data live", [shared])
    return parser


def _add_forecasting(commands: argparse._SubParsersAction, parents: list[Parser]) -> None:
    """The commands that make or judge forecasts."""
    _add_out(_add(commands, "run", "prices, back test, training, forecast and report in one go", parents), STUDY)
    walked = _add(commands, "backtest", "walk forward with every model, score and judge", parents)
    _add_out(walked, STUDY)
    _add_as_of(walked)
    audited = _add(commands, "audit", "prove on these prices that no forecast knows the future", parents)
    audited.add_argument("--full", action="store_true", help="train networks in full, not for two epochs")
    _add_out(audited, "folder for findings.csv and findings.json")
    _add(commands, "train", "fit the models on all that is known and save them", parents)
    newest = _add(commands, "forecast", "the newest forecast of every symbol by the saved models", parents)
    _add_out(newest, "folder for live.csv")
    _add_inspection(commands, parents)


def _add_inspection(commands: argparse._SubParsersAction, parents: list[Parser]) -> None:
    meaning = "look inside saved networks: gates, memory, what forecasts rest on (default: the newest network)"
    looked = _add(commands, "inspect", meaning, parents, command="inspection:inspect")
    looked.add_argument("--windows", metavar="N", help="for gates and CRPS (default 1000)")
    looked.add_argument("--gradients", metavar="N", help="windows that forecasts are differentiated on (default 32)")
    looked.add_argument("--sessions", metavar="N", help="how far back memory is followed, at most 1000 (default)")
    looked.add_argument("--repeats", metavar="N", help="permutations of each feature (default 5)")
    _add_out(looked, "folder for the figures and tables")


def _add_daily(commands: argparse._SubParsersAction, parents: list[Parser]) -> None:
    """The commands of the daily run."""
    meaning = "what a timer starts: fetch, train a challenger, promote it on evidence, forecast; once a session"
    every_day = _add(commands, "daily", meaning, parents, command="daily:daily")
    every_day.set_defaults(alone=True)
    meaning = "how the daily run stands; exit code 7 when STALE"
    stands = _add(commands, "status", meaning, parents, command="daily:show_status")
    for action in (every_day, stands):
        action.add_argument("--sample", dest="source", action="store_const", const="sample", help="as --source sample")
    _add_out(stands, "folder for a page of the newest forecast and its record as they stand now")
    timers = _add(commands, "schedule", "print the file of a timer, filled in", parents, command="daily:print_schedule")
    timers.add_argument("--print", required=True, choices=SCHEDULES, metavar="KIND", help=f"of {', '.join(SCHEDULES)}")


def _add_versions(commands: argparse._SubParsersAction, parents: list[Parser]) -> None:
    """The commands about saved versions."""
    meaning = "list, compare, promote, roll back or verify saved models"
    models = commands.add_parser("models", help=meaning, description=meaning)
    actions = models.add_subparsers(metavar="ACTION", required=True)
    _add(actions, "list", "every saved version; the champions are marked", parents, "models:list_")
    shown = _add(actions, "show", "the card of a version", parents, "models:show")
    compared = _add(actions, "compare", "two versions on rows neither was trained on", parents, "models:compare")
    compared.add_argument("first", metavar="CHAMPION", help="the version to be beaten")
    compared.add_argument("second", metavar="CHALLENGER", help="the version that should beat it")
    promoted = _add(actions, "promote", "make a version champion by hand", parents, "models:promote")
    for action in (shown, promoted):
        action.add_argument("id", metavar="ID", help="a version, as `models list` names it")
    promoted.add_argument("--reason", required=True, help="why the gate is passed by; kept on record")
    back = _add(actions, "rollback", "put the champion before this one back into service", parents, "models:rollback")
    back.add_argument("--reason", help="why; kept on record")
    checked = _add(actions, "verify", "check every version and the champions", parents, "models:verify")
    checked.add_argument("--golden", action="store_true", help="load each model, too, and try its golden input")


def _add_report(commands: argparse._SubParsersAction, parents: list[Parser]) -> None:
    again = _add(commands, "report", "write the report again from the folder of an earlier run", parents)
    again.add_argument("folder", nargs="?", help="folder of a run (default: the newest)")
    _add_out(again, "another folder for report.html and figures/ (default: that of the run)")


def _add_study(commands: argparse._SubParsersAction, parents: list[Parser]) -> None:
    meaning = "run a published study again, beside rules without training"
    study = _add(commands, "reproduce", meaning, parents, command="studies:reproduce")
    study.add_argument("study", choices=STUDIES, help="which; --prices names the folder of its data")
    study.add_argument("--seeds", metavar="N", help="networks trained (default: as many as the study)")
    _add_out(study, "folder for table.csv, runs.csv and forecasts.parquet")


def _add(commands, name: str, meaning: str, parents: list, command: str = "") -> Parser:
    """A command whose work is `command`, "module:function" of `app.commands` (default: its own name in `work`)."""
    made = commands.add_parser(name, help=meaning, description=meaning, parents=parents)
    made.set_defaults(command=command or f"work:{name}")
    return made


def _add_prices(commands: argparse._SubParsersAction, parents: list[Parser]) -> None:
    """The commands about prices alone."""
    prices = commands.add_parser(
        "prices",
        help="import, check or show prices, or what is in quarantine; verify the ledger",
        description="import, check or show prices, list what was told and is not believed yet, or verify the ledger",
    )
    actions = prices.add_subparsers(metavar="ACTION", required=True)
    stored = _add(actions, "import", "store the prices of files in the ledger", parents, command="prices:import_")
    checked = _add(actions, "check", "list what is wrong with prices, by rule", parents, command="prices:check")
    _add_as_of(checked)
    show = _add(actions, "show", "print stored prices", parents, command="prices:show")
    for action in (stored, checked):
        action.add_argument("place", nargs="?", metavar="PATH", help="the same as --prices PATH")
    _add_out(checked, "folder for issues.csv")
    _add_out(show, "a .csv or .parquet file, or a folder for prices.csv")
    show.add_argument("--adjusted", action="store_true", help="in today's shares, dividends reinvested")
    _add_as_of(show)
    _add(
        actions,
        "quarantine",
        "list the rows that a source told and that are not believed, and why",
        parents,
        command="prices:quarantine",
    )
    meaning = "read every page of the ledger, its indexes and references; exit code 8 if it is damaged"
    _add(actions, "verify", meaning, parents, command="prices:verify")


def _add_as_of(action: Parser) -> None:
    words = "replay: use what the ledger knew by the end of this day (UTC), as 2024-03-01; nothing is fetched"
    action.add_argument("--as-of", metavar="DAY", help=words)


def _add_out(command: Parser, meaning: str) -> None:
    """The flag of the commands that write something for the user."""
    command.add_argument("--out", metavar="PATH", help=meaning)


def _shared_options() -> Parser:
    options = Parser(add_help=False)
    group = options.add_argument_group("general")
    group.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    group.add_argument("--quiet", action="store_true", help="no progress on stderr")
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")
    told = "any setting, as in network.epochs=3 or window.horizons=1,5,20"
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=told)
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
        choices=["sample", *PROVIDERS, "import"],
        help="sample (default), yahoo, or import: what `prices import` stored",
    )
    group.add_argument("--start", metavar="DAY", help="first day of prices used, as 1995-01-01")
    group.add_argument("--end", metavar="DAY", help="last day of prices used")
    group.add_argument("--offline", action="store_true", help="use what the ledger holds, ask nobody")
    return options


def _model_options() -> Parser:
    options = Parser(add_help=False)
    group = options.add_argument_group("models")
    group.add_argument(
        "--models",
        nargs="+",
        metavar="MODEL",
        help=f"of {', '.join(MODELS)} (default {' '.join(USUAL)}); a network may carry its shape, as in "
        f"lstm:many-to-many: {', '.join(SHAPES)}",
    )
    group.add_argument("--horizons", nargs="+", metavar="H", help="sessions ahead (default 1 5 20)")
    group.add_argument("--lookback", metavar="L", help="sessions a model sees (default 60)")
    group.add_argument("--target", choices=TARGET_NAMES, help="what is forecast (default return)")
    group.add_argument("--conformal", action="store_true", help="also each model corrected by its own past errors")
    group.add_argument("--test-start", metavar="DAY", help="first origin tested (default: the last 1008 sessions)")
    group.add_argument("--test-end", metavar="DAY", help="last origin tested (default: the newest)")
    group.add_argument("--seed", help="seed of everything random (default 0)")
    return options

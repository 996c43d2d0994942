"""The grammar of the command line: every command and flag, with its help."""

import argparse

from app.errors import SettingsError
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
    _add_report(commands, [shared])
    _add_study(commands, [shared, chosen])
    _add(commands, "doctor", "versions, devices, whether cuDNN will be used, where data live", [shared])
    return parser


def _add_forecasting(commands: argparse._SubParsersAction, parents: list[Parser]) -> None:
    """The commands that make or judge forecasts."""
    _add(commands, "run", "prices, back test, training, forecast and report in one go", parents)
    _add(commands, "backtest", "walk forward with every model, score and judge", parents)
    audited = _add(commands, "audit", "prove on these prices that no forecast knows the future", parents)
    audited.add_argument("--full", action="store_true", help="train networks in full, not for two epochs")
    _add(commands, "train", "fit the models on all that is known and save them", parents)
    _add(commands, "forecast", "the newest forecast of every symbol by the saved models", parents)


def _add_report(commands: argparse._SubParsersAction, parents: list[Parser]) -> None:
    again = _add(commands, "report", "write the report again from the folder of an earlier run", parents)
    again.add_argument("folder", nargs="?", help="folder of a run (default: the newest)")


def _add_study(commands: argparse._SubParsersAction, parents: list[Parser]) -> None:
    meaning = "run a published study again, beside rules without training"
    study = _add(commands, "reproduce", meaning, parents, command="studies:reproduce")
    study.add_argument("study", choices=STUDIES, help="which; --prices names the folder of its data")
    study.add_argument("--seeds", metavar="N", help="networks trained (default: as many as the study)")


def _add(commands, name: str, meaning: str, parents: list, command: str = "") -> Parser:
    """A command whose work is `command`, "module:function" of `app.commands` (default: its own name in `work`)."""
    made = commands.add_parser(name, help=meaning, description=meaning, parents=parents)
    made.set_defaults(command=command or f"work:{name}")
    return made


def _add_prices(commands: argparse._SubParsersAction, parents: list[Parser]) -> None:
    """The commands about prices alone."""
    prices = commands.add_parser(
        "prices", help="import, check or show prices", description="import, check or show prices"
    )
    actions = prices.add_subparsers(metavar="ACTION", required=True)
    for name, meaning, command in (
        ("import", "store the prices of files in the ledger", "prices:import_"),
        ("check", "list what is wrong with prices, by rule", "prices:check"),
    ):
        action = _add(actions, name, meaning, parents, command)
        action.add_argument("place", nargs="?", metavar="PATH", help="the same as --prices PATH")
    show = _add(actions, "show", "print stored prices", parents, command="prices:show")
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

"""The command that runs a published study again."""

from argparse import Namespace
from pathlib import Path

from app import pipeline
from app.atomic import ensure_writable, publish_file
from app.commands.answer import Answer, records
from app.config import Settings
from app.errors import SettingsError
from app.reproduce import study as direction
from app.reproduce import trading
from app.reproduce.acl18 import DATA_SETS


def reproduce(settings: Settings, options: Namespace) -> Answer:
    """A published study once more; written to --out when given."""
    folder = Path(options.out) if options.out else None
    if folder:
        ensure_writable(folder)
    if options.study in DATA_SETS:
        data, chosen = DATA_SETS[options.study], settings.prices
        if chosen.source != "files" or chosen.symbols or chosen.start or chosen.stop:
            raise SettingsError(
                f"reproduce {data.name} takes the whole data set: --prices DIR, without --symbols, --start and --end."
            )
        found = direction.reproduce(data, Path(chosen.path), settings.reproduce, settings.seed)
    else:
        found = trading.reproduce(pipeline.load_prices(settings).sound, settings.reproduce, settings.seed)
    if folder:
        publish_file(folder / "table.csv", lambda path: found.table.to_csv(path, index=False))
        publish_file(folder / "runs.csv", lambda path: found.runs.to_csv(path, index=False))
        publish_file(folder / "forecasts.parquet", lambda path: found.forecasts.to_parquet(path, index=False))
    result = {"study": found.name, "table": records(found.table), "runs": records(found.runs)}
    text = f"{found.text}\n\nresults: {folder}" if folder else found.text
    return Answer({**result, "conclusions": list(found.sentences)}, text)

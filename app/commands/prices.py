"""The commands about prices alone: import, check, show, quarantine, verify."""

from argparse import Namespace
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd

from app import pipeline
from app.atomic import ensure_writable, publish_file
from app.commands.answer import Answer, records, text
from app.config import Settings
from app.errors import SettingsError
from app.prices.adjust import adjusted
from app.prices.sources import Files
from app.prices.store import Ledger


def import_(settings: Settings, options: Namespace) -> Answer:
    """The prices of files into the ledger."""
    if not settings.prices.path:
        raise SettingsError("prices import needs a path: `python -m app prices import prices.csv`.")
    ensure_writable(settings.data)
    table = Files(Path(settings.prices.path)).table(settings.prices.symbols or None, *pipeline.span(settings))
    appended = Ledger(settings.ledger).append(table, source="import", version=Path(settings.prices.path).name)
    counts = f"{appended.new} new rows, {appended.revised} revised, {appended.unchanged} known already"
    return Answer(asdict(appended), f"{table['symbol'].nunique()} symbols: {counts}")


def check(settings: Settings, options: Namespace) -> Answer:
    """Everything wrong with the prices, by rule; written to --out when given."""
    if options.out:
        ensure_writable(Path(options.out))
    issues = pipeline.check(settings)
    rows = issues.assign(date=issues["date"].dt.strftime("%Y-%m-%d"))
    if options.out:
        publish_file(Path(options.out) / "issues.csv", partial(rows.to_csv, index=False))
    counts = issues.groupby(["severity", "rule"]).size()
    lines = [f"{severity} {rule}: {count}" for (severity, rule), count in counts.items()] or ["nothing wrong found"]
    return Answer({"issues": records(rows)}, "\n".join([text(rows), "", *lines] if len(rows) else lines))


def show(settings: Settings, options: Namespace) -> Answer:
    """Rows of the ledger, or of files; written to --out when given."""
    if options.out:
        ensure_writable(Path(options.out).parent)
    table = pipeline.read_prices(settings, fetching=False)
    if options.adjusted:
        table = pd.concat([adjusted(rows) for _, rows in table.groupby("symbol", sort=False)], ignore_index=True)
    if options.out:
        _save(table, Path(options.out))
    return Answer({"prices": records(table)}, text(table))


def quarantine(settings: Settings, options: Namespace) -> Answer:
    """What a source told and the ledger does not believe yet, with the rule and the reason."""
    wanted = settings.prices
    held = Ledger(settings.ledger).quarantine(None if wanted.source == "sample" else wanted.source)
    if wanted.symbols:
        held = held[held["symbol"].isin(wanted.symbols)]
    rows = held.assign(fetched_at=held["fetched_at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return Answer({"quarantine": records(rows)}, text(rows) if len(rows) else "nothing is in quarantine")


def verify(settings: Settings, options: Namespace) -> Answer:
    """The ledger's file as a whole: every page, index and reference, and what guards its rows."""
    ledger = Ledger(settings.ledger)
    ledger.verify()
    fetches = len(ledger.fetches())
    found = f"sound, {fetches} fetches on record" if fetches else "nothing was fetched or imported yet"
    return Answer({"ledger": str(settings.ledger), "fetches": fetches}, f"{settings.ledger}: {found}")


def _save(table: pd.DataFrame, place: Path) -> None:
    """A price table as the user wants it: Parquet or CSV by the ending of a file, else prices.csv in a folder."""
    if place.suffix.lower() == ".parquet":
        publish_file(place, partial(table.to_parquet, index=False))
    else:
        file = place if place.suffix.lower() == ".csv" else place / "prices.csv"
        publish_file(file, partial(table.to_csv, index=False))

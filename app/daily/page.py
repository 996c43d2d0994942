"""The page of a session: the newest forecast, and the live record where a back test has its test period."""

from pathlib import Path

import numpy as np
import pandas as pd

from app import pipeline
from app.atomic import publish_file
from app.config import Settings
from app.daily.freshness import Freshness
from app.daily.ledger import sound_prices
from app.daily.record import live_forecasts
from app.evaluation import calibration, metrics, significance
from app.journal import Journal
from app.report.page import Findings, write_report
from app.report.pricing import price_table
from app.schema import FORECAST_COLUMNS, ISSUE_COLUMNS

PRICES_SHOWN = np.timedelta64(400, "D")


def write_page(settings: Settings, journal: Journal, session: str, made_at: pd.Timestamp, fresh: Freshness) -> Path:
    """Write data/reports/daily-SOURCE-SESSION/report.html and live.csv; a page written before is replaced.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    record = live_forecasts(journal)[list(FORECAST_COLUMNS)]
    newest = record.groupby("symbol")["origin"].transform("max")
    live = record[record["origin"] == newest].assign(actual=np.nan).reset_index(drop=True)
    known = record[record["actual"].notna()].reset_index(drop=True)
    folder = settings.data / "reports" / f"daily-{settings.prices.source}-{session}"
    publish_file(folder / "live.csv", lambda path: price_table(live).to_csv(path, index=False))
    return write_report(_findings(settings, known, live, (made_at, session, fresh)), folder)


def _findings(
    settings: Settings, known: pd.DataFrame, live: pd.DataFrame, when: tuple[pd.Timestamp, str, Freshness]
) -> Findings:
    made_at, session, fresh = when
    return Findings(
        title=f"Forecasts of {session}",
        made_at=made_at.isoformat(timespec="seconds"),
        forecasts=known,
        scores=metrics.score(known),
        coverage=metrics.coverage(known),
        calibration=calibration.calibration(known),
        pit=calibration.pit(known),
        verdicts=significance.verdicts(known),
        live=live,
        prices=sound_prices(settings, np.datetime64(session) - PRICES_SHOWN),
        issues=pd.DataFrame(columns=list(ISSUE_COLUMNS)),
        curves={},
        settings=pipeline.plain_settings(settings),
        versions=pipeline.package_versions(),
        stale=fresh.stale,
        fresh_until=fresh.ends,
    )

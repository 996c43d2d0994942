"""The page of a session: the newest forecast, and the live record where a back test has its test period."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from app import pipeline
from app.atomic import replace_folder
from app.config import Settings
from app.daily.ledger import inspected_prices
from app.daily.record import live_forecasts
from app.evaluation import calibration, metrics, significance
from app.journal import Journal
from app.report.page import Findings, write_report
from app.report.pricing import price_table
from app.report.record import write_verdicts
from app.schema import FORECAST_COLUMNS

WRITTEN = frozenset({"report.html", "figures", "live.csv", "verdict.json"})
"""All that the page of a session consists of."""

PRICES_SHOWN = np.timedelta64(400, "D")


def page_folder(settings: Settings, session: str) -> Path:
    """Where the page of a session is."""
    return settings.data / "reports" / f"daily-{settings.prices.source}-{session}"


def write_page(
    settings: Settings, session: str, made_at: pd.Timestamp, told: Mapping[str, Any], folder: Path | None = None
) -> Path:
    """Write report.html, its figures, live.csv and verdict.json in the place of a folder, as one.

    Args:
        session: the newest forecast.
        told: stale and fresh_until, as `Freshness.told`.
        folder: `page_folder` by default.

    Returns:
        The path of the page.

    Raises:
        SettingsError: the folder holds what others made.
        StorageError: it cannot be written, or the disk is full.
    """
    record = live_forecasts(Journal(settings.ledger, settings.prices.source))[list(FORECAST_COLUMNS)]
    newest = record.groupby("symbol")["origin"].transform("max")
    live = record[record["origin"] == newest].assign(actual=np.nan).reset_index(drop=True)
    known = record[record["actual"].notna()].reset_index(drop=True)
    made = {"made_at": made_at.isoformat(timespec="seconds"), **told}
    findings = _findings(settings, known, live, {"title": f"Forecasts of {session}", **made}, session)

    def write(draft: Path) -> None:
        write_report(findings, draft)
        price_table(live).to_csv(draft / "live.csv", index=False)
        write_verdicts(findings.verdicts, draft)

    place = folder or page_folder(settings, session)
    place.parent.mkdir(parents=True, exist_ok=True)
    return replace_folder(place, write, WRITTEN) / "report.html"


def _findings(
    settings: Settings, known: pd.DataFrame, live: pd.DataFrame, about: Mapping[str, Any], session: str
) -> Findings:
    prices, issues = inspected_prices(settings, np.datetime64(session) - PRICES_SHOWN)
    return Findings(
        **about,
        forecasts=known,
        scores=metrics.score(known),
        coverage=metrics.coverage(known),
        calibration=calibration.calibration(known),
        pit=calibration.pit(known),
        verdicts=significance.verdicts(known),
        live=live,
        prices=prices,
        issues=issues,
        curves={},
        settings=pipeline.plain_settings(settings),
        versions=pipeline.package_versions(),
        tested="live record",
    )

"""Whether a forecast may be taken for fresh: computed when it is read, from the calendar and the clock.

Nothing here believes what a run said of itself: "last run: ok" is how a frozen forecast stays green.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app.config import Settings
from app.prices.calendar import calendar_for, closed_at, last_closed_session, sessions, sessions_after
from app.prices.providers import PROVIDERS

ALLOWED = 1
"""Closed sessions that a forecast may be behind: Yahoo may be a day late."""


@dataclass(frozen=True)
class Freshness:
    """How far the newest forecast of each symbol is behind its market.

    behind: symbol → sessions closed since the forecast's origin. until: from this moment (UTC) on the
    first of them is stale; None where nothing is due: the sample and files end when they end.
    """

    behind: Mapping[str, int]
    until: pd.Timestamp | None = None

    @property
    def age(self) -> int | None:
        """Sessions the furthest behind is behind; None when nothing was forecast."""
        return max(self.behind.values(), default=None)

    @property
    def ends(self) -> str:
        """`until` as ISO 8601 to the second, "" where nothing is due."""
        return "" if self.until is None else self.until.isoformat(timespec="seconds")

    @property
    def stale(self) -> str | None:
        """Why it must not be taken for fresh, in one line, or None."""
        late = {symbol: count for symbol, count in self.behind.items() if count > ALLOWED}
        if self.until is None or not late:
            return None
        worst = max(late, key=late.__getitem__)
        return (
            f"STALE: the newest forecast of {len(late)} symbol(s) is behind the market, "
            f"{worst} by {late[worst]} closed sessions. Fetch again."
        )

    @property
    def told(self) -> dict[str, Any]:
        """For a page or a program: stale, why not or None; fresh_until, "" for ever."""
        return {"stale": self.stale, "fresh_until": self.ends}


def freshness(settings: Settings, origins: Mapping[str, np.datetime64], now: pd.Timestamp | None = None) -> Freshness:
    """The freshness of forecasts at a moment.

    Args:
        origins: symbol → the newest session its forecast knows.
        now: with a time zone; the clock by default.
    """
    if settings.prices.source not in PROVIDERS:
        return Freshness(dict.fromkeys(origins, 0))
    moment = pd.Timestamp.now(tz="UTC") if now is None else now
    behind, ends = {}, []
    for symbol, origin in origins.items():
        calendar, day = calendar_for(symbol, name=settings.prices.calendar), np.datetime64(origin, "D")
        behind[symbol] = len(sessions(calendar, day + 1, last_closed_session(calendar, moment)))
        ends.append(closed_at(calendar, sessions_after(calendar, day, ALLOWED + 1)[-1]))
    return Freshness(behind, min(ends, default=None))


def newest_origins(live: pd.DataFrame) -> dict[str, np.datetime64]:
    """Symbol → the newest origin in a forecasts table."""
    return {str(symbol): np.datetime64(day, "D") for symbol, day in live.groupby("symbol")["origin"].max().items()}


def freshness_told(settings: Settings, live: pd.DataFrame, now: pd.Timestamp | None = None) -> dict[str, Any]:
    """`Freshness.told` of the newest forecasts in a table."""
    return freshness(settings, newest_origins(live), now).told

"""From prices to windows: the second stage of the street."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from app.dataset.features import WARM_UP, basis, feature_matrix
from app.dataset.outlook import market_columns, outlook_matrix
from app.dataset.targets import target
from app.dataset.windows import Panel, Windows, WindowSpec
from app.errors import DataError
from app.prices.adjust import total_returns
from app.prices.calendar import calendar_for, days_to_next, sessions, sessions_after

log = logging.getLogger(__name__)


def make_windows(prices: pd.DataFrame, spec: WindowSpec, calendar: str | None = None) -> Windows:
    """Turn a sound price table into windows of features with their targets.

    Args:
        prices: sound price table (`app.prices.quality.sound`), as traded.
        spec: lookback, horizons and target.
        calendar: name of the exchange calendar; None means the one each symbol's suffix tells.

    Returns:
        Every window whose lookback is complete, including the newest, whose targets are NaN. A
        target counts as known only if the table has the very session it refers to: a missing
        session never shifts a horizon.

    Raises:
        DataError: no symbol has enough sessions.
    """
    parts, calendars, short = {}, [], []
    for symbol, rows in prices.groupby("symbol", sort=True):
        if len(rows) < _needed(spec):
            short.append(f"{symbol}: {len(rows)} sessions")
            continue
        calendars.append(calendar_for(str(symbol), rows["date"].to_numpy(), calendar))
        parts[str(symbol)] = _symbol_rows(rows, spec, calendars[-1])
    if short:
        _report_short(short, spec, enough=bool(parts))
    if not parts:
        raise DataError("prices: no sound rows to learn from. `python -m app prices check` lists why.")
    _add_market(list(parts.values()), calendars, _needed(spec))
    panel = _join(parts, spec)
    return Windows(panel, panel.usable_ends(spec.lookback))


def what_happened(prices: pd.DataFrame, horizons: Sequence[int], calendar: str | None = None) -> pd.DataFrame:
    """The actuals alone, without a window or a feature: for forecasts of returns made earlier.

    Args:
        prices, calendar: as for `make_windows`; symbols with few rows are not left out.
        horizons: sessions ahead, rising.

    Returns:
        Columns symbol, origin, horizon, actual (log return), one row for each row of prices that is a session and each
        horizon; NaN where not known.
    """
    tables, ahead = [], np.array(horizons)
    for symbol, rows in prices.groupby("symbol", sort=True):
        own, days, number, _ = _on_line(
            rows, int(ahead[-1]), calendar_for(str(symbol), rows["date"].to_numpy(), calendar)
        )
        known = pd.DataFrame({"returns": total_returns(own)})
        actual = target("return").actual(known, number, number[:, None] + ahead)
        columns = {"symbol": str(symbol), "origin": np.repeat(days, len(ahead)).astype("datetime64[ns]")}
        tables.append(pd.DataFrame({**columns, "horizon": np.tile(ahead, len(days)), "actual": actual.reshape(-1)}))
    return pd.concat(tables, ignore_index=True)


def _needed(spec: WindowSpec) -> int:
    """Sessions a symbol must have for one window with a target."""
    return spec.lookback + spec.horizons[-1] + WARM_UP


def _report_short(short: list[str], spec: WindowSpec, enough: bool) -> None:
    """Say which symbols are too short, or refuse when there are no others."""
    more = f" and {len(short) - 5} more symbols" if len(short) > 5 else ""
    reason = (
        f"window.lookback {spec.lookback} + horizon {spec.horizons[-1]} + {WARM_UP} to warm up need {_needed(spec)}"
    )
    if not enough:
        raise DataError(
            f"{'; '.join(short[:5])}{more}, but {reason}. Fetch more history, or shorten --lookback or --horizons."
        )
    log.warning("left out: %s%s; %s", "; ".join(short[:5]), more, reason)


def _symbol_rows(prices: pd.DataFrame, spec: WindowSpec, calendar: str) -> dict[str, np.ndarray]:
    """The panel's columns for one symbol."""
    prices, days, number, line = _on_line(prices, spec.horizons[-1], calendar)
    known = basis(prices, days_to_next(calendar, days))
    ahead = number[:, None] + np.array(spec.horizons)
    return {
        "date": days,
        "close": prices["close"].to_numpy(float),
        "returns": known["returns"].to_numpy().copy(),
        "volatility": known["volatility"].to_numpy().copy(),
        "features": feature_matrix(known),
        "outlook": outlook_matrix(known, days),
        "target": line[ahead],
        "actual": target(spec.target).actual(known, number, ahead),
    }


def _on_line(
    prices: pd.DataFrame, furthest: int, calendar: str
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """The rows on sessions, their days, their numbers, and all sessions from the first to beyond `furthest` ahead."""
    days = prices["date"].to_numpy().astype("datetime64[D]")
    line = np.concatenate([sessions(calendar, days[0], days[-1]), sessions_after(calendar, days[-1], furthest + 1)])
    on_line = np.isin(days, line)
    prices, days = prices[on_line], days[on_line]
    return prices, days, np.searchsorted(line, days), line


def _add_market(parts: list[dict[str, np.ndarray]], calendars: list[str], needed: int) -> None:
    """Give the outlook of each symbol the columns of its market, to which a symbol belongs from `needed` rows on.

    With fewer it is left out of the windows: a day's market must not depend on how long a symbol is listed after it.
    """
    given = []
    for calendar, part in zip(calendars, parts, strict=True):
        listed = np.arange(len(part["date"]))[:, None] >= needed - 1
        given.append((calendar, part["date"], np.where(listed, part["outlook"], np.nan)))
    for part, market in zip(parts, market_columns(given), strict=True):
        part["outlook"] = np.column_stack([part["outlook"], market]).astype("float32")


def _join(parts: dict[str, dict[str, np.ndarray]], spec: WindowSpec) -> Panel:
    lengths = [len(part["date"]) for part in parts.values()]
    columns = {name: np.concatenate([part[name] for part in parts.values()]) for name in next(iter(parts.values()))}
    return Panel(
        spec=spec,
        symbols=tuple(parts),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        code=np.repeat(np.arange(len(parts), dtype=np.int32), lengths),
        **columns,
    )

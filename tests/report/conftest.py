"""Findings as a real run would make them, from the real sample through a few simple quantile models."""

import arch.data.nasdaq
import arch.data.sp500
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from app.evaluation import calibration, metrics, significance
from app.report.page import Findings
from app.schema import ISSUE_COLUMNS, LEVELS, QUANTILES, prices_table

HORIZONS = (1, 5, 20)
DECAY = {"ewma": 0.94, "gjr-garch": 0.92, "lstm": 0.93, "gru": 0.9, "quantile-boosting": 0.97, "simple-rnn": 0.88}
MODELS = ("random-walk", *DECAY)


def price_rows(symbol: str, raw: pd.DataFrame) -> pd.DataFrame:
    table = raw.rename(columns=str.lower).rename_axis("date").reset_index()
    return prices_table(table.assign(symbol=symbol))


def quantile_rows(model: str, prices: pd.DataFrame, horizon: int, newest: bool) -> pd.DataFrame:
    """Normal or Student quantiles around zero, with the standard deviation known at each origin."""
    close = prices["close"].to_numpy()
    returns = pd.Series(np.append(np.nan, np.diff(np.log(close))))
    if model == "random-walk":
        deviation = returns.rolling(250).std()
    else:
        lean = np.where(returns < 0, 1.5, 0.5) if model in ("gjr-garch", "lstm") else 1.0
        deviation = np.sqrt((lean * returns**2).ewm(alpha=1 - DECAY[model]).mean())
    unit = stats.norm.ppf(LEVELS) if model in ("random-walk", "ewma") else stats.t.ppf(LEVELS, 5) * np.sqrt(3 / 5)
    slope = 0.03 if model in ("lstm", "gru", "simple-rnn") else 0.0
    future = pd.Series(pd.bdate_range(prices["date"].iloc[-1], periods=horizon + 1)[1:])
    days = pd.concat([prices["date"], future], ignore_index=True)
    last = len(close)
    origins = np.array([last - 1]) if newest else np.arange(last - 760, last - horizon)
    width = deviation.to_numpy()[origins] * np.sqrt(horizon)
    middle = (0.0002 * horizon if slope else 0.0) - slope * returns.to_numpy()[origins]
    quantiles = middle[:, None] + width[:, None] * unit
    actual = np.nan if newest else np.log(close[origins + horizon] / close[origins])
    keys = {"model": model, "symbol": prices["symbol"].iloc[0], "origin": prices["date"].to_numpy()[origins]}
    facts = {"horizon": horizon, "date": days.to_numpy()[origins + horizon], "origin_close": close[origins]}
    return pd.DataFrame({**keys, **facts, **dict(zip(QUANTILES, quantiles.T, strict=True)), "actual": actual})


def curve(scale: float, epochs: int) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    wave = 0.004 * np.sin(3.0 * epoch)
    loss = scale * (0.27 + 0.05 * np.exp(-epoch / 3))
    validation = loss + 0.01 + wave + 0.0008 * epoch
    kept = epoch == epoch[-2]
    return pd.DataFrame({"epoch": epoch, "loss": loss, "validation_loss": validation, "kept": kept})


def make_findings() -> Findings:
    raw = {"S&P 500": arch.data.sp500.load(), "NASDAQ": arch.data.nasdaq.load()}
    prices = pd.concat([price_rows(name, rows) for name, rows in raw.items()], ignore_index=True)
    parts = [part for _, part in prices.groupby("symbol", sort=False)]
    tables = {
        newest: pd.concat(
            [quantile_rows(model, part, h, newest) for model in MODELS for part in parts for h in HORIZONS],
            ignore_index=True,
        )
        for newest in (False, True)
    }
    issues = [
        ("S&P 500", pd.Timestamp("2001-09-11"), "missing-session", "warning", "no row for a session of XNYS"),
        ("NASDAQ", pd.Timestamp("2003-02-17"), "spike", "error", "close 1,331.23 is 12 times its neighbours"),
    ]
    return Findings(
        title="What the next sessions may bring",
        made_at="2019-01-01T06:30:00+00:00",
        forecasts=tables[False],
        scores=metrics.score(tables[False]),
        coverage=metrics.coverage(tables[False]),
        calibration=calibration.calibration(tables[False]),
        pit=calibration.pit(tables[False]),
        verdicts=significance.verdicts(tables[False]),
        live=tables[True],
        prices=prices,
        issues=pd.DataFrame(issues, columns=list(ISSUE_COLUMNS)),
        curves={"lstm": curve(1.0, 14), "gru": curve(1.02, 11), "simple-rnn": curve(1.1, 9)},
        settings={
            "seed": 7,
            "models": list(MODELS),
            "window": {"lookback": 60, "horizons": list(HORIZONS)},
            "network": {"units": 16, "epochs": 20, "rate": 3e-3, "every_step": True},
            "prices": {"source": "sample"},
        },
        versions={"python": "3.11.2", "keras": "3.15.1", "tensorflow": "2.21.0", "pandas": "3.0.1", "app": "0.1.0"},
    )


@pytest.fixture(scope="session")
def findings() -> Findings:
    return make_findings()

"""From log returns to prices: the only place where a forecast becomes an amount of money."""

import numpy as np
import pandas as pd

from app.evaluation.conformal import SUFFIX
from app.evaluation.loss import chance
from app.forecasters import MODELS, NETWORKS
from app.prices.adjust import adjusted
from app.schema import MEDIAN, QUANTILES

REFERENCES = tuple(name for name in MODELS if name not in NETWORKS)
"""Models that a network is compared with."""

BESIDE = ("random-walk", "gjr-garch")
"""The naive model and the strongest classical one: they stand beside every number."""

SHOWN = ("q0.05", "q0.25", MEDIAN, "q0.75", "q0.95")
"""The quantiles that a table shows as prices."""


def base_model(model: str) -> str:
    """The model that was corrected, of one that was."""
    return model.removesuffix(SUFFIX)


def main_model(forecasts: pd.DataFrame) -> str | None:
    """The first network in a forecasts table, else the first model that is no reference, else any; None if empty."""
    models = list(dict.fromkeys(forecasts["model"]))
    networks = [model for model in models if base_model(model) not in REFERENCES]
    others = [model for model in models if model not in BESIDE]
    return (networks or others or models or [None])[0]


def price_table(forecasts: pd.DataFrame) -> pd.DataFrame:
    """The forecasts of a live run in prices, for a table or a file.

    Returns:
        model, symbol, origin, horizon, date, origin_close, the prices p0.05, p0.25, p0.50, p0.75 and
        p0.95, as traded at the origin, and chance_of_rise.
    """
    table = forecasts[["model", "symbol", "origin", "horizon", "date", "origin_close"]].reset_index(drop=True)
    for name in SHOWN:
        table[name.replace("q", "p")] = (forecasts["origin_close"] * np.exp(forecasts[name])).to_numpy()
    return table.assign(chance_of_rise=chance_of_rise(forecasts))


def volatility_table(forecasts: pd.DataFrame) -> pd.DataFrame:
    """The forecasts of a live run whose target is volatility, per session, for a table or a file.

    Returns:
        model, symbol, origin, horizon, date, origin_close, and the volatilities v0.05, v0.25, v0.50, v0.75 and v0.95.
    """
    table = forecasts[["model", "symbol", "origin", "horizon", "date", "origin_close"]].reset_index(drop=True)
    for name in SHOWN:
        table[name.replace("q", "v")] = np.exp(forecasts[name]).to_numpy()
    return table


def live_table(forecasts: pd.DataFrame, signed: bool) -> pd.DataFrame:
    """`price_table`, or `volatility_table` where quantiles are of a log volatility."""
    return price_table(forecasts) if signed else volatility_table(forecasts)


def priced(forecasts: pd.DataFrame, prices: pd.DataFrame) -> pd.DataFrame:
    """A forecasts table with prices in place of log returns, all in today's shares.

    Args:
        forecasts: a forecasts table; origin_close is as traded at the origin.
        prices: a price table, whose later splits turn an old share into today's.

    Returns:
        A new table: origin_close in today's shares, and quantiles and actual as
        origin_close * exp(log return), that is, with the dividends of those sessions included.
    """
    base = forecasts["origin_close"].to_numpy() / _shares_since_origin(forecasts, prices)
    table = forecasts.assign(origin_close=base)
    for name in (*QUANTILES, "actual"):
        table[name] = base * np.exp(forecasts[name].to_numpy(dtype=float))
    return table


def history(prices: pd.DataFrame, symbol: str, sessions: int) -> pd.DataFrame:
    """The last `sessions` rows of one symbol, adjusted for splits only."""
    rows = prices[prices["symbol"] == symbol].sort_values("date")
    return adjusted(rows, dividends=False).dropna(subset=["close"]).tail(sessions)


def chance_of_rise(forecasts: pd.DataFrame) -> np.ndarray:
    """(rows,) probability that the log return is above 0, interpolated between the quantiles.

    Nothing is known of the tails: the answer is never below the lowest level nor above the highest,
    so 0.05 means "at most 5 %" and 0.95 "at least 95 %".
    """
    return chance(forecasts[list(QUANTILES)].to_numpy(dtype=float))


def _shares_since_origin(forecasts: pd.DataFrame, prices: pd.DataFrame) -> np.ndarray:
    """(rows,) shares of today per share of the origin: the product of the splits after it."""
    shares = np.ones(len(forecasts))
    concerned = prices["symbol"].isin(set(forecasts["symbol"])) & (prices["split"] != 1.0)
    splits = prices.loc[concerned & (prices["date"] > forecasts["origin"].min()), ["symbol", "date", "split"]]
    symbol, origin = forecasts["symbol"].to_numpy(), forecasts["origin"].to_numpy()
    for row in splits.itertuples(index=False):
        shares[(symbol == row.symbol) & (origin < np.datetime64(row.date))] *= row.split
    return shares

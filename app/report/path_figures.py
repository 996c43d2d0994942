"""Forecasts through time: beside what happened, and from now on.

Every figure is narrow enough to be read on a telephone, as in `figures`.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.report.figures import WIDTH
from app.report.style import ACTUAL, NAIVE_LINE, dates, heading, look, money, percent, plain, styled
from app.report.wording import count, price
from app.schema import MEDIAN, QUANTILES

BANDS = (("q0.05", "q0.95", 0.16, "90 % band"), ("q0.25", "q0.75", 0.34, "50 % band"))


@styled
def against_actuals(priced: pd.DataFrame, returns: pd.DataFrame, title: str) -> Figure:
    """Forecasts of one model, symbol and horizon beside what happened, as prices and as returns.

    Args:
        priced: a forecasts table in prices, see `pricing.priced`, in order of date.
        returns: the same rows in log returns.
        title: what the figure is about.
    """
    color = look(priced["model"].iloc[0])[0]
    figure = Figure(figsize=(WIDTH, 4.5), layout="constrained")
    top, bottom = figure.subplots(2, sharex=True, height_ratios=(1.75, 1.0))
    _fan(top, priced, color)
    top.plot(priced["date"], priced[MEDIAN], color=color, linewidth=1.6, label="median")
    top.plot(priced["date"], priced["origin_close"], **NAIVE_LINE)
    top.plot(priced["date"], priced["actual"], color=ACTUAL, linewidth=1.3, label="actual")
    top.set_ylabel("price")
    top.margins(x=0.01)
    money(top)
    heading(top, plain(title, 44), legend_rows=2, columns=3)
    _fan(bottom, returns, color)
    inside = returns["actual"].between(returns["q0.05"], returns["q0.95"])
    for rows, face in ((inside, ACTUAL), (~inside, "white")):
        hit = returns[rows]
        bottom.plot(
            hit["date"], hit["actual"], "o", markersize=2.6, color=ACTUAL, markerfacecolor=face, markeredgewidth=0.8
        )
    bottom.plot(returns["date"], np.zeros(len(returns)), **NAIVE_LINE)
    bottom.margins(x=0.01)
    bottom.set_ylabel("log return")
    percent(bottom.yaxis)
    dates(bottom)
    figure.align_ylabels()
    return figure


@styled
def volatility_against_actuals(forecasts: pd.DataFrame, last: pd.Series, title: str) -> Figure:
    """Forecasts of the volatility per session of one model, symbol and horizon beside what it came to be.

    Args:
        forecasts: rows of a forecasts table whose quantiles and actuals are logs of a volatility, in order of date.
        last: the random walk's median, a log as well, on the index of `forecasts`.
        title: what the figure is about.
    """
    color = look(forecasts["model"].iloc[0])[0]
    level = forecasts.assign(**{name: np.exp(forecasts[name].astype(float)) for name in (*QUANTILES, "actual")})
    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    axes = figure.subplots()
    _fan(axes, level, color)
    axes.plot(level["date"], np.exp(last), **NAIVE_LINE)
    axes.plot(level["date"], level["actual"], color=ACTUAL, linewidth=0.9, marker="o", markersize=1.8, label="actual")
    axes.plot(level["date"], level[MEDIAN], color=color, linewidth=1.6, label="median")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.set_ylabel("volatility per session")
    percent(axes.yaxis)
    dates(axes)
    heading(axes, plain(title, 44), legend_rows=2, columns=3)
    return figure


def _fan(axes: Axes, table: pd.DataFrame, color: str) -> None:
    for low, high, alpha, label in BANDS:
        axes.fill_between(table["date"], table[low], table[high], color=color, alpha=alpha, linewidth=0, label=label)


@styled
def newest(past: pd.DataFrame, priced: pd.DataFrame, title: str) -> Figure:
    """The newest forecast of one symbol as a fan that opens from its last close.

    Args:
        past: columns date and close, the sessions up to the origin.
        priced: the symbol's rows of a forecasts table in prices, one per horizon.
        title: what the figure is about.
    """
    color = look(priced["model"].iloc[0])[0]
    fan = _from_origin(priced)
    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    axes = figure.subplots()
    _fan(axes, fan, color)
    axes.plot(past["date"], past["close"], color=ACTUAL, linewidth=1.3, label="close")
    axes.plot(fan["date"], fan[MEDIAN], color=color, marker="o", markersize=3, label="median")
    axes.plot(fan["date"], fan["origin_close"], **NAIVE_LINE)
    axes.set_ylabel("price")
    axes.margins(x=0.01)
    money(axes)
    dates(axes)
    heading(axes, plain(title, 44), legend_rows=2, columns=3)
    _label_ends(axes, fan.iloc[-1], color)
    return figure


def _from_origin(priced: pd.DataFrame) -> pd.DataFrame:
    """The rows of every horizon, after one of the origin itself, where all quantiles are the last close."""
    fan = priced.sort_values("horizon")
    start = fan.iloc[[0]].copy()
    start["date"] = start["origin"]
    for name in [name for name in fan.columns if name.startswith("q0.")]:
        start[name] = start["origin_close"]
    return pd.concat([start, fan], ignore_index=True)


def _label_ends(axes: Axes, end: pd.Series, color: str) -> None:
    """Write the last 5 %, median and 95 % prices beside the fan, moved apart where they would touch."""
    low, high = axes.get_ylim()
    points = (high - low) / (0.6 * 72 * axes.figure.get_figheight())
    gap = 11 * points
    places = {
        "q0.05": min(end["q0.05"], end[MEDIAN] - gap),
        MEDIAN: end[MEDIAN],
        "q0.95": max(end["q0.95"], end[MEDIAN] + gap),
    }
    for name, title in (("q0.05", "5 %:"), (MEDIAN, "median"), ("q0.95", "95 %:")):
        axes.annotate(
            f"{title} {price(end[name]) if end[name] < 1000 else count(end[name])}",
            xy=(1.0, places[name]),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=color,
            fontsize=8.5,
            fontweight="bold" if name == MEDIAN else "normal",
        )

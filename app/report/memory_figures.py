"""Figures of how far back a network remembers and what its forecasts rest on, from the tables of an inspection."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from app.report.figures import WIDTH
from app.report.style import INK, MUTED, NAME, PAPER, heading, look, percent, plain, styled

LAG = "sessions before the origin"
FADED = 1e-6
"""Share of the largest gradient below which a curve is no longer followed."""

SHADES = LinearSegmentedColormap.from_list("shades", [PAPER, "#7fb3d9", "#0063a6", "#002b49"])


@styled
def memory(table: pd.DataFrame, title: str) -> Figure:
    """Norm of the gradient of a forecast by the session it is taken at, on a logarithmic scale.

    Args:
        table: rows of `memory` of one part and horizon, of any number of networks.
        title: what the figure is about.
    """
    models = list(dict.fromkeys(table["model"]))
    figure = Figure(figsize=(WIDTH, 3.1 + 0.2 * (-(-len(models) // 3))), layout="constrained")
    axes = figure.subplots()
    last, largest = 1, 0.0
    for model, rows in table.groupby("model", sort=False):
        rows = rows.sort_values("lag")
        followed = rows[rows["mean"] > FADED * rows["mean"].max()]
        if followed.empty:
            continue
        shown = rows[rows["lag"] <= followed["lag"].max()]
        color = look(str(model))[0]
        low = np.maximum(shown["low"], FADED * rows["mean"].max())
        axes.fill_between(shown["lag"], low, np.maximum(shown["high"], low), color=color, alpha=0.13, linewidth=0)
        axes.plot(
            shown["lag"], np.where(shown["mean"] > 0, shown["mean"], np.nan), color=color, label=plain(model, NAME)
        )
        last, largest = max(last, int(followed["lag"].max())), max(largest, float(rows["mean"].max()))
    if largest > 0:
        axes.set_yscale("log")
        axes.set_ylim(bottom=largest * FADED / 2)
        axes.yaxis.set_major_locator(LogLocator(numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=LAG, ylabel="norm of the gradient")
    towards_origin(axes, last)
    heading(axes, plain(title, 44), legend_rows=-(-len(models) // 3) if largest else 0, columns=3)
    return figure


@styled
def spectrum(table: pd.DataFrame, title: str) -> Figure:
    """Singular values of one step of the state, the largest first; at 1 a difference neither fades nor grows.

    Args:
        table: rows of `spectrum` of any number of networks; the first layer of each is drawn.
        title: what the figure is about.
    """
    models = list(dict.fromkeys(table["model"]))
    figure = Figure(figsize=(WIDTH, 2.9 + 0.2 * (-(-len(models) // 3))), layout="constrained")
    axes = figure.subplots()
    axes.axhline(1, color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    for model, rows in table.groupby("model", sort=False):
        first = rows[rows["layer"] == rows["layer"].iloc[0]].sort_values("rank")
        color, marker = look(str(model))
        axes.fill_between(first["rank"], first["low"], first["high"], color=color, alpha=0.15, linewidth=0)
        axes.plot(first["rank"], first["mean"], color=color, marker=marker, markersize=3, label=plain(model, NAME))
    axes.set(xlabel="rank, of the size of the state", ylabel="singular value")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    heading(axes, plain(title, 44), legend_rows=-(-len(models) // 3), columns=3)
    return figure


@styled
def attribution(table: pd.DataFrame, title: str) -> Figure:
    """Mean size of the contribution of every feature at every session, the origin on the right.

    Args:
        table: rows of `attribution` of one network, part and horizon.
        title: what the figure is about.
    """
    features = list(dict.fromkeys(table["feature"]))
    grid = table.pivot(index="feature", columns="lag", values="size").loc[features]
    shown = _until_faded(grid)
    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    axes = figure.subplots()
    edges = np.arange(shown.shape[1] + 1) - 0.5
    drawn = axes.pcolormesh(edges, np.arange(len(features) + 1), shown.to_numpy(), cmap=SHADES, vmin=0)
    axes.set_yticks(np.arange(len(features)) + 0.5, features)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(features), 0)
    axes.set_xlim(edges[-1], edges[0])
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(visible=False)
    axes.set_xlabel(LAG)
    bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=30)
    bar.set_label("mean size of the contribution", color=MUTED, fontsize=8.5)
    bar.outline.set_visible(False)
    heading(axes, plain(title, 44), legend_rows=0)
    return figure


@styled
def importance(shares: pd.DataFrame, permuted: pd.DataFrame, title: str) -> Figure:
    """Every feature by its share of the contributions, and by what the CRPS loses when it is permuted.

    Args:
        shares: columns feature, share, in the order to be shown.
        permuted: columns feature, increase, deviation.
        title: what the figure is about.
    """
    figure = Figure(figsize=(WIDTH, 0.9 + 0.24 * len(shares)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    place = np.arange(len(shares))
    color = look(title.split(" ·")[0])[0]
    left.barh(place, shares["share"], color=color, alpha=0.75, height=0.65)
    found = permuted.set_index("feature").loc[shares["feature"]]
    right.axvline(0, color=INK, linewidth=1.0)
    right.hlines(place, found["increase"] - found["deviation"], found["increase"] + found["deviation"], color=color,
                 linewidth=2.6, alpha=0.45)  # fmt: skip
    right.plot(found["increase"], place, "o", color=color, markersize=4.5)
    left.set_yticks(place, shares["feature"])
    left.set_ylim(len(shares) - 0.4, -0.6)
    for axes, label in ((left, "share of contributions"), (right, "CRPS when permuted")):
        axes.set_xlabel(label)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        percent(axes.xaxis)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    figure.suptitle(plain(title, 44), x=0.01, ha="left", fontsize=10.5, fontweight="bold", color=INK)
    return figure


def towards_origin(axes: Axes, last: int) -> None:
    """Time runs to the right, as everywhere else: the origin, lag 0, is at the right edge."""
    axes.set_xlim(max(last, 1), 0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _until_faded(grid: pd.DataFrame) -> pd.DataFrame:
    """The lags up to the last at which any feature still adds a hundredth of the largest contribution."""
    seen = np.flatnonzero((grid.to_numpy() > 0.01 * max(grid.to_numpy().max(), 1e-30)).any(axis=0))
    return grid.iloc[:, : max(10, seen[-1] + 1 if len(seen) else 0)]

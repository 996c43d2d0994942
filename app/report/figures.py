"""Tables in, figures out: nothing here computes a score, writes a file or keeps a state.

Every figure is narrow enough to be read on a telephone: a page sets them side by side where it has room.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from app.report.style import (
    INK,
    MUTED,
    NAME,
    PAPER,
    ahead,
    heading,
    look,
    percent,
    plain,
    styled,
)

WIDTH = 4.8


@styled
def skill(ratios: pd.DataFrame, reference: str, columns: int = 1) -> Figure:
    """CRPS of every model as a multiple of the reference's: a dot, and an interval where one is known.

    Args:
        ratios: columns model, horizon, ratio, low, high; low and high are NaN where not known.
        reference: the model whose CRPS is 1.
        columns: how many horizons stand side by side.
    """
    horizons = sorted(ratios["horizon"].unique())
    columns = min(columns, len(horizons))
    rows = -(-len(horizons) // columns)
    models = list(dict.fromkeys(ratios["model"]))
    size = (5.2 if columns == 1 else 11.0, 0.4 + rows * (0.5 + 0.27 * len(models)))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, horizon in zip(panels, horizons, strict=False):
        part = ratios[ratios["horizon"] == horizon].set_index("model").reindex(models)
        _dots_and_intervals(axes, part)
        heading(axes, ahead(horizon), legend_rows=0)
    for axes in panels[len(horizons) :]:
        axes.set_visible(False)
    panels[0].xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    panels[0].set_yticks(range(len(models)), [plain(model, NAME) for model in models])
    panels[0].set_ylim(len(models) - 0.4, -0.6)
    panels[0].margins(x=0.08)
    figure.supxlabel(f"CRPS relative to {plain(reference)} (= 1); further left is better", fontsize=9, color=MUTED)
    return figure


def _dots_and_intervals(axes: Axes, part: pd.DataFrame) -> None:
    axes.axvline(1.0, color=INK, linewidth=1.0, zorder=1)
    for place, (model, row) in enumerate(part.iterrows()):
        color, marker = look(str(model))
        if np.isfinite(row["low"]) and np.isfinite(row["high"]):
            axes.hlines(place, row["low"], row["high"], color=color, linewidth=2.6, alpha=0.5)
        axes.plot([row["ratio"]], [place], marker=marker, color=color, markersize=5.5, linestyle="none", label=model)
        if np.isfinite(row["ratio"]):
            place_at_edge = {"xy": (1.0, place), "xycoords": axes.get_yaxis_transform(), "va": "center_baseline"}
            axes.annotate(f"{row['ratio']:.3f}", **place_at_edge, xytext=(6, 0), textcoords="offset points")
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


@styled
def coverage(reached: pd.DataFrame, title: str) -> Figure:
    """Share of actuals inside each central interval, against the share that was promised.

    Args:
        reached: columns model, nominal, reached, low, high of one horizon. The first model is drawn
            with its band from low to high, the others as lines.
        title: what the figure is about.
    """
    models = list(dict.fromkeys(reached["model"]))
    figure = Figure(figsize=(3.4, 3.7), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    for place, model in enumerate(models):
        part = reached[reached["model"] == model].sort_values("nominal")
        color, marker = look(model)
        axes.plot(
            part["nominal"],
            part["reached"],
            color=color,
            marker=marker,
            markersize=4.5 if place == 0 else 3,
            linewidth=1.8 if place == 0 else 1.0,
            label=plain(model, NAME),
            zorder=4 if place == 0 else 2,
        )
        if place == 0:
            axes.fill_between(part["nominal"], part["low"], part["high"], color=color, alpha=0.2, linewidth=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="promised", ylabel="reached")
    percent(axes.xaxis)
    percent(axes.yaxis)
    heading(axes, plain(title, 40), legend_rows=-(-len(models) // 2), columns=2)
    return figure


@styled
def pit(histogram: pd.DataFrame, title: str) -> Figure:
    """How often actuals fell between neighbouring quantiles, against the 5 % that belong there.

    Args:
        histogram: `evaluation.calibration.pit` of one horizon. The first model is drawn as bars with their
            bands, the open tails hatched, the others as lines.
        title: what the figure is about.
    """
    models = list(dict.fromkeys(histogram["model"]))
    figure = Figure(figsize=(3.4, 3.1), layout="constrained")
    axes = figure.subplots()
    for place, model in enumerate(models):
        part = histogram[histogram["model"] == model].sort_values("above")
        color = look(model)[0]
        if place == 0:
            _cells(axes, part, color)
        else:
            edges = [*part["above"], 1.0]
            axes.stairs(
                part["share"], edges, baseline=None, color=color, linewidth=1.2, label=plain(model, NAME), zorder=3
            )
    axes.axhline(0.05, color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=4)
    axes.set(xlim=(0, 1), xlabel="level of the forecast at which the actual fell", ylabel="share of actuals")
    axes.set_ylim(0, max(0.1, 1.1 * np.nanmax(histogram[["share", "high"]].to_numpy())))
    percent(axes.xaxis)
    percent(axes.yaxis)
    heading(axes, plain(title, 40), legend_rows=-(-len(models) // 2), columns=2)
    return figure


def _cells(axes: Axes, part: pd.DataFrame, color: str) -> None:
    width, middle = part["below"] - part["above"], (part["above"] + part["below"]) / 2
    bars = axes.bar(middle, part["share"], width=0.9 * width, color=color, alpha=0.5)
    bars[1].set_label(plain(part["model"].iloc[0], NAME))
    for tail in (bars[0], bars[-1]):
        tail.set(hatch="////", edgecolor=PAPER, linewidth=0)
    axes.vlines(middle, part["low"], part["high"], color=color, linewidth=1.2)


@styled
def learning(curve: pd.DataFrame, title: str) -> Figure:
    """Loss by epoch in training and in validation, with the epoch that was kept.

    Args:
        curve: columns epoch, loss, validation_loss, kept (true in one row), and member where several
            networks are averaged.
        title: what the figure is about; its first word, up to a comma, is the model.
    """
    color = look(title.split(",")[0])[0]
    members = [part for _, part in curve.groupby("member")] if "member" in curve else [curve]
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = figure.subplots()
    dots = {"marker": "o", "markersize": 3}
    for place, member in enumerate(members):
        names = ("training", "validation", "kept") if place == 0 else (None, None, None)
        axes.plot(member["epoch"], member["loss"], color=MUTED, linestyle=(0, (4, 2)), label=names[0], **dots)
        axes.plot(member["epoch"], member["validation_loss"], color=color, label=names[1], **dots)
        kept = member[member["kept"].astype(bool)]
        ring = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "linestyle": "none"}
        axes.plot(kept["epoch"], kept["validation_loss"], color=color, label=names[2], **ring)
    axes.set(xlabel="epoch", ylabel="mean pinball loss, scaled")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    heading(axes, plain(title, 40), legend_rows=1, columns=3)
    return figure

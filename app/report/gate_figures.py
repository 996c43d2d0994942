"""Figures of what gates and states do, from the tables of an inspection."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.report.figures import WIDTH
from app.report.memory_figures import LAG, SHADES, towards_origin
from app.report.style import INK, PAPER, ahead, heading, look, percent, plain, styled

GATE_LOOKS = {
    "forget": ("#0063a6", "-"),
    "input": ("#00805c", (0, (5, 1.5))),
    "output": ("#c94f00", (0, (2, 1.2))),
    "depth": ("#7a5fb5", (0, (5, 1.5, 1, 1.5))),
    "update": ("#0063a6", "-"),
    "reset": ("#c94f00", (0, (2, 1.2))),
}
"""Colour and line of each gate."""

HELD_LOOKS = {"mean": ("o", "at its mean"), "absent": ("D", "as if absent"), "one": ("D", "at 1")}
LAYERS = 4
"""Layers shown, from the data up."""


@styled
def gate_histograms(table: pd.DataFrame, title: str) -> Figure:
    """How often each gate is how open.

    Args:
        table: `gate_histograms` of one network.
        title: what the figure is about.
    """
    figure, panels = _layers(table, 2.3)
    for axes, part in panels:
        for gate, cells in part.groupby("gate", sort=False):
            color, line = GATE_LOOKS[str(gate)]
            edges = [*cells["above"], cells["below"].iloc[-1]]
            axes.stairs(cells["share"], edges, baseline=None, color=color, linestyle=line, linewidth=1.6, label=gate)
        axes.set(xlim=(0, 1), ylabel="share")
        axes.set_ylim(bottom=0)
        percent(axes.yaxis)
    _finish(panels, title, "activation of the gate: 0 is shut, 1 is open")
    return figure


@styled
def gate_lags(table: pd.DataFrame, title: str) -> Figure:
    """Each gate along the window, the origin on the right: mean over units and windows, and where 80 % lie.

    Args:
        table: `gate_lags` of one network.
        title: what the figure is about.
    """
    figure, panels = _layers(table, 2.3)
    for axes, part in panels:
        for rows, looks in _gates_by_lag(part):
            axes.fill_between(rows["lag"], rows["low"], rows["high"], color=looks["color"], alpha=0.12, linewidth=0)
            axes.plot(rows["lag"], rows["mean"], **looks)
        axes.set(ylim=(0, 1), ylabel="activation")
        towards_origin(axes, part["lag"].max())
    _finish(panels, title, LAG)
    return figure


@styled
def gate_ends(table: pd.DataFrame, title: str) -> Figure:
    """How often each gate is wide open (upwards) and shut (downwards) along the window, the origin on the right.

    Args:
        table: `gate_lags` of one network.
        title: what the figure is about.
    """
    figure, panels = _layers(table, 2.3)
    for axes, part in panels:
        for rows, looks in _gates_by_lag(part):
            axes.plot(rows["lag"], rows["open"], **looks)
            axes.plot(rows["lag"], -rows["shut"], **{**looks, "label": None})
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * abs(share):g}\u00a0%")
        axes.set_ylabel("below 0.1 | above 0.9")
        towards_origin(axes, part["lag"].max())
    _finish(panels, title, LAG)
    return figure


@styled
def gate_horizons(table: pd.DataFrame, title: str) -> Figure:
    """Each gate of a decoder at each horizon: mean over units and windows, and where 80 % lie.

    Args:
        table: `gate_horizons` of one network.
        title: what the figure is about.
    """
    figure, panels = _layers(table, 2.3)
    for axes, part in panels:
        gates, horizons = list(dict.fromkeys(part["gate"])), list(dict.fromkeys(part["horizon"]))
        for number, gate in enumerate(gates):
            color, line = GATE_LOOKS[str(gate)]
            rows = part[part["gate"] == gate].sort_values("horizon")
            place = np.arange(len(rows)) + 0.12 * (number - (len(gates) - 1) / 2)
            axes.vlines(place, rows["low"], rows["high"], color=color, linewidth=2.4, alpha=0.45)
            axes.plot(place, rows["mean"], color=color, linestyle=line, marker="o", markersize=4, label=gate)
        axes.set(ylim=(0, 1), ylabel="activation")
        axes.set_xticks(range(len(horizons)), [str(horizon) for horizon in horizons])
    _finish(panels, title, "horizon, sessions ahead")
    return figure


@styled
def traces(table: pd.DataFrame, title: str) -> Figure:
    """The state of every unit while one window is read, the origin on the right.

    Args:
        table: `traces` of one network.
        title: what the figure is about.
    """
    figure, panels = _layers(table, 2.1)
    for axes, part in panels:
        for unit, rows in part.groupby("unit"):
            rows = rows.sort_values("lag")
            shade = SHADES(0.35 + 0.6 * unit / part["unit"].max())
            axes.plot(rows["lag"], rows["value"], color=shade, linewidth=1.0)
        axes.axhline(0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_ylabel("memory c" if part["state"].iloc[0] == "memory" else "state h")
        towards_origin(axes, part["lag"].max())
    _finish(panels, title, LAG, legend=False)
    return figure


@styled
def attention(table: pd.DataFrame, title: str) -> Figure:
    """Attention paid to each session, the origin on the right; the dashed line is equal attention to all.

    Args:
        table: `attention` of one network.
        title: what the figure is about.
    """
    figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
    axes, color = figure.subplots(), look(table["model"].iloc[0])[0]
    rows = table.sort_values("lag")
    axes.fill_between(
        rows["lag"], rows["low"], rows["high"], color=color, alpha=0.2, linewidth=0, label="80 % of windows"
    )
    axes.plot(rows["lag"], rows["mean"], color=color, label="mean")
    axes.axhline(1 / len(rows), color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label="equal")
    axes.set(xlabel=LAG, ylabel="weight")
    axes.set_ylim(bottom=0)
    percent(axes.yaxis)
    towards_origin(axes, rows["lag"].max())
    heading(axes, plain(title, 40), legend_rows=1, columns=3)
    return figure


@styled
def knockout(costs: pd.DataFrame, title: str) -> Figure:
    """What holding a gate does to the CRPS: a dot and its 95 % interval; right of the line the gate is missed.

    Args:
        costs: `knockout` of one network; gates of a decoder stand below the others.
        title: what the figure is about.
    """
    horizons = sorted(costs["horizon"].unique())
    gates = list(dict.fromkeys(zip(costs["over"], costs["gate"], strict=True)))
    figure = Figure(figsize=(WIDTH, 0.8 + len(horizons) * (0.55 + 0.32 * len(gates))), layout="constrained")
    panels = figure.subplots(len(horizons), 1, sharex=True, squeeze=False).ravel()
    for axes, horizon in zip(panels, horizons, strict=True):
        axes.axvline(0, color=INK, linewidth=1.0, zorder=1)
        for row in costs[costs["horizon"] == horizon].itertuples():
            color, (marker, label) = GATE_LOOKS[row.gate][0], HELD_LOOKS[row.held]
            number = gates.index((row.over, row.gate))
            place = number + (-0.16 if row.held == "mean" else 0.16)
            axes.hlines(place, row.low, row.high, color=color, linewidth=2.4, alpha=0.45)
            face = color if row.held == "mean" else PAPER
            dot = {"marker": marker, "color": color, "markerfacecolor": face, "markersize": 5, "linestyle": "none"}
            axes.plot([row.difference], [place], **dot, label=None if number else label)
        axes.set_yticks(range(len(gates)), [f"decoder: {gate}" if over == "horizons" else gate for over, gate in gates])
        axes.set_ylim(len(gates) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        percent(axes.xaxis)
        first = horizon == horizons[0]
        heading(axes, f"{plain(title, 30)} · {ahead(horizon)}" if first else ahead(horizon), int(first), columns=2)
    panels[-1].set_xlabel("change of the CRPS; further right, missed more")
    return figure


def _layers(table: pd.DataFrame, height: float) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """A panel for each layer."""
    layers = list(dict.fromkeys(table["layer"]))[:LAYERS]
    figure = Figure(figsize=(WIDTH, 0.7 + height * len(layers)), layout="constrained")
    panels = figure.subplots(len(layers), 1, sharex=True, squeeze=False).ravel()
    return figure, [(axes, table[table["layer"] == name]) for axes, name in zip(panels, layers, strict=True)]


def _gates_by_lag(part: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, dict]]:
    """The rows of each gate of a layer, and how its lines look."""
    for gate, rows in part.groupby("gate", sort=False):
        color, line = GATE_LOOKS[str(gate)]
        yield rows.sort_values("lag"), {"color": color, "linestyle": line, "label": gate}


def _finish(panels: list[tuple[Axes, pd.DataFrame]], title: str, label: str, legend: bool = True) -> None:
    """Headings of the panels, the layer in each where there are several, and the label below the last."""
    for place, (axes, part) in enumerate(panels):
        words = list(_words(title if place == 0 else "", part["layer"].iloc[0] if len(panels) > 1 else ""))
        heading(axes, " · ".join(words), legend_rows=int(legend and place == 0), columns=4)
    panels[-1][0].set_xlabel(label)


def _words(title: str, layer: str) -> Iterator[str]:
    if title:
        yield plain(title, 40)
    if layer:
        yield f"layer {layer}"

"""How far back gradients reach, as a figure."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from app.report.style import INK, MUTED, heading, look, styled

LOWEST, HIGHEST = 1e-12, 1e6
"""Beyond these nothing can be learnt in float32, and it need not be seen how far beyond."""

DASHES = ("-", (0, (5, 1.6)), (0, (1.5, 1.2)))


@styled
def gradient_by_lag(norms: pd.DataFrame) -> Figure:
    """Norm of the loss's gradient by the input, against how many rows ago that input was: one panel beside the other.

    Args:
        norms: columns panel, network, lag, norm (over that at lag 0); networks named "cell, what is special".
            Those of one cell share its colour and differ in their dashes.
    """
    panels = list(dict.fromkeys(norms["panel"]))
    figure = Figure(figsize=(5.2 * len(panels), 4.0), layout="constrained")
    every = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False).ravel()
    rows = max(-(-part["network"].nunique() // 2) for _, part in norms.groupby("panel"))
    for axes, panel in zip(every, panels, strict=True):
        _lines(axes, norms[norms["panel"] == panel])
        heading(axes, panel[:1].upper() + panel[1:], legend_rows=rows, columns=2)
        axes.set_xlabel("lag: rows before the last")
    every[0].set_yscale("log")
    every[0].set_ylim(LOWEST, HIGHEST)
    every[0].set_xlim(0, norms["lag"].max() + 1)
    every[0].yaxis.set_major_locator(LogLocator(numticks=7))
    every[0].set_ylabel("gradient of the loss by the input, over that at lag 0")
    return figure


def _lines(axes: Axes, part: pd.DataFrame) -> None:
    axes.axhline(1.0, color=INK, linewidth=0.8)
    resolution = np.finfo("float32").eps
    axes.axhspan(LOWEST, resolution, color=MUTED, alpha=0.08, linewidth=0)
    place = {"xy": (0.985, resolution), "xycoords": axes.get_yaxis_transform(), "ha": "right", "va": "top"}
    note = "lost beside the newest row: below the resolution of a float"
    axes.annotate(note, **place, xytext=(0, -4), textcoords="offset points", color=MUTED, fontsize=8)
    seen: dict[str, int] = {}
    for network, rows in part.groupby("network", sort=False):
        cell = str(network).split(",")[0]
        seen[cell] = seen.get(cell, 0) + 1
        axes.plot(
            rows["lag"],
            rows["norm"].clip(lower=LOWEST / 10),
            color=look(cell)[0],
            linestyle=DASHES[(seen[cell] - 1) % len(DASHES)],
            label=network,
        )

"""How figures look: colours, sizes and number formats, the same in every figure."""

import zlib
from collections.abc import Callable
from functools import wraps

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

INK, MUTED, RULE, PAPER = "#1d2329", "#5b6570", "#e3e6e9", "#ffffff"
DPI = 200

STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#9aa3ab",
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "figure.facecolor": PAPER,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "text.color": INK,
    "text.usetex": False,
    "xtick.color": "#9aa3ab",
    "xtick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.color": "#9aa3ab",
    "ytick.labelcolor": INK,
    "ytick.labelsize": 9.0,
}

MODEL_LOOKS = {
    "random-walk": ("#d39200", "s"),
    "ewma": ("#6b7480", "v"),
    "garch": ("#7a5fb5", "^"),
    "gjr-garch": ("#c94f00", "D"),
    "quantile-boosting": ("#3a9bd1", "P"),
    "simple-rnn": ("#b0568b", "X"),
    "lstm": ("#0063a6", "o"),
    "gru": ("#00805c", "h"),
    "egarch": ("#a0527d", "<"),
    "har": ("#8a6d3b", "d"),
    "har-x": ("#5c4a1f", "H"),
    "peephole-lstm": ("#4a90c2", "p"),
    "depth-gated-lstm": ("#1f4e79", "*"),
    "clockwork-rnn": ("#8f3b3b", ">"),
    "bidirectional-lstm": ("#00788a", "8"),
    "attention-lstm": ("#4f7a28", "H"),
    "transformer": ("#5b4636", "X"),
    "mlp": ("#707b2c", "P"),
}
"""Colour and marker of each model: the palette of Okabe & Ito (2008), darkened for thin lines on white."""

SHAPE_LOOKS = {
    "many-to-one": (INK, 0.2, ""),
    "many-to-many": (INK, 0.45, "D"),
    "one-to-many": (PAPER, 0.35, "^"),
    "one-to-one": ("#c94f00", 0.5, "s"),
}
"""Of a network that carries its shape in its name: what its colour is mixed with, how much of it, and its marker."""

NAME = 32
"""Letters of a model's name that are shown: more than any has, the correction of its intervals aside."""

ACTUAL, NAIVE = INK, MODEL_LOOKS["random-walk"][0]
NAIVE_LINE = {"color": NAIVE, "linewidth": 1.2, "linestyle": (0, (1.5, 1.2)), "label": "naive"}

OTHER_LOOKS = (("#4c4c4c", "<"), ("#7d6b5d", ">"), ("#3f5a4f", "p"), ("#8a8f94", "d"), ("#5d4b66", "*"))


def look(model: str) -> tuple[str, str]:
    """Colour and marker of a model, the same in every figure and in every run."""
    if model in MODEL_LOOKS:
        return MODEL_LOOKS[model]
    cell, _, shape = model.partition(":")
    if cell in MODEL_LOOKS and shape in SHAPE_LOOKS:
        (color, marker), (added, share, own) = MODEL_LOOKS[cell], SHAPE_LOOKS[shape]
        mixed = (1 - share) * np.array(to_rgb(color)) + share * np.array(to_rgb(added))
        return to_hex(mixed), own or marker
    return OTHER_LOOKS[zlib.crc32(model.encode()) % len(OTHER_LOOKS)]


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Let a function draw under the style above, whatever the caller's own settings of matplotlib are."""

    @wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


def plain(text: object, limit: int = 28) -> str:
    """Text from outside made safe for a figure: one line, no formula, not longer than `limit`."""
    line = "".join(letter if letter.isprintable() else " " for letter in str(text))
    line = line if len(line) <= limit else line[: limit - 1] + "…"
    return line.replace("$", r"\$")


def ahead(horizon: int) -> str:
    """A horizon in words."""
    return f"{horizon} session{'' if horizon == 1 else 's'} ahead"


def heading(axes: Axes, title: str, legend_rows: int = 1, columns: int = 4) -> None:
    """Title and legend above the axes, flush left, where they can cover no data."""
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=8 + 14 * legend_rows)
    if legend_rows:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=columns,
            borderaxespad=0.2,
            borderpad=0.1,
            columnspacing=1.2,
            handlelength=1.5,
            handletextpad=0.5,
        )


def dates(axes: Axes) -> None:
    """A date axis that says each year and month once."""
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.xaxis.get_offset_text().set_color(MUTED)


def money(axes: Axes) -> None:
    """A price axis with thousands separators and as many decimals as its span needs."""
    low, high = axes.get_ylim()
    decimals = 0 if high - low >= 8 else 1 if high - low >= 0.8 else 2 if high - low >= 0.08 else 4
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.{decimals}f}"))


def percent(axis: Axis) -> None:
    """An axis whose values are fractions, shown in %."""
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):g} %".replace("-", "−")))

"""Windows by index.

The feature matrix of all symbols is kept once, in a `Panel`. A window is the number of its last
row, the origin; nothing is copied until a batch is gathered. Windows are selected by what was known
when, never by position.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from app.allowed import check_ranges
from app.dataset.targets import Target, target
from app.errors import SettingsError


@dataclass(frozen=True)
class WindowSpec:
    """How much past a model sees, how far ahead it forecasts, in sessions, and what (`targets.TARGETS`)."""

    lookback: int = 60
    horizons: tuple[int, ...] = (1, 5, 20)
    target: str = "return"

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges("window", self, {"lookback": (1, 2000)}, unit="sessions")
        if not self.horizons or any(h < 1 or h > 250 for h in self.horizons):
            raise SettingsError(f"window.horizons must be 1 to 250 sessions ahead, got {list(self.horizons)}.")
        if list(self.horizons) != sorted(set(self.horizons)):
            raise SettingsError(f"window.horizons must rise without repeats, got {list(self.horizons)}.")
        target(self.target)


@dataclass(frozen=True, eq=False)
class Panel:
    """Everything known about every session of every symbol, row by row, symbol after symbol.

    Shapes, with rows = all sessions of all symbols and horizons as in `spec`:
        symbols: names; offsets: (symbols + 1,), the rows of symbol i are offsets[i]:offsets[i + 1].
        code: (rows,) index into symbols; date: (rows,) datetime64[D]; close: (rows,) as traded.
        returns: (rows,) total log return, NaN in each symbol's first row.
        volatility: (rows,) per session, known at the row's close, NaN while warming up.
        features: (rows, features) float32. outlook: (rows, columns) float32, `outlook.OUTLOOK`.
        target: (rows, horizons) datetime64[D], the session forecast from this row.
        actual: (rows, horizons) what is forecast from this row, as `spec.target` says; NaN where not known.
        expected: (rows, horizons) volatility per session that a model expects; None: that known goes on.
    """

    spec: WindowSpec
    symbols: tuple[str, ...]
    offsets: np.ndarray
    code: np.ndarray
    date: np.ndarray
    close: np.ndarray
    returns: np.ndarray
    volatility: np.ndarray
    features: np.ndarray
    outlook: np.ndarray
    target: np.ndarray
    actual: np.ndarray
    expected: np.ndarray | None = None

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def usable_ends(self, length: int) -> np.ndarray:
        """(n,) rows at which `length` consecutive rows of one symbol with finite features end."""
        unusable = ~np.isfinite(self.features).all(axis=1)
        gaps = np.concatenate([[0], np.cumsum(unusable)])
        rows = np.arange(len(unusable))
        enough = rows - self.offsets[self.code] >= length - 1
        clean = gaps[rows + 1] == gaps[np.maximum(rows + 1 - length, 0)]
        return rows[enough & clean]


@dataclass(frozen=True, eq=False)
class Chunks:
    """Stretches of rows with a target at each of their last rows, for every-step supervision.

    ends: (n,) last row of each; length: rows of each; targets: (n, steps, horizons) as `Windows.scaled`,
    NaN where there is nothing to learn from.
    """

    panel: Panel
    ends: np.ndarray
    length: int
    targets: np.ndarray


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows into a panel, each the row number of its origin, in the panel's order."""

    panel: Panel
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def spec(self) -> WindowSpec:
        """Lookback, horizons and target."""
        return self.panel.spec

    @property
    def target(self) -> Target:
        """What is forecast."""
        return target(self.spec.target)

    @property
    def symbol(self) -> np.ndarray:
        """(n,) names."""
        return np.asarray(self.panel.symbols)[self.panel.code[self.ends]]

    @property
    def origin(self) -> np.ndarray:
        """(n,) datetime64[D]: the last session each window knows."""
        return self.panel.date[self.ends]

    @property
    def origin_close(self) -> np.ndarray:
        """(n,) close of the origin, as traded."""
        return self.panel.close[self.ends]

    @property
    def date(self) -> np.ndarray:
        """(n, horizons) datetime64[D]: the sessions forecast."""
        return self.panel.target[self.ends]

    @property
    def actual(self) -> np.ndarray:
        """(n, horizons) what happened, log returns unless the target is another; NaN until known."""
        return self.panel.actual[self.ends]

    @property
    def volatility(self) -> np.ndarray:
        """(n,) volatility per session known at the origin."""
        return self.panel.volatility[self.ends]

    @property
    def expected(self) -> np.ndarray:
        """(n, horizons) volatility per session that `expecting` was given; (n, 1) that known at the origin without."""
        given = self.panel.expected
        return self.volatility[:, None] if given is None else given[self.ends]

    def expecting(self, volatility: np.ndarray) -> "Windows":
        """The same windows in the frame of the volatility per session expected of each, (n, horizons)."""
        expected = np.full((len(self.panel.date), volatility.shape[1]), np.nan)
        expected[self.ends] = volatility
        return Windows(replace(self.panel, expected=expected), self.ends)

    @property
    def scale(self) -> np.ndarray:
        """(n, horizons) the unit of scaled targets; of returns: volatility times the square root of the horizon."""
        return self._frame[1]

    @property
    def scaled(self) -> np.ndarray:
        """(n, horizons) (actual - centre) / unit, as the expected volatility gives them."""
        centre, unit = self._frame
        return (self.actual - centre) / unit

    def restored(self, scaled: np.ndarray) -> np.ndarray:
        """(n, horizons, levels) quantiles of the target from those of what is `scaled`."""
        centre, unit = self._frame
        return scaled * unit[..., None] + centre[..., None]

    def years_back(self, years: int) -> np.datetime64:
        """The day so many years before the newest session that these windows forecast."""
        return self.date[:, -1].max() - np.timedelta64(round(365.25 * years), "D")

    def known_by(self, day: np.datetime64) -> "Windows":
        """Windows whose whole target had been observed at the close of `day`."""
        return self._take((self.date[:, -1] <= np.datetime64(day, "D")) & np.isfinite(self.actual).all(axis=1))

    def originating(self, start: np.datetime64, stop: np.datetime64) -> "Windows":
        """Windows with their origin from `start` on and before `stop`."""
        origin = self.origin
        return self._take((origin >= np.datetime64(start, "D")) & (origin < np.datetime64(stop, "D")))

    def of(self, symbol: str) -> "Windows":
        """Windows of one symbol."""
        return self._take(self.symbol == symbol)

    def newest(self) -> "Windows":
        """The last window of each symbol: the live forecast."""
        last = np.append(np.diff(self.panel.code[self.ends]) != 0, True) if len(self) else np.zeros(0, bool)
        return self._take(last)

    def batches(self, size: int) -> Iterator["Windows"]:
        """The same windows, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield Windows(self.panel, self.ends[start : start + size])

    def gather(self) -> np.ndarray:
        """(n, lookback, features) float32: the inputs, copied."""
        steps = np.arange(1 - self.spec.lookback, 1)
        return self.panel.features[self.ends[:, None] + steps]

    def chunks(self, steps: int) -> Chunks:
        """Cover these windows with chunks of `steps` supervised rows.

        A chunk has lookback + steps - 1 rows, so that each of its last `steps` rows has at least
        `lookback` rows of context. A row that is not the origin of one of these windows gets a NaN
        target: what was not selected is not learnt from.
        """
        length = self.spec.lookback + steps - 1
        chosen = np.zeros(len(self.panel.date), bool)
        chosen[self.ends] = True
        possible = np.zeros(len(chosen), bool)
        possible[self.panel.usable_ends(length)] = True
        ends = _covering(np.flatnonzero(chosen), possible, steps)
        rows = ends[:, None] + np.arange(1 - steps, 1)
        scaled = Windows(self.panel, rows.ravel()).scaled.reshape(*rows.shape, len(self.spec.horizons))
        return Chunks(self.panel, ends, length, np.where(chosen[rows][..., None], scaled, np.nan).astype("float32"))

    @property
    def _frame(self) -> tuple[np.ndarray, np.ndarray]:
        """Centre and unit of the target, each (n, horizons)."""
        return self.target.frame(self.expected, np.array(self.spec.horizons))

    def _take(self, chosen: np.ndarray) -> "Windows":
        return Windows(self.panel, self.ends[chosen])


def _covering(rows: np.ndarray, possible: np.ndarray, steps: int) -> np.ndarray:
    """Ends of chunks, each the last of `steps` rows, so that every row that can be is in one.

    Taken from the newest row back. The few rows before a symbol's first whole chunk are in none.
    """
    ends, uncovered_below = [], np.inf
    for row in rows[::-1]:
        if row >= uncovered_below or not possible[row]:
            continue
        ends.append(row)
        uncovered_below = row - steps + 1
    return np.array(ends[::-1], dtype=np.int64)

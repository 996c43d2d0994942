"""The golden input and output: a few windows, and the quantiles the model gave for them on the day it was saved."""

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from app.dataset.windows import Panel, Windows, WindowSpec
from app.errors import DamageError
from app.forecasters.base import Fitted

FILE = "golden.npz"

TOLERANCE = 1e-5
"""How far a quantile may be from the golden one, as a log return: a thousandth of one per cent of the price."""

WINDOWS = 4

ROOM = 64
"""Sessions kept before each golden window's lookback, for models that look further back than it does."""

COLUMNS = ("date", "close", "returns", "volatility", "features", "outlook", "target", "actual")
"""What the panel of the golden windows has for each row."""


@dataclass(frozen=True, eq=False)
class Golden:
    """A few windows in a panel of their own, and the (n, horizons, levels) quantiles forecast for them."""

    windows: Windows
    quantiles: np.ndarray

    @classmethod
    def of(cls, fitted: Fitted, windows: Windows) -> "Golden":
        """The newest windows of a few symbols, evenly chosen, and what the model says to them."""
        newest = windows.newest()
        chosen = np.unique(np.linspace(0, len(newest) - 1, min(WINDOWS, len(newest))).astype(int))
        excerpt = _excerpt(newest.panel, newest.ends[chosen])
        return cls(excerpt, np.asarray(fitted.predict(excerpt), "float64"))

    def save(self, folder: Path) -> None:
        """One file of arrays, without pickle."""
        panel, spec = self.windows.panel, self.windows.spec
        arrays = {name: np.asarray(getattr(panel, name)) for name in ("symbols", "offsets", "code", *COLUMNS)}
        arrays |= {"spec": np.array(json.dumps(asdict(spec))), "ends": self.windows.ends, "output": self.quantiles}
        with (folder / FILE).open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, folder: Path) -> "Golden":
        """What `save` wrote.

        Raises:
            DamageError: the file is missing or cannot be read.
        """
        try:
            with np.load(folder / FILE, allow_pickle=False) as arrays:
                found = dict(arrays)
            asked = json.loads(str(found.pop("spec")))
            spec = WindowSpec(**{**asked, "horizons": tuple(asked["horizons"])})
            ends, quantiles = found.pop("ends"), found.pop("output")
            symbols = tuple(str(name) for name in found.pop("symbols"))
            return cls(Windows(Panel(spec=spec, symbols=symbols, **found), ends), quantiles)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DamageError(
                f"{folder.name}/{FILE} cannot be read ({type(error).__name__}). Train again: `python -m app train`."
            ) from None

    def difference(self, fitted: Fitted) -> float:
        """How far what the model says now is from what it said when it was saved, at most; inf if not finite."""
        now = np.asarray(fitted.predict(self.windows), "float64")
        if now.shape != self.quantiles.shape or not np.isfinite(now).all():
            return float("inf")
        return float(np.abs(now - self.quantiles).max())


def _excerpt(panel: Panel, ends: np.ndarray) -> Windows:
    """Windows that end in the same rows, in a panel that holds only the rows up to them."""
    begins = np.maximum(ends + 1 - panel.spec.lookback - ROOM, panel.offsets[panel.code[ends]])
    rows = np.concatenate([np.arange(begin, end + 1) for begin, end in zip(begins, ends, strict=True)])
    lengths = ends + 1 - begins
    small = Panel(
        spec=panel.spec,
        symbols=tuple(panel.symbols[code] for code in panel.code[ends]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        code=np.repeat(np.arange(len(ends), dtype=np.int32), lengths),
        **{name: getattr(panel, name)[rows] for name in COLUMNS},
    )
    return Windows(small, np.cumsum(lengths) - 1)

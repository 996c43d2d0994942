"""The protocol of Feng et al. (2019) as facts, and its instances: whether a stock rises, from days before.

Source: Feng, Chen, He, Ding, Sun & Chua (2019), "Enhancing stock movement prediction with adversarial
training", IJCAI, arXiv 1810.09936, and the authors' code (fulifeng/Adv-ALSTM). The data sets are those of
Xu & Cohen (2018), ACL, and of Zhang, Aggarwal & Qi (2017), KDD. No Keras here.
"""

import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from app.errors import DataError, SettingsError
from app.prices.files import CsvFile, Limits

log = logging.getLogger(__name__)

FEATURES = (
    *("c_open", "c_high", "c_low", "n_close", "n_adj_close"),
    *("mean_5", "mean_10", "mean_15", "mean_20", "mean_25", "mean_30"),
)
"""In percent: of the day's close; of the close before; mean of the last k adjusted closes over the newest."""

MEANS = (5, 10, 15, 20, 25, 30)
PARTS = ("training", "validation", "test")
NEEDED = ("date", "open", "high", "low", "close", "adjusted_close")


@dataclass(frozen=True)
class PublishedNetwork:
    """A network of the paper with the hyperparameters its authors list for one data set.

    lookback: sessions it sees. units: of its LSTM. penalty: of half the squared weights and bias of its output.
    attention: the output also sees a weighted mean of all states (ALSTM).
    """

    name: str
    lookback: int
    units: int
    penalty: float
    attention: bool = False


@dataclass(frozen=True)
class Protocol:
    """What both data sets share. A day that moved less than the two thresholds is no instance."""

    up: float = 0.0055
    down: float = -0.005
    learning_rate: float = 0.01
    batch: int = 1024
    epochs: int = 150
    seeds: int = 5


@dataclass(frozen=True)
class DataSet:
    """Facts about one data set.

    first, training, validation, test, last: ISO days; a part ends before the next begins, and features are
    made from `first` on. sessions, symbols: how many there are. instances: lookback → their number in
    training, validation and test. published: (who, network, accuracy, MCC).
    """

    name: str
    first: str
    training: str
    validation: str
    test: str
    last: str
    sessions: int
    symbols: int
    instances: Mapping[int, tuple[int, int, int]]
    networks: tuple[PublishedNetwork, ...]
    published: tuple[tuple[str, str, float, float], ...]
    protocol: Protocol = field(default=Protocol())

    @property
    def borders(self) -> np.ndarray:
        """(4,) datetime64[D]: where each part begins, and the day after the last."""
        begins = np.array([self.training, self.validation, self.test], "datetime64[D]")
        return np.append(begins, np.datetime64(self.last, "D") + 1)


PAPER, RERUN = "published", "authors' code run by others"

ACL18 = DataSet(
    name="acl18",
    first="2013-06-03", training="2014-01-02", validation="2015-08-03", test="2015-10-01", last="2015-12-31",
    sessions=652, symbols=87, instances={5: (20315, 2555, 3720)},
    networks=(PublishedNetwork("lstm", 10, 32, 10.0), PublishedNetwork("alstm", 5, 4, 1.0, attention=True)),
    published=(
        (PAPER, "lstm", 0.5318, 0.0674), (PAPER, "alstm", 0.5490, 0.1043), (PAPER, "adv-alstm", 0.5720, 0.1483),
        (RERUN, "lstm", 0.5156, 0.0395), (RERUN, "alstm", 0.5500, 0.0995), (RERUN, "adv-alstm", 0.5645, 0.1310),
    ),
)  # fmt: skip

KDD17 = DataSet(
    name="kdd17",
    first="2007-01-03", training="2007-01-03", validation="2015-01-02", test="2016-01-04", last="2016-12-30",
    sessions=2518, symbols=50, instances={15: (64307, 8070, 7398)},
    networks=(PublishedNetwork("lstm", 5, 4, 0.001), PublishedNetwork("alstm", 15, 16, 0.001, attention=True)),
    published=(
        (PAPER, "lstm", 0.5162, 0.0183), (PAPER, "alstm", 0.5194, 0.0261), (PAPER, "adv-alstm", 0.5305, 0.0523),
        (RERUN, "lstm", 0.5061, 0.0090), (RERUN, "alstm", 0.5188, 0.0121), (RERUN, "adv-alstm", 0.5201, 0.0245),
    ),
)  # fmt: skip

DATA_SETS = {data.name: data for data in (ACL18, KDD17)}


@dataclass(frozen=True, eq=False)
class Grid:
    """Every symbol on every session.

    day: (days,); symbols: names; features: (days, symbols, 11) float32, NaN where one of them is not known;
    label: (days, symbols) 1 up, -1 down, 0 neither or not known.
    """

    day: np.ndarray
    symbols: tuple[str, ...]
    features: np.ndarray
    label: np.ndarray


@dataclass(frozen=True, eq=False)
class Instances:
    """inputs: (n, lookback, 11) float32, oldest first; up: (n,) bool; day: (n,) the day forecast; symbol: (n,).

    In order of days, within a day of symbols. The newest input is of the session before `day`.
    """

    inputs: np.ndarray
    up: np.ndarray
    day: np.ndarray
    symbol: np.ndarray

    def __len__(self) -> int:
        return len(self.up)


def load_grid(data: DataSet, folder: Path) -> Grid:
    """Read the folder of a data set, one CSV file a symbol in Yahoo's columns, in any order of days.

    Symbols without a row between the first and the last day are left out.

    Raises:
        SettingsError: there is no such folder.
        DataError: a file cannot be read, or sessions, symbols or instances are not those of the paper.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SettingsError(f"{folder}: no such folder. --prices takes the folder of {data.name}, one CSV a symbol.")
    tables = {path.stem: _read(path, data) for path in sorted(folder.glob("*.csv"))}
    tables = {symbol: table for symbol, table in tables.items() if len(table)}
    days = np.unique(np.concatenate([np.zeros(0, "datetime64[ns]"), *(table.index for table in tables.values())]))
    for what, found, wanted in (("symbols", len(tables), data.symbols), ("sessions", len(days), data.sessions)):
        if found != wanted:
            raise DataError(
                f"{folder}: {found} {what} from {data.first} to {data.last}, but {data.name} has {wanted}. "
                "Give the folder of the whole data set, one CSV file a symbol."
            )
    grid = make_grid(tables, days, data.protocol)
    for lookback, expected in data.instances.items():
        counts = tuple(map(len, split(grid, data, lookback)))
        log.info("%s: %s instances for training, validation and test with %d sessions", data.name, counts, lookback)
        if counts != expected:
            raise DataError(
                f"{folder}: {counts} instances for training, validation and test, but {data.name} has {expected} with "
                f"{lookback} sessions. Some prices differ from those of the paper; copy the data set again."
            )
    return grid


def make_grid(tables: Mapping[str, pd.DataFrame], days: np.ndarray, protocol: Protocol) -> Grid:
    """Features and labels of every symbol on `days`.

    Args:
        tables: symbol → open, high, low, close and adjusted_close by day; days it lacks are not known.
        days: (days,) rising sessions.
    """
    features = np.full((len(days), len(tables), len(FEATURES)), np.nan, "float32")
    label = np.zeros((len(days), len(tables)), "int8")
    for column, table in enumerate(tables.values()):
        bars = table.reindex(days)
        values, returns = _features(bars), bars["adjusted_close"].pct_change(fill_method=None).to_numpy()
        known = np.isfinite(values).all(axis=1)
        features[known, column] = values[known]
        label[:, column] = np.where(returns >= protocol.up, 1, np.where(returns <= protocol.down, -1, 0))
    return Grid(days.astype("datetime64[D]"), tuple(tables), features, label)


def split(grid: Grid, data: DataSet, lookback: int) -> tuple[Instances, Instances, Instances]:
    """The instances for training, validation and test, told apart by the day forecast."""
    borders = data.borders
    return tuple(  # type: ignore[return-value]
        instances(grid, lookback, start, stop) for start, stop in itertools.pairwise(borders)
    )


def instances(grid: Grid, lookback: int, start: np.datetime64, stop: np.datetime64) -> Instances:
    """Instances whose day lies from `start` on and before `stop`.

    A (symbol, day) is one if the day has a label, and all features of each of the `lookback` sessions before
    it are known.
    """
    known = np.isfinite(grid.features).all(axis=2)
    running = np.concatenate([np.zeros((1, known.shape[1]), int), np.cumsum(known, axis=0)])
    whole = np.zeros(known.shape, bool)
    whole[lookback:] = running[lookback:-1] - running[: -lookback - 1] == lookback
    inside = (grid.day >= start) & (grid.day < stop)
    day, column = np.nonzero(whole & (grid.label != 0) & inside[:, None])
    rows = day[:, None] + np.arange(-lookback, 0)
    return Instances(
        inputs=grid.features[rows, column[:, None]],
        up=grid.label[day, column] > 0,
        day=grid.day[day],
        symbol=np.asarray(grid.symbols)[column],
    )


def _read(path: Path, data: DataSet) -> pd.DataFrame:
    """The bars of one file between the first and the last day of the data set, by day."""
    file = CsvFile(path, Limits())
    missing = [name for name in NEEDED if name not in file.columns()]
    if missing:
        raise DataError(f"{path}: no {missing[0].replace('_', ' ')} column; {data.name} needs {list(NEEDED)}.")
    table = file.load(list(NEEDED)).dropna().set_index("date").sort_index()
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise DataError(f"{path}: {twice.date()} stands twice. Keep one row a day.")
    return table.loc[data.first : data.last]


def _features(bars: pd.DataFrame) -> np.ndarray:
    """(days, 11) in percent; a mean needs all its days."""
    close, adjusted = bars["close"], bars["adjusted_close"]
    of_day = [bars[name] / close - 1 for name in ("open", "high", "low")]
    of_before = [series.pct_change(fill_method=None) for series in (close, adjusted)]
    of_mean = [adjusted.rolling(k).mean() / adjusted - 1 for k in MEANS]
    return 100 * np.column_stack([*of_day, *of_before, *of_mean])

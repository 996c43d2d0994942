"""A data set in the layout of the papers, small enough to check by eye."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.reproduce.acl18 import ACL18, DataSet, Protocol, load_grid

DAYS = pd.bdate_range("2020-01-01", periods=60)
"""The first instance with a lookback of 5 is of day 34: 29 days have no mean of 30 closes."""


def bars(adjusted) -> pd.DataFrame:
    """Yahoo's columns by day: closes are twice the adjusted ones; open 1 % off, high 2, low 3."""
    close = 2.0 * np.asarray(adjusted, float)
    columns = {"open": 0.99 * close, "high": 1.02 * close, "low": 0.97 * close, "close": close}
    return pd.DataFrame({**columns, "adjusted_close": np.asarray(adjusted, float)}, index=DAYS)


@pytest.fixture(scope="session")
def acl18(price_data):
    """The real data set."""
    return load_grid(ACL18, price_data / "acl18")


def tiny_tables() -> dict[str, pd.DataFrame]:
    """CLIMB gains 1 % a day; WALK is a random walk of 1 % a day."""
    steps = 0.01 * np.random.default_rng(5).normal(size=len(DAYS))
    return {"CLIMB": bars(100 * 1.01 ** np.arange(len(DAYS))), "WALK": bars(50 * np.exp(steps.cumsum()))}


def tiny_data() -> DataSet:
    """The facts of that data set; trained from day 30 on, checked from 45, tested from 50 to 59."""
    starts = {"first": 0, "training": 30, "validation": 45, "test": 50, "last": 59}
    return replace(
        ACL18,
        **{name: str(DAYS[at].date()) for name, at in starts.items()},
        sessions=60,
        symbols=2,
        instances={},
        networks=(replace(ACL18.networks[0], lookback=5, units=3, penalty=1.0), replace(ACL18.networks[1], units=2)),
        protocol=Protocol(batch=8, epochs=2, seeds=2),
    )


def tiny_folder(place: Path) -> Path:
    """The same as files, newest first, in the columns of the KDD17 files; one symbol lists after the last day."""
    later = bars(np.linspace(10, 20, len(DAYS))).set_axis(DAYS + pd.Timedelta(days=900))
    for symbol, table in {**tiny_tables(), "LATER": later}.items():
        file = pd.DataFrame(
            {
                "Date": table.index.strftime("%Y-%m-%d"),
                "Original_Open": table["open"], "High": table["high"], "Low": table["low"], "Close": table["close"],
                "Volume": 1000, "Adj Close": table["adjusted_close"], "": "", "Open": table["open"] / 2,
            }
        )  # fmt: skip
        file[::-1].to_csv(place / f"{symbol}.csv", index=False)
    return place


@pytest.fixture
def tables():
    """`tiny_tables`."""
    return tiny_tables()


@pytest.fixture
def data():
    """`tiny_data`."""
    return tiny_data()


@pytest.fixture
def folder(tmp_path):
    """`tiny_folder`."""
    (tmp_path / "data").mkdir()
    return tiny_folder(tmp_path / "data")

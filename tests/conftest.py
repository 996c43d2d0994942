"""What every test stands on: a quiet Keras, no network, and prices whose every value names its own row."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["MPLBACKEND"] = "Agg"

import errno
import ipaddress
import socket
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest

from app.prices.calendar import sessions
from app.schema import prices_table

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = "http://127.0.0.1:9"
"""A proxy that nobody serves: what libcurl and `requests` meet instead of the internet."""

SESSIONS = 300

hypothesis.settings.register_profile("app", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("app")


LONGEST = ("test_notebooks.py", "test_day.py")
"""Files that take minutes: begun last, one of them would keep a worker busy long after the other is done."""


def pytest_collection_modifyitems(items):
    """The longest files first; the order within a file stays."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """Every address but this machine's own is as unreachable as with the cable out, in child processes, too.

    Python's sockets are guarded directly; libcurl (yfinance) and the children get a dead proxy. A test
    that serves its own loopback source points HTTPS_PROXY at it.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.setenv(name, NOWHERE)
            patch.setenv(name.lower(), NOWHERE)
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost,::1")
        for method in ("connect", "connect_ex"):
            patch.setattr(socket.socket, method, _guarded(getattr(socket.socket, method)))
        patch.setattr(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo))
        yield


@pytest.fixture(scope="session")
def price_data() -> Path:
    """The folder of real price files: PRICE_DATA, or ../shared/data beside the project. Absent: skip."""
    folder = Path(os.environ.get("PRICE_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no folder of real prices at {folder}; PRICE_DATA names another one")
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made but not painted, which takes most of the time of a page: for tests of what is around them."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, file, **look: file.write(b"not painted"))


@pytest.fixture
def prices() -> pd.DataFrame:
    """A price table of 300 XNYS sessions from 2023-12-29 for two symbols, without dividends or splits.

    UP closes at 100 + t in session t (it opens 0.5 lower, ranges from 1 below to 1 above, and trades
    1,000 + t shares), so each value tells its row. NOISE is a random walk with 1 % a session.
    """
    dates = sessions("XNYS", np.datetime64("2023-12-29"), np.datetime64("2025-06-30"))[:SESSIONS]
    t = np.arange(SESSIONS)
    walk = 50 * np.exp(0.01 * np.random.default_rng(0).normal(size=SESSIONS).cumsum())
    return pd.concat([_bars("UP", dates, 100.0 + t), _bars("NOISE", dates, walk)], ignore_index=True)


def _bars(symbol: str, dates: np.ndarray, close: np.ndarray) -> pd.DataFrame:
    bars = pd.DataFrame({"symbol": symbol, "date": dates, "close": close})
    bars["open"], bars["high"], bars["low"] = close - 0.5, close + 1.0, close - 1.0
    bars["volume"] = 1000.0 + np.arange(len(close))
    return prices_table(bars)


def _guarded(connect):
    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse_outside(address[0])
        return connect(self, address)

    return guarded


def _guarded_lookup(getaddrinfo):
    def guarded(host, *args, **kwargs):
        _refuse_outside(host)
        return getaddrinfo(host, *args, **kwargs)

    return guarded


def _refuse_outside(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host or "localhost"
    try:
        inside = ipaddress.ip_address(name).is_loopback or name in ("0.0.0.0", "::")
    except ValueError:
        inside = name in ("localhost", socket.gethostname())
    if not inside:
        raise OSError(errno.ENETUNREACH, f"the tests have no network; something asked for {name!r}")

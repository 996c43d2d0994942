"""The tests' own Yahoo, and a client process that asks it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.fake_yahoo import FakeYahoo

ROOT = Path(__file__).resolve().parents[2]


class Client:
    """A child process whose yfinance takes the tests' server for Yahoo.

    cache: the folder for yfinance's caches. stderr: a file that takes what the process says besides.
    """

    def __init__(self, yahoo: FakeYahoo, cache: Path | None, stderr: Path):
        self.cache, self._stderr = cache, stderr
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("yahoo_client.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr.open("w"),
            text=True,
            env={**os.environ, **yahoo.env(), "PYTHONPATH": str(ROOT)},
        )

    def ask(self, symbol: str, now: str, start: str | None = None, stop: str | None = None, **settings) -> dict:
        """What `Yahoo(**settings).history(symbol, start, stop)` gives at the instant `now` (UTC)."""
        wanted = {"symbol": symbol, "now": f"{now}+00:00", "start": start, "stop": stop, "settings": settings}
        return self._answer(wanted)

    def update(self, ledger: Path, symbols: list[str], now: str, patience: dict | None = None, **settings) -> dict:
        """What `update` says of a ledger and `Yahoo(**settings)` at the instant `now` (UTC)."""
        wanted = {"ledger": str(ledger), "symbols": symbols, "patience": patience or {}}
        return self._answer({**wanted, "now": f"{now}+00:00", "settings": settings})

    def _answer(self, request: dict) -> dict:
        wanted = {**request, "cache": self.cache and str(self.cache)}
        print(json.dumps(wanted), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, f"the client died: {self._stderr.read_text()}"
        return json.loads(line)

    def table(self, symbol: str, now: str, **wanted) -> pd.DataFrame:
        """The rows of an answer, which must be one."""
        answer = self.ask(symbol, now, **wanted)
        assert "rows" in answer, answer
        return pd.DataFrame(answer["rows"])

    def close(self) -> None:
        """Let the process end."""
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def yahoo_server() -> Iterator[FakeYahoo]:
    """One server for a file of tests."""
    with FakeYahoo() as server:
        yield server


@pytest.fixture(scope="module")
def client(yahoo_server, tmp_path_factory) -> Iterator[Client]:
    """One client process for a file of tests."""
    folder = tmp_path_factory.mktemp("yahoo")
    process = Client(yahoo_server, cache=folder / "cache", stderr=folder / "stderr.txt")
    yield process
    process.close()


@pytest.fixture
def yahoo(yahoo_server) -> FakeYahoo:
    """The server, without the faults, requests and symbols of earlier tests."""
    yahoo_server.reset()
    yahoo_server.series.clear()
    return yahoo_server

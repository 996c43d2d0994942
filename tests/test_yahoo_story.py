"""The real command line, the real yfinance client and real HTTPS, against the tests' own Yahoo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.prices.adjust import adjusted
from app.prices.calendar import last_closed_session, sessions
from app.prices.store import Ledger
from tests.fake_yahoo import CHART, FOREVER, FakeYahoo, Fault, Series

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def yahoo():
    with FakeYahoo() as server:
        yield server


def bars(count: int) -> pd.DataFrame:
    """The newest `count` closed sessions: a 2-for-1 split 40 sessions ago, a dividend of 0.5 ten sessions ago."""
    newest = last_closed_session("XNYS", pd.Timestamp.now("UTC"))
    dates = sessions("XNYS", newest - np.timedelta64(2 * count, "D"), newest)[-count:]
    close = 80 * np.exp(np.random.default_rng(5).normal(0, 0.01, count).cumsum())
    table = pd.DataFrame(
        {
            "date": dates.astype("datetime64[ns]"),
            "open": close,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
        }
    )
    table["volume"], table["dividend"], table["split"] = 1e6, 0.0, 1.0
    table.loc[count - 40 :, ["open", "high", "low", "close"]] /= 2
    table.loc[count - 40, "split"] = 2.0
    table.loc[count - 10, "dividend"] = 0.5
    return table


def run(yahoo: FakeYahoo, home: Path, *arguments: str) -> subprocess.CompletedProcess:
    hasty = {"STOCK_FETCH__PAUSE_S": "0.1", "STOCK_FETCH__REQUESTS_PER_S": "50"}
    environment = {**os.environ, **yahoo.env(), **hasty, "STOCK_HOME": str(home)}
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=240)


def told(done: subprocess.CompletedProcess) -> list[tuple]:
    return [(one["symbol"], one["outcome"], one["new"], one["revised"]) for one in json.loads(done.stdout)["fetched"]]


def test_fetch_appends_only_what_is_new_and_a_failure_changes_nothing(yahoo, tmp_path):
    truth = bars(120)
    yahoo.series["ACME"] = Series(truth.iloc[:-5].reset_index(drop=True))
    first = run(yahoo, tmp_path, "fetch", "--symbols", "ACME", "--json")
    assert (first.returncode, first.stderr.count("error")) == (0, 0)
    assert told(first) == [("ACME", "stale", 115, 0)]  # Yahoo lacks the newest five sessions

    yahoo.series["ACME"] = Series(truth)
    second = run(yahoo, tmp_path, "fetch", "--symbols", "ACME", "--json")
    assert told(second) == [("ACME", "ok", 5, 0)]
    ledger = Ledger(tmp_path / "data" / "ledger.sqlite")
    assert ledger.fetches()["rows"].tolist() == [115, 15]

    stored = ledger.prices("yahoo")
    np.testing.assert_allclose(stored["close"], truth["close"], rtol=1e-6)
    assert stored.set_index("date")["split"].eq(2.0).sum() == 1
    assert stored["dividend"].max() == pytest.approx(0.5)
    np.testing.assert_allclose(adjusted(stored)["close"], yahoo.series["ACME"].adjclose, rtol=1e-5)

    yahoo.reset()
    yahoo.faults.append(Fault(429, times=FOREVER))
    limited = run(yahoo, tmp_path, "fetch", "--symbols", "ACME", "--quiet")
    assert limited.returncode == 3
    assert limited.stderr.startswith("error: ACME: Yahoo")
    assert limited.stderr.count("\n") == 1
    assert 3 <= yahoo.count(CHART) <= 8
    pd.testing.assert_frame_equal(ledger.prices("yahoo"), stored)

    yahoo.reset()
    yahoo.faults.append(Fault(429, times=2))
    retried = run(yahoo, tmp_path, "fetch", "--symbols", "ACME", "--json", "--quiet")
    assert (retried.returncode, told(retried)) == (0, [("ACME", "no new session", 0, 0)])

    unknown = run(yahoo, tmp_path, "fetch", "--symbols", "ACME", "NOPE", "--quiet")
    assert unknown.returncode == 2
    assert "1 symbol(s) stored, 1 not (NOPE): Yahoo knows no symbol 'NOPE'" in unknown.stderr
    assert ledger.fetches()["version"].str.startswith("yfinance ").all()
    assert len(ledger.fetches()) == 4


def test_from_yahoo_to_a_forecast_and_offline_again(yahoo, tmp_path):
    yahoo.series["ACME"] = Series(bars(300))
    quick = [
        "--lookback",
        "10",
        "--horizons",
        "1",
        "5",
        "--models",
        "random-walk",
        "ewma",
        "--set",
        "backtest.validation=30",
        "--set",
        "backtest.folds=1",
    ]
    done = run(yahoo, tmp_path, "run", "--symbols", "ACME", "--json", *quick)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert Path(answer["report"]).exists()
    assert answer["forecasts"][0]["symbol"] == "ACME"

    yahoo.reset()
    yahoo.faults.append(Fault("reset", times=FOREVER, where=""))
    offline = run(yahoo, tmp_path, "forecast", "--symbols", "ACME", "--models", "ewma", "--offline", "--json")
    assert offline.returncode == 0, offline.stderr
    assert yahoo.count("") == 0

    folder = Path(answer["report"]).parent
    live = pd.read_parquet(folder / "live.parquet")
    live.assign(origin=live["origin"] - pd.Timedelta(days=30)).to_parquet(folder / "live.parquet")
    late = run(yahoo, tmp_path, "report", str(folder), "--json")
    assert late.returncode == 7, late.stderr
    assert "<strong>Stale.</strong>" in Path(answer["report"]).read_text()

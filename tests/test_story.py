"""The whole street once: from the embedded prices to a report, and the verdict finds what is there."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app import registry
from app.cli import main
from app.config import load_settings
from app.daily.freshness import freshness_told
from app.dataset import make_windows
from app.dataset.windows import WindowSpec
from app.evaluation.backtest import Plan, backtest
from app.evaluation.significance import verdict
from app.forecasters import load_fitted, make_recipe
from app.forecasters.base import forecasts_table
from app.pipeline import forecast, load_prices, make_dataset, train
from app.report.record import load_findings

QUICK = [
    *("--start", "2015-01-01", "--lookback", "20", "--horizons", "1", "5"),
    *(
        "--set",
        "backtest.folds=1",
        "--set",
        "backtest.validation=100",
        "--set",
        "network.epochs=1",
        "--set",
        "network.units=4",
    ),
]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("STOCK_HOME", str(tmp_path))
    return tmp_path


def words(page: Path) -> str:
    """A page without its pictures."""
    return re.sub(r"base64,[^\"]+", "", page.read_text(encoding="utf-8"))


def test_shapes_of_one_network_stand_side_by_side(home, capsys):
    named = ["simple-rnn", "simple-rnn:one-to-one"]
    assert main(["backtest", "--models", *named, "--json", "--quiet", "--out", str(home / "out"), *QUICK]) == 0
    scores = pd.DataFrame(json.loads(capsys.readouterr().out)["scores"])
    assert list(dict.fromkeys(scores["model"])) == named
    assert scores.groupby("model")["crps"].first().nunique() == 2
    assert main(["train", "--models", named[1], "--quiet", *QUICK]) == 0
    assert main(["forecast", "--models", named[1], "--json", "--quiet"]) == 0
    answer = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))
    assert {row["model"] for row in answer["forecasts"]} == {named[1]}
    assert [version.rpartition("-simple-rnn.")[2] for version in answer["versions"].values()] == ["one-to-one"]


def test_run_makes_a_report_offline_and_leaves_everything_to_make_it_again(home, capsys, request):
    assert main(["run", "--models", "random-walk", "ewma", "lstm", "--json", *QUICK]) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    page = home / "data" / "reports" / "sample-2018-12-31" / "report.html"
    assert answer["report"] == str(page)
    assert "lstm" in page.read_text(encoding="utf-8")
    assert "epoch 1 of at most 1" in printed.err
    assert {row["symbol"] for row in answer["forecasts"]} == {"^GSPC", "^IXIC"}
    assert len(list((home / "models").glob("*/card.json"))) == 3
    before = words(page)
    page.unlink()
    request.getfixturevalue("undrawn")
    figures = sorted(path.name for path in page.with_name("figures").iterdir())
    page.with_name("figures").joinpath("of-an-older-run.png").touch()
    page.with_name("notes.txt").write_text("mine")
    assert main(["report", str(page.parent), "--json"]) == 0
    (daily := page.parent.parent / "daily-sample-2019-01-02").mkdir()
    (daily / "report.html").write_text("of the daily run")
    again = words(page)
    for _ in range(2):  # the newest run's, and into the same folder again
        assert main(["report", "--out", str(home / "again"), "--quiet"]) == 0
    assert words(page) == again
    assert sorted(path.name for path in page.with_name("figures").iterdir()) == figures
    assert page.with_name("notes.txt").read_text() == "mine"
    assert len(again) == pytest.approx(len(before), rel=0.01)
    kept = load_findings(page.parent)
    assert [one.sentence for one in kept.verdicts] == [one["sentence"] for one in answer["verdicts"]]


def test_a_saved_model_forecasts_the_same_after_a_restart(home):
    settings = load_settings(
        {"models": ["gru", "ewma"], "network": {"epochs": 1, "units": 4}, "prices": {"start": "2016-01-01"}}
    )
    prices = load_prices(settings)
    train(settings, make_dataset(settings, prices))
    first, second = forecast(settings, prices), forecast(settings, prices)
    pd.testing.assert_frame_equal(first, second)
    assert (first["date"] > first["origin"]).all()
    assert first["actual"].isna().all()


def simulated(alpha: float, seed: int, symbols: int = 8, sessions: int = 1200) -> pd.DataFrame:
    """Price tables whose returns are GARCH(1,1) with the given reaction to news, 0 for none; 1 % a session."""
    rng = np.random.default_rng(seed)
    dates = pd.bdate_range("2015-01-01", periods=sessions)
    tables = []
    for number in range(symbols):
        variance, returns = 1e-4, np.zeros(sessions)
        for t in range(sessions):
            returns[t] = np.sqrt(variance) * rng.normal()
            variance = 1e-4 * (0.03 if alpha else 1) + (
                alpha * returns[t] ** 2 + (0.97 - alpha) * variance if alpha else 0
            )
        close = 50 * np.exp(returns.cumsum())
        bars = {
            "open": close,
            "high": close,
            "low": close,
            "close": close,
            "volume": 1e6,
            "dividend": 0.0,
            "split": 1.0,
        }
        tables.append(pd.DataFrame({"symbol": f"S{number}", "date": dates, **bars}))
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize(("alpha", "better"), [(0.15, True), (0.0, False)])
def test_the_verdict_finds_volatility_that_clusters_and_nothing_where_it_does_not(alpha, better, home):
    windows = make_windows(simulated(alpha, seed=3), WindowSpec(20, (1,)), "24/5")
    sections = {name: getattr(load_settings(), name) for name in ("random_walk", "ewma")}
    recipes = {name: make_recipe(name, sections) for name in ("random-walk", "ewma")}
    table = backtest(windows, recipes, Plan(test_start="2018-01-01", refit=500, validation=100)).forecasts
    assert verdict(table, "ewma", "random-walk", 1).better == better


def test_no_forecast_of_the_pipeline_knows_the_future(home):
    """Rows after an origin removed: the forecasts of models trained before it stay as they were."""
    settings = load_settings(
        {"models": ["random-walk", "ewma", "gjr-garch"], "prices": {"start": "2012-01-01", "stop": "2017-06-30"}}
    )
    prices = load_prices(settings)
    train(settings, make_dataset(settings, prices))
    then = forecast(settings, prices)
    later = load_settings({"models": ["random-walk", "ewma", "gjr-garch"], "prices": {"start": "2012-01-01"}})
    windows = make_dataset(later, load_prices(later))
    origin = windows.originating(np.datetime64("2017-06-30"), np.datetime64("2017-07-01"))
    for name in settings.models:
        fitted = load_fitted(registry.newest(settings.versions, name).folder)
        now = forecasts_table(name, origin, fitted.predict(origin)).drop(columns="actual")
        pd.testing.assert_frame_equal(now, then[then["model"] == name].drop(columns="actual").reset_index(drop=True))


@pytest.mark.parametrize(
    ("now", "stale"), [("2026-11-20 22:30", None), ("2026-11-19 23:00", None), ("2026-11-24 23:00", "STALE")]
)
def test_a_forecast_two_sessions_behind_the_market_is_stale(home, now, stale):
    """The newest origin is Thursday 19 November 2026; one session of lag is allowed."""
    settings = load_settings({"prices": {"source": "yahoo", "symbols": "AAPL"}})
    live = pd.DataFrame({"symbol": ["AAPL"], "origin": [pd.Timestamp("2026-11-19")]})
    found = freshness_told(settings, live, pd.Timestamp(now, tz="UTC"))["stale"]
    assert (found is None) == (stale is None)
    if stale:
        assert "AAPL by 3 closed sessions" in found

import numpy as np
import pandas as pd
import pytest

from app.report.pricing import chance_of_rise, history, main_model, price_table, priced
from app.schema import FORECAST_COLUMNS, LEVELS, QUANTILES, prices_table

ORIGIN = pd.Timestamp("2024-01-03")


@pytest.fixture
def forecasts() -> pd.DataFrame:
    """One forecast from a close of 100, whose quantiles are the logarithms of 1.05, 1.10, … 1.95."""
    row = {"model": "lstm", "symbol": "A", "origin": ORIGIN, "horizon": 1, "date": pd.Timestamp("2024-01-04")}
    quantiles = {name: np.log(1 + level) for name, level in zip(QUANTILES, LEVELS, strict=True)}
    return pd.DataFrame([{**row, "origin_close": 100.0, **quantiles, "actual": np.log(0.9)}])[list(FORECAST_COLUMNS)]


def prices_with_a_split(day: str) -> pd.DataFrame:
    table = pd.DataFrame({"symbol": "A", "date": pd.date_range("2024-01-01", periods=6), "close": 100.0})
    return prices_table(table.assign(split=np.where(table["date"] == day, 2.0, 1.0)))


def test_a_price_is_the_origins_close_times_the_exponential(forecasts):
    money = priced(forecasts, prices_with_a_split("none")).iloc[0]
    assert money[["q0.05", "q0.50", "q0.95", "actual"]].tolist() == pytest.approx([105, 150, 195, 90])


@pytest.mark.parametrize(("day", "close"), [("2024-01-03", 100.0), ("2024-01-04", 50.0)])
def test_prices_are_in_todays_shares_when_a_split_came_after_the_origin(forecasts, day, close):
    money = priced(forecasts, prices_with_a_split(day)).iloc[0]
    assert money["origin_close"] == close
    assert money["q0.50"] == pytest.approx(1.5 * close)


def test_a_split_of_another_symbol_changes_nothing(forecasts):
    prices = prices_with_a_split("2024-01-04").assign(symbol="B")
    assert priced(forecasts, prices)["origin_close"].tolist() == [100.0]


def test_history_is_comparable_over_a_split():
    closes = history(prices_with_a_split("2024-01-04"), "A", sessions=4)["close"]
    assert closes.tolist() == [50.0, 100.0, 100.0, 100.0]


@pytest.mark.parametrize(
    ("shift", "chance"),
    [(0.5, 0.5), (0.3, 0.7), (0.325, 0.675), (0.01, 0.95), (2.0, 0.05)],
    ids=["median", "on a level", "between two levels", "below all", "above all"],
)
def test_the_chance_of_a_rise_is_read_off_the_quantiles(forecasts, shift, chance):
    table = forecasts.assign(**{name: level - shift for name, level in zip(QUANTILES, LEVELS, strict=True)})
    assert chance_of_rise(table) == pytest.approx([chance])


def test_the_price_table_has_prices_and_a_chance_by_hand(forecasts):
    row = price_table(forecasts).iloc[0]
    assert row[["p0.05", "p0.25", "p0.50", "p0.75", "p0.95"]].tolist() == pytest.approx([105, 125, 150, 175, 195])
    assert row["chance_of_rise"] == 0.95


@pytest.mark.parametrize(
    ("models", "main"),
    [
        (["random-walk", "gjr-garch", "gru", "lstm"], "gru"),
        (["random-walk", "ewma", "gjr-garch"], "ewma"),
        (["random-walk"], "random-walk"),
        ([], None),
    ],
)
def test_the_main_model_is_the_first_network(models, main):
    assert main_model(pd.DataFrame({"model": pd.array(models, dtype="str")})) == main


def test_pricing_leaves_its_inputs_as_they_were(forecasts):
    prices = prices_with_a_split("2024-01-04")
    before = forecasts.copy(), prices.copy()
    priced(forecasts, prices)
    price_table(forecasts)
    pd.testing.assert_frame_equal(forecasts, before[0])
    pd.testing.assert_frame_equal(prices, before[1])

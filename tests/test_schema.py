"""The tables refuse what they must not hold, and say which row."""

import numpy as np
import pandas as pd
import pytest

from app.errors import DataError
from app.schema import FORECAST_COLUMNS, LEVELS, PRICE_COLUMNS, QUANTILES, check_forecasts, prices_table


@pytest.fixture
def forecasts() -> pd.DataFrame:
    """Two forecasts of one symbol, quantiles 0.01 apart."""
    table = pd.DataFrame({"model": "gru", "symbol": "A", "origin": pd.Timestamp("2024-05-31"), "horizon": [1, 5]})
    table["date"] = [pd.Timestamp("2024-06-03"), pd.Timestamp("2024-06-07")]
    table["origin_close"], table["actual"] = 10.0, np.nan
    return table.assign(**{name: 0.01 * place for place, name in enumerate(QUANTILES)})[list(FORECAST_COLUMNS)]


def test_levels_are_nineteen_from_5_to_95_per_cent():
    assert len(LEVELS) == 19
    assert (LEVELS[0], LEVELS[9], LEVELS[-1]) == (0.05, 0.5, 0.95)
    assert (QUANTILES[0], QUANTILES[9], QUANTILES[-1]) == ("q0.05", "q0.50", "q0.95")


def test_a_sound_table_is_returned_as_it_is(forecasts):
    pd.testing.assert_frame_equal(check_forecasts(forecasts), forecasts)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("date", pd.Timestamp("2024-05-31"), r"1 row\(s\) forecast a date that is not after their origin, first .*'A'"),
        ("q0.50", np.nan, "hold quantiles that are not finite"),
        ("q0.50", np.inf, "hold quantiles that are not finite"),
        ("q0.50", 0.05, "hold quantiles that cross"),
        ("horizon", 1, "repeat a"),
    ],
)
def test_a_row_that_cannot_be_is_refused(forecasts, column, value, message):
    forecasts.loc[1, column] = value
    with pytest.raises(DataError, match=message):
        check_forecasts(forecasts)


def test_a_missing_column_is_named(forecasts):
    with pytest.raises(DataError, match=r"missing column\(s\) \['actual'\]"):
        check_forecasts(forecasts.drop(columns="actual"))


def test_prices_get_their_columns_and_what_is_absent_is_unknown_or_none():
    table = prices_table(pd.DataFrame({"symbol": ["NA"], "date": ["2024-01-02"], "close": ["3.5"]}))
    assert list(table.columns) == list(PRICE_COLUMNS)
    row = table.iloc[0]
    assert (row["symbol"], row["close"], row["dividend"], row["split"]) == ("NA", 3.5, 0.0, 1.0)
    assert np.isnan(row["open"])
    assert np.isnan(row["volume"])
    assert table["date"].dtype == "datetime64[ns]"


def test_prices_without_a_close_are_refused():
    with pytest.raises(DataError, match="no column 'close'"):
        prices_table(pd.DataFrame({"symbol": ["A"], "date": ["2024-01-02"]}))

import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.prices.adjust import total_returns
from app.prices.calendar import sessions
from app.prices.quality import RULES, inspect, sound
from app.prices.sources import Files, Sample
from app.schema import ISSUE_COLUMNS, PRICE_FIELDS, prices_table

TODAY = pd.Timestamp("2022-01-01")


def calm(rows=700, symbol="CALM", seed=1) -> pd.DataFrame:
    """A random walk of 1 % a session on the sessions of New York from 2018-03-01, without a defect."""
    random = np.random.default_rng(seed)
    close = 50 * np.exp(0.01 * random.normal(size=rows).cumsum())
    opening = close * np.exp(0.003 * random.normal(size=rows))
    return prices_table(
        pd.DataFrame(
            {
                "symbol": symbol,
                "date": sessions("XNYS", np.datetime64("2018-03-01"), np.datetime64("2021-12-31"))[:rows],
                "open": opening,
                "high": np.maximum(opening, close) * 1.004,
                "low": np.minimum(opening, close) * 0.996,
                "close": close,
                "volume": 1000.0 + random.integers(0, 500, size=rows),
            }
        )
    )


def changed(rows: slice | list | int, **fields) -> pd.DataFrame:
    """The calm table with some fields of some rows set."""
    table = calm()
    for name, value in fields.items():
        table.loc[table.index[rows] if isinstance(rows, slice) else rows, name] = value
    return table


def scaled(rows: slice, factor: float, table: pd.DataFrame | None = None) -> pd.DataFrame:
    """The calm table with the prices of some rows multiplied."""
    table = calm() if table is None else table.copy()
    for name in ("open", "high", "low", "close"):
        table.loc[table.index[rows], name] *= factor
    return table


def moved_date(row: int, date: str) -> pd.DataFrame:
    table = calm()
    table.loc[row, "date"] = pd.Timestamp(date)
    return table


def weekly() -> pd.DataFrame:
    table = calm()
    return table[table["date"].dt.dayofweek == 2]


def unordered() -> pd.DataFrame:
    return calm().iloc[::-1]


def twice(**fields) -> pd.DataFrame:
    table = calm()
    return pd.concat([table.iloc[:301], table.iloc[[300]].assign(**fields), table.iloc[301:]])


def without(rows: list) -> pd.DataFrame:
    return calm().drop(index=rows)


def intraday() -> pd.DataFrame:
    return pd.concat([calm(), scaled(slice(None), 1.001), scaled(slice(None), 1.002)])


def holidays() -> pd.DataFrame:
    table = calm()
    days = pd.bdate_range("2018-03-01", periods=len(table))
    return table.assign(date=days.as_unit("ns"))


def standing_still(volume: float) -> pd.DataFrame:
    rows = slice(300, 315)
    price = calm()["close"][299]
    return changed(rows, open=price, high=price, low=price, close=price, volume=volume)


def paying(rows: list, share: float, paid: float) -> pd.DataFrame:
    """Dividends of a share of the close before, of which the price loses the part that was paid."""
    table = calm()
    for row in rows:
        table.loc[row, "dividend"] = share * table.loc[row - 1, "close"]
        table = scaled(slice(row, None), 1 - paid, table)
    return table


PLANTED = {
    "frequency weekly": (weekly, "frequency", "error", None),
    "frequency intraday": (intraday, "frequency", "error", None),
    "disordered": (unordered, "disordered", "warning", None),
    "duplicated": (twice, "duplicated", "warning", [300]),
    "contradicting": (lambda: twice(volume=7.0), "duplicated", "error", [300]),
    "close nan": (lambda: changed([300], close=np.nan), "non_finite", "error", [300]),
    "close infinite": (lambda: changed([300], close=np.inf), "non_finite", "error", [300]),
    "close zero": (lambda: changed([300], close=0.0), "non_positive", "error", [300]),
    "close negative": (lambda: changed([300], close=-5.0), "non_positive", "error", [300]),
    "open zero": (lambda: changed([300], open=0.0), "non_positive", "warning", [300]),
    "split zero": (lambda: changed([300], split=0.0), "impossible_action", "error", [300]),
    "dividend infinite": (lambda: changed([300], dividend=np.inf), "impossible_action", "error", [300]),
    "volume negative": (lambda: changed([300], volume=-1.0), "impossible_volume", "warning", [300]),
    "close outside": (lambda: changed([300], high=1.0, low=0.5, open=0.7), "ohlc_order", "error", [300]),
    "open outside": (lambda: changed([300], open=1000.0), "ohlc_order", "warning", [300]),
    "future": (lambda: moved_date(699, "2022-01-03"), "future_date", "error", [699]),
    "holiday": (lambda: moved_date(87, "2018-07-04"), "not_a_session", "error", [87]),
    "calendar": (holidays, "wrong_calendar", "warning", None),
    "missing": (lambda: without([300, 301]), "missing_session", "warning", None),
    "stale": (lambda: standing_still(0.0), "stale", "warning", None),
    "no volume": (lambda: changed(slice(300, 330), volume=0.0), "zero_volume", "warning", [300]),
    "spike up": (lambda: scaled(slice(300, 301), 1.3), "spike_reverts", "error", [300]),
    "spike down": (lambda: scaled(slice(300, 301), 0.1), "spike_reverts", "error", [300]),
    "pence block": (lambda: scaled(slice(300, 340), 100), "unit_switched", "error", list(range(300, 340))),
    "pence, three rows": (lambda: scaled(slice(300, 303), 0.01), "unit_switched", "error", [300, 301, 302]),
    "pence at the end": (lambda: scaled(slice(680, None), 100), "unit_switched", "error", list(range(680, 700))),
    "pence at the start": (lambda: scaled(slice(0, 20), 100), "unit_switched", "error", list(range(20))),
    "a year in old shares": (lambda: scaled(slice(300, 550), 0.5), "unit_switched", "error", list(range(300, 550))),
    "split unlisted": (lambda: scaled(slice(300, None), 0.5), "split_like", "warning", [300]),
    "jump": (lambda: scaled(slice(300, None), 1 / 11.9), "jump", "warning", [300]),
    "dividend of pence": (lambda: paying([300], 0.4, 0.004), "dividend_not_in_price", "error", [300]),
    "dividend twice": (lambda: paying([300, 302], 0.03, 0.03), "dividend_repeated", "warning", [302]),
    "dividend negative": (lambda: paying([300], -0.02, 0.0), "dividend_negative", "warning", [300]),
    "dividends tiny": (lambda: paying([100, 160, 220, 280], 0.0002, 0.02), "dividend_tiny", "warning", [280]),
}
"""name → (how to make the table, rule, severity, the only rows that may be named: None for any)."""


ALSO = {
    "calendar": ["missing_session"],
    "future": ["missing_session"],
    "holiday": ["missing_session", "disordered"],
}
"""name → what follows from the same fault."""


def late_split() -> pd.DataFrame:
    """Shares are halved in session 300, but the source lists the split for session 305."""
    table = scaled(slice(300, None), 0.5)
    table.loc[305, "split"] = 2.0
    return scaled(slice(305, None), 0.5, table)


PLANTED["split misplaced"] = (late_split, "split_misplaced", "warning", [300])


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_where_it_is_and_nothing_else(name):
    make, rule, severity, rows = PLANTED[name]
    issues = inspect(make(), today=TODAY)
    named = issues[(issues["rule"] == rule) & (issues["severity"] == severity)]
    assert len(named)
    assert set(issues["rule"]) <= {rule, *ALSO.get(name, ())}
    if rows is not None:
        table = calm() if name not in ("future", "holiday") else make()
        assert sorted(set(named["date"])) == table["date"][rows].tolist()


def test_every_rule_is_planted_once():
    assert {(rule, severity) for _, rule, severity, _ in PLANTED.values()} == {(r.name, r.severity) for r in RULES}


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_found_where_nothing_is_wrong(seed):
    assert len(inspect(calm(seed=seed), today=TODAY)) == 0


def test_a_listed_split_and_a_paid_dividend_are_no_issue():
    split = scaled(slice(300, None), 0.1)
    split.loc[300, "split"] = 10.0
    assert len(inspect(split, today=TODAY)) == 0
    assert len(inspect(paying([300], 0.5, 0.5), today=TODAY)) == 0


def test_prices_that_halve_overnight_and_then_trade_wildly_are_believed():
    table = scaled(slice(300, None), 0.5)
    table.loc[300, ["high", "low"]] = table.loc[300, "close"] * np.array([1.02, 0.985])
    assert len(inspect(table, today=TODAY)) == 0


def test_a_step_in_one_symbol_is_not_undone_by_one_in_the_next():
    both = pd.concat([scaled(slice(650, None), 0.5, calm(symbol="A")), scaled(slice(40, None), 2, calm(symbol="B"))])
    assert inspect(both, today=TODAY)["rule"].tolist() == ["split_like", "split_like"]


def test_rows_that_contradict_each_other_are_not_also_called_copies():
    issues = inspect(twice(volume=7.0), today=TODAY)
    assert issues["severity"].tolist() == ["error", "error"]


def test_an_index_that_never_has_a_volume_is_no_issue():
    assert len(inspect(calm().assign(volume=0.0), today=TODAY)) == 0


def test_rows_of_today_are_not_of_the_future():
    table = calm()
    assert len(inspect(table, today=table["date"].max())) == 0


def test_one_holiday_in_a_short_table_is_an_error():
    table = moved_date(87, "2018-07-04").iloc[60:100]
    issues = inspect(table, today=TODAY)
    assert issues.loc[issues["severity"] == "error", "rule"].tolist() == ["not_a_session"]


def test_a_price_that_cannot_move_does_not_refute_a_dividend():
    table = paying([300], 0.06, 0.0)
    assert "dividend_not_in_price" in set(inspect(table, today=TODAY)["rule"])
    assert len(inspect(table.assign(volume=0.0), today=TODAY)) == 0


def test_a_rounding_error_below_zero_is_no_dividend():
    assert len(inspect(paying([300], -0.0005, 0.0), today=TODAY)) == 0


def test_tiny_dividends_on_ordinary_days_are_no_issue():
    assert len(inspect(paying([100, 160, 220, 280, 340, 400], 0.0002, -0.01), today=TODAY)) == 0


def test_one_tiny_dividend_on_a_bad_day_is_no_issue():
    assert len(inspect(paying([300], 0.0002, 0.05), today=TODAY)) == 0


def test_a_dividend_each_quarter_is_not_a_repetition():
    assert len(inspect(paying([100, 163, 226], 0.03, 0.03), today=TODAY)) == 0


@pytest.mark.parametrize("symbol", ["^GSPC", "^IXIC"])
def test_real_crashes_are_kept(symbol):
    prices = Sample().history(symbol)
    assert len(inspect(prices)) == 0
    assert len(sound(prices, inspect(prices))) == len(prices)


@pytest.mark.parametrize("fall", [0.5, 0.7, 0.79])
def test_a_crash_in_turmoil_that_does_not_revert_is_kept(fall):
    table = scaled(slice(300, None), fall)
    table.loc[300, "high"] = table.loc[299, "close"]
    assert "error" not in set(inspect(table, today=TODAY)["severity"])
    assert np.isfinite(total_returns(sound(table, inspect(table, today=TODAY)))[1:]).all()


@pytest.mark.parametrize("side", [299, 301])
def test_a_day_that_traded_all_the_way_is_no_spike(side):
    table = scaled(slice(300, 301), 0.7)
    table.loc[300, "high"] = calm()["close"][side]
    assert len(inspect(table, today=TODAY)) == 0


@pytest.mark.parametrize(("rows", "rule"), [(260, "unit_switched"), (261, "split_like")])
def test_another_unit_that_is_kept_for_a_year_counts_as_the_new_one(rows, rule):
    assert set(inspect(scaled(slice(300, 300 + rows), 0.5), today=TODAY)["rule"]) == {rule}


def test_a_rebound_by_half_is_no_spike():
    table = scaled(slice(300, 301), 0.7)
    table = scaled(slice(301, None), 0.85, table)
    assert len(inspect(table, today=TODAY)) == 0


MOVES = ("spike up", "spike down", "pence block", "pence, three rows", "pence at the end", "pence at the start",
         "a year in old shares", "split unlisted", "jump", "split misplaced", "dividend of pence")  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_no_fault_becomes_a_return(name):
    table = PLANTED[name][0]()
    returns = total_returns(sound(table, inspect(table, today=TODAY)))
    assert np.nanmax(np.abs(returns)) < 0.06


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_sound_is_ordered_unique_and_without_errors(name):
    table = PLANTED[name][0]()
    before = table.copy()
    issues = inspect(table, today=TODAY)
    kept = sound(table, issues)
    pd.testing.assert_frame_equal(table, before)
    assert kept["date"].is_monotonic_increasing
    assert not kept.duplicated(["symbol", "date"]).any()
    assert "error" not in set(inspect(kept, today=TODAY)["severity"])
    pd.testing.assert_frame_equal(sound(kept, issues), kept)


@pytest.mark.parametrize("field", ["open", "high", "low"])
@pytest.mark.parametrize("value", [0.0, -3.0, np.inf])
def test_a_doubtful_field_becomes_unknown_and_the_row_stays(field, value):
    table = changed([300], **{field: value})
    kept = sound(table, inspect(table, today=TODAY))
    expected = calm()
    expected.loc[300, field] = np.nan
    pd.testing.assert_frame_equal(kept, expected)


def test_an_open_far_outside_its_bar_becomes_unknown():
    table = changed([300], open=1000.0)
    assert np.isnan(sound(table, inspect(table, today=TODAY))["open"][300])


def test_nothing_else_is_touched():
    table = scaled(slice(300, 340), 100)
    kept = sound(table, inspect(table, today=TODAY))
    expected = calm().drop(index=range(300, 340)).reset_index(drop=True)
    expected.loc[300, "dividend"] = np.nan
    pd.testing.assert_frame_equal(kept, expected)


def test_a_split_on_a_row_left_out_moves_to_the_next_row():
    table = scaled(slice(300, None), 0.1)
    table.loc[300, ["split", "close"]] = [10.0, np.nan]
    kept = sound(table, inspect(table, today=TODAY))
    assert kept["split"][300] == 10.0
    assert np.abs(total_returns(kept)[1:]).max() < 0.06


def test_symbols_do_not_touch_each_other():
    both = pd.concat([calm(symbol="A"), scaled(slice(0, None), 100, calm(symbol="B"))])
    both = both.sort_values(["date", "symbol"])
    assert len(inspect(both, today=TODAY)) == 0
    bad = pd.concat([both, calm(symbol="C").assign(close=-1.0)])
    issues = inspect(bad, today=TODAY)
    assert set(issues["symbol"]) == {"C"}
    assert sound(bad, issues)["symbol"].unique().tolist() == ["A", "B"]


FAR = 261
"""No verdict depends on a row further away than this."""


def faulty(rows=1400) -> pd.DataFrame:
    """A long table with spikes, blocks, unlisted splits and bad dividends all over."""
    days = sessions("XNYS", np.datetime64("2010-01-04"), np.datetime64("2018-12-31"))[:rows]
    table = (
        pd.concat([calm(seed=2), calm(seed=3)], ignore_index=True)
        .iloc[:rows]
        .assign(date=days.astype("datetime64[ns]"))
    )
    table = scaled(slice(700, None), table["close"][699] / table["close"][700], table)
    for start, stop, factor in [
        (50, 51, 1.4),
        (90, 120, 100),
        (400, 640, 0.25),
        (700, None, 0.5),
        (800, None, 3),
        (1390, None, 100),
    ]:
        table = scaled(slice(start, stop), factor, table)
    table.loc[300, "dividend"] = 20.0
    return table


@pytest.mark.parametrize("known", [330, 420, 660, 900, 1100, 1395])
def test_later_rows_change_no_verdict_on_rows_far_before_them(known):
    table = faulty()
    whole, early = inspect(table, today=TODAY), inspect(table.iloc[:known], today=TODAY)
    last = table["date"][known - FAR]
    assert len(whole[whole["date"] < last]) or known < 330
    pd.testing.assert_frame_equal(
        early[early["date"] < last].reset_index(drop=True), whole[whole["date"] < last].reset_index(drop=True)
    )


def test_the_faults_of_the_long_table_are_found():
    found = inspect(faulty(), today=TODAY).groupby("rule").size().to_dict()
    assert found == {"spike_reverts": 1, "unit_switched": 30 + 240 + 10, "split_like": 2, "dividend_not_in_price": 1}


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_short_tables_are_judged(rows):
    table = calm().iloc[:rows]
    issues = inspect(table, today=TODAY)
    assert tuple(issues.columns) == ISSUE_COLUMNS
    assert len(issues) == 0
    pd.testing.assert_frame_equal(sound(table, issues), table)


def test_a_table_of_unknowns_and_a_constant_one_are_judged():
    unknown = calm().assign(**dict.fromkeys(("open", "high", "low", "close", "volume"), np.nan))
    assert len(sound(unknown, inspect(unknown, today=TODAY))) == 0
    constant = calm().assign(open=5.0, high=5.0, low=5.0, close=5.0)
    assert len(inspect(constant, today=TODAY)) == 0


@settings(max_examples=25)
@given(st.data())
def test_any_numbers_are_judged_and_what_is_sound_stays_sound(data):
    number = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, 1.0, 1.01, 100.0, -1.0])
    rows = data.draw(st.integers(1, 12))
    table = calm().iloc[:rows].copy()
    for name in PRICE_FIELDS:
        table[name] = data.draw(st.lists(number, min_size=rows, max_size=rows))
    issues = inspect(table, today=TODAY)
    kept = sound(table, issues)
    assert (kept["close"] > 0).all()
    pd.testing.assert_frame_equal(sound(kept, issues), kept)


def test_many_equal_warnings_are_one_line_with_their_number_and_dates():
    issues = inspect(changed(slice(100, 200), open=0.0), today=TODAY)
    assert len(issues) == 1
    detail = issues["detail"][0]
    assert detail.startswith("open 0, high")
    assert detail.endswith("; 100 times from 2018-07-24 to 2018-12-13")
    assert len(inspect(changed(slice(100, 120), open=0.0), today=TODAY)) == 20


def test_a_gap_is_one_line_with_the_number_of_sessions():
    issues = inspect(without([300, 301, 302, 400]), today=TODAY)
    assert issues["detail"].tolist() == ["3 session(s) missing from here", "1 session(s) missing from here"]
    assert issues["date"].tolist() == calm()["date"][[300, 400]].tolist()


def test_a_return_over_a_long_gap_is_unknown():
    table = without(list(range(300, 330)))
    returns = total_returns(sound(table, inspect(table, today=TODAY)))
    assert np.flatnonzero(np.isnan(returns)).tolist() == [0, 300]


def test_the_calendar_asked_for_is_used():
    issues = inspect(calm(), calendar="XLON", today=TODAY)
    assert issues["rule"].tolist().count("wrong_calendar") == 1
    assert "XLON" in issues["detail"][0]


@pytest.fixture(scope="module")
def bad_prices() -> dict[str, pd.DataFrame]:
    """The real tables with a known defect, by file name; Yahoo's columns, as traded."""
    root = os.environ.get("PRICE_DATA") or os.path.join(os.path.dirname(__file__), *[".."] * 3, "shared", "data")
    folder = os.path.join(root, "bad_prices")
    if not os.path.isdir(folder):
        pytest.skip(f"no folder of real prices at {folder}; PRICE_DATA names another one")
    return {
        name: yahoo_file(os.path.join(folder, name)) for name in sorted(os.listdir(folder)) if name.endswith(".csv")
    }


def yahoo_file(path: str) -> pd.DataFrame:
    """One file under the symbol whose exchange it is from: "IBE-MC-1d-…" is IBE.MC."""
    name, exchange = os.path.basename(path).split("-")[:2]
    return Files(path).table().assign(symbol=name if exchange.startswith("1") else f"{name}.{exchange}")


VISIBLE = {
    "4063-T-1d-bad-div": "dividend_not_in_price",
    "ALPHA-PA-1d-bad-stock-split": "spike_reverts",
    "AV-L-1wk-bad-stock-split": "frequency",
    "CLC-L-1d-bad-div": "unit_switched",
    "DEX-AX-1d-bad-stock-split": "split_misplaced",
    "EA-15m-no-bad-divs": "frequency",
    "KAP-IL-1d-bad-div": "dividend_repeated",
    "KME-MI-1d-bad-div": "dividend_not_in_price",
    "LA-V-1d-bad-stock-split": "spike_reverts",
    "MOB-ST-1d-bad-stock-split": "spike_reverts",
    "PSH-L-1d-bad-div": "dividend_not_in_price",
    "SCR-TO-1d-bad-div": "dividend_not_in_price",
    "SPM-MI-1d-bad-stock-split": "split_like",
    "SSW-JO-1d-100x-error": "unit_switched",
    "TENT-L-1d-bad-div": "dividend_tiny",
}
"""Real table → the rule that names its defect. The others' defects are in Adj Close, which is no fact."""


@pytest.mark.parametrize("name", VISIBLE)
def test_a_real_defect_is_named(name, bad_prices):
    table = bad_prices[f"{name}.csv"]
    issues = inspect(table)
    assert VISIBLE[name] in set(issues["rule"])
    assert "error" not in set(inspect(sound(table, issues))["severity"])


@pytest.mark.parametrize("name", ["EWG-1d-no-bad-divs", "IBE-MC-1d-no-bad-divs", "TISG-MI-1d-no-bad-divs"])
def test_a_real_table_without_a_defect_has_no_issue(name, bad_prices):
    assert len(inspect(bad_prices[f"{name}.csv"])) == 0

"""The real yfinance client in a process of its own, over HTTPS, against the tests' Yahoo."""

import shutil

import numpy as np
import pandas as pd
import pytest

from app.prices.calendar import sessions
from tests.fake_yahoo import CHART, FOREVER, Fault, Series
from tests.prices.conftest import Client

TODAY = "2024-06-14"
EVENING, MIDDAY = f"{TODAY}T22:00", f"{TODAY}T16:00"
"""Two hours after the close in New York, and in the middle of its session."""


def bars(first: str = "2024-01-02", last: str = TODAY, **actions: dict[str, float]) -> pd.DataFrame:
    """As traded: 5 % apart from day to day at most, 1,000,000 + t shares in session t."""
    dates = sessions("XNYS", np.datetime64(first), np.datetime64(last)).astype("datetime64[ns]")
    close = 80 * np.exp(np.random.default_rng(5).normal(0, 0.01, len(dates)).cumsum())
    table = pd.DataFrame(
        {"date": dates, "open": 0.99 * close, "high": 1.02 * close, "low": 0.97 * close, "close": close}
    )
    table["volume"], table["dividend"], table["split"] = 1e6 + np.arange(len(dates)), 0.0, 1.0
    for name, events in actions.items():
        for day, value in events.items():
            table.loc[table["date"] == day, name] = value
    for day, ratio in actions.get("split", {}).items():
        table.loc[table["date"] >= day, ["open", "high", "low", "close"]] /= ratio
    return table


def assert_facts(table: pd.DataFrame, truth: pd.DataFrame) -> None:
    """Equal in the single precision in which Yahoo keeps prices."""
    assert table["date"].tolist() == truth["date"].dt.strftime("%Y-%m-%d").tolist()
    for name in ("open", "high", "low", "close", "dividend", "split"):
        np.testing.assert_allclose(table[name], truth[name], rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(table["volume"], truth["volume"], atol=1)


def test_the_whole_history_comes_as_a_price_table(yahoo, client):
    truth = bars()
    yahoo.series["WHOLE"] = Series(truth)
    answer = client.ask("WHOLE", EVENING)
    assert_facts(pd.DataFrame(answer["rows"]), truth)
    assert answer["types"]["date"] == "datetime64[ns]"
    assert answer["types"]["symbol"] == "str"
    assert answer["slept"] == []


def test_a_second_fetch_gives_only_what_is_asked_for(yahoo, client):
    truth = bars()
    yahoo.series["LATER"] = Series(truth)
    client.table("LATER", EVENING)
    yahoo.reset()
    assert_facts(client.table("LATER", EVENING, start="2024-06-03"), truth[truth["date"] >= "2024-06-03"])
    assert yahoo.count(CHART) == 1  # the time zone is known


def test_both_ends_are_included(yahoo, client):
    yahoo.series["SPAN"] = Series(bars())
    table = client.table("SPAN", EVENING, start="2024-03-04", stop="2024-03-08")
    assert table["date"].tolist() == [f"2024-03-0{day}" for day in (4, 5, 6, 7, 8)]


def test_splits_and_dividends_come_as_traded_and_adjust_to_yahoos_own_series(yahoo, client):
    truth = bars(dividend={"2024-02-09": 0.5, "2024-05-10": 0.2}, split={"2024-03-18": 4.0, "2024-06-10": 1.5})
    yahoo.series["BOTH"] = Series(truth)
    table = client.table("BOTH", EVENING)
    assert_facts(table, truth)
    served = yahoo.series["BOTH"]
    assert table["close"].iloc[0] == pytest.approx(6 * served.prices["close"][0])  # 4 and 1.5 shares for one
    np.testing.assert_allclose(table["adjusted"], served.adjclose, rtol=1e-5)


def test_a_later_split_does_not_change_the_facts_of_earlier_days(yahoo, client):
    truth = bars(dividend={"2024-02-09": 0.5}, split={"2024-06-10": 7.0})
    yahoo.series["SOON"] = Series(truth[truth["date"] < "2024-06-10"])
    before = client.table("SOON", "2024-06-07T22:00")
    yahoo.series["SOON"] = Series(truth)
    after = client.table("SOON", EVENING)
    for name in ("close", "volume", "dividend", "split"):
        np.testing.assert_allclose(after[name][: len(before)], before[name], rtol=1e-6)


def test_a_stop_before_a_split_gives_the_facts_as_traded_all_the_same(yahoo, client):
    truth = bars(split={"2024-06-10": 7.0})
    yahoo.series["STOP"] = Series(truth)
    assert_facts(client.table("STOP", EVENING, stop="2024-06-07"), truth[truth["date"] <= "2024-06-07"])


def test_a_split_on_the_day_that_has_not_closed_is_undone_too(yahoo, client):
    truth = bars(split={TODAY: 3.0})
    yahoo.series["TODAY"] = Series(truth, forming=True)
    assert_facts(client.table("TODAY", MIDDAY), truth[truth["date"] < TODAY])


def test_a_split_announced_for_tomorrow_is_not_undone_yet(yahoo, client):
    truth = bars()
    truth.loc[truth["date"] == TODAY, ["open", "high", "low", "close", "volume"]] = np.nan
    served = yahoo.series["ANNOUNCED"] = Series(truth)
    served.splits = np.append(served.splits[:-1], 2.0)  # listed, while the prices are still those of old shares
    assert_facts(client.table("ANNOUNCED", "2024-06-13T22:00"), truth[truth["date"] < TODAY])


def test_the_bar_that_is_still_forming_is_not_given(yahoo, client):
    yahoo.series["FORMING"] = Series(bars(), forming=True)
    assert client.table("FORMING", MIDDAY)["date"].iloc[-1] == "2024-06-13"
    assert client.table("FORMING", f"{TODAY}T20:59")["date"].iloc[-1] == "2024-06-13"  # 59 minutes after the close
    assert client.table("FORMING", f"{TODAY}T21:01")["date"].iloc[-1] == TODAY


def test_dates_are_those_of_the_exchange(yahoo, client):
    dates = sessions("XTKS", np.datetime64("2024-05-01"), np.datetime64(TODAY)).astype("datetime64[ns]")
    truth = bars().iloc[: len(dates)].assign(date=dates)
    yahoo.series["7203.T"] = Series(truth, zone="Asia/Tokyo", opens="09:00:00", currency="JPY")
    assert_facts(client.table("7203.T", f"{TODAY}T08:00"), truth)  # two hours after the close in Tokyo


def test_what_trades_at_weekends_is_recognised_by_its_dates(yahoo, client):
    truth = bars().iloc[:100].assign(date=pd.date_range("2024-03-09", periods=100, unit="ns"))  # to Sunday 16 June
    yahoo.series["BTC-EUR"] = Series(truth, zone="UTC", opens="00:00:00", kind="CRYPTOCURRENCY", currency="EUR")
    assert client.table("BTC-EUR", "2024-06-16T22:00")["date"].iloc[-1] == "2024-06-15"


def test_a_session_without_prices_is_kept_in_the_middle_and_dropped_at_the_end(yahoo, client):
    truth = bars()
    missing = truth["date"].isin(pd.to_datetime(["2024-04-10", "2024-06-13", TODAY]))
    truth.loc[missing, ["open", "high", "low", "close", "volume"]] = np.nan
    yahoo.series["HOLES"] = Series(truth)
    table = client.table("HOLES", EVENING)
    assert table["date"].iloc[-1] == "2024-06-12"
    assert table.loc[table["close"].isna(), "date"].tolist() == ["2024-04-10"]
    assert table.loc[table["close"].isna(), "volume"].isna().all()


def test_a_row_without_prices_on_a_holiday_is_no_session(yahoo, client):
    blank = {"date": [pd.Timestamp("2024-03-29")], "dividend": [0.0], "split": [1.0]}
    served = pd.concat([bars(), pd.DataFrame(blank)]).sort_values("date")
    yahoo.series["FRIDAY"] = Series(served)
    assert_facts(client.table("FRIDAY", EVENING), bars())


def test_where_no_session_has_closed_nothing_is_asked(yahoo, client):
    for start, stop in ((TODAY, None), ("2024-06-08", "2024-06-09")):  # today at midday, a weekend
        answer = client.ask("NEW", MIDDAY, start=start, stop=stop)
        assert answer["rows"]["date"] == []
        assert answer["types"]["date"] == "datetime64[ns]"
    assert yahoo.log == []


def test_one_429_is_waited_out(yahoo, client):
    truth = bars()
    yahoo.series["BUSY"] = Series(truth)
    yahoo.faults.append(Fault(429, times=2))  # yfinance itself asks once more, at once
    answer = client.ask("BUSY", EVENING)
    assert_facts(pd.DataFrame(answer["rows"]), truth)
    assert len(answer["slept"]) == 1


def test_429_for_ever_is_reported_after_three_tries_with_growing_pauses(yahoo, client):
    yahoo.series["LIMIT"] = Series(bars())
    yahoo.faults.append(Fault(429, times=FOREVER))
    answer = client.ask("LIMIT", EVENING, pause_s=10.0)
    assert (answer["error"], answer["exit_code"]) == ("RateLimitError", 3)
    for part in ("LIMIT", "429", "3 time", "unchanged", "--offline"):
        assert part in answer["message"]
    assert yahoo.count(CHART) == 6
    first, second = answer["slept"]
    assert 5 <= first <= 15
    assert 10 <= second <= 30


def test_a_crumb_refused_by_429_does_not_stop_the_prices(yahoo, client):
    yahoo.series["CRUMB"] = Series(bars())
    yahoo.faults.append(Fault(429, times=FOREVER, where="getcrumb"))
    assert len(client.table("CRUMB", EVENING))


def test_no_try_begins_after_the_deadline(yahoo, client):
    yahoo.faults.append(Fault(429, times=FOREVER))
    answer = client.ask("DEAD", EVENING, pause_s=10.0, tries=50, deadline_s=100.0)
    assert answer["error"] == "RateLimitError"
    assert sum(answer["slept"]) <= 100
    assert yahoo.count(CHART) <= 2 * 5


def test_tries_are_spread_to_the_rate_allowed(yahoo, client):
    yahoo.faults.append(Fault("bad json", times=FOREVER))
    answer = client.ask("RATE", EVENING, pause_s=0.0, requests_per_s=0.25)
    assert answer["slept"] == pytest.approx([4.0, 4.0])


def test_the_rate_is_shared_with_whoever_has_the_same_cache_folder(yahoo, client):
    """tests/prices/test_turns.py has what the file does."""
    (client.cache / "last-request").unlink(missing_ok=True)
    yahoo.faults.append(Fault("bad json", times=FOREVER))
    answer = client.ask("RATE", EVENING, pause_s=0.0, requests_per_s=0.25)
    assert float((client.cache / "last-request").read_text()) % 10_000 == sum(answer["slept"])


@pytest.mark.parametrize(
    ("kind", "where", "error"),
    [
        (500, "range=1d", "MalformedError"),
        (500, "period1", "MalformedError"),
        (503, "period1", "MalformedError"),
        ("bad json", "range=1d", "MalformedError"),
        ("bad json", "period1", "MalformedError"),
        ("be right back", "range=1d", "MalformedError"),
        ("be right back", "period1", "RefusedError"),
        ("reset", "range=1d", "UnreachableError"),
        ("reset", "period1", "UnreachableError"),
        ("empty", "range=1d", "MalformedError"),
        ("empty", "period1", "NoRowsError"),
    ],
)
def test_a_lasting_failure_is_named_and_a_passing_one_survived(yahoo, client, kind, where, error):
    """range=1d is yfinance's question for the time zone, period1 the one for prices."""
    symbol = f"{kind}-{where[:5]}".replace(" ", "")
    truth = bars(first="2024-05-01")
    yahoo.series[symbol.upper()] = Series(truth)
    yahoo.faults.append(Fault(kind, times=FOREVER, where=where))
    answer = client.ask(symbol, EVENING)
    assert (answer["error"], answer["exit_code"]) == (error, 3)
    assert "3 time" in answer["message"]
    assert "delisted" not in answer["message"]
    assert len(answer["message"]) <= 200
    assert yahoo.count(CHART) <= 9
    yahoo.reset()
    yahoo.faults.append(Fault(kind, times=2, where=where))
    assert_facts(client.table(symbol, EVENING), truth)


@pytest.mark.parametrize("kind", ["stall", "drip"])
def test_silence_is_a_failure_after_the_time_allowed(yahoo, client, kind):
    yahoo.series["SLOW"] = Series(bars())
    client.table("SLOW", EVENING)
    yahoo.faults.append(Fault(kind, times=1, where="period1", seconds=1.0))
    assert len(client.ask("SLOW", EVENING, timeout_s=0.3)["slept"]) == 1
    yahoo.faults.append(Fault(kind, times=FOREVER, where="period1", seconds=1.0))
    answer = client.ask("SLOW", EVENING, timeout_s=0.3, tries=2)
    assert answer["error"] == "UnreachableError"
    assert "2 time" in answer["message"]


def test_an_unknown_symbol_is_a_wrong_setting_however_often_it_is_asked(yahoo, client):
    for _ in range(3):  # yfinance fails in another way from the third time on
        answer = client.ask("NOSUCH", EVENING)
        assert (answer["error"], answer["exit_code"]) == ("UnknownSymbolError", 2)
        assert "'NOSUCH'" in answer["message"]
        assert answer["slept"] == []


def test_a_span_yahoo_has_nothing_for_is_its_fault_while_sessions_have_closed(yahoo, client):
    yahoo.series["GONE"] = Series(bars(last="2024-05-31"))
    answer = client.ask("GONE", EVENING, start="2024-06-03")
    assert answer["error"] == "NoRowsError"
    assert "delisted" not in answer["message"]


@pytest.mark.parametrize("symbol", ["../x", "a/b", "", "-x", "x" * 33])
def test_what_is_no_symbol_is_never_asked(yahoo, client, symbol):
    assert client.ask(symbol, EVENING)["error"] == "SettingsError"
    assert yahoo.log == []


def test_settings_that_make_no_sense_are_refused(yahoo, client):
    answer = client.ask("AAPL", EVENING, tries=0)
    assert answer["message"] == "fetch.tries must be at least 1, got 0."


def test_a_new_process_goes_on_with_the_cookie_and_drops_a_damaged_cache(yahoo, yahoo_server, client, tmp_path):
    truth = bars()
    yahoo.series["AGAIN"] = Series(truth)
    client.table("AGAIN", EVENING)
    shutil.copytree(client.cache, tmp_path / "cache")
    for path in (tmp_path / "cache").glob("tkr-tz.db*"):
        path.write_bytes(b"not a database" * 400)
    yahoo.reset()
    second = Client(yahoo_server, cache=tmp_path / "cache", stderr=tmp_path / "stderr.txt")
    assert_facts(second.table("AGAIN", EVENING), truth)
    assert yahoo.count("fc.yahoo.com") == 0
    assert yahoo.count("range=1d") == 1
    second.close()


def test_yfinance_says_nothing_of_its_own(yahoo, yahoo_server, tmp_path):
    yahoo.series["QUIET"] = Series(bars())
    yahoo.faults.append(Fault(429, where="getcrumb"))
    process = Client(yahoo_server, cache=None, stderr=tmp_path / "stderr.txt")
    process.table("QUIET", EVENING)
    process.ask("NOSUCH", EVENING)
    process.close()
    assert (tmp_path / "stderr.txt").read_text() == ""

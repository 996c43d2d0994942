"""What is due is read off calendar, ledger and journal: no case here has run anything before."""

import numpy as np
import pandas as pd
import pytest

from app.config import load_settings
from app.daily.due import LEFT_OUT, due
from app.errors import DamageError, SettingsError
from app.journal import DONE, SKIPPED, Journal
from app.prices.calendar import sessions
from app.prices.store import Ledger
from app.schema import QUANTILES


def test_an_imported_row_of_a_holiday_is_no_session_to_wait_for(tmp_path):
    settings = load_settings({"home": str(tmp_path), "prices": {"source": "import"}})
    days = np.append(
        sessions("XNYS", np.datetime64("2024-05-01"), np.datetime64("2024-05-24")), np.datetime64("2024-05-27")
    )
    bars = pd.DataFrame({"symbol": "AAA", "date": days, "close": 100.0})
    Ledger(settings.ledger).append(bars, source="import")
    assert due(settings, Journal(settings.ledger, "import")).session == "2024-05-24"  # the 27th was Memorial Day


def test_daily_refuses_a_last_day(tmp_path):
    settings = load_settings({"home": str(tmp_path), "prices": {"source": "sample", "stop": "2018-01-31"}})
    with pytest.raises(SettingsError, match="leave out --end, got '2018-01-31'"):
        due(settings, Journal(settings.ledger, "sample"))


def test_waiting_after_the_close_is_no_wrong_clock(tmp_path):
    market = Market(tmp_path)
    for symbol in ("AAPL", "7203.T"):
        market.priced(symbol, "2024-05-15")
    assert market.at("2024-05-15 22:00", lateness_min=3000).session == "2024-05-13"


class Market:
    """A home with Yahoo's prices of some symbols up to a day each, and forecasts from a day each."""

    def __init__(self, path):
        self.path = path

    def settings(self, symbols="AAPL,7203.T", **routine):
        prices = {"source": "yahoo", "symbols": symbols}
        return load_settings({"home": str(self.path), "prices": prices, "daily": routine})

    @property
    def journal(self):
        return Journal(self.settings().ledger, "yahoo")

    def at(self, moment, **routine):
        return due(self.settings(**routine), self.journal, pd.Timestamp(moment, tz="UTC"))

    def priced(self, symbol, day):
        days = sessions("XTKS" if symbol.endswith(".T") else "XNYS", np.datetime64("2024-03-01"), np.datetime64(day))
        bars = pd.DataFrame({"symbol": symbol, "date": days, "close": 100.0})
        Ledger(self.settings().ledger).append(bars, source="yahoo")

    def forecast(self, symbol, origin):
        row = {
            "model": "ewma",
            "symbol": symbol,
            "origin": origin,
            "horizon": 1,
            "date": "2024-04-30",
            "origin_close": 100.0,
        }
        table = pd.DataFrame([{**row, "actual": np.nan, **dict(zip(QUANTILES, np.arange(19.0), strict=True))}])
        run = self.journal.begin("here", "daily", "1")
        self.journal.publish(run, table.astype(dict.fromkeys(("origin", "date"), "datetime64[ns]")), {"ewma": "v"})

    def note(self, session, stage, outcome, detail=""):
        self.journal.note(self.journal.begin("here", "daily", "1"), session, stage, outcome, detail)


@pytest.fixture
def market(tmp_path):
    return Market(tmp_path)


def test_each_symbol_is_due_by_its_own_exchange(market):
    found = market.at("2024-03-14 12:00")  # Thursday: Tokyo has closed, New York not even opened
    assert {symbol: str(day) for symbol, day in found.expected.items()} == {
        "AAPL": "2024-03-13",
        "7203.T": "2024-03-14",
    }
    assert (found.session, found.waiting, set(found.behind)) == ("2024-03-14", ("AAPL",), {"AAPL", "7203.T"})


def test_a_session_is_over_only_when_every_exchange_is(market):
    market.forecast("7203.T", "2024-03-14")
    market.forecast("AAPL", "2024-03-13")
    assert market.at("2024-03-14 12:00").nothing
    later = market.at("2024-03-14 21:30")
    assert (later.behind, later.waiting, later.nothing) == (("AAPL",), (), False)


def test_a_forecast_made_but_not_settled_is_still_due(market):
    """The run was killed between its forecast and its last note."""
    market.forecast("AAPL", "2024-03-14")
    assert not market.at("2024-03-14 21:30", symbols="AAPL").nothing
    market.note("2024-03-14", "session", DONE)
    assert market.at("2024-03-14 21:30", symbols="AAPL").nothing


def test_lateness_waits_after_the_close(market):
    assert market.at("2024-03-14 21:30", symbols="AAPL").session == "2024-03-14"
    assert market.at("2024-03-14 21:30", symbols="AAPL", lateness_min=60).session == "2024-03-13"


def test_missed_sessions_are_those_after_the_newest_settled_one(market):
    assert market.at("2024-04-01 22:00", symbols="AAPL").missed == ()  # nothing was ever due before the first start
    market.note("2024-03-27", "session", SKIPPED)
    found = market.at("2024-04-02 22:00", symbols="AAPL")  # the 29th was Good Friday
    assert found.missed == ("2024-03-28", "2024-04-01")


def test_a_symbol_left_out_of_a_session_is_not_due_again_in_it(market):
    market.note("2024-03-14", LEFT_OUT, SKIPPED, "AAPL: too short")
    assert market.at("2024-03-14 21:30", symbols="AAPL").behind == ()
    assert market.at("2024-03-15 21:30", symbols="AAPL").behind == ("AAPL",)


def test_unpriced_are_those_whose_newest_price_is_older(market):
    market.priced("AAPL", "2024-03-13")
    assert market.at("2024-03-13 21:30", symbols="AAPL").unpriced == ()
    assert market.at("2024-03-14 21:30", symbols="AAPL").unpriced == ("AAPL",)


def test_a_clock_before_the_ledger_is_refused(market):
    market.priced("AAPL", "2024-03-14")
    with pytest.raises(DamageError, match="clock"):
        market.at("2023-03-14 21:30", symbols="AAPL")


@pytest.mark.parametrize(
    "prices", [{"source": "import"}, {"source": "yahoo"}, {"source": "files", "path": "prices.csv"}]
)
def test_without_symbols_it_says_how_to_get_some(tmp_path, prices):
    settings = load_settings({"home": str(tmp_path), "prices": prices})
    with pytest.raises(SettingsError, match=r"--symbols|prices import"):
        due(settings, Journal(settings.ledger, prices["source"]))

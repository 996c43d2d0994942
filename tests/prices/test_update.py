"""Every symbol asked has its outcome, and none stops another; seen with a provider written for the tests."""

import numpy as np
import pandas as pd
import pytest

from app.errors import DamageError, DataError, SettingsError, SourceError
from app.prices import update as updating
from app.prices.calendar import sessions
from app.prices.outcomes import (
    MalformedError,
    NoRowsError,
    Outcome,
    RateLimitError,
    RefusedError,
    UnreachableError,
    Updated,
    raise_failures,
)
from app.prices.patience import Patience
from app.prices.sources import Source
from app.prices.store import Ledger
from app.prices.update import check_clock, update
from tests.prices.other_provider import Bulletin

DAYS = sessions("XNYS", np.datetime64("2024-05-01"), np.datetime64("2024-06-14"))


def page(until: str = "2024-06-14", factor: float = 1.0) -> str:
    """Lines of 100, 101, 102 … in each session of May and June 2024."""
    lines = []
    for number, day in enumerate(DAYS[np.datetime64(until) >= DAYS]):
        close = factor * (100 + number)
        lines.append(f"{day},{close},{close + 1},{close - 1},{close},1000,0,1")
    return "\n".join(lines)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


@pytest.fixture
def bulletin() -> Bulletin:
    return Bulletin(today="2024-06-14T22:00")


def outcomes(results: list[Updated]) -> dict[str, Outcome]:
    return {result.symbol: result.outcome for result in results}


def test_another_provider_needs_only_its_own_module(ledger, bulletin):
    source: Source = bulletin  # for mypy: it is one
    source.pages = {"A": page(), "B": page("2024-06-13")}
    first, second = update(ledger, source, ["A", "B"])
    assert (first.symbol, first.outcome, first.new) == ("A", Outcome.OK, len(DAYS))
    assert (second.outcome, second.new) == (Outcome.STALE, len(DAYS) - 1)
    assert second.detail == "B: the newest session told is 2024-06-13, and 2024-06-14 has closed since"
    assert ledger.prices("bulletin", ["A"])["close"].tolist() == [100.0 + number for number in range(len(DAYS))]
    assert ledger.fetches()["version"].tolist() == ["bulletin 1.0"]
    bulletin.today = "2024-06-15T22:00"
    assert outcomes(update(ledger, source, ["A"])) == {"A": Outcome.NO_NEW_SESSION}


def test_a_session_that_has_not_closed_is_not_stored_whoever_tells_it(ledger, bulletin):
    bulletin.pages, bulletin.today = {"A": page()}, "2024-06-14T15:00"
    assert update(ledger, bulletin, ["A"])[0].new == len(DAYS) - 1
    assert ledger.newest("bulletin", "A") == np.datetime64("2024-06-13")


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (RateLimitError("A: 429"), Outcome.RATE_LIMITED),
        (UnreachableError("A: no route"), Outcome.UNREACHABLE),
        (RefusedError("A: 500"), Outcome.REFUSED),
        (MalformedError("A: no JSON"), Outcome.MALFORMED),
        (NoRowsError("A: empty"), Outcome.REFUSED),
        (SourceError("A: something"), Outcome.REFUSED),
        ("2024-06-14,1,1,1", Outcome.MALFORMED),
        ("2024-06-14,1,1,1,1,1,0,1\n2024-06-14,2,2,2,2,1,0,1", Outcome.MALFORMED),
    ],
)
def test_a_failure_has_its_outcome_and_does_not_stop_the_others(ledger, bulletin, fault, outcome):
    bulletin.pages = {"A": fault, "B": page()}
    failed, stored = update(ledger, bulletin, ["A", "B"])
    assert (failed.outcome, failed.new) == (outcome, 0)
    assert failed.detail.startswith("A: ")
    assert (stored.outcome, stored.new) == (Outcome.OK, len(DAYS))
    assert ledger.symbols("bulletin") == ("B",)
    with pytest.raises(SourceError, match=r"1 symbol\(s\) stored, 1 not \(A\): A: ") as told:
        raise_failures([failed, stored])
    assert told.value.exit_code == 3


def test_a_wrong_symbol_is_a_wrong_setting_only_if_nothing_else_failed(ledger, bulletin):
    bulletin.pages = {"B": page()}
    results = update(ledger, bulletin, ["NOPE", "B"])
    assert outcomes(results) == {"NOPE": Outcome.NOT_FOUND, "B": Outcome.OK}
    with pytest.raises(SettingsError, match=r"1 symbol.*NOPE.*no page 'NOPE'"):
        raise_failures(results)
    bulletin.pages["C"] = RefusedError("C: 500")
    with pytest.raises(SourceError, match="C: 500"):
        raise_failures(update(ledger, bulletin, ["NOPE", "B", "C"]))
    raise_failures(update(ledger, bulletin, ["B"]))
    assert ledger.symbols("bulletin") == ("B",)


def test_a_stored_symbol_is_gone_only_after_five_days_of_saying_so(ledger, bulletin):
    bulletin.pages = {"A": page("2024-06-10"), "B": page()}
    bulletin.today = "2024-06-10T22:00"
    update(ledger, bulletin, ["A", "B"])
    del bulletin.pages["A"]
    for day in range(11, 18):
        for hour in ("21", "23"):  # twice a day counts once
            bulletin.today = f"2024-06-{day}T{hour}:00"
            gone = update(ledger, bulletin, ["A", "B"])[0]
            assert gone.outcome is (Outcome.REFUSED if day < 15 else Outcome.NOT_FOUND)
    assert "Day 4 of 5" not in gone.detail
    assert len(ledger.prices("bulletin", ["A"])) > 0
    bulletin.pages["A"] = page("2024-06-14")
    assert update(ledger, bulletin, ["A"])[0].new == 4
    del bulletin.pages["A"]
    bulletin.today = "2024-06-18T22:00"
    again = update(ledger, bulletin, ["A"])[0]
    assert again.outcome is Outcome.REFUSED
    assert "Day 1 of 5" in again.detail


def test_that_a_symbol_is_gone_is_not_believed_of_a_source_that_has_nothing_at_all(ledger, bulletin):
    bulletin.pages = {"A": page(), "B": page()}
    update(ledger, bulletin, ["A", "B"])
    bulletin.pages = {"A": NoRowsError("A: empty"), "B": NoRowsError("B: empty")}
    for day in range(15, 25):
        bulletin.today = f"2024-06-{day}T22:00"
        results = update(ledger, bulletin, ["A", "B"])
        assert set(outcomes(results).values()) == {Outcome.REFUSED}


@pytest.mark.parametrize("fault", [RateLimitError, UnreachableError])
def test_after_three_symbols_in_a_row_the_rest_are_not_asked(ledger, bulletin, fault):
    names = [f"S{number}" for number in range(10)]
    bulletin.pages = {name: fault(f"{name}: no") for name in names}
    bulletin.pages["S1"] = page()
    results = update(ledger, bulletin, names)
    assert [symbol for symbol, _ in bulletin.asked] == ["S0", "S1", "S2", "S3", "S4"]
    assert [result.outcome for result in results] == [fault.outcome, Outcome.OK, *[fault.outcome] * 8]
    assert results[-1].detail == f"S9 was not asked: 3 symbols in a row were {fault.outcome}. Run again later."
    assert ledger.symbols("bulletin") == ("S1",)


def test_no_symbol_is_asked_when_the_time_is_over_and_the_others_are_stored(ledger, bulletin):
    clock = iter(range(0, 10_000, 100))  # each look at the clock is 100 s later
    bulletin.longest_s = 100.0
    bulletin.pages = {f"S{number}": page() for number in range(9)}
    results = update(ledger, bulletin, list(bulletin.pages), patience=Patience(), clock=lambda: next(clock))
    assert len(bulletin.asked) == 5  # at 100, 200 … 500 s; one begun at 600 s would end after them
    assert [result.outcome for result in results[5:]] == [Outcome.UNREACHABLE] * 4
    assert "600 s of fetch.deadline_s were over" in results[-1].detail
    assert len(ledger.symbols("bulletin")) == 5


def test_an_interruption_loses_no_more_than_one_batch(ledger, bulletin, monkeypatch):
    monkeypatch.setattr(updating, "BATCH", 2)
    bulletin.pages = {"A": page(), "B": page(), "C": page(), "D": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        update(ledger, bulletin, ["A", "B", "C", "D"])
    assert ledger.symbols("bulletin") == ("A", "B")


def test_the_last_ten_sessions_are_asked_again_and_all_that_are_in_quarantine(ledger, bulletin):
    bulletin.pages = {"A": page("2024-06-11")}
    bulletin.today = "2024-06-11T22:00"
    update(ledger, bulletin, ["A"])
    doubtful = page("2024-06-12").replace("2024-05-29,119.0,120.0,118.0,119.0", "2024-05-29,1190,1200,1180,1190")
    bulletin.pages["A"], bulletin.today = doubtful, "2024-06-12T22:00"
    assert update(ledger, bulletin, ["A"])[0].held == 1
    bulletin.today = "2024-06-13T22:00"
    bulletin.pages["A"] = RefusedError("A: 500")
    update(ledger, bulletin, ["A"])
    ledger.append(  # three sessions more, from elsewhere under the same name
        Bulletin({"A": page()}).history("A", np.datetime64("2024-06-13")), "bulletin", fetched_at="2024-06-14T21:00"
    )
    bulletin.pages["A"], bulletin.today = page(), "2024-06-14T22:00"
    settled = update(ledger, bulletin, ["A"])[0]
    assert [start for _, start in bulletin.asked[-3:]] == ["2024-05-29", "2024-05-29", "2024-05-29"]
    assert (settled.held, settled.released) == (0, 0)
    assert len(ledger.quarantine("bulletin")) == 0
    update(ledger, bulletin, ["A"])
    assert bulletin.asked[-1] == ("A", "2024-06-03")  # ten sessions again


def test_a_ledger_that_is_ahead_of_the_clock_stops_everything_with_one_line(ledger, bulletin):
    bulletin.pages = {"A": page()}
    update(ledger, bulletin, ["A"])
    check_clock(ledger, "bulletin", pd.Timestamp("2024-06-13T10:01", tz="UTC"))  # the 14th has begun in Kiribati
    for act in (
        lambda: check_clock(ledger, "bulletin", pd.Timestamp("2024-06-13T09:59", tz="UTC")),
        lambda: update(ledger, Bulletin({"A": page()}, today="2023-06-14T22:00"), ["A"]),
    ):
        with pytest.raises(DamageError, match=r"^clock\? The ledger holds bulletin's A of 2024-06-14, but") as refused:
            act()
        assert refused.value.exit_code == 8
    check_clock(Ledger(ledger.path.with_name("none.sqlite")), "bulletin", pd.Timestamp("2000-01-01", tz="UTC"))


def test_a_fetch_after_the_clock_was_set_back_still_counts_as_newer(ledger, bulletin):
    bulletin.pages = {"A": page()}
    bulletin.today = "2024-06-16T22:00"
    update(ledger, bulletin, ["A"])
    bulletin.pages["A"], bulletin.today = page().replace("1000,0,1", "2000,0,1"), "2024-06-14T22:00"
    assert update(ledger, bulletin, ["A"])[0].revised == 10
    assert ledger.prices("bulletin")["volume"].iloc[-1] == 2000


@pytest.mark.parametrize("change", [{"tries": 0}, {"breaker": 0}, {"deadline_s": -1.0}, {"missing_days": 0}])
def test_patience_that_makes_no_sense_is_refused(change):
    (name,) = change
    with pytest.raises(SettingsError, match=rf"fetch\.{name} must be at least"):
        Patience(**change)


def test_a_price_table_without_dates_is_malformed_not_fatal(ledger, bulletin):
    bulletin.history = lambda *_: pd.DataFrame({"symbol": ["A"], "date": [pd.NaT], "close": [1.0]})
    assert outcomes(update(ledger, bulletin, ["A"])) == {"A": Outcome.MALFORMED}
    with pytest.raises(DataError):
        ledger.append(pd.DataFrame({"symbol": ["A"], "date": [pd.NaT], "close": [1.0]}), "bulletin")

"""`prices quarantine` shows what is held and why; `--as-of` replays what was known."""

import json

import numpy as np
import pandas as pd
import pytest

from app.cli import main
from app.prices.store import Ledger, facts
from tests.prices.other_provider import Bulletin
from tests.prices.test_update import page

EVENING = {"known": "2024-06-12T22:00", "switched": "2024-06-13T22:00", "back": "2024-06-14T22:00"}


@pytest.fixture
def ledger(tmp_path, monkeypatch) -> Ledger:
    """What was told as "yahoo" on two evenings: on the second, the newest session in pence."""
    monkeypatch.setenv("STOCK_HOME", str(tmp_path))
    made = Ledger(tmp_path / "data" / "ledger.sqlite")
    receive(made, page("2024-06-12"), "known")
    switched = page("2024-06-13").splitlines()
    day, *prices = switched[-1].split(",")
    switched[-1] = ",".join([day, *(str(100 * float(price)) for price in prices[:4]), *prices[4:]])
    receive(made, "\n".join(switched), "switched")
    return made


def receive(ledger: Ledger, text: str, evening: str) -> None:
    rows = facts(Bulletin({"ACME": text}).history("ACME"))
    ledger.receive(rows, source="yahoo", now=pd.Timestamp(EVENING[evening], tz="UTC"))


def answer(capsys, *arguments: str) -> dict:
    assert main([*arguments, "--json", "--quiet"]) == 0
    return json.loads(capsys.readouterr().out)


def test_quarantine_lists_what_is_held_and_why_until_it_is_settled(ledger, capsys):
    for chosen in ([], ["--source", "yahoo"], ["--symbols", "ACME"]):
        (row,) = answer(capsys, "prices", "quarantine", *chosen)["quarantine"]
        assert row == {
            "source": "yahoo", "symbol": "ACME", "date": "2024-06-13", "rule": "unit_switched",
            "reason": "close 13000 and no split after 129: a move by a factor 100.8",
            "close": 13000.0, "split": 1.0, "fetched_at": "2024-06-13T22:00:00Z",
        }  # fmt: skip
    assert answer(capsys, "prices", "quarantine", "--symbols", "OTHER") == {"quarantine": []}
    receive(ledger, page(), "back")
    assert main(["prices", "quarantine", "--quiet"]) == 0
    assert capsys.readouterr().out == "nothing is in quarantine\n"


def test_as_of_replays_what_was_known_then(ledger, capsys):
    rows = answer(capsys, "prices", "show", "--source", "yahoo", "--as-of", "2024-06-12")["prices"]
    assert rows[-1]["date"] == "2024-06-12"
    receive(ledger, page(), "back")
    for day, known in [("2024-06-13", 30), ("2024-06-14", 32)]:
        assert len(answer(capsys, "prices", "show", "--source", "yahoo", "--as-of", day)["prices"]) == known
    gap = ["--source", "yahoo", "--as-of", "2024-06-13"]
    assert answer(capsys, "prices", "check", *gap) == {"issues": []}
    assert main(["prices", "check", "--source", "yahoo", "--as-of", "2024-06-11"]) == 4
    assert "nothing was known then" in capsys.readouterr().err


def test_nothing_is_fetched_for_a_replay(ledger, capsys, monkeypatch):
    monkeypatch.setattr("app.pipeline.update", lambda *_: pytest.fail("it was fetched"))
    arguments = ["backtest", "--symbols", "ACME", "--as-of", "2024-06-12", "--models", "random-walk", "--quiet"]
    assert main(arguments) == 4  # thirty sessions are too few: it is read, and not asked for
    assert "sessions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prices", "check", "prices.csv", "--as-of", "2024-01-01"], "files are not in it: import them first"),
        (["prices", "show", "--source", "yahoo", "--as-of", "soon"], "'soon' names no moment"),
        (["prices", "show", "--as-of", "2024-01-01"], "the ledger holds nothing from 'sample' yet"),
    ],
)
def test_a_replay_that_cannot_be_is_refused_in_one_line(ledger, capsys, arguments, words):
    assert main([*arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_repair_is_never_asked_of_yfinance(monkeypatch):
    """It rescales good rows: what is stored is what Yahoo tells."""
    from app.prices import yahoo  # yfinance takes a second to load

    asked = []

    class Ticker:
        def __init__(self, symbol: str):
            pass

        def history(self, **wanted) -> pd.DataFrame:
            asked.append(wanted)
            index = pd.DatetimeIndex(["2024-06-13"], tz="America/New_York")
            return pd.DataFrame(dict.fromkeys(yahoo.NAMES, 1.0), index=index)

    monkeypatch.setattr(yahoo.yf, "Ticker", Ticker)
    source = yahoo.Yahoo(now=lambda: pd.Timestamp("2024-06-13T22:00", tz="UTC"))
    assert len(source.history("ACME", np.datetime64("2024-06-13"))) == 1
    assert all(not wanted.get("repair") and wanted["auto_adjust"] is False for wanted in asked)
    assert asked

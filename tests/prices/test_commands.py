"""`prices quarantine` shows what is held and why; `--as-of` replays what was known; `prices verify` reads the file."""

import json
import sqlite3
from contextlib import closing

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


def test_verify_is_one_line_when_the_ledger_is_sound_or_not_there(ledger, capsys):
    assert main(["prices", "verify", "--quiet"]) == 0
    assert capsys.readouterr().out == f"{ledger.path}: sound, 2 fetches on record\n"
    assert answer(capsys, "prices", "verify") == {"ledger": str(ledger.path), "fetches": 2}
    ledger.path.unlink()
    assert main(["prices", "verify", "--quiet"]) == 0
    assert capsys.readouterr().out == f"{ledger.path}: nothing was fetched or imported yet\n"
    assert not ledger.path.exists()


def half_a_file(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_page_of_another_file(path):
    content = bytearray(path.read_bytes())
    root = statement(path, "SELECT rootpage FROM sqlite_master WHERE name = 'fetch'")
    content[(root - 1) * 4096 : root * 4096] = b"not a page" * 410
    path.write_bytes(content[: path.stat().st_size])


def text_over_its_head(path):
    content = path.read_bytes()
    path.write_bytes(b"Date,Close\n" * 10 + content[110:])


def a_row_of_a_fetch_that_never_was(path):
    statement(path, "INSERT INTO action VALUES ('ACME', '2024-01-02', 'split', 99, 2)")


def a_note_of_a_run_that_never_was(path):
    statement(path, "INSERT INTO stage VALUES ('yahoo', '2024-01-02', 'fetch', 99, '2024-01-02', 'done', '')")


def no_guard(path):
    statement(path, "DROP TRIGGER quarantine_no_update")


def another_application(path):
    statement(path, "PRAGMA application_id = 1")


def statement(path, text):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return (connection.execute(text).fetchone() or [None])[0]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (half_a_file, "the ledger is damaged (database disk image is malformed). Put back a copy"),
        (one_page_of_another_file, "the ledger is damaged ("),
        (text_over_its_head, "the ledger is damaged (file is not a database). Put back a copy"),
        (
            a_row_of_a_fetch_that_never_was,
            "the ledger is damaged (a row of action belongs to no fetch). Put back a copy",
        ),
        (a_note_of_a_run_that_never_was, "the ledger is damaged (a row of stage belongs to no run). Put back a copy"),
        (no_guard, "the ledger is damaged (trigger quarantine_no_update was removed). Put back a copy"),
        (another_application, "is not a ledger of this application. Move it away"),
    ],
)
def test_verify_says_in_one_line_what_is_damaged_where_and_the_way_out(ledger, capsys, damage, words):
    damage(ledger.path)
    assert main(["prices", "verify", "--quiet"]) == 8
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"error: {ledger.path}: ")
    assert words in told.err
    assert told.err.count("\n") == 1


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

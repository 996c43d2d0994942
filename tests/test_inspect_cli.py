"""`inspect` looks into saved networks, on windows that taught them nothing, and says plainly what is not there."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.cli import main
from app.commands.inspection import look_inside, not_fitted_to
from app.dataset import make_windows
from app.dataset.windows import WindowSpec
from app.evaluation.backtest import split
from app.insight.effort import TABLES
from app.registry import Version
from app.report.record import load_findings, publish_findings
from tests.report.conftest import make_findings

TRAIN = "--lookback 8 --horizons 1 --set backtest.validation=40 --set network.epochs=1 --set network.units=4 --quiet"
LOOK = "--windows 80 --gradients 4 --sessions 16 --repeats 1 --quiet"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty STOCK_HOME."""
    monkeypatch.setenv("STOCK_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def file(prices, tmp_path):
    """Two symbols of 300 sessions in one CSV file."""
    prices[["symbol", "date", "open", "high", "low", "close", "volume"]].to_csv(tmp_path / "prices.csv", index=False)
    return str(tmp_path / "prices.csv")


@pytest.fixture
def seen_once(monkeypatch):
    """What a look finds is found by the first one: the others are about where it goes."""
    found = []

    def look(*given, **named):
        found.extend([] if found else [look_inside(*given, **named)])
        return found[0]

    monkeypatch.setattr("app.commands.inspection.look_inside", look)


def test_a_saved_network_is_looked_into(home, file, capsys, tmp_path, request, seen_once):
    """Twice into a folder of its own, once into the newest report."""
    assert main(["train", "--prices", file, "--models", "lstm", "random-walk", *TRAIN.split()]) == 0
    capsys.readouterr()
    given = ["--models", "lstm", "random-walk", "--out", str(tmp_path / "seen"), "--json"]
    assert main(["inspect", "--prices", file, *given, *LOOK.split()]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["notes"][0]["model"] == "random-walk"
    assert "random-walk is not a network" in answer["notes"][0]["note"]
    assert {row["gate"] for row in answer["gates"]} == {"forget", "input", "output"}
    assert {row["days"] for row in answer["knockout"]} == {40}
    assert {path.stem for path in (tmp_path / "seen" / "inspection").glob("*.csv")} == set(TABLES)
    assert "Inside the networks" in Path(answer["page"]).read_text(encoding="utf-8")
    request.getfixturevalue("undrawn")
    assert main(["inspect", "--prices", file, *given[:-1], *LOOK.split()]) == 0  # its own folder is replaced
    capsys.readouterr()

    report = home / "data" / "reports" / "files-2024-01-31"
    publish_findings(make_findings(), report)
    assert main(["inspect", "--prices", file, *LOOK.split()]) == 0
    assert "lstm, 1 session ahead, each gate held at its mean: CRPS" in capsys.readouterr().out
    assert set(load_findings(report).inspection) == set(TABLES)
    assert '<section id="inside">' in (report / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no saved network yet: run `python -m app train --models lstm` first."),
        (["--models", "gru"], "no saved gru yet: run `python -m app train --models gru` first."),
        (["--windows", "few"], "inspect --windows must be a whole number, got 'few'."),
        (["--sessions", "1001"], "inspect --sessions must be 1 to 1000, got 1001."),
        (["--windows", "-3"], "inspect --windows must be 2 to 100000, got -3."),
        (["--models", "gjr-garch"], "gjr-garch is not a network: it has no gates, no state and no gradient"),
    ],
)
def test_what_cannot_be_looked_into_is_said_in_one_line(arguments, words, home, capsys):
    assert main(["inspect", *arguments, "--quiet"]) == 2
    assert words in capsys.readouterr().err


def test_no_window_looked_at_taught_the_network(prices, tmp_path):
    windows = make_windows(prices, WindowSpec(8, (1, 5)))
    until = windows.origin[len(windows) // 2 - 20]
    learnt, validation = split(windows.known_by(until), 30)
    seen = not_fitted_to(
        Version(tmp_path, {"trained_to": str(until), "settings": {"backtest": {"validation": 30}}}), windows
    )
    assert seen.origin.min() == validation.origin.min() > learnt.date.max()
    assert seen.origin.max() > until
    assert np.isfinite(seen.actual).all()

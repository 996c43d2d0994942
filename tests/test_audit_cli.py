"""`python -m app audit`: what a person sees, what a program gets, and the exit code."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from app import pipeline
from app.cli import main
from app.config import load_settings
from app.dataset import make_windows
from app.evaluation import audit as auditing
from tests.evaluation.planted_faults import centred_mean
from tests.forecasters.planted import gjr_returns, price_table

QUICK = "--lookback 10 --horizons 1 5 --set backtest.validation=60 --set backtest.folds=1 --quiet".split()


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Two symbols of 700 sessions in a CSV file, and an empty STOCK_HOME."""
    monkeypatch.setenv("STOCK_HOME", str(tmp_path))
    dynamics = (0.0, 3e-6, 0.05, 0.08, 0.88, 6.0)
    prices = price_table({f"S{i}": gjr_returns(dynamics, 700, seed=i) for i in range(2)})
    path = tmp_path / "prices.csv"
    prices.to_csv(path, index=False)
    return str(path)


@pytest.fixture
def leak(monkeypatch):
    """The pipeline's features are smoothed by a centred mean."""

    def leaking(prices, spec, calendar=None):
        windows = make_windows(prices, spec, calendar)
        return replace(windows, panel=centred_mean(windows.panel, prices))

    monkeypatch.setattr(pipeline, "make_windows", leaking)


def test_a_clean_pipeline_ends_with_0_and_a_line_for_each_check(file, capsys):
    assert main(["audit", "--prices", file, "--models", "random-walk", "ewma", *QUICK]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    checks = ["cleaning", "features", "scale", "targets", "forecasts", "fit", "purge", "unseen"]
    assert [line.split()[:2] for line in lines[:8]] == [["pass", check] for check in checks]
    assert [line.split()[:3] for line in lines[8:12]] == [
        ["pass", check, f"{model}:"] for model in ("random-walk", "ewma") for check in ("copy", "accuracy")
    ]
    assert lines[12].startswith("12 of 12 checks passed")
    assert printed.err == ""


def test_a_leak_ends_with_4_one_line_and_every_finding(file, leak, capsys):
    assert main(["audit", "--prices", file, "--models", "random-walk", "ewma", *QUICK]) == 4
    printed = capsys.readouterr()
    assert "FAIL  features" in printed.out
    assert "pass  scale" in printed.out
    assert printed.err == "error: audit: features failed; no figure of this back test can be trusted.\n"


def test_a_program_gets_the_findings_as_json(file, leak, capsys):
    assert main(["audit", "--prices", file, "--models", "ewma", "--json", *QUICK]) == 4
    answer = json.loads(capsys.readouterr().out)
    assert answer["clean"] is False
    assert [one["check"] for one in answer["findings"] if not one["passed"]] == ["features"]
    assert set(answer["findings"][0]) == {"check", "passed", "detail", "model"}


def test_the_findings_are_written_where_asked(file, tmp_path, capsys):
    out = tmp_path / "findings"
    assert main(["audit", "--prices", file, "--models", "ewma", "--json", "--out", str(out), *QUICK]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert json.loads((out / "findings.json").read_text()) == answer
    table = pd.read_csv(out / "findings.csv")
    assert table["check"].tolist() == [one["check"] for one in answer["findings"]]
    assert table["passed"].all()


def test_networks_and_garch_know_no_future_and_networks_are_fitted_twice_alike(file, capsys):
    small = ["--set", "network.units=4", "--set", "network.steps=8"]
    assert main(["audit", "--prices", file, "--models", "gjr-garch", "lstm", *small, *QUICK]) == 0
    assert "networks trained for 2 epochs at most" in capsys.readouterr().out


@pytest.mark.parametrize(("full", "epochs", "members"), [(False, 2, 1), (True, 7, 3)])
def test_networks_are_trained_shortly_unless_in_full(full, epochs, members, file, monkeypatch):
    subjects = []
    monkeypatch.setattr(auditing, "audit", lambda subject: subjects.append(subject) or [])
    settings = load_settings(
        {"models": ["gru"], "network": {"epochs": 7, "members": 3}, "prices": {"source": "files", "path": file}}
    )
    pipeline.audit(settings, pipeline.load_prices(settings), full)
    recipe = subjects[0].recipes["gru"]
    assert (recipe.epochs, recipe.members) == (epochs, members)
    assert len(subjects[0].pipeline(subjects[0].clean(subjects[0].prices))) == len(
        pipeline.make_dataset(settings, pipeline.load_prices(settings))
    )


def test_the_audit_is_of_the_users_own_prices_and_settings(file, capsys):
    """It is refused, as a back test is, where there is too little to test."""
    assert main(["audit", "--prices", file, "--models", "ewma", "--test-start", "2030-01-01", *QUICK]) == 4
    assert "windows originate from" in capsys.readouterr().err

"""Many questions at once, on the page: symbol by symbol, the best of many, the direction; and other targets."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from app.dataset.targets import TARGETS
from app.evaluation import comparison, metrics, significance
from app.report import many, tables
from app.report.gallery import TEST_SESSIONS
from app.report.page import arrange, write_report
from app.report.pricing import live_table, main_model
from app.report.record import load_findings, save_findings
from app.report.wording import summary
from app.schema import QUANTILES


@pytest.fixture(scope="module")
def asked(findings):
    table = findings.forecasts
    return dataclasses.replace(
        findings,
        comparison=comparison.summary(comparison.symbol_tests(table)),
        superiority=comparison.superiority(table, draws=100),
        direction=comparison.direction(table),
    )


def test_each_row_says_on_how_many_symbols(asked):
    main = main_model(asked.forecasts)
    rows = many.symbol_rows(asked.comparison, main)
    assert {row["model"] for row in rows} == {main}
    assert [row["horizon"] for row in rows] == sorted(row["horizon"] for row in rows)
    assert {row["asked"] for row in rows} == {"CRPS", "median"}
    assert all(row["symbols"] == 2 >= row["better"] + row["worse"] for row in rows)


def test_a_benchmark_is_beaten_below_five_per_cent():
    row = {"horizon": 1, "benchmark": "random-walk", "models": 4, "best": "lstm", "ratio": 0.99, "days": 500}
    found = many.rival_rows(pd.DataFrame([{**row, "p_value": 0.049}, {**row, "p_value": 0.051}]))
    assert [one["beaten"] for one in found] == [True, False]


def test_models_that_never_take_sides_have_no_row_and_corrected_ones_stand_beside_theirs():
    row = {"horizon": 1, "days": 500, "symbols": 2, "right": 0.5, "expected": 0.5, "statistic": 2.0, "p_value": 0.02}
    names = ("lstm", "lstm-conformal", "gru", "random-walk")
    table = pd.DataFrame([{**row, "model": name} for name in names])
    table.loc[3, ["statistic", "p_value"]] = [np.nan, 1.0]
    found = many.direction_rows(table, ("lstm", "random-walk", "gjr-garch"))
    assert [(one["model"], one["knows"]) for one in found] == [("lstm", True), ("lstm-conformal", True)]
    assert main_model(table.iloc[1:]) == "lstm-conformal"
    assert main_model(table.iloc[[3]].assign(model="ewma-conformal")) == "ewma-conformal"


def test_the_page_shows_them_and_the_target_and_a_saved_run_does_again(asked, tmp_path):
    save_findings(asked, tmp_path)
    again = load_findings(tmp_path)
    pd.testing.assert_frame_equal(again.superiority, asked.superiority)
    page = write_report(dataclasses.replace(again, curves={}), tmp_path / "again").read_text(encoding="utf-8")
    for words in (
        "Symbol by symbol",
        "Is anything better, after so many tries?",
        "Does the median know the direction?",
    ):
        assert words in page
    assert "Target: <strong>return</strong>, the log return from the origin" in page
    (tmp_path / "superiority.csv").unlink()
    assert len(load_findings(tmp_path).superiority) == 0


def test_volatility_has_no_prices_and_no_chance_of_a_rise(findings, tmp_path, undrawn):
    """The same numbers taken for logs of a volatility: 1 % a session is 16 % a year."""
    shift = {name: np.log(0.01) + findings.forecasts[name] for name in (*QUANTILES, "actual")}
    live = findings.live.assign(**{name: np.log(0.01) + findings.live[name] for name in QUANTILES})
    table = findings.forecasts.assign(**shift)
    target = TARGETS["volatility"]
    other = dataclasses.replace(
        *(findings,), forecasts=table, live=live, target="volatility", scores=metrics.score(table, target.scores),
        verdicts=significance.verdicts(table, asked=target.questions), curves={},
    )  # fmt: skip
    laid = arrange(other, tmp_path)
    assert laid["newest"] == []
    captions = [shown.caption for shown in laid["actuals"]]
    assert captions
    rows = table[(table["symbol"] == table["symbol"].iloc[0]) & (table["horizon"] == 1) & table["actual"].notna()]
    for model, words in (("lstm", "The median was"), ("random-walk", "the random walk's")):
        mine = rows[rows["model"] == model].sort_values("date").tail(TEST_SESSIONS)
        off = np.expm1((mine["actual"] - mine["q0.50"]).abs().mean())
        assert f"{words} {100 * off:.0f}\N{NO-BREAK SPACE}%" in captions[0]
    row = laid["newest_rows"][0]["rows"][0]
    assert row["q0.50"] == pytest.approx(0.01, rel=0.05)
    assert row["yearly"] == pytest.approx(0.16, rel=0.05)
    assert "qlike" in {name for name, _, _ in laid["score_columns"]}
    page = write_report(other, tmp_path).read_text(encoding="utf-8")
    assert "Target: <strong>volatility</strong>" in page
    assert "Chance of a rise" not in page
    assert live_table(live, signed=False)["v0.50"].iloc[0] == pytest.approx(np.exp(live["q0.50"].iloc[0]))
    questions = tables.questions(other.verdicts, laid["main"], signed=False)
    assert questions[-1].text == "Is its median nearer to what happened than the last volatility?"
    assert "the last volatility" in summary(questions, "lstm")[-1]

"""Reproductions from the folder or the price table to the table, and as a person types them."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from app.cli import main
from app.commands import studies
from app.reproduce import study, trading
from app.reproduce.acl18 import PAPER
from app.reproduce.fischer_krauss import Ranking
from app.reproduce.rules import RULES
from app.reproduce.settings import Reproduction
from app.reproduce.study import OURS, RULE
from tests.reproduce.conftest import tiny_data, tiny_folder
from tests.reproduce.test_fischer_krauss import price_rows


@pytest.fixture
def tiny(data, monkeypatch, tmp_path):
    """`acl18` stands for the tiny data set, and for one network."""
    monkeypatch.setitem(studies.DATA_SETS, "acl18", replace(data, networks=data.networks[1:]))
    monkeypatch.setenv("STOCK_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The tiny data set, reproduced."""
    return study.reproduce(tiny_data(), tiny_folder(tmp_path_factory.mktemp("data")), Reproduction(), seed=5)


@pytest.fixture(scope="module")
def panel():
    """A price table of 8 symbols of which the even ones rise and the odd ones fall, each with noise."""
    rng = np.random.default_rng(3)
    steps = 0.001 * rng.normal(size=(60, 8)) + np.where(np.arange(8) % 2, -0.01, 0.01)
    closes = 100 * np.exp(steps.cumsum(axis=0))
    return price_rows({name: closes[:, number] for number, name in enumerate("ABCDEFGH")})


SMALL = Ranking(training=30, trading=10, lookback=8, units=4, picks=2, batch=16, learning_rate=0.01)


def test_published_ours_and_the_rules_stand_in_one_table(found):
    assert found.table["who"].value_counts()[[PAPER, OURS, RULE]].tolist() == [3, 2, len(RULES)]
    assert found.table.loc[found.table["who"] == OURS, "model"].tolist() == ["lstm", "alstm"]
    assert found.runs[["model", "seed"]].to_numpy().tolist() == [["lstm", 5], ["lstm", 6], ["alstm", 5], ["alstm", 6]]
    assert len(found.sentences) == 2


def test_every_figure_of_ours_can_be_computed_from_the_forecasts(found):
    right = (found.forecasts["score"] > 0) == found.forecasts["up"]
    by_run = right.groupby([found.forecasts["model"], found.forecasts["seed"]], sort=False).mean()
    assert by_run.tolist() == pytest.approx(found.runs["accuracy"].tolist())
    ours = found.table[found.table["who"] == OURS].set_index("model")
    each = by_run.groupby("model", sort=False)
    assert ours["accuracy"].tolist() == pytest.approx(each.mean().tolist())
    assert ours["accuracy_sd"].tolist() == pytest.approx(each.std(ddof=1).tolist())


def test_the_sentence_claims_skill_only_where_the_interval_does(data):
    row = {"model": "lstm", "accuracy": 0.55, "gain": 0.04, "accuracy_low": 0.52, "accuracy_high": 0.58, "days": 64}
    row |= {"mcc": 0.1, "mcc_high": 0.2}
    unsure = study._sentence(data, {**row, "gain_low": -0.01, "gain_high": 0.09, "mcc_low": -0.01})
    sure = study._sentence(data, {**row, "gain_low": 0.01, "gain_high": 0.07, "mcc_low": 0.01})
    assert "no evidence of more than always up says" in unsure
    assert "MCC 0.100, 95 % interval -0.010 to 0.200: no evidence that it is above 0." in unsure
    assert "no evidence" not in sure
    assert "The published 53.18 % lies inside our 95 % interval, 52.0 to 58.0 %." in sure


def test_ranking_finds_the_stocks_that_rise(panel):
    found = trading.reproduce(panel, Reproduction(periods=2, epochs=15), protocol=SMALL)
    ours = found.table[found.table["who"] == OURS].iloc[0]
    assert ours["accuracy"] > 0.9
    assert ours["days"] == 20
    assert ours["daily_before"] - ours["daily_after"] == pytest.approx(0.002)
    assert found.runs["trades_from"].is_monotonic_increasing
    assert found.runs["trades_from"].nunique() == len(found.runs) == 2
    assert "survivor-only universe" in found.text


def test_the_command_prints_a_table_and_writes_the_results(tiny, folder, tmp_path, capsys):
    out = tmp_path / "results"
    assert main(["reproduce", "acl18", "--prices", str(folder), "--seeds", "1", "--out", str(out), "--quiet"]) == 0
    printed = capsys.readouterr().out
    for word in ("published", "30-day mean above price", "alstm: accuracy", "every run:"):
        assert word in printed
    assert len(pd.read_csv(out / "table.csv")) == 12
    assert len(pd.read_csv(out / "runs.csv")) == 1
    assert set(pd.read_parquet(out / "forecasts.parquet")["model"]) == {"alstm"}


def test_the_result_as_json(tiny, folder, capsys):
    flags = ["--set", "reproduce.epochs=1", "--seeds", "1", "--json", "--quiet"]
    assert main(["reproduce", "acl18", "--prices", str(folder), *flags]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["study"] == "acl18"
    assert result["table"][0] == {
        **dict.fromkeys(study.TABLE_COLUMNS), "who": "published", "model": "lstm", "accuracy": 0.5318, "mcc": 0.0674
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["acl18"], 2, "--prices DIR"),
        (["acl18", "--prices", "{folder}", "--start", "2020-02-01"], 2, "without --symbols, --start and --end"),
        (["acl18", "--prices", "{folder}/none"], 2, "no such folder"),
        (["kdd17", "--prices", "{folder}"], 4, "kdd17 has 50"),
        (["fischer-krauss", "--prices", "{folder}"], 4, "120 sessions, but 1 study period(s) need 1001"),
        (["acl19"], 2, "invalid choice: 'acl19'"),
        (["acl18", "--prices", "{folder}", "--seeds", "101"], 2, "reproduce.seeds must be 0 to 100, got 101"),
    ],
)
def test_a_mistake_is_one_line(tiny, folder, capsys, flags, code, message):
    assert main(["reproduce", *(flag.format(folder=folder) for flag in flags), "--quiet"]) == code
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1

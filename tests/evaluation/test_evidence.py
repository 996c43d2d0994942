"""Each target is judged by its own scores, questions and baselines."""

import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows
from app.dataset.targets import TARGETS
from app.dataset.windows import WindowSpec
from app.evaluation.backtest import Backtest, Plan, backtest
from app.evaluation.evidence import judge
from app.evaluation.significance import verdict
from app.evaluation.verdict import Verdict
from app.forecasters.baselines import Ewma, RandomWalk
from app.forecasters.guesses import AlwaysUp, BaseRate
from app.forecasters.har import Har
from app.forecasters.realised import Unchanged
from app.schema import QUANTILES
from tests.evaluation.planted import gaussian


def knowing(days: int = 300, skill: float = 0.5) -> pd.DataFrame:
    """Forecasts of `lstm`, whose median knows part of the return, and of the guesses, which know nothing."""
    random = np.random.default_rng(0)
    known, rest = random.normal(size=(2, 3, days))
    actual = skill * known + np.sqrt(1 - skill**2) * rest + 0.1
    tables = {"lstm": skill * known + 0.1, "always-up": 9.0, "base-rate": 0.13}
    parts = [gaussian(name, actual, np.sqrt(1 - skill**2), centre) for name, centre in tables.items()]
    return pd.concat(parts, ignore_index=True)


def test_the_direction_is_judged_by_its_own_scores_and_rivals():
    found = judge(Backtest(knowing(), {}), TARGETS["direction"])
    scores = found.scores.set_index("model")
    assert tuple(found.scores.columns) == ("model", "horizon", *TARGETS["direction"].scores)
    assert scores["accuracy"]["always-up"] == scores["rises"]["lstm"] == scores["rises"]["always-up"]
    assert scores["auc"]["base-rate"] == 0.5 < 0.6 < scores["auc"]["lstm"]
    assert scores["brier"]["lstm"] < scores["brier"]["base-rate"] < scores["brier"]["always-up"]
    asked = {(one.metric, one.model, one.reference): one for one in found.verdicts}
    assert set(asked) == {("brier", "lstm", "base-rate"), ("wrong", "lstm", "always-up")}
    assert all(one.better for one in found.verdicts)
    assert asked["brier", "lstm", "base-rate"].sentence.startswith("lstm beats the base rate at h = 1: Brier score ")
    sentence = asked["wrong", "lstm", "always-up"].sentence
    assert sentence.startswith("lstm's direction beats always-up's at h = 1: share of wrong signs ")
    assert set(found.comparison["metric"]) == {"brier", "wrong"}


def test_a_guesser_beats_nobody():
    found = judge(Backtest(knowing(skill=0.0), {}), TARGETS["direction"])
    assert not any(one.better for one in found.verdicts)


def test_the_verdict_is_diebold_mariano_on_day_means_of_the_loss():
    table = knowing()
    (one,) = [each for each in judge(Backtest(table, {}), TARGETS["direction"]).verdicts if each.metric == "brier"]
    assert one == verdict(table, "lstm", "base-rate", 1, metric="brier")
    assert isinstance(one, Verdict)


@pytest.fixture
def windows(prices):
    return {name: make_windows(prices, WindowSpec(10, (1, 5), name)) for name in TARGETS}


PLAN = Plan(test_start="2024-10-01", refit=60, validation=30)


def test_volatility_is_judged_by_its_own_scores_and_rivals(windows):
    recipes = {"random-walk": Unchanged(), "har": Har(), "ewma": Unchanged(weighted=True)}
    done = backtest(windows["volatility"], recipes, PLAN)
    found = judge(done, windows["volatility"].target)
    assert tuple(found.scores.columns) == ("model", "horizon", *TARGETS["volatility"].scores)
    assert (found.scores["qlike"] > 0).all()
    assert {(one.metric, one.reference) for one in found.verdicts} == {
        ("crps", "random-walk"), ("crps", "har"), ("qlike", "har"), ("mae", "random-walk"),
    }  # fmt: skip
    assert len(found.direction) == 0
    assert set(found.calibration["volatility"]) == {"all", "low", "middle", "high"}


def test_return_and_direction_share_their_forecasts_to_the_bit(windows):
    recipes = {"random-walk": RandomWalk(20), "ewma": Ewma()}
    one, other = (backtest(windows[name], recipes, PLAN).forecasts for name in ("return", "direction"))
    pd.testing.assert_frame_equal(one, other)


def test_corrected_models_stand_beside_the_uncorrected_ones(windows):
    recipes = {"always-up": AlwaysUp(), "base-rate": BaseRate(), "ewma": Ewma()}
    plain = backtest(windows["direction"], recipes, PLAN).forecasts
    both = backtest(windows["direction"], recipes, Plan(**{**vars(PLAN), "conformal": True})).forecasts
    assert both["model"].unique().tolist() == ["always-up", "base-rate", "ewma", "ewma-conformal"]
    alone = {"always-up": AlwaysUp()}
    guesses = backtest(windows["direction"], alone, Plan(**{**vars(PLAN), "conformal": True})).forecasts
    assert guesses["model"].unique().tolist() == ["always-up"]
    pd.testing.assert_frame_equal(both.head(len(plain)), plain)
    mine = both[both["model"] == "ewma-conformal"]
    assert (mine[list(QUANTILES)].dtypes == "float32").all()
    assert not np.allclose(mine[list(QUANTILES)], both.loc[both["model"] == "ewma", list(QUANTILES)])


def test_a_corrected_back_test_knows_nothing_of_the_future(prices):
    """Rows after a day gone: the corrected forecasts up to that day are the same, to the bit."""
    plan, day = Plan(test_start="2024-10-01", refit=60, validation=30, conformal=True), pd.Timestamp("2025-01-15")
    whole, shorter = (
        backtest(make_windows(table, WindowSpec(10, (1, 5))), {"ewma": Ewma()}, plan).forecasts
        for table in (prices, prices[prices["date"] <= day])
    )
    columns = ["model", "symbol", "origin", "horizon", *QUANTILES]
    then, now = (
        table.loc[table["origin"] <= day, columns].sort_values(columns[:4]).reset_index(drop=True)
        for table in (whole, shorter)
    )
    assert len(then) > 200
    pd.testing.assert_frame_equal(now, then)

"""The gate lets a better challenger in, and nothing else: not the equal, the worse, the infinite, the untested."""

import numpy as np
import pandas as pd
import pytest

from app.errors import DataError
from app.evaluation.gate import Rules, chance, decide, excess, judge, match, matched
from app.schema import LEVELS, QUANTILES
from benchmarks.gate import ALL, DEFECTS, SYMBOLS, Market, promoted
from tests.reference import crps_of_quantiles


def table(new: dict, old: dict, sessions: int = 60, seed: int = 0) -> pd.DataFrame:
    """Forecasts of a challenger and a champion, each with a defect of its own."""
    market = Market(seed, sessions, ALL)
    return pd.concat([market.table("new", **new), market.table("old", **old)], ignore_index=True)


def asked(forecasts: pd.DataFrame, **more):
    return decide(forecasts, challenger="new", champion="old", **more)


def test_a_clearly_better_challenger_is_promoted_with_the_reason_in_words():
    decision = asked(table({}, {"noise": 1.0}))
    assert decision.promote
    assert decision.p_value < 0.05
    assert decision.difference < -0.1
    assert (decision.days, decision.symbols) == (60, SYMBOLS)
    assert "new is better beyond chance: CRPS" in decision.reason
    assert "lower than old's on 60 sessions and 5 symbols; one-sided p = 0." in decision.reason


def test_names_the_other_way_round_are_another_question():
    forecasts = table({}, {"noise": 1.0})
    decision = decide(forecasts, challenger="old", champion="new")
    assert not decision.promote
    assert decision.difference > 0.1
    with pytest.raises(TypeError):
        decide(forecasts, "new", "old")


def test_the_difference_by_hand():
    """Two horizons in units of the champion's mean, 1 and 10; the longer is known on one of two days."""
    ours = np.array([[0.5, 12.0], [0.7, np.nan]])
    theirs = np.array([[1.0, 10.0], [1.0, np.nan]])
    found = excess(ours, theirs)
    assert found.tolist() == pytest.approx([(-0.5 + 2 * 0.2) / 2, -0.3 / 2])
    assert found.mean() == pytest.approx((-0.4 + 0.2) / 2)


def test_the_difference_agrees_with_loops_over_the_table():
    forecasts = table({"noise": 0.2}, {"lean": 0.3})
    ratios = []
    for _, rows in forecasts[forecasts["actual"].notna()].groupby("horizon"):
        costs = {}
        for model, part in rows.groupby("model"):
            days = [
                np.mean([crps_of_quantiles(row[list(QUANTILES)], row["actual"], LEVELS) for _, row in day.iterrows()])
                for _, day in part.set_index("origin")[[*QUANTILES, "actual"]].groupby(level=0)
            ]
            costs[model] = np.mean(days)
        ratios.append(costs["new"] / costs["old"])
    assert asked(forecasts).difference == pytest.approx(np.mean(ratios) - 1)


def test_a_tie_keeps_the_champion():
    market = Market(0, 60, ALL)
    old = market.table("old")
    decision = asked(pd.concat([old, old.assign(model="new")], ignore_index=True))
    assert not decision.promote
    assert (decision.difference, decision.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, -1])
def test_one_number_that_is_not_finite_keeps_the_champion(value, where):
    forecasts = table({}, {"noise": 1.0})
    rows = np.flatnonzero(forecasts["model"] == "new")
    forecasts.loc[rows[where], "q0.50"] = value
    decision = asked(forecasts)
    assert not decision.promote
    assert decision.reason == "new made forecasts that are not finite"


def test_a_champion_that_is_not_finite_is_named_and_nothing_is_claimed():
    forecasts = table({}, {"noise": 1.0})
    forecasts.loc[forecasts["model"] == "old", "q0.50"] = np.nan
    assert asked(forecasts).reason == "new cannot be judged: old made forecasts that are not finite"


def test_without_its_golden_output_it_stays_out():
    decision = asked(table({}, {"noise": 1.0}), reproduces=False)
    assert not decision.promote
    assert "does not give its golden output again" in decision.reason


def test_a_challenger_may_not_leave_out_what_is_hard():
    forecasts = table({}, {"noise": 1.0})
    short = forecasts.drop(index=np.flatnonzero(forecasts["model"] == "new")[:3])
    decision = asked(short)
    assert not decision.promote
    assert decision.reason == "new lacks 3 of 900 forecasts that old made"


def test_rows_that_only_the_challenger_has_count_for_nothing():
    forecasts = table({"noise": 0.2}, {"lean": 0.3})
    more = forecasts[forecasts["model"] == "new"].assign(symbol="MORE", **dict.fromkeys(QUANTILES, 5.0))
    wider = pd.concat([forecasts, more.drop_duplicates(["symbol", "origin", "horizon"])], ignore_index=True)
    assert asked(wider) == asked(forecasts)


def test_fewer_sessions_than_asked_for_keep_the_champion():
    decision = asked(table({}, {"noise": 1.0}, sessions=59))
    assert not decision.promote
    assert decision.reason == "new was compared with old on 59 sessions, at least 60 are needed"
    assert decision.p_value is None


def test_a_margin_asks_for_more():
    forecasts = table({}, {"noise": 0.5}, sessions=120)
    size = -asked(forecasts).difference
    promoted_still = asked(forecasts, rules=Rules(margin=size / 4))
    assert promoted_still.promote
    assert promoted_still.p_value > asked(forecasts).p_value
    refused = asked(forecasts, rules=Rules(margin=1.01 * size))
    assert not refused.promote
    assert "not better by more than" in refused.reason


def test_horizons_that_the_sessions_do_not_span_are_in_the_difference_and_not_in_the_tests():
    found = match(*(part for _, part in table({}, {"noise": 0.5}).groupby("model", sort=False)))
    assert [horizon for _, horizon in found.tests] == [5, 1]
    assert len(matched(np.ones((160, 1)), np.ones((160, 1)), (20,), 1).tests) == 2
    unspanned = matched(np.zeros((159, 1)), np.ones((159, 1)), (20,), 1)
    assert unspanned.tests == ()
    assert judge(unspanned, Rules(), ("new", "old")).p_value == 1.0


def test_the_shortest_horizon_has_to_agree():
    """Overlapping forecasts share their luck: a gain at 5 sessions and none at 1 is no evidence."""
    random = np.random.default_rng(0)
    theirs = 1 + 0.1 * random.normal(size=(120, 2))
    gain = np.array([0.0, 0.3]) + 0.01 * random.normal(size=(120, 2))
    found = matched(theirs - gain, theirs, (1, 5), 5)
    (together, _), (alone, _) = found.tests
    assert chance(together, 5) < 0.001
    assert not judge(found, Rules(), ("new", "old")).promote
    assert judge(matched(theirs - gain - 0.1, theirs, (1, 5), 5), Rules(), ("new", "old")).promote
    assert alone.mean() == pytest.approx(-gain[:, 0].mean() / theirs[:, 0].mean(), abs=0.01)


@pytest.mark.parametrize(("noise", "fine"), [(0.05, True), (1.0, False)])
def test_the_first_version_of_all_must_not_be_worse_than_the_random_walk(noise, fine):
    market = Market(0, 60, ALL)
    forecasts = pd.concat([market.table("new", noise=noise), market.table("random-walk")], ignore_index=True)
    decision = decide(forecasts, challenger="new", champion=None)
    assert decision.promote == fine
    assert "first version: CRPS" in decision.reason
    assert "allowed is up to 2 % higher" in decision.reason


def test_what_cannot_be_asked_is_refused():
    forecasts = table({}, {})
    with pytest.raises(DataError, match="cannot be compared with itself"):
        decide(forecasts, challenger="old", champion="old")
    with pytest.raises(DataError, match="no forecast by 'ghost'"):
        decide(forecasts, challenger="new", champion="ghost")
    assert decide(forecasts, challenger="ghost", champion="old").reason == "ghost made no forecast"


def test_no_variation_is_no_evidence():
    assert chance(np.full(100, -0.1), 1) == 1.0
    assert chance(np.zeros(0), 1) == 1.0
    assert chance(np.linspace(-1, 0, 7), 4) == 1.0


@pytest.mark.parametrize("defect", DEFECTS)
def test_equal_models_are_seldom_promoted_and_ten_per_cent_worse_ones_never(defect):
    """100 simulations each; benchmarks/gate.py makes 1,000 and prints them."""
    assert promoted(100, 60, ALL, defect, 0.05, 0.05) <= 0.05
    assert promoted(100, 60, ALL, defect, 0.10, 0.0) == 0.0


def test_a_better_one_is_found_given_time():
    assert promoted(40, 250, ALL, "noise", 0.0, 0.05) > 0.8

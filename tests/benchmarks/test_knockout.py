"""The table of gates: whole days are asked, every seed is told, and nothing is measured twice."""

import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.prices.quality import inspect, sound
from app.prices.sources import Sample
from benchmarks import knockout

COST = {"over": "rows", "days": 482, "symbols": 50}


@pytest.fixture(scope="module")
def windows():
    """Two symbols, of which B misses the first hundred days."""
    bars = Sample().history("^GSPC").iloc[:600]
    raw = pd.concat([bars.assign(symbol="A"), bars.iloc[100:].assign(symbol="B")], ignore_index=True)
    raw = raw.assign(symbol=raw["symbol"].astype("category"))
    return make_windows(sound(raw, inspect(raw)), WindowSpec()).known_by(bars["date"].max())


def costs(seeds=(0, 1)):
    """The forget gate costs 0.5 % and 0.7 % a session ahead, the second beyond chance; holding output gains."""
    rows = [
        ("mean", "forget", 1, 0, 0.005, -0.001, 0.011),
        ("mean", "forget", 1, 1, 0.007, 0.001, 0.013),
        ("mean", "output", 1, 0, -0.002, -0.003, -0.001),
        ("mean", "output", 1, 1, 0.001, np.nan, np.nan),
        ("elsewhere", "forget", 1, 0, 0.5, 0.4, 0.6),
    ]
    table = pd.DataFrame(rows, columns=["held", "gate", "horizon", "seed", "difference", "low", "high"])
    return table[table["seed"].isin(seeds)].assign(network="lstm", p_value=0.1, **COST)


def orders():
    rows = [("mean", 1, 0, "input", "output", 2, 0.2), ("mean", 1, 0, "forget", "input", 1, 0.0004)]
    rows += [("mean", 5, 1, "output", "forget", 1, 0.9), ("elsewhere", 1, 0, "forget", "output", 1, 0.5)]
    table = pd.DataFrame(rows, columns=["held", "horizon", "seed", "gate", "next", "step", "p_value"])
    return table.assign(network="lstm", difference=0.1, low=0.0, high=0.2, **COST)


def test_days_are_taken_whole_and_spread_from_the_first_to_the_last(windows):
    chosen = knockout.even_days(windows, 21)
    days = np.unique(windows.origin)
    taken = np.unique(chosen.origin)
    assert len(taken) == 10
    assert (taken[0], taken[-1]) == (days[0], days[-1])
    gaps = np.diff(np.searchsorted(days, taken))
    assert np.ptp(gaps) <= 1
    for day in taken:
        assert sorted(chosen.symbol[chosen.origin == day]) == sorted(windows.symbol[windows.origin == day])


def test_all_days_are_taken_where_there_are_no_more_and_one_at_least(windows):
    np.testing.assert_array_equal(knockout.even_days(windows, 10**6).ends, windows.ends)
    assert len(np.unique(knockout.even_days(windows, 1).origin)) == 1


def test_the_table_tells_the_mean_over_seeds_and_stars_the_seeds_whose_interval_excludes_nothing():
    mean = costs()[costs()["held"] == "mean"]
    assert knockout.costs_table(mean).splitlines()[2:] == [
        "| lstm | forget | +0.600 (+0.500, +0.700*) |",
        "| lstm | output | -0.050 (-0.200*, +0.100) |",
    ]


def test_the_gates_of_a_decoder_have_rows_of_their_own():
    both = pd.concat([costs([0]), costs([0]).assign(over="horizons")])
    named = [line.split(" | ")[0] for line in knockout.costs_table(both[both["held"] == "mean"]).splitlines()[2:]]
    assert named == ["| lstm", "| lstm", "| lstm, over its horizons", "| lstm, over its horizons"]


def test_orders_are_told_with_the_p_values_of_their_steps():
    assert knockout.orders_table(orders()[orders()["held"] == "mean"]).splitlines() == [
        "| network | h | seed 0 | seed 1 |",
        "| --- | --- | --- | --- |",
        "| lstm | 1 | forget > input > output (<0.001, 0.200) | not run |",
        "| lstm | 5 | not run | output > forget (0.900) |",
    ]


def test_every_way_of_holding_has_its_tables_by_whatever_name():
    told = knockout.tables(costs(), orders())
    assert told.count("held (mean)") == told.count("held (elsewhere)") == 1
    assert "+50.000 (+50.000*)" in told


def test_a_finished_run_is_not_made_again_and_one_cut_short_leaves_nothing_behind(windows, tmp_path, monkeypatch):
    made = []

    def instant(recipe, parts):
        made.append((recipe.cell, recipe.seed, recipe.epochs))
        took = {"windows": len(parts[2])}
        return took, costs([0]).drop(columns=["network", "seed"]), orders()[:2].drop(columns=["network", "seed"])

    monkeypatch.setattr(knockout, "measured", instant)
    monkeypatch.setattr(knockout, "dev_windows", lambda path, count: (windows, windows, windows))
    asked = ["--prices", "x", "--out", str(tmp_path), "--windows", "20", "--networks", "gru", "--seeds", "0"]
    knockout.main(asked)
    whole = pd.read_csv(tmp_path / "knockout.csv")
    knockout.main([*asked, "1"])
    assert made == [("gru", 0, 3), ("gru", 1, 3)]
    (tmp_path / "runs.csv").unlink()
    knockout.main(asked)
    assert len(made) == 3
    assert len(pd.read_csv(tmp_path / "knockout.csv")) == 2 * len(whole)


def test_a_window_without_a_known_actual_is_not_asked(windows, tmp_path, monkeypatch):
    asked = []
    unknown = Windows(windows.panel, windows.panel.usable_ends(60))
    monkeypatch.setattr(knockout, "dev_windows", lambda path, count: (windows, windows, unknown))
    monkeypatch.setattr(knockout, "measure_all", lambda options, parts: asked.append(parts[2]) or (costs(), orders()))
    knockout.main(["--prices", "x", "--out", str(tmp_path)])
    assert len(asked[0]) == len(windows) < len(unknown)

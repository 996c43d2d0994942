"""The table of networks: which symbols, which days, what is averaged, and that nothing is made twice."""

import numpy as np
import pandas as pd
import pytest

from app.forecasters.baselines import RandomWalk
from app.forecasters.recipe import CELLS, Network
from app.prices.sources import Sample
from benchmarks import networks

COLUMNS = (
    *("parameters", "train_cpu_s", "targets", "crps_1", "crps_5", "crps_20"),
    *("half_life_width_1", "half_life_width_20", "half_life_median_1"),
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Two symbols with the history of the S&P 500, and one whose history is too short."""
    bars = Sample().history("^GSPC")
    short = bars[bars["date"] >= "2005-01-01"]
    place = tmp_path_factory.mktemp("prices") / "prices.csv"
    every = [short.assign(symbol="A"), *(bars.assign(symbol=name) for name in ("D", "C", "B"))]
    pd.concat(every).to_csv(place, index=False)
    return networks.dev_windows(place, 2)


def test_the_first_symbols_by_name_with_a_long_history_are_taken(parts):
    assert parts[0].panel.symbols == ("B", "C")


def test_no_price_after_the_years_scored_is_read_and_no_window_knows_a_later_part(parts):
    train, validation, test = parts
    assert train.panel.date.max() == np.datetime64("2013-12-31")
    assert train.date[:, -1].max() < validation.origin.min()
    assert validation.date[:, -1].max() <= np.datetime64("2011-12-31")
    assert (test.origin.min(), test.origin.max()) == (np.datetime64("2012-01-03"), np.datetime64("2013-12-31"))


def test_a_forecast_twice_as_far_off_has_twice_the_crps_of_its_symbol(parts):
    fitted = RandomWalk().fit(*parts[:2])
    test = parts[2]
    reference = networks.crps_by_symbol(test, fitted.predict(test))
    assert reference.index.tolist() == [(symbol, horizon) for symbol in ("B", "C") for horizon in (1, 5, 20)]
    actual = test.actual[:, :, None]
    doubled = actual + 2 * (fitted.predict(test) - actual)
    np.testing.assert_allclose(networks.crps_by_symbol(test, doubled) / reference, 2.0)


def test_gjr_garch_is_fitted_once_and_read_afterwards(parts, tmp_path, monkeypatch):
    made = networks.reference_scores(tmp_path / "gjr-garch.csv", *parts)
    monkeypatch.setattr(networks, "Garch", None)
    pd.testing.assert_series_equal(networks.reference_scores(tmp_path / "gjr-garch.csv", *parts), made)


def test_every_cell_is_in_the_table():
    assert {recipe.cell for recipe in networks.NETWORKS.values()} == set(CELLS)
    assert all(name.split(",")[0] == recipe.cell for name, recipe in networks.NETWORKS.items())


def test_the_table_tells_the_mean_over_seeds_and_every_seed_and_speed_against_lstm_of_the_same_seed():
    lives = {"half_life_width_1": [3.0, 5.0], "half_life_width_20": [4.0, 7.0]}
    scores = {"crps_1": [0.991, 0.993], "crps_5": [0.99, 0.99], "crps_20": [1.0, 1.002]}
    runs = pd.DataFrame({"network": "gru", "seed": [0, 1], "parameters": 2313, **scores, **lives, "targets": 1e6})
    lstm = runs.assign(network="lstm", train_cpu_s=[0.5, 4.0])
    lines = networks.table(pd.concat([lstm, runs.assign(train_cpu_s=[1.0, 10.0])])).splitlines()
    assert lines[3] == (
        "| gru | 2,313 | 550 | 0.45 (0.50, 0.40) | 0.9920 (0.9910, 0.9930) | 0.9900 (0.9900, 0.9900) "
        "| 1.0010 (1.0000, 1.0020) | 4.0 (3.0, 5.0) | 5.5 (4.0, 7.0) |"
    )


def test_targets_of_an_epoch_are_those_known_in_its_gradient_steps(parts):
    train = parts[0]
    every = int(np.isfinite(train.chunks(32).targets).sum())
    whole = networks.targets_an_epoch(Network(batch=1, updates=100_000), train)
    assert whole == every
    assert networks.targets_an_epoch(Network(batch=4, updates=3), train) == pytest.approx(12 * 32 * 3, rel=0.05)


def test_a_finished_training_is_not_made_again(parts, tmp_path, monkeypatch):
    made = []

    def instant(recipe, parts, reference):
        made.append((recipe.cell, recipe.seed, recipe.epochs))
        return dict.fromkeys(COLUMNS, 1.0)

    monkeypatch.setattr(networks, "judged", instant)
    monkeypatch.setattr(networks, "dev_windows", lambda path, count: parts)
    monkeypatch.setattr(networks, "reference_scores", lambda place, *parts: pd.Series(dtype=float))
    asked = ["--prices", "x", "--out", str(tmp_path), "--epochs", "3", "--seeds", "0"]
    networks.main([*asked, "--networks", "lstm"])
    networks.main([*asked, "1", "--networks", "lstm", "gru"])
    assert made == [("lstm", 0, 3), ("gru", 0, 3), ("lstm", 1, 3), ("gru", 1, 3)]

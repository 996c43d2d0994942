"""What a forecast was made to rest on is what it is found to rest on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dataset.features import FEATURES
from app.dataset.windows import Windows
from app.forecasters.recipe import CELLS
from app.insight import attribution
from app.insight.anatomy import standardised
from tests.insight import planted

NAMES = [feature.name for feature in FEATURES]


@pytest.mark.parametrize("cell", CELLS)
def test_contributions_add_up_to_the_difference_of_the_forecasts(cell):
    models = [planted.network(cell, wild=0.2), planted.network(cell, wild=0.1)]
    parts, differences, outputs = attribution.integrated_gradients(models, planted.few(3))
    assert outputs == [("median", 1), ("median", 3), ("width", 1), ("width", 3)]
    missed = (2e-2 if cell == "transformer" else 5e-3) * np.abs(
        differences
    ).max()  # its norms bend sharply near the mean
    np.testing.assert_allclose(parts.sum(axis=(2, 3)), differences, atol=missed)
    table = attribution.completeness(parts, differences, outputs)
    assert (table["gap"] <= missed).all()
    assert (table["difference"] > 0).all()


def test_contributions_of_a_forecast_that_is_one_feature_of_one_session():
    """A[lag 3, feature 2] = z there, and everything else is nothing."""
    model, windows = planted.delayed(feature=2, lag=3), planted.few(5)
    parts, _, outputs = attribution.integrated_gradients([model], windows)
    z = standardised(model, windows.gather())
    np.testing.assert_allclose(parts[:, 0, 3, 2], z[:, -4, 2], rtol=1e-4)
    table = attribution.attribution_table(parts, outputs, NAMES)
    found = table[(table["part"] == "median") & (table["horizon"] == 1) & (table["size"] > 1e-9)]
    assert found[["feature", "lag"]].to_numpy().tolist() == [["range", 3]]
    assert found["size"].iloc[0] == pytest.approx(np.abs(z[:, -4, 2]).mean(), rel=1e-4)
    assert found["net"].iloc[0] == pytest.approx(z[:, -4, 2].mean(), rel=1e-4)
    assert table[table["part"] == "width"]["size"].max() == 0


def test_a_network_that_hears_nothing_has_nothing_to_explain():
    """The head of an untrained network has weights of zero."""
    parts, differences, _ = attribution.integrated_gradients([planted.network("lstm", wild=0)], planted.few(3))
    assert not parts.any()
    assert not differences.any()


@given(st.lists(st.integers(1, 4), min_size=2, max_size=12), st.integers(0, 9))
def test_every_window_takes_from_another_day_and_gives_once(sizes, seed):
    """Days of 1 to 4 windows, none with more than half of all."""
    origin = np.repeat(np.arange(len(sizes)), sizes).astype("datetime64[D]")
    if max(sizes) * 2 > len(origin):
        return
    donors = attribution._donors(origin, np.random.default_rng(seed))
    assert sorted(donors) == list(range(len(origin)))
    assert (origin[donors] != origin).all()


def test_only_the_feature_that_matters_costs_when_it_is_permuted():
    model = planted.delayed(feature=2, lag=0)
    table = attribution.permutation_importance([model], planted.with_actuals_of(model, noise=0.1), NAMES, repeats=3)
    costs = table[table["horizon"] == 1].set_index("feature")
    assert costs.loc["range", "increase"] > 10 * costs.loc["range", "deviation"] > 0
    assert costs.drop("range")["increase"].abs().max() == 0
    assert set(table["repeats"]) == {3}
    assert set(table["days"]) == {len(set(planted.windows().origin))}


def test_a_day_weighs_the_same_with_one_symbol_as_with_two():
    model, windows = planted.network("lstm"), planted.windows()
    first, last = windows.origin.min(), windows.origin.max()
    days = [windows.originating(first, first + 1), windows.originating(last, last + 1).of("A")]
    both = Windows(windows.panel, np.concatenate([day.ends for day in days]))
    whole, *apart = [attribution._crps([model], given.gather(), given) for given in (both, *days)]
    assert [len(day) for day in days] == [2, 1]
    np.testing.assert_allclose(whole, np.mean(apart, axis=0))


def test_answers_are_what_the_network_forecasts():
    model, other, windows = planted.network("gru"), planted.network("gru", wild=0), planted.windows()
    found = windows.restored(attribution.answers([model, other], windows.gather()))
    np.testing.assert_allclose(found, planted.fitted(model, other).predict(windows), rtol=1e-5, atol=1e-9)

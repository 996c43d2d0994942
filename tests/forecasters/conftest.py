"""Prices whose volatility follows HAR, for the tests of the models that look for it."""

import pytest

from app.dataset import make_windows
from tests.forecasters.planted import CUTOFF, LEVELS_OF, SLOPES, SPEC, VALIDATION, learning_sets, ranged


@pytest.fixture(scope="session")
def ranged_prices():
    """Symbols whose log volatility follows SLOPES from a level of their own, with noise of 0.2."""
    return ranged({"CALM": (LEVELS_OF["CALM"], 2600), "WILD": (LEVELS_OF["WILD"], 2200)}, SLOPES, noise=0.2)


@pytest.fixture(scope="session")
def ranged_windows(ranged_prices):
    return make_windows(ranged_prices, SPEC, "24/5")


@pytest.fixture(scope="session")
def ranged_sets(ranged_windows):
    return learning_sets(ranged_windows, CUTOFF, VALIDATION)

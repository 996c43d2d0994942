"""What is allowed, said in the same words everywhere."""

from dataclasses import dataclass

import pytest

from app.allowed import LISTED, check_ranges, known_names
from app.errors import SettingsError


@dataclass(frozen=True)
class Oven:
    heat: float = 180.0


@pytest.mark.parametrize("heat", [50.0, 180.0, 250.0])
def test_both_ends_of_a_range_are_allowed(heat):
    check_ranges("oven", Oven(heat), {"heat": (50, 250)})


@pytest.mark.parametrize("heat", [49.9, 251, float("nan"), float("inf")])
def test_a_number_out_of_range_is_refused_by_name(heat):
    with pytest.raises(SettingsError, match=rf"^oven.heat must be 50 to 250 degrees, got {heat}\.$"):
        check_ranges("oven", Oven(heat), {"heat": (50, 250)}, unit="degrees")


def test_a_misspelt_name_is_answered_with_the_one_that_was_meant():
    assert known_names("appel", ["pear", "apple"], "shop --list") == "; did you mean 'apple'?"


def test_few_names_are_listed_and_many_are_not():
    few = [f"name{number}" for number in range(LISTED)]
    assert known_names("zzz", few, "shop --list") == f"; known are {few}."
    ending = known_names("zzz", [*few, "one more"], "shop --list")
    assert ending.count("'") == 6
    assert ending.endswith("and `shop --list` lists all.")

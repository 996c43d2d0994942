"""The rules without training: what each looks at, and its figures on the real data."""

import numpy as np
import pytest

from app.reproduce import scores
from app.reproduce.acl18 import ACL18, FEATURES, Instances, split
from app.reproduce.rules import RULES


def planted(moved, mean_over_price):
    inputs = np.zeros((len(moved), 3, len(FEATURES)), "float32")
    inputs[:, -1, FEATURES.index("n_adj_close")] = moved
    inputs[:, -1, FEATURES.index("mean_30")] = mean_over_price
    inputs[:, 0] = 99.0  # an old row that no rule may look at
    none = np.zeros(len(moved))
    return Instances(inputs, none > 0, none, none)


def test_rules_look_at_the_newest_day():
    days = planted([1.0, -1.0, 0.0, 2.0], [-3.0, 3.0, 0.0, 4.0])
    said = {name: rule(days).tolist() for name, rule in RULES.items()}
    assert said["always up"] == [True] * 4
    assert said["1-day momentum"] == [True, False, False, True]
    assert said["1-day reversal"] == [False, True, True, False]
    assert said["30-day mean above price"] == [False, True, False, True]
    assert said["30-day mean below price"] == [True, False, True, False]


@pytest.mark.parametrize(
    ("name", "accuracy", "mcc"),
    [
        ("always up", 51.29, 0.0),
        ("1-day reversal", 49.06, -0.0181),
        ("1-day momentum", 50.94, 0.0181),
        ("30-day mean above price", 52.93, 0.0640),
        ("30-day mean below price", 47.07, -0.0640),
    ],
)
def test_figures_on_the_test_rows_of_acl18(acl18, name, accuracy, mcc):
    test = split(acl18, ACL18, 5)[2]
    counts = scores.day_counts(test.day, test.up, RULES[name](test))
    assert len(counts) == 64
    assert round(100 * scores.accuracy(counts).value, 2) == accuracy
    assert round(scores.mcc(counts).value, 4) == mcc

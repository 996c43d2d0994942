"""What an inspection says of a network in a sentence, because no figure shows it."""

import pandas as pd
import pytest

from app.insight.inspection import _notes

NONE, SOME = pd.DataFrame(), pd.DataFrame({"gate": ["forget"]})


@pytest.mark.parametrize(
    ("gap", "said"),
    [(0.001, []), (0.03, ["lstm: contributions miss what they should add up to by up to 3.0% of its mean."])],
)
def test_contributions_that_do_not_add_up_are_said_not_to(gap, said):
    tables = {
        "gates": SOME,
        "gate_horizons": NONE,
        "traces": SOME,
        "half_lives": pd.DataFrame({"rows": [60]}),
        "completeness": pd.DataFrame({"difference": [2.0, 1.0], "gap": [0.002, gap]}),
    }
    assert [note for _, note in _notes("lstm", tables, 60)] == said

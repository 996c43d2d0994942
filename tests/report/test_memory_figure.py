"""The figure of gradients by lag shows every network, on an axis where a thousand orders are nothing."""

import numpy as np
import pandas as pd

from app.report.memory import HIGHEST, LOWEST, gradient_by_lag


def norms(panel: str, network: str, rate: float) -> pd.DataFrame:
    lag = np.arange(100)
    return pd.DataFrame({"panel": panel, "network": network, "lag": lag, "norm": rate**lag})


def test_one_panel_for_each_state_with_a_line_for_each_network_where_it_belongs():
    table = pd.concat([norms("before", "lstm", 0.9), norms("before", "gru", 0.5), norms("after", "lstm, solved", 1.0)])
    panels = gradient_by_lag(table).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["Before", "After"]
    drawn = [{line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")} for axes in panels]
    assert [list(lines) for lines in drawn] == [["lstm", "gru"], ["lstm, solved"]]
    np.testing.assert_allclose(drawn[0]["lstm"].get_ydata(), 0.9 ** np.arange(100))


def test_what_vanished_or_overflowed_does_not_move_the_axis():
    gone = norms("before", "lstm", 0.0)
    burst = norms("before", "simple-rnn", 1e3).assign(norm=lambda table: table["norm"].where(table["lag"] < 90))
    axes = gradient_by_lag(pd.concat([gone, burst])).axes[0]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim() == (LOWEST, HIGHEST)


def test_networks_of_one_cell_share_its_colour_and_differ_in_their_dashes():
    table = pd.concat([norms("before", "lstm", 0.9), norms("before", "lstm, forget bias 0", 0.5)])
    lines = [line for line in gradient_by_lag(table).axes[0].lines if not line.get_label().startswith("_")]
    assert lines[0].get_color() == lines[1].get_color()
    assert lines[0].get_linestyle() != lines[1].get_linestyle()

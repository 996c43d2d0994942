import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.dates import date2num

from app.forecasters import GUESSES, MODELS, NETWORKS, USUAL
from app.forecasters.shapes import shapes_of
from app.report import figures, path_figures
from app.report.pricing import history, priced
from app.report.style import MODEL_LOOKS, NAME, look
from app.report.tables import skill_ratios
from app.schema import QUANTILES


@pytest.fixture(scope="module")
def rows(findings) -> pd.DataFrame:
    """Sixty forecasts of one model, symbol and horizon."""
    table = findings.forecasts
    chosen = (table["model"] == "lstm") & (table["symbol"] == "NASDAQ") & (table["horizon"] == 5)
    return table[chosen].tail(60)


@pytest.fixture(scope="module")
def live(findings) -> pd.DataFrame:
    table = findings.live
    return table[(table["model"] == "lstm") & (table["symbol"] == "NASDAQ")]


@pytest.fixture(scope="module")
def drawn(findings, rows, live) -> dict:
    """Every kind of figure, by name."""
    ratios = skill_ratios(findings.scores, findings.verdicts, "gjr-garch")
    reached = findings.coverage[findings.coverage["horizon"] == 5]
    return {
        "skill": figures.skill(ratios, "gjr-garch"),
        "coverage": figures.coverage(reached, "5 sessions ahead"),
        "pit": figures.pit(findings.pit[findings.pit["horizon"] == 5].iloc[::-1], "5 sessions ahead"),
        "against_actuals": path_figures.against_actuals(priced(rows, findings.prices), rows, "NASDAQ"),
        "volatility": path_figures.volatility_against_actuals(*as_volatility(rows), "NASDAQ"),
        "newest": path_figures.newest(history(findings.prices, "NASDAQ", 60), priced(live, findings.prices), "NASDAQ"),
        "learning": figures.learning(findings.curves["lstm"], "lstm"),
    }


def as_volatility(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """The same numbers taken for logs of a volatility near 1 %, and the last one, 1 %."""
    level = {name: np.log(0.01) + 10 * rows[name] for name in (*QUANTILES, "actual")}
    return rows.assign(**level), pd.Series(np.log(0.01), index=rows.index)


def line(axes, label: str):
    return next(found for found in axes.get_lines() if found.get_label() == label)


def band(axes, label: str) -> np.ndarray:
    found = next(found for found in axes.collections if found.get_label() == label)
    return found.get_paths()[0].vertices[:, 1]


def test_lines_against_actuals_are_the_tables_prices(drawn, rows):
    axes = drawn["against_actuals"].axes[0]
    close = rows["origin_close"].to_numpy()
    np.testing.assert_allclose(line(axes, "naive").get_ydata(), close)
    np.testing.assert_allclose(line(axes, "median").get_ydata(), close * np.exp(rows["q0.50"]))
    np.testing.assert_allclose(line(axes, "actual").get_ydata(), close * np.exp(rows["actual"]))
    np.testing.assert_allclose(date2num(line(axes, "actual").get_xdata()), date2num(rows["date"]))


@pytest.mark.parametrize(("label", "low", "high"), [("90 % band", "q0.05", "q0.95"), ("50 % band", "q0.25", "q0.75")])
def test_bands_against_actuals_reach_from_quantile_to_quantile(drawn, rows, label, low, high):
    edges = set(np.round(band(drawn["against_actuals"].axes[0], label), 4))
    for name in (low, high):
        assert set(np.round(rows["origin_close"] * np.exp(rows[name]), 4)) <= edges


def test_a_volatility_is_drawn_as_it_is_and_not_as_its_log(drawn, rows):
    axes = drawn["volatility"].axes[0]
    np.testing.assert_allclose(line(axes, "actual").get_ydata(), 0.01 * np.exp(10 * rows["actual"]))
    np.testing.assert_allclose(line(axes, "median").get_ydata(), 0.01 * np.exp(10 * rows["q0.50"]))
    np.testing.assert_allclose(line(axes, "naive").get_ydata(), 0.01)
    edges = set(np.round(band(axes, "90 % band"), 8))
    for name in ("q0.05", "q0.95"):
        assert set(np.round(0.01 * np.exp(10 * rows[name]), 8)) <= edges


def test_hollow_dots_are_the_actuals_outside_the_ninety_percent_band(drawn, rows):
    dots = [found for found in drawn["against_actuals"].axes[1].get_lines() if found.get_marker() == "o"]
    hollow = next(found for found in dots if found.get_markerfacecolor() == "white")
    outside = rows[(rows["actual"] < rows["q0.05"]) | (rows["actual"] > rows["q0.95"])]
    assert len(outside) > 0
    np.testing.assert_allclose(hollow.get_ydata(), outside["actual"])
    assert sum(len(found.get_ydata()) for found in dots) == len(rows)


def test_skill_has_a_dot_for_each_ratio_and_a_line_at_one(findings, drawn):
    ratios = skill_ratios(findings.scores, findings.verdicts, "gjr-garch")
    for axes, (_, part) in zip(drawn["skill"].axes, ratios.groupby("horizon"), strict=True):
        for row in part.itertuples():
            assert line(axes, row.model).get_xdata() == [row.ratio]
        assert [list(found.get_xdata()) for found in axes.get_lines()].count([1.0, 1.0]) == 1
        intervals = [segment[:, 0].tolist() for found in axes.collections for segment in found.get_segments()]
        known = part[["low", "high"]].dropna().to_numpy().tolist()
        assert intervals == known


def test_skill_stands_side_by_side_where_there_is_room(findings):
    ratios = skill_ratios(findings.scores, findings.verdicts, "gjr-garch")
    wide, narrow = figures.skill(ratios, "gjr-garch", columns=3), figures.skill(ratios, "gjr-garch")
    assert wide.get_figwidth() > 2 * narrow.get_figwidth()
    assert len(wide.axes) == len(narrow.axes) == 3


def test_coverage_lines_are_what_was_reached(findings, drawn):
    table = findings.coverage[findings.coverage["horizon"] == 5]
    for model, part in table.groupby("model"):
        drawn_line = line(drawn["coverage"].axes[0], model)
        assert drawn_line.get_xdata().tolist() == part["nominal"].tolist()
        assert drawn_line.get_ydata().tolist() == part["reached"].tolist()


def test_the_first_model_of_a_histogram_is_bars_with_open_tails_and_the_others_are_steps(findings, drawn):
    table = findings.pit[findings.pit["horizon"] == 5]
    first, *others = reversed(table["model"].unique())
    bars = drawn["pit"].axes[0].containers[0]
    assert [bar.get_height() for bar in bars] == table.loc[table["model"] == first, "share"].tolist()
    assert [bool(bar.get_hatch()) for bar in bars] == [True] + [False] * 18 + [True]
    steps = [patch for patch in drawn["pit"].axes[0].patches if hasattr(patch, "get_data")]
    assert [step.get_label() for step in steps] == others
    assert steps[0].get_data().values.tolist() == table.loc[table["model"] == others[0], "share"].tolist()
    assert [text.get_text() for text in drawn["pit"].axes[0].get_legend().get_texts()] == [first, *others]


def test_the_newest_fan_opens_from_the_last_close(findings, drawn, live):
    axes = drawn["newest"].axes[0]
    past = findings.prices[findings.prices["symbol"] == "NASDAQ"].tail(60)
    close = past["close"].iloc[-1]
    assert line(axes, "close").get_ydata().tolist() == past["close"].tolist()
    np.testing.assert_allclose(line(axes, "median").get_ydata(), [close, *(close * np.exp(live["q0.50"]))])
    np.testing.assert_allclose(line(axes, "naive").get_ydata(), [close] * 4)
    assert date2num(live["origin"].iloc[0]) == date2num(line(axes, "median").get_xdata()[0])


def test_the_fans_ends_are_labelled_with_their_prices_and_do_not_touch(drawn, live, findings):
    last = priced(live, findings.prices).iloc[-1]
    labels = {text.get_text(): text.xy[1] for text in drawn["newest"].axes[0].texts}
    assert list(labels) == [f"5 %: {last['q0.05']:,.0f}", f"median {last['q0.50']:,.0f}", f"95 %: {last['q0.95']:,.0f}"]
    flat = live.assign(**{name: 0.0 for name in live.columns if name.startswith("q0.")})
    narrow = path_figures.newest(history(findings.prices, "NASDAQ", 60), priced(flat, findings.prices), "NASDAQ")
    narrow.draw_without_rendering()
    boxes = [text.get_window_extent() for text in narrow.axes[0].texts]
    assert boxes[0].y1 <= boxes[1].y0 + 2
    assert boxes[1].y1 <= boxes[2].y0 + 2


def test_learning_shows_both_losses_and_rings_the_epoch_that_was_kept(findings, drawn):
    axes, curve = drawn["learning"].axes[0], findings.curves["lstm"]
    assert line(axes, "training").get_ydata().tolist() == curve["loss"].tolist()
    assert line(axes, "validation").get_ydata().tolist() == curve["validation_loss"].tolist()
    assert line(axes, "kept").get_xdata().tolist() == [curve["epoch"].iloc[-2]]


def test_learning_draws_every_member_of_an_ensemble(findings):
    curve = findings.curves["lstm"]
    both = pd.concat([curve.assign(member=1), curve.assign(member=2, loss=curve["loss"] + 0.1)])
    axes = figures.learning(both, "lstm, fold 1").axes[0]
    starts = [found.get_ydata()[0] for found in axes.get_lines() if len(found.get_xdata()) == len(curve)]
    assert len(starts) == 4
    assert len(axes.get_legend().get_texts()) == 3


def test_a_curve_without_a_finite_validation_loss_is_drawn(findings):
    curve = findings.curves["lstm"].assign(validation_loss=np.nan, kept=False)
    assert len(line(figures.learning(curve, "lstm").axes[0], "kept").get_xdata()) == 0


@pytest.mark.parametrize("name", ["coverage", "pit", "against_actuals", "volatility", "newest", "learning"])
def test_every_axis_is_labelled(drawn, name):
    for axes in drawn[name].axes:
        assert axes.get_ylabel()
        dated = "Date" in type(axes.xaxis.get_major_formatter()).__name__
        assert axes.get_xlabel() or dated or axes is not drawn[name].axes[-1]


def test_skill_says_what_it_shows_below_and_names_every_model(drawn, findings):
    assert drawn["skill"].get_supxlabel() == "CRPS relative to gjr-garch (= 1); further left is better"
    names = [text.get_text() for text in drawn["skill"].axes[0].get_yticklabels()]
    assert names == [model for model in findings.scores["model"].unique() if model != "gjr-garch"]


@pytest.mark.parametrize("name", ["coverage", "pit", "against_actuals", "volatility", "newest", "learning"])
def test_no_legend_covers_data(drawn, name):
    figure = drawn[name]
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1 - 1


@pytest.mark.parametrize("name", ["skill", "coverage", "pit", "against_actuals", "volatility", "newest", "learning"])
def test_nothing_is_cut_off_at_the_edge(drawn, name):
    figure = drawn[name]
    figure.draw_without_rendering()
    whole, inked = figure.bbox, figure.get_tightbbox()
    assert inked.x0 >= -0.02
    assert inked.y0 >= -0.02
    assert inked.x1 * figure.dpi <= whole.x1 + 2
    assert inked.y1 * figure.dpi <= whole.y1 + 2


def test_drawing_leaves_its_tables_as_they_were(findings, rows, live):
    money = priced(rows, findings.prices)
    before = rows.copy(), money.copy(), live.copy(), findings.coverage.copy()
    path_figures.against_actuals(money, rows, "NASDAQ")
    path_figures.newest(history(findings.prices, "NASDAQ", 60), live, "NASDAQ")
    figures.coverage(findings.coverage, "all")
    for now, then in zip((rows, money, live, findings.coverage), before, strict=True):
        pd.testing.assert_frame_equal(now, then)


def test_a_callers_own_style_neither_changes_a_figure_nor_is_changed(findings):
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30}):
        figure = figures.learning(findings.curves["lstm"], "lstm")
        assert matplotlib.rcParams["font.size"] == 30
    assert to_hex(figure.axes[0].get_facecolor()) == "#ffffff"


def test_a_formula_or_a_line_break_in_a_name_is_only_text(findings, rows, tmp_path):
    figure = path_figures.against_actuals(priced(rows, findings.prices), rows, "$\\frac{1}$\n<b>")
    figure.savefig(tmp_path / "figure.png")
    assert figure.axes[0].get_title(loc="left") == r"\$\frac{1}\$ <b>"


def test_every_model_has_a_look_of_its_own_and_a_stranger_keeps_his():
    assert len({color for color, _ in MODEL_LOOKS.values()}) == len(MODEL_LOOKS)
    assert set(MODELS) - set(GUESSES) <= set(MODEL_LOOKS)
    usual = [marker for name, (_, marker) in MODEL_LOOKS.items() if name in {*USUAL, "gru", "simple-rnn", "har"}]
    assert len(set(usual)) == len(usual)  # matplotlib has fewer filled markers than we have models
    shaped = [look(f"{name}:{shape}") for name in NETWORKS for shape in shapes_of(name)]
    assert len({*shaped, *MODEL_LOOKS.values()}) == len(shaped) + len(MODEL_LOOKS)
    assert max(len(f"{name}:{shape}") for name in NETWORKS for shape in shapes_of(name)) <= NAME
    assert look("mine") == look("mine")
    assert look("mine") not in MODEL_LOOKS.values()

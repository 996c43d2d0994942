"""What was seen inside a network is said in words that its numbers bear out, and drawn."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from app.errors import SettingsError
from app.insight.effort import TABLES, Effort
from app.report.inspected import inside_sentences, pictures
from app.report.page import arrange, write_inspection
from app.report.record import load_findings, save_findings, save_inspection

NOTHING = "mlp has no gates: there is nothing to show and nothing to hold."
LAGS, GATES, FEATURES = np.arange(12), ("forget", "input", "output"), ("up", "down", "range")


def rows(model: str, **columns) -> pd.DataFrame:
    return pd.DataFrame({"model": model, **columns})


def tables(costs=(0.03, 0.01, 0.02), p_value=0.01) -> dict[str, pd.DataFrame]:
    """An lstm whose gates cost what is given, and an mlp, which has none."""
    fading = {"lag": LAGS, "mean": 0.5**LAGS, "low": 0.4**LAGS, "high": 0.6**LAGS}
    edges = np.linspace(0, 1, 21)
    cells = {"above": edges[:-1], "below": edges[1:], "share": 0.05}
    both = [(model, part) for model in ("lstm", "mlp") for part in ("median", "width")]
    ranked = sorted(zip(costs, GATES, strict=True), reverse=True)
    every = {
        "gates": [
            rows("lstm", layer="1", gate=GATES, mean=[0.72, 0.5, 0.4], deviation=0.1, shut=0.012, open=0.25, values=9)
        ],
        "gate_histograms": [rows("lstm", layer="1", gate=gate, **cells) for gate in GATES],
        "gate_lags": [rows("lstm", layer="1", gate=gate, **fading, shut=0.0, open=0.0) for gate in GATES],
        "gate_horizons": [
            rows("lstm", layer="1", gate=gate, horizon=[1, 5], mean=[0.25, 0.75], low=0.2, high=0.8, shut=[0.0, 0.1],
                 open=0.5)
            for gate in GATES
        ],
        "traces": [
            rows("lstm", symbol="UP", origin=pd.Timestamp("2024-01-31"), layer="1", state="memory", unit=unit, lag=LAGS,
                 value=0.1 * unit * LAGS)
            for unit in (1, 2)
        ],
        "attention": [rows("lstm", **fading)],
        "memory": [rows(model, part=part, horizon=1, **fading) for model, part in both],
        "half_lives": [
            rows(model, part=part, horizon=1, half_life=1.0, low=0.5, high=1.6, reach=6.6, rows=12, windows=8)
            for model, part in (("lstm", ["median", "width"]), ("mlp", ["median", "width"]))
        ],
        "spectrum": [rows("lstm", layer="1", rank=[1, 2], of=2, mean=[1.1, 0.5], low=0.4, high=1.2)],
        "attribution": [
            rows(model, part=part, horizon=1, feature=np.repeat(FEATURES, 12), lag=np.tile(LAGS, 3),
                 size=np.repeat([6.0, 3.0, 1.0], 12), net=0.0)
            for model, part in both
        ],
        "completeness": [rows("lstm", part="width", horizon=[1], difference=0.4, gap=1e-6)],
        "importance": [
            rows(model, feature=FEATURES, horizon=1, crps=0.01, permuted=0.0101, increase=[0.001, 0.02, 0.0],
                 deviation=0.003, repeats=2, windows=500, days=252)
            for model in ("lstm", "mlp")
        ],
        "knockout": [
            rows("lstm", over="rows", held=way, gate=GATES, horizon=1, difference=costs, low=-0.01, high=0.05,
                 p_value=p_value, days=252, symbols=2)
            for way in ("mean", "absent")
        ],
        "knockout_order": [
            rows("lstm", over="rows", held=way, horizon=1, gate=[ranked[0][1], ranked[1][1]],
                 next=[ranked[1][1], ranked[2][1]], difference=0.01, low=0.0, high=0.02, p_value=p_value, days=252)
            for way in ("mean", "absent")
        ],
        "notes": [rows("mlp", subject=["gates"], note=NOTHING)],
    }  # fmt: skip
    return {name: pd.concat(parts, ignore_index=True) for name, parts in every.items()}


def test_the_tables_are_those_of_an_inspection():
    assert set(tables()) == set(TABLES)


def test_every_network_has_its_figures_and_none_for_what_it_has_not():
    drawn = {part: [picture.name for picture in group] for part, group in pictures(tables()).items()}
    assert drawn == {
        "memory": ["memory-median", "memory-width", "spectrum"],
        "gates": ["gates-lstm", "gates-by-lag-lstm", "gates-by-horizon-lstm", "attention-lstm", "traces-lstm"],
        "attribution": ["importance-lstm", "attribution-lstm", "importance-mlp", "attribution-mlp"],
        "knockout": ["knockout-lstm"],
    }


@pytest.mark.parametrize(
    ("costs", "p_value", "words"),
    [
        (
            (0.03, 0.02, 0.01),
            0.01,
            "The order forget > input > output is what came out; of the two steps, 2 beyond",
        ),
        ((0.03, 0.01, 0.02), 0.5, "did not come out, but forget > output > input; of the two steps, none beyond"),
    ],
)
def test_the_order_of_the_gates_is_said_as_it_was_measured(costs, p_value, words):
    said = inside_sentences(tables(costs, p_value))["knockout"]
    assert len(said) == 2
    assert words in said[0]
    assert ("+3.00\u00a0%*" in said[0]) == (p_value < 0.05)
    assert "each gate held at its mean" in said[0]
    assert "each gate held as if it were absent" in said[1]


def test_gates_at_their_ends_are_drawn_where_there_are_any():
    """Open upwards, shut downwards, each gate by lag."""
    given = tables()
    assert not any("gates-at-ends" in picture.name for picture in pictures(given)["gates"])
    given["gate_lags"] = given["gate_lags"].assign(shut=0.02, open=0.3)
    (drawn,) = (picture for picture in pictures(given)["gates"] if picture.name == "gates-at-ends-lstm")
    lines = [line.get_ydata() for line in drawn.figure.axes[0].lines[: 2 * len(GATES)]]
    assert [set(line) for line in lines] == [{0.3}, {-0.02}] * len(GATES)


def test_memory_gates_and_features_in_words():
    said = inside_sentences(tables())
    assert said["memory"][1] == (
        "lstm, width of the band, 1 session ahead: half of the sensitivity lies in the newest 1.0 sessions (80 % of "
        "windows: 0.5 to 1.6), 99 % in the newest 7 of 12 asked."
    )
    assert said["gates"][0].startswith(
        "lstm: forget 0.72 on average (1.2\u00a0% below 0.1, 25.0\u00a0% above 0.9), input 0.50"
    )
    assert "rests on up 60\u00a0%, down 30\u00a0% and range 10\u00a0%" in said["attribution"][0]
    assert "Permuted, down costs most: CRPS +2.00\u00a0% ± 0.30\u00a0%" in said["attribution"][0]
    assert said["notes"] == [NOTHING]


def test_a_feature_that_costs_no_more_than_chance_is_not_said_to():
    given = tables()
    given["importance"]["deviation"] = 0.02
    assert "no feature costs more than permutations differ" in inside_sentences(given)["attribution"][0]


def test_one_permutation_is_not_said_to_be_certain():
    given = tables()
    given["importance"]["deviation"] = np.nan
    said = inside_sentences(given)["attribution"][0]
    assert said.endswith("Permuted once, down costs most: CRPS +2.00\u00a0%; how far permutations differ is not known.")


def test_a_forecast_that_depends_on_nothing_is_said_to():
    given = tables()
    given["half_lives"]["half_life"] = np.nan
    assert inside_sentences(given)["memory"][0].endswith("depends on nothing it reads.")


def test_the_page_holds_everything_and_nothing_from_elsewhere(tmp_path):
    page = write_inspection(tables(), "Inside <the> networks", "Looked at today.", tmp_path).read_text(encoding="utf-8")
    assert "Inside &lt;the&gt; networks" in page
    assert page.count("data:image/png;base64,") == 13 == len(list((tmp_path / "figures").glob("*.png")))
    assert "http" not in page.replace("Content-Security-Policy", "").replace("http-equiv", "")
    for words in ("mlp has no gates", "What each gate is worth", "on 252 days", "Below 0.1, %"):
        assert words in page


def test_a_shape_in_the_name_of_a_network_is_shown_and_names_no_file_with_a_colon(tmp_path, undrawn):
    shaped = {name: table.replace({"model": {"lstm": "lstm:many-to-many"}}) for name, table in tables().items()}
    page = write_inspection(shaped, "Inside", "Today.", tmp_path).read_text(encoding="utf-8")
    assert "lstm:many-to-many" in page
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert "gates-lstm.many-to-many.png" in drawn
    assert not any(":" in name for name in drawn)


def test_the_gates_of_a_decoder_are_said_by_horizon_and_left_out_where_nobody_looked(tmp_path, undrawn):
    found = tables()
    said = "lstm, its decoder: forget 0.25 at h = 1 and 0.75 at h = 5 (5.0 % below 0.1, 50.0 % above 0.9); input"
    assert any(line.replace("\xa0", " ").startswith(said) for line in inside_sentences(found)["gates"])
    assert "Gates of decoders" in write_inspection(found, "", "", tmp_path / "new").read_text(encoding="utf-8")
    of_an_earlier_release = {name: table for name, table in found.items() if name != "gate_horizons"}
    page = write_inspection(of_an_earlier_release, "", "", tmp_path / "old").read_text(encoding="utf-8")
    assert "Gates of decoders" not in page


def test_the_gates_of_a_decoder_are_ranked_among_themselves_and_an_earlier_release_held_none():
    """Forget costs 3 %, input 1 %, output 2 %; in the decoder three times as much, in another order."""
    found, others = tables(), tables(costs=(0.09, 0.06, 0.03))
    for name in ("knockout", "knockout_order"):
        found[name] = pd.concat([found[name], others[name].assign(over="horizons")], ignore_index=True)
    said = [line.replace("\xa0", " ") for line in inside_sentences(found)["knockout"]]
    assert said[0].startswith("lstm, 1 session ahead, each gate held at its mean: CRPS forget +3.00 %*, output")
    assert "did not come out, but forget > output > input; of the two steps, 2 beyond" in said[0]
    assert said[2].startswith("lstm, 1 session ahead, each gate of its decoder held at its mean: CRPS forget +9.00 %*")
    assert "is what came out; of the two steps, 2 beyond" in said[2]
    (picture,) = pictures(found)["knockout"]
    assert picture.caption.replace("\xa0", " ") == f"{said[0]} {said[2]}"
    labels = [label.get_text() for label in picture.figure.axes[0].get_yticklabels()]
    assert labels == [*GATES, *(f"decoder: {gate}" for gate in GATES)]
    earlier = {name: table.drop(columns="over", errors="ignore") for name, table in tables().items()}
    assert inside_sentences(earlier)["knockout"] == inside_sentences(tables())["knockout"]
    assert len(pictures(earlier)["knockout"]) == 1


def test_a_report_has_the_section_only_where_somebody_looked(findings, tmp_path, undrawn):
    assert arrange(findings, tmp_path)["seen"] is None
    seen = arrange(replace(findings, inspection=tables()), tmp_path)["seen"]
    assert len(seen["gates"]) == 5
    assert len(seen["half_lives"]) == 4


def test_what_was_seen_is_read_again_and_an_older_look_goes(findings, tmp_path):
    save_findings(findings, tmp_path)
    assert load_findings(tmp_path).inspection == {}
    save_inspection(tables(), tmp_path)
    found = load_findings(tmp_path).inspection
    assert found["gates"]["layer"].tolist() == ["1"] * 3
    assert inside_sentences(found) == inside_sentences(tables())
    save_findings(findings, tmp_path)
    assert load_findings(tmp_path).inspection == {}


@pytest.mark.parametrize(("name", "value"), [("windows", 1), ("gradients", 0), ("sessions", 1001), ("repeats", 0)])
def test_too_little_or_too_much_is_refused(name, value):
    with pytest.raises(SettingsError, match=rf"inspect --{name} must be \d+ to \d+, got {value}\.$"):
        Effort(**{name: value})

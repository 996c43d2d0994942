"""Many questions at once: each alone is Diebold-Mariano, and chance does not answer more often than it may."""

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import SPA
from scipy import stats

from app.evaluation.comparison import direction, holm, summary, superiority, symbol_tests
from app.evaluation.metrics import day_means, losses
from app.evaluation.significance import block_length, diebold_mariano
from tests.evaluation.planted import gaussian, overlapping
from tests.reference import holm_by_hand, pesaran_timmermann

# --- symbol by symbol


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert len(holm([])) == 0


def test_holm_agrees_with_a_loop():
    p = np.random.default_rng(0).beta(0.2, 1, size=200)
    np.testing.assert_allclose(holm(p), holm_by_hand(p.tolist()))


@pytest.fixture(scope="module")
def pair():
    """A network and GJR-GARCH at two horizons on 3 symbols: better on S0, the same on S1, worse on S2."""
    random, parts = np.random.default_rng(1), []
    for horizon in (1, 5):
        actual = overlapping(random, 3, 400, horizon)
        noise = random.normal(size=actual.shape) * np.sqrt(horizon)
        parts.append(gaussian("lstm", actual, np.sqrt(horizon), noise * np.array([[0.0], [0.5], [1.0]]), horizon))
        parts.append(gaussian("gjr-garch", actual, np.sqrt(horizon), -noise * np.array([[1.0], [0.5], [0.0]]), horizon))
    return pd.concat(parts, ignore_index=True)


def test_each_symbol_is_tested_by_itself(pair):
    found = symbol_tests(pair)
    assert found[["horizon", "symbol"]].to_numpy().tolist() == [[h, f"S{i}"] for h in (1, 5) for i in range(3)]
    row = found[(found["horizon"] == 5) & (found["symbol"] == "S2")].iloc[0]
    rows = losses(pair).query("horizon == 5 and symbol == 'S2'")
    one, other = (rows.loc[rows["model"] == name, "loss"].to_numpy() for name in ("lstm", "gjr-garch"))
    assert row["statistic"] == pytest.approx(diebold_mariano(one, other, 5).statistic)
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(row["statistic"]), df=400 / 5 - 1))
    assert row["ratio"] == pytest.approx(one.mean() / other.mean())
    assert row["days"] == 400


def test_every_question_is_a_family_of_its_own(pair):
    found = symbol_tests(pair)
    for _, family in found.groupby("horizon"):
        np.testing.assert_allclose(family["p_holm"], holm(family["p_value"]))


def test_a_summary_counts_what_is_certain_after_correction():
    question = {"metric": "crps", "model": "lstm", "reference": "gjr-garch", "horizon": 1}
    ratios, corrected = [0.8, 0.9, 0.97, 1.02, 1.1], [0.01, 0.049, 0.05, 0.3, 0.04]
    found = summary(pd.DataFrame({**question, "symbol": list("ABCDE"), "ratio": ratios, "p_holm": corrected}))
    assert found.to_dict("records") == [
        {**question, "symbols": 5, "ratio": pytest.approx(0.958), "lower": 0.6, "better": 2, "worse": 1}
    ]


def test_symbols_that_differ_are_told_from_one_that_does_not(pair):
    found = summary(symbol_tests(pair)).set_index("horizon")
    assert found.loc[1, ["symbols", "better", "worse"]].tolist() == [3, 1, 1]


def test_a_symbol_is_tested_on_the_days_that_both_models_have(pair):
    gone = (pair["model"] == "lstm") & (pair["symbol"] == "S0") & (pair["origin"] < pair["origin"].unique()[150])
    found = symbol_tests(pair[~gone]).query("horizon == 1").set_index("symbol")
    later = symbol_tests(pair[pair["origin"] >= pair["origin"].unique()[150]]).query("horizon == 1").set_index("symbol")
    assert found["days"].tolist() == [250, 400, 400]
    assert found.loc["S0", "statistic"] == later.loc["S0", "statistic"]


def test_a_symbol_with_too_few_days_or_no_difference_is_no_evidence(pair):
    few = pair[pair["origin"] < pair["origin"].unique()[39]]
    found = symbol_tests(few)
    assert found.loc[found["horizon"] == 5, "statistic"].isna().all()
    assert (found.loc[found["horizon"] == 5, "p_value"] == 1).all()
    twin = pair[pair["model"] == "gjr-garch"]
    same = symbol_tests(pd.concat([twin, twin.assign(model="lstm")]))
    assert (same["p_holm"] == 1).all()


def test_nothing_to_compare_is_an_empty_table(pair):
    alone = symbol_tests(pair[pair["model"] == "lstm"])
    assert len(alone) == 0
    assert len(summary(alone)) == 0
    assert len(symbol_tests(pair, references=("garch",))) == 0


@pytest.mark.parametrize(("horizon", "days"), [(1, 120), (5, 400), (20, 600)])
def test_no_difference_is_found_in_few_families_of_symbols(horizon, days):
    random = np.random.default_rng(horizon)
    actual = overlapping(random, 400, days, horizon)
    noise = [overlapping(random, 400, days, horizon) for _ in range(2)]
    names = ("lstm", "gjr-garch")
    table = [gaussian(name, actual, np.sqrt(horizon), c, horizon) for name, c in zip(names, noise, strict=True)]
    p = symbol_tests(pd.concat(table, ignore_index=True))["p_value"].to_numpy()
    assert 0.02 <= (p < 0.05).mean() <= 0.08
    families = np.array([(holm(family) < 0.05).any() for family in p.reshape(40, 10)])
    assert families.mean() <= 0.125


# --- the best of many


def models(random, means, days=250, horizon=1):
    """Forecasts of models whose medians are off by noise of the same size, times what `means` says."""
    actual = overlapping(random, 1, days, horizon)
    parts = []
    for name, size in means.items():
        noise = size * overlapping(random, 1, days, horizon)
        parts.append(gaussian(name, actual, np.sqrt(horizon), noise, horizon))
    return pd.concat(parts, ignore_index=True)


FIVE = dict.fromkeys(("random-walk", "ewma", "garch", "lstm", "gru"), 0.7)


def test_a_benchmark_that_a_rival_beats_is_found_and_the_best_is_not_beaten():
    found = superiority(models(np.random.default_rng(3), {**FIVE, "gru": 0.2})).set_index("benchmark")
    assert found.index.tolist() == ["random-walk", "gru"]
    assert found.loc["random-walk", "best"] == "gru"
    assert found.loc["random-walk", "p_value"] < 0.01
    assert found.loc["gru", "p_value"] == 1
    assert found["models"].tolist() == [4, 4]
    assert found.loc["random-walk", "ratio"] < 1 < found.loc["gru", "ratio"]


def test_fewer_than_four_models_and_too_few_days_are_passed_over():
    table = models(np.random.default_rng(3), FIVE)
    assert len(superiority(table[~table["model"].isin(["garch", "gru"])])) == 0
    assert len(superiority(models(np.random.default_rng(3), FIVE, days=39, horizon=5))) == 0


def test_models_that_say_the_same_beat_nobody():
    alone = models(np.random.default_rng(3), {"random-walk": 0.7})
    found = superiority(pd.concat([alone.assign(model=name) for name in FIVE]))
    assert found["p_value"].tolist() == [1.0]


def test_a_rival_that_might_have_won_counts_and_one_that_never_could_does_not():
    few = models(np.random.default_rng(8), {**FIVE, "gru": 0.6})
    alike = few[few["model"] == "random-walk"]
    plain, near, hopeless = (
        superiority(pd.concat([few, *more])).set_index("benchmark").loc["random-walk", "p_value"]
        for more in (
            [],
            [models_beside(alike, seed, 0.85) for seed in range(8)],
            [models_beside(alike, seed, 3.0) for seed in range(8)],
        )
    )
    assert hopeless == plain
    assert near > plain + 0.02


def models_beside(alike, seed, size):
    """Another model of the same actuals, whose median is off by noise of a size."""
    actual = alike["actual"].to_numpy()[None, :]
    return gaussian(f"other {seed}", actual, 1.0, size * np.random.default_rng(seed).normal(size=actual.shape))


def test_it_agrees_with_arch_where_forecasts_do_not_overlap():
    table = models(np.random.default_rng(8), {**FIVE, "gru": 0.6}, days=500)
    days = day_means(table)
    benchmark, rivals = days["random-walk"].to_numpy(), days.drop(columns="random-walk")
    test = SPA(benchmark, rivals.to_numpy(), block_size=block_length(500, 1), bootstrap="circular", seed=1)
    test.compute()
    found = superiority(table).set_index("benchmark").loc["random-walk", "p_value"]
    assert 0.001 < found < 0.4
    assert found == pytest.approx(test.pvalues["consistent"], abs=0.05)


@pytest.mark.parametrize(("horizon", "days"), [(1, 200), (5, 400)])
def test_size_when_no_rival_is_better(horizon, days):
    random = np.random.default_rng(horizon)
    p = []
    for _ in range(60):
        found = superiority(models(random, FIVE, days, horizon), metric="mae", draws=300)
        p.append(found.set_index("benchmark").loc["random-walk", "p_value"])
    assert (np.array(p) < 0.05).mean() <= 0.12


# --- direction


def test_it_is_pesaran_and_timmermann_for_one_symbol_one_session_ahead():
    random = np.random.default_rng(0)
    actual = random.normal(size=(1, 4000)) + 0.2
    centre = 0.05 * actual + random.normal(size=actual.shape) + 0.3
    found = direction(gaussian("lstm", actual, centre=centre)).iloc[0]
    said, was = (centre > 0).ravel(), (actual > 0).ravel()
    assert found["statistic"] == pytest.approx(pesaran_timmermann(said.tolist(), was.tolist()), rel=0.02)
    assert found["right"] == pytest.approx((said == was).mean())
    assert found["p_value"] == pytest.approx(stats.t.sf(found["statistic"], df=3999))


def test_a_median_that_is_always_up_knows_nothing_however_often_it_is_right():
    found = direction(gaussian("drift", np.random.default_rng(0).normal(size=(2, 300)) + 0.5, centre=0.1)).iloc[0]
    assert found["right"] == pytest.approx(found["expected"])
    assert found["right"] > 0.6
    assert np.isnan(found["statistic"])
    assert found["p_value"] == 1


def test_a_median_of_0_is_half_right_and_an_unchanged_price_is_left_out():
    actual = np.array([[1.0, -1.0, 2.0, 0.0] * 10])
    centre = np.array([[0.0, -1.0, 1.0, 1.0] * 10])
    found = direction(gaussian("lstm", actual, centre=centre)).iloc[0]
    assert found["days"] == 30
    assert found["right"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert found["expected"] == pytest.approx(0.5 * 2 / 3 + 0.5 / 3)


def test_a_contrary_median_has_a_high_p_value():
    actual = np.random.default_rng(2).normal(size=(1, 200))
    found = direction(gaussian("lstm", actual, centre=-actual)).iloc[0]
    assert found["statistic"] < -10
    assert found["p_value"] > 0.99


def test_copies_of_a_symbol_add_no_evidence():
    random = np.random.default_rng(5)
    actual = random.normal(size=(1, 200))
    centre = actual + 3 * random.normal(size=actual.shape)
    once, many = (
        direction(gaussian("lstm", np.tile(actual, (count, 1)), centre=np.tile(centre, (count, 1)))).iloc[0]
        for count in (1, 20)
    )
    assert many["statistic"] == pytest.approx(once["statistic"])
    assert (once["symbols"], many["symbols"]) == (1, 20)


@pytest.mark.parametrize(("horizon", "days"), [(1, 250), (5, 500)])
def test_a_median_without_knowledge_seldom_passes_and_one_with_some_does(horizon, days):
    random, shape = np.random.default_rng(horizon), (120, 3, days)
    market, own, noise = (overlapping(random, count, days, horizon) for count in (120, 360, 360))
    actual = (market[:, None] + 0.7 * own.reshape(shape) + 0.2 * horizon).reshape(360, days)
    for knowledge, low, high in ((0.0, 0.005, 0.10), (0.5, 0.9, 1.0)):
        table = gaussian("lstm", actual, centre=knowledge * actual + noise + 0.5, horizon=horizon)
        history = table["symbol"].str[1:].astype(int) // 3
        found = direction(table.assign(model="history " + history.astype("str")))
        assert found["symbols"].tolist() == [3] * 120
        assert low <= (found["p_value"] < 0.05).mean() <= high

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.errors import StorageError
from app.evaluation.calibration import CALIBRATION_COLUMNS
from app.evaluation.significance import Verdict
from app.report import gallery
from app.report.page import Findings, write_report
from app.report.tables import calibration_groups, flattened, newest_rows, questions, score_groups, skill_ratios
from app.report.wording import chance, count, day, hundredfold, listed, percent, price, summary

HOSTILE = "<script>alert(1)</script>\"'&$x^$/../../etc"


@pytest.fixture(scope="module")
def folder(findings, tmp_path_factory) -> Path:
    return write_report(findings, tmp_path_factory.mktemp("report")).parent


@pytest.fixture(scope="module")
def page(folder) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def small(findings) -> Findings:
    """One symbol, one horizon, one network and what it is compared with: a page with few figures."""
    fewer = only(findings, symbol=["NASDAQ"], horizon=[1], model=["random-walk", "gjr-garch", "lstm"])
    return replace(fewer, curves={})


@pytest.fixture(scope="module")
def words(small) -> Findings:
    """A page with no figure but that of the newest forecast, for what is said in words."""
    return replace(
        small,
        **{name: getattr(small, name).head(0) for name in ("forecasts", "scores", "coverage", "calibration", "pit")},
    )


def written(findings: Findings, folder: Path) -> str:
    return write_report(findings, folder).read_text(encoding="utf-8")


def without_images(page: str) -> str:
    return re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "data:", page)


def only(findings: Findings, **wanted) -> Findings:
    """The findings of the chosen models, symbols and horizons."""

    def part(table: pd.DataFrame) -> pd.DataFrame:
        for name, values in wanted.items():
            table = table[table[name].isin(values)] if name in table else table
        return table

    names = ("forecasts", "scores", "coverage", "calibration", "pit", "live", "prices", "issues")
    models = wanted.get("model", [verdict.model for verdict in findings.verdicts])
    references = wanted.get("model", [verdict.reference for verdict in findings.verdicts])
    horizons = wanted.get("horizon", [1, 5, 20])
    verdicts = [
        one
        for one in findings.verdicts
        if one.model in models and one.reference in references and one.horizon in horizons
    ]
    return replace(findings, verdicts=verdicts, **{name: part(getattr(findings, name)) for name in names})


class Outline(HTMLParser):
    """Tags that are open, and whether every one was closed in its order."""

    VOID = ("meta", "img", "br", "source", "link", "input")

    def __init__(self):
        super().__init__()
        self.open, self.faults, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append((tag, self.getpos()))


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(without_images(page))
    assert not found.faults
    assert not found.open
    return found


def test_the_verdict_comes_before_anything_else(findings, page):
    mine = [one for one in findings.verdicts if one.model == "lstm"]
    first_figure = page.index("<img")
    for verdict in mine:
        assert 0 < page.index(html.escape(verdict.sentence).replace("&#x27;", "&#39;")) < first_figure
    assert re.findall(r"<h2>(.*?)</h2>", page)[0] == "The verdict"
    assert page.index("The verdict") < page.index("<table")


def test_every_answer_is_marked_in_words(findings, page):
    marks = re.findall(r'<span class="mark (yes|no)">(Yes|No)</span><strong>(\d+) session', page)
    mine = [one for one in findings.verdicts if one.model == "lstm"]
    assert len(marks) == len(mine) == 9
    for metric, reference, part in (("crps", "random-walk", 0), ("crps", "gjr-garch", 3), ("mae", "random-walk", 6)):
        for kind, word, horizon in marks[part : part + 3]:
            wanted = (metric, reference, int(horizon))
            verdict = next(one for one in mine if (one.metric, one.reference, one.horizon) == wanted)
            assert (kind, word) == (("yes", "Yes") if verdict.better else ("no", "No"))


def test_the_verdicts_of_other_models_are_folded_away(findings, page):
    folded = page[page.index("<details>") : page.index("</details>")]
    others = [one for one in findings.verdicts if one.model != "lstm"]
    assert folded.count('class="mark') == len(others) > 0


def test_sections_stand_in_their_order(page):
    wanted = [
        "The verdict",
        "Skill by horizon",
        "Coverage promised and reached",
        "Forecasts against actuals",
        "The newest forecast",
        "Scores",
        "Training",
        "Data quality",
        "Settings",
        "How to read this",
    ]
    assert re.findall(r"<h2>(.*?)</h2>", page) == wanted
    assert "This is not investment advice." in page


def test_the_page_says_what_was_forecast_and_when(page):
    text = re.sub(r"<[^>]+>", "", without_images(page))
    assert "S&amp;P 500 and NASDAQ, 1, 5 and 20 sessions ahead of the close of 31 December 2018." in text
    assert "Made 1 January 2019, 06:30 UTC." in text


def test_the_page_stands_alone(page):
    found = outline(page)
    assert "http://" not in page
    assert "https://" not in page
    assert not {"script", "link", "iframe", "object", "form", "base"} & {tag for tag, _ in found.tags}
    assert not [attrs for _, attrs in found.tags if any(name.startswith("on") for name in attrs)]
    policy = next(attrs for tag, attrs in found.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "url(" not in page
    assert "@import" not in page


def test_every_figure_can_be_read_aloud_and_is_also_a_file(folder, page):
    images = [attrs for tag, attrs in outline(page).tags if tag == "img"]
    assert len(images) == 1 + 3 + 3 + 3 + 2 + 3
    assert all(len(image["alt"]) > 30 for image in images)
    files = sorted(path.name for path in (folder / "figures").iterdir())
    assert len(files) == len(images) + 1
    assert all((folder / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in files)


def test_two_symbols_fit_into_three_megabytes_and_twelve_into_eight(folder):
    assert (folder / "report.html").stat().st_size < 3e6
    figures_of_twelve = 2 + 3 + 3 + 7 + 12 + 3
    largest = max(path.stat().st_size for path in (folder / "figures").iterdir())
    assert figures_of_twelve * largest * 4 / 3 < 8e6


def test_twelve_symbols_have_charts_and_a_thirteenth_is_only_in_the_table(small):
    names = [f"S{number}" for number in range(13)]
    many = {
        name: pd.concat([getattr(small, name).assign(symbol=symbol) for symbol in names], ignore_index=True)
        for name in ("forecasts", "live", "prices")
    }
    assert len(list(gallery.newest_pictures(many["live"], many["prices"]))) == 12
    assert len(list(gallery.actual_pictures(many["forecasts"], many["prices"]))) == 6
    rows = newest_rows(many["live"], many["prices"])
    assert [entry["symbol"] for entry in rows if entry["model"] == "lstm"] == names


def test_a_hostile_name_is_inert_everywhere(small, findings, tmp_path):
    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(symbol=table["symbol"].where(table["symbol"] != "NASDAQ", HOSTILE))

    tables = {name: renamed(getattr(small, name)) for name in ("forecasts", "live", "prices", "issues")}
    tables["issues"] = tables["issues"].assign(detail=HOSTILE, rule=HOSTILE)
    texts = {"title": HOSTILE, "stale": HOSTILE, "settings": {HOSTILE: {"a": HOSTILE}}, "versions": {HOSTILE: HOSTILE}}
    curves = {HOSTILE: findings.curves["lstm"]}
    page = written(replace(small, curves=curves, **tables, **texts), tmp_path / "out")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not {"script", "b"} & {tag for tag, _ in outline(page).tags}
    made = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")]
    assert all(re.fullmatch(r"out/(report\.html|figures/[a-z0-9-]+\.png)", name) for name in made)


def test_no_path_of_the_users_home_and_no_secret_is_shown(words, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/anna")
    settings = {
        "home": Path("/home/anna/stock"),
        "prices": {"path": "/srv/private/prices.csv", "windows": r"C:\Users\Anna\p.csv", "token": "hunter2"},
        "note": "read /home/anna/x and /home/annabel",
    }
    shown = replace(words, settings=settings, title="by /home/anna/stock", versions={"app": "/home/anna/app"})
    page = without_images(written(shown, tmp_path))
    assert not re.search(r"/home/anna\b", page)
    for trace in ("/srv", "private", "Users", "hunter2"):
        assert trace not in page
    for kept in ("~/stock", "…/prices.csv", "…/p.csv", "(hidden)", "read ~/x and /home/annabel"):
        assert kept in page


def test_a_stale_forecast_says_so_at_the_top(words, page, tmp_path):
    stale = written(replace(words, stale="The newest price is 9 sessions old."), tmp_path)
    assert stale.index("The newest price is 9 sessions old.") < stale.index("The verdict")
    assert "<strong>Stale.</strong>" not in page


def test_the_page_is_about_the_model_that_forecasts_now_and_says_what_was_tested(small, tmp_path):
    """The record begins with a network that has given way to another."""
    newer = small.forecasts[small.forecasts["model"] == "lstm"].assign(model="gru")
    live = small.live[small.live["model"] == "lstm"].assign(model="gru")
    forecasts = pd.concat([small.forecasts, newer], ignore_index=True)
    page = written(replace(small, forecasts=forecasts, live=live, tested="live record"), tmp_path)
    assert "Each forecast of gru was made" in page
    assert "The last sessions of the live record." in page
    assert "all models on the same rows" not in page


SMALLER = {
    "one symbol and one horizon": {"model": ["random-walk", "gjr-garch", "lstm"]},
    "no gjr-garch": {"model": ["random-walk", "ewma", "lstm"]},
    "no random walk": {"model": ["gjr-garch", "lstm"]},
    "no reference": {"model": ["lstm", "gru"]},
    "no network": {"model": ["random-walk", "gjr-garch"]},
    "one model": {"model": ["random-walk"]},
}


@pytest.mark.parametrize("wanted", SMALLER.values(), ids=SMALLER.keys())
def test_a_smaller_run_has_a_whole_page(findings, tmp_path, wanted):
    page = written(only(replace(findings, curves={}), symbol=["NASDAQ"], horizon=[1], **wanted), tmp_path)
    outline(page)
    assert re.findall(r"<h2>(.*?)</h2>", page)[0] == "The verdict"
    assert "nan" not in re.sub(r"<style>.*?</style>", "", without_images(page), flags=re.DOTALL).lower().split()


def test_without_gjr_garch_skill_is_relative_to_the_random_walk(findings, tmp_path):
    fewer = only(findings, model=["random-walk", "ewma", "lstm"], symbol=["NASDAQ"], horizon=[1])
    page = written(replace(fewer, curves={}), tmp_path)
    assert "CRPS relative to random-walk by horizon" in page
    assert "GJR-GARCH’s?" not in page


def test_without_curves_or_issues_nothing_empty_is_shown(small, tmp_path):
    page = written(replace(small, curves={}, issues=small.issues.head(0)), tmp_path)
    outline(page)
    assert "<h2>Training</h2>" not in page
    assert "No rule found anything wrong with the prices." in page


def test_a_live_forecast_without_a_back_test_says_that_nothing_backs_it(small, tmp_path):
    empty = {name: getattr(small, name).head(0) for name in ("forecasts", "scores", "coverage", "calibration", "pit")}
    page = written(replace(small, verdicts=[], curves={}, **empty), tmp_path)
    outline(page)
    assert "nothing here says whether the forecasts" in page
    assert re.findall(r"<h2>(.*?)</h2>", page)[:2] == ["The verdict", "The newest forecast"]


def test_a_back_test_without_a_live_forecast_has_a_page(small, tmp_path):
    page = written(replace(small, live=small.live.head(0)), tmp_path)
    outline(page)
    assert "<h2>The newest forecast</h2>" not in page


def test_a_run_that_found_nothing_has_a_page(findings, tmp_path):
    names = ("forecasts", "scores", "coverage", "calibration", "pit", "live", "prices", "issues")
    empty = {name: getattr(findings, name).head(0) for name in names}
    page = written(replace(findings, verdicts=[], curves={}, settings={}, versions={}, **empty), tmp_path)
    outline(page)
    assert "Nothing was forecast." in page


def test_forecasts_in_single_precision_are_drawn(small, tmp_path):
    numbers = [name for name in small.live.columns if name.startswith("q0.")]
    tables = {name: getattr(small, name).astype(dict.fromkeys(numbers, "float32")) for name in ("forecasts", "live")}
    outline(written(replace(small, **tables), tmp_path))


def test_a_symbol_that_stopped_earlier_is_marked(findings):
    late = findings.live["symbol"] == "NASDAQ"
    live = findings.live.assign(origin=findings.live["origin"].where(~late, pd.Timestamp("2018-12-20")))
    assert {(entry["symbol"], entry["older"]) for entry in newest_rows(live, findings.prices)} == {
        ("S&P 500", False),
        ("NASDAQ", True),
    }


def test_a_symbol_that_stopped_earlier_says_when_it_was_last_known(words, tmp_path):
    other = words.live.assign(symbol="OLD", origin=pd.Timestamp("2018-12-20"))
    page = written(replace(words, live=pd.concat([words.live, other], ignore_index=True)), tmp_path)
    assert page.count("known to Thu 20 Dec 2018") == words.live["model"].nunique()


def test_the_list_of_issues_is_capped_and_counted(words, findings, tmp_path):
    many = pd.concat([findings.issues.head(1)] * 1234, ignore_index=True)
    page = written(replace(words, issues=many), tmp_path)
    assert page.count("no row for a session of XNYS") == 100
    assert "1,134 more." in page
    assert "<td>1,234</td>" in page


def test_writing_leaves_the_findings_as_they_were(small, tmp_path):
    names = ("forecasts", "scores", "coverage", "calibration", "pit", "live", "prices", "issues")
    before = {name: getattr(small, name).copy() for name in names}
    write_report(small, tmp_path)
    for name in names:
        pd.testing.assert_frame_equal(getattr(small, name), before[name])


def test_the_same_findings_give_the_same_page(words, tmp_path):
    assert written(words, tmp_path / "one") == written(words, tmp_path / "two")


def test_a_folder_that_cannot_be_written_is_one_clear_line(words, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_report(words, tmp_path / "taken")


def scores(**columns) -> pd.DataFrame:
    """Scores of three models at one horizon; every column not given is the same for all."""
    table = pd.DataFrame({"model": ["lstm", "gjr-garch", "random-walk"], "horizon": 1, "days": 9, "symbols": 1, "n": 9})
    names = ("crps", "pinball", "mae", "rmse", "direction", "coverage_50", "coverage_80", "coverage_90", "width_80")
    return table.assign(**{name: columns.get(name, 1.0) for name in names})


def test_the_naive_model_and_garch_stand_first_beside_every_number():
    group = score_groups(scores(crps=[0.9, 1.0, 1.2]))[0]
    assert [row["model"] for row in group["rows"]] == ["random-walk", "gjr-garch", "lstm"]
    assert [row["reference"] for row in group["rows"]] == [True, True, False]
    assert group["relative"]["random-walk"] == pytest.approx({"random-walk": 1.0, "gjr-garch": 1 / 1.2, "lstm": 0.75})
    assert group["relative"]["gjr-garch"]["lstm"] == pytest.approx(0.9)


def test_the_best_of_a_column_is_lowest_highest_or_nearest_to_its_promise():
    group = score_groups(
        scores(crps=[0.9, 1.0, 1.2], direction=[0.5, 0.6, 0.6], coverage_90=[0.97, 0.85, 0.91], width_80=[1, 2, 3])
    )[0]
    assert group["best"]["crps"] == {"lstm"}
    assert group["best"]["direction"] == {"gjr-garch", "random-walk"}
    assert group["best"]["coverage_90"] == {"random-walk"}
    assert group["best"]["width_80"] == set()


def test_coverage_by_volatility_stands_beside_that_of_the_naive_model_and_marks_broken_promises():
    rows = [
        (model, 5, volatility, nominal, nominal - off, 99, nominal - off - 0.02, nominal - off + 0.02)
        for model, off in (("lstm", 0.01), ("gru", 0.0), ("random-walk", 0.05))
        for volatility in ("all", "low")
        for nominal in (0.5, 0.8, 0.9)
    ]
    group = calibration_groups(pd.DataFrame(rows, columns=list(CALIBRATION_COLUMNS)), "lstm")[0]
    assert (group["horizon"], group["beside"]) == (5, ["random-walk"])
    assert [row["volatility"] for row in group["rows"]] == ["all", "low"]
    assert [cell["reached"] for cell in group["rows"][1]["cells"]] == pytest.approx([0.49, 0.79, 0.89])
    assert [cell["off"] for cell in group["rows"][1]["cells"]] == [False] * 3
    assert group["rows"][1]["others"][0]["off"]
    assert calibration_groups(pd.DataFrame(columns=list(CALIBRATION_COLUMNS)), None) == []


def test_coverage_by_volatility_and_the_histogram_are_on_the_page(page):
    assert page.index("In calm and in stormy markets") < page.index("Where in their forecasts actuals fell")
    assert (
        re.findall(r'<th scope="row" class="name">(all|low|middle|high)</th>', page)
        == ["all", "low", "middle", "high"] * 3
    )
    assert page.count("5 % belong in each.") == 2 * 3


def test_an_earlier_run_without_a_histogram_has_a_page(findings, small, tmp_path):
    page = written(replace(small, calibration=findings.calibration.head(0), pit=findings.pit.head(0)), tmp_path)
    outline(page)
    assert "In calm and in stormy markets" not in page
    assert "Where in their forecasts" not in page


def verdict(horizon: int = 1, **changes) -> Verdict:
    plain = {"model": "lstm", "reference": "gjr-garch", "horizon": horizon, "metric": "crps", "difference": -0.02}
    numbers = {"low": -0.03, "high": -0.01, "statistic": -3.0, "p_value": 0.01, "days": 500, "symbols": 2}
    return Verdict(**{**plain, **numbers, **changes})


def test_skill_takes_ratio_and_interval_from_the_verdict_and_the_rest_from_the_scores():
    ratios = skill_ratios(scores(crps=[0.9, 1.0, 1.2]), [verdict()], "gjr-garch").set_index("model")
    assert ratios.loc["lstm", ["ratio", "low", "high"]].tolist() == pytest.approx([0.98, 0.97, 0.99])
    assert ratios.loc["random-walk", "ratio"] == pytest.approx(1.2)
    assert np.isnan(ratios.loc["random-walk", "low"])


def test_a_verdict_without_a_difference_leaves_the_ratio_of_the_scores():
    nothing = verdict(difference=np.nan, low=np.nan, high=np.nan, statistic=np.nan, p_value=1.0, days=0)
    ratios = skill_ratios(scores(crps=[0.9, 1.0, 1.2]), [nothing], "gjr-garch").set_index("model")
    assert ratios.loc["lstm", "ratio"] == pytest.approx(0.9)


def test_the_summary_says_where_yes_where_no_and_where_worse():
    found = [verdict(1), verdict(5, p_value=0.4), verdict(20, difference=0.02, statistic=3.0)]
    lines = summary(questions(found, "lstm"), "lstm")
    assert lines == ["lstm’s odds beat those of GJR-GARCH at 1 session ahead; they are worse at 20 sessions ahead."]
    median = [verdict(h, reference="random-walk", metric="mae", p_value=0.4) for h in (1, 5)]
    assert summary(questions(median, "lstm"), "lstm") == ["lstm’s median beats the last close at no horizon."]
    assert summary(questions([verdict(1), verdict(5)], "lstm"), "lstm")[0].endswith("GJR-GARCH at every horizon.")


def test_the_summary_tells_where_a_median_wins_by_a_drift():
    median = {"reference": "random-walk", "metric": "mae"}
    one, other = verdict(1, **median, up=0.6), verdict(5, **median, up=1.0)
    for found, said in (
        ([other], "at 5 sessions ahead,"),
        ([one, other], "at every horizon, at 5 sessions ahead"),
    ):
        line = summary(questions(found, "lstm"), "lstm")[0]
        assert line == f"lstm’s median beats the last close {said} by a drift in one direction."


def test_the_summary_tells_where_the_interval_leaves_room_for_no_difference():
    clear, border = verdict(1), verdict(5, p_value=0.045, high=0.001)
    for found, said in (
        ([border], "at 5 sessions ahead, only just"),
        ([clear, border], "at every horizon, at 5 sessions ahead only just"),
    ):
        assert summary(questions(found, "lstm"), "lstm") == [f"lstm’s odds beat those of GJR-GARCH {said}."]
    median = {"reference": "random-walk", "metric": "mae"}
    lucky = verdict(5, **median, p_value=0.045, high=0.001, up=1.0)
    line = summary(questions([lucky], "lstm"), "lstm")[0]
    assert line == "lstm’s median beats the last close at 5 sessions ahead, only just, by a drift in one direction."


def test_settings_read_in_words():
    nested = {"a": {"b": None, "c": True, "d": [1, 2], "e": ()}, "f": 3e-3, "g": "yahoo", "h": "10/5"}
    wanted = {"a.b": "–", "a.c": "yes", "a.d": "1, 2", "a.e": "–", "f": "0.003", "g": "yahoo", "h": "10/5"}
    assert dict(flattened(nested)) == wanted


def test_numbers_read_well():
    assert percent(-0.01234) == "−1.23\u00a0%"
    assert percent(-0.00001) == "0.00\u00a0%"
    assert hundredfold(0.0123, 1, signed=True) == "+1.2"
    assert hundredfold(float("nan")) == "–"
    assert [price(1234567.8), price(0.01234), price(float("nan"))] == ["1,234,567.80", "0.0123", "–"]
    assert count(12345) == "12,345"
    assert [chance(1.0 - 0.95), chance(0.05), chance(0.516), chance(0.95)] == ["≤ 5 %", "≤ 5 %", "52 %", "≥ 95 %"]
    assert day("2019-01-02") == "2 January 2019"
    assert [listed(["a"]), listed(["a", "b", "c"]), listed(list("abcdefgh"), 3)] == [
        "a",
        "a, b and c",
        "a, b and 6 more",
    ]

"""What a year of Yahoo's faults leaves in the ledger, through the real yfinance client over HTTPS.

Each test tells the story of one symbol day by day: what Yahoo serves that evening, and what is stored.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.prices.store import Ledger
from tests.fake_yahoo import FakeYahoo, Series
from tests.prices.conftest import Client
from tests.prices.test_yahoo import bars

DAYS = ("2024-06-10", "2024-06-11", "2024-06-12", "2024-06-13", "2024-06-14")
"""Monday to Friday; a split comes on the Tuesday."""

BEFORE, SPLIT_DAY = "2024-06-10", "2024-06-11"
PRICES = ["open", "high", "low", "close"]


class Story:
    """One symbol, Yahoo and a ledger, evening after evening."""

    def __init__(self, yahoo: FakeYahoo, client: Client, ledger: Ledger, symbol: str):
        self.yahoo, self.client, self.ledger, self.symbol = yahoo, client, ledger, symbol

    def evening(self, day: str, served: pd.DataFrame, hour: str = "22:00") -> dict:
        """Yahoo serves the rows up to a day; what the update says of the symbol."""
        self.yahoo.series[self.symbol] = Series(served[served["date"] <= day].reset_index(drop=True))
        answer = self.client.update(self.ledger.path, [self.symbol], f"{day}T{hour}")
        return answer["results"][0]

    def stored(self) -> pd.DataFrame:
        return self.ledger.prices("yahoo")

    def assert_stored(self, truth: pd.DataFrame, until: str) -> None:
        """What is stored is the truth up to a day, to the precision that Yahoo keeps."""
        wanted, stored = truth[truth["date"] <= until], self.stored()
        assert stored["date"].tolist() == wanted["date"].tolist()
        for name in (*PRICES, "split", "dividend"):
            np.testing.assert_allclose(stored[name], wanted[name], rtol=1e-5, err_msg=name)
        self.ledger.verify()


@pytest.fixture
def story(yahoo, client, tmp_path, request) -> Story:
    symbol = f"S{abs(hash(request.node.name)) % 10**8}"
    return Story(yahoo, client, Ledger(tmp_path / "ledger.sqlite"), symbol)


def test_a_split_that_is_told_in_time_is_stored_at_once(story):
    truth = bars(split={SPLIT_DAY: 4.0}, dividend={"2024-06-06": 0.5})
    story.evening(BEFORE, truth)
    result = story.evening(SPLIT_DAY, truth)
    assert (result["outcome"], result["new"], result["revised"], result["held"]) == ("ok", 1, 0, 0)
    story.assert_stored(truth, SPLIT_DAY)


def test_a_split_one_day_late_is_held_for_that_day(story):
    """On the day the price falls to a quarter and no split is told; on the next it is."""
    truth = bars(split={SPLIT_DAY: 4.0})
    late = truth.assign(split=1.0)
    story.evening(BEFORE, truth)
    first = story.evening(SPLIT_DAY, late)
    assert (first["new"], first["held"]) == (0, 1)
    story.assert_stored(truth, BEFORE)
    (row,) = story.ledger.quarantine("yahoo").itertuples()
    assert (row.rule, f"{row.date:%Y-%m-%d}") == ("split_like", SPLIT_DAY)
    assert "and no split" in row.reason

    second = story.evening(DAYS[2], truth)
    assert (second["new"], second["held"], second["released"]) == (2, 0, 0)
    story.assert_stored(truth, DAYS[2])
    assert len(story.ledger.quarantine("yahoo")) == 0


def test_a_split_whose_prices_are_served_in_old_shares_for_a_day_corrects_itself(story):
    """On the day nothing seems to have happened; on the next the split is told, and its day rebased."""
    truth = bars(split={SPLIT_DAY: 4.0})
    late = bars()
    story.evening(BEFORE, truth)
    assert story.evening(SPLIT_DAY, late)["held"] == 0
    second = story.evening(DAYS[2], truth)
    assert (second["new"], second["revised"], second["held"]) == (1, 1, 0)
    story.assert_stored(truth, DAYS[2])
    assert story.ledger.prices("yahoo", as_of=SPLIT_DAY)["split"].eq(1.0).all()


def test_a_history_rebased_before_its_split_is_told_is_recognised_as_such(story):
    """Every earlier close is told at a quarter, and no split: the ten known sessions are not ten revisions."""
    truth = bars(split={SPLIT_DAY: 4.0})
    rebased = truth.assign(split=1.0)
    rebased.loc[rebased["date"] < SPLIT_DAY, PRICES] /= 4
    story.evening(BEFORE, truth)
    first = story.evening(SPLIT_DAY, rebased)
    assert (first["new"], first["revised"], first["held"]) == (0, 0, 11)
    rules = story.ledger.quarantine("yahoo")
    assert set(rules["rule"]) == {"rescaled"}
    assert "10 known sessions are told at 0.25 times" in rules["reason"][0]
    story.assert_stored(truth, BEFORE)
    second = story.evening(DAYS[2], truth)
    assert (second["new"], second["revised"], second["held"]) == (2, 0, 0)
    story.assert_stored(truth, DAYS[2])
    assert len(story.ledger.quarantine("yahoo")) == 0


def test_a_split_told_twice_is_held_until_it_is_told_once(story):
    """On the day after the split, it is listed for that day as well."""
    truth = bars(split={SPLIT_DAY: 4.0})
    doubled = truth.copy()
    doubled.loc[doubled["date"] == DAYS[2], "split"] = 4.0
    story.evening(SPLIT_DAY, truth)
    first = story.evening(DAYS[2], doubled)
    assert (first["new"], first["held"]) == (0, 1)
    assert story.ledger.quarantine("yahoo")["rule"].tolist() == ["split_misplaced"]
    story.assert_stored(truth, SPLIT_DAY)
    assert story.evening(DAYS[3], truth)["new"] == 2
    story.assert_stored(truth, DAYS[3])


def test_a_split_listed_twice_but_applied_once_is_held_until_it_is_told_once(story):
    """Then all earlier closes come back four times too high, besides."""
    truth = bars(split={SPLIT_DAY: 4.0})
    story.evening(SPLIT_DAY, truth)
    once = Series(truth[truth["date"] <= DAYS[2]].reset_index(drop=True))
    once.splits[-1] = 4.0
    story.yahoo.series[story.symbol] = once
    result = story.client.update(story.ledger.path, [story.symbol], f"{DAYS[2]}T22:00")["results"][0]
    assert (result["new"], result["revised"]) == (0, 0)
    story.assert_stored(truth, SPLIT_DAY)
    assert story.evening(DAYS[3], truth)["new"] == 2
    story.assert_stored(truth, DAYS[3])


def test_a_split_of_double_size_is_held_until_it_is_right(story):
    truth = bars(split={SPLIT_DAY: 4.0})
    doubled = truth.copy()
    doubled.loc[doubled["date"] == SPLIT_DAY, "split"] = 16.0
    story.evening(BEFORE, truth)
    assert story.evening(SPLIT_DAY, doubled)["held"] == 1
    story.assert_stored(truth, BEFORE)
    assert story.evening(DAYS[2], truth)["new"] == 2
    story.assert_stored(truth, DAYS[2])


def test_a_split_told_before_the_prices_are_rebased_does_not_touch_what_is_known(story):
    """The split is listed, the earlier closes are not divided: told so, they were four times as high."""
    truth = bars(split={SPLIT_DAY: 4.0})
    story.evening(BEFORE, truth)
    served = Series(truth[truth["date"] <= SPLIT_DAY].reset_index(drop=True))
    for name in PRICES:
        served.prices[name][:-1] *= 4
    story.yahoo.series[story.symbol] = served
    result = story.client.update(story.ledger.path, [story.symbol], f"{SPLIT_DAY}T22:00")["results"][0]
    assert (result["new"], result["revised"], result["held"]) == (1, 0, 10)
    story.assert_stored(truth, SPLIT_DAY)
    assert story.evening(DAYS[2], truth)["held"] == 0
    story.assert_stored(truth, DAYS[2])
    assert len(story.ledger.quarantine("yahoo")) == 0


def in_pence(table: pd.DataFrame, since: str) -> pd.DataFrame:
    switched = table.copy()
    switched.loc[switched["date"] >= since, PRICES] *= 100
    return switched


def test_a_unit_switch_at_the_end_is_held_and_never_stored_if_it_is_taken_back(story):
    truth = bars()
    story.evening(BEFORE, truth)
    assert story.evening(SPLIT_DAY, in_pence(truth, SPLIT_DAY))["held"] == 1
    assert story.ledger.quarantine("yahoo")["rule"].tolist() == ["unit_switched"]
    assert story.evening(DAYS[2], truth)["new"] == 2
    story.assert_stored(truth, DAYS[2])


def test_a_unit_switch_that_a_later_fetch_tells_again_is_stored_and_mended_once_it_is_taken_back(story):
    truth = bars()
    switched = in_pence(truth, SPLIT_DAY)
    story.evening(BEFORE, truth)
    story.evening(SPLIT_DAY, switched)
    again = story.evening(SPLIT_DAY, switched, hour="23:30")  # an hour and a half later proves nothing
    assert (again["new"], again["held"], again["released"]) == (0, 1, 0)
    assert len(story.ledger.quarantine("yahoo")) == 1
    agreed = story.evening(DAYS[2], switched)
    assert (agreed["new"], agreed["held"], agreed["released"]) == (2, 0, 1)
    story.assert_stored(switched, DAYS[2])
    mended = story.evening(DAYS[3], truth)
    assert (mended["new"], mended["revised"]) == (1, 2)
    story.assert_stored(truth, DAYS[3])
    assert len(story.ledger.quarantine("yahoo")) == 0


def test_a_switch_of_the_whole_history_that_stays_is_stored_whole(story):
    """Two fetches agree on the newest sessions; then all the others are asked for, too."""
    truth = bars()
    pence = in_pence(truth, "2000-01-01")
    story.evening(BEFORE, truth)
    assert (story.evening(SPLIT_DAY, pence)["held"], story.evening(SPLIT_DAY, pence, hour="23:00")["held"]) == (11, 11)
    story.assert_stored(truth, BEFORE)
    agreed = story.evening(DAYS[2], pence)
    known = int((truth["date"] <= BEFORE).sum())
    assert (agreed["new"], agreed["revised"], agreed["released"]) == (2, known, 11)
    story.assert_stored(pence, DAYS[2])
    assert len(story.ledger.quarantine("yahoo")) == 0
    assert len(story.ledger.prices("yahoo", as_of=SPLIT_DAY)) == known


def test_a_single_row_in_another_unit_among_known_ones_is_not_believed(story):
    truth = bars()
    story.evening(BEFORE, truth)
    wrong = truth.copy()
    wrong.loc[wrong["date"] == "2024-06-05", PRICES] *= 100
    result = story.evening(SPLIT_DAY, wrong)
    assert (result["new"], result["revised"], result["held"]) == (1, 0, 1)
    story.assert_stored(truth, SPLIT_DAY)


@pytest.mark.parametrize("factor", [1.09, 0.997])
def test_another_constant_factor_on_a_block_is_not_ten_revisions(story, factor):
    """A currency converted, say: too small for a jump, but no ten closes change alike."""
    truth = bars()
    story.evening(BEFORE, truth)
    converted = truth.copy()
    converted.loc[converted["date"] >= "2024-05-20", PRICES] *= factor
    result = story.evening(SPLIT_DAY, converted)
    assert (result["new"], result["revised"], result["held"]) == (0, 0, 11)
    story.assert_stored(truth, BEFORE)
    assert story.evening(DAYS[2], truth)["new"] == 2
    story.assert_stored(truth, DAYS[2])


def test_missing_sessions_that_are_filled_later_are_stored(story):
    truth = bars()
    story.evening(BEFORE, truth)
    holes = truth[~truth["date"].isin(pd.to_datetime(DAYS[1:3]))]
    assert story.evening(DAYS[2], holes)["outcome"] == "stale"
    assert story.evening(DAYS[3], holes)["new"] == 1
    filled = story.evening(DAYS[4], truth)
    assert (filled["new"], filled["revised"], filled["outcome"]) == (3, 0, "ok")
    story.assert_stored(truth, DAYS[4])


def test_a_missing_session_with_a_split_is_filled_later(story):
    """Its row is empty at first, and the split counts at the next price all the same."""
    truth = bars(split={SPLIT_DAY: 4.0})
    holes = truth.copy()
    holes.loc[holes["date"] == SPLIT_DAY, [*PRICES, "volume"]] = np.nan
    story.evening(BEFORE, truth)
    story.evening(DAYS[2], holes)
    assert story.stored()["split"].iloc[-1] == 4.0
    assert f"{story.stored()['date'].iloc[-1]:%Y-%m-%d}" == DAYS[2]
    story.evening(DAYS[3], truth)
    story.assert_stored(truth, DAYS[3])


def test_a_correction_of_a_close_and_a_crash_are_stored_at_once(story):
    truth = bars()
    story.evening(BEFORE, truth)
    corrected = truth.copy()
    corrected.loc[corrected["date"] == "2024-06-05", "close"] *= 1.004
    corrected.loc[corrected["date"] >= SPLIT_DAY, PRICES] *= 0.7
    corrected.loc[corrected["date"] == SPLIT_DAY, "high"] /= 0.8  # it opened high and fell in turmoil
    result = story.evening(SPLIT_DAY, corrected)
    assert (result["new"], result["revised"], result["held"]) == (1, 1, 0)
    story.assert_stored(corrected, SPLIT_DAY)


def test_yahoos_own_noise_is_no_revision(story):
    truth = bars(dividend={"2024-06-07": 0.3})
    story.evening(BEFORE, truth)
    noisy = truth.copy()
    noisy[PRICES] *= 1 + 1e-6 * np.random.default_rng(3).normal(size=(len(truth), 1))
    result = story.evening(SPLIT_DAY, noisy)
    assert (result["new"], result["revised"], result["held"]) == (1, 0, 0)


def test_the_last_ten_sessions_are_fetched_again_and_unclosed_ones_never_stored(story):
    truth = bars()
    story.evening(BEFORE, truth)
    story.yahoo.reset()
    story.evening(SPLIT_DAY, truth)
    (asked,) = [line for line in story.yahoo.log if "period1" in line]
    start = pd.Timestamp(int(asked.split("period1=")[1].split("&")[0]), unit="s")
    assert f"{start:%Y-%m-%d}" == "2024-05-28"
    midday = story.evening(DAYS[2], truth, hour="16:00")
    assert (midday["outcome"], midday["new"]) == ("no new session", 0)
    assert Path(story.ledger.path).exists()

"""The alarms of a live record: silent while it is as promised, and one sentence when it is not."""

import numpy as np
import pandas as pd
import pytest

from app.evaluation.drift import Alarm, alarms
from benchmarks.gate import ALL, Market, record_of


def record(seed: int = 0, sessions: int = 250, horizons: tuple = ALL, **asked) -> pd.DataFrame:
    market = Market(seed, sessions, horizons, plain=True)
    return pd.concat([market.table("live", **asked), market.table("random-walk", flat=True)], ignore_index=True)


def told(table: pd.DataFrame) -> list[Alarm]:
    return alarms(record_of(table, "live"))


def test_a_record_as_promised_is_silent():
    assert [told(record(seed)) for seed in range(8)] == [[]] * 8


def test_intervals_too_narrow_are_told_with_their_band():
    found = [alarm for alarm in told(record(width=0.5)) if alarm.horizon == 1]
    assert {alarm.check for alarm in found} >= {"coverage"}
    assert any("of the newest 60 sessions lie in the 90 % interval, its band is" in alarm.sentence for alarm in found)
    assert all(alarm.p_value < 0.01 and alarm.days == 60 for alarm in found)


def test_intervals_that_hold_everything_are_told_too():
    found = told(record(width=4.0))
    assert any("100 % of the actuals" in alarm.sentence for alarm in found)


def test_a_crps_worse_than_the_random_walk_is_told():
    found = [alarm for alarm in told(record(noise=1.5)) if alarm.check == "crps"]
    assert any("higher than the random walk's in the newest 60 sessions; it should not be" in a.sentence for a in found)


def test_a_crps_that_was_better_before_is_told():
    """Right until the last 60 sessions, then noisy, beside a random walk that was always poor: still better than it."""
    market = Market(3, 300, (1,), plain=True)
    good, noisy, poor = market.table("live"), market.table("live", noise=1.5), market.table("random-walk", noise=3.0)
    start = np.unique(good["origin"])[-60]
    live = pd.concat([good[good["origin"] < start], noisy[noisy["origin"] >= start], poor], ignore_index=True)
    (found,) = [alarm for alarm in told(live) if alarm.check == "crps"]
    assert "lower than the random walk's in the newest 60 sessions; it was" in found.sentence
    assert "in the 240 before" in found.sentence


@pytest.mark.parametrize(("sessions", "horizons"), [(59, (1,)), (159, (20,))])
def test_too_short_a_record_raises_nothing(sessions, horizons):
    assert told(record(sessions=sessions, horizons=horizons, width=0.3, noise=2.0)) == []


def test_without_the_random_walk_only_coverage_is_asked_about():
    live = record(width=0.5, noise=1.5)
    assert {alarm.check for alarm in told(live[live["model"] == "live"])} == {"coverage"}


def test_actuals_not_known_yet_do_not_count():
    live = record(width=0.5)
    assert told(live.assign(actual=np.nan)) == []

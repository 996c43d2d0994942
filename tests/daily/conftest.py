"""A home with imported prices that can be lived through session by session, with jobs done in a blink."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.config import Settings, load_settings
from app.daily.day import Day, daily
from app.daily.steps import Tools
from app.daily.work import HELD_OUT, LIVE, MADE
from app.dataset.outlook import TOLD
from app.forecasters.baselines import FittedRandomWalk
from app.journal import Journal
from app.prices.calendar import sessions, sessions_after
from app.prices.store import Ledger
from app.registry.versions import publish
from app.schema import LEVELS, QUANTILES

SYMBOLS = ("AAA", "BBB")
BEFORE = 90
"""Sessions of prices before the first day that is lived through."""


@dataclass
class Home:
    """A home, its settings, and a trainer whose challenger is as good as the test wants.

    challenger: factor on the spread of the challenger's quantiles; that of its rival is 2.5, where 1 is right.
    failing: what the next training raises. warning: what there is to say of each version.
    """

    path: Path
    flags: dict = field(default_factory=dict)
    challenger: float = 1.0
    failing: Exception | None = None
    warning: str = ""
    jobs: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        routine = {"model": "ewma", "baselines": "random-walk", "held_out": 60, "report": False, **self.flags}
        spec = {"lookback": 20, "horizons": "1,5"}
        return load_settings({"home": str(self.path), "prices": {"source": "import"}, "window": spec, "daily": routine})

    @property
    def journal(self) -> Journal:
        return Journal(self.settings.ledger, "import")

    def live_to(self, number: int) -> str:
        """Import the prices up to a session; returns its date."""
        days = _days()[: BEFORE + number + 1]
        Ledger(self.settings.ledger).append(_bars(days), source="import")
        return str(days[-1])

    def start(self, tools: Tools | None = None) -> Day:
        return daily(self.settings, tools or self.tools)

    @property
    def tools(self) -> Tools:
        return Tools(work=lambda job, folder, bounds: self._work(job, folder))

    def _work(self, job: dict, folder: Path) -> None:
        """What `work.do` leaves, made up."""
        self.jobs.append(job["kind"])
        if self.failing and job["kind"] == "train":
            raise self.failing
        champions = job["champions"][:1]
        made = {"fitted": {"random-walk": f"fitted {job['session']}"}, "refused": [], "warnings": {}}
        if job["kind"] == "train":
            version = job["made"] or self._version(job["session"])
            ids = list(dict.fromkeys([version, *champions]))
            made |= {"version": version, "champion": champions[0] if champions else None, "reproduces": True}
            rival = champions[0] if champions else "random-walk"
            spreads = {rival: 2.5, version: self.challenger}
            pd.concat([_told(name, spread) for name, spread in spreads.items()]).to_parquet(folder / HELD_OUT)
        else:
            ids = champions
        made["served"] = dict.fromkeys(ids, "ewma")
        made["warnings"] = {name: [f"{name} {self.warning}"] for name in ids if self.warning}
        now = [_now(name, job["session"]) for name in [*ids, "random-walk"]]
        pd.concat(now, ignore_index=True).to_parquet(folder / LIVE, index=False)
        (folder / MADE).write_text(json.dumps(made))

    def _version(self, session: str) -> str:
        card = {
            "model": "ewma",
            "made_at": pd.Timestamp.now(tz="UTC").isoformat(),
            "source": "import",
            "session": session,
            "features": list(TOLD),
        }
        return publish(self.settings.versions, card, FittedRandomWalk(250).save).id


@pytest.fixture
def home(tmp_path) -> Home:
    """An empty home with prices up to the first session."""
    made = Home(tmp_path)
    made.live_to(0)
    return made


def _days() -> np.ndarray:
    return sessions("XNYS", np.datetime64("2024-01-02"), np.datetime64("2025-06-30"))


def _bars(days: np.ndarray) -> pd.DataFrame:
    """Prices that walk at random, the same however many days are asked for."""
    tables = []
    for place, symbol in enumerate(SYMBOLS):
        close = 100 * np.exp(np.cumsum(0.01 * np.random.default_rng(place).standard_normal(400)))[: len(days)]
        bars = {"symbol": symbol, "date": days, "open": close, "high": close, "low": close, "close": close}
        tables.append(pd.DataFrame(bars).assign(volume=1e6))
    return pd.concat(tables, ignore_index=True)


def _told(name: str, spread: float) -> pd.DataFrame:
    """Held-out forecasts of 60 sessions whose quantiles are `spread` times those of the actuals."""
    from scipy import stats

    days = _days()[:62]
    actual = np.random.default_rng(9).standard_normal(60)
    rows = {
        "model": name,
        "symbol": "AAA",
        "origin": days[:60],
        "horizon": 1,
        "date": days[1:61],
        "origin_close": 100.0,
    }
    quantiles = np.tile(spread * stats.norm.ppf(LEVELS), (60, 1))
    table = pd.concat([pd.DataFrame(rows), pd.DataFrame(quantiles, columns=list(QUANTILES))], axis=1)
    return table.assign(actual=actual).astype({"origin": "datetime64[ns]", "date": "datetime64[ns]"})


def _now(name: str, session: str) -> pd.DataFrame:
    """The newest forecast of each symbol, horizons 1 and 5."""
    after = sessions_after("XNYS", np.datetime64(session), 5)
    rows = [
        {"model": name, "symbol": symbol, "origin": session, "horizon": horizon, "date": after[horizon - 1],
         "origin_close": 100.0, "actual": np.nan, **dict(zip(QUANTILES, np.linspace(-0.02, 0.02, 19), strict=True))}
        for symbol in SYMBOLS for horizon in (1, 5)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"origin": "datetime64[ns]", "date": "datetime64[ns]"})

"""The two jobs that need a model's library, for a process of their own: `python -m app.daily.work FOLDER`.

`train` makes a challenger, and has it, the champion and the random walk forecast the sessions held out;
`forecast` only has the champion and the baselines forecast the newest session, which `train` does, too. In
the tables a version stands under its id. A job reads FOLDER/job.json and leaves its tables and `made.json` in FOLDER.
"""

import dataclasses
import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from app import pipeline, registry
from app.config import Settings
from app.daily.ledger import sound_prices
from app.daily.process import FAILED, die_with_parent
from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.errors import AppError, DamageError, DataError, SettingsError
from app.evaluation import backtest as walk
from app.evaluation.verdict import RANDOM_WALK
from app.forecasters import is_network
from app.forecasters.base import Recipe, forecasts_table
from app.forecasters.start import load
from app.routine import Routine
from app.schema import check_forecasts

log = logging.getLogger(__name__)

MADE, HELD_OUT, LIVE = "made.json", "held-out.parquet", "live.parquet"

ARCHITECTURE = (
    "cell", "shape", "frame", "median_gain", "units", "layers", "dropout", "recurrent_dropout", "forget_bias",
    "periods", "heads", "members",
)  # fmt: skip
"""What has to be the same for the weights of one network to be those of another."""


@dataclass(frozen=True)
class Job:
    """What a job is told.

    kind: "train" or "forecast". session: whose. champions: ids of the versions that may serve, the one in
    service first. made: id of a challenger that an interrupted run has made for this session already, or "".
    settings: as plain values, with the home.
    """

    kind: str
    session: str
    champions: tuple[str, ...]
    settings: Mapping[str, Any]
    made: str = ""

    def plain(self) -> dict[str, Any]:
        """For a JSON file."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, kind: str, session: str, settings: Settings, champions: list[str], made: str = "") -> "Job":
        """A job under these settings; addresses of the user's stay here."""
        plain = {**pipeline.plain_settings(settings), "home": str(settings.home)}
        return cls(kind, session, tuple(champions), plain, made)


def do(values: Mapping[str, Any], folder: Path) -> None:
    """Do a job in this process.

    Raises:
        AppError: it cannot be done.
    """
    job = Job(**values)
    settings = Settings(**job.settings)
    made = {"train": train, "forecast": forecast}[job.kind](job, settings, Path(folder))
    (Path(folder) / MADE).write_text(json.dumps(made), encoding="utf-8")


def train(job: Job, settings: Settings, folder: Path) -> dict[str, Any]:
    """Make the challenger, or take the one made already; have all that compete forecast what was held out, and now."""
    data = _Data(settings)
    windows, champion = data.windows(settings.window), _champion(job, settings)
    known = windows.known_by(windows.origin.max())
    begin = _held_out_from(known, settings.daily.held_out)
    version = registry.find(settings.versions, job.made) if job.made else None
    if version is None:
        version = _challenger(job, settings, known.known_by(begin - 1), windows, champion)
    made = {"version": version.id, "champion": champion.version.id if champion else None, "reproduces": True}
    try:
        rivals = [champion] if champion and champion.version.id != version.id else []
        candidates = [registry.Served(version, registry.load(version)), *rivals]
    except DamageError as error:
        log.warning("%s", error)
        return {**made, "reproduces": False, **_live(job, settings, data, [champion] if champion else [], folder)}
    begin = max([begin, *(np.datetime64(one.version.card["trained_to"], "D") for one in candidates)])
    naive = known.originating(begin, windows.origin.max() + 1)
    tables = [data.held_out(one, begin) for one in candidates]
    tables.append(forecasts_table(RANDOM_WALK, naive, settings.random_walk.fit(naive, naive).predict(naive)))
    shared = set.intersection(*(set(one.version.card["horizons"]) for one in candidates))
    table = pd.concat(tables, ignore_index=True)
    table[table["horizon"].isin(shared)].to_parquet(folder / HELD_OUT, index=False)
    return {**made, **_live(job, settings, data, candidates, folder)}


def forecast(job: Job, settings: Settings, folder: Path) -> dict[str, Any]:
    """The newest forecast of every symbol by the champion, where there is one, and by the baselines."""
    return _live(job, settings, _Data(settings), _serving(job, settings), folder)


def _serving(job: Job, settings: Settings) -> list[registry.Served]:
    """Who serves: the champion or, where it is damaged, the one before it; nobody where it knows other features.

    Raises:
        DamageError: there are champions, and none of them can be loaded.
    """
    if not job.champions:
        return []
    served = registry.first_sound([settings.versions / one for one in job.champions])
    try:
        registry.check_features(served.version)
    except SettingsError as error:
        log.warning("the baselines forecast alone: %s", error)
        return []
    return [served]


def _live(
    job: Job, settings: Settings, data: "_Data", candidates: list[registry.Served], folder: Path
) -> dict[str, Any]:
    """The newest forecasts of some versions, each under its id, and of the baselines, under their names."""
    tables = [data.newest(one) for one in candidates]
    served = {one.version.id: one.version.card["model"] for one in candidates}
    windows = data.windows(pipeline.version_spec(candidates[-1].version) if candidates else settings.window)
    newest, known = windows.newest(), windows.known_by(windows.origin.max())
    for baseline in settings.daily.baselines:
        fitted = _recipe(settings, baseline).fit(*walk.split(known, settings.backtest.validation))
        tables.append(forecasts_table(baseline, newest, fitted.predict(newest)))
    check_forecasts(pd.concat(tables, ignore_index=True)).to_parquet(folder / LIVE, index=False)
    refused = [reason for one in candidates for reason in one.refused]
    symbols, calendar = windows.panel.symbols, settings.prices.calendar
    return {
        "served": served,
        "fitted": dict.fromkeys(settings.daily.baselines, f"fitted {job.session}"),
        "refused": refused,
        "warnings": {one.version.id: one.warnings(symbols, calendar) for one in candidates},
    }


class _Data:
    """Prices read once, and windows made once for each kind asked for."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._prices = sound_prices(settings)
        self._made: dict[WindowSpec, Windows] = {}

    def windows(self, spec: WindowSpec) -> Windows:
        if spec not in self._made:
            self._made[spec] = make_windows(self._prices, spec, self._settings.prices.calendar or None)
        return self._made[spec]

    def held_out(self, served: registry.Served, begin: np.datetime64) -> pd.DataFrame:
        """The forecasts of a version from the origins from `begin` on whose targets are known."""
        windows = self.windows(pipeline.version_spec(served.version))
        return self._said(served, windows.known_by(windows.origin.max()).originating(begin, windows.origin.max() + 1))

    def newest(self, served: registry.Served) -> pd.DataFrame:
        """The newest forecast of each symbol by a version."""
        return self._said(served, self.windows(pipeline.version_spec(served.version)).newest())

    def _said(self, served: registry.Served, windows: Windows) -> pd.DataFrame:
        return forecasts_table(served.version.id, windows, served.fitted.predict(windows))


def _recipe(settings: Settings, name: str) -> Recipe:
    return pipeline.recipes(settings.model_copy(update={"models": (name,)}))[name]


def _champion(job: Job, settings: Settings) -> registry.Served | None:
    """The champion or, where it is damaged, the one before it; None when there is none to compare with."""
    try:
        served = registry.first_sound([settings.versions / one for one in job.champions])
        pipeline.version_spec(served.version)
        return served
    except (DamageError, SettingsError) as error:
        if job.champions:
            log.warning("no champion can be compared with: %s", error)
        return None


def _held_out_from(known: Windows, sessions: int) -> np.datetime64:
    """The first origin held out: `sessions` origins from it on have known targets.

    Raises:
        DataError: there is too little history.
    """
    origins = np.unique(known.origin)
    if len(origins) <= sessions:
        raise DataError(
            f"training: {len(origins)} sessions with known targets, of which daily.held_out keeps {sessions}. "
            "Fetch more history, or lower daily.held_out."
        )
    return origins[-sessions]


def _challenger(
    job: Job, settings: Settings, known: Windows, windows: Windows, champion: registry.Served | None
) -> registry.Version:
    """Train and save a challenger on what was known before the held-out sessions began."""
    name = settings.daily.model
    recipe = _recipe(settings, name)
    learnt, validation = walk.split(known, settings.backtest.validation)
    about = {
        "source": settings.prices.source,
        "session": job.session,
        "started_from": None,
        "settings": pipeline.plain_settings(settings),
        "libraries": pipeline.package_versions(),
    }
    if champion and settings.daily.warm and _continues(name, recipe, champion, windows):
        recipe, learnt = _warm(recipe, learnt, settings.daily)
        fitted = load("app.forecasters.recurrent").train_network(recipe, learnt, validation, start=champion.fitted)
        trained_to = max(str(validation.date.max()), champion.version.card["trained_to"])  # it knows what that one knew
        about |= {"started_from": champion.version.id, "trained_to": trained_to}
    else:
        fitted = recipe.fit(learnt, validation)
    log.info(
        "%s: trained %s, %d windows",
        name,
        f"on from {about['started_from']}" if about["started_from"] else "anew",
        len(learnt),
    )
    return registry.save(settings.versions, registry.Trained(name, recipe, fitted, windows, learnt, validation), about)


def _warm(recipe: Any, learnt: Windows, routine: Routine) -> tuple[Recipe, Windows]:
    """A few gentle epochs, and the newest windows for them."""
    recent = np.unique(learnt.origin)[-routine.warm_sessions :]
    gentle = dataclasses.replace(recipe, epochs=routine.warm_epochs, learning_rate=routine.warm_rate)
    return gentle, learnt.originating(recent[0], recent[-1] + 1)


def _continues(name: str, recipe: Recipe, champion: registry.Served, windows: Windows) -> bool:
    """Whether the champion's weights fit the network that is asked for."""
    card, own = champion.version.card, getattr(champion.fitted, "recipe", None)
    if not is_network(name) or card["model"] != name or own is None:
        return False
    same = all(getattr(own, part) == getattr(recipe, part) for part in ARCHITECTURE)
    return same and (card["lookback"], tuple(card["horizons"])) == (windows.spec.lookback, windows.spec.horizons)


def main() -> int:
    """The job in the folder that the command line names."""
    die_with_parent()
    folder = Path(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        do(json.loads((folder / "job.json").read_text(encoding="utf-8")), folder)
    except AppError as error:
        (folder / FAILED).write_text(json.dumps({"kind": type(error).__name__, "text": str(error)}), encoding="utf-8")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

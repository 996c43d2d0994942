"""The stages of a session. Each is safe to repeat: it looks at what is there, and adds what is missing."""

import contextlib
import dataclasses
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from app import pipeline, registry
from app.config import Settings
from app.daily.due import LEFT_OUT, Due
from app.daily.ledger import sound_prices
from app.daily.process import Bounds, in_own_process
from app.daily.work import HELD_OUT, LIVE, MADE, Job
from app.dataset import what_happened
from app.errors import AppError, DamageError, DataError, SettingsError, SourceError
from app.evaluation.gate import Decision, Rules, decide
from app.journal import DONE, SESSION, SKIPPED, Journal
from app.prices.calendar import calendar_for, sessions
from app.prices.outcomes import Updated, raise_failures
from app.prices.providers import PROVIDERS
from app.prices.sources import Source
from app.registry.versions import folders

log = logging.getLogger(__name__)

FETCH, TRAIN, FORECAST = "fetch", "train", "forecast"
"""Stages as the journal names them, beside `journal.SESSION` and `due.LEFT_OUT`."""

SETTLING_SESSIONS = 40
"""Actuals of so many newest origins are looked at again: their prices may still be revised."""

AWAITED_DAYS = 400
"""Calendar days after which an actual that never came, as of a symbol that trades no more, is waited for no longer."""


@dataclass(frozen=True)
class Tools:
    """What a day works with: the world outside, which a simulation replaces.

    now: the clock, with a time zone. source: whom to ask for prices, None
    for the one that the settings name. work: does a job (`work.Job`) in a folder.
    """

    now: Callable[[], pd.Timestamp] = lambda: pd.Timestamp.now(tz="UTC")
    source: Callable[[Settings], Source | None] = lambda settings: None
    work: Callable[[dict[str, Any], Path, Bounds], object] = lambda job, folder, bounds: in_own_process(
        "app.daily.work", job, folder, bounds
    )


@dataclass(frozen=True)
class Start:
    """One start that has something to do. `clock` is when it began: a session that closes meanwhile is for the next."""

    settings: Settings
    journal: Journal
    tools: Tools
    due: Due
    run: int
    clock: pd.Timestamp

    def note(self, stage: str, outcome: str, detail: str = "") -> None:
        """Write down what became of a stage of the session."""
        self.journal.note(self.run, self.due.session, stage, outcome, detail)

    def do(self, kind: str, made: str = "") -> Path:
        """Have a job done; returns the folder with what it left.

        Raises:
            AppError: what the job raised; TrainingError when its process did not end well.
        """
        folder = scratch(self.settings) / f"{kind}-{self.run}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        champions = [path.name for path in registry.in_service(self.settings.versions, self.journal.champions())]
        job = Job.of(kind, self.due.session, self.settings, champions, made)
        bounds = Bounds(self.settings.daily.timeout_min * 60, self.settings.daily.memory_gb * 1e9)
        self.tools.work(job.plain(), folder, bounds)
        return folder


def scratch(settings: Settings) -> Path:
    """Where jobs leave their tables; only of use to the run that started them."""
    return settings.data / "scratch"


def skip_missed(start: Start) -> tuple[str, ...]:
    """Settle the sessions that nobody forecast and that a later price has overtaken.

    The price is the proof that they are over: a clock that is wrong skips nothing.
    """
    newest = max((str(day) for day in start.due.held.values() if day is not None), default="")
    reasons = {}
    for session in (session for session in start.due.missed if session < newest):
        tried = [note.detail for note in start.journal.notes(session, SESSION)]
        reasons[session] = (SKIPPED, tried[-1] if tried else "no run was started between its close and the next")
    if reasons:
        start.journal.note_all(start.run, reasons)
    return tuple(reasons)


def fetch(start: Start) -> list[Updated]:
    """Ask for the prices that are missing; nothing is asked when none is."""
    wanted = start.due.unpriced if start.settings.prices.source in PROVIDERS else start.due.behind
    if start.settings.prices.source == "import" or start.settings.prices.offline or not wanted:
        return []
    asked = dataclasses.replace(start.settings.prices, symbols=tuple(wanted))
    settings = start.settings.model_copy(update={"prices": asked})
    results = pipeline.fetch(settings, start.tools.source(settings))
    told = {one.symbol: one.detail or one.outcome for one in results if one.detail or one.outcome.failed}
    start.note(FETCH, "partial" if told else DONE, json.dumps(told))
    return results


def fetch_failure(results: list[Updated], unpriced: tuple[str, ...]) -> AppError | None:
    """What a run that lacks prices ends with: the source's failure, or rows that wait in quarantine."""
    try:
        raise_failures(results)
    except AppError as error:
        return error
    lacking = [one for one in results if one.symbol in unpriced]
    if not lacking:
        return None
    names = ", ".join(one.symbol for one in lacking[:10]) + (" …" if len(lacking) > 10 else "")
    detail = (
        f"{len(lacking)} symbol(s) without the newest session ({names}): {lacking[0].detail or lacking[0].outcome}."
    )
    held = all(one.held for one in lacking)
    return (DataError if held else SourceError)(f"{detail} The next start asks again.")


def fill_in(start: Start) -> int:
    """Put on record what came true of earlier forecasts; what changed since, too."""
    origins = start.journal.origins(SETTLING_SESSIONS)
    if not origins:
        return 0
    keys = start.journal.awaited(str(np.datetime64(origins[-1]) - AWAITED_DAYS), settled_before=origins[0])
    if len(keys) == 0:
        return 0
    horizons = tuple(sorted(int(h) for h in keys["horizon"].unique()))
    since = keys["origin"].min().to_datetime64().astype("datetime64[D]") - np.timedelta64(2 * horizons[-1] + 30, "D")
    try:
        prices = sound_prices(start.settings, since)
    except DataError:
        return 0  # not one sound row: nothing can have come true
    happened = what_happened(prices, horizons, start.settings.prices.calendar or None)
    return start.journal.fill_in(keys.merge(happened, on=["symbol", "origin", "horizon"]))


def outdated(start: Start) -> str | None:
    """Why the champion, though sound, can forecast no more: it was trained on other features than there are now.

    Where it is damaged, the one before it serves, and is asked.
    """
    for place in registry.in_service(start.settings.versions, start.journal.champions()):
        try:
            registry.check_features(registry.read(place))
        except SettingsError as error:
            return str(error)
        except DamageError:
            continue
        return None
    return None


def training_due(start: Start) -> bool:
    """Whether enough sessions have passed since the last training, or there is no champion yet that can forecast."""
    trained = start.journal.settled(TRAIN)
    if start.due.session in trained:
        return False
    before = [session for session, note in trained.items() if note.outcome == DONE]
    if not before or start.journal.champion() is None or outdated(start):
        return True
    calendar = calendar_for(next(iter(start.due.expected)), name=start.settings.prices.calendar)
    since = sessions(calendar, np.datetime64(before[-1]) + 1, np.datetime64(start.due.session))
    return len(since) >= start.settings.daily.every


@dataclass(frozen=True)
class Training:
    """A challenger judged: the gate's decision, and the folder with what each candidate says of the newest session."""

    decision: Decision
    folder: Path


def train(start: Start) -> Training | None:
    """Train a challenger, compare it, and promote it or keep the champion; None when it is not the day.

    Raises:
        AppError: training failed; the champion stays.
    """
    if not training_due(start):
        return None
    champion = start.journal.champion()
    folder = start.do("train", made=_made_already(start))
    made = _made(folder)
    decision = _decision(start, made, folder)
    card = registry.digest(start.settings.versions / made["version"] / "card.json")
    judged = {"challenger": made["version"], "champion": made["champion"], **dataclasses.asdict(decision)}
    detail = json.dumps({**judged, "card": card})
    if decision.promote and (champion is None or champion.version != made["version"]):
        moved = start.journal.succeed(champion, made["version"], decision.reason, decision.p_value, detail)
        if moved is None:
            decision = dataclasses.replace(decision, promote=False, reason="the pointer was moved by hand meanwhile")
            detail = json.dumps({**judged, **dataclasses.asdict(decision)})
    start.note(TRAIN, DONE, detail)
    return Training(decision, folder)


def forecast(start: Start, training: Training | None) -> tuple[pd.DataFrame, str]:
    """(newest forecasts, the version that serves, "" for the baselines alone): made, and put on record.

    Args:
        training: what was trained in this start, so that its champion need not be loaded again.

    Raises:
        DamageError: there are champions, and none of them can be loaded.
    """
    champion = start.journal.champion()
    folder = training.folder if training else None
    if folder is None or (champion.version if champion else None) not in (None, *_made(folder)["served"]):
        folder = start.do("forecast")
    made = _made(folder)
    own = champion is not None and champion.version in made["served"]
    serving = {one: name for one, name in made["served"].items() if champion and (not own or one == champion.version)}
    versions = {**made["fitted"], **{name: one for one, name in serving.items()}}
    live = _renamed(folder, {**{name: name for name in made["fitted"] if name not in serving.values()}, **serving})
    # imported prices have no clock of their own: they are forecast as if at the close of their newest session
    made_at = start.tools.now() if start.settings.prices.source in PROVIDERS else start.due.now
    added = start.journal.publish(start.run, live, versions, made_at.to_pydatetime(warn=False))
    warnings = [line for one in serving for line in made["warnings"].get(one, ())]
    for warning in warnings:
        log.warning("%s", warning)
    told = {"rows": added, "versions": versions, "refused": made["refused"], "warnings": warnings}
    start.note(FORECAST, DONE, json.dumps(told))
    return live, next(iter(serving), "")


def _renamed(folder: Path, names: dict[str, str]) -> pd.DataFrame:
    """Of the forecasts a job left those named, each under the name it is published by."""
    live = pd.read_parquet(folder / LIVE)
    live = live[live["model"].isin(list(names))].reset_index(drop=True)
    dates = dict.fromkeys(("origin", "date"), "datetime64[ns]")
    return live.assign(model=live["model"].map(names)).astype({"model": "str", **dates})


def leave_out(start: Start, after: Due) -> tuple[str, ...]:
    """Note the symbols that have the newest price and still could not be forecast, so that they are not due again."""
    out = [symbol for symbol in after.behind if symbol not in after.unpriced]
    for symbol in out:
        start.note(LEFT_OUT, SKIPPED, f"{symbol}: its newest row is unsound, or its history too short")
    return tuple(out)


def rules(settings: Settings) -> Rules:
    """When a challenger is promoted, by the settings."""
    routine = settings.daily
    return Rules(alpha=routine.alpha, margin=routine.margin, sessions=routine.held_out)


def _made(folder: Path) -> dict[str, Any]:
    """What a job says of its work."""
    return json.loads((folder / MADE).read_text(encoding="utf-8"))


def _decision(start: Start, made: dict[str, Any], folder: Path) -> Decision:
    """The gate's answer."""
    if not made["reproduces"]:
        reason = f"{made['version']} does not give its golden output again"
        return Decision(False, reason, p_value=None, difference=None, days=0, symbols=0)
    if made["version"] == made["champion"]:
        return Decision(True, "promoted by the run that was interrupted", None, None, 0, 0)
    table = pd.read_parquet(folder / HELD_OUT)
    return decide(table, challenger=made["version"], champion=made["champion"], rules=rules(start.settings))


def _made_already(start: Start) -> str:
    """The challenger that an interrupted run has saved for this session, or ""."""
    mine = (start.settings.prices.source, start.due.session)
    for place in reversed(folders(start.settings.versions, start.settings.daily.model)[-3:]):
        with contextlib.suppress(DamageError, SettingsError):
            version = registry.read(place)
            registry.check_features(version)
            card = version.card
            if (card.get("source"), card.get("session")) == mine:
                return place.name
    return ""

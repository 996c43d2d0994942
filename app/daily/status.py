"""How the daily run stands, looked up when it is asked: nothing here is remembered from a run."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from app import registry
from app.config import Settings
from app.daily.freshness import Freshness, freshness
from app.daily.record import Line, live_record
from app.errors import DamageError, SettingsError
from app.journal import DONE, SKIPPED, Champion, Journal
from app.prices.providers import PROVIDERS
from app.prices.store import Ledger

LAST = ("session", "stage", "outcome", "detail", "at")
"""What is told of the newest note."""


@dataclass(frozen=True)
class Status:
    """Everything `status` shows.

    origins: symbol → newest origin forecast. missing: symbols asked for that were never forecast. last: the
    newest note, as `LAST`. drift: alarms of the record. fault: why the champion cannot serve, or "". disk: bytes
    by folder.
    """

    source: str
    now: pd.Timestamp
    fresh: Freshness
    origins: dict[str, str]
    missing: tuple[str, ...]
    champion: Champion | None
    fault: str
    promotions: int
    last: tuple[str, str, str, str, str] | None
    settled: dict[str, int]
    record: list[Line]
    drift: list[str]
    quarantined: int
    disk: dict[str, int] = field(default_factory=dict)

    @property
    def stale(self) -> str | None:
        """Why what was forecast must not be taken for fresh, or None. Nothing forecast is not fresh."""
        if not self.origins:
            return "STALE: nothing has been forecast yet. Run `python -m app daily`."
        if self.missing:
            return f"STALE: {len(self.missing)} symbol(s) were never forecast, such as {self.missing[0]}. Run `daily`."
        return self.fresh.stale

    @property
    def told(self) -> dict[str, Any]:
        """As `Freshness.told`, with symbols that were never forecast."""
        return {**self.fresh.told, "stale": self.stale}

    @property
    def alarms(self) -> list[str]:
        """What somebody should look at."""
        return [*self.drift, *([self.fault] if self.fault else [])]

    def plain(self) -> dict[str, Any]:
        """For --json."""
        return {
            "source": self.source,
            "now": self.now.isoformat(timespec="seconds"),
            "stale": self.stale,
            "age_sessions": self.fresh.age,
            "fresh_until": self.fresh.ends,
            "newest_forecast": max(self.origins.values(), default=None),
            "symbols": self.origins,
            "behind": {symbol: count for symbol, count in self.fresh.behind.items() if count},
            "champion": dataclasses.asdict(self.champion) if self.champion else None,
            "promotions": self.promotions,
            "last": dict(zip(LAST, self.last, strict=True)) if self.last else None,
            "sessions": self.settled,
            "record": [dataclasses.asdict(line) for line in self.record],
            "alarms": self.alarms,
            "quarantined": self.quarantined,
            "disk_bytes": self.disk,
        }


def status(settings: Settings, now: pd.Timestamp | None = None) -> Status:
    """The state at a moment, by the ledger, the versions, the calendar and the clock; nothing is made or changed.

    Args:
        now: with a time zone; the clock by default.
    """
    source = settings.prices.source
    journal = Journal(settings.ledger, source)
    moment = pd.Timestamp.now(tz="UTC") if now is None else now
    origins = journal.newest_origins()
    wanted = settings.prices.symbols or tuple(origins)
    chosen = {symbol: origins[symbol] for symbol in wanted if symbol in origins}
    champions, settled = journal.champions(), [note.outcome for note in journal.settled().values()]
    champion = champions[-1] if champions else None
    fault, model = _fault(settings, champion)
    record, drift = live_record(journal, model, max(origins.values(), default="")) if model else ([], [])
    return Status(
        source=source,
        now=moment,
        fresh=freshness(settings, {symbol: np.datetime64(day) for symbol, day in chosen.items()}, moment),
        origins=chosen,
        missing=tuple(symbol for symbol in wanted if symbol not in origins),
        champion=champion,
        fault=fault,
        promotions=max(0, len(champions) - 1),
        last=_last(journal),
        settled={DONE: settled.count(DONE), SKIPPED: settled.count(SKIPPED)},
        record=record,
        drift=drift,
        quarantined=Ledger(settings.ledger).quarantined(source),
        disk={place: _size(settings.home / place) for place in ("data", "models")},
    )


def text(found: Status) -> str:
    """The same for a person."""
    lines = [f"source: {found.source}", f"champion: {_champion(found)}", f"newest forecast: {_newest(found)}"]
    if found.last:
        session, stage, outcome, detail, at = found.last
        reason = f" ({detail[:160]})" if detail and detail[0] != "{" else ""
        lines.append(f"last noted: {session} {stage} {outcome}, {at}{reason}")
    lines.append(f"sessions: {found.settled[DONE]} done, {found.settled[SKIPPED]} skipped")
    for line in found.record:
        excess = "" if line.excess is None else f", CRPS {100 * line.excess:+.1f} % against the random walk"
        held = f"80 % interval held {line.coverage:.0%}"
        lines.append(f"record, {line.horizon} ahead: {line.days} sessions, {held}{excess}")
    lines += [f"ALARM: {alarm}" for alarm in found.alarms]
    lines.append(f"quarantined rows: {found.quarantined}")
    lines.append("disk: " + ", ".join(f"{place} {size / 1e6:.1f} MB" for place, size in found.disk.items()))
    return "\n".join(lines)


def _champion(found: Status) -> str:
    if found.champion is None:
        return "none yet"
    return f"{found.champion.version}, since {found.champion.at[:16]} ({found.champion.reason})"


def _newest(found: Status) -> str:
    if not found.origins:
        return "none"
    fresh = found.fresh
    until = f", fresh until {fresh.until:%Y-%m-%d %H:%M} UTC" if fresh.until is not None else ""
    behind = f"{fresh.age} closed session(s) behind{until}"
    if found.source not in PROVIDERS:
        behind = "the newest there is: these prices end when they end and are never called stale"
    return f"{max(found.origins.values())}, {len(found.origins)} symbol(s), {behind}"


def _fault(settings: Settings, champion: Champion | None) -> tuple[str, str]:
    """(why the champion cannot serve, name of its model): hashes and contents, without its library."""
    if champion is None:
        return "", ""
    model = registry.of_model(Path(champion.version))
    try:
        registry.check_features(registry.sound(registry.read(settings.versions / champion.version)))
        return "", model
    except (DamageError, SettingsError) as error:
        return f"the champion cannot serve: {error}", model


def _last(journal: Journal) -> tuple[str, str, str, str, str] | None:
    newest = journal.last_note()
    return (newest.session, newest.stage, newest.outcome, newest.detail, newest.at) if newest else None


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; what goes meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total

"""One start of the daily run: find out what is due, do it once, and never make things worse.

Sweep, find what is due, fetch, fill in what came true, skip what was missed, train and compare, forecast,
write the page, settle. Killed anywhere, the next start finds the same things due and carries on.
"""

import dataclasses
import logging
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.config import Settings
from app.daily import leftovers, steps
from app.daily.due import due
from app.daily.freshness import freshness
from app.daily.logs import at_work_on
from app.daily.metrics import write_failure, write_metrics
from app.daily.notify import Event, send, send_once
from app.daily.page import write_page
from app.daily.status import Status, status
from app.daily.steps import Start, Tools
from app.errors import AppError
from app.journal import DONE, SESSION, Journal
from app.prices.database import kept_open
from app.prices.providers import PROVIDERS

log = logging.getLogger(__name__)

OPEN = "open"
"""The outcome of a session of which something is still missing."""


@dataclass
class Day:
    """What a start did: lines for a person, result for a program, and the worst failure on the way, if any."""

    session: str
    lines: list[str] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    failures: list[AppError] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    run: int = 0

    @property
    def failure(self) -> AppError | None:
        """What the start ends with: a failed training before a source that did not answer before refused data."""
        return max(self.failures, key=lambda error: (error.exit_code == 6, -error.exit_code), default=None)

    def say(self, line: str, **facts: Any) -> None:
        """Add a line, and facts for a program."""
        log.info("%s", line)
        self.lines.append(line)
        self.result |= facts

    def happened(self, kind: str, message: str) -> None:
        """Something to notify."""
        self.events.append(Event(kind, self.session, message))


def daily(settings: Settings, tools: Tools = Tools()) -> Day:  # noqa: B008 - frozen
    """Do what is due. The caller holds the lock.

    Raises:
        AppError: nothing could be done, or not to the end. A failure after which the rest could be done is in the
            answer instead.
    """
    journal = Journal(settings.ledger, settings.prices.source)
    day = Day(f"{tools.now():%Y-%m-%d}")  # until it is known which session is due, what fails is told once a day
    with kept_open(settings.ledger):
        _all(settings, tools, journal, day)
    return day


def _all(settings: Settings, tools: Tools, journal: Journal, day: Day) -> None:
    """Do what is due, and tell how it ended."""
    try:
        _do(settings, tools, journal, day)
    except BaseException as error:
        code = error.exit_code if isinstance(error, AppError) else 1
        told = str(error) if isinstance(error, AppError) else type(error).__name__
        day.happened("failure", f"daily {day.session}: {told}")
        _afterwards(lambda: _watch(settings, tools, journal, day, code))
        raise
    if day.failure:
        day.happened("failure", f"daily {day.session}: {day.failure}")
    _afterwards(lambda: _watch(settings, tools, journal, day, day.failure.exit_code if day.failure else 0))


def _do(settings: Settings, tools: Tools, journal: Journal, day: Day) -> None:
    leftovers.sweep(settings)
    clock = tools.now()
    found = due(settings, journal, clock)
    day.session = found.session
    at_work_on(session=found.session)
    day.result |= {"session": found.session, "did": "nothing"}
    if found.nothing:
        waits = f"; {', '.join(found.waiting[:5])} will close later" if found.waiting else ""
        day.say(f"{found.session}: nothing is due, every forecast is made{waits}")
        return
    at_work_on(run=_run(journal, day))
    start = Start(settings, journal, tools, found, day.run, clock)
    day.result["did"] = "something"
    start = _prices(start, day)
    missed = steps.skip_missed(start)
    if missed:
        day.say(
            f"{len(missed)} session(s) were missed and are skipped, {missed[0]} to {missed[-1]}", skipped=list(missed)
        )
    origins, held = journal.newest_origins(), start.due.held
    newer = any(held[symbol] is not None and str(held[symbol]) > origins.get(symbol, "") for symbol in found.behind)
    if newer:
        _models(start, day)
    _settle(start, day, asked=newer)


def _prices(start: Start, day: Day) -> Start:
    """Fetch, and fill in what came true; returns the start with what is due now."""
    at_work_on(stage=steps.FETCH)
    results = steps.fetch(start)
    after = _again(start)
    failure = steps.fetch_failure(results, after.due.unpriced)
    if failure:
        day.failures.append(failure)
    if results:
        counts = {name: sum(getattr(one, name) for one in results) for name in ("new", "revised", "held", "released")}
        said = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing new"
        day.say(f"fetched {len(results)} symbol(s): {said} rows", fetched=counts)
    filled = steps.fill_in(after)
    day.say(f"{filled} actual(s) filled in", actuals=filled)
    return after


def _models(start: Start, day: Day) -> None:
    """Train and compare, then forecast with whoever is champion."""
    at_work_on(stage=steps.TRAIN)
    old = steps.outdated(start)
    if old:
        day.say(f"the champion cannot forecast any more: {old}", outdated=old)
    try:
        training = steps.train(start)
    except AppError as error:
        start.note(steps.TRAIN, "failed", str(error))
        if error.exit_code not in (4, 6):
            raise
        day.failures.append(error)
        training = None
    if training:
        decision = training.decision
        kept = "kept the champion" if start.journal.champion() else "not let into service"
        verb = "promoted" if decision.promote else kept
        day.say(
            f"{verb}: {decision.reason}", promoted=decision.promote, p_value=decision.p_value, reason=decision.reason
        )
        if decision.promote:
            day.happened("promotion", f"daily {day.session}: {decision.reason}")
    at_work_on(stage=steps.FORECAST)
    live, serves = steps.forecast(start, training)
    champion = start.journal.champion()
    why = ", until a version trained anew comes into service" if champion else ": there is no champion yet"
    name = serves or f"the baselines alone{why}"
    facts = {"champion": champion.version if champion else None, "rows": len(live)}
    day.say(f"forecast {live['symbol'].nunique()} symbol(s) with {name}", **facts)


def _settle(start: Start, day: Day, asked: bool) -> None:
    """Say how the session stands; when nothing is missing any more, it is done, and has its page."""
    at_work_on(stage=SESSION)
    after = _again(start).due
    if asked:
        left_out = steps.leave_out(start, after)
        if left_out:
            day.say(f"left out: {', '.join(left_out[:10])}; `prices check` tells why", left_out=list(left_out))
            after = _again(start).due
    if after.behind or after.waiting:
        reason = f"{len(after.behind)} symbol(s) without a forecast, {len(after.waiting)} whose exchange is open"
        detail = str(day.failure) if day.failure else reason
        start.note(SESSION, OPEN, detail)
        day.say(f"{start.due.session}: {reason}; the next start carries on")
    if not after.behind and start.settings.daily.report:
        fresh = freshness(start.settings, after.expected, start.tools.now())
        page = write_page(start.settings, start.due.session, start.tools.now(), fresh.told)
        day.say(f"report: {page}", report=str(page))
    if not after.behind and not after.waiting and not after.settled:
        start.note(SESSION, DONE)
        day.say(f"{start.due.session}: done")


def _again(start: Start) -> Start:
    """The same start with what is due by now."""
    return dataclasses.replace(start, due=due(start.settings, start.journal, start.clock))


def _watch(settings: Settings, tools: Tools, journal: Journal, day: Day, code: int) -> None:
    """Status, metrics and notifications; the state is that of now, not what the run believes of itself."""
    at_work_on(stage="status")
    try:
        found = status(settings, tools.now())
    except AppError:
        write_failure(metrics_path(settings), settings.prices.source, tools.now(), code)
        _tell(settings, journal, day, day.events)
        raise
    write_metrics(metrics_path(settings), found, code)
    _tell(settings, journal, day, [*day.events, *_concerns(found, day)])
    if found.stale and found.origins and settings.daily.report:  # else the page of a better day would stand unmarked
        write_page(settings, max(found.origins.values()), found.now, found.told)


def _tell(settings: Settings, journal: Journal, day: Day, events: list[Event]) -> None:
    """Each once a session, also where this start had nothing else to note; where nothing can be noted, each start."""
    for event in events:
        try:
            send_once(settings, journal, lambda: _run(journal, day), event)
        except AppError:
            send(settings, event)


def _run(journal: Journal, day: Day) -> int:
    """The number of this start's run; it begins when something has to be noted."""
    day.run = day.run or journal.begin(f"{platform.node()} {os.getpid()}", "daily", platform.python_version())
    return day.run


def _concerns(found: Status, day: Day) -> list[Event]:
    """Staleness and drift, as events."""
    stale = [Event("stale", day.session, found.stale)] if found.stale and found.source in PROVIDERS else []
    return stale + [Event("drift", day.session, alarm) for alarm in found.alarms]


def metrics_path(settings: Settings) -> Path:
    """Where the figures for Prometheus are."""
    return settings.data / "metrics.prom"


def _afterwards(act: Callable[[], object]) -> None:
    """What comes after the work must not change how the work ended."""
    try:
        act()
    except (AppError, OSError) as error:
        log.warning("status could not be written: %s", error)

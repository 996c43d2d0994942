"""The commands of the daily run: daily, status, schedule."""

import os
from argparse import Namespace
from pathlib import Path

from app.atomic import ensure_replaceable, ensure_writable
from app.commands.answer import Answer
from app.config import Settings
from app.daily import day, schedule, status
from app.daily.logs import logged
from app.daily.page import WRITTEN, write_page


def daily(settings: Settings, options: Namespace) -> Answer:
    """What is due, once; the command line holds the lock."""
    ensure_writable(settings.data)
    with logged(settings.data, {"command": "daily", "source": settings.prices.source, "process": os.getpid()}) as note:
        done = day.daily(settings)
        if done.failure:
            note(done.failure)
    return Answer(done.result, "\n".join(done.lines), failure=done.failure)


def show_status(settings: Settings, options: Namespace) -> Answer:
    """How the daily run stands at this moment."""
    folder = ensure_replaceable(Path(options.out), WRITTEN) if options.out else None
    found = status.status(settings)
    lines, result = [status.text(found)], found.plain()
    if folder and found.origins:
        result["report"] = str(write_page(settings, max(found.origins.values()), found.now, found.told, folder))
        lines.append(f"report: {result['report']}")
    return Answer(result, "\n".join(lines), found.stale)


def print_schedule(settings: Settings, options: Namespace) -> Answer:
    """A timer's file, with the paths of this installation."""
    filled = schedule.fill(options.print, settings)
    return Answer({"kind": options.print, "text": filled}, filled)

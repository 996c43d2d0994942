"""Timers: the files of deploy/ with the paths of this installation filled in."""

import json
import shlex
import sys

from app.config import Settings
from app.errors import SettingsError
from app.home import PROJECT
from app.prices.providers import USUAL

FILES = {
    "cron": ("crontab",),
    "systemd": ("stock-daily.service", "stock-daily.timer"),
    "kubernetes": ("cronjob.yaml",),
    "github": ("github-daily.yml",),
    "container": ("Containerfile",),
}
"""What `schedule --print` knows → its files in deploy/."""


def fill(kind: str, settings: Settings) -> str:
    """The text of a timer for this installation, its symbols and its source.

    Args:
        kind: one of `routine.SCHEDULES`.

    Raises:
        SettingsError: the prices are files, which no timer can read.
    """
    arguments = _arguments(settings)
    paths = {"@PROJECT@": str(PROJECT), "@HOME@": str(settings.home), "@PYTHON@": sys.executable}
    written = {place: _WRITTEN.get(kind, str)(path) for place, path in paths.items()}
    line = {"@ARGUMENTS@": shlex.join(arguments), "@LIST@": ", ".join(json.dumps(one) for one in arguments)}
    whole = "\n".join((PROJECT / "deploy" / name).read_text(encoding="utf-8") for name in FILES[kind])
    for place, value in {**written, **line}.items():
        whole = whole.replace(place, value)
    return whole.rstrip("\n")


_WRITTEN = {
    "cron": lambda path: shlex.quote(path).replace("%", r"\%"),
    "systemd": lambda path: path.replace("%", "%%").replace('"', r"\""),
}
"""How a path is written where it has to be written in another way; systemd's files quote it themselves."""


def _arguments(settings: Settings) -> list[str]:
    """What of the prices must be said on the command line."""
    if settings.prices.source == "files":
        raise SettingsError("schedule: daily keeps its prices in the ledger; `python -m app prices import PATH` first.")
    symbols = ["--symbols", *settings.prices.symbols] if settings.prices.symbols else []
    return symbols if symbols and settings.prices.source == USUAL else ["--source", settings.prices.source, *symbols]

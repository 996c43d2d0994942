"""Timers: the files of deploy/ with the paths of this installation filled in."""

import json
import shlex
import sys

from app.config import Settings
from app.home import PROJECT

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
    """
    arguments = _arguments(settings)
    values = {
        "@PROJECT@": str(PROJECT),
        "@HOME@": str(settings.home),
        "@PYTHON@": sys.executable,
        "@ARGUMENTS@": shlex.join(arguments),
        "@LIST@": ", ".join(json.dumps(argument) for argument in arguments),
    }
    texts = [(PROJECT / "deploy" / name).read_text(encoding="utf-8") for name in FILES[kind]]
    whole = "\n".join(texts)
    for place, value in values.items():
        whole = whole.replace(place, value)
    return whole.rstrip("\n")


def _arguments(settings: Settings) -> list[str]:
    """What of the prices must be said on the command line."""
    if settings.prices.symbols and settings.prices.source == "yahoo":
        return ["--symbols", *settings.prices.symbols]
    return ["--source", settings.prices.source]

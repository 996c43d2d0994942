"""The command that looks inside trained networks, and what `run` shows of it."""

import logging
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from app import pipeline, registry
from app.atomic import ensure_replaceable, replace_folder
from app.commands.answer import Answer, records
from app.config import Settings
from app.dataset.windows import Windows
from app.errors import SettingsError
from app.evaluation.backtest import split
from app.forecasters import is_network, start
from app.insight.effort import LIMITS, QUICK, Effort
from app.registry.versions import folders
from app.report.inspected import inside_sentences
from app.report.page import write_inspection
from app.report.record import OURS, load_findings, newest_findings, publish_findings, save_inspection

log = logging.getLogger(__name__)

SUMMARY = ("gates", "half_lives", "spectrum", "completeness", "importance", "knockout", "knockout_order", "notes")
"""Tables in the answer for a program; the others are in the files."""

GLANCED = 2
"""Networks that a run looks into by itself; `inspect` looks into any."""

NO_NETWORK = "{} is not a network: it has no gates, no state and no gradient to look at."

Tables = dict[str, pd.DataFrame]


def inspect(settings: Settings, options: Namespace) -> Answer:
    """What the newest version of each network does with its windows; into --out, or into the newest report."""
    effort = _effort(options)
    names, others = _networks(settings, options)
    strangers = [{"model": name, "subject": "all", "note": NO_NETWORK.format(name)} for name in others]
    by = {name: registry.newest_sound(settings.versions, name) for name in names}
    seen = ", ".join(one.version.id for one in by.values())
    about = f"Looked at on {pd.Timestamp.now(tz='UTC'):%-d %B %Y}: {seen}."
    report = None if options.out else newest_findings(settings.data / "reports")
    folder = ensure_replaceable(Path(options.out) if options.out else report or settings.data / "inspection", OURS)
    found = look_inside(settings, pipeline.load_prices(settings), effort=effort, by=by)
    if report:
        page = publish_findings(replace(load_findings(report), inspection=found), report)
    else:
        page = replace_folder(folder, partial(_write, found, about), OURS) / "inspection.html"
    tables = {name: records(found[name]) for name in SUMMARY}
    said = [line for lines in inside_sentences(found).values() for line in [*lines, ""]]
    words = [*said, *(one["note"] for one in strangers), f"tables and figures: {folder}", f"page: {page}"]
    return Answer({"page": str(page), **tables, "notes": [*strangers, *tables["notes"]]}, "\n".join(words))


def glance(settings: Settings, prices: pipeline.Prices) -> Tables:
    """A quick look into the first networks of a run, for its report: seconds each, so not into all of them."""
    networks = [name for name in settings.models if is_network(name)]
    if settings.window.target != "return" or not networks:
        return {}
    return look_inside(settings, prices, networks[:GLANCED], QUICK)


def look_inside(
    settings: Settings,
    prices: pipeline.Prices,
    names: Sequence[str] = (),
    effort: Effort | None = None,
    by: Mapping[str, registry.Served] | None = None,
) -> Tables:
    """The tables of an inspection (`app.insight.effort.TABLES`) of the newest version of each network.

    Args:
        names: networks; by default those in `settings.models`.
        effort: how much is looked at.
        by: name → what is looked into, in place of the newest version of each of `names`.

    Returns:
        No table where no network is named.
    """
    if by is None:
        names = names or [name for name in settings.models if is_network(name)]
        by = {name: registry.newest_sound(settings.versions, name) for name in names}
    if not by:
        return {}
    insight, found = start.load("app.insight.inspection"), []
    for name, served in by.items():
        windows = pipeline.make_dataset(settings, prices, pipeline.version_spec(served.version))
        found.append(insight.inspect(name, served.fitted, not_fitted_to(served.version, windows), effort))
    return insight.together(found)


def not_fitted_to(version: registry.Version, windows: Windows) -> Windows:
    """The windows with known actuals that a version was validated on, and those since."""
    card = version.card
    _, validation = split(
        windows.known_by(np.datetime64(card["trained_to"])), card["settings"]["backtest"]["validation"]
    )
    newest = windows.origin.max()
    return windows.known_by(newest).originating(validation.origin.min(), newest + 1)


def _effort(options: Namespace) -> Effort:
    """How much is looked at, from the flags."""
    given = {name: getattr(options, name) for name in LIMITS if getattr(options, name) is not None}
    for name, value in given.items():
        if not value.removeprefix("-").isdecimal():
            raise SettingsError(f"inspect --{name} must be a whole number, got {value!r}.")
    return Effort(**{name: int(value) for name, value in given.items()})


def _networks(settings: Settings, options: Namespace) -> tuple[list[str], list[str]]:
    """The networks asked for, by default the newest there is, and models asked for that are none."""
    if options.models:
        networks = [name for name in settings.models if is_network(name)]
        others = [name for name in settings.models if name not in networks]
        if not networks:
            raise SettingsError(f"{NO_NETWORK.format(' or '.join(others))} Name one that has, as in `--models lstm`.")
        return networks, others
    networks = [name for path in folders(settings.versions) if is_network(name := registry.of_model(path))]
    if not networks:
        raise SettingsError("no saved network yet: run `python -m app train --models lstm` first.")
    return networks[-1:], []


def _write(found: Tables, about: str, draft: Path) -> None:
    save_inspection(found, draft)
    write_inspection(found, "Inside the networks", about, draft)

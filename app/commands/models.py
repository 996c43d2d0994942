"""The commands about saved versions: list, show, compare, promote, rollback, verify."""

import dataclasses
import json
import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from app import pipeline, registry
from app.commands.answer import Answer, plain, records, text
from app.config import SOURCES, Settings
from app.daily.steps import rules
from app.dataset.targets import target
from app.errors import DamageError, DataError, SettingsError
from app.evaluation.gate import decide
from app.evaluation.metrics import common_rows, score
from app.forecasters.base import forecasts_table
from app.journal import Champion, Journal
from app.registry.versions import faults, folders

log = logging.getLogger(__name__)

FORCED = "forced"
"""Begins the reason of a row by which a person promoted a version past the gate."""


def list_(settings: Settings, options: Namespace) -> Answer:
    """Every version, the newest first; the champion of each source of prices is marked, and what is damaged."""
    champions = {one.version: source for source, one in _champions(settings).items()}
    rows = []
    for folder in reversed(folders(settings.versions)):
        try:
            card = registry.read(folder).card
            state = "ok" if all((folder / name).is_file() for name in card["sha256"]) else "damaged"
        except DamageError:
            card, state = {}, "damaged"
        rows.append({"id": folder.name, "champion": champions.get(folder.name), **_summary(card), "state": state})
    shown = pd.DataFrame([{**row, "champion": f"of {row['champion']}" if row["champion"] else ""} for row in rows])
    lines = text(shown.astype(object).fillna("")) if rows else "no versions yet: run `python -m app train`."
    return Answer({"versions": rows}, lines)


def show(settings: Settings, options: Namespace) -> Answer:
    """The card of a version."""
    version = registry.find(settings.versions, options.id)
    result = {"id": version.id, "champion": _champion_of(settings, version.id), **version.card}
    short = {name: value for name, value in result.items() if name not in ("curve", "scores", "settings", "sha256")}
    held_out = version.card.get("held_out", [])
    short["held_out"] = f"{len(held_out)} sessions, {held_out[0]} to {held_out[-1]}" if held_out else "none"
    lines = [f"{name}: {value}" for name, value in short.items()]
    scores = pd.DataFrame(version.card.get("scores", []))
    return Answer(result, "\n".join([*lines, "", "scores on validation:", text(scores.round(6))]))


def compare(settings: Settings, options: Namespace) -> Answer:
    """Two versions on the same rows, which neither was trained on."""
    pair = [registry.find(settings.versions, version) for version in (options.first, options.second)]
    if pair[0].id == pair[1].id:
        raise SettingsError(f"models compare needs two versions, got {pair[0].id!r} twice.")
    since = max(np.datetime64(one.card["trained_to"]) for one in pair)
    prices = pipeline.load_prices(settings)
    table = common_rows(pd.concat([_forecasts(settings, prices, one, since) for one in pair], ignore_index=True))
    if not table["actual"].notna().any():
        raise DataError(
            f"models compare: no outcome is known of a forecast from {since} on, until when one of them was trained. "
            "Train with an earlier --end, or wait for later sessions."
        )
    scores = score(table)
    decision = decide(table, challenger=pair[1].id, champion=pair[0].id, rules=rules(settings))
    result = {"since": str(since), "scores": records(scores), "decision": _plain(dataclasses.asdict(decision))}
    return Answer(result, f"{text(scores.round(6))}\n\n{decision.reason}")


def promote(settings: Settings, options: Namespace) -> Answer:
    """Make a version champion by hand; on record as forced, with the reason given."""
    version = registry.find(settings.versions, options.id)
    journal = Journal(settings.ledger, version.card["source"])
    before = journal.champion()
    if target(version.card.get("target", "return")).kept_as:
        raise SettingsError(f"{version.id} forecasts {version.card['target']}; what is published are returns.")
    if before and before.version == version.id:
        raise SettingsError(f"{version.id} is champion already; `models list` shows it.")
    registry.load(version)
    detail = json.dumps({"forced": True, "card": registry.digest(version.folder / "card.json")})
    return _moved(journal.crown(version.id, f"{FORCED}: {_reason(options)}", detail=detail))


def rollback(settings: Settings, options: Namespace) -> Answer:
    """Put the champion before this one back into service: one row, no model is loaded."""
    journal = Journal(settings.ledger, settings.prices.source)
    line = registry.line(journal.champions())
    if len(line) < 2:
        there = f"{line[0]} is the first" if line else f"there is none yet for prices of {journal.source!r}"
        raise SettingsError(f"no champion to go back to: {there}. `models promote ID --reason …` takes any version.")
    for version in reversed(line[:-1]):
        try:
            registry.sound(registry.find(settings.versions, version))
        except (DamageError, SettingsError) as error:
            log.warning("passed over: %s", error)
            continue
        return _moved(journal.crown(version, f"{registry.ROLLBACK}: {_reason(options)}"))
    raise DamageError(f"every champion before {line[-1]} is gone or damaged; {line[-1]} stays in service.")


def verify(settings: Settings, options: Namespace) -> Answer:
    """Every version and the pointer: hashes, contents, libraries; with --golden each model is loaded and tried, too."""
    check = registry.load if options.golden else registry.sound
    found = dict(faults(settings.versions, check))
    there = {folder.name for folder in folders(settings.versions)}
    for source, champion in _champions(settings).items():
        recorded = json.loads(champion.detail or "{}").get("card")
        if champion.version in found:
            continue
        if champion.version not in there:
            found[f"champion of {source}"] = f"the champion of {source}, {champion.version}, is not there"
        elif recorded and recorded != registry.digest(settings.versions / champion.version / "card.json"):
            found[f"champion of {source}"] = f"the card of {champion.version} is not the one that was promoted"
    result = {"versions": len(there), "damaged": found}
    if not found:
        return Answer(result, f"{len(there)} versions and the champions are as they were saved.")
    names = ", ".join(found)
    failure = DamageError(f"damaged: {names}. Run `python -m app models rollback`, or move the folder away and train.")
    return Answer(result, "\n".join(found.values()), failure=failure)


def _champions(settings: Settings) -> dict[str, Champion]:
    """Source → its champion, of every source that has one."""
    found = {source: Journal(settings.ledger, source).champion() for source in SOURCES}
    return {source: champion for source, champion in found.items() if champion}


def _champion_of(settings: Settings, version: str) -> str | None:
    """The source a version is champion of."""
    return next((source for source, one in _champions(settings).items() if one.version == version), None)


def _summary(card: Mapping[str, Any]) -> dict[str, Any]:
    """What a list shows of a card."""
    crps = {f"crps_{row['horizon']}": round(row["crps"], 6) for row in card.get("scores", [])}
    named = {name: card.get(name) for name in ("model", "source", "trained_to")}
    return {**named, "symbols": len(card.get("symbols", [])), **crps}


def _forecasts(settings: Settings, prices: pipeline.Prices, version: registry.Version, since: Any) -> pd.DataFrame:
    """A version's forecasts from the day on that neither was trained on, under its id."""
    windows = pipeline.make_dataset(settings, prices, pipeline.version_spec(version))
    later = windows.originating(since, windows.origin.max() + 1)
    return forecasts_table(version.id, later, registry.load(version).predict(later))


def _moved(row: Champion) -> Answer:
    was = f", before it {row.previous}" if row.previous else ""
    return Answer(dataclasses.asdict(row), f"champion of {row.source}: {row.version}{was} ({row.reason})")


def _reason(options: Namespace) -> str:
    reason = " ".join((options.reason or "by hand").split())
    if not reason:
        raise SettingsError("--reason must say why, got nothing.")
    return reason


def _plain(values: dict) -> dict:
    return {name: plain(value) for name, value in values.items()}

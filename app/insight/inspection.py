"""Everything there is to see in a trained network, as tables."""

import logging
from collections.abc import Sequence

import pandas as pd

from app.dataset.features import FEATURES
from app.dataset.windows import Windows
from app.forecasters.recurrent import FittedNetwork
from app.insight import attribution, gates, knockout, memory
from app.insight.effort import TABLES, Effort
from app.insight.sample import spread, whole_days

log = logging.getLogger(__name__)

WATCHED = 256
"""Windows at most of which every gate of every row is kept."""

MISSED = 0.02
"""Share of a mean distance by which contributions may fail to add up to one before it is said."""

FRAME = (
    "{} forecasts in units of the volatility that HAR-X expects: all that is shown here is what the network adds to "
    "that line, which has seen the same sessions."
)


def inspect(
    name: str, fitted: FittedNetwork, windows: Windows, effort: Effort | None = None
) -> dict[str, pd.DataFrame]:
    """Look inside a trained network.

    Args:
        name: of the model, the first column of every table.
        fitted: its members are pooled in what they do, averaged in what they forecast.
        windows: with known actuals, every day of a stretch, best not trained on.
        effort: how much is looked at.

    Returns:
        `TABLES` by name; empty where the network has no such thing, and `notes` says why.
    """
    effort, models, windows = effort or Effort(), fitted.models, fitted.framed(windows)
    judged, few = whole_days(windows, effort.windows), spread(windows, effort.gradients)
    log.info("%s: gates on %d windows", name, min(len(windows), effort.windows, WATCHED))
    seen = gates.watched_members(models, windows, min(effort.windows, WATCHED))
    tables = {
        "gates": gates.gate_shares(seen),
        "gate_histograms": gates.gate_histograms(seen),
        "gate_lags": gates.gate_lags(seen),
        "gate_horizons": gates.gate_horizons(seen, windows.spec.horizons),
        "traces": gates.state_traces(models[0], windows),
        "attention": gates.attention_lags(seen),
    }
    rows = memory.rows_asked(models, few, effort.sessions)
    log.info("%s: memory over %d sessions, %d windows", name, rows, len(few))
    norms, outputs = memory.sensitivities(models, few, rows)
    tables["memory"], tables["half_lives"] = memory.memory_by_lag(norms, outputs), memory.half_lives(norms, outputs)
    tables["spectrum"] = memory.state_spectrum(gates.watched_members(models, few, 16))
    tables |= _attributed(name, models, judged, few, effort.repeats)
    log.info("%s: gates held in turn, %d windows", name, len(judged))
    tables["knockout"], tables["knockout_order"] = knockout.knockout(models, judged, seen)
    notes = _notes(name, tables, effort.sessions) + ([("frame", FRAME.format(name))] if fitted.frame else [])
    tables["notes"] = pd.DataFrame(notes, columns=["subject", "note"])
    return {key: tables[key].assign(model=name)[["model", *tables[key].columns]] for key in TABLES}


def together(found: Sequence[dict[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """The tables of several networks, one below the other."""
    return {key: _stacked([tables[key] for tables in found]) for key in TABLES} if found else {}


def _attributed(name: str, models, judged: Windows, few: Windows, repeats: int) -> dict[str, pd.DataFrame]:
    """What forecasts rest on."""
    features = [feature.name for feature in FEATURES]
    log.info("%s: integrated gradients, %d windows", name, len(few))
    parts, differences, outputs = attribution.integrated_gradients(models, few)
    log.info("%s: %d features permuted %d times, %d windows", name, len(features), repeats, len(judged))
    return {
        "attribution": attribution.attribution_table(parts, outputs, features),
        "completeness": attribution.completeness(parts, differences, outputs),
        "importance": attribution.permutation_importance(models, judged, features, repeats),
    }


def _notes(name: str, tables: dict[str, pd.DataFrame], wanted: int) -> list[tuple[str, str]]:
    """What this network has not, in a sentence each."""
    notes, rows = [], int(tables["half_lives"]["rows"].iloc[0])
    if tables["gates"].empty and len(tables["gate_horizons"]):
        notes.append(("gates", f"{name} has gates in its decoder only: they are shown by horizon."))
    elif tables["gates"].empty:
        notes.append(("gates", f"{name} has no gates: there is nothing to show and nothing to hold."))
    if tables["traces"].empty:
        notes.append(("state", f"{name} carries no state from session to session: it has no memory but its window."))
        if rows < wanted:
            notes.append(("memory", f"{name} sees {rows} sessions and nothing before them."))
    elif rows < wanted:
        notes.append(
            ("memory", f"{name} was asked with {rows} sessions: longer windows are few, or it cannot read them.")
        )
    missed = (tables["completeness"]["gap"] / tables["completeness"]["difference"]).max()
    if missed > MISSED:
        notes.append(
            ("attribution", f"{name}: contributions miss what they should add up to by up to {missed:.1%} of its mean.")
        )
    return notes


def _stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other; those without rows only where all are, so that they spoil no column's type."""
    full = [table for table in tables if len(table)]
    return pd.concat(full, ignore_index=True) if full else tables[0]

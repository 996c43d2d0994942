"""The findings of a run on disk, so that its report can be written again later."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from app.atomic import publish_file, publish_text, replace_folder
from app.errors import DamageError, SettingsError
from app.evaluation.significance import Verdict, to_json
from app.report.page import Findings, write_report

TABLES = ("forecasts", "live", "prices", "issues")
TEXT = {"layer": "str"}
"""Columns of a CSV file that look like numbers and are names."""

SHEETS = ("scores", "coverage", "calibration", "pit")
LATER = ("comparison", "superiority", "direction")
"""Tables that folders of earlier releases lack."""


EVIDENCE = ("scores", "calibration", "pit", "comparison", "superiority", "direction")
"""What a back test writes beside its forecasts and verdicts."""

OURS = frozenset(
    [f"{name}.parquet" for name in TABLES]
    + [f"{name}.csv" for name in {*SHEETS, *EVIDENCE, "curves"}]
    + ["about.json", "verdict.json", "report.html", "inspection.html", "figures", "inspection"]
)
"""All that `run`, `backtest` and `inspect` write into a folder: what a later run there replaces."""


def publish_findings(findings: Findings, folder: Path) -> Path:
    """Write the findings and their page into `folder` as one: no reader sees half, no older figure stays.

    Returns:
        The path of the page.

    Raises:
        SettingsError: the folder holds what others made (`app.atomic.ensure_replaceable`).
        StorageError: it cannot be written, or the disk is full.
    """

    def write(draft: Path) -> None:
        save_findings(findings, draft)
        write_report(findings, draft)

    return replace_folder(folder, write, OURS) / "report.html"


def save_findings(findings: Findings, folder: Path) -> None:
    """Write forecasts.parquet, scores.csv, verdict.json and the rest of the findings into `folder`."""
    for name in TABLES:
        publish_file(folder / f"{name}.parquet", partial(getattr(findings, name).to_parquet, index=False))
    for name in (*SHEETS, *LATER):
        publish_file(folder / f"{name}.csv", partial(getattr(findings, name).to_csv, index=False))
    curves = [curve.assign(network=name) for name, curve in findings.curves.items()]
    table = pd.concat(curves) if curves else pd.DataFrame(columns=["epoch", "network"])
    publish_file(folder / "curves.csv", partial(table.to_csv, index=False))
    write_verdicts(findings.verdicts, folder)
    save_inspection(findings.inspection, folder)
    names = ("title", "made_at", "settings", "versions", "stale", "fresh_until", "target")
    about = {name: getattr(findings, name) for name in names}
    publish_text(folder / "about.json", json.dumps(about, indent=1))


def write_verdicts(verdicts: Sequence[Verdict], folder: Path) -> None:
    """Write verdict.json: every verdict for a program."""
    publish_text(Path(folder) / "verdict.json", json.dumps(to_json(verdicts), indent=1, allow_nan=False))


def newest_findings(reports: Path) -> Path | None:
    """The folder of the newest run under `reports` whose findings can be loaded; None where there is none."""
    found = sorted(Path(reports).glob("*/about.json"), key=lambda path: path.stat().st_mtime)
    return found[-1].parent if found else None


def save_inspection(found: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write what was seen inside networks into folder/inspection, a CSV file for each table; an older one goes."""
    for path in (Path(folder) / "inspection").glob("*.csv"):
        path.unlink()
    for name, table in found.items():
        publish_file(Path(folder) / "inspection" / f"{name}.csv", partial(table.to_csv, index=False))


def load_findings(folder: Path) -> Findings:
    """Read what `save_findings` wrote.

    Raises:
        SettingsError: the folder holds no findings.
        DamageError: one of its files cannot be read.
    """
    folder = Path(folder)
    if not (folder / "about.json").exists():
        raise SettingsError(f"{folder} holds no findings of a run: name the folder that `run` printed.")
    try:
        return Findings(
            **{name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES},
            **{name: pd.read_csv(folder / f"{name}.csv") for name in SHEETS},
            **{name: pd.read_csv(path) for name in LATER if (path := folder / f"{name}.csv").exists()},
            **json.loads((folder / "about.json").read_text(encoding="utf-8")),
            verdicts=_verdicts(folder / "verdict.json"),
            curves=_curves(folder / "curves.csv"),
            inspection={path.stem: pd.read_csv(path, dtype=TEXT) for path in (folder / "inspection").glob("*.csv")},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamageError(f"{folder}: findings cannot be read ({error}). Run again.") from error


def _verdicts(path: Path) -> list[Verdict]:
    rows = json.loads(path.read_text(encoding="utf-8"))["verdicts"]
    given = [field.name for field in fields(Verdict)]
    known: list[dict[str, Any]] = [
        {name: np.nan if row.get(name) is None else row[name] for name in given} for row in rows
    ]
    return [Verdict(**row) for row in known]


def _curves(path: Path) -> dict[str, pd.DataFrame]:
    if not path.exists():
        return {}
    return {
        str(name): curve.drop(columns="network") for name, curve in pd.read_csv(path).groupby("network", sort=False)
    }

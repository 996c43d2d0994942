"""The commands of the street: run, fetch, backtest, audit, train, forecast, report, doctor."""

import json
from argparse import Namespace
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd

from app import pipeline
from app.atomic import ensure_writable, publish_file, publish_text
from app.commands.answer import Answer, records, text
from app.config import Settings, shown
from app.daily.freshness import staleness
from app.doctor import examine
from app.errors import DataError
from app.evaluation.significance import to_json
from app.forecasters import NETWORKS
from app.prices.outcomes import raise_failures
from app.report.page import Findings, write_report
from app.report.pricing import price_table
from app.report.record import load_findings, save_findings


def run(settings: Settings, options: Namespace) -> Answer:
    """Prices, back test, training, forecast and report."""
    wanted = Path(options.out) if options.out else None
    for folder in (wanted or settings.data, settings.data, settings.versions):
        ensure_writable(folder)
    prices = pipeline.load_prices(settings)
    windows = pipeline.make_dataset(settings, prices)
    evidence = pipeline.backtest(settings, windows)
    pipeline.train(settings, windows)
    live = pipeline.forecast(settings, prices)
    folder = wanted or _report_folder(settings, live)
    findings = _findings(settings, prices, evidence, live)
    save_findings(findings, folder)
    page = write_report(findings, folder)
    forecasts = {"stale": findings.stale, "forecasts": records(price_table(live))}
    result = {"report": str(page), **to_json(evidence.verdicts), **forecasts}
    return Answer(result, "\n".join([*_sentences(evidence), "", f"report: {page}"]), findings.stale)


def fetch(settings: Settings, options: Namespace) -> Answer:
    """New rows into the ledger."""
    ensure_writable(settings.data)
    done = pipeline.fetch(settings)
    raise_failures(done)
    lines = [f"{one.symbol}: {one.new} new rows, {one.revised} revised" for one in done]
    lines += [one.detail for one in done if one.detail]
    return Answer({"fetched": [asdict(one) for one in done]}, "\n".join([*lines, f"ledger: {settings.ledger}"]))


def backtest(settings: Settings, options: Namespace) -> Answer:
    """Forecasts, scores and verdicts; written to --out when given."""
    if options.out:
        ensure_writable(Path(options.out))
    prices = pipeline.load_prices(settings)
    evidence = pipeline.backtest(settings, pipeline.make_dataset(settings, prices))
    lines = [text(evidence.scores.round(6)), "", *_sentences(evidence)]
    result = {"scores": records(evidence.scores), **to_json(evidence.verdicts)}
    if options.out:
        folder = Path(options.out)
        publish_file(folder / "forecasts.parquet", lambda path: evidence.forecasts.to_parquet(path, index=False))
        for name in ("scores", "calibration", "pit", "comparison", "superiority", "direction"):
            publish_file(folder / f"{name}.csv", partial(getattr(evidence, name).to_csv, index=False))
        publish_text(folder / "verdict.json", json.dumps(to_json(evidence.verdicts), indent=1, allow_nan=False))
        lines += ["", f"results: {folder}"]
    return Answer(result, "\n".join(lines))


def audit(settings: Settings, options: Namespace) -> Answer:
    """Whether any forecast knows the future, check by check."""
    found = pipeline.audit(settings, pipeline.load_prices(settings), options.full)
    failed = sorted({one.check for one in found if not one.passed})
    result = {"clean": not failed, "findings": [asdict(one) for one in found]}
    lines = [
        f"{'pass' if one.passed else 'FAIL'}  {one.check:9}  {f'{one.model}: ' if one.model else ''}{one.detail}"
        for one in found
    ]
    refused = f"audit: {', '.join(failed)} failed; no figure of this back test can be trusted." if failed else None
    epochs = f"{settings.network.epochs} epochs" if options.full else "2 epochs at most, as --full was not given"
    lines.append(f"{sum(one.passed for one in found)} of {len(found)} checks passed; networks trained for {epochs}")
    return Answer(result, "\n".join(lines), refused=refused)


def train(settings: Settings, options: Namespace) -> Answer:
    """New versions of the models."""
    ensure_writable(settings.versions)
    prices = pipeline.load_prices(settings)
    saved = pipeline.train(settings, pipeline.make_dataset(settings, prices))
    result = {
        "versions": [{"id": one.id, "model": one.card["model"], "trained_to": one.card["trained_to"]} for one in saved]
    }
    return Answer(
        result, "\n".join(f"{one.id}: trained on what was known by {one.card['trained_to']}" for one in saved)
    )


def forecast(settings: Settings, options: Namespace) -> Answer:
    """The newest forecast of every symbol, in prices."""
    ensure_writable(settings.data)
    prices, served = pipeline.load_prices(settings), pipeline.served(settings)
    live = pipeline.forecast(settings, prices, served)
    stale = staleness(settings, live)
    table = price_table(live)
    if options.out:
        publish_file(Path(options.out) / "live.csv", lambda path: table.to_csv(path, index=False))
    by = {
        "versions": {name: one.version.id for name, one in served.items()},
        "refused": [reason for one in served.values() for reason in one.refused],
    }
    return Answer({"stale": stale, **by, "forecasts": records(table)}, text(table), stale)


def report(settings: Settings, options: Namespace) -> Answer:
    """The page again, from the folder of an earlier run."""
    folder = Path(options.folder) if options.folder else _newest_report(settings)
    page = write_report(load_findings(folder), Path(options.out) if options.out else folder)
    return Answer({"report": str(page)}, f"report: {page}")


def settings_(settings: Settings, options: Namespace) -> Answer:
    """Every setting with the value it has here, after flags, variables and settings.toml."""
    values = shown(settings)
    sections = [(f"{name}.", value) for name, value in values.items() if isinstance(value, dict)]
    sections.insert(0, ("", {name: value for name, value in values.items() if not isinstance(value, dict)}))
    lines = [f"{prefix}{key} = {json.dumps(value)}" for prefix, section in sections for key, value in section.items()]
    return Answer(values, "\n".join(lines))


def doctor(settings: Settings, options: Namespace) -> Answer:
    """The state of this installation."""
    return Answer(*examine(settings))


def _sentences(evidence: pipeline.Evidence) -> list[str]:
    """The verdicts on the networks, or on all models where there is no network."""
    networks = [verdict.sentence for verdict in evidence.verdicts if verdict.model in NETWORKS]
    return networks or [verdict.sentence for verdict in evidence.verdicts]


def _findings(settings: Settings, prices: pipeline.Prices, evidence: pipeline.Evidence, live: pd.DataFrame) -> Findings:
    """Everything the page shows, gathered."""
    symbols = prices.sound["symbol"].unique()
    return Findings(
        title=f"Forecasts for {', '.join(symbols[:4])}{f' and {len(symbols) - 4} more' if len(symbols) > 4 else ''}",
        made_at=pd.Timestamp.now(tz="UTC").isoformat(timespec="seconds"),
        forecasts=evidence.forecasts,
        scores=evidence.scores,
        coverage=evidence.coverage,
        calibration=evidence.calibration,
        pit=evidence.pit,
        verdicts=evidence.verdicts,
        live=live,
        prices=prices.sound,
        issues=prices.issues,
        curves=dict(evidence.curves),
        settings=pipeline.plain_settings(settings),
        versions=pipeline.package_versions(),
        stale=staleness(settings, live),
    )


def _report_folder(settings: Settings, live: pd.DataFrame) -> Path:
    newest = pd.Timestamp(live["origin"].max()).date().isoformat()
    return settings.data / "reports" / f"{settings.prices.source}-{newest}"


def _newest_report(settings: Settings) -> Path:
    folders = sorted((settings.data / "reports").glob("*/report.html"), key=lambda path: path.stat().st_mtime)
    if not folders:
        raise DataError(f"no report under {settings.data / 'reports'} yet: run `python -m app run` first.")
    return folders[-1].parent

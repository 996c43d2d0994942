"""The commands of the street: run, fetch, backtest, audit, train, forecast, report, doctor."""

import contextlib
import json
import logging
import shutil
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

import pandas as pd

from app import pipeline, registry
from app.atomic import ensure_replaceable, ensure_writable, publish_file, publish_text, replace_folder
from app.commands.answer import Answer, records, text
from app.commands.inspection import glance
from app.config import PriceSettings, Settings
from app.daily.freshness import freshness_told
from app.dataset.targets import target
from app.doctor import examine
from app.errors import DataError, SettingsError
from app.evaluation.significance import to_json, verdicts
from app.forecasters import is_network
from app.prices.outcomes import raise_failures
from app.prices.providers import PROVIDERS
from app.report.page import Findings, write_report
from app.report.pricing import base_model, live_table
from app.report.record import EVIDENCE, OURS, load_findings, newest_findings, publish_findings, write_verdicts

PAGE = ("report.html", "figures", "verdict.json")
"""All that `report` writes."""

SECRETS = {"daily": ("notify_url", "notify_command")}
"""What may hold a password: shown nowhere."""

log = logging.getLogger(__name__)


def run(settings: Settings, options: Namespace) -> Answer:
    """Prices, back test, training, forecast and report."""
    wanted = ensure_replaceable(Path(options.out), OURS) if options.out else None
    for folder in (settings.data, settings.versions):
        ensure_writable(folder)
    prices = pipeline.load_prices(settings)
    windows = pipeline.make_dataset(settings, prices)
    evidence = pipeline.backtest(settings, windows)
    trained = zip(settings.models, pipeline.train(settings, windows), strict=True)
    live = pipeline.forecast(settings, prices, {name: registry.first_sound([one.folder]) for name, one in trained})
    findings = replace(_findings(settings, prices, evidence, live), inspection=glance(settings, prices))
    page = publish_findings(findings, wanted or _report_folder(settings, live))
    signed = evidence.target.signed
    fresh = {"stale": findings.stale, "fresh_until": findings.fresh_until}
    forecasts = {**fresh, "target": findings.target, "forecasts": records(live_table(live, signed))}
    result = {"report": str(page), **to_json(evidence.verdicts), **forecasts}
    return Answer(result, "\n".join([*_sentences(evidence, settings.models), "", f"report: {page}"]), findings.stale)


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
    folder = ensure_replaceable(Path(options.out), OURS) if options.out else None
    prices = pipeline.load_prices(settings)
    evidence = pipeline.backtest(settings, pipeline.make_dataset(settings, prices))
    lines = [text(evidence.scores.round(6)), "", *_sentences(evidence, settings.models)]
    result = {"scores": records(evidence.scores), **to_json(evidence.verdicts)}
    if folder:
        replace_folder(folder, partial(_save_evidence, evidence), OURS)
        lines += ["", f"results: {folder}"]
    return Answer(result, "\n".join(lines))


def audit(settings: Settings, options: Namespace) -> Answer:
    """Whether any forecast knows the future, check by check; written to --out when given."""
    if options.out:
        ensure_writable(Path(options.out))
    found = pipeline.audit(settings, pipeline.load_prices(settings), options.full)
    failed = sorted({one.check for one in found if not one.passed})
    result = {"clean": not failed, "findings": [asdict(one) for one in found]}
    lines = [
        f"{'pass' if one.passed else 'FAIL'}  {one.check:9}  {f'{one.model}: ' if one.model else ''}{one.detail}"
        for one in found
    ]
    if options.out:
        folder = Path(options.out)
        publish_file(folder / "findings.csv", partial(pd.DataFrame(result["findings"]).to_csv, index=False))
        publish_text(folder / "findings.json", json.dumps(result, indent=1, allow_nan=False))
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
    """The newest forecast of every symbol, in prices; written to --out when given."""
    for folder in (settings.data, Path(options.out or settings.data)):
        ensure_writable(folder)
    served = pipeline.served(settings)
    _check_asked(settings, served.values())
    prices = pipeline.load_prices(settings)
    live = pipeline.forecast(settings, prices, served)
    fresh = freshness_told(settings, live)
    table = live_table(live, target(settings.window.target).signed)
    if options.out:
        publish_file(Path(options.out) / "live.csv", lambda path: table.to_csv(path, index=False))
    by = {
        "versions": {name: one.version.id for name, one in served.items()},
        "refused": [reason for one in served.values() for reason in one.refused],
        "warnings": [
            line
            for one in served.values()
            for line in one.warnings(prices.sound["symbol"].unique(), settings.prices.calendar)
        ],
    }
    return Answer({**fresh, **by, "forecasts": records(table)}, text(table), fresh["stale"])


def report(settings: Settings, options: Namespace) -> Answer:
    """The page again, from the folder of an earlier run."""
    folder = Path(options.folder) if options.folder else newest_findings(settings.data / "reports")
    if folder is None:
        raise DataError(f"no report under {settings.data / 'reports'} yet: run `python -m app run` first.")
    findings = _by_now(settings, load_findings(folder))
    if options.out:
        page = replace_folder(Path(options.out), partial(_page_alone, findings), PAGE) / "report.html"
    else:
        page = replace_folder(folder, partial(_page_again, findings, folder), OURS) / "report.html"
    told = {"stale": findings.stale, "fresh_until": findings.fresh_until}
    return Answer({"report": str(page), **told}, f"report: {page}", findings.stale)


def settings_(settings: Settings, options: Namespace) -> Answer:
    """Every setting with the value it has here, after flags, variables and settings.toml."""
    values = shown(settings)
    sections = [(f"{name}.", value) for name, value in values.items() if isinstance(value, dict)]
    sections.insert(0, ("", {name: value for name, value in values.items() if not isinstance(value, dict)}))
    lines = [f"{prefix}{key} = {json.dumps(value)}" for prefix, section in sections for key, value in section.items()]
    return Answer(values, "\n".join(lines))


def shown(settings: Settings) -> dict:
    """Settings as nested plain values, to be looked at; secrets are only said to be there."""
    values = settings.model_dump(mode="json")
    for section, names in SECRETS.items():
        values[section] |= {name: "(not shown)" for name in names if values[section][name]}
    return values


def doctor(settings: Settings, options: Namespace) -> Answer:
    """The state of this installation."""
    return Answer(*examine(settings))


def _check_asked(settings: Settings, served: Iterable[registry.Served]) -> None:
    """Refuse windows other than those a version was trained on; say so where it learnt from another source."""
    for version in (one.version for one in served):
        trained = pipeline.version_spec(version)
        for name in (field.name for field in fields(trained) if field.name != "target"):  # `served` looks to that
            asked, had = getattr(settings.window, name), getattr(trained, name)
            if f"window.{name}" in settings.given and asked != had:
                raise SettingsError(
                    f"{version.id} was trained with window.{name} {had}, asked for {asked}. Leave it out, or train "
                    f"again: `python -m app train --models {version.card['model']}` with the same."
                )
        if version.card.get("source", settings.prices.source) != settings.prices.source:
            source, asked = version.card["source"], settings.prices.source
            log.warning("%s was trained on prices from %r, not from %r", version.id, source, asked)


def _save_evidence(evidence: pipeline.Evidence, folder: Path) -> None:
    """The forecasts, everything measured on them, and the verdicts."""
    evidence.forecasts.to_parquet(folder / "forecasts.parquet", index=False)
    for name in EVIDENCE:
        getattr(evidence, name).to_csv(folder / f"{name}.csv", index=False)
    write_verdicts(evidence.verdicts, folder)


def _by_now(settings: Settings, findings: Findings) -> Findings:
    """The findings, with what the calendar says at this moment of their newest forecast."""
    had = findings.settings["prices"]
    if had["source"] not in PROVIDERS:
        return findings
    prices = PriceSettings(source=had["source"], calendar=had["calendar"])
    return replace(findings, **freshness_told(settings.model_copy(update={"prices": prices}), findings.live))


def _page_again(findings: Findings, folder: Path, draft: Path) -> None:
    """All of a run's folder but its page and its figures, which are made anew."""
    kept = shutil.ignore_patterns(
        "report.html", "figures", *(path.name for path in folder.iterdir() if path.name not in OURS)
    )
    shutil.copytree(folder, draft, ignore=kept, dirs_exist_ok=True)
    write_report(findings, draft)


def _page_alone(findings: Findings, draft: Path) -> None:
    """The page, its figures, and the verdicts for a program."""
    write_report(findings, draft)
    write_verdicts(findings.verdicts, draft)


def _sentences(evidence: pipeline.Evidence, models: Sequence[str]) -> list[str]:
    """The verdicts on the networks, or on all models where there is no network; else what can be said."""
    networks = [verdict.sentence for verdict in evidence.verdicts if is_network(base_model(verdict.model))]
    return networks or [verdict.sentence for verdict in evidence.verdicts] or _without_reference(evidence, models)


def _without_reference(evidence: pipeline.Evidence, models: Sequence[str]) -> list[str]:
    """The other models beside the first one; of one alone, its scores."""
    asked = ((evidence.target.questions[0][0], models[0]),)
    beside = [one.sentence for one in verdicts(evidence.forecasts, asked=asked) if one.model in models]
    return beside or [
        f"no verdict: {row.model} ran alone. At h = {row.horizon} its CRPS is {row.crps:.5f}, and its 90 % intervals "
        f"held {100 * row.coverage_90:.0f} % of {row.n} actuals. Compare it: --models random-walk {row.model}"
        for row in evidence.scores.itertuples()
        if row.model in models
    ]


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
        **freshness_told(settings, live),
        target=evidence.target.name,
        comparison=evidence.comparison,
        superiority=evidence.superiority,
        direction=evidence.direction,
    )


def _report_folder(settings: Settings, live: pd.DataFrame) -> Path:
    """Named after source and newest origin; with a number where somebody keeps files of their own under that name."""
    newest = pd.Timestamp(live["origin"].max()).date().isoformat()
    asked = "" if settings.window.target == "return" else f"-{settings.window.target}"
    place = settings.data / "reports" / f"{pipeline.source_label(settings)}{asked}-{newest}"
    for folder in (place, *(place.with_name(f"{place.name}-{number}") for number in range(2, 100))):
        with contextlib.suppress(SettingsError):
            return ensure_replaceable(folder, OURS)
    return place

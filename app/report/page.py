"""One HTML page that a person can send to somebody: everything in one file, nothing from elsewhere, no script."""

import base64
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from app.atomic import publish_file, publish_text
from app.dataset.targets import TARGETS, Target
from app.evaluation.calibration import CALIBRATION_COLUMNS, PIT_COLUMNS
from app.evaluation.comparison import DIRECTION_COLUMNS, RIVAL_COLUMNS, SUMMARY_COLUMNS
from app.evaluation.significance import Verdict
from app.report import gallery, inspected, many, tables
from app.report.pricing import BESIDE, main_model
from app.report.style import DPI, ahead
from app.report.wording import FILTERS, moment, subject, summary

ISSUES_LISTED = 100
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Findings:
    """Everything a report shows.

    title: of the page; made_at: when, ISO 8601 in UTC.
    forecasts: the back test, or what else `tested` calls it, a forecasts table; live: the newest forecast of each
    symbol, actual NaN.
    scores: `evaluation.metrics.score`, one row per (model, horizon).
    coverage: `evaluation.metrics.coverage`: what central intervals promised (nominal) and reached.
    verdicts: of each model against each reference.
    prices: a price table of sound rows, as traded; issues: what was unsound.
    curves: by network, columns epoch, loss, validation_loss and perhaps member.
    settings: nested; versions: by package.
    stale: why the newest forecast is not fresh, or None. fresh_until: ISO 8601, from when it is not; "" for never.
    calibration, pit: see `evaluation.calibration`; empty when nothing was measured.
    inspection: the tables of `insight.inspection`, by name; empty when no network was looked into.
    target: what was forecast, a name of `dataset.targets.TARGETS`.
    comparison, superiority, direction: see `evaluation.comparison`; empty when nothing was asked.
    """

    title: str
    made_at: str
    forecasts: pd.DataFrame
    scores: pd.DataFrame
    coverage: pd.DataFrame
    verdicts: Sequence[Verdict]
    live: pd.DataFrame
    prices: pd.DataFrame
    issues: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    settings: dict
    versions: dict[str, str]
    tested: str = "back test"
    stale: str | None = None
    fresh_until: str = ""
    calibration: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(CALIBRATION_COLUMNS)))
    pit: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(PIT_COLUMNS)))
    inspection: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    target: str = "return"
    comparison: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(SUMMARY_COLUMNS)))
    superiority: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(RIVAL_COLUMNS)))
    direction: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(DIRECTION_COLUMNS)))


@dataclass(frozen=True)
class Image:
    """A PNG as the page holds it; width and height are in its own pixels."""

    source: Markup
    width: int
    height: int


@dataclass(frozen=True)
class Shown:
    """A picture as the page holds it."""

    image: Image
    narrow: Image | None
    alt: str
    caption: str


def write_report(findings: Findings, folder: Path) -> Path:
    """Write the figures as PNG files into folder/figures, and the page with all of them in it.

    Returns:
        The path of the page, folder/report.html.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    page = _environment().get_template("report.html.j2").render(arrange(findings, Path(folder)))
    path = publish_text(Path(folder) / "report.html", page)
    log.info("report: %.1f MB", path.stat().st_size / 1e6)
    return path


def write_inspection(found: Mapping[str, pd.DataFrame], title: str, about: str, folder: Path) -> Path:
    """Write what was seen inside networks as a page of its own, and its figures as PNG files.

    Args:
        found: the tables of `insight.inspection`, of one network at least.
        title, about: the heading, and one sentence below it.

    Returns:
        The path of the page, folder/inspection.html.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    given = {"title": title, "about": about, "seen": _inside(found, Path(folder))}
    page = _environment().get_template("inspection.html.j2").render(given)
    path = publish_text(Path(folder) / "inspection.html", page)
    log.info("inspection: %s (%.1f MB)", path, path.stat().st_size / 1e6)
    return path


def arrange(findings: Findings, folder: Path) -> dict:
    """What the template lays out, by name; the figures are written on the way."""
    speaker = main_model(findings.live)
    main = speaker if speaker in set(findings.forecasts["model"]) else main_model(findings.forecasts) or speaker
    target = TARGETS[findings.target]
    asked = tables.questions(findings.verdicts, main, target.signed)
    return {
        "findings": findings,
        "made": moment(findings.made_at),
        "fresh_until": moment(findings.fresh_until) if findings.fresh_until else None,
        "subject": subject(findings.live if len(findings.live) else findings.forecasts),
        "main": main,
        "summary": summary(asked, main),
        "questions": asked,
        "others": tables.other_verdicts(findings.verdicts, asked),
        **_newest(findings.live, findings.prices, target),
        "price_columns": tables.PRICE_COLUMNS,
        "target": target,
        "symbol_rows": many.symbol_rows(findings.comparison, main),
        "rival_rows": many.rival_rows(findings.superiority),
        "direction_rows": many.direction_rows(findings.direction, (main, *BESIDE)),
        **_scored(findings.scores, target),
        "calibration_groups": tables.calibration_groups(findings.calibration, main),
        "issue_counts": tables.issue_counts(findings.issues),
        "issues": findings.issues.head(ISSUES_LISTED).to_dict("records"),
        "issues_unlisted": max(0, len(findings.issues) - ISSUES_LISTED),
        "settings": dict(tables.flattened(findings.settings)),
        "seen": _inside(findings.inspection, folder),
        **_figures(findings, main, folder),
    }


def _newest(live: pd.DataFrame, prices: pd.DataFrame, target: Target) -> dict:
    """The newest forecast: what the main model says, and what the others do."""
    newest = tables.newest_rows(live, prices) if target.signed else tables.volatility_rows(live)
    speaker = main_model(live)
    return {
        "newest_model": speaker,
        "newest_rows": [entry for entry in newest if entry["model"] == speaker],
        "newest_others": [entry for entry in newest if entry["model"] != speaker],
    }


def _scored(scores: pd.DataFrame, target: Target) -> dict:
    """The table of scores: its columns, and the models whose loss stands beside every other."""
    loss, beside = target.questions[0][0], list(dict.fromkeys(reference for _, reference in target.questions))
    return {
        "loss_title": next(title for name, title, _ in tables.SCORE_COLUMNS if name == loss),
        "score_columns": [column for column in tables.SCORE_COLUMNS if column[0] in scores],
        "relative_to": [name for name in beside if name in set(scores["model"])],
        "score_groups": tables.score_groups(scores, beside, loss),
    }


def _figures(findings: Findings, main: str | None, folder: Path) -> dict:
    """The pictures of every section, and the model whose CRPS is 1 in those of skill.

    Skill is drawn where CRPS was scored; the newest prices are where the target has a sign: a volatility is no path.
    """
    reference = next((name for name in reversed(BESIDE) if name in set(findings.scores["model"])), None)
    reference = reference if "crps" in findings.scores else None
    ratios = tables.skill_ratios(findings.scores, findings.verdicts, reference) if reference else None
    signed, tested = TARGETS[findings.target].signed, findings.forecasts
    actuals = gallery.actual_pictures(tested, findings.prices) if signed else gallery.volatility_pictures(tested)
    return {
        "reference": reference,
        "skill": [] if ratios is None else _show(gallery.skill_picture(ratios, reference), folder),
        "coverage": _show(gallery.coverage_pictures(findings.coverage, main), folder),
        "pit": _show(gallery.pit_pictures(findings.pit, main), folder),
        "actuals": _show(actuals, folder),
        "newest": _show(gallery.newest_pictures(findings.live, findings.prices), folder) if signed else [],
        "curves": _show(gallery.learning_pictures(findings.curves), folder),
        "curves_unshown": max(0, len(findings.curves) - gallery.NETWORKS),
    }


def _inside(found: Mapping[str, pd.DataFrame], folder: Path) -> dict | None:
    """What the section about the networks themselves shows; None where nobody looked."""
    if not found or found["half_lives"].empty:
        return None
    said = inspected.inside_sentences(found)
    lives = found["half_lives"].assign(part=found["half_lives"]["part"].map(inspected.PARTS))
    return {
        "days": int(found["importance"]["days"].max()),
        "notes": said["notes"],
        "half_lives": lives.to_dict("records"),
        "gate_rows": found["gates"].to_dict("records"),
        "decoder_rows": inspected.decoder_gates(found).to_dict("records"),
        "knockout_words": said["knockout"],
        **{part: _show(pictures, folder) for part, pictures in inspected.pictures(found).items()},
    }


def _show(pictures: Iterable[gallery.Picture], folder: Path) -> list[Shown]:
    """Write each picture to its file, and hold it as text for the page."""
    shown = []
    for picture in pictures:
        name = picture.name.replace(":", ".")  # of a shape; not every disk can write a colon
        path = folder / "figures" / f"{name}.png"
        narrow = _image(picture.narrow, path.with_name(f"{name}-narrow.png")) if picture.narrow else None
        shown.append(Shown(image=_image(picture.figure, path), narrow=narrow, alt=picture.alt, caption=picture.caption))
    return shown


def _image(figure: Figure, path: Path) -> Image:
    """Draw a figure, write it to its file, and return it as a data URI."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    publish_file(path, lambda draft: draft.write_bytes(drawn.getvalue()))
    width, height = (round(inches * DPI) for inches in figure.get_size_inches())
    source = Markup("data:image/png;base64," + base64.b64encode(drawn.getvalue()).decode("ascii"))
    return Image(source=source, width=width, height=height)


def _environment() -> Environment:
    """Templates in which every value is escaped, and no text shows the user's home folder."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: tables.without_home(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS, ahead=ahead)
    return environment

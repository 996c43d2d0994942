"""What the daily run is told: which model it trains and how, when it promotes, whom it notifies."""

from dataclasses import dataclass

from app.allowed import check_ranges
from app.errors import SettingsError
from app.forecasters import check_name

EVENTS = ("failure", "promotion", "drift", "stale")
"""What can be notified."""

SCHEDULES = ("cron", "systemd", "kubernetes", "github", "container")
"""Timers that `schedule --print` knows."""

RANGES = {
    "every": (1, 10_000), "held_out": (10, 1000), "warm_epochs": (1, 1000), "warm_sessions": (60, 100_000),
    "warm_rate": (1e-7, 1.0),
    "margin": (0.0, 0.5), "alpha": (0.0, 0.5), "lateness_min": (0, 100_000),
    "timeout_min": (0.001, 10_000), "memory_gb": (0.01, 10_000), "keep_days": (1, 100_000),
}  # fmt: skip


@dataclass(frozen=True)
class Routine:
    """Settings of the daily run.

    model: what is trained as challenger. baselines: models forecast beside it, fitted anew each time.
    every: sessions from one training to the next. held_out: newest sessions that no candidate is trained on.
    margin: share by which the challenger's CRPS must be lower. alpha: largest p-value that promotes.
    warm: train the champion on, for `warm_epochs` at learning rate `warm_rate` on the newest
    `warm_sessions` that may be learnt from, where it is of the same model and settings; else anew.
    lateness_min: minutes to wait after a session counts as closed. timeout_min, memory_gb: what the
    process of a job may take. keep_days: days that logs and reports are kept. report: write the page
    each session. notify_command: is given the message as its last argument and JSON on its stdin.
    notify_url: the JSON is posted there. notify_on: of which events.
    """

    model: str = "lstm"
    baselines: tuple[str, ...] = ("random-walk", "gjr-garch")
    every: int = 1
    held_out: int = 60
    margin: float = 0.001
    alpha: float = 0.05
    warm: bool = True
    warm_epochs: int = 2
    warm_sessions: int = 756
    warm_rate: float = 1e-3
    lateness_min: int = 0
    timeout_min: float = 60.0
    memory_gb: float = 8.0
    keep_days: int = 30
    report: bool = True
    notify_command: str = ""
    notify_url: str = ""
    notify_on: tuple[str, ...] = EVENTS

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges("daily", self, RANGES)
        for name in (self.model, *self.baselines):
            check_name(name)
        if self.model in self.baselines:
            raise SettingsError(f"daily.baselines must not hold daily.model, got {self.model!r} in both.")
        unknown = [event for event in self.notify_on if event not in EVENTS]
        if unknown:
            raise SettingsError(f"daily.notify_on must be among {list(EVENTS)}, got {unknown[0]!r}.")
        if self.notify_url and not self.notify_url.startswith(("https://", "http://")):
            raise SettingsError(
                "daily.notify_url must begin with https:// or http://; it is not shown here, as it may be secret."
            )

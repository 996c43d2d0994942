"""How a source is asked: how often, how fast, for how long, and when to stop asking."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from app.allowed import check_ranges
from app.prices.outcomes import Outcome

RANGES = {
    "tries": (1, inf), "timeout_s": (0.01, inf), "pause_s": (0, inf), "requests_per_s": (0.001, inf),
    "deadline_s": (0, inf), "breaker": (1, inf), "agree_after_h": (0, inf), "missing_days": (1, inf),
}  # fmt: skip


@dataclass(frozen=True)
class Patience:
    """The settings of a fetch.

    tries: how often one symbol is asked for. timeout_s: how long one answer may take. pause_s: the
    first pause after a failure; it doubles each time and is scattered by half. requests_per_s: tries
    begun per second, over all symbols and all processes of a home. deadline_s: the whole fetch ends within this
    time. breaker: after so many symbols in a row that met a rate limit, or no connection, the rest are not asked.
    agree_after_h: hours after which a later answer can release quarantined rows, unless a session has
    closed since. missing_days: different days on which a source must say that it has no such symbol
    before that is believed of one with stored prices.
    """

    tries: int = 3
    timeout_s: float = 20.0
    pause_s: float = 2.0
    requests_per_s: float = 1.0
    deadline_s: float = 600.0
    breaker: int = 3
    agree_after_h: float = 12.0
    missing_days: int = 5

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges("fetch", self, RANGES)


@dataclass
class Breaker:
    """Says when a source should not be asked any more, and why.

    Args:
        patience: the settings.
        longest_s: how long asking for one symbol may take, in seconds.
        clock: seconds that never go back.
    """

    patience: Patience
    longest_s: float = 0.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    def __post_init__(self) -> None:
        self._began = self.clock()
        self._in_a_row: list[Outcome] = []

    def note(self, outcome: Outcome) -> None:
        """Take in how one symbol ended."""
        if outcome not in (Outcome.RATE_LIMITED, Outcome.UNREACHABLE):
            self._in_a_row.clear()
        else:
            self._in_a_row.append(outcome)

    def closed(self) -> tuple[Outcome, str] | None:
        """None while it may be asked, else the outcome of the symbols that are not asked, and why."""
        if len(self._in_a_row) >= self.patience.breaker:
            last = self._in_a_row[-1]
            return last, f"not asked: {self.patience.breaker} symbols in a row were {last}"
        reserve = min(self.longest_s, self.patience.deadline_s / 2)
        if self.clock() - self._began > self.patience.deadline_s - reserve:
            return Outcome.UNREACHABLE, f"not asked: the {self.patience.deadline_s:g} s of fetch.deadline_s were over"
        return None

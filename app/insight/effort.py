"""How much an inspection looks at, and what it is made of; read without loading Keras."""

from dataclasses import dataclass

from app.errors import SettingsError

TABLES = (
    *(
        "gates",
        "gate_histograms",
        "gate_lags",
        "gate_horizons",
        "traces",
        "attention",
        "memory",
        "half_lives",
        "spectrum",
    ),
    *("attribution", "completeness", "importance", "knockout", "knockout_order", "notes"),
)
"""Every table of an inspection by name; the first column of each is the model."""

LIMITS = {"windows": (2, 100_000), "gradients": (1, 10_000), "sessions": (1, 1000), "repeats": (1, 1000)}


@dataclass(frozen=True)
class Effort:
    """How much is looked at.

    windows: for gates and for every CRPS. gradients: windows that forecasts are differentiated on. sessions: how far
    back, where a network can be asked with longer windows. repeats: permutations of each feature.
    """

    windows: int = 1000
    gradients: int = 32
    sessions: int = 1000
    repeats: int = 5

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"inspect --{name} must be {low} to {high}, got {value}.")


QUICK = Effort(windows=252, gradients=8, sessions=120, repeats=3)
"""For the report of a run."""

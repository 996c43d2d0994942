"""The hyperparameters of a recurrent network: a recipe that can be read without loading Keras."""

from dataclasses import dataclass

from app.dataset.windows import Windows
from app.errors import SettingsError

CELLS = ("simple-rnn", "lstm", "gru")
"""Recurrent cells by the name they have everywhere: settings, command line, tables."""

RANGES = {
    "units": (1, 4096), "layers": (1, 16), "steps": (1, 1000), "epochs": (1, 10_000), "batch": (1, 65_536),
    "updates": (1, 1_000_000), "patience": (1, 10_000), "members": (1, 100),
    "dropout": (0.0, 0.95), "recurrent_dropout": (0.0, 0.95), "learning_rate": (1e-7, 1.0),
    "weight_decay": (0.0, 1.0), "clipnorm": (1e-6, 1e6), "seed": (0, 2**31 - 1),
}  # fmt: skip


@dataclass(frozen=True)
class Network:
    """Recipe of a recurrent network; docs/methods.md explains each choice.

    cell, units, layers, dropout, recurrent_dropout: the network. forget_bias: LSTM forget gates
    start open (Gers et al. 2000; Jozefowicz et al. 2015). steps: supervised rows a chunk; 1 is the
    textbook many-to-one. epochs, updates: at most so many passes, of at most so many gradient steps.
    batch: chunks a gradient step. learning_rate falls to zero along a cosine; clipnorm bounds each
    gradient (Pascanu et al. 2013). patience: epochs without a better validation loss before
    stopping. members: networks, differing in seed, whose quantiles are averaged.
    """

    cell: str = "lstm"
    units: int = 16
    layers: int = 1
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    forget_bias: bool = True
    steps: int = 32
    epochs: int = 10
    updates: int = 500
    batch: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    clipnorm: float = 1.0
    patience: int = 3
    members: int = 1
    seed: int = 0

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise SettingsError(f"network.cell must be one of {sorted(CELLS)}, got {self.cell!r}.")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"network.{name} must be {low} to {high}, got {value}.")

    def fit(self, train: Windows, validation: Windows):
        """Train one network for each member; returns an `app.forecasters.recurrent.FittedNetwork`.

        Raises:
            TrainingError: there is nothing to learn from, or no epoch gave a finite validation loss.
        """
        from app.forecasters.recurrent import train_network  # Keras starts here and nowhere earlier

        return train_network(self, train, validation)

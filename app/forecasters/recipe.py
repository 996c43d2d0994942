"""The hyperparameters of a network: a recipe that can be read without loading Keras."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.allowed import check_ranges
from app.dataset.windows import Windows
from app.errors import SettingsError
from app.forecasters.shapes import SHAPES, SINGLE_ROW, WITHOUT_RECURRENCE, shapes_of, without_meaning
from app.forecasters.start import load

CELLS = (
    "simple-rnn", "lstm", "gru", "peephole-lstm", "depth-gated-lstm", "clockwork-rnn",
    "bidirectional-lstm", "attention-lstm", "transformer", "mlp",
)  # fmt: skip
"""Networks by the name they have everywhere: settings, command line, tables. docs/methods.md has their equations."""

ON_CUDNN = ("lstm", "gru", "bidirectional-lstm", "attention-lstm")
"""Keras hands all rows of a sequence to one kernel of a GPU."""

CARRIED = 8
"""Chunks in a row over which `stateful` hands the state on."""

SCHEDULES = ("cosine", "constant")
FRAMES = ("har-x", "ewma")
"""What tells the volatility that a network forecasts in units of: a model fitted before it, or the past alone."""

INITIALISERS = ("orthogonal", "glorot_uniform", "random_normal")

RANGES = {
    "units": (1, 4096), "layers": (1, 16), "steps": (1, 1000), "epochs": (1, 10_000), "batch": (1, 65_536),
    "updates": (1, 1_000_000), "patience": (1, 10_000), "members": (1, 100),
    "dropout": (0.0, 0.95), "recurrent_dropout": (0.0, 0.95), "learning_rate": (1e-7, 1.0),
    "weight_decay": (0.0, 1.0), "slack": (0.0, 1.0), "clipnorm": (0.0, 1e6), "clipvalue": (0.0, 1e6),
    "median_gain": (0.0, 1.0), "years": (0, 100),
    "heads": (1, 256), "truncation": (0, 10_000), "seed": (0, 2**31 - 1),
}  # fmt: skip


@dataclass(frozen=True)
class Network:
    """Recipe of a network; docs/methods.md explains each choice.

    cell, units, layers, dropout, recurrent_dropout: the network. shape: one of `SHAPES`. frame: one of `FRAMES`.
    median_gain: how fast the median learns, as a share of the rest; at 0 the inputs do not move it. forget_bias:
    LSTM forget gates start open (Gers et al. 2000; Jozefowicz et al. 2015). kernel_initializer: of the weights from
    inputs, those of a decoder, a transformer and an mlp included. recurrent_initializer: of the weights from state
    to state. periods: of the modules of a clockwork-rnn, in sessions. heads: of a transformer's attention. truncation:
    gradients flow back over so many sessions; 0 for all. stateful: in training the state goes on from chunk to chunk.
    years: newest years that are learnt from; 0 for all. steps: supervised rows a chunk; 1 is the textbook
    many-to-one. epochs, updates: at most so many passes, of at most so many gradient steps. batch: chunks a gradient
    step. schedule: learning_rate falls to zero along a cosine, or stays. clipnorm bounds the norm of each weight's
    gradient (Pascanu et al. 2013), clipvalue each of its numbers; 0 for no bound. slack: an epoch is as good as the
    best if its validation loss is at most this share above. patience: epochs in a row that were not as good before
    stopping. members: networks, differing in seed, whose quantiles are averaged.
    """

    cell: str = "lstm"
    shape: str = "many-to-one"
    frame: str = "har-x"
    units: int = 16
    layers: int = 1
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    forget_bias: bool = True
    median_gain: float = 0.1
    years: int = 10
    kernel_initializer: str = "glorot_uniform"
    recurrent_initializer: str = "orthogonal"
    periods: tuple[int, ...] = (1, 2, 4, 8)
    heads: int = 2
    truncation: int = 0
    stateful: bool = False
    steps: int = 32
    epochs: int = 10
    updates: int = 50
    batch: int = 16
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    weight_decay: float = 1e-4
    clipnorm: float = 1.0
    clipvalue: float = 0.0
    patience: int = 3
    slack: float = 0.005
    members: int = 1
    seed: int = 0

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for name, allowed in (
            ("cell", CELLS), ("shape", SHAPES), ("frame", FRAMES), ("schedule", SCHEDULES),
            ("kernel_initializer", INITIALISERS), ("recurrent_initializer", INITIALISERS),
        ):  # fmt: skip
            if getattr(self, name) not in allowed:
                raise SettingsError(f"network.{name} must be one of {sorted(allowed)}, got {getattr(self, name)!r}.")
        check_ranges("network", self, RANGES)
        object.__setattr__(self, "periods", tuple(self.periods))
        for complaint in _complaints(self):
            raise SettingsError(complaint)

    @property
    def depth(self) -> int:
        """Recurrent layers: `layers`, but two at least where the second is what makes the network."""
        return max(2, self.layers) if self.cell == "depth-gated-lstm" else self.layers

    @property
    def segment(self) -> int:
        """Rows over which a gradient flows back through a state in training; 0 for all, and where there is no state."""
        return 0 if self.cell in WITHOUT_RECURRENCE else self.truncation or (self.steps if self.stateful else 0)

    @property
    def carried(self) -> int:
        """Chunks in a row over which a state goes on in training."""
        return CARRIED if self.stateful and self.cell not in WITHOUT_RECURRENCE else 1

    def fit(self, train: Windows, validation: Windows):
        """Train one network for each member; returns an `app.forecasters.recurrent.FittedNetwork`.

        Raises:
            TrainingError: there is nothing to learn from, or no epoch gave a finite validation loss.
        """
        return load("app.forecasters.recurrent").train_network(self, train, validation)


def cudnn_path(network: Network) -> str | None:
    """Why a network does not run on cuDNN's recurrent kernels, and what that costs; None where it does.

    Keras's LSTM and GRU hand all rows of a sequence to one kernel when a GPU is present. Everything
    else is a loop of small operations, one turn a row.

    Source of the cost: F. Chollet (2021), "Deep Learning with Python", 2nd ed., chapter 10; 1,000 rows of an
    LSTM with recurrent dropout: github.com/tensorflow/tensorflow/issues/38236.
    """
    if network.cell in WITHOUT_RECURRENCE:
        return f"network.cell {network.cell!r} has no recurrence: nothing is lost"
    cost = (
        "a loop over the rows takes the place of one kernel; others measured it 2 to 5 times slower on a GPU, "
        "25 times over 1,000 rows"
    )
    if network.cell not in ON_CUDNN:
        return f"network.cell {network.cell!r} has no cuDNN kernel: {cost}"
    if network.recurrent_dropout:
        return f"network.recurrent_dropout {network.recurrent_dropout} leaves the cuDNN path: {cost}"
    return None


def _complaints(network: Network) -> Iterator[str]:
    """Settings that do not go together, each as a message."""
    cell, units, periods = network.cell, network.units, network.periods
    if cell == "clockwork-rnn":
        if not periods or min(periods) < 1 or list(periods) != sorted(periods):
            yield f"network.periods must be sessions from 1, none below the one before it, got {list(periods)}."
        elif units % len(periods):
            yield (
                f"network.units must be a multiple of {len(periods)}, the number of network.periods, got {units}: "
                "each is the clock of an equal module."
            )
    if cell == "transformer" and units % network.heads:
        yield f"network.units must be a multiple of network.heads {network.heads}, got {units}."
    if network.clipnorm and network.clipvalue:
        yield (
            f"network.clipnorm {network.clipnorm} and network.clipvalue {network.clipvalue} exclude each other. "
            "Set one of them to 0."
        )
    yield from _carried_in_vain(network)
    reason = without_meaning(cell, network.shape)
    if reason:
        yield f"network.shape {network.shape!r} has no meaning for {cell!r}: {reason}. Its shapes: {shapes_of(cell)}."


def _carried_in_vain(network: Network) -> Iterator[str]:
    """What is set about a state that is carried on, where none is, each as a message."""
    cell = network.cell
    for name, off in (("truncation", "0"), ("stateful", "false")):
        value = getattr(network, name)
        if value and cell == "bidirectional-lstm":
            yield (
                f"network.{name} must be {off} with network.cell {cell!r}, whose backward pass begins anew in every "
                f"window, got {value}."
            )
        if value and network.shape in SINGLE_ROW:
            yield f"network.{name} must be {off} with network.shape {network.shape!r}, which has no past, got {value}."

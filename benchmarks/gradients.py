"""How much a network's loss depends on each row of a long sequence, before and after it has learnt."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from app.atomic import publish_file
from app.forecasters.recipe import Network
from app.report.memory import gradient_by_lag
from benchmarks.learning import BASE, Trial, learn, learner
from benchmarks.tasks import TASKS

LAG, SEQUENCES = 1000, 32
LARGE = 2
"""Factor on an orthogonal matrix, whose singular values and spectral radius are 1, that makes gradients explode."""


@keras.saving.register_keras_serializable(package="benchmarks")
class Nudge(keras.layers.Layer):
    """Adds a weight of the size of the whole batch, zero at first: its gradient is that by the inputs.

    So one gradient step tells the gradient on any back end, by what it does to this weight.
    """

    def build(self, input_shape):
        self.nudge = self.add_weight(name="nudge", shape=input_shape, initializer="zeros")

    def call(self, inputs):
        return inputs + self.nudge


def norms_by_lag(model: keras.Model, rows: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Norm of the gradient of each sequence's squared error by each of its rows.

    Args:
        model: from (batch, length, features) to (batch, 1), not changed.
        rows: (n, length, features); answers: (n, 1).

    Returns:
        (n, length) norms over features, by lag: 0 is the last row.
    """
    given = keras.Input(batch_shape=rows.shape)
    nudge = Nudge()
    watched = keras.Model(given, model(nudge(given)))
    model.trainable, trainable = False, model.trainable
    watched.compile(keras.optimizers.SGD(1.0), "mse")
    watched.train_on_batch(rows, answers)
    model.trainable = trainable
    gradient = -len(rows) * keras.ops.convert_to_numpy(nudge.nudge).astype("float64")
    return np.linalg.norm(gradient, axis=-1)[:, ::-1]


def measure(lag: int, learnt_lag: int, cap: int) -> pd.DataFrame:
    """Gradients of every network shown, at all lags of sequences of `lag` rows of the adding problem.

    Args:
        lag: rows of the sequences.
        learnt_lag: lag of the adding problem that the networks of the second panel were trained on.
        cap: gradient steps each of those may take.

    Returns:
        Columns panel, network, lag and norm: the geometric mean over sequences, over that at lag 0.
    """
    rows, answers = TASKS["adding"](SEQUENCES, lag, np.random.default_rng(0))
    tables = []
    for panel, name, model in [*_untrained(lag), *_trained(lag, learnt_lag, cap)]:
        norm = _typical(norms_by_lag(model, rows, answers))
        tables.append(pd.DataFrame({"panel": panel, "network": name, "lag": np.arange(lag), "norm": norm}))
    return pd.concat(tables, ignore_index=True)


def draw(folder: Path, learnt_lag: int, cap: int, lag: int = LAG) -> pd.DataFrame:
    """Measure, unless that was done, and keep the numbers and their figure in a folder: gradients.csv, memory.png."""
    place = folder / "gradients.csv"
    if not place.exists():
        found = measure(lag, learnt_lag, cap)
        publish_file(place, lambda draft: found.to_csv(draft, index=False, float_format="%.6g"))
    table = pd.read_csv(place)
    publish_file(folder / "memory.png", lambda draft: gradient_by_lag(table).savefig(draft, dpi=150))
    return table


def _typical(norms: np.ndarray) -> np.ndarray:
    """(lags,) geometric mean over sequences, over that at lag 0; NaN from the lag on at which a float overflowed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.exp(np.log(norms).mean(axis=0))
    overflowed = np.cumsum(~np.isfinite(norms).all(axis=0)) > 0
    return np.where(overflowed, np.nan, mean / mean[0])


def _untrained(lag: int) -> Iterator[tuple[str, str, keras.Model]]:
    shown = {
        "simple-rnn, radius 1": replace(BASE, cell="simple-rnn"),
        f"simple-rnn, radius {LARGE}": replace(BASE, cell="simple-rnn"),
        "lstm, forget bias 1": replace(BASE, cell="lstm"),
        "lstm, forget bias 0": replace(BASE, cell="lstm", forget_bias=False),
        "gru": replace(BASE, cell="gru"),
    }
    for name, network in shown.items():
        start = _enlarged if name.endswith(f"radius {LARGE}") else _fresh
        yield "before training", name, start(network, lag)


def _fresh(network: Network, lag: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    return learner(network, lag)


def _enlarged(network: Network, lag: int) -> keras.Model:
    """The same network with its orthogonal recurrent weights times `LARGE`."""
    model = _fresh(network, lag)
    recurrent = model.get_layer("recurrent_1").cell.recurrent_kernel
    recurrent.assign(LARGE * keras.ops.convert_to_numpy(recurrent))
    return model


def _trained(lag: int, learnt_lag: int, cap: int) -> Iterator[tuple[str, str, keras.Model]]:
    """Networks that were trained on the adding problem at `learnt_lag`; their weights serve any length."""
    for cell in ("simple-rnn", "lstm", "gru"):
        trial = Trial("adding", learnt_lag, cell, "default", 0)
        short, model = learner(trial.network, learnt_lag), learner(trial.network, lag)
        found = learn(trial, cap, short)
        model.set_weights(short.get_weights())
        how = "solved after" if found["solved"] else "not within"
        yield f"after training on lag {learnt_lag}", f"{cell}, {how} {found['steps']:,} steps", model

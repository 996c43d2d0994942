"""The networks of the papers in Keras, trained as their authors say."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from app.errors import TrainingError
from app.forecasters.layers import AttentionPooling
from app.forecasters.networks import Gather
from app.forecasters.recurrent import BestEpoch
from app.reproduce.acl18 import FEATURES, Instances, Protocol, PublishedNetwork
from app.reproduce.fischer_krauss import Ranking, Sequences, StudyPeriod

log = logging.getLogger(__name__)

BATCH = 8192
"""Instances forecast at once."""

REPORT_EVERY = 25


@dataclass(frozen=True, eq=False)
class Trained:
    """score: (n,) of what is tested, higher for up; epoch: the best, from 1; curve: (epochs,) on validation."""

    score: np.ndarray
    epoch: int
    curve: np.ndarray


def direction_network(network: PublishedNetwork) -> keras.Model:
    """(batch, lookback, 11) → (batch, 1): positive for up.

        m_t = tanh(W x_t + b) for each session,  h = LSTM(m),  e = h_T or [h_T ; sum of alpha_t h_t]
        score = w' e + c

    The loss gets penalty / 2 times (w'w + c^2).

    Source: Feng et al. (2019), section 3.1. Two things are only in the authors' code (pred_lstm.py): the penalty
    counts the output's bias c, too, and initial values are Glorot's, those of every bias 0, with forget bias 1.
    """
    rows = keras.Input((network.lookback, len(FEATURES)), name="features")
    mapped = keras.layers.Dense(len(FEATURES), activation="tanh", name="mapped")(rows)
    lstm = keras.layers.LSTM(
        network.units, recurrent_initializer="glorot_uniform", return_sequences=network.attention, name="lstm"
    )
    state = lstm(mapped)
    if network.attention:
        state = keras.layers.Flatten(name="last_and_mean")(AttentionPooling(network.lookback, name="attention")(state))
    penalty = {name: keras.regularizers.L2(network.penalty / 2) for name in ("kernel_regularizer", "bias_regularizer")}
    score = keras.layers.Dense(1, **penalty, name="score")(state)
    return keras.Model(rows, score, name=network.name)


def train_direction(
    network: PublishedNetwork, protocol: Protocol, parts: Sequence[Instances], seed: int, epochs: int = 0
) -> Trained:
    """Train on the first part, choose the epoch by accuracy on the second, forecast the third.

    Hinge loss; the first epoch in order of days, later ones shuffled. The last batch is filled up with the
    rows before it, as the authors do, so that all have one size.

    Args:
        parts: training, validation and test instances.
        epochs: 0 for the protocol's own.

    Raises:
        TrainingError: no epoch gave finite scores.
    """
    keras.utils.set_random_seed(seed)
    training, validation, test = parts
    model = direction_network(network)
    model.compile(keras.optimizers.Adam(protocol.learning_rate, epsilon=1e-8), keras.losses.Hinge(), jit_compile=False)
    sign = np.where(training.up, 1.0, -1.0).astype("float32")[:, None]
    random = np.random.default_rng(seed)
    order = np.arange(len(training))
    best, chosen, curve = (-1.0, 0), None, []
    for epoch in range(1, (epochs or protocol.epochs) + 1):
        rows = _filled(order, protocol.batch)
        model.fit(training.inputs[rows], sign[rows], batch_size=protocol.batch, epochs=1, shuffle=False, verbose=0)
        score = _scores(model, validation.inputs)
        curve.append(float(np.mean((score > 0) == validation.up)))
        if np.isfinite(score).all() and curve[-1] > best[0]:
            best, chosen = (curve[-1], epoch), model.get_weights()
        if epoch % REPORT_EVERY == 0:
            log.info("%s, seed %d: epoch %d, best validation accuracy %.4f", network.name, seed, epoch, best[0])
        order = random.permutation(len(training))
    if chosen is None:
        raise TrainingError(f"{network.name}, seed {seed}: no epoch gave finite scores. Check the prices.")
    model.set_weights(chosen)
    return Trained(_scores(model, test.inputs), best[1], np.array(curve))


def ranking_network(panel: np.ndarray, protocol: Ranking, seed: int) -> keras.Model:
    """(batch, 1) last rows → (batch, 2): the odds of a return below and above the day's median.

    Rows are gathered from the panel inside the graph, so memory is that of the panel, not panel x lookback.
    Dropout is applied to the LSTM's last state, which leaves it on the cuDNN path.

    Args:
        panel: (rows, 1) float32 standardised returns, one symbol after the other.

    Source: Fischer & Krauss (2018), section 3.2: LSTM of 25 units, softmax of two, 2,752 weights.
    """
    ends = keras.Input((1,), dtype="int32", name="ends")
    rows = Gather(protocol.lookback, panel, name="gather")(ends)
    state = keras.layers.LSTM(protocol.units, name="lstm")(rows)
    state = keras.layers.Dropout(protocol.dropout, seed=seed, name="dropout")(state)
    return keras.Model(ends, keras.layers.Dense(2, activation="softmax", name="odds")(state), name="lstm")


def train_ranking(period: StudyPeriod, protocol: Ranking, seed: int, epochs: int, updates: int) -> Trained:
    """Train on one study period, stop by the cross-entropy of its validation days, forecast what is traded.

    Args:
        epochs: at most; 0 for the protocol's own.
        updates: gradient steps an epoch, on sequences drawn anew, checked on a fixed quarter as many; 0 for all.

    Returns:
        score: odds of a return above the median; curve: (epochs,) validation cross-entropy.

    Raises:
        TrainingError: no epoch gave a finite validation loss.
    """
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    model = ranking_network(period.panel, protocol, seed)
    optimizer = keras.optimizers.RMSprop(protocol.learning_rate)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(), jit_compile=False)
    checked = _drawn(period.validation, random, updates * protocol.batch // 4)
    best, curve = BestEpoch(protocol.patience), []
    for epoch in range(1, (epochs or protocol.epochs) + 1):
        drawn = _drawn(period.training, random, updates * protocol.batch)
        model.fit(drawn.ends[:, None], drawn.above, batch_size=protocol.batch, epochs=1, shuffle=False, verbose=0)
        loss = model.evaluate(checked.ends[:, None], checked.above, batch_size=2048, verbose=0)
        curve.append(float(loss))
        log.info("lstm, seed %d: epoch %d, validation cross-entropy %.5f", seed, epoch, loss)
        if best.is_over(model, loss):
            break
    best.restore(model)
    odds = model.predict(period.trading.ends[:, None], batch_size=2048, verbose=0)
    return Trained(odds[:, 1], best.epoch, np.array(curve))


def _drawn(sequences: Sequences, random: np.random.Generator, most: int) -> Sequences:
    """Up to `most` of them, each once, in a new order; 0 for all."""
    order = random.permutation(len(sequences))
    return sequences.take(order[:most] if most else order)


def _filled(order: np.ndarray, batch: int) -> np.ndarray:
    """The order with its last rows once more, where they do not fill a batch."""
    missing = -len(order) % batch if len(order) >= batch else 0
    whole = len(order) // batch * batch
    return np.concatenate([order[:whole], order[-batch:]]) if missing else order


def _scores(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """(n,) scores, a batch at a time."""
    parts = [model(inputs[start : start + BATCH], training=False) for start in range(0, len(inputs), BATCH)]
    return np.concatenate([ops.convert_to_numpy(part)[:, 0] for part in parts])

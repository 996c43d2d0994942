"""Stateful training hands the state on from chunk to chunk, and no gradient back."""

import keras
import numpy as np
import pytest

from app.forecasters import networks
from app.forecasters.recipe import Network

LOOKBACK, FEATURES, STEPS, CHUNKS = 6, 2, 4, 3
ROWS = LOOKBACK - 1 + STEPS * CHUNKS


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="gradients are taken with TensorFlow's tape")
@pytest.mark.parametrize("cell", ["simple-rnn", "gru", "depth-gated-lstm"])
def test_a_row_before_the_seam_moves_a_later_forecast_and_no_gradient_reaches_it(cell):
    """Of the trainer, chunk by chunk: the last forecast of the second is seen from its four rows, and from no other."""
    import tensorflow as tf

    panel = np.random.default_rng(0).normal(size=(ROWS, FEATURES)).astype("float32")
    moved = panel + np.eye(ROWS, dtype="float32")[:, -2 * STEPS - 1, None]
    model = wild(Network(cell=cell, units=4, median_gain=1.0, stateful=True, steps=STEPS))
    trainer, other = (networks.trainer(model, rows, ROWS, STEPS * CHUNKS) for rows in (panel, moved))
    ends, origin = np.array([[ROWS - 1]]), -STEPS - 1
    rows = trainer.get_layer("gather").panel
    with tf.GradientTape() as tape:
        tape.watch(rows)
        median = trainer(ends)[0, origin, 0, 9]
    gradient = tf.convert_to_tensor(tape.gradient(median, rows)).numpy()
    reached = np.flatnonzero(np.abs(gradient).sum(axis=1))
    assert reached.tolist() == list(range(ROWS - 2 * STEPS, ROWS - STEPS))
    assert abs(other(ends)[0, origin, 0, 9] - median) > 1e-4


def wild(recipe: Network) -> keras.Model:
    """An untrained network, every weight then drawn at random, so that nothing is hidden by a zero."""
    start = np.tile(np.linspace(-1, 1, 19), (1, 1))
    model = networks.forecaster(recipe, (LOOKBACK, FEATURES), np.zeros(FEATURES), np.ones(FEATURES), start)
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(scale=0.6, size=weight.shape))
    return model

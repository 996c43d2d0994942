"""Shapes of a network: how many rows it reads, and whether a decoder unrolls over the horizons."""

import dataclasses
import functools
import importlib.util
import itertools
import os
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest

from app.dataset.outlook import OUTLOOK
from app.dataset.windows import Panel, Windows, WindowSpec
from app.errors import SettingsError
from app.forecasters import networks
from app.forecasters.decoder import Decoder
from app.forecasters.recipe import CELLS, Network
from app.forecasters.recurrent import FittedNetwork
from app.forecasters.shapes import SHAPES, shapes_of
from app.registry.archive import check_archive
from app.schema import LEVELS
from tests import reference

RECURRENT = ("simple-rnn", "lstm", "gru", "peephole-lstm", "depth-gated-lstm")
ONE_ROW = ("one-to-many", "one-to-one")
ALLOWED = {
    "many-to-one": set(CELLS),
    "many-to-many": {*RECURRENT, "clockwork-rnn", "bidirectional-lstm", "attention-lstm"},
    "one-to-many": set(RECURRENT),
    "one-to-one": {*RECURRENT, "mlp"},
}
NEW = [(cell, shape) for shape in SHAPES[1:] for cell in CELLS if cell in ALLOWED[shape]]
LOOKBACK, FEATURES, HORIZONS, STEPS = 6, 3, 2, 4
BARE = {"frame": "ewma", "median_gain": 1.0}
"""A network by itself: no other model beneath it, and a median that learns as fast as the rest."""
X = np.random.default_rng(1).normal(size=(5, LOOKBACK, FEATURES)).astype("float32")

needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")


def untrained(recipe: Network) -> keras.Model:
    """The network of a recipe, for features with mean 0.1 and standard deviation 2."""
    start = np.sort(np.random.default_rng(0).normal(size=(HORIZONS, len(LEVELS))), axis=1)
    return networks.forecaster(recipe, (LOOKBACK, FEATURES), np.full(FEATURES, 0.1), np.full(FEATURES, 4.0), start)


@functools.cache
def wild(cell: str, shape: str, **settings) -> keras.Model:
    """An untrained network, every weight then drawn at random, so that nothing is hidden by a zero."""
    model = untrained(Network(cell=cell, shape=shape, **{"units": 4, "periods": (1, 2), **BARE, **settings}))
    rng = np.random.default_rng(2)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(scale=0.6, size=weight.shape))
    return model


def planted(lag: int, seed: int = 0) -> Windows:
    """2,000 rows; one feature of `lag` rows ago says 1 session ahead what comes, and 4 ahead the opposite."""
    rows = 2000
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, FEATURES)).astype("float32")
    told = np.roll(features[:, 0], lag)[:, None] * [1.0, -1.0]
    dates = np.datetime64("2010-01-01") + np.arange(rows)
    panel = Panel(
        spec=WindowSpec(lookback=LOOKBACK, horizons=(1, 4)),
        symbols=("A",),
        offsets=np.array([0, rows]),
        code=np.zeros(rows, "int32"),
        date=dates,
        close=np.ones(rows),
        returns=np.zeros(rows),
        volatility=np.ones(rows),
        features=features,
        outlook=np.zeros((rows, len(OUTLOOK)), "float32"),
        target=dates[:, None] + np.array([1, 4]),
        actual=(told + 0.3 * rng.normal(size=told.shape)) * [1.0, 2.0],
    )
    return Windows(panel, panel.usable_ends(LOOKBACK))


def loss_on_planted(lag: int, shape: str) -> float:
    """Pinball loss after training, over that of quantiles which know only the distribution."""
    windows = planted(lag)
    origins = windows.origin
    recipe = Network(shape=shape, epochs=8, updates=500, batch=4, steps=16, learning_rate=0.04, patience=8, **BARE)
    known = windows.known_by(origins[1400])
    fitted = recipe.fit(known.known_by(origins[1100]), known.originating(origins[1101], origins[1401]))
    test = windows.originating(origins[1410], origins[-1])
    quantiles, blind = fitted.predict(test), np.nanquantile(test.actual, LEVELS, axis=0).T
    losses = [
        reference.pinball(test.actual[:200, None], table, LEVELS)
        for table in (quantiles[:200, None], np.broadcast_to(blind, quantiles[:200].shape)[:, None])
    ]
    return losses[0] / losses[1]


@pytest.mark.parametrize(("cell", "shape"), list(itertools.product(CELLS, SHAPES)))
def test_every_network_has_the_shapes_that_mean_something_for_it_and_refuses_the_others(cell, shape):
    if cell in ALLOWED[shape]:
        assert Network(cell=cell, shape=shape).shape == shape
        assert shape in shapes_of(cell)
        return
    with pytest.raises(SettingsError, match=rf"^network.shape '{shape}' has no meaning for '{cell}': .*\.$") as caught:
        Network(cell=cell, shape=shape)
    assert str(shapes_of(cell)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["truncation", "stateful"])
def test_a_single_row_has_no_past_to_truncate_or_carry(name):
    with pytest.raises(SettingsError, match=rf"network.{name} must be (0|false) with network.shape 'one-to-one'"):
        Network(shape="one-to-one", **{name: True})


def test_many_to_one_is_the_default_and_has_no_decoder():
    assert Network().shape == "many-to-one"
    assert [layer.name for layer in wild("lstm", "many-to-one").layers] == [
        *("features", "standardise", "recurrent_1", "last", "quantiles", "forecast")
    ]


@pytest.mark.parametrize(("cell", "shape"), NEW)
def test_quantiles_never_cross_and_the_file_is_safe_and_the_same(cell, shape, tmp_path):
    model = wild(cell, shape)
    answer = np.asarray(model(X))
    assert answer.shape == (len(X), HORIZONS, len(LEVELS))
    assert (np.diff(answer, axis=-1) > 0).all()
    assert np.ptp(answer[:, :, 9], axis=0).min() > 0
    recipe = Network(cell=cell, shape=shape, units=4, periods=(1, 2), **BARE)
    FittedNetwork(recipe, (model,), _curve()).save(tmp_path)
    check_archive(tmp_path / "member-1.keras")
    loaded = FittedNetwork.load(tmp_path)
    assert loaded.recipe.shape == shape
    np.testing.assert_array_equal(loaded.models[0](X), answer)


@pytest.mark.parametrize(("cell", "shape"), NEW)
def test_a_forecast_knows_the_rows_of_its_shape_and_no_other(cell, shape):
    """Every step of a chunk: later rows change nothing; of one-to-* only the row itself changes anything."""
    length, rng = LOOKBACK + STEPS - 1, np.random.default_rng(3)
    chunk = rng.normal(size=(length, FEATURES)).astype("float32")
    later, earlier = chunk.copy(), chunk.copy()
    later[-2:] += 1
    earlier[: LOOKBACK - 1] += 1
    panel = np.concatenate([chunk, later, earlier])
    model = wild(cell, shape)
    trainer = networks.trainer(model, panel, length, STEPS)
    before, with_later, with_earlier = np.asarray(trainer(np.arange(1, 4)[:, None] * length - 1))
    np.testing.assert_array_equal(before[:-2], with_later[:-2])
    assert (before[-2:] != with_later[-2:]).any(axis=(1, 2)).all()
    assert (before[0] == with_earlier[0]).all() == (shape in ONE_ROW)
    alone = np.asarray(model(chunk[None, :LOOKBACK]))
    np.testing.assert_allclose(before[0], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_network_agrees_with_loops(shape):
    model = wild("lstm", shape)
    weights = iter(np.asarray(weight, "float64") for weight in model.get_weights())
    take = lambda count: [next(weights) for _ in range(count)]  # noqa: E731
    rows = (X.astype("float64") - 0.1) / 2
    encoder = take(3) if shape.startswith("many") else None
    if shape.endswith("one"):
        encoder, decoder = encoder or take(3), None
    else:
        decoder = take(3) + take(2)
    head = take(2)
    for window, answer in zip(rows, np.asarray(model(X)), strict=True):
        seen = window if shape.startswith("many") else window[-1:]
        state = seen[-1] if encoder is None else reference.lstm(seen, *encoder)[-1]
        if decoder is None:
            z = (state @ head[0] + head[1]).reshape(HORIZONS, len(LEVELS))
        else:
            states = reference.decoder(state, HORIZONS, "lstm", decoder[3:], decoder[:3])
            z = states @ head[0] + head[1].reshape(HORIZONS, len(LEVELS))
        np.testing.assert_allclose(answer, [reference.rising(row) for row in z], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", ["simple-rnn", "lstm", "gru", "peephole-lstm", "depth-gated-lstm"])
def test_the_decoder_agrees_with_loops(cell):
    decoder = wild(cell, "one-to-many").get_layer("decoder")
    recurrent = [layer for layer in decoder.layers if isinstance(layer, keras.layers.RNN)]
    weights = [[np.asarray(w, "float64") for w in layer.get_weights()] for layer in recurrent]
    bridges = [[np.asarray(w, "float64") for w in bridge.get_weights()] for bridge in decoder.bridges]
    summary = np.random.default_rng(4).normal(size=(2, 3, FEATURES)).astype("float32")
    answer = np.asarray(decoder(summary))
    assert answer.shape == (2, 3, HORIZONS, 4)
    for place in np.ndindex(2, 3):
        if cell == "depth-gated-lstm":
            slow = reference.depth_gated_decoder(summary[place], HORIZONS, bridges, weights)
        else:
            slow = reference.decoder(summary[place], HORIZONS, cell, bridges[0], weights[0])
        np.testing.assert_allclose(answer[place], slow, rtol=1e-4, atol=1e-5)


def test_layers_of_a_decoder_stack_and_drop_out():
    decoder = wild("gru", "many-to-many", layers=2, dropout=0.2).get_layer("decoder")
    kinds = [type(layer).__name__ for layer in decoder.layers]
    assert kinds == ["GRU", "Dropout", "GRU", "Dropout"]
    assert isinstance(Decoder.from_config(decoder.get_config()), Decoder)


def dropped(layer: keras.layers.Layer) -> np.ndarray:
    """What a layer of ones gives in training: a copy with the seeds of the layer, all its weights 0.1."""
    twin, ones = type(layer).from_config(layer.get_config()), np.ones((2, 3, 4), "float32")
    twin.build(ones.shape)
    twin.set_weights([np.full(weight.shape, 0.1) for weight in twin.get_weights()])
    return np.asarray(twin(ones, training=True))


def test_a_decoder_drops_other_units_than_the_encoder_and_each_layer_its_own():
    model = untrained(Network(cell="gru", shape="many-to-many", units=4, layers=2, dropout=0.5, recurrent_dropout=0.5))
    layers = [*model.layers, *model.get_layer("decoder").layers]
    for kind in (keras.layers.GRU, keras.layers.Dropout):
        dropping = [layer for layer in layers if isinstance(layer, kind)]
        assert len(dropping) == 4
        assert len({dropped(layer).tobytes() for layer in dropping}) == 4
        np.testing.assert_array_equal(dropped(dropping[0]), dropped(dropping[0]))


def learnt(seed: int, elsewhere: int) -> np.ndarray:
    """All weights of an encoder and decoder that drop, after three gradient steps; what else is random has its seed."""
    keras.utils.set_random_seed(0)
    dropping = {"shape": "many-to-many", "dropout": 0.3, "recurrent_dropout": 0.3}
    model, rng = untrained(Network(cell="simple-rnn", units=4, seed=seed, **dropping, **BARE)), np.random.default_rng(5)
    trainer = networks.trainer(model, rng.normal(size=(30, FEATURES)).astype("float32"), LOOKBACK, 1)
    trainer.compile(keras.optimizers.SGD(0.1), networks.PinballLoss(), run_eagerly=True)
    start = np.concatenate([weight.ravel() for weight in model.get_weights()])
    keras.utils.set_random_seed(elsewhere)
    for _ in range(3):
        trainer.train_on_batch(np.arange(10, 20)[:, None], rng.normal(size=(10, 1, HORIZONS)).astype("float32"))
    return np.concatenate([weight.ravel() for weight in model.get_weights()]) - start


def test_what_is_dropped_depends_on_the_networks_seed_alone():
    np.testing.assert_array_equal(learnt(seed=3, elsewhere=1), learnt(seed=3, elsewhere=2))
    assert not np.allclose(learnt(seed=3, elsewhere=1), learnt(seed=4, elsewhere=1))


def test_where_only_the_last_row_matters_it_is_enough():
    """A noise of 0.3 beside a signal of 1: who knows the signal has 0.3 / sqrt(1.09) = 0.287 of the blind loss."""
    assert 0.28 < loss_on_planted(lag=0, shape="one-to-one") < 0.34


@pytest.mark.parametrize(("shape", "low", "high"), [("one-to-one", 0.97, 1.1), ("many-to-many", 0.28, 0.36)])
def test_where_the_past_matters_the_last_row_cannot_know_it(shape, low, high):
    assert low < loss_on_planted(lag=2, shape=shape) < high


ON_JAX = """
import sys
from pathlib import Path
import keras, numpy as np
from app.forecasters import networks
folder = Path(sys.argv[1])
given = np.load(folder / "given.npz")
answers = {"backend": keras.backend.backend()}
for path in sorted(folder.glob("*.keras")):
    model = keras.models.load_model(path, compile=False)
    answers[path.stem] = np.asarray(model(given["inputs"]))
    (folder / "back").mkdir(exist_ok=True)
    model.save(folder / "back" / path.name)
    trainer = networks.trainer(model, given["panel"], 9, 4)
    trainer.compile(keras.optimizers.SGD(0.1), networks.PinballLoss())
    trainer.train_on_batch(given["ends"], given["targets"])
    answers[f"{path.stem} weights"] = np.concatenate([weight.ravel() for weight in model.get_weights()])
np.savez(folder / "answers.npz", **answers)
"""
ACROSS = [("lstm", "many-to-many"), ("depth-gated-lstm", "one-to-many"), ("gru", "one-to-one"),
          ("clockwork-rnn", "many-to-many")]  # fmt: skip


@pytest.fixture(scope="module")
def across(tmp_path_factory):
    """Some networks saved here and loaded by a process on the other back end."""
    folder = tmp_path_factory.mktemp("across")
    for cell, shape in ACROSS:
        wild(cell, shape).save(folder / f"{cell} {shape}.keras")
    rng = np.random.default_rng(5)
    given = {
        "inputs": X,
        "panel": rng.normal(size=(60, FEATURES)).astype("float32"),
        "ends": np.arange(20, 28)[:, None],
        "targets": rng.normal(size=(8, 4, HORIZONS)).astype("float32"),
    }
    np.savez(folder / "given.npz", **given)
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    environment = {**os.environ, "KERAS_BACKEND": other, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", ON_JAX, str(folder)], env=environment, check=True, capture_output=True)
    answers = np.load(folder / "answers.npz")
    assert answers["backend"] == other
    return folder, given, answers


@needs_jax
@pytest.mark.parametrize(("cell", "shape"), ACROSS)
def test_the_other_back_end_forecasts_and_learns_the_same(cell, shape, across):
    folder, given, answers = across
    name, here = f"{cell} {shape}", np.asarray(wild(cell, shape)(X))
    np.testing.assert_allclose(answers[name], here, rtol=1e-4, atol=1e-5)
    back = keras.models.load_model(folder / "back" / f"{name}.keras", compile=False)
    np.testing.assert_array_equal(np.asarray(back(X)), here)
    trainer = networks.trainer(back, given["panel"], 9, 4)
    trainer.compile(keras.optimizers.SGD(0.1), networks.PinballLoss())
    trainer.train_on_batch(given["ends"], given["targets"])
    learnt = np.concatenate([np.asarray(weight).ravel() for weight in back.get_weights()])
    np.testing.assert_allclose(answers[f"{name} weights"], learnt, rtol=1e-3, atol=1e-5)


def test_stateful_training_reads_longer_chunks_and_cuts_the_gradient_at_each_seam(monkeypatch):
    """Eight chunks in a row: the same states as one long pass; no gradient from a chunk into the one before."""
    windows = planted(lag=0)
    seen = []
    original = networks.trainer

    def spy(model, panel, length, steps):
        seen.append((length, steps))
        return original(model, panel, length, steps)

    monkeypatch.setattr(networks, "trainer", spy)
    recipe = Network(cell="simple-rnn", units=4, steps=4, epochs=1, learning_rate=3e-3, stateful=True, **BARE)
    known = windows.known_by(windows.origin[400])
    fitted = recipe.fit(
        known.known_by(windows.origin[300]), known.originating(windows.origin[301], windows.origin[401])
    )
    assert seen == [(LOOKBACK + 31, 32), (LOOKBACK + 3, 4)]  # validated as it will forecast
    assert (recipe.segment, Network(stateful=True, truncation=7).segment, Network().segment) == (4, 7, 0)
    plain = wild("simple-rnn", "many-to-one")
    plain.set_weights(fitted.models[0].get_weights())
    shifted = untrained(recipe)
    shifted.set_weights(fitted.models[0].get_weights())
    np.testing.assert_allclose(shifted(X), plain(X), rtol=1e-5, atol=1e-6)
    assert dataclasses.replace(recipe, stateful=False).segment == 0


def _curve() -> pd.DataFrame:
    return pd.DataFrame({"epoch": [1]})

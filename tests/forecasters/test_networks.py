"""Every network by its name: it trains, saves, loads, knows nothing of the future, and is the same on JAX."""

import dataclasses
import functools
import importlib.util
import logging
import os
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.errors import SettingsError, TrainingError
from app.forecasters import NETWORKS, is_network, make_recipe, networks, recurrent
from app.forecasters.recipe import CELLS, Network, cudnn_path
from app.forecasters.shapes import WITHOUT_RECURRENCE
from app.registry.archive import check_archive

SPEC = WindowSpec(lookback=6, horizons=(1, 3))
SMALL = Network(units=8, epochs=1, steps=5, batch=8)
STEPS, AHEAD = 4, 3
WHOLE_WINDOW = ("bidirectional-lstm", "mlp")

needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")


@functools.cache
def dataset() -> Windows:
    """Two random walks of 1 % a session."""
    dates = pd.bdate_range("2023-12-29", periods=110).to_numpy()
    rng = np.random.default_rng(0)
    tables = []
    for symbol in ("A", "B"):
        close = 50 * np.exp(0.01 * rng.normal(size=len(dates)).cumsum())
        columns = {"open": close, "high": close * 1.004, "low": close * 0.996, "close": close, "volume": 1e6}
        tables.append(pd.DataFrame({"symbol": symbol, "date": dates, **columns, "dividend": 0.0, "split": 1.0}))
    return make_windows(pd.concat(tables, ignore_index=True), SPEC, "24/5")


@functools.cache
def trained(cell: str) -> recurrent.FittedNetwork:
    """The network of that name after one epoch, every weight then pushed at random so that no effect is small."""
    windows = dataset()
    known = windows.known_by(windows.origin[len(windows) // 2 - 1])
    cut = known.origin[len(known) // 3]
    fitted = dataclasses.replace(SMALL, cell=cell).fit(known.known_by(cut), known.originating(cut + 1, cut + 1000))
    rng = np.random.default_rng(1)
    for weight in fitted.models[0].trainable_variables:
        weight.assign(keras.ops.convert_to_numpy(weight) + rng.normal(scale=0.3, size=weight.shape))
    return fitted


@functools.cache
def every_step(cell: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One-pass forecasts at the last STEPS rows of ten chunks and of the same with their last AHEAD rows changed.

    Returns the forecasts before and after, and those of each row's own window.
    """
    windows = dataset()
    true = np.array(windows.panel.features)
    starts = windows.ends[20:30]
    rows = starts[:, None] + np.arange(STEPS)
    rng = np.random.default_rng(2)
    length = SPEC.lookback + STEPS - 1
    chunks = [(true[end - length + 1 : end + 1], rng.normal(size=(AHEAD, true.shape[1]))) for end in rows[:, -1]]
    panel = np.concatenate([*(chunk for chunk, _ in chunks), *(np.concatenate([c[:-AHEAD], new]) for c, new in chunks)])
    trainer = networks.trainer(trained(cell).models[0], panel.astype("float32"), length, STEPS)
    ends = np.arange(1, 21)[:, None] * length - 1
    before, after = trainer.predict_on_batch(ends[:10]), trainer.predict_on_batch(ends[10:])
    alone = trained(cell).models[0].predict_on_batch(Windows(windows.panel, rows.ravel()).gather())
    return before, after, alone.reshape(10, STEPS, *alone.shape[1:])


def test_every_cell_is_a_choice_by_name():
    assert set(NETWORKS) == set(CELLS)
    assert [make_recipe(name, {"network": SMALL}).cell for name in CELLS] == list(CELLS)


def test_a_name_may_carry_a_shape_which_wins_over_the_setting():
    sections = {"network": dataclasses.replace(SMALL, shape="one-to-one")}
    made = {name: make_recipe(name, sections) for name in ("gru", "gru:many-to-one", "lstm:one-to-many")}
    assert [recipe.shape for recipe in made.values()] == ["one-to-one", "many-to-one", "one-to-many"]
    assert [recipe.cell for recipe in made.values()] == ["gru", "gru", "lstm"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("lstm", True), ("lstm:many-to-many", True), ("har", False), ("lstm-volatility", False), ("lstm:x", False),
     ("lstm:many-to-many-volatility", False)],
)  # fmt: skip
def test_a_network_is_known_by_its_name(name, expected):
    assert is_network(name) == expected


@pytest.mark.parametrize("cell", CELLS)
def test_it_trains_and_its_quantiles_never_cross(cell):
    fitted = trained(cell)
    assert len(fitted.curve) == 1
    assert np.isfinite(fitted.curve.to_numpy(float)).all()
    quantiles = fitted.predict(dataset())
    assert quantiles.shape == (len(dataset()), 2, 19)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) > 0).all()
    assert np.ptp(quantiles[:, 0, 9]) > 0


@pytest.mark.parametrize("cell", CELLS)
def test_saved_and_loaded_gives_identical_forecasts(cell, tmp_path):
    trained(cell).save(tmp_path)
    loaded = recurrent.FittedNetwork.load(tmp_path)
    assert loaded.recipe == trained(cell).recipe
    np.testing.assert_array_equal(loaded.predict(dataset()), trained(cell).predict(dataset()))


@pytest.mark.parametrize("cell", CELLS)
def test_an_every_step_forecast_knows_nothing_of_later_rows(cell):
    before, after, _ = every_step(cell)
    np.testing.assert_array_equal(before[:, :-AHEAD], after[:, :-AHEAD])
    for step in range(STEPS - AHEAD, STEPS):
        assert (before[:, step] != after[:, step]).any(axis=(1, 2)).all()


@pytest.mark.parametrize("cell", CELLS)
def test_every_step_and_many_to_one_agree_where_the_context_is_the_same(cell):
    """At the first supervised row of a chunk for all, and at every row for those that read windows only."""
    before, _, alone = every_step(cell)
    steps = STEPS if cell in WHOLE_WINDOW else 1
    np.testing.assert_allclose(before[:, :steps], alone[:, :steps], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_a_forecast_is_the_same_in_any_company(cell):
    windows = dataset()
    few = Windows(windows.panel, windows.ends[7:12])
    np.testing.assert_allclose(trained(cell).predict(few), trained(cell).predict(windows)[7:12], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "cell", ["lstm", "depth-gated-lstm", "bidirectional-lstm", "attention-lstm", "transformer", "mlp"]
)
def test_layers_and_dropout_stack(cell):
    options = {"layers": 2, "dropout": 0.2}
    one, two = (_untrained(cell, **choice) for choice in ({}, options))
    if cell == "depth-gated-lstm":  # never less than two
        assert one.count_params() == two.count_params() < _untrained(cell, layers=3).count_params()
    else:
        assert one.count_params() < two.count_params()
    assert 0.2 in [getattr(layer, "rate", None) for layer in two._flatten_layers()]


@pytest.mark.parametrize("cell", ["simple-rnn", "lstm", "gru", "peephole-lstm", "clockwork-rnn", "attention-lstm"])
def test_truncation_is_for_learning_only(cell, tmp_path):
    """The weights of a network serve the truncated one, and give its forecasts, saved or not."""
    inputs = dataset().gather()[:4]
    whole, truncated = _untrained(cell), _untrained(cell, truncation=4)
    for model in (whole, truncated):
        model.set_weights(trained(cell).models[0].get_weights())
    truncated.save(tmp_path / "truncated.keras")
    for model in (truncated, keras.models.load_model(tmp_path / "truncated.keras")):
        np.testing.assert_allclose(model(inputs), whole(inputs), rtol=1e-5, atol=1e-6)


def test_the_clocks_of_every_module_strike_at_the_origin():
    model = _untrained("clockwork-rnn")
    assert model.get_layer("recurrent_1").cell.start == SPEC.lookback - 1


@pytest.mark.parametrize(("cell", "shape"), [*((cell, "many-to-one") for cell in CELLS), ("gru", "many-to-many"),
                                             ("peephole-lstm", "one-to-one")])  # fmt: skip
def test_weights_from_inputs_are_drawn_as_set(cell, shape, tmp_path):
    """Columns or rows of an orthogonal matrix have products 0 and 1, whoever draws it; others have not."""
    for initialiser, orthogonal in (("orthogonal", True), ("glorot_uniform", False)):
        model = _untrained(cell, shape=shape, units=8, kernel_initializer=initialiser)
        model.save(tmp_path / "drawn.keras")
        check_archive(tmp_path / "drawn.keras")
        found = [_is_orthogonal(np.asarray(weight)) for weight in _from_inputs(model)]
        assert set(found) == {orthogonal}


def _from_inputs(model: keras.Model) -> list:
    """Weights from what is read, up to the head."""
    named = [weight for weight in model.weights if weight.path.rpartition("/")[2] in ("kernel", "depth_kernel")]
    return [
        weight
        for weight in named
        if not any(part in weight.path for part in ("quantiles", "bridge", "attention/kernel"))
    ]


def _is_orthogonal(weight: np.ndarray) -> bool:
    flat = weight.reshape(-1, weight.shape[-1])
    flat = flat.T if flat.shape[0] < flat.shape[1] else flat
    return bool(np.allclose(flat.T @ flat, np.eye(flat.shape[1]), atol=1e-4))


@pytest.mark.parametrize(("settings", "clip"), [({}, (1.0, None)), ({"clipnorm": 0, "clipvalue": 0.5}, (None, 0.5)),
                                                ({"clipnorm": 0}, (None, None))])  # fmt: skip
def test_gradients_are_clipped_as_set(settings, clip):
    optimizer = recurrent.optimizer(Network(**settings), updates=10)
    assert (optimizer.clipnorm, optimizer.clipvalue) == clip


def test_the_learning_rate_falls_along_a_cosine_or_stays():
    falling = recurrent.optimizer(Network(epochs=2), updates=10)._learning_rate
    staying = recurrent.optimizer(Network(epochs=2, schedule="constant"), updates=10)
    assert [round(float(falling(step)), 6) for step in (0, 10, 20)] == [1e-3, 5e-4, 0]
    assert float(staying.learning_rate) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell": "ltsm"}, r"network.cell must be one of \['attention-lstm', .*got 'ltsm'\.$"),
        ({"cell": "mlp", "units": 0}, "network.units must be 1 to 4096, got 0"),
        ({"cell": "clockwork-rnn", "units": 18}, "network.units must be a multiple of 4, .* got 18"),
        ({"cell": "clockwork-rnn", "periods": (4, 2)}, r"network.periods must be sessions from 1, .* got \[4, 2\]"),
        ({"cell": "clockwork-rnn", "periods": (0, 2)}, "network.periods must be"),
        ({"cell": "clockwork-rnn", "periods": ()}, r"network.periods must be .* got \[\]"),
        ({"cell": "transformer", "heads": 3}, "network.units must be a multiple of network.heads 3, got 16"),
        ({"clipvalue": 1.0}, "network.clipnorm 1.0 and network.clipvalue 1.0 exclude each other. Set one of them to 0"),
        ({"cell": "bidirectional-lstm", "truncation": 5}, "network.truncation must be 0 with network.cell"),
        ({"schedule": "linear"}, r"network.schedule must be one of \['constant', 'cosine'\], got 'linear'"),
        ({"recurrent_initializer": "zeros"}, "network.recurrent_initializer must be one of"),
        ({"kernel_initializer": "he"}, r"network.kernel_initializer must be one of \['glorot_uniform', .*got 'he'\.$"),
    ],
)
def test_nonsense_is_refused_in_one_line(settings, message):
    with pytest.raises(SettingsError, match=message) as caught:
        Network(**settings)
    assert "\n" not in str(caught.value)


DRAWING = {"mlp": 2, "transformer": 6, "bidirectional-lstm": 10}
"""What draws in two layers: outputs; attention and two outputs. In all others states and outputs, twice with a decoder;
a bidirectional-lstm reads with two states a layer, and decodes with one."""


@pytest.mark.parametrize("cell", CELLS)
def test_whatever_drops_draws_from_a_seed_of_its_own(cell):
    shape = "many-to-one" if cell in WITHOUT_RECURRENCE else "many-to-many"
    model = _untrained(cell, shape=shape, layers=2, dropout=0.5, recurrent_dropout=0.5, seed=7)
    seeds = [int(variable[0]) for variable in model.variables if "seed_generator" in variable.path]
    assert len(set(seeds)) == DRAWING.get(cell, 8)


@pytest.mark.parametrize("cell", ["peephole-lstm", "depth-gated-lstm", "clockwork-rnn"])
@pytest.mark.parametrize("settings", [{}, {"truncation": 4}, {"shape": "many-to-many"}], ids=str)
def test_a_network_with_recurrent_dropout_forecasts_without_and_is_saved(cell, settings, tmp_path):
    plain, model = _untrained(cell, **settings), _untrained(cell, recurrent_dropout=0.5, **settings)
    rng = np.random.default_rng(4)
    model.set_weights([rng.normal(scale=0.4, size=weight.shape) for weight in model.get_weights()])
    plain.set_weights(model.get_weights())
    inputs = dataset().gather()[:4]
    np.testing.assert_array_equal(model(inputs), plain(inputs))
    taught = [np.asarray(model(inputs, training=True)) for _ in range(2)]
    assert not np.allclose(*taught, atol=1e-3)
    model.save(tmp_path / "dropped.keras")
    check_archive(tmp_path / "dropped.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "dropped.keras")(inputs), plain(inputs))


def test_what_does_not_concern_a_network_does_not_stop_it():
    Network(cell="lstm", units=18)
    for cell in WITHOUT_RECURRENCE:
        idle = Network(cell=cell, recurrent_dropout=0.1, truncation=5, stateful=True, periods=(3, 2))
        assert (idle.segment, idle.carried) == (0, 1)
    assert Network(cell="gru", stateful=True).carried > 1


def test_periods_given_as_a_list_make_the_same_recipe():
    assert Network(periods=[1, 2]) == Network(periods=(1, 2))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"cell": "lstm"}, None),
        ({"cell": "gru", "truncation": 20, "dropout": 0.1}, None),
        ({"cell": "bidirectional-lstm"}, None),
        ({"cell": "attention-lstm"}, None),
        ({"cell": "lstm", "recurrent_dropout": 0.1}, "network.recurrent_dropout 0.1 leaves the cuDNN path: a loop"),
        ({"cell": "clockwork-rnn"}, "network.cell 'clockwork-rnn' has no cuDNN kernel: a loop"),
        ({"cell": "simple-rnn"}, "network.cell 'simple-rnn' has no cuDNN kernel: a loop"),
        ({"cell": "transformer"}, "network.cell 'transformer' has no recurrence: nothing is lost"),
    ],
)
def test_what_leaves_the_cudnn_path_says_so(settings, reason):
    found = cudnn_path(Network(**settings))
    assert found is None if reason is None else found.startswith(reason)


@pytest.mark.parametrize(
    ("devices", "cell", "lines"),
    [
        (["gpu:0"], "clockwork-rnn", ["WARNING"]),
        (["gpu:0"], "lstm", []),
        (["gpu:0"], "mlp", []),
        (["cpu:0"], "clockwork-rnn", ["INFO"]),
    ],
)
def test_one_line_is_logged_where_a_gpu_is_or_would_be_wasted(devices, cell, lines, monkeypatch, caplog):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: devices)
    none = Windows(dataset().panel, dataset().ends[:0])
    with caplog.at_level(logging.INFO), pytest.raises(TrainingError):
        Network(cell=cell, frame="ewma").fit(none, none)
    assert [record.levelname for record in caplog.records if "cuDNN is not used" in record.message] == lines


ON_JAX = """
import sys
from pathlib import Path
import keras, numpy as np
from app.forecasters import networks
folder = Path(sys.argv[1])
assert keras.backend.backend() == "jax"
given = np.load(folder / "given.npz")
answers = {}
for path in sorted(folder.glob("*.keras")):
    model = keras.models.load_model(path, compile=False)
    answers[path.stem] = np.asarray(model(given["inputs"]))
    (folder / "back").mkdir(exist_ok=True)
    model.save(folder / "back" / path.name)
    if path.stem in ("clockwork-rnn", "depth-gated-lstm", "dropped"):
        trainer = networks.trainer(model, given["panel"], 9, 4)
        trainer.compile(keras.optimizers.SGD(0.1), networks.PinballLoss())
        trainer.train_on_batch(given["ends"], given["targets"])
        for number, weight in enumerate(model.get_weights()):
            answers[f"{path.stem} {number}"] = weight
np.savez(folder / "answers.npz", **answers)
"""


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    """Every network saved here and loaded by a process on JAX: the folder, what was given, what came back."""
    folder = tmp_path_factory.mktemp("jax")
    windows = dataset()
    for cell in CELLS:
        trained(cell).models[0].save(folder / f"{cell}.keras")
    _dropped().save(folder / "dropped.keras")
    given = {
        "inputs": windows.gather()[:6],
        "panel": np.array(windows.panel.features),
        "ends": windows.ends[20:28, None],
        "targets": np.random.default_rng(3).normal(size=(8, 4, 2)).astype("float32"),
    }
    np.savez(folder / "given.npz", **given)
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", ON_JAX, str(folder)], env=environment, check=True, capture_output=True)
    return folder, given, np.load(folder / "answers.npz")


@needs_jax
@pytest.mark.parametrize("cell", CELLS)
def test_jax_forecasts_the_same_from_the_same_file(cell, on_jax):
    folder, given, answers = on_jax
    here = np.asarray(trained(cell).models[0](given["inputs"]))
    np.testing.assert_allclose(answers[cell], here, rtol=1e-4, atol=1e-5)
    back = keras.models.load_model(folder / "back" / f"{cell}.keras", compile=False)
    np.testing.assert_array_equal(np.asarray(back(given["inputs"])), here)


@needs_jax
@pytest.mark.parametrize("cell", ["clockwork-rnn", "depth-gated-lstm"])
def test_a_gradient_step_is_the_same_on_jax(cell, on_jax):
    folder, given, answers = on_jax
    model = keras.models.load_model(folder / f"{cell}.keras", compile=False)
    before = model.get_weights()
    trainer = networks.trainer(model, given["panel"], 9, 4)
    trainer.compile(keras.optimizers.SGD(0.1), networks.PinballLoss())
    trainer.train_on_batch(given["ends"], given["targets"])
    after = model.get_weights()
    for number, weight in enumerate(after):
        np.testing.assert_allclose(answers[f"{cell} {number}"], weight, rtol=1e-3, atol=1e-5)
    assert not np.allclose(before[-2], after[-2])


@needs_jax
def test_recurrent_dropout_forecasts_the_same_on_jax_and_trains_there(on_jax):
    _, given, answers = on_jax
    np.testing.assert_allclose(answers["dropped"], _dropped()(given["inputs"]), rtol=1e-4, atol=1e-5)
    before = _dropped().get_weights()
    after = [answers[f"dropped {number}"] for number in range(len(before))]
    assert all(np.isfinite(weight).all() for weight in after)
    assert not np.array_equal(before[-1], after[-1])


def _dropped() -> keras.Model:
    """A network with recurrent dropout."""
    return _untrained("peephole-lstm", recurrent_dropout=0.5)


def _untrained(cell: str, **settings) -> keras.Model:
    features = dataset().panel.features.shape[1]
    start = np.sort(np.random.default_rng(0).normal(size=(2, 19)), axis=1)
    recipe = dataclasses.replace(SMALL, cell=cell, **settings)
    return networks.forecaster(recipe, (SPEC.lookback, features), np.zeros(features), np.ones(features), start)

"""Train a network, forecast with it, save it."""

import json
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from app.dataset.windows import Chunks, Windows
from app.errors import TrainingError
from app.forecasters import networks
from app.forecasters.gradients import GradientWatch
from app.forecasters.harx import FittedHarX, HarX
from app.forecasters.recipe import Network, cudnn_path
from app.forecasters.shapes import WITHOUT_RECURRENCE
from app.forecasters.start import gpu_visible
from app.schema import LEVELS

log = logging.getLogger(__name__)

BATCH = 2048
"""Windows forecast at once."""


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """Trained members, and the curve of their training (columns epoch, loss, validation_loss, gradient_norm,
    gradient_ratio, gradient_reach, kept, member; `app.forecasters.gradients` says what the three are).
    frame: tells the volatility that is the unit of their forecasts; None: that known at the origin."""

    recipe: Network
    models: tuple[keras.Model, ...]
    curve: pd.DataFrame = field(repr=False)
    frame: FittedHarX | None = None

    def predict(self, windows: Windows) -> np.ndarray:
        """(n, horizons, levels) quantiles of the target: the mean over members."""
        parts = [np.zeros((0, len(windows.spec.horizons), len(LEVELS)))]
        for batch in self.framed(windows).batches(BATCH):
            inputs = _padded(batch.gather())
            scaled = np.mean([np.asarray(model.predict_on_batch(inputs), "float64") for model in self.models], axis=0)
            parts.append(batch.restored(scaled[: len(batch)]))
        return np.concatenate(parts)

    def framed(self, windows: Windows) -> Windows:
        """The same windows in the frame that the network forecasts in."""
        return windows if self.frame is None else self.frame.of(windows)

    def save(self, folder: Path) -> None:
        """One `.keras` file a member, the frame they forecast in, and the training curve."""
        if self.frame is not None:
            self.frame.save(folder)
        for number, model in enumerate(self.models, start=1):
            model.save(Path(folder) / f"member-{number}.keras")
        self.curve.to_csv(Path(folder) / "curve.csv", index=False)
        (Path(folder) / "network.json").write_text(json.dumps(asdict(self.recipe), indent=1))

    @classmethod
    def load(cls, folder: Path) -> "FittedNetwork":
        """What `save` wrote; forecasts are identical."""
        recipe = Network(**json.loads((Path(folder) / "network.json").read_text()))
        paths = [Path(folder) / f"member-{number}.keras" for number in range(1, recipe.members + 1)]
        models = tuple(keras.models.load_model(path, compile=False) for path in paths)
        frame = FittedHarX.load(folder) if recipe.frame == "har-x" else None
        return cls(recipe, models, pd.read_csv(Path(folder) / "curve.csv"), frame)


def train_network(
    recipe: Network, train: Windows, validation: Windows, start: FittedNetwork | None = None
) -> FittedNetwork:
    """Train one network for each member, each from its own seed, or on from the members of `start`.

    Args:
        start: a network of the same architecture, whose weights are the first ones; it stays as it is. Its frame is
            kept: the weights mean something in no other.

    Raises:
        TrainingError: there is nothing to learn from, or no epoch gave a finite validation loss.
    """
    _announce(recipe)
    recipes = [replace(recipe, seed=recipe.seed + 1000 * number) for number in range(recipe.members)]
    begun = start.models if start else (None,) * recipe.members
    train = _newest(train, recipe.years)
    frame = start.frame if start else HarX().fit(train, validation) if recipe.frame == "har-x" else None
    if frame is not None:
        train, validation = frame.of(train), frame.of(validation)
    members = [_train(member, train, validation, one) for member, one in zip(recipes, begun, strict=True)]
    curves = [curve.assign(member=number) for number, (_, curve) in enumerate(members, start=1)]
    return FittedNetwork(recipe, tuple(model for model, _ in members), pd.concat(curves, ignore_index=True), frame)


def _newest(train: Windows, years: int) -> Windows:
    """The windows of the newest years; all of them where `years` is 0."""
    if not years or not len(train):
        return train
    return train.originating(train.years_back(years), train.date[:, -1].max())


def _train(
    recipe: Network, train: Windows, validation: Windows, start: keras.Model | None = None
) -> tuple[keras.Model, pd.DataFrame]:
    """One member, with the weights of its best epoch; it begins with those of `start`, if given."""
    keras.utils.set_random_seed(recipe.seed)
    learnt, checked = _chunks(recipe.steps * recipe.carried, train), _chunks(recipe.steps, validation)
    model = _untrained(recipe, train, learnt.targets)
    if start is not None:
        model.set_weights(start.get_weights())
    fitter = networks.trainer(model, train.panel.features, learnt.length, learnt.targets.shape[1])
    batch = max(1, recipe.batch // recipe.carried)
    updates = max(1, min(recipe.updates, len(learnt.ends) // batch))
    fitter.compile(optimizer=optimizer(recipe, updates), loss=networks.PinballLoss(), jit_compile=False)
    checker = _checker(model, fitter, learnt, checked)
    order, watch = np.random.default_rng(recipe.seed), GradientWatch(recipe, model, learnt)
    best, rows = BestEpoch(recipe.patience, recipe.slack), []
    for epoch in range(1, recipe.epochs + 1):
        drawn = order.permutation(len(learnt.ends))[: updates * batch]
        loss = fitter.fit(
            learnt.ends[drawn, None], learnt.targets[drawn], batch_size=batch, epochs=1, shuffle=False, verbose=0
        ).history["loss"][0]
        validation_loss = checker.evaluate(checked.ends[:, None], checked.targets, batch_size=256, verbose=0)
        rows.append(_row(epoch, loss, validation_loss, watch))
        _tell(recipe, rows[-1])
        if best.is_over(model, validation_loss):
            break
    best.restore(model)
    curve = pd.DataFrame(rows)
    return model, curve.assign(kept=curve["epoch"] == best.epoch)


def _checker(model: keras.Model, fitter: keras.Model, learnt: Chunks, checked: Chunks) -> keras.Model:
    """What gives the validation loss: the trainer, or another over the same layers where chunks differ in length."""
    if checked.length == learnt.length:
        return fitter
    checker = networks.trainer(model, checked.panel.features, checked.length, checked.targets.shape[1])
    checker.compile(loss=networks.PinballLoss(), jit_compile=False)
    return checker


def _row(epoch: int, loss: float, validation_loss: float, watch: GradientWatch) -> dict[str, float]:
    """A row of the training curve; taking it may raise the alarm."""
    measured = {"epoch": epoch, "loss": float(loss), "validation_loss": float(validation_loss)}
    return {**measured, **watch.look(epoch).columns}


def _tell(recipe: Network, row: dict[str, float]) -> None:
    """One line of the log an epoch."""
    log.info(
        "%s: epoch %d of at most %d, pinball %.4f, validation %.4f, memory of about %d sessions",
        *(recipe.cell, row["epoch"], recipe.epochs, row["loss"], row["validation_loss"], row["gradient_reach"]),
    )


def _announce(recipe: Network) -> None:
    """Say what a person would not expect of these settings."""
    if recipe.depth != recipe.layers:
        log.info("%s: %d layers, as the first has none below it to be gated to", recipe.cell, recipe.depth)
    reason = None if recipe.cell in WITHOUT_RECURRENCE else cudnn_path(recipe)
    if reason:  # said without a GPU, too: settings travel to machines with one
        log.log(logging.WARNING if gpu_visible() else logging.INFO, "cuDNN is not used: %s.", reason)


def optimizer(recipe: Network, updates: int) -> keras.optimizers.Optimizer:
    """AdamW; `updates` are the gradient steps of an epoch."""
    rate = recipe.learning_rate
    if recipe.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, recipe.epochs * updates)
    clip = {name: getattr(recipe, name) for name in ("clipnorm", "clipvalue") if getattr(recipe, name)}
    return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, **clip)


class BestEpoch:
    """Keeps the weights of the newest epoch whose validation loss is finite and as low as the lowest so far.

    As low means: at most `slack` of itself above. The learning rate falls, so that of two epochs that
    a noisy validation year cannot tell apart the later one is the better network.
    """

    def __init__(self, patience: int, slack: float = 0.0):
        self.patience = patience
        self.slack = slack
        self.loss = np.inf
        self.weights = None
        self.waited = self.seen = self.epoch = 0

    def is_over(self, model: keras.Model, loss: float) -> bool:
        """Take note of an epoch; True when `patience` epochs in a row were not as low."""
        self.seen += 1
        low = np.isfinite(loss) and (loss < self.loss or loss <= self.loss * (1 + self.slack))
        if low and all(np.isfinite(weight).all() for weight in model.get_weights()):
            self.loss, self.weights, self.waited = min(loss, self.loss), model.get_weights(), 0
            self.epoch = self.seen
        else:
            self.waited += 1
        return self.waited >= self.patience

    def restore(self, model: keras.Model) -> None:
        """Give the model its best weights.

        Raises:
            TrainingError: no epoch was finite.
        """
        if self.weights is None:
            raise TrainingError(
                "training: no epoch gave a finite validation loss. "
                "Lower network.learning_rate or network.clipnorm, or check the prices."
            )
        model.set_weights(self.weights)


def _padded(inputs: np.ndarray) -> np.ndarray:
    """The batch filled up with its first window to a power of two: few shapes, so few compilations."""
    missing = 2 ** int(np.ceil(np.log2(len(inputs)))) - len(inputs)
    return np.concatenate([inputs, np.repeat(inputs[:1], missing, axis=0)])


def _chunks(steps: int, windows: Windows) -> Chunks:
    """The chunks of a set of windows, with fewer steps where the history is too short for so many."""
    while steps >= 1:
        chunks = windows.chunks(steps)
        if len(chunks.ends):
            return chunks
        steps //= 2
    raise TrainingError(
        f"training: {len(windows)} windows, none with a known target. Fetch more history or set an earlier test start."
    )


def _untrained(recipe: Network, train: Windows, targets: np.ndarray) -> keras.Model:
    """A network that forecasts the pooled quantiles of its training targets."""
    rows = train.panel.features[train.ends]
    start = np.nanquantile(targets, LEVELS, axis=(0, 1)).T
    start = np.maximum.accumulate(start + 1e-4 * np.arange(len(LEVELS)), axis=1)
    shape = (train.spec.lookback, rows.shape[1])
    return networks.forecaster(recipe, shape, rows.mean(axis=0), rows.var(axis=0) + 1e-8, start)

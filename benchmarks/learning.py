"""One network trained on one task until it has solved it."""

import time
from dataclasses import asdict, dataclass, replace

import keras
import numpy as np

from app.forecasters.bodies import body
from app.forecasters.networks import LastSteps
from app.forecasters.recipe import Network
from app.forecasters.recurrent import optimizer
from benchmarks.tasks import BASELINE, TASKS

BETWEEN_CHECKS, TESTED, SOLVED = 100, 512, 0.1
TEST_SEED = 1_000_000
SHORTER = 200
AFTER_SHORTER = f"after lag {SHORTER}"
VARIANTS = {
    "default": {},
    "no clipping": {"clipnorm": 0.0},
    "forget bias 0": {"forget_bias": False},
    "rate 0.001": {"learning_rate": 1e-3},
    AFTER_SHORTER: {},
}
"""What each changes in the recipe. `AFTER_SHORTER` changes where the weights begin: they have learnt the same task,
from the same seed, over a shorter lag."""

BASE = Network(units=16, batch=16, learning_rate=1e-2, schedule="constant", weight_decay=0.0, clipnorm=1.0)


@dataclass(frozen=True)
class Trial:
    """One network to be trained on one task."""

    task: str
    lag: int
    cell: str
    variant: str
    seed: int

    @property
    def network(self) -> Network:
        """Its recipe."""
        return replace(BASE, cell=self.cell, **VARIANTS[self.variant])

    @property
    def length(self) -> int:
        """Rows of its sequences."""
        return TASKS[self.task](1, self.lag, np.random.default_rng(0))[0].shape[1]


def learner(network: Network, length: int) -> keras.Model:
    """The body of a forecaster, and a linear layer on what it says at the last row: (batch, length, 2) → (batch, 1)."""
    rows = keras.Input((length, 2), name="rows")
    state = rows
    for layer in body(network, length):
        state = layer(state)
    state = keras.layers.Flatten(name="flat")(LastSteps(1, name="last")(state))
    model = keras.Model(rows, keras.layers.Dense(1, name="answer")(state))
    model.compile(optimizer(network, updates=1), "mse")
    return model


def begin_again(model: keras.Model, seed: int) -> None:
    """Give a compiled network new weights, and its optimiser no past; what was compiled for it stays."""
    keras.utils.set_random_seed(seed)
    model.set_weights(keras.models.clone_model(model).get_weights())
    for variable in model.optimizer.variables:
        if variable is not model.optimizer.learning_rate:
            variable.assign(np.zeros(variable.shape, variable.dtype))


def learn(trial: Trial, cap: int, model: keras.Model) -> dict[str, object]:
    """Train until the task is solved, but for `cap` gradient steps at most.

    Args:
        trial: what is to be learnt.
        cap: a multiple of `BETWEEN_CHECKS`.
        model: from `learner` with the network of the trial; it is begun again from the trial's seed.

    Returns:
        The row of the results: the trial, solved, steps at its own lag, error on the test sequences, processor
        seconds, back end.
    """
    make, batch = TASKS[trial.task], trial.network.batch
    tested = make(TESTED, trial.lag, np.random.default_rng(TEST_SEED))
    random = np.random.default_rng(trial.seed)
    begin_again(model, trial.seed)
    if trial.variant == AFTER_SHORTER:
        earlier = replace(trial, lag=SHORTER, variant="default")
        short = learner(earlier.network, earlier.length)
        learn(earlier, cap, short)
        model.set_weights(short.get_weights())
    enough = SOLVED * BASELINE[trial.task]
    began, steps, error = time.process_time(), 0, np.inf
    while steps < cap and not error < enough:
        rows, answers = make(BETWEEN_CHECKS * batch, trial.lag, random)
        model.fit(rows, answers, batch_size=batch, shuffle=False, verbose=0)
        error = float(model.evaluate(*tested, batch_size=TESTED, verbose=0))
        steps += BETWEEN_CHECKS
    found = {"solved": bool(error < enough), "steps": steps, "error": error}
    spent = round(time.process_time() - began, 1)
    return {**asdict(trial), **found, "cpu_s": spent, "backend": keras.backend.backend()}

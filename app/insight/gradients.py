"""Derivatives by the backend's own differentiation, outside of training (`forecasters.gradients` is inside)."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from app.errors import SettingsError

Tensor = object
"""Of the backend in use."""


def jacobian(function: Callable[[Tensor], Tensor], x: np.ndarray, outputs: int) -> np.ndarray:
    """Derivative of every output of every row by its own input.

    Args:
        function: from a tensor (n, ...) to one of (n, outputs), row by row: no row looks at another.
        x: (n, ...) where.
        outputs: how many numbers `function` gives for a row.

    Returns:
        (n, outputs, ...): one backward pass, over `outputs` copies of every row.
    """
    x = np.asarray(x, "float32")
    copies = np.repeat(x, outputs, axis=0)
    chosen = np.tile(np.eye(outputs, dtype="float32"), (len(x), 1))
    found = _gradient(lambda given: ops.sum(function(given) * chosen), copies)
    return found.reshape(len(x), outputs, *x.shape[1:])


def _gradient(function: Callable[[Tensor], Tensor], x: np.ndarray) -> np.ndarray:
    """Gradient of a function with one value."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        given = tensorflow.constant(x)
        with tensorflow.GradientTape() as tape:
            tape.watch(given)
            value = function(given)
        found = tape.gradient(value, given, unconnected_gradients="zero")
    elif backend == "jax":
        import jax

        found = jax.grad(function)(jax.numpy.asarray(x))
    else:
        raise SettingsError(f"gradients need KERAS_BACKEND tensorflow or jax, got {backend!r}.")
    return np.asarray(found, "float64")

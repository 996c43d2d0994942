"""A recurrent network that unrolls over the horizons: the second half of many-to-many and one-to-many."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="app")
class Decoder(keras.layers.Layer):
    """Recurrent layers over the horizons, begun anew from what is known at each row.

    With s the summary of a row (the encoder's answer, or the row itself), e_j the j-th unit vector of
    `horizons`, and `cell` that of the layers:

        d_0 = tanh(s V + b)                    the first state of every layer, each with its own V and b
        d_j = cell([s ; e_j], d_(j-1))         j = 1 to horizons, in rising order

    so horizon j is read from s, from which horizon it is, and from the horizons before it. No forecast
    is fed back: the quantiles of a nearer horizon say nothing that s does not, and a decoder that never
    sees an actual in training meets nothing new when it forecasts.

    Args:
        layers: recurrent ones that return their sequence, and layers that keep the number of rows.
        horizons: how many.

    Call arguments:
        inputs: (batch, rows, columns), a summary at each row.

    Returns:
        (batch, rows, horizons, units). Row r depends on row r of the inputs and on no other.

    Source: a state from the encoder's and the summary at every step: Cho et al. (2014), arXiv 1406.1078,
    section 2.2 and appendix A.1.1; a second network with its own weights: Sutskever, Vinyals & Le (2014),
    arXiv 1409.3215, section 2; from every row at once in training, told the horizon, without feedback: the
    forking sequences and horizon-specific contexts of Wen et al. (2017), arXiv 1711.11053, section 3.
    """

    def __init__(self, layers, horizons: int, **kwargs):
        super().__init__(**kwargs)
        self.layers = list(layers)
        self.horizons = horizons

    def build(self, input_shape):
        columns = input_shape[-1]
        shape = (None, self.horizons, columns + self.horizons)
        self.bridges = []
        for layer in self.layers:
            if isinstance(layer, keras.layers.RNN):
                bridge = keras.layers.Dense(sum(_sizes(layer)), activation="tanh", name=f"bridge_{layer.name}")
                bridge.build((None, columns))
                self.bridges.append(bridge)
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs, training=None):
        rows, columns = inputs.shape[1:]
        summary = ops.reshape(inputs, (-1, columns))
        answer, starts = self.told(summary), iter(self.first_states(summary))
        for layer in self.layers:
            if isinstance(layer, keras.layers.RNN):
                answer = layer(answer, initial_state=next(starts), training=training)
            else:
                answer = layer(answer, training=training)
        return ops.reshape(answer, (-1, rows, self.horizons, answer.shape[-1]))

    def told(self, summary):
        """[s ; e_j] for every j: (n, columns) to (n, horizons, columns + horizons)."""
        repeated = ops.repeat(ops.expand_dims(summary, 1), self.horizons, axis=1)
        which = ops.zeros_like(repeated[..., :1]) + ops.eye(self.horizons, dtype=repeated.dtype)
        return ops.concatenate([repeated, which], axis=-1)

    def first_states(self, summary) -> list[list]:
        """d_0 of every recurrent layer: a list of (n, units), in the order of its cell's states."""
        recurrent = [layer for layer in self.layers if isinstance(layer, keras.layers.RNN)]
        return [_parted(bridge(summary), _sizes(layer)) for bridge, layer in zip(self.bridges, recurrent, strict=True)]

    def compute_output_shape(self, input_shape):
        shape = (None, self.horizons, input_shape[-1] + self.horizons)
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        return (*input_shape[:2], *shape[1:])

    def get_config(self):
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers, "horizons": self.horizons}

    @classmethod
    def from_config(cls, config):
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})


def _sizes(layer) -> list[int]:
    size = layer.cell.state_size
    return [size] if isinstance(size, int) else list(size)


def _parted(states, sizes: list[int]) -> list:
    """(batch, sum of sizes) as one (batch, size) for each."""
    stops = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    return [states[:, stop - size : stop] for stop, size in zip(stops, sizes, strict=True)]

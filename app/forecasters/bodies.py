"""The layers between the standardised rows and the quantiles, by the name of the cell."""

from dataclasses import replace

import keras

from app.forecasters.cells import ClockworkRNNCell, DepthGatedLSTMCell, PeepholeLSTMCell
from app.forecasters.decoder import Decoder
from app.forecasters.layers import AttentionPooling, CausalBlock, DropoutRNN, Framed, Hidden, Positions, Truncated

KERAS_LAYERS = {"simple-rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


DECODES = {"clockwork-rnn": "simple-rnn", "bidirectional-lstm": "lstm", "attention-lstm": "lstm"}
"""Cell that decodes for a network whose own says how rows are read: clocks count them, attention weighs them, one
half reads them backwards. Every other network decodes with its own."""

DRAWS = 3
"""Parts of one layer that drop something in training, at most: each draws from a seed of its own."""


def around_last(network, lookback: int, horizons: int) -> tuple[list[keras.layers.Layer], list[keras.layers.Layer]]:
    """The layers before the last row is taken, and those after it: what makes the shape of a network.

    Args:
        network: an `app.forecasters.recipe.Network`.
        lookback: rows a forecast is made from.
        horizons: how many are forecast.
    """
    if network.shape == "one-to-one":
        return [], [Framed(_single_row(network), 1, name="framed")]
    encoder = [] if network.shape == "one-to-many" else body(network, lookback)
    decoder = [] if network.shape == "many-to-one" else [_decoder(network, horizons)]
    return encoder, decoder


def body(network, lookback: int) -> list[keras.layers.Layer]:
    """Layers to be applied one after the other.

    The same layers serve windows and chunks: for a sequence of `length` >= lookback rows the last
    length - lookback + 1 rows of the answer are what forecasts are made from, each known at its row.

    Args:
        network: an `app.forecasters.recipe.Network`.
        lookback: rows a forecast is made from.
    """
    if network.cell == "bidirectional-lstm":
        return [Framed(_bidirectional(network), lookback, name="framed")]
    if network.cell == "mlp":
        return [Framed(_feed_forward(network), lookback, name="framed")]
    if network.cell == "transformer":
        return _transformer(network, lookback)
    if network.cell == "attention-lstm":
        return [*_stack(network, lookback), AttentionPooling(lookback, name="attention")]
    if network.cell == "depth-gated-lstm":
        return [*_stack(network, lookback), Hidden(network.units, name="hidden")]
    return _stack(network, lookback)


def _decoder(network, horizons: int) -> Decoder:
    """As deep as the encoder, with its own weights; what it drops is drawn from the seeds that follow the encoder's."""
    cell = DECODES.get(network.cell, network.cell)
    own = replace(network, cell=cell, seed=_seed(network, network.depth), truncation=0, stateful=False)
    return Decoder(body(own, horizons), horizons, name="decoder")


def _seed(network, number: int) -> int:
    """The first of the seeds of layer `number`, counted from 0."""
    return network.seed + DRAWS * number


def _dropout(network, number: int) -> list[keras.layers.Layer]:
    """What follows layer `number`, where there is dropout."""
    return [keras.layers.Dropout(network.dropout, seed=_seed(network, number) + 1)] if network.dropout else []


def _single_row(network) -> keras.Sequential:
    """What a network makes of one row: its cell from the empty state, or the feed-forward network."""
    if network.cell == "mlp":
        return _feed_forward(network)
    return keras.Sequential([*body(network, 1), keras.layers.Flatten(name="only_row")], name="single_row")


def _stack(network, lookback: int) -> list[keras.layers.Layer]:
    """Recurrent layers, each followed by dropout when there is any."""
    layers = []
    for number in range(network.depth):
        layer = _recurrent(network, lookback, number)
        layers.append(Truncated(layer, network.segment, name=f"truncated_{number + 1}") if network.segment else layer)
        layers += _dropout(network, number)
    return layers


def _recurrent(network, lookback: int, number: int) -> keras.layers.Layer:
    options = {"return_sequences": True, "return_state": network.segment > 0, "name": f"recurrent_{number + 1}"}
    cell = _own_cell(network, lookback, number)
    if cell and network.recurrent_dropout:
        return DropoutRNN(cell, network.recurrent_dropout, seed=_seed(network, number), **options)
    if cell:
        return keras.layers.RNN(cell, **options)
    if network.cell in ("simple-rnn", "gru"):
        layer = KERAS_LAYERS[network.cell]
        return layer(
            network.units,
            **_drawn(network),
            recurrent_dropout=network.recurrent_dropout,
            seed=_seed(network, number),
            **options,
        )
    return _lstm(network, number, **options)


def _own_cell(network, lookback: int, number: int) -> keras.layers.Layer | None:
    """The cell of ours that a network is made of, if it is."""
    start = {"units": network.units, **_drawn(network), "name": "cell"}
    if network.cell == "clockwork-rnn":
        return ClockworkRNNCell(**start, periods=network.periods, start=lookback - 1)
    if network.cell == "peephole-lstm":
        return PeepholeLSTMCell(**start, forget_bias=network.forget_bias)
    if network.cell == "depth-gated-lstm":
        return DepthGatedLSTMCell(**start, below=number > 0, forget_bias=network.forget_bias)
    return None


def _lstm(network, number: int, draw: int = 0, **options) -> keras.layers.LSTM:
    """draw: which of the seeds of layer `number` its recurrent dropout draws from."""
    return keras.layers.LSTM(
        network.units,
        **_drawn(network),
        recurrent_dropout=network.recurrent_dropout,
        unit_forget_bias=network.forget_bias,
        seed=_seed(network, number) + draw,
        **options,
    )


def _drawn(network) -> dict[str, str]:
    """How the weights of a recurrent layer are drawn."""
    return {
        "kernel_initializer": network.kernel_initializer,
        "recurrent_initializer": network.recurrent_initializer,
    }


def _bidirectional(network) -> keras.Sequential:
    """Many-to-one: the last state of the pass forwards beside the last (at the oldest row) of that backwards."""
    layers = []
    for number in range(network.layers):
        sequences = number < network.layers - 1
        ahead = _lstm(network, number, return_sequences=sequences)
        back = _lstm(network, number, draw=2, return_sequences=sequences, go_backwards=True)
        layers.append(keras.layers.Bidirectional(ahead, backward_layer=back, name=f"both_{number + 1}"))
        layers += _dropout(network, number)
    return keras.Sequential(layers, name="bidirectional")


def _feed_forward(network) -> keras.Sequential:
    layers, drawn = [keras.layers.Flatten()], {"kernel_initializer": network.kernel_initializer}
    for number in range(network.layers):
        layers.append(keras.layers.Dense(network.units, activation="relu", **drawn, name=f"dense_{number + 1}"))
        layers += _dropout(network, number)
    return keras.Sequential(layers, name="feed_forward")


def _transformer(network, lookback: int) -> list[keras.layers.Layer]:
    drawn = {"kernel_initializer": network.kernel_initializer}
    blocks = [
        CausalBlock(
            network.heads,
            lookback,
            network.dropout,
            _seed(network, number),
            **drawn,
            newest=number == network.layers - 1,
            name=f"block_{number + 1}",
        )
        for number in range(network.layers)
    ]
    embed = keras.layers.Dense(network.units, **drawn, name="embed")
    return [embed, Positions(name="positions"), *blocks, keras.layers.LayerNormalization(name="norm")]

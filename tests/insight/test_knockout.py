"""A gate that decides costs when it is held; one that never moves, or that nothing hears, does not."""

import numpy as np
import pytest

from app.insight.gates import watched_members
from app.insight.knockout import WAYS, knockout
from tests.insight import planted


def held(model, noise=0.05):
    """Costs and order in a world in which this network is right."""
    windows = planted.with_actuals_of(planted.surely(model), noise)
    return knockout([model], windows, watched_members([model], windows, 1000))


def test_every_gate_of_a_network_that_is_right_costs_when_it_is_held():
    costs, order = held(planted.network("lstm"))
    assert set(costs["gate"]) == {"forget", "input", "output"}
    assert set(costs["held"]) == set(WAYS)
    assert (costs["difference"] > 0).all()
    absent = costs[(costs["held"] == "absent") & (costs["horizon"] == 1)].set_index("gate")
    assert (absent["p_value"] < 0.05).all()
    assert (absent["low"] > 0).all()
    ranked = order[(order["held"] == "absent") & (order["horizon"] == 1)]
    falling = absent["difference"].sort_values(ascending=False).index.tolist()
    assert [ranked["gate"].iloc[0], *ranked["next"]] == falling
    assert (order["difference"] >= 0).all()


def test_a_forget_gate_that_is_always_one_costs_nothing():
    costs, _ = held(planted.gates_biased("lstm", {1: 50.0}))
    forget = costs[costs["gate"] == "forget"]
    assert forget["difference"].abs().max() < 1e-5
    assert costs[costs["gate"] == "input"]["difference"].min() > 1e-4


def test_a_gate_that_stands_still_costs_nothing_at_its_mean_and_something_absent():
    costs, _ = held(planted.gates_biased("lstm", {1: -0.5}))
    forget = costs[costs["gate"] == "forget"].set_index(["held", "horizon"])["difference"]
    assert forget["mean"].abs().max() < 1e-5
    assert forget["absent"].min() > 1e-4


def test_every_unit_of_every_member_is_held_at_a_mean_of_its_own():
    """Gates that stand still, but each elsewhere, lose nothing at their own means."""
    places = [np.array([-3.0, -1.0, 1.0, 3.0]), np.array([2.0, 0.0, -2.0, -4.0])]
    models = [planted.surely(planted.gates_biased("lstm", {1: biases})) for biases in places]
    windows = planted.few(40)
    costs, _ = knockout(models, windows, watched_members(models, windows, 5))
    forget = costs[costs["gate"] == "forget"].set_index(["held", "horizon"])["difference"]
    assert forget["mean"].abs().max() < 1e-5
    assert forget["absent"].abs().min() > 1e-4


def test_a_reset_gate_that_nothing_hears_costs_nothing():
    """Without weights from the state to the candidate there is nothing to reset."""
    model = planted.network("gru")
    cell = model.get_layer("recurrent_1").cell
    recurrent, bias = (np.array(weight) for weight in (cell.recurrent_kernel, cell.bias))
    recurrent[:, 2 * planted.UNITS :], bias[1, 2 * planted.UNITS :] = 0, 0
    cell.recurrent_kernel.assign(recurrent)
    cell.bias.assign(bias)
    costs, _ = held(model)
    assert costs[costs["gate"] == "reset"]["difference"].abs().max() < 1e-9
    assert costs[costs["gate"] == "update"]["difference"].min() > 1e-4


@pytest.mark.parametrize(("bias", "low", "high"), [(-50.0, -1e-9, 1e-9), (1.0, 1e-3, np.inf)])
def test_an_update_gate_is_absent_where_the_candidate_alone_is_the_state(bias, low, high):
    costs, _ = held(planted.gates_biased("gru", {0: bias}))
    absent = costs[(costs["gate"] == "update") & (costs["held"] == "absent")]["difference"]
    assert low < absent.min() <= absent.max() < high


@pytest.mark.parametrize("cell", ["simple-rnn", "mlp"])
def test_without_gates_there_is_nothing_to_hold(cell):
    costs, order = held(planted.network(cell))
    assert costs.empty
    assert order.empty


def test_the_gates_of_both_directions_and_of_every_layer_are_held_together():
    costs, _ = held(planted.network("bidirectional-lstm", layers=2))
    assert len(costs) == len(WAYS) * 3 * len(planted.SPEC.horizons)


@pytest.mark.parametrize(("shape", "over"), [("many-to-many", ["rows", "horizons"]), ("one-to-many", ["horizons"])])
def test_the_gates_of_a_decoder_are_held_apart_from_the_encoders(shape, over):
    costs, order = held(planted.network("lstm", shape=shape))
    assert list(dict.fromkeys(costs["over"])) == over
    assert len(costs) == len(over) * len(WAYS) * 3 * len(planted.SPEC.horizons)
    assert (costs[costs["held"] == "absent"]["difference"] > 0).all()
    assert len(order) == len(over) * len(WAYS) * 2 * len(planted.SPEC.horizons)
    assert (order["difference"] >= 0).all()


def test_a_gate_of_a_decoder_that_is_always_one_costs_nothing_and_the_encoders_does():
    model = planted.network("lstm", shape="many-to-many")
    cell = model.get_layer("decoder").layers[0].cell
    kernel, recurrent, bias = (np.array(weight) for weight in cell.get_weights())
    forget = slice(planted.UNITS, 2 * planted.UNITS)
    kernel[:, forget], recurrent[:, forget], bias[forget] = 0.0, 0.0, 50.0
    cell.set_weights([kernel, recurrent, bias])
    costs = held(model)[0].set_index(["over", "gate"])["difference"].sort_index()
    assert costs["horizons", "forget"].abs().max() < 1e-5
    assert costs["horizons", "input"].min() > 1e-4
    assert costs["rows", "forget"].min() > 1e-4

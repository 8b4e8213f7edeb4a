"""LSTM, GRU and RNN in all their forms give onnxruntime's answers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

torch = pytest.importorskip("torch")

from edgekit.interpreter.network import Network  # noqa: E402  # after the skip

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
STEPS, SAMPLES, INPUTS, HIDDEN = 5, 3, 4, 2


def operands(kind, directions, *, states=False, lengths=False, peepholes=False):
    rng = np.random.default_rng(1)

    def array(*shape):
        return (0.5 * rng.standard_normal(shape)).astype("f4")

    rows = GATES[kind] * HIDDEN
    inputs = [
        array(STEPS, SAMPLES, INPUTS),
        array(directions, rows, INPUTS),
        array(directions, rows, HIDDEN),
        array(directions, 2 * rows),
        np.array([5, 2, 4], "i4") if lengths else None,
        array(directions, SAMPLES, HIDDEN) if states else None,
    ]
    if kind == "LSTM":
        inputs += [
            array(directions, SAMPLES, HIDDEN) if states else None,
            array(directions, 3 * HIDDEN) if peepholes else None,
        ]
    while inputs[-1] is None:
        inputs.pop()
    return inputs


def outputs(kind):
    return 3 if kind == "LSTM" else 2


@pytest.mark.parametrize("lengths", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", GATES)
def test_every_direction_with_states_and_lengths(kind, direction, lengths, alike):
    directions = 2 if direction == "bidirectional" else 1
    inputs = operands(kind, directions, states=True, lengths=lengths)
    attributes = {"hidden_size": HIDDEN, "direction": direction}
    alike(kind, inputs, attributes, outputs=outputs(kind), opset=14)


@pytest.mark.parametrize("before", [0, 1])
def test_a_gru_resets_before_or_after_the_product(before, alike):
    attributes = {"hidden_size": HIDDEN, "linear_before_reset": before, "clip": 0.4}
    alike("GRU", operands("GRU", 1), attributes, outputs=2)


def test_an_lstm_with_peepholes(alike):
    attributes = {"hidden_size": HIDDEN}
    alike("LSTM", operands("LSTM", 1, states=True, peepholes=True), attributes, outputs=3)


@pytest.mark.parametrize(
    ("activation", "options"),
    [
        ("Relu", {}),
        ("LeakyRelu", {"activation_alpha": [0.2]}),
        ("Elu", {"activation_alpha": [0.7]}),
        ("HardSigmoid", {"activation_alpha": [0.3], "activation_beta": [0.4]}),
        ("ScaledTanh", {"activation_alpha": [0.8], "activation_beta": [0.6]}),
        ("Affine", {"activation_alpha": [0.5], "activation_beta": [0.1]}),
        ("ThresholdedRelu", {"activation_alpha": [0.1]}),
        ("Softsign", {}),
        ("Softplus", {}),
    ],
)
def test_every_activation(activation, options, alike):
    attributes = {"hidden_size": HIDDEN, "activations": [activation], **options}
    alike("RNN", operands("RNN", 1), attributes, outputs=2)


@pytest.mark.parametrize("kind", GATES)
def test_samples_first_is_the_same_transposed(kind, one_node):
    """Onnxruntime does not run this layout."""
    steps_first = operands(kind, 2, states=True)
    batch_first = [
        array.swapaxes(0, 1) if place in {0, 5, 6} else array
        for place, array in enumerate(steps_first)
    ]
    found = []
    for layout, inputs in enumerate((steps_first, batch_first)):
        inputs = [None if a is None else np.ascontiguousarray(a) for a in inputs]  # noqa: PLW2901
        attributes = {"hidden_size": HIDDEN, "direction": "bidirectional", "layout": layout}
        model = ir.from_proto(one_node(kind, inputs, attributes, outputs=outputs(kind)))
        feeds = {f"i{place}": array for place, array in enumerate(inputs) if array is not None}
        found.append(Network(model).run(feeds))
    torch.testing.assert_close(found[0]["o0"].permute(2, 0, 1, 3), found[1]["o0"])
    for name in list(found[0])[1:]:
        torch.testing.assert_close(found[0][name].transpose(0, 1), found[1][name])


def test_an_unknown_activation_is_refused(one_node):
    from edgekit.errors import ModelError

    inputs = operands("RNN", 1)
    model = one_node("RNN", inputs, {"hidden_size": HIDDEN, "activations": ["Sin"]}, outputs=2)
    feeds = {f"i{place}": array for place, array in enumerate(inputs)}
    with pytest.raises(ModelError, match=r"node: RNN with this activation is not covered .*Sin"):
        Network(ir.from_proto(model)).run(feeds)


@pytest.mark.parametrize("kind", GATES)
def test_what_reads_the_state_can_be_tapped(kind, one_node):
    """A mask of zeros on the state is the same as no recurrence."""
    inputs = operands(kind, 2)
    attributes = {"hidden_size": HIDDEN, "direction": "bidirectional"}
    model = one_node(kind, inputs, attributes, outputs=outputs(kind))
    feeds = {f"i{place}": array for place, array in enumerate(inputs)}
    seen = []

    def nothing(state):
        seen.append(tuple(state.shape))
        return state * 0

    network = Network(ir.from_proto(model))
    masked = network.run(feeds, taps={("node", "o0"): nothing})
    without = network.run({**feeds, "i2": np.zeros_like(inputs[2])})
    torch.testing.assert_close(masked["o0"], without["o0"])
    assert seen == [(SAMPLES, HIDDEN)] * STEPS * 2

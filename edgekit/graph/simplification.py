"""The steps of simplification, in order; they run inside a native child."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from edgekit import native
from edgekit.graph.folding import absorb_scalars, fold_affine, freeze_statistics
from edgekit.graph.gates import gather_gates
from edgekit.graph.parting import part_weights
from edgekit.graph.reshaping import settle_reshapes, settle_sizes
from edgekit.graph.surgery import constant_of, name_nodes
from edgekit.graph.versions import convert_in_place

_FOLDED_ELEMENTS = 1 << 12
"""Constants are folded into tensors of at most this size, so that the file does not grow."""

_KEEPING_SIZE = frozenset(
    {"BatchNormalization", "Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
_SOFTMAXES = frozenset({"Softmax", "LogSoftmax", "Hardmax"})
_ROUNDS = 2
_HARD_SWISH_OPSET = 14
_NOTES = "pkg.onnxscript."


def simplify_in_place(model: ir.Model, opset: int, keep_norms: bool) -> dict[str, Any]:  # noqa: FBT001  # arguments of a native call
    """Simplify and convert to at least `opset`; return facts for the report.

    Raises:
        ModelError: an operator has no conversion.
    """
    before = Counter(node.op_type for node in model.graph)
    native.at("preparing")
    ir.passes.Sequential(
        common.InlinePass(),
        common.RemoveInitializersFromInputsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
    )(model)
    if model.opset_imports.get("", 0) < opset:
        native.at("converting the opset")
        convert_in_place(model, opset)
        model.opset_imports[""] = opset
    native.at("folding constants")
    part_weights(model.graph)
    freeze_statistics(model.graph)
    _rewrite(model)
    native.at("settling shapes")
    sizes, settled = settle_sizes(model), settle_reshapes(model)
    if sizes or settled:
        native.at("folding what follows from them")
        _rewrite(model)
    native.at("folding normalizations")
    folded = Counter(fold_affine(model.graph, keep_norms=keep_norms))
    folded.update(absorb_scalars(model.graph))
    _unwrap_softmax(model.graph)
    gathered = gather_gates(model.graph)
    native.at("cleaning")
    ir.passes.Sequential(
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]  # of the library
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
        common.TopologicalSortPass(),
    )(model)
    _forget_notes(model)
    name_nodes(model)
    after = Counter(node.op_type for node in model.graph)
    return {
        "folded into weights": dict(folded),
        "reshapes settled": settled,
        "gates gathered": gathered,
        "nodes gone": dict(sorted((before - after).items())),
        "nodes new": dict(sorted((after - before).items())),
    }


def _rewrite(model: ir.Model) -> None:
    from onnxscript import optimizer, rewriter  # noqa: PLC0415  # slow, and native inside
    from onnxscript.rewriter.rules import common as rules  # noqa: PLC0415  # as above

    patterns = [
        rules.no_op_cast_rule,
        rules.no_op_expand_rule,
        rules.no_op_transpose_rule,
        rules.add_0_rule,
        rules.sub_0_rule,
        rules.mul_by_1_rule,
        rules.div_by_1_rule,
        rules.dropout_zero_rule,
        rules.dropout_inference_rule,
        rules.cast_cast_rule,
        rules.transpose_transpose_rule,
        rules.unsqueeze_unsqueeze_rule,
        rules.reshape_reshape_rule,
        rules.squeeze_reshape_1d_rule,
        rules.collapse_slice_rule,
        rules.collapse_slice2_rule,
        rules.successive_relu_rule,
        rules.successive_clip_rule,
        rules.successive_clip_relu_rule,
        rules.successive_relu_clip_rule,
        rules.min_max_rule,
        rules.fuse_pad_into_conv_rule,
        rules.normalize_pad_format_conv_rule,
        rules.materialize_reshape_shape_rule,
    ]
    if model.opset_imports[""] >= _HARD_SWISH_OPSET:
        patterns.extend(rules.fuse_hardswish_rules())
    for _ in range(_ROUNDS):
        optimizer.fold_constants(
            model,
            onnx_shape_inference=True,
            output_size_limit=_FOLDED_ELEMENTS,
            should_fold=_should_fold,
        )
        rewriter.RewritePass(patterns)(model)
        common.RemoveUnusedNodesPass()(model)


def _should_fold(node: ir.Node) -> bool | None:
    """Fold a rearrangement of weights of any size when nothing else uses them.

    Small ConstantOfShape, too, which exporters put into the computation of a Pad's widths.
    """
    if node.domain:
        return None
    weight = node.inputs[0] if node.inputs else None
    if node.op_type == "ConstantOfShape":
        lengths = None if weight is None else constant_of(weight)
        return lengths is not None and bool(np.prod(lengths) <= _FOLDED_ELEMENTS)
    if node.op_type in _KEEPING_SIZE:
        return True if _is_alone(weight) else None
    if node.op_type == "Concat":
        return True if all(map(_is_alone, node.inputs)) else None
    return None


def _is_alone(weight: ir.Value | None) -> bool:
    return weight is not None and weight.is_initializer() and len(weight.uses()) == 1


def _unwrap_softmax(graph: ir.Graph) -> None:
    """Remove the Flatten and Reshape that conversion to opset 13 puts around a softmax."""
    for node in list(graph):
        flatten = node.inputs[0].producer() if node.inputs and node.inputs[0] else None
        uses = tuple(node.outputs[0].uses())
        if node.op_type not in _SOFTMAXES or flatten is None or flatten.op_type != "Flatten":
            continue
        data, reshape = flatten.inputs[0], uses[0].node if len(uses) == 1 else None
        if data is None or data.shape is None or reshape is None or reshape.op_type != "Reshape":
            continue
        target = reshape.inputs[1].producer() if reshape.inputs[1] is not None else None
        same = target is not None and target.op_type == "Shape" and target.inputs[0] is data
        last = flatten.attributes.get_int("axis", 1) == len(data.shape) - 1
        if same and last and node.attributes.get_int("axis", -1) == -1:
            node.replace_input_with(0, data)
            old, new = reshape.outputs[0], node.outputs[0]
            name, old.name = old.name, None
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            new.name, new.shape = name, old.shape
            graph.remove(reshape, safe=True)


def _forget_notes(model: ir.Model) -> None:
    """Remove what the libraries note about their own doings."""
    for graph in model.graphs():
        for owner in (graph, *graph, *(v for node in graph for v in node.outputs)):
            for key in [key for key in owner.metadata_props if key.startswith(_NOTES)]:
                del owner.metadata_props[key]

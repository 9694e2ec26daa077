"""Turns the fused fp32 graph into int8: matrix products, attention projections and the word table.

Weights are signed, symmetric, one scale per output column; activations are unsigned with one scale and zero point per
tensor, fixed beforehand (static) or taken from each batch (dynamic). Everything between the products stays fp32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Floats = NDArray[np.float32]

LARGEST_STATIC = 64
"""Bound of the static weights. Without VNNI an x86 processor adds two products of uint8 and int8 in 16 bits, which saturates
above 32,767: 2 x 255 x 64 = 32,640 fits, so every processor computes the same integers."""

LARGEST = 127
"""Bound of the dynamic weights and of the word table, which is only looked up."""

_CONTRIB = "com.microsoft"
_PRODUCTS = {"MatMul", "Attention"}
_GRID = 64
"""Ranges and divisors are rounded up to this fraction, so that last-bit differences of fp32 do not reach the file."""

_SPREAD = 2.0
"""A channel is divided down when it reaches further than this many times the median channel (SmoothQuant, Xiao et al. 2022,
with a threshold in place of the exponent): a few channels of the layer norms are ten times the rest, and one scale for all
wastes three bits. Measured: mean cosine 0.9927 without, 0.9969 with 2."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far each channel of an activation reaches on the calibration texts, (channels,) each."""

    low: Floats
    high: Floats

    def divisors(self) -> Floats:
        """What each channel is divided by, 1 or more; its rows of the weight are multiplied by the same."""
        extent = np.maximum(np.abs(self.low), np.abs(self.high))
        factor = np.maximum(1.0, extent / (_SPREAD * np.median(extent)))
        rounded: Floats = (np.ceil(factor * 8) / 8).astype(np.float32)
        return rounded

    def scale_and_zero(self, divisors: Floats) -> tuple[np.float32, np.uint8]:
        """The uint8 scale and zero point that cover all channels, zero included."""
        low = np.floor(min(float((self.low / divisors).min()), 0.0) * _GRID) / _GRID
        high = np.ceil(max(float((self.high / divisors).max()), 0.0) * _GRID) / _GRID
        scale = (high - low) / 255.0
        return np.float32(scale), np.uint8(np.clip(round(-low / scale), 0, 255))


def sites(model: onnx.ModelProto) -> list[str]:
    """The activations that are quantised: the first input of every product with a constant weight, in graph order."""
    constants = _constants(model)
    return [node.input[0] for node in model.graph.node if node.op_type in _PRODUCTS and node.input[1] in constants]


def quantise(model: onnx.ModelProto, reaches: Mapping[str, Reach] | None) -> onnx.ModelProto:
    """The int8 graph: static with the reach of every site, dynamic with None."""
    rewriter = _Rewriter(model, reaches)
    for node in model.graph.node:
        rewriter.rewrite(node)
    used = {name for node in rewriter.nodes for name in node.input}
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in rewriter.constants.items() if name in used]
    graph = helper.make_graph(
        rewriter.nodes, "all-MiniLM-L6-v2", model.graph.input, model.graph.output, initializer=tensors
    )
    opsets = [helper.make_opsetid("", model.opset_import[0].version), helper.make_opsetid(_CONTRIB, 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version, producer_name="skep")
    onnx.checker.check_model(made)
    return made


class _Rewriter:
    """Collects the nodes and constants of the new graph."""

    def __init__(self, model: onnx.ModelProto, reaches: Mapping[str, Reach] | None) -> None:
        self.constants = _constants(model)
        self.nodes: list[onnx.NodeProto] = []
        self._reaches = reaches
        self._largest = LARGEST if reaches is None else LARGEST_STATIC
        self._attended = {node.output[0] for node in model.graph.node if node.op_type == "Attention"}
        self._consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)
        self._merged: set[str] = set()

    def rewrite(self, node: onnx.NodeProto) -> None:
        """Take over one node, quantised if it is one of those."""
        if node.op_type in _PRODUCTS and node.input[1] in self.constants:
            self._product(node)
        elif node.op_type == "Gather" and self.constants.get(node.input[0], np.empty(0)).ndim == 2:
            self._lookup(node)
        elif node.output[0] not in self._merged:
            self.nodes.append(node)

    def _product(self, node: onnx.NodeProto) -> None:
        name, weight = node.input[0], node.input[1]
        divisors = self._divisors(name)
        table = self.constants.pop(weight) * divisors[:, None]
        columns, scale = _quantise_columns(table, self._largest)
        self.constants |= {
            f"{weight}_q": columns,
            f"{weight}_scale": scale,
            f"{weight}_zero": np.zeros_like(columns[0]),
        }
        values, value_scale, value_zero = self._activation(name, divisors)
        if node.op_type == "Attention":
            bias, mask = node.input[2], node.input[3]
            inputs = [values, f"{weight}_q", bias, value_scale, f"{weight}_scale", mask, value_zero, f"{weight}_zero"]
            heads = {a.name: a.i for a in node.attribute if a.name == "num_heads"}
            self._add("QAttention", inputs, [node.output[0]], _CONTRIB, **heads)
            return
        bias, output = self._bias_after(node.output[0])
        inputs = [values, f"{weight}_q", value_scale, f"{weight}_scale", value_zero, f"{weight}_zero", bias]
        self._add("MatMulIntegerToFloat", inputs, [output], _CONTRIB)

    def _divisors(self, name: str) -> Floats:
        """What the channels of an activation are divided by; 1 where that gains nothing (what attention mixed)."""
        if self._reaches is None:
            return np.ones(1, np.float32)
        reach = self._reaches[name]
        return np.ones_like(reach.low) if name in self._attended else reach.divisors()

    def _activation(self, name: str, divisors: Floats) -> tuple[str, str, str]:
        """Names of the quantised activation, its scale and its zero point."""
        names = (f"{name}_q", f"{name}_scale", f"{name}_zero")
        if self._reaches is None:
            self._add("DynamicQuantizeLinear", [name], list(names))
            return names
        scale, zero = self._reaches[name].scale_and_zero(divisors)
        self.constants |= {names[1]: np.asarray(scale), names[2]: np.asarray(zero)}
        if (divisors != 1).any():
            self.constants[f"{name}_shrink"] = (1.0 / divisors).astype(np.float32)
            self._add("Mul", [name, f"{name}_shrink"], [f"{name}_even"])
            name = f"{name}_even"
        self._add("QuantizeLinear", [name, names[1], names[2]], [names[0]])
        return names

    def _bias_after(self, output: str) -> tuple[str, str]:
        """The bias that is added to a product and to nothing else, and the name of the sum; no bias: empty name."""
        consumers = self._consumers.get(output, [])
        if len(consumers) == 1 and consumers[0].op_type == "Add":
            add = consumers[0]
            bias = next((name for name in add.input if self.constants.get(name, np.empty((0, 0))).ndim == 1), None)
            if bias is not None:
                self._merged.add(add.output[0])
                return bias, add.output[0]
        return "", output

    def _lookup(self, node: onnx.NodeProto) -> None:
        """Rows of an embedding table: int8 with one scale per row."""
        table, ids, out = node.input[0], node.input[1], node.output[0]
        columns, scale = _quantise_columns(np.ascontiguousarray(self.constants.pop(table).T), LARGEST)
        self.constants |= {f"{table}_q": np.ascontiguousarray(columns.T), f"{table}_scale": scale[:, None]}
        self._add("Gather", [f"{table}_q", ids], [f"{out}_q"])
        self._add("Gather", [f"{table}_scale", ids], [f"{out}_scale"])
        self._add("Cast", [f"{out}_q"], [f"{out}_f"], to=onnx.TensorProto.FLOAT)
        self._add("Mul", [f"{out}_f", f"{out}_scale"], [out])

    def _add(self, op: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: int) -> None:
        while inputs and not inputs[-1]:
            inputs.pop()
        node = helper.make_node(op, inputs, outputs, name=f"{op}:{outputs[0]}", domain=domain)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)


def _quantise_columns(weight: Floats, largest: int) -> tuple[NDArray[np.int8], Floats]:
    """A (rows, columns) matrix as int8 in ±largest with one scale per column."""
    scale = np.maximum(np.abs(weight).max(axis=0) / largest, 1e-12).astype(np.float32)
    return np.clip(np.rint(weight / scale), -largest, largest).astype(np.int8), scale


def _constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}

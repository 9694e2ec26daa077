"""Turns the fused fp32 graph into int8: matrix products, attention projections and the two embedding tables.

Weights are signed, symmetric, one scale per output column; activations are unsigned with one scale and zero point per
tensor, fixed beforehand (static) or taken from each batch (dynamic). Everything between the products stays fp32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Mode = Literal["static", "dynamic"]
Floats = NDArray[np.float32]

_CONTRIB = "com.microsoft"


@dataclass(frozen=True, slots=True)
class Range:
    """What values an activation takes; zero is always inside, so that it is represented exactly."""

    low: float
    high: float

    def scale_and_zero(self) -> tuple[np.float32, np.uint8]:
        """The uint8 scale and zero point that cover it."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        scale = max((high - low) / 255.0, 1e-9)
        return np.float32(scale), np.uint8(np.clip(round(-low / scale), 0, 255))


def sites(model: onnx.ModelProto) -> list[str]:
    """The activations that are quantised: the first input of every product with a constant weight, in graph order."""
    constants = _constants(model)
    return [n.input[0] for n in model.graph.node if n.op_type in {"MatMul", "Attention"} and n.input[1] in constants]


def quantise_columns(weight: Floats, largest: int) -> tuple[NDArray[np.int8], Floats]:
    """A (rows, columns) matrix as int8 in ±largest with one scale per column."""
    scale = np.maximum(np.abs(weight).max(axis=0) / largest, 1e-12).astype(np.float32)
    return np.clip(np.rint(weight / scale), -largest, largest).astype(np.int8), scale


def quantise_rows(table: Floats) -> tuple[NDArray[np.int8], Floats]:
    """An embedding table as int8 with one scale per row, (rows, 1)."""
    values, scale = quantise_columns(np.ascontiguousarray(table.T), 127)
    return np.ascontiguousarray(values.T), scale[:, None]


class _Rewriter:
    """Collects the nodes and constants of the new graph."""

    def __init__(self, model: onnx.ModelProto, ranges: Mapping[str, Range], mode: Mode, largest: int) -> None:
        self.constants = _constants(model)
        self.ranges, self.mode, self.largest = ranges, mode, largest
        self.nodes: list[onnx.NodeProto] = []
        self.quantised: dict[str, tuple[str, str, str]] = {}

    def activation(self, name: str) -> tuple[str, str, str]:
        """Names of the quantised activation, its scale and its zero point."""
        if name not in self.quantised:
            names = (f"{name}_q", f"{name}_scale", f"{name}_zero")
            if self.mode == "static":
                scale, zero = self.ranges[name].scale_and_zero()
                self.constants[names[1]], self.constants[names[2]] = np.asarray(scale), np.asarray(zero)
                self._add("QuantizeLinear", [name, names[1], names[2]], [names[0]])
            else:
                self._add("DynamicQuantizeLinear", [name], list(names))
            self.quantised[name] = names
        return self.quantised[name]

    def product(self, node: onnx.NodeProto) -> None:
        """A MatMul or Attention with a constant weight."""
        values, scale, zero = self.activation(node.input[0])
        weight = node.input[1]
        whole, columns = quantise_columns(self.constants.pop(weight), self.largest)
        self.constants[f"{weight}_q"], self.constants[f"{weight}_scale"] = whole, columns
        self.constants["weight_zero"] = np.asarray(np.int8(0))
        if node.op_type == "MatMul":
            inputs = [values, f"{weight}_q", scale, f"{weight}_scale", zero, ""]
            self._add("MatMulIntegerToFloat", inputs, list(node.output), _CONTRIB)
            return
        zeros = f"{weight}_zero"
        self.constants[zeros] = np.zeros(whole.shape[1], np.int8)
        inputs = [values, f"{weight}_q", node.input[2], scale, f"{weight}_scale", node.input[3], zero, zeros]
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute if a.name in {"num_heads"}}
        self._add("QAttention", inputs, list(node.output), _CONTRIB, **attributes)

    def lookup(self, node: onnx.NodeProto) -> None:
        """A Gather from an embedding table."""
        table, ids, out = node.input[0], node.input[1], node.output[0]
        self.constants[f"{table}_q"], self.constants[f"{table}_scale"] = quantise_rows(self.constants.pop(table))
        self._add("Gather", [f"{table}_q", ids], [f"{out}_q"])
        self._add("Gather", [f"{table}_scale", ids], [f"{out}_scale"])
        self._add("Cast", [f"{out}_q"], [f"{out}_f"], to=onnx.TensorProto.FLOAT)
        self._add("Mul", [f"{out}_f", f"{out}_scale"], [out])

    def keep(self, node: onnx.NodeProto) -> None:
        """A node that stays as it is."""
        self.nodes.append(node)

    def _add(self, op: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, outputs, name=f"{op}_{outputs[0]}", domain=domain, **attributes))


def quantise(
    model: onnx.ModelProto, ranges: Mapping[str, Range], mode: Mode, largest: int = 127, keep: frozenset[str] = frozenset()
) -> onnx.ModelProto:
    """The int8 graph. ``largest`` bounds the weights; ``keep`` names activations whose products stay fp32."""
    rewriter = _Rewriter(model, ranges, mode, largest)
    for node in model.graph.node:
        wanted = node.input and node.input[0] not in keep
        if wanted and node.op_type in {"MatMul", "Attention"} and node.input[1] in rewriter.constants:
            rewriter.product(node)
        elif node.op_type == "Gather" and rewriter.constants.get(node.input[0], np.empty(0)).ndim == 2:
            rewriter.lookup(node)
        else:
            rewriter.keep(node)
    used = {name for node in rewriter.nodes for name in node.input}
    graph = helper.make_graph(
        rewriter.nodes,
        "all-MiniLM-L6-v2",
        model.graph.input,
        model.graph.output,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in rewriter.constants.items() if name in used],
    )
    opsets = [helper.make_opsetid("", model.opset_import[0].version), helper.make_opsetid(_CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version, producer_name="skep")


def _constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}

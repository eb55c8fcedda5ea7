"""Tiny ONNX models, made when they are needed: the mean colour of a picture, and ways to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 16
# Mean colours around grey point into all directions, so that their cosine tells hues apart.
GREY = (0.5, 0.5, 0.5)
FLOAT = TensorProto.FLOAT


def mean_color(
    path: Path,
    *,
    shape: Sequence[int | str] = ("batch", 3, SIZE, SIZE),
    axes: Sequence[int] = (2, 3),
    kind: int = FLOAT,
    factor: float = 1.0,
) -> Path:
    """Write a model that averages each channel over `axes`, and multiplies it by `factor`."""
    nodes = [
        helper.make_node("ReduceMean", ["picture", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "factor"], ["embedding"]),
    ]
    numbers = helper.tensor_dtype_to_np_dtype(kind)
    constants = [
        numpy_helper.from_array(np.array(axes, dtype=np.int64), "axes"),
        numpy_helper.from_array(np.array(factor, dtype=numbers), "factor"),
    ]
    return save(path, nodes, [("picture", kind, shape)], [("embedding", kind, (shape[0], 3))], constants)


def whole_input(path: Path, *, shape: Sequence[int | str]) -> Path:
    """Write a model whose embedding is all that it is fed, number by number."""
    node = helper.make_node("Flatten", ["picture"], ["embedding"])
    return save(path, [node], [("picture", FLOAT, shape)], [("embedding", FLOAT, (shape[0], 3 * SIZE * SIZE))], [])


def tokens_first(path: Path) -> Path:
    """Write a model with two outputs: the picture as it is, and its mean colour."""
    nodes = [
        helper.make_node("Identity", ["picture"], ["tokens"]),
        helper.make_node("ReduceMean", ["picture", "axes"], ["pooled"], keepdims=1),
    ]
    axes = numpy_helper.from_array(np.array((2, 3), dtype=np.int64), "axes")
    shape = (1, 3, SIZE, SIZE)
    outputs = [("tokens", FLOAT, shape), ("pooled", FLOAT, (1, 3, 1, 1))]
    return save(path, nodes, [("picture", FLOAT, shape)], outputs, [axes])


def two_inputs(path: Path) -> Path:
    """Write a model that wants something beside the picture."""
    shape = (1, 3, SIZE, SIZE)
    node = helper.make_node("Add", ["picture", "words"], ["embedding"])
    inputs = [("picture", FLOAT, shape), ("words", FLOAT, shape)]
    return save(path, [node], inputs, [("embedding", FLOAT, shape)], [])


Port = tuple[str, int, Sequence[int | str]]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    constants: Sequence[onnx.TensorProto],
) -> Path:
    """Write a checked model."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*port) for port in inputs],
        [helper.make_tensor_value_info(*port) for port in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path

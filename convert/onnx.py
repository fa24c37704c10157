"""ONNX files in, as PyTorch, tf2onnx and Keras export them; a graph and its weights out."""

from __future__ import annotations

from pathlib import Path

from tinycnn.errors import ConversionError
from tinycnn.nn.graph import Graph
from tinycnn.nn.types import Array, Shape

from .onnx_file import MAX_TOTAL, parse, printable
from .onnx_graph import build_graph

VERSIONS = tuple(bytes([n]) for n in range(3, 32))


def is_onnx(path: Path, magic: bytes) -> bool:
    """Whether a file is meant to be ONNX, by its name or its first field, the IR version."""
    return path.suffix == ".onnx" or (magic[:1] == b"\x08" and magic[1:2] in VERSIONS)


def read_onnx(path: Path, input_shape: Shape | None) -> tuple[Graph, dict[str, Array], str]:
    """Read an ONNX file: graph, weights, and what wrote it; ConversionError if it cannot be.

    ``input_shape``: (H, W, C) where the file leaves it open.
    """
    if (size := path.stat().st_size) > MAX_TOTAL:
        raise ConversionError(f"{size} bytes; at most {MAX_TOTAL} are read")
    model = parse(path.read_bytes())
    graph, weights = build_graph(model, input_shape)
    producer = printable(model.producer) or "unknown exporter"
    return graph, weights, f"ONNX opset {model.opset}, {producer}"

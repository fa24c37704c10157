"""How each engine loads a network and runs a batch; used inside `worker` processes.

Threads are set explicitly and everything is float32. A runner takes and gives what `predict` does:
images (N, H, W, C) and scores (N, classes); what it has to do to the images is not timed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tinycnn
from tinycnn.errors import BackendError

Arranged = Any  # images as an engine wants them


@dataclass(frozen=True)
class Runner:
    """``run(arrange(images))`` gives the scores; only ``run`` is timed."""

    run: Callable[[Arranged], Any]
    arrange: Callable[[Any], Arranged]


@dataclass(frozen=True)
class Engine:
    """An engine: how to call it, the package it needs, the format and the package that writes it.

    ``load(path, threads, batch)`` makes a `Runner`.
    """

    title: str
    package: str
    module: str
    format: str
    load: Callable[[Path, int, int], Runner]
    writer: str = ""

    @property
    def version(self) -> str:
        """Version of its package; ours runs from a checkout, too, without being installed."""
        ours = self.package == "tinycnn"
        return tinycnn.__version__ if ours else importlib.metadata.version(self.package)

    def missing(self) -> str:
        """What must be installed before it can be compared; "" if nothing."""
        modules = {self.module: self.package, self.writer: self.writer}
        wanted = [p for m, p in modules.items() if m and importlib.util.find_spec(m) is None]
        return ", ".join(wanted)


def _as_it_is(images: Any) -> Any:
    return images


def channels_first(images: Any) -> Any:
    """(N, H, W, C) -> (N, C, H, W)."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def load_tinycnn(path: Path, threads: int, batch: int) -> Runner:
    """Load this engine, through the door that everybody uses."""
    import tinycnn

    return Runner(tinycnn.load(path, threads=threads).predict, _as_it_is)


def load_litert(path: Path, threads: int, batch: int) -> Runner:
    """LiteRT on the CPU: XNNPACK takes the whole graph."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: Any) -> Any:
        interpreter.set_tensor(source["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return Runner(run, _as_it_is)


def load_onnxruntime(path: Path, threads: int, batch: int) -> Runner:
    """ONNX Runtime's CPU provider, all optimisations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return Runner(lambda images: session.run(None, {name: images})[0], channels_first)


def load_openvino(path: Path, threads: int, batch: int) -> Runner:
    """OpenVINO's CPU plugin for low latency; its precision is float32 only when it is told so."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()

    def run(images: Any) -> Any:
        return request.infer([images], share_inputs=True, share_outputs=True)[0]

    return Runner(run, channels_first)


def load_ncnn(path: Path, threads: int, batch: int) -> Runner:
    """Load ncnn, float32 throughout; it takes one image at a time."""
    import ncnn

    from tinycnn.benchmarks.ncnn_file import output_of, weights_of

    network, output = ncnn.Net(), output_of(path)
    network.opt.num_threads = threads
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, name, False)
    if network.load_param(str(path)) or network.load_model(str(weights_of(path))):
        raise BackendError("ncnn cannot read what was written for it")

    def run(images: list[Any]) -> Any:
        return np.stack([_extract(network.create_extractor(), image, output) for image in images])

    return Runner(run, lambda images: [ncnn.Mat(image).clone() for image in channels_first(images)])


def _extract(extractor: Any, image: Any, output: str) -> Any:
    extractor.input("input", image)
    status, scores = extractor.extract(output)
    if status:
        raise BackendError(f"ncnn failed with status {status}")
    return np.array(scores)


ENGINES = {
    "tinycnn": Engine("tinycnn", "tinycnn", "tinycnn", "safetensors", load_tinycnn),
    "litert": Engine("LiteRT", "ai-edge-litert", "ai_edge_litert", "tflite", load_litert),
    "onnxruntime": Engine(
        "ONNX Runtime", "onnxruntime", "onnxruntime", "onnx", load_onnxruntime, "onnx"
    ),
    "openvino": Engine("OpenVINO", "openvino", "openvino", "onnx", load_openvino, "onnx"),
    "ncnn": Engine("ncnn", "ncnn", "ncnn", "ncnn", load_ncnn),
}
PEERS = tuple(name for name in ENGINES if name != "tinycnn")

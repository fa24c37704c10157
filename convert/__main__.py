"""``tinycnn convert MODEL``: a foreign file in, one safe model file out, and its parity check."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from tinycnn import cli
from tinycnn.console import say
from tinycnn.errors import ConversionError, UsageError
from tinycnn.files import atomic_write
from tinycnn.nn import modelfile
from tinycnn.nn.architectures import build
from tinycnn.nn.endings import are_independent
from tinycnn.nn.graph import Graph
from tinycnn.nn.model import Model
from tinycnn.nn.selftest import record, replay

from . import keras, options, pytorch, teachable
from .assumptions import assumptions
from .keras_check import compare
from .parity import check_parity
from .scores import ended_in, with_probabilities


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return cli.run("convert", _convert, argv)


def _convert(argv: Sequence[str]) -> int:
    chosen = options.parser().parse_args(argv)
    output = _output(chosen)
    try:
        with atomic_write(output, "wb") as draft:
            places = _write(chosen, output.stem, draft)
            _check(replace(modelfile.load(draft.name), name=output.stem), chosen, places)
    except OSError as error:
        raise ConversionError(f"cannot write {output}: {error.strerror}") from error
    print(f"written: {output} ({output.stat().st_size / 1e6:.1f} MB); its self-test passes")
    return 0


def _write(chosen: argparse.Namespace, name: str, draft: IO[bytes]) -> Mapping[str, str]:
    """Read the foreign file, write ``draft``; return where each layer stands in that file.

    What was read is let go on return: from then on, weights are in memory as parts of the draft.
    """
    found = _read(chosen)
    graph, scores = with_probabilities(found.graph, chosen.activation)
    found = replace(found, graph=graph)
    model = make_model(found, chosen, name)
    print(_describe(model, found.origin, chosen.verbose))
    if found.classes:
        print(teachable.recognised(found.labels, found.caveat))
    if found.note:
        print(f"note: {found.note}")
    if not found.classes:  # of a Teachable Machine all is known
        print(*assumptions(model, chosen, found.usual, bool(found.note)), sep="\n")
    if scores:
        print(scores)
    modelfile.write(model, draft, chosen.dtype)
    return found.places


def _check(written: Model, chosen: argparse.Namespace, places: Mapping[str, str]) -> None:
    """Compare the file that was written with Keras and between backends, replay its self-test."""
    if chosen.check_with_keras:
        print(f"Keras: {compare(chosen.model, written, places, chosen.dtype)}")
    for difference in check_parity(written):
        print(f"parity: {difference}")
    assert written.self_test is not None
    replay(written)


def _read(chosen: argparse.Namespace) -> keras.Imported:
    is_pytorch = pytorch.is_pytorch(chosen.model)
    options.need_used(chosen, is_pytorch)
    if is_pytorch:
        network = chosen.architecture, chosen.input, chosen.classes, _width(chosen)
        return pytorch.read(chosen.model, *network, chosen.activation)
    return keras.read(
        chosen.model, _architecture(chosen), _given_input(chosen), kernels=chosen.kernels
    )


def make_model(found: keras.Imported, chosen: argparse.Namespace, name: str) -> Model:
    """Join a network with what the options say."""
    graph = found.graph
    keras.need_classifier(graph)
    known = teachable.PREPROCESSING if found.classes else None
    preprocessing = options.preprocessing(chosen, graph.input_shape, known)
    names = options.labels(chosen) or found.labels
    options.check_count(names, max(graph.output_shape[0], 2))  # one sigmoid unit tells two apart
    weights = modelfile.rounded(found.weights) if chosen.dtype == "float16" else found.weights
    model = Model(
        graph=graph,
        weights=weights,
        preprocessing=preprocessing,
        labels=options.numbered(names),
        decision=options.decision(chosen, names, are_independent(graph)),
        provenance=options.provenance(chosen, found.origin),
        name=name,
    )
    _note_numbered(names, model.labels)
    return replace(model, self_test=record(graph, weights, preprocessing))


def _output(chosen: argparse.Namespace) -> Path:
    """Where to write; checked before the work begins."""
    stem = chosen.model.name.removesuffix(".weights.h5")
    path: Path = chosen.output or chosen.model.with_name(f"{Path(stem).stem}.safetensors")
    if path.suffix != ".safetensors":
        raise UsageError(f"--output {path}: a model file is called NAME.safetensors")
    if not path.parent.is_dir():
        raise UsageError(f"--output {path}: there is no folder {path.parent}")
    if path.exists() and chosen.model.exists() and path.samefile(chosen.model):
        raise UsageError(f"{path} is the file to convert, and stays as it is; give --output")
    if path.exists() and not chosen.force:
        raise UsageError(f"{path} exists; give --force to replace it, or --output")
    return path


def _architecture(chosen: argparse.Namespace) -> Graph | None:
    if chosen.architecture is None:
        return None
    graph = build(chosen.architecture, chosen.input, chosen.classes, _width(chosen))
    return ended_in(graph, chosen.activation)


def _width(chosen: argparse.Namespace) -> float:
    return 1.0 if chosen.alpha is None else chosen.alpha


def _given_input(chosen: argparse.Namespace) -> tuple[int, ...] | None:
    return None if chosen.architecture else chosen.input


def _describe(model: Model, origin: str, verbose: bool) -> str:
    graph, several = model.graph, model.classes > 1
    lines = [graph.summary()] if verbose else []
    size = "x".join(map(str, graph.input_shape))
    lines.append(
        f"{model.name}: {len(graph.nodes)} layers, {graph.parameters:,} parameters, "
        f"{graph.macs / 1e6:,.1f} million multiply-adds; input {size}, "
        f"{model.classes} {'independent ' * model.independent}score{'s' * several}; from {origin}"
    )
    if model.independent:
        lines.append(
            "its scores are sigmoids: any number of labels can be true of one image, and each has "
            "its own probability and threshold"
        )
    return "\n".join(lines)


def _note_numbered(given: tuple[str, ...], labels: tuple[str, ...]) -> None:
    changed = [repr(new) for old, new in zip(given, labels, strict=True) if old != new]
    if changed:
        shown = ", ".join(changed[:8]) + ", ..." * (len(changed) > 8)
        say(f"note: labels that occur more than once are numbered: {shown}")


if __name__ == "__main__":
    sys.exit(main())

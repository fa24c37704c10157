"""``tinycnn inspect FILE``: what a model file holds, ours or another's, and what it would take.

Nothing in the file is executed, and no network is run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinycnn import cli
from tinycnn.errors import PROGRAM, TinycnnError

if TYPE_CHECKING:
    from tinycnn.convert.survey import Survey
    from tinycnn.nn.graph import Graph
    from tinycnn.nn.model import Model
    from tinycnn.nn.types import Shape, Weights

SCHEMA = "tinycnn-inspect/1"  # entries may be added; none changes its meaning or goes
BYTES = 4  # of a float32
SHOWN = 40  # arrays of a file of weights alone
EPILOG = """\
Reads .safetensors, .h5, .keras and files of weights alone. exit status: 0 it can be run or
converted, 1 something stops it, 2 it cannot be read; 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return cli.run("inspect", _inspect, argv)


def _inspect(argv: Sequence[str]) -> int:
    p = cli.Parser("inspect", "Tell what a model file holds; nothing in it is executed.", EPILOG)
    p.add_argument("model", help="a model file, or the name of a shipped model")
    p.add_argument("--json", action="store_true", help=f"for programs: {SCHEMA}")
    p.add_argument(
        "--input", type=_shape, metavar="HxWxC", help="for files that leave the size open"
    )
    chosen = p.parse_args(argv)
    report = inspect(chosen.model, chosen.input)
    print(json.dumps(report, indent=1) if chosen.json else "\n".join(_text(report)))
    return 1 if report["problems"] else 0


def inspect(path: str | os.PathLike[str], input_shape: Shape | None = None) -> dict[str, Any]:
    """Describe a model file in plain JSON types, schema `SCHEMA`.

    ``input_shape``: (H, W, C) where the file leaves it open. ModelFileError or ConversionError for
    a file that cannot be read. Sizes are in bytes, shapes without the batch; None: not known.
    """
    from tinycnn.convert.survey import Survey, rows_of, survey
    from tinycnn.nn import modelfile
    from tinycnn.weights import find

    file = find(os.fspath(path))
    model = modelfile.load(file) if _is_ours(file) else None
    if model:
        found = Survey(
            "tinycnn", modelfile.FORMAT, file.stem, model.input_shape, rows_of(model.graph),
            optimizer=False, graph=model.graph, weights=model.weights,
        )  # fmt: skip
    else:
        found = survey(file, input_shape)
    report = _described(file, found)
    report.update(_meaning(model))
    return report


def _is_ours(file: Path) -> bool:
    """Whether the file has our metadata; what else is wrong with it, its reader says."""
    try:
        with file.open("rb") as stream:
            head = stream.read(8192)
    except (OSError, ValueError):
        return file.suffix == ".safetensors"  # its reader says it better
    return head[8:9] == b"{" and b'"tinycnn":' in head


def _described(file: Path, found: Survey) -> dict[str, Any]:
    from tinycnn.nn.endings import are_independent

    problems = [
        {"layer": row.name, "class": row.kind, "reason": row.problem}
        for row in found.rows
        if row.problem
    ]
    problems += [{"layer": None, "class": None, "reason": reason} for reason in found.problems]
    stored = sum(prod(array.shape) for array in found.arrays)
    parameters = sum(row.parameters for row in found.rows) if found.rows else stored
    return {
        "schema": SCHEMA,
        "file": str(file),
        "bytes": file.stat().st_size,
        "sha256": _sha256(file),
        "format": found.format,
        "origin": found.origin,
        "name": found.name,
        "input_shape": found.input_shape,
        "output_shape": found.graph.output_shape if found.graph else None,
        "independent": are_independent(found.graph) if found.graph else None,
        "layers": [
            {
                "name": row.name,
                "class": row.kind,
                "output_shape": row.shape,
                "parameters": row.parameters,
                "macs": row.macs,
                "inputs": row.inputs,
            }
            for row in found.rows
        ],
        "parameters": parameters,
        "macs": sum(row.macs for row in found.rows) if found.graph else None,
        "memory": _memory(found.graph, found.weights),
        "arrays": [{"name": a.name, "shape": a.shape, "dtype": a.dtype} for a in found.arrays],
        "fits": found.fits,
        "optimizer_state": found.optimizer,
        "problems": problems,
        "notes": found.notes,
    }


def _memory(graph: Graph | None, weights: Weights | None) -> dict[str, int | None]:
    """What one image takes: of the reference, and of the compiled kernels with one thread."""
    if graph is None or weights is None:
        return {"weights": None, "activations": None, "arena": None}
    from tinycnn.engine.lower import lower_graph
    from tinycnn.engine.plan import arena_bytes
    from tinycnn.engine.rewrites import rewrite
    from tinycnn.nn.limits import most_live

    try:
        arena: int | None = arena_bytes(rewrite(lower_graph(graph, weights)))
    except TinycnnError:  # the reference alone can run it
        arena = None
    live = BYTES * most_live(graph)
    return {"weights": BYTES * graph.parameters, "activations": live, "arena": arena}


def _meaning(model: Model | None) -> dict[str, Any]:
    """What a model file of ours says beside its network."""
    from tinycnn.nn import modelfile

    keys = ("preprocessing", "labels", "decision", "provenance", "self_test")
    data = modelfile.to_json(model) if model else {}
    return {key: data.get(key) for key in keys}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _shape(text: str) -> Shape:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})x([13])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no HEIGHTxWIDTHxCHANNELS (1 or 3 channels)")
    return int(found[1]), int(found[2]), int(found[3])


def _text(report: dict[str, Any]) -> Iterator[str]:
    """The report for people; names of a foreign file may hold anything, so they are escaped."""
    from tinycnn.nn.summary import spell_size
    from tinycnn.studies.names import printable

    lines = [
        f"{report['file']}: {report['origin']}, {spell_size(report['bytes'])}",
        f"sha256 {report['sha256']}",
        *(_layers(report) if report["layers"] else ()),
        *(_arrays(report) if report["arrays"] else ()),
        *_sums(report),
        *_said(report),
        *_verdict(report),
    ]
    yield from map(printable, lines)


def _layers(report: dict[str, Any]) -> Iterator[str]:
    from tinycnn.nn.summary import HEADER, spell_shape, table

    first = spell_shape(report["input_shape"]) if report["input_shape"] else "?"
    rows = [HEADER, ("input", first, "0", "0", "")]
    wrong = {problem["layer"] for problem in report["problems"]}
    for row in report["layers"]:
        shape = spell_shape(row["output_shape"]) if row["output_shape"] else "?"
        mark = " <- CANNOT BE CONVERTED" * (row["name"] in wrong)
        name = f"{row['name']} ({row['class']})"
        inputs = ", ".join(row["inputs"]) + mark
        rows.append((name, shape, f"{row['parameters']:,}", f"{row['macs']:,}", inputs))
    yield from table(rows)


def _arrays(report: dict[str, Any]) -> Iterator[str]:
    from tinycnn.nn.summary import spell_shape

    arrays = report["arrays"]
    yield f"{len(arrays)} arrays:"
    for array in arrays[:SHOWN]:
        yield f"  {array['name']}  {spell_shape(array['shape'])} {array['dtype']}".rstrip()
    if len(arrays) > SHOWN:
        yield f"  ... and {len(arrays) - SHOWN} more: --json lists all"


def _sums(report: dict[str, Any]) -> Iterator[str]:
    from tinycnn.nn.summary import spell_size

    memory = report["memory"]
    yield f"Total params: {report['parameters']:,}"
    if report["macs"] is not None:
        yield f"Multiply-adds for one image: {report['macs']:,}"
    if memory["weights"] is not None:
        arena = f", {spell_size(memory['arena'])} in the kernels' arena" if memory["arena"] else ""
        live = spell_size(memory["activations"])
        yield f"Memory: weights {spell_size(memory['weights'])}, activations {live}{arena}"
    if report["independent"]:
        count = report["output_shape"][-1]
        yield f"Scores: {count} independent labels, each with its own probability (sigmoids)"
    if report["optimizer_state"]:
        yield "Optimizer state: there, and not read"


def _said(report: dict[str, Any]) -> Iterator[str]:
    """Preprocessing, labels, decision, provenance and self-test, where the file has them."""
    if report["provenance"] is None:
        return
    preparing = {k: v for k, v in report["preprocessing"].items() if v not in ((), "none", False)}
    yield "Preprocessing: " + ", ".join(f"{key} {value}" for key, value in preparing.items())
    labels, decision = report["labels"], report["decision"]
    yield f"Labels: {', '.join(labels) or 'none'}"
    positive = decision["positive"]
    looked_for = f", looks for {labels[positive]!r}" if labels and positive is not None else ""
    yield f"Decision: {decision['rule']}, threshold {decision['threshold']}{looked_for}"
    if "calibration" in decision:
        yield from _calibrated(decision)
    told = dict(report["provenance"])
    for part, figures in told.pop("accuracy").items():
        found, missed = figures["true_positive"], figures["false_negative"]
        left, alarms = figures["true_negative"], figures["false_positive"]
        yield (
            f"Worth on {part}: {found + left} of {figures['studies']} studies judged rightly, "
            f"{found} of {found + missed} positive ones, {left} of {left + alarms} negative ones"
        )
    for key, value in told.items():
        if value:
            yield f"{key.replace('_', ' ').capitalize()}: {value}"
    test = report["self_test"]
    if test is None:
        yield "Self-test: none"
    else:
        scores, layers = len(test["expected"]), len(test["probes"])
        text = f"Self-test: seed {test['seed']}, {scores} scores, {layers} layers on the way"
        yield text if test.get("allowed") is None else f"{text}, {test['allowed']:.1e} allowed"


def _calibrated(decision: dict[str, Any]) -> Iterator[str]:
    record = decision["calibration"]
    yield (
        f"Calibrated: on {record['dataset']} for {record['target']}, rule {record['rule']}, by "
        f"tinycnn {record['tinycnn']}; temperature {decision['temperature']:g}"
    )
    for part, sample in record["parts"].items():
        threshold = decision["thresholds"].get(part, "none of its own")
        counts = f"{sample['positive']} positive and {sample['negative']} negative studies"
        yield f"Threshold for {part}: {threshold}; {counts} of {sample['patients']} patients"


def _verdict(report: dict[str, Any]) -> Iterator[str]:
    yield from (f"Note: {note}" for note in report["notes"])
    for options in report["fits"]:
        yield f"Fits (a hint, by names and shapes): {options}"
    if report["arrays"] and not report["fits"]:
        yield "Fits none of the architectures as a whole"
    if report["problems"]:
        yield "What stops the conversion:"
    for problem in report["problems"]:
        place = f"layer {problem['layer']!r} ({problem['class']}): " if problem["layer"] else ""
        yield f"  {place}{problem['reason']}"
    if not report["problems"] and report["format"] != "tinycnn":
        yield f"It can be converted: {PROGRAM} convert {report['file']}"


if __name__ == "__main__":
    sys.exit(main())

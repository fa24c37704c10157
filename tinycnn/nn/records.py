"""Dataclasses from JSON that was read: every entry known, every type right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

from tinycnn.errors import ModelFileError
from tinycnn.nn.model import Calibration, Decision, Figures, Provenance, Sample
from tinycnn.nn.selftest import SelfTest
from tinycnn.nn.types import has_type, tupled

T = TypeVar("T")


def decision(data: Any) -> Decision:
    """Make a `Decision`, with its calibration."""
    calibration = data.get("calibration") if isinstance(data, dict) else None
    if calibration is None:
        return record(Decision, data)
    parts = calibration.get("parts") if isinstance(calibration, dict) else None
    if not isinstance(parts, dict):
        raise ModelFileError("calibration must be an object, and its parts too")
    samples = {part: record(Sample, value) for part, value in parts.items()}
    found = record(Calibration, {**calibration, "parts": samples})
    return record(Decision, {**data, "calibration": found})


def provenance(data: Any) -> Provenance:
    """Make a `Provenance`, with its figures."""
    accuracy = data.get("accuracy", {}) if isinstance(data, dict) else None
    if not isinstance(accuracy, dict):
        raise ModelFileError("provenance must be an object, and its accuracy too")
    figures = {part: record(Figures, value) for part, value in accuracy.items()}
    return record(Provenance, {**data, "accuracy": figures})


def self_test(data: Any) -> SelfTest:
    """Make a `SelfTest`; whether there are such layers is not looked at."""
    test = record(SelfTest, data)
    if not all(has_type(v, tuple[float, ...]) for v in (test.expected, *test.probes.values())):
        raise ModelFileError("self_test: values must be numbers")
    if not 0 <= test.seed < 1 << 32:
        raise ModelFileError("self_test: the seed must lie in [0, 2^32)")
    if test.allowed is not None and test.allowed < 0:
        raise ModelFileError("self_test: allowed must not be negative")
    return test


def record(kind: type[T], data: Any) -> T:
    """Make a dataclass of JSON, types checked; ModelFileError names the entry."""
    where = kind.__name__.lower()
    if not isinstance(data, Mapping):
        raise ModelFileError(f"{where} must be an object")
    hints = get_type_hints(kind)
    if unknown := sorted(set(data) - set(hints)):
        raise ModelFileError(f"{where} has an unknown entry {unknown[0]!r}")
    values = {k: v if isinstance(v, Mapping) else tupled(v) for k, v in data.items()}
    if where == "selftest" and isinstance(values.get("probes"), Mapping):
        values["probes"] = {k: tupled(v) for k, v in values["probes"].items()}
    for key, value in values.items():
        hint = hints[key]
        if not (isinstance(value, Mapping) if "Mapping" in str(hint) else has_type(value, hint)):
            raise ModelFileError(f"{where}: {key} cannot be {str(value)[:60]}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ModelFileError(f"{where}: {error}") from None

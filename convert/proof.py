"""The proof of a conversion: every backend against the reference, on image-like inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinycnn.errors import ConversionError, TinycnnError
from tinycnn.nn.model import Model
from tinycnn.nn.selftest import image_like

SEEDS = range(2, 6)  # the self-test has seed 1
TOLERANCE = 1e-4  # relative to the largest score


@dataclass(frozen=True)
class Difference:
    """Largest difference of one backend to the reference, relative to the largest score."""

    backend: str
    largest: float
    reason: str = ""  # why it could not run here

    def __str__(self) -> str:
        """Spell it for people."""
        return f"{self.backend}: {self.reason or f'largest difference {self.largest:.1e}'}"


def prove(model: Model) -> Iterator[Difference]:
    """Run each backend but the reference; ConversionError where one computes something else.

    A backend that is not installed is worth a line only if no other one proves anything.
    """
    from tinycnn.engine import libraries
    from tinycnn.engine.session import Session, available_backends

    batch = np.concatenate(
        [image_like(model.input_shape, seed, model.preprocessing) for seed in SEEDS]
    )
    expected = model.forward(batch)
    if not np.isfinite(expected).all():
        raise ConversionError("the model gives NaN or infinity for an image-like input")
    compiled = {name: why for name, why in available_backends().items() if name != "numpy"}
    if all(compiled.values()):
        reasons = "; ".join(f"{name}: {why}" for name, why in compiled.items())
        yield Difference("compiled backends", 0.0, f"none can run here ({reasons})")
        return
    for backend, missing in compiled.items():
        if missing:
            if backend == "native" and not libraries.is_absent():  # there, and it cannot be used
                yield Difference(backend, 0.0, f"cannot run here ({missing})")
            continue
        try:
            found = Session(model, backend=backend).predict(batch)
        except TinycnnError as error:
            raise ConversionError(f"backend {backend}: {error}") from error
        difference = float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-6))
        if not difference <= TOLERANCE:  # a NaN is not <= anything
            raise ConversionError(
                f"backend {backend} differs by {difference:.1e} from the reference; "
                "nothing was written: please report it"
            )
        yield Difference(backend, difference)

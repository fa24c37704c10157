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
    reason: str = ""  # why the backend could not run here

    def __str__(self) -> str:
        """Spell it for people."""
        return f"{self.backend}: {self.reason or f'largest difference {self.largest:.1e}'}"


def prove(model: Model) -> Iterator[Difference]:
    """Run each backend but the reference; ConversionError where one computes something else."""
    from tinycnn.engine.session import Session, available_backends

    batch = np.concatenate(
        [image_like(model.input_shape, seed, model.preprocessing) for seed in SEEDS]
    )
    expected = model.forward(batch)
    if not np.isfinite(expected).all():
        raise ConversionError("the model gives NaN or infinity for an image-like input")
    for backend, missing in available_backends().items():
        if backend == "numpy":
            continue
        if missing:
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

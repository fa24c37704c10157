"""Which Keras wrote a file, and which library computed under it: what its numbers mean."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tinycnn.errors import ConversionError

from .hdf5_tree import Group

# Keras 1 called the weights of a layer NAME_W, NAME_b, ...; here each with today's name.
# running_std holds the variance in every whole model: since 1.0.6, and those exist since 1.0.7.
KERAS_1_WEIGHTS = {
    **{"W": "kernel", "b": "bias", "alphas": "alpha", "gamma": "gamma", "beta": "beta"},
    **{"running_mean": "moving_mean", "running_std": "moving_variance"},
    **{"depthwise_kernel": "depthwise_kernel", "pointwise_kernel": "pointwise_kernel"},
}
_KERAS_1_NAME = re.compile(rf"(.+)_({'|'.join(KERAS_1_WEIGHTS)})(?:_\d+)?(?::0)?")


@dataclass(frozen=True)
class Dialect:
    """``version``: "2.8.0", or None in files before 1.0.7. ``backend``: None where unknown."""

    version: str | None
    backend: str | None

    @property
    def keras1(self) -> bool:
        """Whether options, weights and kernels are those of Keras 1."""
        return self.version is None or self.version.startswith("1.")

    @property
    def keras2(self) -> bool:
        """Whether functions that changed in Keras 3 are the older ones."""
        return (self.version if self.version is not None else "1.").startswith(("1.", "2."))

    def is_theano(self, where: str) -> bool:
        """Whether Theano computed this file's layers; ConversionError where that is unknown."""
        if self.backend is None:
            raise ConversionError(
                f"{where}: Theano turned kernels by 180 degrees, and the file does not say whether "
                "TensorFlow or Theano used them; give --kernels tensorflow or --kernels theano"
            )
        return self.backend == "theano"

    def __str__(self) -> str:
        """Say it as a model's provenance does."""
        kernels = ", kernels of Theano" if self.backend == "theano" else ""
        version = "".join(c for c in self.version or "(unknown)" if c.isprintable())[:40]
        return f"Keras {version}{kernels}"


def find_dialect(root: Group, weights: Group, given: str | None) -> Dialect:
    """Read the dialect of a `.h5`; ``given``: the backend by the user's word.

    Keras has noted its backend since 2.0. Of the older ones only TensorFlow named variables
    ``NAME:0``. A name without is no proof of Theano: kernels were turned there to be published.
    """
    version = root.text("keras_version") or weights.text("keras_version")
    names = [name for group in weights.walk() for name in group.names("weight_names")]
    backend = root.text("backend") or weights.text("backend")
    if backend is None and any(name.endswith(":0") for name in names):
        backend = "tensorflow"
    if version is None and root.text("model_config") is None and not any(map(split_name, names)):
        version = ""  # weights alone, not with the names of Keras 1
    if backend is None and version is not None and not version.startswith("1."):
        backend = "tensorflow"
    if given is not None and backend is not None and given != backend:
        raise ConversionError(f"its kernels are those of {backend}; leave --kernels away")
    return Dialect(version, backend or given)


def split_name(path: str) -> tuple[str, str] | None:
    """Split Keras 1's "conv_W" into the layer and our name: ("conv", "kernel"); None if it is not.

    >>> split_name("fire2/squeeze1x1_b")
    ('fire2/squeeze1x1', 'bias')
    """
    found = _KERAS_1_NAME.fullmatch(path)
    return (found[1], KERAS_1_WEIGHTS[found[2]]) if found else None

"""tinycnn: runs image classifiers trained in Keras, on small computers, without TensorFlow.

::

    import tinycnn

    model = tinycnn.load("weights/NAME.safetensors")    # or the name of a shipped model
    batch = tinycnn.read_images(["view.png"], model)    # (N, H, W, C), preprocessed
    scores = model.predict(batch)                       # (N, classes)
    result = tinycnn.predict_study("STUDY_DIR", model)  # one verdict on a folder of views
"""

# Before anything that a study folder could hold:
import tinycnn.safepath  # noqa: I001  # isort: split

import os
from typing import TYPE_CHECKING, Any

from tinycnn.errors import TinycnnError

if TYPE_CHECKING:
    from tinycnn.engine.session import Session
    from tinycnn.studies.verdict import predict_studies, predict_study, read_images

__version__ = "0.1.0"

# In a checkout `convert` and `weights` lie beside this folder: found there also by a Python that
# was started in it, for which this folder hides the installed package.
if not os.path.isdir(os.path.join(__path__[0], "weights")):
    __path__.append(os.path.dirname(__path__[0]))
_STUDIES = ("predict_studies", "predict_study", "read_images")
__all__ = ["TinycnnError", "__version__", "load", "predict_studies", "predict_study", "read_images"]


def load(
    path: "str | os.PathLike[str]", backend: str | None = None, threads: int | None = None
) -> "Session":
    """Read a model file, or a shipped model by name, and make it runnable.

    Raises ModelFileError for a file that is not sound, SelfTestError for one that does not compute
    what it says it must. See `tinycnn.engine.session.Session` for ``backend`` and ``threads``.
    """
    from tinycnn.bits import need_64_bits

    need_64_bits()
    from tinycnn import loading

    return loading.load(path, backend, threads)


def __getattr__(name: str) -> Any:
    """Import the studies only when they are asked for: ``tinycnn --version`` needs no NumPy."""
    if name in _STUDIES:
        from tinycnn.studies import verdict

        return getattr(verdict, name)
    raise AttributeError(f"module 'tinycnn' has no attribute {name!r}")


_asked = tinycnn.safepath.module_asked_for().split(".")
if len(_asked) == 2 and _asked[1] != "cli":  # a command by `python -m`, which imports NumPy at once
    from tinycnn import cli

    cli.prepare_module(_asked[1])

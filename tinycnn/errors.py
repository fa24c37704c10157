"""The exceptions of tinycnn: one tree, so that a caller can catch as much as it wants.

::

    TinycnnError
    |-- UsageError         an option or an argument that cannot be used
    |-- GraphError         a network whose parts do not fit together
    |-- ModelFileError     a model file that is damaged, hostile or of another kind
    |-- SelfTestError      a model that does not compute what its file says it must
    |-- ConversionError    a foreign model file that cannot become one of ours
    |-- BackendError       a backend that cannot run here
    |   `-- ProgramError   a compiled network that would leave its memory
    |-- ClusterError       a Dask cluster that cannot be reached, or cannot do the job
    |-- ImageError         one image that is refused, with the reason
    `-- StudyError         a folder in which nothing can be judged

Every message says what failed and where, what was expected, what was found, and what to do.
"""

import os

# How users call the program, for advice: `./run` tells its own name.
PROGRAM = os.environ.get("TINYCNN_PROGRAM", "tinycnn")


class TinycnnError(Exception):
    """Everything that tinycnn raises on purpose; commands print it as one line and exit with 2."""


class UsageError(TinycnnError):
    """An option or an argument that cannot be used."""


class GraphError(TinycnnError):
    """A network whose parts do not fit together."""


class ModelFileError(TinycnnError):
    """A model file that is damaged, hostile or of another kind."""


class SelfTestError(TinycnnError):
    """A model that does not compute what its file says it must."""


class ConversionError(TinycnnError):
    """A foreign model file that cannot become one of ours."""


class BackendError(TinycnnError):
    """A backend that cannot run here."""


class ProgramError(BackendError):
    """A compiled network that would leave its memory: a fault of the planner's, found before."""


class ClusterError(TinycnnError):
    """A Dask cluster that cannot be reached, or cannot do the job."""


class ImageError(TinycnnError):
    """One image that is refused, with the reason."""


class StudyError(TinycnnError):
    """A folder in which nothing can be judged."""

"""What is kept of each study: a few hundred bytes, from which every metric follows."""

from __future__ import annotations

import os

from tinycnn.lightclass import dataclass
from tinycnn.studies.finder import Folder
from tinycnn.studies.names import MuraName, printable

EACH = ("view", "refused")  # statuses of a folder's entries that are answered for


@dataclass(frozen=True)
class Record:
    """One study: the probability of each view, and why others have none.

    ``id``: the folder below the data set, without the label in its name. ``seconds``: decoding,
    then resizing and scaling (of all views, on whatever threads), inference (its share of the
    batches). ``members``: of several models, what each says of each view; empty for one.
    ``notes``: pairs of a file's name and a note on it.
    """

    id: str
    path: str
    name: MuraName
    views: tuple[tuple[str, float], ...]
    refused: tuple[tuple[str, str], ...]
    seconds: tuple[float, float, float] = (0.0, 0.0, 0.0)
    members: tuple[tuple[float, ...], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def truth(self) -> bool | None:
        """Whether the study is positive; None if its folder does not say."""
        return None if self.name.label is None else self.name.label == "positive"

    def notes_on(self, file: str) -> list[str]:
        """The notes on one of its files."""
        return [note for name, note in self.notes if name == file]

    @property
    def patient(self) -> str:
        """Whose study it is, as `patient_key` says."""
        return patient_key(self.id, self.name)

    @property
    def body_part(self) -> str:
        """As MURA spells it; "unknown" where no folder says."""
        return self.name.body_part or "unknown"


def study_id(root: str, folder: Folder) -> str:
    """``XR_WRIST/patient00014/study1`` for a study found below ``root``, printable.

    Body part and patient are there also if ``root`` lies below their folders; folders between
    ``root`` and the body part are there too, since two sets may number their patients alike.
    """
    name = folder.name
    if name.body_part and name.patient and name.study:
        parts = os.path.abspath(folder.path).split(os.sep)
        start = len(parts) - 1 - parts[::-1].index(name.body_part)
        start = min(start, len(os.path.abspath(root).split(os.sep)))
        return printable("/".join([*parts[start:-1], name.study]))
    below = os.path.relpath(folder.path, root)
    return printable(os.path.basename(os.path.abspath(folder.path)) if below == "." else below)


def patient_key(study: str, name: MuraName) -> str:
    """``patient00014``, with the folders above it in ``study`` (a `study_id`), but for body parts.

    So patients of two data sets stay two, and one with several body parts stays one. A study that
    names no patient is one of its own.
    """
    if name.patient is None:
        return study
    above = study.split("/")[:-1]
    if name.patient not in above:  # the search began below the patient's folder
        return name.patient
    place = len(above) - 1 - above[::-1].index(name.patient)
    return "/".join([*(part for part in above[:place] if part != name.body_part), name.patient])


def key(root: str, path: str) -> str:
    """Where the study at ``path`` lies below ``root``: what the journal knows it by."""
    return printable(os.path.relpath(path, root))

"""Which studies there are, and who is held out: folders and CSVs of MURA, and MedMNIST's .npz."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from tinycnn.errors import StudyError
from tinycnn.evaluation.dataset import Dataset
from tinycnn.studies.finder import find_studies as folders_below


@dataclass(frozen=True)
class Study:
    """One study: its images carry its label, 1 for positive."""

    body_part: str
    patient: str
    label: int
    images: tuple[str, ...]


Split = tuple[list[int], list[int]]  # numbers of the studies to train with, and of those held out


def find_studies(path: Path, body_parts: Sequence[str] = ()) -> list[Study]:
    """Studies in a folder in the MURA layout, or in one of MURA's two CSVs; sorted by path.

    Of `body_parts` only, if any are given. StudyError if there is none.
    """
    found = _of_csv(path) if path.suffix == ".csv" else _of_folder(path)
    studies = [study for study in found if not body_parts or study.body_part in body_parts]
    if not studies:
        wanted = f" of {', '.join(body_parts)}" if body_parts else ""
        raise StudyError(f"{path}: no XR_PART/patientN/studyN_label{wanted} with images in it")
    return studies


def _of_folder(root: Path) -> Iterator[Study]:
    for folder in folders_below(root):
        name = folder.name
        images = tuple(entry.path for entry in folder.entries if entry.status == "view")
        if name.body_part and name.patient and name.label and images:
            yield Study(name.body_part, name.patient, int(name.label == "positive"), images)


def _of_csv(path: Path) -> Iterator[Study]:
    """Rows "MURA-v1.1/train/.../study1_positive/,1" or "MURA-v1.1/.../image1.png"."""
    data = Dataset(str(path))
    for folder in data.folders():
        name, views = folder.name, [entry for entry in folder.entries if entry.status == "view"]
        images = tuple(entry.path for entry in views)
        if not (name.body_part and name.patient and name.label and images):
            raise StudyError(f"{folder.path}: expected XR_PART/patientN/studyN_label with images")
        if data.chosen and data.chosen.images and len(images) < len(folder.entries):
            raise StudyError(f"{folder.path}: {path.name} lists images that are not there")
        yield Study(name.body_part, name.patient, int(name.label == "positive"), images)


def split_by_patient(studies: Sequence[Study], share: float, seed: int) -> Split:
    """Numbers of training and validation studies; no patient is in both."""
    patients = _shuffled(studies, seed)
    return _held_out(studies, set(patients[: max(1, round(share * len(patients)))]))


def folds_by_patient(studies: Sequence[Study], folds: int, seed: int) -> list[Split]:
    """`folds` splits; every patient is held out in exactly one of them."""
    patients = _shuffled(studies, seed)
    if len(patients) < folds:
        raise StudyError(f"{len(patients)} patients cannot make {folds} folds; take fewer")
    return [_held_out(studies, set(patients[first::folds])) for first in range(folds)]


def _shuffled(studies: Sequence[Study], seed: int) -> list[str]:
    patients = sorted({study.patient for study in studies})
    if len(patients) < 2:
        raise StudyError("one patient cannot be split into training and validation; add studies")
    np.random.default_rng(seed).shuffle(patients)
    return patients


def _held_out(studies: Sequence[Study], held: set[str]) -> Split:
    numbers = range(len(studies))
    training = [number for number in numbers if studies[number].patient not in held]
    return training, [number for number in numbers if studies[number].patient in held]


@dataclass(frozen=True)
class Examples:
    """Images as the network will see them, before scaling: `pixels` (M, H, W, C) uint8.

    `labels` (N,) float32; `studies`: (body part, first image, one past the last) of each.
    `rows` (N,): where in `pixels` each image lies; None where that is its own number.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.float32]
    studies: tuple[tuple[str, int, int], ...]
    rows: NDArray[np.int64] | None = None

    def some(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images with these numbers; nothing else is read."""
        return self.pixels[index if self.rows is None else self.rows[index]]

    def subset(self, chosen: Sequence[int]) -> Examples:
        """Only the studies with these numbers; `pixels` is shared."""
        spans = [self.studies[number] for number in chosen]
        ends = np.cumsum([last - first for _, first, last in spans]).tolist()
        studies = tuple(
            (part, end - (last - first), end)
            for (part, first, last), end in zip(spans, ends, strict=True)
        )
        index = np.concatenate([np.arange(first, last) for _, first, last in spans])
        rows = index if self.rows is None else self.rows[index]
        return Examples(self.pixels, self.labels[index], studies, rows)


def read_medmnist(path: Path, part: str) -> Examples:
    """The "train", "val" or "test" images of a two-class MedMNIST file; each is a study."""
    try:
        # NumPy leaves a file open that it was given by name, if it is no archive.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            pixels, labels = file[f"{part}_images"], file[f"{part}_labels"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise StudyError(f"{path}: no MedMNIST file with {part}_images: {error}") from error
    labels = labels.reshape(-1)
    if pixels.ndim not in (3, 4) or pixels.dtype != np.uint8 or len(labels) != len(pixels):
        raise StudyError(f"{path}: {part}_images: expected (N, H, W[, 3]) uint8 and N labels")
    if not np.isin(labels, (0, 1)).all() or not len(labels):
        raise StudyError(f"{path}: {part}_labels: expected 0 and 1")
    studies = tuple(("", row, row + 1) for row in range(len(labels)))
    pixels = pixels[..., None] if pixels.ndim == 3 else pixels
    return Examples(pixels, labels.astype(np.float32), studies)


def decode(
    studies: Sequence[Study],
    read: Callable[[str], NDArray[np.uint8]],
    shape: tuple[int, int, int],
    cache: Path,
    advance: Callable[[], None] = lambda: None,
) -> Examples:
    """Decode every image once, into the file `cache`, which is mapped: memory stays constant."""
    count = sum(len(study.images) for study in studies)
    cache.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.lib.format.open_memmap(cache, "w+", np.uint8, (count, *shape))
    labels, rows = np.empty(count, np.float32), []
    row = 0
    for study in studies:
        rows.append((study.body_part, row, row + len(study.images)))
        for path in study.images:
            pixels[row], labels[row] = read(path), study.label
            row += 1
            advance()
    pixels.flush()
    return Examples(pixels, labels, tuple(rows))

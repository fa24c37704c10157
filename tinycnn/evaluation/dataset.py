"""Which studies are evaluated: those of a folder, or those that MURA's CSVs name."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tinycnn.errors import StudyError, UsageError
from tinycnn.evaluation.records import EACH, study_id
from tinycnn.studies.doubts import large_studies, one_label, too_many
from tinycnn.studies.finder import Folder, find_studies
from tinycnn.studies.listing import Listing, Lookup, absent, read_listing
from tinycnn.studies.names import TruthLabel, printable
from tinycnn.studies.records import text

NAMED = 10  # studies of each kind that are named: against the folder's name, not there


class _Seen:
    """What is counted of studies, however many there are."""

    def __init__(self) -> None:
        self.labels: Counter[TruthLabel | None] = Counter()
        self.large, self.largest = 0, (0, "")

    def add(self, folder: Folder) -> None:
        self.labels[folder.name.label] += 1
        views = sum(entry.status in EACH for entry in folder.entries)
        if too_many(views):
            self.large += 1
            self.largest = max(self.largest, (views, folder.path))

    def doubts(self) -> list[str]:
        views, path = self.largest
        labels = one_label(*(self.labels[name] for name in ("positive", "negative", None)))
        large = large_studies(self.large, path, views) if self.large else ""
        return [doubt for doubt in (labels, large) if doubt]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` what a `Dataset` is made of: DATASET and ``--labels``."""
    about = "a folder of labelled studies, or MURA's CSV"
    parser.add_argument("dataset", metavar="DATASET", help=about)
    about = "labels: MURA's valid_labeled_studies.csv; only its studies"
    parser.add_argument("--labels", metavar="CSV", help=about)


class Dataset:
    """The studies at ``path``: a folder, or one of MURA's CSVs beside the studies.

    ``labels``: a CSV whose labels go before those of the folders' names, and which selects the
    studies that it lists. `root` is the folder that is searched.
    """

    def __init__(self, path: str, labels: str | None = None) -> None:
        self.path = path
        self.doubts: list[str] = []  # what `count` found odd, for people
        self.chosen: Listing | None = None
        self.root = path
        if os.path.isfile(path):
            if not path.lower().endswith(".csv"):
                raise UsageError(
                    f"{printable(path)!r} is a file; give a folder of studies, or a CSV as "
                    "MURA's valid_labeled_studies.csv"
                )
            self.chosen = read_listing(path)
            self.root = self.chosen.start()
        self.labels = read_listing(labels) if labels is not None else None
        if self.labels is not None and not self.labels.labels:
            raise UsageError(
                f"--labels {printable(str(labels))!r}: its rows have no labels; expected are "
                "rows STUDY_FOLDER/,1 or ,0 as in MURA's valid_labeled_studies.csv"
            )

    def folders(self) -> Iterator[Folder]:
        """Every study, in natural order of the folders; then those that are listed and not there.

        A study that only ``labels`` lists, and that is not at ``path``, is left out.
        """
        return (folder for _, folder in self._walk() if folder is not None)

    def _walk(self) -> Iterator[tuple[Folder | None, Folder | None]]:
        """What was found (None: it is only listed), and what is evaluated of it, if anything."""
        chosen = Lookup(self.chosen, self.root) if self.chosen else None
        labels = Lookup(self.labels, self.root) if self.labels else None
        missing = dict.fromkeys(chosen.listing.studies if chosen else ())
        for found in find_studies(self.root):
            folder: Folder | None = found
            if chosen:
                folder = chosen.select(found)
                missing.pop(chosen.study(found.path) or "", None)
            if folder and labels:
                folder = labels.select(folder)
            yield found, folder
        if chosen:
            yield from ((None, absent(study, chosen.listing)) for study in missing)

    def count(self) -> tuple[int, dict[str, Any]]:
        """Number of studies, and what a report says of CSVs; StudyError if none has a label.

        What is odd about them is in `doubts` from then on.
        """
        unlisted = 0
        seen = _Seen()
        contradicting: list[str] = []
        listed: set[str | None] = set()
        source = self.labels or self.chosen
        lookup = Lookup(source, self.root) if source else None
        for found, folder in self._walk():
            unlisted += folder is None
            if folder is None:
                continue
            seen.add(folder)
            if found and lookup:
                listed.add(lookup.study(found.path))
                if found.name.label not in (None, folder.name.label):
                    contradicting.append(study_id(self.root, folder))
        total = seen.labels.total()
        if total == seen.labels[None]:
            raise StudyError(self._nothing(total))
        self.doubts = seen.doubts()
        if source is None:
            return total, {}
        if not listed:
            raise StudyError(self._nothing(0))
        missing = [printable(study) for study in source.studies if study not in listed]
        return total, {
            "path": text(source.path),
            "contradicting": len(contradicting),
            "examples": contradicting[:NAMED],
            "not_there": len(missing),
            "not_there_examples": missing[:NAMED],
            "left_out": unlisted,
        }

    def _nothing(self, total: int) -> str:
        source = self.labels or self.chosen
        if source and not total:
            example = printable(next(iter(source.studies)))[:200]
            return (
                f"no study that {printable(source.path)!r} lists is in {printable(self.root)!r}; "
                f"it lists {example!r}"
            )
        return (
            f"no labelled study in {printable(self.path)!r}: {total} studies seen; their folders "
            "must be named as in MURA, study1_positive or study1_negative, or give --labels"
        )

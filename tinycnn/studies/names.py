"""What the names of files and folders tell, and how to print them safely."""

from __future__ import annotations

import os
import re
from typing import Literal

from tinycnn.lightclass import dataclass

TruthLabel = Literal["positive", "negative"]

_BODY_PART = re.compile(r"XR_[A-Z0-9]+")
_PATIENT = re.compile(r"patient[0-9]+")
_STUDY = re.compile(r"(study[0-9]+)_((?i:positive|negative))")
_NUMBER = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class MuraName:
    """What ``XR_SHOULDER/patient00007/study1_positive`` says; None for what a name leaves open."""

    body_part: str | None = None
    patient: str | None = None
    study: str | None = None
    label: TruthLabel | None = None


def parse_mura(path: str) -> MuraName:
    """Read body part, patient, study and label from the folder ``path`` and those above it."""
    parts = os.path.abspath(path).split(os.sep)[::-1]
    study = _STUDY.fullmatch(parts[0])
    return MuraName(
        body_part=next((part for part in parts if _BODY_PART.fullmatch(part)), None),
        patient=next((part for part in parts if _PATIENT.fullmatch(part)), None),
        study=study[1] if study else None,
        label=("positive" if study[2].lower() == "positive" else "negative") if study else None,
    )


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts image2 before image10."""
    parts = _NUMBER.split(name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def printable(text: str) -> str:
    """``text`` with everything that could steer a terminal, or reorder a line, as an escape."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def counted(count: int, noun: str, nouns: str = "") -> str:
    """1 file, 2 files; ``nouns`` where an s does not do: 1 study, 2 studies."""
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")

"""What each of several models would have said alone, beside their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinycnn.evaluation import levels
from tinycnn.evaluation.records import Record
from tinycnn.nn.model import Decision
from tinycnn.studies.ensemble import of_members


def differing(record: Record, decision: Decision) -> bool:
    """Whether the models, each alone, would not all give the study the same verdict."""
    return len({said for said, _ in of_members(record.members, decision)}) > 1


def of_study(record: Record, decision: Decision) -> dict[str, Any]:
    """Each model's probability of a study, and whether their verdicts differ."""
    if not record.members:
        return {}
    own = of_members(record.members, decision)
    return {"members": [p for _, p in own], "differ": differing(record, decision)}


def of_all(
    used: Sequence[Record],
    decision: Decision,
    tables: Mapping[tuple[str, str], Mapping[str, Any]],
    models: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The models' own figures by study and body part, and how often their verdicts differ.

    All on the same views: those that every one of them could judge. ``used``: labelled studies.
    """
    if not levels.members_of(used):
        return {}
    parts = dict.fromkeys(part for _, part in tables)
    members = [
        {
            "name": model["name"],
            "sha256": model["sha256"],
            "study": {part: tables[f"model {number}", part] for part in parts},
        }
        for number, model in enumerate(models)
    ]
    return {
        "members": members,
        "disagreement": {part: _apart(used, part, decision) for part in parts},
    }


def _apart(used: Sequence[Record], part: str, decision: Decision) -> dict[str, Any]:
    here = [record for record in used if part in (levels.ALL, record.body_part)]
    count = sum(differing(record, decision) for record in here)
    return {"studies": len(here), "differing": count, "share": count / len(here) if here else None}

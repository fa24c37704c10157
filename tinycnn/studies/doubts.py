"""What is odd about studies. It is said, and changes no verdict."""

from __future__ import annotations

from tinycnn.studies.names import counted, printable

MOST_VIEWS = 20  # of a study; those of MURA have one to about a dozen

WHAT_A_STUDY_IS = (
    "a study is the images of one examination of one patient, seldom more than a dozen; the images "
    "of each belong into a folder of their own"
)


def too_many(views: int) -> str:
    """Why a study of so many ``views`` is hardly one; "" if it may be."""
    return f"{views} views in one study: {WHAT_A_STUDY_IS}" if views > MOST_VIEWS else ""


def large_studies(count: int, example: str, views: int) -> str:
    """What to say of ``count`` studies (1 or more) with too many views, one of them ``example``."""
    others = ""
    if count > 1:
        others = f" ({counted(count - 1, 'other has', 'others have')} more than {MOST_VIEWS} too)"
    return f"{views} views in {printable(example)!r}{others}: {WHAT_A_STUDY_IS}"


def one_label(positive: int, negative: int, unlabelled: int) -> str:
    """What to say where no study has the other label; "" if there are both, or none at all."""
    if bool(positive) == bool(negative):
        return ""
    there, missing = ("positive", "negative") if positive else ("negative", "positive")
    none = f"; {counted(unlabelled, 'study has', 'studies have')} no label" if unlabelled else ""
    return (
        f"not one study is labelled {missing}, and {positive + negative} {there}{none}: neither "
        f"kappa nor AUROC says anything; do folders end in _{missing}?"
    )

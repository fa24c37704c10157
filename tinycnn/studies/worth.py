"""What a verdict is worth, and what must never be forgotten beside it."""

from __future__ import annotations

from tinycnn.nn.model import Decision, Figures, Model
from tinycnn.studies.result import Worth

SHORT = "not a diagnosis; see below"
NO_DIAGNOSIS = (
    "This is not a diagnosis: it is the output of a statistical model, for research only. "
    "A physician must read the images."
)


def worth(model: Model, body_part: str | None, decision: Decision) -> Worth:
    """What was measured for ``body_part``; over all body parts if it is unknown.

    A model that looks for no label judges anything, and is not measured by body parts.
    """
    general = decision.positive is None
    measured_on = "all" if general else body_part or "all"
    figures = model.provenance.accuracy.get(measured_on)
    if figures is None:
        where = body_part or "a body part that the folder's name does not tell"
        on = "" if general else f" on {where}"
        return Worth(None, None, f"how good this model is{on} was never measured")
    where = body_part or "all body parts together (this one is unknown)"
    on = "" if general else f"on {where} "
    statement = f"{on}this model judged {_in_words(figures)}"
    if model.provenance.evaluated_on:
        statement += f"; measured on {model.provenance.evaluated_on}"
    if not general and (figures.rule, figures.threshold) != (decision.rule, decision.threshold):
        statement += (
            f"; measured with rule {figures.rule} and threshold {figures.threshold:g}, "
            "not with those used here"
        )
    elif decision.temperature != 1.0:
        statement += "; measured without the temperature that is used here"
    return Worth(measured_on, figures, statement)


def cautions(*models: Model) -> tuple[str, ...]:
    """Sentences that stand beside every verdict of these models."""
    demonstrations = [m.provenance.trained_on for m in models if m.provenance.demonstration]
    texts = [
        f"DEMONSTRATION ONLY: these weights were trained on {trained_on}. What they say "
        "about a patient means nothing."
        for trained_on in dict.fromkeys(demonstrations)
    ]
    texts += [
        f"UNVERIFIED: the file of model {model.name} has neither a digest nor a self-test; nothing "
        "shows that it is whole, or computed rightly here."
        for model in models
        if model.unverified
    ]
    return (*texts, NO_DIAGNOSIS)


def mark(*models: Model) -> str:
    """`cautions` in a few words, for a verdict's own line where they stand further below."""
    demonstration = any(model.provenance.demonstration for model in models)
    return f"demonstration weights; {SHORT}" if demonstration else SHORT


def _in_words(figures: Figures) -> str:
    right = figures.true_positive + figures.true_negative
    text = f"{right} of {figures.studies} studies rightly (accuracy {figures.accuracy:.1%}"
    if figures.sensitivity is not None:
        text += f", sensitivity {figures.sensitivity:.1%}"
    if figures.specificity is not None:
        text += f", specificity {figures.specificity:.1%}"
    return text + ")"

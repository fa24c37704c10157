"""What must be known to read an evaluation's figures: calibration, mirror images, body parts.

Sentences that are not escaped, from a document that may lack anything.
"""

from __future__ import annotations

from collections.abc import Iterator

from tinycnn.evaluation.markup import ALL, Document, below, finite, models, parts, plain, rows


def remarks(document: Document) -> list[str]:
    """One sentence for each thing, and one for each model that it is about."""
    found = [said for model in models(document) for said in _of_model(model, document)]
    return list(dict.fromkeys(found))


def _of_model(model: Document, document: Document) -> Iterator[str]:
    known = below(model, "calibration")
    if known:
        yield _calibrated(str(model.get("name")), known, document)
        if known.get("same_name"):
            yield (
                f"CAUTION: this data set is called {known.get('dataset')} too: if the thresholds "
                "or the temperature were chosen on these studies, the figures promise too much."
            )
    measured = rows(model.get("measured_on"))
    unknown = [
        part for part in parts(below(document, "levels", "study")) if part not in (*measured, ALL)
    ]
    if measured and unknown:
        yield f"By its file {model.get('name')} was never measured on {', '.join(unknown)}."


def _calibrated(name: str, known: Document, document: Document) -> str:
    text = f"{name} was calibrated on {known.get('dataset')}"
    if finite(known.get("temperature")) != 1.0:
        text += f", temperature {plain(known.get('temperature'))}"
    if below(known, "thresholds"):
        text += f", thresholds for {known.get('target')} with rule {known.get('rule')}"
        if not below(document, "thresholds"):
            text += f", which are NOT USED HERE ({_why(document)})"
    if document.get("flip") is True:
        text += "; without the mirror images that are averaged in here"
    return f"{text}."


def _why(document: Document) -> str:
    if len(models(document)) > 1:
        return "they hold for a model alone"
    return "another rule or threshold was asked for"

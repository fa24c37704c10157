"""Scores that are the mean of a picture's and its mirror image's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinycnn.nn.model import Model
from tinycnn.nn.types import Array
from tinycnn.studies.panel import Session
from tinycnn.studies.result import StudyResult


class Mirrored:
    """A `Session` that runs another one twice: on the picture, and with left and right exchanged.

    What a temperature and a threshold are applied to is the mean.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def model(self) -> Model:
        """The model that is run."""
        return self.session.model

    def predict(self, batch: Array, /) -> Array:
        """Mean scores (N, classes) of ``batch`` (N, H, W, C) and of ``batch[:, :, ::-1]``."""
        mirror = np.ascontiguousarray(batch[:, :, ::-1])
        return (self.session.predict(batch) + self.session.predict(mirror)) / np.float32(2)


def told(result: StudyResult) -> StudyResult:
    """Say in ``result`` that its model was measured, and calibrated, without mirror images."""
    worth, calibration = result.worth, result.calibration
    if worth.figures is not None:
        statement = f"{worth.statement}; measured without the mirror images that are averaged here"
        worth = replace(worth, statement=statement)
    if calibration:
        calibration = f"{calibration}, without mirror images"
    return replace(result, worth=worth, calibration=calibration)

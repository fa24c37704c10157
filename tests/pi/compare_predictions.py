"""Whether two documents of `tinycnn predict --json` say the same: verdicts, and scores to 1e-5.

python tests/pi/compare_predictions.py HERE.json THERE.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

TOLERANCE = 1e-5


def scores(document) -> Iterator[tuple[str, float]]:
    """(what, value) for every study's verdict and every image's scores."""
    for study in document["studies"]:
        yield f"{study['path']} is {study['verdict']}", study["probability"]
        for file in study["files"]:
            for score in file["scores"]:
                yield f"{study['path']}/{file['file']} {score['label']}", score["score"]


def compare(first, second) -> float:
    """Largest difference of scores; SystemExit where they are not the same answers."""
    ours, theirs = dict(scores(first)), dict(scores(second))
    if different := ours.keys() ^ theirs.keys() or not ours:
        raise SystemExit(f"different answers: {different}")
    largest = max(abs(ours[name] - theirs[name]) for name in ours)
    if not largest <= TOLERANCE:
        raise SystemExit(f"scores differ by {largest:.1e}, more than {TOLERANCE}")
    return largest


def main() -> None:
    """Run the command."""
    first, second = (json.loads(Path(path).read_text()) for path in sys.argv[1:3])
    largest = compare(first, second)
    count, backends = len(second["studies"]), f"{second['backend']} and {first['backend']}"
    print(f"{count} studies: the same verdicts, scores within {largest:.1e} ({backends})")


if __name__ == "__main__":
    main()

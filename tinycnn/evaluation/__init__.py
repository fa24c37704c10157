"""What a model is worth on a labelled folder: scores kept, metrics with intervals, reports."""

"""What tests against real Keras share; imports no Keras."""

import numpy as np


def randomise(model, seed=1):
    """Random weights and statistics that neither die out nor blow up on the way."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        kind, shape = variable.path.rpartition("/")[2], variable.shape
        if kind in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.6, 1.4, shape))
        elif kind in ("beta", "moving_mean", "bias"):
            variable.assign(random.normal(0, 0.2, shape))
        elif kind == "kernel":  # He et al. 2015
            fan = shape[0] * shape[1] if len(shape) == 4 and shape[3] == 1 else np.prod(shape[:-1])
            variable.assign(random.normal(0, np.sqrt(2 / fan), shape))

"""Random valid networks, in which every backend, thread count and Keras must compute the same."""

"""Training in Keras, from a folder of studies to a tinycnn model file; `demos/train.py` runs it.

Modules here import Keras and TensorFlow (extra `train`) in functions, so that configs, data and
statistics can be read and tested without them.
"""

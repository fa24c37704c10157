"""Networks that Keras lacks, written in Keras from their descriptions: ours must equal them.

Every function makes a model of random weights for (shape, classes); import needs Keras.
"""

import keras

L = keras.layers


def scores(classes):
    return "sigmoid" if classes == 1 else "softmax"


def keras2_head(backbone, classes):
    """The end of Keras 2's MobileNet, behind a network that ends in a picture."""
    x = L.GlobalAveragePooling2D()(backbone.output)
    x = L.Reshape((1, 1, -1), name="reshape_1")(x)
    x = L.Dropout(1e-3, name="dropout")(x)
    x = L.Conv2D(classes, (1, 1), padding="same", name="conv_preds")(x)
    x = L.Reshape((classes,), name="reshape_2")(x)
    return keras.Model(backbone.input, L.Activation("softmax", name="act_softmax")(x))


def dense_head(backbone, classes):
    end = L.Dense(classes, activation=scores(classes), name="predictions")
    return keras.Model(backbone.input, end(backbone.output))


def biased(x, filters, size=1, strides=1, padding="same", relu6=True):
    x = L.Conv2D(filters, size, strides=strides, padding=padding)(x)
    x = L.BatchNormalization()(x)
    return L.Activation("relu6")(x) if relu6 else x


def bottleneck(x, expanded, channels, strides):
    x = biased(x, expanded)
    x = L.BatchNormalization()(L.DepthwiseConv2D(3, strides=strides, padding="same")(x))
    return biased(L.Activation("relu6")(x), channels, relu6=False)


def self_design_a(shape, classes):
    inputs = keras.Input(shape)
    x = biased(inputs, 32, 3, 2)
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
    for factor, channels, count, strides in [*rows, (6, 160, 3, 2), (6, 320, 1, 1)]:
        x = bottleneck(x, factor * x.shape[-1], channels, strides)
        for _ in range(1, count):
            x = L.Add()([bottleneck(x, factor * x.shape[-1], channels, 1), x])
    x = L.GlobalAveragePooling2D()(biased(x, 1280))
    x = L.Dropout(0.3, name="Dropout")(L.Reshape((1, 1, 1280))(x))
    x = L.Activation("softmax", name="softmax")(L.Conv2D(classes, 1, padding="same")(x))
    return keras.Model(inputs, L.Reshape((classes,))(x))


def self_design_b(shape, classes):
    inputs = keras.Input(shape)
    x = biased(inputs, 32, 2, 2, "valid")
    pairs = [(32, 16), (96, 24), (144, 24), (144, 32), *[(196, 32)] * 2, (196, 64)]
    pairs += [*[(384, 64)] * 3, (384, 96), *[(576, 96)] * 2, (576, 160), *[(960, 160)] * 2]
    for number, (expanded, channels) in enumerate([*pairs, (960, 320)], start=1):
        x = bottleneck(x, expanded, channels, 2 if number in (2, 4, 7, 14) else 1)
    x = L.Dense(16)(L.Flatten()(biased(x, 1280)))
    x = L.Activation("relu6")(x)
    return keras.Model(inputs, L.Dense(classes, activation="softmax")(x))


def stack(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers])


def conv2(shape, classes):
    parts = [
        layer
        for filters in (8, 8, 16)
        for layer in (
            L.Conv2D(filters, 8, padding="same", activation="relu"),
            L.MaxPooling2D(4),
            L.Dropout(0.2),
        )
    ]
    end = [L.Flatten(), L.Dense(32, activation="relu"), L.Dense(1, activation="sigmoid")]
    return stack(shape, *parts, *end)


def conv3(shape, classes):
    parts = []
    for filters, size, pool in zip((2, 2, 4, 4, 8), (3, 3, 5, 5, 7), (2, 2, 2, 2, 4), strict=True):
        parts.append(L.Conv2D(filters, size, padding="same", activation="relu"))
        parts += [L.MaxPooling2D(pool), L.Dropout(0.2)]
    end = [L.Flatten(), L.Dense(64, activation="relu"), L.Dropout(0.5)]
    return stack(shape, *parts, *end, L.Dense(1, activation="sigmoid"))


def conv4(shape, classes):
    parts = []
    for filters in (2, 4, 8, 16, 32):
        parts += [L.Conv2D(filters, 3, padding="same"), L.BatchNormalization(), L.ReLU()]
        parts.append(L.MaxPooling2D(2))
    end = [L.Flatten(), L.Dense(64, activation="relu"), L.Dropout(0.5)]
    return stack(shape, *parts, *end, L.Dense(1, activation="sigmoid"))


def mlp(shape, classes):
    hidden = [L.Dense(n, activation="relu") for n in (512, 64, 32)]
    return stack(shape, L.Flatten(), *hidden, L.Dense(1, activation="sigmoid"))


def normed(filters):
    return [L.Conv2D(filters, 3), L.BatchNormalization(), L.ReLU()]


def last():
    return [L.Conv2D(32, 3, activation="relu"), L.BatchNormalization(), L.MaxPooling2D(2, 2)]


def cnn1(shape, classes):
    """Without dense layers before the last."""
    parts = [*normed(32), L.MaxPooling2D(2), L.Flatten()]
    return stack(shape, *parts, L.Dense(classes, activation=scores(classes)))


def cnn3(shape, classes):
    """Without dropout."""
    parts = [*normed(32), L.MaxPooling2D(2), *normed(64), L.MaxPooling2D(2), *last(), L.Flatten()]
    dense = [L.Dense(128, activation="relu"), L.BatchNormalization(), L.Dense(64, "relu")]
    return stack(shape, *parts, *dense, L.Dense(classes, activation=scores(classes)))


def cnn5(shape, classes):
    """With a third dense layer."""
    parts = [*normed(32), *normed(32), L.MaxPooling2D(2), *normed(64), *normed(64)]
    parts += [L.MaxPooling2D(2), *last(), L.Flatten()]
    dense = [L.Dense(128, activation="relu"), L.BatchNormalization(), L.Dropout(0.5)]
    dense += [L.Dense(64, activation="relu"), L.Dense(32, activation="relu")]
    return stack(shape, *parts, *dense, L.Dense(classes, activation=scores(classes)))

"""Every option of every Keras layer class that tinycnn reads, and what becomes of it.

``honoured``: values with which the layer computes something else, in Keras and here. ``refused``:
values that are an error. ``inert``: values that change nothing, and ``why``. Imports no Keras.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Option:
    """One option; ``base``: further ones that it needs. ``only``: "keras" (3) or "tf_keras" (2).

    ``old``: it stands in files of versions that neither of the two is.
    """

    honoured: tuple = ()
    refused: tuple = ()
    inert: tuple = ()
    why: str = ""
    base: dict = field(default_factory=dict)
    only: str = ""
    old: bool = False


@dataclass(frozen=True)
class Kind:
    """A class: what it must be given, its options, and the shape of what it is tried on."""

    options: dict
    base: dict = field(default_factory=dict)
    shape: tuple = (7, 9, 3)
    inputs: int = 1


FIRST = ("channels_first",)
TRAINING = "of training alone"
ACTIVATION = Option(("relu", "softmax"), ("sparsemax", "nobody's", {"class_name": "Mine"}))
BIAS = Option((False,))
FORMAT = Option(FIRST, ("channels_middle",))
POOLING = {
    "pool_size": Option(((3, 2),), ((0, 2),)),
    "strides": Option(((1, 3),), ((0, 1),)),
    "padding": Option(("same",), ("odd",)),
    "data_format": FORMAT,
}
WINDOW = {
    "kernel_size": Option(((2, 4),), ((0, 2),)),
    "strides": Option(((2, 2),), ((0, 1),)),
    "padding": Option(("same",), ("causal",)),
    "data_format": FORMAT,
    "dilation_rate": Option(((2, 2),), ((0, 1),)),
    "activation": ACTIVATION,
    "use_bias": BIAS,
}
ONE_GROUP = Option(refused=(3,), inert=(1,), why="the only value that Keras takes", only="tf_keras")
FILTERS = {"filters": 4, "kernel_size": (3, 3)}
KEPT = {"keepdims": Option((True,)), "data_format": FORMAT}
STATISTICS = {"mean": (2.0, 2.0, 2.0), "variance": (4.0, 4.0, 4.0)}
PAD = {"height": 5, "width": 5, "pad_to_aspect_ratio": True}


def training(*names):
    """Layers, or options, that do nothing at inference."""
    return {name: Option(why=TRAINING) for name in names}


def augmentation(**base):
    """A layer that does nothing at inference, whatever its options are."""
    return Kind({}, base)


KINDS = {
    "Activation": Kind({"activation": ACTIVATION}, {"activation": "tanh"}),
    "Add": Kind({}, inputs=2),
    "Subtract": Kind({}, inputs=2),
    "Multiply": Kind({}, inputs=2),
    "Average": Kind({}, inputs=3),
    "Maximum": Kind({}, inputs=2),
    "Minimum": Kind({}, inputs=2),
    "Concatenate": Kind({"axis": Option((1, 2), (0, 7))}, inputs=2),
    "AveragePooling2D": Kind(POOLING, {"pool_size": (2, 2)}),
    "MaxPooling2D": Kind(POOLING),
    "GlobalAveragePooling2D": Kind(KEPT),
    "GlobalMaxPooling2D": Kind(KEPT),
    "BatchNormalization": Kind({
        "axis": Option((), (1, [1, 2]), (3, [3]), "the last one, counted otherwise"),
        "epsilon": Option((0.5,), (-1.0,)),
        "center": Option((False,)),
        "scale": Option((False,)),
        **training("momentum", "synchronized", "renorm_momentum"),
        "fused": Option(inert=(True, False), why="how TensorFlow computes it", old=True),
        "renorm": Option(refused=(True,), inert=(False,), why="the default", only="keras"),
        "renorm_clipping": Option(refused=({"rmax": 3.0},), inert=({},), why="none",
                                  only="keras"),
        "virtual_batch_size": Option(refused=(8,), inert=(None,), why="none", old=True),
        "adjustment": Option(refused=("f",), inert=(None,), why="none", old=True),
    }),
    "Conv2D": Kind({
        **WINDOW,
        "filters": Option((5,), (0,)),
        "groups": Option((3,), (2,), base={"filters": 6}),
    }, FILTERS),
    "Conv2DTranspose": Kind({
        **WINDOW,
        "filters": Option((5,), (0,)),
        "output_padding": Option(((1, 0),), ((2, 2),), base={"strides": (2, 2)}),
        "groups": ONE_GROUP,
    }, FILTERS),
    "DepthwiseConv2D": Kind({
        **WINDOW,
        "depth_multiplier": Option((2,), (0,)),
        "groups": ONE_GROUP,
        "filters": Option(inert=(None, 3), why="counts what kernel and input tell", old=True),
    }, {"kernel_size": (3, 3)}),
    "SeparableConv2D": Kind({
        **WINDOW,
        "filters": Option((5,), (0,)),
        "depth_multiplier": Option((2,), (0,)),
        "groups": ONE_GROUP,
    }, FILTERS),
    "Dense": Kind({
        "units": Option((5,), (0,)),
        "activation": ACTIVATION,
        "use_bias": BIAS,
        "lora_rank": Option(refused=(2,), inert=(None,), why="none", only="keras"),
        "lora_alpha": Option(inert=(2,), why="of lora_rank, which is refused", only="keras"),
        "quantization_config": Option(refused=({"class_name": "Int8"},), inert=(None,),
                                      why="none", only="keras"),
    }, {"units": 4}),
    "ELU": Kind({"alpha": Option((0.3,))}),
    "LeakyReLU": Kind({
        "negative_slope": Option((0.7,), only="keras"),
        "alpha": Option((0.7,), only="tf_keras"),
    }),
    "PReLU": Kind({"shared_axes": Option(([1, 2], [3]), ([0], [9]))}),
    "ReLU": Kind({
        "max_value": Option((1.5,)),
        "negative_slope": Option((0.2,)),
        "threshold": Option((0.7,)),
    }),
    "Softmax": Kind({
        "axis": Option((1, 2), ((1, 2), 7)),
        "robust_masking": Option(why="of masks, which are refused", only="tf_keras"),
    }),
    "LayerNormalization": Kind({
        "axis": Option(((2, 3), (1, 2, 3)), (1,)),
        "epsilon": Option((0.5,), (-1.0,)),
        "center": Option((False,)),
        "scale": Option((False,)),
        "rms_scaling": Option(refused=(True,), inert=(False,), why="the default", only="keras"),
    }),
    "Normalization": Kind({
        "axis": Option(((1, 2, 3),), (1,)),
        "invert": Option((True,), base={"mean": 2.0, "variance": 4.0}),
        "mean": Option(((1.0, 2.0, 3.0),), base=STATISTICS),
        "variance": Option(((1.0, 2.0, 3.0),), base=STATISTICS),
    }),
    "Rescaling": Kind({
        "scale": Option((3.0, (1.0, 2.0, 3.0)), ((1.0, 2.0),)),
        "offset": Option((-1.0, (1.0, 2.0, 3.0)), ((1.0, 2.0),)),
    }, {"scale": 2.0}),
    "ZeroPadding2D": Kind({"padding": Option((((1, 2), (3, 0)),), (-1,)), "data_format": FORMAT}),
    "Cropping2D": Kind({"cropping": Option((((1, 2), (3, 0)),), (-1, 99)),
                        "data_format": FORMAT}),
    "UpSampling2D": Kind({
        "size": Option(((3, 1),), (0,)),
        "interpolation": Option(("bilinear", "bicubic"), ("odd",)),
        "data_format": FORMAT,
    }),
    "Resizing": Kind({
        "height": Option((9,), (0,)),
        "width": Option((11,), (0,)),
        "interpolation": Option(("nearest", "bicubic"), ("odd",)),
        "crop_to_aspect_ratio": Option((True,)),
        "pad_to_aspect_ratio": Option((True,), only="keras"),
        "fill_mode": Option(refused=("reflect",), base=PAD, only="keras"),
        "fill_value": Option(refused=(9.0,), base=PAD, only="keras"),
        "antialias": Option(refused=(True,), inert=(False,), why="the default", only="keras"),
        "data_format": Option(FIRST, ("channels_middle",), only="keras"),
    }, {"height": 5, "width": 5}),
    "CenterCrop": Kind({
        "height": Option((3,), (0,)),
        "width": Option((3,), (0,)),
        "data_format": Option(FIRST, ("channels_middle",), only="keras"),
    }, {"height": 5, "width": 5}),
    "RandomCrop": Kind({
        "height": Option((5,), (5, 0), (7,), "the height that the images have",
                         only="tf_keras"),  # Keras 3's versions differ
        "width": Option((5,), (5, 0), (9,), "the width that the images have", only="tf_keras"),
        **training("seed", "rng_type"),
        "data_format": Option(refused=("channels_middle",), only="keras"),
    }, {"height": 7, "width": 9}),
    "Flatten": Kind({"data_format": FORMAT}),
    "Reshape": Kind({"target_shape": Option(((9, 7, 3), (-1, 9)), ((5, -1),))},
                    {"target_shape": (63, 3)}),
    "Permute": Kind({"dims": Option(((2, 1, 3), (3, 1, 2)), ((1, 2), (0, 1, 2)))},
                    {"dims": (1, 3, 2)}),
    "Identity": Kind({}),
    "Dropout": augmentation(rate=0.5),
    "SpatialDropout2D": augmentation(rate=0.5),
    "AlphaDropout": augmentation(rate=0.5),
    "GaussianDropout": augmentation(rate=0.5),
    "GaussianNoise": augmentation(stddev=0.5),
    "ActivityRegularization": augmentation(l1=0.5),
    **{name: augmentation(factor=0.5) for name in (
        "RandomRotation", "RandomContrast", "RandomBrightness", "RandomHeight", "RandomWidth",
        "RandomHue", "RandomSaturation", "RandomSharpness", "RandomColorDegeneration",
        "RandomGrayscale", "RandomInvert",
    )},
    **{name: augmentation() for name in (
        "RandomFlip", "RandomShear", "RandomPerspective", "RandomColorJitter", "RandomErasing",
        "RandomGaussianBlur", "RandomElasticTransform", "RandAugment", "AugMix", "MixUp", "CutMix",
    )},
    "RandomZoom": augmentation(height_factor=0.5),
    "RandomTranslation": augmentation(height_factor=0.5, width_factor=0.5),
    "RandomPosterization": augmentation(factor=4),
}  # fmt: skip
# What every layer may have, and why it is passed over: as patterns.
EVERYWHERE = {
    "name|batch_input_shape|batch_shape|input_shape|build_config": "read for the whole network",
    "trainable": TRAINING,
    r"\w*initializer": "of training alone: the weights are in the file",
    r"\w*regularizer": TRAINING,
    r"\w*constraint": TRAINING,
    "dtype|autocast|input_dtype": "all is computed in float32; integers are refused, see DTYPES",
    "sparse|ragged": "of inputs that are no images",
    "dynamic": "how Keras 2 ran a layer",
}

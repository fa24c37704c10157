"""Every attribute of every ONNX operator that tinycnn reads, and what becomes of it.

``honoured``: values under which the result changes, as ONNX Runtime's does. ``refused``: values
that are an error. ``inert``: values that change nothing, and ``why``. What the attribute's default
does is the case without it.
"""

from dataclasses import dataclass, field

import numpy as np

R = np.random.default_rng(11)


def floats(*shape):
    return R.normal(size=shape).astype(np.float32)


def whole(*numbers):
    return np.array(numbers, np.int64)


@dataclass(frozen=True)
class Option:
    """One attribute; ``base``: the other attributes. ``constants``: the inputs behind x.

    ``folded``: all inputs are constants. ``rows``: x is (N, 144), not (N, 3, 8, 6).
    ``without``: whether the node is sound without the attribute. ``tail``: what goes behind it.
    """

    honoured: tuple = ()
    refused: tuple = ()
    inert: tuple = ()
    why: str = ""
    base: dict = field(default_factory=dict)
    constants: tuple = ()
    opset: int = 17
    folded: bool = False
    rows: bool = False
    without: bool = True
    outputs: int = 1
    tail: tuple = ()


KERNEL = (floats(4, 3, 3, 3), floats(4))
UP = (floats(4, 3, 3, 3).transpose(1, 0, 2, 3).copy(), floats(4))  # of a transposed convolution
STATISTICS = (floats(3), floats(3), floats(3), np.abs(floats(3)))
EIGHT_BITS = "only for types of 8 bits, which are refused"
TRAINING = "of training alone"
UNUSED = "only for modes that are refused"
SCALES = (floats(0), np.array([1, 1, 0.5, 2], np.float32))
ODD = (floats(0), np.array([1, 1, 1.5, 1.5], np.float32))
POOL = {"kernel_shape": [3, 3]}
TEXT = np.array(b"a")


def convolution(**changed):
    return {
        "group": Option((), (3,), constants=KERNEL),  # 4 filters in 3 groups; 3: see GROUPED
        "pads": Option(([1, 0, 2, 1],), ([-1, 0, 0, 0], [1, 1]), constants=KERNEL),
        "auto_pad": Option(("SAME_UPPER", "SAME_LOWER"), ("BEST",), ("VALID",), "there are none",
                           {"strides": [3, 2]}, KERNEL),
        "strides": Option(([2, 1],), ([0, 1], [2]), constants=KERNEL),
        "dilations": Option(([2, 1],), ([0, 1],), constants=KERNEL),
        "kernel_shape": Option((), ([2, 2],), ([3, 3],), "says again what the weight is",
                               constants=KERNEL),
        **changed,
    }  # fmt: skip


def pooling(**more):
    return {
        "pads": Option(([1, 1, 1, 1],), ([-1, 0, 0, 0],), base={**POOL, "strides": [2, 1]}),
        "auto_pad": Option(("SAME_UPPER", "SAME_LOWER"), ("BEST",), ("VALID",), "there are none",
                           {**POOL, "strides": [2, 2]}),
        "strides": Option(([2, 3],), ([0, 1],), base=POOL),
        "kernel_shape": Option(([2, 4],), ([0, 1], [2]), base={}, without=False),
        "ceil_mode": Option((1,), base={**POOL, "strides": [2, 2]}),
        **more,
    }  # fmt: skip


def reduction(opset, **more):
    return {
        "keepdims": Option((0,), base={"axes": [2]}, opset=opset, tail=("Softmax", {"axis": 2})),
        "axes": Option(([3],), ([0], [1, 2]), base={}, opset=opset, without=False),
        "noop_with_empty_axes": Option((1,), opset=18, without=False),
        **more,
    }


def folded(*constants, **options):
    return Option(constants=constants, folded=True, **options)


CHANNELS = floats(3, 1, 1)
OPTIONS = {
    "AveragePool": pooling(
        count_include_pad=Option((1,), base={**POOL, "pads": [1, 1, 1, 1]}),
        dilations=Option((), ([2, 1],), ([1, 1],), "no dilation", POOL, opset=19),
    ),
    "BatchNormalization": {
        "momentum": Option(inert=(0.5,), why=TRAINING, constants=STATISTICS, opset=15),
        "epsilon": Option((0.1,), constants=STATISTICS, opset=15),
        "spatial": Option((), (0,), (1,), "the default", constants=STATISTICS, opset=7),
        "training_mode": Option((), (1,), constants=STATISTICS, opset=15),
    },
    "Cast": {
        "to": folded(np.array([[[2.7]], [[-1.2]], [[0.3]]], np.float32), honoured=(7,),
                     refused=(8, 99), base={}, without=False),
        "saturate": Option(inert=(0,), why=EIGHT_BITS, base={"to": 1}, opset=19),
        "round_mode": Option(inert=("down",), why=EIGHT_BITS, base={"to": 1}, opset=24),
    },
    "CastLike": {
        "saturate": Option(inert=(0,), why=EIGHT_BITS, constants=(floats(1),), opset=19),
        "round_mode": Option(inert=("down",), why=EIGHT_BITS, constants=(floats(1),), opset=24),
    },
    "Celu": {"alpha": Option((), (0.5,))},
    "Clip": {"max": Option((0.5,), opset=10), "min": Option((-0.5,), opset=10)},
    "Concat": {
        "axis": folded(floats(3, 1, 1), floats(3, 1, 1), honoured=(2,), refused=(7,),
                       without=False),
    },
    "Constant": {
        "value": folded(honoured=(CHANNELS,), without=False),
        "value_float": folded(honoured=(0.25,), without=False),
        "value_floats": folded(honoured=([0.25, 0.5],), without=False),
        "value_int": folded(honoured=(3,), without=False),
        "value_ints": folded(honoured=([1, 2, 3],), without=False),
        "sparse_value": folded(refused=(b"",), without=False),
        "value_string": folded(refused=("a",), without=False),
        "value_strings": folded(refused=(["a"],), without=False),
    },
    "ConstantOfShape": {
        "value": folded(whole(3, 1, 1), honoured=(np.array([0.5], np.float32),),
                        refused=(np.array([0.5, 1], np.float32),)),
    },
    "Conv": convolution(),
    "ConvTranspose": {
        **convolution(
            group=Option((), (3,), constants=(floats(3, 1, 3, 3),), without=False),
            auto_pad=Option((), ("SAME_UPPER", "SAME_LOWER"), ("VALID",), "there are none",
                            constants=UP),
            pads=Option(([1, 0, 2, 1],), ([-1, 0, 0, 0],), constants=UP),
            strides=Option(([2, 1],), ([0, 1],), constants=UP),
            dilations=Option(([2, 1],), ([0, 1],), constants=UP),
            kernel_shape=Option((), ([2, 2],), ([3, 3],), "says again what the weight is",
                                constants=UP),
        ),
        "output_padding": Option(([1, 0],), ([2, 2],), base={"strides": [2, 2]}, constants=UP),
        "output_shape": Option((), ([10, 8],), constants=UP),
    },
    "Dropout": {
        "ratio": Option(inert=(0.9,), why=TRAINING, opset=10),
        "seed": Option(inert=(3,), why=TRAINING),
    },
    "Elu": {"alpha": Option((0.3,))},
    "Flatten": {"axis": Option((), (2, 3, 9), (1, -3), "the default")},
    "Gather": {
        "axis": folded(floats(3, 1, 3), whole(0), honoured=(2,), refused=(5,), without=False),
    },
    "Gelu": {"approximate": Option(("tanh",), ("cubic",), opset=20)},
    "Gemm": {
        "alpha": Option((0.5,), constants=(floats(144, 2), floats(2)), rows=True),
        "beta": Option((0.5,), constants=(floats(144, 2), floats(2)), rows=True),
        "transA": Option((), (1,), constants=(floats(144, 2), floats(2)), rows=True),
        "transB": Option((1,), constants=(floats(144, 144),), rows=True),
    },
    "HardSigmoid": {"alpha": Option((0.4,)), "beta": Option((0.3,))},
    "LayerNormalization": {
        "axis": Option((), (0, 2), (-1, 1), "the default", constants=(floats(144),), rows=True),
        "epsilon": Option((0.5,), constants=(floats(144), floats(144)), rows=True),
        "stash_type": Option(inert=(10,), why="statistics of 16 bits; all are float32 here",
                             constants=(floats(144), floats(144)), rows=True),
    },
    "LeakyRelu": {"alpha": Option((0.5,))},
    "LogSoftmax": {"axis": Option((), (2, -1), base={}, without=False)},
    "MaxPool": pooling(
        storage_order=Option(inert=(1,), why="of the places of the maxima, which are refused",
                             base=POOL),
        dilations=Option((), ([2, 1],), ([1, 1],), "no dilation", POOL),
    ),
    "Pad": {
        "mode": Option((), ("reflect", "edge", "wrap", "odd"),
                       constants=(whole(0, 0, 1, 1, 0, 0, 1, 1),), opset=19),
        "pads": Option(([0, 0, 1, 0, 0, 0, 2, 1],), ([0, 1, 0, 0, 0, 0, 0, 0], [1, 1]), opset=10,
                       without=False),
        "value": Option((), (1.0,), (0.0,), "the default",
                        {"pads": [0, 0, 1, 0, 0, 0, 0, 0]}, opset=10),
    },
    "Range": {
        "stash_type": folded(np.float32(0), np.float32(3), np.float32(0.5), inert=(10,), opset=27,
                             why="how floats of 16 bits are counted up"),
    },
    "ReduceMax": reduction(13),
    "ReduceMean": reduction(17),
    "ReduceProd": {
        "axes": folded(floats(3, 2, 6), honoured=([1],), base={"keepdims": 1}),
        "keepdims": folded(floats(3, 2, 6), honoured=(0,), base={"axes": [0, 1]}),
        "noop_with_empty_axes": folded(floats(3, 1, 1), honoured=(1,), opset=18),
    },
    "Reshape": {
        "allowzero": Option((), (1,), constants=(whole(0, 3, 48),)),
    },
    "Resize": {
        "mode": Option(("linear",), ("cubic", "odd"), constants=ODD),
        "nearest_mode": Option(("round_prefer_ceil", "floor", "ceil"), ("odd",),
                               constants=SCALES),
        "coordinate_transformation_mode": Option(
            ("align_corners", "asymmetric", "half_pixel_symmetric"),
            ("tf_crop_and_resize", "odd", "tf_half_pixel_for_nn"),
            ("pytorch_half_pixel",), "differs for a result of one pixel alone",
            {"mode": "linear"}, (floats(0), np.array([1, 1, 1.3, 1.3], np.float32)), 19,
        ),
        "keep_aspect_ratio_policy": Option((), ("not_larger", "not_smaller"), constants=SCALES,
                                           opset=18),
        "axes": Option((), ([2, 3],), constants=SCALES, opset=18),
        "antialias": Option((), (1,), base={"mode": "linear"}, constants=SCALES, opset=18),
        "cubic_coeff_a": Option(inert=(-0.5,), why=UNUSED, constants=SCALES),
        "exclude_outside": Option(inert=(1,), why=UNUSED, base={"mode": "linear"},
                                  constants=SCALES),
        "extrapolation_value": Option(inert=(7.0,), why=UNUSED, constants=SCALES),
    },
    "Selu": {"alpha": Option((), (1.0,)), "gamma": Option((), (2.0,))},
    "Shape": {
        "start": folded(floats(3, 6), honoured=(1,), refused=()),
        "end": folded(floats(3, 6), honoured=(1,), refused=()),
    },
    "Slice": {
        "starts": Option(([1, 2],), base={"ends": [3, 5], "axes": [1, 3]}, opset=9, without=False),
        "ends": Option(([2, 5],), ([0, 0],), {}, base={"starts": [1, 2], "axes": [1, 3]}, opset=9,
                       without=False),
        "axes": Option(([2, 3],), ([0, 1],), base={"starts": [1, 2], "ends": [3, 5]}, opset=9,
                       without=False),
    },
    "Softmax": {"axis": Option((1, 2), (0, 9))},
    "Split": {
        "axis": Option((2, 3), (0, 9), outputs=2, without=False, opset=13),
        "split": Option(([1, 2], [2, 1]), ([1, 1],), base={"axis": 1}, outputs=2, opset=11,
                        without=False),
        "num_outputs": Option((2,), (0,), (), base={"axis": 1}, outputs=2, opset=18,
                              without=False),
    },
    "Squeeze": {"axes": folded(floats(1, 3, 1, 1), honoured=([0],), refused=([1],), opset=11)},
    "Swish": {"alpha": Option((), (0.5,), opset=24)},
    "ThresholdedRelu": {"alpha": Option((0.2, -0.5))},
    "Transpose": {"perm": Option(([0, 2, 1, 3], [0, 3, 1, 2]), ([1, 0, 2, 3],), without=False)},
    "Unsqueeze": {"axes": folded(floats(3), honoured=([1, 2],), refused=([9],), opset=11,
                                 without=False)},
    "Upsample": {
        "mode": Option((), ("linear", "odd"), base={"scales": [1.0, 1.0, 2.0, 2.0]}, opset=7),
        "scales": Option(([1.0, 1.0, 2.0, 3.0],), ([1.0, 1.0, 2.5, 2.0], [2.0, 2.0]), opset=7,
                         without=False),
    },
}  # fmt: skip

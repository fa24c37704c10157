"""Tiny CNNs, exported by PyTorch and Keras themselves: the files in `onnx_data`, with goldens.

    python tests/convert/make_onnx_goldens.py torch    # with torch, onnxscript, onnxruntime
    python tests/convert/make_onnx_goldens.py keras    # with tensorflow, tf2onnx, onnxruntime

Each golden holds the input as (N, H, W, C) and what ONNX Runtime gives for it.
"""

import sys
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "onnx_data"


def golden(path: Path, x: np.ndarray, first: bool) -> None:
    """Run a file for x (N, H, W, C), image by image; ``first``: it takes channels first."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    images = (x.transpose(0, 3, 1, 2) if first else x)[:, None]
    y = np.concatenate([session.run(None, {name: image})[0] for image in images])
    np.savez(path.with_suffix(".npz"), x=x, y=y)
    print(path.name, path.stat().st_size, y.shape, float(np.abs(y).max()))


def without_notes(path: Path) -> None:
    """Drop the stack traces, with paths of the machine, that the new exporter notes at nodes."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    for each in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del each.metadata_props[:]
    for each in graph.node:
        each.doc_string = ""
    onnx.save(model, path)


def torch_networks():
    """A network for each way in which PyTorch writes something."""
    from torch import nn

    class Plain(nn.Module):
        """Convolutions, batch-norm, pools, and a flatten of pictures with a head behind it."""

        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU6(),
                nn.MaxPool2d(3, 2, 1), nn.Conv2d(6, 8, 3, groups=2, padding=1), nn.PReLU(8),
                nn.AvgPool2d(2, ceil_mode=True), nn.BatchNorm2d(8),
            )  # fmt: skip
            self.head = nn.Sequential(nn.Linear(72, 10), nn.ELU(), nn.Linear(10, 3))

        def forward(self, x):
            x = self.body(x)
            return self.head(x.view(x.size(0), -1)).softmax(1)

    class Gated(nn.Module):
        """Depthwise, squeeze and excitation, residual, shuffled channels, a mean over pictures."""

        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3, 2, 1)
            self.deep = nn.Sequential(
                nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.BatchNorm2d(8), nn.Hardswish()
            )
            self.gate = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.SiLU(), nn.Conv2d(4, 8, 1),
                nn.Hardsigmoid(),
            )  # fmt: skip
            self.right = nn.Sequential(nn.Conv2d(4, 4, 1), nn.GELU(), nn.Mish(), nn.LeakyReLU(0.1))
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            import torch

            x = self.stem(x)
            x = x + self.deep(x) * self.gate(x)
            left, right = x.chunk(2, 1)
            x = torch.cat([left, self.right(right)], 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
            return self.head(x.clamp(-0.5, 2.0).mean([2, 3]))

    return {"plain": Plain, "gated": Gated}


def make_torch() -> None:
    import torch

    for name, kind in torch_networks().items():
        torch.manual_seed(3)
        net = kind().eval()
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
        x = torch.randn(2, 3, 22, 20)
        for suffix, options in (
            ("torchscript", {"dynamo": False, "dynamic_axes": {"x": {0: "n"}}}),
            ("dynamo", {"dynamo": True, "external_data": False}),
        ):
            path = DATA / f"torch_{name}_{suffix}.onnx"
            torch.onnx.export(net, (x[:1],), path, input_names=["x"], **options)
            without_notes(path)
            golden(path, x.numpy().transpose(0, 2, 3, 1), first=True)


def make_keras() -> None:
    import keras

    random = np.random.default_rng(3)
    layers = keras.layers
    inputs = keras.Input((20, 22, 3))
    x = layers.Rescaling(2.0, -1.0)(inputs)
    x = layers.Conv2D(6, 3, 2, padding="same", activation="relu")(x)
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    y = layers.BatchNormalization()(y)
    y = layers.Activation("hard_swish")(y)
    x = layers.Concatenate()([layers.Add()([x, y]), layers.MaxPooling2D(3, 1, padding="same")(x)])
    x = layers.AveragePooling2D(3, 2, padding="same")(x)
    x = layers.LeakyReLU(0.2)(layers.ZeroPadding2D(((0, 1), (1, 0)))(x))
    x = layers.Dense(5, activation="elu")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    for w in model.weights:
        low = 0.5 if "variance" in w.path or "gamma" in w.path else -0.5
        w.assign(random.uniform(low, low + 1, w.shape))
    images = random.random((2, 20, 22, 3), dtype=np.float32)
    model(images)
    path = DATA / "keras_small.onnx"
    model.export(path, format="onnx", verbose=False)
    golden(path, images, first=False)


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    {"torch": make_torch, "keras": make_keras}[sys.argv[1]]()

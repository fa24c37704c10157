"""Make `tests/convert/torch`: what real PyTorch writes, and what torchvision's networks say.

    pip install torch torchvision safetensors
    python -m tests.convert.make_torch_goldens

The weights of the networks are not stored: they follow from their names (`state_for`).
"""

import argparse
import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file

from tests.convert.torch_writer import images, state_for
from tinycnn.nn.architectures.torchvision import TORCHVISION

HERE = Path(__file__).parent / "torch"
SHAPE = (70, 96, 3)  # no side is a multiple of 32, so that each padding counts
# name -> classes; the others are tested where PyTorch is installed
NETWORKS = {"densenet121": 3, "densenet169": 1, "mobilenet_v2": 4, "resnet18": 2, "resnet50": 3}


def tensors():
    """One tensor of each kind; the tests know these values."""
    base = torch.arange(24, dtype=torch.float32) / 8
    return OrderedDict(
        plain=base.reshape(2, 3, 4),
        turned=base.reshape(4, 6).t(),
        part=base.reshape(4, 6)[1:, 1::2],
        half=base[:6].half(),
        bfloat16=base[:6].bfloat16(),
        double=base[:6].double(),
        parameter=torch.nn.Parameter(base[:6].clone()),
        scalar=torch.tensor(2.5),
        long=torch.tensor(7),
    )


def checkpoint():
    """What training scripts keep beside the weights."""
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(2, 1, 4, 4)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, milestones=[1, 2]),
        "best": np.float64(0.5),
        "accuracy": torch.tensor(0.75),
        "optimizer": optimizer.state_dict(),
        "state_dict": network.state_dict(),
    }


def scores(name, classes):
    """Scores (2, classes) of torchvision's network for two images."""
    values = state_for(TORCHVISION[name](SHAPE, classes))
    if name == "mobilenet_v2":  # its head is the second layer of a Sequential
        values = {k.replace("classifier.", "classifier.1."): v for k, v in values.items()}
    state = {key: torch.from_numpy(value) for key, value in values.items()}
    network = getattr(torchvision.models, name)(num_classes=classes).eval()
    counters = {k: v for k, v in network.state_dict().items() if k.endswith("_tracked")}
    network.load_state_dict(state | counters)  # strict: every key, every shape
    with torch.no_grad():
        logits = network(torch.from_numpy(images(SHAPE).transpose(0, 3, 1, 2).copy()))
    end = torch.sigmoid(logits) if classes == 1 else torch.softmax(logits, 1)
    return {"classes": classes, "scores": end.double().numpy().round(7).tolist()}


def main():
    HERE.mkdir(exist_ok=True)
    torch.manual_seed(1)
    torch.save(tensors(), HERE / "tensors.pth")
    torch.save(tensors(), HERE / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(checkpoint(), HERE / "checkpoint.pth")
    torch.save(torch.nn.Linear(2, 1), HERE / "module.pth")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 1)), HERE / "torchscript.pt")
    contiguous = {key: value.detach().contiguous() for key, value in tensors().items()}
    save_file(contiguous, HERE / "tensors.safetensors")
    goldens = {name: scores(name, classes) for name, classes in NETWORKS.items()}
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in goldens.items())
    head = (
        f'{{"versions": {json.dumps(versions)},\n "shape": {json.dumps(SHAPE)},\n "networks": {{\n'
    )
    (HERE / "goldens.json").write_text(head + ",\n".join(lines) + "}}\n")


if __name__ == "__main__":
    main()

"""Torchvision's networks, as `torch.save` writes them, against torchvision itself."""

import numpy as np
import pytest
from tinycnn.convert import pytorch

from tests.convert.torch_writer import images
from tinycnn.engine.session import Session
from tinycnn.nn.architectures.torchvision import TORCHVISION
from tinycnn.nn.model import Model

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
TOLERANCE = 1e-4


def randomise(network):
    """Weights as torch draws them; statistics as after training; scores that are not all alike."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.1, 0.8 if hasattr(network, "layer1") else 1.5)
            module.bias.data.normal_(0, 0.3)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.kaiming_uniform_(module.weight)
    return network.eval()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", sorted(TORCHVISION))
def test_scores(name, legacy, tmp_path):
    if legacy and name != "resnet18":
        pytest.skip("one network will do for the older kind of file")
    torch.manual_seed(3)
    network = randomise(getattr(torchvision.models, name)(num_classes=5))
    options = {"_use_new_zipfile_serialization": False} if legacy else {}
    torch.save({"epoch": 1, "model": network.state_dict()}, tmp_path / "m.pth", **options)
    shape = (224, 224, 3) if name.startswith("vgg") else (75, 98, 3)
    found = pytorch.read(tmp_path / "m.pth", name, shape)
    x = images(shape)
    with torch.no_grad():
        logits = network(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
        expected = torch.softmax(logits, 1).numpy()
    assert expected.max() < 1 - 1e-3
    np.testing.assert_allclose(found.graph.forward(x, found.weights), expected, atol=TOLERANCE)
    got = Session(Model(found.graph, found.weights), "numba").predict(x)
    np.testing.assert_allclose(got, expected, atol=TOLERANCE)


def test_every_tensor_of_an_untouched_network_has_a_place():
    for name, build in TORCHVISION.items():
        state = getattr(torchvision.models, name)(num_classes=1000).state_dict()
        shapes = {
            key.replace("classifier.1", "classifier") if name == "mobilenet_v2" else key: tuple(
                value.shape
            )
            for key, value in state.items()
            if not key.endswith("num_batches_tracked")
        }
        assert pytorch._wanted(build((224, 224, 3), 1000)) == shapes

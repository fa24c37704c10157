"""Exports of Teachable Machine: what is recognised, what is not, and hostile archives."""

import codecs
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from tinycnn.convert import __main__ as command
from tinycnn.convert import keras, teachable
from tinycnn.convert.hdf5 import read as read_here
from tinycnn.convert.survey import survey

import tinycnn
from tests.convert.keras_files import layer, write_h5
from tests.corpus import CORPUS, WILD
from tinycnn.errors import ConversionError
from tinycnn.nn import modelfile
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.studies.images import read_picture

NO_TEXT = "neither UTF-8, UTF-16 with its mark nor Windows-1252; save it as UTF-8"
LABELS = b"0 cat\n1 a dog, or two\n"
SIZE = [None, 224, 224, 3]


def chain(name, *layers):
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def export_config(last=None, size=SIZE, middle=()):
    """Layers nested as in an export, with one convolution in MobileNet's place."""
    conv = layer("Conv2D", "conv", filters=4, kernel_size=[3, 3], strides=[32, 32])
    body = {
        "class_name": "Functional",
        "name": "model1",
        "config": {
            "name": "model1",
            "layers": [
                {
                    **layer("InputLayer", "input_1", batch_input_shape=size),
                    "name": "input_1",
                    "inbound_nodes": [],
                },
                {**conv, "name": "conv", "inbound_nodes": [[["input_1", 0, 0, {}]]]},
            ],
            "input_layers": [["input_1", 0, 0]],
            "output_layers": [["conv", 0, 0]],
        },
    }
    dense = layer("Dense", "dense_Dense1", units=5, activation="relu", use_bias=True)
    softmax = {"units": 2, "activation": "softmax", "use_bias": False, **(last or {})}
    return chain(
        "sequential_4",
        layer("InputLayer", "sequential_1_input", batch_input_shape=size),
        chain("sequential_1", body, layer("GlobalAveragePooling2D", "pool"), *middle),
        chain("sequential_3", dense, layer("Dense", "dense_Dense2", **softmax)),
    )


def write_export(path, **options):
    random = np.random.default_rng(2)
    shapes = {
        "sequential_1": {"conv/kernel:0": (3, 3, 3, 4), "conv/bias:0": (4,)},
        "sequential_3": {
            "dense_Dense1/kernel:0": (4, 5),
            "dense_Dense1/bias:0": (5,),
            "dense_Dense2/kernel:0": (5, 2),
        },
    }
    if options.get("last", {}).get("use_bias"):
        shapes["sequential_3"]["dense_Dense2/bias:0"] = (2,)
    weights = {
        name: {key: random.normal(size=shape).astype(np.float32) for key, shape in arrays.items()}
        for name, arrays in shapes.items()
    }
    write_h5(path, export_config(**options), weights, version="2.4.0")


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)


@pytest.fixture
def export(tmp_path):
    (tmp_path / "labels.txt").write_bytes(LABELS)
    write_export(tmp_path / "keras_model.h5")
    return tmp_path


@pytest.fixture
def zipped(export):
    content = [(n, (export / n).read_bytes()) for n in ("keras_model.h5", "labels.txt")]
    write_zip(export / "converted_keras.zip", [*content, ("../../etc/passwd", b"never read")])
    return export / "converted_keras.zip"


def test_labels_and_preprocessing_without_an_option(export, zipped, capsys):
    for file in (export / "keras_model.h5", zipped):
        assert command.main([str(file)]) == 0
        out = capsys.readouterr().out
        assert "recognised: an export of Teachable Machine with the labels cat, a dog, or" in out
        assert "assumed" not in out
        model = modelfile.load(file.with_suffix(".safetensors"))
        assert model.labels == ("cat", "a dog, or two")
        assert model.preprocessing == teachable.PREPROCESSING


def test_options_override(zipped, capsys):
    arguments = ["--labels", "a,b", "--positive", "b", "--scale", "1/255", "--offset", "0"]
    assert command.main([str(zipped), *arguments]) == 0
    model = modelfile.load(zipped.with_suffix(".safetensors"))
    assert model.labels == ("a", "b")
    assert model.decision.positive == 1
    expected = Preprocessing(
        "rgb", "lanczos", True, scale=1 / 255, offset=0.0, fractional_crop=True
    )
    assert model.preprocessing == expected


@pytest.mark.parametrize(
    "options",
    [
        {"last": {"activation": "sigmoid"}},
        {"last": {"use_bias": True}},
        {"size": [None, 96, 96, 3]},
        {"middle": [layer("Dropout", "drop", rate=0.5)]},
    ],
)
def test_other_structures_are_not_recognised(options, export):
    write_export(export / "keras_model.h5", **options)
    found = keras.read(export / "keras_model.h5", read_hdf5=read_here)
    assert (found.classes, found.labels) == (0, ())


READ = {
    "numbers": b"0 cat\n1 dog\n",
    "as Windows writes them": b"\xef\xbb\xbf0 cat\r\n1 dog\r\n\r\n",
    "no numbers": b"cat\ndog\n",
    "tabs": b"0\tcat\n1\tdog",
    "UTF-16": "0 cat\r\n1 dog\r\n".encode("utf-16"),
    "UTF-16, big end first": codecs.BOM_UTF16_BE + "cat\ndog".encode("utf-16-be"),
}


@pytest.mark.parametrize("name", READ)
def test_labels_in_every_form(name, export):
    (export / "labels.txt").write_bytes(READ[name])
    found = keras.read(export / "keras_model.h5", read_hdf5=read_here)
    assert (found.labels, found.caveat) == (("cat", "dog"), "")


def test_labels_of_windows_1252(export, capsys):
    (export / "labels.txt").write_bytes("0 Lungenentzündung\n1 kein Befund\n".encode("cp1252"))
    assert command.main([str(export / "keras_model.h5")]) == 0
    assert "labels.txt is not UTF-8, so it is read as Windows-1252" in capsys.readouterr().out
    model = modelfile.load(export / "keras_model.safetensors")
    assert model.labels == ("Lungenentzündung", "kein Befund")
    assert model.preprocessing == teachable.PREPROCESSING


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 labels for 2 classes"),
        (b"0 cat\n", "1 labels for 2 classes"),
        (b"1 cat\n2 dog\n", "its lines are not numbered from 0 to 1, nor without"),
        (b"0 cat\ndog\n", "its lines are not numbered from 0 to 1, nor without"),
        (b"0 cat\n1 dog\n2 cow\n", "3 labels for 2 classes"),
        (b"0 cat\n1 \x1b[31mdog\n", "it holds what cannot be printed"),
        (b"0 cat\n1 \x81\n", NO_TEXT),
        ("0 cat\n1 dog\n".encode("utf-16-le"), NO_TEXT),
        (codecs.BOM_UTF16_LE + b"0", NO_TEXT),
        (b"0 cat\n1 dog" + b" " * 70_000, "more than 65536 bytes"),
        (None, "there is no labels.txt beside it"),
    ],
)
def test_labels_that_cannot_be_read_are_told_and_images_prepared(data, words, export, capsys):
    """What the images need is known by the layers: it was forgotten with the labels."""
    (export / "labels.txt").unlink()
    if data is not None:
        (export / "labels.txt").write_bytes(data)
    assert command.main([str(export / "keras_model.h5")]) == 0
    out = capsys.readouterr().out
    assert f"{words}, so that its labels are unknown; give --labels" in out
    assert "recognised: an export of Teachable Machine; images are prepared as" in out
    model = modelfile.load(export / "keras_model.safetensors")
    assert (model.labels, model.preprocessing) == ((), teachable.PREPROCESSING)


def test_a_folder_called_labels(export):
    (export / "labels.txt").unlink()
    (export / "labels.txt").mkdir()
    assert keras.read(export / "keras_model.h5", read_hdf5=read_here).labels == ()


def test_inspect_tells_it_too(export):
    (note,) = survey(export / "keras_model.h5").notes
    assert note.startswith("recognised: an export of Teachable Machine with the labels cat, a dog")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_the_option_reads_the_same_files(encoding, export, capsys):
    (export / "mine.txt").write_bytes("0 gesund\n1 Tümor\n".encode(encoding))
    options = ["--labels", str(export / "mine.txt")]
    assert command.main([str(export / "keras_model.h5"), *options]) == 0
    assert modelfile.load(export / "keras_model.safetensors").labels == ("gesund", "Tümor")
    assert ("read as Windows-1252" in capsys.readouterr().err) == (encoding == "cp1252")
    (export / "mine.txt").write_bytes(b"\x81")
    assert command.main([str(export / "keras_model.h5"), *options, "--force"]) == 2
    assert f"mine.txt: {NO_TEXT}" in capsys.readouterr().err


def test_images_are_cropped_as_the_sample_code_does(tmp_path):
    """ImageOps.fit begins at half a pixel where the margin is odd."""
    random = np.random.default_rng(4)
    for width, height in [(39, 51), (43, 52), (64, 48), (50, 50), (7, 224), (300, 225), (3, 2)]:
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
        image.save(tmp_path / "a.png")
        wanted = ImageOps.fit(image, (24, 20), Image.Resampling.LANCZOS)
        found = read_picture(str(tmp_path / "a.png"), (20, 24), teachable.PREPROCESSING)
        np.testing.assert_array_equal(found.pixels, np.asarray(wanted))


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("keras_model.h5", b"")], "0 files called 'labels.txt'; an export of Teachable"),
        ([("keras_model.h5", b""), ("labels.txt", LABELS)], "damaged HDF5"),
        ([("keras_model.h5", bytes(4 << 20)), ("labels.txt", LABELS)], "at most 1048576 are read"),
        ([("keras_model.h5", b"x"), ("labels.txt", bytes(1 << 17))], "at most 65536 are read"),
        (
            [("x/keras_model.h5", b"x"), ("x/labels.txt", LABELS)],
            "a zip archive of a folder; unpack it",
        ),
        ([(f"f{i}", b"") for i in range(1001)], "1001 files in the archive"),
    ],
)
def test_archives_that_are_refused(members, words, tmp_path):
    write_zip(tmp_path / "m.zip", members)
    with pytest.raises(ConversionError, match=words) as caught:
        keras.read(tmp_path / "m.zip", read_hdf5=read_here)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(zipped):
    content = [("keras_model.h5", b"x"), ("keras_model.h5", b"y"), ("labels.txt", LABELS)]
    write_zip(zipped, content)
    with pytest.raises(ConversionError, match=r"2 files called 'keras_model\.h5'"):
        keras.read(zipped, read_hdf5=read_here)


def test_truncated_archives(zipped):
    data = zipped.read_bytes()
    for size in range(4, len(data), max(1, len(data) // 60)):
        zipped.write_bytes(data[:size])
        with pytest.raises(ConversionError):
            keras.read(zipped, read_hdf5=read_here)


WILD_ONES = ("18-teachable-labels-not-utf8", "19-teachable-crop-half-a-pixel")
STUDY = Path(__file__).resolve().parents[2] / "demos/sample_studies/XR_WRIST"


@pytest.mark.skipif(not WILD.is_dir(), reason="../shared/wild is not there")
@pytest.mark.parametrize("name", WILD_ONES)
def test_scores_of_its_sample_code(name, tmp_path):
    """The golden is tf_keras with Pillow's ImageOps.fit, on the study that ships."""
    shutil.copy(WILD / name / "labels.txt", tmp_path)
    shutil.copy(CORPUS / "chest_teachable/keras_model.h5", tmp_path)
    assert command.main([str(tmp_path / "keras_model.h5")]) == 0
    model = tinycnn.load(tmp_path / "keras_model.safetensors")
    assert len(model.model.labels) == 3
    (result,) = tinycnn.predict_studies(STUDY, model)
    scores = [row.scores for row in result.judged]
    with np.load(WILD / name / "expected.npz") as golden:
        np.testing.assert_allclose(scores, golden["y"], atol=1e-5)

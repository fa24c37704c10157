"""PyTorch's containers made to harm: zip archives, files from before 1.6, safetensors."""

import io
import struct
import zipfile

import numpy as np
import pytest
from tinycnn.convert import pytorch
from tinycnn.convert.torch_state import find_state

from tests.convert.torch_writer import (
    TRUE,
    archive,
    call,
    legacy,
    name,
    number,
    ordered,
    parts_of,
    plain,
    program,
    refused,
    row,
    storage,
    tensor,
    word,
)  # fmt: skip
from tinycnn.errors import ConversionError

DATA = np.arange(4, dtype=np.float32).tobytes()
FOUR = storage("0", 4)
TINY = {"a": np.float32([1, 2]), "b": np.int64([3])}
GOOD = program(ordered({"w": tensor(FOUR, 0, (2, 2), (2, 1))}))


def twice():
    data = io.BytesIO(archive(GOOD, {"0": DATA}))
    with zipfile.ZipFile(data, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("archive/data/0", DATA)
    return data.getvalue()


def declared(field, value):
    """The archive after one field (offset in the central directory's entries) was changed."""
    data = bytearray(archive(GOOD, {"0": DATA}))
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + field : at + field + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (twice, "two files have one name"),
        (lambda: archive(GOOD, {"0": DATA}, compression=zipfile.ZIP_DEFLATED), "a compressed zip"),
        (lambda: archive(GOOD, {"0": DATA}, {"x/data.pkl": GOOD}), "2 files called data.pkl"),
        (lambda: archive(GOOD, {"0": DATA}, {"constants.pkl": GOOD}), "a TorchScript program"),
        (lambda: archive(GOOD, {"0": DATA}, {"byteorder": b"middle"}), "byte order b'middle'"),
        (lambda: archive(GOOD, {"0": DATA}, {"byteorder": b"x" * 99}), "byte order"),
        (lambda: archive(GOOD, {}), "the archive has no 'archive/data/0'"),
        (lambda: declared(24, b"\xff\xff\xff\x7f"), "larger than itself"),
        (lambda: declared(8, b"\x01"), "damaged: File"),  # encrypted
        (lambda: declared(16, b"\x00"), "damaged"),  # checksum
    ],
)
def test_zip_tricks(data, words, tmp_path):
    refused(data(), words, tmp_path)


def test_big_endian_and_old_pairs(tmp_path):
    data = np.arange(4, dtype=">f4").tobytes()
    pairs = b"](" + row(word("w"), tensor(FOUR, 0, (2, 2), (1, 2))) + b"e"
    body = program(call(name("collections", "OrderedDict"), pairs))
    (tmp_path / "big.pth").write_bytes(archive(body, {"0": data}, {"byteorder": b"big"}))
    with (tmp_path / "big.pth").open("rb") as file:
        found = pytorch.read_archive(file).value["w"].array()
    np.testing.assert_array_equal(found, [[0, 2], [1, 3]])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda d: d[:-1], "its tensors end at"),
        (lambda d: d + b"x", "its tensors end at"),
        (lambda d: d.replace(struct.pack("<q", 4) + DATA, struct.pack("<q", -1) + DATA), "of -1"),
        (lambda d: d.replace(struct.pack("<q", 4) + DATA, struct.pack("<q", 1 << 60)), "elements"),
        (lambda d: d.replace(plain(["0"]), plain(["1"])), "the list of storages"),
        (lambda d: d.replace(plain(["0"]), plain(["0", "0"])), "the list of storages"),
        (lambda d: d.replace(plain(["0"]), plain([0, 1])), "the list of storages"),
        (lambda d: d.replace(number(1001), number(1002), 1), "of an unknown version"),
        (lambda d: d.replace(TRUE, b"\x89", 1), "a big-endian machine"),
    ],
)
def test_damaged_legacy_files(data, words, tmp_path):
    refused(data(legacy(GOOD, {"0": DATA})), words, tmp_path)


def cases():
    entries, storages = parts_of(TINY)
    body = program(ordered(entries))
    return {
        "archive": archive(body, storages),
        "legacy": legacy(
            program(ordered({"a": entries["a"]})), {"0": storages["0"]}
        ),
    }  # fmt: skip


def everything(path):
    """Read all tensors of a file; None if it is none of ours or refused."""
    if not pytorch.is_pytorch(path):
        return None
    try:
        with path.open("rb") as file:
            state = find_state(pytorch._saved(file).value)
            return {key: tensor.array() for key, tensor in state.items()}
    except ConversionError:
        return None


@pytest.mark.parametrize("kind", ["archive", "legacy"])
def test_cut_off_at_every_byte(kind, tmp_path):
    data, path = cases()[kind], tmp_path / "cut.pth"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert everything(path) is None
    path.write_bytes(data)
    assert list(everything(path)) == ["a", "b"][: len(everything(path))]


@pytest.mark.parametrize("kind", ["archive", "legacy"])
def test_bits_turned(kind, tmp_path):
    data, path = cases()[kind], tmp_path / "turned.pth"
    for bit in range(0, len(data) * 8, 7):  # in every byte
        turned = bytearray(data)
        turned[bit // 8] ^= 1 << bit % 8
        path.write_bytes(turned)
        everything(path)  # what it says may have changed; no other error, and no crash


HEADER = '{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}'


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (HEADER, "a state dict of PyTorch with 1 tensors"),
        (HEADER.replace("[0,16]", "[1,17]"), "does not lie behind the one before"),
        (HEADER.replace("[0,16]", "[0,-16]"), "has no data_offsets"),
        (HEADER.replace("[0,16]", "[false,16]"), "has no data_offsets"),
        (HEADER.replace("[0,16]", "[0,12]"), "does not lie behind"),
        (HEADER.replace("2,2", "2,3"), "does not lie behind"),
        (HEADER.replace("2,2", "2,2.0"), "has no shape"),
        (HEADER.replace("2,2", "2,-2"), "has no shape"),
        (HEADER.replace("2,2", "1,1,1,1,1,1,1,2,2"), "has no shape"),
        (HEADER.replace("F32", "F8_E4M3"), "is of type 'F8_E4M3'"),
        (HEADER.replace('"shape"', '"x":1,"shape"'), "has entries"),
        ('{"a":' + HEADER[5:-1] + ',"a":' + HEADER[5:], "a key twice"),
        (
            HEADER[:-1] + ',"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}',
            "not lie behind",
        ),
        (HEADER[:-1] + ',"b":{"dtype":"F32","shape":[1],"data_offsets":[16,20]}}', "end at"),
        (HEADER[:-1] + ',"b":3}', "has no data_offsets"),
        ("{ ", "safetensors: "),
        ('{"__metadata__":{"tinycnn":"{}"}}', "it needs no conversion"),
    ],
)
def test_safetensors(header, words, tmp_path):
    data = struct.pack("<Q", len(header)) + header.encode() + DATA
    refused(data, words, tmp_path)

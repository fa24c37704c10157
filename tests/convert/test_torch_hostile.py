"""PyTorch files made to harm: each ends in one line, soon, and nothing in them is ever called."""

import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tinycnn.convert.torch_pickle import MAX_BYTES, Maker, read_pickle
from tinycnn.convert.torch_state import with_head
from tinycnn.convert.torch_tensors import NAMES

from tests.convert.torch_writer import (
    NONE,
    TRUE,
    archive,
    call,
    legacy,
    name,
    number,
    numbers,
    ordered,
    plain,
    program,
    refused,
    row,
    storage,
    tensor,
    word,
)
from tinycnn.errors import ConversionError

DATA = np.arange(4, dtype=np.float32).tobytes()
FOUR = storage("0", 4)


def in_archive(body):
    return archive(program(body), {"0": DATA})


def state(value):
    return ordered({"w": value})


def test_what_is_sound_is_read(tmp_path):
    good = state(tensor(FOUR, 0, (2, 2), (2, 1)))
    refused(in_archive(good), "a state dict of PyTorch with 1 tensors", tmp_path)
    old = legacy(program(good), {"0": DATA})
    refused(old, "a state dict of PyTorch with 1 tensors", tmp_path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (call(name("posix", "system"), word("touch HARM")), "asks for 'posix.system'"),
        (call(name("builtins", "eval"), word("1")), "asks for 'builtins.eval'; only tensors"),
        (call(name("torch.hub", "load")), "asks for 'torch.hub.load'"),
        (call(name("torch", "FloatStorage"), number(1 << 40)), "it calls what cannot be called"),
        (call(word("posix.system"), word("x")), "it calls what cannot be called"),
        (name("collections", "OrderedDict") + word("x") + b"R", "it calls what cannot be called"),
        (name("collections", "OrderedDict") + b"]\x81", "it calls what cannot be called"),
        (word("posix") + word("system") + b"\x93", "the instruction 0x93"),
        (b"(iposix\nsystem\n", "the instruction 0x69"),
        (b"(" + name("posix", "system") + b"o", "asks for 'posix.system'"),
        (b"\x82\x01", "the instruction 0x82"),
        (b"P0\n", "the instruction 0x50"),
        (b"I1\n", "the instruction 0x49"),
        (tensor(FOUR, 0, (2,), (1,)) + b"}b", "it gives a state to what has none"),
        (name("torch", "FloatStorage") + b"}b", "it gives a state to what has none"),
        (call(name("collections", "OrderedDict"), number(3)), "an OrderedDict that is none"),
        (call(name("collections", "OrderedDict"), word("ab")), "an OrderedDict that is none"),
        (call(name("torch._utils", "_rebuild_parameter"), number(3)), "that is no tensor"),
        (call(name("torch._utils", "_rebuild_tensor_v2")), "damaged pickle"),
        (b"c" + b"x" * 400 + b"\ny\n", "a name without an end"),
        (b"c\xff\ny\n", "damaged pickle"),
    ],
)
def test_nothing_is_called(body, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(in_archive(body), words, tmp_path)
    assert not Path("HARM").exists()


def test_names_lead_to_no_function_that_does_more_than_describe():
    modules = {v.make.__module__ for v in NAMES.values() if isinstance(v, Maker)}
    assert modules == {"tinycnn.convert.torch_tensors"}


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "words"),
    [
        (1, (4,), (1,), "reaches to 5 of 4 elements"),
        (4, (1,), (1,), "reaches to 5 of 4 elements"),
        (0, (2, 2), (3, 1), "reaches to 5 of 4 elements"),
        (0, (2,), (1 << 39,), "elements"),
        (0, (5,), (1,), "a tensor (5,) in a storage of 4"),
        (0, (1 << 20, 1 << 20), (0, 0), "in a storage of 4 elements"),
        (0, (1 << 40,) * 8, (0,) * 8, "a tensor (1099511627776, 1099511627776"),
        (0, (1 << 62,), (1,), "no row of whole numbers"),
        (0, (2,), (1 << 62,), "no row of whole numbers"),
        (0, (-1,), (1,), "no row of whole numbers"),
        (0, (2,), (-1,), "no row of whole numbers"),
        (-1, (2,), (1,), "do not fit together"),
        (1 << 62, (2,), (1,), "do not fit together"),
        (0, (2,), (1, 1), "do not fit together"),
        (0, (1,) * 9, (1,) * 9, "do not fit together"),
        (0, row(TRUE), (1,), "no row of whole numbers"),
        (0, b"](K\x02e", (1,), "no row of whole numbers"),
        (0, (2,), row(b"G" + struct.pack(">d", 1)), "no row of whole numbers"),
        (NONE, (2,), (1,), "do not fit together"),
        (TRUE, (2,), (1,), "do not fit together"),
    ],
)
def test_tensors_stay_inside_of_their_storage(offset, shape, strides, words, tmp_path):
    refused(in_archive(state(tensor(FOUR, offset, shape, strides))), words, tmp_path)
    old = legacy(program(state(tensor(FOUR, offset, shape, strides))), {"0": DATA})
    refused(old, words, tmp_path)


def described(*parts):
    return tensor(row(*parts) + b"Q", 0, (2,), (1,))


FLOATS = name("torch", "FloatStorage")


@pytest.mark.parametrize(
    ("store", "words"),
    [
        (storage("1", 4), "the archive has no 'archive/data/1'"),
        (storage("../data.pkl", 4), "the archive has no 'archive/data/../data.pkl'"),
        (storage("/etc/passwd", 4), "the archive has no 'archive/data//etc/passwd'"),
        (storage("0", 5), "storage '0': 16 bytes for 5 float32"),
        (storage("0", 1 << 40), "storage '0': 16 bytes for 1099511627776 float32"),
        (storage("0", 1 << 62), "a storage without type or size"),
        (storage("0", -4), "a storage without type or size"),
        (storage("0", 4, "Module"), "asks for 'torch.Module'"),
        (storage("a\nb", 4), "a storage without a name"),
        (storage("x" * 101, 4), "a storage without a name"),
        (row(word("module"), FLOATS, word("0"), NONE, number(4)) + b"Q", "without type or size"),
        (row(word("storage"), word("f"), word("0"), NONE, number(4)) + b"Q", "without type"),
        (row(word("storage"), FLOATS, b"K\x00", NONE, number(4)) + b"Q", "without a name"),
        (row(word("storage"), FLOATS) + b"Q", "described by no row of five"),
        (word("storage") + b"Q", "described by no row of five"),
        (word("storage"), "a tensor without a storage"),
        (
            row(word("storage"), FLOATS, word("0"), NONE, number(4), row(word("1"))) + b"Q",
            "a storage that is part of another one",
        ),
    ],
)
def test_storages_are_what_the_archive_holds(store, words, tmp_path):
    refused(in_archive(state(tensor(store, 0, (2,), (1,)))), words, tmp_path)


def test_one_storage_has_one_description(tmp_path):
    two = {
        "a": tensor(storage("0", 4), 0, (2,), (1,)),
        "b": tensor(storage("0", 2, "DoubleStorage"), 0, (2,), (1,)),
    }
    refused(in_archive(ordered(two)), "described in two ways", tmp_path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "damaged pickle"),
        (b"0", "damaged pickle"),
        (b"t", "damaged pickle"),
        (b"h\x05", "damaged pickle"),
        (b"j\xff\xff\xff\xff", "damaged pickle"),
        (b"X\xff\xff\xff\xffabc", "it ends too early"),
        (b"X\x01\x00\x00\x00\xff", "damaged pickle"),
        (b"\x8a\xff", "it ends too early"),
        (b"\x85", "too little for a tuple"),
        (b"NN\x87", "too little for a tuple"),
        (b"Na", "damaged pickle"),
        (b"]NNs", "dict expected"),
        (b"}N(NNNu", "dict expected"),
        (b"}(Nu", "a key without a value"),
        (b"}(XXu", "damaged pickle"),
        (b"}" + b"(" + (word("k") + NONE) * 2 + b"u", "the key 'k' twice"),
        (b"}" + b"](Ns", "damaged pickle"),
        (b"}]Ns", "a key that is a list"),
        (b"})Ns", "a key that is a tuple"),
        (b"(" * 101, "nested deeper than 100"),
        (b"]q\x00h\x00a", "holds no state dict"),  # a list that holds itself
        (b"}q\x00" + word("state_dict") + b"h\x00s", "holds no state dict"),
        (call(name("collections", "OrderedDict"), b"](" + row(b"]", NONE) + b"e"), "a key that is"),
        (plain([1, 2]), "holds no state dict"),
        (plain({"epoch": 3}), "holds no state dict"),
    ],
)
def test_damaged_pickles(body, words, tmp_path):
    refused(in_archive(body), words, tmp_path)


def test_other_protocols_are_no_state_dicts(tmp_path):
    refused(archive(b"\x80\x04N.", {}), "not a pickle of protocol 2", tmp_path)
    refused(archive(b"(dp0\n.", {}), "not a pickle of protocol 2", tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        b"(Nt" + b"2\x86" * 100,  # instruction 2, "twice", is not among those that are known
        b")q\x00" + b"h\x00h\x00\x86q\x00" * 5000,  # a tuple of twice itself, 5000 times
        b"]q\x00" + b"](h\x00h\x00eq\x00" * 5000,
        b")" + b"\x85" * (MAX_BYTES // 32),  # deep, which costs no stack
        b"N" * (MAX_BYTES // 32),
        b"}" * (MAX_BYTES // 32),
    ],
)
def test_bombs_go_off_without_a_bang(body, tmp_path):
    tracemalloc.start()
    began = time.thread_time()
    refused(in_archive(body), "", tmp_path)
    took, (_, peak) = time.thread_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 10  # seconds, of which the measuring takes most
    assert peak < 12 << 20  # 32 times that for the longest pickle that is read


def test_keys_that_double_are_refused_before_they_are_hashed():
    doubled = b")q\x00" + b"h\x00h\x00\x86q\x00" * 60
    with pytest.raises(ConversionError, match="a key that is a tuple"):
        read_pickle(program(b"}" + doubled + b"0" * 61 + b"h\x00Ns"), {}, lambda _: None)


def test_a_pickle_that_is_too_long(tmp_path):
    refused(archive(program(b"N" * MAX_BYTES), {}), "data.pkl: over 2097152 bytes", tmp_path)
    refused(legacy(program(b"N" * MAX_BYTES), {}), "or longer than 2097152 bytes", tmp_path)


def test_numbers_can_be_written_by_the_tests_themselves():
    value = read_pickle(program(numbers((1, -1, 1 << 62))), {}, lambda _: None).value
    assert value == (1, -1, 1 << 62)


def keys_of(body):
    """A file of PyTorch before 1.6 whose list of storages is as told."""
    sound = legacy(program(state(tensor(FOUR, 0, (2, 2), (2, 1)))), {"0": DATA})
    return sound.replace(program(plain(["0"])), program(body))


DOUBLED = b"]q\0" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(100)) + b"]h\x64a"
NESTED = b"]q\0" + b"]q\1h\0ah\1q\0" * 50_000
PAIRS = b"](" + b"".join(number(i) + b"N\x86" for i in range(60_000)) + b"e\x85q\0"
COPY = name("collections", "OrderedDict") + b"q\1"
HUGE = b"".join(
    b"\x8a\x0b" + (k * ((1 << 61) - 1)).to_bytes(11, "little") + b"N" for k in range(1, 99_999)
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (keys_of(DOUBLED), "the list of storages"),  # 2 ** 100 lists, if anyone spelt them
        (keys_of(NESTED), "the list of storages"),
        (keys_of(b"](" + number(0) + b"e"), "the list of storages"),
        (in_archive(PAIRS + b"0](" + COPY + b"h\1h\0R" * 200_000 + b"e"),
         "calls with more than there can be"),
        (in_archive(b"}(" + HUGE + b"u"), "a key that is a huge number"),  # all of one hash
    ],
    ids=["doubled", "nested", "numbers", "copies", "hashes"],
)  # fmt: skip
def test_what_would_take_for_ever(data, words, tmp_path):
    begin = time.thread_time()
    refused(data, words, tmp_path)
    assert time.thread_time() - begin < 3


def test_a_head_of_many_keys():
    """Found out by a set: 60,000 keys took two minutes."""
    keys = {f"fc.1.{i:x}": None for i in range(60_000)}
    begin = time.thread_time()
    assert next(iter(with_head(keys, "fc"))) == "fc.0"
    assert time.thread_time() - begin < 2

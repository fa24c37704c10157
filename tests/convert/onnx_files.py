"""ONNX files written by hand, byte by byte: right ones, and such as no exporter would write."""

import struct

import numpy as np

CODES = {"float32": 1, "uint8": 2, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "float64": 11}


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])


def entry(number: int, value) -> bytes:
    """One field: an int, a float, text, bytes, or several."""
    if isinstance(value, list | tuple):
        return b"".join(entry(number, each) for each in value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(**fields) -> bytes:
    """A message of fields ``f1=..., f2=...``."""
    return b"".join(entry(int(key[1:]), value) for key, value in fields.items())


def tensor(name: str, value, **changed) -> bytes:
    array = np.asarray(value)
    fields = {"f1": list(array.shape), "f2": CODES[array.dtype.name], "f8": name}
    return message(**{**fields, "f9": array.tobytes(), **changed})


def attribute(name: str, value) -> bytes:
    """One option; its type has the number of the field that holds it, less one."""
    if isinstance(value, np.ndarray):
        kind, value = 5, tensor("", value)
    elif isinstance(value, list | tuple):
        kind = {float: 7, str: 9, bytes: 9}.get(type(value[0]) if value else int, 8)
    else:
        kind = {float: 2, int: 3, str: 4, bytes: 6}[type(value)]  # bytes: a graph
    return message(f1=name, **{f"f{kind}": value}, f20=kind - 1)


def node(op: str, inputs: str, outputs: str, name: str = "", **attributes) -> bytes:
    made = [attribute(key, value) for key, value in attributes.items()]
    ins, outs = ([n for n in text.split(",") if text] for text in (inputs, outputs))
    return message(f1=ins, f2=outs, f3=name or op.lower(), f4=op, f5=made)


def value(name: str, shape, code: int = 1) -> bytes:
    dims = [message(f2=d) if isinstance(d, str) else message(f1=d) for d in shape]
    return message(f1=name, f2=message(f1=message(f1=code, f2=message(f1=dims))))


def graph(nodes, tensors=(), inputs=(("x", ("n", 3, 8, 6)),), outputs=("y",)) -> bytes:
    return message(
        f1=list(nodes), f2="graph",
        f5=[t if isinstance(t, bytes) else tensor(*t) for t in tensors],
        f11=[value(*each) for each in inputs],
        f12=[message(f1=name, f2=message(f1=message(f1=1))) for name in outputs],
    )  # fmt: skip


def model(nodes, tensors=(), opset: int = 17, **parts) -> bytes:
    made = graph(nodes, tensors, **parts)
    return message(f1=8, f2="by hand", f7=made, f8=message(f1="", f2=opset))


def classifier(nodes, tensors=(), opset: int = 17, **parts) -> bytes:
    """``nodes`` make "p", a picture, of "x"; a mean over it is the output."""
    tail = [node("GlobalAveragePool", "p", "g"), node("Flatten", "g", "y", "flat")]
    return model([*nodes, *tail], tensors, opset, **parts)

"""A study of bad images: each gets its reason, soon and in little memory; the good ones a score."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests.studies import conftest
from tests.studies.conftest import chunk, png, save_gray

MEGA = 1 << 20
SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = chunk(b"IEND", b"")


def ihdr(width, height, depth=8, colour=0, compression=0, filtering=0, interlace=0):
    fields = (width, height, depth, colour, compression, filtering, interlace)
    return SIGNATURE + chunk(b"IHDR", struct.pack(">2I5B", *fields))


def as_format(name, size=(60, 40), **options):
    stream = io.BytesIO()
    noise = Image.frombytes("L", size, random.Random(0).randbytes(size[0] * size[1]))
    noise.save(stream, name, **options)
    return stream.getvalue()


def zeros(width, height, channels=1, white=0, **options):
    """A valid PNG of any size, made without holding its pixels; some rows ``white`` at the end."""
    squeeze = zlib.compressobj(1)
    left, packed = (height - white) * (1 + width * channels), b""
    while left:
        packed += squeeze.compress(bytes(min(left, MEGA)))
        left -= min(left, MEGA)
    for _ in range(white):
        packed += squeeze.compress(b"\0" + b"\xff" * (width * channels))
    packed += squeeze.flush()
    return ihdr(width, height, **options) + chunk(b"IDAT", packed) + END


def jpeg_sized(data, width, height):
    """The JPEG ``data`` with other dimensions in its frame header."""
    at = next(i for i in range(len(data)) if data[i : i + 2] in (b"\xff\xc0", b"\xff\xc2"))
    return data[: at + 5] + struct.pack(">2H", height, width) + data[at + 9 :]


def without_segment(data, *markers):
    """The JPEG ``data`` without its segments of these kinds."""
    at, kept = 2, data[:2]
    while data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4]) + 2
        kept += b"" if data[at + 1] in markers else data[at : at + length]
        at += length
    return kept + (b"\xff\xd9" if 0xDA in markers else data[at:])


def bad_files():
    good, jpeg, progressive = png(60, 40), as_format("JPEG"), as_format("JPEG", progressive=True)
    scan = jpeg.index(b"\xff\xda")
    text = zlib.compress(bytes(100 * MEGA))
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(20 * MEGA)))
    wrong_crc = bytearray(good)
    wrong_crc[-13] ^= 1
    yield "empty.png", b""
    yield "one byte.png", b"\x89"
    yield "zeros.png", bytes(1000)
    yield "text.png", b"not an image"
    yield "page.jpg", b"<!DOCTYPE html><html></html>"
    yield "vector.png", b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    yield "document.jpg", b"%PDF-1.7\n"
    yield "python.png", b"import os\n"
    yield "gif.png", as_format("GIF")
    yield "bmp.png", as_format("BMP")
    yield "tiff.jpg", as_format("TIFF")
    yield "ppm.png", as_format("PPM")
    yield "webp.jpg", b"RIFF\x24\0\0\0WEBPVP8 "
    yield "postscript.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n"
    yield "windows line ends.png", good.replace(b"\r\n", b"\n", 1)
    yield "signature only.png", SIGNATURE
    yield "header only.png", ihdr(8, 8)
    yield "no data.png", ihdr(8, 8) + END
    yield "empty data.png", ihdr(8, 8) + chunk(b"IDAT", b"") + END
    yield "no header.png", SIGNATURE + chunk(b"IDAT", zlib.compress(bytes(72))) + END
    yield "cut 1.png", good[:-1]
    yield "cut 4.png", good[:-4]
    yield "cut 12.png", good[:-12]
    yield "cut 20.png", good[:-20]
    yield "cut half.png", good[: len(good) // 2]
    yield "half of the rows.png", png(60, 40, bytes(61 * 20))
    yield "one row short.png", png(60, 40, bytes(61 * 39))
    yield "wrong checksum.png", bytes(wrong_crc)
    yield "not deflated.png", ihdr(8, 8) + chunk(b"IDAT", b"raw bytes") + END
    yield "no such filter.png", png(8, 8, b"\x09" * 72)
    yield "chunk of 4 GB.png", ihdr(8, 8) + b"\xff\xff\xff\xffIDAT" + bytes(99)
    yield "chunk name.png", ihdr(8, 8) + chunk(b"\x1b[2J", b"") + END
    yield "width 0.png", zeros(0, 8)
    yield "height 0.png", zeros(8, 0)
    yield "depth 3.png", zeros(8, 8, depth=3)
    yield "colour 5.png", zeros(8, 8, colour=5)
    yield "compression 1.png", zeros(8, 8, compression=1)
    yield "interlace 2.png", zeros(8, 8, interlace=2)
    yield "no palette.png", png(8, 8, colour=3)
    yield "declares 81 million.png", ihdr(9000, 9000) + chunk(b"IDAT", zlib.compress(b"")) + END
    yield "declares 100 million.png", ihdr(10_000, 10_000) + chunk(b"IDAT", b"x") + END
    yield "declares the most.png", ihdr(2**31 - 1, 2**31 - 1) + chunk(b"IDAT", b"x") + END
    yield "long and thin.png", zeros(1, 40_000)
    yield "bomb, 49 million colour.png", zeros(7000, 7000, 3, colour=2)
    yield "bomb, 49 million never there.png", ihdr(7000, 7000) + chunk(b"IDAT", text[:9999]) + END
    yield "bomb in a text.png", png(before=chunk(b"zTXt", b"a\0\0" + text))
    yield "bomb in another text.png", png(before=chunk(b"iTXt", b"a\0\1\0\0\0" + text))
    yield "bombs in texts.png", png(before=chunk(b"zTXt", b"a\0\0" + text[:1000]) * 900)
    yield "bomb in a profile.png", png(before=profile * 200)
    yield "many chunks.png", png(before=chunk(b"tEXt", b"a\0b") * 200_000)
    yield "animated.png", png(before=chunk(b"acTL", struct.pack(">2I", 9, 0)))
    yield "start only.jpg", jpeg[:3]
    yield "tables only.jpg", jpeg[:scan]
    yield "cut 2.jpg", jpeg[:-2]
    yield "cut half.jpg", jpeg[: len(jpeg) // 2]
    yield "no coded data.jpg", jpeg[: scan + 10] + b"\xff\xd9"
    yield "no scan.jpg", without_segment(jpeg, 0xDA)
    yield "no frame.jpg", without_segment(jpeg, 0xC0)
    yield "no tables.jpg", without_segment(jpeg, 0xC4, 0xDB)
    yield "several frames.jpg", jpeg[:scan] + jpeg[jpeg.index(b"\xff\xc0") :]
    yield "segment of length 1.jpg", jpeg[:2] + b"\xff\xe0\0\1" + jpeg[2:]
    yield "segment too long.jpg", jpeg[:2] + b"\xff\xe0\xff\xff" + jpeg[2:]
    yield "width 0.jpg", jpeg_sized(jpeg, 0, 40)
    yield "height 0.jpg", jpeg_sized(jpeg, 60, 0)
    yield "declares the most.jpg", jpeg_sized(jpeg, 65_535, 65_535)
    yield "declares 49 million.jpg", jpeg_sized(jpeg, 7000, 7000)
    yield "progressive bomb.jpg", jpeg_sized(progressive, 7000, 7000) + bytes(9)
    yield "many scans.jpg", jpeg[:-2] + (jpeg[scan : scan + 10] + b"\0") * 99 + b"\xff\xd9"
    yield "many segments.jpg", jpeg[:2] + b"\xff\xfe\0\2" * 2_000_000 + jpeg[2:]
    yield "12 bits.jpg", jpeg.replace(b"\xff\xc0\0\x0b\x08", b"\xff\xc0\0\x0b\x0c")
    yield "name\x1b[2J\n\u202egnp.png", b"x"
    yield os.fsdecode(b"latin-1 \xe9.png"), b"x"
    yield "huge.tiff", b"II*\0"


def special_files(folder: Path):
    """Create what is no regular file, or no file of reasonable size; return the names."""
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    (folder / "link to a folder.png").symlink_to(folder.parent)
    (folder / "broken link.png").symlink_to("nowhere")
    (folder / "link to itself.png").symlink_to("link to itself.png")
    (folder / "link to a device.png").symlink_to("/dev/zero")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    with (folder / "huge file.png").open("wb") as stream:
        stream.truncate(1 << 40)
    names = ["link.png", "link to a folder.png", "broken link.png", "link to itself.png"]
    names += ["link to a device.png", "folder.png", "pipe.png", "huge file.png"]
    if os.geteuid():  # root may read everything
        save_gray(folder / "forbidden.png", 1).chmod(0)
        names.append("forbidden.png")
    return names


CHILD = """
    import importlib.util, json, resource, sys, time
    spec = importlib.util.spec_from_file_location("helpers", sys.argv[1])
    helpers = importlib.util.module_from_spec(spec)
    sys.modules["helpers"] = helpers
    spec.loader.exec_module(helpers)
    from tinycnn.studies.finder import Folder, find_studies
    from tinycnn.studies.verdict import judge, predict_study

    def peak_kb():  # not ru_maxrss: it survives exec, so a large parent would count
        return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])

    session = helpers.FakeSession(helpers.brightness_model())
    seconds = {}
    (study,) = find_studies(sys.argv[2])
    before = peak_kb()
    for entry in study.entries:
        start = time.process_time()
        judge(Folder(study.path, (entry,)), session)
        seconds[entry.name] = time.process_time() - start
    result = predict_study(sys.argv[2], session)
    peak = peak_kb()
    rows = [[row.file, row.status, row.reason] for row in result.rows]
    print(json.dumps([rows, seconds, before, peak, result.verdict, result.probability]))
"""


BLACK = {
    "large black": (7000, 7000, 1, {}),
    "large black colour": (5000, 5000, 3, {"colour": 2}),
    "large black, 16 bit": (6500, 6500, 2, {"depth": 16}),
    "large black alpha": (5000, 5000, 4, {"colour": 6}),
}


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "study"
    save_gray(folder / "good1.png", 255)
    save_gray(folder / "good2.png", 51)
    # As large as the limits let through: they must keep the promise, too.
    (folder / "large.png").write_bytes(zeros(7000, 7000, white=1500))
    (folder / "large in colour.png").write_bytes(zeros(5000, 5000, 3, colour=2, white=1100))
    (folder / "large, 16 bit.png").write_bytes(zeros(6500, 6500, 2, depth=16, white=1400))
    for name, options in BLACK.items():
        (folder / f"{name}.png").write_bytes(zeros(*options[:3], **options[3]))
    save_gray(folder.parent / "outside.png", 255)
    names = special_files(folder)
    for name, data in bad_files():
        (folder / name).write_bytes(data)
        names.append(name)
    command = [sys.executable, "-c", textwrap.dedent(CHILD), conftest.__file__, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return names, *json.loads(done.stdout)


def test_every_bad_image_has_a_row_with_a_reason(answer):
    names, rows, *_ = answer
    assert len(names) >= 40
    refused = {file: reason for file, status, reason in rows if status == "refused"}
    assert set(names) - set(refused) == set()
    for name in names:
        assert refused[name], name
        assert refused[name].isprintable(), name


def test_the_good_views_are_still_judged(answer):
    *_, verdict, probability = answer
    assert verdict == "normal"
    assert probability == pytest.approx((1 + 0.2 + 3 * 0) / 5)


def test_large_images_that_show_nothing_are_refused_as_soon(answer):
    reasons = {row[0]: row[2] for row in answer[1]}
    assert all(reasons[f"{name}.png"].startswith("shows nothing: all of it") for name in BLACK)


def test_every_image_is_answered_in_two_seconds(answer):
    seconds = answer[2]
    slowest = max(seconds, key=seconds.get)
    assert seconds[slowest] < 2, slowest


def test_memory_stays_below_200_mb(answer):
    *_, before, peak, _, _ = answer
    assert peak * 1024 < 200e6, (before, peak)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gif.png", "neither PNG nor JPEG"),
        ("cut 20.png", "truncated"),
        ("half of the rows.png", "ends after 50% of the image"),
        ("wrong checksum.png", "checksum of chunk"),
        ("declares 81 million.png", "9000 x 9000"),
        ("bomb, 49 million colour.png", "MB"),
        ("cut 2.jpg", "without its end marker"),
        ("declares 49 million.jpg", "cannot hold"),
        ("huge file.png", "bytes; at most"),
        ("pipe.png", "a pipe"),
        ("link.png", "a symbolic link"),
        ("empty.png", "empty"),
    ],
)
def test_reasons_say_what_is_wrong(answer, name, reason):
    reasons = {row[0]: row[2] for row in answer[1]}
    assert reason in reasons[name]

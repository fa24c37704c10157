"""Convert mutated Keras files, each in turn, in this process: what must end in TinycnnError only.

    python tests/convert/fuzz.py --count 20000 --seed 1 [FILE ...]

Each case is written to a file before it is tried, so that a crash leaves the case that made it.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from keras_files import layer, small_weights, write_h5, write_keras, write_keras1
from tinycnn.convert import keras
from tinycnn.convert.isolation import Hdf5Process

from tinycnn.errors import TinycnnError

WORDS = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80")


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Flip, overwrite, cut, repeat or swap some bytes."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(result))
        kind = rng.randrange(6)
        if kind == 0:
            result[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            result[at] = rng.randrange(256)
        elif kind == 2:
            word = rng.choice(WORDS)
            result[at : at + len(word)] = word
        elif kind == 3:
            source = rng.randrange(len(result))
            length = rng.randrange(1, 64)
            result[at : at + length] = result[source : source + length]
        elif kind == 4:
            result[at : at + 8] = rng.randrange(len(result)).to_bytes(8, "little")
        elif rng.random() < 0.1:
            del result[at:]
            if not result:
                return b""
    return bytes(result)


def write_theano(path: Path) -> None:
    """Write the small network as Keras 1 did on Theano, channels first."""
    weights = small_weights()
    kernel, bias = weights["conv"].values()
    names = ("bn_gamma", "bn_beta", "bn_running_mean", "bn_running_std")
    options = {"border_mode": "same", "subsample": [2, 2], "dim_ordering": "th"}
    shape = {"batch_input_shape": [None, 1, 8, 8]}
    layers = [
        layer("Convolution2D", "conv", nb_filter=3, nb_row=3, nb_col=3, **options, **shape),
        layer("BatchNormalization", "bn", mode=0, axis=1, epsilon=0.001),
        layer("ZeroPadding2D", "pad", padding=[1, 1]),
        layer("GlobalAveragePooling2D", "pool", dim_ordering="th"),
        layer("Flatten", "flat"),
        layer("Dense", "dense", output_dim=2, activation="softmax"),
    ]
    arrays = {
        "conv": {"W": kernel.transpose(3, 2, 0, 1), "b": bias},
        "bn": dict(zip(names, weights["bn"].values(), strict=True)),
        "dense": dict(zip("Wb", weights["dense"].values(), strict=True)),
    }
    write_keras1(path, layers, arrays, "")


def seeds(folder: Path, files: list[Path]) -> list[tuple[str, bytes, str | None]]:
    """Suffix, content, and whose kernels they are, where the file does not say it."""
    write_h5(folder / "seed.h5")
    write_keras(folder / "seed.keras")
    theano = folder / "theano.h5"
    write_theano(theano)
    paths = [folder / "seed.h5", folder / "seed.keras", theano, *files]
    return [(p.suffix, p.read_bytes(), "theano" if p == theano else None) for p in paths]


def run(count: int, seed: int, files: list[Path], keep: Path, seconds: float = 3) -> Counter:
    """Try ``count`` mutations; count how they end."""
    outcomes: Counter = Counter()
    with tempfile.TemporaryDirectory() as name, Hdf5Process(seconds) as process:
        originals = seeds(Path(name), files)
        for number in range(count):
            suffix, data, kernels = originals[number % len(originals)]
            case = keep.with_suffix(suffix)
            case.write_bytes(mutate(data, random.Random(f"{seed}/{number}")))
            try:
                keras.read(case, read_hdf5=process.read, kernels=kernels)
                outcomes["converted"] += 1
            except TinycnnError as error:
                outcomes["refused"] += 1
                if "did not come back" in str(error):
                    outcomes[f"library: {str(error).rpartition('(')[2][:-1]}"] += (
                        1  # signal 9: out of time
                    )
                if "\n" in str(error):
                    raise AssertionError(f"case {number}: more than one line") from error
            except BaseException:
                print(f"case {number}, seed {seed}: kept as {case}", file=sys.stderr)
                raise
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-case"))
    options = parser.parse_args()
    print(dict(run(options.count, options.seed, options.files, options.keep)))


if __name__ == "__main__":
    main()

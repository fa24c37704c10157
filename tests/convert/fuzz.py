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

from keras_files import write_h5, write_keras
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


def seeds(folder: Path, files: list[Path]) -> list[tuple[str, bytes]]:
    write_h5(folder / "seed.h5")
    write_keras(folder / "seed.keras")
    paths = [folder / "seed.h5", folder / "seed.keras", *files]
    return [(path.suffix, path.read_bytes()) for path in paths]


def run(count: int, seed: int, files: list[Path], keep: Path, seconds: float = 3) -> Counter:
    """Try ``count`` mutations; count how they end."""
    outcomes: Counter = Counter()
    with tempfile.TemporaryDirectory() as name, Hdf5Process(seconds) as process:
        originals = seeds(Path(name), files)
        for number in range(count):
            suffix, data = originals[number % len(originals)]
            case = keep.with_suffix(suffix)
            case.write_bytes(mutate(data, random.Random(f"{seed}/{number}")))
            try:
                keras.read(case, read_hdf5=process.read)
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

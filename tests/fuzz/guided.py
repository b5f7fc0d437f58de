"""Reads damaged images, guided by the coverage of Pillow's Python code.

    python -m fuzz.guided --seconds 1800

What ends it is written to a temporary folder that it names, never into the repository.
"""

import argparse
import os
import random
import sys
import tempfile
import warnings
from pathlib import Path

MOST_SECONDS, MOST_MEBIBYTES = 10, 2048


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=1800, help="stop after so many seconds")
    options = parser.parse_args()
    try:
        import atheris
    except ImportError as error:
        print(f"Skipped: atheris is not installed ({error}). It is for Python 3.11 to 3.13 on Linux and macOS.")
        return 0
    with atheris.instrument_imports(include=["PIL"], enable_loader_override=False):
        import PIL.Image  # noqa: F401  (all that follows uses this one)
        from fuzz.images import DECODING, FAULTS, outcome_of_file
    from fuzz.mutations import mutate
    from fuzz.pictures import pictures

    warnings.simplefilter("ignore", UserWarning)
    os.environ["KERASTUNE_DECODING"] = DECODING
    valid = list(pictures())

    def read(data: bytes) -> None:
        # Targa is told by its extension, which changes nothing for other formats.
        found, detail = outcome_of_file(data, "image.tga")
        if found in FAULTS:
            raise RuntimeError(f"{found}: {detail}")

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        chosen = random.Random(seed)
        return mutate(data or chosen.choice(valid).data, chosen.choice(valid).data, chosen)[:most]

    folder = Path(tempfile.mkdtemp(prefix="kerastune-fuzz-"))
    print(f"Files are in {folder}.", flush=True)
    for number, picture in enumerate(valid):
        (folder / f"{number}").write_bytes(picture.data)
    limits = [f"-max_total_time={options.seconds}", f"-timeout={MOST_SECONDS}", f"-rss_limit_mb={MOST_MEBIBYTES}"]
    words = [
        sys.argv[0],
        *limits,
        "-max_len=20000",
        "-reduce_inputs=0",
        f"-artifact_prefix={folder}/fault-",
        str(folder),
    ]
    atheris.Setup(words, read, custom_mutator=mutated)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())

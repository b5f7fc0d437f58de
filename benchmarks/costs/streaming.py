"""What a solved head costs as the number of images grows: seconds, milliseconds an image, peak memory.

    KERAS_HOME=... python -m benchmarks.costs.streaming --images FOLDER --backbone MobileNet_0.25 [--counts 5000 50000]

Draws JPEGs of ten classes into FOLDER, where they are kept and drawn only once, and runs the solve phase of
`small_similar` on them, each number of images in a process of its own, because the peak memory of a process cannot
be reset. Writes results/streaming.jsonl and pages/streaming.md.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.lib import pages, results
from benchmarks.lib.results import Row

CLASSES = 10
HEIGHT, WIDTH = 192, 256
QUALITY = 92
MIB = 2**20


def texture(number: int) -> np.ndarray:
    """Draw a smooth random texture, uint8 (192, 256, 3), tinted by its class, `number` modulo ten.

    Noise of four grains, each half as strong as the one twice as coarse, as in photographs; the finest makes the JPEG
    10 to 20 KB.
    """
    random = np.random.default_rng(number)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for grain, strength in ((32, 64), (16, 32), (8, 16), (4, 8)):
        noise = random.normal(128, strength, (HEIGHT // grain + 1, WIDTH // grain + 1, 3)).clip(0, 255)
        coarse = Image.fromarray(noise.astype(np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        pixels += np.asarray(coarse, np.float32) - 128
    pixels += random.normal(0, 3, (HEIGHT, WIDTH, 1))  # like the noise of a sensor
    angle = 2 * np.pi * (number % CLASSES) / CLASSES
    tint = 128 + 24 * np.cos(angle + np.array([0, 2, 4]) * np.pi / 3)
    return (pixels + tint).clip(0, 255).astype(np.uint8)


def draw(folder: Path, number: int) -> int:
    """Write one image, unless it is there; return its size, bytes."""
    path = folder / f"class_{number % CLASSES}" / f"{number:06}.jpg"
    if not path.exists():
        part = path.with_suffix(".part")
        Image.fromarray(texture(number)).save(part, "JPEG", quality=QUALITY)
        part.rename(path)  # A file that is there is whole, also after Ctrl-C.
    return path.stat().st_size


def draw_all(folder: Path, count: int) -> float:
    """Write a folder of class folders, on all cores; return the mean size of a file, bytes."""
    for number in range(CLASSES):
        (folder / f"class_{number}").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        return float(np.mean(list(pool.map(partial(draw, folder), range(count), chunksize=100))))


def solve(folder: Path, backbone: str, size: int, seed: int) -> None:
    """Run the solve phase in this process and print its figures as JSON."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    from kerastune_recipes import Recipe

    changes = {
        "backbone.name": backbone,
        "backbone.image_size": size,
        "phases": [{"name": "feature_extraction", "solve": {}}],
    }
    if backbone == "DemoNet":
        changes["backbone.weights"] = "demo"
    before = peak_bytes()
    record = Recipe.from_name("small_similar", **changes).run(str(folder), seed=seed, verbose=False).record
    figures = {
        "seconds": record["phases"][0]["seconds"],
        "seconds_total": record["cost"]["seconds_total"],
        "forward_pass": record["cost"]["seconds_one_forward_pass"],
        "accuracy": record["validation"]["accuracy"],
        "peak_before": before,
        "peak": peak_bytes(),
        "versions": {"keras": keras.__version__, **record["versions"]},
    }
    print(json.dumps(figures))


def peak_bytes() -> int:
    """Return the most memory this process ever had resident."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measured(folder: Path, backbone: str, size: int, seed: int) -> dict:
    """Run the solve phase in a fresh process and return its figures."""
    words = ["--solve", str(folder), "--backbone", backbone, "--size", str(size), "--seed", str(seed)]
    with tempfile.TemporaryDirectory() as empty:  # A cache filled by an earlier run would look like speed.
        surroundings = {**os.environ, "KERASTUNE_CACHE": empty}
        command = [sys.executable, "-m", "benchmarks.costs.streaming", *words]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=surroundings)
    return json.loads(done.stdout.splitlines()[-1])


def row(count: int, kilobytes: float, figures: Row) -> Row:
    """Return the figures of one number of images."""
    return {
        "images": count,
        "jpeg_kilobytes": kilobytes,
        "seconds": figures["seconds"],
        "ms_an_image": 1000 * figures["seconds"] / count,
        "forward_passes": figures["seconds"] / figures["forward_pass"],
        "ms_an_image_whole_run": 1000 * figures["seconds_total"] / count,
        "mib_before": figures["peak_before"] / MIB,
        "mib_peak": figures["peak"] / MIB,
        "accuracy": figures["accuracy"],
    }


def main() -> None:
    """Measure every number of images and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder for the images, which are drawn once")
    parser.add_argument("--counts", type=int, nargs="+", default=[5_000, 50_000])
    parser.add_argument("--backbone", default="MobileNet_0.25")
    parser.add_argument("--size", type=int, default=128, help="height and width the network sees, pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--solve", type=Path, help=argparse.SUPPRESS)  # for the fresh process
    options = parser.parse_args()
    if options.solve:
        solve(options.solve, options.backbone, options.size, options.seed)
        return
    if not options.images:
        parser.error("--images: give a folder for the images.")
    rows = []
    for count in options.counts:
        folder = options.images / str(count)
        kilobytes = draw_all(folder, count) / 1000
        figures = measured(folder, options.backbone, options.size, options.seed)
        rows.append(row(count, kilobytes, figures))
        print(rows[-1], flush=True)
    versions = figures["versions"]
    command = f"python -m benchmarks.costs.streaming --images FOLDER --backbone {options.backbone}"
    command += f" --size {options.size} --counts {' '.join(map(str, options.counts))} --seed {options.seed}"
    made = {
        "machine": f"{os.cpu_count()} CPU cores ({platform.machine()})",
        "versions": f"Keras {versions['keras']}, TensorFlow {versions['tensorflow']}",
        "command": command,
    }
    results.replace("streaming", "images", rows)
    results.replace("streaming", results.MADE, [made])
    print(pages.write_page("streaming"))


if __name__ == "__main__":
    main()

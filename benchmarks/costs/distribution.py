"""What several replicas change and cost: losses, weights and time against one device, and the cost on paper.

    python benchmarks/distribution.py

Everything runs on the processors of this machine: replicas as two logical devices, workers as processes. Each
measurement has a process of its own. The tables are printed and written to benchmarks/distribution.md.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TABLE = Path(__file__).with_suffix(".md")
CLASSES = 3
EVERYTHING = [["head", 1.0], ["backbone", 1.0]]
# Seconds of a step at 32 images on each replica, for the cost on paper: a range of what GPUs take. What one core takes
# is measured.
GPU_STEPS = (0.05, 0.1, 0.2)
# Bytes a second between replicas, assumed: what rings of eight over NVLink reach of their 900 GB/s, and Ethernet of 10,
# 25 and 100 Gbit/s between machines.
LINKS = {"NVLink, 8 GPUs": (8, 400e9), "10 Gbit/s, 16 workers": (16, 1.25e9)}
LINKS |= {"25 Gbit/s, 16 workers": (16, 3.125e9), "100 Gbit/s, 16 workers": (16, 12.5e9)}
# Until a message has reached the next worker, seconds.
LATENCY = 50e-6
# Gradients are sent in packs of about so many bytes, each with its own round of messages.
PACK = 32 * 2**20


def work(folder: Path, request: dict[str, Any]) -> None:
    """Do one run in this process, as one worker where TF_CONFIG says so, and write what came of it."""
    import tensorflow as tf

    if request.get("devices", 1) > 1:
        (processor,) = tf.config.list_physical_devices("CPU")
        logical = [tf.config.LogicalDeviceConfiguration()] * request["devices"]
        tf.config.set_logical_device_configuration(processor, logical)
    import keras

    from kerastune_recipes import Recipe

    size, images = request["size"], request["images"]
    random = np.random.default_rng(0)
    splits = {
        name: (random.integers(0, 256, (count, size, size, 3), dtype=np.uint8), np.arange(count) % CLASSES)
        for name, count in (("train", images), ("validation", request["validation"]))
    }
    fit = {
        "trainable": EVERYTHING,
        "augmentation": "none",
        "views": "fresh",
        "batch_size": request["batch"],
        "duration": f"{request['epochs']} epochs",
        "learning_rate": 0.003,
    }
    options = {"phases": [{"name": "solved", "solve": {}}, {"name": "fitted", "fit": fit}], "keep": "last"}
    options |= {"backbone.name": request["network"], "backbone.weights": request.get("weights", "none")}
    options |= {"backbone.image_size": size}
    losses: list[float] = []
    times: list[tuple[float, float]] = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            losses.append(float((logs or {})["loss"]))
            times.append((time.perf_counter(), time.process_time()))

    strategy: Any = "auto"
    if request.get("devices", 1) > 1:
        strategy = tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(request["devices"])])
    report = Recipe.from_name("small_similar", **options).run(
        splits, strategy=strategy, verbose=False, cache=False, callbacks=[Watch()]
    )
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"] if os.environ.get("TF_CONFIG") else 0
    solved = report.record["phases"][0]
    # Within an epoch, without the first steps, which trace.
    wall, busy = np.median(np.diff(times, axis=0)[1:], axis=0) if len(times) > 4 else (None, None)
    figures = {
        "losses": losses,
        "solved": solved["validation"]["log_loss"],
        "validation": [row["val_loss"] for row in report.history],
        "step": wall,
        "busy": busy,
        "gradient": sum(int(np.prod(weight.shape)) for weight in report.model.trainable_weights) * 4,
    }
    (folder / f"{index}.json").write_text(json.dumps(figures))
    np.savez(folder / f"{index}.npz", *report.model.get_weights())


def measured(request: dict[str, Any], workers: int = 1) -> tuple[list[dict[str, Any]], list[list[np.ndarray]]]:
    """Run in as many processes; return the figures and the weights of each."""
    from kerastune_recipes.devices.launch import launch

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--work", folder, json.dumps(request)]
        environment = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
        status = subprocess.call(command, env=environment) if workers == 1 else launch(command, workers)
        if status:
            sys.exit(status)
        found, weights = [], []
        for index in range(workers):
            found.append(json.loads((Path(folder) / f"{index}.json").read_text()))
            with np.load(Path(folder) / f"{index}.npz") as arrays:
                weights.append([arrays[name] for name in arrays.files])
    return found, weights


def apart(one: list, other: list) -> float:
    """Return the largest difference between the numbers of two lists of arrays."""
    return max(float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for a, b in zip(one, other, strict=True))


def same_losses() -> list[str]:
    """Compare two logical devices with one."""
    rows = ["| network | solved head, log loss | steps | losses | validation losses |", "|---|---|---|---|---|"]
    for network in ("VGG16", "ResNet50"):
        request = {"network": network, "size": 64, "images": 29, "validation": 9, "batch": 8, "epochs": 2}
        (alone,), _ = measured(request)
        (both,), _ = measured({**request, "devices": 2})
        rows.append(
            f"| {network} | {abs(alone['solved'] - both['solved']):.1e} | {len(alone['losses'])} | "
            f"{apart(alone['losses'], both['losses']):.1e} | {apart(alone['validation'], both['validation']):.1e} |"
        )
    return rows


def same_weights() -> list[str]:
    """Compare two and three processes with one."""
    request: dict[str, Any] = {
        "network": "DemoNet",
        "weights": "demo",
        "size": 32,
        "images": 43,
        "validation": 9,
        "batch": 10,
    }
    request |= {"epochs": 3}
    _, (alone,) = measured(request)
    rows = ["| workers | weights, between workers | weights, against one process |", "|---|---|---|"]
    for count in (2, 3):
        _, weights = measured(request, workers=count)
        between = max(apart(weights[0], others) for others in weights[1:])
        rows.append(f"| {count} | {between:.1e} | {apart(weights[0], alone):.1e} |")
    return rows


def times(rounds: int = 1) -> tuple[list[str], dict[str, tuple[float, int]]]:
    """Take the time of a step of 32 images by one device, and by two replicas on the same cores."""
    ways = ("one device", "two devices", "two workers")
    rows = [f"| network | {' | '.join(f'{way}: s a step, processor s a step' for way in ways)} |", "|---|---|---|---|"]
    steps = {}
    for network in ("ResNet50", "MobileNetV2"):
        request = {"network": network, "size": 96, "images": 192, "validation": 32, "batch": 32, "epochs": 1}
        found: dict[str, list[list[dict[str, Any]]]] = {way: [] for way in ways}
        for _ in range(rounds):  # in turn, so that what else the machine does falls on all alike
            found["one device"].append(measured(request)[0])
            found["two devices"].append(measured({**request, "devices": 2})[0])
            found["two workers"].append(measured(request, workers=2)[0])
        wall = {way: min(each[0]["step"] for each in found[way]) for way in ways}
        busy = {way: min(sum(one["busy"] for one in each) for each in found[way]) for way in ways}
        cells = [
            f"{wall[way]:.2f} ({wall[way] / wall[ways[0]]:.2f}), {busy[way]:.2f} ({busy[way] / busy[ways[0]]:.2f})"
            for way in ways
        ]
        rows.append(f"| {network} | {' | '.join(cells)} |")
        steps[network] = busy[ways[0]], found[ways[0]][0][0]["gradient"]
    return rows, steps


def seconds_of_sum(replicas: int, gradient: int, bandwidth: float) -> float:
    """Return what summing the gradients takes by a ring: each replica sends nearly twice all bytes."""
    packs = -(-gradient // PACK)
    return 2 * (replicas - 1) * (gradient / replicas / bandwidth + packs * LATENCY)


def on_paper(steps: dict[str, tuple[float, int]]) -> list[str]:
    """Work out how much of many replicas' speed is left when each has 32 images a step."""
    rows = [
        f"| network, gradients | s a step | {' | '.join(LINKS)} |",
        f"|---|---|{'---|' * len(LINKS)}",
    ]
    for network, (seconds, gradient) in steps.items():
        for step in (*GPU_STEPS, seconds):
            shares = (step / (step + seconds_of_sum(count, gradient, link)) for count, link in LINKS.values())
            here = " (one core here)" if step is seconds else ""
            label = f"{network}, {gradient / 1e6:.0f} MB"
            rows.append(f"| {label} | {step:.3g}{here} | {' | '.join(f'{share:.0%}' for share in shares)} |")
    return rows


def main() -> None:
    text = page(same_losses(), same_weights(), *times())
    TABLE.write_text(text, encoding="utf-8")
    print(text)


def page(same: list[str], equal: list[str], ratios: list[str], steps: dict[str, tuple[float, int]]) -> str:
    """Return all tables as a page."""
    import reporting

    return f"""# Several replicas

{time.strftime("%Y-%m-%d")}. {reporting.machine()}. {reporting.versions()}. Made by:

    python benchmarks/distribution.py

## The same as one device

Largest differences, two logical devices against one, both phases, at 64 px, without augmentation. 29 images in batches
of 8: the last batch of an epoch has 5 images, 3 for one device and 2 for the other.

{chr(10).join(same)}

Weights at the end, worker processes against one process: DemoNet, 43 images in batches of 10, all layers trained.

{chr(10).join(equal)}

## What dividing costs

Two replicas on the same cores as one, at 96 px and a global batch of 32, all layers trained: nothing can be gained, so
what is above 1.00 is the cost of dividing: in time, and in the time of all processors together, which minds less what
else the machine does.

{chr(10).join(ratios)}

## On paper

Each replica has 32 images a step, in float32, and sums its gradients by a ring: 2 (n - 1) / n times their bytes through
each link, {LATENCY * 1e6:.0f} µs of latency for each message, and nothing overlapped with the computation. What is left
of n times the speed of one replica (`seconds_of_sum` in benchmarks/distribution.py). The steps' times are assumed for
GPUs, of which none was at hand; for processors they are the processor time above.

{chr(10).join(on_paper(steps))}
"""


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(Path(sys.argv[2]), json.loads(sys.argv[3]))
    else:
        main()

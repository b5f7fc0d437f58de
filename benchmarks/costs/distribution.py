"""What several replicas change and cost: losses, weights and time against one device, and the cost on paper.

    python -m benchmarks.costs.distribution

Everything runs on the processors of this machine: replicas as two logical devices, workers as processes. Each
measurement has a process of its own. Writes results/distribution.jsonl and pages/distribution.md.
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

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row

CLASSES = 3
EVERYTHING = [["head", 1.0], ["backbone", 1.0]]


def work(folder: Path, request: dict[str, Any]) -> None:
    """Do one run in this process, as one worker if TF_CONFIG is set, and write its figures and weights."""
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
    """Run in one process for each worker; return figures and weights of each."""
    from kerastune_recipes.devices.launch import launch

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.costs.distribution", "--work", folder, json.dumps(request)]
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


def same_losses() -> list[Row]:
    """Compare two logical devices with one."""
    rows: list[Row] = []
    for network in ("VGG16", "ResNet50"):
        request = {"network": network, "size": 64, "images": 29, "validation": 9, "batch": 8, "epochs": 2}
        (alone,), _ = measured(request)
        (both,), _ = measured({**request, "devices": 2})
        row: Row = {"network": network, "solved_log_loss": abs(alone["solved"] - both["solved"])}
        row |= {"steps": len(alone["losses"]), "losses": apart(alone["losses"], both["losses"])}
        rows.append({**row, "validation_losses": apart(alone["validation"], both["validation"])})
    return rows


def same_weights() -> list[Row]:
    """Compare two and three processes with one."""
    request: dict[str, Any] = {"network": "DemoNet", "weights": "demo", "size": 32, "images": 43, "validation": 9}
    request |= {"batch": 10, "epochs": 3}
    _, (alone,) = measured(request)
    rows: list[Row] = []
    for count in (2, 3):
        _, weights = measured(request, workers=count)
        between = max(apart(weights[0], others) for others in weights[1:])
        rows.append({"workers": count, "between_workers": between, "against_one_process": apart(weights[0], alone)})
    return rows


def times(rounds: int = 1) -> tuple[list[Row], list[Row]]:
    """Time a step of 32 images by one device, and by two replicas on the same cores.

    Returns:
        The times of each network and number of replicas, and the bytes of each network's gradients.
    """
    replicas = ("one device", "two devices", "two workers")
    rows: list[Row] = []
    gradients: list[Row] = []
    for network in ("ResNet50", "MobileNetV2"):
        request = {"network": network, "size": 96, "images": 192, "validation": 32, "batch": 32, "epochs": 1}
        found: dict[str, list[list[dict[str, Any]]]] = {each: [] for each in replicas}
        for _ in range(rounds):  # in turn, so that other work on the machine slows all equally
            found["one device"].append(measured(request)[0])
            found["two devices"].append(measured({**request, "devices": 2})[0])
            found["two workers"].append(measured(request, workers=2)[0])
        wall = {each: min(run[0]["step"] for run in found[each]) for each in replicas}
        busy = {each: min(sum(one["busy"] for one in run) for run in found[each]) for each in replicas}
        for each in replicas:
            row: Row = {"network": network, "replicas": each, "seconds": wall[each]}
            row |= {"ratio": wall[each] / wall["one device"], "processor_seconds": busy[each]}
            rows.append({**row, "processor_ratio": busy[each] / busy["one device"]})
        one_device = found["one device"][0][0]
        gradients.append({"network": network, "bytes": one_device["gradient"], "step": busy["one device"]})
    return rows, gradients


def main() -> None:
    """Measure all tables, and write the page."""
    results.replace("distribution", "losses", same_losses())
    results.replace("distribution", "weights", same_weights())
    steps, gradients = times()
    results.replace("distribution", "times", steps)
    results.replace("distribution", "gradients", gradients)
    made = measure.made("python -m benchmarks.costs.distribution")
    results.replace("distribution", results.MADE, [{"date": time.strftime("%Y-%m-%d"), **made}])
    print(pages.write_page("distribution"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(Path(sys.argv[2]), json.loads(sys.argv[3]))
    else:
        main()

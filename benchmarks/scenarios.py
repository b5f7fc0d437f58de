"""The four scenario recipes on data sets of your own: accuracy, seconds and forward passes, as a table.

    KERAS_HOME=... python benchmarks/scenarios.py DATA_FOLDER... --backbone MobileNetV2 --out RUNS

Every cell is one `kerastune run`, in a process of its own; finished ones are not run again, interrupted ones go on.
The table is printed and written to benchmarks/scenarios.md.
"""

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path

RECIPES = ("small_similar", "large_similar", "small_dissimilar", "large_dissimilar")
TABLE = Path(__file__).with_suffix(".md")


def run(recipe: str, data: Path, backbone: str, seed: int, out: Path) -> dict:
    """Run one cell, unless it has been, and return its report."""
    folder = out / f"{recipe}-{data.name}-{backbone}-{seed}"
    if not (folder / "report.json").is_file():
        command = [sys.executable, "-m", "kerastune_recipes", "run", recipe, "--data", str(data), "--seed", str(seed)]
        going_on = ["--resume"] if (folder / "journal").is_dir() else ["--overwrite"]
        subprocess.run([*command, "--set", f"backbone={backbone}", "--out", str(folder), *going_on], check=True)
    return json.loads((folder / "report.json").read_text())


def row(report: dict) -> str:
    """Return one line of the table."""
    test, cost = report["test"], report["cost"]
    low, high = test["accuracy_ci95"]
    solve, fit = report["phases"]
    return (
        f"| {Path(report['data']['source']).name} | {report['recipe']} | {test['accuracy']:.1%} "
        f"| {low:.1%} to {high:.1%} | {test['log_loss']:.3f} | {report['chosen_phase']} "
        f"| {solve['validation']['accuracy']:.1%} | {fit['validation']['accuracy']:.1%} "
        f"| {solve['seconds']:.0f} + {fit['seconds']:.0f} "
        f"| {solve['seconds'] / cost['seconds_one_forward_pass']:.2f} | {cost['forward_equivalents']:.1f} |"
    )


HEADER = """| data | recipe | test accuracy | 95% interval | log loss | kept | validation: solved | validation: fitted \
| seconds in phases | forward passes: solved | forward passes: all |
|---|---|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    """Run every cell and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for the run folders")
    options = parser.parse_args()
    reports = [
        run(recipe, data, options.backbone, options.seed, options.out) for data in options.data for recipe in RECIPES
    ]
    versions = reports[0]["versions"]
    text = "\n".join(
        [
            "# The four scenario recipes",
            "",
            f"{options.backbone}, seed {options.seed}, {platform.machine()} CPU, Keras {versions['keras']}, TensorFlow "
            f"{versions['tensorflow']}. One forward pass is of the training and validation images, measured in the "
            "same run. Made by:",
            "",
            f"    python benchmarks/scenarios.py {' '.join(data.name for data in options.data)} "
            f"--backbone {options.backbone} --seed {options.seed} --out RUNS",
            "",
            HEADER,
            *map(row, reports),
            "",
        ]
    )
    TABLE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

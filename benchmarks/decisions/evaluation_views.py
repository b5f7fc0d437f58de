"""What taking the mean over several views of an image gains, on test images, by a head solved on all stages.

    KERAS_HOME=... python benchmarks/evaluation_views.py DATA_FOLDER... [--backbone MobileNetV2]

A data folder holds train/ and test/ with a folder for each class. The table is printed and written to
benchmarks/evaluation_views.md. Nothing is chosen by it: one view stays the default.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from reporting import machine, versions

from kerastune_recipes import Recipe
from kerastune_recipes.data.views import Flip
from kerastune_recipes.evaluation import predict
from kerastune_recipes.evaluation.saved_model import Saved

SOLVE_ONLY = {"phases": [{"name": "feature_extraction", "solve": {}}]}
WAYS: tuple[tuple[int, Flip], ...] = (
    (1, "none"),
    (2, "horizontal"),
    (4, "none"),
    (4, "horizontal"),
    (8, "none"),
    (8, "horizontal"),
)


def row(data: Path, backbone: str) -> str:
    """Train a head and return the table's row of its accuracy and log loss by each way of looking."""
    report = Recipe.from_name("small_similar", backbone=backbone, **SOLVE_ONLY).run(data / "train", verbose=False)
    saved = Saved(report.model, report.class_names)
    cells = []
    for count, flip in WAYS:
        scores = predict.evaluate(saved, data / "test", tta=count, flip=flip)
        cells.append(f"{scores['accuracy']:.1%}, {scores['log_loss']:.3f}")
    return f"| {data.name} | {' | '.join(cells)} |"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNetV2")
    options = parser.parse_args()
    header = [f"{count} view{'s' if count > 1 else ''}, flip {flip}" for count, flip in WAYS]
    names = " ".join(data.name for data in options.data)
    text = "\n".join(
        [
            "# Several views of an image when it is predicted",
            "",
            f"Accuracy and log loss on test images, {options.backbone} at the size of the rules, a head solved on all "
            "stages from one view of each training image, seed 0. Two views take two forward passes. "
            f"{machine()}; {versions()}. Made by:",
            "",
            f"    python benchmarks/evaluation_views.py {names} --backbone {options.backbone}",
            "",
            f"| | {' | '.join(header)} |",
            f"|{'---|' * (len(header) + 1)}",
            *(row(data, options.backbone) for data in options.data),
            "",
        ]
    )
    (Path(__file__).parent / "evaluation_views.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

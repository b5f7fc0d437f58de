"""What a run returns: the model, its metrics and its cost, and the folder that holds them."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np

from kerastune_recipes import atomic_files, yaml_files
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.data.pixel_range import GivenRange
from kerastune_recipes.data.sources.open_to_predict import open_to_predict
from kerastune_recipes.data.views import Flip
from kerastune_recipes.devices.facts import HardwareFacts
from kerastune_recipes.errors import writing
from kerastune_recipes.evaluation import metrics, saved_model
from kerastune_recipes.evaluation.predict import predict
from kerastune_recipes.evaluation.predictions import Predictions
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.reporting import figures, html, report_text
from kerastune_recipes.reporting.outcome import Outcome, Selection
from kerastune_recipes.reporting.versions import versions

# The columns of history.csv.
_HISTORY = ("phase", "epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


@dataclass(frozen=True)
class Split:
    """Predictions on one split.

    Args:
        probabilities: Probabilities, float (n, k).
        labels: True classes, int (n,), 0..k-1.
        groups: The group of each image, int (n,); None where images are not grouped.
        seen: Positions of the images that have a copy among those of other splits, int (m,); None for none.
        names: The name of each image; empty where they are not known.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None
    seen: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def without_seen(self) -> dict[str, Any] | None:
        """Return the number and the metrics of the images without a copy; None where that is all or none of them."""
        if self.seen is None or not 0 < len(self.seen) < len(self.labels):
            return None
        kept = np.ones(len(self.labels), bool)
        kept[self.seen] = False
        groups = None if self.groups is None else self.groups[kept]
        return {"images": int(kept.sum()), **metrics.summary(self.probabilities[kept], self.labels[kept], groups)}


@dataclass(frozen=True)
class Cost:
    """What a run cost.

    Args:
        total: Wall time of the whole run, seconds.
        one_forward_pass: Time of one pass of the training and validation images through the backbone, seconds.
        phases: Wall time of all phases, seconds.
    """

    total: float
    one_forward_pass: float
    phases: float


@dataclass(frozen=True)
class RunFacts:
    """What was run, and on what.

    Args:
        plan: The plan.
        data: Facts of the images.
        hardware: Facts of the hardware.
        seed: Random seed of the run.
        plan_text: The plan in words.
        notes: What is doubtful about the run, one sentence each.
    """

    plan: Plan
    data: DatasetFacts
    hardware: HardwareFacts
    seed: int
    plan_text: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What a run returns: the model, and how it came about.

    Args:
        model: A plain Keras model: raw images (b, h, w, 3), 0..255, to probabilities (b, classes).
        class_names: Names of the classes, in the order of the probabilities.
        plan: The plan that was run.
        record: All figures, as report.json holds them.
        history: One row for each epoch of each fit phase.
        plan_text: The plan in words.
        splits: Predictions of the chosen phase by split, "validation" and, where there is one, "test".
    """

    model: keras.Model
    class_names: tuple[str, ...]
    plan: Plan
    record: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]
    plan_text: str
    splits: Mapping[str, Split]

    @classmethod
    def of_run(
        cls, model: keras.Model, facts: RunFacts, selection: Selection, splits: Mapping[str, Split], cost: Cost
    ) -> Self:
        """Make the report of a finished run.

        Args:
            model: The model to return.
            facts: What was run, and on what.
            selection: Outcomes of all phases, and the chosen one.
            splits: Predictions of the chosen phase for "validation" and, where there is one, "test".
            cost: What the run cost.
        """
        plan, data, outcomes = facts.plan, facts.data, selection.outcomes
        scores = {
            name: metrics.summary(split.probabilities, split.labels, split.groups) for name, split in splits.items()
        }
        record = {
            "recipe": plan.recipe,
            "status": "done",
            "seed": facts.seed,
            "versions": versions(facts.hardware.backend),
            "compute": {
                "backend": facts.hardware.backend,
                "device": facts.hardware.device,
                "precision": plan.precision,
                "jit_compile": plan.jit_compile,
                # Sums on other devices are in no fixed order: the last digits differ between two runs with one seed.
                "reproducible": facts.hardware.device == "cpu",
            },
            "notes": list(facts.notes),
            "data": {
                "source": data.source,
                "train": data.train_images,
                "validation": data.validation_images,
                "test": sum(data.test) if data.test else 0,
                "classes": list(data.class_names),
                **({"folds": plan.folds} if plan.folds else {}),
                "groups": data.groups,
                "unlabeled": data.unlabeled,
                "pixel_range": None if data.pixel_range is None else list(data.pixel_range),
            },
            "backbone": plan.backbone.to_data(),
            **({"ensemble": [each.to_data() for each in plan.ensemble]} if plan.ensemble else {}),
            "phases": [_phase(outcome) for outcome in outcomes],
            "chosen_phase": outcomes[selection.chosen].name,
            "refitted": selection.refitted != "none",
            "returned_model": figures.returned_model(data, selection),
            "class_prior": "equal" if plan.balanced else "as in the training images",
            "figures": figures.sources(plan, data, selection),
            "validation": scores["validation"],
            "test": scores.get("test"),
            "test_without_copies": splits["test"].without_seen() if "test" in splits else None,
            "cost": {
                "seconds_total": cost.total,
                "seconds_in_phases": cost.phases,
                "seconds_one_forward_pass": cost.one_forward_pass,
                "forward_equivalents": cost.phases / cost.one_forward_pass,
            },
        }
        return cls(
            model=model,
            class_names=data.class_names,
            plan=plan,
            record=record,
            history=tuple({"phase": outcome.name, **row} for outcome in outcomes for row in outcome.rows),
            plan_text=facts.plan_text,
            splits=splits,
        )

    @property
    def metrics(self) -> dict[str, Any]:
        """Accuracy, log loss and the rest by split; "test" is None where there was no test split."""
        return {"validation": self.record["validation"], "test": self.record["test"]}

    def predict(self, images: Any, tta: int = 1, flip: Flip = "none", pixel_range: GivenRange = None) -> np.ndarray:
        """Predict class probabilities, with test-time augmentation if asked.

        Args:
            images: A path, a folder (its images in the order of their paths), a pattern such as "new/*.jpg", a CSV file
                with a column path, an array (h, w, 3) or (n, h, w, 3) of values 0..255, an image of Pillow, bytes of an
                image file, a tf.data.Dataset, or a list or generator of these.
            tta: Number of views of each image whose probabilities are averaged, at least 1: the image, then random
                crops of it.
            flip: "horizontal" makes the mirror image the second view and mirrors every other crop.
            pixel_range: The values of black and white; None takes what the run was given.

        Returns:
            float32 (n, classes), also for a single image.

        Raises:
            DataError: Images cannot be read, or have another range of values; all of them are named.
            RequestError: `tta` or `flip` is not possible.

        Example:
            >>> report.class_names[report.predict("photos/new.jpg")[0].argmax()]
            'ants'
        """
        return self.predictions(images, tta, flip, pixel_range).probabilities

    def predictions(
        self, images: Any, tta: int = 1, flip: Flip = "none", pixel_range: GivenRange = None
    ) -> Predictions:
        """Predict images and keep their names: of files the paths, of others the numbers.

        Args:
            images: As for `predict`.
            tta: As for `predict`.
            flip: As for `predict`.
            pixel_range: As for `predict`.

        Returns:
            Names, classes and probabilities; `to_csv()` is a table of them.

        Raises:
            DataError: As for `predict`.
            RequestError: As for `predict`.

        Example:
            >>> report.predictions("photos/new/").classes
            ('ants', 'bees', 'ants')
        """
        stated = self.record["data"].get("pixel_range") if pixel_range is None else pixel_range
        pictures = open_to_predict(images, stated)
        return Predictions(tuple(pictures.names), self.class_names, predict(self.model, pictures, tta, flip))

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained HTML file.

        Args:
            path: The file; it is replaced if it exists.
        """
        matrices = {
            name: metrics.confusion_matrix(split.probabilities, split.labels) for name, split in self.splits.items()
        }
        page = html.render(
            {
                **self.record,
                "history": list(self.history),
                "plan_text": self.plan_text,
                "confusion": {"validation": matrices["validation"], "test": matrices.get("test")},
            }
        )
        atomic_files.write(Path(path), page)

    def save(self, folder: str | Path) -> None:
        """Write model.keras, labels.txt, plan.yaml, history.csv, report.html and report.json, each whole or not at all.

        Args:
            folder: The folder; it is made where there is none.

        Raises:
            OutputError: The folder cannot be written.
        """
        folder = Path(folder)
        with writing(folder, "the report"):
            folder.mkdir(parents=True, exist_ok=True)
            saved_model.save_model(folder, self.model)
            saved_model.save_labels(folder, self.class_names)
            atomic_files.write(folder / "plan.yaml", yaml_files.dump(self.plan.to_data()))
            atomic_files.write(folder / "history.csv", _csv(self.history))
            self.to_html(folder / "report.html")
            # The last: it says that the run is done.
            atomic_files.write(folder / "report.json", json.dumps(self.record, indent=2))

    def __str__(self) -> str:
        return report_text.describe(self.record)


def _phase(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "kind": outcome.kind,
        "seconds": outcome.seconds,
        "steps": outcome.steps,
        "trainable_parameters": outcome.trainable_parameters,
        "frozen_parameters": outcome.frozen_parameters,
        "validation": outcome.validation,
        **outcome.choices,
    }


def _csv(history: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=_HISTORY, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()

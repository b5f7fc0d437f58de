"""What happened: the model, how good it is, what it cost, and the folder that holds all of it."""

import csv
import io
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np

from kerastune_recipes import yaml_files
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.data.views import Flip
from kerastune_recipes.devices.facts import HardwareFacts
from kerastune_recipes.errors import OutputError, listed
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.evaluation import predict as evaluation
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.reporting import html
from kerastune_recipes.reporting.outcome import Outcome, Selection
from kerastune_recipes.reporting.wording import balance
from kerastune_recipes.spec.heads import HEADS

_PACKAGES = ("kerastune-recipes", "keras", "tensorflow", "scikit-learn", "numpy")
_HISTORY = ("phase", "epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


@dataclass(frozen=True)
class Split:
    """Predictions on one split.

    Args:
        probabilities: float (n, k).
        labels: int (n,).
    """

    probabilities: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Cost:
    """What a run cost.

    Args:
        total: Seconds from start to end.
        one_forward_pass: Seconds of one pass of training and validation images through the backbone.
        phases: Seconds spent in phases.
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
        hardware: The hardware.
        seed: The random seed.
        plan_text: The plan in words.
    """

    plan: Plan
    data: DatasetFacts
    hardware: HardwareFacts
    seed: int
    plan_text: str


@dataclass(frozen=True)
class Report:
    """What happened in a run.

    Args:
        model: A plain Keras model: raw images (b, h, w, 3), 0..255, to probabilities (b, classes).
        class_names: In the order of the probabilities.
        plan: What was done.
        record: All figures, as report.json holds them.
        history: One row for each epoch of each fit phase.
        plan_text: The plan in words.
        splits: Predictions of the chosen model by split, "validation" and, where there is one, "test".
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
        """Put together the report of a finished run.

        Args:
            model: The model to return.
            facts: What was run, and on what.
            selection: The outcomes of all phases, and the one that was chosen.
            splits: Predictions of the chosen phase for "validation" and, where there is one, "test".
            cost: What the run cost.
        """
        plan, data, outcomes = facts.plan, facts.data, selection.outcomes
        scores = {name: metrics.summary(split.probabilities, split.labels) for name, split in splits.items()}
        record = {
            "recipe": plan.recipe,
            "status": "done",
            "seed": facts.seed,
            "versions": _versions(facts.hardware.backend),
            "compute": {
                "backend": facts.hardware.backend,
                "device": facts.hardware.device,
                "precision": plan.precision,
                "jit_compile": plan.jit_compile,
            },
            "data": {
                "source": data.source,
                "train": data.train_images,
                "validation": data.validation_images,
                "test": sum(data.test) if data.test else 0,
                "classes": list(data.class_names),
                **({"folds": plan.folds} if plan.folds else {}),
                "groups": data.groups,
                "unlabeled": data.unlabeled,
            },
            "backbone": plan.backbone.to_data(),
            **({"ensemble": [each.to_data() for each in plan.ensemble]} if plan.ensemble else {}),
            "phases": [_phase(outcome) for outcome in outcomes],
            "chosen_phase": outcomes[selection.chosen].name,
            "refitted": selection.refitted,
            "validation": scores["validation"],
            "test": scores.get("test"),
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

    @property
    def _learnt_from(self) -> int:
        """How many images a model has learnt from that was refitted."""
        return self.record["data"]["train"] + self.record["data"]["validation"]

    def predict(self, images: Any, views: int = 1, flip: Flip = "none") -> np.ndarray:
        """Predict class probabilities, where wanted as the mean over several views of each image.

        Args:
            images: A path, an array (h, w, 3) or (n, h, w, 3) of values 0..255, or a list of paths or of arrays of
                any sizes.
            views: Of each image: itself, then random crops of it.
            flip: "horizontal" makes the mirror image the second view, and mirrors every other crop.

        Returns:
            float32 (n, classes), also for a single image.

        Raises:
            DataError: An image cannot be read.
            RequestError: `views` is no whole number of 1 or more, or `flip` is neither of the two.

        Example:
            >>> report.class_names[report.predict("photos/new.jpg")[0].argmax()]
            'ants'
        """
        return evaluation.predict(self.model, images, views, flip)

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained HTML file."""
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
        Path(path).write_text(page, encoding="utf-8")

    def save(self, folder: str | Path) -> None:
        """Write plan.yaml, report.json, report.html, model.keras, labels.txt and history.csv.

        Raises:
            OutputError: The folder cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "plan.yaml").write_text(yaml_files.dump(self.plan.to_data()), encoding="utf-8")
            (folder / "report.json").write_text(json.dumps(self.record, indent=2), encoding="utf-8")
            (folder / "labels.txt").write_text("".join(f"{name}\n" for name in self.class_names), encoding="utf-8")
            (folder / "history.csv").write_text(_csv(self.history), encoding="utf-8")
            self.to_html(folder / "report.html")
            self.model.save(folder / "model.keras")
        except OSError as error:
            raise OutputError(f"{folder}: the report cannot be written: {error.strerror or error}.") from None

    def __str__(self) -> str:
        cost, folds = self.record["cost"], self.plan.folds
        judged = f"{folds}-fold cross-validation" if folds else "validation"
        refitted = f", refitted on all {self._learnt_from} images" if self.record["refitted"] else ""
        lines = [
            f"{self.record['recipe']} on {self.record['data']['source']}: "
            f"{self.record['backbone']['name']}, {len(self.class_names)} classes, "
            f"{self.record['data']['train']} training images",
            *(
                f"  {phase['name']}: {_scores(phase['validation'])} on {judged}, {phase['seconds']:.1f} s" + _why(phase)
                for phase in self.record["phases"]
            ),
            f"  kept: {self.record['chosen_phase']}{refitted}",
        ]
        if self.record["test"]:
            low, high = self.record["test"]["accuracy_ci95"]
            lines.append(f"  test: {_scores(self.record['test'])} (accuracy within {low:.1%} to {high:.1%} at 95%)")
        lines.append(
            f"  cost: {cost['seconds_total']:.1f} s in all; the phases took as long as "
            f"{cost['forward_equivalents']:.1f} forward passes"
        )
        return "\n".join(lines)


def _scores(scores: Mapping[str, float]) -> str:
    return f"accuracy {scores['accuracy']:.1%}, log loss {scores['log_loss']:.3f}"


def _why(phase: Mapping[str, Any]) -> str:
    """Say what a solved head was chosen by and what it took, or what was done about classes of unequal size."""
    if phase["kind"] != "solve":
        return _of_fit(phase)
    computed = f"{phase['features_computed']} features computed" if phase["features_computed"] else "all from the cache"
    tap = f" of {phase['tap']} alone" if "tap" in phase else ""
    weights = ", each class weighing the same" if phase["class_balance"] == "weights" else ""
    head = HEADS[phase["head"]]
    taken = [f"{target} from {listed(found, most=3)}" for target, found in phase.get("pretrained_classes", {}).items()]
    source = f" ({'; '.join(taken)})" if taken else ""
    return f"; {head.name}{source}{tap}{weights}, {head.strength} {phase['strength']:g} by {phase['judged_by']}; {computed}"


def _of_fit(phase: Mapping[str, Any]) -> str:
    """Say how much of a phase that fits was kept, and what was done about classes of unequal size."""
    if "diverged" in phase:
        kept = f"; nothing of it is kept: {phase['diverged']}"
    elif phase.get("interpolation", 1.0) == 0:
        kept = "; nothing of it is kept, for held-out images do not speak for it"
    elif phase.get("interpolation", 1.0) < 1:
        kept = f"; weights {phase['interpolation']:.0%} of the way from those before it"
    elif phase.get("head_solved_again"):
        kept = "; the head solved again behind it"
    else:
        kept = ""
    found = f"; peak learning rate {phase['learning_rate']:g} by a range test" if "learning_rate" in phase else ""
    if "class_balance" in phase:
        return f"{kept}{found}; classes {balance(phase['class_balance'], phase['imbalance'])}"
    return kept + found


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


def _versions(backend: str) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in dict.fromkeys((*_PACKAGES, backend)):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _csv(history: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=_HISTORY, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()

"""Comparing recipes: the same images, the same seeds, shared features, every run once."""

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerastune_recipes import yaml_files
from kerastune_recipes.data.dataset import Dataset, dataset_digest
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.data.sources.parts import GroupBy
from kerastune_recipes.devices import strategies
from kerastune_recipes.errors import KerastuneError, RecipeError, RequestError, WorkError, listed
from kerastune_recipes.features.cache import share_cache
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.progress import Display
from kerastune_recipes.recipe import Recipe
from kerastune_recipes.records import digest
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.studies import study_folder
from kerastune_recipes.studies.comparison import By, Comparison, Failure, JudgedRun

# In the folder of a run, what it is judged by; written last, so that a run without it is not finished.
_JUDGED = "judged.npz"
_SCRATCH = "from_scratch"


def compare(
    recipes: Sequence[str | Path | Recipe],
    ds: Any,
    seeds: int = 3,
    folds: int | None = None,
    scratch: bool = False,
    out: str | Path | None = None,
    *,
    strategy: Any = None,
    cache: bool = True,
    verbose: bool = True,
    group_by: GroupBy = None,
    unlabeled: Any = None,
) -> Comparison:
    """Run recipes on the same images with the same seeds, and compare each with the first.

    Seed i decides on the hold-out and everything random for all recipes alike. They are judged by the test images where
    there is a test split, else by the validation images. Features are computed once for all.

    Args:
        recipes: Names of shipped recipes, paths of recipe files, or recipes.
        ds: The images, in any form that `Recipe.run` takes.
        seeds: How many seeds, from 0 on; at least 1.
        folds: Folds of cross-validation, as `Recipe.run` takes them; None for none.
        scratch: Compare with and without pretraining. Each recipe is joined by its twin on random weights, which is the
            same recipe in all else: what it lacks is what the pretrained weights give to this way of training. That is
            no fair picture of training without them, for what a recipe freezes stays random. So the recipe
            from_scratch joins too, once for each backbone: all layers trained, for longer and at the rates of random
            weights. What it lacks is what pretraining is worth.
        out: Folder to write the comparison and its runs to, or None. Where a comparison of the same recipes on the same
            images is in it, finished runs are taken from there, and an interrupted one goes on.
        strategy: As for `Recipe.run`.
        cache: Keep frozen work for later, and take it from earlier runs; in any case the recipes share it.
        verbose: Show progress.
        group_by: As for `Recipe.run`.
        unlabeled: As for `Recipe.run`.

    Returns:
        The figures of every recipe. A recipe whose work failed is among its failures.

    Raises:
        RequestError: Something about the request is wrong, such as a recipe that does not fit the images; all recipes
            are planned before the first is run.
        WorkError: All recipes failed.

    Example:
        >>> comparison = compare(["small_similar", "large_similar"], "photos/", seeds=3)
        >>> print(comparison)
    """
    strategies.check_alone(strategy, "a comparison")
    asked = _load_all(recipes)
    if len(asked) < 2 and not scratch:
        raise RequestError("there is nothing to compare with: name two recipes or more, or ask for scratch.")
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise RequestError(f"seeds: a comparison takes a whole number of seeds, 1 or more; received {seeds!r}.")
    comparison = _Comparing(
        recipes=_labelled(asked, scratch),
        asked=len(asked),
        ds=ds,
        options=RunOptions(strategy=strategy, verbose=verbose, folds=folds, group_by=group_by, unlabeled=unlabeled),
        folder=None if out is None else Path(out),
        display=Display(verbose),
    )
    dataset = comparison.open(seed=0)
    request = _request(comparison.recipes, dataset, comparison.options)
    if comparison.folder:
        study_folder.check_same(comparison.folder, "comparison", request)
    comparison.plan()
    if comparison.folder:
        study_folder.write_request(comparison.folder, request)
    with share_cache(cache):
        for seed in range(seeds):
            comparison.run_seed(seed, seeds)
    if not comparison.runs:
        raise WorkError(*(f"{failure.recipe}: {failure.reason}" for failure in comparison.failures))
    result = Comparison.of_runs(dataset.source, comparison.runs, comparison.failures)
    if comparison.folder:
        result.save(comparison.folder)
    return result


def _load_all(recipes: Sequence[str | Path | Recipe]) -> list[Recipe]:
    """Load recipes by name, by path or as they are.

    Raises:
        RecipeError: A recipe cannot be read, or is named twice; all problems at once.
    """
    found: list[Recipe] = []
    problems: list[str] = []
    for recipe in recipes:
        try:
            loaded = Recipe.load(recipe)
        except RecipeError as error:
            problems += error.problems
            continue
        if loaded in found:
            problems.append(f"{loaded.name}: this recipe is named twice; name each once.")
        found.append(loaded)
    if problems:
        raise RecipeError(*problems)
    return found


def _labelled(asked: Sequence[Recipe], scratch: bool) -> dict[str, Recipe]:
    """Return recipes by what they are called in the comparison: those asked for first, then what `scratch` adds.

    Raises:
        RequestError: There can be no twin, for a network is the user's own.
    """
    own = [recipe.name for recipe in asked if recipe.network is not None]
    if scratch and own:
        raise RequestError(
            f"scratch: {listed(own)}: a network of your own keeps the weights it has, so there is no twin on random "
            "ones; compare it with a recipe on such a network, without scratch."
        )
    others = _from_scratch(asked) if scratch else []
    labels = _told_apart([*asked, *others])
    twins = _twins(dict(zip(labels, asked, strict=False))) if scratch else {}
    by_label = dict(zip(labels, [*asked, *others], strict=True))
    return {label: by_label[label] for label in labels[: len(asked)]} | twins | by_label


def _told_apart(recipes: Sequence[Recipe]) -> list[str]:
    """Name recipes; those of one name, such as one recipe on two backbones, by the backbone too, else by a number."""
    several = {name for name, count in Counter(recipe.name for recipe in recipes).items() if count > 1}
    labels = [
        f"{recipe.name} ({recipe.content.backbone.name})" if recipe.name in several else recipe.name
        for recipe in recipes
    ]
    return [
        f"{label} {labels[: index + 1].count(label)}" if label in labels[:index] else label
        for index, label in enumerate(labels)
    ]


def _twins(recipes: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """Return those recipes that are on pretrained weights, on random ones."""
    return {
        f"{label} (random weights)": _without_weights(recipe)
        for label, recipe in recipes.items()
        if recipe.content.backbone.weights != "none"
    }


def _without_weights(recipe: Recipe) -> Recipe:
    data = recipe.content.to_data()
    for backbone in (data["backbone"], *data.get("ensemble", ())):
        backbone["weights"] = "none"
    return replace(recipe, content=type(recipe.content).from_data(data, recipe.name))


def _from_scratch(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Return from_scratch on each backbone for which it has not been named."""
    backbones = {recipe.content.backbone.name: recipe.content.backbone for recipe in recipes}
    there = {recipe.content.backbone.name for recipe in recipes if recipe.name == _SCRATCH}
    return [
        Recipe.from_name(_SCRATCH, **{"backbone.name": name, "backbone.image_size": backbone.image_size})
        for name, backbone in backbones.items()
        if name not in there
    ]


def _request(recipes: Mapping[str, Recipe], dataset: Dataset, options: RunOptions) -> dict[str, Any]:
    """Return what tells a comparison from another; one with more seeds is the same comparison."""
    return {
        "recipes": {label: digest(recipe.content) for label, recipe in recipes.items()},
        "images": dataset_digest(dataset),
        "options": study_folder.stated(options),
    }


@dataclass(frozen=True)
class _Comparing:
    """A comparison while it runs.

    Args:
        recipes: Recipes by label.
        asked: How many of them, from the first on, the user named.
        ds: The images, as the user gave them.
        options: Options of every run, apart from seed and folder.
        folder: Where runs are kept, or None.
        display: Where progress is shown.
        runs: Finished runs, by label and seed.
        failures: Recipes that failed.
        dropped: Labels of recipes that are not run, or no longer.
    """

    recipes: Mapping[str, Recipe]
    asked: int
    ds: Any
    options: RunOptions
    folder: Path | None
    display: Display
    runs: dict[str, dict[int, JudgedRun]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)

    def open(self, seed: int) -> Dataset:
        """Open the images as a run with that seed does."""
        return open_dataset(self.ds, seed=seed, group_by=self.options.group_by, unlabeled=self.options.unlabeled)

    def plan(self) -> None:
        """Check that all recipes fit the images and their backbones, before any is run.

        A twin on random weights that does not fit is left out, such as that of a recipe which needs the pretrained
        classifier.

        Raises:
            RequestError: Recipes that the user named do not fit; all problems at once.
        """
        problems: list[str] = []
        for number, (label, recipe) in enumerate(self.recipes.items()):
            try:
                recipe.plan(self.ds)
            except RequestError as error:
                if number < self.asked:
                    problems += [f"{label}: {problem}" for problem in error.problems]
                else:
                    self.display.line(f"{label} is left out: {error}")
                    self.dropped.add(label)
        if problems:
            raise RequestError(*problems)

    def run_seed(self, seed: int, seeds: int) -> None:
        """Run every recipe with one seed; a recipe that fails is dropped, and its earlier seeds with it.

        Raises:
            RequestError: The request proves wrong before any run is finished.
        """
        for number, (label, recipe) in enumerate(self.recipes.items(), 1):
            if label in self.dropped:
                continue
            self.display.line(f"{label} ({number} of {len(self.recipes)}), seed {seed} ({seed + 1} of {seeds})")
            try:
                run = self._run(label, recipe, seed)
            except KerastuneError as error:
                if isinstance(error, RequestError) and not self.runs:
                    raise
                self.display.line(f"{label}: {error}")
                self.failures.append(Failure(label, str(error)))
                self.dropped.add(label)
                self.runs.pop(label, None)
            else:
                self.runs.setdefault(label, {})[seed] = run

    def _run(self, label: str, recipe: Recipe, seed: int) -> JudgedRun:
        folder = self.folder / _folders(self.recipes)[label] / f"seed_{seed}" if self.folder else None
        found = _load_finished(folder) if folder else None
        if found:
            self.display.line("  finished before, loaded from the folder")
            return found
        report = study_folder.run_in(folder, recipe, self.ds, replace(self.options, seed=seed))
        by: By = "test" if "test" in report.splits else "out-of-fold" if self.options.folds else "validation"
        split = report.splits["test" if by == "test" else "validation"]
        # The held-out images may differ between seeds; test images, and all images in folds, are the same for all.
        names = self.open(seed).validation.names if by == "validation" else range(len(split.labels))
        run = JudgedRun(report.record, report.plan, by, split.probabilities, split.labels, list(map(str, names)))
        if folder:
            _save_finished(folder, run)
        return run


def _folders(labels: Iterable[str]) -> dict[str, str]:
    """Return a folder name for each recipe, without characters that a shell wants quoted; all differ."""
    plain = {label: re.sub(r"[^A-Za-z0-9._-]+", "_", label).strip("_") for label in labels}
    taken = list(plain.values())
    return {
        label: name if name not in taken[:index] else f"{name}_{index + 1}"
        for index, (label, name) in enumerate(plain.items())
    }


def _load_finished(folder: Path) -> JudgedRun | None:
    """Load a finished run, or return None."""
    if not (folder / _JUDGED).is_file():
        return None
    plan = Plan.from_data(yaml_files.read(folder / "plan.yaml"), str(folder / "plan.yaml"))
    record = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    with np.load(folder / _JUDGED) as kept:
        by: Any = str(kept["by"])
        return JudgedRun(record, plan, by, kept["probabilities"], kept["labels"], kept["images"].tolist())


def _save_finished(folder: Path, run: JudgedRun) -> None:
    """Write the predictions that a finished run is judged by; the file is whole or missing."""
    content = io.BytesIO()
    np.savez(content, by=run.by, probabilities=run.probabilities, labels=run.labels, images=np.array(run.images))
    part = folder / f"{_JUDGED}.part"
    part.write_bytes(content.getvalue())
    part.replace(folder / _JUDGED)

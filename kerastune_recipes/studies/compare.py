"""Comparing recipes: the same images, the same seeds, frozen work shared, every run once."""

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerastune_recipes import records, yaml_files
from kerastune_recipes.data import dataset as dataset_module
from kerastune_recipes.data.dataset import Dataset
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.devices import strategies
from kerastune_recipes.errors import KerastuneError, RecipeError, RequestError, WorkError, listed
from kerastune_recipes.features import cache as store
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.progress import Display
from kerastune_recipes.recipe import Recipe
from kerastune_recipes.run import checkpoint
from kerastune_recipes.studies import study_folder
from kerastune_recipes.studies.comparison import By, Comparison, Failure, Judged

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
    group_by: str | None = None,
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
    asked = _all_taken(recipes)
    if len(asked) < 2 and not scratch:
        raise RequestError("there is nothing to compare with: name two recipes or more, or ask for scratch.")
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise RequestError(f"seeds: a comparison takes a whole number of seeds, 1 or more; received {seeds!r}.")
    # Only what was asked for, so that a run without them is a run as ever.
    options = {"folds": folds, "group_by": group_by, "unlabeled": unlabeled}
    options = {key: value for key, value in options.items() if value is not None}
    work = _Work(
        recipes=_labelled(asked, scratch),
        asked=len(asked),
        ds=ds,
        options=options,
        folder=None if out is None else Path(out),
        strategy=strategy,
        display=Display(verbose),
    )
    dataset = work.open(seed=0)
    request = _request(work.recipes, dataset, options)
    if work.folder:
        study_folder.check_same(work.folder, "comparison", request)
    work.plan()
    if work.folder:
        study_folder.write_request(work.folder, request)
    with store.shared(cache):
        for seed in range(seeds):
            work.round(seed, seeds)
    if not work.runs:
        raise WorkError(*(f"{failure.recipe}: {failure.reason}" for failure in work.failures))
    comparison = Comparison.of_runs(dataset.source, work.runs, work.failures)
    if work.folder:
        comparison.save(work.folder)
    return comparison


def _all_taken(recipes: Sequence[str | Path | Recipe]) -> list[Recipe]:
    """Take recipes by whatever they are given.

    Raises:
        RecipeError: A recipe cannot be read, or is there twice; all of it at once.
    """
    found: list[Recipe] = []
    problems: list[str] = []
    for recipe in recipes:
        try:
            taken = _taken(recipe)
        except RecipeError as error:
            problems += error.problems
            continue
        if taken in found:
            problems.append(f"{taken.name}: this recipe is named twice; name each once.")
        found.append(taken)
    if problems:
        raise RecipeError(*problems)
    return found


def _taken(recipe: str | Path | Recipe) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    is_file = isinstance(recipe, Path) or recipe.endswith((".yaml", ".yml"))
    return Recipe.from_file(recipe) if is_file else Recipe.from_name(str(recipe))


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


def _request(recipes: Mapping[str, Recipe], dataset: Dataset, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes a comparison this one; more seeds go on with it."""
    return {
        "recipes": {label: records.digest(recipe.content) for label, recipe in recipes.items()},
        "images": dataset_module.mark_of(dataset),
        "options": study_folder.plain(options),
    }


@dataclass(frozen=True)
class _Work:
    """What a comparison has to do, and what is done of it.

    Args:
        recipes: By label.
        asked: How many of them, from the first on, the user named.
        ds: The images, as the user gave them.
        options: Further arguments of `Recipe.run`.
        folder: Where runs are kept, or None.
        strategy: As for `Recipe.run`.
        display: Where progress is shown.
        runs: Finished, by recipe and seed.
        failures: Recipes that failed.
        dropped: Recipes that are not to be run, or not any more.
    """

    recipes: Mapping[str, Recipe]
    asked: int
    ds: Any
    options: Mapping[str, Any]
    folder: Path | None
    strategy: Any
    display: Display
    runs: dict[str, dict[int, Judged]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)

    def open(self, seed: int) -> Dataset:
        """Open the images as a run with that seed does."""
        of_data = {key: value for key, value in self.options.items() if key in ("group_by", "unlabeled")}
        return open_dataset(self.ds, seed=seed, **of_data)

    def plan(self) -> None:
        """See that all recipes fit the images and their backbones, before any is run.

        A twin that does not, such as that of a recipe which needs what the weights know, is left out.

        Raises:
            RequestError: Recipes that the user named do not fit; all of it at once.
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

    def round(self, seed: int, seeds: int) -> None:
        """Run every recipe with one seed; one that fails is out, and its earlier seeds with it.

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

    def _run(self, label: str, recipe: Recipe, seed: int) -> Judged:
        folder = self.folder / _folders(self.recipes)[label] / f"seed_{seed}" if self.folder else None
        found = _finished(folder) if folder else None
        if found:
            self.display.line("  finished before, taken from the folder")
            return found
        going_on = bool(folder and (folder / checkpoint.FOLDER).is_dir())
        with recipe.weights_kept():
            report = recipe.run(
                self.ds,
                out=folder,
                strategy=self.strategy,
                seed=seed,
                resume=going_on,
                overwrite=not going_on,
                verbose=not self.display.console.quiet,
                **self.options,
            )
        by: By = "test" if "test" in report.splits else "out-of-fold" if "folds" in self.options else "validation"
        split = report.splits["test" if by == "test" else "validation"]
        # Each seed may hold out images of its own; test images, and all images in folds, are the same for all seeds.
        names = self.open(seed).validation.names if by == "validation" else range(len(split.labels))
        run = Judged(report.record, report.plan, by, split.probabilities, split.labels, list(map(str, names)))
        if folder:
            _keep(folder, run)
        return run


def _folders(labels: Iterable[str]) -> dict[str, str]:
    """Return a name for the folder of each recipe, without what a shell would want quoted; no two alike."""
    plain = {label: re.sub(r"[^A-Za-z0-9._-]+", "_", label).strip("_") for label in labels}
    taken = list(plain.values())
    return {
        label: name if name not in taken[:index] else f"{name}_{index + 1}"
        for index, (label, name) in enumerate(plain.items())
    }


def _finished(folder: Path) -> Judged | None:
    """Read back a run that is finished, or None."""
    if not (folder / _JUDGED).is_file():
        return None
    plan = Plan.from_data(yaml_files.read(folder / "plan.yaml"), str(folder / "plan.yaml"))
    record = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    with np.load(folder / _JUDGED) as kept:
        by: Any = str(kept["by"])
        return Judged(record, plan, by, kept["probabilities"], kept["labels"], kept["images"].tolist())


def _keep(folder: Path, run: Judged) -> None:
    """Write what a finished run is judged by; as a whole or not at all."""
    content = io.BytesIO()
    np.savez(content, by=run.by, probabilities=run.probabilities, labels=run.labels, images=np.array(run.images))
    part = folder / f"{_JUDGED}.part"
    part.write_bytes(content.getvalue())
    part.replace(folder / _JUDGED)

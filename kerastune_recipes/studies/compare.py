"""Compare recipes on the same images with the same seeds; features are shared, and no run is repeated."""

import json
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kerastune_recipes import checksummed_files, interruption, yaml_files
from kerastune_recipes.checksummed_files import DamagedError
from kerastune_recipes.data.dataset import Dataset, dataset_digest
from kerastune_recipes.data.pixel_range import GivenRange
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.data.sources.parts import GroupBy
from kerastune_recipes.data.splits import HeldOutShare
from kerastune_recipes.devices import strategies
from kerastune_recipes.errors import (
    CheckpointWarning,
    KerastuneError,
    RecipeError,
    RequestError,
    WorkError,
    listed,
    reason,
)
from kerastune_recipes.features.cache import share_cache
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.progress import Display, counts
from kerastune_recipes.recipe import Recipe
from kerastune_recipes.records import digest
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.request import arguments_of
from kerastune_recipes.studies import study_folder
from kerastune_recipes.studies.comparison import Comparison, Failure, JudgedBy, JudgedFigures, JudgedRun

# The file with the predictions that judge a run; written last, so a run without it is not finished.
_JUDGED = "judged"
_SCRATCH = "from_scratch"
# Characters of a folder name before it is cut; file systems allow 255 bytes.
_LONGEST_FOLDER = 200


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
    validation_split: HeldOutShare = "auto",
    pixel_range: GivenRange = None,
) -> Comparison:
    """Run recipes on the same images with the same seeds, and compare each with the first.

    A seed determines the hold-out and everything else that is random, for all recipes. The test images judge the
    recipes; without a test split the validation images do. Features are computed once for all recipes.

    Args:
        recipes: Names of shipped recipes, paths of recipe files, or recipes.
        ds: The images, in any form that `Recipe.run` takes.
        seeds: Number of seeds, at least 1; the seeds are 0, 1, 2 ...
        folds: Number of cross-validation folds, as for `Recipe.run`.
        scratch: Compare with and without pretraining. Adds a twin of each recipe, the same recipe on random weights:
            the difference is what pretrained weights contribute to this way of training. A twin is not a fair picture
            of training without them, because the layers that a recipe freezes stay random. So the recipe from_scratch
            is added too, once for each backbone: it trains all layers, longer and at rates for random weights. The
            difference to it is what pretraining is worth.
        out: Folder to write the comparison and its runs to, or None. A comparison of the same recipes on the same
            images in it is resumed: finished runs are loaded, and an interrupted one continues.
        strategy: As for `Recipe.run`.
        cache: As for `Recipe.run`; the recipes share features in any case.
        verbose: Show progress.
        group_by: As for `Recipe.run`.
        unlabeled: As for `Recipe.run`.
        validation_split: As for `Recipe.run`.
        pixel_range: As for `Recipe.run`.

    Returns:
        The results of every recipe; recipes that failed are listed as failures.

    Raises:
        RequestError: Something about the request is wrong, such as a recipe that does not fit the images; all recipes
            are planned before the first one runs.
        WorkError: All recipes failed.

    Example:
        >>> comparison = compare(["small_similar", "large_similar"], "photos/", seeds=3)
        >>> print(comparison)
    """
    strategies.check_single_machine(strategy, "a comparison")
    named = _load_all(recipes)
    if len(named) < 2 and not scratch:
        raise RequestError("there is nothing to compare with: name two recipes or more, or use scratch (--scratch).")
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise RequestError(f"seeds: expected a whole number, 1 or more; received {seeds!r}.")
    runner = _Runner(
        recipes=_labelled(named, scratch),
        named=len(named),
        ds=ds,
        options=RunOptions(
            strategy=strategy,
            verbose=verbose,
            folds=folds,
            group_by=group_by,
            unlabeled=unlabeled,
            validation_split=validation_split,
            pixel_range=pixel_range,
        ),
        folder=None if out is None else Path(out),
        display=Display(verbose),
    )
    with interruption.handled():
        dataset = runner.open(seed=0)
        request = _request(runner.recipes, dataset, runner.options)
        if runner.folder:
            sources = {"images": ds, "unlabelled images": unlabeled}
            study_folder.check_same(runner.folder, "comparison", request, sources)
        runner.plan()
        if runner.folder:
            again = {"seeds": seeds, "folds": folds, "scratch": scratch}
            study_folder.write_request(
                runner.folder, request, _repeat(named, ds, replace(runner.options, cache=cache), again)
            )
        with study_folder.alone_in(runner.folder), share_cache(cache):
            for seed in range(seeds):
                runner.run_seed(seed, seeds)
    if not runner.runs:
        raise WorkError(*(f"{failure.recipe}: {failure.reason}" for failure in runner.failures))
    comparison = Comparison.of_runs(dataset.source, runner.runs, runner.failures)
    if runner.folder:
        comparison.save(runner.folder)
    return comparison


def _load_all(recipes: Sequence[str | Path | Recipe]) -> list[Recipe]:
    """Load all recipes.

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


def _labelled(named: Sequence[Recipe], scratch: bool) -> dict[str, Recipe]:
    """Return recipes by their label in the comparison: first those that the user named, then those of `scratch`.

    Raises:
        RequestError: A recipe has the user's own network, which has no twin on random weights.
    """
    own = [recipe.name for recipe in named if recipe.network is not None]
    if scratch and own:
        raise RequestError(
            f"scratch: {listed(own)}: your own network keeps its weights, so it has no twin on random weights; leave "
            "out scratch, and compare with a recipe on such a network."
        )
    others = _from_scratch(named) if scratch else []
    labels = _distinct_labels([*named, *others])
    twins = _twins(dict(zip(labels, named, strict=False))) if scratch else {}
    by_label = dict(zip(labels, [*named, *others], strict=True))
    return {label: by_label[label] for label in labels[: len(named)]} | twins | by_label


def _distinct_labels(recipes: Sequence[Recipe]) -> list[str]:
    """Label recipes by name; a name that occurs twice gets the backbone added, and a number if that is not enough."""
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
    """Return the recipes that use pretrained weights, on random weights."""
    return {
        f"{label} (random weights)": _on_random_weights(recipe)
        for label, recipe in recipes.items()
        if recipe.content.backbone.weights != "none"
    }


def _on_random_weights(recipe: Recipe) -> Recipe:
    data = recipe.content.to_data()
    for backbone in (data["backbone"], *data.get("ensemble", ())):
        backbone["weights"] = "none"
    return replace(recipe, content=type(recipe.content).from_data(data, recipe.name))


def _from_scratch(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Return from_scratch on each backbone for which the user has not named it."""
    backbones = {recipe.content.backbone.name: recipe.content.backbone for recipe in recipes}
    known = {recipe.content.backbone.name for recipe in recipes if recipe.name == _SCRATCH}
    return [
        Recipe.from_name(_SCRATCH, **{"backbone.name": name, "backbone.image_size": backbone.image_size})
        for name, backbone in backbones.items()
        if name not in known
    ]


def _request(recipes: Mapping[str, Recipe], dataset: Dataset, options: RunOptions) -> dict[str, Any]:
    """Return what distinguishes a comparison from others; more seeds make no other comparison."""
    return {
        "recipes": {label: digest(recipe.content) for label, recipe in recipes.items()},
        "images": dataset_digest(dataset),
        "options": study_folder.stated(options),
    }


def _repeat(named: Sequence[Recipe], ds: Any, options: RunOptions, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that repeat a comparison."""
    return {
        "study": "comparison",
        "recipes": [[recipe.name, recipe.content.to_data()] for recipe in named],
        "arguments": arguments_of(ds, options, any(recipe.network is not None for recipe in named)),
        **more,
    }


@dataclass(eq=False)
class _Runner:
    """Runs the recipes of a comparison.

    Args:
        recipes: Recipes by label.
        named: Number of recipes that the user named; they come first.
        ds: The images, as the user gave them.
        options: Options of every run, except seed and folder.
        folder: Folder of the comparison, or None.
        display: Where progress is shown.
        runs: Finished runs by label and seed.
        failures: Recipes that failed.
        dropped: Labels of recipes that are not run, or not any more.
    """

    recipes: Mapping[str, Recipe]
    named: int
    ds: Any
    options: RunOptions
    folder: Path | None
    display: Display
    runs: dict[str, dict[int, JudgedRun]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)

    def open(self, seed: int) -> Dataset:
        """Open the images as a run with this seed does."""
        with counts(self.options.verbose):
            return open_dataset(self.ds, seed=seed, **self.options.of_data())

    def plan(self) -> None:
        """Check that all recipes fit the images and their backbones, before the first one runs.

        A twin on random weights that does not fit is left out, such as the twin of a recipe that needs the pretrained
        classifier.

        Raises:
            RequestError: Recipes that the user named do not fit; all problems at once.
        """
        problems: list[str] = []
        options = self.options
        for number, (label, recipe) in enumerate(self.recipes.items()):
            try:
                recipe.plan(self.ds, folds=options.folds, **options.of_data())
            except RequestError as error:
                if number < self.named:
                    problems += [f"{label}: {problem}" for problem in error.problems]
                else:
                    self.display.line(f"{label} left out: {error}")
                    self.dropped.add(label)
        if problems:
            raise RequestError(*problems)

    def run_seed(self, seed: int, seeds: int) -> None:
        """Run every recipe with one seed; a recipe that fails is dropped with the runs of its earlier seeds.

        Raises:
            RequestError: The request is wrong, and no run is finished yet.
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
            self.display.line("  already finished, loaded from the folder")
            return found
        report = study_folder.run_in(folder, recipe, self.ds, replace(self.options, seed=seed))
        by: JudgedBy = "test" if "test" in report.splits else "out-of-fold" if self.options.folds else "validation"
        split = report.splits["test" if by == "test" else "validation"]
        # Held-out images differ between seeds; test images, and all images in folds, are the same for all seeds.
        names = list(split.names if by == "validation" else map(str, range(len(split.labels))))
        run = JudgedRun(report.record, report.plan, by, split.probabilities, split.labels, names, split.groups)
        if folder:
            _save_finished(folder, run)
        return run


def _folders(labels: Iterable[str]) -> dict[str, str]:
    """Return a different folder name for each recipe, without characters that a shell needs quoted."""
    folders: dict[str, str] = {}
    for number, label in enumerate(labels, 1):
        # Without dots at the ends: a recipe called .. would be run outside the folder.
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", label).strip("_.")[:_LONGEST_FOLDER] or "recipe"
        while name in folders.values():
            name += f"_{number}"
        folders[label] = name
    return folders


def _load_finished(folder: Path) -> JudgedRun | None:
    """Load a finished run, or return None."""
    try:
        arrays, judged = checksummed_files.load(folder / _JUDGED)
        record = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        JudgedFigures.from_data(record, "report.json")
        plan = Plan.from_data(yaml_files.read(folder / "plan.yaml"), "plan.yaml")
        return JudgedRun(
            record,
            plan,
            judged["by"],
            arrays["probabilities"],
            arrays["labels"],
            judged["images"],
            arrays.get("groups"),  # earlier builds did not save them
        )
    except FileNotFoundError:
        return None
    except (DamagedError, OSError, ValueError, TypeError, LookupError, RecursionError, RecipeError) as error:
        warnings.warn(
            f"{folder}: this run is damaged ({reason(error)}); it runs again.", CheckpointWarning, stacklevel=2
        )
        return None


def _save_finished(folder: Path, run: JudgedRun) -> None:
    """Write the predictions that judge a finished run; an interruption leaves no half-written file."""
    arrays = {"probabilities": run.probabilities, "labels": run.labels}
    if run.groups is not None:
        arrays["groups"] = run.groups
    checksummed_files.save(folder / _JUDGED, arrays, {"by": run.by, "images": run.images})

"""Tune a recipe: search the fields that it leaves to `auto`, by log loss on the validation images."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerastune_recipes import interruption
from kerastune_recipes.data.dataset import Dataset, dataset_digest
from kerastune_recipes.data.pixel_range import GivenRange
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.data.sources.parts import GroupBy
from kerastune_recipes.data.splits import HeldOutShare
from kerastune_recipes.devices import strategies
from kerastune_recipes.errors import RecipeError, RequestError, listed
from kerastune_recipes.features.cache import share_cache
from kerastune_recipes.progress import Display, counts
from kerastune_recipes.recipe import Recipe
from kerastune_recipes.records import digest
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.request import arguments_of
from kerastune_recipes.spec.overrides import override
from kerastune_recipes.spec.recipe_spec import RecipeSpec
from kerastune_recipes.studies import search_space, study_folder
from kerastune_recipes.studies.search_space import Value
from kerastune_recipes.studies.tuned import Tuned, best_of, show_value

# Large files that a trial does not keep; the user runs the best recipe again.
_LARGE = ("model.keras", "report.html")


def tune(
    recipe: str | Path | Recipe,
    ds: Any,
    trials: int = 10,
    seed: int = 0,
    out: str | Path | None = None,
    *,
    strategy: Any = None,
    cache: bool = True,
    verbose: bool = True,
    group_by: GroupBy = None,
    unlabeled: Any = None,
    validation_split: HeldOutShare = "auto",
    pixel_range: GivenRange = None,
) -> Tuned:
    """Search the fields that a recipe leaves to `auto`.

    Each trial runs all phases; its score is the log loss of the returned model on the validation images. The first
    trial has the values of the rules, so the result is never worse than these on the validation images. Test images are
    not used. The trials share features. Needs KerasTuner: kerastune-recipes[tune].

    Args:
        recipe: Name of a shipped recipe, path of a recipe file, or a recipe.
        ds: The images, in any form that `Recipe.run` takes.
        trials: Number of trials, at least 2.
        seed: Random seed of the hold-out, of the proposals, and of everything in each trial.
        out: Folder for the best recipe, a table of the trials, and their runs, or None. A search in it is resumed,
            also with more trials.
        strategy: As for `Recipe.run`.
        cache: As for `Recipe.run`; the trials share features in any case.
        verbose: Show progress.
        group_by: As for `Recipe.run`.
        unlabeled: As for `Recipe.run`.
        validation_split: As for `Recipe.run`.
        pixel_range: As for `Recipe.run`.

    Returns:
        The recipe with the best values in place of `auto`, and all trials.

    Raises:
        RequestError: There is nothing to search, or something else about the request is wrong.

    Example:
        >>> tuned = tune("small_similar", "photos/", trials=10)
        >>> report = tuned.recipe.run("photos/")
    """
    recipe = Recipe.load(recipe)
    spec = _spec(recipe)
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 2:
        raise RequestError(
            f"trials: expected a whole number, 2 or more (the first has the values of the rules); received {trials!r}."
        )
    strategies.check_single_machine(strategy, "a search")
    keras_tuner = _keras_tuner()
    given = RunOptions(
        seed=seed,
        strategy=strategy,
        verbose=verbose,
        cache=cache,
        group_by=group_by,
        unlabeled=unlabeled,
        validation_split=validation_split,
        pixel_range=pixel_range,
    )
    # Test images may not choose anything, so a search does not get them.
    with counts(verbose):
        dataset = replace(open_dataset(ds, seed=seed, **given.of_data()), test=None)
    dimensions = search_space.space(spec, recipe.plan(dataset, seed=seed), dataset.facts())
    open_keys = search_space.open_keys(spec)
    if not dimensions:
        by_rule = f"; only its rules set {listed(open_keys)}" if open_keys else ""
        raise RecipeError(
            f"{recipe.name}: there is nothing to search{by_rule}. Write auto for a field that can be searched: "
            "learning_rate, duration, batch_size, views or batch_norm_momentum of a fit phase, or backbone.image_size."
        )
    options = RunOptions(seed=seed, strategy=strategy, verbose=verbose)  # the images are open
    folder = None if out is None else Path(out)
    if folder:
        request = _request(recipe, dataset, given)
        study_folder.check_same(folder, "search", request, {"images": ds, "unlabelled images": unlabeled})
        study_folder.write_request(folder, request, _repeat(recipe, ds, given, trials))
    display = Display(verbose)
    with (
        interruption.handled(),
        study_folder.alone_in(folder),
        tempfile.TemporaryDirectory(prefix="kerastune-") as temporary,
        share_cache(cache),
    ):
        root = folder or Path(temporary)

        def run_trial(number: int, values: Mapping[str, Value]) -> dict[str, float]:
            shown = listed((show_value(*each) for each in values.items()), most=99)
            display.line(f"trial {number} of {trials}: {shown}")
            return _run_trial(root / "trials" / f"{number:03}", _with_values(recipe, values), dataset, options)

        done = keras_tuner.search(dimensions, run_trial, trials, seed, root / "keras_tuner")
    tuned = Tuned(
        recipe=replace(_with_values(recipe, best_of(done).values), name=f"{recipe.name}_tuned"),
        trials=done,
        left=tuple(key for key in open_keys if key not in done[0].values),
        data=dataset.source,
    )
    if folder:
        tuned.save(folder)
    return tuned


def _spec(recipe: Recipe) -> RecipeSpec:
    if not isinstance(recipe.content, RecipeSpec):
        raise RecipeError(f"{recipe.name}: a plan has no auto fields; tune the recipe that it was made from.")
    return recipe.content


def _keras_tuner() -> Any:
    try:
        from kerastune_recipes.studies import keras_tuner
    except ModuleNotFoundError as error:
        if error.name != "keras_tuner":
            raise
        raise RequestError(
            'tuning needs KerasTuner, which is not installed; run pip install "kerastune-recipes[tune]".'
        ) from None
    return keras_tuner


def _request(recipe: Recipe, dataset: Dataset, options: RunOptions) -> dict[str, Any]:
    """Return what distinguishes a search from others; more trials make no other search."""
    return {
        "recipe": digest(recipe.content),
        "images": dataset_digest(dataset),
        "seed": options.seed,
        "options": study_folder.stated(options),
    }


def _repeat(recipe: Recipe, ds: Any, options: RunOptions, trials: int) -> dict[str, Any]:
    """Return the arguments that repeat a search."""
    return {
        "study": "search",
        "recipe": [recipe.name, recipe.content.to_data()],
        "arguments": arguments_of(ds, options, recipe.network is not None),
        "trials": trials,
        "seed": options.seed,
    }


def _with_values(recipe: Recipe, values: Mapping[str, Value]) -> Recipe:
    data = override(recipe.content.to_data(), values, recipe.name)
    return replace(recipe, content=RecipeSpec.from_data(data, recipe.name))


def _run_trial(folder: Path, recipe: Recipe, dataset: Dataset, options: RunOptions) -> dict[str, float]:
    """Run a recipe and return the metrics of its model."""
    report = study_folder.run_in(folder, recipe, dataset, options)
    for name in _LARGE:
        (folder / name).unlink(missing_ok=True)
    scores = report.record["validation"]
    return {
        "log_loss": scores["log_loss"],
        "accuracy": scores["accuracy"],
        "seconds": report.record["cost"]["seconds_total"],
    }

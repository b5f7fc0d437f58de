"""Tuning: the fields that a recipe leaves to `auto`, searched over its whole schedule by the validation images."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerastune_recipes import records
from kerastune_recipes.data import dataset as dataset_module
from kerastune_recipes.data.dataset import Dataset
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.devices import strategies
from kerastune_recipes.errors import RecipeError, RequestError, listed
from kerastune_recipes.features import cache as store
from kerastune_recipes.progress import Display
from kerastune_recipes.run import checkpoint
from kerastune_recipes.spec.overrides import override
from kerastune_recipes.spec.recipe_spec import RecipeSpec
from kerastune_recipes.studies import search_space, study_folder
from kerastune_recipes.studies.search_space import Value
from kerastune_recipes.studies.tuned import Tuned, best_of, show_value

if TYPE_CHECKING:
    from kerastune_recipes.recipe import Recipe

# What a trial leaves behind but nobody needs again: the recipe that was found is run anew.
_LARGE = ("model.keras", "report.html")


def tune(
    recipe: "Recipe",
    ds: Any,
    trials: int = 10,
    seed: int = 0,
    out: str | Path | None = None,
    *,
    strategy: Any = None,
    cache: bool = True,
    verbose: bool = True,
    group_by: str | None = None,
    unlabeled: Any = None,
) -> Tuned:
    """Search what a recipe leaves to `auto`; see `Recipe.tune`."""
    if not isinstance(recipe.content, RecipeSpec):
        raise RecipeError(f"{recipe.name}: a plan leaves nothing open; tune the recipe that it was made from.")
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 2:
        raise RequestError(
            f"trials: a search takes a whole number of trials, 2 or more, the first being what the rules choose; "
            f"received {trials!r}."
        )
    strategies.check_alone(strategy, "a search")
    keras_tuner = _keras_tuner()
    # Only what was asked for, so that a run without it is a run as ever.
    grouped: dict[str, Any] = {} if group_by is None else {"group_by": group_by}
    further = {} if unlabeled is None else {"unlabeled": unlabeled}
    options = {"strategy": strategy, "verbose": verbose, **further}
    # Nothing is chosen by the test images; a search does not even see them.
    dataset = replace(open_dataset(ds, seed=seed, **grouped), test=None)
    dimensions = search_space.space(recipe.content, recipe.plan(dataset, seed=seed), dataset.facts())
    open_keys = search_space.open_keys(recipe.content)
    if not dimensions:
        still = f"; its rules decide on {listed(open_keys)}" if open_keys else ""
        raise RecipeError(
            f"{recipe.name}: there is nothing to search{still}. Write auto for what is to be searched: learning_rate, "
            "duration, batch_size, views or batch_norm_momentum of a fit phase, or backbone.image_size."
        )
    folder = None if out is None else Path(out)
    if folder:
        request = _request(recipe, dataset, seed, grouped | further)
        study_folder.check_same(folder, "search", request)
        study_folder.write_request(folder, request)
    display = Display(verbose)
    with tempfile.TemporaryDirectory() as passing, store.shared(cache):
        home = folder or Path(passing)

        def judge(number: int, values: Mapping[str, Value]) -> dict[str, float]:
            display.line(
                f"trial {number} of {trials}: {listed((show_value(*each) for each in values.items()), most=99)}"
            )
            return _judged(_with(recipe, values), dataset, home / "trials" / f"{number:03}", seed, options)

        found = keras_tuner.search(dimensions, judge, trials, seed, home / "keras_tuner")
    tuned = Tuned(
        recipe=replace(_with(recipe, best_of(found).values), name=f"{recipe.name}_tuned"),
        trials=found,
        left=tuple(key for key in open_keys if key not in found[0].values),
        data=dataset.source,
    )
    if folder:
        tuned.save(folder)
    return tuned


def _keras_tuner() -> Any:
    try:
        from kerastune_recipes.studies import keras_tuner
    except ModuleNotFoundError as error:
        if error.name != "keras_tuner":
            raise
        raise RequestError(
            'tuning needs KerasTuner, which is not installed; pip install "kerastune-recipes[tune]" does it.'
        ) from None
    return keras_tuner


def _request(recipe: "Recipe", dataset: Dataset, seed: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes a search this one; more trials go on with it."""
    return {
        "recipe": records.digest(recipe.content),
        "images": dataset_module.mark_of(dataset),
        "seed": seed,
        "options": study_folder.plain(options),
    }


def _with(recipe: "Recipe", values: Mapping[str, Value]) -> "Recipe":
    data = override(recipe.content.to_data(), values, recipe.name)
    return replace(recipe, content=RecipeSpec.from_data(data, recipe.name))


def _judged(
    recipe: "Recipe", dataset: Dataset, folder: Path, seed: int, options: Mapping[str, Any]
) -> dict[str, float]:
    """Run a recipe, and return how good the model is that it keeps."""
    going_on = (folder / checkpoint.FOLDER).is_dir()
    with recipe.weights_kept():
        report = recipe.run(dataset, out=folder, seed=seed, resume=going_on, overwrite=not going_on, **options)
    for name in _LARGE:
        (folder / name).unlink(missing_ok=True)
    scores = report.record["validation"]
    return {
        "log_loss": scores["log_loss"],
        "accuracy": scores["accuracy"],
        "seconds": report.record["cost"]["seconds_total"],
    }

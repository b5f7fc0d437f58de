"""Resume what a folder holds: an interrupted run, comparison or search."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kerastune_recipes.errors import OutputError, RequestError, listed
from kerastune_recipes.planning.plan import Plan, is_plan
from kerastune_recipes.recipe import Recipe
from kerastune_recipes.reporting.report import Report
from kerastune_recipes.run import run_folder
from kerastune_recipes.run.checkpoint import read_request
from kerastune_recipes.spec.recipe_spec import RecipeSpec
from kerastune_recipes.studies import study_folder
from kerastune_recipes.studies.compare import compare
from kerastune_recipes.studies.comparison import Comparison
from kerastune_recipes.studies.tune import tune
from kerastune_recipes.studies.tuned import Tuned


def resume(folder: str | Path, verbose: bool = True) -> Report | Comparison | Tuned:
    """Resume the interrupted run, comparison or search in a folder, with the arguments that it was started with.

    What was given in Python, such as arrays or callbacks, cannot be repeated from the folder: then call `Recipe.run`
    with `resume=True`, or `compare` or `tune` again.

    Args:
        folder: The folder that was given as `out`.
        verbose: Show progress.

    Raises:
        OutputError: There is nothing to resume, or it began with something else, such as other images.
        RequestError: Something was given in Python.
        WorkError: The work failed.

    Example:
        >>> report = resume("runs/first")
    """
    folder = Path(folder)
    if run_folder.is_interrupted(folder):
        return _run(folder, verbose)
    try:
        request = study_folder.read_request(folder)
    except OutputError:
        state = "the run here is finished, and there is" if run_folder.is_finished(folder) else "there is"
        raise OutputError(f"{folder}: {state} nothing to resume.") from None
    try:
        repeat = request[study_folder.REPEAT]
        again = _STUDIES[repeat["study"]](folder, repeat)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise OutputError(
            f"{folder}: its request.json is damaged, or was written by an earlier version; repeat the command that "
            "began it."
        ) from None
    return again(out=folder, verbose=verbose)


def _run(folder: Path, verbose: bool) -> Report:
    request = read_request(folder)
    recipe, options = _recipe(request.asked.name, request.asked.content), _options(folder, request.asked.arguments)
    return recipe.run(out=folder, seed=request.seed, resume=True, verbose=verbose, **options)


def _comparison(folder: Path, repeat: Mapping[str, Any]) -> Callable[..., Comparison]:
    """Return `compare` with the arguments that a folder holds."""
    recipes = [_recipe(*each) for each in repeat["recipes"]]
    same = {key: repeat[key] for key in ("seeds", "folds", "scratch")}
    return partial(compare, recipes, **same, **_options(folder, repeat["arguments"]))


def _search(folder: Path, repeat: Mapping[str, Any]) -> Callable[..., Tuned]:
    """Return `tune` with the arguments that a folder holds."""
    same = {key: repeat[key] for key in ("trials", "seed")}
    return partial(tune, _recipe(*repeat["recipe"]), **same, **_options(folder, repeat["arguments"]))


def _recipe(name: str, content: Mapping[str, Any]) -> Recipe:
    return Recipe(name, Plan.from_data(content, name) if is_plan(content) else RecipeSpec.from_data(content, name))


def _options(folder: Path, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that all functions take."""
    in_python = arguments["in_python"]
    if in_python:
        raise RequestError(
            f"{folder}: {listed(in_python)} {'was' if len(in_python) == 1 else 'were'} given in Python and cannot be "
            "read from the folder; call the same function again there, with resume=True for a run."
        )
    given = {key: arguments[key] for key in ("unlabeled", "group_by", "strategy", "cache")}
    # Earlier builds did not have these.
    given |= {key: arguments[key] for key in ("validation_split", "pixel_range") if key in arguments}
    return {"ds": arguments["data"], **given}


_STUDIES: dict[str, Callable[[Path, Mapping[str, Any]], Callable[..., Comparison | Tuned]]] = {
    "comparison": _comparison,
    "search": _search,
}

"""The command line: `kerastune COMMAND`; exit status 0 done, 1 the work failed, 2 the request was wrong."""

import argparse
import importlib
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerastune_recipes import units, yaml_files
from kerastune_recipes.errors import KerastuneError, OutputError, RequestError, WorkError, listed
from kerastune_recipes.recipe import Recipe
from kerastune_recipes.spec import catalog

_RECIPE = "name of a shipped recipe, or path of a recipe or plan file"
_DATA = "folder of class folders, CSV file of path,label, tfds:NAME or demo:digits"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after `kerastune`; by default those of the process.

    Returns:
        The exit status.
    """
    # TensorFlow greets with pages of notices; a user who wants them sets the variable.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            # The source line that Python prints tells a user of the shell nothing.
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            return options.command(options) or 0
    except KerastuneError as error:
        print(f"kerastune: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"kerastune: interrupted.{_how_to_resume(options)}", file=sys.stderr)
        return 1


def _start_keras() -> None:
    """Import Keras without TensorFlow's greeting, which it writes to the descriptor before it reads its log level."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        importlib.import_module("keras")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _how_to_resume(options: argparse.Namespace) -> str:
    if options.command in (_compare, _tune) and options.out and options.out.is_dir():
        return f" The same command resumes from {options.out}."
    if options.command is not _run:
        return ""
    from kerastune_recipes.run import run_folder

    if options.out and run_folder.is_interrupted(options.out):
        return f" The same command with --resume resumes from {options.out}."
    return "" if options.no_cache else " The same command resumes from the features computed so far."


def _show_warning(message: Warning | str, *_: Any) -> None:
    print(f"kerastune: warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kerastune", description="Fine-tuning recipes for Keras 3.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    ls = _command(commands, "ls", _ls, "list the shipped recipes")
    _add_json(ls)

    show = _command(commands, "show", _show, "print a recipe file")
    show.add_argument("recipe", help=_RECIPE)

    cp = _command(commands, "cp", _cp, "copy a shipped recipe to a file of your own")
    cp.add_argument("recipe", help="name of a shipped recipe")
    cp.add_argument("file", type=Path, help="where to; must not exist")

    validate = _command(commands, "validate", _validate, "check recipe files, naming every error at once")
    validate.add_argument("recipe", nargs="+", help=_RECIPE)

    plan = _command(commands, "plan", _plan, "say what a run would do and cost, before anything trains")
    _add_request(plan)
    _add_folds(plan)
    plan.add_argument("--save", type=Path, metavar="FILE", help="write the plan as YAML; it can be edited and run")
    _add_json(plan)

    run = _command(commands, "run", _run, "train a model")
    _add_request(run)
    _add_folds(run)
    run.add_argument("--out", type=Path, metavar="DIR", help="folder to write model, report and plan to")
    _add_work(run)
    again = run.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with the interrupted run in --out")
    again.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    _add_json(run)

    launch = _command(commands, "launch", _launch, "run as several workers on this machine, to try them out")
    launch.add_argument("--workers", type=int, default=2, metavar="N", help="how many processes (default: 2)")
    launch.add_argument("words", nargs=argparse.REMAINDER, metavar="-- run ...", help="what each of them does")

    evaluate = _command(commands, "evaluate", _evaluate, "measure a trained model on labelled images")
    evaluate.add_argument("folder", type=Path, metavar="DIR", help="folder of a finished run")
    evaluate.add_argument("--data", required=True, help=f"{_DATA}; its test split where it has one, else all of it")
    _add_group_by(evaluate)
    _add_views(evaluate)
    _add_json(evaluate)

    predict = _command(commands, "predict", _predict, "predict the classes of images")
    predict.add_argument("folder", type=Path, metavar="DIR", help="folder of a finished run")
    predict.add_argument("images", type=Path, nargs="+", metavar="IMG", help="image files")
    _add_views(predict)
    _add_json(predict)

    cache = _command(commands, "cache", _cache, "show or clear the cache of features and solved heads")
    cache.add_argument("action", choices=("info", "clear"), help="info: what is kept, and where; clear: remove it all")
    _add_json(cache)

    compare = _command(commands, "compare", _compare, "run recipes on the same images with the same seeds, and compare")
    compare.add_argument("recipe", nargs="+", help=_RECIPE)
    _add_data(compare)
    _add_folds(compare)
    compare.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (default: 3)")
    compare.add_argument(
        "--scratch", action="store_true", help="add each recipe on random weights, and from_scratch on its backbone"
    )
    compare.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write the comparison and its runs to, or to go on in"
    )
    _add_work(compare)
    _add_json(compare)

    tune = _command(commands, "tune", _tune, "search what a recipe leaves to auto, by the validation images")
    _add_request(tune)
    tune.add_argument(
        "--trials", type=int, default=10, metavar="N", help="trials, the rules' choice first (default: 10)"
    )
    tune.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the recipe that is found, or to go on in"
    )
    _add_work(tune)
    _add_json(tune)
    return parser


def _command(commands: Any, name: str, function: Any, summary: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.set_defaults(command=function)
    return parser


def _add_request(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help=_RECIPE)
    _add_data(parser)
    parser.add_argument("--seed", type=_seed, default=0, help="of everything random (default: 0)")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, help=_DATA)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="change one thing in the recipe, such as backbone=VGG16 or phases.fine_tuning.fit.learning_rate=1e-3",
    )  # fmt: skip
    _add_group_by(parser)
    parser.add_argument(
        "--unlabeled", metavar="DIR",
        help="images without labels, for recipes that learn from them: a folder with images at any depth, or a CSV "
        "file with a column path",
    )  # fmt: skip


def _add_folds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folds", type=int, metavar="K", help="judge by K-fold cross-validation, not by a hold-out, and refit on all"
    )


def _add_group_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--group-by", type=_group_by, metavar="LEVEL_OR_COLUMN",
        help="what tells which images belong together and are never divided between training and validation: 1 for "
        "the folders inside the class folders, as in ants/patient7/1.jpg, or a column of the CSV file",
    )  # fmt: skip


def _group_by(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--strategy", default="auto", help="auto, none, mirrored, multi_worker or tpu (default: auto)")
    parser.add_argument(
        "--no-cache", action="store_true", help="neither take frozen work from the cache nor keep it there"
    )


def _add_views(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--views", type=int, default=1, metavar="N", help="mean over the image and N-1 more views of it (default: 1)"
    )
    parser.add_argument(
        "--flip",
        choices=("none", "horizontal"),
        default="none",
        help="horizontal: mirror images are views too; for images that keep their class then (default: none)",
    )


def _seed(text: str) -> int:
    seed = int(text) if text.isdecimal() else -1
    if not 0 <= seed < 2**32:  # what NumPy takes
        raise argparse.ArgumentTypeError(f'a seed is a whole number from 0 to 4294967295; received "{text}"')
    return seed


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print machine-readable JSON on standard output")


def _recipe(options: argparse.Namespace) -> Recipe:
    return Recipe.load(options.recipe, **_overrides(options.overrides))


def _load_all(words: Sequence[str], overrides: dict[str, Any]) -> list[Recipe]:
    found: list[Recipe] = []
    problems: list[str] = []
    for word in words:
        try:
            found.append(Recipe.load(word, **overrides))
        except RequestError as error:
            problems += error.problems
    if problems:
        raise RequestError(*problems)
    return found


def _overrides(pairs: Sequence[str]) -> dict[str, Any]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise RequestError(*(f'--set {pair}: write KEY=VALUE, such as "backbone=VGG16".' for pair in wrong))
    split = (pair.split("=", 1) for pair in pairs)
    return {key: yaml_files.parse(value, f"--set {key}") for key, value in split}


def _ls(options: argparse.Namespace) -> None:
    rows = [{"name": name, "summary": catalog.load(name).summary} for name in catalog.names()]
    if options.json:
        print(json.dumps(rows))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        print(f"{row['name']:{width}}  {row['summary']}")


def _show(options: argparse.Namespace) -> None:
    if options.recipe.endswith((".yaml", ".yml")):
        path = Path(options.recipe)
        yaml_files.read(path)
        print(path.read_text(encoding="utf-8"), end="")
    else:
        print(catalog.text(options.recipe), end="")


def _cp(options: argparse.Namespace) -> None:
    text = catalog.text(options.recipe)
    _refuse_existing(options.file)
    _write(options.file, text)
    print(f"{options.file}: edit it, then kerastune run {options.file} --data ...")


def _refuse_existing(file: Path) -> None:
    if file.exists():
        raise OutputError(f"{file}: this file exists; name another.")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{file}: the file cannot be written: {error.strerror}.") from None


def _validate(options: argparse.Namespace) -> None:
    problems: list[str] = []
    for name in options.recipe:
        try:
            Recipe.load(name)
            print(f"{name}: valid")
        except RequestError as error:
            problems += error.problems
    if problems:
        raise RequestError(*problems)


def _data(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say of the data, as Recipe takes it."""
    return {"folds": options.folds, "group_by": options.group_by, "unlabeled": options.unlabeled}


def _plan(options: argparse.Namespace) -> None:
    recipe = _recipe(options)
    _start_keras()
    if options.save or options.json:
        if options.save:
            _refuse_existing(options.save)
        plan = recipe.plan(options.data, seed=options.seed, **_data(options))
        if options.save:
            _write(options.save, yaml_files.dump(plan.to_data()))
        if options.json:
            print(json.dumps(plan.to_data()))
            return
        print(f"{options.save}: edit it, then kerastune run {options.save} --data {options.data}")
        return
    print(recipe.describe(options.data, seed=options.seed, **_data(options)), end="")


def _run(options: argparse.Namespace) -> None:
    recipe = _recipe(options)
    if not options.out:
        print("kerastune: without --out DIR the model and its report will not be kept.", file=sys.stderr)
    _start_keras()
    report = recipe.run(
        options.data,
        out=options.out,
        strategy=options.strategy,
        seed=options.seed,
        resume=options.resume,
        overwrite=options.overwrite,
        cache=not options.no_cache,
        **_data(options),
    )
    from kerastune_recipes.devices import strategies

    if not strategies.reports(options.strategy):
        return
    if options.json:
        print(json.dumps(report.record))
        return
    print(report)
    if options.out:
        print(f"  written to {options.out}: report.html, model.keras and the rest")


def _launch(options: argparse.Namespace) -> int:
    from kerastune_recipes.devices.launch import launch

    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    problems = []
    if options.workers < 2:
        problems.append(f"--workers: several are at least 2; received {options.workers}.")
    if words[:1] != ["run"]:
        received = f"received {words[0]}" if words else "nothing was given"
        problems.append(
            f"launch: several workers do one run; write it behind --, as in -- run small_similar; {received}."
        )
    if problems:
        raise RequestError(*problems)
    _parser().parse_args(words)  # told once what is wrong with them, rather than by each worker
    return launch([sys.executable, "-m", "kerastune_recipes", *words], options.workers)


def _evaluate(options: argparse.Namespace) -> None:
    _start_keras()
    from kerastune_recipes.evaluation import predict as evaluation
    from kerastune_recipes.evaluation import saved_model

    scores = evaluation.evaluate(
        saved_model.load(options.folder), options.data, options.group_by, options.views, options.flip
    )
    if options.json:
        print(json.dumps(scores))
        return
    low, high = scores["accuracy_ci95"]
    print(
        f"{scores['images']} images: accuracy {scores['accuracy']:.1%} ({low:.1%} to {high:.1%} at 95%), balanced "
        f"accuracy {scores['balanced_accuracy']:.1%}, log loss {scores['log_loss']:.3f}, ECE {scores['ece']:.3f}"
    )


def _predict(options: argparse.Namespace) -> None:
    _start_keras()
    from kerastune_recipes.evaluation import predict as evaluation
    from kerastune_recipes.evaluation import saved_model

    saved = saved_model.load(options.folder)
    probabilities = evaluation.predict(saved.model, options.images, options.views, options.flip)
    rows = [
        {
            "image": str(image),
            "class": saved.class_names[int(row.argmax())],
            "probability": float(row.max()),
            "probabilities": dict(zip(saved.class_names, map(float, row), strict=True)),
        }
        for image, row in zip(options.images, probabilities, strict=True)
    ]
    if options.json:
        print(json.dumps(rows))
        return
    for found in rows:
        print(f"{found['image']}  {found['class']}  {found['probability']:.1%}")


def _cache(options: argparse.Namespace) -> None:
    from kerastune_recipes.features import cache

    found = cache.at_rest()
    if options.action == "clear":
        found.clear()
    kept = found.info()
    total = sum(info.size for info in kept)
    if options.json:
        networks = [{"network": info.about, "rows": info.rows, "bytes": info.size} for info in kept]
        print(json.dumps({"folder": str(found.folder), "limit": cache.limit(), "bytes": total, "networks": networks}))
        return
    print(f"{found.folder}: {units.format_bytes(total)} of at most {units.format_bytes(cache.limit())}")
    for info in kept:
        print(f"  {info.about}: {info.rows} rows, {units.format_bytes(info.size)}")


def _compare(options: argparse.Namespace) -> None:
    recipes = _load_all(options.recipe, _overrides(options.overrides))
    _start_keras()
    from kerastune_recipes.studies.compare import compare

    comparison = compare(
        recipes,
        options.data,
        seeds=options.seeds,
        scratch=options.scratch,
        out=options.out,
        strategy=options.strategy,
        cache=not options.no_cache,
        **_data(options),
    )
    if options.json:
        print(json.dumps(comparison.record))
    else:
        print(comparison)
        if options.out:
            print(f"written to {options.out}: comparison.html, comparison.json, comparison.svg and every run")
    if comparison.failures:
        failed = [failure.recipe for failure in comparison.failures]
        raise WorkError(f"{listed(failed)}: failed; the table says why.")


def _tune(options: argparse.Namespace) -> None:
    recipe = _recipe(options)
    _start_keras()
    from kerastune_recipes.studies.tune import tune
    from kerastune_recipes.studies.tuned import RECIPE

    tuned = tune(
        recipe,
        options.data,
        trials=options.trials,
        seed=options.seed,
        out=options.out,
        strategy=options.strategy,
        cache=not options.no_cache,
        group_by=options.group_by,
        unlabeled=options.unlabeled,
    )
    if options.json:
        print(json.dumps(tuned.record))
        return
    print(tuned)
    print(f"written to {options.out}; run what was found: kerastune run {options.out / RECIPE} --data {options.data}")

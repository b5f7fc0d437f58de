"""The command line, `kerastune COMMAND`. Exit status: 0 done, 1 the work failed, 2 the request was wrong.

128 and the number of the signal where one ended the work: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP; 141, as for
SIGPIPE, where the reader of the output has gone, as in `| head`.
"""

import argparse
import importlib
import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerastune_recipes import atomic_files, interruption, printable, standard_streams, units, yaml_files
from kerastune_recipes.errors import (
    Interrupted,
    KerastuneError,
    OutputError,
    RequestError,
    WorkError,
    listed,
    writing,
)
from kerastune_recipes.recipe import Recipe
from kerastune_recipes.reporting import wording
from kerastune_recipes.spec import catalog

if TYPE_CHECKING:
    from kerastune_recipes.reporting.report import Report
    from kerastune_recipes.studies.comparison import Comparison
    from kerastune_recipes.studies.tuned import Tuned

_RECIPE = "name of a shipped recipe, or path of a recipe or plan file"
_DATA = "folder of class folders, CSV file of path,label, tfds:NAME or demo:digits"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Arguments after `kerastune`; None takes those of the process.

    Returns:
        The exit status.

    Example:
        >>> main(["ls"])
        0
    """
    # Hides TensorFlow's pages of notices, unless the user sets the variable.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with standard_streams.watched():
            return _obey(arguments)
    except standard_streams.Unwritable as unwritable:
        return unwritable.exit_code


def _obey(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        with interruption.handled(), warnings.catch_warnings():
            # Python's own format adds the source line, which does not help in the shell.
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            return options.command(options) or 0
    except KerastuneError as error:
        print(f"kerastune: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        print(f"kerastune: interrupted.{_how_to_resume(options)}", file=sys.stderr)
        return error.exit_code if isinstance(error, Interrupted) else 128 + signal.SIGINT


def _start_keras() -> None:
    """Import Keras without the lines that TensorFlow writes to descriptor 2 before it reads its log level."""
    sys.stderr.flush()
    saved, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    try:
        importlib.import_module("keras")
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(devnull)


def _how_to_resume(options: argparse.Namespace) -> str:
    if options.command is _resume:
        return " The same command resumes it."
    if options.command in (_compare, _tune) and options.out and options.out.is_dir():
        return f" To resume: kerastune resume {options.out}"
    if options.command is not _run:
        return ""
    from kerastune_recipes.run import run_folder

    if options.out and run_folder.is_interrupted(options.out):
        return f" To resume: kerastune resume {options.out}"
    return "" if options.no_cache else " The same command resumes from the features computed so far."


def _show_warning(message: Warning | str, *_: Any) -> None:
    print(f"kerastune: warning: {printable.one_line(str(message))}", file=sys.stderr)


def _say(text: str) -> None:
    """Print one line to standard output, for people; names in it cannot steer the terminal."""
    print(printable.one_line(text))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kerastune", description="Fine-tuning recipes for Keras 3.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    ls = _command(commands, "ls", _ls, "list the shipped recipes")
    _add_json(ls)

    show = _command(commands, "show", _show, "print a recipe file")
    show.add_argument("recipe", help=_RECIPE)

    cp = _command(commands, "cp", _cp, "copy a shipped recipe to a file of your own")
    cp.add_argument("recipe", help="name of a shipped recipe")
    cp.add_argument("file", type=Path, help="the new file; it must not exist")

    validate = _command(commands, "validate", _validate, "check recipe files; all errors are named at once")
    validate.add_argument("recipe", nargs="+", help=_RECIPE)

    check = _command(commands, "check", _check, "look for what is wrong with a set of images; nothing is changed")
    check.add_argument("--data", required=True, help=_DATA)
    check.add_argument("--recipe", help="look for doubtful labels with the backbone and the head of this recipe")
    _add_overrides(check)
    _add_group_by(check)
    _add_pixel_range(check)
    check.add_argument("--html", type=Path, metavar="FILE", help="write a page with thumbnails")
    check.add_argument("--doubtful", type=Path, metavar="FILE", help="write the doubtful labels as CSV; needs --recipe")
    check.add_argument("--strict", action="store_true", help="exit with status 1 for warnings too, not only for errors")
    _add_json(check)

    plan = _command(commands, "plan", _plan, "show what a run would do and cost, without training")
    _add_request(plan)
    _add_folds(plan)
    plan.add_argument("--save", type=Path, metavar="FILE", help="write the plan as YAML, to edit and run it")
    _add_json(plan)

    run = _command(commands, "run", _run, "train a model")
    _add_request(run)
    _add_folds(run)
    run.add_argument("--out", type=Path, metavar="DIR", help="folder to write model, report and plan to")
    _add_work(run)
    again = run.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", action="store_true", help="resume the interrupted run in --out; begin it where there is none"
    )
    again.add_argument("--overwrite", action="store_true", help="replace the run in --out once the new one is done")
    _add_json(run)

    resume = _command(commands, "resume", _resume, "resume the interrupted run, comparison or search in a folder")
    resume.add_argument("folder", type=Path, metavar="DIR", help="the folder that was given as --out")
    _add_json(resume)

    launch = _command(commands, "launch", _launch, "start several workers on this machine, to try a distributed run")
    launch.add_argument("--workers", type=int, default=2, metavar="N", help="number of processes (default: 2)")
    launch.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="-- run ...",
        help="the command of every worker: -- run ... or -- resume DIR",
    )  # fmt: skip
    launch.epilog = (
        "The workers connect through ports of this machine. TensorFlow opens them on every network interface, without "
        "a password: who connects can run programs as you. Under Linux (5.7 or later) they are closed to other "
        "machines; where that fails, a warning says so: then use a firewall or a private network. Other users of this "
        "machine can always connect."
    )

    evaluate = _command(commands, "evaluate", _evaluate, "evaluate a trained model on labelled images")
    evaluate.add_argument("folder", type=Path, metavar="DIR", help="folder of a finished run")
    evaluate.add_argument("--data", required=True, help=f"{_DATA}; the test split where there is one, else all images")
    _add_group_by(evaluate)
    _add_pixel_range(evaluate)
    _add_tta(evaluate)
    _add_json(evaluate)

    predict = _command(commands, "predict", _predict, "predict the classes of images")
    predict.add_argument("folder", type=Path, metavar="DIR", help="folder of a finished run")
    predict.add_argument(
        "images", nargs="+", metavar="IMG",
        help="image files, folders with images at any depth, patterns such as 'new/*.jpg', or CSV files with a column "
        "path",
    )  # fmt: skip
    _add_pixel_range(predict)
    _add_tta(predict)
    predict.add_argument("--csv", type=Path, metavar="FILE", help="write image, class and probabilities as CSV")
    _add_json(predict)

    cache = _command(commands, "cache", _cache, "show or clear the cache of features and solved heads")
    cache.add_argument(
        "action", choices=("info", "clear"), help="info: show folder, size and content; clear: delete all"
    )
    _add_json(cache)

    compare = _command(commands, "compare", _compare, "compare recipes on the same images with the same seeds")
    compare.add_argument("recipe", nargs="+", help=_RECIPE)
    _add_data(compare)
    _add_folds(compare)
    compare.add_argument("--seeds", type=int, default=3, metavar="N", help="use the seeds 0 to N-1 (default: 3)")
    compare.add_argument(
        "--scratch", action="store_true", help="add each recipe on random weights, and from_scratch on its backbone"
    )
    compare.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write the comparison and its runs to; one in it is resumed"
    )
    _add_work(compare)
    _add_json(compare)

    tune = _command(commands, "tune", _tune, "search the fields that a recipe leaves to auto, by validation log loss")
    _add_request(tune)
    tune.add_argument(
        "--trials", type=int, default=10, metavar="N",
        help="number of trials; the first has the values of the rules (default: 10)",
    )  # fmt: skip
    tune.add_argument(
        "--out", type=Path, required=True, metavar="DIR",
        help="folder to write the best recipe and all trials to; a search in it is resumed",
    )  # fmt: skip
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
    parser.add_argument("--seed", type=_seed, default=0, help="random seed (default: 0)")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, help=_DATA)
    _add_overrides(parser)
    _add_group_by(parser)
    _add_pixel_range(parser)
    parser.add_argument(
        "--validation-split", type=_share, default="auto", metavar="SHARE",
        help="share of the training images of each class to hold out where there are no validation images, such as 0.1 "
        "(default: auto, a fifth, and at most 10,000 or ten per class)",
    )  # fmt: skip
    parser.add_argument(
        "--unlabeled", metavar="DIR",
        help="images without labels, for recipes that use them: a folder with images at any depth, or a CSV file with "
        "a column path",
    )  # fmt: skip


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="change a field of the recipe, such as backbone=VGG16 or phases.fine_tuning.fit.learning_rate=1e-3",
    )  # fmt: skip


def _add_folds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="K-fold cross-validation in place of a hold-out, and a refit on all images",
    )


def _add_group_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--group-by", type=_group_by, metavar="LEVEL_OR_COLUMN",
        help="groups of images that stay together in training or in validation: 1 for the folders inside the class "
        "folders, as in ants/patient7/1.jpg, or a column of the CSV file",
    )  # fmt: skip


def _add_pixel_range(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pixel-range", type=float, nargs=2, metavar=("LOW", "HIGH"),
        help="values of black and white in the images, such as 0 4095 in 16-bit files of a 12-bit camera (default: 0 "
        "255, in 16-bit files 0 65535; evaluate and predict take what the run was given)",
    )  # fmt: skip


def _share(text: str) -> float | str:
    return text if text == "auto" else float(text)


def _group_by(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--strategy", default="auto", help="auto, none, mirrored, multi_worker or tpu (default: auto)")
    parser.add_argument(
        "--no-cache", action="store_true", help="neither read nor write the cache of features and solved heads"
    )


def _add_tta(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tta", type=int, default=1, metavar="N",
        help="test-time augmentation: average over the image and N-1 more views of it (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--flip", choices=("none", "horizontal"), default="none",
        help="horizontal: mirror images are views too; for images that keep their class when mirrored (default: none)",
    )  # fmt: skip
    # The name of --tta in the first builds of 0.1.0.
    parser.add_argument("--views", nargs="?", const="N", help=argparse.SUPPRESS)


def _refuse_views(options: argparse.Namespace) -> None:
    if options.views is not None:
        raise RequestError(f"--views: test-time augmentation is --tta here; write --tta {options.views}.")


def _seed(text: str) -> int:
    seed = int(text) if text.isdecimal() else -1
    if not 0 <= seed < 2**32:  # the range that NumPy accepts
        raise argparse.ArgumentTypeError(f'expected a whole number from 0 to 4294967295; received "{text}"')
    return seed


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON to standard output")


def _recipe(options: argparse.Namespace) -> Recipe:
    return Recipe.load(options.recipe, **_overrides(options.overrides))


def _load_all(names: Sequence[str], overrides: dict[str, Any]) -> list[Recipe]:
    recipes: list[Recipe] = []
    problems: list[str] = []
    for name in names:
        try:
            recipes.append(Recipe.load(name, **overrides))
        except RequestError as error:
            problems += error.problems
    if problems:
        raise RequestError(*problems)
    return recipes


def _overrides(pairs: Sequence[str]) -> dict[str, Any]:
    wrong = [printable.shortened(pair) for pair in pairs if "=" not in pair]
    if wrong:
        raise RequestError(*(f"--set {pair}: write KEY=VALUE, such as backbone=VGG16." for pair in wrong))
    split = (pair.split("=", 1) for pair in pairs)
    return {key: yaml_files.parse(value, f"--set {printable.shortened(key)}") for key, value in split}


def _ls(options: argparse.Namespace) -> None:
    rows = [{"name": name, "summary": catalog.load(name).summary} for name in catalog.names()]
    if options.json:
        print(json.dumps(rows))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        _say(f"{row['name']:{width}}  {row['summary']}")


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
    _say(f"{options.file}: edit it, then kerastune run {options.file} --data ...")


def _refuse_existing(file: Path) -> None:
    if file.exists():
        raise OutputError(f"{file}: this file exists; give another name.")


def _write(file: Path, text: str) -> None:
    with writing(file, "the file"):
        atomic_files.write(file, text)


def _validate(options: argparse.Namespace) -> None:
    problems: list[str] = []
    for name in options.recipe:
        try:
            Recipe.load(name)
            _say(f"{name}: valid")
        except RequestError as error:
            problems += error.problems
    if problems:
        raise RequestError(*problems)


def _data(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the data as arguments of `Recipe.run`."""
    return {"folds": options.folds, **_images(options)}


def _images(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options that say how the images are read, as arguments of `Recipe.run`."""
    names = ("group_by", "unlabeled", "validation_split", "pixel_range")
    return {name: getattr(options, name) for name in names}


def _check(options: argparse.Namespace) -> int:
    recipe = Recipe.load(options.recipe, **_overrides(options.overrides)) if options.recipe else None
    needs_recipe = {"--set": options.overrides, "--doubtful": options.doubtful}
    problems = [
        f"{flag}: it needs --recipe, whose backbone and head look for doubtful labels."
        for flag, given in needs_recipe.items()
        if given and not recipe
    ]
    if problems:
        raise RequestError(*problems)
    if recipe:
        _start_keras()
    from kerastune_recipes.checking.check import check

    checked = check(
        options.data,
        recipe,
        group_by=options.group_by,
        pixel_range=options.pixel_range,
        verbose=not options.json,
    )
    if options.html:
        with writing(options.html.parent, "the page"):
            checked.to_html(options.html)
    if options.doubtful:
        with writing(options.doubtful.parent, "the doubtful labels"):
            atomic_files.write(options.doubtful, checked.doubtful_labels())
    print(json.dumps(checked.record, indent=2) if options.json else checked)
    return int(checked.has("error", *(["warning"] if options.strict else [])))


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
        _say(f"{options.save}: edit it, then kerastune run {options.save} --data {options.data}")
        return
    print(recipe.describe(options.data, seed=options.seed, **_data(options)), end="")


def _run(options: argparse.Namespace) -> None:
    recipe = _recipe(options)
    if not options.out:
        print("kerastune: without --out DIR, neither the model nor its report is saved.", file=sys.stderr)
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

    if strategies.reports_to_user(options.strategy):
        _print_report(report, options.out, options.json)


def _print_report(report: "Report", folder: Path | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.record))
        return
    print(report)
    if folder:
        _say(f"  written to {folder}: report.html, model.keras and the rest")


def _resume(options: argparse.Namespace) -> None:
    _start_keras()
    from kerastune_recipes.devices import strategies
    from kerastune_recipes.reporting.report import Report
    from kerastune_recipes.studies.comparison import Comparison
    from kerastune_recipes.studies.resume import resume

    result = resume(options.folder)
    if isinstance(result, Report):
        if strategies.reports_to_user("auto"):
            _print_report(result, options.folder, options.json)
    elif isinstance(result, Comparison):
        _print_comparison(result, options.folder, options.json)
    else:
        _print_tuned(result, options.folder, "DATA", options.json)


def _launch(options: argparse.Namespace) -> int:
    from kerastune_recipes.devices.launch import launch

    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    problems = []
    if options.workers < 2:
        problems.append(f"--workers: expected 2 or more; received {options.workers}.")
    if words[:1] not in (["run"], ["resume"]):
        received = f"received {words[0]}" if words else "received nothing"
        problems.append(f"launch: write run or resume after --, such as -- run small_similar --data DIR; {received}.")
    if problems:
        raise RequestError(*problems)
    _parser().parse_args(words)  # reports errors once, not from every worker
    return launch([sys.executable, "-m", "kerastune_recipes", *words], options.workers)


def _evaluate(options: argparse.Namespace) -> None:
    _refuse_views(options)
    _start_keras()
    from kerastune_recipes.evaluation import saved_model
    from kerastune_recipes.evaluation.predict import evaluate

    scores = evaluate(
        saved_model.load(options.folder),
        options.data,
        options.group_by,
        options.tta,
        options.flip,
        options.pixel_range,
    )
    if options.json:
        print(json.dumps(scores))
        return
    interval = wording.interval(scores["accuracy_ci95"], scores.get("groups"))
    print(
        f"{scores['images']} images: accuracy {scores['accuracy']:.1%} (95% interval {interval}), balanced accuracy "
        f"{scores['balanced_accuracy']:.1%}, log loss {scores['log_loss']:.3f}, ECE {scores['ece']:.3f}"
    )
    alone = scores["resizing"]
    print(
        f"model.keras by itself, on {alone['images']} of these images as they are stored: probabilities differ by "
        f"{alone['largest_difference']:.3f} at most, {alone['changed_answers']:.0%} of the answers change"
    )


def _predict(options: argparse.Namespace) -> None:
    _refuse_views(options)
    _start_keras()
    from kerastune_recipes.data.sources.open_to_predict import open_to_predict
    from kerastune_recipes.evaluation import saved_model
    from kerastune_recipes.evaluation.predict import predict
    from kerastune_recipes.evaluation.predictions import Predictions

    if options.csv:
        _refuse_existing(options.csv)
    saved = saved_model.load(options.folder)
    stated = saved.pixel_range if options.pixel_range is None else options.pixel_range
    pictures = open_to_predict(options.images, stated)
    probabilities = predict(saved.model, pictures, options.tta, options.flip)
    predictions = Predictions(tuple(pictures.names), saved.class_names, probabilities)
    if options.csv:
        _write(options.csv, predictions.to_csv())
    if options.json:
        print(json.dumps(list(predictions.rows())))
    elif options.csv:
        _say(f"{options.csv}: {len(pictures)} images")
    else:
        for row in predictions.rows():
            _say(f"{row['image']}  {row['class']}  {row['probability']:.1%}")


def _cache(options: argparse.Namespace) -> None:
    from kerastune_recipes.features import cache

    existing = cache.existing_cache()
    if options.action == "clear":
        existing.clear()
    networks = existing.info()
    total, limit = sum(info.size for info in networks), cache.limit()
    if options.json:
        rows = [{"network": info.about, "rows": info.rows, "bytes": info.size} for info in networks]
        print(json.dumps({"folder": str(existing.folder), "limit": limit, "bytes": total, "networks": rows}))
        return
    _say(f"{existing.folder}: {units.format_bytes(total)} of at most {units.format_bytes(limit)}")
    for info in networks:
        _say(f"  {info.about}: {info.rows} rows, {units.format_bytes(info.size)}")


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
    _print_comparison(comparison, options.out, options.json)


def _print_comparison(comparison: "Comparison", folder: Path | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps(comparison.record))
    else:
        print(comparison)
        if folder:
            _say(f"written to {folder}: comparison.html, comparison.json, comparison.svg and every run")
    if comparison.failures:
        failed = [failure.recipe for failure in comparison.failures]
        raise WorkError(f"{listed(failed)}: failed; see the table above.")


def _tune(options: argparse.Namespace) -> None:
    recipe = _recipe(options)
    _start_keras()
    from kerastune_recipes.studies.tune import tune

    tuned = tune(
        recipe,
        options.data,
        trials=options.trials,
        seed=options.seed,
        out=options.out,
        strategy=options.strategy,
        cache=not options.no_cache,
        **_images(options),
    )
    _print_tuned(tuned, options.out, options.data, options.json)


def _print_tuned(tuned: "Tuned", folder: Path, data: str, as_json: bool) -> None:
    from kerastune_recipes.studies.tuned import RECIPE

    if as_json:
        print(json.dumps(tuned.record))
        return
    print(tuned)
    _say(f"written to {folder}; to run the result: kerastune run {folder / RECIPE} --data {data}")

"""The rule by which held-out images keep a trained phase, and what such a phase ends with.

    KERAS_HOME=... python -m benchmarks.decisions.gate DATA_FOLDER... --kept FOLDER [--backbones MobileNet_0.25]

A data folder holds train/ with a folder for each class; nothing else is read. As in fine_tuning.py some images of each
class are given to a run of `small_similar` or `small_dissimilar`, which holds out a fifth of them, and up to 600 others
judge the result: the solved head alone, or the trained phase, both refitted on all images of the run. The
features of all these images before and after the phase are saved in a folder, so that rules can be tried without
training. Writes results/gate.jsonl and pages/gate.md.
"""

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from scipy.special import softmax

from benchmarks.lib import measure, pages, results
from benchmarks.lib.images import LIKE_IMAGENET, divided
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe
from kerastune_recipes.data.split_images import TEST, TRAIN, VALIDATION
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.features import cache
from kerastune_recipes.heads import solve
from kerastune_recipes.heads.calibration import Calibrator
from kerastune_recipes.heads.rows import LabelledFeatures
from kerastune_recipes.model.network import assemble
from kerastune_recipes.planning.plan import Plan, SolvePlan
from kerastune_recipes.progress import Display
from kerastune_recipes.run import solve_phase
from kerastune_recipes.run.context import RunContext
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.prepare import decode, prepare
from kerastune_recipes.training import fit as training

# Loss in nats from which a choice counts as harm.
HARM = 0.02
RULES = {
    "always": lambda gains: True,
    "any gain": lambda gains: gains.sum() > 0,
    "one standard error": lambda gains: gains.mean() > standard_error(gains),
    "1 nat": lambda gains: gains.sum() > 1,
    "2 nats": lambda gains: gains.sum() > 2,
    "less than 1 nat lost": lambda gains: gains.sum() > -1,
    "one standard error and 2 nats": lambda gains: gains.mean() > standard_error(gains) and gains.sum() > 2,
}
# Labels, features and probabilities of all images, by stage and split.
Arrays = dict[str, np.ndarray]


def standard_error(gains: np.ndarray) -> float:
    """Return the standard error of the mean of gains (n,)."""
    return float(gains.std(ddof=1) / np.sqrt(len(gains)))


def stated(data: Path, backbone: str, size: int) -> Recipe:
    """Return the recipe for few images of a set."""
    name = "small_similar" if data.name in LIKE_IMAGENET else "small_dissimilar"
    return Recipe.from_name(name, **{"backbone.name": backbone, "backbone.image_size": size})


def trained(data: Path, each: str, backbone: str, size: int, seed: int) -> Arrays:
    """Train a phase, and return labels and features of all images before and after it, by split."""
    recipe = stated(data, backbone, size)
    images = divided(data, each, seed).replace({"split": {"validation": "test"}})
    prepared = prepare(recipe.name, recipe.content, images, RunOptions(seed=seed))
    plan, display = prepared.plan, Display(visible=False)
    with cache.open_cache(False) as opened:
        network = assemble(plan, prepared.facts, *prepared.networks)
        context = RunContext(
            plan=plan,
            facts=prepared.facts.up_to(plan.features.taps),
            network=network,
            images=decode(prepared.dataset, plan, display),
            cache=opened,
            seed=seed,
            display=display,
            callbacks=(),
        )
        found: Arrays = {f"labels {split}": images.labels for split, images in context.images.items()}
        _, found["probabilities before"] = solve_phase.solve(context, plan.phases[0].name, solving(plan))

        def look(stage: str) -> None:
            for split in context.images:
                found[f"{stage} {split}"] = context.bank().features(split).rows[0]

        look("before")
        seen = context.images[TRAIN]
        fit = plan.phases[1].fit
        assert fit is not None  # so are both recipes
        options = training.FitOptions(seed)
        training.fit(network, context.facts, "fine_tuning", fit, (seen.pixels, seen.labels), None, options)
        look("after")
        for split in (VALIDATION, TEST):
            found[f"probabilities after {split}"] = context.predict_by_features(split)
    return found


def losses(probabilities: np.ndarray, labels: np.ndarray, fitted: bool) -> tuple[np.ndarray, float]:
    """Return the log loss (n,) of each image, nats, and the temperature: fitted on these images, or 1."""
    calibrator = Calibrator(labels, np.ones(len(labels)), offsets=False)
    logits = np.log(np.maximum(probabilities, 1e-30))
    temperature = calibrator.fit(logits)[0].temperature if fitted else 1.0
    return calibrator.losses(logits / temperature), temperature


def outcomes(kept: Arrays, plan: SolvePlan) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the gain on each held-out image that the gate sees, and the figures of each ending on the judging images.

    Args:
        kept: Result of `trained`.
        plan: How heads are solved.
    """
    truth, held, seen = (kept[f"labels {split}"] for split in (TEST, VALIDATION, TRAIN))
    labels = np.concatenate([seen, held])

    def every(stage: str) -> np.ndarray:
        return np.concatenate([kept[f"{stage} {split}"] for split in (TRAIN, VALIDATION)])[None]

    def figures(probabilities: np.ndarray) -> dict[str, float]:
        found = metrics.summary(probabilities, truth)
        oracle, temperature = losses(probabilities, truth, fitted=True)
        return {
            "accuracy": found["accuracy"],
            "log_loss": found["log_loss"],
            "ece": found["ece"],
            "oracle": float(oracle.mean()),
            "temperature": temperature,
        }

    def on_all(stage: str) -> dict[str, float]:
        solved = solve.solve(plan, LabelledFeatures(every(stage), labels), seed=0)
        return figures(solved.probabilities(kept[f"{stage} {TEST}"]))

    again = solve.solve(plan, LabelledFeatures(kept[f"after {TRAIN}"][None], seen), seed=0)
    by_held = [kept[f"probabilities after {VALIDATION}"], again.probabilities(kept[f"after {VALIDATION}"])]
    (as_trained, temperature), (solved_again, temperature_again) = (losses(each, held, fitted=True) for each in by_held)
    before, _ = losses(kept["probabilities before"], held, fitted=False)
    best = min(as_trained, solved_again, key=np.mean)
    rows = {
        "solved head, on all": on_all("before"),
        "as trained": figures(_with_temperature(kept[f"probabilities after {TEST}"], temperature)),
        "head solved again": figures(_with_temperature(again.probabilities(kept[f"after {TEST}"]), temperature_again)),
        "head solved again on all": on_all("after"),
    }
    return before - best, pd.DataFrame(rows).T


def _with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    return softmax(np.log(np.maximum(probabilities, 1e-30)) / temperature, axis=1)


def solve_plan(data: Path, each: str, backbone: str, size: int, seed: int) -> SolvePlan:
    """Return how the heads of a run are solved."""
    recipe = stated(data, backbone, size)
    return solving(recipe.plan(divided(data, each, seed).replace({"split": {"validation": "test"}}), seed=seed))


def solving(plan: Plan) -> SolvePlan:
    """Return how the head of a plan is solved."""
    plan_of_head = plan.phases[0].solve
    assert plan_of_head is not None  # so are both recipes
    return plan_of_head


def by_rules(gains: np.ndarray, after: pd.DataFrame, images: int) -> list[dict[str, Any]]:
    """Return for each rule the gain over the solved head, and whether it does harm."""
    alone, kept = after.loc["solved head, on all"], after.loc["head solved again on all"]
    shares = np.array([alone["accuracy"], kept["accuracy"]])
    error = np.sqrt((shares * (1 - shares)).sum() / images)
    found = []
    for rule, keeps in RULES.items():
        keep = bool(keeps(gains))
        nats, points = keep * (alone["log_loss"] - kept["log_loss"]), keep * (kept["accuracy"] - alone["accuracy"])
        found.append(
            {
                "rule": rule,
                "kept": keep,
                "nats": nats,
                "points": 100 * points,
                "harm": nats < -HARM,
                "worse": points < -error,
            }
        )
    return found


def main() -> None:
    """Train the missing phases, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--kept", type=Path, required=True, help="folder for the features of the images")
    parser.add_argument("--each", nargs="+", default=["4", "10", "30", "all"], help="images of a class, or all")
    parser.add_argument("--backbones", nargs="+", default=["MobileNet_0.25", "MobileNetV2"])
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--train", action="store_true", help="train what is missing; otherwise it is left out")
    options = parser.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    by_rule: list[Row] = []
    by_ending = []
    for backbone in options.backbones:
        for each in options.each:
            for data in options.data:
                for seed in range(options.seeds):
                    file = options.kept / f"{data.name}_{each}_{backbone}_{options.image_size}_{seed}.npz"
                    cell = (data, each, backbone, options.image_size, seed)
                    if options.train and not file.is_file():
                        np.savez(file, allow_pickle=False, **trained(*cell))
                        print(file.name, flush=True)
                    if not file.is_file():
                        continue
                    with np.load(file) as found:
                        kept = dict(found)
                    gains, after = outcomes(kept, solve_plan(*cell))
                    where = {"backbone": backbone, "each": each, "data": data.name, "seed": seed}
                    by_ending.append(after.rename_axis("ending").reset_index().assign(**where))
                    by_rule += [where | rule for rule in by_rules(gains, after, len(kept[f"labels {TEST}"]))]
    names = " ".join(data.name for data in options.data)
    command = f"python -m benchmarks.decisions.gate {names} --train --kept FOLDER --seeds {options.seeds}"
    runs = int(pd.DataFrame(by_rule).groupby("rule").size().max())
    results.replace("gate", "rules", rule_rows(by_rule))
    results.replace("gate", "endings", ending_rows(pd.concat(by_ending)))
    results.replace("gate", results.MADE, [{**measure.made(command), "runs": runs}])
    print(pages.write_page("gate"))


def rule_rows(by_rule: list[Row]) -> list[Row]:
    """Return the means of each rule by network and images a class, and over all runs."""
    table, figures = pd.DataFrame(by_rule), ["kept", "nats", "points", "harm", "worse"]
    means = table.groupby(["backbone", "each", "rule"], sort=False)[figures].mean().reset_index()
    whole = table.groupby("rule", sort=False)[figures].mean().reset_index()
    return [*_rows(means), *_rows(whole.assign(backbone="both", each="all of them"))]


def ending_rows(by_ending: pd.DataFrame) -> list[Row]:
    """Return the means of each ending over all runs, and its log loss with few images and with all."""
    grouped = by_ending.groupby("ending", sort=False)
    means = grouped[["accuracy", "log_loss", "oracle", "temperature", "ece"]].mean()
    means = means.rename(columns={"oracle": "log_loss_best_temperature", "temperature": "factor"})
    of_all = by_ending["each"] == "all"
    for name, part in (("log_loss_few", by_ending[~of_all]), ("log_loss_all", by_ending[of_all])):
        means[name] = part.groupby("ending", sort=False)["log_loss"].mean()
    return _rows(means.reset_index())


def _rows(table: pd.DataFrame) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


if __name__ == "__main__":
    main()

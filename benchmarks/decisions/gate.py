"""By which rule held-out images should keep a phase that trained, and what is to be made of it then.

    KERAS_HOME=... python benchmarks/gate.py DATA_FOLDER... --kept FOLDER [--backbones MobileNet_0.25 MobileNetV2]

A data folder holds train/ with a folder for each class; nothing else is read. As in fine_tuning.py some images of each
class are given to a run of `small_similar` or `small_dissimilar`, which holds out a fifth of them as ever, and at most
600 others judge what would come of it: the solved head alone, or what is made of the phase, both refitted on all images
of the run. What the network makes of all these images before and behind the phase is kept in a folder, so that rules
can be tried without training. The page is benchmarks/gate.md.
"""

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from fine_tuning import LIKE_IMAGENET, divided
from reporting import versions
from scipy.special import softmax

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
from kerastune_recipes.run import context, solve_phase
from kerastune_recipes.run.context import RunContext
from kerastune_recipes.run.prepare import decoded, prepare
from kerastune_recipes.training import fit as training

# From a loss of this on, nats, a choice counts as harm.
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
Decision = dict[str, np.ndarray]


def standard_error(gains: np.ndarray) -> float:
    """Return that of the mean of gains (n,)."""
    return float(gains.std(ddof=1) / np.sqrt(len(gains)))


def stated(data: Path, backbone: str, size: int) -> Recipe:
    """Return the recipe for few images of a set."""
    name = "small_similar" if data.name in LIKE_IMAGENET else "small_dissimilar"
    return Recipe.from_name(name, **{"backbone.name": backbone, "backbone.image_size": size})


def trained(data: Path, each: str, backbone: str, size: int, seed: int) -> Decision:
    """Train a phase, and return labels and features of all images before and behind it, by split."""
    recipe = stated(data, backbone, size)
    images = divided(data, each, seed).replace({"split": {"validation": "test"}})
    prepared = prepare(recipe.name, recipe.content, images, seed=seed)
    plan, display = prepared.plan, Display(visible=False)
    with cache.open_cache(False) as store:
        network = assemble(plan, prepared.facts, *prepared.networks)
        bench = RunContext(
            plan=plan,
            facts=prepared.facts.up_to(plan.features.taps),
            network=network,
            images=decoded(prepared.dataset, plan, display),
            store=store,
            seed=seed,
            display=display,
            callbacks=(),
        )
        found: Decision = {f"labels {split}": images.labels for split, images in bench.images.items()}
        _, found["probabilities before"] = solve_phase.solve(bench, plan.phases[0].name, solving(plan))

        def look(stage: str) -> None:
            for split in bench.images:
                found[f"{stage} {split}"] = bench.frozen().features(split).rows[0]

        look("before")
        seen = bench.images[TRAIN]
        fit = plan.phases[1].fit
        assert fit is not None  # so are both recipes
        options = training.FitOptions(seed)
        training.fit(network, bench.facts, "fine_tuning", fit, (seen.pixels, seen.labels), None, options)
        look("after")
        for split in (VALIDATION, TEST):
            found[f"probabilities after {split}"] = context.by_features(bench, split)
    return found


def losses(probabilities: np.ndarray, labels: np.ndarray, fitted: bool) -> tuple[np.ndarray, float]:
    """Return the log loss (n,) of each image, nats, and the temperature, which is found on these where that is said."""
    calibrator = Calibrator(labels, np.ones(len(labels)), offsets=False)
    logits = np.log(np.maximum(probabilities, 1e-30))
    temperature = calibrator.fit(logits)[0].temperature if fitted else 1.0
    return calibrator.losses(logits / temperature), temperature


def outcomes(kept: Decision, plan: SolvePlan) -> tuple[np.ndarray, pd.DataFrame]:
    """Return what the gate sees gained on each held-out image, and what would come of it on the judges.

    Args:
        kept: From `trained`.
        plan: How heads are solved.
    """
    truth, held, seen = (kept[f"labels {split}"] for split in (TEST, VALIDATION, TRAIN))
    labels = np.concatenate([seen, held])

    def every(stage: str) -> np.ndarray:
        return np.concatenate([kept[f"{stage} {split}"] for split in (TRAIN, VALIDATION)])[None]

    def told(probabilities: np.ndarray) -> dict[str, float]:
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
        return told(solved.probabilities(kept[f"{stage} {TEST}"]))

    again = solve.solve(plan, LabelledFeatures(kept[f"after {TRAIN}"][None], seen), seed=0)
    by_held = [kept[f"probabilities after {VALIDATION}"], again.probabilities(kept[f"after {VALIDATION}"])]
    (as_trained, apply_temperature), (solved_again, cold) = (losses(each, held, fitted=True) for each in by_held)
    before, _ = losses(kept["probabilities before"], held, fitted=False)
    best = min(as_trained, solved_again, key=np.mean)
    rows = {
        "solved head, on all": on_all("before"),
        "as trained": told(_cooled(kept[f"probabilities after {TEST}"], apply_temperature)),
        "head solved again": told(_cooled(again.probabilities(kept[f"after {TEST}"]), cold)),
        "head solved again on all": on_all("after"),
    }
    return before - best, pd.DataFrame(rows).T


def _cooled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
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


def ruled(gains: np.ndarray, after: pd.DataFrame, images: int) -> list[dict[str, Any]]:
    """Return what each rule makes of a phase: what is gained over the solved head, and whether that is harm."""
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
    """Train what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--kept", type=Path, required=True, help="folder for what the network makes of the images")
    parser.add_argument("--each", nargs="+", default=["4", "10", "30", "all"], help="images of a class, or all")
    parser.add_argument("--backbones", nargs="+", default=["MobileNet_0.25", "MobileNetV2"])
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--train", action="store_true", help="train what is missing; otherwise it is left out")
    options = parser.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    by_rule, by_way = [], []
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
                    by_way.append(after.rename_axis("way").reset_index().assign(**where))
                    by_rule += [where | rule for rule in ruled(gains, after, len(kept[f"labels {TEST}"]))]
    Path(__file__).with_suffix(".md").write_text(page(by_rule, pd.concat(by_way), options), encoding="utf-8")


def page(by_rule: list[dict[str, Any]], by_way: pd.DataFrame, options: argparse.Namespace) -> str:
    """Return the whole text."""
    by = ["backbone", "each"]
    table = pd.DataFrame(by_rule)
    runs = table.groupby("rule").size().max()
    means = table.groupby([*by, "rule"], sort=False)[["kept", "nats", "points", "harm", "worse"]].mean()
    over_all = table.groupby("rule", sort=False)[["kept", "nats", "points", "harm", "worse"]].mean()
    groups = [(f"{name} | {images}", group) for (name, images), group in means.groupby(level=by, sort=False)]
    rules = [
        f"| {which} | {one.rule} | {one.kept:.0%} | {one.nats:+.3f} | {one.points:+.2f} | {one.harm:.0%} "
        f"| {one.worse:.0%} |"
        for which, group in [*groups, ("both | all of them", over_all)]
        for one in group.reset_index().itertuples()
    ]
    ways = by_way.groupby("way", sort=False)[["accuracy", "log_loss", "oracle", "temperature", "ece"]].mean()
    small = by_way[by_way["each"] != "all"].groupby("way", sort=False)["log_loss"].mean()
    large = by_way[by_way["each"] == "all"].groupby("way", sort=False)["log_loss"].mean()
    made = [
        f"| {one.Index} | {one.accuracy:.1%} | {one.log_loss:.3f} | {small.get(one.Index, np.nan):.3f} "
        f"| {large.get(one.Index, np.nan):.3f} | {one.oracle:.3f} | {one.temperature:.2f} | {one.ece:.3f} |"
        for one in ways.itertuples()
    ]
    names = " ".join(data.name for data in options.data)
    return (
        "\n\n".join(
            [
                "# What is made of a phase that trained, and whether",
                f"Phases of `small_similar` and `small_dissimilar` at {options.image_size} px, {runs} runs: "
                "networks, images a class where there are so many, data sets and seeds. A fifth of the images of a run "
                "is held out, and is what the gate sees; up to 600 other training images judge what comes of it. "
                f"What was not trained, by `--backbones` and `--each`, is left out. {versions()}. Made by:",
                f"    python benchmarks/gate.py {names} --train --kept FOLDER --seeds {options.seeds}",
                "## By which rule a phase is kept",
                "What held-out images gain over the solved head by what training made of the phase, or by the head "
                "solved again behind it, decides. A phase that is kept ends with its head solved again on all images, "
                "one that is not with the solved head on all images. Gained over the latter, means over the runs: nats "
                f"of log loss, points of accuracy; how often there are {HARM} nats less, and how often the accuracy is "
                "worse by more than a standard error of the difference.",
                "\n".join(
                    [
                        "| network | images a class | kept, if it gains | kept | nats | points | harm | worse |",
                        "|---|---|---|---|---|---|---|---|",
                        *rules,
                    ]
                ),
                "## What a phase ends with",
                "Means over the runs, on the judges: accuracy; log loss with the temperature found in the run, for "
                "all runs, for those with few images and those with all; log loss with the temperature that would have "
                "been best, and by which factor that is another; calibration error.",
                "\n".join(
                    [
                        "| what | accuracy | log loss | few images | all images | best temperature | factor | ECE |",
                        "|---|---|---|---|---|---|---|---|",
                        *made,
                    ]
                ),
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    main()

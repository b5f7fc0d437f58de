"""Reads changed recipes, plans, overrides, reports and labels, and counts what comes of them.

    python -m fuzz.text --count 20000
    python -m fuzz.text --seconds 1800 --seed 7

Each is a valid object, an error of plain sentences, or a fault. A recipe that is valid is planned and described for
small facts, written, and read back equal. Faults are named by seed and number; `--seed S --only N` reads that one
again.
"""

import copy
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import small_facts
from fuzz import runner
from fuzz.runner import Judged

from kerastune_recipes import printable, yaml_files
from kerastune_recipes.backbones.facts import PretrainedClassifierFacts
from kerastune_recipes.errors import KerastuneError, RequestError
from kerastune_recipes.evaluation import saved_model
from kerastune_recipes.planning.check import check
from kerastune_recipes.planning.plan import Plan, is_plan
from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.reporting import plan_text
from kerastune_recipes.spec import catalog
from kerastune_recipes.spec.recipe_spec import RecipeSpec
from kerastune_recipes.studies.comparison import JudgedFigures, standalone_cost

# A text of some kilobytes that takes longer stands for one that never ends. Seconds of computing, as other programs may
# slow this one down; and seconds that pass, for one that waits.
MOST_SECONDS, LONGEST_WAIT = 10, 120
# Characters of a sentence; the longest lists all backbones.
LONGEST_SENTENCE = 3000
# How often each kind is made: recipes and plans most.
KINDS = {"recipe": 9, "plan": 7, "override": 2, "report": 1, "labels": 1}
VALID, REFUSED = "valid", "refused"
FAULTS = ("traceback", "no sentence", "not read back", "hang")
OUTCOMES = (VALID, REFUSED, *FAULTS)

# What is put into texts.
TOKENS = (
    "2026-99-99", "2026-01-01", "1:30", "010", "0x" + "f" * 5000, "1" + "0" * 5000, "1e999", "-1", "0", "2", "1e-3",
    ".inf", "-.inf", ".nan", "~", "null", "yes", "true", "auto", "9" * 19, "-0.0", "1_000", "0b1", "=", "<<: *a", "&a",
    "*a", "&a [*a]", "!!python/name:os.system", "!!binary AAAA", "!!set {a}", "!!timestamp 2026-01-01", "!!int x", "!a",
    "---", "...", "%YAML 1.1", "\t", "\n", "\r\n", "  ", "\x00", "\x1b[2J", "\x85", "\u2028", "\u202e", "\ufeff",
    "[", "]", "{", "}", "[" * 200, "{a: " * 60, "- " * 100, "? ", ": ", ", ", "#", "'", '"', "|", ">", "\\", "@", "`",
    "name: ", "phases:\n", "- {name: a, solve: {}}\n", "a" * 3000, "[b]", "</script>", ":bee:", "é", "🐝",
)  # fmt: skip
# What values are replaced with.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 8, 100, 4096, 2**31, 2**63, 10**30, 10**9, 0.0, 0.5, 1.0, -0.5, 1e-300, 1e300,
    float("inf"), float("nan"), "", " ", "auto", "none", "fresh", "find", "last", "all", "10%", "1 epoch", "3 steps",
    "100000 epochs", "1000000000 steps", "9" * 400 + " epochs", "1e3", "010", "2026-01-01", "head", "backbone",
    "stage1", "backbone/[a-", "backbone/*" + "*a" * 30, "../x", "hub:", "hub:a\x00", "a\x1b[2J", "a\n", "\u202ea",
    "a" * 300, [], {}, [[]], [1], ["a"], ["a"] * 1500, {"a": 1}, {"name": "a"}, [["head", 1.0]], [["head", "frozen"]],
    {"name": "focal"},
)  # fmt: skip

REPORT = {
    "recipe": "small_similar",
    "data": {"source": "photos", "train": 10, "validation": 4, "classes": ["ants", "bees"]},
    "phases": [
        {"name": "solved", "kind": "solve", "trainable_parameters": 30, "features_computed": 14},
        {"name": "fitted", "kind": "fit", "trainable_parameters": 700},
    ],
    "cost": {
        "seconds_total": 20.0,
        "seconds_in_phases": 5.0,
        "seconds_one_forward_pass": 1.4,
        "forward_equivalents": 3.6,
    },
}


IMAGES = replace(small_facts.images(), train=(300, 200), validation=(75, 50), unlabeled=40)


class HangError(BaseException):
    """A text takes too long."""


@dataclass(frozen=True)
class Case:
    """One changed text.

    Args:
        kind: One of `KINDS`.
        key: Dotted key of an override; else empty.
        text: The text.
    """

    kind: str
    key: str
    text: str


def recipes() -> dict[str, str]:
    """Return the texts of the shipped recipes, with stages of the network of `small_facts`."""
    texts = {name: catalog.text(name) for name in catalog.names()}
    return {name: text.replace("stage3", "stage1").replace("stage4", "stage2") for name, text in texts.items()}


def plans() -> dict[str, str]:
    """Return plans of the shipped recipes that can be planned for small facts."""
    found = {}
    for name, text in recipes().items():
        try:
            found[name] = yaml_files.dump(planned(RecipeSpec.from_data(yaml_files.parse(text, name), name)).to_data())
        except RequestError:  # such as a recipe for more classes or stages
            continue
    return found


def facts_for(content: RecipeSpec | Plan) -> Any:
    """Return facts of small networks under the names that a recipe or plan asks for."""
    classifier = PretrainedClassifierFacts(classes=4, names=("ant", "bee", "wasp", "fly"))
    first, *others = (
        replace(small_facts.network(), name=each.name, weights=each.weights, pretrained_classifier=classifier)
        for each in (content.backbone, *(content.ensemble or ()))
    )
    return replace(first, companions=tuple(others))


def planned(spec: RecipeSpec) -> Plan:
    """Plan a recipe for small facts."""
    return resolve("mine", spec, IMAGES, facts_for(spec))


def case(seed: int, number: int, recipe_texts: dict[str, str], plan_texts: dict[str, str]) -> Case:
    """Make a changed text; the same seed and number give the same one."""
    chosen = random.Random(f"{seed} {number}")
    kind = chosen.choices(list(KINDS), list(KINDS.values()))[0]
    if kind == "override":
        return override_case(chosen)
    if kind == "labels":
        return Case(kind, "", edited("ants\nbees\nwasps\n", "", chosen))
    texts = {"recipe": recipe_texts, "plan": plan_texts, "report": {"report": json.dumps(REPORT)}}[kind]
    text, other = (chosen.choice(list(texts.values())) for _ in range(2))
    if chosen.random() < 0.7:
        data = json.loads(text) if kind == "report" else yaml_files.parse(text, kind)
        for _ in range(chosen.choice((1, 1, 1, 2, 3))):
            data = replaced(data, chosen)
        text = json.dumps(data) if kind == "report" else yaml_files.dump(data)
    if chosen.random() < 0.5:
        text = edited(text, other, chosen)
    return Case(kind, "", text)


def override_case(chosen: random.Random) -> Case:
    name = chosen.choice(("small_similar", "gradual_unfreeze", "cotrain", "reuse_head"))
    data = yaml_files.parse(catalog.text(name), name)
    steps: list[str] = []
    while isinstance(data, dict | list) and data and (len(steps) < 2 or chosen.random() < 0.8):
        step = chosen.choice(list(data) if isinstance(data, dict) else range(len(data)))
        data = data[step]
        steps.append(str(data["name"]) if isinstance(data, dict) and "name" in data and steps else str(step))
    key = ".".join(steps)
    if chosen.random() < 0.3:
        key = edited(key, "phases.0.²..", chosen)
    value = chosen.choice((chosen.choice(VALUES), like(data, chosen)))
    text = yaml_files.dump(value) if chosen.random() < 0.8 else chosen.choice(TOKENS)
    return Case("override", f"{name} {key}", text)


def like(value: Any, chosen: random.Random) -> Any:
    """Return a number near another, or any other value as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return copy.deepcopy(value)
    return chosen.choice((value, 2 * value, value + 1, value - 1, value / 2))


def edited(text: str, other: str, chosen: random.Random) -> str:
    """Change a text at one to four places, as typing, copying and damage do.

    Args:
        text: The text.
        other: A text whose end may take the place of its own.
        chosen: Makes the choices.
    """
    for _ in range(chosen.choice((1, 1, 2, 4))):
        start = chosen.randrange(len(text) + 1)
        end = start + chosen.choice((0, 0, 1, 1, 5, 40))
        lines = text.splitlines(keepends=True)
        line = chosen.choice(lines) if lines else ""
        change = chosen.choice(("token", "cut", "character", "line", "indent", "end", "stop", "twice"))
        if change == "token":
            text = text[:start] + chosen.choice(TOKENS) + text[end:]
        elif change == "cut":
            text = text[:start] + text[end:]
        elif change == "character":
            text = text[:start] + chr(chosen.randrange(chosen.choice((128, 256, 0x3000)))) + text[end:]
        elif change == "line":
            text = text.replace(line, chosen.choice(("", line + line)), 1)
        elif change == "indent":
            text = text.replace(line, chosen.choice(("  ", "\t", "    ")) + line, 1)
        elif change == "end":
            text = text[:start] + other[chosen.randrange(len(other) + 1) :]
        else:
            text = text[:start] if change == "stop" else text + text
    return text


def replaced(data: Any, chosen: random.Random) -> Any:
    """Return data with one part changed: replaced, removed, doubled, renamed or moved."""
    data = copy.deepcopy(data)
    places: list[tuple[Any, Any]] = []
    waiting = [data]
    while waiting:
        holder = waiting.pop()
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            places.append((holder, key))
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
    if not places:
        return chosen.choice(VALUES)
    holder, key = chosen.choice(places)
    change = chosen.choice(("value", "value", "value", "like", "like", "move", "remove", "double", "rename"))
    if change == "value":
        holder[key] = copy.deepcopy(chosen.choice(VALUES))
    elif change == "like":
        holder[key] = like(holder[key], chosen)
    elif change == "move":
        other, its = chosen.choice(places)
        holder[key] = copy.deepcopy(other[its])
    elif change == "remove":
        del holder[key]
    elif change == "double" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        word = chosen.choice(("name", "fit", "nmae", "1", "no", "x" * 80, "<b>", "a\x1b"))
        if isinstance(holder, dict):
            holder[word] = holder.pop(key)
    return data


def outcome(made: Case) -> tuple[str, str]:
    """Return what came of a text, and what was wrong with it."""
    try:
        READERS[made.kind](made)
    except RequestError as error:
        wrong = no_sentences(error)
        return ("no sentence", wrong) if wrong else (REFUSED, "")
    except HangError:
        return "hang", "it took too long"
    except AssertionError as error:
        return "not read back", str(error)
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {error}"
    return VALID, ""


def no_sentences(error: KerastuneError, longest: int = LONGEST_SENTENCE) -> str:
    """Return what is wrong with the text of an error, or an empty text."""
    lines = str(error).split("\n")
    if not error.problems or len(lines) != len(error.problems) + (len(error.problems) > 1):
        return f"{len(error.problems)} problems on {len(lines)} lines"
    for line in lines if len(lines) == 1 else lines[1:]:
        if printable.unsafe([line]) or len(line) > longest or not line.endswith((".", "?")):
            return line
    return ""


def _read_recipe(made: Case) -> None:
    data = yaml_files.parse(made.text, "mine.yaml")
    if is_plan(data):
        _check_plan(Plan.from_data(data, "mine.yaml"))
    else:
        _check_spec(catalog.parse(data, "mine.yaml"))


def _read_override(made: Case) -> None:
    name, _, key = made.key.partition(" ")
    _check_spec(catalog.load(name, {key: yaml_files.parse(made.text, f"--set {printable.shortened(key)}")}))


def _check_spec(spec: RecipeSpec) -> None:
    text = yaml_files.dump(spec.to_data())
    assert RecipeSpec.from_data(yaml_files.parse(text, "written"), "written") == spec, text
    _check_plan(planned(spec))


def _check_plan(plan: Plan) -> None:
    text = yaml_files.dump(plan.to_data())
    assert Plan.from_data(yaml_files.parse(text, "written"), "written") == plan, text
    network = facts_for(plan)
    check(plan, IMAGES, network)
    described = plan_text.describe(plan, IMAGES, network)
    assert not printable.unsafe(described.split("\n")), described


def _read_report(made: Case) -> None:
    try:
        record = json.loads(made.text)
    except (ValueError, RecursionError) as error:
        raise RequestError("report.json: it is damaged.") from error
    JudgedFigures.from_data(record, "report.json")
    cost = standalone_cost(record, PLAN)
    assert 0 <= cost.seconds < float("inf"), made.text


def _read_labels(made: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labels.txt"
        file.write_text(made.text, encoding="utf-8", newline="")
        names = saved_model.read_labels(file)
        saved_model.save_labels(Path(folder), names)
        assert saved_model.read_labels(file) == names, made.text


READERS: dict[str, Callable[[Case], None]] = {
    "recipe": _read_recipe,
    "plan": _read_recipe,
    "override": _read_override,
    "report": _read_report,
    "labels": _read_labels,
}
PLAN = planned(catalog.load("small_similar"))


def timed(made: Any, judge: Callable[[Any], tuple[str, str]] | None = None) -> tuple[str, str, float]:
    """Return the outcome of a text and the seconds of computing it took; a hang is ended.

    Args:
        made: The text, or what else is judged.
        judge: Returns the outcome, and what was wrong; raises HangError if it is ended. By default `outcome`.
    """

    def stop(*_: object) -> None:
        raise HangError

    limits = ((signal.SIGPROF, signal.ITIMER_PROF, MOST_SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, LONGEST_WAIT))
    for number, timer, most in limits:
        signal.signal(number, stop)
        signal.setitimer(timer, most)
    started = time.process_time()
    try:
        return *(judge or outcome)(made), time.process_time() - started
    finally:
        for _, timer, _ in limits:
            signal.setitimer(timer, 0)


def run(seed: int, count: int, seconds: float = float("inf")) -> tuple[runner.Counts, list[str], float]:
    """Read changed texts one by one, see `runner.run`.

    Args:
        seed: Seed of the sequence.
        count: Number of texts.
        seconds: Time after which no further one is read.
    """
    texts = recipes(), plans()

    def judge(number: int) -> Judged:
        made = case(seed, number, *texts)
        return Judged(made.kind, *timed(made))

    return runner.run(range(count), judge, FAULTS, seconds, hang=2 * LONGEST_WAIT)


def main() -> int:
    options = runner.arguments(__doc__.splitlines()[0], "text")
    if options.only is not None:
        made = case(options.seed, options.only, recipes(), plans())
        print(made.kind, made.key, repr(made.text), *outcome(made), sep="\n")
        return 0
    print(f"seed {options.seed}", flush=True)
    return runner.report(run(options.seed, options.count, options.seconds), KINDS, OUTCOMES)


if __name__ == "__main__":
    sys.exit(main())

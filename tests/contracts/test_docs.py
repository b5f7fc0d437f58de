"""The documentation is true: its examples run, its commands parse, its links exist, its recipes are valid."""

import re
import shlex
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pydantic import BaseModel

from kerastune_recipes import Recipe, cli, yaml_files
from kerastune_recipes.demo.network import DemoNet
from kerastune_recipes.spec import catalog, recipe_spec
from kerastune_recipes.spec.recipe_spec import GIVEN, FitSpec, RecipeSpec

ROOT = Path(__file__).parents[2]
README, CONTRIBUTING, FORMAT = ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "recipe-format.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, CONTRIBUTING, ROOT / "CHANGELOG.md", ROOT / "findings" / "README.md"]
CLASSES = ("ants", "bees")

# Examples that are only compiled or parsed: a part of the example, and the reason.
NOT_RUN = {
    "EfficientNetV2B0": "downloads the ImageNet weights of a large network",
    "vgg16.weights.h5": "needs a weights file of VGG16",
    "import torch": "needs torch and torchvision's weights of AlexNet",
    "alexnet-owt.safetensors": "needs torchvision's weights of AlexNet",
    "hub:resnet_18_imagenet": "needs keras-hub, and downloads a preset",
    "--strategy mirrored": "needs two GPUs",
    "launch --workers": "starts processes of its own; tests/contracts/test_several_workers.py runs it",
    "--out runs/many": "needs two machines",
    "kerastune resume": "needs an interrupted run; tests/studies/test_resume.py resumes some",
}
# The same example with less work.
SHORTER = (
    ("--trials 10", "--trials 2"),
    ("trials=10", "trials=2"),
    ("--seeds 3", "--seeds 1"),
    ("seeds=3", "seeds=1"),
    ("--scratch", "--scratch --seeds 1"),
    ("--folds 5", "--folds 2"),
)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def examples(page: Path) -> list[str]:
    """Return the Python blocks and the `kerastune` commands of a page, in the order of the page."""
    found = []
    text = page.read_text(encoding="utf-8")
    for language, block in re.findall(r"^```(python|shell)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        lines = [block] if language == "python" else block.splitlines()
        found += [line for line in lines if language == "python" or line.startswith("kerastune ")]
    return found


def commands(page: Path) -> list[str]:
    return [example for example in examples(page) if example.startswith("kerastune ")]


def arguments(command: str) -> list[str]:
    return shlex.split(command, comments=True)[1:]


def words(text: str) -> list[str]:
    """Return the text's lines that are not blank, with single spaces."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def with_examples() -> list[Path]:
    return [page for page in PAGES if examples(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_compiles(page):
    for code in blocks(page, "python"):
        compile(code, page.name, "exec")


@pytest.mark.parametrize("command", [command for page in PAGES for command in commands(page)])
def test_commands_parse_and_name_shipped_recipes(command):
    options = cli._parser().parse_args(arguments(command))
    recipes = getattr(options, "recipe", None) or []
    for recipe in [recipes] if isinstance(recipes, str) else recipes:
        if not recipe.endswith(".yaml"):
            catalog.load(recipe, cli._overrides(getattr(options, "overrides", [])))


@pytest.fixture
def folder(page, tmp_path, photos, monkeypatch):
    """The files that the examples use, around noise instead of photos."""
    photos(tmp_path / "photos", ants=6, bees=6)
    photos(tmp_path / "more_photos", ants=2, bees=2)
    for patient in range(4):
        for label in CLASSES:
            draw(tmp_path / "scans" / label / f"patient{patient}{label}" / "1.png", seed=patient, level=label == "bees")
            for number in range(3):
                path = tmp_path / "xrays" / label / f"{patient}{number}.png"
                draw(path, seed=10 * patient + number, level=label == "bees", bits=12)
    for number in range(4):
        draw(tmp_path / "pool" / f"{number}.png", seed=100 + number)
    draw(tmp_path / "new.jpg", seed=200)
    rows = [f"photos/{label}/{number}.png,{label},{number // 2}{label}" for label in CLASSES for number in range(6)]
    (tmp_path / "photos.csv").write_text("\n".join(["path,label,patient", *rows]))
    if not any(command.startswith("kerastune cp") for command in commands(page)):  # which refuses an existing file
        (tmp_path / "mine.yaml").write_text(catalog.text("small_similar"))
    DemoNet(include_top=False, weights="demo").save(tmp_path / "backbone.keras")
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def draw(path: Path, seed: int, level: int = 0, bits: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape, dtype = ((32, 32, 3), np.uint8) if bits == 8 else ((32, 32), np.uint16)
    pixels = np.random.default_rng((seed, level)).integers(0, 2**bits, shape, dtype=dtype)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def small(monkeypatch):
    """Make runs short: DemoNet in place of large networks, fit phases of one step, and these in the first recipe only.

    Later recipes keep their solve phases, which is enough to see that an example runs.
    """
    parse = catalog.parse
    read = []

    def parse_small(data, where, overrides=None):
        data = parse(data, where, overrides).to_data()
        weights = data["backbone"]["weights"]
        if weights != GIVEN:
            data["backbone"] = {"name": "DemoNet", "weights": "none" if weights == "none" else "demo"}
        solved = [phase for phase in data["phases"] if "solve" in phase]
        if read and solved:
            data["phases"] = solved
        for phase in data["phases"]:
            if "fit" in phase:
                phase["fit"]["duration"] = "1 steps"
        read.append(where)
        return RecipeSpec.from_data(data, where)

    monkeypatch.setattr(catalog, "parse", parse_small)
    # Tracing a graph takes longer than the one step that it is for.
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.slow
@pytest.mark.parametrize("page", with_examples(), ids=lambda page: page.name)
def test_examples_run_in_the_order_of_the_page(page, folder, small, capsys):
    for example in examples(page):
        if any(part in example for part in NOT_RUN):
            continue
        for long, short in SHORTER:
            example = example.replace(long, short)
        with chdir(folder):
            if example.startswith("kerastune "):
                assert cli.main(arguments(example)) == 0, f"{example}\n{capsys.readouterr().err}"
            else:
                exec(compile(example, page.name, "exec"), {"__name__": "__main__"})


def test_only_examples_that_exist_are_not_run():
    text = "\n".join(example for page in PAGES for example in examples(page))
    assert not [part for part in NOT_RUN if part not in text]


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_sections_lead_somewhere(page):
    for target, section in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        text = ((page.parent / target) if target else page).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
        assert section in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, section


def test_contributing_names_files_that_exist():
    text = CONTRIBUTING.read_text(encoding="utf-8")
    paths = [path for path in re.findall(r"`([\w/]+\.(?:py|md))`", text) if "NAME" not in path]
    assert len(paths) > 20
    folders = (ROOT, ROOT / "kerastune_recipes", ROOT / "kerastune_recipes" / "data" / "sources")
    assert not [path for path in paths if not any((folder / path).is_file() for folder in folders)]


def test_the_readme_shows_the_real_plan():
    shown = next(block for block in blocks(README, "text") if block.startswith("Plan"))
    recipe = Recipe.from_name("small_similar", backbone="DemoNet", **{"backbone.weights": "demo"})
    assert words(shown) == words(recipe.describe("demo:digits"))


def test_the_readme_names_every_recipe():
    assert set(re.findall(r"\(recipes/(\w+)\.yaml\)", README.read_text(encoding="utf-8"))) == set(catalog.names())


def test_the_recipe_of_the_format_is_valid():
    whole, *parts = (yaml_files.parse(block, FORMAT.name) for block in blocks(FORMAT, "yaml"))
    catalog.parse(whole, FORMAT.name)
    for part in parts:
        FitSpec.from_data({"trainable": [["head", 1.0]], **part}, FORMAT.name)


def test_every_key_of_the_format_is_explained():
    text = FORMAT.read_text(encoding="utf-8")
    records = [each for each in vars(recipe_spec).values() if isinstance(each, type) and issubclass(each, BaseModel)]
    keys = {key for record in records for key in record.model_fields} - {"layer", "arguments"}
    assert not {key for key in keys if f"`{key}`" not in text}

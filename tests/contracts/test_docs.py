"""What the documentation shows is true: code compiles, commands parse, recipes are valid, the map is whole."""

import re
import shlex
from pathlib import Path

import pytest
from pydantic import BaseModel

import kerastune_recipes
from kerastune_recipes import Recipe, cli, yaml_files
from kerastune_recipes.spec import catalog, recipe_spec
from kerastune_recipes.spec.recipe_spec import FitSpec

ROOT = Path(__file__).parents[2]
README, CONTRIBUTING, FORMAT = ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "recipe-format.md"
PAGES = [README, CONTRIBUTING, FORMAT, *(ROOT / "docs" / f"{page}.md" for page in ("compare", "distribution", "tune"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    lines = "\n".join(blocks(page, "shell")).splitlines()
    return [line for line in lines if line.startswith("kerastune ")]


def words(text: str) -> list[str]:
    """Return the text's lines that say something, runs of blanks as one."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_compiles(page):
    for code in blocks(page, "python"):
        compile(code, page.name, "exec")


@pytest.mark.parametrize("command", [command for page in PAGES for command in commands(page)])
def test_commands_parse_and_name_what_there_is(command):
    options = cli._parser().parse_args(shlex.split(command)[1:])
    recipes = getattr(options, "recipe", [])
    for recipe in [recipes] if isinstance(recipes, str) else recipes:
        if not recipe.endswith(".yaml"):
            catalog.load(recipe, cli._overrides(getattr(options, "overrides", [])))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_readme_shows_the_real_plan():
    shown = next(block for block in blocks(README, "text") if block.startswith("Plan of"))
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


def test_the_map_names_every_module():
    package = Path(kerastune_recipes.__file__).parent
    modules = {path.relative_to(package).with_suffix("") for path in package.rglob("*.py") if path.stem != "__init__"}
    folders = {"data/sources/", "demo/", "solvers/"}  # named as a whole
    text = CONTRIBUTING.read_text(encoding="utf-8")
    names = {name.as_posix() for name in modules if not any(f"{name.parent.as_posix()}/" == one for one in folders)}
    assert not {name for name in names | folders if f"`{name}`" not in text}

"""Imports point down only: the package's modules are layers, and this holds them to it."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

import kerastune_recipes

PACKAGE = Path(kerastune_recipes.__file__).parent

# From the bottom up; a module may import modules of its own layer and below. `data`, `model` and `demo` are folders.
LAYERS = [
    {"errors", "durations", "launch", "sizes"},
    {"schema", "yaml_files", "spec", "facts", "backbones", "augmentations", "views"},
    {"catalog", "rules", "source_classes", "trainable", "costs", "plan", "forecast", "search_space"},
    {
        "data",
        "model",
        "demo",
        "store",
        "features",
        "solvers",
        "losses",
        "optimizers",
        "rate_finder",
        "training",
        "distribution",
        "hardware",
        "metrics",
        "gate",
        "statistics",
    },
    {
        "describe",
        "progress",
        "journal",
        "frozen",
        "bench",
        "phases",
        "folds",
        "refit",
        "plots",
        "html",
        "output",
        "evaluation",
        "report",
        "preparation",
        "runner",
        "comparison",
        "search",
    },
    {"recipe", "comparing", "tuning", "cli", "__init__", "__main__"},
]
HEAVY = {
    "keras",
    "tensorflow",
    "keras_cv",
    "tensorflow_datasets",
    "sklearn",
    "matplotlib",
    "pandas",
    "keras_tuner",
    "jax",
    "torch",
}
LIGHT_LAYERS = 3


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent == PACKAGE)


def unit(path: Path) -> str:
    """Return the module's name at the top of the package; a folder is one unit."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def imported(path: Path, everywhere: bool = True) -> set[str]:
    """Return what a file imports, dotted; with `everywhere` false, at its top level only."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = layer(unit(path))
    for name in imported(path):
        if not name.startswith("kerastune_recipes."):
            continue
        target = name.split(".")[1]
        if target.startswith("_") or not any(target in names for names in LAYERS):
            continue  # a name of the package itself, such as kerastune_recipes.Recipe
        assert layer(target) <= own, f"{unit(path)} (layer {own}) imports {target} (layer {layer(target)})"


@pytest.mark.parametrize(
    "path", [path for path in modules() if layer(unit(path)) < LIGHT_LAYERS], ids=lambda path: path.name
)
def test_the_lower_layers_know_no_keras(path):
    assert not {name.split(".")[0] for name in imported(path)} & HEAVY


def test_every_module_has_its_layer():
    assert {unit(path) for path in modules()} == set().union(*LAYERS)


@pytest.mark.parametrize("statement", ["import kerastune_recipes", "import kerastune_recipes.cli"])
def test_importing_is_light(statement):
    """TensorFlow takes seconds to import; it is imported when work starts."""
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not HEAVY & set(loaded)


def test_backends_are_imported_only_within_functions():
    for path in modules():
        names = {name.split(".")[0] for name in imported(path, everywhere=False)}
        assert not {"tensorflow", "tensorflow_datasets", "keras_cv", "jax", "torch"} & names, path


def test_every_folder_is_installed():
    """An editable install finds what setup.cfg forgets; a real one does not."""
    listed = configparser.ConfigParser()
    listed.read(PACKAGE.parent / "setup.cfg")
    folders = {path.parent.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py")}
    named = {".".join(folder.parts) for folder in folders} | {"kerastune_recipes.shipped"}
    assert set(listed["options"]["packages"].split()) == named

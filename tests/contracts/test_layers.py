"""Imports go one way, as CONTRIBUTING lists the folders; what plans and parses knows no Keras; importing is light."""

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "kerastune_recipes"
# The names of the public face may be imported from the package by its command line alone.
PUBLIC = {"__init__", "__main__"}
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


def listed() -> list[str]:
    """Return the folders and top-level modules, from the ground up, as CONTRIBUTING has them."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = re.search(r"^```text\nkerastune_recipes/\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line.split()[0].rstrip("/") for line in block[1].splitlines()]


ORDER = listed()


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    """Return the module's name below the package: "heads.solve"; a folder's own is "heads"."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


NAMES = {dotted(path) for path in modules()}


def unit(name: str) -> str:
    """Return the folder, or the module at the top of the package, that a module belongs to."""
    return name.split(".")[0]


def statements(path: Path, everywhere: bool = True) -> list[ast.Import | ast.ImportFrom]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def roots(path: Path, everywhere: bool = True) -> set[str]:
    """Return the packages that a file imports; with `everywhere` false, at its top level only."""
    found = set()
    for node in statements(path, everywhere):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif node.module:
            found.add(node.module.split(".")[0])
    return found


def ours(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, wherever it does."""
    found = set()
    for node in statements(path):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [f"{node.module}.{alias.name}" for alias in node.names]
        )
        for name in names:
            if name.split(".")[0] == PACKAGE.name:
                parts = name.split(".")[1:]
                while parts and ".".join(parts) not in NAMES:
                    parts.pop()
                found.add(".".join(parts) or "__init__")
    return found - {dotted(path)}


def test_the_list_names_every_folder_and_module():
    assert {unit(name) for name in NAMES} - PUBLIC == set(ORDER)
    assert len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_go_one_way(path):
    own = unit(dotted(path))
    if own in PUBLIC:
        return
    # `__init__` at the top is the package itself, of which anyone may read the version.
    wrong = {name for name in ours(path) - {"__init__"} if ORDER.index(unit(name)) > ORDER.index(own)}
    assert not wrong, f"{dotted(path)} imports {', '.join(sorted(wrong))}, which stands below it in CONTRIBUTING.md"


def test_no_two_modules_import_each_other_even_by_way_of_others():
    graph = {dotted(path): ours(path) - {"__init__"} for path in modules() if unit(dotted(path)) not in PUBLIC}
    while graph:
        free = {name for name, imports in graph.items() if not imports & set(graph)}
        assert free, f"these modules import each other in a circle, or stand behind one: {', '.join(sorted(graph))}"
        graph = {name: imports for name, imports in graph.items() if name not in free}


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in modules()
        if unit(dotted(path)) in {"errors", "units", "yaml_files", "records", "progress", "spec", "planning"}
        or path.stem == "facts"
        or dotted(path) == "backbones.table"
    ],
    ids=dotted,
)
def test_what_parses_and_plans_knows_no_keras(path):
    assert not roots(path) & HEAVY


@pytest.mark.parametrize(
    "statement",
    [
        "import kerastune_recipes",
        "import kerastune_recipes.cli",
        "from kerastune_recipes.planning import forecast, resolve",
    ],
)
def test_importing_is_light(statement):
    """TensorFlow takes seconds to import; it is imported when work starts."""
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_backends_are_imported_only_within_functions(path):
    assert not {"tensorflow", "tensorflow_datasets", "keras_cv", "jax", "torch"} & roots(path, everywhere=False)


def test_every_folder_is_installed():
    """An editable install finds what setup.cfg forgets; a real one does not."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    folders = {path.parent.relative_to(ROOT) for path in PACKAGE.rglob("*.py")}
    named = {".".join(folder.parts) for folder in folders} | {"kerastune_recipes.shipped"}
    assert set(config["options"]["packages"].split()) == named

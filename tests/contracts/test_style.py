"""Rules of the house that a machine can check: few parameters, one meaning for each name."""

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "kerastune_recipes"
MOST_PARAMETERS = 7
# Public functions whose options a user types.
TYPED_BY_USERS = {"Recipe.run", "compare", "tune", "AlexNet"}


def functions() -> list[tuple[Path, str, ast.FunctionDef]]:
    """Return all functions of the package with their file and name, methods as Class.method."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        owners = {
            id(method): owner.name
            for owner in ast.walk(tree)
            if isinstance(owner, ast.ClassDef)
            for method in owner.body
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                owner = owners.get(id(node))
                found.append((path, f"{owner}.{node.name}" if owner else node.name, node))
    return found


def parameters(function: ast.FunctionDef) -> int:
    given = function.args
    named = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")]) + bool(given.vararg) + bool(given.kwarg)


def test_no_function_takes_more_than_seven_parameters():
    many = {
        f"{path.relative_to(PACKAGE)}: {name}": parameters(node)
        for path, name, node in functions()
        if parameters(node) > MOST_PARAMETERS and name not in TYPED_BY_USERS
    }
    assert not many


def test_a_public_class_or_type_has_its_name_alone():
    places = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                names = [node.name]
            elif isinstance(node, ast.Assign):
                # A type has a capital and small letters; a constant has capitals only.
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                names = [name for name in names if name[0].isupper() and not name.isupper()]
            else:
                continue
            for name in names:
                if not name.startswith("_"):
                    places[name].add(str(path.relative_to(PACKAGE)))
    assert not {name: sorted(where) for name, where in places.items() if len(where) > 1}


def test_no_private_name_is_imported_from_another_module():
    wrong = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kerastune_recipes"):
                names = [
                    alias.name for alias in node.names if alias.name.startswith("_") and not alias.name.endswith("__")
                ]
                wrong |= {f"{path.relative_to(PACKAGE)}: {name}" for name in names}
    assert not wrong

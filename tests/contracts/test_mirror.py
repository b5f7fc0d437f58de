"""`tests/` mirrors the package: every module has its test file, at the same place."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE, TESTS = ROOT / "kerastune_recipes", ROOT / "tests"
# Tests of promises that span modules, and fuzzers with the test of them.
ACROSS = (TESTS / "contracts", TESTS / "fuzz")
# `python -m kerastune_recipes` is run by tests/test_cli.py.
WITHOUT = {"__init__", "__main__"}


def expected() -> set[Path]:
    """Return the test file of every module."""
    modules = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.stem not in WITHOUT}
    return {TESTS / path.parent / f"test_{path.name}" for path in modules}


def test_every_module_has_its_test_file():
    missing = {str(path.relative_to(TESTS)) for path in expected() if not path.is_file()}
    assert not missing


def test_every_test_file_has_its_module():
    found = {path for path in TESTS.rglob("test_*.py") if not set(ACROSS) & set(path.parents)}
    strays = {str(path.relative_to(TESTS)) for path in found - expected()}
    assert not strays


def test_every_test_file_has_tests():
    empty = {str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py") if "def test_" not in path.read_text()}
    assert not empty

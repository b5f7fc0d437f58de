"""The versions that a result depends on."""

import platform
from importlib import metadata

from kerastune_recipes.reporting.versions import versions


def test_python_and_packages_are_named_once():
    found = versions("tensorflow")
    assert list(found) == ["python", "kerastune-recipes", "keras", "tensorflow", "scikit-learn", "numpy"]
    assert found["python"] == platform.python_version()
    assert found["keras"] == metadata.version("keras")


def test_a_package_that_is_missing():
    assert versions("no-such-backend")["no-such-backend"] == "not installed"

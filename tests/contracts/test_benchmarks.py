"""The scripts of benchmarks/ keep up with the package: mypy reads them all, and part of the demonstration is run."""

import importlib.util
from pathlib import Path

import pytest

from kerastune_recipes.demo.digits import digits
from kerastune_recipes.evaluation import metrics

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "demo.py"


@pytest.fixture
def demo():
    spec = importlib.util.spec_from_file_location("demo_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_raw_pixels_tell_most_digits_apart(demo):
    ds = digits(demo.PER_CLASS, seed=0)
    assert metrics.accuracy(demo.raw_pixels(ds, seed=0), ds["test"][1]) == pytest.approx(0.89, abs=0.03)

"""A time limit for calls that no Python code can interrupt."""

import subprocess
import sys

import pytest

from kerastune_recipes.devices.time_limit import time_limit

BUSY = """
from kerastune_recipes.devices.time_limit import time_limit
import ctypes
with time_limit(0.2, "worker 1 did not connect."):
    ctypes.PyDLL(None).sleep(100)  # PyDLL keeps Python's lock
"""


def test_a_call_that_holds_pythons_lock_ends_with_a_sentence():
    done = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "worker 1 did not connect.\n")


def test_work_that_ends_in_time_says_nothing(capfd):
    with time_limit(600, "too late"):
        pass
    assert capfd.readouterr() == ("", "")


def test_an_error_within_the_limit_is_raised():
    with pytest.raises(ValueError, match="own"), time_limit(600, "too late"):
        raise ValueError("own")

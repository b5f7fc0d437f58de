"""A reader that has gone, and a full disk, where our own output goes."""

import subprocess
import sys
from pathlib import Path

import pytest

from kerastune_recipes.standard_streams import Unwritable, watched

full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
buffering = pytest.mark.parametrize("unbuffered", ["", "1"])


def kerastune(redirection, unbuffered, *words):
    """Return the status of the command before a pipe, and what reaches standard error."""
    command = f'"$0" -m kerastune_recipes "$@" {redirection}; exit $PIPESTATUS'
    environment = {"PYTHONUNBUFFERED": unbuffered, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, *words], capture_output=True, text=True, env=environment
    )
    return done.returncode, done.stderr


@buffering
@pytest.mark.parametrize("words", [("ls",), ("ls", "--json"), ("show", "small_similar"), ("--help",)])
def test_a_reader_that_has_gone_ends_a_command_like_any_other(words, unbuffered):
    """`true` reads nothing, as `head` does after its lines."""
    assert kerastune("| true", unbuffered, *words) == (141, "")


@buffering
def test_a_reader_of_errors_that_has_gone_ends_a_command_too(unbuffered):
    assert kerastune("2>&1 | true", unbuffered, "show", "no_such_recipe") == (141, "")


@full
@buffering
def test_output_that_cannot_be_written_is_one_sentence(unbuffered):
    error = "kerastune: standard output cannot be written: No space left on device.\n"
    assert kerastune(">/dev/full", unbuffered, "ls") == (1, error)


@full
@buffering
def test_where_nothing_can_be_written_the_status_says_so(unbuffered):
    assert kerastune(">/dev/full 2>&1", unbuffered, "ls") == (1, "")


def test_a_command_without_standard_output_does_its_work():
    assert kerastune(">&-", "", "ls") == (0, "")


def test_the_work_does_not_take_it_for_an_error_of_its_own(monkeypatch):
    def broken(text):
        raise BrokenPipeError(32, "Broken pipe")

    def work():
        try:
            print("a line")
        except Exception:
            pytest.fail("the work handled it")

    monkeypatch.setattr(sys.stdout, "write", broken)
    with pytest.raises(Unwritable, match=r"^standard output cannot be written: Broken pipe\.$"), watched():
        work()


def test_errors_of_the_work_stay_what_they_are():
    with pytest.raises(BrokenPipeError), watched():
        raise BrokenPipeError(32, "the connection to the data")


def test_afterwards_the_streams_are_those_from_before():
    before = sys.stdout, sys.stderr
    with watched():
        assert sys.stdout.encoding == before[0].encoding
    assert (sys.stdout, sys.stderr) == before

"""Launching a command as several local workers."""

import json
import os
import sys

import pytest

from kerastune_recipes.devices.launch import launch


def python(code):
    return [sys.executable, "-c", code]


def test_each_worker_has_its_index_and_its_lines_are_prefixed(capfd):
    show = "import os; print(os.environ['TF_CONFIG'])"
    assert launch(python(show), workers=2) == 0
    lines = sorted(capfd.readouterr().out.splitlines())
    configs = [json.loads(line.removeprefix(f"[worker {number}] ")) for number, line in enumerate(lines)]
    assert [config["task"] for config in configs] == [{"type": "worker", "index": 0}, {"type": "worker", "index": 1}]
    assert configs[0]["cluster"] == configs[1]["cluster"]
    assert len(set(configs[0]["cluster"]["worker"])) == 2


def test_standard_error_is_forwarded_to_standard_error(capfd):
    launch(python("import sys; sys.exit('wrong')"), workers=1)
    assert capfd.readouterr() == ("", "[worker 0] wrong\n")


def test_the_highest_exit_status_is_returned():
    own_index = "import json, os, sys; sys.exit(json.loads(os.environ['TF_CONFIG'])['task']['index'])"
    assert launch(python(own_index), workers=3) == 2


@pytest.mark.parametrize("failing", ["sys.exit(2)", "os.kill(os.getpid(), 9)"])
def test_when_one_worker_fails_the_others_are_terminated(failing, tmp_path):
    code = f"""
import json, os, sys, time
from pathlib import Path
if json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 1:
    {failing}
Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
time.sleep(100)
"""
    assert launch(python(code), workers=2, grace=2.0) == (2 if "exit" in failing else 1)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)

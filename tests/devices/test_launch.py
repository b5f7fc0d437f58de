"""Launching a command as several local workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kerastune_recipes.devices import launch as launching
from kerastune_recipes.devices.launch import launch

linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the workers under Linux only")

# At the start of a worker of these tests: its index, and a file that says that it runs.
WORKER = """
import json, os, signal, sys, time
from pathlib import Path
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
def ready():
    Path(f"{index}.new").write_text(str(os.getpid()))
    os.rename(f"{index}.new", f"{index}.pid")
"""
LAUNCHER = """
import sys
from kerastune_recipes.devices.launch import launch
sys.exit(launch([sys.executable, "-c", sys.argv[1]], workers=2, grace=float(sys.argv[2])))
"""
SLEEPS = "ready(); time.sleep(1000)"
PRINTS = "ready()\nwhile True: print('a line', flush=True)"
# As `kerastune run` does it: a checkpoint, then the status of a shell.
SAVES = """
def save(number, frame):
    Path(f"{index}.saved").write_text(signal.Signals(number).name)
    sys.exit(128 + number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, save)
"""
HANGS = "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)\n"


def python(code):
    return [sys.executable, "-c", WORKER + code]


@pytest.fixture
def launcher(tmp_path):
    """Return a function that starts a launcher of two workers as a process of its own."""
    started = []

    def start(code, grace=1000.0, before=(), **streams):
        command = [*before, sys.executable, "-c", LAUNCHER, WORKER + code, str(grace)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **streams}
        process = subprocess.Popen(command, cwd=tmp_path, **streams)
        started.append(process)
        return process

    yield start
    for process in started:
        with process:  # closes its pipes
            process.kill()


def until(condition):
    while not condition():
        time.sleep(0.02)


def pids(folder):
    """Return the process ids of both workers, once they run."""
    files = [folder / f"{index}.pid" for index in range(2)]
    until(lambda: all(file.exists() for file in files))
    return [int(file.read_text()) for file in files]


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_each_worker_has_its_index_and_its_lines_are_prefixed(capfd):
    assert launch(python("print(os.environ['TF_CONFIG'])"), workers=2) == 0
    lines = sorted(capfd.readouterr().out.splitlines())
    configs = [json.loads(line.removeprefix(f"[worker {number}] ")) for number, line in enumerate(lines)]
    assert [config["task"] for config in configs] == [{"type": "worker", "index": 0}, {"type": "worker", "index": 1}]
    assert configs[0]["cluster"] == configs[1]["cluster"]
    assert len(set(configs[0]["cluster"]["worker"])) == 2


def test_standard_error_is_forwarded_to_standard_error(capfd):
    launch(python("print('careful', file=sys.stderr)"), workers=1)
    assert capfd.readouterr() == ("", "[worker 0] careful\n")


def test_output_is_forwarded_unchanged_whatever_its_encoding(launcher):
    written = launcher(r"sys.stdout.buffer.write(b'\xff \xe2\x82\xac')", text=False).communicate()[0]
    assert sorted(written.splitlines()) == [b"[worker 0] \xff \xe2\x82\xac", b"[worker 1] \xff \xe2\x82\xac"]


def test_the_status_and_the_name_of_the_worker_that_failed_first(capfd):
    assert launch(python("sys.exit(3) if index == 1 else time.sleep(1000)"), workers=2, grace=0.2) == 3
    assert capfd.readouterr().err == "kerastune: worker 1 failed first, with exit status 3; its own lines say why.\n"


def test_a_worker_killed_by_a_signal_counts_as_in_a_shell(capfd):
    assert launch(python("os.kill(os.getpid(), 9) if index == 1 else time.sleep(1000)"), workers=2, grace=0.2) == 137
    assert capfd.readouterr().err == (
        "kerastune: worker 1 was killed by SIGKILL, often because memory ran out; the others cannot continue without "
        "it.\n"
    )


def test_of_two_that_failed_at_once_the_killed_one_is_named():
    failures = list(launching._failures([1, -9, None], grace=0))
    assert [ending.status for ending in failures] == [137]
    assert failures[0].why.startswith("worker 1 was killed by SIGKILL")


@pytest.mark.parametrize("failing", ["sys.exit(2)", "os.kill(os.getpid(), 9)"])
def test_when_one_worker_fails_the_others_end_within_the_grace(failing, launcher, tmp_path):
    process = launcher(f"ready()\nif index == 1: {failing}\ntime.sleep(1000)", grace=0.5)
    found = pids(tmp_path)
    assert process.wait() == (2 if "exit" in failing else 137)
    assert not any(map(runs, found))


def test_the_others_have_time_to_report_the_failure(launcher):
    process = launcher("sys.exit(2) if index == 1 else time.sleep(1); print('worker 1 was lost'); sys.exit(1)")
    assert process.communicate() == (
        "[worker 0] worker 1 was lost\n",
        "kerastune: worker 1 failed first, with exit status 2; its own lines say why.\n",
    )
    assert process.returncode == 2


def test_a_command_that_is_not_there_is_one_sentence(capfd):
    assert launch(["no-such-program"], workers=1) == 1
    assert capfd.readouterr().err.splitlines()[0] == (
        "[worker 0] no-such-program: cannot be started: No such file or directory."
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_is_forwarded_and_the_workers_are_waited_for(name, launcher, tmp_path):
    process = launcher(SAVES + SLEEPS)
    found = pids(tmp_path)
    number = getattr(signal, name)
    process.send_signal(number)
    assert process.communicate() == ("", f"kerastune: ended by {name}.\n")
    assert process.returncode == 128 + number
    assert [(tmp_path / f"{index}.saved").read_text() for index in range(2)] == [name, name]
    assert not any(map(runs, found))


def test_a_worker_that_does_not_end_after_a_signal_is_killed(launcher, tmp_path):
    process = launcher(HANGS + SLEEPS, grace=0.5)
    pids(tmp_path)
    process.terminate()
    assert process.communicate() == ("", "kerastune: ended by SIGTERM; killed: worker 0, worker 1.\n")
    assert process.returncode == 143


def test_a_second_signal_kills_at_once(launcher, tmp_path):
    process = launcher(HANGS + SLEEPS)
    found = pids(tmp_path)
    process.send_signal(signal.SIGINT)
    time.sleep(1.2)  # the same signal within a second is the same one
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.communicate() == ("", "kerastune: ended by SIGINT; killed: worker 0, worker 1.\n")
    assert process.returncode == 130
    assert not any(map(runs, found))


def test_a_signal_sent_twice_at_once_is_one_signal(launcher, tmp_path):
    process = launcher(SAVES.replace("sys.exit", "time.sleep(0.5); sys.exit") + SLEEPS)
    pids(tmp_path)
    process.terminate()
    time.sleep(0.2)
    process.terminate()
    assert process.communicate()[1] == "kerastune: ended by SIGTERM.\n"
    assert (tmp_path / "0.saved").read_text() == "SIGTERM"


def test_workers_that_are_done_when_a_signal_comes_have_succeeded(launcher, tmp_path):
    code = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + SLEEPS
    process = launcher(code)
    pids(tmp_path)
    process.terminate()
    assert (process.communicate(), process.returncode) == (("", ""), 0)


def test_a_signal_that_is_ignored_stays_ignored(launcher, tmp_path):
    process = launcher(SAVES + SLEEPS, before=["nohup"], stdin=subprocess.DEVNULL)
    pids(tmp_path)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert (tmp_path / "0.saved").read_text() == "SIGTERM"


@linux
def test_no_worker_survives_a_launcher_that_is_killed(launcher, tmp_path):
    process = launcher(HANGS + SLEEPS)
    found = pids(tmp_path)
    process.kill()
    until(lambda: not any(map(runs, found)))


def test_workers_end_when_the_reader_of_their_output_has_gone(launcher, tmp_path):
    process = launcher(PRINTS)
    found = pids(tmp_path)
    assert process.stdout.readline().endswith("] a line\n")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141  # as if SIGPIPE had ended it
    assert not any(map(runs, found))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_output_that_cannot_be_written_is_one_sentence(launcher):
    with open("/dev/full", "w") as full:
        process = launcher(PRINTS, stdout=full)
        errors = process.communicate()[1]
    assert errors == (
        "kerastune: standard output cannot be written (No space left on device), so the workers were ended.\n"
    )
    assert process.returncode == 1


def test_a_launcher_without_standard_output_does_not_stop_the_workers():
    closing_first = ["sh", "-c", 'exec "$@" >&-', "sh"]
    code = f"import sys; from kerastune_recipes.devices.launch import launch; sys.exit(launch({python('print(1)')}, 1))"
    assert subprocess.run([*closing_first, sys.executable, "-c", code], timeout=100).returncode == 0


@linux
def test_the_ports_stay_reserved_until_tensorflow_opens_them(capfd):
    code = """
import socket
from kerastune_recipes.devices import loopback
port = int(json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"][0].rpartition(":")[2])
socket.create_server(("", port), reuse_port=True).close()
assert loopback.reuses_ports()
socket.create_server(("", port))
"""
    assert launch(python(code), workers=1) == 1
    assert "OSError: [Errno 98] Address already in use" in capfd.readouterr().err


def test_workers_are_sessions_of_their_own_so_that_ctrl_c_reaches_them_once(capfd):
    launch(python("print(os.getsid(0) == os.getpid())"), workers=1)
    assert capfd.readouterr().out == "[worker 0] True\n"


def test_the_help_says_who_can_connect(shell):
    text = " ".join(shell("launch", "--help").out.split())
    assert "TensorFlow opens them on every network interface, without a password" in text
    assert "Under Linux (5.7 or later) they are closed to other machines" in text


def test_workers_can_resume_a_run(shell, monkeypatch):
    launched = []
    monkeypatch.setattr(launching, "launch", lambda command, workers: launched.append(command) or 0)
    assert shell("launch", "--", "resume", "runs/two").status == 0
    assert launched == [[sys.executable, "-m", "kerastune_recipes", "resume", "runs/two"]]

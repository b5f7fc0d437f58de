#!/bin/sh
# TensorFlow 2.21.0: `MultiWorkerMirroredStrategy()` takes SIGTERM from the process, and does nothing when it comes.
#
# Expected: a handler set with Python's `signal.signal` runs, as for SIGINT and SIGHUP; without one, SIGTERM ends the
#   process. Kubernetes, SLURM, systemd and `kill` send it, and SIGKILL some seconds later. The documentation names
#   SIGTERM only for `PreemptionCheckpointHandler`, which this program does not use.
# Seen: from the constructor on, Python's handler is not called, though `signal.getsignal` still returns it; a process
#   without a handler does not end. One worker is enough. To set the handler once more, afterwards, helps.
# Why: with the coordination service comes a notifier of preemption, which calls `std::signal(SIGTERM, ..)` and does not
#   call the handler that was there.
# In our code: `_take_sigterm_back` in kerastune_recipes/devices/strategies.py, and its test.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow==2.21.0
cat > "$folder/handler.py" <<'PYTHON'
import os
import signal
import socket
import time

import tensorflow as tf

received = []
signals = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
for number in signals:
    signal.signal(number, lambda number, frame: received.append(signal.Signals(number).name))


def send(title):
    """Send each signal to this process; print and return the names of those whose handler ran."""
    received.clear()
    for number in signals:
        os.kill(os.getpid(), number)
        time.sleep(0.5)
    print(f"{title}: handlers of {', '.join(received)} ran", flush=True)
    return list(received)


with socket.create_server(("127.0.0.1", 0)) as one:
    address = f"127.0.0.1:{one.getsockname()[1]}"
before = send("before")
resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
    tf.train.ClusterSpec({"worker": [address]}), task_type="worker", task_id=0, rpc_layer="grpc"
)
strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
after = send("with MultiWorkerMirroredStrategy")
signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
again = send("after setting the same handler again")
raise SystemExit((before, after, again) != ([*before], ["SIGHUP", "SIGINT"], ["SIGHUP", "SIGINT", "SIGTERM"]))
PYTHON
cat > "$folder/default.py" <<'PYTHON'
import signal
import socket
import time

import tensorflow as tf

with socket.create_server(("127.0.0.1", 0)) as one:
    address = f"127.0.0.1:{one.getsockname()[1]}"
resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
    tf.train.ClusterSpec({"worker": [address]}), task_type="worker", task_id=0, rpc_layer="grpc"
)
strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
print("ready; handler of SIGTERM, says Python:", signal.getsignal(signal.SIGTERM).name, flush=True)
time.sleep(60)
PYTHON
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=-1
"$folder/venv/bin/python" "$folder/handler.py"
"$folder/venv/bin/python" - "$folder/default.py" <<'PYTHON'
import subprocess
import sys

process = subprocess.Popen([sys.executable, sys.argv[1]], stdout=subprocess.PIPE, text=True)
print(process.stdout.readline(), end="")
process.terminate()
try:
    print("ended by SIGTERM:", process.wait(timeout=10))
    raise SystemExit(1)
except subprocess.TimeoutExpired:
    print("10 s after SIGTERM the process still runs")
    process.kill()
PYTHON

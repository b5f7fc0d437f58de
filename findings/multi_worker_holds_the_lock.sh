#!/bin/sh
# TensorFlow 2.21.0: `MultiWorkerMirroredStrategy()` holds Python's lock while it waits for the other workers.
#
# Expected: while the constructor waits for another worker, other threads of Python run, as during any call that waits;
#   so a program can show that it waits, answer a health check, and stop waiting after a time of its own.
# Seen: no other thread runs until the last worker has connected, and no signal handler either: Ctrl-C has no effect. If
#   the other worker never comes, that is one hour (3605 s were measured).
# Why: the Python binding of `TFE_EnableCollectiveOps` does not release the lock around `Connect` and `WaitForAllTasks`
#   of `CoordinationServiceAgent`.
# In our code: `wait_for_workers` in kerastune_recipes/devices/cluster.py waits before; for the moment after it,
#   kerastune_recipes/devices/time_limit.py.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow==2.21.0
cat > "$folder/worker.py" <<'PYTHON'
import sys
import threading
import time

import tensorflow as tf

index, delay, *addresses = sys.argv[1:]
ticks = [time.monotonic()]


def tick():
    while True:
        time.sleep(0.1)
        ticks.append(time.monotonic())


threading.Thread(target=tick, daemon=True).start()
time.sleep(float(delay))
resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
    tf.train.ClusterSpec({"worker": addresses}), task_type="worker", task_id=int(index), rpc_layer="grpc"
)
began = time.monotonic()
strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
ended = time.monotonic()
time.sleep(1)
longest = max(later - earlier for earlier, later in zip(ticks, ticks[1:]))
print(f"worker {index}: {ended - began:.1f} s in the constructor; at most {longest:.1f} s between ticks", flush=True)
# The first worker waits for the second.
raise SystemExit(index == "0" and not longest > 5)
PYTHON
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=-1
"$folder/venv/bin/python" - "$folder/worker.py" <<'PYTHON'
import socket
import subprocess
import sys

with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other)]
print("a thread ticks every 0.1 s; worker 1 comes 20 s after worker 0")
commands = [[sys.executable, sys.argv[1], str(index), str(20 * index), *addresses] for index in range(2)]
processes = [subprocess.Popen(command) for command in commands]
raise SystemExit(max(process.wait() for process in processes))
PYTHON

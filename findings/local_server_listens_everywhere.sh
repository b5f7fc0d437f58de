#!/bin/sh
# TensorFlow 2.21.0: `tf.distribute.Server.create_local_server()` listens on every network interface.
#
# Expected: a server of a "single-process cluster running on the local host" (its docstring), whose target is
#   grpc://localhost:PORT, listens on the loopback interface. So does a server whose cluster lists 127.0.0.1:PORT.
# Seen: both listen on all interfaces. TensorFlow's SECURITY.md says that a server has no authentication and belongs in
#   a trusted network; whoever starts a local one has no reason to think of a network.
# Why: `GrpcServer::Init` asks gRPC for "0.0.0.0:PORT" and takes only the port from the cluster; there is no option.
# In our code: kerastune_recipes/devices/loopback.py; the warning in kerastune_recipes/devices/strategies.py.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow==2.21.0
TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=-1 "$folder/venv/bin/python" - <<'PYTHON'
import socket

import tensorflow as tf


def listening(port):
    """Return the addresses at which a port listens, as Linux lists them; zeros stand for every interface."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            for line in list(lines)[1:]:
                address, state = line.split()[1], line.split()[3]
                if state == "0A" and int(address.split(":")[1], 16) == port:
                    found.append(address.split(":")[0])
    return found


local = tf.distribute.Server.create_local_server()
with socket.create_server(("127.0.0.1", 0)) as one:
    free = one.getsockname()[1]
listed = tf.distribute.Server(tf.train.ClusterSpec({"worker": [f"127.0.0.1:{free}"]}), job_name="worker", task_index=0)
everywhere = []
for name, server in (("create_local_server()", local), ("a cluster of 127.0.0.1", listed)):
    port = int(server.target.rpartition(":")[2])
    addresses = listening(port)
    everywhere.append([set(address) for address in addresses] == [{"0"}])
    print(f"{name}: target {server.target}, listens at {', '.join(addresses)}")
raise SystemExit(not all(everywhere))
PYTHON

"""What several replicas change and cost."""

from collections.abc import Iterator

from benchmarks.lib import markdown, results
from benchmarks.lib.results import Row

# Seconds of a step at 32 images on each replica, for the cost on paper: a range of what GPUs take. What one core takes
# is measured.
GPU_STEPS = (0.05, 0.1, 0.2)
# Bytes a second between replicas, assumed: what rings of eight over NVLink reach of their 900 GB/s, and Ethernet of 10,
# 25 and 100 Gbit/s between machines.
LINKS = {"NVLink, 8 GPUs": (8, 400e9), "10 Gbit/s, 16 workers": (16, 1.25e9)}
LINKS |= {"25 Gbit/s, 16 workers": (16, 3.125e9), "100 Gbit/s, 16 workers": (16, 12.5e9)}
# Seconds until a message has reached the next worker.
LATENCY = 50e-6
# Gradients are sent in packs of about this many bytes, each with its own round of messages.
PACK = 32 * 2**20


def tables() -> dict[str, str]:
    """Return differences against one device and one process, the cost of a step, and the cost on paper."""
    losses = [
        [
            row["network"],
            f"{row['solved_log_loss']:.1e}",
            row["steps"],
            f"{row['losses']:.1e}",
            f"{row['validation_losses']:.1e}",
        ]
        for row in results.read("distribution", "losses")
    ]
    weights = [
        [row["workers"], f"{row['between_workers']:.1e}", f"{row['against_one_process']:.1e}"]
        for row in results.read("distribution", "weights")
    ]
    times = [
        {**row, "column": f"{row['replicas']}: s a step, processor s a step"}
        for row in results.read("distribution", "times")
    ]
    return {
        "made": markdown.made_by(results.made("distribution")),
        "losses": markdown.table(["network", "solved head, log loss", "steps", "losses", "validation losses"], losses),
        "weights": markdown.table(["workers", "weights, between workers", "weights, against one process"], weights),
        "times": markdown.pivot(times, {"network": "network"}, "column", _times),
        "on_paper": markdown.table(["network, gradients", "s a step", *LINKS], _on_paper()),
    }


def _times(row: Row) -> str:
    return f"{row['seconds']:.2f} ({row['ratio']:.2f}), {row['processor_seconds']:.2f} ({row['processor_ratio']:.2f})"


def _on_paper() -> Iterator[list[str]]:
    """Yield the share of n times the speed of one replica that is left, each with 32 images a step."""
    for row in results.read("distribution", "gradients"):
        for step in (*GPU_STEPS, row["step"]):
            sums = (seconds_of_sum(count, row["bytes"], link) for count, link in LINKS.values())
            here = " (one core here)" if step == row["step"] else ""
            label = f"{row['network']}, {row['bytes'] / 1e6:.0f} MB"
            yield [label, f"{step:.3g}{here}", *(f"{step / (step + seconds):.0%}" for seconds in sums)]


def seconds_of_sum(replicas: int, gradient: int, bandwidth: float) -> float:
    """Return the seconds that a ring takes to sum the gradients: each replica sends nearly twice all bytes.

    Args:
        replicas: Number of replicas in the ring.
        gradient: Bytes of the gradients.
        bandwidth: Bytes a second between two replicas.
    """
    packs = -(-gradient // PACK)
    return 2 * (replicas - 1) * (gradient / replicas / bandwidth + packs * LATENCY)

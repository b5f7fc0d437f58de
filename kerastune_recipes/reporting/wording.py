"""Phrases that the plan, the report and the page share."""


def balance(done: str, imbalance: float) -> str:
    """Say what a phase does about classes of unequal size.

    Args:
        done: "weights" or "sampling".
        imbalance: How many times larger the largest class is than the smallest.
    """
    words = {"weights": "weighted", "sampling": "drawn equally often"}
    return f"unbalanced, {imbalance:.3g} to 1: {words[done]}"

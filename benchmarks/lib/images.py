"""The images of the training split that a trial trains on, and those that judge it."""

from pathlib import Path

import pandas as pd

# Sets whose images keep their class when mirrored; the others are fine-tuned by the recipe for dissimilar images.
LIKE_IMAGENET = ("hymenoptera", "cifar10")
# Largest share of a class to train on, and most images to judge by.
SHARE, MOST_JUDGES = 0.75, 600


def divided(data: Path, each: str, seed: int) -> pd.DataFrame:
    """Return paths, labels and splits: images to train on, and others to judge by.

    Args:
        data: Folder with train/, which has a folder for each class.
        each: Training images of each class, or "all"; at most three quarters of a class.
        seed: Random seed of the draw.
    """
    files = sorted((data / "train").glob("*/*"))
    images = pd.DataFrame({"path": map(str, files), "label": [file.parent.name for file in files]})
    images = images.sample(frac=1, random_state=seed)
    most = (SHARE * images.groupby("label")["label"].transform("size")).round()
    trained = images.groupby("label").cumcount() < (most if each == "all" else most.clip(upper=int(each)))
    judges = images[~trained]
    judges = judges.sample(min(MOST_JUDGES, len(judges)), random_state=seed)
    return pd.concat([images[trained].assign(split="train"), judges.assign(split="validation")])

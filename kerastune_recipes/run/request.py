"""What a run was asked to do and what it began with: saved when it begins, compared exactly when it resumes."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from kerastune_recipes.data.dataset import Dataset, Pictures, Samples
from kerastune_recipes.data.split_images import TEST, TRAIN, UNLABELED, VALIDATION, split_in_words
from kerastune_recipes.errors import listed
from kerastune_recipes.run.options import RunOptions

# Bytes of the digest that is kept of each image.
_DIGEST_BYTES = 8


@dataclass(frozen=True)
class Asked:
    """What the user asked for.

    Args:
        name: Name of the recipe.
        content: The recipe or plan, as data.
        arguments: Options that `kerastune resume` needs to run it again, see `arguments_of`.
    """

    name: str
    content: Mapping[str, Any]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What a run was asked to do and what it began with.

    Args:
        asked: What the user asked for.
        plan: The plan that is run, as data.
        seed: Random seed.
        backend: Keras backend.
        images: Names, labels and groups by split.
        weights: A digest of each backbone's weights and layers, by its name.
        surroundings: Versions, devices and the like: a run resumes under others, but may end in other last digits.
        digests: uint8 (n, 8) by split, of the content of each image.
    """

    asked: Asked
    plan: Mapping[str, Any]
    seed: int
    backend: str
    images: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, str]
    surroundings: Mapping[str, str]
    digests: Mapping[str, np.ndarray]

    def to_parts(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return arrays, and data for JSON."""
        data = asdict(self)
        return data.pop("digests"), data

    def digest(self) -> str:
        """Return a digest of everything that decides what the run computes."""
        stated = json.dumps([self.plan, self.seed, self.backend, self.images, self.weights], sort_keys=True)
        digest = hashlib.blake2b(stated.encode(), digest_size=16)
        for split in sorted(self.digests):
            digest.update(self.digests[split].tobytes())
        return digest.hexdigest()

    @classmethod
    def from_parts(cls, arrays: Mapping[str, np.ndarray], data: Mapping[str, Any]) -> Self:
        """Return the request that `to_parts` divided."""
        return cls(digests=arrays, **{**data, "asked": Asked(**data["asked"])})


def arguments_of(ds: Any, options: RunOptions, own_network: bool = False) -> dict[str, Any]:
    """Return the options that `kerastune resume` needs, with absolute paths.

    What the shell cannot repeat, because it was given in Python, is listed under "in_python".

    Args:
        ds: The images, as the user gave them.
        options: The options of the run.
        own_network: Whether the backbone is a network of the user's own.

    Example:
        >>> arguments_of("demo:digits", RunOptions(folds=5))["data"]
        'demo:digits'
    """
    found: dict[str, Any] = {
        "data": _as_text(ds),
        "unlabeled": _as_text(options.unlabeled),
        "group_by": options.group_by if isinstance(options.group_by, int | str) else None,
        "strategy": options.strategy if isinstance(options.strategy, str) else None,
        "validation_split": options.validation_split,
        "pixel_range": None if options.pixel_range is None else list(map(float, options.pixel_range)),
    }
    given = {"data": ds, "unlabeled": options.unlabeled, "group_by": options.group_by, "strategy": options.strategy}
    in_python = [name for name, value in given.items() if value is not None and found[name] is None]
    in_python += ["callbacks"] * bool(options.callbacks) + ["backbone"] * own_network
    return {**found, "cache": options.cache, "in_python": in_python}


def _as_text(source: Any) -> str | None:
    """Return a folder or file as an absolute path, a name such as demo:digits as it is, and None for other sources."""
    if not isinstance(source, str | Path):
        return None
    return str(Path(source).absolute()) if Path(source).exists() else str(source)


def images_of(dataset: Dataset) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Return names, labels and groups of the images by split, and the digests of their content.

    Raises:
        DataError: Images that cannot be read; all of them are named.
    """
    splits: dict[str, Pictures | None] = {
        TRAIN: dataset.train,
        VALIDATION: dataset.validation,
        TEST: dataset.test,
        UNLABELED: dataset.unlabeled,
    }
    given = {split: pictures for split, pictures in splits.items() if pictures is not None}
    return (
        {split: _described(pictures) for split, pictures in given.items()},
        {split: _digests(pictures) for split, pictures in given.items()},
    )


def _described(pictures: Pictures) -> dict[str, Any]:
    found: dict[str, Any] = {"names": list(map(str, pictures.names))}
    if isinstance(pictures, Samples):
        found["labels"] = [pictures.class_names[label] for label in pictures.labels]
        found["groups"] = (
            "" if pictures.groups is None else hashlib.blake2b(pictures.groups.tobytes(), digest_size=8).hexdigest()
        )
    return found


def _digests(pictures: Pictures) -> np.ndarray:
    joined = b"".join(digest[:_DIGEST_BYTES] for digest in pictures.digests())
    return np.frombuffer(joined, np.uint8).reshape(-1, _DIGEST_BYTES)


def differences(before: Request, now: Request) -> list[str]:
    """Return what differs so that a run cannot resume, one phrase each; empty where nothing does.

    Args:
        before: What the run began with.
        now: What it is to resume with.
    """
    return [
        *recipe_differences(before.asked.content, now.asked.content),
        *([] if before.seed == now.seed else [f"the seed was {before.seed} and is {now.seed}"]),
        *([] if before.backend == now.backend else [f"the backend was {before.backend} and is {now.backend}"]),
        *(found for split in (TRAIN, VALIDATION, TEST, UNLABELED) for found in _split_differences(before, now, split)),
        *(
            f"the weights or layers of {name} are others"
            for name, digest in now.weights.items()
            if before.weights.get(name) != digest
        ),
    ]


def recipe_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the fields of a recipe or plan that differ, one phrase each.

    Example:
        >>> recipe_differences({"head": {"dropout": 0.1}}, {"head": {"dropout": 0.2}})
        ['head.dropout was 0.1 and is 0.2']
    """
    old, new = dict(_flat(before)), dict(_flat(now))
    return [
        f"{key} was {old.get(key, 'not given')} and is {new.get(key, 'not given')}"
        for key in dict.fromkeys((*old, *new))
        if old.get(key, "not given") != new.get(key, "not given")
    ]


def surroundings_differences(before: Request, now: Request) -> list[str]:
    """Return what differs in versions and devices, one phrase each: the last digits may differ from then on."""
    return recipe_differences(before.surroundings, now.surroundings)


def _flat(data: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested data with their dotted keys; an item of a list goes by its name, where it has one."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(data, list | tuple) and any(isinstance(item, Mapping) for item in data):
        for index, item in enumerate(data):
            name = item.get("name", index) if isinstance(item, Mapping) else index
            yield from _flat(item, f"{prefix}.{name}")
    else:
        yield prefix, list(data) if isinstance(data, tuple) else data


def _split_differences(before: Request, now: Request, split: str) -> list[str]:
    what = f"the {split_in_words(split)}"
    old, new = before.images.get(split), now.images.get(split)
    if old is None or new is None:
        return [] if old is new else [f"{what} {'were not given then' if old is None else 'are not given now'}"]
    if old == new and np.array_equal(before.digests[split], now.digests[split]):
        return []
    before_by_name = dict(zip(old["names"], map(bytes, before.digests[split]), strict=True))
    now_by_name = dict(zip(new["names"], map(bytes, now.digests[split]), strict=True))
    both = before_by_name.keys() & now_by_name.keys()
    labels = [dict(zip(each["names"], each.get("labels", each["names"]), strict=True)) for each in (old, new)]
    found = {
        "are gone": [name for name in old["names"] if name not in both],
        "are new": [name for name in new["names"] if name not in both],
        "have other content": [name for name in both if before_by_name[name] != now_by_name[name]],
        "have another label": [name for name in both if labels[0][name] != labels[1][name]],
    }
    phrases = [
        f"of {what} {len(names)} {verb}: {listed(sorted(names), most=5)}" for verb, names in found.items() if names
    ]
    return phrases or [f"{what} have another order or other groups"]

"""Opens changed arrays, lists, DataFrames and tf.data, and counts what comes of them.

    python -m fuzz.arrays --count 2000
    python -m fuzz.arrays --seconds 1800 --seed 7

The truth of each case is known: pixels and the name of each image's class. It is written in one of many forms, and
changed in up to two ways, each of which keeps the truth, or makes it one that must be refused. What is opened must have
the classes of the truth, with each image in its own; or an error of plain sentences says what is wrong. Faults are
named by seed and number; `--seed S --only N` opens that one again.
"""

import datetime
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from fuzz import runner
from fuzz.runner import Judged
from fuzz.text import HangError, no_sentences
from PIL import Image

from kerastune_recipes.data.dataset import Dataset
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.data.sources.open_to_predict import open_to_predict
from kerastune_recipes.errors import KerastuneError

# Some images of some pixels that take longer stand for those that never end.
MOST_SECONDS = 10
OPENED, REFUSED = "opened", "refused"
FAULTS = ("traceback", "no sentence", "wrong classes", "wrong pixels", "accepted", "refused wrongly", "hang")
OUTCOMES = (OPENED, REFUSED, *FAULTS)
# How often each kind is made; a dataset of TensorFlow takes longest.
KINDS = {"arrays": 8, "frame": 4, "tf.data": 2, "predict": 4}
IMAGES, SIDE = 12, 6

NAMES = (
    ("ant", "bee"), ("b", "a", "c"), ("10", "9", "2"), ("0", "1"), ("Möwe", "gull"), ("a b", "c,d"), ("nan", "None"),
    ("1.5", "2"), ("True", "False"), ("007", "8"), ("x" * 200, "y"), ("<b>", "&"), ("-1", "1"),
)  # fmt: skip
MISSING = (None, float("nan"), pd.NA, pd.NaT, "", "  ", b"", np.float32("nan"), np.datetime64("NaT"))
STRANGE = ({"a": 1}, object(), datetime.date(2026, 1, 1), 1j, ["a", "b"], ("a", "b"), [], {"a", "b"}, b"\xff\xfe", len)


@dataclass
class Case:
    """A form of the truth, perhaps changed.

    Args:
        kind: One of `KINDS`.
        pixels: uint8 (n, side, side, 3), as they must be read.
        names: Name of the class of each image, as it must be read.
        numbered: Whether labels are numbers, so that classes are 0, 1, .. up to the largest.
        data: What is opened.
        options: Options of `open_dataset`.
        must: What must come of it: `OPENED`, `REFUSED`, or an empty text for either.
        changes: What was done to it.
    """

    kind: str
    pixels: np.ndarray
    names: list[str]
    numbered: bool = False
    data: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    must: str = OPENED
    changes: list[str] = field(default_factory=list)

    def refuse(self, change: str) -> None:
        """Note a change that makes data which must be refused."""
        self.must = REFUSED
        self.changes.append(change)

    def doubt(self, change: str) -> None:
        """Note a change of which either may come."""
        self.must = "" if self.must == OPENED else self.must
        self.changes.append(change)

    def keep(self, change: str) -> None:
        """Note a change that keeps the truth."""
        self.changes.append(change)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that the truth has, in the order in which they must be."""
        if self.numbered:
            return tuple(map(str, range(max(map(int, self.names)) + 1)))
        distinct = set(self.names)
        if all(name.isdecimal() for name in distinct):
            return tuple(sorted(distinct, key=lambda name: (int(name), name)))
        return tuple(sorted(distinct))


def case(seed: int, number: int, folder: Path) -> Case:
    """Make a case; the same seed and number give the same one.

    Args:
        seed: Seed of the sequence.
        number: Number in it.
        folder: A folder of image files, see `write_images`.
    """
    chosen = random.Random(f"{seed} {number}")
    (kind,) = chosen.choices(list(KINDS), list(KINDS.values()))
    classes = chosen.choice(NAMES)
    names = [classes[index % len(classes)] for index in range(IMAGES)]
    made = Case(kind, PIXELS.copy(), names)
    MAKERS[kind](made, chosen, folder)
    return made


def _pixels(count: int) -> np.ndarray:
    pixels = np.random.default_rng(7).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[:, 0, 0], pixels[:, 0, 1] = 0, 255  # so that a scale is told from each image
    return pixels


PIXELS = _pixels(IMAGES)


def write_images(folder: Path) -> None:
    """Write the pixels as 0.png, 1.png and so on."""
    for number, image in enumerate(PIXELS):
        Image.fromarray(image).save(folder / f"{number}.png")


# Images in memory


def _images(made: Case, chosen: random.Random) -> Any:
    """Return the images of a case in one of many forms, perhaps changed."""
    x: Any = made.pixels
    form = chosen.choice(IMAGE_FORMS)
    if chosen.random() < 0.35:
        x = _changed_images(made, x, chosen)
    made.keep(f"images: {form.__name__.strip('_')}")
    if isinstance(x, np.ma.MaskedArray) and form not in (_stack, _list, _tuple, _objects):
        made.must = ""  # the form drops the mask
    return x if x is None else form(x)


def _stack(x: Any) -> Any:
    return x


def _list(x: Any) -> Any:
    return list(x)


def _tuple(x: Any) -> Any:
    return tuple(x)


def _objects(x: Any) -> Any:
    array = np.empty(len(x), object)
    for index, image in enumerate(x):
        array[index] = image
    return array


def _floats(x: Any) -> Any:
    return np.asarray(x).astype(np.float32) if isinstance(x, np.ndarray) and x.dtype == np.uint8 else x


def _big_endian(x: Any) -> Any:
    return np.asarray(x).astype(">i4") if isinstance(x, np.ndarray) and x.dtype == np.uint8 else x


def _half(x: Any) -> Any:
    return np.asarray(x).astype(np.float16) if isinstance(x, np.ndarray) and x.dtype == np.uint8 else x


def _fortran(x: Any) -> Any:
    return np.asfortranarray(x) if isinstance(x, np.ndarray) else x


def _nested(x: Any) -> Any:
    return x.tolist() if isinstance(x, np.ndarray) and x.dtype.kind in "biuf" else x


def _read_only(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        x = x[:]
        x.flags.writeable = False
    return x


def _pillow(x: Any) -> Any:
    usable = isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim == 4 and x.shape[3] == 3 and x.size
    return [Image.fromarray(image) for image in x] if usable else x


IMAGE_FORMS = (
    _stack, _stack, _list, _tuple, _objects, _floats, _big_endian, _half, _fortran, _nested, _read_only, _pillow,
)  # fmt: skip


def _changed_images(made: Case, x: np.ndarray, chosen: random.Random) -> Any:
    some = chosen.sample(range(len(x)), chosen.choice((1, 3, 6)))
    change = chosen.choice(
        (
            "fractions", "some fractions", "shifted", "some shifted", "outside", "nan", "infinite", "deep", "dark",
            "axis", "flat", "empty", "text", "complex", "masked", "structured", "another size", "another shape",
            "truth", "same", "stated", "stated wrongly", "none",
        )
    )  # fmt: skip
    floats = x.astype(np.float64)
    if change == "fractions":
        x = floats / 255
        made.refuse(change)
    elif change == "some fractions":
        floats[some] /= 255
        x = floats
        made.refuse(change)
    elif change == "shifted":
        x = floats / 127.5 - 1
        made.refuse(change)
    elif change == "some shifted":
        floats[some] = floats[some] / 127.5 - 1
        x = floats
        made.refuse(change)
    elif change in ("outside", "nan", "infinite"):
        floats[some, 1, 1] = {"outside": chosen.choice((-1, 256, 1e300)), "nan": np.nan, "infinite": np.inf}[change]
        x = floats
        made.refuse(change)
    elif change == "deep":
        x = x.astype(np.uint16) * 257
        made.refuse(change)
    elif change == "dark":
        made.pixels = x = x // 16
        made.keep(change)
    elif change == "axis":
        x = np.moveaxis(x, 3, 1)
        made.refuse(change)
    elif change == "flat":
        x = x.reshape(len(x), -1)
        made.refuse(change)
    elif change == "empty":
        x = x[:, :, :0]
        made.refuse(change)
    elif change == "text":
        x = np.array([f"{number}.png" for number in range(len(x))])
        made.refuse(change)
    elif change == "complex":
        x = x * 1j
        made.refuse(change)
    elif change == "masked":
        x = np.ma.array(x, mask=x > 250)
        made.refuse(change)
    elif change == "structured":
        x = np.zeros(len(x), dtype=[("r", "u1"), ("g", "u1")])
        made.refuse(change)
    elif change == "another size":
        x = [np.concatenate([image, image[:1]]) if index in some else image for index, image in enumerate(x)]
        made.pixels = x
        made.keep(change)
    elif change == "another shape":
        x = [image.reshape(-1) if index in some else image for index, image in enumerate(x)]
        made.refuse(change)
    elif change == "truth":
        x = x > 100
        made.refuse(change)
    elif change == "same":
        x = np.broadcast_to(x[:1], x.shape)
        made.refuse(change)
    elif change == "stated":
        low, high = chosen.choice(((0, 1), (-1, 1), (0, 4095), (-1000.0, 3000.0)))
        x = floats / 255 * (high - low) + low
        # Sums of floats may leave the range in their last digits.
        x = np.clip(x, low, high)
        made.options["pixel_range"] = (low, high)
        made.keep(change)
    elif change == "stated wrongly":
        made.options["pixel_range"] = chosen.choice(
            ((0, 1), (0, 100), 255, (255, 0), "0 1", (0, np.nan), (1,), [0, 65535])
        )
        # In a range of 16 bits all bytes are black.
        made.refuse(change)
    else:
        x = None
        made.refuse(change)
    return x


# Labels


def _labels(made: Case, chosen: random.Random) -> Any:
    """Return the labels of a case in one of many forms, perhaps changed."""
    values: list[Any] = list(made.names)
    numeric = chosen.random() < 0.5
    if numeric:
        order = {name: number for number, name in enumerate(dict.fromkeys(values))}
        values = [order[name] for name in values]
        made.names, made.numbered = list(map(str, values)), True
    changed = chosen.random() < 0.35
    if changed:
        values = _changed_labels(made, values, chosen)
    if changed and chosen.random() < 0.5:
        form: Callable[[Any], Any] = _list
    else:
        form = chosen.choice(NUMBER_FORMS if numeric else TEXT_FORMS)
    try:
        labels = form(values)
    except Exception:  # there is no such form of these values
        form, labels = _list, values
    made.keep(f"labels: {form.__name__.strip('_')}")
    if (
        changed
        and form in (_array, _column, _small_integers, _string_series, _one_hot, _one_hot_lists)
        and made.must == REFUSED
    ):
        made.must = ""  # the form makes text of all, or integers
    return labels


def _array(values: Any) -> Any:
    return np.array(values)


def _column(values: Any) -> Any:
    return np.array(values).reshape(-1, 1)


def _series(values: Any) -> Any:
    return pd.Series(values, index=np.arange(len(values)) * 7)


def _string_series(values: Any) -> Any:
    return pd.Series(values, dtype="string")


def _categorical(values: Any) -> Any:
    return pd.Categorical(values)


def _encoded(values: Any) -> Any:
    return np.array([value.encode() for value in values])


def _encoded_objects(values: Any) -> Any:
    return _objects([value.encode() for value in values])


def _zero_axes(values: Any) -> Any:
    return [np.array(value) for value in values]


def _lists_of_one(values: Any) -> Any:
    return [[value] for value in values]


def _blanks(values: Any) -> Any:
    return [f" {value}\t" if isinstance(value, str) else value for value in values]


def _float_labels(values: Any) -> Any:
    return np.array(values, dtype=np.float64)


def _small_integers(values: Any) -> Any:
    return np.array(values, dtype=np.uint8)


def _nullable(values: Any) -> Any:
    return pd.array(values, dtype="Int64")


def _one_hot(values: Any) -> Any:
    return np.eye(max(values) + 1)[values]


def _one_hot_lists(values: Any) -> Any:
    return np.eye(max(values) + 1, dtype=int)[values].tolist()


TEXT_FORMS = (
    _list, _array, _tuple, _objects, _column, _series, _string_series, _categorical, _encoded, _encoded_objects,
    _zero_axes, _lists_of_one, _blanks,
)  # fmt: skip
NUMBER_FORMS = (
    _list, _array, _tuple, _objects, _column, _series, _float_labels, _small_integers, _nullable, _zero_axes,
    _lists_of_one, _one_hot, _one_hot_lists,
)  # fmt: skip


def _changed_labels(made: Case, values: list[Any], chosen: random.Random) -> Any:
    index = chosen.randrange(len(values))
    change = chosen.choice(
        ("missing", "missing", "strange", "strange", "id", "negative", "fraction", "fewer", "more", "none", "scalar",
         "axes", "set", "iterator", "one class", "single", "floats", "several hot")
    )  # fmt: skip
    if change == "missing":
        values[index] = chosen.choice(MISSING)
        made.refuse(change)
    elif change == "strange":
        values[index] = chosen.choice(STRANGE)
        made.refuse(change)
    elif change == "id" and made.numbered:
        values[index] = chosen.choice((10**9, 2**40, 2**63, 10**30, 10**400, 1e300, -(10**9)))
        made.refuse(change)
    elif change == "negative" and made.numbered:
        values[index] = -1
        made.refuse(change)
    elif change == "fraction" and made.numbered:
        values[index] = chosen.choice((0.5, float("inf"), 1e-9))
        made.refuse(change)
    elif change in ("fewer", "more"):
        values = values[:-1] if change == "fewer" else [*values, values[0]]
        made.refuse(change)
    elif change == "none":
        values = None
        made.refuse(change)
    elif change == "scalar":
        values = chosen.choice((3, "ant", 0.5, object()))
        made.refuse(change)
    elif change == "axes":
        values = np.zeros((len(values), 1, 1))
        made.refuse(change)
    elif change == "set":
        values = set(values)
        made.doubt(change)
    elif change == "iterator":
        values = iter(values)
        made.doubt(change)
    elif change == "one class":
        values = [values[0]] * len(values)
        made.refuse(change)
    elif change == "single" and not made.numbered:
        values[index] = "another"
        made.refuse(change)
    elif change == "floats" and made.numbered:
        values = [float(value) for value in values]
        made.keep(change)
    elif change == "several hot":
        values = np.ones((len(values), 2))
        made.refuse(change)
    return values


# Kinds


def _make_arrays(made: Case, chosen: random.Random, folder: Path) -> None:
    x, y = _images(made, chosen), _labels(made, chosen)
    made.data = (x, y)
    change = chosen.choice(("pair", "pair", "pair", "list", "splits", "groups", "pixels only"))
    if change == "list":
        made.data = [x, y]
    elif change == "splits":
        made.data = {"train": (x, y)}
    elif change == "groups":
        made.options["group_by"] = chosen.choice(
            (
                [index // 6 for index in range(IMAGES)],
                np.arange(IMAGES) // 6 * 1.0,
                ["p", None] * 6,
                [0] * 3,
                "patient",
                1,
            )
        )
        made.doubt(change)
    elif change == "pixels only":
        made.data = chosen.choice((x, (x,), (x, y, y), [x, None]))
        made.refuse(change)


def _make_frame(made: Case, chosen: random.Random, folder: Path) -> None:
    paths: list[Any] = [str(folder / f"{number}.png") for number in range(IMAGES)]
    labels = list(made.names)
    changed = chosen.random() < 0.4
    values = _changed_labels(made, list(labels), chosen) if changed else labels
    if not isinstance(values, list) or len(values) != IMAGES:
        values, made.must = labels, OPENED
        made.keep("undone")
    frame = pd.DataFrame({"path": paths, "label": pd.Series(values, dtype=object)})
    change = chosen.choice(
        ("none", "none", "none", "category", "bytes", "blanks", "index", "doubled", "no label", "missing path", "gone",
         "twice", "Path", "bytes path", "more columns", "split", "numbers", "axes")
    )  # fmt: skip
    if change == "category" and not changed:
        frame["label"] = frame["label"].astype("category")
        made.keep(change)
    elif change == "bytes" and not changed:
        frame["label"] = [label.encode() for label in labels]
        made.keep(change)
    elif change == "blanks" and not changed:
        frame["label"] = [f" {label} " for label in labels]
        made.keep(change)
    elif change == "index":
        frame.index = chosen.choice(([0] * IMAGES, list("abcdefghijkl"), pd.date_range("2026", periods=IMAGES)))
        made.keep(change)
    elif change == "doubled":
        frame = pd.concat([frame, frame[chosen.choice(("path", "label"))]], axis=1)
        made.refuse(change)
    elif change == "no label":
        frame = frame[["path"]]
        made.refuse(change)
    elif change == "missing path":
        frame["path"] = [chosen.choice((None, "", float("nan"), pd.NA)), *paths[1:]]
        made.refuse(change)
    elif change == "gone":
        frame["path"] = [str(folder / "gone.png"), *paths[1:]]
        made.refuse(change)
    elif change == "twice":
        frame["path"] = [paths[1], *paths[1:]]
        made.refuse(change)
    elif change == "Path":
        frame["path"] = list(map(Path, paths))
        made.keep(change)
    elif change == "bytes path":
        frame["path"] = [path.encode() for path in paths]
        made.keep(change)
    elif change == "more columns":
        frame["note"] = [{"a": 1}] * IMAGES
        made.keep(change)
    elif change == "split":
        frame["split"] = chosen.choice(
            (["train"] * IMAGES, ["train"] * 11 + [None], ["holdout"] * IMAGES, [1] * IMAGES)
        )
        made.doubt(change)
    elif change == "numbers" and not changed:
        order = {name: number for number, name in enumerate(dict.fromkeys(labels))}
        made.names = [str(order[name]) for name in labels]
        frame["label"] = pd.array(
            [order[name] for name in labels], dtype=chosen.choice(("int64", "float64", "Int64", "uint8", "Float32"))
        )
        made.keep(change)
    elif change == "axes":
        frame.columns = pd.MultiIndex.from_tuples([("a", name) for name in frame.columns])
        made.refuse(change)
    made.data = frame


def _make_tf_data(made: Case, chosen: random.Random, folder: Path) -> None:
    import tensorflow as tf

    x, y = _images(made, chosen), _labels(made, chosen)
    try:
        data = tf.data.Dataset.from_tensor_slices((x, y))
    except Exception:  # what TensorFlow takes for no data set is nothing of ours
        made.must, made.options, made.names, made.numbered = OPENED, {}, ["0", "1"] * 6, True
        made.pixels = PIXELS
        data = tf.data.Dataset.from_tensor_slices((PIXELS, [0, 1] * 6))
    if len(data) != IMAGES:
        made.doubt("another length")
    if {"masked", "flat"} & set(made.changes):
        made.must = ""  # TensorFlow drops the mask, and a batch of one flat image is an image
    change = chosen.choice(("none", "batch", "batch", "ragged", "repeat", "triple", "dictionary", "map", "shuffle"))
    if change == "batch":
        data = data.batch(chosen.choice((1, 5, 12)))
        made.keep(change)
    elif change == "ragged":
        data = data.ragged_batch(5)
        made.doubt(change)
    elif change == "repeat":
        data = data.repeat()
        made.refuse(change)
    elif change == "triple":
        data = data.map(lambda image, label: (image, label, label))
        made.refuse(change)
    elif change == "dictionary":
        data = data.map(lambda image, label: {"image": image, "label": label})
        made.refuse(change)
    elif change == "map":
        data = data.map(lambda image, label: (tf.cast(image, tf.float32), label)) if made.must == OPENED else data
        made.keep(change)
    elif change == "shuffle":
        data = data.prefetch(2)
        made.keep(change)
    made.data = data


def _make_predict(made: Case, chosen: random.Random, folder: Path) -> None:
    x = _images(made, chosen)
    if made.changes[0] in ("same", "flat"):  # nothing learns from these, and an image may be flat
        made.must = ""
    change = chosen.choice(
        ("as it is", "as it is", "generator", "files", "folder", "pattern", "bytes", "one", "mixed", "strange")
    )
    if change == "generator":
        x = iter(x) if hasattr(x, "__iter__") else x
    elif change in ("files", "folder", "pattern", "bytes", "mixed"):
        made.must, made.options, made.pixels, made.changes = OPENED, {}, PIXELS, []
        files = [folder / f"{number}.png" for number in range(IMAGES)]
        content = [file.read_bytes() for file in files]
        x = {
            "files": [*map(str, files)],
            "folder": folder,
            "pattern": f"{folder}/*.png",
            "bytes": content,
            "mixed": [files[0], PIXELS[1], *content[2:5], Image.fromarray(PIXELS[5]), *PIXELS[6:].astype(int)],
        }[change]
        if change in ("folder", "pattern"):
            made.pixels = PIXELS[sorted(range(IMAGES), key=lambda number: f"{number}.png")]
    elif change == "one":
        x = x[0] if isinstance(x, np.ndarray | list | tuple) and len(x) else x
        made.pixels, made.must = made.pixels[:1], ""  # others are changed, perhaps

    elif change == "strange":
        x = chosen.choice(
            (*STRANGE, None, 3, 0.5, "", "nothing.png", b"", [[]], [None], {}, iter([]), Path("nothing"), [1, 2])
        )
        made.must, made.options = "", {}
    made.keep(change)
    made.data = x


MAKERS: dict[str, Callable[[Case, random.Random, Path], None]] = {
    "arrays": _make_arrays,
    "frame": _make_frame,
    "tf.data": _make_tf_data,
    "predict": _make_predict,
}


# What comes of them


def outcome(made: Case) -> tuple[str, str]:
    """Return what came of a case, and what was wrong with it."""
    try:
        with warnings.catch_warnings(), _limited():
            warnings.simplefilter("ignore")
            found, detail = (_predicted if made.kind == "predict" else _opened)(made)
    except KerastuneError as error:
        wrong = no_sentences(error)
        if wrong:
            return "no sentence", wrong
        return ("refused wrongly", str(error)) if made.must == OPENED else (REFUSED, "")
    except HangError:
        return "hang", "it took too long"
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {error}"
    return ("accepted", "") if found == OPENED and made.must == REFUSED else (found, detail)


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _opened(made: Case) -> tuple[str, str]:
    dataset = open_dataset(made.data, **made.options)
    if made.must != OPENED:
        return OPENED, ""
    if dataset.class_names != made.classes:
        return "wrong classes", f"{dataset.class_names}, expected {made.classes}"
    return _compared(made, dataset)


def _compared(made: Case, dataset: Dataset) -> tuple[str, str]:
    """Compare class and pixels of each image with the truth."""
    seen = 0
    for samples in (dataset.train, dataset.validation):
        for index, name in enumerate(samples.names):
            number = int("".join(filter(str.isdigit, Path(str(name)).stem)))
            found = dataset.class_names[samples.labels[index]]
            if found != made.names[number]:
                return "wrong classes", f"image {number} is {found}, expected {made.names[number]}"
            if not _is_same(samples.read(index), made.pixels[number]):
                return "wrong pixels", f"image {number}"
            seen += 1
    return (OPENED, "") if seen == len(made.names) else ("wrong classes", f"{seen} images")


def _predicted(made: Case) -> tuple[str, str]:
    pictures = open_to_predict(made.data, **made.options)
    for index in range(len(pictures)):
        pixels = pictures.read(index)
        if made.must == OPENED and not _is_same(pixels, made.pixels[index]):
            return "wrong pixels", f"image {index}"
    if made.must == OPENED and len(pictures) != len(made.pixels):
        return "wrong pixels", f"{len(pictures)} images"
    return OPENED, ""


def _is_same(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and bool((np.abs(found.astype(int) - expected.astype(int)) <= 1).all())


def run(seed: int, numbers: Iterable[int], seconds: float = float("inf")) -> tuple[runner.Counts, list[str], float]:
    """Open cases one by one, see `runner.run`.

    Args:
        seed: Seed of the sequence.
        numbers: Numbers of the cases.
        seconds: Time after which no further one is opened.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_images(folder)

        def judge(number: int) -> Judged:
            made = case(seed, number, folder)
            began = time.monotonic()
            found, detail = outcome(made)
            return Judged(made.kind, found, f"{detail} ({', '.join(made.changes)})", time.monotonic() - began)

        return runner.run(numbers, judge, FAULTS, seconds, hang=10 * MOST_SECONDS)


def main() -> int:
    options = runner.arguments(__doc__.splitlines()[0], "case")
    print(f"seed {options.seed}", flush=True)
    numbers = range(options.count) if options.only is None else [options.only]
    return runner.report(run(options.seed, numbers, options.seconds), KINDS, OUTCOMES)


if __name__ == "__main__":
    sys.exit(main())

"""Opens changed folders, tables and pairs of splits, and counts what comes of them.

    python -m fuzz.sources --count 3000
    python -m fuzz.sources --seconds 1800 --seed 7

Each gives a data set that is planned, or an error of plain sentences. The classes of a data set must be those that its
folders or rows have, image by image, and no image may be missing. Faults are named by seed and number;
`--seed S --only N` makes that one again, and leaves its folder.
"""

import csv
import io
import os
import random
import re
import shutil
import sys
import tempfile
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import small_facts
from fuzz import runner, text
from fuzz.runner import Judged
from fuzz.text import FAULTS, HangError, edited
from PIL import Image

from kerastune_recipes.data.dataset import Dataset, dataset_digest
from kerastune_recipes.data.image_formats import SUFFIXES
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.data.sources.parts import split_of
from kerastune_recipes.data.split_images import TEST, TRAIN, VALIDATION
from kerastune_recipes.errors import DataWarning, KerastuneError
from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.reporting import plan_text
from kerastune_recipes.spec import catalog

# How often each kind is made.
KINDS = {"classes": 6, "splits": 5, "kept": 4, "table": 6, "damaged table": 2, "frame": 2, "numbers": 3}
OPENED, REFUSED = "opened", "refused"
OUTCOMES = (OPENED, REFUSED, *FAULTS)
# Ten long names of files in a sentence.
LONGEST_SENTENCE = 20_000
LEFTOVERS = (".DS_Store", "Thumbs.db", "desktop.ini", "@eaDir", "__MACOSX", ".ipynb_checkpoints")
NAMES = (
    "ants", "bees", "Ants", "ants ", "a_b", "a b", "M\u00f6we", "Mo\u0308we", "0", "1", "2", "10", "11", "007", "7",
    "1.0", "-1", "train", "Train", "training", "test", "Testing", "test_set", "val", "valid", "invalid", "dev",
    "unlabeled", "labeled", "fold1", "fold2", "images", "photos", "x" * 200, "[b]", "a.b", "a.png", "a,b", "=1+1",
    "\u202ea", "a\nb", "a\x1b[2J", "\udcff", "a\u2028b", "con", "$x", "100%", "\U0001f41c", "\u0130",
)  # fmt: skip
FILES = (
    "1.png", "1.PNG", "1.jpg", "1", "1.txt", "1.xml", "1.heic", "1.dcm", "1.jpg.bak", "1.png~", "._1.png", "LICENSE",
    "README.md", "train.csv", "labels.json", "photos.zip", "a b.png", "\udcff.png", "\u202egnp.png", "M\u00f6we.png",
    "Mo\u0308we.png", "a\nb.png", "x" * 200 + ".png", "-1.png", "a'b.png", 'a"b.png', "a,b.png", "a;b.png", "%s.png",
    "train-00000-of-00001",
)  # fmt: skip
FORMS = ("as is", "as is", "as is", "back slashes", "no extension", "NFD", "absolute")
FOLDERS = ("a", "b c", "M\u00f6we")
HEADERS = {
    "path": (
        "path",
        "path",
        "Path",
        "PATH",
        " path",
        "file_name",
        "filename",
        "File Name",
        "image",
        "image_id",
        "id_code",
    ),
    "label": ("label", "label", "Label", "class", "Class", "category", "breed", "labels"),
    "split": ("split", "split", "Split", "set", "data set", "subset", "part"),
}
SPLIT_WORDS = {
    TRAIN: ("train", "Train", "training", "TRAIN", "train_set"),
    VALIDATION: ("val", "valid", "validation", "Validation", "dev"),
    TEST: ("test", "Test", "testing", "test_set"),
}


@dataclass
class Made:
    """A changed source, and what is known of it.

    Args:
        kind: One of `KINDS`.
        folder: The folder of its files.
        data: What is given to `open_dataset`.
        options: The other arguments.
        check: Checks a data set that was opened; raises AssertionError.
        clear: Whether it has one meaning only, so that it may not be refused.
        told: What was done, for the message.
    """

    kind: str
    folder: Path
    data: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    check: Callable[["Made", Dataset], None] = lambda made, dataset: None
    clear: bool = False
    told: list[str] = field(default_factory=list)


@cache
def pictures() -> tuple[bytes, ...]:
    """Return encoded images of different content."""
    chosen = np.random.default_rng(0)
    return tuple(_png(chosen.integers(0, 256, (8, 8 + number % 3, 3), dtype=np.uint8)) for number in range(120))


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def case(seed: int, number: int, folder: Path) -> Made:
    """Make a source in a folder; the same seed and number give the same one."""
    chosen = random.Random(f"{seed} {number}")
    kind = chosen.choices(list(KINDS), list(KINDS.values()))[0]
    made = Made(kind, folder)
    stock = list(pictures())
    chosen.shuffle(stock)
    MAKERS[kind](made, chosen, iter(stock))
    return made


# Folders


def _classes(made: Made, chosen: random.Random, stock: Iterator[bytes]) -> None:
    _fill(made.folder, _names(chosen), chosen, stock)
    _change(made, chosen, stock)
    made.data = str(made.folder) if chosen.random() < 0.5 else made.folder
    made.check = check_folder


def _splits(made: Made, chosen: random.Random, stock: Iterator[bytes]) -> None:
    names = _names(chosen)
    for split in (TRAIN, *chosen.sample((VALIDATION, TEST), chosen.randrange(3))):
        of_split = [unicodedata.normalize(chosen.choice(("NFC", "NFD")), name) for name in names]
        _fill(made.folder / chosen.choice(SPLIT_WORDS[split]), of_split, chosen, stock)
    if chosen.random() < 0.2:
        _fill(made.folder / "unlabeled", ["a"], chosen, stock)
    if chosen.random() < 0.5:
        _change(made, chosen, stock)
    made.data = made.folder
    made.check = check_folder


def _kept(made: Made, chosen: random.Random, stock: Iterator[bytes]) -> None:
    """Make folders with changes that do not matter."""
    names = chosen.choice((["ants", "bees"], ["9", "10", "11"], ["M\u00f6we", "Cat"], ["valid", "invalid"]))
    splits = chosen.choice(((), (), (TRAIN,), (TRAIN, TEST), (TRAIN, VALIDATION, TEST)))
    bases = [made.folder / chosen.choice(SPLIT_WORDS[split]) for split in splits] or [made.folder]
    groups = chosen.random() < 0.3
    for number, base in enumerate(bases):
        for name in names:
            stored = unicodedata.normalize(chosen.choice(("NFC", "NFD")), name)
            _fill(base / stored, [f"{group}{number}" for group in "abc"] if groups else [""], chosen, stock)
    folders = [made.folder, *(path for path in made.folder.rglob("*") if path.is_dir())]
    for _ in range(chosen.randrange(3)):
        name = chosen.choice((*LEFTOVERS, "LICENSE", "README.md", "1.xml", "train.csv", "._1.png"))
        (chosen.choice(folders) / name).write_bytes(
            chosen.choice((b"", b"words", pictures()[-1])) if name != "LICENSE" else b"a"
        )
        made.told.append(name)
    if groups:
        made.options["group_by"] = 1
        if chosen.random() < 0.5:
            inside = next(path for path in bases[0].rglob("*") if path.name == "a0")
            (inside / "circle").symlink_to(chosen.choice((inside, inside.parent, made.folder)))
            made.told.append("circle")
    if len(splits) > 1 and not groups and chosen.random() < 0.3:
        _copy_into_itself(made, made.folder, made.folder, chosen, stock)
        made.told.append("copy")
    if splits and chosen.random() < 0.3:
        _fill(made.folder / chosen.choice(("unlabeled", "Unlabelled")) / "deep", ["er"], chosen, stock)
    made.data, made.check, made.clear = made.folder, check_folder, True


def _names(chosen: random.Random) -> list[str]:
    return chosen.choice(
        (
            ["ants", "bees"],
            [str(number) for number in range(chosen.choice((2, 5, 12)))],
            chosen.sample(NAMES, chosen.choice((1, 2, 2, 3))),
        )
    )


def _fill(folder: Path, names: list[str], chosen: random.Random, stock: Iterator[bytes]) -> None:
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(chosen.choice((2, 2, 3, 4)) if len(names) < 6 else 2):
            (folder / name / f"{number}.png").write_bytes(next(stock, pictures()[0]))


def _change(made: Made, chosen: random.Random, stock: Iterator[bytes]) -> None:
    """Change a folder at one to three places."""
    if chosen.random() < 0.15:
        made.options["group_by"] = chosen.choice((1, 1, 2, 0, "patient"))
    for _ in range(chosen.choice((0, 1, 1, 2, 3))):
        folders = [
            made.folder,
            *sorted(path for path in made.folder.rglob("*") if path.is_dir() and not path.is_symlink()),
        ]
        files = sorted(path for path in made.folder.rglob("*") if path.is_file())
        place, file = chosen.choice(folders), chosen.choice(files) if files else made.folder / "none"
        change = chosen.choice(list(CHANGES))
        made.told.append(f"{change} {str(place.relative_to(made.folder))!a}")
        try:
            CHANGES[change](made, place, file, chosen, stock)
        except (OSError, shutil.Error) as error:  # such as a name that is taken
            made.told.append(f"({error})"[:60])


def _rename(made: Made, place: Path, file: Path, chosen: random.Random, stock: Iterator[bytes]) -> None:
    if place != made.folder:
        place.rename(place.with_name(chosen.choice(NAMES)))


def _rename_file(made: Made, place: Path, file: Path, chosen: random.Random, stock: Iterator[bytes]) -> None:
    file.rename(file.with_name(chosen.choice(FILES)))


def _new_file(made: Made, place: Path, file: Path, chosen: random.Random, stock: Iterator[bytes]) -> None:
    content = chosen.choice((b"", b"some words", b"P5 words", next(stock, pictures()[0]), pictures()[1][:40]))
    (place / chosen.choice((*FILES, *LEFTOVERS))).write_bytes(content)


def _new_folder(made: Made, place: Path, file: Path, chosen: random.Random, stock: Iterator[bytes]) -> None:
    name = chosen.choice((*NAMES, *LEFTOVERS))
    if chosen.random() < 0.5:
        (place / name).mkdir()
    else:
        _fill(place, [name], chosen, stock)


def _damage(made: Made, place: Path, file: Path, chosen: random.Random, stock: Iterator[bytes]) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: chosen.randrange(len(content) + 1)])


def _remove(made: Made, place: Path, file: Path, chosen: random.Random, stock: Iterator[bytes]) -> None:
    file.unlink()


def _wrap(made: Made, place: Path, file: Path, chosen: random.Random, stock: Iterator[bytes]) -> None:
    inner = place / chosen.choice(("photos", "archive", "p1", place.name))
    entries = [entry for entry in place.iterdir() if entry != inner]
    inner.mkdir(exist_ok=True)
    for entry in entries:
        entry.rename(inner / entry.name)


def _copy_into_itself(made: Made, place: Path, file: Path, chosen: random.Random, stock: Iterator[bytes]) -> None:
    entries = list(place.iterdir())
    inner = place / chosen.choice(("copy", "photos"))
    inner.mkdir()
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, inner / entry.name, symlinks=True)
        elif entry.is_file():
            shutil.copy(entry, inner / entry.name)


def _link(made: Made, place: Path, file: Path, chosen: random.Random, stock: Iterator[bytes]) -> None:
    target = chosen.choice((made.folder, place, place.parent, file, made.folder / "nowhere"))
    (place / chosen.choice(("link", "bees2", "link.png"))).symlink_to(target)


def _pipe(made: Made, place: Path, file: Path, chosen: random.Random, stock: Iterator[bytes]) -> None:
    os.mkfifo(place / chosen.choice(("pipe", "pipe.png", "pipe.csv")))


CHANGES = {
    "rename": _rename, "rename file": _rename_file, "new file": _new_file, "new folder": _new_folder, "damage": _damage,
    "remove": _remove, "wrap": _wrap, "copy into itself": _copy_into_itself, "link": _link, "pipe": _pipe,
}  # fmt: skip


def check_folder(made: Made, dataset: Dataset) -> None:
    """Check classes and numbers of images against the folders, as simply as possible."""
    held = {TRAIN: dataset.train, VALIDATION: dataset.validation, TEST: dataset.test}
    names = [(split, name, samples.class_names[label])
             for split, samples in held.items() if samples is not None
             for name, label in zip(samples.names, samples.labels, strict=True)]  # fmt: skip
    tops = {name.split("/")[0] for _, name, _ in names}
    of_splits = all(split_of(top) for top in tops) and all(name.count("/") > 1 for _, name, _ in names)
    depth = 1 if of_splits else 0
    for split, name, label in names:
        parts = name.split("/")
        assert unicodedata.normalize("NFC", parts[depth]) == label, f"{name} is {label}"
        if of_splits:
            expected = TRAIN if dataset.held_out and split == VALIDATION else split
            assert split_of(parts[0]) == expected, f"{name} is in {split}"
    if not of_splits:
        unlikely = [
            top for top in tops if split_of(top) in (TEST, "unlabeled") and not {f"in{top}", f"non_{top}"} & tops
        ]
        assert not unlikely, f"{unlikely} are classes"
    left_out = {note.split("left out ")[1].split(",")[0] for note in dataset.notes if "once more" in note}
    training = [name for name in os.listdir(made.folder) if split_of(name) == TRAIN] if of_splits else [""]
    folders = {
        unicodedata.normalize("NFC", name)
        for base in training
        for name in os.listdir(made.folder / base)
        if (made.folder / base / name).is_dir() and not _is_left_over(name) and name not in left_out
    }
    assert dataset.class_names == _ordered(folders), f"{dataset.class_names} of {folders}"
    found = Counter(split for split, _, _ in names)
    if not dataset.held_out or of_splits:
        pairs = [(split, found[split]) for split in (TEST,) if held[split] is not None]
    else:
        pairs = []
    pairs.append((TRAIN, found[TRAIN] + found[VALIDATION] * dataset.held_out))
    for split, count in pairs:
        bases = [name for name in os.listdir(made.folder) if split_of(name) == split] if of_splits else [""]
        expected = sum(_images_in(made.folder / base, left_out, "group_by" in made.options) for base in bases)
        assert count == expected, f"{count} of {expected} images of {split}"
    folded = {name.casefold() for name in dataset.class_names}
    if len(folded) < len(dataset.class_names):
        assert any("differ only" in note for note in dataset.notes), dataset.class_names


def _ordered(names: set[str]) -> tuple[str, ...]:
    if all(re.fullmatch(r"-?\d+(\.\d+)?", name) for name in names):
        return tuple(sorted(names, key=lambda name: (float(name), name)))
    return tuple(sorted(names))


def _images_in(folder: Path, left_out: set[str], deep: bool) -> int:
    waiting = [entry for entry in folder.iterdir() if entry.is_dir() and entry.name not in left_out]
    waiting = [entry for entry in waiting if not _is_left_over(entry.name)]
    seen = {os.path.realpath(each) for each in (folder, folder.parent, *waiting)}
    count = 0
    while waiting:
        for entry in waiting.pop().iterdir():
            if entry.is_dir():
                if deep and not _is_left_over(entry.name) and os.path.realpath(entry) not in seen:
                    seen.add(os.path.realpath(entry))
                    waiting.append(entry)
            elif not _is_left_over(entry.name):
                count += entry.suffix.lower() in SUFFIXES or (not entry.suffix and _is_png(entry))
    return count


def _is_png(file: Path) -> bool:
    return file.is_file() and file.read_bytes().startswith(b"\x89PNG")


def _is_left_over(name: str) -> bool:
    return name.startswith(".") or name in LEFTOVERS


# Tables


@dataclass
class Row:
    """What a row of a table says: the file, its class and its split."""

    file: str
    label: str
    split: str


def _rows_of(made: Made, chosen: random.Random, stock: Iterator[bytes]) -> tuple[list[Row], bool]:
    """Make images for a table; return its rows, and whether it has splits."""
    labels = chosen.choice(
        (["ants", "bees"], ["0", "1", "10"], ["M\u00f6we", "Cat", "cat"], ["a,b", 'c"d'], ["NA", "None"])
    )
    with_splits = chosen.random() < 0.4
    base = chosen.choice(("", "", "images", "train"))
    written = f"{base}/" if base and chosen.random() < 0.5 else ""
    rows = []
    for number in range(chosen.choice((6, 8, 12))):
        label = labels[number % len(labels)]
        split = (TRAIN, TRAIN, TEST)[number // len(labels) % 3] if with_splits else TRAIN
        file = f"{chosen.choice(FOLDERS)}/{number}.png"
        (made.folder / base / file).parent.mkdir(parents=True, exist_ok=True)
        (made.folder / base / file).write_bytes(next(stock))
        rows.append(Row(written + file, label, split))
    return rows, with_splits


def _table(made: Made, chosen: random.Random, stock: Iterator[bytes]) -> None:
    header, rows = _cells(made, chosen, stock)
    content = _encoded(header, rows, made, chosen)
    made.data = made.folder / chosen.choice(("labels.csv", "labels.CSV", "labels.tsv"))
    made.data.write_bytes(content)
    made.clear = made.clear and "utf-16-le" not in made.told[-1] and "cp1252" not in made.told[-1]


def _damaged_table(made: Made, chosen: random.Random, stock: Iterator[bytes]) -> None:
    header, rows = _cells(made, chosen, stock)
    content = _encoded(header, rows, made, chosen)
    change = chosen.choice(("text", "header", "lines", "bytes"))
    lines = content.splitlines(keepends=True)
    if change == "text":
        content = _edited(content, chosen)
    elif change == "header":
        content = _edited(lines[0], chosen) + b"".join(lines[1:])
    elif change == "lines":
        at, other = chosen.randrange(len(lines)), chosen.choice(lines)
        content = b"".join([*lines[:at], *chosen.choice(([other], [], [other, other])), *lines[at + 1 :]])
    else:
        places = [chosen.randrange(len(content)) for _ in range(2)]
        content = b"".join(b"" if at in places else content[at : at + 1] for at in range(len(content)))
    made.told.append(change)
    made.clear = False
    made.data = made.folder / "labels.csv"
    made.data.write_bytes(content)
    made.check = _check_classes_are_written


def _edited(content: bytes, chosen: random.Random) -> bytes:
    changed = edited(content.decode("utf-8", "surrogateescape"), "path,label\nx.png,y\n", chosen)
    return changed.encode("utf-8", "surrogatepass")


def _frame(made: Made, chosen: random.Random, stock: Iterator[bytes]) -> None:
    import pandas

    header, rows = _cells(made, chosen, stock, forms=("absolute",))
    frame = pandas.DataFrame(rows, columns=header, dtype=object)
    if chosen.random() < 0.5:
        row, column = chosen.randrange(len(frame)), chosen.randrange(len(header))
        value = chosen.choice(
            (None, float("nan"), pandas.NA, "", " ", 0, 1.5, True, b"\xff", ["a", "b"], ("a",), {}, "\0", "\ud800")
        )
        frame.iat[row, column] = value
        made.told.append(f"cell {row} {header[column]} {value!r}")
        made.check, made.clear = (lambda made, dataset: None), False
    if chosen.random() < 0.2:
        frame = pandas.concat([frame, frame.iloc[:, chosen.randrange(len(header))]], axis=1)
        made.told.append("column doubled")
        made.clear = False
    made.data = frame


def _cells(
    made: Made, chosen: random.Random, stock: Iterator[bytes], forms: tuple[str, ...] = FORMS
) -> tuple[list[str], list[list[str]]]:
    """Return names of columns and cells of a table; `made.check` will know what they say."""
    rows, with_splits = _rows_of(made, chosen, stock)
    form = chosen.choice(forms)
    columns = {"path": [_written(row.file, form, made) for row in rows]}
    if chosen.random() < 0.15:
        for label in dict.fromkeys(row.label for row in rows):
            columns[label] = [str(int(row.label == label)) for row in rows]
        made.told.append("one column a class")
    else:
        columns["label"] = [row.label for row in rows]
    if with_splits:
        columns["split"] = [chosen.choice(SPLIT_WORDS[row.split]) for row in rows]
    names = {name: chosen.choice(HEADERS.get(name, (name,))) for name in columns}
    if chosen.random() < 0.3:
        extra = chosen.choice(("width", "note", "camera", "Unnamed: 0", "split2", "path2"))
        columns[extra] = [chosen.choice(("1", "x", "")) for _ in rows]
        names[extra] = extra
    order = list(columns)
    if chosen.random() < 0.3:
        chosen.shuffle(order)
    made.told.append(f"{form} {[names[name] for name in order]}")
    made.check = lambda made, dataset: check_table(rows, dataset)
    # A label under another name is told only by being alone.
    made.clear = names.get("label", "breed") != "breed" or not (
        {"width", "note", "camera", "split2", "path2", "split"} & set(columns)
    )
    return [names[name] for name in order], [[columns[name][index] for name in order] for index in range(len(rows))]


def _written(file: str, form: str, made: Made) -> str:
    if form == "back slashes":
        return file.replace("/", "\\")
    if form == "no extension":
        return file.removesuffix(".png")
    if form == "NFD":
        return unicodedata.normalize("NFD", file)
    return str(next(made.folder.rglob(file.rpartition("/")[2]))) if form == "absolute" else file


def _encoded(header: list[str], rows: list[list[str]], made: Made, chosen: random.Random) -> bytes:
    separator = chosen.choice((",", ",", ",", ";", "\t", "|"))
    ending = chosen.choice(("\n", "\n", "\r\n"))
    encoding = chosen.choice(
        ("utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16", "cp1252", "utf-16-le")
    )
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator, lineterminator=ending, quoting=chosen.choice((0, 0, 1)))
    writer.writerow(header)
    for row in rows:
        writer.writerow(row)
        if chosen.random() < 0.02:
            file.write(ending)
    made.told.append(f"{separator!r} {encoding}")
    return file.getvalue().encode(encoding, errors="replace")


def check_table(rows: list[Row], dataset: Dataset) -> None:
    """Check that each image has the class and the split of its row; images go by their number."""
    expected = {row.file.rpartition("/")[2].removesuffix(".png"): row for row in rows}
    seen = []
    for split, samples in ((TRAIN, dataset.train), (VALIDATION, dataset.validation), (TEST, dataset.test)):
        for name, label in zip(samples.names, samples.labels, strict=True) if samples else ():
            number = name.replace("\\", "/").rpartition("/")[2].removesuffix(".png")
            row = expected[number]
            assert samples.class_names[label] == row.label, f"{name} is {samples.class_names[label]}, not {row.label}"
            assert row.split == (TRAIN if split == VALIDATION else split), f"{name} is in {split}, not in {row.split}"
            seen.append(number)
    assert sorted(seen) == sorted(expected), f"{len(seen)} of {len(expected)} images"
    assert dataset.class_names == _ordered({row.label for row in rows}), dataset.class_names


def _check_classes_are_written(made: Made, dataset: Dataset) -> None:
    content = made.data.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    written = unicodedata.normalize("NFC", content.decode(encoding).replace('""', '"'))
    for name in dataset.class_names:
        assert name in written, f"{name} is not in the file"


# Numbers


def _numbers(made: Made, chosen: random.Random, stock: Iterator[bytes]) -> None:
    """Make a folder of classes that are numbers, and test images whose labels are integers."""
    first, count = chosen.choice((0, 0, 1, 7)), chosen.choice((2, 3, 11, 12))
    classes = list(range(first, first + count))
    _fill(made.folder, list(map(str, classes)), chosen, stock)
    by_position = chosen.random() < 0.5
    meant = [chosen.randrange(count) for _ in range(chosen.choice((1, 3, 6)))]
    given = meant if by_position else [classes[position] for position in meant]
    pixels = np.random.default_rng(count).integers(0, 256, (len(given), 8, 8, 3), dtype=np.uint8)
    made.data = {"train": made.folder, "test": (pixels, np.array(given))}
    made.told.append(f"folders {classes[0]} to {classes[-1]}, test labels {given}, by position {by_position}")
    made.check = lambda made, dataset: _check_numbers(classes, meant, given, dataset)
    made.clear = True


def _check_numbers(classes: list[int], meant: list[int], given: list[int], dataset: Dataset) -> None:
    assert dataset.test is not None
    assert dataset.class_names == tuple(map(str, classes))
    if dataset.test.labels.tolist() != meant:
        assert any(" is read as class " in note for note in dataset.notes), (
            f"{given} are {dataset.test.labels.tolist()}"
        )


MAKERS: dict[str, Callable[[Made, random.Random, Iterator[bytes]], None]] = {
    "classes": _classes,
    "splits": _splits,
    "kept": _kept,
    "table": _table,
    "damaged table": _damaged_table,
    "frame": _frame,
    "numbers": _numbers,
}


# What comes of them


def outcome(made: Made) -> tuple[str, str]:
    """Return what came of a source, and what was wrong with it."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dataset = open_dataset(made.data, **made.options)
            _plan(dataset, [str(each.message) for each in caught if issubclass(each.category, DataWarning)])
        made.check(made, dataset)
    except KerastuneError as error:
        wrong = text.no_sentences(error, LONGEST_SENTENCE) or (str(error) if made.clear else "")
        return ("no sentence", wrong) if wrong else (REFUSED, str(error))
    except HangError:
        return "hang", "it took too long"
    except AssertionError as error:
        return "not read back", str(error)
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {error}"
    return OPENED, ""


def _plan(dataset: Dataset, warned: list[str]) -> None:
    """Plan a data set, and write what a run writes of it."""
    dataset_digest(dataset)
    for samples in (dataset.train, dataset.validation, dataset.test, dataset.unlabeled):
        "".join(samples.names if samples else ()).encode()
    facts, network = dataset.facts(), small_facts.network()
    plan = resolve("mine", catalog.load("small_similar"), facts, network)
    plan_text.describe(plan, facts, network).encode()
    for sentence in (*dataset.notes, *warned):
        sentence.encode()
        assert sentence.endswith((".", "?")), sentence
    assert set(warned) <= set(dataset.notes), warned


def run(seed: int, numbers: Iterable[int], seconds: float = float("inf")) -> tuple[runner.Counts, list[str], float]:
    """Open changed sources one by one, see `runner.run`.

    Args:
        seed: Seed of the sequence.
        numbers: Numbers of the sources.
        seconds: Time after which no further one is opened.
    """

    def judge(number: int) -> Judged:
        with tempfile.TemporaryDirectory() as folder:
            made = case(seed, number, Path(folder) / "data")
            found, detail, taken = text.timed(made, outcome)
        return Judged(made.kind, found, f"{detail} {made.told} {made.options}", taken)

    return runner.run(numbers, judge, FAULTS, seconds, hang=2 * text.LONGEST_WAIT)


def main() -> int:
    options = runner.arguments(__doc__.splitlines()[0], "source")
    if options.only is not None:
        made = case(options.seed, options.only, Path(tempfile.mkdtemp()) / "data")
        print(made.kind, made.told, ascii(str(made.data)), made.options, *outcome(made), sep="\n")
        return 0
    print(f"seed {options.seed}", flush=True)
    return runner.report(run(options.seed, range(options.count), options.seconds), KINDS, OUTCOMES)


if __name__ == "__main__":
    sys.exit(main())

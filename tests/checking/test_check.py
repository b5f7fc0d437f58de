"""A check finds what is wrong with a set of images, names it, and changes nothing."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from kerastune_recipes import Recipe
from kerastune_recipes.checking.check import check
from kerastune_recipes.data.sources.open import open_dataset

pytestmark = pytest.mark.filterwarnings("ignore::kerastune_recipes.errors.DataWarning")


def found(ds, *arguments, **options):
    return {one.kind: one for one in check(ds, *arguments, verbose=False, **options).findings}


def test_nothing_is_found_in_a_clean_set(photos):
    checked = check(photos, verbose=False)
    assert checked.findings == ()
    assert checked.images == {"train": 24, "test": 8}
    assert str(checked) == f"{photos}: 24 train, 8 test images\n  nothing found"


def test_planted_faults_are_found_and_named(photos, photo):
    train, test = photos / "train", photos / "test"
    whole = (train / "ants/0.png").read_bytes()
    (train / "ants/truncated.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(photo(100)).save(train / "ants/named.jpg", "PNG")
    shutil.copy(train / "ants/1.png", train / "bees/both.png")
    shutil.copy(train / "ants/2.png", test / "ants/exact.png")
    small = Image.open(train / "bees/3.png").resize((51, 38)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    small.save(test / "bees/mirrored.jpg", quality=70)
    shutil.copy(train / "bees/4.png", train / "bees/again.png")
    Image.fromarray(photo(101) // 5).save(train / "bees/dark.png")
    Image.new("RGB", (64, 48), (90, 120, 90)).save(train / "ants/blank.png")
    Image.fromarray(photo(102)).save(train / "ants/turned.jpg", exif=_turned())
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    findings = found(photos)
    named = {
        "damaged": "ants/truncated.png",
        "wrongly named": "train/ants/named.jpg is PNG",
        "different labels": "train/ants/1.png = train/bees/both.png",
        "copies": "train/bees/4.png = train/bees/again.png",
        "dark": "train/bees/dark.png",
        "blank": "train/ants/blank.png",
        "turned by EXIF": "1 of",
    }
    for kind, name in named.items():
        assert name in findings[kind].sentence or name.split(" = ")[-1] in findings[kind].sentence, kind
    across = findings["copies across splits"].sentence
    assert across.startswith("2 pairs of images show the same in different splits: ")
    assert "test/ants/exact.png" in across
    assert "test/bees/mirrored.jpg" in across
    assert before == {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def test_data_that_cannot_be_opened_is_an_error(tmp_path):
    checked = check(tmp_path, verbose=False)
    assert checked.has("error")
    assert checked.findings[0].kind == "unreadable"
    assert str(checked).startswith(f"  error: {tmp_path}: ")


def test_classes_that_are_tiny_or_unequal(photos, photo):
    for number in range(200, 300):
        Image.fromarray(photo(number)).save(photos / f"train/ants/{number}.png")
    for index in range(3, 12):
        (photos / f"train/bees/{index}.png").unlink()
    findings = found(photos)
    assert findings["tiny classes"].sentence == "classes of fewer than 10 training images: bees (3)."
    assert "ants has 112 training images, bees has 3" in findings["unequal classes"].sentence


def test_a_camera_that_gives_the_label_away(tmp_path, photo):
    for number in range(60):
        label = ("ants", "bees")[number % 2]
        (tmp_path / label).mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[0x010F] = {"ants": "Canon", "bees": "Nikon"}[label]
        Image.fromarray(photo(number)).save(tmp_path / label / f"{number}.jpg", exif=exif.tobytes())
    assert found(tmp_path)["shortcut"].sentence.startswith(
        "camera alone gives the label of 100% of the images (by chance 50%, classes counted alike)"
    )


def test_arrays_have_no_files_to_complain_of(photo):
    images = np.stack([photo(number) for number in range(24)])
    assert found((images, np.arange(24) % 2)) == {}


def test_doubtful_labels_are_found_with_a_recipe():
    """Digits of the demonstration, four of them with the label of another class."""
    digits = open_dataset("demo:digits").pooled().train
    images = np.stack([digits.read(index) for index in range(len(digits))])
    labels = digits.labels.copy()
    wrong = [3, 30, 55, 80]
    labels[wrong] = (labels[wrong] + 5) % 10
    recipe = Recipe.from_name("small_similar", **{"backbone.name": "DemoNet", "backbone.weights": "demo"})
    checked = check((images, labels), recipe, verbose=False)
    (doubts,) = (one for one in checked.findings if one.kind == "doubtful labels")
    named = [picture.name for picture in doubts.pictures]
    assert {f"image {index}" for index in wrong} <= set(named[:8])
    first = doubts.pictures[0]
    assert first.margin > 0
    assert first.likely != first.label
    rows = checked.doubtful_labels().splitlines()
    assert rows[0] == "image,split,label,likely,margin"
    assert len(rows) == len(named) + 1


def test_the_thumbnail_of_a_finding_is_an_image(photos):
    shutil.copy(photos / "train/ants/1.png", photos / "train/bees/both.png")
    picture = found(photos)["different labels"].pictures[0]
    assert Image.open(io.BytesIO(picture.thumbnail)).size == (32, 32)

"""Images to predict come in any form, and are checked as those that are trained on."""

import io
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kerastune_recipes.data.sources.open_to_predict import open_to_predict
from kerastune_recipes.errors import DataError, DataWarning

X = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 3), dtype=np.uint8)
X[:, 0, 0], X[:, 0, 1] = 0, 255


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Write new/0.png, new/1.png and new/more/2.png, and new.csv that lists two of them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new" / "more").mkdir(parents=True)
    for name, pixels in zip(("0.png", "1.png", "more/2.png"), X, strict=True):
        Image.fromarray(pixels).save(tmp_path / "new" / name)
    (tmp_path / "new.csv").write_text("path,label\nnew/1.png,\nnew/0.png,\n")
    return tmp_path / "new"


def encoded(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def same(images, expected=X, **options) -> list[str]:
    """Check the pixels of images; return their names."""
    pictures = open_to_predict(images, **options)
    assert len(pictures) == len(expected)
    for index, pixels in enumerate(expected):
        np.testing.assert_array_equal(pictures.read(index), pixels)
        assert pictures.sizes[index].tolist() == list(pixels.shape[:2])
    assert len(set(pictures.digests())) == len(expected)
    return list(pictures.names)


def problems(images, **options) -> str:
    with pytest.raises(DataError) as caught:
        open_to_predict(images, **options)
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x,
        list,
        tuple,
        iter,
        lambda x: (image for image in x),
        lambda x: x.astype("float32"),
        lambda x: list(x.astype("int64")),
        lambda x: x.tolist(),
        lambda x: [x[:2], x[2:]],
        lambda x: (x[start : start + 2] for start in (0, 2)),
        lambda x: [image.tolist() for image in x],
        lambda x: [Image.fromarray(image) for image in x],
        lambda x: map(Image.fromarray, x),
        lambda x: [encoded(image) for image in x],
        lambda x: [bytearray(encoded(x[0])), memoryview(encoded(x[1])), io.BytesIO(encoded(x[2]))],
        lambda x: [x[0], Image.fromarray(x[1]), encoded(x[2])],
    ],
    ids=[
        "array", "list", "tuple", "iterator", "generator", "float", "int", "nested lists", "batches",
        "generator of batches", "list of lists", "Pillow", "map", "bytes", "files", "mixed",
    ],
)  # fmt: skip
def test_several_images(form):
    assert same(form(X)) == ["image 0", "image 1", "image 2"]


@pytest.mark.parametrize(
    "form",
    [lambda x: x, lambda x: x.tolist(), Image.fromarray, encoded, lambda x: io.BytesIO(encoded(x)), lambda x: [x]],
)
def test_one_image(form):
    assert same(form(X[0]), X[:1]) == ["image 0"]


def test_gray_images():
    gray = X[[0, 1, 2, 0, 1], ..., 0] + np.arange(5, dtype=np.uint8).reshape(5, 1, 1)
    expected = np.repeat(gray[..., None], 3, axis=3)
    assert same(gray, expected) == same(gray[..., None], expected) == same(list(gray), expected)
    same(gray[0], expected[:1])


def test_tensors(tmp_path):
    tf = pytest.importorskip("tensorflow", reason="tensors of TensorFlow")
    same(tf.constant(X))
    same([tf.constant(image) for image in X])
    same(tf.data.Dataset.from_tensor_slices(X))
    same(tf.data.Dataset.from_tensor_slices((X, [0, 1, 0])).batch(2))
    jnp = pytest.importorskip("jax.numpy", reason="arrays of JAX")
    same(jnp.asarray(X))


def test_files_and_folders_keep_their_names(photos):
    paths = ["new/0.png", "new/1.png", "new/more/2.png"]
    assert same("new") == paths
    assert same(photos) == [str(photos.parent / path) for path in paths]
    assert same(paths) == same(pd.Series(paths)) == same(np.array(paths)) == same(iter(paths)) == paths
    assert same("new/0.png", X[:1]) == ["new/0.png"]
    assert same("new/*.png", X[:2]) == paths[:2]
    assert same("new/**/*.png", X[[0, 1, 2]]) == paths
    assert same(["new/more", "new/?.png"], X[[2, 0, 1]]) == ["new/more/2.png", *paths[:2]]


def test_tables_of_paths(photos):
    for table in ("new.csv", pd.read_csv("new.csv")):
        assert same(table, X[[1, 0]]) == ["new/1.png", "new/0.png"]


def test_forms_are_mixed_in_their_order(photos):
    names = open_to_predict(["new/more", X[0], "new.csv", encoded(X[1]), "new/0.png"]).names
    assert names == ["new/more/2.png", "image 1", "new/1.png", "new/0.png", "image 4", "new/0.png"]


def test_files_that_are_no_images_are_left_out_with_a_warning(photos):
    (photos / "LICENSE.txt").touch()
    with pytest.warns(DataWarning, match=r"new: left out, as they are no images: LICENSE\.txt"):
        same("new")


def test_a_turned_image_of_pillow_is_read_like_its_file(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(X[0]).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        np.testing.assert_array_equal(open_to_predict(image).read(0), open_to_predict(tmp_path / "turned.png").read(0))
    assert open_to_predict(Image.fromarray(X[0], "RGB").convert("LA")).read(0).shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (
            X / 255,
            "the largest pixel value is 1, so the images seem scaled to 0..1; multiply by 255, or state",
        ),
        (
            X[0] / 255,
            "the largest pixel value is 1, so the images seem scaled to 0..1; multiply by 255, or",
        ),
        (X > 100, "the largest pixel value is 1, so the images seem scaled to 0..1"),
        (
            [encoded(X[0]), X[1], X[2] / 255],
            "images of two scales: no value is above 1 in image 2, and others",
        ),
        ([encoded(X[0]), X[1] - 300.0], "images with values outside 0..255 (from -300 to -45): image 1;"),
        (
            [encoded(X[0]), np.full((4, 4), np.nan)],
            "images with NaN or infinite values: image 1; replace or",
        ),
        ([encoded(X[0]), np.zeros(7)], "arrays that are not images: image 1 of shape (7,); give (height, width)"),
        (
            X.transpose(0, 3, 1, 2),
            "of shape (3, 6, 8); give (height, width) or (height, width, 1, 3 or 4) (move the",
        ),
        (X[..., 0], "image 0 of shape (3, 6, 8); give (height, width) or (height, width, 1, 3 or 4) (move the channel"),
        ((X, np.array([0, 1, 0])), "arrays that are not images: image 3 of shape (3,);"),
        (np.float64(3), "arrays that are not images: image 0 of shape ();"),
        (X * 1j, "images are of type complex128; give numbers from 0 to 255"),
        (np.ma.array(X, mask=X > 100), "images to predict: pixels are masked; fill them."),
        ([X[0], np.ma.array(X[1], mask=X[1] > 9)], "image 1: pixels are masked; fill them."),
        ([[[1, 2, 3]], [[1, 2, 3], [4, 5, 6]]], "images to predict: this cannot be read as a NumPy array: "),
        (
            None,
            "images to predict cannot be of type NoneType; give a path, a folder, a pattern such as photos/",
        ),
        ({"a.jpg": 1}, "images to predict cannot be of type dict; give a path"),
        (3, "images to predict cannot be of type int; give a path"),
        ([X[0], 3], "image 1 cannot be of type int; give a path"),
        ([], "there are no images to predict; give at least one."),
        (X[:0], "there are no images to predict; give at least one."),
        (iter([]), "there are no images to predict; give at least one."),
        ("nothing/*.png", "nothing/*.png: no file matches this pattern; check it."),
        ("http://photos/1.png", "http:// is not supported; give a local folder or file"),
        ("nothing.csv", "nothing.csv: there is no such file"),
    ],
)
def test_what_cannot_be_predicted_is_told_in_a_sentence(images, problem):
    assert problem in problems(images)


def test_a_list_in_itself_is_refused():
    images = []
    images.append(images)
    assert "image 0 cannot be of type list; give" in problems(images)


def test_an_empty_folder_is_named(photos):
    (photos / "empty").mkdir()
    assert problems("new/empty") == "new/empty: there are no images in this folder."
    assert problems(["new/0.png", "new/empty"]) == "new/empty: there are no images in this folder."


def test_files_are_named_when_they_cannot_be_decoded(photos):
    (photos / "torn.png").write_bytes(encoded(X[0])[:60])
    pictures = open_to_predict(["new/torn.png", "nowhere.png", b"", b"x", "new/1.png"])
    for index, name in enumerate(("new/torn.png", "nowhere.png", "image 2", "image 3")):
        with pytest.raises(DataError, match=f"^{name}: "):
            pictures.read(index)
    np.testing.assert_array_equal(pictures.read(4), X[1])


def test_black_images_may_be_predicted():
    same(np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4, 3)))


def test_dark_numbers_are_doubted_and_dark_bytes_are_not():
    with pytest.warns(DataWarning, match=r"all images are darker than a quarter .*pixel_range=\(0, 16\)"):
        open_to_predict(X / 16)
    assert len(open_to_predict(X // 16)) == 3
    with pytest.warns(
        DataWarning, match="2 of 3 images have no value above 15.9375, others go up to 255: image 0, ima"
    ):
        open_to_predict([X[0] / 16, X[1] / 16, X[2]])


def test_sixteen_bit_files_of_twelve_bits_are_doubted(tmp_path):
    Image.fromarray(X[0, :, :, 0].astype(np.uint16) * 16).save(tmp_path / "deep.png")
    with pytest.warns(DataWarning, match=r"darker .*with 65535 as white: .*pixel_range=\(0, 4095\)"):
        open_to_predict([tmp_path / "deep.png", encoded(X[0])])


def test_images_are_read_in_the_range_that_is_stated(tmp_path):
    deep = X[:, :, :, 0].astype(np.uint16) * 257
    Image.fromarray(deep[0]).save(tmp_path / "deep.png")
    expected = np.repeat(X[..., :1], 3, axis=3)
    stated = {"pixel_range": (0, 65535)}
    same(deep[..., None], expected, **stated)
    same([tmp_path / "deep.png"], expected[:1], **stated)
    same([Image.fromarray(deep[0]), encoded(deep[1]), deep[2]], expected, **stated)
    same(X / 255, X, pixel_range=(0, 1))
    assert "images with values outside 0..1 (from 0 to 255): image 0, image 1, image 2" in problems(
        X, pixel_range=(0, 1)
    )
    assert "pixel_range: give two numbers" in problems(X, pixel_range=255)
    assert "all images are black: no value is above a 255th of the stated range 0..65535;" in problems(X, **stated)


def test_nothing_heavy_is_imported_to_look_at_types(monkeypatch):
    for name in ("pandas", "tensorflow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    same(X)
    assert "tensorflow" not in sys.modules

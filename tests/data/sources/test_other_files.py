"""Files without the extension of an image are told apart by their content."""

import os

import pytest
from PIL import Image

from kerastune_recipes.data.sources.other_files import problems, told_apart


def save(path, form="PNG"):
    Image.new("RGB", (8, 6)).save(path, form)
    return path


def write(path, content=b""):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_an_image_without_extension_is_an_image(tmp_path, form):
    file = save(tmp_path / "5f3a9c", form)
    assert told_apart([file]).images == [file]
    other = save(tmp_path / "1.jpg_large", form)
    assert told_apart([other]).misnamed == [other]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("LICENSE", b"Apache License, version 2"),
        ("LICENSE.txt", b"\x89PNG is never looked at"),
        ("BMWs", b"BMW is a maker of cars and motorcycles"),
        ("P5", b"P5 is a text that begins like PPM"),
        ("P", b"P"),
        ("empty", b""),
        ("labels.csv", b"path,label\n"),
        ("paper.pdf", b"%PDF-1.7"),
        ("page", b"<html></html>"),
        ("1.xml", b"<annotation/>"),
        ("photos.zip", b"PK\x03\x04"),
        ("weights", b"\x89HDF\r\n\x1a\n" + bytes(20)),
    ],
)
def test_what_is_no_image_is_the_rest(tmp_path, name, content):
    file = write(tmp_path / name, content)
    others = told_apart([file])
    assert others.rest == [file]
    assert others.pictures() == []


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("1.DCM", b"", "DICOM"),
        ("1.cr2", b"", "a raw photo"),
        ("1.svg", b"<svg/>", "SVG"),
        ("1", b"8BPS" + bytes(20), "Photoshop (PSD)"),
        ("1.bin", bytes(128) + b"DICM", "DICOM"),
    ],
)
def test_images_in_other_formats_are_told_by_extension_or_content(tmp_path, name, content, form):
    file = write(tmp_path / name, content)
    assert told_apart([file]).foreign == {form: [file]}


def test_photos_may_be_the_images_of_a_class(tmp_path):
    photo, drawing, image = tmp_path / "1.jp2", tmp_path / "logo.svg", save(tmp_path / "1")
    assert told_apart([photo, drawing, image]).pictures() == [image, photo]


def test_a_pipe_and_a_file_that_has_gone_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    files = [tmp_path / "pipe", tmp_path / "gone"]
    assert told_apart(files).rest == files


def test_the_user_is_told_what_to_do():
    assert problems([], {}) == []
    assert problems(["a/1.bak"], {"HEIC": ["a/1.heic", "a/2.heic"], "a raw photo": ["a/3.nef"]}) == [
        "images in a format that is not read (HEIC): a/1.heic, a/2.heic; convert them to JPEG, or pip install "
        "pillow-heif.",
        "images in a format that is not read (raw photo): a/3.nef; convert them to PNG or JPEG.",
        "images with the extension of something else: a/1.bak; remove those that are copies, and give the others their "
        "own extension, such as .jpg.",
    ]

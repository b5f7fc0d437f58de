import io

import pytest
from PIL import Image

from kerastune_recipes.data import image_formats
from kerastune_recipes.data.image_formats import FORMATS, HEAD, HEIC, READABLE, SUFFIXES, candidates, foreign, remedy

BY_NAME = {form.name: form for form in FORMATS}


def encoded(form: str, **options) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (200, 30, 10)).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("form", [form for form in FORMATS if form.signed], ids=lambda form: form.name)
def test_the_content_tells_the_format_whatever_the_extension(form):
    data = encoded(form.name)
    assert [*candidates(data, ".tga")] == [form]
    assert form.open(io.BytesIO(data)).format == form.name


def test_targa_is_told_by_its_extension_as_its_content_tells_nothing():
    data = encoded("TGA")
    assert [*candidates(data, ".tga")] == [BY_NAME["TGA"]]
    assert [*candidates(data, ".jpg")] == []


def test_a_photo_of_several_frames_is_a_jpeg():
    data = encoded("MPO", save_all=True, append_images=[Image.new("RGB", (6, 4))])
    assert [*candidates(data, ".jpg")] == [BY_NAME["JPEG"]]
    assert BY_NAME["JPEG"].open(io.BytesIO(data)).format == "MPO"


def test_extensions_are_those_that_pillow_has_for_each_format():
    Image.init()
    for form in FORMATS:
        assert {Image.EXTENSION[suffix] for suffix in form.suffixes} == {form.name}
    assert len(SUFFIXES) == sum(len(form.suffixes) for form in READABLE)


def test_formats_that_start_other_programs_are_not_in_the_table():
    assert not {"EPS", "PDF", "WMF", "SVG"} & set(BY_NAME)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x00\x00\x00\x18ftypheic", "HEIC"),
        (b"\x00\x00\x00\x18ftypmif1", "HEIC"),
        (b"\x00\x00\x00\x18ftypmp42", "a video (MP4)"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS\x00\x01", "Photoshop (PSD)"),
        (b"\x00\x00\x00\x18ftypcrx ", "a raw photo"),
        (bytes(128) + b"DICM", "DICOM"),
        (b'<?xml version="1.0"?>', "SVG or other XML"),
        (b"PK\x03\x04", "a ZIP archive"),
    ],
)
def test_other_formats_are_named(head, name):
    assert foreign(head[:HEAD]) == name


def test_what_is_unknown_has_no_name():
    assert foreign(b"no image at all") is None
    assert foreign(b"") is None


def test_no_format_that_is_read_counts_as_a_foreign_one():
    """An AVIF may begin like HEIC, so the table of formats is asked first."""
    assert [form.name for form in FORMATS if form.signed and foreign(encoded(form.name))] == ["AVIF"]


def test_a_remedy_says_what_to_do_with_a_format():
    assert remedy("PDF") == "convert it to PNG or JPEG"
    assert remedy("HEIC", "them") == "convert them to JPEG, or pip install pillow-heif"


def test_heic_is_read_where_its_plugin_is_installed():
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (6, 4), (200, 30, 10))).save(file, quality=-1)
    assert [*candidates(file.getvalue(), ".jpg")] == [HEIC]
    assert {".heic", ".heif", ".hif"} <= SUFFIXES
    image = HEIC.open(file)
    assert image.size == (6, 4)
    assert "HEIF" not in Image.OPEN  # other programs in the process have not asked for it


def test_only_plugins_of_the_table_are_imported():
    """A fresh process; this one has imported all plugins of Pillow."""
    import subprocess
    import sys

    code = f"import sys; import {image_formats.__name__}; print(*(name for name in sys.modules if 'Plugin' in name))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "PIL.JpegImagePlugin" in loaded
    assert not {"PIL.EpsImagePlugin", "PIL.WmfImagePlugin"} & set(loaded)

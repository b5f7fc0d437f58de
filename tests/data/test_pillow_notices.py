import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

READ = """
import sys
from PIL import Image
{before}
from kerastune_recipes.data import images
from kerastune_recipes.errors import DataError
for path in sys.argv[1:]:
    try:
        print(images.decode(path).shape)
    except DataError as error:
        print(error)
"""


def read(*paths: Path, before: str = "") -> subprocess.CompletedProcess:
    """Read images in a fresh process, whose warnings, log and standard error nothing has touched."""
    command = [sys.executable, "-c", READ.format(before=before), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_errors_that_libtiff_prints_appear_only_in_the_error_with_the_name(tmp_path):
    file = io.BytesIO()
    Image.linear_gradient("L").save(file, "TIFF", compression="tiff_adobe_deflate")
    data = bytearray(file.getvalue())
    data[20:24] = b"\xff\xff\xff\xff"  # within the compressed pixels
    (tmp_path / "torn.tif").write_bytes(data)
    done = read(tmp_path / "torn.tif")
    assert done.stdout.startswith(f"{tmp_path}/torn.tif: this image cannot be read: ")
    assert done.stderr == ""


def test_pillows_log_of_an_odd_header_is_not_printed(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "TIFF")
    samples_per_pixel = b"\x15\x01\x03\x00\x01\x00\x00\x00"
    three, many = b"\x03\x00", b"\x00\x08"
    data = file.getvalue().replace(samples_per_pixel + three, samples_per_pixel + many)
    (tmp_path / "odd.tif").write_bytes(data)
    done = read(tmp_path / "odd.tif")
    assert "it begins like TIFF, but its header cannot be read: Invalid value for samples per pixel" in done.stdout
    assert done.stderr == ""


def test_pillows_warnings_of_odd_metadata_are_not_shown(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Maker of a camera"
    data = exif.tobytes()
    Image.new("RGB", (4, 3)).save(tmp_path / "odd.jpg", exif=data[:-8])  # the text is cut off
    done = read(tmp_path / "odd.jpg")
    assert done.stdout == "(3, 4, 3)\n"
    assert done.stderr == ""


@pytest.mark.parametrize("form", ["png", "tif", "gif", "webp"])
def test_images_above_pillows_own_limits_are_read_without_its_warning(tmp_path, form):
    """Pillow warns above a number of pixels and refuses twice as many; what counts here is memory."""
    Image.new("RGB", (40, 30)).save(tmp_path / f"a.{form}")
    Image.new("RGB", (40, 40)).save(tmp_path / f"b.{form}")
    done = read(tmp_path / f"a.{form}", tmp_path / f"b.{form}", before="Image.MAX_IMAGE_PIXELS = 1000")
    assert done.stdout == "(30, 40, 3)\n(40, 40, 3)\n"
    assert done.stderr == ""

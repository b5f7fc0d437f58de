import io

import numpy as np
import pytest
from PIL import Image

from kerastune_recipes.data.images import decode, header_size, resize, to_rgb
from kerastune_recipes.errors import DataError

RED, WHITE, BLACK = [255, 0, 0], [255, 255, 255], [0, 0, 0]


def encoded(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def sideways() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera stood on its right side: turn a quarter clockwise to look at it.
    return exif


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_files_are_decoded_exactly(form):
    image = noise(5, 7)
    np.testing.assert_array_equal(decode(encoded(image, form)), np.asarray(image))


def test_lossless_webp_is_decoded_exactly():
    image = noise(5, 7)
    np.testing.assert_array_equal(decode(encoded(image, "WEBP", lossless=True)), np.asarray(image))


def test_jpeg_is_decoded_within_its_loss():
    pixels = decode(encoded(Image.new("RGB", (16, 16), (200, 30, 10)), "JPEG", quality=95))
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - (200, 30, 10)).max() <= 2


def test_gray_is_repeated_over_three_channels():
    assert decode(encoded(Image.new("L", (2, 1), 77), "PNG")).tolist() == [[[77, 77, 77]] * 2]


def test_one_bit_becomes_black_and_white():
    image = Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1")
    assert decode(encoded(image, "PNG")).tolist() == [[BLACK, WHITE]]


def test_sixteen_bit_gray_is_scaled_not_clipped():
    image = Image.fromarray(np.array([[0, 257, 32768, 65535]], dtype=np.uint16))
    for form in ("PNG", "TIFF", "PPM"):
        assert decode(encoded(image, form))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_palette_gives_its_colours():
    image = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 0]]], dtype=np.uint8)).quantize(2)
    assert decode(encoded(image, "PNG")).tolist() == [[RED, BLACK]]


def test_transparent_palette_entry_becomes_white():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 0])
    image.putdata([0, 1])
    assert decode(encoded(image, "PNG", transparency=1)).tolist() == [[RED, WHITE]]


def test_transparent_pixels_are_blended_with_white():
    image = Image.fromarray(np.array([[[255, 0, 0, 255], [0, 0, 0, 51], [9, 9, 9, 0]]], dtype=np.uint8))
    assert decode(encoded(image, "PNG")).tolist() == [[RED, [204, 204, 204], WHITE]]


def test_gray_with_opacity_is_blended_with_white():
    image = Image.fromarray(np.array([[[100, 255], [0, 0]]], dtype=np.uint8), mode="LA")
    assert decode(encoded(image, "PNG")).tolist() == [[[100, 100, 100], WHITE]]


def test_cmyk_jpeg_as_adobe_writes_it_inverted():
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    assert b"Adobe" in data
    assert decode(data)[0, 0].tolist() == RED


def test_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data)[0, 0].tolist() == RED


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_photo_is_rotated_by_its_exif_orientation(form):
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 8, 20))  # A white bar on the left edge, which belongs on top.
    data = encoded(image, form, exif=sideways())
    pixels = decode(data)
    assert pixels.shape == (40, 20, 3)
    assert pixels[2].mean() > 250
    assert pixels[-2].mean() < 5
    assert header_size(data) == (40, 20)


def test_the_content_decides_the_format_not_the_extension(tmp_path):
    path = tmp_path / "really_png.jpg"
    path.write_bytes(encoded(noise(3, 4), "PNG"))
    assert decode(path).shape == (3, 4, 3)
    assert header_size(str(path)) == (3, 4)


@pytest.mark.parametrize(
    ("at_least", "shape"), [(None, (160, 240)), (161, (160, 240)), (80, (80, 120)), (81, (160, 240)), (1, (20, 30))]
)
def test_jpeg_may_be_decoded_smaller_but_not_below_the_minimum(at_least, shape):
    assert decode(encoded(noise(160, 240), "JPEG"), at_least).shape[:2] == shape


def test_other_formats_are_decoded_at_full_size():
    assert decode(encoded(noise(64, 64), "PNG"), at_least=8).shape[:2] == (64, 64)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_a_truncated_file_is_named(tmp_path, form):
    data = encoded(noise(64, 64), form)
    path = tmp_path / "cut.img"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut\.img: this image cannot be read: .*; replace or remove it\."):
        decode(path)


def test_a_truncated_jpeg_is_called_truncated(tmp_path):
    path = tmp_path / "cut.jpg"
    data = encoded(noise(64, 64), "JPEG")
    path.write_bytes(data[: len(data) // 2])
    assert header_size(path) == (64, 64)
    with pytest.raises(DataError, match="truncated"):
        decode(path)


@pytest.mark.parametrize("read", [decode, header_size])
def test_empty_text_and_missing_files_have_their_own_messages(tmp_path, read):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image at all")
    with pytest.raises(DataError, match=r"empty\.png: this image cannot be read: it is empty \(0 bytes\)"):
        read(tmp_path / "empty.png")
    with pytest.raises(DataError, match=r"text\.png: this image cannot be read: it is not an image"):
        read(tmp_path / "text.png")
    with pytest.raises(DataError, match=r"nowhere\.png: there is no such file"):
        read(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"image 3: this image cannot be read: it is empty"):
        read(b"", name="image 3")


def test_pixels_of_unknown_range_are_refused():
    data = encoded(Image.fromarray(np.array([[0.5, 1e6]], dtype=np.float32)), "TIFF")
    with pytest.raises(DataError, match="32-bit numbers of unknown range"):
        decode(data)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3)])
def test_arrays_of_any_channels_become_rgb(shape):
    pixels = to_rgb(np.full(shape, 9, dtype=np.uint8))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.full((2, 3, 3), 9))


def test_an_array_with_opacity_is_blended_with_white():
    assert to_rgb(np.array([[[0, 0, 0, 0], [8, 8, 8, 255]]], dtype=np.uint8)).tolist() == [[WHITE, [8, 8, 8]]]


def test_floats_are_rounded():
    assert to_rgb(np.array([[0.4, 127.6, 255.0]], dtype=np.float32))[0, :, 0].tolist() == [0, 128, 255]


def test_an_rgb_array_is_returned_unchanged():
    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    assert to_rgb(pixels) is pixels


@pytest.mark.parametrize("value", [-1.0, 256.0, np.nan, np.inf])
def test_values_outside_the_range_are_refused(value):
    with pytest.raises(DataError, match=r"photo: its values go from .* give numbers from 0 to 255"):
        to_rgb(np.full((2, 2), value), "photo")


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (0, 4, 3), (1, 4, 4, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(DataError, match="image: its shape is"):
        to_rgb(np.zeros(shape, dtype=np.uint8))


def test_resize_is_antialiased():
    stripes = np.zeros((64, 32, 3), dtype=np.uint8)
    stripes[::2] = 254
    small = resize(stripes, 8)
    assert small.shape == (8, 8, 3)
    assert set(small[1:-1].ravel().tolist()) == {127}  # Without antialiasing the stripes would come out 0 or 254.


def test_resize_returns_an_image_of_the_right_size_unchanged():
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    assert resize(pixels, 8) is pixels

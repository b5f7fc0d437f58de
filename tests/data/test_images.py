import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from kerastune_recipes.data import images
from kerastune_recipes.data.images import Stored, decode, from_pillow, header_size, resize, stored, to_rgb
from kerastune_recipes.data.pixel_range import PixelRange
from kerastune_recipes.errors import DataError, RequestError

RED, WHITE, BLACK = [255, 0, 0], [255, 255, 255], [0, 0, 0]


def encoded(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def sideways() -> Image.Exif:
    return turned(6)  # The camera stood on its right side: turn a quarter clockwise to look at it.


def png_chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


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


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_read_in_the_range_that_is_stated(form):
    image = Image.fromarray(np.array([[0, 2048, 4095]], dtype=np.uint16))
    assert decode(encoded(image, form), pixel_range=PixelRange(0, 4095))[0, :, 0].tolist() == [0, 128, 255]
    with pytest.raises(DataError, match=r"its values go from 0 to 4095, which is not within 0\.\.1023; state a range"):
        decode(encoded(image, form), pixel_range=PixelRange(0, 1023))


def test_a_tiff_of_floats_needs_a_range():
    data = encoded(Image.fromarray(np.array([[-1, 0, 1]], dtype=np.float32)), "TIFF")
    with pytest.raises(DataError, match=r"unknown range; state the values of black and white, such as pixel"):
        decode(data)
    assert decode(data, pixel_range=PixelRange(-1, 1)).tolist() == [[BLACK, [128] * 3, WHITE]]
    data = encoded(Image.fromarray(np.array([[np.nan, 0]], dtype=np.float32)), "TIFF")
    with pytest.raises(DataError, match="its values go from nan to nan"):
        decode(data, pixel_range=PixelRange(-1, 1))


def test_eight_bits_are_read_in_the_range_that_is_stated():
    gray = Image.fromarray(np.array([[0, 5, 15]], dtype=np.uint8))
    for image in (gray, gray.convert("RGB"), gray.convert("LA"), gray.convert("RGBA")):
        assert decode(encoded(image, "PNG"), pixel_range=PixelRange(0, 15)).tolist() == [[BLACK, [85] * 3, WHITE]]
        assert decode(encoded(image, "PNG"), pixel_range=PixelRange(0, 255)).tolist() == [[[v] * 3 for v in (0, 5, 15)]]
        with pytest.raises(DataError, match=r"its values have 8 bits, which do not fill the range 0\.\.4095"):
            decode(encoded(image, "PNG"), pixel_range=PixelRange(0, 4095))


def test_opacity_is_not_scaled():
    image = Image.fromarray(np.array([[[15, 0, 0, 255], [0, 0, 0, 51]]], dtype=np.uint8))
    assert decode(encoded(image, "PNG"), pixel_range=PixelRange(0, 15)).tolist() == [[RED, [204] * 3]]


def sixteen_bit_colours():
    """A PNG of one pixel with 16 bits a channel, which Pillow does not write."""

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + struct.pack(">HHH", 4095, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def test_a_range_is_refused_for_colours_of_which_bits_are_dropped():
    assert decode(sixteen_bit_colours()).tolist() == [[[15, 0, 0]]]
    with pytest.raises(DataError, match="its colours have 16 bits, of which 8 are read, so the range"):
        decode(sixteen_bit_colours(), pixel_range=PixelRange(0, 4095))


@pytest.mark.parametrize(
    ("data", "deep"),
    [
        (sixteen_bit_colours(), True),
        (encoded(Image.fromarray(np.zeros((1, 1), np.uint16)), "PNG"), True),
        (encoded(Image.fromarray(np.zeros((1, 1), np.float32)), "TIFF"), True),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), False),
        (encoded(Image.new("1", (1, 1)), "PNG"), False),
        (encoded(Image.new("RGB", (1, 1)), "JPEG"), False),
    ],
)
def test_the_header_tells_more_than_eight_bits(data, deep):
    assert stored(data) == Stored(1, 1, deep)


def test_arrays_are_read_in_the_range_that_is_stated():
    assert to_rgb(np.array([[0, 0.5, 1]]), pixel_range=PixelRange(0, 1)).tolist() == [[BLACK, [128] * 3, WHITE]]
    assert to_rgb(np.array([[0, 1]], np.uint8), pixel_range=PixelRange(0, 1)).tolist() == [[BLACK, WHITE]]
    assert to_rgb(np.array([[[1, 0, 0, 1]]]), pixel_range=PixelRange(0, 1)).tolist() == [[RED]]
    with pytest.raises(DataError, match="image 7: its values go from 0 to 2; give numbers from 0 to 1"):
        to_rgb(np.array([[0, 2]]), "image 7", PixelRange(0, 1))


def test_an_image_of_pillow_is_read_like_its_file():
    for image in (noise(5, 7), noise(5, 7).convert("RGBA"), noise(5, 7).quantize(4), noise(5, 7).convert("1")):
        np.testing.assert_array_equal(from_pillow(image), decode(encoded(image, "PNG")))
    deep = Image.fromarray(np.array([[0, 4095]], np.uint16))
    assert from_pillow(deep).tolist() == [[BLACK, [16] * 3]]
    assert from_pillow(deep, pixel_range=PixelRange(0, 4095)).tolist() == [[BLACK, WHITE]]
    turned_image = Image.open(io.BytesIO(encoded(noise(5, 7), "PNG", exif=sideways())))
    np.testing.assert_array_equal(from_pillow(turned_image), decode(encoded(noise(5, 7), "PNG", exif=sideways())))
    with pytest.raises(
        DataError, match=r"image 3: this image cannot be read: its pixels are 32-bit numbers of unknown"
    ):
        from_pillow(Image.fromarray(np.zeros((2, 2), np.float32)), "image 3")
    torn = Image.open(io.BytesIO(encoded(noise(50, 70), "PNG")[:500]))
    with pytest.raises(DataError, match="^image: this image cannot be read: "):
        from_pillow(torn)


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


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_are_those_of_pillow(form, orientation, monkeypatch):
    monkeypatch.setattr(images, "_STRIP", 60)  # several strips
    data = encoded(noise(20, 30), form, exif=turned(orientation))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    pixels = decode(data)
    np.testing.assert_array_equal(pixels, np.asarray(expected))
    assert header_size(data) == pixels.shape[:2]
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation):
    image = noise(20, 30)
    data = encoded(image, "PNG", exif=turned(orientation))
    np.testing.assert_array_equal(decode(data), np.asarray(image))
    assert header_size(data) == (20, 30)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_photo_whose_exif_data_is_damaged_is_used_as_stored_with_a_warning(form):
    data = encoded(noise(16, 24), form, exif=b"Exif\x00\x00no such data")
    sentence = r"photo: its EXIF data cannot be read \(not a TIFF file .*\), so it is used as stored, not rotated\."
    with pytest.warns(UserWarning, match=sentence):
        assert header_size(data, "photo") == (16, 24)
    with pytest.warns(UserWarning, match=sentence):
        assert decode(data, name="photo").shape == (16, 24, 3)


def test_large_images_are_converted_strip_by_strip_to_the_same_pixels(monkeypatch):
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (50, 40, 4), dtype=np.uint8))
    files = [encoded(picture.convert(mode), "PNG") for mode in ("1", "L", "P", "LA", "RGB", "RGBA")]
    files += [encoded(picture.convert("P"), "PNG", transparency=7), encoded(picture.convert("CMYK"), "JPEG")]
    files += [encoded(Image.fromarray(random.integers(0, 65536, (50, 40), dtype=np.uint16)), "PNG")]
    whole = [decode(file) for file in files]
    monkeypatch.setattr(images, "_STRIP", 130)
    for file, pixels in zip(files, whole, strict=True):
        np.testing.assert_array_equal(decode(file), pixels)


@pytest.mark.parametrize("at_least", [None, 1, 40, 80])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_decoded_as_pillow_drafts_it(at_least, progressive):
    """Cached features depend on these pixels."""
    data = encoded(noise(160, 240), "JPEG", progressive=progressive)
    with Image.open(io.BytesIO(data)) as image:
        if at_least:
            image.draft(None, (at_least, at_least))
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode(data, at_least), expected)


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
    with pytest.raises(DataError, match=r"text\.png: this image cannot be read: it is not an image; replace or"):
        read(tmp_path / "text.png")
    with pytest.raises(DataError, match=r"nowhere\.png: there is no such file"):
        read(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"image 3: this image cannot be read: it is empty"):
        read(b"", name="image 3")


def test_pixels_of_unknown_range_are_refused():
    data = encoded(Image.fromarray(np.array([[0.5, 1e6]], dtype=np.float32)), "TIFF")
    with pytest.raises(DataError, match="32-bit numbers of unknown range"):
        decode(data)


# Files that are not what they seem


@pytest.mark.parametrize("read", [decode, header_size])
def test_a_format_with_an_interpreter_is_refused_before_pillow_asks_its_plugin(tmp_path, monkeypatch, read):
    """Pillow would run Ghostscript on a PostScript file, whatever its extension."""
    Image.init()
    for form in ("EPS", "WMF"):
        monkeypatch.setitem(Image.OPEN, form, (lambda *_: pytest.fail("asked"), lambda _: pytest.fail("asked")))
    path = tmp_path / "photo.jpg"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n%%EOF\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.problems == (
        f"{path}: this image cannot be read: it is PostScript, which is not read; convert it to PNG or JPEG.",
    )


def test_formats_outside_the_table_are_named_by_their_content():
    icon = encoded(noise(16, 16), "ICO")
    jpeg_2000 = encoded(noise(16, 16), "JPEG2000")
    with pytest.raises(DataError, match="it is a Windows icon, which is not read; convert it to PNG or JPEG"):
        decode(icon)
    with pytest.raises(DataError, match="it is JPEG 2000, which is not read; convert it to PNG or JPEG"):
        decode(jpeg_2000)


def test_targa_is_read_by_its_extension_only(tmp_path):
    image = noise(3, 4)
    (tmp_path / "a.TGA").write_bytes(encoded(image, "TGA"))
    (tmp_path / "a.jpg").write_bytes(encoded(image, "TGA"))
    np.testing.assert_array_equal(decode(tmp_path / "a.TGA"), np.asarray(image))
    assert header_size(encoded(image, "TGA"), name="pictures/a.tga") == (3, 4)
    with pytest.raises(DataError, match="it is not an image"):
        decode(tmp_path / "a.jpg")


def test_a_photo_of_several_frames_gives_its_first():
    data = encoded(Image.new("RGB", (16, 16), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))])
    assert np.abs(decode(data)[8, 8].astype(int) - RED).max() <= 2
    assert images.header(data).format == "JPEG"  # and .jpg is its extension


def test_a_header_that_pillow_cannot_use_is_quoted():
    with pytest.raises(DataError, match="it begins like GIF, but its header cannot be read: .*; replace or remove it"):
        decode(b"GIF89a")


def test_empty_exif_data_is_not_damaged(recwarn):
    decode(encoded(noise(16, 24), "JPEG", exif=Image.Exif()))
    decode(encoded(noise(16, 24), "JPEG", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
    assert not recwarn.list


@pytest.mark.parametrize("read", [decode, header_size])
def test_an_image_whose_header_claims_too_much_is_refused_before_decoding(monkeypatch, read):
    """A few bytes may claim any size; here a header of 20,000 x 20,000 pixels with nothing behind it."""
    header = (20_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"")
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(DataError) as caught:
        read(data, name="bomb.png")
    assert caught.value.problems == (
        "bomb.png: this image cannot be read: with 20000 x 20000 pixels it takes 2.6 GiB to decode, and the limit is "
        "1.0 GiB; make it smaller or cut it into parts, or, if you trust the file, set KERASTUNE_DECODING=3GiB.",
    )


def test_the_limit_may_be_raised(monkeypatch):
    data = encoded(noise(100, 100), "PNG")
    monkeypatch.setenv("KERASTUNE_DECODING", "60 KiB")
    with pytest.raises(DataError, match="with 100 x 100 pixels it takes 68.4 KiB to decode, and the limit is 60.0 KiB"):
        decode(data)
    monkeypatch.setenv("KERASTUNE_DECODING", "70 KiB")
    assert decode(data).shape == (100, 100, 3)
    monkeypatch.setenv("KERASTUNE_DECODING", "plenty")
    with pytest.raises(RequestError, match="KERASTUNE_DECODING: write a size as"):
        decode(data)


def test_a_jpeg_of_very_many_scans_is_refused():
    """Each scan goes over the whole image, so a small file could keep a core for hours."""
    data = encoded(noise(16, 16), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(DataError, match="its pixels come in more than 50 scans, which takes minutes; save it again"):
        decode(data[:-2] + data[last:-2] * 60 + data[-2:])


def test_texts_in_a_png_that_grow_without_end_are_refused():
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "a" * 2_000_000, zip=True)
    with pytest.raises(DataError, match="its texts or its colour profile are too large; save it without them"):
        decode(encoded(noise(4, 4), "PNG", pnginfo=info))


def test_a_header_that_claims_very_many_tags_is_refused():
    header = b"II+\x00\x08\x00\x00\x00" + (16).to_bytes(8, "little")  # BigTIFF, tags from byte 16
    with pytest.raises(DataError, match="it begins like TIFF, but its header cannot be read: Missing dimensions; "):
        decode(header + (2**60).to_bytes(8, "little"))


def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="pipe.jpg: .*: it is a folder, a pipe or a device; give the path of a file"):
        decode(tmp_path / "pipe.jpg")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "the machine has no memory left for it; make it smaller, or stop other programs"),
        (RecursionError("maximum recursion depth exceeded"), "maximum recursion depth exceeded; replace or remove it"),
        (Image.DecompressionBombError("pixels"), "a part of it has more pixels than Pillow decodes; make it smaller, "),
        (OSError("first line\nsecond line"), "first line; replace or remove it"),
        (ValueError(), "ValueError; replace or remove it"),
    ],
)
def test_every_error_of_a_decoder_becomes_one_sentence(monkeypatch, error, sentence):
    def fail(self):
        raise error

    data = encoded(noise(4, 4), "PNG")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(DataError) as caught:
        decode(data, name="a.png")
    (problem,) = caught.value.problems
    assert problem.startswith(f"a.png: this image cannot be read: {sentence}")
    assert problem.endswith(".")


# Arrays


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

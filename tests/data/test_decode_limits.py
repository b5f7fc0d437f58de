import io
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from kerastune_recipes.data import decode_limits
from kerastune_recipes.data.decode_limits import (
    PILLOWS_LIMIT,
    Turns,
    coefficient_bytes,
    count_scans,
    limit_bytes,
    needed_bytes,
    problem,
)
from kerastune_recipes.errors import RequestError

GIB = 2**30


def jpeg(size=(64, 64), **options) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 10)).save(file, "JPEG", **options)
    return file.getvalue()


# The limit for one image


def test_the_limit_is_1_gib_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.delenv("KERASTUNE_DECODING", raising=False)
    assert limit_bytes() == GIB
    monkeypatch.setenv("KERASTUNE_DECODING", "2.5GiB")
    assert limit_bytes() == 2.5 * GIB
    monkeypatch.setenv("KERASTUNE_DECODING", "400")
    with pytest.raises(RequestError, match='KERASTUNE_DECODING: write a size as "512 MiB" or "10 GiB"; received "400"'):
        limit_bytes()


@pytest.mark.parametrize(
    ("mode", "bytes_per_pixel"), [("1", 4), ("L", 4), ("P", 4), ("I;16", 5), ("RGB", 7), ("RGBA", 7), ("CMYK", 7)]
)
def test_an_image_takes_what_pillow_stores_and_the_rgb_array(mode, bytes_per_pixel):
    assert needed_bytes(Image.new(mode, (10, 20))) == 200 * bytes_per_pixel


def test_memory_of_the_decoder_counts_where_it_is_more_than_that_of_the_array():
    image = Image.new("RGB", (10, 20))
    assert needed_bytes(image, working_bytes=2) == 200 * 7
    assert needed_bytes(image, working_bytes=16) == 200 * 20
    assert needed_bytes(image, coefficients=3000) == 200 * 4 + 3000


@pytest.mark.parametrize(("subsampling", "per_pixel"), [("4:4:4", 6), ("4:2:2", 4), ("4:2:0", 3)])
def test_a_jpeg_in_several_scans_takes_two_bytes_for_each_sample(subsampling, per_pixel):
    image = Image.open(io.BytesIO(jpeg((100, 10), progressive=True, subsampling=subsampling)))
    assert coefficient_bytes(image) == 1000 * per_pixel


def test_other_images_have_no_coefficients():
    assert coefficient_bytes(Image.new("RGB", (10, 20))) == 0


def test_an_image_that_takes_more_than_the_limit_is_refused_with_its_size_and_what_to_do(monkeypatch):
    monkeypatch.setenv("KERASTUNE_DECODING", "1MiB")
    image = Image.new("RGB", (500, 400))
    assert problem(image, 2**20) is None
    assert problem(image, needed_bytes(image)) == (
        "with 500 x 400 pixels it takes 1.3 MiB to decode, and the limit is 1.0 MiB; make it smaller or cut it into "
        "parts, or, if you trust the file, set KERASTUNE_DECODING=0.5GiB"
    )


def test_photos_scans_and_aerial_tiles_are_within_the_limit(monkeypatch):
    monkeypatch.delenv("KERASTUNE_DECODING", raising=False)
    colour, gray = 7, 4
    assert 12_000 * 9_000 * colour < limit_bytes()  # a photo of 108 megapixels
    assert 9_933 * 14_043 * colour < limit_bytes()  # A0 at 300 dpi
    assert 13_244 * 18_724 * gray < limit_bytes()  # A0 at 400 dpi
    assert 10_000 * 10_000 * colour < limit_bytes()  # an aerial tile


def test_encodings_that_pillow_decodes_in_python_are_read_up_to_16_megapixels():
    def header(size: tuple[int, int]) -> Image.Image:
        return Image.open(io.BytesIO(b"P5 %d %d 100\n" % size))

    assert header((4000, 4000)).tile[0][0] == "ppm"
    assert problem(header((4000, 4000)), 0) is None
    assert problem(header((4001, 4000)), 0) == (
        "it has 4001 x 4000 pixels in an encoding that is read only up to 16 megapixels, as it takes minutes beyond; "
        "save it as PNG"
    )


# JPEG scans


def test_scans_are_counted():
    assert count_scans(jpeg()) == 1
    assert count_scans(jpeg(progressive=True)) == 10
    assert count_scans(b"") == 0


def test_scans_of_a_thumbnail_and_of_what_follows_the_image_do_not_count():
    data = jpeg()
    thumbnail = b"\xff\xe1" + (2 + len(data)).to_bytes(2, "big") + data
    assert count_scans(data[:2] + thumbnail + data[2:] + 3 * data) == 1


def test_counting_ends_soon_after_the_most_scans_that_are_decoded():
    scan = b"\xff\xda\x00\x02" + b"data"
    assert count_scans(b"\xff\xd8" + 50 * scan) == decode_limits.MOST_SCANS == 50
    assert count_scans(b"\xff\xd8" + 5000 * scan) == 51


# Turns


def in_parallel(turns: Turns, sizes: list[int], threads: int) -> list[int]:
    """Take memory in several threads; return the memory taken at the start of each turn."""
    taken, seen, lock = [0], [], threading.Lock()

    def take(size: int) -> None:
        with turns.taken(size):
            with lock:
                taken[0] += size
                seen.append(taken[0])
            threading.Event().wait(0.001)
            with lock:
                taken[0] -= size

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(take, sizes))
    assert taken == [0]
    return seen


def test_images_decoded_at_once_keep_the_limit(monkeypatch):
    monkeypatch.setenv("KERASTUNE_DECODING", "100 B")
    sizes = np.random.default_rng(0).integers(1, 70, 200).tolist()
    seen = in_parallel(Turns(), sizes, threads=8)
    assert len(seen) == 200
    assert max(seen) <= 100


def test_an_image_above_the_limit_is_alone(monkeypatch):
    monkeypatch.setenv("KERASTUNE_DECODING", "100 B")
    seen = in_parallel(Turns(), [30, 250, 30, 30] * 20, threads=8)
    assert {memory for memory in seen if memory > 100} == {250}


def test_a_large_image_is_not_overtaken_for_ever(monkeypatch):
    """Small images come first only if they came first."""
    monkeypatch.setenv("KERASTUNE_DECODING", "100 B")
    turns, order = Turns(), []
    first, waiting = threading.Event(), threading.Event()

    def take(name: str, size: int) -> None:
        waiting.set()
        with turns.taken(size):
            order.append(name)

    def hold() -> None:
        with turns.taken(60):
            first.set()
            waiting.wait()
            while not turns._waiting:
                pass
            late = threading.Thread(target=take, args=("small", 10))
            late.start()
            late.join(0.05)  # it would have fitted beside the first
            order.append("first")
        late.join()

    holder = threading.Thread(target=hold)
    holder.start()
    first.wait()
    take("large", 90)
    holder.join()
    assert order == ["first", "large", "small"]


def test_memory_is_returned_after_an_error(monkeypatch):
    monkeypatch.setenv("KERASTUNE_DECODING", "100 B")
    turns = Turns()
    with pytest.raises(ValueError, match="torn"), turns.taken(100):
        raise ValueError("torn")
    with turns.taken(100):
        pass


def test_memory_may_be_kept_as_long_as_the_image_is_used(monkeypatch):
    monkeypatch.setenv("KERASTUNE_DECODING", "100 B")
    turns, entered = Turns(), threading.Event()

    def other() -> None:
        with turns.taken(60):
            entered.set()

    with turns.kept():
        with turns.taken(60):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        assert not entered.wait(0.05)
    assert entered.wait(10)
    thread.join()


def test_a_thread_that_holds_memory_does_not_wait_for_more(monkeypatch):
    monkeypatch.setenv("KERASTUNE_DECODING", "100 B")
    turns = Turns()
    with turns.kept():
        for _ in range(3):
            with turns.taken(60):
                pass
    with turns.taken(100):  # all was returned
        pass


# Pillow's limit


def test_pillows_limit_is_lifted_only_while_a_larger_image_is_loaded(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with PILLOWS_LIMIT.lifted(100):
        assert Image.MAX_IMAGE_PIXELS == 100
    with PILLOWS_LIMIT.lifted(101):
        assert Image.MAX_IMAGE_PIXELS is None
        with PILLOWS_LIMIT.lifted(5000):
            pass
        assert Image.MAX_IMAGE_PIXELS is None
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_process_without_pillows_limit_keeps_it_so(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with PILLOWS_LIMIT.lifted(5000):
        pass
    assert Image.MAX_IMAGE_PIXELS is None


# The figures behind the limit

MEASURE = """
import resource, sys
from kerastune_recipes.data import decode_limits, images

kept = []
class Recorded(decode_limits.Turns):
    def taken(self, needed):
        kept.append(needed)
        return super().taken(needed)
decode_limits.TURNS = Recorded()

def peak():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))) * 1024

images.decode(sys.argv[1])  # small: what is allocated once
kept.clear()
before = peak()
images.decode(sys.argv[2])
print(kept[0], peak() - before)
"""

# What conversions take besides, for one strip, and blocks that the allocator keeps.
SLACK = 24 * 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.png", "1", {}),
        ("a.png", "I;16", {}),
        ("a.png", "RGBA", {}),
        ("a.jpg", "RGB", {}),
        ("a.jpg", "RGB", {"progressive": True, "subsampling": 0}),
        ("a.jpg", "RGB", {"exif": 6}),
        ("a.gif", "P", {}),
        ("a.tif", "RGB", {"compression": "tiff_lzw"}),
        ("a.tif", "RGBA", {"exif": 6}),
        ("a.webp", "RGBA", {"lossless": True, "method": 0, "quality": 0}),
        ("a.avif", "RGBA", {"speed": 10, "subsampling": "4:4:4"}),
    ],
    ids=str,
)
def test_no_image_takes_more_memory_than_it_is_counted_for(tmp_path, name, mode, options):
    if "exif" in options:
        exif = Image.Exif()
        exif[0x0112] = options["exif"]
        options = {**options, "exif": exif}
    ramp = Image.linear_gradient("L").resize((3000, 2500))
    picture = ramp.convert("I").convert("I;16") if mode == "I;16" else ramp.convert("RGB").convert(mode)
    (tmp_path / "small").mkdir()
    picture.crop((0, 0, 64, 64)).save(tmp_path / "small" / name, **options)
    picture.save(tmp_path / name, **options)
    paths = [str(tmp_path / "small" / name), str(tmp_path / name)]
    check_measured(paths)


def check_measured(paths: list[str]) -> None:
    run = subprocess.run([sys.executable, "-c", MEASURE, *paths], capture_output=True, text=True, check=True)
    counted, taken = map(int, run.stdout.split())
    assert counted >= 3000 * 2500 * 4
    assert taken <= counted + SLACK


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read from /proc")
def test_heic_takes_no_more_memory_than_it_is_counted_for(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    ramp = np.tile((np.arange(3000) * 21).astype(np.uint16)[None, :, None], (2500, 1, 3))
    for name, pixels in (("small.heic", ramp[:64, :64].copy()), ("large.heic", ramp)):  # 10 bits take more than 8
        height, width = pixels.shape[:2]
        pillow_heif.from_bytes("RGB;16", (width, height), pixels.tobytes()).save(tmp_path / name, quality=60)
    check_measured([str(tmp_path / "small.heic"), str(tmp_path / "large.heic")])

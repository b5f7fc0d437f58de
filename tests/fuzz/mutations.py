"""Ways to damage a file, the same for every format; each takes its bytes, another file and a seeded generator."""

import random
from collections.abc import Callable

from fuzz.structure import boundaries, with_checksums

Mutation = Callable[[bytes, bytes, random.Random], bytes]

# Values at which length and size fields go wrong.
_EDGES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEADER = 64


def flip_bits(data: bytes, other: bytes, random: random.Random) -> bytes:
    """Flip one to eight bits anywhere."""
    damaged = bytearray(data)
    for _ in range(random.randint(1, 8)):
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
    return bytes(damaged)


def flip_bits_of_the_header(data: bytes, other: bytes, random: random.Random) -> bytes:
    """Flip one to four bits near the beginning, where sizes and modes stand."""
    damaged = bytearray(data)
    for _ in range(random.randint(1, 4)):
        damaged[random.randrange(min(_HEADER, len(damaged)))] ^= 1 << random.randrange(8)
    return bytes(damaged)


def truncate(data: bytes, other: bytes, random: random.Random) -> bytes:
    """Cut the file anywhere."""
    return data[: random.randrange(len(data))]


def extend(data: bytes, other: bytes, random: random.Random) -> bytes:
    """Put bytes at the end: zeros, noise, or another file."""
    return data + random.choice((bytes(100), random.randbytes(100), other))


def set_number(data: bytes, other: bytes, random: random.Random) -> bytes:
    """Write an edge value over one, two or four bytes, in either byte order, as over a length or a size."""
    size = random.choice((1, 2, 4))
    value = random.choice(_EDGES) % 256**size
    start = random.randrange(min(len(data), random.choice((_HEADER, len(data)))))
    written = value.to_bytes(size, random.choice(("little", "big")))
    return data[:start] + written + data[start + size :]


def change_number(data: bytes, other: bytes, random: random.Random) -> bytes:
    """Add a little to a number of one, two or four bytes, in either byte order."""
    size, order = random.choice((1, 2, 4)), random.choice(("little", "big"))
    start = random.randrange(len(data))
    value = int.from_bytes(data[start : start + size], order) + random.randint(-3, 3)
    return data[:start] + (value % 256**size).to_bytes(size, order) + data[start + size :]


def repeat_part(data: bytes, other: bytes, random: random.Random) -> bytes:
    """Repeat a part several times, as a chunk or a scan."""
    start, end = _part(data, random)
    return data[:end] + data[start:end] * random.randint(1, 40) + data[end:]


def remove_part(data: bytes, other: bytes, random: random.Random) -> bytes:
    """Leave a part out."""
    start, end = _part(data, random)
    return data[:start] + data[end:]


def swap_parts(data: bytes, other: bytes, random: random.Random) -> bytes:
    """Swap two neighbouring parts."""
    start, middle, end = sorted(random.choices(_places(data, random), k=3))
    return data[:start] + data[middle:end] + data[start:middle] + data[end:]


def splice(data: bytes, other: bytes, random: random.Random) -> bytes:
    """Begin as one file and go on as another."""
    return data[: random.randrange(len(data))] + other[random.randrange(len(other)) :]


def insert_part(data: bytes, other: bytes, random: random.Random) -> bytes:
    """Put a part of another file in."""
    start, end = _part(other, random)
    place = random.randrange(len(data))
    return data[:place] + other[start:end] + data[place:]


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_bits_of_the_header,
    truncate,
    extend,
    set_number,
    change_number,
    repeat_part,
    remove_part,
    swap_parts,
    splice,
    insert_part,
)


def mutate(data: bytes, other: bytes, random: random.Random) -> bytes:
    """Damage a file in one to three ways.

    Args:
        data: A valid file.
        other: Another, for mutations that mix two.
        random: The same generator state gives the same result.
    """
    for _ in range(random.choice((1, 1, 2, 3))):
        if data:
            data = random.choice(MUTATIONS)(data, other, random)
    return with_checksums(data) if random.random() < 0.7 else data


def _places(data: bytes, random: random.Random) -> list[int]:
    """Return places to cut at: between chunks, or anywhere."""
    known = boundaries(data) if random.random() < 0.6 else []
    return [*known, len(data)] if known else list(range(len(data) + 1))


def _part(data: bytes, random: random.Random) -> tuple[int, int]:
    """Return the beginning and the end of a part, often a whole chunk."""
    places = _places(data, random)
    index = random.randrange(len(places) - 1)
    if len(places) <= len(data):
        return places[index], places[index + 1]
    return index, min(len(data), index + random.choice((1, 4, 12, 64, 300, len(data))))

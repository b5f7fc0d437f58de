"""Letters of many scripts, drawn from the fonts that matplotlib ships, without digits and numbers."""

import unicodedata
from collections import Counter
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageFont
from scipy.ndimage import gaussian_filter

# Fonts with real letters. In cmex10 and cmsy10 the codes of letters hold brackets and symbols, the STIX size and
# non-Unicode fonts have no letters, and LastResort draws one shape for all letters of a script.
FONT_PATTERNS = ("DejaVuSans*.ttf", "DejaVuSerif*.ttf", "STIXGeneral*.ttf", "cm[brt]*.ttf", "cmss10.ttf", "cmmi10.ttf")

# A letter of a single font would be either held out or trained on, never both.
FEWEST_FONTS = 2

# Words in the Unicode names of letters with the shape of a digit, such as LATIN CAPITAL LETTER TONE TWO.
NUMBER_WORDS = frozenset(
    {"ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "TEN"}
    | {"TONE", "DIGIT", "NUMBER", "NUMERAL", "CUATRILLO", "TRESILLO"}
)

# Height and width of a drawing, and the longer side of its letter, pixels; the margin leaves room for rotation.
DRAWING_SIZE = 64
INK = 44

# Letters whose blurred drawings correlate more than this count as one class: Latin A and Greek Alpha have the same
# shape, and a network trained to distinguish them would learn noise.
SAME_SHAPE = 0.9


def is_number(character: str) -> bool:
    """Return whether a character is, contains or is named after a digit or number, in any script or style.

    Example:
        >>> [is_number(c) for c in "7\u0667\u2166\u00bd\u2462\u01bbA"]
        [True, True, True, True, True, True, False]
    """
    plain = unicodedata.normalize("NFKD", character)
    if any(unicodedata.category(c).startswith("N") or unicodedata.numeric(c, None) is not None for c in plain):
        return True
    return not NUMBER_WORDS.isdisjoint(unicodedata.name(character, "").split())


def fonts() -> list[Path]:
    """Return the font files to draw from; matplotlib ships all of them."""
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return sorted(path for pattern in FONT_PATTERNS for path in folder.glob(pattern))


def is_plain_letter(character: str) -> bool:
    """Return whether a character is a letter without accents, and not a variant of another."""
    return unicodedata.category(character) in ("Lu", "Ll", "Lo") and not unicodedata.decomposition(character)


def letters(font: Path) -> list[str]:
    """Return the plain letters of a font for which `is_number` is false."""
    characters = map(chr, FT2Font(str(font)).get_charmap())
    return sorted(c for c in characters if is_plain_letter(c) and not is_number(c))


def draw(character: str, face: ImageFont.FreeTypeFont) -> np.ndarray | None:
    """Return a letter centred in a frame, or None where the font draws nothing.

    Returns:
        float32 (64, 64), 0 for paper, 1 for ink.
    """
    mask = face.getmask(character, mode="L")
    ink = Image.frombytes("L", mask.size, bytes(mask))
    box = ink.getbbox()
    if box is None:
        return None
    ink = ink.crop(box)
    scale = INK / max(ink.size)
    ink = ink.resize((max(2, round(ink.width * scale)), max(2, round(ink.height * scale))), Image.Resampling.BILINEAR)
    frame = Image.new("L", (DRAWING_SIZE, DRAWING_SIZE))
    frame.paste(ink, ((DRAWING_SIZE - ink.width) // 2, (DRAWING_SIZE - ink.height) // 2))
    return np.asarray(frame, np.float32) / 255


def distinct(characters: list[str], font: Path) -> list[str]:
    """Return the characters without those that look like an earlier one in a font."""
    face = ImageFont.truetype(str(font), DRAWING_SIZE)
    drawn = {c: image for c in characters if (image := draw(c, face)) is not None}
    blurred = gaussian_filter(np.stack(list(drawn.values())), (0, 2, 2)).reshape(len(drawn), -1)
    centred = blurred - blurred.mean(axis=1, keepdims=True)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    correlation = unit @ unit.T
    kept: list[int] = []
    for i in range(len(unit)):
        if not kept or correlation[i, kept].max() < SAME_SHAPE:
            kept.append(i)
    return [list(drawn)[i] for i in kept]


def alphabet() -> list[str]:
    """Return the letters of at least FEWEST_FONTS fonts, no two of the same shape."""
    counts = Counter(c for font in fonts() for c in letters(font))
    widest = max(fonts(), key=lambda font: len(letters(font)))
    return distinct(sorted(c for c, n in counts.items() if n >= FEWEST_FONTS), widest)


def drawings(characters: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Draw every character in every font that has it.

    Returns:
        Drawings, float32 (n, 64, 64), 0..1; labels, int64 (n,), indices into `characters`.
    """
    label = {c: i for i, c in enumerate(characters)}
    images, labels = [], []
    for path in fonts():
        face = ImageFont.truetype(str(path), DRAWING_SIZE)
        for character in letters(path):
            if character in label and (image := draw(character, face)) is not None:
                images.append(image)
                labels.append(label[character])
    return np.stack(images), np.array(labels)

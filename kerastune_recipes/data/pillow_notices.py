"""Keeps Pillow and its libraries from writing of damaged files to standard error, where no line names the file.

What keeps an image from being read is raised as an error besides, and named by `images`.
"""

import contextlib
import ctypes
import logging
import warnings

from PIL import Image


def silence() -> None:
    """Drop Pillow's warnings of odd metadata, its log where none is set up, and the errors that libtiff prints.

    Pillow's warning of very large images stays, for programs that open images by themselves.
    """
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.\w+ImagePlugin")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    # Python has no other way to the libtiff inside Pillow; where it is hidden, as on Windows, its lines stay.
    with contextlib.suppress(OSError, AttributeError):
        set_handler = ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)

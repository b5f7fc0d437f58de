"""The versions that a result depends on."""

import platform
from importlib import metadata

_PACKAGES = ("kerastune-recipes", "keras", "tensorflow", "scikit-learn", "numpy")


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on.

    Args:
        *more: Further packages, such as the backend of Keras.

    Returns:
        Versions by name, "not installed" for a package that is not there.

    Example:
        >>> versions("jax")["jax"]
        'not installed'
    """
    found = {"python": platform.python_version()}
    for package in dict.fromkeys((*_PACKAGES, *more)):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found

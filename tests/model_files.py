"""Model files for the tests, with members of their own."""

import zipfile


def members(file):
    """Return the members of a .keras file: name to content."""
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(file, changes):
    """Write a .keras file again with other or further members; None leaves one out."""
    content = members(file) | changes
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(name, data)

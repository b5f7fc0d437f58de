"""What a model file may hold, checked before Keras reads it: a run folder may come from a stranger.

A .keras file is a ZIP archive: config.json names the classes of the layers and their arguments, model.weights.h5 holds
the weights. Keras builds whatever config.json names. In its safe mode it builds its own classes and those registered in
this process, and refuses code; the checks here do not rely on it.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from kerastune_recipes import printable
from kerastune_recipes.errors import OutputError, listed, reason

_CONFIG = "config.json"
_MEMBERS = frozenset({"metadata.json", _CONFIG, "model.weights.h5"})
_ASSETS = "assets/"
# Packages whose classes a model may have; of `builtins` Keras takes its own functions only. Classes of other packages
# must be registered with Keras, as those of the user's own network are once its module is imported.
_PACKAGES = frozenset({"keras", "keras_hub", "keras_nlp", "keras_cv", "builtins"})
# Layers that run what the file says: a Python function, a SavedModel, a pickled module.
_CODE = frozenset({"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})
# The config of the largest networks of keras.applications has 2 MB. Keras stores members without compression; what
# unpacks to a hundred times its size, beyond the first megabytes, is no weights.
_LARGEST_CONFIG = 64 * 2**20
_LARGEST_EXPANSION, _ANY_EXPANSION = 100, 16 * 2**20


def check(file: Path) -> None:
    """Check that a model file holds layers and weights, and nothing that runs code, fills the disk or leaves a folder.

    Args:
        file: A .keras file.

    Raises:
        OutputError: It holds something else, or is damaged; all problems at once.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            problems = _member_problems(archive.infolist())
            if not problems:
                problems = _config_problems(json.loads(archive.read(_CONFIG)))
    except Exception as error:  # a damaged file fails in many ways: BadZipFile, zlib.error, UnicodeDecodeError ...
        problems = [f"this model cannot be loaded: {reason(error)}; restore the file that the run wrote."]
    if problems:
        raise OutputError(*(f"{file}: {problem}" for problem in problems))


def _member_problems(members: list[zipfile.ZipInfo]) -> list[str]:
    """Return what is wrong with the members of the archive, before any is read."""
    names = [member.filename for member in members]
    strange = [name for name in names if name not in _MEMBERS and not _is_asset(name)]
    large = [member.filename for member in members if _unpacks_to_much(member)]
    problems = []
    if strange:
        problems.append(f"a model file does not hold {_quoted(strange)}; do not trust it.")
    if len(names) != len(set(names)):
        problems.append("it holds a file twice, so programs may read different models in it; do not trust it.")
    if large:
        problems.append(f"{_quoted(large)} in it would unpack to far more than it is; do not trust it.")
    if not strange and _CONFIG not in names:
        problems.append(f"there is no {_CONFIG} in it; restore the file that the run wrote.")
    return problems


def _is_asset(name: str) -> bool:
    return name.startswith(_ASSETS) and not {"..", ""} & set(name.removesuffix("/").split("/")) and "\\" not in name


def _unpacks_to_much(member: zipfile.ZipInfo) -> bool:
    if member.filename == _CONFIG and member.file_size > _LARGEST_CONFIG:
        return True
    return member.file_size > max(_ANY_EXPANSION, _LARGEST_EXPANSION * member.compress_size)


def _config_problems(config: Any) -> list[str]:
    """Return which objects in the config of a model are code, or not Keras's."""
    objects = list(_objects(config))
    code = sorted({each["class_name"] for each in objects if each["class_name"] in _CODE})
    foreign = sorted({_full_name(each) for each in objects if not _is_known(each)})
    problems = []
    if code:
        problems.append(f"it holds code ({listed(code)}), which a run never writes; do not trust it.")
    if foreign:
        problems.append(
            f"it names {_quoted(foreign)}, which is not Keras's; if it is part of your own network, import the module "
            "that registers it with keras.saving.register_keras_serializable first, else do not trust the file."
        )
    return problems


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every object that a config describes, at any depth."""
    waiting = [config]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
            if isinstance(each.get("class_name"), str):
                yield each
        elif isinstance(each, list):
            waiting += each


def _is_known(described: dict[str, Any]) -> bool:
    module, name = described.get("module"), described.get("registered_name") or described["class_name"]
    if module is None:  # Keras finds no class without its module, unless it is registered
        return True
    if not isinstance(module, str) or not isinstance(name, str):
        return False
    package = module.split(".")[0]
    if package == "builtins":
        return described["class_name"] == "function"
    return package in _PACKAGES or keras.saving.get_registered_object(name) is not None


def _full_name(described: dict[str, Any]) -> str:
    return f"{described.get('module')}.{described['class_name']}"


def _quoted(names: list[str]) -> str:
    return listed(f'"{printable.shortened(name)}"' for name in names)

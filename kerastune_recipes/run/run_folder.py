"""The run folder: whether a run may be written there, what in it is ours, and the lock of its owner."""

import contextlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kerastune_recipes.errors import CheckpointWarning, OutputError, listed

# What a run writes when it is done; report.json is the last.
FILES = ("recipe.yaml", "plan.yaml", "report.html", "model.keras", "labels.txt", "history.csv", "report.json")
REPORT = "report.json"
# While a run lasts, its checkpoints.
CHECKPOINTS = "checkpoints"
# In it: what the run began with, in two copies; the lock of the process that runs; and a mark that saving has begun.
REQUESTS = ("request", "request.copy")
LOCK = "lock"
SAVING = "saving"
# In it too: completed phases, the state of the phase under way, files that were not completed; folders of the parts.
_OWN_FILE = re.compile(
    r"(request(\.copy)?|lock|saving|phase_\d+(\.fit(\.before)?)?|\.[a-z_0-9]+-[0-9a-f]{8}\.part(\.[a-z]+)?)"
)
_OWN_FOLDER = re.compile(r"(fold_\d+|refit)")


def prepare(
    out: str | Path | None, *, resume: bool, overwrite: bool, sources: Mapping[str, Any] | None = None
) -> Path | None:
    """Return the folder to write a run to, if it may be used; nothing is made or removed, for the data may prove wrong.

    Args:
        out: The folder, or None for none.
        resume: It holds an interrupted run to resume.
        overwrite: It holds a run to replace.
        sources: The user's data, by what messages call it.

    Raises:
        OutputError: The folder exists and neither was asked for, the run in it is finished, it lies within the data, or
            it holds files that no run has written.
    """
    if out is None:
        if resume:
            raise OutputError("Resuming takes the folder of the interrupted run; give it as out (--out DIR).")
        return None
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: this is a file; name a folder.")
    check_apart(folder, sources or {})
    check_own(folder)
    if is_unused(folder):
        return folder
    if resume and not is_interrupted(folder):
        state = "the run here is finished" if is_finished(folder) else "there is no interrupted run here"
        raise OutputError(f"{folder}: {state}; leave out --resume, and name another folder or give --overwrite.")
    if not (resume or overwrite):
        raise OutputError(
            f"{folder}: this folder exists and is not empty; name another, or give --resume to resume an "
            "interrupted run or --overwrite to replace it."
        )
    return folder


def is_finished(folder: Path) -> bool:
    """Return whether a folder holds a finished run."""
    return _is_report(folder / REPORT)


def is_unused(folder: Path) -> bool:
    """Return whether a folder is new or empty, or a run was killed in it before it had written anything."""
    if not folder.is_dir():
        return True
    entries = list(folder.iterdir())
    only_ours = not entries or (entries == [folder / CHECKPOINTS] and not _foreign(entries[0]))
    return only_ours and not is_interrupted(folder)


def _foreign(checkpoints: Path) -> list[Path]:
    """Return what in a folder of checkpoints is not named as ours."""
    if not checkpoints.is_dir():
        return [checkpoints] if checkpoints.exists() else []
    return [
        entry
        for entry in checkpoints.iterdir()
        if not (_OWN_FILE if entry.is_file() else _OWN_FOLDER).fullmatch(entry.name)
    ]


def check_apart(folder: Path, sources: Mapping[str, Any]) -> None:
    """Refuse a folder within the user's images, where its files would become images or classes.

    Args:
        folder: The folder to write to.
        sources: The user's data, by what messages call it; only folders matter.

    Raises:
        OutputError: It lies within one of them.
    """
    for what, source in sources.items():
        for each in source.values() if isinstance(source, Mapping) else [source]:
            if isinstance(each, str | Path) and Path(each).is_dir():
                data, out = Path(each).resolve(), folder.resolve()
                if out == data or data in out.parents:
                    raise OutputError(
                        f"{folder}: this folder lies within the {what} {each}, and would become part of it; name one "
                        "outside."
                    )


def check_own(folder: Path) -> None:
    """Refuse a folder with files under the names of ours that no run has written.

    Raises:
        OutputError: There are such files.
    """
    checkpoints = folder / CHECKPOINTS
    if _foreign(checkpoints) and not is_interrupted(folder):
        raise OutputError(
            f"{checkpoints}: this was not written by a run of this version, and a run needs its name; name another "
            "folder for the run."
        )
    if is_finished(folder) or (checkpoints / SAVING).is_file():
        return
    foreign = [name for name in FILES if (folder / name).exists()]
    if foreign:
        raise OutputError(
            f"{folder}: a run writes files named {listed(foreign)}, and those here were not written by one; move them, "
            "or name another folder."
        )


def _is_report(file: Path) -> bool:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and {"recipe", "status", "versions", "phases"} <= record.keys()


def is_interrupted(folder: Path) -> bool:
    """Return whether a folder holds an interrupted run that can be resumed."""
    return any((folder / CHECKPOINTS / name).is_file() for name in REQUESTS)


@contextlib.contextmanager
def locked(folder: Path, name: str = LOCK) -> Iterator[None]:
    """Hold the lock of a folder, which the system releases when the process ends in any way.

    Args:
        folder: An existing folder.
        name: Name of the file in it, which is left: another process may just open it.

    Raises:
        OutputError: Another process holds it.
    """
    import filelock

    lock = filelock.FileLock(folder / name, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise OutputError(
            f"{folder}: another process is working here; wait until it has ended, or name another folder."
        ) from None
    except (NotImplementedError, OSError) as error:
        warnings.warn(
            f"{folder / name}: this file system has no locks ({error}); make sure that no other process works here.",
            CheckpointWarning,
            stacklevel=2,
        )
        yield
        return
    try:
        yield
    finally:
        lock.release()


def clear(checkpoints: Path) -> None:
    """Remove the checkpoints of a run, but the lock; whatever else lies there stays.

    Args:
        checkpoints: The folder of the checkpoints.

    Raises:
        OSError: They cannot be removed.
    """
    for entry in list(checkpoints.iterdir()):
        if entry.is_symlink() or entry.name == LOCK:
            continue
        if entry.is_dir() and _OWN_FOLDER.fullmatch(entry.name):
            clear(entry)
            remove_if_empty(entry)
        elif entry.is_file() and _OWN_FILE.fullmatch(entry.name):
            entry.unlink(missing_ok=True)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder, unless something is in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()

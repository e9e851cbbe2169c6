"""Results that lie on disk while many runs go on, to be resumed later.

A folder beside what is asked for holds what is whole. Of a sweep: the arrays of all
runs, filled part by part, and a mark for each part that is whole; the space is taken at
the start, so a full disk is an error then and not a loss later. Of a study: a file for
each dish. A process that dies loses the part or dish it was at, no more.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mir21sim.errors import InputError
from mir21sim.solvers.problem import Problem, Solution

_PLAN = "plan.json"
_DISH = ".npz"
_BLOCK = 1 << 24


class PartialResults:
    """Solution in files, and which parts of them are whole.

    Parameters
    ----------
    folder : where the files are; made, or reused with `resume`
    plan : what is being run, as JSON values; a resumed folder must hold the same
    runs : gives the shapes
    part_size : runs per part
    resume : go on with what is there

    Raises
    ------
    InputError
        When there is no room or no right to write, or when `resume` finds another plan.
    """

    def __init__(
        self,
        folder: Path,
        plan: Mapping[str, Any],
        problem: Problem,
        *,
        part_size: int,
        resume: bool,
    ) -> None:
        self.folder, self.part_size = folder, part_size
        n_part = -(-len(problem) // part_size)
        whole = {"plan": plan, "part_size": part_size}
        try:
            _open(folder, whole, "sweep", resume=resume)
            self.results = Solution.allocated(
                problem,
                lambda name, shape, kind, fill: _array(
                    folder / name, shape, kind, fill
                ),
            )
            self.done = _array(folder / "done", n_part, np.int64, 0)
        except OSError as error:
            raise InputError(
                f"`{folder}` cannot hold the running sweep: {error.strerror}."
            ) from error

    def is_done(self, part: int) -> bool:
        """Say whether a part is whole."""
        return bool(self.done[part])

    def mark(self, part: int) -> None:
        """Note that a part is whole, after its numbers are in the files."""
        for array in (self.results.values, self.results.status):
            base = array.base if array.base is not None else array
            if isinstance(base, np.memmap):
                base.flush()
        self.done[part] = 1
        self.done.flush()

    def remove(self) -> None:
        """Delete the folder, when the result is saved elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)


class PartialDishes:
    """What was seen of each dish of a study, one file a dish that is whole.

    Parameters
    ----------
    folder : where the files are; made, or reused with `resume`
    plan : what decides the numbers, as JSON values; a resumed folder must hold the same
    resume : go on with what is there

    Raises
    ------
    InputError
        When there is no right to write, or when `resume` finds another plan.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any], *, resume: bool) -> None:
        self.folder = folder
        try:
            _open(folder, {"plan": plan, "part_size": 1}, "study", resume=resume)
        except OSError as error:
            raise InputError(
                f"`{folder}` cannot hold the running study: {error.strerror}."
            ) from error

    def __len__(self) -> int:
        return sum(1 for _ in self.folder.glob(f"*{_DISH}"))

    def read(self, dish: int) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of a dish, None where it is not done.

        Raises
        ------
        InputError
            When the file is damaged.
        """
        path = self._path(dish)
        if not path.is_file():
            return None
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"`{path}` is damaged; delete it, and the dish is run once more."
            ) from error

    def write(self, dish: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep the arrays of a dish that is whole."""
        path = self._path(dish)
        part = path.with_suffix(".part")
        try:
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, **dict(arrays))
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise InputError(
                f"`{self.folder}` cannot hold another dish: {error.strerror}; make "
                "room and resume."
            ) from error

    def remove(self) -> None:
        """Delete the folder, when the results are saved elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, dish: int) -> Path:
        return self.folder / f"{dish:06d}{_DISH}"


def folder_for(output: str | Path) -> Path:
    """Return the folder of the unfinished results of an output file or folder."""
    output = Path(output)
    return output.with_name(output.name + ".partial")


def _open(folder: Path, whole: Mapping[str, Any], what: str, *, resume: bool) -> None:
    """Make a folder for a plan, or take up the one that holds the same plan."""
    text = json.dumps(whole, sort_keys=True)
    there = folder / _PLAN
    if resume and there.is_file():
        _check_same(there, text, folder, what)
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    there.write_text(text, encoding="utf-8")


def _check_same(there: Path, text: str, folder: Path, what: str) -> None:
    """Stop where a folder holds another plan than the one to go on with."""
    try:
        old, new = json.loads(there.read_text(encoding="utf-8")), json.loads(text)
    except (OSError, ValueError) as error:
        raise InputError(
            f"`{there}` is damaged, so the {what} in `{folder}` cannot go on; delete "
            "the folder to start anew."
        ) from error
    different = [
        key
        for key in sorted({*old["plan"], *new["plan"]})
        if old["plan"].get(key) != new["plan"].get(key)
    ]
    if different or old["part_size"] != new["part_size"]:
        raise InputError(
            f"`{folder}` holds another {what} (other "
            f"{', '.join(different) or 'parts'}); run what was run before, or delete "
            "the folder to start anew."
        )


def _array(path: Path, shape: Any, kind: Any, fill: float) -> Any:
    """Return an array in a file, as it is there, or new and filled."""
    shape = shape if isinstance(shape, tuple) else (shape,)
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    if size == 0:
        return np.full(shape, fill, kind)
    if path.is_file() and path.stat().st_size == size:
        return np.memmap(path, dtype=kind, mode="r+", shape=shape)
    _reserve(path, size)
    made = np.memmap(path, dtype=kind, mode="r+", shape=shape)
    made[...] = fill
    return made


def _reserve(path: Path, size: int) -> None:
    """Take disk space for a file for good; a full disk raises OSError here."""
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            for start in range(0, size, _BLOCK):
                file.write(bytes(min(_BLOCK, size - start)))

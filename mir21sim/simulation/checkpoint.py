"""Finished parts of long work, kept on disk so that it can be resumed.

A folder beside the output holds a file for each part that is finished: some runs of a
sweep, or a dish of a study. Each file carries a digest of its content and of the plan
that it belongs to. A file that fails the check is taken for a missing one, so that a
killed process or a damaged disk costs the parts concerned and gives no wrong number.
"""

import copy
import hashlib
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mir21sim import files
from mir21sim._typing import BoolArray, IntArray
from mir21sim.errors import InputError
from mir21sim.simulation.lock import FolderLock, refuse_if_held
from mir21sim.solvers.problem import PER_RUN, Problem, Solution

Arrays = Mapping[str, NDArray[Any]]

_PLAN = "plan.json"
_ROOM = "room"
_ENDING = ".npz"
_BLOCK = 1 << 24


class PartFolder:
    """A locked folder of finished parts, all of one plan.

    Parameters
    ----------
    folder : where the files are; made, or reused with `resume`
    plan : all inputs that decide the numbers, as JSON values
    kind : "sweep" or "study", for messages
    resume : use the parts that are there; otherwise they are deleted

    Raises
    ------
    InputError
        When there is no right to write, when another process has the folder, or when
        `resume` finds another plan.
    """

    def __init__(
        self, folder: Path, plan: Mapping[str, Any], kind: str, *, resume: bool
    ) -> None:
        self.folder, self._kind = folder, kind
        identity = json.dumps(_identity(plan), sort_keys=True)
        self._stamp = hashlib.sha256(identity.encode()).digest()
        try:
            self._lock = FolderLock(folder)
        except OSError as error:
            raise self._full(error) from error
        try:
            files.remove_abandoned(folder, "")
            if resume:
                self._check_plan(plan)
            else:
                self._empty()
            data = json.dumps(plan, sort_keys=True).encode()
            self._write(_PLAN, files.sealed(data))
        except OSError as error:
            self.close()
            raise self._full(error) from error
        except BaseException:
            self.close()
            raise

    def names(self) -> list[str]:
        """Return the names of all parts in the folder, finished or damaged."""
        return sorted(path.stem for path in self.folder.glob(f"*{_ENDING}"))

    def read(self, name: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of a part, None where it is missing or damaged."""
        try:
            body = files.unsealed(self._path(name).read_bytes())
        except OSError:
            return None
        n = len(self._stamp)
        if body is None or body[:n] != self._stamp:
            return None
        try:
            with np.load(io.BytesIO(body[n:]), allow_pickle=False) as found:
                return {key: found[key] for key in found.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def write(self, name: str, arrays: Arrays) -> None:
        """Keep the arrays of a finished part.

        Raises
        ------
        InputError
            When the disk is full; the parts before stay.
        """
        data = io.BytesIO()
        np.savez(data, allow_pickle=False, **dict(arrays))
        try:
            self._write(
                name + _ENDING, files.sealed(self._stamp + data.getbuffer().tobytes())
            )
        except OSError as error:
            raise self._full(error) from error

    def remove(self) -> None:
        """Delete the folder, when the results are saved elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Leave the folder to other processes."""
        self._lock.release()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_ENDING}"

    def _write(self, name: str, data: bytes) -> None:
        """Write a file in one move; it is on the disk when this returns."""
        part = self.folder / f".{name}.{files.unique()}.part"
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.folder / name)
        finally:
            part.unlink(missing_ok=True)

    def _empty(self) -> None:
        """Delete the parts of earlier work."""
        for path in (*self.folder.glob(f"*{_ENDING}"), self.folder / _PLAN):
            path.unlink(missing_ok=True)

    def _check_plan(self, plan: Mapping[str, Any]) -> None:
        """Stop where the folder holds another plan than the one to go on with."""
        there = self.folder / _PLAN
        if not there.is_file():
            return
        body = files.unsealed(there.read_bytes())
        if body is None:
            names = self.names()
            if names and all(self.read(name) is None for name in names):
                raise InputError(
                    f"`{there}` is damaged and no part in `{self.folder}` belongs to "
                    f"this {self._kind}; give another output, or delete the folder to "
                    "start anew."
                )
            return
        old, new = _identity(json.loads(body)), _identity(plan)
        different = [k for k in sorted({*old, *new}) if old.get(k) != new.get(k)]
        if different == [_VERSION]:
            raise InputError(
                f"`{self.folder}` was begun by mir21sim {old[_VERSION]}, and this is "
                f"{new[_VERSION]}: every version may give other last digits, so parts "
                f"of two are not mixed. Go on with mir21sim {old[_VERSION]}, or delete "
                "the folder to start anew."
            )
        if different:
            raise InputError(
                f"`{self.folder}` holds another {self._kind} (other "
                f"{', '.join(different)}); run what was run before, or delete the "
                "folder to start anew."
            )

    def _full(self, error: OSError) -> InputError:
        return InputError(
            f"`{self.folder}` cannot hold the running {self._kind}: "
            f"{files.reason(error)}; make room, or give another output."
        )


_VERSION = "version of mir21sim"


def _identity(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan without the versions of Python and its libraries.

    So work can be resumed on another machine; the version of this package must be the
    same.
    """
    kept = dict(plan)
    if isinstance(versions := kept.pop("versions", None), Mapping):
        kept[_VERSION] = versions.get("mir21sim")
    return kept


class PartialResults:
    """The Solution of a sweep, with its finished parts on disk.

    Parameters
    ----------
    folder : where the files are; made, or reused with `resume`
    plan : all inputs that decide the numbers, as JSON values
    problem : gives the shapes
    part_size : runs per part from now on; parts of another size are used as they are
    resume : go on with the parts that are there
    on_disk : whether the numbers lie in files of the folder and not in memory

    Attributes
    ----------
    results : Solution, filled as far as runs are done
    done : bool array, shape (n_run,)

    Raises
    ------
    InputError
        When there is no room or no right to write, when another process has the
        folder, or when `resume` finds another plan.
    """

    def __init__(
        self,
        folder: Path,
        plan: Mapping[str, Any],
        problem: Problem,
        *,
        part_size: int,
        resume: bool,
        on_disk: bool = False,
    ) -> None:
        self.part_size = part_size
        self.done: BoolArray = np.zeros(len(problem), dtype=np.bool_)
        self._parts = PartFolder(folder, plan, "sweep", resume=resume)
        try:
            self.results = (
                _mapped(problem, folder) if on_disk else Solution.empty(problem)
            )
            for name in self._parts.names():
                self._take(name)
            self._room = sum(
                getattr(self.results, name)[~self.done].nbytes for name in PER_RUN
            )
            _reserve(folder / _ROOM, self._room)
        except OSError as error:
            self.close()
            raise self._parts._full(error) from error
        except BaseException:
            self.close()
            raise

    def todo(self) -> list[IntArray]:
        """Return the runs to do, in parts of neighbours."""
        left = np.flatnonzero(~self.done)
        gaps = np.flatnonzero(np.diff(left) > 1) + 1
        return [
            stretch[start : start + self.part_size]
            for stretch in np.split(left, gaps)
            for start in range(0, len(stretch), self.part_size)
        ]

    def keep(self, runs: slice) -> None:
        """Write a part that is finished, whose numbers are in `results`."""
        arrays = {name: getattr(self.results, name)[runs] for name in PER_RUN}
        self._room -= sum(array.nbytes for array in arrays.values())
        with (self._parts.folder / _ROOM).open("ab") as file:
            file.truncate(max(0, self._room))
        self._parts.write(f"runs-{runs.start:09d}-{runs.stop:09d}", arrays)
        self.done[runs] = True

    def remove(self) -> None:
        """Delete the folder, when the result is saved elsewhere."""
        self._parts.remove()

    def close(self) -> None:
        """Leave the folder to other processes."""
        self._parts.close()

    def _take(self, name: str) -> None:
        """Use a part from the disk if it is undamaged and fits."""
        match = re.fullmatch(r"runs-(\d{9})-(\d{9})", name)
        arrays = self._parts.read(name) if match else None
        if match is None or arrays is None:
            return
        runs = slice(int(match[1]), int(match[2]))
        places = {n: getattr(self.results, n)[runs] for n in PER_RUN}
        fits = arrays.keys() == places.keys() and all(
            arrays[n].shape == place.shape and arrays[n].dtype == place.dtype
            for n, place in places.items()
        )
        if fits:
            for n, place in places.items():
                place[...] = arrays[n]
            self.done[runs] = True


class PartialDishes:
    """The cells of each finished dish of a study, one file a dish.

    Parameters
    ----------
    folder : where the files are; made, or reused with `resume`
    plan : all inputs that decide the numbers, as JSON values
    resume : go on with the dishes that are there

    Raises
    ------
    InputError
        When there is no right to write, when another process has the folder, or when
        `resume` finds another plan.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any], *, resume: bool) -> None:
        self._parts = PartFolder(folder, plan, "study", resume=resume)
        self._before = 0

    def after(self, dishes: int) -> "PartialDishes":
        """Return the same folder, in which counting starts after some dishes."""
        later = copy.copy(self)
        later._before = self._before + dishes
        return later

    def __len__(self) -> int:
        return len(self._parts.names())

    def read(self, dish: int) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of a dish, None where it is missing or damaged."""
        return self._parts.read(f"{self._before + dish:06d}")

    def write(self, dish: int, arrays: Arrays) -> None:
        """Keep the arrays of a finished dish.

        Raises
        ------
        InputError
            When the disk is full; the dishes before stay.
        """
        self._parts.write(f"{self._before + dish:06d}", arrays)

    def remove(self) -> None:
        """Delete the folder, when the results are saved elsewhere."""
        self._parts.remove()

    def close(self) -> None:
        """Leave the folder to other processes."""
        self._parts.close()


def folder_for(output: str | Path) -> Path:
    """Return the folder of the unfinished results of an output file or folder."""
    output = Path(output)
    return output.with_name(output.name + ".partial")


def refuse_to_lose(output: Path, kind: str) -> None:
    """Stop where an unfinished sweep or study would be thrown away.

    Raises
    ------
    InputError
        When another process is at it, or else when it can be resumed.
    """
    folder = folder_for(output)
    if not folder.exists():
        return
    try:
        refuse_if_held(folder)
    except OSError as error:
        raise InputError(
            f"`{folder}` cannot be used: {files.reason(error)}."
        ) from error
    if any(folder.glob(f"*{_ENDING}")):
        raise InputError(
            f"`{folder}` holds an unfinished {kind}; go on with it by resume=True (on "
            "the command line --resume), or delete the folder to start anew."
        )


def _mapped(problem: Problem, folder: Path) -> Solution:
    """Return results in which no run has run, in files that are mapped to memory.

    The files go with the folder; the parts beside them are what is resumed.
    """

    def make(
        name: str, shape: tuple[int, ...], kind: type[np.generic], fill: float
    ) -> NDArray[Any]:
        if not np.prod(shape):
            return np.full(shape, fill, kind)
        path = folder / f".{name}.{files.unique()}.part"
        made = np.memmap(path, dtype=kind, mode="w+", shape=shape)
        made[...] = fill
        return made

    return Solution.allocated(problem, make)


def _reserve(path: Path, size: int) -> None:
    """Take disk space with a file; a full disk raises OSError here."""
    with path.open("wb") as file:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            for start in range(0, size, _BLOCK):
                file.write(bytes(min(_BLOCK, size - start)))

"""A log of evaluations on disk, so that long work can be resumed bit for bit.

Every evaluation is appended when it is finished. Replaying the log before the same
seeded optimiser or sampler takes the same path; a process that is killed loses at most
the evaluation under way.

The file starts with one line of JSON that names the problem. A record is its length and
its CRC-32, then x, value, gradient and the upper triangle of the Hessian as doubles;
the last or the last two may be left out.
"""

import json
import os
import struct
import threading
import zlib
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError
from mir21sim.estimation.objective import Evaluation, Objective
from mir21sim.estimation.projection import ProjectedObjective

FORMAT = "mir21sim evaluations 1"

_HEAD = struct.Struct("<II")


class _Kind(IntEnum):
    """How much of an evaluation a record has; each has what those before it have."""

    VALUE = 0
    GRADIENT = 1
    HESSIAN = 2


_BYTES = {_Kind.VALUE: 0, _Kind.GRADIENT: 2, _Kind.HESSIAN: 1}
"""First byte of a record; logs of version 0.1 have 0 and 1."""


class EvaluationLog:
    """Evaluations of one problem in an append-only file.

    Parameters
    ----------
    path : the file; made where it does not exist
    problem : hash of the problem and of how it is integrated
    n_free : number of estimated parameters

    Raises
    ------
    InputError
        For a log of another problem, a file that is no log, or one that cannot be
        written.
    """

    def __init__(self, path: Path, problem: str, n_free: int) -> None:
        self.path, self.n_free = path, n_free
        self.lock = threading.Lock()  # starts may run at the same time
        self.places: dict[tuple[bytes, _Kind], int] = {}
        header = json.dumps({"format": FORMAT, "problem": problem, "n_free": n_free})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file: BinaryIO = path.open("a+b", buffering=0)
        except OSError as error:
            raise InputError(
                f"`{path}` cannot be written: {error.strerror}."
            ) from error
        try:
            self._begin(header)
        except InputError:
            self.file.close()
            raise

    def _begin(self, header: str) -> None:
        self.file.seek(0)
        whole = self.file.read()
        if not whole:
            self._append(header.encode() + b"\n")
        else:
            self._check(whole, header)
            self._index(whole)

    def __len__(self) -> int:
        return len(self.places)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def find(
        self, x: FloatArray, *, slopes: bool, hessian: bool = True
    ) -> Evaluation | None:
        """Return a logged evaluation at exactly this point, None for none.

        One that has just what is asked for comes first: a gradient by the adjoint
        differs from one by tangents in the last digits.
        """
        kinds = tuple(_Kind)[_kind(slopes=slopes, hessian=hessian) :]
        with self.lock:
            for kind in kinds:
                place = self.places.get((x.tobytes(), kind))
                if place is not None:
                    return self._read(place)
        return None

    def add(self, x: FloatArray, found: Evaluation) -> None:
        """Append an evaluation.

        Raises
        ------
        InputError
            When the disk is full; the log stays as it was.
        """
        kind = _kind_of(found)
        parts = [np.asarray(x, float), np.array([found.value])]
        if found.gradient is not None:
            parts.append(found.gradient)
        if found.hessian is not None:
            parts.append(found.hessian[np.triu_indices(self.n_free)])
        numbers = np.concatenate(parts).astype("<f8").tobytes()
        reason = found.reason.encode()
        payload = bytes([_BYTES[kind]]) + _HEAD.pack(len(reason), len(numbers))
        payload += reason + numbers
        with self.lock:
            place = self.file.seek(0, os.SEEK_END)
            self._append(_HEAD.pack(len(payload), zlib.crc32(payload)) + payload)
            self.places[x.tobytes(), kind] = place

    def _append(self, data: bytes) -> None:
        start = self.file.seek(0, os.SEEK_END)
        try:
            whole, why = self.file.write(data) == len(data), "the disk is full"
        except OSError as error:
            whole, why = False, error.strerror or str(error)
        if not whole:
            self.file.truncate(start)
            raise InputError(
                f"`{self.path}` cannot be written: {why}. The evaluations before are "
                "kept; make room and resume."
            )

    def _check(self, whole: bytes, header: str) -> None:
        """Raise where the file is no log or that of another problem."""
        line, _, _ = whole.partition(b"\n")
        try:
            found = json.loads(line)
            is_log = found["format"] == FORMAT
        except (ValueError, KeyError, TypeError):
            is_log = False
        if not is_log:
            raise InputError(f"`{self.path}` is not a log of evaluations.")
        if found != json.loads(header):
            raise InputError(
                f"`{self.path}` belongs to another problem (or to other data, bounds "
                "or tolerances): its hash differs. Give another folder."
            )

    def _index(self, whole: bytes) -> None:
        """Find the records; cut off one that was not finished."""
        place = whole.index(b"\n") + 1
        while place + _HEAD.size <= len(whole):
            size, crc = _HEAD.unpack_from(whole, place)
            payload = whole[place + _HEAD.size : place + _HEAD.size + size]
            if len(payload) < size or zlib.crc32(payload) != crc:
                break
            x, found = self._decoded(payload)
            self.places[x.tobytes(), _kind_of(found)] = place
            place += _HEAD.size + size
        if place != len(whole):
            self.file.truncate(place)

    def _read(self, place: int) -> Evaluation:
        self.file.seek(place)
        size, _ = _HEAD.unpack(self.file.read(_HEAD.size))
        return self._decoded(self.file.read(size))[1]

    def _decoded(self, payload: bytes) -> tuple[FloatArray, Evaluation]:
        length, _ = _HEAD.unpack_from(payload, 1)
        start = 1 + _HEAD.size
        reason = payload[start : start + length].decode()
        numbers = np.frombuffer(payload[start + length :], "<f8").astype(float)
        n = self.n_free
        x, value = numbers[:n], float(numbers[n])
        if payload[0] == _BYTES[_Kind.VALUE]:
            return x, Evaluation(value, None, None, reason)
        gradient = numbers[n + 1 : 2 * n + 1]
        if payload[0] == _BYTES[_Kind.GRADIENT]:
            return x, Evaluation(value, gradient, None, reason)
        hessian = np.zeros((n, n))
        hessian[np.triu_indices(n)] = numbers[2 * n + 1 :]
        hessian += np.triu(hessian, 1).T
        return x, Evaluation(value, gradient, hessian, reason)


def _kind(*, slopes: bool, hessian: bool) -> _Kind:
    if not slopes:
        return _Kind.VALUE
    return _Kind.HESSIAN if hessian else _Kind.GRADIENT


def _kind_of(found: Evaluation) -> _Kind:
    slopes, hessian = found.gradient is not None, found.hessian is not None
    return _kind(slopes=slopes, hessian=hessian)


Searched: TypeAlias = Objective | ProjectedObjective
"""An objective that an optimiser may be given."""


class LoggedObjective:
    """An objective that looks an evaluation up before it computes it.

    Attributes
    ----------
    n_new, n_replayed : evaluations computed and found in the log
    failures : reason → number of evaluations that failed for it
    """

    def __init__(self, objective: Searched, log: EvaluationLog | None = None) -> None:
        self.objective, self.log = objective, log
        self.n_new = self.n_replayed = 0
        self.failures: dict[str, int] = {}

    def __call__(
        self, x: FloatArray, *, slopes: bool = True, hessian: bool = True
    ) -> Evaluation:
        """Return the objective at a point."""
        x = np.array(x, float)
        found = None
        if self.log is not None:
            found = self.log.find(x, slopes=slopes, hessian=hessian)
        if found is None:
            found = self._computed(x, slopes=slopes, hessian=hessian)
            self.n_new += 1
            if self.log is not None:
                self.log.add(x, found)
        else:
            self.n_replayed += 1
        if found.reason:
            self.failures[found.reason] = self.failures.get(found.reason, 0) + 1
        return found

    def count(self, other: "LoggedObjective") -> None:
        """Add the evaluations of another objective over the same log."""
        self.n_new += other.n_new
        self.n_replayed += other.n_replayed
        for reason, n in other.failures.items():
            self.failures[reason] = self.failures.get(reason, 0) + n

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Bounds of the parameters on their scales."""
        return self.objective.problem.bounds

    def whole(self, x: FloatArray) -> FloatArray:
        """Return all parameters; none is held here."""
        return x

    def _computed(self, x: FloatArray, *, slopes: bool, hessian: bool) -> Evaluation:
        found = self.objective(x, slopes=slopes, hessian=hessian)
        if found.hessian is None:
            return found
        # Exactly symmetric, as it will be read back.
        upper = np.triu(found.hessian)
        whole = upper + np.triu(found.hessian, 1).T
        return Evaluation(found.value, found.gradient, whole, found.reason)


def run_digest(objective: Searched) -> str:
    """Return the hash of a problem and of how it is integrated."""
    settings = objective.engine.settings
    way = f"{settings.method} {settings.rtol!r} {objective.engine.exact}"
    projected = " projected" if isinstance(objective, ProjectedObjective) else ""
    return f"{objective.problem.digest()} {way} priors={objective.priors}{projected}"

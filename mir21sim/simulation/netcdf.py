"""Write netCDF files so that a full disk is an error and never a crash.

HDF5 cannot close a file after a failed write, and the process crashes when it ends. So
HDF5 writes into a file object of ours, which never fails: after the first error of the
disk it goes on in memory, and the error is raised when HDF5 has closed the file.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import h5netcdf
import xarray as xr
from xarray.backends import H5NetCDFStore


class ForgivingFile(io.RawIOBase):
    """A new binary file that goes on in memory after an error of the disk.

    Attributes
    ----------
    error : the first error, None while all is on the disk
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file: io.RawIOBase = path.open("wb+", buffering=0)
        self.error: OSError | None = None

    def readable(self) -> bool:
        """Return True: HDF5 reads back the bytes it has written."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Fill a buffer from the current position."""
        return cast("int | None", cast("Any", self._file).readinto(buffer))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the current position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the current position."""
        return self._file.tell()

    def write(self, data: Any) -> int:
        """Write all of the data, in memory where the disk does not take it."""
        whole = memoryview(data).cast("B")
        done = 0
        while done < len(whole):
            try:
                done += self._file.write(whole[done:]) or 0
            except OSError as error:
                self._go_on_in_memory(error)
        return done

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file."""
        size = self.tell() if size is None else size
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._go_on_in_memory(error)
            return self._file.truncate(size)

    def close(self) -> None:
        """Close the file on the disk."""
        self._file.close()
        super().close()

    def _go_on_in_memory(self, error: OSError) -> None:
        """Copy written bytes to memory, and keep the error for the end."""
        if self.error is not None:  # of memory, which has no disk to run out of
            raise error
        self.error = error
        place = self._file.tell()
        self._file.seek(0)
        memory = io.BytesIO(self._file.readall() or b"")
        memory.seek(place)
        self._file.close()
        self._file = cast("io.RawIOBase", memory)


def write_netcdf(
    path: Path,
    groups: Mapping[str | None, xr.Dataset],
    encoding: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write Datasets to the groups of a new netCDF file, None for its root.

    Raises
    ------
    OSError
        When the disk did not take all of it.
    """
    with ForgivingFile(path) as target:
        with h5netcdf.File(target, "w") as file:
            for group, content in groups.items():
                store = H5NetCDFStore(file, group=group, mode="w")
                # A dimension whose coordinate comes late is attached to all again.
                ordered = _coordinates_first(content)
                ordered.dump_to_store(store, encoding=encoding if group is None else {})
        if target.error is not None:
            raise target.error


def _coordinates_first(content: xr.Dataset) -> xr.Dataset:
    """Return a Dataset with its coordinates before its other variables."""
    first = xr.Dataset(coords=content.coords, attrs=content.attrs)
    return first.assign(content.data_vars)

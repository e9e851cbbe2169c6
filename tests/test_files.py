"""Files are written in one move: whole, or not at all and with one sentence."""

import csv
import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import support
import xarray as xr

from mir21sim import files
from mir21sim.analysis import plot_style, plots, tables
from mir21sim.assays import fcs, plate_map
from mir21sim.assays.cytometer import Tube
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model.convert import convert
from mir21sim.simulation import dataset, netcdf
from mir21sim.simulation.omex import save_archive
from mir21sim.simulation.simulate import simulate

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with files.writing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with files.writing(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_disk_is_one_sentence(tmp_path):
    def fail():
        with files.writing(tmp_path / "a.txt"):
            raise OSError(errno.ENOSPC, "a long story\nof HDF5")

    with pytest.raises(InputError, match=r"a\.txt` cannot be written: No space left"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_refused_before_the_run(tmp_path):
    with pytest.raises(InputError, match="cannot be written: File name too long"):
        files.check_writable(tmp_path / ("n" * 300 + ".nc"), (".nc",))


def test_any_name_that_a_file_can_have_can_be_written(tmp_path):
    path = tmp_path / ("µ" * 120 + ".csv")
    assert files.write_text(path, "a\n").read_bytes() == b"a\n"


@posix_only
def test_files_of_dead_processes_are_deleted_and_no_others(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here = files.machine()
    kept = [
        tmp_path / f".a.txt.{here}-{os.getppid()}-00000000.part",
        tmp_path / f".a.txt.00000000-{dead.pid}-00000000.part",
        tmp_path / f".b.txt.{here}-{dead.pid}-00000000.part",
        tmp_path / "notes.part",
    ]
    gone = [
        tmp_path / f".a.txt.{here}-{dead.pid}-00000000.part",
        tmp_path / f".a.txt.00000000-{dead.pid}-11111111.part",
    ]
    for path in (*kept, *gone):
        path.touch()
    os.utime(gone[1], (0, 0))
    files.write_text(tmp_path / "a.txt", "a")
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in kept} | {"a.txt"}


# ------------------------------------------------------------------- every writer
def table(path):
    frame = tables.records_frame([{"a": i} for i in range(2000)])
    return lambda: tables.write_csv(frame, path.with_suffix(".csv"))


def result(path):
    made = xr.Dataset({"a": ("x", np.random.default_rng(0).random(3000))})
    return lambda: dataset.save(made, path.with_suffix(".nc"), {"sbml": "<sbml/>"})


def picture(path):
    axes = plot_style.new_axes()
    return lambda: plots.save(axes, path.with_suffix(".png"))


def archive(path):
    model = support.compiled(support.DECAY)
    made = simulate(model, times=np.linspace(0, 1, 2000))
    return lambda: save_archive(made, model, path.with_suffix(".omex"))


def tube(path):
    pytest.importorskip("flowio", reason="the extra `flow` is not installed")
    no = np.zeros(500, bool)
    made = Tube("s", 1, np.zeros((500, 4)), no, no, no)
    return lambda: fcs.write_fcs(made, path.with_suffix(".fcs"), np.eye(2))


def plate(path):
    wells = tuple(
        plate_map.Well(row, column, "drug" * 50, 1.0)
        for row in "ABCDEFGH"
        for column in range(1, 13)
    )
    made = plate_map.PlateMap(wells)
    return lambda: plate_map.write_plate_map(made, path.with_suffix(".csv"))


def model_text(path):
    return lambda: convert("mir21_core", path.with_suffix(".xml"))


WRITERS = (table, result, picture, archive, tube, plate, model_text)


@posix_only
@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_that_is_full_half_way_is_one_sentence(writer, tmp_path, small_files):
    write = writer(tmp_path / "out")
    with small_files(4096), pytest.raises(InputError, match="cannot be written: "):
        write()
    assert list(tmp_path.iterdir()) == []
    assert write().stat().st_size > 4096


# ------------------------------------------------------------------- spreadsheets
@pytest.mark.parametrize("text", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1"])
def test_no_text_of_a_table_is_a_formula(tmp_path, text):
    frame = tables.records_frame([{text: text, "n": -1.5, "s": "-1.5"}])
    path = tables.write_csv(frame, tmp_path / "a.csv")
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [[f"'{text}", "n", "s"], [f"'{text}", "-1.5", "-1.5"]]


def test_a_plate_map_with_such_a_text_is_read_back_the_same(tmp_path):
    wells = tuple(
        plate_map.Well(row, column, "+TRAIL", 1.0)
        for row in "ABCDEFGH"
        for column in range(1, 13)
    )
    path = plate_map.write_plate_map(plate_map.PlateMap(wells), tmp_path / "a.csv")
    assert ",'+TRAIL," in path.read_text()
    assert plate_map.read_plate_map(path).wells == wells


# ------------------------------------------------------------------------ messages
def test_a_message_quotes_no_megabyte():
    text = str(UnknownNameError("species", "x" * 10**6, ["A"]))
    assert len(text) < 300
    assert "xxx…xxx" in text


# -------------------------------------------------------------------------- netCDF
@pytest.mark.parametrize("room", [0, 100, 5000, 20_000])
def test_netcdf_closes_its_file_on_a_full_disk(tmp_path, monkeypatch, room):
    """HDF5 crashes the process at its end if it cannot close a file."""
    made = xr.Dataset({"a": ("x", np.random.default_rng(0).random(4000))})
    disk = netcdf.ForgivingFile.write

    def write(self, data):
        if self.tell() + len(data) > room and self.error is None:
            self._go_on_in_memory(OSError(errno.ENOSPC, "full"))
        return disk(self, data)

    monkeypatch.setattr(netcdf.ForgivingFile, "write", write)
    with pytest.raises(OSError, match="full"):
        netcdf.write_netcdf(tmp_path / "a.nc", {None: made}, {})


def test_netcdf_holds_what_xarray_writes(tmp_path):
    made = xr.Dataset(
        {
            "a": ("x", [1.5, np.nan], {"units": "h"}),
            "m": ("x", ["µ", ""]),
            "flags": (("y", "x"), [[True, False]] * 3, {"flag_values": [0, 1]}),
            "k": ((), 7),
            "none": (("z", "x"), np.zeros((0, 2))),
        },
        coords={"x": [1.0, 2.0], "name": ("x", ["one", "two"]), "at": 2.5},
        attrs={"text": "x" * 70_000, "n": 3},
    )
    extra = xr.Dataset({"sbml": ((), np.array("<sbml/>", dtype=object))})
    path = Path(tmp_path, "a.nc")
    netcdf.write_netcdf(
        path, {None: made, "model": extra}, {"a": {"compression": "gzip"}}
    )
    assert xr.load_dataset(path, engine="h5netcdf").identical(made)
    again = xr.load_dataset(path, engine="h5netcdf", group="model")
    assert str(again["sbml"].values) == "<sbml/>"

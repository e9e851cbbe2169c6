"""FCS files: ours in other readers, theirs in ours, and refusals."""

import struct

import fcsparser
import numpy as np
import pytest

from mir21sim.assays.fcs import read_fcs, write_fcs
from mir21sim.assays.flow import FlowCytometry
from mir21sim.assays.gates import CHANNELS
from mir21sim.errors import InputError


@pytest.fixture
def reading(cells_of):
    """A control, and a sample with 30 % early and 10 % late apoptotic cells."""
    ps = np.repeat([0.003, 0.95], [60, 40])
    ruptured = np.repeat([0.005, 0.0, 0.4], [60, 15, 25])
    cells = cells_of(
        {
            "nc": {"PS_exposed": np.full(100, 0.003), "membrane_ruptured": 0.005},
            "TRAIL": {"PS_exposed": ps, "membrane_ruptured": ruptured},
        }
    )
    return FlowCytometry().read(cells, seed=1)


def fcs_by_the_standard(path):
    """Read a list-mode float file by the FCS 3.1 standard alone, with no library."""
    data = path.read_bytes()
    assert data[:6] == b"FCS3.1"
    first, last = int(data[10:18]), int(data[18:26])
    text = data[first : last + 1].decode("utf-8")
    words = text[1:].rstrip(text[0]).split(text[0])
    keys = {k.upper(): v for k, v in zip(words[::2], words[1::2], strict=True)}
    assert keys["$DATATYPE"] == "F"
    assert keys["$MODE"] == "L"
    n, width = int(keys["$TOT"]), int(keys["$PAR"])
    order = "<" if keys["$BYTEORD"] == "1,2,3,4" else ">"
    block = data[int(keys["$BEGINDATA"]) : int(keys["$ENDDATA"]) + 1]
    events = np.array(struct.unpack(f"{order}{n * width}f", block)).reshape(n, width)
    names = [keys[f"$P{k + 1}N"] for k in range(width)]
    spill = keys["$SPILLOVER"].split(",")
    assert spill[:3] == ["2", "FITC-A", "PI-A"]
    return events, names, np.array(spill[3:], float).reshape(2, 2)


def test_an_fcs_file_read_by_the_standard_gives_the_same_quadrants(reading, tmp_path):
    for tube, (_, row) in zip(reading.tubes, reading.raw.iterrows(), strict=True):
        path = write_fcs(tube, tmp_path / "tube.fcs", reading.spillover)
        events, names, spill = fcs_by_the_standard(path)
        assert names == list(CHANNELS)
        early, late = quadrants_by_hand(events, names, spill, reading.gates)
        assert late == pytest.approx(row["late apoptotic"], abs=0.5)
        assert early == pytest.approx(row["early apoptotic"], abs=0.5)


def quadrants_by_hand(events, names, spill, gates):
    """Return percent early and late apoptotic, by nothing of this package."""
    column = dict(zip(names, np.asarray(events).T, strict=True))
    kept = column["FSC-A"] >= gates.scatter
    light = np.array([column["FITC-A"], column["PI-A"]]).T[kept] @ np.linalg.inv(spill)
    annexin, pi = light[:, 0] >= gates.annexin, light[:, 1] >= gates.pi
    return 100 * (annexin & ~pi).mean(), 100 * (annexin & pi).mean()


def test_an_independent_reader_finds_the_same_quadrants(reading, tmp_path):
    for tube, (_, row) in zip(reading.tubes, reading.raw.iterrows(), strict=True):
        path = write_fcs(tube, tmp_path / "tube.fcs", reading.spillover)
        keys, events = fcsparser.parse(str(path), channel_naming="$PnN")
        assert list(events.columns) == list(CHANNELS)
        spill = np.array(keys["$SPILLOVER"].split(",")[3:], float).reshape(2, 2)
        early, late = quadrants_by_hand(events, events.columns, spill, reading.gates)
        assert early == pytest.approx(row["early apoptotic"], abs=0.5)
        assert late == pytest.approx(row["late apoptotic"], abs=0.5)


def test_a_file_reads_back_what_was_written(reading, tmp_path):
    tube = reading.tubes[0]
    events, spill = read_fcs(write_fcs(tube, tmp_path / "a.fcs", reading.spillover))
    assert np.array_equal(events, tube.events)
    assert np.array_equal(spill, reading.spillover)


def test_broken_files_are_named(reading, tmp_path):
    path = write_fcs(reading.tubes[0], tmp_path / "a.fcs", reading.spillover)
    whole = path.read_bytes()
    for name, content in (
        ("cut.fcs", whole[:2000]),
        ("text.fcs", b"no cytometer wrote this"),
        ("empty.fcs", b""),
    ):
        broken = tmp_path / name
        broken.write_bytes(content)
        with pytest.raises(InputError, match=f"{name}` is no FCS file, or a broken"):
            read_fcs(broken)
    with pytest.raises(InputError, match=r"nowhere\.fcs` does not exist"):
        read_fcs(tmp_path / "nowhere.fcs")
    other = tmp_path / "other.fcs"
    other.write_bytes(whole.replace(b"FITC-A", b"APC_-A"))
    with pytest.raises(InputError, match="lacks the channel `FITC-A`; it has FSC-A"):
        read_fcs(other)
    odd = tmp_path / "odd.fcs"
    odd.write_bytes(whole.replace(b"2,FITC-A,PI-A,", b"2,FITC-A,PX-A,"))
    with pytest.raises(InputError, match="SPILLOVER must hold a matrix of FITC-A"):
        read_fcs(odd)
    with pytest.raises(InputError, match="csv"):
        write_fcs(reading.tubes[0], tmp_path / "a.csv", reading.spillover)


KINDS = {"F": (32, "f4"), "D": (64, "f8"), "I": (16, "u2")}
EVENTS = np.random.default_rng(1).integers(0, 60_000, (50, 4)).astype(float)


def other_machine(
    path,
    events=EVENTS,
    kind="I",
    order="4,3,2,1",
    names=CHANNELS,
    header=None,
    offsets=None,
    **more,
):
    """Write an FCS 3.0 file by the standard, as a cytometer with other habits does."""
    bits, code = KINDS[kind]
    data = events.astype((">" if order == "4,3,2,1" else "<") + code).tobytes()
    n, width = events.shape
    keys = {"BYTEORD": order, "DATATYPE": kind, "MODE": "L", "NEXTDATA": 0}
    keys |= {"PAR": width, "TOT": n}
    for k, name in enumerate(names, 1):
        keys |= {f"P{k}N": name, f"P{k}B": bits, f"P{k}E": "0,0", f"P{k}R": 65536}
    keys |= more

    def text(first, last):
        found = keys | {"BEGINDATA": f"{first:012d}", "ENDDATA": f"{last:012d}"}
        return "".join(f"|${k}|{v}" for k, v in found.items()) + "|"

    start = 58 + len(text(0, 0))
    end = start + len(data) - 1
    a, b = header(start, end) if header else (start, end)
    head = f"FCS3.0    {58:8d}{start - 1:8d}{a:8d}{b:8d}{0:8d}{0:8d}"
    first, last = offsets(start, end) if offsets else (start, end)
    path.write_bytes((head + text(first, last)).encode() + data)
    return path


@pytest.mark.parametrize("order", ["1,2,3,4", "4,3,2,1"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_files_of_other_machines_are_read(tmp_path, kind, order):
    path = other_machine(tmp_path / "a.fcs", kind=kind, order=order)
    events, spill = read_fcs(path)
    assert np.array_equal(events, EVENTS)
    assert np.array_equal(spill, np.eye(2))  # the file has none


def test_amplifiers_of_a_machine_are_taken_out(tmp_path):
    logarithmic = {"P3E": "4.0,1.0", "P3R": 1024}
    events = EVENTS % 1024
    path = other_machine(tmp_path / "a.fcs", events, **logarithmic, P4G="2.0")
    read, _ = read_fcs(path)
    assert read[:, 2] == pytest.approx(10 ** (4 * events[:, 2] / 1024), rel=1e-12)
    assert read[:, 3] == pytest.approx(events[:, 3] / 2, rel=1e-12)


@pytest.mark.parametrize("kind", ["F", "D"])
def test_floats_are_linear_whatever_their_amplifier_is_said_to_be(tmp_path, kind):
    said = {"P3E": "4.0,1.0", "P3R": 262144, "P4G": "2.0"}
    events, _ = read_fcs(other_machine(tmp_path / "a.fcs", kind=kind, **said))
    assert np.array_equal(events[:, :3], EVENTS[:, :3])
    assert np.array_equal(events[:, 3], EVENTS[:, 3] / 2)


@pytest.mark.parametrize(
    "change",
    [
        {"header": lambda a, b: (0, 0)},  # legal above 100 MB
        {"header": lambda a, b: (99_999_999, 0)},
        {"header": lambda a, b: (a, b + 1), "offsets": lambda a, b: (a, b + 1)},
        {"offsets": lambda a, b: (a + 1, b)},
        {"header": lambda a, b: (a - 3, b)},
    ],
    ids=["zero", "nines", "end", "text", "header"],
)
@pytest.mark.parametrize("kind", ["F", "I"])
def test_offsets_that_differ_are_decided_by_the_number_of_events(
    tmp_path, change, kind
):
    events, _ = read_fcs(other_machine(tmp_path / "a.fcs", kind=kind, **change))
    assert np.array_equal(events, EVENTS)


def test_channels_of_other_names_are_read_when_they_are_named(tmp_path):
    names = ("FSC-A", "SSC-A", "FL1-A", "FL3-A")
    path = other_machine(
        tmp_path / "a.fcs", names=names, SPILLOVER="2,FL1-A,FL3-A,1,0.1,0.02,1"
    )
    with pytest.raises(InputError, match=r"lacks the channel `FITC-A`.*by `channels`"):
        read_fcs(path)
    events, spill = read_fcs(path, ("fsc-a", "ssc-a", "fl1-a", "fl3-a"))
    assert np.array_equal(events, EVENTS)
    assert np.array_equal(spill, [[1.0, 0.1], [0.02, 1.0]])
    with pytest.raises(InputError, match=r"Annexin V and PI, got 2"):
        read_fcs(path, ("FL1-A", "FL3-A"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SPILLOVER": "2,FITC-A,PI-A,1,1,1,1"}, "cannot be inverted"),
        ({"SPILLOVER": "2,FITC-A,PI-A,1,nan,0,1"}, "cannot be inverted"),
        ({"SPILLOVER": "2,FITC-A,PI-A,1,0.1,0"}, "must hold a matrix of FITC-A"),
        ({"MODE": "C"}, r"holds histograms \(\$MODE C\)"),
        ({"TOT": 60}, "says it has 60 events and holds 50"),
        (
            {"events": np.c_[EVENTS, EVENTS], "names": (*CHANNELS, *CHANNELS)},
            "more than one channel `FSC-A`",
        ),
        ({"names": ("FSC-A", "PI-A", "FITC-A", "PI-A")}, "lacks the channel `SSC-A`"),
        ({"events": EVENTS * np.nan, "kind": "F"}, "event 1 of 50 is not a number"),
    ],
    ids=["singular", "nan", "short", "mode", "events", "double", "missing", "number"],
)
def test_what_a_file_cannot_say_is_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        read_fcs(other_machine(tmp_path / "a.fcs", **change))

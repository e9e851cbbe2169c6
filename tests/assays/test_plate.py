"""Plates: the well's sum without noise, maps in and out, Z′, dose–response."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mir21sim.assays.noise import PlateNoise
from mir21sim.assays.plate import PlateAssay
from mir21sim.assays.plate_map import (
    PlateMap,
    Well,
    layout,
    read_plate_map,
    write_plate_map,
)
from mir21sim.assays.plate_reading import z_prime
from mir21sim.compiler.load import load
from mir21sim.errors import InputError, UnknownNameError

CASPASE, ALIVE = PlateAssay(), PlateAssay("viability")
DOSES = [0.0, 1.0, 3.0, 10.0, 30.0, 100.0]


@pytest.fixture
def cells(cells_of):
    return cells_of(
        {
            "nc": {
                "CASP3_active": [90.0, 110.0],
                "CASP7_active": 50.0,
                "PS_exposed": [0.0, 0.2],
                "membrane_ruptured": 0.0,
            },
            "TRAIL": {
                "CASP3_active": 500.0,
                "CASP7_active": 100.0,
                "PS_exposed": 0.5,
                "membrane_ruptured": 0.4,
            },
        }
    )


@pytest.fixture
def series(cells_of):
    """Signals on a Hill curve with EC50 10 and slope 2."""
    levels = {f"TRAIL {d:g}": 100 + 900 * d**2 / (d**2 + 100) for d in DOSES}
    return cells_of(
        {
            name: {"CASP3_active": level, "CASP7_active": 0.0}
            for name, level in levels.items()
        },
        treatment=["TRAIL"] * len(DOSES),
        dose=DOSES,
    )


def test_without_noise_a_well_is_the_mean_of_its_cells_times_their_number(cells):
    reading = CASPASE.read(cells, noise=False)
    table = reading.summary.set_index("sample")
    assert table.loc["TRAIL", "relative"] == pytest.approx(600 / 150, rel=1e-12)
    gain = CASPASE.noise.caspase_gain * CASPASE.cells_per_well
    assert table.loc["nc", "mean"] == pytest.approx(150 * gain, rel=1e-12)
    alive = ALIVE.read(cells, noise=False).summary.set_index("sample")
    assert alive.loc["TRAIL", "relative"] == pytest.approx(0.3 / 0.9, rel=1e-12)


def test_many_wells_need_the_larger_plate(cells):
    with pytest.raises(InputError, match="need 150 wells; a plate of 96 has 96"):
        CASPASE.read(cells, replicates=50)
    large = PlateAssay(size=384).read(cells, seed=1, replicates=100)
    table = large.summary.set_index("sample")
    assert table.loc["TRAIL", "relative"] == pytest.approx(4.0, rel=0.03)
    assert table.loc["TRAIL", "n"] == 100


def test_statistics_agree_with_the_raw_csv(cells, tmp_path):
    reading = CASPASE.read(cells, seed=2, replicates=6)
    reading.raw.to_csv(tmp_path / "raw.csv", index=False)
    raw = pd.read_csv(tmp_path / "raw.csv")
    blank = raw.loc[raw["contents"] == "blank", "signal"].mean()
    a, b = (
        raw.loc[raw["contents"] == name, "signal"] - blank for name in ("nc", "TRAIL")
    )
    row = reading.summary.set_index("sample").loc["TRAIL"]
    assert row["mean"] == pytest.approx(b.mean(), rel=1e-9)
    assert row["sd"] == pytest.approx(b.std(), rel=1e-9)
    p = stats.ttest_ind(np.log(b), np.log(a), equal_var=False).pvalue
    assert row["p"] == pytest.approx(p, rel=1e-6)
    expected = 1 - 3 * (a.std() + b.std()) / abs(a.mean() - b.mean())
    assert reading.z_prime == pytest.approx(expected, rel=1e-9)


def test_z_prime_is_the_formula_and_has_limits():
    assert z_prime(np.array([1.0, 1.0]), np.array([5.0, 5.0])) == 1.0
    assert z_prime(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == -math.inf
    assert math.isnan(z_prime(np.array([1.0]), np.array([5.0, 5.0])))


def test_a_dose_series_gives_back_its_ec50(series):
    exact = CASPASE.read(series, noise=False).fits["TRAIL"]
    assert exact.ec50 == pytest.approx(10.0, rel=1e-4)
    assert exact.hill == pytest.approx(2.0, rel=1e-3)
    noisy = CASPASE.read(series, seed=1, replicates=6).fits["TRAIL"]
    assert noisy.ec50_low < 10.0 < noisy.ec50_high
    assert noisy.ec50 == pytest.approx(10.0, rel=0.15)


def test_the_rim_reads_higher_where_an_edge_effect_is_asked_for(cells):
    wells = [Well(w.row, w.column, "nc") for w in layout([], replicates=1).wells]
    plate = PlateMap(tuple(wells))
    raw = PlateAssay(plate=plate, edge=0.2).read(cells, noise=False).raw
    inside, rim = raw.loc[~raw["edge"], "signal"], raw.loc[raw["edge"], "signal"]
    assert len(rim) == 36
    assert rim.mean() == pytest.approx(1.2 * inside.mean(), rel=1e-12)
    even = PlateAssay(plate=plate).read(cells, noise=False).raw["signal"]
    assert even.nunique() == 1


def test_a_seed_fixes_a_well_and_the_two_assays_differ(cells):
    one = CASPASE.read(cells, seed=3).raw
    assert one.equals(CASPASE.read(cells, seed=3).raw)
    assert not one.equals(CASPASE.read(cells, seed=4).raw)


# --------------------------------------------------------------------------- plate maps
@given(
    st.sampled_from([96, 384]),
    st.lists(
        st.tuples(st.sampled_from(["nc", "TRAIL", "a, b"]), st.floats(0, 1e6)),
        max_size=20,
    ),
    st.integers(1, 4),
)
def test_a_plate_map_reads_back_what_was_written(tmp_path_factory, size, samples, n):
    plate = layout(samples, n, size)
    path = tmp_path_factory.mktemp("map") / "map.csv"
    back = read_plate_map(write_plate_map(plate, path))
    assert back.size == size
    assert [str(w) for w in back.wells] == [str(w) for w in plate.wells]


def test_a_layout_keeps_off_the_rim_while_there_is_room():
    plate = layout([("nc", math.nan), ("TRAIL", 1.0)], 3)
    used = [w for w in plate.wells if w.contents != "empty"]
    assert len(used) == 9
    assert not any(plate.is_edge(w) for w in used)
    full = layout([("nc", math.nan)] * 31, 3)
    assert any(full.is_edge(w) for w in full.wells if w.contents != "empty")


def written(path, lines):
    path.write_text("row,column,contents,dose\n" + "\n".join(lines) + "\n")
    return path


def whole():
    return [f"{w.row},{w.column},empty," for w in layout([], 1).wells]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "lacks the well H12; a well that is not used"),
        (lambda lines: lines[2:], "lacks the well A1 and 1 more"),
        (lambda lines: [*lines, "B3,empty,"], "line 98: a well is a row letter"),
        (lambda lines: [*lines[:-1], "A,1,nc,"], "line 97: the well A1.*line 2"),
        (lambda lines: [*lines[:-1], "H,13,nc,"], "line 97: .* H13 is not on a .*96"),
        (lambda lines: [*lines[:-1], "H,\u0661,nc,"], "line 97: a well is a row"),
        (lambda lines: [*lines[:-1], "H,12,nc,lots"], "line 97: the dose.*`lots`"),
        (lambda lines: [*lines[:-1], "H,12,nc,-1"], "finite, 0 or more, got -1"),
        (lambda lines: [*lines[:-1], "H,12,nc,nan"], "line 97: .*finite, 0 or more"),
        (lambda lines: [*lines[:-1], "H,12,nc,NA"], "line 97: the dose.*`NA`"),
        (lambda lines: [*lines[:-1], "H,12,,1"], "the contents of H12 are missing"),
        (lambda lines: [*lines[:-1], "H,12,nc,1,2"], "4 entries, got more"),
        (lambda lines: [*lines[:40], 'D,5,"nc,', *lines[41:]], "quote .* not closed"),
    ],
    ids=[
        "missing", "two-missing", "well", "doubled", "off", "digit", "dose",
        "negative", "nan", "word", "contents", "long", "quote",
    ],
)  # fmt: skip
def test_a_broken_map_is_refused_by_line(tmp_path, change, message):
    path = written(tmp_path / "map.csv", change(whole()))
    with pytest.raises(InputError, match=message):
        read_plate_map(path)


def test_a_map_with_other_columns_is_refused(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("row,colum,contents,dose\n")
    with pytest.raises(InputError, match=r"unknown column `colum`.*`column`"):
        read_plate_map(path)
    path.write_text("row,column,contents,dose,dose\n")
    with pytest.raises(InputError, match="the column `dose` stands twice"):
        read_plate_map(path)
    path.write_text("row,column,contents,dose\nA,1," + "x" * 200_000 + ",\n")
    with pytest.raises(InputError, match="line 2: this is no row of a CSV table"):
        read_plate_map(path)
    path.write_text("")
    with pytest.raises(InputError, match="the column `row` is missing"):
        read_plate_map(path)
    path.write_text("row,column,contents\n")
    with pytest.raises(InputError, match="the column `dose` is missing"):
        read_plate_map(path)
    with pytest.raises(InputError, match="does not exist"):
        read_plate_map(tmp_path / "none.csv")
    path.write_bytes(b"\xff\xfe\x00row")
    with pytest.raises(InputError, match="is not a CSV table in UTF-8"):
        read_plate_map(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: "sep=;\n" + text,
        lambda text: text.replace("row;column", "Row;Column"),
        lambda text: text.replace("\n", ";;\n"),
        lambda text: text.replace("0.5", "0,5"),
        lambda text: text.replace(";", "\t"),
        lambda text: text.replace(";", ","),
        lambda text: text.replace("\n", "\n\n"),
    ],
    ids=[
        "bom", "sep", "capitals", "empty-columns", "comma", "tab", "plain",
        "blank-lines",
    ],
)  # fmt: skip
def test_what_spreadsheets_write_is_read(tmp_path, change):
    path = tmp_path / "map.csv"
    lines = [line.replace(",", ";") for line in whole()]
    lines[1] = "A;2;nc;0.5"
    text = "row;column;contents;dose\n" + "\n".join(lines) + "\n"
    path.write_bytes(change(text).encode())
    plate = read_plate_map(path)
    assert plate.size == 96
    assert plate.wells[1] == Well("A", 2, "nc", 0.5)
    assert math.isnan(plate.wells[0].dose)


def test_a_part_of_a_larger_map_is_told_as_such(tmp_path):
    lines = [f"{w.row},{w.column},empty," for w in layout([], 1, 384).wells]
    with pytest.raises(InputError, match=r"line 14: .*A13 is not on a plate of 96"):
        read_plate_map(written(tmp_path / "map.csv", lines[:96]))
    with pytest.raises(InputError, match="lacks the well P24"):
        read_plate_map(written(tmp_path / "map.csv", lines[:-1]))


def plate_with(*wells):
    left = layout([], 1).wells[len(wells) :]
    return PlateMap((*(Well("A", k + 1, *w) for k, w in enumerate(wells)), *left))


def test_contents_that_the_experiment_lacks_are_named(cells, series):
    plate = PlateAssay(plate=plate_with(("TRIAL",), ("nc",)))
    with pytest.raises(UnknownNameError, match=r"well A1 `TRIAL`.*`TRAIL`"):
        plate.read(cells, test="none")
    doses = PlateAssay(plate=plate_with(("TRAIL", 2.0)))
    with pytest.raises(InputError, match=r"A1 has the dose 2 of `TRAIL`.*0, 1, 3, 10"):
        doses.read(series, test="none")
    with pytest.raises(InputError, match="no well with cells"):
        PlateAssay(plate=plate_with(("blank",))).read(cells, test="none")


def test_a_control_without_signal_is_said_not_divided_by(cells):
    dark = cells * 1.0
    dark["CASP3_active"][0] = dark["CASP7_active"][0] = 0.0
    for noise in (False, True):
        reading = CASPASE.read(dark, noise=noise)
        assert reading.summary["relative"].isna().all()
        assert "`nc` gives no signal of caspase" in reading.notes[0]


def test_blanks_are_not_tested_against_blanks(cells):
    dark = cells * 0.0
    for seed in range(5):
        reading = CASPASE.read(dark, seed=seed)
        assert reading.summary["p"].isna().all()
        assert set(reading.summary["test"]) == {"none"}
        assert reading.notes[0].startswith("No sample gives a signal of caspase")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PlateAssay("caspases"), "`caspases`.*`caspase`"),
        (lambda: PlateAssay(cells_per_well=0.0), "`cells_per_well` must be above 0"),
        (lambda: PlateAssay(edge=-1.0), "`edge` must be above -1"),
        (lambda: PlateAssay(size=48), "96 or 384 wells, got 48"),
        (lambda: PlateAssay(control="a", positive="a"), "must differ, got `a`"),
        (lambda: layout([], 1, 48), "96 or 384 wells, got 48"),
        (lambda: PlateMap((), 48), "96 or 384 wells, got 48"),
        (lambda: PlateNoise(reader_cv=math.inf), "`reader_cv` must be finite"),
    ],
    ids=["kind", "cells", "edge", "size", "positive", "layout", "plate", "noise"],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_unknown_controls_and_single_wells_are_refused(cells):
    with pytest.raises(UnknownNameError, match=r"control on the plate `NC`.*`nc`"):
        PlateAssay(control="NC").read(cells)
    with pytest.raises(InputError, match="2 replicates or more"):
        CASPASE.read(cells, replicates=1)
    with pytest.raises(InputError, match="needs PS_exposed, membrane_ruptured"):
        ALIVE.needs(load("earm_1_3", backend="numpy"))


def test_two_samples_of_one_treatment_and_dose_are_refused(cells_of):
    level = {"CASP3_active": 1.0, "CASP7_active": 0.0}
    twice = cells_of({"a": level, "b": level}, treatment=["TRAIL", "TRAIL"])
    with pytest.raises(InputError, match="Two samples are `TRAIL` at one dose"):
        CASPASE.read(twice)


def test_an_assay_does_not_draw_the_reading_of_another(cells):
    with pytest.raises(InputError, match=r"`viability` draws its own.*`caspase`"):
        ALIVE.plot(CASPASE.read(cells))


def test_the_pictures_show_wells_and_doses(cells, series):
    left, right, _ = CASPASE.plot(CASPASE.read(cells, seed=1)).axes
    assert [t.get_text() for t in right.get_xticklabels()] == ["nc", "TRAIL"]
    assert left.images[0].get_array().shape == (8, 12)
    _, curve, _ = CASPASE.plot(CASPASE.read(series, seed=1)).axes
    assert curve.get_xlabel() == "dose (ng/ml)"
    ticks = [t.get_text() for t in curve.get_xticklabels()]
    assert ticks == ["0", "1", "10", "100"]
    labels = [t.get_text() for t in curve.get_legend().get_texts()]
    assert labels[0] == "TRAIL"
    assert labels[1].startswith("EC50 ")

"""Pictures carry labels, units, a legend and reasons."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import mir21sim as ms
from mir21sim.analysis import plots
from mir21sim.analysis.curves import compare
from mir21sim.analysis.measured import read_measured
from mir21sim.analysis.switch_window import switch_window
from mir21sim.errors import InputError


@pytest.fixture(scope="module")
def swept():
    model = ms.load("earm_1_3", backend="numpy")
    return ms.sweep(
        model,
        {"L": [0, 1, 5, 10, 50, 100]},
        "4 h",
        points=25,
        doses="Bid=10 molecule@1h",
        initials={"L": 0.0},
        observe=["CASP8_active", "C8"],
    )


def texts(ax):
    return [t.get_text() for t in ax.get_legend().get_texts()]


def test_curves_have_labels_units_and_a_legend_by_dose(swept):
    ax = plots.plot_curves(swept, "CASP8_active")
    assert ax.get_xlabel() == "time (h)"
    assert "(molecules per cell)" in ax.get_ylabel()
    assert texts(ax) == ["0", "1", "5", "10", "50", "100"]
    assert "ng/ml" in ax.get_legend().get_title().get_text()


def test_curves_show_the_data(swept):
    ax = plots.plot_curves(swept, "C8")
    assert np.array_equal(ax.lines[4].get_ydata(), swept["C8"].sel(L=50).values)


def test_fixed_doses_are_marked_and_named(swept):
    ax = plots.plot_curves(swept, "C8")
    assert any("Bid 10 molecule" in t.get_text() for t in ax.texts)


def test_dose_response_tells_the_fit_or_why_none(swept):
    features = compare(swept, "CASP8_active")
    ax = plots.plot_dose_response(features)
    assert "EC50" in texts(ax)[0]
    flat = compare(swept.assign(C8=swept["C8"] * 0 + 1.0), "C8")
    assert "no EC50: the response does not depend on the" in " ".join(
        texts(plots.plot_dose_response(flat))[0].split()
    )


def test_zero_dose_stands_on_the_logarithmic_axis(swept):
    ax = plots.plot_dose_response(compare(swept, "CASP8_active"))
    assert ax.get_xscale() == "log"
    assert ax.get_xticklabels()[0].get_text() == "0"
    points = ax.lines[-2].get_xdata() if len(ax.lines) > 2 else ax.lines[0].get_xdata()
    assert np.all(np.asarray(points) > 0)


def test_two_swept_names_get_a_panel_each_value():
    model = ms.load("earm_1_3", backend="numpy")
    result = ms.sweep(
        model, {"L": [0, 10], "XIAP": [1e4, 1e5]}, "30 min", points=4, observe="C8"
    )
    assert len(plots.plot_sweep(result, "C8").axes) == 3
    with pytest.raises(InputError, match="one swept name, got L, XIAP"):
        plots.plot_curves(result, "C8")


def test_overlay_draws_measured_points(swept, tmp_path):
    path = tmp_path / "lab.csv"
    path.write_text("time_h,value,error,label\n1,5,1,blot\n2,9,1,blot\n")
    ax = plots.plot_overlay({"model": swept}, "C8", read_measured(path))
    assert texts(ax)[1] == "blot (measured)"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("tme_h,value\n1,2\n", "unknown column `tme_h`.*`time_h`"),
        ("time_h\n1\n", "needs the column `value`"),
        (
            "time_h,value\n1,2\n2,high\n",
            "line 3: value must be a finite number, got `high`",
        ),
        ("", "not a CSV table"),
    ],
    ids=["misspelt", "missing", "text", "empty"],
)
def test_bad_measured_file_is_refused(content, message, tmp_path):
    path = tmp_path / "lab.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_measured(path)


def test_pictures_are_written_on_white(swept, tmp_path):
    path = plots.save(plots.plot_sweep(swept, "C8"), tmp_path / "new" / "a.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"`a\.bmp` must end in \.png"):
        plots.save(plots.plot_curves(swept, "C8"), tmp_path / "a.bmp")


def test_every_repetition_is_marked_with_the_dose_of_the_panel():
    doses = [
        {"time": 2.0, "amount": 50.0, "target": "TRAIL", "unit": "ng/ml",
         "duration": 0.0, "mode": "add", "interval": 3.0, "additional": 2},
    ]  # fmt: skip
    result = xr.Dataset(
        {"A": (("TRAIL", "time"), np.ones((2, 25)))},
        {"TRAIL": [5.0, 50.0], "time": np.linspace(0.0, 24.0, 25)},
        {"provenance": json.dumps({"doses": doses})},
    )
    ax = plots.plot_curves(result.isel(TRAIL=0), "A")
    assert [text.get_text() for text in ax.texts] == ["TRAIL 5 ng/ml ×3"]
    assert [line.get_xdata()[0] for line in ax.lines[1:]] == [2.0, 5.0, 8.0]


@pytest.mark.parametrize("make", [ms.plot_curves, ms.plot_sweep])
def test_a_notebook_displays_a_picture(swept, make):
    shown = make(swept, "C8")
    assert shown._repr_png_().startswith(b"\x89PNG")
    (other, *_) = shown.axes if make is ms.plot_sweep else [shown]
    assert other._repr_png_().startswith(b"\x89PNG")


def test_no_module_makes_a_figure_that_a_notebook_does_not_display():
    package = Path(ms.__file__).parent
    made = [
        path.name
        for path in package.rglob("*.py")
        if "matplotlib" in (text := path.read_text(encoding="utf-8"))
        and re.search(r"[=(\s]Figure\(", text)
    ]
    assert not made


def test_a_picture_says_and_marks_all_that_was_done():
    done = ["anti_miR21=100@0h", "TRAIL=10 ng/ml@2h:3h/6hx4"]
    run = ms.simulate("mir21_core", doses=done, observe="CASP3_active", points=20)
    figure = plots.plot_sweep(run, "CASP3_active")
    title = figure.get_suptitle()
    assert all(
        words in title
        for words in ("MCF-7", "anti_miR21=100 nM@0h", "TRAIL=10 ng/ml@2h:3h/6hx4")
    )
    (ax,) = figure.axes
    assert {t.get_text() for t in ax.texts} == {
        "anti_miR21 100 nM",
        "TRAIL 10 ng/ml ×4",
    }
    assert len(ax.patches) == 4  # spans of the infusions


def test_panels_of_two_swept_doses_mark_both():
    over = {"TRAIL": [5.0, 50.0], "anti_miR21": [0.0, 100.0]}
    done = ms.sweep("mir21_core", over, observe="CASP3_active", points=20)
    *panels, _ = plots.plot_sweep(done, "CASP3_active").axes
    marks = [{t.get_text() for t in ax.texts} for ax in panels]
    assert marks == [{"TRAIL", "anti_miR21 0 nM"}, {"TRAIL", "anti_miR21 100 nM"}]


def spike(*at_h):
    """Return curves that rise within minutes of a run of two days, and decay."""
    t = np.linspace(0, 48, 601)
    late = t - np.array(at_h)[:, None]
    curves = np.where(late > 0, np.exp(-0.1 * late), 0.0)
    doses = ("dose", np.arange(1.0, len(at_h) + 1), {"units": "nM"})
    data = {"C": (("dose", "time"), curves, {"units": "molecule"})}
    return xr.Dataset(
        data | {"status": ("dose", [0] * len(at_h))}, {"dose": doses, "time": t}
    )


def test_a_spike_of_minutes_has_a_panel_of_its_own_time():
    run = spike(26.0, 28.0)
    whole, part, _ = plots.plot_sweep(run, "C").axes
    start, end = part.get_xlim()
    assert 24 < start < 26
    assert 28 < end < 31
    assert whole.get_xlim() == (0.0, 48.0)
    assert len(part.lines) == len(whole.lines)
    single = plots.plot_sweep(run.isel(dose=0, drop=True), "C").axes
    assert len(single) == 2


@pytest.mark.parametrize("at_h", [(5.0, 45.0), (50.0, 50.0)])
def test_no_panel_where_it_would_show_no_more(at_h):
    """Rises over all of the run, or none at all."""
    assert switch_window(spike(*at_h), "C") is None
    assert len(plots.plot_sweep(spike(*at_h), "C").axes) == 2

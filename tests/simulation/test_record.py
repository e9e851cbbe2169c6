"""Result files of strangers: one sentence, and no run without end."""

import json

import h5netcdf
import numpy as np
import pytest
import support

import mir21sim as ms
from mir21sim.analysis import curves
from mir21sim.errors import InputError, Mir21simError, ModelError
from mir21sim.simulation import dataset, record
from mir21sim.simulation.options import Options
from mir21sim.simulation.rerun import rerun
from mir21sim.simulation.sweep import sweep

DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def result():
    model = support.compiled(support.DECAY)
    made = sweep(
        model,
        {"k": [0.5, 1.0]},
        times=[0.0, 1.0, 2.0],
        observe="A",
        doses="A=1 molecule@1",
        options=Options(n_jobs=1),
    )
    return made, model.source


def crafted(result, tmp_path, change):
    """Save the result with a changed record."""
    made, source = result
    kept = json.loads(made.attrs["provenance"])
    text = change(kept)
    text = text if isinstance(text, str) else json.dumps(kept)
    return dataset.save(made.assign_attrs(provenance=text), tmp_path / "a.nc", source)


def put(*path_and_value):
    *path, last, value = path_and_value

    def change(kept):
        for key in path:
            kept = kept[key]
        kept[last] = value

    return change


def without(key):
    return lambda kept: kept.pop(key) and None


CRAFTED = {
    "no JSON": lambda _: "{",
    "a number": lambda _: "3",
    "a list": lambda _: "[]",
    "deep": lambda _: DEEP,
    **{f"no {key}": without(key) for key in ("kind", "model", "times_h", "observe")},
    **{f"no {key} ": without(key) for key in ("doses", "over", "timeout", "method")},
    "kind": put("kind", "plot"),
    "model": put("model", 3),
    "rest as a list": put("rest_from", [1]),
    "rest as text": put("rest_from", {"A": "x"}),
    "longest step": put("max_step", [1]),
    "unknown word of a dose": put("doses", 0, "colour", "red"),
    "context": put("context", ["MCF-7"]),
    "backend": put("backend", "fortran"),
    "digest": put("model_sha256", "0" * 64),
    "short digest": put("model_sha256", None),
    "times": put("times_h", "now"),
    "one time": put("times_h", [0.0]),
    "times without end": put("times_h", [0.0, 1.0, 1e308]),
    "infinite times": put("times_h", [0.0, 1.0, float("inf")]),
    "descending times": put("times_h", [0.0, 2.0, 1.0]),
    "more times": put("times_h", [0.0, 1.0, 2.0, 3.0]),
    "dose": put("doses", [3]),
    "dose without target": put("doses", [{"time": 1.0, "amount": 1.0}]),
    "dose with text": put("doses", 0, "time", "1 h"),
    "infinite dose": put("doses", 0, "amount", float("inf")),
    "doses without end": put("doses", 0, "additional", 10**12),
    "axis": put("over", {"k": [1.0, 2.0]}),
    "axis of text": put("over", "k", "values", ["a", "b"]),
    "longer axis": put("over", "k", "values", [1.0] * 10_000),
    "other axis": put("over", {"j": {"values": [1.0, 2.0], "unit": ""}}),
    "no axis": put("over", {}),
    "cells": put("cells", {"k": "AAAA"}),
    "cells of text": put("cells", {"k": "µ"}),
    "cells of NaN": put("cells", {"k": "AAAAAAAA+H8AAAAAAAD4fw=="}),
    "more cells": put("cells", {"k": "AAAAAAAA8D8AAAAAAADwPw=="}),
    "perturb": put("perturb", {"clamp": {"A": 3}}),
    "parameters": put("parameters", {"k": "fast"}),
    "unknown parameter": put("parameters", {"speed": 1.0}),
    "observe": put("observe", "A"),
    "observe more": put("observe", ["A", "B"]),
    "method": put("method", "Euler"),
    "rtol": put("rtol", 0.0),
    "atol": put("atol", [1.0, 2.0, 3.0]),
    "steps": put("max_steps", 10**18),
    "no steps": put("max_steps", 0.5),
    "timeout": put("timeout", -1.0),
    "rest": put("equilibrate", "maybe"),
}


@pytest.mark.parametrize("change", CRAFTED.values(), ids=CRAFTED)
def test_a_crafted_record_is_one_sentence(result, tmp_path, change):
    path = crafted(result, tmp_path, change)
    with pytest.raises(Mir21simError, match=r"\S+ \S+") as caught:
        rerun(path)
    text = str(caught.value)
    assert len(text) < 700
    assert "\n" not in text


def test_a_whole_record_is_run_again(result, tmp_path):
    made, difference = rerun(crafted(result, tmp_path, lambda _: None))
    assert difference == 0
    assert made.sizes == result[0].sizes


def test_a_file_cannot_give_itself_more_than_ten_minutes_a_run(
    result, tmp_path, monkeypatch
):
    import mir21sim.simulation.rerun as module

    given = []
    execute = module.execute

    def noted(model, plan, options, kind):
        given.append(options.timeout)
        return execute(model, plan, options, kind)

    monkeypatch.setattr(module, "execute", noted)
    rerun(crafted(result, tmp_path, put("timeout", 1e300)))
    assert given == [600.0]


def test_curves_read_no_crafted_doses(result):
    made = result[0].assign_attrs(provenance='{"doses": 3}')
    with pytest.raises(InputError, match="provenance of the result is not as"):
        curves.dose_records(made)


def test_a_file_that_declares_more_than_it_holds_is_not_read(result, tmp_path):
    path = crafted(result, tmp_path, lambda _: None)
    with h5netcdf.File(path, "a") as file:
        file.dimensions["huge"] = 10**11
        file.create_variable(
            "void", ("huge",), np.float64, chunks=(10**6,), compression="gzip"
        )
    with pytest.raises(InputError, match="declares 745 GiB of numbers"):
        dataset.read(path)


def test_the_place_of_a_mistake_is_named(result, tmp_path):
    text = result[0].attrs["provenance"].replace('"amount": 1.0', '"amount": "much"')
    with pytest.raises(InputError, match=r"`doses\.0\.amount`.*got 'much'"):
        record.parsed(text)


def test_a_result_renamed_to_another_model_is_one_sentence(tmp_path):
    made = ms.simulate("mir21_core", "1h", doses=(), points=3, observe="PTEN")
    kept = json.loads(made.attrs["provenance"]) | {"model": "earm_1_3"}
    made = made.assign_attrs(provenance=json.dumps(kept))
    path = dataset.save(made, tmp_path / "a.nc", ms.load("mir21_core").source)
    with pytest.raises(ModelError, match="nothing on 'earm_1_3'"):
        rerun(path)

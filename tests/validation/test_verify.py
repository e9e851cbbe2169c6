"""A second opinion finds and names differences, and none where results agree."""

import importlib
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import support
from support import reaction

import mir21sim as ms
from mir21sim.errors import InputError, SolverError, UnknownNameError
from mir21sim.simulation.options import Options
from mir21sim.validation import simulators as other_tools

module = importlib.import_module(
    "mir21sim.validation.verify"
)  # its function has its name
TOOLS = list(other_tools.TOOLS)


@pytest.fixture(scope="module")
def earm():
    return ms.load("earm_1_3", backend="numpy")


def by_name(found):
    return {check.check: check for check in found.checks}


def test_methods_agree_on_a_model_that_is_right(binding):
    found = ms.verify(binding, 10.0, points=21, tools=[])
    assert found.passed
    names = by_name(found)
    assert {"BDF", "Radau", "conserved totals", "no negative amounts"} <= names.keys()
    assert names["Radau"].difference < 1e-5
    assert names["conserved totals"].difference < 1e-12


@pytest.mark.parametrize("tool", TOOLS)
def test_tools_agree_with_doses_a_context_and_a_resting_state(tool):
    if not other_tools.installed(tool):
        pytest.skip(other_tools.how_to_install(tool))
    model = ms.load("mir21_core", "MCF-7", backend="numpy")
    # libRoadRunner 2.10 cannot restart CVODE where an event switches a rate.
    infusion = ":1h" if tool == "copasi" else ""
    doses = ["anti_miR21=100 nM@0h", f"TRAIL=50 ng/ml@12h{infusion}"]
    found = ms.verify(model, "24 h", points=25, doses=doses, tools=[tool])
    assert by_name(found)[tool].verdict == "agrees", module.text(found)
    assert by_name(found)[tool].difference < 1e-4


def test_where_and_when_curves_part_is_told(binding, monkeypatch):
    """A tool that is wrong about one species from one time on."""

    def wrong(text, names, times, *, rtol, atol):
        result = ms.simulate(
            binding, times=times, observe=list(names), options=Options("Radau", 1e-9)
        )
        table = np.stack([result[n].values for n in names], axis=1)
        table[times >= 4.0, list(names).index("B")] *= 1.01
        return table

    monkeypatch.setitem(other_tools.TOOLS, "copasi", wrong)
    monkeypatch.setattr(other_tools, "installed", lambda tool: tool == "copasi")
    found = ms.verify(binding, 10.0, points=11)
    assert not found.passed
    check = by_name(found)["copasi"]
    assert check.verdict == "parts"
    assert check.quantity == "B"
    assert check.parts_from_h == 4.0
    assert check.difference == pytest.approx(0.01, rel=1e-3)
    assert by_name(found)["roadrunner"].verdict == "not installed"
    words = module.text(found)
    assert re.search(r"parts +0.01 +B at [4-9]", words), words
    assert "above the tolerance from 4 h" in words
    assert words.endswith("NOT all agree")


def test_loose_tolerances_part_from_tight_ones():
    model = support.compiled(support.ROBERTSON)
    loose = Options(rtol=0.3, atol=1e-3)
    found = ms.verify(model, 40.0, points=21, tools=[], options=loose)
    first = found.checks[0]
    assert "rtol 0.3 against 0.03" in first.check
    assert first.verdict == "parts"


def test_a_negative_amount_is_found():
    net = support.network(
        {"A": 1.0, "B": 0.0}, {"k": 1.0}, [reaction("r", "A -> B", "k")]
    )
    found = ms.verify(support.compiled(net), 3.0, points=7, tools=[])
    check = by_name(found)["no negative amounts"]
    assert check.verdict == "parts"
    assert check.quantity == "A"
    assert check.parts_from_h == 1.5
    assert by_name(found)["conserved totals"].verdict == "agrees"


def test_doses_do_not_count_against_conserved_totals(binding):
    found = ms.verify(binding, 5.0, points=6, doses=["A=5 molecule@1h"], tools=[])
    check = by_name(found)["conserved totals"]
    assert check.verdict == "agrees"


def test_the_checks_are_written_for_machines(binding, tmp_path):
    found = ms.verify(binding, 2.0, points=3, tools=[])
    told = json.loads(module.save(found, tmp_path / "v.json").read_text())
    assert told["method"] == "LSODA"
    assert [c["check"] for c in told["checks"]] == [c.check for c in found.checks]
    rows = module.save(found, tmp_path / "v.csv").read_text().splitlines()
    assert rows[0].startswith("check,verdict,difference,quantity,time_h")
    assert len(rows) == 1 + len(found.checks)


def test_a_tool_that_cannot_run_the_model_has_failed(binding, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no\nsuch thing")

    monkeypatch.setitem(other_tools.TOOLS, "copasi", broken)
    monkeypatch.setattr(other_tools, "installed", lambda tool: True)
    found = ms.verify(binding, 1.0, points=3, tools=["copasi"])
    assert by_name(found)["copasi"].verdict == "failed"
    assert by_name(found)["copasi"].note == "copasi: no such thing"
    assert not found.passed


def test_a_model_that_no_method_can_run_is_an_error():
    net = support.network({"A": 1.0}, {"k": 5.0}, [reaction("r", "-> A", "k*A*A")])
    short = Options(max_steps=50)
    with pytest.raises(SolverError, match="maximum number of steps"):
        ms.verify(support.compiled(net), 3.0, points=4, tools=[], options=short)


def test_unknown_and_missing_tools_are_told(binding, monkeypatch):
    with pytest.raises(UnknownNameError, match=r"tool `copassi`.*mean `copasi`"):
        ms.verify(binding, 1.0, tools=["copassi"])
    monkeypatch.setattr(other_tools, "installed", lambda tool: False)
    with pytest.raises(InputError, match=r"copasi is not installed: pip install"):
        ms.verify(binding, 1.0, tools=["copasi"])
    with pytest.raises(InputError, match="between 0 and 1"):
        ms.verify(binding, 1.0, tools=[], tolerance=0.0)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("only_amount", [True, False], ids=["amount", "concentration"])
def test_tools_give_amounts_and_closed_forms(tool, only_amount):
    if not other_tools.installed(tool):
        pytest.skip(other_tools.how_to_install(tool))
    net = support.network(
        {"A": 8.0}, {"k": 0.5}, [reaction("r1", "A ->", "k*A*cell")], size=2.0
    )
    net = replace(
        net, species=tuple(replace(s, only_amount=only_amount) for s in net.species)
    )
    times = np.linspace(0.0, 4.0, 5)
    got = other_tools.run(tool, net, ["A", "k", "cell"], times, rtol=1e-9, atol=1e-12)
    rate = 1.0 if only_amount else 0.5
    np.testing.assert_allclose(got[:, 0], 8.0 * np.exp(-rate * times), rtol=1e-6)
    np.testing.assert_allclose(got[:, 1:], [[0.5, 2.0]] * 5)


def test_copasi_leaves_the_locale_of_the_process():
    if not other_tools.installed("copasi"):
        pytest.skip(other_tools.how_to_install("copasi"))
    script = (
        "import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8')\n"
        "from mir21sim.validation import simulators\n"
        "with simulators.kept_locale():\n"
        "    import COPASI\n"
        "    inside = locale.setlocale(locale.LC_ALL)\n"
        "print(inside, locale.setlocale(locale.LC_ALL))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "C.UTF-8"

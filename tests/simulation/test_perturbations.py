"""Perturbations: held amounts, less or more synthesis, sites taken away."""

import numpy as np
import pytest
import support

from mir21sim import cli
from mir21sim.errors import InputError, ModelError, UnknownNameError
from mir21sim.model.files import ModelFiles
from mir21sim.model.info import Gene
from mir21sim.model.read import understand
from mir21sim.simulation import dataset as results
from mir21sim.simulation.options import Options
from mir21sim.simulation.perturbations import Clamp, Perturbations
from mir21sim.simulation.rerun import rerun
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.sweep import sweep

REST = Options(equilibrate=True)
TOML = """
[genes.A]
protein = ["A"]
synthesis = ["k_A"]
site = { r_A = 4.0 }
[genes.GB]
protein = ["B"]
synthesis = ["k_B"]
"""


@pytest.fixture(scope="module")
def cascade():
    return support.compiled(support.CASCADE, toml=TOML)


def ends(model, **perturb):
    result = simulate(
        model, 10, points=2, perturb=Perturbations(**perturb), options=REST
    )
    return float(result["A"][-1]), float(result["B"][-1])


def test_without_perturbation_the_cell_rests(cascade):
    assert ends(cascade) == pytest.approx((2.0, 12.0), rel=1e-6)


def test_clamp_in_molecules_holds_and_what_follows_rests_under_it(cascade):
    a, b = ends(cascade, clamp={"A": 7})
    assert a == 7.0
    assert b == pytest.approx(42.0, rel=1e-9)


def test_relative_clamp_counts_from_the_resting_level(cascade):
    assert ends(cascade, clamp={"A": "0.1x"}) == pytest.approx((0.2, 1.2), rel=1e-6)


def test_clamp_of_a_gene_holds_its_free_protein(cascade):
    assert ends(cascade, clamp={"GB": "2x"}) == pytest.approx((2.0, 24.0), rel=1e-6)


@pytest.mark.parametrize("method", ["LSODA", "BDF", "Radau"])
def test_every_method_holds_a_clamp_through_the_whole_run(cascade, method):
    result = simulate(
        cascade,
        10,
        points=11,
        perturb=Perturbations(clamp={"A": 5}),
        options=Options(method=method, equilibrate=False),
    )
    assert (result["A"].values == 5.0).all()
    t = result["time"].values
    exact = 30.0 + (cascade.y0[cascade.state_index("B")] - 30.0) * np.exp(-0.5 * t)
    assert result["B"].values == pytest.approx(exact, rel=1e-4)


def test_batch_and_scipy_agree_on_a_clamped_cell():
    """Held in the middle of a chain, with an infusion into the next species."""
    cascade = support.compiled(support.CASCADE, toml=TOML, backend="numba")
    found = {}
    for method in ("Rodas5P", "Rodas4", "Radau"):
        swept = sweep(
            cascade,
            over={"k_B": [0.5, 1.0, 2.0]},
            end=10,
            points=21,
            doses=["B=3 molecule@2h:4h"],
            perturb=Perturbations(clamp={"A": "3x"}),
            options=Options(method=method, rtol=1e-8, equilibrate=True),
        )
        assert swept.attrs["method"] == method
        found[method] = swept["B"].values
        held = swept["A"].values
        assert held == pytest.approx(held[:, :1] + 0 * held, rel=1e-14)
    assert found["Rodas5P"] == pytest.approx(found["Radau"], rel=1e-5)
    assert found["Rodas4"] == pytest.approx(found["Radau"], rel=1e-5)


def test_knockdown_and_overexpression_scale_synthesis_before_rest(cascade):
    assert ends(cascade, knockdown={"A": 0.8}) == pytest.approx((0.4, 2.4), rel=1e-6)
    assert ends(cascade, overexpress={"GB": 3}) == pytest.approx((2.0, 36.0), rel=1e-6)


def test_missing_site_sets_its_parameters(cascade):
    assert ends(cascade, no_site=("A",)) == pytest.approx((0.5, 3.0), rel=1e-6)


def test_swept_parameter_and_knockdown_multiply(cascade):
    result = sweep(
        cascade,
        {"k_A": [2.0, 4.0]},
        1,
        points=2,
        perturb=Perturbations(knockdown={"A": 0.5}),
        options=REST,
    )
    assert result["A"].values[:, -1] == pytest.approx([1.0, 2.0], rel=1e-6)


def test_perturbations_read_back_from_their_record():
    perturb = Perturbations({"A": "0.5x"}, {"A": 0.5}, {"GB": 3.0}, ("A",))
    assert Perturbations.from_record(perturb.to_record()) == perturb
    assert not Perturbations.from_record({})


def test_rerun_repeats_perturbations(tmp_path):
    path = tmp_path / "run.nc"
    code = support.run_cli(
        *["simulate", "mir21_core", "--end", "2h", "--dose", "none"],
        *["--clamp", "PTEN=0.1x", "--clamp", "CASP3=500", "-o", str(path)],
    )
    assert code == 0
    record = results.provenance(results.read(path))
    assert record["perturb"]["clamp"]["PTEN"] == {"value": 0.1, "relative": True}
    assert rerun(path)[1] == 0.0


@pytest.mark.parametrize(
    ("perturb", "message"),
    [
        ({"clamp": {"AA": 1}}, "species to clamp `AA`. Did you mean `A`"),
        ({"clamp": {"A": 1, "B": 2, "GB": 3}}, "`B` is clamped twice"),
        ({"clamp": {"A": -1}}, "`A` is an amount and cannot be clamped below 0: -1"),
        ({"knockdown": {"B": 0.5}}, "gene to knock down `B`. Did you mean `GB`"),
        ({"overexpress": {"AA": 2}}, "gene to over-express `AA`. Did you mean `A`"),
        ({"no_site": ("GB",)}, "no `site` for the gene `GB`.*that have it: A"),
    ],
    ids=["species", "twice", "negative", "gene", "overexpress", "site"],
)
def test_unknown_targets_are_named_with_the_near_one(cascade, perturb, message):
    with pytest.raises(InputError, match=message):
        ends(cascade, **perturb)


@pytest.mark.parametrize(
    ("perturb", "message"),
    [
        ({"clamp": {"A": "-1x"}}, "factor of 0 or more.*got -1"),
        ({"clamp": {"A": "nanx"}}, "`A` must be finite|must be a number"),
        ({"clamp": {"A": "3 nM"}}, "clamped to molecules.*got `3 nM`"),
        ({"knockdown": {"A": 1.5}}, "knock-down of `A`.*0 to 1, got 1.5"),
        ({"overexpress": {"A": 0}}, "over-expression of `A`.*above 0, got 0"),
    ],
    ids=["negative", "nan", "unit", "share", "factor"],
)
def test_values_out_of_range_are_refused(perturb, message):
    with pytest.raises(InputError, match=message):
        Perturbations(**perturb)


def test_clamp_text_reads_back():
    assert Clamp.of("0.1x", "A") == Clamp(0.1, relative=True)
    assert str(Clamp.of("500", "A")) == "500"


def test_dosing_or_starting_a_clamped_species_is_refused(cascade):
    perturb = Perturbations(clamp={"A": 5})
    for extra in ({"doses": "A=1 molecule@1h"}, {"initials": {"A": 3.0}}):
        with pytest.raises(InputError, match="`A` is clamped and also dosed"):
            simulate(cascade, 2, perturb=perturb, **extra)


def test_set_and_missing_site_contradict(cascade):
    with pytest.raises(InputError, match="`r_A` is set, and fixed by the missing site"):
        simulate(
            cascade, 1, parameters={"r_A": 2.0}, perturb=Perturbations(no_site=("A",))
        )


def test_command_line_names_the_gene_it_does_not_know(capsys):
    code = support.run_cli("simulate", "earm_1_3", "--knockdown", "PDCD4=0.8")
    assert code == cli.EXIT_INPUT
    assert "Unknown gene to knock down `PDCD4`" in capsys.readouterr().err


GENES = 'id = "cascade"\n\n[genes.A]\nprotein = ["A"]\nsynthesis = ["k_A"]\n'


def told(toml):
    texts = {"sbml": support.to_sbml(support.CASCADE), "toml": toml}
    files = ModelFiles("cascade", texts)
    return understand(files)[1]


def test_genes_and_modules_are_read_from_the_toml():
    info = told(GENES + "site = { r_A = 1.0 }\n\n[modules]\nfirst = ['A', 'B']\n")
    assert info.genes["A"] == Gene("A", ("A",), "", ("k_A",), {"r_A": 1.0})
    assert info.modules == {"first": ("A", "B")}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["A"]', '["AB"]', r"cascade.toml, line 3, genes.A: .* no species `AB`"),
        ("k_A", "k_AA", r"line 3, .* no parameter `k_AA`. Did you mean `k_A`"),
        ("synthesis", "synthesys", r"line 3, .*`synthesys`. Did you mean `synthesis`"),
        ('protein = ["A"]', "", r"line 3, genes.A: `protein` must name one"),
        ('= ["k_A"]', '= ["k_A"]\nsite = { r_A = "1" }', r"`r_A` must be a number"),
        ('= ["k_A"]', '= ["k_A"]\n[modules]\nx = ["Q"]', r"line 7, .* no species `Q`"),
        (
            '= ["k_A"]',
            '= ["k_A"]\n[modules]\nx = ["A"]\ny = ["A"]',
            r"line 8, .*in the modules x and y",
        ),
    ],
    ids=["species", "parameter", "key", "protein", "site", "module", "two modules"],
)
def test_toml_mistakes_are_named_by_file_and_line(old, new, message):
    with pytest.raises(ModelError, match=message):
        told(GENES.replace(old, new))


def test_unknown_name_lists_the_genes(cascade):
    with pytest.raises(UnknownNameError, match="zzz") as caught:
        ends(cascade, knockdown={"zzz": 0.5})
    assert caught.value.known == ("A", "GB")

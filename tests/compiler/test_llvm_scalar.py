"""Machine code of one run against that of Numba from the same text."""

import importlib.util

import numba
import numpy as np
import pytest
import support
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import reaction

from mir21sim.compiler import build_kernels, cache
from mir21sim.compiler import llvm_scalar as scalar
from mir21sim.compiler import load as library
from mir21sim.errors import CodegenError

TRUTHS = support.network(
    {"A": 3.0, "B": 2.0},
    {"k": 0.3, "q": 2.0, "w": 1.0},
    [
        reaction("shared", "A ->", "piecewise(A, w*time > 0.5, k)"),
        reaction("again", "B ->", "piecewise(B, w*time > 0.5, k*A)"),
        reaction("three", "A ->", "k*min(A, q, 3)"),
        reaction("powers", "B ->", "k*A**5*B**(-6)*q**B*(A + B)**2.5"),
        reaction("gamma", "B ->", "factorial(A)"),
    ],
    rules={"load": "A/q + B", "free": "A/(1 + load)"},
)
"""Conditions that rates share, choices between conditions, powers of every kind."""
SOME = {
    "functions": support.functions(),
    "truths": TRUTHS,
    "chain": support.CHAIN,
    "hill": support.HILL,
}
NAMES = ("rates", "rhs", "jac", "dfdt", "assigned")


def sizes(kernels):
    """Return the length of the output of each kernel."""
    n = kernels.n_state
    lengths = (kernels.n_rate, n, len(kernels.j_row), n, kernels.n_assigned)
    return dict(zip(NAMES, lengths, strict=True))


def points(kernels, n_param, seed=0):
    """Return times, states and parameters: usual ones, zeros, and below zero."""
    rng = np.random.default_rng(seed)
    for factor in (1.0, 1.0, 0.0, -1.0):
        y = factor * rng.lognormal(0.0, 1.0, kernels.n_state)
        yield rng.uniform(0.0, 2.0), y, rng.lognormal(0.0, 1.0, n_param)


def filled(kernel, n, at):
    out = np.full(n, np.nan)
    kernel(*at, out)
    return out


def by_numba(net):
    """Return the numbers of Numba for the generated text; sums are done here."""
    cache.kernels(net, "numpy")  # writes the text
    path = cache.folder() / f"m_{cache.key(net)}.py"
    spec = importlib.util.spec_from_file_location("plain", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    jit = numba.njit(build_kernels.FILL, error_model="numpy")

    def kernel(name):
        pieces = jit(getattr(module, build_kernels.SUMMED.get(name, name)))
        if name not in build_kernels.SUMMED:
            return pieces
        _, n_value, rows, factors, which = build_kernels._terms(module, name)

        def summed(t, y, p, out):
            values = filled(pieces, n_value, (t, y, p))
            out[:] = 0.0
            with np.errstate(all="ignore"):
                np.add.at(out, rows, factors * values[which])

        return summed

    return {name: kernel(name) for name in NAMES}


def assert_same_bits(net, kernels, n_param):
    want = by_numba(net)
    for name, n in sizes(kernels).items():
        for at in points(kernels, n_param):
            got = filled(getattr(kernels, name), n, at)
            np.testing.assert_array_equal(got, filled(want[name], n, at), name)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a cache folder of this test's own, so that all is compiled anew."""
    monkeypatch.setenv("MIR21SIM_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", SOME)
def test_no_bit_differs_from_numbas_own_code(name):
    module = cache.kernels(SOME[name], "numba")
    assert_same_bits(SOME[name], module.kernels, len(module.param_names))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mir21_core", "earm2_m1a"])
def test_no_bit_of_a_shipped_model_differs_from_numbas_own_code(name):
    model = library.load(name)
    assert_same_bits(model.network, model.kernels, len(model.p0))


@pytest.mark.parametrize("piece", [1, 3, 7])
@pytest.mark.parametrize("on_stack", [0, 8192], ids=["heap", "stack"])
def test_functions_may_be_cut_anywhere(folder, monkeypatch, piece, on_stack):
    """Names, truths among them, that another piece needs go through memory."""
    net = SOME["truths"]
    monkeypatch.setattr(scalar, "PIECE", piece)
    monkeypatch.setattr(scalar, "_ON_STACK", on_stack)
    module = cache.kernels(net, "numba")
    assert_same_bits(net, module.kernels, len(module.param_names))


def compiled_text(folder, text):
    """Return a function ``f(t, y, p, out)`` of a text as machine code."""
    path = folder / "text.py"
    path.write_text("\ndef compiled_f(t, y, p, out):\n    emit_f(t, y, p, out)\n")
    spec = importlib.util.spec_from_file_location("text", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.emit_f = scalar.emitter(f"\ndef f(t, y, p, out):\n    {text}\n", "f")
    return numba.njit(build_kernels.FILL, error_model="numpy")(module.compiled_f)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("out[0] = 1.0 if not (t > 1.0) else 2.0", 2.0),
        ("out[0] = 1.0 if (True and False) or t == 3.0 else 2.0", 1.0),
        ("out[0] = 1.0 if bool(t > 1.0) != bool(t > 2.0) else 2.0", 2.0),
        ("out[0] = 1.0 if bool(t > 1.0) != bool(t > 4.0) else 2.0", 1.0),
        ("out[0] = 1.0 if (t) else 2.0", 1.0),
        ("out[0] = 1.0 + (t > 1.0)", 2.0),
        ("out[0] = t**(-2)", 1.0 / 9.0),
        ("out[0] = 2.0**-t", 0.125),
        ("out[0] = -inf", -np.inf),
        ("out[0] = " + " + ".join(["t"] * 2000), 6000.0),
    ],
    ids=["not", "and or", "xor, no", "xor, yes", "number as truth", "truth as number",
         "whole power", "power", "infinite", "long sum"],
)  # fmt: skip
def test_an_expression_means_what_it_means_in_python(tmp_path, text, want):
    kernel = compiled_text(tmp_path, text)
    assert filled(kernel, 1, (3.0, np.zeros(1), np.zeros(1)))[0] == want


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("out[0] = hypot(t, t)", r"`hypot\(t, t\)` has no scalar code"),
        ("out[0] = [t]", r"`\[t\]` has no scalar code"),
        ("del t", r"`del t` is no assignment"),
    ],
)
def test_what_has_no_code_is_refused_by_name(tmp_path, text, words):
    with pytest.raises(CodegenError, match=words):
        compiled_text(tmp_path, text)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n_out=st.integers(1, 6),
    data=st.data(),
    piece=st.integers(1, 5),
)
def test_sums_are_cut_between_rows_and_lose_no_term(monkeypatch, n_out, data, piece):
    terms = data.draw(
        st.lists(
            st.tuples(
                st.integers(0, n_out - 1), st.floats(-2.0, 2.0), st.integers(0, 9)
            ),
            max_size=20,
        )
    )
    monkeypatch.setattr(scalar, "PIECE", piece)
    portions = scalar._portions(scalar.Sums(n_out, 10, tuple(terms)))
    rows = [row for portion in portions for row, _ in portion]
    assert rows == list(range(n_out))
    found = [(row, *term) for part in portions for row, row_ in part for term in row_]
    assert found == sorted(terms, key=lambda term: term[0])
    assert all(sum(1 + len(r) for _, r in part[:-1]) < piece for part in portions)

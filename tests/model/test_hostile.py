"""Files of strangers: read right, or refused in one sentence, soon; never executed."""

import codecs
import time
from dataclasses import replace

import fuzz
import numpy as np
import pytest
import support
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import MATH, reaction

import mir21sim as ms
from mir21sim.compiler import load as library
from mir21sim.errors import InputError, ModelError
from mir21sim.model import expressions as ex
from mir21sim.model import files as model_files
from mir21sim.model import read as model_read
from mir21sim.model.formats import guard as texts
from mir21sim.model.formats.antimony import antimony_to_sbml
from mir21sim.model.formats.sbml_reader import read_sbml
from mir21sim.model.network import Reaction

TINY = support.network(
    {"A": 3.0, "B": 0.0},
    {"k": 0.5},
    [reaction("r1", "A -> B", "k*A")],
    rules={"total": "A + B"},
)
TEXT = support.to_sbml(TINY)
PATIENCE_S = 30.0  # what stops by design takes far less; what does not, minutes


def refused(text, name="m.xml"):
    """Return the one sentence with which SBML text is refused."""
    with pytest.raises(ModelError) as told:  # noqa: PT011 - the sentence is returned
        read_sbml(text, name)
    return sentence(told.value)


def sentence(error):
    words = str(error)
    assert "\n" not in words
    assert len(words) < 2000
    return words


def written(folder, data, name="m.xml"):
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


# ----------------------------------------------------------------------------- bombs
def test_entity_expansion_is_refused_before_it_expands():
    laughs = "".join(
        f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' if i else '<!ENTITY l0 "ha">'
        for i in range(20)
    )
    words = refused(f"<!DOCTYPE sbml [{laughs}]>" + TEXT.replace("tiny", "&l19;"))
    assert "declares XML entities" in words


def test_quadratic_blowup_is_refused_before_it_expands():
    bomb = f'<!DOCTYPE sbml [<!ENTITY a "{"a" * 100_000}">]>'
    assert "declares XML entities" in refused(bomb + "<sbml>" + "&a;" * 1000)


def test_external_entities_are_refused_and_not_read(tmp_path):
    secret = written(tmp_path, "secret", "secret.txt")
    words = refused(
        f'<!DOCTYPE sbml [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
        + TEXT.replace('name=""', 'name="&x;"')
    )
    assert "secret" not in words


def test_a_doctype_in_a_comment_is_only_a_comment():
    commented = TEXT.replace("<model", "<!-- <!DOCTYPE html> <!ENTITY a 'b'> --><model")
    assert read_sbml(commented, "m.xml") == read_sbml(TEXT, "m.xml")


def test_a_file_above_the_limit_is_refused_with_the_limit(tmp_path):
    path = tmp_path / "huge.xml"
    with path.open("wb") as file:
        file.truncate(100_000_000)  # a hole: nothing is written
    with pytest.raises(InputError, match=r"has 100 MB; at most 20 MB"):
        model_files.find(path)


def test_a_long_chain_of_rules_is_read_soon():
    """libSBML's own search for circles takes minutes from 500 rules on."""
    rules = {f"a{i}": f"a{i - 1} + 1" if i else "k" for i in range(1500)}
    net = support.network({"A": 1.0}, {"k": 1.0}, [], rules=rules)
    start = time.perf_counter()
    assert len(read_sbml(support.to_sbml(net), "m.xml").rules) == 1500
    assert time.perf_counter() - start < PATIENCE_S


# ------------------------------------------------------------------------ not a model
@pytest.mark.parametrize("cut", [1, 40, 200, 600, len(TEXT) - 1])
def test_truncated_xml_is_refused_with_the_line(cut):
    assert "is not valid SBML: line 1" in refused(TEXT[:cut])


def test_an_empty_file_is_refused(tmp_path):
    for name in ("empty.xml", "empty.ant"):
        with pytest.raises(ModelError, match="empty"):
            model_read.understand(model_files.find(written(tmp_path, "", name)))


@pytest.mark.parametrize(
    "data",
    [
        b"\x89HDF\r\n\x1a\n" + bytes(range(256)),
        b"CDF\x01\x00\x00\x00\x00",
        bytes(range(256)),
        b"\x7fELF\x02\x01\x01\x00",
        TEXT.encode().replace(b"tiny", b"ti\x00ny"),
        TEXT.encode().replace(b"tiny", b"ti\xffny"),
    ],
    ids=["HDF5", "netCDF 3", "bytes", "program", "NUL", "bad UTF-8"],
)
@pytest.mark.parametrize("name", ["m.xml", "m.ant"])
def test_what_is_no_text_is_refused(data, name, tmp_path):
    with pytest.raises(ModelError, match=rf"^{name}") as told:
        model_files.find(written(tmp_path, data, name))
    sentence(told.value)


def test_a_result_given_for_a_model_is_told_apart(tmp_path):
    path = written(tmp_path, b"\x89HDF", "r.nc")
    with pytest.raises(InputError, match=r"is a result, not a model.*rerun r\.nc"):
        model_files.find(path)


def test_a_folder_lists_the_models_in_it(tmp_path):
    written(tmp_path, TEXT, "tiny.xml")
    with pytest.raises(InputError, match=r"is a folder.*tiny\.xml"):
        model_files.find(tmp_path)


def test_a_missing_file_suggests_the_near_name(tmp_path):
    written(tmp_path, TEXT, "receptor.xml")
    with pytest.raises(InputError, match=r"does not exist.*mean `receptor\.xml`"):
        model_files.find(tmp_path / "recepter.xml")
    with pytest.raises(InputError, match="There is no folder"):
        model_files.find(tmp_path / "nowhere" / "m.xml")


# -------------------------------------------------------------------------- encodings
NAMED = TEXT.replace('<model id="tiny"', '<model id="tiny" name="Größe µ – κ"')
LATIN = NAMED.replace("– κ", "é")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (NAMED.encode(), "Größe µ – κ"),
        (codecs.BOM_UTF8 + NAMED.encode(), "Größe µ – κ"),
        (NAMED.encode("utf-16"), "Größe µ – κ"),
        (
            f'<?xml version="1.0" encoding="UTF-16"?>{NAMED}'.encode("utf-16"),
            "Größe µ – κ",
        ),
        (
            f'<?xml version="1.0" encoding="ISO-8859-1"?>{LATIN}'.encode("latin-1"),
            "Größe µ é",
        ),
        (f'<?xml version="1.0" encoding="utf-8"?>{NAMED}'.encode(), "Größe µ – κ"),
    ],
    ids=["plain", "mark", "UTF-16", "UTF-16 declared", "Latin 1", "declared"],
)
def test_names_are_read_in_the_encoding_of_the_file(data, name, tmp_path):
    network, _ = model_read.understand(model_files.find(written(tmp_path, data)))
    assert network.name == name


@pytest.mark.parametrize("encoding", ["rot13", "utf-7", "klingon", "unicode_escape"])
def test_a_strange_encoding_is_refused_by_name(encoding, tmp_path):
    data = f'<?xml version="1.0" encoding="{encoding}"?>{TEXT}'
    with pytest.raises(ModelError, match=f"declares the encoding `{encoding}`"):
        model_files.find(written(tmp_path, data))


# -------------------------------------------------------------------------------- ids
HARD_NAMES = """
lambda S I E N Q O C pi beta gamma zeta zoo oo nan inf None True False t y p out np
math print import class def self exp sin time v f q0 y0 p0 a0 g0_1 keep_y _x __import__
"""
HARD = HARD_NAMES.split()


@pytest.mark.parametrize("name", HARD)
def test_any_sbml_id_is_only_a_name(name):
    """Whatever it means in Python, SymPy or the generated code: A = A0·exp(-k·t)."""
    rate = ex.Call("times", (ex.Symbol(f"{name}{name}"), ex.Symbol(name)))
    decay = Reaction("r1", ((name, 1.0),), (), (), rate)
    net = support.network({name: 8.0}, {f"{name}{name}": 0.5}, [decay])
    result = ms.simulate(support.compiled(net), 2.0, points=3, observe=f"[{name}]")
    values = result[f"[{name}]"].values
    assert values / values[0] == pytest.approx(np.exp([0.0, -0.5, -1.0]), rel=1e-4)


@pytest.mark.parametrize("name", ["miR–21", "Größe", "a b", "1st", "a;b", "κ"])
def test_an_id_that_is_none_is_refused(name):
    words = refused(TEXT.replace('id="A"', f'id="{name}"'))
    assert "is not valid SBML" in words


def test_code_in_names_and_notes_is_only_text(tmp_path):
    trap = tmp_path / "trap"
    code = f"__import__('pathlib').Path('{trap}').touch()"
    notes = (
        f'<notes><body xmlns="http://www.w3.org/1999/xhtml">{code}</body></notes>'
        f'<annotation><x xmlns="http://x.org">{code}</x></annotation>'
    )
    text = TEXT.replace('extentUnits="u_extent">', f'extentUnits="u_extent">{notes}')
    text = text.replace('<species id="A"', f'<species name="{code}" id="A"')
    net = read_sbml(text, "m.xml")
    assert net.species[0].name == code
    model = support.compiled(replace(TINY, name=code))
    ms.simulate(model, 1.0, points=2)
    assert "is not declared" in fuzz.outcome(
        TEXT.replace("<ci>k</ci>", f"<ci>{code}</ci>")
    )
    refused(TEXT.replace('id="A"', f'id="{code}"'))
    assert not trap.exists()


# --------------------------------------------------------------------------- formulas
@pytest.mark.parametrize(
    ("rules", "starts", "path"),
    [
        ({"a": "b", "b": "a"}, {}, "a → b → a"),
        ({"a": "a + 1"}, {}, "a → a"),
        ({"a": "b + c", "b": "k", "c": "2*d", "d": "a"}, {}, "a → c → d → a"),
        ({"a": "b"}, {"b": "a"}, "a → b → a"),
    ],
)
def test_circular_definitions_print_the_circle(rules, starts, path):
    net = support.network({"A": 1.0}, {"k": 1.0}, [], rules=rules, starts=starts)
    declared = "".join(f'<parameter id="{name}" constant="false"/>' for name in starts)
    text = support.to_sbml(net).replace(
        "</listOfParameters>", f"{declared}</listOfParameters>"
    )
    assert f"in a circle: {path}." in fuzz.outcome(text)


def test_functions_defined_through_each_other_are_refused_even_if_unused():
    def f(name, called):
        body = f"<apply><ci>{called}</ci><ci>x</ci></apply>"
        return (
            f'<functionDefinition id="{name}">{support.MATH}<lambda><bvar><ci>x</ci>'
            f"</bvar>{body}</lambda></math></functionDefinition>"
        )

    text = support.to_sbml(
        TINY,
        functions=f"<listOfFunctionDefinitions>{f('f', 'g')}{f('g', 'f')}"
        "</listOfFunctionDefinitions>",
    )
    assert "defined through itself: f → g → f" in refused(text)


def test_a_formula_too_long_to_derive_is_refused():
    long = ex.Call("plus", (ex.Symbol("k"),) * 25_000)
    net = support.network({"A": 1.0}, {"k": 1.0}, [reaction("r1", "-> A", long)])
    assert "more than 20000 operations" in refused(support.to_sbml(net))


def test_a_formula_that_would_overflow_libsbml_is_refused_before_it_reads():
    terms = "<ci>k</ci>" * 400_000
    text = TEXT.replace("<apply><times/>", f"<apply><plus/>{terms}", 1)
    assert "has a formula of more than 60000 elements" in refused(text)


def test_many_errors_are_told_in_one_sentence_with_their_number():
    bad = "".join(f'<parameter id="1p{i}" constant="true"/>' for i in range(1000))
    listed = f"<listOfParameters>{bad}</listOfParameters>"
    words = refused(support.to_sbml(TINY, parameters=listed))
    assert words.count("line 2:") == 3
    assert "(997 more errors)" in words


# --------------------------------------------------------------------------- Antimony
def ant(text):
    """Return the sentence with which Antimony text is refused."""
    with pytest.raises(ModelError, match=r"^m\.ant") as told:
        read_sbml(antimony_to_sbml(text, "m.ant"), "m.ant")
    return sentence(told.value)


@pytest.fixture
def antimony():
    return pytest.importorskip("antimony", reason="the optional converter")


@pytest.mark.usefixtures("antimony")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("// nothing\n", "empty"),
        ("A -> B; k*A", "k"),
        (f"A = 1; A -> ; {'sin(' * 10_000}A{')' * 10_000}", "memory exhausted"),
        ("a := b; b := a", "Loop"),
        ("function f(x)\n f(x)\nend\nA = 1; A -> ; f(A)", "recursive"),
        ("µ = 1", "line 1: `µ`"),
        ("A = 1;\nA -> ; __import__('os').system('id')", "line 2"),
        ('// fine\nimport "/etc/passwd"\nA = 1', "line 2: a model must be one file"),
        ("A = 1;\x00 A -> ;", r"U+0000"),
    ],
)
def test_antimony_that_is_no_model_is_one_sentence(text, words, tmp_path):
    path = written(tmp_path, text, "m.ant")
    with pytest.raises(ModelError) as told:  # noqa: PT011 - the words are asserted
        library.load(path, backend="numpy")
    assert words in sentence(told.value)


@pytest.mark.usefixtures("antimony")
def test_antimony_comments_and_texts_may_hold_anything():
    text = 'A = 1; A -> ; 2*A // µ import "x"\nA is "µ; import \\"y\\""\n/* é */'
    net = read_sbml(antimony_to_sbml(text, "m.ant"), "m.ant")
    assert [s.id for s in net.species] == ["A"]


# ----------------------------------------------------------------------------- fuzzing
def test_the_seeds_of_the_fuzzer_are_models():
    assert not fuzz.outcome(fuzz.PLAIN)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_a_broken_model_is_a_network_or_one_sentence(seed):
    start = time.perf_counter()
    fuzz.outcome(fuzz.mutant(seed))
    assert time.perf_counter() - start < PATIENCE_S


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_network_or_one_sentence(data):
    try:
        text = texts.decode(data, "m.xml")
    except ModelError as error:
        sentence(error)
        return
    assert fuzz.outcome(text)


FINDS = {
    # libSBML's own check ends the process here
    "<apply><rateOf/></apply>": "`rateOf` must have 1 operand, got 0",
    "<piecewise><otherwise><apply><rateOf/></apply></otherwise></piecewise>": "must",
    # unpacked without looking
    "<apply><power/><ci>k</ci></apply>": "must have 2 operands, got 1",
    "<apply><power/></apply>": "must have 2 operands, got 0",
    "<apply><root/></apply>": "`root` must have 1 or 2 operands, got 0",
    "<apply><minus/><ci>k</ci><ci>k</ci><ci>k</ci></apply>": "1 or 2 operands, got 3",
    "<apply><max/></apply>": "`max` must have 1 or more operands, got 0",
    # SymPy makes complex numbers of these, and the generated code had no `I`
    "<apply><arccosh/><cn>0</cn></apply>": "",
    "<apply><ln/><cn>-2</cn></apply>": "",
    # truth as a number
    "<apply><plus/><true/><apply><gt/><ci>k</ci><cn>1</cn></apply></apply>": "",
    "<apply><root/><apply><neq/><ci>k</ci><cn>1</cn></apply></apply>": "",
    "<apply><implies/><pi/><ci>A</ci></apply>": "",
}
"""Rates that ended in something else than a network or a sentence: "" for a network."""


@pytest.mark.parametrize("rate", FINDS)
def test_what_the_fuzzer_found_stays_mended(rate):
    before, _, rest = fuzz.PLAIN.partition("<kineticLaw>")
    after = rest[rest.index("</math>") :]
    words = fuzz.outcome(f"{before}<kineticLaw>{MATH}{rate}{after}")
    assert FINDS[rate] in words
    assert bool(words) == bool(FINDS[rate])


def test_a_rule_without_a_value_is_a_sentence():
    """Found by the fuzzer: plain Python divides by a literal zero with an exception."""
    before, _, rest = fuzz.PLAIN.partition('<assignmentRule variable="z">')
    after = rest[rest.index("</math>") :]
    rule = "<apply><quotient/><cn>3</cn><cn>0</cn></apply>"
    start = "<apply><times/><cn>3</cn><ci>z</ci></apply>"
    text = f'{before}<assignmentRule variable="z">{MATH}{rule}{after}'
    text = text.replace(
        f"{MATH}<apply>\n<times/><cn>3</cn><ci>k</ci></apply>", f"{MATH}{start}"
    )
    assert start in text
    assert "has no value" in fuzz.outcome(text) or "not a number" in fuzz.outcome(text)

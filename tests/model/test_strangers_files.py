"""Files of other tools: which faults stop a load, and libSBML's messages."""

import warnings

import pytest

from mir21sim.compiler import load as library
from mir21sim.errors import ModelError, UnsupportedFeatureError
from mir21sim.model import files as model_files

L3 = "http://www.sbml.org/sbml/level3/version1/"
BODY = """
<listOfCompartments><compartment id="c" size="1" constant="true"{compartment}/>
</listOfCompartments>
<listOfSpecies><species id="A" compartment="c" initialAmount="3" constant="false"
 hasOnlySubstanceUnits="false" boundaryCondition="false"{species}/></listOfSpecies>
{more}"""


def load(text, name="guest"):
    """Return the compiled model of an SBML text."""
    files = model_files.ModelFiles(name, {"sbml": text})
    return library.assemble(files, backend="numpy")


def sbml(model="", namespaces="", more="", compartment="", species=""):
    """Return a small L3V1 file with attributes and elements added."""
    body = BODY.format(compartment=compartment, species=species, more=more)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><sbml xmlns="{L3}core" level="3" '
        f'version="1"{namespaces}><model id="guest"{model}>{body}</model></sbml>'
    )


def package(name, required):
    """Return the namespace and the `required` of a package."""
    return f' xmlns:{name}="{L3}{name}/version1" {name}:required="{required}"'


@pytest.mark.parametrize(
    "parts",
    [
        {"model": ' areaUnits="area"'},
        {"model": ' timeUnits="nowhere" substanceUnits="nothing"'},
        {"model": ' timeUnits="dimensionless" substanceUnits="dimensionless"'},
        {"compartment": ' units="unheard_of"'},
        {"species": ' substanceUnits="unheard_of"'},
        {"species": ' sboTerm="SBO:9999999"'},
        {"species": ' metaid="m" '},
        {"namespaces": package("layout", "false")},
        {"namespaces": package("layout", "true")},
        {"namespaces": package("groups", "true")},
        {"namespaces": package("qual", "true")},
        {"namespaces": ' xmlns:odd="http://example.org/odd" odd:required="false"'},
        {"more": "<annotation/><annotation/>"},
        {"compartment": ' spatialDimensions="2" units="litre"'},
    ],
    ids=str,
)
def test_what_changes_no_number_stops_no_load(parts):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = load(sbml(**parts))
    assert model.y0.tolist() == [3.0]


def test_a_package_for_drawing_in_a_file_of_level_2_stops_no_load():
    """As COPASI writes it (BioModels 965 and 1044)."""
    text = sbml(namespaces=package("layout", "false"))
    old = text.replace(f"{L3}core", "http://www.sbml.org/sbml/level2/version4")
    old = old.replace('level="3" version="1"', 'level="2" version="4"')
    assert load(old.replace(' constant="true"', "")).y0.tolist() == [3.0]


def test_an_unknown_element_is_harmless_in_a_drawing_and_nowhere_else():
    """As in BioModels 546; an unknown element of the core may change numbers."""
    packages = package("layout", "false") + package("render", "false")
    inside = "<render:listOfGlobalRenderInformation><render:globalRenderInformation/>"
    drawing = (
        f"<layout:listOfLayouts>{inside}</render:listOfGlobalRenderInformation>"
        "</layout:listOfLayouts>"
    )
    assert load(sbml(namespaces=packages, more=drawing)).y0.tolist() == [3.0]
    with pytest.raises(ModelError, match="not part of the definition"):
        load(sbml(more="<listOfUnheardOf/>"))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"namespaces": package("spatial", "true")}, "spatial"),
        ({"namespaces": package("arrays", "true")}, "package is identified"),
    ],
    ids=str,
)
def test_an_unknown_package_that_may_change_numbers_is_refused(parts, said):
    with pytest.raises((ModelError, UnsupportedFeatureError), match=said):
        load(sbml(**parts))


def test_a_qualitative_model_is_refused_by_name():
    species = (
        "<qual:listOfQualitativeSpecies><qual:qualitativeSpecies qual:id='Q' "
        "qual:compartment='c' qual:constant='false'/></qual:listOfQualitativeSpecies>"
    )
    with pytest.raises(UnsupportedFeatureError, match="package `qual`"):
        load(sbml(namespaces=package("qual", "true"), more=species))


def test_errors_of_the_consistency_check_come_whole_every_time():
    """An error object of libSBML must not be read after its document is gone."""
    text = sbml().replace('compartment="c"', 'compartment="nowhere"')
    said = set()
    for _ in range(20):
        with pytest.raises(ModelError, match="not valid SBML") as error:
            load(text)
        said.add(str(error.value))
    (words,) = said
    assert words.encode("utf-8").isascii()
    assert "\0" not in words
    assert ": The value of 'compartment' in a <species> definition must be" in words

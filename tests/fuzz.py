"""Broken and odd models made of whole ones, by seed.

``python tests/fuzz.py FIRST COUNT`` tries many seeds in one process and prints each
before it is tried, so that the last line names the one that ended the process.
"""

import copy
import random
import sys
import time
import xml.etree.ElementTree as ET

from support import MATH, SBML

from mir21sim.compiler import load as library
from mir21sim.errors import Mir21simError
from mir21sim.model import files as model_files

_SYMBOLS = "http://www.sbml.org/sbml/symbols/"
_TIME = f"{_SYMBOLS}time"

RICH = f"""{SBML}<model id="rich"><listOfFunctionDefinitions>
<functionDefinition id="f">{MATH}<lambda><bvar><ci>x</ci></bvar><bvar><ci>y</ci></bvar>
<apply><divide/><ci>x</ci><apply><plus/><ci>x</ci><ci>y</ci></apply></apply></lambda>
</math></functionDefinition></listOfFunctionDefinitions><listOfUnitDefinitions>
<unitDefinition id="per_s"><listOfUnits>
<unit kind="second" exponent="-1" scale="0" multiplier="1"/></listOfUnits>
</unitDefinition></listOfUnitDefinitions><listOfCompartments>
<compartment id="c" spatialDimensions="3" size="2" constant="true"/>
<compartment id="d" spatialDimensions="3" size="1" constant="false"/>
</listOfCompartments><listOfSpecies>
<species id="A" compartment="c" initialAmount="5" hasOnlySubstanceUnits="true"
 boundaryCondition="false" constant="false"/>
<species id="B" compartment="c" initialConcentration="1" hasOnlySubstanceUnits="false"
 boundaryCondition="false" constant="false"/>
<species id="S" compartment="d" initialAmount="1" hasOnlySubstanceUnits="false"
 boundaryCondition="true" constant="false" conversionFactor="k"/></listOfSpecies>
<listOfParameters><parameter id="k" value="0.5" constant="true"/>
<parameter id="w" value="2" constant="false"/><parameter id="z" constant="false"/>
</listOfParameters><listOfInitialAssignments><initialAssignment symbol="B">{MATH}<apply>
<times/><cn>3</cn><ci>k</ci></apply></math></initialAssignment>
</listOfInitialAssignments><listOfRules><assignmentRule variable="z">{MATH}<piecewise>
<piece><cn type="e-notation">1<sep/>-3</cn><apply><lt/><csymbol encoding="text"
 definitionURL="{_TIME}">t</csymbol><cn>3</cn></apply></piece><otherwise><ci>w</ci>
</otherwise></piecewise></math></assignmentRule><rateRule variable="w">{MATH}<apply>
<minus/><ci>w</ci></apply></math></rateRule></listOfRules><listOfReactions>
<reaction id="r1" reversible="false"><listOfReactants>
<speciesReference id="nA" species="A" stoichiometry="2" constant="true"/>
</listOfReactants><listOfProducts>
<speciesReference species="B" stoichiometry="1" constant="true"/></listOfProducts>
<listOfModifiers><modifierSpeciesReference species="S"/></listOfModifiers><kineticLaw>
{MATH}<apply><times/><ci>k</ci><ci>q</ci><apply><ci>f</ci><ci>A</ci><ci>S</ci></apply>
</apply></math><listOfLocalParameters><localParameter id="q" value="0.1"/>
</listOfLocalParameters></kineticLaw></reaction></listOfReactions><listOfEvents>
<event id="e" useValuesFromTriggerTime="true"><trigger initialValue="true"
 persistent="true">{MATH}<apply><gt/><csymbol encoding="text" definitionURL="{_TIME}">t
</csymbol><cn>4</cn></apply></math></trigger><listOfEventAssignments>
<eventAssignment variable="A">{MATH}<ci>k</ci></math></eventAssignment>
</listOfEventAssignments></event></listOfEvents></model></sbml>"""

PLAIN = RICH[: RICH.index("<listOfEvents>")] + "</model></sbml>"
PLAIN = PLAIN.replace(' conversionFactor="k"', "")
"""The same without what a reader may refuse as a whole."""

_WORDS = """
A B S k w z c d f q r1 nA e x lambda 0 1 -1 2.5 1e400 NaN INF -INF true false 3 item
litre second mole metre dimensionless per_s volume time http://x.org 1e-320 0x10 ٣ –
"""
_VALUES = [*_WORDS.split(), "", " ", "A B", "__import__('os')", "a" * 200]
_OP_NAMES = """
plus minus times divide power root abs exp ln log floor ceiling factorial sin cos tan
sec csc cot sinh cosh tanh arcsin arccos arctan arcsinh arccosh arctanh eq neq gt lt geq
leq and or not xor implies max min quotient rem rateOf
"""
_OPS = _OP_NAMES.split()
_LEAVES = (
    "<ci>A</ci>", "<ci>B</ci>", "<ci>k</ci>", "<ci>w</ci>", "<ci>z</ci>", "<ci>c</ci>",
    "<ci>r1</ci>", "<ci>nA</ci>", "<ci>f</ci>", "<ci>nowhere</ci>", "<ci/>",
    "<cn>0</cn>", "<cn>1</cn>", "<cn>-2.5</cn>", "<cn/>", "<cn>x</cn>", "<pi/>",
    '<cn type="integer">3</cn>', '<cn type="rational">1<sep/>0</cn>', "<infinity/>",
    '<cn type="e-notation">1<sep/>999</cn>', '<cn type="real">1e5000</cn>',
    "<notanumber/>", "<exponentiale/>", "<true/>", "<false/>", "<apply/>",
    f'<csymbol encoding="text" definitionURL="{_TIME}">t</csymbol>',
    '<csymbol encoding="text" definitionURL="http://x.org">t</csymbol>',
    f'<csymbol encoding="text" definitionURL="{_SYMBOLS}avogadro">N</csymbol>',
)  # fmt: skip


def formula(rng, depth=4):
    """Return MathML that may or may not mean something."""
    if depth == 0 or rng.random() < 0.3:
        return rng.choice(_LEAVES)
    inner = [formula(rng, depth - 1) for _ in range(rng.choice([0, 1, 1, 2, 2, 2, 3]))]
    kind = rng.random()
    if kind < 0.7:
        return f"<apply><{rng.choice(_OPS)}/>{''.join(inner)}</apply>"
    if kind < 0.8:
        return f"<apply>{rng.choice(_LEAVES)}{''.join(inner)}</apply>"
    if kind < 0.95:
        pieces = "".join(f"<piece>{formula(rng, 1)}{i}</piece>" for i in inner)
        return (
            f"<piecewise>{pieces}<otherwise>{formula(rng, 1)}</otherwise></piecewise>"
        )
    return f"<lambda><bvar><ci>x</ci></bvar>{''.join(inner)}</lambda>"


def _characters(rng, text):
    """Flip, take out, repeat or put in a few characters."""
    for _ in range(rng.randint(1, 4)):
        i = rng.randrange(len(text))
        n = rng.choice([1, 1, 2, 8, 64])
        piece = rng.choice(
            ["", chr(rng.randrange(1, 0x2FFF)), text[i : i + n] * 2, "<"]
        )
        text = text[:i] + piece + text[i + n :]
    return text


def _elements(rng, text):
    """Delete, repeat, move or edit a few elements of a tree."""
    root = ET.fromstring(text)
    for _ in range(rng.randint(1, 3)):
        parent = rng.choice([e for e in root.iter() if len(e)] or [root])
        if not len(parent):
            break
        child = rng.choice(list(parent))
        kind = rng.randrange(6)
        if kind == 0:
            parent.remove(child)
        elif kind == 1:
            parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(child))
        elif kind == 2:
            other = rng.choice(list(root.iter()))
            other.append(copy.deepcopy(child))
        elif kind == 3 and child.attrib:
            child.attrib.pop(rng.choice(list(child.attrib)))
        elif kind == 4 and child.attrib:
            child.attrib[rng.choice(list(child.attrib))] = rng.choice(_VALUES)
        elif child.text is not None:
            child.text = rng.choice(_VALUES)
    return ET.tostring(root, encoding="unicode")


def _formulas(rng, text):
    """Put a formula of our own in the place of one or two."""
    parts = text.split(MATH)
    for _ in range(rng.randint(1, 2)):
        i = rng.randrange(1, len(parts))
        _, end, rest = parts[i].partition("</math>")
        parts[i] = formula(rng) + end + rest
    return MATH.join(parts)


def mutant(seed):
    """Return the text of a seed."""
    rng = random.Random(seed)
    text = rng.choice([RICH, PLAIN, PLAIN])
    return rng.choice([_characters, _elements, _elements, _formulas, _formulas])(
        rng, text
    )


def outcome(text):
    """Read and compile a text; return "" or the sentence with which it is refused.

    Any other exception is a find.
    """
    try:
        library.assemble(model_files.ModelFiles("m", {"sbml": text}), backend="numpy")
    except Mir21simError as error:
        words = str(error)
    else:
        return ""
    assert "\n" not in words, "one sentence, one line"
    assert len(words) < 2000, "a sentence that nobody reads"
    return words


def main(first, count):
    accepted, slowest = 0, (0.0, first)
    for seed in range(first, first + count):
        print(seed, end="\r", flush=True)  # noqa: T201 - a script
        start = time.perf_counter()
        try:
            accepted += not outcome(mutant(seed))
        except Exception as error:  # noqa: BLE001 - finds are what it looks for
            print(seed, type(error).__name__, str(error)[:300])  # noqa: T201
        slowest = max(slowest, (time.perf_counter() - start, seed))
    print(f"{count} tried, {accepted} accepted, slowest {slowest}")  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))

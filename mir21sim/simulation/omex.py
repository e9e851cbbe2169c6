"""A run as a COMBINE archive: SBML, SED-ML and the numbers in one file.

Any tool that reads OMEX can repeat the run. The formats are those of OMEX 1 (Bergmann
et al. 2014, doi:10.1186/s12859-014-0369-z) and SED-ML L1V4 (Smith et al. 2021,
doi:10.1515/jib-2021-0021), algorithms by KiSAO.
"""

import io
import json
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import numpy as np
import xarray as xr

from mir21sim import files as output_files
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, ModelError
from mir21sim.model import expressions as ex
from mir21sim.model.formats import sbml_writer
from mir21sim.model.network import Network
from mir21sim.simulation import dataset as dataset_
from mir21sim.simulation import dataset as results
from mir21sim.simulation.provenance import plan_from
from mir21sim.simulation.run import prepare
from mir21sim.simulation.snapshot import snapshot
from mir21sim.simulation.translate import Translated
from mir21sim.solvers.methods import method_of
from mir21sim.solvers.problem import Source
from mir21sim.solvers.settings import Settings

_RTOL, _ATOL, _MAX_STEPS = "KISAO:0000209", "KISAO:0000211", "KISAO:0000415"
_SEDML = "http://sed-ml.org/sed-ml/level1/version4"
_OMEX = "http://identifiers.org/combine.specifications"
_MANIFEST = f"{_OMEX}/omex-manifest"
_FORMATS = {
    ".": f"{_OMEX}/omex",
    "./model.xml": f"{_OMEX}/sbml.level-3.version-2",
    "./simulation.sedml": f"{_OMEX}/sed-ml.level-1.version-4",
    "./result.csv": "http://purl.org/NET/mediatypes/text/csv",
    "./provenance.json": "http://purl.org/NET/mediatypes/application/json",
    "./metadata.rdf": f"{_OMEX}/omex-metadata",
}
_TIME = "t"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the archive of a result is the same whenever written


def save_archive(result: xr.Dataset, model: CompiledModel, path: str | Path) -> Path:
    """Write one run as a COMBINE archive (``.omex``), in one move.

    It holds the model with the values, the start state and the doses of the run as
    SBML L3V2; the simulation, its outputs in the units of the result and a plot as
    SED-ML L1V4; the numbers as CSV; and how they were made.

    Parameters
    ----------
    result : of ``simulate``
    model : that it was made with

    Raises
    ------
    InputError
        For a sweep, times that are not equally spaced, a quantity that SBML does not
        name, or a path that cannot be written.
    ModelError
        When the result was made with another model.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> model = ms.load("earm_1_3", backend="numpy")
    >>> result = ms.simulate(model, "10 min", points=3, observe="CASP8_active")
    >>> path = ms.save_archive(result, model, Path(folder.name) / "run.omex")
    >>> path.stat().st_size > 1000
    True
    >>> folder.cleanup()
    """
    path = output_files.check_writable(Path(path), (".omex",))
    files = archive_files(result, model)
    with (
        output_files.writing(path) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    return path


def archive_files(result: xr.Dataset, model: CompiledModel) -> dict[str, str]:
    """Return the texts of an archive by name, see ``save_archive``."""
    record = results.provenance(result)
    if record["over"] or record.get("cells"):
        raise InputError(
            "An archive holds one run, not a sweep: simulate the run that is wanted, "
            "or write the sweep as .nc or .csv."
        )
    if record["model_sha256"] != model.digest:
        raise ModelError(
            f"The result was made with another model than `{model.id}`: the SHA-256 "
            "of the networks differ."
        )
    plan, options = plan_from(record)
    translated, settings = prepare(model, plan, options)
    network = snapshot(model, translated)
    table = io.StringIO()
    dataset_.result_frame(result).to_csv(table, index=False)
    return {
        "manifest.xml": _manifest(),
        "model.xml": sbml_writer.write_sbml(network),
        "simulation.sedml": _sedml(model, network, translated, settings),
        "result.csv": table.getvalue(),
        "provenance.json": json.dumps(record, indent=1),
        "metadata.rdf": _metadata(result),
    }


def _sedml(
    model: CompiledModel,
    network: Network,
    translated: Translated,
    settings: Settings,
) -> str:
    """Return the simulation experiment of one run."""
    root = ET.Element(
        "sedML",
        {
            "xmlns": _SEDML,
            "xmlns:sbml": sbml_writer.NAMESPACE,
            "level": "1",
            "version": "4",
        },
    )
    _add(
        ET.SubElement(root, "listOfModels"),
        "model",
        id="model",
        name=network.name or network.id,
        language="urn:sedml:language:sbml.level-3.version-2",
        source="model.xml",
    )
    _time_course(ET.SubElement(root, "listOfSimulations"), model, translated, settings)
    _add(
        ET.SubElement(root, "listOfTasks"),
        "task",
        id="task",
        modelReference="model",
        simulationReference="simulation",
    )
    generators = ET.SubElement(root, "listOfDataGenerators")
    shown = ex.Call("times", (ex.Symbol(_TIME), ex.Number(_shown_per_time(model))))
    title = f"time [{model.border.time_unit}]"
    _generator(generators, "generator_time", title, shown, {_TIME: ""})
    for k in range(len(translated.outputs)):
        _output_generator(generators, model, translated, k)
    _outputs(ET.SubElement(root, "listOfOutputs"), translated, title)
    return _document(root)


def _shown_per_time(model: CompiledModel) -> float:
    """Return the time unit of the border in one model unit of time."""
    return 1.0 / model.border.per_time


def _time_course(
    parent: ET.Element, model: CompiledModel, translated: Translated, settings: Settings
) -> None:
    """Write times, algorithm and tolerances."""
    times = translated.problem.times
    steps = np.diff(times)
    if not np.allclose(steps, steps[0], rtol=1e-6):
        raise InputError(
            "An archive needs equally spaced times: give `points`, not `times`."
        )
    item = _add(
        parent,
        "uniformTimeCourse",
        id="simulation",
        initialTime=repr(float(times[0])),
        outputStartTime=repr(float(times[0])),
        outputEndTime=repr(float(times[-1])),
        numberOfSteps=str(len(steps)),
    )
    method = settings.method
    algorithm = _add(item, "algorithm", kisaoID=method_of(method).kisao, name=method)
    listed = ET.SubElement(algorithm, "listOfAlgorithmParameters")
    rtol, atol = settings.rtol, float(settings.atol.min(initial=1.0))
    for kisao, name, value in (
        (_RTOL, "relative tolerance", repr(rtol)),
        (_ATOL, "absolute tolerance", repr(atol)),
        (_MAX_STEPS, "maximum number of steps", str(settings.max_steps)),
    ):
        _add(listed, "algorithmParameter", kisaoID=kisao, name=name, value=value)


def _output_generator(
    parent: ET.Element, model: CompiledModel, translated: Translated, k: int
) -> None:
    """Write one output as a formula over quantities of the SBML model."""
    chosen = translated.problem.selection
    targets: dict[str, str] = {}
    amount = _quantity(model, int(chosen.source[k]), int(chosen.index[k]), targets)
    if chosen.scale[k] != 1.0:
        amount = ex.Call("times", (amount, ex.Number(float(chosen.scale[k]))))
    if chosen.divisor[k] >= 0:
        below = _quantity(
            model, int(chosen.divisor_source[k]), int(chosen.divisor[k]), targets
        )
        amount = ex.Call("divide", (amount, below))
    output = translated.outputs[k]
    label = f"{output.label} [{output.unit}]" if output.unit else output.label
    _generator(parent, f"generator_{k + 1}", label, amount, targets)


def _quantity(
    model: CompiledModel, source: int, index: int, targets: dict[str, str]
) -> ex.Expr:
    """Return a stored quantity as a formula of SBML values; adds its targets."""
    names = {
        Source.STATE: model.state_names,
        Source.ASSIGNED: model.assigned_names,
        Source.RATE: model.rate_names,
        Source.PARAM: model.param_names,
    }
    name = names[Source(source)][index]
    shown = _variable(model, name, targets)
    pool = {s.id: s for s in model.network.species}.get(name)
    if pool is None or pool.only_amount:
        return shown
    # SBML shows a concentration; the stored quantity is the amount.
    return ex.Call("times", (shown, _variable(model, pool.compartment, targets)))


def _variable(model: CompiledModel, name: str, targets: dict[str, str]) -> ex.Expr:
    """Return the variable that stands for an element of the SBML model."""
    path = _xpath(model.network, name)
    variable = f"v_{name.replace('.', '__')}"
    targets[variable] = path
    return ex.Symbol(variable)


def _xpath(network: Network, name: str) -> str:
    """Return where an id is in the SBML of a network."""
    root = "/sbml:sbml/sbml:model"
    for items, tag in (
        (network.species, "listOfSpecies/sbml:species"),
        (network.compartments, "listOfCompartments/sbml:compartment"),
        (network.reactions, "listOfReactions/sbml:reaction"),
    ):
        if any(item.id == name for item in items):
            return f"{root}/sbml:{tag}[@id='{name}']"
    if name in sbml_writer.named_counts(network):
        return f"{root}/sbml:listOfReactions//sbml:speciesReference[@id='{name}']"
    home, dot, short = name.partition(".")
    if dot:
        reaction = f"{root}/sbml:listOfReactions/sbml:reaction[@id='{home}']"
        return f"{reaction}//sbml:localParameter[@id='{short}']"
    if any(p.id == name for p in network.parameters):
        return f"{root}/sbml:listOfParameters/sbml:parameter[@id='{name}']"
    raise InputError(f"`{name}` has no place in SBML; leave it out of `observe`.")


def _generator(
    parent: ET.Element,
    key: str,
    label: str,
    formula: ex.Expr,
    targets: dict[str, str],
) -> None:
    """Write a data generator; a target "" is the time."""
    item = _add(parent, "dataGenerator", id=key, name=label)
    variables = ET.SubElement(item, "listOfVariables")
    for name, target in targets.items():
        entry = _add(variables, "variable", id=name, taskReference="task")
        if target:
            entry.set("target", target)
        else:
            entry.set("symbol", "urn:sedml:symbol:time")
    sbml_writer.write_formula(item, formula)


def _outputs(parent: ET.Element, translated: Translated, time_title: str) -> None:
    """Write the report of all quantities, and a plot of them over time."""
    names = ["time", *(output.name for output in translated.outputs)]
    keys = ["generator_time", *(f"generator_{k}" for k in range(1, len(names)))]
    report = ET.SubElement(
        _add(parent, "report", id="report", name="all quantities"), "listOfDataSets"
    )
    for k, (name, key) in enumerate(zip(names, keys, strict=True)):
        _add(report, "dataSet", id=f"data_{k}", label=name, dataReference=key)
    plot = _add(parent, "plot2D", id="plot", name="time course")
    for axis, title in (("xAxis", time_title), ("yAxis", "")):
        _add(plot, axis, type="linear", **({"name": title} if title else {}))
    curves = ET.SubElement(plot, "listOfCurves")
    for k, (name, key) in enumerate(zip(names[1:], keys[1:], strict=True), start=1):
        _add(
            curves,
            "curve",
            id=f"curve_{k}",
            name=name,
            order=str(k),
            xDataReference=keys[0],
            yDataReference=key,
        )


def _manifest() -> str:
    """Return the list of the files in the archive."""
    root = ET.Element("omexManifest", {"xmlns": _MANIFEST})
    _add(root, "content", location="./manifest.xml", format=_MANIFEST)
    for location, form in _FORMATS.items():
        item = _add(root, "content", location=location, format=form)
        if location.endswith(".sedml"):
            item.set("master", "true")
    return _document(root)


def _metadata(result: xr.Dataset) -> str:
    """Return title, date and maker, in Dublin Core."""
    root = ET.Element(
        "rdf:RDF",
        {
            "xmlns:rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
            "xmlns:dcterms": "http://purl.org/dc/terms/",
        },
    )
    about = ET.SubElement(root, "rdf:Description", {"rdf:about": "."})
    context = f" in {result.attrs['context']}" if result.attrs.get("context") else ""
    for key, text in (
        ("title", f"{result.attrs['title']}{context}"),
        ("creator", f"mir21sim {result.attrs['mir21sim_version']}"),
        ("identifier", f"sha256:{result.attrs['model_sha256']}"),
    ):
        ET.SubElement(about, f"dcterms:{key}").text = text
    created = ET.SubElement(about, "dcterms:created", {"rdf:parseType": "Resource"})
    ET.SubElement(created, "dcterms:W3CDTF").text = result.attrs["created"]
    return _document(root)


def _add(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, tag, attributes)


def _document(root: ET.Element) -> str:
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'

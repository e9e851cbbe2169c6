"""Print as JSON what libSEDML reads in a SED-ML file: a process of its own.

libSEDML and libSBML share names of types under Python, and libSBML's iterators do not
end once libSEDML is imported.
"""

import json
import sys


def main(path):
    import libsedml  # here: pytest imports this file when it looks for doctests

    document = libsedml.readSedMLFromFile(path)
    task = document.getTask("task")
    course = document.getSimulation(task.getSimulationReference())
    algorithm = course.getAlgorithm()
    generators = {
        item.getId(): {
            "formula": libsedml.formulaToL3String(item.getMath()),
            "variables": {
                v.getId(): v.getTarget() or v.getSymbol()
                for v in item.getListOfVariables()
            },
        }
        for item in document.getListOfDataGenerators()
    }
    report = document.getOutput("report")
    told = {
        "errors": document.getNumErrors(libsedml.LIBSEDML_SEV_ERROR),
        "source": document.getModel(task.getModelReference()).getSource(),
        "start": course.getOutputStartTime(),
        "end": course.getOutputEndTime(),
        "steps": course.getNumberOfSteps(),
        "algorithm": algorithm.getKisaoID(),
        "settings": {
            p.getKisaoID(): float(p.getValue())
            for p in algorithm.getListOfAlgorithmParameters()
        },
        "generators": generators,
        "report": {
            d.getLabel(): d.getDataReference() for d in report.getListOfDataSets()
        },
        "outputs": document.getNumOutputs(),
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])

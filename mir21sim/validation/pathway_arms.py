"""How much of the anti-miR-21 effect goes through PTEN/Akt, PDCD4 and Bcl-2.

Effect: share of unlike cells that die of the model's own stimulus, with the inhibitor
less without. One cell is a switch, in which no arm alone may reach the threshold; among
unlike cells every arm counts. An arm alone: every other target is held insensitive. An
arm missing: only this target is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mir21sim.analysis.cell_death import death_quantity, fraction_dead
from mir21sim.analysis.text_tables import TextTable, lines_of
from mir21sim.compiler.load import load
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.model import files as model_files
from mir21sim.model.files import DEFAULT_MODEL
from mir21sim.model.info import Gene
from mir21sim.simulation.doses import Dose, Protocol
from mir21sim.simulation.options import Options
from mir21sim.simulation.perturbations import Perturbations
from mir21sim.simulation.treatment import Treatment
from mir21sim.validation.trial import Trial
from mir21sim.validation.validate import run_trial

ARMS = {"PTEN": "PTEN/Akt", "PDCD4": "PDCD4", "BCL2": "Bcl-2"}
"""Gene to the name of its arm."""

INHIBITOR = Dose(0.0, 100.0, "anti_miR21", "nM")
CELLS = 600
INPUT = "miR21_active"

HIGH = 0.5
"""A context is high in miR-21 from this share of the highest one at rest."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm's part in the effect of the inhibitor in one cell line.

    Attributes
    ----------
    without, with_inhibitor : share of cells that die
    alone, missing : share of the effect with this arm only, and without this arm
    """

    context: str
    arm: str
    without: float
    with_inhibitor: float
    alone: float
    missing: float


def pathway_arms(
    model: str | Path = DEFAULT_MODEL,
    *,
    contexts: Sequence[str] | None = None,
    options: Options | None = None,
) -> list[Arm]:
    """Return the part of every arm in every context that is high in miR-21.

    A target is made insensitive by holding its free and its RISC-bound mRNA at their
    resting levels. Bcl-2 is driven by Akt as well as by miR-21, so the Bcl-2 arm alone
    is the cell without inhibitor whose Bcl-2 synthesis is set so that its Bcl-2
    equals that under the inhibitor from the stimulus on.

    Parameters
    ----------
    contexts : cell lines, by default those high in miR-21

    Raises
    ------
    InputError
        For a model that lacks one of the three genes, the inhibitor or the read-outs.
    """
    loaded = {name: load(model, name) for name in contexts or _names(model)}
    if contexts is None:
        rest = {name: _resting_input(m, options) for name, m in loaded.items()}
        top = max(rest.values(), default=0.0)
        loaded = {n: m for n, m in loaded.items() if rest[n] >= HIGH * top}
    return [arm for m in loaded.values() for arm in _arms_of(m, options)]


def _names(model: str | Path) -> tuple[str, ...]:
    return tuple(model_files.contexts(model)) or (model_files.BASE,)


def _resting_input(model: CompiledModel, options: Options | None) -> float:
    _check(model)
    result = run_trial(model, Trial(end_h=1.0, points=2), [INPUT], options)
    return float(result[INPUT][0])


def _check(model: CompiledModel) -> None:
    """Stop for a model in which the arms cannot be told apart."""
    outputs = (*model.state_names, *model.assigned_names)
    for name, known in (
        *((gene, tuple(model.info.genes)) for gene in ARMS),
        (INHIBITOR.target, model.state_names),
        (INPUT, outputs),
    ):
        if name not in known:
            raise InputError(f"The arms need `{name}`, and {model.id} has none.")


def _arms_of(model: CompiledModel, options: Options | None) -> list[Arm]:
    """Return the three arms of one cell line."""
    _check(model)
    quantity = death_quantity(model)
    stimulus = Protocol.of(model.info.doses).doses
    plain = Trial(Treatment(stimulus))
    treated = Trial(Treatment((INHIBITOR, *stimulus)))

    def dead(trial: Trial) -> float:
        many = replace(trial, cells=CELLS)
        result = run_trial(model, many, [quantity], options)
        since, end = trial.last_dose_h, float(result["time"][-1])
        return float(fraction_dead(result, end - since, quantity, since=since)[0])

    without, full = dead(plain), dead(treated)
    effect = full - without
    found = []
    for gene, label in ARMS.items():
        missing = dead(_holding(model, treated, [gene]))
        if gene == "BCL2":
            level = _change(model, gene, treated, options)
            more = Perturbations(overexpress={gene: level})
            alone = dead(plain.joined(Trial(Treatment(perturbations=more))))
        else:
            others = [g for g in model.info.genes if g != gene]
            alone = dead(_holding(model, treated, others))
        found.append(
            Arm(
                context=model.context or model_files.BASE,
                arm=label,
                without=without,
                with_inhibitor=full,
                alone=(alone - without) / effect if effect else math.nan,
                missing=(missing - without) / effect if effect else math.nan,
            )
        )
    return found


def _holding(model: CompiledModel, trial: Trial, genes: Sequence[str]) -> Trial:
    """Return a trial under which the mRNA of some genes does not change."""
    names = [n for gene in genes for n in _messages(model, model.info.genes[gene])]
    held = Perturbations(clamp=dict.fromkeys(names, "1x"))
    return trial.joined(Trial(Treatment(perturbations=held)))


def _messages(model: CompiledModel, gene: Gene) -> list[str]:
    """Return the free and the RISC-bound mRNA of a gene, where the model has them."""
    forms = (gene.mrna, f"{gene.mrna}_RISC")
    return [name for name in forms if gene.mrna and name in model.state_names]


def _change(
    model: CompiledModel, gene: str, treated: Trial, options: Options | None
) -> float:
    """Return the protein under the inhibitor over the protein without.

    It goes on changing while the cell decides: this is the mean from the time of the
    stimulus, which itself is left out, to the end.

    Parameters
    ----------
    treated : with the inhibitor and the stimulus
    """
    protein = model.info.genes[gene].protein
    only = Trial(replace(treated.treatment, doses=(INHIBITOR,)), end_h=model.info.end_h)
    result = run_trial(model, only, protein, options)
    after = result["time"].values >= treated.last_dose_h
    total = np.sum([result[name].values for name in protein], axis=0)
    return float(total[after].mean() / total[0])


def arm_text(found: Sequence[Arm]) -> str:
    """Return the arms as a table to read."""
    dead = f"cells dead without and with {INHIBITOR.amount:g} nM {INHIBITOR.target}"
    rows = tuple(
        (
            *(a.context, a.arm, f"{a.alone:.0%}", f"{a.missing:.0%}"),
            f"{a.without:.0%} → {a.with_inhibitor:.0%}",
        )
        for a in found
    )
    titles = ("context", "arm", "alone", "missing", dead)
    lines = lines_of(TextTable(titles, rows, frozenset([2, 3])))
    lines.append(
        "alone: share of the effect with this arm only; missing: share left without it"
    )
    return "\n".join(lines)

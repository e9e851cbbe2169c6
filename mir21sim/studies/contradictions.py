"""Contradictions between the parts of a study that need no model to be seen."""

from collections.abc import Collection, Iterator, Sequence

from mir21sim.errors import UnknownNameError
from mir21sim.files import slug
from mir21sim.model.info import unique
from mir21sim.studies.mistakes import Place
from mir21sim.studies.schema import ASSAYS, AssayTable, Study


def contradictions(
    study: Study, doubtful: Collection[Place] = ()
) -> Iterator[tuple[Place, str]]:
    """Yield contradictions between the parts of a study, with their places.

    Parameters
    ----------
    doubtful : places whose entries are not those of the file; none of them is compared
    """
    yield from _twice([s.name for s in study.samples], "samples", "sample")
    yield from _twice([a.title for a in study.assays], "assays", "assay")
    if len(set(study.times)) < len(study.times):
        yield ("times",), "a time stands twice."
    unsure = {place[0] for place in doubtful if place}
    unnamed = any(
        place[0] == "samples" and place[2:] in ((), ("name",)) for place in doubtful
    )
    if "times" not in unsure:
        yield from _late_doses(study)
    for k, table in enumerate(study.assays):
        if {("assays",), ("assays", k), ("assays", k, "kind")} & set(doubtful):
            continue
        yield from _replicates(study, table, k)
        if not unnamed:
            yield from _samples_of(study, table, k)
        if "times" not in unsure:
            yield from _reading_times(study, table, k)
        if "samples" not in unsure:
            yield from _controls(study, table, k)
        if not {"samples", "times"} & unsure:
            yield from _before_doses(study, table, k)


def _twice(names: Sequence[str], key: str, what: str) -> Iterator[tuple[Place, str]]:
    """Yield names that would give files of one name, upper and lower case alike."""
    seen: dict[str, str] = {}
    for k, name in enumerate(names):
        first = seen.setdefault(slug(name).lower(), name)
        if list(map(slug, names[: k + 1])).count(slug(name)) > 1 or first != name:
            called = f"called `{name}`" if first == name else f"`{first}` and `{name}`"
            sentence = (
                f"two {key} are {called}, and files are called after them, in upper "
                f"or lower case; give each {what} a `name` of its own."
            )
            yield (key, k, "name"), sentence


def _late_doses(study: Study) -> Iterator[tuple[Place, str]]:
    last = max(study.times)
    for k, sample in enumerate(study.samples):
        for j, dose in enumerate(sample.doses):
            if dose.time >= last:
                sentence = (
                    f"the dose `{dose}` of `{sample.name}` comes at or after the last "
                    f"of `times` ({last:g} h), so nothing of it could be seen: read "
                    "later, or dose earlier."
                )
                yield ("samples", k, "doses", j), sentence


def _samples_of(study: Study, table: AssayTable, k: int) -> Iterator[tuple[Place, str]]:
    """Yield samples of an assay that the study lacks, or that stand twice."""
    names = [sample.name for sample in study.samples]
    for j, name in enumerate(table.samples):
        if name not in names:
            error = UnknownNameError("sample", name, names)
            yield ("assays", k, "samples", j), str(error)
        if name in table.samples[:j]:
            sentence = f"the sample `{name}` stands twice in `{table.title}`."
            yield ("assays", k, "samples", j), sentence


def _controls(study: Study, table: AssayTable, k: int) -> Iterator[tuple[Place, str]]:
    """Yield controls that are none of an assay's dishes."""
    if set(table.samples) - {sample.name for sample in study.samples}:
        return  # it may be the sample whose name is wrong
    dishes = study.dishes(table.samples)
    known = [dish.name for dish in dishes]
    if isinstance(table, (ASSAYS["caspase"], ASSAYS["viability"])):
        known += [dish.group for dish in dishes]  # first of its doses
    for role in ("control", "positive"):
        wanted = getattr(table, role, None)
        if wanted is not None and wanted not in known:
            error = UnknownNameError(
                f"{role} of `{table.title}`", wanted, unique(known)
            )
            yield ("assays", k, role), str(error)


def _replicates(study: Study, table: AssayTable, k: int) -> Iterator[tuple[Place, str]]:
    """Yield a test of one replicate."""
    replicates = table.replicates or study.replicates
    if replicates < 2 and study.noise and (table.test or study.test) != "none":
        place: Place = ("assays", k) if table.replicates else ()
        sentence = (
            f"the assay `{table.title}` has 1 replicate, and a test needs 2 or more: "
            'raise `replicates`, or ask for no test (`test = "none"`).'
        )
        yield (*place, "replicates"), sentence


def _reading_times(
    study: Study, table: AssayTable, k: int
) -> Iterator[tuple[Place, str]]:
    """Yield the times at which an assay reads and no cell is kept."""
    for time in _times(table):
        if time not in study.times:
            kept = ", ".join(f"{t:g} h" for t in sorted(study.times))
            sentence = (
                f"the assay `{table.title}` reads at {time:g} h, which is none of the "
                f"study's `times`: {kept}."
            )
            yield ("assays", k), sentence


def _before_doses(
    study: Study, table: AssayTable, k: int
) -> Iterator[tuple[Place, str]]:
    """Yield an assay that is read before anything is given."""
    last = max(_times(table) or study.times)
    dishes = study.dishes(table.samples)
    given = [dose.time for dish in dishes for dose in dish.done.doses]
    if given and last <= min(given):
        sentence = (
            f"the assay `{table.title}` reads at {last:g} h, before anything is "
            f"given (first dose at {min(given):g} h): all samples would be alike."
        )
        yield ("assays", k), sentence


def _times(table: AssayTable) -> tuple[float, ...]:
    """Return when an assay reads, h; () for the last time of the study."""
    time = getattr(table, "time", None)
    return getattr(table, "times", ()) if time is None else (float(time),)

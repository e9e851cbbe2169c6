"""FCS files of flow cytometry, written and read."""

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mir21sim import files
from mir21sim._typing import FloatArray
from mir21sim.assays.cytometer import Tube
from mir21sim.assays.gates import CHANNELS, LABELS
from mir21sim.errors import InputError

#: Note of a reading whose tubes could not be written.
NO_FCS = (
    "No FCS files were written, as they need the extra `flow`: "
    'pip install "mir21sim[flow]".'
)


def can_write_fcs() -> bool:
    """Return whether FCS files can be written."""
    return importlib.util.find_spec("flowio") is not None


def write_fcs(tube: Tube, path: str | Path, spillover: FloatArray) -> Path:
    """Write the events of a tube as an FCS 3.1 file, with the spillover of the beads.

    Raises
    ------
    InputError
        When the extra `flow` is not installed, or the path cannot be written.
    """
    flowio = _flowio()
    path = files.check_writable(path, (".fcs",))
    numbers = ",".join(repr(float(v)) for v in spillover.ravel())
    about = {
        "$CYT": "mir21sim virtual cytometer",
        "$SMNO": _text(tube.sample),
        "$SPILLOVER": f"2,{CHANNELS[2]},{CHANNELS[3]},{numbers}",
    }
    with files.writing(path) as part, part.open("wb") as file:
        flowio.create_fcs(
            file,
            tube.events.astype(np.float32).ravel().tolist(),
            list(CHANNELS),
            list(LABELS),
            about,
        )
    return path


def read_fcs(
    path: str | Path, channels: Sequence[str] = CHANNELS
) -> tuple[FloatArray, FloatArray]:
    """Read events and spillover from an FCS file, of this package or of a cytometer.

    Integers of any width, floats, doubles, either byte order; gain and logarithmic
    amplifiers are taken out as the standard says, so all values are linear.

    Parameters
    ----------
    channels : names in the file of forward and side scatter, Annexin V and PI, e.g.
        ``("FSC-A", "SSC-A", "FL1-A", "FL3-A")``; capitals do not matter

    Returns
    -------
    events : float array, shape (n_event, 4)
    spillover : float array, shape (2, 2); without overlap where the file has none

    Raises
    ------
    InputError
        For a file that is missing, broken, or lacks a channel.
    """
    flowio = _flowio()
    path = Path(path)
    if len(channels) != len(CHANNELS):
        raise InputError(
            "`channels` are the names of forward and side scatter, Annexin V and PI, "
            f"got {len(channels)}."
        )
    if not path.is_file():
        raise InputError(f"The FCS file `{path}` does not exist.")
    try:
        data = _parsed(flowio, path)
        table = _linear(data)
    except Exception as error:  # a broken file breaks in many ways
        raise InputError(
            f"`{path}` is no FCS file, or a broken one ({type(error).__name__}: "
            f"{error}): export it anew."
        ) from error
    _check_whole(data, table, path)
    names = [name.lower() for name in data.pnn_labels]
    for name in channels:
        if names.count(name.lower()) != 1:
            what = "has more than one" if name.lower() in names else "lacks the"
            raise InputError(
                f"`{path}` {what} channel `{name}`; it has "
                f"{', '.join(data.pnn_labels)}. Name the right ones by `channels`."
            )
    events = table[:, [names.index(name.lower()) for name in channels]]
    if not np.isfinite(events).all():
        event = int(np.argmin(np.isfinite(events).all(axis=1)))
        raise InputError(
            f"`{path}`: the event {event + 1} of {len(events)} is not a number; export "
            "the file anew, without values that were not measured."
        )
    return events, _spillover_of(data.text, channels, path)


#: Begins of the data in a HEADER that mean "see TEXT", for files above 100 MB.
_SEE_TEXT = (0, 99_999_999)


def _parsed(flowio: Any, path: Path) -> Any:
    """Return a file with its events, from the offsets that fit their number.

    HEADER and TEXT both hold the offsets of the data. Where they differ, the pair that
    is as long as the events decides; an end that is one byte too far is common.
    """
    with path.open("rb") as file:
        about = flowio.FlowData(file, only_text=True, ignore_offset_discrepancy=True)
    options = {"ignore_offset_error": True}
    if about.version != "2.0":
        options |= _offsets(about.text, about.header)
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the number of events is checked later
        return flowio.FlowData(file, **options)


def _offsets(text: Mapping[str, str], header: Mapping[str, int]) -> dict[str, bool]:
    """Return the options of ``FlowData`` that choose the offsets of HEADER or TEXT."""
    bits = sum(int(text[f"p{k}b"]) for k in range(1, int(text["par"]) + 1))
    size = int(text["tot"]) * bits // 8
    in_text = (int(text["begindata"]), int(text["enddata"]))
    in_header = (header["data_start"], header["data_stop"])
    if in_header[0] in _SEE_TEXT or in_header[0] == in_text[0]:
        return {"ignore_offset_discrepancy": True}
    fits = [b - a + 1 - size in (0, 1) for a, b in (in_text, in_header)]
    if sum(fits) == 1:
        return {"ignore_offset_discrepancy": True, "use_header_offsets": fits[1]}
    return {}  # both or none fit: FlowData refuses the file


def _linear(data: Any) -> FloatArray:
    """Return the events on linear scales, float array (n_event, n_channel).

    A logarithmic amplifier ($PnE) is taken out of integers only: by the standard
    (FCS 3.1, section 3.2.20) floats are linear, whatever $PnE says.
    """
    if str(data.data_type).upper() == "I":
        return np.asarray(data.as_array(), dtype=float)
    table = np.asarray(data.as_array(preprocess=False), dtype=float)
    gains = [data.channels[k]["png"] or 1.0 for k in sorted(data.channels)]
    linear: FloatArray = table / np.array(gains, dtype=float)
    return linear


def _check_whole(data: Any, table: FloatArray, path: Path) -> None:
    """Stop where a file is no list of events, or holds fewer than it says."""
    if data.text.get("mode", "L").upper() != "L":
        raise InputError(
            f"`{path}` holds histograms ($MODE {data.text['mode']}) and no list of "
            "events; export it in list mode."
        )
    said = data.text.get("tot", "").strip()
    if said.isdecimal() and int(said) != len(table):
        raise InputError(
            f"`{path}` is broken: it says it has {int(said)} events and holds "
            f"{len(table)}; export it anew."
        )


def _spillover_of(
    text: Mapping[str, str], channels: Sequence[str], path: Path
) -> FloatArray:
    """Return the matrix of a file's $SPILLOVER keyword."""
    entry = text.get("spillover", text.get("spill", "")).strip()
    if not entry or entry.upper() == "UNDEF":
        return np.eye(2)
    words = [word.strip() for word in entry.split(",")]
    dyes = [name.lower() for name in channels[2:]]
    try:
        n = int(words[0])
        names = [word.lower() for word in words[1 : n + 1]]
        matrix = np.array([float(w) for w in words[n + 1 :]]).reshape(n, n)
        order = [names.index(name) for name in dyes]
    except ValueError as error:
        raise InputError(
            f"`{path}`: $SPILLOVER must hold a matrix of {channels[2]} and "
            f"{channels[3]}, got `{entry[:80]}`."
        ) from error
    found: FloatArray = matrix[np.ix_(order, order)]
    if not (np.isfinite(found).all() and abs(np.linalg.det(found)) > _LEAST_DET):
        raise InputError(
            f"`{path}`: $SPILLOVER of {channels[2]} and {channels[3]} cannot be "
            f"inverted, so nothing can be compensated: `{entry[:80]}`."
        )
    return found


_LEAST_DET = 1e-6
"""Determinant of a spillover matrix whose dyes cannot be told apart."""


def _flowio() -> Any:
    try:
        import flowio
    except ImportError as error:
        raise InputError(
            'FCS files need the extra `flow`: pip install "mir21sim[flow]".'
        ) from error
    return flowio


def _text(value: str) -> str:
    """Return text that an FCS keyword can hold; its own delimiter is a slash."""
    return value.replace("/", "|") or "sample"

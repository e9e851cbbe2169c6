"""Files of strangers → text that a parser may be given, in bounded time.

libSBML and Antimony recurse, expand entities and follow imports. Dangerous text is
refused here, before either sees it.
"""

import codecs
import re
from pathlib import Path
from xml.parsers import expat

from mir21sim.errors import InputError, ModelError

MAX_BYTES = 20_000_000
"""Larger files are refused: the largest kinetic models published are a tenth of it."""

MAX_XML_DEPTH = 1000
"""Elements may nest this deep; libSBML recurses into each, without a limit."""

MAX_MATH_ELEMENTS = 60_000
"""XML elements in one formula; libSBML ends the process somewhere above 100 000."""

_ENCODINGS = {"utf-8", "utf-16", "iso8859-1", "cp1252", "ascii"}
_DECLARATION = re.compile(
    r"""\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']([\w.:-]+)["'][^>]*?\?>"""
)
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ANTIMONY_QUOTED = re.compile(
    r'"[^"\n]*"|`[^`]*`|//[^\n]*|\#[^\n]*|/\*.*?\*/', re.DOTALL
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_ANTIMONY_IMPORT = re.compile(r'\bimport\s*"')


_SUBMODELS = "http://www.sbml.org/sbml/level3/version1/comp/"


def is_hierarchical(text: str) -> bool:
    """Return whether SBML text has submodels (package comp)."""
    return _SUBMODELS in text


def read_model_file(path: Path) -> str:
    """Return the text of a model file.

    An encoding other than UTF-8 is taken from the byte order mark or the XML
    declaration; the text returned declares none.

    Raises
    ------
    InputError
        For a file that cannot be read or is larger than ``MAX_BYTES``.
    ModelError
        For bytes that are no text.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(
                f"The model file `{path}` has {size / 1e6:.0f} MB; at most "
                f"{MAX_BYTES / 1e6:.0f} MB are read. Leave out what is not simulated, "
                "such as layout and annotations."
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The model file `{path}` cannot be read: {error.strerror}."
        ) from error
    return decode(data, path.name)


def decode(data: bytes, name: str) -> str:
    """Return bytes as text, see ``read_model_file``.

    Raises
    ------
    ModelError
        For an encoding that is not known, bytes that are not of it, and characters
        that no text has.
    """
    encoding = next(
        (known for mark, known in _BYTE_ORDER_MARKS if data.startswith(mark)), ""
    )
    declared = _DECLARATION.match(data[:200].decode("latin-1"))
    if not encoding:
        encoding = declared[1] if declared else "utf-8"
    try:
        codec = codecs.lookup(encoding).name
    except LookupError:
        codec = ""
    if codec not in _ENCODINGS | {"utf-8-sig"}:
        raise ModelError(
            f"{name} declares the encoding `{encoding}`; write it as UTF-8 instead."
        )
    try:
        text = data.decode(codec)
    except UnicodeDecodeError as error:
        raise ModelError(
            f"{name} is not text in {codec.upper()}: byte {error.start} is "
            f"0x{data[error.start]:02x}; a model file is plain text."
        ) from error
    stop_on_control_characters(text, name)
    # Text decoded by now is given to a parser as UTF-8, whatever it was in the file.
    mark = _DECLARATION.match(text[:200])
    return text[mark.end() :].lstrip() if mark else text


def stop_on_control_characters(text: str, name: str) -> None:
    """Raise for a character that no text has, such as NUL: parsers stop short at it."""
    found = _CONTROL.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise ModelError(
            f"{name}, line {line}: the character U+{ord(found[0]):04X} is not allowed "
            "in a model; is this a text file?"
        )


def stop_on_hostile_xml(text: str, name: str) -> None:
    """Raise for XML that is malformed, declares entities or nests too deep.

    Raises
    ------
    ModelError
        With the line at which it stands.
    """
    stop_on_control_characters(text, name)
    parser = expat.ParserCreate("utf-8")
    watch = _Watch(parser, name)
    parser.StartElementHandler, parser.EndElementHandler = watch.enter, watch.leave
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = watch.refuse
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        words = expat.ErrorString(error.code)
        raise ModelError(
            f"{name} is not valid SBML: line {error.lineno}: {words}."
        ) from error


class _Watch:
    """Counts elements while expat reads, and stops it where libSBML would fail."""

    def __init__(self, parser: expat.XMLParserType, name: str) -> None:
        self.parser, self.name = parser, name
        self.level = 0
        self.formula_level = 0  # of the formula that is open, 0 for none
        self.formula_size = 0

    def enter(self, tag: str, _: object) -> None:
        """Count an element."""
        self.level += 1
        if self.level > MAX_XML_DEPTH:
            self.stop(f"nests XML elements deeper than {MAX_XML_DEPTH} levels")
        if not self.formula_level and tag.rpartition(":")[2] == "math":
            self.formula_level, self.formula_size = self.level, 0
        self.formula_size += 1
        if self.formula_level and self.formula_size > MAX_MATH_ELEMENTS:
            self.stop(f"has a formula of more than {MAX_MATH_ELEMENTS} elements")

    def leave(self, _: object) -> None:
        """Close an element."""
        if self.level == self.formula_level:
            self.formula_level = 0
        self.level -= 1

    def refuse(self, *_: object) -> None:
        """Stop at a document type or an entity."""
        self.stop("declares XML entities or a document type", "a model never needs any")

    def stop(
        self, what: str, remedy: str = "split the formula by assignment rules"
    ) -> None:
        """Raise with the line that is being read."""
        line = self.parser.CurrentLineNumber
        raise ModelError(f"{self.name} {what}, line {line}; {remedy}.")


def stop_on_hostile_antimony(text: str, name: str) -> None:
    """Raise for Antimony that imports files, or has names that it cannot hold.

    Raises
    ------
    ModelError
        With the line at which it stands.
    """
    stop_on_control_characters(text, name)
    bare = _ANTIMONY_QUOTED.sub(_blank, text)
    if not bare.strip():
        raise ModelError(f"{name} holds no Antimony model: it is empty.")
    found = _ANTIMONY_IMPORT.search(bare)
    if found:
        line = bare.count("\n", 0, found.start()) + 1
        raise ModelError(
            f"{name}, line {line}: a model must be one file; put the text of the "
            "imported file in its place."
        )
    found = _NOT_ASCII.search(bare)
    if found:
        line = bare.count("\n", 0, found.start()) + 1
        raise ModelError(
            f"{name}, line {line}: `{found[0]}` is not allowed in a name or formula, "
            "which are of letters a to z, digits and `_`; texts in quotes may have it."
        )


def _blank(quoted: re.Match[str]) -> str:
    """Return the replacement of a comment or quoted text: its quotes and lines."""
    lines = "\n" * quoted[0].count("\n")
    return f'"{lines}"' if quoted[0].startswith('"') else f" {lines}"

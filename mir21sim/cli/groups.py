"""Groups of options: one dataclass stands for several options of a command."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose dataclass parameters are expanded into options.

    Each field of the dataclass becomes one parameter of the command, with the type,
    the ``typer.Option`` and the default of the field. So options that several commands
    share are declared once. A field may be another such dataclass.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            groups[parameter.name] = kind
            parameters += _fields(kind)
        else:
            parameters.append(
                parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=kind)
            )

    @functools.wraps(command)
    def call(**given: Any) -> None:
        made = {name: _made(kind, given) for name, kind in groups.items()}
        command(**given, **made)

    del call.__wrapped__  # Typer would read the signature of the inner function
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def _fields(kind: type) -> list[inspect.Parameter]:
    """Return one keyword parameter for each option of a group."""
    hints = get_type_hints(kind, include_extras=True)
    found: list[inspect.Parameter] = []
    for field in dataclasses.fields(kind):
        inner = hints[field.name]
        if dataclasses.is_dataclass(inner) and isinstance(inner, type):
            found += _fields(inner)
        else:
            found.append(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=field.default,
                    annotation=inner,
                )
            )
    return found


def _made(kind: type, given: dict[str, Any]) -> Any:
    """Return a group from the values of its options, which are taken out of `given`."""
    hints = get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):
        inner = hints[field.name]
        nested = dataclasses.is_dataclass(inner) and isinstance(inner, type)
        values[field.name] = _made(inner, given) if nested else given.pop(field.name)
    return kind(**values)

"""Where a value of the parameters is from: a preset, what lies under it, a further file, the command line, a base."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from seedbed.errors import ParameterError, unknown_name
from seedbed.params.inheritance import LIKE, bases, preset_chain
from seedbed.params.load import override, read_params
from seedbed.params.merging import merge
from seedbed.params.preset import NAMED, Preset

DEFAULT = "default"
Layer = tuple[str, Mapping[str, Any]]


class Value(NamedTuple):
    """One value: its path with dots, and where it is from, such as ``like exvit: command line``."""

    path: str
    value: Any
    origin: str


def layers(preset: str, files: Sequence[str], given: Mapping[str, Any]) -> list[Layer]:
    """Return everything that makes a preset, the lowest first: where it is from, and what it gives, as a preset does.

    Args:
        preset: name of the preset.
        files: parameter files, params.yaml first.
        given: the command line's overrides.
    """
    contents = {file: read_params(file) for file in files}
    found = [(_place(files, file, "common"), content.get("common") or {}) for file, content in contents.items()]
    every: dict[str, Any] = {}
    for content in contents.values():
        every = merge(every, content.get("presets") or {})
    for name in preset_chain(every, preset):
        for file, content in contents.items():
            within = (content.get("presets") or {}).get(name) or {}
            given_here = {key: value for key, value in within.items() if key != LIKE}
            found.append((_place(files, file, f"presets.{name}"), given_here))
    values: dict[str, Any] = {}
    for _, layer in found:
        values = merge(values, layer)
    everything: list[Layer] = [*contents.items(), ("command line", given)]
    for place, extra in everything:
        for key, value in extra.items():
            changes = override(key, value, values)
            values = merge(values, changes)
            found.append((place, changes))
    return [(place, layer) for place, layer in found if layer]


def values_of(path: str | None, preset: Preset, layers: Sequence[Layer]) -> list[Value]:
    """Return every value at or below a path such as ``models.exvit_dis``, in the schema's order.

    Raises:
        ParameterError: there is no path, or it leads nowhere; with the nearest match.
    """
    if not path:
        raise ParameterError("of: say of what, an entry, a section or one value: --config of=models.exvit_dis")
    found: Any = preset.plain()
    parts = path.split(".")
    for depth, part in enumerate(parts):
        known = found if isinstance(found, Mapping) else {}
        if part not in known:
            place = ".".join(parts[:depth]) or "the preset"
            raise ParameterError(f"{path}: {unknown_name(f'key of {place}', part, known)}")
        found = known[part]
    written: dict[str, Any] = {}
    for place, layer in layers:
        written = merge(written, _marked(layer, place))
    return [Value(".".join(leaf), value, _origin(leaf, written)) for leaf, value in _leaves(found, tuple(parts))]


def lines_of(values: Sequence[Value]) -> list[str]:
    """One line a value: its path, the value, and where it is from."""
    told = [f"{value.path}: {json.dumps(value.value, ensure_ascii=False)}" for value in values]
    width = min(80, max(map(len, told), default=0))
    return [f"{text:{width}}  # {value.origin}" for text, value in zip(told, values, strict=True)]


def _place(files: Sequence[str], file: str, section: str) -> str:
    return section if file == files[0] else f"{file}: {section}"


def _marked(values: Any, place: str) -> Any:
    """A layer with its place instead of its values; bases keep their names."""
    if not isinstance(values, Mapping):
        return place
    return {key: value if key == LIKE else _marked(value, place) for key, value in values.items()}


def _origin(leaf: tuple[str, ...], written: Mapping[str, Any]) -> str:
    entries = written.get(leaf[0]) or {}
    own = _written(leaf, written)
    if own or leaf[0] not in NAMED or leaf[1] not in entries:
        return own or DEFAULT
    for base in bases(entries, leaf[1], leaf[0]):
        inherited = _written((leaf[0], base, *leaf[2:]), written)
        if inherited:
            return f"like {base}: {inherited}"
    return DEFAULT


def _written(leaf: Sequence[str], written: Any) -> str | None:
    """The place that gives a value, or all that is around it."""
    for part in leaf:
        if not isinstance(written, Mapping):
            break
        written = written.get(part)
    return written if isinstance(written, str) else None


def _leaves(values: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from _leaves(value, (*path, str(key)))
    else:
        yield path, values

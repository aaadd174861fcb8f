"""params.yaml, the command line's overrides and what variants inherit become one checked preset."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from seedbed.errors import ParameterError, unknown_name
from seedbed.params.base import expanded, without_braces
from seedbed.params.inheritance import LIKE, bases, inherit, preset_chain
from seedbed.params.merging import merge
from seedbed.params.mistakes import known_keys, mistakes
from seedbed.params.preset import NAMED, Preset
from seedbed.params.samples import sample_values

RESERVED = (
    *("preset", "own_preset", "dataset", "dataset_name", "longest_side", "common", "presets", "sources", "gres"),
    *("container", "of", "plan", "job"),
    *("device", "rates"),  # of forecasts
    *("image", "model", "on", "methods"),  # of the target explain_image
    *("masks", "split"),  # of the target score_masks
    "samples",  # of the target evidence
)
OWN_DATA = "own"
_SEPARATOR = "__"


def read_params(path: str | Path) -> dict[str, Any]:
    """Read params.yaml as plain values.

    Raises:
        ParameterError: the file is missing or not YAML.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParameterError(f"{path}: no such parameter file.") from None
    except yaml.YAMLError as error:
        raise ParameterError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ParameterError(f"{path}: must hold a mapping of parameters.")
    return content


def resolve(config: Mapping[str, Any]) -> Preset:
    """Return the chosen preset: ``common`` under it, the command line's overrides over it.

    Args:
        config: content of params.yaml, plus overrides as further top-level keys. An override names a parameter of the
            preset by its path with ``__`` between the parts (``models__vit_hybrid__train__epochs``), or gives a nested
            mapping. ``preset`` chooses the preset, ``dataset`` the folder of your own images, ``samples`` that of real
            photographs to measure on, and the name of a published data set (``imagenet``) the folder where it already
            lies. ``seeds`` hold for every table, whatever ``table_seeds`` the preset has.

    Raises:
        ParameterError: a key is unknown or ill-typed, or a name refers to nothing; with the nearest match.
    """
    presets = config.get("presets") or {}
    name = config.get("preset")
    if name not in presets:
        raise ParameterError(f"preset: {unknown_name('preset', str(name), presets)}")
    values = config.get("common") or {}
    for layer in preset_chain(presets, str(name)):
        if not isinstance(presets[layer], Mapping):
            raise ParameterError(f"presets.{layer}: must hold a mapping of parameters (it is {presets[layer]!r}).")
        values = merge(values, presets[layer])
    values.pop(LIKE, None)
    if config.get("samples"):
        values = merge(values, sample_values(user_path(config["samples"]), str(name), values.get("stand_ins") or {}))
    for key, given in config.items():
        values = merge(values, override(key, given, values))
    written = values
    values = inherit(values, NAMED, f"presets.{name}")
    if "seeds" in config and "table_seeds" not in config:
        values.pop("table_seeds", None)  # whoever asks for seeds means every table
    if "name" in values:
        raise ParameterError(f"name: the preset is named by its key, '{name}'; take 'name' out.")
    values["name"] = name
    if config.get("dataset") and not names_data_set(config, values.get("datasets") or {}):
        folder = _own_folder(config["dataset"], values.get("datasets") or {} if config.get("masks") else ())
        name_of_data = own_name(folder["path"], config.get("dataset_name"))
        side = {"longest_side": config["longest_side"]} if config.get("longest_side") is not None else {}
        values = merge(values, {"datasets": {name_of_data: {**folder, **side}}})
    try:
        preset = Preset.model_validate(values)
    except ValidationError as error:
        raise ParameterError(_explain(error, str(name), values, written)) from None
    preset.check_references()
    if preset.replaced_datasets():
        preset = preset.model_copy(update={"comparable": False})
    return preset.with_checkpoints()


def override(key: str, given: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a further top-level key of the configuration changes, in the preset's own shape; see `resolve`.

    Args:
        key, given: the key and its value.
        values: the preset's values so far.

    Raises:
        ParameterError: the key leads nowhere; with the nearest match.
    """
    value = _typed(given) if isinstance(given, Mapping | list) or given == "null" else given
    if key in (values.get("datasets") or {}) and isinstance(value, str):
        return {"datasets": {key: {"path": value}}}
    return {} if key in RESERVED else _nested(key, value, values)


def names_data_set(config: Mapping[str, Any], datasets: Mapping[str, Any]) -> bool:
    """Whether ``dataset`` is the name of a data set of the preset, on which masks are scored, and not a folder."""
    return bool(config.get("masks")) and config.get("dataset") in datasets


def own_name(path: object, given: object = None) -> str:
    """The data set name of a folder of your own images: after the folder, or after a name that is given."""
    stem = str(given) if given else user_path(path).resolve().name
    return f"{OWN_DATA}_" + "".join(char if char.isalnum() or char in "-_" else "-" for char in stem)


def input_path(given: object) -> Path:
    """A path of the command line that becomes an input of a rule; see `user_path`.

    Raises:
        ParameterError: it holds a brace.
    """
    try:
        return Path(without_braces(str(user_path(given))))
    except ValueError as error:
        raise ParameterError(f"{error}.") from None


def user_path(given: object) -> Path:
    """A path of the command line, ``~`` replaced: in quotes no shell does it. A folder named 2012 may come as a number.

    Raises:
        ParameterError: ``~name`` is nobody's.
    """
    try:
        return Path(expanded(str(given)))
    except ValueError as error:
        raise ParameterError(f"{error}.") from None


def _typed(value: Any) -> Any:
    """Null, and numbers and booleans inside an override's mapping or list: the command line hands them over as text."""
    if isinstance(value, Mapping):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return yaml.safe_load(value) if isinstance(value, str) else value


def _own_folder(given: Any, known: Iterable[str] = ()) -> dict[str, str]:
    path = user_path(given)
    if not path.is_dir():
        names = f" Or a data set of the preset: {', '.join(sorted(known))}." if known else ""
        raise ParameterError(f"dataset: '{given}' is not a folder. Give the folder of your own images.{names}")
    return {"kind": "folder", "path": str(path.resolve())}


def _nested(key: str, value: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn ``a__b: value`` into ``{a: {b: value}}`` after checking that the path exists down to its last part."""
    parts = key.split(_SEPARATOR)
    if len(parts) == 1 and key not in Preset.model_fields:
        raise ParameterError(f"{key}: {unknown_name('parameter', key, [*RESERVED, *Preset.model_fields])}")
    known: Any = _with_inherited(values) if len(parts) > 1 else values
    for depth, part in enumerate(parts[:-1]):
        names = {*known_keys(parts[:depth], Preset, values), *(known if isinstance(known, Mapping) else ())}
        if part not in names:
            place = ".".join(parts[:depth]) or "the preset"
            raise ParameterError(f"{key}: {unknown_name(f'key of {place}', part, names)}")
        known = known.get(part) if isinstance(known, Mapping) else None
    for part in reversed(parts):
        value = {part: value}
    return value


def _with_inherited(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Values that show what variants have from their bases; a base that is wrong is told once all is merged."""
    try:
        return inherit(values, NAMED, "")
    except ParameterError:
        return values


def _explain(error: ValidationError, preset: str, values: Mapping[str, Any], written: Mapping[str, Any]) -> str:
    """One line a problem: the key, what is wrong, and the nearest known key where one is unknown.

    What a variant has from its base (``written`` has both as they stand in the file) is said of the base alone.
    """
    found = mistakes(error, Preset, values)
    paths = [path for path, _ in found]
    lines = [
        f"{'.'.join(['presets', preset, *map(str, path)])}: {text}"
        for path, text in found
        if not any((path[0], base, *path[2:]) in paths for base in _bases(path, written))
    ]
    return "params.yaml does not fit:\n  " + "\n  ".join(lines)


def _bases(path: Sequence[Any], written: Mapping[str, Any]) -> list[str]:
    entries = written.get(path[0]) if len(path) > 1 and path[0] in NAMED else None
    return bases(entries, path[1], "") if entries and path[1] in entries else []  # your own data set stands in no file

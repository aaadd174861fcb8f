"""Variants: an entry that names another one of its section as ``like``, and says only what is different.

    exvit_dis: {like: exvit, options: {head: cam}, train: {loss_options: {losses: [dis]}}}

Bases are merged under their variants last of all: whatever changes a base (a preset, a further file, the command line)
reaches every variant of it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from seedbed.errors import ParameterError, unknown_name
from seedbed.params.merging import merge

LIKE = "like"
_OWN = ("checkpoint",)
"""What a variant never has from its base: weights that somebody trained are those of one network."""


def inherit(values: Mapping[str, Any], sections: Iterable[str], where: str) -> dict[str, Any]:
    """Return ``values`` with every variant merged over its base, and no ``like`` left.

    Args:
        values: section -> name -> entry.
        sections: those whose entries may be variants.
        where: what an error's key starts with, such as ``presets.demo``.

    Raises:
        ParameterError: a base is unknown or not a name, or entries are like each other in a circle; naming the key.
    """
    found = dict(values)
    for section in sections:
        entries = found.get(section)
        if isinstance(entries, Mapping):
            found[section] = {name: _merged(entries, name, f"{where}.{section}") for name in entries}
    return found


def preset_chain(presets: Mapping[str, Any], name: str) -> list[str]:
    """Names of the presets that are laid over each other for one, the lowest first: a preset may be like another.

    Raises:
        ParameterError: as `inherit`.
    """
    return [*reversed(bases(presets, name, "presets")), name]


def bases(entries: Mapping[str, Any], name: str, where: str) -> list[str]:
    """Names that an entry builds on, the nearest first; empty for an entry of its own.

    Raises:
        ParameterError: as `inherit`.
    """
    chain = [name]
    while isinstance(entries[chain[-1]], Mapping) and LIKE in entries[chain[-1]]:
        key, base = f"{where}.{chain[-1]}.{LIKE}", entries[chain[-1]][LIKE]
        if not isinstance(base, str):
            raise ParameterError(f"{key}: must be the name of another entry of the section (it is {base!r}).")
        if base not in entries:
            raise ParameterError(f"{key}: {unknown_name('entry of the section', base, set(entries) - {chain[-1]})}")
        if base in chain:
            circle = " is like ".join([*chain[chain.index(base) :], base])
            raise ParameterError(f"{key}: {circle}. Give one of them values of its own instead of `{LIKE}`.")
        chain.append(base)
    return chain[1:]


def _merged(entries: Mapping[str, Any], name: str, where: str) -> Any:
    chain = [name, *bases(entries, name, where)]
    if len(chain) == 1:
        return entries[name]
    merged: dict[str, Any] = {}
    for layer in reversed(chain):
        if not isinstance(entries[layer], Mapping):
            return entries[layer]  # the schema refuses it
        merged = merge(_handed_down(merged), entries[layer])
    merged.pop(LIKE)
    return merged


def _handed_down(base: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in base.items() if key not in _OWN}

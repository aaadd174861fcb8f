"""What work that was begun belongs to: what decides its result, and what may change before it is finished.

Two things are kept beside unfinished work (a training's resume state, the finished images of a shard):

- its *fingerprint*: code, data, parameters that enter, contents of the inputs, seed. Where one of these differs, the
  result would be another one, and the work is not continued.
- its *circumstances*: device and versions of the libraries. They change the last digits at most, so the work goes on,
  and the record of the artifact names all of them.

Neither holds a path, a file's name or the version of this project.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

_NO_VALUES = frozenset({"state", "code"})  # parameters of a rule that tell where something lies, or stand for the code
_ALWAYS = ("precision",)  # of a rule, beside what a network's section says
_SHOWN = 6


def fingerprint(
    record: Mapping[str, Any], parameters: Mapping[str, Any] | None = None, **inputs: Any
) -> dict[str, Any]:
    """What decides a job's result, from the record that `seedbed.io.provenance.provenance` gives.

    Args:
        record: the job's record.
        parameters: those that enter; None for all of the record's. Trainings add what enters of a network's section
            themselves.
        inputs: checksums of the contents of each input.
    """
    given = record["parameters"]
    always = {key: given[key] for key in _ALWAYS if key in given}
    entering = given if parameters is None else {**parameters, **always}
    return {
        "code": record["code"]["sha256"],
        "data": record["data_sha256"],
        "seed": record["seed"],
        "parameters": {key: value for key, value in entering.items() if key not in _NO_VALUES},
        "inputs": inputs,
    }


def circumstances(record: Mapping[str, Any]) -> dict[str, Any]:
    """What may change before work is finished: device and libraries, from a job's record."""
    return {"device": record["device"], "libraries": record["libraries"]}


def with_changes(record: Mapping[str, Any], computed_on: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A record that names all circumstances of work that went on under others, as ``computed_on``."""
    return {**record, "computed_on": list(computed_on)} if len(computed_on) > 1 else dict(record)


def changed(computed_on: Sequence[Mapping[str, Any]], now: Mapping[str, Any], start: int) -> list[dict[str, Any]]:
    """The circumstances of some work, with those of now behind them where they differ.

    Args:
        computed_on: circumstances so far, each with ``from``, the step or item it starts at.
        now: circumstances of what follows.
        start: the step or item that comes next.
    """
    before = [dict(part) for part in computed_on]
    if before and not differences(_without_start(before[-1]), now):
        return before
    return [*before, {"from": start, **plain(now)}]


def spelled_change(computed_on: Sequence[Mapping[str, Any]]) -> str:
    """What the last circumstances changed against those before, in words."""
    return spell(differences(_without_start(computed_on[-2]), _without_start(computed_on[-1])))


def differences(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Where two nested values differ: (dotted name, value before, value now); None where one has no such value."""
    before, now = plain(before), plain(now)
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if before == now else [(name, before, now)]
    keys = list(dict.fromkeys([*before, *now]))
    parts = (differences(before.get(key), now.get(key), f"{name}.{key}" if name else key) for key in keys)
    return [found for part in parts for found in part]


def spell(found: Sequence[tuple[str, Any, Any]]) -> str:
    """Name differences with both values, the first few of them."""
    lines = [f"{name}: {_short(before)} before, {_short(now)} now" for name, before, now in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "; ".join([*lines, *more])


def plain(value: Any) -> Any:
    """A value as it is read back from JSON."""
    return json.loads(json.dumps(value, sort_keys=True, default=str))


def short_hash(value: Any) -> str:
    """Twelve hex digits that stand for a nested value in a file's name."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()[:12]


def _without_start(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != "from"}


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:16]}..{text[-4:]}"

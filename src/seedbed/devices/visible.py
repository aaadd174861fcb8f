"""Which GPUs this process may use, without starting CUDA."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from seedbed.errors import UserError

VARIABLE = "CUDA_VISIBLE_DEVICES"
_PATIENCE = 30  # seconds


def visible_devices() -> tuple[str, ...]:
    """Ids of the GPUs that CUDA would show this process, in its order.

    ``CUDA_VISIBLE_DEVICES`` decides where it is set (empty: none; ids after a negative one do not count), else the
    driver's own list.

    Raises:
        UserError: the driver is installed but does not answer.
    """
    given = os.environ.get(VARIABLE)
    if given is None:
        return tuple(_asked_of_driver("index"))
    ids: list[str] = []
    for name in filter(None, (part.strip() for part in given.split(","))):
        if name.startswith("-") or name == "NoDevFiles":
            break
        ids.append(name)
    return tuple(dict.fromkeys(ids))


def wanted_devices(resources: Mapping[str, Any]) -> int:
    """GPUs that a job asks for: its resource ``gpu``, or the count in ``gres`` (``gpu:2``, ``gpu:a100:2``).

    Args:
        resources: the job's, as Snakemake gives them.
    """
    gres = re.search(r"(?:^|,)gpu(?::[^:,]+)*?(?::(\d+))?(?=,|$)", str(resources.get("gres") or ""))
    by_gres = int(gres.group(1) or 1) if gres else 0
    return int(resources.get("gpu") or 0) or by_gres


def lock_names(ids: tuple[str, ...]) -> dict[str, str]:
    """A name for each id that all runs on this machine share: its index where it can be found, else the id itself."""
    if all(name.isdigit() for name in ids):
        return {name: name for name in ids}
    known = [line.split(", ") for line in _asked_of_driver("index,uuid")]
    indices = {name: [index for index, uuid in known if uuid.startswith(name)] for name in ids}
    return {name: found[0] if len(found) == 1 else re.sub(r"\W", "-", name) for name, found in indices.items()}


def gpu_name() -> str | None:
    """What the driver calls the first GPU, None where none answers."""
    answers = _asked_of_driver("name")
    return answers[0] if answers else None


def driver_version() -> str | None:
    """Version of NVIDIA's driver, None where none answers."""
    answers = _asked_of_driver("driver_version")
    return answers[0] if answers else None


def _asked_of_driver(columns: str) -> list[str]:
    """Lines of ``nvidia-smi`` about each GPU; none where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={columns}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{program} did not answer within {_PATIENCE} s. Mend the GPU driver, or name the GPUs to use in "
            f"{VARIABLE} (empty for none)."
        ) from None
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()] if answer.returncode == 0 else []

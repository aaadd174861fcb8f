"""The command line: names as they were typed, and the command that makes one file again, as a page shows it."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from shlex import join
from typing import Any

UNCONCERNED = ("container", "gres", "of", "plan")
"""Settings of a run that change no file."""


NAMES = ("dataset", "dataset_name", "image", "masks", "model", "on", "split", "of")
"""Settings that are names and paths, whatever they look like."""


def names_as_written(
    config: Mapping[str, Any], settings: Iterable[str], parsed: Callable[[list[str]], Mapping[str, Any]]
) -> dict[str, Any]:
    """The configuration with names as they were typed: the folder ``007`` is not 7, nor ``{a}`` a mapping.

    Args:
        config: what Snakemake made of them.
        settings: what was given behind ``--config``, as ``key=value``.
        parsed: how Snakemake reads such settings; one that something else replaced stays as it is.
    """
    written = dict(config)
    for setting in settings:
        name, _, value = setting.partition("=")
        if name in NAMES and value and config.get(name) == parsed([setting])[name]:
            written[name] = value
    return written


def file_command(settings: Iterable[str], files: Iterable[Path], project: Path) -> str:
    """What makes a file in the project's folder when its path is put behind it; the same wherever that folder lies.

    Args:
        settings: what was given behind ``--config``, as ``key=value``.
        files: what was given behind ``--configfile``; one outside the project is named without its folder.
        project: the project's folder.
    """
    kept = [setting for setting in settings if setting.partition("=")[0] not in UNCONCERNED]
    named = [
        path.relative_to(project).as_posix() if path.is_relative_to(project) else path.name
        for path in (file.resolve() for file in files)
    ]
    options = [*(["--configfile", *named] if named else []), *(["--config", *kept] if kept else [])]
    return join(["snakemake", "--cores", "all", *options, "--"])

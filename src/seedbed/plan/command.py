"""The command that makes one file again, as a page shows it."""

from collections.abc import Iterable
from pathlib import Path
from shlex import join

UNCONCERNED = ("container", "gres", "of", "plan")
"""Settings of a run that change no file."""


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

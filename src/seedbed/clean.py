"""`make clean`: delete what the pipeline makes again without loss, say what is left, and why.

Standard library and `seedbed.io` only, so that it runs without the environment.
"""

import csv
import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seedbed.errors import UserError
from seedbed.io.filelock import Lock, lock
from seedbed.io.provenance import file_sha256

OWN, DRAWN = "your own", "(made by this project's own generator)"
"""Licences on the cards of your own images, and of those that are drawn here."""
OF_A_DATASET = ("index.csv", "card.json", "croissant.json", "classes.txt", "sources.json", "source")
NETWORKS = ("model.safetensors", "resume.pt")
_LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}\.part$")  # of a writer that was killed, see `seedbed.io.atomic`
QUICK = "demo"
"""The preset whose networks train in minutes."""


@dataclass
class Sweep:
    """Files to delete, and what is left of where they lie.

    Attributes:
        root: the project's folder.
        files: to delete.
        left: what is not deleted -> why.
        hours: networks and resume states among the files that hours of training may have made.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    left: dict[Path, str] = field(default_factory=dict)
    hours: list[Path] = field(default_factory=list)

    def describe(self) -> Iterator[str]:
        """What would be deleted, and what is left, in lines."""
        size = sum(path.lstat().st_size for path in self.files)
        yield f"to delete: {len(self.files)} files, {size / 1e9:.2f} GB, which are made here"
        if self.hours:
            states = sum(path.name == "resume.pt" for path in self.hours)
            yield (
                f"Among them {len(self.hours) - states} networks and {states} states of trainings that have not ended, "
                "which may take hours to make again:"
            )
            yield from sorted({f"  {path.parent}" for path in self.hours})
        for path, why in self.left.items():
            yield f"left: {path} ({why})"

    def delete(self) -> None:
        """Delete the files, and the folders that are empty then."""
        for path in self.files:
            path.unlink(missing_ok=True)
        parents = {parent for path in self.files for parent in path.relative_to(self.root).parents if parent.parts}
        for folder in sorted((self.root / parent for parent in parents), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def plan(root: Path) -> Sweep:
    """What `make clean` deletes in the project's folder ``root``, and what it leaves."""
    sweep = Sweep(root)
    _results(root / "results", sweep)
    for folder in sorted((root / "data").glob("*")):
        if folder.is_dir():
            _data(folder, root, sweep)
    return sweep


def _results(results: Path, sweep: Sweep) -> None:
    for path in _files(results):
        if path.relative_to(results).parts[0].startswith(("mlflow.", "mlartifacts")):
            sweep.left[results / "mlflow.db"] = "the history of your runs in MLflow, with mlartifacts/"
        elif (waiting := _waits(path, results)) is not None:
            sweep.left[waiting] = "not sent to MLflow yet: make ui sends it"
        else:
            sweep.files.append(path)
            if path.name in NETWORKS and (path.name == "resume.pt" or path.relative_to(results).parts[0] != QUICK):
                sweep.hours.append(path)


def _waits(path: Path, results: Path) -> Path | None:
    """The record that waits to be sent and that a file belongs to; None if it belongs to none."""
    parts = path.relative_to(results).parts
    if "tracking" not in parts:
        return None
    for parent in path.parents:
        if parent.parent.name == "waiting":
            return parent
    try:
        pending = path.suffix == ".json" and json.loads(path.read_text(encoding="utf-8")).get("status") == "pending"
    except (ValueError, AttributeError):
        return None
    return path if pending else None


def _data(folder: Path, root: Path, sweep: Sweep) -> None:
    if folder.is_symlink():
        sweep.left[folder] = "a link of yours"
    elif folder.name == "archives":
        sweep.left[folder] = "published files, which may never come again"
    elif folder.name == "weights":
        _weights(folder, root / "pretrained", sweep)
    elif (card := _card(folder)) is not None:
        _made(folder, card, sweep)
    else:
        sweep.left[folder] = "a published data set, or a folder of yours"


def _card(folder: Path) -> dict | None:
    """The card of a data set that is drawn here, or that indexes your own images; None if the folder is none."""
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        return card if card["licence"] == OWN or card["licence"].endswith(DRAWN) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _made(folder: Path, card: dict, sweep: Sweep) -> None:
    """Delete what is drawn in a data set's folder, or the index, card and painted masks of your own images."""
    source = sweep.root / card["origin"].get("path", "..")
    if card["licence"] != OWN:
        made = {path for path in _files(folder) if path.is_relative_to(folder / "VOCdevkit")}
    elif source.resolve().is_relative_to(folder.resolve()):
        sweep.left[folder] = "your own images"
        return
    else:
        made = _painted(folder)
    _divide(folder, made | {folder / name for name in OF_A_DATASET}, "not made here", sweep)


def _painted(folder: Path) -> set[Path]:
    """Masks inside a data set's folder that its index names."""
    if not (folder / "index.csv").is_file():
        return set()
    with (folder / "index.csv").open(newline="", encoding="utf-8") as stream:
        named = {folder / row["mask"] for row in csv.DictReader(stream) if row.get("mask")}
    return {path for path in named if path.resolve().is_relative_to(folder.resolve())}


def _weights(folder: Path, shipped: Path, sweep: Sweep) -> None:
    made = {
        path
        for path in folder.glob("*.safetensors")
        if (shipped / path.name).is_file() and file_sha256(path) == file_sha256(shipped / path.name)
    }
    _divide(folder, made, "fetched or yours", sweep)


def _divide(folder: Path, made: set[Path], why: str, sweep: Sweep) -> None:
    rest = 0
    for path in _files(folder):
        if path in made or _LEFTOVER.match(path.relative_to(folder).parts[0]):
            sweep.files.append(path)
        else:
            rest += 1
    if rest:
        sweep.left[folder] = f"{rest} files, {why}"


def _files(folder: Path) -> Iterator[Path]:
    """Files and links below a folder; links are not followed."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() and not folder.is_symlink() else ():
        if path.is_symlink() or not path.is_dir():
            yield path


def main(root: Path, agreed: bool) -> None:
    """Say what is deleted and left, ask where hours are at stake, and delete.

    Raises:
        UserError: a run is at work, or hours are at stake and nobody can be asked.
    """
    (root / ".snakemake").mkdir(exist_ok=True)
    with (root / ".snakemake/alive.lock").open("a") as alive:
        if lock(alive, wait=False) is Lock.BUSY:
            raise UserError("a run is at work in this folder. Wait for it, or end it; nothing was deleted.")
        sweep = plan(root)
        print(*sweep.describe(), sep="\n")
        if sweep.hours and not agreed:
            if not sys.stdin.isatty():
                raise UserError("nothing was deleted. Say that you mean it: make clean YES=1")
            if input("Delete them? [y/N] ").strip().lower() not in ("y", "yes"):
                raise UserError("nothing was deleted.")
        sweep.delete()
        shutil.rmtree(root / ".snakemake")


if __name__ == "__main__":
    try:
        main(Path(), agreed=sys.argv[1:] == ["--yes"])
    except UserError as error:
        sys.exit(f"make clean: {error}")

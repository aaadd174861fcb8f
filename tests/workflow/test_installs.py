"""Every way to install: from an archive, as a library alone, and from the pins of `environment.yml`."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from snakemake_runs import REPOSITORY, environment

import seedbed

EXPLAIN = """
import importlib.util, torch, seedbed
from seedbed import evaluate
from seedbed.data.raw.sources import load_sources
from seedbed.explain import explain
from seedbed.models import create_model
images = torch.zeros(1, 3, 96, 96)
maps = explain(create_model("vit_tiny_patch8_96", 3), images, [1], "transformer_attribution")
print(seedbed.__version__, seedbed.__file__, tuple(maps.shape), len(load_sources()) > 10)
print("snakemake" if importlib.util.find_spec("snakemake") else "no snakemake")
"""


def call(*command: object, folder: Path, timeout: int = 1200) -> str:
    """What a command that must succeed prints, without the caller's PYTHONPATH."""
    variables = {key: value for key, value in environment(folder).items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def made_here(folder: str, names: list[str]) -> set[str]:
    """What a copy of the checkout leaves out: environments, caches, and what runs made at the top."""
    made = {"results", "data", "dist", "build", "site"} if Path(folder) == REPOSITORY else set()
    return {name for name in names if name in made or name == "__pycache__" or name.startswith(".")}


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> tuple[Path, Path]:
    """The source archive of this checkout, and the wheel built from what it holds."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("archives")
    checkout = folder / "checkout"
    shutil.copytree(REPOSITORY, checkout, ignore=made_here)
    call(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder / "dist", folder=checkout)
    (source,) = (folder / "dist").glob("*.tar.gz")
    shutil.unpack_archive(source, folder)  # Debian 12's Python knows no filter of tarfile's
    unpacked = folder / source.name.removesuffix(".tar.gz")
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist", folder=unpacked)
    (wheel,) = (folder / "dist").glob("*.whl")
    return source, wheel


def empty_environment(folder: Path) -> Path:
    """The interpreter of a new virtual environment."""
    call(sys.executable, "-m", "venv", folder, folder=folder.parent)
    return folder / "bin" / "python"


def test_the_source_archive_is_the_whole_project(archives):
    source, _ = archives
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ("LICENSE", "CITATION.cff", "CHANGELOG.md", "Snakefile", "workflow/Snakefile", "params.yaml", "Makefile")
    wanted += (
        "rules/common.smk",
        "workflow_scripts/job.py",
        "papers/exvit.yaml",
        "tests/conftest.py",
        "requirements.lock",
    )
    assert set(wanted) <= names
    assert {f"pretrained/{path.name}" for path in (REPOSITORY / "pretrained").iterdir()} <= names


def test_the_wheel_is_the_library_with_its_data(archives):
    _, wheel = archives
    assert wheel.name == f"seedbed-{seedbed.__version__}-py3-none-any.whl"
    library = REPOSITORY / "src"
    shipped = {str(path.relative_to(library)) for path in library.rglob("*") if path.suffix in (".py", ".yaml", ".j2")}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert shipped <= names
    packages = {"seedbed", "snakemake_logger_plugin_seedbed", f"seedbed-{seedbed.__version__}.dist-info"}
    assert {name.partition("/")[0] for name in names} == packages


def test_the_wheel_explains_from_an_environment_of_its_own(archives, tmp_path):
    python = empty_environment(tmp_path / "environment")
    call(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", archives[1], folder=tmp_path)
    packages = next((tmp_path / "environment").glob("lib/python*/site-packages"))
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")  # PyTorch is not installed twice
    shown = call(python, "-c", EXPLAIN, folder=tmp_path)
    assert f"{seedbed.__version__} {packages}" in shown and "(1, 12, 12) True" in shown


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_library_alone_from_the_registry(archives, tmp_path):
    python = empty_environment(tmp_path / "environment")
    call(python, "-m", "pip", "install", "--quiet", archives[1], folder=tmp_path, timeout=3000)
    shown = call(python, "-c", EXPLAIN, folder=tmp_path)
    assert "(1, 12, 12) True" in shown and "no snakemake" in shown


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_pip_part_of_environment_yml_runs_the_workflow(tmp_path):
    """What `conda env create -f environment.yml` does beside conda's own packages."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("environment.yml asks for Python 3.11")
    checkout = tmp_path / "checkout"
    shutil.copytree(REPOSITORY, checkout, ignore=made_here)
    pins = yaml.safe_load((checkout / "environment.yml").read_text())["dependencies"][-1]["pip"]
    (tmp_path / "pins.txt").write_text("\n".join(pins) + "\n")
    python = empty_environment(tmp_path / "environment")
    call(python, "-m", "pip", "install", "--quiet", "-r", tmp_path / "pins.txt", folder=checkout, timeout=3000)
    snakemake = python.with_name("snakemake")
    assert "vit_affinity_table4" in call(snakemake, "help", "--cores", "1", folder=checkout)
    call(snakemake, "--cores", "1", "--", "data/shapes/card.json", folder=checkout)

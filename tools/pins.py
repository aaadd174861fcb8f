"""Write the pins of `environment.yml` from `pyproject.toml` and `requirements.lock`; `make lock` calls it."""

import re
import tomllib
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "3.11"
LEFT_OUT = {"all", "docs", "text"}  # names of others; not needed to run or to test; no part of the lock
HEAD = f"""\
# For conda users: `conda env create -f environment.yml`; Snakemake reads it too, where it is called with `--sdm conda`.
# The pins are those of requirements.lock: `make lock` writes them. Seedbed itself is not among them, because Snakemake
# shares an environment between checkouts: the workflow takes the library that lies beside it (docs/install.md).
name: seedbed
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python={PYTHON}
  - pip
  - make
  - cxx-compiler # pydensecrf2 is compiled
  - pip:
"""


def canonical(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted() -> list[str]:
    """Names that the project asks for: base, extras in the order of pyproject.toml, development last."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    groups = [project["dependencies"], *(lines for name, lines in extras.items() if name not in LEFT_OUT)]
    return [canonical(re.match(r"[\w.-]+", line)[0]) for group in groups for line in group]


def locked() -> dict[str, str]:
    """Versions of the lock for the Python of `environment.yml` on Linux, by canonical name."""
    lines = re.findall(r"^([\w.-]+)==(\S+)(?: ; (.*?))? \\$", (ROOT / "requirements.lock").read_text(), re.M)
    there = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "sys_platform": "linux"}
    return {canonical(name): version for name, version, where in lines if not where or Marker(where).evaluate(there)}


def environment() -> str:
    """The text of `environment.yml`."""
    versions = locked()
    return HEAD + "".join(f"      - {name}=={versions[name]}\n" for name in wanted())


if __name__ == "__main__":
    (ROOT / "environment.yml").write_text(environment())

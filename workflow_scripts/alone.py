"""One job without Snakemake around it, in this process: a debugger has the terminal, and the log is shown there.

    python workflow_scripts/alone.py results/demo/heatmaps/shapes/val/vit_hybrid/vit_affinity_cues/seed0/1-of-1.h5

Snakemake plans the target and says what its job is given; then the rule's script runs here. What it writes lies below
build/alone/ by the same path, so that results stay as they are. See docs/debugging.md.
"""

import argparse
import os
import pdb
import pickle
import runpy
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from snakemake.iocontainers import Namedlist

from dry_run import dry_run
from seedbed.errors import UserError

HERE = Path(__file__).resolve().parent


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="file that the job writes, or a rule without wildcards")
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as for snakemake")
    parser.add_argument("--configfile", nargs="+", default=[], metavar="FILE", help="as for snakemake")
    parser.add_argument("--directory", default=".", metavar="FOLDER", help="as for snakemake: where results/ lies")
    parser.add_argument("--cores", default="1", metavar="N", help="as for snakemake")
    parser.add_argument("--into", default="build/alone", metavar="FOLDER", help="where the outputs go")
    parser.add_argument("--pdb", action="store_true", help="open the debugger where the script fails")
    return parser.parse_args()


def parameters(asked: argparse.Namespace, *more: str) -> list[str]:
    """The parameters of the command line, as Snakemake takes them."""
    options = {"--configfile": asked.configfile, "--config": [*asked.config, *more]}
    return [word for option, values in options.items() if values for word in (option, *values)]


def planned(asked: argparse.Namespace) -> tuple[Path, Any]:
    """The script of a target's rule, and the object ``snakemake`` that it would be given."""
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.pickle"
        where = ("--directory", asked.directory, "--cores", asked.cores)
        try:
            snakefile = str(HERE.parent / "Snakefile")
            dry_run(snakefile, *where, *parameters(asked, f"job={job}"), "--", asked.target)
        except UserError as error:
            sys.exit(f"{asked.target}: {error}")
        script, snakemake = pickle.loads(job.read_bytes())  # what the plan has just written
    if script is None:
        sys.exit(f"{asked.target}: rule {snakemake.rule} has no script, it only asks for other files.")
    return HERE / script, snakemake


def adapted(snakemake: Any, asked: argparse.Namespace) -> Any:
    """The same job, with outputs elsewhere, its log on the terminal, and one GPU where it would share several."""
    absent = [path for path in snakemake.input if not Path(path).exists()]
    if absent:
        command = shlex.join(["snakemake", "--cores", "all", *parameters(asked), "--", absent[0]])
        sys.exit(f"An input of rule {snakemake.rule} is not there. Make it: {command}")
    into = Path(asked.into)
    snakemake.output = Namedlist(toclone=snakemake.output, custom_map=lambda path: str(into / path.lstrip("/")))
    for path in snakemake.output:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    snakemake.log = Namedlist()
    if snakemake.resources.get("gpu", 0) > 1:
        snakemake.resources = Namedlist(fromdict={**dict(snakemake.resources.items()), "gpu": 1})
    return snakemake


def main() -> None:
    """Plan the target, and run its script."""
    asked = arguments()
    script, snakemake = planned(asked)
    os.chdir(asked.directory)
    snakemake = adapted(snakemake, asked)
    print(f"Rule {snakemake.rule}, {script.name}, into {asked.into}", file=sys.stderr)
    try:
        runpy.run_path(str(script), init_globals={"snakemake": snakemake, "alone": True}, run_name="__main__")
    except (Exception, SystemExit) as error:
        failed = error.__context__ if isinstance(error, SystemExit) else error  # `job` ends so after a UserError
        if asked.pdb and failed is not None:
            pdb.post_mortem(failed.__traceback__)
        raise


if __name__ == "__main__":
    main()

"""Faults injected into a chain one after another: does a wrong file ever come out? Prints a line a round and the count.

Each fault kills a job (SIGKILL) at a random moment, and then may cut temporary files, resume states and unfinished
shards to a random length, leave a stranger's temporary file behind, or leave Snakemake's locks behind. The job is then
started anew, as Snakemake would: with its outputs removed, if it had any. A round is a whole chain on tiny data; at its
end all files must be the undisturbed chain's, byte for byte, and Snakemake itself must find nothing to do despite the
locks.

OMP_NUM_THREADS=1 python benchmarks/faults.py
OMP_NUM_THREADS=1 python benchmarks/faults.py --faults 50 --seed 7
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from warm_chain import MICRO, REPOSITORY, WarmJob, checksums, kill, warm_chain

TARGET = "results/demo/tables/vit_affinity/table4.csv"
LOCKS = ".snakemake/locks"
AFTERMATHS = ("kill", "truncation", "stranger", "lock")


def temporaries() -> list[Path]:
    """Files below the working directory that no rule declares: temporary ones, resume states, unfinished shards."""
    undeclared = (".part", ".unfinished-", "resume.pt")
    return [path for path in Path().rglob("*") if path.is_file() and any(part in path.name for part in undeclared)]


def disturb(kind: str, job: WarmJob, rng: random.Random) -> str:
    """Leave something behind as a crash would; returns what was done."""
    if kind == "truncation" and (left := temporaries()):
        for path in left:
            os.truncate(path, rng.randint(0, path.stat().st_size))
    elif kind in ("truncation", "stranger"):
        kind = "stranger"
        target = Path(rng.choice(job.outputs))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_name(f".{target.name}.abcd_012.part").write_bytes(rng.randbytes(rng.randint(0, 4000)))
    elif kind == "lock":
        Path(LOCKS).mkdir(parents=True, exist_ok=True)
        Path(f"{LOCKS}/{rng.randint(0, 99)}.output.lock").write_text("\n".join(job.outputs))
    return kind


def injected(job: WarmJob, usual: float, faults: int, rng: random.Random) -> Counter:
    """Run a job to its end through some faults; counts those that hit it at work, by kind."""
    hit = Counter()
    for _ in range(faults):
        child = job.start()
        time.sleep(rng.uniform(0, usual))
        if not kill(child):
            continue  # it was done before
        hit[disturb(rng.choice(AFTERMATHS), job, rng)] += 1
        for path in job.outputs:
            Path(path).unlink(missing_ok=True)
    job.run()
    return hit


def agreed(folder: Path) -> bool:
    """Whether Snakemake finds nothing to do, and sweeps the locks that were left."""
    base = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1"]
    options = ["--directory", str(folder), "--configfile", str(MICRO), "--rerun-triggers", "mtime", "--", TARGET]
    done = subprocess.run([*base, *options], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode or "Nothing to be done" not in done.stdout + done.stderr:
        print(done.stdout[-3000:] + done.stderr[-3000:])
        return False
    return not list(Path(LOCKS).glob("*"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261124)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as top:
        plain = Path(top) / "plain"
        plain.mkdir()
        jobs = warm_chain(plain, [TARGET])
        os.chdir(plain)
        usual = [job.run() for job in jobs]
        expected = checksums(plain)
        print(f"{len(jobs)} jobs, {sum(usual):.1f} s undisturbed, {len(expected)} files", flush=True)
        hit, number = Counter(), 0
        while hit.total() < asked.faults:
            number += 1
            folder = Path(top) / f"round{number}"
            folder.mkdir()
            os.chdir(folder)
            for job, seconds in zip(jobs, usual, strict=True):
                hit += injected(job, seconds, rng.choice((0, 1, 2)), rng)
            left = (".part", "resume.pt.damaged")  # strangers' files, and states that were cut, which are kept
            sums = checksums(folder).items()
            found = {name: digest for name, digest in sums if not any(part in Path(name).name for part in left)}
            wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
            if wrong or not agreed(folder):
                print(f"round {number}: WRONG after {hit.total()} faults: {', '.join(wrong) or 'Snakemake disagrees'}")
                return 1
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(hit.items()))
            print(
                f"round {number}: all {len(found)} files as expected; so far {hit.total()} faults ({kinds})", flush=True
            )
    print(f"{hit.total()} faults in a row, no wrong file")
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the planned workflow would print its cost

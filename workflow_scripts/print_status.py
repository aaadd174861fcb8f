"""What of a target is done, running and left: a dry run writes its plan, benchmark records tell how long jobs take."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from job import job
from seedbed.errors import UserError
from seedbed.report.status import lines_of_status
from seedbed.schedule import read_plan

with job(snakemake) as running, tempfile.TemporaryDirectory() as folder:
    asked = snakemake.params
    plan, config = Path(folder) / "plan.json", Path(folder) / "config.json"
    config.write_text(json.dumps(snakemake.config | {"plan": str(plan)}))
    command = [sys.executable, "-m", "snakemake", "-n", "--nolock", "--snakefile", asked.snakefile]
    command += ["--cores", str(asked.cores), "--configfile", str(config), "--", *asked.targets]
    dry = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(dry.stdout, file=sys.stderr)
    if dry.returncode or not plan.is_file():
        wrong = [line for line in dry.stdout.splitlines() if line.strip() and not line.startswith(("Using", "  File"))]
        raise UserError("the plan cannot be made:\n" + "\n".join(wrong[-8:]))
    jobs = read_plan(plan)
    print(f"\nStatus of {', '.join(asked.targets)}, preset '{snakemake.config['preset']}':\n")
    print("\n".join(lines_of_status(jobs, asked.cores, asked.gpus, asked.others_work)))

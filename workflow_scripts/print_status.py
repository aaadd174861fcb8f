"""What of a target is done, running and left: a dry run writes its plan, benchmark records tell how long jobs take."""

import tempfile
from pathlib import Path

from dry_run import dry_run
from job import job
from seedbed.report.status import lines_of_status
from seedbed.schedule import read_plan

with job(snakemake), tempfile.TemporaryDirectory() as folder:
    asked, plan = snakemake.params, Path(folder) / "plan.json"
    dry_run(asked.snakefile, snakemake.config | {"plan": str(plan)}, asked.cores, asked.targets)
    jobs = read_plan(plan)
    print(f"\nStatus of {', '.join(asked.targets)}, preset '{snakemake.config['preset']}':\n")
    print("\n".join(lines_of_status(jobs, asked.cores, asked.gpus, asked.others_work)))

"""What of a target is done, running and left: a dry run writes its plan, benchmark records tell how long jobs take."""

from dry_run import plan_of
from job import job
from seedbed.plan.status import lines_of_status

with job(snakemake):
    asked = snakemake.params
    jobs = plan_of(asked.snakefile, asked.config, asked.cores, asked.targets)
    print(f"\nStatus of {', '.join(asked.targets)}, preset '{asked.config['preset']}':\n")
    print("\n".join(lines_of_status(jobs, asked.cores, asked.gpus, asked.others_work)))

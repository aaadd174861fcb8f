"""The cost sheet of targets: a dry run writes its plan."""

from dry_run import plan_of
from job import job
from seedbed.plan.cost import cost_lines

with job(snakemake):
    asked = snakemake.params
    lines = cost_lines(plan_of(asked.snakefile, asked.config, asked.cores, asked.targets))
    print(f"\nCost of {', '.join(asked.targets)}, preset '{asked.config['preset']}':\n")
    print("\n".join(lines or ["nothing: everything is there."]))

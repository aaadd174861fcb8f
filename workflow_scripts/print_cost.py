"""The cost sheet of targets: a dry run writes its plan."""

from dry_run import plan_of
from job import job
from seedbed.plan.cost import Machine, cost_lines
from seedbed.plan.forecasts.rates import asked_rates

with job(snakemake):
    asked = snakemake.params
    machine = Machine(asked.cores, asked.gpus, asked_rates(asked.config)[1])
    lines = cost_lines(plan_of(asked.snakefile, asked.config, asked.cores, asked.targets), machine)
    print(f"\nCost of {', '.join(asked.targets)}, preset '{asked.config['preset']}':\n")
    print("\n".join(lines or ["nothing: everything is there."]))

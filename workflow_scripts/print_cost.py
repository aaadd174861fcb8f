"""The cost sheet of targets, and nothing else of the dry run that makes it."""

from dry_run import dry_run
from job import job

with job(snakemake):
    asked = snakemake.params
    printed = dry_run(asked.snakefile, snakemake.config, asked.cores, asked.targets, "rules", "reason")
    _, head, sheet = printed.partition("cost at most")
    print(f"\nCost of {', '.join(asked.targets)}, preset '{snakemake.config['preset']}':\n")
    print(head + sheet.rstrip() if head else "nothing: everything is there.")

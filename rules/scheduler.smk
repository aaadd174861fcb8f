# Snakemake's own limit of 100 new jobs a second is lifted: it wakes the scheduler once more every second for each job that
# has ended while others wait, so that after a few hundred jobs it takes half a core by itself (snakemake issue 2967).
# Cores, GPUs and a cluster's --jobs limit what runs. A limit of yours, --max-jobs-per-timespan, stands.


def lift_job_rate_limit():
    """Let the scheduler wake up when a job ends, and at no other time."""
    limiter = workflow.scheduler.job_rate_limiter
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


onstart:
    lift_job_rate_limit()

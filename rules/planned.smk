# A run's plan as a file, written by a dry run (--config plan=FILE): for `snakemake status` and benchmarks/schedule.py.

import os


def planned_gpus(resources):
    """GPUs of a job, however a site wants to be asked for them."""
    return resources.get("gpu", 0) or int(
        str(resources.get("gres", "0")).split(":")[-1]
    )


def planned_limit(name):
    """A limit of the command line or the profile, such as --resources gpu=4; 0 if there is none."""
    limit = (
        workflow.global_resources.get(name)
        if name in workflow.global_resources
        else None
    )
    return getattr(limit, "value", limit) or 0


def start_of(job):
    """When a job that is marked as unfinished was started; None if it is not."""
    keys = [workflow.persistence._get_key(path) for path in job.output]
    marked = sorted(workflow.persistence._filter_incomplete_keys(keys))
    return workflow.persistence._get_recorded_starttime(marked[0]) if marked else None


def write_plan(path):
    """Write every job of the DAG, done ones included, each after those that it waits for; see seedbed.schedule."""
    from seedbed.io.atomic import write_json

    jobs = [job for level in workflow.dag.toposorted() for job in level]
    number = {job: place for place, job in enumerate(jobs)}
    write_json(
        path,
        [
            {
                "id": number[job],
                "rule": job.rule.name,
                "output": str(job.output[0]) if job.output else job.rule.name,
                "needed": workflow.dag.needrun(job),
                "started": start_of(job),
                "waits_for": sorted(
                    number[other] for other in workflow.dag.dependencies[job]
                ),
                "threads": job.threads,
                "gpu": planned_gpus(job.resources),
                "minutes": job.resources.get("runtime", 0),
                "benchmark": str(job.benchmark) if job.benchmark else None,
            }
            for job in jobs
        ],
    )


if config.get("plan") and workflow.is_main_process:
    atexit.register(lambda: workflow.dryrun and write_plan(config["plan"]))

# A killed run leaves Snakemake's locks behind. They are removed here when no run is alive in this folder.

from seedbed.io.filelock import Lock, lock


def hold_folder():
    """Mark this process as alive in the working directory, after sweeping the locks of dead ones.

    Every run shares one advisory lock that dies with its process. Whoever gets it alone is alone, so Snakemake's own
    locks are left over from a killed run. Where the file system has no locks nobody can tell: nothing is swept then, and
    Snakemake says itself what to do. Returns that lock, and whether another run is at work.
    """
    folder = Path(".snakemake")
    folder.mkdir(exist_ok=True)
    alive = (folder / "alive.lock").open("w")
    marks = list((folder / "locks").glob("*"))
    alone = lock(alive, wait=False) is Lock.HELD
    if alone:
        for stale in marks:
            stale.unlink(missing_ok=True)
    lock(alive, shared=True)
    # Another run's locks stand, and Snakemake says so if the two want the same files. A dry run has none.
    return alive, not alone and bool(marks)


run_is_alive, others_work = hold_folder() if workflow.is_main_process else (None, False)

# A killed run leaves Snakemake's locks behind. They are removed here when no run is alive in this folder.

import fcntl


def hold_folder():
    """Mark this process as alive in the working directory, after sweeping the locks of dead ones.

    Every run shares one advisory lock that dies with its process, SIGKILL included. Whoever gets it alone is alone, so
    Snakemake's own locks are left over from a killed run. Returns that lock, and whether another run is at work.
    """
    folder = Path(".snakemake")
    folder.mkdir(exist_ok=True)
    alive = (folder / "alive.lock").open("w")
    others_work = False
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for stale in (folder / "locks").glob("*"):
            stale.unlink()
    except BlockingIOError:
        # Another run is alive: its locks stand, and Snakemake says so if the two want the same files. A dry run has none.
        others_work = any((folder / "locks").glob("*"))
    fcntl.flock(alive, fcntl.LOCK_SH)
    return alive, others_work


run_is_alive, others_work = hold_folder() if workflow.is_main_process else (None, False)

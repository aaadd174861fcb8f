# A killed run leaves Snakemake's locks behind. They are removed here when no run is alive in this folder.

import fcntl


def hold_folder():
    """Mark this process as alive in the working directory, after sweeping the locks of dead ones.

    Every run shares one advisory lock that dies with its process, SIGKILL included. Whoever gets it alone is alone, so
    Snakemake's own locks are left over from a killed run.
    """
    folder = Path(".snakemake")
    folder.mkdir(exist_ok=True)
    alive = (folder / "alive.lock").open("w")
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for stale in (folder / "locks").glob("*"):
            stale.unlink()
    except BlockingIOError:
        pass  # another run is alive: its locks stand, and Snakemake says so if the two want the same files
    fcntl.flock(alive, fcntl.LOCK_SH)
    return alive


if workflow.is_main_process:
    run_is_alive = hold_folder()

"""A real Slurm of one node for tests: four pretended GPUs, everything on loopback, all state in one temporary folder.

Runs as any user, several at once. The daemons die with the test process, even when that is killed.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = "munged mungekey slurmctld slurmd sbatch srun squeue scancel sinfo scontrol setpriv".split()
GPUS = 4
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=1,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=5
MinJobAge=600
GresTypes=gpu
NodeName=node0 NodeHostname={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 Gres=gpu:{gpus}
PartitionName=main Nodes=node0 Default=YES MaxTime=60 State=UP
PartitionName=gpu-short Nodes=node0 MaxTime=60 State=UP
"""


def search_path() -> str:
    """PATH with the folders of daemons, which users often lack."""
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def missing_programs() -> list[str]:
    """Programs that a cluster needs and this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]


@dataclass
class Cluster:
    """A running cluster; commands for it need `environment`."""

    folder: Path
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The caller's environment, pointed at this cluster."""
        passing = ("SLURM_", "SBATCH_", "SRUN_", "MLFLOW_", "CUDA_VISIBLE_DEVICES")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(passing)}
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{search_path()}"
        return {**kept, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def call(self, *command: str, timeout: float = 60) -> str:
        """What one of Slurm's commands prints."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout, check=True
        ).stdout.strip()

    def queue(self, *states: str) -> list[dict[str, str]]:
        """Jobs in some states, by default in any: id, state, rule and what was asked for."""
        fields = "JobID State Comment WorkDir Partition tres-per-job tres-per-node TimeLimit NumCPUs MinMemory".split()
        form = ",".join(f"{name}:|" for name in fields)
        printed = self.call("squeue", "-h", "-O", form, f"--states={','.join(states) or 'all'}")
        return [dict(zip(fields, line.split("|"), strict=False)) for line in printed.splitlines()]

    def start(self, name: str) -> None:
        """Start one daemon, bound to this process's life."""
        log = (self.folder / f"{name}.out").open("ab")
        command = {
            "munged": f"munged -F --force --socket={self.folder}/munge.sock --key-file={self.folder}/munge.key "
            f"--pid-file={self.folder}/munged.pid --seed-file={self.folder}/munge.seed "
            f"--log-file={self.folder}/munged.log",
            "slurmctld": "slurmctld -D",
            "slurmd": "slurmd -D -N node0",
        }[name]
        self.daemons[name] = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command.split()],
            env=self.environment,
            stdout=log,
            stderr=log,
            cwd=self.folder,
        )

    def stop(self, name: str) -> None:
        """Stop one daemon and wait for its end."""
        daemon = self.daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def restart_controller(self) -> None:
        """Stop the controller in mid-run and start it again; it reads its jobs back from its state."""
        self.stop("slurmctld")
        self.start("slurmctld")
        self._wait_for_node("idle", "mixed", "allocated")

    def _start_all(self) -> None:
        self.start("munged")
        _wait_for((self.folder / "munge.sock").is_socket, 10, self)
        self.start("slurmctld")
        self.start("slurmd")
        self._wait_for_node("idle")

    def _wait_for_node(self, *states: str) -> None:
        def ready() -> bool:
            try:
                return self.call("sinfo", "-h", "-o", "%T", "-p", "main", timeout=15) in states
            except subprocess.CalledProcessError:
                return False

        _wait_for(ready, 30, self)

    def _stop_all(self) -> None:
        with contextlib.suppress(subprocess.SubprocessError):
            self.call("scancel", "-u", getpass.getuser(), timeout=10)
            deadline = time.monotonic() + 8
            while self.call("squeue", "-h", timeout=10) and time.monotonic() < deadline:
                time.sleep(0.1)
        for name in reversed(list(self.daemons)):
            self.stop(name)
        self._kill_leftovers()

    def _kill_leftovers(self) -> None:
        """Job steps outlive the node's daemon; they are known by their configuration."""
        mark = f"SLURM_CONF={self.folder}/".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes():
                        os.kill(int(entry.name), signal.SIGKILL)


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster of one node with 16 pretended cores and 4 pretended GPUs, up for the ``with`` block."""
    folder = Path(tempfile.mkdtemp(prefix="slurm"))  # munge's socket must have a short path, open to be passed through
    folder.chmod(0o755)
    try:
        _configure(folder)
        running = Cluster(folder)
        try:
            running._start_all()
            yield running
        finally:
            running._stop_all()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _configure(folder: Path) -> None:
    for name in ("state", "spool", "dev", "bin"):
        (folder / name).mkdir()
    for number in range(GPUS):  # Slurm wants device nodes; it never opens them
        (folder / f"dev/nvidia{number}").symlink_to("/dev/null")
    controller_port, node_port = _free_ports(2)
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            host=socket.gethostname().split(".")[0],
            user=getpass.getuser(),
            folder=folder,
            controller_port=controller_port,
            node_port=node_port,
            gpus=GPUS,
        )
    )
    (folder / "gres.conf").write_text(f"NodeName=node0 Name=gpu File={folder}/dev/nvidia[0-{GPUS - 1}]\n")
    # The job step starts `srun` without SLURM_CONF and would look for a site's configuration.
    srun = shutil.which("srun", path=search_path())
    shim = folder / "bin/srun"
    shim.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {srun} "$@"\n')
    shim.chmod(0o755)
    subprocess.run(
        ["mungekey", "-c", "-k", str(folder / "munge.key")],
        env={**os.environ, "PATH": search_path()},
        check=True,
        timeout=30,
    )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_for(ready, seconds: float, running: Cluster) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        dead = [name for name, daemon in running.daemons.items() if daemon.poll() is not None]
        if dead or time.monotonic() > deadline:
            logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in running.folder.glob("*.out"))
            raise RuntimeError(f"Slurm did not come up ({', '.join(dead) or 'time is over'}):\n{logs}")
        time.sleep(0.1)

"""A real SLURM of two virtual nodes on one machine, with accounting: what tests of the study on a cluster run on.

Everything listens on loopback (but slurmdbd, which 22.05 cannot be told so) and lies in one folder. Tests take the fixture
`slurm`, or `breakable_slurm` if they break something, and leave no job behind.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

PROGRAMS = ("munged", "mariadbd", "mariadb-install-db", "mariadb", "slurmdbd", "slurmctld", "slurmd", "sbatch", "sacct")
LINK = Path("/etc/slurm/slurm.conf")
"""Where SLURM's programs look: Snakemake's plugin takes SLURM_CONF out of the environment before it calls `srun` in a job."""
FOLDER = Path("/tmp")  # noqa: S108
"""Not pytest's, nor that of TMPDIR, which may be too long for sockets."""
PREFIX = "capcortex-slurm-"
OWNER = "owner"
"""Name of the file with the process that started a SLURM."""
ACCOUNT = "study"
PARTITION = "main"
URGENT_PARTITION = "urgent"
"""Its jobs take the place of those of the other partition."""
NODES = ("n1", "n2")
CPUS_PER_NODE = 2
PATIENCE_S = 60


@dataclass(frozen=True)
class Job:
    """What accounting knows of a job."""

    number: str
    name: str
    state: str
    comment: str
    node: str


@dataclass
class PrivateSlurm:
    """A SLURM in a folder; `start` and `stop` it, and break parts of it in between."""

    folder: Path
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    node_ports: dict[str, int] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    def start(self) -> None:
        """Start everything and wait until the nodes take jobs."""
        # First of all, and whole: without it other tests would take this SLURM for a left-over one.
        (self.folder / "owner.partial").write_text(repr(identity(psutil.Process())))
        (self.folder / "owner.partial").rename(self.folder / OWNER)
        for name in ("db", "log", "spool", "state"):
            (self.folder / name).mkdir()
        # Other users may submit.
        self.folder.chmod(0o755)
        ports = free_ports(3 + len(NODES))
        self._start_munged()
        self._start_database(ports[0], ports[1])
        self.settings = self._settings(ports[1], ports[2])
        self.node_ports = dict(zip(NODES, ports[3:], strict=True))
        self.conf.write_text(self._conf(self.settings))
        self._start_accounting()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait_until_idle()
        # From here on other tests that ask for SLURM find this one.
        LINK.symlink_to(self.conf)

    def stop(self) -> None:
        """End everything that was started here, also the jobs, and leave nothing behind."""
        remove_link(self.conf)
        # From those that ask to those that answer.
        for name in reversed(self.daemons):
            self._end(name)
        remove(self.folder)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"SLURM_CONF": str(self.conf), "PATH": search_path()}

    def run(self, *words: str | Path, **options: object) -> str:
        """Run one of SLURM's programs and return what it says."""
        done = subprocess.run(
            [*map(str, words)], env=self.environment, capture_output=True, text=True, check=False, **options
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def answers(self, *words: str) -> bool:
        return subprocess.run(words, env=self.environment, capture_output=True, check=False).returncode == 0

    def submit(self, command: str, *options: str, **how: object) -> str:
        """Submit a shell command with options of `sbatch`, and return the job's number."""
        return self.run(
            "sbatch", "--parsable", "--account", ACCOUNT, "--output=/dev/null", *options, "--wrap", command, **how
        ).strip()

    def cancel(self, *numbers: str) -> None:
        """Cancel jobs; without numbers all."""
        if numbers := numbers or tuple(self.queue()):
            self.run("scancel", *numbers)

    def jobs(self) -> dict[str, Job]:
        """Return all jobs that ever were, by number, as accounting has them."""
        # Of a job that was cancelled the state says by whom.
        lines = self.run(
            *("sacct", "--allusers", "--allocations", "--noheader", "--parsable2", "--starttime=2000-01-01"),
            *("--format=JobIDRaw,JobName,State,Comment,NodeList", "--delimiter=\t"),
        ).splitlines()
        jobs = [Job(*line.split("\t")) for line in lines]
        return {job.number: Job(job.number, job.name, job.state.split()[0], job.comment, job.node) for job in jobs}

    def queue(self) -> dict[str, str]:
        """Return number and state of the jobs that are not over."""
        lines = self.run("squeue", "--noheader", "--all", "--array", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def node_states(self) -> dict[str, str]:
        return dict(line.split() for line in self.run("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines())

    def wait_for(self, number: str, *states: str) -> Job:
        """Wait until accounting has a job in one of these states."""
        wait_until(lambda: number in (jobs := self.jobs()) and jobs[number].state in states, f"{number}: {states}")
        return self.jobs()[number]

    def wait_until_idle(self) -> None:
        """Wait until no job is there and all nodes are free."""
        wait_until(lambda: not self.queue() and set(self.node_states().values()) == {"idle"}, "idle nodes")

    def set_down(self, node: str) -> None:
        """As an administrator does: jobs on the node end with NODE_FAIL or are queued again."""
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def set_up(self, node: str) -> None:
        self.run("scontrol", "update", f"nodename={node}", "state=resume")

    def lose_node(self, node: str) -> None:
        """Let a node vanish with all that runs on it: the controller finds out by itself, after SlurmdTimeout."""
        self.daemons[node].kill()
        self.daemons[node].wait()
        kill(holders(self.folder / f"log/{node}.log"))

    def start_node(self, node: str) -> None:
        self._start(node, "slurmd", "-D", "-f", self.conf, "-N", node)

    def stop_controller(self) -> None:
        self._end("slurmctld")

    def start_controller(self) -> None:
        """Start the controller, with the jobs that it knew when it was stopped."""
        self._start("slurmctld", "slurmctld", "-D", "-f", self.conf)
        wait_until(lambda: self.answers("scontrol", "ping"), "slurmctld")

    def let_time_run_out(self, number: str) -> None:
        """Let the time limit of a running job, which is of whole minutes, be over now. The controller looks each 30 s."""
        self.run("scontrol", "update", f"jobid={number}", "endtime=now")

    def reconfigure(self, **settings: str) -> None:
        """Change settings of slurm.conf while jobs run, until `mend`."""
        self.conf.write_text(self._conf(self.settings | settings))
        self.run("scontrol", "reconfigure")

    def mend(self) -> None:
        """Make whole what a test broke, and cancel what it submitted."""
        if self.daemons["slurmctld"].poll() is not None:
            self.start_controller()
        self.reconfigure()
        for node in NODES:
            if self.daemons[node].poll() is not None:
                self.start_node(node)
        self.cancel()
        for node, state in self.node_states().items():
            # One that was lost may come back by itself meanwhile, and is then not resumed.
            if state.startswith(("down", "drain")):
                self.answers("scontrol", "update", f"nodename={node}", "state=resume")
        self.wait_until_idle()

    def last_lines(self) -> str:
        """Return the end of every log."""
        logs = sorted((self.folder / "log").iterdir())
        return "\n".join(f"{log.name}:\n{log.read_text(errors='replace')[-1500:]}" for log in logs)

    def _start(self, name: str, *words: str | Path) -> None:
        # A session of its own: what ends the process group of the tests does not end it, and `stop` does.
        with (self.folder / f"log/{name}.out").open("a") as log:
            self.daemons[name] = subprocess.Popen(
                [*map(str, words)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _end(self, name: str) -> None:
        daemon = self.daemons[name]
        daemon.terminate()
        try:
            daemon.wait(timeout=10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _start_munged(self) -> None:
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        files = {f"--{name}-file={self.folder / f'munge.{name}'}" for name in ("key", "log", "pid", "seed")}
        self._start("munged", "munged", "--foreground", "--force", *files, f"--socket={self._munge}")
        wait_until(self._munge.is_socket, "munged")

    @property
    def _munge(self) -> Path:
        return self.folder / "munge"

    def _start_database(self, port: int, accounting_port: int) -> None:
        data, door, password = self.folder / "db", self.folder / "sql", secrets.token_hex(12)
        common = ("--no-defaults", "--user=root", f"--datadir={data}")
        self.run("mariadb-install-db", *common, "--skip-test-db", "--auth-root-authentication-method=socket")
        # Small, and careless about power cuts.
        small = ("--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite")
        own = (
            f"--socket={door}",
            f"--pid-file={self.folder / 'sql.pid'}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
        )
        # SLURM asks for a long patience with locks.
        self._start("mariadbd", "mariadbd", *common, *own, *small, "--innodb-lock-wait-timeout=900")
        ask = ("mariadb", "--no-defaults", f"--socket={door}", "--execute")
        wait_until(lambda: self.answers(*ask, "select 1"), "mariadbd")
        grants = [
            f"create user 'slurm'@'{host}' identified by '{password}'; grant all on slurm.* to 'slurm'@'{host}';"
            for host in ("127.0.0.1", "localhost")
        ]
        self.run(*ask, "create database slurm; " + " ".join(grants))
        settings = {
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self._munge}",
            "DbdHost": short_name(),
            "DbdAddr": "127.0.0.1",
            "DbdPort": accounting_port,
            "SlurmUser": "root",
            "LogFile": self.folder / "log/slurmdbd.log",
            "PidFile": self.folder / "slurmdbd.pid",
            "StorageType": "accounting_storage/mysql",
            "StorageHost": "127.0.0.1",
            "StoragePort": port,
            "StorageUser": "slurm",
            "StoragePass": password,
            "StorageLoc": "slurm",
        }
        # slurmdbd looks beside the file that SLURM_CONF names, and wants this one to be private.
        conf = self.folder / "slurmdbd.conf"
        conf.touch(0o600)
        conf.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    def _start_accounting(self) -> None:
        self._start("slurmdbd", "slurmdbd", "-D")
        wait_until(lambda: self.answers("sacctmgr", "--noheader", "list", "cluster"), "slurmdbd")
        for words in (("cluster", "private"), ("account", ACCOUNT), ("user", "root", f"account={ACCOUNT}")):
            self.run("sacctmgr", "--immediate", "add", *words)

    def _settings(self, accounting_port: int, port: int) -> dict[str, str]:
        return {
            "ClusterName": "private",
            "SlurmctldHost": f"{short_name()}(127.0.0.1)",
            "SlurmctldPort": str(port),
            "SlurmUser": "root",
            "SlurmdUser": "root",
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self._munge}",
            "CredType": "cred/munge",
            "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
            "StateSaveLocation": str(self.folder / "state"),
            "SlurmdSpoolDir": str(self.folder / "spool/%n"),
            "SlurmctldPidFile": str(self.folder / "slurmctld.pid"),
            "SlurmdPidFile": str(self.folder / "%n.pid"),
            "SlurmctldLogFile": str(self.folder / "log/slurmctld.log"),
            "SlurmdLogFile": str(self.folder / "log/%n.log"),
            # Without control groups, which a container does not let us make.
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=1",
            "JobAcctGatherParams": "OverMemoryKill",
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": str(accounting_port),
            # Not a password: where munge answers for accounting.
            "AccountingStoragePass": str(self._munge),
            "AccountingStoreFlags": "job_comment",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            # The nodes have as many cores as is written here, on every machine.
            "SlurmdParameters": "config_overrides",
            "MpiDefault": "none",
            "SwitchType": "switch/none",
            # A node that was lost comes back by itself, one that was set down does not.
            "ReturnToService": "1",
            "SlurmctldTimeout": "30",
            "SlurmdTimeout": "10",
            "KillWait": "2",
            "OverTimeLimit": "0",
            "MinJobAge": "3600",
            "JobRequeue": "1",
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
            "SchedulerParameters": "sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1",
        }

    def _conf(self, settings: dict[str, str]) -> str:
        memory_mb = psutil.virtual_memory().total // 2**20 * 9 // 10 // len(NODES)
        nodes = [
            f"NodeName={node} NodeHostname={short_name()} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS_PER_NODE} "
            f"RealMemory={memory_mb} State=UNKNOWN"
            for node, port in self.node_ports.items()
        ]
        partitions = [
            f"PartitionName={name} Nodes=ALL {priority} MaxTime=INFINITE DefMemPerCPU=200 State=UP"
            for name, priority in ((PARTITION, "Default=YES PriorityTier=1"), (URGENT_PARTITION, "PriorityTier=2"))
        ]
        return "\n".join([*(f"{key}={value}" for key, value in settings.items()), *nodes, *partitions, ""])


def search_path() -> str:
    """Return where programs are, with those of administrators, which `su` leaves out."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])


def free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on, from where no system takes those of outgoing connections."""
    ports: set[int] = set()
    while len(ports) < number:
        port = 20_000 + secrets.randbelow(10_000)
        with suppress(OSError), socket.create_server(("", port)):
            ports.add(port)
    return sorted(ports)


def short_name() -> str:
    """Return this machine's name as SLURM knows it."""
    return socket.gethostname().partition(".")[0]


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience_s} s for {what}"
        time.sleep(0.1)


def identity(process: psutil.Process) -> tuple[int, float]:
    """Return what no other process will have: a number may be given again."""
    return process.pid, process.create_time()


def is_alive(number: int, since: float) -> bool:
    """Whether the process of an identity lives. Its time counts from when the machine started, which is known to the second."""
    try:
        return abs(psutil.Process(number).create_time() - since) < 2
    except psutil.NoSuchProcess:
        return False


def holders(path: Path) -> list[psutil.Process]:
    """Return the processes that have a file open, or one of a folder, and then what they started.

    The daemon of a step hides its environment, but keeps its node's log open; all that a job runs comes from such a daemon.
    """
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(Path(file.path).is_relative_to(path) for file in process.open_files()):
                found.append(process)
    started = []
    for process in found:
        with suppress(psutil.Error):
            started += process.children(recursive=True)
    return [*found, *started]


def started_with(conf: Path) -> list[psutil.Process]:
    """Return the processes that were told of a configuration."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("SLURM_CONF") == str(conf):
                found.append(process)
    return found


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=PATIENCE_S)


def remove_link(conf: Path) -> None:
    if LINK.is_symlink() and LINK.readlink() == conf:
        LINK.unlink()


def remove(folder: Path) -> None:
    """Remove a SLURM with what runs of it: jobs, or all if its tests were killed."""
    conf = folder / "slurm.conf"
    remove_link(conf)
    kill(holders(folder))
    kill(started_with(conf))
    shutil.rmtree(folder)


def why_not() -> str | None:
    """Return why no SLURM can be started here; None if one can."""
    if os.geteuid() != 0:
        return "a SLURM of the tests' own needs root, because its nodes start jobs as the user who submits: sudo make test-slurm"
    missing = [program for program in PROGRAMS if shutil.which(program, path=search_path()) is None]
    if missing:
        return f"a SLURM of the tests' own needs {', '.join(missing)}: make slurm (on Debian, as root)"
    if "SLURM_CONF" in os.environ or LINK.exists() or LINK.is_symlink():
        return f"this machine belongs to a SLURM cluster already: {os.environ.get('SLURM_CONF', LINK.resolve())}"
    try:
        LINK.parent.mkdir(exist_ok=True)
        LINK.symlink_to(LINK.with_name("probe"))
        LINK.unlink()
    except OSError as error:
        return f"a SLURM of the tests' own needs to write {LINK}: {error.strerror}"
    return None


def remove_left_over() -> None:
    """Remove the SLURMs of tests that were killed, also while they started; those of tests that run stay."""
    for folder in FOLDER.glob(f"{PREFIX}*"):
        owner = folder / OWNER
        if owner.exists():
            left_over = not is_alive(*literal_eval(owner.read_text()))
        else:
            left_over = time.time() - folder.stat().st_mtime > PATIENCE_S
        if left_over:
            remove(folder)


@pytest.fixture(scope="session")
def slurm(request: pytest.FixtureRequest) -> Iterator[PrivateSlurm]:
    """A SLURM of two nodes, for all tests of a process."""
    if os.geteuid() == 0:
        remove_left_over()
    reason = why_not()
    if not reason and request.config.option.markexpr == "not slow":
        reason = "tests on a real SLURM have a run of their own: make test-slurm (pytest -m slurm)"
    if reason:
        pytest.skip(reason)
    cluster = PrivateSlurm(Path(tempfile.mkdtemp(prefix=PREFIX, dir=FOLDER)))
    try:
        try:
            cluster.start()
        except AssertionError as error:
            error.add_note(cluster.last_lines())
            raise
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def breakable_slurm(slurm: PrivateSlurm) -> Iterator[PrivateSlurm]:
    """The same SLURM for a test that breaks it; it is mended afterwards."""
    yield slurm
    slurm.mend()

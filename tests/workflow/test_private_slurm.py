"""The tests' own SLURM does what tests of the study rely on."""

import re
import sys

import pytest
from private_slurm import NODES, PrivateSlurm, why_not


def test_a_job_runs_and_accounting_tells_what_it_was(slurm: PrivateSlurm) -> None:
    done, failed = slurm.submit("true", "--job-name=a name", "--comment=rule_one"), slurm.submit("exit 3")
    job = slurm.wait_for(done, "COMPLETED")
    assert (job.name, job.comment) == ("a name", "rule_one")
    assert job.node in NODES
    slurm.wait_for(failed, "FAILED")
    assert done not in slurm.queue()


def test_a_job_above_its_memory_is_killed(slurm: PrivateSlurm) -> None:
    greedy = f"{sys.executable} -c 'import time; held = bytearray(400 * 2**20); time.sleep(600)'"
    above, within = (slurm.submit(greedy, f"--mem={mem_mb}") for mem_mb in (200, 600))
    slurm.wait_for(above, "FAILED", "OUT_OF_MEMORY")
    assert slurm.queue()[within] == "RUNNING"
    slurm.cancel(within)
    slurm.wait_for(within, "CANCELLED")


def test_a_node_that_is_set_down_takes_its_job_along(breakable_slurm: PrivateSlurm) -> None:
    job = breakable_slurm.submit("sleep 600", "--no-requeue", "--nodelist=n1")
    breakable_slurm.wait_for(job, "RUNNING")
    breakable_slurm.set_down("n1")
    breakable_slurm.wait_for(job, "NODE_FAIL")
    other = breakable_slurm.submit("true")
    assert breakable_slurm.wait_for(other, "COMPLETED").node == "n2"


@pytest.mark.slow
def test_a_node_that_vanishes_is_missed(breakable_slurm: PrivateSlurm) -> None:
    job = breakable_slurm.submit("srun sleep 600", "--no-requeue", "--nodelist=n2")
    breakable_slurm.wait_for(job, "RUNNING")
    breakable_slurm.lose_node("n2")
    assert breakable_slurm.wait_for(job, "NODE_FAIL").node == "n2"
    breakable_slurm.mend()
    assert set(breakable_slurm.node_states().values()) == {"idle"}


def test_jobs_outlive_the_controller_and_another_configuration(breakable_slurm: PrivateSlurm) -> None:
    job = breakable_slurm.submit("sleep 600")
    breakable_slurm.wait_for(job, "RUNNING")
    # Not for long: tests beside this one may ask for the queue, which tries for some seconds.
    breakable_slurm.stop_controller()
    breakable_slurm.start_controller()
    breakable_slurm.reconfigure(KillWait="3")
    assert re.search(r"KillWait += 3 sec", breakable_slurm.run("scontrol", "show", "config"))
    assert breakable_slurm.queue() == {job: "RUNNING"}


def test_where_none_can_be_started_it_is_said_why(slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not() == f"this machine belongs to a SLURM cluster already: {slurm.conf}"
    monkeypatch.setenv("PATH", "/nowhere")
    assert "needs mariadb-install-db, mariadb, sbatch, sacct: make slurm" in why_not()

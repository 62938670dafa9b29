"""The lab's command line, up to the point where a kernel would start."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_calico_ipip.lab import cli, kernel
from pytest_calico_ipip.lab.errors import LabError, LabUsageError
from pytest_calico_ipip.lab.kernel.job import Job
from pytest_calico_ipip.lab.kernel.rundir import RunDirectory
from pytest_calico_ipip.lab.spec import Hook


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run"], "run needs a command"),
        (["run", "--"], "run needs a command"),
        (["run", "--nodes", "51", "--", "true"], "--nodes 51"),
        (["run", "--nodes", "-1", "--", "true"], "--nodes -1"),
        (["run", "--nodes", "many", "--", "true"], "invalid int value: 'many'"),
        (["run", "--profile", "windows", "--", "true"], "invalid choice: 'windows'"),
        (["run", "--subnets", "0", "--", "true"], "--subnets 0"),
        (["run", "--subnets", "4", "--", "true"], "--subnets 4"),
        (["run", "--borrow", "elsewhere", "--", "true"], "--borrow elsewhere"),
        (["run", "--nodes", "1", "--borrow", "virtnest-rook-ceph-1", "--", "true"], "needs two nodes"),
        (["run", "--profile", "felix", "--fault", "block-route-missing", "--", "true"], "Felix programs it"),
        (["run", "--profile", "nft", "--fault", "ipip-dropped", "--", "true"], "needs iptables and ipset"),
        (["run", "--memory", "64", "--", "true"], "--memory 64"),
        (["run", "--kernel", "bsd", "--", "true"], "invalid choice: 'bsd'"),
        (["run", "--fault", "no-such-fault", "--", "true"], "there is no fault no-such-fault"),
        (["run", "--at-start", "elsewhere", "true", "--", "true"], "there is no node elsewhere"),
        (["run", "--at-pod", "virtnest-rook-ceph-4", "true", "--", "true"], "there is no node virtnest-rook-ceph-4"),
        (["run", "--at-start", "virtnest-rook-ceph-1", "--", "true"], "expected 2 arguments"),
        (["run", "--writable", "/", "--", "true"], "cannot write to /"),
        (["run", "--writable", "/proc/sys", "--", "true"], "/proc/sys"),
        (["run", "true"], "unrecognized arguments: true"),
        (["shell", "--", "true"], "shell takes no command"),
        (["exec", "virtnest-rook-ceph-1"], "exec needs a command"),
        (["exec", "virtnest-rook-ceph-1", "--", "true"], "this is not a lab"),
        ([], "required"),
        (["fly"], "invalid choice: 'fly'"),
    ],
)
def test_wrong_usage(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage ends with 2 and a sentence that names what is wrong, and nothing on standard output."""
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert sentence in err
    assert not out
    assert "Traceback" not in err


@pytest.mark.parametrize("verb", [[], ["run"], ["shell"], ["exec"], ["faults"]])
def test_help(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb explains itself."""
    assert cli.main([*verb, "--help"]) == 0
    assert "calico-ipip-lab" in capsys.readouterr().out


def test_faults_lists_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    """`faults` prints one line a fault: its name, what it breaks, the requirements that must fail."""
    assert cli.main(["faults"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 12
    assert any(line.startswith("tunnel-mtu-low ") and "[MTU-1" in line for line in lines)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Job]]:
    """The jobs that would have been run, by kernel; each "ends" with 7."""
    jobs: list[tuple[str, Job]] = []

    def run(kind: str, job: Job, directory: RunDirectory) -> int:
        assert directory.path.is_dir()
        jobs.append((kind, job))
        return 7

    monkeypatch.setattr(kernel, "run", run)
    return jobs


def test_options_reach_the_job(asked: list[tuple[str, Job]]) -> None:
    """Options become the spec, the words after `--` the command, and its status the exit status."""
    hooks = ["--at-start", "virtnest-rook-ceph-2", "ip link", "--at-pod", "virtnest-rook-ceph-1", "true"]
    options = ["--nodes", "4", "--kernel", "uml", "--memory", "500", *hooks, "--fault", "tunnel-down"]
    options += ["--fault", "pod-mtu"]
    assert cli.main(["run", *options, "--", "sh", "-c", "exit 7", "--", "--nodes"]) == 7
    ((kind, job),) = asked
    assert kind == "uml"
    assert job.command == ("sh", "-c", "exit 7", "--", "--nodes")
    assert job.spec.nodes == 4
    assert job.spec.memory == 500
    assert job.spec.faults == ("tunnel-down", "pod-mtu")
    assert job.spec.at_start == (Hook("virtnest-rook-ceph-2", "ip link"),)
    assert job.spec.at_pod == (Hook("virtnest-rook-ceph-1", "true"),)
    assert Job.from_json(job.to_json()) == job


def test_shell_runs_a_shell(asked: list[tuple[str, Job]]) -> None:
    """`shell` is `run` with an interactive shell."""
    assert cli.main(["shell", "--nodes", "1"]) == 7
    assert asked[0][1].command[0].endswith("sh")


def test_lab_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    """A lab that fails ends with 125, its sentence, the end of the logs, and where they are kept."""

    def run(kind: str, job: Job, directory: RunDirectory) -> int:
        job.write(directory.path / "job.json")
        (directory.path / "kernel.log").write_text("first\nKernel panic \x1b[31m\n")
        raise LabError("the guest kernel ended.", "Look at its log.")

    monkeypatch.setattr(kernel, "run", run)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli.main(["run", "--", "true"]) == 125
    err = capsys.readouterr().err
    assert "calico-ipip-lab: the guest kernel ended.\nLook at its log." in err
    assert "Kernel panic ?[31m" in err
    (kept,) = tmp_path.iterdir()
    assert str(kept) in err
    assert (kept / "kernel.log").exists()
    assert not (kept / "job.json").exists(), "the user's environment was kept"


def test_usage_error_of_a_kernel_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """A refusal keeps no directory."""

    def run(kind: str, job: Job, directory: RunDirectory) -> int:
        raise LabUsageError("no")

    monkeypatch.setattr(kernel, "run", run)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli.main(["run", "--", "true"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_command_line_starts_fast() -> None:
    """The command line imports neither the API server's libraries nor asyncio: help must not wait for them."""
    code = "import sys, pytest_calico_ipip.lab.cli; print([m for m in ('aiohttp', 'asyncio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

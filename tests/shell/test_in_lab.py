"""`--ipip-lab` outside of the lab: the same command again inside, with every path that is written opened to it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_calico_ipip import in_lab
from tests.shell.shell_project import Project

ONE = """
def fine(world, node):
    return Judgement("MTU-1", node, asserted=1)

@pytest.mark.requirement("MTU-1")
def test_fine(judged, node):
    '''tunl0's MTU is right.'''
    assert judged(fine, node)
"""


class Started:
    """Stands in the place of the lab: keeps the command, and exits 7."""

    def __init__(self) -> None:
        self.command: list[str] = []

    def __call__(self, command: list[str]) -> int:
        self.command = command
        return 7

    @property
    def lab_options(self) -> list[str]:
        """What the lab itself is told."""
        return self.command[4 : self.command.index("--")]

    @property
    def writable(self) -> list[Path]:
        """The directories that are opened to the lab."""
        words = self.lab_options
        return [Path(words[index + 1]) for index, word in enumerate(words) if word == "--writable"]


@pytest.fixture
def lab(project: Project, monkeypatch: pytest.MonkeyPatch) -> Started:
    """A project with a test, and no real lab."""
    project.tests(ONE)
    started = Started()
    monkeypatch.setattr(in_lab, "_await", started)
    return started


def test_the_same_command_runs_inside(project: Project, lab: Started) -> None:
    """The lab runs pytest with the very arguments, and its exit status is pytest's."""
    result = project.run("--ipip-lab", "-k", "fine or x")
    assert result.ret == 7
    assert lab.command[:4] == [sys.executable, "-m", "pytest_calico_ipip.lab", "run"]
    inside = lab.command[lab.command.index("--") + 1 :]
    assert inside[:3] == [sys.executable, "-m", "pytest"]
    assert inside[-3:] == ["--ipip-lab", "-k", "fine or x"]
    assert "collected" not in result.stdout.str()


def test_options_of_the_lab(project: Project, lab: Started) -> None:
    """The number of nodes and any further option reach the lab, quoted as in a shell."""
    project.run("--ipip-lab", "--ipip-lab-nodes=5", "--ipip-lab-option=--at-start n1 'ip link set tunl0 mtu 1400'")
    assert lab.lab_options[:2] == ["--nodes", "5"]
    assert lab.lab_options[2:5] == ["--at-start", "n1", "ip link set tunl0 mtu 1400"]


def test_the_working_directory_is_open(project: Project, lab: Started) -> None:
    """Where pytest was started and its root directory can be written: caches and reports land there."""
    project.run("--ipip-lab")
    assert lab.writable == [project.path]


@pytest.mark.parametrize("option", ["--junitxml=", "--ipip-evidence=", "--log-file=", "--basetemp=", "--unheard-of="])
def test_named_outputs_are_open(
    project: Project, lab: Started, tmp_path_factory: pytest.TempPathFactory, option: str
) -> None:
    """A directory that an option names is opened, whichever option it is, also where it is yet to be made."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    target = elsewhere if option == "--unheard-of=" else elsewhere / "new" / "file"
    if option == "--unheard-of=":
        project.pytester.makeconftest("def pytest_addoption(parser): parser.addoption('--unheard-of')")
    assert project.run("--ipip-lab", f"{option}{target}").ret == 7
    assert elsewhere in lab.writable


def test_the_cache_directory_is_open(project: Project, lab: Started, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cache directory elsewhere is opened."""
    elsewhere = tmp_path_factory.mktemp("cache")
    project.run("--ipip-lab", "-o", f"cache_dir={elsewhere}")
    assert elsewhere in lab.writable


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/proc/1/junit.xml", "has a /proc of its own"),
        ("/dev/shm/junit.xml", "has a /dev of its own"),
        ("/new-folder/junit.xml", "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused(project: Project, lab: Started, target: str, words: str) -> None:
    """An output that cannot be the machine's own is refused before the lab starts."""
    result = project.run("--ipip-lab", f"--junitxml={target}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in result.stderr.str()
    assert not lab.command


def test_a_file_in_the_way_is_refused(project: Project, lab: Started) -> None:
    """An output below a file is refused before the lab starts."""
    (project.path / "file").touch()
    result = project.run("--ipip-lab", "--junitxml=file/junit.xml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "is no directory" in result.stderr.str()


def test_a_bad_option_is_refused_outside(project: Project, lab: Started) -> None:
    """What is wrong with an option is said before the lab starts."""
    assert project.run("--ipip-lab", "--ipip-settle=soon").ret == pytest.ExitCode.USAGE_ERROR
    assert project.run("--ipip-lab", "--ipip-lab-nodes=0").ret == pytest.ExitCode.USAGE_ERROR
    assert project.run("--ipip-lab", "--ipip-lab-option=--fault 'x").ret == pytest.ExitCode.USAGE_ERROR
    assert not lab.command


@pytest.mark.parametrize("question", ["--help", "--markers", "--fixtures", "--collect-only"])
def test_questions_start_no_lab(project: Project, lab: Started, question: str) -> None:
    """Asking pytest about tests and options starts no lab."""
    assert project.run("--ipip-lab", question).ret == pytest.ExitCode.OK
    assert not lab.command


def test_inside_the_lab_is_a_cluster(project: Project, lab: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the lab `--ipip-lab` means the lab's kubeconfig, nothing is started again, and settling is short."""
    (project.path / "config").write_text(
        "current-context: lab\ncontexts: [{name: lab, context: {cluster: c}}]\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]"
    )
    monkeypatch.setenv("CALICO_IPIP_LAB", "1")
    monkeypatch.setenv("KUBECONFIG", str(project.path / "config"))
    project.tests("def test_settings(ipip_settings): assert ipip_settings.settle == 5 and ipip_settings.in_lab")
    result = project.run("--ipip-lab")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["calico-ipip: embedded lab, context lab at https://127.0.0.1:1, *"])
    assert not lab.command

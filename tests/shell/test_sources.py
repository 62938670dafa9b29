"""Where a run looks: exactly one source, checked before any contact with a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shell.shell_project import Api, Project

ONE = """
def fine(world, node):
    return Judgement("MTU-1", node, asserted=1)

@pytest.mark.requirement("MTU-1")
def test_fine(judged, node):
    '''tunl0's MTU is right.'''
    assert judged(fine, node)
"""

USAGE = pytest.ExitCode.USAGE_ERROR


@pytest.fixture(autouse=True)
def _one_test(project: Project) -> None:
    project.tests(ONE)


def says(result: pytest.RunResult, *words: str) -> bool:
    """Whether the usage error holds all of these words."""
    return all(word in result.stderr.str() + result.stdout.str() for word in words)


def test_no_source_names_the_three(project: Project) -> None:
    """Without a source the exit status is 4 and the sentence names the three."""
    result = project.run()
    assert result.ret == USAGE
    assert says(result, "--kubeconfig FILE", "--ipip-lab", "--ipip-replay DIR")


def test_two_sources_are_refused(project: Project) -> None:
    """Two sources on the command line are one too many."""
    result = project.run("--kubeconfig", "x", "--ipip-replay", project.evidence("n1"))
    assert result.ret == USAGE
    assert says(result, "more than one source", "--kubeconfig and --ipip-replay")


def test_two_sources_in_the_environment_are_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two variables are as bad as two options."""
    monkeypatch.setenv("KUBECONFIG", "x")
    monkeypatch.setenv("IPIP_REPLAY", str(project.evidence("n1")))
    result = project.run()
    assert result.ret == USAGE
    assert says(result, "KUBECONFIG and IPIP_REPLAY")


def test_an_option_wins_over_the_environment(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source on the command line silences one in the environment."""
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    result = project.run("--ipip-replay", project.evidence("n1"))
    assert result.ret == pytest.ExitCode.OK


def test_the_environment_is_a_source(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """IPIP_REPLAY alone is enough."""
    monkeypatch.setenv("IPIP_REPLAY", str(project.evidence("n1")))
    assert project.run().ret == pytest.ExitCode.OK


def test_the_ini_file_is_a_source(project: Project) -> None:
    """The ini file alone is enough, and its paths start where it lies."""
    project.evidence("n1")
    project.pytester.makeini("[pytest]\nipip_replay = evidence\n")
    assert project.run().ret == pytest.ExitCode.OK


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file"),
        (b"contexts: [", "is not YAML (line 1)"),
        (b"- a list", "no kubeconfig"),
        (b"\xff\xfe\x00", "is no text file"),
        (b"contexts: []\n", "no current context"),
    ],
)
def test_a_bad_kubeconfig(project: Project, content: bytes | None, words: str) -> None:
    """A kubeconfig that is missing, no YAML, or none at all is refused with the reason."""
    if content is not None:
        (project.path / "config").write_bytes(content)
    result = project.run("--kubeconfig", "config")
    assert result.ret == USAGE
    assert says(result, words, str(project.path / "config"))


def test_a_directory_is_no_kubeconfig(project: Project) -> None:
    """A path that cannot be read as a file is refused with the system's reason."""
    result = project.run("--kubeconfig", project.path)
    assert result.ret == USAGE
    assert says(result, "cannot be read: Is a directory")


def test_broken_yaml_is_not_quoted(project: Project) -> None:
    """The message about broken YAML does not show the file, which holds a token."""
    (project.path / "config").write_text("users: [{token: very-secret-token}\ncontexts: }")
    result = project.run("--kubeconfig", "config")
    assert result.ret == USAGE
    assert not says(result, "very-secret-token")


def test_unknown_context(project: Project, kubeconfig: Callable[..., Path]) -> None:
    """An unknown context is refused with those that there are, before any contact."""
    result = project.run("--kubeconfig", kubeconfig("https://127.0.0.1:1", "dev", "prod"), "--ipip-context", "pord")
    assert result.ret == USAGE
    assert says(result, "no context 'pord'", "dev, prod")


def test_a_directory_that_is_no_evidence(project: Project) -> None:
    """A replay of something else is refused."""
    result = project.run("--ipip-replay", ".")
    assert result.ret == USAGE
    assert says(result, "is no evidence")
    assert project.run("--ipip-replay", "nowhere").ret == USAGE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--ipip-settle", "soon"), "no number of seconds"),
        (("--ipip-ssh-port", "70000"), "from 1 to 65535"),
        (("--ipip-ssh-identity", "nowhere"), "there is no file"),
        (("--ipip-evidence", "new"), "a replay reads nothing new"),
    ],
)
def test_bad_values(project: Project, arguments: tuple[str, ...], words: str) -> None:
    """An option's value that cannot be used is refused."""
    result = project.run("--ipip-replay", project.evidence("n1"), *arguments)
    assert result.ret == USAGE
    assert says(result, words)


def test_a_pull_secret_needs_its_namespace(project: Project, api: Api, kubeconfig: Callable[..., Path]) -> None:
    """A new namespace has no Secret: refused before the API is asked anything, and not where one is named."""
    api.nodes("n1")
    asked = ("--kubeconfig", kubeconfig(api.url), "--ipip-image-pull-secret", "one,two")
    result = project.run(*asked)
    assert result.ret == USAGE
    assert says(result, "'one, two'", "name it with --ipip-namespace")
    assert api.requests == []
    assert project.run(*asked, "--ipip-namespace", "team").ret == pytest.ExitCode.OK
    replayed = project.run("--ipip-replay", project.evidence("n1"), "--ipip-image-pull-secret", "one")
    assert replayed.ret == pytest.ExitCode.OK


def test_evidence_is_never_overwritten(project: Project, kubeconfig: Callable[..., Path]) -> None:
    """Evidence goes into a new or an empty directory: nothing of the user's is deleted."""
    kept = project.path / "kept"
    kept.mkdir()
    (kept / "mine").touch()
    result = project.run("--kubeconfig", kubeconfig("https://127.0.0.1:1"), "--ipip-evidence", kept)
    assert result.ret == USAGE
    assert says(result, "no empty directory")
    assert (kept / "mine").exists()


def test_unreachable_server_is_an_error_of_every_test(project: Project, kubeconfig: Callable[..., Path]) -> None:
    """Where the node list cannot be read, tests have the id `cluster` and are ERRORs; JUnit is there."""
    cases = project.cases("--kubeconfig", kubeconfig("https://127.0.0.1:1"))
    case = cases["test_fine[cluster]"]
    assert case.result == "error"
    assert "refuses the connection" in case.message
    assert "kubectl cluster-info" in case.message
    assert case.properties["outcome"] == "error"


def test_expired_token(project: Project, api: Api, kubeconfig: Callable[..., Path]) -> None:
    """A refused token is an ERROR that says so, exit status 1, and the token is nowhere in the output."""
    api.status = 401
    result = project.run("--kubeconfig", kubeconfig(api.url))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(errors=1)
    assert says(result, "does not accept the credentials", "log in again")
    assert not says(result, "very-secret-token")


def test_unknown_node(project: Project, api: Api, kubeconfig: Callable[..., Path]) -> None:
    """A node that the cluster does not have gives exit status 4 and the names that there are."""
    api.nodes("virtnest-rook-ceph-1", "virtnest-rook-ceph-2")
    result = project.run(
        "--kubeconfig", kubeconfig(api.url), "--ipip-nodes", "virtnest-rook-ceph-1,virtnest-rook-ceph-9"
    )
    assert result.ret == USAGE
    assert says(result, "virtnest-rook-ceph-9", "virtnest-rook-ceph-1, virtnest-rook-ceph-2")


def test_unknown_node_in_a_replay(project: Project) -> None:
    """A node that the evidence does not have gives exit status 4 as well."""
    result = project.run("--ipip-replay", project.evidence("n1"), "--ipip-nodes", "n9")
    assert result.ret == USAGE
    assert says(result, "no node 'n9'", "n1")


def test_header_names_context_and_server(project: Project, api: Api, kubeconfig: Callable[..., Path]) -> None:
    """The header says which cluster is looked at, and holds no credential."""
    api.nodes("n1")
    result = project.run("--kubeconfig", kubeconfig(api.url))
    result.stdout.fnmatch_lines([f"calico-ipip: context kubernetes-admin@cluster.local at {api.url}, from *"])
    assert not says(result, "very-secret-token")


@pytest.mark.parametrize("question", ["--help", "--markers", "--fixtures", "--collect-only", "--setup-plan"])
def test_questions_touch_nothing(project: Project, api: Api, kubeconfig: Callable[..., Path], question: str) -> None:
    """Asking pytest about tests and options sends nothing to the cluster."""
    assert project.run("--kubeconfig", kubeconfig(api.url), question).ret == pytest.ExitCode.OK
    assert api.requests == []


def test_the_node_list_is_read_once(project: Project, api: Api, kubeconfig: Callable[..., Path]) -> None:
    """The node list is the one thing that is read at collection, and it is read once."""
    api.nodes("n1", "n2")
    project.run("--kubeconfig", kubeconfig(api.url))
    assert len(api.requests) == 1


def test_cleanup_needs_a_cluster(project: Project) -> None:
    """--ipip-cleanup of a replay makes no sense and is refused."""
    result = project.run("--ipip-cleanup", "--ipip-replay", project.evidence("n1"))
    assert result.ret == USAGE
    assert says(result, "--ipip-cleanup needs a cluster")


def test_cleanup_collects_nothing(project: Project, api: Api, kubeconfig: Callable[..., Path]) -> None:
    """--ipip-cleanup says what it deleted, runs no test, and exits 0."""
    api.document = {"kind": "List", "items": []}
    result = project.run("--ipip-cleanup", "--kubeconfig", kubeconfig(api.url))
    assert result.ret == pytest.ExitCode.OK
    assert says(result, "nothing to delete")
    assert not says(result, "collected")

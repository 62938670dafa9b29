"""Connections to a real sshd: what works, and the sentence for each refusal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live.private_network import run_in_private_network


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every case once, against one sshd."""
    answer: dict[str, Any] = run_in_private_network("real_sshd", tmp_path_factory.mktemp("sshd"))
    return answer


@pytest.mark.parametrize(
    ("case", "problem", "remedy"),
    [
        ("unknown host key", "its host key is not known", "Log in once by hand"),
        ("changed host key", "its host key is not the one in known_hosts", "ssh-keygen -R"),
        ("wrong key", "no key was accepted", "--ipip-ssh-identity"),
        ("no user", "no key was accepted", "--ipip-ssh-user"),
        ("wrong port", "nothing listens for ssh there", "--ipip-ssh-port"),
        ("not root", "logged in as user id 1000, not as root", "--ipip-ssh-sudo"),
        ("no sudo", "sudo", "--ipip-ssh-user root"),
        ("broken config", "ssh does not accept its configuration", "ssh -G"),
    ],
)
def test_each_refusal_is_a_sentence_with_its_remedy(told: dict[str, Any], case: str, problem: str, remedy: str) -> None:
    """The problem names node and host and says what is wrong; the remedy says what to do about it."""
    said, advice = told[case]
    assert said.startswith("ssh to node (node)")
    assert problem in said
    assert remedy in advice


def test_a_connection_returns_status_bytes_and_words(told: dict[str, Any]) -> None:
    """Exit statuses are the command's own, output is binary-safe, stderr is apart."""
    assert told["good"]["statuses"] == [0, 3]
    assert told["good"]["binary"] == "00ff"
    assert told["good"]["words"] == "words – and more"


def test_the_connections_shell_keeps_its_variables_until_it_ends(told: dict[str, Any]) -> None:
    """Pieces fed to the shell share it; after its end everything is answered as a broken connection, at once."""
    assert told["good"]["kept"] == "kept=1\n"
    assert told["good"]["ended"] == 255
    assert told["good"]["after the end"] == 255


def test_all_commands_of_a_node_share_one_login(told: dict[str, Any]) -> None:
    """The sshd has seen one login for a shell and three commands: they are multiplexed, and are all that was run."""
    assert told["logins"] == 1
    assert told["sessions"] == 1 + 3


def test_the_address_is_the_configs_hostname_or_else_the_internal_ip(told: dict[str, Any]) -> None:
    """A node that the ssh config has a HostName for is named to ssh; another is reached at its InternalIP."""
    assert told["hosts"] == ["node", "10.7.120.12", "elsewhere"]


def test_nothing_waits_longer_than_it_may(told: dict[str, Any]) -> None:
    """A command, a piece for the shell and a connection that is closed meanwhile end in seconds, not in a minute."""
    run, asked, cut = told["too long"]["run"], told["too long"]["ask"], told["too long"]["cut"]
    assert [run[0], asked[0], cut[0]] == [255, 255, 255]
    assert max(run[1], asked[1], cut[1]) < 15
    assert "no answer from node within" in asked[2]


def test_a_node_may_not_send_for_ever(told: dict[str, Any]) -> None:
    """An endless answer is cut at its bound: it costs a broken connection and no memory."""
    status, seconds, words, kibibytes = told["too much"]
    assert status == 255
    assert seconds < 15
    assert words == "node said more than one answer may hold"
    assert kibibytes < 64 * 1024


def test_no_process_and_no_socket_is_left(told: dict[str, Any]) -> None:
    """When the connections are closed there is no ssh any more, and no directory of sockets."""
    assert told["left"] == []
    assert told["ssh processes"] == 0

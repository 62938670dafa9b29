"""The options: each on the command line, in the environment and in the ini file, in that order of precedence."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_calico_ipip import in_cluster
from pytest_calico_ipip.errors import UsageProblem
from pytest_calico_ipip.report.messages import LANGUAGES
from pytest_calico_ipip.settings import Settings

if TYPE_CHECKING:
    import pytest

IN_LAB = "CALICO_IPIP_LAB"  # set by the embedded lab for the command that runs inside
LAB_SETTLE = 5.0  # seconds: a lab on one machine has nothing slower to wait for
ACCESS = ("auto", "ssh", "pod")
PULL = ("IfNotPresent", "Always", "Never")
YES = ("1", "true", "yes", "on")
NO = ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class Option:
    """One option. `kind` is text, names (a list), words (as in a shell), number, whole, path, or flag."""

    flag: str
    help: str
    kind: str = "text"
    metavar: str = ""

    @property
    def dest(self) -> str:
        """The attribute of pytest's namespace; also the ini key."""
        return "ipip_kubeconfig" if self.flag == "--kubeconfig" else self.flag[2:].replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment twin."""
        return "KUBECONFIG" if self.flag == "--kubeconfig" else self.dest.upper()


KUBECONFIG = Option(
    "--kubeconfig",
    "judge the cluster that this kubeconfig leads to; `in-cluster`: the one this pod runs in",
    "path",
    "FILE",
)
LAB = Option("--ipip-lab", "no cluster: judge the embedded lab, a cluster on this machine", "flag")
REPLAY = Option("--ipip-replay", "no cluster: judge the evidence that an earlier run kept", "path", "DIR")
SOURCES = (KUBECONFIG, LAB, REPLAY)

OPTIONS = (
    *SOURCES,
    Option("--ipip-context", "the kubeconfig's context (default: its current one)", metavar="NAME"),
    Option("--ipip-evidence", "keep what was read in this directory: new, or empty", "path", "DIR"),
    Option("--ipip-nodes", "judge only these nodes (default: all that are schedulable)", "names", "A,B"),
    Option("--ipip-node-selector", "judge only nodes with these labels", metavar="SELECTOR"),
    Option("--ipip-tolerate", "let pods under test tolerate this taint", "names", "KEY[=VALUE][:EFFECT]"),
    Option("--ipip-pod-image", "image of the pods under test (default: curlimages/curl)", metavar="IMAGE"),
    Option(
        "--ipip-node-access",
        f"how the nodes are reached: {', '.join(ACCESS)} (auto: ssh where an option for ssh is given, else pod)",
        metavar="WAY",
    ),
    Option("--ipip-helper-image", f"image of the helper pods (default: {Settings.helper_image})", metavar="IMAGE"),
    Option("--ipip-helper-privileged", "run the helper pods privileged, where capabilities do not do", "flag"),
    Option("--ipip-image-pull-secret", "Secrets for both images, in the namespace of --ipip-namespace", "names", "A,B"),
    Option("--ipip-image-pull-policy", f"for both images: {', '.join(PULL)}", metavar="POLICY"),
    Option("--ipip-print-images", "print the images that a run would use, one a line, and end", "flag"),
    Option("--ipip-namespace", "use this existing namespace (default: a new one, deleted at the end)", metavar="NAME"),
    Option("--ipip-keep", "leave the pods, and the evidence, for a look at them; says how to remove them", "flag"),
    Option("--ipip-ssh-user", "user on the nodes", metavar="USER"),
    Option("--ipip-ssh-port", "port of the nodes' ssh", "whole", "PORT"),
    Option("--ipip-ssh-identity", "private key for the nodes", "path", "FILE"),
    Option("--ipip-ssh-config", "ssh configuration (default: ssh's own)", "path", "FILE"),
    Option("--ipip-ssh-sudo", "become root on the nodes with `sudo -n`", "flag"),
    Option("--ipip-settle", "at most so long until all pairs answer, before anything is judged", "number", "SECONDS"),
    Option("--ipip-pod-timeout", "time until the pods under test must be Ready", "number", "SECONDS"),
    Option(
        "--ipip-node-timeout", "time for reading one node (of more than 5: in proportion longer)", "number", "SECONDS"
    ),
    Option(
        "--ipip-capture-timeout",
        "time for the captures (of more than 5 nodes: in proportion longer)",
        "number",
        "SECONDS",
    ),
    Option("--ipip-explain", "tell how one packet travelled, step by step and why, before the verdict", "flag"),
    Option("--ipip-lang", f"language of the lesson and of the verdict: {', '.join(LANGUAGES)}", metavar="LANG"),
    Option(
        "--ipip-report",
        "write the run to this file, for machines (.json) or as a page for people (.html)",
        "path",
        "FILE",
    ),
    Option("--ipip-save-baseline", "write what a later run may be compared with to this new file", "path", "FILE"),
    Option("--ipip-baseline", "the data path must be as in this baseline of an earlier run (BASE-1)", "path", "FILE"),
    Option("--ipip-spoof", "send each node two IPIP packets from a foreign address: it must drop them (SEC-3)", "flag"),
    Option("--ipip-strict", "a broken SHOULD fails, too", "flag"),
    Option("--ipip-cleanup", "delete what interrupted runs left in the cluster, say what it was, and end", "flag"),
    Option("--ipip-lab-nodes", "number of nodes of the embedded lab (default: 3)", "whole", "N"),
    Option("--ipip-lab-option", "further options of `calico-ipip-lab run`, quoted as in a shell", "words", "OPTIONS"),
)
BY_FLAG = {option.flag: option for option in OPTIONS}


def add_options(parser: pytest.Parser) -> None:
    """Register every option but `--kubeconfig`, and the ini twins of all."""
    for option in OPTIONS:
        parser.addini(option.dest, f"{option.help} (as {option.flag})", default="")
        if option is not KUBECONFIG:
            _add(parser, option)


def add_kubeconfig(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Register `--kubeconfig`, once all plugins are there: that of pytest-kind means the same, and is shared."""
    names = {getattr(plugin, "__name__", "") for plugin in pluginmanager.get_plugins()}
    if "pytest_kind.plugin" not in names:
        _add(parser, KUBECONFIG)


def _add(parser: pytest.Parser, option: Option) -> None:
    group = parser.getgroup("calico-ipip", "Calico IPIP conformance (environment twins: KUBECONFIG, IPIP_…)")
    # no default here: None means that the command line is silent, and the next source is asked
    if option.kind == "flag":
        group.addoption(option.flag, dest=option.dest, action="store_true", default=None, help=option.help)
    else:
        action = "append" if option.kind in ("names", "words") else "store"
        group.addoption(
            option.flag,
            dest=option.dest,
            action=action,
            default=None,
            metavar=option.metavar,
            help=option.help.replace("%", "%%"),
        )


def spoken(config: pytest.Config, option: Option) -> Any:
    """What the command line says of an option; None where it is silent."""
    value = getattr(config.option, option.dest, None)
    if value is None and option is KUBECONFIG:
        value = getattr(config.option, "kubeconfig", None)  # the one that is shared
    return value


@dataclass(frozen=True)
class Given:
    """What each source of settings says, as text, by flag; the strongest first."""

    levels: tuple[Mapping[str, str], ...]
    directory: Path  # what relative paths of the command line and the environment start from
    ini_directory: Path  # what relative paths of the ini file start from
    titles: tuple[str, ...] = ("the command line", "the environment", "the ini file")
    in_lab: bool = False
    in_worker: bool = False  # of pytest-xdist: the controller observes, and has checked where to

    @classmethod
    def read(cls, config: pytest.Config) -> Given:
        """Ask the command line, the environment and the ini file."""
        line: dict[str, str] = {}
        for option in OPTIONS:
            value = spoken(config, option)
            if value is not None:
                line[option.flag] = " ".join(value) if isinstance(value, list) else str(value)
        environment = {o.flag: os.environ[o.variable] for o in OPTIONS if os.environ.get(o.variable)}
        ini = {o.flag: str(config.getini(o.dest)) for o in OPTIONS if config.getini(o.dest)}
        return cls(
            levels=(line, environment, ini),
            directory=config.invocation_params.dir,
            ini_directory=config.inipath.parent if config.inipath else config.rootpath,
            in_lab=os.environ.get(IN_LAB, "") not in NO,
            in_worker=hasattr(config, "workerinput"),
        )

    def text(self, flag: str) -> str | None:
        """The strongest source's words, None where all are silent."""
        return next((level[flag] for level in self.levels if flag in level), None)

    def flag(self, flag: str) -> bool:
        """A yes or a no; anything else is refused."""
        word = (self.text(flag) or "").lower()
        if word not in YES + NO:
            raise UsageProblem(f"{flag} is {word!r}, which is neither yes nor no", f"say one of: {', '.join(YES)}")
        return word in YES

    def asks(self, flag: str) -> bool:
        """Whether an option is given, and not as a no."""
        return self.flag(flag) if BY_FLAG[flag].kind == "flag" else self.text(flag) is not None

    def names(self, flag: str) -> tuple[str, ...]:
        """Words between commas or blanks, each once, in order."""
        return tuple(dict.fromkeys(word for word in re.split(r"[,\s]+", self.text(flag) or "") if word))

    def words(self, flag: str) -> list[str]:
        """Words as a shell reads them."""
        try:
            return shlex.split(self.text(flag) or "")
        except ValueError as error:
            raise UsageProblem(f"{flag} is {self.text(flag)!r}: {error}", "quote it as in a shell") from None

    def number(self, flag: str, default: float) -> float:
        """Seconds, positive or zero."""
        text = self.text(flag)
        if text is None:
            return default
        if not re.fullmatch(r"\d+(\.\d+)?", text):
            raise UsageProblem(f"{flag} is {text!r}, which is no number of seconds", "give a number such as 30")
        return float(text)

    def whole(self, flag: str, least: int, most: int) -> int | None:
        """A whole number in a range."""
        text = self.text(flag)
        if text is None:
            return None
        if not text.isdecimal() or not least <= int(text) <= most:
            raise UsageProblem(f"{flag} is {text!r}", f"give a whole number from {least} to {most}")
        return int(text)

    def one_of(self, flag: str, words: Sequence[str]) -> str:
        """One of these words; the first where all sources are silent."""
        text = self.text(flag)
        if text is None:
            return words[0]
        if text not in words:
            raise UsageProblem(f"{flag} is {text!r}", f"say one of: {', '.join(words)}")
        return text

    def path(self, flag: str) -> Path | None:
        """An absolute path; `~` is the user's home directory."""
        for level, start in zip(self.levels, (self.directory, self.directory, self.ini_directory), strict=True):
            if flag in level:
                return Path(os.path.normpath(start / Path(level[flag]).expanduser()))
        return None

    def source(self) -> Option | None:
        """The one source that is given; of several, those of the strongest level count.

        Raises UsageProblem where one level gives two.
        """
        for level, name in zip(self.levels, self.titles, strict=True):
            given = [o for o in SOURCES if o.flag in level and (o is not LAB or level[o.flag].lower() not in NO)]
            if len(given) > 1 and self.in_lab:
                # inside the lab its kubeconfig is the environment's; `--ipip-lab` names the same thing
                given = [option for option in given if option is not LAB]
            if len(given) > 1:
                both = " and ".join(option.flag if level is self.levels[0] else option.variable for option in given)
                raise UsageProblem(
                    f"{name} gives more than one source: {both}",
                    "give exactly one of --kubeconfig FILE, --ipip-lab and --ipip-replay DIR",
                )
            if given:
                return KUBECONFIG if given[0] is LAB and self.in_lab else given[0]
        return None


def settings(given: Given) -> Settings:
    """Everything decided; raises UsageProblem for what is wrong before any contact with a cluster."""
    source = given.source()
    inside = source is KUBECONFIG and given.text("--kubeconfig") == in_cluster.NAME
    if source is None and in_cluster.offered():
        source, inside = KUBECONFIG, True
    if source is None:
        raise UsageProblem(
            "no cluster to judge: neither --kubeconfig FILE, nor --ipip-lab, nor --ipip-replay DIR is given",
            "a kubeconfig leads to a real cluster, the lab is a cluster on this machine, a replay judges kept evidence"
            " (~/.kube/config is never taken unasked)",
        )
    # of the lab nothing is known before it stands; the run inside it decides again
    context = given.text("--ipip-context")
    kubeconfig = replay = None
    keep = source is KUBECONFIG and given.flag("--ipip-keep")  # a replay makes nothing
    server = ""
    if source is REPLAY:
        replay = _replay(given)
    elif inside:
        if context is not None:
            raise UsageProblem(
                f"--ipip-context is {context!r}, and {in_cluster.NAME} configuration has no contexts", "leave it out"
            )
        server = in_cluster.server()
    elif source is KUBECONFIG:
        from pytest_calico_ipip import kubeconfig as reader  # YAML is not paid for by a replay

        kubeconfig, found = reader.read(given.path("--kubeconfig"), context)
        context, server = found.context, found.server
    return Settings(
        kubeconfig=kubeconfig,
        in_cluster=inside,
        context=context,
        replay=replay,
        in_lab=given.in_lab,
        evidence=_evidence(given, source, keep),
        nodes=given.names("--ipip-nodes"),
        node_selector=given.text("--ipip-node-selector") or "",
        tolerations=given.names("--ipip-tolerate"),
        pod_image=_pod_image(given),
        node_access=_access(given),
        helper_image=_helper_image(given),
        helper_privileged=given.flag("--ipip-helper-privileged"),
        image_pull_secrets=_pull_secrets(given, source),
        image_pull_policy=given.one_of("--ipip-image-pull-policy", PULL),
        namespace=given.text("--ipip-namespace"),
        keep=keep,
        ssh_user=given.text("--ipip-ssh-user"),
        ssh_port=given.whole("--ipip-ssh-port", 1, 65535),
        ssh_identity=_file(given, "--ipip-ssh-identity"),
        ssh_config=_file(given, "--ipip-ssh-config"),
        ssh_sudo=given.flag("--ipip-ssh-sudo"),
        settle=given.number("--ipip-settle", LAB_SETTLE if given.in_lab else Settings.settle),
        pod_timeout=given.number("--ipip-pod-timeout", Settings.pod_timeout),
        node_timeout=given.number("--ipip-node-timeout", Settings.node_timeout),
        capture_timeout=given.number("--ipip-capture-timeout", Settings.capture_timeout),
        baseline=_baseline(given),
        save_baseline=_save_baseline(given),
        report=_report(given),
        spoof=given.flag("--ipip-spoof"),
        strict=given.flag("--ipip-strict"),
        explain=given.flag("--ipip-explain"),
        language=given.one_of("--ipip-lang", LANGUAGES),
        server=server,
    )


def images(given: Given) -> tuple[str, ...]:
    """What a run would pull: the image of the pods under test, and that of the helper pods where they are used."""
    helper = (_helper_image(given),) if _access(given) == "pod" else ()
    return (_pod_image(given), *helper)


def _pod_image(given: Given) -> str:
    return given.text("--ipip-pod-image") or Settings.pod_image


def _helper_image(given: Given) -> str:
    return given.text("--ipip-helper-image") or Settings.helper_image


def _pull_secrets(given: Given, source: Option) -> tuple[str, ...]:
    """Names of Secrets, which a namespace that the run makes cannot have: nobody would have put them there."""
    names = given.names("--ipip-image-pull-secret")
    if names and source is not REPLAY and not given.text("--ipip-namespace"):
        raise UsageProblem(
            f"--ipip-image-pull-secret is {', '.join(names)!r}, and the run's own new namespace has no such Secret",
            "make a namespace, put the Secret into it, and name it with --ipip-namespace",
        )
    return names


def _access(given: Given) -> str:
    way = given.one_of("--ipip-node-access", ACCESS)
    if way == "auto":
        ssh = [option.flag for option in OPTIONS if option.dest.startswith("ipip_ssh_")]
        return "ssh" if any((given.text(flag) or "").lower() not in NO for flag in ssh) else "pod"
    return way


def _file(given: Given, flag: str) -> Path | None:
    path = given.path(flag)
    if path is not None and not path.is_file():
        raise UsageProblem(f"{flag}: there is no file {path}", "name a file that exists")
    return path


def _baseline(given: Given) -> Path | None:
    path = _file(given, "--ipip-baseline")
    if path is not None:
        from pytest_calico_ipip import baseline  # only a run that asked for it pays

        baseline.read(path)
    return path


def _save_baseline(given: Given) -> Path | None:
    path = given.path("--ipip-save-baseline")
    if path is not None and path.exists():
        raise UsageProblem(
            f"--ipip-save-baseline: {path} is there already",
            "name a new file: an earlier baseline is never overwritten",
        )
    if path is not None and not path.parent.is_dir():
        raise UsageProblem(f"--ipip-save-baseline: there is no directory {path.parent}", "make it, or name another one")
    return path


def _report(given: Given) -> Path | None:
    path = given.path("--ipip-report")
    if path is None:
        return None
    if path.suffix not in (".json", ".html"):
        raise UsageProblem(f"--ipip-report: {path.name} ends with neither .json nor .html", "name it by its format")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageProblem(f"--ipip-report: {path} cannot be a file there", "name a file in a directory that exists")
    return path


def _replay(given: Given) -> Path:
    path = given.path("--ipip-replay")
    assert path is not None
    if not path.is_dir():
        raise UsageProblem(f"--ipip-replay: there is no directory {path}", "name what --ipip-evidence kept")
    if not any((path / name).exists() for name in ("run.json", "api", "nodes", "packets")):
        raise UsageProblem(
            f"--ipip-replay: {path} is no evidence: it has neither api/ nor nodes/ nor packets/",
            "name the directory that --ipip-evidence kept",
        )
    return path


def _evidence(given: Given, source: Option, keep: bool) -> Path | None:
    path = given.path("--ipip-evidence")
    if path is None:
        if keep and not given.in_worker:  # a worker of pytest-xdist finds the controller's
            return Path(tempfile.gettempdir()) / f"calico-ipip-evidence-{secrets.token_hex(8)}"
        return None
    if source is REPLAY:
        raise UsageProblem(
            "--ipip-evidence keeps what a run reads, and a replay reads nothing new",
            f"leave it out: the evidence stays where it is, in {given.text('--ipip-replay')}",
        )
    if path.exists() and not given.in_worker and (not path.is_dir() or any(path.iterdir())):
        raise UsageProblem(
            f"--ipip-evidence: {path} is there already and is no empty directory",
            "name a new directory: evidence of two runs must not mix, and nothing of yours is deleted",
        )
    return path

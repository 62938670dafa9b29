"""Everything that the command line, the environment and the ini file decide, as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PATIENT_FROM = 5  # nodes: for more of them bounds grow
MOST_PATIENCE = 6.0  # times what a few nodes are given


@dataclass(frozen=True)
class Settings:
    """One run's settings. Exactly one of `kubeconfig`, `in_cluster` and `replay` is set (the lab sets `kubeconfig`)."""

    kubeconfig: Path | None = None
    in_cluster: bool = False  # as the service account of the pod that this process runs in
    context: str | None = None
    replay: Path | None = None
    in_lab: bool = False  # this process runs inside the embedded lab
    evidence: Path | None = None  # keep the evidence here; None: a temporary directory, removed at the end
    nodes: tuple[str, ...] = ()  # names; empty: all that node_selector matches
    node_selector: str = ""  # a label selector
    tolerations: tuple[str, ...] = ()  # KEY[=VALUE][:EFFECT]
    pod_image: str = "curlimages/curl"
    node_access: str = "ssh"  # or "pod": by a helper pod on each node
    helper_image: str = "nicolaka/netshoot:v0.14"
    helper_privileged: bool = False
    image_pull_secrets: tuple[str, ...] = ()  # names of Secrets in the pods' namespace
    image_pull_policy: str = "IfNotPresent"
    keep: bool = False  # leave what the run makes in the cluster, and its evidence
    namespace: str | None = None  # an existing one; None: sleep-curl-<id> of the run's own
    ssh_user: str | None = None
    ssh_port: int | None = None
    ssh_identity: Path | None = None
    ssh_config: Path | None = None
    ssh_sudo: bool = False
    settle: float = 30.0  # seconds at most; 5 in the lab
    pod_timeout: float = 120.0  # seconds until the pods under test must be Ready
    node_timeout: float = 60.0  # seconds for one node's script
    capture_timeout: float = 60.0  # seconds for the capture round
    baseline: Path | None = None  # compare with this earlier run
    save_baseline: Path | None = None  # a new file for later runs to compare with
    report: Path | None = None  # write the run to this file: .json or .html
    spoof: bool = False  # send IPIP packets with an outer source that is no node's (SEC-3)
    strict: bool = False  # a broken SHOULD fails
    explain: bool = False  # tell the walk of one packet
    language: str = "en"  # of the lesson and of the verdict
    server: str = ""  # the API server's address as the kubeconfig has it, for messages; never a credential

    def in_time(self, seconds: float, nodes: int) -> float:
        """Seconds for what so many nodes do at the same time: those on one machine share its processors.

        In proportion from PATIENT_FROM nodes on, and bounded: a node that is alive and hangs is waited for so long.
        """
        return seconds * max(1.0, min(nodes / PATIENT_FROM, MOST_PATIENCE))

    @property
    def live(self) -> bool:
        """Whether they lead to a cluster."""
        return self.kubeconfig is not None or self.in_cluster

    @property
    def place(self) -> str:
        """The cluster, in words."""
        return (
            f"the cluster of this pod at {self.server}"
            if self.in_cluster
            else f"context {self.context} at {self.server}"
        )

    @property
    def longest(self) -> float:
        """Seconds after which a run is over, whatever happened; what it made may be removed then."""
        return self.pod_timeout + self.settle + MOST_PATIENCE * (self.node_timeout + self.capture_timeout) + 15 * 60

    @property
    def pods_last(self) -> float:
        """Seconds after which a pod of ours ends by itself: a run's longest time, or a day where it is kept."""
        return 24 * 3600 if self.keep else self.longest

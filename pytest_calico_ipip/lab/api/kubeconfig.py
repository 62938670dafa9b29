"""The kubeconfig of the lab: where its API is, whom to trust, and the token; for its owner's eyes only."""

from __future__ import annotations

import base64
import os
from pathlib import Path

_TEXT = """\
apiVersion: v1
kind: Config
clusters:
- name: calico-ipip-lab
  cluster:
    server: {url}
    certificate-authority-data: {authority}
users:
- name: calico-ipip-lab-admin
  user:
    token: {token}
contexts:
- name: calico-ipip-lab
  context:
    cluster: calico-ipip-lab
    user: calico-ipip-lab-admin
    namespace: default
current-context: calico-ipip-lab
preferences: {{}}
"""


def write(path: Path, *, url: str, authority: bytes, token: str) -> None:
    """Write it with mode 0600 from its first byte on; `authority` is the CA's certificate in PEM."""
    text = _TEXT.format(url=url, authority=base64.b64encode(authority).decode(), token=token)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)

"""A cluster on this machine: kernel, topology, Kubernetes API, BIRD, sshd, faults. Shares no code with the judge."""

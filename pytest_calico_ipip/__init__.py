"""pytest-calico-ipip: proves, packet by packet, that a cluster's Calico IPIP network does what it must."""

__version__ = "0.1.0"

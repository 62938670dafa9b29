"""Which kernel modules a lab needs, so that they can be loaded in one go instead of one by one on demand."""

from __future__ import annotations

# What the nodes' links, ipsets and iptables rules ask the kernel for. On-demand loading works too, but costs a
# program start a module. Debian's User-Mode Linux kernels have all of them; what those kernels lack is nf_tables for
# IPv4 (so the nodes run iptables-legacy, and profile nft is refused), and nothing that Calico's iptables rules of the
# recorded release use.
MODULES = (
    "ipip",
    "veth",
    "bridge",
    "af_packet",
    "ip_set_hash_ip",
    "ip_set_hash_net",
    "iptable_filter",
    "iptable_nat",
    "iptable_raw",
    "iptable_mangle",
    "xt_set",
    "xt_addrtype",
    "xt_comment",
    "xt_conntrack",
    "xt_mark",
    "xt_multiport",
    "xt_tcpudp",
    "xt_MASQUERADE",
    "ipt_rpfilter",
)

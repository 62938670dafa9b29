"""The one script of a node: which files it answers with, the commands that write them, and its text.

A fork costs; so commands of one kind are one `ip -batch`, whose output is, line by line, what each command prints on
its own, and only where the batch fails does each command run alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from pytest_calico_ipip.remote import PRELUDE, THERE

# In /proc/sys: what Calico sets, and what can undo it
_SYSCTL = (
    "net/ipv4/ip_forward net/ipv4/ip_forward_update_priority net/ipv4/ip_forward_use_pmtu "
    "net/ipv4/ip_no_pmtu_disc net/ipv4/fib_multipath_hash_policy "
    "net/core/fb_tunnels_only_for_init_net "
    + " ".join(
        f"net/ipv4/conf/*/{key}"
        for key in (
            "forwarding",
            "proxy_arp",
            "proxy_arp_pvlan",
            "rp_filter",
            "accept_local",
            "route_localnet",
            "send_redirects",
        )
    )
    + " net/ipv4/neigh/*/proxy_delay"
)
SYSCTL = f"cd /proc/sys && sysctl -e {_SYSCTL}"
_EXEC_SYSCTL = SYSCTL.replace("sysctl -e", "exec sysctl -e")  # the same with a process less

DETAILED = {"ip-addr.json": "addr", "ip-route.json": "route show table all", "ip-neigh.json": "neigh"}
NETNS_LIST = "netns list"  # comes last in its batch: it prints nothing at all where there are none
ROUTE_GET = "ip-route-get.json"
# the command as a person types it; `-d` changes nothing in what `ip neigh` prints
TYPED = {
    "ip-addr.json": "ip -j -d addr",
    "ip-route.json": "ip -j -d route show table all",
    "ip-neigh.json": "ip -j neigh",
    "ip-rule.json": "ip -j rule",
    "ip-netns.json": "ip -j netns list",
}
SINGLE = {
    "ip-link-stats.json": "ip -j -s link",
    "sysctl.txt": SYSCTL,
    "iptables-save.txt": "iptables-legacy-save -c",
    "ipset.txt": "ipset list",
    "nft.json": "nft -j list ruleset",
    "ethtool-tunl0.txt": "ethtool -k tunl0",
    "calico-mtu.txt": "cat /var/lib/calico/mtu",
}
# the firewall's counters once more, after the capture
AFTER = {
    "iptables-save.after.txt": "iptables-legacy-save -c",
    "nft.after.json": "nft -j list ruleset",
}
# what is read a second time after the capture, beside what the batches read: what a check compares with the datastore
AGAIN = ("sysctl.txt", "ipset.txt")
# only where nftables holds rules that iptables-nft made: nft does not know what their matches mean
BY_IPTABLES = {"iptables-nft-save.txt": "iptables-nft-save -c"}
BY_IPTABLES_AFTER = {"iptables-nft-save.after.txt": "iptables-nft-save -c"}
PREFIX_AGAIN = "again."
NODE_FILES = (*TYPED, ROUTE_GET, *SINGLE)
NETNS_FILES = (*DETAILED, "sysctl.txt")


@dataclass(frozen=True)
class PodPlace:
    """A pod under test, as the script looks for its network namespace: by interface, by route, by process."""

    key: str  # "namespace/name"
    interface: str  # the workload interface as Calico would name it
    address: IPv4Address
    uid: str


# Asking would load the modules into a kernel that has none of them, and nothing is to be seen there
_FIREWALL = r"""
legacy() {
  if [ ! -e /proc/net/ip_tables_names ]; then echo "no legacy tables in this kernel" >&2; return 0; fi
  if command -v iptables-legacy-save >/dev/null; then iptables-legacy-save -c; return; fi
  # one that reads nftables instead would tell its rules twice, and leave these out
  case $(iptables-save -V 2>/dev/null) in
    *nf_tables*) echo "legacy tables are there, and no iptables-legacy-save to read them with" >&2; return 127;;
  esac
  iptables-save -c
}
# a module that is loaded, or built in: then /sys/module does not have it. The kernel's symbols are searched once
_nft=
has_nftables() {
  if [ -z "$_nft" ]; then
    _nft=1
    if [ -d /sys/module/nf_tables ] || grep -qs nf_tables_newtable /proc/kallsyms; then _nft=0; fi
  fi
  return $_nft
}
nftables() {
  if ! has_nftables; then echo "no nftables in this kernel" >&2; echo '{"nftables": []}'; return 0; fi
  nft -j list ruleset
}
# the module has a parameter, which is shown there whether it is loaded or built in; where nothing is shown, ask
sets() {
  if [ -d /sys/module ] && [ ! -d /sys/module/ip_set ]; then echo "no sets in this kernel" >&2; return 0; fi
  ipset list
}
# by_iptables FILE NFT_FILE: FILE is written where NFT_FILE has such rules, or nft could not say
by_iptables() {
  has_nftables || return
  [ -s "$2" ] && ! grep -qs '"xt"' "$2" && return
  run "$1" of_iptables
}
of_iptables() {
  if command -v iptables-nft-save >/dev/null; then iptables-nft-save -c; return; fi
  case $(iptables-save -V 2>/dev/null) in *nf_tables*) iptables-save -c; return;; esac
  echo "nftables may hold rules of iptables, and there is no iptables-nft-save to read them with" >&2; return 127
}
"""
_OFFLOADS = r"""
offloads() {
  if ! there tunl0; then echo "netlink error: No such device" >&2; return 1; fi
  ethtool -k tunl0
}
"""
_FUNCTION = {
    "calico-mtu.txt": 'cat "$root/var/lib/calico/mtu"',
    "sysctl.txt": "sysctls",
    "iptables-save.txt": "legacy",
    "ipset.txt": "sets",
    "nft.json": "nftables",
    "ethtool-tunl0.txt": "offloads",
}
_AFTER_FUNCTION = {"iptables-save.after.txt": "legacy", "nft.after.json": "nftables"}

_FUNCTIONS = (
    r"""
sysctls() ( """
    + _EXEC_SYSCTL
    + r""" )
# enter NETNS COMMAND…: a named namespace, or pid-N for the one of a process
enter() {
  _in=$1; shift
  case $_in in pid-*) nsenter -t "${_in#pid-}" -n -- "$@";; *) ip netns exec "$_in" "$@";; esac
}
# locate INTERFACE ADDRESS UID: sets `interface` and `netns` ("-" where not found)
locate() {
  interface=$1; netns=-
  _find "$1" || {
    _route=$(ip -o route show "$2/32" 2>/dev/null)
    case $_route in *" dev "*) _dev=${_route#* dev }; _dev=${_dev%% *}; _find "$_dev" && interface=$_dev;; esac
  }
  if [ "$netns" = - ]; then
    for _file in $(grep -ls -e "$3" -e "$(echo "$3" | tr - _)" /proc/[0-9]*/cgroup); do
      _pid=${_file#/proc/}; _pid=${_pid%/cgroup}
      case $_pid in self|thread-self|$$) ;; *) netns=pid-$_pid; break;; esac
    done
  fi
}
# _find INTERFACE: the namespace of its peer, as `ip` names it in the link's line
_find() {
  _id=; _there=1
  while read -r _ _name _rest; do
    case $_name in "$1:"|"$1@"*)
      _there=0
      case $_rest in
        *" link-netns "*) netns=${_rest##* link-netns }; netns=${netns%% *};;
        *" link-netnsid "*) _id=${_rest##* link-netnsid }; _id=${_id%% *};;
      esac
      break;;
    esac
  done <links
  if [ -n "$_id" ]; then
    ip netns list >netnses 2>/dev/null
    while read -r _name _rest; do [ "$_rest" = "(id: $_id)" ] && netns=$_name; done <netnses
  fi
  return $_there
}
"""
    + _FIREWALL
    + THERE
    + _OFFLOADS
)


def reading_script(
    pods: Sequence[PodPlace],
    warm_up: Sequence[Sequence[IPv4Address]],
    look_up: Sequence[IPv4Address],
    settle: float,
    together: int,
) -> str:
    """The script's text.

    `warm_up` has, for each pod, whom to send echoes from it until they are answered, for `settle` seconds at most, so
    many side by side as `together` says; nothing of that is recorded. `look_up` are the addresses for `ip route get`.
    """
    lines = ["ip -o link show >links 2>links.stderr"]
    for number, pod in enumerate(pods):
        words = " ".join(map(shlex.quote, (pod.interface, str(pod.address), pod.uid)))
        lines.append(f'locate {words}; n{number}=$netns; echo "{number} $interface $netns" >>places')
    lines.append(_settle(warm_up, settle, together))
    lines += _node(look_up, SINGLE)
    lines += [f"by_iptables {name} nft.json" for name in BY_IPTABLES]
    for number in range(len(pods)):
        netns = f'"$n{number}"'
        sysctls = f"run {number}.sysctl.txt enter {netns} /bin/sh -c {shlex.quote(_EXEC_SYSCTL)} </dev/null"
        lines += [f'if [ "$n{number}" != - ]; then', _inside(netns, f"{number}."), sysctls, "fi"]
    lines.append("finish 0")
    return PRELUDE + _FUNCTIONS + "\n".join(lines) + "\n"


def after_script(netnses: Sequence[str | None], look_up: Sequence[IPv4Address]) -> str:
    """Commands for the end of another script: what is read a second time.

    The firewall's counters, and, each file's name with a prefix, whatever else may have changed since it was read.
    `netnses` has, for each pod, the network namespace that `reading_script` found, or None.
    """
    lines = [f"run {name} {_AFTER_FUNCTION.get(name, command)}" for name, command in AFTER.items()]
    lines += [f"by_iptables {name} nft.after.json" for name in BY_IPTABLES_AFTER]
    lines += _node(look_up, {name: SINGLE[name] for name in AGAIN}, PREFIX_AGAIN)
    for number, netns in enumerate(netnses):
        lines += [] if netns is None else [_inside(shlex.quote(netns), f"{PREFIX_AGAIN}{number}.")]
    return _FUNCTIONS + "\n".join(lines) + "\n"


def _node(look_up: Sequence[IPv4Address], singles: Mapping[str, str], prefix: str = "") -> list[str]:
    """What is read in the node's own namespace."""
    lines = [_batch(f"{prefix}detailed", "ip -j -d", DETAILED, prefix)]
    # a look-up that fails is an answer too: -force goes on with the next
    lines += [f"run {prefix}plain ip -j -force -batch - <<'END'", "rule"]
    lines += [*(f"route get {address}" for address in look_up), NETNS_LIST, "END"]
    return [*lines, *(f"run {prefix}{name} {_FUNCTION.get(name, command)}" for name, command in singles.items())]


def _inside(netns: str, prefix: str) -> str:
    """What is read in the namespace of one pod, and once more."""
    return _batch(f"{prefix}detailed", f"enter {netns} ip -j -d", DETAILED, prefix)


def _batch(name: str, ip: str, files: Mapping[str, str], prefix: str = "") -> str:
    """Several `ip` commands in one process, and each on its own where that fails."""
    alone = "\n".join(f"  run {prefix}{file} {ip} {request}" for file, request in files.items())
    return "\n".join([f"run {name} {ip} -batch - <<'END' || {{", *files.values(), "END", alone, "}"])


# those that are not answered are tried again, all together; a fork each, as there are many of them
_ECHOES = r"""
some() { for _one in $pids; do wait "${_one%%:*}" || left="$left ${_one#*:}"; done; pids=; n=0; }
together=$1; shift
while :; do
  left= pids= n=0
  for a; do
    ping -n -q -c1 -W1 "$a" & pids="$pids $!:$a" n=$((n+1))
    [ $n -lt "$together" ] || some
  done
  some; set -- $left
  [ $# -gt 0 ] && [ "$(date +%s)" -lt "$end" ] || break
  sleep 0.2 || sleep 1
done
"""


def _settle(warm_up: Sequence[Sequence[IPv4Address]], seconds: float, together: int) -> str:
    """Echoes until each is answered; the clock is asked only after a failure."""
    lines = [f"end=$(( $(date +%s) + {max(0, round(seconds))} )); export end"]
    for number, addresses in enumerate(warm_up):
        if addresses:
            words = f"{shlex.quote(_ECHOES)} sh {together} {' '.join(map(str, addresses))}"
            command = f"/bin/sh -c {words} </dev/null >/dev/null 2>&1 &"
            lines.append(f'[ "$n{number}" = - ] || enter "$n{number}" {command}')
    lines.append("wait")
    return "\n".join(lines)

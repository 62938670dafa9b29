"""The messages in Chinese."""

from __future__ import annotations

from collections.abc import Mapping

REQUIREMENTS: Mapping[str, str] = {
    "POOL-1": "Pod 的地址来自启用的地址池，该池开 IPIP、不开 VXLAN",
    "POOL-2": "地址池互不重叠，地址块互不重叠，每个块都在一个池之内并且大小正确",
    "POOL-3": "每个属于某节点的地址块都有且只有一条已确认的亲和记录，该节点确实在集群中",
    "POOL-4": "FelixConfiguration 与 BGPConfiguration 对由谁写 IPIP 路由的说法一致",
    "NODE-1": "IPv4Address 注解是一个 CIDR，不与别的节点重复，并且恰好在本节点一个已启用的设备上",
    "NODE-2": "IPv4Address 注解是该节点的 InternalIP 之一",
    "NODE-3": "隧道地址已设置、不重复、在 IPIP 池之内，并且在 IPAM 中分配给了该节点",
    "NODE-4": "IPv4 转发已打开，而且到 169.254.1.1 的路由不从任何工作负载接口出去",
    "POD-1": "受测 Pod 在该节点上处于 Running 和 Ready，地址在 IPIP 池之内",
    "POD-2": "Pod 的 eth0 上只有它的 Pod IP，掩码是 /32",
    "POD-3": "Pod 的默认路由经 eth0 到 169.254.1.1，并且有到它的链路路由",
    "POD-4": "169.254.1.1 解析到工作负载接口的 MAC 地址",
    "VETH-1": "工作负载接口的名字由它的 Pod 算出",
    "VETH-2": "工作负载接口与 eth0 互为对端，后者在该 Pod 自己的命名空间里",
    "VETH-3": "两端都已启用且都是 veth，节点一端的 MAC 地址是 ee:ee:ee:ee:ee:ee",
    "VETH-4": "每个工作负载接口都打开了 proxy_arp 和 forwarding",
    "TUN-1": "tunl0 是 ipip 设备，对端不限，TTL 继承，并且已启用",
    "TUN-2": "tunl0 上只有本节点的隧道地址，掩码是 /32",
    "MTU-1": "tunl0 的 MTU 符合 Felix 的规则，底层网卡也容得下",
    "MTU-2": "Pod 两端的 MTU 相同，取已启用的各种封装中的最小值",
    "MTU-3": "所有节点上 Pod 的 MTU 都一样",
    "MTU-4": "不许分片、恰好等于 Pod MTU 的回显请求得到应答",
    "MTU-5": "再多一个字节就在发送方被拒绝并告知 MTU，而不是丢在路上",
    "MTU-6": "一兆字节的 TCP 传输能够完成，双方 SYN 通告的 MSS 都是 Pod MTU 减 40",
    "ROUTE-1": "每个本地 Pod 都有经过其工作负载接口的 /32 路由，且不经过别的设备",
    "ROUTE-2": "其他节点的每个地址块都有一条路由，通向那个节点，设备正确",
    "ROUTE-3": "本节点的每个地址块都是一条黑洞路由",
    "ROUTE-4": "在 IPIP 池的范围内，没有数据存储解释不了的路由",
    "ROUTE-5": "内核对每个 Pod 地址的决定与其路由应有的去向一致",
    "ROUTE-6": "借用了别的节点地址块的 Pod，在其余每个节点上都有 /32 路由",
    "ROUTE-7": "IPIP 路由带着写它的那一方的协议号，没有另一方留下的路由",
    "PATH-1": "每个探测包及其应答在途经的每个抓包点恰好出现一次，别处没有",
    "PATH-2": "在 eth0、工作负载接口和 tunl0 上，包没有外层，是 Pod 到 Pod",
    "PATH-3": "在底层网络上，包在一层 IPIP 头之内，节点到节点，各字段与内核应有的一致",
    "PATH-4": "应答与请求里外都互为镜像",
    "PATH-5": "内层 TTL 在每个节点减一，别处不变；其余内容原样不动",
    "PATH-6": "同一节点上的两个 Pod 直接通信，tunl0 和底层网卡上什么都看不到",
    "PATH-7": "节点发给远端 Pod 的包经过封装，源地址是它的隧道地址",
    "PATH-8": "Pod 到 Pod 的 TCP 与其他包一样被封装",
    "PATH-9": "Always 模式下，IPIP 池内两个地址之间的包不会裸露在底层网络上",
    "PATH-10": "CrossSubnet 模式下，同一子网内的包不封装，跨子网的包封装",
    "BGP-1": "运行 BIRD 的节点上，与每个对端的会话都是 Established",
    "BGP-2": "对端从一个节点收到的只有它自己的地址块和它自己的活动 Pod，没有 IPIP 池中的其他内容",
    "SEC-1": "允许发来 IPIP 包的主机集合就是所有节点加上 externalNodesList",
    "SEC-2": "入向链只接受该集合发来的协议 4，其余丢弃，并且这次一个也没有丢",
    "SEC-3": "主机集合之外发来的 IPIP 包不会交付给它所携带的 Pod",
    "BASE-1": "下一跳、设备、MTU 和封装方式都与先前那次运行的基线一致",
}

SENTENCES: Mapping[str, str] = {
    # the verdict
    "verdict.title": "Calico IPIP 一致性检查",
    "verdict.cluster": "整个集群",
    "verdict.not-asserted": "没有检查：",
    "verdict.no-reason": "没有说明原因",
    "verdict.more-reasons": "（另有 {number} 个类似的原因）",
    "verdict.observing": "观察过程中：",
    "verdict.more-in-run": "……另有 {number} 条，见 run.json",
    "verdict.not-judged": "无法判断：",
    "verdict.on": "{requirements} 在 {places}",
    "verdict.more-problems": "……另有 {number} 个问题，已列在上面",
    "verdict.warnings": "警告（不成立的 SHOULD；加 --ipip-strict 则算失败）：",
    "verdict.more": "……还有更多",
    "verdict.broken": "不成立：",
    "verdict.more-listed": "……另有 {number} 条，已列在上面",
    "verdict.more-differences": "……另有 {number} 处差异，已列在上面",
    "verdict.noted": "附注：",
    "verdict.more-notes": "……另有 {number} 条",
    "verdict.left-out": "未计入：{object}",
    "verdict.not-kept": "证据没有保留：--ipip-evidence DIR 可以保留，--ipip-replay DIR 可以重新判断。",
    "baseline.saved": "供以后对比的基线：{path}",
    "report.written": "报告：{path}",
    "page.causes": "最可能的原因",
    "page.findings": "发现的问题",
    "page.requirements": "全部要求",
    "verdict.kept": "证据：{path}   重新判断：{command}",
    "verdict.interrupted": "被中断，其余没有检查",
    "verdict.last-broken": "不成立：{what}",
    "verdict.last-not-judged": "无法判断：{what}",
    "verdict.last-silent": "完全没有检查到：{what}",
    "verdict.holds.one": "{number} 条要求在{where}上成立",
    "verdict.holds.many": "{number} 条要求在{where}上成立",
    "verdict.nothing": "零个对象",
    "verdict.and": "和",
    "verdict.with-warnings.one": "，有 {number} 个警告",
    "verdict.with-warnings.many": "，有 {number} 个警告",
    "verdict.absent.one": "；{number} 条不在这份证据中",
    "verdict.absent.many": "；{number} 条不在这份证据中",
    "verdict.named": "{requirement} 在 {places}",
    "verdict.more-named": "；另有 {number} 条",
    "verdict.more-names": " 等另外 {number} 个",
    "count.node.one": " {number} 个节点",
    "count.node.many": " {number} 个节点",
    "count.pair.one": " {number} 对节点",
    "count.pair.many": " {number} 对节点",
    "count.cluster.one": " {number} 个集群",
    "count.cluster.many": " {number} 个集群",
    "held.node.one": "{holding}/{number} 个节点",
    "held.node.many": "{holding}/{number} 个节点",
    "held.pair.one": "{holding}/{number} 对节点",
    "held.pair.many": "{holding}/{number} 对节点",
    "held.no-node": "没有节点",
    "held.no-pair": "没有节点对",
    "label.expected": "应为",
    "label.observed": "实为",
    "label.read in": "读自",
    "label.again": "再读",
    "label.note": "说明",
    "label.way": "路径",
    # the lesson: its frame
    "lesson.title": "一个包是怎样走的",
    "lesson.echo": "从 {sender}（{source}）到 {receiver}（{destination}）的一次回显：{flight}",
    "lesson.there": "去程：",
    "lesson.back": "回程（简述）：",
    "lesson.none": "没有可讲的包：这份证据中没有：{reason}",
    "lesson.unread": "没有可讲的包：这次运行没有任何测试读过证据。",
    "lesson.broken": ("这个集群并非一切正常：下面的结论指出了 {requirements}。这一课只讲这一个包，排查请从结论开始。"),
    "lesson.in-pod": "在 Pod {pod} 之内",
    "lesson.on-node": "在节点上",
    "lesson.bytes": "{number} 字节",
    "label.outer": "外层",
    "label.inner": "内层",
    "label.middle": "中间层",
    "label.packet": "包",
    "label.device": "设备",
    "label.route": "路由",
    "label.decision": "内核决定",
    "label.neighbour": "邻居",
    "label.why": "为什么",
    "label.try": "试一试",
    # the lesson: who talks to whom
    "setting.nodes": (
        "发送方运行在 {source_node}（{source_address}）上，接收方运行在 {destination_node}（{destination_address}）上。"
    ),
    "setting.tunnelled": (
        "{receiver} 来自地址池 {pool}（{cidr}，ipipMode {mode}），所以在这两个节点之间，这个包必须装在另一个包里走，"
        "这就是 IPIP。"
    ),
    "setting.bare": "{receiver} 来自地址池 {pool}（{cidr}，ipipMode {mode}），在这两个节点之间用不着隧道。",
    # the lesson: steps
    "sight.more": "这里看到了 {count} 次这个包，正常应该只有一次。",
    "sight.never": "包从未到达这里，而这里的抓包若有就一定会看到。",
    "sight.no-tap": "这里没有抓包，跳过。",
    "sight.optional": "eBPF 可能在这之前就把包交走了，这里看不到也属正常。",
    "sight.problem": "这里的抓包不可信：{problem}",
    "pod.host-address": (
        "Pod 的地址 {address} 自成一个只有一个成员的子网：在它的链路上没有任何邻居，发什么包都得靠路由。"
    ),
    "pod.gateway": (
        "路由指向 {gateway}。这个地址在每个 Pod 里都相同，却不属于任何机器，也不会出现在包里；"
        "它的用处只是让 Pod 有一个可以用 ARP 询问的对象。"
    ),
    "pod.proxy-arp": (
        "{interface} 是 Pod 这根“网线”在节点上的一端，它打开了 proxy_arp，以自己的 MAC 地址 {mac} 代替 {gateway} 作答。"
        "帧就送到那里。"
    ),
    "pod.mac": "{gateway} 解析为 {mac}，也就是 {interface}（Pod 这根“网线”在节点上的一端）的 MAC 地址。",
    "workload.other-end": (
        "进 {device} 的东西从 {interface} 出来，因为两者是同一对 veth 的两端。包的内容没有变，但它已经到了节点手里，"
        "接下来由节点的路由表决定。"
    ),
    "route.tunnel": (
        "{destination} 在 {network} 之内，这个地址块属于 {node}。路由的设备是 {device}，"
        "网关就是 {node} 自己的地址 {gateway}：隧道正是由此得知该往哪里送。"
    ),
    "route.onlink": "有了 onlink，即使 {device} 上没有与 {gateway} 同一子网的地址，内核也接受它作网关。",
    "route.same-subnet": (
        "{destination} 在 {network} 之内，这个地址块属于 {node}。该节点的地址 {gateway} 就在本节点的子网 {subnet} 里，"
        "从 {device} 直接可达，所以包不必再裹一层。"
    ),
    "route.by-bird": "proto bird：{node} 通过 BGP 宣告了自己的地址块，本节点的 BIRD 据此写下了这条路由。",
    "route.by-felix": "proto {protocol}：这条路由是 Felix 根据 Calico 的数据存储写的，没有经过 BGP。",
    "forwarded": "节点像普通路由器一样转发这个包，代价是 TTL 减一：从 {before} 变成 {after}。",
    "tunnel.open": (
        "{device} 没有固定的对端（remote any）。它把路由的网关 {gateway} 当作要写在外面的目的地址，"
        "再查一次路由表，这次查的是 {gateway}。"
    ),
    "tunnel.mtu": "它的 MTU 是 {mtu}，比 {nic} 的 {nic_mtu} 少 {room} 字节，为第二个头留出位置。",
    "outer.added": (
        "前面多了一个 {header} 字节的 IPv4 头：{inner} 字节变成 {outer} 字节。它的协议号是 {protocol}，"
        "意思是后面跟着的又是一个 IPv4 包。"
    ),
    "outer.nodes": (
        "写在外面的是节点：{source}（{source_node}）和 {to}（{to_node}）。"
        "它们之间的网络只管把包从节点送到节点，不需要认识任何 Pod。"
    ),
    "outer.copied": "外层头照抄了内层的 TTL（{ttl}），也照抄了允许分片这一点。",
    "outer.copied-df": "外层头照抄了内层的 TTL（{ttl}）和 DF 位（不许分片）。",
    "bare.leaves": "没有第二个头：包带着 Pod 自己的地址从 {nic} 出去，帧的目的是 {node} 的 MAC 地址。",
    "wire.unchanged": "到达时与发出时一模一样：两个节点之间没有路由器。",
    "wire.router": "两个节点之间有一台路由器，把最外层的 TTL 从 {before} 减到 {after}；里面的头不受影响。",
    "wire.routers": "两个节点之间有 {routers} 台路由器，把最外层的 TTL 从 {before} 减到 {after}；里面的头不受影响。",
    "outer.arrived": (
        "{address} 是本节点自己的地址，外层的包到此为止。里面的东西交给谁，由协议号 {protocol} 决定：交给 {device}。"
    ),
    "tunnel.removed": (
        "外层头已经去掉。剩下的与 {node} 当初装进去的包逐个字段相同，TTL 是 {ttl}；"
        "在本节点看来，它就像从 {device} 这根“网线”上收到的一样。"
    ),
    "local.longest": (
        "有两条路由都符合 {address}：本节点地址块的黑洞（/{block_length}），以及经 {device} 到 Pod 的路由"
        "（/{length}）。前缀长的优先，所以包交给 Pod。"
    ),
    "local.blackhole": (
        "黑洞接住 {block} 中没有分给任何 Pod 的地址：发往它们的包到此为止，不会再顺着默认路由跑出节点。"
    ),
    "workload.real-mac": (
        "在 {interface} 后面，节点用 ARP 询问 {address}，由 Pod 自己作答：{mac} 是它的 {device} 真正的 MAC 地址。"
    ),
    "pod.arrived": "{address} 是 Pod 自己的地址：包到了，Pod 作出应答。",
    # the lesson: how it ends
    "ending.mirrored": (
        "应答沿着同一条路反方向走回来，经过 {taps} 个点，里外两对地址都对调；每个节点用的都是上面这些规则。"
    ),
    "ending.mirrored-bare": (
        "应答沿着同一条路反方向走回来，经过 {taps} 个点，两个地址对调；每个节点用的都是上面这些规则。"
    ),
    "ending.no-df": "应答没有 DF 位：回答回显请求的内核允许自己的应答被分片，不管请求里怎么写。",
    "ending.unwatched": "路上并非每个点都有抓包；看到的部分彼此吻合。",
    "ending.elsewhere": "在不该经过的地方也看到了这个包：请看结论。",
    "ending.no-reply": "请求到了，但没有看到对它的应答。这一课到此为止，请看结论。",
    "ending.lost": ("这一课到此为止：{last} 看到了这个包，{here} 却从未看到。包丢在这两点之间；已知的原因请看结论。"),
    "ending.lost-at-once": "这一课还没开始就结束了：连 {here} 都没有看到这个包，请看结论。",
    "ending.reply-lost": (
        "这一课到此为止：{last} 看到了应答，{here} 却从未看到。应答丢在这两点之间；已知的原因请看结论。"
    ),
    "ending.reply-lost-at-once": "这一课到此为止：连应答的起点 {here} 都没有看到它，请看结论。",
}

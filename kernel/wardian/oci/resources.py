"""``linux.resources`` of config.json (config-linux.md, "Control groups"), as our limits."""

# Annotations are evaluated at once: as text they would cost msgspec 4 ms of each command.
from collections.abc import Iterator

import msgspec

from wardian.cgroups import devices as rules
from wardian.cgroups.limits import DeviceRate, HugePages, Limits
from wardian.cgroups.settings import Setting
from wardian.errors import InvalidInput


class DeviceRule(msgspec.Struct, frozen=True):
    """One line of the device cgroup."""

    allow: bool
    type: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"

    def rule(self) -> rules.DeviceRule:
        """Ours; a number below 0 is any, as no number is."""
        try:
            kind = rules.DeviceKind((self.type or "a").replace("u", "c"))
        except ValueError:
            raise _wrong(f"devices.type {self.type[:20]!r} is none of a, b, c, u") from None
        return rules.DeviceRule(
            kind=kind,
            major=_natural(self.major),
            minor=_natural(self.minor),
            access=self.access or "rwm",
            allow=self.allow,
        )


class Memory(msgspec.Struct, frozen=True):
    """Bytes; -1 is unlimited."""

    limit: int | None = None
    swap: int | None = None
    reservation: int | None = None
    swappiness: int | None = None
    disableOOMKiller: bool = False  # noqa: N815  # the spec's names
    kernelTCP: int | None = None  # noqa: N815


class Cpu(msgspec.Struct, frozen=True):
    """Shares, and times in microseconds."""

    shares: int | None = None
    quota: int | None = None
    period: int | None = None
    burst: int | None = None
    realtimeRuntime: int | None = None  # noqa: N815
    realtimePeriod: int | None = None  # noqa: N815
    idle: int | None = None
    cpus: str | None = None
    mems: str | None = None


class Pids(msgspec.Struct, frozen=True):
    """How many processes; not positive is unlimited."""

    limit: int = 0


class Throttle(msgspec.Struct, frozen=True):
    """Bytes or operations a second on one disk."""

    major: int
    minor: int
    rate: int


class Weight(msgspec.Struct, frozen=True):
    """One disk's share."""

    major: int
    minor: int
    weight: int | None = None
    leafWeight: int | None = None  # noqa: N815


class BlockIO(msgspec.Struct, frozen=True):
    """Weight and rates of disks."""

    weight: int | None = None
    leafWeight: int | None = None  # noqa: N815
    weightDevice: tuple[Weight, ...] = ()  # noqa: N815
    throttleReadBpsDevice: tuple[Throttle, ...] = ()  # noqa: N815
    throttleWriteBpsDevice: tuple[Throttle, ...] = ()  # noqa: N815
    throttleReadIOPSDevice: tuple[Throttle, ...] = ()  # noqa: N815
    throttleWriteIOPSDevice: tuple[Throttle, ...] = ()  # noqa: N815


class HugepageLimit(msgspec.Struct, frozen=True):
    """Bytes in huge pages of one size."""

    pageSize: str  # noqa: N815
    limit: int


class InterfacePriority(msgspec.Struct, frozen=True):
    """What priority its packets have on an interface."""

    name: str
    priority: int


class Network(msgspec.Struct, frozen=True):
    """How its packets are marked (cgroup v1)."""

    classID: int | None = None  # noqa: N815
    priorities: tuple[InterfacePriority, ...] = ()


class Rdma(msgspec.Struct, frozen=True):
    """Handles and objects of one device for remote memory."""

    hcaHandles: int | None = None  # noqa: N815
    hcaObjects: int | None = None  # noqa: N815


class Resources(msgspec.Struct, frozen=True):
    """What the cgroup limits."""

    memory: Memory = Memory()
    cpu: Cpu = Cpu()
    pids: Pids = Pids()
    devices: tuple[DeviceRule, ...] = ()
    blockIO: BlockIO = BlockIO()  # noqa: N815
    hugepageLimits: tuple[HugepageLimit, ...] = ()  # noqa: N815
    network: Network = Network()
    rdma: dict[str, Rdma] = msgspec.field(default_factory=dict)
    unified: dict[str, str] = msgspec.field(default_factory=dict)

    def settings(self) -> Iterator[Setting]:
        """The rest: a control file each, which hardly any host has all of."""
        memory, disks = self.memory, self.blockIO
        tcp = "memory.kmem.tcp.limit_in_bytes"
        yield from _setting("memory.kernelTCP", memory.kernelTCP, v1=tcp)
        yield from _setting("cpu.idle", self.cpu.idle, v1="cpu.idle", v2="cpu.idle")
        yield from _setting("blockIO.leafWeight", disks.leafWeight, v1="blkio.leaf_weight")
        for disk in disks.weightDevice:
            where, of_disk = "blockIO.weightDevice", f"{disk.major}:{disk.minor}"
            share = disk.weight and f"{of_disk} {disk.weight}"
            leaf = disk.leafWeight and f"{of_disk} {disk.leafWeight}"
            yield from _setting(where, share, v1="blkio.bfq.weight_device", v2="io.bfq.weight")
            yield from _setting(where, leaf, v1="blkio.leaf_weight_device")
        yield from _setting("network.classID", self.network.classID, v1="net_cls.classid")
        for one in self.network.priorities:
            text = f"{_word(one.name)} {one.priority}"
            yield from _setting("network.priorities", text, v1="net_prio.ifpriomap")
        for name, wish in self.rdma.items():
            counts = {"hca_handle": wish.hcaHandles, "hca_object": wish.hcaObjects}
            words = [f"{key}={count}" for key, count in counts.items() if count is not None]
            text = " ".join((_word(name), *words))
            yield from _setting("rdma", text, v1="rdma.max", v2="rdma.max")

    def limits(self) -> Limits:
        """The same as Limits, but ``unified``; InvalidInput for what cannot be one."""
        for name in self.unified:
            if "/" in name or "." not in name.strip("."):
                raise _wrong(f"unified {name[:40]!r} is no control file")
        memory, cpu, disks = self.memory, self.cpu, self.blockIO
        return Limits(
            memory_bytes=_positive(memory.limit),
            memory_swap_bytes=-1 if memory.swap == -1 else _positive(memory.swap),
            memory_reservation_bytes=_positive(memory.reservation),
            memory_swappiness=memory.swappiness,
            oom_kill_disable=memory.disableOOMKiller or None,
            cpu_quota_usec=_positive(cpu.quota),
            cpu_period_usec=_positive(cpu.period),
            cpu_burst_usec=_positive(cpu.burst),
            cpu_rt_runtime_usec=_positive(cpu.realtimeRuntime),
            cpu_rt_period_usec=_positive(cpu.realtimePeriod),
            cpu_shares=_positive(cpu.shares),
            cpuset_cpus=cpu.cpus or None,
            cpuset_mems=cpu.mems or None,
            pids=_positive(self.pids.limit),
            blkio_weight=_positive(disks.weight),
            device_read_bps=_rates(disks.throttleReadBpsDevice),
            device_write_bps=_rates(disks.throttleWriteBpsDevice),
            device_read_iops=_rates(disks.throttleReadIOPSDevice),
            device_write_iops=_rates(disks.throttleWriteIOPSDevice),
            hugetlb=tuple(
                HugePages(page_size=one.pageSize, limit_bytes=one.limit)
                for one in self.hugepageLimits
            ),
            device_rules=self._device_rules(),
        )

    def _device_rules(self) -> tuple[rules.DeviceRule, ...]:
        """Theirs in their order, then the devices that every container has."""
        if not self.devices:
            return ()
        return (*(each.rule() for each in self.devices), *rules.DEFAULT)


def _setting(field: str, value: str | int | None, *, v1: str, v2: str = "") -> Iterator[Setting]:
    if value not in (None, ""):
        text = str(value)
        words = f"config.json: linux.resources.{field}"
        yield Setting(words, {v1: text}, {v2: text} if v2 else {})


def _word(name: str) -> str:
    """A name as part of a control file's line."""
    if not name or any(character.isspace() for character in name):
        raise _wrong(f"{name[:40]!r} is no device's name")
    return name


def _rates(throttles: tuple[Throttle, ...]) -> tuple[DeviceRate, ...]:
    return tuple(
        DeviceRate(major=one.major, minor=one.minor, per_second=one.rate)
        for one in throttles
        if one.rate > 0
    )


def _positive(value: int | None) -> int | None:
    return value if value and value > 0 else None


def _natural(value: int | None) -> int | None:
    return None if value is None or value < 0 else value


def _wrong(why: str) -> InvalidInput:
    return InvalidInput(f"config.json: linux.resources.{why}", hint="config-linux.md has the rules")

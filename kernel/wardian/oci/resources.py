"""``linux.resources`` of config.json (config-linux.md, "Control groups"), as our limits."""

# Annotations are evaluated at once: as text they would cost msgspec 4 ms of each command.
import msgspec

from wardian.cgroups import devices as rules
from wardian.cgroups.limits import DeviceRate, HugePages, Limits
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


class Cpu(msgspec.Struct, frozen=True):
    """Shares, and times in microseconds."""

    shares: int | None = None
    quota: int | None = None
    period: int | None = None
    burst: int | None = None
    realtimeRuntime: int | None = None  # noqa: N815
    realtimePeriod: int | None = None  # noqa: N815
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


class BlockIO(msgspec.Struct, frozen=True):
    """Weight and rates of disks."""

    weight: int | None = None
    throttleReadBpsDevice: tuple[Throttle, ...] = ()  # noqa: N815
    throttleWriteBpsDevice: tuple[Throttle, ...] = ()  # noqa: N815
    throttleReadIOPSDevice: tuple[Throttle, ...] = ()  # noqa: N815
    throttleWriteIOPSDevice: tuple[Throttle, ...] = ()  # noqa: N815


class HugepageLimit(msgspec.Struct, frozen=True):
    """Bytes in huge pages of one size."""

    pageSize: str  # noqa: N815
    limit: int


class Resources(msgspec.Struct, frozen=True):
    """What the cgroup limits."""

    memory: Memory = Memory()
    cpu: Cpu = Cpu()
    pids: Pids = Pids()
    devices: tuple[DeviceRule, ...] = ()
    blockIO: BlockIO = BlockIO()  # noqa: N815
    hugepageLimits: tuple[HugepageLimit, ...] = ()  # noqa: N815
    unified: dict[str, str] = msgspec.field(default_factory=dict)

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

/** The figures of a cgroup as files of cgroup v2 or v1, and how a limit is written. */

import { KINDS } from "./ancestry.js";
import type { Level } from "./channel.js";
import { asAnybody as ask, asRootChanging as set, type Command, type Section } from "./commands.js";
import { resourcesSays as says } from "./command-words.js";
import { bytes, percent } from "./format.js";
import type { ResourcesFrame } from "./frames.js";
import { quote, sh } from "./quoting.js";
import { resourcesWords as words } from "./words.js";

/** Limits where there are none yet. */
const EXAMPLE = { memory_bytes: 64 << 20, cpu_percent: 50, pids: 100 };
const PERIOD_US = 100_000;
/** Of a limit in the petabytes nobody writes the number. */
const NEAR_BYTES = 2 ** 50;

/** `levels` are the groups above, if they have been asked for. */
export function resourcesCommands(frame: ResourcesFrame, levels: readonly Level[] = []): Section[] {
  const paths = frame.cgroup_host_paths ?? {};
  if (frame.is_container === false) {
    return [{ title: says.memory, commands: [], note: says.noCgroup }];
  }
  if (Object.keys(paths).length === 0) {
    return [{ title: says.memory, commands: [], note: says.noPaths }];
  }
  const { unified } = paths;
  const isV2 = unified !== undefined && paths.memory === undefined && paths.cpu === undefined;
  const sections = isV2 ? ofV2(unified, frame) : ofV1(paths, frame);
  if (frame.pressure?.cpu !== undefined) {
    sections.push({ title: words.pressure, commands: given(unified, ofPressure) });
  }
  sections.push(ofLevels(levels));
  return sections.filter((section) => section.commands.length > 0);
}

function ofV2(at: string, frame: ResourcesFrame): Section[] {
  const { memory, quota, pids } = limitsOf(frame);
  return [
    {
      title: says.memory,
      commands: [
        ...ask(sh`cat ${at}/memory.current`, says.current),
        ...ask(sh`cat ${at}/memory.peak`, says.peak),
        ...ask(sh`cat ${at}/memory.max`, says.limit),
        ...ask(sh`cat ${at}/memory.high`, "high"),
        ...ask(sh`grep -E '^(anon|file|kernel|slab) ' ${at}/memory.stat`, says.parts),
        ...ask(sh`cat ${at}/memory.events`, says.oom),
        ...set(sh`echo ${memory} > ${at}/memory.max`, says.setMemory(bytes(memory))),
      ],
    },
    {
      title: says.cpu,
      commands: [
        ...ask(sh`cat ${at}/cpu.stat`, says.usage),
        ...ask(sh`cat ${at}/cpu.max`, says.quota),
        ...set(sh`echo ${`${quota} ${PERIOD_US}`} > ${at}/cpu.max`, setsCpu(quota)),
      ],
    },
    ofPids(at, pids),
    { title: words.io, commands: ask(ofIo(sh`cat ${at}/io.stat`, frame), says.io) },
  ];
}

function ofV1(paths: Record<string, string>, frame: ResourcesFrame): Section[] {
  const { memory: at, cpu, cpuacct, pids: group, blkio } = paths;
  const { memory, quota, pids } = limitsOf(frame);
  return [
    {
      title: says.memory,
      commands: given(at, (at) => [
        ...ask(sh`cat ${at}/memory.usage_in_bytes`, says.current),
        ...ask(sh`cat ${at}/memory.max_usage_in_bytes`, says.peak),
        ...ask(sh`cat ${at}/memory.limit_in_bytes`, says.limit),
        ...ask(sh`grep -E '^total_(rss|cache) ' ${at}/memory.stat`, says.partsV1),
        ...ask(sh`cat ${at}/memory.kmem.usage_in_bytes`, says.kernel),
        ...ask(sh`grep oom_kill ${at}/memory.oom_control`, says.oom),
        ...set(sh`echo ${memory} > ${at}/memory.limit_in_bytes`, says.setMemory(bytes(memory))),
      ]),
    },
    {
      title: says.cpu,
      commands: [
        ...given(cpuacct, (at) => ask(sh`cat ${at}/cpuacct.usage`, says.usageV1)),
        ...given(cpu, (at) => [
          ...ask(sh`cat ${at}/cpu.stat`, says.throttled),
          ...ask(sh`cat ${at}/cpu.cfs_quota_us`, says.quotaV1),
          ...ask(sh`cat ${at}/cpu.cfs_period_us`, says.periodV1),
          ...set(sh`echo ${quota} > ${at}/cpu.cfs_quota_us`, setsCpu(quota)),
        ]),
      ],
    },
    { title: says.pids, commands: given(group, (at) => ofPids(at, pids).commands) },
    {
      title: words.io,
      commands: given(blkio, (at) =>
        ask(ofIo(sh`cat ${at}/blkio.throttle.io_service_bytes`, frame), says.io)
      ),
    },
  ];
}

/** What is not counted has no line. */
function ofIo(line: string | null, frame: ResourcesFrame): string | null {
  return typeof frame.io_read_bytes === "number" ? line : null;
}

function ofPressure(at: string): Command[] {
  return ask(
    sh`grep -H . ${at}/cpu.pressure ${at}/memory.pressure ${at}/io.pressure`,
    says.averages
  );
}

/** The files of all levels, by the kind of their limit. */
function ofLevels(levels: readonly Level[]): Section {
  const commands = KINDS.flatMap((kind) => {
    const files = levels.flatMap(({ files }) => files[kind] ?? []).map((file) => quote(file));
    const isSayable = files.length > 0 && !files.includes(null);
    return ask(isSayable ? `grep -H . ${files.join(" ")}` : null, says.least);
  });
  return { title: words.ancestry, commands };
}

/** The controller has the same files in both versions. */
function ofPids(at: string, most: number): Section {
  return {
    title: says.pids,
    commands: [
      ...ask(sh`cat ${at}/pids.current`, says.count),
      ...ask(sh`cat ${at}/pids.max`, says.limit),
      ...ask(sh`cat ${at}/pids.events`, says.refused),
      ...set(sh`echo ${most} > ${at}/pids.max`, says.setPids(most)),
    ],
  };
}

/** What is written to set the limits that there are. */
function limitsOf(frame: ResourcesFrame): { memory: number; quota: number; pids: number } {
  const { memory_limit_bytes: memory, cpu_limit_percent: cpu, pids_limit: pids } = frame;
  return {
    memory: memory !== null && memory < NEAR_BYTES ? memory : EXAMPLE.memory_bytes,
    quota: Math.round(((cpu ?? EXAMPLE.cpu_percent) / 100) * PERIOD_US),
    pids: pids ?? EXAMPLE.pids,
  };
}

function setsCpu(quota: number): string {
  return says.setCpu(percent((100 * quota) / PERIOD_US));
}

function given(path: string | undefined, made: (path: string) => Command[]): Command[] {
  return path === undefined ? [] : made(path);
}

/** Processes by ps(1), lsns(8), nsenter(1), kill(1) and /proc. */

import { asAnybody, asCall, asRoot, asRootChanging, type Section } from "./commands.js";
import { processesSays as says } from "./command-words.js";
import { processKey, type ProcessesFrame, type ProcessRow } from "./frames.js";
import { sh } from "./quoting.js";

export function processesCommands(frame: ProcessesFrame, chosen: string | null): Section[] {
  const row = frame.rows.find((one) => processKey(one) === chosen);
  const isContainer = frame.is_container !== false;
  const all = isContainer ? ofContainer(frame) : ofProcesses(frame);
  return row === undefined ? [all] : [isContainer ? ofRow(row) : ofPlainRow(row), all];
}

function ofContainer({
  init_host_pid: init,
  freezer_host_path: file = "",
}: ProcessesFrame): Section {
  const isV1 = file.endsWith("freezer.state");
  return {
    title: says.all,
    commands: [
      ...asRoot(sh`pgrep --ns ${init} --nslist pid --list-full .`, says.pgrep),
      ...asRoot(sh`lsns -p ${init}`, says.lsns),
      ...asAnybody(sh`cat /proc/${init}/cgroup`, says.cgroup),
      ...asRootChanging(sh`nsenter -t ${init} -p -m ps`, says.nsenterPs),
      ...asRoot(file && sh`cat ${file}`, says.frozen),
      ...asRootChanging(file && sh`echo ${isV1 ? "FROZEN" : "1"} > ${file}`, says.freeze),
      ...asRootChanging(file && sh`echo ${isV1 ? "THAWED" : "0"} > ${file}`, says.thaw),
    ],
  };
}

/** Without a container nothing but their parent holds them together. */
function ofProcesses(frame: ProcessesFrame): Section {
  const pids = frame.rows.filter((row) => row.ended_s === null).map((row) => row.host_pid);
  const list = pids.slice(0, MOST_PIDS).join(",");
  return {
    title: says.all,
    commands: asAnybody(
      sh`ps -o pid,ppid,user,stat,pcpu,rss,nlwp,args --forest -p ${list}`,
      says.plainPs
    ),
  };
}

const MOST_PIDS = 50;

function ofRow(row: ProcessRow): Section {
  const { host_pid, container_pids } = row;
  const inside = container_pids.at(-1);
  if (row.ended_s !== null) return ended(row);
  return {
    title: says.process(row.comm, host_pid),
    commands: [
      ...asAnybody(sh`grep NSpid /proc/${host_pid}/status`, says.nspid),
      ...facts(row),
      ...asAnybody(sh`cat /proc/${host_pid}/uid_map`, says.uidMap),
      ...asRoot(sh`readlink /proc/${host_pid}/ns/*`, says.namespaces),
      ...asRoot(sh`lsns -p ${host_pid}`, says.lsnsOne),
      ...asRootChanging(sh`nsenter -t ${host_pid} -a`, says.nsenter),
      ...asRootChanging(sh`kill -s TERM ${host_pid}`, inside === 1 ? says.killInit : says.kill),
      ...asRootChanging(sh`kill -s KILL ${host_pid}`, says.killNow),
      ...asCall(`pidfd_send_signal(pidfd_open(${host_pid}, 0), SIGTERM, NULL, 0);`, says.pidfd),
    ],
  };
}

function ofPlainRow(row: ProcessRow): Section {
  const { host_pid } = row;
  if (row.ended_s !== null) return ended(row);
  return {
    title: says.process(row.comm, host_pid),
    commands: [...facts(row), ...asCall(`kill(${host_pid}, SIGTERM);`, says.killCall)],
  };
}

function facts({ host_pid }: ProcessRow): Section["commands"] {
  return [
    ...asAnybody(sh`ps -o pid,ppid,user,stat,pcpu,rss,nlwp,args -p ${host_pid}`, says.ps),
    ...asAnybody(sh`tr '\\0' ' ' < /proc/${host_pid}/cmdline`, says.args),
  ];
}

function ended(row: ProcessRow): Section {
  return { title: says.process(row.comm, row.host_pid), commands: [], note: says.ended };
}

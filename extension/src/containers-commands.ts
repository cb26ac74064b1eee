/** A list of containers, and one of them, by wardian's command, /proc and system calls. */

import { asAnybody, asCall, asRoot, asRootChanging, type Section } from "./commands.js";
import { containersSays as says } from "./command-words.js";
import type { ListedContainer } from "./frames.js";
import { sh } from "./quoting.js";

export function containersCommands(row: ListedContainer | null): Section[] {
  const all = {
    title: says.all,
    commands: [
      ...asAnybody("wardian ps --all", says.ps),
      ...asAnybody("wardian stats --no-stream", says.stats),
      ...asAnybody("wardian events", says.events),
      ...asRoot("lsns --type pid", says.lsns),
    ],
  };
  return row === null ? [all] : [ofOne(row), all];
}

function ofOne(row: ListedContainer): Section {
  const id = row.id.slice(0, 12);
  const { host_pid: pid } = row;
  const running = row.status === "running" && pid !== null;
  return {
    title: says.one(row.name),
    commands: [
      ...asAnybody(sh`wardian inspect ${id}`, says.inspect),
      ...asAnybody(sh`wardian logs ${id}`, says.logs),
      ...(running
        ? [
            ...asAnybody(sh`wardian exec -it ${id} sh`, says.exec),
            ...asRoot(sh`cat /proc/${pid}/cgroup`, says.cgroup),
            ...asRoot(sh`nsenter --target ${pid} --all sh`, says.nsenter),
            ...asRootChanging(sh`wardian pause ${id}`, says.pause),
            ...asRootChanging(sh`wardian stop ${id}`, says.stop),
            ...asCall(`kill(${pid}, SIGTERM);`, says.kill),
          ]
        : asRootChanging(sh`wardian start ${id}`, says.start)),
      ...asRootChanging(sh`wardian rm --force ${id}`, says.remove),
    ],
  };
}

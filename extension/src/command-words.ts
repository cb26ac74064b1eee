/** What is said of commands, in the words of their man pages and of docker. */

import { vocabulary } from "./translation.js";

/** Of the drawer that shows them. */
export const drawerWords = /* @__PURE__ */ vocabulary((trans) => ({
  show: trans.__("Show commands"),
  title: trans.__("Commands that say or do the same"),
  where: trans.__("On the host, outside of the container. # needs root's rights, $ does not."),
  past: trans.__(
    "As it was then: what has a number then can be another's now. What would change something is left out."
  ),
  copy: trans.__("Copy"),
  copied: trans.__("Copied"),
  close: trans.__("Close"),
  by: {
    root: trans.__("as root"),
    anybody: trans.__("as any user"),
    program: trans.__("system call"),
  },
}));

export const containersSays = /* @__PURE__ */ vocabulary((trans) => ({
  all: trans.__("All containers"),
  ps: trans.__("this list"),
  stats: trans.__("what those that run use"),
  events: trans.__("what happens to them, as it happens"),
  lsns: trans.__("the PID namespaces of this machine: each container has one"),
  one: (name: string) => trans.__("The container %1", name),
  inspect: trans.__("all that is known of it"),
  logs: trans.__("what its main process has printed"),
  exec: trans.__("a shell in it"),
  cgroup: trans.__("the groups that its figures are from"),
  nsenter: trans.__("a shell in its namespaces, by setns(2)"),
  pause: trans.__("stops every process where it is, by the freezer"),
  stop: trans.__("asks its main process to end, and kills after ten seconds"),
  kill: trans.__("the same, to its init"),
  start: trans.__("starts it again: its files are as they were"),
  remove: trans.__("removes it with what it has written"),
}));

export const buildSays = /* @__PURE__ */ vocabulary((trans) => ({
  build: trans.__("The build"),
  run: trans.__("builds it from the cell's text"),
  noCache: trans.__("the same with nothing from the cache"),
  history: trans.__("its steps and layers"),
  start: trans.__("a container made from it"),
  mount: trans.__("its root: the layers below, and an empty upper for what it changes; mount(2)"),
  clone: trans.__("a container for this step alone; clone(2)"),
  exec: trans.__("the instruction's words; execve(2)"),
  pack: trans.__("the upper becomes a layer, and its digest the layer's name"),
  noLayer: trans.__("It changes the image's configuration; there is no file to make."),
}));

export const layersSays = /* @__PURE__ */ vocabulary((trans) => ({
  mount: trans.__("The mount"),
  findmnt: trans.__("what is mounted at the container's /, with its options"),
  mountCall: trans.__("how it was mounted, from within a new mount namespace; mount(2)"),
  mountAgain: trans.__(
    "the same once more, of a stopped container: overlayfs.rst warns of an upper in two mounts"
  ),
  fuseAgain: trans.__("the same once more, of a stopped container"),
  merged: trans.__("merged: the root directory as the container sees it"),
  theCopy: trans.__("The copy"),
  findmntCopy: trans.__("what is mounted at the container's /: the copy, no overlay"),
  copySize: trans.__("what it takes on this disk, in bytes"),
  compare: (layer: string) =>
    trans.__("what differs between it and %1 alone; other layers have more", layer),
  upper: trans.__("What the upper layer holds"),
  findUpper: trans.__("every path in it; what is not there comes from the layers below"),
  whiteouts: trans.__("its devices: 0,0 is a whiteout"),
  opaque: trans.__("its opaque directories"),
  upperBytes: trans.__("the sum of its files' sizes, in bytes"),
  findLower: trans.__("every path that this layer brings"),
  noName: trans.__(
    "No line: a name that long, or one that ends in a line break, is no word of a shell."
  ),
  stat: (layer: string) => trans.__("the version of %1", layer),
  whiteout: (layer: string) => trans.__("%1: a whiteout, the character device 0,0", layer),
  diff: (layer: string) => trans.__("what has changed since %1", layer),
  origin: trans.__("the mark of a file that was copied up: which one it is a copy of"),
  mergedStat: trans.__("what the container sees"),
  mergedGone: trans.__("what the container sees: nothing"),
}));

export const processesSays = /* @__PURE__ */ vocabulary((trans) => ({
  all: trans.__("All processes"),
  pgrep: trans.__("the processes of its PID namespace, by their host pids"),
  lsns: trans.__("the namespaces of its first process"),
  cgroup: trans.__("the cgroups that it is in"),
  nsenterPs: trans.__(
    "ps inside, with the container's pids. This runs a program of the container's with root's rights: only of one that you trust"
  ),
  plainPs: trans.__("these processes and their children"),
  process: (comm: string, host_pid: number): string => `${comm} (${host_pid})`,
  nspid: trans.__("its pid in each PID namespace, the host's first"),
  ps: trans.__("its figures"),
  args: trans.__("its command line"),
  uidMap: trans.__("inside uid, outside uid, how many: which of the host's users its users are"),
  namespaces: trans.__("its namespaces, by their inodes"),
  lsnsOne: trans.__("the same by name, with how many processes share each"),
  kill: trans.__("asks it to end"),
  killInit: trans.__(
    "asks PID 1 to end: it gets only signals that it has a handler for; pid_namespaces(7)"
  ),
  killNow: trans.__("ends it. Of PID 1 that ends the whole PID namespace"),
  killCall: trans.__("the same by kill(2)"),
  pidfd: trans.__("the same by a descriptor, which never is another process's"),
  nsenter: trans.__("a shell in its namespaces, by setns(2)"),
  frozen: trans.__("whether they are frozen"),
  freeze: trans.__("freezes them all"),
  thaw: trans.__("lets them go on"),
  ended: trans.__("It has ended: the kernel knows nothing of it any more."),
}));

export const resourcesSays = /* @__PURE__ */ vocabulary((trans) => ({
  memory: trans.__("Memory"),
  cpu: "CPU",
  pids: trans.__("Processes"),
  current: trans.__("current, in bytes"),
  peak: trans.__("peak"),
  limit: trans.__("limit"),
  parts: trans.__("anon, file, kernel, and its slab"),
  partsV1: trans.__("anon and file: v1 calls them rss and cache"),
  kernel: "kernel",
  oom: trans.__("how often the kernel has killed for memory: oom_kill"),
  usage: trans.__("CPU time used, in µs: usage_usec; throttled: nr_throttled of nr_periods"),
  usageV1: trans.__("CPU time used, in ns"),
  throttled: trans.__("throttled: nr_throttled of nr_periods"),
  quota: trans.__("quota and period, in µs: their ratio is the limit, in cores"),
  quotaV1: trans.__("quota, in µs of a period; -1 is none"),
  periodV1: trans.__("period, in µs"),
  count: trans.__("how many processes and threads"),
  refused: trans.__("how many forks the limit has refused"),
  io: trans.__("bytes read and written, by disk"),
  averages: trans.__("percent of the last 10, 60 and 300 seconds"),
  least: trans.__("of these the least is in force"),
  setMemory: (size: string) => trans.__("sets the limit to %1", size),
  setCpu: (percent: string) => trans.__("sets the limit to %1 of one core", percent),
  setPids: (most: number) => trans.__("sets the limit to %1", most),
  noCgroup: trans.__(
    "Nothing holds these processes together: there is no cgroup of theirs to ask."
  ),
  noPaths: trans.__("Where the cgroup is has not been recorded."),
}));

export const networkSays = /* @__PURE__ */ vocabulary((trans) => ({
  host: trans.__("The host's side"),
  addresses: trans.__("links and addresses"),
  bridges: trans.__("what hangs on a bridge"),
  veths: trans.__("pairs: @ifN is the number of the other end, in the other namespace"),
  routes: trans.__("routes"),
  neighbours: trans.__("neighbours"),
  sockets: trans.__("TCP sockets, who listens and who is connected"),
  ground: trans.__(
    "The bridges stand in a network namespace of your own. This lists them: with a PID of it, the host's side is asked by nsenter -t PID -U -n."
  ),
  lsnsNet: trans.__("network namespaces"),
  network: (name: string) => trans.__("The network %1", name),
  table: trans.__("its rules, with their counters"),
  bridgeTable: trans.__("what its bridge lets through"),
  space: (name: string) => trans.__("The namespace of %1", name),
  link: (name: string) => trans.__("The link %1", name),
  linkState: trans.__("state, kind, MTU and counters"),
  bridgePort: trans.__("as a port of its bridge"),
  port: (port: number) => trans.__("The published port %1", port),
  chain: trans.__("the rule that leads there, with its counter"),
  proxy: trans.__("who listens there: a proxy, where no rule leads"),
  inside: trans.__("who listens inside"),
}));

export const imageSays = /* @__PURE__ */ vocabulary((trans) => ({
  comparison: trans.__("What differs"),
  imageDiff: trans.__("files, settings, history, and how well each uses its layers"),
  image: trans.__("The image"),
  inspect: trans.__("configuration and layers, in docker's form"),
  skopeo: trans.__("the same by skopeo(1), from the OCI image layout"),
  index: trans.__("index.json: the names"),
  manifest: trans.__("the manifest"),
  config: trans.__("the configuration, with the history"),
  layer: (number: number) => trans.__("Layer %1", number),
  tar: trans.__("the files of the archive; .wh. before a name is a whiteout"),
  blob: trans.__("its digest, as the manifest has it"),
  diffId: trans.__("the digest of the archive unpacked, as the configuration has it"),
  unpacked: trans.__("the layer unpacked, as overlayfs stacks it"),
  noStore: trans.__("Where the store is has not been recorded."),
}));

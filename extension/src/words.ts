/** What the views say. The same words as in the command line, the API and the documentation. */

import { vocabulary } from "./translation.js";

export const words = /* @__PURE__ */ vocabulary((trans) => ({
  layers: trans.__("Layers"),
  processes: trans.__("Processes"),
  resources: trans.__("Resources"),
  network: trans.__("Network"),
  image: trans.__("Image"),
  build: trans.__("Build"),
  containers: trans.__("Containers"),
  waiting: trans.__("Waiting for the first look at the container …"),
  live: trans.__("live"),
  polling: trans.__("live, by polling"),
  paused: trans.__("paused"),
  saved: trans.__("saved"),
  ended: trans.__("ended"),
  finished: trans.__("finished"),
  still: trans.__("never changes: its digest is its name"),
  pause: trans.__("Pause"),
  resume: trans.__("Back to live"),
  back: trans.__("One frame back"),
  forward: trans.__("One frame forward"),
  position: trans.__("Frame"),
  filter: trans.__("Filter paths"),
  noMatch: trans.__("No path matches."),
  marks: {
    unchanged: trans.__("unchanged"),
    added: trans.__("added"),
    modified: trans.__("modified"),
    deleted: trans.__("deleted"),
  },
}));

/** What saving a view as a picture says. */
export const pictureWords = /* @__PURE__ */ vocabulary((trans) => ({
  save: trans.__("Save"),
  kinds: trans.__("Save as a picture"),
  asSvg: trans.__("Save as SVG, sharp at any size"),
  asPng: trans.__("Save as PNG"),
  saved: (name: string) => trans.__("Saved as %1", name),
  savedAt: (when: string) => trans.__("As it was at %1", when),
  noDots: trans.__("This browser makes no PNG of it. Save it as SVG."),
}));

/** What lists of containers say, in docker's words. */
export const containerWords = /* @__PURE__ */ vocabulary((trans) => ({
  none: trans.__("No container."),
  counts: (running: number, all: number) => trans.__("%1 of %2 running", running, all),
  days: (many: number) => trans._n("%1 day", "%1 days", many),
  hours: (many: number) => trans._n("%1 hour", "%1 hours", many),
  minutes: (many: number) => trans._n("%1 minute", "%1 minutes", many),
  instant: trans.__("less than a minute"),
  up: (span: string) => trans.__("Up %1", span),
  upAnd: (span: string, how: string) => trans.__("Up %1 (%2)", span, how),
  exited: (code: number, span: string) => trans.__("Exited (%1) %2 ago", code, span),
  created: trans.__("Created"),
  paused: trans.__("paused"),
  health: {
    starting: trans.__("starting"),
    healthy: trans.__("healthy"),
    unhealthy: trans.__("unhealthy"),
  },
}));

/** What the view of a build says. */
export const buildWords = /* @__PURE__ */ vocabulary((trans) => ({
  steps: trans.__("Steps"),
  waiting: trans.__("Nothing has been said yet: the Dockerfile is being read."),
  summary: (done: number, cached: number) =>
    trans._n(
      "%1 step done, %2 of them from the cache",
      "%1 steps done, %2 of them from the cache",
      done,
      cached
    ),
  took: (seconds: string) => trans.__("%1 s", seconds),
  states: {
    running: trans.__("is being run"),
    done: trans.__("was run"),
    cached: trans.__("from the cache"),
    failed: trans.__("failed"),
  },
  because: (why: string) => trans.__("because: %1", why),
  layer: (size: string, files: number) =>
    trans._n("layer of %2, %1 change", "layer of %2, %1 changes", files, size),
  noLayer: trans.__("no layer: it changes the configuration only"),
  moreFiles: (many: number) => trans.__("… and %1 more", many),
  made: (names: string) => trans.__("The image %1 is there", names),
  failed: trans.__("The build has failed"),
  warning: (line: number) => trans.__("warning, line %1", line),
}));

/** What the layers view says. */
export const layersWords = /* @__PURE__ */ vocabulary((trans) => ({
  copy: trans.__("Copy the path on the host"),
  copied: trans.__("Copied"),
  mergedRole: trans.__("what the container sees"),
  upperRole: trans.__("writable: every change lands here"),
  lowerRole: trans.__("read-only, from the image"),
  workRole: trans.__("overlayfs prepares changes here"),
  copyRole: trans.__("all that the container sees: a copy of the layers; every change lands here"),
  copiedRole: trans.__("read-only, from the image: it was copied before the first start"),
  showHiding: trans.__("Show what hides its files"),
  copyOf: trans.__("a copy, made before the first start, of"),
  showChanged: trans.__("Show what was copied from it and is not as it was"),
  noChanges: trans.__("Nothing has been written yet: the container sees its image as it is."),
  whichLayerWins: trans.__("Which layer wins?"),
  whatWasCopied: trans.__("What was copied, and what is there now"),
  there: trans.__("is there"),
  inLayer: trans.__("in the layer"),
  wins: trans.__("wins"),
  hidden: trans.__("hidden"),
  opaque: trans.__("opaque"),
  opaqueHint: trans.__("An opaque directory: nothing of the layers below shows through"),
  whiteoutHint: trans.__("A whiteout: a character device 0, 0 that hides the name below"),
  hides: (what: string) => trans.__("hides %1", what),
  wasOf: (what: string) => trans.__("was of %1", what),
  tree: trans.__("Tree"),
  treeHint: trans.__("Show the tree of this"),
  thisLayer: trans.__("this layer"),
  chooseLayer: trans.__("Choose a lower layer first"),
  reading: trans.__("It is being read …"),
  refusedIn: (path: string) => trans.__("%1 may not be read by this user", path),
  moreIn: (path: string, many: number) => trans.__("%1: … %2 more", path, many),
  showMore: trans.__("Show more"),
  copiedUp: (layer: string) => trans.__("copied up from %1", layer),
  copiedUpSum: (many: number, size: string) =>
    trans._n("%1 file copied up, %2", "%1 files copied up, %2", many, size),
  copiedUpHint: trans.__(
    "At the first change, even of its mode, overlayfs copies a whole file up; one that is truncated without its data, so this is the most it can be."
  ),
  onlyLive: trans.__(
    "What is in files is read by live views alone: neither recordings nor saved notebooks hold it."
  ),
  showVersion: trans.__("Show this version, and what differs"),
  contentOf: (layer: string) => trans.__("Content in %1", layer),
  differs: (since: string, until: string) => trans.__("Differences %1 → %2", since, until),
  sameText: trans.__("The texts are the same: only owner, mode or times differ."),
  moreLines: (many: number) => trans.__("… %1 more lines", many),
  partial: trans.__("only the beginnings were compared"),
  coarse: trans.__("coarse: to compare all of it takes too long"),
  first: (read: string, size: string) => trans.__("the first %1 of %2", read, size),
  escaped: trans.__("what cannot be seen is escaped"),
  forms: {
    text: "",
    binary: trans.__("binary, not shown"),
    target: trans.__("where the link leads; it is not followed"),
    device: trans.__("the device's numbers; it is not opened"),
    nothing: trans.__("It has no content."),
    refused: trans.__("This user may not read it."),
    gone: trans.__("It is not there any more."),
  },
  leftOut: (many: number) =>
    trans._n(
      "%1 more, changed earlier, is not listed",
      "%1 more, changed earlier, are not listed",
      many
    ),
  unreadable: (many: number) =>
    trans._n("%1 directory may not be read", "%1 directories may not be read", many),
  kinds: {
    file: trans.__("file"),
    directory: trans.__("directory"),
    symlink: trans.__("symbolic link"),
    device: trans.__("device"),
    fifo: trans.__("named pipe"),
    socket: trans.__("socket"),
    whiteout: trans.__("whiteout c 0, 0"),
  },
}));

/** What is said of how well layers are used, by an image or a container. */
export const useWords = /* @__PURE__ */ vocabulary((trans) => ({
  efficiency: (share: string) => trans.__("efficiency %1", share),
  efficiencyHint: trans.__(
    "dive's score: the least size of each path in any layer, over the sizes in all layers."
  ),
  wasted: (size: string) => trans.__("%1 in several layers", size),
  title: trans.__("How well the layers are used"),
  counting: trans.__("Every path of the layers is being counted …"),
  formula: (least: string, all: string) =>
    trans.__("%1, the least size of each path in any layer, of %2 in all layers", least, all),
  deleted: (layers: string) => trans.__("deleted, but still in %1", layers),
  withoutCopy: trans.__("of the image's layers alone: the container is a copy"),
  notCounted: (many: number) =>
    trans._n("%1 directory is not counted", "%1 directories are not counted", many),
  asOf: (when: string) => trans.__("as it was at %1", when),
  again: trans.__("Count again"),
  smaller: (many: number) => trans.__("… and %1 smaller ones", many),
}));

/** What the processes view says. */
export const processesWords = /* @__PURE__ */ vocabulary((trans) => ({
  noProcesses: trans.__("No process is running."),
  pidHint: trans.__("the same process, seen from the host and from inside the container"),
  process: trans.__("process"),
  hostPid: trans.__("host pid"),
  containerPid: trans.__("container pid"),
  pid: trans.__("pid"),
  user: trans.__("user"),
  state: trans.__("state"),
  cpu: "CPU",
  memory: trans.__("memory"),
  threads: trans.__("threads"),
  commandLine: trans.__("command line"),
  parent: trans.__("parent"),
  leftOut: (many: number) => trans._n("%1 more is not listed", "%1 more are not listed", many),
  inner: trans.__("(one more PID namespace inside)"),
  noUserInside: trans.__("no user inside"),
  userInside: (uid: string | number) => trans.__("%1 in the container", uid),
  userOutside: (uid: string) => trans.__("%1 on the host", uid),
  uids: (inside: string, outside: string) =>
    trans.__("uid %1 in the container, %2 on the host", inside, outside),
  outside: trans.__("outside the container"),
  namespaces: trans.__("namespaces"),
  whose: {
    host: trans.__("shared with the host"),
    container: trans.__("the container's own"),
    another: trans.__("neither the container's nor the host's"),
  },
  both: trans.__("Both trees"),
  bothHint: trans.__("← and → go to the twin"),
  hostTree: trans.__("on the host"),
  containerTree: trans.__("in the container"),
  frozen: trans.__("frozen: no process runs"),
  adopted: trans.__("adopted by PID 1"),
  entered: trans.__("parent 0: from outside"),
  awaits: (parent: string) => trans.__("until %1 calls wait()", parent),
  notOfThese: trans.__("not one of these"),
  ended: trans.__("ended"),
  exit: (status: number) => trans.__("exit %1", status),
  killedBy: (signal: string) => trans.__("killed by %1", signal),
  signal: (number: number) => trans.__("signal %1", number),
  states: {
    R: trans.__("running"),
    S: trans.__("sleeping"),
    D: trans.__("waiting for a device"),
    T: trans.__("stopped"),
    t: trans.__("traced"),
    Z: trans.__("zombie: it has ended, its parent has not asked how"),
    X: trans.__("ended"),
    I: trans.__("idle"),
    "?": trans.__("unknown"),
  },
  short: { Z: trans.__("zombie"), D: trans.__("waiting") },
}));

/** What can be asked of live processes. */
export const ordersWords = /* @__PURE__ */ vocabulary((trans) => ({
  signals: trans.__("Signals"),
  tree: trans.__("kill tree"),
  does: {
    0: trans.__("SIGKILL for it and all below it"),
    2: trans.__("as Ctrl+C does"),
    9: trans.__("ends it at once"),
    15: trans.__("asks it to end"),
    18: trans.__("lets it go on"),
    19: trans.__("stops it where it is"),
  },
  zombie: trans.__("It has ended already: no signal takes it away, only its parent's wait()."),
  ignores: (signal: string) => trans.__("It ignores %1 (SigIgn): the kernel drops it.", signal),
  unhandled: (signal: string) =>
    trans.__("PID 1 gets only signals that it has a handler for: the kernel drops %1.", signal),
  endsAll: trans.__("This is the first process: all others in here end with it."),
  anyway: trans.__("Kill it all the same"),
  leaveIt: trans.__("Leave it"),
  sent: (what: string, whom: string) => trans.__("%1: sent to %2", what, whom),
  freeze: trans.__("Freeze"),
  thaw: trans.__("Thaw"),
}));

/** What the resources view says. */
export const resourcesWords = /* @__PURE__ */ vocabulary((trans) => ({
  memory: trans.__("Memory"),
  cpu: "CPU",
  pids: trans.__("Processes"),
  ofOneCore: (share: string) => trans.__("%1 of one core", share),
  memoryHint: trans.__("current / limit (peak)"),
  cpuHint: trans.__("share of one core (throttled)"),
  pidsHint: trans.__("current / limit"),
  current: trans.__("current"),
  limit: trans.__("limit"),
  noLimit: trans.__("no limit"),
  used: trans.__("used"),
  throttled: trans.__("throttled"),
  memoryLimit: trans.__("Memory limit"),
  cpuLimit: trans.__("CPU limit"),
  pidsLimit: trans.__("Limit of processes"),
  limitHint: trans.__("In force at once"),
  limitNotNow: trans.__("Only of a live view can limits be changed"),
  tellsLimit: (name: string, value: string): string => `${name}: ${value}`,
  kills: (limit: string) =>
    trans.__("More than %1 is in use: the kernel will kill a process for this limit.", limit),
  setAnyway: trans.__("Set it all the same"),
  leaveIt: trans.__("Leave it"),
  limitUnanswered: trans.__("No answer: the kernel may be gone, or freeing memory."),
  peakIs: (size: string) => trans.__("peak %1", size),
  throttledIs: (share: string) => trans.__("throttled %1", share),
  now: trans.__("now"),
  parts: {
    anon: trans.__("memory that programs have allocated"),
    file: trans.__("the page cache: files that were read or written"),
    kernel: trans.__("what the kernel keeps for them: stacks, page tables, sockets"),
    slab: trans.__("of the kernel's part its small objects, such as inodes"),
  },
  io: trans.__("Block IO"),
  read: trans.__("read"),
  written: trans.__("written"),
  noIo: trans.__(
    "Block IO is not known here, because the kernel does not count it for this group."
  ),
  pressure: trans.__("Pressure"),
  pressureHint: trans.__("share of the last seconds in which some, or all (full), waited"),
  noPressure: trans.__("Pressure is not known here, because this group has no pressure files."),
  ancestry: trans.__("Limits of the groups above"),
  prevails: trans.__("in force"),
  onlyLive: trans.__("Only a live view can ask for them."),
  hiddenLimit: (size: string) =>
    trans.__("A group that is not seen from here allows %1 of memory only.", size),
  someProcess: trans.__("a process"),
  withPid: (name: string, pid: number) => trans.__("%1 (pid %2)", name, pid),
  killed: (who: string) => trans.__("%1 killed", who),
  inCell: (cell: number) => trans.__("while In [%1] ran", cell),
  refused: (many: number) => trans._n("%1 fork refused", "%1 forks refused", many),
  oom: (kills: number) =>
    trans._n(
      "Out of memory: the kernel has killed a process",
      "Out of memory: the kernel has killed %1 processes",
      kills
    ),
}));

/** What the kernel's side says by way of its `Phrase`s, and of where figures are from. */
export const hostSays = /* @__PURE__ */ vocabulary((trans) => ({
  way: [
    trans.__("%1 has no route to %2"),
    trans.__("%1 itself"),
    trans.__("at %1"),
    trans.__("the other end of %1's %2"),
    trans.__("the other end of %1"),
    trans.__("dropped at the bridge: the sender's addresses are not its own"),
    trans.__("the bridge knows whose port it is"),
    trans.__("the host itself, port %1"),
    trans.__("dropped before the host's own ports"),
    trans.__("the host has no route to %1"),
    trans.__("dropped on its way from %1 to %2"),
    trans.__("nobody in %1 has %2"),
    trans.__("leaves the host by %1"),
    trans.__("from %1's own address"),
    trans.__("to %1 port %2"),
    trans.__("route to %1 via %2"),
    trans.__("route to %1"),
  ],
  cgroup: [
    trans.__("cgroup v1, hybrid with v2"),
    trans.__("no cgroup: figures are not known"),
    trans.__("no cgroup: sums of what /proc says of each process"),
  ],
}));

/** What the view of a recording says. */
export const recordingWords = /* @__PURE__ */ vocabulary((trans) => ({
  title: trans.__("Recording"),
  recorded: (when: string) => trans.__("recorded %1", when),
  reading: trans.__("The recording is being read …"),
  unreadable: trans.__("This recording cannot be read."),
  controls: trans.__("Replay"),
  play: trans.__("Play"),
  pause: trans.__("Pause"),
  back: trans.__("One frame back"),
  forward: trans.__("One frame forward"),
  position: trans.__("Moment"),
  speed: trans.__("Speed"),
  views: trans.__("Views"),
  times: (factor: number): string => `${factor}×`,
  moment: (at: string, all: string) => trans.__("%1 / %2 s", at, all),
  spoken: (at: string, all: string) => trans.__("%1 of %2 seconds", at, all),
  cell: (number: number) => trans.__("cell %1", number),
  toCell: (number: number, at: string) =>
    trans.__("Go to where cell %1 begins, at %2 s", number, at),
  unseen: trans.__("Not seen yet at this moment."),
  endedAs: (why: string) => trans.__("The recording ended as %1.", why),
}));

/** What the network view says. */
export const networkWords = /* @__PURE__ */ vocabulary((trans) => ({
  host: "host",
  hostRole: trans.__("the host's own network namespace"),
  groundRole: trans.__("a network namespace of your own, where your bridges stand; not the host's"),
  you: trans.__("this container"),
  world: "world",
  alone: trans.__("Loopback only: no wire leads out of this namespace."),
  aloneHint: trans.__("For one with a wire:"),
  aloneCommand: "wardian run --network NAME",
  noNetwork: trans.__("No network is up: no bridge, no wires."),
  noNetworkHint: trans.__("The first container that is connected brings its bridge up."),
  published: trans.__("published ports"),
  proxied: trans.__("by a proxy on the host, without a rule"),
  listening: (ports: string) => trans.__("listens %1", ports),
  residents: (names: string) => trans.__("also in here: %1", names),
  more: trans.__("more than is shown"),
  idle: trans.__("idle"),
  wire: trans.__("wire: a pair of links"),
  port: trans.__("published port: a NAT rule"),
  connection: trans.__("connection: sockets"),
  packet: trans.__("a packet's way"),
  way: trans.__("A packet's way"),
  computed: trans.__("computed, not traced"),
  computedHint: trans.__(
    "Led through the links, routes and rules that the kernel has told of; no packet is sent."
  ),
  from: trans.__("from"),
  to: trans.__("to"),
  toPort: trans.__("port"),
  protocol: trans.__("protocol"),
  compute: trans.__("Show the way"),
  clear: trans.__("Clear"),
  choose: trans.__("Choose two ends: names in the picture, or here."),
  asking: trans.__("The kernel computes it; a recording cannot."),
  arrives: trans.__("arrives"),
  lost: trans.__("does not arrive"),
  noRule: trans.__("no rule met"),
  unreadable: (names: string) => trans.__("Not to be looked into by this user: %1", names),
  notCounted: trans.__("not counted"),
  packets: (many: number) => trans._n("%1 packet", "%1 packets", many),
  rules: (network: string, many: number) => trans.__("Rules of %1 (%2)", network, many),
  leftOut: (many: number) => trans.__("… and %1 more", many),
  heads: [trans.__("chain"), trans.__("packets"), trans.__("rule")],
  facts: {
    namespace: trans.__("namespace"),
    kind: trans.__("kind"),
    hardware: trans.__("loopback or hardware"),
    addresses: trans.__("addresses"),
    state: trans.__("mac · mtu · state"),
    otherEnd: trans.__("other end"),
    bridge: trans.__("bridge"),
    routes: trans.__("routes"),
    traffic: trans.__("received · sent"),
    none: trans.__("none"),
  },
}));

/** What the image view says. */
export const imageWords = /* @__PURE__ */ vocabulary((trans) => ({
  index: "index.json",
  indexRole: trans.__("the names in this store"),
  manifest: trans.__("manifest"),
  manifestRole: trans.__("what belongs together"),
  config: trans.__("config"),
  configRole: trans.__("what a container starts with"),
  stepsTitle: trans.__("How it was made, and the layer of each step"),
  layer: (number: number) => trans.__("layer %1", number),
  layers: (many: number) => trans._n("%1 layer", "%1 layers", many),
  noLayer: trans.__("configuration only"),
  noHistory: trans.__("(the image does not tell how)"),
  size: trans.__("unpacked"),
  shared: (names: string) => trans.__("shared: stored once, also in %1", names),
  relatives: trans.__("Other images here with the same layers"),
  sameLayers: (same: number, all: number) => trans.__("%1 of its %2 layers", same, all),
  wastedTitle: (many: number) => trans.__("Paths that several layers have (%1)", many),
  hidden: (size: string) => trans.__("%1 hidden by layers above", size),
  files: (layer: number) => trans.__("What layer %1 does to the file tree", layer),
  filter: trans.__("Filter paths"),
  asking: trans.__("Its largest files; the whole list is being read …"),
  none: trans.__("This layer changes no file."),
  noMatch: trans.__("No path matches."),
  leftOut: (many: number) => trans.__("… and %1 more: filter to find them", many),
  smaller: (many: number) => trans.__("… and %1 smaller ones", many),
  times: (many: number) => trans.__("in %1 layers", many),
  blob: (digest: string) => trans.__("archive %1", digest),
  comparison: trans.__("What differs"),
  sharedLayers: (many: number) =>
    trans._n(
      "The lowest layer is the same in both",
      "The %1 lowest layers are the same in both",
      many
    ),
  noDifference: trans.__("Neither files nor settings nor history differ."),
  filesDiffer: (many: number) => trans.__("Files (%1)", many),
  settingsDiffer: (many: number) => trans.__("Settings (%1)", many),
  historyDiffers: (shared: number) =>
    trans.__("History: %1 steps in common, then these no more and these instead", shared),
  moreFiles: (many: number) => trans.__("… and %1 more: the command lists them", many),
  marksOf: (mark: string): string => (words.marks as Record<string, string>)[mark] ?? mark,
  differs: (what: string): string =>
    ({
      type: trans.__("type"),
      content: trans.__("content"),
      mode: trans.__("mode"),
      owner: trans.__("owner"),
      attributes: trans.__("attributes"),
    })[what] ?? what,
}));

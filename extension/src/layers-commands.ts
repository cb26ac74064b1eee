/** The overlay, or the copy in its place, by mount(8), find(1) and stat(1). */

import { asCall, asRoot, asRootChanging, cString, type Section } from "./commands.js";
import { layersSays as says } from "./command-words.js";
import type { Kind, Layer, LayersFrame, PathVersion, UpperEntry } from "./frames.js";
import { plain, sh } from "./quoting.js";

/** What is chosen in the view: a lower layer, a path, and its versions if they are known. */
export interface LayersChoice {
  layer: string | null;
  path: string | null;
  versions: readonly PathVersion[];
  /** The layers whose versions are compared, the older one first. */
  compared?: readonly [string, string] | null;
}

/** A path as one layer has it. */
interface Version {
  layer: string;
  kind: Kind | null;
  host_path: string;
}

/** What mount(8) and overlayfs take for their own in a list of options. */
const SPECIAL = /[\\,:"]/;

export function layersCommands(frame: LayersFrame, choice: LayersChoice): Section[] {
  const entry = frame.entries.find((one) => one.path === choice.path);
  const lower = frame.layers.find((one) => one.name === choice.layer);
  return [
    ...(choice.path === null || (entry === undefined && choice.versions.length === 0)
      ? []
      : [ofPath(frame, choice.path, entry, choice)]),
    ...(lower === undefined ? [] : [ofLower(lower)]),
    ...(isCopy(frame) ? [ofCopy(frame)] : [ofMount(frame), ofUpper(frame)]),
  ];
}

/** Whether the container's root is a copy of the layers: then nothing is stacked. */
export function isCopy(frame: LayersFrame): boolean {
  return frame.driver === "native";
}

function ofCopy(frame: LayersFrame): Section {
  const [copy, ...lowers] = frame.layers;
  const host_path = copy?.host_path ?? "";
  return {
    title: says.theCopy,
    commands: [
      ...ofRoot(frame, says.findmntCopy),
      ...asRoot(sh`du -sx --block-size=1 ${host_path}`, says.copySize),
      ...lowers.flatMap((layer) =>
        asRoot(
          sh`diff -rq --no-dereference ${layer.host_path} ${host_path}`,
          says.compare(layer.name)
        )
      ),
    ],
  };
}

function ofRoot(frame: LayersFrame, what: string): Section["commands"] {
  const host_pid = /^\/proc\/(\d+)\//.exec(frame.merged_host_path)?.[1];
  return host_pid === undefined ? [] : asRoot(sh`findmnt --task ${host_pid} /`, what);
}

function ofMount(frame: LayersFrame): Section {
  const [upper, ...lowers] = frame.layers;
  const paths = [...frame.layers.map((layer) => layer.host_path), frame.work_host_path];
  const options =
    `lowerdir=${lowers.map((layer) => layer.host_path).join(":")}` +
    `,upperdir=${upper?.host_path},workdir=${frame.work_host_path}`;
  const canMount = !paths.some((path) => SPECIAL.test(path));
  return {
    title: says.mount,
    commands: [
      ...ofRoot(frame, says.findmnt),
      ...(canMount ? mounting(frame, options) : []),
      ...asRoot(sh`ls -la ${`${frame.merged_host_path}/`}`, says.merged),
    ],
  };
}

function mounting(frame: LayersFrame, options: string): Section["commands"] {
  if (frame.driver === "fuse-overlayfs") {
    return asRootChanging(sh`fuse-overlayfs -o ${options} /mnt`, says.fuseAgain);
  }
  return [
    ...asCall(
      `mount("overlay", "merged", "overlay", MS_NODEV, ${cString(options)});`,
      says.mountCall
    ),
    ...asRootChanging(sh`mount -t overlay overlay -o ${options} /mnt`, says.mountAgain),
  ];
}

function ofUpper(frame: LayersFrame): Section {
  const upper = frame.layers[0]?.host_path ?? "";
  return {
    title: says.upper,
    commands: [
      ...asRoot(sh`find ${upper} -mindepth 1`, says.findUpper),
      ...asRoot(sh`find ${upper} -type c -exec stat -c '%t,%T %n' {} +`, says.whiteouts),
      ...(frame.entries.some((entry) => entry.is_opaque)
        ? asRoot(sh`getfattr -Rhd -m 'overlay[.]opaque' ${upper}`, says.opaque)
        : []),
      ...asRoot(
        sh`find ${upper} -type f -printf '%s\\n' | awk '{n += $1} END {print n + 0}'`,
        says.upperBytes
      ),
    ],
  };
}

function ofLower({ name, host_path }: Layer): Section {
  return { title: name, commands: asRoot(sh`find ${host_path} -mindepth 1`, says.findLower) };
}

function ofPath(
  frame: LayersFrame,
  shown: string,
  entry: UpperEntry | undefined,
  { versions: told, compared }: LayersChoice
): Section {
  const path = plain(shown);
  if (path === null || sh`${path}` === null) {
    return { title: shown, commands: [], note: says.noName };
  }
  const versions = versionsOf(frame, entry, told, path);
  const [upper, below] = compared
    ? [compared[1], compared[0]].map((name) => versions.find((one) => one.layer === name))
    : versions;
  return {
    title: shown,
    commands: [
      ...versions.flatMap(({ layer, kind, host_path }) =>
        asRoot(sh`stat ${host_path}`, kind === "whiteout" ? says.whiteout(layer) : says.stat(layer))
      ),
      ...(upper?.kind === "file" && below?.kind === "file"
        ? asRoot(
            sh`diff -u --no-dereference ${below.host_path} ${upper.host_path}`,
            says.diff(below.layer)
          )
        : []),
      ...(entry?.is_copied_up === true && upper !== undefined
        ? asRoot(sh`getfattr -d -m 'overlay.*origin' -e hex ${upper.host_path}`, says.origin)
        : []),
      ...asRoot(
        sh`stat ${`${frame.merged_host_path}${path}`}`,
        entry?.mark === "deleted" ? says.mergedGone : says.mergedStat
      ),
    ],
  };
}

/** Uppermost first. A recording knows of those below only which is hidden. */
function versionsOf(
  frame: LayersFrame,
  entry: UpperEntry | undefined,
  told: readonly PathVersion[],
  path: string
): Version[] {
  const known: [string, Kind | null][] =
    told.length > 0 || entry === undefined
      ? told.map(({ layer, kind }) => [layer, kind])
      : [
          ...(isGone(frame, entry) ? [] : [writable(frame, entry)]),
          ...(entry.hides === null ? [] : [hiddenOf(entry)]),
        ];
  return known.flatMap(([name, kind]) => {
    const layer = frame.layers.find((one) => one.name === name);
    return layer === undefined ? [] : [{ layer: name, kind, host_path: layer.host_path + path }];
  });
}

/** An overlay keeps a whiteout in the place of what is gone; a copy keeps nothing. */
function isGone(frame: LayersFrame, entry: UpperEntry): boolean {
  return isCopy(frame) && entry.mark === "deleted";
}

function writable(frame: LayersFrame, entry: UpperEntry): [string, Kind | null] {
  return [frame.layers[0]?.name ?? "upper", entry.kind];
}

function hiddenOf(entry: UpperEntry): [string, Kind | null] {
  return [entry.hides ?? "", entry.hidden_bytes === null ? null : "file"];
}

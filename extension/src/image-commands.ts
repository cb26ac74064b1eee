/** An image by skopeo(1), tar(1) and its files in the store. */

import { asRoot, type Section } from "./commands.js";
import { imageSays as says } from "./command-words.js";
import type { ImageFrame, LayerRow } from "./frames.js";
import { sh } from "./quoting.js";

export function imageCommands(frame: ImageFrame, chosen: number | null): Section[] {
  const { store_host_path: store, layout_name: name } = frame;
  if (store === undefined || store === "") {
    return [{ title: says.image, commands: [], note: says.noStore }];
  }
  const layer = chosen === null ? undefined : frame.layers[chosen];
  const content = `${store}/content`;
  const wanted = name !== undefined && name !== "" ? name : frame.manifest.digest;
  // skopeo takes the first colon as the end of the path.
  const canCopy = name !== undefined && name !== "" && !content.includes(":");
  return [
    ...(frame.compared ? [ofComparison(store, frame.compared.digest, frame.manifest.digest)] : []),
    ...(layer === undefined ? [] : [ofLayer(store, layer)]),
    {
      title: says.image,
      commands: [
        ...asRoot(sh`wardian --root ${store} image inspect ${wanted}`, says.inspect),
        ...(canCopy ? asRoot(sh`skopeo inspect ${`oci:${content}:${name}`}`, says.skopeo) : []),
        ...asRoot(sh`cat ${content}/index.json`, says.index),
        ...asRoot(sh`cat ${blobOf(store, frame.manifest.digest)}`, says.manifest),
        ...asRoot(sh`cat ${blobOf(store, frame.config.digest)}`, says.config),
      ],
    },
  ];
}

function ofComparison(store: string, old: string, now: string): Section {
  const both = asRoot(sh`wardian --root ${store} image diff ${old} ${now}`, says.imageDiff);
  return { title: says.comparison, commands: [...both] };
}

function ofLayer(store: string, layer: LayerRow): Section {
  const archive = blobOf(store, layer.blob.digest);
  const unpacked = `${store}/layers/${hexOf(layer.diff_id)}`;
  const cat = catOf(layer.blob.media_type);
  return {
    title: says.layer(layer.number),
    commands: [
      ...asRoot(sh`tar tf ${archive}`, says.tar),
      ...asRoot(sh`sha256sum ${archive}`, says.blob),
      ...asRoot(sh`${cat} ${archive} | sha256sum`, says.diffId),
      ...asRoot(sh`find ${unpacked} -mindepth 1`, says.unpacked),
    ],
  };
}

function blobOf(store: string, digest: string): string {
  return `${store}/content/blobs/sha256/${hexOf(digest)}`;
}

function hexOf(digest: string): string {
  return digest.replace(/^sha256:/, "");
}

/** The program that unpacks an archive of this type. */
function catOf(type: string): string {
  if (type.endsWith("gzip")) return "zcat";
  return type.endsWith("zstd") ? "zstdcat" : "cat";
}

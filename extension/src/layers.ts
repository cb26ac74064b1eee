/** The layers view, live: contents, other trees and the score are asked of the host. */

import type { Channel } from "./channel.js";
import type { LayersFrame } from "./frames.js";
import { Detail } from "./layers-detail.js";
import { Folders } from "./layers-folders.js";
import { LayersPanel } from "./layers-panel.js";
import { Use } from "./layers-use.js";
import type { Announce, Panel } from "./shell.js";

export function layersPanel(
  channel: Channel,
  announce: Announce,
  chosen: () => void
): Panel<LayersFrame> {
  return new LayersPanel(channel, announce, chosen, {
    detail: new Detail((request) => channel.send({ kind: "content", ...request }), chosen),
    folders: new Folders((tree, path, most) => channel.send({ kind: "folder", tree, path, most })),
    use: new Use(() => channel.send({ kind: "use" })),
  });
}

/** Every view's panel, by the view's name, for what was recorded. */

import { buildPanel } from "./build.js";
import { containersPanel } from "./containers.js";
import { imagePanel } from "./image.js";
import type { Channel } from "./channel.js";
import { LayersPanel } from "./layers-panel.js";
import type { Announce } from "./shell.js";
import { networkPanel } from "./network.js";
import { processesPanel } from "./processes.js";
import { resourcesPanel } from "./resources.js";

export const PANELS = {
  build: buildPanel,
  containers: containersPanel,
  image: imagePanel,
  layers: (channel: Channel, announce: Announce, chosen: () => void): LayersPanel =>
    new LayersPanel(channel, announce, chosen),
  network: networkPanel,
  processes: processesPanel,
  resources: resourcesPanel,
};

/** Every view's panel, by the view's name. */

import { buildPanel } from "./build.js";
import { containersPanel } from "./containers.js";
import { imagePanel } from "./image.js";
import { layersPanel } from "./layers.js";
import { networkPanel } from "./network.js";
import { processesPanel } from "./processes.js";
import { resourcesPanel } from "./resources.js";

export const PANELS = {
  build: buildPanel,
  containers: containersPanel,
  image: imagePanel,
  layers: layersPanel,
  network: networkPanel,
  processes: processesPanel,
  resources: resourcesPanel,
};

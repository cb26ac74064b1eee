/** Every view's panel, by the view's name. */

import { imagePanel } from "./image.js";
import { layersPanel } from "./layers.js";
import { networkPanel } from "./network.js";
import { processesPanel } from "./processes.js";
import { resourcesPanel } from "./resources.js";

export const PANELS = {
  image: imagePanel,
  layers: layersPanel,
  network: networkPanel,
  processes: processesPanel,
  resources: resourcesPanel,
};

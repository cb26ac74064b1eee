/** JupyterLab's part: a side panel, the notebooks' own buttons and colours, the status bar. */

import { colours } from "./colours.js";
import { containers } from "./containers.js";
import { launcher } from "./launcher.js";
import { notebooks } from "./notebooks.js";
import { settings } from "./settings.js";
import { status } from "./status-bar.js";

export default [status, containers, notebooks, colours, settings, launcher];

/** The plugin of the status bar. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { IStatusBar } from "@jupyterlab/statusbar";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";
import { followKernel } from "./sessions.js";
import { Status } from "./status.js";
import { speak, words } from "./words.js";

export const status: JupyterFrontEndPlugin<void> = {
  id: "wardian:status",
  description: "Shows what the container of the current notebook uses.",
  autoStart: true,
  optional: [ITranslator, IStatusBar],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    statusBar: IStatusBar | null
  ) => {
    if (statusBar === null) {
      return; // Notebook 7 has no status bar
    }
    speak((translator ?? nullTranslator).load("wardian"));
    const shown = new Status();
    const item = new Widget({ node: shown.element });
    item.addClass("wd-status-widget");
    item.title.label = words.resources;
    statusBar.registerStatusItem("wardian:status", { item, align: "left", rank: 3 });
    followKernel(app, (kernel) => shown.follow(kernel));
  },
};

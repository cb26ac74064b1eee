/** JupyterLab's part: a side panel, and in the status bar what the notebook's container uses. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import type { ISessionContext } from "@jupyterlab/apputils";
import { IStatusBar } from "@jupyterlab/statusbar";
import { Widget } from "@lumino/widgets";
import { words } from "../words.js";
import { containers } from "./containers.js";
import { Status } from "./status.js";

/** Notebooks and consoles have a session; asking them for it needs none of their packages. */
function sessionOf(widget: Widget | null): ISessionContext | null {
  return widget !== null && "sessionContext" in widget
    ? (widget.sessionContext as ISessionContext)
    : null;
}

const status: JupyterFrontEndPlugin<void> = {
  id: "wardian:status",
  description: "Shows what the container of the current notebook uses.",
  autoStart: true,
  optional: [IStatusBar],
  activate: (app: JupyterFrontEnd, statusBar: IStatusBar | null) => {
    if (statusBar === null) {
      return; // Notebook 7 has no status bar
    }
    const shown = new Status();
    const item = new Widget({ node: shown.element });
    item.addClass("wd-status-widget");
    item.title.label = words.resources;
    statusBar.registerStatusItem("wardian:status", { item, align: "left", rank: 3 });
    let followed: ISessionContext | null = null;
    const followKernel = (): void => shown.follow(followed?.session?.kernel ?? null);
    app.shell.currentChanged?.connect((_shell, { newValue }) => {
      const context = sessionOf(newValue);
      if (context !== followed) {
        followed?.kernelChanged.disconnect(followKernel);
        followed = context;
        followed?.kernelChanged.connect(followKernel);
        followKernel();
      }
    });
  },
};

export default [status, containers];

/** The plugin of the launcher's cards: what there is, and a shell in a container of its own. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { ILauncher } from "@jupyterlab/launcher";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { CATEGORY, OPEN } from "./commands.js";
import { told } from "./dialogs.js";
import { preferences } from "./preferences.js";
import { program } from "./server.js";
import { shellSymbol } from "./symbols.js";
import { openTerminal, quoted } from "./terminals.js";
import { speak, words } from "./words.js";

const NEW_SHELL = "wardian:new-shell";

/** The container is removed with its shell. */
async function openShell(app: JupyterFrontEnd): Promise<void> {
  const image = quoted(preferences.image);
  await openTerminal(app, `${await program()} run -it --rm ${image} sh`);
}

export const launcher: JupyterFrontEndPlugin<void> = {
  id: "wardian:launcher",
  description: "Cards in the launcher: the containers, and a shell in a new one.",
  autoStart: true,
  optional: [ITranslator, ILauncher, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    cards: ILauncher | null,
    palette: ICommandPalette | null
  ) => {
    speak((translator ?? nullTranslator).load("wardian"));
    app.commands.addCommand(NEW_SHELL, {
      label: words.newShell,
      caption: words.newShellHint,
      icon: shellSymbol,
      isEnabled: () => app.commands.hasCommand("terminal:create-new"),
      execute: () => told(openShell(app)),
    });
    palette?.addItem({ command: NEW_SHELL, category: CATEGORY });
    [OPEN, NEW_SHELL].forEach((command, rank) => cards?.add({ command, category: CATEGORY, rank }));
  },
};

/** The plugin of the notebooks: a new interpreter or container by a button, where the kernel is ours. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import {
  ICommandPalette,
  type ISessionContext,
  IToolbarWidgetRegistry,
  Notification,
} from "@jupyterlab/apputils";
import type { Kernel } from "@jupyterlab/services";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { type LabIcon, ToolbarButton } from "@jupyterlab/ui-components";
import { Widget } from "@lumino/widgets";
import { CATEGORY } from "./commands.js";
import { isSure, told } from "./dialogs.js";
import { glimpse } from "./glimpse.js";
import { losses } from "./losses.js";
import { followKernel, isOurs, sessionOf } from "./sessions.js";
import { interpreterSymbol, resetSymbol } from "./symbols.js";
import { speak, words } from "./words.js";

const A_NAME = /^[\w-]+$/;

/** What can be done to a session of ours, by a button and by a command. */
interface Act {
  /** The name in schema/notebooks.json; after `wardian:` the command's. */
  name: string;
  label: () => string;
  hint: () => string;
  icon: LabIcon;
  act: (context: ISessionContext) => Promise<void>;
}

async function restart(context: ISessionContext): Promise<void> {
  if (await isSure(words.reallyRestart, words.restartMeans, words.restart)) {
    await context.restartKernel();
  }
}

async function reset(context: ISessionContext): Promise<void> {
  const kernel = context.session?.kernel;
  if (!isOurs(kernel)) {
    return;
  }
  const [layers, processes] = await Promise.all([
    glimpse(kernel, "layers"),
    glimpse(kernel, "processes"),
  ]);
  const name = layers?.container ?? processes?.container ?? "";
  const body = new Widget({ node: losses(layers, processes) });
  if (await isSure(words.reallyReset(name), body, words.reset)) {
    await makeAnew(context, kernel, A_NAME.test(name) ? name : "");
  }
}

/** By the magic that does it in a cell. What runs would hold it up, and is lost anyway. */
async function makeAnew(
  context: ISessionContext,
  kernel: Kernel.IKernelConnection,
  name: string
): Promise<void> {
  if (kernel.status !== "idle") {
    await context.restartKernel();
  }
  const { done } = kernel.requestExecute({
    code: `%container reset ${name}`.trim(),
    silent: true,
    store_history: false,
  });
  const { content } = await done;
  if (content.status === "error") {
    throw new Error(content.evalue);
  }
  Notification.success(words.isNew(name), { autoClose: 3000 });
}

const ACTS: readonly Act[] = [
  {
    name: "restart-interpreter",
    label: () => words.restartInterpreter,
    hint: () => words.restartHint,
    icon: interpreterSymbol,
    act: restart,
  },
  {
    name: "reset-container",
    label: () => words.resetContainer,
    hint: () => words.resetHint,
    icon: resetSymbol,
    act: reset,
  },
];

/** A button in a notebook's toolbar, there only while the notebook's kernel is one of ours. */
class ActButton extends ToolbarButton {
  constructor(
    act: Act,
    private readonly context: ISessionContext
  ) {
    super({ icon: act.icon, tooltip: act.hint(), onClick: () => void told(act.act(context)) });
    this.addClass(`wdp-${act.name}`);
    context.kernelChanged.connect(this.appear);
    this.appear();
  }

  override dispose(): void {
    this.context.kernelChanged.disconnect(this.appear);
    super.dispose();
  }

  /** JupyterLab says of every such button that it is not pressed, as if one could stay so. */
  override render(): ReturnType<ToolbarButton["render"]> {
    const made = super.render();
    return { ...made, props: { ...(made.props as object), pressed: undefined } };
  }

  private readonly appear = (): void => {
    this.setHidden(!isOurs(this.context.session?.kernel));
  };
}

function addCommand(app: JupyterFrontEnd, palette: ICommandPalette | null, act: Act): void {
  const { commands, shell } = app;
  const command = `wardian:${act.name}`;
  const current = (): ISessionContext | null => sessionOf(shell.currentWidget);
  commands.addCommand(command, {
    label: act.label(),
    caption: act.hint(),
    icon: act.icon,
    isEnabled: () => isOurs(current()?.session?.kernel),
    execute: () => {
      const context = current();
      return context === null ? undefined : told(act.act(context));
    },
  });
  palette?.addItem({ command, category: CATEGORY });
}

interface NotebookPanel extends Widget {
  sessionContext: ISessionContext;
}

export const notebooks: JupyterFrontEndPlugin<void> = {
  id: "wardian:notebooks",
  description: "Restarts a notebook's interpreter and resets its container, by a button.",
  autoStart: true,
  optional: [ITranslator, IToolbarWidgetRegistry, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    toolbars: IToolbarWidgetRegistry | null,
    palette: ICommandPalette | null
  ) => {
    speak((translator ?? nullTranslator).load("wardian"));
    for (const act of ACTS) {
      toolbars?.addFactory<NotebookPanel>(
        "Notebook",
        act.name,
        ({ sessionContext }) => new ActButton(act, sessionContext)
      );
      addCommand(app, palette, act);
    }
    followKernel(app, () => {
      for (const { name } of ACTS) app.commands.notifyCommandChanged(`wardian:${name}`);
    });
  },
};

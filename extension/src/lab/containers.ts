/** The plugin of the side panel: what JupyterLab gives it, and what it does with that. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, MainAreaWidget } from "@jupyterlab/apputils";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { Menu, Widget } from "@lumino/widgets";
import { CATEGORY, OPEN } from "./commands.js";
import { isSure, told } from "./dialogs.js";
import type { ContainerRow, Deed, Host } from "./inventory.js";
import { LogView } from "./logs.js";
import { Panel } from "./panel.js";
import { preferences } from "./preferences.js";
import { doTo, Live, logLines, remove } from "./server.js";
import { containerSymbol } from "./symbols.js";
import { openTerminal } from "./terminals.js";
import { showView, type Shown, VIEWS } from "./views.js";
import { speak, words } from "./words.js";

const VIEW = "wardian:open-view";

/** Looks at the server as long as it is seen. */
class PanelWidget extends Widget {
  private readonly live: Live;

  constructor(private readonly panel: Panel) {
    super({ node: panel.element });
    this.live = new Live((news) => this.panel.hear(news));
    document.addEventListener("visibilitychange", this.look);
    preferences.changed.connect(this.lookAnew);
  }

  override dispose(): void {
    document.removeEventListener("visibilitychange", this.look);
    preferences.changed.disconnect(this.lookAnew);
    this.rest();
    super.dispose();
  }

  protected override onActivateRequest(): void {
    this.panel.focus();
  }

  protected override onAfterShow(): void {
    this.look();
  }

  protected override onAfterAttach(): void {
    this.look();
  }

  protected override onAfterHide(): void {
    this.rest();
  }

  protected override onBeforeDetach(): void {
    this.rest();
  }

  private readonly look = (): void => {
    if (this.isVisible && !document.hidden) {
      this.live.open();
      this.panel.wake();
    } else {
      this.rest();
    }
  };

  private readonly lookAnew = (): void => {
    this.rest();
    this.look();
  };

  private rest(): void {
    this.live.close();
    this.panel.sleep();
  }
}

class LogWidget extends Widget {
  constructor(private readonly view: LogView) {
    super({ node: view.element });
  }

  protected override onAfterAttach(): void {
    this.view.wake();
  }

  protected override onAfterShow(): void {
    this.view.wake();
  }

  protected override onAfterHide(): void {
    this.view.sleep();
  }

  protected override onBeforeDetach(): void {
    this.view.sleep();
  }
}

/** A view in a tab; it is taken down with the tab. */
class ViewWidget extends Widget {
  private readonly unmount: Promise<() => void>;

  constructor(view: Shown, container: { id: string; name: string }) {
    super();
    this.addClass("wdp-view");
    this.unmount = showView(view, this.node, container);
  }

  override dispose(): void {
    void this.unmount.then((unmount) => unmount());
    super.dispose();
  }
}

class LabHost implements Host {
  constructor(private readonly app: JupyterFrontEnd) {}

  async act(container: ContainerRow, deed: Deed): Promise<void> {
    if (
      deed !== "remove" ||
      (await isSure(words.reallyRemove(container.name), words.isLost, words.remove))
    ) {
      await told(doTo(container.id, deed));
    }
  }

  async remove(kind: "images" | "networks" | "volumes", name: string): Promise<void> {
    if (await isSure(words.reallyRemove(name), words.isGone, words.remove)) {
      await told(remove(kind, name));
    }
  }

  offerViews({ id, name }: ContainerRow, beside: HTMLElement): void {
    const menu = new Menu({ commands: this.app.commands });
    for (const view of VIEWS) {
      menu.addItem({ command: VIEW, args: { view, id, name } });
    }
    menu.aboutToClose.connect(() => beside.focus());
    const { left, bottom } = beside.getBoundingClientRect();
    menu.open(left, bottom);
  }

  exploreImage(name: string): void {
    void this.app.commands.execute(VIEW, { view: "image", id: name, name });
  }

  openLogs(container: ContainerRow): void {
    const content = new LogWidget(new LogView(() => logLines(container.id)));
    const tab = new MainAreaWidget({ content });
    tab.title.label = `${container.name} — ${words.logsTab}`;
    tab.title.closable = true;
    this.app.shell.add(tab, "main");
  }

  openTerminal(container: ContainerRow, program: string): void {
    const command = `${program} exec -it ${container.id.slice(0, 12)} sh`;
    void told(openTerminal(this.app, command));
  }
}

export const containers: JupyterFrontEndPlugin<void> = {
  id: "wardian:containers",
  description: "The containers of this machine in a side panel.",
  autoStart: true,
  optional: [ITranslator, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    palette: ICommandPalette | null
  ) => {
    speak((translator ?? nullTranslator).load("wardian"));
    const widget = new PanelWidget(new Panel(new LabHost(app)));
    widget.id = "wardian-containers";
    widget.title.caption = words.title;
    widget.title.iconClass = "wdp-panel-icon jp-SideBar-tabIcon";
    app.shell.add(widget, "left", { rank: 350 });
    app.commands.addCommand(OPEN, {
      label: words.showPanel,
      icon: containerSymbol,
      execute: () => app.shell.activateById(widget.id),
    });
    app.commands.addCommand(VIEW, {
      label: (args) => words[args.view as Shown],
      execute: (args) => {
        const { view, id, name } = args as { view: Shown; id: string; name: string };
        const tab = new MainAreaWidget({ content: new ViewWidget(view, { id, name }) });
        tab.title.label = `${name} — ${words[view].toLowerCase()}`;
        tab.title.closable = true;
        app.shell.add(tab, "main");
      },
    });
    palette?.addItem({ command: OPEN, category: CATEGORY });
  },
};

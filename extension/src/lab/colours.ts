/** The plugin that colours cells while they are typed, in notebooks whose kernel is ours. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import type { ISessionContext } from "@jupyterlab/apputils";
import type { ISignal } from "@lumino/signaling";
import type { Widget } from "@lumino/widgets";
import { languageOf } from "./languages.js";
import { isOurs } from "./sessions.js";

/** The parts of JupyterLab's cells and notebooks that we speak to. */
interface CellModel {
  type: string;
  mimeType: string;
  sharedModel: { getSource(): string };
  contentChanged: ISignal<CellModel, void>;
  mimeTypeChanged: ISignal<CellModel, unknown>;
}

interface CellList extends Iterable<CellModel> {
  changed: ISignal<CellList, { newValues: (CellModel | undefined)[] }>;
}

interface Notebook {
  model: { cells: CellList } | null;
  codeMimetype: string;
  modelChanged: ISignal<Notebook, void>;
}

interface NotebookPanel extends Widget {
  content: Notebook;
  sessionContext: ISessionContext;
}

/** Keeps the language of one notebook's cells what their first line says. */
class Colours {
  private cells: CellList | null = null;
  private readonly known = new WeakSet<CellModel>();
  private readonly coloured = new WeakSet<CellModel>();

  constructor(private readonly panel: NotebookPanel) {
    panel.content.modelChanged.connect(() => this.adopt());
    panel.sessionContext.kernelChanged.connect(() => this.colourAll());
    this.adopt();
  }

  private adopt(): void {
    this.cells = this.panel.content.model?.cells ?? null;
    this.cells?.changed.connect((_cells, { newValues }) => newValues.forEach(this.watch));
    for (const cell of this.cells ?? []) this.watch(cell);
  }

  private readonly watch = (cell: CellModel | undefined): void => {
    if (cell?.type === "code" && !this.known.has(cell)) {
      this.known.add(cell);
      cell.contentChanged.connect(this.colour);
      // The notebook gives all cells the kernel's language when it learns of it.
      cell.mimeTypeChanged.connect(this.colour);
      this.colour(cell);
    }
  };

  private colourAll(): void {
    for (const cell of this.cells ?? []) {
      if (cell.type === "code") this.colour(cell);
    }
  }

  private readonly colour = (cell: CellModel): void => {
    const { content, sessionContext } = this.panel;
    const magic = isOurs(sessionContext.session?.kernel)
      ? languageOf(cell.sharedModel.getSource())
      : null;
    if (magic !== null) {
      this.coloured.add(cell);
    } else if (!this.coloured.delete(cell)) {
      return; // it is not for us to say
    }
    const wanted = magic ?? content.codeMimetype;
    if (cell.mimeType !== wanted) {
      cell.mimeType = wanted;
    }
  };
}

export const colours: JupyterFrontEndPlugin<void> = {
  id: "wardian:colours",
  description: "Colours the cells of a Wardian notebook in the language of their magic.",
  autoStart: true,
  activate: ({ docRegistry }: JupyterFrontEnd) => {
    docRegistry.addWidgetExtension("Notebook", {
      createNew: (panel) => {
        new Colours(panel as unknown as NotebookPanel);
      },
    });
  },
};

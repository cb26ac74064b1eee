/** JupyterLab's own terminals, in which `wardian` is told to go into a container. */

import type { JupyterFrontEnd } from "@jupyterlab/application";

/** The parts of JupyterLab's terminal that we speak to. */
interface TerminalWidget {
  content: {
    ready: Promise<unknown>;
    session: { send(message: { type: "stdin"; content: string[] }): void };
  };
}

/** Opens a terminal whose shell becomes this command. */
export async function openTerminal({ commands }: JupyterFrontEnd, command: string): Promise<void> {
  const made: unknown = await commands.execute("terminal:create-new");
  const { content } = made as TerminalWidget;
  await content.ready;
  content.session.send({ type: "stdin", content: [`exec ${command}\r`] });
}

/** A word that no shell takes for anything else. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

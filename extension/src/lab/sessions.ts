/** The kernel of the notebook or console that is looked at, and whether it is one of ours. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { ISessionContext } from "@jupyterlab/apputils";
import type { Kernel } from "@jupyterlab/services";
import type { Widget } from "@lumino/widgets";

type MaybeKernel = Kernel.IKernelConnection | null | undefined;

export function isOurs(kernel: MaybeKernel): kernel is Kernel.IKernelConnection {
  return kernel?.name.startsWith("wardian") ?? false;
}

/** Notebooks and consoles have a session; asking them for it needs none of their packages. */
export function sessionOf(widget: Widget | null): ISessionContext | null {
  return widget !== null && "sessionContext" in widget
    ? (widget.sessionContext as ISessionContext)
    : null;
}

/** Tells of the current notebook's kernel whenever it, or the notebook, is another one. */
export function followKernel(
  app: JupyterFrontEnd,
  hear: (kernel: Kernel.IKernelConnection | null) => void
): void {
  let followed: ISessionContext | null = null;
  const tell = (): void => hear(followed?.session?.kernel ?? null);
  app.shell.currentChanged?.connect((_shell, { newValue }) => {
    const context = sessionOf(newValue);
    if (context !== followed) {
      followed?.kernelChanged.disconnect(tell);
      followed = context;
      followed?.kernelChanged.connect(tell);
      tell();
    }
  });
}

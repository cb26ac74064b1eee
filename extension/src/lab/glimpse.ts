/** One look at a kernel's container, by the comm that the status bar follows it with. */

import type { Kernel } from "@jupyterlab/services";
import { decode } from "../channel.js";
import { apply, type FrameMessage, type Frames, type View } from "../frames.js";

const TARGET = "wardian";
const PATIENCE_MS = 2000;

/** The first frame of a view; null if there is none to be had soon. */
export async function glimpse<V extends View>(
  kernel: Kernel.IKernelConnection,
  view: V
): Promise<Frames[V] | null> {
  const comm = kernel.createComm(TARGET);
  const seen = new Promise<Frames[V]>((resolve) => {
    comm.onMsg = (message) => {
      for (const buffer of message.buffers ?? []) {
        const said = decode(buffer as ArrayBuffer) as FrameMessage | { kind: "error" | "history" };
        const frame = said.kind === "full" ? apply(null, said) : null;
        if (frame !== null) resolve(frame as Frames[V]);
      }
    };
  });
  const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), PATIENCE_MS));
  comm.open({ view });
  comm.send({ kind: "visible", id: "glimpse", visible: true });
  const frame = await Promise.race([seen, late]);
  if (!comm.isDisposed) {
    comm.close();
  }
  return frame;
}

/** Questions before what cannot be undone, and the news that something could not be done. */

import { Dialog, Notification, showDialog } from "@jupyterlab/apputils";
import type { Widget } from "@lumino/widgets";
import { words } from "./words.js";

const SHOWN_MS = 8000;

/** Whoever is asked may say no; `label` is what yes is called. */
export async function isSure(
  title: string,
  body: string | Widget,
  label: string
): Promise<boolean> {
  const { button } = await showDialog({
    title,
    body,
    buttons: [Dialog.cancelButton({ label: words.cancel }), Dialog.warnButton({ label })],
  });
  return button.accept;
}

/** Says why it could not be done. */
export async function told(deed: Promise<unknown>): Promise<void> {
  try {
    await deed;
  } catch (error) {
    Notification.error((error as Error).message, { autoClose: SHOWN_MS });
  }
}

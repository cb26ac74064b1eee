/**
 * The language of a widget. JupyterLab's is JupyterLab's choice, which our part of it has put on
 * the page; elsewhere it is the document's, and the kernel has the words.
 */

import type { AnyModel } from "@anywidget/types";
import { decode } from "../channel.js";
import { offered, speak, transOf, type Catalogue } from "../translation.js";

interface Words {
  kind: string;
  catalogue: Catalogue;
}

let isLearned = false;

/** Speaks it now, or asks for the words; `again` is called when they have come. */
export function speakAsPage<S extends object>(model: AnyModel<S>, again: () => void): () => void {
  const trans = offered();
  if (trans !== undefined) {
    speak(trans);
    return () => undefined;
  }
  if (isLearned || !/^ko\b/i.test(document.documentElement.lang)) return () => undefined;
  const onMessage = (_content: unknown, buffers: DataView[]): void => {
    for (const buffer of buffers) {
      const message = decode(buffer) as Words;
      if (message.kind !== "words") continue;
      isLearned = true;
      speak(transOf(message.catalogue));
      again();
    }
  };
  model.on("msg:custom", onMessage);
  model.send({ kind: "words", language: "ko" });
  return () => model.off("msg:custom", onMessage);
}

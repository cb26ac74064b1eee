/** Copying: the clipboard, and the picture that a button for it has. */

import { svg } from "./dom.js";

/** Two sheets, one over the other. */
export function copyIcon(): SVGElement {
  return svg(
    "svg",
    { viewBox: "0 0 16 16", width: 14, height: 14, fill: "none", "aria-hidden": "true" },
    svg("path", { d: "M5.5 5.5h8v8h-8z M3 10.5H2.5v-8h8V3", stroke: "currentColor" })
  );
}

/** Puts text on the clipboard, also where a page came without TLS and may not ask for it. */
export async function copyText(text: string): Promise<void> {
  // It is not there without TLS, whatever its type says.
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard !== undefined) {
    await clipboard.writeText(text);
    return;
  }
  const put = (event: ClipboardEvent): void => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  document.addEventListener("copy", put, { capture: true });
  try {
    // Deprecated, and all that such a page has.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    if (!document.execCommand("copy")) throw new Error("the page may not copy");
  } finally {
    document.removeEventListener("copy", put, { capture: true });
  }
}

/** What jsdom lacks and the page has; and English, as JupyterLab gives it. */

import { Gettext } from "@jupyterlab/translation/lib/gettext.js";
import { speak } from "../src/lab/words.js";

window.matchMedia = (query) =>
  Object.assign(new EventTarget(), {
    matches: false,
    media: query,
    onchange: null,
    addListener: () => undefined,
    removeListener: () => undefined,
  });

speak(new Gettext({ domain: "wardian", locale: "en" }));

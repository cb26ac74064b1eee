/** Icons of JupyterLab's kind, which take a theme's colours. */

import { LabIcon } from "@jupyterlab/ui-components";

const LINE = 'class="jp-icon3" style="fill:none" stroke="#616161" stroke-width="1.7"';

function drawn(name: string, path: string): LabIcon {
  const svgstr = `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24"><path ${LINE} stroke-linejoin="round" stroke-linecap="round" d="${path}"/></svg>`;
  return new LabIcon({ name: `wardian:${name}`, svgstr });
}

const ANEW = "M4.6 6.9A9 9 0 1 1 3 12M4.2 2.8v4.4h4.4";

export const containerSymbol = drawn(
  "container",
  "M12 3 4 7.5v9l8 4.5 8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9"
);
export const shellSymbol = drawn(
  "shell",
  "M12 2.5 3.5 7v10l8.5 4.5 8.5-4.5V7zM8 9.5l3 2.8-3 2.8M12.5 15.5h4"
);
export const interpreterSymbol = drawn(
  "restart-interpreter",
  `${ANEW}M8.3 9.2 11 12l-2.7 2.8M12.4 15h3.6`
);
export const resetSymbol = drawn(
  "reset-container",
  `${ANEW}M12 7.4 8 9.7v4.6l4 2.3 4-2.3V9.7zM8 9.7l4 2.3 4-2.3M12 12v4.6`
);

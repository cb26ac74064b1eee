/**
 * Bundles each view as one ES module and one style sheet for anywidget. The same sources give the
 * same bytes: no source map, no path, no time goes in.
 */

import { build } from "esbuild";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const views = ["layers", "processes", "resources"];
const shared = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  legalComments: "none",
  outdir: join(here, "..", "kernel", "wardian", "widgets", "static"),
  logLevel: "warning",
};

await build({
  ...shared,
  entryPoints: views.map((view) => `src/widgets/${view}.ts`),
  outbase: "src/widgets",
  format: "esm",
  target: "es2022",
});
await build({ ...shared, entryPoints: ["style/views.css"], outbase: "style" });

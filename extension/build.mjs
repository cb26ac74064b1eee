/**
 * Bundles each view as one ES module and one style sheet for anywidget. The same sources give the
 * same bytes: no source map, no path, no time goes in.
 */

import { build } from "esbuild";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const views = [
  ...["build", "containers", "image", "layers", "network", "processes", "recording", "resources"],
];
const shared = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  legalComments: "none",
  footer: { js: licences("d3-hierarchy", "d3-path", "d3-shape") },
  outdir: join(here, "..", "kernel", "wardian", "widgets", "static"),
  logLevel: "warning",
};

/** The licences of what is bundled must travel with it. */
function licences(...packages) {
  const texts = packages.map((name) => {
    const text = readFileSync(join(here, "node_modules", name, "LICENSE"), "utf8");
    return `${name}:\n${text.trim()}`;
  });
  return `/*\n${texts.join("\n\n")}\n*/`;
}

await build({
  ...shared,
  entryPoints: views.map((view) => `src/widgets/${view}.ts`),
  outbase: "src/widgets",
  format: "esm",
  target: "es2022",
});
await build({ ...shared, entryPoints: ["style/views.css"], outbase: "style" });

/**
 * Bundles each view as one ES module and one style sheet for anywidget. The same sources give the
 * same bytes: no source map, no path, no time goes in.
 */

import { build } from "esbuild";
import { appendFileSync, readFileSync } from "node:fs";
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
  outdir: join(here, "..", "kernel", "wardian", "widgets", "static"),
  logLevel: "warning",
};

/** The licences of what is bundled must travel with it. */
function licences(inputs) {
  const found = Object.entries(inputs).flatMap(([path, { bytesInOutput }]) => {
    const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
    return name !== undefined && bytesInOutput > 0 ? [name] : [];
  });
  const texts = [...new Set(found)].sort().map((name) => {
    const text = readFileSync(join(here, "node_modules", name, "LICENSE"), "utf8");
    return `${name}:\n${text.trim()}`;
  });
  return texts.length === 0 ? "" : `/*\n${texts.join("\n\n")}\n*/\n`;
}

const { metafile } = await build({
  ...shared,
  metafile: true,
  entryPoints: views.map((view) => `src/widgets/${view}.ts`),
  outbase: "src/widgets",
  format: "esm",
  target: "es2022",
});
for (const [path, { inputs }] of Object.entries(metafile.outputs)) {
  appendFileSync(join(here, path), licences(inputs));
}
await build({ ...shared, entryPoints: ["style/views.css"], outbase: "style" });

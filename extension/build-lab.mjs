/** Builds the prebuilt JupyterLab extension into labextension/ with JupyterLab's own builder. */

import { spawnSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");

rmSync(join(here, "labextension"), { recursive: true, force: true });
const { status } = spawnSync(
  process.execPath,
  [
    join(modules, "@jupyter/builder/lib/build-labextension.js"),
    "--core-package-file",
    join(modules, "@jupyterlab/core-meta/core.package.json"),
    here,
  ],
  { cwd: here, stdio: "inherit" }
);
if (status !== 0) {
  process.exit(status ?? 1);
}
copyFileSync(join(here, "install.json"), join(here, "labextension", "install.json"));

/**
 * The commands of frames that come on stdin, as JSON: what tests/linux/test_shown_commands.py runs.
 * Bundled for Node by that test.
 */

import type { Section } from "../src/commands.js";
import type { ImageFrame, LayersFrame, NetworkFrame } from "../src/frames.js";
import type { ProcessesFrame, ResourcesFrame } from "../src/frames.js";
import { imageCommands } from "../src/image-commands.js";
import { layersCommands } from "../src/layers-commands.js";
import { networkCommands } from "../src/network-commands.js";
import { mapOf } from "../src/network-map.js";
import { processesCommands } from "../src/processes-commands.js";
import { resourcesCommands } from "../src/resources-commands.js";

type Asked =
  | { view: "layers"; frame: LayersFrame; chosen: string | null }
  | { view: "processes"; frame: ProcessesFrame; chosen: string | null }
  | { view: "resources"; frame: ResourcesFrame; chosen: null }
  | { view: "network"; frame: NetworkFrame; chosen: string | null }
  | { view: "image"; frame: ImageFrame; chosen: number | null };

function sectionsOf(asked: Asked): Section[] {
  switch (asked.view) {
    case "layers":
      return layersCommands(asked.frame, { layer: null, path: asked.chosen, versions: [] });
    case "processes":
      return processesCommands(asked.frame, asked.chosen);
    case "resources":
      return resourcesCommands(asked.frame);
    case "network":
      return networkCommands(asked.frame, mapOf(asked.frame), { key: asked.chosen, ends: [] });
    case "image":
      return imageCommands(asked.frame, asked.chosen);
  }
}

let text = "";
for await (const part of process.stdin) text += String(part);
const said = sectionsOf(JSON.parse(text) as Asked).flatMap((section) => section.commands);
process.stdout.write(JSON.stringify(said.map((command) => command.line)));

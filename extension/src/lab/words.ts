/** What JupyterLab's own parts say, in JupyterLab's language and in docker's words. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { offer, speak as speakInViews } from "../translation.js";

/** Everything at once: JupyterLab's language changes only with the page. */
const vocabulary = (trans: TranslationBundle) => ({
  title: trans.__("Containers"),
  containers: trans.__("Containers"),
  images: trans.__("Images"),
  networks: trans.__("Networks"),
  volumes: trans.__("Volumes"),
  waiting: trans.__("Looking for containers …"),
  noContainers: trans.__(
    "None yet. Run a cell of a notebook with a Wardian kernel, or `wardian run`."
  ),
  noImages: trans.__(
    "None yet. The first container makes wardian/base; `wardian pull` gets others."
  ),
  noNetworks: trans.__("None yet. `wardian network create` makes one."),
  noVolumes: trans.__("None yet. `wardian volume create` makes one."),
  noOutput: trans.__("Its main process has printed nothing."),
  noServer: trans.__("The Jupyter server does not answer"),
  openAgain: trans.__("Open the view again when it does."),
  views: trans.__("Look through its walls"),
  explore: trans.__("Explore its layers"),
  terminal: trans.__("Open a terminal in it"),
  logs: trans.__("Show its logs"),
  start: trans.__("Start"),
  stop: trans.__("Stop"),
  pause: trans.__("Pause"),
  unpause: trans.__("Unpause"),
  remove: trans.__("Remove"),
  cancel: trans.__("Cancel"),
  internal: trans.__("internal"),
  anonymous: trans.__("anonymous"),
  noLimit: trans.__("no limit"),
  usedBy: (names: string) => trans.__("used by %1", names),
  layersOf: (many: number) => trans._n("%1 layer", "%1 layers", many),
  reallyRemove: (name: string) => trans.__("Remove %1?", name),
  isLost: trans.__(
    "It is ended if it runs, and what it has written is lost. Its image and volumes stay."
  ),
  isGone: trans.__("This can't be undone."),

  layers: trans.__("Layers"),
  processes: trans.__("Processes"),
  resources: trans.__("Resources"),
  network: trans.__("Network"),
  image: trans.__("Image"),
  logsTab: trans.__("logs"),
  showPanel: trans.__("Containers of This Machine"),
  newShell: trans.__("Shell in a New Container"),
  newShellHint: trans.__("A terminal in a new container, which is removed with it"),

  restartInterpreter: trans.__("Restart the Interpreter, Keep the Container"),
  restartHint: trans.__("Restart the interpreter: variables are lost, the container goes on"),
  reallyRestart: trans.__("Restart the interpreter?"),
  restartMeans: trans.__(
    "Its variables are lost. The container goes on, with its files and its other processes."
  ),
  restart: trans.__("Restart"),
  resetContainer: trans.__("Reset the Container …"),
  resetHint: trans.__("Reset the container: begin anew from its image"),
  reallyReset: (name: string) =>
    name ? trans.__("Reset the container %1?", name) : trans.__("Reset the container?"),
  reset: trans.__("Reset"),
  isNew: (name: string) =>
    name ? trans.__("The container %1 is new", name) : trans.__("The container is new"),
  theseAreLost: trans.__("This is lost:"),
  theseStay: trans.__("The notebook, the image and volumes stay."),
  variables: trans.__("the variables of its interpreters"),
  files: (many: number, names: string) =>
    trans._n("%1 file written or removed: %2", "%1 files written or removed: %2", many, names),
  noFiles: trans.__("no file: none was written"),
  everyFile: trans.__("all files that were written in it"),
  programs: (many: number, names: string) =>
    trans._n("%1 process: %2", "%1 processes: %2", many, names),
  everyProcess: trans.__("all its processes"),
  andMore: (names: string, many: number) => trans.__("%1 and %2 more", names, many),
});

export let words: ReturnType<typeof vocabulary>;

/** Chooses the language. Each plugin does so first, since nobody knows which is activated first. */
export function speak(trans: TranslationBundle): void {
  words = vocabulary(trans);
  speakInViews(trans);
  offer(trans);
}

import { buildPanel } from "../build.js";
import { widget } from "./anywidget.js";

export default widget("build", buildPanel);

import { processesPanel } from "../processes.js";
import { widget } from "./anywidget.js";

export default widget("processes", processesPanel);

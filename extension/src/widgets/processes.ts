import { orderedProcesses } from "../processes-orders.js";
import { widget } from "./anywidget.js";

export default widget("processes", orderedProcesses);

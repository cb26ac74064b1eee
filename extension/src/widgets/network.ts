import { networkPanel } from "../network.js";
import { widget } from "./anywidget.js";

export default widget("network", networkPanel);

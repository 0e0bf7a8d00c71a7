// Stands in for the contract's import `submit`; the build puts the component's own in its place.
import { interfaceOf } from "./stand-in.js";

export default interfaceOf("submit");

// What has to be in place before anything else of a component runs.

import { Promised, later } from "./promise.js";

globalThis.Promise = Promised;
globalThis.queueMicrotask = later;

// worker.js with a second runtime, which computes on a graphics card. It runs the transformer alone, whose passes take
// nearly all of the time: it lacks the float64 of the decoder.

import * as runtime from "onnxruntime-web/webgpu";

globalThis.gpuRuntime = runtime;
await import("./worker.js");

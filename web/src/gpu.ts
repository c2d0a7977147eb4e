// The network on the graphics card, where there is one and it is quicker: ONNX Runtime's WebGPU build.

import * as ort from "onnxruntime-web/jspi";
import type { Regress } from "./core/reconstruct";
import { widenWeights } from "./core/onnx";

const RUNS = 3; // of which the quickest counts
const WORTHWHILE = 0.8; // of the processor's time
const PATIENCE_MS = 10_000; // for the card's programs to be compiled
const LARGEST_DIFFERENCE = 1e-3; // of the map's own scale: a sixteenth of a crop's pixel

/**
 * Open the network on the card.
 *
 * @param own - The same network on the processor.
 * @param size - Side of its crops.
 * @returns What is as good and quicker, or null.
 */
export async function openOnCard(
  base: string, get: (name: string) => Promise<ArrayBuffer>, network: ArrayBuffer,
  make: (session: ort.InferenceSession, runtime: typeof ort) => Regress, own: Regress, size: number,
): Promise<Regress | null> {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await get("ort/ort-wasm-simd-threaded.jspi.wasm.gz");
  ort.env.wasm.wasmPaths = { mjs: new URL("ort/ort-wasm-simd-threaded.jspi.mjs", base).href };
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(widenWeights(new Uint8Array(network)), {
    executionProviders: ["webgpu"],
    logSeverityLevel: 3,
  });
  const card = make(session, ort);
  const pixels = Float32Array.from({ length: 3 * size * size }, (_, i) => Math.sin(i) / 2);
  const time = async (regress: Regress) => {
    let quickest = Infinity;
    let result = await regress(pixels, 1); // compiles
    for (let k = 0; k < RUNS; k++) {
      const start = performance.now();
      result = await regress(pixels, 1);
      quickest = Math.min(quickest, performance.now() - start);
    }
    return { quickest, maps: result.maps };
  };
  const onCard = await Promise.race([time(card), new Promise<null>((done) => setTimeout(done, PATIENCE_MS, null))]);
  if (!onCard) return null;
  const onProcessor = await time(own);
  const differs = onCard.maps.some((value, i) => !(Math.abs(value - onProcessor.maps[i]) <= LARGEST_DIFFERENCE));
  if (!differs && onCard.quickest < WORTHWHILE * onProcessor.quickest) return card;
  await session.release();
  return null;
}

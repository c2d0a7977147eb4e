// The networks in the browser: ONNX Runtime's WebAssembly, and the files of model/.

import * as ort from "onnxruntime-web/wasm";
import { type Contract, readAtlas } from "./core/contract";
import { type HeadModel, readHead } from "./core/headModel";
import type { Look } from "./core/search";
import { Reconstructor, type Regress } from "./core/reconstruct";
import { Search } from "./core/search";

export interface Opened {
  contract: Contract;
  search: Search;
  reconstructor: Reconstructor;
  threads: number;
  head: () => Promise<HeadModel>; // fetched when first asked for
  quicken: () => Promise<boolean>; // tries the graphics card, once; says whether it is used
}

/** Told how many bytes of the page's files have come. */
export type Progress = (loaded: number) => void;

/**
 * Fetch everything and open both networks.
 *
 * @param base - The page's address, which all files lie under.
 */
export async function open(
  base: string, mostThreads: number, progress: Progress,
): Promise<Opened> {
  const loaded = new Map<string, number>();
  const get = async (name: string): Promise<ArrayBuffer> =>
    fetchFile(new URL(name, base).href, (bytes) => {
      loaded.set(name, bytes);
      progress([...loaded.values()].reduce((a, b) => a + b, 0));
    });
  const [wasm, contractBytes, atlasBytes, detector, network] = await Promise.all([
    get("ort/ort-wasm-simd-threaded.wasm.gz"),
    get("model/model.json"),
    get("model/atlas.bin.gz"),
    get("model/detector.onnx"),
    get("model/network.onnx"),
  ]);
  // threads share memory, which browsers allow only pages that are isolated from others
  const threads = self.crossOriginIsolated ? mostThreads : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: new URL("ort/ort-wasm-simd-threaded.mjs", base).href };
  ort.env.logLevel = "error";
  const contract = JSON.parse(new TextDecoder().decode(contractBytes)) as Contract;
  // (it would warn of an input that needn't be given)
  const create = (bytes: ArrayBuffer) =>
    ort.InferenceSession.create(new Uint8Array(bytes), { executionProviders: ["wasm"], logSeverityLevel: 3 });
  const detectorSession = await create(detector);
  const networkSession = await create(network);
  const atlas = readAtlas(contract, atlasBytes);
  let head: Promise<HeadModel> | null = null;
  const openHead = async () => {
    if (!contract.head) throw new Error("This page's network has no head model that fits it.");
    loaded.clear();
    return readHead(contract.head, await get("model/head.bin.gz"));
  };
  let regress = regressWith(networkSession, ort, contract);
  let quickened: Promise<boolean> | null = null;
  const quicken = async (): Promise<boolean> => {
    try {
      if (!(await hasCard())) return false;
      const { openOnCard } = await import("./gpu");
      loaded.clear();
      const make = (session: ort.InferenceSession, runtime: typeof ort) => regressWith(session, runtime, contract);
      const card = await openOnCard(base, get, network, make, regress, contract.spec.input_size);
      if (card) regress = card;
      return card !== null;
    } catch (error) {
      console.info("The graphics card isn't used:", error); // all works without it
      return false;
    }
  };
  return {
    contract,
    search: new Search(contract, lookWith(detectorSession)),
    reconstructor: new Reconstructor(contract, atlas, (pixels, count) => regress(pixels, count)),
    threads,
    quicken: () => (quickened ??= quicken()),
    head: () => (head ??= openHead().catch((error) => ((head = null), Promise.reject(error)))),
  };
}

/** Whether there is a graphics card, and a browser that lets WebAssembly wait for it. */
async function hasCard(): Promise<boolean> {
  if (!("Suspending" in WebAssembly) || !("gpu" in navigator)) return false;
  const adapter = await (navigator.gpu as GpuEntry).requestAdapter();
  return adapter !== null && !adapter.info?.isFallbackAdapter; // which is a processor, too
}

interface GpuEntry {
  requestAdapter(): Promise<{ info?: { isFallbackAdapter?: boolean } } | null>;
}

function lookWith(session: ort.InferenceSession): Look {
  return async (picture) => {
    const pixels = new ort.Tensor("uint8", picture.data as Uint8Array, [1, picture.height, picture.width, 3]);
    const { cells } = await session.run({ pictures: pixels });
    return cells.data as Float32Array;
  };
}

function regressWith(session: ort.InferenceSession, runtime: typeof ort, contract: Contract): Regress {
  const size = contract.spec.input_size;
  const hasConfidence = session.outputNames.includes("confidences");
  return async (pixels, count) => {
    const crops = new runtime.Tensor("float32", pixels, [count, 3, size, size]);
    const outputs = await session.run({ crops }, hasConfidence ? ["position_maps", "confidences"] : ["position_maps"]);
    const maps = outputs.position_maps.data as Float32Array;
    const confidences = hasConfidence ? (outputs.confidences.data as Float32Array) : null;
    return { maps, confidences };
  };
}

async function fetchFile(address: string, progress: Progress): Promise<ArrayBuffer> {
  const name = new URL(address).pathname.split("/").pop();
  let response: Response;
  try {
    response = await fetch(address);
  } catch {
    throw new Error(`${name} could not be fetched. Is the network there?`);
  }
  if (!response.ok || !response.body) throw new Error(`${name} could not be fetched: ${response.status}.`);
  let loaded = 0;
  const counted = response.body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        progress((loaded += chunk.length));
        controller.enqueue(chunk);
      },
    }),
  );
  const bytes = await new Response(counted).arrayBuffer();
  const [first, second] = new Uint8Array(bytes, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return bytes; // a server may have unpacked it already
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked).arrayBuffer();
}

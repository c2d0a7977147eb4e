// The networks in the browser: ONNX Runtime's WebAssembly, and the files of model/.

import type * as Ort from "onnxruntime-web";
import { type Contract, readAtlas } from "./core/contract";
import type { Look } from "./core/search";
import { Reconstructor, type Regress } from "./core/reconstruct";
import { Search } from "./core/search";

export interface Opened {
  contract: Contract;
  search: Search;
  reconstructor: Reconstructor;
  device: "webgpu" | "wasm";
  threads: number;
}

/** Told how many bytes of the page's files have come. */
export type Progress = (loaded: number) => void;

/**
 * Fetch everything and open both networks.
 *
 * @param base - The page's address, which all files lie under.
 * @param wishes - Threads at most, and whether a WebGPU adapter may be used.
 */
export async function open(
  base: string, wishes: { threads: number; webgpu: boolean }, progress: Progress,
): Promise<Opened> {
  const loaded = new Map<string, number>();
  const get = async (name: string): Promise<ArrayBuffer> =>
    fetchFile(new URL(name, base).href, (bytes) => {
      loaded.set(name, bytes);
      progress([...loaded.values()].reduce((a, b) => a + b, 0));
    });
  const device = wishes.webgpu && (await hasWebGpu()) ? "webgpu" : "wasm";
  const runtime = device === "webgpu" ? "ort-wasm-simd-threaded.jspi" : "ort-wasm-simd-threaded";
  const [ort, wasm, contractBytes, atlasBytes, detector, network] = await Promise.all([
    device === "webgpu"
      ? import("onnxruntime-web/jspi")
      : import("onnxruntime-web/wasm"),
    get(`ort/${runtime}.wasm.gz`),
    get("model/model.json"),
    get("model/atlas.bin.gz"),
    get("model/detector.onnx"),
    get("model/network.onnx"),
  ]);
  // threads share memory, which browsers allow only pages that are isolated from others
  const threads = self.crossOriginIsolated ? wishes.threads : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: new URL(`ort/${runtime}.mjs`, base).href };
  ort.env.logLevel = "error";
  const contract = JSON.parse(new TextDecoder().decode(contractBytes)) as Contract;
  const options = { graphOptimizationLevel: "all" } as const;
  // the detector sees pictures of many sizes, for each of which WebGPU would compile anew
  const detectorSession = await ort.InferenceSession.create(new Uint8Array(detector), {
    ...options, executionProviders: ["wasm"],
  });
  const networkSession = await ort.InferenceSession.create(new Uint8Array(network), {
    ...options, executionProviders: [device],
  });
  const atlas = readAtlas(contract, atlasBytes);
  return {
    contract,
    search: new Search(contract, lookWith(ort, detectorSession)),
    reconstructor: new Reconstructor(contract, atlas, regressWith(ort, networkSession, contract)),
    device,
    threads,
  };
}

type Runtime = Pick<typeof Ort, "Tensor" | "env">;

function lookWith(ort: Runtime, session: Ort.InferenceSession): Look {
  return async (picture) => {
    const pixels = new ort.Tensor("uint8", picture.data as Uint8Array, [1, picture.height, picture.width, 3]);
    const { cells } = await session.run({ pictures: pixels });
    return cells.data as Float32Array;
  };
}

function regressWith(ort: Runtime, session: Ort.InferenceSession, contract: Contract): Regress {
  const size = contract.spec.input_size;
  const hasConfidence = session.outputNames.includes("confidences");
  return async (pixels, count) => {
    const crops = new ort.Tensor("float32", pixels, [count, 3, size, size]);
    const outputs = await session.run({ crops });
    const maps = (await outputs.position_maps.getData()) as Float32Array;
    const confidences = hasConfidence ? ((await outputs.confidences.getData()) as Float32Array) : null;
    return { maps, confidences };
  };
}

async function hasWebGpu(): Promise<boolean> {
  const gpu = (navigator as { gpu?: { requestAdapter(): Promise<unknown> } }).gpu;
  if (!gpu || !("Suspending" in WebAssembly)) return false;
  try {
    return (await gpu.requestAdapter()) !== null;
  } catch {
    return false; // then this machine has none that can be used
  }
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

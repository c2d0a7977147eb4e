import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const RUNTIME = "node_modules/onnxruntime-web/dist";
const NAMES = ["ort-wasm-simd-threaded", "ort-wasm-simd-threaded.jspi"]; // without and with WebGPU

/** ONNX Runtime's WebAssembly, packed: the page unpacks it itself, whatever the web server does. */
function runtime(): Plugin {
  return {
    name: "onnxruntime",
    generateBundle() {
      const emit = (fileName: string, source: Uint8Array) =>
        this.emitFile({ type: "asset", fileName: `ort/${fileName}`, source });
      for (const name of NAMES) {
        emit(`${name}.mjs`, readFileSync(`${RUNTIME}/${name}.mjs`));
        emit(`${name}.wasm.gz`, gzipSync(readFileSync(`${RUNTIME}/${name}.wasm`), { level: 9 }));
      }
    },
  };
}

/** What the page was built from, so that a test sees when it is older than its sources. */
function sources(): Plugin {
  return {
    name: "sources",
    generateBundle() {
      const roots = ["index.html", "package-lock.json", "vite.config.ts", "tsconfig.json"];
      const folders = ["public", "src"].flatMap((folder) =>
        readdirSync(folder, { recursive: true, withFileTypes: true })
          .filter((each) => each.isFile())
          .map((each) => join(each.parentPath, each.name)),
      );
      const hash = createHash("sha256");
      for (const path of [...roots, ...folders].sort()) {
        hash.update(path.replaceAll("\\", "/")).update("\0").update(readFileSync(path)).update("\0");
      }
      const source = JSON.stringify({ sources_sha256: hash.digest("hex") });
      this.emitFile({ type: "asset", fileName: "built.json", source });
    },
  };
}

export default defineConfig({
  base: "./", // any host, any path
  // ONNX Runtime without its WebAssembly, which the page fetches itself
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "import"] },
  build: {
    outDir: "../src/prnet/assets/web",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rollupOptions: {
      output: {
        entryFileNames: "assets/[name].js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
  worker: {
    format: "es",
    rollupOptions: {
      output: { entryFileNames: "assets/[name].js", chunkFileNames: "assets/[name].js" },
    },
  },
  plugins: [runtime(), sources()],
});

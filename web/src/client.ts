// The page's side of the worker: calls by name, answers as promises.

import type { Calls } from "./worker";

export class Client {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private readonly waiting = new Map<number, { done: (value: never) => void; fail: (why: Error) => void }>();
  private next = 0;

  constructor(onLoaded: (bytes: number) => void) {
    this.worker.onmessage = ({ data }) => {
      if ("loaded" in data) return onLoaded(data.loaded);
      const call = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if ("error" in data) call?.fail(new Error(data.error));
      else call?.done(data.result as never);
    };
    this.worker.onerror = (event) => {
      const why = new Error(event.message || "The page's worker could not be started.");
      for (const call of this.waiting.values()) call.fail(why);
      this.waiting.clear();
    };
  }

  call<Name extends keyof Calls>(
    name: Name, ...args: Parameters<Calls[Name]>
  ): Promise<ReturnType<Calls[Name]>> {
    const id = this.next++;
    return new Promise((done, fail) => {
      this.waiting.set(id, { done, fail });
      this.worker.postMessage({ id, name, args });
    });
  }
}

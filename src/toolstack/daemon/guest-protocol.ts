/** Requests that reach into a running guest, or the hypervisor; a part of protocol.ts. */
import type { JsonObject } from '../config/json.ts';

type Nothing = Record<never, never>;

export interface GuestMethods {
  /** What the balloon driver should aim at, and not go beyond. */
  setMemory: { params: { domid: number; kib: number }; result: Nothing };
  setMaxMemory: { params: { domid: number; kib: number }; result: Nothing };
  /** How many vCPUs should be online, counted from the first. */
  setVcpus: { params: { domid: number; vcpus: number }; result: Nothing };
  trigger: { params: { domid: number; trigger: string; vcpu: number }; result: Nothing };
  /** Writes the domain's core into a file of the host, by its absolute path. Events: `{ progress: { done, total } }`. */
  dumpCore: { params: { domid: number; path: string }; result: Nothing };
  /** Parameters of the hypervisor, as on its command line. */
  setParameters: { params: { text: string }; result: Nothing };
  debugKeys: { params: { keys: string }; result: Nothing };
  /**
   * Answers when the agent in the guest does, within so many milliseconds. From then on data frames carry messages both ways (agent-link.ts); `{ agentEnd: why }` when
   * nothing more will come.
   */
  attachAgent: {
    params: { domid: number; timeoutMs: number };
    result: { readonly operations: number; readonly window: number };
  };
  /** What the domain is made from when it reboots. */
  updateConfig: { params: { domid: number; config: JsonObject }; result: Nothing };
}

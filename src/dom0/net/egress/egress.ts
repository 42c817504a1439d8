/**
 * What one interface may reach, and what it has: asked by the gateway for each new connection, each datagram and each name, and by the switch for what goes
 * directly to other interfaces. Without rules everything is allowed, and nobody asks.
 */
import type { Timers } from '../timers.ts';
import { readAddresses, readQuestion, RCODE, refusal, type Question } from './dns-message.ts';
import { mayPass, type Direction } from './frame-filter.ts';
import {
  compileRules,
  matchesAddress,
  matchesName,
  matchesWay,
  type CompiledRule,
  type EgressRule,
  type EgressRules,
} from './egress-rules.ts';
import { OpenedAddresses } from './opened-addresses.ts';

/** What was refused since the interface came. */
export interface Refused {
  /** Connections. */
  readonly tcp: number;
  /** Datagrams. */
  readonly udp: number;
  /** Questions for names, and what else was asked of the name server. */
  readonly names: number;
  /** Frames to another interface, or from it; not those to all. */
  readonly frames: number;
}

/** What an interface may reach, and has. */
export interface EgressSummary {
  /** What it may reach. */
  readonly rules: EgressRules;
  /** For each rule that allows: connections, datagrams and names that it has let through. */
  readonly passed: readonly { readonly rule: EgressRule; readonly count: number }[];
  /** What was refused since the interface came. */
  readonly refused: Refused;
}

export class Egress {
  readonly #opened: OpenedAddresses;
  #rules: EgressRules = { default: 'allow' };
  #compiled: readonly CompiledRule[] | undefined;
  #passed: number[] = [];
  readonly #refused = { tcp: 0, udp: 0, names: 0, frames: 0 };

  constructor(timers: Timers) {
    this.#opened = new OpenedAddresses(timers);
  }

  /** From now on; connections that stand remain. Throws EgressError. */
  set rules(rules: EgressRules) {
    this.#compiled = compileRules(rules);
    this.#rules = rules;
    this.#passed = this.#compiled?.map(() => 0) ?? [];
  }

  get rules(): EgressRules {
    return this.#rules;
  }

  get restricts(): boolean {
    return this.#compiled !== undefined;
  }

  get summary(): EgressSummary {
    const rules = this.#rules;
    const allow = rules.default === 'deny' ? rules.allow : [];
    const passed = allow.map((rule, index) => ({ rule, count: this.#passed[index] ?? 0 }));
    return { rules, passed, refused: { ...this.#refused } };
  }

  /** A new connection, or a datagram; counted. */
  allows(protocol: 'tcp' | 'udp', address: Uint8Array, port: number, mayHaveName: boolean): boolean {
    const compiled = this.#compiled;
    if (compiled === undefined) return true;
    const names = mayHaveName ? [...this.#opened.namesOf(address)] : [];
    const isFor = (rule: CompiledRule): boolean =>
      matchesWay(rule, protocol, port) &&
      (matchesAddress(rule, address) || names.some((name) => matchesName(rule, name)));
    return this.#count(compiled.findIndex(isFor), protocol);
  }

  /** A question to the name server: what to ask in its place, or what to answer at once. */
  question(bytes: Uint8Array): Question | { readonly answer: Uint8Array } {
    const question = readQuestion(bytes);
    if (typeof question === 'number') {
      this.#refused.names++;
      return { answer: refusal(bytes, question) };
    }
    const index = this.#compiled?.findIndex((rule) => matchesName(rule, question.name)) ?? -1;
    // NXDOMAIN and not REFUSED: resolvers go on trying after that one, and the guest would wait.
    return this.#count(index, 'names') ? question : { answer: refusal(bytes, RCODE.nameError) };
  }

  /** The answer to that: its addresses are open. */
  answered(question: Question, answer: Uint8Array): void {
    this.#opened.add(question.name, readAddresses(answer, question));
  }

  /** Something else that is refused. */
  refuse(what: keyof Refused): void {
    this.#refused[what]++;
  }

  /** A frame between this interface and another, by its head: `out` goes to the other. */
  passes(head: Uint8Array, direction: Direction): boolean {
    return this.#compiled === undefined || mayPass(head, direction, this.#compiled);
  }

  #count(rule: number, what: keyof Refused): boolean {
    if (rule < 0) this.#refused[what]++;
    else this.#passed[rule] = (this.#passed[rule] ?? 0) + 1;
    return rule >= 0;
  }
}
